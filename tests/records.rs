//! Records of sign-ins: the release binary of `user-sync-lifecycle` on CloudTrail's and threat protection's records of two
//! pools of ours and of others, and what it puts on the queue of contexts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync_triggers::event::{
    Context, ContextEvent, Event, EventId, MESSAGE_MAX_BYTES, Occasion, Reporter,
};
use cognito_user_sync_triggers::timestamp::Timestamp;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use uuid::Uuid;

use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::pool::TestPool;
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::records::{batch, control_message, record, subscription};
use crate::support::sqs_stub::SqsStub;
use crate::support::stale_pool::StalePool;
use crate::support::{binaries, cloudtrail, deployment, take};

const LIMIT: Duration = Duration::from_secs(60);
const DESCRIPTION: &str = "AWSCognitoIdentityProviderService.DescribeUserPoolClient";

/// What no log may hold.
const PRIVATE: [&str; 5] = ["203.0.113", "198.51.100", "iPhone", "Safari", "Dublin"];

/// A pool with a client of people's own devices, and one of a backend.
struct Pool {
    pool: TestPool,
    app: String,
    backend: String,
}

impl Pool {
    async fn create(endpoint: &str) -> Self {
        let pool = TestPool::create(endpoint).await;
        let client = async |name: &str, has_secret: bool| {
            let request = pool.client.create_user_pool_client().user_pool_id(&pool.id).client_name(name);
            let created = request.generate_secret(has_secret).send().await.unwrap();
            created.user_pool_client.unwrap().client_id.unwrap()
        };
        let (app, backend) = (client("app", false).await, client("backend", true).await);
        Self { pool, app, backend }
    }

    fn record(&self, name: &str, client: &str, sub: Uuid) -> String {
        record(name, &self.pool.id, client, sub, ago(300))
    }
}

/// The function, two pools, and a queue of contexts.
struct Recorded {
    a: Pool,
    b: Pool,
    deployment: Deployment,
    queue_url: String,
    api: LambdaRuntimeApi,
    function: Function,
    descriptions: Proxy,
}

impl Recorded {
    async fn start() -> Self {
        Self::start_with(None, |_, _| None).await
    }

