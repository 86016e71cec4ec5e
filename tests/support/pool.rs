//! A user pool of a test's own on the emulator, and rows that differ from it in every way. Shared with the
//! benchmark of reconcile.

#![allow(dead_code)]

use std::collections::BTreeMap;

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cognitoidentityprovider::types::{AttributeType, MessageActionType};
use cognito_user_sync::aws;
use cognito_user_sync::cognito::user_pool::{PoolUser, UserPool, deletion};
use cognito_user_sync::dev::local;
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::maintenance::drift::Kind as Drift;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{Event, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::StreamExt as _;

/// Requests to the emulator at once.
const CONCURRENCY: usize = 16;
const BATCH: usize = 1_000;

/// A user pool.
pub struct TestPool {
    pub client: Client,
    pub id: String,
    pub pool: UserPool,
}

impl TestPool {
    /// Creates an empty one.
    pub async fn create(endpoint: &str) -> Self {
        let client = client(endpoint);
        let created = client.create_user_pool().pool_name("test").send().await.unwrap();
        let id = created.user_pool.unwrap().id.unwrap();
        let pool = UserPool::with_client(client.clone(), id.parse().unwrap()).at_rate(100_000);
        Self { client, id, pool }
    }

    /// AdminCreateUser: the status is FORCE_CHANGE_PASSWORD.
    pub async fn add(&self, username: &str, attributes: &[(&str, &str)]) {
        let request = self.client.admin_create_user().user_pool_id(&self.id).username(username);
        let request = request.message_action(MessageActionType::Suppress);
        request.set_user_attributes(Some(self::attributes(attributes))).send().await.unwrap();
    }

    /// So many users, by AdminCreateUser.
    pub async fn add_many(&self, users: usize) {
        in_parallel((0..users).collect(), |number| async move {
            let email = format!("user{number}@example.com");
            let attributes = [("email", email.as_str()), ("email_verified", "true"), ("given_name", "Given")];
            self.add(&format!("user-{number}"), &attributes).await;
        })
        .await;
    }

    pub async fn update(&self, username: &str, attributes: &[(&str, &str)]) {
        let request = self.client.admin_update_user_attributes().user_pool_id(&self.id).username(username);
        request.set_user_attributes(Some(self::attributes(attributes))).send().await.unwrap();
    }

    /// The status becomes CONFIRMED.
    pub async fn confirm(&self, username: &str) {
        let request = self.client.admin_set_user_password().user_pool_id(&self.id).username(username);
        request.password("Correct-horse-7").permanent(true).send().await.unwrap();
    }

    pub async fn disable(&self, username: &str) {
        let request = self.client.admin_disable_user().user_pool_id(&self.id).username(username);
        request.send().await.unwrap();
    }

    pub async fn delete(&self, username: &str) {
        let request = self.client.admin_delete_user().user_pool_id(&self.id).username(username);
        request.send().await.unwrap();
    }

    pub async fn create_group(&self, group: &str) {
        let request = self.client.create_group().user_pool_id(&self.id).group_name(group);
        request.send().await.unwrap();
    }

    pub async fn delete_group(&self, group: &str) {
        let request = self.client.delete_group().user_pool_id(&self.id).group_name(group);
        request.send().await.unwrap();
    }

    pub async fn join(&self, username: &str, group: &str) {
        let request = self.client.admin_add_user_to_group().user_pool_id(&self.id).username(username);
        request.group_name(group).send().await.unwrap();
    }

    pub async fn leave(&self, username: &str, group: &str) {
        let request = self.client.admin_remove_user_from_group().user_pool_id(&self.id).username(username);
        request.group_name(group).send().await.unwrap();
    }

    /// Everybody who has a sub, in the pool's order.
    pub async fn users(&self) -> Vec<PoolUser> {
        let (mut users, mut token) = (Vec::new(), None);
        loop {
            let page = self.pool.list(token.as_deref()).await.unwrap();
            users.extend(page.users);
            token = page.next;
            if token.is_none() {
                return users;
            }
        }
    }

    pub fn snapshot(&self, user: &PoolUser) -> UserEvent<'static> {
        user.snapshot(&self.id, Timestamp::now())
    }

    /// Makes `users` users and rows for them that differ in `each` users of each kind, or a few more: each kind
    /// has its own number. Says what must be found.
    pub async fn drift(&self, applier: &Applier, users: usize, each: usize) -> BTreeMap<Drift, u64> {
        self.add_many(users).await;
        let users = self.users().await;
        let groups = Groups::new(&users, each);

        let snapshot = |user: &PoolUser| {
            let mut event = self.snapshot(user);
            match groups.of(user) {
                Some(Drift::Missing) => return None,
                Some(Drift::Identity) => event.data.user_name = Some("another-name".into()),
                Some(Drift::Removed) => drop(event.data.attributes.insert("nickname".into(), "Gone".into())),
                // As an event of a trigger, which does not know when the user was created.
                Some(Drift::CreatedAt) => event.data.created_at = None,
                Some(_) | None => {}
            }
            Some(Event::User(event))
        };
        let rows: Vec<Event<'static>> = users.iter().filter_map(snapshot).collect();
        apply(applier, &rows).await;
        let gone = groups.users(Drift::DeletedButPresent);
        let deletions = gone.iter().map(|user| Event::User(deletion(&self.id, user.sub, Timestamp::now())));
        apply(applier, &deletions.collect::<Vec<_>>()).await;

        in_parallel(users.iter().collect(), |user| {
            let (name, kind) = (user.username.as_str(), groups.of(user));
            async move {
                match kind {
                    Some(Drift::Attributes) => self.update(name, &[("family_name", "Family")]).await,
                    Some(Drift::Status) => self.confirm(name).await,
                    Some(Drift::Enabled) => self.disable(name).await,
                    Some(Drift::Gone) => self.delete(name).await,
                    Some(_) | None => {}
                }
            }
        })
        .await;
        groups.expected()
    }
}

