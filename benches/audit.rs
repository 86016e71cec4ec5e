//! How long `user-sync audit` takes over LOGINS logins, how much memory, and whether it finds the TAKEN that were taken away on
//! either side: `cargo bench --bench audit -- LOGINS TAKEN`.
//!
//! The logins and their records are made in a database of its own; then the program runs as an operator would.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Progress, Stack, StackOptions};
use serde_json::Value;
use time::OffsetDateTime;
use user_sync_test_support::sign_ins::{self, Density, Taken};
use uuid::Uuid;

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let (logins, taken) = (numbers.next().unwrap_or(1_000_000), numbers.next().unwrap_or(1_000));
    let postgres = PostgresOptions { source: PostgresSource::from_env(), durable: true };
    let stack = Stack::start(StackOptions { postgres, progress: Progress::Lines }).await.unwrap();
    for density in [Density::Sparse, Density::Dense] {
        let deployment = Deployment::create(&stack).await.unwrap();
        let owner = local::connect(&deployment.owner_url, 2).await.unwrap();
        let started = Instant::now();
        let away = sign_ins::fill(&owner, density, logins, taken).await;
        let version: String = sqlx::query_scalar("select version()").fetch_one(&owner).await.unwrap();
        let version = version.split(" on ").next().unwrap_or_default().to_owned();
        println!(
            "{density:?}: {logins} logins, {taken} taken away on either side, in {:.1?}; {version}",
            started.elapsed()
        );
        check(density, &run(&deployment.consumer_url), &away);
        owner.close().await;
        deployment.remove().await.unwrap();
    }
    stack.stop().await.unwrap();
}

/// Whether what is named is what was taken away; in a dense history, as many, and each of them among the candidates.
fn check(density: Density, document: &Value, away: &Taken) {
    let one_sided = document["one_sided"].as_array().unwrap();
    for (side, away) in [("success", &away.records), ("login", &away.logins)] {
        let id = |one: &Value| one["id"].as_str().unwrap().parse::<Uuid>().unwrap();
        let of_side = || one_sided.iter().filter(|one| one["side"] == side);
        let named: BTreeSet<Uuid> = of_side().map(id).collect();
        assert_eq!((named.len(), of_side().count()), (away.len(), away.len()), "{side}");
        let instead = of_side().flat_map(|one| one["instead"].as_array().unwrap());
        let candidates: BTreeSet<Uuid> = instead.map(id).chain(named.iter().copied()).collect();
        assert!(away.is_subset(&candidates), "{side}");
        if density == Density::Sparse {
            assert!(&named == away && candidates == named, "{side}");
        }
        let right = named.intersection(away).count();
        println!(
            "{side}: {} named, {right} of them those that were taken away; {} candidates",
            named.len(),
            candidates.len()
        );
    }
}

/// Runs the program over the whole history; prints its time and its memory.
fn run(url: &str) -> Value {
    let today = OffsetDateTime::now_utc().date();
    let day = |back: i64| (today - time::Duration::days(back)).to_string();
    let started = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_user-sync"))
        .args(["audit", "--list", "--json", "--from", &day(15), "--to", &day(2)])
        .env("DATABASE_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = program.stdout.take().unwrap();
    // Read meanwhile: a pipe that is full would stop it.
    let said = std::thread::spawn(move || std::io::read_to_string(&mut output).unwrap());
    let mut peak = String::new();
    let status = loop {
        if let Ok(process) = std::fs::read_to_string(format!("/proc/{}/status", program.id()))
            && let Some(line) = process.lines().find(|line| line.starts_with("VmHWM"))
        {
            peak = line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        }
        match program.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    println!("audit: {:.1?}, peak memory {peak}", started.elapsed());
    assert_eq!(status.code(), Some(1), "something is unaccounted for");
    serde_json::from_str(&said.join().unwrap()).unwrap()
}
