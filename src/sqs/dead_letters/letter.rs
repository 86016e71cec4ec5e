//! Dead letters: what the messages of the dead-letter queue say, and which of them are copies of one event. Pure: must
//! not send a request.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use cognito_user_sync_triggers::event::{DecodeError, Event};
use cognito_user_sync_triggers::timestamp::Timestamp;

/// The reason of a message that SQS itself moved, which carries none.
pub const MAX_RECEIVES: &str = "max_receives";

/// A message as it was received from the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// SQS's id of the message in this queue.
    pub message_id: String,
    /// The message, as it was sent.
    pub body: String,
    /// The message attributes that are strings; the consumer sets `reason`, `field`, `detail` and
    /// `source_message_id`.
    pub attributes: BTreeMap<String, String>,
    /// When it was first sent, by SQS's clock.
    pub sent_at: Option<Timestamp>,
    /// How often it has been received from this queue, or from the queue that SQS moved it from; this time included.
    pub receive_count: u32,
    pub(super) receipt_handle: String,
}

impl Received {
    pub(super) fn of(message: Message) -> Option<Self> {
        let system = message.attributes.unwrap_or_default();
        let number =
            |name: &MessageSystemAttributeName| system.get(name).and_then(|value| value.parse::<u64>().ok());
        let count = number(&MessageSystemAttributeName::ApproximateReceiveCount);
        let texts = message.message_attributes.unwrap_or_default().into_iter();
        Some(Self {
            message_id: message.message_id?,
            body: message.body.unwrap_or_default(),
            attributes: texts.filter_map(|(name, value)| Some((name, value.string_value?))).collect(),
            sent_at: number(&MessageSystemAttributeName::SentTimestamp).map(Timestamp::from_unix_millis),
            receive_count: count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            receipt_handle: message.receipt_handle?,
        })
    }

    /// One that was never received, for tests of what reads them.
    #[cfg(test)]
    pub(crate) fn example(
        message_id: &str,
        body: &str,
        attributes: BTreeMap<String, String>,
        sent_at: Option<Timestamp>,
    ) -> Self {
        let (message_id, body, receipt_handle) = (message_id.to_owned(), body.to_owned(), String::new());
        Self { message_id, body, attributes, sent_at, receive_count: 1, receipt_handle }
    }

    /// The value of a message attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Why the consumer would certainly reject it again after a redrive, if it would: a stable word.
    #[must_use]
    pub fn rejected_for_good(&self) -> Option<&'static str> {
        rejected_for_good(&self.body, self.attribute("reason"))
    }
}

/// The same of a body and the attribute `reason` beside it.
#[must_use]
pub fn rejected_for_good(body: &str, reason: Option<&str>) -> Option<&'static str> {
    match (Event::decode(body), reason) {
        (Err(error), _) => Some(error.reason()),
        (Ok(_), Some("too_old")) => Some("too_old"),
        (Ok(_), Some("id_conflict")) => Some("id_conflict"),
        // A redrive goes to the queue that it came from.
        (Ok(_), Some("wrong_queue")) => Some("wrong_queue"),
        (Ok(_), Some(_) | None) => None,
    }
}

/// A dead letter: one event, or one message that is not an event, in one or more copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event's id; SQS's id of the first copy if the body is not an event.
    pub id: String,
    /// The body as this build decodes it.
    pub event: Result<Event<'static>, DecodeError>,
    /// The copies, oldest first; at least one.
    pub copies: Vec<Received>,
}

impl DeadLetter {
    /// Groups copies of one event, and copies of one message of the queue, into dead letters.
    #[must_use]
    pub fn fold(received: Vec<Received>) -> Vec<Self> {
        let mut letters = BTreeMap::<String, Vec<Received>>::new();
        for message in received {
            let key = match Event::decode(&message.body) {
                // The whole event: two different events with one id are two letters.
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

    /// What was wrong, for people.
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
        self.event.as_ref().ok().map(Event::r#type)
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

    /// Whether `id` names this one: it is the event's id, or SQS's id of a copy.
    #[must_use]
    pub fn answers_to(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id) || self.copies.iter().any(|copy| copy.message_id == id)
    }
}
