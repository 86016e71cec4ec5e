//! One source of figures, asked once for everybody who looks: at most so often, only while somebody looks, and never for
//! longer than its limit. Keeps what it last said, with the time. Must not know what it is asked.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

/// A value, and when its source was asked for it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console::now) struct Known<T> {
    pub(in crate::console::now) value: T,
    pub(in crate::console::now) at: Timestamp,
}

/// Why a source did not say anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Refusal {
    /// For people; quotes nothing that a row or a message holds.
    pub(in crate::console::now) why: String,
    /// Whether it said anything at all: a source that refuses is not silent.
    pub(in crate::console::now) is_silent: bool,
}

impl Refusal {
    pub(in crate::console::now) fn silent(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_silent: true }
    }

    pub(in crate::console::now) fn answered(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_silent: false }
    }
}

/// Since when a source says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Failure {
    pub(in crate::console::now) refusal: Refusal,
    /// When it was asked the first time without an answer.
    pub(in crate::console::now) since: Timestamp,
    /// How often it was asked since.
    pub(in crate::console::now) tries: u32,
}

/// What a source last said, and whether it still does.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console::now) struct Seen<T> {
    pub(in crate::console::now) last: Option<Known<T>>,
    pub(in crate::console::now) failure: Option<Failure>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { last: None, failure: None }
    }
}

impl<T> Seen<T> {
    fn note(&mut self, at: Timestamp, said: Result<T, Refusal>) {
        match said {
            Ok(value) => *self = Self { last: Some(Known { value, at }), failure: None },
            Err(refusal) => {
                let before = self.failure.take();
                let (since, tries) = before.map_or((at, 0), |failure| (failure.since, failure.tries));
                self.failure = Some(Failure { refusal, since, tries: tries.saturating_add(1) });
            }
        }
    }

    /// What it said, if it still says so: it has not failed since, and it said it within `within`.
    pub(in crate::console::now) fn current(&self, now: Timestamp, within: Duration) -> Option<&Known<T>> {
        let last = self.last.as_ref().filter(|_| self.failure.is_none())?;
        (since(last.at, now) <= within).then_some(last)
    }
}

/// How long ago something was; nothing is in the future.
pub(in crate::console::now) fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(now.unix_millis().saturating_sub(at.unix_millis()))
}

/// A time so long before.
pub(in crate::console::now) fn before(at: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_millis(at.unix_millis().saturating_sub(by))
}

struct Inner<T> {
    seen: Seen<T>,
    asked: Option<Instant>,
}

/// A source.
pub(in crate::console::now) struct Source<T> {
    name: &'static str,
    every: Duration,
    limit: Duration,
    inner: Mutex<Inner<T>>,
    /// Whether it is being asked.
    is_asked: watch::Sender<bool>,
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T: Clone + Send + 'static> Source<T> {
    /// A source that is asked at most every `every`, and has `limit` to answer.
    pub(in crate::console::now) fn new(name: &'static str, every: Duration, limit: Duration) -> Arc<Self> {
        let inner = Mutex::new(Inner { seen: Seen::default(), asked: None });
        Arc::new(Self { name, every, limit, inner, is_asked: watch::Sender::new(false) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it last said.
    pub(in crate::console::now) fn seen(&self) -> Seen<T> {
        self.lock().seen.clone()
    }

    /// Whether it is time to ask: nobody asks, and the last time is long enough ago. Whoever gets a yes asks.
    fn is_due(&self) -> bool {
        let mut inner = self.lock();
        if *self.is_asked.borrow() || inner.asked.is_some_and(|at| at.elapsed() < self.every) {
            return false;
        }
        inner.asked = Some(Instant::now());
        self.is_asked.send_replace(true);
        true
    }

    /// Asks if it is time, and does not wait.
    pub(in crate::console::now) fn ask<F>(self: &Arc<Self>, question: impl FnOnce() -> F)
    where
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        if !self.is_due() {
            return;
        }
        let (source, at) = (Arc::clone(self), Timestamp::now());
        let asked = tokio::spawn(tokio::time::timeout(self.limit, question()));
        tokio::spawn(async move {
            let said = match asked.await {
                Ok(Ok(said)) => said,
                Ok(Err(_)) => {
                    Err(Refusal::silent(format!("no answer within {} s", source.limit.as_secs_f64())))
                }
                // A mistake of ours must not leave it asked for ever.
                Err(_) => Err(Refusal::answered("the question failed")),
            };
            if let Err(refusal) = &said {
                tracing::warn!(
                    source = source.name,
                    why = refusal.why,
                    "a source of the console does not answer"
                );
            }
            source.lock().seen.note(at, said);
            source.is_asked.send_replace(false);
        });
    }

    /// Waits until nobody asks it.
    pub(in crate::console::now) async fn answered(&self) {
        let mut is_asked = self.is_asked.subscribe();
        // The sender is this source's own.
        drop(is_asked.wait_for(|is_asked| !is_asked).await);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn ten_who_look_at_once_ask_once_and_again_only_after_the_interval() {
        for (every, expected) in [(LONG, 1), (Duration::ZERO, 3)] {
            let (source, asked) = (Source::new("test", every, LONG), Arc::new(AtomicU32::new(0)));
            for _ in 0..3 {
                for _ in 0..10 {
                    let asked = Arc::clone(&asked);
                    source.ask(move || async move { Ok(asked.fetch_add(1, Ordering::SeqCst)) });
                }
                source.answered().await;
            }
            assert_eq!(asked.load(Ordering::SeqCst), expected);
            assert_eq!(source.seen().last.unwrap().value, expected - 1);
        }
    }

    #[tokio::test]
    async fn a_source_that_hangs_or_panics_keeps_its_last_value_and_is_asked_again() {
        let source = Source::new("test", Duration::ZERO, LIMIT);
        source.ask(|| async { Ok(7) });
        source.answered().await;
        source.ask(|| async { std::future::pending().await });
        source.answered().await;
        let seen = source.seen();
        let failure = seen.failure.unwrap();
        assert_eq!((seen.last.unwrap().value, failure.tries), (7, 1));
        assert!(failure.refusal.is_silent);
        source.ask(|| async { panic!("a mistake") });
        source.answered().await;
        let again = source.seen().failure.unwrap();
        assert_eq!((again.tries, again.since, again.refusal.is_silent), (2, failure.since, false));
        source.ask(|| async { Ok(8) });
        source.answered().await;
        assert_eq!((source.seen().failure, source.seen().last.unwrap().value), (None, 8));
    }

    #[test]
    fn what_was_said_is_current_until_it_is_old_or_a_question_fails() {
        let at = |seconds: u64| Timestamp::from_unix_millis(seconds * 1_000);
        let mut seen = Seen::default();
        seen.note(at(100), Ok(1));
        assert!(seen.current(at(130), Duration::from_secs(30)).is_some());
        assert!(seen.current(at(131), Duration::from_secs(30)).is_none());
        seen.note(at(110), Err(Refusal::silent("away")));
        assert!(seen.current(at(111), Duration::from_secs(30)).is_none());
        assert_eq!(seen.last.unwrap().at, at(100));
    }
}
