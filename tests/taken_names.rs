//! Relations, types and functions of somebody else's under names that the migrations make: found before the first change,
//! and refused by name.

use cognito_user_sync::dev::local;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{Database, RolePrefix};
use cognito_user_sync::store::maintenance::adopt::Options;
use cognito_user_sync::store::migrate;
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::PgPool;

use crate::databases::{empty_database, migrate_as_before, open, run};
use crate::support::old_table;

/// What somebody else has made, and how it is named.
const TAKEN: &[(&str, &str)] = &[
    ("create table sync_status (x integer)", "table sync_status"),
    ("create view user_claims as select 1 as x", "view user_claims"),
    (
        "create table orders (id integer constraint user_events_pkey primary key)",
        "index user_events_pkey of orders",
    ),
    ("create sequence user_baseline", "sequence user_baseline"),
    (
        "create materialized view report_logins_by_day as select 1 as x",
        "materialized view report_logins_by_day",
    ),
    ("create table report_retention (x integer) partition by range (x)", "table report_retention"),
    ("create type user_event_partitions as (x integer)", "type user_event_partitions"),
    ("create type user_events as enum ('one')", "type user_events"),
    ("create domain report_devices as text", "type report_devices"),
    ("create type users as enum ('one')", "type users"),
    (
        "create function user_event_bound(x text) returns text language sql as 'select x'",
        "function user_event_bound(text)",
    ),
    (
        "create procedure user_sync_begin(x text) language sql as 'select x'",
        "procedure user_sync_begin(text)",
    ),
    ("create table user_events_2031_05 (x integer)", "table user_events_2031_05"),
    ("create domain user_events_2031_05 as text", "type user_events_2031_05"),
    (
        "create table orders (id integer); create index user_events_2019_12_pkey on orders (id)",
        "index user_events_2019_12_pkey of orders",
    ),
    // A name for a moment only.
    (
        "create table orders (id integer); create index users_email_partial on orders (id)",
        "index users_email_partial of orders",
    ),
    (
        "create table orders (id integer constraint sync_status_pkey primary key)",
        "index sync_status_pkey of orders",
    ),
    ("create table user_sync_deployment (id integer)", "table user_sync_deployment"),
    ("create table _sqlx_migrations (id integer)", "table _sqlx_migrations"),
    ("create view _sqlx_migrations as select 1 as x", "view _sqlx_migrations"),
];

/// All that a migration could have changed: relations, types and functions, and the roles of the prefix.
async fn all_there_is(pool: &PgPool, prefix: &str) -> Vec<String> {
    let query = "select 'relation ' || oid::regclass from pg_class where oid >= 16384 and relnamespace <> 'pg_toast'::regnamespace
        union all select 'type ' || oid::regtype from pg_type where oid >= 16384
        union all select 'function ' || oid::regprocedure from pg_proc where oid >= 16384
        union all select 'schema ' || nspname from pg_namespace
        union all select 'role ' || rolname from pg_roles where rolname like $1 || '%' order by 1";
    sqlx::query_scalar(query).bind(prefix).fetch_all(pool).await.unwrap()
}

fn options() -> Options {
    Options { profile: Default::default(), user_pool_id: None, now: Timestamp::now() }
}

