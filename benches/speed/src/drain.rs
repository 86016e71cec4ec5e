//! The consumer beside what drains the same queue otherwise: batches through Lambda's Runtime API into PostgreSQL.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cognito_user_sync_triggers::event::UserEvent;
use serde_json::{Value, json};

use crate::sample::Spread;
use crate::server::{self, Database, Server, SharedBuffers};
use crate::{limit, process};
use user_sync_test_support::binaries;
use user_sync_test_support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};

pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Who drains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contestant {
    UserSync,
    Limit,
    PythonRows,
    PythonUnnest,
    NodeRows,
    NodeUnnest,
}

impl Contestant {
    pub(crate) const ALL: [Self; 6] =
        [Self::UserSync, Self::Limit, Self::PythonRows, Self::PythonUnnest, Self::NodeRows, Self::NodeUnnest];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UserSync => "user-sync-consumer",
            Self::Limit => "the same SQL by pgbench",
            Self::PythonRows => "Python, Powertools, a row at a time",
            Self::PythonUnnest => "Python, psycopg, unnest",
            Self::NodeRows => "Node, pg, a row at a time",
            Self::NodeUnnest => "Node, pg, unnest",
        }
    }

    /// More events than it drains in the time of a run.
    fn events(self, batch: usize, seconds: f64) -> usize {
        let per_second = match (self, batch) {
            (Self::PythonRows | Self::NodeRows, _) => 6_000.0,
            (_, 1) => 9_000.0,
            (_, 10) => 40_000.0,
            (Self::PythonUnnest | Self::NodeUnnest, _) => 45_000.0,
            _ => 90_000.0,
        };
        let events = (per_second * seconds) as usize;
        events.div_ceil(batch).max(8) * batch
    }
}

/// What one run came to.
pub(crate) struct Drained {
    pub(crate) rate: f64,
    /// Microseconds of the drainers' processor time an event.
    pub(crate) cpu: f64,
    pub(crate) peak_rss_mb: f64,
    /// Milliseconds of processor time from the start of a process until it asks for its first batch.
    pub(crate) start_cpu_ms: f64,
}

/// Starts a contestant's process: a wrapper that becomes it, since what runs on Lambda takes no arguments.
pub(crate) fn program(contestant: Contestant, peers: &Path) -> PathBuf {
    let module = match contestant {
        // Another build of it, to compare two of them or to look into one with its symbols.
        Contestant::UserSync | Contestant::Limit => {
            return std::env::var_os("USER_SYNC_BENCH_CONSUMER")
                .map_or_else(binaries::consumer, PathBuf::from);
        }
        Contestant::PythonRows => "consumer_rows",
        Contestant::PythonUnnest => "consumer_unnest",
        Contestant::NodeRows => "consumer-rows",
        Contestant::NodeUnnest => "consumer-unnest",
    };
    let is_python = matches!(contestant, Contestant::PythonRows | Contestant::PythonUnnest);
    peer(module, is_python, peers)
}

/// A handler behind its language's runtime client, as AWS's own runtimes run it.
pub(crate) fn peer(module: &str, is_python: bool, peers: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers");
    let peers = std::path::absolute(peers).unwrap();
    let wrapper = peers.join(format!("{module}-{}.sh", if is_python { "python" } else { "node" }));
    let run = if is_python {
        let folder = std::fs::canonicalize(sources.join("python")).unwrap();
        format!(
            "cd {folder} && PYTHONPATH={folder} exec {peers}/python/bin/python -B -m awslambdaric {module}.handler",
            folder = folder.display(),
            peers = peers.display()
        )
    } else {
        // Beside its packages, where Node looks for them.
        let file = format!("{module}.mjs");
        std::fs::copy(sources.join("node").join(&file), peers.join("node").join(&file)).unwrap();
        format!(
            "cd {peers}/node && exec node node_modules/aws-lambda-ric/bin/index.mjs {module}.handler",
            peers = peers.display()
        )
    };
    std::fs::write(&wrapper, format!("#!/bin/sh\n{run}\n")).unwrap();
    std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).unwrap();
    wrapper
}

