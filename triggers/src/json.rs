//! Reads JSON of which only some members concern us: whatever is missing, null or of another shape is absent, never an
//! error, and takes nothing else with it. Knows nothing of whose JSON it is.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object's members in their order, their values left unparsed: what concerns us is read, and nothing else can fail.
#[derive(Debug, Clone, Default)]
pub struct Object<'a>(Vec<(Lenient<'a>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// A member's value, whatever it is. Of a member that is there twice, the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.find(name, Some)
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of the members of a name, the last that `read` can read.
    fn find<T>(&self, name: &str, read: impl Fn(&'a RawValue) -> Option<T>) -> Option<T> {
        self.0.iter().rev().filter(|(other, _)| other.0 == name).find_map(|(_, value)| read(value))
    }

    /// Each member's name and value.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&*name.0, *value))
    }

    /// The same, with names that may outlive this.
    pub fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.0.into_iter().map(|(name, value)| (name.0, value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A JSON string, even where a client cut a character in two.
///
/// A lone UTF-16 surrogate (`"\ud83d"`: half an emoji, as a client's `substring` leaves it in
/// ClientMetadata) is legal JSON text but no Unicode; it is read as U+FFFD rather than losing the text.
#[derive(Debug, Clone)]
struct Lenient<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Lenient<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Lenient<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Lenient<'de>, E> {
                Ok(Lenient(
                    std::str::from_utf8(bytes)
                        .map_or_else(|_| with_replacements(bytes).into(), Cow::Borrowed),
                ))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Lenient<'de>, E> {
                Ok(Lenient(with_replacements(bytes).into()))
            }
        }

        // Asked for a text, serde_json refuses a lone surrogate; asked for bytes, it writes one as UTF-8 would.
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The text of what is UTF-8 but for surrogates: three bytes each, of which the first is 0xED.
fn with_replacements(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if chunk.invalid().first() == Some(&0xED) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

/// The members of an object's member; whatever is no object has none.
#[must_use]
pub fn object<'a>(parent: &Object<'a>, name: &str) -> Object<'a> {
    parent.find(name, |value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

/// A member that is a string.
#[must_use]
pub fn text(parent: &Object<'_>, name: &str) -> Option<String> {
    parent.find(name, |value| string(value.get()))
}

/// A member that is a string, a number or a boolean, as text: what is documented as a string may be any of them.
#[must_use]
pub fn scalar(parent: &Object<'_>, name: &str) -> Option<String> {
    parent.find(name, scalar_of)
}

/// A value as text, if it is a string, a number or a boolean.
#[must_use]
pub fn scalar_of(value: &RawValue) -> Option<String> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'"' => string(json),
        b'n' | b'{' | b'[' => None,
        _ => Some(json.to_owned()),
    }
}

fn string(json: &str) -> Option<String> {
    serde_json::from_str::<Lenient<'_>>(json).ok().map(|text| text.0.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_is_read_as_the_replacement_character() {
        let check =
            |json: &str, expected: &str| assert_eq!(string(json).as_deref(), Some(expected), "{json}");
        check(r#""a\ud83d""#, "a\u{fffd}");
        check(r#""\udE00b""#, "\u{fffd}b");
        check(r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀");
        check(r#""\\ud83d""#, "\\ud83d");
        check(r#""\ud83d\\é""#, "\u{fffd}\\é");
        assert_eq!(string("\"\\"), None);
    }

    #[test]
    fn a_member_of_another_shape_is_absent() -> Result<(), serde_json::Error> {
        let parent = r#"{"s":"a","n":1.50,"b":true,"o":{"s":"b"},"l":["c"],"z":null}"#;
        let parent: Object<'_> = serde_json::from_str(parent)?;
        let check = |name: &str, as_text: Option<&str>, as_scalar: Option<&str>| {
            assert_eq!(text(&parent, name).as_deref(), as_text, "{name}");
            assert_eq!(scalar(&parent, name).as_deref(), as_scalar, "{name}");
        };
        check("s", Some("a"), Some("a"));
        check("n", None, Some("1.50"));
        check("b", None, Some("true"));
        for name in ["o", "l", "z", "missing"] {
            check(name, None, None);
        }
        assert_eq!(text(&object(&parent, "o"), "s").as_deref(), Some("b"));
        assert!(object(&parent, "l").is_empty() && object(&parent, "missing").is_empty());
        Ok(())
    }
}
