//! Reads a user pool: its users, and what Cognito knows of them. Knows Cognito's API; must not know the queue or the
//! tables.
//!
//! By ListUsers: AdminGetUser makes each user whom it is asked for a monthly active one, who is billed (Amazon Cognito
//! pricing). ListUsers is eventually consistent ("ListUsers", Amazon Cognito user pools API reference).

mod groups;
mod look_up;
mod ownership;
mod requests;
mod user;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::primitives::DateTime;
use aws_sdk_cognitoidentityprovider::types::{AttributeType, UserPoolType, UserType};
use cognito_user_sync_triggers::event::PoolSeen;
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::retry::Schedule;
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use uuid::Uuid;

use crate::aws::{self, Timeouts};
use crate::cognito::triggers::is_ours;
use crate::cognito::user_pool::requests::{Counter, Operation, RateLimiter};
use crate::config::{ConfigError, Environment};

pub use crate::cognito::user_pool::groups::{Groups, Members};
pub use crate::cognito::user_pool::look_up::{ABSENT_PAUSE, LookUp};
pub use crate::cognito::user_pool::ownership::{ClientPage, Pace};
pub use crate::cognito::user_pool::requests::Requests;
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

/// After which time an answer of ListUsers is taken to know of a change. By how much it may lag is not documented.
pub const SETTLES_AFTER: Duration = Duration::from_secs(60);

/// Users of one page of ListUsers: Cognito's limit.
pub const PAGE_USERS: usize = 60;

/// Requests per second of ListUsers and ListUsersInGroup together, for everybody in the account and Region: Cognito's quota
/// ("Quotas in Amazon Cognito", category UserList). What we take of it are the shares below, and never more by default.
pub const LISTS_QUOTA: u32 = 30;

/// The share of who walks the whole pool while somebody waits: half.
pub const WALK_SHARE: u32 = 15;

/// The share of the scheduled drift check, for which nobody waits: a third.
pub const DRIFT_SHARE: u32 = 10;

/// The share of a process that asks about single users: a sixth. The lifecycle function may run in several.
pub const LOOK_UP_SHARE: u32 = 5;

/// The share of AdminGetUser, where it may be asked: a quarter of the account's quota of 120 a second (category UserRead).
pub const ADMIN_READ_SHARE: u32 = 30;

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
    group_lists: RateLimiter,
    /// None where AdminGetUser may not be asked.
    admin_reads: Option<RateLimiter>,
    counter: Counter,
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
    /// The pool of this id, configured by the SDK's own variables, with the least share of the quota.
    pub async fn new(id: UserPoolId) -> Self {
        let config = aws::sdk_config(TIMEOUTS).await;
        Self::with_client(Client::new(&config), id)
    }

    /// The pool of this id, with an existing client.
    #[must_use]
    pub fn with_client(client: Client, id: UserPoolId) -> Self {
        let (lists, group_lists) =
            (RateLimiter::new(LOOK_UP_SHARE), RateLimiter::new(groups::GROUP_LISTS_PER_SECOND));
        Self { client, id, lists, group_lists, admin_reads: None, counter: Counter::default() }
    }

    /// Limits the requests per second of ListUsers and ListUsersInGroup together; see [`LISTS_QUOTA`].
    #[must_use]
    pub fn at_rate(mut self, lists_per_second: u32) -> Self {
        self.lists = RateLimiter::new(lists_per_second);
        self
    }

    /// Lets it ask AdminGetUser, so many times a second, where nothing else answers: an answer that still lags behind a
    /// change after all asking, and whether a user whom ListUsers denied three times is gone. Each user asked for becomes a
    /// monthly active user.
    #[must_use]
    pub fn asking_admin_get_user(mut self, reads_per_second: u32) -> Self {
        self.admin_reads = Some(RateLimiter::new(reads_per_second));
        self
    }

    /// The requests that were sent until now.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.counter.counted()
    }

    /// Writes each request into `journal` before it is sent, and those of until now: [`Requests::read`] counts them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep_requests_in(&self, journal: File) -> io::Result<()> {
        self.counter.keep_in(journal)
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
        self.page(None, token).await
    }

    /// As [`Self::list`], of the users whose `sub` begins with `digits`. Whoever is of others was not asked for: a server that
    /// does not know the filter may ignore it.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn list_range(&self, digits: &str, token: Option<&str>) -> Result<Page, PoolError> {
        self.page(Some(&format!("sub ^= \"{digits}\"")), token).await
    }

    async fn page(&self, filter: Option<&str>, token: Option<&str>) -> Result<Page, PoolError> {
        let limit = i32::try_from(PAGE_USERS).unwrap_or(60);
        let list = || async {
            self.lists.wait().await;
            self.counter.count(Operation::ListUsers);
            let request = self.client.list_users().user_pool_id(self.id()).limit(limit);
            let request = request.set_filter(filter.map(str::to_owned));
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

    /// The two triggers, and how many of them do not call `function_arn`, or a version or an alias of it.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn look_at_triggers(&self, function_arn: &str) -> Result<PoolSeen, PoolError> {
        let config = self.describe().await?.and_then(|pool| pool.lambda_config);
        let [post_confirmation, post_authentication] = config
            .map(|config| [config.post_confirmation, config.post_authentication])
            .unwrap_or_default()
            .map(|arn| arn.filter(|arn| !arn.is_empty()));
        let is_ours = |arn: &Option<String>| arn.as_ref().is_some_and(|arn| is_ours(arn, function_arn));
        let missing =
            [&post_confirmation, &post_authentication].map(|arn| u8::from(!is_ours(arn))).iter().sum();
        let region = self.client.config().region().map(ToString::to_string).unwrap_or_default();
        let user_pool_id = self.id().to_owned();
        Ok(PoolSeen { user_pool_id, region, missing, post_confirmation, post_authentication })
    }

    async fn describe(&self) -> Result<Option<UserPoolType>, PoolError> {
        let describe = || async {
            self.counter.count(Operation::DescribeUserPool);
            let described = self.client.describe_user_pool().user_pool_id(self.id()).send().await;
            described.map_err(|error| PoolError::new("DescribeUserPool", &error))
        };
        Ok(SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, describe).await?.user_pool)
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
