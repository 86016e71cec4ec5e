//! The short way, of nearly every message: a login that tells of its user what is known already. It needs nothing of
//! the row but a digest of that, and changes nothing but the login's columns, each by a rule that does not ask what
//! came before: so it is one lock, one insert and one update, whoever else is at work on the same users.

use std::collections::{BTreeMap, HashMap};

use cognito_user_sync_triggers::event::{Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::device::Device;
use super::failure::Failure;
use super::ledger::{self, Committed};
use super::profile;
use super::state::Login;
use crate::places::Places;

/// Whether an event may be of the kind that this is for. What only a snapshot knows is not in a login.
pub(super) fn may_take(event: &UserEvent) -> bool {
    let data = &event.data;
    event.kind == Kind::Authenticated && data.enabled.is_none() && data.created_at.is_none()
}

/// Records the logins that tell nothing new, and returns what became of them; the others are left as they are.
///
/// `events` holds each id once, in ascending order, and none that [`may_take`] refuses.
pub(super) async fn record(
    tx: &mut PgConnection,
    events: impl Iterator<Item = &UserEvent>,
    places: &Places,
) -> Result<Committed, Failure> {
    let events: Vec<&UserEvent> = events.collect();
    let mut users: Vec<Uuid> = events.iter().map(|event| event.sub).collect();
    users.sort_unstable();
    users.dedup();
    let profiles = lock(tx, &users).await?;
    let tells_nothing_new = |event: &&UserEvent| {
        profiles.get(&event.sub).is_some_and(|known| {
            known.settled_at <= event.id.time() && known.digest == profile::of_event(event)
        })
    };
    let events: Vec<&UserEvent> = events.into_iter().filter(tells_nothing_new).collect();
    if events.is_empty() {
        return Ok(Committed::default());
    }
    let committed = ledger::insert(tx, &events).await?;
    let mut logins = BTreeMap::<Uuid, Logins<'_>>::new();
    // In the order of their ids: the last one is the latest.
    for event in events.into_iter().filter(|event| committed.is_fresh(event.id)) {
        let logins = logins.entry(event.sub).or_insert(Logins { count: 0, latest: event });
        logins.count += 1;
        logins.latest = event;
    }
    if !logins.is_empty() {
        count(tx, &logins, places).await?;
    }
    Ok(committed)
}

/// What is known of a user.
struct Profile {
    digest: Uuid,
    settled_at: Timestamp,
}

/// The fresh logins of one user.
struct Logins<'a> {
    count: i64,
    latest: &'a UserEvent,
}

async fn lock(tx: &mut PgConnection, users: &[Uuid]) -> Result<HashMap<Uuid, Profile>, sqlx::Error> {
    let (ids, digests, settled_at): (Vec<Uuid>, Vec<Uuid>, Vec<OffsetDateTime>) =
        sqlx::query_as(include_str!("lock_profiles.sql")).bind(users).fetch_one(tx).await?;
    let profiles = digests.into_iter().zip(settled_at);
    let profile =
        |(digest, settled_at): (Uuid, OffsetDateTime)| Profile { digest, settled_at: settled_at.into() };
    Ok(ids.into_iter().zip(profiles.map(profile)).collect())
}

async fn count(
    tx: &mut PgConnection,
    logins: &BTreeMap<Uuid, Logins<'_>>,
    places: &Places,
) -> Result<(), sqlx::Error> {
    let mut devices = HashMap::<String, Option<Device>>::new();
    let mut device_of = |user_agent: &str| match devices.get(user_agent) {
        Some(device) => *device,
        None => *devices.entry(user_agent.to_owned()).or_insert(Device::of_user_agent(user_agent)),
    };
    let mut latest = Vec::with_capacity(logins.len());
    for logins in logins.values() {
        let mut login = Login::of(logins.latest);
        login.settle_by(places, &mut device_of);
        latest.push(login);
    }
    let times = latest.iter().map(|login| login.id.time().into());
    let query = sqlx::query(include_str!("count_logins.sql"))
        .bind(logins.keys().copied().collect::<Vec<Uuid>>())
        .bind(logins.values().map(|logins| logins.count).collect::<Vec<i64>>())
        .bind(latest.iter().map(|login| login.id.uuid()).collect::<Vec<Uuid>>())
        .bind(times.collect::<Vec<OffsetDateTime>>())
        .bind(latest.iter().map(|login| login.ip.map(|ip| ip.to_string())).collect::<Vec<_>>())
        .bind(latest.iter().map(|login| login.device.map(Device::as_str)).collect::<Vec<_>>())
        .bind(latest.iter().map(|login| login.location.as_deref()).collect::<Vec<_>>());
    query.execute(tx).await.map(drop)
}
