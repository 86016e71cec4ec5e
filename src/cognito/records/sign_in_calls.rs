//! Reads CloudTrail's record of a call that signs somebody in or up. Pure.
//!
//! CloudTrail has the address and the user agent of whoever called Cognito, and mostly the `sub`. A pool is named only by
//! an administrator's call ("Amazon Cognito logging in AWS CloudTrail", Cognito Developer Guide).

use cognito_user_sync_triggers::event::{Occasion, Reporter};
use cognito_user_sync_triggers::json::{Object, object, scalar};

use crate::cognito::cloudtrail::{self, Whose};
use crate::cognito::records::record::{
    Ignored, Origin, OriginOf, Record, What, address, record_id, sub, user_agent, word,
};
use crate::cognito::records::times;

/// What a call is for, if it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    SignIn,
    SignUp,
}

const OPERATIONS: [(&str, Purpose, OriginOf); 6] = [
    ("InitiateAuth", Purpose::SignIn, OriginOf::Caller),
    ("RespondToAuthChallenge", Purpose::SignIn, OriginOf::Caller),
    ("AdminInitiateAuth", Purpose::SignIn, OriginOf::Backend),
    ("AdminRespondToAuthChallenge", Purpose::SignIn, OriginOf::Backend),
    ("SignUp", Purpose::SignUp, OriginOf::Caller),
    ("ConfirmSignUp", Purpose::SignUp, OriginOf::Caller),
];

/// Whether an operation is about a sign-in or a sign-up, so that the records of it are not for the lifecycle alone.
pub(super) fn is_known(operation: &str) -> bool {
    OPERATIONS.iter().any(|(name, ..)| *name == operation)
}

/// Reads a record; `is_ours` says whether we follow the pool of an id.
pub(super) fn read(record: &Object<'_>, is_ours: &dyn Fn(&str) -> bool) -> Result<Record, Ignored> {
    let leaf = |parent: &Object<'_>, name: &str| scalar(parent, name).and_then(word);
    let operation = leaf(record, "eventName").unwrap_or_default();
    let parameters = object(record, "requestParameters");
    let flow = leaf(&parameters, "authFlow");
    let is_refresh = matches!(flow.as_deref(), Some("REFRESH_TOKEN" | "REFRESH_TOKEN_AUTH"));
    if is_refresh || operation == "GetTokensFromRefreshToken" {
        return Err(Ignored::Refresh);
    }
    let known = OPERATIONS.iter().find(|(name, ..)| *name == operation);
    let Some((_, purpose, origin_of)) = known else {
        let is_page = leaf(record, "eventType").as_deref() == Some("AwsServiceEvent")
            || operation.ends_with("_POST")
            || operation.ends_with("_GET");
        return Err(if is_page { Ignored::ManagedLogin } else { Ignored::UnknownName });
    };
    let whose = match cloudtrail::whose(record, is_ours) {
        Ok(Whose::Nobody) => return Err(Ignored::UnknownClient),
        Ok(whose) => whose,
        Err(_) => return Err(Ignored::OtherPool),
    };
    let (what, sub) = outcome(record, *purpose)?;
    let event_id = leaf(record, "eventID").ok_or(Ignored::NoId)?;
    let at = leaf(record, "eventTime").and_then(|at| times::parse(&at)).ok_or(Ignored::NoTime)?;
    Ok(Record {
        reporter: Reporter::CloudTrail,
        id: record_id(at, Reporter::CloudTrail, &event_id),
        whose,
        client_id: cloudtrail::named(&[&parameters, &object(record, "additionalEventData")], &["clientId"]),
        sub,
        what,
        origin_of: *origin_of,
        origin: Origin {
            ip: leaf(record, "sourceIPAddress").and_then(|ip| address(&ip)),
            user_agent: scalar(record, "userAgent").and_then(user_agent),
            ..Origin::default()
        },
        flow: flow.or_else(|| leaf(&parameters, "challengeName")).or(Some(operation)),
        risk: None,
    })
}

/// What became of the call, and of whom it was.
fn outcome(record: &Object<'_>, purpose: Purpose) -> Result<(What, Option<uuid::Uuid>), Ignored> {
    let leaf = |parent: &Object<'_>, name: &str| scalar(parent, name).and_then(word);
    let response = object(record, "responseElements");
    let user = leaf(&object(record, "additionalEventData"), "sub").as_deref().and_then(sub);
    let code = leaf(record, "errorCode");
    match (purpose, code) {
        (Purpose::SignIn, Some(code)) => {
            let message = leaf(record, "errorMessage").unwrap_or_default();
            Ok((What::Failure(reason(&code, &message)), user))
        }
        (Purpose::SignUp, Some(_)) => Err(Ignored::FailedSignUp),
        (Purpose::SignUp, None) => {
            let user = user.or_else(|| leaf(&response, "userSub").as_deref().and_then(sub));
            Ok((What::Success(Occasion::SignUp), Some(user.ok_or(Ignored::NoSub)?)))
        }
        (Purpose::SignIn, None) => {
            // Its value is masked.
            let is_there = |text: Option<String>| text.is_some_and(|text| !text.is_empty() && text != "null");
            let result = object(&response, "authenticationResult");
            // All of it may be masked, as text.
            if is_there(scalar(&result, "accessToken")) || is_there(scalar(&response, "authenticationResult"))
            {
                return Ok((What::Success(Occasion::SignIn), user));
            }
            let goes_on =
                leaf(&response, "challengeName").is_some() || is_there(scalar(&response, "session"));
            Err(if goes_on { Ignored::Challenge } else { Ignored::NoResult })
        }
    }
}

/// Why a sign-in failed, by Cognito's error ("InitiateAuth", "RespondToAuthChallenge", Amazon Cognito user pools API
/// Reference). What its message says is not documented.
fn reason(code: &str, message: &str) -> &'static str {
    let code = code.rsplit(['#', '.']).next().unwrap_or(code).trim_end_matches("Exception");
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match code {
        "NotAuthorized" if says(&["disabled"]) => "disabled",
        "NotAuthorized" if says(&["attempts exceeded", "too many"]) => "throttled",
        "NotAuthorized" if says(&["security reasons"]) => "blocked",
        "NotAuthorized" if says(&["expired"]) => "expired_code",
        "NotAuthorized" if says(&["invalid session", "secret", "client"]) => "other",
        "NotAuthorized" => "wrong_password",
        "UserNotFound" => "no_such_user",
        "UserNotConfirmed" => "not_confirmed",
        "PasswordResetRequired" => "password_reset_required",
        "CodeMismatch" | "EnableSoftwareTokenMFA" => "wrong_code",
        "ExpiredCode" => "expired_code",
        "TooManyRequests" | "TooManyFailedAttempts" | "LimitExceeded" | "Throttling" => "throttled",
        "Forbidden" => "blocked",
        _ => "other",
    }
}
