//! The latest heartbeat, in `sync_status`.

use cognito_user_sync_triggers::event::EventId;
use time::OffsetDateTime;

use crate::postgres::Transaction;

/// Records a heartbeat, unless a later one is recorded.
pub(in crate::store) async fn stamp(tx: &mut Transaction, id: EventId) -> Result<(), sqlx::Error> {
    let query = sqlx::query(include_str!("stamp_heartbeat.sql"));
    query.bind(id.uuid()).bind(OffsetDateTime::from(id.time())).execute(tx).await.map(drop)
}
