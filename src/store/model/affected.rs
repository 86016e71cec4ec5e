//! Which addresses and referral codes a change of some users affects: these need the value locks. Pure.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::store::model::claims::{Identifier, IdentifierKind, Shards};
use crate::store::model::referral;
use crate::store::model::state::{Delta, UserState};
use crate::store::model::user::StoredUser;

/// The addresses and referral codes that a change affects.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct AffectedKeys {
    /// Addresses that are shown, left or taken.
    pub(in crate::store) identifiers: BTreeSet<Identifier>,
    /// Codes that sign-ups came with.
    pub(in crate::store) sign_up_codes: BTreeSet<String>,
    /// Codes of users who are new: earlier sign-ups may have been waiting for them.
    pub(in crate::store) new_codes: BTreeSet<String>,
}

impl AffectedKeys {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.identifiers.is_empty() && self.sign_up_codes.is_empty() && self.new_codes.is_empty()
    }

    /// Whether `other` affects nothing but what this does, new users' codes aside: who was new before the locks has a
    /// row under them.
    pub(in crate::store) fn contains(&self, other: &Self) -> bool {
        self.identifiers.is_superset(&other.identifiers)
            && self.sign_up_codes.is_superset(&other.sign_up_codes)
    }

    /// The locks that whoever changes these must hold.
    pub(in crate::store) fn shards(&self) -> Shards {
        let mut shards = Shards::default();
        self.identifiers.iter().for_each(|identifier| shards.add_identifier(identifier));
        self.sign_up_codes.union(&self.new_codes).for_each(|code| shards.add_referral_code(code));
        shards
    }

    pub(in crate::store) fn kinds_and_values(&self) -> (Vec<&'static str>, Vec<&str>) {
        self.identifiers
            .iter()
            .map(|identifier| (identifier.kind.as_str(), identifier.value.as_str()))
            .unzip()
    }
}

/// The addresses and referral codes that the batch affects: none, for logins that show what is known.
pub(in crate::store) fn affected_keys(
    stored: &BTreeMap<Uuid, StoredUser>,
    deltas: &BTreeMap<Uuid, Delta>,
) -> AffectedKeys {
    let mut keys = AffectedKeys::default();
    for (id, delta) in deltas {
        match stored.get(id) {
            None => {
                keys.new_codes.insert(referral::referral_code(*id));
                keys.sign_up_codes.extend(sign_up_code(&delta.state));
                keys.identifiers.extend(delta.claims.keys().cloned());
            }
            Some(user) if cannot_affect_keys(user, delta) => {}
            Some(user) => {
                let mut merged = user.state.clone();
                merged.merge(delta.state.clone());
                if changes_claims(user, &merged, delta) {
                    let held = IdentifierKind::ALL.into_iter().flat_map(|kind| {
                        [user.state.identifier(kind), merged.identifier(kind)].into_iter().flatten()
                    });
                    keys.identifiers.extend(held.map(|(identifier, _)| identifier));
                    keys.identifiers.extend(shown_and_gone(user));
                    keys.identifiers.extend(delta.claims.keys().cloned());
                }
                if sign_up_code(&merged) != sign_up_code(&user.state) {
                    // Both: the smallest confirmation may turn out to have come without a code.
                    keys.sign_up_codes.extend(sign_up_code(&user.state));
                    keys.sign_up_codes.extend(sign_up_code(&merged));
                }
            }
        }
    }
    keys
}

pub(in crate::store) fn sign_up_code(state: &UserState) -> Option<String> {
    state.sign_up.as_ref()?.referral_code.clone()
}

/// Whether anybody's claim on an address changes: what the user may hold as its own, since when, or whether it left.
fn changes_claims(user: &StoredUser, merged: &UserState, delta: &Delta) -> bool {
    let differs = |kind| {
        merged.identifier(kind) != user.state.identifier(kind)
            || merged.claimable(kind) != user.state.claimable(kind)
            || merged.left(kind) != user.state.left(kind)
    };
    IdentifierKind::ALL.into_iter().any(differs)
        || makes_claims(user, delta)
        || shown_and_gone(user).next().is_some()
}

/// Addresses that the row shows and the user no longer has: an older release applied an event from before the user was read
/// whole.
fn shown_and_gone(user: &StoredUser) -> impl Iterator<Item = Identifier> {
    IdentifierKind::ALL.into_iter().filter_map(|kind| {
        let is_gone = !user.state.registers.contains_key(kind.attribute());
        Identifier::new(kind, user.owned.get(kind).filter(|_| is_gone)?)
    })
}

/// Whether any address was shown that the user does not hold, or for longer than is known.
fn makes_claims(user: &StoredUser, delta: &Delta) -> bool {
    delta.claims.iter().any(|(identifier, claim)| {
        let is_held = user.state.identifier(identifier.kind).is_some_and(|(held, _)| held == *identifier);
        !(is_held && claim.is_within(user.since.get(identifier.kind)))
    })
}

