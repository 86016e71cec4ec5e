//! An application's own users table becomes the service's: no row is lost, counts continue, the proof is exact
//! from the first moment on; and what cannot be adopted is refused by name, and left as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::maintenance::repair::repair;
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync::store::referral_code;
use cognito_user_sync_triggers::event::{Event, Kind};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::support::events::{at, confirmed, event, login, sub};
use crate::support::old_table::{self, OldUser, fingerprint};
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::{TestDatabase, binaries, stack};

const KEPT: &str = "users_before_user_sync";

/// How `user-sync` ended: whether well, and what it said.
struct Said {
    success: bool,
    stdout: String,
    stderr: String,
}

async fn user_sync(arguments: &[&str], url: &str) -> Said {
    let mut command = tokio::process::Command::new(binaries::user_sync());
    let (_, database) = url.rsplit_once('/').unwrap();
    command.args(arguments).env_clear().env("DATABASE_URL", url).env("USER_SYNC_ROLE_PREFIX", database);
    command.stdin(Stdio::null());
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A deployment on a database whose schema `prepare` makes.
async fn deployment_of(prepare: impl AsyncFnOnce(&str, &PgPool)) -> Deployment {
    let prepared = async |url: &str| {
        let pool = local::connect(url, 2).await?;
        prepare(url, &pool).await;
        pool.close().await;
        Ok(())
    };
    Deployment::create_migrated_by(stack().await, prepared).await.unwrap()
}

/// The differences that the program finds, as a consumer.
async fn verified(deployment: &Deployment) -> String {
    let said = user_sync(&["verify"], &deployment.consumer_url).await;
    assert!(said.stdout.ends_with(": 0 differences\n"), "{}{}", said.stdout, said.stderr);
    said.stdout
}

async fn scalar<T>(pool: &PgPool, query: &str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(pool).await.unwrap()
}

async fn operator(deployment: &Deployment) -> Database {
    let config = DatabaseConfig::with_url(&deployment.operator_url);
    postgres::connect(&config, 2).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_rows_are_adopted_and_events_come_on_top() {
    let count: u32 = std::env::var("USER_SYNC_TEST_ADOPT_ROWS").map_or(10_000, |rows| rows.parse().unwrap());
    let mut users = Vec::new();
    let mut before = String::new();
    let mut said = String::new();
    let deployment = deployment_of(async |url, pool| {
        old_table::create(pool).await;
        users = old_table::fill(pool, count, 1).await;
        before = fingerprint(pool, "users").await;
        let migrated = user_sync(&["migrate"], url).await;
        assert!(migrated.success, "{}", migrated.stderr);
        said = migrated.stdout;
        let again = user_sync(&["migrate"], url).await;
        assert_eq!(again.stdout, "the schema is current\n", "{}", again.stderr);
    })
    .await;
    for expected in
        [&format!("adopted {count} rows"), "\n  country_code: ", "\n  preferences: ", "\n  last_login_ip: "]
    {
        assert!(said.contains(expected), "no {expected} in {said}");
    }
    let database = TestDatabase::of(deployment).await;
    let owner = &database.owner;
    let contested = "select count(*) from user_contested_identifiers where kind = 'email'";
    let contested = scalar::<i64>(owner, contested).await;
    assert!(
        said.contains(&format!("{contested} users hold an address (email) that another user owns")),
        "{said}"
    );
    assert!(contested > 0);
    assert_eq!(fingerprint(owner, KEPT).await, before, "the old table stays as it was");
    let proved = verified(&database.deployment).await;
    assert_eq!(proved, format!("{count} users, 0 events: 0 differences\n"));
    every_old_value_is_shown(owner).await;
    referrals_are_resolved(owner, &users).await;

    // Repairing every user changes nothing: the history says just what the rows say.
    let rows = database.rows().await;
    let all: BTreeSet<Uuid> = users.iter().map(OldUser::sub).collect();
    repair(&operator(&database.deployment).await, &GeoIp::default(), &all).await.unwrap();
    assert_eq!(database.rows().await, rows);

    let events = events_on_top(&users);
    for batch in events.chunks(400) {
        let outcomes = database.apply(batch).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
        let outcomes = database.apply(batch).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Duplicate), "{outcomes:?}");
    }
    verified(&database.deployment).await;
    counts_continue(&database, &users, &events).await;
    let repaired = user_sync(&["verify", "--repair"], &database.deployment.operator_url).await;
    assert!(repaired.success && !repaired.stdout.contains("mended"), "{}", repaired.stdout);

    // A new sign-up that was sent by an adopted user, with the code as a person types it.
    let referrer =
        users.iter().find(|user| user.code.as_deref().is_some_and(|code| code.starts_with("abcd")));
    let typed = referrer.unwrap().code.as_ref().unwrap().replace('-', " ").to_uppercase();
    let exact = users.iter().find(|user| user.code.as_deref().is_some_and(|code| code.starts_with("friend")));
    let (typed_code, exact_code) = (typed, exact.unwrap().code.clone().unwrap());
    let own_code = users.iter().find(|user| user.code.is_none()).unwrap();
    let with_code = |user, code: String| {
        confirmed(user, at(9))
            .with(|data| data.client.referral_code = Some(format!(" {code}").into()))
            .build()
    };
    database
        .apply(&[
            with_code(2_000_001, typed_code),
            with_code(2_000_002, exact_code),
            with_code(2_000_003, referral_code(own_code.sub())),
            with_code(2_000_004, "nobody's code".into()),
        ])
        .await;
    for (user, referrer) in [
        (2_000_001, Some(referrer.unwrap().sub())),
        (2_000_002, Some(exact.unwrap().sub())),
        (2_000_003, Some(own_code.sub())),
        (2_000_004, None),
    ] {
        let referred_by = database.column(sub(user), "referred_by").await;
        assert_eq!(referred_by, referrer.map(|referrer| referrer.to_string()), "{user}");
    }
    verified(&database.deployment).await;

    // The application goes on with the rights of its own role.
    let app = local::connect(&database.deployment.app_url, 1).await.unwrap();
    sqlx::query("update users set bio = 'new', name = 'Chosen' where id = $1")
        .bind(users[0].sub())
        .execute(&app)
        .await
        .unwrap();
    verified(&database.deployment).await;
}

