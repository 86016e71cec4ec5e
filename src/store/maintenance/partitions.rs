//! Keeps the ledger's partitions: makes months ahead, folds months past the retention into the baseline and
//! drops them. The numbers stay exact: a month's fold and its end are one transaction.

use std::fmt;
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};
use time::OffsetDateTime;
use uuid::Uuid;

pub use super::attempts::{Holder, PATIENCE};
use crate::postgres::{Database, Purpose, Transaction, quoted};
use crate::store::locks;
use crate::store::maintenance::attempts::Attempts;
use crate::store::tables::failure::{Failure, StoreError};
use crate::store::tables::groups;
use crate::store::tables::history::{History, merge_into_baseline};

/// Longer than any message can be on its way: SQS keeps one 14 days ("Amazon SQS message quotas").
pub const MIN_RETENTION_DAYS: u32 = 31;
/// More than a year, so that a year's events can be looked at.
pub const DEFAULT_RETENTION_DAYS: u32 = 400;
/// Months that stand ready.
pub const DEFAULT_MONTHS_AHEAD: u32 = 3;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Partitions that were made.
    pub created: Vec<String>,
    /// Partitions that were folded into the baseline and dropped, with their events.
    pub folded: Vec<(String, u64)>,
}

/// Why not everything was done. What was done before stays done.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// Somebody took a month out of the ledger.
    #[error("{0}; months were made ahead, and none was folded: {fix}", fix = .0.fix())]
    Detached(Detached),
    /// Somebody holds locks for so long that nothing can be changed.
    #[error(
        "{doing} was tried for {} s, and nothing of it is done: {holder}; wait until it has ended, or end it (select \
         pg_terminate_backend(…)), and run this again, at a time at which nobody reads the ledger for long",
        patience.as_secs()
    )]
    Starved {
        /// What was tried.
        doing: &'static str,
        /// How long.
        patience: Duration,
        /// Who is in the way.
        holder: String,
    },
    /// The database failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

impl MaintainError {
    /// What a run keeps of it: its class. `None` where it is the database's.
    #[must_use]
    pub const fn class(&self) -> Option<&'static str> {
        match self {
            Self::Detached(_) => Some("a month was detached"),
            Self::Starved { .. } => Some("somebody holds locks"),
            Self::Failed(_) => None,
        }
    }
}

/// What a run keeps of what was done to the ledgers of events and of records, and to runs of long ago.
#[must_use]
pub fn findings(events: &Maintained, records: &Maintained, forgotten: u64) -> Value {
    let folded = |done: &Maintained| done.folded.iter().map(|(_, events)| events).sum::<u64>();
    let [months_made, months_folded] =
        [events.created.len() + records.created.len(), events.folded.len() + records.folded.len()];
    json!({
        "months_made": months_made,
        "months_folded": months_folded,
        "events_folded": folded(events),
        "contexts_folded": folded(records),
        "runs_forgotten": forgotten,
    })
}

/// What may stop one attempt.
pub(super) enum Stop {
    /// For good.
    End(MaintainError),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes partitions up to `months_ahead` and folds those that ended `retention_days` before `now`.
///
/// Needs the rights of `user_sync_owner`. Idempotent; safe to run from several places at once and under load, since each
/// month is one transaction under one lock. Nobody waits for it longer than for a moment. Dropping the future leaves whole
/// months done or not.
///
/// # Errors
/// When a month could not be had for [`PATIENCE`], and when one was taken out of the ledger; what was done before stays.
pub async fn maintain(
    database: &Database,
    months_ahead: u32,
    retention_days: u32,
    now: Timestamp,
    progress: impl Fn(&str, u64),
) -> Result<Maintained, MaintainError> {
    maintain_within(database, PATIENCE, months_ahead, retention_days, now, progress).await
}

/// The same, with another patience.
///
/// # Errors
/// As [`maintain`].
pub async fn maintain_within(
    database: &Database,
    patience: Duration,
    months_ahead: u32,
    retention_days: u32,
    now: Timestamp,
    progress: impl Fn(&str, u64),
) -> Result<Maintained, MaintainError> {
    let make = async |tx: &mut Transaction| Ok(make_months(tx, months_ahead).await?);
    let created = patiently(database, MAKING, &TABLES, patience, make).await?;
    let mut maintained = Maintained { created, folded: Vec::new() };
    let horizon = horizon(retention_days, now);
    let fold = async |tx: &mut Transaction| fold_oldest(tx, horizon, patience, &progress).await;
    while let Some(folded) = patiently(database, FOLDING, &TABLES, patience, fold).await? {
        maintained.folded.push(folded);
    }
    let forget = async |tx: &mut Transaction| Ok(groups::forget_ended(tx).await?);
    patiently(database, FORGETTING, &TABLES, patience, forget).await?;
    Ok(maintained)
}

/// Before which moment a month must have ended to be folded.
pub(super) fn horizon(retention_days: u32, now: Timestamp) -> OffsetDateTime {
    let days = u64::from(retention_days.max(MIN_RETENTION_DAYS));
    OffsetDateTime::from(now) - Duration::from_secs(days * 24 * 60 * 60)
}

const MAKING: &str = "making months ahead";
const FOLDING: &str = "folding the oldest month";
const FORGETTING: &str = "forgetting memberships of groups that ended before the oldest month";

/// Does something in a transaction of its own, and again as long as others hold locks. It locks `tables` first.
pub(super) async fn patiently<T>(
    database: &Database,
    doing: &'static str,
    tables: &[&str],
    patience: Duration,
    attempt: impl AsyncFn(&mut Transaction) -> Result<T, Stop>,
) -> Result<T, MaintainError> {
    let mut attempts = Attempts::new(patience);
    loop {
        match once(database, doing, tables, &mut attempts, &attempt).await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => {}
            Err(Stop::End(error)) => return Err(error),
            Err(Stop::Failed(failure)) => return Err(StoreError::when(doing)(failure).into()),
        }
    }
}

