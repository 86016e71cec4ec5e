//! Drift and audit: how the last comparisons went, what they found, and what repairs it. Must not compare anything itself.
//!
//! | part | what it is for |
//! |---|---|
//! | [`kinds`], [`look`] | what a finding means, how a run looks; pure |
//! | [`month`] | differences found a day, as a chart |
//! | [`start`] | a plan of a repair |
//! | [`told`] | a run as its task shows it; pure |

mod kinds;
mod look;
mod month;
mod start;
mod told;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::console::access::{Right, Visitor};
use crate::console::charts::Chart;
use crate::console::drift::look::{Kind, Mark, Named, named};
pub(in crate::console) use crate::console::drift::told::Told;
use crate::console::page::{Answer, Frame, Page, Section};
use crate::console::trouble::Trouble;
use crate::console::words::{self, count, filters};
use crate::console::{Console, Shared};
use crate::store::console::tasks;
use crate::store::runs::{self, Seen, State as RunState, What};

/// Over how many days the pages look back.
const DAYS: u32 = 30;

/// Most runs that a run's page lists besides it.
const OTHERS_MAX: usize = 50;

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new()
        .route("/drift", get(show))
        .route("/drift/{run}", get(one))
        .route("/drift/{run}/repair", post(start::repair))
}

/// A kind of run, and how its last one was.
struct Line {
    mark: Mark,
    named: Named,
    /// None where none ran yet.
    id: Option<Uuid>,
    when: String,
    over: String,
    found: String,
    is_running: bool,
    /// Where it is looked after, if it runs: its task, or its own page.
    progress: String,
}

impl Line {
    fn of(what: What, run: Option<&Seen>, progress: String, now: Timestamp) -> Self {
        let or_never = |text: Option<String>| text.unwrap_or_else(|| "none is written down".to_owned());
        Self {
            mark: look::mark(run),
            named: named(what),
            id: run.map(|run| run.id),
            when: or_never(run.map(|run| look::when(run, now))),
            over: run.map(look::over).unwrap_or_default(),
            found: run.map(look::found).unwrap_or_default(),
            is_running: run.is_some_and(|run| run.state == RunState::Running),
            progress,
        }
    }
}

/// What the last comparison with the pool, or the last proof, found.
struct Findings {
    title: &'static str,
    when: String,
    id: Uuid,
    kinds: Vec<Kind>,
    /// How many a repair would mend, and what to type for it.
    repair: Option<Repair>,
    /// What a repair asks Cognito again.
    requests: String,
}

struct Repair {
    number: String,
    command: &'static str,
    how: &'static str,
}

impl Findings {
    /// None where it found nothing, or did not come to its end.
    fn of(run: &Seen, now: Timestamp) -> Option<Self> {
        let (title, command, how) = match run.what {
            What::Reconcile | What::Drift => (
                "What the pool says and the table does not",
                "user-sync reconcile --repair",
                "through the queue",
            ),
            What::Verify => (
                "What the ledger says and the rows do not",
                "user-sync verify --repair",
                "from the ledger, as the owner",
            ),
            What::Audit | What::Maintain => return None,
        };
        if run.state != RunState::Ended || run.left() == Some(0) {
            return None;
        }
        let repair = start::repairable(run).map(|number| Repair { number: count(number), command, how });
        let requests = look::requests(run).map(|sent| {
            format!(
                "A repair lists the pool again: about {} requests, of which nobody becomes active.",
                count(sent)
            )
        });
        Some(Self {
            title,
            when: look::when(run, now),
            id: run.id,
            kinds: look::kinds(run),
            repair,
            requests: requests.unwrap_or_default(),
        })
    }
}

#[derive(Template)]
#[template(path = "drift/drift.html")]
struct Drift {
    frame: Frame,
    may_act: bool,
    sentence: String,
    lines: Vec<Line>,
    findings: Vec<Findings>,
    chart: Option<Chart>,
}

async fn show(State(console): State<Shared>, visitor: Visitor) -> Answer<Drift> {
    let (latest, reconciled, checked) = tokio::try_join!(
        runs::latest(&console.reads),
        runs::history(&console.reads, What::Reconcile, DAYS),
        runs::history(&console.reads, What::Drift, DAYS),
    )?;
    let now = Timestamp::now();
    let of = |what: What| latest.iter().find(|run| run.what == what);
    let mut lines = Vec::new();
    for what in What::ALL {
        let run = of(what);
        let progress = match run.filter(|run| run.state == RunState::Running) {
            Some(run) => task_of(&console, run.id).await.unwrap_or_else(|| format!("/drift/{}", run.id)),
            None => String::new(),
        };
        lines.push(Line::of(what, run, progress, now));
    }
    // Of both comparisons with the pool the later one that ended: it knows better.
    let ended = |runs: &[Seen]| runs.iter().find(|run| run.state == RunState::Ended).cloned();
    let of_pool =
        [ended(&reconciled), ended(&checked)].into_iter().flatten().max_by_key(|run| run.started_at);
    let findings = [of_pool.as_ref(), of(What::Verify)].into_iter().flatten();
    let findings: Vec<_> = findings.filter_map(|run| Findings::of(run, now)).collect();
    let both: Vec<Seen> = reconciled.into_iter().chain(checked).collect();
    Ok(Page(Drift {
        sentence: sentence(&latest),
        frame: Frame::of(&console, &visitor, Section::Drift),
        may_act: visitor.may(Right::Act),
        lines,
        findings,
        chart: month::chart(&both, now),
    }))
}

