//! `user-sync dlq`: dead letters, listed, shown, moved back and dropped.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use cognito_user_sync::config::{DLQ_URL_VARIABLE, Environment};
use cognito_user_sync::sqs::dead_letters::mask::{MASK, masked};
use cognito_user_sync::sqs::dead_letters::redrive::{End, Options, RATES, Redriven, Step, Task};
use cognito_user_sync::sqs::dead_letters::{
    DeadLetter, DeadLetters, Received, SCAN_HIDES, SCAN_MAX_MESSAGES, Scan, Stop,
};
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::timestamp::Timestamp;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The message attributes that the consumer sets: they name fields and limits, never a value.
const OURS: [&str; 4] = ["reason", "field", "detail", "source_message_id"];

/// List, show, redrive or drop what could not be applied
///
/// SQS cannot browse: to list is to receive. What is received is hidden from others meanwhile, visible again at the
/// end (on Ctrl-C and errors too; if the process is killed, after 5 minutes), and its receive count has risen by
/// one, which has no effect in a dead-letter queue. Messages that somebody else has received are not seen.
///
/// Needs USER_SYNC_DLQ_URL, and sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:GetQueueAttributes on that
/// queue; no database. Exits with 1 when something could not be done, and says what to do next.
///
/// Example: user-sync dlq list
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Redrive(Redrive),
    Drop(Drop),
}

/// List dead letters: how many of each reason, then each with its id, field and age
///
/// Copies of one event are one row. A message that SQS itself moved has the reason max_receives. Exits with 0,
/// whether there are any or not.
///
/// Example: user-sync dlq list --reason unknown_version
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct List {
    /// List this reason only.
    #[arg(long)]
    reason: Option<String>,
    /// Receive at most this many messages.
    #[arg(long, value_name = "MESSAGES", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Show one dead letter, its values masked, and what a redrive would do with it
///
/// Names, types, ids and times are shown; attributes, user names and what the client said of itself are not,
/// unless --reveal is given: then mind where the output goes. Exits with 1 if there is none of that id.
///
/// Example: user-sync dlq show 0199f3a1-7c1e-7d20-9b61-2f6f3c1b0a55
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct Show {
    /// The event's id, or SQS's id of the message.
    id: String,
    /// Show the message as it is: personal data.
    #[arg(long)]
    reveal: bool,
}

/// Move dead letters back to the queue, but for those that would only come back
///
/// Starts SQS's message move task from the dead-letter queue to the queue, shows its progress, and cancels it on
/// Ctrl-C. Left behind, and told by reason, is what this build cannot decode, what is too_old and what is an
/// id_conflict; --all moves that too. A redriven event that was applied before counts once. Fix the cause first:
/// what is rejected again comes back, and when more comes back than there was, the task is cancelled. Messages
/// that somebody else has received (dlq list in another terminal) are not moved.
///
/// Needs USER_SYNC_QUEUE_URL too, and on the dead-letter queue sqs:StartMessageMoveTask,
/// sqs:ListMessageMoveTasks, sqs:CancelMessageMoveTask and sqs:DeleteMessage, on the queue sqs:SendMessage and
/// sqs:GetQueueAttributes. Exits with 0 when all that was to be moved has been.
///
/// Example: user-sync dlq redrive --max-per-second 50
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct Redrive {
    /// Move at most this many messages a second, 1 to 500; SQS chooses where none is given.
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(i32).range(RATES))]
    max_per_second: Option<i32>,
    /// Move everything, also what this build rejects for good.
    #[arg(long)]
    all: bool,
    /// Cancel the task that is running, started here or elsewhere, instead.
    #[arg(long, conflicts_with_all = ["max_per_second", "all"])]
    cancel: bool,
    /// Print one JSON document at the end.
    #[arg(long)]
    json: bool,
}

