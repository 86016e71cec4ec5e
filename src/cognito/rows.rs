//! Asks the function inside the VPC that answers questions about rows (the operator's `rows`). Must not know what is asked,
//! and never logs it.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::retry::Schedule;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::aws::{self, Timeouts};
use crate::store::maintenance::drift::questions::Question;

/// The name of the variable that names the function, or is its ARN.
pub const VARIABLE: &str = "USER_SYNC_ROWS_FUNCTION";

/// How an operation of this program fails: whoever calls reads only such a message, for another function's may quote what it
/// was called with.
pub const OPERATION_FAILED: &str = "UserSync.OperationFailed";

/// Longer than the function's own timeout, which Lambda tells.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(3), attempt: Duration::from_secs(70) };
const SCHEDULE: Schedule = Schedule { first: Duration::from_millis(200), cap: Duration::from_secs(5) };
const RETRY_BUDGET: Duration = Duration::from_secs(60);

/// Most characters of the function's error that are told.
const MESSAGE_MAX_CHARS: usize = 800;

/// The function, by its name or its ARN.
#[derive(Debug, Clone)]
pub struct RowsFunction {
    client: Client,
    name: String,
    retry_budget: Duration,
}

/// The function has no answer. Quotes nothing of a question, nor of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// Lambda did not call it.
    #[error("the function {function} cannot be invoked ({}): {}", .error.describe("Lambda"), remedy(.error))]
    NotInvoked {
        /// The function.
        function: String,
        /// What became of the request.
        error: RequestError,
    },
    /// It took longer than it may.
    #[error(
        "the function {function} did not answer within its timeout: see that its subnets and security group reach the \
         database, and that nobody holds the database's locks, or give it more time"
    )]
    Late {
        /// The function.
        function: String,
    },
    /// It said why.
    #[error("the function {function} failed: {message}")]
    Failed {
        /// The function.
        function: String,
        /// Its message.
        message: String,
    },
    /// It is not ours, or of another release.
    #[error(
        "the function {function} did not answer as the operation `rows` does: see that {VARIABLE} names it, and deploy both \
         functions of one release"
    )]
    Unreadable {
        /// The function.
        function: String,
    },
}

/// What to do where Lambda does not call a function ("Invoke", AWS Lambda API Reference).
fn remedy(error: &RequestError) -> &'static str {
    match error.code() {
        Some("ResourceNotFoundException") => "check USER_SYNC_ROWS_FUNCTION, the account and AWS_REGION",
        Some(code) if code.contains("AccessDenied") => "permit lambda:InvokeFunction on it",
        Some("RequestTooLargeException") => "the question is larger than Lambda takes; report it",
        Some(code) if code.starts_with("KMS") => "permit its role to use the key of its environment",
        Some(code) if code.starts_with("ENI") || code.starts_with("EC2") || code.starts_with("Subnet") => {
            "see that its subnets have free addresses, and that its role may make network interfaces"
        }
        Some(_) | None if error.is_throttled() => {
            "as many functions run as the account, or its reserved concurrency, permits: raise that, or try again later"
        }
        Some(_) | None => "try again later, and see the function's state",
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    rows: &'a Question<'a>,
}

/// A function's error ("Lambda function errors", AWS Lambda Developer Guide).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Failure {
    error_type: String,
    error_message: String,
}

impl RowsFunction {
    /// The function of this name or ARN, configured by the SDK's own variables.
    pub async fn new(name: String) -> Self {
        Self::with_client(Client::new(&aws::sdk_config(TIMEOUTS).await), name, RETRY_BUDGET)
    }

    /// The same by an existing client, which is asked again for as long as this where it may help.
    #[must_use]
    pub fn with_client(client: Client, name: String, retry_budget: Duration) -> Self {
        Self { client, name, retry_budget }
    }

