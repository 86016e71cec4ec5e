//! The worker's HTTP endpoints for a scraper and an orchestrator: `/metrics`, `/healthz`, `/readyz`. Must not know
//! messages or rows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::consumer::liveness::Liveness;
use crate::consumer::queues::Queues;
use crate::postgres::Database;
use crate::sqs::queue::Queue;

/// How long a query to the database or the queue may take; an orchestrator asks again.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long an answer of theirs holds.
const CHECKED_FOR: Duration = Duration::from_secs(5);

/// Where the answers come from.
#[derive(Clone)]
pub struct Sources {
    /// `None` where the metrics go to CloudWatch.
    pub metrics: Option<PrometheusHandle>,
    /// Whether it answers, and the last heartbeat.
    pub database: Database,
    /// Whether they answer.
    pub queues: Queues,
    /// Whether the worker gets anywhere.
    pub liveness: Liveness,
}

/// What the database and the queue last answered. However often somebody asks here, they are asked once in
/// [`CHECKED_FOR`], and one at a time: a client that asks often must not take the batches' connections.
#[derive(Clone, Copy)]
struct Check {
    at: Instant,
    is_database_up: bool,
    is_queue_up: bool,
    heartbeat_at: Option<OffsetDateTime>,
}

#[derive(Clone)]
struct Checked {
    sources: Sources,
    last: Arc<Mutex<Option<Check>>>,
}

impl Checked {
    async fn check(&self) -> Check {
        let mut last = self.last.lock().await;
        if let Some(check) = last.filter(|check| check.at.elapsed() < CHECKED_FOR) {
            return check;
        }
        let Sources { database, queues, .. } = &self.sources;
        let heartbeat = async {
            database.ping().await?;
            let last = "select heartbeat_at from sync_status";
            sqlx::query_scalar(last).fetch_optional(database.questions()).await
        };
        let (heartbeat, backlog) = tokio::join!(
            tokio::time::timeout(TIMEOUT, heartbeat),
            tokio::time::timeout(TIMEOUT, futures::future::try_join_all(queues.all().map(Queue::backlog)))
        );
        let heartbeat: Option<Option<Option<OffsetDateTime>>> = heartbeat.ok().and_then(Result::ok);
        *last.insert(Check {
            at: Instant::now(),
            is_database_up: heartbeat.is_some(),
            is_queue_up: matches!(backlog, Ok(Ok(_))),
            heartbeat_at: heartbeat.flatten().flatten(),
        })
    }
}

/// Serves until the future is dropped.
///
/// - `/healthz` returns 200 while each loop of the worker has finished a batch or a poll, even one that failed, within
///   [`STALLED_AFTER`](super::liveness::STALLED_AFTER); else 503. Restart the worker then.
/// - `/readyz` returns 200 if the database and every queue respond, else 503 with the name of what does not. That is
///   no reason to restart: the worker waits for them. They are asked every 5 seconds at most.
/// - `/metrics` returns Prometheus's text format, with the time of the last heartbeat from the database; 404 if the
///   metrics go to CloudWatch (`metrics` is `None`).
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, sources: Sources) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Checked { sources, last: Arc::default() });
    axum::serve(listener, router).await
}

/// Listens on `address`; port 0 takes a free one.
///
/// # Errors
/// When the address is taken or not permitted.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn healthz(State(checked): State<Checked>) -> Response {
    match checked.sources.liveness.stalled_for() {
        None => "ok\n".into_response(),
        Some(stalled_for) => {
            let text = format!("the worker has finished nothing for {} s\n", stalled_for.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn readyz(State(checked): State<Checked>) -> Response {
    let check = checked.check().await;
    if check.is_database_up && check.is_queue_up {
        return "ready\n".into_response();
    }
    let down = |is_up: bool, what| if is_up { "" } else { what };
    let text = format!(
        "{}{}",
        down(check.is_database_up, "the database is unavailable, or not migrated\n"),
        down(check.is_queue_up, "the queue does not respond\n")
    );
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn render(State(checked): State<Checked>) -> Response {
    let Some(handle) = &checked.sources.metrics else {
        return (StatusCode::NOT_FOUND, "the metrics go to CloudWatch\n").into_response();
    };
    // Without the database the gauge keeps its value: the time of a heartbeat stays true.
    if let Some(at) = checked.check().await.heartbeat_at {
        metrics::gauge!("heartbeat_timestamp_seconds").set(seconds(at));
    }
    handle.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()).into_response()
}

/// Seconds since 1970, as Prometheus writes times.
fn seconds(time: OffsetDateTime) -> f64 {
    (time - OffsetDateTime::UNIX_EPOCH).as_seconds_f64()
}
