//! `user-sync audit`: the logins in the ledger beside the sign-ins that others recorded. Must not decide what goes with what.

use std::collections::BTreeMap;
use std::io::Write;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;
use cognito_user_sync::cognito::triggers::{self, Parameter};
use cognito_user_sync::config::Environment;
use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::maintenance::audit::{
    self, Audited, Away, Counts, MANAGED_LOGIN_CLIENTS, OfReporter, OneSided, Question, Reason,
};
use cognito_user_sync::store::runs::{Run, What};
use cognito_user_sync_triggers::timestamp::Timestamp;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};
use time::format_description::well_known::Iso8601;
use time::{Date, Duration, OffsetDateTime, Time};

use crate::commands::output::{self, line};
use crate::commands::runs;

const TABLE_WIDTH: u16 = 140;

/// Compare the logins in the ledger with the sign-ins that CloudTrail, threat protection and the application recorded
///
/// By day and app client: logins, successful sign-ins that each reporter recorded, those that pair, and those that only one
/// side has, by reason. Each login goes with the earliest success of its user and client in the reporter's window that no
/// other login has. A reporter that recorded nothing in the range is off, and says nothing. Refreshed tokens are no
/// sign-ins. Days are UTC.
///
/// A success without a login is `managed_login` (where no trigger may fire), `triggers_away` (with --gaps), or else `lost`.
/// A login without a success is `federated` (no reporter sees those), or else `not_recorded`.
///
/// Records come late, so the last 30 minutes are left out. Changes nothing. Needs DATABASE_URL of a member of
/// user_sync_reader. Exits with 0 if no success is lost, with 1 if any is, and on an error.
///
/// Example: user-sync audit --from 2026-11-01 --to 2026-11-07 --list
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The first moment: a day such as 2026-11-01, or an RFC 3339 time [default: yesterday, or the day of --to].
    #[arg(long, value_name = "MOMENT")]
    from: Option<Moment>,
    /// The end: a day, which is part of it, or a time, which is not [default: the end of yesterday; with --from, 30
    /// minutes ago].
    #[arg(long, value_name = "MOMENT")]
    to: Option<Moment>,
    /// Name each login and success that only one side has: subs, clients and times, no addresses.
    #[arg(long)]
    list: bool,
    /// Ask the parameter of USER_SYNC_TRIGGERS_PARAMETER when the pool did not call the trigger; needs ssm:GetParameter.
    #[arg(long)]
    gaps: bool,
    /// App clients whose users sign in at managed login, with commas between them: what is recorded of these and has no
    /// login is not lost.
    #[arg(long, env = MANAGED_LOGIN_CLIENTS, value_name = "ID,ID", value_delimiter = ',')]
    managed_login_clients: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A day or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Day(Date),
    Time(Timestamp),
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // First: what parses a day takes a time for one.
        if let Ok(time) = Timestamp::parse(text) {
            return Ok(Self::Time(time));
        }
        let day = Date::parse(text, &Iso8601::DATE).map(Self::Day);
        day.map_err(|_| "neither a day such as 2026-11-01 nor an RFC 3339 time such as 2026-11-01T08:00:00Z")
    }
}

impl Moment {
    fn begin(self) -> Timestamp {
        match self {
            Self::Day(day) => midnight(day),
            Self::Time(time) => time,
        }
    }

    fn end(self) -> Timestamp {
        match self {
            Self::Day(day) => midnight(day.saturating_add(Duration::DAY)),
            Self::Time(time) => time,
        }
    }
}

fn midnight(day: Date) -> Timestamp {
    OffsetDateTime::new_utc(day, Time::MIDNIGHT).into()
}

/// What to audit, and whether its end is earlier than was asked for.
fn range(
    from: Option<Moment>,
    to: Option<Moment>,
    now: Timestamp,
) -> anyhow::Result<(Timestamp, Timestamp, bool)> {
    let today = OffsetDateTime::from(now).date();
    let settled = audit::settled(now);
    let wanted = match (from, to) {
        (_, Some(to)) => to.end(),
        (Some(_), None) => settled,
        (None, None) => midnight(today),
    };
    let to = wanted.min(settled);
    let from = match from {
        Some(from) => from.begin(),
        // The day that the end is of: the last moment before it decides.
        None => {
            let last = Timestamp::from_unix_millis(wanted.unix_millis().saturating_sub(1));
            midnight(OffsetDateTime::from(last).date())
        }
    };
    anyhow::ensure!(
        from < to,
        "there is nothing from {from} to {to}: the end must be later, and what is later than {settled} is not settled yet"
    );
    Ok((from, to, to < wanted))
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let (from, to, is_shortened) = range(arguments.from, arguments.to, now)?;
    if is_shortened {
        output::say(&format!("audited until {to}: later records may still be under way"));
    }
    let away = if arguments.gaps { gaps().await? } else { Vec::new() };
    let managed_login_clients = arguments.managed_login_clients.iter().map(|id| id.trim().to_owned());
    let managed_login_clients = managed_login_clients.filter(|id| !id.is_empty()).collect();
    let question = Question { from, to, away, managed_login_clients };
    let database = super::database(1).await?;
    let mut out = output::stdout();
    let scope = json!({ "from": from, "to": to, "gaps": arguments.gaps });
    let run = runs::begin(&database, What::Audit, scope).await;
    let audit = async |run: &Run| {
        let audited = audit_and_print(&arguments, &database, &question, run, &mut out).await?;
        run.progress(audited.total.logins, Some(audited.total.logins));
        Ok(audited)
    };
    let audited = runs::attend(run, audit, Audited::findings).await?;
    match audited.unaccounted() {
        0 => Ok(()),
        count => bail!(
            "{count} recorded sign-ins have no login in the ledger and no known reason{}",
            if arguments.list { "" } else { ": --list names them" }
        ),
    }
}

