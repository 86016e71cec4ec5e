//! The write path of what others record of sign-ins: messages of a queue of their own in, an outcome for each of them out.
//!
//! **Invariant:** nothing that comes this way counts a login or says who somebody is: whoever may send to that queue may not.
//! Must not know where messages come from: neither Lambda nor SQS.

use std::time::Instant;

use cognito_user_sync_triggers::event::{ContextEvent, Event, EventId, FailuresEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::store::apply::messages::Messages;
use crate::store::apply::{APPLY_LIMIT, Applier, Outcomes, age, outcomes_for};
use crate::store::outcome::{Outcome, Rejection, RetryCause};
use crate::store::tables::ledger;

impl Applier {
    /// Applies message bodies of the queue of records, and says what became of each, in their order. Contexts and failures are
    /// all that it takes: what else is there is rejected.
    ///
    /// Idempotent, as [`Applier::apply`] is. Of a message of failures, some may be recorded before the others.
    pub async fn apply_records<B: AsRef<str>>(&self, bodies: &[B]) -> Vec<Outcome> {
        let deadline = Instant::now() + APPLY_LIMIT;
        let mut decoded = Vec::with_capacity(bodies.len());
        for body in bodies {
            decoded.push(self.decode(body.as_ref()).and_then(record));
            // A message may hold thousands of failures: the other loops go on in between.
            tokio::task::yield_now().await;
        }
        let mut messages = Messages::of_contexts(&decoded);
        messages.settle(self.record_contexts(&messages.events()).await);
        // As in `apply`: what the new months do not take is refused, with the reason.
        messages.settle(self.record_contexts(&messages.moved()).await);
        let mut outcomes = messages.into_outcomes();
        let of_failures = |(at, decoded)| match decoded {
            &Ok(Event::Failures(ref event)) => Some((at, event)),
            Ok(_) | Err(_) => None,
        };
        let failures: Vec<(usize, &FailuresEvent<'_>)> =
            decoded.iter().enumerate().filter_map(of_failures).collect();
        put(&mut outcomes, self.apply_failures(&failures, deadline).await);
        let is_moved =
            |(at, _): &&(usize, _)| outcomes.get(*at) == Some(&Outcome::Retry(RetryCause::HorizonMoved));
        let moved: Vec<_> = failures.iter().filter(is_moved).copied().collect();
        put(&mut outcomes, self.apply_failures(&moved, deadline).await);
        measure(&decoded, &outcomes);
        outcomes
    }

    /// Applies distinct contexts that their ledger can take.
    async fn record_contexts(&self, events: &[&Event<'_>]) -> Outcomes {
        let mut outcomes = Vec::with_capacity(events.len());
        if events.is_empty() {
            return outcomes;
        }
        let latest = ledger::latest();
        let ids: Vec<EventId> = events.iter().map(|event| event.id()).collect();
        let horizon = match self.record_horizon.covering(self.database(), &ids, latest).await {
            Ok(horizon) => horizon,
            Err(failure) => return outcomes_for(ids.into_iter(), &failure).collect(),
        };
        let mut contexts: Vec<&ContextEvent<'_>> = Vec::with_capacity(events.len());
        for event in events {
            match (horizon.check(event.id(), latest), event) {
                (Err(rejection), _) => outcomes.push((event.id(), Outcome::Rejected(rejection))),
                (Ok(()), Event::Context(context)) => contexts.push(context),
                (Ok(()), Event::User(_) | Event::Group(_) | Event::Failures(_) | Event::Heartbeat { .. }) => {
                }
            }
        }
        if !contexts.is_empty() {
            outcomes.extend(self.apply_contexts(&contexts).await);
        }
        if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Retry(RetryCause::HorizonMoved)) {
            self.record_horizon.forget();
        }
        outcomes
    }
}

/// The event, if it is one that this queue carries. Whoever may send here must not send another.
fn record(event: Event<'_>) -> Result<Event<'_>, Rejection> {
    match event {
        Event::Context(_) | Event::Failures(_) => Ok(event),
        Event::User(_) | Event::Group(_) | Event::Heartbeat { .. } => Err(Rejection {
            reason: "wrong_queue",
            field: "type".to_owned(),
            detail: "not a record of a sign-in, and this queue carries nothing else: find out who sent it; what may be sent \
                     goes to the queue that USER_SYNC_QUEUE_URL names"
                .to_owned(),
        }),
    }
}

fn put(outcomes: &mut [Outcome], become_of: Vec<(usize, Outcome)>) {
    for (at, outcome) in become_of {
        if let Some(place) = outcomes.get_mut(at) {
            *place = outcome;
        }
    }
}

/// How old the records are that are committed now, and how many of them are contexts. No login's freshness.
fn measure(decoded: &[Result<Event<'_>, Rejection>], outcomes: &[Outcome]) {
    let now = Timestamp::now();
    let pairs = decoded.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Applied);
    let applied: Vec<&Event<'_>> = pairs.filter_map(|(event, _)| event.as_ref().ok()).collect();
    crate::metrics::record("context_freshness", applied.iter().map(|event| age(event, now)));
    let contexts = applied.iter().filter(|event| matches!(event, Event::Context(_))).count();
    ::metrics::counter!("contexts_applied").increment(u64::try_from(contexts).unwrap_or(u64::MAX));
}
