//! The consumer as a Lambda function: takes the batch of an event source mapping and returns the deliveries that
//! failed. Must not know the outcome of a single message: `settle` does.
//!
//! Needs `ReportBatchItemFailures` on the mapping ("Using Lambda with Amazon SQS"): an empty list means that all
//! succeeded.

use std::sync::{Mutex, PoisonError};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use bytes::Bytes;
use cognito_user_sync_triggers::text::Text;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::util::MapRequestLayer;
use lambda_runtime::{LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::consumer::queues::{Carries, Queues};
use crate::consumer::settle::settle;
use crate::sqs::queue::Delivery;
use crate::store::Applier;

/// Why the whole batch fails. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The payload is not what an event source mapping sends.
    #[error("not a batch of SQS records (line {line}, column {column}): check the event source")]
    Unreadable {
        /// The line, from 1; 0 if the payload is not UTF-8.
        line: usize,
        /// The column, from 1; 0 if the payload is not UTF-8, or at the end of a line.
        column: usize,
    },
    /// The batch is of a queue that is not this consumer's.
    #[error(
        "a batch of a queue that is neither USER_SYNC_QUEUE_URL's nor USER_SYNC_CONTEXT_QUEUE_URL's: correct the variables, or \
         remove the event source mapping"
    )]
    UnknownQueue,
    /// A record without an id failed, and Lambda cannot be told which one.
    #[error("a record without messageId failed, so the whole batch fails: check the event source")]
    AnonymousRecord,
}

/// The part of a batch that we need. aws_lambda_events's `SqsEvent` has more members; reading them would be a quarter
/// of what a message costs here.
#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record<'a> {
    #[serde(borrow)]
    message_id: Option<Text<'a>>,
    #[serde(borrow)]
    receipt_handle: Option<Text<'a>>,
    #[serde(borrow)]
    body: Option<Text<'a>>,
    #[serde(rename = "eventSourceARN", borrow)]
    event_source_arn: Option<Text<'a>>,
    #[serde(borrow)]
    attributes: Option<Attributes<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attributes<'a> {
    #[serde(borrow)]
    approximate_receive_count: Option<Text<'a>>,
}

/// Serves Lambda's runtime: passes each invocation's payload to `handler` unparsed.
///
/// The runtime would parse the payload into owned values and track the position for an error message, which costs as
/// much as all our own reading. So we give it `null` to parse.
///
/// # Errors
/// When the runtime ends.
pub async fn serve<F>(handler: impl Fn(Bytes) -> F) -> Result<(), lambda_runtime::Error>
where
    F: Future<Output = Result<SqsBatchResponse, lambda_runtime::Error>>,
{
    let payload = Mutex::new(Bytes::new());
    let swap = |other| std::mem::replace(&mut *payload.lock().unwrap_or_else(PoisonError::into_inner), other);
    let handler = service_fn(|_: LambdaEvent<IgnoredAny>| handler(swap(Bytes::new())));
    let keep_payload = MapRequestLayer::new(|mut invocation: LambdaInvocation| {
        swap(std::mem::replace(&mut invocation.body, Bytes::from_static(b"null")));
        invocation
    });
    Runtime::new(handler).layer(TracingLayer::new()).layer(keep_payload).run().await
}

/// Applies a batch and reports the deliveries that Lambda must not delete. A batch is of one queue; which, its records say.
///
/// # Errors
/// When the batch cannot be read, is of a queue that is not known, or when a record without an id fails: an unknown id would fail the whole batch, too.
pub async fn handle(
    applier: &Applier,
    queues: &Queues,
    payload: &[u8],
) -> Result<SqsBatchResponse, BatchError> {
    // Check UTF-8 once: `from_slice` would check each text by itself.
    let batch: Batch<'_> = std::str::from_utf8(payload)
        .map_err(serde::de::Error::custom)
        .and_then(serde_json::from_str)
        .map_err(|error: serde_json::Error| BatchError::Unreadable {
            line: error.line(),
            column: error.column(),
        })?;
    let at = |record: &Record<'_>| {
        let arn = record.event_source_arn.as_deref().unwrap_or_default();
        queues.at(arn).ok_or(BatchError::UnknownQueue)
    };
    let (mut events, mut records) = (Vec::new(), Vec::new());
    for record in batch.records {
        match at(&record)?.1 {
            Carries::Events => events.push(record),
            Carries::Records => records.push(record),
        }
    }
    let mut response = SqsBatchResponse::default();
    for part in [events, records] {
        let Some(first) = part.first() else { continue };
        let (queue, carries) = at(first)?;
        let deliveries: Vec<Delivery<'_>> = part.into_iter().map(delivery).collect();
        let settled = settle(applier, queue, carries, &deliveries).await;
        let failed = deliveries.iter().zip(settled.acknowledged).filter(|(_, acknowledged)| !acknowledged);
        let failed: Result<Vec<_>, _> = failed.map(|(delivery, _)| failure(delivery)).collect();
        response.batch_item_failures.extend(failed?);
    }
    Ok(response)
}

fn failure(delivery: &Delivery<'_>) -> Result<BatchItemFailure, BatchError> {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = delivery.message_id.as_str().to_owned();
    if failure.item_identifier.is_empty() { Err(BatchError::AnonymousRecord) } else { Ok(failure) }
}

fn delivery(record: Record<'_>) -> Delivery<'_> {
    let received = record.attributes.and_then(|attributes| attributes.approximate_receive_count);
    let receive_count = received.and_then(|count| count.parse().ok());
    Delivery {
        message_id: record.message_id.unwrap_or_default(),
        receipt_handle: record.receipt_handle.unwrap_or_default(),
        body: record.body.unwrap_or_default(),
        receive_count: receive_count.unwrap_or(1),
    }
}
