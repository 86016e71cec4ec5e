//! The layers that each request passes: whether it is meant for this console, and who sent it. Must not know what it asks for.

use axum::extract::{Request, State};
use axum::http::header::{ALLOW, HOST, HeaderValue, REFERER, REFRESH, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cognito_user_sync_triggers::timestamp::Timestamp;

use super::asked::Way;
use super::door::Why;
use super::jar::{BACK, Jar, REVEAL, SESSION};
use super::link::LINK_LASTS;
use super::oidc::{NoSignIn, Oidc};
use super::origin::{Sent, only, own_path, sent};
use super::session::{Reveal, Session};
use super::signed_in;
use super::{Access, Visitor};
use crate::console::page::Look;
use crate::console::{Console, Shared};

/// What anybody may ask, for the load balancer does by the address alone. It tells no figure.
const HEALTH: &str = "/healthz";

/// How a request reached us; [`border`] notes it.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) jar: Jar,
    origin: String,
    sent: Sent,
}

impl Arrival {
    fn of(access: &Access, request: &Request) -> Result<Self, Why> {
        let headers = request.headers();
        let host = only(headers, &HOST).ok().flatten().ok_or(Why::Host)?;
        // A request may name a host in its first line, too.
        let named = request.uri().authority().map(|authority| authority.as_str());
        let place = &access.granted.place;
        let origin =
            place.origin(host).filter(|_| named.is_none_or(|named| named == host)).ok_or(Why::Host)?;
        let sent = sent(request.method(), headers, &origin).map_err(|()| Why::Site)?;
        Ok(Self { jar: Jar::of(place, host), origin, sent })
    }
}

/// Lets through what is meant for this console, and comes from no other site.
pub(in crate::console) async fn border(
    State(console): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    const METHODS: &str = "GET, HEAD, POST, OPTIONS";
    match *request.method() {
        Method::GET | Method::HEAD if request.uri().path() == HEALTH => return next.run(request).await,
        Method::GET | Method::HEAD | Method::POST => {}
        Method::OPTIONS => return (StatusCode::NO_CONTENT, [(ALLOW, METHODS)]).into_response(),
        _ => return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, METHODS)]).into_response(),
    }
    match Arrival::of(&console.access, &request) {
        Ok(arrival) => {
            request.extensions_mut().insert(arrival);
            next.run(request).await
        }
        Err(why) => why.page(&console, Look::of(&request), None),
    }
}

/// Puts the [`Visitor`] into the request's extensions, or says how to come in.
pub(in crate::console) async fn guard(
    State(console): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    // Without it the request did not pass the border.
    let Some(arrival) = request.extensions().get::<Arrival>().cloned() else {
        return Why::Host.page(&console, Look::of(&request), None);
    };
    let look = Look::of(&request);
    let visitor = match &console.access.granted.way {
        Way::Link(_) => console.access.by_session(&arrival, request.headers(), look.clone()),
        Way::Oidc(oidc) => {
            let headers = request.headers().clone();
            let visitor = console.access.by_load_balancer(oidc, &arrival, &headers, look.clone()).await;
            if let Ok(visitor) = &visitor {
                console.note_sign_in(visitor).await;
            }
            visitor
        }
    };
    match visitor {
        Ok(visitor) => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(why) => outside(&console, why, &arrival, &request, look),
    }
}

impl Console {
    /// Writes a sign-in down, if this request is its first: the load balancer shows each of them.
    async fn note_sign_in(&self, visitor: &Visitor) {
        if self.access.sign_ins.is_new(&visitor.session, Timestamp::now()) {
            signed_in::write(self, &visitor.name, &visitor.session, visitor.rights).await;
        }
    }
}

impl Access {
    pub(super) fn session(&self, jar: &Jar, headers: &HeaderMap) -> Option<Session> {
        let now = Timestamp::now();
        let cookies = jar.values(headers, SESSION);
        cookies.iter().find_map(|cookie| Session::open(&self.granted.seal, cookie, now))
    }

    fn by_session(&self, arrival: &Arrival, headers: &HeaderMap, look: Look) -> Result<Visitor, Why> {
        let nobody = match arrival.sent {
            Sent::Link => Why::GoOn,
            Sent::Own => Why::SignIn { nothing_done: false },
        };
        let Session { id, name, rights, .. } = self.session(&arrival.jar, headers).ok_or(nobody)?;
        // The console may have been started again, with fewer rights and the same key.
        let rights = rights.and(self.granted.allow);
        let visitor =
            Visitor { name, rights, look, session: id.to_string(), revealed: None, jar: arrival.jar.clone() };
        Ok(self.with_revealed(visitor, headers))
    }

    async fn by_load_balancer(
        &self,
        oidc: &Oidc,
        arrival: &Arrival,
        headers: &HeaderMap,
        look: Look,
    ) -> Result<Visitor, Why> {
        let signed_in = oidc.visitor(headers, Timestamp::now()).await.map_err(Why::Oidc)?;
        let visitor = Visitor {
            name: signed_in.name,
            rights: signed_in.rights.and(self.granted.allow),
            look,
            session: signed_in.session,
            revealed: None,
            jar: arrival.jar.clone(),
        };
        Ok(self.with_revealed(visitor, headers))
    }

    fn with_revealed(&self, mut visitor: Visitor, headers: &HeaderMap) -> Visitor {
        let now = Timestamp::now();
        let cookies = visitor.jar.values(headers, REVEAL);
        let open = |cookie: &String| Reveal::open(&self.granted.seal, &visitor.session, cookie, now);
        visitor.revealed = cookies.iter().find_map(open);
        visitor
    }
}

/// What somebody gets who is not let in. What was asked for is not done; after a sign-in they are back where they were.
fn outside(console: &Console, why: Why, arrival: &Arrival, request: &Request, look: Look) -> Response {
    let is_post = request.method() == Method::POST;
    let why = if why == (Why::SignIn { nothing_done: false }) {
        Why::SignIn { nothing_done: is_post }
    } else {
        why
    };
    let path = match is_post {
        true => {
            only(request.headers(), &REFERER).ok().flatten().and_then(|url| url.strip_prefix(&arrival.origin))
        }
        false => request.uri().path_and_query().map(|path| path.as_str()),
    };
    let path = path.and_then(own_path).map(str::to_owned);
    let mut response = why.page(console, look, path.clone());
    let headers = response.headers_mut();
    match (why, path) {
        (Why::SignIn { .. }, Some(path)) => {
            headers.append(SET_COOKIE, arrival.jar.set(BACK, &path, LINK_LASTS));
        }
        (Why::GoOn, path) => {
            let refresh = format!("0; url={}", path.as_deref().unwrap_or("/now"));
            headers.extend(HeaderValue::try_from(refresh).ok().map(|refresh| (REFRESH, refresh)));
        }
        (Why::Oidc(NoSignIn::Later), _) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        (Why::SignIn { .. } | Why::Link(_) | Why::Oidc(_) | Why::Host | Why::Site, _) => {}
    }
    response
}
