//! The options of a connection: `DATABASE_URL`, TLS and the session's settings. Must not connect.

use std::net::{IpAddr, SocketAddr};

use secrecy::ExposeSecret as _;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::config::DatabaseConfig;
use crate::postgres::credentials::{CredentialsError, Login};

/// The address that is dialled in place of the host's: the driver does not know it.
const HOSTADDR: &str = "hostaddr";

/// The parameters that `DATABASE_URL` may have, with their other names.
const PARAMETERS: [&[&str]; 11] = [
    &["sslmode", "ssl-mode"],
    &["sslrootcert", "ssl-root-cert", "ssl-ca"],
    &["sslcert", "ssl-cert"],
    &["sslkey", "ssl-key"],
    &["host"],
    &[HOSTADDR],
    &["port"],
    &["dbname"],
    &["user"],
    &["password"],
    &["application_name"],
];

/// There is no connection to the database as configured.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// `DATABASE_URL` cannot be read. Its text is not repeated: it holds a password.
    #[error(
        "DATABASE_URL is not of the form postgres://user:password@host:5432/database?sslrootcert=/path/to/bundle.pem"
    )]
    InvalidUrl,
    /// Another database's URL.
    #[error("DATABASE_URL begins with {scheme}:// and must begin with postgres://")]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
    /// A parameter that would have no effect.
    #[error(
        "DATABASE_URL has the parameter {name}, which has no meaning here{hint}: it may have sslmode, sslrootcert, \
         sslcert, sslkey, host, hostaddr, port, dbname, user, password and application_name"
    )]
    UnknownParameter {
        /// Its name; its value may be a secret.
        name: String,
        /// What to use in its place, as the end of a clause.
        hint: &'static str,
    },
    /// Nobody can tell which of the values is meant.
    #[error("DATABASE_URL says {name} twice: leave one of them")]
    RepeatedParameter {
        /// Its name.
        name: String,
    },
    /// Nothing could be dialled there.
    #[error(
        "DATABASE_URL has a hostaddr that is no address to dial: it must be an IP address, with a port where that is not the \
         host's, such as hostaddr=127.0.0.1:15432 or hostaddr=[::1]:15432; a name belongs into host"
    )]
    InvalidAddress,
    /// Nobody could tell which server's certificate is expected there.
    #[error(
        "DATABASE_URL has hostaddr and names no host: write postgres://user@NAME:5432/database?hostaddr=127.0.0.1:15432, where \
         NAME is what the server's certificate and its IAM token are for"
    )]
    AddressWithoutHost,
    /// The connection would not be encrypted.
    #[error(
        "DATABASE_URL names another host and sslmode {sslmode}, which does not verify it: \
         use sslmode=verify-full with sslrootcert, or set USER_SYNC_ALLOW_PLAINTEXT_DATABASE=true"
    )]
    Plaintext {
        /// The `sslmode` asked for.
        sslmode: String,
    },
    /// There is no user to sign a token for.
    #[error(
        "DATABASE_URL names no user: USER_SYNC_DATABASE_AUTH=iam takes postgres://user@host:5432/database"
    )]
    NoUser,
    /// There is no password.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// A server, and how it is reached.
#[derive(Clone)]
pub(super) struct Target {
    /// Its host and port are those that a certificate and a token are for.
    pub(super) options: PgConnectOptions,
    /// What is dialled in their place.
    pub(super) hostaddr: Option<SocketAddr>,
}

impl Target {
    /// The one that `config` names.
    pub(super) fn of(config: &DatabaseConfig) -> Result<Self, DatabaseError> {
        let text = config.url.expose_secret();
        let mut url = check_url(text)?;
        let address = take_hostaddr(&mut url)?;
        let options = PgConnectOptions::from_url(&url).map_err(|_| DatabaseError::InvalidUrl)?;
        if address.is_some() && (!names_a_host(&url) || options.get_socket().is_some()) {
            return Err(DatabaseError::AddressWithoutHost);
        }
        let hostaddr = address.map(|(ip, port)| SocketAddr::new(ip, port.unwrap_or(options.get_port())));
        // A pooler refuses what it does not know, and floating point numbers are not sent as text here.
        let options = options.extra_float_digits(None);
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("user-sync"),
        };
        if is_local(&options, hostaddr) {
            return Ok(Self { options, hostaddr });
        }
        let is_default = !text.contains("sslmode=") && !text.contains("ssl-mode=");
        let options = if is_default { options.ssl_mode(PgSslMode::VerifyFull) } else { options };
        match options.get_ssl_mode() {
            PgSslMode::VerifyFull | PgSslMode::VerifyCa => Ok(Self { options, hostaddr }),
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require
                if config.allow_plaintext =>
            {
                Ok(Self { options, hostaddr })
            }
            weak @ (PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require) => {
                Err(DatabaseError::Plaintext { sslmode: format!("{weak:?}").to_lowercase() })
            }
        }
    }

    /// The same, as another login.
    pub(super) fn with_login(self, login: &Login) -> Self {
        Self { options: as_login(&self.options, login), ..self }
    }
}

