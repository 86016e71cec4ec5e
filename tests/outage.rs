//! SQS away or silent: the sign-in goes on, the event reaches the log, and `replay` delivers it as it was.

use std::time::Duration;

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::publish::PUBLISH_BUDGET;
use cognito_user_sync_triggers::undelivered;
use tokio::net::TcpListener;

use crate::support::binaries;
use crate::support::conformance::Adapter;
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::{TestDatabase, deployment, refusing};

const FIXTURE: &str = include_str!("../triggers/fixtures/post_authentication_with_client_metadata.json");

/// The trigger's own budget, and what a loaded machine may add; inside the 5 s that Cognito waits.
const LIMIT: Duration = Duration::from_millis(2_500).saturating_add(PUBLISH_BUDGET);

/// Invokes the trigger twice against an SQS endpoint that does not answer; returns its log.
async fn sign_in_without_sqs(deployment: &Deployment, endpoint: &str) -> Vec<String> {
    let api = LambdaRuntimeApi::start().await;
    let env = [&deployment.environment()[..], &[("AWS_ENDPOINT_URL", endpoint)]].concat();
    let queue_url = deployment.queue_url.replace(&deployment.endpoint, endpoint);
    let env = [&env[..], &[("USER_SYNC_QUEUE_URL", &queue_url)]].concat();
    let mut function = Function::spawn(&binaries::trigger(), &api, &env);
    api.wait_until_ready(Duration::from_secs(10)).await;
    for _ in 0..2 {
        let Invocation::Response { body, elapsed } = api.invoke(FIXTURE, Duration::from_secs(5)).await else {
            panic!("the sign-in failed");
        };
        assert_eq!(String::from_utf8(body).unwrap(), FIXTURE.trim());
        assert!(elapsed < LIMIT, "{elapsed:?}");
        assert!(function.is_alive());
    }
    function.kill();
    function.stdout_lines()
}

/// The log has both events and a metric; `user-sync replay` delivers them with the same ids and times.
async fn replay_delivers(deployment: Deployment, log: Vec<String>) {
    let lost: Vec<Event<'static>> =
        log.iter().filter_map(|line| undelivered::read(line)).map(Result::unwrap).collect();
    assert_eq!(lost.len(), 2, "{log:?}");
    let metric = |line: &String| line.contains("\"_aws\"") && line.contains("\"undelivered\":1");
    assert_eq!(log.iter().filter(|line| metric(line)).count(), 2, "{log:?}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trigger.log");
    std::fs::write(&file, log.join("\n")).unwrap();
    for _ in 0..2 {
        // Twice: a replay that was broken off may be run again.
        let replay = std::process::Command::new(binaries::user_sync())
            .arg("replay")
            .arg(&file)
            .env_clear()
            .envs(deployment.environment())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&replay.stdout);
        assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
        assert!(said.starts_with("2 sent"), "{said}");
    }
    let consumer = Adapter::Worker.start(&deployment, &[]).await;
    consumer.drained(&deployment).await;
    consumer.end().await;
    let database = TestDatabase::of(deployment).await;
    let query = "select id, (extract(epoch from occurred_at) * 1000)::bigint from user_events order by id";
    let rows: Vec<(uuid::Uuid, i64)> = sqlx::query_as(query).fetch_all(&database.owner).await.unwrap();
    let mut expected: Vec<_> = lost
        .iter()
        .map(|event| (event.id().uuid(), i64::try_from(event.id().time().unix_millis()).unwrap()))
        .collect();
    expected.sort();
    assert_eq!(rows, expected);
    assert_eq!(database.count("users where login_count = 2").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_endpoint_costs_no_sign_in_and_no_event() {
    let deployment = deployment().await;
    let (_bound, endpoint) = refusing();
    let log = sign_in_without_sqs(&deployment, &endpoint).await;
    replay_delivers(deployment, log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_endpoint_costs_no_sign_in_and_no_event() {
    let deployment = deployment().await;
    // Accepts connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hanging = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    let log = sign_in_without_sqs(&deployment, &format!("http://127.0.0.1:{port}")).await;
    hanging.abort();
    replay_delivers(deployment, log).await;
}
