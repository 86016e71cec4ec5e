//! SQS's message move tasks: starts, lists and cancels the one that moves dead letters to another queue. Must not know
//! what messages say.

use aws_sdk_sqs::types::{ListMessageMoveTasksResultEntry, QueueAttributeName};

use crate::sqs::dead_letters::{DLQ, DeadLetters, Error, queue_attribute};
use crate::sqs::queue::{RETRY_BUDGET, SCHEDULE};

/// A message move task, as SQS lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// SQS's status, such as `RUNNING` or `COMPLETED`.
    pub status: String,
    /// Messages moved so far.
    pub moved: u64,
    /// Messages that were to be moved when it started.
    pub to_move: u64,
    /// The queue that it moves them to.
    pub destination_arn: String,
    /// Why it failed, in SQS's words.
    pub failure_reason: Option<String>,
    /// Milliseconds since 1970; tells it apart from an earlier one.
    pub(super) started_at: i64,
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
            failure_reason: entry.failure_reason,
            handle: entry.task_handle,
        }
    }

    /// Whether it still moves messages.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.status.as_str(), "RUNNING" | "CANCELLING")
    }
}

impl DeadLetters {
    /// The dead-letter queue's most recent task.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn task(&self) -> Result<Option<Task>, Error> {
        let source = self.arn(&self.url, DLQ).await?;
        self.latest_task(&source).await
    }

    /// Cancels the active task, if there is one, and returns it with the number of messages that it moved.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn cancel_active(&self) -> Result<Option<Task>, Error> {
        let Some(mut task) = self.task().await?.filter(Task::is_active) else { return Ok(None) };
        // A task that is already being cancelled has no handle.
        if let Some(handle) = &task.handle {
            task.moved = task.moved.max(self.cancel(handle).await?);
        }
        Ok(Some(task))
    }

    pub(super) async fn cancel(&self, handle: &str) -> Result<u64, Error> {
        let cancel = || async {
            let request = self.client.cancel_message_move_task().task_handle(handle);
            request.send().await.map_err(|error| Error::new("CancelMessageMoveTask", DLQ, &error))
        };
        let answer = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, cancel).await?;
        Ok(u64::try_from(answer.approximate_number_of_messages_moved).unwrap_or(0))
    }

    pub(super) async fn latest_task(&self, source: &str) -> Result<Option<Task>, Error> {
        let list = || async {
            let request = self.client.list_message_move_tasks().source_arn(source);
            request.send().await.map_err(|error| Error::new("ListMessageMoveTasks", DLQ, &error))
        };
        let answer = SCHEDULE.retry(RETRY_BUDGET, Error::is_transient, list).await?;
        Ok(answer.results.unwrap_or_default().into_iter().next().map(Task::of))
    }

    /// Not retried: if the response to the first start was lost, SQS would refuse the second because of the first.
    pub(super) async fn start_task(
        &self,
        source: &str,
        destination: &str,
        rate: Option<i32>,
    ) -> Result<String, Error> {
        let request = self.client.start_message_move_task().source_arn(source);
        let request = request.destination_arn(destination).set_max_number_of_messages_per_second(rate);
        let started = request.send().await;
        let started = started.map_err(|error| Error::new("StartMessageMoveTask", DLQ, &error))?;
        Ok(started.task_handle.unwrap_or_default())
    }

    pub(super) async fn arn(&self, url: &str, queue: &'static str) -> Result<String, Error> {
        queue_attribute(&self.client, url, queue, QueueAttributeName::QueueArn).await
    }
}
