//! Who is in which group: the application's view against the model, whatever comes in whatever order, beside erasure, the fold
//! of months and repairs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cognito_user_sync::config::{DatabaseConfig, RolePrefix};
use cognito_user_sync::dev::local;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::maintenance::explain::{Entry, explain};
use cognito_user_sync::store::maintenance::partitions::{Maintained, maintain};
use cognito_user_sync::store::maintenance::repair::repair;
use cognito_user_sync::store::maintenance::verify::{Difference, verify};
use cognito_user_sync::store::outcome::{Outcome, RetryCause};
use cognito_user_sync::store::{migrate, referral_code, report};
use cognito_user_sync_triggers::event::{Event, GroupChange, GroupEvent, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::model::{Tables, members};
use crate::support::events::{at, confirmed, event, group, login, sub};
use crate::support::histories::told_of_group;
use crate::support::{TestDatabase, eventually, sessions_wait};

const DAY: u64 = 86_400_000;

fn joined(user: u128, name: &str, time: Timestamp) -> Event<'static> {
    Event::Group(group(name, GroupChange::Joined(sub(user)), time))
}

fn left(user: u128, name: &str, time: Timestamp) -> Event<'static> {
    Event::Group(group(name, GroupChange::Left(sub(user)), time))
}

fn deleted(name: &str, time: Timestamp) -> Event<'static> {
    Event::Group(group(name, GroupChange::Deleted, time))
}

fn days_ago(days: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - days * DAY)
}

async fn operator(database: &TestDatabase) -> Database {
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    postgres::connect(&config, 3).await.unwrap()
}

async fn differences(database: &Database) -> Vec<Difference> {
    let mut found = Vec::new();
    verify(database, &GeoIp::default(), |difference| found.push(difference), |_| {}).await.unwrap();
    found
}

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

async fn apply(database: &TestDatabase, events: &[Event<'static>]) {
    let outcomes = database.deliver(events).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
}

fn pairs(of: &[(u128, &str)]) -> BTreeSet<(Uuid, String)> {
    of.iter().map(|(user, name)| (sub(*user), (*name).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_and_leaves_is_seen_by_the_application_and_makes_no_row() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    apply(&database, &[login(1, at(1)).build()]).await;
    let rows = database.rows().await;
    let version = database.column(sub(1), "row_version").await;
    let events = [
        joined(1, "admins", at(5)),
        joined(1, "editors", at(5)),
        left(1, "editors", at(6)),
        joined(2, "admins", at(5)),
        joined(3, "readers", at(5)),
        deleted("readers", at(5)),
        joined(4, "readers", at(6)),
    ];
    apply(&database, &events).await;
    assert_eq!(database.members().await, pairs(&[(1, "admins"), (2, "admins"), (4, "readers")]));
    assert_eq!(database.members().await, members(&events));
    // No time of the row is touched, and no row is made.
    assert_eq!((database.rows().await, database.column(sub(1), "row_version").await), (rows, version));
    assert_eq!(database.count("user_events").await, 8);
    assert_eq!(differences(&operator).await, []);

    // Each counts once, and another event with its id is none.
    assert_eq!(database.apply(&events).await, vec![Outcome::Duplicate; 7]);
    let Event::Group(first) = events[0].clone() else { panic!("no event of a group") };
    let other = Event::Group(GroupEvent { change: GroupChange::Left(sub(1)), ..first });
    let outcomes = database.apply(std::slice::from_ref(&other)).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Rejected(rejection)] if rejection.reason == "id_conflict"),
        "{outcomes:?}"
    );
    let in_one_batch = [left(5, "admins", at(7)), other, joined(5, "editors", at(7))];
    let outcomes = database.apply(&in_one_batch).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Applied, Outcome::Rejected(_), Outcome::Applied]),
        "{outcomes:?}"
    );
    // What the ledger cannot take is refused with the reason, as others are.
    for (time, reason) in
        [(days_ago(800), "too_old"), (Timestamp::from_unix_millis(days_ago(0).unix_millis() + DAY), "future")]
    {
        let outcomes = database.apply(&[joined(1, "admins", time)]).await;
        assert!(
            matches!(&outcomes[..], [Outcome::Rejected(rejection)] if rejection.reason == reason),
            "{outcomes:?}"
        );
    }

    // A user who is deleted is in no group, and is again where the deletion is taken back.
    apply(&database, &[event(Kind::Deleted, 1, at(8)).build()]).await;
    assert_eq!(database.members().await, pairs(&[(2, "admins"), (4, "readers"), (5, "editors")]));
    apply(&database, &[event(Kind::Restored, 1, at(9)).build()]).await;
    assert!(database.members().await.contains(&(sub(1), "admins".to_owned())));
    let groups = report::groups(&operator).await.unwrap();
    let groups: Vec<_> = groups.into_iter().map(|group| (group.name, group.members)).collect();
    assert_eq!(groups, [("admins".to_owned(), 2), ("editors".to_owned(), 1), ("readers".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_other_pools_are_refused_where_others_are() {
    let database = TestDatabase::create().await;
    let pool = "eu-west-1_Test00000".parse::<UserPoolId>().unwrap();
    let applier = cognito_user_sync::store::Applier::new(database.applier.database().clone());
    let applier = applier.accepting(Some([pool].into()));
    let mut others = group("admins", GroupChange::Deleted, at(1));
    others.user_pool_id = "eu-west-1_Other0000".into();
    let bodies = [joined(1, "admins", at(1)).encode(), Event::Group(others).encode()];
    let outcomes = applier.apply(&bodies).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Applied, Outcome::Rejected(rejection)] if rejection.reason == "another_pool"),
        "{outcomes:?}"
    );
    assert_eq!(database.members().await, pairs(&[(1, "admins")]));
}

