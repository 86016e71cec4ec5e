//! The dead-letter queue as an operator sees it. Knows SQS and the contract; must not know the database.
//!
//! SQS cannot browse. To read is to receive, which hides a message for a while and raises its receive count; so
//! whoever scans makes visible again what was received, whatever happened in between. A dead-letter queue has no
//! redrive policy of its own: a raised count has no effect there.

pub mod mask;
pub mod redrive;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName,
};
use cognito_user_sync_triggers::event::{DecodeError, Event};
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::StreamExt as _;
use tokio::sync::watch;

use crate::aws;
use crate::sqs::queue::{REQUEST_CONCURRENCY, REQUEST_MAX_MESSAGES, RETRY_BUDGET, SCHEDULE, TIMEOUTS};

/// The reason of a message that SQS itself moved: it carries none.
pub const MAX_RECEIVES: &str = "max_receives";

/// Most messages that are hidden at once: SQS has at most 120,000 in flight ("Amazon SQS message quotas").
pub const SCAN_MAX_MESSAGES: usize = 100_000;

/// How long a scan hides what it receives, should nobody be left to make it visible again.
pub const SCAN_HIDES: Duration = Duration::from_secs(5 * 60);

/// A long poll's wait in seconds: enough to ask all of SQS's servers.
const WAIT_SECONDS: i32 = 1;

/// Long polls without anything new after which the queue counts as read.
const EMPTY_RECEIVES: u32 = 2;

/// Tells a scan or a redrive to end early, and in order.
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
            "; check USER_SYNC_DLQ_URL and USER_SYNC_QUEUE_URL".to_owned()
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

/// A message as it was received from the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// SQS's id of the message in this queue.
    pub message_id: String,
    /// The message, as it was sent.
    pub body: String,
    /// The message attributes that are texts: `reason`, `field`, `detail` and `source_message_id` are ours.
    pub attributes: BTreeMap<String, String>,
    /// When it was first sent, as SQS keeps it.
    pub sent_at: Option<Timestamp>,
    /// How often it has been received from this queue, or from the queue that SQS moved it from; this time included.
    pub receive_count: u32,
    receipt_handle: String,
}

impl Received {
    fn of(message: Message) -> Option<Self> {
        let system = message.attributes.unwrap_or_default();
        let number =
            |name: &MessageSystemAttributeName| system.get(name).and_then(|value| value.parse::<u64>().ok());
        let count = number(&MessageSystemAttributeName::ApproximateReceiveCount);
        let texts = message.message_attributes.unwrap_or_default().into_iter();
        // They are printed: nothing in them may steer a terminal.
        let printable = |text: String| text.chars().filter(|c| !c.is_control()).collect::<String>();
        Some(Self {
            message_id: message.message_id?,
            body: message.body.unwrap_or_default(),
            attributes: texts
                .filter_map(|(name, value)| Some((name, printable(value.string_value?))))
                .collect(),
            sent_at: number(&MessageSystemAttributeName::SentTimestamp).map(Timestamp::from_unix_millis),
            receive_count: count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            receipt_handle: message.receipt_handle?,
        })
    }

    /// A message attribute's text.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Why a redrive would bring it back for certain, if it would: a stable word.
    #[must_use]
    pub fn rejected_for_good(&self) -> Option<&'static str> {
        match (Event::decode(&self.body), self.attribute("reason")) {
            (Err(error), _) => Some(error.reason()),
            (Ok(_), Some("too_old")) => Some("too_old"),
            (Ok(_), Some("id_conflict")) => Some("id_conflict"),
            (Ok(_), Some(_) | None) => None,
        }
    }
}

/// A dead letter: one event, or one message that is none, in one or more copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event's id; SQS's id of the first copy where the body is no event.
    pub id: String,
    /// What the body says to this build.
    pub event: Result<Event<'static>, DecodeError>,
    /// The copies, oldest first; at least one.
    pub copies: Vec<Received>,
}

