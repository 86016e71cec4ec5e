//! The trigger itself: Cognito's event in, the same event out, and a copy on the queue.
//!
//! **Sign-in is sacred.** Whatever happens in here, to the payload, to SQS or to us (a panic included),
//! the answer is Cognito's own event, within [`PUBLISH_BUDGET`].

use std::io::Write as _;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::client_metadata::{self, ClientMetadataKeys};
use crate::cognito::{self, Ignored};
use crate::event::{Event, EventId};
use crate::publish::{PUBLISH_BUDGET, PublishError, Publisher, QUEUE_URL_VARIABLE};
use crate::timestamp::Timestamp;
use crate::undelivered;

/// What became of one trigger event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is on the queue.
    Published,
    /// It says nothing that we record.
    Ignored(Ignored),
    /// It could not be queued; the `undelivered` line has it.
    Undelivered(PublishError),
}

/// Serves PostConfirmation and PostAuthentication; every other source is echoed and counted.
#[derive(Debug)]
pub struct Trigger {
    publisher: Option<Publisher>,
    keys: ClientMetadataKeys,
}

impl Trigger {
    /// A trigger that sends to `publisher`; without one, every event goes to the log.
    #[must_use]
    pub fn new(publisher: Option<Publisher>, keys: ClientMetadataKeys) -> Self {
        Self { publisher, keys }
    }

    /// Configured by `USER_SYNC_QUEUE_URL` and `USER_SYNC_CLIENT_METADATA_KEYS`.
    ///
    /// A wrong configuration must not fail a sign-in either: it is said in the log, and an event without a
    /// queue goes to the log whole.
    pub async fn from_env() -> Self {
        let keys = std::env::var(client_metadata::VARIABLE).unwrap_or_default();
        let keys = ClientMetadataKeys::parse(&keys).unwrap_or_else(|error| {
            say("ERROR", &format!("{error}; using the default keys"));
            ClientMetadataKeys::default()
        });
        let publisher = match std::env::var(QUEUE_URL_VARIABLE) {
            Ok(queue_url) if !queue_url.is_empty() => Some(Publisher::new(queue_url).await),
            Ok(_) | Err(_) => {
                say("ERROR", &format!("{}; every event goes to the log", PublishError::NoQueue));
                None
            }
        };
        Self::new(publisher, keys)
    }

    /// Opens the connection to SQS before the first event; see [`Publisher::warm`].
    pub async fn warm(&self) {
        if let Some(publisher) = &self.publisher {
            publisher.warm().await;
        }
    }

    /// Cognito's event back, byte for byte, after its copy was queued, logged or ignored.
    pub async fn handle(self: Arc<Self>, payload: Box<RawValue>) -> Box<RawValue> {
        let copy = payload.get().to_owned();
        // A task of its own, so that a panic ends the task and not the sign-in.
        let outcome = tokio::spawn(async move { self.record(&copy, Timestamp::now()).await }).await;
        match outcome {
            Ok(Outcome::Published) => metrics::counter!("published").increment(1),
            Ok(Outcome::Ignored(why)) => metrics::counter!("ignored", "reason" => why.as_str()).increment(1),
            Ok(Outcome::Undelivered(_)) => metrics::counter!("undelivered").increment(1),
            Err(_) => {
                say("ERROR", "the trigger panicked; the event was returned to Cognito and is not recorded");
                metrics::counter!("undelivered").increment(1);
            }
        }
        payload
    }

    /// Queues what `payload` says occurred at `now`, or writes it to the log.
    pub async fn record(&self, payload: &str, now: Timestamp) -> Outcome {
        let event = match cognito::user_event(payload, &self.keys, EventId::new(now)) {
            Ok(event) => Event::User(event),
            Err(why) => {
                if why != Ignored::TriggerSource {
                    say("WARN", &format!("a sign-up or login is not recorded: {}", why.as_str()));
                }
                return Outcome::Ignored(why);
            }
        };
        let published = match &self.publisher {
            Some(publisher) => publisher.publish(&event, PUBLISH_BUDGET).await,
            None => Err(PublishError::NoQueue),
        };
        match published {
            Ok(()) => Outcome::Published,
            Err(error) => {
                write_line(&undelivered::line(&event, &error.to_string()));
                Outcome::Undelivered(error)
            }
        }
    }
}

/// One JSON log line. `message` must hold nothing of an event.
fn say(level: &str, message: &str) {
    write_line(&serde_json::json!({ "level": level, "message": message }).to_string());
}

/// One write a line, so that lines do not mix. A log that cannot be written must not fail a sign-in.
fn write_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush()));
}