/// Every row of somebody's that is held delays that user's events, and no other's.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_held_delays_its_own_groups() {
    let database = TestDatabase::create().await;
    apply(&database, &[login(1, at(1)).build(), login(2, at(1)).build()]).await;
    let mut holder = database.owner.begin().await.unwrap();
    let hold = sqlx::query("select from users where id = $1 for update").bind(sub(1));
    hold.execute(&mut *holder).await.unwrap();
    let events = [
        joined(1, "admins", at(2)),
        joined(2, "admins", at(2)),
        deleted("editors", at(2)),
        joined(3, "admins", at(2)),
    ];
    let started = Instant::now();
    let outcomes = database.apply(&events).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let retry = Outcome::Retry(RetryCause::Conflict);
    assert_eq!(outcomes, [retry, Outcome::Applied, Outcome::Applied, Outcome::Applied]);
    holder.rollback().await.unwrap();
    assert_eq!(database.apply(&events[..1]).await, [Outcome::Applied]);
    assert_eq!(database.members().await, members(&events));
}

/// While a month is folded, what is of it returns to the queue, and waits for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_is_being_folded_takes_no_event_of_a_group() {
    let database = TestDatabase::create().await;
    let old = days_ago(100);
    let mut fold = database.owner.begin().await.unwrap();
    let lock = "select pg_advisory_xact_lock(1970496882, 1026 + (extract(year from month) * 12 + extract(month from month) - 1)::int)
        from (select ($1 || 'T00:00:00Z')::timestamptz at time zone 'utc') as of (month)";
    sqlx::query(lock).bind(&old.to_string()[..10]).execute(&mut *fold).await.unwrap();
    let outcomes = database.apply(&[joined(1, "admins", old), joined(2, "admins", at(1))]).await;
    assert_eq!(outcomes, [Outcome::Retry(RetryCause::Conflict), Outcome::Applied]);
    fold.rollback().await.unwrap();
    assert_eq!(database.apply(&[joined(1, "admins", old)]).await, [Outcome::Applied]);
}

