//! Reads and writes the contexts of sign-ins: their ledger, what is kept of them beside a user's row, and the columns that
//! follow from it. Knows the SQL; decides nothing.

use std::collections::{BTreeMap, HashSet};

use cognito_user_sync_triggers::event::{ContextEvent, EventId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::Transaction;
use crate::store::model::columns::{address, own_words};
use crate::store::model::contexts::{Contexts, Origins, OwnWords, Source};
use crate::store::model::device::Device;
use crate::store::model::state::{Login, SignUp};
use crate::store::model::user::StoredUser;
use crate::store::tables::ledger::LedgerInsert;
use crate::store::tables::refusal::all_written;
use crate::store::tables::users::corrupt;

/// The contexts that are kept of users. They change under the lock of the row, or of what makes it: who asks before it has that
/// lock may be told what stood before.
pub(in crate::store) async fn read(
    tx: &mut Transaction,
    users: &[Uuid],
) -> Result<BTreeMap<Uuid, Contexts>, sqlx::Error> {
    let query = "select user_id, state from user_sync_context_states where user_id = any ($1)";
    let rows: Vec<(Uuid, Json<Contexts>)> = sqlx::query_as(query).bind(users).fetch_all(tx).await?;
    Ok(rows.into_iter().map(|(user, Json(contexts))| (user, contexts)).collect())
}

/// Reads the contexts of users whose rows are locked. Nothing is kept of who is erased.
pub(in crate::store) async fn attach(
    tx: &mut Transaction,
    users: &mut BTreeMap<Uuid, StoredUser>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = users.values().filter(|user| !user.is_erased).map(|user| user.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    for (id, contexts) in read(tx, &ids).await? {
        users.get_mut(&id).into_iter().for_each(|user| user.contexts.clone_from(&contexts));
    }
    Ok(())
}

/// Inserts the records that the ledger does not have. An id that is there is the same record: it is made of it.
///
/// `events` holds each id once, in ascending order, so that two transactions wait for each other in one direction only.
pub(in crate::store) async fn insert(
    tx: &mut Transaction,
    events: &[&ContextEvent<'_>],
) -> Result<LedgerInsert, sqlx::Error> {
    let text = |text: fn(&ContextEvent<'_>) -> &'static str| -> Vec<&'static str> {
        events.iter().map(|event| text(event)).collect()
    };
    let data: Result<Vec<String>, _> =
        events.iter().map(|event| serde_json::to_string(&event.data)).collect();
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    let fresh = sqlx::query_scalar(include_str!("insert_contexts.sql"))
        .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>())
        .bind(events.iter().map(|event| event.sub).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.user_pool_id.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.data.client_id.as_deref()).collect::<Vec<_>>())
        .bind(text(|event| event.data.reported_by.as_str()))
        .bind(text(|event| event.data.occasion.as_str()))
        .bind(events.iter().map(|event| event.data.witness).collect::<Vec<bool>>())
        .bind(ids.iter().map(|id| id.time().into()).collect::<Vec<OffsetDateTime>>())
        .bind(data.map_err(|error| sqlx::Error::Encode(error.into()))?);
    let fresh: HashSet<Uuid> = fresh.fetch_all(&mut *tx).await?.into_iter().collect();
    let earlier: Vec<Uuid> = ids.iter().map(|id| id.uuid()).filter(|id| !fresh.contains(id)).collect();
    if !earlier.is_empty() {
        let there = "select count(*) from user_sync_contexts where id = any ($1)";
        let there: i64 = sqlx::query_scalar(there).bind(&earlier).fetch_one(tx).await?;
        all_written("user_sync_contexts", earlier.len(), u64::try_from(there).unwrap_or(0))?;
    }
    Ok(LedgerInsert::of_records(ids, &fresh))
}

/// Writes what is kept of users, and the columns of their rows that follow from it. The rows are locked, or what makes them.
pub(in crate::store) async fn write(
    tx: &mut Transaction,
    changed: &BTreeMap<Uuid, Contexts>,
) -> Result<(), sqlx::Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
    let states: Result<Vec<String>, _> = changed.values().map(serde_json::to_string).collect();
    let upsert = "insert into user_sync_context_states (user_id, state)
        select user_id, state::jsonb from unnest($1::uuid[], $2::text[]) as new (user_id, state) order by user_id
        on conflict (user_id) do update set state = excluded.state";
    let users: Vec<Uuid> = changed.keys().copied().collect();
    let written = sqlx::query(upsert).bind(&users).bind(states.map_err(encode)?).execute(&mut *tx).await?;
    all_written("user_sync_context_states", users.len(), written.rows_affected())?;

    // By itself, since little of a row is asked for: a record comes with most logins. A row that no event has made is somebody
    // else's.
    let rows = "select id, last_login_id, last_login_client_id, host(last_login_ip) as last_login_ip, last_login_device,
            last_login_location, last_login_own, sign_up_id, host(created_ip) as created_ip, created_ip_for,
            sign_up_referral_code
        from users where id = any ($1) and attributes_version is not null";
    let rows = sqlx::query(rows).bind(&users).fetch_all(&mut *tx).await?;
    let read = |row: &PgRow| Ok((row.try_get("id")?, last_login(row)?, sign_up(row)?));
    let rows: Vec<(Uuid, Option<Login>, Option<SignUp>)> =
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?;
    let origins = rows.iter().filter_map(|(id, last_login, sign_up)| {
        let (last_login, sign_up) = (last_login.as_ref(), sign_up.as_ref());
        Some((*id, Origins { last_login, sign_up, contexts: changed.get(id)? }))
    });
    show(tx, &origins.collect::<Vec<_>>()).await
}

