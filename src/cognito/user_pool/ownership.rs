//! Asks a user pool what is its own: its app clients, without their secrets, and whether a user is. Must not know what for.

use uuid::Uuid;

use crate::cognito::user_pool::requests::RateLimiter;
use crate::cognito::user_pool::{PAGE_USERS, PoolError, UserPool};

/// A page of ListUserPoolClients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientPage {
    /// The clients' ids.
    pub ids: Vec<String>,
    /// The pagination token of the next page; `None` on the last one.
    pub next: Option<String>,
}

/// A rate that several pools share.
#[derive(Debug)]
pub struct Pace(RateLimiter);

impl Pace {
    /// So many requests a second.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self(RateLimiter::new(per_second))
    }

    /// Waits for one's turn.
    pub async fn wait(&self) {
        self.0.wait().await;
    }
}

impl UserPool {
    /// A page of app clients: the first one, or the one after `token`. Asks once: the caller limits the rate for all its
    /// pools together, and tries again.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable.
    pub async fn clients(&self, token: Option<&str>) -> Result<ClientPage, PoolError> {
        // The same limit as that of ListUsers.
        let limit = i32::try_from(PAGE_USERS).unwrap_or(60);
        let request = self.client.list_user_pool_clients().user_pool_id(self.id()).max_results(limit);
        let listed = request.set_next_token(token.map(str::to_owned)).send().await;
        let listed = listed.map_err(|error| PoolError::new("ListUserPoolClients", &error))?;
        let clients = listed.user_pool_clients.unwrap_or_default().into_iter();
        Ok(ClientPage {
            ids: clients.filter_map(|client| client.client_id).collect(),
            next: listed.next_token,
        })
    }

    /// Whether an app client has a secret; `None` if the pool has no such client. Asks once, as [`Self::clients`] does. The
    /// answer holds the secret, and is dropped here.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable.
    pub async fn client_has_secret(&self, client: &str) -> Result<Option<bool>, PoolError> {
        let request = self.client.describe_user_pool_client().user_pool_id(self.id()).client_id(client);
        let described =
            request.send().await.map_err(|error| PoolError::new("DescribeUserPoolClient", &error));
        match described {
            Ok(described) => Ok(described
                .user_pool_client
                .map(|client| client.client_secret.is_some_and(|secret| !secret.is_empty()))),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether ListUsers knows a user of this `sub`, by one question: it may lag, so that a no decides nothing.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn lists(&self, sub: Uuid) -> Result<bool, PoolError> {
        Ok(self.find("sub", &sub.to_string(), sub).await?.is_some())
    }
}
