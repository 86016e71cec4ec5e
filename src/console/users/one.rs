//! One user's page: the row and why it is so, sign-ins a week, the timeline. Masked unless it is revealed to the visitor.

use askama::Template;
use axum::extract::{Path, Query, State};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::console::access::{Right, Visitor};
use crate::console::charts::{Axis, Bars, Caption, Chart, Size, Tone, Unit, bars};
use crate::console::dead_letters::{OfUser, UserLetter};
use crate::console::page::{Answer, Frame, Page, Section};
use crate::console::trouble::Trouble;
use crate::console::users::tell::{self, Day};
use crate::console::users::why::{self, Part, Reason, Shown};
use crate::console::users::{short, standing};
use crate::console::words::filters;
use crate::console::{Console, Shared, words};
use crate::geoip::GeoIp;
use crate::store::directory::{self, Row, Standing};
use crate::store::maintenance::explain::Explanation;
use crate::store::timeline::{self, History, Show, WHOLE_MAX};

/// What the URL asks for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    show: String,
    before: String,
}

const SHOWS: [(&str, &str, Show); 4] = [
    ("", "All", Show::All),
    ("changes", "Changes", Show::Changes),
    ("sign-ins", "Sign-ins", Show::SignIns),
    ("trouble", "Trouble", Show::Trouble),
];

/// A figure above the explanation.
struct Figure {
    name: &'static str,
    figure: String,
    note: String,
}

#[derive(Template)]
#[template(path = "users/one.html")]
pub(super) struct UserPage {
    frame: Frame,
    sub: String,
    short: String,
    standing: &'static str,
    has_row: bool,
    /// Until when it is revealed; empty where it is masked.
    revealed_until: String,
    may_reveal: bool,
    wrong: String,
    is_erased: bool,
    figures: Vec<Figure>,
    reasons: Vec<Reason>,
    /// Whether the row is what its history says, and the sentence; `None` where the history is not read whole.
    verdict: Option<(bool, String)>,
    chart: Option<Chart>,
    shows: Vec<(String, String, bool)>,
    days: Vec<Day>,
    newer: String,
    older: String,
    folded: String,
    too_long: String,
    /// What is known of dead letters: as of when, or why not.
    letters: String,
}

impl UserPage {
    /// What leads to an event: on this page, or on the one that begins with it.
    fn event(&self, id: &Uuid) -> String {
        let (sub, next) = (&self.sub, Uuid::from_u128(id.as_u128().saturating_add(1)));
        let is_here = self.days.iter().flat_map(|day| &day.lines).any(|line| line.id == id.to_string());
        if is_here { format!("#e-{id}") } else { format!("/users/{sub}?before={next}#e-{id}") }
    }
}

/// A sub of a URL.
pub(super) fn user(sub: &str) -> Result<Uuid, Trouble> {
    sub.parse().map_err(|_| Trouble::NotFound("user"))
}

