//! The queue of records of sign-ins: what is taken from it and what is not, that failures are counted exactly, and that no
//! flood there holds up a sign-in.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::consumer::liveness::{Liveness, STALLED_AFTER};
use cognito_user_sync::consumer::queues::Carries;
use cognito_user_sync::consumer::worker::{self, Options, Source};
use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync::postgres;
use cognito_user_sync::sqs::queue::Delivery;
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::outcome::{Outcome, Rejection, RetryCause};
use cognito_user_sync_triggers::event::{
    Context, ContextEvent, Event, EventId, FAILURES_MAX, Failure, FailureGroup, Failures, FailuresEvent,
    GroupChange, MESSAGE_MAX_BYTES, Reporter,
};
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::FutureExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::conformance::Adapter;
use crate::support::events::{at, group, login, sub};
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::{
    TestDatabase, applier, binaries, dead_letters, eventually, move_tasks, permit_receives, send,
    sessions_wait,
};

const POOL: &str = "eu-west-1_Test00000";
const OTHER_POOL: &str = "eu-west-1_Other0000";
const LIMIT: Duration = Duration::from_secs(120);

/// A record by number: the same number is the same record.
fn record(number: u64, time: Timestamp) -> EventId {
    EventId::of_record(time, u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn failure(number: u64, user: Option<u128>) -> Failure<'static> {
    let id = record(number, at(number % 5_000));
    Failure { id, sub: user.map(sub), ip: None, user_agent: None, city: None, country: None }
}

fn detailed(number: u64, user: u128) -> Failure<'static> {
    Failure {
        ip: Some("203.0.113.9".into()),
        user_agent: Some("Mozilla/5.0".into()),
        city: Some("Porto".into()),
        ..failure(number, Some(user))
    }
}

fn group_of(reason: &str, network: &str, failures: Vec<Failure<'static>>) -> FailureGroup<'static> {
    FailureGroup {
        client_id: Some("1example".into()),
        reason: Some(reason.to_owned().into()),
        network: Some(network.to_owned().into()),
        failures,
    }
}

fn message_of(groups: Vec<FailureGroup<'static>>) -> String {
    let first = groups.iter().flat_map(|group| &group.failures).map(|failure| failure.id).min().unwrap();
    let id = EventId::of_record(first.time(), first.uuid().as_u128() ^ 1);
    let data = Failures { reported_by: Reporter::ThreatProtection, groups };
    Event::Failures(FailuresEvent { id, user_pool_id: POOL.into(), data }).encode()
}

fn message(failures: Vec<Failure<'static>>) -> String {
    message_of(vec![group_of("wrong_password", "203.0.113.0/24", failures)])
}

fn context(number: u64, user: u128) -> String {
    let data = Context {
        client_id: Some("1example".into()),
        ip: Some("203.0.113.9".into()),
        ..Context::by(Reporter::Application)
    };
    let id = record(number, at(number % 5_000));
    Event::Context(ContextEvent { id, user_pool_id: POOL.into(), sub: Some(sub(user)), data }).encode()
}

async fn records(database: &TestDatabase, bodies: &[String]) -> Vec<Outcome> {
    database.applier.apply_records(bodies).boxed().await
}

fn reasons(outcomes: &[Outcome]) -> Vec<&str> {
    let reason = |outcome: &Outcome| match outcome {
        Outcome::Applied => "applied",
        Outcome::Duplicate => "duplicate",
        Outcome::Rejected(rejection) => rejection.reason,
        Outcome::Obstructed(_) => "obstructed",
        Outcome::Retry(_) => "retry",
    };
    outcomes.iter().map(reason).collect()
}

/// Whoever may send here counts no login and makes no user; and records count from nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn each_queue_takes_what_it_carries_and_nothing_else() {
    let database = TestDatabase::create().await;
    let forged = [
        login(1, at(1)).build().encode(),
        Event::Group(group("admins", GroupChange::Joined(sub(1)), at(1))).encode(),
        Event::heartbeat(EventId::new(Timestamp::now())).encode(),
        "{".to_owned(),
    ];
    let real = [context(1, 1), message(vec![failure(1, Some(1)), failure(2, None)])];
    let outcomes = records(&database, &[&forged[..], &real].concat()).await;
    let expected = ["wrong_queue", "wrong_queue", "wrong_queue", "malformed", "applied", "applied"];
    assert_eq!(reasons(&outcomes), expected);
    let Outcome::Rejected(rejection) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(rejection.field == "type" && rejection.detail.contains("USER_SYNC_QUEUE_URL"), "{rejection:?}");
    assert_eq!((database.count("users").await, database.count("user_events").await), (0, 0));
    assert_eq!(database.count("sync_status where heartbeat_at is not null").await, 0);
    assert_eq!(database.count("user_sync_memberships").await, 0);
    assert_eq!(database.count("user_sync_contexts").await, 1);
    assert_eq!(database.count("user_sync_failures").await, 2);

    let outcomes = database.applier.apply(&real).boxed().await;
    assert_eq!(reasons(&outcomes), ["wrong_queue", "wrong_queue"]);
    let Outcome::Rejected(rejection) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert!(rejection.detail.contains("USER_SYNC_CONTEXT_QUEUE_URL"), "{rejection:?}");

    let outcomes = records(&database, &real).await;
    assert_eq!(reasons(&outcomes), ["duplicate", "duplicate"]);
    let again = [context(3, 1), context(3, 1), context(3, 2)];
    assert_eq!(reasons(&records(&database, &again).await), ["applied", "duplicate", "duplicate"]);

    let pools = Some([OTHER_POOL.parse().unwrap()].into());
    let others = applier(&database.deployment, 2).await.accepting(pools);
    let outcomes = others.apply_records(&[context(4, 1), message(vec![failure(4, None)])]).await;
    assert_eq!(reasons(&outcomes), ["another_pool", "another_pool"]);
    assert_eq!(database.count("user_sync_failures").await, 2);
}