/// Who drains, and how much at once.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    /// Whether it connects as a member of `user_sync_consumer`.
    pub(crate) is_ours: bool,
    pub(crate) batch: usize,
    pub(crate) processes: usize,
    pub(crate) seconds: f64,
}

/// Hands batches of fresh events to so many processes for some seconds, and sees that each event counted once.
pub(crate) async fn drain(database: &Database, run: Run<'_>, batches: Vec<Vec<u8>>) -> Drained {
    let (_, before) = database.counts().await;
    let (drained, events) = hand_over(database, run, batches).await;
    let (ledger, logins) = database.counts().await;
    let events = i64::try_from(events).unwrap();
    assert_eq!((ledger, logins - before), (events, events), "events in the ledger, logins counted");
    drained
}

/// Hands batches to so many processes for some seconds, and says how many events those were, with those that warmed up.
pub(crate) async fn hand_over(database: &Database, run: Run<'_>, batches: Vec<Vec<u8>>) -> (Drained, usize) {
    let Run { program, is_ours, batch, processes, seconds } = run;
    let url = if is_ours { &database.consumer_url } else { &database.owner_url };
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("USER_SYNC_QUEUE_URL", "http://127.0.0.1:9/111122223333/user-sync"),
        ("USER_SYNC_DLQ_URL", "http://127.0.0.1:9/dlq"),
        ("USER_SYNC_CONTEXT_QUEUE_URL", "http://127.0.0.1:9/111122223333/records"),
        ("USER_SYNC_CONTEXT_DLQ_URL", "http://127.0.0.1:9/111122223333/records-dlq"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ];
    let mut running = Vec::new();
    for _ in 0..processes {
        let api = LambdaRuntimeApi::start().await;
        let function = Function::spawn(program, &api, &environment);
        api.wait_until_ready(PATIENCE).await;
        running.push((api, function));
    }
    let start_cpu: Duration = running.iter().map(|(_, function)| process::cpu(function.pid())).sum();
    let batches = Mutex::new(VecDeque::from(batches));
    let next = || batches.lock().unwrap().pop_front();
    // Connections stand and statements are prepared, as on any warm function.
    let mut done = 0;
    for (api, _) in &running {
        for _ in 0..2 {
            assert!(invoke(api, next().unwrap()).await, "a batch failed");
            done += batch;
        }
    }
    let cpu_before: Duration = running.iter().map(|(_, function)| process::cpu(function.pid())).sum();
    let started = Instant::now();
    let work = running.iter().map(|(api, _)| async {
        let mut count = 0;
        while started.elapsed().as_secs_f64() < seconds
            && let Some(payload) = next()
        {
            assert!(invoke(api, payload).await, "a batch failed");
            count += batch;
        }
        count
    });
    let drained: usize = futures::future::join_all(work).await.into_iter().sum();
    let took = started.elapsed().as_secs_f64();
    let cpu: Duration = running.iter().map(|(_, function)| process::cpu(function.pid())).sum();
    let rss = running.iter().map(|(_, function)| process::peak_rss_mb(function.pid())).fold(0.0, f64::max);
    let figures = Drained {
        rate: drained as f64 / took,
        cpu: (cpu - cpu_before).as_secs_f64() * 1e6 / drained as f64,
        peak_rss_mb: rss,
        start_cpu_ms: start_cpu.as_secs_f64() * 1e3 / processes as f64,
    };
    (figures, drained + done)
}

/// Whether every message of the batch was taken.
pub(crate) async fn invoke(api: &LambdaRuntimeApi, payload: Vec<u8>) -> bool {
    match api.invoke(payload, PATIENCE).await {
        Invocation::Response { body, .. } => {
            let answer: Value = serde_json::from_slice(&body).unwrap();
            let failed = answer["batchItemFailures"].as_array().is_some_and(|failed| !failed.is_empty());
            if failed {
                println!("   refused: {answer}");
            }
            !failed
        }
        other @ (Invocation::Error { .. } | Invocation::TimedOut) => {
            println!("   {other:?}");
            false
        }
    }
}

