//! Notes of a run, and how they are written. Whoever does not reach the table sends them on. Must not decide when.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::logging::causes;
use crate::postgres::{Database, Purpose};
use crate::store::runs::{KEPT_DAYS, What};

/// How long writing one note may take: whoever runs does not wait for longer.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Most characters of who started a run, and of the class of an error.
const TEXT_MAX_CHARS: usize = 200;

/// Something that is written down of a run. Written twice, it is the same as once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// It began.
    Began {
        /// The run's.
        id: Uuid,
        /// What runs.
        what: What,
        /// For whom, where that is not who connects.
        started_by: Option<String>,
        /// Over what: a pool, a range, what it may do. An object.
        scope: Value,
        /// Over about how many.
        total: Option<u64>,
    },
    /// It is so far. Also a sign of life.
    Progressed {
        /// The run's.
        id: Uuid,
        /// Over how many it went.
        done: u64,
        /// Of about how many.
        total: Option<u64>,
    },
    /// It came to its end.
    Ended {
        /// The run's.
        id: Uuid,
        /// Over how many it went.
        done: u64,
        /// Of how many.
        total: Option<u64>,
        /// Counts by kind. An object.
        findings: Value,
    },
    /// It ended early.
    Failed {
        /// The run's.
        id: Uuid,
        /// The class of the error.
        error: String,
    },
}

/// Why a note is not written. Names no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotWritten(pub String);

/// Writes notes, by whatever way there is.
pub type Notes = Arc<dyn Fn(Note) -> BoxFuture<'static, Result<(), NotWritten>> + Send + Sync>;

/// Writes notes on a connection of its own: the command's may be in a transaction that lasts.
pub(super) fn by(database: &Database) -> Notes {
    let database = database.with_own_connections(1);
    Arc::new(move |note| {
        let database = database.clone();
        async move { write(&database, &note).await.map_err(|error| NotWritten(causes(&error))) }.boxed()
    })
}

/// Writes a note, in a transaction of its own that waits for nobody.
///
/// # Errors
/// When it is not written: no right, a schema without the table, a server that takes no writes, or none that answers within
/// 2 seconds.
pub async fn write(database: &Database, note: &Note) -> Result<(), sqlx::Error> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer from the database in time");
    tokio::time::timeout(LIMIT, commit(database, note)).await.unwrap_or_else(|_| Err(late().into()))
}

async fn commit(database: &Database, note: &Note) -> Result<(), sqlx::Error> {
    // On the server, too; and a note is not worth a wait for the disk.
    const LIMITS: &str = "set local lock_timeout = '1s'; set local statement_timeout = '2s';
        set local synchronous_commit = off";
    let mut tx = database.begin(Purpose::Command).await?;
    sqlx::raw_sql(LIMITS).execute(&mut tx).await?;
    let query = match note {
        Note::Began { id, what, started_by, scope, total } => sqlx::query(
            "insert into user_sync_runs (id, what, started_by, scope, total) values ($1, $2, $3, $4, $5)
            on conflict (id) do nothing",
        )
        .bind(id)
        .bind(what.as_str())
        .bind(started_by.as_deref().map(short).filter(|by| !by.is_empty()))
        .bind(scope)
        .bind(total.map(number)),
        Note::Progressed { id, done, total } => sqlx::query(
            "update user_sync_runs set progressed_at = now(), done = $2, total = coalesce($3, total)
            where id = $1 and ended_at is null",
        )
        .bind(id)
        .bind(number(*done))
        .bind(total.map(number)),
        Note::Ended { id, done, total, findings } => sqlx::query(
            "update user_sync_runs set progressed_at = now(), ended_at = now(), done = $2, total = coalesce($3, total),
                findings = $4
            where id = $1 and ended_at is null",
        )
        .bind(id)
        .bind(number(*done))
        .bind(total.map(number))
        .bind(findings),
        Note::Failed { id, error } => sqlx::query(
            "update user_sync_runs set progressed_at = now(), ended_at = now(), error = $2
            where id = $1 and ended_at is null",
        )
        .bind(id)
        .bind(short(error)),
    };
    query.execute(&mut tx).await?;
    tx.commit().await
}

/// Forgets the runs that began earlier than is worth remembering; returns how many. Needs the owner's rights.
///
/// # Errors
/// When the database refuses, or does not answer.
pub(super) async fn forget(database: &Database) -> Result<u64, sqlx::Error> {
    let mut tx = database.begin(Purpose::Command).await?;
    let delete =
        "delete from user_sync_runs where what = any($1) and started_at < now() - make_interval(days => $2)";
    let delete = sqlx::query(delete).bind(What::ALL.map(What::as_str).to_vec());
    let forgotten = delete.bind(i32::try_from(KEPT_DAYS).unwrap_or(i32::MAX)).execute(&mut tx).await?;
    tx.commit().await?;
    Ok(forgotten.rows_affected())
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TEXT_MAX_CHARS).collect()
}
