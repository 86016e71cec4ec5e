//! What each Cognito trigger event amounts to. The echo is tested on the real binary, in the root package.

use std::collections::BTreeSet;

use cognito_user_sync_triggers::client_metadata::ClientMetadataKeys;
use cognito_user_sync_triggers::cognito::{Ignored, trigger_source, user_event};
use cognito_user_sync_triggers::event::{Event, EventId, Kind, TEXT_MAX_CHARS, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;

fn read(payload: &str) -> Result<UserEvent<'static>, Ignored> {
    user_event(
        payload,
        &ClientMetadataKeys::default(),
        EventId::new(Timestamp::from_unix_millis(1_790_000_000_123)),
    )
}

fn fixture(name: &str) -> UserEvent<'static> {
    let fixtures = crate::fixtures();
    let (_, payload) =
        fixtures.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no fixture {name}"));
    read(payload).unwrap_or_else(|why| panic!("{name} is ignored: {}", why.as_str()))
}

#[test]
fn each_source_is_what_it_says_and_nothing_else_is_published() {
    for (name, payload) in crate::fixtures() {
        let outcome = read(&payload).map(|event| event.kind);
        let without_user =
            ["missing_sub", "malformed_sub", "null_user_attributes", "missing_request", "is_an_array"];
        let expected = match name.as_str() {
            name if without_user.iter().any(|end| name.ends_with(end)) => Err(Ignored::NoSub),
            "post_authentication_missing_user_pool_id" => Err(Ignored::NoUserPool),
            "post_confirmation_confirm_forgot_password" => Ok(Kind::PasswordReset),
            name if name.starts_with("post_confirmation_") => Ok(Kind::Confirmed),
            name if name.starts_with("post_authentication_") => Ok(Kind::Authenticated),
            _ => Err(Ignored::TriggerSource),
        };
        assert_eq!(outcome, expected, "{name}");
    }
    for payload in ["[]", "null", "\"\"", "{", ""] {
        assert_eq!(read(payload), Err(Ignored::Unreadable), "{payload}");
    }
}

/// Every source that the Cognito Developer Guide names ("Customizing user pool workflows with Lambda triggers", "Pre token
/// generation Lambda trigger"), in each spelling that it has.
const DOCUMENTED: &str = "
    PreSignUp_SignUp PreSignUp_AdminCreateUser PreSignUp_ExternalProvider
    PostConfirmation_ConfirmSignUp PostConfirmation_ConfirmForgotPassword
    PreAuthentication_Authentication PostAuthentication_Authentication
    DefineAuthChallenge_Authentication CreateAuthChallenge_Authentication
    VerifyAuthChallengeResponse_Authentication VerifyAuthChallenge_Authentication
    InboundFederation_ExternalProvider
    TokenGeneration_HostedAuth TokenGeneration_Authentication TokenGeneration_NewPasswordChallenge
    TokenGeneration_AuthenticateDevice TokenGeneration_RefreshTokens TokenGeneration_ClientCredentials
    UserMigration_Authentication UserMigration_ForgotPassword
    CustomMessage_SignUp CustomMessage_AdminCreateUser CustomMessage_ResendCode CustomMessage_ForgotPassword
    CustomMessage_UpdateUserAttribute CustomMessage_VerifyUserAttribute CustomMessage_Authentication
    CustomEmailSender_SignUp CustomEmailSender_AdminCreateUser CustomEmailSender_ForgotPassword
    CustomEmailSender_UpdateUserAttribute CustomEmailSender_VerifyUserAttribute CustomEmailSender_Authentication
    CustomEmailSender_AccountTakeOverNotification
    CustomSMSSender_SignUp CustomSMSSender_AdminCreateUser CustomSMSSender_ForgotPassword
    CustomSMSSender_UpdateUserAttribute CustomSMSSender_VerifyUserAttribute CustomSMSSender_Authentication
    CustomSmsSender_SignUp CustomSmsSender_AdminCreateUser CustomSmsSender_ForgotPassword
    CustomSmsSender_UpdateUserAttribute CustomSmsSender_VerifyUserAttribute CustomSmsSender_Authentication";

