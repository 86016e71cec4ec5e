//! `user-sync replay`: sends events to the queue that the trigger could only write to its log, and others' records of
//! sign-ins, or rewrites rows from the ledger.

mod records;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use cognito_user_sync::aws;
use cognito_user_sync::config::{CONTEXT_QUEUE_URL_VARIABLE, Environment};
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::sqs::replay::{self, Item, Place, ReadError};
use cognito_user_sync::store::maintenance::repair::{self, Selection};
use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::publish::{PublishError, Publisher, QUEUE_URL_VARIABLE};
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::commands::output;
use crate::commands::replay::records::{Destination, Found};

/// How long sending one event may take: longer than at a sign-in, since nobody waits here.
const BUDGET: Duration = Duration::from_secs(30);

/// Events that are being sent at once.
const CONCURRENCY: usize = 16;

/// Send `undelivered` log lines, events, or records of sign-ins to their queue
///
/// Reads files, folders (every file below them, by name) or stdin (-): the log's own lines, CloudWatch's exports to
/// S3, the JSON of aws logs filter-log-events, get-log-events and get-query-results, a subscription's JSON, Logs
/// Insights' CSV, or events, one per line; each may be compressed by gzip. Events are sent unchanged, with the same id
/// and time. So an event that did arrive counts once, and a replay may be run twice. Other lines are skipped. Needs
/// USER_SYNC_QUEUE_URL.
///
/// In the same files it finds records of sign-ins: lines of threat protection's log (userAuthEvents), and CloudTrail's
/// files and event history. It sends where each sign-in came from, and those that failed, to
/// USER_SYNC_CONTEXT_QUEUE_URL, for the pools of USER_SYNC_POOLS or USER_SYNC_USER_POOL_ID, with
/// USER_SYNC_CONTEXT_CLIENTS as the function has it. It may list and describe the pools' app clients for that. With
/// --dry-run it counts the records of every pool.
///
/// With --from-ledger it reads no file and sends nothing: it rewrites the rows of one user, or of the users with
/// events in a range of time, from the ledger. Needs DATABASE_URL of a member of user_sync_owner.
///
/// Exits with 1 if anything that looks like an event could not be read or sent; the rest is sent.
///
/// Example: user-sync replay --dry-run exported-logs/
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, group = ArgGroup::new("selection").multiple(true))]
pub(crate) struct Arguments {
    /// The files and folders to read; - for stdin.
    #[arg(value_name = "FILE", required_unless_present = "from_ledger", conflicts_with = "from_ledger")]
    files: Vec<PathBuf>,
    /// Say what would be sent, and send nothing.
    #[arg(long, conflicts_with = "from_ledger")]
    dry_run: bool,
    /// Rewrite rows from the ledger; needs --user, --since or --until.
    #[arg(long, requires = "selection")]
    from_ledger: bool,
    /// Only this user.
    #[arg(long, value_name = "SUB", group = "selection", requires = "from_ledger")]
    user: Option<Uuid>,
    /// Only users with an event at this time or later: RFC 3339, or a date (from midnight UTC).
    #[arg(long, value_name = "TIME", group = "selection", requires = "from_ledger", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only users with an event before this time: RFC 3339, or a date (that day not included).
    #[arg(long, value_name = "TIME", group = "selection", requires = "from_ledger", value_parser = moment)]
    until: Option<Timestamp>,
    /// Answer as one JSON object.
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let midnight = Timestamp::parse(&format!("{text}T00:00:00Z"));
    midnight
        .or_else(|_| Timestamp::parse(text))
        .map_err(|error| format!("{error}, nor a date such as 2026-01-31"))
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.from_ledger {
        let Arguments { user, since, until, json, .. } = arguments;
        return from_ledger(Selection { user, since, until }, json).await;
    }
    let queues = Queues::configured(arguments.dry_run).await?;
    let tally = send(arguments.files, &queues).await?;
    let answer = match arguments.json {
        true => tally.json(arguments.dry_run),
        false => tally.text(arguments.dry_run),
    };
    writeln!(output::stdout(), "{answer}")?;
    match (tally.failed, arguments.dry_run) {
        (0, _) => Ok(()),
        (failed, true) => bail!("{failed} events could not be read"),
        (failed, false) => {
            bail!(
                "{failed} failed, listed above: fix the cause and run this again, which is safe, since the same id counts once"
            )
        }
    }
}

