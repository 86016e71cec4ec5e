//! No page of users reads a table to its end: PostgreSQL's own counters say so, at 100,000 users and 300,000 events.

use std::time::Duration;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::directory::{self, Filter, Seen, Standing};
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::maintenance::explain::explain;
use cognito_user_sync::store::maintenance::indexes;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync::store::timeline::{self, Show};
use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::events::{at, confirmed, login};
use crate::support::{TestDatabase, applier, apply_any, eventually};

const A_WHILE: Duration = Duration::from_secs(30);

const FILL: &str = "
    insert into users (id, name, referral_code, created_at, synced_at, updated_at, email, email_verified, cognito_username,
        cognito_status, enabled, is_deleted, user_pool_id, login_count, last_login_at, last_login_id)
    select md5(n::text)::uuid, 'Name' || n, upper(substr(md5('code' || n), 1, 16)), now() - n * interval '10 minutes', now(), now(),
        'user' || n || '@example.com', true, 'login-' || n,
        case n % 20 when 1 then 'UNCONFIRMED' when 2 then 'EXTERNAL_PROVIDER' else 'CONFIRMED' end, n % 200 <> 0, n % 300 = 0,
        'eu-west-1_Test00000', 1, case when n % 10 <> 3 then now() - n % 120 * interval '1 day' end, null
    from generate_series(1, 100000) as n;
    insert into user_claims (kind, value, user_id)
    select 'email', 'user' || n || '@example.com', md5(n::text)::uuid from generate_series(1, 100000) as n;
    insert into user_sync_memberships (user_id, name, user_pool_id, at, gone)
    select md5(n::text)::uuid, 'group ' || n % 7, 'eu-west-1_Test00000', now(), n % 11 = 0 from generate_series(1, 100000) as n;
    insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
    select (lpad(to_hex((extract(epoch from now()) * 1000)::bigint - n * 20000::bigint), 12, '0') || '70008'
            || substr(md5(n::text), 1, 15))::uuid,
        md5((1 + n % 100000)::text)::uuid, 'user.authenticated', 'eu-west-1_Test00000', now(), '{}'
    from generate_series(1, 300000) as n;
    insert into user_sync_contexts (id, user_id, user_pool_id, reported_by, occasion, is_witness, occurred_at, data)
    select id, user_id, user_pool_id, 'cloudtrail', 'sign_in', true, occurred_at, '{}' from user_events limit 50000;
    insert into user_sync_failures (id, user_id, user_pool_id, reported_by, occurred_at)
    select id, user_id, user_pool_id, 'cloudtrail', occurred_at from user_events limit 50000";

/// How often a table of users or of the ledgers was read to its end, and how often by an index.
async fn scans(owner: &PgPool) -> (i64, i64) {
    let query = "select sum(seq_scan)::bigint, sum(idx_scan)::bigint from pg_stat_user_tables
        where relname in ('users', 'user_claims', 'user_sync_memberships')
            or relname ~ '^(user_events|user_sync_contexts|user_sync_failures)_[0-9]'";
    sqlx::query_as(query).fetch_one(owner).await.unwrap()
}

/// Asks with sessions of its own, which report what they did as they end; returns how often a table was read to its end.
async fn full_reads(database: &TestDatabase, url: &str, ask: impl AsyncFnOnce(&Database)) -> i64 {
    let (full, indexed) = scans(&database.owner).await;
    let asked = postgres::connect(&DatabaseConfig::with_url(url), 2).await.unwrap();
    ask(&asked).await;
    asked.close().await;
    eventually("the server has counted", A_WHILE, async || scans(&database.owner).await.1 > indexed).await;
    // What ended together was counted together.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    scans(&database.owner).await.0 - full
}

