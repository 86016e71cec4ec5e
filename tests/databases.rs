//! Databases as they are found: several deployments in one database or on one server, tables of the application's own, and
//! what refuses this service's rows.

use std::str::FromStr as _;
use std::sync::Arc;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::ops::doctor::grants;
use cognito_user_sync::postgres::{self, Database, RolePrefix, Schema};
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::directory;
use cognito_user_sync::store::maintenance::adopt::Options;
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync::store::migrate;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool};
use uuid::Uuid;

use crate::support::conformance::Adapter;
use crate::support::events::{at, confirmed, login, sub};
use crate::support::{TestDatabase, deployment, permit_receives, send, stack, take};

/// A database of a new name, and its URL as its owner.
pub(crate) async fn empty_database(options: &str) -> (String, String) {
    let name = format!("found_{}", Uuid::now_v7().simple());
    let admin_url = stack().await.postgres.admin_url();
    let mut admin = PgConnectOptions::from_str(admin_url).unwrap().connect().await.unwrap();
    let create = format!("create database {name} {options}");
    sqlx::query(AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
    let mut url = url::Url::parse(admin_url).unwrap();
    url.set_path(&name);
    (url.to_string(), name)
}

pub(crate) async fn open(url: &str, schema: &str) -> Database {
    let schema = Schema::new(schema).unwrap();
    postgres::connect(&DatabaseConfig { schema, ..DatabaseConfig::with_url(url) }, 3).await.unwrap()
}

pub(crate) async fn run(pool: &PgPool, statements: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(pool).await.unwrap();
}

/// A login in a role, and the URL with it.
async fn login_in(url: &str, role: &str) -> String {
    let name = format!("t_{}", Uuid::now_v7().simple());
    let owner = local::connect(url, 1).await.unwrap();
    run(&owner, format!("create role {name} login password 'x' in role {role}")).await;
    let mut url = url::Url::parse(url).unwrap();
    url.set_username(&name).unwrap();
    url.set_password(Some("x")).unwrap();
    url.to_string()
}

async fn differences(database: &Database) -> u64 {
    verify(database, &GeoIp::default(), |_| {}, |_| {}).await.unwrap().differences
}

/// The first 11 migrations, as releases before this one ran them: without an id and without marks.
pub(crate) async fn migrate_as_before(url: &str, prefix: &str) {
    let owner = local::connect(url, 1).await.unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let before = sqlx::migrate::Migrator::new(std::path::Path::new(folder)).await.unwrap();
    let prefix = RolePrefix::new(prefix).unwrap();
    run(&owner, include_str!("../src/store/migrate/migrations_table.sql")).await;
    for migration in before.iter().filter(|migration| migration.version <= 11) {
        run(&owner, prefix.rename(migration.sql.as_str())).await;
        let record = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
            values ($1, $2, true, $3, 1)";
        let record = sqlx::query(record).bind(migration.version).bind(migration.description.as_ref());
        record.bind(migration.checksum.as_ref()).execute(&owner).await.unwrap();
    }
    owner.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pools_live_in_two_schemas_of_one_database() {
    let (url, name) = empty_database("").await;
    let mut consumers = Vec::new();
    for schema in ["customers", "Staff \"2\""] {
        let prefix = format!("{}_{}", name.replace("found", "f"), &schema[..1].to_lowercase());
        let owner = open(&url, schema).await;
        migrate::run(&owner, RolePrefix::new(&prefix).as_ref()).await.unwrap();
        let consumer = login_in(&url, &format!("{prefix}_consumer")).await;
        consumers.push((schema, Applier::new(open(&consumer, schema).await)));
    }
    // The same address in both, and the same sub.
    for (schema, applier) in &consumers {
        let events = [confirmed(1, at(1)).email("ada@example.com").build(), login(1, at(2)).build()];
        for event in &events[..=usize::from(*schema == "customers")] {
            assert_eq!(applier.apply(&[event.encode()]).await, [Outcome::Applied], "{schema}");
        }
    }
    let owner = local::connect(&url, 1).await.unwrap();
    for (schema, applier) in &consumers {
        let rows = format!("select email, login_count from {}.users", Schema::new(schema).unwrap().quoted());
        let rows: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(rows)).fetch_all(&owner).await.unwrap();
        assert_eq!(rows, [("ada@example.com".to_owned(), i64::from(*schema == "customers"))], "{schema}");
        assert_eq!(differences(applier.database()).await, 0, "{schema}");
    }
    // Each consumer's login is of its own deployment alone.
    let [(_, customers), (_, staff)] = &consumers[..] else { panic!() };
    for (applier, schema) in [(customers, "\"Staff \"\"2\"\"\""), (staff, "customers")] {
        let update = format!("update {schema}.users set login_count = 7");
        let refused = sqlx::query(AssertSqlSafe(update)).execute(applier.pool()).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"));
    }
}

/// Its name is no identifier as it stands: what is ours is found all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_with_an_odd_name_is_looked_at_like_any_other() {
    let (url, name) = empty_database("").await;
    let schema = "Odd.Name \"x\"";
    let (database, prefix) = (open(&url, schema).await, RolePrefix::new(&name).unwrap());
    migrate::run(&database, Some(&prefix)).await.unwrap();
    let granted = grants::actual(&database, &prefix).await.unwrap();
    assert!(granted.iter().any(|line| line.contains("user_sync_runs")), "{granted:?}");
    assert!(directory::is_ready(&database).await.unwrap(), "a table without rows has its indexes");
    // What another prefix takes over.
    let mut owner = local::connect(&url, 1).await.unwrap().acquire().await.unwrap().detach();
    let path = format!("set search_path = {}", Schema::new(schema).unwrap().quoted());
    sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut owner).await.unwrap();
    let statements: Vec<String> = sqlx::query_scalar(include_str!("../src/store/migrate/change_roles.sql"))
        .bind(&name)
        .bind("another")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    assert!(statements.contains(&"alter table users owner to another_owner".to_owned()), "{statements:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_users_table_is_no_obstacle_to_a_schema_of_ones_own() {
    let (url, name) = empty_database("").await;
    let owner = local::connect(&url, 1).await.unwrap();
    run(
        &owner,
        "create table users (id serial primary key, handle text); insert into users values (1, 'ada')",
    )
    .await;
    let prefix = RolePrefix::new(&name);
    let options = Options { profile: Default::default(), user_pool_id: None, now: Timestamp::now() };
    let public = open(&url, "public").await;
    let geoip = GeoIp::default();
    let adopted = migrate::run_and_adopt(&public, prefix.as_ref(), &options, &geoip, |_, _| {});
    for refused in [
        adopted.await.unwrap_err().to_string(),
        migrate::upgrade(&public, prefix.as_ref()).await.unwrap_err().to_string(),
    ] {
        assert!(refused.contains("USER_SYNC_DATABASE_SCHEMA"), "{refused}");
    }
    let own = open(&url, "identity").await;
    migrate::run(&own, prefix.as_ref()).await.unwrap();
    let consumer = login_in(&url, &format!("{name}_consumer")).await;
    let applier = Applier::new(open(&consumer, "identity").await);
    assert_eq!(applier.apply(&[login(1, at(1)).build().encode()]).await, [Outcome::Applied]);
    let handles: Vec<String> =
        sqlx::query_scalar("select handle from public.users").fetch_all(&owner).await.unwrap();
    assert_eq!(handles, ["ada"], "the application's table is as it was");
    // Whoever forgets the variable is told of the schema, and makes no second deployment by accident.
    for prefix in [prefix.as_ref(), None] {
        let forgotten = migrate::run(&public, prefix).await.unwrap_err().to_string();
        assert!(forgotten.contains("USER_SYNC_DATABASE_SCHEMA=identity"), "{forgotten}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_another_deployment_are_refused_and_cannot_be_used() {
    let ((one, name), (other, _)) = (empty_database("").await, empty_database("").await);
    let prefix = RolePrefix::new(&name);
    migrate::run(&open(&one, "public").await, prefix.as_ref()).await.unwrap();
    let refused = migrate::run(&open(&other, "public").await, prefix.as_ref()).await.unwrap_err().to_string();
    assert!(refused.contains("USER_SYNC_ROLE_PREFIX"), "{refused}");
    assert!(refused.contains(&format!("schema public of database {name}")), "{refused}");
    let pool = local::connect(&other, 1).await.unwrap();
    let tables: i64 =
        sqlx::query_scalar("select count(*) from pg_class where relnamespace = 'public'::regnamespace")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(tables, 0, "nothing was changed");
    // With roles of its own, the first one's login has no rights in it.
    let own = RolePrefix::new(&format!("{}_b", name.replace("found", "f")));
    migrate::run(&open(&other, "public").await, own.as_ref()).await.unwrap();
    let consumer = login_in(&one, &format!("{name}_consumer")).await;
    let mut in_other = url::Url::parse(&consumer).unwrap();
    in_other.set_path(url::Url::parse(&other).unwrap().path());
    let applier = Applier::new(open(in_other.as_str(), "public").await);
    let event = login(1, at(1)).build().encode();
    assert!(matches!(applier.apply(&[&event]).await[..], [Outcome::Retry(_)]), "it writes there");
    assert_eq!(Applier::new(open(&consumer, "public").await).apply(&[&event]).await, [Outcome::Applied]);
}

/// Installations from before deployments had an id: both go on, `doctor` names both, and a prefix parts them.
#[tokio::test(flavor = "multi_thread")]
async fn two_databases_that_share_roles_from_before_are_parted_by_a_prefix() {
    let ((one, name), (other, other_name)) = (empty_database("").await, empty_database("").await);
    for url in [&one, &other] {
        migrate_as_before(url, &name).await;
    }
    let shared = RolePrefix::new(&name);
    let owner = local::connect(&one, 1).await.unwrap();
    run(&owner, "alter table users add column search text generated always as (lower(name)) stored").await;
    // A new deployment does not take the roles, though nobody has marked them.
    let (newer, _) = empty_database("").await;
    let refused = migrate::run(&open(&newer, "public").await, shared.as_ref()).await.unwrap_err().to_string();
    assert!(refused.contains("belong to another deployment"), "{refused}");
    // Any member of the owner may migrate.
    let member = login_in(&other, &format!("{name}_owner")).await;
    let (first, second) = (open(&one, "public").await, open(&other, "public").await);
    for database in [&first, &open(&member, "public").await, &second, &first] {
        migrate::run(database, shared.as_ref()).await.unwrap();
    }
    edits_are_the_applications(&first).await;
    let old_consumer = login_in(&other, &format!("{name}_consumer")).await;
    let old = Applier::new(open(&old_consumer, "public").await);
    assert_eq!(old.apply(&[confirmed(1, at(1)).build().encode()]).await, [Outcome::Applied]);
    let found = said_by_doctor(&old_consumer, "deployment").await;
    assert!(found.contains(&name) && found.contains(&other_name), "both are named: {found}");

    // A prefix that begins with the other one is another one.
    let own = format!("{name}1");
    migrate::run(&second, RolePrefix::new(&own).as_ref()).await.unwrap();
    edits_are_the_applications(&second).await;
    let event = login(1, at(2)).build().encode();
    assert!(matches!(old.apply(&[&event]).await[..], [Outcome::Retry(_)]), "the old login still writes");
    let consumer = login_in(&other, &format!("{own}_consumer")).await;
    let applier = Applier::new(open(&consumer, "public").await);
    assert_eq!(applier.apply(&[&event]).await, [Outcome::Applied]);
    assert_eq!(differences(applier.database()).await, 0);
    for check in ["deployment", "grants", "ownership", "logins", "session settings", "obstacles", "edits"] {
        assert!(said_by_doctor(&consumer, check).await.starts_with("ok"), "{check}");
    }
    // An unmarked write of the new roles' login fails as well.
    let unmarked = sqlx::query("update users set name = 'Eve'").execute(applier.pool()).await.unwrap_err();
    assert_eq!(unmarked.as_database_error().unwrap().code().as_deref(), Some("55000"));
    // The next `migrate` needs no variable: the schema knows its prefix.
    migrate::run(&second, None).await.unwrap();
}

/// An edit of the application counts as one, and one that changes nothing does not.
async fn edits_are_the_applications(database: &Database) {
    let user = "insert into users (id, name, referral_code, created_at, synced_at, updated_at)
        values (gen_random_uuid(), 'x', 'x', now(), now(), now()) on conflict do nothing";
    let pool = database.pool();
    run(pool, user).await;
    for (edit, owned) in [("update users set name = name", "{}"), ("update users set name = 'y'", "{name}")] {
        run(pool, edit).await;
        let found: String = sqlx::query_scalar("select app_owned::text from users where referral_code = 'x'")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(found, owned, "{edit}");
    }
    run(pool, "delete from users where referral_code = 'x'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_are_somebody_elses_are_not_taken() {
    let (url, name) = empty_database("").await;
    let owner = local::connect(&url, 1).await.unwrap();
    run(&owner, format!("create role {name}_app login; create role {name}_reader")).await;
    let refused =
        migrate::run(&open(&url, "public").await, RolePrefix::new(&name).as_ref()).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("the role {name}_app is there already")), "{refused}");
    // One that was made by hand, to be ready, is.
    run(&owner, format!("alter role {name}_app nologin")).await;
    migrate::run(&open(&url, "public").await, RolePrefix::new(&name).as_ref()).await.unwrap();
}

/// The console's role came later than the others: whoever migrates may not be able to make it, and its name may be taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_from_before_the_console_goes_on_without_its_role() {
    let (url, name) = empty_database("").await;
    migrate_as_before(&url, &name).await;
    let owner = local::connect(&url, 1).await.unwrap();
    let console = format!("{name}_console");
    let is_there = async || {
        let query = sqlx::query_scalar("select to_regrole($1) is not null").bind(&console);
        query.fetch_one(&owner).await.unwrap()
    };
    // As releases of before left it, marked; then a member of the owner, who may make no role, migrates.
    let member = login_in(&url, &format!("{name}_owner")).await;
    let prefix = RolePrefix::new(&name);
    for _ in 0..2 {
        migrate::run(&open(&member, "public").await, prefix.as_ref()).await.unwrap();
        assert!(!is_there().await);
    }
    let consumer = login_in(&url, &format!("{name}_consumer")).await;
    let applier = Applier::new(open(&consumer, "public").await);
    assert_eq!(applier.apply(&[confirmed(1, at(1)).build().encode()]).await, [Outcome::Applied]);
    let said = said_by_doctor(&consumer, "roles").await;
    assert!(said.starts_with("warn") && said.contains(&console), "{said}");
    let said = said_by_doctor(&consumer, "grants").await;
    assert!(said.starts_with("ok"), "{said}");

    // Somebody else's role of that name gets nothing.
    run(&owner, format!("create role {console} login")).await;
    migrate::run(&open(&url, "public").await, prefix.as_ref()).await.unwrap();
    let query = format!("select has_table_privilege('{console}', 'users', 'select')");
    let may_read = async |query: &str| -> bool {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&owner).await.unwrap()
    };
    assert!(!may_read(&query).await);
    run(&owner, format!("drop role {console}")).await;

    // Whoever may make roles makes it, once, and it has all its rights.
    migrate::run(&open(&url, "public").await, prefix.as_ref()).await.unwrap();
    assert!(is_there().await && may_read(&query).await);
    for check in ["roles", "grants", "deployment", "memberships"] {
        let said = said_by_doctor(&consumer, check).await;
        assert!(said.starts_with("ok"), "{check}: {said}");
    }
}

