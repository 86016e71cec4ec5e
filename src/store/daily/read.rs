//! Reads what was counted: of the days that are asked, and nothing else. Must not count.

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Serialize;
use time::{Date, OffsetDateTime};

use crate::postgres::Database;

/// Weeks after their creation in which users are looked for, that of their creation included.
pub const MOST_COHORT_WEEKS: u32 = 26;

/// The numbers of a day; `None` where they are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// In UTC.
    pub day: Date,
    /// Users who were created, deleted since or not.
    pub created: i64,
    /// Users who were created, without those deleted since.
    pub users: i64,
    /// Logins.
    pub logins: Option<i64>,
    /// Logins by hour: 24 numbers.
    pub hours: Option<Vec<i64>>,
    /// Users who signed in on the day.
    pub active_1: Option<i64>,
    /// On it or the 6 days before.
    pub active_7: Option<i64>,
    /// On it or the 29 days before.
    pub active_30: Option<i64>,
    /// Of those created: who signed in within a minute.
    pub first_minute: Option<i64>,
    /// Within an hour.
    pub first_hour: Option<i64>,
    /// Within 24 hours.
    pub first_day: Option<i64>,
    /// Within 7 days.
    pub first_week: Option<i64>,
}

/// Logins of a day by a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The app client; empty where it is not known.
    pub client_id: String,
    /// How many.
    pub logins: i64,
}

/// Failed sign-ins of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// In UTC.
    pub day: Date,
    /// Who recorded them: two may record the same one.
    pub reported_by: String,
    /// Why, in a word; empty where it is not known.
    pub reason: String,
    /// How many.
    pub failures: i64,
}

/// Users who have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// A device's kind or a country's code; empty where it is not known.
    pub name: String,
    /// How many.
    pub users: i64,
}

/// The users who were created in a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohort {
    /// Its Monday.
    pub week: Date,
    /// How many.
    pub users: i64,
    /// That week and each after it, up to the last one that is asked.
    pub weeks: Vec<Week>,
}

/// A week after a cohort's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Week {
    /// Its Monday.
    pub week: Date,
    /// How many of the cohort signed in; `None` where that is not known.
    pub signed_in: Option<i64>,
}

/// Up to when everything is counted; `None` if it never was.
///
/// # Errors
/// When the database cannot be asked.
pub async fn counted_at(database: &Database) -> Result<Option<Timestamp>, sqlx::Error> {
    let query = "select counted_at from user_sync_daily_state";
    let at: Option<Option<OffsetDateTime>> =
        sqlx::query_scalar(query).fetch_optional(database.pages()).await?;
    Ok(at.flatten().map(Timestamp::from))
}

/// The days from `from` to `to`, the oldest first; those of which nothing is known are left out.
///
/// # Errors
/// When the database cannot be asked.
pub async fn days(database: &Database, from: Date, to: Date) -> Result<Vec<Day>, sqlx::Error> {
    let query =
        "select day, created, users, logins, hours, active_1, active_7, active_30, first_minute, first_hour,
            first_day, first_week
        from user_sync_daily where day between $1 and $2 order by day";
    type Counts = Option<i64>;
    type Row =
        (Date, i64, i64, Counts, Option<Vec<i64>>, Counts, Counts, Counts, Counts, Counts, Counts, Counts);
    let rows: Vec<Row> = sqlx::query_as(query).bind(from).bind(to).fetch_all(database.pages()).await?;
    let day = |(
        day,
        created,
        users,
        logins,
        hours,
        active_1,
        active_7,
        active_30,
        minute,
        hour,
        in_day,
        week,
    ): Row| Day {
        day,
        created,
        users,
        logins,
        hours,
        active_1,
        active_7,
        active_30,
        first_minute: minute,
        first_hour: hour,
        first_day: in_day,
        first_week: week,
    };
    Ok(rows.into_iter().map(day).collect())
}

