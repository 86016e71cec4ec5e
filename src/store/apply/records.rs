//! Records of sign-ins: bodies in, their effect committed, an outcome for each of them out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cognito_user_sync_triggers::event::{ContextEvent, Event, EventId};

use crate::store::apply::Applier;
use crate::store::outcome::{Outcome, RetryCause};

impl Applier {
    /// Applies message bodies of the queue of records, and says what became of each, in their order.
    pub async fn apply_records<B: AsRef<str>>(&self, bodies: &[B]) -> Vec<Outcome> {
        let decoded: Vec<_> = bodies.iter().map(|body| self.decode(body.as_ref())).collect();
        let mut contexts = BTreeMap::<EventId, (usize, &ContextEvent<'_>)>::new();
        let mut outcomes = Vec::with_capacity(bodies.len());
        for (at, decoded) in decoded.iter().enumerate() {
            outcomes.push(match decoded {
                Err(rejection) => Outcome::Rejected(rejection.clone()),
                Ok(Event::Context(event)) => match contexts.entry(event.id) {
                    Entry::Occupied(_) => Outcome::Duplicate,
                    Entry::Vacant(first) => {
                        first.insert((at, event));
                        Outcome::Retry(RetryCause::DatabaseUnavailable)
                    }
                },
                Ok(Event::User(_) | Event::Group(_) | Event::Failures(_) | Event::Heartbeat { .. }) => {
                    Outcome::Rejected(super::wrong_queue())
                }
            });
        }
        let events: Vec<&ContextEvent<'_>> = contexts.values().map(|(_, event)| *event).collect();
        for (id, outcome) in self.apply_contexts(&events).await {
            if let Some(of) = contexts.get(&id).and_then(|(at, _)| outcomes.get_mut(*at)) {
                *of = outcome;
            }
        }
        outcomes
    }
}
