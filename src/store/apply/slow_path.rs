//! The slow path, which takes every event: it reads the users, folds the events, locks what may be touched, inserts the
//! events into the ledger and merges those that are new into the rows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::event::UserEvent;
use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::Transaction;
use crate::store::apply::batch::Batch;
use crate::store::model::affected::{AffectedKeys, affected_keys};
use crate::store::model::claims::Identifier;
use crate::store::model::scrub::scrub;
use crate::store::model::state::{self, Delta};
use crate::store::model::user::StoredUser;
use crate::store::tables::failure::Failure;
use crate::store::tables::ledger::{self, LedgerInsert};
use crate::store::tables::users;
use crate::store::{locks, merge};

/// How many bytes of rows one transaction reads, as far as their attributes go: it holds some six copies of each. Together
/// with the limit of what is received, 256 MB suffice for a worker with two batches at once, and 512 MB for a function.
const ROWS_MAX_BYTES: usize = 4 * 1_048_576;

/// Users whose rows fit whatever they hold, as far as Cognito fills them: 100 attributes of 2,048 characters at most
/// ("Quotas in Amazon Cognito").
const NOT_ASKED: usize = 8;

/// What each user's events amount to.
type Deltas = BTreeMap<Uuid, Delta>;

/// Records a batch's events, and returns what became of them.
pub(super) async fn record(
    tx: &mut Transaction,
    batch: &Batch<'_>,
    geoip: &GeoIp,
) -> Result<LedgerInsert, Failure> {
    let users: BTreeSet<Uuid> = batch.users.values().map(|event| event.sub).collect();
    let users: Vec<Uuid> = users.into_iter().collect();
    if users.len() > NOT_ASKED && !batch.is_divided {
        divide(&users, &users::sizes(tx, &users).await?)?;
    }
    let read = users::read(tx, &users).await?;
    let erased = users::erased(&read);
    let scrubbed: Vec<Cow<'_, UserEvent<'_>>> =
        batch.users.values().copied().map(|event| scrub_if_erased(event, &erased)).collect();
    let events: Vec<&UserEvent<'_>> = scrubbed.iter().map(AsRef::as_ref).collect();
    // Locked for all of the events: which of them are new is known when the ledger has taken them.
    let reported = state::fold(events.iter().copied(), geoip);
    let new: Vec<Uuid> = reported.keys().filter(|id| !read.contains_key(id)).copied().collect();
    let keys = affected_keys(&read, &reported);
    let (stored, nobody_changed) = lock(tx, read, &reported, &keys).await?;
    users::recheck_erased(&stored, &erased, users)?;

    let mut inserted = ledger::insert(tx, &events).await?;
    // Of a user who is erased, the ledger may have more of an event than is left of the message.
    inserted.take_for_same(events.iter().filter(|event| erased.contains(&event.sub)).map(|event| event.id));
    let deltas = match inserted.had_any() {
        true => state::fold(events.into_iter().filter(|event| inserted.is_new(event.id)), geoip),
        false => reported,
    };
    // A row is for a user of whom the ledger has an event: not for one whose events were another's.
    if new.iter().any(|id| !deltas.contains_key(id)) {
        return Err(Failure::AlreadyRecorded(Box::new(inserted)));
    }
    // Asked again under the locks, unless nothing that the answer depends on has changed: what is affected now and was
    // not before is not locked, and may be another batch's business at this moment.
    let need_not_ask = nobody_changed && !inserted.had_any();
    if !need_not_ask && !keys.contains(&affected_keys(&stored, &deltas)) {
        return Err(if inserted.had_any() {
            Failure::AlreadyRecorded(Box::new(inserted))
        } else {
            Failure::recheck()
        });
    }
    if deltas.is_empty() {
        return Ok(inserted);
    }
    match keys.is_empty() {
        true => merge::merge_users(tx, stored, deltas).await?,
        false => merge::merge_users_and_keys(tx, stored, &deltas, &keys).await?,
    }
    Ok(inserted)
}

/// Divides users whose rows are larger than one transaction reads; those without a row are small.
///
/// # Errors
/// The parts, if there are several: [`Failure::TooLarge`].
fn divide(users: &[Uuid], sizes: &BTreeMap<Uuid, usize>) -> Result<(), Failure> {
    let (mut parts, mut bytes) = (vec![BTreeSet::new()], 0);
    for user in users {
        let size = sizes.get(user).copied().unwrap_or_default();
        if bytes + size > ROWS_MAX_BYTES && bytes > 0 {
            parts.push(BTreeSet::new());
            bytes = 0;
        }
        bytes += size;
        parts.last_mut().into_iter().for_each(|part| part.extend([*user]));
    }
    if parts.len() > 1 { Err(Failure::TooLarge(parts)) } else { Ok(()) }
}

fn scrub_if_erased<'a, 'e>(event: &'a UserEvent<'e>, erased: &BTreeSet<Uuid>) -> Cow<'a, UserEvent<'e>> {
    match erased.contains(&event.sub) {
        true => Cow::Owned(scrub(event)),
        false => Cow::Borrowed(event),
    }
}

/// Locks every row that the events may touch, those of new users among them, but for those who wait for a referrer. Returns
/// the rows, and whether they are as they were read.
///
/// # Errors
/// Where somebody holds one of the rows. No address is assigned while a claimant is missing.
async fn lock(
    tx: &mut Transaction,
    read: BTreeMap<Uuid, StoredUser>,
    reported: &Deltas,
    keys: &AffectedKeys,
) -> Result<(BTreeMap<Uuid, StoredUser>, bool), Failure> {
    if keys.is_empty() {
        return users::lock_read(tx, read).await;
    }
    locks::lock_shards(tx, &keys.shards()).await?;
    let new = reported.iter().filter(|(id, _)| !read.contains_key(id)).map(|(id, delta)| (*id, delta));
    users::insert_skeletons(tx, &new.collect()).await?;
    let users: Vec<Uuid> = reported.keys().copied().collect();
    let locked = users::lock_affected(tx, &users, keys).await?;
    if locked.held.is_empty() {
        return Ok((locked.users, false));
    }
    let addresses = users::addresses(tx, &locked.held).await?;
    Err(Failure::Held(who_touch(&locked.held, &addresses, &read, reported)))
}

/// The users of the batch who cannot go on while somebody holds these rows: their own, or one that holds or shows an
/// address of theirs.
fn who_touch(
    held: &BTreeSet<Uuid>,
    addresses: &BTreeSet<Identifier>,
    read: &BTreeMap<Uuid, StoredUser>,
    reported: &Deltas,
) -> BTreeSet<Uuid> {
    let touches = |(id, delta): (&Uuid, &Delta)| {
        let read = read.get(id).map(|user| (*id, user.clone())).into_iter().collect();
        let keys = affected_keys(&read, &Deltas::from([(*id, delta.clone())]));
        (held.contains(id) || !keys.identifiers.is_disjoint(addresses)).then_some(*id)
    };
    reported.iter().filter_map(touches).collect()
}