/// A row has what is counted and, of a sample, the details.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_kept_as_it_is_counted() {
    let database = TestDatabase::create().await;
    let networks =
        ["203.0.113.0/24", "203.0.113.77/32", "2001:db8:1:2::3/64", "not a network", "203.0.113.0/33"];
    let groups = networks
        .iter()
        .zip(10..)
        .map(|(network, number)| group_of("no_such_user", network, vec![failure(number, None)]));
    let mut groups: Vec<_> = groups.collect();
    groups.push(group_of("wrong_password", networks[0], vec![detailed(1, 7), failure(2, Some(7))]));
    groups.push(FailureGroup { failures: vec![failure(3, None)], ..FailureGroup::default() });
    assert_eq!(reasons(&records(&database, &[message_of(groups)]).await), ["applied"]);

    let row = "select to_jsonb(user_sync_failures) from user_sync_failures where id = $1";
    let row = async |number: u64| -> Value {
        let id = failure(number, None).id.uuid();
        sqlx::query_scalar(row).bind(id).fetch_one(&database.owner).await.unwrap()
    };
    let expected = |number: u64| {
        let time = at(number).to_string();
        json!({
            "id": failure(number, None).id.uuid(), "user_id": sub(7), "user_pool_id": POOL, "client_id": "1example",
            "reason": "wrong_password", "network": "203.0.113.0/24", "reported_by": "threat_protection",
            "occurred_at": time.replace(".000Z", "+00:00").replace('Z', "+00:00"), "data": null,
        })
    };
    let mut with_details = expected(1);
    with_details["data"] = json!({ "ip": "203.0.113.9", "user_agent": "Mozilla/5.0", "city": "Porto" });
    assert_eq!(row(1).await, with_details);
    assert_eq!(row(2).await, expected(2));
    let bare = row(3).await;
    let nulls = ["user_id", "client_id", "reason", "network", "data"];
    assert!(nulls.iter().all(|name| bare[*name].is_null()), "{bare}");
    let mut kept = Vec::new();
    for number in 10..15 {
        kept.push(row(number).await["network"].as_str().map(str::to_owned));
    }
    let kept: Vec<Option<&str>> = kept.iter().map(Option::as_deref).collect();
    let expected = [Some("203.0.113.0/24"), Some("203.0.113.0/24"), Some("2001:db8:1::/48"), None, None];
    assert_eq!(kept, expected, "nothing is finer than a network, and what is none is no poison");
    let counted: i64 = sqlx::query_scalar(
        "select sum(failures)::bigint from report_failures where network = '203.0.113.0/24'",
    )
    .fetch_one(&database.owner)
    .await
    .unwrap();
    assert_eq!(counted, 4);
}

