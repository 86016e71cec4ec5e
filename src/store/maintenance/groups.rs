//! Who is in which group, against the ledger: what differs, and how it is repaired.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::postgres::{Database, Purpose, Transaction};
use crate::store::maintenance::verify::Difference;
use crate::store::model::groups::{Membership, NOBODY, Reported};
use crate::store::tables::failure::{Failure, OF_A_COMMAND, retry_conflicts};
use crate::store::tables::groups::{self, Word, WrongGroup, WrongMembership};

/// Users that one transaction of a repair takes: each reads the ledger once.
const REPAIR_USERS: usize = 10_000;

/// Where memberships are not what the ledger says: of some users, or of all.
pub(super) async fn differences_of_users(
    tx: &mut Transaction,
    users: Option<&[Uuid]>,
) -> Result<Vec<Difference>, sqlx::Error> {
    let wrong = groups::wrong_memberships(tx, users).await?;
    let text = |word: &Word| {
        let Word { user_pool_id, at, gone } = word;
        format!("{} at {at}, in {user_pool_id}", if *gone { "gone" } else { "a member" })
    };
    let difference = |WrongMembership { user, name, stored, expected }: &WrongMembership| Difference {
        user: *user,
        column: format!("user_sync_memberships {name}"),
        stored: stored.as_ref().map(text),
        expected: expected.as_ref().map(text),
    };
    Ok(wrong.iter().map(difference).collect())
}

/// Where the deletions of groups are not what the ledger says. They are of no user.
pub(super) async fn differences_of_groups(tx: &mut Transaction) -> Result<Vec<Difference>, sqlx::Error> {
    let difference = |WrongGroup { user_pool_id, name, stored, expected }: &WrongGroup| Difference {
        user: NOBODY,
        column: format!("user_sync_groups {user_pool_id} {name}"),
        stored: stored.map(|at| at.to_string()),
        expected: expected.map(|at| at.to_string()),
    };
    Ok(groups::wrong_groups(tx).await?.iter().map(difference).collect())
}

/// Writes what the ledger says where something else is stored.
///
/// Consumers go on meanwhile: what a transaction is about is locked before the ledger is read.
pub(super) async fn repair(database: &Database) -> Result<(), Failure> {
    let mut tx = begin(database, Purpose::Snapshot).await?;
    let users = groups::wrong_memberships(&mut tx, None).await?.into_iter().map(|wrong| wrong.user);
    let users: BTreeSet<Uuid> = users.collect();
    let wrong = groups::wrong_groups(&mut tx).await?;
    tx.rollback().await?;
    for chunk in users.into_iter().collect::<Vec<_>>().chunks(REPAIR_USERS) {
        let users: BTreeSet<Uuid> = chunk.iter().copied().collect();
        retry_conflicts(OF_A_COMMAND, || repair_memberships(database, &users)).await?;
    }
    if wrong.is_empty() {
        return Ok(());
    }
    retry_conflicts(OF_A_COMMAND, || repair_groups(database, &wrong)).await
}

async fn repair_memberships(database: &Database, users: &BTreeSet<Uuid>) -> Result<(), Failure> {
    let mut tx = begin(database, Purpose::Command).await?;
    groups::lock(&mut tx, users, []).await?;
    let ids: Vec<Uuid> = users.iter().copied().collect();
    let wrong = groups::wrong_memberships(&mut tx, Some(&ids)).await?;
    groups::remove(&mut tx, &wrong, &[]).await?;
    let expected = wrong.iter().filter_map(|WrongMembership { user, name, expected, .. }| {
        let Word { user_pool_id, at, gone } = expected.as_ref()?;
        Some(((*user, name.as_str()), Membership { at: *at, gone: *gone, user_pool_id }))
    });
    groups::write(&mut tx, &Reported { memberships: expected.collect(), ..Reported::default() }).await?;
    Ok(tx.commit().await?)
}

async fn repair_groups(database: &Database, known: &[WrongGroup]) -> Result<(), Failure> {
    let mut tx = begin(database, Purpose::Command).await?;
    let key = |wrong: &WrongGroup| (wrong.user_pool_id.clone(), wrong.name.clone());
    let known_keys: BTreeSet<(String, String)> = known.iter().map(key).collect();
    let locked = known_keys.iter().map(|(user_pool_id, name)| (user_pool_id.as_str(), name.as_str()));
    groups::lock(&mut tx, &BTreeSet::new(), locked).await?;
    let mut wrong = groups::wrong_groups(&mut tx).await?;
    wrong.retain(|group| known_keys.contains(&key(group)));
    groups::remove(&mut tx, &[], &wrong).await?;
    let expected = wrong.iter().filter_map(|WrongGroup { user_pool_id, name, expected, .. }| {
        Some(((user_pool_id.as_str(), name.as_str()), (*expected)?))
    });
    groups::write(&mut tx, &Reported { cleared: expected.collect(), ..Reported::default() }).await?;
    Ok(tx.commit().await?)
}

/// A transaction that may read the whole ledger.
async fn begin(database: &Database, purpose: Purpose) -> Result<Transaction, sqlx::Error> {
    let mut tx = database.begin(purpose).await?;
    sqlx::query("set local statement_timeout = 0").execute(&mut tx).await?;
    Ok(tx)
}
