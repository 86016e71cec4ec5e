//! Records as they are written, and as they are not: the fixtures in every odd spelling.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use cognito_user_sync_triggers::event::Event;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::pack::{Known, pack};
use super::record::{Origin, OriginOf};
use super::*;
use crate::cognito::cloudtrail::Whose;

const POOL: &str = "eu-west-1_Example00";
const CLIENT: &str = "1example23456789";

macro_rules! fixture {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!(
            "../../../tests/fixtures/records/",
            $name,
            ".json"
        )))
        .unwrap()
    };
}

fn read_ours(record: &Value) -> Result<Record, Ignored> {
    read(&record.to_string(), &|pool| pool == POOL)
}

/// What a record amounts to, in a line.
fn said(record: &Value) -> String {
    let record = match read_ours(record) {
        Ok(record) => record,
        Err(why) => return why.as_str().to_owned(),
    };
    let what = match record.what {
        What::Success(occasion) => occasion.as_str(),
        What::Failure(reason) => reason,
    };
    let origin_of = match record.origin_of {
        OriginOf::Person => "person",
        OriginOf::Caller => "caller",
        OriginOf::Backend => "backend",
    };
    let whose = match record.whose {
        Whose::Pool(_) => "pool",
        Whose::Client(_) => "client",
        Whose::Nobody => "nobody",
    };
    assert!(record.client_id.is_none_or(|client| client == CLIENT));
    let Origin { ip, user_agent, device, city, country } = record.origin;
    let agent = user_agent.map(|agent| agent.split(['/', ' ']).next().unwrap_or_default().to_owned());
    let user = record.sub.map(|_| "user".to_owned());
    let rest = [user, ip.map(|ip| ip.to_string()), agent, device, city, country, record.flow, record.risk];
    let rest: Vec<String> = rest.into_iter().flatten().collect();
    format!("{} {what} {whose} {origin_of}: {}", record.id.time(), rest.join("; "))
}

