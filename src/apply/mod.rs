//! The heart: a batch of messages in, their effect committed, an outcome for each of them out.
//!
//! **Invariant:** the ledger insert and the update of the rows are one transaction, so a message may be
//! delivered any number of times. Must not know where messages come from: neither Lambda nor SQS.
//!
//! Locks are taken in one order everywhere, so that no two batches wait in a circle:
//! value shards → new rows → rows → ledger ids, each in ascending order.

pub mod adopt;
mod claims;
mod columns;
mod device;
pub mod drift;
pub mod erasure;
mod failure;
mod history;
mod ledger;
mod logins;
pub mod maintain;
pub mod ownership;
mod phone;
mod profile;
mod referral;
mod state;
mod users;
pub mod verify;

use std::borrow::Cow;
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cognito_user_sync_triggers::event::{DecodeError, Event, EventId, UserEvent};
use cognito_user_sync_triggers::retry::Schedule;
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use self::failure::Failure;
use self::ledger::{Committed, Horizon};
use crate::database::{Database, answer_in_time};
use crate::places::Places;

/// How far ahead of our clock an event's time may be: clocks differ, but not by more.
pub const FUTURE_TOLERANCE: Duration = Duration::from_secs(10 * 60);

/// A user's referral code: a pure function of the sub, 80 bits in Crockford's base 32.
#[must_use]
pub fn referral_code(sub: Uuid) -> String {
    referral::code(sub)
}

/// How often a transaction in conflict is tried before its messages go back to the queue.
const CONFLICT_ATTEMPTS: u32 = 8;
const CONFLICT_SCHEDULE: Schedule =
    Schedule { first: Duration::from_millis(10), cap: Duration::from_millis(640) };

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect is committed.
    Applied,
    /// Its effect was committed before.
    Duplicate,
    /// It can never be applied.
    Rejected(Rejection),
    /// It could not be applied now, and may be later.
    Retry(RetryCause),
}

/// Why a message can never be applied. Names fields and limits, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A stable word, such as `malformed` or `too_old`.
    pub reason: &'static str,
    /// Path of the offending field; `$` is the whole message.
    pub field: String,
    /// For people: what was wrong, and what to do next.
    pub detail: String,
}

impl From<DecodeError> for Rejection {
    fn from(error: DecodeError) -> Self {
        Self { reason: error.reason(), field: error.field().to_owned(), detail: error.to_string() }
    }
}

/// Why a message could not be applied now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RetryCause {
    /// The database is away, or refuses to serve now.
    DatabaseUnavailable,
    /// The schema or the grants are not what this build needs; an operator has to act.
    DatabaseMisconfigured,
    /// Other transactions were in the way, again and again.
    Conflict,
    /// The ledger's partitions were made or dropped under the batch.
    HorizonMoved,
}

impl RetryCause {
    /// A stable word: the label of a metric.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::DatabaseUnavailable => "database_unavailable",
            Self::DatabaseMisconfigured => "database_misconfigured",
            Self::Conflict => "conflict",
            Self::HorizonMoved => "horizon_moved",
        }
    }
}

/// Applies messages to one database.
#[derive(Debug)]
pub struct Applier {
    database: Database,
    /// Read once, and again when it may have moved: partitions are made and dropped by `maintain`.
    horizon: Mutex<Option<Horizon>>,
    places: Places,
}

impl Applier {
    /// Applies to `database`, with the rights of `user_sync_consumer`.
    #[must_use]
    pub fn new(database: impl Into<Database>) -> Self {
        Self { database: database.into(), horizon: Mutex::new(None), places: Places::default() }
    }

    /// The same, with places for logins whose client does not say where it is.
    #[must_use]
    pub fn with_places(mut self, places: Places) -> Self {
        self.places = places;
        self
    }

