//! The pages of tasks: how far one is, and those that were started last. Must not know how one is done.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Redirect;
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::console::access::{Right, Visitor};
use crate::console::drift::Told;
use crate::console::page::{Answer, Frame, Page, Section};
use crate::console::plans::kind::Kind;
use crate::console::plans::must_act;
use crate::console::trouble::Trouble;
use crate::console::words::filters;
use crate::console::{Console, Shared, words};
use crate::store::console::tasks::{self, Note, Seen, State as Standing};
use crate::store::console::trail::{Deed, Did};
use crate::store::runs::{self, State as RunState};

/// A figure as `c::figures` shows it.
struct Figure {
    name: String,
    figure: String,
    note: &'static str,
}

/// What there is to know of how it ended, and what to do.
struct WhatNow {
    class: &'static str,
    title: String,
    text: String,
    link: &'static str,
    link_text: &'static str,
}

#[derive(Template)]
#[template(path = "plans/task.html")]
pub(super) struct TaskPage {
    frame: Frame,
    verb: String,
    kind_word: &'static str,
    above: (&'static str, &'static str),
    state: (&'static str, &'static str),
    is_running: bool,
    may_cancel: bool,
    so_far: String,
    done: u64,
    total: u64,
    noted: String,
    words: &'static str,
    figures: Vec<Figure>,
    /// The run of a command, as it writes itself down.
    run: Option<Told>,
    what_now: Option<WhatNow>,
    seen: Seen,
}

impl TaskPage {
    fn of(console: &Console, visitor: &Visitor, seen: Seen, run: Option<Told>) -> Result<Self, Trouble> {
        let kind = Kind::parse(&seen.kind).ok_or(Trouble::NotFound("task"))?;
        let is_running = seen.state == Standing::Running;
        let figure = |(name, count): &(String, u64)| Figure {
            name: name.clone(),
            figure: words::count(*count),
            note: "",
        };
        Ok(Self {
            frame: Frame::of(console, visitor, kind.section()),
            verb: kind.verb(seen.count),
            kind_word: kind.word(),
            above: kind.above(),
            state: state(&seen),
            is_running,
            may_cancel: visitor.may(Right::Act) && seen.cancelled_by.is_none(),
            so_far: run.as_ref().map_or_else(|| so_far(&seen.note), |run| run.over.clone()),
            done: run.as_ref().map_or(seen.note.done, |run| run.done),
            total: run.as_ref().map_or(seen.note.total.unwrap_or(0), |run| run.total),
            noted: words::utc(seen.noted_at),
            words: match seen.state {
                Standing::Running => "updates every 2 s",
                Standing::Done | Standing::Cancelled | Standing::Failed => "when it ended",
                Standing::Stopped => "when this console last heard of it",
            },
            figures: seen.note.counts.iter().map(figure).collect(),
            what_now: what_now(kind, &seen, run.as_ref()),
            run,
            seen,
        })
    }
}

/// Shape and word.
fn state(seen: &Seen) -> (&'static str, &'static str) {
    match seen.state {
        Standing::Running if seen.cancelled_by.is_some() => ("running", "Being cancelled"),
        Standing::Running => ("running", "Running"),
        Standing::Done => ("ok", "Done"),
        Standing::Cancelled => ("off", "Cancelled"),
        Standing::Failed => ("bad", "Failed"),
        Standing::Stopped => ("warn", "Stopped"),
    }
}

/// `61 % · 101,400 of 166,204`.
fn so_far(note: &Note) -> String {
    match note.total {
        Some(total) if total > 0 => {
            let percent = note.done.min(total) * 100 / total;
            format!("{percent} % · {} of {}", words::count(note.done), words::count(total))
        }
        _ if note.done > 0 => words::count(note.done),
        _ => String::new(),
    }
}

fn what_now(kind: Kind, seen: &Seen, run: Option<&Told>) -> Option<WhatNow> {
    let now = |class, title: String, text: String, link, link_text| {
        Some(WhatNow { class, title, text, link, link_text })
    };
    let rest = match kind {
        Kind::RedriveLetters | Kind::DropLetters => "The other messages are where they were.",
        Kind::Reconcile { .. } | Kind::Verify { .. } | Kind::Audit | Kind::Maintain | Kind::CountUsers => {
            "What was done until then stays so."
        }
    };
    match seen.state {
        Standing::Running => None,
        Standing::Done if kind == Kind::CountUsers => {
            let number = seen.note.counts.first().map_or(0, |(_, count)| *count);
            let text = format!(
                "Counted between {} and {} UTC: who came or went meanwhile may be counted or not. For an hour it stands on",
                words::clock(seen.at),
                words::clock(seen.noted_at)
            );
            now("ok", kind.things(number), text, "/users", "the list")
        }
        Standing::Done => None,
        Standing::Cancelled => {
            let by = if seen.cancelled_by.is_some() { "" } else { "The console was ended. " };
            now("off", "It was cancelled".to_owned(), format!("{by}{rest}"), "", "")
        }
        Standing::Failed => {
            let own = run.and_then(|run| run.error.as_deref());
            let class = own.or(seen.error.as_deref()).unwrap_or("not known");
            let text =
                format!("Why: {}. {rest} Its line in the console's log says more.", words::Foreign(class));
            now("bad", "It ended early".to_owned(), text, "", "")
        }
        Standing::Stopped => {
            let (link, link_text) = kind.above();
            let title = "Stopped: the console that ran it ended".to_owned();
            now("warn", title, format!("{} See", stopped(kind, seen, run)), link, link_text)
        }
    }
}

