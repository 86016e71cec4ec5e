//! The ledger: which events are new, and which could be there at all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cognito_user_sync_triggers::event::{EventId, GroupEvent, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::{Database, Transaction};
use crate::store::locks::{self, Month};
use crate::store::model::groups::{Kept, NOBODY};
use crate::store::outcome::{Outcome, Rejection, RetryCause};
use crate::store::tables::refusal::all_written;

/// How far ahead of our clock an event's time may be: clocks differ, but not by more.
const FUTURE_TOLERANCE: Duration = Duration::from_secs(10 * 60);

/// An event that is younger is of no month that `maintain` folds: less than `MIN_RETENTION_DAYS`, as clocks differ.
const FOLDED_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Which events a ledger is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Ledger {
    /// Of users and groups.
    Events,
    /// What others recorded of sign-ins: contexts and failures.
    Records,
}

/// The ids that a ledger's partitions can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Horizon {
    /// Each partition's upper bound, which it does not take, by its lower bound, which it does.
    partitions: Arc<BTreeMap<Uuid, Uuid>>,
}

impl Horizon {
    pub(in crate::store) async fn read(database: &Database, of: Ledger) -> Result<Self, sqlx::Error> {
        let bounds = match of {
            Ledger::Events => sqlx::query_as("select lower, upper from user_event_partitions"),
            Ledger::Records => sqlx::query_as("select lower, upper from user_sync_record_partitions"),
        };
        let bounds: Vec<(Uuid, Uuid)> = bounds.fetch_all(database.questions()).await?;
        Ok(Self { partitions: Arc::new(bounds.into_iter().collect()) })
    }

    /// Refuses, with the reason, an event that the ledger cannot take, or that is later than `latest`.
    pub(in crate::store) fn check(&self, id: EventId, latest: Timestamp) -> Result<(), Rejection> {
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
pub(in crate::store) fn latest() -> Timestamp {
    Timestamp::from(OffsetDateTime::from(Timestamp::now()) + FUTURE_TOLERANCE)
}

/// Which of the events cannot be inserted now, because their month is being folded. The other months are not folded before
/// the transaction ends. Waits for nobody, and asks nothing where all events are young.
pub(in crate::store) async fn held(
    tx: &mut Transaction,
    ids: impl Iterator<Item = EventId>,
) -> Result<BTreeSet<EventId>, sqlx::Error> {
    held_in(tx, locks::MONTHS, ids).await
}

/// The same of records of sign-ins, whose months are their own.
pub(in crate::store) async fn held_records(
    tx: &mut Transaction,
    ids: impl Iterator<Item = EventId>,
) -> Result<BTreeSet<EventId>, sqlx::Error> {
    held_in(tx, locks::RECORD_MONTHS, ids).await
}

async fn held_in(
    tx: &mut Transaction,
    months: i32,
    ids: impl Iterator<Item = EventId>,
) -> Result<BTreeSet<EventId>, sqlx::Error> {
    let oldest = Timestamp::from(OffsetDateTime::from(Timestamp::now()) - FOLDED_AFTER);
    let old = ids.filter(|id| id.time() < oldest).map(|id| (id, locks::month_of(id.time())));
    let old: BTreeMap<EventId, Month> = old.collect();
    if old.is_empty() {
        return Ok(BTreeSet::new());
    }
    let closed = locks::closed_months(tx, months, &old.values().copied().collect()).await?;
    Ok(old.into_iter().filter(|(_, month)| closed.contains(month)).map(|(id, _)| id).collect())
}

/// What inserting a batch's events into the ledger came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct LedgerInsert {
    /// Every event that the ledger has now, in ascending order.
    recorded: Vec<EventId>,
    /// Those of them that it had before.
    earlier: BTreeMap<EventId, Earlier>,
    /// Those that were left out, since their month is being folded.
    held: BTreeSet<EventId>,
}

/// How an event that the ledger had before compares with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Earlier {
    Same,
    /// With another content, of the same user or of another one.
    Different {
        is_same_user: bool,
    },
}

impl LedgerInsert {
    /// Of records, of which the ledger did not have those in `fresh`: each has its id from what it says.
    pub(in crate::store) fn of_records(recorded: Vec<EventId>, fresh: &HashSet<Uuid>) -> Self {
        let earlier = recorded.iter().filter(|id| !fresh.contains(&id.uuid()));
        let earlier = earlier.map(|id| (*id, Earlier::Same)).collect();
        Self { recorded, earlier, held: BTreeSet::new() }
    }

