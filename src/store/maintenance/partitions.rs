//! Keeps the ledger's partitions: makes months ahead, folds months past the retention into the baseline and
//! drops them. The numbers stay exact: a month's fold and its end are one transaction.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::{AssertSqlSafe, SqlSafeStr as _};
use time::OffsetDateTime;

use crate::postgres::{Database, Purpose, Transaction, quoted};
use crate::store::tables::failure::{Failure, OF_A_MONTH, StoreError, retry_conflicts};
use crate::store::tables::history::{History, merge_into_baseline};

/// Longer than any message can be on its way: SQS keeps one 14 days ("Amazon SQS message quotas").
pub const MIN_RETENTION_DAYS: u32 = 31;
/// More than a year, so that a year's events can be looked at.
pub const DEFAULT_RETENTION_DAYS: u32 = 400;
/// Months that stand ready.
pub const DEFAULT_MONTHS_AHEAD: u32 = 3;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Partitions that were made.
    pub created: Vec<String>,
    /// Partitions that were folded into the baseline and dropped, with their events.
    pub folded: Vec<(String, u64)>,
}

/// Makes partitions up to `months_ahead` and folds those that ended `retention_days` before `now`.
///
/// Needs the rights of `user_sync_owner`. Idempotent; safe to run from several places at once and under load,
/// since each month is one transaction under one lock. Dropping the future leaves whole months done or not.
///
/// # Errors
/// When a month could not be had after several attempts; the months before it are done.
pub async fn maintain(
    database: &Database,
    months_ahead: u32,
    retention_days: u32,
    now: Timestamp,
    progress: impl Fn(&str, u64),
) -> Result<Maintained, StoreError> {
    let created = make_months(database, months_ahead).await;
    let created = created.map_err(StoreError::when("making months ahead"))?;
    let mut maintained = Maintained { created, folded: Vec::new() };
    let retention = Duration::from_secs(u64::from(retention_days.max(MIN_RETENTION_DAYS)) * 24 * 60 * 60);
    let horizon = OffsetDateTime::from(now) - retention;
    loop {
        let folded = retry_conflicts(OF_A_MONTH, || fold_oldest(database, horizon, &progress)).await;
        match folded.map_err(StoreError::when("folding the oldest month"))? {
            Some(folded) => maintained.folded.push(folded),
            None => return Ok(maintained),
        }
    }
}

async fn make_months(database: &Database, months_ahead: u32) -> Result<Vec<String>, sqlx::Error> {
    let ahead = i32::try_from(months_ahead).unwrap_or(i32::MAX);
    let mut tx = database.begin(Purpose::Command).await?;
    let create = sqlx::query_scalar("select user_event_create_partitions(0, $1)").bind(ahead);
    let created = create.fetch_all(&mut tx).await?;
    tx.commit().await.map(|()| created)
}

/// Folds and drops the oldest month if it ended before `horizon`; `None` where it did not.
async fn fold_oldest(
    database: &Database,
    horizon: OffsetDateTime,
    progress: &impl Fn(&str, u64),
) -> Result<Option<(String, u64)>, Failure> {
    let mut tx = database.begin(Purpose::Command).await?;
    // One `maintain` at a time; readers of the bounds go on.
    sqlx::query("lock table user_event_partitions in share row exclusive mode").execute(&mut tx).await?;
    let oldest =
        "select name from user_event_partitions where upper <= user_event_bound($1) order by lower limit 1";
    let Some(name) = sqlx::query_scalar::<_, String>(oldest).bind(horizon).fetch_optional(&mut tx).await?
    else {
        return Ok(None);
    };
    let events = fold(&mut tx, &name, progress).await?;
    sqlx::query("delete from user_event_partitions where name = $1").bind(&name).execute(&mut tx).await?;
    sqlx::query(AssertSqlSafe(format!("drop table {}", quoted(&name)))).execute(&mut tx).await?;
    tx.commit().await?;
    Ok(Some((name, events)))
}

async fn fold(tx: &mut Transaction, name: &str, progress: &impl Fn(&str, u64)) -> Result<u64, sqlx::Error> {
    // No event enters the month from here on: who tries waits, and finds the partition gone.
    let lock = format!("lock table {} in exclusive mode", quoted(name));
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *tx).await?;
    let declare = format!(
        "declare history no scroll cursor for
            select user_id, id, type, user_pool_id, data, null::jsonb as state, null::jsonb as claims
            from {} order by user_id",
        quoted(name)
    );
    let mut history = History::open(tx, AssertSqlSafe(declare).into_sql_str()).await?;
    loop {
        let users = history.next(tx).await?;
        if users.is_empty() {
            return Ok(history.events);
        }
        merge_into_baseline(tx, users).await?;
        progress(name, history.events);
    }
}
