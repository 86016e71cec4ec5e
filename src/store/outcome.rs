//! What became of a message: all that whoever hands messages over needs to know of the store.

use cognito_user_sync_triggers::event::DecodeError;

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect is committed.
    Applied,
    /// Its effect was committed before.
    Duplicate,
    /// It can never be applied.
    Rejected(Rejection),
    /// The database refuses it for something that is not this service's, such as a constraint of the application's. It can
    /// be applied once that is mended; whoever has waited long enough takes it for rejected, for this reason.
    Obstructed(Rejection),
    /// It could not be applied now, and may be later.
    Retry(RetryCause),
}

/// Why a message can never be applied. Names fields and limits, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A stable word, such as `malformed` or `too_old`.
    pub reason: &'static str,
    /// Path of the offending field; `$` is the whole message.
    pub field: String,
    /// For people: what was wrong, and what to do next.
    pub detail: String,
}

impl From<DecodeError> for Rejection {
    fn from(error: DecodeError) -> Self {
        Self { reason: error.reason(), field: error.field().to_owned(), detail: error.to_string() }
    }
}

/// Why a message could not be applied now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RetryCause {
    /// The database is unavailable, or refuses to serve now.
    DatabaseUnavailable,
    /// The schema or the grants are not what this build needs, or something else refuses rows; an operator has to act.
    DatabaseMisconfigured,
    /// Other transactions were in the way, again and again.
    Conflict,
    /// The ledger's partitions were made or dropped under the batch.
    HorizonMoved,
}

impl RetryCause {
    /// A stable word: the label of a metric.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::DatabaseUnavailable => "database_unavailable",
            Self::DatabaseMisconfigured => "database_misconfigured",
            Self::Conflict => "conflict",
            Self::HorizonMoved => "horizon_moved",
        }
    }
}