/// Fresh logins of users at random, who tell what their rows hold.
pub(crate) async fn logins(database: &Database, events: usize) -> Vec<UserEvent<'static>> {
    database.some(events).await.iter().enumerate().map(|(number, who)| server::login(who, number)).collect()
}

/// The same, but each tells of a new given name.
async fn renames(database: &Database, events: usize) -> Vec<UserEvent<'static>> {
    let mut logins = logins(database, events).await;
    for login in &mut logins {
        let name = format!("Ada {:x}", fastrand::u32(..));
        login.data.attributes.insert("given_name".into(), name.into());
    }
    logins
}

pub(crate) fn payloads(events: &[UserEvent<'_>], batch: usize) -> Vec<Vec<u8>> {
    events.chunks_exact(batch).map(server::payload).collect()
}

/// Which cells are run.
pub(crate) struct Plan {
    pub(crate) users: u64,
    pub(crate) batches: Vec<usize>,
    pub(crate) processes: Vec<usize>,
    pub(crate) contestants: Vec<Contestant>,
    /// Whether each login tells of a new given name.
    pub(crate) renames: bool,
    pub(crate) runs: usize,
    pub(crate) seconds: f64,
}

pub(crate) async fn run(plan: &Plan, peers: &Path) -> Value {
    let server = Server::start(SharedBuffers::Quarter).await;
    let settings = server.settings().await;
    println!("   {settings}");
    let database = server.database("drain", plan.users).await;
    let programs: Vec<_> = plan.contestants.iter().map(|contestant| program(*contestant, peers)).collect();
    let mut cells = Vec::new();
    for &processes in &plan.processes {
        for &batch in &plan.batches {
            let mut figures = Vec::<Vec<Drained>>::new();
            figures.resize_with(plan.contestants.len(), Vec::new);
            for _ in 0..plan.runs {
                for (number, contestant) in plan.contestants.iter().enumerate() {
                    let count = contestant.events(batch, plan.seconds).max(batch * (processes * 3));
                    let events = match plan.renames {
                        true => renames(&database, count).await,
                        false => logins(&database, count).await,
                    };
                    let is_limit = *contestant == Contestant::Limit;
                    let payloads = if is_limit {
                        limit::prepare(&database, &events, batch).await;
                        Vec::new()
                    } else {
                        payloads(&events, batch)
                    };
                    drop(events);
                    database.reset().await;
                    let drained = if is_limit {
                        limit::drain(&database, count, batch, processes).await
                    } else {
                        let is_ours = *contestant == Contestant::UserSync;
                        let seconds = plan.seconds;
                        let run = Run { program: &programs[number], is_ours, batch, processes, seconds };
                        drain(&database, run, payloads).await
                    };
                    println!("      {:<38} {:>9.0} events/s", contestant.name(), drained.rate);
                    figures[number].push(drained);
                }
            }
            for (contestant, runs) in plan.contestants.iter().zip(&figures) {
                let of =
                    |figure: fn(&Drained) -> f64| Spread::of(&runs.iter().map(figure).collect::<Vec<_>>());
                let (rate, cpu, rss) = (of(|run| run.rate), of(|run| run.cpu), of(|run| run.peak_rss_mb));
                println!(
                    "   {batch:>6} x {processes}  {:<38} {:>9.0} events/s ({:.0} to {:.0})  {:>6.1} us CPU/event  {:>5.1} MB",
                    contestant.name(),
                    rate.median,
                    rate.min,
                    rate.max,
                    cpu.median,
                    rss.max
                );
                cells.push(json!({
                    "contestant": contestant.name(), "batch": batch, "processes": processes,
                    "events_per_second": rate, "cpu_us_per_event": cpu, "peak_rss_mb": rss,
                    "start_cpu_ms": of(|run| run.start_cpu_ms),
                }));
            }
        }
    }
    server.drop_database(database).await;
    server.stop().await;
    json!({ "users": plan.users, "postgresql": settings, "cells": cells })
}
