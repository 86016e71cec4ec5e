//! Poolers and proxies in front of PostgreSQL: the service's writes are the service's, and the numbers are exact, behind
//! each of them. By a double of ours that behaves like them; `make poolers` runs the same against the real PgBouncer.

use std::sync::Arc;

use cognito_user_sync::config::{DatabaseConfig, PreparedStatements};
use cognito_user_sync::dev::local;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Between, Database, Purpose};
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::Event;
use futures::future::join_all;
use sqlx::PgPool;

use crate::model::Tables;
use crate::support::TestDatabase;
use crate::support::events::{at, confirmed, login, random_events, sub};
use crate::support::pgbouncer::{Mode, PgBouncer};
use crate::support::pooler::{Kind, Pooler};

/// What stands in front of the server; it ends when it is dropped.
enum Front {
    Double(Pooler),
    Real(PgBouncer),
}

impl Front {
    fn url(&self) -> &str {
        match self {
            Self::Double(pooler) => pooler.url(),
            Self::Real(pooler) => pooler.url(),
        }
    }
}

/// Every kind of pooler there is here, in front of the server of `url`, and what the product should find.
async fn fronts(url: &str) -> Vec<(String, Front, Between)> {
    let mut fronts = Vec::new();
    for (kind, between) in [
        (Kind::RdsProxy, Between::RefusesOptions),
        (Kind::Session, Between::RefusesOptions),
        (Kind::SessionIgnoring, Between::IgnoresOptions),
        (Kind::Transaction, Between::RefusesOptions),
        (Kind::TransactionIgnoring, Between::IgnoresOptions),
    ] {
        fronts.push((format!("{kind:?}"), Front::Double(Pooler::start(kind, url).await), between));
    }
    let Some(program) = PgBouncer::program() else { return fronts };
    for mode in [Mode::Session, Mode::Transaction] {
        for (ignoring, between) in [(false, Between::RefusesOptions), (true, Between::IgnoresOptions)] {
            let real = PgBouncer::start(&program, mode, ignoring, url).await;
            fronts.push((format!("PgBouncer, {mode:?}, ignoring: {ignoring}"), Front::Real(real), between));
        }
    }
    fronts
}

async fn through(front: &Front, connections: usize) -> Database {
    postgres::connect(&DatabaseConfig::with_url(front.url()), connections).await.unwrap()
}

