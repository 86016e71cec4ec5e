//! A server like RDS's: the newest PostgreSQL there is, whose master user may create roles and databases and is no
//! superuser.

use std::str::FromStr as _;

use cognito_user_sync::dev::local;
use cognito_user_sync::dev::stack::{Postgres, PostgresOptions, PostgresSource, Progress};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

pub const MASTER: &str = "rds_master";
pub const MASTER_PASSWORD: &str = "master-0f9d";

/// The server, which all tests share.
pub async fn server() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    let start = async || {
        let options = PostgresOptions { source: PostgresSource::Package, durable: false };
        let server = Postgres::start(&options, &Progress::Lines).await.unwrap();
        let admin = local::connect(server.admin_url(), 1).await.unwrap();
        let make = format!(
            "create role {MASTER} login createrole createdb password '{MASTER_PASSWORD}';
             create role rds_iam nologin; grant rds_iam to {MASTER} with admin option"
        );
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&admin).await.unwrap();
        server
    };
    SERVER.get_or_init(start).await
}

/// Makes a database of a new name for `owner`, and returns the name.
pub async fn create_database(admin_url: &str, owner: &str) -> String {
    let name = format!("deployed_{}", Uuid::now_v7().simple());
    let mut admin = PgConnectOptions::from_str(admin_url).unwrap().connect().await.unwrap();
    let create = format!("create database {name} owner {owner}");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
    name
}

/// The master's connections to a database of the server.
pub async fn connect(name: &str) -> PgPool {
    let (host, port) = (server().await.host(), server().await.port());
    let url = format!("postgres://{MASTER}:{MASTER_PASSWORD}@{host}:{port}/{name}");
    local::connect(&url, 2).await.unwrap()
}
