//! Publishes records to their queue: those that Lambda hands over, and those of files. Knows our user pools, their app
//! clients and the queue; must not know how a record is written.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use tokio::time::{Instant, timeout_at};

use crate::cognito::cloudtrail::Whose;
use crate::cognito::lifecycle::clients::{CLIENT_LISTS_PER_SECOND, Clients, Owner};
use crate::cognito::lifecycle::settings::by_pool;
use crate::cognito::lifecycle::{LOOK_UP_BUDGET, LifecycleError, POOLS_VARIABLE};
use crate::cognito::records::devices::Devices;
use crate::cognito::records::pack::{self, Known};
use crate::cognito::records::payload::{self, Payload};
use crate::cognito::records::record::{Ignored, OriginOf, Record};
use crate::cognito::user_pool::{UserPool, VARIABLE as POOL_VARIABLE};
use crate::config::{CONTEXT_QUEUE_URL_VARIABLE, ConfigError, Environment};
use crate::sqs::queue::QueueError;
use crate::sqs::send::Sender;

/// How long sending what an invocation holds may take. Together with [`LOOK_UP_BUDGET`] it must be shorter than the
/// function's timeout.
pub const SEND_BUDGET: Duration = Duration::from_secs(30);

/// Why records are not on the queue, so that they must be handed over again. Names no user: it is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// Which pool's an app client is, or whether it has a secret, cannot be asked.
    #[error(transparent)]
    Clients(#[from] LifecycleError),
    /// An app client is not in any listing, and may be new.
    #[error(
        "an app client is in no listing of the pools' clients, or these cannot be listed: the record is handed over \
         again. Where that goes on, allow cognito-idp:ListUserPoolClients"
    )]
    ClientNotListed,
    /// The queue did not accept them.
    #[error("records of sign-ins are not on the queue: {0}")]
    Queue(#[from] QueueError),
    /// A message without an id failed, and Lambda cannot be told which one.
    #[error("a message without messageId failed, so the whole batch fails: check the event source")]
    AnonymousMessage,
}

/// What became of what Lambda handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// A batch: these messages, by their ids, must be delivered again.
    Batch(Vec<String>),
    /// Everything in it is on the queue, or asked for nothing.
    Done,
    /// As before; and it is a change of a user as well, which is not ours to follow.
    DoneAndChange,
    /// It is not for us.
    Other,
}

/// What became of records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// How many contexts are on the queue.
    pub contexts: u64,
    /// How many failures are.
    pub failures: u64,
    /// Those that ask for nothing.
    pub ignored: BTreeMap<Ignored, u64>,
    /// The items that must be handed over again, and why, by their places from 0.
    pub failed: BTreeMap<usize, RecordsError>,
}

/// Publishes the records of one user pool, or several, to one queue.
#[derive(Debug)]
pub struct Records {
    pools: Vec<UserPool>,
    clients: Clients,
    devices: Devices,
    sender: Sender,
}

impl Records {
    /// Configured by `USER_SYNC_CONTEXT_QUEUE_URL`; `USER_SYNC_POOLS` or `USER_SYNC_USER_POOL_ID`, which may hold several
    /// ids here; by `USER_SYNC_CONTEXT_CLIENTS` if it is set; and by the SDK's own variables. `None` without a queue.
    ///
    /// # Errors
    /// Names the variable that is missing, or that holds what it must not.
    pub async fn from_env() -> Result<Option<Self>, ConfigError> {
        let environment = Environment::process();
        let Some(queue_url) = environment.optional(CONTEXT_QUEUE_URL_VARIABLE)? else { return Ok(None) };
        let devices = Devices::from_env(environment)?;
        let mut pools: Vec<UserPool> = Vec::new();
        for id in pool_ids(environment)? {
            pools.push(match pools.first() {
                Some(first) => UserPool::with_client(first.client().clone(), id),
                None => UserPool::new(id).await,
            });
        }
        let clients = Clients::at_rate(CLIENT_LISTS_PER_SECOND);
        Ok(Some(Self { pools, clients, devices, sender: Sender::new(queue_url).await }))
    }

    /// Opens the connection to SQS before the first records.
    pub async fn warm(&self) {
        self.sender.warm().await;
    }