async fn differences(database: &Database) -> u64 {
    verify(database, &GeoIp::default(), |_| {}, |_| {}).await.unwrap().differences
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_writes_are_the_services_behind_each_of_them() {
    let database = TestDatabase::create().await;
    let mut number = 0;
    for (name, front, between) in fronts(&database.deployment.consumer_url).await {
        number += 1;
        let applier = Applier::new(through(&front, 3).await);
        let named = |seconds, name| login(number, at(seconds)).attributes(&[("name", name)]).build();
        let steps = [confirmed(number, at(1)).build(), named(2, "Ada"), named(3, "Grace"), named(4, "Grace")];
        for step in steps {
            assert_eq!(applier.apply(&[step.encode()]).await, [Outcome::Applied], "{name}");
        }
        assert_eq!(applier.database().between(), between, "{name}");
        let column = async |column: &str| database.column(sub(number), column).await;
        assert_eq!(column("name").await.as_deref(), Some("Grace"), "{name}");
        assert_eq!(column("login_count").await.as_deref(), Some("3"), "{name}");
        assert_eq!(column("app_owned").await.as_deref(), Some("[]"), "{name}: taken for the application's");
        assert_eq!(differences(applier.database()).await, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_between_is_found_out_too_and_the_variable_overrides_it() {
    let database = TestDatabase::create().await;
    let config = DatabaseConfig::with_url(&database.deployment.consumer_url);
    for (statements, between) in [
        (PreparedStatements::Auto, Between::Nothing),
        (PreparedStatements::Named, Between::Named),
        (PreparedStatements::Unnamed, Between::Unnamed),
    ] {
        let config = DatabaseConfig { statements, ..config.clone() };
        let found = postgres::connect(&config, 1).await.unwrap();
        found.ping().await.unwrap();
        assert_eq!(found.between(), between);
    }
}

/// Each consumer has several connections, so that many transactions are under way on few server connections.
#[tokio::test(flavor = "multi_thread")]
async fn rows_follow_from_the_events_behind_each_of_them() {
    let database = TestDatabase::create().await;
    for (name, front, _) in fronts(&database.deployment.consumer_url).await {
        for table in ["user_claims", "users", "user_events"] {
            let delete = sqlx::AssertSqlSafe(format!("delete from {table}"));
            sqlx::query(delete).execute(&database.owner).await.unwrap();
        }
        let events = random_events(&mut fastrand::Rng::with_seed(7), 400, 25, 9);
        let applier = Arc::new(Applier::new(through(&front, 6).await));
        let bodies: Vec<String> = events.iter().map(Event::encode).collect();
        let batches: Vec<Vec<String>> = bodies.chunks(10).map(<[String]>::to_vec).collect();
        // Everything twice, and at once.
        let apply = |batch: Vec<String>| {
            let applier = Arc::clone(&applier);
            tokio::spawn(async move { apply_whole(&applier, batch).await })
        };
        for done in join_all(batches.iter().chain(&batches).cloned().map(apply)).await {
            done.unwrap();
        }
        let expected = Tables::expected(&events);
        Tables::actual(database.rows().await)
            .must_be(&expected)
            .unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
        assert_eq!(differences(applier.database()).await, 0, "{name}");
    }
}

/// Applies a batch as a queue would deliver it: again and again, as long as it returns to the queue.
async fn apply_whole(applier: &Applier, mut batch: Vec<String>) {
    for _ in 0..100 {
        let outcomes = applier.apply(&batch).await;
        let left = batch.into_iter().zip(outcomes).filter_map(|(body, outcome)| match outcome {
            Outcome::Applied | Outcome::Duplicate => None,
            Outcome::Retry(_) => Some(body),
            Outcome::Rejected(rejection) | Outcome::Obstructed(rejection) => panic!("{rejection:?}"),
        });
        batch = left.collect();
        if batch.is_empty() {
            return;
        }
    }
    panic!("{} messages are never applied", batch.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_migrated_through_each_of_them() {
    let database = TestDatabase::create().await;
    let url = &database.deployment.owner_url;
    for (name, front, _) in fronts(url).await {
        let schema = format!("s{}", uuid::Uuid::now_v7().simple());
        let config = DatabaseConfig {
            schema: postgres::Schema::new(&schema).unwrap(),
            ..DatabaseConfig::with_url(front.url())
        };
        let migrated = postgres::connect(&config, 2).await.unwrap();
        let prefix = postgres::RolePrefix::new(&schema);
        for _ in 0..2 {
            cognito_user_sync::store::migrate::run(&migrated, prefix.as_ref())
                .await
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        migrated.ping().await.unwrap();
    }
}

/// What startup options set once is set nowhere any more: a write that forgot its mark fails, and freezes no profile.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_the_service_without_its_mark_fails() {
    let database = TestDatabase::create().await;
    database.apply(&[login(1, at(1)).attributes(&[("name", "Ada")]).build()]).await;
    let update = "update users set name = 'Eve'";
    let consumer = local::connect(&database.deployment.consumer_url, 1).await.unwrap();
    assert_eq!(refusal(&consumer, update).await.as_deref(), Some("55000"));
    // The application's edits are the application's, and an operator's by hand are taken for those.
    for url in [&database.deployment.app_url, &database.deployment.operator_url] {
        let pool = local::connect(url, 1).await.unwrap();
        assert_eq!(refusal(&pool, update).await, None);
    }
    assert_eq!(database.column(sub(1), "app_owned").await.as_deref(), Some("[\"name\"]"));
}

async fn refusal(pool: &PgPool, statement: &'static str) -> Option<String> {
    let done = sqlx::query(statement).execute(pool).await;
    let error = done.err()?;
    Some(error.as_database_error().unwrap().code().unwrap().into_owned())
}

/// What a transaction needs is checked as it begins: nothing is written where it does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_what_it_must_be_writes_nothing() {
    let database = TestDatabase::create().await;
    let mut connection = database.owner.acquire().await.unwrap();
    for (begin, code) in [
        ("begin isolation level serializable; call user_sync_begin('events')", "55000"),
        ("begin isolation level read committed; call user_sync_begin('snapshot')", "55000"),
        ("begin read only; call user_sync_begin('logins')", "25006"),
        ("begin; set local client_encoding = 'LATIN1'; call user_sync_begin('events')", "55000"),
        ("begin; call user_sync_begin('of another release')", "55000"),
    ] {
        let error = sqlx::raw_sql(begin).execute(&mut *connection).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some(code), "{begin}: {error}");
        sqlx::raw_sql("rollback").execute(&mut *connection).await.unwrap();
    }
}

/// After a failover, connections that are kept may lead to a server that takes no writes any more.
#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_server_that_became_read_only_are_replaced_at_once() {
    let database = TestDatabase::create().await;
    let login_name = database.deployment.consumer_url.split(['/', ':']).nth(3).unwrap().to_owned();
    let set = async |setting: &str| {
        let alter = sqlx::AssertSqlSafe(format!("alter role {login_name} {setting}"));
        sqlx::query(alter).execute(&database.owner).await.unwrap();
    };
    set("set default_transaction_read_only = on").await;
    let applier = crate::support::applier(&database.deployment, 3).await;
    let event = login(1, at(1)).build().encode();
    assert_ne!(applier.apply(&[&event]).await, [Outcome::Applied], "the server takes no writes");
    let open = join_all([(); 3].map(|()| applier.database().begin(Purpose::Question))).await;
    for tx in open {
        tx.unwrap().rollback().await.unwrap();
    }
    set("reset default_transaction_read_only").await;
    assert_eq!(applier.apply(&[&event]).await, [Outcome::Applied]);
}

/// The whole of a batch is in one transaction, whose settings end with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_leaves_nothing_on_its_connection() {
    let database = TestDatabase::create().await;
    let config = DatabaseConfig::with_url(&database.deployment.consumer_url);
    let consumer = postgres::connect(&config, 1).await.unwrap();
    for purpose in [Purpose::Logins, Purpose::Events, Purpose::Report, Purpose::Migration] {
        consumer.begin(purpose).await.unwrap().commit().await.unwrap();
        let mut connection = consumer.acquire().await.unwrap();
        let query = "select coalesce(current_setting('user_sync.service', true), ''),
            current_setting('enable_seqscan'), current_setting('lock_timeout')";
        let settings: (String, String, String) =
            sqlx::query_as(query).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(settings, (String::new(), "on".to_owned(), "0".to_owned()), "{purpose:?}");
    }
}
