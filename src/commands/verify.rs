//! `user-sync verify`: compares the rows with the ledger, and repairs or explains them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use clap::Args;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::maintenance::explain::{
    self, Address, Entry, Explanation, Group, Recorded, Source, Value,
};
use cognito_user_sync::store::maintenance::repair;
use cognito_user_sync::store::maintenance::verify::{self, Difference};
use cognito_user_sync::store::runs::{Run, What};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use uuid::Uuid;

use crate::commands::{output, runs};

/// Differences that are printed; all are counted and repaired.
const DIFFERENCES_SHOWN: usize = 100;

/// Recompute every derivable column from the ledger and compare it with the rows
///
/// Reads one snapshot of the database, in bounded memory, while consumers continue. Prints the differences and
/// exits with 1 if there are any. The output is personal data. Needs DATABASE_URL of a member of
/// user_sync_consumer, or of user_sync_owner with --repair.
///
/// Example: user-sync verify --repair
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Repair the differences and print them; exits with 0 if nothing differs afterwards.
    #[arg(long)]
    repair: bool,
    /// Instead, show one user's history and the source of each value.
    #[arg(long, value_name = "SUB", conflicts_with = "repair")]
    user: Option<Uuid>,
    /// Print one JSON object: users, events, differences, and the first hundred of them; with --repair, those left
    /// afterwards.
    #[arg(long, conflicts_with = "user")]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let database = super::database(2).await?;
    let geoip = GeoIp::from_env()?;
    let mut out = output::stdout();
    if let Some(user) = arguments.user {
        return print_explanation(user, &explain::explain(&database, &geoip, user).await?, &mut out);
    }
    let scope = json!({ "mode": if arguments.repair { "repair" } else { "dry_run" } });
    let run = runs::begin(&database, What::Verify, scope).await;
    let prove = async |run: &Run| prove(&arguments, &database, &geoip, run, &mut out).await;
    let Proved { first, after } = runs::attend(run, prove, Proved::findings).await?;
    match (first.verified.differences, after.map(|compared| compared.verified.differences)) {
        (0, _) | (_, Some(0)) => Ok(()),
        (count, None) => {
            bail!("{count} values differ, of {} users; --repair repairs them", first.users.len())
        }
        (_, Some(left)) => bail!("{left} values still differ: rows without any history are not repaired"),
    }
}

/// Compares, and where it is asked for repairs and compares again. Prints what is found.
async fn prove(
    arguments: &Arguments,
    database: &Database,
    geoip: &GeoIp,
    run: &Run,
    out: &mut impl std::io::Write,
) -> anyhow::Result<Proved> {
    let first = compare(database, geoip, run).await?;
    if first.verified.differences == 0 || !arguments.repair {
        first.print(arguments.json, out)?;
        return Ok(Proved { first, after: None });
    }
    if !arguments.json {
        first.print(false, out)?;
    }
    repair::repair(database, geoip, &first.users).await?;
    if !arguments.json {
        writeln!(out, "repaired the rows of {} users; comparing again", first.users.len())?;
    }
    let after = compare(database, geoip, run).await?;
    after.print(arguments.json, out)?;
    Ok(Proved { first, after: Some(after) })
}

/// A comparison, and the one after a repair.
struct Proved {
    first: Compared,
    after: Option<Compared>,
}

impl Proved {
    /// What a run keeps: counts, and no value.
    fn findings(&self) -> serde_json::Value {
        let Self { first, after } = self;
        let left = after.as_ref().map_or(first.verified.differences, |after| after.verified.differences);
        json!({
            "found": first.verified.differences,
            "left": left,
            "kinds": first.kinds,
            "users": first.verified.users,
            "users_who_differ": first.users.len(),
            "events": first.verified.events,
            "contexts": first.verified.contexts,
        })
    }
}

struct Compared {
    verified: verify::Verified,
    users: BTreeSet<Uuid>,
    /// The first of the differences.
    shown: Vec<Difference>,
    /// How many there are of each column.
    kinds: BTreeMap<String, u64>,
}

