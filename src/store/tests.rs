//! Adding a column: a migration and one line.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::str::FromStr as _;

use cognito_user_sync_triggers::event::{Data, Event, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::config::DatabaseConfig;
use crate::dev::stack::{Postgres, PostgresOptions, PostgresSource, Progress};
use crate::geoip::GeoIp;
use crate::postgres::{self, Database, RolePrefix};
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
    let server = server().await;
    let database = &database(&server).await;
    let pool = database.pool();
    sqlx::raw_sql("alter table users add column nickname text").execute(pool).await.unwrap();
    let line = Column::text("nickname", |user| user.attribute("nickname"));
    let statements = Statements::of(&[COLUMNS, &[line]].concat());
    OVERRIDE.set(Some(Box::leak(Box::new(statements))));

    // A sign-up takes the slow path, and so does a login that reports another value.
    let applier = Applier::new(database.clone());
    for (kind, seconds, nickname) in [(Kind::Confirmed, 1, "Countess"), (Kind::Authenticated, 2, "Ada")] {
        assert_eq!(applier.apply(&[event(kind, seconds, nickname)]).await, [Outcome::Applied]);
        assert_eq!(shown(database).await.as_deref(), Some(nickname));
    }
    assert_eq!(differences(database).await, []);

    sqlx::query("update users set nickname = 'Eve'").execute(pool).await.unwrap();
    let (stored, expected) = (Some("Eve".to_owned()), Some("Ada".to_owned()));
    let difference = Difference { user: SUB, column: "nickname".to_owned(), stored, expected };
    assert_eq!(differences(database).await, [difference]);
    repair(database, &GeoIp::default(), &BTreeSet::from([SUB])).await.unwrap();
    assert_eq!(shown(database).await.as_deref(), Some("Ada"));
    assert_eq!(differences(database).await, []);

    OVERRIDE.set(None);
    applier.database().close().await;
    server.stop().await.unwrap();
}

/// The server that is found, or started.
pub(super) async fn server() -> Postgres {
    let options = PostgresOptions { source: PostgresSource::from_env(), durable: false };
    Postgres::start(&options, &Progress::Lines).await.unwrap()
}

/// A migrated database of the test's own.
pub(super) async fn database(server: &Postgres) -> Database {
    let name = format!("column_{}", Uuid::now_v7().simple());
    let admin = PgConnectOptions::from_str(server.admin_url()).unwrap();
    let create = sqlx::AssertSqlSafe(format!("create database {name}"));
    sqlx::query(create).execute(&mut admin.connect().await.unwrap()).await.unwrap();
    let mut url = url::Url::parse(server.admin_url()).unwrap();
    url.set_path(&name);
    let database = postgres::connect(&DatabaseConfig::with_url(url), 4).await.unwrap();
    migrate::run(&database, RolePrefix::new(&name).as_ref()).await.unwrap();
    database
}

fn event(kind: Kind, seconds: u64, nickname: &str) -> String {
    let now = Timestamp::now().unix_millis();
    let id = EventId::new(Timestamp::from_unix_millis(now - 60_000 + seconds * 1_000));
    let attributes = [("nickname".into(), nickname.to_owned().into())].into();
    let data = Data { attributes, ..Data::default() };
    Event::User(UserEvent { id, user_pool_id: "eu-west-1_Test00000".into(), sub: SUB, kind, data }).encode()
}

async fn shown(database: &Database) -> Option<String> {
    sqlx::query_scalar("select nickname from users").fetch_one(database.questions()).await.unwrap()
}

async fn differences(database: &Database) -> Vec<Difference> {
    let mut found = Vec::new();
    verify(database, &GeoIp::default(), |difference| found.push(difference), |_| {}).await.unwrap();
    found
}
