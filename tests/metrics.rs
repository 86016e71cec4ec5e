//! What the programs say of themselves: metrics that are right, health that is honest, and no personal data in
//! any of it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::support::conformance::invocation;
use crate::support::events::{at, login};
use crate::support::lambda_runtime_api::{FUNCTION_NAME, Function, Invocation, LambdaRuntimeApi};
use crate::support::{TestDatabase, binaries, deployment, eventually, send};

/// A worker with its endpoints; killed when dropped.
pub(crate) struct Worker {
    process: Child,
    stderr: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    pub(crate) fn start(env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binaries::user_sync());
        command.args(["worker", "--metrics-addr", "127.0.0.1:0"]).env_clear().envs(env.iter().copied());
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (lines, pipe) = (Arc::clone(&stderr), BufReader::new(process.stderr.take().unwrap()));
        std::thread::spawn(move || {
            pipe.lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line));
        });
        Self { process, stderr }
    }

    pub(crate) async fn address(&self) -> String {
        let find = || {
            let lines = self.stderr.lock().unwrap();
            let field = |line: &String| {
                let line: Value = serde_json::from_str(line).ok()?;
                Some(line.get("metrics.addr")?.as_str()?.to_owned())
            };
            lines.iter().find_map(field)
        };
        eventually("the worker says where it serves", Duration::from_secs(20), async || find().is_some())
            .await;
        find().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Three applied, of them one a heartbeat; a duplicate; one that can never be applied.
fn messages() -> Vec<String> {
    let first = login(1, at(1)).build().encode();
    let heartbeat = Event::heartbeat(EventId::new(Timestamp::now())).encode();
    vec![first.clone(), first, login(2, at(2)).build().encode(), heartbeat, "{".to_owned()]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_serves_what_it_counts() {
    // First: building it may take as long as a heartbeat stays fresh.
    binaries::user_sync();
    let deployment = deployment().await;
    send(&deployment, &messages()).await;
    let worker = Worker::start(&deployment.environment());
    let address = worker.address().await;
    let queue = deployment.queue();
    eventually("the queue is drained", Duration::from_secs(30), async || queue.backlog().await == Ok(0))
        .await;
    let sample = |name: &str| {
        let (_, text) = get(&address, "/metrics");
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
    };
    // Deleted comes after counted, but for the batch's own numbers.
    eventually("the batch is counted", Duration::from_secs(10), async || {
        sample("user_sync_applied_total") == Some(3.0)
    })
    .await;
    assert_eq!(sample("user_sync_duplicates_total"), Some(1.0));
    assert_eq!(sample("user_sync_rejected_total{reason=\"malformed\"}"), Some(1.0));
    assert_eq!(sample("user_sync_heartbeats_total"), Some(1.0));
    assert_eq!(sample("user_sync_freshness_seconds_count"), Some(3.0));
    assert!(sample("user_sync_freshness_seconds_sum").unwrap() > 86_400.0, "two of them are of yesterday");
    assert!(sample("user_sync_apply_duration_seconds_count").unwrap() >= 1.0);
    assert!(sample("user_sync_batch_messages_count").unwrap() >= 1.0);
    let heartbeat = sample("user_sync_heartbeat_timestamp_seconds").unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 600.0..=now + 1.0).contains(&heartbeat), "{heartbeat}");
    assert_eq!(get(&address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(&address, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(&address, "/").0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_database_is_alive_and_not_ready() {
    let deployment = deployment().await;
    let nowhere = "postgres://u:hunter2@127.0.0.1:9/x";
    let env = [&deployment.environment()[..], &[("DATABASE_URL", nowhere)]].concat();
    let worker = Worker::start(&env);
    let address = worker.address().await;
    assert_eq!(get(&address, "/healthz").0, 200);
    let (status, text) = get(&address, "/readyz");
    assert_eq!((status, text.as_str()), (503, "the database is unavailable, or not migrated\n"));
    assert_eq!(get(&address, "/metrics").0, 200);
    assert!(!worker.stderr.lock().unwrap().join("\n").contains("hunter2"));
}

/// What the image and the construct's task run, which have no curl.
#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_asks_the_worker_that_runs_and_does_not_wait_for_long() {
    let deployment = deployment().await;
    let worker = Worker::start(&deployment.environment());
    let address = worker.address().await;
    let health = |address: &str| {
        let mut command = Command::new(binaries::user_sync());
        command.arg("health").env_clear().env("USER_SYNC_METRICS_ADDR", address).stdin(Stdio::null());
        let output = command.output().unwrap();
        let [said, why] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), said, why)
    };
    let well = (Some(0), "ok\n".to_owned(), String::new());
    assert_eq!(health(&address), well);
    assert_eq!(health(&address.replace("127.0.0.1", "0.0.0.0")), well);
    drop(worker);
    let (code, said, why) = health(&address);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(why.contains(&format!("no worker answers on {address}")), "{why}");

    // One that says that it is not well.
    let unwell = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unwell.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = unwell.accept().unwrap();
        let mut request = [0; 1_024];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET /healthz HTTP/1.1\r\n"));
        write!(stream, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 6\r\n\r\nstuck\n").unwrap();
    });
    let (code, _, why) = health(&address);
    assert_eq!(code, Some(1));
    assert!(why.contains("the worker is not well: 503 stuck"), "{why}");

    // One that hangs.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let started = std::time::Instant::now();
    let (code, _, why) = health(&silent.local_addr().unwrap().to_string());
    assert!(code == Some(1) && why.contains("no answer from"), "{why}");
    let waited = started.elapsed();
    assert!((2..5).contains(&waited.as_secs()), "{waited:?}: the container's limit is 5 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lambda_writes_embedded_metrics_within_their_limit() {
    let deployment = deployment().await;
    let api = LambdaRuntimeApi::start().await;
    let mut function = Function::spawn(&binaries::consumer(), &api, &deployment.environment());
    let many = (0..250_u64).map(|n| login(3, at(n)).build().encode());
    let bodies: Vec<String> = messages().into_iter().chain(many).collect();
    let Invocation::Response { .. } = api.invoke(invocation(&bodies), Duration::from_secs(60)).await else {
        panic!("the consumer failed");
    };
    function.kill();
    let stdout = function.stdout_lines();
    let documents: Vec<Value> = stdout.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let value = |name: &str| documents.iter().find_map(|document| document.get(name)).cloned();
    assert_eq!(value("applied"), Some(json!(253)), "{stdout:?}");
    assert_eq!(value("duplicates"), Some(json!(1)));
    assert_eq!(value("heartbeats"), Some(json!(1)));
    let rejected = documents.iter().find(|document| document.get("rejected").is_some()).unwrap();
    assert_eq!((&rejected["rejected"], &rejected["reason"]), (&json!(1), &json!("malformed")));
    let freshness = value("freshness").unwrap();
    let ages: Vec<f64> = freshness.as_array().unwrap().iter().map(|age| age.as_f64().unwrap()).collect();
    assert!(ages.len() <= 100 && ages.iter().any(|age| *age < 600.0), "the youngest is kept: {ages:?}");
    assert_documents_are_of(&documents, FUNCTION_NAME);
    let stderr = function.stderr_lines();
    let settled: Vec<Value> = stderr
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "batch settled")
        .collect();
    assert_eq!(settled.len(), 1, "{stderr:?}");
    assert_eq!(settled[0]["batch.applied"], 253);
    assert_eq!(settled[0]["span"]["batch.messages"], 255, "the batch's lines are in its span");
}