fn of(number: u128) -> Uuid {
    // As md5(number::text)::uuid.
    let known = [(5, "e4da3b7f-bbce-2345-d777-2b0674a318d5"), (7, "8f14e45f-ceea-167a-5a36-dedd4bea2543")];
    known.iter().find(|(own, _)| *own == number).unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_users_reads_a_table_to_its_end() {
    let database = TestDatabase::create().await;
    // By a session of its own, which reports as it ends: summaries are made by what counts as a scan.
    let setup = local::connect(&database.deployment.owner_url, 1).await.unwrap();
    sqlx::raw_sql(FILL).execute(&setup).await.unwrap();
    let latest = "set user_sync.service = 'versioned'; update users set last_login_id = latest.id from (
            select user_id, max(id::text)::uuid as id from user_events group by user_id) as latest
        where latest.user_id = users.id; reset user_sync.service";
    sqlx::raw_sql(latest).execute(&setup).await.unwrap();
    for table in [
        "users",
        "user_claims",
        "user_sync_memberships",
        "user_events",
        "user_sync_contexts",
        "user_sync_failures",
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("vacuum analyze {table}"))).execute(&setup).await.unwrap();
    }
    setup.close().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let url = database.deployment.console_url.clone();
    let ready = postgres::connect(&DatabaseConfig::with_url(&url), 1).await.unwrap();
    assert!(directory::is_ready(&ready).await.unwrap());
    ready.close().await;

    let standings = Standing::ALL.map(Some).into_iter().chain([None]);
    let times =
        [None, Some(Seen::Day), Some(Seen::Week), Some(Seen::Month), Some(Seen::Long), Some(Seen::Never)];
    let groups = [None, Some("group 3".to_owned())];
    let filters: Vec<Filter> = standings
        .flat_map(|standing| times.map(|seen| (standing, seen)))
        .flat_map(|(standing, seen)| groups.clone().map(|group| Filter { standing, group, seen, pool: None }))
        .collect();
    let lists = full_reads(&database, &url, async |asked| {
        for filter in filters {
            directory::total(asked, &filter).await.unwrap();
            let mut place = None;
            for _ in 0..2 {
                let list = directory::list(asked, &filter, place, Timestamp::now()).await.unwrap();
                assert!(list.users.len() <= directory::PAGE && list.looked <= 2_000, "{filter:?}");
                place = list.next;
                if place.is_none() {
                    break;
                }
            }
        }
        directory::choices(asked).await.unwrap();
    })
    .await;
    assert_eq!(lists, 0, "lists");

    let searches = full_reads(&database, &url, async |asked| {
        let texts = [
            "name77",
            "USER77@example.com",
            "login-77",
            "+4420",
            "e4da3b7f-bbce-2345-d777-2b0674a318d5",
            "00000000-0000-4000-8000-000000000000",
            "zzz",
        ];
        let mut found = Vec::new();
        for text in texts {
            found.push(directory::find(asked, text).await.unwrap().users.len());
        }
        assert_eq!(found, [25, 1, 1, 0, 1, 0, 0]);
    })
    .await;
    assert_eq!(searches, 0, "searches");

    let pages = full_reads(&database, &url, async |asked| {
        assert!(directory::row(asked, of(5)).await.unwrap().is_some());
        let page = timeline::read(asked, &GeoIp::default(), of(5), Show::All, None).await.unwrap();
        assert!(page.entries.len() >= 3 && page.explanation.is_some(), "{page:?}");
        let older = page.entries.last().map(|entry| entry.id);
        timeline::read(asked, &GeoIp::default(), of(5), Show::Trouble, older).await.unwrap();
        explain(asked, &GeoIp::default(), of(7)).await.unwrap();
    })
    .await;
    assert_eq!(pages, 0, "a user's page");

    let operator = database.deployment.operator_url.clone();
    let erased = full_reads(&database, &operator, async |asked| {
        assert_eq!(erase(asked, of(7), false).await.unwrap().events, 3);
    })
    .await;
    assert_eq!(erased, 0, "an erasure");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_migration_leaves_to_maintain_is_built_as_the_migration_would() {
    let database = TestDatabase::create().await;
    let operator =
        postgres::connect(&DatabaseConfig::with_url(&database.deployment.operator_url), 2).await.unwrap();
    assert_eq!(indexes::lacking(operator.questions(), 0).await.unwrap(), []);
    let made =
        "select indexname::text, indexdef from pg_indexes where schemaname = current_schema() order by 1";
    let before: Vec<(String, String)> = sqlx::query_as(made).fetch_all(&database.owner).await.unwrap();
    // As after a migration of large tables, and a build that was killed.
    let drop = "do $$ declare name text; begin
            for name in select indexname from pg_indexes
                where indexname ~ '^(users_(name_prefix|user_name|created|standing)_idx|user_sync_memberships_name_user_idx)$'
                    or indexname ~ '_by_user$' loop
                execute format('drop index %I', name);
            end loop;
            drop index user_events_user_id_brin, user_sync_contexts_user_id_brin, user_sync_failures_user_id_brin;
        end $$;
        create index user_events_user_id_brin on only user_events
            using brin (user_id uuid_bloom_ops) with (pages_per_range = 32, autosummarize = on);
        create index user_sync_contexts_user_id_brin on only user_sync_contexts
            using brin (user_id uuid_bloom_ops) with (pages_per_range = 32, autosummarize = on);
        create index user_sync_failures_user_id_brin on only user_sync_failures
            using brin (user_id uuid_bloom_ops) with (pages_per_range = 32, autosummarize = on);
        create index users_created_idx on users (created_at, id);
        update pg_index set indisvalid = false where indexrelid = 'users_created_idx'::regclass";
    sqlx::raw_sql(drop).execute(&database.owner).await.unwrap();
    assert!(!directory::is_ready(&operator).await.unwrap());
    let built = indexes::build(&operator, |_| {}).await.unwrap();
    assert!(built.len() > 40, "{built:?}");
    assert_eq!(indexes::build(&operator, |_| {}).await.unwrap(), Vec::<String>::new());
    let after: Vec<(String, String)> = sqlx::query_as(made).fetch_all(&database.owner).await.unwrap();
    assert_eq!(after, before);
    assert!(directory::is_ready(&operator).await.unwrap());
    let invalid = "pg_index where not indisvalid";
    assert_eq!(database.count(invalid).await, 0);
}

