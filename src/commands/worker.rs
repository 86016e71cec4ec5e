//! `user-sync worker`: drains the queue, as long as it runs.

use anyhow::Context as _;
use clap::Args;
use cognito_user_sync::adapters::worker::{self, Options};
use cognito_user_sync::apply::Applier;
use cognito_user_sync::config::Config;
use cognito_user_sync::database;
use cognito_user_sync::places::Places;
use cognito_user_sync::queue::Queue;

/// Drain the queue into the database until SIGTERM
///
/// Needs DATABASE_URL, USER_SYNC_QUEUE_URL and USER_SYNC_DLQ_URL. On SIGTERM or Ctrl-C it finishes the
/// batches under way and exits with 0. While the database is away it waits and receives nothing.
///
/// Example: user-sync worker --until-empty
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Exit when the queue is empty, hidden messages included.
    #[arg(long)]
    until_empty: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::from_env()?;
    // One connection a batch under way, and one for the question whether the database is there.
    let places = Places::open(config.geoip_file.as_deref())?;
    let applier = Applier::new(database::pool(&config.database, config.concurrency + 1)?).with_places(places);
    let queue = Queue::new(config.queue_url, config.dlq_url).await;
    let options = Options {
        batch_size: config.batch_size,
        concurrency: config.concurrency,
        until_empty: arguments.until_empty,
    };
    tracing::info!(
        worker.batch_size = options.batch_size,
        worker.concurrency = options.concurrency,
        "worker started"
    );
    worker::run(&applier, &queue, options, super::asked_to_end()).await.context("the worker stopped")?;
    applier.pool().close().await;
    tracing::info!("worker ended");
    Ok(())
}
