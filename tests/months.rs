//! The ledger's months beside whoever reads it for long: no batch waits, and what was folded is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::maintenance::partitions::{
    MaintainError, Maintained, detached_months, maintain, maintain_within,
};
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync::store::outcome::{Outcome, RetryCause};
use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::support::events::{at, confirmed, login};
use crate::support::{TestDatabase, eventually, sessions_wait};

/// No batch may take longer beside `maintain` and whoever reads.
const WORST_BATCH: Duration = Duration::from_secs(2);
/// How long the ledger is read.
const READING: Duration = Duration::from_secs(6);
const DAY: u64 = 86_400_000;

async fn operator(database: &TestDatabase) -> Database {
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    postgres::connect(&config, 3).await.unwrap()
}

fn days_ago(days: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - days * DAY)
}

/// Everything that differs from the ledger.
async fn differences(database: &Database) -> u64 {
    verify(database, &GeoIp::default(), |difference| eprintln!("{difference:?}"), |_| {})
        .await
        .unwrap()
        .differences
}

/// Applies logins of users who are there, and one of a month that is being folded, until the end; the longest that a batch took, and
/// how many logins were applied.
async fn consume(database: &TestDatabase, has_ended: &AtomicBool) -> (Duration, i64) {
    let (mut worst, mut applied, mut number) = (Duration::ZERO, 0, 0_u64);
    while !has_ended.load(Ordering::SeqCst) {
        number += 1;
        // The fast path, the slow path, and an event that waits for nobody either.
        let mut events: Vec<Event<'static>> = (0..20).map(|user| login(user, at(number)).build()).collect();
        events.push(confirmed(1_000 + u128::from(number), at(number)).build());
        let late = login(1, days_ago(300)).build();
        events.push(late);
        let started = Instant::now();
        let outcomes = database.apply(&events).await;
        worst = worst.max(started.elapsed());
        let (outcome, others) = outcomes.split_last().unwrap();
        assert!(others.iter().all(|outcome| *outcome == Outcome::Applied), "{others:?}");
        applied += 20 + i64::from(*outcome == Outcome::Applied);
        let is_refused = matches!(outcome, Outcome::Rejected(rejection) if rejection.reason == "too_old");
        assert!(
            is_refused || matches!(outcome, Outcome::Applied | Outcome::Retry(RetryCause::Conflict)),
            "{outcome:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (worst, applied)
}

/// Twenty users with logins of a year.
async fn a_year(database: &TestDatabase) -> i64 {
    let logins = (0..20).flat_map(|user| (1..24).map(move |n| login(user, days_ago(15 * n)).build()));
    let events: Vec<Event<'static>> = logins.collect();
    assert!(database.apply(&events).await.iter().all(|outcome| *outcome == Outcome::Applied));
    i64::try_from(events.len()).unwrap()
}

async fn maintain_beside(reads: &str) {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let logins_before = a_year(&database).await;
    let mut reader = database.owner.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(reads.to_owned())).execute(&mut *reader).await.unwrap();

    let (has_ended, started) = (AtomicBool::new(false), Instant::now());
    let read = async {
        // Months are made while it reads.
        let made = "pg_class where relispartition and relkind = 'r'";
        let before = database.count(made).await;
        eventually("two more months stand ready", READING / 2, async || {
            database.count(made).await == before + 2
        })
        .await;
        tokio::time::sleep(READING.saturating_sub(started.elapsed())).await;
        let folded = database.count("user_baseline").await;
        reader.rollback().await.unwrap();
        folded
    };
    let maintained = async {
        let maintained = maintain(&operator, 5, 90, Timestamp::now(), |_, _| {}).await.unwrap();
        has_ended.store(true, Ordering::SeqCst);
        maintained
    };
    let ((worst, logins), folded, maintained) =
        tokio::join!(consume(&database, &has_ended), read, maintained);
    assert!(worst < WORST_BATCH, "a batch took {worst:?}");
    assert_eq!(folded, 0, "nothing of a fold is seen before its month is dropped");
    assert!(started.elapsed() >= READING && maintained.folded.len() >= 8, "{maintained:?}");
    assert_eq!(differences(&operator).await, 0);
    let counted: i64 = sqlx::query_scalar("select sum(login_count)::bigint from users")
        .fetch_one(&database.owner)
        .await
        .unwrap();
    assert_eq!(counted, logins_before + logins);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_dump_no_batch_waits_and_the_fold_is_kept() {
    maintain_beside("set transaction isolation level repeatable read; select count(*) from user_events")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_lock_of_the_whole_ledger_no_batch_waits_and_the_fold_is_kept() {
    maintain_beside("lock table only user_events in access share mode").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_an_end_is_named_and_nothing_is_changed() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    a_year(&database).await;
    let reader = local::connect(&database.deployment.owner_url, 1).await.unwrap();
    let mut reader = reader.begin().await.unwrap();
    let reads = "set application_name = 'nightly dump'; select 'secret' from user_events limit 1";
    sqlx::raw_sql(reads).execute(&mut *reader).await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *reader).await.unwrap();
    let months = database.count("user_event_partitions").await;
    let patience = Duration::from_secs(2);
    let refused = maintain_within(&operator, patience, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, MaintainError::Starved { .. }), "{said}");
    for part in [format!("process {pid} (application nightly dump)"), "since 20".into(), "for 2 s".into()] {
        assert!(said.contains(&part), "{said}");
    }
    assert!(!said.contains("secret") && !said.contains("select 'secret'"), "{said}");
    assert_eq!(database.count("user_event_partitions").await, months);
    assert_eq!(database.count("user_baseline").await, 0);
    assert_eq!(differences(&operator).await, 0);
    // Another `maintain`, or an erasure, is in the way of making months, too.
    reader.rollback().await.unwrap();
    let mut other = database.owner.begin().await.unwrap();
    sqlx::raw_sql("lock table user_event_partitions in share mode").execute(&mut *other).await.unwrap();
    let refused = maintain_within(&operator, patience, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap_err();
    assert!(refused.to_string().starts_with("making months ahead was tried"), "{refused}");
    other.rollback().await.unwrap();
    assert!(maintain(&operator, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap().folded.len() >= 8);
    assert_eq!(differences(&operator).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_is_exact_where_a_month_is_dropped_as_it_begins() {
    // What a fold of the same events leaves.
    let (database, twin) = (TestDatabase::create().await, TestDatabase::create().await);
    let events: Vec<Event<'static>> = (1..24).map(|n| login(1, days_ago(15 * n)).build()).collect();
    database.apply(&events).await;
    twin.apply(&events).await;
    let folded = maintain(&operator(&twin).await, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap().folded;
    let baseline: Vec<Value> = sqlx::query_scalar("select to_jsonb(user_baseline) from user_baseline")
        .fetch_all(&twin.owner)
        .await
        .unwrap();
    let mut tx = database.owner.begin().await.unwrap();
    sqlx::raw_sql("lock table user_events in access exclusive mode").execute(&mut *tx).await.unwrap();
    let drop = async {
        // It has begun, and waits for the ledger.
        sessions_wait(&database, 1).await;
        let insert = "insert into user_baseline
            select * from jsonb_populate_recordset(null::user_baseline, $1)";
        sqlx::query(insert).bind(Value::from(baseline)).execute(&mut *tx).await.unwrap();
        for (month, _) in folded {
            let drop =
                format!("delete from user_event_partitions where name = '{month}'; drop table {month}");
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    };
    let operator = operator(&database).await;
    assert_eq!(tokio::join!(differences(&operator), drop).0, 0);
}

/// What the catalogs say of a table and what belongs to it, with its name left out; and `connoinherit`, since nothing
/// inherits from a month.
async fn described(database: &TestDatabase, table: &str) -> Value {
    let query = format!(
        "select replace(jsonb_build_object(
            'class', (select to_jsonb(c) - array['oid', 'reltype', 'relfilenode', 'relpartbound', 'relfrozenxid', 'relminmxid', 'reltoastrelid', 'relname'] from pg_class c where c.oid = '{table}'::regclass),
            'columns', (select jsonb_agg(to_jsonb(a) - 'attrelid' order by attnum) from pg_attribute a where attrelid = '{table}'::regclass and attnum > 0),
            'defaults', (select jsonb_agg(pg_get_expr(adbin, adrelid) order by adnum) from pg_attrdef where adrelid = '{table}'::regclass),
            'constraints', (select jsonb_agg(to_jsonb(c) - array['oid', 'conrelid', 'conindid', 'connoinherit'] order by conname) from pg_constraint c where conrelid = '{table}'::regclass),
            'indexes', (select jsonb_agg(jsonb_build_array(c.relname, c.relowner, c.relispartition, c.relacl, pg_get_indexdef(c.oid), to_jsonb(i) - array['indexrelid', 'indrelid']) order by c.relname)
                from pg_index i join pg_class c on c.oid = indexrelid where indrelid = '{table}'::regclass),
            'index_parents', (select jsonb_agg(inhparent order by inhparent) from pg_inherits where inhrelid in (select indexrelid from pg_index where indrelid = '{table}'::regclass)),
            'inherits', (select jsonb_agg(to_jsonb(i) - 'inhrelid') from pg_inherits i where inhrelid = '{table}'::regclass),
            'triggers', (select jsonb_agg(tgname order by tgname) from pg_trigger where tgrelid = '{table}'::regclass)
        )::text, '{table}', 'MONTH')::jsonb"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&database.owner).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_is_attached_is_what_partition_of_makes() {
    let database = TestDatabase::create().await;
    let owner = "(select relowner::regrole from pg_class where oid = 'user_events'::regclass)";
    let make = format!(
        "do $$ begin
            create table user_events_9999_01 partition of user_events
                for values from ('f0000000-0000-0000-0000-000000000000') to ('f1000000-0000-0000-0000-000000000000');
            execute format('alter table user_events_9999_01 owner to %s', {owner});
        end $$"
    );
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&database.owner).await.unwrap();
    // The latest month is of the newest function.
    let operator = operator(&database).await;
    let made = maintain(&operator, 4, 400, Timestamp::now(), |_, _| {}).await.unwrap().created;
    let [made] = &made[..] else { panic!("{made:?}") };
    let (attached, expected) =
        (described(&database, made).await, described(&database, "user_events_9999_01").await);
    assert_eq!(attached, expected);
    assert!(
        expected["constraints"][0]["conname"].is_string() && expected["indexes"][0].is_array(),
        "{expected}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_somebody_detached_is_neither_folded_nor_passed_over() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    a_year(&database).await;
    let execute = async |statement: &str| {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&database.owner).await.unwrap();
    };
    let names = "select name from user_event_partitions order by lower offset 5 limit 1";
    let month: String = sqlx::query_scalar(names).fetch_one(&database.owner).await.unwrap();
    execute(&format!("alter table user_events detach partition {month}")).await;
    let events = database.count(&month).await;
    let months = database.count("user_event_partitions").await;
    // Months are made ahead all the same; none is folded, the earlier ones neither.
    let refused = maintain(&operator, 4, 90, Timestamp::now(), |_, _| {}).await.unwrap_err();
    assert!(
        matches!(&refused, MaintainError::Detached(detached) if detached.to_string().contains(&month)),
        "{refused}"
    );
    assert_eq!(database.count("user_event_partitions").await, months + 1);
    assert_eq!(database.count(&month).await, events, "the archive is left alone");
    // What it says is what mends it.
    let fix = detached_months(operator.inspection()).await.unwrap()[0].fix();
    execute(fix.split('`').nth(1).unwrap()).await;
    assert_eq!(detached_months(operator.inspection()).await.unwrap(), []);
    assert_eq!(differences(&operator).await, 0);
    assert!(maintain(&operator, 4, 90, Timestamp::now(), |_, _| {}).await.unwrap().folded.len() >= 8);
    assert_eq!(differences(&operator).await, 0);
    assert_eq!(maintain(&operator, 4, 90, Timestamp::now(), |_, _| {}).await.unwrap(), Maintained::default());
}
