//! Records of sign-ins beside logins: what a context a login costs, how old both are at a steady rate, and what an attack on
//! the pool is to the database.

use std::time::Duration;

use cognito_user_sync_triggers::event::{
    Context, ContextEvent, Event, EventId, Failure, FailureGroup, Failures, FailuresEvent, Kind, Reporter,
    UserEvent,
};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::drain::{Contestant, Drained, Run, hand_over, logins, payloads, program};
use crate::freshness::worker;
use crate::process;
use crate::queue::{Queue, Queues};
use crate::sample::{Spread, percentile};
use crate::server::{self, Database, POOL, Server, SharedBuffers, Who};

const BATCH: usize = 1_000;

/// Logins a second beside contexts and beside an attack.
const LOGINS_PER_SECOND: u64 = 1_000;

/// Failures a second of an attack, and how many of them one message holds.
const FAILURES_PER_SECOND: usize = 10_000;
const FAILURES_A_MESSAGE: usize = 1_000;

pub(crate) async fn run(users: u64, steady_seconds: u64, quick: bool) -> Value {
    let server = Server::start(SharedBuffers::Quarter).await;
    let settings = server.settings().await;
    let database = server.database("contexts", users).await;
    let drained = drain(&database, quick).await;
    let (seconds, late) = if quick { (10, 5) } else { (steady_seconds, 60) };
    let steady = steady(&database, seconds, late).await;
    let seconds = if quick { 5 } else { 60 };
    let alone = attack(&database, seconds, None).await;
    let mut attacks = vec![alone];
    for users in [5, 50_000] {
        attacks.push(attack(&database, seconds, Some(users)).await);
    }
    server.drop_database(database).await;
    server.stop().await;
    json!({ "users": users, "postgresql": settings, "drain": drained, "steady": steady, "attacks": attacks })
}

/// Logins alone; then the contexts of logins that are there; then logins of users who have contexts. In turn, by four
/// processes with batches of 1,000.
async fn drain(database: &Database, quick: bool) -> Value {
    let (runs, seconds) = if quick { (1, 2.0) } else { (3, 3.0) };
    let program = program(Contestant::UserSync, std::path::Path::new("."));
    let run = Run { program: &program, is_ours: true, batch: BATCH, processes: 4, seconds };
    let most = (90_000.0 * seconds) as usize;
    let (mut off, mut contexts, mut on) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = Value::Null;
    for _ in 0..runs {
        empty_records(database).await;
        database.reset().await;
        let events = logins(database, most).await;
        let (drained, count) = hand_over(database, run, payloads(&events, BATCH)).await;
        off.push(drained);
        let counted = database.counts().await;
        database.quiet().await;
        // Handed over in order, so that these are the logins that are in the tables.
        let of_logins: Vec<Vec<u8>> = events[..count].chunks_exact(BATCH).map(context_payload).collect();
        let (drained, count) = hand_over(database, run, of_logins).await;
        contexts.push(drained);
        assert_eq!(database.counts().await, counted, "contexts are no logins");
        assert_eq!(records(database, "user_sync_contexts").await, i64::try_from(count).unwrap());
        bytes = json!({
            "login": bytes_a_row(database, "user_events").await,
            "context": bytes_a_row(database, "user_sync_contexts").await,
        });
        database.reset().await;
        let events = logins_now(database, most).await;
        let (drained, _) = hand_over(database, run, payloads(&events, BATCH)).await;
        on.push(drained);
    }
    let show = |name: &str, runs: &[Drained]| {
        let rate = Spread::of(&runs.iter().map(|run| run.rate).collect::<Vec<_>>());
        let cpu = Spread::of(&runs.iter().map(|run| run.cpu).collect::<Vec<_>>());
        println!(
            "   {name:<34} {:>9.0} events/s ({:.0} to {:.0})  {:>6.1} us CPU/event",
            rate.median, rate.min, rate.max, cpu.median
        );
        json!({ "events_per_second": rate, "cpu_us_per_event": cpu })
    };
    let logins = show("logins, no contexts", &off);
    let contexts = show("a context of each, later", &contexts);
    let after = show("later logins of users who have some", &on);
    println!("   bytes a row of the ledgers, with indexes: {bytes}");
    json!({ "logins": logins, "contexts": contexts, "logins_after_contexts": after, "bytes_a_row": bytes })
}

async fn logins_now(database: &Database, count: usize) -> Vec<UserEvent<'static>> {
    let now = Timestamp::now();
    let login = |who: &Who| server::event_at(who, now, Kind::Authenticated);
    database.some(count).await.iter().map(login).collect()
}

