//! The load balancers' public keys, asked for when a token names one, and kept. Must not know what a key is for.
//!
//! Whoever reaches the console can name any key. So questions go one at a time, an answer is kept whether there is the key
//! or not, and a key that is known is found without waiting. A key host that does not answer lets nobody in.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::http::{Request, StatusCode};
use bytes::Bytes;
use cognito_user_sync_triggers::http;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use hyper_util::rt::TokioExecutor;
use tower_service::Service;

use super::token::Key;

/// How long the key host may take for an answer: looking up its name, TLS and all.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// How long a visitor waits for those before it, and then for its own answer.
const WAIT_LIMIT: Duration = Duration::from_secs(6);

/// How long a key is believed. A key that AWS takes back is believed for so long.
const KEPT_FOR: Duration = Duration::from_secs(12 * 3_600);

/// How long "there is no such key" is believed.
const MISSING_FOR: Duration = Duration::from_secs(60);

/// How long a key host that did not answer is left alone.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// How many answers are kept of each kind; a Region has a few keys.
const ANSWERS_MAX: usize = 64;

/// The longest answer that is read; a key has some 180 bytes.
const ANSWER_MAX_BYTES: usize = 4_096;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// This is it.
    Key(Key),
    /// The key host says that there is none.
    Missing,
    /// Nobody can say now.
    Unknown,
}

#[derive(Debug, Default)]
struct Answers {
    keys: Vec<(String, Key, Instant)>,
    missing: Vec<(String, Instant)>,
    silent_since: Option<Instant>,
}

/// The keys of one Region's load balancers.
#[derive(Debug)]
pub(super) struct Keys {
    /// What stands before a key's id.
    base: String,
    client: Client<HttpsConnector<HttpConnector<Dial>>, Empty<Bytes>>,
    answers: Mutex<Answers>,
    /// Whoever holds it asks.
    turn: tokio::sync::Mutex<()>,
}

impl Keys {
    /// `base` begins by `https://`. With an address, that is dialled in place of the host's own: the certificate must be
    /// of the host's name all the same.
    pub(super) fn at(base: String, address: Option<SocketAddr>) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Dial(address));
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new().with_tls_config(http::tls()).https_only().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(https.wrap_connector(tcp));
        Self { base, client, answers: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The key of this id, which is harmless within a URL.
    pub(super) async fn find(&self, id: &str) -> Found {
        match self.known(id) {
            Some(found) => found,
            None => tokio::time::timeout(WAIT_LIMIT, self.ask_in_turn(id)).await.unwrap_or(Found::Unknown),
        }
    }

    async fn ask_in_turn(&self, id: &str) -> Found {
        let _turn = self.turn.lock().await;
        // Who was before us may have asked the same.
        if let Some(found) = self.known(id) {
            return found;
        }
        let found = match tokio::time::timeout(ASK_LIMIT, self.ask(id)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(error, "the host of the load balancer's keys did not answer");
                Found::Unknown
            }
            Err(_) => {
                tracing::warn!("the host of the load balancer's keys did not answer in time");
                Found::Unknown
            }
        };
        self.note(id, &found);
        found
    }

    /// Asks the key host. The error is what to log, and quotes no answer.
    async fn ask(&self, id: &str) -> Result<Found, String> {
        let uri = format!("{}/{id}", self.base);
        let request = Request::get(uri).body(Empty::new()).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| crate::logging::causes(&error))?;
        match response.status() {
            StatusCode::OK => {}
            // S3, which keeps them, says either of what there is not.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => return Ok(Found::Missing),
            other => return Err(format!("it answered {}", other.as_u16())),
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
        let body = body.map_err(|_| "its answer ended early, or is too long".to_owned())?.to_bytes();
        Key::from_pem(&body).map(Found::Key).ok_or_else(|| "what it answered is no key".to_owned())
    }

    fn known(&self, id: &str) -> Option<Found> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = answers.keys.iter().find(|(known, _, at)| known == id && at.elapsed() < KEPT_FOR);
        let is_missing =
            || answers.missing.iter().any(|(known, at)| known == id && at.elapsed() < MISSING_FOR);
        match key {
            Some((_, key, _)) => Some(Found::Key(key.clone())),
            None if is_missing() => Some(Found::Missing),
            None if answers.silent_since.is_some_and(|at| at.elapsed() < SILENT_FOR) => Some(Found::Unknown),
            None => None,
        }
    }

    fn note(&self, id: &str, found: &Found) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        answers.silent_since = matches!(found, Found::Unknown).then_some(now);
        match found {
            Found::Key(key) => {
                answers.keys.retain(|(known, _, _)| known != id);
                keep(&mut answers.keys, (id.to_owned(), key.clone(), now));
            }
            Found::Missing => {
                answers.missing.retain(|(known, _)| known != id);
                keep(&mut answers.missing, (id.to_owned(), now));
            }
            Found::Unknown => {}
        }
    }
}

/// Keeps the newest.
fn keep<T>(kept: &mut Vec<T>, newest: T) {
    if kept.len() >= ANSWERS_MAX {
        kept.remove(0);
    }
    kept.push(newest);
}

/// Finds the addresses of a host: its own, or the one that is set.
#[derive(Debug, Clone)]
struct Dial(Option<SocketAddr>);

impl Service<Name> for Dial {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let address = self.0;
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = match address {
                Some(address) => vec![address],
                // Port 0: the connector takes that of the URL.
                None => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
            };
            Ok(addresses.into_iter())
        })
    }
}
