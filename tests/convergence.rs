//! The rows are a function of the set of events: histories in random and in all orders, in random batches, with
//! duplicates, by several consumers at once, compared with the reference model row for row, column for column.
//!
//! `USER_SYNC_TEST_CASES` sets how many random histories there are, `USER_SYNC_TEST_SECONDS` how long the
//! consumers of the soak go on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cognito_user_sync::store::outcome::{Outcome, RetryCause};
use cognito_user_sync::store::{Applier, referral_code};
use cognito_user_sync_triggers::event::{Data, Event, Kind, UserEvent};
use futures::future::join_all;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use uuid::Uuid;

use crate::model::{Differences, Tables, members};
use crate::support::events::{at, confirmed, event, login, sub};
use crate::support::histories::{Case, case, case_with_contexts, told_of, told_of_context_of};
use crate::support::{TestDatabase, apply_any, eventually, in_turn_for_rows};

/// A number from the environment.
fn setting(variable: &str, default: u32) -> u32 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}: {text:?} is no number")),
        Err(_) => default,
    }
}

/// Takes batches until there are none left, and counts the events that were applied. What another consumer was in the way
/// of comes again, as by the queue.
///
/// Nothing may end in any other way, but as a duplicate.
async fn consume(applier: &Applier, batches: &Mutex<VecDeque<Vec<String>>>) -> Result<usize, String> {
    let mut applied = 0;
    loop {
        let Some(batch) = batches.lock().unwrap().pop_front() else { return Ok(applied) };
        for (outcome, body) in apply_any(applier, &batch).await.into_iter().zip(batch) {
            match outcome {
                Outcome::Applied => applied += 1,
                Outcome::Duplicate => {}
                Outcome::Retry(RetryCause::Conflict) => batches.lock().unwrap().push_back(vec![body]),
                Outcome::Rejected(_) | Outcome::Obstructed(_) | Outcome::Retry(_) => {
                    return Err(format!("{outcome:?}"));
                }
            }
        }
    }
}

/// Applies batches by so many consumers at once; fails where an event does not count exactly once.
async fn deliver(
    applier: &Arc<Applier>,
    batches: Vec<Vec<String>>,
    consumers: usize,
    events: usize,
) -> Result<(), String> {
    let batches = Arc::new(Mutex::new(VecDeque::from(batches)));
    let consumer = |_| {
        let (applier, batches) = (Arc::clone(applier), Arc::clone(&batches));
        // Each in a task of its own, so that they are in each other's way as much as they can be.
        tokio::spawn(async move { consume(&applier, &batches).await }.with_current_subscriber())
    };
    let mut applied = 0;
    for consumed in join_all((0..consumers).map(consumer)).await {
        applied += consumed.unwrap()?;
    }
    if applied == events { Ok(()) } else { Err(format!("{applied} events were applied, of {events}")) }
}

