//! How the programs hand metrics to CloudWatch, in the embedded metric format. Must not know what is counted.

use metrics_cloudwatch_embedded::{Builder, Collector, Error};

use crate::environment::Environment;

/// The namespace of all metrics in CloudWatch.
pub const NAMESPACE: &str = "UserSync";

/// The dimension that every metric has: which program of which deployment it is of. Without it, two deployments
/// in one account would be counted as one.
pub const SERVICE_DIMENSION: &str = "service";

/// Collects under this service; the caller flushes after each invocation.
///
/// # Errors
/// When metrics are collected already.
pub fn embedded(service: String) -> Result<&'static Collector, Error> {
    Builder::new().cloudwatch_namespace(NAMESPACE).with_dimension(SERVICE_DIMENSION, service).init()
}

/// The service that a Lambda function is: its own name ("Using Lambda environment variables"), else the program's.
#[must_use]
pub fn function_name(program: &str) -> String {
    let named = Environment::process().raw("AWS_LAMBDA_FUNCTION_NAME");
    // Lambda permits ASCII only.
    named.and_then(|name| name.into_string().ok()).unwrap_or_else(|| program.to_owned())
}
