//! Asks a user pool about one user, so that nobody becomes a monthly active user by it. Must not know why somebody asks.
//!
//! A user's entry in ListUsers has what AdminGetUser has, and ListUsers may lag. So one answer of no decides nothing, and
//! who asks dates an answer so that it overrules nothing newer.

use std::time::Duration;

use aws_sdk_cognitoidentityprovider::error::SdkError;
use aws_sdk_cognitoidentityprovider::operation::admin_get_user::AdminGetUserError;
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::cognito::user_pool::requests::Operation;
use crate::cognito::user_pool::{
    PoolError, PoolUser, RETRY_BUDGET, SCHEDULE, UserPool, attributes, timestamp,
};

/// The wait before the pool is asked the third time for a user whom it denied twice: its reads may lag.
pub const ABSENT_PAUSE: Duration = Duration::from_secs(3);

/// The waits before the pool is asked again, whose answer may be of before a change. Not every call may move
/// UserLastModifiedDate, so they come to an end.
const ASK_AGAIN: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// How long asking again may take, its requests included.
const ASK_AGAIN_BUDGET: Duration = Duration::from_secs(10);

/// What the pool knows of a `sub` at a certain moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUp {
    /// The user is in the pool. The time is before the request was sent.
    Present(PoolUser, Timestamp),
    /// The user is not in the pool, by every way there is to ask.
    Absent(Timestamp),
}

impl UserPool {
    /// What the pool knows of a user now: asks by the `sub`, then by the user name, and after [`ABSENT_PAUSE`] by the `sub`
    /// again.
    ///
    /// One answer never suffices for [`LookUp::Absent`], since ListUsers may lag: none of the three must find the user.
    /// Where no name is known, the `sub` is asked for as one, which it is in pools whose users sign in by an address.
    ///
    /// # Errors
    /// When Cognito refuses, or is unavailable for a minute.
    pub async fn look_up(&self, sub: Uuid, username: Option<&str>) -> Result<LookUp, PoolError> {
        let text = sub.to_string();
        let name = username.unwrap_or(&text);
        if let Some(present) = self.find("sub", &text, sub).await? {
            return Ok(present);
        }
        if let Some(present) = self.find("username", name, sub).await? {
            return Ok(present);
        }
        tokio::time::sleep(ABSENT_PAUSE).await;
        let asked_at = Timestamp::now();
        if let Some(present) = self.find("sub", &text, sub).await? {
            return Ok(present);
        }
        Ok(self.get(sub, name).await?.unwrap_or(LookUp::Absent(asked_at)))
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
        match &answer {
            LookUp::Present(user, _) if user.lags_behind(change) => {
                Ok(self.get(sub, &user.username).await?.unwrap_or(answer))
            }
            LookUp::Present(..) | LookUp::Absent(_) => Ok(answer),
        }
    }

    /// The user of this `sub` among those whose attribute has the value. An empty page need not be the last.
    pub(super) async fn find(
        &self,
        attribute: &str,
        value: &str,
        sub: Uuid,
    ) -> Result<Option<LookUp>, PoolError> {
        let filter = equals(attribute, value);
        let mut token: Option<String> = None;
        loop {
            let asked_at = Timestamp::now();
            let page = self.page(Some(&filter), token.as_deref()).await?;
            if let Some(user) = page.users.into_iter().find(|user| user.sub == sub) {
                return Ok(Some(LookUp::Present(user, asked_at)));
            }
            token = page.next;
            if token.is_none() {
                return Ok(None);
            }
        }
    }

    /// The user of this name, if it has this `sub`, by AdminGetUser; nobody where that may not be asked.
    async fn get(&self, sub: Uuid, username: &str) -> Result<Option<LookUp>, PoolError> {
        let Some(rate) = &self.admin_reads else { return Ok(None) };
        let get = || async {
            rate.wait().await;
            self.counter.count(Operation::AdminGetUser);
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
}

/// A filter of ListUsers: the attribute has exactly this value.
fn equals(attribute: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{attribute} = \"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_the_filter() {
        assert_eq!(equals("username", r#"a" or \"#), r#"username = "a\" or \\""#);
    }
}
