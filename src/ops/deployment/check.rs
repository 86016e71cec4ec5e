//! Sees a heartbeat through a deployment, as its last step: whether what a trigger sends gets into the database. If not, one
//! message says why. Must not know how a message is applied, and never tells what one says.

use std::time::{Duration, Instant};

use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::publish::{PublishError, Publisher, QUEUE_URL_VARIABLE};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::aws;
use crate::cognito::rows::{self, RowsError, RowsFunction};
use crate::config::{ConfigError, DLQ_URL_VARIABLE, Environment};
use crate::ops::deployment::witnesses::{Consumer, Queues};
use crate::ops::deployment::{Error, Request, RequestType, answer, name};
use crate::store::maintenance::drift::questions::Question;
use crate::store::maintenance::heartbeat::Arrival;

/// The name of the variable that names the consumer's log group.
const LOG_GROUP_VARIABLE: &str = "USER_SYNC_CONSUMER_LOG_GROUP";

/// What the custom resource's name begins with.
const PREFIX: &str = "user-sync-deployment-check";

/// How long sending may take: a role's new policy may not be known everywhere yet.
const SEND_BUDGET: Duration = Duration::from_secs(60);

/// How often we look.
const INTERVAL: Duration = Duration::from_secs(2);

/// How often a heartbeat is sent: one that a consumer received and did not apply, since it was just replaced, is hidden for
/// minutes.
const AGAIN: Duration = Duration::from_secs(30);

/// After this time a heartbeat of before counts, too, if it arrives while we look: ours waits behind many messages. What
/// the former consumer still had in its hands is applied by then.
const BACKLOG: Duration = Duration::from_secs(90);

/// The time that is reserved for asking why, and for the answer.
const RESERVE: Duration = Duration::from_secs(15);

/// The deployment does not work, or it is not known whether it does.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The function is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The payload is from somebody else.
    #[error("the payload is neither CloudFormation's request nor {{\"deploymentCheck\":true}}")]
    NotAsked,
    /// The heartbeat did not get into the queue.
    #[error(
        "no heartbeat can be sent to the queue: permit this function sqs:SendMessage on it, and the use of its key"
    )]
    NotSent(#[from] PublishError),
    /// The heartbeat was sent, and is not in the database.
    #[error(
        "the deployment does not work yet: a heartbeat that was sent {seconds} s ago has not reached the database, and no \
         sign-in would. The consumer: {consumer}. The rows: {rows}. The queues: {queues}. When the reason is mended, the \
         messages that wait are applied; deploy again"
    )]
    NotArrived {
        /// How long ago it was sent.
        seconds: u64,
        /// What the consumer's log says.
        consumer: String,
        /// What the function says that reads the rows.
        rows: String,
        /// How many messages wait, and how many are dead.
        queues: String,
    },
}

/// What the function is called with.
#[derive(Deserialize)]
#[serde(untagged)]
enum Payload {
    CloudFormation(Request<Value>),
    #[serde(rename_all = "camelCase")]
    ByHand {
        deployment_check: bool,
    },
}

/// What the function `rows` said last.
enum Said {
    Nothing,
    Latest(Option<Timestamp>),
    Error(RowsError),
}

impl Said {
    fn tell(self) -> String {
        match self {
            Self::Nothing => "the function that reads them has not answered".to_owned(),
            Self::Latest(None) => "they can be read, and no heartbeat has ever arrived".to_owned(),
            Self::Latest(Some(at)) => format!("they can be read, and the latest heartbeat is of {at}"),
            Self::Error(error) => error.to_string(),
        }
    }
}

pub(super) async fn handle(payload: &str, deadline: Instant) -> Result<Value, Error> {
    let named = match serde_json::from_str(payload) {
        // Also of a former name, which each update leaves.
        Ok(Payload::CloudFormation(request)) if request.request_type == RequestType::Delete => {
            return Ok(answer(request.physical_resource_id.as_deref().unwrap_or(PREFIX)));
        }
        Ok(Payload::CloudFormation(request)) if name::is_rollback(PREFIX, &request) => {
            tracing::warn!("an update is rolled back to what was checked before: nothing is asked");
            return Ok(answer(&name::after(PREFIX, &request)));
        }
        Ok(Payload::CloudFormation(request)) => name::after(PREFIX, &request),
        Ok(Payload::ByHand { deployment_check: true }) => PREFIX.to_owned(),
        Ok(Payload::ByHand { deployment_check: false }) | Err(_) => return Err(CheckError::NotAsked.into()),
    };
    Check::from_env().await?.run(deadline).await?;
    Ok(answer(&named))
}