/// Where what is found goes.
struct Queues {
    is_dry_run: bool,
    events: Option<Publisher>,
    records: Destination,
}

impl Queues {
    async fn configured(is_dry_run: bool) -> anyhow::Result<Self> {
        let environment = Environment::process();
        let records = Destination::new(is_dry_run);
        let queue_url = match is_dry_run || environment.raw(CONTEXT_QUEUE_URL_VARIABLE).is_some() {
            true => environment.optional(QUEUE_URL_VARIABLE)?,
            false => Some(environment.required(QUEUE_URL_VARIABLE, "the queue to send to")?),
        };
        let events = match queue_url.filter(|_| !is_dry_run) {
            Some(queue_url) => Some(aws::publisher(queue_url).await),
            None => None,
        };
        Ok(Self { is_dry_run, events, records })
    }

    async fn publish(&self, event: &Event<'_>) -> Result<(), PublishError> {
        match &self.events {
            _ if self.is_dry_run => Ok(()),
            Some(events) => events.publish(event, BUDGET).await,
            None => Err(PublishError::NoQueue),
        }
    }
}

/// What was read and sent.
#[derive(Default)]
struct Tally {
    by_type: BTreeMap<&'static str, u64>,
    times: Option<(Timestamp, Timestamp)>,
    /// Records of sign-ins that ask for nothing, by the reason.
    ignored: BTreeMap<&'static str, u64>,
    passed_over: u64,
    failed: u64,
}

