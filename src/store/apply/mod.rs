//! The write path: a batch of messages in, their effect committed, an outcome for each of them out.
//!
//! **Invariant:** the ledger insert and the update of the rows are one transaction, so a message may be delivered any number
//! of times. Must not know where messages come from: neither Lambda nor SQS.

mod batch;
mod contexts;
mod disposition;
mod failures;
mod fast_path;
mod groups;
mod horizon;
mod messages;
mod records;
mod rehearsal;
mod slow_path;
mod transaction;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::retry::Schedule;
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use sqlx::PgPool;

use self::batch::Batch;
use self::horizon::KnownHorizon;
use self::messages::Messages;
pub(crate) use self::rehearsal::rehearse;
use self::transaction::{Path, Recorded};
use crate::geoip::GeoIp;
use crate::logging::causes;
use crate::postgres::{Database, advice_for};
use crate::store::outcome::{Outcome, Rejection, RetryCause};
use crate::store::tables::failure::Failure;
use crate::store::tables::ledger::{self, Ledger};
use crate::store::tables::users;

/// Applies messages to one database.
#[derive(Debug)]
pub struct Applier {
    database: Database,
    horizon: KnownHorizon,
    /// Of the records of sign-ins.
    record_horizon: KnownHorizon,
    geoip: GeoIp,
    /// `None` accepts all.
    user_pools: Option<BTreeSet<UserPoolId>>,
}

/// How long a batch is worked on before what is left of it goes back to the queue.
pub const APPLY_LIMIT: Duration = Duration::from_secs(20);

/// How often events are tried whose users' rows somebody holds, before they go back to the queue, and how long between.
const ROUNDS: u32 = 8;
const ROUND_SCHEDULE: Schedule =
    Schedule { first: Duration::from_millis(10), cap: Duration::from_millis(160) };

/// Events by the path that they take.
#[derive(Default)]
struct Work<'a> {
    logins: Batch<'a>,
    others: Batch<'a>,
}

/// What became of some events.
type Outcomes = Vec<(EventId, Outcome)>;

impl Applier {
    /// Applies to `database`, with the rights of `user_sync_consumer`.
    #[must_use]
    pub fn new(database: impl Into<Database>) -> Self {
        Self {
            database: database.into(),
            horizon: KnownHorizon::of(Ledger::Events),
            record_horizon: KnownHorizon::of(Ledger::Records),
            geoip: GeoIp::default(),
            user_pools: None,
        }
    }

    /// The same, with a database of cities for logins whose client does not say where it is.
    #[must_use]
    pub fn with_geoip(mut self, geoip: GeoIp) -> Self {
        self.geoip = geoip;
        self
    }

    /// The same, for users of these user pools only; `None` accepts all.
    #[must_use]
    pub fn accepting(mut self, user_pools: Option<BTreeSet<UserPoolId>>) -> Self {
        self.user_pools = user_pools;
        self
    }

