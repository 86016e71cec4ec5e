//! CloudWatch's GetMetricData as far as the console needs it: RPC v2 with CBOR ("Smithy RPC v2 CBOR protocol"). The emulator
//! has none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;

/// Serves on a loopback port until the test's runtime ends.
pub struct CloudWatchStub {
    pub endpoint: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// A query's points, by minutes since 1970, and whether they are all.
    series: BTreeMap<String, (Vec<(u64, f64)>, bool)>,
    failure: Option<(u16, &'static str)>,
    /// What was asked, its texts legible.
    calls: Vec<String>,
}

impl CloudWatchStub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<Mutex<Shared>>::default();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, shared }
    }

    /// What it answers to the query of this id; to others it says that there is nothing.
    pub fn says(&self, id: &str, points: Vec<(u64, f64)>) {
        self.shared.lock().unwrap().series.insert(id.to_owned(), (points, true));
    }

    /// The same, and that there is more.
    pub fn says_in_part(&self, id: &str, points: Vec<(u64, f64)>) {
        self.shared.lock().unwrap().series.insert(id.to_owned(), (points, false));
    }

    /// What it answers to everything.
    pub fn fails(&self, status: u16, code: &'static str) {
        self.shared.lock().unwrap().failure = Some((status, code));
    }

    /// What it was asked, one text a call.
    pub fn calls(&self) -> Vec<String> {
        self.shared.lock().unwrap().calls.clone()
    }
}

async fn serve(State(shared): State<Arc<Mutex<Shared>>>, body: Bytes) -> Response {
    let mut shared = shared.lock().unwrap();
    let asked = String::from_utf8_lossy(&body).into_owned();
    let (status, answer) = match shared.failure {
        Some((status, code)) => (status, map(&[("__type", text(code)), ("message", text("no"))])),
        None => (200, shared.answer(&asked)),
    };
    shared.calls.push(asked);
    let headers = [
        (header::CONTENT_TYPE, "application/cbor"),
        (header::HeaderName::from_static("smithy-protocol"), "rpc-v2-cbor"),
    ];
    (StatusCode::from_u16(status).unwrap(), headers, answer).into_response()
}

impl Shared {
    /// One result for each id that the request names: an id is a text behind the key `Id`.
    fn answer(&self, asked: &str) -> Vec<u8> {
        // A short text begins with a byte that has its length (RFC 8949, 3.1).
        let ids = asked.split("bId").skip(1).filter_map(|rest| {
            let length = u32::from(rest.chars().next()?).checked_sub(0x60)?;
            Some(rest.chars().skip(1).take(usize::try_from(length).ok()?).collect::<String>())
        });
        let none = (Vec::new(), true);
        let results: Vec<Vec<u8>> = ids
            .map(|id| {
                let (points, is_whole) = self.series.get(&id).unwrap_or(&none);
                let times = points.iter().rev().map(|(minute, _)| time(minute * 60)).collect::<Vec<_>>();
                let values = points.iter().rev().map(|(_, value)| double(*value)).collect::<Vec<_>>();
                let status = if *is_whole { "Complete" } else { "PartialData" };
                map(&[
                    ("Id", text(&id)),
                    ("Label", text(&id)),
                    ("Timestamps", array(&times)),
                    ("Values", array(&values)),
                    ("StatusCode", text(status)),
                ])
            })
            .collect();
        map(&[("MetricDataResults", array(&results))])
    }
}

/// A major type with its argument (RFC 8949, 3).
fn head(major: u8, argument: usize) -> Vec<u8> {
    match u8::try_from(argument) {
        Ok(small @ ..=23) => vec![major << 5 | small],
        Ok(byte) => vec![major << 5 | 24, byte],
        Err(_) => [vec![major << 5 | 26], u32::try_from(argument).unwrap().to_be_bytes().to_vec()].concat(),
    }
}

fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len()), items.concat()].concat()
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(key, value)| [text(key), value.clone()]);
    let entries: Vec<Vec<u8>> = entries.collect();
    [head(5, entries.len() / 2), entries.concat()].concat()
}

fn double(value: f64) -> Vec<u8> {
    [vec![7 << 5 | 27], value.to_be_bytes().to_vec()].concat()
}

/// Seconds since 1970, tagged as a time.
fn time(seconds: u64) -> Vec<u8> {
    [vec![6 << 5 | 1], double(f64::from(u32::try_from(seconds).unwrap()))].concat()
}
