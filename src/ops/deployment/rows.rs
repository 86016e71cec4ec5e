//! Answers questions about rows for functions that do not reach the database, and writes down how their runs go on. Changes no
//! row of anybody's, and asks nobody but the database. Must not know why it is asked.
//!
//! What a question says is personal data: it is in no error and in no log.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::config::{ConfigError, DatabaseConfig};
use crate::postgres::{self, Database, DatabaseError};
use crate::store::maintenance::drift::questions::{self, Question};

/// The time that is reserved for the answer.
const RESERVE: Duration = Duration::from_secs(3);

/// The database, as the former invocation left it: whoever asks, asks often.
pub(super) type Kept = OnceCell<Database>;

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The function is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is no question. What is wrong would quote it.
    #[error(
        "the payload is no question about rows that this build knows: deploy this function and the one that asks of one release"
    )]
    NotAsked,
    /// There is no way into the database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database refuses, or does not answer.
    #[error("the database at {host}:{port} cannot be read")]
    Unreadable {
        /// Where it is.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        source: sqlx::Error,
    },
    /// The function's timeout is over.
    #[error(
        "the database did not answer in the time that the function has: see what holds its tables, or give the function more"
    )]
    TooLong,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    rows: Question<'a>,
}

/// Answers the question that the payload holds.
pub(super) async fn handle(
    payload: &str,
    kept: &Kept,
    deadline: Instant,
) -> Result<Value, crate::ops::deployment::Error> {
    let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
    // Boxed: a comparison is large.
    let answered = tokio::time::timeout(left, Box::pin(answer(payload, kept))).await;
    let answered = answered.map_err(|_| AnswerError::TooLong)??;
    Ok(serde_json::to_value(answered)?)
}

async fn answer(payload: &str, kept: &Kept) -> Result<questions::Answer, AnswerError> {
    let Payload { rows: question } = serde_json::from_str(payload).map_err(|_| AnswerError::NotAsked)?;
    let connect =
        || async { Ok::<_, AnswerError>(postgres::connect(&DatabaseConfig::from_env()?, 1).await?) };
    let database = kept.get_or_try_init(connect).await?;
    // No timer runs while the function is frozen.
    database.refresh_if_old().await;
    questions::answer(database, question).await.map_err(|source| {
        let options = database.pool().connect_options();
        AnswerError::Unreadable { host: options.get_host().to_owned(), port: options.get_port(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(payload: &str) -> bool {
        serde_json::from_str::<Payload<'_>>(payload).is_err()
    }

    #[test]
    fn only_questions_are_answered() {
        for asked in [
            r#"{"rows":{"heartbeat":"018f0000-0000-7000-8000-000000000000"}}"#,
            r#"{"rows":{"estimated_rows":{}}}"#,
            r#"{"rows":{"note_run":{"failed":{"id":"018f0000-0000-7000-8000-000000000000","error":"other"}}}}"#,
            r#"{"rows":{"another_pool":{"user_pool_id":"eu-west-1_\u0041"}}}"#,
            r#"{"rows":{"compare":{"user_pool_id":"eu-west-1_A","snapshots":[{
                "id":"018f0000-0000-7000-8000-000000000000","sub":"018f0000-0000-7000-8000-000000000000",
                "data":{"federated":false,"attributes":{"name":"\u0041da"}}}]}}}"#,
        ] {
            assert!(!is_refused(asked), "{asked}");
        }
        for other in [
            "{}",
            "null",
            r#"{"rows":{}}"#,
            r#"{"rows":{"repair":{}}}"#,
            r#"{"rows":{"heartbeat":"018f0000-0000-4000-8000-000000000000"}}"#,
            r#"{"rows":{"estimated_rows":{"of":"users"}}}"#,
            r#"{"drift":true}"#,
        ] {
            assert!(is_refused(other), "{other}");
        }
    }
}