/// Whether the change leaves addresses and the sign-up as they are, judged without merging. `false` says nothing.
fn cannot_affect_keys(user: &StoredUser, delta: &Delta) -> bool {
    let is_held = |kind: IdentifierKind| {
        let [reported, held] = [&delta.state, &user.state].map(|state| state.registers.get(kind.attribute()));
        reported.is_none_or(|reported| {
            held.is_some_and(|held| {
                (&held.value, &held.flag) == (&reported.value, &reported.flag) && reported.left <= held.left
            })
        })
    };
    // Who reads the whole user removes what is not mentioned.
    delta.state.whole.is_none()
        && delta.state.deletions.is_empty()
        && delta.state.sign_up.is_none()
        && IdentifierKind::ALL.into_iter().all(is_held)
        && !makes_claims(user, delta)
        && shown_and_gone(user).next().is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cognito_user_sync_triggers::event::{Data, EventId, Kind, UserEvent};
    use proptest::prelude::*;

    use super::*;

    /// What some events of one user amount to. Several show the same addresses, some of which nobody can claim.
    fn delta() -> impl Strategy<Value = Delta> {
        let address =
            proptest::sample::select(vec![String::new(), "a@x".into(), "A@x".into(), "b".repeat(513)]);
        let attribute = |name: &'static str, values: BoxedStrategy<String>| {
            proptest::option::of(values).prop_map(move |value| value.map(|value| (name.into(), value.into())))
        };
        let flag = proptest::sample::select(vec!["true".to_owned(), "false".to_owned()]);
        let kind = proptest::sample::select(vec![
            Kind::Authenticated,
            Kind::Authenticated,
            Kind::Snapshot,
            Kind::Confirmed,
            Kind::Deleted,
            Kind::Restored,
        ]);
        let attributes = (attribute("email", address.boxed()), attribute("email_verified", flag.boxed()));
        let event = (kind, attributes, 0..4_u64, any::<[u8; 10]>(), any::<bool>());
        let event = event.prop_map(|(kind, (email, verified), second, bytes, partial)| {
            let millis = 1_700_000_000_000 + second * 1_000;
            let id = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
            let attributes = email.into_iter().chain(verified).collect();
            let data = Data { attributes, partial, ..Data::default() };
            let (id, user_pool_id) = (EventId::from_uuid(id).unwrap(), "eu-west-1_Test00000".into());
            Delta::of(&UserEvent { id, user_pool_id, sub: Uuid::nil(), kind, data })
        });
        proptest::collection::vec(event, 1..4).prop_map(|deltas| {
            let merged = deltas.into_iter().reduce(|mut all, delta| {
                all.merge(delta);
                all
            });
            merged.unwrap()
        })
    }

    /// Somebody of whom this is known, and who owns nothing.
    fn stored(known: &Delta) -> StoredUser {
        let since = crate::store::model::columns::Since::of(&known.state, &known.claims);
        let (id, row_version, owned, referred_by, is_erased, contexts) = Default::default();
        let state = known.state.clone();
        StoredUser { id, row_version, state, owned, since, referred_by, is_erased, contexts }
    }

    proptest! {
        #[test]
        fn what_cannot_affect_keys_changes_no_claim_and_no_sign_up(known in delta(), reported in delta()) {
            let user = stored(&known);
            let mut merged = user.state.clone();
            merged.merge(reported.state.clone());
            if cannot_affect_keys(&user, &reported) {
                prop_assert!(!changes_claims(&user, &merged, &reported));
                prop_assert_eq!(sign_up_code(&merged), sign_up_code(&user.state));
            }
            // The usual case: a login that reports the same again.
            let mut again = known;
            (again.state.sign_up, again.state.whole) = (None, None);
            if again.state.deletions.is_empty() && again.claims.len() == user_holds(&user) {
                prop_assert!(cannot_affect_keys(&user, &again));
            }
        }
    }

    proptest! {
        /// Whoever loses an address or gets one is locked for it, though the events do not name what is gone.
        #[test]
        fn what_is_held_before_and_after_is_affected(known in delta(), reported in delta()) {
            let user = stored(&known);
            let mut merged = user.state.clone();
            merged.merge(reported.state.clone());
            let before = user.state.claimable(IdentifierKind::Email);
            let after = merged.claimable(IdentifierKind::Email);
            let keys = affected_keys(&BTreeMap::from([(user.id, user)]), &BTreeMap::from([(Uuid::nil(), reported)]));
            let is_locked = |held: &(Identifier, bool)| keys.identifiers.contains(&held.0);
            if before != after {
                prop_assert!([before, after].iter().flatten().all(is_locked));
            }
        }
    }

    fn user_holds(user: &StoredUser) -> usize {
        IdentifierKind::ALL.into_iter().filter_map(|kind| user.state.identifier(kind)).count()
    }
}
