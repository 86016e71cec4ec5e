//! The ledger: which events are new, and which could be there at all.

use std::collections::HashSet;

use cognito_user_sync_triggers::event::{EventId, UserEvent};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// The ids that the ledger's partitions can take: from `oldest` up to, and without, `newest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Horizon {
    pub(super) oldest: Uuid,
    pub(super) newest: Uuid,
}

impl Horizon {
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        let bounds = "select lower, upper from user_event_partitions order by lower";
        let bounds: Vec<(Uuid, Uuid)> = sqlx::query_as(bounds).fetch_all(connection).await?;
        let ends = bounds.first().zip(bounds.last());
        Ok(ends.map(|((oldest, _), (_, newest))| Self { oldest: *oldest, newest: *newest }))
    }
}

/// Inserts the events that are not there yet, and returns their ids: those count, the others are duplicates.
///
/// Waits for another transaction that is inserting one of them. `events` holds each id once, in ascending
/// order, so that two transactions wait for each other in one direction only.
pub(super) async fn insert(
    tx: &mut PgConnection,
    events: &[&UserEvent],
) -> Result<HashSet<EventId>, sqlx::Error> {
    let column = |of: fn(&UserEvent) -> Uuid| events.iter().map(|event| of(event)).collect::<Vec<_>>();
    let types: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let pools: Vec<&str> = events.iter().map(|event| event.user_pool_id.as_str()).collect();
    let times: Vec<OffsetDateTime> = events.iter().map(|event| event.id.time().into()).collect();
    let data = events.iter().map(|event| serde_json::to_string(&event.data)).collect::<Result<Vec<_>, _>>();
    let data = data.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let inserted: Vec<(Uuid,)> = sqlx::query_as(include_str!("insert_events.sql"))
        .bind(column(|event| event.id.uuid()))
        .bind(column(|event| event.sub))
        .bind(types)
        .bind(pools)
        .bind(times)
        .bind(data)
        .fetch_all(tx)
        .await?;
    let inserted: HashSet<Uuid> = inserted.into_iter().map(|(id,)| id).collect();
    Ok(events.iter().map(|event| event.id).filter(|id| inserted.contains(&id.uuid())).collect())
}
