//! The consumer is killed (SIGKILL) at every step, by seeds, and the numbers are exact all the same.
//!
//! `make crash SEEDS=10000` runs more. Several seeds share a queue and a database: what one left half done,
//! the next ones meet. After each group the queue is drained and everything is compared.

use std::process::Stdio;

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync_triggers::event::Event;

use crate::model::Tables;
use crate::support::events::random_events;
use crate::support::pooler::{Kind, Pooler};
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::{TestDatabase, binaries, dead_letters, deployment, send};

const SEEDS_IN_A_GROUP: u64 = 25;
const USERS: u64 = 7;

/// The steps of a delivery, and the moment on the wire that marks each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    AfterReceive,
    AfterLedgerInsert,
    BeforeCommit,
    AfterCommit,
    BeforeDelete,
}

const STEPS: [Step; 5] =
    [Step::AfterReceive, Step::AfterLedgerInsert, Step::BeforeCommit, Step::AfterCommit, Step::BeforeDelete];

impl Step {
    /// The trap, and whether it is set before the database (or before SQS).
    fn trap(self, nth: u32) -> (bool, Trap) {
        let trap = |speaker, words, pass_on| Trap {
            speaker,
            words,
            nth,
            repeats: false,
            action: Action::Tell { pass_on },
        };
        match self {
            Self::AfterReceive => (false, trap(Speaker::Server, "ReceiptHandle", true)),
            // PostgreSQL's completion of the insert; the second and third are of skeletons and claims.
            Self::AfterLedgerInsert => (true, trap(Speaker::Server, "INSERT 0 ", true)),
            Self::BeforeCommit => (true, trap(Speaker::Program, "COMMIT", false)),
            Self::AfterCommit => (true, trap(Speaker::Server, "COMMIT", false)),
            Self::BeforeDelete => (false, trap(Speaker::Program, "DeleteMessageBatch", false)),
        }
    }
}

/// Runs a worker until the trap springs, and kills it there; or until it has drained the queue.
async fn run_until_killed(deployment: &Deployment, consumer_url: &str, step: Step, nth: u32) -> bool {
    let (before_database, trap) = step.trap(nth);
    let (_, address) = consumer_url.rsplit_once('@').unwrap();
    let postgres = address.split('/').next().unwrap().parse().unwrap();
    let mut database = Proxy::start(postgres, before_database.then_some(trap)).await;
    let mut queue = Proxy::in_front_of(&deployment.endpoint, (!before_database).then_some(trap)).await;
    let url = database.through(consumer_url);
    let endpoint = queue.through(&deployment.endpoint);
    let mut worker = tokio::process::Command::new(binaries::user_sync())
        .args(["worker", "--until-empty"])
        .env_clear()
        .envs(deployment.environment())
        .env("DATABASE_URL", url)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("USER_SYNC_BATCH_SIZE", "10")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let killed = tokio::select! {
        _ = worker.wait() => None,
        sprung = database.sprung.recv() => sprung,
        sprung = queue.sprung.recv() => sprung,
    };
    let was_killed = killed.is_some();
    if was_killed {
        worker.kill().await.unwrap();
    }
    // Only now the conversation ends: no other end of it could have told the worker anything.
    drop(killed);
    was_killed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_killed_at_any_step_loses_nothing_and_counts_nothing_twice() {
    let seeds = std::env::var("USER_SYNC_TEST_CRASH_SEEDS").map_or(200, |seeds| seeds.parse().unwrap());
    kill_by_seeds(seeds, None).await;
}

/// The pooler stands between the trap and the server: what the worker left half done is the pooler's to end.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_behind_a_pooler_in_transaction_mode() {
    kill_by_seeds(50, Some(Kind::TransactionIgnoring)).await;
}

async fn kill_by_seeds(seeds: u64, pooler: Option<Kind>) {
    let mut kills = [0_u32; STEPS.len()];
    for group in 0..seeds.div_ceil(SEEDS_IN_A_GROUP) {
        let deployment = deployment().await;
        // What a killed worker had received comes back soon.
        hide_for(&deployment, 1).await;
        let pooler = match pooler {
            Some(kind) => Some(Pooler::start(kind, &deployment.consumer_url).await),
            None => None,
        };
        let url = pooler.as_ref().map_or(deployment.consumer_url.as_str(), Pooler::url);
        let mut sent = Vec::new();
        for seed in group * SEEDS_IN_A_GROUP..seeds.min((group + 1) * SEEDS_IN_A_GROUP) {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = random.u64(5..25);
            let events = random_events(&mut random, count, USERS, 4);
            send(&deployment, &events.iter().map(Event::encode).collect::<Vec<_>>()).await;
            sent.extend(events);
            let step = random.usize(0..STEPS.len());
            let killed = run_until_killed(&deployment, url, STEPS[step], random.u32(1..=3)).await;
            kills[step] += u32::from(killed);
        }
        check(deployment, &sent, group).await;
    }
    eprintln!("{seeds} seeds, killed at {STEPS:?}: {kills:?}");
    assert!(kills.iter().all(|kills| *kills > 0), "a step was never met: {kills:?}");
}

async fn hide_for(deployment: &Deployment, seconds: u32) {
    let request = deployment.client().set_queue_attributes().queue_url(&deployment.queue_url);
    let name = aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout;
    request.attributes(name, seconds.to_string()).send().await.unwrap();
}

/// Drains the queue and compares every row with the reference model.
async fn check(deployment: Deployment, sent: &[Event<'static>], group: u64) {
    // Longer than the last batch takes, which nobody interrupts.
    hide_for(&deployment, 30).await;
    let worker = crate::support::conformance::Adapter::Worker.start(&deployment, &[]).await;
    worker.drained(&deployment).await;
    worker.end().await;
    assert_eq!(dead_letters(&deployment).await, [], "group {group}");
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.count("user_events").await, i64::try_from(sent.len()).unwrap(), "group {group}");
    Tables::actual(database.rows().await).must_be(&Tables::expected(sent)).unwrap();
    database.deployment.remove().await.ok();
}
