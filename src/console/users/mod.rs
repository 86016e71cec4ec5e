//! Users: found, listed, explained. Masked, until one is revealed for a reason that is written down first.

mod count;
mod list;
mod one;
mod reveal;
mod search;
mod tell;
mod why;

use axum::Router;
use axum::routing::{get, post};

use crate::console::Shared;
pub(in crate::console) use crate::console::users::count::Counter;
use crate::store::directory::Standing;

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new()
        .route("/users", get(list::show))
        .route("/users/find", post(search::find))
        .route("/users/count", post(count::plan))
        .route("/users/{sub}", get(one::show))
        .route("/users/{sub}/reveal", post(reveal::decide))
}

/// What a user's standing is called.
fn standing(standing: Option<Standing>) -> &'static str {
    match standing {
        Some(Standing::Confirmed) => "Confirmed",
        Some(Standing::External) => "External",
        Some(Standing::Unconfirmed) => "Unconfirmed",
        Some(Standing::MustChangePassword) => "Must change password",
        Some(Standing::ResetRequired) => "Must reset password",
        Some(Standing::Disabled) => "Disabled",
        Some(Standing::Deleted) => "Deleted",
        Some(Standing::Erased) => "Erased",
        None => "Another status",
    }
}

/// The first characters of a sub, by which people tell users apart.
fn short(sub: &str) -> &str {
    sub.get(..8).unwrap_or(sub)
}
