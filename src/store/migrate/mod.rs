//! The migrations, embedded: forward only, each in a transaction of its own, under a lock.
//!
//! Where an application kept a `users` table itself, that one is renamed, the migrations run and its rows are
//! adopted, all in one transaction: a failure or a kill at any moment leaves the table as it was.

mod deployment;
mod edits;
mod files;
mod names;
mod requirements;

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::postgres::types::Oid;

pub use self::deployment::{Deployment, Mark, mark_role, marks_of, other_places, prefix_in_use};
pub(crate) use self::edits::edits_are_noted;
use self::files::CREATES_USERS;
pub(crate) use self::files::embedded;
pub use self::requirements::{Server, Unmet};
use crate::geoip::GeoIp;
use crate::postgres::{Database, NAME_MAX_BYTES, Purpose, RolePrefix, Transaction, quoted};
use crate::store::locks::{lock_adoption, lock_migration};
use crate::store::maintenance::adopt::{self, AdoptError, Adopted, KEPT_AS, OldTable, Options, lines};

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
    /// A migration failed.
    #[error("the migration {version} {description} did not run through; nothing of it is kept")]
    Failed {
        /// Its number.
        version: i64,
        /// Its name.
        description: String,
        /// Why.
        source: sqlx::Error,
    },
    /// A migration that ran before was changed since.
    #[error(
        "the migration {version} was applied with another text than this build has: use the release of user-sync that \
         the schema was migrated by, or a newer one"
    )]
    Changed {
        /// Its number.
        version: i64,
    },
    /// A migration that another program began.
    #[error("the migration {version} was begun and not ended: restore the schema from a backup")]
    Unfinished {
        /// Its number.
        version: i64,
    },
    /// The database cannot hold the tables.
    #[error("nothing was changed: {0}")]
    Unmet(Unmet),
    /// The roles are another deployment's.
    #[error(
        "the roles {prefix}_owner, {prefix}_consumer and so on belong to another deployment, in {place} of this server; \
         nothing was changed: set USER_SYNC_ROLE_PREFIX to a prefix of this deployment's own"
    )]
    PrefixTaken {
        /// What the names of the roles begin with.
        prefix: RolePrefix,
        /// Where the other deployment is.
        place: String,
    },
    /// A role of the prefix is not this service's.
    #[error(
        "the role {role} is there already and is not this service's; nothing was changed: set USER_SYNC_ROLE_PREFIX to a \
         prefix whose roles are not there"
    )]
    RoleOfOthers {
        /// Its name.
        role: String,
    },
    /// The tables are in another schema.
    #[error(
        "the schema {other} of this database holds the tables of a deployment; nothing was changed: set \
         USER_SYNC_DATABASE_SCHEMA={other} if that is meant, or, for a second deployment, USER_SYNC_ROLE_PREFIX to a \
         prefix of its own (it would be {prefix})"
    )]
    AnotherSchema {
        /// The other schema.
        other: String,
        /// What the names of its roles begin with.
        prefix: RolePrefix,
    },
    /// Somebody else has names that migrations make.
    #[error(
        "names that this service's own tables and functions need are taken in this schema; nothing was changed\n{lines}\n\
         rename these, or set USER_SYNC_DATABASE_SCHEMA to a schema of this service's own, where they are in nobody's way",
        lines = lines(taken)
    )]
    NamesTaken {
        /// What has each of them, a line each.
        taken: Vec<String>,
    },
    /// The old table is not adopted.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// A table that only a person may decide about.
    #[error(
        "there is a table users in the schema {schema} already: set USER_SYNC_DATABASE_SCHEMA to a schema of this \
         service's own, or adopt the table with `user-sync migrate`, in the order of docs/adopting.md, and deploy again"
    )]
    OldTable {
        /// The schema.
        schema: String,
    },
    /// The database failed.
    #[error("the database cannot be asked what it holds")]
    Database(#[from] sqlx::Error),
}

impl From<Unmet> for Error {
    fn from(unmet: Unmet) -> Self {
        Self::Unmet(unmet)
    }
}

/// Brings the schema to this build's version; does nothing where it is there already. Safe to run from
/// several places at once. For a database of our own: a `users` table of somebody else's is an error.
///
/// The names of the roles begin with `prefix`, or as they did before, or with `user_sync`.
///
/// # Errors
/// When the database cannot be reached or cannot hold the tables, the role may not create what is needed, the roles are
/// another deployment's, somebody else has a name that a migration makes, or a migration that ran before was changed since.
pub async fn run(database: &Database, prefix: Option<&RolePrefix>) -> Result<(), Error> {
    let prefix = prepare(database, prefix, false).await?;
    loop {
        let mut tx = database.begin(Purpose::Migration).await?;
        if !run_next(&mut tx, database, &prefix).await? {
            edits::note_edits(&mut tx).await?;
            offer(&mut tx, &prefix).await?;
            return Ok(tx.commit().await?);
        }
        tx.commit().await?;
    }
}

/// The roles, in a transaction of their own: they are the whole server's, and other databases that migrate would have to
/// wait for a long one.
async fn prepare(
    database: &Database,
    prefix: Option<&RolePrefix>,
    sets_users_aside: bool,
) -> Result<RolePrefix, Error> {
    let mut tx = database.begin(Purpose::Migration).await?;
    lock_migration(&mut tx).await?;
    let prefix = deployment::prepare(&mut tx, database.schema(), prefix, sets_users_aside).await?;
    tx.commit().await?;
    Ok(prefix)
}

/// Runs the first migration that has not run; says whether there was one.
async fn run_next(tx: &mut Transaction, database: &Database, prefix: &RolePrefix) -> Result<bool, Error> {
    lock_migration(tx).await?;
    let Some((version, _)) = files::pending(tx).await?.pop_first() else { return Ok(false) };
    files::run(tx, version, database.schema(), prefix).await?;
    Ok(true)
}