    /// Publishes what `payload` holds.
    ///
    /// Idempotent: a record is the same event each time.
    ///
    /// # Errors
    /// When something of it is not on the queue, and Lambda cannot be told what. Call it again with the same payload.
    pub async fn handle(&self, payload: &str) -> Result<Handled, RecordsError> {
        match payload::read(payload) {
            Payload::Other => Ok(Handled::Other),
            Payload::Nothing(why) => {
                self.count(&Published { ignored: [(why, 1)].into(), ..Published::default() });
                Ok(Handled::Done)
            }
            Payload::Event { is_change } => {
                self.publish_all(&[payload]).await?;
                Ok(if is_change { Handled::DoneAndChange } else { Handled::Done })
            }
            Payload::Log(messages) => {
                let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
                self.publish_all(&messages).await?;
                Ok(Handled::Done)
            }
            Payload::Batch(messages) => {
                let bodies: Vec<&str> = messages.iter().map(|message| message.body.as_str()).collect();
                let published = self.publish(&bodies).await;
                self.count(&published);
                let failed = published.failed.keys().filter_map(|item| messages.get(*item));
                let ids: Vec<String> = failed.map(|message| message.id.clone()).collect();
                match ids.iter().any(String::is_empty) {
                    true => Err(RecordsError::AnonymousMessage),
                    false => Ok(Handled::Batch(ids)),
                }
            }
        }
    }

    async fn publish_all(&self, records: &[&str]) -> Result<(), RecordsError> {
        let published = self.publish(records).await;
        self.count(&published);
        published.failed.into_values().next().map_or(Ok(()), Err)
    }

    /// Counts and logs what became of records.
    fn count(&self, published: &Published) {
        metrics::counter!("published").increment(published.contexts + published.failures);
        for (why, count) in &published.ignored {
            metrics::counter!("records_ignored", "reason" => why.as_str()).increment(*count);
            if why.is_odd() {
                tracing::warn!(reason = why.as_str(), count, "records of sign-ins cannot be read");
            }
        }
        if let Some(error) = published.failed.values().next() {
            let (failed, error) = (published.failed.len(), error as &dyn std::error::Error);
            tracing::error!(failed, error, "records of sign-ins will be handed over again");
            metrics::counter!("failed").increment(u64::try_from(failed).unwrap_or(u64::MAX));
        }
    }

    /// Publishes records, each as it was written.
    pub async fn publish(&self, records: &[&str]) -> Published {
        let mut published = Published::default();
        let mut read = Vec::new();
        for (item, record) in records.iter().enumerate() {
            match super::read(record, &|pool| self.pool(pool).is_some()) {
                Ok(record) => read.push((item, record)),
                Err(why) => *published.ignored.entry(why).or_default() += 1,
            }
        }
        let known = Box::pin(self.known(read, &mut published)).await;
        let messages = pack::pack(known);
        let bodies: Vec<&str> = messages.iter().map(|message| message.body.as_str()).collect();
        let sent = Box::pin(self.sender.send(&bodies, SEND_BUDGET)).await;
        for (message, sent) in messages.iter().zip(sent) {
            match sent {
                Ok(()) => {
                    published.contexts += u64::from(message.failures == 0);
                    published.failures += message.failures;
                }
                Err(error) => {
                    let items = message.items.iter().map(|item| (*item, error.clone().into()));
                    published.failed.extend(items);
                }
            }
        }
        published
    }

    fn pool(&self, id: &str) -> Option<&UserPool> {
        self.pools.iter().find(|pool| pool.id() == id)
    }

