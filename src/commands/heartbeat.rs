//! `user-sync heartbeat`: sends a heartbeat through the queue, and waits for its arrival.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use cognito_user_sync::aws;
use cognito_user_sync::config::Environment;
use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::maintenance::heartbeat;
use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::timestamp::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::output;

/// How long sending may take, retries included.
const BUDGET: Duration = Duration::from_secs(10);

/// How often we check whether the heartbeat arrived.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Send a heartbeat through the queue, and with --wait see it arrive
///
/// A heartbeat takes the same path as a login; the consumer records its arrival in sync_status. In production a
/// schedule sends heartbeats and an alarm watches their age; this sends one by hand. Needs USER_SYNC_QUEUE_URL, and
/// with --wait DATABASE_URL of a member of user_sync_consumer or user_sync_reader. Exits with 1 if it was not
/// sent or did not arrive in time.
///
/// Example: user-sync heartbeat --wait
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Wait until it arrives, and print how long it took.
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
    timeout_seconds: u64,
    /// Print one JSON object: `id`, and with --wait the `seconds` it took.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let queue_url = Environment::process().required(QUEUE_URL_VARIABLE, "the queue to send to")?;
    // Connect before sending, so that a missing variable has no effect.
    let database = match arguments.wait {
        true => Some(super::database(1).await?),
        false => None,
    };
    let id = EventId::new(Timestamp::now());
    let sent_at = Instant::now();
    aws::publisher(queue_url).await.publish(&Event::heartbeat(id), BUDGET).await?;
    let seconds = match database {
        None => None,
        Some(database) => {
            arrival(&database, id, Duration::from_secs(arguments.timeout_seconds)).await?;
            Some(sent_at.elapsed().as_secs_f64())
        }
    };
    let mut out = output::stdout();
    match (arguments.json, seconds) {
        (true, seconds) => {
            writeln!(out, "{}", serde_json::json!({ "id": id.uuid(), "seconds": seconds }))?;
        }
        (false, None) => writeln!(out, "heartbeat {id} sent")?,
        (false, Some(seconds)) => writeln!(out, "heartbeat {id} arrived after {seconds:.1} s")?,
    }
    Ok(())
}

/// Waits until this heartbeat or a later one has arrived.
async fn arrival(database: &Database, id: EventId, timeout: Duration) -> anyhow::Result<()> {
    let style = ProgressStyle::with_template("{spinner} heartbeat sent, waiting for it: {elapsed}")?;
    let progress = ProgressBar::new_spinner().with_style(style);
    progress.enable_steady_tick(POLL_INTERVAL);
    let started = Instant::now();
    while !heartbeat::arrival(database, id).await.context("cannot read sync_status")?.arrived {
        if started.elapsed() >= timeout {
            progress.finish_and_clear();
            let seconds = timeout.as_secs();
            bail!(
                "the heartbeat was sent but did not arrive within {seconds} s: user-sync doctor shows what is not working"
            );
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    progress.finish_and_clear();
    Ok(())
}