    /// The event of a body, unless it is of a user pool that is not accepted. A heartbeat is of none.
    fn decode<'a>(&self, body: &'a str) -> Result<Event<'a>, Rejection> {
        let event = Event::decode(body)?;
        let (Some(of), Some(pools)) = (event.user_pool_id(), &self.user_pools) else { return Ok(event) };
        if pools.iter().any(|pool| **pool == *of) {
            return Ok(event);
        }
        Err(Rejection {
            reason: "another_pool",
            field: "source".to_owned(),
            detail: "the event is of a user pool that the consumer does not accept: if it should, add the pool to \
                     USER_SYNC_USER_POOL_ID, then redrive"
                .to_owned(),
        })
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
        let decoded: Vec<_> = bodies.iter().map(|body| self.decode(body.as_ref())).collect();
        let mut messages = Messages::of_events(&decoded);
        messages.settle(self.apply_events(&messages.events()).await);
        // The ledger's months changed under the batch: what the new ones do not take is refused, with the reason.
        messages.settle(self.apply_events(&messages.moved()).await);
        let outcomes = messages.into_outcomes();
        measure(&decoded, &outcomes);
        outcomes
    }

    async fn apply_events(&self, events: &[&Event<'_>]) -> Outcomes {
        let mut outcomes = Vec::with_capacity(events.len());
        if events.is_empty() {
            return outcomes;
        }
        let latest = ledger::latest();
        let ids: Vec<EventId> = events.iter().map(|event| event.id()).collect();
        let horizon = match self.horizon.covering(&self.database, &ids, latest).await {
            Ok(horizon) => horizon,
            Err(failure) => return outcomes_for(ids.into_iter(), &failure).collect(),
        };
        let (mut logins, mut others) = (Vec::with_capacity(events.len()), Batch::default());
        for event in events {
            match (horizon.check(event.id(), latest), event) {
                (Err(rejection), _) => outcomes.push((event.id(), Outcome::Rejected(rejection))),
                (Ok(()), Event::User(event)) if fast_path::may_take(event) => logins.push((event.id, event)),
                (Ok(()), Event::User(event)) => drop(others.users.insert(event.id, event)),
                (Ok(()), Event::Group(event)) => drop(others.groups.insert(event.id, event)),
                (Ok(()), Event::Context(_) | Event::Failures(_)) => {
                    outcomes.push((event.id(), Outcome::Rejected(wrong_queue())));
                }
                (Ok(()), Event::Heartbeat { id, pools }) => drop(others.heartbeats.insert(*id, pools)),
            }
        }
        let logins = Batch { users: logins.into_iter().collect(), ..Batch::default() };
        self.apply_in_rounds(Work { logins, others }, &mut outcomes).await;
        outcomes
    }

    /// Applies events; those of users whose rows somebody holds, again a moment later. While it waits, this holds nothing.
    async fn apply_in_rounds(&self, mut work: Work<'_>, outcomes: &mut Outcomes) {
        let deadline = Instant::now() + APPLY_LIMIT;
        // Apart, since all consumers stamp one row: nobody waits for it while holding others.
        let heartbeats = std::mem::take(&mut work.others.heartbeats);
        let groups = Batch { groups: std::mem::take(&mut work.others.groups), ..Batch::default() };
        self.apply_rounds(work, deadline, outcomes).await;
        self.apply_rounds(Work { others: groups, ..Work::default() }, deadline, outcomes).await;
        let heartbeats = Batch { heartbeats, ..Batch::default() };
        self.apply_batch(heartbeats, deadline, &mut Batch::default(), outcomes).await;
    }

    async fn apply_rounds(&self, mut work: Work<'_>, deadline: Instant, outcomes: &mut Outcomes) {
        let mut round = 1;
        loop {
            let mut held = Work::default();
            self.apply_logins(work.logins, &mut work.others, &mut held.logins, outcomes).await;
            self.apply_batch(work.others, deadline, &mut held.others, outcomes).await;
            if held.logins.is_empty() && held.others.is_empty() {
                return;
            }
            if round == ROUNDS || Instant::now() >= deadline {
                return self.give_up(held, outcomes).await;
            }
            tokio::time::sleep(ROUND_SCHEDULE.delay(round)).await;
            (work, round) = (held, round + 1);
        }
    }

    /// Sends the events of users whose rows cannot be locked back to the queue. Row security may be what hides a row from the
    /// lock: that does not pass by itself.
    async fn give_up(&self, Work { logins, mut others }: Work<'_>, outcomes: &mut Outcomes) {
        others.users.extend(logins.users);
        if !users::has_row_security(&self.database).await.unwrap_or_default() {
            return outcomes.extend(outcomes_for(others.ids(), &Failure::Held(BTreeSet::new())));
        }
        for single in others.singles() {
            let outcome = self.disposition_of(&Failure::recheck(), &single).await;
            outcomes.extend(single.ids().map(|id| (id, outcome.clone())));
        }
    }

    /// Applies logins by the fast path. What that leaves is added to `others`, or to `held`.
    async fn apply_logins<'a>(
        &self,
        mut logins: Batch<'a>,
        others: &mut Batch<'a>,
        held: &mut Batch<'a>,
        outcomes: &mut Outcomes,
    ) {
        while !logins.is_empty() {
            match self.commit(&logins, Path::Fast).await {
                Ok(recorded) => {
                    held.take_users(&mut logins, &recorded.held);
                    let inserted = recorded.inserted;
                    let (taken, left): (Vec<EventId>, _) = logins.ids().partition(|id| inserted.has(*id));
                    outcomes.extend(taken.into_iter().map(|id| (id, inserted.outcome(id))));
                    return others.take(&logins, left);
                }
                Err(Failure::AlreadyRecorded(inserted)) => {
                    outcomes.extend(logins.remove_already_recorded(&inserted));
                }
                // It has waited, and would again.
                Err(failure @ Failure::Blocked { .. }) => {
                    return outcomes.extend(outcomes_for(logins.ids(), &failure));
                }
                // One of them may be to blame: the slow path finds out which.
                Err(failure) if failure.is_of_one_event() => {
                    return others.take(&logins, logins.ids().collect());
                }
                Err(failure) => return outcomes.extend(outcomes_for(logins.ids(), &failure)),
            }
        }
    }

    /// Applies events by the slow path. A batch that fails is halved, so that one bad message ends up alone. The events of
    /// users whose rows somebody holds are added to `held`, and what has no time left goes back to the queue.
    async fn apply_batch<'a>(
        &self,
        batch: Batch<'a>,
        deadline: Instant,
        held: &mut Batch<'a>,
        outcomes: &mut Outcomes,
    ) {
        let mut waiting = vec![batch];
        while let Some(mut batch) = waiting.pop() {
            if batch.is_empty() {
                continue;
            }
            if Instant::now() >= deadline {
                outcomes.extend(outcomes_for(batch.ids(), &Failure::recheck()));
                continue;
            }
            match self.commit(&batch, Path::Slow).await {
                Ok(Recorded { inserted, .. }) => {
                    outcomes.extend(batch.ids().map(|id| (id, inserted.outcome(id))));
                }
                Err(Failure::AlreadyRecorded(inserted)) => {
                    outcomes.extend(batch.remove_already_recorded(&inserted));
                    waiting.push(batch);
                }
                Err(Failure::TooLarge(parts)) => waiting.extend(batch.divide(&parts)),
                Err(Failure::Held(users)) => {
                    if !held.take_users(&mut batch, &users) {
                        // Whoever held them has let go and changed them: it is not known any more whom they touched.
                        tokio::time::sleep(ROUND_SCHEDULE.delay(1)).await;
                    }
                    waiting.push(batch);
                }
                Err(failure) if failure.is_of_one_event() || self.is_suspected(&failure).await => {
                    match batch.halves() {
                        Ok(halves) => waiting.extend(halves),
                        Err(single) => {
                            let outcome = self.disposition_of(&failure, &single).await;
                            outcomes.extend(single.ids().map(|id| (id, outcome.clone())));
                        }
                    }
                }
                Err(failure) => outcomes.extend(outcomes_for(batch.ids(), &failure)),
            }
        }
    }
}

