//! Where the rows differ from what the user pool says: exactly what a snapshot of the pool would change.
//!
//! A snapshot is merged into the stored state by the apply's own rules, so no rule is written twice. Must not know
//! how the pool was asked.

pub mod memberships;
pub mod questions;

use std::collections::BTreeSet;

use cognito_user_sync_triggers::event::UserEvent;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::{Database, Purpose};
use crate::store::model::state::{
    CONFIRMED, FORCE_CHANGE_PASSWORD, Register, STATUS, USER_POOL_ID, USERNAME, UserState, is_true,
};
use crate::store::model::user::StoredUser;
use crate::store::tables::users;

/// How a user in the pool and its row may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// There is no row.
    Missing,
    /// An attribute of the user, or its verified flag.
    Attributes,
    /// The row has an attribute that the user no longer has.
    Removed,
    /// `cognito_status`.
    Status,
    /// `enabled`.
    Enabled,
    /// `cognito_username` or `user_pool_id`.
    Identity,
    /// `created_at` is later than the pool's creation date.
    CreatedAt,
    /// The pool no longer has the user, and the row is not deleted.
    Gone,
    /// The same, of a row that names no pool: it may be another pool's.
    Unclaimed,
    /// The row is deleted, and the pool has the user: only a restoration takes a deletion back.
    DeletedButPresent,
    /// The person was erased from the table, and the pool has the user. Nothing of it is stored again.
    ErasedButPresent,
    /// The pool's user has no `sub` that is a UUID, so it can have no row.
    WithoutSub,
}

impl Kind {
    /// Whether a snapshot of a user who is in the pool would change nothing of it.
    #[must_use]
    pub fn is_final(self) -> bool {
        self == Self::DeletedButPresent || self == Self::ErasedButPresent
    }

    /// Every kind, in the order in which they are reported.
    pub const ALL: [Self; 12] = [
        Self::Missing,
        Self::Attributes,
        Self::Removed,
        Self::Status,
        Self::Enabled,
        Self::Identity,
        Self::CreatedAt,
        Self::Gone,
        Self::Unclaimed,
        Self::DeletedButPresent,
        Self::ErasedButPresent,
        Self::WithoutSub,
    ];

    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Attributes => "attributes",
            Self::Removed => "removed",
            Self::Status => "status",
            Self::Enabled => "enabled",
            Self::Identity => "identity",
            Self::CreatedAt => "created_at",
            Self::Gone => "gone",
            Self::Unclaimed => "unclaimed",
            Self::DeletedButPresent => "deleted_but_present",
            Self::ErasedButPresent => "erased_but_present",
            Self::WithoutSub => "without_sub",
        }
    }
}

/// One user of whom the pool and the row do not say the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The user.
    pub sub: Uuid,
    /// How they differ; never empty.
    pub kinds: BTreeSet<Kind>,
}

