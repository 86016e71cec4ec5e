//! Reveals one user's personal data for ten minutes, once who and why are written down on the primary; and masks them again.

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use crate::console::access::{Access, Right, Visitor};
use crate::console::page::Page;
use crate::console::trouble::Trouble;
use crate::console::users::one::{self, Asked};
use crate::console::{Console, Shared};
use crate::store::console::TEXT_MAX;
use crate::store::console::trail::{self, Deed, Did};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    reason: String,
    /// Anything: mask again.
    mask: String,
}

pub(super) async fn decide(
    State(console): State<Shared>,
    visitor: Visitor,
    Path(sub): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Trouble> {
    let user = one::user(&sub)?;
    if !typed.mask.is_empty() {
        return Ok(mask(&console, &visitor, user).await);
    }
    if !visitor.may(Right::Reveal) {
        let result = "without the right to reveal".to_owned();
        write_if_possible(&console, deed(&visitor, user, Did::Refused, None, Some(result))).await;
        return Err(Trouble::Forbidden(Right::Reveal));
    }
    let reason = typed.reason.trim();
    let wrong = match reason.chars().count() {
        0 => Some("A reason is needed: it is written down with your name.".to_owned()),
        count if count > TEXT_MAX => Some(format!("A reason has at most {TEXT_MAX} characters.")),
        _ => None,
    };
    if let Some(wrong) = wrong {
        let page = one::page(&console, &visitor, user, &Asked::default(), wrong).await?;
        return Ok((StatusCode::BAD_REQUEST, Page(page)).into_response());
    }
    // First: what cannot be written down is not shown.
    let deed =
        deed(&visitor, user, Did::Revealed, Some(reason.to_owned()), Some("for 10 minutes".to_owned()));
    trail::write(&console.primary, &deed).await.map_err(Trouble::unwritten)?;
    let cookie = console.access.reveal(&visitor, user);
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&format!("/users/{user}"))).into_response())
}

/// Masks whatever is revealed; that is not kept back because it cannot be written down.
async fn mask(console: &Console, visitor: &Visitor, user: Uuid) -> Response {
    if visitor.has_revealed(user).is_some() {
        write_if_possible(console, deed(visitor, user, Did::Masked, None, None)).await;
    }
    ([(SET_COOKIE, Access::mask(visitor))], Redirect::to(&format!("/users/{user}"))).into_response()
}

fn deed(visitor: &Visitor, user: Uuid, did: Did, reason: Option<String>, result: Option<String>) -> Deed {
    Deed { who: visitor.name.clone(), did, what: Some(user.to_string()), reason, result }
}

async fn write_if_possible(console: &Console, deed: Deed) {
    if let Err(error) = trail::write(&console.primary, &deed).await {
        tracing::warn!(error = %error, deed = deed.did.as_str(), "what was done or refused is not written down");
    }
}
