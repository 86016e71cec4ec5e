//! `user-sync-lifecycle`: the Lambda behind EventBridge's rule for CloudTrail and behind the heartbeat's
//! schedule. Only wires [`cognito_user_sync::cognito::lifecycle`] to the runtime.

use cognito_user_sync::cognito::lifecycle::{Handled, Ignored, Lifecycle};
use cognito_user_sync::logging;
use cognito_user_sync_triggers::metrics::function_name;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

/// One event at a time, so one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init("info");
    let collector = cognito_user_sync::metrics::embedded(function_name("user-sync-lifecycle"))?;
    let lifecycle = Lifecycle::from_env().await?;
    lifecycle.warm().await;
    let lifecycle = &lifecycle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let handled = lifecycle.handle(event.payload.get()).await;
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
        // A metric that cannot be written must not fail the event.
        drop(collector.flush(std::io::stdout()));
        Ok::<_, Error>(handled.map(drop)?)
    }))
    .await
}
