//! Connections that one batch after the other uses. Knows nothing of what is done on them.
//!
//! The pool asks the server whether a connection is alive each time before it is used, and once more afterwards: for a
//! small batch that is a third of all it waits for. So what went well keeps its connection outside the pool, and whoever
//! is next finds out by its first statement, which must be one that may be sent again on another connection.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

/// How long a connection is kept outside the pool, which closes those that are old: enough for thousands of batches.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// Connections that wait for the next batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<Session>>>);

impl Kept {
    /// The one that served last, so that those beyond the load come of age.
    pub(super) fn take(&self) -> Option<Session> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Back to the pool, which tests them.
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
/// Dropped, it goes back to the pool, which undoes what was left undone on it.
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

    /// Closes the connection without a word: it may be dead, or in the middle of something.
    pub(crate) fn discard(self) {
        drop(self.connection.detach());
    }

    /// Closes it, since its first statement failed. Where it has served before, another one may do: it may have died
    /// unseen, by a failover, by a proxy's limit, or while a function was frozen.
    ///
    /// # Errors
    /// That of a new connection.
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
