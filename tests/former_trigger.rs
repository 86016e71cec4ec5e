//! The function that was the pool's trigger before ours is called first, and Cognito gets what it would have
//! had: the trigger program on the real Runtime API, with Lambda's Invoke behind it.

use std::time::Duration;

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync_triggers::publish::PUBLISH_BUDGET;
use cognito_user_sync_triggers::trigger::ANSWER_WITHIN;
use serde_json::{Value, json};

use crate::support::former_function::{Call, Does, FormerFunction};
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::{binaries, deployment, queued, refusing};

/// By the trigger's own clock it answers while Cognito waits; and what a loaded machine may add to that.
const ANSWERED: Duration = ANSWER_WITHIN.saturating_add(Duration::from_secs(2));
const READY: Duration = Duration::from_secs(20);
const _: () = assert!(ANSWER_WITHIN.as_millis() < 5_000, "Cognito waits for 5 s");
const CONFIRMATION: &str = "arn:aws:lambda:eu-west-1:111122223333:function:confirmation:live";
const AUTHENTICATION: &str = "arn:aws:lambda:eu-west-1:111122223333:function:authentication";
/// Every failure's line holds neither this nor anything else of an event.
const PRIVATE: &str = "zephyrine@example.com";

/// The trigger with a former function, or with none.
struct Chained {
    deployment: Deployment,
    former: FormerFunction,
    api: LambdaRuntimeApi,
    function: Function,
}

impl Chained {
    async fn start(does: Does) -> Self {
        let both = [
            ("USER_SYNC_CHAIN_POST_CONFIRMATION", CONFIRMATION),
            ("USER_SYNC_CHAIN_POST_AUTHENTICATION", AUTHENTICATION),
        ];
        Self::start_with(does, &both).await
    }

    async fn start_with(does: Does, env: &[(&str, &str)]) -> Self {
        let (deployment, former) = (deployment().await, FormerFunction::start(does).await);
        let api = LambdaRuntimeApi::start().await;
        let lambda = [("AWS_ENDPOINT_URL_LAMBDA", former.endpoint.as_str())];
        let env = [&deployment.environment()[..], &lambda, env].concat();
        let function = Function::spawn(&binaries::trigger(), &api, &env);
        api.wait_until_ready(READY).await;
        Self { deployment, former, api, function }
    }

    async fn invoke(&self, payload: &str) -> Invocation {
        self.api.invoke(payload, ANSWERED).await
    }

    /// Cognito's answer.
    async fn answer(&self, payload: &str) -> String {
        let answered = self.invoke(payload).await;
        let Invocation::Response { body, .. } = answered else { panic!("{answered:?}") };
        String::from_utf8(body).unwrap()
    }

    /// Cognito's error: its type and its message.
    async fn error(&self, payload: &str) -> (String, String) {
        let Invocation::Error { body, .. } = self.invoke(payload).await else { panic!("no error") };
        let error: Value = serde_json::from_slice(&body).unwrap();
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (text("errorType"), text("errorMessage"))
    }

    /// How many events are on the queue; takes them.
    async fn queued(&self) -> usize {
        queued(&self.deployment).await.len()
    }

    /// Ends the trigger and returns its log without its `undelivered` lines; nothing of an event is in it.
    fn log(&mut self) -> Vec<String> {
        assert!(self.function.is_alive());
        self.function.kill();
        let mut log = [self.function.stdout_lines(), self.function.stderr_lines()].concat();
        log.retain(|line| !line.contains("\"undelivered\":{"));
        assert!(!log.iter().any(|line| line.contains(PRIVATE)), "{log:?}");
        log
    }
}

/// How often a counter was written.
fn count(log: &[String], metric: &str) -> usize {
    log.iter().filter(|line| line.contains("_aws") && line.contains(&format!("\"{metric}\":1"))).count()
}

/// An event as Cognito writes one: with spaces, so that a copy is told from the original.
fn event(source: &str) -> String {
    let sub = uuid::Uuid::from_u128(0xabda62a8_5732_41ef_8c00_31d8dc083c34);
    let event = json!({
        "version": "1", "triggerSource": source, "region": "eu-west-1", "userPoolId": "eu-west-1_Abc123Def",
        "userName": sub, "callerContext": { "awsSdkVersion": "x", "clientId": "client" },
        "request": { "userAttributes": { "sub": sub, "cognito:user_status": "CONFIRMED", "email": PRIVATE } },
        "response": {}
    });
    event.to_string().replace("\",\"", "\" , \"")
}

fn login() -> String {
    event("PostAuthentication_Authentication")
}