    /// Whether the ledger has the event now.
    pub(in crate::store) fn has(&self, id: EventId) -> bool {
        self.recorded.binary_search(&id).is_ok()
    }

    /// Whether the ledger did not have the event before: those count.
    pub(in crate::store) fn is_new(&self, id: EventId) -> bool {
        self.has(id) && !self.had(id)
    }

    /// Whether the ledger had the event before.
    pub(in crate::store) fn had(&self, id: EventId) -> bool {
        self.earlier.contains_key(&id)
    }

    /// Whether any event is new.
    pub(in crate::store) fn has_new(&self) -> bool {
        self.recorded.len() > self.earlier.len()
    }

    /// Whether the ledger had any of the events before.
    pub(in crate::store) fn had_any(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// The events that the ledger had before.
    pub(in crate::store) fn earlier(&self) -> impl Iterator<Item = EventId> {
        self.earlier.keys().copied()
    }

    /// Says that events were left out, since their month is being folded.
    pub(in crate::store) fn without(self, held: BTreeSet<EventId>) -> Self {
        Self { held, ..self }
    }

    /// Takes events for the same as those that the ledger had, whatever their content, unless those were another user's.
    pub(in crate::store) fn take_for_same(&mut self, ids: impl Iterator<Item = EventId>) {
        for id in ids {
            if let Some(earlier @ Earlier::Different { is_same_user: true }) = self.earlier.get_mut(&id) {
                *earlier = Earlier::Same;
            }
        }
    }

    pub(in crate::store) fn outcome(&self, id: EventId) -> Outcome {
        match self.earlier.get(&id) {
            None if self.held.contains(&id) => Outcome::Retry(RetryCause::Conflict),
            // Heartbeats are not in the ledger: they are applied whenever their batch is.
            None => Outcome::Applied,
            Some(Earlier::Same) => Outcome::Duplicate,
            Some(Earlier::Different { .. }) => Outcome::Rejected(id_conflict()),
        }
    }
}

/// Two events with one id: whichever came first is the one that counts, so somebody has to look.
pub(in crate::store) fn id_conflict() -> Rejection {
    Rejection {
        reason: "id_conflict",
        field: "id".to_owned(),
        detail: "another event with this id was applied before; ids must be unique".to_owned(),
    }
}

type QueryAs<'q, O> = sqlx::query::QueryAs<'q, Postgres, O, PgArguments>;

/// Events as the ledger's rows, in columns.
pub(in crate::store) struct Rows<'a> {
    ids: Vec<Uuid>,
    subs: Vec<Uuid>,
    types: Vec<&'static str>,
    pools: Vec<&'a str>,
    times: Vec<OffsetDateTime>,
    /// Each event's JSON, one after the other.
    data: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl<'a> Rows<'a> {
    /// # Errors
    /// Never for an event that was decoded.
    pub(in crate::store) fn of(events: &[&'a UserEvent<'a>]) -> Result<Self, sqlx::Error> {
        let (mut data, mut ends) = (Vec::with_capacity(events.len() * 512), Vec::with_capacity(events.len()));
        for event in events {
            serde_json::to_writer(&mut data, &event.data)
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
            ends.push(data.len());
        }
        Ok(Self {
            ids: events.iter().map(|event| event.id.uuid()).collect(),
            subs: events.iter().map(|event| event.sub).collect(),
            types: events.iter().map(|event| event.kind.as_str()).collect(),
            pools: events.iter().map(|event| event.user_pool_id.as_str()).collect(),
            times: events.iter().map(|event| event.id.time().into()).collect(),
            data: String::from_utf8(data).map_err(|error| sqlx::Error::Encode(error.into()))?,
            ends,
        })
    }

    /// Rows of events of groups, each with whether its user is erased.
    fn of_groups(events: &'a [(&'a GroupEvent<'a>, bool)]) -> Result<Self, sqlx::Error> {
        let (mut data, mut ends) = (Vec::with_capacity(events.len() * 32), Vec::with_capacity(events.len()));
        for (event, is_erased) in events {
            serde_json::to_writer(&mut data, &Kept::of(event, *is_erased))
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
            ends.push(data.len());
        }
        let events = events.iter().map(|(event, _)| *event);
        Ok(Self {
            ids: events.clone().map(|event| event.id.uuid()).collect(),
            subs: events.clone().map(|event| event.change.user().unwrap_or(NOBODY)).collect(),
            types: events.clone().map(|event| event.change.as_str()).collect(),
            pools: events.clone().map(|event| event.user_pool_id.as_str()).collect(),
            times: events.map(|event| event.id.time().into()).collect(),
            data: String::from_utf8(data).map_err(|error| sqlx::Error::Encode(error.into()))?,
            ends,
        })
    }

    fn data(&self) -> Vec<&str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.data.get(start..*end).unwrap_or_default()).collect()
    }

    /// Binds the six columns that `insert_events.sql` names, to a statement's next parameters.
    pub(in crate::store) fn bind<'q, O>(&'q self, query: QueryAs<'q, O>) -> QueryAs<'q, O> {
        query
            .bind(&self.ids)
            .bind(&self.subs)
            .bind(&self.types)
            .bind(&self.pools)
            .bind(&self.times)
            .bind(self.data())
    }
}

