//! Several pools of one account: the release binary of `user-sync-lifecycle` on the records of two pools of ours and of
//! others, with a database and a queue each. Nothing of one pool reaches the other, and another pool's life is no error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::types::LambdaConfigType;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::pool::TestPool;
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::stale_pool::StalePool;
use crate::support::{TestDatabase, binaries, cloudtrail, queued};

const LIMIT: Duration = Duration::from_secs(60);
const LISTING: &str = "AWSCognitoIdentityProviderService.ListUserPoolClients";

/// The id of a pool that is not ours, as the fixtures name it.
const OTHER_POOL: &str = "eu-west-1_Another00";

/// A pool with its clients, and what is behind its queue.
struct Side {
    database: TestDatabase,
    pool: TestPool,
}

impl Side {
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let pool = TestPool::create(&database.deployment.endpoint).await;
        Self { database, pool }
    }

    async fn client(&self, name: &str) -> String {
        let request = self.pool.client.create_user_pool_client().user_pool_id(&self.pool.id);
        let created = request.client_name(name).send().await.unwrap();
        created.user_pool_client.unwrap().client_id.unwrap()
    }

    async fn delete_client(&self, id: &str) {
        let request = self.pool.client.delete_user_pool_client().user_pool_id(&self.pool.id).client_id(id);
        request.send().await.unwrap();
    }

    /// Creates users of these names, and says their subs in the same order.
    async fn users(&self, names: impl Iterator<Item = String>) -> Vec<Uuid> {
        let names: Vec<String> = names.collect();
        for name in &names {
            self.pool.add(name, &[("name", name)]).await;
        }
        let users = self.pool.users().await.into_iter();
        let subs: BTreeMap<String, Uuid> = users.map(|user| (user.username, user.sub)).collect();
        names.iter().map(|name| subs[name]).collect()
    }

    /// Creates users and deletes them.
    async fn gone(&self, names: impl Iterator<Item = String>) -> Vec<Uuid> {
        let names: Vec<String> = names.collect();
        let subs = self.users(names.iter().cloned()).await;
        for name in &names {
            self.pool.delete(name).await;
        }
        subs
    }

    /// Applies everything that is on the queue.
    async fn apply(&self) {
        let queue = self.database.deployment.queue();
        loop {
            let deliveries = queue.receive(1_000, Duration::ZERO).await.unwrap();
            if deliveries.is_empty() {
                return;
            }
            let bodies: Vec<&str> = deliveries.iter().map(|delivery| delivery.body.as_str()).collect();
            for outcome in self.database.applier.apply(&bodies).await {
                assert!(matches!(outcome, Outcome::Applied | Outcome::Duplicate), "{outcome:?}");
            }
            queue.delete(&deliveries.iter().collect::<Vec<_>>()).await;
        }
    }

    /// Each row's user, and whether it is deleted; all must be of this pool.
    async fn rows(&self) -> BTreeMap<Uuid, bool> {
        let query = "select id, is_deleted, user_pool_id from users";
        let rows: Vec<(Uuid, bool, String)> =
            sqlx::query_as(query).fetch_all(&self.database.owner).await.unwrap();
        assert!(rows.iter().all(|(_, _, pool)| *pool == self.pool.id), "{rows:?}");
        rows.into_iter().map(|(sub, is_deleted, _)| (sub, is_deleted)).collect()
    }
}

/// The function that follows both.
struct Both {
    a: Side,
    b: Side,
    api: LambdaRuntimeApi,
    function: Function,
    listings: Proxy,
}

impl Both {
    async fn start() -> Self {
        Self::start_with(None, |_, _| Vec::new()).await
    }

