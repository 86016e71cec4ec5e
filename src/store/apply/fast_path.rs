//! The fast path, of nearly every message: a login that reports of its user what is known already. It needs nothing of
//! the row but a digest of that, and changes nothing but the login's columns, each by a rule that does not ask what
//! came before: so it is one update and one insert, whoever else works on the same users.

use std::collections::HashSet;

use cognito_user_sync_triggers::event::{Kind, UserEvent};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::Transaction;
use crate::store::apply::transaction::Recorded;
use crate::store::model::device::Device;
use crate::store::model::digest;
use crate::store::model::state::Login;
use crate::store::tables::failure::Failure;
use crate::store::tables::ledger;

/// Whether an event may be of the kind that this is for. What only a snapshot knows is not in a login.
pub(super) fn may_take(event: &UserEvent<'_>) -> bool {
    let data = &event.data;
    event.kind == Kind::Authenticated && data.enabled.is_none() && data.created_at.is_none()
}

/// Records the logins that report nothing new, and returns what became of them; the others are left as they are, among
/// them those of users whose rows somebody holds.
///
/// Counts them as if the ledger had none of them before. If it had any, that is [`Failure::AlreadyRecorded`]: the
/// transaction must not be committed, and the rest may be tried again.
///
/// `events` holds each id once, in ascending order, and none that [`may_take`] refuses.
pub(super) async fn record<'a>(
    tx: &mut Transaction,
    events: impl Iterator<Item = &'a UserEvent<'a>>,
    geoip: &GeoIp,
) -> Result<Recorded, Failure> {
    let mut events: Vec<&UserEvent<'a>> = events.collect();
    let mut logins: Vec<Logins<'_>> = events.iter().map(|event| Logins::of(event)).collect();
    // Keeps the order of each user's.
    logins.sort_by_key(|logins| logins.user());
    logins.dedup_by(|later, logins| {
        let is_same_user = logins.user() == later.user();
        if is_same_user {
            logins.add(later);
        }
        is_same_user
    });
    if logins.iter().any(|logins| !logins.agree) {
        logins.retain(|logins| logins.agree);
        events.retain(|event| logins.binary_search_by_key(&event.sub, Logins::user).is_ok());
    }
    let rows = ledger::Rows::of(&events)?;
    let (counted, fresh, held) = count(tx, &logins, geoip, &rows).await?;
    if let Some(counted) = counted {
        let counted: HashSet<Uuid> = counted.into_iter().collect();
        events.retain(|event| counted.contains(&event.sub));
    }
    let inserted =
        ledger::compare_earlier(tx, events.iter().map(|event| event.id).collect(), &rows, fresh).await?;
    if inserted.had_any() {
        return Err(Failure::AlreadyRecorded(Box::new(inserted)));
    }
    Ok(Recorded { inserted, held: held.unwrap_or_default().into_iter().collect() })
}

/// The logins of one user.
struct Logins<'a> {
    count: i64,
    first: &'a UserEvent<'a>,
    latest: &'a UserEvent<'a>,
    /// Of what each of them reports.
    digest: Uuid,
    /// Whether all of them report the same.
    agree: bool,
}

impl<'a> Logins<'a> {
    fn of(event: &'a UserEvent<'a>) -> Self {
        Self { count: 1, first: event, latest: event, digest: digest::of_event(event), agree: true }
    }

    fn user(&self) -> Uuid {
        self.first.sub
    }

    /// Adds later ones of the same user.
    fn add(&mut self, later: &Self) {
        self.count += later.count;
        self.latest = later.latest;
        self.agree &= later.agree && self.digest == later.digest;
    }
}

/// Who was counted, and which events are new; `None` is all of them. And whose row somebody holds; `None` is nobody's.
type Counted = (Option<Vec<Uuid>>, Option<Vec<Uuid>>, Option<Vec<Uuid>>);

/// Adds logins up where they report nothing new, and inserts what is counted into the ledger.
async fn count(
    tx: &mut Transaction,
    logins: &[Logins<'_>],
    geoip: &GeoIp,
    events: &ledger::Rows<'_>,
) -> Result<Counted, sqlx::Error> {
    let latest: Vec<Login> = logins.iter().map(|logins| Login::resolved(logins.latest, geoip)).collect();
    let time = |event: &UserEvent<'_>| OffsetDateTime::from(event.id.time());
    let query = sqlx::query_as(include_str!("record_logins.sql"))
        .bind(logins.iter().map(Logins::user).collect::<Vec<Uuid>>())
        .bind(logins.iter().map(|logins| logins.digest).collect::<Vec<Uuid>>())
        .bind(logins.iter().map(|logins| logins.count).collect::<Vec<i64>>())
        .bind(logins.iter().map(|logins| time(logins.first)).collect::<Vec<OffsetDateTime>>())
        .bind(latest.iter().map(|login| login.id.uuid()).collect::<Vec<Uuid>>())
        .bind(logins.iter().map(|logins| time(logins.latest)).collect::<Vec<OffsetDateTime>>())
        .bind(latest.iter().map(|login| login.ip.map(|ip| ip.to_string())).collect::<Vec<_>>())
        .bind(latest.iter().map(|login| login.device.map(Device::as_str)).collect::<Vec<_>>())
        .bind(latest.iter().map(|login| login.location.as_deref()).collect::<Vec<_>>())
        .bind(latest.iter().map(|login| login.client_id.as_deref()).collect::<Vec<_>>());
    // A transaction of one user's holds nothing while it waits.
    let others: Vec<Uuid> =
        if logins.len() > 1 { logins.iter().map(Logins::user).collect() } else { Vec::new() };
    events.bind(query).bind(others).fetch_one(tx).await
}
