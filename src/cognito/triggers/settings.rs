//! A user pool's settings as JSON: turns what DescribeUserPool returns into an UpdateUserPool request that changes the
//! two triggers and nothing else. Pure: must not know the network.
//!
//! "If you don't provide a value for an attribute, Amazon Cognito sets it to its default value" ("UpdateUserPool",
//! Amazon Cognito user pools API reference). So we send everything back but a list of exceptions:
//! settings that are newer than this build are kept, too.

use std::collections::BTreeSet;
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Map, Value};

use crate::cognito::triggers::Hook;
use crate::cognito::triggers::Triggers;

/// Settings by name.
pub(crate) type Settings = Map<String, Value>;

/// What DescribeUserPool returns and UpdateUserPool does not accept ("UserPoolType" beside "UpdateUserPool").
/// `Name` is sent as `PoolName`, and `Id` as `UserPoolId`.
const READ_ONLY: [&str; 15] = [
    "AliasAttributes",
    "Arn",
    "CreationDate",
    "CustomDomain",
    "Domain",
    "EmailConfigurationFailure",
    "EstimatedNumberOfUsers",
    "Id",
    "LastModifiedDate",
    "Name",
    "SchemaAttributes",
    "SmsConfigurationFailure",
    "Status",
    "UsernameAttributes",
    "UsernameConfiguration",
];

/// Old settings, each with the one that replaced it. Cognito describes both, with one value, and refuses a request in
/// which they differ. The newer one counts. "This parameter is no longer used" ("UpdateUserPool"); "its value must be
/// identical" ("LambdaConfigType").
const REPLACED: [(&str, &str); 4] = [
    ("/EmailVerificationMessage", "/VerificationMessageTemplate/EmailMessage"),
    ("/EmailVerificationSubject", "/VerificationMessageTemplate/EmailSubject"),
    ("/SmsVerificationMessage", "/VerificationMessageTemplate/SmsMessage"),
    ("/LambdaConfig/PreTokenGeneration", "/LambdaConfig/PreTokenGenerationConfig/LambdaArn"),
];

/// "This parameter is no longer in use" ("AdminCreateUserConfigType"): "Please use TemporaryPasswordValidityDays in
/// PasswordPolicy instead", says Cognito where a pool has both, and describes both all the same.
const UNUSED_ACCOUNT: (&str, &str) = (
    "/AdminCreateUserConfig/UnusedAccountValidityDays",
    "/Policies/PasswordPolicy/TemporaryPasswordValidityDays",
);

/// The prefix of AWS's own tags: nobody may write them, and leaving them out does not remove them ("Tag naming limits
/// and requirements", Tagging AWS Resources User Guide).
const RESERVED_TAGS: &str = "aws:";

/// The MFA factors, which GetUserPoolMfaConfig returns and UpdateUserPool does not accept. Passkeys
/// (`WebAuthnConfiguration`) are not among them.
const FACTORS: [&str; 3] = ["EmailMfaConfiguration", "SmsMfaConfiguration", "SoftwareTokenMfaConfiguration"];

