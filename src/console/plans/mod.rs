//! What somebody starts: a plan that says what it is bound to, then a task that says how far it is. Must not know how dead
//! letters, users or rows are kept.
//!
//! | part | what it is for |
//! |---|---|
//! | [`kind`] | what can be started; pure |
//! | [`job`] | the contract with whoever does it in this process |
//! | [`acts`] | does tasks, and notes how far they are |
//! | [`runner`], [`ecs`] | runs a command beside the console, or as a one-off task |
//! | [`plan_page`], [`task_page`] | the pages |

pub(in crate::console) mod acts;
mod ecs;
pub(in crate::console) mod job;
pub(in crate::console) mod kind;
mod plan_page;
mod runner;
mod task_page;

use std::time::Duration;

use axum::Router;
use axum::extract::{Form, State};
use axum::response::Redirect;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub(in crate::console) use self::acts::Acts;
use self::ecs::Ecs;
pub use self::ecs::TaskPlace;
pub(in crate::console) use self::kind::Kind;
pub(in crate::console) use self::runner::Runner;
pub use self::runner::{COMMANDS_DATABASE_URL_VARIABLE, RUN_ID_VARIABLE, STARTED_BY_VARIABLE};
use crate::console::access::{Right, Visitor};
use crate::console::trouble::Trouble;
use crate::console::{Console, Shared};
use crate::store::console::plans::{self, MAX_IDS, Plan};
use crate::store::console::tasks;
use crate::store::console::trail::{self, Deed, Did};

/// How long ago a task that goes on may have begun, to be found by its scope.
const UNDER_WAY_FOR: Duration = Duration::from_secs(12 * 3_600);

/// How many samples a plan shows.
const MAX_SAMPLES: usize = 5;

/// Where the commands run that the console starts.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    /// What processes beside the console log in by, in place of its own login.
    pub database_url: Option<secrecy::SecretString>,
    /// The one-off task that runs them instead.
    pub place: Option<TaskPlace>,
}

impl Tasks {
    pub(in crate::console) fn runner(self) -> Runner {
        match self.place {
            Some(place) => Runner::Ecs(Box::new(Ecs::new(place))),
            None => Runner::Beside { database_url: self.database_url },
        }
    }
}

/// What a plan shows of what it is bound to: masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::console) struct Samples {
    /// The columns' names.
    pub(in crate::console) head: Vec<String>,
    /// At most five rows.
    pub(in crate::console) rows: Vec<Vec<String>>,
}

/// A plan that a page makes.
#[derive(Debug, Clone)]
pub(in crate::console) struct Draft {
    pub(in crate::console) kind: Kind,
    /// What it is about: small, and nobody's personal data. For dead letters `{"reason": "refused_by_database"}`.
    pub(in crate::console) scope: Value,
    /// All that may be touched.
    pub(in crate::console) ids: Vec<String>,
    /// How many it is about: what must be typed.
    pub(in crate::console) count: u64,
    /// Rows of *What happens*, besides the first and the time it takes.
    pub(in crate::console) facts: Vec<(String, String)>,
    pub(in crate::console) samples: Samples,
}

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new()
        .route("/plans", post(make_asked))
        .route("/plans/{id}", get(plan_page::show).post(plan_page::start))
        .route("/tasks", get(task_page::list))
        .route("/tasks/{id}", get(task_page::show))
        .route("/tasks/{id}/cancel", post(task_page::cancel))
}

/// Makes a plan. Nothing is done by it.
///
/// # Errors
/// When the visitor may not act, which is written down; and when the plan cannot be written down.
pub(in crate::console) async fn make(
    console: &Console,
    visitor: &Visitor,
    draft: Draft,
) -> Result<Uuid, Trouble> {
    let what = draft.kind.verb(draft.count);
    must_act(console, visitor, &what).await?;
    if draft.ids.len() > MAX_IDS {
        let most = crate::console::words::count(MAX_IDS as u64);
        return Err(Trouble::Refused(format!("A plan holds at most {most} messages: choose fewer.")));
    }
    let Draft { kind, scope, ids, count, facts, mut samples } = draft;
    samples.rows.truncate(MAX_SAMPLES);
    let plan = Plan {
        who: visitor.name.clone(),
        kind: kind.as_str().to_owned(),
        scope,
        ids,
        count,
        facts: json!(facts),
        samples: json!(samples),
    };
    plans::make(&console.primary, &plan, &what).await.map_err(Trouble::unwritten)
}

/// The task over just this scope that goes on, if one does: who asks for the same shares it.
pub(in crate::console) async fn under_way(
    console: &Console,
    kind: Kind,
    scope: &Value,
) -> Result<Option<Uuid>, Trouble> {
    // On the primary, where it was begun a moment ago.
    let latest = tasks::latest_of(&console.primary, kind.as_str(), scope, UNDER_WAY_FOR).await;
    let latest = latest.map_err(Trouble::unwritten)?;
    Ok(latest.into_iter().find(|seen| seen.state == tasks::State::Running).map(|seen| seen.id))
}

/// Where a plan is looked at.
pub(in crate::console) fn to_plan(id: Uuid) -> Redirect {
    Redirect::to(&format!("/plans/{id}"))
}

/// Whether the visitor may act. A refusal is written down, as far as that can be.
pub(in crate::console) async fn must_act(
    console: &Console,
    visitor: &Visitor,
    what: &str,
) -> Result<(), Trouble> {
    if visitor.may(Right::Act) {
        return Ok(());
    }
    let deed = Deed {
        who: visitor.name.clone(),
        did: Did::Refused,
        what: Some(what.to_owned()),
        reason: None,
        result: Some("the right act is missing".to_owned()),
    };
    if let Err(error) = trail::write(&console.primary, &deed).await {
        tracing::warn!(error = %crate::logging::causes(&error), "a refusal was not written down");
    }
    Err(Trouble::Forbidden(Right::Act))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    kind: String,
}

/// A plan of a command that changes nothing but what it always may: there is no count to be bound to.
async fn make_asked(
    State(console): State<Shared>,
    visitor: Visitor,
    Form(wanted): Form<Wanted>,
) -> Result<Redirect, Trouble> {
    let kind = Kind::parse(&wanted.kind).filter(|kind| !kind.is_own() && !kind.asks_for_the_count(0));
    let Some(kind) = kind else {
        return Err(Trouble::Refused("There is nothing of that name to start.".to_owned()));
    };
    let draft = Draft {
        kind,
        scope: json!({}),
        ids: Vec::new(),
        count: 0,
        facts: Vec::new(),
        samples: Samples::default(),
    };
    Ok(to_plan(make(&console, &visitor, draft).await?))
}
