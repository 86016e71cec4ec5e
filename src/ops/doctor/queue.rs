//! Checks the queue and its dead-letter queue by their attributes. Must not receive a message: that would raise its receive
//! count and hide it from the consumer.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::request_error::RequestError;

use crate::aws::{self, Timeouts};
use crate::config::{CONTEXT_DLQ_URL_VARIABLE, CONTEXT_QUEUE_URL_VARIABLE, DLQ_URL_VARIABLE};
use crate::ops::doctor::flow::Arrived;
use crate::ops::doctor::{Check, Finding, Options, Section, Status, TIMEOUT, human_duration};
use crate::sqs::queue::RedrivePolicy;

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(3), attempt: Duration::from_secs(8) };

/// "Configuring a queue to use with Lambda", AWS Lambda Developer Guide.
const VISIBILITY_PER_TIMEOUT: u64 = 6;

/// The longest there is ("Amazon SQS message quotas").
const RETENTION_MAX_SECONDS: u64 = 14 * 24 * 60 * 60;

/// Under this, a short outage moves good messages to the dead-letter queue.
const MIN_RECEIVES: u32 = 10;
/// Each retry of an outage spends a receive.
const ADVISED_RECEIVES: u32 = 100;

/// A queue and its dead-letter queue: their attributes, or why there are none.
pub(super) struct Queues {
    names: Names,
    queue: Result<Attributes, Finding>,
    dlq: Result<Attributes, Finding>,
}

/// What a queue is called.
#[derive(Clone, Copy)]
struct Names {
    queue: &'static str,
    dlq: &'static str,
    /// Shows its dead letters.
    list: &'static str,
}

const EVENTS: Names = Names { queue: QUEUE_URL_VARIABLE, dlq: DLQ_URL_VARIABLE, list: "user-sync dlq list" };
const RECORDS: Names = Names {
    queue: CONTEXT_QUEUE_URL_VARIABLE,
    dlq: CONTEXT_DLQ_URL_VARIABLE,
    list: "user-sync dlq list --contexts",
};

/// One queue's attributes, as SQS gives them.
#[derive(Debug, Clone, Default)]
struct Attributes(HashMap<QueueAttributeName, String>);

impl Attributes {
    async fn read(url: Option<&str>, variable: &'static str) -> Result<Self, Finding> {
        let Some(url) = url else {
            return Err(Finding::skipped(format!("{variable} is not set"), format!("set {variable}")));
        };
        let read = async {
            let client = aws::sqs(&aws::sdk_config(TIMEOUTS).await, url);
            let request = client.get_queue_attributes().queue_url(url);
            request.attribute_names(QueueAttributeName::All).send().await
        };
        let fix = format!(
            "see that {variable}, AWS_REGION and the credentials are right, and that they permit \
             sqs:GetQueueAttributes"
        );
        match tokio::time::timeout(TIMEOUT, read).await {
            Ok(Ok(answer)) => Ok(Self(answer.attributes.unwrap_or_default())),
            Ok(Err(error)) => {
                Err(Finding::failed(format!("{url}: {}", RequestError::of(&error).describe("SQS")), fix))
            }
            Err(_) => Err(Finding::failed(format!("{url}: no answer within {} s", TIMEOUT.as_secs()), fix)),
        }
    }

