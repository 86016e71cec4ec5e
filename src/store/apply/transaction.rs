//! One transaction of a batch: on which connection, by which path, and what its end means for both.

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use crate::postgres::answer_in_time;
use crate::store::apply::batch::Batch;
use crate::store::apply::{Applier, fast_path, slow_path};
use crate::store::tables::failure::{Failure, OF_A_BATCH, retry_conflicts};
use crate::store::tables::heartbeat;
use crate::store::tables::ledger::LedgerInsert;

/// How a batch goes into the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// By [`fast_path::record`], which takes what it can.
    Fast,
    /// By [`slow_path::record`], which takes everything.
    Slow,
}

/// A transaction did not begin, so nothing was done.
struct NotBegun(sqlx::Error);

impl Applier {
    /// Commits a batch; tries again while other transactions are in the way.
    pub(super) async fn commit(&self, batch: &Batch<'_>, path: Path) -> Result<LedgerInsert, Failure> {
        let committed = retry_conflicts(OF_A_BATCH, || self.try_commit(batch, path)).await;
        if let Err(Failure::HorizonMoved) = committed {
            self.forget_horizon();
        }
        committed
    }

    async fn try_commit(&self, batch: &Batch<'_>, path: Path) -> Result<LedgerInsert, Failure> {
        loop {
            let mut session = self.database().session().await?;
            let committed = match self.commit_on(&mut session, batch, path).await {
                Ok(committed) => committed,
                Err(NotBegun(error)) => {
                    session.discard_or_fail(error)?;
                    continue;
                }
            };
            match &committed {
                Ok(_) | Err(Failure::AlreadyRecorded(_)) => self.database().recycle(session),
                // It may be in the middle of something.
                Err(Failure::Unavailable(_)) => session.discard(),
                // The pool undoes at once what is left on it.
                Err(
                    Failure::Conflict { .. }
                    | Failure::Blocked { .. }
                    | Failure::HorizonMoved
                    | Failure::Misconfigured(_)
                    | Failure::Refused { .. },
                ) => drop(session),
            }
            return committed;
        }
    }

    async fn commit_on(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<'_>,
        path: Path,
    ) -> Result<Result<LedgerInsert, Failure>, NotBegun> {
        let begin = match path {
            Path::Fast => fast_path::BEGIN,
            Path::Slow => "BEGIN",
        };
        let tx = answer_in_time(connection.begin_with(begin)).await.map_err(NotBegun)?;
        Ok(self.commit_in(tx, batch, path).await)
    }

    async fn commit_in(
        &self,
        mut tx: Transaction<'_, Postgres>,
        batch: &Batch<'_>,
        path: Path,
    ) -> Result<LedgerInsert, Failure> {
        let recorded = match path {
            Path::Fast => fast_path::record(&mut tx, batch.users.values().copied(), &self.geoip).await,
            Path::Slow if batch.users.is_empty() => Ok(LedgerInsert::default()),
            Path::Slow => slow_path::record(&mut tx, batch, &self.geoip).await,
        };
        if let Err(Failure::AlreadyRecorded(_)) = recorded {
            // At once, for the rest is tried at once, maybe on another connection.
            tx.rollback().await?;
            return recorded;
        }
        let inserted = recorded?;
        if let Some(latest) = batch.heartbeats.last() {
            heartbeat::stamp(&mut tx, *latest).await?;
        }
        match path {
            // Nothing was written: every login is left to the slow path.
            Path::Fast if !inserted.has_new() => tx.rollback().await?,
            Path::Fast | Path::Slow => tx.commit().await?,
        }
        Ok(inserted)
    }
}