pub(super) fn as_login(options: &PgConnectOptions, login: &Login) -> PgConnectOptions {
    options.clone().username(&login.user).password(login.password.expose_secret())
}

/// Takes `hostaddr` out of the parameters: an IP address, and a port.
fn take_hostaddr(url: &mut Url) -> Result<Option<(IpAddr, Option<u16>)>, DatabaseError> {
    let (taken, left): (Vec<_>, Vec<_>) =
        url.query_pairs().into_owned().partition(|(name, _)| name == HOSTADDR);
    let Some((_, text)) = taken.first() else { return Ok(None) };
    url.query_pairs_mut().clear().extend_pairs(left);
    let with_port = || text.parse().ok().map(|address: SocketAddr| (address.ip(), Some(address.port())));
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().map(|ip| (ip, None)).or_else(with_port);
    let address = address.filter(|(_, port)| *port != Some(0));
    address.map(Some).ok_or(DatabaseError::InvalidAddress)
}

fn names_a_host(url: &Url) -> bool {
    let is_given = |host: &str| !host.is_empty();
    url.host_str().is_some_and(is_given)
        || url.query_pairs().any(|(name, value)| name == "host" && is_given(&value))
}

/// Refuses what would be ignored, by its name.
fn check_url(url: &str) -> Result<Url, DatabaseError> {
    // Without `://`, what stands before the first colon may be a user.
    let (scheme, _) = url.split_once("://").ok_or(DatabaseError::InvalidUrl)?;
    let is_word = |scheme: &str| scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    match scheme {
        "postgres" | "postgresql" => {}
        other if is_word(other) => return Err(DatabaseError::Scheme { scheme: other.to_owned() }),
        _ => return Err(DatabaseError::InvalidUrl),
    }
    let parsed = Url::parse(url).map_err(|_| DatabaseError::InvalidUrl)?;
    let mut seen: Vec<&[&str]> = parts(&parsed);
    for (name, _) in parsed.query_pairs() {
        // What stands after a `?` or a `#` in a password is none, and must not be repeated.
        let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.[]".contains(c));
        if !is_word || !url.contains(&format!("{name}=")) {
            return Err(DatabaseError::InvalidUrl);
        }
        let Some(known) = PARAMETERS.iter().find(|names| names.contains(&name.as_ref())) else {
            return Err(DatabaseError::UnknownParameter { hint: hint(&name), name: name.into_owned() });
        };
        if seen.contains(known) {
            return Err(DatabaseError::RepeatedParameter { name: name.into_owned() });
        }
        seen.push(known);
    }
    if parsed.fragment().is_some() { Err(DatabaseError::InvalidUrl) } else { Ok(parsed) }
}

/// What the URL says before its parameters.
fn parts(url: &Url) -> Vec<&'static [&'static str]> {
    let parts = [
        ("host", url.host_str().is_some_and(|host| !host.is_empty())),
        ("port", url.port().is_some()),
        ("dbname", !url.path().trim_start_matches('/').is_empty()),
        ("user", !url.username().is_empty()),
        ("password", url.password().is_some()),
    ];
    let given = parts.into_iter().filter(|(_, is_given)| *is_given);
    given.filter_map(|(part, _)| PARAMETERS.into_iter().find(|names| names.contains(&part))).collect()
}

/// What other programs mean by a parameter.
fn hint(parameter: &str) -> &'static str {
    match parameter {
        "schema" | "search_path" | "currentSchema" => " (the schema is USER_SYNC_DATABASE_SCHEMA)",
        "pgbouncer" | "statement-cache-capacity" | "prepareThreshold" => {
            " (a pooler is found out, or said by USER_SYNC_PREPARED_STATEMENTS)"
        }
        _ if parameter == "options" || parameter.starts_with("options[") => {
            " (each transaction sets what it needs)"
        }
        _ => "",
    }
}

