//! Audits the day that ended an hour ago: whether the ledger has the sign-ins that others recorded. Changes nothing. Must not
//! know what goes with what.

use std::time::{Duration, Instant};

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::cognito::triggers::{self, Parameter};
use crate::config::{ConfigError, DatabaseConfig, Environment};
use crate::postgres::{self, DatabaseError};
use crate::store::maintenance::audit::{self, Audited, Away, MANAGED_LOGIN_CLIENTS, Question, Reason};
use crate::store::runs::{Run, What, class_of};

/// The time that is reserved for the answer and the metrics.
const RESERVE: Duration = Duration::from_secs(5);

/// How long ago the audited day ended: what is late has come by then.
const ENDED_AGO_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;

/// It is not known whether logins were missed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The function is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be connected to.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The comparison failed.
    #[error("the logins cannot be compared with the records of sign-ins")]
    Audit(#[from] audit::Error),
    /// There is more than the function's timeout allows.
    #[error(
        "the logins of a day were not compared in the time that the function has: give it more, or run `user-sync audit` as a \
         task of its own"
    )]
    TooLong,
}

/// Audits, and records how many sign-ins are unaccounted for. The same moment asked twice is answered twice.
pub(super) async fn audit(deadline: Instant) -> Result<Value, AuditError> {
    let until = deadline.checked_sub(RESERVE).unwrap_or(deadline);
    let audited = compare();
    match tokio::time::timeout(until.saturating_duration_since(Instant::now()), audited).await {
        Ok(audited) => audited,
        Err(_) => Err(AuditError::TooLong),
    }
}

async fn compare() -> Result<Value, AuditError> {
    let environment = Environment::process();
    let to = Timestamp::now().unix_millis().saturating_sub(ENDED_AGO_MS);
    let (from, to) = (to.saturating_sub(DAY_MS), to);
    let (from, to) = (Timestamp::from_unix_millis(from), Timestamp::from_unix_millis(to));
    let clients = environment.optional(MANAGED_LOGIN_CLIENTS)?.unwrap_or_default();
    let managed_login_clients =
        clients.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect();
    let away = match environment.optional(triggers::VARIABLE)? {
        Some(name) => away(name).await,
        None => Vec::new(),
    };
    let database = postgres::connect(&DatabaseConfig::from_env()?, 1).await?;
    let question = Question { from, to, away, managed_login_clients };
    // One that runs out of time is cancelled, and stops without an end.
    let run =
        Run::begin(&database, What::Audit, json!({ "from": from, "to": to, "by_schedule": true })).await;
    let audited = audit::audit(&database, &question, |_| {}, |logins| run.progress(logins, None)).await;
    match &audited {
        Ok(audited) => {
            run.progress(audited.total.logins, Some(audited.total.logins));
            run.end(audited.findings()).await;
        }
        Err(error) => run.fail(&class_of(error)).await,
    }
    let audited = audited?;
    database.close().await;
    Ok(answer(&question, &audited))
}

/// When the pool did not call the trigger. Where that cannot be read, its sign-ins count as lost.
async fn away(parameter: String) -> Vec<Away> {
    match Parameter::new(parameter).await.read().await {
        Ok(notes) => notes.gaps().iter().map(|gap| Away { from: gap.from, until: gap.until }).collect(),
        Err(error) => {
            tracing::warn!(%error, "it is not known when the triggers were away: sign-ins of then count as lost");
            Vec::new()
        }
    }
}

fn answer(question: &Question, audited: &Audited) -> Value {
    let unaccounted = audited.unaccounted();
    // Without a witness nothing is known, and 0 would say otherwise.
    if !audited.reporters.is_empty() {
        record(unaccounted);
    }
    let reporters = audited.total.reporters.iter().map(|(reporter, own)| {
        let reasons = Reason::ALL.into_iter().map(|reason| (reason.as_str(), own.left_over(reason)));
        let left_over = reasons.map(|(reason, count)| (reason.to_owned(), json!(count))).collect();
        let counts =
            json!({ "successes": own.successes, "paired": own.paired, "oneSided": Value::Object(left_over) });
        (reporter.as_str().to_owned(), counts)
    });
    let logins = audited.total.logins;
    tracing::info!(audit.logins = logins, audit.unaccounted = unaccounted, "audited the logins");
    json!({
        "from": question.from, "to": question.to, "logins": logins, "unaccounted": unaccounted,
        "reporters": Value::Object(reporters.collect()),
    })
}

/// Metrics are doubles, which are exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact for every count there can be")]
fn record(unaccounted: u64) {
    metrics::histogram!("logins_unaccounted").record(unaccounted as f64);
}