    fn text(&self, name: &QueueAttributeName) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &QueueAttributeName) -> u64 {
        self.text(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Messages that wait, that are under way and that are delayed.
    fn depth(&self) -> [u64; 3] {
        [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ]
        .map(|name| self.number(&name))
    }

    fn retention_seconds(&self) -> u64 {
        self.number(&QueueAttributeName::MessageRetentionPeriod)
    }

    /// What it is encrypted with.
    fn key(&self) -> Option<&str> {
        let sqs = self.text(&QueueAttributeName::SqsManagedSseEnabled).filter(|enabled| *enabled == "true");
        self.text(&QueueAttributeName::KmsMasterKeyId).or(sqs.map(|_| "SQS's own key"))
    }

    fn reached(&self) -> Finding {
        Finding::ok(self.text(&QueueAttributeName::QueueArn).unwrap_or("it has no ARN").to_owned())
    }
}

impl Queues {
    /// The queue of events, and that of records where there is one.
    pub(super) async fn read(options: &Options) -> (Self, Option<Self>) {
        let Options { queue_url, dlq_url, context_queue_url, context_dlq_url, .. } = options;
        let records = async {
            let is_there = context_queue_url.is_some() || context_dlq_url.is_some();
            let read = Self::of(RECORDS, context_queue_url.as_deref(), context_dlq_url.as_deref());
            if is_there { Some(Box::pin(read).await) } else { None }
        };
        tokio::join!(Self::of(EVENTS, queue_url.as_deref(), dlq_url.as_deref()), records)
    }

    /// How the queue of events and its dead-letter queue are set up.
    pub(super) async fn settings(
        queue_url: Option<&str>,
        dlq_url: Option<&str>,
        consumer_timeout_seconds: u32,
    ) -> Vec<Check> {
        let queues = Box::pin(Self::of(EVENTS, queue_url, dlq_url)).await;
        let findings = queues.findings(consumer_timeout_seconds);
        findings.into_iter().map(|(name, finding)| finding.named(Section::Queue, name)).collect()
    }

    async fn of(names: Names, queue_url: Option<&str>, dlq_url: Option<&str>) -> Self {
        let (queue, dlq) =
            tokio::join!(Attributes::read(queue_url, names.queue), Attributes::read(dlq_url, names.dlq));
        Self { names, queue, dlq }
    }

    /// A line a check, whether or not there is a queue of records.
    pub(super) fn examine(
        &self,
        records: Option<&Self>,
        options: &Options,
        arrived: Option<Arrived>,
    ) -> Vec<Check> {
        let timeout = options.consumer_timeout_seconds;
        let (mut findings, records) =
            (Vec::from(self.findings(timeout)), records.map(|it| it.findings(timeout)));
        if let Some(records) = records {
            for ((_, finding), (_, of_records)) in findings.iter_mut().zip(records) {
                *finding = finding.clone().beside(of_records);
            }
        }
        let max_age = i64::from(options.max_heartbeat_age_minutes) * 60;
        let oldest = ("oldest message", self.of_queue(|queue| oldest(queue, arrived, max_age)));
        findings.insert(findings.len() - 1, oldest);
        findings.into_iter().map(|(name, finding)| finding.named(Section::Queue, name)).collect()
    }

    fn findings(&self, timeout: u32) -> [(&'static str, Finding); 10] {
        let names = self.names;
        [
            ("reachable", self.queue.as_ref().map_or_else(Clone::clone, Attributes::reached)),
            ("DLQ reachable", self.dlq.as_ref().map_or_else(Clone::clone, Attributes::reached)),
            ("kind", self.of_both(kind)),
            ("visibility", self.of_queue(|queue| visibility(queue, timeout))),
            ("redrive policy", self.of_both(|queue, dlq| redrive(queue, dlq, names.dlq))),
            ("retention", self.of_queue(retention)),
            ("DLQ retention", self.of_both(dlq_retention)),
            ("encryption", self.of_both(encryption)),
            ("depth", self.of_queue(depth)),
            ("DLQ empty", self.of_dlq(|dlq| dead_letters(dlq, names.list))),
        ]
    }

    fn of_queue(&self, check: impl FnOnce(&Attributes) -> Finding) -> Finding {
        self.queue.as_ref().map_or_else(unread, check)
    }

    fn of_dlq(&self, check: impl FnOnce(&Attributes) -> Finding) -> Finding {
        self.dlq.as_ref().map_or_else(unread, check)
    }

    fn of_both(&self, check: impl FnOnce(&Attributes, &Attributes) -> Finding) -> Finding {
        match (&self.queue, &self.dlq) {
            (Ok(queue), Ok(dlq)) => check(queue, dlq),
            (Err(finding), _) | (_, Err(finding)) => unread(finding),
        }
    }
}

impl Finding {
    /// In one line with the same of the queue of records.
    fn beside(self, records: Self) -> Self {
        let weight = |status| match status {
            Status::Ok => 0,
            Status::Skipped => 1,
            Status::Warning => 2,
            Status::Failed => 3,
        };
        let status = [self.status, records.status].into_iter().max_by_key(|status| weight(*status));
        let found = match self.found == records.found {
            true => self.found,
            false => format!("{}; of contexts: {}", self.found, records.found),
        };
        let of_records = records.fix.map(|fix| format!("of contexts: {fix}"));
        let fixes: Vec<String> = self.fix.into_iter().chain(of_records).collect();
        let fix = (!fixes.is_empty()).then(|| fixes.join("; "));
        Self { status: status.unwrap_or(self.status), found, fix }
    }
}

/// A check of a queue that was not reached; the check `reachable` says why.
fn unread(finding: &Finding) -> Finding {
    Finding { status: Status::Skipped, ..finding.clone() }
}

fn kind(queue: &Attributes, dlq: &Attributes) -> Finding {
    let is_fifo = |queue: &Attributes| queue.text(&QueueAttributeName::FifoQueue) == Some("true");
    match is_fifo(queue) || is_fifo(dlq) {
        true => Finding::failed(
            "a FIFO queue, which has a tenth of the batch and the rate",
            "use standard queues: order does not matter here",
        ),
        false => Finding::ok("standard"),
    }
}

fn visibility(queue: &Attributes, consumer_timeout_seconds: u32) -> Finding {
    let (found, needed) = (
        queue.number(&QueueAttributeName::VisibilityTimeout),
        VISIBILITY_PER_TIMEOUT * u64::from(consumer_timeout_seconds),
    );
    let text = format!("{found} s, for a consumer's timeout of {consumer_timeout_seconds} s");
    match found >= needed {
        true => Finding::ok(text),
        false => Finding::failed(text, format!("set the queue's VisibilityTimeout to {needed} or more")),
    }
}

fn redrive(queue: &Attributes, dlq: &Attributes, variable: &str) -> Finding {
    let arn = dlq.text(&QueueAttributeName::QueueArn).unwrap_or_default();
    let fix = format!(
        "set the queue's RedrivePolicy to {{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":{ADVISED_RECEIVES}}}"
    );
    if queue.text(&QueueAttributeName::QueueArn) == Some(arn) {
        return Finding::failed(
            format!(
                "{variable} names the queue itself: what is rejected comes back at once, again and again"
            ),
            format!("set {variable} to another queue, and the queue's RedrivePolicy to that one"),
        );
    }
    let Some(policy) = queue.text(&QueueAttributeName::RedrivePolicy) else {
        return Finding::failed("there is none: what fails returns to the queue until it expires", fix);
    };
    let Some(RedrivePolicy { target, max_receive_count: receives }) = RedrivePolicy::parse(policy) else {
        return Finding::failed("it cannot be read", fix);
    };
    if target != arn {
        return Finding::failed(format!("it names {target}, and {DLQ_URL_VARIABLE} is {arn}"), fix);
    }
    let found = format!("to that queue after {receives} receives");
    match receives {
        ADVISED_RECEIVES.. => Finding::ok(found),
        MIN_RECEIVES.. => Finding::warning(format!("{found}; a long outage spends them"), fix),
        _ => Finding::failed(
            format!(
                "{found}; a short outage spends them, and so does a row that the database refuses until it is mended"
            ),
            fix,
        ),
    }
}

