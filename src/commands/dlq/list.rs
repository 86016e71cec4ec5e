//! `user-sync dlq list`: how many dead letters there are of each reason, and each of them.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::bail;
use clap::Args;
use cognito_user_sync::sqs::dead_letters::{DeadLetter, DeadLetters, Received, Stop};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::{release, scan, text};
use crate::commands::output::{self, line};

/// List dead letters: how many of each reason, then each with its id, field and age
///
/// Copies of one event are one row. A message that SQS itself moved has the reason max_receives. Exits with 0,
/// whether or not there are any.
///
/// Example: user-sync dlq list --reason unknown_version
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct List {
    /// List only this reason.
    #[arg(long)]
    reason: Option<String>,
    /// Receive at most this many messages.
    #[arg(long, value_name = "MESSAGES", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What a scan found, as it is printed.
struct Listing {
    letters: Vec<DeadLetter>,
    /// Messages received, copies and other reasons included.
    messages: usize,
    /// Messages that others have received.
    hidden: u64,
    is_complete: bool,
}

impl List {
    pub(super) async fn run(self, dead_letters: &DeadLetters, stop: &Stop) -> anyhow::Result<()> {
        let hidden = dead_letters.hidden().await?;
        let scan = scan(dead_letters, usize::try_from(self.limit)?, stop).await?;
        release(dead_letters, &scan.received).await;
        if scan.is_stopped {
            bail!("interrupted; the received messages are visible again");
        }
        let (messages, is_complete) = (scan.received.len(), scan.is_complete);
        let mut letters = DeadLetter::fold(scan.received);
        letters.retain(|letter| self.reason.as_deref().is_none_or(|reason| reason == letter.reason()));
        let listing = Listing { letters, messages, hidden, is_complete };
        let mut out = output::stdout();
        match self.json {
            true => writeln!(out, "{}", listing.json())?,
            false => listing.write(&mut out)?,
        }
        Ok(())
    }
}

impl Listing {
    fn reasons(&self) -> BTreeMap<&str, u64> {
        let mut reasons = BTreeMap::new();
        self.letters.iter().for_each(|letter| *reasons.entry(letter.reason()).or_default() += 1);
        reasons
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.letters.iter().map(row_json).collect();
        json!({
            "dead_letters": rows, "by_reason": self.reasons(), "messages": self.messages, "hidden": self.hidden,
            "complete": self.is_complete,
        })
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Self { letters, messages, hidden, is_complete } = self;
        writeln!(out, "{} dead letters in {messages} messages", letters.len())?;
        for (reason, count) in self.reasons() {
            writeln!(out, "  {count:>6} {}", line(reason))?;
        }
        if !letters.is_empty() {
            writeln!(out, "\n{}", table(letters))?;
        }
        if *hidden > 0 {
            writeln!(
                out,
                "\nabout {hidden} more are hidden: somebody has received them; list again in a few minutes"
            )?;
        }
        if !is_complete {
            writeln!(out, "\nthere may be more: raise --limit")?;
        }
        Ok(())
    }
}

fn table(letters: &[DeadLetter]) -> Table {
    let mut table = Table::new();
    // Never wrap: people copy the ids.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["id", "reason", "field", "type", "first seen", "receives", "copies", "detail"]);
    for letter in letters {
        let row = [
            &letter.id,
            letter.reason(),
            letter.field(),
            letter.kind().unwrap_or("-"),
            &text(letter.first_seen()),
            &letter.receive_count().to_string(),
            &letter.copies.len().to_string(),
            letter.detail(),
        ];
        table.add_row(row.map(line));
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
