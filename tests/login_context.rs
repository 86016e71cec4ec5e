//! The application's own word of where a login came from: the examples of `docs/examples`, which really run: their
//! frameworks, AWS's SDKs, an emulated user pool and a real queue. What they send is read as the consumer reads it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_sdk_cognitoidentityprovider::types::ExplicitAuthFlowsType;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cognito_user_sync_triggers::event::{Context, ContextEvent, Event, EventId, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use crate::support::pool::TestPool;
use crate::support::{deployment, eventually, take};

/// The example in Rust, as it stands in the documents.
#[path = "../docs/examples/rust/login_context.rs"]
#[allow(unreachable_pub, reason = "elsewhere it may be reached")]
pub(crate) mod rust;

const LIMIT: Duration = Duration::from_secs(60);
/// Whoever waited for the queue would have waited for this long at least, by the shortest limit of the examples.
const SHORT: Duration = Duration::from_secs(2);
const BROWSER: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const PASSWORD: &str = "Correct-horse-7";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples")
}

/// Where the packages are that the examples need; they are fetched where they are not there.
fn packages() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let made = Command::new("make")
            .args(["--silent", "--no-print-directory", "example-packages"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("make runs");
        assert!(made.status.success(), "the packages of docs/examples cannot be fetched");
        String::from_utf8(made.stdout).unwrap().lines().last().unwrap().into()
    })
}

/// An example that is a program of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Example {
    Python,
    Node,
}

impl Example {
    const ALL: [Self; 2] = [Self::Python, Self::Node];