    /// The database that this applies to.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Its connections.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// Applies message bodies, and says what became of each, in their order.
    ///
    /// Idempotent: a body may come any number of times, in one batch or in many, here and elsewhere at once.
    /// Dropping the future applies all of the batch or nothing.
    pub async fn apply<B: AsRef<str>>(&self, bodies: &[B]) -> Vec<Outcome> {
        let decoded: Vec<_> =
            bodies.iter().map(|body| Event::decode(body.as_ref()).map_err(Rejection::from)).collect();
        // Of several messages that carry one event, the first has its outcome and the others repeat it.
        let mut firsts = HashMap::<EventId, usize>::with_capacity(decoded.len());
        let (mut events, mut repeats) = (Vec::with_capacity(decoded.len()), Vec::new());
        let mut outcomes = Vec::with_capacity(decoded.len());
        for (at, decoded) in decoded.iter().enumerate() {
            outcomes.push(match decoded {
                Err(rejection) => Outcome::Rejected(rejection.clone()),
                Ok(event) => {
                    match firsts.entry(event.id()) {
                        Entry::Occupied(first) => repeats.push((at, *first.get())),
                        Entry::Vacant(first) => {
                            first.insert(at);
                            events.push(event);
                        }
                    }
                    Outcome::Retry(RetryCause::DatabaseUnavailable)
                }
            });
        }
        self.apply_distinct(&events, &firsts, &mut outcomes).await;
        // The ledger's months changed under the batch: what the new ones do not take is refused, with the reason.
        let moved = decoded.iter().zip(&outcomes).filter_map(|(decoded, outcome)| {
            decoded.as_ref().ok().filter(|_| *outcome == Outcome::Retry(RetryCause::HorizonMoved))
        });
        let moved: Vec<&Event<'_>> = moved.collect();
        self.apply_distinct(&moved, &firsts, &mut outcomes).await;
        for (at, first) in repeats {
            let outcome = match outcomes.get(first) {
                _ if decoded.get(at) != decoded.get(first) => Outcome::Rejected(ledger::id_conflict()),
                Some(Outcome::Applied) => Outcome::Duplicate,
                Some(outcome) => outcome.clone(),
                None => continue,
            };
            if let Some(of) = outcomes.get_mut(at) {
                *of = outcome;
            }
        }
        measure(&decoded, &outcomes);
        outcomes
    }

