//! Reads a user pool: its users, and what Cognito knows of them. Knows Cognito's API; must not know the queue or the
//! tables.
//!
//! ListUsers is eventually consistent, so its result is only a hint; what is published comes from AdminGetUser
//! ("ListUsers" and "AdminGetUser", Amazon Cognito user pools API reference).

mod groups;
mod ownership;
mod user;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::operation::admin_get_user::AdminGetUserError;
use aws_sdk_cognitoidentityprovider::primitives::DateTime;
use aws_sdk_cognitoidentityprovider::types::{AttributeType, UserPoolType, UserType};
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::retry::Schedule;
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use uuid::Uuid;

use crate::aws::{self, Timeouts};
use crate::config::{ConfigError, Environment};

pub use crate::cognito::user_pool::groups::{Groups, Members};
pub use crate::cognito::user_pool::ownership::{ClientPage, Pace};
pub use crate::cognito::user_pool::user::{PoolUser, deletion};
pub use crate::config::USER_POOL_VARIABLE as VARIABLE;

/// The pool that [`VARIABLE`] names; `meaning` says what for.
///
/// # Errors
/// When the variable is not set or holds no id of a user pool.
pub fn configured(meaning: &'static str) -> Result<UserPoolId, ConfigError> {
    let value = Environment::process().required(VARIABLE, meaning)?;
    value.parse().map_err(|_| ConfigError::Invalid {
        variable: VARIABLE,
        value,
        expected: "the id of a user pool, such as eu-west-1_Abc123Def".to_owned(),
    })
}

/// Users of one page of ListUsers: Cognito's limit.
pub const PAGE_USERS: usize = 60;

/// The default of ListUsers requests per second: below the account's quota of 30 ("Quotas in Amazon Cognito", category
/// UserList), so that the application's own calls are not throttled.
pub const DEFAULT_LISTS_PER_SECOND: u32 = 20;

/// The default of AdminGetUser requests per second: half of the account's quota of 120 (category UserRead).
pub const DEFAULT_READS_PER_SECOND: u32 = 60;

/// The waits before the pool is asked again, whose answer may be of before a change. Not every call may move
/// UserLastModifiedDate, so they come to an end.
const ASK_AGAIN: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// How long asking again may take, its requests included.
const ASK_AGAIN_BUDGET: Duration = Duration::from_secs(10);

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(3), attempt: Duration::from_secs(10) };
pub(crate) const SCHEDULE: Schedule =
    Schedule { first: Duration::from_millis(200), cap: Duration::from_secs(10) };
pub(crate) const RETRY_BUDGET: Duration = Duration::from_secs(60);

/// One user pool.
#[derive(Debug)]
pub struct UserPool {
    client: Client,
    id: UserPoolId,
    lists: RateLimiter,
    reads: RateLimiter,
    group_lists: RateLimiter,
}

/// A page of ListUsers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The users of the page.
    pub users: Vec<PoolUser>,
    /// Users of the page without a `sub` that is a UUID: they can have no row.
    pub without_sub: u64,
    /// The pagination token of the next page; `None` on the last one.
    pub next: Option<String>,
}

/// What the pool knows of a `sub` at a certain moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUp {
    /// The user is in the pool. The time is before the request was sent.
    Present(PoolUser, Timestamp),
    /// The user is not in the pool, by every way there is to ask.
    Absent(Timestamp),
}

/// Cognito could not be reached or refused a request. Quotes nothing of an answer: it may hold attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Cognito: {operation} failed: {}", .error.describe("Cognito"))]
pub struct PoolError {
    operation: &'static str,
    error: RequestError,
}

impl PoolError {
    pub(crate) fn new<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Self {
        Self { operation, error: RequestError::of(error) }
    }

    /// Whether it may pass when tried again.
    pub(crate) fn is_transient(&self) -> bool {
        self.error.is_transient()
    }

    /// Cognito's error code, if it refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.error.code()
    }
}

impl UserPool {
    /// The pool of this id, configured by the SDK's own variables, with the default rates.
    pub async fn new(id: UserPoolId) -> Self {
        let config = aws::sdk_config(TIMEOUTS).await;
        Self::with_client(Client::new(&config), id)
    }