    /// With the answer to each listing of clients, and more variables.
    async fn start_with(
        answer: Option<&'static str>,
        more: impl FnOnce(&Side, &Side) -> Vec<(&'static str, String)>,
    ) -> Self {
        let (a, b) = (Side::create().await, Side::create().await);
        let action = answer.map_or(Action::Tell { pass_on: true }, Action::Answer);
        let nth = if answer.is_some() { 1 } else { u32::MAX };
        let trap = Trap { speaker: Speaker::Program, words: LISTING, nth, repeats: true, action };
        let endpoint = &a.database.deployment.endpoint;
        let listings = Proxy::in_front_of(endpoint, Some(trap)).await;
        let pools = format!(
            "{}={},{}={}",
            a.pool.id, a.database.deployment.queue_url, b.pool.id, b.database.deployment.queue_url
        );
        let mut variables =
            vec![("USER_SYNC_POOLS", pools), (StalePool::VARIABLE, listings.through(endpoint))];
        for (name, value) in more(&a, &b) {
            variables.retain(|(other, _)| *other != name);
            variables.push((name, value));
        }
        let mut environment = a.database.deployment.environment();
        environment.retain(|(name, _)| *name != "USER_SYNC_QUEUE_URL");
        environment.extend(variables.iter().map(|(name, value)| (*name, value.as_str())));
        let api = LambdaRuntimeApi::start().await;
        let function = Function::spawn(&binaries::lifecycle(), &api, &environment);
        api.wait_until_ready(LIMIT).await;
        Self { a, b, api, function, listings }
    }

    async fn invoke(&self, payload: &str) -> Invocation {
        self.api.invoke(payload.to_owned(), LIMIT).await
    }

    /// Hands an event over, which must not fail.
    async fn follow(&self, payload: &str) {
        let invocation = self.invoke(payload).await;
        assert!(matches!(invocation, Invocation::Response { .. }), "{invocation:?}: {payload}");
    }

    fn listed(&self) -> u32 {
        self.listings.count.load(Ordering::SeqCst)
    }

    /// Ends the function; says how often each counter was written, an ignored event's by its reason, and the rest of the log.
    fn end(mut self) -> (BTreeMap<String, usize>, Vec<String>) {
        assert!(self.function.is_alive());
        self.function.kill();
        let log = [self.function.stdout_lines(), self.function.stderr_lines()].concat();
        let mut counts = BTreeMap::new();
        for line in log.iter().filter(|line| line.contains("_aws")) {
            let written: serde_json::Value = serde_json::from_str(line).unwrap();
            for name in ["published", "looked", "failed", "ignored", "clients_not_listed"] {
                if let Some(times) = written[name].as_u64() {
                    let reason = written["reason"].as_str().filter(|_| name == "ignored").unwrap_or(name);
                    *counts.entry(reason.to_owned()).or_default() += usize::try_from(times).unwrap();
                }
            }
        }
        (counts, log)
    }
}

/// A time so many seconds ago.
fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - seconds * 1_000)
}

fn counts(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter().map(|(name, times)| ((*name).to_owned(), *times)).collect()
}

/// Records in the making: some of each kind, and what must come of each.
struct Records {
    random: fastrand::Rng,
    made: Vec<(String, &'static str)>,
}

impl Records {
    /// A record of a call minutes ago, and how it must be counted.
    fn add(&mut self, fixture: &str, pool: &str, client: &str, sub: Uuid, counted: &'static str) {
        let at = ago(self.random.u64(120..3_600));
        self.made.push((cloudtrail::event(fixture, pool, client, sub, at), counted));
    }

    /// What happens in a pool of ours, of whose users these are live and those are gone: what follows from it are the rows.
    fn ours(&mut self, side: &Side, clients: &[String], live: &[Uuid], gone: &[Uuid]) {
        for (number, sub) in live.iter().enumerate() {
            let client = &clients[number % clients.len()];
            let fixture = ["admin_update_user_attributes", "update_user_attributes_by_the_user", "sign_up"];
            self.add(fixture[number % 3], &side.pool.id, client, *sub, "published");
        }
        for (number, sub) in gone.iter().enumerate() {
            let fixture = ["delete_user_by_the_user", "admin_delete_user"][number % 2];
            self.add(fixture, &side.pool.id, &clients[number % clients.len()], *sub, "published");
        }
    }