/// By every way that there is to migrate.
async fn refusals(database: &Database, prefix: Option<&RolePrefix>) -> Vec<String> {
    let (options, geoip) = (options(), GeoIp::default());
    let adopted = Box::pin(migrate::run_and_adopt(database, prefix, &options, &geoip, |_, _| {})).await;
    [
        migrate::run(database, prefix).await.unwrap_err(),
        migrate::upgrade(database, prefix).await.unwrap_err(),
        Box::pin(migrate::survey(database, prefix, &options, &geoip, |_, _| {})).await.unwrap_err(),
        adopted.unwrap_err(),
    ]
    .map(|error| error.to_string())
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_name_of_ours_is_named_and_nothing_is_changed() {
    let (url, name) = empty_database("").await;
    let owner = local::connect(&url, 1).await.unwrap();
    let prefix = RolePrefix::new(&name);
    for (number, (create, named)) in TAKEN.iter().enumerate() {
        let schema = format!("case_{number}");
        run(
            &owner,
            format!("create schema {schema}; set search_path to {schema}; {create}; reset search_path"),
        )
        .await;
        let database = open(&url, &schema).await;
        let before = all_there_is(&owner, &name).await;
        for refused in refusals(&database, prefix.as_ref()).await {
            assert!(refused.contains(&format!("\n  {named} exists already")), "{create}: {refused}");
            assert_eq!(
                refused.lines().filter(|line| line.starts_with("  ")).count(),
                1,
                "{create}: {refused}"
            );
            for words in ["nothing was changed", "rename", "USER_SYNC_DATABASE_SCHEMA"] {
                assert!(refused.contains(words), "{create}: {refused}");
            }
        }
        assert_eq!(all_there_is(&owner, &name).await, before, "{create}");
        database.close().await;
    }
    // A schema of its own is what the refusal advises.
    migrate::run(&open(&url, "identity").await, prefix.as_ref()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_renamed_is_in_nobodys_way() {
    let (url, name) = empty_database("").await;
    let owner = local::connect(&url, 1).await.unwrap();
    // Other names, however alike, and the same ones elsewhere.
    run(
        &owner,
        "create schema other; create table other.sync_status (x integer); create view other.user_claims as select 1 as x;
        create table \"Sync_Status\" (x integer); create table user_event (x integer); create table user_events_2031 (x integer);
        create table user_events_archive (x integer); create table user_events_2031_05x (x integer);
        create view user_groups as select 1 as x; create function user_events() returns integer language sql as 'select 1';
        create table sync_statuses (x integer constraint user_claims_kind_check check (x > 0))",
    )
    .await;
    run(&owner, "create table sync_status (x integer); create domain user_baseline as text; create type user_claims as (x integer)").await;
    let public = open(&url, "public").await;
    let refused = migrate::run(&public, RolePrefix::new(&name).as_ref()).await.unwrap_err().to_string();
    let lines: Vec<&str> = refused.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(
        lines,
        [
            "  table sync_status exists already",
            "  type user_baseline exists already",
            "  type user_claims exists already"
        ]
    );
    run(
        &owner,
        "alter table sync_status rename to statuses; alter domain user_baseline rename to baseline; drop type user_claims",
    )
    .await;
    migrate::run(&public, RolePrefix::new(&name).as_ref()).await.unwrap();
    migrate::run(&public, RolePrefix::new(&name).as_ref()).await.unwrap();
    let statuses: i64 = sqlx::query_scalar("select count(*) from statuses").fetch_one(&owner).await.unwrap();
    assert_eq!(statuses, 0);
}

/// An application that migrates by sqlx has that table, too: sharing it would stop its next migration.
#[tokio::test(flavor = "multi_thread")]
async fn another_programs_migrations_are_not_mixed_with_ours() {
    let (url, name) = empty_database("").await;
    let owner = local::connect(&url, 1).await.unwrap();
    let prefix = RolePrefix::new(&name);
    for (number, rows) in [
        "(20260101120000, 'create orders', true, '\\x01', 1)",
        "(1, 'orders', true, '\\x01', 1), (2, 'users', true, '\\x02', 1)",
        "(1, 'orders', false, '\\x01', 1)",
        "(99, 'roles', true, '\\x01', 1)",
    ]
    .into_iter()
    .enumerate()
    {
        let schema = format!("app_{number}");
        let create = include_str!("../src/store/migrate/migrations_table.sql");
        run(
            &owner,
            format!(
                "create schema {schema}; set search_path to {schema}; {create};
                insert into _sqlx_migrations (version, description, success, checksum, execution_time) values {rows};
                reset search_path"
            ),
        )
        .await;
        let database = open(&url, &schema).await;
        let before = all_there_is(&owner, &name).await;
        for refused in refusals(&database, prefix.as_ref()).await {
            assert!(refused.contains("\n  table _sqlx_migrations exists already"), "{rows}: {refused}");
            assert!(refused.contains("another program"), "{rows}: {refused}");
        }
        assert_eq!(all_there_is(&owner, &name).await, before, "{rows}");
    }
    // One without a row is of whoever writes the first one.
    run(&owner, include_str!("../src/store/migrate/migrations_table.sql")).await;
    let public = open(&url, "public").await;
    migrate::run(&public, prefix.as_ref()).await.unwrap();
    // And what another program wrote into ours stays, as before.
    run(
        &owner,
        "insert into _sqlx_migrations values (20260101120000, 'create orders', now(), true, '\\x01', 1)",
    )
    .await;
    migrate::run(&public, prefix.as_ref()).await.unwrap();
}

/// Some migrations have run: what they made is ours, and what the others will make must be free.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_asks_for_the_names_that_are_still_to_be_made() {
    let (url, name) = empty_database("").await;
    let owner = local::connect(&url, 1).await.unwrap();
    migrate_as_before(&url, &name).await;
    let public = open(&url, "public").await;
    run(&owner, "create function user_sync_note_edit() returns integer language sql as 'select 1'").await;
    let before = all_there_is(&owner, &name).await;
    let refused = migrate::upgrade(&public, None).await.unwrap_err().to_string();
    assert!(refused.contains("\n  function user_sync_note_edit() exists already"), "{refused}");
    assert_eq!(refused.lines().filter(|line| line.starts_with("  ")).count(), 1, "{refused}");
    assert_eq!(all_there_is(&owner, &name).await, before);
    run(&owner, "drop function user_sync_note_edit()").await;
    migrate::upgrade(&public, None).await.unwrap();
}

/// The old table, its indexes and its sequences make room; what else has a name of ours does not.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_table_that_is_adopted_is_in_nobodys_way() {
    let (url, name) = empty_database("").await;
    let owner = local::connect(&url, 1).await.unwrap();
    let (prefix, options, geoip) = (RolePrefix::new(&name), options(), GeoIp::default());
    old_table::create(&owner).await;
    old_table::fill(&owner, 10, 1).await;
    run(&owner, "create index users_email_partial on users (email); create sequence sync_status owned by users.login_count").await;
    run(
        &owner,
        "create materialized view user_baseline as select 1 as x; create domain report_devices as text",
    )
    .await;
    let public = open(&url, "public").await;
    let before = all_there_is(&owner, &name).await;
    for refused in [
        Box::pin(migrate::survey(&public, prefix.as_ref(), &options, &geoip, |_, _| {})).await.unwrap_err(),
        Box::pin(migrate::run_and_adopt(&public, prefix.as_ref(), &options, &geoip, |_, _| {}))
            .await
            .unwrap_err(),
    ] {
        let refused = refused.to_string();
        let lines: Vec<&str> = refused.lines().filter(|line| line.starts_with("  ")).collect();
        let expected = ["materialized view user_baseline", "type report_devices"];
        assert_eq!(lines, expected.map(|named| format!("  {named} exists already")), "{refused}");
    }
    assert_eq!(all_there_is(&owner, &name).await, before);
    run(&owner, "drop materialized view user_baseline; drop domain report_devices").await;
    let migrated =
        Box::pin(migrate::run_and_adopt(&public, prefix.as_ref(), &options, &geoip, |_, _| {})).await;
    assert_eq!(migrated.unwrap().adopted.unwrap().rows, 10);
}