/// The UpdateUserPool request that keeps everything as `described` but the two triggers.
pub(crate) fn merged(described: &Settings, triggers: &Triggers) -> Settings {
    let mut request: Settings = described
        .iter()
        .filter(|(name, value)| !READ_ONLY.contains(&name.as_str()) && !is_unset(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, sent_as) in [("Id", "UserPoolId"), ("Name", "PoolName")] {
        if let Some(value) = described.get(name) {
            request.insert(sent_as.to_owned(), value.clone());
        }
    }
    let mut config = object(described.get("LambdaConfig"));
    for hook in Hook::ALL {
        match triggers.get(hook) {
            Some(arn) => config.insert(hook.as_str().to_owned(), arn.into()),
            None => config.remove(hook.as_str()),
        };
    }
    request.insert("LambdaConfig".to_owned(), config.into());
    if let Some(tags) = request.get_mut("UserPoolTags").and_then(Value::as_object_mut) {
        tags.retain(|key, _| !key.starts_with(RESERVED_TAGS));
    }
    let mut request = Value::Object(request);
    for (old, new) in REPLACED {
        if set(&request, new).is_some_and(|new| request.pointer(old) != Some(new)) {
            remove(&mut request, old);
        }
    }
    let (unused, temporary) = UNUSED_ACCOUNT;
    if set(&request, temporary).is_some() {
        remove(&mut request, unused);
    }
    object(Some(&request))
}

/// The SetUserPoolMfaConfig request that sets MFA as `described`.
///
/// It replaces everything, and refuses a factor while MFA is off ("can't turn off MFA and configure an MFA
/// together"), though GetUserPoolMfaConfig may describe one.
pub(crate) fn mfa_request(user_pool_id: &str, described: &Settings) -> Settings {
    let is_off =
        !matches!(described.get("MfaConfiguration").and_then(Value::as_str), Some("ON" | "OPTIONAL"));
    let mut request = described.clone();
    request.retain(|name, value| !(is_unset(value) || is_off && FACTORS.contains(&name.as_str())));
    request.insert("UserPoolId".to_owned(), user_pool_id.into());
    request
}

/// The names of the settings in which two descriptions differ, such as `Policies.PasswordPolicy`; never a value.
///
/// The two triggers, read-only settings, and settings that no longer count are not compared.
pub(crate) fn differences(one: &Settings, other: &Settings) -> Vec<String> {
    let (one, other) = (kept(one), kept(other));
    let mut names = Vec::new();
    for name in keys(&one, &other) {
        match (one.get(&name), other.get(&name)) {
            (Some(Value::Object(one)), Some(Value::Object(other))) => {
                let parts = keys(one, other).into_iter().filter(|part| one.get(part) != other.get(part));
                names.extend(parts.map(|part| format!("{name}.{part}")));
            }
            (one, other) if one == other => {}
            _ => names.push(name),
        }
    }
    names
}

/// The names of the MFA settings in which two descriptions differ.
pub(crate) fn mfa_differences(one: &Settings, other: &Settings) -> Vec<String> {
    let (one, other) = (mfa_request("", one), mfa_request("", other));
    keys(&one, &other).into_iter().filter(|name| one.get(name) != other.get(name)).collect()
}

/// The part of a description that we compare.
fn kept(described: &Settings) -> Settings {
    let mut kept = Value::Object(merged(described, &Triggers::default()));
    for (old, new) in REPLACED {
        if set(&kept, new).is_some() {
            remove(&mut kept, old);
        }
    }
    let mut kept = object(Some(&kept));
    kept.retain(|_, value| !(is_unset(value) || value.as_array().is_some_and(Vec::is_empty)));
    kept
}

/// The trigger's function in a description; an empty one is none.
pub(crate) fn trigger(described: &Settings, hook: Hook) -> Option<String> {
    let arn = described.get("LambdaConfig")?.get(hook.as_str())?.as_str()?;
    (!arn.is_empty()).then(|| arn.to_owned())
}

/// When the pool was last changed: seconds since 1970, as AWS's JSON protocols write times.
pub(crate) fn modified_at(described: &Settings) -> Option<Timestamp> {
    let seconds = described.get("LastModifiedDate")?.as_f64()?;
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    Some(Timestamp::from_unix_millis(u64::try_from(since.as_millis()).ok()?))
}

/// The value at a JSON pointer, if it is set.
fn set<'a>(settings: &'a Value, pointer: &str) -> Option<&'a Value> {
    settings.pointer(pointer).filter(|value| !is_unset(value))
}

/// An empty value, which Cognito describes in place of nothing and refuses in a request.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

fn keys(one: &Settings, other: &Settings) -> BTreeSet<String> {
    one.keys().chain(other.keys()).cloned().collect()
}

