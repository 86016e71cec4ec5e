//! The AWS SDK as a function on Lambda uses it: what Lambda's variables say and nothing else, our own retries in place
//! of the SDK's.

use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion as _;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::SharedCredentialsProvider;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::environment::Environment;
use crate::http;

/// How long one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the answer is there, the connection included.
    pub attempt: Duration,
}

impl Timeouts {
    /// As the SDK wants them.
    #[must_use]
    pub fn config(self) -> TimeoutConfig {
        TimeoutConfig::builder().connect_timeout(self.connect).operation_attempt_timeout(self.attempt).build()
    }
}

/// Region and credentials from the variables that Lambda sets ("Defined runtime environment variables", Lambda
/// Developer Guide), endpoints from those that an operator may set.
///
/// Not the SDK's default chain: it looks into files, into two services for metadata and to STS, none of which a
/// function has, and is a tenth of the program. The SDK's retries are off: [`crate::retry`] does them, so that a
/// caller's budget is one number.
pub async fn function_config(timeouts: Timeouts) -> SdkConfig {
    let credentials = EnvironmentVariableCredentialsProvider::new();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(EnvironmentVariableRegionProvider::new().region().await)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(Variables)
        .use_fips(is_set("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_set("AWS_USE_DUALSTACK_ENDPOINT"))
        .http_client(http::client(timeouts.connect))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.config())
        .build()
}

fn is_set(variable: &str) -> bool {
    value(variable).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// One of the SDK's own variables. Like the SDK, this ignores a value that is not UTF-8.
fn value(variable: &str) -> Option<String> {
    Environment::process().raw(variable)?.into_string().ok()
}

/// Endpoints: `AWS_ENDPOINT_URL_SQS`, and the like, before `AWS_ENDPOINT_URL` ("Service-specific endpoints", AWS SDKs
/// and Tools Reference Guide).
#[derive(Debug)]
struct Variables;

impl LoadServiceConfig for Variables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        value(&format!("{}_{service}", key.env())).or_else(|| value(key.env()))
    }
}
