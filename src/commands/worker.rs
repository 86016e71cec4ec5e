//! `user-sync worker`: drains the queue until the process ends.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use cognito_user_sync::config::Config;
use cognito_user_sync::consumer::liveness::{Liveness, STALLED_AFTER};
use cognito_user_sync::consumer::monitoring::{self, Sources};
use cognito_user_sync::consumer::queues::{Carries, Queues};
use cognito_user_sync::consumer::worker::{self, Options, Source};
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::store::Applier;
use cognito_user_sync::{metrics, postgres};

use crate::commands::output;

/// Drain the queue into the database until SIGTERM
///
/// Needs DATABASE_URL, USER_SYNC_QUEUE_URL and USER_SYNC_DLQ_URL. With USER_SYNC_CONTEXT_QUEUE_URL and
/// USER_SYNC_CONTEXT_DLQ_URL it drains the queue of records of sign-ins, too, by loops of its own. On SIGTERM or Ctrl-C it finishes the
/// batches under way and exits with 0. While the database is unavailable it waits and receives nothing.
///
/// Example: user-sync worker --metrics-addr 0.0.0.0:9464
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Exit when the queue is empty, hidden messages included; with a queue of records, when both are.
    #[arg(long)]
    until_empty: bool,
    /// Serve /metrics (Prometheus), /healthz and /readyz here, such as 0.0.0.0:9464; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", env = "USER_SYNC_METRICS_ADDR")]
    metrics_addr: Option<SocketAddr>,
    /// Write the metrics of this service to stdout for CloudWatch (embedded metric format), every 30 seconds.
    #[arg(long, value_name = "SERVICE", env = "USER_SYNC_EMF_SERVICE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    emf_service: Option<String>,
}

/// How often metrics are written for CloudWatch, whose finest period is a minute.
const EMF_INTERVAL: Duration = Duration::from_secs(30);

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::from_env()?;
    let context_concurrency = config.contexts.as_ref().map_or(0, |contexts| contexts.concurrency);
    // One connection a batch under way, one for the question whether the database is there, one for /readyz.
    let connections = config.concurrency + context_concurrency + 2;
    let geoip = GeoIp::open(config.geoip_file.as_deref())?;
    let database = postgres::connect(&config.database, connections).await?;
    let queues = Queues::of(&config).await;
    let applier = Applier::new(database.clone()).with_geoip(geoip).accepting(config.user_pools);
    let options = Options {
        batch_size: config.batch_size,
        concurrency: config.concurrency,
        until_empty: arguments.until_empty,
    };
    let mut sources = vec![Source { queue: &queues.events, carries: Carries::Events, options }];
    if let Some(queue) = &queues.records {
        let options = Options { concurrency: context_concurrency, ..options };
        sources.push(Source { queue, carries: Carries::Records, options });
    }
    tracing::info!(
        worker.batch_size = options.batch_size,
        worker.concurrency = options.concurrency,
        worker.context_concurrency = context_concurrency,
        "worker started"
    );
    let embedded = arguments.emf_service.map(metrics::embedded).transpose()?;
    let liveness = Liveness::of(config.concurrency + context_concurrency, STALLED_AFTER);
    let monitoring =
        monitor(arguments.metrics_addr, embedded.is_none(), &applier, &queues, liveness.clone()).await?;
    let worked = worker::run(&applier, &sources, &liveness, super::asked_to_end());
    tokio::select! {
        worked = worked => worked.context("the worker stopped")?,
        never = database.keep_fresh() => match never {},
        failed = monitoring => return failed.context("the metrics endpoint failed"),
        () = write_metrics(embedded) => {}
    }
    if let Some(embedded) = embedded {
        embedded.flush(output::stdout()).context("cannot write the last metrics")?;
    }
    applier.database().close().await;
    tracing::info!("worker ended");
    Ok(())
}

/// Writes the metrics periodically if they are for CloudWatch; never completes.
async fn write_metrics(embedded: Option<metrics::Embedded>) {
    let Some(embedded) = embedded else { return std::future::pending().await };
    loop {
        tokio::time::sleep(EMF_INTERVAL).await;
        if let Err(error) = embedded.flush(output::stdout()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot write the metrics");
        }
    }
}

/// Serves the metrics if an address is given. The future completes only on failure.
async fn monitor(
    address: Option<SocketAddr>,
    is_prometheus: bool,
    applier: &Applier,
    queues: &Queues,
    liveness: Liveness,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let served = match address {
        None => None,
        Some(address) => {
            let listener = monitoring::listen(address).await;
            let listener = listener.with_context(|| {
                format!("cannot listen on {address} (--metrics-addr): does another worker use it?")
            })?;
            let address = listener.local_addr().context("the listener has no address")?;
            tracing::info!(metrics.addr = %address, "serving /metrics, /healthz and /readyz");
            let metrics = is_prometheus.then(metrics::prometheus).transpose()?;
            let (database, queues) = (applier.database().clone(), queues.clone());
            Some(monitoring::serve(listener, Sources { metrics, database, queues, liveness }))
        }
    };
    Ok(async move {
        match served {
            None => std::future::pending().await,
            Some(served) => Ok(served.await?),
        }
    })
}
