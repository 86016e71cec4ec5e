//! What CloudWatch knows, by one GetMetricData a minute for everybody who looks: the last hour by minute, and what the
//! triggers lost within a day. Must not know what is judged by it.
//!
//! A call has at most [`QUERIES_MAX`] queries, and is paid for by the metrics that these name or find; docs/operating.md has
//! the arithmetic. The first call asks for a day, later ones for what may still change: the last hour, or all since the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::Region;
use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, StatusCode};
use cognito_user_sync_triggers::metrics::{NAMESPACE, SERVICE_DIMENSION};
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::timestamp::Timestamp;
use tokio::sync::OnceCell;

use crate::aws::{self, Timeouts};
use crate::console::now::hour::{Counts, Freshness, Hour, minute_of, start_of};
use crate::console::now::source::{Refusal, before};

/// Most queries of one call ("GetMetricData", CloudWatch API Reference).
pub(in crate::console::now) const QUERIES_MAX: usize = 500;

/// Most functions that are asked for: far from [`QUERIES_MAX`], and from the most data points for a day.
const SERVICES_MAX: usize = 20;

/// Most data points of one answer (the same page).
const POINTS_MAX: i32 = 100_800;

/// CloudWatch has a minute's metrics of a function after its log was read: most within two minutes.
pub(in crate::console::now) const LATE: Duration = Duration::from_secs(3 * 60);

/// Something is counted at least with each heartbeat. Between two counts that are closer than three of them, nothing
/// counted is zero; further apart, nobody may have counted.
const GAP_MAX_MINUTES: u64 = 15;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(3), attempt: Duration::from_secs(8) };

/// What of CloudWatch is this deployment's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services {
    /// The dimension `service` of the consumer's metrics. None where workers are asked for theirs.
    pub consumer: Option<String>,
    /// The trigger functions' names.
    pub triggers: Vec<String>,
    /// The names of the functions that send heartbeats and look at the pool's triggers.
    pub lifecycle: Vec<String>,
}

impl Services {
    /// Whether each name can be one of a service, so that it may stand in a search.
    ///
    /// # Errors
    /// With a sentence that names the one that cannot.
    pub fn check(&self) -> Result<(), String> {
        let is_name = |name: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "-_./:#".contains(c);
            (1..=255).contains(&name.len()) && name.chars().all(is_part)
        };
        let mut names = self.consumer.iter().chain(&self.triggers).chain(&self.lifecycle);
        match names.find(|name| !is_name(name)) {
            Some(name) => Err(format!("{name:?} is no service's name: letters, digits and -_./:# make one")),
            None if self.triggers.len() + self.lifecycle.len() > SERVICES_MAX => {
                Err(format!("at most {SERVICES_MAX} triggers and lifecycle functions"))
            }
            None => Ok(()),
        }
    }
}

/// A metric by minute.
type Series = BTreeMap<u64, f64>;

/// What an answer has whole, by the query's id. What is not there was not answered, or in part only.
type Answer = BTreeMap<String, Series>;

/// Events that are in the trigger's log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::now) struct Undelivered {
    /// How many within a day.
    pub(in crate::console::now) count: u64,
    /// The first and the last minute that had some.
    pub(in crate::console::now) span: Option<(Timestamp, Timestamp)>,
}

/// What CloudWatch said last.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console::now) struct Told {
    /// How long the oldest message had waited, and in which minute.
    pub(in crate::console::now) oldest: Option<(Duration, Timestamp)>,
    /// `None` where the triggers told nothing within a day.
    pub(in crate::console::now) undelivered: Option<Undelivered>,
    /// The last minute of the day in which somebody saw triggers missing.
    pub(in crate::console::now) missing_at: Option<Timestamp>,
    /// Whether every query was answered, and whole.
    pub(in crate::console::now) is_whole: bool,
}

