//! Which app clients people's own devices use: those that are named, or else those that have no secret. Remembers; must not
//! know whose records it is asked for. A secret is never kept.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::cognito::user_pool::{Pace, PoolError, SCHEDULE, UserPool};
use crate::config::{ConfigError, Environment};

/// The name of the variable that holds the ids of the app clients that people's own devices use, separated by commas.
pub const CLIENTS_VARIABLE: &str = "USER_SYNC_CONTEXT_CLIENTS";

/// DescribeUserPoolClient requests per second: together with the listings of clients less than half of the account's quota
/// of 15 ("Quotas in Amazon Cognito", category UserPoolClientRead).
const DESCRIPTIONS_PER_SECOND: u32 = 2;

/// How long a client is asked for again while Cognito throttles or is unavailable.
const DESCRIPTION_BUDGET: Duration = Duration::from_secs(5);

/// The app clients of devices.
#[derive(Debug)]
pub(super) struct Devices {
    named: Option<BTreeSet<String>>,
    descriptions: Pace,
    /// Of each client that was asked for, whether it has no secret: that is decided when a client is made.
    asked: tokio::sync::Mutex<HashMap<String, bool>>,
}

impl Devices {
    pub(super) fn of(named: Option<BTreeSet<String>>) -> Self {
        let descriptions = Pace::new(DESCRIPTIONS_PER_SECOND);
        Self { named, descriptions, asked: tokio::sync::Mutex::default() }
    }

    pub(super) fn from_env(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let Some(value) = environment.optional(CLIENTS_VARIABLE)? else { return Ok(Self::of(None)) };
        let ids: BTreeSet<String> = value.split(',').map(|id| id.trim().to_owned()).collect();
        let is_id = |id: &String| {
            !id.is_empty()
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+'))
        };
        if !ids.iter().all(is_id) {
            let expected = "the ids of app clients, separated by commas, such as 1example23456789".to_owned();
            return Err(ConfigError::Invalid { variable: CLIENTS_VARIABLE, value, expected });
        }
        Ok(Self::of(Some(ids)))
    }

    /// Whether people's own devices use this client of the pool. One that is gone, and was not asked for before, is taken
    /// for a backend's.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable.
    pub(super) async fn uses(&self, pool: &UserPool, client: &str) -> Result<bool, PoolError> {
        if let Some(named) = &self.named {
            return Ok(named.contains(client));
        }
        let mut asked = self.asked.lock().await;
        if let Some(is_used) = asked.get(client) {
            return Ok(*is_used);
        }
        let ask = || async {
            self.descriptions.wait().await;
            pool.client_has_secret(client).await
        };
        let has_secret = SCHEDULE.retry(DESCRIPTION_BUDGET, PoolError::is_transient, ask).await?;
        let is_used = has_secret == Some(false);
        asked.insert(client.to_owned(), is_used);
        Ok(is_used)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn clients_are_named_by_their_ids() {
        let read = |value: &str| Devices::from_env(Environment::new(&|_| Some(value.into())));
        assert_eq!(read("1a, 2b").unwrap().named, Some(["1a", "2b"].map(str::to_owned).into()));
        assert!(read("").unwrap().named.is_none(), "an empty value is none");
        for value in ["1a,", ",", "1a 2b", "app client", "https://example.com"] {
            let error = read(value).unwrap_err().to_string();
            assert!(error.contains(CLIENTS_VARIABLE) && error.contains("separated by commas"), "{error}");
        }
    }
}
