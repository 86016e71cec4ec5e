//! Repairs rows that differ from what the ledger says, and writes selected rows again from their history.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::{Database, Purpose, Transaction};
use crate::store::maintenance::verify::{
    CrossUserDifference, cross_user_differences, expected, forget_erased, one_moment,
};
use crate::store::maintenance::{contexts, groups};
use crate::store::merge;
use crate::store::model::affected::AffectedKeys;
use crate::store::model::columns::UserRow;
use crate::store::model::contexts::Contexts;
use crate::store::model::user::StoredUser;
use crate::store::tables::failure::{Failure, OF_A_COMMAND, StoreError, retry_conflicts};
use crate::store::tables::history::Told;
use crate::store::tables::refusal::all_written;
use crate::store::tables::{context_history, history, users};

/// Users that one transaction of a repair takes. For more of them, the ledger is read once for all, and not once for each
/// such transaction.
const REPAIR_USERS: usize = 1_000;

/// Repairs the rows, the claims and the kept contexts of `users` from their history, then gives every address and referral its due, and writes
/// who is in which group.
///
/// Needs the rights of `user_sync_owner`. Consumers go on meanwhile: rows are locked while they are repaired,
/// and events that are being applied come on top. A row without any history is left: it is not ours.
///
/// # Errors
/// When a transaction failed; what was repaired before stays so.
pub async fn repair(database: &Database, geoip: &GeoIp, users: &BTreeSet<Uuid>) -> Result<(), StoreError> {
    let failed = StoreError::when("repairing rows");
    let users: Vec<Uuid> = match users.len() > REPAIR_USERS {
        true => repair_in_one_pass(database, geoip, users).await.map_err(&failed)?.into_iter().collect(),
        false => users.iter().copied().collect(),
    };
    for chunk in users.chunks(REPAIR_USERS) {
        retry_conflicts(OF_A_COMMAND, || repair_rows(database, geoip, chunk)).await.map_err(&failed)?;
    }
    // Who owns what may have been wrong all along, or be wrong because rows were repaired.
    let failed = StoreError::when("repairing who owns which address");
    let owners = cross_user_differences_now(database).await.map_err(Failure::from).map_err(&failed)?;
    for chunk in owners.chunks(REPAIR_USERS) {
        retry_conflicts(OF_A_COMMAND, || reassign(database, chunk)).await.map_err(&failed)?;
    }
    let failed = StoreError::when("repairing what is kept of contexts");
    let surplus = contexts::surplus(database).await.map_err(Failure::from).map_err(&failed)?;
    for chunk in surplus.chunks(REPAIR_USERS) {
        retry_conflicts(OF_A_COMMAND, || repair_rows(database, geoip, chunk)).await.map_err(&failed)?;
    }
    groups::repair(database).await.map_err(StoreError::when("repairing who is in which group"))
}

/// Repairs users by one moment's ledger; returns those who are left, since somebody has changed or held their rows meanwhile,
/// or because they have none. The locks last as long as a write.
async fn repair_in_one_pass(
    database: &Database,
    geoip: &GeoIp,
    users: &BTreeSet<Uuid>,
) -> Result<BTreeSet<Uuid>, Failure> {
    let mut left = users.clone();
    let (mut tx, mut history) = one_moment(database).await?;
    loop {
        let mut told = history.next(&mut tx).await?;
        if told.is_empty() {
            tx.rollback().await?;
            return Ok(left);
        }
        told.retain(|id, told| users.contains(id) && told.delta.is_some());
        let ids: Vec<Uuid> = told.keys().copied().collect();
        let stored = users::read(&mut tx, &ids).await?;
        told.retain(|id, _| stored.contains_key(id));
        forget_erased(&mut told, &stored);
        contexts::locate(&mut told, &context_history::states(&mut tx, &ids).await?, geoip);
        let expected = expected(&told, &stored, geoip);
        let written = retry_conflicts(OF_A_COMMAND, || write_unchanged(database, &expected, &told)).await?;
        left.retain(|id| !written.contains(id));
    }
}

/// Writes the users whose rows are still those that were read: an event that is applied changes its user's row, and so does a
/// context that is kept, so their history is, too.
async fn write_unchanged(
    database: &Database,
    users: &[StoredUser],
    told: &BTreeMap<Uuid, Told>,
) -> Result<BTreeSet<Uuid>, Failure> {
    let mut tx = database.begin(Purpose::Command).await?;
    let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
    let locked = users::lock_versions(&mut tx, &ids).await?;
    let is_unchanged = |user: &&StoredUser| locked.get(&user.id) == Some(&user.row_version);
    let unchanged: Vec<&StoredUser> = users.iter().filter(is_unchanged).collect();
    write(&mut tx, &unchanged, told).await?;
    tx.commit().await?;
    Ok(unchanged.into_iter().map(|user| user.id).collect())
}

/// Writes rows, and their claims and kept contexts in place of those that are there.
async fn write(
    tx: &mut Transaction,
    users: &[&StoredUser],
    told: &BTreeMap<Uuid, Told>,
) -> Result<(), Failure> {
    users::write(tx, &users.iter().copied().map(UserRow::of).collect::<Vec<_>>()).await?;
    let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
    sqlx::query("delete from user_claims where user_id = any($1)").bind(&ids).execute(&mut *tx).await?;
    let claims = ids.iter().filter_map(|id| Some((*id, &told.get(id)?.delta.as_ref()?.claims)));
    users::upsert_claims(tx, &claims.collect()).await?;
    let contexts = users.iter().map(|user| (user.id, &user.contexts));
    Ok(context_history::write_states(tx, &contexts.collect()).await?)
}

