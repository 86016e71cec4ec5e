//! The dead-letter queue as an operator uses it: scan, release, delete, redrive. Knows SQS and the contract; must not
//! know the database.
//!
//! SQS cannot browse. To read is to receive, which hides a message for a while and raises its receive count. So whoever
//! scans makes the messages visible again, whatever happened in between. A dead-letter queue has no redrive policy of
//! its own, so a raised count has no effect there.

pub mod chosen;
mod letter;
pub mod mask;
mod move_task;
pub mod redrive;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
    QueueAttributeName,
};
use cognito_user_sync_triggers::request_error::RequestError;
use futures::StreamExt as _;
use tokio::sync::watch;

use crate::aws;
pub use crate::sqs::dead_letters::letter::{DeadLetter, MAX_RECEIVES, Received, rejected_for_good};
use crate::sqs::queue::{REQUEST_CONCURRENCY, REQUEST_MAX_MESSAGES, RETRY_BUDGET, SCHEDULE, TIMEOUTS};

/// Most messages that are hidden at once: SQS has at most 120,000 in flight ("Amazon SQS message quotas").
pub const SCAN_MAX_MESSAGES: usize = 100_000;

/// How long a scan hides what it receives, in case the process dies before it makes the messages visible again.
pub const SCAN_HIDES: Duration = Duration::from_secs(5 * 60);

/// How many seconds a long poll waits: enough to ask all of SQS's servers.
const WAIT_SECONDS: i32 = 1;

/// After this many long polls without a new message the scan is complete.
const EMPTY_RECEIVES: u32 = 2;

/// Tells a scan or a redrive to end early and in order.
pub type Stop = watch::Receiver<bool>;

/// SQS could not be reached or refused a request. Quotes nothing of an answer: it may hold messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SQS: {operation} on {queue} failed: {context}")]
pub struct Error {
    operation: &'static str,
    queue: &'static str,
    context: String,
    transient: bool,
}

const DLQ: &str = "the dead-letter queue";

impl Error {
    fn new<E: ProvideErrorMetadata>(
        operation: &'static str,
        queue: &'static str,
        error: &SdkError<E>,
    ) -> Self {
        let code = RequestError::of(error).describe("SQS");
        let is = |words: &[&str]| words.iter().any(|word| code.contains(word));
        let hint = if is(&["AccessDenied", "AccessControl"]) {
            format!("; the role needs {} there", permissions(operation))
        } else if is(&["NonExistent", "DoesNotExist", "ResourceNotFound"]) {
            "; check USER_SYNC_DLQ_URL and USER_SYNC_QUEUE_URL, or, of contexts, USER_SYNC_CONTEXT_DLQ_URL and \
             USER_SYNC_CONTEXT_QUEUE_URL"
                .to_owned()
        } else {
            String::new()
        };
        let transient = hint.is_empty() && !is(&["Invalid", "Unsupported"]);
        Self { operation, queue, context: format!("{code}{hint}"), transient }
    }

    fn is_transient(&self) -> bool {
        self.transient
    }
}

/// The permissions that an operation asks for ("Dead-letter queue redrive permissions", Amazon SQS Developer
/// Guide, for the move task).
fn permissions(operation: &str) -> String {
    match operation {
        "StartMessageMoveTask" => "sqs:StartMessageMoveTask, sqs:ReceiveMessage, sqs:DeleteMessage and \
             sqs:GetQueueAttributes, and sqs:SendMessage on the queue that the messages go to"
            .to_owned(),
        "ChangeMessageVisibilityBatch" => "sqs:ChangeMessageVisibility".to_owned(),
        "DeleteMessageBatch" => "sqs:DeleteMessage".to_owned(),
        operation => format!("sqs:{operation}"),
    }
}

/// What a scan received. The messages are hidden until [`DeadLetters::release`].
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// The messages, each once.
    pub received: Vec<Received>,
    /// Whether the scan received every visible message: neither the limit nor the operator ended it.
    pub is_complete: bool,
    /// Whether it was told to stop.
    pub is_stopped: bool,
}

/// How many messages a dead-letter queue holds, as SQS counts: approximately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that can be received.
    pub visible: u64,
    /// Messages that somebody has received.
    pub hidden: u64,
    /// How long a message is kept, where SQS says it.
    pub kept_for: Option<Duration>,
}

/// A dead-letter queue.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    client: Client,
    url: String,
}

impl DeadLetters {
    /// The dead-letter queue at this URL, in whose Region it is; else configured by the SDK's own variables.
    pub async fn new(url: String) -> Self {
        let config = aws::sdk_config(TIMEOUTS).await;
        Self::with_client(aws::sqs(&config, &url), url)
    }

