//! The consumer as the table grows, and where it is hardest: one user's events only, one address for everybody.

use cognito_user_sync_triggers::event::{Kind, UserEvent};
use serde_json::{Value, json};

use crate::drain::{Contestant, Drained, Run, drain, hand_over, logins, payloads, program};
use crate::sample::Spread;
use crate::server::{self, Database, Server, SharedBuffers, Who};
use user_sync_test_support::binaries;

const BATCH: usize = 1_000;
const PROCESSES: usize = 4;

/// Each table is measured in turn with one of so many users: half an hour lies between the smallest and the
/// largest, in which a machine that others share becomes slower or faster.
const REFERENCE: u64 = 1_000_000;

pub(crate) async fn run(sizes: &[u64], ledger: u64, quick: bool) -> Value {
    let (runs, seconds) = if quick { (2, 2.0) } else { (4, 4.0) };
    let server = Server::start(SharedBuffers::Most).await;
    let settings = server.settings().await;
    let reference = server.database("reference", REFERENCE).await;
    let mut database = server.database("growth", 0).await;
    let mut tables = Vec::new();
    for &users in sizes {
        database.fill(database.users, users, false).await;
        database.users = users;
        settle(&server, &[&reference, &database], SharedBuffers::Most).await;
        tables.push(table(&reference, &database, 0, runs, seconds).await);
    }
    if ledger > 0 {
        database.fill_ledger(ledger).await;
        settle(&server, &[&reference, &database], SharedBuffers::Most).await;
        tables.push(table(&reference, &database, ledger, runs, seconds).await);
    }
    // The same once more where the table does not fit into PostgreSQL's memory.
    settle(&server, &[&reference, &database], SharedBuffers::Quarter).await;
    let short = table(&reference, &database, ledger, runs, seconds).await;
    server.drop_database(database).await;
    settle(&server, &[&reference], SharedBuffers::Most).await;
    let hard = hardest(&reference, runs, seconds).await;
    server.drop_database(reference).await;
    server.stop().await;
    json!({
        "postgresql": settings, "batch": BATCH, "processes": PROCESSES, "reference_users": REFERENCE,
        "tables": tables, "short_of_memory": short, "hardest": hard,
    })
}

/// Starts PostgreSQL again, so that its memory holds what logins read and write and nothing of what filled the tables;
/// and where all of that fits, Linux's memory holds none of it, so that no run pays for making room.
async fn settle(server: &Server, databases: &[&Database], shared_buffers: SharedBuffers) {
    server.restart(shared_buffers).await;
    for database in databases {
        database.settle().await;
    }
    if let SharedBuffers::Most = shared_buffers {
        server::forget_files();
    }
}

async fn table(reference: &Database, database: &Database, ledger: u64, runs: usize, seconds: f64) -> Value {
    let before = database.updates().await;
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for number in 0..runs {
        // Each goes first as often as second.
        let (first, second) = if number % 2 == 0 { (reference, database) } else { (database, reference) };
        let (first, second) = (random(first, seconds).await, random(second, seconds).await);
        let (beside, rate) = if number % 2 == 0 { (first, second) } else { (second, first) };
        println!("      {rate:>7.0} beside {beside:>7.0} events/s");
        rates.push(rate);
        ratios.push(rate / beside);
    }
    let (rates, ratios) = (Spread::of(&rates), Spread::of(&ratios));
    let after = database.updates().await;
    let hot = (after.1 - before.1) as f64 / (after.0 - before.0) as f64;
    let (megabytes, shared_buffers) = database.memory().await;
    let huge_pages = server::has_huge_pages();
    println!(
        "   {:>9} users ({megabytes} MB, shared_buffers {shared_buffers}, huge pages {huge_pages}), {ledger:>9} ledger rows: {:>7.0} events/s, {:.2} of {REFERENCE} users', {:.2}% HOT",
        database.users,
        rates.median,
        ratios.median,
        hot * 100.0
    );
    json!({
        "users": database.users, "users_mb": megabytes, "shared_buffers": shared_buffers, "huge_pages": huge_pages,
        "ledger_rows": ledger, "events_per_second": rates, "over_reference": ratios, "hot_share": hot,
    })
}

async fn random(database: &Database, seconds: f64) -> f64 {
    once(database, seconds, async |events| logins(database, events).await).await
}