struct Check {
    queue_url: String,
    rows: RowsFunction,
    queues: Queues,
    consumer: Consumer,
}

impl Check {
    async fn from_env() -> Result<Self, ConfigError> {
        let environment = Environment::process();
        let queue_url = environment.required(QUEUE_URL_VARIABLE, "the queue to send to")?;
        let dlq_url = environment.required(DLQ_URL_VARIABLE, "where dead letters are")?;
        let rows = environment.required(rows::VARIABLE, "the function that reads the rows")?;
        let group = environment.required(LOG_GROUP_VARIABLE, "where the consumer logs")?;
        Ok(Self {
            queues: Queues::new(&queue_url, &dlq_url).await,
            queue_url,
            rows: RowsFunction::new(rows).await,
            consumer: Consumer::new(group).await,
        })
    }

    async fn run(self, deadline: Instant) -> Result<(), CheckError> {
        let until = deadline.checked_sub(RESERVE).unwrap_or(deadline);
        let (sent_at, id) = (Instant::now(), EventId::new(Timestamp::now()));
        let publisher = aws::publisher(self.queue_url.clone()).await;
        let left = until.saturating_duration_since(sent_at);
        publisher.publish(&Event::heartbeat(id), SEND_BUDGET.min(left)).await?;
        let said = match self.look(&publisher, id, until).await {
            Ok(()) => {
                let seconds = sent_at.elapsed().as_secs_f64();
                tracing::info!(check.seconds = seconds, "a heartbeat went all the way into the database");
                return Ok(());
            }
            Err(said) => said,
        };
        let (consumer, queues) = tokio::join!(self.consumer.said_since(id.time()), self.queues.counts());
        let seconds = sent_at.elapsed().as_secs();
        Err(CheckError::NotArrived { seconds, consumer, rows: said.tell(), queues })
    }

    /// Waits until the heartbeat, or a later one, is in the database.
    async fn look(&self, publisher: &Publisher, id: EventId, until: Instant) -> Result<(), Said> {
        let (begun, mut sent_at) = (Instant::now(), Instant::now());
        let (mut said, mut first) = (Said::Nothing, None);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.rows.ask(&Question::Heartbeat(id))).await {
                Ok(Ok(Arrival { arrived: true, .. })) => return Ok(()),
                Ok(Ok(Arrival { latest, .. })) => {
                    let before = *first.get_or_insert(latest);
                    if begun.elapsed() < BACKLOG {
                        first = Some(latest);
                    } else if latest > before {
                        return Ok(());
                    }
                    said = Said::Latest(latest);
                }
                Ok(Err(error)) => said = Said::Error(error),
                Err(_) => return Err(said),
            }
            tokio::time::sleep(INTERVAL).await;
            if sent_at.elapsed() >= AGAIN {
                sent_at = Instant::now();
                let again = Event::heartbeat(EventId::new(Timestamp::now()));
                if let Err(error) = publisher.publish(&again, INTERVAL).await {
                    tracing::warn!(error = %error, "another heartbeat could not be sent");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_by_cloudformation_or_by_hand() {
        let asked = |payload: &str| serde_json::from_str::<Payload>(payload).ok();
        let created = r#"{"RequestType":"Create","ResourceProperties":{"At":"1"},"ResponseURL":"https://x"}"#;
        assert!(matches!(asked(created), Some(Payload::CloudFormation(_))));
        assert!(matches!(
            asked(r#"{"deploymentCheck":true}"#),
            Some(Payload::ByHand { deployment_check: true })
        ));
        for other in ["{}", r#"{"heartbeat":true}"#, r#"{"deploymentCheck":1}"#] {
            assert!(asked(other).is_none(), "{other}");
        }
    }
}