#[test]
fn every_documented_source_has_a_fixture_and_every_fixture_its_line() {
    let sources: BTreeSet<String> =
        crate::fixtures().iter().filter_map(|(_, payload)| trigger_source(payload)).collect();
    let is_source = |word: &&str| {
        let mut parts = word.split('_');
        let is_name = |part: &str| part.len() > 3 && part.chars().all(|c| c.is_ascii_alphabetic());
        word.contains(char::is_lowercase) && parts.clone().count() == 2 && parts.all(is_name)
    };
    // What the table of flows says fires.
    let flows = include_str!("../../docs/flows.md").lines().filter(|line| line.starts_with("| `"));
    let named: Vec<&str> = flows.flat_map(|line| line.split('`')).filter(is_source).collect();
    assert!(named.len() > 40, "{named:?}");
    let missing: BTreeSet<&str> =
        DOCUMENTED.split_whitespace().chain(named).filter(|source| !sources.contains(*source)).collect();
    assert_eq!(missing, BTreeSet::new());

    let lines = include_str!("../fixtures/README.md").lines();
    let lines = lines.filter_map(|line| line.strip_prefix("| `")?.split(".json`").next());
    let files = crate::fixtures();
    assert_eq!(lines.collect::<BTreeSet<_>>(), files.iter().map(|(name, _)| &name[..]).collect());
}

#[test]
fn only_the_allow_listed_client_metadata_is_forwarded() {
    for (name, payload) in crate::fixtures() {
        let Ok(event) = read(&payload) else { continue };
        let encoded = Event::User(event).encode();
        assert!(!encoded.contains("password_hint") && !encoded.contains("the street I grew up in"), "{name}");
    }
    let client = fixture("post_authentication_with_client_metadata").data.client;
    assert_eq!(client.ip.as_deref(), Some("203.0.113.77"));
    assert_eq!(client.device.as_deref(), Some("Mobile"));
    assert_eq!(client.location.as_deref(), Some("Lyon, FR"));
    assert!(client.user_agent.unwrap().starts_with("Mozilla/5.0 (iPhone"));
}

#[test]
fn the_keys_of_client_metadata_are_the_applications() {
    let keys = ClientMetadataKeys::parse("ip=password_hint").unwrap();
    let fixtures = crate::fixtures();
    let (_, payload) =
        fixtures.iter().find(|(name, _)| name == "post_authentication_with_client_metadata").unwrap();
    let event = user_event(payload, &keys, EventId::new(Timestamp::now())).unwrap();
    assert_eq!(event.data.client.ip.as_deref(), Some("the street I grew up in"));
}

#[test]
fn long_client_metadata_is_bounded() {
    let client = fixture("post_authentication_long_client_metadata").data.client;
    assert_eq!(client.user_agent.unwrap().chars().count(), TEXT_MAX_CHARS);
    assert_eq!((client.location, client.referral_code), (None, None));
    assert_eq!(client.ip.as_deref(), Some("198.51.100.200"));
}

#[test]
fn booleans_are_texts_and_nulls_are_absent() {
    let attributes = fixture("post_authentication_boolean_attributes").data.attributes;
    assert!(["true", "false"].contains(&attributes["email_verified"].as_str()), "{attributes:?}");
    let with_null = &crate::fixtures()
        .into_iter()
        .find(|(name, _)| name == "post_authentication_null_attribute")
        .unwrap()
        .1;
    let raw: serde_json::Value = serde_json::from_str(with_null).unwrap();
    let raw = raw.pointer("/request/userAttributes").unwrap().as_object().unwrap();
    let read = read(with_null).unwrap().data.attributes;
    assert!(raw.values().any(serde_json::Value::is_null));
    for (name, _) in raw.iter().filter(|(_, value)| value.is_null()) {
        assert!(!read.contains_key(name.as_str()), "{name}");
    }
}

#[test]
fn the_sub_and_the_status_have_places_of_their_own() {
    let event = fixture("post_confirmation_confirm_sign_up_federated_google");
    assert!(event.data.federated);
    assert_eq!(event.data.status.as_deref(), Some("EXTERNAL_PROVIDER"));
    assert!(
        !event.data.attributes.contains_key("sub")
            && !event.data.attributes.contains_key("cognito:user_status")
    );
    let linked = fixture("post_authentication_federated_linked");
    assert!(!linked.data.federated, "linked identities do not make a native user federated");
}

