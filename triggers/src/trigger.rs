//! The trigger itself: Cognito's event in, the same event out, and a copy on the queue.
//!
//! **Sign-in is sacred.** Whatever happens in here, to the payload, to SQS or to us (a panic included),
//! the answer is Cognito's own event, within [`PUBLISH_BUDGET`]; with a [`Chain`], it is the former function's
//! answer or error, and all of it takes less than [`ANSWER_WITHIN`], a cold start included.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::aws;
use crate::chain::{self, CHAIN_BUDGET, Chain, Chained, Failure};
use crate::client_metadata::{self, ClientMetadataKeys};
use crate::cognito::{self, Ignored};
use crate::environment::Environment;
use crate::event::{Event, EventId};
use crate::publish::{self, PUBLISH_BUDGET, PublishError, Publisher, QUEUE_URL_VARIABLE};
use crate::timestamp::Timestamp;
use crate::undelivered;

/// When Cognito has its answer, with a chain or without: it waits 5 s ("Customizing user pool workflows with
/// Lambda triggers"), and the rest is for the way.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4_800);

/// An event that comes sooner after the init was there before it ended: Cognito has waited since this process began.
/// Otherwise Lambda has prepared the process ahead of time.
const AT_ONCE: Duration = Duration::from_millis(250);

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
    chain: Option<Chain>,
    /// When the init began and ended, until the first event.
    init: Mutex<Option<(Instant, Instant)>>,
}

impl Trigger {
    /// A trigger that sends to `publisher`; without one, every event goes to the log.
    #[must_use]
    pub fn new(publisher: Option<Publisher>, keys: ClientMetadataKeys) -> Self {
        Self { publisher, keys, chain: None, init: Mutex::new(None) }
    }

    /// The same, with functions that are called first.
    #[must_use]
    pub fn after(self, chain: Option<Chain>) -> Self {
        Self { chain, ..self }
    }

    /// Configured by `USER_SYNC_QUEUE_URL`, `USER_SYNC_CLIENT_METADATA_KEYS`, `USER_SYNC_REFERRAL_CODE_ATTRIBUTE` and
    /// the variables of [`Chain`].
    ///
    /// A wrong configuration must not fail a sign-in either: it is said in the log, and an event without a
    /// queue goes to the log whole.
    pub async fn from_env() -> Self {
        let environment = Environment::process();
        let keys = keys(environment);
        let publisher = match environment.required(QUEUE_URL_VARIABLE, "the URL of the queue to send to") {
            Ok(queue_url) => Some(Publisher::new(&aws::function_config(publish::TIMEOUTS).await, queue_url)),
            Err(error) => {
                say("ERROR", &format!("{error}; every event goes to the log"));
                None
            }
        };
        let chain = Chain::from_env().await.unwrap_or_else(|error| {
            say("ERROR", &error.to_string());
            None
        });
        Self::new(publisher, keys).after(chain)
    }

    /// Opens the connections before the first event; see [`Publisher::warm`] and [`Chain::warm`].
    pub async fn warm(&self) {
        // What the init takes, a former function lacks at a cold start.
        let budget = if self.chain.is_some() { chain::WARM_BUDGET } else { publish::WARM_BUDGET };
        let publisher = async {
            if let Some(publisher) = &self.publisher {
                publisher.warm_within(budget).await;
            }
        };
        let chain = async {
            if let Some(chain) = &self.chain
                && let Some(why) = chain.warm().await
            {
                say("ERROR", &format!("the function that is to be called first cannot be called: {why}"));
            }
        };
        tokio::join!(publisher, chain);
    }

    /// Says that the init, which began then, has ended.
    pub fn ready(&self, began: Instant) {
        *self.init.lock().unwrap_or_else(PoisonError::into_inner) = Some((began, Instant::now()));
    }