/// Records of sign-ins have a queue of their own, since whoever may send there must not count logins.
fn wrong_queue() -> Rejection {
    Rejection {
        reason: "wrong_queue",
        field: "type".to_owned(),
        detail: "a record of a sign-in on the queue of users' events: send it to the queue that USER_SYNC_CONTEXT_QUEUE_URL \
                 names"
            .to_owned(),
    }
}

/// How old the events are whose effect is committed now, and how many of them are heartbeats.
fn measure(decoded: &[Result<Event<'_>, Rejection>], outcomes: &[Outcome]) {
    let now = Timestamp::now();
    let applied = || {
        let pairs = decoded.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Applied);
        pairs.filter_map(|(event, _)| event.as_ref().ok())
    };
    crate::metrics::record("freshness", applied().map(|event| age(event, now)));
    let heartbeats = applied().filter(|event| matches!(event, Event::Heartbeat { .. })).count();
    ::metrics::counter!("heartbeats").increment(u64::try_from(heartbeats).unwrap_or(u64::MAX));
}

/// How long ago it happened, in seconds.
fn age(event: &Event<'_>, now: Timestamp) -> f64 {
    Duration::from_millis(now.unix_millis().saturating_sub(event.id().time().unix_millis())).as_secs_f64()
}

/// The events return to the queue, and the log says why, once.
fn outcomes_for(
    ids: impl Iterator<Item = EventId>,
    failure: &Failure,
) -> impl Iterator<Item = (EventId, Outcome)> {
    let cause = cause(failure);
    let advice = advice_for(failure);
    tracing::warn!(cause = cause.as_str(), error = causes(failure), advice, "events return to the queue");
    ids.map(move |id| (id, Outcome::Retry(cause.clone())))
}

fn cause(failure: &Failure) -> RetryCause {
    match failure {
        Failure::Conflict { .. }
        | Failure::Blocked { .. }
        | Failure::Held(_)
        | Failure::TooLarge(_)
        | Failure::AlreadyRecorded(_) => RetryCause::Conflict,
        Failure::HorizonMoved => RetryCause::HorizonMoved,
        Failure::Misconfigured(_) => RetryCause::DatabaseMisconfigured,
        Failure::Unavailable(_) | Failure::Refused(_) => RetryCause::DatabaseUnavailable,
    }
}