/// Logins of users at random beside logins of one user, in turn; then sign-ups with addresses of their own beside
/// sign-ups that all show the address that ten thousand others hold.
async fn hardest(database: &Database, runs: usize, seconds: f64) -> Value {
    let one = database.some(1).await.remove(0);
    let of_one = async |events| {
        (0..events).map(|number| server::login(&one, number)).collect::<Vec<UserEvent<'static>>>()
    };
    let (mut spread, mut hot) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        spread.push(random(database, seconds).await);
        hot.push(once(database, seconds, &of_one).await);
    }
    let (spread, hot) = (Spread::of(&spread), Spread::of(&hot));
    println!(
        "   spread {:.0}, one user {:.0} events/s: {:.2}",
        spread.median,
        hot.median,
        hot.median / spread.median
    );
    let known = redelivered(database, runs, seconds).await;
    println!("   logins that were there before {:.0} events/s", known.median);
    let own = sign_ups(database, runs, 50, None).await;
    database.fill(database.users, database.users + 10_000, true).await;
    let shared = sign_ups(database, runs, 10, Some("shared@example.com")).await;
    println!(
        "   sign-ups: own addresses {:.0}, one that 10,000 hold {:.0} events/s",
        own.median, shared.median
    );
    json!({ "spread": spread, "hot_user": hot, "redelivered": known, "sign_ups_own_address": own, "sign_ups_shared_address": shared })
}

fn run_of(program: &std::path::Path, seconds: f64) -> Run<'_> {
    Run { program, is_ours: true, batch: BATCH, processes: PROCESSES, seconds }
}

async fn once(
    database: &Database,
    seconds: f64,
    make: impl AsyncFn(usize) -> Vec<UserEvent<'static>>,
) -> f64 {
    let consumer = program(Contestant::UserSync, std::path::Path::new("."));
    let payloads = payloads(&make((120_000.0 * seconds) as usize).await, BATCH);
    database.empty().await;
    database.quiet().await;
    drain(database, run_of(&consumer, seconds), payloads).await.rate
}

/// Logins that were all applied before, as when an operator redrives what had arrived: none counts again.
async fn redelivered(database: &Database, runs: usize, seconds: f64) -> Spread {
    let consumer = program(Contestant::UserSync, std::path::Path::new("."));
    let events = logins(database, (60_000.0 * seconds) as usize).await;
    database.empty().await;
    let messages = payloads(&events, BATCH);
    let hand_over = async |seconds| {
        database.quiet().await;
        hand_over(database, run_of(&consumer, seconds), messages.clone()).await
    };
    let (_, applied) = hand_over(f64::INFINITY).await;
    assert_eq!(applied, events.len(), "all of them are applied first");
    let before = database.counts().await;
    let mut rates = Vec::new();
    for _ in 0..runs {
        let (Drained { rate, .. }, _) = hand_over(seconds).await;
        assert_eq!(database.counts().await, before, "events in the ledger, logins counted");
        rates.push(rate);
    }
    Spread::of(&rates)
}

/// The rate of some batches of a hundred sign-ups of new users, whose confirmations are no logins.
async fn sign_ups(database: &Database, runs: usize, batches: usize, address: Option<&str>) -> Spread {
    const SIZE: usize = 100;
    let environment = [
        ("DATABASE_URL", database.consumer_url.as_str()),
        ("USER_SYNC_QUEUE_URL", "http://127.0.0.1:9/queue"),
        ("USER_SYNC_DLQ_URL", "http://127.0.0.1:9/dlq"),
    ];
    let mut rates = Vec::new();
    for _ in 0..runs {
        // One more, to warm up.
        let new: Vec<UserEvent<'static>> = (0..SIZE * (batches + 1))
            .map(|number| {
                let sub = uuid::Uuid::from_u128(fastrand::u128(..));
                let email = address.map_or_else(|| format!("{sub}@example.com"), str::to_owned);
                server::event(&Who { sub, email }, number, Kind::Confirmed)
            })
            .collect();
        database.quiet().await;
        let api = user_sync_test_support::lambda_runtime_api::LambdaRuntimeApi::start().await;
        let _function = user_sync_test_support::lambda_runtime_api::Function::spawn(
            &binaries::consumer(),
            &api,
            &environment,
        );
        api.wait_until_ready(crate::drain::PATIENCE).await;
        let mut payloads = payloads(&new, SIZE).into_iter();
        assert!(crate::drain::invoke(&api, payloads.next().unwrap()).await);
        let started = std::time::Instant::now();
        for batch in payloads {
            assert!(crate::drain::invoke(&api, batch).await);
        }
        rates.push((SIZE * batches) as f64 / started.elapsed().as_secs_f64());
    }
    Spread::of(&rates)
}
