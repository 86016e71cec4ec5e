//! Finds a user by what somebody typed, which stands in no URL and no log.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Deserialize;

use crate::console::Shared;
use crate::console::access::Visitor;
use crate::console::page::{Frame, Page, Section};
use crate::console::trouble::Trouble;
use crate::console::users::list::Line;
use crate::console::words::filters;
use crate::store::console::trail::{self, Deed, Did};
use crate::store::directory::{self, Found, How};

/// The longest text that is looked for, in characters: an address has at most 254.
const TEXT_MAX_CHARS: usize = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    text: String,
}

/// None, or several; never what was typed: the page may stay open on somebody's screen.
#[derive(Template)]
#[template(path = "users/found.html")]
struct FoundPage {
    frame: Frame,
    title: String,
    compared: String,
    has_more: bool,
    lines: Vec<Line>,
}

pub(super) async fn find(
    State(console): State<Shared>,
    visitor: Visitor,
    Form(typed): Form<Typed>,
) -> Result<Response, Trouble> {
    if typed.text.chars().count() > TEXT_MAX_CHARS {
        return Err(Trouble::Refused(format!("A search has at most {TEXT_MAX_CHARS} characters.")));
    }
    if !directory::is_ready(&console.reads).await? {
        return Ok(Redirect::to("/users").into_response());
    }
    let found = directory::find(&console.reads, &typed.text).await?;
    // Before anything is shown: whether there is an address says something of a person, too.
    let result = match (found.users.len(), found.has_more) {
        (_, true) => format!("more than {} found", directory::PAGE),
        (count, false) => format!("{count} found"),
    };
    let (who, what) = (visitor.name.clone(), Some(format!("by {}", compared(&found.compared))));
    let deed = Deed { who, did: Did::Searched, what, reason: None, result: Some(result) };
    trail::write(&console.primary, &deed).await.map_err(Trouble::unwritten)?;
    if let [(user, How::Sub | How::Email | How::Phone | How::UserName | How::Name)] = found.users[..] {
        return Ok(Redirect::to(&format!("/users/{user}")).into_response());
    }
    let Found { compared: ways, users, has_more } = found;
    let ids: Vec<_> = users.iter().map(|(user, _)| *user).collect();
    let (listed, now) = (directory::those(&console.reads, &ids).await?, Timestamp::now());
    let title = match (ids.len(), ways.last()) {
        (0, None) => "Nothing was typed".to_owned(),
        (0, Some(_)) if ways.contains(&How::Email) => "Nobody has that e-mail address.".to_owned(),
        (0, Some(_)) if ways.contains(&How::Phone) => "Nobody has that phone number.".to_owned(),
        (0, Some(_)) => "Nobody was found.".to_owned(),
        (count, _) => format!("{count} users"),
    };
    let lines = listed.into_iter().map(|user| Line::of(user, now)).collect();
    let frame = Frame::of(&console, &visitor, Section::Users);
    Ok(Page(FoundPage { frame, title, compared: compared(&ways), has_more, lines }).into_response())
}

/// By what it was looked for, in words.
fn compared(ways: &[How]) -> String {
    let word = |how: &How| match how {
        How::Sub => "subs, of users and of events",
        How::Email => "e-mail addresses, of now and of before",
        How::Phone => "phone numbers, of now and of before",
        How::UserName => "user names",
        How::Name => "the beginnings of names",
    };
    match ways {
        [] => "nothing".to_owned(),
        [one] => word(one).to_owned(),
        [others @ .., last] => {
            format!("{} and {}", others.iter().map(word).collect::<Vec<_>>().join("; "), word(last))
        }
    }
}
