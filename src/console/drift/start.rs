//! A plan of a repair, from what a run found. Must not repair.

use axum::extract::{Path, State};
use axum::response::Redirect;
use serde_json::json;
use uuid::Uuid;

use crate::console::Shared;
use crate::console::access::Visitor;
use crate::console::drift::look;
use crate::console::plans::{self, Draft, Kind, Samples};
use crate::console::trouble::Trouble;
use crate::console::words::{Foreign, count};
use crate::store::runs::{self, Seen, State as RunState, What};

/// How many differences of a run a repair would mend; none where it did not come to its end, or compares nothing.
pub(super) fn repairable(run: &Seen) -> Option<u64> {
    let number = run.count(&["repairable"]).or_else(|| run.left());
    number.filter(|number| *number > 0 && run.state == RunState::Ended)
}

/// Makes the plan: the comparison is done again, so it is bound to no user, and its number is the run's.
pub(super) async fn repair(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Redirect, Trouble> {
    let id: Uuid = id.parse().map_err(|_| Trouble::NotFound("run"))?;
    plans::must_act(&console, &visitor, &format!("Repair what run {id} found")).await?;
    let run = runs::one(&console.reads, id).await?.ok_or(Trouble::NotFound("run"))?;
    let kind = match run.what {
        What::Reconcile | What::Drift => Kind::Reconcile { repair: true },
        What::Verify => Kind::Verify { repair: true },
        What::Audit | What::Maintain => return Err(nothing()),
    };
    let number = repairable(&run).ok_or_else(nothing)?;
    let draft = Draft {
        kind,
        scope: json!({ "run": run.id }),
        ids: Vec::new(),
        count: number,
        facts: facts(&run),
        samples: Samples::default(),
    };
    Ok(plans::to_plan(plans::make(&console, &visitor, draft).await?))
}

fn nothing() -> Trouble {
    Trouble::Refused("This run found nothing that a repair mends. Compare again first.".to_owned())
}

/// What happens, by kind, and what it takes.
fn facts(run: &Seen) -> Vec<(String, String)> {
    let kind = |kind: look::Kind| {
        (Foreign(&kind.word).to_string(), format!("{}: {}", count(kind.number), kind.repair))
    };
    let mut facts: Vec<_> = look::kinds(run).into_iter().map(kind).collect();
    facts.push((
        "What differs by then".to_owned(),
        "it compares again, and mends what it finds then".to_owned(),
    ));
    if let Some(sent) = look::requests(run) {
        let about = format!("about {}, of which nobody becomes a monthly active user", count(sent));
        facts.push(("Requests to Cognito".to_owned(), about));
    }
    facts
}