/// The column of a difference, without what follows it: the name of a group.
fn column(difference: &Difference) -> &str {
    difference.column.split(' ').next().unwrap_or_default()
}

async fn compare(database: &Database, geoip: &GeoIp, run: &Run) -> anyhow::Result<Compared> {
    let (events,): (i64,) =
        sqlx::query_as("select count(*) from user_events").fetch_one(database.questions()).await?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left")?;
    let total = u64::try_from(events)?;
    let bar = ProgressBar::new(total).with_style(style);
    let (mut users, mut kinds) = (BTreeSet::new(), BTreeMap::new());
    let mut shown = Vec::new();
    let found = |difference: Difference| {
        users.insert(difference.user);
        *kinds.entry(column(&difference).to_owned()).or_default() += 1;
        if shown.len() < DIFFERENCES_SHOWN {
            shown.push(difference);
        }
    };
    let progress = |events| {
        run.progress(events, Some(total.max(events)));
        bar.set_position(events);
    };
    let verified = verify::verify(database, geoip, found, progress).await;
    bar.finish_and_clear();
    Ok(Compared { verified: verified?, users, shown, kinds })
}

impl Compared {
    fn print(&self, json: bool, out: &mut impl std::io::Write) -> anyhow::Result<()> {
        let verify::Verified { users, events, differences, .. } = self.verified;
        if json {
            let shown = self.shown.iter().map(|Difference { user, column, stored, expected }| {
                json!({ "user": user, "column": column, "stored": stored, "expected": expected })
            });
            let shown: Vec<_> = shown.collect();
            let document =
                json!({ "users": users, "events": events, "differences": differences, "shown": shown });
            writeln!(out, "{document}")?;
            return Ok(());
        }
        let text = |value: &Option<String>| {
            value.as_ref().map_or_else(|| "null".to_owned(), |value| format!("{value:?}"))
        };
        for Difference { user, column, stored, expected } in &self.shown {
            writeln!(out, "{user} {column}: is {}, should be {}", text(stored), text(expected))?;
        }
        if differences > u64::try_from(self.shown.len())? {
            writeln!(out, "… and {} more", differences - u64::try_from(self.shown.len())?)?;
        }
        writeln!(out, "{users} users, {events} events: {differences} differences")?;
        Ok(())
    }
}

/// One line an event, one a value, one an address, and whether the row is what they say.
fn print_explanation(
    user: Uuid,
    explanation: &Explanation,
    out: &mut impl std::io::Write,
) -> anyhow::Result<()> {
    for entry in &explanation.history {
        match entry {
            Entry::Baseline => writeln!(out, "baseline: events of months that were folded and dropped")?,
            Entry::Group { id, r#type, group, recorded_at } => {
                let (time, group) = (id.time(), group.as_deref().map(|group| format!(" {group:?}")));
                writeln!(out, "{time} {type} {id} recorded {recorded_at}{}", group.unwrap_or_default())?;
            }
            Entry::Event { event, recorded_at } => {
                let (time, kind, id) = (event.id.time(), event.kind.as_str(), event.id);
                let data = serde_json::to_string(&event.data)?;
                writeln!(out, "{time} {kind} {id} recorded {recorded_at} {data}")?;
            }
            Entry::ContextBaseline => {
                writeln!(out, "baseline of contexts: those of months that were folded and dropped")?;
            }
            Entry::Context { event, recorded_at } => {
                let (time, id, data) = (event.id.time(), event.id, serde_json::to_string(&event.data)?);
                writeln!(out, "{time} user.login_context {id} recorded {recorded_at} {data}")?;
            }
        }
    }
    print_groups(explanation, out)?;
    print_contexts(explanation, out)?;
    let Some(outcome) = &explanation.outcome else {
        let what = match (explanation.groups.is_empty(), explanation.contexts.is_empty()) {
            (true, true) => "history",
            (false, true) => "history but of groups, and no row",
            (_, false) => "history but of contexts or groups, and no row",
        };
        writeln!(out, "{user} has no {what}")?;
        return Ok(());
    };
    writeln!(out)?;
    for Value { name, value, source } in &outcome.values {
        writeln!(out, "{name} = {value:?}, from {}", source_of(source))?;
    }
    for Address { kind, value, verified, since, shown, left, is_owned } in &outcome.addresses {
        let since =
            since.map_or_else(|| "never verified".to_owned(), |since| format!("verified since {since}"));
        let shown = shown
            .map_or_else(|| "first shown earlier than is known".to_owned(), |at| format!("first shown {at}"));
        let left = left.map(|at| format!(", another one or none shown {at}")).unwrap_or_default();
        let owner = match is_owned {
            true => "this user owns it",
            false => "another user owns it, or this one is deleted: see user_contested_identifiers",
        };
        writeln!(out, "{kind} {value:?}: held, verified {verified}, {since}, {shown}{left}; {owner}")?;
    }
    match outcome.differences.len() {
        0 => writeln!(out, "the row is what the history says")?,
        count => writeln!(out, "{count} values of the row differ from the history: run user-sync verify")?,
    }
    Ok(())
}

