//! Help, and how pages look: keys, themes. Must not know the database.

use askama::Template;
use axum::Router;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::console::Shared;
use crate::console::access::Visitor;
use crate::console::page::{Answer, Frame, Page, Section, THEME_COOKIE, Theme};

#[derive(Debug, Template)]
#[template(path = "help.html")]
struct Help {
    frame: Frame,
}

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new().route("/help", get(show)).route("/theme", post(choose))
}

async fn show(State(console): State<Shared>, visitor: Visitor) -> Answer<Help> {
    Ok(Page(Help { frame: Frame::of(&console, &visitor, Section::None) }))
}

#[derive(Debug, Deserialize)]
struct Choice {
    theme: Theme,
    back: String,
}

/// A path of ours: no other host's, whatever a browser makes of it.
fn own(path: &str) -> &str {
    let is_own = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { path } else { "/now" }
}

async fn choose(Form(Choice { theme, back }): Form<Choice>) -> impl IntoResponse {
    let cookie =
        format!("{THEME_COOKIE}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict", theme.name());
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, own(&back).to_owned())])
}
