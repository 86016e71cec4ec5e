//! Reads and writes who is in which group: `user_sync_memberships`, `user_sync_groups`, and the baseline of memberships. Knows
//! the SQL; decides nothing.

use std::collections::BTreeSet;

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::Transaction;
use crate::store::locks;
use crate::store::model::claims::Shards;
use crate::store::model::groups::Reported;
use crate::store::model::referral::referral_code;
use crate::store::tables::failure::Failure;
use crate::store::tables::refusal::all_written;

/// Keeps users from being erased, and groups from being deleted, by anybody else until the transaction ends. Returns those of
/// the users who are erased.
///
/// Of a user without a row, this takes the lock that whoever makes the row takes, too.
///
/// # Errors
/// Where somebody holds the row of a user: [`Failure::Held`].
pub(in crate::store) async fn lock(
    tx: &mut Transaction,
    users: &BTreeSet<Uuid>,
    cleared: impl IntoIterator<Item = (&str, &str)>,
) -> Result<BTreeSet<Uuid>, Failure> {
    let ids: Vec<Uuid> = users.iter().copied().collect();
    let known = "select id from users where id = any ($1)";
    let known: Vec<Uuid> = sqlx::query_scalar(known).bind(&ids).fetch_all(&mut *tx).await?;
    let known: BTreeSet<Uuid> = known.into_iter().collect();
    let mut shards = Shards::default();
    users.difference(&known).for_each(|user| shards.add_referral_code(&referral_code(*user)));
    cleared.into_iter().for_each(|(user_pool_id, name)| shards.add_group(user_pool_id, name));
    if !shards.is_empty() {
        locks::lock_shards(tx, &shards).await?;
    }
    let locked = sqlx::query_as(include_str!("lock_members.sql")).bind(&ids);
    let locked: Vec<(Uuid, Option<bool>)> = locked.fetch_all(tx).await?;
    let held: BTreeSet<Uuid> =
        locked.iter().filter_map(|(id, is_erased)| is_erased.is_none().then_some(*id)).collect();
    if !held.is_empty() {
        return Err(Failure::Held(held));
    }
    let there: BTreeSet<Uuid> = locked.iter().map(|(id, _)| *id).collect();
    // Somebody deleted a row by hand: nothing is locked in its place.
    if !known.is_subset(&there) {
        return Err(Failure::recheck());
    }
    Ok(locked.into_iter().filter_map(|(id, is_erased)| (is_erased == Some(true)).then_some(id)).collect())
}

/// Writes what events amount to, over what counts less.
pub(in crate::store) async fn write(
    tx: &mut Transaction,
    reported: &Reported<'_>,
) -> Result<(), sqlx::Error> {
    let Reported { memberships, cleared } = reported;
    if !memberships.is_empty() {
        let (users, names): (Vec<Uuid>, Vec<&str>) = memberships.keys().copied().unzip();
        let pools: Vec<&str> = memberships.values().map(|member| member.user_pool_id).collect();
        let times: Vec<OffsetDateTime> = memberships.values().map(|member| member.at.into()).collect();
        let gone: Vec<bool> = memberships.values().map(|member| member.gone).collect();
        let query = sqlx::query(include_str!("upsert_memberships.sql"));
        let query = query.bind(users).bind(names).bind(pools).bind(times).bind(gone);
        let written = query.execute(&mut *tx).await?.rows_affected();
        all_written("user_sync_memberships", memberships.len(), written)?;
    }
    if cleared.is_empty() {
        return Ok(());
    }
    let (pools, names): (Vec<&str>, Vec<&str>) = cleared.keys().copied().unzip();
    let times: Vec<OffsetDateTime> = cleared.values().map(|at| (*at).into()).collect();
    let query = sqlx::query(include_str!("upsert_groups.sql")).bind(pools).bind(names).bind(times);
    all_written("user_sync_groups", cleared.len(), query.execute(tx).await?.rows_affected())
}

/// What a table says of a membership, or should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Word {
    pub(in crate::store) user_pool_id: String,
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) gone: bool,
}

/// A membership that is not what the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct WrongMembership {
    pub(in crate::store) user: Uuid,
    pub(in crate::store) name: String,
    pub(in crate::store) stored: Option<Word>,
    pub(in crate::store) expected: Option<Word>,
}

/// A group whose deletion is not what the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct WrongGroup {
    pub(in crate::store) user_pool_id: String,
    pub(in crate::store) name: String,
    pub(in crate::store) stored: Option<Timestamp>,
    pub(in crate::store) expected: Option<Timestamp>,
}

