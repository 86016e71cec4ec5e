//! How old a login is when the row shows it, at a steady rate: the worker on a queue that logins keep coming to.

use std::process::Stdio;
use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep, sleep_until};

use crate::process;
use crate::queue::Queues;
use crate::sample::percentile;
use crate::server::{self, Database, Server, SharedBuffers};
use user_sync_test_support::binaries;

/// The worker on both queues.
pub(crate) fn worker(database: &Database, endpoint: &str) -> Command {
    let mut worker = Command::new(binaries::user_sync());
    worker
        .arg("worker")
        .env("DATABASE_URL", &database.consumer_url)
        .env("USER_SYNC_QUEUE_URL", format!("{endpoint}/queue"))
        .env("USER_SYNC_DLQ_URL", format!("{endpoint}/dlq"))
        .env("AWS_ENDPOINT_URL", endpoint)
        .envs([("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    worker
}

pub(crate) async fn run(users: u64, rates: &[u64], quick: bool) -> Value {
    let seconds: u64 = if quick { 5 } else { 30 };
    let server = Server::start(SharedBuffers::Quarter).await;
    let settings = server.settings().await;
    let database = server.database("freshness", users).await;
    let mut measured = Vec::new();
    for &rate in rates {
        database.reset().await;
        let count = usize::try_from(rate * (seconds + 2)).unwrap();
        let warm_up = usize::try_from(rate * 2).unwrap();
        let users = database.some(count).await;
        let (queues, endpoint) = Queues::start().await;
        let queue = &queues.events;
        let mut worker = worker(&database, &endpoint).spawn().unwrap();
        sleep(Duration::from_secs(1)).await;
        let (_, before) = database.counts().await;
        let started = Instant::now();
        for (number, who) in users.iter().enumerate() {
            let due = started + Duration::from_nanos(1_000_000_000 / rate * number as u64);
            if due > Instant::now() + Duration::from_millis(1) {
                sleep_until(due).await;
            }
            queue.send(Event::User(server::event_at(who, Timestamp::now(), Kind::Authenticated)).encode());
        }
        let offered = users.len() as f64 / started.elapsed().as_secs_f64();
        let mut ages = loop {
            match queue.ages(warm_up) {
                Some(ages) => break ages,
                None => sleep(Duration::from_millis(100)).await,
            }
            assert!(started.elapsed() < Duration::from_secs(seconds * 10), "the worker does not keep up");
        };
        let (_, after) = database.counts().await;
        assert_eq!(after - before, i64::try_from(count).unwrap(), "logins counted");
        let pid = worker.id().unwrap();
        let (cpu, rss) = (process::cpu(pid).as_secs_f64(), process::peak_rss_mb(pid));
        worker.kill().await.unwrap();
        ages.sort_unstable_by(f64::total_cmp);
        let ms = |share| percentile(&ages, share) * 1e3;
        println!(
            "   {rate:>5}/s offered ({offered:.0}): p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, {cpu:.1} s of CPU, {rss:.0} MB",
            ms(0.5),
            ms(0.99),
            ms(1.0)
        );
        measured.push(json!({
            "offered_per_second": rate, "reached_per_second": offered, "seconds": seconds,
            "p50_ms": ms(0.5), "p99_ms": ms(0.99), "max_ms": ms(1.0), "worker_cpu_s": cpu, "peak_rss_mb": rss,
        }));
    }
    server.drop_database(database).await;
    server.stop().await;
    json!({ "users": users, "postgresql": settings, "rates": measured })
}
