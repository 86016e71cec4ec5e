//! Calls the function that was the user pool's trigger before ours, and tells what became of it. Knows Lambda;
//! must not know SQS, nor what an event says beyond its source.
//!
//! It stands where Cognito stood: same bytes in, and what it answers, error or not, is what Cognito gets. Only
//! where Cognito could not have gone wrong, on the way from us to it, does the sign-in go on without it.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde_json::value::RawValue;

use crate::aws::{self, Timeouts};
use crate::cognito;
use crate::environment::{ConfigError, Environment};
use crate::json::{self, Object};
use crate::request_error::RequestError;
use crate::retry::Schedule;

/// The name of the variable that holds the ARN of PostConfirmation's former function.
pub const POST_CONFIRMATION_VARIABLE: &str = "USER_SYNC_CHAIN_POST_CONFIRMATION";
/// The name of the variable that holds the ARN of PostAuthentication's former function.
pub const POST_AUTHENTICATION_VARIABLE: &str = "USER_SYNC_CHAIN_POST_AUTHENTICATION";

/// All that the former function may take. Cognito waits 5 s ("Customizing user pool workflows with Lambda
/// triggers") for it and for us; what is left is for the queue.
pub const CHAIN_BUDGET: Duration = Duration::from_millis(4_400);

/// How long a call that did not reach the function is tried again.
const RETRY_BUDGET: Duration = Duration::from_secs(1);
/// All that warming may cost the function's init (Lambda allows it 10 s).
pub(crate) const WARM_BUDGET: Duration = Duration::from_secs(1);
/// An attempt may take all there is: the function may be slow, as it was allowed to be.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(1), attempt: CHAIN_BUDGET };
const SCHEDULE: Schedule = Schedule { first: Duration::from_millis(50), cap: Duration::from_millis(400) };

/// The functions that were the pool's triggers before ours.
#[derive(Debug, Clone)]
pub struct Chain {
    client: Client,
    post_confirmation: Option<String>,
    post_authentication: Option<String>,
}

/// What the former function made of an event.
#[derive(Debug, Clone)]
pub enum Chained {
    /// It answered: this is Cognito's answer, whatever it is.
    Answered(Box<RawValue>),
    /// It failed: this is Cognito's error.
    Failed(Failure),
    /// It did not answer in time, nor would it have answered Cognito.
    TimedOut,
    /// It was never reached; why, without anything of the event.
    Unreachable(String),
}

/// A function's error, as Lambda tells it to whoever called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Such as `Error` or `Runtime.ExitError`.
    pub error_type: String,
    /// What Cognito shows to whoever signs in.
    pub error_message: String,
}

impl Failure {
    /// The error in a payload of Lambda's; what it does not say is empty.
    fn read(payload: &str) -> Option<Self> {
        let error: Object<'_> = serde_json::from_str(payload).ok()?;
        let text = |name| json::text(&error, name).unwrap_or_default();
        Some(Self { error_type: text("errorType"), error_message: text("errorMessage") })
    }

    /// Cognito's error where the former function did not answer in time.
    #[must_use]
    pub fn timed_out() -> Self {
        let error_message = "the trigger function did not answer in time".to_owned();
        Self { error_type: "TimedOut".to_owned(), error_message }
    }
}

/// The former functions are not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A chain that leads back to where it starts.
    #[error("{0} names this very function: it is not called")]
    Circular(&'static str),
    /// A variable cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Chain {
    /// Configured by the two variables; `None` where neither is set, and then no client is made.
    ///
    /// # Errors
    /// [`ChainError::Circular`] when a variable names this function, and when one cannot be read.
    pub async fn from_env() -> Result<Option<Self>, ChainError> {
        let environment = Environment::process();
        let own = environment.optional("AWS_LAMBDA_FUNCTION_NAME")?;
        let former = |variable| {
            let arn = environment.optional(variable)?;
            match own.is_some() && arn.as_deref().map(function_name) == own.as_deref() {
                true => Err(ChainError::Circular(variable)),
                false => Ok(arn),
            }
        };
        let confirmation = former(POST_CONFIRMATION_VARIABLE)?;
        let authentication = former(POST_AUTHENTICATION_VARIABLE)?;
        if confirmation.is_none() && authentication.is_none() {
            return Ok(None);
        }
        let client = Client::new(&aws::function_config(TIMEOUTS).await);
        Ok(Some(Self { client, post_confirmation: confirmation, post_authentication: authentication }))
    }

    /// The function that is called first with this event, if any.
    #[must_use]
    pub fn function_of(&self, payload: &str) -> Option<&str> {
        let source = cognito::trigger_source(payload)?;
        let (hook, _) = source.split_once('_')?;
        match hook {
            "PostConfirmation" => self.post_confirmation.as_deref(),
            "PostAuthentication" => self.post_authentication.as_deref(),
            _ => None,
        }
    }

    /// Fetches credentials and opens the connection, so that the first sign-in does not pay for it.
    ///
    /// A dry run: Lambda checks the permission and runs nothing ("Invoke", AWS Lambda API reference). Ends within
    /// a second; returns Lambda's refusal, so that a missing permission is said before the first sign-in.
    pub async fn warm(&self) -> Option<String> {
        let function = self.post_confirmation.as_deref().or(self.post_authentication.as_deref())?;
        let request = self.client.invoke().function_name(function).invocation_type(InvocationType::DryRun);
        let answered = tokio::time::timeout(WARM_BUDGET, request.send()).await.ok()?;
        answered.err().map(|error| NotInvoked::of(&error).why)
    }

    /// Calls `function` with Cognito's own bytes, and ends within `budget`: [`CHAIN_BUDGET`], or what is left of it.
    ///
    /// Tried again where it was not called (a throttle, no connection), and where a connection broke before the
    /// answer: it died while we were frozen, or else Cognito too would have called again.
    pub async fn call(&self, function: &str, payload: &str, budget: Duration) -> Chained {
        let invoke = || async {
            let request = self.client.invoke().function_name(function).payload(Blob::new(payload));
            request.send().await.map_err(|error| NotInvoked::of(&error))
        };
        let retried = SCHEDULE.retry(RETRY_BUDGET, |error| error.again, invoke);
        match tokio::time::timeout(budget, retried).await {
            Ok(Ok(output)) => read(output),
            Ok(Err(error)) if error.timed_out => Chained::TimedOut,
            Ok(Err(error)) => Chained::Unreachable(error.why),
            Err(_) => Chained::TimedOut,
        }
    }
}

