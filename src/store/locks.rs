//! Every advisory lock that the product takes: its class and its keys, in one place, so that no two mean different things
//! by one number.
//!
//! Locks are taken in one order everywhere, so that no two transactions wait in a circle: value shards → new rows → rows →
//! ledger ids, each in ascending order. Nobody who applies events waits for a month.

use std::collections::BTreeSet;

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::OffsetDateTime;

use crate::postgres::Transaction;
use crate::store::model::claims::{SHARDS, Shards};

/// The class of all of them, so that they do not meet another program's: "user" in ASCII.
const CLASS: i32 = 0x7573_6572;

/// The keys below are those of the value locks; see [`Shards`].
const ADOPTION: i32 = SHARDS;
const MIGRATION: i32 = SHARDS + 1;
/// And the number of a [`Month`].
pub(in crate::store) const MONTHS: i32 = SHARDS + 2;
/// The same of the records of sign-ins, beyond the month of any event.
pub(in crate::store) const RECORD_MONTHS: i32 = MONTHS + 12 * 11_000;
/// Beyond the month of any record.
const REFRESH: i32 = RECORD_MONTHS + 12 * 11_000;

/// Takes the value locks, in ascending order, until the transaction ends.
pub(in crate::store) async fn lock_shards(tx: &mut Transaction, shards: &Shards) -> Result<(), sqlx::Error> {
    let query = sqlx::query("select pg_advisory_xact_lock($1, shard) from unnest($2::int[]) as shard");
    query.bind(CLASS).bind(shards.sorted()).execute(tx).await.map(drop)
}

/// Whether nobody else counts days; nobody else does then until the transaction ends. Waits for nobody.
pub(in crate::store) async fn try_refresh(tx: &mut Transaction) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_scalar("select pg_try_advisory_xact_lock($1, $2)");
    query.bind(CLASS).bind(REFRESH).fetch_one(tx).await
}

/// A month of the ledger, counted from the year 0.
pub(in crate::store) type Month = i32;

/// The month of a moment, in UTC.
pub(in crate::store) fn month_of(time: Timestamp) -> Month {
    let time = OffsetDateTime::from(time);
    time.year() * 12 + i32::from(u8::from(time.month())) - 1
}

/// Keeps what is new out of a month of a ledger ([`MONTHS`], [`RECORD_MONTHS`]) until the transaction ends, once what is being
/// applied is in.
pub(in crate::store) async fn lock_month(
    tx: &mut Transaction,
    ledger: i32,
    month: Month,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("select pg_advisory_xact_lock($1, $2)");
    query.bind(CLASS).bind(ledger + month).execute(tx).await.map(drop)
}

/// Which of the months of a ledger ([`MONTHS`], [`RECORD_MONTHS`]) somebody keeps closed; the others stay open until the transaction ends. Waits for nobody.
pub(in crate::store) async fn closed_months(
    tx: &mut Transaction,
    ledger: i32,
    months: &BTreeSet<Month>,
) -> Result<BTreeSet<Month>, sqlx::Error> {
    let query = "select month from unnest($3::int[]) as month
        where not pg_try_advisory_xact_lock_shared($1, $2 + month)";
    let query = sqlx::query_scalar(query).bind(CLASS).bind(ledger);
    let closed = query.bind(months.iter().copied().collect::<Vec<_>>()).fetch_all(tx).await?;
    Ok(closed.into_iter().collect())
}

/// Waits until no other process looks for an old table or adopts it, however long that takes.
pub(in crate::store) async fn lock_adoption(tx: &mut Transaction) -> Result<(), sqlx::Error> {
    wait_for(tx, ADOPTION).await
}

/// Waits until no other process migrates this database, however long that takes.
pub(in crate::store) async fn lock_migration(tx: &mut Transaction) -> Result<(), sqlx::Error> {
    wait_for(tx, MIGRATION).await?;
    // Waiting for the turn was without limits; what runs now is not: who waits for a table makes others wait behind it.
    let limits = "set local statement_timeout = '60s'; set local lock_timeout = '5s'";
    sqlx::raw_sql(limits).execute(tx).await.map(drop)
}

/// Takes a lock until the transaction ends. Of a transaction, not of a session: behind a pooler that would stay with a
/// connection of somebody else's.
async fn wait_for(tx: &mut Transaction, key: i32) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("set local statement_timeout = 0; set local lock_timeout = 0").execute(&mut *tx).await?;
    sqlx::query("select pg_advisory_xact_lock($1, $2)").bind(CLASS).bind(key).execute(tx).await.map(drop)
}
