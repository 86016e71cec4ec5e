//! Settles a batch by its outcomes: the one step that both adapters share. Must not know how a delivery is
//! acknowledged, which differs between them.

use std::time::{Duration, Instant};

use cognito_user_sync_triggers::retry::Schedule;
use futures::StreamExt as _;
use tracing::Instrument as _;

use crate::consumer::queues::Carries;
use crate::metrics::record;
use crate::sqs::queue::{Delivery, Queue};
use crate::store::Applier;
use crate::store::outcome::{Outcome, Rejection, RetryCause};

/// How long a message that could not be applied stays hidden. The ceiling doubles with each receive, 2 s, 4 s,
/// 8 s … up to 15 minutes; the delay is drawn at random below it (full jitter).
pub const RETRY_SCHEDULE: Schedule =
    Schedule { first: Duration::from_secs(2), cap: Duration::from_secs(15 * 60) };

/// How long all dead letters of a batch may take together, since the other messages wait to be acknowledged.
const DEAD_LETTER_BUDGET: Duration = Duration::from_secs(10);

/// Dead letters sent at once.
const DEAD_LETTER_CONCURRENCY: usize = 8;

/// How a batch of deliveries was settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// For each delivery, in order, whether it may be acknowledged: its effect is committed, or the dead-letter
    /// queue has it.
    pub acknowledged: Vec<bool>,
    /// Deliveries whose effect this batch committed.
    pub applied: usize,
    /// Deliveries whose effect had been committed before.
    pub duplicates: usize,
    /// Deliveries that are now in the dead-letter queue.
    pub rejected: usize,
    /// Deliveries that are returned to the queue.
    pub retried: usize,
    /// Why, if the database could not do its work. A row that it refuses is no reason to receive less: the others go through.
    pub retry_cause: Option<RetryCause>,
}

impl Settled {
    fn acknowledge(&mut self, index: usize) {
        if let Some(acknowledged) = self.acknowledged.get_mut(index) {
            *acknowledged = true;
        }
    }
}

/// Applies a batch of deliveries, sends the rejected ones to the dead-letter queue and delays those that must be
/// delivered again. Acknowledging is left to the adapter: the worker deletes, Lambda reports the others.
///
/// Never fails: SQS delivers again what is not acknowledged.
pub async fn settle(
    applier: &Applier,
    queue: &Queue,
    carries: Carries,
    deliveries: &[Delivery<'_>],
) -> Settled {
    let span = tracing::info_span!("batch", batch.messages = deliveries.len(), batch.carries = ?carries);
    settle_batch(applier, queue, carries, deliveries).instrument(span).await
}

async fn settle_batch(
    applier: &Applier,
    queue: &Queue,
    carries: Carries,
    deliveries: &[Delivery<'_>],
) -> Settled {
    let started = Instant::now();
    let bodies: Vec<&str> = deliveries.iter().map(|delivery| delivery.body.as_str()).collect();
    let outcomes = match carries {
        Carries::Events => applier.apply(&bodies).await,
        Carries::Records => applier.apply_records(&bodies).await,
    };
    let apply_seconds = started.elapsed().as_secs_f64();
    let mut settled = Settled { acknowledged: vec![false; deliveries.len()], ..Settled::default() };
    let patience = match outcomes.iter().any(|outcome| matches!(outcome, Outcome::Obstructed(_))) {
        true => queue.patience().await,
        false => u32::MAX,
    };
    let mut sorted = sort(deliveries, outcomes, patience, &mut settled);
    let refused = send_dead_letters(queue, sorted.rejected, &mut settled).await;
    sorted.retried.extend(refused);
    settled.retried = sorted.retried.len();
    queue.delay(&with_delays(&sorted.retried)).await;
    report(&settled, carries, apply_seconds);
    settled
}

/// A delivery whose message can never be applied.
struct Rejected<'a> {
    /// Its place in the batch.
    index: usize,
    delivery: &'a Delivery<'a>,
    rejection: Rejection,
}

/// The deliveries that are not settled by their outcome alone.
#[derive(Default)]
struct Sorted<'a> {
    rejected: Vec<Rejected<'a>>,
    retried: Vec<&'a Delivery<'a>>,
}

