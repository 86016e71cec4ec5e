//! The configuration: environment variables, read once, checked at start. Must not know what uses it. A variable that is
//! empty is unset.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `DATABASE_URL` | required | PostgreSQL, as `postgres://user:password@host/database`; see [`crate::postgres`] for TLS |
//! | `USER_SYNC_DATABASE_AUTH` | `url` | where the password comes from: `url`, `iam` (tokens of RDS) or `secret` (of RDS, in Secrets Manager) |
//! | `USER_SYNC_DATABASE_SECRET_ARN` | with `secret` | the secret; its user and password take the place of `DATABASE_URL`'s |
//! | `USER_SYNC_QUEUE_URL` | required | the queue that the triggers send to |
//! | `USER_SYNC_DLQ_URL` | required | the dead-letter queue for messages that can never be applied |
//! | `USER_SYNC_CONTEXT_QUEUE_URL` | none | the queue of what others record of sign-ins |
//! | `USER_SYNC_CONTEXT_DLQ_URL` | with that queue | its dead-letter queue |
//! | `USER_SYNC_CONTEXT_CONCURRENCY` | 1 | batches of that queue that the worker has under way, 1 to 64; each takes one connection |
//! | `USER_SYNC_DATABASE_SCHEMA` | `public` | the schema that holds the tables |
//! | `USER_SYNC_PREPARED_STATEMENTS` | `auto` | `named`, `unnamed`, or found out by each connection: see [`PreparedStatements`] |
//! | `USER_SYNC_BATCH_SIZE` | 1000 | most messages of one transaction of the worker, 1 to 10,000 |
//! | `USER_SYNC_CONCURRENCY` | 2 | batches that the worker has under way, 1 to 64; each takes one connection |
//! | `USER_SYNC_ALLOW_PLAINTEXT_DATABASE` | `false` | `true` permits a connection without TLS to another host |
//! | `USER_SYNC_GEOIP_FILE` | none | a MaxMind database of cities, which locates IP addresses; see [`crate::geoip`] |
//! | `USER_SYNC_METRICS_ADDR` | none | where the worker serves its metrics; see [`crate::consumer::monitoring`] |
//! | `USER_SYNC_USER_POOL_ID` | none | the user pool that is read, or the pools, separated by commas, whose events are accepted |
//! | `USER_SYNC_RECORD_RETENTION_DAYS` | 400 | for how many days after its end a month of records of sign-ins is kept, at least 31 |
//! | `USER_SYNC_LOG` | `info` | what is logged, in `tracing`'s filter syntax |
//!
//! The trigger's own variables are in its package; a variable of one function or command is defined there.
//! docs/configuration.md lists all. The AWS SDK reads its own (`AWS_REGION`, `AWS_ENDPOINT_URL`, credentials).

mod names;

use std::collections::BTreeSet;
use std::path::PathBuf;

use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use secrecy::SecretString;
use url::Url;

pub use cognito_user_sync_triggers::environment::{ConfigError, Environment};

pub use self::names::{
    NAME_MAX_BYTES, ROLE_PREFIX_VARIABLE, Role, RolePrefix, SCHEMA_VARIABLE, Schema, quoted,
};

use crate::geoip;

/// The name of the variable that holds the dead-letter queue's URL.
pub const DLQ_URL_VARIABLE: &str = "USER_SYNC_DLQ_URL";

/// The name of the variable that holds the URL of the queue of what others record of sign-ins.
pub const CONTEXT_QUEUE_URL_VARIABLE: &str = "USER_SYNC_CONTEXT_QUEUE_URL";

/// The name of the variable that holds the URL of that queue's dead-letter queue.
pub const CONTEXT_DLQ_URL_VARIABLE: &str = "USER_SYNC_CONTEXT_DLQ_URL";

/// The name of the variable that holds the user pool's id; for the consumer, one or several.
pub const USER_POOL_VARIABLE: &str = "USER_SYNC_USER_POOL_ID";

/// The name of the variable that says whether Cognito is asked.
pub const ASK_COGNITO_VARIABLE: &str = "USER_SYNC_ASK_COGNITO";

