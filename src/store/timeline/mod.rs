//! One user's history for people to read: a page of it, the latest first, and what each event changed. Reads one moment, and a
//! bounded number of rows. Personal data: whoever shows it decides what is masked.
//!
//! What an event changed is what it says beside what the events before it say, by the time at which they happened: so the page
//! is a function of the set of events, as the row is. An event that came after a later one is marked.

mod steps;

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::steps::Change;
use self::steps::{Step, steps};
use crate::geoip::GeoIp;
use crate::postgres::{Database, Purpose, Transaction};
use crate::store::maintenance::explain::{Explanation, explain_rows};
use crate::store::model::device::Device;
use crate::store::model::state::Login;
use crate::store::tables::failure::StoreError;
use crate::store::tables::history;

/// Entries of a page.
pub const PAGE: usize = 50;
/// The longest history, in events and contexts, that is read whole: it is a second's work.
pub const WHOLE_MAX: u64 = 20_000;
/// Of a longer one, so many rows before the page are read for what they say beside it.
const ROWS_OF_A_PART: i64 = 500;
/// Failures that are read for a page.
const FAILURES_MAX: i64 = 500;
/// Weeks of which sign-ins are counted.
pub const WEEKS: usize = 26;
const WEEK_MILLIS: u64 = 7 * 86_400_000;

/// What of a history is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Everything.
    All,
    /// What changed a value.
    Changes,
    /// Sign-ins, and what others recorded of them.
    SignIns,
    /// Failures, what came late, deletions.
    Trouble,
}

/// One user's history, or the latest part of it.
#[derive(Debug, Clone)]
pub struct History {
    /// Why each value is what it is; `None` where the history is longer than [`WHOLE_MAX`].
    pub explanation: Option<Explanation>,
    /// The entries, the latest first; at most [`PAGE`].
    pub entries: Vec<Entry>,
    /// Where the next page begins, if there is one: entries before this id.
    pub older: Option<Uuid>,
    /// How many entries there are; `None` where the history is not read whole.
    pub counts: Option<Counts>,
    /// Whether events of months that were dropped are known by what they amount to only, and the sign-ins among them.
    pub folded: Option<u64>,
    /// Sign-ins a week, the oldest first, each with the beginning of its week (a Monday); the last is this week. Empty where the
    /// history is not read whole.
    pub weeks: Vec<(Timestamp, u64)>,
}

/// How many entries of a history each view shows. Failures are among them up to 500.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub all: usize,
    /// Those that changed a value.
    pub changes: usize,
    /// Sign-ins, and what others recorded of them.
    pub sign_ins: usize,
    /// Failures, what came late, deletions.
    pub trouble: usize,
}

/// Something that happened to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event's id; of an edit by the application one made of its time.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// When it was recorded, where that is known.
    pub recorded_at: Option<Timestamp>,
    /// What happened.
    pub what: What,
    /// What that changed.
    pub changes: Vec<Change>,
    /// Whether a later event had been recorded before it.
    pub is_overtaken: bool,
    /// Which sign-in it is, by time, where that is known.
    pub nth: Option<u64>,
    /// From where.
    pub origin: Origin,
}

/// What happened to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Signed up and confirmed; of a federated user the first sign-in.
    Confirmed {
        /// Whether it is a sign-in.
        federated: bool,
    },
    /// Signed in.
    SignedIn,
    /// Confirmed a forgotten password.
    PasswordReset,
    /// Was read from the pool: whole, or partially.
    ReadBack {
        /// Whether something was left out.
        partial: bool,
    },
    /// Was deleted from the pool.
    Deleted,
    /// Was found alive after a deletion.
    Restored,
    /// Joined a group; the name is not known of who is erased.
    Joined(Option<String>),
    /// Left a group.
    Left(Option<String>),
    /// Somebody recorded where a sign-in or a sign-up came from.
    Seen {
        /// Who.
        by: &'static str,
        /// Of what: `sign_in` or `sign_up`.
        occasion: &'static str,
    },
    /// A sign-in failed.
    Failed {
        /// Why, as the reporter says it.
        reason: Option<String>,
        /// Who recorded it.
        by: String,
    },
    /// The application edited the row for the last time; what it changed then is not known.
    Edited,
}

