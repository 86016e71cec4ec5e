//! The right to be forgotten: a user's personal data gone from the rows, the claims, the ledger and the baseline.
//!
//! What stays is what counts: that there were so many logins and when, under the `sub`, and that the person was
//! erased. `scrub` is what is left of an event; the rows of an erased user are a function of what is left, so
//! `verify` stays exact and a message that comes late changes nothing that could tell who it was.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::event::{Data, UserEvent};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::claims::{Identifier, IdentifierKind};
use super::columns::{Columns, Owned, Since};
use super::failure::{Failure, again};
use super::state::{Delta, Login, STATUS, SignUp, USER_POOL_ID, UserState};
use super::users::{self, Concerned, StoredUser};
use super::{give_due, history, referral};

/// Members of [`Data`] that say nothing of the person.
const IMPERSONAL: [&str; 5] = ["client_id", "status", "federated", "enabled", "created_at"];

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Events of the ledger that were gone through.
    pub events: u64,
    /// Addresses that the user had ever shown.
    pub claims: u64,
    /// Whether the user had been erased before.
    pub before: bool,
}

/// A user could not be erased, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EraseError {
    /// There is no row to erase.
    #[error(
        "there is no user {0}; if its messages may be under way, erase it all the same with --even-unknown"
    )]
    NoUser(Uuid),
    /// The database did not do it.
    #[error("not erased, or not wholly: {0}; then run it again")]
    Failed(String),
}

/// Erases a user, for good. Idempotent: what a crash left over, another run erases.
///
/// Needs the rights of `user_sync_owner`. Consumers go on meanwhile: a message that is being applied is applied
/// before, and erased too, or after, without its personal data. `even_unknown` remembers a `sub` that has no row.
///
/// # Errors
/// When there is no such user, or the database fails.
pub async fn erase(pool: &PgPool, user: Uuid, even_unknown: bool) -> Result<Erased, EraseError> {
    let failed = |failure: Failure| EraseError::Failed(failure.to_string());
    // The row first, for a moment only: from then on no event brings anything of the person. Then the ledger, which
    // has no index on users and takes as long as it is large.
    let row = again(|| erase_row(pool, user, even_unknown)).await.map_err(failed)?;
    let (before, claims) = row.ok_or(EraseError::NoUser(user))?;
    let events = again(|| erase_history(pool, user)).await.map_err(failed)?;
    Ok(Erased { events, claims, before })
}

/// Whether the user had been erased before, and how many claims it had; `None` where there is no such user.
async fn erase_row(pool: &PgPool, user: Uuid, even_unknown: bool) -> Result<Option<(bool, u64)>, Failure> {
    let mut tx = pool.begin().await?;
    let mut concerned = concerned(&mut tx, user).await?;
    if even_unknown {
        // Sign-ups may have been waiting for this referrer.
        concerned.new_codes.insert(referral::code(user));
    }
    users::lock_shards(&mut tx, &concerned.shards()).await?;
    if even_unknown {
        remember(&mut tx, user).await?;
    }
    let locked = users::lock_concerned(&mut tx, &[user], &concerned).await?;
    let Some(stored) = locked.get(&user) else { return Ok(None) };
    // Asked again under the locks, as every change of addresses is.
    if !concerned.contains(&self::concerned(&mut tx, user).await?) {
        return Err(Failure::recheck());
    }
    sqlx::query(include_str!("erase_user.sql")).bind(user).execute(&mut *tx).await?;
    let claims =
        sqlx::query("delete from user_claims where user_id = $1").bind(user).execute(&mut *tx).await?;
    let mut state = stored.state.clone();
    forget_state(&mut state);
    let columns = Columns::of(user, &state, &Owned::default(), Since::default(), None);
    users::write(&mut tx, &[columns]).await?;
    // The next claimant gets each address.
    give_due(&mut tx, &concerned).await?;
    tx.commit().await?;
    Ok(Some((stored.is_erased, claims.rows_affected())))
}

/// How many of the user's events the ledger has.
async fn erase_history(pool: &PgPool, user: Uuid) -> Result<u64, Failure> {
    let mut tx = pool.begin().await?;
    sqlx::query("set local statement_timeout = 0").execute(&mut *tx).await?;
    // `maintain` must not fold a month while its events are being changed.
    sqlx::query("lock table user_event_partitions in share mode").execute(&mut *tx).await?;
    let events = sqlx::query(include_str!("erase_events.sql")).bind(user).bind(IMPERSONAL.as_slice());
    let events = events.execute(&mut *tx).await?;
    history::rewrite_baseline(&mut tx, user, forget).await?;
    tx.commit().await?;
    Ok(events.rows_affected())
}

/// The addresses that the user holds, shows or ever showed.
async fn concerned(tx: &mut PgConnection, user: Uuid) -> Result<Concerned, sqlx::Error> {
    let mut concerned = Concerned::default();
    if let Some(stored) = users::read(tx, &[user]).await?.get(&user) {
        for kind in IdentifierKind::ALL {
            let shown = stored.owned.get(kind).and_then(|value| Identifier::new(kind, value));
            let held = stored.state.identifier(kind).map(|(identifier, _)| identifier);
            concerned.identifiers.extend(shown.into_iter().chain(held));
        }
    }
    let claimed = "select kind, value from user_claims where user_id = $1";
    for (kind, value) in sqlx::query_as::<_, (String, String)>(claimed).bind(user).fetch_all(tx).await? {
        concerned.identifiers.extend(IdentifierKind::parse(&kind).map(|kind| Identifier { kind, value }));
    }
    Ok(concerned)
}

