//! `user-sync-lifecycle`: the Lambda behind EventBridge's rule for CloudTrail and behind the heartbeat's schedule; and, by
//! `USER_SYNC_CONTEXT_QUEUE_URL`, behind the records of sign-ins. Only wires [`cognito_user_sync::cognito::lifecycle`] and
//! [`cognito_user_sync::cognito::records`] to the runtime.

use cognito_user_sync::cognito::lifecycle::{self, Lifecycle};
use cognito_user_sync::cognito::records::{self, Records};
use cognito_user_sync::config::Environment;
use cognito_user_sync::logging;
use cognito_user_sync_triggers::metrics::function_name;
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// What this function is deployed for: one of the two, or both.
struct Functions {
    records: Option<Records>,
    lifecycle: Option<Lifecycle>,
}

impl Functions {
    async fn from_env() -> Result<Self, Error> {
        let records = Records::from_env().await?;
        let environment = Environment::process();
        let has_queue = [QUEUE_URL_VARIABLE, lifecycle::POOLS_VARIABLE]
            .iter()
            .any(|name| environment.raw(name).is_some());
        // Who only reads records needs no other queue.
        let lifecycle = match records.is_none() || has_queue {
            true => Some(Lifecycle::from_env().await?),
            false => None,
        };
        Ok(Self { records, lifecycle })
    }

    async fn warm(&self) {
        if let Some(records) = &self.records {
            records.warm().await;
        }
        if let Some(lifecycle) = &self.lifecycle {
            lifecycle.warm().await;
        }
    }

    async fn handle(&self, payload: &str) -> Result<Value, Error> {
        if let Some(records) = &self.records {
            match Box::pin(records.handle(payload)).await? {
                records::Handled::Batch(failed) => {
                    let failures: Vec<Value> =
                        failed.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
                    return Ok(json!({ "batchItemFailures": failures }));
                }
                records::Handled::Done => return Ok(Value::Null),
                records::Handled::DoneAndChange | records::Handled::Other => {}
            }
        }
        if let Some(lifecycle) = &self.lifecycle {
            Box::pin(follow(lifecycle, payload)).await?;
        }
        Ok(Value::Null)
    }
}

/// One event at a time, so one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init("info");
    let collector = cognito_user_sync::metrics::embedded(function_name("user-sync-lifecycle"))?;
    let functions = Box::pin(Functions::from_env()).await?;
    functions.warm().await;
    let functions = &functions;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let handled = functions.handle(event.payload.get()).await;
        // A metric that cannot be written must not fail the event.
        drop(collector.flush(std::io::stdout()));
        handled
    }))
    .await
}

async fn follow(followed: &Lifecycle, payload: &str) -> Result<(), lifecycle::LifecycleError> {
    use lifecycle::{Handled, Ignored};
    let handled = followed.handle(payload).await;
    match &handled {
        Ok(Handled::Published) => metrics::counter!("published").increment(1),
        Ok(Handled::Looked) => metrics::counter!("looked").increment(1),
        Ok(Handled::Ignored(why)) => {
            if matches!(why, Ignored::NoSub | Ignored::NoGroup | Ignored::Unreadable) {
                tracing::warn!(reason = why.as_str(), "a change of a user or a group is not followed");
            }
            metrics::counter!("ignored", "reason" => why.as_str()).increment(1);
        }
        Err(error) => {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "Lambda will hand this event over again"
            );
            metrics::counter!("failed").increment(1);
        }
    }
    handled.map(drop)
}
