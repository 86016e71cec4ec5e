//! `user-sync-consumer`: the Lambda behind the event source mappings of the queues. Only wires
//! [`cognito_user_sync::consumer::lambda`] to the runtime.

use cognito_user_sync::config::Config;
use cognito_user_sync::consumer::lambda;
use cognito_user_sync::consumer::queues::Queues;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::store::Applier;
use cognito_user_sync::{logging, metrics, postgres};
use cognito_user_sync_triggers::metrics::function_name;
use lambda_runtime::Error;

/// One batch at a time, so one thread and one connection; another one may be opened before the pool would wait.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    logging::init("info");
    let config = Config::from_env()?;
    let geoip = GeoIp::open(config.geoip_file.as_deref())?;
    let database = postgres::connect(&config.database, 2).await?;
    let queues = Queues::of(&config).await;
    let applier = Applier::new(database).with_geoip(geoip).accepting(config.user_pools);
    let metrics = metrics::embedded(function_name("user-sync-consumer"))?;
    let (applier, queues, metrics) = (&applier, &queues, &metrics);
    lambda::serve(|payload| async move {
        // No timer runs while the function is frozen.
        applier.database().refresh_if_old().await;
        // Boxed: a batch under way is large.
        let handled = Box::pin(lambda::handle(applier, queues, &payload)).await;
        // A metric that cannot be written is no reason to apply a batch again.
        drop(metrics.flush(std::io::stdout()));
        Ok(handled?)
    })
    .await
}
