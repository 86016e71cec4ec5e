//! Moves dead letters back to the queue, by SQS's own message move task. Must not know the database.
//!
//! The task has no filter. A message that this build rejects permanently would only be rejected again. So we receive
//! it, which hides it from the task, and keep it hidden until the task has ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use crate::sqs::dead_letters::move_task::Task;
use crate::sqs::dead_letters::{DLQ, DeadLetters, Error, Received, SCAN_MAX_MESSAGES, Stop};

/// The rates that SQS accepts, in messages per second ("StartMessageMoveTask", Amazon SQS API Reference).
pub const RATES: std::ops::RangeInclusive<i64> = 1..=500;

/// How often we ask for the state of the task.
const POLL: Duration = Duration::from_secs(1);

/// How long SQS may take to list a new task, or to end a cancelled one.
const SETTLE: Duration = Duration::from_secs(60);

/// We hide held messages at least, and at most, this long at a time. SQS's limit is 12 hours.
const HOLD_MIN: Duration = Duration::from_secs(10 * 60);
const HOLD_MAX: Duration = Duration::from_secs(11 * 60 * 60);

/// A low estimate of the messages per second that a task moves if SQS chooses the rate.
const ESTIMATED_RATE: u64 = 50;

/// How to redrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Messages moved per second, within [`RATES`]; `None` lets SQS choose.
    pub max_per_second: Option<i32>,
    /// Also moves what this build rejects permanently.
    pub all: bool,
}

/// How a redrive ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every message that should move has been moved.
    Completed,
    /// No visible message should move, so no task was started.
    NothingToMove,
    /// The operator ended it before the task was started.
    Stopped,
    /// The operator cancelled it.
    Cancelled,
    /// We cancelled it, because the messages that it moved were rejected again.
    ComingBack,
    /// Another task is active; SQS permits one per queue.
    AlreadyActive(Task),
    /// SQS ended the task, for this reason.
    Failed(String),
}

/// What a redrive did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// How it ended.
    pub end: End,
    /// Messages moved, as SQS counts.
    pub moved: u64,
    /// Messages left behind on purpose, by reason.
    pub left_behind: BTreeMap<&'static str, u64>,
    /// Messages left behind that could not be kept hidden all the time. Some may have been moved after all; they are
    /// rejected again and return with their reason.
    pub not_held: u64,
    /// Messages that could not be made visible at once; they become visible by themselves.
    pub hidden_for_now: u64,
    /// Whether there were more messages than a scan can receive: the others were moved without being checked.
    pub has_unseen: bool,
}

impl Redriven {
    fn new(end: End) -> Self {
        Self {
            end,
            moved: 0,
            left_behind: BTreeMap::new(),
            not_held: 0,
            hidden_for_now: 0,
            has_unseen: false,
        }
    }
}

/// What a redrive is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Checking the messages: this many so far.
    Looked(usize),
    /// Moving: this many of this many.
    Moved(u64, u64),
}

/// The task that a redrive has started.
struct Started {
    source: String,
    handle: String,
    /// When the task before it was started: tells the two apart.
    earlier: Option<i64>,
    expected: u64,
}

/// The dead letters, by whether they should move.
#[derive(Default)]
struct Selection {
    left_behind: Vec<Received>,
    movable: Vec<Received>,
}

/// The messages that the task must not see.
struct Held {
    messages: Vec<Received>,
    time: Duration,
    renew_at: Instant,
    not_held: usize,
}

impl Held {
    fn new(messages: Vec<Received>, time: Duration) -> Self {
        Self { messages, time, renew_at: Instant::now(), not_held: 0 }
    }

    /// Hides the messages again for the whole time.
    async fn renew(&mut self, dead_letters: &DeadLetters) {
        self.renew_at = Instant::now() + self.time / 3;
        self.not_held = self.not_held.max(dead_letters.hide(&self.messages, self.time).await);
    }
}

impl DeadLetters {
    /// Moves dead letters to the queue at `queue_url`, all but those that this build rejects permanently. If told to
    /// stop, it cancels the task and ends in order.
    ///
    /// # Errors
    /// When SQS refuses or is unavailable. If that happens while the task runs, the task goes on without us, and the
    /// messages that we hold become visible again by themselves.
    pub async fn redrive(
        &self,
        queue_url: &str,
        options: Options,
        stop: &Stop,
        mut report: impl FnMut(Step),
    ) -> Result<Redriven, Error> {
        let source = self.arn(&self.url, DLQ).await?;
        let destination = self.arn(queue_url, "the queue").await?;
        let earlier = self.latest_task(&source).await?;
        if let Some(task) = earlier.clone().filter(Task::is_active) {
            return Ok(Redriven::new(End::AlreadyActive(task)));
        }
        let mut redriven = Redriven::new(End::NothingToMove);
        let Some(selection) = self.select(options, stop, &mut report, &mut redriven).await? else {
            return Ok(redriven);
        };
        let expected = count(selection.movable.len());
        let mut held = Held::new(selection.left_behind, hold_time(expected, options));
        held.renew(self).await;
        // The task sees only visible messages, so they must be visible before it starts.
        redriven.hidden_for_now = count(self.release(&selection.movable).await);
        if expected > 0 || options.all || redriven.has_unseen {
            let handle = match self.start_task(&source, &destination, options.max_per_second).await {
                Ok(handle) => handle,
                Err(error) => {
                    self.release(&held.messages).await;
                    return Err(error);
                }
            };
            let earlier = earlier.map(|task| task.started_at);
            let started = Started { source, handle, earlier, expected };
            self.follow(&started, &mut held, stop, &mut report, &mut redriven).await?;
        }
        redriven.not_held = count(held.not_held);
        redriven.hidden_for_now += count(self.release(&held.messages).await);
        Ok(redriven)
    }