/// Compares snapshots of users with their rows, by one query, and names those that differ.
///
/// A row that knows something newer than its snapshot does not differ: nor would the snapshot change it. Beside each snapshot
/// is when the pool says that the user was last modified.
///
/// # Errors
/// When the database cannot be read.
pub async fn compare(
    database: &Database,
    snapshots: &[(&UserEvent<'_>, Option<Timestamp>)],
) -> Result<Vec<Drift>, sqlx::Error> {
    if snapshots.is_empty() {
        return Ok(Vec::new());
    }
    let subs: Vec<Uuid> = snapshots.iter().map(|(snapshot, _)| snapshot.sub).collect();
    let mut tx = database.begin(Purpose::Question).await?;
    let stored = users::read(&mut tx, &subs).await?;
    tx.rollback().await?;
    let drift = |(snapshot, modified_at): &(&UserEvent<'_>, Option<Timestamp>)| {
        let kinds = kinds(stored.get(&snapshot.sub), snapshot, *modified_at);
        (!kinds.is_empty()).then_some(Drift { sub: snapshot.sub, kinds })
    };
    Ok(snapshots.iter().filter_map(drift).collect())
}

/// What people would see change if the snapshot were applied. Versions and `synced_at` are not among it.
fn kinds(
    stored: Option<&StoredUser>,
    snapshot: &UserEvent<'_>,
    modified_at: Option<Timestamp>,
) -> BTreeSet<Kind> {
    let Some(StoredUser { state: stored, is_erased, .. }) = stored else { return [Kind::Missing].into() };
    if stored.deletions.latest() > Some(snapshot.id.time()) {
        return BTreeSet::new();
    }
    if stored.deleted_at().is_some() {
        return [Kind::DeletedButPresent].into();
    }
    if *is_erased {
        return [Kind::ErasedButPresent].into();
    }
    let mut merged = stored.clone();
    merged.merge(UserState::of(snapshot));
    let shown = |register: &Register| (register.value.clone(), is_true(register.flag.as_deref()));
    let changed = merged
        .registers
        .iter()
        .filter(|(name, register)| stored.registers.get(*name).map(shown) != Some(shown(register)));
    let mut kinds: BTreeSet<Kind> = changed.map(|(name, _)| kind_of(name)).collect();
    if is_known_better(stored, &merged, modified_at) {
        kinds.remove(&Kind::Status);
    }
    if stored.registers.keys().any(|name| !merged.registers.contains_key(name)) {
        kinds.insert(Kind::Removed);
    }
    if is_disabled(&merged) != is_disabled(stored) {
        kinds.insert(Kind::Enabled);
    }
    if merged.created_at != stored.created_at {
        kinds.insert(Kind::CreatedAt);
    }
    kinds
}

/// Whether the row's status is what a login proved: who signs in without a password, by custom authentication, may be
/// FORCE_CHANGE_PASSWORD in the pool for ever. Not where an administrator has changed the user since.
fn is_known_better(stored: &UserState, merged: &UserState, modified_at: Option<Timestamp>) -> bool {
    let is_pair = stored.attribute(STATUS) == Some(CONFIRMED)
        && merged.attribute(STATUS) == Some(FORCE_CHANGE_PASSWORD);
    let login = stored.last_login.as_ref().map(|login| login.id.time());
    is_pair && login.is_some_and(|login| modified_at.is_none_or(|modified| modified <= login))
}

fn kind_of(register: &str) -> Kind {
    match register {
        STATUS => Kind::Status,
        USERNAME | USER_POOL_ID => Kind::Identity,
        _ => Kind::Attributes,
    }
}

fn is_disabled(state: &UserState) -> bool {
    state.disabled.is_some_and(|(_, disabled)| disabled)
}

/// A row, as far as it matters to whether the pool still has its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The user.
    pub sub: Uuid,
    /// The user name that was last known.
    pub username: Option<String>,
    /// The user pool; unknown in a row that was there before this service.
    pub user_pool_id: Option<String>,
    /// Whether the user is known to be deleted.
    pub is_deleted: bool,
    /// When the user was created, or first seen.
    pub created_at: Timestamp,
}

/// At most `limit` rows after the user `after`, in the order of their ids.
///
/// # Errors
/// When the database cannot be read.
pub async fn rows_after(database: &Database, after: Uuid, limit: i64) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query(include_str!("rows_after.sql"))
        .bind(after)
        .bind(limit)
        .fetch_all(database.questions())
        .await?;
    let read = |row: &sqlx::postgres::PgRow| {
        Ok(Row {
            sub: row.try_get("id")?,
            username: row.try_get("cognito_username")?,
            user_pool_id: row.try_get("user_pool_id")?,
            is_deleted: row.try_get("is_deleted")?,
            created_at: row.try_get::<OffsetDateTime, _>("created_at")?.into(),
        })
    };
    rows.iter().map(read).collect()
}

/// A row, as far as it matters to whether its deletion can be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The user name that was last known.
    pub username: Option<String>,
    /// The user pool; unknown in a row that was there before this service.
    pub user_pool_id: Option<String>,
    /// Whether the person was erased.
    pub is_erased: bool,
    /// Whether the user is known to be deleted.
    pub is_deleted: bool,
    /// The latest deletion, taken back or not.
    pub last_deleted_at: Option<Timestamp>,
}

