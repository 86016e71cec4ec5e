//! What a failed transaction means for its messages.

use std::time::Duration;

use cognito_user_sync_triggers::retry::Schedule;
use sqlx::postgres::PgDatabaseError;

use crate::store::outcome::RetryCause;
use crate::store::tables::ledger::LedgerInsert;
use crate::store::tables::refusal::Refusal;

/// How long a transaction is tried again while others are in its way.
pub(in crate::store) struct Patience {
    attempts: u32,
    schedule: Schedule,
    /// Whether to try again when a lock was not granted in time, too. Each such try takes the whole lock timeout.
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
    attempts: 10,
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
            Self::AlreadyRecorded(_) | Self::HorizonMoved | Self::Unavailable(_) | Self::Misconfigured(_) => {
                false
            }
        }
    }

    /// Whether it passes when the others have ended.
    pub(in crate::store) fn may_pass(&self, waits_for_locks: bool) -> bool {
        match self {
            Self::Conflict { .. } => true,
            Self::Blocked { .. } => waits_for_locks,
            Self::AlreadyRecorded(_)
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
    /// By SQLSTATE ("PostgreSQL Error Codes", appendix A of PostgreSQL's manual). What is not known is taken
    /// for passing, because nothing is lost by trying again.
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } = &error {
            // A row holds what this service never writes: its user's events are refused, and nobody else's.
            return Self::Refused(Refusal::own("a corrupt row".to_owned()));
        }
        let Some(database) = error.as_database_error().and_then(|error| error.try_downcast_ref()) else {
            return Self::Unavailable(error);
        };
        let sqlstate = PgDatabaseError::code(database).to_owned();
        let class = sqlstate.get(..2).unwrap_or_default();
        match (class, sqlstate.as_str()) {
            (_, "40001" | "40P01") => return Self::Conflict { sqlstate },
            (_, "55P03" | "57014") => return Self::Blocked { sqlstate },
            ("08" | "53" | "57" | "58", _) | (_, "25006") => return Self::Unavailable(error),
            (_, "23514") if is_a_missing_month(database) => return Self::HorizonMoved,
            _ => {}
        }
        if let Some(refusal) = Refusal::by_others(database) {
            return Self::Refused(refusal);
        }
        match (class, sqlstate.as_str()) {
            _ if is_of_the_set_up(&sqlstate) => Self::Misconfigured(error),
            ("21" | "22" | "23" | "54", _) => Self::Refused(Refusal::by_us(database)),
            _ => Self::Unavailable(error),
        }
    }
}

/// Whether a row has no partition in the ledger, and not in a table of somebody else's.
fn is_a_missing_month(error: &PgDatabaseError) -> bool {
    error.routine() == Some("ExecFindPartition") && error.table() == Some("user_events")
}

/// Whether an answer says that schema, grants or session are not what this build needs.
fn is_of_the_set_up(sqlstate: &str) -> bool {
    ["42", "3D", "3F"].iter().any(|class| sqlstate.starts_with(class)) || sqlstate == "55000"
}

impl RetryCause {
    /// Why nothing can be applied while the database answers a question with this error.
    #[must_use]
    pub fn of_database(error: &sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.code()) {
            Some(sqlstate) if is_of_the_set_up(&sqlstate) => Self::DatabaseMisconfigured,
            Some(_) | None => Self::DatabaseUnavailable,
        }
    }
}
