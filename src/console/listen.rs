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
pub(in crate::console) const CONNECTIONS_MAX: usize = 512;

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
    connections_max: usize,
    head_within: Duration,
    stop: impl Future<Output = ()> + Send,
) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_within);
    let (builder, room, graceful) =
        (Arc::new(builder), Arc::new(Semaphore::new(connections_max)), GracefulShutdown::new());
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_says_nothing_keeps_nobody_out_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { stopped.await.unwrap() };
        let served = tokio::spawn(serve(listener, router, 2, Duration::from_millis(300), stopped));
        let mut silent = Vec::new();
        for said in ["", "GET / HTTP/1.1\r\nHo"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            silent.push(stream);
        }
        // There is no room until they are put out.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
        for mut stream in silent {
            let mut rest = String::new();
            let read = stream.read_to_string(&mut rest).await;
            assert!(!rest.contains("hello"), "{read:?}: {rest}");
        }
        // One that waits for its next request does not keep the console from ending.
        let _idle = TcpStream::connect(address).await.unwrap();
        stop.send(()).unwrap();
        served.await.unwrap();
    }
}