    /// The pool of this id, with an existing client.
    #[must_use]
    pub fn with_client(client: Client, id: UserPoolId) -> Self {
        let [lists, reads, group_lists] =
            [DEFAULT_LISTS_PER_SECOND, DEFAULT_READS_PER_SECOND, groups::GROUP_LISTS_PER_SECOND]
                .map(RateLimiter::new);
        Self { client, id, lists, reads, group_lists }
    }

    /// Limits the requests per second: ListUsers, whose quota ListUsersInGroup shares, and AdminGetUser.
    #[must_use]
    pub fn at_rates(mut self, lists_per_second: u32, reads_per_second: u32) -> Self {
        (self.lists, self.reads) = (RateLimiter::new(lists_per_second), RateLimiter::new(reads_per_second));
        self
    }

    /// The pool's id, such as `eu-west-1_Abc123Def`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The client, for requests that are not about users.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A page of users, disabled ones included: the first one, or the one after `token`.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn list(&self, token: Option<&str>) -> Result<Page, PoolError> {
        let limit = i32::try_from(PAGE_USERS).unwrap_or(60);
        let list = || async {
            self.lists.wait().await;
            let request = self.client.list_users().user_pool_id(self.id()).limit(limit);
            let listed = request.set_pagination_token(token.map(str::to_owned)).send().await;
            listed.map_err(|error| PoolError::new("ListUsers", &error))
        };
        let listed = SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, list).await?;
        let mut page = Page { next: listed.pagination_token, ..Page::default() };
        for user in listed.users.unwrap_or_default() {
            match listed_user(user) {
                Some(user) => page.users.push(user),
                None => page.without_sub += 1,
            }
        }
        Ok(page)
    }

    /// About how many users there are (`EstimatedNumberOfUsers`); `None` if Cognito does not know.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn estimated_users(&self) -> Result<Option<u64>, PoolError> {
        let users = self.describe().await?.map(|pool| pool.estimated_number_of_users);
        Ok(users.and_then(|users| u64::try_from(users).ok()).filter(|users| *users > 0))
    }

    /// How many of the two triggers do not call `function_arn`, or a version or an alias of it.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn missing_triggers(&self, function_arn: &str) -> Result<usize, PoolError> {
        let config = self.describe().await?.and_then(|pool| pool.lambda_config);
        let triggers = config.map(|config| [config.post_confirmation, config.post_authentication]);
        let is_ours = |trigger: &Option<String>| {
            let rest = trigger.as_deref().and_then(|arn| arn.strip_prefix(function_arn));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        Ok(triggers.unwrap_or_default().iter().filter(|trigger| !is_ours(trigger)).count())
    }

    async fn describe(&self) -> Result<Option<UserPoolType>, PoolError> {
        let describe = || async {
            let described = self.client.describe_user_pool().user_pool_id(self.id()).send().await;
            described.map_err(|error| PoolError::new("DescribeUserPool", &error))
        };
        Ok(SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, describe).await?.user_pool)
    }

    /// What the pool knows of a user now: asks by the user name if it is known, then by the `sub`.
    ///
    /// One answer never suffices for [`LookUp::Absent`]: the user name may have been reassigned, a federated user is
    /// not found by its `sub`, and ListUsers may lag behind. All three must not find the user.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn look_up(&self, sub: Uuid, username: Option<&str>) -> Result<LookUp, PoolError> {
        if let Some(username) = username
            && let Some(present) = self.get(sub, username).await?
        {
            return Ok(present);
        }
        let listed = self.username_of(sub).await?;
        if let Some(listed) = listed.as_deref().filter(|listed| Some(*listed) != username)
            && let Some(present) = self.get(sub, listed).await?
        {
            return Ok(present);
        }
        // For a local user, AdminGetUser accepts the `sub` as the user name.
        let asked_at = Timestamp::now();
        Ok(self.get(sub, &sub.to_string()).await?.unwrap_or(LookUp::Absent(asked_at)))
    }

    /// As [`Self::look_up`], of a user who changed at `change`: asks again while the answer may be of before that, for
    /// some seconds. The last answer may be so still.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn look_up_after(
        &self,
        change: Timestamp,
        sub: Uuid,
        username: Option<&str>,
    ) -> Result<LookUp, PoolError> {
        let mut answer = self.look_up(sub, username).await?;
        let again = async {
            for wait in ASK_AGAIN {
                let LookUp::Present(user, _) = &answer else { break };
                if !user.lags_behind(change) {
                    break;
                }
                tokio::time::sleep(wait).await;
                answer = self.look_up(sub, Some(&user.username.clone())).await?;
            }
            Ok(())
        };
        tokio::time::timeout(ASK_AGAIN_BUDGET, again).await.unwrap_or(Ok(()))?;
        Ok(answer)
    }

    /// The user of this name, if it has this `sub`.
    async fn get(&self, sub: Uuid, username: &str) -> Result<Option<LookUp>, PoolError> {
        let get = || async {
            self.reads.wait().await;
            let asked_at = Timestamp::now();
            let request = self.client.admin_get_user().user_pool_id(self.id()).username(username);
            match request.send().await {
                Ok(user) => Ok(Some((user, asked_at))),
                Err(SdkError::ServiceError(failure))
                    if matches!(failure.err(), AdminGetUserError::UserNotFoundException(_)) =>
                {
                    Ok(None)
                }
                Err(error) => Err(PoolError::new("AdminGetUser", &error)),
            }
        };
        let Some((user, asked_at)) = SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, get).await? else {
            return Ok(None);
        };
        let (found, attributes) = attributes(user.user_attributes);
        let user = PoolUser {
            sub,
            username: user.username,
            status: user.user_status.map(|status| status.as_str().to_owned()),
            enabled: user.enabled,
            created_at: user.user_create_date.as_ref().and_then(timestamp),
            modified_at: user.user_last_modified_date.as_ref().and_then(timestamp),
            attributes,
        };
        Ok((found == Some(sub)).then_some(LookUp::Present(user, asked_at)))
    }

    /// The name of the user with this `sub`, by ListUsers' filter. An empty page need not be the last.
    async fn username_of(&self, sub: Uuid) -> Result<Option<String>, PoolError> {
        let filter = format!("sub = \"{sub}\"");
        let mut token: Option<String> = None;
        loop {
            let list = || async {
                self.lists.wait().await;
                let request = self.client.list_users().user_pool_id(self.id()).filter(&filter);
                let listed = request.set_pagination_token(token.clone()).send().await;
                listed.map_err(|error| PoolError::new("ListUsers", &error))
            };
            let listed = SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, list).await?;
            let username = listed.users.unwrap_or_default().into_iter().find_map(|user| user.username);
            match (username, listed.pagination_token) {
                (None, Some(next)) => token = Some(next),
                (username, _) => return Ok(username),
            }
        }
    }
}

