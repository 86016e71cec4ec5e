//! Cognito's calls for one user pool, with the JSON as it is on the wire. The SDK signs, sends and classifies errors,
//! but its types would drop every setting that is newer than this build. Must not know what the settings mean.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_cognitoidentityprovider::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cognitoidentityprovider::error::{BoxError, ProvideErrorMetadata, SdkError};
use serde_json::Value;

use crate::cognito::triggers::Error;
use crate::cognito::triggers::settings::{self, Settings};
use crate::cognito::user_pool::{PoolError, RETRY_BUDGET, SCHEDULE};

/// One user pool, by its id.
pub(super) struct UserPoolApi<'a> {
    client: &'a Client,
    id: &'a str,
}

/// How an update ended that Cognito accepted or should be tried again.
pub(super) enum Written {
    /// Cognito applied it.
    Done,
    /// Somebody else is changing the pool, so nothing was written.
    Concurrently,
}

impl<'a> UserPoolApi<'a> {
    pub(super) fn new(client: &'a Client, id: &'a str) -> Self {
        Self { client, id }
    }

    /// DescribeUserPool's `UserPool`.
    pub(super) async fn describe(&self) -> Result<Settings, Error> {
        const OPERATION: &str = "DescribeUserPool";
        let describe = || async {
            let answer = Answer::default();
            let request = self.client.describe_user_pool().user_pool_id(self.id).customize();
            let sent = request.interceptor(answer.clone()).send().await;
            sent.map_err(|error| failure(OPERATION, &error))?;
            Ok(answer)
        };
        let answer = SCHEDULE.retry(RETRY_BUDGET, is_transient, describe).await?;
        let pool = answer.take().and_then(|mut answer| answer.remove("UserPool"));
        match pool {
            Some(Value::Object(pool)) => Ok(pool),
            Some(_) | None => Err(Error::Unreadable { operation: OPERATION }),
        }
    }

    /// GetUserPoolMfaConfig's response; `None` where IAM denies it, or a secondary replica has none.
    pub(super) async fn describe_mfa(&self) -> Result<Option<Settings>, Error> {
        const OPERATION: &str = "GetUserPoolMfaConfig";
        let describe = || async {
            let answer = Answer::default();
            let request = self.client.get_user_pool_mfa_config().user_pool_id(self.id).customize();
            let sent = request.interceptor(answer.clone()).send().await;
            sent.map_err(|error| failure(OPERATION, &error))?;
            Ok(answer)
        };
        match SCHEDULE.retry(RETRY_BUDGET, is_transient, describe).await {
            Ok(answer) => answer.take().map(Some).ok_or(Error::Unreadable { operation: OPERATION }),
            Err(Error::Denied { .. }) => {
                tracing::warn!("the MFA factors are not compared: grant cognito-idp:{OPERATION}");
                Ok(None)
            }
            // A secondary replica has the primary's factors, and no update there changes them.
            Err(Error::NotEnabled { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// UpdateUserPool with this request, once: whoever sends it again reads the pool again before.
    pub(super) async fn update(&self, request: Settings) -> Result<Written, Error> {
        let body = Value::Object(request).to_string();
        let request = self.client.update_user_pool().user_pool_id(self.id).customize();
        let sent = request.interceptor(Body(body)).send().await;
        match sent.map_err(|error| failure("UpdateUserPool", &error)) {
            Ok(_) => Ok(Written::Done),
            Err(Error::Cognito(error)) if error.code() == Some("ConcurrentModificationException") => {
                Ok(Written::Concurrently)
            }
            Err(error) => Err(error),
        }
    }

    /// Sets MFA as `described`.
    pub(super) async fn set_mfa(&self, described: &Settings) -> Result<(), Error> {
        let body = Value::Object(settings::mfa_request(self.id, described)).to_string();
        let set = || async {
            let request = self.client.set_user_pool_mfa_config().user_pool_id(self.id).customize();
            let sent = request.interceptor(Body(body.clone())).send().await;
            sent.map_err(|error| failure("SetUserPoolMfaConfig", &error))
        };
        SCHEDULE.retry(RETRY_BUDGET, is_transient, set).await.map(drop)
    }
}

/// Replaces the body of the SDK's own request, before it is signed.
#[derive(Debug)]
struct Body(String);

impl Intercept for Body {
    fn name(&self) -> &'static str {
        "Body"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.headers_mut().insert("content-length", self.0.len().to_string());
        *request.body_mut() = self.0.clone().into();
        Ok(())
    }
}

/// Keeps the JSON of a response. Clones share it.
#[derive(Debug, Clone, Default)]
struct Answer(Arc<Mutex<Option<Settings>>>);

impl Answer {
    fn take(&self) -> Option<Settings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Answer {
    fn name(&self) -> &'static str {
        "Answer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = serde_json::from_slice(body).ok();
        Ok(())
    }
}

/// Whether a request may succeed when sent again, or may have succeeded without a response.
pub(super) fn is_transient(error: &Error) -> bool {
    match error {
        Error::Cognito(error) => error.is_transient(),
        Error::Taken(_)
        | Error::TakenByAnother(_)
        | Error::NoFunction { .. }
        | Error::Chained { .. }
        | Error::Denied { .. }
        | Error::NotEnabled { .. }
        | Error::NoPool
        | Error::Unreadable { .. }
        | Error::ConcurrentlyModified
        | Error::TooLate
        | Error::GaveUp
        | Error::Changed { .. }
        | Error::NotRestored { .. }
        | Error::Held
        | Error::NotSeen
        | Error::Parameter(_) => false,
    }
}

fn failure<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Error {
    match error.code() {
        Some("ResourceNotFoundException") => Error::NoPool,
        Some("OperationNotEnabledException") => Error::NotEnabled { operation },
        Some(code) if code.contains("AccessDenied") => {
            let action = denied_action(error.message().unwrap_or_default());
            Error::Denied { operation, action: action.unwrap_or_else(|| format!("cognito-idp:{operation}")) }
        }
        Some(_) | None => Error::Cognito(PoolError::new(operation, error)),
    }
}

/// The action in IAM's sentence, such as "User: … is not authorized to perform: iam:PassRole on resource: …".
/// We do not repeat the rest, which names roles, accounts and sessions.
fn denied_action(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    let action = rest.split_whitespace().next()?;
    let is_action = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '-';
    (action.contains(':') && action.chars().all(is_action)).then(|| action.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_iams_sentence_only_the_action_is_told() {
        let said = "User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized to perform: iam:PassRole on resource: arn:…";
        assert_eq!(denied_action(said).as_deref(), Some("iam:PassRole"));
        for said in ["", "not authorized to perform: ", "not authorized to perform: everything"] {
            assert_eq!(denied_action(said), None, "{said}");
        }
    }
}
