//! Writes users whom events changed, and settles who owns an address and who referred whom.
//!
//! The only place that does either: the apply, the adoption of an old table, erasure and repair call it. The caller holds
//! the locks. Must not know why a user changed.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::postgres::Transaction;
use crate::store::locks;
use crate::store::model::affected::{AffectedKeys, sign_up_code};
use crate::store::model::claims::{Claim, Claimant, Identifier, IdentifierKind};
use crate::store::model::columns::UserRow;
use crate::store::model::state::Delta;
use crate::store::model::user::StoredUser;
use crate::store::tables::failure::Failure;
use crate::store::tables::{referrals, users};

/// Users by their id.
type Users = BTreeMap<Uuid, StoredUser>;

/// Merges changes that affect no address and no referral code: nobody is new. The rows are locked.
pub(in crate::store) async fn merge_users(
    tx: &mut Transaction,
    mut stored: Users,
    deltas: BTreeMap<Uuid, Delta>,
) -> Result<(), Failure> {
    let mut changed = Vec::with_capacity(deltas.len());
    for (id, delta) in deltas {
        let mut user = stored.remove(&id).ok_or_else(Failure::recheck)?;
        user.state.merge(delta.state);
        changed.push(user);
    }
    let rows: Vec<UserRow<'_>> = changed.iter().map(UserRow::of).collect();
    Ok(users::write(tx, &rows).await?)
}

/// Merges sign-ups, deletions and changed addresses, under the value locks: `before` holds every row that may be touched,
/// locked. Records the claims; then the losers release their addresses and the winners acquire them.
pub(in crate::store) async fn merge_users_and_keys(
    tx: &mut Transaction,
    before: Users,
    deltas: &BTreeMap<Uuid, Delta>,
    keys: &AffectedKeys,
) -> Result<(), Failure> {
    let claims = deltas.iter().map(|(id, delta)| (*id, &delta.claims)).collect();
    let recorded = users::upsert_claims(tx, &claims).await?;
    let mut after = before.clone();
    for (id, delta) in deltas {
        let user = after.get_mut(id).ok_or_else(Failure::recheck)?;
        merge_user(user, delta, |identifier| recorded.get(&(*id, identifier)).copied());
    }
    assign(&mut after, &keys.identifiers);

    let losers = losers(&before, &after);
    if !losers.is_empty() {
        users::release(tx, &losers).await?;
    }
    let rows: Vec<UserRow<'_>> = deltas.keys().filter_map(|id| after.get(id)).map(UserRow::of).collect();
    users::write(tx, &rows).await?;
    let winners = winners(&before, &after, |id| !deltas.contains_key(&id));
    if !winners.is_empty() {
        users::acquire(tx, &winners).await?;
    }
    let ids: Vec<Uuid> = deltas.keys().copied().collect();
    referrals::resolve(tx, &ids, keys).await?;
    Ok(())
}

/// Assigns addresses to their owners again, whatever the rows show now.
pub(in crate::store) async fn reassign(tx: &mut Transaction, keys: &AffectedKeys) -> Result<(), Failure> {
    locks::lock_shards(tx, &keys.shards()).await?;
    reassign_locked(tx, keys).await
}

/// The same, under the value locks.
pub(in crate::store) async fn reassign_locked(
    tx: &mut Transaction,
    keys: &AffectedKeys,
) -> Result<(), Failure> {
    let stored = users::lock_affected(tx, &[], keys).await?.all()?;
    merge_users_and_keys(tx, stored, &BTreeMap::new(), keys).await
}

/// Merges a change into a user. `recorded` is the claim on an address that the change showed.
fn merge_user(user: &mut StoredUser, delta: &Delta, recorded: impl Fn(Identifier) -> Option<Claim>) {
    let code_before = sign_up_code(&user.state);
    user.state.merge(delta.state.clone());
    if sign_up_code(&user.state) != code_before {
        user.referred_by = None;
    }
    for kind in IdentifierKind::ALL {
        let held = user.state.identifier(kind).map(|(identifier, _)| identifier);
        match held.map(&recorded) {
            None => user.since.set(kind, Claim::default()),
            Some(Some(claim)) => user.since.set(kind, claim),
            // Not shown by this batch: the address is the one that was held, and so is the claim.
            Some(None) => {}
        }
    }
}

/// Gives each address to the greatest of its claimants, and takes it from the others.
fn assign(users: &mut Users, identifiers: &BTreeSet<Identifier>) {
    let mut owners = BTreeMap::<Identifier, Claimant>::new();
    for (id, user) in users.iter() {
        for kind in IdentifierKind::ALL {
            if let Some((identifier, verified)) = user.state.claimable(kind) {
                let claimant = Claimant::new(*id, verified, user.since.get(kind), user.state.left(kind));
                let owner = owners.entry(identifier).or_insert(claimant);
                *owner = claimant.max(*owner);
            }
        }
    }
    for (id, user) in users.iter_mut() {
        for kind in IdentifierKind::ALL {
            let claimed = user.state.claimable(kind).map(|(identifier, _)| identifier);
            match claimed {
                // Another value's claimants were not read: whoever owned it still does.
                Some(identifier) if !identifiers.contains(&identifier) => {}
                Some(identifier) => {
                    let owns = owners.get(&identifier).is_some_and(|owner| owner.sub() == *id);
                    user.owned.set(kind, owns.then_some(identifier.value));
                }
                None => user.owned.set(kind, None),
            }
        }
    }
}

/// Every user and kind of address of which the owner changed: the user, what it owned, what it owns.
fn reassigned<'a>(
    before: &'a Users,
    after: &'a Users,
) -> impl Iterator<Item = (Uuid, IdentifierKind, Option<&'a str>, Option<&'a str>)> {
    after.iter().filter_map(|(id, user)| Some((*id, before.get(id)?, user))).flat_map(|(id, was, is)| {
        let owned = move |kind| (id, kind, was.owned.get(kind), is.owned.get(kind));
        IdentifierKind::ALL.into_iter().map(owned).filter(|(_, _, old, new)| old != new)
    })
}

/// Who owned an address and owns it no more.
fn losers(before: &Users, after: &Users) -> BTreeMap<IdentifierKind, Vec<Uuid>> {
    let mut losers = BTreeMap::<IdentifierKind, Vec<Uuid>>::new();
    for (id, kind, _, _) in reassigned(before, after).filter(|(_, _, old, _)| old.is_some()) {
        losers.entry(kind).or_default().push(id);
    }
    losers
}

/// Who owns another address than before, of the users whom `is_among` names.
fn winners(before: &Users, after: &Users, is_among: impl Fn(Uuid) -> bool) -> Vec<(Identifier, Uuid)> {
    let won = reassigned(before, after).filter(|(id, ..)| is_among(*id));
    won.filter_map(|(id, kind, _, new)| Some((Identifier { kind, value: new?.to_owned() }, id))).collect()
}
