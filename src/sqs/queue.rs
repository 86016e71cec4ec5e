//! The consumer's side of the queue: receives, deletes and delays messages, and sends dead letters. Must not know what
//! messages say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName,
};
use cognito_user_sync_triggers::event::MESSAGE_MAX_BYTES;
use cognito_user_sync_triggers::queue_url;
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::retry::Schedule;
use cognito_user_sync_triggers::text::Text;
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::aws::{self, Timeouts};
use crate::store::outcome::Rejection;

/// Most messages of one SQS request ("Amazon SQS message quotas").
pub const REQUEST_MAX_MESSAGES: usize = 10;

/// Long polling's longest wait ("Amazon SQS short and long polling").
pub const RECEIVE_WAIT: Duration = Duration::from_secs(20);

/// We receive no more messages for a batch once their bodies have this many bytes: memory is limited. A Lambda function
/// gets no more than 6 MB ("Lambda quotas").
const RECEIVE_MAX_BYTES: usize = 8 * 1_048_576;

/// Requests under way at once when many messages are deleted, delayed or received.
pub(crate) const REQUEST_CONCURRENCY: usize = 8;

/// An attempt must last longer than the longest long poll.
pub(crate) const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(3), attempt: Duration::from_secs(25) };

pub(crate) const SCHEDULE: Schedule =
    Schedule { first: Duration::from_millis(100), cap: Duration::from_secs(2) };
pub(crate) const RETRY_BUDGET: Duration = Duration::from_secs(10);

/// How long all requests of a batch together may take that delete messages, or delay them. What is not deleted by then is
/// delivered again, and is a duplicate.
const BATCH_BUDGET: Duration = Duration::from_secs(15);

/// How long the question for the redrive policy may take: a batch waits for the answer.
const POLICY_TIMEOUT: Duration = Duration::from_secs(3);

/// Receives that are granted to a message where the redrive policy is not known.
const DEFAULT_PATIENCE: u32 = 50;

/// A queue's redrive policy, as SQS gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedrivePolicy {
    /// The dead-letter queue's ARN.
    pub(crate) target: String,
    /// Receives after which SQS moves a message there; 0 where that is no number.
    pub(crate) max_receive_count: u32,
}

impl RedrivePolicy {
    /// Reads the attribute. Some tools write the number as text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Policy {
            dead_letter_target_arn: String,
            max_receive_count: serde_json::Value,
        }
        let Policy { dead_letter_target_arn: target, max_receive_count: count } =
            serde_json::from_str(text).ok()?;
        let number = count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0);
        Some(Self { target, max_receive_count: u32::try_from(number).unwrap_or(u32::MAX) })
    }
}

/// One delivery of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// SQS's id. Never a key: a redriven message gets a new one.
    pub message_id: Text<'a>,
    /// Names this delivery when it is deleted or delayed.
    pub receipt_handle: Text<'a>,
    /// The message.
    pub body: Text<'a>,
    /// How often it has been received, this time included.
    pub receive_count: u32,
}

/// A queue and its dead-letter queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    queue_url: String,
    dlq_client: Client,
    dlq_url: String,
    /// Read once.
    patience: Arc<OnceCell<u32>>,
}

/// SQS could not be reached or refused a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SQS: {operation} failed: {}", .error.describe("SQS"))]
pub struct QueueError {
    operation: &'static str,
    error: RequestError,
}

impl QueueError {
    /// Names the error and quotes nothing of an answer: it may hold messages.
    pub(super) fn new<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Self {
        Self { operation, error: RequestError::of(error) }
    }

    pub(super) fn of(operation: &'static str, error: RequestError) -> Self {
        Self { operation, error }
    }

    /// Whether it may pass when it is sent again.
    pub(super) fn is_transient(&self) -> bool {
        self.error.is_transient()
    }
}

