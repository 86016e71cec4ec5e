//! `user-sync dlq drop`: deletes one dead letter and its copies, and prints a record of it.

use std::io::Write as _;

use anyhow::bail;
use clap::Args;
use cognito_user_sync::sqs::dead_letters::{DeadLetter, DeadLetters, Received, SCAN_MAX_MESSAGES, Stop};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::json;

use super::show::describe;
use super::{find, release, scan};
use crate::commands::output;

/// Delete one dead letter and its copies permanently
///
/// Prints the message, masked, on stderr, and one line of JSON on stdout: keep it as a record. Needs
/// sqs:DeleteMessage. Exits with 1 if there is no dead letter of this id, or if a copy is left.
///
/// Example: user-sync dlq drop 0199f3a1-7c1e-7d20-9b61-2f6f3c1b0a55 --reason "sent by a load test" >> dropped.jsonl
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Drop {
    /// The event's id, or SQS's id of the message.
    id: String,
    /// Why, in your words, for the record.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
}

impl Drop {
    pub(super) async fn run(self, dead_letters: &DeadLetters, stop: &Stop) -> anyhow::Result<()> {
        if self.reason.trim().is_empty() {
            bail!("--reason is blank: say why you drop the message, for the record");
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
        describe(&mut output::stderr(), letter, false)?;
        let failed = dead_letters.delete(&letter.copies).await;
        if failed > 0 {
            release(dead_letters, &letter.copies).await;
            bail!(
                "{failed} of {} copies could not be deleted; drop {} again",
                letter.copies.len(),
                letter.id
            );
        }
        let record = json!({
            "dropped_at": Timestamp::now().to_string(),
            "id": letter.id,
            "type": letter.kind(),
            "rejected_as": letter.reason(),
            "reason": self.reason,
            "message_ids": letter.copies.iter().map(|copy| &copy.message_id).collect::<Vec<_>>(),
            // We do not know who runs this; CloudTrail does.
            "who": null,
        });
        writeln!(output::stdout(), "{record}")?;
        Ok(())
    }
}
