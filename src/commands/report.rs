//! `user-sync report`: prints the reports that operators need most often, as tables, JSON or CSV.

mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::daily::{self, Refreshed, Scope};
use cognito_user_sync::store::report::{
    self, Active, Day, Device, FailingUser, Failures, Group, Growth, Login, MAX_DAYS, MAX_WEEKS, Recorded,
    Retention, sparkline,
};
use cognito_user_sync::store::runs::Seen;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use time::{Date, OffsetDateTime};

use crate::commands::output::{self, Stdout, csv, line};

/// The days that the application's guide reports; there are many lines of a day.
const LOGIN_DAYS: u32 = 7;
const DAYS: u32 = 30;
/// In characters; a narrower terminal wraps.
const TABLE_WIDTH: u16 = 120;

/// Show user growth, active users, login activity, devices, retention, groups, failed sign-ins, and what ran
///
/// Reads the views report_* and the table user_sync_runs, which any other tool can read as well. Days and weeks are UTC. `logins`, and so
/// `all`, shows names and addresses, which are personal data. `failures`, `failing-users` and `audit` need a source of
/// records; which login goes with which record, `user-sync audit` says. Needs DATABASE_URL of a member of user_sync_reader.
/// `refresh` counts, by day, what the console's analytics show: run it every hour, as a member of user_sync_consumer.
/// Exits with 1 if the database cannot be read.
///
/// Example: user-sync report growth --days 90 --csv
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Which report.
    #[arg(value_enum, default_value_t = Report::All)]
    report: Report,
    /// Days back, today included [default: 30; for logins, failures, failing-users and audit: 7; for runs: the latest of
    /// each kind].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DAYS)))]
    days: Option<u32>,
    /// Weeks of retention, this one included.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_WEEKS)))]
    weeks: u32,
    /// Most users that logins and failing-users show.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Print JSON: one report's rows, or with all an object of them.
    #[arg(long)]
    json: bool,
    /// Print CSV with a header; not with all.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// With refresh: count all days that the ledger has, not only those that changed.
    #[arg(long)]
    everything: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Report {
    /// Users by the day of their creation, without those deleted since.
    Growth,
    /// Active users, and how many signed in recently.
    Active,
    /// Users who signed in recently, the latest first. Personal data.
    Logins,
    /// Logins by day.
    Daily,
    /// Users by the kind of device of their last login.
    Devices,
    /// Of the users created in a week, how many signed in in each week since.
    Retention,
    /// Groups of the user pool, and how many members each has.
    Groups,
    /// Failed sign-ins by day, client, reason and network.
    Failures,
    /// Users whose sign-ins failed, those with most failures first.
    FailingUsers,
    /// Logins by day and client, beside the sign-ins that others recorded.
    Audit,
    /// What ran (reconcile, verify, audit, maintain, the drift check), over how many, and what it found.
    Runs,
    /// All of them.
    All,
    /// No report: counts the days that changed, for the console's analytics.
    Refresh,
}

/// A report's rows.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Growth(Vec<Growth>),
    Active(Active),
    Logins(Vec<Login>),
    Daily(Vec<Day>),
    Devices(Vec<Device>),
    Retention(Vec<Retention>),
    Groups(Vec<Group>),
    Failures(Vec<Failures>),
    FailingUsers(Vec<FailingUser>),
    Audit(Vec<Recorded>),
    Runs(Vec<Seen>),
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        !(arguments.csv && arguments.report == Report::All),
        "CSV holds one report: name it, such as user-sync report growth --csv"
    );
    let database = super::database(1).await?;
    if arguments.report == Report::Refresh {
        return refresh(&database, arguments.everything).await;
    }
    let answers = ask(&database, &arguments).await.context(
        "the reports cannot be read; DATABASE_URL must be of a member of user_sync_reader, and the schema \
         current (user-sync migrate)",
    )?;
    let mut out = output::stdout();
    if arguments.csv {
        answers.iter().try_for_each(|answer| answer.write_csv(&mut out))
    } else if arguments.json {
        write_json(&mut out, &answers, arguments.report == Report::All)
    } else {
        answers.iter().try_for_each(|answer| answer.write_text(&mut out, arguments.days))
    }
}

