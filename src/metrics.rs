//! What the consumer counts, under one set of names, for CloudWatch (Lambda) and for Prometheus (the worker).
//! Knows the exporters; must not know why anything is counted.
//!
//! | metric | kind | meaning |
//! |---|---|---|
//! | `applied`, `duplicates` | counter | messages whose effect was committed now, or before |
//! | `rejected` {`reason`} | counter | messages that the dead-letter queue has now |
//! | `retried` {`cause`} | counter | messages that come again |
//! | `heartbeats` | counter | canaries that arrived |
//! | `batch_messages` | histogram | messages of a batch |
//! | `apply_duration` | histogram, seconds | from a batch's arrival to its commit |
//! | `freshness` | histogram, seconds | from when an event occurred to when it was committed |
//!
//! In CloudWatch they are in the namespace `UserSync`, as the triggers' are; in Prometheus they start with
//! `user_sync_`. No label and no value says anything of a user.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_histogram};
use metrics_cloudwatch_embedded::Collector;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::{Layer as _, PrefixLayer};

/// The namespace of all metrics in CloudWatch.
pub const NAMESPACE: &str = "UserSync";

/// Most values of a metric that CloudWatch takes at once ("Specification: CloudWatch embedded metric format").
const EMBEDDED_VALUES_MAX: usize = 100;

/// Most values of a distribution that are recorded for a batch.
static VALUES_MAX: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From a tenth of a second to an hour: below is a good day, above is an outage.
const FRESHNESS_BUCKETS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];
const DURATION_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const BATCH_BUCKETS: [f64; 6] = [1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0];

/// Metrics cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the metrics: {0}")]
pub struct MetricsError(String);

/// Collects for CloudWatch; the caller flushes after each invocation.
///
/// # Errors
/// When metrics are collected already.
pub fn embedded() -> Result<&'static Collector, MetricsError> {
    let collector = metrics_cloudwatch_embedded::Builder::new().cloudwatch_namespace(NAMESPACE).init();
    let collector = collector.map_err(|error| MetricsError(error.to_string()))?;
    VALUES_MAX.store(EMBEDDED_VALUES_MAX, Ordering::Relaxed);
    describe();
    Ok(collector)
}

/// Collects for Prometheus; the handle renders what there is.
///
/// # Errors
/// When metrics are collected already.
pub fn prometheus() -> Result<PrometheusHandle, MetricsError> {
    let failed = |error: &dyn std::fmt::Display| MetricsError(error.to_string());
    let buckets = |builder: PrometheusBuilder, name: &str, buckets: &[f64]| {
        builder
            .set_buckets_for_metric(Matcher::Full(format!("user_sync.{name}")), buckets)
            .map_err(|error| failed(&error))
    };
    let builder = PrometheusBuilder::new().with_recommended_naming(true);
    let builder = buckets(builder, "freshness", &FRESHNESS_BUCKETS)?;
    let builder = buckets(builder, "apply_duration", &DURATION_BUCKETS)?;
    let builder = buckets(builder, "batch_messages", &BATCH_BUCKETS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    let prefixed = PrefixLayer::new("user_sync").layer(recorder);
    metrics::set_global_recorder(prefixed).map_err(|error| failed(&error))?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!("applied", Unit::Count, "messages whose effect was committed now");
    describe_counter!("duplicates", Unit::Count, "messages whose effect was committed before");
    describe_counter!("rejected", Unit::Count, "messages that the dead-letter queue has now");
    describe_counter!("retried", Unit::Count, "messages that come again");
    describe_counter!("heartbeats", Unit::Count, "canaries that arrived");
    describe_histogram!("batch_messages", Unit::Count, "messages of a batch");
    describe_histogram!("apply_duration", Unit::Seconds, "from a batch's arrival to its commit");
    describe_histogram!("freshness", Unit::Seconds, "from when an event occurred to when it was committed");
}

/// Records how old the events of a batch were when they were committed. Where there are more than the exporter
/// takes, their quantiles stand for them, the least and the greatest among them.
pub fn freshness(mut ages: Vec<Duration>) {
    ages.sort_unstable();
    let histogram = metrics::histogram!("freshness");
    for age in thinned(&ages, VALUES_MAX.load(Ordering::Relaxed)) {
        histogram.record(age.as_secs_f64());
    }
}

/// At most `limit` of the values, at even distances, from the first to the last.
fn thinned<T: Copy>(values: &[T], limit: usize) -> impl Iterator<Item = T> {
    let (last, count) = (values.len().saturating_sub(1), values.len().min(limit));
    let steps = count.saturating_sub(1).max(1);
    (0..count).filter_map(move |step| values.get(last * step / steps).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_and_the_greatest_are_always_kept() {
        let check = |count: usize, limit: usize, expected: &[usize]| {
            let values: Vec<usize> = (0..count).collect();
            assert_eq!(thinned(&values, limit).collect::<Vec<_>>(), expected, "{count} by {limit}");
        };
        check(0, 100, &[]);
        check(1, 100, &[0]);
        check(3, usize::MAX, &[0, 1, 2]);
        check(10, 3, &[0, 4, 9]);
        check(1_000, 2, &[0, 999]);
    }
}
