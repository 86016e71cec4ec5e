//! Stands where Lambda's Invoke stands ("Invoke", AWS Lambda API reference), with the function that was a pool's
//! trigger before ours: it answers, fails, is slow or cannot be called, as a test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio::net::TcpListener;

/// What it does when it is called.
#[derive(Debug, Clone)]
pub enum Does {
    /// Answers these bytes.
    Answers(&'static str),
    /// Fails with this payload.
    Fails(&'static str),
    /// Answers what it was called with, after a while.
    EchoesAfter(Duration),
    /// Lambda refuses the call.
    IsRefused(u16, &'static str),
    /// Lambda throttles so many calls, and lets the next one through, which is echoed.
    IsThrottled(u32),
}

/// A call: the function, and what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub function: String,
    pub payload: String,
}

/// Lambda's Invoke on a loopback port.
pub struct FormerFunction {
    pub endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    does: Mutex<Does>,
    calls: Mutex<Vec<Call>>,
    dry_runs: Mutex<u32>,
}

impl FormerFunction {
    pub async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (calls, dry_runs) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { does: Mutex::new(does), calls, dry_runs });
        let router = Router::new()
            .route("/2015-03-31/functions/{function}/invocations", post(invoke))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, shared }
    }

    pub fn now(&self, does: Does) {
        *self.shared.does.lock().unwrap() = does;
    }

    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub fn dry_runs(&self) -> u32 {
        *self.shared.dry_runs.lock().unwrap()
    }
}

async fn invoke(
    State(shared): State<Arc<Shared>>,
    Path(function): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.get("x-amz-invocation-type").is_some_and(|kind| kind == "DryRun") {
        *shared.dry_runs.lock().unwrap() += 1;
        return StatusCode::NO_CONTENT.into_response();
    }
    let payload = String::from_utf8(body.to_vec()).unwrap();
    shared.calls.lock().unwrap().push(Call { function, payload });
    let does = shared.does.lock().unwrap().clone();
    match does {
        Does::Answers(answer) => answer.into_response(),
        Does::Fails(payload) => ([("x-amz-function-error", "Unhandled")], payload).into_response(),
        Does::EchoesAfter(pause) => {
            tokio::time::sleep(pause).await;
            body.into_response()
        }
        Does::IsRefused(status, code) => refused(status, code),
        Does::IsThrottled(0) => body.into_response(),
        Does::IsThrottled(times) => {
            *shared.does.lock().unwrap() = Does::IsThrottled(times - 1);
            refused(429, "TooManyRequestsException")
        }
    }
}

fn refused(status: u16, code: &'static str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("x-amzn-errortype", code)], r#"{"Message":"refused"}"#).into_response()
}