/// Counts what changed, or everything.
async fn refresh(database: &Database, everything: bool) -> anyhow::Result<()> {
    let scope = if everything { Scope::All } else { Scope::Changed };
    let Refreshed { days, windows, weeks } = daily::refresh(database, scope).await.context(
        "not everything is counted, and what is counted is kept: run it again; DATABASE_URL must be of a member of \
         user_sync_consumer, and the schema current (user-sync migrate)",
    )?;
    writeln!(
        output::stdout(),
        "counted the logins of {days} days, the active users of {windows}, and who came back in {weeks} weeks"
    )?;
    Ok(())
}

async fn ask(database: &Database, arguments: &Arguments) -> Result<Vec<Answer>, sqlx::Error> {
    let is_wanted = |report| arguments.report == report || arguments.report == Report::All;
    let days = arguments.days.unwrap_or(DAYS);
    let mut answers = Vec::new();
    if is_wanted(Report::Growth) {
        answers.push(Answer::Growth(report::growth(database, days).await?));
    }
    if is_wanted(Report::Active) {
        answers.push(Answer::Active(report::active(database).await?));
    }
    if is_wanted(Report::Logins) {
        let days = arguments.days.unwrap_or(LOGIN_DAYS);
        answers.push(Answer::Logins(report::logins(database, days, arguments.limit).await?));
    }
    if is_wanted(Report::Daily) {
        answers.push(Answer::Daily(report::daily(database, days).await?));
    }
    if is_wanted(Report::Devices) {
        answers.push(Answer::Devices(report::devices(database).await?));
    }
    if is_wanted(Report::Retention) {
        answers.push(Answer::Retention(report::retention(database, arguments.weeks).await?));
    }
    if is_wanted(Report::Groups) {
        answers.push(Answer::Groups(report::groups(database).await?));
    }
    let days = arguments.days.unwrap_or(LOGIN_DAYS);
    if is_wanted(Report::Failures) {
        answers.push(Answer::Failures(report::failures(database, days).await?));
    }
    if is_wanted(Report::FailingUsers) {
        let users = report::failing_users(database, days, arguments.limit).await?;
        answers.push(Answer::FailingUsers(users));
    }
    if is_wanted(Report::Audit) {
        answers.push(Answer::Audit(report::recorded(database, days).await?));
    }
    if is_wanted(Report::Runs) {
        answers.push(Answer::Runs(runs::ask(database, arguments.days).await?));
    }
    Ok(answers)
}

fn write_json(out: &mut impl Write, answers: &[Answer], all: bool) -> anyhow::Result<()> {
    match answers {
        [answer] if !all => serde_json::to_writer_pretty(&mut *out, answer)?,
        answers => {
            let named: BTreeMap<_, _> = answers.iter().map(|answer| (answer.name(), answer)).collect();
            serde_json::to_writer_pretty(&mut *out, &named)?;
        }
    }
    Ok(writeln!(out)?)
}

impl Answer {
    fn name(&self) -> &'static str {
        match self {
            Self::Growth(_) => "growth",
            Self::Active(_) => "active",
            Self::Logins(_) => "logins",
            Self::Daily(_) => "daily",
            Self::Devices(_) => "devices",
            Self::Retention(_) => "retention",
            Self::Groups(_) => "groups",
            Self::Failures(_) => "failures",
            Self::FailingUsers(_) => "failing_users",
            Self::Audit(_) => "audit",
            Self::Runs(_) => "runs",
        }
    }

    fn write_csv(&self, out: &mut Stdout) -> anyhow::Result<()> {
        match self {
            Self::Growth(rows) => csv(out, &["day", "users"], rows),
            Self::Active(row) => csv(
                out,
                &["active_users", "signed_in_1_day", "signed_in_7_days", "signed_in_30_days"],
                std::slice::from_ref(row),
            ),
            Self::Logins(rows) => csv(
                out,
                &[
                    "user_id",
                    "name",
                    "email",
                    "login_count",
                    "last_login_at",
                    "last_login_device",
                    "days_since_login",
                ],
                rows,
            ),
            Self::Daily(rows) => csv(out, &["day", "logins", "users"], rows),
            Self::Devices(rows) => csv(out, &["device", "users"], rows),
            Self::Retention(rows) => {
                csv(out, &["cohort_week", "week_number", "cohort_users", "signed_in_users"], rows)
            }
            Self::Groups(rows) => csv(out, &["user_pool_id", "name", "members"], rows),
            Self::Failures(rows) => {
                csv(out, &["day", "reported_by", "client_id", "reason", "network", "failures", "users"], rows)
            }
            Self::FailingUsers(rows) => {
                csv(out, &["user_id", "reported_by", "failures", "first_at", "last_at", "networks"], rows)
            }
            Self::Audit(rows) => csv(
                out,
                &["day", "client_id", "logins", "cloudtrail", "threat_protection", "application"],
                rows,
            ),
            Self::Runs(rows) => runs::write_csv(out, rows),
        }
    }

    fn write_text(&self, out: &mut impl Write, days: Option<u32>) -> anyhow::Result<()> {
        match self {
            Self::Growth(rows) => write_growth(out, rows, days.unwrap_or(DAYS)),
            Self::Active(row) => write_active(out, row),
            Self::Logins(rows) => write_logins(out, rows),
            Self::Daily(rows) => write_daily(out, rows),
            Self::Devices(rows) => write_devices(out, rows),
            Self::Retention(rows) => write_retention(out, rows),
            Self::Groups(rows) => write_groups(out, rows),
            Self::Failures(rows) => write_failures(out, rows),
            Self::FailingUsers(rows) => write_failing_users(out, rows),
            Self::Audit(rows) => write_recorded(out, rows),
            Self::Runs(rows) => runs::write_text(out, rows, days),
        }
    }
}

