//! Now: whether every sign-in of the last minute is in the database.

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use crate::console::access::Visitor;
use crate::console::page::{Answer, NotYet, Page, Section};
pub(in crate::console) use crate::console::status::Status;
use crate::console::{Console, Shared};

/// One snapshot for all browsers, refreshed only while somebody asks.
#[derive(Debug, Default)]
pub(in crate::console) struct Watch;

/// What every page's rail shows.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::console) struct Marks {
    pub(in crate::console) now: Status,
    /// `None` is not known.
    pub(in crate::console) dead_letters: Option<u64>,
}

impl Watch {
    /// Of the last snapshot; never waits.
    pub(in crate::console) fn marks(&self) -> Marks {
        Marks::default()
    }
}

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new().route("/now", get(show))
}

async fn show(State(console): State<Shared>, visitor: Visitor) -> Answer<NotYet> {
    let console: &Console = &console;
    Ok(Page(NotYet::of(console, &visitor, Section::Now, "Now")))
}
