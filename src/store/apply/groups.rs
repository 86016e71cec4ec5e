//! The path of events of groups: into the ledger and onto the memberships, and never onto a row of `users`.
//!
//! **Invariant:** nothing of an erased person is stored again. So each user's row is locked, or, where there is none, what
//! whoever makes it locks.

use std::collections::BTreeSet;

use cognito_user_sync_triggers::event::{GroupChange, GroupEvent};
use uuid::Uuid;

use crate::postgres::Transaction;
use crate::store::apply::batch::Batch;
use crate::store::model::groups::fold;
use crate::store::tables::failure::Failure;
use crate::store::tables::groups;
use crate::store::tables::ledger::{self, LedgerInsert};

/// Records a batch's events of groups, and returns what became of them.
///
/// # Errors
/// Where somebody holds the row of one of the users, among others.
pub(super) async fn record(tx: &mut Transaction, batch: &Batch<'_>) -> Result<LedgerInsert, Failure> {
    let events = batch.groups.values().copied();
    let users: BTreeSet<Uuid> = events.clone().filter_map(|event| event.change.user()).collect();
    let deleted = events.clone().filter(|event| event.change == GroupChange::Deleted);
    let erased = groups::lock(tx, &users, deleted.map(|event| (&*event.user_pool_id, &*event.group))).await?;
    let is_erased = |event: &GroupEvent<'_>| event.change.user().is_some_and(|user| erased.contains(&user));

    let rows: Vec<(&GroupEvent<'_>, bool)> = events.map(|event| (event, is_erased(event))).collect();
    let mut inserted = ledger::insert_of_groups(tx, &rows).await?;
    // Of a user who is erased, the ledger may have more of an event than is left of the message.
    inserted.take_for_same(rows.iter().filter(|(_, is_erased)| *is_erased).map(|(event, _)| event.id));
    let new = rows.iter().filter(|(event, is_erased)| !is_erased && inserted.is_new(event.id));
    groups::write(tx, &fold(new.map(|(event, _)| *event))).await?;
    Ok(inserted)
}