    /// What runs this text beside the example, in a folder that holds it.
    fn runs(self, folder: &Path, text: &str) -> tokio::process::Command {
        let mut command = match self {
            Self::Python => {
                let mut command = tokio::process::Command::new(packages().join("python/bin/python"));
                command.args(["-B", "-c", text]).current_dir(examples().join("python"));
                command
            }
            Self::Node => {
                // A module finds what it imports beside itself.
                let modules = packages().join("node/node_modules");
                std::os::unix::fs::symlink(modules, folder.join("node_modules")).unwrap();
                std::fs::copy(examples().join("node/app.mjs"), folder.join("app.mjs")).unwrap();
                let mut command = tokio::process::Command::new("node");
                command.args(["--input-type=module", "-e", text]).current_dir(folder);
                command
            }
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            // boto3 knows the second one only.
            .envs([("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-1")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// The messages that it makes of these claims, addresses and user agents.
    async fn messages(self, cases: &Value) -> Vec<Value> {
        let text = match self {
            Self::Python => {
                "import json, sys, app\nprint(json.dumps([app.login_context(*case) for case in json.load(sys.stdin)]))"
            }
            Self::Node => {
                "import { loginContext } from './app.mjs'; import { readFileSync } from 'node:fs';
                 const cases = JSON.parse(readFileSync(0, 'utf8'));
                 console.log(JSON.stringify(cases.map((of) => loginContext(of[0], of[1], of[2] ?? undefined))));"
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let mut child = self.runs(folder.path(), text).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(cases.to_string().as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// What the consumer reads.
fn read(message: &str) -> ContextEvent<'static> {
    match Event::decode(message).map(Event::into_owned) {
        Ok(Event::Context(event)) => event,
        other => panic!("{other:?}: {message}"),
    }
}

/// What the documents say that a login's message is.
fn expected(claims: &Value, ip: &str, user_agent: Option<&str>) -> ContextEvent<'static> {
    let text = |name: &str| claims[name].as_str().unwrap().to_owned();
    let digest = Sha256::digest(format!("application:{}", text("jti")));
    let time = Timestamp::from_unix_millis(claims["auth_time"].as_u64().unwrap() * 1_000);
    ContextEvent {
        id: EventId::of_record(time, u128::from_be_bytes(digest[..16].try_into().unwrap())),
        user_pool_id: text("iss").rsplit('/').next().unwrap().to_owned().into(),
        sub: Some(text("sub").parse().unwrap()),
        data: Context {
            client_id: Some(text("client_id").into()),
            ip: Some(ip.to_owned().into()),
            user_agent: user_agent.map(|text| text.chars().take(1_024).collect::<String>().into()),
            ..Context::by(Reporter::Application)
        },
    }
}

fn claims(jti: &str, auth_time: u64) -> Value {
    json!({
        "sub": "abda62a8-5732-41ef-8c00-31d8dc083c34", "token_use": "access", "scope": "aws.cognito.signin.user.admin",
        "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc123Def", "client_id": "4k2m8r1s7t0v9w3x5y6z1a2b3c",
        "auth_time": auth_time, "iat": auth_time + 1, "exp": auth_time + 3_600, "jti": jti, "username": "jo",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_makes_the_same_message_of_the_same_login() {
    let long = format!("{}{}", "é".repeat(1_030), "x".repeat(3_000));
    let now = Timestamp::now().unix_millis() / 1_000;
    let cases = [
        (claims("5a0b6b4e-6f0b-4a52-8d2f-0b6b4e6f0b4a", now), "203.0.113.9", Some(BROWSER)),
        (claims("00000000-0000-0000-0000-000000000000", 0), "2001:db8::7", None),
        (claims("é", 253_402_300_799), "192.0.2.1", Some(long.as_str())),
        // The same login; and another one in the same second.
        (claims("5a0b6b4e-6f0b-4a52-8d2f-0b6b4e6f0b4a", now), "203.0.113.9", Some(BROWSER)),
        (claims("6a0b6b4e-6f0b-4a52-8d2f-0b6b4e6f0b4a", now), "203.0.113.9", Some(BROWSER)),
    ];
    let wanted: Vec<_> = cases.iter().map(|(claims, ip, agent)| expected(claims, ip, *agent)).collect();
    assert_eq!(wanted[0], wanted[3]);
    assert_ne!(wanted[0].id, wanted[4].id);
    let in_rust = cases.iter().map(|(claims, ip, agent)| {
        let message = rust::login_context(claims, ip.parse::<IpAddr>().unwrap(), *agent);
        read(&message.unwrap().to_string())
    });
    assert_eq!(in_rust.collect::<Vec<_>>(), wanted);
    for example in Example::ALL {
        let messages = example.messages(&json!(cases)).await;
        let made: Vec<_> = messages.iter().map(|message| read(&message.to_string())).collect();
        assert_eq!(made, wanted, "{example:?}");
    }
    // What is no access token is none, and nobody's error.
    for broken in [json!({}), json!({ "auth_time": "now" }), json!({ "auth_time": u64::MAX, "jti": "a" })] {
        assert_eq!(rust::login_context(&broken, IpAddr::from([192, 0, 2, 1]), None), None);
    }
}

/// What the document shows is what is sent of a login of then.
#[test]
fn the_message_of_the_document_is_one() {
    let document = include_str!("../docs/login-context.md");
    let (_, rest) = document.split_once("<!-- message:begin -->\n```json\n").unwrap();
    let (message, _) = rest.split_once("```\n<!-- message:end -->").unwrap();
    let claims = claims("5a0b6b4e-6f0b-4a52-8d2f-0b6b4e6f0b4a", 1_796_037_600);
    let user_agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)";
    assert_eq!(read(message), expected(&claims, "203.0.113.9", Some(user_agent)));
    for example in ["python/app.py", "node/app.mjs", "rust/login_context.rs"] {
        assert!(document.contains(&format!("(examples/{example})")) && examples().join(example).exists());
    }
}

/// An example as a server.
struct Backend {
    port: u16,
    child: Child,
    _folder: TempDir,
}

/// What the users of a test sign in to.
struct Pool {
    pool: TestPool,
    client_id: String,
    endpoint: String,
    queue_url: String,
}

impl Pool {
    async fn create(deployment: &cognito_user_sync::dev::local::Deployment) -> Self {
        let pool = TestPool::create(&deployment.endpoint).await;
        let flows = vec![ExplicitAuthFlowsType::AllowUserPasswordAuth];
        let client = pool.client.create_user_pool_client().user_pool_id(&pool.id).client_name("app");
        let client = client.set_explicit_auth_flows(Some(flows)).send().await.unwrap();
        let client_id = client.user_pool_client.unwrap().client_id.unwrap();
        pool.add("jo", &[("email", "jo@example.com")]).await;
        pool.confirm("jo").await;
        let name = format!("contexts-{}", uuid::Uuid::now_v7().simple());
        let queue = deployment.client().create_queue().queue_name(name).send().await.unwrap();
        let (endpoint, queue_url) = (deployment.endpoint.clone(), queue.queue_url.unwrap());
        Self { pool, client_id, endpoint, queue_url }
    }

    /// The example, serving. `sqs` is where it finds the queue, `proxies` whose word it takes for an address.
    async fn serve(&self, example: Example, sqs: &str, proxies: Option<&str>) -> Backend {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let text = match example {
            Example::Python => {
                format!("import uvicorn\nuvicorn.run('app:app', port={port}, log_level='warning')")
            }
            Example::Node => "await import('./app.mjs')".to_owned(),
        };
        let mut command = example.runs(folder.path(), &text);
        command
            .env("PORT", port.to_string())
            .env("CLIENT_ID", &self.client_id)
            .env("USER_SYNC_CONTEXT_QUEUE_URL", &self.queue_url)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ENDPOINT_URL_SQS", sqs);
        // Without the variable, uvicorn believes whoever is on the same machine.
        let trusted = match example {
            Example::Python => Some(("FORWARDED_ALLOW_IPS", proxies.unwrap_or_default())),
            Example::Node => proxies.map(|proxies| ("TRUSTED_PROXIES", proxies)),
        };
        command.envs(trusted);
        let mut backend = Backend { port, child: command.spawn().unwrap(), _folder: folder };
        eventually("the example serves", LIMIT, async || {
            assert!(backend.child.try_wait().unwrap().is_none(), "{example:?} has ended");
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        backend
    }

    /// The distinct messages that came within the limit, once there is one.
    async fn told(&self, deployment: &cognito_user_sync::dev::local::Deployment) -> Vec<String> {
        let mut messages = Vec::new();
        eventually("a context is on the queue", LIMIT, async || {
            messages = take(deployment, &self.queue_url).await;
            !messages.is_empty()
        })
        .await;
        let mut bodies: Vec<_> = messages.into_iter().filter_map(|message| message.body).collect();
        bodies.dedup();
        bodies
    }
}

impl Backend {
    /// Signs in; returns the claims of the access token, and how long it took.
    async fn login(&self, headers: &[(&str, &str)]) -> (Value, Duration) {
        let body = json!({ "user": "jo", "password": PASSWORD }).to_string();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        let began = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let mut part = [0; 4_096];
        // Until the answer is whole: who waits for the end of the connection waits for what comes after the answer.
        while !answer.ends_with(b"}") {
            let length = stream.read(&mut part).await.unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..length]);
        }
        let took = began.elapsed();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        let token: Value = serde_json::from_str(body).unwrap();
        let payload = token["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
        (serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap(), took)
    }

    /// Ends it, and returns what it said.
    async fn end(mut self) -> String {
        self.child.start_kill().unwrap();
        let output = self.child.wait_with_output().await.unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_tells_where_a_login_came_from() {
    let deployment = deployment().await;
    let pool = Pool::create(&deployment).await;
    for example in Example::ALL {
        for (proxies, address) in [(None, "127.0.0.1"), (Some("127.0.0.1"), "198.51.100.7")] {
            let backend = pool.serve(example, &pool.endpoint, proxies).await;
            // Of the list, what the own proxy added is the last; what stands before it, anybody wrote.
            let forged = [("User-Agent", BROWSER), ("X-Forwarded-For", "203.0.113.66, 198.51.100.7")];
            let (claims, _) = backend.login(&forged).await;
            let told = pool.told(&deployment).await;
            assert_eq!(told.len(), 1, "{example:?}: {told:?}");
            let event = read(&told[0]);
            assert_eq!(event, expected(&claims, address, Some(BROWSER)), "{example:?} behind {proxies:?}");
            assert_eq!(event.user_pool_id, pool.pool.id.as_str());
            let apart = Timestamp::now().unix_millis() - event.id.time().unix_millis();
            assert!(apart < 30_000, "its time is the login's: {apart} ms");
            let said = backend.end().await;
            assert!(!said.contains("not recorded"), "{example:?}: {said}");
        }
    }
    let claims = claims("5a0b6b4e-6f0b-4a52-8d2f-0b6b4e6f0b4a", 1_790_000_000);
    let message = rust::login_context(&claims, IpAddr::from([203, 0, 113, 9]), Some(BROWSER)).unwrap();
    rust::tell(deployment.client().clone(), pool.queue_url.clone(), message).await;
    let told = pool.told(&deployment).await;
    assert_eq!(read(&told[0]), expected(&claims, "203.0.113.9", Some(BROWSER)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_waits_for_the_queue_or_fails_by_it() {
    let deployment = deployment().await;
    let mut pool = Pool::create(&deployment).await;
    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    pool.queue_url = format!("{endpoint}/000000000000/contexts");
    let tried = async |example: Example| {
        let backend = pool.serve(example, &endpoint, None).await;
        // The first one pays for what a program does once.
        backend.login(&[]).await;
        let (claims, took) = backend.login(&[("User-Agent", BROWSER)]).await;
        assert!(took < SHORT, "{example:?}: {took:?}");
        // Two attempts of boto3's, and what it waits between them.
        tokio::time::sleep(Duration::from_secs(7)).await;
        let said = backend.end().await;
        assert!(said.contains("not recorded"), "{example:?}: {said}");
        for private in [PASSWORD, BROWSER, "127.0.0.1", claims["jti"].as_str().unwrap(), "eyJ"] {
            assert!(!said.contains(private), "{example:?}: {private}: {said}");
        }
    };
    tokio::join!(tried(Example::Python), tried(Example::Node));
    let client = aws_sdk_sqs::Client::from_conf(
        deployment.client().config().to_builder().endpoint_url(&endpoint).build(),
    );
    let began = Instant::now();
    rust::tell(client, pool.queue_url, json!({})).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