/// What is known of a user's deletion; `None` where there is no row.
///
/// # Errors
/// When the database cannot be read.
pub async fn deletion(database: &Database, sub: Uuid) -> Result<Option<Deletion>, sqlx::Error> {
    let mut tx = database.begin(Purpose::Question).await?;
    let stored = users::read(&mut tx, &[sub]).await?;
    tx.rollback().await?;
    Ok(stored.get(&sub).map(|StoredUser { state, is_erased, .. }| Deletion {
        username: state.attribute(USERNAME).map(str::to_owned),
        user_pool_id: state.attribute(USER_POOL_ID).map(str::to_owned),
        is_erased: *is_erased,
        is_deleted: state.deleted_at().is_some(),
        last_deleted_at: state.deletions.latest(),
    }))
}

/// How many logins of a user the table has; none where there is no row.
///
/// # Errors
/// When the database cannot be read.
pub async fn logins(database: &Database, sub: Uuid) -> Result<i64, sqlx::Error> {
    let query = "select login_count from users where id = $1";
    let logins = sqlx::query_scalar(query).bind(sub).fetch_optional(database.questions()).await?;
    Ok(logins.unwrap_or(0))
}

/// A user pool that the table has users of, if it has none of `user_pool_id`.
///
/// # Errors
/// When the database cannot be read.
pub async fn another_pool(database: &Database, user_pool_id: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(include_str!("another_pool.sql"))
        .bind(user_pool_id)
        .fetch_optional(database.questions())
        .await
}