/// What was lost within a day, by minute.
#[derive(Debug, Default)]
struct Day {
    undelivered: BTreeMap<u64, u64>,
    missing: BTreeMap<u64, u64>,
    /// The last minute in which a trigger told anything.
    heard: Option<u64>,
    /// Up to when it was asked and answered whole.
    until: Option<Timestamp>,
}

/// Asks it.
#[derive(Debug)]
pub(in crate::console::now) struct CloudWatch {
    services: Services,
    queue: Option<String>,
    region: Option<String>,
    client: OnceCell<Client>,
    day: Mutex<Day>,
}

impl CloudWatch {
    /// Of these services, and of the queue at this URL, in whose Region it asks.
    pub(in crate::console::now) fn new(services: Services, queue_url: Option<&str>) -> Self {
        let queue = queue_url.and_then(|url| url.trim_end_matches('/').rsplit('/').next()).map(str::to_owned);
        let region = queue_url.and_then(cognito_user_sync_triggers::queue_url::region);
        Self { services, queue, region, client: OnceCell::new(), day: Mutex::default() }
    }

    async fn client(&self) -> &Client {
        let client = async || {
            let config = aws::sdk_config(TIMEOUTS).await;
            let own = aws_sdk_cloudwatch::config::Builder::from(&config);
            let own = match &self.region {
                Some(region) => own.region(Region::new(region.clone())),
                None => own,
            };
            Client::from_conf(own.build())
        };
        self.client.get_or_init(client).await
    }

