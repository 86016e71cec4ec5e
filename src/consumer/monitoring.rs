//! The worker's HTTP endpoints for a scraper and an orchestrator: `/metrics`, `/healthz`, `/readyz`. Must not know
//! messages or rows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::postgres::Database;
use crate::sqs::queue::Queue;

/// How long a query to the database or the queue may take; an orchestrator asks again.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone)]
struct Sources {
    /// `None` where the metrics go to CloudWatch.
    metrics: Option<PrometheusHandle>,
    database: Database,
    queue: Queue,
    /// One query to the database at a time: a client that asks often must not take the batches' connections.
    turn: Arc<Mutex<()>>,
}

impl Sources {
    /// The result of `query`; `None` if it fails or takes too long.
    async fn ask<T>(&self, query: impl Future<Output = Result<T, sqlx::Error>>) -> Option<T> {
        let asked = async {
            let _turn = self.turn.lock().await;
            query.await
        };
        tokio::time::timeout(TIMEOUT, asked).await.ok()?.ok()
    }
}

/// Serves until the future is dropped.
///
/// - `/healthz` returns 200 while the process lives. Restart the worker if it does not.
/// - `/readyz` returns 200 if the database and the queue respond, else 503 with the name of what does not. That is
///   no reason to restart: the worker waits for both.
/// - `/metrics` returns Prometheus's text format, with the time of the last heartbeat from the database; 404 if the
///   metrics go to CloudWatch (`metrics` is `None`).
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Option<PrometheusHandle>,
    database: Database,
    queue: Queue,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Sources { metrics, database, queue, turn: Arc::default() });
    axum::serve(listener, router).await
}

/// Listens on `address`; port 0 takes a free one.
///
/// # Errors
/// When the address is taken or not permitted.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn readyz(State(sources): State<Sources>) -> Response {
    let database = sources.ask(sources.database.ping());
    let queue = tokio::time::timeout(TIMEOUT, sources.queue.backlog());
    let (database, queue) = tokio::join!(database, queue);
    match (database.is_some(), matches!(queue, Ok(Ok(_)))) {
        (true, true) => "ready\n".into_response(),
        (database, queue) => {
            let down = |is_up: bool, what| if is_up { "" } else { what };
            let text = format!(
                "{}{}",
                down(database, "the database is unavailable, or not migrated\n"),
                down(queue, "the queue does not respond\n")
            );
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn render(State(sources): State<Sources>) -> Response {
    let Some(handle) = &sources.metrics else {
        return (StatusCode::NOT_FOUND, "the metrics go to CloudWatch\n").into_response();
    };
    let last = "select heartbeat_at from sync_status";
    let last = sources.ask(sqlx::query_scalar(last).fetch_one(sources.database.questions())).await;
    // Without the database the gauge keeps its value: the time of a heartbeat stays true.
    if let Some(Some(at)) = last {
        metrics::gauge!("heartbeat_timestamp_seconds").set(seconds(at));
    }
    handle.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()).into_response()
}

/// Seconds since 1970, as Prometheus writes times.
fn seconds(time: OffsetDateTime) -> f64 {
    (time - OffsetDateTime::UNIX_EPOCH).as_seconds_f64()
}