    /// The records of our pools, as far as that can be found out in time.
    async fn known(&self, records: Vec<(usize, Record)>, published: &mut Published) -> Vec<Known> {
        let deadline = Instant::now() + LOOK_UP_BUDGET;
        let owners = self.owners(&records, deadline).await;
        let mut uses: HashMap<(String, String), Result<bool, RecordsError>> = HashMap::new();
        let mut known = Vec::new();
        for (item, record) in records {
            let owner = match &record.whose {
                Whose::Pool(pool) => Ok(Owner::Ours(pool.clone())),
                Whose::Client(client) => owners.get(client).cloned().unwrap_or(Ok(Owner::Unknown)),
                Whose::Nobody => Ok(Owner::Stranger),
            };
            let user_pool_id = match owner {
                Ok(Owner::Ours(pool)) => pool,
                Ok(Owner::Stranger) => {
                    *published.ignored.entry(Ignored::UnknownClient).or_default() += 1;
                    continue;
                }
                Ok(Owner::Unknown) => {
                    published.failed.insert(item, RecordsError::ClientNotListed);
                    continue;
                }
                Err(error) => {
                    published.failed.insert(item, error);
                    continue;
                }
            };
            let is_device = match (record.origin_of, self.pool(&user_pool_id), &record.client_id) {
                (OriginOf::Caller, Some(pool), Some(client)) => {
                    let key = (user_pool_id.clone(), client.clone());
                    match uses.get(&key) {
                        Some(is_device) => is_device.clone(),
                        None => {
                            let asked = timeout_at(deadline, self.devices.uses(pool, client)).await;
                            let asked = match asked {
                                Ok(asked) => asked.map_err(|error| LifecycleError::from(error).into()),
                                Err(_) => Err(LifecycleError::PoolTimedOut.into()),
                            };
                            uses.insert(key, asked.clone());
                            asked
                        }
                    }
                }
                _ => Ok(false),
            };
            match is_device {
                Ok(is_device) => known.push(Known { item, user_pool_id, is_device, record }),
                Err(error) => drop(published.failed.insert(item, error)),
            }
        }
        known
    }

    /// Whose each app client is of those records that do not say it, each asked once, as of its first use.
    async fn owners(
        &self,
        records: &[(usize, Record)],
        deadline: Instant,
    ) -> HashMap<String, Result<Owner, RecordsError>> {
        let mut first_used: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for (_, record) in records {
            if let Whose::Client(client) = &record.whose {
                let at = record.id.time();
                let first = first_used.entry(client).or_insert(at);
                *first = at.min(*first);
            }
        }
        let mut owners = HashMap::new();
        for (client, at) in first_used {
            let asked = timeout_at(deadline, self.clients.owner(client, Some(at), self.pools.iter())).await;
            let owner = asked.unwrap_or(Err(LifecycleError::PoolTimedOut)).map_err(RecordsError::from);
            owners.insert(client.to_owned(), owner);
        }
        owners
    }
}

fn pool_ids(environment: Environment<'_>) -> Result<Vec<UserPoolId>, ConfigError> {
    if let Some(value) = environment.optional(POOLS_VARIABLE)? {
        let ids = by_pool(&value).map(|pools| pools.into_iter().map(|(id, _)| id).collect());
        let expected = "each pool's id with the URL of its queue: eu-west-1_Abc123Def=https://…".to_owned();
        return ids.ok_or(ConfigError::Invalid { variable: POOLS_VARIABLE, value, expected });
    }
    let value = environment
        .required(POOL_VARIABLE, "the id of the user pool, or the ids, of whose sign-ins records are read")?;
    let ids = value.split(',').map(|id| id.trim().parse()).collect::<Result<Vec<UserPoolId>, _>>();
    ids.map_err(|_| {
        let expected =
            "one user pool's id, such as eu-west-1_Abc123Def, or several, separated by commas".to_owned();
        ConfigError::Invalid { variable: POOL_VARIABLE, value, expected }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_pools_are_named_by_their_ids_with_or_without_their_queues() {
        let ids = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(variable, _)| *variable == name);
            pool_ids(Environment::new(&|name| find(name).map(|(_, value)| (*value).into())))
                .map(|ids| ids.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        let both = Ok(vec!["eu-west-1_A".to_owned(), "eu-west-1_B".to_owned()]);
        assert_eq!(ids(&[(POOL_VARIABLE, "eu-west-1_A, eu-west-1_B")]), both);
        assert_eq!(ids(&[(POOLS_VARIABLE, "eu-west-1_A=https://a,eu-west-1_B=https://b")]), both);
        for (variables, word) in [
            (&[][..], "is not set"),
            (&[(POOL_VARIABLE, "eu-west-1_A,")], "separated by commas"),
            (&[(POOL_VARIABLE, "pool")], "separated by commas"),
            (&[(POOLS_VARIABLE, "eu-west-1_A")], "URL of its queue"),
        ] {
            let error = ids(variables).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
