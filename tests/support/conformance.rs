//! The two adapters as processes: what a conformance test runs against, and what stands behind Lambda's.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use cognito_user_sync::dev::local::Deployment;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::binaries;
use super::eventually;
use super::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};

/// How deliveries reach the heart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// `user-sync-consumer` behind an event source mapping.
    Lambda,
    /// `user-sync worker`.
    Worker,
}

/// A consumer that runs.
pub enum Consumer {
    Lambda { mapping: JoinHandle<Vec<String>>, stop: Arc<AtomicBool> },
    Worker { process: Box<Child>, log: NamedTempFile },
}

impl Adapter {
    pub const ALL: [Self; 2] = [Self::Lambda, Self::Worker];

    /// Starts the release binary on `deployment`.
    pub async fn start(self, deployment: &Deployment, env: &[(&str, &str)]) -> Consumer {
        match self {
            Self::Lambda => {
                let api = LambdaRuntimeApi::start().await;
                let env = [&deployment.environment(), env].concat();
                let function = Function::spawn(&binaries::consumer(), &api, &env);
                let stop = Arc::new(AtomicBool::new(false));
                let mapping = event_source_mapping(deployment.clone(), api, function, Arc::clone(&stop));
                Consumer::Lambda { mapping: tokio::spawn(mapping), stop }
            }
            Self::Worker => {
                let mut command = Command::new(binaries::user_sync());
                command.arg("worker").env_clear().envs(deployment.environment()).envs(env.iter().copied());
                let log = NamedTempFile::new().expect("a file for the log");
                let stderr = log.reopen().expect("the log's file");
                command.stdin(Stdio::null()).stderr(stderr).kill_on_drop(true);
                Consumer::Worker { process: Box::new(command.spawn().expect("the worker starts")), log }
            }
        }
    }
}

impl Consumer {
    /// Waits until the queue holds nothing, hidden messages included.
    pub async fn drained(&self, deployment: &Deployment) {
        let queue = deployment.queue();
        eventually("the queue is drained", Duration::from_secs(60), async || {
            queue.backlog().await.is_ok_and(|left| left == 0)
        })
        .await;
    }

    /// Ends it as its platform would, and returns what it has logged. The worker must exit with 0.
    pub async fn end(self) -> Vec<String> {
        match self {
            Self::Lambda { mapping, stop } => {
                stop.store(true, Ordering::SeqCst);
                mapping.await.expect("the event source mapping ends")
            }
            Self::Worker { mut process, log } => {
                let pid = process.id().expect("the worker runs").to_string();
                let signalled =
                    std::process::Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap();
                assert!(signalled.success());
                let status = tokio::time::timeout(Duration::from_secs(30), process.wait()).await;
                let status = status.expect("the worker ends on SIGTERM").unwrap();
                assert!(status.success(), "{status}");
                std::fs::read_to_string(log.path()).unwrap().lines().map(str::to_owned).collect()
            }
        }
    }
}

/// A batch as the event source mapping hands it over.
pub fn invocation(bodies: &[String]) -> String {
    let record = |(index, body): (usize, &String)| {
        json!({
            "messageId": index.to_string(), "receiptHandle": "handle", "body": body,
            "attributes": { "ApproximateReceiveCount": "1" },
        })
    };
    json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() }).to_string()
}

/// What Lambda does between a queue and a function with `ReportBatchItemFailures`: receives a batch, invokes,
/// deletes what is not reported as failed ("Using Lambda with Amazon SQS").
async fn event_source_mapping(
    deployment: Deployment,
    api: LambdaRuntimeApi,
    function: Function,
    stop: Arc<AtomicBool>,
) -> Vec<String> {
    let client = deployment.client();
    let path: Vec<&str> = deployment.queue_url.rsplit('/').take(2).collect();
    let [name, account] = path[..] else { panic!("no queue's URL: {}", deployment.queue_url) };
    let arn = format!("arn:aws:sqs:eu-west-1:{account}:{name}");
    while !stop.load(Ordering::SeqCst) {
        let mut messages = Vec::new();
        // Several receives a batch, as a mapping with a window has.
        for _ in 0..10 {
            let request =
                client.receive_message().queue_url(&deployment.queue_url).max_number_of_messages(10);
            let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
            match request.send().await.ok().and_then(|received| received.messages) {
                Some(received) if !received.is_empty() => messages.extend(received),
                _ => break,
            }
        }
        if messages.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let records: Vec<Value> = messages.iter().map(|message| record(message, &arn)).collect();
        let event = json!({ "Records": records }).to_string();
        let Invocation::Response { body, .. } = api.invoke(event, Duration::from_secs(60)).await else {
            // An error fails the whole batch: everything comes back after its visibility timeout.
            continue;
        };
        let response: Value = serde_json::from_slice(&body).expect("the consumer answers JSON");
        let failures = response["batchItemFailures"].as_array().expect("the consumer reports failures");
        let failed: Vec<&str> =
            failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect();
        let ids: Vec<&str> = messages.iter().map(|message| message.message_id().unwrap()).collect();
        assert!(failed.iter().all(|id| ids.contains(id)), "an unknown id fails the whole batch");
        for message in messages.iter().filter(|message| !failed.contains(&message.message_id().unwrap())) {
            let request = client.delete_message().queue_url(&deployment.queue_url);
            request
                .receipt_handle(message.receipt_handle().unwrap())
                .send()
                .await
                .expect("a message is deleted");
        }
    }
    [function.stdout_lines(), function.stderr_lines()].concat()
}

fn record(message: &Message, arn: &str) -> Value {
    let attributes = message.attributes().into_iter().flatten();
    let attributes: serde_json::Map<_, _> =
        attributes.map(|(name, value)| (name.as_str().to_owned(), Value::from(value.as_str()))).collect();
    json!({
        "messageId": message.message_id(), "receiptHandle": message.receipt_handle(), "body": message.body(),
        "attributes": attributes, "messageAttributes": {}, "md5OfBody": message.md5_of_body(),
        "eventSource": "aws:sqs", "eventSourceARN": arn, "awsRegion": "eu-west-1",
    })
}