/// Where something came from, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The app client.
    pub client_id: Option<String>,
    /// The class of the device.
    pub device: Option<&'static str>,
    /// The address, or the network of a failure.
    pub ip: Option<String>,
    /// The place.
    pub location: Option<String>,
}

/// Reads one user's history: what `show` names of it, before the id `before`.
///
/// # Errors
/// When the database cannot be read, or takes longer than a page may.
pub async fn read(
    database: &Database,
    geoip: &GeoIp,
    user: Uuid,
    show: Show,
    before: Option<Uuid>,
) -> Result<History, StoreError> {
    let failed = StoreError::when("reading the user's history");
    let mut tx = database.begin(Purpose::Snapshot).await.map_err(&failed)?;
    let history = read_in(&mut tx, geoip, user, show, before).await.map_err(&failed)?;
    tx.rollback().await.map_err(&failed)?;
    Ok(history)
}

async fn read_in(
    tx: &mut Transaction,
    geoip: &GeoIp,
    user: Uuid,
    show: Show,
    before: Option<Uuid>,
) -> Result<History, sqlx::Error> {
    sqlx::raw_sql("set local statement_timeout = '5s'").execute(&mut *tx).await?;
    history::find_by_user(tx).await?;
    let is_whole = length(tx, user).await? <= WHOLE_MAX;
    let end = before.unwrap_or(Uuid::max());
    let rows = match is_whole {
        true => history::rows_of_user(tx, user).await?,
        false => {
            let part = sqlx::query(include_str!("read_part.sql")).bind(user).bind(end);
            part.bind(ROWS_OF_A_PART).fetch_all(&mut *tx).await?
        }
    };
    let failures = sqlx::query(include_str!("read_failures.sql")).bind(user);
    // Of a history that is read whole they are counted, whatever the page.
    let failures = failures.bind(if is_whole { Uuid::max() } else { end }).bind(FAILURES_MAX);
    let failures = failures.fetch_all(&mut *tx).await?;
    let edited = "select app_edited_at from users where id = $1";
    let edited: Option<Option<OffsetDateTime>> =
        sqlx::query_scalar(edited).bind(user).fetch_optional(&mut *tx).await?;
    let mut all = steps(&rows, is_whole)?;
    let folded = all.folded;
    all.steps.extend(
        failures
            .iter()
            .enumerate()
            .map(|(at, row)| Step::of_failure(at, row))
            .collect::<Result<Vec<_>, _>>()?,
    );
    all.steps.extend(edited.flatten().map(|at| Step::of_edit(at.into())));
    all.steps.sort_by_key(|step| std::cmp::Reverse(step.id));
    let counts = is_whole.then(|| counts(&all.steps));
    let weeks = if is_whole { weeks(&all.steps, Timestamp::now()) } else { Vec::new() };
    let mut page: Vec<Step> =
        all.steps.into_iter().filter(|step| step.id < end && step.is_shown(show)).take(PAGE + 1).collect();
    let is_last = page.len() <= PAGE
        && (is_whole || rows.len() < usize::try_from(ROWS_OF_A_PART).unwrap_or(usize::MAX));
    page.truncate(PAGE);
    let older = page.last().map(|step| step.id).filter(|_| !is_last);
    // Of a part that has nothing of the kind, the look goes on where it ended.
    let older = older.or_else(|| rows.first().and_then(|row| row.try_get("id").ok()).filter(|_| !is_last));
    let entries = page.into_iter().map(|step| entry(step, &rows, &failures, geoip));
    let entries = entries.collect::<Result<_, _>>()?;
    let explanation = match is_whole {
        true => Some(explain_rows(tx, geoip, user, &rows).await?),
        false => None,
    };
    Ok(History { explanation, entries, older, counts, folded, weeks })
}

