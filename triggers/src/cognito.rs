//! A Cognito user-pool trigger event, read leniently, as a [`UserEvent`]. Pure: no clock, no network.
//!
//! The shapes are those of "Customizing user pool workflows with Lambda triggers" (Cognito Developer
//! Guide). What is documented as a string is accepted as a boolean or a number too, anything may be null or
//! missing, and sources that do not concern us, or that do not exist yet, are told apart, never an error.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::client_metadata::ClientMetadataKeys;
use crate::event::{Data, EventId, Kind, UserEvent, is_user_pool_id};
use crate::text::Text;

/// Why a trigger event is not published. Cognito gets its event back all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// The trigger source says nothing that we record, or is one that this build does not know.
    TriggerSource,
    /// There is no `sub`, or it is not a UUID, so there is no row to write.
    NoSub,
    /// There is no user pool id, or none that can be one, so the event has no source.
    NoUserPool,
    /// The payload cannot be read as a JSON object.
    Unreadable,
    /// The function that was the pool's trigger before ours failed it, so it did not happen.
    ChainRefused,
}

impl Ignored {
    /// A stable word: the label of a metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TriggerSource => "trigger_source",
            Self::NoSub => "no_sub",
            Self::NoUserPool => "no_user_pool",
            Self::Unreadable => "unreadable",
            Self::ChainRefused => "chain_refused",
        }
    }
}

/// What a trigger event says, if it says anything that we record.
///
/// # Errors
/// Why it does not; see [`Ignored`].
pub fn user_event(
    payload: &str,
    keys: &ClientMetadataKeys,
    id: EventId,
) -> Result<UserEvent<'static>, Ignored> {
    let event: Object<'_> = serde_json::from_str(payload).map_err(|_| Ignored::Unreadable)?;
    let kind = match text(event.get("triggerSource")).as_deref() {
        Some("PostConfirmation_ConfirmSignUp") => Kind::Confirmed,
        Some("PostConfirmation_ConfirmForgotPassword") => Kind::PasswordReset,
        Some("PostAuthentication_Authentication") => Kind::Authenticated,
        Some(_) | None => return Err(Ignored::TriggerSource),
    };
    let request = object(event.get("request"));
    let attributes = object(request.get("userAttributes"));
    let mut attributes: BTreeMap<Text<'static>, Text<'static>> = attributes
        .into_iter()
        .filter_map(|(name, value)| Some((name.into(), text(Some(&value))?.into())))
        .collect();
    let sub = attributes.remove("sub").and_then(|sub| Uuid::try_parse(&sub).ok()).ok_or(Ignored::NoSub)?;
    let user_pool_id =
        text(event.get("userPoolId")).filter(|pool| is_user_pool_id(pool)).ok_or(Ignored::NoUserPool)?;
    let status = attributes.remove("cognito:user_status");
    let metadata = object(request.get("clientMetadata"));
    let mut data = Data {
        user_name: text(event.get("userName")).map(Text::from),
        client_id: text(object(event.get("callerContext")).get("clientId")).map(Text::from),
        federated: status.as_deref() == Some("EXTERNAL_PROVIDER"),
        status,
        enabled: None,
        created_at: None,
        attributes,
        client: keys.select(|key| text(metadata.get(key))),
    };
    data.bound();
    Ok(UserEvent { id, user_pool_id: user_pool_id.into(), sub, kind, data })
}

/// What fired, such as `PostConfirmation_ConfirmSignUp`; `None` where the payload does not say.
#[must_use]
pub fn trigger_source(payload: &str) -> Option<String> {
    let event: Object<'_> = serde_json::from_str(payload).ok()?;
    text(event.get("triggerSource"))
}

/// An object whose values are left unparsed: what concerns us is read, and nothing else can fail.
type Object<'a> = BTreeMap<String, &'a RawValue>;

/// An object's members; whatever is no object has none.
fn object<'a>(value: Option<&&'a RawValue>) -> Object<'a> {
    value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

/// A scalar as Cognito would have written it; null is absent, and so is what has parts.
fn text(value: Option<&&RawValue>) -> Option<String> {
    let json = value?.get();
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
}
