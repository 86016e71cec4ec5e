//! The cookies of access: their names and how browsers keep them. Pure: must not know what they hold.

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};
use cookie::time;
use cookie::{Cookie, SameSite};

use super::origin::Place;

/// Who it is.
pub(super) const SESSION: &str = "session";
/// Whose data are revealed.
pub(super) const REVEAL: &str = "reveal";
/// Where to go on after a sign-in. It is not sealed: any path of our own may stand there.
pub(super) const BACK: &str = "back";

/// How one browser knows the console's cookies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jar {
    prefix: &'static str,
    suffix: String,
    is_secure: bool,
}

impl Jar {
    /// For requests with this Host. Browsers share the cookies of all ports of a host, and a machine may have two consoles,
    /// or tunnels to two: so the port is in the name. Behind TLS the name says that no other host wrote the cookie.
    pub(super) fn of(place: &Place, host: &str) -> Self {
        if place.is_behind_tls() {
            return Self { prefix: "__Host-user_sync_", suffix: String::new(), is_secure: true };
        }
        let port = host.parse().ok().and_then(|authority: Authority| authority.port_u16()).unwrap_or(80);
        Self { prefix: "user_sync_", suffix: format!("_{port}"), is_secure: false }
    }

    fn name(&self, what: &str) -> String {
        format!("{}{what}{}", self.prefix, self.suffix)
    }

    /// Has a browser keep a value for so long.
    pub(super) fn set(&self, what: &str, value: &str, lasts: Duration) -> HeaderValue {
        let lasts = time::Duration::try_from(lasts).unwrap_or(time::Duration::ZERO);
        let cookie = Cookie::build((self.name(what), value)).path("/").http_only(true).max_age(lasts);
        let cookie = cookie.same_site(SameSite::Strict).secure(self.is_secure).build();
        // Names and values of ours are visible ASCII.
        HeaderValue::try_from(cookie.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Has a browser forget it.
    pub(super) fn clear(&self, what: &str) -> HeaderValue {
        self.set(what, "", Duration::ZERO)
    }

    /// Every value that a browser has for it: another port of the machine may have put one beside ours.
    pub(super) fn values(&self, headers: &HeaderMap, what: &str) -> Vec<String> {
        let name = self.name(what);
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let cookies = lines.flat_map(Cookie::split_parse).flatten();
        cookies.filter(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_cookie_is_kept_by_this_host_and_shown_to_no_script_and_no_other_site() {
        let minute = Duration::from_secs(60);
        let jar = Jar::of(&Place::Loopback, "127.0.0.1:8787");
        let expected = "user_sync_session_8787=x; HttpOnly; SameSite=Strict; Path=/; Max-Age=60";
        assert_eq!(jar.set(SESSION, "x", minute), expected);
        assert_eq!(jar.clear(REVEAL), "user_sync_reveal_8787=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
        let behind = Place::Behind("console.example.com".to_owned());
        let expected = "__Host-user_sync_session=x; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=60";
        assert_eq!(Jar::of(&behind, "console.example.com").set(SESSION, "x", minute), expected);
        assert_ne!(jar, Jar::of(&Place::Loopback, "127.0.0.1:8788"), "two consoles on one machine");
    }

    #[test]
    fn every_value_of_a_name_is_read() {
        let mut headers = HeaderMap::new();
        for line in
            ["a=1; user_sync_session_80=x", "user_sync_session_80=y; user_sync_session_8787=z; ;=", "\u{ff}"]
        {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let jar = Jar::of(&Place::Loopback, "localhost");
        assert_eq!(jar.values(&headers, SESSION), ["x", "y"]);
        assert!(jar.values(&headers, REVEAL).is_empty());
    }
}