async fn audit_and_print(
    arguments: &Arguments,
    database: &Database,
    question: &Question,
    run: &Run,
    out: &mut impl Write,
) -> anyhow::Result<Audited> {
    let mut list = List { out: &mut *out, json: arguments.json, is_first: true, failed: Ok(()) };
    if arguments.list {
        list.begin();
    }
    let found = |one| {
        if arguments.list {
            list.write(&one);
        }
    };
    let audited = audit::audit(database, question, found, |logins| run.progress(logins, None)).await?;
    list.failed?;
    match arguments.json {
        true => {
            let opening = if arguments.list { "]," } else { "{" };
            write_json(out, opening, question, &audited)?;
        }
        false => write_table(out, question, &audited)?,
    }
    out.flush()?;
    Ok(audited)
}

/// When the pool did not call the trigger, as the deployment has noted.
async fn gaps() -> anyhow::Result<Vec<Away>> {
    let name = Environment::process().required(triggers::VARIABLE, "the parameter that names the gaps")?;
    let notes = Parameter::new(name)
        .await
        .read()
        .await
        .context("the gaps are not known; without --gaps they are not asked for")?;
    Ok(notes.gaps().iter().map(|gap| Away { from: gap.from, until: gap.until }).collect())
}

/// What only one side has, as it is found: there may be more of it than memory.
struct List<'a, W> {
    out: &'a mut W,
    json: bool,
    is_first: bool,
    failed: std::io::Result<()>,
}

impl<W: Write> List<'_, W> {
    fn begin(&mut self) {
        if self.json {
            self.failed = write!(self.out, "{{\"one_sided\":[");
        }
    }

    fn write(&mut self, one: &OneSided) {
        if self.failed.is_err() {
            return;
        }
        self.failed = match self.json {
            true => {
                let comma = if std::mem::take(&mut self.is_first) { "" } else { "," };
                write!(self.out, "{comma}{}", json_of(one))
            }
            false => write_line(self.out, one),
        };
    }
}

fn json_of(one: &OneSided) -> Value {
    json!({
        "user": one.user, "client_id": one.client_id, "at": one.id.time(), "id": one.id.uuid(),
        "reporter": one.reporter.as_str(), "side": side(one.reason), "reason": one.reason.as_str(),
        "instead": one.instead.iter().map(|id| json!({ "at": id.time(), "id": id.uuid() })).collect::<Vec<_>>(),
    })
}

fn side(reason: Reason) -> &'static str {
    if reason.is_of_login() { "login" } else { "success" }
}

fn write_line(out: &mut impl Write, one: &OneSided) -> std::io::Result<()> {
    let OneSided { user, id, client_id, reporter, reason, instead } = one;
    let client = client_id.as_deref().unwrap_or("-");
    let (side, reporter) = (side(*reason), reporter.as_str());
    write!(out, "{user} {} {} {reporter}: a {side} alone, {}", line(client), id.time(), reason.as_str())?;
    if !instead.is_empty() {
        let times: Vec<String> = instead.iter().map(|id| id.time().to_string()).collect();
        write!(out, "; or that of {}", times.join(" or "))?;
    }
    writeln!(out)
}

/// The rest of the object, after what opens it.
fn write_json(
    out: &mut impl Write,
    opening: &str,
    question: &Question,
    audited: &Audited,
) -> anyhow::Result<()> {
    let of_reporter = |own: &OfReporter| {
        let left_over = |is_of_login: bool| {
            let reasons = Reason::ALL.into_iter().filter(move |reason| reason.is_of_login() == is_of_login);
            reasons.map(|reason| (reason.as_str(), own.left_over(reason))).collect::<BTreeMap<_, _>>()
        };
        json!({
            "successes": own.successes, "paired": own.paired, "without_login": left_over(false),
            "without_success": left_over(true), "refreshes": own.refreshes, "without_user": own.without_user,
        })
    };
    let of_reporters = |counts: &Counts| {
        let reporters = counts.reporters.iter().map(|(reporter, own)| (reporter.as_str(), of_reporter(own)));
        reporters.collect::<BTreeMap<_, _>>()
    };
    let day = |((day, client_id), counts): (&(Date, Option<String>), &Counts)| {
        json!({
            "day": day.to_string(), "client_id": client_id, "logins": counts.logins, "reporters": of_reporters(counts),
        })
    };
    let rest = json!({
        "from": question.from, "to": question.to, "logins": audited.total.logins,
        "reporters": audited.reporters.iter().map(|reporter| reporter.as_str()).collect::<Vec<_>>(),
        "total": of_reporters(&audited.total), "unaccounted": audited.unaccounted(),
        "days": audited.days.iter().map(day).collect::<Vec<_>>(),
    });
    let rest = rest.to_string();
    writeln!(out, "{opening}{}", rest.strip_prefix('{').unwrap_or(&rest))?;
    Ok(())
}

