//! Users.

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use crate::console::Shared;
use crate::console::access::Visitor;
use crate::console::page::{Answer, NotYet, Page, Section};

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new().route("/users", get(show))
}

async fn show(State(console): State<Shared>, visitor: Visitor) -> Answer<NotYet> {
    Ok(Page(NotYet::of(&console, &visitor, Section::Users, "Users")))
}
