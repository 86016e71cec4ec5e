//! The trigger beside the same in Python and in Node.js: what a start costs, what a login costs once it is warm, and
//! how much of that is the SDK's own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::sample::{Spread, percentile};
use crate::{drain, process};
use user_sync_test_support::binaries;
use user_sync_test_support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use user_sync_test_support::sqs_stub::SqsStub;

const PATIENCE: Duration = Duration::from_secs(30);
const EVENT: &str = include_str!("../../../triggers/fixtures/post_authentication_with_client_metadata.json");
/// How many invocations are made of one program before the next has its turn.
const TURN: usize = 100;

/// One program: how it starts, what it trusts.
struct Program {
    name: &'static str,
    path: PathBuf,
}

/// What one cold start came to.
struct Cold {
    /// From `exec` until it asks for its first invocation.
    init: Duration,
    init_cpu: Duration,
    /// From `exec` until the first invocation has been answered.
    total: Duration,
    total_cpu: Duration,
}

struct Bench {
    stub: SqsStub,
    environment: Vec<(&'static str, String)>,
}

impl Bench {
    fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    async fn cold(&self, program: &Program) -> Cold {
        let (sent, _) = self.stub.sent();
        let api = LambdaRuntimeApi::start().await;
        let environment = self.environment();
        let started = Instant::now();
        let function = Function::spawn(&program.path, &api, &environment);
        api.wait_until_ready(PATIENCE).await;
        let (init, init_cpu) = (started.elapsed(), process::cpu(function.pid()));
        let first = invoke(&api).await;
        let total_cpu = process::cpu(function.pid());
        self.expect_sent(program.name, sent + 1);
        Cold { init, init_cpu, total: init + first, total_cpu }
    }

    /// A comparison with a program that sends nothing is worth nothing.
    fn expect_sent(&self, name: &str, expected: u64) {
        let (sent, last) = self.stub.sent();
        assert_eq!(sent, expected, "messages sent by {name}");
        let last: Value = serde_json::from_str(&last).unwrap();
        assert_eq!(last["subject"], "abda62a8-5732-41ef-8c00-31d8dc083c34", "{name}");
        assert_eq!(last["data"]["client"]["ip"], "203.0.113.77", "{name}");
    }
}

/// Invokes it once, and returns how long that took; it must answer with the event. It waits for an invocation by then,
/// as a function does whom no other login keeps busy.
async fn invoke(api: &LambdaRuntimeApi) -> Duration {
    api.wait_until_ready(PATIENCE).await;
    match api.invoke(EVENT, PATIENCE).await {
        Invocation::Response { body, elapsed } => {
            let (answer, event): (Value, Value) =
                (serde_json::from_slice(&body).unwrap(), serde_json::from_str(EVENT).unwrap());
            assert_eq!(answer, event);
            elapsed
        }
        other @ (Invocation::Error { .. } | Invocation::TimedOut) => panic!("{other:?}"),
    }
}

/// Sends messages by the SDK alone, on a thread and a runtime of its own, as a program of its own would.
struct Bare {
    turns: std::sync::mpsc::Sender<usize>,
    times: mpsc::UnboundedReceiver<Vec<f64>>,
}

impl Bare {
    fn start(stub: &SqsStub, body: String) -> Self {
        let trust = TrustStore::empty().with_pem_certificate(stub.authority.as_bytes());
        let context = TlsContext::builder().with_trust_store(trust).build().unwrap();
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context)
            .build_https();
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(&stub.endpoint)
            .region(Region::from_static("eu-west-1"))
            .credentials_provider(Credentials::for_tests_with_session_token())
            .build();
        let (client, queue_url) = (Client::from_conf(config), queue_url(stub));
        let (turns, asked) = std::sync::mpsc::channel::<usize>();
        let (answer, times) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            while let Ok(count) = asked.recv() {
                let times = runtime.block_on(async {
                    let mut times = Vec::with_capacity(count);
                    for _ in 0..count {
                        let started = Instant::now();
                        let request = client.send_message().queue_url(&queue_url).message_body(&body);
                        request.send().await.unwrap();
                        times.push(started.elapsed().as_secs_f64() * 1e3);
                    }
                    times
                });
                answer.send(times).unwrap();
            }
        });
        Self { turns, times }
    }

    async fn send(&mut self, count: usize) -> Vec<f64> {
        self.turns.send(count).unwrap();
        self.times.recv().await.unwrap()
    }
}

fn queue_url(stub: &SqsStub) -> String {
    format!("{}/111122223333/queue", stub.endpoint)
}

fn milliseconds(times: impl Iterator<Item = Duration>) -> Spread {
    Spread::of(&times.map(|time| time.as_secs_f64() * 1e3).collect::<Vec<_>>())
}

/// The median and the 99th percentile, in milliseconds.
fn percentiles(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    (percentile(&times, 0.5), percentile(&times, 0.99))
}

/// Keeps this thread, and the threads and processes that it starts from now on, on one core. Else the figures say whom
/// the kernel put on the core of those who answer: to wake the other one costs tens of microseconds.
fn stay_on_this_core() {
    let mut core = CpuSet::new();
    core.set(sched_getcpu());
    sched_setaffinity(None, &core).unwrap();
}

/// Compares on a thread that ends with it, and one runtime: Lambda's Runtime API and SQS hand nothing from thread to
/// thread.
pub(crate) fn run(quick: bool, peers: &Path) -> Value {
    std::thread::scope(|scope| {
        let comparing = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(compare(quick, peers))
        });
        comparing.join().unwrap()
    })
}

