//! Checks for drift: `reconcile` without a repair, in as many calls as it takes. Must not change a row of anybody's or the pool.
//!
//! It asks Cognito itself, and the table by the function that `USER_SYNC_ROWS_FUNCTION` names, or else by its own connection.
//!
//! A pool that one call can walk is walked as a whole. A larger one is walked by ranges: a call that is not done answers
//! `unfinished`, which is the next call's payload. Only the last call counts what was found.

mod written;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cognito::reconcile::{self, Checkpoint, Phase, RangeWalk, Reconcile, Rows, Tally, Walked};
use crate::cognito::rows::{self, RowsFunction};
use crate::cognito::user_pool::{self, DRIFT_SHARE, PAGE_USERS, Requests, SETTLES_AFTER, UserPool};
use crate::config::{ConfigError, DatabaseConfig, Environment};
use crate::postgres::{self, DatabaseError};
use crate::store::runs::Run;

/// The time that is reserved for the answer and the metrics.
const RESERVE: Duration = Duration::from_secs(10);

/// The groups get a call of their own if this one has walked ranges and has less time left.
const GROUPS_TIME: Duration = Duration::from_secs(300);

/// The name of the variable that holds how often a check begins.
const INTERVAL_VARIABLE: &str = "USER_SYNC_DRIFT_INTERVAL_SECONDS";

/// How long all calls together may take at most. No schedule is longer.
const GIVEN_UP_AFTER: usize = 3 * 86_400;

/// How far in the future the beginning of a check may be: clocks differ.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(300);

/// The drift is not known.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// The function is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What an earlier call has answered cannot be read.
    #[error(
        "the payload's `drift` is not what an earlier call has answered; begin again with {{\"drift\":true}}"
    )]
    Payload(#[from] serde_json::Error),
    /// It is neither an order to begin nor what an earlier call has answered.
    #[error(
        "the payload's `drift` is neither true, which begins, nor an object that an earlier call of these days has answered \
         as `unfinished`; hand that over as it is, or begin again with {{\"drift\":true}}"
    )]
    NotAnswered,
    /// The next check begins, and two would share the quota.
    #[error(
        "compared {users} users in {seconds} s, and is not done: the next check begins by then. Let the check run less often \
         (its schedule and USER_SYNC_DRIFT_INTERVAL_SECONDS, 3 days at most), or run `user-sync reconcile --dry-run` as a task \
         of its own"
    )]
    TooLong {
        /// Users that were compared.
        users: u64,
        /// How long it might take.
        seconds: usize,
    },
    /// The database cannot be connected to.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The comparison failed.
    #[error("the pool and the table cannot be compared")]
    Reconcile(#[from] reconcile::Error),
    /// The checkpoint cannot be used.
    #[error("the checkpoint in {} cannot be used", .folder.display())]
    Checkpoint {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: reconcile::Error,
    },
    /// The user pool is too large for the function's timeout.
    #[error(
        "compared {users} of about {about} users in the time that the function has: give it more, or run \
         `user-sync reconcile --dry-run` as a task of its own"
    )]
    Unfinished {
        /// Users that were compared.
        users: u64,
        /// Users that there are.
        about: u64,
    },
}

/// What the function is called with: by the schedule, or with what an earlier call has answered.
#[derive(Debug, Deserialize)]
struct Payload {
    #[serde(default = "begin")]
    drift: Value,
}

/// Who invokes the function by hand gives no payload.
fn begin() -> Value {
    Value::Bool(true)
}

impl Payload {
    /// How far the check is; nowhere if it begins. Whatever else is no beginning: the answer would be handed over again.
    fn read(payload: &str, now: Timestamp) -> Result<Option<RangeWalk>, DriftError> {
        let Self { drift } = serde_json::from_str(payload)?;
        let walk: RangeWalk = match drift {
            Value::Bool(true) => return Ok(None),
            Value::Object(_) => serde_json::from_value(drift)?,
            Value::Null | Value::Bool(false) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(DriftError::NotAnswered);
            }
        };
        let ahead = walk.started_at.unix_millis().saturating_sub(now.unix_millis());
        if u128::from(ahead) > CLOCKS_DIFFER_BY.as_millis() {
            Err(DriftError::NotAnswered)
        } else {
            Ok(Some(walk))
        }
    }
}

/// Compares, and counts what a repair would change. Changes no row of anybody's, and writes down how it goes.
pub(super) async fn check(payload: &str, deadline: Instant) -> Result<Value, DriftError> {
    let walk = Payload::read(payload, Timestamp::now())?;
    let check = Check::new(deadline).await?;
    // Asked first: whoever answers is awake then, and writes down at once.
    let table = check.reconcile.check_table().await;
    let run = written::begin(&check.reconcile.rows, walk.as_ref(), check.reconcile.user_pool.id()).await;
    // Boxed: what is under way at once makes it large.
    let done = match table {
        Ok(()) => Box::pin(check.go_on(walk, &run)).await,
        Err(error) => Err(error.into()),
    };
    written::end(run, &done).await;
    Ok(done?.answer)
}

