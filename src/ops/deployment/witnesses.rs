//! What tells why a message did not arrive: the consumer's log, and the counts of the queues. Must not know what was sent.

use std::time::{Duration, Instant};

use aws_sdk_cloudwatchlogs::Client as Logs;
use aws_sdk_sqs::Client as Sqs;
use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync_triggers::json::{self, Object};
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::aws::{self, Timeouts};

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), attempt: Duration::from_secs(4) };

/// How long the log is read. A page has 1 MB or 10,000 lines ("FilterLogEvents", CloudWatch Logs API Reference).
const READ_BUDGET: Duration = Duration::from_secs(6);

/// Most characters of a line that are told.
const LINE_MAX_CHARS: usize = 800;

/// Clocks differ: lines of a moment before count, too.
const CLOCKS_DIFFER_BY: u64 = 2_000;

/// The queue and its dead-letter queue, each by a client in its Region.
pub(super) struct Queues {
    queue: (Sqs, String),
    dlq: (Sqs, String),
}

impl Queues {
    pub(super) async fn new(queue_url: &str, dlq_url: &str) -> Self {
        let config = aws::sdk_config(TIMEOUTS).await;
        let queue = |url: &str| (aws::sqs(&config, url), url.to_owned());
        Self { queue: queue(queue_url), dlq: queue(dlq_url) }
    }

    /// How many messages wait, how many a consumer has, and how many are dead; SQS's counts are approximate.
    pub(super) async fn counts(&self) -> String {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as Hidden,
        };
        let (queue, dlq) =
            tokio::join!(count(&self.queue, [Visible, Hidden]), count(&self.dlq, [Visible, Hidden]));
        let queue = match queue {
            Ok([waiting, hidden]) => {
                format!(
                    "{waiting} messages waiting, {hidden} with the consumer or hidden until it tries again"
                )
            }
            Err(error) => {
                format!("the queue's counts are {}", unknown(&error, "SQS", "sqs:GetQueueAttributes"))
            }
        };
        let dead = match dlq {
            Ok([waiting, hidden]) => format!("{} dead letters", waiting + hidden),
            Err(error) => {
                format!("the dead letters are {}", unknown(&error, "SQS", "sqs:GetQueueAttributes"))
            }
        };
        format!("{queue}, {dead}")
    }
}

async fn count(
    (client, url): &(Sqs, String),
    names: [QueueAttributeName; 2],
) -> Result<[u64; 2], RequestError> {
    let request = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
    let answer = request.send().await.map_err(|error| RequestError::of(&error))?;
    let attributes = answer.attributes.unwrap_or_default();
    Ok(names.map(|name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0)))
}

/// That something is not known, and why.
fn unknown(error: &RequestError, service: &str, action: &str) -> String {
    let remedy = match error.code() {
        Some(code) if code.contains("AccessDenied") => format!(": permit {action}"),
        Some(_) | None => String::new(),
    };
    format!("not known, {}{remedy}", error.describe(service))
}

/// The consumer, by its log.
pub(super) struct Consumer {
    client: Logs,
    group: String,
}

/// What was read of a log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    /// The last line that tells of an error.
    error: Option<String>,
    has_lines: bool,
}

impl Read {
    fn take(&mut self, line: &str) {
        self.has_lines = true;
        if let Some(error) = error_in(line) {
            self.error = Some(error);
        }
    }

    fn tell(self, group: &str) -> String {
        match self {
            Self { error: Some(error), .. } => format!("it logged last: {error}"),
            Self { has_lines: true, .. } => {
                format!("it runs, and logged no error since (log group {group})")
            }
            Self { .. } => format!(
                "it has logged nothing since, so nothing runs it: see its event source mapping, that its role may read the \
                 queue, and that its function or service can start (log group {group})"
            ),
        }
    }
}

impl Consumer {
    pub(super) async fn new(group: String) -> Self {
        Self { client: Logs::new(&aws::sdk_config(TIMEOUTS).await), group }
    }