    /// What happens in others' pools, about anybody: a sub in such a record says nothing.
    fn others(&mut self, clients: &[String], subs: &[Uuid], until: usize) {
        while self.made.len() < until {
            let sub = if self.random.u8(..4) == 0 {
                subs[self.random.usize(..subs.len())]
            } else {
                Uuid::from_u128(self.random.u128(..))
            };
            let client = &clients[self.random.usize(..clients.len())];
            let (fixture, counted) = match self.random.u8(..10) {
                0 => ("ignored_unknown_name_group", "unknown_name"),
                1 => ("ignored_failed_call", "failed_call"),
                2 => ("delete_user_by_the_user", "unknown_client"),
                3 => ("ignored_unknown_client_no_client", "unknown_client"),
                4 | 5 => ("update_user_attributes_by_the_user", "unknown_client"),
                6 => ("sign_up", "unknown_client"),
                7 => ("admin_add_user_to_group", "other_pool"),
                8 => ("update_user_pool", "other_pool"),
                _ => ("admin_delete_user", "other_pool"),
            };
            self.add(fixture, OTHER_POOL, client, sub, counted);
        }
    }

    /// Takes all, in a random order.
    fn shuffled(&mut self) -> Vec<(String, &'static str)> {
        let mut made = std::mem::take(&mut self.made);
        self.random.shuffle(&mut made);
        made
    }
}

/// A deployment's share of the records, and the rows that must come of it.
struct Share {
    clients: Vec<String>,
    live: Vec<Uuid>,
    later: Vec<Uuid>,
    gone: Vec<Uuid>,
    gone_later: Vec<Uuid>,
    gone_unseen: Vec<Uuid>,
    searched: Vec<Uuid>,
}

impl Share {
    async fn create(side: &Side) -> Self {
        let names = |kind: &'static str, many: usize| (0..many).map(move |number| format!("{kind}-{number}"));
        Self {
            clients: vec![side.client("web").await, side.client("phone").await],
            live: side.users(names("live", 30)).await,
            later: side.users(names("later", 6)).await,
            gone: side.gone(names("gone", 2)).await,
            gone_later: side.gone(names("gone-later", 1)).await,
            gone_unseen: side.gone(names("gone-unseen", 5)).await,
            searched: side.users(names("searched", 3)).await,
        }
    }

    fn rows(&self) -> BTreeMap<Uuid, bool> {
        let live = self.live.iter().chain(&self.later).chain(&self.searched).map(|sub| (*sub, false));
        live.chain(self.gone.iter().chain(&self.gone_later).map(|sub| (*sub, true))).collect()
    }

    fn members(&self) -> BTreeSet<(Uuid, String)> {
        self.live.iter().map(|sub| (*sub, "editors".to_owned())).collect()
    }
}

/// 10,000 records: of two pools, of others, of clients that are known, unknown, new and deleted, with a pool, with a client
/// and with neither.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_records_of_three_pools_find_their_rows_or_nothing() {
    let both = Both::start().await;
    let (a, b) = (Share::create(&both.a).await, Share::create(&both.b).await);
    // A client of ours that was deleted before anybody asked is nobody's.
    let unseen = both.a.client("unseen").await;
    both.a.delete_client(&unseen).await;
    let mut records = Records { random: fastrand::Rng::with_seed(21), made: Vec::new() };
    let strangers: Vec<String> = (0..60).map(|_| format!("{:026x}", records.random.u128(..) >> 24)).collect();
    let all: Vec<Uuid> = [&a, &b].into_iter().flat_map(|share| share.rows().into_keys()).collect();
    for (side, share) in [(&both.a, &a), (&both.b, &b)] {
        records.ours(side, &share.clients, &share.live, &share.gone);
        let (pool, client) = (&*side.pool.id, &*share.clients[0]);
        for sub in &share.live {
            records.add("admin_add_user_to_group", pool, client, *sub, "published");
        }
        for sub in &share.gone_unseen {
            records.add("ignored_unknown_client_no_client", pool, client, *sub, "unknown_client");
            records.add("delete_user_by_the_user", pool, &unseen, *sub, "unknown_client");
        }
        for sub in &share.searched {
            records.add("update_user_attributes_without_a_client", pool, client, *sub, "published");
        }
        let nobody = Uuid::from_u128(records.random.u128(..));
        records.add("update_user_attributes_without_a_client", OTHER_POOL, client, nobody, "unknown_client");
        records.add("update_user_pool", pool, client, Uuid::nil(), "looked");
    }
    records.others(&strangers, &all, 6_000);
    let mut handed = records.shuffled();
    for (payload, _) in &handed {
        both.follow(payload).await;
    }
    let first_listings = both.listed();

