//! Plans that were started, and how far they are: the latest note of a task counts. Must not know what a task does.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::{Database, Transaction};
use crate::store::console::plans::TOO_OLD_MINUTES;
use crate::store::console::trail::{self, Deed, Did};
use crate::store::console::{begin, bounded_if_any, in_time};

/// After how long without a note a task has nobody who does it.
pub const STOPPED_AFTER: Duration = Duration::from_secs(30);

/// Most tasks that [`latest`] answers.
pub const MAX_LATEST: i64 = 50;

/// What came of starting a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The task is begun.
    Begun(Uuid),
    /// Somebody started it before: this is its task.
    Already(Uuid),
    /// It is too old, or there is none.
    Old,
}

/// How a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// Everything is done.
    Done,
    /// Somebody cancelled it.
    Cancelled,
    /// It ended early.
    Failed,
    /// It has no end, and nobody does it any more.
    Stopped,
}

/// How far a task is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// Pieces that are behind it.
    pub done: u64,
    /// All pieces, where that is known.
    pub total: Option<u64>,
    /// What became of them, in their order: an array of pairs.
    pub counts: Vec<(String, u64)>,
}

/// A task as it is in the tables.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its id.
    pub id: Uuid,
    /// The plan that was started.
    pub plan: Uuid,
    /// When it began.
    pub at: Timestamp,
    /// Who started it.
    pub who: String,
    /// Why.
    pub reason: Option<String>,
    /// At most so many a second.
    pub rate: u32,
    /// What is done: a word.
    pub kind: String,
    /// What it is about.
    pub scope: Value,
    /// How many it is about.
    pub count: u64,
    /// How it is.
    pub state: State,
    /// How far it is.
    pub note: Note,
    /// When that was noted.
    pub noted_at: Timestamp,
    /// The class of what ended it early.
    pub error: Option<String>,
    /// Who cancelled it.
    pub cancelled_by: Option<String>,
}

/// Starts a plan: of two who do, one begins its task. Writes down that it was started, with `what`.
///
/// # Errors
/// When it is not known to be written: nothing may be done then.
pub async fn start(
    primary: &Database,
    plan: Uuid,
    who: &str,
    what: &str,
    reason: Option<&str>,
    rate: u32,
) -> Result<Start, sqlx::Error> {
    let task = Uuid::now_v7();
    let deed = Deed {
        who: who.to_owned(),
        did: Did::Started,
        what: Some(what.to_owned()),
        reason: reason.map(str::to_owned),
        result: None,
    };
    in_time(async {
        let mut tx = begin(primary).await?;
        let query = "insert into user_sync_console_tasks (id, plan, who, reason, rate)
            select $1, id, $3, $4, $5 from user_sync_console_plans
            where id = $2 and at >= clock_timestamp() - make_interval(mins => $6)
            on conflict (plan) do nothing";
        let query =
            sqlx::query(query).bind(task).bind(plan).bind(trail::name(who)).bind(bounded_if_any(reason));
        let query = query.bind(i32::try_from(rate).unwrap_or(i32::MAX)).bind(TOO_OLD_MINUTES);
        if query.execute(&mut tx).await?.rows_affected() == 0 {
            let query =
                sqlx::query_scalar("select id from user_sync_console_tasks where plan = $1").bind(plan);
            let task: Option<Uuid> = query.fetch_optional(&mut tx).await?;
            tx.rollback().await?;
            return Ok(task.map_or(Start::Old, Start::Already));
        }
        insert_note(&mut tx, task, "running", &Note::default(), None).await?;
        trail::add(&mut tx, &deed).await?;
        tx.commit().await?;
        Ok(Start::Begun(task))
    })
    .await
}

async fn insert_note(
    tx: &mut Transaction,
    task: Uuid,
    state: &str,
    note: &Note,
    error: Option<&str>,
) -> Result<u64, sqlx::Error> {
    let query = "insert into user_sync_console_task_notes (task, id, state, done, total, counts, error)
        values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing";
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let query = sqlx::query(query).bind(task).bind(Uuid::now_v7()).bind(state).bind(number(note.done));
    let query = query.bind(note.total.map(number)).bind(Json(&note.counts)).bind(error);
    Ok(query.execute(tx).await?.rows_affected())
}

/// Notes how far a task is: whoever does it does so at least every few seconds, or it counts as stopped. Says whether somebody
/// cancelled it.
///
/// # Errors
/// When it is not known to be written.
pub async fn note(primary: &Database, task: Uuid, note: &Note) -> Result<bool, sqlx::Error> {
    in_time(async {
        let mut tx = begin(primary).await?;
        insert_note(&mut tx, task, "running", note, None).await?;
        let is_cancelled = is_cancelled(&mut tx, task).await?;
        tx.commit().await?;
        Ok(is_cancelled)
    })
    .await
}

async fn is_cancelled(tx: &mut Transaction, task: Uuid) -> Result<bool, sqlx::Error> {
    let query =
        "select exists (select from user_sync_console_task_notes where task = $1 and state = 'cancel')";
    sqlx::query_scalar(query).bind(task).fetch_one(tx).await
}