/// What falls outside of the ledger's months is told, and what is within counts all the same.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_message_that_does_not_fit_whole_the_rest_is_recorded() {
    let database = TestDatabase::create().await;
    let old = Failure { id: record(90, Timestamp::from_unix_millis(1_000)), ..failure(0, None) };
    let hour_ahead = Timestamp::from_unix_millis(Timestamp::now().unix_millis() + 3_600_000);
    let early = Failure { id: record(91, hour_ahead), ..failure(0, None) };
    let bodies = [
        message(vec![failure(1, None), old.clone(), failure(2, None)]),
        message(vec![failure(3, None), early.clone(), old.clone()]),
        message(vec![old.clone()]),
        message(vec![failure(4, None)]),
    ];
    let outcomes = records(&database, &bodies).await;
    assert_eq!(reasons(&outcomes), ["too_old", "future", "too_old", "applied"]);
    let Outcome::Rejected(rejection) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(rejection.field, "data.groups.failures.id");
    assert!(rejection.detail.ends_with("(1 of 3 failures; the others are recorded)"), "{}", rejection.detail);
    let Outcome::Rejected(rejection) = &outcomes[2] else { panic!("{outcomes:?}") };
    assert!(rejection.detail.ends_with("(1 of 1 failures)"), "{}", rejection.detail);
    assert_eq!(database.count("user_sync_failures").await, 4);
    // A redrive changes nothing.
    assert_eq!(reasons(&records(&database, &bodies).await), ["too_old", "future", "too_old", "duplicate"]);
    assert_eq!(database.count("user_sync_failures").await, 4);

    // A month that was missing, and is made later: the consumer hears of it, and of one that goes.
    let month = Timestamp::from_unix_millis(Timestamp::now().unix_millis() - 500 * 86_400_000);
    let late = message(vec![Failure { id: record(92, month), ..failure(0, None) }]);
    assert_eq!(reasons(&records(&database, std::slice::from_ref(&late)).await), ["too_old"]);
    let make = "with made as (delete from user_sync_record_partitions returning name)
        select count(*) from made";
    let _: i64 = sqlx::query_scalar(make).fetch_one(&database.owner).await.unwrap();
    for table in ["user_sync_contexts", "user_sync_failures"] {
        let drop = format!(
            "do $$ declare part regclass; begin
                for part in select inhrelid::regclass from pg_inherits where inhparent = '{table}'::regclass loop
                    execute 'drop table ' || part;
                end loop;
            end $$"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&database.owner).await.unwrap();
    }
    let gone = message(vec![failure(5, None)]);
    assert_eq!(reasons(&records(&database, std::slice::from_ref(&gone)).await), ["too_old"]);
    let make = "select count(*) from user_sync_create_record_partitions(20, 3)";
    let _: i64 = sqlx::query_scalar(make).fetch_one(&database.owner).await.unwrap();
    assert_eq!(reasons(&records(&database, &[late, gone]).await), ["applied", "applied"]);
}

/// The most that a message holds, and several of them.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_ten_thousand_failures_are_recorded_whole() {
    let database = TestDatabase::create().await;
    let full = |from: u64| {
        let numbers = from..from + u64::try_from(FAILURES_MAX).unwrap();
        message(numbers.map(|number| failure(number, Some(u128::from(number % 5)))).collect())
    };
    // The last one shares half of its failures with each of the others.
    let bodies = [full(0), full(10_000), full(5_000)];
    assert!(bodies.iter().all(|body| body.len() < MESSAGE_MAX_BYTES));
    assert_eq!(reasons(&records(&database, &bodies).await), ["applied", "applied", "duplicate"]);
    assert_eq!(database.count("user_sync_failures").await, 20_000);
    assert_eq!(reasons(&records(&database, &bodies).await), ["duplicate"; 3]);
    let busiest: i64 = sqlx::query_scalar("select max(failures) from report_failing_users")
        .fetch_one(&database.owner)
        .await
        .unwrap();
    assert_eq!((database.count("report_failing_users").await, busiest), (5, 4_000));
}

/// Messages that share failures, several times, in any order, in batches of any size.
fn deliveries(random: &mut fastrand::Rng, failures: u64) -> (Vec<Vec<String>>, BTreeMap<Uuid, u128>) {
    let mut expected = BTreeMap::new();
    let mut bodies = Vec::new();
    let mut left: Vec<u64> = (0..failures).collect();
    random.shuffle(&mut left);
    while !left.is_empty() {
        let mut taken = left.split_off(left.len().saturating_sub(random.usize(1..60)));
        // Some that another message has, too.
        taken.extend((0..random.u64(0..20)).map(|_| random.u64(0..failures)));
        taken.sort_unstable();
        taken.dedup();
        random.shuffle(&mut taken);
        let of = |number: &u64| {
            let user = u128::from(*number % 7);
            expected.insert(failure(*number, None).id.uuid(), user);
            if number.is_multiple_of(10) { detailed(*number, user) } else { failure(*number, Some(user)) }
        };
        bodies.push(message(taken.iter().map(of).collect()));
    }
    let copies: Vec<String> = bodies.iter().filter(|_| random.bool()).cloned().collect();
    bodies.extend(copies);
    random.shuffle(&mut bodies);
    let mut batches = Vec::new();
    while !bodies.is_empty() {
        batches.push(bodies.split_off(bodies.len().saturating_sub(random.usize(1..12))));
    }
    (batches, expected)
}

