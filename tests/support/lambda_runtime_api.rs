//! Stands where AWS Lambda stands: serves the Runtime API, and runs release binaries against it.
//!
//! A test starts the API, spawns a binary as a [`Function`] and invokes it. The binary is the one
//! that is deployed: it long-polls `next`, posts its answer and knows nothing of the test. This
//! module knows nothing of Cognito, SQS or PostgreSQL: payloads are bytes.
//!
//! Endpoints, headers and status codes: Lambda Developer Guide, "Using the Lambda runtime API for
//! custom runtimes". Where this server differs from Lambda: a timed-out or dead function is not
//! restarted, the deadline runs from the moment an invocation is queued, and no size is refused.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

const REGION: &str = "eu-west-1";
pub const FUNCTION_NAME: &str = "user-sync-under-test";
const FUNCTION_ARN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:user-sync-under-test";
const TRACE_ID: &str = "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0";
const ERROR_TYPE_HEADER: &str = "lambda-runtime-function-error-type";

/// A Lambda Runtime API on a loopback port, for one function process at a time.
///
/// When dropped it takes no new connection; those it has end with the test's tokio runtime.
pub struct LambdaRuntimeApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// How an invocation ended, as the caller of the function sees it.
pub enum Invocation {
    /// The function answered.
    ///
    /// `elapsed` runs from [`LambdaRuntimeApi::invoke`], so it includes a cold start, as Cognito's
    /// own 5 s do.
    Response { body: Vec<u8>, elapsed: Duration },
    /// The function reported an error.
    ///
    /// `error_type` is its `Lambda-Runtime-Function-Error-Type` header.
    Error { body: Vec<u8>, error_type: Option<String> },
    /// Nothing came within the timeout; an answer that comes later is refused with 400.
    TimedOut,
}

/// A spawned Lambda function process; killed when dropped.
///
/// If the test is failing by then, the process's stderr is shown.
pub struct Function {
    child: Child,
    stdout: CapturedLines,
    stderr: CapturedLines,
}

struct Shared {
    invocations: mpsc::UnboundedSender<Queued>,
    /// Held by the `next` call that is being served, so that concurrent calls are served in turn.
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Queued>>,
    /// The invocations that wait for an answer, by request id.
    unanswered: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    /// How many `next` calls wait for an invocation: 1 when the function is idle.
    idle: watch::Sender<usize>,
    init_error: Mutex<Option<String>>,
    request_count: AtomicU64,
}

struct Queued {
    request_id: String,
    deadline_ms: u128,
    payload: Vec<u8>,
}

enum Answer {
    Response(Bytes),
    Error { body: Bytes, error_type: Option<String> },
}

impl LambdaRuntimeApi {
    /// Listens on a free loopback port; must be called inside a tokio runtime.
    pub async fn start() -> Self {
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).await.expect("bind the runtime API to a loopback port");
        let address = listener.local_addr().expect("read the runtime API's address");
        let (invocations, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            invocations,
            queue: tokio::sync::Mutex::new(queue),
            unanswered: Mutex::default(),
            idle: watch::Sender::new(0),
            init_error: Mutex::default(),
            request_count: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{request_id}/response", post(respond))
            .route("/2018-06-01/runtime/invocation/{request_id}/error", post(fail))
            .route("/2018-06-01/runtime/init/error", post(fail_init))
            // Lambda takes 6 MB, axum 2 MB unless told.
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        // Without it, Nagle's algorithm may add 40 ms to what `elapsed` measures.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("set TCP_NODELAY"));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serve the runtime API");
        });
        Self { address, shared, server }
    }

    /// `host:port`, the value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Queues an invocation and waits for its end; the function is told `timeout` as its deadline.
    ///
    /// Concurrent calls are handed out in the order in which they were first polled.
    pub async fn invoke(&self, payload: impl Into<Vec<u8>>, timeout: Duration) -> Invocation {
        let started_at = Instant::now();
        let number = self.shared.request_count.fetch_add(1, Ordering::Relaxed) + 1;
        let request_id = format!("00000000-0000-4000-8000-{number:012x}");
        let (sender, answer) = oneshot::channel();
        locked(&self.shared.unanswered).insert(request_id.clone(), sender);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let queued = Queued {
            request_id: request_id.clone(),
            deadline_ms: (since_epoch + timeout).as_millis(),
            payload: payload.into(),
        };
        self.shared.invocations.send(queued).expect("queue an invocation");

        let Ok(answer) = timeout_at((started_at + timeout).into(), answer).await else {
            locked(&self.shared.unanswered).remove(&request_id);
            return Invocation::TimedOut;
        };
        match answer.expect("an answer's sender lives until it is used") {
            Answer::Response(body) => {
                Invocation::Response { body: body.into(), elapsed: started_at.elapsed() }
            }
            Answer::Error { body, error_type } => Invocation::Error { body: body.into(), error_type },
        }
    }

    /// Waits until the function has ended its init, or its last invocation, and asks for the next one.
    ///
    /// # Panics
    /// When that does not happen within `timeout`.
    pub async fn wait_until_ready(&self, timeout: Duration) {
        let mut idle = self.shared.idle.subscribe();
        if tokio::time::timeout(timeout, idle.wait_for(|waiting| *waiting > 0)).await.is_err() {
            let init_error = locked(&self.shared.init_error).take();
            panic!(
                "no function asked for an invocation within {timeout:?}; init error reported: {init_error:?}"
            );
        }
    }
}

