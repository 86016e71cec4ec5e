//! What is kept of contexts beside the rows, and what the contexts of dropped months amounted to, for whoever proves and mends
//! them: `user_sync_context_states`, `user_sync_context_baseline`. Knows the SQL; decides nothing.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::postgres::Transaction;
use crate::store::locks;
use crate::store::model::claims::Shards;
use crate::store::model::contexts::Contexts;
use crate::store::model::referral::referral_code;
use crate::store::tables::refusal::all_written;

/// What is stored of contexts, as it is: somebody may have changed it to what this service never writes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) struct Stored(Value);

impl Stored {
    /// As contexts, where they are any.
    pub(in crate::store) fn contexts(&self) -> Option<Contexts> {
        serde_json::from_value(self.0.clone()).ok()
    }

    /// As it is stored.
    pub(in crate::store) fn text(&self) -> String {
        self.0.to_string()
    }
}

/// What is stored of users, of those who have something.
pub(in crate::store) async fn states(
    tx: &mut Transaction,
    users: &[Uuid],
) -> Result<BTreeMap<Uuid, Stored>, sqlx::Error> {
    let query = "select user_id, state from user_sync_context_states where user_id = any ($1)";
    let rows: Vec<(Uuid, Json<Value>)> = sqlx::query_as(query).bind(users).fetch_all(tx).await?;
    Ok(rows.into_iter().map(|(user, Json(state))| (user, Stored(state))).collect())
}

/// What is stored of users of whom no context tells.
pub(in crate::store) async fn without_history(
    tx: &mut Transaction,
) -> Result<BTreeMap<Uuid, Stored>, sqlx::Error> {
    let query = "select user_id, state from user_sync_context_states as stored
        where not exists (select from user_sync_contexts as told where told.user_id = stored.user_id)
          and not exists (select from user_sync_context_baseline as told where told.user_id = stored.user_id)";
    let rows: Vec<(Uuid, Json<Value>)> = sqlx::query_as(query).fetch_all(tx).await?;
    Ok(rows.into_iter().map(|(user, Json(state))| (user, Stored(state))).collect())
}

/// Takes the lock that whoever makes a row takes, and whoever applies a context of a user without one: for each of the users
/// who has no row. The rows of the others are to be locked next.
pub(in crate::store) async fn lock_absent(tx: &mut Transaction, users: &[Uuid]) -> Result<(), sqlx::Error> {
    let absent = "select id from unnest($1::uuid[]) as asked (id)
        where not exists (select from users where users.id = asked.id)";
    let absent: Vec<Uuid> = sqlx::query_scalar(absent).bind(users).fetch_all(&mut *tx).await?;
    let mut shards = Shards::default();
    absent.iter().for_each(|user| shards.add_referral_code(&referral_code(*user)));
    if shards.is_empty() { Ok(()) } else { locks::lock_shards(tx, &shards).await }
}

/// Removes what is stored of users and is no contexts at all, so that their rows can be read.
pub(in crate::store) async fn remove_unreadable(
    tx: &mut Transaction,
    users: &[Uuid],
) -> Result<(), sqlx::Error> {
    let stored = states(tx, users).await?;
    let unreadable = stored.iter().filter(|(_, stored)| stored.contexts().is_none()).map(|(user, _)| *user);
    let unreadable: Vec<Uuid> = unreadable.collect();
    if unreadable.is_empty() {
        return Ok(());
    }
    let delete = "delete from user_sync_context_states where user_id = any ($1)";
    sqlx::query(delete).bind(unreadable).execute(tx).await.map(drop)
}

/// Stores what contexts amount to; nothing is stored of whom nothing is kept.
pub(in crate::store) async fn write_states(
    tx: &mut Transaction,
    contexts: &BTreeMap<Uuid, &Contexts>,
) -> Result<(), sqlx::Error> {
    let (kept, none): (Vec<_>, Vec<_>) = contexts.iter().partition(|(_, contexts)| !contexts.is_empty());
    let none: Vec<Uuid> = none.into_iter().map(|(user, _)| *user).collect();
    let delete = "delete from user_sync_context_states where user_id = any ($1)";
    sqlx::query(delete).bind(none).execute(&mut *tx).await?;
    let (users, states) = rows(kept.iter().map(|(user, contexts)| (**user, **contexts)))?;
    let write = "insert into user_sync_context_states as stored (user_id, state)
        select user_id, state::jsonb from unnest($1::uuid[], $2::text[]) as kept (user_id, state)
        on conflict (user_id) do update set state = excluded.state";
    let written = sqlx::query(write).bind(&users).bind(states).execute(tx).await?;
    all_written("user_sync_context_states", users.len(), written.rows_affected())
}

/// Adds what the contexts of a month amount to to the baseline.
pub(in crate::store) async fn merge_into_baseline(
    tx: &mut Transaction,
    mut contexts: BTreeMap<Uuid, Contexts>,
) -> Result<(), sqlx::Error> {
    contexts.retain(|_, contexts| !contexts.is_empty());
    let users: Vec<Uuid> = contexts.keys().copied().collect();
    let baseline =
        "select user_id, state from user_sync_context_baseline where user_id = any ($1) for update";
    let folded: Vec<(Uuid, Json<Contexts>)> =
        sqlx::query_as(baseline).bind(users).fetch_all(&mut *tx).await?;
    for (user, Json(folded)) in folded {
        contexts.entry(user).or_default().merge(folded);
    }
    let (users, states) = rows(contexts.iter().map(|(user, contexts)| (*user, contexts)))?;
    let write = "insert into user_sync_context_baseline (user_id, state)
        select user_id, state::jsonb from unnest($1::uuid[], $2::text[]) as folded (user_id, state)
        on conflict (user_id) do update set state = excluded.state";
    let written = sqlx::query(write).bind(&users).bind(states).execute(tx).await?;
    all_written("user_sync_context_baseline", users.len(), written.rows_affected())
}

/// Users and their contexts in columns.
fn rows<'a>(
    contexts: impl Iterator<Item = (Uuid, &'a Contexts)>,
) -> Result<(Vec<Uuid>, Vec<String>), sqlx::Error> {
    let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
    contexts
        .map(|(user, contexts)| Ok((user, serde_json::to_string(contexts).map_err(encode)?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()
        .map(|rows| rows.into_iter().unzip())
}