/// The ledger and the memberships are written together or not at all, wherever a batch dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_dies_leaves_neither_an_event_nor_a_membership() {
    let database = TestDatabase::create().await;
    let events = [joined(1, "admins", at(2)), deleted("editors", at(2))];
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::query("lock table user_sync_memberships in exclusive mode").execute(&mut *holder).await.unwrap();
    let life = Duration::from_millis(700);
    assert!(tokio::time::timeout(life, database.apply(&events)).await.is_err());
    holder.rollback().await.unwrap();
    sessions_wait(&database, 0).await;
    // What it had begun ends with its connection.
    eventually("nothing of it is left", Duration::from_secs(30), async || {
        database.count("pg_stat_activity where state like 'idle in transaction%'").await == 0
    })
    .await;
    for table in ["user_events", "user_sync_memberships", "user_sync_groups"] {
        assert_eq!(database.count(table).await, 0, "{table}");
    }
    apply(&database, &events).await;
    assert_eq!(database.members().await, members(&events));
}

/// Two consumers take the same users and groups in opposite orders, with users' own events in between.
#[tokio::test(flavor = "multi_thread")]
async fn consumers_in_opposite_orders_agree_and_never_deadlock() {
    let database = TestDatabase::create().await;
    let mut source = TestRunner::deterministic();
    let mut told = |number| told_of_group().new_tree(&mut source).unwrap().current().event(number);
    let mut events: Vec<Event<'static>> = (0..1_200).map(&mut told).collect();
    events.extend((0..300).map(|n| {
        confirmed(n % 7, at(u64::try_from(n).unwrap())).email(&format!("{}@x.test", n % 3)).build()
    }));
    fastrand::Rng::with_seed(3).shuffle(&mut events);
    let decoded: Vec<Event<'static>> =
        events.iter().map(|event| Event::decode(&event.encode()).unwrap().into_owned()).collect();
    let backwards: Vec<Event<'static>> = events.iter().rev().cloned().collect();
    let consume = async |events: &[Event<'static>]| {
        for batch in events.chunks(40) {
            let outcomes = database.deliver(batch).await;
            let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Applied | Outcome::Duplicate);
            assert!(outcomes.iter().all(is_done), "{outcomes:?}");
        }
    };
    tokio::join!(consume(&events), consume(&backwards));
    assert_eq!(database.members().await, members(&decoded));
    Tables::actual(database.rows().await).must_be(&Tables::expected(&decoded)).unwrap();
    assert_eq!(differences(&operator(&database).await).await, []);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&database.owner).await.unwrap();
    assert_eq!(deadlocks, 0);
}