async fn compare(quick: bool, peers: &Path) -> Value {
    let (starts, invocations) = if quick { (3, 200) } else { (15, 2_000) };
    let trigger = binaries::trigger();
    let binary_bytes = std::fs::metadata(&trigger).unwrap().len();
    let programs = [
        Program { name: "user-sync-trigger", path: trigger },
        Program { name: "Python, boto3", path: drain::peer("trigger", true, peers) },
        Program { name: "Node.js, SDK v3", path: drain::peer("trigger", false, peers) },
    ];
    let folder = tempfile::tempdir().unwrap();
    let stub = SqsStub::start().await;
    let (bundle, own) = (stub.bundle(folder.path()), folder.path().join("authority.pem"));
    std::fs::write(&own, &stub.authority).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let environment = vec![
        ("AWS_ENDPOINT_URL_SQS", stub.endpoint.clone()),
        ("USER_SYNC_QUEUE_URL", queue_url(&stub)),
        ("SSL_CERT_FILE", text(&bundle)),
        ("AWS_CA_BUNDLE", text(&bundle)),
        // Node.js adds it to the authorities that it has within itself.
        ("NODE_EXTRA_CA_CERTS", text(&own)),
    ];
    let bench = Bench { stub, environment };

    let mut colds = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..=starts {
        for (program, colds) in programs.iter().zip(&mut colds) {
            colds.push(bench.cold(program).await);
        }
    }
    stay_on_this_core();
    let environment = bench.environment();
    let mut running = Vec::new();
    for program in &programs {
        let api = LambdaRuntimeApi::start().await;
        let function = Function::spawn(&program.path, &api, &environment);
        api.wait_until_ready(PATIENCE).await;
        for _ in 0..TURN {
            invoke(&api).await;
        }
        running.push((api, function));
    }
    let (_, body) = bench.stub.sent();
    let mut bare = Bare::start(&bench.stub, body);
    bare.send(TURN).await;
    let cpu = |function: &Function| process::cpu(function.pid());
    let mut spent: Vec<Duration> = running.iter().map(|(_, function)| cpu(function)).collect();
    let (mut warm, mut bare_times) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
    for _ in 0..invocations / TURN {
        for ((api, _), (program, times)) in running.iter().zip(programs.iter().zip(&mut warm)) {
            let (sent, _) = bench.stub.sent();
            for _ in 0..TURN {
                times.push(invoke(api).await.as_secs_f64() * 1e3);
            }
            bench.expect_sent(program.name, sent + TURN as u64);
        }
        bare_times.extend(bare.send(TURN).await);
    }
    for ((_, function), spent) in running.iter().zip(&mut spent) {
        *spent = cpu(function) - *spent;
    }
    let (bare_p50, bare_p99) = percentiles(bare_times);

    println!(
        "   {:<18} {:>8} {:>8} {:>9} {:>8} {:>9} {:>9} {:>9} {:>8}",
        "", "init", "CPU", "with 1st", "CPU", "warm p50", "p99", "CPU each", "RSS"
    );
    let mut rows = Vec::new();
    for (number, (program, colds)) in programs.iter().zip(&colds).enumerate() {
        // The first start of each found its files on the disk; on Lambda that is the platform's part.
        let colds = &colds[1..];
        let of = |figure: fn(&Cold) -> Duration| milliseconds(colds.iter().map(figure));
        let (init, init_cpu) = (of(|cold| cold.init), of(|cold| cold.init_cpu));
        let (total, total_cpu) = (of(|cold| cold.total), of(|cold| cold.total_cpu));
        let (p50, p99) = percentiles(std::mem::take(&mut warm[number]));
        let cpu_each = spent[number].as_secs_f64() * 1e3 / invocations as f64;
        let rss = process::peak_rss_mb(running[number].1.pid());
        println!(
            "   {:<18} {:>8.1} {:>8.1} {:>9.1} {:>8.1} {:>9.3} {:>9.3} {:>9.3} {:>8.1}",
            program.name,
            init.median,
            init_cpu.median,
            total.median,
            total_cpu.median,
            p50,
            p99,
            cpu_each,
            rss
        );
        rows.push(json!({
            "program": program.name, "init_ms": init, "init_cpu_ms": init_cpu,
            "cold_total_ms": total, "cold_total_cpu_ms": total_cpu,
            "warm_p50_ms": p50, "warm_p99_ms": p99, "warm_cpu_ms": cpu_each, "peak_rss_mb": rss,
        }));
    }
    println!("   {:<18} {:>45.3} {:>9.3}", "SendMessage alone", bare_p50, bare_p99);
    let ours = rows[0].clone();
    let over_bare = ours["warm_p50_ms"].as_f64().unwrap() - bare_p50;
    let cold = |row: &Value| row["cold_total_ms"]["median"].as_f64().unwrap();
    let mut ratios = Map::new();
    for peer in &rows[1..] {
        let ratio = cold(peer) / cold(&ours);
        println!("   cold: {ratio:.1} times as fast as {}", peer["program"].as_str().unwrap());
        ratios.insert(peer["program"].as_str().unwrap().to_owned(), ratio.into());
    }
    println!(
        "   warm: {over_bare:.3} ms above SendMessage alone; {:.2} MB to load",
        binary_bytes as f64 / 1e6
    );
    json!({
        "cold_times_as_fast_as": ratios, "warm_p50_above_bare_ms": over_bare,
        "binary_bytes": binary_bytes, "programs": rows, "invocations": invocations,
        "bare": { "p50_ms": bare_p50, "p99_ms": bare_p99 },
    })
}
