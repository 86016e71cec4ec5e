//! The right to be forgotten: a user's personal data gone from the rows, the claims, the ledgers and the baselines.
//!
//! What stays is what counts: that there were so many logins and when, under the `sub`, and that the person was
//! erased. `model::scrub` says what is left of an event; the rows of an erased user are a function of what is left, so
//! `verify` stays exact and a message that comes late changes nothing that could tell who it was.

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::{Database, Purpose, Transaction};
use crate::store::model::affected::AffectedKeys;
use crate::store::model::claims::{Identifier, IdentifierKind};
use crate::store::model::columns::{NAMELESS, Owned, Since, UserRow};
use crate::store::model::contexts::Contexts;
use crate::store::model::referral::referral_code;
use crate::store::model::scrub::{IMPERSONAL, IMPERSONAL_OF_CONTEXTS, forget, forget_state};
use crate::store::model::user::StoredUser;
use crate::store::tables::failure::{Failure, OF_A_COMMAND, StoreError, retry_conflicts};
use crate::store::tables::refusal::all_written;
use crate::store::tables::{history, users};
use crate::store::{locks, merge};

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Events of the ledger that were gone through.
    pub events: u64,
    /// Records of sign-ins, contexts and failures, that were gone through.
    pub records: u64,
    /// Addresses that the user had ever shown.
    pub claims: u64,
    /// Whether the user had been erased before.
    pub before: bool,
}

/// A user could not be erased, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// There is no row to erase.
    #[error(
        "there is no user {0}; if its messages may be under way, erase it all the same with --even-unknown"
    )]
    NoUser(Uuid),
    /// The database did not do it.
    #[error("not erased, or not wholly; run it again")]
    Failed(#[from] StoreError),
}

/// Erases a user, for good. Idempotent: what a crash left over, another run erases.
///
/// Needs the rights of `user_sync_owner`. Consumers go on meanwhile: a message that is being applied is applied
/// before, and erased too, or after, without its personal data. `even_unknown` remembers a `sub` that has no row.
///
/// # Errors
/// When there is no such user, or the database fails.
pub async fn erase(database: &Database, user: Uuid, even_unknown: bool) -> Result<Erased, EraseError> {
    let failed = StoreError::when("erasing the user");
    // The row first, for a moment only: from then on no event brings anything of the person. Then the ledger, which
    // takes longer.
    let row =
        retry_conflicts(OF_A_COMMAND, || erase_row(database, user, even_unknown)).await.map_err(&failed)?;
    let (before, claims) = row.ok_or(EraseError::NoUser(user))?;
    let events = retry_conflicts(OF_A_COMMAND, || erase_history(database, user)).await.map_err(&failed)?;
    let contexts = retry_conflicts(OF_A_COMMAND, || erase_contexts(database, user)).await.map_err(&failed)?;
    retry_conflicts(OF_A_COMMAND, || pass_failures_under_way(database)).await.map_err(&failed)?;
    let failures = retry_conflicts(OF_A_COMMAND, || erase_failures(database, user)).await.map_err(&failed)?;
    Ok(Erased { events, records: contexts + failures, claims, before })
}

