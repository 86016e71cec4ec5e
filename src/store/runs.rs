//! What ran: reconcile, verify, audit, maintain and the drift check, in `user_sync_runs`. Must not know what a run does, and
//! holds no value of anybody's: counts by kind, and the class of an error.

mod class;
mod note;
mod running;
mod seen;

use serde::{Deserialize, Serialize};

pub use self::class::class_of;
pub use self::note::{NotWritten, Note, Notes, write};
pub use self::running::{Begin, Run, forget_old};
pub use self::seen::{STOPPED_AFTER_MINUTES, Seen, State, history, latest, one};

/// Most runs that [`history`] answers.
pub const MAX_RUNS: i64 = 1_000;

/// How long a run is remembered; `maintain` forgets the rest.
pub const KEPT_DAYS: u32 = 400;

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The pool beside the table, and the repairs.
    Reconcile,
    /// The rows beside the ledger, and the repairs.
    Verify,
    /// The logins beside what others recorded of sign-ins.
    Audit,
    /// The ledgers' months.
    Maintain,
    /// The pool beside the table, by itself and without a repair.
    Drift,
}

impl What {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Reconcile, Self::Verify, Self::Audit, Self::Maintain, Self::Drift];

    /// The word in the table, in URLs and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reconcile => "reconcile",
            Self::Verify => "verify",
            Self::Audit => "audit",
            Self::Maintain => "maintain",
            Self::Drift => "drift",
        }
    }

    /// What the word means, if it means anything.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == word)
    }
}
