//! Nothing stops the consumer: connections that go silent, rows that somebody holds, batches that hold too much.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::consumer::liveness::Liveness;
use cognito_user_sync::consumer::monitoring::{self, Sources};
use cognito_user_sync::consumer::queues::Queues;
use cognito_user_sync::postgres;
use cognito_user_sync::store::outcome::{Outcome, RetryCause};
use cognito_user_sync::store::{Applier, referral_code};
use cognito_user_sync_triggers::event::{Event, EventId, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::support::binaries;
use crate::support::conformance::{Adapter, invocation};
use crate::support::events::{at, confirmed, event, login, sub};
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::{TestDatabase, eventually, send, stack};

/// What a batch's transaction may take, and twice the room.
const TRANSACTION: Duration = Duration::from_secs(50);

/// From the moment that the speaker says the words, nothing is heard any more on that connection, and it stays open.
fn freeze(speaker: Speaker, words: &'static str) -> Trap {
    Trap { speaker, words, nth: 1, repeats: false, action: Action::Tell { pass_on: false } }
}

async fn frozen(trap: Trap) -> Proxy {
    let stack = stack().await;
    let address: SocketAddr =
        format!("{}:{}", stack.postgres.host(), stack.postgres.port()).parse().expect("an address");
    Proxy::start(address, Some(trap)).await
}

/// A connection goes silent in the middle of a statement, before a commit, and after one that nobody hears of.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_silent_costs_one_batch_a_retry_and_nothing_else() {
    let traps = [
        (freeze(Speaker::Program, "insert into user_events"), Outcome::Applied),
        (freeze(Speaker::Program, "COMMIT"), Outcome::Applied),
        (freeze(Speaker::Server, "COMMIT"), Outcome::Duplicate),
    ];
    let silent = traps.map(|(trap, then)| async move {
        let database = TestDatabase::create().await;
        let proxy = frozen(trap).await;
        let url = proxy.through(&database.deployment.consumer_url);
        // One connection: whoever kept the silent one would have none.
        let applier = Applier::new(postgres::connect(&DatabaseConfig::with_url(&url), 1).await.unwrap());
        let event = login(1, at(1)).build().encode();
        let started = Instant::now();
        let outcomes = applier.apply(&[&event]).await;
        assert_eq!(outcomes, [Outcome::Retry(RetryCause::DatabaseUnavailable)], "{trap:?}");
        assert!(started.elapsed() < TRANSACTION, "{:?}", started.elapsed());
        assert_eq!(applier.apply(&[&event]).await, [then], "{trap:?}");
        assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("1"));
        tokio::time::timeout(Duration::from_secs(10), applier.database().close()).await.unwrap();
    });
    futures::future::join_all(silent).await;
}

/// Both programs go on by themselves, and the worker hears SIGTERM meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn both_adapters_outlive_a_connection_that_goes_silent() {
    let outlives = Adapter::ALL.map(|adapter| async move {
        let database = TestDatabase::create().await;
        let proxy = frozen(freeze(Speaker::Server, "COMMIT")).await;
        let url = proxy.through(&database.deployment.consumer_url);
        let consumer = adapter.start(&database.deployment, &[("DATABASE_URL", &url)]).await;
        send(&database.deployment, &[login(1, at(1)).build().encode()]).await;
        eventually("the silent connection is given up", TRANSACTION * 2, async || {
            database.deployment.queue().backlog().await.is_ok_and(|left| left == 0)
        })
        .await;
        consumer.end().await;
        assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("1"), "{adapter:?}");
    });
    futures::future::join_all(outlives).await;
}

/// `/healthz` tells a worker whose loops get nowhere from one that waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_finishes_nothing_is_not_healthy() {
    let database = TestDatabase::create().await;
    let liveness = Liveness::of(2, Duration::from_secs(2));
    let listener = monitoring::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sources = Sources {
        metrics: None,
        database: database.applier.database().clone(),
        queues: Queues { events: database.deployment.queue(), records: None },
        liveness: liveness.clone(),
    };
    let serving = tokio::spawn(monitoring::serve(listener, sources));
    let healthz = async || {
        let address = address.clone();
        let get = move || crate::metrics::get(&address, "/healthz");
        tokio::task::spawn_blocking(get).await.unwrap()
    };
    assert_eq!(healthz().await, (200, "ok\n".to_owned()));
    eventually("the second loop has stalled", Duration::from_secs(30), async || {
        liveness.step(0);
        let (status, text) = healthz().await;
        status == 503 && text.starts_with("the worker has finished nothing for ")
    })
    .await;
    liveness.step(0);
    liveness.step(1);
    assert_eq!(healthz().await.0, 200);
    serving.abort();
}

fn logins(users: u128, second: u64) -> Vec<Event<'static>> {
    (0..users).map(|user| login(user, at(second)).email(&format!("{user}@x.test")).build()).collect()
}

