//! Exponential backoff with full jitter: the one place that knows the `backoff` crate.
//!
//! `backoff` was asked for by name and is unmaintained (RUSTSEC-2025-0012); another crate replaces it here
//! and nowhere else. Full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog) draws each delay
//! from zero to the step's ceiling, so that many clients that failed together do not come back together.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// How delays grow: the ceiling doubles from `first` to `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Ceiling of the first delay.
    pub first: Duration,
    /// Ceiling that no delay exceeds.
    pub cap: Duration,
}

impl Schedule {
    /// The delay before attempt `attempt` + 1, where `attempt` counts from 1.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        let ceiling =
            self.first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(self.cap);
        self.jittered(ceiling, None).next_backoff().unwrap_or(ceiling).min(ceiling)
    }

    /// Runs `operation` until it succeeds, fails for good (`is_transient` says no), or `budget` is spent.
    ///
    /// Cancel-safe as far as `operation` is. An attempt under way is not cut short: bound it yourself.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn retry<T, E, F>(
        &self,
        budget: Duration,
        is_transient: impl Fn(&E) -> bool,
        mut operation: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        backoff::future::retry(self.jittered(self.first, Some(budget)), || {
            let attempt = operation();
            let is_transient = &is_transient;
            async move {
                attempt.await.map_err(|error| match is_transient(&error) {
                    true => backoff::Error::transient(error),
                    false => backoff::Error::permanent(error),
                })
            }
        })
        .await
    }

    /// The crate draws from the interval ± factor × interval: a factor of 1 around half the ceiling is
    /// full jitter.
    fn jittered(&self, ceiling: Duration, budget: Option<Duration>) -> ExponentialBackoff {
        ExponentialBackoffBuilder::new()
            .with_initial_interval(ceiling / 2)
            .with_max_interval(self.cap / 2)
            .with_multiplier(2.0)
            .with_randomization_factor(1.0)
            .with_max_elapsed_time(budget)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SCHEDULE: Schedule = Schedule { first: Duration::from_millis(8), cap: Duration::from_millis(100) };

    #[test]
    fn delays_fill_the_range_from_zero_to_a_ceiling_that_doubles_to_the_cap() {
        for (attempt, ceiling_ms) in [(1, 8), (2, 16), (3, 32), (4, 64), (5, 100), (60, 100), (u32::MAX, 100)]
        {
            let delays: Vec<_> = (0..2_000).map(|_| SCHEDULE.delay(attempt)).collect();
            let ceiling = Duration::from_millis(ceiling_ms);
            assert!(delays.iter().all(|delay| *delay <= ceiling), "attempt {attempt}");
            assert!(delays.iter().any(|delay| *delay < ceiling / 10), "attempt {attempt}: never near zero");
            assert!(
                delays.iter().any(|delay| *delay > ceiling * 9 / 10),
                "attempt {attempt}: never near the ceiling"
            );
        }
    }

    #[tokio::test]
    async fn a_permanent_error_is_not_tried_again_and_a_transient_one_is() {
        let attempts = AtomicU32::new(0);
        let outcome: Result<u32, &str> = SCHEDULE
            .retry(
                Duration::from_secs(5),
                |error| *error == "transient",
                || {
                    let attempt = attempts.fetch_add(1, Ordering::SeqCst);
                    async move { if attempt < 3 { Err("transient") } else { Err("permanent") } }
                },
            )
            .await;
        assert_eq!((outcome, attempts.load(Ordering::SeqCst)), (Err("permanent"), 4));
    }
}