impl DeadLetter {
    /// Folds copies: those of one event, and those that came of one message of the queue.
    #[must_use]
    pub fn fold(received: Vec<Received>) -> Vec<Self> {
        let mut letters = BTreeMap::<String, Vec<Received>>::new();
        for message in received {
            let key = match Event::decode(&message.body) {
                // All of it: two events with one id are two letters.
                Ok(event) => event.encode(),
                Err(_) => message.attribute("source_message_id").unwrap_or(&message.message_id).to_owned(),
            };
            letters.entry(key).or_default().push(message);
        }
        let mut letters: Vec<Self> = letters.into_values().filter_map(Self::of).collect();
        letters.sort_by(|left, right| {
            (left.reason(), left.first_seen(), &left.id).cmp(&(right.reason(), right.first_seen(), &right.id))
        });
        letters
    }

    fn of(mut copies: Vec<Received>) -> Option<Self> {
        copies
            .sort_by(|left, right| (left.sent_at, &left.message_id).cmp(&(right.sent_at, &right.message_id)));
        let first = copies.first()?;
        let event = Event::decode(&first.body).map(Event::into_owned);
        let id = event.as_ref().map_or_else(|_| first.message_id.clone(), |event| event.id().to_string());
        Some(Self { id, event, copies })
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.copies.iter().rev().find_map(|copy| copy.attribute(name))
    }

    /// Why it is here: the last reason that any copy carries, or [`MAX_RECEIVES`].
    #[must_use]
    pub fn reason(&self) -> &str {
        self.attribute("reason").unwrap_or(MAX_RECEIVES)
    }

    /// Path of the offending field.
    #[must_use]
    pub fn field(&self) -> &str {
        self.attribute("field").unwrap_or("-")
    }

    /// For people: what was wrong.
    #[must_use]
    pub fn detail(&self) -> &str {
        let without = match self.attribute("reason") {
            None => "received maxReceiveCount times without being applied",
            Some(_) => "-",
        };
        self.attribute("detail").unwrap_or(without)
    }

    /// The CloudEvents type, if this build can read it.
    #[must_use]
    pub fn kind(&self) -> Option<&'static str> {
        match self.event.as_ref().ok()? {
            Event::User(event) => Some(event.kind.as_str()),
            Event::Heartbeat { .. } => Some("heartbeat"),
        }
    }

    /// When the oldest copy was first sent.
    #[must_use]
    pub fn first_seen(&self) -> Option<Timestamp> {
        self.copies.iter().filter_map(|copy| copy.sent_at).min()
    }

    /// The highest receive count of any copy.
    #[must_use]
    pub fn receive_count(&self) -> u32 {
        self.copies.iter().map(|copy| copy.receive_count).max().unwrap_or(0)
    }

    /// Whether an operator means this one: by the event's id, or by SQS's id of a copy.
    #[must_use]
    pub fn answers_to(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id) || self.copies.iter().any(|copy| copy.message_id == id)
    }
}

/// What a scan received. It is hidden until [`DeadLetters::release`].
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// The messages, each once.
    pub received: Vec<Received>,
    /// Whether everything that was visible has been received: neither the limit nor the operator ended it.
    pub is_complete: bool,
    /// Whether it was told to stop.
    pub is_stopped: bool,
}

/// A dead-letter queue.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    client: Client,
    url: String,
}

impl DeadLetters {
    /// The dead-letter queue at this URL, configured by the SDK's own variables.
    pub async fn new(url: String) -> Self {
        let config = aws::sdk_config(TIMEOUTS).await;
        Self::with_client(Client::new(&config), url)
    }

