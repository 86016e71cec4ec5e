//! Stands where Lambda's Invoke stands ("Invoke", AWS Lambda API Reference; "Lambda quotas"), in front of the release program
//! as the function that reaches the database. Throttles, fails and is silent as a test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use cognito_user_sync::aws::{self, Timeouts};
use cognito_user_sync::cognito::rows::RowsFunction;
use tokio::net::TcpListener;

use crate::support::binaries;
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};

pub(crate) const NAME: &str = "user-sync-rows";
/// What a synchronous call may carry, there and back.
pub(crate) const CARRIES: usize = 6 * 1_048_576;
/// The function's own timeout.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What Lambda does with a call.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    Calls,
    /// Throttles so many calls, and calls the function then.
    Throttles(u32),
    Refuses(u16, &'static str),
    /// The function fails with this payload.
    Fails(&'static str),
    /// Never answers.
    IsSilent,
    /// Calls a function of a release that does not know this question.
    HasNoAnswer(&'static str),
}

/// Lambda on a loopback port, and the function.
pub(crate) struct Inside {
    pub(crate) endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    api: LambdaRuntimeApi,
    function: Function,
    does: Mutex<Does>,
    /// What was asked, by how many bytes, and how many bytes were answered.
    asked: Mutex<Vec<(String, usize, usize)>>,
}

impl Inside {
    /// The program with these variables, and Lambda's.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        let api = LambdaRuntimeApi::start().await;
        let environment = [environment, &[("USER_SYNC_OPERATION", "rows")]].concat();
        let function = Function::spawn(&binaries::operator(), &api, &environment);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (does, asked) = (Mutex::new(Does::Calls), Mutex::default());
        let shared = Arc::new(Shared { api, function, does, asked });
        let router = Router::new()
            .route("/2015-03-31/functions/{function}/invocations", post(invoke))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, shared }
    }

    pub(crate) fn now(&self, does: Does) {
        *self.shared.does.lock().unwrap() = does;
    }

    pub(crate) fn asked(&self) -> Vec<(String, usize, usize)> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub(crate) fn log(&self) -> String {
        let function = &self.shared.function;
        [function.stdout_lines(), function.stderr_lines()].concat().join("\n")
    }

    /// Whoever asks it, without patience.
    pub(crate) fn client(&self, patience: Duration) -> RowsFunction {
        let timeouts = Timeouts { connect: Duration::from_secs(1), attempt: patience };
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(aws_sdk_lambda::config::BehaviorVersion::latest())
            .region(aws_sdk_lambda::config::Region::new("eu-west-1"))
            .endpoint_url(&self.endpoint)
            .credentials_provider(aws_sdk_lambda::config::Credentials::new(
                "test", "test", None, None, "test",
            ))
            .http_client(aws::http_client())
            .retry_config(aws_sdk_lambda::config::retry::RetryConfig::disabled())
            .timeout_config(timeouts.config());
        let client = aws_sdk_lambda::Client::from_conf(config.build());
        RowsFunction::with_client(client, NAME.to_owned(), patience)
    }
}

async fn invoke(State(shared): State<Arc<Shared>>, Path(name): Path<String>, body: Bytes) -> Response {
    assert_eq!(name, NAME);
    if body.len() > CARRIES {
        return refused(413, "RequestTooLargeException");
    }
    let does = shared.does.lock().unwrap().clone();
    match does {
        Does::Calls | Does::Throttles(0) => call(&shared, body).await,
        Does::Throttles(times) => {
            *shared.does.lock().unwrap() = Does::Throttles(times - 1);
            refused(429, "TooManyRequestsException")
        }
        Does::Refuses(status, code) => refused(status, code),
        Does::Fails(payload) => failed(payload.into()),
        Does::IsSilent => std::future::pending().await,
        Does::HasNoAnswer(question) if is_asked(&body, question) => {
            let unknown = br#"{"errorType":"UserSync.OperationFailed","errorMessage":"the payload is no question about rows that this build knows: deploy this function and the one that asks of one release"}"#;
            failed(unknown.to_vec())
        }
        Does::HasNoAnswer(_) => call(&shared, body).await,
    }
}

fn is_asked(body: &Bytes, question: &str) -> bool {
    let payload: serde_json::Value = serde_json::from_slice(body).unwrap();
    payload["rows"].get(question).is_some()
}

async fn call(shared: &Shared, body: Bytes) -> Response {
    let payload: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let question = payload["rows"].as_object().unwrap().keys().next().unwrap().clone();
    let (answered, is_error) = match shared.api.invoke(body.to_vec(), TIMEOUT).await {
        Invocation::Response { body, .. } => (body, false),
        Invocation::Error { body, .. } => (body, true),
        Invocation::TimedOut => {
            return failed(br#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: Task timed out after 60.00 seconds"}"#.to_vec());
        }
    };
    shared.asked.lock().unwrap().push((question, body.len(), answered.len()));
    match is_error {
        true => failed(answered),
        false if answered.len() > CARRIES => {
            failed(br#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"too large"}"#.to_vec())
        }
        false => answered.into_response(),
    }
}

fn failed(payload: Vec<u8>) -> Response {
    ([("x-amz-function-error", "Unhandled")], payload).into_response()
}

fn refused(status: u16, code: &'static str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("x-amzn-errortype", code)], r#"{"Message":"refused"}"#).into_response()
}
