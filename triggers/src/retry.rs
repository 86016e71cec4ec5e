//! Exponential backoff with full jitter: the one place that knows the `backoff` crate.
//!
//! `backoff` was asked for by name and is unmaintained (RUSTSEC-2025-0012); another crate replaces it here
//! and nowhere else. Full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog) draws each delay
//! from zero to the step's ceiling, so that many clients that failed together do not come back together.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use tokio::time::{Instant, sleep_until};

/// How delays grow: the ceiling doubles from `first` to `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Ceiling of the first delay.
    pub first: Duration,
    /// Ceiling that no delay exceeds.
    pub cap: Duration,
}

/// When an attempt that has no answer is joined by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// After so long without an answer.
    pub after: Duration,
    /// Most attempts that are under way at once.
    pub at_once: usize,
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

    /// Runs `operation` until one attempt succeeds, one fails for good, or `budget` is spent. One that fails otherwise is
    /// tried again after a delay; one that has no answer goes on, and others start beside it. With the answer, those
    /// that are still under way are dropped.
    ///
    /// # Errors
    /// The error that ended it; `None` where the budget did, with attempts still under way.
    pub async fn hedge<T, E, F>(
        &self,
        hedge: Hedge,
        budget: Duration,
        is_transient: impl Fn(&E) -> bool,
        mut operation: impl FnMut() -> F,
    ) -> Result<T, Option<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut next = Instant::now();
        let deadline = next + budget;
        let (mut under_way, mut failures, mut last) = (Vec::new(), 0_u32, None);
        loop {
            let now = Instant::now();
            if now >= deadline || (under_way.is_empty() && next >= deadline) {
                return Err(if under_way.is_empty() { last } else { None });
            }
            let has_room = under_way.len() < hedge.at_once;
            if has_room && now >= next {
                under_way.push(Box::pin(operation()));
                next = now + hedge.after;
                continue;
            }
            let wake = if has_room { next.min(deadline) } else { deadline };
            tokio::select! {
                biased;
                answer = first(&mut under_way) => match answer {
                    Ok(value) => return Ok(value),
                    Err(error) if !is_transient(&error) => return Err(Some(error)),
                    Err(error) => {
                        last = Some(error);
                        failures = failures.saturating_add(1);
                        next = next.min(Instant::now() + self.delay(failures));
                    }
                },
                () = sleep_until(wake) => {}
            }
        }
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

/// The output of whichever is ready first, which is then no longer under way; waits for ever where none is under way.
async fn first<F: Future>(under_way: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|context| {
        let ready = under_way.iter_mut().enumerate().find_map(|(index, attempt)| {
            match attempt.as_mut().poll(context) {
                Poll::Ready(output) => Some((index, output)),
                Poll::Pending => None,
            }
        });
        match ready {
            Some((index, output)) => {
                drop(under_way.swap_remove(index));
                Poll::Ready(output)
            }
            None => Poll::Pending,
        }
    })
    .await
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

    const HEDGE: Hedge = Hedge { after: Duration::from_millis(200), at_once: 3 };
    const BUDGET: Duration = Duration::from_secs(10);

    /// An attempt that lives as long as this does.
    struct UnderWay<'a>(&'a AtomicU32);

    impl<'a> UnderWay<'a> {
        fn begin(count: &'a AtomicU32) -> Self {
            count.fetch_add(1, Ordering::SeqCst);
            Self(count)
        }
    }

    impl Drop for UnderWay<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Runs attempts of which the n-th does what `does` says; returns the outcome, how many there were, and how many were
    /// under way at once.
    async fn hedged<F>(
        budget: Duration,
        does: impl Fn(u32) -> F,
    ) -> (Result<u32, Option<&'static str>>, u32, u32)
    where
        F: Future<Output = Result<u32, &'static str>>,
    {
        let (attempts, under_way, most) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        let operation = || {
            let attempt = attempts.fetch_add(1, Ordering::SeqCst);
            let (running, does) = (UnderWay::begin(&under_way), does(attempt));
            most.fetch_max(under_way.load(Ordering::SeqCst), Ordering::SeqCst);
            async move {
                let _running = running;
                does.await
            }
        };
        let outcome = SCHEDULE.hedge(HEDGE, budget, |error| *error == "transient", operation).await;
        assert_eq!(under_way.load(Ordering::SeqCst), 0, "nothing is left under way");
        (outcome, attempts.into_inner(), most.into_inner())
    }

    #[tokio::test]
    async fn an_answer_in_time_is_asked_for_once() {
        let hedged = hedged(BUDGET, async |attempt| Ok(attempt)).await;
        assert_eq!(hedged, (Ok(0), 1, 1));
    }

    #[tokio::test]
    async fn an_attempt_without_an_answer_is_joined_and_the_first_success_counts() {
        let silent = async |attempt| match attempt {
            0 => std::future::pending().await,
            attempt => Ok(attempt),
        };
        assert_eq!(hedged(BUDGET, silent).await, (Ok(1), 2, 2));
        // The first is slow, and still the first to answer.
        let slow = async |attempt| match attempt {
            0 => {
                tokio::time::sleep(HEDGE.after * 5 / 2).await;
                Ok(attempt)
            }
            _ => std::future::pending().await,
        };
        let (outcome, attempts, _) = hedged(BUDGET, slow).await;
        assert!(outcome == Ok(0) && attempts > 1, "{outcome:?} {attempts}");
    }

    #[tokio::test]
    async fn what_never_answers_ends_with_the_budget_and_few_are_under_way() {
        let began = Instant::now();
        let hedged = hedged(HEDGE.after * 10, async |_| std::future::pending().await).await;
        assert_eq!(hedged, (Err(None), 3, 3));
        assert!(began.elapsed() >= HEDGE.after * 10);
        assert!(began.elapsed() < BUDGET, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_for_as_long_as_there_is_time_unless_it_fails_for_good() {
        let fails = async |attempt| match attempt {
            0..3 => Err("transient"),
            _ => Err("permanent"),
        };
        assert_eq!(hedged(BUDGET, fails).await, (Err(Some("permanent")), 4, 1));
        let (outcome, attempts, _) = hedged(HEDGE.after * 4, async |_| Err("transient")).await;
        assert!(outcome == Err(Some("transient")) && attempts > 2, "{outcome:?} {attempts}");
        // Attempts that give up when the budget is spent leave no time for another one.
        let gives_up = async |_| {
            tokio::time::sleep(HEDGE.after * 4).await;
            Err("transient")
        };
        let (outcome, attempts, _) = hedged(HEDGE.after * 4, gives_up).await;
        assert!(outcome.is_err() && attempts == 3, "{outcome:?} {attempts}");
        // One that is refused beside one that is silent.
        let refused = async |attempt| match attempt {
            0 => std::future::pending().await,
            _ => Err("permanent"),
        };
        assert_eq!(hedged(BUDGET, refused).await, (Err(Some("permanent")), 2, 2));
    }
}
