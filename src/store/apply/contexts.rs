//! The path of contexts: into their ledger, and onto the rows of the users whose last login or sign-up they are about. Must
//! count nothing: a context is no login.
//!
//! **Invariant:** what is kept of a user's contexts changes under the lock of the user's row, or of what whoever makes it
//! locks: so whoever writes the row by them has them all. And nothing of an erased person is stored again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use cognito_user_sync_triggers::event::ContextEvent;
use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::Transaction;
use crate::store::apply::batch::Batch;
use crate::store::apply::{APPLY_LIMIT, Applier, Outcomes, Work};
use crate::store::model::contexts::{Contexts, fold};
use crate::store::model::scrub::scrub_context;
use crate::store::tables::failure::Failure;
use crate::store::tables::ledger::LedgerInsert;
use crate::store::tables::{contexts, groups};

impl Applier {
    /// Applies contexts, each id once, and says what became of each. One that the ledger has is a duplicate, whatever it says.
    pub(super) async fn apply_contexts(&self, events: &[&ContextEvent<'_>]) -> Outcomes {
        let mut outcomes = Vec::with_capacity(events.len());
        let contexts = events.iter().map(|event| (event.id, *event)).collect();
        let others = Batch { contexts, ..Batch::default() };
        let work = Work { others, ..Work::default() };
        self.apply_rounds(work, Instant::now() + APPLY_LIMIT, &mut outcomes).await;
        outcomes
    }
}

/// Records a batch's contexts, and returns what became of them.
///
/// # Errors
/// Where somebody holds the row of one of the users, among others.
pub(super) async fn record(
    tx: &mut Transaction,
    batch: &Batch<'_>,
    geoip: &GeoIp,
) -> Result<LedgerInsert, Failure> {
    let users: BTreeSet<Uuid> = batch.contexts.values().filter_map(|event| event.sub).collect();
    let erased = groups::lock(tx, &users, []).await?;
    let scrubbed: Vec<Cow<'_, ContextEvent<'_>>> =
        batch.contexts.values().map(|event| scrub_if_erased(event, &erased)).collect();
    let events: Vec<&ContextEvent<'_>> = scrubbed.iter().map(AsRef::as_ref).collect();
    let inserted = contexts::insert(tx, &events).await?;
    let new = fold(events.into_iter().filter(|event| inserted.is_new(event.id)), geoip);
    // Read under the locks: what another transaction kept meanwhile counts.
    let kept = contexts::read(tx, &new.keys().copied().collect::<Vec<_>>()).await?;
    contexts::write(tx, &changed(kept, new)).await?;
    Ok(inserted)
}

/// What is kept of each user of whom that changes.
fn changed(mut kept: BTreeMap<Uuid, Contexts>, new: BTreeMap<Uuid, Contexts>) -> BTreeMap<Uuid, Contexts> {
    let merged = new.into_iter().filter_map(|(user, new)| {
        let before = kept.remove(&user).unwrap_or_default();
        let mut after = before.clone();
        after.merge(new);
        (after != before).then_some((user, after))
    });
    merged.collect()
}

fn scrub_if_erased<'a, 'e>(
    event: &'a ContextEvent<'e>,
    erased: &BTreeSet<Uuid>,
) -> Cow<'a, ContextEvent<'e>> {
    match event.sub.is_some_and(|user| erased.contains(&user)) {
        true => Cow::Owned(scrub_context(event)),
        false => Cow::Borrowed(event),
    }
}
