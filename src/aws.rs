//! Configures the AWS SDK for operators' machines and for all functions but the trigger, which has a smaller
//! configuration in [`cognito_user_sync_triggers::aws`]. Must not know a service's operations.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::SharedHttpClient;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use cognito_user_sync_triggers::publish::{self, Publisher};

pub use cognito_user_sync_triggers::aws::{Timeouts, sqs};

/// Region, credentials and endpoint from wherever the SDK looks for them.
///
/// The SDK's retries are off: [`cognito_user_sync_triggers::retry`] does them, so that a caller's budget is one
/// number.
pub async fn sdk_config(timeouts: Timeouts) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.config())
        .load()
        .await
}

/// A publisher to the queue at `queue_url`, configured by [`sdk_config`].
pub async fn publisher(queue_url: String) -> Publisher {
    Publisher::new(&sdk_config(publish::TIMEOUTS).await, queue_url)
}

/// The HTTP client: rustls on ring. The SDK's default, aws-lc, costs every fresh process 33 ms of CPU.
#[must_use]
pub fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
