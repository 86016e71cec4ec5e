//! Adding a column: a migration and one line.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::str::FromStr as _;

use cognito_user_sync_triggers::event::{Data, Event, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgPool};
use uuid::Uuid;

use crate::config::DatabaseConfig;
use crate::dev::stack::{Postgres, PostgresOptions, PostgresSource, Progress};
use crate::geoip::GeoIp;
use crate::postgres;
use crate::store::maintenance::repair::repair;
use crate::store::maintenance::verify::{Difference, verify};
use crate::store::model::columns::{COLUMNS, Column};
use crate::store::outcome::Outcome;
use crate::store::tables::columns::{OVERRIDE, Statements};
use crate::store::{Applier, migrate};

const SUB: Uuid = Uuid::from_u128(0x7);

/// The thread's statements have a column more, so the test is of one thread.
#[tokio::test]
async fn a_column_is_a_migration_and_one_line() {
    let options = PostgresOptions { source: PostgresSource::from_env(), durable: false };
    let server = Postgres::start(&options, &Progress::Lines).await.unwrap();
    let pool = &database(&server).await;
    sqlx::raw_sql("alter table users add column nickname text").execute(pool).await.unwrap();
    let line = Column::text("nickname", |user| user.attribute("nickname"));
    let statements = Statements::of(&[COLUMNS, &[line]].concat());
    OVERRIDE.set(Some(Box::leak(Box::new(statements))));

    // A sign-up takes the slow path, and so does a login that reports another value.
    let applier = Applier::new(pool.clone());
    for (kind, seconds, nickname) in [(Kind::Confirmed, 1, "Countess"), (Kind::Authenticated, 2, "Ada")] {
        assert_eq!(applier.apply(&[event(kind, seconds, nickname)]).await, [Outcome::Applied]);
        assert_eq!(shown(pool).await.as_deref(), Some(nickname));
    }
    assert_eq!(differences(pool).await, []);

    sqlx::query("update users set nickname = 'Eve'").execute(pool).await.unwrap();
    let (stored, expected) = (Some("Eve".to_owned()), Some("Ada".to_owned()));
    let difference = Difference { user: SUB, column: "nickname".to_owned(), stored, expected };
    assert_eq!(differences(pool).await, [difference]);
    repair(pool, &GeoIp::default(), &BTreeSet::from([SUB])).await.unwrap();
    assert_eq!(shown(pool).await.as_deref(), Some("Ada"));
    assert_eq!(differences(pool).await, []);

    OVERRIDE.set(None);
    applier.database().close().await;
    server.stop().await.unwrap();
}

/// A migrated database of the test's own, on the server that is found or started.
async fn database(server: &Postgres) -> PgPool {
    let name = format!("user_sync_column_{}", Uuid::now_v7().simple());
    let admin = PgConnectOptions::from_str(server.admin_url()).unwrap();
    let create = sqlx::AssertSqlSafe(format!("create database {name}"));
    sqlx::query(create).execute(&mut admin.connect().await.unwrap()).await.unwrap();
    let url = admin.database(&name).to_url_lossy().to_string();
    let pool = postgres::connect(&DatabaseConfig::with_url(url), 4).await.unwrap().pool().clone();
    migrate::run(&pool).await.unwrap();
    pool
}

fn event(kind: Kind, seconds: u64, nickname: &str) -> String {
    let now = Timestamp::now().unix_millis();
    let id = EventId::new(Timestamp::from_unix_millis(now - 60_000 + seconds * 1_000));
    let attributes = [("nickname".into(), nickname.to_owned().into())].into();
    let data = Data { attributes, ..Data::default() };
    Event::User(UserEvent { id, user_pool_id: "eu-west-1_Test00000".into(), sub: SUB, kind, data }).encode()
}

async fn shown(pool: &PgPool) -> Option<String> {
    sqlx::query_scalar("select nickname from users").fetch_one(pool).await.unwrap()
}

async fn differences(pool: &PgPool) -> Vec<Difference> {
    let mut found = Vec::new();
    verify(pool, &GeoIp::default(), |difference| found.push(difference), |_| {}).await.unwrap();
    found
}