fn retention(queue: &Attributes) -> Finding {
    let found = queue.retention_seconds();
    let text = format!("the queue keeps a message {}", days(found));
    let fix = format!("set the queue's MessageRetentionPeriod to {RETENTION_MAX_SECONDS} (14 days)");
    match found >= RETENTION_MAX_SECONDS {
        true => Finding::ok(text),
        false => Finding::warning(format!("{text}: an outage as long loses it"), fix),
    }
}

/// A message that is moved keeps the time of its first enqueue ("Amazon SQS dead-letter queues").
fn dlq_retention(queue: &Attributes, dlq: &Attributes) -> Finding {
    let found = dlq.retention_seconds();
    let text = format!("it keeps a message {} from when it was first sent", days(found));
    match found >= queue.retention_seconds() {
        true => Finding::ok(text),
        false => Finding::failed(
            format!("{text}, less than the queue's own {}", days(queue.retention_seconds())),
            format!(
                "set the dead-letter queue's MessageRetentionPeriod to {RETENTION_MAX_SECONDS} (14 days)"
            ),
        ),
    }
}

fn encryption(queue: &Attributes, dlq: &Attributes) -> Finding {
    match (queue.key(), dlq.key()) {
        (Some(key), Some(other)) if key == other => Finding::ok(format!("at rest, with {key}")),
        (Some(key), Some(other)) => Finding::warning(
            format!("with {key}, and the dead-letter queue with {other}"),
            "give both queues one key: who moves messages needs both",
        ),
        (None, _) => Finding::failed(
            "the queue is not encrypted at rest",
            "set the queue's SqsManagedSseEnabled to true, or its KmsMasterKeyId",
        ),
        (_, None) => Finding::failed(
            "the dead-letter queue is not encrypted at rest",
            "set the dead-letter queue's SqsManagedSseEnabled to true, or its KmsMasterKeyId",
        ),
    }
}

