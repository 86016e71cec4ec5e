//! Who may what: sessions, one-time URLs, the load balancer's header, and what a visitor's rights are. Must not know a page.

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use crate::console::Shared;
use crate::console::page::Look;
use crate::console::trouble::Trouble;

/// What a visitor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Right {
    /// See everything but personal data.
    Read,
    /// See one user's personal data, written down with the reason.
    Reveal,
    /// Start what changes something.
    Act,
}

impl Right {
    /// As it is written in `--allow` and in a claim.
    pub(in crate::console) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Reveal => "reveal",
            Self::Act => "act",
        }
    }
}

/// What one visitor may do.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::console) struct Rights {
    pub(in crate::console) read: bool,
    pub(in crate::console) reveal: bool,
    pub(in crate::console) act: bool,
}

impl Rights {
    /// Those of them that there are, in ascending order.
    pub(in crate::console) fn all(self) -> Vec<Right> {
        let rights = [(self.read, Right::Read), (self.reveal, Right::Reveal), (self.act, Right::Act)];
        rights.into_iter().filter_map(|(has, right)| has.then_some(right)).collect()
    }
}

/// Whoever asks for a page.
#[derive(Debug, Clone)]
pub(in crate::console) struct Visitor {
    /// As the signer of the session calls them; others chose it.
    pub(in crate::console) name: String,
    pub(in crate::console) rights: Rights,
    /// How the page should look to them: the frame's, by [`Look::of`].
    pub(in crate::console) look: Look,
}

impl Visitor {
    pub(in crate::console) fn may(&self, right: Right) -> bool {
        match right {
            Right::Read => self.rights.read,
            Right::Reveal => self.rights.reveal,
            Right::Act => self.rights.act,
        }
    }

    /// # Errors
    /// When the right is missing.
    pub(in crate::console) fn must(&self, right: Right) -> Result<(), Trouble> {
        if self.may(right) { Ok(()) } else { Err(Trouble::Forbidden(right)) }
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Trouble> {
        parts.extensions.get().cloned().ok_or(Trouble::SignIn)
    }
}

/// What is here for visitors without a session.
pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new()
}

/// Puts the [`Visitor`] into the request's extensions, or refuses the request by a [`Trouble`].
pub(in crate::console) async fn guard(
    State(_): State<Shared>,
    mut request: Request,
    next: Next,
) -> Result<Response, Trouble> {
    let look = Look::of(&request);
    let rights = Rights { read: true, ..Rights::default() };
    request.extensions_mut().insert(Visitor { name: "you".to_owned(), rights, look });
    Ok(next.run(request).await)
}
