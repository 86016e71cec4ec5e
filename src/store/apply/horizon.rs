//! What is known of the ids that a ledger takes. Must not know what is applied.

use std::sync::{Mutex, PoisonError};

use cognito_user_sync_triggers::event::EventId;
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::postgres::Database;
use crate::store::tables::failure::Failure;
use crate::store::tables::ledger::{Horizon, Ledger};

/// A ledger's horizon: read once, and again when it may have moved, since partitions are made and dropped by `maintain`.
#[derive(Debug)]
pub(super) struct KnownHorizon {
    of: Ledger,
    known: Mutex<Option<Horizon>>,
}

impl KnownHorizon {
    pub(super) fn of(of: Ledger) -> Self {
        Self { of, known: Mutex::new(None) }
    }

    /// The horizon, read again when an event lies outside the one that is known.
    pub(super) async fn covering(
        &self,
        database: &Database,
        ids: &[EventId],
        latest: Timestamp,
    ) -> Result<Horizon, Failure> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|horizon| ids.iter().all(|id| horizon.check(*id, latest).is_ok())) {
            return Ok(known);
        }
        let read = Horizon::read(database, self.of).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
        Ok(read)
    }

    pub(super) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