/// Whether the user had been erased before, and how many claims it had; `None` where there is no such user.
async fn erase_row(
    database: &Database,
    user: Uuid,
    even_unknown: bool,
) -> Result<Option<(bool, u64)>, Failure> {
    let mut tx = database.begin(Purpose::Command).await?;
    let mut keys = keys_of(&mut tx, user).await?;
    if even_unknown {
        // Sign-ups may have been waiting for this referrer.
        keys.new_codes.insert(referral_code(user));
    }
    locks::lock_shards(&mut tx, &keys.shards()).await?;
    if even_unknown {
        insert_tombstone(&mut tx, user).await?;
    }
    let locked = users::lock_affected(&mut tx, &[user], &keys).await?.all()?;
    let Some(stored) = locked.get(&user) else { return Ok(None) };
    // Asked again under the locks, as every change of addresses is.
    if !keys.contains(&keys_of(&mut tx, user).await?) {
        return Err(Failure::recheck());
    }
    let erased = sqlx::query(include_str!("erase_user.sql")).bind(user).execute(&mut tx).await?;
    all_written("users", 1, erased.rows_affected())?;
    let claims = "with held as materialized (select from user_claims where user_id = $1),
            gone as (delete from user_claims where user_id = $1 returning 1)
        select (select count(*) from held), (select count(*) from gone)";
    let claims: (i64, i64) = sqlx::query_as(claims).bind(user).fetch_one(&mut tx).await?;
    let claims = all_changed("user_claims", claims)?;
    erase_memberships(&mut tx, user).await?;
    erase_kept_contexts(&mut tx, user).await?;
    let mut forgotten = StoredUser {
        owned: Owned::default(),
        since: Since::default(),
        referred_by: None,
        contexts: Contexts::default(),
        ..stored.clone()
    };
    forget_state(&mut forgotten.state);
    users::write(&mut tx, &[UserRow::of(&forgotten)]).await?;
    // The next claimant gets each address.
    merge::reassign_locked(&mut tx, &keys).await?;
    tx.commit().await?;
    Ok(Some((stored.is_erased, claims)))
}

/// Leaves the user in no group. Whoever applies an event of one locks the row, or what makes it, as this transaction does.
async fn erase_memberships(tx: &mut Transaction, user: Uuid) -> Result<(), sqlx::Error> {
    let memberships = "with held as materialized (select from user_sync_memberships where user_id = $1),
            gone as (delete from user_sync_memberships where user_id = $1 returning 1)
        select (select count(*) from held), (select count(*) from gone)";
    let memberships: (i64, i64) = sqlx::query_as(memberships).bind(user).fetch_one(tx).await?;
    all_changed("user_sync_memberships", memberships).map(drop)
}

/// Keeps nothing of the user's contexts. Whoever applies one locks the row, or what makes it, too.
async fn erase_kept_contexts(tx: &mut Transaction, user: Uuid) -> Result<(), sqlx::Error> {
    let states = "with held as materialized (select from user_sync_context_states where user_id = $1),
            gone as (delete from user_sync_context_states where user_id = $1 returning 1)
        select (select count(*) from held), (select count(*) from gone)";
    let states: (i64, i64) = sqlx::query_as(states).bind(user).fetch_one(tx).await?;
    all_changed("user_sync_context_states", states).map(drop)
}

/// How many of the user's events the ledger has.
async fn erase_history(database: &Database, user: Uuid) -> Result<u64, Failure> {
    let mut tx = database.begin(Purpose::Command).await?;
    sqlx::query("set local statement_timeout = 0").execute(&mut tx).await?;
    // `maintain` must not fold a month while its events are being changed.
    sqlx::query("lock table user_event_partitions in share mode").execute(&mut tx).await?;
    history::find_by_user(&mut tx).await?;
    let events = sqlx::query_as(include_str!("erase_events.sql")).bind(user).bind(IMPERSONAL.as_slice());
    let events = all_changed("user_events", events.fetch_one(&mut tx).await?)?;
    history::rewrite_baseline(&mut tx, user, forget).await?;
    let baseline = "with held as materialized (select from user_sync_membership_baseline where user_id = $1),
            gone as (delete from user_sync_membership_baseline where user_id = $1 returning 1)
        select (select count(*) from held), (select count(*) from gone)";
    let baseline: (i64, i64) = sqlx::query_as(baseline).bind(user).fetch_one(&mut tx).await?;
    all_changed("user_sync_membership_baseline", baseline)?;
    tx.commit().await?;
    Ok(events)
}

