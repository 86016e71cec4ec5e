//! Whether the worker's loops get anywhere: what `/healthz` answers. Must not know messages or rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a loop may take for one batch or one poll. Each step has a limit of its own, and all of them together take
/// less: a long poll of 20 seconds, a batch of [`crate::store::apply::APPLY_LIMIT`] and one last transaction, what is sent to SQS
/// then, and a pause during an outage.
pub const STALLED_AFTER: Duration = Duration::from_secs(3 * 60);

/// When each of the worker's loops last finished a batch or a poll, even one that failed. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Liveness {
    began: Instant,
    /// By loop: milliseconds from `began` to its last step; [`ENDED`] for a loop that has ended.
    steps: Arc<[AtomicU64]>,
    stalled_after: Duration,
}

const ENDED: u64 = u64::MAX;

impl Liveness {
    /// Of so many loops, which begin now, and have stalled when nothing was finished for `stalled_after`.
    #[must_use]
    pub fn of(loops: usize, stalled_after: Duration) -> Self {
        let steps = (0..loops).map(|_| AtomicU64::new(0)).collect();
        Self { began: Instant::now(), steps, stalled_after }
    }

    /// A loop has finished a batch or a poll.
    pub fn step(&self, of: usize) {
        self.set(of, u64::try_from(self.began.elapsed().as_millis()).unwrap_or(ENDED - 1));
    }

    /// A loop has ended, as it should.
    pub(super) fn end(&self, of: usize) {
        self.set(of, ENDED);
    }

    fn set(&self, of: usize, at: u64) {
        if let Some(step) = self.steps.get(of) {
            step.store(at, Ordering::Relaxed);
        }
    }

    /// How long the slowest loop has finished nothing, if that is too long.
    #[must_use]
    pub fn stalled_for(&self) -> Option<Duration> {
        let since = |step: &AtomicU64| match step.load(Ordering::Relaxed) {
            ENDED => Duration::ZERO,
            at => self.began.elapsed().saturating_sub(Duration::from_millis(at)),
        };
        self.steps.iter().map(since).max().filter(|longest| *longest > self.stalled_after)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_loop_that_stalls_is_enough() {
        let long_ago = Instant::now().checked_sub(STALLED_AFTER * 2).unwrap();
        let liveness = Liveness { began: long_ago, ..Liveness::of(2, STALLED_AFTER) };
        assert!(liveness.stalled_for() >= Some(STALLED_AFTER * 2), "nothing was ever finished");
        liveness.step(0);
        assert!(liveness.stalled_for() >= Some(STALLED_AFTER * 2), "the other one has finished nothing");
        liveness.step(1);
        assert_eq!(liveness.stalled_for(), None);
        let liveness = Liveness { began: long_ago, ..Liveness::of(2, STALLED_AFTER) };
        liveness.step(0);
        liveness.end(1);
        assert_eq!(liveness.stalled_for(), None, "a loop that has ended does not stall");
    }
}
