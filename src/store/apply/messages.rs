//! The messages of a batch, and what became of each: one event may come in several of them. Must not know how events are
//! applied.

use std::collections::hash_map::{Entry, HashMap};

use cognito_user_sync_triggers::event::{Event, EventId};

use crate::store::apply::Outcomes;
use crate::store::outcome::{Outcome, Rejection, RetryCause};
use crate::store::tables::ledger;

/// Messages in their order. Of several that carry one event, the first has its outcome and the others repeat it.
pub(super) struct Messages<'m, 'a> {
    decoded: &'m [Result<Event<'a>, Rejection>],
    firsts: HashMap<EventId, usize>,
    /// Where an event comes again, and where it came first.
    repeats: Vec<(usize, usize)>,
    /// Whether an id says all: who has it is the same event, whatever else it says.
    is_same_by_id: bool,
    outcomes: Vec<Outcome>,
}

impl<'m, 'a> Messages<'m, 'a> {
    /// Messages of events: another event under the id of one is refused.
    pub(super) fn of_events(decoded: &'m [Result<Event<'a>, Rejection>]) -> Self {
        Self::of(decoded, |_| true, false)
    }

    /// Of the messages, those of contexts, whose ids follow from what was recorded. The others are somebody else's.
    pub(super) fn of_contexts(decoded: &'m [Result<Event<'a>, Rejection>]) -> Self {
        Self::of(decoded, |event| matches!(event, Event::Context(_)), true)
    }

    /// Those that were decoded have no outcome yet but that they are tried again.
    fn of(
        decoded: &'m [Result<Event<'a>, Rejection>],
        counts: impl Fn(&Event<'a>) -> bool,
        is_same_by_id: bool,
    ) -> Self {
        let mut firsts = HashMap::with_capacity(decoded.len());
        let mut repeats = Vec::new();
        let mut outcomes = Vec::with_capacity(decoded.len());
        for (at, decoded) in decoded.iter().enumerate() {
            outcomes.push(match decoded {
                Err(rejection) => Outcome::Rejected(rejection.clone()),
                Ok(_) => Outcome::Retry(RetryCause::DatabaseUnavailable),
            });
            let Some(event) = decoded.as_ref().ok().filter(|event| counts(event)) else { continue };
            match firsts.entry(event.id()) {
                Entry::Occupied(first) => repeats.push((at, *first.get())),
                Entry::Vacant(first) => drop(first.insert(at)),
            }
        }
        Self { decoded, firsts, repeats, is_same_by_id, outcomes }
    }

    /// Each event once, in the messages' order.
    pub(super) fn events(&self) -> Vec<&'m Event<'a>> {
        self.events_where(|_| true)
    }

    /// Those that had no place, since the ledger's months changed meanwhile.
    pub(super) fn moved(&self) -> Vec<&'m Event<'a>> {
        self.events_where(|outcome| *outcome == Outcome::Retry(RetryCause::HorizonMoved))
    }

    fn events_where(&self, is: impl Fn(&Outcome) -> bool) -> Vec<&'m Event<'a>> {
        let of = |(at, (decoded, outcome)): (usize, (&'m Result<Event<'a>, Rejection>, &Outcome))| {
            let event = decoded.as_ref().ok()?;
            (self.firsts.get(&event.id()) == Some(&at) && is(outcome)).then_some(event)
        };
        self.decoded.iter().zip(&self.outcomes).enumerate().filter_map(of).collect()
    }

    /// Takes what became of events.
    pub(super) fn settle(&mut self, outcomes: Outcomes) {
        for (id, outcome) in outcomes {
            if let Some(of) = self.firsts.get(&id).and_then(|first| self.outcomes.get_mut(*first)) {
                *of = outcome;
            }
        }
    }

    /// What became of each message.
    pub(super) fn into_outcomes(self) -> Vec<Outcome> {
        let Self { decoded, repeats, is_same_by_id, mut outcomes, .. } = self;
        for (at, first) in repeats {
            let outcome = match outcomes.get(first) {
                _ if !is_same_by_id && decoded.get(at) != decoded.get(first) => {
                    Outcome::Rejected(ledger::id_conflict())
                }
                Some(Outcome::Applied) => Outcome::Duplicate,
                Some(outcome) => outcome.clone(),
                None => continue,
            };
            if let Some(of) = outcomes.get_mut(at) {
                *of = outcome;
            }
        }
        outcomes
    }
}
