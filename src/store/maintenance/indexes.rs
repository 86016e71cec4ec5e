//! Builds the indexes that large tables lack, beside whoever writes: those that a migration left out, and those by user that
//! only months which are over get. Must not lock anybody out: `create index concurrently` waits for others, and nobody for it.

use sqlx::AssertSqlSafe;

use crate::postgres::{Database, Purpose, Transaction, quoted};
use crate::store::maintenance::attempts::PATIENCE;
use crate::store::maintenance::partitions::{MaintainError, patiently};
use crate::store::tables::failure::StoreError;

/// An index that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The table.
    pub table: String,
    /// The index's name.
    pub name: String,
    /// What follows `on table` where it is created.
    definition: String,
    /// The index of the whole ledger that it becomes a part of.
    of_whole: Option<String>,
    /// Whether it is there, and only no part of that one yet.
    is_built: bool,
    /// Whether it was begun and not ended.
    is_broken: bool,
}

/// What finds users, as migrations/0025_find_users.sql makes it where the table is small: table, name, definition.
pub(crate) const OF_USERS: [(&str, &str, &str); 5] = [
    ("users", "users_name_prefix_idx", "(lower(name) text_pattern_ops) where name <> 'User'"),
    ("users", "users_user_name_idx", "(lower(cognito_username)) where cognito_username <> id::text"),
    ("users", "users_created_idx", "(created_at, id)"),
    (
        "users",
        "users_standing_idx",
        "((case when erased_at is not null then 'ERASED' when is_deleted then 'DELETED' when not enabled then 'DISABLED'
            else cognito_status end), created_at, id)
            where erased_at is not null or is_deleted or not enabled
                or cognito_status not in ('CONFIRMED', 'EXTERNAL_PROVIDER')",
    ),
    ("user_sync_memberships", "user_sync_memberships_name_user_idx", "(name, user_id)"),
];

/// The indexes that are lacking: of users and groups, then of the ledgers' months, the oldest first. A month gets its own when
/// it has been over for so many days.
///
/// # Errors
/// When the database cannot be read.
pub async fn lacking(
    questions: impl sqlx::Executor<'_, Database = sqlx::Postgres>,
    days_over: u32,
) -> Result<Vec<Lacking>, sqlx::Error> {
    let column = |of: fn(&(&'static str, &'static str, &'static str)) -> &'static str| -> Vec<&'static str> {
        OF_USERS.iter().map(of).collect()
    };
    let query = sqlx::query_as(include_str!("lacking_indexes.sql"));
    let query = query.bind(column(|of| of.0)).bind(column(|of| of.1)).bind(column(|of| of.2));
    let rows: Vec<(String, String, String, Option<String>, bool, bool)> =
        query.bind(format!("{days_over} days")).fetch_all(questions).await?;
    let lacking = |(table, name, definition, of_whole, is_built, is_broken)| Lacking {
        table,
        name,
        definition,
        of_whole,
        is_built,
        is_broken,
    };
    Ok(rows.into_iter().map(lacking).collect())
}

/// Builds every index that is lacking, and calls `progress` with each one's name before; returns their names.
///
/// Needs the rights of `user_sync_owner`, and a connection that keeps to one session for as long as a statement takes: any
/// pooler does. Idempotent. If it is killed, the index that was being built is begun again by the next run.
///
/// # Errors
/// When an index cannot be built; those that were built stay.
pub async fn build(database: &Database, progress: impl Fn(&str)) -> Result<Vec<String>, MaintainError> {
    const DOING: &str = "building an index";
    let failed = StoreError::when(DOING);
    let lacking = lacking(database.questions(), 0).await.map_err(&failed)?;
    let mut built = Vec::new();
    for index in lacking {
        progress(&index.name);
        let schema = database.schema().quoted();
        let (name, table) = (quoted(&index.name), quoted(&index.table));
        if index.is_broken {
            let drop = format!("drop index concurrently if exists {schema}.{name}");
            database.run_alone(drop).await.map_err(&failed)?;
        }
        if !index.is_built {
            let create = format!("create index concurrently {name} on {schema}.{table} {}", index.definition);
            database.run_alone(create).await.map_err(&failed)?;
        }
        if let Some(whole) = &index.of_whole {
            let attach = format!("alter index {} attach partition {name}", quoted(whole));
            let attach = async |tx: &mut Transaction| {
                Ok(sqlx::raw_sql(AssertSqlSafe(attach.clone())).execute(tx).await.map(drop)?)
            };
            patiently(database, DOING, &[&index.table], PATIENCE, attach).await?;
        }
        built.push(index.name);
    }
    Ok(built)
}

/// Whether every index by which users are found is there; a list without it would read a table to its end.
///
/// # Errors
/// When the database cannot be read.
pub async fn users_are_found(database: &Database) -> Result<bool, sqlx::Error> {
    let mut tx = database.begin(Purpose::Page).await?;
    let names: Vec<&str> = OF_USERS.iter().map(|(_, name, _)| *name).collect();
    let query = "select count(*) = cardinality($1::text[]) from pg_index
        join pg_class on pg_class.oid = indexrelid
        where indisvalid and relnamespace = (select oid from pg_namespace where nspname = current_schema())
            and relname = any ($1::text[])";
    let are_there = sqlx::query_scalar(query).bind(names).fetch_one(&mut tx).await?;
    tx.rollback().await?;
    Ok(are_there)
}
