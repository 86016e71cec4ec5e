//! Dead letters back to the queue, by SQS's own message move task.
//!
//! The task has no filter. What this build rejects for good would only come back; so it is received, and with that
//! hidden from the task, until the task has ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{ListMessageMoveTasksResultEntry, QueueAttributeName};

use crate::sqs::dead_letters::{DLQ, DeadLetters, Error, Received, SCAN_MAX_MESSAGES, Stop, queue_attribute};
use crate::sqs::queue::{RETRY_BUDGET, SCHEDULE};

/// The rates that SQS takes, in messages per second ("StartMessageMoveTask", Amazon SQS API Reference).
pub const RATES: std::ops::RangeInclusive<i64> = 1..=500;

/// How often the task is looked at.
const POLL: Duration = Duration::from_secs(1);

/// How long SQS may take to show a new task, or the end of a cancelled one.
const SETTLE: Duration = Duration::from_secs(60);

/// What is held is hidden at least this long, and at most: SQS's limit is 12 hours.
const HOLD_MIN: Duration = Duration::from_secs(10 * 60);
const HOLD_MAX: Duration = Duration::from_secs(11 * 60 * 60);

/// Messages per second that a task of SQS's own rate is reckoned with, low.
const RECKONED_RATE: u64 = 50;

/// How to redrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Messages moved per second, of [`RATES`]; SQS chooses where none is given.
    pub max_per_second: Option<i32>,
    /// Moves what this build rejects for good, too.
    pub all: bool,
}

/// A message move task, as SQS tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// SQS's word, such as `RUNNING` or `COMPLETED`.
    pub status: String,
    /// Messages moved so far.
    pub moved: u64,
    /// Messages there were to move when it started.
    pub to_move: u64,
    /// The queue that they go to.
    pub destination_arn: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// Milliseconds since 1970; tells it from an earlier one.
    started_at: i64,
    handle: Option<String>,
}

impl Task {
    fn of(entry: ListMessageMoveTasksResultEntry) -> Self {
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Self {
            moved: count(entry.approximate_number_of_messages_moved),
            to_move: count(entry.approximate_number_of_messages_to_move.unwrap_or(0)),
            started_at: entry.started_timestamp,
            status: entry.status.unwrap_or_default(),
            destination_arn: entry.destination_arn.unwrap_or_default(),
            failure: entry.failure_reason,
            handle: entry.task_handle,
        }
    }

    /// Whether it still moves messages.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.status.as_str(), "RUNNING" | "CANCELLING")
    }
}

/// How a redrive ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Everything that was to be moved has been.
    Completed,
    /// Nothing was visible but what is left behind: no task was started.
    NothingToMove,
    /// The operator ended it before the task was started.
    Stopped,
    /// The operator cancelled it.
    Cancelled,
    /// It was cancelled here, because what it moved came back.
    ComingBack,
    /// Another task is active; SQS has one a queue.
    AlreadyActive(Task),
    /// SQS gave up, with this reason.
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
    /// Messages left behind that could not be kept hidden all the time: some may have been moved after all, will be
    /// rejected again and come back with their reason.
    pub not_held: u64,
    /// Messages that could not be made visible at once: they come back by themselves.
    pub hidden_for_now: u64,
    /// Whether there were more messages than can be looked at: the others were moved unseen.
    pub has_unseen: bool,
}

/// What a redrive is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Looking at the messages: so many so far.
    Looked(usize),
    /// The task has moved so many of so many.
    Moved(u64, u64),
}

/// The task that a redrive has started.
struct Started {
    source: String,
    handle: String,
    /// When the task before it was started.
    earlier: Option<i64>,
    expected: u64,
}

/// The messages that the task must not see.
struct Held {
    messages: Vec<Received>,
    time: Duration,
    renew_at: Instant,
    not_held: usize,
}

impl Held {
    async fn keep(&mut self, dead_letters: &DeadLetters) {
        self.renew_at = Instant::now() + self.time / 3;
        self.not_held = self.not_held.max(dead_letters.hide(&self.messages, self.time).await);
    }
}

impl DeadLetters {
    /// Moves dead letters to the queue at `queue_url`, all but those that this build rejects for good. Ends in order
    /// when told to stop: the task is cancelled.
    ///
    /// # Errors
    /// When SQS refuses or stays away. If that happens while the task runs, the task goes on without us; what is
    /// held comes back by itself.
    pub async fn redrive(
        &self,
        queue_url: &str,
        options: Options,
        stop: &Stop,
        mut tell: impl FnMut(Step),
    ) -> Result<Redriven, Error> {
        let source = self.arn(&self.url, DLQ).await?;
        let destination = self.arn(queue_url, "the queue").await?;
        let earlier = self.latest_task(&source).await?;
        let mut redriven = Redriven {
            end: End::NothingToMove,
            moved: 0,
            left_behind: BTreeMap::new(),
            not_held: 0,
            hidden_for_now: 0,
            has_unseen: false,
        };
        if let Some(task) = earlier.clone().filter(Task::is_active) {
            redriven.end = End::AlreadyActive(task);
            return Ok(redriven);
        }
        let (mut held, movable) = match options.all {
            true => (Vec::new(), None),
            false => {
                let scan = self.scan(SCAN_MAX_MESSAGES, stop, |count| tell(Step::Looked(count))).await?;
                if scan.is_stopped {
                    redriven.hidden_for_now = count(self.release(&scan.received).await);
                    redriven.end = End::Stopped;
                    return Ok(redriven);
                }
                redriven.has_unseen = !scan.is_complete;
                let (held, others): (Vec<_>, Vec<_>) =
                    scan.received.into_iter().partition(|message| message.rejected_for_good().is_some());
                (held, Some(others))
            }
        };
        for message in &mut held {
            if let Some(reason) = message.rejected_for_good() {
                *redriven.left_behind.entry(reason).or_default() += 1;
            }
            // Judged; there may be many.
            message.body.clear();
        }
        let number = movable.as_ref().map_or(0, |movable| count(movable.len()));
        let mut held =
            Held { messages: held, time: hold(number, options), renew_at: Instant::now(), not_held: 0 };
        held.keep(self).await;
        // Visible again before the task starts: it sees no others.
        if let Some(movable) = movable {
            redriven.hidden_for_now = count(self.release(&movable).await);
        }
        if number > 0 || options.all || redriven.has_unseen {
            let started = self.start_task(&source, &destination, options.max_per_second).await;
            let handle = match started {
                Ok(handle) => handle,
                Err(error) => {
                    self.release(&held.messages).await;
                    return Err(error);
                }
            };
            let earlier = earlier.map(|task| task.started_at);
            let started = Started { source, handle, earlier, expected: number };
            self.follow(&started, &mut held, stop, &mut tell, &mut redriven).await?;
        }
        redriven.not_held = count(held.not_held);
        redriven.hidden_for_now += count(self.release(&held.messages).await);
        Ok(redriven)
    }

