//! `user-sync-operator`: the Lambda behind a deployment's custom resources and schedules. Only wires
//! [`cognito_user_sync::ops::deployment`] to the runtime.

use std::time::{Duration, Instant, SystemTime};

use cognito_user_sync::cognito::rows::OPERATION_FAILED;
use cognito_user_sync::ops::deployment::{self, Kept, Operation};
use cognito_user_sync::{logging, metrics};
use cognito_user_sync_triggers::metrics::function_name;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

/// One request at a time, so one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init("info");
    let metrics = metrics::embedded(function_name("user-sync-operator"))?;
    let (operation, kept) = (Operation::from_env()?, &Kept::default());
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let deadline = Instant::now() + time_left(event.context.deadline());
        // Boxed: a comparison under way is large.
        let done = Box::pin(deployment::handle(operation, kept, event.payload.get(), deadline)).await;
        // A metric that cannot be written must not undo what was done.
        drop(metrics.flush(std::io::stdout()));
        done.map_err(|error| {
            let message = match error.advice() {
                Some(advice) => format!("{}; {advice}", logging::causes(&error)),
                None => logging::causes(&error),
            };
            tracing::error!(error = message, "the operation failed");
            Diagnostic { error_type: OPERATION_FAILED.to_owned(), error_message: message }
        })
    }))
    .await
}

fn time_left(deadline: SystemTime) -> Duration {
    deadline.duration_since(SystemTime::now()).unwrap_or_default()
}
