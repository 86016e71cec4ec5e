//! What analytics show, kept by day: which days changed is found, and these are counted again. Must not know how a number is
//! shown, nor who asks for it.
//!
//! What a login is the views `report_*` say. A day changes by an event that comes late, by a replay, and by what a late event
//! does to a user: which confirmation is the sign-up, when the user was created. So a day's number of events, its federated
//! sign-ups and the users who were created on it are kept beside its numbers; where one of them differs, the day and what
//! follows from it are marked, in one transaction. What is marked is counted in short transactions of their own, and
//! one that ends early is gone on with by the next refresh. Days of months that were dropped keep their numbers.

mod read;

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::{Date, OffsetDateTime};

pub use self::read::{
    Client, Cohort, Day, Failures, MOST_COHORT_WEEKS, Share, Week, clients, counted_at, days, failures,
    retention, shares, users_until,
};
use crate::postgres::{Database, Purpose, Transaction};
use crate::store::locks;
use crate::store::tables::failure::{Failure, StoreError};

/// Days that one transaction counts; a day's events are some tens of thousands.
const DAYS_AT_ONCE: i64 = 7;
/// The same of windows of 30 days, each of which reads the days before it.
const WINDOWS_AT_ONCE: i64 = 15;
/// How often something is tried whose locks others hold.
const ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);
/// Whoever changes a table's definition does not wait long behind this, and this not behind them.
const LIMITS: &str =
    "set local lock_timeout = '500ms'; set local statement_timeout = '60s'; set local jit = off;
    lock table user_events, user_sync_failures in access share mode";

/// Which days are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that changed.
    Changed,
    /// All that the ledger has.
    All,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Days whose logins were counted.
    pub days: u64,
    /// Days whose users of 1, 7 and 30 days were counted.
    pub windows: u64,
    /// Weeks in which users came back.
    pub weeks: u64,
}

/// Why not everything was counted. What was counted before is kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process counts.
    #[error("another refresh is running, and this one changed nothing that it will not")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

