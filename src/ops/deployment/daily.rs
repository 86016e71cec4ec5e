//! Counts, by day, what the console's analytics show: every hour, what changed since. Must not know how a day is counted.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::config::{ConfigError, DatabaseConfig};
use crate::postgres::{self, DatabaseError};
use crate::store::daily::{self, Error, Refreshed, Scope};

/// The time that is reserved for the answer.
const RESERVE: Duration = Duration::from_secs(5);

/// The days were not counted. What was counted before is kept.
#[derive(Debug, thiserror::Error)]
pub enum DailyError {
    /// The function is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be connected to.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A day cannot be counted.
    #[error("what analytics show is not counted")]
    Count(#[source] Error),
}

/// Counts the days that changed. Whatever is not counted by `deadline`, or is being counted by somebody else, is the next
/// invocation's: neither is a failure.
pub(super) async fn refresh(deadline: Instant) -> Result<Value, DailyError> {
    let until = deadline.checked_sub(RESERVE).unwrap_or(deadline);
    match tokio::time::timeout(until.saturating_duration_since(Instant::now()), count()).await {
        Ok(counted) => counted,
        Err(_) => {
            tracing::warn!(
                "not all days were counted in the time that the function has: the next run goes on"
            );
            Ok(json!({ "finished": false }))
        }
    }
}

async fn count() -> Result<Value, DailyError> {
    let database = postgres::connect(&DatabaseConfig::from_env()?, 1).await?;
    let counted = daily::refresh(&database, Scope::Changed).await;
    database.close().await;
    match counted {
        Ok(Refreshed { days, windows, weeks }) => {
            tracing::info!(
                daily.days = days,
                daily.windows = windows,
                daily.weeks = weeks,
                "counted the days"
            );
            Ok(json!({ "finished": true, "days": days, "windows": windows, "weeks": weeks }))
        }
        Err(Error::Busy) => {
            tracing::info!("somebody else counts the days");
            Ok(json!({ "finished": false }))
        }
        Err(error @ Error::Failed(_)) => Err(DailyError::Count(error)),
    }
}