/// How many of the user's contexts their ledger has.
async fn erase_contexts(database: &Database, user: Uuid) -> Result<u64, Failure> {
    let mut tx = begin_on_records(database).await?;
    let contexts = sqlx::query_as(include_str!("erase_contexts.sql")).bind(user);
    let contexts = contexts.bind(IMPERSONAL_OF_CONTEXTS.as_slice()).fetch_one(&mut tx).await?;
    let contexts = all_changed("user_sync_contexts", contexts)?;
    let baseline = "with held as materialized (select from user_sync_context_baseline where user_id = $1),
            gone as (delete from user_sync_context_baseline where user_id = $1 returning 1)
        select (select count(*) from held), (select count(*) from gone)";
    let baseline: (i64, i64) = sqlx::query_as(baseline).bind(user).fetch_one(&mut tx).await?;
    all_changed("user_sync_context_baseline", baseline)?;
    tx.commit().await?;
    Ok(contexts)
}

/// Waits for the failures that are being inserted. Whoever inserts some locks no row, and looks at `users` as its statement
/// begins, when it has the table's lock: whoever gets it from now on sees that the user is erased.
async fn pass_failures_under_way(database: &Database) -> Result<(), Failure> {
    let mut tx = database.begin(Purpose::Command).await?;
    // Whoever inserts waits behind this: for a moment only, again and again.
    sqlx::query("set local lock_timeout = '500ms'").execute(&mut tx).await?;
    sqlx::query("lock table user_sync_failures in share mode").execute(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// How many of the user's failures their ledger has.
async fn erase_failures(database: &Database, user: Uuid) -> Result<u64, Failure> {
    let mut tx = begin_on_records(database).await?;
    let failures = "with held as materialized (select id from user_sync_failures where user_id = $1),
            scrubbed as (
                update user_sync_failures set data = null, network = null
                from held where user_sync_failures.id = held.id returning 1)
        select (select count(*) from held), (select count(*) from scrubbed)";
    let failures = sqlx::query_as(failures).bind(user).fetch_one(&mut tx).await?;
    let failures = all_changed("user_sync_failures", failures)?;
    tx.commit().await?;
    Ok(failures)
}

/// A transaction in which no month of records is folded.
async fn begin_on_records(database: &Database) -> Result<Transaction, sqlx::Error> {
    let mut tx = database.begin(Purpose::Command).await?;
    sqlx::query("set local statement_timeout = 0").execute(&mut tx).await?;
    sqlx::query("lock table user_sync_record_partitions in share mode").execute(&mut tx).await?;
    history::find_by_user(&mut tx).await?;
    Ok(tx)
}

/// How many rows were changed, of those that were to be: all of them, or it is an error.
fn all_changed(table: &'static str, (asked, changed): (i64, i64)) -> Result<u64, sqlx::Error> {
    let changed = u64::try_from(changed).unwrap_or(0);
    all_written(table, usize::try_from(asked).unwrap_or(usize::MAX), changed).map(|()| changed)
}

/// The addresses that the user holds, shows or ever showed.
async fn keys_of(tx: &mut Transaction, user: Uuid) -> Result<AffectedKeys, sqlx::Error> {
    let identifiers = users::addresses(tx, &[user].into()).await?;
    let mut keys = AffectedKeys { identifiers, ..AffectedKeys::default() };
    let claimed = "select kind, value from user_claims where user_id = $1";
    for (kind, value) in sqlx::query_as::<_, (String, String)>(claimed).bind(user).fetch_all(tx).await? {
        keys.identifiers.extend(IdentifierKind::parse(&kind).map(|kind| Identifier { kind, value }));
    }
    Ok(keys)
}

/// A row for a `sub` that has none. Its times are those that any event's replace: the latest there is for what
/// takes the least, the earliest for what takes the greatest.
async fn insert_tombstone(tx: &mut Transaction, user: Uuid) -> Result<(), sqlx::Error> {
    let skeleton = "insert into users (id, name, referral_code, created_at, synced_at, updated_at)
        values ($1, $2, $3, $4, $5, $5) on conflict (id) do nothing";
    let latest = OffsetDateTime::from(Timestamp::MAX);
    let query = sqlx::query(skeleton).bind(user).bind(NAMELESS).bind(referral_code(user));
    query.bind(latest).bind(OffsetDateTime::UNIX_EPOCH).execute(tx).await.map(drop)
}