/// Where a value has a place in the new row, it is there; asked in SQL, which shares no code with the adoption.
async fn every_old_value_is_shown(owner: &PgPool) {
    let different = |what: &str, condition: &str| {
        (
            what.to_owned(),
            format!(
                "select count(*) from {KEPT} old left join users on users.id = old.id::uuid where not ({condition})"
            ),
        )
    };
    let text = |column: &str| {
        different(column, &format!("nullif(old.{column}, '') is null or users.{column} = old.{column}"))
    };
    let mut questions: Vec<(String, String)> =
        ["name", "first_name", "last_name", "gender", "timezone", "language", "profile_picture_url"]
            .map(text)
            .into();
    questions.extend([
        different("id", "users.id is not null"),
        different("login_count", "users.login_count = old.login_count"),
        different(
            "created_at",
            "users.created_at = date_trunc('milliseconds', old.created_at)",
        ),
        different(
            "last_login_at",
            "users.last_login_at is not distinct from date_trunc('milliseconds', old.last_login_at)",
        ),
        different("is_deleted", "users.is_deleted = old.is_deleted"),
        different(
            "deleted_at",
            "not old.is_deleted or users.deleted_at = date_trunc('milliseconds', coalesce(old.deleted_at, old.updated_at))",
        ),
        different("is_active", "users.is_active = (old.is_active and not old.is_deleted)"),
        different("bio", "users.bio is not distinct from old.bio"),
        different("is_premium", "users.is_premium = old.is_premium"),
        different(
            "preferences",
            r"users.preferences = case when old.preferences is null or old.preferences::text like '%\\u0000%'
                then '{}' else old.preferences::text::jsonb end",
        ),
        different("settings", "users.settings = coalesce(old.settings::text::jsonb, '{}')"),
        different("metadata", "users.metadata = coalesce(old.metadata::text::jsonb, '{}')"),
        different(
            "date_of_birth",
            "not isfinite(old.date_of_birth) or users.date_of_birth is not distinct from (old.date_of_birth at time zone 'utc')::date",
        ),
        different(
            "country_code",
            "length(old.country_code) is distinct from 2 or users.country_code = upper(old.country_code)",
        ),
        different("cognito_status", "users.cognito_status is not distinct from old.cognito_status"),
        different("cognito_username", "users.cognito_username is not distinct from old.cognito_username"),
        different("user_pool_id", "users.user_pool_id is null"),
        different(
            "last_login_device",
            "old.last_login_at is null or users.last_login_device is not distinct from
                case when old.last_login_device ~ '^Mozilla' then 'Desktop' when old.last_login_device = 'toaster' then null
                     else initcap(old.last_login_device) end",
        ),
        different(
            "last_login_ip",
            "old.last_login_at is null or host(users.last_login_ip) is not distinct from
                case when old.last_login_ip in ('192.0.2.7', '2001:db8::1') then old.last_login_ip
                     when old.last_login_ip like '203.0.113.9, %' then '203.0.113.9' end",
        ),
        different(
            "last_login_location",
            "old.last_login_at is null or users.last_login_location is not distinct from
                case when old.last_login_location not like 'null%' then old.last_login_location end",
        ),
        different(
            "referral_code",
            "old.referral_code is null or users.referral_code = case when old.referral_code like 'abcd%'
                then upper(replace(old.referral_code, '-', '')) else old.referral_code end",
        ),
        // An address is the user's own, or somebody's who has it in another case.
        different(
            "email",
            "old.email is null or old.is_deleted or users.email = lower(old.email)
                or exists (select from users owner where owner.email = lower(old.email) and owner.id <> users.id)",
        ),
        different("phone_number", "old.is_deleted or users.phone_number is not distinct from old.phone_number"),
        different(
            "email_verified",
            "users.email is null or users.email_verified = coalesce(old.email_verified, false)",
        ),
    ]);
    for (what, question) in questions {
        assert_eq!(scalar::<i64>(owner, &question).await, 0, "{what}");
    }
    let rows = format!("select count(*) - (select count(*) from {KEPT}) from users");
    assert_eq!(scalar::<i64>(owner, &rows).await, 0);
}