/// Delete one dead letter and its copies, for good
///
/// Prints what it was, masked, on stderr, and one line of JSON on stdout: keep it as a record. Needs
/// sqs:DeleteMessage. Exits with 1 if there is none of that id, or if a copy is left.
///
/// Example: user-sync dlq drop 0199f3a1-7c1e-7d20-9b61-2f6f3c1b0a55 --reason "sent by a load test" >> dropped.jsonl
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct Drop {
    /// The event's id, or SQS's id of the message.
    id: String,
    /// Why, in your words: it goes into the record.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let url = Environment::process().required(DLQ_URL_VARIABLE, "the URL of the dead-letter queue")?;
    let dead_letters = DeadLetters::new(url).await;
    let (ask, stop) = watch::channel(false);
    let asking = tokio::spawn(async move {
        super::asked_to_end().await;
        ask.send_replace(true);
        // Held until the end: without a sender, nobody could wait for a change.
        ask.closed().await;
    });
    let done = match arguments.command {
        Command::List(list) => list.run(&dead_letters, &stop).await,
        Command::Show(show) => show.run(&dead_letters, &stop).await,
        Command::Redrive(redrive) => redrive.run(&dead_letters, &stop).await,
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

/// Makes messages visible again, and says so if that failed.
async fn release(dead_letters: &DeadLetters, messages: &[Received]) {
    let failed = dead_letters.release(messages).await;
    if failed > 0 {
        let minutes = SCAN_HIDES.as_secs() / 60;
        eprintln!(
            "{failed} messages could not be made visible at once; they come back within {minutes} minutes"
        );
    }
}

impl List {
    async fn run(self, dead_letters: &DeadLetters, stop: &Stop) -> anyhow::Result<()> {
        let hidden = dead_letters.hidden().await?;
        let scan = scan(dead_letters, usize::try_from(self.limit)?, stop).await?;
        release(dead_letters, &scan.received).await;
        if scan.is_stopped {
            bail!("interrupted; what was received is visible again");
        }
        let messages = scan.received.len();
        let mut letters = DeadLetter::fold(scan.received);
        letters.retain(|letter| self.reason.as_deref().is_none_or(|reason| reason == letter.reason()));
        let mut reasons = BTreeMap::<&str, u64>::new();
        letters.iter().for_each(|letter| *reasons.entry(letter.reason()).or_default() += 1);
        let mut out = std::io::stdout().lock();
        if self.json {
            let rows: Vec<Value> = letters.iter().map(row_json).collect();
            let document = json!({
                "dead_letters": rows, "by_reason": reasons, "messages": messages, "hidden": hidden,
                "complete": scan.is_complete,
            });
            writeln!(out, "{document}")?;
            return Ok(());
        }
        writeln!(out, "{} dead letters in {messages} messages", letters.len())?;
        for (reason, count) in &reasons {
            writeln!(out, "  {count:>6} {reason}")?;
        }
        if !letters.is_empty() {
            writeln!(out, "\n{}", table(&letters))?;
        }
        if hidden > 0 {
            writeln!(
                out,
                "\nabout {hidden} more are hidden: somebody has received them; list again in some minutes"
            )?;
        }
        if !scan.is_complete {
            writeln!(out, "\nthere may be more: raise --limit")?;
        }
        Ok(())
    }
}

fn table(letters: &[DeadLetter]) -> Table {
    let mut table = Table::new();
    // Never wrapped: ids are there to be copied.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["id", "reason", "field", "type", "first seen", "receives", "copies", "detail"]);
    for letter in letters {
        table.add_row([
            letter.id.clone(),
            letter.reason().to_owned(),
            letter.field().to_owned(),
            letter.kind().unwrap_or("-").to_owned(),
            text(letter.first_seen()),
            letter.receive_count().to_string(),
            letter.copies.len().to_string(),
            letter.detail().to_owned(),
        ]);
    }
    table
}

fn row_json(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "reason": letter.reason(),
        "field": letter.field(),
        "detail": letter.detail(),
        "type": letter.kind(),
        "first_seen": letter.first_seen().map(|time| time.to_string()),
        "receive_count": letter.receive_count(),
        "copies": letter.copies.len(),
        "message_ids": letter.copies.iter().map(|copy| &copy.message_id).collect::<Vec<_>>(),
        "stays_behind": letter.copies.iter().find_map(Received::rejected_for_good),
    })
}

