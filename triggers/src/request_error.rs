//! Why AWS did not do what a request asked for: the one classification of the SDK's errors. Quotes nothing of a
//! response, which may hold personal data. Must not know what a request was for, nor whether to send it again.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// The service refused it.
    Refused {
        /// The service's error code, such as `AccessDenied`; `None` where it has none.
        code: Option<String>,
        /// Whether the status was 5xx.
        is_server_error: bool,
    },
    /// No response in time. The service may have done what was asked.
    TimedOut,
    /// No connection in time.
    ConnectTimedOut,
    /// No connection, a connection that broke, or no credentials.
    Unreachable,
    /// The request could not be built.
    NotBuilt,
    /// The response could not be read.
    Unreadable,
}

impl RequestError {
    /// Classifies an error of the SDK.
    pub fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(failure) => Self::Refused {
                code: failure.err().code().map(str::to_owned),
                is_server_error: failure.raw().status().is_server_error(),
            },
            SdkError::TimeoutError(_) => Self::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::ConnectTimedOut,
            SdkError::ConstructionFailure(_) => Self::NotBuilt,
            SdkError::ResponseError(_) => Self::Unreadable,
            SdkError::DispatchFailure(_) | _ => Self::Unreachable,
        }
    }

    /// The service's error code, if it refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => code.as_deref(),
            Self::TimedOut
            | Self::ConnectTimedOut
            | Self::Unreachable
            | Self::NotBuilt
            | Self::Unreadable => None,
        }
    }

    /// Whether the service refused because of too many requests ("Common errors" of each API reference).
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.code().is_some_and(|code| {
            code.contains("Throttl") || code.contains("TooManyRequests") || code == "OverLimit"
        })
    }

    /// Whether the request may pass when it is sent again: a throttle, a 5xx, or no readable response.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { is_server_error, .. } => *is_server_error || self.is_throttled(),
            Self::TimedOut
            | Self::ConnectTimedOut
            | Self::Unreachable
            | Self::NotBuilt
            | Self::Unreadable => true,
        }
    }

    /// The service's error code, or what happened instead of a response.
    #[must_use]
    pub fn describe(&self, service: &str) -> String {
        match self {
            Self::Refused { code, .. } => code.as_deref().unwrap_or("an error without a code").to_owned(),
            Self::TimedOut => "no answer in time".to_owned(),
            Self::ConnectTimedOut | Self::Unreachable | Self::NotBuilt => {
                format!("{service} cannot be reached, or there are no credentials")
            }
            Self::Unreadable => format!("{service} returned a response that cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, is_server_error: bool) -> RequestError {
        RequestError::Refused { code: Some(code.to_owned()), is_server_error }
    }

    #[test]
    fn throttles_and_server_errors_are_transient() {
        for code in ["ThrottlingException", "Throttling", "TooManyRequestsException", "OverLimit"] {
            assert!(refused(code, false).is_throttled() && refused(code, false).is_transient(), "{code}");
        }
        assert!(refused("InternalErrorException", true).is_transient());
        assert!(!refused("InternalErrorException", true).is_throttled());
        assert!(!refused("AccessDenied", false).is_transient());
        assert!(!RequestError::Refused { code: None, is_server_error: false }.is_transient());
        assert!(RequestError::Unreachable.is_transient() && !RequestError::Unreachable.is_throttled());
    }

    #[test]
    fn what_has_no_code_names_the_service() {
        assert_eq!(refused("AccessDenied", false).describe("SQS"), "AccessDenied");
        assert_eq!(RequestError::Unreadable.describe("SQS"), "SQS returned a response that cannot be read");
    }
}
