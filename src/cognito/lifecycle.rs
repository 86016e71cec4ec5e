//! Publishes the changes of a user that no trigger reports, such as an update or a deletion. Knows the user pool and
//! the queue; must not know Lambda or the tables.
//!
//! [`cloudtrail`] reads that a user changed. How the user changed is hidden there, so we ask the pool and publish its
//! answer. Who joined or left which group is not hidden: that is published as CloudTrail says it, with its time.

use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, EventId, GroupEvent, UserEvent};
use cognito_user_sync_triggers::publish::{PublishError, Publisher, QUEUE_URL_VARIABLE};
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::aws;
use crate::cognito::cloudtrail::{self, Notice};
use crate::cognito::user_pool::{self, LookUp, PoolError, UserPool};
use crate::config::{ConfigError, Environment};

pub use crate::cognito::cloudtrail::Ignored;

/// How long reading a user may take. Together with [`PUBLISH_BUDGET`] it must be shorter than the function's timeout.
pub const LOOK_UP_BUDGET: Duration = Duration::from_secs(20);

/// How long publishing may take: longer than at a sign-in, since nobody waits here.
pub const PUBLISH_BUDGET: Duration = Duration::from_secs(10);

/// The function that the pool's two triggers should call. Checked with each heartbeat: an update of the pool's settings
/// can remove the triggers silently, and then no login is counted.
pub const TRIGGER_VARIABLE: &str = "USER_SYNC_TRIGGER_ARN";

/// How an event was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The event that it asked for is on the queue.
    Published,
    /// It asked for nothing.
    Ignored(Ignored),
}

/// Why Lambda must deliver an event again. Names no user: it is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    /// A user who changed is not in the pool.
    #[error(
        "a user who changed is not found in the pool. Cognito's reads may lag, so this is not taken for a deletion: \
         Lambda retries, and a user who was deleted since has a separate deletion event"
    )]
    NotFound,
    /// A user who was deleted is in the pool.
    #[error(
        "a user who was deleted is still found in the pool. Cognito's reads may lag, so it is not taken for a deletion \
         yet: Lambda retries"
    )]
    StillThere,
    /// Cognito refused a request.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Cognito did not respond in time.
    #[error("no response from Cognito within {} s", LOOK_UP_BUDGET.as_secs())]
    PoolTimedOut,
    /// The queue did not accept the event.
    #[error("the event is not on the queue: {0}")]
    Publish(#[from] PublishError),
}

/// Follows one user pool.
#[derive(Debug)]
pub struct Lifecycle {
    user_pool: UserPool,
    publisher: Publisher,
    trigger_arn: Option<String>,
}

impl Lifecycle {
    /// Reads `user_pool`, sends to `publisher`, and does not check the triggers.
    #[must_use]
    pub fn new(user_pool: UserPool, publisher: Publisher) -> Self {
        Self { user_pool, publisher, trigger_arn: None }
    }

    /// Configured by `USER_SYNC_USER_POOL_ID`, `USER_SYNC_QUEUE_URL`, `USER_SYNC_TRIGGER_ARN` if it is set, and
    /// the SDK's own variables.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub async fn from_env() -> Result<Self, ConfigError> {
        let pool = user_pool::configured("the id of the user pool to read, such as eu-west-1_Abc123Def")?;
        let environment = Environment::process();
        let queue_url = environment.required(QUEUE_URL_VARIABLE, "the URL of the queue to send to")?;
        let trigger_arn = environment.optional(TRIGGER_VARIABLE)?;
        let lifecycle = Self::new(UserPool::new(pool).await, aws::publisher(queue_url).await);
        Ok(Self { trigger_arn, ..lifecycle })
    }

    /// Opens the connection to SQS before the first event; see [`Publisher::warm`].
    pub async fn warm(&self) {
        self.publisher.warm().await;
    }

    /// Publishes what `payload` asks for, if the pool confirms it.
    ///
    /// Idempotent: a snapshot repeats what the pool says, and a second deletion or change of a group changes nothing.
    ///
    /// # Errors
    /// When the pool contradicts the event, or when the pool or the queue does not respond. Call it again with the same
    /// payload.
    pub async fn handle(&self, payload: &str) -> Result<Handled, LifecycleError> {
        let event = match cloudtrail::read(payload, self.user_pool.id()) {
            Notice::Ignored(why) => return Ok(Handled::Ignored(why)),
            Notice::Group { group, change, at } => Event::Group(GroupEvent {
                id: EventId::new(at.min(Timestamp::now())),
                user_pool_id: self.user_pool.id().to_owned().into(),
                group: group.into(),
                change,
            }),
            Notice::Heartbeat => Event::Heartbeat { id: EventId::new(Timestamp::now()) },
            Notice::Changed { sub, at } => Event::User(self.changed(sub, at).await?),
            Notice::Deleted { sub, at } => match self.look_up(sub, None).await? {
                LookUp::Present(..) => return Err(LifecycleError::StillThere),
                LookUp::Absent(asked_at) => {
                    let at = at.map_or(asked_at, |at| at.min(asked_at));
                    Event::User(user_pool::deletion(self.user_pool.id(), sub, at))
                }
            },
        };
        self.publisher.publish(&event, PUBLISH_BUDGET).await?;
        if let (Event::Heartbeat { .. }, Some(trigger_arn)) = (&event, &self.trigger_arn) {
            self.check_triggers(trigger_arn).await;
        }
        Ok(Handled::Published)
    }

    /// Counts the triggers that do not call our function. The heartbeat has been sent, so a failure is only logged.
    async fn check_triggers(&self, trigger_arn: &str) {
        match tokio::time::timeout(LOOK_UP_BUDGET, self.user_pool.missing_triggers(trigger_arn)).await {
            Ok(Ok(missing)) => {
                if missing > 0 {
                    tracing::error!(
                        triggers.missing = missing,
                        "the user pool does not call the trigger: sign-ins are not counted"
                    );
                }
                let missing = u32::try_from(missing).unwrap_or(u32::MAX);
                metrics::histogram!("triggers_missing").record(missing);
            }
            Ok(Err(error)) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot check whether the user pool calls the trigger"
            ),
            Err(_) => {
                tracing::warn!("cannot check whether the user pool calls the trigger: no response in time")
            }
        }
    }

    /// What the pool says of a user who changed. An answer that may be of before the change, or of whose change the time
    /// is not known, is not the whole user.
    async fn changed(&self, sub: Uuid, at: Option<Timestamp>) -> Result<UserEvent<'static>, LifecycleError> {
        match self.look_up(sub, at).await? {
            LookUp::Present(user, asked_at) => {
                // A time that is not known is later than any answer.
                let change = at.unwrap_or(Timestamp::MAX);
                Ok(user.snapshot_after(change, self.user_pool.id(), asked_at))
            }
            LookUp::Absent(_) => Err(LifecycleError::NotFound),
        }
    }

    async fn look_up(&self, sub: Uuid, change: Option<Timestamp>) -> Result<LookUp, LifecycleError> {
        let look_up = async {
            match change {
                Some(change) => self.user_pool.look_up_after(change, sub, None).await,
                None => self.user_pool.look_up(sub, None).await,
            }
        };
        // Boxed: its future is large.
        let looked_up = tokio::time::timeout(LOOK_UP_BUDGET, Box::pin(look_up)).await;
        Ok(looked_up.map_err(|_| LifecycleError::PoolTimedOut)??)
    }
}
