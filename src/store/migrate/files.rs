//! The migrations, embedded, and how one of them runs. `_sqlx_migrations` is the table of `sqlx migrate`, which ran them
//! before: what it says of a migration that ran stays true.

use std::collections::BTreeMap;
use std::time::Instant;

use sqlx::migrate::{Migration, MigrationType};
use sqlx::{AssertSqlSafe, SqlStr};

use crate::postgres::{RolePrefix, Schema, Transaction};
use crate::store::migrate::{Error, names};

/// Version, description and text, in the order of `migrations/`.
pub(super) const MIGRATIONS: [(i64, &str, &str); 26] = [
    (1, "roles", include_str!("../../../migrations/0001_roles.sql")),
    (2, "users", include_str!("../../../migrations/0002_users.sql")),
    (3, "ledger", include_str!("../../../migrations/0003_ledger.sql")),
    (4, "sync_status", include_str!("../../../migrations/0004_sync_status.sql")),
    (5, "app_ownership", include_str!("../../../migrations/0005_app_ownership.sql")),
    (6, "baseline", include_str!("../../../migrations/0006_baseline.sql")),
    (7, "erasure", include_str!("../../../migrations/0007_erasure.sql")),
    (8, "reports", include_str!("../../../migrations/0008_reports.sql")),
    (9, "contested_by_kind", include_str!("../../../migrations/0009_contested_by_kind.sql")),
    (10, "schema_usage", include_str!("../../../migrations/0010_schema_usage.sql")),
    (11, "profile_digest", include_str!("../../../migrations/0011_profile_digest.sql")),
    (12, "sessions", include_str!("../../../migrations/0012_sessions.sql")),
    (13, "held_rows", include_str!("../../../migrations/0013_held_rows.sql")),
    (14, "months", include_str!("../../../migrations/0014_months.sql")),
    (15, "shown_and_restored", include_str!("../../../migrations/0015_shown_and_restored.sql")),
    (16, "json_columns", include_str!("../../../migrations/0016_json_columns.sql")),
    (17, "whole_snapshots", include_str!("../../../migrations/0017_whole_snapshots.sql")),
    (18, "identities", include_str!("../../../migrations/0018_identities.sql")),
    (19, "groups", include_str!("../../../migrations/0019_groups.sql")),
    (20, "records_of_sign_ins", include_str!("../../../migrations/0020_records_of_sign_ins.sql")),
    (21, "pools_seen", include_str!("../../../migrations/0021_pools_seen.sql")),
    (22, "runs", include_str!("../../../migrations/0022_runs.sql")),
    (23, "daily", include_str!("../../../migrations/0023_daily.sql")),
    (24, "console", include_str!("../../../migrations/0024_console.sql")),
    (25, "find_users", include_str!("../../../migrations/0025_find_users.sql")),
    (26, "events_by_user", include_str!("../../../migrations/0026_events_by_user.sql")),
];

/// The migration that makes the roles.
pub(super) const MAKES_ROLES: i64 = 1;

/// The migration that creates `users`: where it ran, a `users` table is ours.
pub(super) const CREATES_USERS: i64 = 2;

/// The migrations of this build, in the order in which they run. A checksum is that of the file as it is.
pub(crate) fn embedded() -> Vec<Migration> {
    let migration = |(version, description, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    MIGRATIONS.map(migration).to_vec()
}

/// The newest migration of this build.
pub(super) fn newest() -> Option<i64> {
    MIGRATIONS.last().map(|(version, _, _)| *version)
}

/// A migration's text, for one schema and its roles.
fn text(sql: &str, schema: &Schema, prefix: &RolePrefix) -> String {
    let search_path = schema.search_path().replace('\'', "''");
    prefix.rename(sql).replace("{search_path}", &search_path)
}

/// The migrations that have not run yet.
pub(super) async fn pending(tx: &mut Transaction) -> Result<BTreeMap<i64, &'static str>, Error> {
    let mut pending: BTreeMap<i64, &'static str> =
        MIGRATIONS.into_iter().map(|(version, description, _)| (version, description)).collect();
    if !has_table(&mut *tx).await? {
        return Ok(pending);
    }
    let known: BTreeMap<i64, Migration> =
        embedded().into_iter().map(|migration| (migration.version, migration)).collect();
    let Some(ran) = recorded(tx, &known).await? else {
        return Err(names::another_programs_migrations(tx).await?);
    };
    for (version, checksum, success) in ran {
        pending.remove(&version);
        match known.get(&version) {
            _ if !success => return Err(Error::Unfinished { version }),
            Some(known) if *known.checksum != *checksum => return Err(Error::Changed { version }),
            // A newer build has brought the schema further; it is made to be used by this one, too.
            Some(_) | None => {}
        }
    }
    Ok(pending)
}

