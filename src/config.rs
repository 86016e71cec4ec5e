//! The configuration: environment variables, read once, checked at start.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `DATABASE_URL` | required | PostgreSQL, as `postgres://user:password@host/database`; see [`crate::postgres`] for TLS |
//! | `USER_SYNC_DATABASE_AUTH` | `url` | where the password comes from: `url`, `iam` (tokens of RDS) or `secret` (of RDS, in Secrets Manager) |
//! | `USER_SYNC_DATABASE_SECRET_ARN` | with `secret` | the secret; its user and password take the place of `DATABASE_URL`'s |
//! | `USER_SYNC_QUEUE_URL` | required | the queue that the triggers send to |
//! | `USER_SYNC_DLQ_URL` | required | the dead-letter queue for messages that can never be applied |
//! | `USER_SYNC_BATCH_SIZE` | 1000 | most messages of one transaction of the worker, 1 to 10,000 |
//! | `USER_SYNC_CONCURRENCY` | 2 | batches that the worker has under way, 1 to 64; each takes one connection |
//! | `USER_SYNC_ALLOW_PLAINTEXT_DATABASE` | `false` | `true` permits a connection without TLS to another host |
//! | `USER_SYNC_GEOIP_FILE` | none | a MaxMind database of cities, for the places of addresses; see [`crate::geoip`] |
//! | `USER_SYNC_METRICS_ADDR` | none | where the worker serves its metrics; see [`crate::consumer::monitoring`] |
//! | `USER_SYNC_USER_POOL_ID` | none | the user pool that is read; see [`crate::cognito::user_pool`] |
//! | `USER_SYNC_LOG` | `info` | what is logged, in `tracing`'s filter syntax |
//!
//! The trigger's own are in its crate; what only one function or command takes stands there. README.md has them
//! all. The AWS SDK reads its own (`AWS_REGION`, `AWS_ENDPOINT_URL`, credentials).

use std::ops::RangeInclusive;
use std::path::PathBuf;

use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use secrecy::SecretString;

use crate::geoip;

/// What the consumer needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The queue that the triggers send to.
    pub queue_url: String,
    /// The dead-letter queue.
    pub dlq_url: String,
    /// Where the tables are.
    pub database: DatabaseConfig,
    /// Most messages of one transaction of the worker.
    pub batch_size: usize,
    /// Batches that the worker has under way at once.
    pub concurrency: usize,
    /// The operator's database of places, if there is one.
    pub geoip_file: Option<PathBuf>,
}

/// Where the tables are.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`; it holds a password.
    pub url: SecretString,
    /// Whether a connection without TLS to another host is permitted.
    pub allow_plaintext: bool,
    /// Where the password comes from.
    pub auth: DatabaseAuth,
}

/// Where the database's password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseAuth {
    /// `DATABASE_URL` holds it.
    Url,
    /// It is a token of RDS, signed again and again; `DATABASE_URL` holds the user.
    Iam,
    /// Secrets Manager holds it, and the user, in RDS's form, and rotates it.
    Secret {
        /// The secret's ARN.
        arn: String,
    },
}

/// A variable is missing or out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is missing or empty.
    #[error("{variable} is not set: {meaning}")]
    Missing {
        /// The variable.
        variable: &'static str,
        /// What it should hold.
        meaning: &'static str,
    },
    /// A variable holds what it must not.
    #[error("{variable} is {value:?}: it must be {expected}")]
    Invalid {
        /// The variable.
        variable: &'static str,
        /// What it holds. Never a secret: no variable with a secret is reported so.
        value: String,
        /// What it may hold.
        expected: String,
    },
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Names the first variable that is missing or out of range, and the limit.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&|name| std::env::var(name).ok())
    }

    /// Reads what `lookup` finds.
    ///
    /// # Errors
    /// Names the first variable that is missing or out of range, and the limit.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            queue_url: required(
                lookup,
                QUEUE_URL_VARIABLE,
                "the URL of the queue that the triggers send to",
            )?,
            dlq_url: required(lookup, "USER_SYNC_DLQ_URL", "the URL of the dead-letter queue")?,
            database: DatabaseConfig::read(lookup)?,
            batch_size: number(lookup, "USER_SYNC_BATCH_SIZE", 1_000, 1..=10_000)?,
            concurrency: number(lookup, "USER_SYNC_CONCURRENCY", 2, 1..=64)?,
            geoip_file: lookup(geoip::VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }
}