/// Whether Cognito may be asked: not where there is no way to it, as in closed subnets.
///
/// # Errors
/// When the variable is neither `true`, the default, nor `false`.
pub fn asks_cognito(environment: Environment<'_>) -> Result<bool, ConfigError> {
    Ok(environment.raw(ASK_COGNITO_VARIABLE).is_none() || environment.flag(ASK_COGNITO_VARIABLE)?)
}

/// The name of the variable that holds for how many days after its end a month of records of sign-ins is kept.
pub const RECORD_RETENTION_VARIABLE: &str = "USER_SYNC_RECORD_RETENTION_DAYS";

/// What the consumer needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The queue that the triggers send to.
    pub queue_url: String,
    /// The dead-letter queue.
    pub dlq_url: String,
    /// The queue of what others record of sign-ins, if there is one.
    pub contexts: Option<ContextsConfig>,
    /// Where the tables are.
    pub database: DatabaseConfig,
    /// Most messages of one transaction of the worker.
    pub batch_size: usize,
    /// Batches that the worker has under way at once.
    pub concurrency: usize,
    /// The operator's database of cities, if there is one.
    pub geoip_file: Option<PathBuf>,
    /// The user pools whose events are accepted; `None` accepts all.
    pub user_pools: Option<BTreeSet<UserPoolId>>,
}

/// The queue of what others record of sign-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextsConfig {
    /// The queue.
    pub queue_url: String,
    /// Its dead-letter queue.
    pub dlq_url: String,
    /// Batches of it that the worker has under way at once.
    pub concurrency: usize,
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
    /// The schema that holds the tables.
    pub schema: Schema,
    /// Whether the server keeps prepared statements.
    pub statements: PreparedStatements,
}

/// Whether the server is asked to keep statements that it has prepared.
///
/// A pooler that hands each transaction to another server connection knows nothing of them: a statement would be missing
/// there, or be another client's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreparedStatements {
    /// Found out by each connection: whether a startup option reaches the server.
    #[default]
    Auto,
    /// Kept. Right where nothing stands in between, and faster: the server prepares each statement once a connection.
    Named,
    /// Not kept. Right everywhere.
    Unnamed,
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

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Names the first variable that is missing or out of range, and the limit.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(Environment::process())
    }

    /// Reads `environment`.
    ///
    /// # Errors
    /// Names the first variable that is missing or out of range, and the limit.
    pub fn read(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let queue_url =
            environment.required(QUEUE_URL_VARIABLE, "the URL of the queue that the triggers send to")?;
        let dlq_url = environment.required(DLQ_URL_VARIABLE, "the URL of the dead-letter queue")?;
        let contexts = ContextsConfig::read(environment)?;
        let mut queues = vec![(QUEUE_URL_VARIABLE, &queue_url), (DLQ_URL_VARIABLE, &dlq_url)];
        if let Some(ContextsConfig { queue_url, dlq_url, .. }) = &contexts {
            queues.extend([(CONTEXT_QUEUE_URL_VARIABLE, queue_url), (CONTEXT_DLQ_URL_VARIABLE, dlq_url)]);
        }
        must_be_apart(&queues)?;
        Ok(Self {
            queue_url,
            dlq_url,
            contexts,
            database: DatabaseConfig::read(environment)?,
            batch_size: environment.number("USER_SYNC_BATCH_SIZE", 1_000, 1..=10_000)?,
            concurrency: environment.number("USER_SYNC_CONCURRENCY", 2, 1..=64)?,
            geoip_file: environment.path(geoip::VARIABLE),
            user_pools: user_pools(environment)?,
        })
    }
}

impl ContextsConfig {
    fn read(environment: Environment<'_>) -> Result<Option<Self>, ConfigError> {
        let concurrency = environment.number("USER_SYNC_CONTEXT_CONCURRENCY", 1, 1..=64)?;
        let (queue, dlq) = (CONTEXT_QUEUE_URL_VARIABLE, CONTEXT_DLQ_URL_VARIABLE);
        if environment.optional(queue)?.is_none() && environment.optional(dlq)?.is_none() {
            return Ok(None);
        }
        let meaning = "the URL of the queue that USER_SYNC_CONTEXT_DLQ_URL is the dead-letter queue of";
        let queue_url = environment.required(queue, meaning)?;
        let meaning = "the URL of the dead-letter queue of USER_SYNC_CONTEXT_QUEUE_URL";
        Ok(Some(Self { queue_url, dlq_url: environment.required(dlq, meaning)?, concurrency }))
    }
}

