//! Exports what the programs count, under one set of names, to CloudWatch (Lambda) and to Prometheus (the worker).
//! Must not know why anything is counted.
//!
//! | metric | kind | meaning |
//! |---|---|---|
//! | `applied`, `duplicates` | counter | messages of either queue whose effect was committed now, or before |
//! | `rejected` {`reason`} | counter | messages that the dead-letter queue has now |
//! | `retried` {`cause`} | counter | messages returned to the queue |
//! | `heartbeats` | counter | heartbeats that arrived |
//! | `batch_messages` | histogram | messages of a batch |
//! | `apply_duration` | histogram, seconds | from a batch's arrival to its commit |
//! | `freshness` | histogram, seconds | from when an event occurred to when it was committed |
//! | `contexts_applied`, `failures_recorded` | counter | records of sign-ins that were new, each once |
//! | `context_freshness` | histogram, seconds | from a record's time to when it was committed |
//!
//! | `ledger_days_ahead` | histogram, days | how far ahead the ledger has months, after `maintain` |
//! | `triggers_missing` | histogram | of the pool's two triggers those that call something else, at each look of the lifecycle function and of the keeper |
//! | `triggers_put_back` | counter | how often the keeper put the pool's triggers back |
//! | `triggers_not_put_back` {`reason`} | counter | looks of the keeper after which triggers are missing still |
//! | `clients_not_listed` | counter | listings of a pool's app clients that failed |
//! | `records_ignored` {`reason`} | counter | records of sign-ins from which no event follows |
//! | `drift`, `drift_compared` | histogram | what a repair would repair, of so many users, after a drift check |
//! | `logins_unaccounted` | histogram | sign-ins that a reporter recorded and the ledger does not have, after an audit; nothing where no reporter is on |
//!
//! In CloudWatch they are in the namespace `UserSync`, as the triggers' are, with the dimension `service`; in
//! Prometheus they start with `user_sync_`. No label and no value says anything of a user.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use cognito_user_sync_triggers::metrics as triggers;
use metrics::{Unit, describe_counter, describe_histogram};
use metrics_cloudwatch_embedded::Collector;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::{Layer as _, PrefixLayer};

/// Most values of a metric that CloudWatch takes at once ("Specification: CloudWatch embedded metric format").
const EMBEDDED_VALUES_MAX: usize = 100;

/// Values of a distribution that are kept until the next flush.
const SAMPLE_MAX: usize = 4_096;

/// From a tenth of a second to an hour: below is a good day, above is an outage.
const FRESHNESS_BUCKETS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];
const DURATION_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const BATCH_BUCKETS: [f64; 6] = [1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0];

