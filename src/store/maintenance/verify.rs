//! The proof: every derivable column recomputed from the baseline and the ledger, and compared with the rows.
//!
//! Reads one moment (REPEATABLE READ) in bounded memory: the history streams in the order of the users, and
//! each chunk of users is compared in one statement. Who owns an address depends on all users, so that is
//! compared last, over rows that were compared before.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{Row as _, SqlStr};
use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::{Database, Purpose, Transaction};
use crate::store::maintenance::{contexts, groups};
use crate::store::model::claims::{Identifier, IdentifierKind};
use crate::store::model::columns::{Since, UserRow};
use crate::store::model::contexts::Contexts;
use crate::store::model::scrub;
use crate::store::model::state::Delta;
use crate::store::model::user::StoredUser;
use crate::store::tables::context_history;
use crate::store::tables::failure::StoreError;
use crate::store::tables::history::{self, History, Told};
use crate::store::tables::users::{self, ClaimRows};

/// A value that is not what the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The user; nobody (the nil UUID) where a group is meant.
    pub user: Uuid,
    /// The column of `users`; `id` for a row that is missing or too much; `user_claims` with the kind,
    /// `user_sync_memberships` with the group, `user_sync_groups` with pool and group, or `user_sync_context_states`.
    pub column: String,
    /// What the table holds. Personal data: for the operator's eyes.
    pub stored: Option<String>,
    /// What it should hold.
    pub expected: Option<String>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Users with a history of events.
    pub users: u64,
    /// Events of the ledger; those that the baseline stands for are not counted.
    pub events: u64,
    /// Contexts of users in theirs; those that their baseline stands for are not counted.
    pub contexts: u64,
    /// Differences found.
    pub differences: u64,
}

/// Compares everything; calls `found` with each difference and `progress` with the events read so far.
///
/// Reads only. Consumers go on meanwhile: what they do after the start is not seen.
///
/// # Errors
/// When the database cannot be read.
pub async fn verify(
    database: &Database,
    geoip: &GeoIp,
    mut found: impl FnMut(Difference),
    mut progress: impl FnMut(u64),
) -> Result<Verified, StoreError> {
    let failed = StoreError::when("reading the ledger and the rows");
    let (mut tx, mut history) = one_moment(database).await.map_err(&failed)?;
    let mut verified = Verified::default();
    loop {
        let mut told = history.next(&mut tx).await.map_err(&failed)?;
        if told.is_empty() {
            break;
        }
        let with_events = told.values().filter(|told| told.delta.is_some()).count();
        verified.users += u64::try_from(with_events).unwrap_or(u64::MAX);
        for difference in compare(&mut tx, &mut told, geoip).await.map_err(&failed)? {
            verified.differences += 1;
            found(difference);
        }
        progress(history.events);
    }
    (verified.events, verified.contexts) = (history.events, history.contexts);
    for difference in cross_user_differences(&mut tx).await.map_err(&failed)? {
        verified.differences += 1;
        found(difference.difference);
    }
    let mut beside = groups::differences_of_users(&mut tx, None).await.map_err(&failed)?;
    beside.extend(groups::differences_of_groups(&mut tx).await.map_err(&failed)?);
    beside.extend(contexts::without_history(&mut tx).await.map_err(&failed)?);
    for difference in beside {
        verified.differences += 1;
        found(difference);
    }
    Ok(verified)
}

/// A snapshot, with the history that it has. A month that `maintain` drops as a snapshot begins is gone from the ledger at
/// once, and only what comes later finds its events in the baseline: then another one is begun.
pub(super) async fn one_moment(database: &Database) -> Result<(Transaction, History), sqlx::Error> {
    const ATTEMPTS: usize = 10;
    let mut attempts = 1;
    loop {
        let mut tx = database.begin(Purpose::Snapshot).await?;
        let history = History::open(&mut tx, SqlStr::from_static(history::ALL)).await?;
        // The lines are the snapshot's, and the tables are those of now.
        let lacks = "select exists (
                select from user_event_partitions where to_regclass(quote_ident(name)) is null)
            or exists (
                select from user_sync_record_partitions
                where to_regclass(quote_ident('user_sync_contexts_' || name)) is null)";
        let lacks: bool = sqlx::query_scalar(lacks).fetch_one(&mut tx).await?;
        // One that somebody dropped by hand stays away.
        if !lacks || attempts == ATTEMPTS {
            return Ok((tx, history));
        }
        tx.rollback().await?;
        attempts += 1;
    }
}

/// Compares the rows, the claims and the kept contexts of some users with what their history amounts to.
pub(super) async fn compare(
    tx: &mut Transaction,
    told: &mut BTreeMap<Uuid, Told>,
    geoip: &GeoIp,
) -> Result<Vec<Difference>, sqlx::Error> {
    let ids: Vec<Uuid> = told.keys().copied().collect();
    let stored = users::read(tx, &ids).await?;
    let kept = context_history::states(tx, &ids).await?;
    forget_erased(told, &stored);
    contexts::locate(told, &kept, geoip);
    let expected = expected(told, &stored, geoip);
    let rows = users::compare(tx, &expected.iter().map(UserRow::of).collect::<Vec<_>>()).await?;
    let mut differences = read(&rows)?;
    differences.extend(compare_claims(tx, &ids, told).await?);
    differences.extend(contexts::differences(told, &kept)?);
    Ok(differences)
}

