//! What operators ask most often, read from the views of `migrations/`. Knows the views; must not
//! know how an answer is shown.

use crate::postgres::Database;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Serialize;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// Days that `report_logins_by_day` reaches back, today included.
pub const MAX_DAYS: u32 = 400;
/// Weeks that `report_retention` reaches back, this one included.
pub const MAX_WEEKS: u32 = 26;

/// Users created on a day, without those deleted since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// In UTC.
    #[serde(serialize_with = "as_text")]
    pub day: Date,
    /// Created that day.
    pub users: i64,
}

/// Active users: neither disabled nor deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Active {
    /// All of them.
    pub active_users: i64,
    /// Of these, who signed in within 24 hours.
    pub signed_in_1_day: i64,
    /// Of these, who signed in within 7 days.
    pub signed_in_7_days: i64,
    /// Of these, who signed in within 30 days.
    pub signed_in_30_days: i64,
}

/// A user who signed in. Personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Login {
    /// The `sub`.
    pub user_id: Uuid,
    /// The user's name.
    pub name: String,
    /// The address that the user owns.
    pub email: Option<String>,
    /// All logins.
    pub login_count: i64,
    /// The latest one.
    pub last_login_at: Timestamp,
    /// Its kind of device, where it is known.
    pub last_login_device: Option<String>,
    /// Whole days since then.
    pub days_since_login: i32,
}

/// Logins of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    /// In UTC.
    #[serde(serialize_with = "as_text")]
    pub day: Date,
    /// Distinct logins.
    pub logins: i64,
    /// Users who signed in.
    pub users: i64,
}

/// Users by the kind of device of their last login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// `Mobile`, `Tablet` or `Desktop`.
    pub device: String,
    /// How many.
    pub users: i64,
}

/// A group of a user pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The user pool.
    pub user_pool_id: String,
    /// The group's name.
    pub name: String,
    /// Users who are members, those deleted left out.
    pub members: i64,
}

/// Failed sign-ins of a day that have these in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// In UTC.
    #[serde(serialize_with = "as_text")]
    pub day: Date,
    /// Who recorded them: two may record the same one.
    pub reported_by: String,
    /// The app client, where the record says it.
    pub client_id: Option<String>,
    /// Why, in a word.
    pub reason: Option<String>,
    /// The network that they came from.
    pub network: Option<String>,
    /// How many.
    pub failures: i64,
    /// Of how many users, where their records name them.
    pub users: i64,
}

/// A user whose sign-ins failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailingUser {
    /// The `sub`.
    pub user_id: Uuid,
    /// Who recorded them: two may record the same one.
    pub reported_by: String,
    /// Failed sign-ins, as far back as they are kept.
    pub failures: i64,
    /// The first one.
    pub first_at: Timestamp,
    /// The latest one.
    pub last_at: Timestamp,
    /// From how many networks.
    pub networks: i64,
}

/// Logins of a day and a client beside what others recorded of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// In UTC.
    #[serde(serialize_with = "as_text")]
    pub day: Date,
    /// The app client, where it is known.
    pub client_id: Option<String>,
    /// Logins in the ledger.
    pub logins: i64,
    /// Sign-ins that CloudTrail recorded.
    pub cloudtrail: i64,
    /// Sign-ins that threat protection recorded.
    pub threat_protection: i64,
    /// Sign-ins that the application recorded.
    pub application: i64,
}

/// What the users created in one week did in one week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// The Monday of the week in which they were created, in UTC.
    #[serde(serialize_with = "as_text")]
    pub cohort_week: Date,
    /// The week in question: 0 is that of their creation.
    pub week_number: i32,
    /// How many were created.
    pub cohort_users: i64,
    /// How many of them signed in in the week in question; `None` where the ledger does not say.
    pub signed_in_users: Option<i64>,
}

