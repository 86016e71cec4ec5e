//! Checks for drift: `reconcile` without a repair, within a function's timeout. Must not change a row or the pool.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cognito::reconcile::{self, Checkpoint, Phase, Reconcile};
use crate::cognito::user_pool::{self, DEFAULT_LISTS_PER_SECOND, DEFAULT_READS_PER_SECOND, UserPool};
use crate::config::{ConfigError, DatabaseConfig};
use crate::postgres::{self, DatabaseError};

/// The events of users who changed this recently may be under way.
const SETTLE: Duration = Duration::from_secs(60);

/// The time that is reserved for the answer and the metrics.
const RESERVE: Duration = Duration::from_secs(10);

/// The drift is not known.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// The function is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
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

/// Compares, and counts what a repair would change. Changes nothing. Continues what an earlier call in the same sandbox
/// did not finish.
pub(super) async fn check(deadline: Instant) -> Result<Value, DriftError> {
    let user_pool_id = user_pool::configured("the user pool to compare with")?;
    let user_pool = UserPool::new(user_pool_id.clone())
        .await
        .at_rates(DEFAULT_LISTS_PER_SECOND, DEFAULT_READS_PER_SECOND);
    let database = postgres::connect(&DatabaseConfig::from_env()?, 1).await?;
    let reconcile = Reconcile {
        user_pool,
        database,
        publisher: None,
        settle: SETTLE,
        claim_rows_without_pool: false,
        max_deletions: u64::MAX,
        groups: true,
    };
    reconcile.check_table().await?;
    let (about, _) = reconcile.estimate().await?;
    let folder = std::env::temp_dir().join(format!("user-sync-drift-{user_pool_id}"));
    let mut checkpoint = open(&folder, &user_pool_id, &reconcile)?;
    let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
    // Boxed: what is under way at once makes it large.
    let mut phase = Phase::Users;
    let compared = Box::pin(reconcile.run(&mut checkpoint, |begun, _| phase = begun));
    match tokio::time::timeout(left, compared).await {
        Ok(compared) => compared?,
        Err(_) if matches!(phase, Phase::Users | Phase::Rows) => {
            return Err(DriftError::Unfinished { users: checkpoint.tally().users, about });
        }
        // The users are compared: what is known is said.
        Err(_) => tracing::warn!(
            groups = checkpoint.tally().groups.walked,
            "not all groups were compared in the time that the function has: give it more, or run `user-sync reconcile \
             --dry-run` as a task of its own"
        ),
    }
    let tally = checkpoint.tally().clone();
    checkpoint.remove()?;
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
        "looked for drift"
    );
    Ok(json!({ "toRepair": to_repair, "compared": tally.users, "rows": tally.rows }))
}

fn open(folder: &Path, user_pool_id: &str, reconcile: &Reconcile) -> Result<Checkpoint, DriftError> {
    let failed = |source| DriftError::Checkpoint { folder: folder.to_owned(), source };
    Checkpoint::open(folder, user_pool_id, reconcile.mode(), false).map_err(failed)
}

/// Metrics are doubles, which are exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact for every count there can be")]
fn record(name: &'static str, count: u64) {
    metrics::histogram!(name).record(count as f64);
}
