//! Writes down how a check goes, by whoever reaches the table. Must not decide what is checked.

use futures::FutureExt as _;
use uuid::Uuid;

use crate::cognito::reconcile::{RangeWalk, Rows};
use crate::cognito::rows::RowsFunction;
use crate::ops::deployment::drift::{Done, DriftError};
use crate::store::maintenance::drift::questions::Question;
use crate::store::runs::{Begin, NotWritten, Note, Notes, Run, What, class_of};

/// The run that a call begins, or goes on with; one that no earlier call could write down stays so.
pub(super) async fn begin(rows: &Rows, walk: Option<&RangeWalk>, user_pool_id: &str) -> Run {
    let begin = || {
        let scope = serde_json::json!({ "user_pool_id": user_pool_id, "mode": "dry_run", "groups": true });
        Begin::new(What::Drift, scope)
    };
    match (walk, rows) {
        (None, Rows::Database(database)) => Run::begin_as(database, begin()).await,
        (None, Rows::Function(function)) => Run::begin_by(by(function), begin()).await,
        (Some(RangeWalk { run: None, .. }), _) => Run::unwritten(What::Drift),
        (Some(RangeWalk { run: Some(id), tally, .. }), rows) => {
            let run = go_on(rows, *id);
            run.progress(tally.users, None);
            run
        }
    }
}

fn go_on(rows: &Rows, id: Uuid) -> Run {
    match rows {
        Rows::Database(database) => Run::go_on(database, id, What::Drift),
        Rows::Function(function) => Run::go_on_by(by(function), id, What::Drift),
    }
}

/// By the function that reaches the table. One of the release before does not know this question, and says so.
fn by(function: &RowsFunction) -> Notes {
    let function = function.clone();
    std::sync::Arc::new(move |note: Note| {
        let function = function.clone();
        async move {
            match function.ask::<bool>(&Question::NoteRun(note)).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(NotWritten("the function's log says why".to_owned())),
                Err(error) => Err(NotWritten(error.to_string())),
            }
        }
        .boxed()
    })
}

/// Writes down how a call ended; the run goes on where another one follows.
pub(super) async fn end(run: Run, done: &Result<Done, DriftError>) {
    match done {
        Ok(Done { findings: Some(findings), .. }) => run.end(findings.clone()).await,
        Ok(Done { findings: None, .. }) => run.leave().await,
        Err(error) => run.fail(&class(error)).await,
    }
}

fn class(error: &DriftError) -> String {
    match error {
        DriftError::Reconcile(error) | DriftError::Checkpoint { source: error, .. } => {
            error.class().unwrap_or_else(|| class_of(error))
        }
        DriftError::TooLong { .. } | DriftError::Unfinished { .. } => {
            "not done in the time it has".to_owned()
        }
        DriftError::Config(_)
        | DriftError::Payload(_)
        | DriftError::NotAnswered
        | DriftError::Database(_) => class_of(error),
    }
}