/// Two deployments in one account are told apart by it.
fn assert_documents_are_of(documents: &[Value], service: &str) {
    assert!(!documents.is_empty());
    for document in documents {
        let metrics = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(metrics["Namespace"], "UserSync", "{document}");
        assert_eq!(metrics["Dimensions"][0][0], "service", "{document}");
        assert_eq!(document["service"], service, "{document}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_under_cloudwatch_writes_embedded_metrics_within_their_limit() {
    let deployment = deployment().await;
    let many = (0..250_u64).map(|n| login(3, at(n)).build().encode());
    send(&deployment, &messages().into_iter().chain(many).collect::<Vec<_>>()).await;
    let worked = Command::new(binaries::user_sync())
        .args(["worker", "--until-empty", "--metrics-addr", "127.0.0.1:0"])
        .env_clear()
        .envs(deployment.environment())
        .env("USER_SYNC_EMF_SERVICE", "UserSync-worker")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(worked.status.success(), "{}", String::from_utf8_lossy(&worked.stderr));
    let stdout = String::from_utf8(worked.stdout).unwrap();
    let documents: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_documents_are_of(&documents, "UserSync-worker");
    let values = |name: &str| documents.iter().filter_map(|document| document.get(name)).collect::<Vec<_>>();
    assert_eq!(values("applied"), [&json!(253)], "{stdout}");
    assert_eq!(values("heartbeats"), [&json!(1)]);
    let freshness = values("freshness")[0].as_array().unwrap();
    assert_eq!(freshness.len(), 100, "as many as CloudWatch takes");
}

/// Every value in the fixtures that could tell who somebody is.
fn personal_values() -> BTreeSet<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/triggers/fixtures");
    let mut values = BTreeSet::new();
    for (_, fixture) in fixtures(directory) {
        let Ok(fixture) = serde_json::from_str::<Value>(&fixture) else { continue };
        let request = &fixture["request"];
        let maps = [&request["userAttributes"], &request["clientMetadata"], &request["validationData"]];
        for (name, value) in maps.into_iter().filter_map(Value::as_object).flatten() {
            // The sub is the key of everything, and a status or a flag is nobody's.
            let is_common = name == "sub" || name.contains("status") || name.ends_with("_verified");
            values.extend(value.as_str().filter(|_| !is_common).map(str::to_owned));
        }
        values.extend(fixture["userName"].as_str().map(str::to_owned));
    }
    // Short or plain words would be found anywhere.
    let common = ["Mobile", "Desktop", "Tablet", "mobile", "desktop", "tablet", "female", "production"];
    let is_telling = |value: &String| value.len() >= 6 && !common.contains(&value.as_str());
    values.into_iter().filter(is_telling).filter(|value| uuid::Uuid::try_parse(value).is_err()).collect()
}

fn fixtures(directory: &str) -> Vec<(String, String)> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_and_no_metric_of_a_full_run_says_who_anybody_is() {
    let personal = personal_values();
    assert!(personal.len() > 60, "{personal:?}");
    let deployment = deployment().await;
    // As talkative as an operator can make them.
    let env = [&deployment.environment()[..], &[("USER_SYNC_LOG", "trace"), ("RUST_LOG", "trace")]].concat();
    let api = LambdaRuntimeApi::start().await;
    let mut trigger = Function::spawn(&binaries::trigger(), &api, &env);
    api.wait_until_ready(Duration::from_secs(20)).await;
    for (name, fixture) in fixtures(concat!(env!("CARGO_MANIFEST_DIR"), "/triggers/fixtures")) {
        let answered = api.invoke(fixture, Duration::from_secs(5)).await;
        assert!(matches!(answered, Invocation::Response { .. }), "{name}");
    }
    trigger.kill();
    // Damaged in every way: cut, of another version, over the limits, of another time.
    let good =
        login(1, at(1)).email("somebody@example.com").attributes(&[("name", "Some Body")]).build().encode();
    let bad = [
        good.get(..good.len() - 7).unwrap().to_owned(),
        good.replace("\"schemaversion\":1", "\"schemaversion\":99"),
        good.replace("\"1.0\"", "\"somebody@example.com\""),
        good.replace("Some Body", &"somebody@example.com".repeat(2_000)),
        good.replace("user.authenticated", "somebody@example.com"),
    ];
    send(&deployment, &bad).await;
    let queued = deployment.queue().backlog().await.unwrap();
    assert!(queued > 30, "{queued}");
    let api = LambdaRuntimeApi::start().await;
    let mut consumer = Function::spawn(&binaries::consumer(), &api, &env);
    // What is no batch is failed whole, and the next one is served.
    for none in ["", "somebody@example.com", r#"{"Records":"somebody@example.com"}"#] {
        let failed = api.invoke(none, Duration::from_secs(60)).await;
        let Invocation::Error { body, .. } = failed else { panic!("{none:?}: {failed:?}") };
        let said = String::from_utf8(body).unwrap();
        assert!(
            said.contains("not a batch of SQS records (line 1") && !said.contains("example.com"),
            "{said}"
        );
    }
    let Invocation::Response { .. } =
        api.invoke(invocation(&[&bad[..], &[good]].concat()), Duration::from_secs(60)).await
    else {
        panic!("the consumer failed");
    };
    consumer.kill();
    let worker = Worker::start(&env);
    let address = worker.address().await;
    let queue = deployment.queue();
    eventually("the queue is drained", Duration::from_secs(60), async || queue.backlog().await == Ok(0))
        .await;
    let (_, metrics) = get(&address, "/metrics");
    let database = TestDatabase::of(deployment).await;
    assert!(database.count("users").await > 10, "the run was a full one");

    let worker_lines = worker.stderr.lock().unwrap().clone();
    let said = [
        ("trigger's stdout", trigger.stdout_lines()),
        ("trigger's stderr", trigger.stderr_lines()),
        ("consumer's stdout", consumer.stdout_lines()),
        ("consumer's stderr", consumer.stderr_lines()),
        ("worker's stderr", worker_lines),
        ("worker's metrics", vec![metrics]),
    ];
    assert!(said.iter().map(|(_, lines)| lines.len()).sum::<usize>() > 100, "they were talkative");
    for (whose, lines) in &said {
        for line in lines {
            let found = personal.iter().map(String::as_str).chain(["somebody@", "Some Body"]);
            let found: Vec<&str> = found.filter(|value| line.contains(value)).collect();
            assert!(found.is_empty(), "{found:?} in the {whose}: {line:.300}");
        }
    }
}