    /// With the answer to each description of a client, and another variable.
    async fn start_with(
        answer: Option<&'static str>,
        more: impl FnOnce(&Pool, &Pool) -> Option<(&'static str, String)>,
    ) -> Self {
        let deployment = deployment().await;
        let (a, b) = (Pool::create(&deployment.endpoint).await, Pool::create(&deployment.endpoint).await);
        let action = answer.map_or(Action::Tell { pass_on: true }, Action::Answer);
        let nth = if answer.is_some() { 1 } else { u32::MAX };
        let trap = Trap { speaker: Speaker::Program, words: DESCRIPTION, nth, repeats: true, action };
        let descriptions = Proxy::in_front_of(&deployment.endpoint, Some(trap)).await;
        let name = format!("{}-contexts", deployment.queue_url.rsplit('/').next().unwrap());
        let queue = deployment.client().create_queue().queue_name(name).send().await.unwrap();
        let queue_url = queue.queue_url.unwrap();
        let (through, pools) =
            (descriptions.through(&deployment.endpoint), format!("{},{}", a.pool.id, b.pool.id));
        let mut environment = deployment.environment();
        environment.retain(|(name, _)| !["USER_SYNC_QUEUE_URL", "DATABASE_URL"].contains(name));
        environment.extend([
            (StalePool::VARIABLE, through.as_str()),
            ("USER_SYNC_CONTEXT_QUEUE_URL", &queue_url),
            ("USER_SYNC_USER_POOL_ID", &pools),
        ]);
        let more = more(&a, &b);
        environment.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        let api = LambdaRuntimeApi::start().await;
        let function = Function::spawn(&binaries::lifecycle(), &api, &environment);
        api.wait_until_ready(LIMIT).await;
        Self { a, b, queue_url, api, function, descriptions, deployment }
    }

    /// The function's answer.
    async fn invoke(&self, payload: &str) -> Value {
        match self.api.invoke(payload.to_owned(), LIMIT).await {
            Invocation::Response { body, .. } => serde_json::from_slice(&body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The messages of an SQS batch that must be delivered again: their numbers.
    async fn failed(&self, bodies: &[String]) -> BTreeSet<usize> {
        let ids: Vec<String> = (0..bodies.len()).map(|number| number.to_string()).collect();
        let payload = batch(ids.iter().map(String::as_str).zip(bodies.iter().map(String::as_str)));
        let answer = self.invoke(&payload).await;
        let failures = answer["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().parse().unwrap()).collect()
    }

    /// Takes what is on the queue of contexts.
    async fn queued(&self) -> Queued {
        let messages = take(&self.deployment, &self.queue_url).await;
        Queued::of(messages.into_iter().filter_map(|message| message.body))
    }

    /// How often it was asked whether a client has a secret.
    fn described(&self) -> u32 {
        self.descriptions.count.load(Ordering::SeqCst)
    }

    /// Ends the function; says what was counted. Its log must hold nothing of a person.
    fn end(mut self) -> BTreeMap<String, u64> {
        assert!(self.function.is_alive());
        self.function.kill();
        let log = [self.function.stdout_lines(), self.function.stderr_lines()].concat();
        for line in &log {
            assert!(!PRIVATE.iter().any(|private| line.contains(private)), "{line}");
        }
        counted(&log)
    }
}

/// What was counted, that which was ignored by its reason.
fn counted(log: &[String]) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for line in log.iter().filter(|line| line.contains("_aws")) {
        let written: Value = serde_json::from_str(line).unwrap();
        for name in ["published", "failed", "ignored", "records_ignored"] {
            if let Some(times) = written[name].as_u64() {
                let name = written["reason"].as_str().unwrap_or(name);
                *counted.entry(name.to_owned()).or_default() += times;
            }
        }
    }
    counted
}

fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// What is on the queue, each message once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Queued {
    contexts: BTreeMap<EventId, ContextEvent<'static>>,
    /// The failures by id: pool, client, reason and network; and whether it has its details.
    failures: BTreeMap<EventId, (String, String, String, Option<String>, bool)>,
    messages: usize,
    bytes: usize,
}

impl Queued {
    fn of(bodies: impl Iterator<Item = String>) -> Self {
        let mut queued = Self::default();
        for body in bodies {
            assert!(body.len() <= MESSAGE_MAX_BYTES);
            (queued.messages, queued.bytes) = (queued.messages + 1, queued.bytes + body.len());
            match Event::decode(&body).unwrap().into_owned() {
                Event::Context(context) => {
                    let known = queued.contexts.insert(context.id, context.clone());
                    assert!(known.is_none_or(|known| known == context), "the same record is the same event");
                }
                Event::Failures(event) => {
                    for (group, failure) in event.data.iter() {
                        let text = |text: &Option<cognito_user_sync_triggers::text::Text<'_>>| {
                            text.as_deref().map(str::to_owned)
                        };
                        let [client, reason] =
                            [&group.client_id, &group.reason].map(|field| text(field).unwrap_or_default());
                        let pool = event.user_pool_id.as_str().to_owned();
                        let said = (pool, client, reason, text(&group.network), failure.ip.is_some());
                        queued.failures.insert(failure.id, said);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        queued
    }

    /// Of each context: the pool, the user, and whether it is a witness without an address.
    fn said(&self) -> BTreeSet<(String, Option<Uuid>, bool)> {
        let said = |event: &ContextEvent<'_>| {
            let Context { witness, ip, user_agent, city, .. } = &event.data;
            assert_eq!(*witness, ip.is_none() && user_agent.is_none() && city.is_none(), "{event:?}");
            (event.user_pool_id.as_str().to_owned(), event.sub, *witness)
        };
        self.contexts.values().map(said).collect()
    }
}

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - seconds * 1_000)
}

/// An id with as little to compress as Cognito's.
fn random() -> Uuid {
    Uuid::from_u128(fastrand::u128(..))
}

fn subs<const N: usize>() -> [Uuid; N] {
    std::array::from_fn(|_| Uuid::now_v7())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_two_pools_and_of_others_is_published_once_by_what_each_record_says() {
    let recorded = Recorded::start().await;
    let (a, b) = (&recorded.a, &recorded.b);
    let [app, otp, server, admin, signing_up, confirming, failing, other] = subs();
    let bodies = vec![
        a.record("cloudtrail_initiate_auth", &a.app, app),
        b.record("cloudtrail_respond_to_auth_challenge", &b.app, otp),
        b.record("cloudtrail_initiate_auth", &b.backend, server),
        b.record("cloudtrail_admin_initiate_auth", &b.app, admin),
        a.record("cloudtrail_sign_up", &a.app, signing_up),
        a.record("cloudtrail_confirm_sign_up", &a.app, confirming),
        a.record("cloudtrail_initiate_auth_failed", &a.app, failing),
        a.record("cloudtrail_initiate_auth_failed", &a.app, failing),
        b.record("cloudtrail_initiate_auth_failed", &b.backend, failing),
        a.record("cloudtrail_initiate_auth_challenge", &a.app, other),
        a.record("cloudtrail_initiate_auth_refresh", &a.app, other),
        a.record("cloudtrail_managed_login", &a.app, other),
        record("cloudtrail_initiate_auth", "", "1another23456789", other, ago(300)),
        record("cloudtrail_admin_initiate_auth", "eu-west-1_Another00", &a.app, other, ago(300)),
        cloudtrail::event("admin_delete_user", &a.pool.id, &a.app, other, ago(300)),
        "garbage".to_owned(),
        "{}".to_owned(),
        String::new(),
    ];
    assert!(recorded.failed(&bodies).await.is_empty());
    let queued = recorded.queued().await;
    let said = |pool: &Pool, sub: Uuid, witness: bool| (pool.pool.id.clone(), Some(sub), witness);
    let expected = [
        said(a, app, false),
        said(b, otp, false),
        said(b, server, true),
        said(b, admin, true),
        said(a, signing_up, false),
        said(a, confirming, false),
    ];
    assert_eq!(queued.said(), expected.into());
    for context in queued.contexts.values() {
        assert_eq!(context.data.reported_by, Reporter::CloudTrail);
        let is_sign_up = [signing_up, confirming].contains(&context.sub.unwrap());
        assert_eq!(context.data.occasion == Occasion::SignUp, is_sign_up);
        let age = Timestamp::now().unix_millis() - context.id.time().unix_millis();
        assert!((300_000..480_000).contains(&age), "{age}");
    }
    let failure = |pool: &Pool, client: &str, network: Option<&str>| {
        let network = network.map(str::to_owned);
        (
            pool.pool.id.clone(),
            client.to_owned(),
            "wrong_password".to_owned(),
            network.clone(),
            network.is_some(),
        )
    };
    let mut failures: Vec<_> = queued.failures.values().cloned().collect();
    failures.sort();
    let of_app = failure(a, &a.app, Some("203.0.113.0/24"));
    let mut expected = vec![of_app.clone(), of_app, failure(b, &b.backend, None)];
    expected.sort();
    assert_eq!(failures, expected);
    // Again, in another order, in other batches and twice in one: the same events.
    let mut again = bodies.clone();
    again.extend(bodies.iter().rev().cloned());
    assert!(recorded.failed(&again).await.is_empty());
    assert!(recorded.failed(&bodies[4..7]).await.is_empty());
    let repeated = recorded.queued().await;
    assert_eq!((&repeated.contexts, &repeated.failures), (&queued.contexts, &queued.failures));
    assert_eq!(recorded.described(), 3, "each client is asked for once, and none that is not needed");
    let ignored = [
        ("challenge", 3),
        ("managed_login", 3),
        ("other_pool", 3),
        ("refresh", 3),
        ("unknown_client", 3),
        ("unknown_name", 3),
        ("not_cognito", 3),
        ("unreadable", 6),
        ("published", 21),
    ];
    assert_eq!(recorded.end(), counts(&ignored));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_published_in_every_spelling() {
    let recorded = Recorded::start().await;
    let (a, b) = (&recorded.a, &recorded.b);
    let [passed, text, bare, without, server, failing, other] = subs();
    let event = |pool: &Pool, name: &str, client: &str, sub: Uuid| -> Value {
        serde_json::from_str(&pool.record(name, client, sub)).unwrap()
    };
    let mut as_text = event(b, "auth_events_sign_in", &b.backend, text);
    as_text["message"] = as_text["message"].to_string().into();
    let mut odd = event(a, "auth_events_sign_in_without_context", &a.app, without);
    odd["message"]["userPoolId"] = "null".into();
    odd["message"]["hasContextData"] = false.into();
    let messages = [
        event(a, "auth_events_sign_in", &a.app, passed).to_string(),
        as_text.to_string(),
        event(b, "auth_events_sign_in", &b.app, bare)["message"].to_string(),
        odd.to_string(),
        event(b, "auth_events_sign_in_without_context", &b.backend, server).to_string(),
        event(a, "auth_events_sign_in_failed", &a.app, failing).to_string(),
        event(a, "auth_events_sign_in_blocked", &a.app, failing).to_string(),
        event(a, "auth_events_sign_in_challenge", &a.app, other).to_string(),
        event(a, "auth_events_forgot_password", &a.app, other).to_string(),
        record("auth_events_sign_in", "eu-west-1_Another00", &a.app, other, ago(300)),
        "garbage".to_owned(),
    ];
    let payload = subscription(messages.iter().map(String::as_str));
    assert_eq!(recorded.invoke(&payload).await, Value::Null);
    assert_eq!(recorded.invoke(&control_message()).await, Value::Null);
    assert_eq!(recorded.invoke(r#"{"awslogs":{"data":"AAAA"}}"#).await, Value::Null);
    let queued = recorded.queued().await;
    let said = |pool: &Pool, sub: Uuid, witness: bool| (pool.pool.id.clone(), Some(sub), witness);
    let expected = [
        said(a, passed, false),
        said(b, text, false),
        said(b, bare, false),
        said(a, without, false),
        // Without context data, of a client that has a secret: the address is the backend's.
        said(b, server, true),
    ];
    assert_eq!(queued.said(), expected.into());
    let of_passed = queued.contexts.values().find(|context| context.sub == Some(passed)).unwrap();
    let Context { reported_by, device, city, country, risk, flow, .. } = &of_passed.data;
    assert_eq!(*reported_by, Reporter::ThreatProtection);
    let words = [device, city, country, risk, flow].map(|word| word.as_deref().unwrap());
    assert_eq!(words, ["Mobile Safari 18, iOS 18.5", "Dublin", "Ireland", "NoRisk Low", "SignIn"]);
    let reasons: BTreeSet<&str> =
        queued.failures.values().map(|(_, _, reason, ..)| reason.as_str()).collect();
    assert_eq!((reasons, queued.failures.len()), (["blocked", "wrong_password"].into(), 2));
    assert_eq!(recorded.invoke(&payload).await, Value::Null);
    let repeated = recorded.queued().await;
    assert_eq!((&repeated.contexts, &repeated.failures), (&queued.contexts, &queued.failures));
    let expected = [
        ("challenge", 2),
        ("control_message", 1),
        ("other_pool", 2),
        ("published", 14),
        ("unknown_name", 2),
        ("unreadable", 3),
    ];
    assert_eq!(recorded.end(), counts(&expected));
}

/// One function may be deployed for both, by hand: a sign-up is a record of where it came from, and a change of a user.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_event_is_a_record_a_change_or_both() {
    let deployment = deployment().await;
    let a = Pool::create(&deployment.endpoint).await;
    a.pool.add("ada", &[("email", "ada@example.com")]).await;
    let sub = a.pool.pool.list(None).await.unwrap().users[0].sub;
    let queue = deployment.client().create_queue().queue_name(format!("{}-contexts", Uuid::now_v7())).send();
    let queue_url = queue.await.unwrap().queue_url.unwrap();
    let mut environment = deployment.environment();
    environment.extend([
        ("USER_SYNC_USER_POOL_ID", a.pool.id.as_str()),
        ("USER_SYNC_CONTEXT_QUEUE_URL", &queue_url),
    ]);
    let api = LambdaRuntimeApi::start().await;
    let mut function = Function::spawn(&binaries::lifecycle(), &api, &environment);
    api.wait_until_ready(LIMIT).await;
    for (payload, contexts, changes) in [
        (a.record("cloudtrail_initiate_auth", &a.app, sub), 1, 0),
        (a.record("cloudtrail_sign_up", &a.app, sub), 1, 1),
        (a.record("cloudtrail_initiate_auth_refresh", &a.app, sub), 0, 0),
        (r#"{"heartbeat":true}"#.to_owned(), 0, 1),
        ("[]".to_owned(), 0, 0),
    ] {
        let invoked = api.invoke(payload.clone(), LIMIT).await;
        assert!(matches!(invoked, Invocation::Response { .. }), "{invoked:?}: {payload}");
        let queued: BTreeSet<_> =
            take(&deployment, &queue_url).await.into_iter().filter_map(|message| message.body).collect();
        let changed = crate::support::queued(&deployment).await;
        assert_eq!((queued.len(), changed.len()), (contexts, changes), "{payload}");
    }
    function.kill();
    let log = [function.stdout_lines(), function.stderr_lines()].concat();
    assert_eq!(counted(&log), counts(&[("published", 4), ("refresh", 1), ("unreadable", 1)]), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_queue_does_not_take_is_delivered_again() {
    let elsewhere = "http://127.0.0.1:9/111122223333/missing";
    let recorded =
        Recorded::start_with(None, |_, _| Some(("USER_SYNC_CONTEXT_QUEUE_URL", elsewhere.to_owned()))).await;
    let (a, [sub]) = (&recorded.a, subs());
    let bodies = [
        a.record("cloudtrail_initiate_auth", &a.app, sub),
        a.record("cloudtrail_initiate_auth_refresh", &a.app, sub),
        a.record("cloudtrail_initiate_auth_failed", &a.app, sub),
        "garbage".to_owned(),
        a.record("cloudtrail_initiate_auth_failed", &a.app, sub),
    ];
    assert_eq!(recorded.failed(&bodies).await, [0, 2, 4].into());
    let errors = [
        (batch([("", bodies[0].as_str())]), "a message without messageId failed"),
        (subscription([a.record("auth_events_sign_in", &a.app, sub).as_str()]), "not on the queue"),
        (bodies[0].clone(), "not on the queue"),
    ];
    for (payload, words) in errors {
        let Invocation::Error { body, .. } = recorded.api.invoke(payload, LIMIT).await else {
            panic!("{words}")
        };
        let error = String::from_utf8(body).unwrap();
        assert!(error.contains(words), "{error}");
    }
    let counted = recorded.end();
    assert_eq!(counted, counts(&[("failed", 6), ("refresh", 1), ("unreadable", 1)]));
}

/// A client that was used a moment ago may be new: listings lag.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_may_be_new_is_asked_for_again_and_is_then_known() {
    let recorded = Recorded::start().await;
    let (a, [sub]) = (&recorded.a, subs());
    let young = record("cloudtrail_initiate_auth", "", "1young23456789", sub, Timestamp::now());
    let bodies = [a.record("cloudtrail_initiate_auth", &a.app, sub), young];
    assert_eq!(recorded.failed(&bodies).await, [1].into());
    assert_eq!(recorded.queued().await.contexts.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_that_are_named_are_those_of_devices_and_nobody_is_asked() {
    let named =
        |_: &Pool, b: &Pool| Some(("USER_SYNC_CONTEXT_CLIENTS", format!("1another23456789, {}", b.backend)));
    let recorded = Recorded::start_with(None, named).await;
    let (b, [app, server]) = (&recorded.b, subs());
    let bodies = [
        b.record("cloudtrail_initiate_auth", &b.app, app),
        b.record("cloudtrail_initiate_auth", &b.backend, server),
    ];
    assert!(recorded.failed(&bodies).await.is_empty());
    let said = recorded.queued().await.said();
    let pool = b.pool.id.clone();
    assert_eq!(said, [(pool.clone(), Some(app), true), (pool, Some(server), false)].into());
    assert_eq!(recorded.described(), 0);
}

/// Nothing is guessed: an address that may be a backend's is not published as a person's, nor the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_says_whether_a_client_has_a_secret_its_records_wait() {
    let denied = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 34\r\nconnection: close\r\n\r\n{\"__type\":\"AccessDeniedException\"}";
    let recorded = Recorded::start_with(Some(denied), |_, _| None).await;
    let (a, [sub]) = (&recorded.a, subs());
    let bodies = [
        a.record("cloudtrail_initiate_auth", &a.app, sub),
        a.record("cloudtrail_admin_initiate_auth", &a.app, sub),
        a.record("cloudtrail_initiate_auth_failed", &a.app, sub),
    ];
    assert_eq!(recorded.failed(&bodies).await, [0, 2].into());
    let queued = recorded.queued().await;
    assert_eq!((queued.contexts.len(), queued.failures.len()), (1, 0));
    let payload = subscription([a.record("auth_events_sign_in_without_context", &a.app, sub).as_str()]);
    let Invocation::Error { body, .. } = recorded.api.invoke(payload, LIMIT).await else {
        panic!("it waits")
    };
    let error = String::from_utf8(body).unwrap();
    assert!(error.contains("DescribeUserPoolClient") && error.contains("AccessDenied"), "{error}");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Files of S3 and saved logs hold the same records, and become the same events as the function makes of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_files_publishes_the_same_events_each_time() {
    let recorded = Recorded::start().await;
    let (a, b) = (&recorded.a, &recorded.b);
    let [app, server, failing, other] = subs();
    let calls = [
        a.record("cloudtrail_initiate_auth", &a.app, app),
        b.record("cloudtrail_initiate_auth", &b.backend, server),
        a.record("cloudtrail_initiate_auth_failed", &a.app, failing),
        a.record("cloudtrail_initiate_auth_refresh", &a.app, other),
        record("cloudtrail_initiate_auth", "", "1another23456789", other, ago(300)),
    ];
    let lines = ["auth_events_sign_in", "auth_events_sign_in_failed", "auth_events_sign_in_challenge"];
    let compact = |text: &String| serde_json::from_str::<Value>(text).unwrap().to_string();
    let lines = lines.map(|name| compact(&b.record(name, &b.app, app)));
    assert!(recorded.failed(&calls).await.is_empty());
    recorded.invoke(&subscription(lines.iter().map(String::as_str))).await;
    let published = recorded.queued().await;
    assert_eq!((published.contexts.len(), published.failures.len()), (3, 2));

    let folder = tempfile::tempdir().unwrap();
    let details = calls.iter().map(|call| serde_json::from_str::<Value>(call).unwrap()["detail"].clone());
    let file = serde_json::json!({ "Records": details.collect::<Vec<_>>() });
    std::fs::write(folder.path().join("trail.json.gz"), gzip(&file.to_string())).unwrap();
    std::fs::write(folder.path().join("log.jsonl"), lines.join("\n")).unwrap();
    let exported: String = lines.iter().map(|line| format!("2026-11-23T15:31:00.000Z {line}\n")).collect();
    std::fs::write(folder.path().join("export.gz"), gzip(&exported)).unwrap();
    let pools = format!("{},{}", a.pool.id, b.pool.id);
    let replay = async |arguments: &[&str], without: &str| {
        let mut environment = recorded.deployment.environment();
        environment.retain(|(name, _)| !["USER_SYNC_QUEUE_URL", "DATABASE_URL"].contains(name));
        environment.extend([("USER_SYNC_CONTEXT_QUEUE_URL", recorded.queue_url.as_str())]);
        environment.extend([
            ("USER_SYNC_USER_POOL_ID", pools.as_str()),
            ("USER_SYNC_QUEUE_URL", "http://127.0.0.1:9/q"),
        ]);
        environment.retain(|(name, _)| *name != without);
        let mut command = tokio::process::Command::new(binaries::user_sync());
        command.args(["replay", "--json"]).args(arguments).arg(folder.path()).env_clear().envs(environment);
        command.output().await.unwrap()
    };
    let dry = replay(&["--dry-run"], "USER_SYNC_CONTEXT_QUEUE_URL").await;
    let answer: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(answer["by_type"], serde_json::json!({ "user.login_context": 5, "user.sign_in_failed": 3 }));
    assert_eq!(recorded.queued().await, Queued::default());
    for _ in 0..2 {
        let output = replay(&[], "USER_SYNC_QUEUE_URL").await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            answer["by_type"],
            serde_json::json!({ "user.login_context": 3, "user.sign_in_failed": 2 })
        );
        let ignored = serde_json::json!({ "challenge": 2, "refresh": 1, "unknown_client": 1 });
        assert_eq!((&answer["ignored"], &answer["failed"]), (&ignored, &0.into()), "{answer}");
        let again = recorded.queued().await;
        assert_eq!((&again.contexts, &again.failures), (&published.contexts, &published.failures));
    }
    let output = replay(&[], "USER_SYNC_CONTEXT_QUEUE_URL").await;
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("USER_SYNC_CONTEXT_QUEUE_URL is not set"), "{error}");
}

/// The function of one pool, and a stub of SQS that keeps what it takes.
async fn under_attack() -> (SqsStub, LambdaRuntimeApi, Function, tempfile::TempDir) {
    let stub = SqsStub::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bundle = stub.bundle(folder.path());
    let api = LambdaRuntimeApi::start().await;
    let queue_url = format!("{}/111122223333/contexts", stub.endpoint);
    let environment = [
        ("AWS_ENDPOINT_URL", stub.endpoint.as_str()),
        ("SSL_CERT_FILE", bundle.to_str().unwrap()),
        ("USER_SYNC_CONTEXT_QUEUE_URL", &queue_url),
        ("USER_SYNC_USER_POOL_ID", "eu-west-1_Example00"),
        ("USER_SYNC_CONTEXT_CLIENTS", "1example23456789"),
    ];
    let function = Function::spawn(&binaries::lifecycle(), &api, &environment);
    api.wait_until_ready(LIMIT).await;
    (stub, api, function, folder)
}

/// So many failures of these users from so many addresses, as threat protection writes them.
fn attack(failures: u32, users: u32, addresses: u32) -> Vec<String> {
    let fixture = record(
        "auth_events_sign_in_failed",
        "eu-west-1_Example00",
        "1example23456789",
        Uuid::nil(),
        ago(300),
    );
    let mut event: Value = serde_json::from_str(&fixture).unwrap();
    let failure = |number: u32| {
        let message = &mut event["message"];
        message["eventId"] = random().to_string().into();
        message["requestId"] = random().to_string().into();
        message["userSub"] = Uuid::from_u128(7 << 64 | u128::from(number % users)).to_string().into();
        message["ipAddress"] = Ipv4Addr::from(0x0b00_0000 + (number % addresses) * 259).to_string().into();
        event.to_string()
    };
    (0..failures).map(failure).collect()
}

/// Ten thousand failures of five users, and as many of as many users, and five times as many, which is most of what a
/// payload of Lambda's can hold: every one is on the queue by its id, in few messages.
#[tokio::test(flavor = "multi_thread")]
async fn an_attack_reaches_the_queue_whole_and_in_few_messages() {
    const PAYLOAD_MAX_BYTES: usize = 6 * 1_000_000;
    let (stub, api, mut function, _folder) = under_attack().await;
    for (failures, users, addresses, messages) in
        [(10_000, 5, 3, 2), (10_000, 50_000, 50_000, 3), (50_000, 50_000, 50_000, 11)]
    {
        let records = attack(failures, users, addresses);
        let bytes: usize = records.iter().map(String::len).sum();
        let payload = subscription(records.iter().map(String::as_str));
        assert!(payload.len() <= PAYLOAD_MAX_BYTES, "{}", payload.len());
        let mut taken = Vec::new();
        for time in 0..2 {
            let invoked = api.invoke(payload.clone(), LIMIT * 4).await;
            assert!(matches!(&invoked, Invocation::Response { body, .. } if body == b"null"), "{invoked:?}");
            let bodies = stub.take();
            if time == 1 {
                assert_eq!(
                    bodies.iter().collect::<BTreeSet<_>>(),
                    taken.iter().collect(),
                    "the same messages"
                );
            }
            taken = bodies;
        }
        let queued = Queued::of(taken.into_iter());
        let detailed = queued.failures.values().filter(|(.., is_detailed)| *is_detailed).count();
        eprintln!(
            "{failures} failures of {} users from {addresses} addresses: {bytes} bytes of records, a payload of {} bytes, \
             {} messages of {} bytes, {detailed} with details",
            users.min(failures),
            payload.len(),
            queued.messages,
            queued.bytes
        );
        assert_eq!(queued.failures.len(), usize::try_from(failures).unwrap(), "each is there");
        assert!(queued.messages <= messages, "{} messages", queued.messages);
        let share = f64::from(u32::try_from(detailed).unwrap()) / f64::from(failures);
        assert!((0.04..0.09).contains(&share), "{share}");
    }
    function.kill();
}
