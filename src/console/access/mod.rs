//! Who may enter, and what they may: one-time links, the load balancer's header, Host and Origin. Must not know a page but
//! its own.
//!
//! | part | what it is for |
//! |---|---|
//! | [`asked`] | what whoever starts the console asks for, and what of it is refused |
//! | [`guard`] | the layers that each request passes |
//! | [`origin`] | Host, `Origin` and `Sec-Fetch-Site`; pure |
//! | [`link`], [`enter`] | one-time links, and the page that takes them |
//! | [`signed_in`] | writes down who signed in, once |
//! | [`session`], [`seal`], [`jar`] | what a browser keeps of it: sealed, in cookies |
//! | [`oidc`] | visitors whom a load balancer has signed in |
//! | [`rights`] | what a visitor may; pure |

mod asked;
mod door;
mod enter;
mod guard;
mod jar;
mod link;
mod oidc;
mod origin;
mod rights;
mod seal;
mod session;
mod signed_in;

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

pub use self::asked::{Asked, AskedOidc, Refused, SetupError};
pub(in crate::console) use self::enter::routes;
pub(in crate::console) use self::guard::{border, guard};
pub use self::rights::{Right, Rights};
pub use self::seal::NoRandomness;

use self::asked::{Granted, Way};
use self::jar::{Jar, REVEAL};
use self::link::Links;
use self::origin::Place;
use self::session::{REVEAL_LASTS, Reveal};
use self::signed_in::SignIns;
use crate::console::page::Look;
use crate::console::trouble::Trouble;

/// Who may enter, and how.
#[derive(Debug)]
pub struct Access {
    granted: Granted,
    links: Links,
    sign_ins: SignIns,
}

impl Access {
    /// As it was asked for.
    ///
    /// # Errors
    /// Names what of it is not safe, or means nothing, and what to do.
    pub fn of(asked: Asked) -> Result<Self, SetupError> {
        Ok(Self { granted: asked.grant()?, links: Links::default(), sign_ins: SignIns::default() })
    }

    /// The same, with links that are good for so long only: 15 minutes at most.
    #[must_use]
    pub fn with_links_lasting(self, lasts: Duration) -> Self {
        Self { links: Links::lasting(lasts), ..self }
    }

    /// Makes a one-time link to a console that listens there, good for 15 minutes or what was asked for; `None` where a load
    /// balancer signs people in.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn link(&self, listening: SocketAddr) -> Result<Option<String>, NoRandomness> {
        let Way::Link(_) = self.granted.way else { return Ok(None) };
        let token = self.links.make(Timestamp::now())?;
        Ok(Some(format!("{}/enter?token={token}", self.url(listening))))
    }

    /// Whether TLS stands in front of it.
    pub(in crate::console) fn is_behind_tls(&self) -> bool {
        self.granted.place.is_behind_tls()
    }

    /// Where a browser finds a console that listens there.
    #[must_use]
    pub fn url(&self, listening: SocketAddr) -> String {
        match &self.granted.place {
            Place::Loopback => format!("http://{listening}"),
            Place::Behind(host) => format!("https://{host}"),
        }
    }

    /// The cookie by which a visitor sees one user's data for 10 minutes, instead of another one's before. Write down
    /// who and why first.
    pub(in crate::console) fn reveal(&self, visitor: &Visitor, user: Uuid) -> HeaderValue {
        let reveal = Reveal::begin(&visitor.session, user, Timestamp::now());
        visitor.jar.set(REVEAL, &reveal.seal(&self.granted.seal), REVEAL_LASTS)
    }

    /// The cookie by which a visitor sees nobody's data any more.
    pub(in crate::console) fn mask(visitor: &Visitor) -> HeaderValue {
        visitor.jar.clear(REVEAL)
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
    /// What is revealed is bound to it; says nothing of anybody.
    session: String,
    revealed: Option<Reveal>,
    jar: Jar,
}

impl Visitor {
    pub(in crate::console) fn may(&self, right: Right) -> bool {
        self.rights.has(right)
    }

    /// Until when this user's personal data are revealed to the visitor, if they are.
    pub(in crate::console) fn has_revealed(&self, user: Uuid) -> Option<Timestamp> {
        let revealed = self.revealed.as_ref().filter(|_| self.may(Right::Reveal))?;
        (revealed.user == user).then_some(revealed.until)
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Trouble> {
        parts.extensions.get().cloned().ok_or(Trouble::SignIn)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::console::access::session::after;

    fn visitor(rights: &[Right], revealed: Option<Reveal>) -> Visitor {
        Visitor {
            name: "ada".to_owned(),
            rights: Rights::of(rights),
            look: Look::default(),
            session: "one".to_owned(),
            revealed,
            jar: Jar::of(&Place::Loopback, "127.0.0.1:8787"),
        }
    }

    #[test]
    fn a_user_is_revealed_to_whom_the_cookie_was_given_while_they_may() {
        let (user, now) = (Uuid::now_v7(), Timestamp::now());
        let reveal = || Some(Reveal::begin("one", user, now));
        let reveals = visitor(&[Right::Reveal], reveal());
        assert_eq!(reveals.has_revealed(user), Some(after(now, REVEAL_LASTS)));
        assert_eq!(reveals.has_revealed(Uuid::now_v7()), None);
        assert_eq!(visitor(&[Right::Act], reveal()).has_revealed(user), None, "the right was taken back");
        assert_eq!(visitor(&[Right::Reveal], None).has_revealed(user), None);
    }
}
