//! The migrations, embedded: forward only, each in a transaction of its own, under a lock.
//!
//! Where an application kept a `users` table itself, that one is renamed, the migrations run and its rows are
//! adopted, all in one transaction: a failure or a kill at any moment leaves the table as it was.

use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, SqlStr};

use crate::geoip::GeoIp;
use crate::store::locks::lock_adoption;
use crate::store::maintenance::adopt::{self, AdoptError, Adopted, KEPT_AS, OldTable, Options};
use crate::store::tables::quoted;

/// Version, description and text, in the order of `migrations/`.
const MIGRATIONS: [(i64, &str, &str); 11] = [
    (1, "roles", include_str!("../../migrations/0001_roles.sql")),
    (2, "users", include_str!("../../migrations/0002_users.sql")),
    (3, "ledger", include_str!("../../migrations/0003_ledger.sql")),
    (4, "sync_status", include_str!("../../migrations/0004_sync_status.sql")),
    (5, "app_ownership", include_str!("../../migrations/0005_app_ownership.sql")),
    (6, "baseline", include_str!("../../migrations/0006_baseline.sql")),
    (7, "erasure", include_str!("../../migrations/0007_erasure.sql")),
    (8, "reports", include_str!("../../migrations/0008_reports.sql")),
    (9, "contested_by_kind", include_str!("../../migrations/0009_contested_by_kind.sql")),
    (10, "schema_usage", include_str!("../../migrations/0010_schema_usage.sql")),
    (11, "profile_digest", include_str!("../../migrations/0011_profile_digest.sql")),
];

/// The migration that creates `users`: where it ran, a `users` table is ours.
const CREATES_USERS: i64 = 2;

/// Longest name that PostgreSQL keeps whole ("Identifiers and Key Words"), in bytes.
const NAME_MAX_BYTES: usize = 63;

/// What was done, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations that ran: version and description.
    pub ran: Vec<(i64, &'static str)>,
    /// What became of the old `users` table, if there was one.
    pub adopted: Option<Adopted>,
}

/// The schema could not be brought to this build's version.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A migration failed, or one that ran before was changed since.
    #[error("the migrations did not run through; nothing of the failed one is kept")]
    Schema(#[from] MigrateError),
    /// The old table is not adopted.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// A table that only a person may decide about.
    #[error(
        "there is a table users already: adopt it with `user-sync migrate`, in the order of docs/adopting.md, and \
         deploy again"
    )]
    OldTable,
    /// The database failed.
    #[error("the database cannot be asked what it holds")]
    Database(#[from] sqlx::Error),
}

/// Brings the schema to this build's version; does nothing where it is there already. Safe to run from
/// several places at once. For a database of our own: a `users` table of somebody else's is an error.
///
/// # Errors
/// When the database cannot be reached, the role may not create what is needed, or a migration that ran
/// before was changed since.
pub async fn run(pool: &PgPool) -> Result<(), MigrateError> {
    make_roles(pool).await?;
    migrator().run(pool).await
}

/// The roles, and the right to give tables to their owner. A role that creates another one is a member of it
/// from PostgreSQL 16 on, but may not set it: so it is for RDS's master user, who is no superuser.
async fn make_roles(pool: &PgPool) -> Result<(), MigrateError> {
    migrator().run_to(CREATES_USERS - 1, pool).await?;
    Ok(sqlx::raw_sql(include_str!("migrate/set_owner.sql")).execute(pool).await.map(drop)?)
}

/// The same, for a deployment: a schema that a newer build has brought further is left as it is, since that one is
/// made to be used by this build too, and a `users` table of somebody else's is refused.
///
/// # Errors
/// As [`run`], and [`Error::OldTable`].
pub async fn upgrade(pool: &PgPool) -> Result<Migrated, Error> {
    let mut connection = pool.acquire().await?;
    let pending = pending(&mut connection).await?;
    if pending.contains_key(&CREATES_USERS) {
        let is_there = "select to_regclass('users') is not null";
        if sqlx::query_scalar(is_there).fetch_one(&mut *connection).await? {
            return Err(Error::OldTable);
        }
    }
    drop(connection);
    if !pending.is_empty() {
        run(pool).await?;
    }
    Ok(Migrated { ran: pending.into_iter().collect(), adopted: None })
}

/// The same as [`run`], and adopts the application's own `users` table if there is one; it stays as [`KEPT_AS`].
/// `progress` is called with the rows that are done and all rows.
///
/// While it adopts, the old table is locked: nobody reads it or writes to it. `pool` must have two connections.
///
/// # Errors
/// As [`run`], and when there is a `users` table that cannot be adopted. Nothing is changed then.
pub async fn run_and_adopt(
    pool: &PgPool,
    options: &Options,
    geoip: &GeoIp,
    mut progress: impl FnMut(u64, u64),
) -> Result<Migrated, Error> {
    let mut tx = pool.begin().await?;
    lock_adoption(&mut tx).await?;
    let pending = pending(&mut tx).await?;
    if old_table(&mut tx, &pending).await?.is_none() {
        tx.rollback().await?;
        run(pool).await?;
        return Ok(Migrated { ran: pending.into_iter().collect(), adopted: None });
    }
    // The roles, on another connection: they are the whole server's, and other databases that migrate would
    // have to wait for the long transaction, and then fail.
    make_roles(pool).await?;
    let table = lock_old_table(&mut tx, &pending).await?;
    set_aside(&mut tx, &table).await?;
    Box::pin(migrator().run(&mut *tx)).await?;
    let rows = table.rows;
    let adopted = adopt::adopt(&mut tx, &table, options, geoip, |done| progress(done, rows)).await?;
    tx.commit().await?;
    Ok(Migrated { ran: pending.into_iter().collect(), adopted: Some(adopted) })
}