    /// The dead-letter queue at this URL, with an existing client.
    #[must_use]
    pub fn with_client(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Receives every visible message, up to `limit`, and calls `found` with the number so far.
    ///
    /// The caller must make them visible again ([`DeadLetters::release`]), also after a stop. If the process dies,
    /// SQS does so [`SCAN_HIDES`] after each was received.
    ///
    /// # Errors
    /// When SQS refuses or is unavailable; the messages received until then are visible again.
    pub async fn scan(&self, limit: usize, stop: &Stop, found: impl FnMut(usize)) -> Result<Scan, Error> {
        self.scan_each(limit, stop, |_| {}, found).await
    }

    /// The same, and calls `seen` with each message once. It may take the body out of it, which may be large: what is left
    /// is enough to make the message visible again.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`].
    pub async fn scan_each(
        &self,
        limit: usize,
        stop: &Stop,
        mut seen: impl FnMut(&mut Received),
        mut found: impl FnMut(usize),
    ) -> Result<Scan, Error> {
        let mut scan = Scan::default();
        let mut known = HashMap::<String, usize>::new();
        let mut rounds = Rounds::new(REQUEST_CONCURRENCY);
        while !rounds.is_over() && scan.received.len() < limit {
            if *stop.borrow() {
                scan.is_stopped = true;
                return Ok(scan);
            }
            let before = scan.received.len();
            let (messages, failure) = rounds.receive(self, limit - before).await;
            messages.into_iter().for_each(|message| add(&mut scan, &mut known, message, &mut seen));
            if let Some(error) = failure {
                self.release(&scan.received).await;
                return Err(error);
            }
            rounds.note(scan.received.len() - before);
            found(scan.received.len());
        }
        scan.is_complete = rounds.is_over();
        Ok(scan)
    }

    async fn receive(&self, limit: usize, wait_seconds: i32) -> Result<Vec<Received>, Error> {
        let receive = || async {
            let request = self
                .client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(i32::try_from(limit.min(REQUEST_MAX_MESSAGES)).unwrap_or(1))
                .wait_time_seconds(wait_seconds)
                .visibility_timeout(seconds(SCAN_HIDES))
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All);
            request.send().await.map_err(|error| Error::new("ReceiveMessage", DLQ, &error))
        };
        let answer = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, receive).await?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(Received::of).collect())
    }

    /// Makes messages visible again. Returns how many could not be; those become visible by themselves.
    pub async fn release(&self, messages: &[Received]) -> usize {
        self.hide(messages, Duration::ZERO).await
    }

    /// Hides received messages for this long from now, up to 12 hours after they were received. Returns how many could
    /// not be.
    async fn hide(&self, messages: &[Received], time: Duration) -> usize {
        let chunks = messages.chunks(REQUEST_MAX_MESSAGES).map(|chunk| self.hide_chunk(chunk, seconds(time)));
        // Collected, since a future that holds the closure cannot be sent to another thread.
        let chunks: Vec<_> = chunks.collect();
        let failed = futures::stream::iter(chunks).buffer_unordered(REQUEST_CONCURRENCY);
        failed.fold(0, |sum, failed| async move { sum + failed }).await
    }

    async fn hide_chunk(&self, chunk: &[Received], visibility_timeout: i32) -> usize {
        let change = || async {
            let entries = chunk.iter().enumerate().filter_map(|(index, message)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                let entry = entry.receipt_handle(&message.receipt_handle);
                entry.visibility_timeout(visibility_timeout).build().ok()
            });
            let request = self.client.change_message_visibility_batch().queue_url(&self.url);
            let changed = request.set_entries(Some(entries.collect())).send().await;
            changed.map_err(|error| Error::new("ChangeMessageVisibilityBatch", DLQ, &error))
        };
        let changed = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, change).await;
        failures(changed.map(|changed| changed.failed.len()), chunk.len())
    }

    /// Deletes received messages permanently. Returns how many could not be.
    pub async fn delete(&self, messages: &[Received]) -> usize {
        self.undeleted(messages).await.len()
    }

    /// Deletes received messages permanently. Returns the places of those that could not be.
    async fn undeleted(&self, messages: &[Received]) -> Vec<usize> {
        let mut undeleted = Vec::new();
        for (first, chunk) in (0..).step_by(REQUEST_MAX_MESSAGES).zip(messages.chunks(REQUEST_MAX_MESSAGES)) {
            let delete = || async {
                let entries = chunk.iter().enumerate().filter_map(|(index, message)| {
                    let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                    entry.receipt_handle(&message.receipt_handle).build().ok()
                });
                let request = self.client.delete_message_batch().queue_url(&self.url);
                let deleted = request.set_entries(Some(entries.collect())).send().await;
                deleted.map_err(|error| Error::new("DeleteMessageBatch", DLQ, &error))
            };
            match SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, delete).await {
                Ok(deleted) => {
                    let failed = deleted.failed.iter().filter_map(|failed| failed.id.parse::<usize>().ok());
                    undeleted.extend(failed.map(|index| first + index));
                }
                Err(error) => {
                    undeleted.extend(first..first + failures(Err(error), chunk.len()));
                }
            }
        }
        undeleted
    }

    /// How many messages are hidden now, whoever received them; SQS's count is approximate.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn hidden(&self) -> Result<u64, Error> {
        let name = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let hidden = queue_attribute(&self.client, &self.url, DLQ, name).await?;
        Ok(hidden.parse().unwrap_or(0))
    }

    /// How many messages there are, and for how long they are kept, in one request that receives nothing.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn depth(&self) -> Result<Depth, Error> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::MessageRetentionPeriod,
        ];
        let ask = || async {
            let request = self.client.get_queue_attributes().queue_url(&self.url);
            let request = request.set_attribute_names(Some(names.to_vec()));
            request.send().await.map_err(|error| Error::new("GetQueueAttributes", DLQ, &error))
        };
        let answer = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, ask).await?;
        let attributes = answer.attributes.unwrap_or_default();
        let number =
            |name: &QueueAttributeName| attributes.get(name).and_then(|text| text.parse::<u64>().ok());
        let [visible, hidden, retention] = &names;
        Ok(Depth {
            visible: number(visible).unwrap_or(0),
            hidden: number(hidden).unwrap_or(0),
            kept_for: number(retention).map(Duration::from_secs),
        })
    }
}

