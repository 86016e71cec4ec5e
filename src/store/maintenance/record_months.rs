//! Keeps the months of the ledgers of records, contexts and failures of sign-ins: makes them ahead, and drops those past a
//! retention of their own. What the contexts of a month amount to is folded into their baseline first, in the same transaction;
//! of failures nothing follows.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::{AssertSqlSafe, SqlSafeStr as _};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::{Database, Transaction, quoted};
use crate::store::locks;
use crate::store::maintenance::attempts::PATIENCE;
use crate::store::maintenance::partitions::{
    MaintainError, Maintained, Stop, drop_tables, horizon, patiently, refuse_detached, time_of,
};
use crate::store::tables::context_history::merge_into_baseline;
use crate::store::tables::history::History;

/// The ledgers whose months these are.
const LEDGERS: [&str; 2] = ["user_sync_contexts", "user_sync_failures"];

/// What is locked before a month's own tables.
const TABLES: [&str; 3] = ["user_sync_contexts", "user_sync_failures", "user_sync_record_partitions"];

const MAKING: &str = "making months of records ahead";
const FOLDING: &str = "folding the oldest month of records";

/// Makes months up to `months_ahead`, as `YYYY_MM`, and folds and drops those that ended `retention_days` before `now`, with the
/// number of their contexts of users.
///
/// As [`super::partitions::maintain`]: needs the rights of `user_sync_owner`, is idempotent and safe beside itself and under
/// load.
///
/// # Errors
/// When a month could not be had for [`PATIENCE`], and when one was taken out of a ledger; what was done before stays.
pub async fn maintain(
    database: &Database,
    months_ahead: u32,
    retention_days: u32,
    now: Timestamp,
    progress: impl Fn(&str, u64),
) -> Result<Maintained, MaintainError> {
    maintain_within(database, PATIENCE, months_ahead, retention_days, now, progress).await
}

/// The same, with another patience.
///
/// # Errors
/// As [`maintain`].
pub async fn maintain_within(
    database: &Database,
    patience: Duration,
    months_ahead: u32,
    retention_days: u32,
    now: Timestamp,
    progress: impl Fn(&str, u64),
) -> Result<Maintained, MaintainError> {
    let make = async |tx: &mut Transaction| Ok(make_months(tx, months_ahead).await?);
    let created = patiently(database, MAKING, &TABLES, patience, make).await?;
    let mut maintained = Maintained { created, folded: Vec::new() };
    let horizon = horizon(retention_days, now);
    let fold = async |tx: &mut Transaction| fold_oldest(tx, horizon, patience, &progress).await;
    while let Some(folded) = patiently(database, FOLDING, &TABLES, patience, fold).await? {
        maintained.folded.push(folded);
    }
    Ok(maintained)
}

async fn make_months(tx: &mut Transaction, months_ahead: u32) -> Result<Vec<String>, sqlx::Error> {
    let ahead = i32::try_from(months_ahead).unwrap_or(i32::MAX);
    sqlx::query_scalar("select user_sync_create_record_partitions(0, $1)").bind(ahead).fetch_all(tx).await
}

/// Folds and drops the oldest month if it ended before `horizon`; `None` where it did not.
async fn fold_oldest(
    tx: &mut Transaction,
    horizon: OffsetDateTime,
    patience: Duration,
    progress: &impl Fn(&str, u64),
) -> Result<Option<(String, u64)>, Stop> {
    // One `maintain` at a time; readers of the bounds go on.
    sqlx::query("lock table user_sync_record_partitions in share row exclusive mode")
        .execute(&mut *tx)
        .await?;
    refuse_detached(tx, &LEDGERS).await?;
    let oldest = "select name, lower from user_sync_record_partitions
        where upper <= user_event_bound($1) order by lower limit 1";
    let oldest: Option<(String, Uuid)> =
        sqlx::query_as(oldest).bind(horizon).fetch_optional(&mut *tx).await?;
    let Some((name, lower)) = oldest else { return Ok(None) };
    let tables = LEDGERS.map(|ledger| format!("{ledger}_{name}"));
    let [contexts, failures] = &tables;
    // No record enters the month from here on, as no event does where a month of events is folded.
    locks::lock_month(tx, locks::RECORD_MONTHS, locks::month_of(time_of(lower))).await?;
    let lock = format!("lock table {}, {} in exclusive mode", quoted(contexts), quoted(failures));
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *tx).await?;
    let folded = fold(tx, contexts, progress).await?;
    let delete = "delete from user_sync_record_partitions where name = $1";
    sqlx::query(delete).bind(&name).execute(&mut *tx).await?;
    drop_tables(tx, &LEDGERS, &[contexts, failures], patience).await?;
    Ok(Some((name, folded)))
}

async fn fold(tx: &mut Transaction, name: &str, progress: &impl Fn(&str, u64)) -> Result<u64, sqlx::Error> {
    sqlx::query("set local lock_timeout = '5s'").execute(&mut *tx).await?;
    let declare = format!(
        "declare history no scroll cursor for
            select user_id, id, 'user.login_context' as type, user_pool_id,
                data || jsonb_build_object(
                    'reported_by', reported_by, 'occasion', occasion, 'witness', is_witness, 'client_id', client_id) as data,
                null::jsonb as state, null::jsonb as claims
            from {} where user_id is not null order by user_id",
        quoted(name)
    );
    let mut history = History::open(tx, AssertSqlSafe(declare).into_sql_str()).await?;
    loop {
        let users = history.next(tx).await?;
        if users.is_empty() {
            return Ok(history.contexts);
        }
        let contexts = users.into_iter().filter_map(|(id, told)| Some((id, told.contexts?)));
        merge_into_baseline(tx, contexts.collect()).await?;
        progress(name, history.contexts);
    }
}
