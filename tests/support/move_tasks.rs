//! A second SQS server, which has message move tasks; only tests that redrive start it.

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync::dev::stack::{Emulator, Progress, Sqs, Stack};
use tokio::sync::OnceCell;

static SQS: OnceCell<Sqs> = OnceCell::const_new();

/// Shared by all tests; ends with this process.
pub async fn sqs() -> &'static Sqs {
    let start = || async { Sqs::start(Emulator::LocalStack, &Progress::Lines).await.expect("SQS starts") };
    SQS.get_or_init(start).await
}

/// A database on `stack` and queues that can be redriven.
pub async fn deployment_on(stack: &Stack) -> Deployment {
    Deployment::create_on(stack, sqs().await.endpoint()).await.expect("the deployment is made")
}

/// A database on the shared server and queues that can be redriven.
pub async fn deployment() -> Deployment {
    deployment_on(super::stack().await).await
}
