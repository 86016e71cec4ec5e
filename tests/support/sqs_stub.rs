//! The part of SQS's protocol that a sender speaks, over TLS, in memory: what is tested or measured is the sender.
//! Counts what it was sent, so that a sender that fails is seen.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::Listener;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certified;

/// Where a machine's own authorities are: on Debian, and on Amazon Linux.
const BUNDLES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

pub struct SqsStub {
    pub endpoint: String,
    /// The authority of its certificate, as PEM.
    pub authority: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    sent: AtomicU64,
    last: Mutex<String>,
    /// The messages of SendMessageBatch.
    batches: Mutex<Vec<String>>,
    region: Mutex<String>,
}

impl SqsStub {
    /// Serves on a free port of this machine.
    pub async fn start() -> Self {
        let certified = Certified::of("localhost");
        let (authority, mut config) = (certified.authority.clone(), certified.config());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let shared = Arc::<Shared>::default();
        let router = Router::new()
            .fallback(post(answer))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let listener = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, authority, shared }
    }

    /// How many messages it was sent, and the last of them.
    pub fn sent(&self) -> (u64, String) {
        (self.shared.sent.load(Ordering::SeqCst), self.shared.last.lock().unwrap().clone())
    }

    /// Takes the messages that it was sent by SendMessageBatch.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.batches.lock().unwrap())
    }

    /// The Region that the last message was signed for.
    pub fn region(&self) -> String {
        self.shared.region.lock().unwrap().clone()
    }

    /// Writes the machine's own authorities and the stub's into a file: as many as there are on Lambda, since
    /// reading them is part of a cold start.
    pub fn bundle(&self, folder: &Path) -> PathBuf {
        let own = BUNDLES.iter().find_map(|bundle| std::fs::read_to_string(bundle).ok());
        let file = folder.join("authorities.pem");
        std::fs::write(&file, own.expect("ca-certificates are installed") + &self.authority).unwrap();
        file
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            // Somebody who does not trust it hangs up.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let operation = headers.get("x-amz-target").map(|target| target.as_bytes()).unwrap_or_default();
    let body = match operation {
        b"AmazonSQS.SendMessage" => {
            let request: Value = serde_json::from_slice(&body).unwrap();
            let message = request["MessageBody"].as_str().unwrap();
            let digest = Md5::digest(message.as_bytes());
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            message.clone_into(&mut shared.last.lock().unwrap());
            let signature = headers.get("authorization").and_then(|value| value.to_str().ok());
            let region = signature.and_then(|signature| signature.split('/').nth(2)).unwrap_or_default();
            region.clone_into(&mut shared.region.lock().unwrap());
            let number = shared.sent.fetch_add(1, Ordering::SeqCst);
            let id = format!("00000000-0000-4000-8000-{number:012x}");
            json!({ "MessageId": id, "MD5OfMessageBody": digest })
        }
        b"AmazonSQS.SendMessageBatch" => {
            let request: Value = serde_json::from_slice(&body).unwrap();
            let entries = request["Entries"].as_array().unwrap();
            let bodies: Vec<&str> =
                entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap()).collect();
            let bytes: usize = bodies.iter().map(|body| body.len()).sum();
            if entries.len() > 10 || bytes > 1_048_576 {
                return StatusCode::PAYLOAD_TOO_LARGE.into_response();
            }
            shared.sent.fetch_add(bodies.len() as u64, Ordering::SeqCst);
            shared.batches.lock().unwrap().extend(bodies.iter().map(|body| (*body).to_owned()));
            let successful = entries.iter().zip(bodies).map(|(entry, body)| {
                let digest: String = Md5::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
                json!({ "Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": digest })
            });
            json!({ "Successful": successful.collect::<Vec<_>>(), "Failed": [] })
        }
        b"AmazonSQS.GetQueueAttributes" => {
            json!({ "Attributes": { "QueueArn": "arn:aws:sqs:eu-west-1:111122223333:queue" } })
        }
        _ => return StatusCode::BAD_REQUEST.into_response(),
    };
    ([("content-type", "application/x-amz-json-1.0")], body.to_string()).into_response()
}
