//! The latest runs of what keeps the table right, as the Now page judges them. Must not know how a run is written down.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::store::runs;

/// How a run ended, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::now) enum Ended {
    /// It came to its end, and found so much that is not as it should be.
    Found(u64),
    /// It came to its end, and does not compare.
    Well,
    /// It ended early.
    Failed,
    /// It has no end and gives no sign of life.
    Stopped,
    /// It goes on.
    Running,
}

/// The latest run of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Ran {
    pub(in crate::console::now) what: What,
    pub(in crate::console::now) ended: Ended,
    /// When it ended; while it has not, when it began.
    pub(in crate::console::now) at: Timestamp,
    /// Over how many it went.
    pub(in crate::console::now) done: u64,
}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::now) enum What {
    /// The pool beside the table, by hand or by itself.
    Reconcile,
    /// The rows beside the ledger.
    Verify,
    /// The logins beside what AWS recorded.
    Audit,
    /// The ledgers' months.
    Maintain,
}

impl What {
    /// How old the latest run may be.
    pub(in crate::console::now) fn within(self) -> Duration {
        const DAY: u64 = 86_400;
        Duration::from_secs(match self {
            Self::Reconcile | Self::Audit | Self::Maintain => 2 * DAY,
            Self::Verify => 8 * DAY,
        })
    }
}

impl Ran {
    /// Of a run as it is recorded. The drift check compares what a reconcile does.
    pub(in crate::console::now) fn of(seen: &runs::Seen) -> Self {
        let what = match seen.what {
            runs::What::Reconcile | runs::What::Drift => What::Reconcile,
            runs::What::Verify => What::Verify,
            runs::What::Audit => What::Audit,
            runs::What::Maintain => What::Maintain,
        };
        let ended = match seen.state {
            runs::State::Ended => seen.found().map_or(Ended::Well, Ended::Found),
            runs::State::Failed => Ended::Failed,
            runs::State::Running => Ended::Running,
            runs::State::Stopped => Ended::Stopped,
        };
        Self { what, ended, at: seen.ended_at.unwrap_or(seen.started_at), done: seen.done }
    }
}
