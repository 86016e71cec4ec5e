//! Whether a heartbeat has come through the queue into the database. Must not know who sent it.

use cognito_user_sync_triggers::event::EventId;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::postgres::Database;

/// What the database knows of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Whether it has arrived, or a later one.
    pub arrived: bool,
    /// When the latest one that has arrived was sent.
    pub latest: Option<Timestamp>,
}

/// Whether this heartbeat has arrived, or a later one.
///
/// # Errors
/// When the database cannot be read.
pub async fn arrival(database: &Database, id: EventId) -> Result<Arrival, sqlx::Error> {
    let query = "select coalesce(heartbeat_id >= $1, false), heartbeat_at from sync_status";
    let asked = sqlx::query_as(query).bind(id.uuid()).fetch_one(database.questions()).await?;
    let (arrived, latest): (bool, Option<OffsetDateTime>) = asked;
    Ok(Arrival { arrived, latest: latest.map(Timestamp::from) })
}
