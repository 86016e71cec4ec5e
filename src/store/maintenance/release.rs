//! Gives a column that the application made its own back to the service.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::postgres::{Database, Purpose};
use crate::store::model::columns::{COLUMNS, UserRow};
use crate::store::model::user::StoredUser;
use crate::store::tables::failure::{Failure, OF_A_COMMAND, StoreError, retry_conflicts};
use crate::store::tables::users;

/// The columns that the application can make its own (migrations/0005_app_ownership.sql).
#[must_use]
pub fn ownable_columns() -> Vec<&'static str> {
    COLUMNS.iter().filter(|column| column.is_ownable).map(|column| column.name).collect()
}

/// A column could not be given back.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// No such column, or not one that can be owned.
    #[error("{0:?} is no column that the application can own: those are {list}", list = ownable_columns().join(", "))]
    NotOwnable(String),
    /// No such user.
    #[error("there is no user {0}")]
    NoUser(Uuid),
    /// The database did not do it; nothing was changed.
    #[error("nothing was changed")]
    Failed(#[from] StoreError),
}

/// Gives `column` of a user back to the service, which writes what the user's events say. Idempotent; says
/// whether the application owned it.
///
/// Needs the rights of `user_sync_owner`.
///
/// # Errors
/// When the column cannot be owned, the user is not there, or the database fails.
pub async fn release(database: &Database, user: Uuid, column: &str) -> Result<bool, ReleaseError> {
    if !ownable_columns().contains(&column) {
        return Err(ReleaseError::NotOwnable(column.to_owned()));
    }
    let released = retry_conflicts(OF_A_COMMAND, || give_back(database, user, column))
        .await
        .map_err(StoreError::when("giving the column back"))?;
    released.ok_or(ReleaseError::NoUser(user))
}

async fn give_back(database: &Database, user: Uuid, column: &str) -> Result<Option<bool>, Failure> {
    let mut tx = database.begin(Purpose::Command).await?;
    let stored: BTreeMap<Uuid, StoredUser> = users::lock(&mut tx, &[user]).await?;
    let Some(stored) = stored.get(&user) else { return Ok(None) };
    let statement = "update users set app_owned = array_remove(app_owned, $2), row_version = row_version + 1
        where id = $1 and $2 = any (app_owned)";
    let released = sqlx::query(statement).bind(user).bind(column).execute(&mut tx).await?;
    users::write(&mut tx, &[UserRow::of(stored)]).await?;
    tx.commit().await?;
    Ok(Some(released.rows_affected() > 0))
}