/// Whether there is a table of migrations, whoever's.
pub(super) async fn has_table(tx: &mut Transaction) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(tx).await
}

/// The migrations that the table has: version, checksum and whether it has ended; `None` where it is another program's.
async fn recorded(
    tx: &mut Transaction,
    known: &BTreeMap<i64, Migration>,
) -> Result<Option<Vec<(i64, Vec<u8>, bool)>>, sqlx::Error> {
    let is_one = "select relkind in ('r', 'p') and 5 = (
            select count(*) from pg_attribute
            where attrelid = pg_class.oid and not attisdropped
                and attname in ('version', 'description', 'success', 'checksum', 'execution_time'))
        from pg_class where oid = to_regclass('_sqlx_migrations')";
    if !sqlx::query_scalar::<_, bool>(is_one).fetch_one(&mut *tx).await? {
        return Ok(None);
    }
    let rows: Vec<(i64, String, Vec<u8>, bool)> =
        sqlx::query_as("select version, description, checksum, success from _sqlx_migrations")
            .fetch_all(tx)
            .await?;
    let is_ours = |(version, description, checksum, _): &(i64, String, Vec<u8>, bool)| {
        let Some(own) = known.get(version) else { return false };
        // The first one's text may have been changed, which is another error.
        *own.checksum == **checksum || *version == MAKES_ROLES && own.description == **description
    };
    if !rows.is_empty() && !rows.iter().any(is_ours) {
        return Ok(None);
    }
    Ok(Some(rows.into_iter().map(|(version, _, checksum, success)| (version, checksum, success)).collect()))
}

/// Runs a migration and records it.
pub(super) async fn run(
    tx: &mut Transaction,
    version: i64,
    schema: &Schema,
    prefix: &RolePrefix,
) -> Result<(), Error> {
    let Some(migration) = embedded().into_iter().find(|migration| migration.version == version) else {
        return Ok(());
    };
    let description = migration.description.to_string();
    let failed = |source| Error::Failed { version, description: description.clone(), source };
    let started = Instant::now();
    let sql = text(migration.sql.as_str(), schema, prefix);
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await.map_err(failed)?;
    sqlx::raw_sql(include_str!("migrations_table.sql")).execute(&mut *tx).await.map_err(failed)?;
    let record = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values ($1, $2, true, $3, $4)";
    let nanoseconds = i64::try_from(started.elapsed().as_nanos()).unwrap_or(i64::MAX);
    let record = sqlx::query(record).bind(version).bind(&description).bind(migration.checksum.as_ref());
    record.bind(nanoseconds).execute(tx).await.map(drop).map_err(failed)
}

/// Makes the roles of a prefix, and lets whoever migrates give tables to their owner: what the first migration does.
pub(super) async fn make_roles(tx: &mut Transaction, prefix: &RolePrefix) -> Result<(), sqlx::Error> {
    let roles = prefix.rename(include_str!("../../../migrations/0001_roles.sql"));
    sqlx::raw_sql(AssertSqlSafe(roles)).execute(tx).await.map(drop)
}

/// Makes the view of who is in which group under the name that an application would choose, where that is free: it may become
/// free long after the migration ran.
pub(super) async fn offer_groups(tx: &mut Transaction, prefix: &RolePrefix) -> Result<(), sqlx::Error> {
    let offer = prefix.rename(include_str!("offer_groups.sql"));
    sqlx::raw_sql(AssertSqlSafe(offer)).execute(tx).await.map(drop)
}

/// Gives the console's role what it may do, where it is there and lacks any of it.
pub(super) async fn grant_console(tx: &mut Transaction, prefix: &RolePrefix) -> Result<(), sqlx::Error> {
    let grant = prefix.rename(include_str!("grant_console.sql"));
    sqlx::raw_sql(AssertSqlSafe(grant)).execute(tx).await.map(drop)
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

    #[test]
    fn a_text_has_the_names_of_its_deployment() {
        let (schema, prefix) = (Schema::new("it's").unwrap(), RolePrefix::new("shop").unwrap());
        let text = text("grant a to user_sync_app; '{search_path}'", &schema, &prefix);
        assert_eq!(text, "grant a to shop_app; '\"it''s\", pg_temp'");
    }
}
