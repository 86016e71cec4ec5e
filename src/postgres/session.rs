//! Keeps connections from one batch to the next, and no more of them than are permitted. Must not know what is done on
//! them.
//!
//! In place of the driver's pool, which tests a connection before each use and after it: for a small batch, that is a third
//! of all waiting, and it waits without an end for one that has died unseen. Here the next transaction tests a connection
//! by its first statement, which must be one that may be sent again on another connection.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::postgres::ACQUIRE_TIMEOUT;

/// How long a connection is kept: enough for thousands of batches.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// How long closing may take: a connection that died unseen takes no farewell.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

/// The connections of a database: those between two transactions, and permits for all.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    kept: Arc<Mutex<Vec<Kept>>>,
    permits: Arc<Semaphore>,
    limit: usize,
}

#[derive(Debug)]
struct Kept {
    connection: PgConnection,
    opened_at: Instant,
}

impl Sessions {
    /// At most `limit` connections.
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self { kept: Arc::default(), permits: Arc::new(Semaphore::new(limit)), limit }
    }

    /// A connection that served before, or the one that `connect` opens.
    ///
    /// # Errors
    /// When all connections are in use for [`ACQUIRE_TIMEOUT`], when `connect` fails, and after [`Sessions::close`].
    pub(super) async fn take(
        &self,
        connect: impl AsyncFnOnce() -> Result<PgConnection, sqlx::Error>,
    ) -> Result<Session, sqlx::Error> {
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        if let Some(Kept { connection, opened_at }) = self.kept() {
            return Ok(Session { connection, opened_at, has_served: true, permit });
        }
        let connection = connect().await?;
        Ok(Session { connection, opened_at: Instant::now(), has_served: false, permit })
    }

    /// The one that served last, so that those beyond what the load needs grow old.
    fn kept(&self) -> Option<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.opened_at.elapsed() < KEPT_FOR);
        kept.pop()
    }

    /// Keeps a connection, which must have no open transaction, for the next one.
    pub(super) fn keep(&self, session: Session) {
        let Session { connection, opened_at, permit, .. } = session;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(Kept { connection, opened_at });
        // Only now: whoever waits for it finds the connection.
        drop(permit);
    }

    /// How many connections are open, in use or not.
    pub(super) fn open(&self) -> usize {
        let in_use = self.limit.saturating_sub(self.permits.available_permits());
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).len() + in_use
    }

    /// Closes all connections: those in use when they are given back, for which it waits, though not for long.
    pub(super) async fn close(&self) {
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        drop(tokio::time::timeout(ACQUIRE_TIMEOUT, self.permits.acquire_many(all)).await);
        self.permits.close();
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let closed = join_all(kept.into_iter().map(|kept| kept.connection.close()));
        drop(tokio::time::timeout(CLOSING_TIMEOUT, closed).await);
    }
}

/// A connection, either new or one that has served before. Dropped, it is gone, without a farewell: it may be dead, or in
/// the middle of a statement.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
    opened_at: Instant,
    has_served: bool,
    permit: OwnedSemaphorePermit,
}

impl Session {
    /// Closes the connection, since its first statement failed. If it has served before, another one may succeed: this one
    /// may have died unseen, by a failover, by a proxy's limit, or while a function was frozen.
    ///
    /// # Errors
    /// The error itself, if the connection is new.
    pub(super) fn discard_or_fail(self, error: sqlx::Error) -> Result<(), sqlx::Error> {
        if self.has_served { Ok(()) } else { Err(error) }
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