/// The memberships that are not what the ledger and the baseline say: of some users, or of all.
pub(in crate::store) async fn wrong_memberships(
    tx: &mut Transaction,
    users: Option<&[Uuid]>,
) -> Result<Vec<WrongMembership>, sqlx::Error> {
    type Column<T> = Option<T>;
    type Row = (
        Uuid,
        String,
        Column<String>,
        Column<OffsetDateTime>,
        Column<bool>,
        Column<String>,
        Column<OffsetDateTime>,
        Column<bool>,
    );
    let rows = sqlx::query_as(include_str!("verify_memberships.sql")).bind(users);
    let rows: Vec<Row> = rows.fetch_all(tx).await?;
    let word = |user_pool_id: Column<String>, at: Column<OffsetDateTime>, gone: Column<bool>| {
        Some(Word { user_pool_id: user_pool_id?, at: at?.into(), gone: gone? })
    };
    let wrong = |(user, name, pool, at, gone, told_pool, told_at, told_gone): Row| WrongMembership {
        user,
        name,
        stored: word(pool, at, gone),
        expected: word(told_pool, told_at, told_gone),
    };
    Ok(rows.into_iter().map(wrong).collect())
}

/// The groups whose deletion is not what the ledger and the baseline say.
pub(in crate::store) async fn wrong_groups(tx: &mut Transaction) -> Result<Vec<WrongGroup>, sqlx::Error> {
    type Row = (String, String, Option<OffsetDateTime>, Option<OffsetDateTime>);
    let rows: Vec<Row> = sqlx::query_as(include_str!("verify_groups.sql")).fetch_all(tx).await?;
    let wrong = |(user_pool_id, name, stored, expected): Row| WrongGroup {
        user_pool_id,
        name,
        stored: stored.map(Timestamp::from),
        expected: expected.map(Timestamp::from),
    };
    Ok(rows.into_iter().map(wrong).collect())
}

/// Removes what is wrong, so that what should be there can be written.
pub(in crate::store) async fn remove(
    tx: &mut Transaction,
    memberships: &[WrongMembership],
    groups: &[WrongGroup],
) -> Result<(), sqlx::Error> {
    let users: Vec<Uuid> = memberships.iter().map(|wrong| wrong.user).collect();
    let names: Vec<&str> = memberships.iter().map(|wrong| wrong.name.as_str()).collect();
    let delete = "delete from user_sync_memberships as member
        using unnest($1::uuid[], $2::text[]) as wrong (user_id, name)
        where member.user_id = wrong.user_id and member.name = wrong.name";
    sqlx::query(delete).bind(users).bind(names).execute(&mut *tx).await?;
    let pools: Vec<&str> = groups.iter().map(|wrong| wrong.user_pool_id.as_str()).collect();
    let names: Vec<&str> = groups.iter().map(|wrong| wrong.name.as_str()).collect();
    let delete = "delete from user_sync_groups as known
        using unnest($1::text[], $2::text[]) as wrong (user_pool_id, name)
        where known.user_pool_id = wrong.user_pool_id and known.name = wrong.name";
    sqlx::query(delete).bind(pools).bind(names).execute(tx).await.map(drop)
}

/// What is known of a user in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Known {
    pub(in crate::store) name: String,
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) gone: bool,
    pub(in crate::store) cleared_at: Option<Timestamp>,
}

/// What is known of a user in each group, by name.
pub(in crate::store) async fn of_user(tx: &mut Transaction, user: Uuid) -> Result<Vec<Known>, sqlx::Error> {
    type Row = (String, OffsetDateTime, bool, Option<OffsetDateTime>);
    let query = "select member.name, at, gone, cleared_at
        from user_sync_memberships as member left join user_sync_groups using (user_pool_id, name)
        where user_id = $1 order by member.name";
    let rows: Vec<Row> = sqlx::query_as(query).bind(user).fetch_all(tx).await?;
    let known = |(name, at, gone, cleared_at): Row| Known {
        name,
        at: at.into(),
        gone,
        cleared_at: cleared_at.map(Timestamp::from),
    };
    Ok(rows.into_iter().map(known).collect())
}

/// Folds the events of a month, which begins and ends at these ids, into the baseline.
pub(in crate::store) async fn fold_month(
    tx: &mut Transaction,
    lower: Uuid,
    upper: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("fold_memberships.sql")).bind(lower).bind(upper).execute(&mut *tx).await?;
    sqlx::query(include_str!("fold_groups.sql")).bind(lower).bind(upper).execute(tx).await.map(drop)
}

/// Forgets memberships that have ended before the oldest month of the ledger: nothing that comes can be earlier. Rows that
/// somebody holds are left for the next time.
pub(in crate::store) async fn forget_ended(tx: &mut Transaction) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("forget_memberships.sql")).execute(&mut *tx).await?;
    sqlx::query(include_str!("forget_baseline.sql")).execute(tx).await.map(drop)
}
