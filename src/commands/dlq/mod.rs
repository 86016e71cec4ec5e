//! `user-sync dlq`: lists, shows, redrives and drops dead letters. Must not know the database.

mod drop;
mod list;
mod redrive;
mod show;

use anyhow::bail;
use clap::{Args, Subcommand};
use cognito_user_sync::config::{
    CONTEXT_DLQ_URL_VARIABLE, CONTEXT_QUEUE_URL_VARIABLE, DLQ_URL_VARIABLE, Environment,
};
use cognito_user_sync::sqs::dead_letters::{
    DeadLetter, DeadLetters, Received, SCAN_HIDES, SCAN_MAX_MESSAGES, Scan, Stop,
};
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::timestamp::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::commands::output;

/// List, show, redrive or drop messages that could not be applied
///
/// SQS cannot browse: to list is to receive. Received messages are hidden from others until the command ends, also by
/// Ctrl-C or an error; if the process is killed, for 5 minutes. Their receive count rises by one, which has no effect
/// in a dead-letter queue. Messages that somebody else has received are not seen.
///
/// Needs USER_SYNC_DLQ_URL, and sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:GetQueueAttributes on that
/// queue; no database. With --contexts it is the dead-letter queue of the records of sign-ins:
/// USER_SYNC_CONTEXT_DLQ_URL. Exits with 1 if something could not be done, and says what to do next.
///
/// Example: user-sync dlq list
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Work on the dead letters of the queue of records of sign-ins (USER_SYNC_CONTEXT_DLQ_URL).
    #[arg(long, global = true)]
    contexts: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Show(show::Show),
    Redrive(redrive::Redrive),
    Drop(drop::Drop),
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (queue, dlq) = match arguments.contexts {
        true => (CONTEXT_QUEUE_URL_VARIABLE, CONTEXT_DLQ_URL_VARIABLE),
        false => (QUEUE_URL_VARIABLE, DLQ_URL_VARIABLE),
    };
    let url = Environment::process().required(dlq, "the URL of the dead-letter queue")?;
    let dead_letters = DeadLetters::new(url).await;
    let (ask, stop) = watch::channel(false);
    let asking = tokio::spawn(async move {
        super::asked_to_end().await;
        ask.send_replace(true);
        // Keep the sender until the end: without it, nobody can wait for a change.
        ask.closed().await;
    });
    let done = match arguments.command {
        Command::List(list) => list.run(&dead_letters, &stop).await,
        Command::Show(show) => show.run(&dead_letters, &stop).await,
        Command::Redrive(redrive) => redrive.run(&dead_letters, queue, &stop).await,
        Command::Drop(drop) => drop.run(&dead_letters, &stop).await,
    };
    asking.abort();
    done
}

/// Receives up to `limit` messages, with a spinner.
async fn scan(dead_letters: &DeadLetters, limit: usize, stop: &Stop) -> anyhow::Result<Scan> {
    let style = ProgressStyle::with_template("{spinner} {pos} dead letters received, {elapsed}")?;
    let progress = ProgressBar::new_spinner().with_style(style);
    let scan = dead_letters.scan(limit, stop, |count| progress.set_position(to_u64(count))).await;
    progress.finish_and_clear();
    Ok(scan?)
}

/// Makes messages visible again, and prints a warning if that failed.
async fn release(dead_letters: &DeadLetters, messages: &[Received]) {
    let failed = dead_letters.release(messages).await;
    if failed > 0 {
        let minutes = SCAN_HIDES.as_secs() / 60;
        output::say(&format!(
            "{failed} messages could not be made visible at once; they will be visible within {minutes} minutes"
        ));
    }
}

fn text(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

/// The one dead letter with this id, of those received.
fn find(letters: Vec<DeadLetter>, id: &str, is_complete: bool) -> anyhow::Result<DeadLetter> {
    let mut found: Vec<DeadLetter> = letters.into_iter().filter(|letter| letter.answers_to(id)).collect();
    match (found.pop(), found.len()) {
        (Some(letter), 0) => Ok(letter),
        (Some(_), others) => bail!(
            "{} different messages have the event id {id}; give a message id instead, from dlq list --json",
            others + 1
        ),
        (None, _) if is_complete => bail!(
            "no dead letter {id} is visible; look for it with dlq list, or wait a few minutes if somebody has \
             received it"
        ),
        (None, _) => {
            bail!("no dead letter {id} among the first {SCAN_MAX_MESSAGES}; redrive or drop others first")
        }
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
