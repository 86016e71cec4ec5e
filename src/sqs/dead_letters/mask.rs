//! Shows a message without personal data: keeps names and structure, masks values. Pure: must not know SQS.

use cognito_user_sync_triggers::event::{ATTRIBUTE_NAME_MAX_CHARS, Occasion, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Stands for a value and reveals nothing of it, not even its length.
pub const MASK: &str = "•••";

/// The body as indented JSON with its values masked, but for those of the envelope that have the envelope's strict
/// form. If it is not JSON, only its length.
#[must_use]
pub fn masked(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(value) => pretty(&mask("", value)),
        Err(_) => format!("({} bytes that are not JSON)", body.len()),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn mask(path: &str, value: Value) -> Value {
    match value {
        Value::Null => Value::Null,
        value @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) if is_envelope(path, &value) => value,
        Value::Bool(_) => "<bool>".into(),
        Value::Number(_) => "<number>".into(),
        Value::String(_) => MASK.into(),
        Value::Array(values) => mask_elements(path, values),
        Value::Object(members) => Value::Object(mask_members(path, members)),
    }
}

/// Most elements of one array that are shown: a message may hold thousands of failures.
const ELEMENTS_MAX: usize = 20;

fn mask_elements(path: &str, values: Vec<Value>) -> Value {
    let others = values.len().saturating_sub(ELEMENTS_MAX);
    let shown = values.into_iter().take(ELEMENTS_MAX).map(|value| mask(&format!("{path}[]"), value));
    shown.chain((others > 0).then(|| format!("({others} more)").into())).collect()
}

fn mask_members(path: &str, members: Map<String, Value>) -> Map<String, Value> {
    let member = |(index, (name, value)): (usize, (String, Value))| {
        // In a message that nobody checked a name may be anything, even an address.
        let shown = if is_name(&name) { name.clone() } else { format!("{MASK} {}", index + 1) };
        (shown, mask(&format!("{path}.{name}"), value))
    };
    members.into_iter().enumerate().map(member).collect()
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-' | '.');
    text.len() <= ATTRIBUTE_NAME_MAX_CHARS
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(is_letter)
}

/// Whether a text has the form of a path to a field, such as `data.attributes.custom:plan`: then no value is in it, but for
/// names.
#[must_use]
pub fn is_path(text: &str) -> bool {
    let is_letter =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-' | '.' | '[' | ']' | '$' | '?');
    !text.is_empty() && text.len() <= 2 * ATTRIBUTE_NAME_MAX_CHARS && text.chars().all(is_letter)
}

/// The type of a message, where it has the form of one.
#[must_use]
pub fn kind(message: &Value) -> Option<&str> {
    message.get("type").filter(|value| is_envelope(".type", value))?.as_str()
}

/// Whether this value belongs to the envelope and has a form that no personal data has.
fn is_envelope(path: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let only = |limit: usize, allowed: fn(char) -> bool| {
        !text.is_empty() && text.len() <= limit && text.chars().all(allowed)
    };
    match path {
        ".specversion" => only(8, |c| c.is_ascii_digit() || c == '.'),
        ".schemaversion" => value.as_u64().is_some_and(|version| version < 1_000),
        ".id" | ".subject" | ".data.groups[].failures[].id" | ".data.groups[].failures[].sub" => {
            Uuid::try_parse(text).is_ok()
        }
        ".time" | ".data.created_at" => Timestamp::parse(text).is_ok(),
        ".type" => {
            (text.starts_with("user.") || text.starts_with("group."))
                && only(32, |c| c.is_ascii_lowercase() || matches!(c, '.' | '_'))
        }
        ".source" => {
            text.starts_with("cognito/")
                && only(64, |c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_'))
        }
        ".datacontenttype" => text == "application/json",
        ".data.status" => only(32, |c| c.is_ascii_uppercase() || c == '_'),
        ".data.federated" | ".data.enabled" | ".data.witness" => value.is_boolean(),
        ".data.reported_by" => Reporter::parse(text).is_some(),
        ".data.occasion" => {
            [Occasion::SignIn, Occasion::SignUp].iter().any(|occasion| occasion.as_str() == text)
        }
        ".data.groups[].reason" => only(32, |c| c.is_ascii_lowercase() || c == '_'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_shown_and_nothing_of_the_person() {
        let body = r#"{"specversion":"1.0","id":"0190a5c8-0000-7000-8000-000000000001","type":"user.authenticated",
            "time":"2024-07-12T00:00:00Z","schemaversion":2,"ada@example.com":1,"note":"Ada","data":{"status":"CONFIRMED",
            "federated":false,"user_name":"ada","attributes":{"email":"ada@example.com","custom:plan":"blue"},
            "client":{"ip":"192.0.2.1","geo":[41.1,{"city":"Porto"}]}}}"#;
        let shown = masked(body);
        for kept in [
            "0190a5c8-0000",
            "user.authenticated",
            "2024-07-12",
            "\"schemaversion\": 2",
            "CONFIRMED",
            "custom:plan",
        ] {
            assert!(shown.contains(kept), "no {kept} in {shown}");
        }
        for gone in ["ada", "Ada", "blue", "192.0.2.1", "41.1", "Porto", "example.com"] {
            assert!(!shown.contains(gone), "{gone} in {shown}");
        }
    }

    #[test]
    fn a_record_shows_who_says_it_and_of_what_and_no_address() {
        let context = r#"{"type":"user.login_context","data":{"reported_by":"cloudtrail","occasion":"sign_up","witness":true,
            "client_id":"1example","ip":"192.0.2.1","user_agent":"Mozilla/5.0","device":"Phone","city":"Porto","country":"PT",
            "flow":"USER_AUTH","risk":"Low"}}"#;
        let failure = r#"{"id":"0190a5c8-0000-7000-8000-000000000002","sub":"0190a5c8-0000-4000-8000-000000000003",
            "ip":"192.0.2.1","user_agent":"Mozilla/5.0","city":"Porto"}"#;
        let failures = format!(
            r#"{{"type":"user.sign_in_failed","data":{{"reported_by":"threat_protection","groups":[{{"client_id":"1example",
            "reason":"wrong_password","network":"192.0.2.0/24","failures":[{}]}}]}}}}"#,
            vec![failure; 1_000].join(",")
        );
        let (context, failures) = (masked(context), masked(&failures));
        for kept in ["cloudtrail", "sign_up", "true"] {
            assert!(context.contains(kept), "no {kept} in {context}");
        }
        for kept in ["threat_protection", "wrong_password", "0190a5c8-0000-7000", "(980 more)"] {
            assert!(failures.contains(kept), "no {kept} in {failures}");
        }
        assert!(failures.lines().count() < 250, "more than a few screens");
        for gone in ["192.0.2", "Mozilla", "Phone", "Porto", "PT", "1example", "USER_AUTH", "Low"] {
            assert!(!context.contains(gone) && !failures.contains(gone), "{gone} in {context}{failures}");
        }
        let odd =
            masked(r#"{"data":{"reported_by":"Ada","occasion":"Ada","groups":[{"reason":"Ada Byron"}]}}"#);
        assert!(!odd.contains("Ada"), "{odd}");
    }

    #[test]
    fn a_value_in_the_envelopes_place_but_not_in_its_form_is_masked() {
        for body in [
            r#"{"id":"Ada"}"#,
            r#"{"type":"user.Ada Byron"}"#,
            r#"{"type":"group.deleted","data":{"group":"Ada"}}"#,
            r#"{"schemaversion":351912345678}"#,
            r#"{"time":"Ada"}"#,
        ] {
            let shown = masked(body);
            assert!(!shown.contains("Ada") && !shown.contains("351912"), "{shown}");
        }
        assert_eq!(masked("Ada's message"), "(13 bytes that are not JSON)");
    }
}
