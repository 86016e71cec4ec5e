//! Cognito gets its own event back, equal as JSON, from the release binary on the real Runtime API.

use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, Kind};
use serde_json::Value;

use crate::support::binaries;
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::sqs_stub::SqsStub;
use crate::support::{deployment, take};

const COGNITO_WAITS: Duration = Duration::from_secs(5);

fn fixtures() -> Vec<(String, String)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/triggers/fixtures");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files
        .map(|path| {
            (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_comes_back_equal_as_json() {
    let deployment = deployment().await;
    let api = LambdaRuntimeApi::start().await;
    let mut function = Function::spawn(&binaries::trigger(), &api, &deployment.environment());
    api.wait_until_ready(Duration::from_secs(10)).await;
    let mut published = 0_u64;
    for (name, payload) in fixtures() {
        let Invocation::Response { body, .. } = api.invoke(payload.clone(), COGNITO_WAITS).await else {
            panic!("{name}: the trigger failed");
        };
        // Byte for byte, which is more than equal as JSON: numbers keep their spelling, keys their order.
        assert_eq!(String::from_utf8(body.clone()).unwrap(), payload.trim(), "{name}");
        let (answer, sent): (Value, Value) =
            (serde_json::from_slice(&body).unwrap(), serde_json::from_str(&payload).unwrap());
        assert_eq!(answer, sent, "{name}");
        published += u64::from(name.starts_with("post_"));
    }
    assert!(function.is_alive());
    function.kill();
    let (stdout, stderr) = (function.stdout_lines(), function.stderr_lines());
    assert!(!stdout.iter().any(|line| line.contains("undelivered\":{")), "{stdout:?}");
    // A payload that is not ours is neither logged nor queued; fixtures of other sources hold secrets.
    for line in stdout.iter().chain(&stderr) {
        assert!(!line.contains('@') && !line.contains("+1206555"), "personal data in the log: {line}");
    }
    let queued = deployment.queue().backlog().await.unwrap();
    assert!(queued > 30 && queued < published, "{queued} of {published} own fixtures are queued");
}

/// A login through a queue at `endpoint`, by a trigger that trusts whom the file names; whether it went to the log.
async fn is_logged(endpoint: &str, trusted: Option<&std::path::Path>) -> bool {
    let payload = include_str!("../triggers/fixtures/post_authentication_native.json");
    let (api, queue_url) = (LambdaRuntimeApi::start().await, format!("{endpoint}/111122223333/queue"));
    let mut env = vec![("AWS_ENDPOINT_URL_SQS", endpoint), ("USER_SYNC_QUEUE_URL", &queue_url)];
    env.extend(trusted.map(|file| ("SSL_CERT_FILE", file.to_str().unwrap())));
    let mut function = Function::spawn(&binaries::trigger(), &api, &env);
    api.wait_until_ready(Duration::from_secs(10)).await;
    let Invocation::Response { body, .. } = api.invoke(payload, COGNITO_WAITS).await else {
        panic!("the trigger failed");
    };
    assert_eq!(String::from_utf8(body).unwrap(), payload.trim());
    function.kill();
    function.stdout_lines().iter().any(|line| line.contains("undelivered\":{"))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_queue_that_proves_who_it_is_gets_an_event() {
    let (stub, folder) = (SqsStub::start().await, tempfile::tempdir().unwrap());
    let bundle = stub.bundle(folder.path());
    assert!(!is_logged(&stub.endpoint, Some(&bundle)).await);
    let sent = stub.sent().0;
    assert!(sent > 0);
    // Nobody it knows says who that is; and a certificate for another name.
    assert!(is_logged(&stub.endpoint, None).await);
    assert!(is_logged(&stub.endpoint.replace("localhost", "127.0.0.1"), Some(&bundle)).await);
    assert_eq!(stub.sent().0, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_is_no_event_comes_back_too() {
    let deployment = deployment().await;
    let api = LambdaRuntimeApi::start().await;
    let mut function = Function::spawn(&binaries::trigger(), &api, &deployment.environment());
    api.wait_until_ready(Duration::from_secs(20)).await;
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    for payload in ["null", "[]", "7", "\"text\"", "1e999", "\"\\ud83d\"", &deep] {
        let Invocation::Response { body, .. } = api.invoke(payload, COGNITO_WAITS).await else {
            panic!("the trigger failed for {payload:.40}");
        };
        assert_eq!(String::from_utf8(body).unwrap(), payload);
    }
    assert!(function.is_alive());
    assert_eq!(deployment.queue().backlog().await.unwrap(), 0);
}

/// The programs beside us hold no such text: compared as bytes only.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_half_a_surrogate_in_a_key_is_queued_and_comes_back() {
    let (api, deployment) = (LambdaRuntimeApi::start().await, deployment().await);
    let attribute = ("USER_SYNC_REFERRAL_CODE_ATTRIBUTE", "custom:referral_code");
    let env = [&deployment.environment()[..], &[attribute]].concat();
    let mut function = Function::spawn(&binaries::trigger(), &api, &env);
    api.wait_until_ready(Duration::from_secs(20)).await;
    for (source, sub) in [("PostAuthentication_Authentication", 1), ("PostConfirmation_ConfirmSignUp", 2)] {
        let payload = format!(
            r#"{{"triggerSource":"{source}","userPoolId":"p","\udc00":1e999,"request":{{"userAttributes":{{"custom:\ud83d":"x",
            "custom:referral_code":"friend","sub":"abda62a8-5732-41ef-8c00-31d8dc08300{sub}"}},
            "clientMetadata":{{"k\ud83d":"v\ud83d","ip":"203.0.113.9"}}}},"response":{{}}}}"#
        );
        let Invocation::Response { body, .. } = api.invoke(payload.clone(), COGNITO_WAITS).await else {
            panic!("the trigger failed");
        };
        assert_eq!(String::from_utf8(body).unwrap(), payload);
    }
    function.kill();
    let messages = take(&deployment, &deployment.queue_url).await;
    assert_eq!(messages.len(), 2);
    for message in messages {
        let body = message.body.unwrap();
        let Ok(Event::User(event)) = Event::decode(&body) else { panic!("{body}") };
        assert_eq!(event.data.client.ip.as_deref(), Some("203.0.113.9"));
        let is_sign_up = event.kind == Kind::Confirmed;
        assert_eq!(event.data.client.referral_code.as_deref(), is_sign_up.then_some("friend"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_does_not_fail_a_sign_in() {
    let fixture = fixtures().into_iter().find(|(name, _)| name == "post_authentication_native").unwrap().1;
    let api = LambdaRuntimeApi::start().await;
    let wrong = [
        ("USER_SYNC_CLIENT_METADATA_KEYS", "nonsense"),
        ("USER_SYNC_REFERRAL_CODE_ATTRIBUTE", "the custom attribute"),
    ];
    let mut function = Function::spawn(&binaries::trigger(), &api, &wrong);
    let Invocation::Response { body, .. } = api.invoke(fixture.clone(), COGNITO_WAITS).await else {
        panic!("the trigger failed");
    };
    assert_eq!(String::from_utf8(body).unwrap(), fixture.trim());
    function.kill();
    let stdout = function.stdout_lines().join("\n");
    for (variable, _) in wrong {
        assert!(stdout.contains(variable), "{stdout}");
    }
    assert!(stdout.contains("USER_SYNC_QUEUE_URL is not set"), "{stdout}");
    assert!(stdout.contains(r#""undelivered":{"#), "the event is in the log: {stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_to_sqs_stands_before_the_first_event() {
    let deployment = deployment().await;
    let never = Action::Cut { pass_on: true };
    let words =
        |words| Trap { speaker: Speaker::Program, words, nth: u32::MAX, repeats: false, action: never };
    let proxy = Proxy::in_front_of(&deployment.endpoint, Some(words("AmazonSQS."))).await;
    let endpoint = proxy.through(&deployment.endpoint);
    let api = LambdaRuntimeApi::start().await;
    let env = [&deployment.environment()[..], &[("AWS_ENDPOINT_URL", endpoint.as_str())]].concat();
    let function = Function::spawn(&binaries::trigger(), &api, &env);
    api.wait_until_ready(Duration::from_secs(10)).await;
    assert_eq!(proxy.count.load(std::sync::atomic::Ordering::SeqCst), 1, "{:?}", function.stderr_lines());
}