/// What a call answers, and what was found, if it is the last one.
struct Done {
    answer: Value,
    findings: Option<Value>,
}

/// The table, by whoever reaches it.
async fn rows() -> Result<Rows, DriftError> {
    match Environment::process().optional(rows::VARIABLE)? {
        Some(function) => Ok(Rows::Function(RowsFunction::new(function).await)),
        None => Ok(postgres::connect(&DatabaseConfig::from_env()?, 1).await?.into()),
    }
}

/// One call.
struct Check {
    reconcile: Reconcile,
    until: Instant,
    folder: PathBuf,
    /// After which time the next check begins, and this one gives up.
    interval: usize,
}

impl Check {
    async fn go_on(&self, walk: Option<RangeWalk>, run: &Run) -> Result<Done, DriftError> {
        if let Some(walk) = walk {
            return self.ranges(walk, run).await;
        }
        let (about, _) = self.reconcile.estimate().await?;
        if about.div_ceil(PAGE_USERS as u64) <= self.pages_at_most() {
            return self.whole(about, true, run).await;
        }
        tracing::info!(drift.about = about, "more users than one call can walk: they are compared by ranges");
        self.ranges(RangeWalk { run: run.id(), ..RangeWalk::of(about) }, run).await
    }

    async fn new(deadline: Instant) -> Result<Self, DriftError> {
        let user_pool_id = user_pool::configured("the user pool to compare with")?;
        let interval =
            Environment::process().number(INTERVAL_VARIABLE, GIVEN_UP_AFTER, 1..=GIVEN_UP_AFTER)?;
        let reconcile = Reconcile {
            user_pool: UserPool::new(user_pool_id.clone()).await.at_rate(DRIFT_SHARE),
            rows: rows().await?,
            publisher: None,
            settle: SETTLES_AFTER,
            claim_rows_without_pool: false,
            max_deletions: u64::MAX,
            groups: true,
        };
        let folder = std::env::temp_dir().join(format!("user-sync-drift-{user_pool_id}"));
        let until = deadline.checked_sub(RESERVE).unwrap_or(deadline);
        Ok(Self { reconcile, until, folder, interval })
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The pages that can be listed in half of the time: the other half is for what differs, the rows and the groups.
    fn pages_at_most(&self) -> u64 {
        self.left().as_secs() * u64::from(DRIFT_SHARE) / 2
    }

    fn open(&self, restart: bool) -> Result<Checkpoint, DriftError> {
        let failed = |source| DriftError::Checkpoint { folder: self.folder.clone(), source };
        let pool = self.reconcile.user_pool.id();
        Checkpoint::open(&self.folder, pool, self.reconcile.mode(), None, restart).map_err(failed)
    }

    /// Walks the whole pool. If that takes too long, the next call walks it by ranges; where the pool is not listed by these,
    /// the next call in the same sandbox goes on.
    async fn whole(&self, about: u64, by_ranges: bool, run: &Run) -> Result<Done, DriftError> {
        if self.left().is_zero() {
            return Err(DriftError::Unfinished { users: 0, about });
        }
        let mut checkpoint = self.open(by_ranges)?;
        let mut phase = Phase::Users;
        let report = |begun, tally: &Tally| {
            phase = begun;
            run.progress(tally.users, Some(about.max(tally.users)));
        };
        // Boxed: what is under way at once makes it large.
        let compared = Box::pin(self.reconcile.run(&mut checkpoint, report));
        match tokio::time::timeout(self.left(), compared).await {
            Ok(compared) => compared?,
            Err(_) if matches!(phase, Phase::Users | Phase::Rows) => {
                let users = checkpoint.tally().users;
                if !by_ranges {
                    return Err(DriftError::Unfinished { users, about });
                }
                checkpoint.remove()?;
                return self.unfinished(RangeWalk { run: run.id(), ..RangeWalk::of(about.max(users)) });
            }
            Err(_) => warn_of_groups(checkpoint.tally()),
        }
        let (tally, requests) = (checkpoint.tally().clone(), checkpoint.requests()?);
        checkpoint.remove()?;
        Ok(found(&tally, requests))
    }

    /// Walks range after range, and then the groups.
    async fn ranges(&self, mut walk: RangeWalk, run: &Run) -> Result<Done, DriftError> {
        let error = |tally: &Tally| DriftError::Unfinished { users: tally.users, about: tally.users };
        let age = Timestamp::now().unix_millis().saturating_sub(walk.started_at.unix_millis()) / 1_000;
        if age >= self.interval as u64 {
            return Err(DriftError::TooLong { users: walk.tally.users, seconds: self.interval });
        }
        let has_ranges = walk.next.is_some();
        let walked = self.reconcile.walk_ranges(&mut walk, self.until).await?;
        run.progress(walk.tally.users, None);
        match walked {
            Walked::Unfinished => self.unfinished(walk),
            Walked::TooLittleTime => Err(error(&walk.tally)),
            Walked::NotByRange => {
                tracing::warn!(
                    "Cognito does not list the users of a range as asked: the whole pool is walked"
                );
                let (about, _) = self.reconcile.estimate().await?;
                self.whole(about, false, run).await
            }
            Walked::Done if has_ranges && self.left() < GROUPS_TIME => self.unfinished(walk),
            Walked::Done => self.groups(walk).await,
        }
    }

    async fn groups(&self, walk: RangeWalk) -> Result<Done, DriftError> {
        let RangeWalk { tally, mut requests, .. } = walk;
        let mut checkpoint = self.open(true)?;
        let compared = Box::pin(self.reconcile.run_groups(&mut checkpoint, tally, |_, _| {}));
        let compared = tokio::time::timeout(self.left(), compared).await;
        let tally = checkpoint.tally().clone();
        // Also after an error: a walk of the whole pool would take it for its own.
        checkpoint.remove()?;
        match compared {
            Ok(compared) => compared?,
            Err(_) => warn_of_groups(&tally),
        }
        requests += self.reconcile.user_pool.requests();
        Ok(found(&tally, requests))
    }

    /// The answer of a call that is not done.
    fn unfinished(&self, mut walk: RangeWalk) -> Result<Done, DriftError> {
        walk.requests += self.reconcile.user_pool.requests();
        let (users, rows) = (walk.tally.users, walk.tally.rows);
        tracing::info!(drift.compared = users, "looked for drift in a part; the next call goes on");
        let answer = json!({ "compared": users, "rows": rows, "unfinished": serde_json::to_value(walk)? });
        Ok(Done { answer, findings: None })
    }
}

/// The users are compared: what is known is said.
fn warn_of_groups(tally: &Tally) {
    tracing::warn!(
        groups = tally.groups.walked,
        "not all groups were compared in the time that the function has: give it more, or run `user-sync reconcile \
         --dry-run` as a task of its own"
    );
}

/// The answer of the last call.
fn found(tally: &Tally, requests: Requests) -> Done {
    if let Some(left_out) = tally.groups.left_out {
        tracing::warn!(reason = left_out.as_str(), "{}", left_out.advice());
    }
    let in_groups = tally.groups.unexpected();
    let to_repair = tally.to_repair.saturating_sub(tally.only_created_at) + in_groups;
    record("drift", to_repair);
    record("drift_compared", tally.users);
    for (kind, users) in &tally.drift {
        tracing::info!(drift.kind = kind.as_str(), drift.users = users, "the pool and the table differ");
    }
    tracing::info!(
        drift.to_repair = to_repair,
        drift.groups = in_groups,
        drift.compared = tally.users,
        drift.requests = requests.list_users + requests.list_users_in_group,
        "looked for drift"
    );
    let answer =
        json!({ "toRepair": to_repair, "compared": tally.users, "rows": tally.rows, "requests": requests });
    Done { answer, findings: Some(reconcile::findings(tally, false, requests)) }
}

/// Metrics are doubles, which are exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact for every count there can be")]
fn record(name: &'static str, count: u64) {
    metrics::histogram!(name).record(count as f64);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_true_begins_and_only_what_was_answered_goes_on() {
        let now = Timestamp::now();
        for begins in [r#"{"drift":true}"#, "{}"] {
            assert!(Payload::read(begins, now).unwrap().is_none(), "{begins}");
        }
        let answered = serde_json::to_value(RangeWalk::of(7)).unwrap();
        let text = answered.to_string();
        for refused in [json!(text), json!(null), json!(false), json!(1), json!([answered]), json!("true")] {
            let error = Payload::read(&json!({ "drift": refused }).to_string(), now).unwrap_err();
            assert!(matches!(error, DriftError::NotAnswered), "{refused}: {error}");
        }
        let payload = json!({ "drift": answered }).to_string();
        assert!(Payload::read(&payload, now).unwrap().is_some());
        let earlier = |seconds: u64| Timestamp::from_unix_millis(now.unix_millis() - seconds * 1_000);
        assert!(Payload::read(&payload, earlier(200)).unwrap().is_some(), "clocks differ");
        assert!(matches!(Payload::read(&payload, earlier(400)), Err(DriftError::NotAnswered)));
    }
}