/// About how many rows there are, by the planner's statistics; zero when nobody has counted yet.
///
/// # Errors
/// When the database cannot be read.
pub async fn estimated_rows(database: &Database) -> Result<u64, sqlx::Error> {
    let query = "select reltuples::bigint from pg_class where oid = 'users'::regclass";
    let rows: i64 = sqlx::query_scalar(query).fetch_one(database.questions()).await?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cognito_user_sync_triggers::event::{Data, EventId, Kind as EventKind};

    fn event(kind: EventKind, seconds: u64, change: impl FnOnce(&mut Data<'_>)) -> UserEvent<'static> {
        let mut data = Data {
            user_name: Some("ada".into()),
            status: Some("CONFIRMED".into()),
            enabled: (kind == EventKind::Snapshot).then_some(true),
            created_at: (kind == EventKind::Snapshot).then_some(at(1)),
            attributes: [("email".into(), "a@example.com".into())].into(),
            ..Data::default()
        };
        change(&mut data);
        let id = EventId::new(at(seconds));
        UserEvent { id, user_pool_id: "eu-west-1_Test00000".into(), sub: Uuid::nil(), kind, data }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    /// A row made by `events`.
    fn row(events: &[UserEvent<'_>]) -> StoredUser {
        let mut states = events.iter().map(UserState::of);
        let mut state = states.next().unwrap();
        states.for_each(|other| state.merge(other));
        let (owned, since) = Default::default();
        let (id, row_version, referred_by, is_erased, contexts) = Default::default();
        StoredUser { id, row_version, state, owned, since, referred_by, is_erased, contexts }
    }

    /// The drift of a row made by `events` from a snapshot.
    fn drift(events: &[UserEvent<'_>], snapshot: &UserEvent<'_>) -> Vec<Kind> {
        let mut stored = row(events);
        let found = kinds(Some(&stored), snapshot, None).into_iter().collect();
        stored.state.merge(UserState::of(snapshot));
        assert!(kinds(Some(&stored), snapshot, None).iter().all(|kind| *kind == Kind::DeletedButPresent));
        found
    }

    #[test]
    fn drift_is_what_a_snapshot_would_change() {
        let known = event(EventKind::Snapshot, 10, |_| {});
        let check = |change: fn(&mut Data<'_>), expected: &[Kind]| {
            assert_eq!(
                drift(std::slice::from_ref(&known), &event(EventKind::Snapshot, 20, change)),
                expected
            );
        };
        check(|_| {}, &[]);
        check(|data| drop(data.attributes.insert("name".into(), "Ada".into())), &[Kind::Attributes]);
        check(
            |data| drop(data.attributes.insert("email_verified".into(), "true".into())),
            &[Kind::Attributes],
        );
        check(|data| drop(data.attributes.insert("email_verified".into(), "false".into())), &[]);
        check(|data| data.attributes.clear(), &[Kind::Removed]);
        check(|data| (data.attributes, data.partial) = (Default::default(), true), &[]);
        check(
            |data| data.attributes = [("name".into(), "Ada".into())].into(),
            &[Kind::Attributes, Kind::Removed],
        );
        check(|data| data.status = Some("RESET_REQUIRED".into()), &[Kind::Status]);
        check(|data| data.enabled = Some(false), &[Kind::Enabled]);
        check(|data| data.user_name = Some("lovelace".into()), &[Kind::Identity]);
        check(|data| data.created_at = Some(at(0)), &[Kind::CreatedAt]);
        check(
            |data| (data.status, data.enabled) = (Some("RESET_REQUIRED".into()), Some(false)),
            &[Kind::Status, Kind::Enabled],
        );
    }

    #[test]
    fn what_the_row_knows_since_is_no_drift() {
        let login = event(EventKind::Authenticated, 30, |data| {
            drop(data.attributes.insert("name".into(), "New".into()))
        });
        let read_before = |data: &mut Data<'_>| drop(data.attributes.insert("name".into(), "Old".into()));
        let known = event(EventKind::Snapshot, 10, |_| {});
        assert_eq!(drift(&[known.clone(), login.clone()], &event(EventKind::Snapshot, 20, read_before)), []);
        let read_after = event(EventKind::Snapshot, 40, read_before);
        assert_eq!(drift(&[known, login], &read_after), [Kind::Attributes]);
    }

    #[test]
    fn a_deleted_row_is_only_reported() {
        let known = event(EventKind::Snapshot, 10, |_| {});
        let deleted = event(EventKind::Deleted, 15, |_| {});
        let now = event(EventKind::Snapshot, 20, |data| data.enabled = Some(false));
        assert_eq!(drift(&[known.clone(), deleted.clone()], &now), [Kind::DeletedButPresent]);
        // The listing may not know of the deletion yet.
        let before = event(EventKind::Snapshot, 14, |data| data.enabled = Some(false));
        assert_eq!(kinds(Some(&row(&[known, deleted])), &before, None), BTreeSet::new());
        assert_eq!(kinds(None, &now, None), [Kind::Missing].into());
    }

    #[test]
    fn an_erased_row_is_only_reported() {
        let known = event(EventKind::Snapshot, 10, |_| {});
        let stored = StoredUser { is_erased: true, ..row(&[known]) };
        let now = event(EventKind::Snapshot, 20, |data| data.enabled = Some(false));
        assert_eq!(kinds(Some(&stored), &now, None), [Kind::ErasedButPresent].into());
    }

    #[test]
    fn who_signs_in_without_a_password_is_no_drift() {
        let stale = |data: &mut Data<'_>| data.status = Some(FORCE_CHANGE_PASSWORD.into());
        let now = event(EventKind::Snapshot, 40, |data| {
            stale(data);
            data.created_at = None;
        });
        let check = |known: &[UserEvent<'_>], modified: Option<u64>, expected: &[Kind]| {
            let found = kinds(Some(&row(known)), &now, modified.map(at));
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{modified:?}");
        };
        let made = event(EventKind::Snapshot, 10, stale);
        let signed_in = [made.clone(), event(EventKind::Authenticated, 20, stale)];
        check(&signed_in, None, &[]);
        check(&signed_in, Some(10), &[]);
        check(&signed_in, Some(20), &[]);
        // An administrator has reset the password since.
        check(&signed_in, Some(21), &[Kind::Status]);
        // Nobody proved anything: the pool's word.
        check(&[event(EventKind::Snapshot, 10, |_| {})], Some(5), &[Kind::Status]);
        check(&[event(EventKind::Confirmed, 10, |_| {})], Some(5), &[Kind::Status]);
        check(std::slice::from_ref(&made), Some(5), &[]);
        // Another word than that one is drift, whoever has signed in.
        let reset = event(EventKind::Snapshot, 30, |data| data.status = Some("RESET_REQUIRED".into()));
        check(&[signed_in[1].clone(), reset], Some(5), &[Kind::Status]);
    }
}
