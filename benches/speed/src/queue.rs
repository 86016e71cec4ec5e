//! The part of SQS's protocol that the worker speaks, in memory: a server of the real protocol in Python would be
//! what is measured. It notes when each message is deleted, which the worker does once it is committed. A queue for users'
//! events, and one for records of sign-ins.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Queue {
    messages: Mutex<VecDeque<(usize, String)>>,
    /// When each message came into being, and when it was deleted.
    times: Mutex<Vec<(Instant, Option<Instant>)>>,
    arrived: Notify,
}

/// Both queues.
#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) events: Queue,
    pub(crate) records: Queue,
}

impl Queues {
    /// Serves on a free port of this machine; returns its address, below which the queues are `/queue` and `/records`.
    pub(crate) async fn start() -> (Arc<Self>, String) {
        let queues = Arc::new(Self::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(post(answer)).with_state(Arc::clone(&queues));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (queues, endpoint)
    }
}

impl Queue {
    /// Messages that came into being, and those that were deleted.
    pub(crate) fn progress(&self) -> (usize, usize) {
        let times = self.times.lock().unwrap();
        (times.len(), times.iter().filter(|(_, deleted)| deleted.is_some()).count())
    }

    pub(crate) fn send(&self, body: String) {
        let number = {
            let mut times = self.times.lock().unwrap();
            times.push((Instant::now(), None));
            times.len() - 1
        };
        self.messages.lock().unwrap().push_back((number, body));
        self.arrived.notify_one();
    }

    /// Seconds from each message's beginning to its deletion, of those from `first` on; all must be deleted.
    pub(crate) fn ages(&self, first: usize) -> Option<Vec<f64>> {
        let age =
            |(sent, deleted): &(Instant, Option<Instant>)| Some((*deleted.as_ref()? - *sent).as_secs_f64());
        self.times.lock().unwrap().iter().skip(first).map(age).collect()
    }

    fn take(&self, most: usize) -> Vec<(usize, String)> {
        let mut messages = self.messages.lock().unwrap();
        let taken = messages.len().min(most);
        messages.drain(..taken).collect()
    }

    async fn receive(&self, request: &Value) -> Value {
        let most = request["MaxNumberOfMessages"].as_u64().unwrap_or(1) as usize;
        let wait = Duration::from_secs(request["WaitTimeSeconds"].as_u64().unwrap_or(0));
        let until = tokio::time::Instant::now() + wait;
        loop {
            let arrived = self.arrived.notified();
            let taken = self.take(most);
            if !taken.is_empty() || tokio::time::timeout_at(until, arrived).await.is_err() {
                // Whoever else waits may find more.
                self.arrived.notify_one();
                let message = |(number, body): (usize, String)| {
                    json!({
                        "MessageId": number.to_string(), "ReceiptHandle": number.to_string(), "Body": body,
                        "Attributes": { "ApproximateReceiveCount": "1" },
                    })
                };
                return json!({ "Messages": taken.into_iter().map(message).collect::<Vec<_>>() });
            }
        }
    }

    fn delete(&self, request: &Value) -> Value {
        let now = Instant::now();
        let mut times = self.times.lock().unwrap();
        let mut deleted = Vec::new();
        for entry in request["Entries"].as_array().unwrap() {
            let number: usize = entry["ReceiptHandle"].as_str().unwrap().parse().unwrap();
            times[number].1 = Some(now);
            deleted.push(json!({ "Id": entry["Id"] }));
        }
        json!({ "Successful": deleted, "Failed": [] })
    }
}

async fn answer(State(queues): State<Arc<Queues>>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let is_of_records = request["QueueUrl"].as_str().is_some_and(|url| url.ends_with("/records"));
    let queue = if is_of_records { &queues.records } else { &queues.events };
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let answer = match target.trim_start_matches("AmazonSQS.") {
        "ReceiveMessage" => queue.receive(&request).await,
        "DeleteMessageBatch" => queue.delete(&request),
        "GetQueueAttributes" => json!({ "Attributes": {} }),
        other => panic!("the worker asks for {other}, which it needs for failures only"),
    };
    ([("content-type", "application/x-amz-json-1.0")], answer.to_string()).into_response()
}
