//! Checks what stands between this process and the server, and that a transaction's session is what it must be. Must not
//! know what is in the tables.

use sqlx::Row as _;

use crate::ops::doctor::{Finding, bounded};
use crate::postgres::{Between, Database, Purpose};

/// The settings of a transaction that applies events, as `user_sync_begin` makes them.
const SETTINGS: [(&str, &str); 11] = [
    ("user_sync.service", "versioned"),
    // Else no trigger fires, not even a foreign key's.
    ("session_replication_role", "origin"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
    ("statement_timeout", "20s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("synchronous_commit", "on"),
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
];

const RUN_MIGRATE: &str = "run `user-sync migrate`, and doctor again where the consumer runs";

/// Says what stands in between. That is no fault; what it means is that statements are not kept.
pub(super) async fn between(database: &Database) -> Result<Finding, Finding> {
    let is_shared = bounded(shares_connections(database)).await?;
    let shared = match is_shared {
        true => ", which hands each transaction to another server connection (transaction mode)",
        false => "",
    };
    let unnamed = "statements are not kept";
    Ok(match database.between() {
        Between::Nothing if is_shared => Finding::failed(
            "a pooler that passes startup options on and hands each transaction to another server connection",
            "set USER_SYNC_PREPARED_STATEMENTS=unnamed",
        ),
        Between::Named if is_shared => Finding::failed(
            "a pooler that hands each transaction to another server connection, and \
             USER_SYNC_PREPARED_STATEMENTS=named",
            "set USER_SYNC_PREPARED_STATEMENTS=unnamed, or unset it",
        ),
        Between::Nothing | Between::Unknown => {
            Finding::ok("nothing that changes what a connection says; statements are kept")
        }
        Between::RefusesOptions => Finding::ok(format!(
            "a pooler or a proxy that refuses startup options, as PgBouncer and RDS Proxy do{shared}; {unnamed}"
        )),
        Between::IgnoresOptions => Finding::ok(format!(
            "a pooler that ignores startup options, as PgBouncer can be told to{shared}; {unnamed}"
        )),
        Between::Named => Finding::ok("not asked: USER_SYNC_PREPARED_STATEMENTS=named"),
        Between::Unnamed => Finding::ok(format!("not asked: USER_SYNC_PREPARED_STATEMENTS=unnamed{shared}")),
    })
}

/// Whether two connections that are open at once have one server process: nothing but a pooler does that.
async fn shares_connections(database: &Database) -> Result<bool, sqlx::Error> {
    let (mut one, mut other) = (database.connect_once().await?, database.connect_once().await?);
    // A statement of its own each, in one message: a pooler cannot divide it.
    let process = "select pg_backend_pid()";
    let mut first = Vec::new();
    let mut second = Vec::new();
    for _ in 0..4 {
        first.push(sqlx::raw_sql(process).fetch_one(&mut one).await?.try_get::<i32, _>(0)?);
        second.push(sqlx::raw_sql(process).fetch_one(&mut other).await?.try_get::<i32, _>(0)?);
    }
    let is_another =
        |processes: &[i32]| processes.iter().zip(processes.iter().skip(1)).any(|(one, next)| one != next);
    Ok(is_another(&first) || is_another(&second) || first.iter().any(|process| second.contains(process)))
}

/// Compares a transaction's settings with what they must be.
pub(super) async fn settings(database: &Database) -> Result<Finding, Finding> {
    let asked = async {
        let mut tx = database.begin(Purpose::Events).await?;
        let query = "select name, current_setting(name, true) from unnest($1::text[]) as name";
        let names: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).chain(["search_path"]).collect();
        let values: Vec<(String, Option<String>)> =
            sqlx::query_as(query).bind(names).fetch_all(&mut tx).await?;
        tx.rollback().await.map(|()| values)
    };
    let values = bounded(asked).await?;
    let search_path = database.schema().search_path();
    let expected = |name: &str| match SETTINGS.iter().find(|(known, _)| *known == name) {
        Some((_, value)) => (*value).to_owned(),
        None => search_path.clone(),
    };
    let wrong = values.iter().filter(|(name, value)| value.as_deref() != Some(expected(name).as_str()));
    let wrong: Vec<String> = wrong
        .map(|(name, value)| {
            format!("{name} is {}, and must be {}", value.as_deref().unwrap_or("not set"), expected(name))
        })
        .collect();
    Ok(match wrong.is_empty() {
        true => Finding::ok(format!("all {} of a transaction are what they must be", values.len())),
        false => Finding::failed(wrong.join("; "), RUN_MIGRATE),
    })
}