    // A client that is deleted is still known, and a new one is found.
    for (side, share) in [(&both.a, &a), (&both.b, &b)] {
        side.delete_client(&share.clients[0]).await;
        let new = side.client("new").await;
        let deleted = &share.clients[..1];
        records.ours(side, deleted, &share.later[..3], &share.gone_later);
        for sub in &share.later[3..] {
            let payload =
                cloudtrail::event("update_user_attributes_by_the_user", "", &new, *sub, Timestamp::now());
            records.made.push((payload, "published"));
        }
    }
    records.others(&strangers, &all, 10_000 - handed.len());
    let second = records.shuffled();
    for (payload, _) in &second {
        both.follow(payload).await;
    }
    handed.extend(second);
    let listings = both.listed();
    for (side, share) in [(&both.a, &a), (&both.b, &b)] {
        side.apply().await;
        assert_eq!(side.rows().await, share.rows());
        assert_eq!(side.database.members().await, share.members());
    }
    assert_eq!(handed.len(), 10_000);
    let mut expected = BTreeMap::new();
    for (_, counted) in handed {
        *expected.entry(counted.to_owned()).or_default() += 1;
    }
    let (counted, _) = both.end();
    assert_eq!(counted, expected, "counters, and none of them a failure");
    // Two pools of one page: one listing before the first record of a client is read, one for the new ones.
    assert_eq!((first_listings, listings), (2, 4), "for {} clients", strangers.len() + 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_found_on_any_page_and_stays_known_when_it_is_deleted() {
    let both = Both::start().await;
    let mut clients = Vec::new();
    for number in 0..61 {
        clients.push(both.b.client(&format!("client-{number}")).await);
    }
    let subs = both.b.users(["one".to_owned(), "two".to_owned()].into_iter()).await;
    let last = clients.last().unwrap();
    let change = |client: &str, sub: Uuid| {
        cloudtrail::event("update_user_attributes_by_the_user", "", client, sub, Timestamp::now())
    };
    both.follow(&change(last, subs[0])).await;
    // A page of the first pool, two of the second.
    assert_eq!(both.listed(), 3);
    both.b.delete_client(last).await;
    both.b.pool.delete("one").await;
    both.follow(&cloudtrail::event("delete_user_by_the_user", "", last, subs[0], Timestamp::now())).await;
    assert_eq!(both.listed(), 3, "it is known");
    let new = both.b.client("new").await;
    both.follow(&change(&new, subs[1])).await;
    assert!(both.listed() > 3, "a new one is not");
    both.b.apply().await;
    assert_eq!(both.b.rows().await, [(subs[0], true), (subs[1], false)].into());
    assert_eq!(queued(&both.a.database.deployment).await.len(), 0);
    assert_eq!(both.end().0, counts(&[("published", 3)]));
}

/// Nobody follows whom the record does not say; the walk over the pool does.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_says_nothing_is_left_to_reconcile() {
    let both = Both::start().await;
    let subs = both.a.users(["left".to_owned(), "stays".to_owned()].into_iter()).await;
    for sub in &subs {
        both.follow(&cloudtrail::event("admin_create_user", &both.a.pool.id, "", *sub, ago(60))).await;
    }
    both.a.pool.delete("left").await;
    let (gone, stays) = (subs[0], subs[1]);
    both.follow(&cloudtrail::event("ignored_unknown_client_no_client", "", "", gone, ago(1))).await;
    both.a.apply().await;
    assert_eq!(both.a.rows().await, [(gone, false), (stays, false)].into());
    let checkpoint = tempfile::tempdir().unwrap();
    let mut reconcile = tokio::process::Command::new(binaries::user_sync());
    reconcile
        .args(["reconcile", "--repair", "--settle-seconds=0", "--checkpoint"])
        .arg(checkpoint.path().join("reconcile"))
        .env_clear()
        .envs(both.a.database.deployment.environment())
        .env("DATABASE_URL", &both.a.database.deployment.owner_url)
        .env("USER_SYNC_USER_POOL_ID", &both.a.pool.id);
    let output = reconcile.output().await.unwrap();
    both.a.apply().await;
    assert_eq!(both.a.rows().await, [(gone, true), (stays, false)].into(), "{output:?}");
    assert_eq!(both.end().0, counts(&[("published", 2), ("unknown_client", 1)]));
}

/// A role without the right follows what it can: nothing fails, and nothing is guessed.
#[tokio::test(flavor = "multi_thread")]
async fn where_clients_may_not_be_listed_a_change_is_searched_and_a_deletion_waits() {
    let denied = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 34\r\nconnection: close\r\n\r\n{\"__type\":\"AccessDeniedException\"}";
    let both = Both::start_with(Some(denied), |_, _| Vec::new()).await;
    let client = both.b.client("web").await;
    let subs = both.b.users(["one".to_owned()].into_iter()).await;
    let gone = both.b.gone(["two".to_owned()].into_iter()).await;
    for _ in 0..3 {
        let change = "update_user_attributes_by_the_user";
        both.follow(&cloudtrail::event(change, "", &client, subs[0], ago(120))).await;
        both.follow(&cloudtrail::event(change, "", "another", Uuid::from_u128(7), ago(120))).await;
        both.follow(&cloudtrail::event("delete_user_by_the_user", "", &client, gone[0], ago(120))).await;
    }
    assert_eq!(both.listed(), 2, "each pool is tried once in a while, not with each record");
    both.b.apply().await;
    assert_eq!(both.b.rows().await, [(subs[0], false)].into());
    let (counted, log) = both.end();
    assert_eq!(
        counted,
        counts(&[("clients_not_listed", 2), ("published", 3), ("unknown_client", 6)]),
        "{log:?}"
    );
    let said = log.iter().filter(|line| line.contains("cannot be listed") && line.contains("AccessDenied"));
    assert_eq!(said.count(), 2, "{log:?}");
}

/// What passes by itself is tried again, by Lambda: the client may be ours.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_listing_is_throttled_a_deletion_fails_and_a_change_is_searched() {
    let throttled = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 38\r\nconnection: close\r\n\r\n{\"__type\":\"TooManyRequestsException\"} ";
    let both = Both::start_with(Some(throttled), |_, _| Vec::new()).await;
    let client = both.a.client("web").await;
    let subs = both.a.users(["one".to_owned()].into_iter()).await;
    for _ in 0..2 {
        let deletion = cloudtrail::event("delete_user_by_the_user", "", &client, subs[0], ago(120));
        let Invocation::Error { body, .. } = both.invoke(&deletion).await else { panic!("it may be ours") };
        let error = String::from_utf8(body).unwrap();
        assert!(error.contains("ListUserPoolClients") && error.contains("TooManyRequests"), "{error}");
    }
    let change = "update_user_attributes_by_the_user";
    both.follow(&cloudtrail::event(change, "", &client, subs[0], ago(120))).await;
    let (counted, _) = both.end();
    assert_eq!(counted, counts(&[("clients_not_listed", 2), ("failed", 2), ("published", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_goes_to_every_queue_and_one_that_takes_nothing_stops_no_other() {
    let heartbeat = r#"{"heartbeat":true}"#;
    let both = Both::start().await;
    both.follow(heartbeat).await;
    for side in [&both.a, &both.b] {
        side.apply().await;
        assert_eq!(side.database.count("sync_status where heartbeat_id is not null").await, 1);
    }
    both.end();
    let broken = Both::start_with(None, |a, b| {
        let (a_queue, b_queue) = (&a.database.deployment.queue_url, &b.database.deployment.queue_url);
        vec![("USER_SYNC_POOLS", format!("{}={a_queue}-missing,{}={b_queue}", a.pool.id, b.pool.id))]
    })
    .await;
    let Invocation::Error { .. } = broken.invoke(heartbeat).await else { panic!("Lambda tries again") };
    assert_eq!(queued(&broken.b.database.deployment).await.len(), 1);
    let pool = broken.a.pool.id.clone();
    let (counted, log) = broken.end();
    assert_eq!(counted, counts(&[("failed", 1)]));
    assert!(log.iter().any(|line| line.contains("takes no heartbeat") && line.contains(&pool)), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pools_with_one_queue_have_one_heartbeat() {
    let both = Both::start_with(None, |a, b| {
        let queue = &a.database.deployment.queue_url;
        vec![("USER_SYNC_POOLS", format!("{}={queue},{}={queue}", a.pool.id, b.pool.id))]
    })
    .await;
    both.follow(r#"{"heartbeat":true}"#).await;
    assert_eq!(queued(&both.a.database.deployment).await.len(), 1);
    assert_eq!(both.end().0, counts(&[("published", 1)]));
}

/// With each heartbeat, and at once when a pool of ours is updated: one value for all pools.
#[tokio::test(flavor = "multi_thread")]
async fn the_triggers_of_every_pool_are_looked_at_when_one_is_updated() {
    let (ours, theirs) = (
        "arn:aws:lambda:eu-west-1:000000000000:function:a",
        "arn:aws:lambda:eu-west-1:000000000000:function:b",
    );
    let both = Both::start_with(None, |a, b| {
        vec![("USER_SYNC_TRIGGER_ARN", format!("{}={ours},{}={theirs}", a.pool.id, b.pool.id))]
    })
    .await;
    let set = async |side: &Side, function: &str| {
        let config = LambdaConfigType::builder().post_confirmation(function).post_authentication(function);
        let update = side.pool.client.update_user_pool().user_pool_id(&side.pool.id);
        update.lambda_config(config.build()).send().await.unwrap();
    };
    let updated = |pool: &str| cloudtrail::event("update_user_pool", pool, "", Uuid::nil(), ago(1));
    both.follow(&updated(&both.a.pool.id)).await;
    set(&both.a, ours).await;
    both.follow(&updated(&both.a.pool.id)).await;
    // Another pool's function is not ours.
    set(&both.b, ours).await;
    both.follow(r#"{"heartbeat":true}"#).await;
    set(&both.b, theirs).await;
    both.follow(&updated(&both.b.pool.id)).await;
    both.follow(&updated(OTHER_POOL)).await;
    // What cannot be asked hides nothing, and does not count as well.
    set(&both.b, ours).await;
    both.a.pool.client.delete_user_pool().user_pool_id(&both.a.pool.id).send().await.unwrap();
    both.follow(&updated(&both.b.pool.id)).await;
    set(&both.b, theirs).await;
    both.follow(&updated(&both.b.pool.id)).await;
    assert_eq!(queued(&both.b.database.deployment).await.len(), 1, "the heartbeat");
    let (counted, log) = both.end();
    assert_eq!(counted, counts(&[("looked", 5), ("other_pool", 1), ("published", 1)]));
    let said: Vec<&String> = log.iter().filter(|line| line.contains("\"triggers_missing\":[")).collect();
    assert_eq!(said.len(), 5, "{said:?}");
    for (line, missing) in said.iter().zip(["[4.0]", "[2.0]", "[2.0]", "[0.0]", "[2.0]"]) {
        assert!(line.contains(&format!("\"triggers_missing\":{missing}")), "{missing}: {line}");
    }
}