/// A row that somebody holds costs its own message a retry. What the application does while it only refers to a row holds
/// nothing up.
#[tokio::test(flavor = "multi_thread")]
async fn one_held_row_costs_one_message() {
    let database = TestDatabase::create().await;
    assert!(database.apply(&logins(1_000, 1)).await.iter().all(|outcome| *outcome == Outcome::Applied));
    let make = "create table orders (user_id uuid references users (id))";
    sqlx::query(make).execute(&database.owner).await.unwrap();
    let mut holder = database.owner.begin().await.unwrap();
    for user in [3, 4] {
        let insert = sqlx::query("insert into orders values ($1)").bind(sub(user));
        insert.execute(&mut *holder).await.unwrap();
    }
    let held = |user: u128| user == 7 || user == 500;
    for user in [7, 500] {
        let hold = sqlx::query("select from users where id = $1 for update").bind(sub(user));
        hold.execute(&mut *holder).await.unwrap();
    }
    // By the fast path, and, with another name, by the slow one; and with another address, which the held do not touch.
    let renamed =
        |user| login(user, at(3)).email(&format!("{user}@x.test")).attributes(&[("name", "Ada")]).build();
    let moved =
        |user| login(user, at(4)).email(&format!("{user}@y.test")).attributes(&[("name", "Ada")]).build();
    let rounds =
        [logins(1_000, 2), (0..1_000).map(renamed).collect(), (0..1_000).map(moved).collect::<Vec<_>>()];
    for events in &rounds {
        let started = Instant::now();
        let outcomes = database.apply(events).await;
        // Two seconds, and twice the room.
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        for (user, outcome) in (0..).zip(outcomes) {
            let expected = if held(user) { Outcome::Retry(RetryCause::Conflict) } else { Outcome::Applied };
            assert_eq!(outcome, expected, "{user}");
        }
    }
    holder.rollback().await.unwrap();
    for events in &rounds {
        let retried: Vec<Event<'static>> =
            (0..).zip(events).filter(|(user, _)| held(*user)).map(|(_, event)| event.clone()).collect();
        assert_eq!(database.deliver(&retried).await, [Outcome::Applied, Outcome::Applied]);
    }
    assert_eq!(database.count("users where login_count = 4 and name = 'Ada'").await, 1_000);
}

/// Whoever shares an address with a row that somebody holds waits for it, too: nobody gets it while a claimant is missing.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_not_given_away_while_somebody_holds_its_owners_row() {
    let database = TestDatabase::create().await;
    let verified = |user, second, email: &str| {
        confirmed(user, at(second)).attributes(&[("email", email), ("email_verified", "true")]).build()
    };
    database.apply(&[verified(1, 1, "shared@x.test")]).await;
    let mut holder = database.owner.begin().await.unwrap();
    let hold = sqlx::query("select from users where id = $1 for update").bind(sub(1));
    hold.execute(&mut *holder).await.unwrap();
    let events = [verified(2, 2, "shared@x.test"), verified(3, 2, "own@x.test")];
    assert_eq!(database.apply(&events).await, [Outcome::Retry(RetryCause::Conflict), Outcome::Applied]);
    assert_eq!(database.count("users").await, 2, "no row is left of what was undone");
    holder.rollback().await.unwrap();
    assert_eq!(database.deliver(&events).await, [Outcome::Applied, Outcome::Duplicate]);
    assert_eq!(database.column(sub(2), "email").await.as_deref(), Some("shared@x.test"));
    assert_eq!(database.column(sub(1), "email").await, None);
}

