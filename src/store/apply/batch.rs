//! The distinct events that one transaction takes, and how a batch that fails is divided.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::event::{ContextEvent, EventId, GroupEvent, PoolSeen, UserEvent};
use uuid::Uuid;

use crate::store::outcome::Outcome;
use crate::store::tables::ledger::LedgerInsert;

/// The distinct events that one transaction takes, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch<'a> {
    pub(super) users: BTreeMap<EventId, &'a UserEvent<'a>>,
    /// Of groups: in a batch of their own.
    pub(super) groups: BTreeMap<EventId, &'a GroupEvent<'a>>,
    /// Of sign-ins: in a batch of their own, too.
    pub(super) contexts: BTreeMap<EventId, &'a ContextEvent<'a>>,
    /// Each with what it says of the pools' triggers.
    pub(super) heartbeats: BTreeMap<EventId, &'a [PoolSeen]>,
    /// Whether it was divided by what its users' rows hold: then it is not asked again.
    pub(super) is_divided: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.size() == 0 && self.heartbeats.is_empty()
    }

    /// How many events it has, without heartbeats.
    fn size(&self) -> usize {
        self.users.len() + self.groups.len() + self.contexts.len()
    }

    /// Takes events of another batch.
    pub(super) fn take(&mut self, other: &Self, ids: Vec<EventId>) {
        self.users.extend(ids.into_iter().filter_map(|id| Some((id, *other.users.get(&id)?))));
    }

    /// Takes the events of some users out of another batch; whether there were any.
    pub(super) fn take_users(&mut self, other: &mut Self, users: &BTreeSet<Uuid>) -> bool {
        let before = self.size();
        self.users.extend(other.users.extract_if(.., |_, event| users.contains(&event.sub)));
        let is_of = |event: &GroupEvent<'_>| event.change.user().is_some_and(|user| users.contains(&user));
        self.groups.extend(other.groups.extract_if(.., |_, event| is_of(event)));
        let is_of = |event: &ContextEvent<'_>| event.sub.is_some_and(|user| users.contains(&user));
        self.contexts.extend(other.contexts.extract_if(.., |_, event| is_of(event)));
        self.size() > before
    }

    /// The same, without some events.
    pub(super) fn without(&self, ids: &BTreeSet<EventId>) -> Self {
        let mut left = self.clone();
        left.users.retain(|id, _| !ids.contains(id));
        left.groups.retain(|id, _| !ids.contains(id));
        left.contexts.retain(|id, _| !ids.contains(id));
        left
    }

    /// Removes the events that the ledger had before, and returns the outcome of each.
    pub(super) fn remove_already_recorded(
        &mut self,
        inserted: &LedgerInsert,
    ) -> impl Iterator<Item = (EventId, Outcome)> {
        self.users.retain(|id, _| !inserted.had(*id));
        self.groups.retain(|id, _| !inserted.had(*id));
        inserted.earlier().map(|id| (id, inserted.outcome(id)))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = EventId> {
        self.in_ledger().chain(self.contexts.keys().copied()).chain(self.heartbeats.keys().copied())
    }

    /// Those that the ledger of logins takes.
    pub(super) fn in_ledger(&self) -> impl Iterator<Item = EventId> {
        self.users.keys().chain(self.groups.keys()).copied()
    }

    /// The users of its events.
    pub(super) fn subs(&self) -> Vec<Uuid> {
        let of_groups = self.groups.values().filter_map(|event| event.change.user());
        let of_contexts = self.contexts.values().filter_map(|event| event.sub);
        self.users.values().map(|event| event.sub).chain(of_groups).chain(of_contexts).collect()
    }

    /// A batch an event, without heartbeats.
    pub(super) fn singles(self) -> impl Iterator<Item = Self> {
        let users = self.users.into_iter().map(|event| Self { users: [event].into(), ..Self::default() });
        let groups = self.groups.into_iter().map(|event| Self { groups: [event].into(), ..Self::default() });
        let contexts =
            self.contexts.into_iter().map(|event| Self { contexts: [event].into(), ..Self::default() });
        users.chain(groups).chain(contexts)
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
        if self.size() + usize::from(!self.heartbeats.is_empty()) < 2 {
            return Err(self);
        }
        let (users, groups) = (later_half(&mut self.users), later_half(&mut self.groups));
        let contexts = later_half(&mut self.contexts);
        Ok([Self { users, groups, contexts, heartbeats: BTreeMap::new(), ..self }, self])
    }
}

fn later_half<T>(events: &mut BTreeMap<EventId, T>) -> BTreeMap<EventId, T> {
    match events.keys().nth(events.len() / 2).copied() {
        Some(at) => events.split_off(&at),
        None => BTreeMap::new(),
    }
}
