//! What somebody sees who is not let in: why, and how to come in. Must not know how that was decided.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use cognito_user_sync_triggers::timestamp::Timestamp;

use super::link::NoEntry;
use super::oidc::NoSignIn;
use crate::console::Console;
use crate::console::page::{Frame, Look, Page};
use crate::console::words;

/// Why somebody stands before the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// There is no session, or it is over. Whether something was asked to be done, and was not.
    SignIn { nothing_done: bool },
    /// The one-time link lets nobody in.
    Link(NoEntry),
    /// The load balancer's header lets nobody in.
    Oidc(NoSignIn),
    /// A page of another site leads here: the browser kept its cookies back, and shows them at the next step.
    GoOn,
    /// The Host is not the console's.
    Host,
    /// A page of another site asked.
    Site,
}

#[derive(Debug, Template)]
#[template(path = "access.html")]
struct Door {
    frame: Frame,
    title: String,
    text: Vec<&'static str>,
    /// How to get a one-time link, and a field for it.
    takes_link: bool,
    /// The console's own number, for the signal that prints a link.
    process: u32,
    /// Where to go on.
    path: Option<String>,
}

impl Why {
    fn status(self) -> StatusCode {
        match self {
            Self::SignIn { .. } | Self::Link(_) => StatusCode::UNAUTHORIZED,
            Self::Oidc(NoSignIn::Missing | NoSignIn::Expired | NoSignIn::Forged) => StatusCode::UNAUTHORIZED,
            Self::Oidc(NoSignIn::Later) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Oidc(NoSignIn::NoRole) | Self::Site => StatusCode::FORBIDDEN,
            Self::GoOn => StatusCode::OK,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    fn title(self) -> String {
        let used = |at: Timestamp| format!("This link was used at {} UTC", words::clock(at));
        match self {
            Self::SignIn { nothing_done: true } => "You are signed out: nothing was changed".to_owned(),
            Self::SignIn { nothing_done: false } => "Sign in".to_owned(),
            Self::Link(NoEntry::Used(at)) => used(at),
            Self::Link(NoEntry::Expired) => "This link has expired".to_owned(),
            Self::Link(NoEntry::Unknown) => "This link is none of this console's".to_owned(),
            Self::Oidc(NoSignIn::Missing) => "Nobody has signed you in".to_owned(),
            Self::Oidc(NoSignIn::Expired) => "Your sign-in has expired".to_owned(),
            Self::Oidc(NoSignIn::Forged) => "This sign-in is not valid".to_owned(),
            Self::Oidc(NoSignIn::Later) => "Nobody can be signed in at the moment".to_owned(),
            Self::Oidc(NoSignIn::NoRole) => "You have no right here".to_owned(),
            Self::GoOn => "Going on".to_owned(),
            Self::Host => "This is not the console's name".to_owned(),
            Self::Site => "This request came from another site".to_owned(),
        }
    }

    fn text(self) -> Vec<&'static str> {
        match self {
            Self::SignIn { nothing_done: true } => {
                vec!["The session is over, so what you asked for was not done. Sign in, and ask again."]
            }
            Self::SignIn { nothing_done: false } => vec!["Whoever has a one-time link comes in."],
            Self::Link(NoEntry::Used(_)) => vec![
                "A link lets one browser in, once.",
                "If that was not you, stop the console: the session ends with it. If it has a key of its own \
                 (USER_SYNC_CONSOLE_KEY), give it another one.",
            ],
            Self::Link(NoEntry::Expired) => vec!["A link is good for 15 minutes at most."],
            Self::Link(NoEntry::Unknown) => {
                vec!["It is incomplete, or the console was started again since, or many were made after it."]
            }
            Self::Oidc(NoSignIn::Missing) => vec![
                "The load balancer in front of this console signs people in. This request did not come by it, or its rule \
                 does not authenticate.",
            ],
            Self::Oidc(NoSignIn::Expired) => {
                vec!["Nothing was changed. Load the page again: the load balancer signs you in."]
            }
            Self::Oidc(NoSignIn::Forged) => vec![
                "It is not what this console's load balancer says of you. Nothing was shown or changed. The console's log says \
                 what is wrong with it.",
            ],
            Self::Oidc(NoSignIn::Later) => vec![
                "The host of the load balancer's keys does not answer, so no sign-in can be checked, and nobody comes in \
                 unchecked. Events are applied all the same. Try again in some seconds.",
            ],
            Self::Oidc(NoSignIn::NoRole) => vec![
                "You are signed in, and your roles give you no right. Nothing was shown or changed. Ask whoever runs this console for \
                 a role that may read.",
            ],
            Self::GoOn => vec!["A link of another site leads here."],
            Self::Host => vec![
                "Open it by the address that it prints when it starts: a page of another name could read what is shown to you.",
            ],
            Self::Site => {
                vec!["Nothing was shown or changed. Open the console by its own address, and ask there."]
            }
        }
    }

    /// The page that says so. `path`: where to go on, a path of our own.
    pub(super) fn page(self, console: &Console, look: Look, path: Option<String>) -> Response {
        // The path of a link holds its token.
        let look = Look { path: path.clone().unwrap_or_else(|| "/now".to_owned()), ..look };
        let takes_link = matches!(self, Self::SignIn { .. } | Self::Link(_));
        let frame = Frame::outside(console, look);
        let page = Door {
            frame,
            title: self.title(),
            text: self.text(),
            takes_link,
            process: std::process::id(),
            path,
        };
        (self.status(), Page(page)).into_response()
    }
}
