//! `user-sync-trigger`: the Lambda behind PostConfirmation and PostAuthentication, one function for both,
//! so that they share one warm pool. Only wires [`cognito_user_sync_triggers::trigger`] to the runtime.

use std::sync::Arc;
use std::time::Instant;

use cognito_user_sync_triggers::metrics;
use cognito_user_sync_triggers::trigger::Trigger;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

/// One event at a time, so one thread: the smallest function is the fastest to start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let began = Instant::now();
    let metrics = metrics::embedded(metrics::function_name("user-sync-trigger"))?;
    let trigger = Arc::new(Trigger::from_env().await);
    trigger.warm().await;
    trigger.ready(began);
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
        let trigger = Arc::clone(&trigger);
        async move {
            let answer = trigger.handle(event.payload).await;
            // A metric that cannot be written must not fail a sign-in.
            drop(metrics.flush(std::io::stdout()));
            // A former function's error, told as it was told to us.
            answer.map_err(|failure| Diagnostic {
                error_type: failure.error_type,
                error_message: failure.error_message,
            })
        }
    }))
    .await
}
