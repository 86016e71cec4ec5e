//! Now: whether every sign-in of the last minute is in the database, and if one is not, why. Looking costs one question of
//! each source for everybody who looks; nothing is counted, and nothing received.
//!
//! | part | what it is for |
//! |---|---|
//! | [`watch`], [`source`] | one look for all, at most so often; a source and what it last said |
//! | [`tables`], [`workers`] by [`scrape`], [`cloudwatch`] | the sources |
//! | [`hour`] | the last hour by minute |
//! | [`facts`], [`verdict`], [`sentence`] | what is known; the first that holds; how it is said |
//! | [`checks`], [`upkeep`], [`ran`] | each figure with its healthy range, and what to do |
//! | [`view`], [`charts`] | the page |

mod charts;
mod checks;
mod cloudwatch;
mod facts;
mod hour;
mod ran;
mod scrape;
mod sentence;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod upkeep;
mod verdict;
mod view;
mod watch;
mod workers;

use askama::Template;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;

pub use self::cloudwatch::Services;
use self::view::View;
pub use self::watch::Options;
pub(in crate::console) use self::watch::Watch;
pub use self::workers::{WORKERS_MAX, metrics_url};
use crate::console::Shared;
use crate::console::access::Visitor;
use crate::console::page::{Answer, Frame, Page, Section};
pub(in crate::console) use crate::console::status::Status;
use crate::console::words::filters;

/// What every page's rail shows.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::console) struct Marks {
    pub(in crate::console) now: Status,
    /// `None` is not known.
    pub(in crate::console) dead_letters: Option<u64>,
}

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new().route("/now", get(show)).route("/now.json", get(data))
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "now.html")]
struct Now {
    frame: Frame,
    view: View,
}

async fn look(console: &Shared) -> View {
    let snapshot = console.now.look().await;
    View::of(snapshot, Timestamp::now())
}

async fn show(State(console): State<Shared>, visitor: Visitor) -> Answer<Now> {
    // First: the frame's marks are of the same look.
    let view = look(&console).await;
    Ok(Page(Now { frame: Frame::of(&console, &visitor, Section::Now), view }))
}

async fn data(State(console): State<Shared>, _: Visitor) -> Json<Value> {
    Json(look(&console).await.json())
}
