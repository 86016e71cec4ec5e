//! Reads a message of threat protection's log, `userAuthEvents`. Pure.
//!
//! Every leaf is a string, booleans too, and absent can be `""`, `"null"` or `"Other, Other"` ("Exporting user pool logs",
//! Cognito Developer Guide). Whatever another export makes of it is read as well.

use cognito_user_sync_triggers::event::{Occasion, Reporter};
use cognito_user_sync_triggers::json::{Object, object, scalar};
use serde_json::value::RawValue;

use crate::cognito::cloudtrail::{ID_MAX_CHARS, Whose};
use crate::cognito::records::record::{
    Ignored, Origin, OriginOf, Record, What, address, record_id, sub, word,
};
use crate::cognito::records::times;

/// Whether an object is the message of an event, without its envelope.
pub(super) fn is_message(message: &Object<'_>) -> bool {
    ["eventId", "eventType", "eventResponse"].iter().filter(|name| message.get(name).is_some()).count() >= 2
}

/// Reads a message, and what its envelope says beside it.
pub(super) fn read(
    envelope: &Object<'_>,
    message: &Object<'_>,
    is_ours: &dyn Fn(&str) -> bool,
) -> Result<Record, Ignored> {
    let leaf = |name: &str| scalar(message, name).and_then(word);
    let (what, name) = outcome(message)?;
    let source = object(envelope, "logSourceId");
    let pool = leaf("userPoolId").or_else(|| scalar(&source, "userPoolId").and_then(word));
    let client_id = leaf("clientId").filter(|id| id.chars().count() <= ID_MAX_CHARS);
    let whose = match (pool, &client_id) {
        (Some(pool), _) if is_ours(&pool) => Whose::Pool(pool),
        (Some(_), _) => return Err(Ignored::OtherPool),
        (None, Some(client)) => Whose::Client(client.clone()),
        (None, None) => return Err(Ignored::UnknownClient),
    };
    let sub = leaf("userSub").as_deref().and_then(sub);
    if what == What::Success(Occasion::SignUp) && sub.is_none() {
        return Err(Ignored::NoSub);
    }
    let event_id = leaf("eventId").ok_or(Ignored::NoId)?;
    let at = leaf("creationDate").as_deref().and_then(times::parse);
    let at = at.or_else(|| times::parse(&scalar(envelope, "eventTimestamp")?)).ok_or(Ignored::NoTime)?;
    // A sign-in has one id through all of its challenges, and succeeds once. It may fail several times, each by a request
    // of its own.
    let request = leaf("requestId").filter(|_| matches!(what, What::Failure(_))).unwrap_or_default();
    let record = format!("{event_id}/{name}/{request}");
    let risk = [leaf("riskDecision"), leaf("riskLevel")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Ok(Record {
        reporter: Reporter::ThreatProtection,
        id: record_id(at, Reporter::ThreatProtection, &record),
        whose,
        client_id,
        sub,
        what,
        origin_of: match leaf("hasContextData") {
            Some(said) if said.eq_ignore_ascii_case("true") => OriginOf::Person,
            Some(_) | None => OriginOf::Caller,
        },
        origin: Origin {
            ip: leaf("ipAddress").and_then(|ip| address(&ip)),
            user_agent: None,
            device: leaf("deviceName"),
            city: leaf("city"),
            country: leaf("country"),
        },
        flow: leaf("eventType"),
        risk: Some(risk).filter(|risk| !risk.is_empty()),
    })
}

/// What became of it, and our name for that.
fn outcome(message: &Object<'_>) -> Result<(What, &'static str), Ignored> {
    let leaf = |name: &str| scalar(message, name).and_then(word).unwrap_or_default();
    // However it is spelt: `SignIn`, `SIGN_IN`.
    let spelt = |name: &str| leaf(name).to_ascii_lowercase().replace(['_', '-', ' '], "");
    match (spelt("eventType").as_str(), spelt("eventResponse").as_str()) {
        ("signin", "pass") => Ok((What::Success(Occasion::SignIn), "sign_in/pass")),
        ("signin", "fail") => Ok((What::Failure(reason(message)), "sign_in/fail")),
        ("signin", "inprogress") => Err(Ignored::Challenge),
        ("signup", "pass") => Ok((What::Success(Occasion::SignUp), "sign_up/pass")),
        ("signup", _) => Err(Ignored::FailedSignUp),
        ("signin", _) => Err(Ignored::NoResult),
        _ => Err(Ignored::UnknownName),
    }
}

/// Why a sign-in failed: threat protection refused it, or a challenge failed, which says what was wrong. Never guessed.
fn reason(message: &Object<'_>) -> &'static str {
    let says = |name: &str, word: &str| {
        scalar(message, name).is_some_and(|said| said.to_ascii_lowercase().contains(word))
    };
    if says("riskDecision", "block") || says("compromisedCredentialDetected", "true") {
        return "blocked";
    }
    // A list of texts or of objects, each with a challenge and what became of it.
    let challenges: Vec<&RawValue> =
        message.get("challenges").and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default();
    let mut challenges = challenges.into_iter().map(|challenge| challenge.get().to_ascii_lowercase());
    let failed = challenges.rfind(|challenge| challenge.contains("fail")).unwrap_or_default();
    let names = |words: &[&str]| words.iter().any(|word| failed.contains(word));
    match () {
        () if names(&["password", "srp"]) => "wrong_password",
        () if names(&["mfa", "otp", "sms", "email", "code"]) => "wrong_code",
        () => "other",
    }
}