fn write_growth(out: &mut impl Write, rows: &[Growth], days: u32) -> anyhow::Result<()> {
    let total: i64 = rows.iter().map(|row| row.users).sum();
    writeln!(out, "growth: {total} users created in {days} days, those deleted since left out")?;
    let users: BTreeMap<Date, i64> = rows.iter().map(|row| (row.day, row.users)).collect();
    let today = OffsetDateTime::now_utc().date();
    let window = (0..days).rev().map(|back| today - time::Duration::days(i64::from(back)));
    let numbers: Vec<i64> = window.map(|day| users.get(&day).copied().unwrap_or(0)).collect();
    write_sparkline(out, &numbers)?;
    let rows = rows.iter().map(|row| vec![row.day.to_string(), row.users.to_string()]);
    write_table(out, &["day", "users"], 1, rows)
}

fn write_active(out: &mut impl Write, row: &Active) -> anyhow::Result<()> {
    let Active { active_users, signed_in_1_day, signed_in_7_days, signed_in_30_days } = row;
    writeln!(out, "active users: {active_users}")?;
    let rows = [("1 day", signed_in_1_day), ("7 days", signed_in_7_days), ("30 days", signed_in_30_days)];
    let rows = rows
        .into_iter()
        .map(|(within, users)| vec![within.to_owned(), users.to_string(), percent(*users, *active_users)]);
    write_table(out, &["signed in within", "users", "share"], 1, rows)
}

fn write_logins(out: &mut impl Write, rows: &[Login]) -> anyhow::Result<()> {
    writeln!(out, "logins: the latest users to sign in")?;
    let rows = rows.iter().map(|row| {
        vec![
            line(&row.name).into_owned(),
            line(row.email.as_deref().unwrap_or("-")).into_owned(),
            row.last_login_at.to_string(),
            line(row.last_login_device.as_deref().unwrap_or("-")).into_owned(),
            row.login_count.to_string(),
            row.days_since_login.to_string(),
        ]
    });
    write_table(out, &["name", "email", "last login", "device", "logins", "days since"], 4, rows)
}

fn write_daily(out: &mut impl Write, rows: &[Day]) -> anyhow::Result<()> {
    let total: i64 = rows.iter().map(|row| row.logins).sum();
    writeln!(out, "daily: {total} logins in {} days", rows.len())?;
    write_sparkline(out, &rows.iter().rev().map(|row| row.logins).collect::<Vec<_>>())?;
    let rows = rows.iter().filter(|row| row.logins > 0);
    let rows = rows.map(|row| vec![row.day.to_string(), row.logins.to_string(), row.users.to_string()]);
    write_table(out, &["day", "logins", "users"], 1, rows)
}

fn write_devices(out: &mut impl Write, rows: &[Device]) -> anyhow::Result<()> {
    let total: i64 = rows.iter().map(|row| row.users).sum();
    writeln!(out, "devices: of {total} users whose last login's is known")?;
    let rows = rows
        .iter()
        .map(|row| vec![line(&row.device).into_owned(), row.users.to_string(), percent(row.users, total)]);
    write_table(out, &["device", "users", "share"], 1, rows)
}

