//! What the tables know of who is in which group, as far as a reading of the pool's groups would change it. Must not
//! know how the pool was asked.

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::Database;

/// Whether the database has the tables of groups: not before `migrate` has made them.
///
/// # Errors
/// When the database cannot be read.
pub async fn are_kept(database: &Database) -> Result<bool, sqlx::Error> {
    let query = "select to_regclass('user_sync_memberships') is not null";
    sqlx::query_scalar(query).fetch_one(database.questions()).await
}

/// A user whom the tables do not show in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The user, who may have no row.
    pub sub: Uuid,
    /// The time of what the tables know: that the user left, or that the group was deleted.
    pub known_at: Option<Timestamp>,
}

/// Of users whom the pool lists in a group, those whom the tables do not show in it.
///
/// # Errors
/// When the database cannot be read.
pub async fn outside(
    database: &Database,
    user_pool_id: &str,
    group: &str,
    listed: &[Uuid],
) -> Result<Vec<Outside>, sqlx::Error> {
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(include_str!("memberships_of_listed.sql"))
        .bind(listed)
        .bind(user_pool_id)
        .bind(group)
        .fetch_all(database.questions())
        .await?;
    let read = |row: &sqlx::postgres::PgRow| {
        let known_at: Option<OffsetDateTime> = row.try_get("known_at")?;
        Ok(Outside { sub: row.try_get("user_id")?, known_at: known_at.map(Timestamp::from) })
    };
    rows.iter().map(read).collect()
}

/// What the tables know of one user and one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The user.
    pub sub: Uuid,
    /// The group's name.
    pub group: String,
    /// When the user joined or left.
    pub at: Timestamp,
    /// Whether the user is one of the pool's and is shown in the group.
    pub is_shown: bool,
}

/// At most `limit` memberships after that of a user in a group, in the order of their keys.
///
/// # Errors
/// When the database cannot be read.
pub async fn after(
    database: &Database,
    user_pool_id: &str,
    (sub, group): (Uuid, &str),
    limit: i64,
) -> Result<Vec<Membership>, sqlx::Error> {
    let rows = sqlx::query(include_str!("memberships_after.sql"))
        .bind(sub)
        .bind(group)
        .bind(user_pool_id)
        .bind(limit)
        .fetch_all(database.questions())
        .await?;
    let read = |row: &sqlx::postgres::PgRow| {
        Ok(Membership {
            sub: row.try_get("user_id")?,
            group: row.try_get("name")?,
            at: row.try_get::<OffsetDateTime, _>("at")?.into(),
            is_shown: row.try_get("is_shown")?,
        })
    };
    rows.iter().map(read).collect()
}