/// Receives in rounds: long polls, and many short ones at once while there is a backlog.
struct Rounds {
    concurrency: usize,
    empty_receives: u32,
    is_backlogged: bool,
}

impl Rounds {
    fn new(concurrency: usize) -> Self {
        Self { concurrency, empty_receives: 0, is_backlogged: false }
    }

    /// Whether every visible message has been received.
    fn is_over(&self) -> bool {
        self.empty_receives >= EMPTY_RECEIVES
    }

    /// Receives up to `limit` messages; with them, what failed. Never cancel it: nobody would make the messages visible
    /// again that it hides.
    async fn receive(&self, letters: &DeadLetters, limit: usize) -> (Vec<Received>, Option<Error>) {
        let (requests, wait) = match self.is_backlogged {
            true => (limit.div_ceil(REQUEST_MAX_MESSAGES).min(self.concurrency), 0),
            false => (1, WAIT_SECONDS),
        };
        let sizes = (0..requests).map(|n| limit - n * REQUEST_MAX_MESSAGES);
        let answers = futures::future::join_all(sizes.map(|size| letters.receive(size, wait))).await;
        let (mut received, mut failure) = (Vec::new(), None);
        for answer in answers {
            match answer {
                Ok(messages) => received.extend(messages),
                Err(error) => failure = Some(error),
            }
        }
        (received, failure)
    }

    /// Takes note of how many of a round's messages had not been received before.
    fn note(&mut self, fresh: usize) {
        self.empty_receives = match (fresh, self.is_backlogged) {
            (0, false) => self.empty_receives + 1,
            // Short polls ask only some of SQS's servers, so an empty one proves nothing.
            (_, _) => 0,
        };
        self.is_backlogged = fresh >= REQUEST_MAX_MESSAGES;
    }
}

/// Adds a message that is new. One that was received before has a new receipt handle: its visibility timeout has ended.
fn add(
    scan: &mut Scan,
    known: &mut HashMap<String, usize>,
    mut message: Received,
    seen: &mut impl FnMut(&mut Received),
) {
    let next = scan.received.len();
    let index = *known.entry(message.message_id.clone()).or_insert(next);
    match scan.received.get_mut(index) {
        Some(earlier) => {
            earlier.receipt_handle = message.receipt_handle;
            earlier.receive_count = message.receive_count;
        }
        None => {
            seen(&mut message);
            scan.received.push(message);
        }
    }
}

/// How many of a request's messages failed. Logs SQS's error code only.
fn failures(answer: Result<usize, Error>, messages: usize) -> usize {
    answer.unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            messages,
            "SQS did not change these messages"
        );
        messages
    })
}

async fn queue_attribute(
    client: &Client,
    url: &str,
    queue: &'static str,
    name: QueueAttributeName,
) -> Result<String, Error> {
    let ask = || async {
        let request = client.get_queue_attributes().queue_url(url).attribute_names(name.clone());
        request.send().await.map_err(|error| Error::new("GetQueueAttributes", queue, &error))
    };
    let answer = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, ask).await?;
    Ok(answer.attributes.and_then(|mut attributes| attributes.remove(&name)).unwrap_or_default())
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
