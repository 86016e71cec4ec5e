//! Keeps connections from one batch to the next. Must not know what is done on them.
//!
//! The pool tests a connection before each use and after it: for a small batch, that is a third of all waiting. So a
//! connection that served well stays outside the pool, and the next batch tests it by its first statement, which must be
//! one that may be sent again on another connection.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

/// How long a connection is kept outside the pool, which closes old ones: enough for thousands of batches.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// Connections for the next batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<Session>>>);

impl Kept {
    /// The one that served last, so that those beyond what the load needs expire.
    pub(super) fn take(&self) -> Option<Session> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The others go back to the pool, which tests them.
        kept.retain(|session| session.since.elapsed() < KEPT_FOR);
        kept.pop()
    }

    pub(super) fn put(&self, session: Session) {
        let session = Session { has_served: true, ..session };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Gives all of them back to the pool.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A connection, either new from the pool or one that has served before.
///
/// When it is dropped, it goes back to the pool: it must have no open transaction then.
#[derive(Debug)]
pub(crate) struct Session {
    connection: PoolConnection<Postgres>,
    /// When it came from the pool.
    since: Instant,
    has_served: bool,
}

impl Session {
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection, since: Instant::now(), has_served: false }
    }

    /// Closes the connection without a farewell: it may be dead, or in the middle of a statement.
    pub(crate) fn discard(self) {
        drop(self.connection.detach());
    }

    /// Closes the connection, since its first statement failed. If it has served before, another one may succeed: this one
    /// may have died unseen, by a failover, by a proxy's limit, or while a function was frozen.
    ///
    /// # Errors
    /// The error itself, if the connection is new.
    pub(crate) fn discard_or_fail(self, error: sqlx::Error) -> Result<(), sqlx::Error> {
        let has_served = self.has_served;
        self.discard();
        if has_served { Ok(()) } else { Err(error) }
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