    /// Asks once, and writes the hour.
    pub(in crate::console::now) async fn ask(
        self: Arc<Self>,
        hour: Arc<Mutex<Hour>>,
    ) -> Result<Told, Refusal> {
        let now = Timestamp::now();
        let (queries, start) = (self.queries(), self.start(now));
        let request = self.client().await.get_metric_data().max_datapoints(POINTS_MAX);
        let request = request.start_time(date(start)).end_time(date(now));
        let answer = request.set_metric_data_queries(Some(queries.clone())).send().await;
        let answer = answer.map_err(|error| refused(&RequestError::of(&error)))?;
        let answer = read(&answer);
        let is_whole = queries.iter().all(|query| query.id().is_some_and(|id| answer.contains_key(id)));
        self.write(&answer, now, &mut hour.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(self.tell(&answer, start, now, is_whole))
    }

    /// From when on: what was asked before may still change within the hour.
    fn start(&self, now: Timestamp) -> Timestamp {
        let until = self.day.lock().unwrap_or_else(PoisonError::into_inner).until;
        let since = until.map_or(before(now, DAY), |until| before(until, 2 * LATE));
        start_of(minute_of(since.min(before(now, HOUR)).max(before(now, DAY))))
    }

    fn queries(&self) -> Vec<MetricDataQuery> {
        let Services { consumer, triggers, lifecycle } = &self.services;
        let mut queries = Vec::new();
        if let Some(service) = consumer {
            let ours = |id: &str, name, statistic| of_service(id.to_owned(), service, name, statistic);
            queries.extend([
                ours("applied", "applied", "Sum"),
                ours("duplicates", "duplicates", "Sum"),
                ours("p50", "freshness", "p50"),
                ours("p99", "freshness", "p99"),
                by_label("rejected", service, "reason"),
                by_label("retried", service, "cause"),
            ]);
        }
        if let Some(queue) = &self.queue {
            let of_queue =
                |id: &str, name| metric(id.to_owned(), "AWS/SQS", name, ("QueueName", queue), "Maximum");
            queries.push(of_queue("waiting", "ApproximateNumberOfMessagesVisible"));
            queries.push(of_queue("oldest", "ApproximateAgeOfOldestMessage"));
        }
        for (at, service) in triggers.iter().enumerate() {
            queries.push(of_service(format!("undelivered{at}"), service, "undelivered", "Sum"));
            queries.push(of_service(format!("published{at}"), service, "published", "Sum"));
        }
        for (at, service) in lifecycle.iter().enumerate() {
            queries.push(of_service(format!("missing{at}"), service, "triggers_missing", "Maximum"));
        }
        queries.truncate(QUERIES_MAX);
        queries
    }

    /// Writes the minutes of the hour that the answer has.
    fn write(&self, answer: &Answer, now: Timestamp, hour: &mut Hour) {
        let first = minute_of(before(now, HOUR));
        for (minute, waiting) in
            answer.get("waiting").into_iter().flatten().filter(|(minute, _)| **minute > first)
        {
            hour.minute(*minute).waiting = whole(*waiting);
        }
        for (minute, oldest) in
            answer.get("oldest").into_iter().flatten().filter(|(minute, _)| **minute > first)
        {
            hour.minute(*minute).oldest = whole(*oldest);
        }
        if self.services.consumer.is_none() {
            return;
        }
        let counted = |id: &str| answer.get(id);
        let series = Counts {
            applied: counted("applied"),
            duplicates: counted("duplicates"),
            rejected: counted("rejected"),
            retried: counted("retried"),
        };
        let heard = heard(answer);
        for minute in first + 1..=minute_of(now) {
            let is_heard = is_between(&heard, minute);
            let of = |series: Option<&Series>| match series?.get(&minute) {
                Some(count) => whole(*count),
                None => is_heard.then_some(0),
            };
            let mut counts = Counts {
                applied: of(series.applied),
                duplicates: of(series.duplicates),
                rejected: of(series.rejected),
                retried: of(series.retried),
            };
            // Some of it may still come.
            if start_of(minute) > before(now, LATE) {
                counts.retried = counts.retried.filter(|retried| *retried > 0);
            }
            let quantile = |id: &str| answer.get(id).and_then(|series| series.get(&minute)).copied();
            let (p50, p99) = (quantile("p50"), quantile("p99"));
            let place = hour.minute(minute);
            place.counts = counts;
            place.freshness = p50.or(p99).map(|_| Freshness::Quantiles { p50, p99 });
        }
    }

    fn tell(&self, answer: &Answer, start: Timestamp, now: Timestamp, is_whole: bool) -> Told {
        let oldest = answer.get("oldest").and_then(|series| series.last_key_value());
        let oldest =
            oldest.and_then(|(minute, age)| Some((Duration::from_secs(whole(*age)?), start_of(*minute))));
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        let each = |of: &str, count: usize| {
            (0..count).map(|at| answer.get(&format!("{of}{at}"))).collect::<Vec<_>>()
        };
        let (triggers, lifecycle) = (self.services.triggers.len(), self.services.lifecycle.len());
        let lost: Option<Vec<&Series>> = each("undelivered", triggers).into_iter().collect();
        let sent: Vec<&Series> = each("published", triggers).into_iter().flatten().collect();
        let missing: Vec<&Series> = each("missing", lifecycle).into_iter().flatten().collect();
        let is_answered = lost.is_some();
        let lost = lost.unwrap_or_default();
        let (from, oldest_minute) = (minute_of(start), minute_of(before(now, DAY)));
        replace(&mut day.undelivered, from, oldest_minute, &lost, u64::saturating_add);
        replace(&mut day.missing, from, oldest_minute, &missing, u64::max);
        let heard =
            lost.iter().chain(&sent).filter_map(|series| series.last_key_value()).map(|(minute, _)| *minute);
        day.heard = day.heard.max(heard.max()).filter(|heard| *heard >= oldest_minute);
        if is_whole {
            day.until = Some(now);
        }
        let undelivered = (is_answered && triggers > 0 && day.heard.is_some()).then(|| day.lost());
        let missing_at = day.missing.iter().rev().find(|(_, missing)| **missing > 0);
        Told { oldest, undelivered, missing_at: missing_at.map(|(minute, _)| start_of(*minute)), is_whole }
    }
}

impl Day {
    fn lost(&self) -> Undelivered {
        let mut minutes =
            self.undelivered.iter().filter(|(_, count)| **count > 0).map(|(minute, _)| start_of(*minute));
        let first = minutes.next();
        let span = first.map(|first| (first, minutes.next_back().unwrap_or(first)));
        Undelivered { count: self.undelivered.values().sum(), span }
    }
}

/// Replaces the minutes from `from` on, and forgets those before `oldest`.
fn replace(
    known: &mut BTreeMap<u64, u64>,
    from: u64,
    oldest: u64,
    series: &[&Series],
    join: impl Fn(u64, u64) -> u64,
) {
    if series.is_empty() {
        return;
    }
    known.retain(|minute, _| (oldest..from).contains(minute));
    for (minute, count) in series.iter().copied().flatten().filter(|(minute, _)| **minute >= oldest) {
        let place = known.entry(*minute).or_default();
        *place = join(*place, whole(*count).unwrap_or(0));
    }
}

/// The minutes in which the consumer told anything.
fn heard(answer: &Answer) -> BTreeSet<u64> {
    let ids = ["applied", "duplicates", "rejected", "retried", "p99"];
    ids.into_iter().filter_map(|id| answer.get(id)).flat_map(|series| series.keys().copied()).collect()
}

/// Whether the consumer told something in this minute, or not long before and after.
fn is_between(heard: &BTreeSet<u64>, minute: u64) -> bool {
    let (earlier, later) = (heard.range(..=minute).next_back(), heard.range(minute..).next());
    earlier.zip(later).is_some_and(|(earlier, later)| later - earlier <= GAP_MAX_MINUTES)
}

/// A count, as CloudWatch writes all numbers.
fn whole(value: f64) -> Option<u64> {
    format!("{value:.0}").parse().ok()
}

fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(i64::try_from(at.unix_millis()).unwrap_or(i64::MAX))
}

