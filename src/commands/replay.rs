//! `user-sync replay`: sends again what the trigger could only write to its log.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use cognito_user_sync_triggers::event::{DecodeError, Event};
use cognito_user_sync_triggers::publish::{Publisher, QUEUE_URL_VARIABLE};
use cognito_user_sync_triggers::undelivered;
use indicatif::{ProgressBar, ProgressStyle};

/// How long one event may take; nobody waits for a sign-in here.
const BUDGET: Duration = Duration::from_secs(30);

/// Send `undelivered` log lines, or events, to the queue again
///
/// Reads a file (or - for stdin) of log lines: an `undelivered` line and a line that is an event are sent
/// verbatim, with the same id and time, so that what had arrived after all counts once. Other lines are
/// passed over. Needs USER_SYNC_QUEUE_URL. Exits with 1 if an event could not be read or sent.
///
/// Example: user-sync replay trigger.log
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The file to read; - for stdin.
    file: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let queue_url = std::env::var(QUEUE_URL_VARIABLE).ok().filter(|url| !url.is_empty());
    let queue_url =
        queue_url.with_context(|| format!("{QUEUE_URL_VARIABLE} is not set: the queue to send to"))?;
    let publisher = Publisher::new(queue_url).await;
    let style = ProgressStyle::with_template("{spinner} {pos} events sent, {per_sec}, {elapsed}")?;
    let progress = ProgressBar::new_spinner().with_style(style);

    let (mut sent, mut passed_over, mut failed) = (0_u64, 0_u64, 0_u64);
    for (index, line) in open(&arguments.file)?.lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {}", arguments.file.display()))?;
        let problem = match read(&line) {
            None => {
                passed_over += 1;
                continue;
            }
            Some(Ok(event)) => publisher.publish(&event, BUDGET).await.map_err(|error| error.to_string()),
            Some(Err(error)) => Err(error.to_string()),
        };
        match problem {
            Ok(()) => {
                sent += 1;
                progress.inc(1);
            }
            Err(problem) => {
                failed += 1;
                progress.suspend(|| eprintln!("line {}: {problem}", index + 1));
            }
        }
    }
    progress.finish_and_clear();
    writeln!(std::io::stdout(), "{sent} sent, {passed_over} other lines passed over, {failed} failed")?;
    if failed > 0 {
        bail!("{failed} events are not on the queue; running this again is safe, the same ids count once");
    }
    Ok(())
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let opened = std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    Ok(Box::new(BufReader::new(opened)))
}

/// The event of a line, if it holds one.
fn read(line: &str) -> Option<Result<Event, DecodeError>> {
    let is_event = line.trim_start().starts_with('{') && line.contains("\"specversion\"");
    undelivered::read(line).or_else(|| is_event.then(|| Event::decode(line)))
}