/// One attempt; `None` where others hold locks, and it is time for the next one.
async fn once<T>(
    database: &Database,
    doing: &'static str,
    tables: &[&str],
    attempts: &mut Attempts,
    attempt: &impl AsyncFn(&mut Transaction) -> Result<T, Stop>,
) -> Result<Option<T>, Stop> {
    let mut tx = database.begin(Purpose::Command).await?;
    sqlx::raw_sql(AssertSqlSafe(attempts.limit())).execute(&mut tx).await?;
    match attempt(&mut tx).await {
        Ok(done) => {
            tx.commit().await?;
            return Ok(Some(done));
        }
        Err(Stop::Failed(failure)) if failure.may_pass(true) => tx.rollback().await?,
        Err(stop) => return Err(stop),
    }
    let mut tx = database.begin(Purpose::Question).await?;
    if !attempts.again(&mut tx, tables, true).await? {
        return Err(Stop::End(starved(attempts, &mut tx, doing).await?));
    }
    tx.rollback().await?;
    Ok(None)
}

/// What is locked before a month's own table.
const TABLES: [&str; 2] = ["user_events", "user_event_partitions"];

async fn starved(
    attempts: &Attempts,
    tx: &mut Transaction,
    doing: &'static str,
) -> Result<MaintainError, sqlx::Error> {
    let holder = attempts.holder(tx).await?;
    let holder =
        holder.map_or_else(|| "many hold locks on the ledger, in turn".to_owned(), |it| it.to_string());
    Ok(MaintainError::Starved { doing, patience: attempts.patience, holder })
}

async fn make_months(tx: &mut Transaction, months_ahead: u32) -> Result<Vec<String>, sqlx::Error> {
    let ahead = i32::try_from(months_ahead).unwrap_or(i32::MAX);
    sqlx::query_scalar("select user_event_create_partitions(0, $1)").bind(ahead).fetch_all(tx).await
}

/// Folds and drops the oldest month if it ended before `horizon`; `None` where it did not.
async fn fold_oldest(
    tx: &mut Transaction,
    horizon: OffsetDateTime,
    patience: Duration,
    progress: &impl Fn(&str, u64),
) -> Result<Option<(String, u64)>, Stop> {
    // One `maintain` at a time; readers of the bounds go on.
    sqlx::query("lock table user_event_partitions in share row exclusive mode").execute(&mut *tx).await?;
    // Without one, the others must not be folded: whoever made months again would make the later ones anew, and empty.
    refuse_detached(tx, &["user_events"]).await?;
    let oldest = "select name, lower, upper from user_event_partitions where upper <= user_event_bound($1) order by lower limit 1";
    let oldest: Option<(String, Uuid, Uuid)> =
        sqlx::query_as(oldest).bind(horizon).fetch_optional(&mut *tx).await?;
    let Some((name, lower, upper)) = oldest else { return Ok(None) };
    // No event enters the month from here on. Whoever applies one does not wait for it, but tries again later; the second
    // lock is for those that do not ask for the first.
    locks::lock_month(tx, locks::MONTHS, locks::month_of(time_of(lower))).await?;
    let lock = format!("lock table {} in exclusive mode", quoted(&name));
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *tx).await?;
    let events = fold(tx, &name, progress).await?;
    groups::fold_month(tx, lower, upper).await?;
    sqlx::query("delete from user_event_partitions where name = $1").bind(&name).execute(&mut *tx).await?;
    drop_tables(tx, &["user_events"], &[&name], patience).await?;
    Ok(Some((name, events)))
}