impl Queue {
    /// The queues at these URLs, in whose Region they are; else configured by the SDK's own variables.
    pub async fn new(queue_url: String, dlq_url: String) -> Self {
        let config = aws::sdk_config(TIMEOUTS).await;
        let (client, dlq_client) = (aws::sqs(&config, &queue_url), aws::sqs(&config, &dlq_url));
        Self { client, queue_url, dlq_client, dlq_url, patience: Arc::default() }
    }

    /// The queues at these URLs, with an existing client.
    #[must_use]
    pub fn with_client(client: Client, queue_url: String, dlq_url: String) -> Self {
        Self { client: client.clone(), queue_url, dlq_client: client, dlq_url, patience: Arc::default() }
    }

    /// Whether it is the queue of this ARN, as an event source mapping names it: of this account and name, and of this Region
    /// where the URL says one.
    #[must_use]
    pub fn is_at(&self, arn: &str) -> bool {
        is_at(&self.queue_url, arn)
    }

    /// Receives up to `limit` messages: waits up to `wait` for the first ones, and receives more only while there
    /// is a backlog, so that the messages of a quiet queue do not wait for a batch to fill.
    ///
    /// Cancel-safe: messages that a dropped call received are visible again after their visibility timeout.
    ///
    /// # Errors
    /// When the first request fails. A later one's failure ends the batch.
    pub async fn receive(&self, limit: usize, wait: Duration) -> Result<Vec<Delivery<'static>>, QueueError> {
        let mut deliveries = self.receive_once(limit, wait).await?;
        let mut is_backlogged = deliveries.len() == REQUEST_MAX_MESSAGES;
        let bytes = |deliveries: &[Delivery<'_>]| {
            deliveries.iter().map(|delivery| delivery.body.len()).sum::<usize>()
        };
        while is_backlogged && deliveries.len() < limit && bytes(&deliveries) < RECEIVE_MAX_BYTES {
            let missing = limit - deliveries.len();
            // As many as there is room for, if messages go on being as large as these.
            let room =
                (RECEIVE_MAX_BYTES - bytes(&deliveries)) * deliveries.len() / bytes(&deliveries).max(1);
            let room = room.div_ceil(REQUEST_MAX_MESSAGES).max(1);
            let requests = missing.div_ceil(REQUEST_MAX_MESSAGES).min(REQUEST_CONCURRENCY).min(room);
            let sizes = (0..requests).map(|n| missing - n * REQUEST_MAX_MESSAGES);
            let received =
                futures::future::join_all(sizes.map(|size| self.receive_once(size, Duration::ZERO))).await;
            for received in received {
                let received = received.unwrap_or_default();
                is_backlogged &= !received.is_empty();
                deliveries.extend(received);
            }
        }
        Ok(deliveries)
    }

    async fn receive_once(&self, limit: usize, wait: Duration) -> Result<Vec<Delivery<'static>>, QueueError> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(i32::try_from(limit.min(REQUEST_MAX_MESSAGES)).unwrap_or(1))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or(0))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| QueueError::new("ReceiveMessage", &error))?;
        Ok(received.messages.unwrap_or_default().into_iter().filter_map(delivery).collect())
    }

    /// Deletes messages, with retries. SQS delivers again what was not deleted, and it is then a duplicate.
    pub async fn delete(&self, deliveries: &[&Delivery<'_>]) {
        self.in_batches(deliveries, |chunk| async move {
            let entries = chunk.iter().enumerate().filter_map(|(index, delivery)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                entry.receipt_handle(delivery.receipt_handle.as_str()).build().ok()
            });
            let request = self.client.delete_message_batch().queue_url(&self.queue_url);
            let deleted = request.set_entries(Some(entries.collect())).send().await;
            let deleted = deleted.map_err(|error| QueueError::new("DeleteMessageBatch", &error))?;
            match deleted.failed.first() {
                None => Ok(()),
                Some(failed) => {
                    let (code, is_server_error) = (Some(failed.code.clone()), !failed.sender_fault);
                    let error = RequestError::Refused { code, is_server_error };
                    Err(QueueError { operation: "DeleteMessageBatch", error })
                }
            }
        })
        .await;
    }

    /// Hides messages for a while. One that could not be hidden is visible again after its visibility timeout.
    pub async fn delay(&self, deliveries: &[(&Delivery<'_>, Duration)]) {
        self.in_batches(deliveries, |chunk| async move {
            let entries = chunk.iter().enumerate().filter_map(|(index, (delivery, delay))| {
                let seconds = i32::try_from(delay.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX);
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                entry
                    .receipt_handle(delivery.receipt_handle.as_str())
                    .visibility_timeout(seconds)
                    .build()
                    .ok()
            });
            let request = self.client.change_message_visibility_batch().queue_url(&self.queue_url);
            let changed = request.set_entries(Some(entries.collect())).send().await;
            // An entry that failed has been deleted or is visible again.
            changed.map(drop).map_err(|error| QueueError::new("ChangeMessageVisibilityBatch", &error))
        })
        .await;
    }

    /// Splits `items` into requests, sends several at once, and logs what still fails after retries, within
    /// [`BATCH_BUDGET`].
    async fn in_batches<'a, T, F>(&'a self, items: &'a [T], request: impl Fn(&'a [T]) -> F)
    where
        F: Future<Output = Result<(), QueueError>>,
    {
        let requests = items.chunks(REQUEST_MAX_MESSAGES).map(|chunk| {
            let request = &request;
            async move {
                if let Err(error) = SCHEDULE.retry(RETRY_BUDGET, |_| true, || request(chunk)).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "messages will be delivered again"
                    );
                }
            }
        });
        let sent = futures::stream::iter(requests).buffer_unordered(REQUEST_CONCURRENCY).collect::<Vec<()>>();
        if tokio::time::timeout(BATCH_BUDGET, sent).await.is_err() {
            tracing::warn!("SQS does not respond in time: messages will be delivered again");
        }
    }

    /// Sends a message to the dead-letter queue, with the reason and the field as message attributes, by
    /// `deadline` at the latest.
    ///
    /// # Errors
    /// When SQS does not accept it: the message must then not be acknowledged. If a message is so large that there is
    /// no room for all attributes, it is sent with the reason only.
    pub async fn dead_letter(
        &self,
        delivery: &Delivery<'_>,
        rejection: &Rejection,
        deadline: Instant,
    ) -> Result<(), QueueError> {
        let attributes = [
            ("reason", rejection.reason),
            ("field", &rejection.field),
            ("detail", &rejection.detail),
            ("source_message_id", &delivery.message_id),
        ];
        let size: usize =
            attributes.iter().map(|(name, value)| name.len() + value.len() + "String".len()).sum();
        let attributes = match delivery.body.len() + size > MESSAGE_MAX_BYTES {
            true => attributes.get(..1).unwrap_or_default(),
            false => &attributes,
        };
        let attributes: HashMap<_, _> = attributes
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), attribute(value)?)))
            .collect();
        let send = || async {
            let request = self.dlq_client.send_message().queue_url(&self.dlq_url);
            let request = request.message_body(delivery.body.as_str());
            let sent = request.set_message_attributes(Some(attributes.clone())).send().await;
            sent.map(drop).map_err(|error| QueueError::new("SendMessage to the dead-letter queue", &error))
        };
        let budget = deadline.saturating_duration_since(Instant::now());
        let sent = tokio::time::timeout(budget, SCHEDULE.retry(budget, |_| true, send)).await;
        sent.unwrap_or_else(|_| {
            let operation = "SendMessage to the dead-letter queue";
            Err(QueueError { operation, error: RequestError::TimedOut })
        })
    }

    /// How often a message may be received while a person has to mend something, before it is a dead letter with that for
    /// its reason: half of the redrive policy's `maxReceiveCount`, since after all of them SQS moves it without a reason.
    /// Asks SQS once; 50 where it does not say.
    pub async fn patience(&self) -> u32 {
        let read = async || {
            let request = self.client.get_queue_attributes().queue_url(&self.queue_url);
            let answer = request.attribute_names(QueueAttributeName::RedrivePolicy).send().await;
            let answer = answer.map_err(|error| QueueError::new("GetQueueAttributes", &error))?;
            let policy =
                answer.attributes.and_then(|mut answer| answer.remove(&QueueAttributeName::RedrivePolicy));
            let receives =
                policy.as_deref().and_then(RedrivePolicy::parse).map(|policy| policy.max_receive_count);
            Ok::<u32, QueueError>(receives.map_or(DEFAULT_PATIENCE, |receives| (receives / 2).max(1)))
        };
        match tokio::time::timeout(POLICY_TIMEOUT, self.patience.get_or_try_init(read)).await {
            Ok(Ok(patience)) => return *patience,
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the redrive policy is not known");
            }
            Err(_) => tracing::warn!("SQS does not respond in time: the redrive policy is not known"),
        }
        DEFAULT_PATIENCE
    }

    /// How many messages the queue holds, hidden and delayed ones included; SQS's counts are approximate.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn backlog(&self) -> Result<u64, QueueError> {
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let request = self.client.get_queue_attributes().queue_url(&self.queue_url);
        let answer = request.set_attribute_names(Some(counts.to_vec())).send().await;
        let answer = answer.map_err(|error| QueueError::new("GetQueueAttributes", &error))?;
        let attributes = answer.attributes.unwrap_or_default();
        Ok(counts.iter().filter_map(|count| attributes.get(count)?.parse::<u64>().ok()).sum())
    }
}