/// A fixture after changes at paths.
fn changed(fixture: &Value, changes: &[(&str, Value)]) -> Value {
    let mut record = fixture.clone();
    for (path, value) in changes {
        let (parent, name) = path.rsplit_once('/').unwrap();
        record.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    record
}

const SIGNED_IN: &str =
    "2026-01-01T00:00:00.000Z sign_in client caller: user; 203.0.113.9; Mozilla; USER_PASSWORD_AUTH";

#[test]
fn calls_are_read_by_what_came_of_them() {
    let failed = SIGNED_IN.replace("sign_in", "wrong_password");
    for (fixture, expected) in [
        (fixture!("cloudtrail_initiate_auth"), SIGNED_IN),
        (fixture!("cloudtrail_initiate_auth_failed"), &failed),
        (fixture!("cloudtrail_initiate_auth_challenge"), "challenge"),
        (fixture!("cloudtrail_initiate_auth_refresh"), "refresh"),
        (
            fixture!("cloudtrail_respond_to_auth_challenge"),
            &SIGNED_IN.replace("USER_PASSWORD_AUTH", "PASSWORD_VERIFIER"),
        ),
        (
            fixture!("cloudtrail_admin_initiate_auth"),
            "2026-01-01T00:00:00.000Z sign_in pool backend: user; 198.51.100.7; Boto3; ADMIN_USER_PASSWORD_AUTH",
        ),
        (
            fixture!("cloudtrail_admin_respond_to_auth_challenge"),
            "2026-01-01T00:00:00.000Z sign_in pool backend: user; 198.51.100.7; Boto3; EMAIL_OTP",
        ),
        (
            fixture!("cloudtrail_sign_up"),
            "2026-01-01T00:00:00.000Z sign_up client caller: user; 203.0.113.9; Mozilla; SignUp",
        ),
        (
            fixture!("cloudtrail_confirm_sign_up"),
            "2026-01-01T00:00:00.000Z sign_up client caller: user; 203.0.113.9; Mozilla; ConfirmSignUp",
        ),
        (fixture!("cloudtrail_managed_login"), "managed_login"),
    ] {
        assert_eq!(said(&fixture), expected, "{fixture}");
        // A file of S3 holds the record without EventBridge's envelope.
        assert_eq!(said(&fixture["detail"]), expected, "{fixture}");
    }
}

#[test]
fn odd_spellings_of_a_call_are_the_same_or_have_a_reason() {
    let (call, without) = (fixture!("cloudtrail_initiate_auth"), |part: &str| SIGNED_IN.replace(part, ""));
    let hidden = json!("HIDDEN_DUE_TO_SECURITY_REASONS");
    for (changes, expected) in [
        (
            vec![("/detail/requestParameters/authParameters", json!({ "USERNAME": hidden }))],
            SIGNED_IN.to_owned(),
        ),
        (vec![("/detail/requestParameters/authParameters", Value::Null)], SIGNED_IN.to_owned()),
        (vec![("/detail/errorCode", json!("")), ("/detail/errorMessage", Value::Null)], SIGNED_IN.to_owned()),
        (vec![("/detail/additionalEventData/sub", Value::Null)], without("user; ")),
        (vec![("/detail/additionalEventData/sub", json!(""))], without("user; ")),
        (vec![("/detail/additionalEventData/sub", json!("null"))], without("user; ")),
        (vec![("/detail/additionalEventData/sub", json!(7))], without("user; ")),
        (vec![("/detail/additionalEventData", Value::Null)], without("user; ")),
        (vec![("/detail/additionalEventData", hidden.clone())], without("user; ")),
        (vec![("/detail/sourceIPAddress", json!("cognito-idp.amazonaws.com"))], without("203.0.113.9; ")),
        (vec![("/detail/sourceIPAddress", Value::Null)], without("203.0.113.9; ")),
        (vec![("/detail/userAgent", json!("cognito-idp.amazonaws.com"))], without("Mozilla; ")),
        (vec![("/detail/userAgent", Value::Null)], without("Mozilla; ")),
        (vec![("/detail/responseElements", Value::Null)], "no_result".to_owned()),
        (vec![("/detail/responseElements", hidden.clone())], "no_result".to_owned()),
        (
            vec![("/detail/responseElements/authenticationResult/accessToken", Value::Null)],
            "no_result".to_owned(),
        ),
        (vec![("/detail/responseElements/authenticationResult", Value::Null)], "no_result".to_owned()),
        (
            vec![
                ("/detail/responseElements/authenticationResult", Value::Null),
                ("/detail/responseElements/challengeName", json!("SMS_MFA")),
            ],
            "challenge".to_owned(),
        ),
        (vec![("/detail/requestParameters/authFlow", json!("REFRESH_TOKEN"))], "refresh".to_owned()),
        (vec![("/detail/eventName", json!("GetTokensFromRefreshToken"))], "refresh".to_owned()),
        (vec![("/detail/eventName", json!("AdminDeleteUser"))], "unknown_name".to_owned()),
        (vec![("/detail/eventName", json!("Token_POST"))], "managed_login".to_owned()),
        (vec![("/detail/requestParameters/clientId", Value::Null)], "unknown_client".to_owned()),
        (vec![("/detail/requestParameters/userPoolId", json!("eu-west-1_Other"))], "other_pool".to_owned()),
        (vec![("/detail/eventID", Value::Null)], "no_id".to_owned()),
        (vec![("/detail/eventTime", json!("yesterday"))], "no_time".to_owned()),
        (vec![("/detail/eventTime", json!(1_767_225_600))], SIGNED_IN.to_owned()),
        (vec![("/detail/eventSource", json!("ec2.amazonaws.com"))], "not_cognito".to_owned()),
        (vec![("/detail", Value::Null)], "not_cognito".to_owned()),
    ] {
        assert_eq!(said(&changed(&call, &changes)), expected, "{changes:?}");
    }
    let long = changed(&call, &[("/detail/userAgent", json!("é".repeat(100_000)))]);
    assert_eq!(read_ours(&long).unwrap().origin.user_agent.unwrap().chars().count(), 1_024);
    for text in ["", "[]", "null", "7", "{", "\"{}\""] {
        assert_eq!(read(text, &|_| true), Err(Ignored::Unreadable), "{text}");
    }
    assert_eq!(read("{}", &|_| true), Err(Ignored::NotCognito));
    let sign_up = fixture!("cloudtrail_sign_up");
    for (path, value, expected) in [
        ("/detail/responseElements/userSub", Value::Null, "no_sub"),
        ("/detail/errorCode", json!("UsernameExistsException"), "failed_sign_up"),
    ] {
        assert_eq!(said(&changed(&sign_up, &[(path, value)])), expected);
    }
}

#[test]
fn a_call_that_failed_has_one_of_few_reasons() {
    let call = fixture!("cloudtrail_initiate_auth_failed");
    for (code, message, expected) in [
        ("NotAuthorizedException", "Incorrect username or password.", "wrong_password"),
        ("NotAuthorizedException", "", "wrong_password"),
        ("com.amazonaws.cognito#NotAuthorizedException", "", "wrong_password"),
        ("NotAuthorizedException", "User is disabled.", "disabled"),
        ("NotAuthorizedException", "Password attempts exceeded", "throttled"),
        ("NotAuthorizedException", "Invalid session for the user, session is expired.", "expired_code"),
        ("NotAuthorizedException", "Invalid session for the user.", "other"),
        ("NotAuthorizedException", "Unable to verify secret hash for client 1example23456789", "other"),
        ("NotAuthorizedException", "Unable to login because of security reasons.", "blocked"),
        ("UserNotFoundException", "User does not exist.", "no_such_user"),
        ("UserNotConfirmedException", "User is not confirmed.", "not_confirmed"),
        ("PasswordResetRequiredException", "", "password_reset_required"),
        ("CodeMismatchException", "", "wrong_code"),
        ("ExpiredCodeException", "", "expired_code"),
        ("TooManyRequestsException", "", "throttled"),
        ("LimitExceededException", "", "throttled"),
        ("ForbiddenException", "", "blocked"),
        ("UserLambdaValidationException", "", "other"),
        ("SomethingNew", "", "other"),
    ] {
        let changes = [("/detail/errorCode", json!(code)), ("/detail/errorMessage", json!(message))];
        let record = read_ours(&changed(&call, &changes)).unwrap();
        assert_eq!(record.what, What::Failure(expected), "{code}: {message}");
    }
}

const PASSED: &str = "2026-01-01T00:00:00.000Z sign_in pool person: user; 203.0.113.9; Mobile Safari 18, iOS 18.5; Dublin; \
                      Ireland; SignIn; NoRisk Low";

#[test]
fn messages_of_threat_protection_are_read_by_what_came_of_them() {
    for (fixture, expected) in [
        (fixture!("auth_events_sign_in"), PASSED),
        (
            fixture!("auth_events_sign_in_without_context"),
            "2026-01-01T00:00:00.000Z sign_in pool caller: user; 203.0.113.9; SignIn; PASS",
        ),
        (fixture!("auth_events_sign_in_challenge"), "challenge"),
        (fixture!("auth_events_sign_in_failed"), &PASSED.replace("sign_in", "wrong_password")),
        (
            fixture!("auth_events_sign_in_blocked"),
            &PASSED.replace("sign_in", "blocked").replace("NoRisk Low", "Block High"),
        ),
        (fixture!("auth_events_sign_up"), &PASSED.replace("sign_in", "sign_up").replace("SignIn", "SignUp")),
        (fixture!("auth_events_forgot_password"), "unknown_name"),
    ] {
        assert_eq!(said(&fixture), expected, "{fixture}");
        // Without the envelope; the message as a text; and as the text of a log's line.
        assert_eq!(said(&fixture["message"]), expected);
        let text = changed(&fixture, &[("/message", json!(fixture["message"].to_string()))]);
        assert_eq!(said(&text), expected);
        assert_eq!(said(&json!({ "timestamp": 1, "message": fixture.to_string() })), expected);
    }
}

#[test]
fn odd_spellings_of_a_message_are_the_same_or_have_a_reason() {
    let event = fixture!("auth_events_sign_in");
    let without = |part: &str| PASSED.replace(part, "");
    for (path, value, expected) in [
        ("/eventSource", Value::Null, PASSED.to_owned()),
        ("/eventSource", json!("USER_AUTH_EVENTS"), PASSED.to_owned()),
        ("/message/eventType", json!("SIGN_IN"), PASSED.replace("SignIn", "SIGN_IN")),
        ("/message/eventResponse", json!("PASS"), PASSED.to_owned()),
        ("/message/hasContextData", json!(true), PASSED.to_owned()),
        ("/message/hasContextData", json!(false), PASSED.replace("person", "caller")),
        ("/message/hasContextData", Value::Null, PASSED.replace("person", "caller")),
        ("/message/userPoolId", Value::Null, PASSED.to_owned()),
        ("/message/userPoolId", json!("eu-west-1_Other"), "other_pool".to_owned()),
        ("/message/clientId", json!("null"), PASSED.to_owned()),
        ("/message/userSub", json!(""), without("user; ")),
        ("/message/userSub", json!("null"), without("user; ")),
        ("/message/userSub", Value::Null, without("user; ")),
        ("/message/ipAddress", json!("null"), without("203.0.113.9; ")),
        ("/message/ipAddress", json!(""), without("203.0.113.9; ")),
        ("/message/deviceName", json!("Other, Other"), without("Mobile Safari 18, iOS 18.5; ")),
        ("/message/city", json!("null"), without("Dublin; ")),
        ("/message/country", json!(""), without("Ireland; ")),
        ("/message/riskLevel", json!(""), without(" Low")),
        ("/message/riskDecision", Value::Null, without("NoRisk ")),
        ("/message/challenges", json!("Password:Success"), PASSED.to_owned()),
        ("/message/creationDate", json!("2026-01-01T00:00:00Z"), PASSED.to_owned()),
        ("/message/creationDate", json!(1_767_225_600_000_u64), PASSED.to_owned()),
        ("/message/creationDate", json!("null"), PASSED.replace(".000Z", ".123Z")),
        ("/message/creationDate", json!("Thu Jan 01 00:00:00 PST 2026"), PASSED.replace(".000Z", ".123Z")),
        ("/message/eventId", json!(""), "no_id".to_owned()),
        ("/message/eventResponse", json!("Maybe"), "no_result".to_owned()),
        ("/message/eventResponse", Value::Null, "no_result".to_owned()),
        ("/message/eventType", json!("PasswordChange"), "unknown_name".to_owned()),
        ("/message", Value::Null, "not_cognito".to_owned()),
        ("/message", json!("CWL CONTROL MESSAGE"), "not_cognito".to_owned()),
    ] {
        assert_eq!(said(&changed(&event, &[(path, value.clone())])), expected, "{path}: {value}");
    }
    let nobody = changed(&event, &[("/message/userPoolId", json!("")), ("/logSourceId", Value::Null)]);
    assert_eq!(said(&nobody), PASSED.replace("pool", "client"));
    assert_eq!(said(&changed(&nobody, &[("/message/clientId", json!(""))])), "unknown_client");
    let timeless = [("/message/creationDate", json!("soon")), ("/eventTimestamp", Value::Null)];
    assert_eq!(said(&changed(&event, &timeless)), "no_time");
    let sign_up = changed(&fixture!("auth_events_sign_up"), &[("/message/userSub", json!(""))]);
    assert_eq!(said(&sign_up), "no_sub");
    let failed = changed(&fixture!("auth_events_sign_up"), &[("/message/eventResponse", json!("Fail"))]);
    assert_eq!(said(&failed), "failed_sign_up");
    // A text in a text in a text, and so on, comes to an end.
    let mut nested = event.to_string();
    for _ in 0..10 {
        nested = json!({ "message": nested }).to_string();
    }
    assert_eq!(read(&nested, &|_| true), Err(Ignored::NotCognito));
}

#[test]
fn why_threat_protection_saw_a_sign_in_fail_is_never_guessed() {
    let event = fixture!("auth_events_sign_in_failed");
    let object = |name: &str, said: &str| json!([{ "challengeName": name, "challengeResponse": said }]);
    for (challenges, expected) in [
        (json!(["Password:Failure"]), "wrong_password"),
        (object("Password", "Failure"), "wrong_password"),
        (object("PASSWORD_VERIFIER", "FAILED"), "wrong_password"),
        (object("Mfa", "Failure"), "wrong_code"),
        (json!(["Password:Success", "Mfa:Failure"]), "wrong_code"),
        (json!(["EMAIL_OTP:Failure"]), "wrong_code"),
        (object("Password", "Success"), "other"),
        (object("DEVICE", "Failure"), "other"),
        (json!([]), "other"),
        (Value::Null, "other"),
        (json!("Password:Failure"), "other"),
    ] {
        let record = read_ours(&changed(&event, &[("/message/challenges", challenges.clone())])).unwrap();
        assert_eq!(record.what, What::Failure(expected), "{challenges}");
    }
    let compromised = changed(&event, &[("/message/compromisedCredentialDetected", json!("true"))]);
    assert_eq!(read_ours(&compromised).unwrap().what, What::Failure("blocked"));
}

#[test]
fn a_sign_in_succeeds_once_and_may_fail_several_times() {
    let id = |event: &Value, request: &str| {
        read_ours(&changed(event, &[("/message/requestId", json!(request))])).unwrap().id
    };
    let (passed, failed) = (fixture!("auth_events_sign_in"), fixture!("auth_events_sign_in_failed"));
    assert_eq!(id(&passed, "a"), id(&passed, "b"));
    assert_eq!(id(&failed, "a"), id(&failed, "a"));
    assert_ne!(id(&failed, "a"), id(&failed, "b"));
    assert_ne!(id(&failed, "a"), id(&passed, "a"));
    // However it is written.
    let bare = read_ours(&passed["message"]).unwrap().id;
    assert_eq!(bare, read_ours(&passed).unwrap().id);
    assert_eq!(bare.to_string(), "019b76da-a800-7475-b741-2de916b103e1");
    let call = fixture!("cloudtrail_initiate_auth");
    assert_eq!(read_ours(&call).unwrap().id, read_ours(&call["detail"]).unwrap().id);
}

proptest! {
    /// Pieces of records in any order: nothing panics, and what is read can be packed and decoded.
    #[test]
    fn whatever_a_record_holds_its_message_can_be_decoded(
        texts in prop::collection::vec("\\PC{0,40}|null|Other, Other|\u{fffe}|203.0.113.9|true", 14),
        is_call: bool,
    ) {
        let fixture = if is_call { fixture!("cloudtrail_initiate_auth") } else { fixture!("auth_events_sign_in") };
        let paths: &[&str] = match is_call {
            true => &[
                "/detail/sourceIPAddress", "/detail/userAgent", "/detail/errorCode", "/detail/errorMessage",
                "/detail/eventID", "/detail/additionalEventData/sub", "/detail/requestParameters/authFlow",
            ],
            false => &[
                "/message/ipAddress", "/message/deviceName", "/message/city", "/message/country",
                "/message/eventId", "/message/userSub", "/message/riskLevel", "/message/challenges",
            ],
        };
        let changes: Vec<(&str, Value)> =
            paths.iter().zip(&texts).map(|(path, text)| (*path, json!(text))).collect();
        if let Ok(record) = read_ours(&changed(&fixture, &changes)) {
            let known = Known { item: 0, user_pool_id: POOL.to_owned(), is_device: true, record };
            for message in pack(vec![known]) {
                prop_assert!(Event::decode(&message.body).is_ok(), "{}", message.body);
            }
        }
    }
}
