//! Takes connections: no more than the console can hold, and none for ever from who says nothing. Must not know a page.
//!
//! `axum::serve` has no such limits: a client that sends a byte a second would keep its connection, and any number of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// How many connections there are at most. Who comes then waits until one of them ends.
const CONNECTIONS_MAX: usize = 512;

/// How long a connection lasts, whatever is asked by it: who does not read an answer ends, too.
const CONNECTION_LASTS: Duration = Duration::from_secs(15 * 60);

/// How long what is under way may take when the console ends: a request is bounded by itself.
const END_WITHIN: Duration = Duration::from_secs(30);

/// How long to wait after a connection could not be taken, as where the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection waits for the whole head of its next request.
///
/// Behind a load balancer it must be longer than that keeps idle connections (60 s by default: "Edit attributes for your
/// Application Load Balancer"), or it sends a request by one that just ended.
pub(in crate::console) const fn head_within(is_behind_tls: bool) -> Duration {
    Duration::from_secs(if is_behind_tls { 75 } else { 15 })
}

/// Serves until `stop` completes, and then what is under way.
pub(in crate::console) async fn serve(
    listener: TcpListener,
    router: Router,
    head_within: Duration,
    stop: impl Future<Output = ()> + Send,
) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_within);
    let (builder, room, graceful) =
        (Arc::new(builder), Arc::new(Semaphore::new(CONNECTIONS_MAX)), GracefulShutdown::new());
    tokio::pin!(stop);
    loop {
        let taken = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            taken = taken => taken,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let (builder, router, watcher) = (Arc::clone(&builder), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            hold(&builder, stream, router, watcher).await;
        });
    }
    drop(listener);
    if timeout(END_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("the console ends before its connections have");
    }
}

async fn hold(builder: &Builder<TokioExecutor>, stream: TcpStream, router: Router, watcher: Watcher) {
    // Pages are small, and whoever waits for one waits for its last packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection cannot be told not to wait");
    }
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let served = watcher.watch(connection.into_owned());
    match timeout(CONNECTION_LASTS, served).await {
        // Who went away, said no HTTP, or was too slow.
        Ok(Err(error)) => tracing::debug!(error = %error, "a connection ended early"),
        Ok(Ok(())) => {}
        Err(_) => tracing::debug!("a connection has lasted long enough"),
    }
}

/// Of one connection nothing is to be said; what concerns all of them will not be over at once.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "no connection can be taken");
        sleep(PAUSE).await;
    }
}
