//! The options of a connection: `DATABASE_URL`, TLS and the session's settings. Must not connect.

use std::str::FromStr as _;

use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::config::DatabaseConfig;
use crate::postgres::credentials::CredentialsError;

/// Settings that override those of the role and the database. Timeouts, because a batch that hangs must not hold its
/// locks; and settings that correctness depends on.
const SESSION_SETTINGS: [(&str, &str); 6] = [
    // Our own edits are not the application's; see migrations/0005_app_ownership.sql.
    ("user_sync.service", "on"),
    ("statement_timeout", "60s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "60s"),
    // The locks depend on it: a snapshot older than a lock would miss what the lock waited for.
    ("default_transaction_isolation", "read committed"),
    // A message is deleted after the commit, so the commit must be durable.
    ("synchronous_commit", "on"),
];

/// There is no connection to the database as configured.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// `DATABASE_URL` cannot be read. Its text is not repeated: it holds a password.
    #[error(
        "DATABASE_URL is not of the form postgres://user:password@host:5432/database?sslrootcert=/path/to/bundle.pem"
    )]
    InvalidUrl,
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

pub(super) fn connect_options(config: &DatabaseConfig) -> Result<PgConnectOptions, DatabaseError> {
    let url = config.url.expose_secret();
    let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::InvalidUrl)?;
    let options = options.application_name("user-sync").options(SESSION_SETTINGS);
    if is_local(&options) {
        return Ok(options);
    }
    let is_default = !url.contains("sslmode=") && !url.contains("ssl-mode=");
    let options = if is_default { options.ssl_mode(PgSslMode::VerifyFull) } else { options };
    match options.get_ssl_mode() {
        PgSslMode::VerifyFull | PgSslMode::VerifyCa => Ok(options),
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require
            if config.allow_plaintext =>
        {
            Ok(options)
        }
        weak @ (PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require) => {
            Err(DatabaseError::Plaintext { sslmode: format!("{weak:?}").to_lowercase() })
        }
    }
}

/// Whether the server is on this machine, so that the connection needs no certificate.
pub(crate) fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host == "localhost"
        || host.starts_with('/')
        || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mode(url: &str, allow_plaintext: bool) -> Result<PgSslMode, DatabaseError> {
        let config = DatabaseConfig { allow_plaintext, ..DatabaseConfig::with_url(url) };
        connect_options(&config).map(|options| options.get_ssl_mode())
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
    fn an_unreadable_url_is_not_repeated() {
        let message = mode("postgres://u:hunter2@[/x", false).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}