impl Tally {
    fn add(&mut self, r#type: &'static str, count: u64) {
        if count > 0 {
            *self.by_type.entry(r#type).or_default() += count;
        }
    }

    fn at(&mut self, time: Timestamp) {
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
    }

    fn events(&self) -> u64 {
        self.by_type.values().sum()
    }

    fn text(&self, is_dry_run: bool) -> String {
        let Self { passed_over, failed, .. } = self;
        let events = if is_dry_run { self.preview() } else { format!("{} sent", self.events()) };
        let ignored: Vec<String> = self.ignored.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let ignored = match ignored.is_empty() {
            true => String::new(),
            false => format!(", records ignored: {}", ignored.join(", ")),
        };
        format!("{events}, {passed_over} other lines skipped, {failed} failed{ignored}")
    }

    fn preview(&self) -> String {
        let types: Vec<String> = self.by_type.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let times = self.times.map(|(first, last)| format!(" ({}) from {first} to {last}", types.join(", ")));
        format!("{} would be sent{}", self.events(), times.unwrap_or_default())
    }

    fn json(&self, is_dry_run: bool) -> String {
        let (first, last) = self.times.unzip();
        let answer = serde_json::json!({
            "sent": if is_dry_run { 0 } else { self.events() },
            "events": self.events(),
            "by_type": self.by_type,
            "from": first,
            "to": last,
            "passed_over": self.passed_over,
            "ignored": self.ignored,
            "failed": self.failed,
        });
        answer.to_string()
    }
}

/// What the reader found.
#[expect(clippy::large_enum_variant, reason = "nearly every one is an event")]
enum Reading {
    Found { file: String, place: Place, read: Result<Item, ReadError> },
    Ended { file: String, ended: std::io::Result<u64> },
}

/// Sends what the files hold: events several at once, records many to a request. A dry run only counts.
async fn send(files: Vec<PathBuf>, queues: &Queues) -> anyhow::Result<Tally> {
    let style = ProgressStyle::with_template("{spinner} {pos} events, {per_sec}, {elapsed}")?;
    let progress = ProgressBar::new_spinner().with_style(style);
    let files = walk(files)?;
    let (sender, mut receiver) = mpsc::channel(CONCURRENCY);
    let reader = tokio::task::spawn_blocking(move || {
        for file in files {
            read_file(&file, &sender);
        }
    });
    let reads = futures::stream::poll_fn(|context| receiver.poll_recv(context));
    let mut sent = std::pin::pin!(reads.map(|read| sent(read, queues)).buffer_unordered(CONCURRENCY));
    let (mut tally, mut records) = (Tally::default(), Vec::new());
    while let Some(outcome) = sent.next().await {
        match outcome {
            Ok(Sent::Event(event)) => {
                tally.add(event.r#type(), 1);
                tally.at(event.id().time());
                progress.inc(1);
            }
            Ok(Sent::Record(record)) => {
                records.push(record);
                if records.len() >= records::AT_ONCE {
                    let problems = queues.records.send(&mut records, &mut tally).await;
                    problems.iter().for_each(|problem| progress.suspend(|| output::say(problem)));
                    progress.set_position(tally.events());
                }
            }
            Ok(Sent::PassedOver(lines)) => tally.passed_over += lines,
            Err(problem) => {
                tally.failed += 1;
                progress.suspend(|| output::say(&format!("{problem:#}")));
            }
        }
    }
    let problems = queues.records.send(&mut records, &mut tally).await;
    progress.finish_and_clear();
    problems.iter().for_each(|problem| output::say(problem));
    reader.await?;
    Ok(tally)
}

/// What became of something that the reader found.
#[expect(clippy::large_enum_variant, reason = "nearly every one is an event")]
enum Sent {
    Event(Event<'static>),
    /// It is sent with others.
    Record(Found),
    PassedOver(u64),
}

async fn sent(read: Reading, queues: &Queues) -> anyhow::Result<Sent> {
    match read {
        Reading::Found { file, place, read } => {
            let where_it_is = || format!("{file}: {place}");
            match read.with_context(where_it_is)? {
                Item::Event(event) => {
                    queues.publish(&event).await.with_context(where_it_is)?;
                    Ok(Sent::Event(event))
                }
                Item::Record(record) => Ok(Sent::Record(Found { place: where_it_is(), record })),
            }
        }
        Reading::Ended { file, ended } => {
            ended.map(Sent::PassedOver).with_context(|| format!("{file}: cannot read further"))
        }
    }
}

/// Every file, and those below folders, by name.
fn walk(paths: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let listed = std::fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let listed = listed.with_context(|| format!("cannot list {}", path.display()))?;
        let mut below: Vec<PathBuf> = listed.into_iter().map(|entry| entry.path()).collect();
        below.sort();
        files.extend(walk(below)?);
    }
    Ok(files)
}

/// Reads one file; waits while the queue is slower.
fn read_file(path: &Path, sender: &mpsc::Sender<Reading>) {
    let file = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let tell = |read| drop(sender.blocking_send(read));
    let opened: std::io::Result<Box<dyn Read>> = match path == Path::new("-") {
        true => Ok(Box::new(std::io::stdin())),
        false => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
    };
    let mut found = |place, read| tell(Reading::Found { file: file.clone(), place, read });
    let ended = opened.and_then(|input| replay::read(input, &mut found));
    tell(Reading::Ended { file, ended });
}

async fn from_ledger(selection: Selection, json: bool) -> anyhow::Result<()> {
    let database = super::database(2).await?;
    let geoip = GeoIp::from_env()?;
    let style = ProgressStyle::with_template("{spinner} {pos} users, {per_sec}, {elapsed}")?;
    let progress = ProgressBar::new_spinner().with_style(style);
    let users = repair::rederive(&database, &geoip, selection, |users| progress.set_position(users)).await;
    progress.finish_and_clear();
    let users = users?;
    match selection.user {
        Some(user) if users == 0 => {
            bail!(
                "no event of {user} is in the ledger in that time: check the sub, or run user-sync reconcile"
            )
        }
        Some(_) | None => {}
    }
    let mut out = output::stdout();
    match json {
        true => writeln!(out, "{}", serde_json::json!({ "rederived_users": users }))?,
        false => writeln!(out, "the rows of {users} users are re-derived")?,
    }
    Ok(())
}