/// What [`run_and_adopt`] would do. Changes nothing, and locks nobody out.
///
/// # Errors
/// As [`run_and_adopt`].
pub async fn survey(
    pool: &PgPool,
    options: &Options,
    geoip: &GeoIp,
    mut progress: impl FnMut(u64, u64),
) -> Result<Migrated, Error> {
    let mut tx = pool.begin_with("begin isolation level repeatable read read only").await?;
    let pending = pending(&mut tx).await?;
    let adopted = match old_table(&mut tx, &pending).await? {
        None => None,
        Some(table) => {
            let rows = table.rows;
            Some(adopt::survey(&mut tx, &table, options, geoip, |done| progress(done, rows)).await?)
        }
    };
    tx.rollback().await?;
    Ok(Migrated { ran: pending.into_iter().collect(), adopted })
}

fn migrator() -> Migrator {
    Migrator::with_migrations(embedded())
}

/// The migrations of this build, in the order in which they run.
pub(crate) fn embedded() -> Vec<Migration> {
    let migration = |(version, description, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    MIGRATIONS.map(migration).to_vec()
}

/// The migrations that have not run yet.
async fn pending(tx: &mut PgConnection) -> Result<BTreeMap<i64, &'static str>, sqlx::Error> {
    let mut pending: BTreeMap<i64, &'static str> =
        MIGRATIONS.into_iter().map(|(version, description, _)| (version, description)).collect();
    let has_run: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&mut *tx).await?;
    if has_run {
        let ran: Vec<i64> =
            sqlx::query_scalar("select version from _sqlx_migrations where success").fetch_all(tx).await?;
        pending.retain(|version, _| !ran.contains(version));
    }
    Ok(pending)
}

/// The old table, if there is one, and it can be adopted.
async fn old_table(
    tx: &mut PgConnection,
    pending: &BTreeMap<i64, &'static str>,
) -> Result<Option<OldTable>, Error> {
    if !pending.contains_key(&CREATES_USERS) {
        return Ok(None);
    }
    sqlx::raw_sql("set local statement_timeout = 0; set local time zone 'UTC'").execute(&mut *tx).await?;
    Ok(adopt::inspect(tx).await?)
}

/// Locks the old table against everybody else, and looks again: rows may have come in between.
async fn lock_old_table(
    tx: &mut PgConnection,
    pending: &BTreeMap<i64, &'static str>,
) -> Result<OldTable, Error> {
    // Who waits for this lock makes everybody else wait behind it: not for long.
    let lock = "set local lock_timeout = '5s'; lock table users in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *tx).await.map_err(AdoptError::InUse)?;
    old_table(tx, pending).await?.ok_or(Error::Adopt(AdoptError::Gone))
}

/// Gives the old table, its indexes and its sequences other names, so that the new ones can have theirs. A
/// constraint has its index's name.
async fn set_aside(tx: &mut PgConnection, table: &OldTable) -> Result<(), AdoptError> {
    // What the session says to the triggers of the new table: these rows are the service's.
    sqlx::raw_sql("set local user_sync.service = 'on'").execute(&mut *tx).await?;
    let owned = "select pg_class.oid, relname::text, relkind = 'S' from pg_class
        where pg_class.oid in (select indexrelid from pg_index where indrelid = $1)
           or relkind = 'S' and pg_class.oid in (
               select objid from pg_depend
               where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass
                 and refobjid = $1 and deptype in ('a', 'i'))
        order by relname";
    let owned: Vec<(Oid, String, bool)> = sqlx::query_as(owned).bind(table.oid()).fetch_all(&mut *tx).await?;
    for (oid, name, is_sequence) in owned {
        let kind = if is_sequence { "sequence" } else { "index" };
        rename(tx, kind, &name, &name_aside(oid, &name)).await?;
    }
    Ok(rename(tx, "table", "users", KEPT_AS).await?)
}

async fn rename(tx: &mut PgConnection, kind: &str, from: &str, to: &str) -> Result<(), sqlx::Error> {
    let rename = format!("alter {kind} {} rename to {}", quoted(from), quoted(to));
    sqlx::query(AssertSqlSafe(rename)).execute(tx).await.map(drop)
}

fn name_aside(oid: Oid, name: &str) -> String {
    let suffixed = format!("{name}_before_user_sync");
    if suffixed.len() <= NAME_MAX_BYTES { suffixed } else { format!("before_user_sync_{}", oid.0) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_file_is_embedded() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sql"))
            .collect();
        files.sort();
        let embedded: Vec<_> =
            MIGRATIONS.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
        assert_eq!(files, embedded);
    }
}