/// Users by the day of their creation, of the last `days` days, newest first; days without any are left out.
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn growth(database: &Database, days: u32) -> Result<Vec<Growth>, sqlx::Error> {
    let query = "select day, users from report_user_growth
        where day > (now() at time zone 'utc')::date - $1::integer order by day desc";
    let rows: Vec<(Date, i64)> =
        sqlx::query_as(query).bind(integer(days)).fetch_all(database.reports()).await?;
    Ok(rows.into_iter().map(|(day, users)| Growth { day, users }).collect())
}

/// Active users now.
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn active(database: &Database) -> Result<Active, sqlx::Error> {
    let query = "select active_users, signed_in_1_day, signed_in_7_days, signed_in_30_days
        from report_active_users";
    let row: (i64, i64, i64, i64) = sqlx::query_as(query).fetch_one(database.reports()).await?;
    let (active_users, signed_in_1_day, signed_in_7_days, signed_in_30_days) = row;
    Ok(Active { active_users, signed_in_1_day, signed_in_7_days, signed_in_30_days })
}

/// At most `limit` users who signed in within `days` days, the latest first.
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn logins(database: &Database, days: u32, limit: u32) -> Result<Vec<Login>, sqlx::Error> {
    type Row = (Uuid, String, Option<String>, i64, OffsetDateTime, Option<String>, i32);
    let query = "select user_id, name, email, login_count, last_login_at, last_login_device, days_since_login
        from report_login_activity where last_login_at > now() - make_interval(days => $1)
        order by last_login_at desc, user_id limit $2";
    let query = sqlx::query_as(query).bind(integer(days)).bind(i64::from(limit));
    let rows: Vec<Row> = query.fetch_all(database.reports()).await?;
    let login = |(user_id, name, email, login_count, at, last_login_device, days_since_login): Row| {
        let last_login_at = Timestamp::from(at);
        Login { user_id, name, email, login_count, last_login_at, last_login_device, days_since_login }
    };
    Ok(rows.into_iter().map(login).collect())
}

/// Logins of each of the last `days` days, newest first, days without any included; at most [`MAX_DAYS`].
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn daily(database: &Database, days: u32) -> Result<Vec<Day>, sqlx::Error> {
    let query = "select day, logins, users from report_logins_by_day
        where day > (now() at time zone 'utc')::date - $1::integer order by day desc";
    let rows: Vec<(Date, i64, i64)> =
        sqlx::query_as(query).bind(integer(days)).fetch_all(database.reports()).await?;
    Ok(rows.into_iter().map(|(day, logins, users)| Day { day, logins, users }).collect())
}

/// Users by the kind of device of their last login, most first.
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn devices(database: &Database) -> Result<Vec<Device>, sqlx::Error> {
    let query = "select device, users from report_devices order by users desc, device";
    let rows: Vec<(String, i64)> = sqlx::query_as(query).fetch_all(database.reports()).await?;
    Ok(rows.into_iter().map(|(device, users)| Device { device, users }).collect())
}

/// Groups with any members, most first.
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn groups(database: &Database) -> Result<Vec<Group>, sqlx::Error> {
    let query =
        "select user_pool_id, name, members from report_groups order by members desc, user_pool_id, name";
    let rows: Vec<(String, String, i64)> = sqlx::query_as(query).fetch_all(database.reports()).await?;
    let group = |(user_pool_id, name, members)| Group { user_pool_id, name, members };
    Ok(rows.into_iter().map(group).collect())
}

/// Failed sign-ins of the last `days` days, newest first, most of a day first; at most [`MAX_DAYS`].
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn failures(database: &Database, days: u32) -> Result<Vec<Failures>, sqlx::Error> {
    type Row = (Date, String, Option<String>, Option<String>, Option<String>, i64, i64);
    let query =
        "select day, reported_by, client_id, reason, network::text, failures, users from report_failures
        where day > (now() at time zone 'utc')::date - $1::integer
        order by day desc, failures desc, reported_by, client_id, reason, network";
    let rows: Vec<Row> = sqlx::query_as(query).bind(integer(days)).fetch_all(database.reports()).await?;
    let failures = |(day, reported_by, client_id, reason, network, failures, users): Row| Failures {
        day,
        reported_by,
        client_id,
        reason,
        network,
        failures,
        users,
    };
    Ok(rows.into_iter().map(failures).collect())
}

