//! Sends many messages to a queue, as many to a request as SQS takes. Must not know what they say.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use cognito_user_sync_triggers::event::MESSAGE_MAX_BYTES;
use cognito_user_sync_triggers::request_error::RequestError;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::aws::{self, Timeouts};
use crate::sqs::queue::{QueueError, REQUEST_CONCURRENCY, REQUEST_MAX_MESSAGES, SCHEDULE};

/// A request of 1 MiB over a new connection takes less; one that has died while the function was frozen costs this.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), attempt: Duration::from_secs(4) };

/// How long opening the first connection may take.
const WARM_BUDGET: Duration = Duration::from_millis(1_500);

const OPERATION: &str = "SendMessageBatch";

/// Sends to one queue.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    queue_url: String,
}

impl Sender {
    /// A sender to the queue at this URL, in whose Region it is; else configured by the SDK's own variables.
    pub async fn new(queue_url: String) -> Self {
        let config = aws::sdk_config(TIMEOUTS).await;
        Self { client: aws::sqs(&config, &queue_url), queue_url }
    }

    /// A sender to the queue at this URL, with an existing client.
    #[must_use]
    pub fn with_client(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Fetches credentials and opens a connection. That it may be refused does not matter.
    pub async fn warm(&self) {
        let request = self.client.get_queue_attributes().queue_url(&self.queue_url);
        let request = request.attribute_names(QueueAttributeName::QueueArn);
        drop(tokio::time::timeout(WARM_BUDGET, request.send()).await);
    }

    /// Sends each message, several requests at once, and says of each whether SQS took it. Ends within `budget`; what has
    /// no answer by then may have arrived all the same.
    pub async fn send(&self, bodies: &[&str], budget: Duration) -> Vec<Result<(), QueueError>> {
        let deadline = Instant::now() + budget;
        let requests = divided(bodies).into_iter().map(|places| self.send_request(bodies, places, deadline));
        let failed: Vec<_> =
            futures::stream::iter(requests).buffer_unordered(REQUEST_CONCURRENCY).collect().await;
        let mut sent = vec![Ok(()); bodies.len()];
        for (place, error) in failed.into_iter().flatten() {
            if let Some(sent) = sent.get_mut(place) {
                *sent = Err(error);
            }
        }
        sent
    }

    /// Sends the messages at these places, and those again that SQS could not take; returns what was not taken at last.
    async fn send_request(
        &self,
        bodies: &[&str],
        mut places: Vec<usize>,
        deadline: Instant,
    ) -> Vec<(usize, QueueError)> {
        let mut attempt = 0;
        let mut refused: Vec<(usize, QueueError)> = Vec::new();
        loop {
            let tried = timeout_at(deadline, self.try_request(bodies, &places)).await;
            let tried = tried.unwrap_or_else(|_| Err(QueueError::of(OPERATION, RequestError::TimedOut)));
            let failed = match tried {
                Ok(failed) => failed,
                Err(error) => places.iter().map(|place| (*place, error.clone())).collect(),
            };
            let (again, for_good): (Vec<_>, Vec<_>) =
                failed.into_iter().partition(|(_, error)| error.is_transient());
            refused.extend(for_good);
            attempt += 1;
            let next = Instant::now() + SCHEDULE.delay(attempt);
            if again.is_empty() || next >= deadline {
                refused.extend(again);
                return refused;
            }
            places = again.into_iter().map(|(place, _)| place).collect();
            tokio::time::sleep_until(next).await;
        }
    }

    async fn try_request(
        &self,
        bodies: &[&str],
        places: &[usize],
    ) -> Result<Vec<(usize, QueueError)>, QueueError> {
        let entries = places.iter().filter_map(|place| {
            let entry = SendMessageBatchRequestEntry::builder().id(place.to_string());
            entry.message_body(*bodies.get(*place)?).build().ok()
        });
        let request = self.client.send_message_batch().queue_url(&self.queue_url);
        let answer = request.set_entries(Some(entries.collect())).send().await;
        let answer = answer.map_err(|error| QueueError::new(OPERATION, &error))?;
        let failed = answer.failed.into_iter().filter_map(|failed| {
            let error =
                RequestError::Refused { code: Some(failed.code), is_server_error: !failed.sender_fault };
            Some((failed.id.parse().ok()?, QueueError::of(OPERATION, error)))
        });
        Ok(failed.collect())
    }
}

/// The places of the messages of each request: in order, at most so many, and at most so many bytes together.
fn divided(bodies: &[&str]) -> Vec<Vec<usize>> {
    let mut requests: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for (place, body) in bodies.iter().enumerate() {
        match requests.last_mut() {
            Some(last) if last.len() < REQUEST_MAX_MESSAGES && bytes + body.len() <= MESSAGE_MAX_BYTES => {
                last.push(place);
                bytes += body.len();
            }
            Some(_) | None => {
                requests.push(vec![place]);
                bytes = body.len();
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_ten_messages_and_a_mebibyte() {
        let (small, large) = ("x", "x".repeat(MESSAGE_MAX_BYTES - 2));
        let sizes = |bodies: &[&str]| divided(bodies).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), Vec::<usize>::new());
        assert_eq!(sizes(&[small; 25]), [10, 10, 5]);
        assert_eq!(sizes(&[&large, small, small, small, &large, &large]), [3, 2, 1]);
        let places: Vec<usize> = divided(&[small; 25]).into_iter().flatten().collect();
        assert_eq!(places, (0..25).collect::<Vec<_>>());
    }
}
