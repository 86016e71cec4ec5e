//! Lambda's event source mapping: a batch in, the deliveries that failed out.
//!
//! Needs `ReportBatchItemFailures` on the mapping ("Using Lambda with Amazon SQS"): an empty list means
//! that all succeeded.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use serde::Deserialize;

use crate::apply::Applier;
use crate::disposition::settle;
use crate::queue::{Delivery, Queue};

/// A record without an id came in: Lambda could not be told that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record without messageId failed, so the whole batch is failed: check the event source")]
pub struct AnonymousRecord;

/// A batch as the mapping hands it over, as far as it is needed: of aws_lambda_events's `SqsEvent`, whose other
/// members would be a quarter of what a message costs here, and are dropped unread.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    message_id: Option<String>,
    receipt_handle: Option<String>,
    body: Option<String>,
    attributes: Option<Attributes>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attributes {
    approximate_receive_count: Option<String>,
}

/// Applies a batch and reports the deliveries that Lambda must not delete.
///
/// # Errors
/// When a record that has no id has to fail: an unknown id would fail the whole batch all the same.
pub async fn handle(
    applier: &Applier,
    queue: &Queue,
    batch: Batch,
) -> Result<SqsBatchResponse, AnonymousRecord> {
    let deliveries: Vec<Delivery> = batch.records.into_iter().map(delivery).collect();
    let settled = settle(applier, queue, &deliveries).await;
    let failed = deliveries.into_iter().zip(settled.acknowledged).filter(|(_, acknowledged)| !acknowledged);
    let failure = |(delivery, _): (Delivery, bool)| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = delivery.message_id;
        if failure.item_identifier.is_empty() { Err(AnonymousRecord) } else { Ok(failure) }
    };
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed.map(failure).collect::<Result<_, _>>()?;
    Ok(response)
}

fn delivery(record: Record) -> Delivery {
    let received = record.attributes.and_then(|attributes| attributes.approximate_receive_count);
    let receive_count = received.and_then(|count| count.parse().ok());
    Delivery {
        message_id: record.message_id.unwrap_or_default(),
        receipt_handle: record.receipt_handle.unwrap_or_default(),
        body: record.body.unwrap_or_default(),
        receive_count: receive_count.unwrap_or(1),
    }
}