/// At most `limit` users whose sign-ins failed within `days` days, those with most failures first.
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn failing_users(
    database: &Database,
    days: u32,
    limit: u32,
) -> Result<Vec<FailingUser>, sqlx::Error> {
    type Row = (Uuid, String, i64, OffsetDateTime, OffsetDateTime, i64);
    let query = "select user_id, reported_by, failures, first_at, last_at, networks from report_failing_users
        where last_at > now() - make_interval(days => $1) order by failures desc, user_id, reported_by limit $2";
    let query = sqlx::query_as(query).bind(integer(days)).bind(i64::from(limit));
    let rows: Vec<Row> = query.fetch_all(database.reports()).await?;
    let user = |(user_id, reported_by, failures, first, last, networks): Row| {
        let (first_at, last_at) = (Timestamp::from(first), Timestamp::from(last));
        FailingUser { user_id, reported_by, failures, first_at, last_at, networks }
    };
    Ok(rows.into_iter().map(user).collect())
}

/// Logins of the last `days` days by client, beside what others recorded, newest first; at most [`MAX_DAYS`].
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn recorded(database: &Database, days: u32) -> Result<Vec<Recorded>, sqlx::Error> {
    type Row = (Date, Option<String>, i64, i64, i64, i64);
    let query = "select day, client_id, logins, cloudtrail, threat_protection, application from report_audit
        where day > (now() at time zone 'utc')::date - $1::integer order by day desc, logins desc, client_id";
    let rows: Vec<Row> = sqlx::query_as(query).bind(integer(days)).fetch_all(database.reports()).await?;
    let recorded = |(day, client_id, logins, cloudtrail, threat_protection, application): Row| Recorded {
        day,
        client_id,
        logins,
        cloudtrail,
        threat_protection,
        application,
    };
    Ok(rows.into_iter().map(recorded).collect())
}

/// Sign-in retention of the last `weeks` weeks' users, oldest first; at most [`MAX_WEEKS`].
///
/// # Errors
/// When the database cannot be asked, or the role may not read the view.
pub async fn retention(database: &Database, weeks: u32) -> Result<Vec<Retention>, sqlx::Error> {
    type Row = (Date, i32, i64, Option<i64>);
    let query = "select cohort_week, week_number, cohort_users, signed_in_users from report_retention
        where cohort_week > (now() at time zone 'utc')::date - 7 * $1::integer order by 1, 2";
    let rows: Vec<Row> = sqlx::query_as(query).bind(integer(weeks)).fetch_all(database.reports()).await?;
    let retention = |(cohort_week, week_number, cohort_users, signed_in_users)| Retention {
        cohort_week,
        week_number,
        cohort_users,
        signed_in_users,
    };
    Ok(rows.into_iter().map(retention).collect())
}

/// Bars of eight heights, one a number, the greatest of them full; a blank is none at all.
#[must_use]
pub fn sparkline(numbers: &[i64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let greatest = numbers.iter().copied().max().unwrap_or(0).max(1);
    let bar = |number: &i64| match usize::try_from((*number * 8 - 1).div_euclid(greatest)) {
        Ok(height) if *number > 0 => BARS.get(height).copied().unwrap_or('█'),
        Ok(_) | Err(_) => ' ',
    };
    numbers.iter().map(bar).collect()
}

fn integer(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn as_text<S: serde::Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_fills_the_greatest_and_leaves_nothing_blank() {
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 0]), "  ");
        assert_eq!(sparkline(&[1, 2, 3, 4, 5, 6, 7, 8]), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[0, 1, 1_000, 500]), " ▁█▄");
    }
}