fn is_at(queue_url: &str, arn: &str) -> bool {
    let [_, _, "sqs", region, account, name] = arn.split(':').collect::<Vec<_>>()[..] else { return false };
    let of_url = queue_url::region(queue_url);
    of_url.is_none_or(|of_url| of_url == region)
        && queue_url.trim_end_matches('/').ends_with(&format!("/{account}/{name}"))
}

/// A message attribute. SQS accepts no empty value, and only XML 1.0's characters.
fn attribute(value: &str) -> Option<MessageAttributeValue> {
    let is_taken =
        |character: &char| !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}');
    let value: String = value.chars().filter(is_taken).collect();
    let value = if value.is_empty() { "-".to_owned() } else { value };
    MessageAttributeValue::builder().data_type("String").string_value(value).build().ok()
}

fn delivery(message: aws_sdk_sqs::types::Message) -> Option<Delivery<'static>> {
    let receive_count = message.attributes.as_ref().and_then(|attributes| {
        attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount)?.parse().ok()
    });
    Some(Delivery {
        message_id: message.message_id.map_or_else(Text::default, Text::from),
        // Without one we can neither delete nor delay the message: it is delivered again.
        receipt_handle: message.receipt_handle?.into(),
        body: message.body.map_or_else(Text::default, Text::from),
        receive_count: receive_count.unwrap_or(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_known_by_its_arn() {
        let arn = "arn:aws:sqs:eu-west-1:111122223333:contexts";
        for url in [
            "https://sqs.eu-west-1.amazonaws.com/111122223333/contexts",
            "https://sqs.eu-west-1.amazonaws.com/111122223333/contexts/",
            "https://eu-west-1.queue.amazonaws.com/111122223333/contexts",
            "http://localhost:4566/111122223333/contexts",
        ] {
            assert!(is_at(url, arn), "{url}");
        }
        for url in [
            "https://sqs.eu-west-2.amazonaws.com/111122223333/contexts",
            "https://sqs.eu-west-1.amazonaws.com/111122223333/contexts-dlq",
            "https://sqs.eu-west-1.amazonaws.com/111122223333/my-contexts",
            "https://sqs.eu-west-1.amazonaws.com/222233334444/contexts",
            "",
        ] {
            assert!(!is_at(url, arn), "{url}");
        }
        for other in ["", "contexts", "arn:aws:sns:eu-west-1:111122223333:contexts", "arn:aws:sqs:::"] {
            assert!(!is_at("https://sqs.eu-west-1.amazonaws.com/111122223333/contexts", other), "{other}");
        }
    }
}
