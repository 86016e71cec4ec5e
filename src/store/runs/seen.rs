//! Runs as whoever looks sees them. Reads by an index, and a bounded number of rows.

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::Database;
use crate::store::runs::{MAX_RUNS, What};

/// After how many minutes without a sign of life a run without an end has stopped: several of those that it gives.
pub const STOPPED_AFTER_MINUTES: i32 = 5;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its id.
    pub id: Uuid,
    /// What ran.
    pub what: What,
    /// How it is, when it was looked at.
    pub state: State,
    /// Who started it: for whom, or else the login that it ran as.
    pub started_by: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last gave a sign of life.
    pub progressed_at: Timestamp,
    /// Over how many it went: users, events, logins.
    pub done: u64,
    /// Of about how many.
    pub total: Option<u64>,
    /// When it ended, if it did.
    pub ended_at: Option<Timestamp>,
    /// Over what: an object.
    pub scope: Value,
    /// What it found: an object. None where it did not come to its end.
    pub findings: Option<Value>,
    /// The class of what ended it early.
    pub error: Option<String>,
}

/// How a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It came to its end.
    Ended,
    /// It ended early, and said why.
    Failed,
    /// It goes on.
    Running,
    /// It has no end, and gives no sign of life: somebody killed it, or it lost the database.
    Stopped,
}

impl State {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }
}

impl Seen {
    /// How much it found that is not as it should be: 0 is well. None where it did not come to its end, or does not compare.
    #[must_use]
    pub fn found(&self) -> Option<u64> {
        self.count(&["found"])
    }

    /// How much of it is still not as it should be: after a repair, what it did not mend.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.count(&["left"]).or_else(|| self.found())
    }

    /// What it found by kind, those of which there are any, most first.
    #[must_use]
    pub fn kinds(&self) -> Vec<(&str, u64)> {
        let kinds = self.findings.as_ref().and_then(|findings| findings.get("kinds")?.as_object());
        let counts =
            kinds.into_iter().flatten().filter_map(|(kind, count)| Some((kind.as_str(), count.as_u64()?)));
        let mut counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        counts.sort_by(|(left_kind, left), (right_kind, right)| {
            right.cmp(left).then(left_kind.cmp(right_kind))
        });
        counts
    }

    /// A count of its findings by this name, such as `requests.list_users`.
    #[must_use]
    pub fn count(&self, path: &[&str]) -> Option<u64> {
        path.iter().try_fold(self.findings.as_ref()?, |value, name| value.get(name))?.as_u64()
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |column| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::from);
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        let what: String = row.try_get("what")?;
        // A newer program's kind is not in this one's questions.
        let what =
            What::parse(&what).ok_or_else(|| sqlx::Error::Decode("user_sync_runs.what is no kind".into()))?;
        let (ended_at, error) =
            (row.try_get::<Option<OffsetDateTime>, _>("ended_at")?, row.try_get("error")?);
        let state = match (ended_at, &error) {
            (Some(_), Option::<String>::Some(_)) => State::Failed,
            (Some(_), None) => State::Ended,
            (None, _) if row.try_get("is_silent")? => State::Stopped,
            (None, _) => State::Running,
        };
        Ok(Self {
            id: row.try_get("id")?,
            what,
            state,
            started_by: row.try_get("started_by")?,
            started_at: time("started_at")?,
            progressed_at: time("progressed_at")?,
            done: count(row.try_get("done")?),
            total: row.try_get::<Option<i64>, _>("total")?.map(count),
            ended_at: ended_at.map(Timestamp::from),
            scope: row.try_get("scope")?,
            findings: row.try_get("findings")?,
            error,
        })
    }
}

/// The latest run of each kind that ever ran, in the order of [`What::ALL`].
///
/// # Errors
/// When the database cannot be asked, or its schema is older.
pub async fn latest(database: &Database) -> Result<Vec<Seen>, sqlx::Error> {
    let query = sqlx::query(include_str!("latest.sql"));
    let query = query.bind(What::ALL.map(What::as_str).to_vec()).bind(STOPPED_AFTER_MINUTES);
    query.fetch_all(database.pages()).await?.iter().map(Seen::read).collect()
}

/// The runs of one kind that began in the last `days` days, newest first; at most [`MAX_RUNS`].
///
/// # Errors
/// When the database cannot be asked, or its schema is older.
pub async fn history(database: &Database, what: What, days: u32) -> Result<Vec<Seen>, sqlx::Error> {
    let query = sqlx::query(include_str!("history.sql")).bind(what.as_str());
    let query =
        query.bind(STOPPED_AFTER_MINUTES).bind(i32::try_from(days).unwrap_or(i32::MAX)).bind(MAX_RUNS);
    query.fetch_all(database.pages()).await?.iter().map(Seen::read).collect()
}

/// One run, if it is there.
///
/// # Errors
/// When the database cannot be asked, or its schema is older.
pub async fn one(database: &Database, id: Uuid) -> Result<Option<Seen>, sqlx::Error> {
    let query = sqlx::query(include_str!("one.sql")).bind(id).bind(STOPPED_AFTER_MINUTES);
    query.fetch_optional(database.pages()).await?.as_ref().map(Seen::read).transpose()
}