/// What is known of a task whose console ended in the middle. A command is a process of its own, and may outlive it.
fn stopped(kind: Kind, seen: &Seen, run: Option<&Told>) -> String {
    let since = words::utc(seen.noted_at);
    match run.map(|run| (run.state, run)) {
        _ if kind.is_own() => format!(
            "Nothing was heard of it since {since} UTC. The figures are those of then; what came after them is not known."
        ),
        None => format!(
            "Nothing was heard of it since {since} UTC, and the command has not written down that it began: it did not begin, \
             or could not write."
        ),
        Some((RunState::Running, run)) => format!(
            "The command goes on without it: it gave a sign of life at {} UTC. It can be cancelled only where it runs.",
            run.noted
        ),
        Some((RunState::Ended, _)) => "The command went on without it, and came to its end.".to_owned(),
        Some((RunState::Failed, run)) => format!(
            "The command went on without it, and ended early. Why: {}.",
            words::Foreign(run.error.as_deref().unwrap_or("not known"))
        ),
        Some((RunState::Stopped, run)) => format!(
            "The command ended with it, or later: it gave its last sign of life at {} UTC, and has no end. What it did until \
             then stays so.",
            run.noted
        ),
    }
}

/// The run of a command that was started here: it has the task's id. Where the runs cannot be asked for, the task stands alone.
async fn run_of(console: &Console, seen: &Seen) -> Option<Told> {
    if Kind::parse(&seen.kind).is_none_or(Kind::is_own) {
        return None;
    }
    let run = runs::one(&console.reads, seen.id).await.unwrap_or_else(|error| {
        tracing::warn!(error = crate::logging::causes(&error), "a task's run cannot be read");
        None
    });
    run.as_ref().map(Told::of)
}

async fn find(console: &Console, id: &str) -> Result<Seen, Trouble> {
    let id: Uuid = id.parse().map_err(|_| Trouble::NotFound("task"))?;
    // On the primary, where it is noted; where that is silent, reading goes on.
    let seen = match tasks::one(&console.primary, id).await {
        Ok(seen) => seen,
        Err(_) => tasks::one(&console.reads, id).await?,
    };
    seen.ok_or(Trouble::NotFound("task"))
}

/// GET `/tasks/ID`.
pub(super) async fn show(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Answer<TaskPage> {
    let seen = find(&console, &id).await?;
    let run = run_of(&console, &seen).await;
    Ok(Page(TaskPage::of(&console, &visitor, seen, run)?))
}

/// POST `/tasks/ID/cancel`.
pub(super) async fn cancel(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Redirect, Trouble> {
    let seen = find(&console, &id).await?;
    let word = Kind::parse(&seen.kind).map_or("Task", Kind::word);
    let what = format!("{word}, task {}", seen.id);
    must_act(&console, &visitor, &format!("Cancel {what}")).await?;
    let deed = Deed {
        who: visitor.name.clone(),
        did: Did::Cancelled,
        what: Some(what),
        reason: None,
        result: Some(so_far(&seen.note)),
    };
    tasks::cancel(&console.primary, seen.id, &deed).await.map_err(Trouble::unwritten)?;
    console.acts.cancel(seen.id);
    Ok(Redirect::to(&format!("/tasks/{}", seen.id)))
}

/// A line of the list.
struct Line {
    id: Uuid,
    state: (&'static str, &'static str),
    verb: String,
    at: Timestamp,
    who: String,
    so_far: String,
}

#[derive(Template)]
#[template(path = "plans/tasks.html")]
pub(super) struct TasksPage {
    frame: Frame,
    tasks: Vec<Line>,
}

/// GET `/tasks`.
pub(super) async fn list(State(console): State<Shared>, visitor: Visitor) -> Answer<TasksPage> {
    let latest = match tasks::latest(&console.primary).await {
        Ok(latest) => latest,
        Err(_) => tasks::latest(&console.reads).await?,
    };
    let line = |seen: Seen| {
        let kind = Kind::parse(&seen.kind)?;
        Some(Line {
            id: seen.id,
            state: state(&seen),
            verb: kind.verb(seen.count),
            at: seen.at,
            so_far: so_far(&seen.note),
            who: seen.who,
        })
    };
    let tasks = latest.into_iter().filter_map(line).collect();
    Ok(Page(TasksPage { frame: Frame::of(&console, &visitor, Section::Drift), tasks }))
}
