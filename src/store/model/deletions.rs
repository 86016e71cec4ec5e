//! Whether a user is deleted, by the deletions and restorations that events said. Pure.
//!
//! A restoration says that the user was alive at its time. Cognito never reassigns a `sub`, so no deletion up to then was
//! one, whoever said it. Which deletions were before which restoration cannot be told by any bounded set of ids; by these
//! three times it can.

use cognito_user_sync_triggers::event::{Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::model::state::least;

/// When a user was deleted, and when it was found alive after all. The names are the baseline's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Deletions {
    /// The earliest; `None` once there was a restoration.
    #[serde(rename = "deleted_at")]
    first: Option<Timestamp>,
    /// The latest. An older release stored the earliest alone.
    #[serde(rename = "last_deleted_at", default, skip_serializing_if = "Option::is_none")]
    latest: Option<Timestamp>,
    /// The latest restoration.
    #[serde(rename = "restored_at", default, skip_serializing_if = "Option::is_none")]
    restored: Option<Timestamp>,
}

impl Deletions {
    /// What an event says.
    pub(in crate::store) fn of(event: &UserEvent<'_>) -> Self {
        let at = |kind: Kind| (event.kind == kind).then(|| event.id.time());
        Self { restored: at(Kind::Restored), ..Self::at(at(Kind::Deleted)) }
    }

    /// One deletion, if there was one.
    pub(in crate::store) fn at(time: Option<Timestamp>) -> Self {
        Self { first: time, latest: time, restored: None }
    }

    /// What the columns of a row say: `deleted_at`, `last_deleted_at` and `restored_at`.
    pub(in crate::store) fn stored(
        deleted_at: Option<Timestamp>,
        last_deleted_at: Option<Timestamp>,
        restored: Option<Timestamp>,
    ) -> Self {
        let first = deleted_at.filter(|_| restored.is_none());
        Self { first, latest: deleted_at.max(last_deleted_at), restored }
    }

    pub(in crate::store) fn merge(&mut self, other: Self) {
        self.latest = self.latest().max(other.latest());
        self.restored = self.restored.max(other.restored);
        self.first = least(self.first, other.first).filter(|_| self.restored.is_none());
    }

    /// Whether no event said anything.
    pub(in crate::store) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// When the user was deleted, if it is. On a tie the user is alive.
    pub(in crate::store) fn deleted_at(&self) -> Option<Timestamp> {
        match self.restored {
            None => self.first,
            Some(restored) => self.latest().filter(|latest| *latest > restored),
        }
    }

    /// The latest deletion, whether it counts or not.
    pub(in crate::store) fn latest(&self) -> Option<Timestamp> {
        self.latest.max(self.first)
    }

    /// The same where [`Deletions::deleted_at`] is another: so a row of an older release, which has that alone, is right.
    pub(in crate::store) fn last_deleted_at(&self) -> Option<Timestamp> {
        self.latest().filter(|latest| self.deleted_at() != Some(*latest))
    }

    /// The latest restoration.
    pub(in crate::store) fn restored_at(&self) -> Option<Timestamp> {
        self.restored
    }
}
