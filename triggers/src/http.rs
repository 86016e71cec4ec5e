//! HTTP/1.1 for the SDK, over rustls on ring. Knows neither AWS nor what is sent.
//!
//! The SDK's own client brings HTTP/2 and proxies, which are a tenth of the program and which nothing here uses. This
//! one is made of what the Lambda runtime is made of. (The SDK's default TLS, aws-lc, costs every fresh process 33 ms
//! of CPU.)

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::client::legacy::{Client, Error as HyperError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// A client that gives up connecting after so long, and keeps the connection of the last answer for the next request.
#[must_use]
pub fn client(connect: Duration) -> SharedHttpClient {
    let mut tcp = TcpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls())
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let connector =
        SharedHttpConnector::new(KeepsLast { within: Within { https, connect }, kept: Arc::default() });
    http_client_fn(move |_, _| connector.clone())
}

/// Trusts whom the machine trusts, or the file that `SSL_CERT_FILE` names. On ring, the only provider that is linked.
pub fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    // What cannot be read is trusted by nobody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// Each request that is under way has a pool of its own, and that of the last answer is kept.
///
/// In a pool for all, the connection of a request that was answered goes to one that waits for a connection, and is lost
/// with it when that one is dropped, since the answer is there. And of several connections that died while the function
/// was frozen, each would cost an attempt.
#[derive(Debug)]
struct KeepsLast {
    within: Within,
    kept: Arc<Mutex<Option<Pool>>>,
}

type Pool = Client<Within, SdkBody>;

impl KeepsLast {
    fn pool(&self) -> Pool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let made =
            || Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(self.within.clone());
        kept.unwrap_or_else(made)
    }
}

impl HttpConnector for KeepsLast {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (pool, kept) = (self.pool(), Arc::clone(&self.kept));
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = pool.request(request).await.map_err(failed)?;
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(pool);
            let response = HttpResponse::try_from(response.map(SdkBody::from_body_1_x));
            response.map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn failed(error: HyperError) -> ConnectorError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<Elapsed>() {
            break;
        }
        cause = error.source();
    }
    match cause {
        Some(_) => ConnectorError::timeout(error.into()),
        None => ConnectorError::io(error.into()),
    }
}

/// Connects within a limit: the name, the connection and TLS.
#[derive(Debug, Clone)]
struct Within {
    https: HttpsConnector<TcpConnector>,
    connect: Duration,
}

impl Service<http::Uri> for Within {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.connect, self.https.call(uri));
        Box::pin(async move { connecting.await? })
    }
}
