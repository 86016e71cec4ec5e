//! Publishes the changes of a user that no trigger reports, such as an update or a deletion. Knows our user pools and
//! their queues; must not know Lambda or the tables.
//!
//! [`cloudtrail`] reads that a user changed. How the user changed is hidden there, so we ask the pool and publish its
//! answer. Who joined or left which group is not hidden: that is published as CloudTrail says it, with its time.
//!
//! CloudTrail reports every pool of the account. What is not known to be of a pool of ours is no deletion of ours, and it
//! is a change only if one of our pools has the user.

pub(in crate::cognito) mod clients;
pub(in crate::cognito) mod settings;

use std::sync::Arc;
use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, EventId, GroupEvent, POOLS_SEEN_MAX, PoolSeen};
use cognito_user_sync_triggers::publish::{PublishError, Publisher};
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::future::{BoxFuture, FutureExt as _, join_all};
use uuid::Uuid;

use crate::aws;
use crate::cognito::cloudtrail::{self, Notice, Whose};
use crate::cognito::lifecycle::clients::{CLIENT_LISTS_PER_SECOND, Clients, Owner};
use crate::cognito::lifecycle::settings::PoolSettings;
use crate::cognito::user_pool::{self, LOOK_UP_SHARE, LookUp, Pace, PoolError, SETTLES_AFTER, UserPool};
use crate::config::{ConfigError, Environment};

pub use crate::cognito::cloudtrail::Ignored;
pub use crate::cognito::lifecycle::settings::{POOLS_VARIABLE, TRIGGER_VARIABLE};

/// How long reading a user may take, with finding out whose user it is. Together with [`PUBLISH_BUDGET`] it must be
/// shorter than the function's timeout.
pub const LOOK_UP_BUDGET: Duration = Duration::from_secs(20);

/// How long publishing may take: longer than at a sign-in, since nobody waits here.
pub const PUBLISH_BUDGET: Duration = Duration::from_secs(10);

/// Those of [`LOOK_UP_SHARE`] that may look for a user of whom a record says nothing but the sub: mostly it is
/// another pool's.
pub const SEARCHES_PER_SECOND: u32 = 2;

/// How an event was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The event that it asked for is on the queue.
    Published,
    /// A pool was changed, so the triggers were looked at.
    Looked,
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
    /// A listing of app clients was late.
    #[error(
        "the app clients of the pools are not all listed yet: Lambda retries, and the listing goes on where it stopped"
    )]
    ClientsNotListed,
    /// Cognito did not respond in time.
    #[error("no response from Cognito within {} s", LOOK_UP_BUDGET.as_secs())]
    PoolTimedOut,
    /// The queue did not accept the event.
    #[error("the event is not on the queue: {0}")]
    Publish(#[from] PublishError),
}

/// A pool that is followed, and where its events go.
#[derive(Debug)]
pub struct Followed {
    /// The pool.
    pub user_pool: UserPool,
    /// Its queue. Pools with one queue have one publisher.
    pub publisher: Arc<Publisher>,
    /// The function that the pool's two triggers should call. Looked at with each heartbeat, and when the pool is changed:
    /// an update of the pool's settings can remove the triggers silently, and then no login is counted.
    pub trigger_arn: Option<String>,
}

/// Follows one user pool, or several.
#[derive(Debug)]
pub struct Lifecycle {
    pools: Vec<Followed>,
    clients: Clients,
    searches: Pace,
}

/// What is published, and by which pool's publisher; `None` if it is not known to be about a pool of ours.
type Found<'a> = Option<(&'a Followed, Event<'static>)>;

impl Lifecycle {
    /// Follows these pools.
    #[must_use]
    pub fn new(pools: Vec<Followed>) -> Self {
        let (clients, searches) = (Clients::at_rate(CLIENT_LISTS_PER_SECOND), Pace::new(SEARCHES_PER_SECOND));
        Self { pools, clients, searches }
    }

    /// Configured by `USER_SYNC_POOLS`, or `USER_SYNC_USER_POOL_ID` with `USER_SYNC_QUEUE_URL`; by `USER_SYNC_TRIGGER_ARN`
    /// if it is set; and by the SDK's own variables.
    ///
    /// # Errors
    /// Names the variable that is missing, or that holds what it must not.
    pub async fn from_env() -> Result<Self, ConfigError> {
        let mut pools: Vec<Followed> = Vec::new();
        let mut queues: Vec<(String, Arc<Publisher>)> = Vec::new();
        let settings = settings::read(Environment::process())?;
        // The quota is that of the account, whichever pool is asked.
        let share = LOOK_UP_SHARE / u32::try_from(settings.len()).unwrap_or(LOOK_UP_SHARE);
        for PoolSettings { id, queue_url, trigger_arn } in settings {
            let known = queues.iter().find(|(url, _)| *url == queue_url);
            let publisher = match known.map(|(_, publisher)| Arc::clone(publisher)) {
                Some(publisher) => publisher,
                None => Arc::new(aws::publisher(queue_url.clone()).await),
            };
            queues.push((queue_url, Arc::clone(&publisher)));
            let user_pool = match pools.first() {
                Some(first) => UserPool::with_client(first.user_pool.client().clone(), id),
                None => UserPool::new(id).await,
            };
            pools.push(Followed { user_pool: user_pool.at_rate(share.max(1)), publisher, trigger_arn });
        }
        Ok(Self::new(pools))
    }

