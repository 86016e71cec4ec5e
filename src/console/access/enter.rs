//! `/enter`: takes a one-time link, or says why not. Must not know a session's contents.

use axum::body::Bytes;
use axum::extract::{Extension, Request, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::get;
use axum::{RequestExt as _, Router};
use cognito_user_sync_triggers::timestamp::Timestamp;

use super::asked::Way;
use super::door::Why;
use super::guard::Arrival;
use super::jar::{BACK, REVEAL, SESSION};
use super::link::token_in;
use super::origin::own_path;
use super::session::{SESSION_LASTS, Session};
use super::signed_in;
use crate::console::Shared;
use crate::console::page::Look;
use crate::console::trouble::Trouble;

/// By it a browser says that nobody looks yet.
const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// What is here for visitors without a session.
pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new().route("/enter", get(open).post(paste))
}

/// Opens a link. Only a visit uses it up: no HEAD, and no browser that fetches pages beforehand.
async fn open(State(console): State<Shared>, arrival: Extension<Arrival>, request: Request) -> Response {
    let is_visit = request.method() == Method::GET && !request.headers().contains_key(PURPOSE);
    if !is_visit {
        return StatusCode::NO_CONTENT.into_response();
    }
    let token = token_of(request.uri().query().unwrap_or_default().as_bytes());
    let (headers, look) = (request.headers().clone(), Look::of(&request));
    enter(&console, &arrival, &headers, look, token.as_deref()).await
}

/// Takes what somebody pasted into the page: where a tunnel has another port, the link itself leads nowhere.
async fn paste(State(console): State<Shared>, arrival: Extension<Arrival>, request: Request) -> Response {
    let (headers, look) = (request.headers().clone(), Look::of(&request));
    let Ok(body) = request.extract::<Bytes, _>().await else {
        return Trouble::Refused("The form is too long.".to_owned()).into_response();
    };
    let pasted = token_of(&body);
    enter(&console, &arrival, &headers, look, pasted.as_deref().map(token_in)).await
}

fn token_of(form: &[u8]) -> Option<String> {
    url::form_urlencoded::parse(form).find_map(|(name, value)| (name == "token").then(|| value.into_owned()))
}

async fn enter(
    console: &Shared,
    arrival: &Arrival,
    headers: &HeaderMap,
    look: Look,
    token: Option<&str>,
) -> Response {
    let (access, now) = (&console.access, Timestamp::now());
    let Way::Link(name) = &access.granted.way else { return Trouble::NotFound("page").into_response() };
    let jar = &arrival.jar;
    let back = jar.values(headers, BACK).iter().find_map(|path| own_path(path).map(str::to_owned));
    let location = [(LOCATION, back.clone().unwrap_or_else(|| "/now".to_owned()))];
    let no_entry = match token.map(|token| access.links.take(token, now)) {
        Some(Ok(number)) => {
            let session = Session::begin(&format!("{name} (link {number})"), access.granted.allow, now);
            tracing::info!(console.link = number, console.session = %session.id, "somebody came in by a one-time link");
            signed_in::write(console, &session.name, &session.id.to_string(), session.rights).await;
            let cookie = jar.set(SESSION, &session.seal(&access.granted.seal), SESSION_LASTS);
            let cookies = [cookie, jar.clear(REVEAL), jar.clear(BACK)].map(|cookie| (SET_COOKIE, cookie));
            return (StatusCode::SEE_OTHER, location, AppendHeaders(cookies)).into_response();
        }
        Some(Err(no_entry)) => Why::Link(no_entry),
        None => Why::SignIn { nothing_done: false },
    };
    // Who is in, and opens a link of the history again, is in.
    match access.session(jar, headers) {
        Some(_) => (StatusCode::SEE_OTHER, location).into_response(),
        None => no_entry.page(console, look, back),
    }
}
