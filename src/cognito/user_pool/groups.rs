//! Lists the groups of a user pool, and their members. Must not know what they are compared with.

use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::cognito::user_pool::requests::Operation;
use crate::cognito::user_pool::{PAGE_USERS, PoolError, RETRY_BUDGET, SCHEDULE, UserPool, attributes};

/// ListGroups requests per second: below the quota of 5 for the pool ("Quotas in Amazon Cognito").
pub(super) const GROUP_LISTS_PER_SECOND: u32 = 4;

/// A page of ListGroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// The groups' names.
    pub names: Vec<String>,
    /// The pagination token of the next page; `None` on the last one.
    pub next: Option<String>,
}

/// A page of ListUsersInGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The members who have a `sub` that is a UUID; disabled ones are among them.
    pub subs: Vec<Uuid>,
    /// The pagination token of the next page; `None` on the last one.
    pub next: Option<String>,
    /// Before the request was sent.
    pub asked_at: Timestamp,
}

impl UserPool {
    /// A page of groups: the first one, or the one after `token`.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn groups(&self, token: Option<&str>) -> Result<Groups, PoolError> {
        let limit = i32::try_from(PAGE_USERS).unwrap_or(60);
        let list = || async {
            self.group_lists.wait().await;
            self.counter.count(Operation::ListGroups);
            let request = self.client.list_groups().user_pool_id(self.id()).limit(limit);
            let listed = request.set_next_token(token.map(str::to_owned)).send().await;
            listed.map_err(|error| PoolError::new("ListGroups", &error))
        };
        let listed = SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, list).await?;
        let names = listed.groups.unwrap_or_default().into_iter().filter_map(|group| group.group_name);
        Ok(Groups { names: names.collect(), next: listed.next_token })
    }

    /// The names of all groups.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn all_groups(&self) -> Result<Vec<String>, PoolError> {
        let (mut names, mut token) = (Vec::new(), None);
        loop {
            let page = self.groups(token.as_deref()).await?;
            names.extend(page.names);
            token = page.next;
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    /// A page of a group's members: the first one, or the one after `token`. It counts as a ListUsers request; so
    /// Cognito does ("Quotas in Amazon Cognito", category UserList). `None` if there is no such group.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn members(&self, group: &str, token: Option<&str>) -> Result<Option<Members>, PoolError> {
        let limit = i32::try_from(PAGE_USERS).unwrap_or(60);
        let list = || async {
            self.lists.wait().await;
            self.counter.count(Operation::ListUsersInGroup);
            let asked_at = Timestamp::now();
            let request = self.client.list_users_in_group().user_pool_id(self.id()).group_name(group);
            let listed = request.limit(limit).set_next_token(token.map(str::to_owned)).send().await;
            let listed = listed.map_err(|error| PoolError::new("ListUsersInGroup", &error))?;
            let users = listed.users.unwrap_or_default().into_iter();
            let subs = users.filter_map(|user| attributes(user.attributes).0).collect();
            Ok(Members { subs, next: listed.next_token, asked_at })
        };
        match SCHEDULE.retry(RETRY_BUDGET, PoolError::is_transient, list).await {
            Ok(members) => Ok(Some(members)),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(error),
        }
    }
}
