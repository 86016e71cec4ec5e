//! Writes down that a command runs, for whom the environment says, and how it ends. Must not know what it does.

use cognito_user_sync::cognito::reconcile;
use cognito_user_sync::config::Environment;
use cognito_user_sync::console::{RUN_ID_VARIABLE, STARTED_BY_VARIABLE};
use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::maintenance::partitions::MaintainError;
use cognito_user_sync::store::runs::{Begin, Run, What, class_of};
use serde_json::Value;

/// The exit code of a process that a signal ended, as shells have it.
const INTERRUPTED: i32 = 130;

/// Writes down that it begins, if the database takes it.
pub(super) async fn begin(database: &Database, what: What, scope: Value) -> Run {
    let variable = |name| Environment::process().optional(name).ok().flatten();
    let begin = Begin { started_by: variable(STARTED_BY_VARIABLE), ..Begin::new(what, scope) };
    let id = variable(RUN_ID_VARIABLE).and_then(|id| id.parse().ok()).unwrap_or(begin.id);
    Run::begin_as(database, Begin { id, ..begin }).await
}

/// Does the work of a run, and writes down how it ended: with these findings, by an error, or because somebody ended this
/// process, which it does then.
pub(super) async fn attend<T>(
    run: Run,
    work: impl AsyncFnOnce(&Run) -> anyhow::Result<T>,
    findings: impl FnOnce(&T) -> Value,
) -> anyhow::Result<T> {
    let done = {
        // Boxed: what works holds much.
        let work = Box::pin(work(&run));
        tokio::select! {
            done = work => Some(done),
            () = super::asked_to_end() => None,
        }
    };
    match &done {
        Some(Ok(done)) => run.end(findings(done)).await,
        Some(Err(error)) => run.fail(&class(error)).await,
        None => run.fail("interrupted").await,
    }
    done.unwrap_or_else(|| std::process::exit(INTERRUPTED))
}

/// The class of a command's error.
fn class(error: &anyhow::Error) -> String {
    let own = error.chain().find_map(|error| match error.downcast_ref::<MaintainError>() {
        Some(error) => error.class().map(str::to_owned),
        None => error.downcast_ref::<reconcile::Error>().and_then(reconcile::Error::class),
    });
    own.unwrap_or_else(|| class_of(error.as_ref()))
}
