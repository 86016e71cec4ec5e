//! What a failed transaction means for its messages.

use std::time::Duration;

use cognito_user_sync_triggers::retry::Schedule;

use super::ledger::Committed;
use crate::database::then;

/// How often an operator's transaction is tried while others are in its way.
const ATTEMPTS: u32 = 10;
const SCHEDULE: Schedule = Schedule { first: Duration::from_millis(50), cap: Duration::from_secs(2) };

/// Tries an operator's transaction again while others are in its way.
pub(super) async fn again<T, F>(attempt: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut attempts = 1;
    loop {
        match attempt().await {
            Err(Failure::Conflict { .. } | Failure::Blocked { .. }) if attempts < ATTEMPTS => {
                tokio::time::sleep(SCHEDULE.delay(attempts)).await;
                attempts += 1;
            }
            done => return done,
        }
    }
}

/// Why a transaction did not commit. What PostgreSQL says is repeated only where it cannot quote a row's values.
/// Everything but [`Failure::Refused`] may pass when tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Another transaction was in the way: a serialization failure, a deadlock, or our own recheck.
    #[error("in conflict with another transaction ({sqlstate})")]
    Conflict { sqlstate: String },
    /// Somebody outside the service holds a row's lock for long.
    #[error("a lock was not to be had in time ({sqlstate})")]
    Blocked { sqlstate: String },
    /// The ledger has no partition for an event: the horizon moved since it was read.
    #[error("the ledger's partitions changed")]
    HorizonMoved,
    /// Nothing was committed, since some of the events were there before, and nothing may come of them again.
    #[error("recorded before")]
    Known(Box<Committed>),
    /// The database is away, or cannot serve now.
    #[error("the database is unavailable: {0}{step}", step = then(.0))]
    Unavailable(#[source] sqlx::Error),
    /// The database answers, but the schema or the grants are not what this build needs.
    #[error("the database is not set up for this: {0}{step}", step = then(.0))]
    Misconfigured(#[source] sqlx::Error),
    /// The database refuses a row, and would refuse it again.
    #[error("the database refuses a row ({sqlstate})")]
    Refused { sqlstate: String },
}

impl Failure {
    /// Whether it may be the fault of one event, or of one row, so that the others can go through without it.
    pub(super) fn is_of_one_event(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Conflict { .. } | Self::Blocked { .. } => true,
            Self::Known(_) | Self::HorizonMoved | Self::Unavailable(_) | Self::Misconfigured(_) => false,
        }
    }

    /// Our own conflict: what was read before the locks is not what stands under them.
    pub(super) fn recheck() -> Self {
        Self::Conflict { sqlstate: "40001".into() }
    }
}

impl From<sqlx::Error> for Failure {
    /// By SQLSTATE ("PostgreSQL Error Codes", appendix A of PostgreSQL's manual). What is not known is taken
    /// for passing, because nothing is lost by trying again.
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } = &error {
            // A row holds what this service never writes: its user's events are refused, and nobody else's.
            return Self::Refused { sqlstate: "a corrupt row".to_owned() };
        }
        let Some(sqlstate) = error.as_database_error().and_then(|error| error.code()).map(String::from)
        else {
            return Self::Unavailable(error);
        };
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        let class = sqlstate.get(..2).unwrap_or_default();
        match (class, sqlstate.as_str()) {
            (_, "40001" | "40P01") => Self::Conflict { sqlstate },
            (_, "55P03" | "57014") => Self::Blocked { sqlstate },
            // A check violation without a constraint is a row without a partition.
            (_, "23514") if constraint.is_none() => Self::HorizonMoved,
            ("42" | "3D" | "3F", _) => Self::Misconfigured(error),
            ("21" | "22" | "23" | "54", _) => Self::Refused { sqlstate },
            _ => Self::Unavailable(error),
        }
    }
}