    /// Applies distinct events, and puts what became of each where its first message's outcome is.
    async fn apply_distinct(
        &self,
        events: &[&Event<'_>],
        firsts: &HashMap<EventId, usize>,
        outcomes: &mut [Outcome],
    ) {
        for (id, outcome) in self.apply_events(events).await {
            if let Some(of) = firsts.get(&id).and_then(|first| outcomes.get_mut(*first)) {
                *of = outcome;
            }
        }
    }

    async fn apply_events(&self, events: &[&Event<'_>]) -> Vec<(EventId, Outcome)> {
        let mut outcomes = Vec::with_capacity(events.len());
        if events.is_empty() {
            return outcomes;
        }
        let latest = ledger::latest();
        let horizon = match self.horizon(events, latest).await {
            Ok(horizon) => horizon,
            Err(failure) => return retry(events.iter().map(|event| event.id()), &failure).collect(),
        };
        // What may go the short way, and the rest.
        let (mut logins, mut others) = (Vec::with_capacity(events.len()), Batch::default());
        for event in events {
            match (horizon.check(event.id(), latest), event) {
                (Err(rejection), _) => outcomes.push((event.id(), Outcome::Rejected(rejection))),
                (Ok(()), Event::User(event)) if logins::may_take(event) => logins.push((event.id, event)),
                (Ok(()), Event::User(event)) => drop(others.users.insert(event.id, event)),
                (Ok(()), Event::Heartbeat { id }) => drop(others.heartbeats.insert(*id)),
            }
        }
        let mut logins = Batch { users: logins.into_iter().collect(), heartbeats: BTreeSet::new() };
        while !logins.is_empty() {
            match self.commit(&logins, Way::Logins).await {
                Ok(committed) => {
                    let is_taken = |id: &EventId| committed.has(*id);
                    let (taken, left): (Vec<EventId>, _) = logins.ids().partition(is_taken);
                    outcomes.extend(taken.into_iter().map(|id| (id, committed.outcome(id))));
                    others.take(&logins, left);
                    break;
                }
                Err(Failure::Known(committed)) => outcomes.extend(logins.give_up_known(&committed)),
                // One of them may be to blame: the long way finds out which.
                Err(failure) if failure.is_of_one_event() => {
                    others.take(&logins, logins.ids().collect());
                    break;
                }
                Err(failure) => {
                    outcomes.extend(retry(logins.ids(), &failure));
                    break;
                }
            }
        }
        // Halves of a batch that fails wait here, so that one bad message ends up alone.
        let mut waiting = vec![others];
        while let Some(mut batch) = waiting.pop() {
            if batch.is_empty() {
                continue;
            }
            match self.commit(&batch, Way::Any).await {
                Ok(committed) => outcomes.extend(batch.ids().map(|id| (id, committed.outcome(id)))),
                Err(Failure::Known(committed)) => {
                    outcomes.extend(batch.give_up_known(&committed));
                    waiting.push(batch);
                }
                Err(failure) if failure.is_of_one_event() => match batch.halves() {
                    Ok(halves) => waiting.extend(halves),
                    Err(single) => outcomes.extend(single.ids().map(|id| (id, fate(&failure, id)))),
                },
                Err(failure) => outcomes.extend(retry(batch.ids(), &failure)),
            }
        }
        outcomes
    }

    /// Commits a batch; tries again while other transactions are in the way.
    async fn commit(&self, batch: &Batch<'_>, way: Way) -> Result<Committed, Failure> {
        let mut attempt = 1;
        loop {
            match self.try_commit(batch, way).await {
                Err(Failure::Conflict { sqlstate }) if attempt < CONFLICT_ATTEMPTS => {
                    tracing::debug!(sqlstate, attempt, "transaction in conflict, trying again");
                }
                Err(Failure::HorizonMoved) => {
                    self.forget_horizon();
                    return Err(Failure::HorizonMoved);
                }
                committed => return committed,
            }
            tokio::time::sleep(CONFLICT_SCHEDULE.delay(attempt)).await;
            attempt += 1;
        }
    }

    async fn try_commit(&self, batch: &Batch<'_>, way: Way) -> Result<Committed, Failure> {
        loop {
            let mut session = self.database.session().await?;
            let committed = match self.commit_on(&mut session, batch, way).await {
                Ok(committed) => committed,
                Err(NotBegun(error)) => {
                    session.give_up(error)?;
                    continue;
                }
            };
            match &committed {
                Ok(_) | Err(Failure::Known(_)) => self.database.keep(session),
                // It may be in the middle of something.
                Err(Failure::Unavailable(_)) => session.discard(),
                // The pool undoes at once what is left on it.
                Err(
                    Failure::Conflict { .. }
                    | Failure::Blocked { .. }
                    | Failure::HorizonMoved
                    | Failure::Misconfigured(_)
                    | Failure::Refused { .. },
                ) => drop(session),
            }
            return committed;
        }
    }

    async fn commit_on(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<'_>,
        way: Way,
    ) -> Result<Result<Committed, Failure>, NotBegun> {
        let begin = match way {
            Way::Logins => logins::BEGIN,
            Way::Any => "BEGIN",
        };
        let tx = answer_in_time(connection.begin_with(begin)).await.map_err(NotBegun)?;
        Ok(self.commit_in(tx, batch, way).await)
    }

    async fn commit_in(
        &self,
        mut tx: Transaction<'_, Postgres>,
        batch: &Batch<'_>,
        way: Way,
    ) -> Result<Committed, Failure> {
        let recorded = match way {
            Way::Logins => logins::record(&mut tx, batch.users.values().copied(), &self.places).await,
            Way::Any if batch.users.is_empty() => Ok(Committed::default()),
            Way::Any => self.record(&mut tx, batch).await,
        };
        if let Err(Failure::Known(_)) = recorded {
            // At once, for the rest is tried at once, maybe on another connection.
            tx.rollback().await?;
            return recorded;
        }
        let committed = recorded?;
        if let Some(latest) = batch.heartbeats.last() {
            stamp_heartbeat(&mut tx, *latest).await?;
        }
        match way {
            // Nothing was written: every login is left to the long way.
            Way::Logins if !committed.has_fresh() => tx.rollback().await?,
            Way::Logins | Way::Any => tx.commit().await?,
        }
        Ok(committed)
    }

    /// The long way: inserts the events into the ledger, and merges those that were not there into the rows.
    async fn record(&self, tx: &mut PgConnection, batch: &Batch<'_>) -> Result<Committed, Failure> {
        let users: BTreeSet<Uuid> = batch.users.values().map(|event| event.sub).collect();
        let users: Vec<Uuid> = users.into_iter().collect();
        let read = users::read(tx, &users).await?;
        let erased = erasure::erased(&read);
        let scrubbed: Vec<Cow<'_, UserEvent<'_>>> = (batch.users.values().copied())
            .map(|event| match erased.contains(&event.sub) {
                true => Cow::Owned(erasure::scrub(event)),
                false => Cow::Borrowed(event),
            })
            .collect();
        let events: Vec<&UserEvent<'_>> = scrubbed.iter().map(AsRef::as_ref).collect();
        // Locked for all of the events: which of them are new is known when the ledger has taken them.
        let told = state::fold(events.iter().copied(), &self.places);
        let concerned = concerned(&read, &told);
        let new: BTreeMap<Uuid, &state::Delta> =
            told.iter().filter(|(id, _)| !read.contains_key(id)).map(|(id, delta)| (*id, delta)).collect();
        let (stored, nobody_changed) = match concerned.is_empty() {
            true => users::lock_read(tx, read).await?,
            false => {
                users::lock_shards(tx, &concerned.shards()).await?;
                users::insert_skeletons(tx, &new).await?;
                (users::lock_concerned(tx, &users, &concerned).await?, false)
            }
        };
        let new: Vec<Uuid> = new.into_keys().collect();
        erasure::recheck(&stored, &erased, users)?;

        let mut committed = ledger::insert(tx, &events).await?;
        // Of a user who is erased, the ledger may have more of an event than is left of the message.
        committed
            .take_for_equal(events.iter().filter(|event| erased.contains(&event.sub)).map(|event| event.id));
        let deltas = match committed.has_known() {
            true => {
                state::fold(events.into_iter().filter(|event| committed.is_fresh(event.id)), &self.places)
            }
            false => told,
        };
        if new.iter().any(|id| !deltas.contains_key(id)) {
            // A row is for a user of whom the ledger has an event: not for one whose events were another's.
            return Err(Failure::Known(Box::new(committed)));
        }
        // Asked again under the locks, unless nothing that the answer depends on has changed: what is concerned now and
        // was not before is not locked, and may be another batch's business at this moment.
        let need_not_ask = nobody_changed && !committed.has_known();
        if !need_not_ask && !concerned.contains(&self::concerned(&stored, &deltas)) {
            return Err(if committed.has_known() {
                Failure::Known(Box::new(committed))
            } else {
                Failure::recheck()
            });
        }
        if deltas.is_empty() {
            return Ok(committed);
        }
        match concerned.is_empty() {
            true => merge_unconcerned(tx, stored, deltas).await?,
            false => merge_concerned(tx, stored, &deltas, &concerned).await?,
        }
        Ok(committed)
    }

    /// The ledger's horizon, read again when an event lies outside the one that is known.
    async fn horizon(&self, events: &[&Event<'_>], latest: Timestamp) -> Result<Horizon, Failure> {
        let known = self.horizon.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let covers = |horizon: &Horizon| events.iter().all(|event| horizon.check(event.id(), latest).is_ok());
        if let Some(known) = known.filter(covers) {
            return Ok(known);
        }
        let read = Horizon::read(&self.database).await?;
        *self.horizon.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
        Ok(read)
    }

    fn forget_horizon(&self) {
        *self.horizon.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How old the events are whose effect is committed now, and how many of them are heartbeats.
fn measure(decoded: &[Result<Event<'_>, Rejection>], outcomes: &[Outcome]) {
    let now = Timestamp::now();
    let applied = || {
        let pairs = decoded.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Applied);
        pairs.filter_map(|(event, _)| event.as_ref().ok())
    };
    let age = |event: &Event<'_>| {
        Duration::from_millis(now.unix_millis().saturating_sub(event.id().time().unix_millis()))
    };
    crate::metrics::record("freshness", applied().map(|event| age(event).as_secs_f64()));
    let heartbeats = applied().filter(|event| matches!(event, Event::Heartbeat { .. })).count();
    ::metrics::counter!("heartbeats").increment(u64::try_from(heartbeats).unwrap_or(u64::MAX));
}

/// The distinct events that one transaction takes, in the order of their ids.
#[derive(Debug, Clone, Default)]
struct Batch<'a> {
    users: BTreeMap<EventId, &'a UserEvent<'a>>,
    heartbeats: BTreeSet<EventId>,
}

/// A transaction did not begin, so nothing was done.
struct NotBegun(sqlx::Error);

/// How a batch goes into the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By [`logins::record`], which takes what it can.
    Logins,
    /// By [`Applier::record`], which takes everything.
    Any,
}

impl<'a> Batch<'a> {
    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.heartbeats.is_empty()
    }

    /// Takes events of another batch.
    fn take(&mut self, other: &Self, ids: Vec<EventId>) {
        self.users.extend(ids.into_iter().filter_map(|id| Some((id, *other.users.get(&id)?))));
    }

    /// Gives up the events that were there before, each with its outcome.
    fn give_up_known(&mut self, committed: &Committed) -> impl Iterator<Item = (EventId, Outcome)> {
        self.users.retain(|id, _| !committed.is_known(*id));
        committed.known().map(|id| (id, committed.outcome(id)))
    }

    fn ids(&self) -> impl Iterator<Item = EventId> {
        self.users.keys().chain(&self.heartbeats).copied()
    }

    /// Two batches of half the size, or the batch itself where it holds a single event. Heartbeats cannot be
    /// what is wrong: they stay together.
    fn halves(mut self) -> Result<[Self; 2], Self> {
        if self.users.len() + usize::from(!self.heartbeats.is_empty()) < 2 {
            return Err(self);
        }
        let users: BTreeMap<EventId, &'a UserEvent<'a>> =
            match self.users.keys().nth(self.users.len() / 2).copied() {
                Some(at) => self.users.split_off(&at),
                None => BTreeMap::new(),
            };
        Ok([Self { users, heartbeats: BTreeSet::new() }, self])
    }
}

/// The events go back to the queue, and the log says why, once.
fn retry(ids: impl Iterator<Item = EventId>, failure: &Failure) -> impl Iterator<Item = (EventId, Outcome)> {
    let cause = cause(failure);
    tracing::warn!(cause = cause.as_str(), error = %failure, "events go back to the queue");
    ids.map(move |id| (id, Outcome::Retry(cause.clone())))
}

/// What becomes of the single event that a failure is about.
fn fate(failure: &Failure, id: EventId) -> Outcome {
    tracing::warn!(event.id = %id, error = %failure, "an event failed alone");
    match failure {
        Failure::Refused { sqlstate } => Outcome::Rejected(Rejection {
            reason: "refused_by_database",
            field: "$".to_owned(),
            detail: format!(
                "PostgreSQL refuses the row ({sqlstate}); please report this with the event's shape"
            ),
        }),
        Failure::Conflict { .. }
        | Failure::Blocked { .. }
        | Failure::Known(_)
        | Failure::HorizonMoved
        | Failure::Unavailable(_)
        | Failure::Misconfigured(_) => Outcome::Retry(cause(failure)),
    }
}

fn cause(failure: &Failure) -> RetryCause {
    match failure {
        Failure::Conflict { .. } | Failure::Blocked { .. } | Failure::Known(_) => RetryCause::Conflict,
        Failure::HorizonMoved => RetryCause::HorizonMoved,
        Failure::Misconfigured(_) => RetryCause::DatabaseMisconfigured,
        Failure::Unavailable(_) | Failure::Refused { .. } => RetryCause::DatabaseUnavailable,
    }
}

/// Nobody is new, and no address or referral changes: the rows, which are locked, are written.
async fn merge_unconcerned(
    tx: &mut PgConnection,
    mut stored: BTreeMap<Uuid, users::StoredUser>,
    deltas: BTreeMap<Uuid, state::Delta>,
) -> Result<(), Failure> {
    let mut rows = Vec::with_capacity(deltas.len());
    for (id, delta) in deltas {
        let mut user = stored.remove(&id).ok_or_else(Failure::recheck)?;
        user.state.merge(delta.state);
        rows.push(columns::Columns::of(id, &user.state, &user.owned, user.since, user.referred_by));
    }
    Ok(users::write(tx, &rows).await?)
}

/// Which addresses and referral codes the batch is about: none, for logins that show what is known.
fn concerned(
    stored: &BTreeMap<Uuid, users::StoredUser>,
    deltas: &BTreeMap<Uuid, state::Delta>,
) -> users::Concerned {
    let mut concerned = users::Concerned::default();
    for (id, delta) in deltas {
        match stored.get(id) {
            None => {
                concerned.new_codes.insert(referral::code(*id));
                concerned.sign_up_codes.extend(sign_up_code(&delta.state));
                concerned.identifiers.extend(delta.claims.keys().cloned());
            }
            Some(user) if surely_concerns_nothing(user, delta) => {}
            Some(user) => {
                let mut merged = user.state.clone();
                merged.merge(delta.state.clone());
                if changes_claims(user, &merged, delta) {
                    let held = claims::IdentifierKind::ALL.into_iter().flat_map(|kind| {
                        [user.state.identifier(kind), merged.identifier(kind)].into_iter().flatten()
                    });
                    concerned.identifiers.extend(held.map(|(identifier, _)| identifier));
                    concerned.identifiers.extend(delta.claims.keys().cloned());
                }
                if sign_up_code(&merged) != sign_up_code(&user.state) {
                    // Both: the smallest confirmation may turn out to have come without a code.
                    concerned.sign_up_codes.extend(sign_up_code(&user.state));
                    concerned.sign_up_codes.extend(sign_up_code(&merged));
                }
            }
        }
    }
    concerned
}

fn sign_up_code(state: &state::UserState) -> Option<String> {
    state.sign_up.as_ref()?.referral_code.clone()
}

/// Whether anybody's claim on an address changes: what the user may hold as its own, or since when.
fn changes_claims(user: &users::StoredUser, merged: &state::UserState, delta: &state::Delta) -> bool {
    let differs = |kind| {
        merged.identifier(kind) != user.state.identifier(kind)
            || merged.claimable(kind) != user.state.claimable(kind)
    };
    claims::IdentifierKind::ALL.into_iter().any(differs) || makes_claims(user, delta)
}

/// Whether any address was shown that the user does not hold, or verified for longer than is known.
fn makes_claims(user: &users::StoredUser, delta: &state::Delta) -> bool {
    delta.claims.iter().any(|(identifier, since)| {
        let is_held = user.state.identifier(identifier.kind).is_some_and(|(held, _)| held == *identifier);
        let is_known =
            since.is_none_or(|since| user.since.get(identifier.kind).is_some_and(|known| known <= since));
        !(is_held && is_known)
    })
}

/// Whether it is plain without merging anything that addresses and the sign-up stay as they are. They may stay all the
/// same where it is not.
fn surely_concerns_nothing(user: &users::StoredUser, delta: &state::Delta) -> bool {
    let is_held = |kind: claims::IdentifierKind| {
        let [told, held] = [&delta.state, &user.state].map(|state| state.registers.get(kind.attribute()));
        told.is_none_or(|told| {
            held.is_some_and(|held| (&held.value, &held.flag) == (&told.value, &told.flag))
        })
    };
    delta.state.deleted_at.is_none()
        && delta.state.sign_up.is_none()
        && claims::IdentifierKind::ALL.into_iter().all(is_held)
        && !makes_claims(user, delta)
}

/// Sign-ups, deletions and changed addresses, under the value locks: every row that may be touched is locked, in
/// `before`; then claims are recorded, then the losers release and the winners acquire.
async fn merge_concerned(
    tx: &mut PgConnection,
    before: BTreeMap<Uuid, users::StoredUser>,
    deltas: &BTreeMap<Uuid, state::Delta>,
    concerned: &users::Concerned,
) -> Result<(), Failure> {
    let claims = deltas.iter().map(|(id, delta)| (*id, &delta.claims)).collect();
    let since = users::upsert_claims(tx, &claims).await?;

    let mut after = before.clone();
    for (id, delta) in deltas {
        let user = after.get_mut(id).ok_or_else(Failure::recheck)?;
        let code_before = sign_up_code(&user.state);
        user.state.merge(delta.state.clone());
        if sign_up_code(&user.state) != code_before {
            user.referred_by = None;
        }
        for kind in claims::IdentifierKind::ALL {
            let held = user.state.identifier(kind).map(|(identifier, _)| identifier);
            let shown = held.clone().and_then(|identifier| since.get(&(*id, identifier)).copied());
            match (held, shown) {
                (None, _) => user.since.set(kind, None),
                (Some(_), Some(since)) => user.since.set(kind, since),
                // Not shown by this batch: the address is the one that was held, and so is its time.
                (Some(_), None) => {}
            }
        }
    }
    assign(&mut after, &concerned.identifiers);

    let mut losers = BTreeMap::<claims::IdentifierKind, Vec<Uuid>>::new();
    let mut winners = Vec::new();
    for (id, user) in &after {
        let Some(was) = before.get(id) else { continue };
        for kind in claims::IdentifierKind::ALL {
            let (old, new) = (was.owned.get(kind), user.owned.get(kind));
            if old.is_some() && old != new {
                losers.entry(kind).or_default().push(*id);
            }
            if let Some(value) = new
                && old != new
                && !deltas.contains_key(id)
            {
                winners.push((claims::Identifier { kind, value: value.to_owned() }, *id));
            }
        }
    }
    if !losers.is_empty() {
        users::release(tx, &losers).await?;
    }
    let row = |id: &Uuid| {
        after
            .get(id)
            .map(|user| columns::Columns::of(*id, &user.state, &user.owned, user.since, user.referred_by))
    };
    let rows: Vec<_> = deltas.keys().filter_map(row).collect();
    users::write(tx, &rows).await?;
    if !winners.is_empty() {
        users::acquire(tx, &winners).await?;
    }
    let ids: Vec<Uuid> = deltas.keys().copied().collect();
    users::resolve_referrals(tx, &ids, concerned).await?;
    Ok(())
}

/// Gives addresses to whom they are due, whatever the rows show now.
async fn reassign(tx: &mut PgConnection, concerned: &users::Concerned) -> Result<(), Failure> {
    users::lock_shards(tx, &concerned.shards()).await?;
    give_due(tx, concerned).await
}

/// The same, under the value locks.
async fn give_due(tx: &mut PgConnection, concerned: &users::Concerned) -> Result<(), Failure> {
    let stored = users::lock_concerned(tx, &[], concerned).await?;
    merge_concerned(tx, stored, &BTreeMap::new(), concerned).await
}

/// Gives each address to the greatest of its claimants, and takes it from the others.
fn assign(users: &mut BTreeMap<Uuid, users::StoredUser>, identifiers: &BTreeSet<claims::Identifier>) {
    let mut owners = BTreeMap::<claims::Identifier, claims::Claimant>::new();
    for (id, user) in users.iter() {
        for kind in claims::IdentifierKind::ALL {
            if let Some((identifier, verified)) = user.state.claimable(kind) {
                let since = user.since.get(kind);
                let claimant = claims::Claimant { verified, since, sub: std::cmp::Reverse(*id) };
                let owner = owners.entry(identifier).or_insert(claimant);
                *owner = claimant.max(*owner);
            }
        }
    }
    for (id, user) in users.iter_mut() {
        for kind in claims::IdentifierKind::ALL {
            let claimed = user.state.claimable(kind).map(|(identifier, _)| identifier);
            match claimed {
                // Another value's claimants were not read: whoever owned it still does.
                Some(identifier) if !identifiers.contains(&identifier) => {}
                Some(identifier) => {
                    let owns = owners.get(&identifier).is_some_and(|owner| owner.sub.0 == *id);
                    user.owned.set(kind, owns.then_some(identifier.value));
                }
                None => user.owned.set(kind, None),
            }
        }
    }
}

async fn stamp_heartbeat(tx: &mut PgConnection, id: EventId) -> Result<(), sqlx::Error> {
    let query = sqlx::query(include_str!("stamp_heartbeat.sql"));
    query.bind(id.uuid()).bind(OffsetDateTime::from(id.time())).execute(tx).await.map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cognito_user_sync_triggers::event::{Data, Kind};
    use proptest::prelude::*;

    use super::state::Delta;
    use super::*;

    /// What some events of one user amount to. Several show the same addresses, some of which nobody can claim.
    fn delta() -> impl Strategy<Value = Delta> {
        let address =
            proptest::sample::select(vec![String::new(), "a@x".into(), "A@x".into(), "b".repeat(513)]);
        let attribute = |name: &'static str, values: BoxedStrategy<String>| {
            proptest::option::of(values).prop_map(move |value| value.map(|value| (name.into(), value.into())))
        };
        let flag = proptest::sample::select(vec!["true".to_owned(), "false".to_owned()]);
        let kind = proptest::sample::select(vec![
            Kind::Authenticated,
            Kind::Authenticated,
            Kind::Snapshot,
            Kind::Confirmed,
            Kind::Deleted,
        ]);
        let attributes = (attribute("email", address.boxed()), attribute("email_verified", flag.boxed()));
        let event = (kind, attributes, 0..4_u64, any::<[u8; 10]>());
        let event = event.prop_map(|(kind, (email, verified), second, bytes)| {
            let millis = 1_700_000_000_000 + second * 1_000;
            let id = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
            let data = Data { attributes: email.into_iter().chain(verified).collect(), ..Data::default() };
            let (id, user_pool_id) = (EventId::from_uuid(id).unwrap(), "eu-west-1_Test00000".into());
            Delta::of(&UserEvent { id, user_pool_id, sub: Uuid::nil(), kind, data })
        });
        proptest::collection::vec(event, 1..4).prop_map(|deltas| {
            let merged = deltas.into_iter().reduce(|mut all, delta| {
                all.merge(delta);
                all
            });
            merged.unwrap()
        })
    }