fn refused(error: &RequestError) -> Refusal {
    let is_silent = error.code().is_none();
    let right = match error.code() {
        Some("AccessDenied" | "AccessDeniedException") => ": the console needs cloudwatch:GetMetricData",
        Some(_) | None => "",
    };
    Refusal { why: format!("{}{right}", error.describe("CloudWatch")), is_silent }
}

/// What of an answer is whole.
fn read(answer: &GetMetricDataOutput) -> Answer {
    let results = answer.metric_data_results().iter();
    let whole = results.filter(|result| result.status_code() == Some(&StatusCode::Complete));
    let named = whole.filter_map(|result| {
        let minute = |at: &DateTime| u64::try_from(at.secs()).ok().map(|seconds| seconds / 60);
        let points = result.timestamps().iter().zip(result.values());
        let series = points.filter_map(|(at, value)| Some((minute(at)?, *value)));
        Some((result.id()?.to_owned(), series.collect()))
    });
    // A page that goes on has not all points of any.
    if answer.next_token().is_some() { Answer::new() } else { named.collect() }
}

fn metric(
    id: String,
    namespace: &str,
    name: &str,
    (dimension, value): (&str, &str),
    statistic: &str,
) -> MetricDataQuery {
    let dimension = Dimension::builder().name(dimension).value(value).build();
    let metric = Metric::builder().namespace(namespace).metric_name(name).dimensions(dimension).build();
    let statistic = MetricStat::builder().metric(metric).period(60).stat(statistic).build();
    MetricDataQuery::builder().id(id).metric_stat(statistic).build()
}

fn of_service(id: String, service: &str, name: &str, statistic: &str) -> MetricDataQuery {
    metric(id, NAMESPACE, name, (SERVICE_DIMENSION, service), statistic)
}

/// A metric over all values of its label: it has no total, and CloudWatch finds the values that there are.
fn by_label(name: &str, service: &str, label: &str) -> MetricDataQuery {
    // Our own names but the service's, whose quotes `Services::check` refuses.
    let search = format!(
        "SUM(SEARCH('{{{NAMESPACE},{SERVICE_DIMENSION},{label}}} MetricName=\"{name}\" {SERVICE_DIMENSION}=\"{service}\"', 'Sum', 60))"
    );
    MetricDataQuery::builder().id(name).expression(search).build()
}
