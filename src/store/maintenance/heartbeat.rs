//! Whether a heartbeat has come through the queue into the database, and what else the tables say of that way. Must not
//! know who sent it, nor who an event is about.

use cognito_user_sync_triggers::event::{EventId, PoolSeen};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;
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

/// Something that came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// When it was sent, or occurred: by the sender's clock.
    pub sent: Timestamp,
    /// When it was committed: by the consumer's clock.
    pub arrived: Timestamp,
}

/// What a heartbeat last told of a user pool in a Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolTold {
    /// When that heartbeat was sent.
    pub at: Timestamp,
    /// What it told.
    pub seen: PoolSeen,
}

/// What the tables say of the way that events take.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The server's clock.
    pub at: Timestamp,
    /// The latest heartbeat that has arrived.
    pub heartbeat: Option<Passage>,
    /// What heartbeats last told of each pool and Region.
    pub pools: Vec<PoolTold>,
    /// The newest event of the ledger.
    pub newest: Option<Passage>,
    /// Days for which the ledgers have months; `None` where one has none.
    pub days_ahead: Option<f64>,
}

/// What the tables say of the way that events take, by one question that reads no more than a row of each table.
///
/// # Errors
/// When the database cannot be read.
pub async fn standing(database: &Database) -> Result<Standing, sqlx::Error> {
    let row = sqlx::query(include_str!("standing.sql")).fetch_one(database.pages()).await?;
    let passage = |sent, arrived| -> Result<Option<Passage>, sqlx::Error> {
        let (sent, arrived): (Option<OffsetDateTime>, Option<OffsetDateTime>) =
            (row.try_get(sent)?, row.try_get(arrived)?);
        let passed = sent.zip(arrived);
        Ok(passed.map(|(sent, arrived)| Passage { sent: sent.into(), arrived: arrived.into() }))
    };
    let pools: Value = row.try_get("pools")?;
    let pools = pools.as_array().into_iter().flatten().filter_map(|told| {
        let at = Timestamp::parse(told.get("at")?.as_str()?).ok()?;
        Some(PoolTold { at, seen: serde_json::from_value(told.clone()).ok()? })
    });
    Ok(Standing {
        at: row.try_get::<OffsetDateTime, _>("at")?.into(),
        heartbeat: passage("heartbeat_at", "heartbeat_seen")?,
        pools: pools.collect(),
        newest: passage("occurred_at", "recorded_at")?,
        days_ahead: row.try_get("days_ahead")?,
    })
}