fn object(value: Option<&Value>) -> Settings {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Removes the member at a JSON pointer.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(members) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        members.remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const OURS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:ours";

    fn settings(value: Value) -> Settings {
        value.as_object().unwrap().clone()
    }

    fn ours() -> Triggers {
        Triggers { post_confirmation: Some(OURS.into()), post_authentication: Some(OURS.into()) }
    }

    /// The request for a pool that Cognito describes as `described`.
    fn request(described: Value) -> Settings {
        merged(&settings(described), &ours())
    }

    /// A case of a table: what is described, and what is sent of it.
    fn check(what: &str, described: Value, expected: Value) {
        let mut sent = request(described);
        let config = sent.get_mut("LambdaConfig").and_then(Value::as_object_mut).unwrap();
        for hook in Hook::ALL {
            assert_eq!(config.remove(hook.as_str()), Some(OURS.into()), "{what}");
        }
        if config.is_empty() {
            sent.remove("LambdaConfig");
        }
        assert_eq!(Value::Object(sent), expected, "{what}");
    }

    #[test]
    fn what_cannot_be_set_is_not_sent_and_everything_else_is() {
        let read_only: Settings = READ_ONLY.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
        check("read only", read_only.into(), json!({ "UserPoolId": "Id", "PoolName": "Name" }));
        let later = json!({ "FutureSetting": { "deep": [1, false, null] }, "Another": 7, "Listed": [] });
        check("younger than this build", later.clone(), later);
        check("unset", json!({ "A": null, "B": "", "C": {} }), json!({}));
    }

    #[test]
    fn settings_that_contradict_each_other_are_sent_as_the_newer_one() {
        let template = json!({ "EmailMessage": "new {####}", "SmsMessage": "sms {####}" });
        check(
            "one message, twice",
            json!({ "EmailVerificationMessage": "new {####}", "VerificationMessageTemplate": template }),
            json!({ "EmailVerificationMessage": "new {####}", "VerificationMessageTemplate": template }),
        );
        check(
            "two messages",
            json!({ "SmsVerificationMessage": "old", "VerificationMessageTemplate": template }),
            json!({ "VerificationMessageTemplate": template }),
        );
        check(
            "a message that the template lacks",
            json!({ "EmailVerificationSubject": "s", "VerificationMessageTemplate": template }),
            json!({ "EmailVerificationSubject": "s", "VerificationMessageTemplate": template }),
        );
        let config = json!({ "LambdaArn": "v2", "LambdaVersion": "V2_0" });
        check(
            "two functions of one trigger",
            json!({ "LambdaConfig": { "PreTokenGeneration": "v1", "PreTokenGenerationConfig": config } }),
            json!({ "LambdaConfig": { "PreTokenGenerationConfig": config } }),
        );
        check(
            "the same function twice, and a key",
            json!({ "LambdaConfig": { "PreTokenGeneration": "v2", "PreTokenGenerationConfig": config, "KMSKeyID": "k" } }),
            json!({ "LambdaConfig": { "PreTokenGeneration": "v2", "PreTokenGenerationConfig": config, "KMSKeyID": "k" } }),
        );
        let policies = json!({ "PasswordPolicy": { "TemporaryPasswordValidityDays": 3 } });
        check(
            "two lifetimes of a temporary password",
            json!({ "AdminCreateUserConfig": { "UnusedAccountValidityDays": 7 }, "Policies": policies }),
            json!({ "AdminCreateUserConfig": {}, "Policies": policies }),
        );
        let old = json!({ "AdminCreateUserConfig": { "UnusedAccountValidityDays": 30 } });
        check("a pool that has the old lifetime only", old.clone(), old);
    }

    #[test]
    fn tags_of_aws_itself_are_not_sent() {
        let tags =
            json!({ "UserPoolTags": { "aws:cloudformation:stack-name": "app", "team": "a", "awsome": "b" } });
        check("tags", tags, json!({ "UserPoolTags": { "team": "a", "awsome": "b" } }));
    }

    #[test]
    fn a_trigger_that_is_to_be_none_is_left_out_and_the_others_stay() {
        let described = json!({ "LambdaConfig": { "PreSignUp": "p", "PostConfirmation": "c", "PostAuthentication": "" } });
        let sent = merged(&settings(described.clone()), &Triggers::default());
        assert_eq!(sent.get("LambdaConfig"), Some(&json!({ "PreSignUp": "p" })));
        assert_eq!(trigger(&settings(described.clone()), Hook::PostConfirmation).as_deref(), Some("c"));
        assert_eq!(trigger(&settings(described), Hook::PostAuthentication), None);
        assert_eq!(request(json!({})).get("LambdaConfig").unwrap().as_object().unwrap().len(), 2);
    }

    #[test]
    fn no_factor_is_sent_while_mfa_is_off() {
        let factors = json!({
            "MfaConfiguration": "OPTIONAL", "SoftwareTokenMfaConfiguration": { "Enabled": true },
            "EmailMfaConfiguration": { "Subject": "s" }, "WebAuthnConfiguration": { "UserVerification": "required" }
        });
        let mut described = settings(factors.clone());
        let mut expected = described.clone();
        expected.insert("UserPoolId".into(), "id".into());
        assert_eq!(mfa_request("id", &described), expected);
        described.insert("MfaConfiguration".into(), "OFF".into());
        let off = json!({ "MfaConfiguration": "OFF", "UserPoolId": "id", "WebAuthnConfiguration": { "UserVerification": "required" } });
        assert_eq!(Value::Object(mfa_request("id", &described)), off);
        assert_eq!(
            mfa_differences(&settings(factors), &described),
            ["EmailMfaConfiguration", "MfaConfiguration", "SoftwareTokenMfaConfiguration"]
        );
    }

    #[test]
    fn differences_are_named_and_neither_the_triggers_nor_what_moves_by_itself_is_one() {
        let one = json!({
            "LastModifiedDate": 1, "EstimatedNumberOfUsers": 1, "LambdaConfig": { "PostConfirmation": "a", "UserMigration": "m" },
            "AutoVerifiedAttributes": [], "Same": 1
        });
        let same = json!({
            "LastModifiedDate": 2, "EstimatedNumberOfUsers": 2, "LambdaConfig": { "PostAuthentication": "b", "UserMigration": "m" },
            "EmailVerificationMessage": "", "Same": 1
        });
        assert_eq!(differences(&settings(one.clone()), &settings(same)), [""; 0]);
        let other = json!({
            "LambdaConfig": { "PreSignUp": "secret", "UserMigration": "m" }, "Same": 2, "Gone": "secret",
            "Policies": { "PasswordPolicy": { "MinimumLength": 6 } }
        });
        let expected = ["Gone", "LambdaConfig.PreSignUp", "Policies", "Same"];
        assert_eq!(differences(&settings(one), &settings(other)), expected);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any_name(), inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Names that mean something, and others.
    fn any_name() -> impl Strategy<Value = String> {
        const KNOWN: [&str; 16] = [
            "LambdaConfig",
            "PostConfirmation",
            "PostAuthentication",
            "PreSignUp",
            "PreTokenGeneration",
            "PreTokenGenerationConfig",
            "LambdaArn",
            "VerificationMessageTemplate",
            "EmailMessage",
            "EmailVerificationMessage",
            "AdminCreateUserConfig",
            "UnusedAccountValidityDays",
            "Policies",
            "PasswordPolicy",
            "TemporaryPasswordValidityDays",
            "UserPoolTags",
        ];
        let known = proptest::sample::select(KNOWN.to_vec()).prop_map(str::to_owned);
        let read_only = proptest::sample::select(READ_ONLY.to_vec()).prop_map(str::to_owned);
        prop_oneof![4 => known, 1 => read_only, 2 => "[A-Z][a-z]{1,5}|aws:[a-z]"]
    }

    proptest! {
        #[test]
        fn whatever_is_described_nothing_but_the_triggers_changes(
            described in proptest::collection::btree_map(any_name(), any_json(), 0..12),
        ) {
            let described: Settings = described.into_iter().collect();
            let sent = merged(&described, &ours());
            for name in READ_ONLY {
                prop_assert!(!sent.contains_key(name));
            }
            for hook in Hook::ALL {
                prop_assert_eq!(trigger(&sent, hook), Some(OURS.to_owned()));
            }
            // Cognito describes what it was sent.
            let mut answer = sent.clone();
            if let Some(name) = answer.remove("PoolName") {
                answer.insert("Name".into(), name);
            }
            answer.remove("UserPoolId");
            if let Some(id) = described.get("Id") {
                answer.insert("Id".into(), id.clone());
            }
            prop_assert_eq!(differences(&described, &answer), Vec::<String>::new());
            // What nobody knows is sent back unchanged.
            for (name, value) in described.iter().filter(|(name, value)| name.len() < 6 && !is_unset(value)) {
                if !READ_ONLY.contains(&name.as_str()) {
                    prop_assert_eq!(sent.get(name), Some(value));
                }
            }
        }
    }
}