async fn referrals_are_resolved(owner: &PgPool, users: &[OldUser]) {
    let query = "select id, referred_by from users where referred_by is not null";
    let found: BTreeMap<Uuid, Uuid> =
        sqlx::query_as::<_, (Uuid, Uuid)>(query).fetch_all(owner).await.unwrap().into_iter().collect();
    let expected: BTreeMap<Uuid, Uuid> = users
        .iter()
        .filter_map(|user| Some((user.sub(), sub(user.referrer.filter(|of| *of != user.number)?))))
        .collect();
    assert!(expected.len() > users.len() / 5);
    assert_eq!(found, expected);
}

/// Logins, snapshots, deletions, and sign-ins that show an address which another user holds.
fn events_on_top(users: &[OldUser]) -> Vec<Event<'static>> {
    let mut random = fastrand::Rng::with_seed(2);
    (0..2_000)
        .map(|n| {
            let user = random.choice(users).unwrap().number;
            let other = random.choice(users).unwrap().number;
            match random.u8(0..8) {
                0 => event(Kind::Snapshot, user, at(n))
                    .email(&format!("user{other}@example.com"))
                    .with(|data| data.enabled = Some(n % 2 == 0)),
                1 => event(Kind::Deleted, user, at(n)),
                2 => login(user, at(n)).email(&format!("user{other}@example.com")),
                3 => login(1_000_000 + other % 50, at(n)).attributes(&[("name", "New")]),
                _ => login(user, at(n)).attributes(&[("name", "Cognito's"), ("locale", "de-AT")]),
            }
            .build()
        })
        .collect()
}