    /// Since when Cognito waits for the answer to an event that is received now.
    fn waiting_since(&self) -> Instant {
        let received = Instant::now();
        match self.init.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((began, ended)) if received.duration_since(ended) < AT_ONCE => began,
            Some(_) | None => received,
        }
    }

    /// Cognito's event back, byte for byte, after its copy was queued, logged or ignored.
    ///
    /// With a chain, what the former function answered, byte for byte.
    ///
    /// # Errors
    /// With a chain only: what the former function failed with, or that it did not answer in time. Then nothing
    /// is published, since Cognito fails the sign-in.
    pub async fn handle(self: Arc<Self>, payload: Box<RawValue>) -> Result<Box<RawValue>, Failure> {
        let (since, now) = (self.waiting_since(), Timestamp::now());
        let answer = match self.call_first(&payload, since).await {
            Ok(None) => payload.clone(),
            Ok(Some(answer)) if is_event(&answer) => answer,
            answered => {
                metrics::counter!("ignored", "reason" => Ignored::ChainRefused.as_str()).increment(1);
                return answered.map(|answer| answer.unwrap_or(payload));
            }
        };
        let budget = ANSWER_WITHIN.saturating_sub(since.elapsed()).min(PUBLISH_BUDGET);
        // A task of its own, so that a panic ends the task and not the sign-in.
        let outcome = tokio::spawn(async move { self.record_within(payload.get(), now, budget).await }).await;
        match outcome {
            Ok(Outcome::Published) => metrics::counter!("published").increment(1),
            Ok(Outcome::Ignored(why)) => metrics::counter!("ignored", "reason" => why.as_str()).increment(1),
            Ok(Outcome::Undelivered(_)) => metrics::counter!("undelivered").increment(1),
            Err(_) => {
                say("ERROR", "the trigger panicked; the event was returned to Cognito and is not recorded");
                metrics::counter!("undelivered").increment(1);
            }
        }
        Ok(answer)
    }

    /// The former function's answer; `None` where there is none to call, or it could not be reached: then the
    /// sign-in goes on without it.
    async fn call_first(
        self: &Arc<Self>,
        payload: &RawValue,
        since: Instant,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        let Some(chain) = self.chain.clone() else { return Ok(None) };
        let Some(function) = chain.function_of(payload.get()).map(str::to_owned) else { return Ok(None) };
        let payload = payload.get().to_owned();
        let budget = CHAIN_BUDGET.saturating_sub(since.elapsed());
        let called = tokio::spawn(async move { chain.call(&function, &payload, budget).await }).await;
        match called.unwrap_or_else(|_| Chained::Unreachable("the trigger panicked".to_owned())) {
            Chained::Answered(answer) => Ok(Some(answer)),
            Chained::Failed(failure) => Err(failure),
            Chained::TimedOut => {
                metrics::counter!("chain_failed").increment(1);
                say("ERROR", "the function that is called first did not answer in time; the sign-in failed");
                Err(Failure::timed_out())
            }
            Chained::Unreachable(why) => {
                metrics::counter!("chain_failed").increment(1);
                say(
                    "ERROR",
                    &format!("the function that is called first was not called: {why}; the sign-in went on"),
                );
                Ok(None)
            }
        }
    }

    /// Queues what `payload` says occurred at `now`, or writes it to the log.
    pub async fn record(&self, payload: &str, now: Timestamp) -> Outcome {
        self.record_within(payload, now, PUBLISH_BUDGET).await
    }

    async fn record_within(&self, payload: &str, now: Timestamp, budget: Duration) -> Outcome {
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
            Some(_) if budget.is_zero() => Err(PublishError::TimedOut),
            Some(publisher) => publisher.publish(&event, budget).await,
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

/// What of a variable cannot be read is said in the log, and counts as not set.
fn keys(environment: Environment<'_>) -> ClientMetadataKeys {
    let read = |variable| {
        environment.optional(variable).map(Option::unwrap_or_default).map_err(|error| error.to_string())
    };
    let keys = read(client_metadata::VARIABLE)
        .and_then(|keys| ClientMetadataKeys::parse(&keys).map_err(|error| error.to_string()));
    let keys = keys.unwrap_or_else(|error| {
        say("ERROR", &format!("{error}; using the default keys"));
        ClientMetadataKeys::default()
    });
    let with_attribute = read(client_metadata::REFERRAL_CODE_ATTRIBUTE_VARIABLE)
        .and_then(|name| keys.clone().or_attribute(&name).map_err(|error| error.to_string()));
    with_attribute.unwrap_or_else(|error| {
        say("ERROR", &format!("{error}; referral codes come from ClientMetadata only"));
        keys
    })
}

/// Whether an answer can be an event. Of anything else Cognito says "Unrecognizable lambda output" and fails the
/// sign-in.
fn is_event(answer: &RawValue) -> bool {
    answer.get().starts_with('{')
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