/// A row for a `sub` that has none. Its times are those that any event's replace: the latest there is for what
/// takes the least, the earliest for what takes the greatest.
async fn remember(tx: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    let skeleton = "insert into users (id, name, referral_code, created_at, synced_at, updated_at)
        values ($1, $2, $3, $4, $5, $5) on conflict (id) do nothing";
    let latest = OffsetDateTime::from(cognito_user_sync_triggers::timestamp::Timestamp::MAX);
    let query = sqlx::query(skeleton).bind(user).bind(super::columns::NAMELESS).bind(referral::code(user));
    query.bind(latest).bind(OffsetDateTime::UNIX_EPOCH).execute(tx).await.map(drop)
}

/// What an event of an erased user says: that it was, and when.
pub(super) fn scrub<'a>(event: &UserEvent<'a>) -> UserEvent<'a> {
    let Data { user_name: _, client_id, status, federated, enabled, created_at, attributes: _, client: _ } =
        event.data.clone();
    let data = Data { client_id, status, federated, enabled, created_at, ..Data::default() };
    UserEvent { data, user_pool_id: event.user_pool_id.clone(), ..*event }
}

/// The same of what a set of events amounts to.
pub(super) fn forget(delta: &mut Delta) {
    forget_state(&mut delta.state);
    delta.claims.clear();
}

fn forget_state(state: &mut UserState) {
    state.registers.retain(|name, _| name == STATUS || name == USER_POOL_ID);
    if let Some(login) = &mut state.last_login {
        *login = Login { id: login.id, ip: None, device: None, location: None, user_agent: None };
    }
    if let Some(sign_up) = &mut state.sign_up {
        *sign_up = SignUp { id: sign_up.id, ip: None, referral_code: None };
    }
}

/// Which of these users are erased.
pub(super) fn erased(users: &BTreeMap<Uuid, StoredUser>) -> BTreeSet<Uuid> {
    users.values().filter(|user| user.is_erased).map(|user| user.id).collect()
}

/// Fails where a user was erased since its events were scrubbed, or not: they would bring the person back.
pub(super) fn recheck(
    locked: &BTreeMap<Uuid, StoredUser>,
    known: &BTreeSet<Uuid>,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<(), Failure> {
    let is_news = |id: Uuid| locked.get(&id).is_some_and(|user| user.is_erased) && !known.contains(&id);
    if ids.into_iter().any(is_news) { Err(Failure::recheck()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cognito_user_sync_triggers::event::{Client, EventId, Kind};
    use cognito_user_sync_triggers::text::Text;
    use cognito_user_sync_triggers::timestamp::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::apply::state::fold;
    use crate::places::Places;

    fn events() -> impl Strategy<Value = Vec<UserEvent<'static>>> {
        let text = || proptest::option::of("[a-z]{1,3}");
        let kind = proptest::sample::select(Kind::ALL.to_vec());
        let event = (kind, 0..50_u64, any::<[u8; 10]>(), text(), text(), any::<(bool, bool)>());
        let event = event.prop_map(|(kind, second, bytes, name, code, (federated, enabled))| {
            let time = Timestamp::from_unix_millis(1_700_000_000_000 + second * 1_000);
            let id = uuid::Builder::from_unix_timestamp_millis(time.unix_millis(), &bytes).into_uuid();
            let code = code.map(Text::from);
            let mut data = Data { user_name: name.clone().map(Text::from), federated, ..Data::default() };
            data.status = federated.then(|| "EXTERNAL_PROVIDER".into());
            data.enabled = Some(enabled);
            data.attributes.extend(name.map(|name| ("email".into(), name.into())));
            data.client = Client {
                ip: Some("192.0.2.1".into()),
                user_agent: None,
                device: Some("Mobile".into()),
                location: code.clone(),
                referral_code: code,
            };
            UserEvent {
                id: EventId::from_uuid(id).unwrap(),
                user_pool_id: "eu-west-1_Test00000".into(),
                sub: Uuid::nil(),
                kind,
                data,
            }
        });
        proptest::collection::vec(event, 1..20)
    }

    proptest! {
        /// Erasing what events amount to is what erased events amount to: so it does not matter which of a user's
        /// events came before the erasure.
        #[test]
        fn erasing_goes_through_the_fold(events in events()) {
            let mut whole = fold(&events, &Places::default()).remove(&Uuid::nil()).unwrap();
            forget(&mut whole);
            let scrubbed: Vec<UserEvent<'static>> = events.iter().map(scrub).collect();
            let parts = fold(&scrubbed, &Places::default()).remove(&Uuid::nil()).unwrap();
            prop_assert_eq!(whole, parts);
        }

        /// The ledger's statement and [`scrub`] leave the same.
        #[test]
        fn the_ledger_keeps_what_a_late_event_would(events in events()) {
            for event in &events {
                let mut kept = serde_json::to_value(&event.data).unwrap();
                kept.as_object_mut().unwrap().retain(|key, _| IMPERSONAL.contains(&key.as_str()));
                prop_assert_eq!(kept, serde_json::to_value(&scrub(event).data).unwrap());
            }
        }
    }
}
