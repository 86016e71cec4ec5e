//! A user's identities at providers, of the attribute `identities`: Cognito's JSON text, and the array of its tokens, which
//! differ in types. Pure. An element that cannot be read takes none of the others with it.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::json::{self, Object};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::value::RawValue;

use crate::store::model::profile;

/// Greatest number of milliseconds that a date of Cognito's can have: the end of the year 9999.
const MILLIS_MAX: u64 = 253_402_300_799_999;

/// What is known of one identity beside its provider and its id there.
#[derive(Default)]
struct Identity {
    provider_type: Option<String>,
    linked_at: Option<Timestamp>,
    is_primary: Option<bool>,
}

/// The identities as a JSON array, each once, in the order of provider and id; `None` where there are none.
pub(in crate::store) fn normalized(attribute: &str) -> Option<String> {
    let mut identities = BTreeMap::<(Option<String>, Option<String>), Identity>::new();
    for element in elements(attribute) {
        let Ok(members) = serde_json::from_str::<Object<'_>>(element.get()) else { continue };
        let member = |names: &[&str]| {
            let (_, value) = members.members().find(|(key, _)| names.contains(&&*plain(key)))?;
            // PostgreSQL's `jsonb` holds no U+0000.
            let value = json::scalar_of(value)?.replace('\0', "");
            profile::text(&value).map(str::to_owned)
        };
        let key = (member(&["providername"]), member(&["userid", "provideruserid"]));
        if key == (None, None) {
            continue;
        }
        let is_primary =
            member(&["primary", "isprimary"]).and_then(|flag| flag.to_ascii_lowercase().parse().ok());
        let linked_at = member(&["datecreated"]).as_deref().and_then(time);
        let identity = identities.entry(key).or_default();
        // Of one that is told twice, whatever the order.
        identity.provider_type = identity.provider_type.take().max(member(&["providertype"]));
        identity.linked_at = [identity.linked_at, linked_at].into_iter().flatten().min();
        identity.is_primary = identity.is_primary.max(is_primary);
    }
    let identities: Vec<serde_json::Value> = identities.into_iter().map(as_json).collect();
    (!identities.is_empty()).then(|| serde_json::Value::from(identities).to_string())
}

fn as_json(identity: ((Option<String>, Option<String>), Identity)) -> serde_json::Value {
    let ((provider_name, provider_user_id), Identity { provider_type, linked_at, is_primary }) = identity;
    serde_json::json!({
        "provider_name": provider_name,
        "provider_type": provider_type,
        "provider_user_id": provider_user_id,
        "linked_at": linked_at.map(|at| at.to_string()),
        "is_primary": is_primary,
    })
}

/// The elements of an array, or a single one; also where the whole is a JSON text once more.
fn elements(attribute: &str) -> Vec<Box<RawValue>> {
    let attribute = attribute.trim();
    let inner = attribute.starts_with('"').then(|| serde_json::from_str::<String>(attribute).ok()).flatten();
    let text = inner.as_deref().unwrap_or(attribute).trim();
    match text.starts_with('{') {
        true => serde_json::from_str(text).map(|element| vec![element]).unwrap_or_default(),
        false => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// A name without what separates its words.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Milliseconds, or a time as it is written.
fn time(text: &str) -> Option<Timestamp> {
    match text.parse::<u64>() {
        Ok(millis) => (1..=MILLIS_MAX).contains(&millis).then(|| Timestamp::from_unix_millis(millis)),
        Err(_) => Timestamp::parse(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn check(attribute: &str, expected: &Value) {
        let value = normalized(attribute).map(|text| serde_json::from_str(&text).unwrap());
        assert_eq!(value.as_ref().unwrap_or(&Value::Null), expected, "{attribute}");
    }

    fn google() -> Value {
        json!([{
            "provider_name": "Google", "provider_type": "Google", "provider_user_id": "1023",
            "linked_at": "2023-11-14T22:13:20.123Z", "is_primary": true,
        }])
    }

    #[test]
    fn both_spellings_are_the_same() {
        check(
            r#"[{"userId":"1023","providerName":"Google","providerType":"Google","issuer":null,"primary":true,"dateCreated":1700000000123}]"#,
            &google(),
        );
        check(
            r#"[{"userId":"1023","providerName":"Google","providerType":"Google","issuer":null,"primary":"true","dateCreated":"1700000000123"}]"#,
            &google(),
        );
        check(
            r#" {"UserId":1023,"ProviderName":" Google","provider_type":"Google","Primary":"True","DateCreated":"2023-11-14T22:13:20.123Z"} "#,
            &google(),
        );
        check(
            r#""[{\"userId\":\"1023\",\"providerName\":\"Google\",\"providerType\":\"Google\",\"primary\":true,\"dateCreated\":1700000000123}]""#,
            &google(),
        );
    }

    #[test]
    fn they_have_one_order_and_each_is_there_once() {
        let (a, b) = (
            r#"{"userId":"b","providerName":"SAML-x","primary":false}"#,
            r#"{"userId":"a","providerName":"SAML-x","dateCreated":5}"#,
        );
        let expected = json!([
            { "provider_name": "SAML-x", "provider_type": null, "provider_user_id": "a",
              "linked_at": "1970-01-01T00:00:00.005Z", "is_primary": null },
            { "provider_name": "SAML-x", "provider_type": null, "provider_user_id": "b",
              "linked_at": null, "is_primary": false },
        ]);
        check(&format!("[{a},{b},{a}]"), &expected);
        check(&format!("[{b},{a},{b}]"), &expected);
    }

    #[test]
    fn what_cannot_be_read_takes_nothing_else_with_it() {
        let good = r#"{"userId":"1023","providerName":"Google","providerType":"Google","primary":true,"dateCreated":1700000000123}"#;
        check(&format!(r#"[null,7,"x",{{}},{good},{{"userId":{{}}}}]"#), &google());
        check(
            r#"[{"userId":"a\u0000\ud83d","providerName":"Apple","primary":"maybe","dateCreated":-1,"providerType":["x"]}]"#,
            &json!([{ "provider_name": "Apple", "provider_type": null, "provider_user_id": "a\u{fffd}",
                      "linked_at": null, "is_primary": null }]),
        );
        for nothing in
            ["", "[]", "{}", "null", "undefined", "[{\"userId\":\"cut", "[{\"primary\":true}]", "\"", "7"]
        {
            check(nothing, &Value::Null);
        }
    }
}