/// The page of the task that a run is of: what is started here has its task's id.
async fn task_of(console: &Console, run: Uuid) -> Option<String> {
    let task = tasks::one(&console.reads, run).await.unwrap_or_else(|error| {
        tracing::warn!(error = crate::logging::causes(&error), "whether a run is a task's is not known");
        None
    });
    task.map(|task| format!("/tasks/{}", task.id))
}

/// The page's first sentence.
fn sentence(latest: &[Seen]) -> String {
    if latest.is_empty() {
        return "Nothing was compared yet.".to_owned();
    }
    let left: u64 = latest.iter().filter(|run| run.state == RunState::Ended).filter_map(Seen::left).sum();
    let failed = latest.iter().any(|run| matches!(run.state, RunState::Failed | RunState::Stopped));
    match (left, failed) {
        (0, false) => "The last comparisons found nothing that is not as it should be.".to_owned(),
        (0, true) => "A comparison did not come to its end; those that did found nothing.".to_owned(),
        (left, _) => format!("{} differences are known and not repaired.", count(left)),
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    kind: Option<String>,
}

#[derive(Template)]
#[template(path = "drift/run.html")]
struct One {
    frame: Frame,
    named: Named,
    mark: Mark,
    facts: Vec<(&'static str, String)>,
    done: u64,
    total: Option<u64>,
    is_running: bool,
    /// The page of its task, if it was started here.
    task: Option<String>,
    kinds: Vec<Kind>,
    /// The kind that the URL names, if the run found it.
    chosen: Option<Kind>,
    id: Uuid,
    to_see: Option<&'static str>,
    others: Vec<(Uuid, Mark, String, String)>,
}

async fn one(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<One> {
    let id = id.parse().map_err(|_| Trouble::NotFound("run"))?;
    let run = runs::one(&console.reads, id).await?.ok_or(Trouble::NotFound("run"))?;
    let others = runs::history(&console.reads, run.what, DAYS).await?;
    let others = others.iter().filter(|other| other.id != run.id).take(OTHERS_MAX);
    let kinds = look::kinds(&run);
    Ok(Page(One {
        frame: Frame::of(&console, &visitor, Section::Drift),
        named: named(run.what),
        mark: look::mark(Some(&run)),
        facts: facts(&run),
        done: run.done,
        total: run.total.filter(|total| *total > 0),
        is_running: run.state == RunState::Running,
        task: task_of(&console, run.id).await,
        chosen: kinds.iter().find(|kind| Some(&kind.word) == asked.kind.as_ref()).cloned(),
        kinds,
        id: run.id,
        to_see: to_see(run.what),
        others: others
            .map(|other| {
                (other.id, look::mark(Some(other)), words::utc(other.started_at), look::found(other))
            })
            .collect(),
    }))
}

/// What is known of a run, a line each; what others chose is escaped in the page.
fn facts(run: &Seen) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Started", words::utc(run.started_at)),
        ("By", run.started_by.clone()),
        ("Took", look::lasted(run)),
        ("Over", look::over(run)),
    ];
    if let Some(ended) = run.ended_at {
        facts.insert(2, ("Ended", words::utc(ended)));
    }
    let found = look::found(run);
    if !found.is_empty() {
        facts.push(("Found", found));
    }
    let scope = run.scope.as_object().into_iter().flatten();
    let scope: Vec<String> = scope
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{}: {value}", name.replace('_', " "))
        })
        .collect();
    if !scope.is_empty() {
        facts.push(("Scope", scope.join(", ")));
    }
    for (name, path) in [
        ("Snapshots sent", ["published", "snapshots"]),
        ("Deletions sent", ["published", "deletions"]),
        ("Events of groups sent", ["published", "groups"]),
    ] {
        facts.extend(run.count(&path).filter(|sent| *sent > 0).map(|sent| (name, count(sent))));
    }
    facts
}

/// What shows whom it is about: that is personal data, and is on no page of this kind.
fn to_see(what: What) -> Option<&'static str> {
    match what {
        What::Verify => Some("user-sync verify"),
        What::Audit => Some("user-sync audit --list"),
        What::Reconcile | What::Drift | What::Maintain => None,
    }
}