/// Whether the server is on this machine, so that the connection needs no certificate. One that is dialled here by another
/// name is not: a tunnel leads to it.
pub(super) fn is_local(options: &PgConnectOptions, hostaddr: Option<SocketAddr>) -> bool {
    let host = options.get_host();
    let is_here = options.get_socket().is_some()
        || host == "localhost"
        || host.starts_with('/')
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    is_here && hostaddr.is_none_or(|address| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mode(url: &str, allow_plaintext: bool) -> Result<PgSslMode, DatabaseError> {
        let config = DatabaseConfig { allow_plaintext, ..DatabaseConfig::with_url(url) };
        Target::of(&config).map(|target| target.options.get_ssl_mode())
    }

    #[test]
    fn another_host_is_verified_unless_asked_otherwise_by_name() {
        assert!(matches!(mode("postgres://u:p@db.example.com/x", false), Ok(PgSslMode::VerifyFull)));
        assert!(matches!(
            mode("postgres://u:p@db.example.com/x?sslmode=disable", true),
            Ok(PgSslMode::Disable)
        ));
        for sslmode in ["disable", "allow", "prefer", "require"] {
            let url = format!("postgres://u:p@10.0.0.1/x?sslmode={sslmode}");
            let message = mode(&url, false).unwrap_err().to_string();
            assert!(message.contains(sslmode), "{message}");
        }
    }

    #[test]
    fn this_machine_needs_no_certificate() {
        for url in ["postgres://u:p@localhost/x", "postgres://u:p@127.0.0.1:5433/x"] {
            assert!(matches!(mode(url, false), Ok(PgSslMode::Prefer)), "{url}");
        }
    }

    #[test]
    fn what_would_be_ignored_is_refused_by_its_name() {
        let refused = |url: &str| mode(url, false).unwrap_err().to_string();
        for (url, named) in [
            ("mysql://u:hunter2@localhost/x", "mysql://"),
            ("postgres://u:hunter2@localhost/x?sslrootcet=a.pem", "sslrootcet"),
            ("postgres://u:hunter2@localhost/x?schema=app", "USER_SYNC_DATABASE_SCHEMA"),
            ("postgres://u:hunter2@localhost/x?options=-csearch_path%3Dapp", "options"),
            ("postgres://u:hunter2@localhost/x?sslmode=disable&ssl-mode=require", "ssl-mode twice"),
            ("postgres://u:?hunter2@h/db", "postgres://user:password@"),
            ("postgres://u@localhost/db?password=a&hunter2", "postgres://user:password@"),
            ("postgres://u:12#hunter2@h/db", "postgres://user:password@"),
            ("postgres://u:hunter2@localhost/db?user=other", "user twice"),
            ("hunter2:x@localhost/x", "postgres://user:password@"),
            ("hunter2/x://localhost", "postgres://user:password@"),
        ] {
            let message = refused(url);
            assert!(message.contains(named) && !message.contains("hunter2"), "{message}");
        }
        for url in [
            "postgresql://u@localhost/x",
            "postgres://localhost/x?user=u&application_name=shop",
            "postgres:///x?host=/var/run/postgresql",
            "postgres://u:p%3F%23x@[::1]:5432/x",
        ] {
            assert!(mode(url, false).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_dialled_is_not_the_name_and_does_not_weaken_what_the_name_needs() {
        let target = |url: &str| Target::of(&DatabaseConfig::with_url(url)).unwrap();
        for (hostaddr, port, dialled) in [
            ("127.0.0.1:15432", 5433, "127.0.0.1:15432"),
            ("127.0.0.1", 5433, "127.0.0.1:5433"),
            ("[::1]:15432", 5433, "[::1]:15432"),
            ("%5B%3A%3A1%5D%3A15432", 5433, "[::1]:15432"),
            ("[::1]", 5433, "[::1]:5433"),
            ("::1", 5432, "[::1]:5432"),
        ] {
            let given = if port == 5432 { String::new() } else { format!(":{port}") };
            let url =
                format!("postgres://u@db.example.com{given}/x?hostaddr={hostaddr}&application_name=a%2Bb");
            let Target { options, hostaddr } = target(&url);
            assert_eq!(hostaddr.unwrap().to_string(), dialled, "{url}");
            assert_eq!((options.get_host(), options.get_port()), ("db.example.com", port), "{url}");
            assert_eq!(options.get_application_name(), Some("a+b"), "the others stay");
            assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull), "{url}");
        }
        assert!(target("postgres://u@db.example.com/x").hostaddr.is_none());
        assert!(target("postgres:///x?host=db.example.com&hostaddr=10.0.0.1").hostaddr.is_some());
        // Only a server that is here by its name, too, needs no certificate.
        let mode = |url: &str| target(url).options.get_ssl_mode();
        assert!(matches!(mode("postgres://u@localhost/x?hostaddr=127.0.0.1"), PgSslMode::Prefer));
        assert!(matches!(mode("postgres://u@localhost/x?hostaddr=10.0.0.1"), PgSslMode::VerifyFull));
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_what_can() {
        for (url, words) in [
            ("postgres://u@db.example.com/x?hostaddr=localhost:hunter2", "hostaddr=127.0.0.1:15432"),
            ("postgres://u@db.example.com/x?hostaddr=", "IP address"),
            ("postgres://u@db.example.com/x?hostaddr=127.0.0.1:0", "IP address"),
            ("postgres://u@db.example.com/x?hostaddr=127.0.0.1:65536", "IP address"),
            ("postgres://u@db.example.com/x?hostaddr=::1:15432:hunter2", "[::1]:15432"),
            ("postgres://u@db.example.com/x?hostaddr=127.0.0.1&hostaddr=10.0.0.1", "hostaddr twice"),
            ("postgres:///x?hostaddr=127.0.0.1", "names no host"),
            ("postgres:///x?host=/run/postgresql&hostaddr=127.0.0.1", "names no host"),
            ("postgres://u@db.example.com/x?hostaddr=127.0.0.1&sslmode=require", "sslmode require"),
        ] {
            let message = mode(url, false).unwrap_err().to_string();
            assert!(message.contains(words) && !message.contains("hunter2"), "{url}: {message}");
        }
    }

    #[test]
    fn an_unreadable_url_is_not_repeated() {
        let message = mode("postgres://u:hunter2@[/x", false).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}