/// Writes the columns that follow from contexts, too, and nothing else of the rows.
async fn show(tx: &mut Transaction, users: &[(Uuid, Origins<'_>)]) -> Result<(), sqlx::Error> {
    if users.is_empty() {
        return Ok(());
    }
    let origins = || users.iter().map(|(_, origins)| origins);
    let shown = || origins().map(Origins::shown);
    let until = origins().map(|origins| origins.contexts.until().map(OffsetDateTime::from));
    let query = sqlx::query(include_str!("show_contexts.sql"))
        .bind(users.iter().map(|(id, _)| *id).collect::<Vec<Uuid>>())
        .bind(shown().map(|shown| shown.ip.map(address)).collect::<Vec<_>>())
        .bind(shown().map(|shown| shown.device.map(Device::as_str)).collect::<Vec<_>>())
        .bind(shown().map(|shown| shown.location).collect::<Vec<_>>())
        .bind(shown().map(|shown| shown.source.map(Source::as_str)).collect::<Vec<_>>())
        .bind(origins().map(|origins| origins.own_words().as_ref().map(own_words)).collect::<Vec<_>>())
        .bind(until.collect::<Vec<_>>())
        .bind(origins().map(|origins| origins.created_ip().map(address)).collect::<Vec<_>>())
        .bind(origins().map(|origins| origins.created_ip_for().map(|id| id.uuid())).collect::<Vec<_>>());
    all_written("users", users.len(), query.execute(tx).await?.rows_affected())
}

/// The last login of a row, as it said itself.
pub(in crate::store) fn last_login(row: &PgRow) -> Result<Option<Login>, sqlx::Error> {
    let Some(id) = event_id(row, "last_login_id")? else { return Ok(None) };
    let own = row.try_get::<Option<Json<OwnWords>>, _>("last_login_own")?;
    // An older release may have moved the last login and left the former one's words.
    let own = match own.filter(|Json(own)| own.id == id) {
        Some(Json(own)) => own,
        None => OwnWords {
            id,
            ip: ip(row, "last_login_ip")?,
            device: row.try_get::<Option<&str>, _>("last_login_device")?.and_then(Device::parse),
            location: row.try_get("last_login_location")?,
        },
    };
    let client_id = row.try_get("last_login_client_id")?;
    let OwnWords { id, ip, device, location } = own;
    Ok(Some(Login { id, client_id, ip, device, location, user_agent: None }))
}

/// The first confirmation of a row, as it said itself.
pub(in crate::store) fn sign_up(row: &PgRow) -> Result<Option<SignUp>, sqlx::Error> {
    let Some(id) = event_id(row, "sign_up_id")? else { return Ok(None) };
    // An older release may have taken another confirmation, and left this.
    let ip = match event_id(row, "created_ip_for")? {
        Some(silent) if silent == id => None,
        _ => ip(row, "created_ip")?,
    };
    Ok(Some(SignUp { id, ip, referral_code: row.try_get("sign_up_referral_code")? }))
}

/// The event that a column names.
pub(in crate::store) fn event_id(row: &PgRow, column: &'static str) -> Result<Option<EventId>, sqlx::Error> {
    let id = row.try_get::<Option<Uuid>, _>(column)?;
    id.map(|id| EventId::from_uuid(id).map_err(|_| corrupt(column))).transpose()
}

fn ip(row: &PgRow, column: &'static str) -> Result<Option<std::net::IpAddr>, sqlx::Error> {
    let ip = row.try_get::<Option<&str>, _>(column)?;
    ip.map(|ip| ip.parse().map_err(|_| corrupt(column))).transpose()
}
