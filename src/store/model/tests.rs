//! The fold against its rules, told plainly over a whole set of events: random histories of one user, merged in random
//! trees, with ties in time, and stored as the baseline stores them in between.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use cognito_user_sync_triggers::event::{Data, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use crate::store::model::claims::{Claim, Identifier, IdentifierKind};
use crate::store::model::deletions::Deletions;
use crate::store::model::state::{Delta, STATUS, USER_POOL_ID};

/// Some can be claimed, some are the same one, and some cannot be.
const VALUES: [&str; 5] = ["a@x.test", "A@x.test", "b@x.test", "", "c@x.test"];

/// Words for a status: all of Cognito's, one of tomorrow's, one that is written otherwise, and none.
const STATUSES: [&str; 10] = [
    "CONFIRMED",
    "UNCONFIRMED",
    "FORCE_CHANGE_PASSWORD",
    "RESET_REQUIRED",
    "ARCHIVED",
    "COMPROMISED",
    "UNKNOWN",
    "EXTERNAL_PROVIDER",
    "confirmed",
    "",
];

#[derive(Debug, Clone)]
struct Told {
    event: UserEvent<'static>,
    /// Which of the deltas so far it is merged with, and whether these are stored before.
    joins: u16,
    is_stored: bool,
}

fn history() -> impl Strategy<Value = Vec<Told>> {
    let value = proptest::option::weighted(0.7, proptest::sample::select(VALUES.to_vec()));
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    let word = proptest::option::weighted(0.9, proptest::sample::select(STATUSES.to_vec()));
    let name = proptest::option::of(proptest::sample::select(vec!["Ada", ""]));
    let flags = any::<(bool, bool, bool, bool)>();
    let told = (kind, 0..6_u64, any::<[u8; 10]>(), value, (word, name), flags, any::<u16>());
    let told = told.prop_map(|(kind, second, bytes, value, (word, name), flags, joins)| {
        let (is_verified, is_stored, partial, federated) = flags;
        let millis = 1_700_000_000_000 + second * 1_000;
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
        let status = word.map(Into::into);
        let mut data = Data { status, federated, partial, ..Data::default() };
        data.attributes.extend(name.map(|name| ("name".into(), name.into())));
        data.attributes.extend(is_stored.then(|| ("cognito:email_alias".into(), "a@x.test".into())));
        data.attributes.extend(value.map(|value| ("email".into(), value.into())));
        if is_verified {
            data.attributes.insert("email_verified".into(), "true".into());
        }
        let (id, user_pool_id) = (EventId::from_uuid(id).unwrap(), "eu-west-1_Test00000".into());
        let event = UserEvent { id, user_pool_id, sub: Uuid::nil(), kind, data };
        Told { event, joins, is_stored }
    });
    proptest::collection::vec(told, 1..12)
}

/// As it is after a month was folded into the baseline.
fn stored(mut delta: Delta) -> Delta {
    delta.state = serde_json::from_str(&serde_json::to_string(&delta.state).unwrap()).unwrap();
    delta
}

/// All deltas of a history, merged two by two.
fn folded(history: &[Told]) -> Delta {
    let mut deltas: Vec<Delta> = history.iter().map(|told| Delta::of(&told.event)).collect();
    for told in history.iter().skip(1) {
        let other = deltas.swap_remove(usize::from(told.joins) % deltas.len());
        let at = usize::from(told.joins >> 8) % deltas.len();
        let mut own = deltas.swap_remove(at);
        own.merge(other);
        deltas.push(if told.is_stored { stored(own) } else { own });
    }
    deltas.pop().unwrap()
}

fn is_whole(event: &UserEvent<'_>) -> bool {
    event.kind == Kind::Snapshot && !event.data.partial
}