impl Drop for LambdaRuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let idle = Idle::enter(&shared.idle);
    let mut queue = shared.queue.lock().await;
    // An invocation that timed out in the queue is not handed out.
    let invocation = loop {
        let queued = queue.recv().await.expect("the queue's sender lives as long as its receiver");
        if locked(&shared.unanswered).get(&queued.request_id).is_some_and(|caller| !caller.is_closed()) {
            break queued;
        }
    };
    drop(idle);
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", invocation.request_id),
        ("lambda-runtime-deadline-ms", invocation.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", FUNCTION_ARN.to_owned()),
        ("lambda-runtime-trace-id", TRACE_ID.to_owned()),
    ];
    (headers, invocation.payload).into_response()
}

async fn respond(
    State(shared): State<Arc<Shared>>,
    UrlPath(request_id): UrlPath<String>,
    body: Bytes,
) -> Response {
    shared.answer(&request_id, Answer::Response(body))
}

async fn fail(
    State(shared): State<Arc<Shared>>,
    UrlPath(request_id): UrlPath<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let error_type =
        headers.get(ERROR_TYPE_HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    shared.answer(&request_id, Answer::Error { body, error_type })
}

async fn fail_init(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    *locked(&shared.init_error) = Some(String::from_utf8_lossy(&body).into_owned());
    accepted()
}

impl Shared {
    fn answer(&self, request_id: &str, answer: Answer) -> Response {
        let sender = locked(&self.unanswered).remove(request_id);
        match sender.map(|sender| sender.send(answer)) {
            Some(Ok(())) => accepted(),
            // Answered before, timed out, or never handed out.
            Some(Err(_)) | None => {
                let body = r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#;
                (StatusCode::BAD_REQUEST, [("content-type", "application/json")], body).into_response()
            }
        }
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, [("content-type", "application/json")], r#"{"status":"OK"}"#).into_response()
}

/// Counts one waiting `next` call while it lives: until an invocation comes or its process dies.
struct Idle<'a>(&'a watch::Sender<usize>);

impl<'a> Idle<'a> {
    fn enter(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|waiting| *waiting += 1);
        Self(count)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response { body, elapsed } => {
                write!(formatter, "response after {elapsed:?}: {}", String::from_utf8_lossy(body))
            }
            Self::Error { body, error_type } => {
                write!(formatter, "error of type {error_type:?}: {}", String::from_utf8_lossy(body))
            }
            Self::TimedOut => formatter.write_str("timed out"),
        }
    }
}

impl Function {
    /// Starts `binary` with Lambda's environment, and nothing of the test's own but `PATH`.
    ///
    /// `env` is set last: it adds variables and overrides those of Lambda.
    pub fn spawn(binary: &Path, api: &LambdaRuntimeApi, env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary)
            .env_clear()
            // Lambda Developer Guide, "Defined runtime environment variables".
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", FUNCTION_NAME)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{FUNCTION_NAME}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]00000000000000000000000000000000")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_SESSION_TOKEN", "test")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", "/tmp")
            .env("TZ", ":UTC")
            .env("LANG", "en_US.UTF-8")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("spawn {}: {error}", binary.display()));
        let stdout = CapturedLines::read(child.stdout.take().expect("stdout is piped"));
        let stderr = CapturedLines::read(child.stderr.take().expect("stderr is piped"));
        Self { child, stdout, stderr }
    }

    /// The lines written to stdout so far; complete after `terminate` or `kill`.
    pub fn stdout_lines(&self) -> Vec<String> {
        self.stdout.so_far()
    }

    /// The lines written to stderr so far; complete after `terminate` or `kill`.
    pub fn stderr_lines(&self) -> Vec<String> {
        self.stderr.so_far()
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("ask whether the function runs").is_none()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL, and waits for the end and the last lines of output.
    ///
    /// Does nothing to a process that has ended.
    pub fn kill(&mut self) {
        // Both fail only for a process that is gone. `drop` calls this: no panic here.
        drop(self.child.kill());
        drop(self.child.wait());
        self.stdout.finish();
        self.stderr.finish();
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("stderr of function process {}:\n{}", self.pid(), self.stderr_lines().join("\n"));
        }
    }
}

/// One output stream of a process, read by a thread so that the process never blocks on it.
struct CapturedLines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl CapturedLines {
    fn read(stream: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                locked(&sink).push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Self { lines, reader: Some(reader) }
    }

    fn so_far(&self) -> Vec<String> {
        locked(&self.lines).clone()
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            // The thread ends with the stream and cannot panic.
            drop(reader.join());
        }
    }
}

/// Locks without poisoning: a failed test must not fail again in `drop`.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
