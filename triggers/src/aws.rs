//! The AWS SDK as this project uses it: one TLS stack, and our own retries in place of the SDK's.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::SharedHttpClient;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// How long one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the answer is there, the connection included.
    pub attempt: Duration,
}

/// Region, credentials and endpoint from the SDK's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, …).
///
/// The SDK's retries are off: [`crate::retry`] does them, so that a caller's budget is one number.
pub async fn sdk_config(timeouts: Timeouts) -> SdkConfig {
    let timeout_config = TimeoutConfig::builder()
        .connect_timeout(timeouts.connect)
        .operation_attempt_timeout(timeouts.attempt)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeout_config)
        .load()
        .await
}

/// The HTTP client: rustls on ring. The SDK's default, aws-lc, costs every fresh process 33 ms of CPU.
#[must_use]
pub fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
