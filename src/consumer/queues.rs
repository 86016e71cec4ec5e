//! Which queues a consumer takes from, and what each carries. Must not know a message.

use crate::config::Config;
use crate::sqs::queue::Queue;

/// What a queue carries: nothing else is accepted from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Events of users and groups, and heartbeats.
    Events,
    /// What others record of sign-ins. A queue of its own, since whoever may send there must not count logins.
    Records,
}

/// A consumer's queues.
#[derive(Debug, Clone)]
pub struct Queues {
    /// The queue of events.
    pub events: Queue,
    /// The queue of records, if there is one.
    pub records: Option<Queue>,
}

impl Queues {
    /// The queues of a configuration, each in the Region of its URL.
    pub async fn of(config: &Config) -> Self {
        let events = Queue::new(config.queue_url.clone(), config.dlq_url.clone()).await;
        let records = match &config.contexts {
            Some(contexts) => Some(Queue::new(contexts.queue_url.clone(), contexts.dlq_url.clone()).await),
            None => None,
        };
        Self { events, records }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Queue> {
        std::iter::once(&self.events).chain(&self.records)
    }

    /// The queue of an ARN, and what it carries. Where there is no queue of records, all is of the queue of events. Where there
    /// is one, a queue that is neither is `None`: whoever may send there is not known to be one who may count logins.
    #[must_use]
    pub fn at(&self, arn: &str) -> Option<(&Queue, Carries)> {
        match &self.records {
            None => Some((&self.events, Carries::Events)),
            Some(records) if records.is_at(arn) => Some((records, Carries::Records)),
            Some(_) => self.events.is_at(arn).then_some((&self.events, Carries::Events)),
        }
    }
}
