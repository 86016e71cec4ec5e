//! What is kept of contexts beside the rows, against their ledger: what differs. Places that were found by an address are found
//! again here; must not know how a context says one.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::{Database, Purpose, Transaction};
use crate::store::maintenance::verify::Difference;
use crate::store::model::contexts::Contexts;
use crate::store::tables::context_history::{self, Stored};
use crate::store::tables::history::Told;

/// The place of a difference in what is reported.
pub(super) const STATES: &str = "user_sync_context_states";

/// Finds the places of addresses. They are not in the ledger: without the operator's file they are taken from what is stored,
/// as that of a login is from its row.
pub(super) fn locate(told: &mut BTreeMap<Uuid, Told>, stored: &BTreeMap<Uuid, Stored>, geoip: &GeoIp) {
    for (user, told) in told {
        let Some(contexts) = &mut told.contexts else { continue };
        let stored = stored.get(user).filter(|_| geoip.is_empty()).and_then(Stored::contexts);
        locate_one(contexts, stored.as_ref(), geoip);
    }
}

fn locate_one(contexts: &mut Contexts, stored: Option<&Contexts>, geoip: &GeoIp) {
    for (reporter, kept) in &mut contexts.sign_ins {
        let stored = stored.and_then(|stored| stored.sign_ins.get(reporter));
        for (id, kept) in kept.iter_mut().filter(|(_, kept)| kept.location.is_none()) {
            let known = stored.and_then(|stored| stored.get(id)).filter(|stored| stored.ip == kept.ip);
            let known = known.and_then(|stored| stored.location.clone());
            kept.location = kept.ip.and_then(|ip| geoip.of(ip).or(known));
        }
    }
}

/// Where what is stored is not what the contexts of some users amount to. Of whom no context tells, see
/// [`without_history`].
pub(super) fn differences(
    told: &BTreeMap<Uuid, Told>,
    stored: &BTreeMap<Uuid, Stored>,
) -> Result<Vec<Difference>, sqlx::Error> {
    let mut differences = Vec::new();
    for (user, told) in told {
        let Some(contexts) = &told.contexts else { continue };
        let (stored, expected) = (stored.get(user), Some(contexts).filter(|contexts| !contexts.is_empty()));
        if stored.map(Stored::contexts) == expected.map(|contexts| Some(contexts.clone())) {
            continue;
        }
        let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
        differences.push(Difference {
            user: *user,
            column: STATES.to_owned(),
            stored: stored.map(Stored::text),
            expected: expected.map(serde_json::to_string).transpose().map_err(encode)?,
        });
    }
    Ok(differences)
}

/// What is stored of users of whom no context tells.
pub(super) async fn without_history(tx: &mut Transaction) -> Result<Vec<Difference>, sqlx::Error> {
    let stored = context_history::without_history(tx).await?;
    Ok(stored.iter().map(|(user, stored)| is_surplus(*user, stored)).collect())
}

/// The same, of one user.
pub(super) fn surplus_of(
    user: Uuid,
    told: Option<&Told>,
    stored: &BTreeMap<Uuid, Stored>,
) -> Option<Difference> {
    let is_told = told.is_some_and(|told| told.contexts.is_some());
    stored.get(&user).filter(|_| !is_told).map(|stored| is_surplus(user, stored))
}

fn is_surplus(user: Uuid, stored: &Stored) -> Difference {
    Difference { user, column: STATES.to_owned(), stored: Some(stored.text()), expected: None }
}

/// Users of whom no context tells, and of whom something is stored.
pub(super) async fn surplus(database: &Database) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut tx = database.begin(Purpose::Snapshot).await?;
    sqlx::query("set local statement_timeout = 0").execute(&mut tx).await?;
    let stored = context_history::without_history(&mut tx).await?;
    tx.rollback().await.map(|()| stored.into_keys().collect())
}