fn text(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

/// The one dead letter that an id names, of those received.
fn find(letters: Vec<DeadLetter>, id: &str, is_complete: bool) -> anyhow::Result<DeadLetter> {
    let mut found: Vec<DeadLetter> = letters.into_iter().filter(|letter| letter.answers_to(id)).collect();
    match (found.pop(), found.len()) {
        (Some(letter), 0) => Ok(letter),
        (Some(_), others) => bail!(
            "{} different messages have the event id {id}; name one by its message id, as in dlq list --json",
            others + 1
        ),
        (None, _) if is_complete => bail!(
            "no dead letter {id} is visible; look for it with dlq list, or wait some minutes if somebody has \
             received it"
        ),
        (None, _) => {
            bail!("no dead letter {id} among the first {SCAN_MAX_MESSAGES}; redrive or drop others first")
        }
    }
}

impl Show {
    async fn run(self, dead_letters: &DeadLetters, stop: &Stop) -> anyhow::Result<()> {
        let scan = scan(dead_letters, SCAN_MAX_MESSAGES, stop).await?;
        release(dead_letters, &scan.received).await;
        if scan.is_stopped {
            bail!("interrupted; what was received is visible again");
        }
        let letter = find(DeadLetter::fold(scan.received), &self.id, scan.is_complete)?;
        describe(&mut std::io::stdout().lock(), &letter, self.reveal)
    }
}

fn describe(out: &mut impl std::io::Write, letter: &DeadLetter, reveal: bool) -> anyhow::Result<()> {
    writeln!(out, "id          {}", letter.id)?;
    writeln!(out, "reason      {}", letter.reason())?;
    writeln!(out, "detail      {}", letter.detail())?;
    writeln!(out, "first seen  {}", text(letter.first_seen()))?;
    writeln!(out, "on redrive  {}", forecast(letter))?;
    for (index, copy) in letter.copies.iter().enumerate() {
        writeln!(out, "\ncopy {} of {}", index + 1, letter.copies.len())?;
        writeln!(out, "  message id     {}", copy.message_id)?;
        writeln!(out, "  sent           {}", text(copy.sent_at))?;
        writeln!(out, "  receive count  {}", copy.receive_count)?;
        for (name, value) in &copy.attributes {
            let value = if reveal || OURS.contains(&name.as_str()) { value } else { MASK };
            writeln!(out, "  {name}: {value}")?;
        }
        writeln!(out, "  body, {} bytes", copy.body.len())?;
        writeln!(out, "{}", if reveal { revealed(letter, copy) } else { masked(&copy.body) })?;
    }
    Ok(())
}

/// The body: indented if it is an event, else as it is.
fn revealed(letter: &DeadLetter, copy: &Received) -> String {
    let parsed = letter.event.is_ok().then(|| serde_json::from_str::<Value>(&copy.body).ok()).flatten();
    parsed.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| copy.body.clone())
}

/// What a redrive would do with it.
fn forecast(letter: &DeadLetter) -> String {
    match (&letter.event, letter.copies.iter().find_map(Received::rejected_for_good)) {
        (Err(error), _) => format!("stays behind: this build cannot decode it ({error})"),
        (Ok(_), Some(reason)) => format!("stays behind: {reason} is for good"),
        (Ok(_), None) => {
            "moves: this build decodes it; it is applied if what was wrong has been fixed, else it comes back"
                .to_owned()
        }
    }
}

impl Drop {
    async fn run(self, dead_letters: &DeadLetters, stop: &Stop) -> anyhow::Result<()> {
        if self.reason.trim().is_empty() {
            bail!("--reason is blank: say why the message may go, for the record");
        }
        let scan = scan(dead_letters, SCAN_MAX_MESSAGES, stop).await?;
        let found = match scan.is_stopped {
            true => Err(anyhow::anyhow!("interrupted; nothing was dropped")),
            false => find(DeadLetter::fold(scan.received.clone()), &self.id, scan.is_complete),
        };
        let done = match &found {
            Ok(letter) => self.delete(dead_letters, letter).await,
            Err(_) => Ok(()),
        };
        let dropped = found.as_ref().map(|letter| letter.copies.as_slice()).unwrap_or_default();
        let is_dropped =
            |message: &Received| dropped.iter().any(|copy| copy.message_id == message.message_id);
        let others: Vec<Received> =
            scan.received.iter().filter(|message| !is_dropped(message)).cloned().collect();
        release(dead_letters, &others).await;
        found.and(done)
    }

