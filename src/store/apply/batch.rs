//! The distinct events that one transaction takes, and how a batch that fails is divided.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::event::{EventId, UserEvent};

use crate::store::outcome::Outcome;
use crate::store::tables::ledger::LedgerInsert;

/// The distinct events that one transaction takes, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch<'a> {
    pub(super) users: BTreeMap<EventId, &'a UserEvent<'a>>,
    pub(super) heartbeats: BTreeSet<EventId>,
}

impl<'a> Batch<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.heartbeats.is_empty()
    }

    /// Takes events of another batch.
    pub(super) fn take(&mut self, other: &Self, ids: Vec<EventId>) {
        self.users.extend(ids.into_iter().filter_map(|id| Some((id, *other.users.get(&id)?))));
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
        Ok([Self { users, heartbeats: BTreeSet::new() }, self])
    }
}