const HEADER: [&str; 12] = [
    "day",
    "client",
    "logins",
    "reporter",
    "successes",
    "paired",
    "lost",
    "managed login",
    "triggers away",
    "federated",
    "not recorded",
    "without user",
];

/// Where the numbers begin, but for the reporter.
const REPORTER_COLUMN: usize = 3;

fn write_table(out: &mut impl Write, question: &Question, audited: &Audited) -> anyhow::Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(HEADER);
    for ((day, client), counts) in &audited.days {
        let client = line(client.as_deref().unwrap_or("-")).into_owned();
        add_rows(&mut table, &day.to_string(), &client, counts);
    }
    add_rows(&mut table, "all", "", &audited.total);
    if table.width().is_none() {
        table.set_width(TABLE_WIDTH);
    }
    let numbers = table.column_iter_mut().enumerate().skip(2).filter(|(place, _)| *place != REPORTER_COLUMN);
    numbers.for_each(|(_, column)| column.set_cell_alignment(CellAlignment::Right));
    writeln!(out, "from {} to {}: {} logins", question.from, question.to, audited.total.logins)?;
    writeln!(out, "{table}")?;
    let refreshes: u64 = audited.total.reporters.values().map(|own| own.refreshes).sum();
    if refreshes > 0 {
        writeln!(out, "{refreshes} records of refreshed tokens are left out")?;
    }
    match audited.reporters.is_empty() {
        true => writeln!(out, "nobody else recorded a sign-in in this time: nothing can be said")?,
        false => writeln!(out, "{} recorded sign-ins are unaccounted for", audited.unaccounted())?,
    }
    Ok(())
}

/// A row for each reporter that says something.
fn add_rows(table: &mut Table, day: &str, client: &str, counts: &Counts) {
    let start = [day.to_owned(), client.to_owned(), counts.logins.to_string()];
    for (reporter, own) in &counts.reporters {
        let reasons = Reason::ALL.into_iter().map(|reason| own.left_over(reason).to_string());
        let seen = [reporter.as_str().to_owned(), own.successes.to_string(), own.paired.to_string()];
        let row = start.iter().cloned().chain(seen).chain(reasons).chain([own.without_user.to_string()]);
        table.add_row(row);
    }
    if counts.reporters.is_empty() {
        table.add_row(start.into_iter().chain(["-".to_owned()]));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_range_is_whole_days_and_ends_where_records_may_be_under_way() {
        let now = Timestamp::parse("2026-11-10T00:10:00Z").unwrap();
        let check = |from: &str, to: &str, expected: Result<(&str, &str, bool), &str>| {
            let moment = |text: &str| (!text.is_empty()).then(|| text.parse::<Moment>().unwrap());
            let found = range(moment(from), moment(to), now).map_err(|error| error.to_string());
            match expected {
                Ok((from, to, is_shortened)) => {
                    let time = |text: &str| Timestamp::parse(text).unwrap();
                    assert_eq!(found, Ok((time(from), time(to), is_shortened)));
                }
                Err(part) => assert!(found.unwrap_err().contains(part), "{part}"),
            }
        };
        // Ten past midnight, yesterday has not settled yet.
        check("", "", Ok(("2026-11-09T00:00:00Z", "2026-11-09T23:40:00Z", true)));
        check("2026-11-01", "", Ok(("2026-11-01T00:00:00Z", "2026-11-09T23:40:00Z", false)));
        check("2026-11-01", "2026-11-02", Ok(("2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z", false)));
        check("", "2026-11-02", Ok(("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", false)));
        check("", "2026-11-02T08:00:00+01:00", Ok(("2026-11-02T00:00:00Z", "2026-11-02T07:00:00Z", false)));
        check(
            "2026-11-02T08:00:00Z",
            "2026-11-02T08:00:01Z",
            Ok(("2026-11-02T08:00:00Z", "2026-11-02T08:00:01Z", false)),
        );
        check("2026-11-10", "", Err("not settled yet"));
        check("2026-11-03", "2026-11-02", Err("the end must be later"));
        assert!("yesterday".parse::<Moment>().unwrap_err().contains("RFC 3339"));
    }
}
