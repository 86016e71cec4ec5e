//! The page of a plan: what happens, to what, and what must be typed before it does. Must not know how it is done.

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use crate::console::access::{Right, Visitor};
use crate::console::page::{Answer, Frame, Page};
use crate::console::plans::job::Order;
use crate::console::plans::kind::Kind;
use crate::console::plans::{Samples, must_act, under_way};
use crate::console::trouble::Trouble;
use crate::console::words::filters;
use crate::console::{Console, Shared, words};
use crate::store::console::tasks::{self, Start};
use crate::store::console::{TEXT_MAX, plans};

/// How many a second, unless somebody says otherwise, and at most.
const RATE: u32 = 100;
const RATE_MAX: u32 = 500;

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    rate: String,
    reason: String,
    count: String,
}

impl Typed {
    fn rate(&self) -> Option<u32> {
        self.rate.trim().parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate))
    }

    /// The number, with or without what parts thousands.
    fn count(&self) -> Option<u64> {
        let is_between = |character: char| character == ',' || character == '.' || character.is_whitespace();
        self.count.replace(is_between, "").parse().ok()
    }

    /// What is wrong, each by its field.
    fn wrong(&self, kind: Kind, count: u64) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if kind.has_a_rate() && self.rate().is_none() {
            wrong.push(("rate", format!("How many a second must be a number from 1 to {RATE_MAX}.")));
        }
        if kind.asks_for_a_reason(count) && self.reason.trim().is_empty() {
            wrong.push(("reason", "A reason is needed: it is written down with your name.".to_owned()));
        }
        if self.reason.trim().chars().count() > TEXT_MAX {
            wrong.push(("reason", format!("A reason has at most {TEXT_MAX} characters.")));
        }
        if kind.asks_for_the_count(count) && self.count() != Some(count) {
            let right = words::count(count);
            wrong.push(("count", format!("That is not {right}. Nothing was done: type {right} to go on.")));
        }
        wrong
    }
}

/// What can be made of a plan.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    /// It was made too long ago.
    Old,
    /// This is its task.
    Started(Uuid),
    /// Nobody here does such a thing, and why.
    Nobodys(&'static str),
    /// The visitor may only look.
    MayNot,
}

#[derive(Template)]
#[template(path = "plans/plan.html")]
pub(super) struct PlanPage {
    frame: Frame,
    seen: plans::Seen,
    kind: Kind,
    verb: String,
    above: (&'static str, &'static str),
    reason_above: Option<String>,
    standing: Standing,
    facts: Vec<(String, String)>,
    samples: Samples,
    samples_title: String,
    typed: Typed,
    wrong: Vec<(&'static str, String)>,
    command: String,
    asks_for_the_count: bool,
    reason_hint: &'static str,
    count_label: String,
    count_hint: String,
    is_final: bool,
}

impl PlanPage {
    fn of(
        console: &Console,
        visitor: &Visitor,
        found: Found,
        typed: Typed,
        wrong: Vec<(&'static str, String)>,
    ) -> Self {
        let Found { seen, kind } = found;
        let count = seen.plan.count;
        let standing = match (seen.task, console.acts.can(kind)) {
            (Some(task), _) => Standing::Started(task),
            (None, _) if seen.is_old => Standing::Old,
            (None, _) if !visitor.may(Right::Act) => Standing::MayNot,
            (None, Err(why)) => Standing::Nobodys(why),
            (None, Ok(())) => Standing::Ready,
        };
        let samples: Samples = serde_json::from_value(seen.plan.samples.clone()).unwrap_or_default();
        let things = kind.things(2).replace("2 ", "");
        Self {
            frame: Frame::of(console, visitor, kind.section()),
            kind,
            verb: kind.verb(count),
            above: kind.above(),
            reason_above: seen.plan.scope.get("reason").and_then(|reason| reason.as_str()).map(str::to_owned),
            standing,
            facts: facts(kind, &seen, typed.rate().unwrap_or(RATE)),
            samples_title: title_of(samples.rows.len()),
            samples,
            typed,
            wrong,
            command: kind.in_a_terminal(),
            asks_for_the_count: kind.asks_for_the_count(count),
            reason_hint: match kind.asks_for_a_reason(count) {
                true => "Is written down with your name.",
                false => "Need not be given. Is written down with your name.",
            },
            count_label: format!("Type {} to go on", words::count(count)),
            count_hint: format!("The number of {things}, with or without the comma."),
            is_final: kind == Kind::DropLetters,
            seen,
        }
    }

    /// The cells of a sample, each with its column's name.
    fn labelled<'a>(&'a self, row: &'a [String]) -> impl Iterator<Item = (&'a String, &'a String)> {
        self.samples.head.iter().zip(row)
    }