async fn compare_claims(
    tx: &mut Transaction,
    ids: &[Uuid],
    told: &BTreeMap<Uuid, Told>,
) -> Result<Vec<Difference>, sqlx::Error> {
    let claims = told.iter().filter_map(|(id, told)| Some((*id, &told.delta.as_ref()?.claims)));
    let claims = ClaimRows::of(claims);
    read(&claims.bind(sqlx::query(include_str!("verify_claims.sql")).bind(ids)).fetch_all(tx).await?)
}

/// A ledger that `erase` has not been through yet must not bring the person back.
pub(super) fn forget_erased(told: &mut BTreeMap<Uuid, Told>, stored: &BTreeMap<Uuid, StoredUser>) {
    for (_, told) in told.iter_mut().filter(|(id, _)| stored.get(id).is_some_and(|user| user.is_erased)) {
        told.delta.iter_mut().for_each(scrub::forget);
        told.contexts.iter_mut().for_each(|contexts| *contexts = Contexts::default());
    }
}

/// The users that histories amount to, in the order of their ids. Of whom only contexts tell, there is none.
pub(super) fn expected(
    told: &BTreeMap<Uuid, Told>,
    stored: &BTreeMap<Uuid, StoredUser>,
    geoip: &GeoIp,
) -> Vec<StoredUser> {
    let user = |(id, told): (&Uuid, &Told)| {
        let contexts = told.contexts.clone().unwrap_or_default();
        Some(expected_user(*id, told.delta.as_ref()?, contexts, stored.get(id), geoip))
    };
    told.iter().filter_map(user).collect()
}

/// The user that a history amounts to. What depends on other users is taken from the stored row.
///
/// A place that was found by the IP address is not in the ledger: without the operator's file it is taken from the
/// stored row, too.
fn expected_user(
    id: Uuid,
    delta: &Delta,
    contexts: Contexts,
    stored: Option<&StoredUser>,
    geoip: &GeoIp,
) -> StoredUser {
    let mut state = delta.state.clone();
    if let Some(login) = &mut state.last_login {
        login.resolve(geoip);
        let stored =
            stored.and_then(|user| user.state.last_login.as_ref()).filter(|stored| stored.id == login.id);
        if let Some(stored) = stored.filter(|_| geoip.is_empty() && login.location.is_none()) {
            login.location.clone_from(&stored.location);
        }
    }
    StoredUser {
        id,
        row_version: stored.map_or(0, |user| user.row_version),
        since: Since::of(&state, &delta.claims),
        state,
        owned: stored.map(|user| user.owned.clone()).unwrap_or_default(),
        referred_by: stored.and_then(|user| user.referred_by),
        is_erased: stored.is_some_and(|user| user.is_erased),
        contexts,
    }
}

/// A difference that no single user's history shows, with the addresses that it is about.
pub(super) struct CrossUserDifference {
    pub(super) difference: Difference,
    pub(super) identifiers: Vec<Identifier>,
}

/// What no single user's history says: rows without any, who owns which address, who referred whom.
pub(super) async fn cross_user_differences(
    tx: &mut Transaction,
) -> Result<Vec<CrossUserDifference>, sqlx::Error> {
    // `not exists`, which is a join; `not in` would look through the ledger for each user.
    // Nor is one that `erase` made to remember a `sub`.
    let orphan_rows = "select id, 'id' as name, id::text as stored, null as expected from users
        where erased_at is null and not exists (select from user_events where user_events.user_id = users.id
              and type not in ('user.group_joined', 'user.group_left', 'group.deleted'))
          and not exists (select from user_baseline where user_baseline.user_id = users.id)";
    let orphan_rows = read(&sqlx::query(orphan_rows).fetch_all(&mut *tx).await?)?;
    let owners = sqlx::query(include_str!("verify_owners.sql")).fetch_all(tx).await?;
    let about = |difference, identifiers| CrossUserDifference { difference, identifiers };
    let mut differences: Vec<_> = orphan_rows.into_iter().map(|row| about(row, Vec::new())).collect();
    for (row, difference) in owners.iter().zip(read(&owners)?) {
        differences.push(about(difference, identifiers(row)?));
    }
    Ok(differences)
}

/// The addresses that a row of `verify_owners.sql` is about.
fn identifiers(row: &PgRow) -> Result<Vec<Identifier>, sqlx::Error> {
    let (kind, values): (String, Vec<String>) = (row.try_get("kind")?, row.try_get("identifiers")?);
    let kind = IdentifierKind::parse(&kind);
    Ok(values.iter().filter_map(|value| Identifier::new(kind?, value)).collect())
}

fn read(rows: &[PgRow]) -> Result<Vec<Difference>, sqlx::Error> {
    let difference = |row: &PgRow| {
        Ok(Difference {
            user: row.try_get("id")?,
            column: row.try_get("name")?,
            stored: row.try_get("stored")?,
            expected: row.try_get("expected")?,
        })
    };
    rows.iter().map(difference).collect()
}