    /// Somebody of whom this is known, and who owns nothing.
    fn stored(known: &Delta) -> users::StoredUser {
        let mut since = columns::Since::default();
        for kind in claims::IdentifierKind::ALL {
            let held = known.state.identifier(kind).map(|(identifier, _)| identifier);
            since.set(kind, held.and_then(|identifier| known.claims.get(&identifier).copied().flatten()));
        }
        let (id, written_by, owned, referred_by, is_erased) = Default::default();
        users::StoredUser { id, written_by, state: known.state.clone(), owned, since, referred_by, is_erased }
    }

    proptest! {
        #[test]
        fn what_surely_concerns_nothing_changes_no_claim_and_no_sign_up(known in delta(), told in delta()) {
            let user = stored(&known);
            let mut merged = user.state.clone();
            merged.merge(told.state.clone());
            if surely_concerns_nothing(&user, &told) {
                prop_assert!(!changes_claims(&user, &merged, &told));
                prop_assert_eq!(sign_up_code(&merged), sign_up_code(&user.state));
            }
            // A login that tells the same again is the case that it is for.
            let mut again = known;
            again.state.sign_up = None;
            if again.state.deleted_at.is_none() && again.claims.len() == user_holds(&user) {
                prop_assert!(surely_concerns_nothing(&user, &again));
            }
        }
    }

    fn user_holds(user: &users::StoredUser) -> usize {
        claims::IdentifierKind::ALL.into_iter().filter_map(|kind| user.state.identifier(kind)).count()
    }
}
