//! The pages of tasks: how far one is, and those that were started last. Must not know how one is done.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Redirect;
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::console::access::{Right, Visitor};
use crate::console::page::{Answer, Frame, Page, Section};
use crate::console::plans::kind::Kind;
use crate::console::plans::must_act;
use crate::console::trouble::Trouble;
use crate::console::words::filters;
use crate::console::{Console, Shared, words};
use crate::store::console::tasks::{self, Note, Seen, State as Standing};
use crate::store::console::trail::{Deed, Did};

/// A figure as `c::figures` shows it.
struct Figure {
    name: String,
    figure: String,
    note: &'static str,
}

/// What there is to know of how it ended, and what to do.
struct WhatNow {
    class: &'static str,
    title: &'static str,
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
    what_now: Option<WhatNow>,
    seen: Seen,
}

impl TaskPage {
    fn of(console: &Console, visitor: &Visitor, seen: Seen) -> Result<Self, Trouble> {
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
            so_far: so_far(&seen.note),
            done: seen.note.done,
            total: seen.note.total.unwrap_or(0),
            noted: words::utc(seen.noted_at),
            words: if is_running { "updates every 2 s" } else { "when it ended" },
            figures: seen.note.counts.iter().map(figure).collect(),
            what_now: what_now(kind, &seen),
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

fn what_now(kind: Kind, seen: &Seen) -> Option<WhatNow> {
    let now =
        |class, title, text: String, link, link_text| Some(WhatNow { class, title, text, link, link_text });
    let rest = match kind {
        Kind::RedriveLetters | Kind::DropLetters => "The other messages are where they were.",
        Kind::Reconcile { .. } | Kind::Verify { .. } | Kind::Audit | Kind::Maintain | Kind::CountUsers => {
            "What was done until then stays so."
        }
    };
    match seen.state {
        Standing::Running | Standing::Done => None,
        Standing::Cancelled => {
            let by = if seen.cancelled_by.is_some() { "" } else { "The console was ended. " };
            now("off", "It was cancelled", format!("{by}{rest}"), "", "")
        }
        Standing::Failed => {
            let class = seen.error.as_deref().unwrap_or("not known");
            let text = format!("Why: {class}. {rest} Its line in the console's log says more.");
            now("bad", "It ended early", text, "", "")
        }
        Standing::Stopped => {
            let text = match kind.is_own() {
                true => format!(
                    "Nothing was heard of it since {} UTC. The figures are those of then; {}",
                    words::utc(seen.noted_at),
                    "what came after them is not known."
                ),
                false => "The command itself may go on: its own record says how it is.".to_owned(),
            };
            let (link, link_text) = kind.above();
            now("warn", "Stopped: the console that ran it ended", format!("{text} See"), link, link_text)
        }
    }
}

async fn find(console: &Console, id: &str) -> Result<Seen, Trouble> {
    let id: Uuid = id.parse().map_err(|_| Trouble::NotFound("task"))?;
    // On the primary, where it is noted.
    tasks::one(&console.primary, id).await?.ok_or(Trouble::NotFound("task"))
}

/// GET `/tasks/ID`.
pub(super) async fn show(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Answer<TaskPage> {
    let seen = find(&console, &id).await?;
    Ok(Page(TaskPage::of(&console, &visitor, seen)?))
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
    let latest = tasks::latest(&console.primary).await?;
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
