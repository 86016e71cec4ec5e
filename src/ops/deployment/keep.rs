//! Looks whether the user pool calls the trigger, when somebody has changed the pool and on a schedule, and puts the trigger
//! back where the deployment is told to. Must not know how; [`crate::cognito::triggers`] does.
//!
//! The environment says which pool and which function, as for `pool-triggers`. The payload says only when: CloudTrail's
//! record of a call, as EventBridge delivers it, or `{"keep":true}`.

use std::time::Instant;

use cognito_user_sync_triggers::json::{Object, object, text};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::cognito::triggers::{self, Keeper, Kept, Looked, Parameter, Reason};
use crate::cognito::user_pool::UserPool;
use crate::config::{ConfigError, Environment};
use crate::ops::deployment::{Error, triggers as pool_triggers};

/// The name of the variable that says whether triggers are put back.
pub(super) const VARIABLE: &str = "USER_SYNC_KEEP_TRIGGERS";

/// Whether triggers are put back, and the parameter's name.
///
/// # Errors
/// Without the parameter nothing can be put back.
pub(super) fn parameter(environment: Environment<'_>) -> Result<(bool, Option<String>), ConfigError> {
    let puts_back = environment.flag(VARIABLE)?;
    let parameter = match puts_back {
        true => Some(environment.required(
            triggers::VARIABLE,
            "the parameter that holds who holds the triggers, and how often they were put back",
        )?),
        false => environment.optional(triggers::VARIABLE)?,
    };
    Ok((puts_back, parameter))
}

/// What a payload asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// A look; after a call that may have taken the triggers away, and when that was.
    Look(Option<Timestamp>),
    /// Nothing: it is of another pool, or no call of Cognito's.
    Nothing,
}

/// Reads a payload. Anything may be missing or null.
fn asked(payload: &str, user_pool_id: &str) -> Asked {
    let Ok(envelope) = serde_json::from_str::<Object<'_>>(payload) else { return Asked::Nothing };
    let is_schedule = envelope.get("keep").is_some_and(|value| value.get() == "true");
    if is_schedule || text(&envelope, "detail-type").as_deref() == Some("Scheduled Event") {
        return Asked::Look(None);
    }
    let detail = object(&envelope, "detail");
    let of_pool = ["requestParameters", "additionalEventData", "responseElements"]
        .into_iter()
        .find_map(|member| text(&object(&detail, member), "userPoolId"));
    match text(&detail, "eventName") {
        None => Asked::Nothing,
        Some(_) if of_pool.is_some_and(|named| named != user_pool_id) => Asked::Nothing,
        Some(name) => {
            let has_failed = text(&detail, "errorCode").is_some_and(|code| !code.is_empty());
            let at = text(&detail, "eventTime").or_else(|| text(&envelope, "time"));
            let at = at.and_then(|at| Timestamp::parse(&at).ok());
            Asked::Look(at.filter(|_| name == "UpdateUserPool" && !has_failed))
        }
    }
}

pub(super) async fn handle(payload: &str, deadline: Instant) -> Result<Value, Error> {
    let wanted = pool_triggers::pinned(Environment::process())?;
    let (puts_back, parameter) = parameter(Environment::process())?;
    let Asked::Look(record) = asked(payload, &wanted.user_pool_id) else {
        tracing::info!("the event is not of this user pool, and ignored");
        return Ok(json!({ "ignored": true }));
    };
    let user_pool = UserPool::new(wanted.user_pool_id.clone()).await;
    let parameter = match parameter {
        Some(name) => Some(Parameter::new(name).await),
        None => None,
    };
    let keeper = Keeper {
        client: user_pool.client(),
        user_pool_id: &wanted.user_pool_id,
        function_arn: &wanted.function_arn,
        parameter: parameter.as_ref(),
        puts_back,
    };
    let looked = keeper.look(record, deadline).await?;
    record_metrics(&looked);
    Ok(json!({ "missing": looked.missing, "kept": word(looked.kept) }))
}

fn record_metrics(looked: &Looked) {
    metrics::histogram!("triggers_missing").record(u32::try_from(looked.missing).unwrap_or(u32::MAX));
    let not_put_back =
        |reason: Reason| metrics::counter!("triggers_not_put_back", "reason" => reason.as_str()).increment(1);
    match looked.kept {
        Kept::PutBack => {
            metrics::counter!("triggers_put_back").increment(1);
            if looked.is_foreign {
                not_put_back(Reason::Foreign);
            }
        }
        Kept::NotPutBack(reason) => not_put_back(reason),
        Kept::Complete | Kept::OnlyLooked => {}
    }
}

fn word(kept: Kept) -> &'static str {
    match kept {
        Kept::Complete => "complete",
        Kept::OnlyLooked => "only_looked",
        Kept::PutBack => "put_back",
        Kept::NotPutBack(reason) => reason.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "eu-west-1_Abc123Def";

    fn record(name: &str, pool: &str, code: &Value) -> String {
        let detail = json!({
            "eventSource": "cognito-idp.amazonaws.com", "eventName": name, "eventTime": "2026-01-31T08:30:00Z",
            "errorCode": code, "requestParameters": { "userPoolId": pool }
        });
        json!({ "detail-type": "AWS API Call via CloudTrail", "detail": detail }).to_string()
    }

    #[test]
    fn a_look_knows_the_time_of_the_call_that_it_follows() {
        let at = Timestamp::parse("2026-01-31T08:30:00Z").ok();
        assert_eq!(asked(&record("UpdateUserPool", POOL, &Value::Null), POOL), Asked::Look(at));
        // A call that succeeded may carry an empty code.
        assert_eq!(asked(&record("UpdateUserPool", POOL, &"".into()), POOL), Asked::Look(at));
        assert_eq!(asked(&record("UpdateUserPool", POOL, &"Denied".into()), POOL), Asked::Look(None));
        assert_eq!(asked(&record("CreateUserPoolReplica", POOL, &Value::Null), POOL), Asked::Look(None));
        assert_eq!(asked(r#"{"keep":true}"#, POOL), Asked::Look(None));
        assert_eq!(asked(r#"{"detail-type":"Scheduled Event","detail":{}}"#, POOL), Asked::Look(None));
        let unnamed = r#"{"detail":{"eventName":"UpdateUserPool","requestParameters":null,"eventTime":7}}"#;
        assert_eq!(asked(unnamed, POOL), Asked::Look(None));
    }

    #[test]
    fn another_pools_call_and_what_is_no_call_ask_for_nothing() {
        assert_eq!(asked(&record("UpdateUserPool", "eu-west-1_Other", &Value::Null), POOL), Asked::Nothing);
        for payload in ["", "[]", "{}", r#"{"keep":false}"#, r#"{"detail":{}}"#, r#"{"heartbeat":true}"#] {
            assert_eq!(asked(payload, POOL), Asked::Nothing, "{payload}");
        }
    }
}
