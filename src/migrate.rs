//! The migrations, embedded: forward only, each in a transaction of its own, under a lock.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgPool, SqlStr};

/// Version, description and text, in the order of `migrations/`.
const MIGRATIONS: [(i64, &str, &str); 8] = [
    (1, "roles", include_str!("../migrations/0001_roles.sql")),
    (2, "users", include_str!("../migrations/0002_users.sql")),
    (3, "ledger", include_str!("../migrations/0003_ledger.sql")),
    (4, "sync_status", include_str!("../migrations/0004_sync_status.sql")),
    (5, "app_ownership", include_str!("../migrations/0005_app_ownership.sql")),
    (6, "baseline", include_str!("../migrations/0006_baseline.sql")),
    (7, "erasure", include_str!("../migrations/0007_erasure.sql")),
    (8, "reports", include_str!("../migrations/0008_reports.sql")),
];

/// Brings the schema to this build's version; does nothing where it is there already. Safe to run from
/// several places at once.
///
/// # Errors
/// When the database cannot be reached, the role may not create what is needed, or a migration that ran
/// before was changed since.
pub async fn run(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    Migrator::with_migrations(embedded()).run(pool).await
}

/// The migrations of this build, in the order in which they run.
pub(crate) fn embedded() -> Vec<Migration> {
    let migration = |(version, description, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    MIGRATIONS.map(migration).to_vec()
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