/// The events as their messages say them.
fn decoded(events: &[Event<'static>]) -> Vec<Event<'static>> {
    events.iter().map(|event| Event::decode(&event.encode()).unwrap().into_owned()).collect()
}

async fn compare(database: &TestDatabase, expected: &Tables) -> Result<(), Differences> {
    Tables::actual(database.rows().await).must_be(expected)
}

pub(crate) async fn empty(database: &TestDatabase) {
    // Not `truncate`, which costs a file of every partition.
    for table in [
        "user_claims",
        "users",
        "user_events",
        "user_sync_memberships",
        "user_sync_groups",
        "user_sync_contexts",
        "user_sync_context_states",
    ] {
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
        let (actual, expected) = (database.members().await, members(&events));
        if actual != expected {
            return Err(format!("way {number}: the members are {actual:?}, and should be {expected:?}"));
        }
        let (actual, expected) = (logins(database).await, logins_of(&events));
        if actual != expected {
            return Err(format!("way {number}: {actual:?} logins are counted, and not {expected:?}"));
        }
    }
    Ok(())
}

/// How many logins each row counts.
async fn logins(database: &TestDatabase) -> BTreeMap<Uuid, i64> {
    let query = "select id, login_count from users where login_count > 0";
    sqlx::query_as(query).fetch_all(&database.owner).await.unwrap().into_iter().collect()
}

/// The logins of each user, of whom others may have recorded whatever they like.
fn logins_of(events: &[Event<'static>]) -> BTreeMap<Uuid, i64> {
    let mut logins = BTreeMap::<Uuid, (i64, bool)>::new();
    for event in events {
        let Event::User(event) = event else { continue };
        let (count, has_federated) = logins.entry(event.sub).or_default();
        *count += i64::from(event.kind == Kind::Authenticated);
        *has_federated |= event.kind == Kind::Confirmed && event.data.federated;
    }
    let count = |(user, (count, has_federated))| (user, count + i64::from(has_federated));
    logins.into_iter().map(count).filter(|(_, count)| *count > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_history_in_any_order_gives_the_rows_of_the_model() {
    let database = TestDatabase::create().await;
    let cases = setting("USER_SYNC_TEST_CASES", 60);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let handle = Handle::current();
    let started = Instant::now();
    let result = tokio::task::block_in_place(|| {
        runner.run(&case_with_contexts(), |case| {
            handle.block_on(check(&database, &case)).map_err(TestCaseError::fail)
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    eprintln!("{cases} histories, each in 3 ways, in {:.1?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_edits_stand_and_everything_else_follows_the_events() {
    const USERS: u128 = 6;
    let database = TestDatabase::create().await;
    let app = cognito_user_sync::dev::local::connect(&database.deployment.app_url, 1).await.unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..setting("USER_SYNC_TEST_CASES", 60) / 3 {
        let case = case().new_tree(&mut runner).unwrap().current();
        for way in &case.ways {
            empty(&database).await;
            // Everybody has a row from the start: an edit of nobody's row is none. The ids are no history's: of
            // the first byte the UUID keeps four bits, which are zero there.
            let first: Vec<Event<'static>> =
                (0..USERS).map(|user| login(user, at(0)).random_part((user + 1) << 120).build()).collect();
            assert!(database.apply(&first).await.iter().all(|outcome| *outcome == Outcome::Applied));
            let mut expected = Tables::expected(&decoded(&[&first[..], &case.history.0].concat()));
            for (number, batch) in way.batches(&case.history).into_iter().enumerate() {
                // Values that no event brings, so that each edit is a change whatever came before it.
                let user = sub(fastrand::u128(0..USERS));
                let (column, value) = fastrand::choice([
                    ("name", format!("edit {number}")),
                    ("first_name", format!("edit {number}")),
                    ("timezone", format!("edit {number}")),
                    ("language", format!("edit {number}")),
                    ("country_code", "ZZ".to_owned()),
                    ("date_of_birth", "1901-01-01".to_owned()),
                ])
                .unwrap();
                let edit = format!("update users set {column} = '{value}', bio = 'x' where id = $1");
                sqlx::query(sqlx::AssertSqlSafe(edit)).bind(user).execute(&app).await.unwrap();
                expected.edit(user, column, &value);
                expected.edit_own(user, "bio", "x");
                for outcome in database.applier.apply(&batch).await {
                    assert!(matches!(outcome, Outcome::Applied | Outcome::Duplicate), "{outcome:?}");
                }
            }
            let actual = Tables::actual(database.rows().await).without_edit_times();
            actual.must_be(&expected.without_edit_times()).unwrap();
        }
    }
}

/// Every order of seven things that each depend on others.
pub(crate) fn orders(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let starting_with = |first: usize| {
        let rest: Vec<usize> = of.iter().copied().filter(|other| *other != first).collect();
        orders(&rest).into_iter().map(move |rest| [vec![first], rest].concat())
    };
    of.iter().copied().flat_map(starting_with).collect()
}

/// A history in which each event changes what others mean. Its addresses are the user's own, but for one that
/// a rival wants as well.
fn hard_history(user: u128) -> [Event<'static>; 7] {
    let [email, other] = ["Jo", "other"].map(|name| format!("{name}.{user}@x.test"));
    let phone = format!("+999{user}");
    let id = |order: u128| order << 112 | user << 48;
    let with_code = |of: u128| {
        move |data: &mut Data<'static>| data.client.referral_code = Some(referral_code(sub(of)).into())
    };
    [
        // The sign-up, and a login, until the native one below arrives: of the same moment, and a smaller id.
        confirmed(user, at(2))
            .random_part(id(2))
            .attributes(&[("email", &email), ("email_verified", "true"), ("name", "Jo")])
            .with(with_code(LATE_REFERRER))
            .with(|data| {
                data.federated = true;
                data.status = Some("EXTERNAL_PROVIDER".into());
                data.client.ip = Some("192.0.2.1".into());
            })
            .build(),
        confirmed(user, at(2))
            .random_part(id(1))
            .attributes(&[("email", &email), ("given_name", "Jo"), ("locale", "de-AT")])
            .with(with_code(EARLY_REFERRER))
            .with(|data| {
                data.status = Some("CONFIRMED".into());
                data.user_name = Some("jo".into());
            })
            .build(),
        // The address leaves, and the status is stale.
        login(user, at(3))
            .random_part(id(0))
            .attributes(&[
                ("email", &other),
                ("email_verified", "true"),
                ("family_name", "Doe"),
                ("name", ""),
            ])
            .with(|data| {
                data.status = Some("FORCE_CHANGE_PASSWORD".into());
                data.client.ip = Some("192.0.2.3".into());
                data.client.device = Some("Mobile".into());
            })
            .build(),
        // It comes back, and has been verified since the first time.
        login(user, at(5))
            .random_part(id(0))
            .attributes(&[
                ("email", &email.to_uppercase()),
                ("email_verified", "TRUE"),
                ("phone_number", &phone),
            ])
            .with(|data| data.client.location = Some("Vienna".into()))
            .build(),
        // The tie: of one moment, and the one with the smaller id disables, and has no address any more. A flag without its
        // value is nothing.
        event(Kind::Snapshot, user, at(6))
            .random_part(id(1))
            .attributes(&[("email_verified", "false"), ("birthdate", "1990-02-31")])
            .with(|data| {
                data.enabled = Some(false);
                data.created_at = Some(at(1));
            })
            .build(),
        event(Kind::Snapshot, user, at(6))
            .random_part(id(2))
            .attributes(&[
                ("email", &email),
                ("phone_number", &phone),
                ("phone_number_verified", "true"),
                ("locale", "fr"),
            ])
            .with(|data| {
                data.enabled = Some(true);
                data.status = Some("ARCHIVED".into());
            })
            .build(),
        event(Kind::Deleted, user, at(4)).random_part(id(0)).build(),
    ]
}

/// Users whose codes the sign-ups of the hard history came with.
const EARLY_REFERRER: u128 = 60_001;
const LATE_REFERRER: u128 = 60_002;

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_history_gives_the_rows_of_the_model_in_all_its_orders() {
    let database = TestDatabase::create().await;
    let orders = orders(&[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(orders.len(), 5_040);
    // A user for each order, who all live through it at the same time, and for each one who wants the address.
    let user = |number: usize| u128::try_from(number).unwrap();
    let rival = |number: usize| {
        let address = format!("jo.{number}@x.test");
        confirmed(user(number + orders.len()), at(1)).email(&address).build()
    };
    let histories: Vec<[Event<'static>; 7]> =
        (0..orders.len()).map(|number| hard_history(user(number))).collect();
    let mut rounds: Vec<Vec<Event<'static>>> = (0..7)
        .map(|round| {
            orders.iter().zip(&histories).map(|(order, history)| history[order[round]].clone()).collect()
        })
        .collect();
    // Between them, at different times, the others.
    rounds.insert(0, (0..orders.len() / 2).map(rival).collect());
    rounds.insert(3, vec![login(EARLY_REFERRER, at(9)).build()]);
    rounds.insert(5, (orders.len() / 2..orders.len()).map(rival).collect());
    rounds.insert(7, vec![login(LATE_REFERRER, at(9)).build()]);
    let mut so_far = Vec::new();
    for (number, round) in rounds.iter().enumerate() {
        let batches = round.chunks(1_000).map(|batch| batch.iter().map(Event::encode).collect()).collect();
        deliver(&database.applier, batches, 4, round.len()).await.unwrap();
        so_far.extend(round.iter().cloned());
        // Not at the end alone: what stands in between is a set of events too. Every other time, for speed.
        if number % 2 == 0 {
            let compared = compare(&database, &Tables::expected(&so_far)).await;
            compared.unwrap_or_else(|differences| panic!("round {number}: {differences:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_redeliveries_counts_each_event_once() {
    let database = TestDatabase::create().await;
    let mut source = TestRunner::deterministic();
    let events: Vec<Event<'static>> = (0..300)
        .map(|number| told_of(20, 1_000).new_tree(&mut source).unwrap().current().event(number))
        .collect();
    let expected = Tables::expected(&decoded(&events));
    let mut random = fastrand::Rng::with_seed(7);
    let copies = events.iter().flat_map(|event| vec![event.encode(); random.usize(1..=50)]);
    let mut storm: Vec<String> = copies.collect();
    let in_one_batch = vec![storm.clone()];
    let side_by_side = storm.chunks(100).map(<[String]>::to_vec).collect();
    random.shuffle(&mut storm);
    let scattered = storm.chunks(100).map(<[String]>::to_vec).collect();
    for (what, batches, consumers) in [
        ("in one batch", in_one_batch, 1),
        ("side by side", side_by_side, 4),
        ("scattered over concurrent workers", scattered, 4),
    ] {
        empty(&database).await;
        deliver(&database.applier, batches, consumers, events.len()).await.unwrap();
        let compared = compare(&database, &expected).await;
        compared.unwrap_or_else(|differences| panic!("{what}: {differences:?}"));
    }
}

/// Takes batches like [`consume`], but dies in the middle of one now and then, and whatever has not got through
/// comes again.
async fn consume_and_die(applier: &Applier, batches: &Mutex<VecDeque<Vec<String>>>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        let Some(batch) = batches.lock().unwrap().pop_front() else { return };
        let life = match random.bool() {
            true => Duration::from_micros(random.u64(0..20_000)),
            false => Duration::from_secs(60),
        };
        let left: Vec<String> = match tokio::time::timeout(life, applier.apply(&batch)).await {
            Err(_) => batch,
            Ok(outcomes) => {
                let again = batch.into_iter().zip(outcomes).filter_map(|(body, outcome)| match outcome {
                    Outcome::Applied | Outcome::Duplicate => None,
                    Outcome::Retry(_) => Some(body),
                    Outcome::Rejected(rejection) | Outcome::Obstructed(rejection) => panic!("{rejection:?}"),
                });
                again.collect()
            }
        };
        if !left.is_empty() {
            batches.lock().unwrap().push_back(left);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_and_sessions_that_die_at_any_moment_leave_the_rows_of_the_model() {
    let database = TestDatabase::create().await;
    let mut source = TestRunner::deterministic();
    let events: Vec<Event<'static>> = (0..1_500)
        .map(|number| told_of(50, 2_000).new_tree(&mut source).unwrap().current().event(number))
        .collect();
    let batches: VecDeque<_> =
        events.chunks(30).map(|batch| batch.iter().map(Event::encode).collect()).collect();
    let batches = Mutex::new(batches);
    let consumers = join_all((0..4).map(|seed| consume_and_die(&database.applier, &batches, seed)));
    let started = Instant::now();
    let (mut random, mut killed) = (fastrand::Rng::with_seed(7), 0);
    let kill = async {
        let query = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and usename <> current_user and random() < 0.5";
        loop {
            tokio::time::sleep(Duration::from_millis(random.u64(0..150))).await;
            killed += sqlx::query_scalar::<_, i64>(query).fetch_one(&database.owner).await.unwrap();
        }
    };
    tokio::select! {
        _ = consumers => {}
        () = kill => {}
    }
    eprintln!("{killed} sessions were killed within {:.1?}", started.elapsed());
    assert!(killed > 0, "nobody died");
    assert_eq!(usize::try_from(database.count("user_events").await).unwrap(), events.len());
    compare(&database, &Tables::expected(&decoded(&events))).await.unwrap();
}

/// An interleaving that a race seldom finds: a login that returns to an address is read as one that shows what is
/// known, because the event that leaves it has not committed yet. With another name it takes the long way.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_left_while_a_login_waits_for_the_row_is_noticed() {
    for name in ["Ada", "Adele"] {
        let database = TestDatabase::create().await;
        let login =
            |second, address, name| login(1, at(second)).email(address).attributes(&[("name", name)]).build();
        let events =
            [login(1, "here@x.test", "Ada"), login(2, "there@x.test", "Ada"), login(3, "here@x.test", name)];
        let [known, leaving, returning] = events.clone().map(|event| [event]);
        assert_eq!(database.apply(&known).await, [Outcome::Applied]);
        let [leaving, returning] = [&leaving, &returning].map(|events| database.deliver(events));
        let (left, returned) = Box::pin(in_turn_for_rows(&database, leaving, returning)).await;
        assert_eq!([left, returned].concat(), [Outcome::Applied, Outcome::Applied]);
        compare(&database, &Tables::expected(&events)).await.unwrap();
    }
}

/// A batch does not wait for the row of one of its users; who signs in meanwhile is read again.
#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_while_somebody_holds_another_users_row_is_read_again() {
    let database = TestDatabase::create().await;
    let login = |user, second, name| {
        login(user, at(second)).email(&format!("{user}@x.test")).attributes(&[("name", name)]).build()
    };
    let known = [login(1, 1, "Ada"), login(2, 1, "Ben")];
    let (renames, meanwhile) = ([login(1, 3, "Adele"), login(2, 3, "Benno")], [login(2, 2, "Ben")]);
    assert_eq!(database.apply(&known).await, [Outcome::Applied, Outcome::Applied]);
    let mut holder = database.owner.begin().await.unwrap();
    let hold = sqlx::query("select from users where id = $1 for update").bind(sub(1));
    hold.execute(&mut *holder).await.unwrap();
    let (renamed, signed_in) = tokio::join!(database.apply(&renames), database.deliver(&meanwhile));
    assert_eq!(renamed, [Outcome::Retry(RetryCause::Conflict), Outcome::Applied]);
    assert_eq!(signed_in, [Outcome::Applied]);
    holder.rollback().await.unwrap();
    assert_eq!(database.deliver(&renames).await, [Outcome::Applied, Outcome::Duplicate]);
    let events = [&known[..], &renames, &meanwhile].concat();
    compare(&database, &Tables::expected(&events)).await.unwrap();
    assert_eq!(database.column(sub(2), "login_count").await.as_deref(), Some("3"));
}

/// Counts the transactions that were tried again, by reading what the product logs of them.
#[derive(Debug, Default)]
struct Retries {
    conflicts: AtomicU64,
    deadlocks: AtomicU64,
}

impl<S: Subscriber> Layer<S> for &'static Retries {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Sqlstate(Option<String>);
        impl Visit for Sqlstate {
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "sqlstate" {
                    self.0 = Some(value.to_owned());
                }
            }
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
        }
        let mut sqlstate = Sqlstate(None);
        event.record(&mut sqlstate);
        match sqlstate.0.as_deref() {
            Some("40P01") => self.deadlocks.fetch_add(1, Ordering::Relaxed),
            Some(_) => self.conflicts.fetch_add(1, Ordering::Relaxed),
            None => 0,
        };
    }
}

/// Batches for consumers to race on, as time goes by: half of them logins that show the user's address as it
/// was told last, the others whatever may happen; and now and then an event that another consumer may be
/// applying at this moment.
fn race(random: &mut fastrand::Rng, source: &mut TestRunner) -> (Vec<Event<'static>>, Vec<Vec<String>>) {
    const USERS: u128 = 100;
    let (anything, recorded) = (told_of(USERS, 1), told_of_context_of(USERS, 1));
    let (mut events, mut contexts) = (Vec::<UserEvent<'static>>::new(), Vec::new());
    let mut batch = |_| {
        let is_light = random.bool();
        // Most of the others are small, so that they meet in the middle of each other.
        let is_large = is_light || random.u8(0..5) == 0;
        let size = random.usize(1..if is_large { 60 } else { 6 });
        let one = |_| {
            let number = events.len();
            let event = match (random.u8(0..10), is_light) {
                (0, _) if number > 0 => {
                    return Event::User(events[random.usize(number.saturating_sub(50)..number)].clone());
                }
                (1 | 2, _) => {
                    let told = recorded.new_tree(source).unwrap().current().later(now(number));
                    contexts.push(told.event(contexts.len()));
                    return contexts.last().unwrap().clone();
                }
                (_, true) => {
                    let user = random.u128(0..USERS);
                    // The news of the last few events may be on its way: the address goes back before it has left.
                    let earlier = &events[..number.saturating_sub(random.usize(0..2) * 40)];
                    let told = earlier
                        .iter()
                        .rev()
                        .find(|event| event.sub == sub(user) && event.data.attributes.contains_key("email"));
                    let shown = told.map(|event| event.data.attributes.clone()).unwrap_or_default();
                    login(user, at(now(number))).with(|data| data.attributes = shown).build()
                }
                (_, false) => {
                    let told = anything.new_tree(source).unwrap().current();
                    told.at_second(now(number)).event(number)
                }
            };
            if let Event::User(event) = &event {
                events.push(event.clone());
            }
            event
        };
        (0..size).map(one).map(|event| event.encode()).collect()
    };
    let batches = (0..500).map(&mut batch).collect();
    (events.into_iter().map(Event::User).chain(contexts).collect(), batches)
}

/// Some events a second.
fn now(number: usize) -> u64 {
    u64::try_from(number / 3).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_consumers_never_deadlock() {
    let database = TestDatabase::create().await;
    let retries: &'static Retries = Box::leak(Box::default());
    let end = Instant::now() + Duration::from_secs(setting("USER_SYNC_TEST_SECONDS", 5).into());
    let (mut random, mut source) = (fastrand::Rng::new(), TestRunner::default());
    let (mut rounds, mut applied) = (0, 0);
    while Instant::now() < end {
        empty(&database).await;
        let (events, batches) = race(&mut random, &mut source);
        let subscriber = tracing_subscriber::registry().with(retries);
        let delivered = deliver(&database.applier, batches, 4, events.len());
        delivered.with_subscriber(subscriber).await.unwrap();
        compare(&database, &Tables::expected(&decoded(&events))).await.unwrap();
        rounds += 1;
        applied += events.len();
    }
    // A session reports its deadlocks by the time it ends.
    database.applier.database().close().await;
    let sessions = "pg_stat_activity where datname = current_database() and usename <> current_user";
    eventually("the consumers' sessions have ended", Duration::from_secs(10), async || {
        database.count(sessions).await == 0
    })
    .await;
    let deadlocks: i64 =
        sqlx::query_scalar("select deadlocks from pg_stat_database where datname = current_database()")
            .fetch_one(&database.owner)
            .await
            .unwrap();
    eprintln!("{applied} events in {rounds} rounds, {deadlocks} deadlocks, tried again: {retries:?}");
    assert_eq!((deadlocks, retries.deadlocks.load(Ordering::Relaxed)), (0, 0));
}
