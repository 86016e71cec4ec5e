//! The AWS SDK as a function on Lambda uses it: what Lambda's variables say and nothing else, our own retries in place
//! of the SDK's.

use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion as _;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Region, SharedCredentialsProvider};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::environment::Environment;
use crate::{http, queue_url};

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

/// A client for the queue at `url`, in whose Region it asks and signs, wherever this program runs. An endpoint that an
/// operator has set keeps its meaning. Nobody else makes a client for SQS.
#[must_use]
pub fn sqs(config: &SdkConfig, url: &str) -> aws_sdk_sqs::Client {
    let own = aws_sdk_sqs::config::Builder::from(config);
    let builder = match queue_url::region(url) {
        Some(region) => own.region(Region::new(region)),
        None => own,
    };
    aws_sdk_sqs::Client::from_conf(builder.build())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use aws_sdk_sqs::config::Credentials;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::result::ConnectorError;

    use super::*;

    /// Notes where requests go and for which Region they are signed.
    #[derive(Debug, Clone, Default)]
    struct Noted(Arc<Mutex<Vec<(String, String)>>>);

    impl HttpConnector for Noted {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let signature = request.headers().get("authorization").unwrap_or_default();
            let region = signature.split('/').nth(2).unwrap_or_default().to_owned();
            let (_, rest) = request.uri().split_once("://").unwrap();
            self.0.lock().unwrap().push((rest.split('/').next().unwrap().to_owned(), region));
            HttpConnectorFuture::ready(Err(ConnectorError::user("noted".into())))
        }
    }

    #[tokio::test]
    async fn a_request_goes_to_the_queues_region_unless_the_operator_set_an_endpoint() {
        let (near, far) = ("eu-west-1", "us-east-1");
        let at = |region: &str| format!("sqs.{region}.amazonaws.com");
        let own = "vpce-1-2.sqs.us-east-1.vpce.amazonaws.com";
        for (url, endpoint, expected) in [
            (format!("https://{}/1/q", at(near)), None, (at(near), near)),
            (format!("https://{}/1/q", at(far)), None, (at(far), far)),
            ("http://127.0.0.1:4566/1/q".to_owned(), None, (at(near), near)),
            (format!("https://{}/1/q", at(far)), Some(own), (own.to_owned(), far)),
            (
                "http://127.0.0.1:4566/1/q".to_owned(),
                Some("127.0.0.1:4566"),
                ("127.0.0.1:4566".to_owned(), near),
            ),
        ] {
            let noted = Noted::default();
            let connector = SharedHttpConnector::new(noted.clone());
            let credentials = Credentials::new("test", "test", None, None, "test");
            let mut config = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(near))
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .http_client(http_client_fn(move |_, _| connector.clone()))
                .retry_config(RetryConfig::disabled());
            config.set_endpoint_url(endpoint.map(|endpoint| format!("http://{endpoint}")));
            drop(sqs(&config.build(), &url).send_message().queue_url(&url).message_body("x").send().await);
            let (host, region) = expected;
            assert_eq!(noted.0.lock().unwrap()[..], [(host, region.to_owned())], "{url}");
        }
    }
}
