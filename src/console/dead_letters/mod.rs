//! Dead letters: by reason, one reason's messages, one message; reads them when asked, and plans what to do with them. No
//! page receives from a queue by itself ([`reader`] says why).

mod draft;
mod letter;
mod of_user;
mod reader;
mod reasons;
mod view;
mod worker;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Deserialize;

use crate::console::access::{Right, Visitor};
pub(in crate::console) use crate::console::dead_letters::of_user::{OfUser, UserLetter};
pub use crate::console::dead_letters::reader::QueueUrls;
pub(in crate::console) use crate::console::dead_letters::reader::Reader;
use crate::console::dead_letters::reader::{Mailbox, Queue};
use crate::console::dead_letters::view::{BoxView, LetterView, ReasonView};
pub(in crate::console) use crate::console::dead_letters::worker::Dealer;
use crate::console::page::{Answer, Frame, Page, Section};
use crate::console::trouble::Trouble;
use crate::console::words::filters;
use crate::console::{Shared, plans, words};
use crate::store::console::trail::{self, Deed, Did};

/// Letters that one id may name and that are shown.
const SAME_ID_MAX: usize = 20;

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dead-letters", get(list))
        .route("/dead-letters/read", post(read))
        .route("/dead-letters/plan", post(plan))
        .route("/dead-letters/{id}", get(one))
}

#[derive(Debug, Template)]
#[template(path = "dead_letters/list.html")]
struct List {
    frame: Frame,
    may_act: bool,
    /// That somebody reads now, and how far it is.
    underway: Option<String>,
    boxes: Vec<BoxView>,
    chosen: Option<ReasonView>,
    /// What was chosen and is not there.
    gone: Option<String>,
}

impl List {
    /// Whether anything was read since the console started.
    fn is_read(&self) -> bool {
        self.boxes.iter().any(|one| one.reading.is_some())
    }
}

/// Which of them are listed.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    queue: Option<String>,
    reason: Option<String>,
    after: Option<String>,
}

impl Asked {
    /// A page of the letters that are asked for: of this queue, or of the first that has such.
    fn of(&self, reader: &Reader, now: Timestamp) -> Option<ReasonView> {
        let reason = self.reason.as_deref()?;
        let queue = self.queue.as_deref().and_then(Queue::named);
        let mut mailboxes =
            reader.mailboxes().iter().filter(|mailbox| queue.is_none_or(|queue| queue == mailbox.queue));
        mailboxes.find_map(|mailbox| {
            ReasonView::of(mailbox.queue, mailbox.found()?.as_ref(), reason, self.after.as_deref(), now)
        })
    }
}

async fn list(State(console): State<Shared>, visitor: Visitor, Query(asked): Query<Asked>) -> Answer<List> {
    let (reader, now) = (&console.letters, Timestamp::now());
    let told = futures::future::join_all(reader.mailboxes().iter().map(|mailbox| mailbox.told())).await;
    let chosen = asked.of(reader, now);
    let underway = reader.underway().map(|underway| {
        let (at, seen) = (words::clock(underway.at), u64::try_from(underway.seen()).unwrap_or(u64::MAX));
        format!(
            "Reading since {at} UTC, for {}: {} so far.",
            words::Foreign(&underway.by),
            words::count(seen)
        )
    });
    let boxes = reader.mailboxes().iter().zip(&told).map(|(mailbox, told)| BoxView::of(mailbox, told, now));
    Ok(Page(List {
        frame: Frame::of(&console, &visitor, Section::DeadLetters),
        may_act: visitor.may(Right::Act),
        underway,
        boxes: boxes.collect(),
        gone: asked.reason.filter(|_| chosen.is_none()),
        chosen,
    }))
}

#[derive(Debug, Template)]
#[template(path = "dead_letters/one.html")]
struct One {
    frame: Frame,
    may_act: bool,
    /// At least one; two events may have one id.
    letters: Vec<LetterView>,
}

async fn one(State(console): State<Shared>, visitor: Visitor, Path(id): Path<String>) -> Answer<One> {
    let now = Timestamp::now();
    let of = |mailbox: &Arc<Mailbox>| {
        let found = mailbox.found()?;
        let letters = found.letters.iter().filter(|letter| letter.answers_to(&id)).take(SAME_ID_MAX);
        Some(letters.map(|letter| LetterView::of(mailbox.queue, &found, letter, now)).collect::<Vec<_>>())
    };
    let letters: Vec<LetterView> = console.letters.mailboxes().iter().filter_map(of).flatten().collect();
    if letters.is_empty() {
        return Err(Trouble::NotFound("dead letter among those that were read last"));
    }
    let frame = Frame::of(&console, &visitor, Section::DeadLetters);
    Ok(Page(One { frame, may_act: visitor.may(Right::Act), letters }))
}

/// Receives what is in the queues, which hides it from others for a while: so it needs the right to act, and is written down
/// before.
async fn read(State(console): State<Shared>, visitor: Visitor) -> Result<Redirect, Trouble> {
    plans::must_act(&console, &visitor, "Read the dead letters").await?;
    let what = Some("dead letters".to_owned());
    let deed = Deed { who: visitor.name.clone(), did: Did::Read, what, reason: None, result: None };
    trail::write(&console.primary, &deed).await.map_err(Trouble::unwritten)?;
    console.letters.read(&visitor.name).await;
    Ok(Redirect::to("/dead-letters"))
}

/// Plans what a form asks for.
async fn plan(State(console): State<Shared>, visitor: Visitor, form: Bytes) -> Result<Response, Trouble> {
    plans::must_act(&console, &visitor, "Plan what to do with dead letters").await?;
    let asked = draft::Asked::parse(&form)?;
    let draft = asked.draft(&console.letters).await?;
    let id = plans::make(&console, &visitor, draft).await?;
    Ok(plans::to_plan(id).into_response())
}
