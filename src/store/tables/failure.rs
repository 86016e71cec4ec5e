//! What a failed transaction means for its messages.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use cognito_user_sync_triggers::retry::Schedule;
use uuid::Uuid;

use crate::postgres::ServerError;
use crate::store::outcome::RetryCause;
use crate::store::tables::blame::{self, Blame};
use crate::store::tables::ledger::LedgerInsert;
use crate::store::tables::refusal::Refusal;

/// How long a transaction is tried again while others are in its way.
pub(in crate::store) struct Patience {
    attempts: u32,
    schedule: Schedule,
    /// Whether to try again when a lock was not granted in time, too.
    waits_for_locks: bool,
}

/// A batch of messages: they can go back to the queue.
pub(in crate::store) const OF_A_BATCH: Patience = Patience {
    attempts: 8,
    schedule: Schedule { first: Duration::from_millis(10), cap: Duration::from_millis(640) },
    waits_for_locks: false,
};

/// An operator's command.
pub(in crate::store) const OF_A_COMMAND: Patience = Patience {
    attempts: 30,
    schedule: Schedule { first: Duration::from_millis(50), cap: Duration::from_secs(2) },
    waits_for_locks: true,
};

/// Tries a transaction again while others are in its way.
pub(in crate::store) async fn retry_conflicts<T, F>(
    patience: Patience,
    attempt: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(failure) if attempts < patience.attempts && failure.may_pass(patience.waits_for_locks) => {
                tracing::debug!(error = %failure, attempts, "another transaction was in the way, trying again");
            }
            done => return done,
        }
        tokio::time::sleep(patience.schedule.delay(attempts)).await;
        attempts += 1;
    }
}

/// What the store was asked to do, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed")]
pub struct StoreError {
    doing: &'static str,
    #[source]
    failure: Failure,
}

impl StoreError {
    /// Says what was being done when something failed.
    pub(in crate::store) fn when<E: Into<Failure>>(doing: &'static str) -> impl Fn(E) -> Self {
        move |error| Self { doing, failure: error.into() }
    }
}

/// Why a transaction did not commit. What PostgreSQL says is repeated only where it cannot quote a row's values.
/// Everything but [`Failure::Refused`] may pass when tried again.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum Failure {
    /// Another transaction was in the way: a serialization failure, a deadlock, or our own recheck.
    #[error("in conflict with another transaction ({sqlstate})")]
    Conflict { sqlstate: String },
    /// Somebody outside the service holds a row's lock for long.
    #[error("timed out waiting for a lock ({sqlstate})")]
    Blocked { sqlstate: String },
    /// The ledger has no partition for an event: the horizon moved since it was read.
    #[error("the ledger's partitions changed")]
    HorizonMoved,
    /// Nothing was committed, because somebody holds rows of these users, or rows that a change of these users touches.
    /// The other users' events can go through without them.
    #[error("somebody holds rows")]
    Held(BTreeSet<Uuid>),
    /// Nothing was committed, because the rows of these users are more than one transaction reads: they are divided into
    /// such as it does.
    #[error("the rows are too large for one transaction")]
    TooLarge(Vec<BTreeSet<Uuid>>),
    /// Nothing was committed, because the ledger had some of the events before: they must not count again.
    #[error("some events were recorded before")]
    AlreadyRecorded(Box<LedgerInsert>),
    /// The database is unavailable, or cannot serve now.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The database answers, but the schema or the grants are not what this build needs.
    #[error("the database is not set up for this")]
    Misconfigured(#[source] sqlx::Error),
    /// The database refuses a row, and would refuse it again.
    #[error("the database refuses a row ({0})")]
    Refused(Refusal),
}

impl Failure {
    /// Whether it may be the fault of one event, or of one row, so that the others can go through without it.
    pub(in crate::store) fn is_of_one_event(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Conflict { .. } | Self::Blocked { .. } => true,
            Self::Unavailable(error) => {
                ServerError::of(error).is_some_and(|answer| blame::may_be_of_one_row(&answer))
            }
            Self::AlreadyRecorded(_)
            | Self::Held(_)
            | Self::TooLarge(_)
            | Self::HorizonMoved
            | Self::Misconfigured(_) => false,
        }
    }

    /// Whether it passes when the others have ended.
    pub(in crate::store) fn may_pass(&self, waits_for_locks: bool) -> bool {
        match self {
            Self::Conflict { .. } => true,
            Self::Blocked { .. } | Self::Held(_) => waits_for_locks,
            Self::AlreadyRecorded(_)
            | Self::TooLarge(_)
            | Self::HorizonMoved
            | Self::Unavailable(_)
            | Self::Misconfigured(_)
            | Self::Refused(_) => false,
        }
    }

    /// Our own conflict: what was read before the locks is not what stands under them.
    pub(in crate::store) fn recheck() -> Self {
        Self::Conflict { sqlstate: "40001".into() }
    }
}

impl From<sqlx::Error> for Failure {
    /// By who is to blame. What arises in a function of somebody else's may be the fault of the row that it was called for:
    /// if it raised the error itself, it is, whatever SQLSTATE it chose.
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } = &error {
            // A row holds what this service never writes: its user's events are refused, and nobody else's.
            return Self::Refused(Refusal::own("a corrupt row".to_owned()));
        }
        if let Some(refusal) = Refusal::of_unwritten(&error) {
            return Self::Refused(refusal);
        }
        let Some(answer) = ServerError::of(&error).map(Cow::into_owned) else {
            return Self::Unavailable(error);
        };
        if is_a_missing_month(&answer) {
            return Self::HorizonMoved;
        }
        let sqlstate = answer.sqlstate().to_owned();
        match Blame::of(&answer) {
            Blame::Others => Self::Conflict { sqlstate },
            Blame::Lock => Self::Blocked { sqlstate },
            Blame::Server => Self::Unavailable(error),
            Blame::SetUp => Self::Misconfigured(error),
            Blame::Row => Self::Refused(Refusal::of(&answer)),
        }
    }
}

/// Whether a row has no partition in the ledger, and not in a table of somebody else's.
fn is_a_missing_month(error: &ServerError) -> bool {
    let is_missing = error.sqlstate() == "23514" && error.routine.as_deref() == Some("ExecFindPartition");
    is_missing && error.table.as_deref() == Some("user_events")
}

impl Failure {
    /// What failed before anything was asked about a row: no row is to blame.
    pub(in crate::store) fn before_any_row(error: sqlx::Error) -> Self {
        match ServerError::of(&error).map(|answer| Blame::of(&answer)) {
            Some(Blame::Row) => Self::Misconfigured(error),
            Some(Blame::Others | Blame::Lock | Blame::Server | Blame::SetUp) | None => error.into(),
        }
    }
}

impl RetryCause {
    /// Why nothing can be applied while the database answers a question with this error.
    #[must_use]
    pub fn of_database(error: &sqlx::Error) -> Self {
        match ServerError::of(error).map(|answer| Blame::of(&answer)) {
            Some(Blame::SetUp | Blame::Row) => Self::DatabaseMisconfigured,
            Some(Blame::Others | Blame::Lock | Blame::Server) | None => Self::DatabaseUnavailable,
        }
    }
}