async fn counts_continue(database: &TestDatabase, users: &[OldUser], events: &[Event<'static>]) {
    let mut expected: BTreeMap<Uuid, i64> =
        users.iter().map(|user| (user.sub(), i64::from(user.logins))).collect();
    for event in events {
        if let Event::User(event) = event {
            *expected.entry(event.sub).or_default() += i64::from(event.kind == Kind::Authenticated);
        }
    }
    let counts = sqlx::query_as::<_, (Uuid, i64)>("select id, login_count from users");
    let found: BTreeMap<Uuid, i64> = counts.fetch_all(&database.owner).await.unwrap().into_iter().collect();
    assert_eq!(found, expected);
    for user in users.iter().filter(|user| user.is_deleted).take(50) {
        assert_eq!(database.column(user.sub(), "is_deleted").await.as_deref(), Some("true"));
    }
    for user in users.iter().take(50) {
        assert_eq!(database.column(user.sub(), "bio").await, user.bio);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_adopted_is_refused_by_name_and_left_as_it_was() {
    for (change, expected) in [
        (
            format!("update users set id = 'auth0|7' where id = '{}'", sub(7)),
            "the id is no UUID, so it is no sub: 1 rows, \"auth0|7\"",
        ),
        (
            format!("update users set id = '{}' where id = '{}'", sub(3).simple(), sub(7)),
            "the id is another row's, in another spelling: 2 rows",
        ),
        ("update users set login_count = -1 where id = (select max(id) from users)".into(), "login_count is negative"),
        ("update users set deleted_at = 'infinity' where id = (select max(id) from users)".into(), "a time lies before 1970"),
        (
            "alter table users alter column created_at drop not null; update users set created_at = null where login_count = 0".into(),
            "created_at is null",
        ),
        (
            "drop index ix_users_referral_code; update users set referral_code = 'same'".into(),
            "the referral_code is another row's as well: 20 rows",
        ),
        (
            "drop index ix_users_referral_code;
            update users set referral_code = 'ABCD-EFGH-JKMN-PQRS' where id = (select max(id) from users);
            update users set referral_code = 'abcdefghjkmnpqrs' where id = (select min(id) from users)".into(),
            "referral codes that differ only in case",
        ),
        (
            "alter table users drop column gender, add column password text, alter column login_count type text".into(),
            "column login_count: is text, expected integer, bigint or smallint\n  column password: is text, \
             expected no such column\n  column gender: is missing, expected varchar, text, char or uuid",
        ),
        ("create view members as select id from users".into(), "view members reads users"),
        (
            "create table orders (user_id varchar constraint orders_user references users (id))".into(),
            "foreign key orders_user of orders refers to users",
        ),
        (
            "create function noted() returns trigger language plpgsql as 'begin return new; end';
            create trigger note before update on users for each row execute function noted()".into(),
            "trigger note on users",
        ),
        ("alter table users enable row level security".into(), "row-level security on users"),
        ("create publication everybody for table users".into(), "publication everybody sends users"),
        ("create table members () inherits (users)".into(), "users inherits, is a partition or has children"),
        (format!("create table {KEPT} ()"), "users_before_user_sync exists already"),
        ("create table sync_status ()".into(), "sync_status exists already"),
    ] {
        deployment_of(async |url, pool| {
            old_table::create(pool).await;
            old_table::fill(pool, 20, 3).await;
            sqlx::raw_sql(AssertSqlSafe(change.clone())).execute(pool).await.unwrap();
            let before = fingerprint(pool, "users").await;
            for arguments in [&["migrate", "--dry-run"][..], &["migrate"]] {
                let refused = user_sync(arguments, url).await;
                // Only writing the codes shows that two are alike.
                if expected.contains("differ only in case") && arguments.len() == 2 {
                    continue;
                }
                assert!(!refused.success && refused.stderr.contains(expected), "{change}: {}", refused.stderr);
                assert!(refused.stderr.contains("nothing was changed"), "{}", refused.stderr);
                assert!(!refused.stderr.contains("@example.com"), "{}", refused.stderr);
                assert_eq!(fingerprint(pool, "users").await, before, "{change}");
                let ours = "select count(*) from pg_class where relname in ('user_claims', 'user_events')";
                assert_eq!(scalar::<i64>(pool, ours).await, 0, "{change}");
            }
            // The deployment needs the roles.
            sqlx::raw_sql("drop schema public cascade; create schema public").execute(pool).await.unwrap();
            let migrated = user_sync(&["migrate"], url).await;
            assert!(migrated.success, "{change}: {}", migrated.stderr);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_own_the_table_is_told_whose_it_is() {
    let role = format!("stranger_{}", Uuid::now_v7().simple());
    deployment_of(async |url, pool| {
        old_table::create(pool).await;
        let create = format!(
            "create role {role} login password 'x'; grant create on schema public to {role}; grant select on users to {role}"
        );
        sqlx::raw_sql(AssertSqlSafe(create)).execute(pool).await.unwrap();
        let (start, database) = url.rsplit_once('/').unwrap();
        let host = start.rsplit_once('@').map_or_else(|| start.rsplit_once('/').unwrap().1, |(_, host)| host);
        let refused = user_sync(&["migrate"], &format!("postgres://{role}:x@{host}/{database}")).await;
        let owner = scalar::<String>(pool, "select current_user::text").await;
        let expected = format!("users belongs to {owner}, expected a table of the role that migrates");
        assert!(!refused.success && refused.stderr.contains(&expected), "{}", refused.stderr);
        assert!(user_sync(&["migrate"], url).await.success);
        sqlx::raw_sql(AssertSqlSafe(format!("drop owned by {role}; drop role {role}"))).execute(pool).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    deployment_of(async |url, pool| {
        old_table::create(pool).await;
        old_table::fill(pool, 300, 4).await;
        let before = fingerprint(pool, "users").await;
        let dry = user_sync(&["migrate", "--dry-run"], url).await;
        assert!(dry.stdout.contains("would adopt 300 rows"), "{}{}", dry.stdout, dry.stderr);
        assert!(dry.stdout.ends_with("nothing was changed\n"), "{}", dry.stdout);
        assert_eq!(fingerprint(pool, "users").await, before);
        let done = user_sync(&["migrate"], url).await;
        let not_carried = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("  ")).map(str::to_owned).collect()
        };
        assert!(not_carried(&dry.stdout).len() > 5, "{}", dry.stdout);
        assert_eq!(not_carried(&dry.stdout), not_carried(&done.stdout));
        let dry = user_sync(&["migrate", "--dry-run"], url).await;
        assert_eq!(dry.stdout, "the schema is current: nothing would be done\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_killed_leaves_the_old_table_as_it_was() {
    let postgres: std::net::SocketAddr = {
        let stack = stack().await;
        format!("{}:{}", stack.postgres.host(), stack.postgres.port()).parse().unwrap()
    };
    deployment_of(async |url, pool| {
        old_table::create(pool).await;
        old_table::fill(pool, 3_000, 5).await;
        let before = fingerprint(pool, "users").await;
        // After the old table was renamed, within the migrations, among the rows, and when all are there.
        for (speaker, words, nth) in [
            (Speaker::Program, "rename to", 3),
            (Speaker::Program, "create table user_events", 1),
            (Speaker::Server, "INSERT 0 1000", 5),
            (Speaker::Program, "select kind, count(*)", 1),
        ] {
            let trap = Trap { speaker, words, nth, repeats: false, action: Action::Tell { pass_on: true } };
            let mut proxy = Proxy::start(postgres, Some(trap)).await;
            let through = proxy.through(url);
            let mut program = tokio::process::Command::new(binaries::user_sync())
                .arg("migrate")
                .env_clear()
                .env("DATABASE_URL", through)
                .env("USER_SYNC_ROLE_PREFIX", url.rsplit_once('/').unwrap().1)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let sprung = tokio::select! {
                ended = program.wait() => panic!("{words}: not met, {ended:?}"),
                sprung = proxy.sprung.recv() => sprung.unwrap(),
            };
            program.kill().await.unwrap();
            drop(sprung);
            // Waits for the lock of the dead session, which the server ends.
            assert_eq!(fingerprint(pool, "users").await, before, "{words}");
            assert_eq!(
                scalar::<Option<String>>(pool, &format!("select to_regclass('{KEPT}')::text")).await,
                None,
                "{words}"
            );
        }
        // Two at once: one adopts, the other finds it done.
        let (one, other) = tokio::join!(user_sync(&["migrate"], url), user_sync(&["migrate"], url));
        assert!(one.success && other.success, "{}{}", one.stderr, other.stderr);
        let adopted = [&one, &other].iter().filter(|said| said.stdout.contains("adopted 3000 rows")).count();
        assert_eq!(adopted, 1, "{}{}", one.stdout, other.stdout);
        assert_eq!(fingerprint(pool, KEPT).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_that_the_guide_gives_leads_back() {
    let guide = include_str!("../docs/adopting.md");
    let steps: Vec<&str> =
        guide.split("```sql\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    assert_eq!(steps.len(), 2);
    deployment_of(async |url, pool| {
        old_table::create(pool).await;
        old_table::fill(pool, 50, 6).await;
        let before = fingerprint(pool, "users").await;
        for _ in 0..2 {
            let migrated = user_sync(&["migrate"], url).await;
            assert!(migrated.stdout.contains("adopted 50 rows"), "{}", migrated.stderr);
            for step in &steps {
                sqlx::raw_sql(*step).execute(pool).await.unwrap();
                assert_eq!(fingerprint(pool, "users").await, before);
            }
        }
        assert!(user_sync(&["migrate"], url).await.success);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_types_of_the_families_are_read_and_cognito_may_own_the_profile() {
    let deployment = deployment_of(async |url, pool| {
        old_table::create(pool).await;
        let variant = "
            alter table users rename column metadata to user_metadata;
            alter table users alter column id type uuid using id::uuid,
                alter column referred_by type uuid using referred_by::uuid,
                alter column last_login_ip type inet using last_login_ip::inet,
                alter column created_at drop default, alter column created_at type timestamp,
                alter column date_of_birth type date, alter column login_count type bigint,
                alter column user_metadata type jsonb, alter column updated_at drop not null;
            create sequence users_number owned by users.login_count;";
        sqlx::raw_sql(variant).execute(pool).await.unwrap();
        let insert = format!(
            "insert into users (id, phone_number_verified, name, email, email_verified, gender, country_code,
                language, date_of_birth, is_active, is_deleted, is_verified, is_premium, last_login_ip, last_login_at,
                login_count, created_at, user_metadata, referred_by)
            values ('{}', false, 'Old', 'One@example.com', true, 'x', 'PT', 'fr', '1984-02-29', true, false, true,
                true, '2001:db8::5', '2022-01-01', 5000000000, '2021-01-01 12:00', '{{\"a\": 1}}', '{}'),
                ('{}', false, 'Inactive', null, null, null, null, 'en', null, false, false, false, false, null, null, 0,
                '2021-01-01', null, null)",
            sub(1),
            sub(2),
            sub(2)
        );
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(pool).await.unwrap();
        let refused = user_sync(&["migrate", "--user-pool-id", "no pool"], url).await;
        assert!(refused.stderr.contains("not a user pool's id"), "{}", refused.stderr);
        let arguments = ["migrate", "--profile", "cognito", "--user-pool-id", "eu-west-1_Test00000"];
        let migrated = user_sync(&arguments, url).await;
        assert!(migrated.success, "{}", migrated.stderr);
    })
    .await;
    let database = TestDatabase::of(deployment).await;
    verified(&database.deployment).await;
    let column = async |user, column| database.column(sub(user), column).await;
    for (name, expected) in [
        ("name", "Old"),
        ("email", "one@example.com"),
        ("gender", "x"),
        ("language", "fr"),
        ("date_of_birth", "1984-02-29"),
        ("last_login_ip", "2001:db8::5"),
        ("login_count", "5000000000"),
        ("created_at", "2021-01-01T12:00:00+00:00"),
        ("confirmed_at", "2021-01-01T12:00:00+00:00"),
        ("user_pool_id", "eu-west-1_Test00000"),
        ("referred_by", &sub(2).to_string()),
        ("metadata", "{\"a\": 1}"),
        ("app_owned", "[]"),
    ] {
        assert_eq!(column(1, name).await.as_deref(), Some(expected), "{name}");
    }
    assert_eq!(column(2, "is_active").await.as_deref(), Some("false"));
    assert_eq!(column(2, "confirmed_at").await, None);
    let snapshot = event(Kind::Snapshot, 1, at(1)).attributes(&[("name", "New"), ("locale", "pt-PT")]);
    let enabled = event(Kind::Snapshot, 2, at(1)).with(|data| data.enabled = Some(true));
    database.apply(&[snapshot.build(), enabled.build()]).await;
    assert_eq!(column(1, "name").await.as_deref(), Some("New"));
    assert_eq!(column(1, "country_code").await.as_deref(), Some("PT"));
    assert_eq!(column(2, "is_active").await.as_deref(), Some("true"), "Cognito's word on the account");
    let mut found = Vec::new();
    verify(
        &operator(&database.deployment).await,
        &GeoIp::default(),
        |difference| found.push(difference),
        |_| {},
    )
    .await
    .unwrap();
    assert_eq!(found, []);
}