/// Counts a message that returns to the queue.
pub(super) fn count_retry(cause: &RetryCause) {
    metrics::counter!("retried", "cause" => cause.as_str()).increment(1);
}

/// Acknowledges what is applied or a duplicate, and returns the rest. What is obstructed is rejected once it was received
/// `patience` times.
fn sort<'a>(
    deliveries: &'a [Delivery<'a>],
    outcomes: Vec<Outcome>,
    patience: u32,
    settled: &mut Settled,
) -> Sorted<'a> {
    let mut sorted = Sorted::default();
    for (index, (delivery, outcome)) in deliveries.iter().zip(outcomes).enumerate() {
        match outcome {
            Outcome::Applied => {
                settled.acknowledge(index);
                settled.applied += 1;
            }
            Outcome::Duplicate => {
                settled.acknowledge(index);
                settled.duplicates += 1;
            }
            Outcome::Rejected(rejection) => sorted.rejected.push(Rejected { index, delivery, rejection }),
            Outcome::Obstructed(rejection) if delivery.receive_count >= patience => {
                sorted.rejected.push(Rejected { index, delivery, rejection });
            }
            Outcome::Obstructed(_) => {
                count_retry(&RetryCause::DatabaseMisconfigured);
                sorted.retried.push(delivery);
            }
            Outcome::Retry(cause) => {
                count_retry(&cause);
                settled.retry_cause = Some(cause);
                sorted.retried.push(delivery);
            }
        }
    }
    sorted
}

/// Sends rejected messages to the dead-letter queue, several at once, and acknowledges those that it accepted. Returns
/// the others: they must be delivered again.
async fn send_dead_letters<'a>(
    queue: &Queue,
    rejected: Vec<Rejected<'a>>,
    settled: &mut Settled,
) -> Vec<&'a Delivery<'a>> {
    let deadline = Instant::now() + DEAD_LETTER_BUDGET;
    let send = |rejected: Rejected<'a>| async move {
        let sent = queue.dead_letter(rejected.delivery, &rejected.rejection, deadline).await;
        (rejected, sent)
    };
    let mut sent = futures::stream::iter(rejected).map(send).buffer_unordered(DEAD_LETTER_CONCURRENCY);
    let mut refused = Vec::new();
    while let Some((Rejected { index, delivery, rejection }, sent)) = sent.next().await {
        match sent {
            Ok(()) => {
                metrics::counter!("rejected", "reason" => rejection.reason).increment(1);
                tracing::warn!(
                    message.id = delivery.message_id.as_str(),
                    reason = rejection.reason,
                    field = rejection.field,
                    "message rejected, sent to the dead-letter queue"
                );
                settled.acknowledge(index);
                settled.rejected += 1;
            }
            Err(error) => {
                metrics::counter!("retried", "cause" => "dead_letter_not_taken").increment(1);
                tracing::error!(
                    message.id = delivery.message_id.as_str(),
                    error = &error as &dyn std::error::Error,
                    "message rejected, but the dead-letter queue did not accept it; returned to the queue"
                );
                refused.push(delivery);
            }
        }
    }
    refused
}

fn with_delays<'a>(retried: &[&'a Delivery<'a>]) -> Vec<(&'a Delivery<'a>, Duration)> {
    let delay = |delivery: &&'a Delivery<'a>| (*delivery, RETRY_SCHEDULE.delay(delivery.receive_count));
    retried.iter().map(delay).collect()
}

/// Measures and logs a settled batch.
fn report(settled: &Settled, carries: Carries, apply_seconds: f64) {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    metrics::counter!("applied").increment(count(settled.applied));
    metrics::counter!("duplicates").increment(count(settled.duplicates));
    // A flood of records must not pass for slow sign-ins.
    if carries == Carries::Events {
        // No batch is large enough for an f64 to round.
        record("batch_messages", [u32::try_from(settled.acknowledged.len()).unwrap_or(u32::MAX).into()]);
        record("apply_duration", [apply_seconds]);
    }
    tracing::info!(
        batch.applied = settled.applied,
        batch.duplicates = settled.duplicates,
        batch.rejected = settled.rejected,
        batch.retried = settled.retried,
        batch.retry_cause = settled.retry_cause.as_ref().map(RetryCause::as_str),
        batch.apply_seconds = apply_seconds,
        "batch settled"
    );
}