/// Whether somebody cancelled a task, which another console may be doing.
///
/// # Errors
/// When the database cannot be asked.
pub async fn asked_to_cancel(primary: &Database, task: Uuid) -> Result<bool, sqlx::Error> {
    let query =
        "select exists (select from user_sync_console_task_notes where task = $1 and state = 'cancel')";
    sqlx::query_scalar(query).bind(task).fetch_one(primary.pages()).await
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<'a> {
    /// Everything is done.
    Done,
    /// Somebody cancelled it.
    Cancelled,
    /// It ended early, by this class of failure: small letters, digits, blanks and dots.
    Failed(&'a str),
}

/// Notes the end of a task, once, and writes it down as `deed`.
///
/// # Errors
/// When it is not known to be written.
pub async fn end(
    primary: &Database,
    task: Uuid,
    end: End<'_>,
    note: &Note,
    deed: &Deed,
) -> Result<(), sqlx::Error> {
    let (state, error) = match end {
        End::Done => ("done", None),
        End::Cancelled => ("cancelled", None),
        End::Failed(class) => ("failed", Some(class)),
    };
    in_time(async {
        let mut tx = begin(primary).await?;
        if insert_note(&mut tx, task, state, note, error).await? > 0 {
            trail::add(&mut tx, deed).await?;
        }
        tx.commit().await
    })
    .await
}

/// Asks whoever does a task to stop it, and writes that down as `deed`. Says whether it was asked for just now: a task that
/// ended, or was cancelled before, is left alone.
///
/// # Errors
/// When it is not known to be written.
pub async fn cancel(primary: &Database, task: Uuid, deed: &Deed) -> Result<bool, sqlx::Error> {
    in_time(async {
        let mut tx = begin(primary).await?;
        let query = "insert into user_sync_console_task_notes (task, id, state, who)
            select id, $2, 'cancel', $3 from user_sync_console_tasks
            where id = $1 and not exists (
                select from user_sync_console_task_notes
                where task = $1 and state in ('done', 'cancelled', 'failed'))
            on conflict do nothing";
        let query = sqlx::query(query).bind(task).bind(Uuid::now_v7()).bind(trail::name(&deed.who));
        let is_new = query.execute(&mut tx).await?.rows_affected() > 0;
        if is_new {
            trail::add(&mut tx, deed).await?;
        }
        tx.commit().await?;
        Ok(is_new)
    })
    .await
}

/// A task; `None` where there is none.
///
/// # Errors
/// When the database cannot be asked.
pub async fn one(database: &Database, task: Uuid) -> Result<Option<Seen>, sqlx::Error> {
    let query = sqlx::query(concat!(include_str!("tasks.sql"), " where task.id = $1")).bind(task);
    query.fetch_optional(database.pages()).await?.as_ref().map(read).transpose()
}

/// The tasks that were started last.
///
/// # Errors
/// When the database cannot be asked.
pub async fn latest(database: &Database) -> Result<Vec<Seen>, sqlx::Error> {
    let query = concat!(include_str!("tasks.sql"), " order by task.id desc limit $1");
    let rows = sqlx::query(query).bind(MAX_LATEST).fetch_all(database.pages()).await?;
    rows.iter().map(read).collect()
}

/// The tasks of one kind over just this scope, the latest first, that were started since so long ago; at most as many as
/// [`latest`].
///
/// # Errors
/// When the database cannot be asked.
pub async fn latest_of(
    database: &Database,
    kind: &str,
    scope: &Value,
    since: Duration,
) -> Result<Vec<Seen>, sqlx::Error> {
    let earliest = Timestamp::now().unix_millis().saturating_sub(millis(since));
    // The first 48 bits of an id are its time.
    let earliest = Uuid::from_u128(u128::from(earliest) << 80);
    let query = concat!(
        include_str!("tasks.sql"),
        " where task.id >= $2 and plan.kind = $3 and plan.scope = $4 order by task.id desc limit $1"
    );
    let query = sqlx::query(query).bind(MAX_LATEST).bind(earliest).bind(kind).bind(Json(scope));
    query.fetch_all(database.pages()).await?.iter().map(read).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn read(row: &PgRow) -> Result<Seen, sqlx::Error> {
    let time = |column| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::from);
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let count = |column| row.try_get::<Option<i64>, _>(column).map(|count| count.map(number));
    let (state, silent_seconds): (String, f64) = (row.try_get("state")?, row.try_get("silent_seconds")?);
    let state = match state.as_str() {
        "done" => State::Done,
        "cancelled" => State::Cancelled,
        "failed" => State::Failed,
        _ if silent_seconds > STOPPED_AFTER.as_secs_f64() => State::Stopped,
        _ => State::Running,
    };
    let counts: Option<Json<Vec<(String, u64)>>> = row.try_get("counts")?;
    let counts = counts.map(|Json(counts)| counts).unwrap_or_default();
    Ok(Seen {
        id: row.try_get("id")?,
        plan: row.try_get("plan")?,
        at: time("at")?,
        who: row.try_get("who")?,
        reason: row.try_get("reason")?,
        rate: u32::try_from(row.try_get::<i32, _>("rate")?).unwrap_or(1),
        kind: row.try_get("kind")?,
        scope: row.try_get::<Json<Value>, _>("scope")?.0,
        count: number(row.try_get("count")?),
        state,
        note: Note { done: count("done")?.unwrap_or(0), total: count("total")?, counts },
        noted_at: time("noted_at")?,
        error: row.try_get("error")?,
        cancelled_by: row.try_get("cancelled_by")?,
    })
}