/// A year of memberships, half of whose months are folded while a consumer works.
#[tokio::test(flavor = "multi_thread")]
async fn a_folded_month_changes_no_membership_and_what_ended_is_forgotten() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let mut random = fastrand::Rng::with_seed(5);
    let mut one = |_| {
        let (user, name) = (random.u128(0..30), fastrand::choice(["admins", "editors", "readers"]).unwrap());
        let time = days_ago(random.u64(1..380));
        match random.u8(0..20) {
            0 => deleted(name, time),
            1..8 => left(user, name, time),
            _ => joined(user, name, time),
        }
    };
    let mut events: Vec<Event<'static>> = (0..400).map(&mut one).collect();
    // Beyond what the fold keeps: one that ended, one by the group's deletion, and one that stands.
    events.extend([
        joined(90, "old", days_ago(370)),
        left(90, "old", days_ago(369)),
        joined(91, "gone", days_ago(370)),
        deleted("gone", days_ago(369)),
        joined(92, "old", days_ago(370)),
        login(92, days_ago(370)).build(),
    ]);
    let now = Timestamp::now();
    let (late, early): (Vec<_>, Vec<_>) = events
        .iter()
        .cloned()
        .partition(|event| event.id().time().unix_millis() > now.unix_millis() - 60 * DAY);
    apply(&database, &early).await;
    assert_eq!(differences(&operator).await, []);
    let (maintained, ()) = tokio::join!(maintain(&operator, 3, 90, now, |_, _| {}), apply(&database, &late));
    let folded: u64 = maintained.unwrap().folded.iter().map(|(_, events)| events).sum();
    assert!(folded > 200, "{folded}");
    assert_eq!(database.members().await, members(&events));
    assert_eq!(differences(&operator).await, []);

    let of = |user| format!("user_sync_memberships where user_id = '{}'", sub(user));
    for (user, is_kept) in [(90, 0), (91, 0), (92, 1)] {
        assert_eq!(database.count(&of(user)).await, is_kept, "user {user}");
    }
    assert_eq!(database.count("user_sync_membership_baseline where gone").await, 0);
    // Nothing that comes late matters to what was forgotten.
    let outcomes = database.apply(&[joined(90, "old", days_ago(371))]).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Rejected(rejection)] if rejection.reason == "too_old"),
        "{outcomes:?}"
    );
    assert_eq!(maintain(&operator, 3, 90, now, |_, _| {}).await.unwrap(), Maintained::default());

    // The baseline counts: without the tables, a repair finds everybody again.
    let before = database.members().await;
    run(&database.owner, "delete from user_sync_memberships").await;
    let found = differences(&operator).await;
    assert!(found.iter().any(|difference| difference.user == sub(92)), "{found:?}");
    repair(&operator, &GeoIp::default(), &BTreeSet::new()).await.unwrap();
    assert_eq!(differences(&operator).await, []);
    assert_eq!(database.members().await, before);
    // And what was deleted in a folded month stays known.
    run(
        &database.owner,
        "delete from user_sync_groups where (user_pool_id, name) in (select user_pool_id, name from user_sync_group_baseline)",
    )
    .await;
    assert!(
        differences(&operator)
            .await
            .iter()
            .all(|difference| difference.column.starts_with("user_sync_groups "))
    );
    repair(&operator, &GeoIp::default(), &BTreeSet::new()).await.unwrap();
    assert_eq!(differences(&operator).await, []);
    assert_eq!(database.members().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_what_is_wrong_with_a_group_and_repair_mends_it() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let events = [
        login(1, at(1)).build(),
        joined(1, "admins", at(2)),
        joined(2, "admins", at(2)),
        left(3, "admins", at(2)),
        deleted("editors", at(3)),
        joined(1, "editors", at(4)),
    ];
    apply(&database, &events).await;
    let expected = members(&events);
    for (harm, column) in [
        ("delete from user_sync_memberships where name = 'admins'", "user_sync_memberships admins"),
        ("update user_sync_memberships set gone = not gone", "user_sync_memberships admins"),
        ("update user_sync_memberships set at = at + interval '1 s'", "user_sync_memberships editors"),
        ("update user_sync_memberships set user_pool_id = 'x'", "user_sync_memberships editors"),
        (
            "insert into user_sync_memberships values (gen_random_uuid(), 'new', 'p', now(), false)",
            "user_sync_memberships new",
        ),
        ("delete from user_sync_groups", "user_sync_groups eu-west-1_Test00000 editors"),
        (
            "update user_sync_groups set cleared_at = cleared_at + interval '1 h'",
            "user_sync_groups eu-west-1_Test00000 editors",
        ),
        ("insert into user_sync_groups values ('p', 'new', now())", "user_sync_groups p new"),
    ] {
        run(&database.owner, harm).await;
        let found = differences(&operator).await;
        assert!(found.iter().any(|difference| difference.column == column), "{harm}: {found:?}");
        let users = found.into_iter().map(|difference| difference.user).collect();
        repair(&operator, &GeoIp::default(), &users).await.unwrap();
        assert_eq!(differences(&operator).await, [], "{harm}");
        assert_eq!(database.members().await, expected, "{harm}");
    }
    // A user of whom there are only groups has no row, and a row that somebody makes has no history.
    let explained = explain(&operator, &GeoIp::default(), sub(2)).await.unwrap();
    assert!(explained.outcome.is_none() && explained.group_differences.is_empty(), "{explained:?}");
    assert!(
        matches!(&explained.history[..], [Entry::Group { group: Some(name), .. }] if name == "admins"),
        "{explained:?}"
    );
    assert!(
        matches!(&explained.groups[..], [group] if group.name == "admins" && !group.gone),
        "{explained:?}"
    );
    let row = format!(
        "insert into users (id, name, referral_code, created_at, synced_at, updated_at)
        values ('{}', 'x', '{}', now(), now(), now())",
        sub(2),
        referral_code(sub(2))
    );
    run(&database.owner, &row).await;
    let found = differences(&operator).await;
    assert!(
        matches!(&found[..], [difference] if difference.user == sub(2) && difference.column == "id"),
        "{found:?}"
    );
}