/// Refuses two variables that name one queue: what is rejected would come back, or pass for what it is not.
fn must_be_apart(queues: &[(&'static str, &String)]) -> Result<(), ConfigError> {
    for (at, (variable, url)) in queues.iter().enumerate() {
        let same = queues.iter().take(at).find(|(_, earlier)| is_one_queue(earlier, url));
        if let Some((earlier, _)) = same {
            let expected = format!(
                "another queue than {earlier}, or what is rejected comes back at once, again and again"
            );
            return Err(ConfigError::Invalid { variable, value: (*url).clone(), expected });
        }
    }
    Ok(())
}

/// Whether two URLs name one queue. A queue has several: each endpoint of its region has one, with the account and the name
/// for its path.
fn is_one_queue(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (Url::parse(one), Url::parse(other)) else { return one == other };
    let region = |url: &Url| {
        let is_region = |label: &&str| {
            let parts: Vec<&str> = label.split('-').collect();
            parts.len() >= 3 && parts.last().is_some_and(|last| last.parse::<u8>().is_ok())
        };
        url.host_str().and_then(|host| host.split('.').find(is_region)).map(str::to_owned)
    };
    let are_apart = region(&one).zip(region(&other)).is_some_and(|(one, other)| one != other);
    one.path().trim_matches('/') == other.path().trim_matches('/') && !are_apart
}

fn user_pools(environment: Environment<'_>) -> Result<Option<BTreeSet<UserPoolId>>, ConfigError> {
    let variable = USER_POOL_VARIABLE;
    let Some(value) = environment.optional(variable)? else { return Ok(None) };
    let pools: Result<_, _> = value.split(',').map(|id| id.trim().parse()).collect();
    pools.map(Some).map_err(|_| {
        let expected = "one user pool's id, such as eu-west-1_Abc123Def, or several, separated by commas";
        ConfigError::Invalid { variable, value, expected: expected.to_owned() }
    })
}

impl DatabaseConfig {
    /// The database at a URL that holds all that is needed.
    #[must_use]
    pub fn with_url(url: impl Into<String>) -> Self {
        Self {
            url: url.into().into(),
            allow_plaintext: false,
            auth: DatabaseAuth::Url,
            schema: Schema::default(),
            statements: PreparedStatements::default(),
        }
    }

    /// Reads the process's environment.
    ///
    /// # Errors
    /// When a variable is missing or holds what it must not.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(Environment::process())
    }

    fn read(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let url = environment
            .required("DATABASE_URL", "the database, as postgres://user:password@host/database")?;
        let allow_plaintext = environment.flag("USER_SYNC_ALLOW_PLAINTEXT_DATABASE")?;
        Ok(Self {
            url: url.into(),
            allow_plaintext,
            auth: DatabaseAuth::read(environment)?,
            schema: Schema::read(environment)?,
            statements: PreparedStatements::read(environment)?,
        })
    }
}

impl PreparedStatements {
    fn read(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let variable = "USER_SYNC_PREPARED_STATEMENTS";
        match environment.optional(variable)?.as_deref() {
            None | Some("auto") => Ok(Self::Auto),
            Some("named") => Ok(Self::Named),
            Some("unnamed") => Ok(Self::Unnamed),
            Some(value) => {
                let (value, expected) = (value.to_owned(), "auto, named or unnamed".to_owned());
                Err(ConfigError::Invalid { variable, value, expected })
            }
        }
    }
}

impl DatabaseAuth {
    fn read(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let variable = "USER_SYNC_DATABASE_AUTH";
        match environment.optional(variable)?.as_deref() {
            None | Some("url") => Ok(Self::Url),
            Some("iam") => Ok(Self::Iam),
            Some("secret") => {
                let meaning = "the ARN of the secret that RDS keeps the database's user and password in";
                Ok(Self::Secret { arn: environment.required("USER_SYNC_DATABASE_SECRET_ARN", meaning)? })
            }
            Some(value) => {
                let (value, expected) = (value.to_owned(), "url, iam or secret".to_owned());
                Err(ConfigError::Invalid { variable, value, expected })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(extra: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let required =
            [("DATABASE_URL", "postgres://x"), ("USER_SYNC_QUEUE_URL", "q"), ("USER_SYNC_DLQ_URL", "d")];
        let find = |name: &str| extra.iter().chain(&required).find(|(key, _)| *key == name);
        Config::read(Environment::new(&|name| find(name).map(|(_, value)| (*value).into())))
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
    fn a_queue_is_not_its_own_dead_letter_queue() {
        let queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/events";
        for same in [
            queue,
            "https://sqs.eu-west-1.amazonaws.com/123456789012/events/",
            "https://eu-west-1.queue.amazonaws.com/123456789012/events",
            "https://vpce-0a-1b.sqs.eu-west-1.vpce.amazonaws.com/123456789012/events",
            "http://localhost:4566/123456789012/events",
        ] {
            let read = read(&[("USER_SYNC_QUEUE_URL", queue), ("USER_SYNC_DLQ_URL", same)]);
            let message = read.unwrap_err().to_string();
            assert!(message.contains("another queue than USER_SYNC_QUEUE_URL"), "{message}");
        }
        for another in [
            "https://sqs.eu-west-1.amazonaws.com/123456789012/events-dlq",
            "https://sqs.eu-west-1.amazonaws.com/210987654321/events",
            "https://sqs.eu-west-2.amazonaws.com/123456789012/events",
        ] {
            assert!(
                read(&[("USER_SYNC_QUEUE_URL", queue), ("USER_SYNC_DLQ_URL", another)]).is_ok(),
                "{another}"
            );
        }
    }

    #[test]
    fn the_queue_of_records_comes_with_a_dead_letter_queue_and_both_are_apart() {
        let (queue, dlq) = ((CONTEXT_QUEUE_URL_VARIABLE, "c"), (CONTEXT_DLQ_URL_VARIABLE, "cd"));
        assert_eq!(read(&[]).unwrap().contexts, None);
        let contexts = read(&[queue, dlq]).unwrap().contexts.unwrap();
        assert_eq!(
            (contexts.queue_url.as_str(), contexts.dlq_url.as_str(), contexts.concurrency),
            ("c", "cd", 1)
        );
        let bounded = read(&[queue, dlq, ("USER_SYNC_CONTEXT_CONCURRENCY", "3")]).unwrap();
        assert_eq!(bounded.contexts.unwrap().concurrency, 3);
        for (extra, missing) in [(queue, dlq.0), (dlq, queue.0)] {
            let message = read(&[extra]).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{missing} is not set")), "{message}");
        }
        for same in ["q", "d", "c"] {
            let message = read(&[queue, (dlq.0, same)]).unwrap_err().to_string();
            assert!(
                message.contains("USER_SYNC_CONTEXT_DLQ_URL is") && message.contains("another queue"),
                "{message}"
            );
        }
        assert!(read(&[queue, dlq, ("USER_SYNC_CONTEXT_CONCURRENCY", "0")]).is_err());
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
    fn the_user_pools_are_separated_by_commas_and_none_accepts_all() {
        let pools = |value| read(&[(USER_POOL_VARIABLE, value)]).map(|config| config.user_pools);
        let ids = |ids: &[&str]| Some(ids.iter().map(|id| id.parse().unwrap()).collect());
        assert_eq!(pools(""), Ok(None));
        assert_eq!(pools("eu-west-1_A"), Ok(ids(&["eu-west-1_A"])));
        assert_eq!(pools("eu-west-1_B, eu-west-1_A"), Ok(ids(&["eu-west-1_A", "eu-west-1_B"])));
        for value in [",", "eu-west-1_A,", "eu-west-1_A;eu-west-1_B", "all", "*"] {
            let error = pools(value).unwrap_err().to_string();
            assert!(error.contains("USER_SYNC_USER_POOL_ID is") && error.contains("by commas"), "{error}");
        }
    }

    #[test]
    fn the_password_is_in_no_debug_output() {
        let config = read(&[("DATABASE_URL", "postgres://u:hunter2@localhost/db")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
