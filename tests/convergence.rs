//! The rows are a function of the set of events: histories in random and in all orders, in random batches, with
//! duplicates, by several consumers at once, compared with the reference model row for row, column for column.
//!
//! `USER_SYNC_TEST_CASES` sets how many random histories there are, `USER_SYNC_TEST_SECONDS` how long the
//! consumers of the soak go on.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cognito_user_sync::apply::{Applier, Outcome, referral_code};
use cognito_user_sync_triggers::event::{Event, Kind};
use futures::future::join_all;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Handle;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::model::{Differences, Tables};
use crate::support::TestDatabase;
use crate::support::events::{at, confirmed, event, login, sub};
use crate::support::histories::{Case, case, told_of};

/// Users who share few addresses, so that they meet.
const USERS: u128 = 6;
const HISTORIES: u64 = 60;
const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1";

fn history(random: &mut fastrand::Rng) -> Vec<Event> {
    (0..random.usize(8..40))
        .map(|_| {
            let kind = match random.u8(0..20) {
                0 => Kind::Deleted,
                1..=4 => Kind::Confirmed,
                5 => Kind::PasswordReset,
                6..=8 => Kind::Snapshot,
                _ => Kind::Authenticated,
            };
            // Few moments, so that ties are common.
            let mut event =
                event(kind, random.u128(0..USERS), at(random.u64(0..12))).random_part(random.u128(..));
            if kind != Kind::Deleted {
                for (name, flag) in [("email", "email_verified"), ("phone_number", "phone_number_verified")] {
                    if random.bool() {
                        event = event.attributes(&[(
                            name,
                            ["a@x.test", "A@x.test", "b@x.test", ""][random.usize(0..4)],
                        )]);
                    }
                    if random.bool() {
                        event = event.attributes(&[(flag, ["true", "false"][random.usize(0..2)])]);
                    }
                }
                for name in ["name", "given_name", "locale", "custom:x"] {
                    if random.u8(0..3) == 0 {
                        event = event.attributes(&[(name, ["Ada", "de-AT", "en", ""][random.usize(0..4)])]);
                    }
                }
            }
            let referrer = referral_code(sub(random.u128(0..USERS)));
            event
                .with(|data| {
                    data.federated = kind == Kind::Confirmed && random.bool();
                    data.enabled = (kind == Kind::Snapshot && random.bool()).then(|| random.bool());
                    data.status = ["CONFIRMED", "FORCE_CHANGE_PASSWORD", "EXTERNAL_PROVIDER"]
                        .get(random.usize(0..6))
                        .map(|s| (*s).into());
                    data.client.referral_code = random.bool().then_some(referrer);
                    data.client.ip = ["192.0.2.1", "2001:db8::1", "nonsense"]
                        .get(random.usize(0..6))
                        .map(|ip| (*ip).into());
                    data.client.user_agent =
                        [IPAD, "curl/8.4.0"].get(random.usize(0..4)).map(|s| (*s).into());
                    data.created_at = (kind == Kind::Snapshot && random.bool()).then(|| at(random.u64(0..4)));
                })
                .build()
        })
        .collect()
}

/// Applies the history in batches, shuffled and with duplicates, by up to four consumers at once.
async fn apply_somehow(database: &TestDatabase, history: &[Event], random: &mut fastrand::Rng) {
    let mut deliveries: Vec<Event> = history.to_vec();
    for _ in 0..random.usize(0..history.len()) {
        deliveries.push(random.choice(history).unwrap().clone());
/// A number from the environment.
fn setting(variable: &str, default: u32) -> u32 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}: {text:?} is no number")),
        Err(_) => default,
    }
}

/// Takes batches until there are none left, and counts the events that were applied for the first time.
///
/// Nothing may end but applied, or as a duplicate.
async fn consume(applier: &Applier, batches: &Mutex<VecDeque<Vec<String>>>) -> Result<usize, String> {
    let mut applied = 0;
    loop {
        let Some(batch) = batches.lock().unwrap().pop_front() else { return Ok(applied) };
        for outcome in applier.apply(&batch).await {
            match outcome {
                Outcome::Applied => applied += 1,
                Outcome::Duplicate => {}
                Outcome::Rejected(_) | Outcome::Retry(_) => return Err(format!("{outcome:?}")),
            }
        }
    }
}

/// Applies batches by so many consumers at once; fails where an event does not count exactly once.
async fn deliver(
    applier: &Applier,
    batches: Vec<Vec<String>>,
    consumers: usize,
    events: usize,
) -> Result<(), String> {
    let batches = Mutex::new(batches.into());
    let consumed = join_all((0..consumers).map(|_| consume(applier, &batches))).await;
    let applied: usize = consumed.into_iter().sum::<Result<_, _>>()?;
    if applied == events { Ok(()) } else { Err(format!("{applied} events were applied, of {events}")) }
}

/// The events as their messages say them.
fn decoded(events: &[Event]) -> Vec<Event> {
    events.iter().map(|event| Event::decode(&event.encode()).unwrap()).collect()
}

async fn compare(database: &TestDatabase, expected: &Tables) -> Result<(), Differences> {
    Tables::actual(database.rows().await).must_be(expected)
}

async fn empty(database: &TestDatabase) {
    // Not `truncate`, which costs a file of every partition.
    for table in ["user_claims", "users", "user_events"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table}")))
            .execute(&database.owner)
            .await
            .unwrap();
    }
}

async fn check(database: &TestDatabase, case: &Case) -> Result<(), String> {
    let events = decoded(&case.history.0);
    let expected = Tables::expected(&events);
    for (number, way) in case.ways.iter().enumerate() {
        empty(database).await;
        let delivered = deliver(&database.applier, way.batches(&case.history), way.consumers, events.len());
        delivered.await.map_err(|error| format!("way {number}: {error}"))?;
        let compared = compare(database, &expected).await;
        compared.map_err(|differences| format!("way {number}: {differences:?}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_history_in_any_order_gives_the_rows_of_the_model() {
    let database = TestDatabase::create().await;
    let cases = setting("USER_SYNC_TEST_CASES", 100);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let handle = Handle::current();
    let started = Instant::now();
    let result = tokio::task::block_in_place(|| {
        runner.run(&case(), |case| handle.block_on(check(&database, &case)).map_err(TestCaseError::fail))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    eprintln!("{cases} histories, each in 3 ways, in {:.1?}", started.elapsed());
}
