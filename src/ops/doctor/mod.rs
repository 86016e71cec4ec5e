//! Checks a deployment: each check says what it found, and what to do about it. Reads only; must not know how a check is
//! shown.
//!
//! All checks run, even if others fail, and each question has [`TIMEOUT`].

mod database;
mod flow;
pub mod grants;
mod hold;
mod ledger;
mod neighbours;
mod obstacles;
mod queue;
mod recorded;
mod replicas;
mod session;
mod triggers;
mod writes;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::config::{ConfigError, DatabaseConfig};
use crate::logging::causes;
use crate::postgres::Database;

/// How long one question may take, since a server may hang.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What is examined. What is missing is skipped, and the check says what to set.
#[derive(Debug)]
pub struct Options {
    /// The database, or why there is none.
    pub database: Result<DatabaseConfig, ConfigError>,
    /// The queue.
    pub queue_url: Option<String>,
    /// The dead-letter queue.
    pub dlq_url: Option<String>,
    /// The queue of records of sign-ins.
    pub context_queue_url: Option<String>,
    /// Its dead-letter queue.
    pub context_dlq_url: Option<String>,
    /// The user pool; several are separated by commas.
    pub user_pool_id: Option<String>,
    /// Whether the consumer accepts the events of every user pool.
    pub accepts_every_pool: bool,
    /// Whether Cognito is asked; else the pool's lines say what heartbeats last told.
    pub asks_cognito: bool,
    /// The function that both triggers must name, or one for each Region, separated by commas; without it they must name
    /// the same one.
    pub trigger_arn: Option<String>,
    /// The parameter that has the hold on the triggers of the first pool.
    pub triggers_parameter: Option<String>,
    /// The consumer function's timeout, in seconds.
    pub consumer_timeout_seconds: u32,
    /// The age from which the latest heartbeat is too old, in minutes.
    pub max_heartbeat_age_minutes: u32,
}

/// A part of the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// The server, its roles, grants and migrations.
    Database,
    /// The ledger's months.
    Ledger,
    /// The queue and its dead-letter queue.
    Queue,
    /// The user pool's triggers.
    Pool,
    /// What arrives.
    Flow,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "database",
            Self::Ledger => "ledger",
            Self::Queue => "queue",
            Self::Pool => "pool",
            Self::Flow => "flow",
        })
    }
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, but should be changed.
    Warning,
    /// It does not work, or will not for long.
    Failed,
    /// It could not be checked.
    Skipped,
}

/// One line: what was looked at, what was found, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The part of the deployment.
    pub section: Section,
    /// What was looked at.
    pub name: &'static str,
    /// How it went.
    pub status: Status,
    /// What was found. Holds no secret and nobody's data.
    pub found: String,
    /// What to do, unless all is well.
    pub fix: Option<String>,
}

/// A check's answer, without its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    status: Status,
    found: String,
    fix: Option<String>,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self { status: Status::Ok, found: found.into(), fix: None }
    }

    fn warning(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    fn failed(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Failed, found: found.into(), fix: Some(fix.into()) }
    }

    fn skipped(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Skipped, found: found.into(), fix: Some(fix.into()) }
    }

    /// As a line of the answer.
    fn named(self, section: Section, name: &'static str) -> Check {
        let Self { status, found, fix } = self;
        Check { section, name, status, found, fix }
    }
}

/// Runs all checks, in the order of the sections. Never fails: a check that cannot run says so.
pub async fn examine(options: &Options) -> Vec<Check> {
    let (tables, (queues, records), pools) = tokio::join!(
        Box::pin(examine_tables(options)),
        Box::pin(queue::Queues::read(options)),
        Box::pin(examine_pools(options)),
    );
    let (mut checks, arrived, recorded) = tables;
    checks.extend(queues.examine(records.as_ref(), options, arrived));
    checks.extend(pools.unwrap_or_else(|| recorded::examine(options, &recorded)));
    checks.sort_by_key(|check| check.section);
    checks
}

/// The checks of what does not change by itself: the server, its schema and grants, and how the two queues are set up. Tries
/// no write and asks no pool. Never fails, as [`examine`].
pub async fn examine_settings(
    database: &Database,
    queue_url: Option<&str>,
    dlq_url: Option<&str>,
    consumer_timeout_seconds: u32,
) -> Vec<Check> {
    let ((mut checks, _), queues) = tokio::join!(
        Box::pin(database::examine(Some(database))),
        Box::pin(queue::Queues::settings(queue_url, dlq_url, consumer_timeout_seconds)),
    );
    checks.extend(queues);
    checks
}

/// The checks of the user pools; `None` where Cognito is not asked.
async fn examine_pools(options: &Options) -> Option<Vec<Check>> {
    if options.asks_cognito { Some(triggers::examine(options).await) } else { None }
}

/// What heartbeats told of the pools.
type Recorded = Result<Vec<recorded::Recorded>, Finding>;

/// The checks of the database, when the newest event or heartbeat that has arrived was sent, and what heartbeats told.
async fn examine_tables(options: &Options) -> (Vec<Check>, Option<flow::Arrived>, Recorded) {
    let (mut checks, reached) = database::reach(&options.database).await;
    let ((database, prefix), ledger, arrived, recorded) = tokio::join!(
        database::examine(reached.as_ref()),
        ledger::examine(reached.as_ref()),
        flow::Arrived::read(reached.as_ref()),
        recorded::read(reached.as_ref()),
    );
    checks.extend(database);
    checks.extend(ledger);
    writes::examine(reached.as_ref(), prefix, &mut checks).await;
    checks.extend(flow::examine(&arrived, options.max_heartbeat_age_minutes));
    (checks, arrived.ok(), recorded)
}

/// Waits for an answer of the database, no longer than [`TIMEOUT`].
async fn bounded<T>(question: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Finding> {
    match tokio::time::timeout(TIMEOUT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(unanswered(&error)),
        Err(_) => Err(Finding::failed(format!("no answer within {} s", TIMEOUT.as_secs()), BUSY)),
    }
}

/// A question that the database did not answer. Names the error's class and quotes no row.
fn unanswered(error: &sqlx::Error) -> Finding {
    let database_error = error.as_database_error();
    let message = database_error.map_or_else(|| causes(error), |error| error.message().to_owned());
    match database_error.and_then(|error| error.code()).as_deref() {
        // Insufficient privilege.
        Some("42501") => {
            Finding::skipped(message, "run it as a member of user_sync_consumer or user_sync_owner")
        }
        // No such table, function or schema.
        Some("42P01" | "42883" | "3F000" | "42703") => Finding::skipped(message, MIGRATE),
        // A lock or a statement took too long.
        Some("55P03" | "57014") => Finding::failed(message, BUSY),
        Some(_) | None => Finding::failed(message, "see whether the server is well, then run it again"),
    }
}

const MIGRATE: &str = "run `user-sync migrate` as a member of user_sync_owner";
const BUSY: &str = "look for locks and load on the server (pg_stat_activity)";
const UNREACHED: &str = "fix what the database's first line reports";

/// A duration in one unit: `40 s`, `12 min`, `5 h`, `3 days`.
fn human_duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}
