//! Every advisory lock that the product takes: its class and its keys, in one place, so that no two mean different things
//! by one number.
//!
//! Locks are taken in one order everywhere, so that no two transactions wait in a circle: value shards → new rows → rows →
//! ledger ids, each in ascending order.

use crate::postgres::Transaction;
use crate::store::model::claims::{SHARDS, Shards};

/// The class of all of them, so that they do not meet another program's: "user" in ASCII.
const CLASS: i32 = 0x7573_6572;

/// The keys below are those of the value locks; see [`Shards`].
const ADOPTION: i32 = SHARDS;
const MIGRATION: i32 = SHARDS + 1;

/// Takes the value locks, in ascending order, until the transaction ends.
pub(in crate::store) async fn lock_shards(tx: &mut Transaction, shards: &Shards) -> Result<(), sqlx::Error> {
    let query = sqlx::query("select pg_advisory_xact_lock($1, shard) from unnest($2::int[]) as shard");
    query.bind(CLASS).bind(shards.sorted()).execute(tx).await.map(drop)
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