    /// The last error that it logged since.
    pub(super) async fn said_since(&self, since: Timestamp) -> String {
        match self.read_since(since).await {
            Ok(read) => read.tell(&self.group),
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                format!(
                    "it has never logged, so nothing has ever run it (there is no log group {})",
                    self.group
                )
            }
            Err(error) => {
                let unknown = unknown(&error, "CloudWatch Logs", "logs:FilterLogEvents");
                format!("its log is {unknown} (log group {})", self.group)
            }
        }
    }

    async fn read_since(&self, since: Timestamp) -> Result<Read, RequestError> {
        let start = since.unix_millis().saturating_sub(CLOCKS_DIFFER_BY);
        let (began, mut read, mut token) = (Instant::now(), Read::default(), None);
        loop {
            let request = self.client.filter_log_events().log_group_name(&self.group);
            let request = request.start_time(i64::try_from(start).unwrap_or(i64::MAX)).set_next_token(token);
            let page = request.send().await.map_err(|error| RequestError::of(&error))?;
            for event in page.events.unwrap_or_default() {
                read.take(event.message.as_deref().unwrap_or_default());
            }
            token = page.next_token;
            if token.is_none() || began.elapsed() >= READ_BUDGET {
                return Ok(read);
            }
        }
    }
}

/// What a line tells, if it tells of an error: one of ours, or Lambda's own.
fn error_in(line: &str) -> Option<String> {
    let line = line.trim();
    let told = match serde_json::from_str::<Object<'_>>(line) {
        Ok(ours) => {
            let text = |name| json::text(&ours, name).filter(|text| !text.is_empty());
            text("level").filter(|level| level == "ERROR" || level == "WARN")?;
            // What our lines have, and nothing else of them.
            let parts = ["message", "reason", "error", "advice"].map(text);
            parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        Err(_) => {
            let is_report =
                ["START ", "END ", "REPORT ", "INIT_REPORT "].iter().any(|word| line.starts_with(word));
            let is_error = ["Error", "Task timed out", "panicked"].iter().any(|word| line.contains(word));
            (is_error && !is_report).then(|| line.to_owned())?
        }
    };
    Some(told.chars().take(LINE_MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_if_it_is_of_an_error() {
        let ours = r#"{"timestamp":"2026-01-31T08:30:00Z","level":"WARN","message":"events return to the queue",
            "cause":"database_unavailable","error":"the server refuses","advice":"check the user","target":"x"}"#;
        let told = "events return to the queue: the server refuses: check the user";
        assert_eq!(error_in(ours).as_deref(), Some(told));
        for line in [
            "Error: Missing { variable: \"DATABASE_URL\" }",
            "2026-01-31T08:30:00Z 1 Task timed out after 60.00 seconds",
            "RequestId: 1 Error: Runtime exited with error: exit status 1",
        ] {
            assert_eq!(error_in(line).as_deref(), Some(line));
        }
        for line in [
            r#"{"level":"INFO","message":"batch settled","error":"none"}"#,
            r#"{"_aws":{},"heartbeats":1}"#,
            "START RequestId: 1 Version: $LATEST",
            "INIT_REPORT Init Duration: 9 ms Phase: init Status: error Error Type: Runtime.ExitError",
            "",
        ] {
            assert_eq!(error_in(line), None, "{line}");
        }
        assert_eq!(
            error_in(&format!("Error: {}", "x".repeat(5_000))).map(|told| told.len()),
            Some(LINE_MAX_CHARS)
        );
    }

    #[test]
    fn what_is_not_known_has_a_remedy_where_it_is_a_right() {
        let refused =
            |code: &str| RequestError::Refused { code: Some(code.to_owned()), is_server_error: false };
        let told = |error: RequestError| unknown(&error, "CloudWatch Logs", "logs:FilterLogEvents");
        let denied = "not known, AccessDeniedException: permit logs:FilterLogEvents";
        assert_eq!(told(refused("AccessDeniedException")), denied);
        assert_eq!(told(refused("ThrottlingException")), "not known, ThrottlingException");
        assert_eq!(told(RequestError::TimedOut), "not known, no answer in time");
    }

    #[test]
    fn silence_is_told_apart_from_work_without_an_error() {
        let read = |lines: &[&str]| {
            let mut read = Read::default();
            lines.iter().for_each(|line| read.take(line));
            read.tell("/consumer")
        };
        assert!(read(&[]).contains("nothing runs it"));
        assert!(read(&["START"]).contains("logged no error"));
        assert_eq!(read(&["Error: 1", "Error: 2", "END"]), "it logged last: Error: 2");
    }
}