    /// Opens the connections to SQS before the first event; see [`Publisher::warm`].
    pub async fn warm(&self) {
        join_all(self.queues().map(|pool| pool.publisher.warm())).await;
    }

    /// Publishes what `payload` asks for, if the pool confirms it.
    ///
    /// Idempotent: a snapshot repeats what the pool says, and a second deletion or change of a group changes nothing.
    ///
    /// # Errors
    /// When the pool contradicts the event, or when the pool or the queue does not respond. Call it again with the same
    /// payload.
    pub async fn handle(&self, payload: &str) -> Result<Handled, LifecycleError> {
        let found = match cloudtrail::read(payload, |pool| self.pool(pool).is_some()) {
            Notice::Ignored(why) => return Ok(Handled::Ignored(why)),
            Notice::Heartbeat => return self.heartbeat().boxed().await,
            Notice::PoolChanged => {
                drop(self.look_at_triggers().boxed().await);
                return Ok(Handled::Looked);
            }
            Notice::Group { user_pool_id, group, change, at } => self.pool(&user_pool_id).map(|pool| {
                let id = EventId::new(at.min(Timestamp::now()));
                let user_pool_id = user_pool_id.into();
                (pool, Event::Group(GroupEvent { id, user_pool_id, group: group.into(), change }))
            }),
            Notice::Changed { whose, sub, at } => {
                within_budget(self.changed(&whose, sub, at).boxed()).await?
            }
            Notice::Deleted { whose, sub, at } => {
                within_budget(self.deleted(&whose, sub, at).boxed()).await?
            }
        };
        let Some((pool, event)) = found else { return Ok(Handled::Ignored(Ignored::UnknownClient)) };
        pool.publisher.publish(&event, PUBLISH_BUDGET).await?;
        Ok(Handled::Published)
    }

    fn pool(&self, id: &str) -> Option<&Followed> {
        self.pools.iter().find(|pool| pool.user_pool.id() == id)
    }

    /// The first pool of each queue.
    fn queues(&self) -> impl Iterator<Item = &Followed> {
        let is_first = |at: usize, publisher: &Arc<Publisher>| {
            !self.pools.iter().take(at).any(|pool| Arc::ptr_eq(&pool.publisher, publisher))
        };
        let pools = self.pools.iter().enumerate();
        pools.filter(move |(at, pool)| is_first(*at, &pool.publisher)).map(|(_, pool)| pool)
    }

    /// Sends a heartbeat to each queue, with what was just seen of the triggers of its pools. One that takes nothing keeps no
    /// other from it, nor does a pool that cannot be asked.
    async fn heartbeat(&self) -> Result<Handled, LifecycleError> {
        let seen = self.look_at_triggers().await;
        let sent = join_all(self.queues().map(|first| {
            let of_queue = self.pools.iter().filter(|pool| Arc::ptr_eq(&pool.publisher, &first.publisher));
            let of_queue =
                of_queue.filter_map(|pool| seen.iter().find(|seen| seen.user_pool_id == pool.user_pool.id()));
            first.heartbeat(of_queue.take(POOLS_SEEN_MAX).cloned().collect())
        }));
        sent.await.into_iter().collect::<Result<(), _>>()?;
        Ok(Handled::Published)
    }

    /// Looks at the triggers of the pools that can be asked, and counts those that do not call our function, of all pools
    /// together: one look is one value. A failure is only logged: there is another look with the next heartbeat.
    async fn look_at_triggers(&self) -> Vec<PoolSeen> {
        let looks = self.pools.iter().filter_map(|pool| {
            let trigger_arn = pool.trigger_arn.as_deref()?;
            Some(pool.look_at_triggers(trigger_arn))
        });
        let looked = join_all(looks).await;
        let missing: u32 = looked.iter().flatten().map(|seen| u32::from(seen.missing)).sum();
        // That nothing is missing is not known without the pools that could not be asked.
        if missing > 0 || !looked.is_empty() && looked.iter().all(Option::is_some) {
            metrics::histogram!("triggers_missing").record(missing);
        }
        looked.into_iter().flatten().collect()
    }