    /// Asks, again where Lambda throttles or does not answer: asked twice, every question is as asked once.
    ///
    /// # Errors
    /// When there is no answer, or it is another one than the question has.
    pub async fn ask<A: DeserializeOwned>(&self, question: &Question<'_>) -> Result<A, RowsError> {
        let payload = serde_json::to_vec(&Payload { rows: question }).map_err(|_| self.unreadable())?;
        let payload = Blob::new(payload);
        let invoke = || async {
            let request = self.client.invoke().function_name(&self.name).payload(payload.clone());
            request.send().await.map_err(|error| RequestError::of(&error))
        };
        let invoked = SCHEDULE.retry(self.retry_budget, RequestError::is_transient, invoke).await;
        let output = invoked.map_err(|error| RowsError::NotInvoked { function: self.name.clone(), error })?;
        let body = output.payload.map(Blob::into_inner).unwrap_or_default();
        match output.function_error {
            Some(_) => Err(self.failure(&body)),
            None => serde_json::from_slice(&body).map_err(|_| self.unreadable()),
        }
    }

    fn failure(&self, body: &[u8]) -> RowsError {
        let Failure { error_type, error_message } = serde_json::from_slice(body).unwrap_or_default();
        let function = self.name.clone();
        let message = |text: &str| text.chars().take(MESSAGE_MAX_CHARS).collect::<String>();
        match error_type.as_str() {
            OPERATION_FAILED => RowsError::Failed { function, message: message(&error_message) },
            // Older forms of it have no type.
            "Sandbox.Timedout" | "" if error_message.contains("Task timed out after") => {
                RowsError::Late { function }
            }
            // It did not start, or ran out of memory: Lambda's own words.
            "Runtime.ExitError" | "Runtime.OutOfMemory" | "Runtime.InvalidEntrypoint" => {
                let message = message(&error_message) + "; its log says why";
                RowsError::Failed { function, message }
            }
            _ => self.unreadable(),
        }
    }

    fn unreadable(&self) -> RowsError {
        RowsError::Unreadable { function: self.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(body: &str) -> String {
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(aws_sdk_lambda::config::BehaviorVersion::latest())
            .http_client(aws::http_client());
        let client = Client::from_conf(config.build());
        RowsFunction::with_client(client, "rows".to_owned(), RETRY_BUDGET)
            .failure(body.as_bytes())
            .to_string()
    }

    #[test]
    fn only_our_own_function_and_lambda_are_quoted() {
        let ours = r#"{"errorType":"UserSync.OperationFailed","errorMessage":"the database refuses"}"#;
        assert_eq!(failure(ours), "the function rows failed: the database refuses");
        for late in [
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: Task timed out after 60.00 seconds"}"#,
            r#"{"errorMessage":"2026-01-31T08:30:00Z 1 Task timed out after 60.00 seconds"}"#,
        ] {
            assert!(failure(late).contains("did not answer within its timeout"), "{late}");
        }
        let died = r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: Runtime exited with error: exit status 1"}"#;
        assert!(failure(died).ends_with("exit status 1; its log says why"));
        for other in [r#"{"errorType":"KeyError","errorMessage":"ada@example.com"}"#, "ada@example.com", "{}"]
        {
            let said = failure(other);
            assert!(said.contains("USER_SYNC_ROWS_FUNCTION names it") && !said.contains("ada"), "{said}");
        }
    }

    #[test]
    fn what_lambda_refuses_has_a_remedy() {
        let refused = |code: &str| {
            let error = RequestError::Refused { code: Some(code.to_owned()), is_server_error: false };
            RowsError::NotInvoked { function: "rows".to_owned(), error }.to_string()
        };
        for (code, words) in [
            ("AccessDeniedException", "permit lambda:InvokeFunction on it"),
            ("ResourceNotFoundException", "check USER_SYNC_ROWS_FUNCTION"),
            ("TooManyRequestsException", "its reserved concurrency"),
            ("ENILimitReachedException", "free addresses"),
            ("KMSAccessDeniedException", "permit"),
        ] {
            let said = refused(code);
            assert!(said.contains(code) && said.contains(words), "{said}");
        }
    }
}