fn listed_user(user: UserType) -> Option<PoolUser> {
    let (sub, attributes) = attributes(user.attributes);
    Some(PoolUser {
        sub: sub?,
        username: user.username?,
        status: user.user_status.map(|status| status.as_str().to_owned()),
        enabled: user.enabled,
        created_at: user.user_create_date.as_ref().and_then(timestamp),
        modified_at: user.user_last_modified_date.as_ref().and_then(timestamp),
        attributes,
    })
}

/// The `sub`, and the other attributes.
fn attributes(attributes: Option<Vec<AttributeType>>) -> (Option<Uuid>, BTreeMap<String, String>) {
    let pairs = attributes.unwrap_or_default().into_iter();
    let mut attributes: BTreeMap<_, _> =
        pairs.filter_map(|attribute| Some((attribute.name, attribute.value?))).collect();
    (attributes.remove("sub").and_then(|sub| Uuid::try_parse(&sub).ok()), attributes)
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().and_then(|millis| u64::try_from(millis).ok()).map(Timestamp::from_unix_millis)
}

/// Lets requests through one after the other, at a limited rate.
#[derive(Debug)]
struct RateLimiter {
    interval: Duration,
    next: tokio::sync::Mutex<Instant>,
}

impl RateLimiter {
    fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, next: tokio::sync::Mutex::new(Instant::now()) }
    }

    async fn wait(&self) {
        let turn = {
            let mut next = self.next.lock().await;
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval;
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }
}
