//! How soon the console answers beside a large database: `cargo bench --bench console -- USERS EVENTS`.
//!
//! Fills a database of its own, and asks each page by plain HTTP, one by one. A time is that of a whole answer,
//! so that the first byte came no later.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::time::{Duration, Instant};

use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Progress, Stack, StackOptions};
use sqlx::{AssertSqlSafe, Executor as _};
use user_sync_test_support::console::Console;

const FILL: &str = include_str!("console.sql");

/// As often is each page asked.
const TIMES: usize = 200;

/// User 77, who has one event of 400, and one of the many.
const BUSY: &str = "/users/28dd2c79-55ce-9264-5624-0b2ff0100bde";
const QUIET: &str = "/users/e4da3b7f-bbce-2345-d777-2b0674a318d5";

const PAGES: [&str; 22] = [
    "/now",
    "/now.json",
    "/users",
    "/users?status=confirmed",
    "/users?status=unconfirmed",
    "/users?status=disabled",
    "/users?status=deleted",
    "/users?seen=24h",
    "/users?seen=7d",
    "/users?seen=30d",
    "/users?seen=over-90d",
    "/users?seen=never",
    "/users?group=group+3",
    "/analytics?range=28d",
    "/analytics?range=13m",
    "/analytics/growth.csv?range=13m",
    "/dead-letters",
    "/drift",
    "/audit",
    "/audit.csv",
    "/tasks",
    "/help",
];

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let (users, events) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(2_000_000));
    let postgres = PostgresOptions { source: PostgresSource::from_env(), durable: false };
    let stack = Stack::start(StackOptions { postgres, progress: Progress::Lines }).await.unwrap();
    let deployment = Deployment::create(&stack).await.unwrap();
    let started = Instant::now();
    fill(&deployment, users, events).await;
    println!("filled: {users} users, {events} events in {:.0?}", started.elapsed());
    let console = Console::start(&deployment, &[]).await;
    for page in PAGES.into_iter().chain([QUIET, BUSY]) {
        measure(&console, page).await;
    }
    drop(console);
    deployment.remove().await.unwrap();
    stack.stop().await.unwrap();
}

/// Fills the tables, and lets the program do what it does each hour and each day: indexes of months that are over, and
/// the days' numbers.
async fn fill(deployment: &Deployment, users: u64, events: u64) {
    let pool = local::connect(&deployment.owner_url, 1).await.unwrap();
    let apart = 364 * 86_400_000 / events;
    let fill = FILL
        .replace("$USERS", &users.to_string())
        .replace("$EVENTS", &events.to_string())
        .replace("$APART", &apart.to_string());
    pool.execute(sqlx::raw_sql(AssertSqlSafe(fill))).await.unwrap();
    pool.execute("vacuum analyze").await.unwrap();
    run(deployment, &["maintain"]);
    run(deployment, &["report", "refresh"]);
    pool.execute("analyze").await.unwrap();
}

fn run(deployment: &Deployment, arguments: &[&str]) {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_user-sync"));
    program.args(arguments).envs(deployment.environment());
    program.env("DATABASE_URL", &deployment.operator_url).stdout(std::process::Stdio::null());
    assert!(program.status().unwrap().success(), "{arguments:?}");
}

async fn measure(console: &Console, page: &str) {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        let answer = console.get(page).await;
        took.push(started.elapsed());
        assert_eq!(answer.status, 200, "{page}");
    }
    let first = took[0];
    took.sort();
    let at = |percent: usize| took[(TIMES * percent / 100).min(TIMES - 1)];
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{page:<48} first {:>6.1}  p50 {:>6.1}  p95 {:>6.1}  max {:>6.1} ms",
        milliseconds(first),
        milliseconds(at(50)),
        milliseconds(at(95)),
        milliseconds(at(100))
    );
}