/// How many events and contexts a user has, up to one more than are read.
async fn length(tx: &mut Transaction, user: Uuid) -> Result<u64, sqlx::Error> {
    let count =
        "select (select count(*) from (select from user_events where user_id = $1 limit $2) as events)
        + (select count(*) from (select from user_sync_contexts where user_id = $1 limit $2) as contexts)";
    let limit = i64::try_from(WHOLE_MAX + 1).unwrap_or(i64::MAX);
    let count: i64 = sqlx::query_scalar(count).bind(user).bind(limit).fetch_one(tx).await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn counts(steps: &[Step]) -> Counts {
    let count = |show| steps.iter().filter(|step| step.is_shown(show)).count();
    Counts {
        all: steps.len(),
        changes: count(Show::Changes),
        sign_ins: count(Show::SignIns),
        trouble: count(Show::Trouble),
    }
}

/// Sign-ins of each of the last weeks, from Monday to Sunday, UTC.
fn weeks(steps: &[Step], now: Timestamp) -> Vec<(Timestamp, u64)> {
    // 1 January 1970 was a Thursday.
    const FIRST_MONDAY: u64 = 4 * 86_400_000;
    let week = |at: Timestamp| (at.unix_millis() + WEEK_MILLIS - FIRST_MONDAY) / WEEK_MILLIS;
    let this_week = week(now);
    let first = this_week.saturating_sub(u64::try_from(WEEKS).unwrap_or(0) - 1);
    let mut counts = vec![0; WEEKS];
    for step in steps.iter().filter(|step| step.is_login) {
        let at = week(step.at).checked_sub(first).and_then(|at| counts.get_mut(usize::try_from(at).ok()?));
        at.into_iter().for_each(|count| *count += 1);
    }
    let begin = |week: u64| {
        Timestamp::from_unix_millis((week * WEEK_MILLIS + FIRST_MONDAY).saturating_sub(WEEK_MILLIS))
    };
    (first..=this_week).map(begin).zip(counts).collect()
}

fn entry(step: Step, rows: &[PgRow], failures: &[PgRow], geoip: &GeoIp) -> Result<Entry, sqlx::Error> {
    let row = match step.source {
        steps::Source::History(at) => rows.get(at),
        steps::Source::Failures(at) => failures.get(at),
        steps::Source::Row => None,
    };
    let (what, origin) = match (step.source, row) {
        (steps::Source::History(_), Some(row)) => told(row, geoip)?,
        (steps::Source::Failures(_), Some(row)) => failed(row)?,
        (steps::Source::Row | steps::Source::History(_) | steps::Source::Failures(_), _) => {
            (What::Edited, Origin::default())
        }
    };
    let Step { id, at, recorded_at, changes, is_overtaken, nth, .. } = step;
    Ok(Entry { id, at, recorded_at, what, changes, is_overtaken, nth, origin })
}

fn told(row: &PgRow, geoip: &GeoIp) -> Result<(What, Origin), sqlx::Error> {
    if history::is_context(row)? {
        let data = history::context(row)?.data;
        let origin = Origin {
            client_id: data.client_id.map(String::from),
            device: data.user_agent.as_deref().and_then(Device::of_user_agent).map(Device::as_str),
            ip: data.ip.map(String::from),
            location: data.city.or(data.country).map(String::from),
        };
        return Ok((What::Seen { by: data.reported_by.as_str(), occasion: data.occasion.as_str() }, origin));
    }
    if history::is_of_group(row)? {
        return Ok((steps::of_group(row)?, Origin::default()));
    }
    let event = history::event(row)?;
    let login = Login::resolved(&event, geoip);
    let origin = Origin {
        client_id: login.client_id,
        device: login.device.map(Device::as_str),
        ip: login.ip.map(|ip| ip.to_string()),
        location: login.location,
    };
    Ok((steps::of_event(&event), origin))
}

fn failed(row: &PgRow) -> Result<(What, Origin), sqlx::Error> {
    let what = What::Failed { reason: row.try_get("reason")?, by: row.try_get("reported_by")? };
    let origin =
        Origin { client_id: row.try_get("client_id")?, ip: row.try_get("network")?, ..Origin::default() };
    Ok((what, origin))
}