async fn must_be_recorded(database: &TestDatabase, expected: &BTreeMap<Uuid, u128>) {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as("select id, user_id from user_sync_failures")
        .fetch_all(&database.owner)
        .await
        .unwrap();
    assert_eq!(rows.len(), expected.len());
    let rows: BTreeMap<Uuid, Uuid> = rows.into_iter().collect();
    let expected: BTreeMap<Uuid, Uuid> = expected.iter().map(|(id, user)| (*id, sub(*user))).collect();
    assert!(rows == expected, "other failures, or of other users");
}

/// Delivers a batch until nothing of it is left, as the queue does.
async fn redelivered(
    applier: &cognito_user_sync::store::Applier,
    mut bodies: Vec<String>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let started = Instant::now();
    while !bodies.is_empty() {
        assert!(started.elapsed() < LIMIT, "{} are left", bodies.len());
        let outcomes = applier.apply_records(&bodies).boxed().await;
        seen.extend(reasons(&outcomes).into_iter().map(str::to_owned));
        let is_left = |outcome: &Outcome| matches!(outcome, Outcome::Retry(_));
        let left = bodies.into_iter().zip(&outcomes).filter(|(_, outcome)| is_left(outcome));
        bodies = left.map(|(body, _)| body).collect();
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_exactly_however_they_come() {
    let mut random = fastrand::Rng::with_seed(22);
    let database = TestDatabase::create().await;
    let (batches, expected) = deliveries(&mut random, 4_000);
    // Four consumers at once, some of them on the same failures.
    let database = &database;
    let consumers = batches.chunks(batches.len().div_ceil(4)).map(|batches| async move {
        let applier = applier(&database.deployment, 2).await;
        let mut seen = BTreeSet::new();
        for batch in batches {
            seen.extend(redelivered(&applier, batch.clone()).await);
        }
        seen
    });
    for seen in futures::future::join_all(consumers).await {
        assert!(seen.iter().all(|outcome| ["applied", "duplicate"].contains(&outcome.as_str())), "{seen:?}");
    }
    must_be_recorded(database, &expected).await;
    // Once more, as one batch: nothing is new.
    assert_eq!(
        reasons(&records(database, &batches.concat()).await),
        vec!["duplicate"; batches.concat().len()]
    );
    must_be_recorded(database, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_exactly_when_sessions_are_killed() {
    let mut random = fastrand::Rng::with_seed(23);
    let database = TestDatabase::create().await;
    let (batches, expected) = deliveries(&mut random, 20_000);
    let (done, kills) = (AtomicBool::new(false), std::sync::atomic::AtomicU32::new(0));
    let kill = async {
        let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and query like '%user_sync_failures%'
                and state <> 'idle' and usename like '%consumer%'";
        while !done.load(Ordering::SeqCst) {
            let killed: i64 = sqlx::query_scalar(kill).fetch_one(&database.owner).await.unwrap();
            kills.fetch_add(u32::try_from(killed).unwrap(), Ordering::SeqCst);
            // At any step, and not so often that nothing ever ends.
            let pause = if killed > 0 { fastrand::u64(200..1_500) } else { fastrand::u64(1..20) };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    };
    let database = &database;
    let consumers = batches.chunks(batches.len().div_ceil(2)).map(|batches| async move {
        let applier = applier(&database.deployment, 2).await;
        for batch in batches.chunks(20) {
            redelivered(&applier, batch.concat()).await;
        }
    });
    let apply = async {
        futures::future::join_all(consumers).await;
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(kill, apply);
    assert!(kills.load(Ordering::SeqCst) > 0, "no session was killed");
    must_be_recorded(database, &expected).await;
}

/// Nobody waits for a month that is being dropped, and what is of others goes through.
#[tokio::test(flavor = "multi_thread")]
async fn failures_of_a_month_that_is_being_dropped_come_again_later() {
    let database = TestDatabase::create().await;
    let then = Timestamp::from_unix_millis(Timestamp::now().unix_millis() - 62 * 86_400_000);
    let old = Failure { id: record(95, then), ..failure(0, None) };
    let bodies = [message(vec![old]), message(vec![failure(1, None)])];
    let time = time::OffsetDateTime::from(then);
    let month = time.year() * 12 + i32::from(u8::from(time.month())) - 1;
    let mut holder = database.owner.begin().await.unwrap();
    // As `maintain` closes a month of records.
    let close = "select pg_advisory_xact_lock(x'75736572'::int, 1024 + 2 + 132000 + $1)";
    sqlx::query(close).bind(month).execute(&mut *holder).await.unwrap();
    let outcomes = records(&database, &bodies).await;
    assert_eq!(outcomes, [Outcome::Retry(RetryCause::Conflict), Outcome::Applied]);
    holder.rollback().await.unwrap();
    assert_eq!(reasons(&records(&database, &bodies).await), ["applied", "duplicate"]);
    assert_eq!(database.count("user_sync_failures").await, 2);
}

/// The count stays, and nothing that tells where somebody was; also where both happen at once.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_erased_user_the_details_are_left_out() {
    let database = TestDatabase::create().await;
    database.apply(&[login(1, at(1)).build(), login(2, at(1)).build()]).await;
    let operator = DatabaseConfig::with_url(&database.deployment.operator_url);
    erase(&postgres::connect(&operator, 2).await.unwrap(), sub(1), false).await.unwrap();
    let bodies = [message(vec![detailed(1, 1), detailed(2, 2), detailed(3, 3)])];
    assert_eq!(reasons(&records(&database, &bodies).await), ["applied"]);
    let bare = async || database.count("user_sync_failures where data is null").await;
    assert_eq!(bare().await, 1, "of the one who is erased");
    assert_eq!(database.count("user_sync_failures where network is null").await, 1, "of the same one");

    // As an erasure that is under way: it holds the table against writes, and marks the user meanwhile.
    let mut erasing = database.owner.begin().await.unwrap();
    sqlx::query("lock table user_sync_failures in share mode").execute(&mut *erasing).await.unwrap();
    let bodies = [message(vec![detailed(4, 2), detailed(5, 3)])];
    let applying = records(&database, &bodies);
    let erase = async {
        sessions_wait(&database, 1).await;
        sqlx::query("select set_config('user_sync.service', 'versioned', true)")
            .execute(&mut *erasing)
            .await
            .unwrap();
        let mark = "update users set erased_at = now(), row_version = row_version + 1 where id = $1";
        sqlx::query(mark).bind(sub(2)).execute(&mut *erasing).await.unwrap();
        erasing.commit().await.unwrap();
    };
    let (outcomes, ()) = tokio::join!(applying, erase);
    assert_eq!(reasons(&outcomes), ["applied"]);
    assert_eq!(bare().await, 2, "the erasure is seen that was committed while it waited");
}

/// A row that the database refuses is its own message's, and the rest of that is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_holds_up_no_other() {
    let database = TestDatabase::create().await;
    let refuse = "alter table user_sync_failures add constraint ours check (reason <> 'throttled')";
    sqlx::query(refuse).execute(&database.owner).await.unwrap();
    let refused = group_of("throttled", "203.0.113.0/24", vec![failure(500, None)]);
    let others = group_of("other", "203.0.113.0/24", (501..600).map(|n| failure(n, None)).collect());
    let bodies = [
        message((0..300).map(|n| failure(n, None)).collect()),
        message_of(vec![refused, others]),
        message((600..900).map(|n| failure(n, None)).collect()),
    ];
    let outcomes = records(&database, &bodies).await;
    assert_eq!(reasons(&outcomes), ["applied", "obstructed", "applied"]);
    let Outcome::Obstructed(rejection) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert!(rejection.reason == "refused_by_database" && rejection.detail.contains("ours"), "{rejection:?}");
    assert_eq!(database.count("user_sync_failures").await, 699);
    sqlx::query("alter table user_sync_failures drop constraint ours")
        .execute(&database.owner)
        .await
        .unwrap();
    assert_eq!(reasons(&records(&database, &bodies).await), ["duplicate", "applied", "duplicate"]);
    assert_eq!(database.count("user_sync_failures").await, 700);

    // What keeps rows out without a word is no success.
    let silent = "create function quiet() returns trigger language plpgsql as 'begin return null; end';
        create trigger quiet before insert on user_sync_failures for each row execute function quiet()";
    sqlx::raw_sql(silent).execute(&database.owner).await.unwrap();
    assert_eq!(reasons(&records(&database, &[message(vec![failure(901, None)])]).await), ["obstructed"]);
    assert_eq!(database.count("user_sync_failures").await, 700);
}

/// A queue of records and its dead-letter queue, beside those of a deployment.
struct RecordsQueue {
    queue_url: String,
    dlq_url: String,
    arn: String,
}

impl RecordsQueue {
    async fn create(deployment: &Deployment) -> Self {
        let client = deployment.client();
        let name = format!("contexts-{}", Uuid::now_v7().simple());
        let create = async |name: &str| {
            let request = client.create_queue().queue_name(name);
            request.send().await.unwrap().queue_url.unwrap()
        };
        let (queue_url, dlq_url) = (create(&name).await, create(&format!("{name}-dlq")).await);
        let arn = arn_of(deployment, &queue_url).await;
        let queue = Self { queue_url, dlq_url, arn };
        permit_receives(&queue.deployment(deployment), 50).await;
        queue
    }

    /// The deployment with this queue in the other's place.
    fn deployment(&self, of: &Deployment) -> Deployment {
        let mut deployment = of.clone();
        deployment.queue_url.clone_from(&self.queue_url);
        deployment.dlq_url.clone_from(&self.dlq_url);
        deployment
    }

    fn environment(&self) -> [(&'static str, &str); 2] {
        [("USER_SYNC_CONTEXT_QUEUE_URL", &self.queue_url), ("USER_SYNC_CONTEXT_DLQ_URL", &self.dlq_url)]
    }
}

async fn arn_of(deployment: &Deployment, queue_url: &str) -> String {
    let asked = deployment.client().get_queue_attributes().queue_url(queue_url);
    let asked = asked.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
    asked.attributes.unwrap()[&QueueAttributeName::QueueArn].clone()
}

/// What is on both queues, and what is left of it: one of each kind that belongs, and one that does not.
fn mixed() -> ([String; 2], [String; 3]) {
    let events = [login(1, at(1)).random_part(1).build().encode(), context(7, 1)];
    let records = [
        context(1, 1),
        message(vec![failure(1, Some(1)), failure(2, None)]),
        login(2, at(2)).random_part(2).build().encode(),
    ];
    (events, records)
}

async fn mixed_are_settled(database: &TestDatabase, queue: &RecordsQueue) {
    let (events, records) = mixed();
    assert_eq!(database.count("users where login_count = 1").await, 1);
    assert_eq!(database.count("user_events").await, 1);
    assert_eq!(database.count("user_sync_contexts").await, 1);
    assert_eq!(database.count("user_sync_failures").await, 2);
    let wrong = |letters: Vec<crate::support::DeadLetter>, body: &str| {
        let letters: Vec<_> =
            letters.iter().map(|letter| (&*letter.body, &*letter.reason, &*letter.field)).collect();
        assert_eq!(letters, [(body, "wrong_queue", "type")]);
    };
    wrong(dead_letters(&database.deployment).await, &events[1]);
    wrong(dead_letters(&queue.deployment(&database.deployment)).await, &records[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_drains_both_queues_and_ends_when_both_are_empty() {
    let database = TestDatabase::create().await;
    let deployment = &database.deployment;
    let queue = RecordsQueue::create(deployment).await;
    let (events, records) = mixed();
    send(deployment, &events).await;
    send(&queue.deployment(deployment), &records).await;
    let worker = tokio::process::Command::new(binaries::user_sync())
        .args(["worker", "--until-empty"])
        .env_clear()
        .envs(deployment.environment())
        .envs(queue.environment())
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(LIMIT, worker).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    mixed_are_settled(&database, &queue).await;

    // And one that goes on until it is told to end.
    send(&queue.deployment(deployment), &[context(9, 1)]).await;
    let consumer = Adapter::Worker.start(deployment, &queue.environment()).await;
    consumer.drained(&queue.deployment(deployment)).await;
    consumer.end().await;
    assert_eq!(database.count("user_sync_contexts").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_knows_each_queue_by_its_arn() {
    let database = TestDatabase::create().await;
    let queue = RecordsQueue::create(&database.deployment).await;
    let api = LambdaRuntimeApi::start().await;
    let env = [&database.deployment.environment()[..], &queue.environment()].concat();
    let mut function = Function::spawn(&binaries::consumer(), &api, &env);
    let (events, records) = mixed();
    let main = arn_of(&database.deployment, &database.deployment.queue_url).await;
    // Of a third queue nobody knows who may send there: nothing of it is applied.
    let other = format!("{main}-other");
    for (arn, bodies) in [(&other, &events[..]), (&main, &events[..]), (&queue.arn, &records[..])] {
        let record = |(index, body): (usize, &String)| {
            json!({
                "messageId": index.to_string(), "receiptHandle": "handle", "body": body, "eventSourceARN": arn,
                "attributes": { "ApproximateReceiveCount": "1" },
            })
        };
        let batch = json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() });
        let answer = api.invoke(batch.to_string(), LIMIT).await;
        if arn == &other {
            assert!(matches!(answer, Invocation::Error { .. }), "{answer:?}");
            assert_eq!(database.count("user_events").await, 0);
            continue;
        }
        let Invocation::Response { body, .. } = answer else { panic!("{answer:?}") };
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    mixed_are_settled(&database, &queue).await;

    // Each is measured as what it is.
    function.kill();
    let stdout = function.stdout_lines();
    let documents: Vec<Value> = stdout.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let values =
        |name: &str| documents.iter().filter_map(|document| document.get(name)).cloned().collect::<Vec<_>>();
    let sum = |name: &str| values(name).iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!((sum("contexts_applied"), sum("failures_recorded"), sum("applied")), (1, 2, 3), "{stdout:?}");
    let lengths = |name: &str| {
        values(name).iter().map(|value| value.as_array().map_or(1, Vec::len)).collect::<Vec<_>>()
    };
    assert_eq!((lengths("freshness"), lengths("context_freshness")), (vec![1], vec![2]), "{stdout:?}");
    assert_eq!((lengths("batch_messages"), lengths("apply_duration")), (vec![1], vec![1]), "{stdout:?}");
}

/// `dlq --contexts` is of that queue and its dead-letter queue, and shows nobody's address.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_records_have_the_same_commands() {
    let deployment = move_tasks::deployment().await;
    let queue = RecordsQueue::create(&deployment).await;
    let of_records = queue.deployment(&deployment);
    let reject = async |body: &str, reason: &'static str| {
        let (message_id, receipt_handle) = (Uuid::now_v7().to_string().into(), String::new().into());
        let delivery =
            Delivery { message_id, receipt_handle, body: body.to_owned().into(), receive_count: 1 };
        let rejection = Rejection { reason, field: "$".to_owned(), detail: "of no use".to_owned() };
        of_records.queue().dead_letter(&delivery, &rejection, Instant::now() + LIMIT).await.unwrap();
    };
    let (seen, failed, forged) =
        (context(1, 1), message(vec![detailed(2, 1)]), login(1, at(1)).build().encode());
    reject(&seen, "no_partition").await;
    reject(&failed, "refused_by_database").await;
    reject(&forged, "wrong_queue").await;
    let dlq = |arguments: &[&str]| {
        let mut command = std::process::Command::new(binaries::user_sync());
        command
            .arg("dlq")
            .args(arguments)
            .env_clear()
            .envs(deployment.environment())
            .envs(queue.environment());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    assert!(dlq(&["list"]).starts_with("0 dead letters"), "the other queue has none");
    let listed: Value = serde_json::from_str(&dlq(&["list", "--contexts", "--json"])).unwrap();
    let reasons = json!({ "no_partition": 1, "refused_by_database": 1, "wrong_queue": 1 });
    assert_eq!(listed["by_reason"], reasons);
    for body in [&seen, &failed] {
        let id = Event::decode(body).unwrap().id().to_string();
        let shown = dlq(&["show", &id, "--contexts"]);
        assert!(shown.contains("reported_by") && shown.contains(&sub(1).to_string()), "{shown}");
        for personal in ["203.0.113", "Mozilla", "Porto", "1example"] {
            assert!(!shown.contains(personal), "{personal} in {shown}");
        }
    }
    let redriven: Value = serde_json::from_str(&dlq(&["--contexts", "redrive", "--json"])).unwrap();
    assert_eq!((&redriven["moved"], &redriven["left_behind"]), (&json!(2), &json!({ "wrong_queue": 1 })));
    let mut moved = BTreeSet::new();
    for delivery in of_records.queue().receive(10, Duration::ZERO).await.unwrap() {
        moved.insert(delivery.body.as_str().to_owned());
    }
    assert_eq!(moved, BTreeSet::from([seen, failed]));
    let id = Event::decode(&forged).unwrap().id().to_string();
    dlq(&["drop", &id, "--contexts", "--reason", "nobody of ours sent it"]);
    assert!(dlq(&["list", "--contexts"]).starts_with("0 dead letters"));
}

/// By parts: the queue of records is full, and its loop gets nowhere, since somebody holds its table. Sign-ins go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_records_holds_up_no_sign_in() {
    let database = TestDatabase::create().await;
    let deployment = &database.deployment;
    let queue = RecordsQueue::create(deployment).await;
    let flood: Vec<String> = (0..40_u64)
        .map(|n| message((n * 1_000..(n + 1) * 1_000).map(|n| failure(n, Some(u128::from(n % 5)))).collect()))
        .collect();
    send(&queue.deployment(deployment), &flood).await;
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::query("lock table user_sync_failures in share mode").execute(&mut *holder).await.unwrap();

    // One connection a loop and two more, as the program has.
    let applier = applier(deployment, 4).await;
    let (events, records) = (deployment.queue(), queue.deployment(deployment).queue());
    let options = Options { batch_size: 10, concurrency: 1, until_empty: false };
    let sources = [
        Source { queue: &events, carries: Carries::Events, options },
        Source { queue: &records, carries: Carries::Records, options },
    ];
    let liveness = Liveness::of(2, STALLED_AFTER);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = worker::run(&applier, &sources, &liveness, async { drop(stopped.await) });
    let test = async {
        sessions_wait(&database, 1).await;
        let logins: Vec<String> = (0..100).map(|user| login(user, at(1)).build().encode()).collect();
        send(deployment, &logins).await;
        eventually("the sign-ins are applied", Duration::from_secs(60), async || {
            database.count("users where login_count = 1").await == 100
        })
        .await;
        assert!(records.backlog().await.unwrap() >= 30, "the flood is still there");
        holder.rollback().await.unwrap();
        assert_eq!(database.count("user_sync_failures").await, 0);
        // While the flood is worked on, too.
        eventually("the flood is worked on", LIMIT, async || database.count("user_sync_failures").await > 0)
            .await;
        send(deployment, &(100..200).map(|user| login(user, at(1)).build().encode()).collect::<Vec<_>>())
            .await;
        eventually("the sign-ins are applied", Duration::from_secs(60), async || {
            database.count("users where login_count = 1").await == 200
        })
        .await;
        stop.send(()).unwrap();
    };
    let (worked, ()) = tokio::join!(worker, test);
    worked.unwrap();
}

/// What waits is tried again, and not received for nothing: the next parts would wait, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_held_returns_the_batch_after_one_wait() {
    let database = TestDatabase::create().await;
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::query("lock table user_sync_failures in share mode").execute(&mut *holder).await.unwrap();
    let full = |from: u64| message((from..from + 10_000).map(|n| failure(n, None)).collect());
    let bodies = [full(0), full(10_000), full(20_000)];
    let started = Instant::now();
    let outcomes = records(&database, &bodies).await;
    assert_eq!(outcomes, vec![Outcome::Retry(RetryCause::Conflict); 3]);
    assert!(started.elapsed() < Duration::from_secs(14), "{:?}: a wait for each part", started.elapsed());
    holder.rollback().await.unwrap();
    assert_eq!(reasons(&records(&database, &bodies).await), ["applied"; 3]);
}

/// `make` has no part in it: run it by name, with `--ignored`, to measure.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn rows_a_second_and_bytes_a_row() {
    for users in [5_u64, 50_000] {
        let database = TestDatabase::create().await;
        let bodies: Vec<String> = (0..10)
            .map(|n| {
                let numbers = n * 10_000..(n + 1) * 10_000_u64;
                message(numbers.map(|n| failure(n, Some(u128::from(n % users)))).collect())
            })
            .collect();
        let started = Instant::now();
        for body in &bodies {
            assert_eq!(reasons(&records(&database, std::slice::from_ref(body)).await), ["applied"]);
        }
        let (took, rows) = (started.elapsed().as_secs_f64(), 100_000.0);
        let started = Instant::now();
        let again = records(&database, &bodies).await;
        assert_eq!(reasons(&again), ["duplicate"; 10]);
        let again = started.elapsed().as_secs_f64();
        let size = "select sum(pg_relation_size(inhrelid))::bigint, sum(pg_indexes_size(inhrelid))::bigint
            from pg_inherits where inhparent = 'user_sync_failures'::regclass";
        let (heap, index): (i64, i64) = sqlx::query_as(size).fetch_one(&database.owner).await.unwrap();
        eprintln!(
            "{users} users: {:.0} rows/s, again {:.0} rows/s, heap {:.0} and index {:.0} bytes a row, {:.0} bytes a failure on the queue",
            rows / took,
            rows / again,
            heap as f64 / rows,
            index as f64 / rows,
            bodies.iter().map(String::len).sum::<usize>() as f64 / rows,
        );
    }
}