    /// What the pool says of a user who changed.
    async fn changed(
        &self,
        whose: &Whose,
        sub: Uuid,
        at: Option<Timestamp>,
    ) -> Result<Found<'_>, LifecycleError> {
        // The user can be found without the client's pool.
        let owner = self.owner(whose, at).await.unwrap_or(Owner::Unknown);
        match owner {
            Owner::Ours(pool) => match self.pool(&pool) {
                Some(pool) => Ok(Some((pool, pool.changed(sub, at).await?.ok_or(LifecycleError::NotFound)?))),
                None => Ok(None),
            },
            Owner::Stranger => Ok(None),
            Owner::Unknown => self.search(sub, at).await,
        }
    }

    /// What the pool says of a user who changed, if it is a pool of ours.
    async fn search(&self, sub: Uuid, at: Option<Timestamp>) -> Result<Found<'_>, LifecycleError> {
        let mut failure = None;
        for pool in &self.pools {
            self.searches.wait().await;
            match pool.user_pool.lists(sub).await {
                Ok(true) => return Ok(pool.changed(sub, at).await?.map(|event| (pool, event))),
                Ok(false) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), |error| Err(error.into()))
    }

    /// The deletion of a user whom the pool no longer has. Nobody knows that a user was ours whom none of our pools has: so
    /// the record must say it.
    async fn deleted(
        &self,
        whose: &Whose,
        sub: Uuid,
        at: Option<Timestamp>,
    ) -> Result<Found<'_>, LifecycleError> {
        let Owner::Ours(pool) = self.owner(whose, at).await? else { return Ok(None) };
        let Some(pool) = self.pool(&pool) else { return Ok(None) };
        match pool.user_pool.look_up(sub, None).await? {
            LookUp::Present(..) => Err(LifecycleError::StillThere),
            LookUp::Absent(asked_at) => {
                let at = at.map_or(asked_at, |at| at.min(asked_at));
                Ok(Some((pool, Event::User(user_pool::deletion(pool.user_pool.id(), sub, at)))))
            }
        }
    }

    async fn owner(&self, whose: &Whose, at: Option<Timestamp>) -> Result<Owner, LifecycleError> {
        match whose {
            Whose::Pool(pool) => Ok(Owner::Ours(pool.clone())),
            Whose::Client(client) => {
                self.clients.owner(client, at, self.pools.iter().map(|pool| &pool.user_pool)).await
            }
            Whose::Nobody => Ok(Owner::Unknown),
        }
    }
}

impl Followed {
    async fn heartbeat(&self, pools: Vec<PoolSeen>) -> Result<(), PublishError> {
        let event = Event::Heartbeat { id: EventId::new(Timestamp::now()), pools };
        let sent = self.publisher.publish(&event, PUBLISH_BUDGET).await;
        if let Err(error) = &sent {
            let (user_pool, error) = (self.user_pool.id(), error as &dyn std::error::Error);
            tracing::error!(user_pool, error, "the queue of a pool takes no heartbeat");
        }
        sent
    }

    /// What the pool says of a user who changed; `None` if it does not have the user. An answer that may be of before the
    /// change, or of whose change the time is not known, is not the whole user; one to a question that was sent long after
    /// the change is. It is dated so that it overrules nothing that the table has learnt since.
    async fn changed(&self, sub: Uuid, at: Option<Timestamp>) -> Result<Option<Event<'static>>, PoolError> {
        let age = |at: Timestamp| u128::from(Timestamp::now().unix_millis().saturating_sub(at.unix_millis()));
        let is_settled = at.is_some_and(|at| age(at) >= SETTLES_AFTER.as_millis());
        let looked_up = match at.filter(|_| !is_settled) {
            Some(at) => self.user_pool.look_up_after(at, sub, None).await?,
            None => self.user_pool.look_up(sub, None).await?,
        };
        Ok(match looked_up {
            LookUp::Present(user, asked_at) => {
                let (pool, true_at) = (self.user_pool.id(), user.true_at(asked_at, SETTLES_AFTER, at));
                // A time that is not known is later than any answer.
                let change = at.unwrap_or(Timestamp::MAX);
                Some(Event::User(match is_settled {
                    true => user.snapshot(pool, true_at),
                    false => user.snapshot_after(change, pool, true_at),
                }))
            }
            LookUp::Absent(_) => None,
        })
    }

    /// The pool's two triggers, and how many of them do not call our function; `None` if the pool cannot be asked.
    async fn look_at_triggers(&self, trigger_arn: &str) -> Option<PoolSeen> {
        let user_pool = self.user_pool.id();
        match tokio::time::timeout(LOOK_UP_BUDGET, self.user_pool.look_at_triggers(trigger_arn)).await {
            Ok(Ok(seen)) => {
                if seen.missing > 0 {
                    tracing::error!(
                        user_pool,
                        triggers.missing = seen.missing,
                        "the user pool does not call the trigger: sign-ins are not counted"
                    );
                }
                Some(seen)
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    user_pool,
                    error = &error as &dyn std::error::Error,
                    "cannot check whether the user pool calls the trigger"
                );
                None
            }
            Err(_) => {
                tracing::warn!(
                    user_pool,
                    "cannot check whether the user pool calls the trigger: no response in time"
                );
                None
            }
        }
    }
}

/// What is found in time. Boxed: the future is large.
async fn within_budget<'a>(
    find: BoxFuture<'_, Result<Found<'a>, LifecycleError>>,
) -> Result<Found<'a>, LifecycleError> {
    tokio::time::timeout(LOOK_UP_BUDGET, find).await.unwrap_or(Err(LifecycleError::PoolTimedOut))
}