#[test]
fn a_user_pool_that_cannot_be_one_is_none() {
    // What the fuzzer found: the consumer would have refused the event.
    for pool in ["", "\\u0000", &"x".repeat(TEXT_MAX_CHARS + 1)] {
        let payload = format!(
            r#"{{"triggerSource":"PostAuthentication_Authentication","userPoolId":"{pool}","request":
            {{"userAttributes":{{"sub":"abda62a8-5732-41ef-8c00-31d8dc083c34"}}}}}}"#
        );
        assert_eq!(read(&payload), Err(Ignored::NoUserPool));
    }
}

#[test]
fn whatever_the_rest_of_the_payload_is_the_login_is_read() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for odd in [&deep, "1e999", r#""\ud83d""#, r#"{"\udc00":1}"#, "-0.0000000000000000000000000001"] {
        let payload = format!(
            r#"{{"triggerSource":"PostAuthentication_Authentication","userPoolId":"p","odd":{odd},"request":{{"odd":{odd},
            "userAttributes":{{"sub":"abda62a8-5732-41ef-8c00-31d8dc083c34","name":"x","odd":{odd}}},"clientMetadata":{{"odd":{odd}}}}}}}"#
        );
        let event = read(&payload).unwrap_or_else(|why| panic!("{odd}: {}", why.as_str()));
        assert_eq!(event.data.attributes["name"], "x");
    }
}

/// Hosted UI and identity providers pass no ClientMetadata to a confirmation: an attribute has the code there.
#[test]
fn a_referral_code_is_an_attributes_where_a_confirmation_says_none() {
    let keys = ClientMetadataKeys::default().or_attribute("custom:referral_code").unwrap();
    let code = |source: &str, attribute: &str, metadata: &str| {
        let payload = format!(
            r#"{{"triggerSource":"{source}","userPoolId":"p","request":{{{metadata}"userAttributes":{{
            "sub":"abda62a8-5732-41ef-8c00-31d8dc083c34","cognito:user_status":"EXTERNAL_PROVIDER"{attribute}}}}}}}"#
        );
        let event = user_event(&payload, &keys, EventId::new(Timestamp::now())).unwrap();
        let kept = event.data.attributes.get("custom:referral_code").map(ToString::to_string);
        assert_eq!(
            kept.is_some(),
            attribute.contains("custom:referral_code"),
            "it stays among the attributes"
        );
        event.data.client.referral_code.map(String::from)
    };
    let confirmed = "PostConfirmation_ConfirmSignUp";
    let named = r#","custom:referral_code":" friend ""#;
    for metadata in [
        "",
        r#""clientMetadata":{},"#,
        r#""clientMetadata":null,"#,
        r#""clientMetadata":{"referral_code":" "},"#,
    ] {
        assert_eq!(code(confirmed, named, metadata).as_deref(), Some("friend"), "{metadata}");
        assert_eq!(code(confirmed, "", metadata), None, "{metadata}");
    }
    for nothing in ["", "  ", "undefined", "null", r"\u200b"] {
        let attribute = format!(r#","custom:referral_code":"{nothing}""#);
        assert_eq!(code(confirmed, &attribute, ""), None, "{nothing}");
    }
    let said = r#""clientMetadata":{"referral_code":"another"},"#;
    assert_eq!(code(confirmed, named, said).as_deref(), Some("another"));
    // Only a sign-up has one.
    for source in ["PostConfirmation_ConfirmForgotPassword", "PostAuthentication_Authentication"] {
        assert_eq!(code(source, named, ""), None, "{source}");
    }
    let number = code(confirmed, r#","custom:referral_code":1234"#, "");
    assert_eq!(number.as_deref(), Some("1234"));
    // Longer than a code can be carried: none, and the attribute is whole.
    let long = format!(r#","custom:referral_code":"{}""#, "x".repeat(TEXT_MAX_CHARS + 1));
    assert_eq!(code(confirmed, &long, ""), None);
}
