//! The ledger: which events are new, and which could be there at all.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cognito_user_sync_triggers::event::{EventId, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{FUTURE_TOLERANCE, Outcome, Rejection};

/// The ids that the ledger's partitions can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Horizon {
    /// Each partition's upper bound, which it does not take, by its lower bound, which it does.
    partitions: Arc<BTreeMap<Uuid, Uuid>>,
}

impl Horizon {
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let bounds: Vec<(Uuid, Uuid)> =
            sqlx::query_as("select lower, upper from user_event_partitions").fetch_all(connection).await?;
        Ok(Self { partitions: Arc::new(bounds.into_iter().collect()) })
    }

    /// Refuses, with the reason, an event that the ledger cannot take, or that is later than `latest`.
    pub(super) fn check(&self, id: EventId, latest: Timestamp) -> Result<(), Rejection> {
        let reject = |reason, detail: String| Err(Rejection { reason, field: "time".to_owned(), detail });
        if id.time() > latest {
            let minutes = FUTURE_TOLERANCE.as_secs() / 60;
            return reject("future", format!("more than {minutes} minutes ahead of the clock"));
        }
        match self.partitions.range(..=id.uuid()).next_back() {
            None => reject("too_old", "the ledger no longer keeps that month".to_owned()),
            Some((_, upper)) if id.uuid() >= *upper => reject(
                "no_partition",
                "the ledger has no partition for that month; make one, then redrive".to_owned(),
            ),
            Some(_) => Ok(()),
        }
    }
}

/// The latest time that an event may have now.
pub(super) fn latest() -> Timestamp {
    Timestamp::from(OffsetDateTime::from(Timestamp::now()) + FUTURE_TOLERANCE)
}

/// What a batch's transaction found in the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Committed {
    /// Every event that is there now, in ascending order.
    recorded: Vec<EventId>,
    /// Those of them that were there before.
    known: BTreeMap<EventId, Known>,
}

/// How an event that was there before compares with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Same,
    /// With another content, of the same user or of another one.
    Different {
        is_same_user: bool,
    },
}

impl Committed {
    /// Whether the event is in the ledger now.
    pub(super) fn has(&self, id: EventId) -> bool {
        self.recorded.binary_search(&id).is_ok()
    }

    /// Whether the event was not there before: those count.
    pub(super) fn is_fresh(&self, id: EventId) -> bool {
        self.has(id) && !self.is_known(id)
    }

    /// Whether any event was not there before.
    pub(super) fn has_fresh(&self) -> bool {
        self.recorded.len() > self.known.len()
    }

    /// Whether any event was there before.
    pub(super) fn has_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whether the event was there before.
    pub(super) fn is_known(&self, id: EventId) -> bool {
        self.known.contains_key(&id)
    }

    /// The events that were there before.
    pub(super) fn known(&self) -> impl Iterator<Item = EventId> {
        self.known.keys().copied()
    }

    /// Takes events for those that were there, whatever their content, unless those were another user's.
    pub(super) fn take_for_equal(&mut self, ids: impl Iterator<Item = EventId>) {
        for id in ids {
            if let Some(known @ Known::Different { is_same_user: true }) = self.known.get_mut(&id) {
                *known = Known::Same;
            }
        }
    }

    pub(super) fn outcome(&self, id: EventId) -> Outcome {
        match self.known.get(&id) {
            // Heartbeats are not in the ledger: they are applied whenever their batch is.
            None => Outcome::Applied,
            Some(Known::Same) => Outcome::Duplicate,
            Some(Known::Different { .. }) => Outcome::Rejected(id_conflict()),
        }
    }
}

/// Two events with one id: whichever came first is the one that counts, so somebody has to look.
pub(super) fn id_conflict() -> Rejection {
    Rejection {
        reason: "id_conflict",
        field: "id".to_owned(),
        detail: "another event with this id was applied before; ids must be unique".to_owned(),
    }
}

/// Inserts the events that are not there yet, and tells them from those that are.
///
/// Waits for another transaction that is inserting one of them. `events` holds each id once, in ascending
/// order, so that two transactions wait for each other in one direction only.
pub(super) async fn insert(tx: &mut PgConnection, events: &[&UserEvent]) -> Result<Committed, sqlx::Error> {
    let uuids = |of: fn(&UserEvent) -> Uuid| events.iter().map(|event| of(event)).collect::<Vec<_>>();
    let types: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let pools: Vec<&str> = events.iter().map(|event| event.user_pool_id.as_str()).collect();
    let times: Vec<OffsetDateTime> = events.iter().map(|event| event.id.time().into()).collect();
    let data = events.iter().map(|event| serde_json::to_string(&event.data)).collect::<Result<Vec<_>, _>>();
    let data = data.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let (ids, subs) = (uuids(|event| event.id.uuid()), uuids(|event| event.sub));
    let inserted: Vec<Uuid> = sqlx::query_scalar(include_str!("insert_events.sql"))
        .bind(&ids)
        .bind(&subs)
        .bind(&types)
        .bind(&pools)
        .bind(&times)
        .bind(&data)
        .fetch_one(&mut *tx)
        .await?;
    let mut committed =
        Committed { recorded: events.iter().map(|event| event.id).collect(), known: BTreeMap::new() };
    if inserted.len() == events.len() {
        return Ok(committed);
    }
    let different: HashMap<Uuid, bool> = sqlx::query_as(include_str!("different_events.sql"))
        .bind(&ids)
        .bind(&subs)
        .bind(&types)
        .bind(&pools)
        .bind(&data)
        .fetch_all(tx)
        .await?
        .into_iter()
        .collect();
    let inserted: HashSet<Uuid> = inserted.into_iter().collect();
    let known = committed.recorded.iter().filter(|id| !inserted.contains(&id.uuid())).map(|id| {
        let different =
            different.get(&id.uuid()).map(|is_same_user| Known::Different { is_same_user: *is_same_user });
        (*id, different.unwrap_or(Known::Same))
    });
    committed.known = known.collect();
    Ok(committed)
}