/// Every text in every table.
async fn everything(database: &TestDatabase) -> String {
    let query = "select coalesce(string_agg(t, ' '), '') from (
        select users::text from users union all select user_events::text from user_events
        union all select m::text from user_sync_memberships as m union all select b::text from user_sync_membership_baseline as b
    ) as all_rows (t)";
    sqlx::query_scalar(query).fetch_one(&database.owner).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_is_in_no_group_and_no_event_brings_anybody_back() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let told = |user| {
        [
            joined(user, "patients of dr house", days_ago(200)),
            joined(user, "patients of dr house", at(3)),
            left(user, "debtors", at(4)),
        ]
    };
    let (known, unknown, later) = (told(1), told(2), told(3));
    apply(&database, &[login(1, at(1)).build()]).await;
    for events in [&known, &unknown] {
        apply(&database, events).await;
    }
    apply(&database, &[deleted("debtors", at(5))]).await;
    maintain(&operator, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap();
    assert_eq!(database.count("user_sync_membership_baseline").await, 2);
    for user in [1, 2, 3] {
        erase(&operator, sub(user), true).await.unwrap();
    }
    let traces = |text: String| text.matches("patients").count() + text.matches("debtors").count();
    // The group's own deletion is of nobody.
    assert_eq!(traces(everything(&database).await), 1);
    assert_eq!(differences(&operator).await, []);
    // What comes late or again changes nothing, and another event with the id of one that was scrubbed is a duplicate as well.
    assert_eq!(database.apply(&known[1..]).await, vec![Outcome::Duplicate; 2]);
    assert_eq!(database.apply(&later[1..]).await, vec![Outcome::Applied; 2]);
    let late: Vec<Event<'static>> = (1..=3).map(|user| joined(user, "patients of dr house", at(9))).collect();
    assert_eq!(database.apply(&late).await, vec![Outcome::Applied; 3]);
    assert_eq!(database.apply(&late).await, vec![Outcome::Duplicate; 3]);
    assert_eq!(traces(everything(&database).await), 1);
    assert_eq!(differences(&operator).await, []);
    assert_eq!(database.members().await, pairs(&[]));
    let explained = explain(&operator, &GeoIp::default(), sub(1)).await.unwrap();
    assert!(explained.groups.is_empty() && explained.group_differences.is_empty(), "{explained:?}");
}