/// A line of `doctor`, as its status, what was found and what to do.
async fn said_by_doctor(url: &str, name: &str) -> String {
    use cognito_user_sync::ops::doctor;
    let options = doctor::Options {
        database: Ok(DatabaseConfig::with_url(url)),
        queue_url: None,
        dlq_url: None,
        context_queue_url: None,
        context_dlq_url: None,
        user_pool_id: None,
        accepts_every_pool: false,
        asks_cognito: true,
        trigger_arn: None,
        triggers_parameter: None,
        consumer_timeout_seconds: 60,
        max_heartbeat_age_minutes: 15,
    };
    let checks = Box::pin(doctor::examine(&options)).await;
    let check = checks.into_iter().find(|check| check.name == name).unwrap();
    let status = serde_json::to_value(check.status).unwrap();
    format!("{}: {} → {}", status.as_str().unwrap(), check.found, check.fix.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_hold_every_name_is_refused() {
    let (url, name) = empty_database("encoding 'LATIN1' locale 'C' template template0").await;
    let refused = migrate::run(&open(&url, "public").await, RolePrefix::new(&name).as_ref()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("LATIN1") && refused.contains("encoding 'UTF8'"), "{refused}");
    let found = said_by_doctor(&url, "encoding").await;
    assert!(found.starts_with("failed: ") && found.contains("LATIN1"), "{found}");
}

/// A type without an operator for equality, and JSON that jsonb cannot hold.
#[tokio::test(flavor = "multi_thread")]
async fn edits_of_a_json_column_are_edits_like_others() {
    let database = TestDatabase::create().await;
    assert_eq!(database.apply(&[login(1, at(1)).build()]).await, [Outcome::Applied]);
    run(&database.owner, "alter table users add column extra json, add column note text").await;
    let app =
        login_in(&database.deployment.owner_url, &database.deployment.prefix().rename("user_sync_app")).await;
    let app = local::connect(&app, 1).await.unwrap();
    let granted =
        "grant update (extra, note) on users to user_sync_app; grant select on users to user_sync_app";
    run(&database.owner, database.deployment.prefix().rename(granted)).await;
    // Not as JSON, which could not hold what is in the row.
    let noted = async || {
        let query = "select row_version, app_owned::text from users where id = $1";
        sqlx::query_as::<_, (i64, String)>(query).bind(sub(1)).fetch_one(&database.owner).await.unwrap()
    };
    for add in
        ["", "alter table users add column \"low 1% er\" text generated always as (lower(name)) stored"]
    {
        run(&database.owner, add).await;
        for (edit, is_one) in [
            (r#"update users set extra = '{"a":1}', note = 'x'"#, true),
            (r#"update users set extra = '{"a":1}'"#, false),
            (r#"update users set extra = '{ "a": 1 }'"#, true),
            (r#"update users set extra = '{"a": "\u0000"}'"#, true),
            (r#"update users set extra = '{"a": 1e200000}'"#, true),
            (r#"update users set note = 'y'"#, true),
            (r#"update users set note = 'y', extra = extra"#, false),
            ("update users set extra = null", true),
        ] {
            let (before, _) = noted().await;
            run(&app, edit).await;
            assert_eq!(noted().await.0 != before, is_one, "{edit}");
        }
        assert_eq!(noted().await.1, "{}", "{add}");
    }
    run(&app, "update users set extra = '\"\\u0000\"', timezone = 'Europe/Berlin', name = 'Ada'").await;
    assert_eq!(noted().await.1, "{name,timezone}");
    let events = [confirmed(1, at(2)).email("ada@example.com").build(), login(1, at(3)).build()];
    assert_eq!(database.apply(&events).await, [const { Outcome::Applied }; 2]);
    assert_eq!(differences(database.applier.database()).await, 0);
    let said = said_by_doctor(&database.deployment.consumer_url, "obstacles").await;
    assert!(said.contains("generated column") && !said.contains("extra"), "{said}");
}

/// What others added to `users`: only the rows that it refuses wait, and they go through once it is mended.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_refuse_wait_until_it_is_mended() {
    let function = "create function check_user() returns trigger language plpgsql as $$ begin
        if new.cognito_username = 'ada' then raise exception 'not %', new.cognito_username; end if; return new; end $$;
        create trigger no_ada before insert or update on users for each row execute function check_user()";
    for (add, mend, named, doctor) in [
        (
            "alter table users add column tenant text not null",
            "alter table users alter column tenant set default 'x'",
            "column tenant",
            "the column tenant",
        ),
        (
            "alter table users add constraint no_ada check (cognito_username <> 'ada')",
            "alter table users drop constraint no_ada",
            "constraint no_ada",
            "the check constraint no_ada",
        ),
        (
            "create unique index one_language on users ((cognito_username = 'ada')) where cognito_username in ('ada', 'eve');
             insert into users (id, name, referral_code, created_at, synced_at, updated_at, cognito_username)
             values ('00000000-0000-0000-0000-00000000ffff', 'x', 'x', now(), now(), now(), 'ada')",
            "drop index one_language",
            "constraint one_language",
            "the unique index one_language",
        ),
        (
            "alter table users add constraint numbered check (cognito_username <> 'ada' or cognito_username::int > 0)",
            "alter table users drop constraint numbered",
            "maybe the check constraint numbered",
            "the check constraint numbered",
        ),
        (
            "create table audit (at timestamptz) partition by range (at);
             grant insert on audit to public;
             create function audit_user() returns trigger language plpgsql as $$ begin
                if new.cognito_username = 'ada' then insert into audit values (now()); end if; return new; end $$;
             create trigger audit after insert or update on users for each row execute function audit_user()",
            "drop trigger audit on users",
            "function audit_user, trigger audit",
            "the trigger audit",
        ),
        (function, "drop trigger no_ada on users", "function check_user, trigger no_ada", "the trigger no_ada"),
        (
            "alter table users enable row level security;
             create policy reads on users using (true) with check (cognito_username is distinct from 'ada')",
            "alter table users disable row level security",
            "row security",
            "row security",
        ),
    ] {
        let database = TestDatabase::create().await;
        run(&database.owner, add).await;
        let of = |user, name: &str| {
            let name = name.to_owned();
            login(user, at(1)).with(move |data| data.user_name = Some(name.into())).build()
        };
        let events = [of(1, "ada"), of(2, "grace"), of(3, "edsger")];
        let refuses_all = named == "column tenant";
        for outcome in database.apply(&events).await.iter().take(if refuses_all { 3 } else { 1 }) {
            let Outcome::Obstructed(rejection) = outcome else { panic!("{named}: {outcome:?}") };
            assert!(rejection.detail.contains(named), "{named}: {}", rejection.detail);
            assert!(!rejection.detail.contains("report this") && !rejection.detail.contains("ada\""), "{named}");
        }
        let counted = database.count("users where login_count = 1").await;
        assert_eq!(counted, if refuses_all { 0 } else { 2 }, "{named}: the others");
        let found = said_by_doctor(&database.deployment.consumer_url, "obstacles").await;
        assert!(found.contains(doctor) && !found.starts_with("ok"), "{named}: {found}");
        run(&database.owner, mend).await;
        let again = database.apply(&events).await;
        assert!(again.iter().all(|outcome| matches!(outcome, Outcome::Applied | Outcome::Duplicate)), "{again:?}");
        assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("1"), "{named}");
        assert_eq!(differences(database.applier.database()).await, u64::from(named.contains("one_language")));
    }
}

/// The redrive policy permits 4 receives, so 2 of them are for the person who mends it.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_mends_becomes_a_dead_letter_that_names_it() {
    let deployment = deployment().await;
    let owner = local::connect(&deployment.owner_url, 1).await.unwrap();
    run(&owner, "alter table users add constraint nobody check (name = 'nobody') not valid").await;
    permit_receives(&deployment, 4).await;
    send(&deployment, &[login(1, at(1)).build().encode()]).await;
    let worker = Adapter::Worker.start(&deployment, &[]).await;
    worker.drained(&deployment).await;
    worker.end().await;
    let letters = take(&deployment, &deployment.dlq_url).await;
    assert_eq!(letters.len(), 1);
    let attributes = letters[0].message_attributes.as_ref().unwrap();
    let attribute = |name: &str| attributes[name].string_value.clone().unwrap();
    assert_eq!(attribute("reason"), "refused_by_database");
    assert!(attribute("detail").contains("constraint nobody"), "{}", attribute("detail"));
}

/// Two `migrate` at once, behind no session's lock: each migration runs once.
#[tokio::test(flavor = "multi_thread")]
async fn several_may_migrate_at_once() {
    let (url, name) = empty_database("").await;
    let database = Arc::new(open(&url, "public").await);
    let migrate = |_| {
        let (database, prefix) = (Arc::clone(&database), RolePrefix::new(&name));
        tokio::spawn(async move { migrate::run(&database, prefix.as_ref()).await })
    };
    for migrated in futures::future::join_all((0..3).map(migrate)).await {
        migrated.unwrap().unwrap();
    }
    let ran: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations")
        .fetch_one(database.questions())
        .await
        .unwrap();
    assert_eq!(ran, 26);
}
