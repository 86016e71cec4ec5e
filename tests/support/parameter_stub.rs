//! SSM's parameters as far as the triggers need one: numbered versions, unconditional puts, and moments at which another
//! process writes. The emulator has these too, but no moments.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cognito_user_sync::aws;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const NAME: &str = "/user-sync/triggers";

/// The parameter [`NAME`], served on a loopback port until the test's runtime ends.
pub struct ParameterStub {
    pub client: Client,
    pub endpoint: String,
    shared: Arc<Mutex<Stub>>,
}

/// What the server holds, for tests to see and to change.
#[derive(Default)]
pub struct Stub {
    /// Its values; the first one is version 1.
    pub versions: Vec<String>,
    /// The operations that are refused.
    pub denied: Vec<&'static str>,
    /// So many puts meet another one.
    pub busy: u32,
    /// What another process writes a moment before each of the next puts.
    pub before_put: VecDeque<String>,
    /// What another process writes once this version has been read.
    pub after_get_of: Option<(usize, String)>,
    /// How long each request may take, at random.
    pub latency: Duration,
    pub requests: Vec<String>,
}

impl ParameterStub {
    /// With an empty value, as the construct makes it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Stub { versions: vec!["{}".to_owned()], ..Stub::default() }));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { client: client(&endpoint), endpoint, shared }
    }

    pub fn stub(&self) -> MutexGuard<'_, Stub> {
        self.shared.lock().unwrap()
    }

    /// The newest value.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.stub().versions.last().unwrap()).unwrap()
    }
}

pub fn client(endpoint: &str) -> Client {
    let config = aws_sdk_ssm::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws::http_client())
        .build();
    Client::from_conf(config)
}

async fn serve(State(shared): State<Arc<Mutex<Stub>>>, headers: HeaderMap, body: Bytes) -> Response {
    let operation = headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap().to_owned();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let latency = shared.lock().unwrap().latency;
    // Before and after, so that requests overtake each other both ways.
    tokio::time::sleep(latency.mul_f64(fastrand::f64())).await;
    let answered = shared.lock().unwrap().answer(&operation, &request);
    tokio::time::sleep(latency.mul_f64(fastrand::f64())).await;
    match answered {
        Ok(answer) => answer.to_string().into_response(),
        Err(code) => {
            (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "" }).to_string()).into_response()
        }
    }
}

impl Stub {
    fn answer(&mut self, operation: &str, request: &Value) -> Result<Value, &'static str> {
        self.requests.push(operation.to_owned());
        if self.denied.contains(&operation) {
            return Err("AccessDeniedException");
        }
        let name = request["Name"].as_str().unwrap();
        let (name, version) = name.split_once(':').map_or((name, None), |(name, at)| (name, Some(at)));
        if name != NAME {
            return Err("ParameterNotFound");
        }
        match operation {
            "GetParameter" => self.get(version),
            "PutParameter" => self.put(request),
            _ => Err("InvalidAction"),
        }
    }

    fn get(&mut self, version: Option<&str>) -> Result<Value, &'static str> {
        if self.versions.is_empty() {
            return Err("ParameterNotFound");
        }
        let number = version.map_or(self.versions.len(), |version| version.parse().unwrap());
        let value =
            number.checked_sub(1).and_then(|at| self.versions.get(at)).filter(|value| !value.is_empty());
        let value = value.ok_or("ParameterVersionNotFound")?.clone();
        if let Some((_, next)) = self.after_get_of.take_if(|(of, _)| version.is_none() && *of == number) {
            self.versions.push(next);
        }
        Ok(json!({ "Parameter": { "Name": NAME, "Type": "String", "Value": value, "Version": number } }))
    }

    fn put(&mut self, request: &Value) -> Result<Value, &'static str> {
        if self.busy > 0 {
            self.busy -= 1;
            return Err("TooManyUpdates");
        }
        if !self.versions.is_empty() && request["Overwrite"] != true {
            return Err("ParameterAlreadyExists");
        }
        let value = request["Value"].as_str().unwrap();
        assert!(value.len() <= 4_096, "a standard parameter holds no more");
        self.versions.extend(self.before_put.pop_front());
        self.versions.push(value.to_owned());
        Ok(json!({ "Version": self.versions.len(), "Tier": "Standard" }))
    }
}
