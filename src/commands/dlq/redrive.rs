//! `user-sync dlq redrive`: moves dead letters back to the queue.

use std::io::Write;

use anyhow::{Context as _, bail};
use clap::Args;
use cognito_user_sync::config::Environment;
use cognito_user_sync::sqs::dead_letters::redrive::{End, Options, RATES, Redriven, Step, Task};
use cognito_user_sync::sqs::dead_letters::{DeadLetters, SCAN_MAX_MESSAGES, Stop};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::to_u64;
use crate::commands::output::{self, line};

/// Move dead letters back to the queue, but for those that would be rejected again
///
/// Starts SQS's message move task from the dead-letter queue to the queue, shows its progress, and cancels it on
/// Ctrl-C. Skips what this build cannot decode, what is too_old, an id_conflict or of the wrong_queue, and counts them
/// by reason; --all moves them too. A redriven event that was applied before counts once. Fix the cause first: a message
/// that is rejected again returns to the dead-letter queue, and if more return than there were, the task is
/// cancelled. Messages that somebody else has received (dlq list in another terminal) are not moved.
///
/// Needs USER_SYNC_QUEUE_URL too (with --contexts USER_SYNC_CONTEXT_QUEUE_URL), and on the dead-letter queue sqs:StartMessageMoveTask,
/// sqs:ListMessageMoveTasks, sqs:CancelMessageMoveTask and sqs:DeleteMessage, on the queue sqs:SendMessage and
/// sqs:GetQueueAttributes. Exits with 0 if every message that should move was moved.
///
/// Example: user-sync dlq redrive --max-per-second 50
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Redrive {
    /// Move at most this many messages a second, 1 to 500 [default: SQS chooses].
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(i32).range(RATES))]
    max_per_second: Option<i32>,
    /// Also move messages that this build rejects permanently.
    #[arg(long)]
    all: bool,
    /// Instead, cancel the task that is running, whoever started it.
    #[arg(long, conflicts_with_all = ["max_per_second", "all"])]
    cancel: bool,
    /// Print one JSON document at the end.
    #[arg(long)]
    json: bool,
}

impl Redrive {
    /// To the queue that the variable `queue` names.
    pub(super) async fn run(
        self,
        dead_letters: &DeadLetters,
        queue: &'static str,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        if self.cancel {
            return cancel(dead_letters).await;
        }
        let queue_url = Environment::process().required(queue, "the queue to move to")?;
        let hidden = dead_letters.hidden().await?;
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}, {per_sec}, {eta} left")?;
        let progress = ProgressBar::new(0).with_style(style).with_message("checking dead letters");
        let report = |step| match step {
            Step::Looked(count) => progress.set_length(to_u64(count)),
            Step::Moved(moved, of) => {
                progress.set_message("moving");
                progress.set_length(of.max(moved));
                progress.set_position(moved);
            }
        };
        let options = Options { max_per_second: self.max_per_second, all: self.all };
        let redriven = dead_letters.redrive(&queue_url, options, stop, report).await;
        progress.finish_and_clear();
        let redriven = redriven.context(
            "the redrive failed, and nothing is lost; if a task is running, it continues (dlq redrive --cancel ends it)",
        )?;
        let mut out = output::stdout();
        match self.json {
            true => writeln!(out, "{}", redriven_json(&redriven, hidden))?,
            false => write(&mut out, &redriven, hidden)?,
        }
        exit_status(&redriven)
    }
}

/// Prints what was moved and what was not.
fn write(out: &mut impl Write, redriven: &Redriven, hidden: u64) -> anyhow::Result<()> {
    writeln!(out, "{} messages moved", redriven.moved)?;
    let left: u64 = redriven.left_behind.values().sum();
    if left > 0 {
        writeln!(out, "{left} left behind, since they would be rejected again:")?;
        for (reason, count) in &redriven.left_behind {
            writeln!(out, "  {count:>6} {}", line(reason))?;
        }
        writeln!(out, "inspect them with dlq list and dlq show; upgrade the consumer, or dlq drop them")?;
    }
    if redriven.not_held > 0 {
        let count = redriven.not_held;
        writeln!(
            out,
            "up to {count} of these could not be kept hidden: if they were moved, they return with their reason"
        )?;
    }
    if redriven.hidden_for_now > 0 {
        let count = redriven.hidden_for_now;
        writeln!(
            out,
            "{count} could not be made visible at once; redrive again in a few minutes, when they are visible"
        )?;
    }
    if redriven.has_unseen {
        writeln!(
            out,
            "there were more than {SCAN_MAX_MESSAGES}; the others were moved without being checked"
        )?;
    }
    if hidden > 0 {
        writeln!(
            out,
            "about {hidden} were hidden, since somebody had received them: list again in a few minutes"
        )?;
    }
    Ok(())
}

fn redriven_json(redriven: &Redriven, hidden: u64) -> Value {
    let end = match &redriven.end {
        End::Completed => "completed",
        End::NothingToMove => "nothing_to_move",
        End::Stopped => "stopped",
        End::Cancelled => "cancelled",
        End::ComingBack => "coming_back",
        End::AlreadyActive(_) => "already_active",
        End::Failed(_) => "failed",
    };
    json!({
        "end": end, "moved": redriven.moved, "left_behind": redriven.left_behind, "not_held": redriven.not_held,
        "hidden_for_now": redriven.hidden_for_now, "has_unseen": redriven.has_unseen, "hidden": hidden,
    })
}

/// An error unless every message that should move was moved.
fn exit_status(redriven: &Redriven) -> anyhow::Result<()> {
    match &redriven.end {
        End::Completed | End::NothingToMove => Ok(()),
        End::Stopped => {
            bail!("interrupted before the task was started; the received messages are visible again")
        }
        End::Cancelled => {
            bail!("cancelled after {} messages; the others are still dead letters", redriven.moved)
        }
        End::ComingBack => {
            bail!("cancelled: more messages returned than there were to move; fix the cause first (dlq list)")
        }
        End::AlreadyActive(task) => {
            bail!(
                "a task is active already: {}; wait for it, or end it with dlq redrive --cancel",
                progress_of(task)
            )
        }
        End::Failed(why) => {
            bail!("SQS ended the task after {} messages: {why}; redrive again", redriven.moved)
        }
    }
}

async fn cancel(dead_letters: &DeadLetters) -> anyhow::Result<()> {
    let mut out = output::stdout();
    match dead_letters.cancel_active().await? {
        Some(task) => writeln!(out, "cancelled: {}", progress_of(&task))?,
        None => writeln!(out, "no task is active")?,
    }
    Ok(())
}

fn progress_of(task: &Task) -> String {
    format!("{} of {} messages moved to {}", task.moved, task.to_move, task.destination_arn)
}