/// Both programs: 999 of 1,000 are in the tables at once, and the function answers in time.
#[tokio::test(flavor = "multi_thread")]
async fn the_function_answers_while_somebody_holds_a_row() {
    let database = TestDatabase::create().await;
    assert!(database.apply(&logins(1_000, 1)).await.iter().all(|outcome| *outcome == Outcome::Applied));
    let mut holder = database.owner.begin().await.unwrap();
    let hold = sqlx::query("select from users where id = $1 for update").bind(sub(7));
    hold.execute(&mut *holder).await.unwrap();
    let api = LambdaRuntimeApi::start().await;
    let function = Function::spawn(&binaries::consumer(), &api, &database.deployment.environment());
    api.wait_until_ready(Duration::from_secs(30)).await;
    let bodies: Vec<String> = logins(1_000, 2).iter().map(Event::encode).collect();
    let answer = api.invoke(invocation(&bodies), Duration::from_secs(10)).await;
    let Invocation::Response { body, .. } = answer else { panic!("no answer within 10 s") };
    assert_eq!(String::from_utf8(body).unwrap(), r#"{"batchItemFailures":[{"itemIdentifier":"7"}]}"#);
    assert_eq!(database.count("users where login_count = 2").await, 999);
    drop(function);
    let worker = Adapter::Worker.start(&database.deployment, &[]).await;
    send(&database.deployment, &logins(1_000, 3).iter().map(Event::encode).collect::<Vec<_>>()).await;
    eventually("999 are applied", Duration::from_secs(60), async || {
        database.count("users where login_count = 3").await == 999
    })
    .await;
    holder.rollback().await.unwrap();
    worker.drained(&database.deployment).await;
    worker.end().await;
}

/// The most memory that a process has used, in MiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

/// Invokes the function with a batch, again as long as it gives messages back for want of time; returns the most memory that
/// it used, in MiB.
async fn peak_of(database: &TestDatabase, batch: &[Event<'static>]) -> u64 {
    let api = LambdaRuntimeApi::start().await;
    let function = Function::spawn(&binaries::consumer(), &api, &database.deployment.environment());
    api.wait_until_ready(Duration::from_secs(30)).await;
    let bodies: Vec<String> = batch.iter().map(Event::encode).collect();
    for _ in 0..10 {
        let answer = api.invoke(invocation(&bodies), Duration::from_secs(60)).await;
        let Invocation::Response { body, .. } = answer else { panic!("the function failed") };
        if body == br#"{"batchItemFailures":[]}"# {
            return peak(function.pid());
        }
    }
    panic!("the batch is never applied");
}

/// Anybody can compute the code of a user who has not signed up yet, and have others sign up with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_who_wait_for_one_referrer_fit_in_memory() {
    let database = TestDatabase::create().await;
    let wait = "with base as (select * from users limit 0)
        insert into users (id, name, referral_code, created_at, synced_at, updated_at, sign_up_referral_code,
            cognito_attributes, attributes_version)
        select gen_random_uuid(), 'waits', 'W' || n, now(), now(), now(), $1,
            jsonb_build_object('name', repeat('x', 1000)), user_event_bound(now())
        from generate_series(1, 100000) as n";
    sqlx::query(wait).bind(referral_code(sub(1))).execute(&database.owner).await.unwrap();
    let sign_up = confirmed(1, at(1)).email("ada@x.test").build();
    let used = peak_of(&database, &[sign_up]).await;
    let referred = format!("users where referred_by = '{}'", sub(1));
    assert_eq!(database.count(&referred).await, 100_000);
    eprintln!("{used} MiB for a hundred thousand who wait");
    assert!(used < 256, "{used} MiB");
}

/// Rows whose attributes are as large as Cognito lets them be, all of them in one batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_large_rows_fits_in_memory() {
    let database = TestDatabase::create().await;
    let users = 3_000_u128;
    let known: Vec<Event<'static>> = (0..users)
        .map(|user| event(Kind::Snapshot, user, at(1)).email(&format!("{user}@x.test")).build())
        .collect();
    for part in known.chunks(1_000) {
        database.apply(part).await;
    }
    let grow = "update users set row_version = row_version + 1, cognito_attributes = cognito_attributes || (
        select jsonb_object_agg('custom:' || n, repeat('x', 2000)) from generate_series(1, 50) as n)";
    let mut owner = database.owner.begin().await.unwrap();
    sqlx::query("set local user_sync.service = 'versioned'").execute(&mut *owner).await.unwrap();
    sqlx::query(grow).execute(&mut *owner).await.unwrap();
    owner.commit().await.unwrap();
    let rename = |user| login(user, at(2)).attributes(&[("name", "Ada")]).build();
    let used = peak_of(&database, &(0..users).map(rename).collect::<Vec<_>>()).await;
    assert_eq!(database.count("users where name = 'Ada'").await, i64::try_from(users).unwrap());
    eprintln!("{used} MiB for rows of 300 MB");
    assert!(used < 256, "{used} MiB");
}

/// All consumers stamp one row: who holds it costs the heartbeat, and no user's event.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_heartbeat_costs_itself_only() {
    let database = TestDatabase::create().await;
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::query("select from sync_status for update").execute(&mut *holder).await.unwrap();
    let heartbeat = Event::heartbeat(EventId::new(Timestamp::now()));
    let events = [confirmed(1, at(1)).build(), heartbeat.clone(), login(2, at(1)).build()];
    let conflict = Outcome::Retry(RetryCause::Conflict);
    assert_eq!(database.apply(&events).await, [Outcome::Applied, conflict, Outcome::Applied]);
    holder.rollback().await.unwrap();
    assert_eq!(database.apply(&[heartbeat]).await, [Outcome::Applied]);
}

/// Whoever waits for a referrer and is held delays the referrer's sign-up, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_row_that_waits_for_a_referrer_delays_the_referrer_only() {
    let database = TestDatabase::create().await;
    let waits = |user: u128| {
        confirmed(user, at(1))
            .with(|data| data.client.referral_code = Some(referral_code(sub(1)).into()))
            .build()
    };
    database.apply(&(10..20).map(waits).collect::<Vec<_>>()).await;
    let mut holder = database.owner.begin().await.unwrap();
    let hold = sqlx::query("select from users where id = $1 for update").bind(sub(15));
    hold.execute(&mut *holder).await.unwrap();
    let events = [confirmed(1, at(2)).build(), confirmed(2, at(2)).build()];
    assert_eq!(database.apply(&events).await, [Outcome::Retry(RetryCause::Conflict), Outcome::Applied]);
    holder.rollback().await.unwrap();
    assert_eq!(database.deliver(&events).await, [Outcome::Applied, Outcome::Duplicate]);
    assert_eq!(database.count(&format!("users where referred_by = '{}'", sub(1))).await, 10);
}
