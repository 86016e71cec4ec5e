//! Where the console stands, and whether a request was meant for it: its Host, and from which site a browser sends it.
//! Pure: must not know who asks.
//!
//! No tokens: browsers say where a request comes from (`Sec-Fetch-Site`, and `Origin` before it), and no page can change
//! that ("Cross-origin protection", golang/go#73626). What a page of another site can do by this is to open a page of
//! ours, as a link in a runbook does: reading changes nothing.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, header};

/// The longest path that somebody is sent back to, in bytes.
const BACK_MAX_BYTES: usize = 2_000;

/// Where browsers find the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// On this machine: by any name of it, and any port, since a tunnel may have another one.
    Loopback,
    /// Behind TLS, by this name, with its port if it is not 443.
    Behind(String),
}

impl Place {
    /// The origin by which a request with this Host came; `None` if the Host is not ours. A page of another site that
    /// had its own name lead here (DNS rebinding) is refused by that.
    pub(super) fn origin(&self, host: &str) -> Option<String> {
        let authority: Authority = host.parse().ok().filter(|_| !host.contains('@'))?;
        // What stands behind the name is a port, or nothing.
        let rest = host.strip_prefix(authority.host())?;
        if !rest.is_empty() && authority.port_u16().is_none() {
            return None;
        }
        match self {
            Self::Loopback => is_loopback(authority.host()).then(|| format!("http://{host}")),
            Self::Behind(name) => {
                let is_ours = host.eq_ignore_ascii_case(name)
                    || host.strip_suffix(":443").is_some_and(|host| host.eq_ignore_ascii_case(name));
                is_ours.then(|| format!("https://{name}"))
            }
        }
    }

    /// Whether cookies go over TLS only.
    pub(super) fn is_behind_tls(&self) -> bool {
        matches!(self, Self::Behind(_))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The only value of a header; `Err` where there are several, or it is no text.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Where a browser says that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// A page of ours, or whoever types or opens a URL, or no browser.
    Own,
    /// A page of another site leads here: the address bar will say so, and it learns nothing.
    Link,
}

/// Whether a request that reads or changes may come from where it says.
pub(super) fn sent(method: &Method, headers: &HeaderMap, origin: &str) -> Result<Sent, ()> {
    let site = only(headers, &SITE)?;
    if method == Method::POST {
        let named = only(headers, &header::ORIGIN)?;
        let is_own = (site.is_some() || named.is_some())
            && site.is_none_or(|site| site == "same-origin")
            && named.is_none_or(|named| named.eq_ignore_ascii_case(origin));
        return if is_own { Ok(Sent::Own) } else { Err(()) };
    }
    match site {
        None | Some("same-origin" | "none") => Ok(Sent::Own),
        Some(_) => {
            let is_page =
                only(headers, &MODE)? == Some("navigate") && only(headers, &DEST)? == Some("document");
            if is_page { Ok(Sent::Link) } else { Err(()) }
        }
    }
}

/// A path of our own, for somebody to be sent back to. `//host` and `/\host` would be another site's.
pub(super) fn own_path(path: &str) -> Option<&str> {
    let is_own = path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/enter")
        && path.len() <= BACK_MAX_BYTES
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b';' | b'"' | b','));
    is_own.then_some(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_names_of_this_machine_lead_to_a_console_on_it() {
        for ours in ["127.0.0.1:8787", "localhost:9000", "LOCALHOST", "[::1]:8787", "127.1.2.3"] {
            assert_eq!(Place::Loopback.origin(ours), Some(format!("http://{ours}")), "{ours}");
        }
        let others =
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8787", "10.0.0.1", ""];
        let malformed =
            ["127.0.0.1@evil.example", "evil.example@127.0.0.1", "localhost:x", "[::1", "0.0.0.0"];
        for other in others.into_iter().chain(malformed) {
            assert_eq!(Place::Loopback.origin(other), None, "{other}");
        }
    }

    #[test]
    fn only_its_own_name_leads_to_a_console_behind_tls() {
        let place = Place::Behind("console.example.com".to_owned());
        for ours in ["console.example.com", "Console.Example.com", "console.example.com:443"] {
            assert_eq!(place.origin(ours).as_deref(), Some("https://console.example.com"), "{ours}");
        }
        for other in ["127.0.0.1:8787", "console.example.com:8443", "example.com", "x.console.example.com"] {
            assert_eq!(place.origin(other), None, "{other}");
        }
        let place = Place::Behind("console.example.com:8443".to_owned());
        assert!(place.origin("console.example.com:8443").is_some());
        assert_eq!(place.origin("console.example.com"), None);
    }

    fn check(method: &Method, headers: &[(&'static str, &'static str)]) -> Result<Sent, ()> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        sent(method, &map, "http://127.0.0.1:8787")
    }

    #[test]
    fn a_post_comes_from_a_page_of_ours_and_says_so() {
        let own = ("origin", "http://127.0.0.1:8787");
        let same = ("sec-fetch-site", "same-origin");
        for headers in [&[own, same][..], &[own], &[same]] {
            assert_eq!(check(&Method::POST, headers), Ok(Sent::Own), "{headers:?}");
        }
        let refused: [&[(&str, &str)]; 9] = [
            &[],
            &[("origin", "null")],
            &[("origin", "http://evil.example"), same],
            &[("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "same-site")],
            &[("origin", "https://127.0.0.1:8787")],
            &[own, ("sec-fetch-site", "cross-site")],
            &[own, ("sec-fetch-site", "none")],
            &[own, own],
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
        ];
        for headers in refused {
            assert_eq!(check(&Method::POST, headers), Err(()), "{headers:?}");
        }
    }

    #[test]
    fn a_page_may_be_opened_from_elsewhere_and_not_be_read_from_there() {
        for method in [Method::GET, Method::HEAD] {
            for own in [&[][..], &[("sec-fetch-site", "same-origin")], &[("sec-fetch-site", "none")]] {
                assert_eq!(check(&method, own), Ok(Sent::Own), "{own:?}");
            }
            for site in ["cross-site", "same-site", "?"] {
                let site = ("sec-fetch-site", site);
                let (navigate, document) = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"));
                assert_eq!(check(&method, &[site, navigate, document]), Ok(Sent::Link));
                let refused: [&[(&str, &str)]; 4] = [
                    &[site],
                    &[site, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
                    &[site, navigate, ("sec-fetch-dest", "iframe")],
                    &[site, ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
                ];
                for headers in refused {
                    assert_eq!(check(&method, headers), Err(()), "{headers:?}");
                }
            }
        }
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        for own in ["/now", "/users?status=CONFIRMED&after=0190", "/users/0190?show=all"] {
            assert_eq!(own_path(own), Some(own));
        }
        let others =
            ["//evil.example", "/\\evil.example", "https://evil.example", "", "now", "/a\r\nb", "/ä"];
        for other in others.into_iter().chain(["/enter?token=x", "/a;b", "/a b", "/\t/evil.example"]) {
            assert_eq!(own_path(other), None, "{other:?}");
        }
        assert_eq!(own_path(&format!("/{}", "a".repeat(2_000))), None);
    }
}