/// Which user differs in which way. They are spread over all pages, a kind after the other.
struct Groups<'a> {
    users: &'a [PoolUser],
    of: BTreeMap<uuid::Uuid, Drift>,
}

impl<'a> Groups<'a> {
    const KINDS: [Drift; 9] = [
        Drift::Missing,
        Drift::Attributes,
        Drift::Status,
        Drift::Enabled,
        Drift::Identity,
        Drift::CreatedAt,
        Drift::Gone,
        Drift::DeletedButPresent,
        Drift::Removed,
    ];

    fn new(users: &'a [PoolUser], each: usize) -> Self {
        let kinds = Self::KINDS.into_iter().enumerate();
        let kinds: Vec<Drift> =
            kinds.flat_map(|(more, kind)| std::iter::repeat_n(kind, each + more)).collect();
        let stride = users.len() / kinds.len();
        assert!(stride > 0, "{} users are too few for {} that differ", users.len(), kinds.len());
        let of = users.iter().step_by(stride).map(|user| user.sub).zip(kinds).collect();
        Self { users, of }
    }

    fn of(&self, user: &PoolUser) -> Option<Drift> {
        self.of.get(&user.sub).copied()
    }

    fn users(&self, kind: Drift) -> Vec<&'a PoolUser> {
        self.users.iter().filter(|user| self.of(user) == Some(kind)).collect()
    }

    fn expected(&self) -> BTreeMap<Drift, u64> {
        let mut expected = BTreeMap::new();
        for kind in self.of.values() {
            *expected.entry(*kind).or_default() += 1;
        }
        expected
    }
}

/// Applies events in batches, all for the first time.
pub async fn apply(applier: &Applier, events: &[Event<'static>]) {
    for batch in events.chunks(BATCH) {
        let bodies: Vec<String> = batch.iter().map(Event::encode).collect();
        let outcomes = applier.apply(&bodies).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{:?}", outcomes.first());
    }
}

async fn in_parallel<T, F: Future<Output = ()>>(items: Vec<T>, act: impl Fn(T) -> F) {
    futures::stream::iter(items).map(act).buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
}

fn attributes(attributes: &[(&str, &str)]) -> Vec<AttributeType> {
    let attribute =
        |(name, value): &(&str, &str)| AttributeType::builder().name(*name).value(*value).build().unwrap();
    attributes.iter().map(attribute).collect()
}

pub fn client(endpoint: &str) -> Client {
    let config = aws_sdk_cognitoidentityprovider::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(local::REGION))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "local"))
        .http_client(aws::http_client())
        .build();
    Client::from_conf(config)
}