/// Somebody joins at the moment of the erasure: of a user with a row, and of one without.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_and_a_membership_never_miss_each_other() {
    for has_row in [true, false] {
        let database = TestDatabase::create().await;
        let operator = operator(&database).await;
        if has_row {
            apply(&database, &[login(1, at(1)).build()]).await;
        }
        // One waits in its middle, and the other begins: the join for somebody who inserts an event with its id, the erasure for
        // the claims.
        for user_joins_first in [true, false] {
            let event = joined(1, "admins", at(if user_joins_first { 5 } else { 6 }));
            let hold = match user_joins_first {
                true => format!(
                    "insert into user_events values ('{}', '{}', 'x', 'x', now(), now(), '{{}}')",
                    event.id(),
                    Uuid::nil()
                ),
                false => "lock table user_claims in exclusive mode".to_owned(),
            };
            let mut holder = database.owner.begin().await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut *holder).await.unwrap();
            let events = [event];
            let (join, erase) = (database.deliver(&events), erase(&operator, sub(1), true));
            let begun = sessions_wait(&database, 1);
            let end = async {
                sessions_wait(&database, 1).await;
                tokio::time::sleep(Duration::from_millis(700)).await;
                holder.rollback().await.unwrap();
            };
            let (outcomes, erased) = match user_joins_first {
                true => {
                    let erase = async {
                        begun.await;
                        erase.await
                    };
                    let (outcomes, erased, ()) = tokio::join!(join, erase, end);
                    (outcomes, erased)
                }
                false => {
                    let join = async {
                        begun.await;
                        join.await
                    };
                    let (outcomes, erased, ()) = tokio::join!(join, erase, end);
                    (outcomes, erased)
                }
            };
            erased.unwrap();
            assert_eq!(outcomes, [Outcome::Applied], "{has_row} {user_joins_first}");
            assert_eq!(database.count("user_sync_memberships").await, 0, "{has_row} {user_joins_first}");
            assert!(!everything(&database).await.contains("admins"), "{has_row} {user_joins_first}");
            assert_eq!(differences(&operator).await, []);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_reads_groups_and_writes_none_and_keeps_a_name_of_its_own() {
    let database = TestDatabase::create().await;
    apply(&database, &[joined(1, "admins", at(1))]).await;
    let app = local::connect(&database.deployment.app_url, 1).await.unwrap();
    let consumer = database.applier.pool();
    for relation in ["user_groups", "user_sync_user_groups", "user_sync_memberships", "user_sync_groups"] {
        let count = format!("select count(*) from {relation}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&app).await.unwrap();
        assert_eq!(count, i64::from(relation != "user_sync_groups"), "{relation}");
    }
    let code = async |pool: &PgPool, sql: &str| {
        let failed = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await;
        failed.err().and_then(|error| {
            error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()))
        })
    };
    for (pool, sql) in [
        (&app, "update user_sync_memberships set gone = false"),
        (&app, "insert into user_sync_memberships values (gen_random_uuid(), 'admins', 'p', now(), false)"),
        (&app, "delete from user_sync_groups"),
        (&app, "delete from user_groups"),
        (&app, "select from user_sync_membership_baseline"),
        (consumer, "delete from user_sync_memberships"),
        (consumer, "delete from user_sync_groups"),
        (consumer, "update user_sync_group_baseline set cleared_at = now()"),
        (
            consumer,
            "insert into user_sync_membership_baseline values (gen_random_uuid(), 'admins', 'p', now(), false)",
        ),
    ] {
        assert_eq!(code(pool, sql).await.as_deref(), Some("42501"), "{sql}");
    }

    // The application has a table of the name: it stays, and the view is offered once the name is free.
    let (operator, prefix) = (operator(&database).await, None::<&RolePrefix>);
    run(
        &database.owner,
        "drop view user_groups; create table user_groups (mine int); insert into user_groups values (7)",
    )
    .await;
    migrate::run(&operator, prefix).await.unwrap();
    assert_eq!(database.count("user_groups where mine = 7").await, 1);
    assert_eq!(database.count("user_sync_user_groups").await, 1);
    run(&database.owner, "drop table user_groups; create type user_groups as enum ('mine')").await;
    migrate::run(&operator, prefix).await.unwrap();
    run(&database.owner, "drop type user_groups").await;
    migrate::run(&operator, prefix).await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from user_groups").fetch_one(&app).await.unwrap();
    assert_eq!(count, 1);
}

/// The largest batch that there is, within the time of one.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_events_of_groups_are_one_batch() {
    let database = TestDatabase::create().await;
    let logins: Vec<Event<'static>> = (0..2_000).map(|user| login(user, at(1)).build()).collect();
    apply(&database, &logins).await;
    let names = ["a", "b", "c"];
    let events: Vec<Event<'static>> = (0..10_000_u64)
        .map(|n| match n % 100 {
            0 => deleted(names[usize::try_from(n / 100 % 3).unwrap()], at(n / 200)),
            _ => joined(u128::from(n % 4_000), names[usize::try_from(n % 3).unwrap()], at(n / 100)),
        })
        .collect();
    let started = Instant::now();
    let outcomes = database.apply(&events).await;
    let took = started.elapsed();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    eprintln!("10,000 events of groups in {took:.2?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(database.members().await, members(&events));
}