    /// What is wrong with a field; empty where nothing is.
    fn error(&self, field: &str) -> &str {
        self.wrong.iter().find(|(wrong, _)| *wrong == field).map_or("", |(_, sentence)| sentence.as_str())
    }
}

fn title_of(samples: usize) -> String {
    const NUMBERS: [&str; 6] = ["None", "One", "Two", "Three", "Four", "Five"];
    format!("{} of them", NUMBERS.get(samples).copied().unwrap_or("Some"))
}

/// The rows of *What happens*.
fn facts(kind: Kind, seen: &plans::Seen, rate: u32) -> Vec<(String, String)> {
    let count = seen.plan.count;
    let first = kind.first_fact().map(|first| (first.to_owned(), words::count(count)));
    let made: Vec<(String, String)> = serde_json::from_value(seen.plan.facts.clone()).unwrap_or_default();
    let time = kind.has_a_rate().then(|| {
        let seconds = count.div_ceil(u64::from(rate)).max(1);
        let lasting = words::lasting(std::time::Duration::from_secs(seconds));
        (format!("At {} a second", words::count(u64::from(rate))), format!("about {lasting}"))
    });
    first.into_iter().chain(made).chain(time).collect()
}

/// A plan that there is, of a kind that this build knows.
struct Found {
    seen: plans::Seen,
    kind: Kind,
}

async fn find(console: &Console, id: &str) -> Result<Found, Trouble> {
    let id: Uuid = id.parse().map_err(|_| Trouble::NotFound("plan"))?;
    // On the primary, where it was written a moment ago; where that is silent, reading goes on.
    let seen = match plans::one(&console.primary, id).await {
        Ok(seen) => seen,
        Err(_) => plans::one(&console.reads, id).await?,
    };
    let seen = seen.ok_or(Trouble::NotFound("plan"))?;
    let kind = Kind::parse(&seen.plan.kind).ok_or(Trouble::NotFound("plan"))?;
    Ok(Found { seen, kind })
}

/// GET `/plans/ID`.
pub(super) async fn show(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Answer<PlanPage> {
    let found = find(&console, &id).await?;
    let typed = Typed { rate: RATE.to_string(), ..Typed::default() };
    Ok(Page(PlanPage::of(&console, &visitor, found, typed, Vec::new())))
}

/// POST `/plans/ID`: starts it, if all that must be typed was.
pub(super) async fn start(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Trouble> {
    let found = find(&console, &id).await?;
    let (kind, count) = (found.kind, found.seen.plan.count);
    must_act(&console, &visitor, &format!("{}, plan {}", kind.verb(count), found.seen.id)).await?;
    if let Some(task) = found.seen.task {
        return Ok(to_task(task));
    }
    let wrong = typed.wrong(kind, count);
    if found.seen.is_old || console.acts.can(kind).is_err() || !wrong.is_empty() {
        let page = Page(PlanPage::of(&console, &visitor, found, typed, wrong));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    if kind.is_shared()
        && let Some(task) = under_way(&console, kind, &found.seen.plan.scope).await?
    {
        return Ok(to_task(task));
    }
    if console.acts.is_full() {
        let full = "Nothing was done: as many tasks run here as may. Cancel one, or wait for one to end.";
        return Err(Trouble::Refused(full.to_owned()));
    }
    begin(&console, &visitor, found, &typed).await
}

async fn begin(
    console: &Console,
    visitor: &Visitor,
    found: Found,
    typed: &Typed,
) -> Result<Response, Trouble> {
    let Found { seen, kind } = found;
    let plan = seen.id;
    let ids = plans::ids(&console.primary, plan).await.map_err(Trouble::unwritten)?;
    let (rate, reason) = (typed.rate().unwrap_or(RATE), Some(typed.reason.as_str()));
    let what = format!("{}, plan {plan}", kind.verb(seen.plan.count));
    let started = tasks::start(&console.primary, plan, &visitor.name, &what, reason, rate).await;
    match started.map_err(Trouble::unwritten)? {
        Start::Begun(task) => {
            let order = Order { plan, by: visitor.name.clone(), kind, scope: seen.plan.scope, ids, rate };
            console.acts.go(task, order);
            Ok(to_task(task))
        }
        // Somebody else was faster.
        Start::Already(task) => Ok(to_task(task)),
        Start::Old => Ok(crate::console::plans::to_plan(plan).into_response()),
    }
}

fn to_task(task: Uuid) -> Response {
    Redirect::to(&format!("/tasks/{task}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_typed_with_or_without_what_parts_thousands() {
        let typed =
            |count: &str| Typed { count: count.to_owned(), rate: "100".to_owned(), reason: "why".to_owned() };
        for right in ["1665", "1,665", " 1 665 ", "1.665"] {
            assert_eq!(typed(right).wrong(Kind::RedriveLetters, 1_665), [], "{right}");
        }
        for wrong in ["", "1664", "all", "-1665", "1665x"] {
            let wrong = typed(wrong).wrong(Kind::RedriveLetters, 1_665);
            assert!(matches!(wrong.as_slice(), [("count", _)]), "{wrong:?}");
        }
    }

    #[test]
    fn a_reason_and_a_rate_are_asked_for_where_they_matter() {
        let empty = Typed::default();
        let fields =
            |kind, count| empty.wrong(kind, count).into_iter().map(|(field, _)| field).collect::<Vec<_>>();
        assert_eq!(fields(Kind::RedriveLetters, 2), ["rate", "reason", "count"]);
        assert_eq!(fields(Kind::RedriveLetters, 1), ["rate"]);
        assert_eq!(fields(Kind::DropLetters, 1), ["reason", "count"]);
        assert_eq!(fields(Kind::Verify { repair: false }, 0), Vec::<&str>::new());
        for rate in ["0", "501", "ten"] {
            assert_eq!(Typed { rate: rate.to_owned(), ..Typed::default() }.rate(), None, "{rate}");
        }
    }
}