/// The metrics cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the metrics: {0}")]
pub struct MetricsError(#[source] Box<dyn Error + Send + Sync>);

impl MetricsError {
    fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Collects for CloudWatch.
#[derive(Clone, Copy)]
pub struct Embedded {
    collector: &'static Collector,
    distributions: &'static Distributions,
}

/// The distributions since the last flush. Not the collector's own: those are full after so few values, and log an
/// error for each one more.
type Distributions = Mutex<BTreeMap<&'static str, Sample>>;

/// The distributions, once metrics are collected for CloudWatch.
static GATHERED: OnceLock<Distributions> = OnceLock::new();

/// Collects for CloudWatch under this service; the caller flushes, in Lambda after each invocation.
///
/// # Errors
/// When metrics are collected already.
pub fn embedded(service: String) -> Result<Embedded, MetricsError> {
    let collector = triggers::embedded(service).map_err(MetricsError::new)?;
    describe();
    Ok(Embedded { collector, distributions: GATHERED.get_or_init(Distributions::default) })
}

impl Embedded {
    /// Writes what was collected since the last time, a JSON document a line. Of a distribution with more values
    /// than CloudWatch takes, its quantiles stand for them, the least and the greatest among them.
    ///
    /// # Errors
    /// When `out` takes nothing.
    pub fn flush(self, out: impl Write) -> std::io::Result<()> {
        for (name, sample) in std::mem::take(&mut *lock(self.distributions)) {
            let histogram = metrics::histogram!(name);
            sample.thinned(EMBEDDED_VALUES_MAX).into_iter().for_each(|value| histogram.record(value));
        }
        self.collector.flush(out)
    }
}

/// Records values of a distribution that may have very many.
pub fn record(name: &'static str, values: impl IntoIterator<Item = f64>) {
    match GATHERED.get() {
        Some(distributions) => {
            let mut distributions = lock(distributions);
            let sample = distributions.entry(name).or_default();
            values.into_iter().for_each(|value| sample.add(value));
        }
        None => {
            let histogram = metrics::histogram!(name);
            values.into_iter().for_each(|value| histogram.record(value));
        }
    }
}

/// Values of one distribution. Bounded: of very many, each has the same chance to be among those that are kept.
#[derive(Default)]
struct Sample {
    values: Vec<f64>,
    seen: u64,
    /// The least and the greatest, which no chance may lose.
    ends: Option<(f64, f64)>,
}

impl Sample {
    fn add(&mut self, value: f64) {
        let (least, greatest) = self.ends.unwrap_or((value, value));
        self.ends = Some((least.min(value), greatest.max(value)));
        self.seen += 1;
        if self.values.len() < SAMPLE_MAX {
            self.values.push(value);
        } else if let Some(kept) =
            usize::try_from(fastrand::u64(..self.seen)).ok().and_then(|at| self.values.get_mut(at))
        {
            *kept = value;
        }
    }

    /// At most `limit` values that stand for all.
    fn thinned(self, limit: usize) -> Vec<f64> {
        let mut values = self.values;
        values.sort_unstable_by(f64::total_cmp);
        if let (Some((least, greatest)), [first, .., last]) = (self.ends, values.as_mut_slice()) {
            (*first, *last) = (least, greatest);
        }
        thinned(&values, limit).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects for Prometheus; the handle renders what there is.
///
/// # Errors
/// When metrics are collected already.
pub fn prometheus() -> Result<PrometheusHandle, MetricsError> {
    let buckets = |builder: PrometheusBuilder, name: &str, buckets: &[f64]| {
        builder
            .set_buckets_for_metric(Matcher::Full(format!("user_sync.{name}")), buckets)
            .map_err(MetricsError::new)
    };
    let builder = PrometheusBuilder::new().with_recommended_naming(true);
    let builder = buckets(builder, "freshness", &FRESHNESS_BUCKETS)?;
    let builder = buckets(builder, "context_freshness", &FRESHNESS_BUCKETS)?;
    let builder = buckets(builder, "apply_duration", &DURATION_BUCKETS)?;
    let builder = buckets(builder, "batch_messages", &BATCH_BUCKETS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    let prefixed = PrefixLayer::new("user_sync").layer(recorder);
    metrics::set_global_recorder(prefixed).map_err(MetricsError::new)?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!("applied", Unit::Count, "messages whose effect was committed now");
    describe_counter!("duplicates", Unit::Count, "messages whose effect was committed before");
    describe_counter!("rejected", Unit::Count, "messages that the dead-letter queue has now");
    describe_counter!("retried", Unit::Count, "messages returned to the queue");
    describe_counter!("heartbeats", Unit::Count, "heartbeats that arrived");
    describe_counter!("clients_not_listed", Unit::Count, "listings of a pool's app clients that failed");
    describe_counter!("records_ignored", Unit::Count, "records of sign-ins from which no event follows");
    describe_histogram!("batch_messages", Unit::Count, "messages of a batch");
    describe_histogram!("apply_duration", Unit::Seconds, "from a batch's arrival to its commit");
    describe_histogram!("freshness", Unit::Seconds, "from when an event occurred to when it was committed");
    describe_counter!("contexts_applied", Unit::Count, "contexts of sign-ins that were new");
    describe_counter!("failures_recorded", Unit::Count, "failed sign-ins that were new");
    describe_histogram!("context_freshness", Unit::Seconds, "from a record's time to when it was committed");
    // Not gauges: those would be repeated at every flush.
    describe_histogram!("ledger_days_ahead", Unit::Count, "days for which the ledger has months");
    describe_histogram!("triggers_missing", Unit::Count, "triggers of the pool that call something else");
    describe_counter!("triggers_put_back", Unit::Count, "how often the pool's triggers were put back");
    describe_counter!("triggers_not_put_back", Unit::Count, "looks after which triggers are missing still");
    describe_histogram!("drift", Unit::Count, "users and rows that a repair would repair");
    describe_histogram!("drift_compared", Unit::Count, "users that were compared");
    describe_histogram!("logins_unaccounted", Unit::Count, "recorded sign-ins that the ledger does not have");
}

/// At most `limit` of the values, at even distances, from the first to the last.
fn thinned<T: Copy>(values: &[T], limit: usize) -> impl Iterator<Item = T> {
    let (last, count) = (values.len().saturating_sub(1), values.len().min(limit));
    let steps = count.saturating_sub(1).max(1);
    (0..count).filter_map(move |step| values.get(last * step / steps).copied())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_distribution_keeps_its_ends_and_its_shape_however_many_values_come() {
        let mut sample = Sample::default();
        (0..100_000_u32).map(|value| f64::from(value * 7 % 100_000)).for_each(|value| sample.add(value));
        let values = sample.thinned(100);
        assert_eq!((values.len(), values[0], values[99]), (100, 0.0, 99_999.0));
        assert!((40_000.0..60_000.0).contains(&values[50]), "{}", values[50]);
    }

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