fn write_groups(out: &mut impl Write, rows: &[Group]) -> anyhow::Result<()> {
    writeln!(out, "groups: those with any members")?;
    let rows = rows.iter().map(|row| {
        let texts = [&row.user_pool_id, &row.name].map(|text| line(text).into_owned());
        texts.into_iter().chain([row.members.to_string()]).collect()
    });
    write_table(out, &["user pool", "group", "members"], 2, rows)
}

fn write_failures(out: &mut impl Write, rows: &[Failures]) -> anyhow::Result<()> {
    let total: i64 = rows.iter().map(|row| row.failures).sum();
    writeln!(out, "failures: {total} records of failed sign-ins, each reporter's by itself")?;
    let rows = rows.iter().map(|row| {
        let texts = [&row.client_id, &row.reason, &row.network];
        let texts = texts.map(|text| line(text.as_deref().unwrap_or("-")).into_owned());
        let numbers = [row.failures.to_string(), row.users.to_string()];
        [row.day.to_string(), row.reported_by.clone()].into_iter().chain(texts).chain(numbers).collect()
    });
    write_table(out, &["day", "recorded by", "client", "reason", "network", "failures", "users"], 5, rows)
}

fn write_failing_users(out: &mut impl Write, rows: &[FailingUser]) -> anyhow::Result<()> {
    writeln!(out, "failing users: those with most failed sign-ins")?;
    let rows = rows.iter().map(|row| {
        let (first, last) = (row.first_at.to_string(), row.last_at.to_string());
        vec![
            row.user_id.to_string(),
            row.reported_by.clone(),
            first,
            last,
            row.failures.to_string(),
            row.networks.to_string(),
        ]
    });
    write_table(out, &["user", "recorded by", "first", "last", "failures", "networks"], 4, rows)
}

fn write_recorded(out: &mut impl Write, rows: &[Recorded]) -> anyhow::Result<()> {
    writeln!(out, "audit: logins beside the sign-ins that others recorded")?;
    let rows = rows.iter().map(|row| {
        let numbers = [row.logins, row.cloudtrail, row.threat_protection, row.application];
        let client = line(row.client_id.as_deref().unwrap_or("-")).into_owned();
        [row.day.to_string(), client].into_iter().chain(numbers.map(|number| number.to_string())).collect()
    });
    write_table(out, &["day", "client", "logins", "cloudtrail", "threat protection", "application"], 2, rows)
}

/// A triangle: a row a week of creation, a column a week since then.
fn write_retention(out: &mut impl Write, rows: &[Retention]) -> anyhow::Result<()> {
    writeln!(out, "retention: of the users created in a week, who signed in in each week since")?;
    let mut cohorts: BTreeMap<Date, (i64, Vec<String>)> = BTreeMap::new();
    for row in rows {
        let (_, shares) = cohorts.entry(row.cohort_week).or_insert((row.cohort_users, Vec::new()));
        let unknown = || "?".to_owned();
        shares.push(row.signed_in_users.map_or_else(unknown, |users| percent(users, row.cohort_users)));
    }
    let weeks: BTreeSet<i32> = rows.iter().map(|row| row.week_number).collect();
    let weeks: Vec<String> = weeks.iter().map(|week| format!("+{week}")).collect();
    let header: Vec<&str> =
        ["week of", "users"].into_iter().chain(weeks.iter().map(String::as_str)).collect();
    let rows = cohorts.into_iter().map(|(week, (users, shares))| {
        let mut row = vec![week.to_string(), users.to_string()];
        row.extend(shares);
        row.resize(header.len(), String::new());
        row
    });
    write_table(out, &header, 1, rows)
}

fn write_sparkline(out: &mut impl Write, numbers: &[i64]) -> anyhow::Result<()> {
    let greatest = numbers.iter().copied().max().unwrap_or(0);
    if greatest > 0 {
        writeln!(out, "│{}│ up to {greatest} a day, today on the right", sparkline(numbers))?;
    }
    Ok(())
}

/// Columns from `numbers_from` on are numbers and aligned to the right.
fn write_table(
    out: &mut impl Write,
    header: &[&str],
    numbers_from: usize,
    rows: impl Iterator<Item = Vec<String>>,
) -> anyhow::Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.to_vec())
        .add_rows(rows);
    if table.width().is_none() {
        table.set_width(TABLE_WIDTH);
    }
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    match table.is_empty() {
        true => writeln!(out, "none\n")?,
        false => writeln!(out, "{table}\n")?,
    }
    Ok(())
}

fn percent(part: i64, whole: i64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => format!("{}%", (part * 100 + whole / 2) / whole),
    }
}
