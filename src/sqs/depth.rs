//! How many messages a queue has, by its attributes. Receives nothing; must not know what messages say.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync_triggers::request_error::RequestError;

use crate::sqs::queue::QueueError;

/// How many messages a queue has, about: SQS counts with some delay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Those that wait to be received.
    pub waiting: u64,
    /// Those that somebody has received, or that are hidden until they are tried again.
    pub hidden: u64,
    /// Those that were sent to be received later.
    pub delayed: u64,
    /// For how many seconds the queue keeps a message.
    pub retention_seconds: u64,
}

impl Depth {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.waiting + self.hidden + self.delayed
    }
}

/// How many messages a queue has, by its attributes: nothing is received.
///
/// # Errors
/// When SQS does not answer, or refuses.
pub async fn depth(client: &Client, queue_url: &str) -> Result<Depth, QueueError> {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        QueueAttributeName::MessageRetentionPeriod,
    ];
    let request = client.get_queue_attributes().queue_url(queue_url);
    let answer = request.set_attribute_names(Some(names.to_vec())).send().await;
    let answer = answer.map_err(|error| QueueError::new("GetQueueAttributes", &error))?;
    let attributes = answer.attributes.unwrap_or_default();
    let [waiting, hidden, delayed, retention_seconds] =
        names.map(|name| attributes.get(&name).and_then(|value| value.parse().ok()));
    // A count that is missing is no zero.
    let missing = || QueueError::of("GetQueueAttributes", RequestError::Unreadable);
    Ok(Depth {
        waiting: waiting.ok_or_else(missing)?,
        hidden: hidden.ok_or_else(missing)?,
        delayed: delayed.ok_or_else(missing)?,
        retention_seconds: retention_seconds.unwrap_or(0),
    })
}
