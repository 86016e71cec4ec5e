//! `user-sync dlq show`: one dead letter, its values masked, and what a redrive would do with it.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use cognito_user_sync::sqs::dead_letters::mask::{MASK, masked};
use cognito_user_sync::sqs::dead_letters::{DeadLetter, DeadLetters, Received, SCAN_MAX_MESSAGES, Stop};
use serde_json::Value;

use super::{find, release, scan, text};
use crate::commands::output::{self, line};

/// The message attributes that the consumer sets: they name fields and limits, never a value.
const OURS: [&str; 4] = ["reason", "field", "detail", "source_message_id"];

/// Show one dead letter, its values masked, and what a redrive would do with it
///
/// Shows names, types, ids and times. Attributes, user names and what the client sent are masked unless --reveal is
/// given: the output is then personal data. Exits with 1 if there is no dead letter of this id.
///
/// Example: user-sync dlq show 0199f3a1-7c1e-7d20-9b61-2f6f3c1b0a55
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Show {
    /// The event's id, or SQS's id of the message.
    id: String,
    /// Show the message unmasked: personal data.
    #[arg(long)]
    reveal: bool,
}

impl Show {
    pub(super) async fn run(self, dead_letters: &DeadLetters, stop: &Stop) -> anyhow::Result<()> {
        let scan = scan(dead_letters, SCAN_MAX_MESSAGES, stop).await?;
        release(dead_letters, &scan.received).await;
        if scan.is_stopped {
            bail!("interrupted; the received messages are visible again");
        }
        let letter = find(DeadLetter::fold(scan.received), &self.id, scan.is_complete)?;
        describe(&mut output::stdout(), &letter, self.reveal)
    }
}

pub(super) fn describe(out: &mut impl Write, letter: &DeadLetter, reveal: bool) -> anyhow::Result<()> {
    writeln!(out, "id          {}", line(&letter.id))?;
    writeln!(out, "reason      {}", line(letter.reason()))?;
    writeln!(out, "detail      {}", line(letter.detail()))?;
    writeln!(out, "first seen  {}", text(letter.first_seen()))?;
    writeln!(out, "on redrive  {}", forecast(letter))?;
    for (index, copy) in letter.copies.iter().enumerate() {
        writeln!(out, "\ncopy {} of {}", index + 1, letter.copies.len())?;
        writeln!(out, "  message id     {}", line(&copy.message_id))?;
        writeln!(out, "  sent           {}", text(copy.sent_at))?;
        writeln!(out, "  receive count  {}", copy.receive_count)?;
        for (name, value) in &copy.attributes {
            let value = if reveal || OURS.contains(&name.as_str()) { value } else { MASK };
            writeln!(out, "  {}: {}", line(name), line(value))?;
        }
        writeln!(out, "  body, {} bytes", copy.body.len())?;
        writeln!(out, "{}", if reveal { revealed(letter, copy) } else { masked(&copy.body) })?;
    }
    Ok(())
}

/// The body: indented if it is an event, else on one line.
fn revealed(letter: &DeadLetter, copy: &Received) -> String {
    let parsed = letter.event.is_ok().then(|| serde_json::from_str::<Value>(&copy.body).ok()).flatten();
    parsed
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| line(&copy.body).into_owned())
}

/// What a redrive would do with the message.
fn forecast(letter: &DeadLetter) -> String {
    match (&letter.event, letter.copies.iter().find_map(Received::rejected_for_good)) {
        (Err(error), _) => format!("skipped: this build cannot decode it ({error})"),
        (Ok(_), Some(reason)) => format!("skipped: {reason} is permanent"),
        (Ok(_), None) => {
            "moves: this build decodes it; if the cause has been fixed it is applied, else it returns here"
                .to_owned()
        }
    }
}