fn print_groups(explanation: &Explanation, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    for Group { name, at, gone, deleted_at } in &explanation.groups {
        match (gone, deleted_at) {
            (true, _) => writeln!(out, "group {name:?}: left by {at}")?,
            (false, Some(deleted_at)) => {
                writeln!(out, "group {name:?}: joined by {at}, and the group was deleted at {deleted_at}")?;
            }
            (false, None) => writeln!(out, "group {name:?}: a member since {at}, or longer")?,
        }
    }
    match explanation.group_differences.len() {
        0 => {}
        count => writeln!(out, "{count} groups differ from the history: run user-sync verify")?,
    }
    Ok(())
}

fn print_contexts(explanation: &Explanation, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    for Recorded { by, id, is_of_last_login } in &explanation.contexts {
        let whose =
            if *is_of_last_login { "is of the last login" } else { "is kept, and not of the last login" };
        writeln!(out, "context {id} at {} by {by}: {whose}", id.time())?;
    }
    match explanation.context_differences.len() {
        0 => {}
        _ => writeln!(out, "what is kept of contexts differs from the history: run user-sync verify")?,
    }
    Ok(())
}

fn source_of(source: &Source) -> String {
    match source {
        Source::Newest { event, flag } => {
            let flag = flag.as_ref().map(|flag| format!(" (verified: {flag})")).unwrap_or_default();
            format!("event {event} at {}{flag}", event.time())
        }
        Source::Gone { event, snapshot } => {
            let (at, since) = (event.time(), snapshot.time());
            format!(
                "event {event} at {at}, and gone since the snapshot {snapshot} at {since}, which had it no more"
            )
        }
        Source::Logins { authentications, federated } => {
            let federated = if *federated { " and one for the federated confirmation" } else { "" };
            format!("{authentications} distinct user.authenticated{federated}")
        }
        Source::LatestLogin(event) => format!("event {event}, the latest login"),
        Source::Reported { by, contexts } => {
            let contexts = contexts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("{by}, which says this alone of the last login: {contexts}")
        }
        Source::WhoSaidIt => "who said the address, else the device, else the place".to_owned(),
        Source::FirstSignUpRecord(event) => format!("record {event}, the first of the sign-up"),
        Source::FirstConfirmation(event) => format!("event {event}, the first confirmation"),
        Source::Snapshot(time) => format!("the snapshot at {time}"),
        Source::FirstDeletion => "the first deletion".to_owned(),
        Source::LatestDeletion => "the latest deletion, after the latest restoration".to_owned(),
        Source::LatestRestoration => "the latest restoration, which no deletion up to it outlasts".to_owned(),
        Source::Earliest => "the earliest event or UserCreateDate".to_owned(),
        Source::Latest => "the latest event".to_owned(),
    }
}