fn context(login: &UserEvent<'_>) -> Event<'static> {
    let time = Timestamp::from_unix_millis(login.id.time().unix_millis() + 1_000);
    let mut data = Context::by(Reporter::ThreatProtection);
    data.ip = Some("198.51.100.7".into());
    data.city = Some("Graz".into());
    data.country = Some("Austria".into());
    data.user_agent =
        login.data.client.user_agent.clone().map(cognito_user_sync_triggers::text::Text::into_owned);
    let id = EventId::of_record(time, fastrand::u128(..));
    Event::Context(ContextEvent { id, user_pool_id: POOL.into(), sub: Some(login.sub), data })
}

fn context_payload(logins: &[UserEvent<'_>]) -> Vec<u8> {
    server::payload_of(logins.iter().map(|login| context(login).encode()), "records")
}

async fn empty_records(database: &Database) {
    for table in ["user_sync_contexts", "user_sync_failures", "user_sync_context_states"] {
        sqlx::query(AssertSqlSafe(format!("truncate {table}"))).execute(&database.owner).await.unwrap();
    }
}

async fn records(database: &Database, table: &str) -> i64 {
    let count = AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(count).fetch_one(&database.owner).await.unwrap()
}

/// Bytes of a partitioned table's rows and indexes, by its rows.
async fn bytes_a_row(database: &Database, table: &str) -> i64 {
    let query = format!(
        "select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint / greatest((select count(*) from {table}), 1)
         from pg_inherits where inhparent = '{table}'::regclass"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&database.owner).await.unwrap()
}

/// Logins at a steady rate, each with a context that comes so many seconds later.
async fn steady(database: &Database, seconds: u64, late: u64) -> Value {
    empty_records(database).await;
    database.reset().await;
    let count = usize::try_from(LOGINS_PER_SECOND * seconds).unwrap();
    let users = database.some(count).await;
    let (queues, endpoint) = Queues::start().await;
    let mut worker = on_both(database, &endpoint).await;
    let (_, before) = database.counts().await;
    let started = Instant::now();
    let mut waiting = std::collections::VecDeque::new();
    let send_due = |waiting: &mut std::collections::VecDeque<(Instant, Event<'static>)>, all: bool| {
        while waiting.front().is_some_and(|(due, _)| all || *due <= Instant::now()) {
            if let Some((_, context)) = waiting.pop_front() {
                queues.records.send(context.encode());
            }
        }
    };
    for (number, who) in users.iter().enumerate() {
        pace(started, LOGINS_PER_SECOND, number).await;
        let login = server::event_at(who, Timestamp::now(), Kind::Authenticated);
        waiting.push_back((Instant::now() + Duration::from_secs(late), context(&login)));
        queues.events.send(Event::User(login).encode());
        send_due(&mut waiting, false);
    }
    while !waiting.is_empty() {
        sleep(Duration::from_millis(2)).await;
        send_due(&mut waiting, false);
    }
    let warm_up = usize::try_from(LOGINS_PER_SECOND * 2).unwrap();
    let logins = ages(&queues.events, warm_up, seconds).await;
    let contexts = ages(&queues.records, warm_up, seconds).await;
    let (_, after) = database.counts().await;
    assert_eq!(after - before, i64::try_from(count).unwrap(), "logins counted");
    assert_eq!(records(database, "user_sync_contexts").await, i64::try_from(count).unwrap());
    worker.kill().await.unwrap();
    println!("   {LOGINS_PER_SECOND} logins/s with a context each, {late} s later, for {seconds} s");
    json!({
        "logins_per_second": LOGINS_PER_SECOND, "seconds": seconds, "late_seconds": late,
        "logins": shown("logins", &logins), "contexts": shown("contexts", &contexts),
    })
}

/// Logins at a steady rate beside failures of so many users, or of none.
async fn attack(database: &Database, seconds: u64, attacked: Option<usize>) -> Value {
    empty_records(database).await;
    database.reset().await;
    let count = usize::try_from(LOGINS_PER_SECOND * seconds).unwrap();
    let users = database.some(count).await;
    let (queues, endpoint) = Queues::start().await;
    let mut worker = on_both(database, &endpoint).await;
    let (_, before) = database.counts().await;
    let started = Instant::now();
    let messages_a_second = FAILURES_PER_SECOND / FAILURES_A_MESSAGE;
    let every = usize::try_from(LOGINS_PER_SECOND).unwrap() / messages_a_second;
    let mut failures = 0;
    for (number, who) in users.iter().enumerate() {
        pace(started, LOGINS_PER_SECOND, number).await;
        if let Some(users) = attacked.filter(|_| number.is_multiple_of(every)) {
            queues.records.send(failed(users, failures).encode());
            failures += FAILURES_A_MESSAGE;
        }
        queues
            .events
            .send(Event::User(server::event_at(who, Timestamp::now(), Kind::Authenticated)).encode());
    }
    let logins = ages(&queues.events, usize::try_from(LOGINS_PER_SECOND).unwrap(), seconds).await;
    let (_, after) = database.counts().await;
    assert_eq!(after - before, i64::try_from(count).unwrap(), "logins counted");
    let name = attacked.map_or_else(
        || "no attack".to_owned(),
        |users| format!("{FAILURES_PER_SECOND} failures/s of {users} users"),
    );
    println!("   {LOGINS_PER_SECOND} logins/s for {seconds} s beside {name}");
    let logins = shown("logins", &logins);
    let mut figures = json!({ "failing_users": attacked, "seconds": seconds, "logins": logins });
    if attacked.is_some() {
        figures["failures"] = shown("messages of failures", &ages(&queues.records, 0, seconds).await);
        let stored = records(database, "user_sync_failures").await;
        assert_eq!(stored, i64::try_from(failures).unwrap(), "each failure once");
        let bytes = bytes_a_row(database, "user_sync_failures").await;
        let pid = worker.id().unwrap();
        let (cpu, rss) = (process::cpu(pid).as_secs_f64(), process::peak_rss_mb(pid));
        println!("      {stored} failures, {bytes} bytes each, {cpu:.1} s of CPU, {rss:.0} MB");
        figures["stored"] = stored.into();
        figures["bytes_a_row"] = bytes.into();
        figures["worker_cpu_s"] = cpu.into();
        figures["peak_rss_mb"] = rss.into();
    }
    worker.kill().await.unwrap();
    figures
}

/// A message as the lifecycle program packs it: all that is counted, and details of one in sixteen.
fn failed(users: usize, first: usize) -> Event<'static> {
    let time = Timestamp::now();
    let failure = |number: usize| {
        let user = (first + number) % users;
        let is_detailed = number.is_multiple_of(16);
        Failure {
            id: EventId::of_record(time, fastrand::u128(..)),
            sub: Some(Uuid::from_u128(user as u128 + 1)),
            ip: is_detailed.then(|| format!("198.51.100.{}", number % 250).into()),
            user_agent: is_detailed.then(|| "Mozilla/5.0 (X11; Linux x86_64)".into()),
            city: None,
            country: None,
        }
    };
    let group = FailureGroup {
        client_id: Some("1example23456789".into()),
        reason: Some("wrong_password".into()),
        network: Some("198.51.100.0/24".into()),
        failures: (0..FAILURES_A_MESSAGE).map(failure).collect(),
    };
    let data = Failures { reported_by: Reporter::CloudTrail, groups: vec![group] };
    let id = EventId::of_record(time, fastrand::u128(..));
    Event::Failures(FailuresEvent { id, user_pool_id: POOL.into(), data })
}

async fn on_both(database: &Database, endpoint: &str) -> tokio::process::Child {
    let worker = worker(database, endpoint)
        .env("USER_SYNC_CONTEXT_QUEUE_URL", format!("{endpoint}/records"))
        .env("USER_SYNC_CONTEXT_DLQ_URL", format!("{endpoint}/records-dlq"))
        .spawn()
        .unwrap();
    sleep(Duration::from_secs(1)).await;
    worker
}

async fn pace(started: Instant, per_second: u64, number: usize) {
    let due = started + Duration::from_nanos(1_000_000_000 / per_second * number as u64);
    if due > Instant::now() + Duration::from_millis(1) {
        sleep_until(due).await;
    }
}

/// The ages of all messages but the first ones, once all are deleted.
async fn ages(queue: &Queue, first: usize, seconds: u64) -> Vec<f64> {
    let started = Instant::now();
    loop {
        if let Some(mut ages) = queue.ages(first) {
            ages.sort_unstable_by(f64::total_cmp);
            return ages;
        }
        let (sent, deleted) = queue.progress();
        let limit = Duration::from_secs(60 + seconds * 10);
        assert!(started.elapsed() < limit, "the worker does not keep up: {deleted} of {sent}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn shown(what: &str, ages: &[f64]) -> Value {
    let ms = |share| percentile(ages, share) * 1e3;
    println!("      {what}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", ms(0.5), ms(0.99), ms(1.0));
    json!({ "p50_ms": ms(0.5), "p99_ms": ms(0.99), "max_ms": ms(1.0) })
}
