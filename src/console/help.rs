//! Help, the runbook, and how pages look: keys, themes. Must not know the database: it is there when that is not.

use askama::Template;
use axum::Router;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::console::Shared;
use crate::console::access::{Right, Visitor};
use crate::console::manual::{self, Block, Span};
use crate::console::page::{Answer, Frame, KEYS_COOKIE, Page, Section, THEME_COOKIE, Theme};
use crate::console::status::Status;

#[derive(Debug, Template)]
#[template(path = "help.html")]
struct Help {
    frame: Frame,
}

#[derive(Debug, Template)]
#[template(path = "runbook.html")]
struct Runbook {
    frame: Frame,
    blocks: &'static [Block],
}

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new()
        .route("/help", get(show).post(choose_keys))
        .route("/runbook", get(read))
        .route("/theme", post(choose_theme))
}

async fn show(State(console): State<Shared>, visitor: Visitor) -> Answer<Help> {
    Ok(Page(Help { frame: Frame::of(&console, &visitor, Section::None) }))
}

async fn read(State(console): State<Shared>, visitor: Visitor) -> Answer<Runbook> {
    Ok(Page(Runbook { frame: Frame::of(&console, &visitor, Section::None), blocks: manual::runbook() }))
}

#[derive(Debug, Deserialize)]
struct ThemeChoice {
    theme: Theme,
    back: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Keys {
    On,
    Off,
}

#[derive(Debug, Deserialize)]
struct KeysChoice {
    keys: Keys,
}

/// A path of ours: no other host's, whatever a browser makes of it.
fn own(path: &str) -> &str {
    let is_own = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { path } else { "/now" }
}

/// Keeps a choice for a year, and goes on.
fn keep(cookie: &str, choice: &str, back: &str) -> Response {
    let cookie = format!("{cookie}={choice}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict");
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, own(back).to_owned())]).into_response()
}

async fn choose_theme(Form(ThemeChoice { theme, back }): Form<ThemeChoice>) -> Response {
    keep(THEME_COOKIE, theme.name(), &back)
}

async fn choose_keys(Form(KeysChoice { keys }): Form<KeysChoice>) -> Response {
    let choice = match keys {
        Keys::On => "on",
        Keys::Off => "off",
    };
    keep(KEYS_COOKIE, choice, "/help#keys")
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn nobody_is_sent_to_another_host() {
        for path in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\nb", "javascript:x"]
        {
            assert_eq!(own(path), "/now", "{path:?}");
        }
        assert_eq!(own("/users?status=confirmed#find"), "/users?status=confirmed#find");
    }
}