/// What may become possible long after the migration that it belongs to ran.
async fn offer(tx: &mut Transaction, prefix: &RolePrefix) -> Result<(), sqlx::Error> {
    files::offer_groups(tx, prefix).await?;
    if deployment::console_is_ours(tx, prefix).await? {
        files::grant_console(tx, prefix).await?;
    }
    Ok(())
}

/// The same, for a deployment: a schema that a newer build has brought further is left as it is, since that one is
/// made to be used by this build too, and a `users` table of somebody else's is refused.
///
/// # Errors
/// As [`run`], and [`Error::OldTable`].
pub async fn upgrade(database: &Database, prefix: Option<&RolePrefix>) -> Result<Migrated, Error> {
    let mut tx = database.begin(Purpose::Inspection).await?;
    let pending = files::pending(&mut tx).await?;
    if pending.contains_key(&CREATES_USERS) {
        let is_there = "select to_regclass('users') is not null";
        if sqlx::query_scalar(is_there).fetch_one(&mut tx).await? {
            return Err(Error::OldTable { schema: database.schema().as_str().to_owned() });
        }
    }
    tx.rollback().await?;
    run(database, prefix).await?;
    Ok(Migrated { ran: pending.into_iter().collect(), adopted: None })
}

/// The same as [`run`], and adopts the application's own `users` table if there is one; it stays as [`KEPT_AS`].
/// `progress` is called with the rows that are done and all rows.
///
/// While it adopts, the old table is locked: nobody reads it or writes to it. `database` must have two connections.
///
/// # Errors
/// As [`run`], and when there is a `users` table that cannot be adopted. Nothing is changed then.
pub async fn run_and_adopt(
    database: &Database,
    prefix: Option<&RolePrefix>,
    options: &Options,
    geoip: &GeoIp,
    mut progress: impl FnMut(u64, u64),
) -> Result<Migrated, Error> {
    let mut tx = database.begin(Purpose::Migration).await?;
    lock_adoption(&mut tx).await?;
    let pending = files::pending(&mut tx).await?;
    if old_table(&mut tx, &pending).await?.is_none() {
        tx.rollback().await?;
        run(database, prefix).await?;
        return Ok(Migrated { ran: pending.into_iter().collect(), adopted: None });
    }
    let prefix = prepare(database, prefix, true).await?;
    let table = lock_old_table(&mut tx).await?;
    set_aside(&mut tx, &table).await?;
    while Box::pin(run_next(&mut tx, database, &prefix)).await? {}
    let rows = table.rows;
    offer(&mut tx, &prefix).await?;
    let adopted = adopt::adopt(&mut tx, &table, options, geoip, |done| progress(done, rows)).await?;
    tx.commit().await?;
    Ok(Migrated { ran: pending.into_iter().collect(), adopted: Some(adopted) })
}

/// What [`run_and_adopt`] would do. Changes nothing, and locks nobody out.
///
/// # Errors
/// As [`run_and_adopt`].
pub async fn survey(
    database: &Database,
    prefix: Option<&RolePrefix>,
    options: &Options,
    geoip: &GeoIp,
    mut progress: impl FnMut(u64, u64),
) -> Result<Migrated, Error> {
    let mut tx = database.begin(Purpose::Inspection).await?;
    let pending = deployment::Plan::of(&mut tx, database.schema(), prefix).await?.pending;
    let adopted = match old_table(&mut tx, &pending).await? {
        None => {
            names::refuse_taken(&mut tx, &pending, false).await?;
            None
        }
        Some(table) => {
            let rows = table.rows;
            Some(adopt::survey(&mut tx, &table, options, geoip, |done| progress(done, rows)).await?)
        }
    };
    tx.rollback().await?;
    Ok(Migrated { ran: pending.into_iter().collect(), adopted })
}

/// The old table, if there is one, and it can be adopted.
async fn old_table(
    tx: &mut Transaction,
    pending: &BTreeMap<i64, &'static str>,
) -> Result<Option<OldTable>, Error> {
    if !pending.contains_key(&CREATES_USERS) {
        return Ok(None);
    }
    sqlx::raw_sql("set local statement_timeout = 0; set local time zone 'UTC'").execute(&mut *tx).await?;
    let taken = names::taken(tx, pending, true).await?;
    Ok(adopt::inspect(tx, taken).await?)
}

/// Locks the old table against everybody else, and looks again: rows may have come in between.
async fn lock_old_table(tx: &mut Transaction) -> Result<OldTable, Error> {
    // Who waits for this lock makes everybody else wait behind it: not for long.
    let lock = "set local lock_timeout = '5s'; lock table users in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *tx).await.map_err(AdoptError::InUse)?;
    let pending = files::pending(tx).await?;
    old_table(tx, &pending).await?.ok_or(Error::Adopt(AdoptError::Gone))
}

/// Gives the old table, its indexes and its sequences other names, so that the new ones can have theirs. A
/// constraint has its index's name.
async fn set_aside(tx: &mut Transaction, table: &OldTable) -> Result<(), AdoptError> {
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

async fn rename(tx: &mut Transaction, kind: &str, from: &str, to: &str) -> Result<(), sqlx::Error> {
    let rename = format!("alter {kind} {} rename to {}", quoted(from), quoted(to));
    sqlx::query(AssertSqlSafe(rename)).execute(tx).await.map(drop)
}

fn name_aside(oid: Oid, name: &str) -> String {
    let suffixed = format!("{name}_before_user_sync");
    if suffixed.len() <= NAME_MAX_BYTES { suffixed } else { format!("before_user_sync_{}", oid.0) }
}