impl DatabaseConfig {
    /// The database at a URL that holds all that is needed.
    #[must_use]
    pub fn with_url(url: impl Into<String>) -> Self {
        Self { url: url.into().into(), allow_plaintext: false, auth: DatabaseAuth::Url }
    }

    /// Reads the process's environment.
    ///
    /// # Errors
    /// When a variable is missing or holds what it must not.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&|name| std::env::var(name).ok())
    }

    fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let url =
            required(lookup, "DATABASE_URL", "the database, as postgres://user:password@host/database")?;
        let variable = "USER_SYNC_ALLOW_PLAINTEXT_DATABASE";
        let allow_plaintext = match lookup(variable).as_deref() {
            None | Some("" | "false") => false,
            Some("true") => true,
            Some(value) => {
                let (value, expected) = (value.to_owned(), "true or false".to_owned());
                return Err(ConfigError::Invalid { variable, value, expected });
            }
        };
        Ok(Self { url: url.into(), allow_plaintext, auth: auth(lookup)? })
    }
}

fn auth(lookup: &dyn Fn(&str) -> Option<String>) -> Result<DatabaseAuth, ConfigError> {
    let variable = "USER_SYNC_DATABASE_AUTH";
    match lookup(variable).as_deref() {
        None | Some("" | "url") => Ok(DatabaseAuth::Url),
        Some("iam") => Ok(DatabaseAuth::Iam),
        Some("secret") => {
            let meaning = "the ARN of the secret that RDS keeps the database's user and password in";
            Ok(DatabaseAuth::Secret { arn: required(lookup, "USER_SYNC_DATABASE_SECRET_ARN", meaning)? })
        }
        Some(value) => {
            let (value, expected) = (value.to_owned(), "url, iam or secret".to_owned());
            Err(ConfigError::Invalid { variable, value, expected })
        }
    }
}

fn required(
    lookup: &dyn Fn(&str) -> Option<String>,
    variable: &'static str,
    meaning: &'static str,
) -> Result<String, ConfigError> {
    lookup(variable).filter(|value| !value.is_empty()).ok_or(ConfigError::Missing { variable, meaning })
}

fn number(
    lookup: &dyn Fn(&str) -> Option<String>,
    variable: &'static str,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, ConfigError> {
    let Some(value) = lookup(variable).filter(|value| !value.is_empty()) else { return Ok(default) };
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        ConfigError::Invalid { variable, value, expected }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(extra: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let required =
            [("DATABASE_URL", "postgres://x"), ("USER_SYNC_QUEUE_URL", "q"), ("USER_SYNC_DLQ_URL", "d")];
        let find = |name: &str| extra.iter().chain(&required).find(|(key, _)| *key == name);
        Config::read(&|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_missing_variable_is_named_with_its_meaning() {
        let message = read(&[("USER_SYNC_DLQ_URL", "")]).unwrap_err().to_string();
        assert_eq!(message, "USER_SYNC_DLQ_URL is not set: the URL of the dead-letter queue");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_limit() {
        let message = read(&[("USER_SYNC_BATCH_SIZE", "10001")]).unwrap_err().to_string();
        assert_eq!(message, "USER_SYNC_BATCH_SIZE is \"10001\": it must be a whole number from 1 to 10000");
        assert!(read(&[("USER_SYNC_ALLOW_PLAINTEXT_DATABASE", "yes")]).is_err());
        assert_eq!(read(&[("USER_SYNC_CONCURRENCY", "64")]).unwrap().concurrency, 64);
    }

    #[test]
    fn a_secret_needs_its_arn() {
        let secret = ("USER_SYNC_DATABASE_AUTH", "secret");
        assert!(read(&[secret]).unwrap_err().to_string().contains("USER_SYNC_DATABASE_SECRET_ARN"));
        let config = read(&[secret, ("USER_SYNC_DATABASE_SECRET_ARN", "arn")]).unwrap();
        assert_eq!(config.database.auth, DatabaseAuth::Secret { arn: "arn".to_owned() });
        assert!(read(&[("USER_SYNC_DATABASE_AUTH", "IAM")]).is_err());
    }

    #[test]
    fn the_password_is_in_no_debug_output() {
        let config = read(&[("DATABASE_URL", "postgres://u:hunter2@localhost/db")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
