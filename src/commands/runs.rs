//! Writes down that a command runs, for whom the environment says, and how it ends. Must not know what it does.

use cognito_user_sync::cognito::reconcile;
use cognito_user_sync::config::Environment;
use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::maintenance::partitions::MaintainError;
use cognito_user_sync::store::runs::{Begin, Run, What, class_of};
use serde_json::Value;

/// The name of the variable that gives the run its id: whoever started this process looks for it.
const ID: &str = "USER_SYNC_RUN_ID";

/// The name of the variable that says for whom it runs.
const STARTED_BY: &str = "USER_SYNC_STARTED_BY";

/// Writes down that it begins, if the database takes it.
pub(super) async fn begin(database: &Database, what: What, scope: Value) -> Run {
    let variable = |name| Environment::process().optional(name).ok().flatten();
    let begin = Begin { started_by: variable(STARTED_BY), ..Begin::new(what, scope) };
    let id = variable(ID).and_then(|id| id.parse().ok()).unwrap_or(begin.id);
    Run::begin_as(database, Begin { id, ..begin }).await
}

/// Writes down how it ended: with these findings, or by an error.
pub(super) async fn end<T>(run: Run, ended: &anyhow::Result<T>, findings: impl FnOnce(&T) -> Value) {
    match ended {
        Ok(done) => run.end(findings(done)).await,
        Err(error) => run.fail(&class(error)).await,
    }
}

/// The class of a command's error.
fn class(error: &anyhow::Error) -> String {
    let own = error.chain().find_map(|error| match error.downcast_ref() {
        Some(MaintainError::Detached(_)) => Some("a month was detached".to_owned()),
        Some(MaintainError::Starved { .. }) => Some("somebody holds locks".to_owned()),
        Some(MaintainError::Failed(_)) | None => {
            error.downcast_ref::<reconcile::Error>().and_then(reconcile::Error::class)
        }
    });
    own.unwrap_or_else(|| class_of(error.as_ref()))
}