    async fn delete(&self, dead_letters: &DeadLetters, letter: &DeadLetter) -> anyhow::Result<()> {
        describe(&mut std::io::stderr().lock(), letter, false)?;
        let failed = dead_letters.delete(&letter.copies).await;
        if failed > 0 {
            release(dead_letters, &letter.copies).await;
            bail!("{failed} of {} copies are not deleted; drop {} again", letter.copies.len(), letter.id);
        }
        let record = json!({
            "dropped_at": Timestamp::now().to_string(),
            "id": letter.id,
            "type": letter.kind(),
            "rejected_as": letter.reason(),
            "reason": self.reason,
            "message_ids": letter.copies.iter().map(|copy| &copy.message_id).collect::<Vec<_>>(),
            // Nothing here knows who runs it; CloudTrail does.
            "who": null,
        });
        writeln!(std::io::stdout(), "{record}")?;
        Ok(())
    }
}

impl Redrive {
    async fn run(self, dead_letters: &DeadLetters, stop: &Stop) -> anyhow::Result<()> {
        if self.cancel {
            return cancel(dead_letters).await;
        }
        let queue_url = Environment::process().required(QUEUE_URL_VARIABLE, "the queue to move to")?;
        let hidden = dead_letters.hidden().await?;
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}, {per_sec}, {eta} left")?;
        let progress = ProgressBar::new(0).with_style(style).with_message("looking at dead letters");
        let tell = |step| match step {
            Step::Looked(count) => progress.set_length(to_u64(count)),
            Step::Moved(moved, of) => {
                progress.set_message("moving");
                progress.set_length(of.max(moved));
                progress.set_position(moved);
            }
        };
        let options = Options { max_per_second: self.max_per_second, all: self.all };
        let redriven = dead_letters.redrive(&queue_url, options, stop, tell).await;
        progress.finish_and_clear();
        let redriven = redriven.context(
            "the redrive was broken off; if a task runs it goes on (dlq redrive --cancel ends it), and nothing is lost",
        )?;
        let mut out = std::io::stdout().lock();
        match self.json {
            true => writeln!(out, "{}", redriven_json(&redriven, hidden))?,
            false => say(&mut out, &redriven, hidden)?,
        }
        judge(&redriven)
    }
}

/// Prints what was moved and what was not.
fn say(out: &mut impl std::io::Write, redriven: &Redriven, hidden: u64) -> anyhow::Result<()> {
    writeln!(out, "{} messages moved", redriven.moved)?;
    let left: u64 = redriven.left_behind.values().sum();
    if left > 0 {
        writeln!(out, "{left} left behind, since they would be rejected again:")?;
        for (reason, count) in &redriven.left_behind {
            writeln!(out, "  {count:>6} {reason}")?;
        }
        writeln!(out, "look at them with dlq list and dlq show; upgrade the consumer, or dlq drop them")?;
    }
    if redriven.not_held > 0 {
        let count = redriven.not_held;
        writeln!(
            out,
            "up to {count} of these could not be kept back: if moved, they come back with their reason"
        )?;
    }
    if redriven.hidden_for_now > 0 {
        let count = redriven.hidden_for_now;
        writeln!(
            out,
            "{count} could not be made visible at once; they come back by themselves: redrive again then"
        )?;
    }
    if redriven.has_unseen {
        writeln!(out, "there were more than {SCAN_MAX_MESSAGES}; the others were moved unseen")?;
    }
    if hidden > 0 {
        writeln!(
            out,
            "about {hidden} were hidden, since somebody had received them: list again in some minutes"
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

fn judge(redriven: &Redriven) -> anyhow::Result<()> {
    match &redriven.end {
        End::Completed | End::NothingToMove => Ok(()),
        End::Stopped => bail!("interrupted before the task was started; what was received is visible again"),
        End::Cancelled => {
            bail!("cancelled after {} messages; the others are still dead letters", redriven.moved)
        }
        End::ComingBack => {
            bail!("cancelled: more came back than there was to move; fix the cause first (dlq list)")
        }
        End::AlreadyActive(task) => {
            bail!(
                "a task is active already: {}; wait for it, or end it with dlq redrive --cancel",
                progress_of(task)
            )
        }
        End::Failed(why) => {
            bail!("SQS gave the task up after {} messages: {why}; redrive again", redriven.moved)
        }
    }
}

async fn cancel(dead_letters: &DeadLetters) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match dead_letters.cancel_active().await? {
        Some(task) => writeln!(out, "cancelled: {}", progress_of(&task))?,
        None => writeln!(out, "no task is active")?,
    }
    Ok(())
}

fn progress_of(task: &Task) -> String {
    format!("{} of {} messages moved to {}", task.moved, task.to_move, task.destination_arn)
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