/// Inserts the events that the ledger does not have, and says which it had before.
///
/// Waits for another transaction that is inserting one of them. `events` holds each id once, in ascending
/// order, so that two transactions wait for each other in one direction only.
pub(in crate::store) async fn insert(
    tx: &mut Transaction,
    events: &[&UserEvent<'_>],
) -> Result<LedgerInsert, sqlx::Error> {
    insert_rows(tx, &Rows::of(events)?, events.iter().map(|event| event.id).collect()).await
}

/// The same for events of groups, each with whether its user is erased.
pub(in crate::store) async fn insert_of_groups(
    tx: &mut Transaction,
    events: &[(&GroupEvent<'_>, bool)],
) -> Result<LedgerInsert, sqlx::Error> {
    insert_rows(tx, &Rows::of_groups(events)?, events.iter().map(|(event, _)| event.id).collect()).await
}

async fn insert_rows(
    tx: &mut Transaction,
    rows: &Rows<'_>,
    ids: Vec<EventId>,
) -> Result<LedgerInsert, sqlx::Error> {
    let insert = rows.bind(sqlx::query_as(include_str!("insert_events.sql")));
    let (fresh,): (Option<Vec<Uuid>>,) = insert.fetch_one(&mut *tx).await?;
    compare_earlier(tx, ids, rows, fresh).await
}

/// What an insert of the events `ids` came to, of which the ids in `fresh` were not there before: all of them if `None`. Their
/// rows, and others maybe, are among `rows`.
pub(in crate::store) async fn compare_earlier(
    tx: &mut Transaction,
    ids: Vec<EventId>,
    rows: &Rows<'_>,
    fresh: Option<Vec<Uuid>>,
) -> Result<LedgerInsert, sqlx::Error> {
    let mut inserted = LedgerInsert { recorded: ids, ..LedgerInsert::default() };
    let Some(fresh) = fresh.filter(|fresh| fresh.len() < inserted.recorded.len()) else {
        return Ok(inserted);
    };
    let different: Vec<(Uuid, bool, bool)> = sqlx::query_as(include_str!("different_events.sql"))
        .bind(&rows.ids)
        .bind(&rows.subs)
        .bind(&rows.types)
        .bind(&rows.pools)
        .bind(rows.data())
        .fetch_all(tx)
        .await?;
    let fresh: HashSet<Uuid> = fresh.into_iter().collect();
    let asked: HashSet<Uuid> = inserted.recorded.iter().map(|id| id.uuid()).collect();
    let is_kept_out =
        |(id, is_there, _): &&(Uuid, bool, bool)| !is_there && !fresh.contains(id) && asked.contains(id);
    all_written("user_events", different.iter().filter(is_kept_out).count(), 0)?;
    let different: HashMap<Uuid, bool> =
        different.into_iter().map(|(id, _, is_same)| (id, is_same)).collect();
    let earlier = inserted.recorded.iter().filter(|id| !fresh.contains(&id.uuid())).map(|id| {
        let different =
            different.get(&id.uuid()).map(|is_same_user| Earlier::Different { is_same_user: *is_same_user });
        (*id, different.unwrap_or(Earlier::Same))
    });
    inserted.earlier = earlier.collect();
    Ok(inserted)
}
