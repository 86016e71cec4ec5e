//! The distinct events that one transaction takes, and how a batch that fails is divided.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::event::{EventId, UserEvent};
use uuid::Uuid;

use crate::store::outcome::Outcome;
use crate::store::tables::ledger::LedgerInsert;

/// The distinct events that one transaction takes, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch<'a> {
    pub(super) users: BTreeMap<EventId, &'a UserEvent<'a>>,
    pub(super) heartbeats: BTreeSet<EventId>,
    /// Whether it was divided by what its users' rows hold: then it is not asked again.
    pub(super) is_divided: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.heartbeats.is_empty()
    }

    /// Takes events of another batch.
    pub(super) fn take(&mut self, other: &Self, ids: Vec<EventId>) {
        self.users.extend(ids.into_iter().filter_map(|id| Some((id, *other.users.get(&id)?))));
    }

    /// Takes the events of some users out of another batch; whether there were any.
    pub(super) fn take_users(&mut self, other: &mut Self, users: &BTreeSet<Uuid>) -> bool {
        let taken = other.users.extract_if(.., |_, event| users.contains(&event.sub));
        let before = self.users.len();
        self.users.extend(taken);
        self.users.len() > before
    }

    /// The same, without some events.
    pub(super) fn without(&self, ids: &BTreeSet<EventId>) -> Self {
        let mut left = self.clone();
        left.users.retain(|id, _| !ids.contains(id));
        left
    }

    /// Removes the events that the ledger had before, and returns the outcome of each.
    pub(super) fn remove_already_recorded(
        &mut self,
        inserted: &LedgerInsert,
    ) -> impl Iterator<Item = (EventId, Outcome)> {
        self.users.retain(|id, _| !inserted.had(*id));
        inserted.earlier().map(|id| (id, inserted.outcome(id)))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = EventId> {
        self.users.keys().chain(&self.heartbeats).copied()
    }

    /// Batches of so many users each; heartbeats are in one of their own.
    pub(super) fn divide(mut self, parts: &[BTreeSet<Uuid>]) -> Vec<Self> {
        let part = |users: &BTreeSet<Uuid>| {
            let mut part = Self { is_divided: true, ..Self::default() };
            part.take_users(&mut self, users);
            part
        };
        let mut divided: Vec<Self> = parts.iter().map(part).collect();
        // What is left, if there were any of somebody who is not among the users.
        divided.push(Self { is_divided: true, ..self });
        divided
    }

    /// Two batches of half the size, or the batch itself where it holds a single event. Heartbeats cannot be
    /// what is wrong: they stay together.
    pub(super) fn halves(mut self) -> Result<[Self; 2], Self> {
        if self.users.len() + usize::from(!self.heartbeats.is_empty()) < 2 {
            return Err(self);
        }
        let users: BTreeMap<EventId, &'a UserEvent<'a>> =
            match self.users.keys().nth(self.users.len() / 2).copied() {
                Some(at) => self.users.split_off(&at),
                None => BTreeMap::new(),
            };
        Ok([Self { users, heartbeats: BTreeSet::new(), ..self }, self])
    }
}
