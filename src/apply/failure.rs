//! What a failed transaction means for its messages.

/// Why a transaction did not commit. Everything but [`Failure::Refused`] may pass when tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Another transaction was in the way: a serialization failure, a deadlock, or our own recheck.
    #[error("in conflict with another transaction ({sqlstate})")]
    Conflict { sqlstate: String },
    /// The ledger has no partition for an event: the horizon moved since it was read.
    #[error("the ledger's partitions changed")]
    HorizonMoved,
    /// The database is away, or cannot serve now.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The database answers, but the schema or the grants are not what this build needs.
    #[error("the database is not set up for this build; run `user-sync migrate`")]
    Misconfigured(#[source] sqlx::Error),
    /// The database refuses a row, and would refuse it again.
    #[error("the database refuses a row ({sqlstate})")]
    Refused { sqlstate: String },
}

impl Failure {
    /// Our own conflict: what was read before the locks is not what stands under them.
    pub(super) fn recheck() -> Self {
        Self::Conflict { sqlstate: "40001".into() }
    }
}

impl From<sqlx::Error> for Failure {
    /// By SQLSTATE ("PostgreSQL Error Codes", appendix A of PostgreSQL's manual). What is not known is taken
    /// for passing, because nothing is lost by trying again.
    fn from(error: sqlx::Error) -> Self {
        let Some(sqlstate) = error.as_database_error().and_then(|error| error.code()).map(String::from)
        else {
            return Self::Unavailable(error);
        };
        let class = sqlstate.get(..2).unwrap_or_default();
        match (class, sqlstate.as_str()) {
            (_, "40001" | "40P01" | "55P03") => Self::Conflict { sqlstate },
            (_, "23514") if error.to_string().contains("no partition") => Self::HorizonMoved,
            ("42" | "3D" | "3F", _) => Self::Misconfigured(error),
            ("21" | "22" | "23" | "54", _) => Self::Refused { sqlstate },
            _ => Self::Unavailable(error),
        }
    }
}