pub(super) async fn show(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(sub): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<UserPage> {
    Ok(Page(page(&console, &visitor, user(&sub)?, &asked, String::new()).await?))
}

/// The page; `wrong` is what is wrong with the reason that was typed.
pub(super) async fn page(
    console: &Console,
    visitor: &Visitor,
    user: Uuid,
    asked: &Asked,
    wrong: String,
) -> Result<UserPage, Trouble> {
    let show = SHOWS.iter().find(|(word, _, _)| *word == asked.show).map(|(_, _, show)| *show);
    let show = show.ok_or_else(|| Trouble::Refused("There is no such view of a timeline.".to_owned()))?;
    let before = match asked.before.as_str() {
        "" => None,
        id => Some(
            id.parse().map_err(|_| Trouble::Refused("There is no such place in a timeline.".to_owned()))?,
        ),
    };
    let row = directory::row(&console.reads, user).await?;
    let history = timeline::read(&console.reads, &GeoIp::default(), user, show, before).await?;
    let has_history = !history.entries.is_empty()
        || history.counts.is_some_and(|counts| counts.all > 0)
        || history.folded.is_some()
        || history.explanation.as_ref().is_some_and(|known| !known.groups.is_empty());
    let known = console.letters.of_user(user);
    if row.is_none() && !has_history && known.letters.is_empty() {
        return Err(Trouble::NotFound("user"));
    }
    let until = visitor.has_revealed(user);
    let is_revealed = until.is_some();
    let sub = user.to_string();
    let path = format!("/users/{sub}");
    let older = history.older.map(|id| url(&path, asked, Some(id))).unwrap_or_default();
    let (standing, is_erased) = row.as_ref().map_or(("No row", false), stands);
    Ok(UserPage {
        frame: Frame::of(console, visitor, Section::Users),
        short: short(&sub).to_owned(),
        standing,
        is_erased,
        has_row: row.is_some(),
        revealed_until: until.map(words::clock).unwrap_or_default(),
        may_reveal: visitor.may(Right::Reveal),
        wrong,
        figures: row.as_ref().map(|row| figures(row, &history)).unwrap_or_default(),
        reasons: match &row {
            Some(row) if before.is_none() => why::reasons(row, history.explanation.as_ref(), is_revealed),
            Some(_) | None => Vec::new(),
        },
        verdict: history.explanation.as_ref().filter(|_| row.is_some()).map(|known| verdict(known, &history)),
        chart: chart(&history).filter(|_| before.is_none()),
        shows: shows(&path, asked, &history),
        newer: if before.is_some() { url(&path, asked, None) } else { String::new() },
        older,
        folded: folded(&history),
        too_long: match history.explanation {
            Some(_) => String::new(),
            None => words::count(WHOLE_MAX),
        },
        letters: letters_note(&known),
        days: tell::days(history.entries, on_page(known, show, before, history.older), is_revealed),
        sub,
    })
}

/// The dead letters of what this page shows: of its time, where trouble is shown.
fn on_page(known: OfUser, show: Show, before: Option<Uuid>, older: Option<Uuid>) -> Vec<UserLetter> {
    // The first 48 bits of an id are its time.
    let millis = |id: Uuid| u64::try_from(id.as_u128() >> 80).unwrap_or(u64::MAX);
    let (from, until) = (older.map_or(0, millis), before.map_or(u64::MAX, millis));
    match show {
        Show::All | Show::Trouble => {}
        Show::Changes | Show::SignIns => return Vec::new(),
    }
    let is_here = |letter: &UserLetter| (from..until).contains(&letter.at.unix_millis());
    known.letters.into_iter().filter(is_here).collect()
}

fn letters_note(known: &OfUser) -> String {
    match (known.is_readable, known.read_at) {
        (false, _) => {
            "An event that could not be applied is not here: this console was given no dead-letter queue."
                .to_owned()
        }
        (true, None) => {
            "An event that could not be applied is not here: nobody has read the dead letters since this console started."
                .to_owned()
        }
        (true, Some(at)) => {
            let all = if known.is_complete { "" } else { ", which was not all of them" };
            format!("Dead letters stand at their times, as they were read at {} UTC{all}.", words::utc(at))
        }
    }
}

fn url(path: &str, asked: &Asked, before: Option<Uuid>) -> String {
    let show = Some(("show", asked.show.clone())).filter(|(_, show)| !show.is_empty());
    let before = before.map(|id| ("before", id.to_string()));
    let pairs: Vec<_> = show.into_iter().chain(before).collect();
    if pairs.is_empty() {
        return path.to_owned();
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{path}?{query}")
}

fn shows(path: &str, asked: &Asked, history: &History) -> Vec<(String, String, bool)> {
    let link = |(word, text, show): &(&str, &str, Show)| {
        let count = history.counts.map(|counts| match show {
            Show::All => counts.all,
            Show::Changes => counts.changes,
            Show::SignIns => counts.sign_ins,
            Show::Trouble => counts.trouble,
        });
        let count = count.map(|count| format!(" {}", words::count(u64::try_from(count).unwrap_or(u64::MAX))));
        let target = url(path, &Asked { show: (*word).to_owned(), before: String::new() }, None);
        (target, format!("{text}{}", count.unwrap_or_default()), asked.show == *word)
    };
    SHOWS.iter().map(link).collect()
}

/// How a row stands, and whether the person is erased.
fn stands(row: &Row) -> (&'static str, bool) {
    let is = |column: &str| row.columns.get(column).and_then(serde_json::Value::as_bool);
    let is_erased = row.columns.get("erased_at").is_some_and(|at| !at.is_null());
    let status = row.columns.get("cognito_status").and_then(serde_json::Value::as_str);
    let (is_deleted, enabled) = (is("is_deleted") == Some(true), is("enabled") != Some(false));
    (standing(Standing::of(is_erased, is_deleted, enabled, status)), is_erased)
}

fn figures(row: &Row, history: &History) -> Vec<Figure> {
    let now = Timestamp::now();
    let at = |column: &str| row.columns.get(column).and_then(serde_json::Value::as_str).and_then(why::time);
    let text = |column: &str| why::text(row.columns.get(column));
    let this_week = history.weeks.last().map(|(_, count)| format!("{} this week", words::count(*count)));
    let last = at("last_login_at");
    let device = text("last_login_device").map(|device| format!(", {device}")).unwrap_or_default();
    let linked = row.identities.first().map(|(provider, at)| {
        let at = at.map(|at| format!(", linked {}", words::day(at.into()))).unwrap_or_default();
        format!("with {provider}{at}")
    });
    let groups = row.groups.join(", ");
    vec![
        Figure {
            name: "Sign-ins",
            figure: text("login_count").unwrap_or_default(),
            note: this_week.unwrap_or_default(),
        },
        Figure {
            name: "Last sign-in",
            figure: last.map_or_else(|| "never".to_owned(), words::day),
            note: last.map(|last| format!("{}{device}", words::ago(last, now))).unwrap_or_default(),
        },
        Figure {
            name: "Since",
            figure: at("created_at").map(words::day).unwrap_or_default(),
            note: linked.unwrap_or_default(),
        },
        Figure {
            name: "Groups",
            figure: if groups.is_empty() { "none".to_owned() } else { groups },
            note: String::new(),
        },
    ]
}

/// Whether the row is what its history says.
fn verdict(explanation: &Explanation, history: &History) -> (bool, String) {
    let of_row = explanation.outcome.as_ref().map_or(0, |outcome| outcome.differences.len());
    let differs = of_row + explanation.group_differences.len() + explanation.context_differences.len();
    let events = history.counts.map_or(0, |counts| counts.all);
    let events = words::count(u64::try_from(events).unwrap_or(u64::MAX));
    match (explanation.outcome.is_some(), differs) {
        (false, _) => (false, "No event tells of this row".to_owned()),
        (true, 0) => (true, format!("The row is what its {events} events say")),
        (true, 1) => (false, "1 value differs from what the events say".to_owned()),
        (true, count) => (false, format!("{count} values differ from what the events say")),
    }
}

fn folded(history: &History) -> String {
    match (history.folded, history.older) {
        (Some(1), None) => "Older months are folded: 1 sign-in, without its time.".to_owned(),
        (Some(count), None) => {
            format!("Older months are folded: {} sign-ins, without their times.", words::count(count))
        }
        (Some(_), Some(_)) | (None, _) => String::new(),
    }
}

fn chart(history: &History) -> Option<Chart> {
    let (first, _) = history.weeks.first()?;
    let known = |count: &u64| u32::try_from(*count).ok().map(f64::from);
    Some(bars(&Bars {
        caption: Caption::default(),
        axis: Axis::Weeks(OffsetDateTime::from(*first).date()),
        values: history.weeks.iter().map(|(_, count)| known(count)).collect(),
        unit: Unit::Count("sign-ins"),
        tone: Tone::First,
        size: Size::Small,
        is_running: true,
    }))
}