fn depth(queue: &Attributes) -> Finding {
    let [waiting, under_way, delayed] = queue.depth();
    Finding::ok(format!("about {waiting} waiting, {under_way} under way or hidden, {delayed} delayed"))
}

/// SQS does not give a message's age unless it is received. What has arrived bounds the age: the queue is nearly in order,
/// so messages that wait were sent at about the time of the newest that arrived, or later.
fn oldest(queue: &Attributes, arrived: Option<Arrived>, max_age: i64) -> Finding {
    const EXACT: &str = "exact: the CloudWatch metric ApproximateAgeOfOldestMessage";
    if queue.depth().iter().sum::<u64>() == 0 {
        return Finding::ok(format!("the queue is empty ({EXACT})"));
    }
    match arrived.and_then(|arrived| arrived.newest_age()) {
        Some(age) if age > max_age => Finding::warning(
            format!("about {} at most, by the newest that arrived ({EXACT})", human_duration(age)),
            "see that the consumer runs and what its log says",
        ),
        Some(age) => Finding::ok(format!(
            "about {} at most, by the newest that arrived ({EXACT})",
            human_duration(age)
        )),
        None => Finding::skipped("SQS does not say, and nothing has arrived yet", format!("see {EXACT}")),
    }
}

fn dead_letters(dlq: &Attributes, list: &str) -> Finding {
    match dlq.depth().iter().sum() {
        0_u64 => Finding::ok("no dead letters"),
        letters => {
            Finding::failed(format!("about {letters} dead letters"), format!("see what they are: `{list}`"))
        }
    }
}

fn days(seconds: u64) -> String {
    human_duration(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn attributes(attributes: &[(QueueAttributeName, &str)]) -> Attributes {
        Attributes(attributes.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect())
    }

    #[test]
    fn receives_are_few_below_a_hundred_and_too_few_below_ten() {
        let dlq = attributes(&[(QueueAttributeName::QueueArn, "arn:dlq")]);
        for (count, expected) in [
            ("100", Status::Ok),
            ("\"100\"", Status::Ok),
            ("99", Status::Warning),
            ("10", Status::Warning),
            ("9", Status::Failed),
        ] {
            let policy = format!(r#"{{"deadLetterTargetArn":"arn:dlq","maxReceiveCount":{count}}}"#);
            let queue = attributes(&[(QueueAttributeName::RedrivePolicy, &policy)]);
            assert_eq!(redrive(&queue, &dlq, DLQ_URL_VARIABLE).status, expected, "{count}");
        }
    }

    #[test]
    fn a_queue_is_not_its_own_dead_letter_queue() {
        let queue = attributes(&[(QueueAttributeName::QueueArn, "arn:queue")]);
        let finding = redrive(&queue, &queue, DLQ_URL_VARIABLE);
        assert!(
            finding.status == Status::Failed && finding.found.contains("the queue itself"),
            "{finding:?}"
        );
    }

    #[test]
    fn both_queues_are_encrypted_with_one_key() {
        let sqs = attributes(&[(QueueAttributeName::SqsManagedSseEnabled, "true")]);
        let kms = attributes(&[(QueueAttributeName::KmsMasterKeyId, "alias/ours")]);
        let plain = attributes(&[(QueueAttributeName::SqsManagedSseEnabled, "false")]);
        assert_eq!(encryption(&kms, &kms).status, Status::Ok);
        assert_eq!(encryption(&sqs, &sqs).status, Status::Ok);
        assert_eq!(encryption(&kms, &sqs).status, Status::Warning);
        assert_eq!(encryption(&plain, &sqs).status, Status::Failed);
        assert!(encryption(&kms, &plain).fix.unwrap().contains("dead-letter queue's"));
    }

    #[test]
    fn the_queue_of_records_is_in_the_same_lines_and_the_worse_one_counts() {
        let well = || Finding::ok("standard");
        assert_eq!(well().beside(well()), well());
        let failed = well().beside(Finding::failed("about 3 dead letters", "see what they are"));
        assert_eq!(
            (failed.status, failed.found.as_str()),
            (Status::Failed, "standard; of contexts: about 3 dead letters")
        );
        assert_eq!(failed.fix.as_deref(), Some("of contexts: see what they are"));
        let both = Finding::warning("a", "mend a").beside(Finding::skipped("b", "set b"));
        assert_eq!((both.status, both.fix.as_deref()), (Status::Warning, Some("mend a; of contexts: set b")));
    }
}