/// Users who were created up to a day and not deleted since.
///
/// # Errors
/// When the database cannot be asked.
pub async fn users_until(database: &Database, to: Date) -> Result<i64, sqlx::Error> {
    let query = "select coalesce(sum(users), 0)::bigint from user_sync_daily where day <= $1";
    sqlx::query_scalar(query).bind(to).fetch_one(database.pages()).await
}

/// Logins from `from` to `to` by client, most first; at most `limit`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn clients(
    database: &Database,
    from: Date,
    to: Date,
    limit: u32,
) -> Result<Vec<Client>, sqlx::Error> {
    let query = "select client_id, sum(logins)::bigint as logins from user_sync_daily_clients
        where day between $1 and $2 group by 1 having sum(logins) > 0 order by 2 desc, 1 limit $3";
    let query = sqlx::query_as(query).bind(from).bind(to).bind(i64::from(limit));
    let rows: Vec<(String, i64)> = query.fetch_all(database.pages()).await?;
    Ok(rows.into_iter().map(|(client_id, logins)| Client { client_id, logins }).collect())
}

/// Failed sign-ins from `from` to `to`, the oldest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn failures(database: &Database, from: Date, to: Date) -> Result<Vec<Failures>, sqlx::Error> {
    let query = "select day, reported_by, reason, failures from user_sync_daily_failures
        where day between $1 and $2 order by day, reported_by, reason limit 100000";
    let rows: Vec<(Date, String, String, i64)> =
        sqlx::query_as(query).bind(from).bind(to).fetch_all(database.pages()).await?;
    let failures = |(day, reported_by, reason, failures)| Failures { day, reported_by, reason, failures };
    Ok(rows.into_iter().map(failures).collect())
}

/// Users by `device` or `country`, most first; at most `limit`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn shares(database: &Database, kind: &str, limit: u32) -> Result<Vec<Share>, sqlx::Error> {
    let query = "select name, users from user_sync_daily_shares where kind = $1 and users > 0
        order by users desc, name limit $2";
    let query = sqlx::query_as(query).bind(kind).bind(i64::from(limit));
    let rows: Vec<(String, i64)> = query.fetch_all(database.pages()).await?;
    Ok(rows.into_iter().map(|(name, users)| Share { name, users }).collect())
}

/// The users created in the weeks from that of `from` to that of `to`, the oldest first, and who came back.
///
/// # Errors
/// When the database cannot be asked.
pub async fn retention(database: &Database, from: Date, to: Date) -> Result<Vec<Cohort>, sqlx::Error> {
    type Row = (Date, i64, Date, Option<i64>);
    let query = "with cohort as (
            select date_trunc('week', day::timestamp)::date as cohort, sum(created)::bigint as users
            from user_sync_daily
            where day >= date_trunc('week', $1::date::timestamp)::date
                and day < date_trunc('week', $2::date::timestamp)::date + 7
            group by 1 having sum(created) > 0
        )
        select cohort.cohort, cohort.users, asked.week,
            case when weeks.is_counted then coalesce(signed_in, 0) end
        from cohort
        cross join lateral (
            select at::date as week from generate_series(cohort.cohort::timestamp,
                least(date_trunc('week', $2::date::timestamp), cohort.cohort::timestamp + interval '25 weeks'),
                interval '1 week') as weeks (at)
        ) as asked
        left join user_sync_daily_weeks as weeks on weeks.week = asked.week
        left join user_sync_daily_retention as retention
            on retention.week = asked.week and retention.cohort = cohort.cohort
        order by 1, 3 limit 20000";
    let rows: Vec<Row> = sqlx::query_as(query).bind(from).bind(to).fetch_all(database.pages()).await?;
    let mut cohorts: Vec<Cohort> = Vec::new();
    for (cohort, users, week, signed_in) in rows {
        let week = Week { week, signed_in };
        match cohorts.last_mut() {
            Some(last) if last.week == cohort => last.weeks.push(week),
            Some(_) | None => cohorts.push(Cohort { week: cohort, users, weeks: vec![week] }),
        }
    }
    Ok(cohorts)
}
