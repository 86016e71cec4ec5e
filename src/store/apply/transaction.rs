//! One transaction of a batch: by which path, and what its end means for the connection.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::postgres::{Purpose, Transaction};
use crate::store::apply::batch::Batch;
use crate::store::apply::{Applier, contexts, fast_path, groups, slow_path};
use crate::store::tables::failure::{Failure, OF_A_BATCH, retry_conflicts};
use crate::store::tables::heartbeat;
use crate::store::tables::ledger::{self, LedgerInsert};

/// What a transaction came to.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) inserted: LedgerInsert,
    /// Users of the batch whose events were left because somebody holds their rows.
    pub(super) held: BTreeSet<Uuid>,
}

/// How a batch goes into the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// By [`fast_path::record`], which takes what it can.
    Fast,
    /// By [`slow_path::record`], which takes everything of users, by [`groups::record`] or by [`contexts::record`].
    Slow,
}

impl Applier {
    /// Commits a batch; tries again while other transactions are in the way.
    pub(super) async fn commit(&self, batch: &Batch<'_>, path: Path) -> Result<Recorded, Failure> {
        let committed = retry_conflicts(OF_A_BATCH, || self.try_commit(batch, path)).await;
        if let Err(Failure::HorizonMoved) = committed {
            self.horizon.forget();
        }
        committed
    }

    async fn try_commit(&self, batch: &Batch<'_>, path: Path) -> Result<Recorded, Failure> {
        let purpose = match path {
            Path::Fast => Purpose::Logins,
            Path::Slow => Purpose::Events,
        };
        let mut tx = self.database().begin(purpose).await.map_err(Failure::before_any_row)?;
        let recorded = self.record_open(&mut tx, batch, path).await;
        match &recorded {
            // Nothing was written: every login is left to the slow path.
            Ok(recorded) if path == Path::Fast && !recorded.inserted.has_new() => tx.rollback().await?,
            Ok(_) => tx.commit().await?,
            // It may be in the middle of something.
            Err(failure @ Failure::Unavailable(_)) if !failure.is_of_one_event() => drop(tx),
            // At once, for the rest is tried at once, maybe on another connection.
            Err(
                Failure::AlreadyRecorded(_)
                | Failure::Conflict { .. }
                | Failure::Blocked { .. }
                | Failure::Held(_)
                | Failure::TooLarge(_)
                | Failure::HorizonMoved
                | Failure::Unavailable(_)
                | Failure::Misconfigured(_)
                | Failure::Refused(_),
            ) => tx.rollback().await?,
        }
        recorded
    }

    /// Records what is of no month that is being folded.
    async fn record_open(
        &self,
        tx: &mut Transaction,
        batch: &Batch<'_>,
        path: Path,
    ) -> Result<Recorded, Failure> {
        let mut held = ledger::held(tx, batch.in_ledger()).await?;
        held.extend(ledger::held_records(tx, batch.contexts.keys().copied()).await?);
        if held.is_empty() {
            return self.record(tx, batch, path).await;
        }
        let recorded = self.record(tx, &batch.without(&held), path).await?;
        Ok(Recorded { inserted: recorded.inserted.without(held), ..recorded })
    }

    async fn record(&self, tx: &mut Transaction, batch: &Batch<'_>, path: Path) -> Result<Recorded, Failure> {
        let recorded = match path {
            Path::Fast => fast_path::record(tx, batch.users.values().copied(), &self.geoip).await?,
            Path::Slow if !batch.groups.is_empty() => {
                let inserted = groups::record(tx, batch).await?;
                Recorded { inserted, held: BTreeSet::new() }
            }
            Path::Slow if !batch.contexts.is_empty() => {
                let inserted = contexts::record(tx, batch, &self.geoip).await?;
                Recorded { inserted, held: BTreeSet::new() }
            }
            Path::Slow if batch.users.is_empty() => Recorded::default(),
            Path::Slow => {
                let inserted = slow_path::record(tx, batch, &self.geoip).await?;
                Recorded { inserted, held: BTreeSet::new() }
            }
        };
        heartbeat::stamp(tx, &batch.heartbeats).await?;
        Ok(recorded)
    }
}