fn call(function: &str, payload: &str) -> Call {
    Call { function: function.to_owned(), payload: payload.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_former_functions_answer_reaches_cognito_and_the_event_the_queue() {
    const ANSWER: &str = r#"{ "response" : { "claims":1e2 }, "more":"\u00e9" }"#;
    let mut chained = Chained::start(Does::Answers(ANSWER)).await;
    assert_eq!((chained.former.dry_runs(), chained.former.calls()), (1, vec![]), "warmed, and not called");
    let confirmation = event("PostConfirmation_ConfirmSignUp");
    assert_eq!(chained.answer(&confirmation).await, ANSWER);
    assert_eq!(chained.answer(&login()).await, ANSWER);
    let calls = [call(CONFIRMATION, &confirmation), call(AUTHENTICATION, &login())];
    assert_eq!(chained.former.calls(), calls, "each got Cognito's own bytes");
    assert_eq!(chained.queued().await, 2);
    // What neither of them was the trigger of is answered by us.
    let other = event("PreSignUp_SignUp");
    assert_eq!(chained.answer(&other).await, other);
    assert_eq!(chained.former.calls().len(), 2);
    let log = chained.log();
    assert_eq!((count(&log, "published"), count(&log, "chain_failed")), (2, 0), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_former_functions_error_is_cognitos_error_and_nothing_is_published() {
    let failure =
        r#"{"errorMessage":"not today, zephyrine@example.com","errorType":"Refused","trace":["at x"]}"#;
    let mut chained = Chained::start(Does::Fails(failure)).await;
    let error = chained.error(&login()).await;
    assert_eq!(error, ("Refused".to_owned(), "not today, zephyrine@example.com".to_owned()));
    // No event: Cognito refuses it, as it would have.
    for answer in ["null", "\"text\"", "[1]"] {
        chained.former.now(Does::Answers(answer));
        assert_eq!(chained.answer(&login()).await, answer);
    }
    chained.former.now(Does::Answers("oops"));
    assert!(chained.error(&login()).await.1.contains("not JSON"));
    assert_eq!(chained.queued().await, 0);
    let log = chained.log();
    assert_eq!((count(&log, "ignored"), count(&log, "chain_failed"), count(&log, "published")), (5, 0, 0));
    assert!(log.iter().any(|line| line.contains("\"reason\":\"chain_refused\"")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_function_that_cannot_be_called_does_not_fail_a_sign_in() {
    let refusals = [
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (500, "ServiceException"),
        (502, "EC2UnexpectedException"),
    ];
    let mut chained = Chained::start(Does::IsThrottled(u32::MAX)).await;
    assert_eq!(chained.answer(&login()).await, login(), "throttled for good");
    assert!(chained.former.calls().len() > 1, "and asked again");
    for (status, code) in refusals {
        chained.former.now(Does::IsRefused(status, code));
        let calls = chained.former.calls().len();
        assert_eq!(chained.answer(&login()).await, login(), "{code}");
        assert_eq!(chained.former.calls().len(), calls + 1, "{code}: it may have run, so once only");
    }
    assert_eq!(chained.queued().await, 5);
    let log = chained.log();
    assert_eq!((count(&log, "published"), count(&log, "chain_failed")), (5, 5), "{log:?}");
    for (_, code) in refusals.into_iter().chain([(429, "TooManyRequestsException")]) {
        assert!(log.iter().any(|line| line.contains(code)), "{code}: {log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lambda_that_cannot_be_reached_does_not_fail_a_sign_in() {
    let (_bound, endpoint) = refusing();
    let env = [
        ("AWS_ENDPOINT_URL_LAMBDA", endpoint.as_str()),
        ("USER_SYNC_CHAIN_POST_AUTHENTICATION", AUTHENTICATION),
    ];
    let mut chained = Chained::start_with(Does::Answers("{}"), &env).await;
    assert_eq!(chained.answer(&login()).await, login());
    assert_eq!(chained.queued().await, 1);
    let log = chained.log();
    assert_eq!((count(&log, "published"), count(&log, "chain_failed")), (1, 1), "{log:?}");
    assert!(log.iter().any(|line| line.contains("cannot be called")), "said at init: {log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_former_function_is_called_again() {
    let mut chained = Chained::start(Does::IsThrottled(2)).await;
    assert_eq!(chained.answer(&login()).await, login());
    assert_eq!(chained.former.calls(), vec![call(AUTHENTICATION, &login()); 3]);
    let log = chained.log();
    assert_eq!((count(&log, "published"), count(&log, "chain_failed")), (1, 0), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_while_the_trigger_was_frozen_is_replaced() {
    let former = FormerFunction::start(Does::Answers(r#"{"former":true}"#)).await;
    // The first is the dry run, by which the connection stands.
    let cut = Action::Cut { pass_on: false };
    let trap = Trap { speaker: Speaker::Program, words: "/invocations", nth: 2, repeats: false, action: cut };
    let proxy = Proxy::in_front_of(&former.endpoint, Some(trap)).await;
    let endpoint = proxy.through(&former.endpoint);
    let env = [
        ("AWS_ENDPOINT_URL_LAMBDA", endpoint.as_str()),
        ("USER_SYNC_CHAIN_POST_AUTHENTICATION", AUTHENTICATION),
    ];
    let mut chained = Chained::start_with(Does::Answers("{}"), &env).await;
    assert_eq!(chained.answer(&login()).await, r#"{"former":true}"#);
    assert_eq!(proxy.count.load(std::sync::atomic::Ordering::SeqCst), 3, "warmed, cut, called");
    assert_eq!((former.calls().len(), chained.queued().await), (1, 1));
    let log = chained.log();
    assert_eq!((count(&log, "published"), count(&log, "chain_failed")), (1, 0), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_function_that_is_too_slow_fails_the_sign_in_while_cognito_still_waits() {
    let mut chained = Chained::start(Does::EchoesAfter(Duration::from_secs(60))).await;
    let (error_type, message) = chained.error(&login()).await;
    assert_eq!(error_type, "TimedOut");
    assert!(message.contains("did not answer in time"), "{message}");
    assert_eq!(chained.queued().await, 0);
    let log = chained.log();
    assert_eq!((count(&log, "chain_failed"), count(&log, "published")), (1, 0), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_former_function_and_a_queue_that_is_away_leave_the_event_in_the_log() {
    // Takes connections, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let env = [
        ("AWS_ENDPOINT_URL_SQS", endpoint.as_str()),
        ("USER_SYNC_CHAIN_POST_AUTHENTICATION", AUTHENTICATION),
    ];
    // Well within its budget, and so late that the queue's own is not left.
    let slow = Does::EchoesAfter(ANSWER_WITHIN - PUBLISH_BUDGET + Duration::from_millis(300));
    let mut chained = Chained::start_with(slow, &env).await;
    assert_eq!(chained.answer(&login()).await, login());
    chained.function.kill();
    let log = chained.function.stdout_lines();
    assert!(log.iter().any(|line| line.contains("\"undelivered\":{")), "{log:?}");
    assert_eq!((count(&log, "undelivered"), count(&log, "chain_failed")), (1, 0), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_chain_lambda_is_not_asked_for_anything() {
    for env in [&[][..], &[("USER_SYNC_CHAIN_POST_AUTHENTICATION", "")]] {
        let mut chained = Chained::start_with(Does::Answers("{}"), env).await;
        assert_eq!(chained.answer(&login()).await, login());
        assert_eq!((chained.former.dry_runs(), chained.former.calls()), (0, vec![]));
        assert_eq!(chained.queued().await, 1);
        chained.log();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_leads_back_to_the_trigger_is_not_followed() {
    let own = "arn:aws:lambda:eu-west-1:111122223333:function:user-sync-under-test";
    let env = [("USER_SYNC_CHAIN_POST_AUTHENTICATION", own)];
    let mut chained = Chained::start_with(Does::Answers("{}"), &env).await;
    assert_eq!(chained.answer(&login()).await, login());
    assert_eq!((chained.former.dry_runs(), chained.former.calls(), chained.queued().await), (0, vec![], 1));
    let log = chained.log();
    assert!(
        log.iter().any(|line| line.contains("USER_SYNC_CHAIN_POST_AUTHENTICATION names this very")),
        "{log:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_on_lambda_is_called_first() {
    let (deployment, other) = (deployment().await, deployment().await);
    let name = format!("former-{}", uuid::Uuid::now_v7().simple());
    let arn = create_function(&deployment.endpoint, &name, &other.environment()).await;
    let api = LambdaRuntimeApi::start().await;
    let chain = [("USER_SYNC_CHAIN_POST_AUTHENTICATION", arn.as_str())];
    let env = [&deployment.environment()[..], &chain].concat();
    let mut function = Function::spawn(&binaries::trigger(), &api, &env);
    api.wait_until_ready(READY).await;
    let Invocation::Response { body, .. } = api.invoke(login(), ANSWERED).await else {
        panic!("the trigger failed");
    };
    let (answer, sent): (Value, Value) =
        (serde_json::from_slice(&body).unwrap(), serde_json::from_str(&login()).unwrap());
    assert_eq!(answer, sent);
    function.kill();
    assert_eq!(count(&function.stdout_lines(), "chain_failed"), 0, "{:?}", function.stdout_lines());
    for (whose, deployment) in [("ours", deployment), ("the former function's", other)] {
        assert_eq!(queued(&deployment).await.len(), 1, "{whose}");
    }
}

/// Another trigger of ours as a function on the emulator's Lambda: it echoes, and has a queue to tell that it ran.
async fn create_function(endpoint: &str, name: &str, environment: &[(&str, &str)]) -> String {
    use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime};
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(aws_sdk_lambda::config::BehaviorVersion::latest())
        .region(aws_sdk_lambda::config::Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(aws_sdk_lambda::config::Credentials::new("test", "test", None, None, "test"))
        .http_client(cognito_user_sync::aws::http_client())
        .build();
    let client = aws_sdk_lambda::Client::from_conf(config);
    let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let code = FunctionCode::builder().zip_file(zipped(&binaries::trigger()).into());
    let created = client
        .create_function()
        .function_name(name)
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .role("arn:aws:iam::000000000000:role/function")
        .code(code.build())
        .environment(Environment::builder().set_variables(Some(variables.collect())).build());
    let arn = created.send().await.unwrap().function_arn.unwrap();
    // Its first start may take longer than the trigger waits. Nothing is published of this one.
    let payload = aws_sdk_lambda::primitives::Blob::new(event("PreSignUp_SignUp"));
    client.invoke().function_name(name).payload(payload).send().await.unwrap();
    arn
}

/// The program as `bootstrap` in a zip, as Lambda wants it.
fn zipped(program: &std::path::Path) -> Vec<u8> {
    const ZIP: &str = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[2], 'w', zipfile.ZIP_DEFLATED) as z: z.write(sys.argv[1], 'bootstrap')";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("function.zip");
    let zip = std::process::Command::new("python3").args(["-c", ZIP]).arg(program).arg(&path).status();
    assert!(zip.unwrap().success());
    std::fs::read(path).unwrap()
}

/// The first invocation of a cold start: what Cognito gets, and the function. Cognito waits from before the process begins,
/// while its init waits for a queue that never answers.
async fn cold(does: Does) -> (Invocation, Duration, Function) {
    let (deployment, former) = (deployment().await, FormerFunction::start(does).await);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let queue = format!("http://{}", silent.local_addr().unwrap());
    let trigger = binaries::trigger();
    let api = LambdaRuntimeApi::start().await;
    let env = [
        ("AWS_ENDPOINT_URL_LAMBDA", former.endpoint.as_str()),
        ("AWS_ENDPOINT_URL_SQS", queue.as_str()),
        ("USER_SYNC_CHAIN_POST_AUTHENTICATION", AUTHENTICATION),
    ];
    let env = [&deployment.environment()[..], &env].concat();
    let asked = std::time::Instant::now();
    let waiting = api.invoke(login(), Duration::from_secs(10));
    let spawned = async { Function::spawn(&trigger, &api, &env) };
    let (answered, function) = tokio::join!(waiting, spawned);
    (answered, asked.elapsed(), function)
}

const COGNITO_WAITS: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_and_a_slow_former_function_together_leave_cognito_its_answer() {
    // With a second of init, as late as it may be, so that less than the queue's own budget is left.
    let (answered, elapsed, mut function) = cold(Does::EchoesAfter(Duration::from_millis(2_900))).await;
    let Invocation::Response { body, .. } = answered else { panic!("{answered:?}") };
    assert_eq!(String::from_utf8(body).unwrap(), login());
    assert!(elapsed > ANSWER_WITHIN - PUBLISH_BUDGET && elapsed < COGNITO_WAITS, "{elapsed:?}");
    function.kill();
    let log = function.stdout_lines();
    assert!(log.iter().any(|line| line.contains("\"undelivered\":{")), "{log:?}");
    assert_eq!((count(&log, "undelivered"), count(&log, "chain_failed")), (1, 0), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_leaves_a_former_function_that_never_answers_less_time() {
    let (answered, elapsed, mut function) = cold(Does::EchoesAfter(Duration::from_secs(60))).await;
    let Invocation::Error { body, .. } = answered else { panic!("{answered:?}") };
    assert!(String::from_utf8_lossy(&body).contains("TimedOut"));
    assert!(elapsed < COGNITO_WAITS, "{elapsed:?}");
    function.kill();
    assert_eq!(count(&function.stdout_lines(), "chain_failed"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_ready_ahead_of_time_has_all_the_time() {
    let mut chained = Chained::start(Does::EchoesAfter(Duration::from_millis(3_900))).await;
    // Longer than an event that was there already takes; with the second of waiting the answer would come too late.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(chained.answer(&login()).await, login());
    assert_eq!(chained.queued().await, 1);
    assert_eq!(count(&chained.log(), "chain_failed"), 0);
}
