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
//! | `ledger_days_ahead` | histogram, days | how far ahead the ledger has months, after `maintain` |
//! | `triggers_missing` | histogram | of the pool's two triggers those that call something else, at each heartbeat |
//! | `drift`, `drift_compared` | histogram | what a repair would mend, of so many users, after a drift check |
//!
//! In CloudWatch they are in the namespace `UserSync`, as the triggers' are, with the dimension `service`; in
//! Prometheus they start with `user_sync_`. No label and no value says anything of a user.

use std::io::Write;
use std::time::Duration;

use cognito_user_sync_triggers::metrics as triggers;
use metrics::{Unit, describe_counter, describe_histogram};
use metrics_cloudwatch_embedded::Collector;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::{Layer as _, PrefixLayer};

/// Most values of a metric that CloudWatch takes at once ("Specification: CloudWatch embedded metric format").
const EMBEDDED_VALUES_MAX: usize = 100;

/// From a tenth of a second to an hour: below is a good day, above is an outage.
const FRESHNESS_BUCKETS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];
const DURATION_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const BATCH_BUCKETS: [f64; 6] = [1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0];

/// Metrics cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the metrics: {0}")]
pub struct MetricsError(String);

/// Collects for CloudWatch.
#[derive(Clone, Copy)]
pub struct Embedded(&'static Collector);

/// Collects for CloudWatch under this service; the caller flushes, in Lambda after each invocation.
///
/// # Errors
/// When metrics are collected already.
pub fn embedded(service: String) -> Result<Embedded, MetricsError> {
    let collector = triggers::embedded(service).map_err(|error| MetricsError(error.to_string()))?;
    describe();
    Ok(Embedded(collector))
}

impl Embedded {
    /// Writes what was collected since the last time, a JSON document a line. Of a distribution with more values
    /// than CloudWatch takes, its quantiles stand for them, the least and the greatest among them.
    ///
    /// # Errors
    /// When `out` takes nothing.
    pub fn flush(self, mut out: impl Write) -> std::io::Result<()> {
        let mut lines = Vec::new();
        self.0.flush(&mut lines)?;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            match within_limits(line) {
                Some(document) => writeln!(out, "{document}")?,
                None => out.write_all(line)?,
            }
        }
        Ok(())
    }
}

/// The document with its long distributions thinned; `None` where it has none.
fn within_limits(line: &[u8]) -> Option<serde_json::Value> {
    let mut document: serde_json::Value = serde_json::from_slice(line).ok()?;
    let mut is_thinned = false;
    for values in document.as_object_mut()?.values_mut().filter_map(serde_json::Value::as_array_mut) {
        if values.len() > EMBEDDED_VALUES_MAX {
            let mut numbers: Vec<f64> = values.iter().filter_map(serde_json::Value::as_f64).collect();
            numbers.sort_unstable_by(f64::total_cmp);
            *values = thinned(&numbers, EMBEDDED_VALUES_MAX).map(serde_json::Value::from).collect();
            is_thinned = true;
        }
    }
    is_thinned.then_some(document)
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
    // Not gauges: those would be said again at every flush.
    describe_histogram!("ledger_days_ahead", Unit::Count, "days for which the ledger has months");
    describe_histogram!("triggers_missing", Unit::Count, "triggers of the pool that call something else");
    describe_histogram!("drift", Unit::Count, "users and rows that a repair would mend");
    describe_histogram!("drift_compared", Unit::Count, "users that were compared");
}

/// Records how old the events of a batch were when they were committed.
pub fn freshness(ages: impl Iterator<Item = Duration>) {
    let histogram = metrics::histogram!("freshness");
    ages.for_each(|age| histogram.record(age.as_secs_f64()));
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