    /// Waits for the end of the task, keeps `held` hidden meanwhile, and cancels when told to.
    async fn follow(
        &self,
        task: &Started,
        held: &mut Held,
        stop: &Stop,
        tell: &mut impl FnMut(Step),
        redriven: &mut Redriven,
    ) -> Result<(), Error> {
        let mut stop = stop.clone();
        let mut cancelled: Option<(Instant, End)> = None;
        let Started { source, handle, earlier, expected } = task;
        let started = Instant::now();
        loop {
            let told = tokio::select! {
                () = tokio::time::sleep(POLL) => false,
                Ok(_) = stop.wait_for(|stop| *stop), if cancelled.is_none() => true,
            };
            if held.renew_at <= Instant::now() {
                held.keep(self).await;
            }
            if told {
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
            tell(Step::Moved(redriven.moved, total));
            let is_overdue = cancelled.as_ref().is_some_and(|(at, _)| at.elapsed() > SETTLE);
            if !task.is_active() || is_overdue {
                redriven.end = match (task.status.as_str(), cancelled) {
                    ("COMPLETED", None) => End::Completed,
                    (_, Some((_, end))) => end,
                    (status, None) => End::Failed(task.failure.unwrap_or_else(|| status.to_owned())),
                };
                return Ok(());
            }
            // A consumer that rejects them again feeds the task for ever.
            if cancelled.is_none() && redriven.moved > total.saturating_mul(2).saturating_add(100) {
                redriven.moved = self.cancel(handle).await?.max(redriven.moved);
                cancelled = Some((Instant::now(), End::ComingBack));
            }
        }
    }

    /// The dead-letter queue's most recent task.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn task(&self) -> Result<Option<Task>, Error> {
        let source = self.arn(&self.url, DLQ).await?;
        self.latest_task(&source).await
    }

    /// Cancels the active task, if there is one, and returns it with the number of messages that it had moved.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn cancel_active(&self) -> Result<Option<Task>, Error> {
        let Some(mut task) = self.task().await?.filter(Task::is_active) else { return Ok(None) };
        // One that is being cancelled already has no handle.
        if let Some(handle) = &task.handle {
            task.moved = task.moved.max(self.cancel(handle).await?);
        }
        Ok(Some(task))
    }

    async fn cancel(&self, handle: &str) -> Result<u64, Error> {
        let cancel = || async {
            let request = self.client.cancel_message_move_task().task_handle(handle);
            request.send().await.map_err(|error| Error::new("CancelMessageMoveTask", DLQ, &error))
        };
        let answer = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, cancel).await?;
        Ok(u64::try_from(answer.approximate_number_of_messages_moved).unwrap_or(0))
    }

    async fn latest_task(&self, source: &str) -> Result<Option<Task>, Error> {
        let list = || async {
            let request = self.client.list_message_move_tasks().source_arn(source);
            request.send().await.map_err(|error| Error::new("ListMessageMoveTasks", DLQ, &error))
        };
        let answer = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, list).await?;
        Ok(answer.results.unwrap_or_default().into_iter().next().map(Task::of))
    }

    /// Once: a second start, after one whose answer was lost, would be refused because of the first.
    async fn start_task(&self, source: &str, destination: &str, rate: Option<i32>) -> Result<String, Error> {
        let request = self.client.start_message_move_task().source_arn(source);
        let request = request.destination_arn(destination).set_max_number_of_messages_per_second(rate);
        let started = request.send().await;
        let started = started.map_err(|error| Error::new("StartMessageMoveTask", DLQ, &error))?;
        Ok(started.task_handle.unwrap_or_default())
    }

    async fn arn(&self, url: &str, queue: &'static str) -> Result<String, Error> {
        queue_attribute(&self.client, url, queue, QueueAttributeName::QueueArn).await
    }
}

/// How long messages are hidden at a time: longer than the task should take, in case nobody is left to renew it.
fn hold(messages: u64, options: Options) -> Duration {
    let rate = options.max_per_second.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(RECKONED_RATE);
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
    fn what_is_held_outlasts_the_task() {
        let options = |max_per_second| Options { max_per_second, all: false };
        assert_eq!(hold(10, options(Some(500))), HOLD_MIN);
        assert_eq!(hold(6_000, options(Some(10))), Duration::from_secs(1_320));
        assert_eq!(hold(u64::MAX / 4, options(Some(1))), HOLD_MAX);
        assert_eq!(hold(100_000, options(None)), Duration::from_secs(4_120));
    }
}