enum Stop {
    Busy,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Counts what changed since the last refresh.
///
/// Needs the rights of `user_sync_consumer`. Idempotent and resumable; nobody who applies events waits for it, and who drops a
/// month waits for one of its short transactions at most. Dropping the future leaves what is counted.
///
/// # Errors
/// When another process refreshes, and when the database cannot be asked or lets nothing be counted for half a minute.
pub async fn refresh(database: &Database, scope: Scope) -> Result<Refreshed, Error> {
    let began = OffsetDateTime::from(Timestamp::now());
    step(database, "counting users by day", async |tx| look_at_users(tx).await).await?;
    let months = step(database, "reading the ledger's months", async |tx| months(tx).await).await?;
    let newest = months.len().saturating_sub(2);
    for (index, month) in months.iter().enumerate() {
        // This month and the one before are always looked at: PostgreSQL's count is late.
        if scope == Scope::All || index >= newest || !month.is_as_it_was {
            step(database, "looking for days that changed", async |tx| look(tx, month, scope).await).await?;
        }
    }
    let (days, windows) = (count(database, &LOGINS).await?, count(database, &ACTIVE).await?);
    count(database, &FIRST).await?;
    let mut refreshed = Refreshed { days, windows, weeks: 0 };
    while step(database, "counting who came back", async |tx| count_week(tx).await).await? {
        refreshed.weeks += 1;
    }
    let end = async |tx: &mut Transaction| {
        let query = "update user_sync_daily_state set counted_at = $1";
        Ok(sqlx::query(query).bind(began).execute(tx).await.map(drop)?)
    };
    step(database, "noting when it was counted", end).await?;
    Ok(refreshed)
}

/// Does something in a transaction of its own, and again where others hold locks.
async fn step<T>(
    database: &Database,
    doing: &'static str,
    attempt: impl AsyncFn(&mut Transaction) -> Result<T, Stop>,
) -> Result<T, Error> {
    let mut attempts = 1;
    loop {
        match once(database, &attempt).await {
            Ok(done) => return Ok(done),
            Err(Stop::Busy) => return Err(Error::Busy),
            Err(Stop::Failed(failure)) if attempts < ATTEMPTS && failure.may_pass(true) => {
                attempts += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(Stop::Failed(failure)) => return Err(StoreError::when(doing)(failure).into()),
        }
    }
}

async fn once<T>(
    database: &Database,
    attempt: &impl AsyncFn(&mut Transaction) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let mut tx = database.begin(Purpose::Command).await?;
    // From here on no month can be dropped until the end: what is there now is what is counted.
    sqlx::raw_sql(LIMITS).execute(&mut tx).await?;
    if !locks::try_refresh(&mut tx).await? {
        return Err(Stop::Busy);
    }
    let done = attempt(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

async fn look_at_users(tx: &mut Transaction) -> Result<(), Stop> {
    let changed: Vec<(Date, bool, bool)> =
        sqlx::query_as(include_str!("users.sql")).fetch_all(&mut *tx).await?;
    let days = |is: fn(&(Date, bool, bool)) -> bool| {
        changed.iter().filter(|day| is(day)).map(|day| day.0).collect::<Vec<_>>()
    };
    sqlx::query(include_str!("mark_cohorts.sql")).bind(days(|day| day.1)).execute(&mut *tx).await?;
    sqlx::query(include_str!("mark.sql")).bind(days(|day| day.2)).execute(&mut *tx).await?;
    sqlx::query(include_str!("shares.sql")).execute(tx).await?;
    Ok(())
}

/// A month of the ledger, as `months.sql` says it.
#[derive(Debug)]
struct Month {
    name: String,
    first_day: Date,
    end_day: Date,
    inserted: i64,
    is_as_it_was: bool,
}

async fn months(tx: &mut Transaction) -> Result<Vec<Month>, Stop> {
    let rows: Vec<(String, Date, Date, i64, bool)> =
        sqlx::query_as(include_str!("months.sql")).fetch_all(tx).await?;
    let month = |(name, first_day, end_day, inserted, is_as_it_was)| Month {
        name,
        first_day,
        end_day,
        inserted,
        is_as_it_was,
    };
    Ok(rows.into_iter().map(month).collect())
}

/// Marks what changed in a month, and what follows from it. The number of rows was read before: what came since is found by
/// the next refresh.
async fn look(tx: &mut Transaction, month: &Month, scope: Scope) -> Result<(), Stop> {
    let is_there = "select exists (select from user_event_partitions where name = $1)";
    let is_there: bool = sqlx::query_scalar(is_there).bind(&month.name).fetch_one(&mut *tx).await?;
    if !is_there {
        return Ok(());
    }
    let query = sqlx::query_scalar(include_str!("look.sql")).bind(month.first_day).bind(month.end_day);
    let mut changed: Vec<Date> = query.fetch_all(&mut *tx).await?;
    if scope == Scope::All {
        let days = "select day from user_sync_daily where day >= $1 and day < $2 and events is not null";
        let query = sqlx::query_scalar(days).bind(month.first_day).bind(month.end_day);
        changed = query.fetch_all(&mut *tx).await?;
    }
    sqlx::query(include_str!("mark.sql")).bind(&changed).execute(&mut *tx).await?;
    let query = "insert into user_sync_daily_months as old (name, inserted) values ($1, $2)
        on conflict (name) do update set inserted = excluded.inserted where old.inserted <> excluded.inserted";
    sqlx::query(query).bind(&month.name).bind(month.inserted).execute(tx).await?;
    Ok(())
}

/// Something that is counted day by day.
struct Counted {
    doing: &'static str,
    /// The days that are to be counted, of those from $1 on: the newest, at most $2.
    stale: &'static str,
    /// Counts those from $1 to $2; the first day that the ledger has is $3.
    count: &'static str,
    at_once: i64,
}

const LOGINS: Counted = Counted {
    doing: "counting logins by day",
    stale: "select day from user_sync_daily where day >= $1 and logins_stale order by day desc limit $2",
    count: include_str!("logins.sql"),
    at_once: DAYS_AT_ONCE,
};

const ACTIVE: Counted = Counted {
    doing: "counting active users by day",
    stale: "select day from user_sync_daily where day >= $1 and active_stale order by day desc limit $2",
    count: include_str!("active.sql"),
    at_once: WINDOWS_AT_ONCE,
};

const FIRST: Counted = Counted {
    doing: "counting first logins by day",
    stale: "select day from user_sync_daily where day >= $1 and first_stale order by day desc limit $2",
    count: include_str!("first.sql"),
    at_once: WINDOWS_AT_ONCE,
};

/// Counts all days that are marked, the newest first, a few in a transaction.
async fn count(database: &Database, counted: &Counted) -> Result<u64, Error> {
    let mut days = 0;
    loop {
        let some = step(database, counted.doing, async |tx| count_some(tx, counted).await).await?;
        if some == 0 {
            return Ok(days);
        }
        days += some;
    }
}

async fn count_some(tx: &mut Transaction, counted: &Counted) -> Result<u64, Stop> {
    let Some(kept_from) = kept_from(tx).await? else { return Ok(0) };
    let query = sqlx::query_scalar(counted.stale).bind(kept_from).bind(counted.at_once);
    let days: Vec<Date> = query.fetch_all(&mut *tx).await?;
    let Some(to) = days.first().copied() else { return Ok(0) };
    let is_near = |day: &&Date| (to - **day).whole_days() < counted.at_once;
    let from = days.iter().take_while(is_near).last().copied().unwrap_or(to);
    let query = sqlx::query(counted.count).bind(from).bind(to);
    // Only windows reach back before the days that are asked.
    let query = if counted.count.contains("$3") { query.bind(kept_from) } else { query };
    Ok(query.execute(tx).await?.rows_affected())
}

/// The first day of which the ledger has everything; `None` without months.
async fn kept_from(tx: &mut Transaction) -> Result<Option<Date>, sqlx::Error> {
    let query =
        "select to_date(name, '\"user_events_\"YYYY_MM') from user_event_partitions order by lower limit 1";
    sqlx::query_scalar(query).fetch_optional(tx).await
}

/// Counts the newest week that is marked; `false` where none is. A week that the ledger has only a part of is not.
async fn count_week(tx: &mut Transaction) -> Result<bool, Stop> {
    let Some(kept_from) = kept_from(tx).await? else { return Ok(false) };
    let query =
        "select week from user_sync_daily_weeks where is_stale and week >= $1 order by week desc limit 1";
    let week: Option<Date> = sqlx::query_scalar(query).bind(kept_from).fetch_optional(&mut *tx).await?;
    let Some(week) = week else { return Ok(false) };
    sqlx::query(include_str!("retention.sql")).bind(week).execute(tx).await?;
    Ok(true)
}