async fn cross_user_differences_now(database: &Database) -> Result<Vec<CrossUserDifference>, sqlx::Error> {
    let mut tx = database.begin(Purpose::Snapshot).await?;
    let differences = cross_user_differences(&mut tx).await?;
    tx.rollback().await.map(|()| differences)
}

async fn repair_rows(database: &Database, geoip: &GeoIp, ids: &[Uuid]) -> Result<(), Failure> {
    let mut tx = database.begin(Purpose::Command).await?;
    sqlx::query("set local statement_timeout = 0").execute(&mut tx).await?;
    // Locked before the history is read, so that nothing is applied in between; of who has no row, what makes one.
    context_history::lock_absent(&mut tx, ids).await?;
    context_history::remove_unreadable(&mut tx, ids).await?;
    let present = users::lock(&mut tx, ids).await?;
    let mut told = history::of_users(&mut tx, ids).await?;
    forget_erased(&mut told, &present);
    let missing = told.iter().filter(|(id, _)| !present.contains_key(id));
    let missing = missing.filter_map(|(id, told)| Some((*id, told.delta.as_ref()?)));
    users::insert_skeletons(&mut tx, &missing.collect()).await?;
    let stored = users::lock(&mut tx, ids).await?;
    // Who had no row a moment ago may have been erased in between.
    users::recheck_erased(&stored, &users::erased(&present), ids.iter().copied())?;
    contexts::locate(&mut told, &context_history::states(&mut tx, ids).await?, geoip);
    let expected = expected(&told, &stored, geoip);
    write(&mut tx, &expected.iter().collect::<Vec<_>>(), &told).await?;
    // Of whom no event tells, only contexts may be kept.
    let without_row = ids.iter().filter(|id| told.get(id).is_none_or(|told| told.delta.is_none()));
    let none = Contexts::default();
    let contexts = |id| told.get(id).and_then(|told| told.contexts.as_ref()).unwrap_or(&none);
    let kept = without_row.map(|id| (*id, contexts(id))).collect();
    context_history::write_states(&mut tx, &kept).await?;
    Ok(tx.commit().await?)
}

async fn reassign(database: &Database, owners: &[CrossUserDifference]) -> Result<(), Failure> {
    let mut keys = AffectedKeys::default();
    keys.identifiers.extend(owners.iter().flat_map(|owner| owner.identifiers.iter().cloned()));
    let mut tx = database.begin(Purpose::Command).await?;
    merge::reassign(&mut tx, &keys).await?;
    let referrals =
        owners.iter().map(|owner| &owner.difference).filter(|owner| owner.column == "referred_by");
    let referrals: Vec<_> = referrals.collect();
    let referred: Vec<Uuid> = referrals.iter().map(|difference| difference.user).collect();
    users::lock(&mut tx, &referred).await?;
    for difference in referrals {
        let expected: Option<Uuid> = difference.expected.as_deref().and_then(|id| id.parse().ok());
        let query =
            sqlx::query("update users set referred_by = $2, row_version = row_version + 1 where id = $1");
        let written = query.bind(difference.user).bind(expected).execute(&mut tx).await?;
        all_written("users", 1, written.rows_affected())?;
    }
    Ok(tx.commit().await?)
}

/// Whose rows [`rederive`] writes again: everybody, but for what is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// This user only.
    pub user: Option<Uuid>,
    /// Users with an event or a context at this time or later.
    pub since: Option<Timestamp>,
    /// Users with an event or a context before this time.
    pub until: Option<Timestamp>,
}

/// Writes the rows and claims of the selected users again from their history, as [`repair`] does, whether they
/// differ or not; returns the number of users, and calls `progress` with it meanwhile. In bounded memory.
///
/// Needs two connections, and the rights of `user_sync_owner`.
///
/// # Errors
/// When a transaction failed; what was written before stays so.
pub async fn rederive(
    database: &Database,
    geoip: &GeoIp,
    selection: Selection,
    mut progress: impl FnMut(u64),
) -> Result<u64, StoreError> {
    let failed = StoreError::when("reading the ledger");
    let mut tx = database.begin(Purpose::Command).await.map_err(&failed)?;
    // The cursor waits while rows are written.
    for setting in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        let setting = format!("set local {setting} = 0");
        sqlx::query(sqlx::AssertSqlSafe(setting)).execute(&mut tx).await.map_err(&failed)?;
    }
    if selection.user.is_some() {
        history::find_by_user(&mut tx).await.map_err(&failed)?;
    }
    let declare = sqlx::query(include_str!("declare_rederived.sql")).bind(selection.user);
    let [since, until] = [selection.since, selection.until].map(|time| time.map(OffsetDateTime::from));
    declare.bind(since).bind(until).execute(&mut tx).await.map_err(&failed)?;
    let mut users = 0;
    loop {
        let fetch = format!("fetch {REPAIR_USERS} from rederived");
        let fetch = sqlx::query_scalar(sqlx::AssertSqlSafe(fetch));
        let ids: Vec<Uuid> = fetch.fetch_all(&mut tx).await.map_err(&failed)?;
        if ids.is_empty() {
            break;
        }
        let repaired = retry_conflicts(OF_A_COMMAND, || repair_rows(database, geoip, &ids)).await;
        repaired.map_err(StoreError::when("writing rows"))?;
        users += u64::try_from(ids.len()).unwrap_or(u64::MAX);
        progress(users);
    }
    tx.commit().await.map_err(&failed)?;
    // What remains is who owns which address.
    repair(database, geoip, &BTreeSet::new()).await?;
    Ok(users)
}