    /// Receives the dead letters and sorts them by whether they should move; `None` if told to stop meanwhile. With
    /// [`Options::all`] there is nothing to sort, so it receives none.
    async fn select(
        &self,
        options: Options,
        stop: &Stop,
        report: &mut impl FnMut(Step),
        redriven: &mut Redriven,
    ) -> Result<Option<Selection>, Error> {
        if options.all {
            return Ok(Some(Selection::default()));
        }
        let scan = self.scan(SCAN_MAX_MESSAGES, stop, |count| report(Step::Looked(count))).await?;
        if scan.is_stopped {
            redriven.hidden_for_now = count(self.release(&scan.received).await);
            redriven.end = End::Stopped;
            return Ok(None);
        }
        redriven.has_unseen = !scan.is_complete;
        let mut selection = Selection::default();
        for mut message in scan.received {
            match message.rejected_for_good() {
                Some(reason) => {
                    *redriven.left_behind.entry(reason).or_default() += 1;
                    // No longer needed, and there may be many.
                    message.body.clear();
                    selection.left_behind.push(message);
                }
                None => selection.movable.push(message),
            }
        }
        Ok(Some(selection))
    }

    /// Waits for the end of the task, keeps `held` hidden meanwhile, and cancels the task if told to stop.
    async fn follow(
        &self,
        task: &Started,
        held: &mut Held,
        stop: &Stop,
        report: &mut impl FnMut(Step),
        redriven: &mut Redriven,
    ) -> Result<(), Error> {
        let mut stop = stop.clone();
        let mut cancelled: Option<(Instant, End)> = None;
        let Started { source, handle, earlier, expected } = task;
        let started = Instant::now();
        loop {
            let stop_requested = tokio::select! {
                () = tokio::time::sleep(POLL) => false,
                Ok(_) = stop.wait_for(|stop| *stop), if cancelled.is_none() => true,
            };
            if held.renew_at <= Instant::now() {
                held.renew(self).await;
            }
            if stop_requested {
                redriven.moved = self.cancel(handle).await?;
                cancelled = Some((Instant::now(), End::Cancelled));
            }
            let task = self.latest_task(source).await?.filter(|task| Some(task.started_at) != *earlier);
            let Some(task) = task else {
                if started.elapsed() > SETTLE {
                    redriven.end = End::Failed("SQS does not list the task".to_owned());
                    return Ok(());
                }
                continue;
            };
            redriven.moved = redriven.moved.max(task.moved);
            let total = task.to_move.max(*expected);
            report(Step::Moved(redriven.moved, total));
            let is_overdue = cancelled.as_ref().is_some_and(|(at, _)| at.elapsed() > SETTLE);
            if !task.is_active() || is_overdue {
                redriven.end = match (task.status.as_str(), cancelled) {
                    ("COMPLETED", None) => End::Completed,
                    (_, Some((_, end))) => end,
                    (status, None) => End::Failed(task.failure_reason.unwrap_or_else(|| status.to_owned())),
                };
                return Ok(());
            }
            // A consumer that rejects them again would feed the task for ever.
            if cancelled.is_none() && redriven.moved > total.saturating_mul(2).saturating_add(100) {
                redriven.moved = self.cancel(handle).await?.max(redriven.moved);
                cancelled = Some((Instant::now(), End::ComingBack));
            }
        }
    }
}

/// How long messages are hidden at a time: longer than the task should take, in case this process dies and nobody
/// renews it.
fn hold_time(messages: u64, options: Options) -> Duration {
    let rate = options.max_per_second.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(ESTIMATED_RATE);
    Duration::from_secs((messages.saturating_mul(2) / rate.max(1)).saturating_add(120))
        .clamp(HOLD_MIN, HOLD_MAX)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_messages_stay_hidden_longer_than_the_task_takes() {
        let options = |max_per_second| Options { max_per_second, all: false };
        assert_eq!(hold_time(10, options(Some(500))), HOLD_MIN);
        assert_eq!(hold_time(6_000, options(Some(10))), Duration::from_secs(1_320));
        assert_eq!(hold_time(u64::MAX / 4, options(Some(1))), HOLD_MAX);
        assert_eq!(hold_time(100_000, options(None)), Duration::from_secs(4_120));
    }
}
