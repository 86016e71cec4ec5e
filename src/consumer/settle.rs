//! What is done with a message after its outcome: the one step that both adapters share.

use std::time::{Duration, Instant};

use cognito_user_sync_triggers::retry::Schedule;
use futures::StreamExt as _;
use tracing::Instrument as _;

use crate::metrics::record;
use crate::sqs::queue::{Delivery, Queue};
use crate::store::Applier;
use crate::store::outcome::{Outcome, RetryCause};

/// How long a message that could not be applied stays hidden: the ceiling doubles with each receive, 2 s,
/// 4 s, 8 s … up to 15 minutes, and the delay is drawn below it (full jitter).
pub const RETRY_SCHEDULE: Schedule =
    Schedule { first: Duration::from_secs(2), cap: Duration::from_secs(15 * 60) };

/// All that a batch's dead letters may take together: the other messages wait to be acknowledged.
const DEAD_LETTER_BUDGET: Duration = Duration::from_secs(10);

/// Dead letters sent at once.
const DEAD_LETTER_CONCURRENCY: usize = 8;

/// What came of a batch of deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// For each delivery, in their order, whether it may be acknowledged: its effect is committed, or the
    /// dead-letter queue has it.
    pub acknowledged: Vec<bool>,
    /// Deliveries whose effect this batch committed.
    pub applied: usize,
    /// Deliveries whose effect was committed before.
    pub duplicates: usize,
    /// Deliveries that the dead-letter queue has now.
    pub rejected: usize,
    /// Deliveries that come again.
    pub retried: usize,
    /// Why, where any does because of the database.
    pub retry_cause: Option<RetryCause>,
}

/// Applies a batch of deliveries, sends the rejected ones to the dead-letter queue and hides those that are
/// to come again. Acknowledging is left to the adapter: the worker deletes, Lambda reports the others.
///
/// Never fails: a delivery that is not acknowledged comes again.
pub async fn settle(applier: &Applier, queue: &Queue, deliveries: &[Delivery<'_>]) -> Settled {
    let span = tracing::info_span!("batch", batch.messages = deliveries.len());
    settle_batch(applier, queue, deliveries).instrument(span).await
}

async fn settle_batch(applier: &Applier, queue: &Queue, deliveries: &[Delivery<'_>]) -> Settled {
    let started = Instant::now();
    let bodies: Vec<&str> = deliveries.iter().map(|delivery| delivery.body.as_str()).collect();
    let outcomes = applier.apply(&bodies).await;
    let apply_seconds = started.elapsed().as_secs_f64();
    let mut settled = Settled { acknowledged: vec![false; deliveries.len()], ..Settled::default() };
    let mut rejected = Vec::new();
    let mut delayed = Vec::new();
    for (index, (delivery, outcome)) in deliveries.iter().zip(outcomes).enumerate() {
        let mut acknowledge =
            || settled.acknowledged.get_mut(index).into_iter().for_each(|flag| *flag = true);
        match outcome {
            Outcome::Applied => {
                acknowledge();
                settled.applied += 1;
            }
            Outcome::Duplicate => {
                acknowledge();
                settled.duplicates += 1;
            }
            Outcome::Rejected(rejection) => rejected.push((index, delivery, rejection)),
            Outcome::Retry(cause) => {
                metrics::counter!("retried", "cause" => cause.as_str()).increment(1);
                settled.retry_cause = Some(cause);
                delayed.push((delivery, RETRY_SCHEDULE.delay(delivery.receive_count)));
            }
        }
    }
    let deadline = Instant::now() + DEAD_LETTER_BUDGET;
    let send = |(index, delivery, rejection)| async move {
        let sent = queue.dead_letter(delivery, &rejection, deadline).await;
        (index, delivery, rejection, sent)
    };
    let mut sent = futures::stream::iter(rejected).map(send).buffer_unordered(DEAD_LETTER_CONCURRENCY);
    while let Some((index, delivery, rejection, sent)) = sent.next().await {
        match sent {
            Ok(()) => {
                metrics::counter!("rejected", "reason" => rejection.reason).increment(1);
                tracing::warn!(
                    message.id = delivery.message_id.as_str(),
                    reason = rejection.reason,
                    field = rejection.field,
                    "message rejected, sent to the dead-letter queue"
                );
                settled.acknowledged.get_mut(index).into_iter().for_each(|flag| *flag = true);
                settled.rejected += 1;
            }
            Err(error) => {
                metrics::counter!("retried", "cause" => "dead_letter_not_taken").increment(1);
                tracing::error!(
                    message.id = delivery.message_id.as_str(),
                    error = &error as &dyn std::error::Error,
                    "message rejected, and the dead-letter queue did not take it; it comes again"
                );
                delayed.push((delivery, RETRY_SCHEDULE.delay(delivery.receive_count)));
            }
        }
    }
    settled.retried = delayed.len();
    queue.delay(&delayed).await;
    measure(&settled, deliveries.len(), apply_seconds);
    tracing::info!(
        batch.applied = settled.applied,
        batch.duplicates = settled.duplicates,
        batch.rejected = settled.rejected,
        batch.retried = settled.retried,
        batch.retry_cause = settled.retry_cause.as_ref().map(RetryCause::as_str),
        batch.apply_seconds = apply_seconds,
        "batch settled"
    );
    settled
}

fn measure(settled: &Settled, messages: usize, apply_seconds: f64) {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    metrics::counter!("applied").increment(count(settled.applied));
    metrics::counter!("duplicates").increment(count(settled.duplicates));
    // No batch is anywhere near where an f64 would round.
    record("batch_messages", [u32::try_from(messages).unwrap_or(u32::MAX).into()]);
    record("apply_duration", [apply_seconds]);
}
