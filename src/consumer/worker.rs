//! The consumer as a long-polling worker, for ECS, EC2 or a laptop: receives, settles and deletes in a loop. Must not
//! know the outcome of a single message: `settle` does.
//!
//! **Invariant:** the worker deletes a message only after [`settle`] acknowledged it, which is after commit. While
//! the database is unavailable it receives nothing, so that an outage does not use up the messages' receives.

use std::time::Duration;

use cognito_user_sync_triggers::retry::Schedule;
use tokio::sync::watch;

use crate::consumer::liveness::Liveness;
use crate::consumer::queues::Carries;
use crate::consumer::settle::{count_retry, settle};
use crate::postgres::hint_suffix;
use crate::sqs::queue::{Delivery, Queue, QueueError, RECEIVE_WAIT};
use crate::store::Applier;
use crate::store::outcome::RetryCause;

/// How long the worker waits before it tries an unavailable database or queue again.
const OUTAGE_SCHEDULE: Schedule =
    Schedule { first: Duration::from_millis(500), cap: Duration::from_secs(30) };

/// The same for the queue alone, which serves all again at once.
const QUEUE_SCHEDULE: Schedule = Schedule { first: Duration::from_millis(500), cap: Duration::from_secs(5) };

/// How long the batches under way may take once the worker shall end: less than an orchestrator waits before it kills.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_secs(60);

/// A queue that the worker drains, and how.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The queue.
    pub queue: &'a Queue,
    /// What is accepted from it.
    pub carries: Carries,
    /// How.
    pub options: Options,
}

/// How the worker drains a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Most messages of one batch.
    pub batch_size: usize,
    /// Batches under way at once.
    pub concurrency: usize,
    /// Return when the queue is empty, hidden messages included.
    pub until_empty: bool,
}

/// Drains the queues, each by loops of its own, until `shutdown` completes (or, with `until_empty`, until they are empty),
/// then finishes the batches under way and returns, within [`SHUTDOWN_LIMIT`]: what is not finished then is delivered again.
/// `liveness` is of as many loops as the sources have together.
///
/// # Errors
/// Never for an outage: it waits. With `until_empty`, when the queue's depth cannot be read.
pub async fn run(
    applier: &Applier,
    sources: &[Source<'_>],
    liveness: &Liveness,
    shutdown: impl Future<Output = ()>,
) -> Result<(), QueueError> {
    let (stop, stopped) = watch::channel(false);
    let drain = async |(number, source): (usize, Source<'_>)| {
        let drained = drain(applier, source, || liveness.step(number), stopped.clone()).await;
        liveness.end(number);
        drained
    };
    let loops = sources.iter().flat_map(|of| std::iter::repeat_n(*of, of.options.concurrency.max(1)));
    let loops = loops.enumerate().map(drain);
    let mut loops = std::pin::pin!(futures::future::try_join_all(loops));
    let ended = tokio::select! {
        ended = &mut loops => Some(ended),
        () = shutdown => None,
    };
    match ended {
        Some(ended) => ended.map(drop),
        None => {
            tracing::info!("shutting down: finishing the batches under way");
            stop.send_replace(true);
            tokio::time::timeout(SHUTDOWN_LIMIT, loops).await.map_or_else(
                |_| {
                    tracing::warn!("the batches under way are given up: their messages are delivered again");
                    Ok(())
                },
                |ended| ended.map(drop),
            )
        }
    }
}

async fn drain(
    applier: &Applier,
    Source { queue, carries, options }: Source<'_>,
    step: impl Fn(),
    mut stopped: watch::Receiver<bool>,
) -> Result<(), QueueError> {
    let wait = if options.until_empty { Duration::from_secs(1) } else { RECEIVE_WAIT };
    let mut failures = 0_u32;
    loop {
        step();
        let received = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            received = receive(applier, queue, options.batch_size, wait) => received,
        };
        step();
        let deliveries = match received {
            Ok(deliveries) => deliveries,
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(error = &error as &dyn std::error::Error, failures, "cannot receive, waiting");
                let schedule = match error {
                    ReceiveError::Database(_) => OUTAGE_SCHEDULE,
                    ReceiveError::Queue(_) => QUEUE_SCHEDULE,
                };
                if pause(schedule.delay(failures), &mut stopped).await {
                    continue;
                }
                return Ok(());
            }
        };
        if deliveries.is_empty() {
            if options.until_empty && queue.backlog().await? == 0 {
                return Ok(());
            }
            continue;
        }
        // From here on shutdown waits for the batch.
        let settled = settle(applier, queue, carries, &deliveries).await;
        let acknowledged =
            deliveries.iter().zip(&settled.acknowledged).filter(|(_, acknowledged)| **acknowledged);
        queue.delete(&acknowledged.map(|(delivery, _)| delivery).collect::<Vec<_>>()).await;
        // The database responds but refuses the work (read-only after a failover, a full disk): to receive more
        // would only use up the messages' receives.
        failures = match settled.retry_cause {
            Some(RetryCause::DatabaseUnavailable | RetryCause::DatabaseMisconfigured) => {
                failures.saturating_add(1)
            }
            Some(RetryCause::Conflict | RetryCause::HorizonMoved) | None => 0,
        };
        step();
        if failures > 0 && !pause(OUTAGE_SCHEDULE.delay(failures), &mut stopped).await {
            return Ok(());
        }
    }
}

/// Waits; returns `false` if the worker should stop.
async fn pause(delay: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => false,
        () = tokio::time::sleep(delay) => true,
    }
}

#[derive(Debug, thiserror::Error)]
enum ReceiveError {
    #[error("the database is unavailable, or not migrated: {0}{step}", step = hint_suffix(.0))]
    Database(#[source] sqlx::Error),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Receives only while the database responds and has this build's schema: a forgotten migration must not use up the
/// messages' receives either.
async fn receive(
    applier: &Applier,
    queue: &Queue,
    batch_size: usize,
    wait: Duration,
) -> Result<Vec<Delivery<'static>>, ReceiveError> {
    applier.database().ping().await.map_err(|error| {
        // What a received message would be counted as: the alarm is on that.
        if let cause @ RetryCause::DatabaseMisconfigured = RetryCause::of_database(&error) {
            count_retry(&cause);
        }
        ReceiveError::Database(error)
    })?;
    Ok(queue.receive(batch_size, wait).await?)
}