/// The time of a month's first id.
pub(super) fn time_of(lower: Uuid) -> Timestamp {
    Timestamp::from_unix_millis(u64::try_from(lower.as_u128() >> 80).unwrap_or(u64::MAX))
}

async fn fold(tx: &mut Transaction, name: &str, progress: &impl Fn(&str, u64)) -> Result<u64, sqlx::Error> {
    sqlx::query("set local lock_timeout = '5s'").execute(&mut *tx).await?;
    let declare = format!(
        "declare history no scroll cursor for
            select user_id, id, type, user_pool_id, data, null::jsonb as state, null::jsonb as claims
            from {} order by user_id",
        quoted(name)
    );
    let mut history = History::open(tx, AssertSqlSafe(declare).into_sql_str()).await?;
    loop {
        let users = history.next(tx).await?;
        if users.is_empty() {
            return Ok(history.events);
        }
        let deltas = users.into_iter().filter_map(|(id, told)| Some((id, told.delta?)));
        merge_into_baseline(tx, deltas.collect()).await?;
        progress(name, history.events);
    }
}

/// Drops a month that is folded: its tables, each of another one. A drop waits for everybody who reads these, and everybody
/// waits behind it: so it is tried for a moment only, again and again, and what was folded is kept meanwhile.
pub(super) async fn drop_tables(
    tx: &mut Transaction,
    of: &[&str],
    names: &[&str],
    patience: Duration,
) -> Result<(), Stop> {
    let mut attempts = Attempts::new(patience);
    let list = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    loop {
        let drop = format!("savepoint folded; {}; drop table {list}", attempts.limit());
        let failure = match sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *tx).await {
            Ok(_) => return Ok(()),
            Err(error) => Failure::from(error),
        };
        if !failure.may_pass(true) {
            return Err(Stop::Failed(failure));
        }
        sqlx::raw_sql("rollback to savepoint folded").execute(&mut *tx).await?;
        if !attempts.again(tx, &[of, names].concat(), false).await? {
            return Err(Stop::End(
                starved(&attempts, tx, "dropping the oldest month, which is folded,").await?,
            ));
        }
    }
}

/// A month that somebody took out of the ledger, by `alter table user_events detach partition` for example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    of: String,
    name: String,
    lower: Uuid,
    upper: Uuid,
    is_there: bool,
    is_half_out: bool,
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, name, is_there, .. } = self;
        let found = match is_there {
            true => format!("is no partition of {of} any more"),
            false => "is not there".to_owned(),
        };
        let whose = if of == "user_events" { "its events" } else { "records of it" };
        write!(f, "the ledger's month {name} {found}: {whose} return to the queue, and verify misses them")
    }
}

impl Detached {
    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        let Self { of, name, lower, upper, .. } = self;
        let name = quoted(name);
        let first = match (self.is_there, self.is_half_out) {
            (true, true) => {
                format!("end what was begun (`alter table {of} detach partition {name} finalize`) and ")
            }
            (true, false) => String::new(),
            (false, _) => format!("restore the table {name} and "),
        };
        format!(
            "{first}attach it again, as a member of user_sync_owner: `alter table {of} attach partition {name} for \
             values from ('{lower}') to ('{upper}')`; to give its events up, see docs/runbook.md (A month was detached)"
        )
    }
}

/// The months that somebody took out of the ledgers, the oldest first: of events, then of records.
///
/// # Errors
/// When the database cannot be read.
pub async fn detached_months(
    questions: impl sqlx::Executor<'_, Database = sqlx::Postgres>,
) -> Result<Vec<Detached>, sqlx::Error> {
    let months: Vec<(String, String, Uuid, Uuid, bool, bool)> =
        sqlx::query_as(include_str!("detached_months.sql")).fetch_all(questions).await?;
    let detached = |(of, name, lower, upper, is_there, is_half_out)| Detached {
        of,
        name,
        lower,
        upper,
        is_there,
        is_half_out,
    };
    Ok(months.into_iter().map(detached).collect())
}

/// The first month that somebody took out of these ledgers, as an end of what would change their months.
pub(super) async fn refuse_detached(tx: &mut Transaction, of: &[&str]) -> Result<(), Stop> {
    match detached_months(tx).await?.into_iter().find(|month| of.contains(&month.of.as_str())) {
        Some(detached) => Err(Stop::End(MaintainError::Detached(detached))),
        None => Ok(()),
    }
}
