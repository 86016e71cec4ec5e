//! How far a standby is behind its primary. Must not know a table.

use std::time::Duration;

use crate::postgres::Database;

/// How long the primary may take to say where it is: who asks has little time.
const PRIMARY_LIMIT: Duration = Duration::from_millis(800);

/// How often a standby is asked whether it has what the primary had: what was written a moment ago is on its way.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(150);

/// How a server stands to its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// It is none: it takes writes.
    Primary,
    /// It shows what the primary had so long ago.
    Behind(Duration),
    /// How far it is behind cannot be said: the primary is silent, or the servers say otherwise than PostgreSQL's own. The
    /// time since the last transaction that it shows, where it says that.
    Unknown(Option<Duration>),
}

/// Asks both servers. `reads` may be the primary itself.
///
/// # Errors
/// When `reads` cannot be asked.
pub async fn behind(reads: &Database, primary: &Database) -> Result<Standby, sqlx::Error> {
    let is_standby: bool = sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(reads.pages()).await?;
    if !is_standby {
        return Ok(Standby::Primary);
    }
    let written = sqlx::query_scalar("select pg_current_wal_lsn()::text").fetch_one(primary.pages());
    let written: Option<String> = match tokio::time::timeout(PRIMARY_LIMIT, written).await {
        Ok(Ok(place)) => Some(place),
        Ok(Err(_)) | Err(_) => None,
    };
    let mut shown = None;
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let query = "select pg_last_wal_replay_lsn() >= $1::pg_lsn,
            extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8";
        let query = sqlx::query_as(query).bind(written.as_deref());
        let (has_all, seconds): (Option<bool>, Option<f64>) = query.fetch_one(reads.pages()).await?;
        shown = seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
        match has_all {
            Some(true) => return Ok(Standby::Behind(Duration::ZERO)),
            Some(false) => {}
            None => return Ok(Standby::Unknown(shown)),
        }
    }
    Ok(shown.map_or(Standby::Unknown(None), Standby::Behind))
}
