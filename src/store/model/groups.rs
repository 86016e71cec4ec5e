//! What the events of groups amount to: the latest word on each membership, and the latest deletion of each group. Pure.
//!
//! What tells of them knows seconds only, so times are compared by the second, and in the same second *gone* wins.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::event::{GroupChange, GroupEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// The ledger's user of an event that is nobody's: the nil UUID, which is no `sub`.
pub(in crate::store) const NOBODY: Uuid = Uuid::nil();

/// The latest word on a membership: the greatest one counts. The pool comes last, so that the order is total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Membership<'a> {
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) gone: bool,
    pub(in crate::store) user_pool_id: &'a str,
}

/// What events of groups amount to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Reported<'a> {
    /// By user and group.
    pub(in crate::store) memberships: BTreeMap<(Uuid, &'a str), Membership<'a>>,
    /// When a group was last deleted, by pool and name.
    pub(in crate::store) cleared: BTreeMap<(&'a str, &'a str), Timestamp>,
}

/// What the events amount to.
pub(in crate::store) fn fold<'a>(events: impl IntoIterator<Item = &'a GroupEvent<'a>>) -> Reported<'a> {
    let mut reported = Reported::default();
    for event in events {
        let (at, name, user_pool_id) = (second_of(event.id.time()), &*event.group, &*event.user_pool_id);
        let mut member = |user, gone| {
            let word = Membership { at, gone, user_pool_id };
            let known = reported.memberships.entry((user, name)).or_insert(word);
            *known = word.max(*known);
        };
        match event.change {
            GroupChange::Joined(user) => member(user, false),
            GroupChange::Left(user) => member(user, true),
            GroupChange::Deleted => {
                let known = reported.cleared.entry((user_pool_id, name)).or_insert(at);
                *known = at.max(*known);
            }
        }
    }
    reported
}

fn second_of(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(time.unix_millis() / 1_000 * 1_000)
}

/// What the ledger keeps of an event besides its type, user, pool and time.
#[derive(Serialize)]
pub(in crate::store) struct Kept<'a> {
    /// None of a person who is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
}

impl<'a> Kept<'a> {
    pub(in crate::store) fn of(event: &'a GroupEvent<'_>, is_erased: bool) -> Self {
        Self { group: (!is_erased).then_some(&*event.group) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cognito_user_sync_triggers::event::EventId;
    use proptest::prelude::*;

    use super::*;
    use crate::store::model::scrub::IMPERSONAL;

    fn event(millis: u64, change: GroupChange, pool: &'static str) -> GroupEvent<'static> {
        let id = EventId::new(Timestamp::from_unix_millis(1_700_000_000_000 + millis));
        GroupEvent { id, user_pool_id: pool.into(), group: "admins".into(), change }
    }

    #[test]
    fn gone_wins_in_its_second_and_no_longer() {
        let user = Uuid::from_u128(1);
        let (joined, left) = (GroupChange::Joined(user), GroupChange::Left(user));
        for (first, second, gone) in [
            (event(100, left, "p"), event(900, joined, "p"), true),
            (event(999, left, "p"), event(1_000, joined, "p"), false),
            (event(0, joined, "p"), event(999, left, "p"), true),
            (event(1_000, joined, "p"), event(999, left, "p"), false),
        ] {
            for events in [[&first, &second], [&second, &first]] {
                let membership = *fold(events).memberships.get(&(user, "admins")).unwrap();
                assert_eq!(membership.gone, gone, "{events:?}");
                assert_eq!(membership.at.unix_millis() % 1_000, 0);
            }
        }
    }

    #[test]
    fn an_erased_persons_event_names_no_group() {
        let event = event(0, GroupChange::Left(Uuid::from_u128(1)), "p");
        let kept = |is_erased| serde_json::to_value(Kept::of(&event, is_erased)).unwrap();
        assert_eq!(kept(false), serde_json::json!({ "group": "admins" }));
        // As the ledger's statement leaves it.
        let mut scrubbed = kept(false);
        scrubbed.as_object_mut().unwrap().retain(|key, _| IMPERSONAL.contains(&key.as_str()));
        assert_eq!(kept(true), scrubbed);
    }

    proptest! {
        #[test]
        fn the_order_of_events_is_nothing(
            told in proptest::collection::vec((0..3_000_u64, 0..3_u8, 0..2_u128, any::<bool>()), 0..12),
            seed in any::<u64>(),
        ) {
            let event = |(millis, change, user, is_other): &(u64, u8, u128, bool)| {
                let user = Uuid::from_u128(*user);
                let change = match change {
                    0 => GroupChange::Joined(user),
                    1 => GroupChange::Left(user),
                    _ => GroupChange::Deleted,
                };
                event(*millis, change, if *is_other { "q" } else { "p" })
            };
            let events: Vec<_> = told.iter().map(event).collect();
            let mut shuffled = events.clone();
            let at = usize::try_from(seed).unwrap_or_default() % shuffled.len().max(1);
            shuffled.rotate_left(at);
            shuffled.extend(events.iter().rev().cloned());
            prop_assert_eq!(fold(&events), fold(&shuffled));
        }
    }
}
