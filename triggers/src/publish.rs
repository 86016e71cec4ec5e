//! Sends one event to the queue, within a budget. Knows SQS; must not know Cognito or Lambda.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::QueueAttributeName;

use crate::aws::{self, Timeouts};
use crate::event::{Event, MESSAGE_MAX_BYTES};
use crate::request_error::RequestError;
use crate::retry::{Hedge, Schedule};

/// The name of the variable that holds the queue's URL.
pub const QUEUE_URL_VARIABLE: &str = "USER_SYNC_QUEUE_URL";

/// All that publishing may cost a sign-in, retries included. Cognito waits 5 s and then calls again
/// ("Customizing user pool workflows with Lambda triggers"), which would count one login twice.
pub const PUBLISH_BUDGET: Duration = Duration::from_secs(2);

/// All that warming may cost the function's init (Lambda allows it 10 s): three round trips to a queue that is far.
pub(crate) const WARM_BUDGET: Duration = Duration::from_millis(1_500);

/// An attempt may last as long as a sign-in waits: the queue may be in another Region, and a new connection to it takes
/// three round trips.
pub const TIMEOUTS: Timeouts = Timeouts { connect: PUBLISH_BUDGET, attempt: PUBLISH_BUDGET };

/// A connection that died while the function was frozen never answers. So an attempt without an answer is joined by
/// another one, on another connection, and the first success counts.
const HEDGE: Hedge = Hedge { after: Duration::from_millis(600), at_once: 3 };

const SCHEDULE: Schedule = Schedule { first: Duration::from_millis(50), cap: Duration::from_millis(400) };

/// Sends events to one queue.
#[derive(Debug, Clone)]
pub struct Publisher {
    client: Client,
    queue_url: String,
}

/// Why an event did not reach the queue. Names no value of the event: it is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No queue is configured.
    #[error("{QUEUE_URL_VARIABLE} is not set")]
    NoQueue,
    /// The message would be larger than SQS takes.
    #[error("the message has {actual} bytes; SQS takes {MESSAGE_MAX_BYTES}")]
    TooLarge {
        /// The message's size in bytes.
        actual: usize,
    },
    /// No answer in time. The message may have arrived all the same.
    #[error("no answer from SQS in time")]
    TimedOut,
    /// SQS could not be reached.
    #[error(
        "SQS cannot be reached, or there are no credentials: check the queue's URL, the region and the network"
    )]
    Unreachable,
    /// SQS refused the message.
    #[error("SQS refused the message: {code}")]
    Refused {
        /// SQS's error code, such as `AccessDenied`.
        code: String,
        /// Whether it may pass when tried again: a throttle or a 5xx.
        transient: bool,
    },
}

impl PublishError {
    fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut | Self::Unreachable => true,
            Self::Refused { transient, .. } => *transient,
            Self::NoQueue | Self::TooLarge { .. } => false,
        }
    }
}

impl Publisher {
    /// A publisher to the queue at `queue_url`, in whose Region it is; its [`TIMEOUTS`] are the caller's to set.
    #[must_use]
    pub fn new(config: &SdkConfig, queue_url: String) -> Self {
        Self::with_client(aws::sqs(config, &queue_url), queue_url)
    }

    /// A publisher to the queue at `queue_url`, by a client that is there already.
    #[must_use]
    pub fn with_client(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Fetches credentials and opens the connection, so that the first sign-in does not pay for it.
    ///
    /// Asks for one queue attribute; that it may be refused does not matter. Never fails, and ends within
    /// 1.5 s.
    pub async fn warm(&self) {
        self.warm_within(WARM_BUDGET).await;
    }

    /// The same, and ends within `budget`.
    pub(crate) async fn warm_within(&self, budget: Duration) {
        let request = self
            .client
            .get_queue_attributes()
            .queue_url(&self.queue_url)
            .attribute_names(QueueAttributeName::QueueArn);
        // Whatever came of it, the next request is no slower for it.
        drop(tokio::time::timeout(budget, request.send()).await);
    }

    /// Sends `event`, and answers within `budget` whatever happens: tries again with full jitter what failed, and beside
    /// it what has no answer yet. What is still under way then is dropped, with its connection.
    ///
    /// Every attempt carries the same id, so an event that arrives twice is a duplicate.
    ///
    /// # Errors
    /// Why the event did not reach the queue, as far as can be known.
    pub async fn publish(&self, event: &Event<'_>, budget: Duration) -> Result<(), PublishError> {
        let body = event.encode();
        if body.len() > MESSAGE_MAX_BYTES {
            return Err(PublishError::TooLarge { actual: body.len() });
        }
        let send = || async {
            let request = self.client.send_message().queue_url(&self.queue_url).message_body(&body);
            request.send().await.map(drop).map_err(|error| classify(&error))
        };
        let sent = SCHEDULE.hedge(HEDGE, budget, PublishError::is_transient, send).await;
        sent.map_err(|error| error.unwrap_or(PublishError::TimedOut))
    }
}

fn classify<E: ProvideErrorMetadata>(error: &SdkError<E>) -> PublishError {
    let error = RequestError::of(error);
    match error {
        RequestError::TimedOut | RequestError::ConnectTimedOut => PublishError::TimedOut,
        RequestError::Refused { .. } => {
            PublishError::Refused { code: error.describe("SQS"), transient: error.is_transient() }
        }
        RequestError::Unreachable | RequestError::NotBuilt | RequestError::Unreadable => {
            PublishError::Unreachable
        }
    }
}
