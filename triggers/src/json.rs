//! Reads JSON of which only some members concern us: whatever is missing, null or of another shape is absent, never an
//! error. Knows nothing of whose JSON it is.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// An object whose values are left unparsed: what concerns us is read, and nothing else can fail.
pub type Object<'a> = BTreeMap<String, &'a RawValue>;

/// The members of an object's member; whatever is no object has none.
#[must_use]
pub fn object<'a>(parent: &Object<'a>, name: &str) -> Object<'a> {
    parent.get(name).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

/// A member that is a string.
#[must_use]
pub fn text(parent: &Object<'_>, name: &str) -> Option<String> {
    string(parent.get(name)?.get())
}

/// A member that is a string, a number or a boolean, as text: what is documented as a string may be any of them.
#[must_use]
pub fn scalar(parent: &Object<'_>, name: &str) -> Option<String> {
    scalar_of(parent.get(name)?)
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

/// A JSON string, even where a client cut a character in two.
///
/// A lone UTF-16 surrogate (`"\ud83d"`: half an emoji, as a client's `substring` leaves it in
/// ClientMetadata) is legal JSON text but no Unicode; it is read as U+FFFD rather than losing the value.
fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).or_else(|_| serde_json::from_str(&replace_lone_surrogates(json))).ok()
}

fn replace_lone_surrogates(json: &str) -> String {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let high = unit(escape).is_some_and(|unit| (0xD800..0xDC00).contains(&unit));
        let low = |text: &str| unit(text).is_some_and(|unit| (0xDC00..0xE000).contains(&unit));
        let length = if high && escape.get(6..).is_some_and(low) {
            out.push_str(escape.get(..12).unwrap_or_default());
            12
        } else if high || low(escape) {
            out.push_str("\\ufffd");
            6
        } else {
            // Any other escape: its second character may itself be a backslash, so both are passed over.
            let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
            out.push_str(escape.get(..length).unwrap_or_default());
            length
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
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