/// Applies batches by sessions of its own, which report what they did as they end.
async fn apply(database: &TestDatabase, batches: &[Vec<Event<'static>>]) {
    let applier = applier(&database.deployment, 1).await;
    for batch in batches {
        let bodies: Vec<String> = batch.iter().map(Event::encode).collect();
        let outcomes = apply_any(&applier, &bodies).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    }
    applier.database().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_touches_no_index_of_users() {
    let database = TestDatabase::create().await;
    let email = |user: u128| format!("user{user}@example.com");
    // Of one of them: its page has room for eight versions, whatever is still to be pruned.
    let people: Vec<_> = (0..1).map(|user| confirmed(user, at(0)).email(&email(user)).build()).collect();
    let logins =
        |n: u64| (0..1).map(|user| login(user, at(60 * n)).email(&email(user)).build()).collect::<Vec<_>>();
    let updates = async || -> (i64, i64) {
        let query = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'users'";
        sqlx::query_as(query).fetch_one(&database.owner).await.unwrap()
    };
    // The first login may still settle what the sign-up said.
    apply(&database, &[people, logins(1)]).await;
    eventually("the first logins are counted", A_WHILE, async || updates().await.0 >= 2).await;
    let before = updates().await;
    apply(&database, &(2..7).map(logins).collect::<Vec<_>>()).await;
    eventually("the logins are counted", A_WHILE, async || updates().await.0 >= before.0 + 5).await;
    let after = updates().await;
    assert_eq!(after.1 - before.1, after.0 - before.0, "updates that touched no index, of all");
}