fn shown(event: &UserEvent<'_>) -> Option<Identifier> {
    Identifier::new(IdentifierKind::Email, event.data.attributes.get("email")?)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn claims_are_a_function_of_the_set_of_events(history in history()) {
        let delta = folded(&history);
        let events: Vec<&UserEvent<'_>> = history.iter().map(|told| &told.event).collect();
        let is_verified = |event: &UserEvent<'_>| event.data.attributes.contains_key("email_verified");
        let values: BTreeSet<Identifier> = events.iter().filter_map(|event| shown(event)).collect();
        prop_assert_eq!(delta.claims.keys().cloned().collect::<BTreeSet<_>>(), values.clone());
        for value in &values {
            let shown = || events.iter().filter(|event| shown(event).as_ref() == Some(value));
            let first = shown().map(|event| event.id.time()).min();
            let since = shown().filter(|event| is_verified(event)).map(|event| event.id.time()).min();
            prop_assert_eq!(delta.claims.get(value), Some(&Claim { since, shown: first }));
        }
        let says =
            || events.iter().filter(|event| event.data.attributes.contains_key("email") || is_whole(event));
        let held = says().max_by_key(|event| event.id).and_then(|event| shown(event));
        let otherwise = says().filter(|event| shown(event) != held).map(|event| event.id.time()).max();
        let left: Option<Timestamp> = held.and(otherwise);
        prop_assert_eq!(delta.state.left(IdentifierKind::Email), left);
    }

    #[test]
    fn registers_are_a_function_of_the_set_of_events(history in history()) {
        let state = folded(&history).state;
        let mut events: Vec<&UserEvent<'_>> = history.iter().map(|told| &told.event).collect();
        events.sort_by_key(|event| event.id);
        let whole = events.iter().filter(|event| is_whole(event)).map(|event| event.id).max();
        prop_assert_eq!(state.whole, whole);
        let register = |name: &str| state.registers.get(name).map(|own| (own.version, own.value.as_str()));
        for name in ["email", "name"] {
            let told = events.iter().rev().find(|event| event.data.attributes.contains_key(name) || is_whole(event));
            let told = told.and_then(|event| Some((event.id, event.data.attributes.get(name)?.as_str())));
            prop_assert_eq!(register(name), told, "{}", name);
        }
        prop_assert_eq!(register("cognito:email_alias"), None);
        prop_assert_eq!(register(USER_POOL_ID).map(|(version, _)| Some(version)), Some(events.last().map(|event| event.id)));
        let status = |event: &&UserEvent<'_>| {
            let word = event.data.status.as_deref().unwrap_or_default().to_owned();
            let proven = matches!(event.kind, Kind::Authenticated | Kind::Confirmed | Kind::PasswordReset);
            let word = match word.as_str() {
                "EXTERNAL_PROVIDER" if proven || event.kind == Kind::Snapshot => word,
                _ if proven && event.data.federated => "EXTERNAL_PROVIDER".to_owned(),
                "confirmed" if proven => word,
                _ if proven => "CONFIRMED".to_owned(),
                "" | "UNKNOWN" => return None,
                _ if event.kind == Kind::Snapshot => word,
                _ => return None,
            };
            Some((event.id, word))
        };
        let status = events.iter().rev().find_map(status);
        prop_assert_eq!(register(STATUS).map(|(id, word)| (id, word.to_owned())), status);
    }

    #[test]
    fn deletions_are_a_function_of_the_set_of_events(history in history()) {
        let times = |kind: Kind| {
            history.iter().filter(move |told| told.event.kind == kind).map(|told| told.event.id.time())
        };
        let (deleted, restored) = (|| times(Kind::Deleted), times(Kind::Restored).max());
        let expected = match restored {
            None => deleted().min(),
            Some(restored) => deleted().max().filter(|last| *last > restored),
        };
        let delta = folded(&history);
        prop_assert_eq!(delta.state.deleted_at(), expected);
        // As its row says it again.
        let Delta { state, .. } = delta;
        let stored = Deletions::stored(
            state.deleted_at(),
            state.deletions.last_deleted_at(),
            state.deletions.restored_at(),
        );
        prop_assert_eq!(stored, state.deletions);
    }
}

/// An older release knew the earliest deletion alone.
#[test]
fn an_older_baseline_is_read() {
    let at = |second: u64| Timestamp::from_unix_millis(second * 1_000);
    let read = |json: serde_json::Value| serde_json::from_value::<Deletions>(json).unwrap();
    let mut old = read(serde_json::json!({ "deleted_at": at(5) }));
    assert_eq!((old.deleted_at(), old.last_deleted_at()), (Some(at(5)), None));
    for (restored, expected) in [(4, Some(at(5))), (5, None)] {
        let mut merged = read(serde_json::json!({ "deleted_at": null, "restored_at": at(restored) }));
        merged.merge(old);
        assert_eq!(merged.deleted_at(), expected);
    }
    old.merge(Deletions::at(Some(at(7))));
    assert_eq!((old.deleted_at(), old.last_deleted_at()), (Some(at(5)), Some(at(7))));
}