    /// The dead-letter queue at this URL, by a client that is there already.
    #[must_use]
    pub fn with_client(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Receives everything that is visible, up to `limit` messages, and tells `found` how many there are so far.
    ///
    /// The caller makes it visible again ([`DeadLetters::release`]), also when told to stop. Should the process
    /// die, SQS does, [`SCAN_HIDES`] after each was received.
    ///
    /// # Errors
    /// When SQS refuses or stays away; what was received until then is visible again.
    pub async fn scan(&self, limit: usize, stop: &Stop, mut found: impl FnMut(usize)) -> Result<Scan, Error> {
        let mut scan = Scan::default();
        let mut known = HashMap::<String, usize>::new();
        let (mut empty_receives, mut is_backlogged) = (0, false);
        while empty_receives < EMPTY_RECEIVES && scan.received.len() < limit {
            if *stop.borrow() {
                scan.is_stopped = true;
                return Ok(scan);
            }
            // A receive is never cut short: what it hides, nobody else would show again.
            let missing = limit - scan.received.len();
            let (requests, wait) = match is_backlogged {
                true => (missing.div_ceil(REQUEST_MAX_MESSAGES).min(REQUEST_CONCURRENCY), 0),
                false => (1, WAIT_SECONDS),
            };
            let sizes = (0..requests).map(|n| missing - n * REQUEST_MAX_MESSAGES);
            let answers = futures::future::join_all(sizes.map(|size| self.receive(size, wait))).await;
            let before = scan.received.len();
            let mut failure = None;
            for answer in answers {
                match answer {
                    Ok(messages) => {
                        messages.into_iter().for_each(|message| add(&mut scan, &mut known, message))
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                self.release(&scan.received).await;
                return Err(error);
            }
            let fresh = scan.received.len() - before;
            found(scan.received.len());
            empty_receives = match (fresh, is_backlogged) {
                (0, false) => empty_receives + 1,
                // Short polls ask some of SQS's servers only: none of them proves anything.
                (_, _) => 0,
            };
            is_backlogged = fresh >= REQUEST_MAX_MESSAGES;
        }
        scan.is_complete = empty_receives >= EMPTY_RECEIVES;
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

    /// Makes messages visible again. Returns how many SQS did not: those come back by themselves.
    pub async fn release(&self, messages: &[Received]) -> usize {
        self.hide(messages, Duration::ZERO).await
    }

    /// Hides received messages from now on for this long, up to 12 hours after they were received. Returns how
    /// many SQS did not.
    async fn hide(&self, messages: &[Received], time: Duration) -> usize {
        let chunks = messages.chunks(REQUEST_MAX_MESSAGES).map(|chunk| self.hide_chunk(chunk, seconds(time)));
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

    /// Deletes received messages, for good. Returns how many SQS did not.
    pub async fn delete(&self, messages: &[Received]) -> usize {
        let mut failed = 0;
        for chunk in messages.chunks(REQUEST_MAX_MESSAGES) {
            let delete = || async {
                let entries = chunk.iter().enumerate().filter_map(|(index, message)| {
                    let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                    entry.receipt_handle(&message.receipt_handle).build().ok()
                });
                let request = self.client.delete_message_batch().queue_url(&self.url);
                let deleted = request.set_entries(Some(entries.collect())).send().await;
                deleted.map_err(|error| Error::new("DeleteMessageBatch", DLQ, &error))
            };
            let deleted = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, delete).await;
            failed += failures(deleted.map(|deleted| deleted.failed.len()), chunk.len());
        }
        failed
    }

    /// How many messages are hidden now, by whoever received them; approximate, as SQS counts.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn hidden(&self) -> Result<u64, Error> {
        let name = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let hidden = queue_attribute(&self.client, &self.url, DLQ, name).await?;
        Ok(hidden.parse().unwrap_or(0))
    }
}

/// Keeps a message once: one that came again, since its time to hide was over, has a new receipt handle.
fn add(scan: &mut Scan, known: &mut HashMap<String, usize>, message: Received) {
    let next = scan.received.len();
    let index = *known.entry(message.message_id.clone()).or_insert(next);
    match scan.received.get_mut(index) {
        Some(earlier) => *earlier = message,
        None => scan.received.push(message),
    }
}

/// How many of a request's messages failed; what fails is logged by SQS's code alone.
fn failures(answer: Result<usize, Error>, messages: usize) -> usize {
    answer.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, messages, "messages are left as they are");
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