/// The name in a function's ARN (`arn:aws:lambda:region:account:function:name`, with or without a qualifier).
fn function_name(arn: &str) -> &str {
    arn.split(':').nth(6).unwrap_or(arn)
}

fn read(output: InvokeOutput) -> Chained {
    let payload = output.payload.map(Blob::into_inner).unwrap_or_default();
    if output.function_error.is_some() {
        let failure = std::str::from_utf8(&payload).ok().and_then(Failure::read);
        return Chained::Failed(failure.unwrap_or_else(unreadable));
    }
    let json = String::from_utf8(payload).ok().and_then(|json| RawValue::from_string(json).ok());
    json.map_or_else(|| Chained::Failed(unreadable()), Chained::Answered)
}

/// Cognito's own error for a response that is not JSON is "Unrecognizable lambda output".
fn unreadable() -> Failure {
    let error_message = "the trigger function returned a response that is not JSON".to_owned();
    Failure { error_type: "Unreadable".to_owned(), error_message }
}

/// Why there is no answer of the function.
struct NotInvoked {
    why: String,
    /// It may be called the next time.
    again: bool,
    /// It was called, and may be running still.
    timed_out: bool,
}

impl NotInvoked {
    fn of(error: &SdkError<InvokeError>) -> Self {
        let error = RequestError::of(error);
        // A 5xx is not tried again: the function may have run.
        let again = error == RequestError::Unreachable || error.is_throttled();
        Self { why: error.describe("Lambda"), again, timed_out: error == RequestError::TimedOut }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn chain(confirmation: Option<&str>, authentication: Option<&str>) -> Chain {
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(aws_sdk_lambda::config::BehaviorVersion::latest())
            .http_client(crate::http::client(TIMEOUTS.connect))
            .build();
        Chain {
            client: Client::from_conf(config),
            post_confirmation: confirmation.map(str::to_owned),
            post_authentication: authentication.map(str::to_owned),
        }
    }

    #[test]
    fn each_source_has_its_own_former_function() {
        let both = chain(Some("confirmation"), Some("authentication"));
        let one = chain(None, Some("authentication"));
        let check = |source: &str, of_both: Option<&str>, of_one: Option<&str>| {
            let payload = serde_json::json!({ "triggerSource": source }).to_string();
            assert_eq!(
                (both.function_of(&payload), one.function_of(&payload)),
                (of_both, of_one),
                "{source}"
            );
        };
        check("PostConfirmation_ConfirmSignUp", Some("confirmation"), None);
        check("PostConfirmation_ConfirmForgotPassword", Some("confirmation"), None);
        check("PostConfirmation_YetUnknown", Some("confirmation"), None);
        check("PostAuthentication_Authentication", Some("authentication"), Some("authentication"));
        for source in ["PreSignUp_SignUp", "PostConfirmation", "", "_", "PostConfirmationX_Y"] {
            check(source, None, None);
        }
        for payload in ["null", "{}", "[]", "{", r#"{"triggerSource":7}"#] {
            assert_eq!(both.function_of(payload), None, "{payload}");
        }
    }

    fn output(payload: &str, error: Option<&str>) -> Chained {
        let output = InvokeOutput::builder().payload(Blob::new(payload)).status_code(200);
        read(output.set_function_error(error.map(str::to_owned)).build())
    }

    #[test]
    fn an_error_is_told_as_it_was() {
        let check = |payload: &str, error_type: &str, error_message: &str| {
            let Chained::Failed(failure) = output(payload, Some("Unhandled")) else { panic!("{payload}") };
            assert_eq!((&failure.error_type[..], &failure.error_message[..]), (error_type, error_message));
        };
        check(r#"{"errorMessage":"not you","errorType":"Error","trace":["at x"]}"#, "Error", "not you");
        check(
            r#"{"errorMessage":"Task timed out after 3.00 seconds"}"#,
            "",
            "Task timed out after 3.00 seconds",
        );
        check(r#"{"errorMessage":"not \ud83d","errorType":null,"k\udc00":1}"#, "", "not \u{fffd}");
        check("oops", "Unreadable", "the trigger function returned a response that is not JSON");
        check("", "Unreadable", "the trigger function returned a response that is not JSON");
    }

    #[test]
    fn an_answer_is_kept_byte_for_byte() {
        for payload in [r#"{ "b":1e2, "a":"\u00e9" }"#, "null", "\"text\"", "[]"] {
            let Chained::Answered(answer) = output(payload, None) else { panic!("{payload}") };
            assert_eq!(answer.get(), payload);
        }
        for payload in ["", "{", "oops"] {
            assert!(matches!(output(payload, None), Chained::Failed(_)), "{payload}");
        }
    }

    #[test]
    fn a_function_is_known_by_its_name_in_an_arn() {
        for arn in ["arn:aws:lambda:r:1:function:own", "arn:aws:lambda:r:1:function:own:live", "own"] {
            assert_eq!(function_name(arn), "own", "{arn}");
        }
    }
}
