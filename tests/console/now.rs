//! The page Now against the real console, a real worker, a real database and queue; CloudWatch is a stub.

use std::collections::BTreeSet;
use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, EventId, PoolSeen};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;

use crate::metrics::Worker;
use crate::support::cloudwatch_stub::CloudWatchStub;
use crate::support::console::Console;
use crate::support::events::{at, login};
use crate::support::{TestDatabase, deployment, eventually, own_stack, refusing, send};
use cognito_user_sync::dev::local::Deployment;

const LONG: Duration = Duration::from_secs(60);

async fn json(console: &Console) -> Value {
    let answer = console.get("/now.json").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

fn check<'a>(now: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks = now["checks"].as_array().unwrap();
    let check =
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {now}"));
    (check["status"].as_str().unwrap(), check["now"].as_str().unwrap())
}

/// Looks until it is so; the sources are asked every 10 seconds.
async fn looked(console: &Console, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let last_seen = &mut last;
    eventually(what, LONG, async || {
        *last_seen = json(console).await;
        let so = is_so(last_seen);
        if !so {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        so
    })
    .await;
    last
}

/// Whether the sentence is said, and nothing but the roles of another test's login is to be looked at: they are the server's.
fn is_well(now: &Value) -> bool {
    let checks = now["checks"].as_array().unwrap();
    let mut wrong =
        checks.iter().filter(|check| check["status"] == "attention" || check["status"] == "broken");
    let is_others = |check: &Value| {
        check["name"] == "Grants and logins" && check["now"].as_str().unwrap().starts_with("memberships")
    };
    now["status"] != "unknown" && !now["up_to"].is_null() && wrong.all(is_others)
}

fn sentence(now: &Value) -> &str {
    let said = if now["status"] == "healthy" { "verdict" } else { "detail" };
    now[said].as_str().unwrap()
}

/// A heartbeat as the lifecycle function sends it: it tells how many of the two triggers are missing.
fn heartbeat(missing: u8) -> String {
    let arn = || Some("arn:aws:lambda:eu-west-1:111122223333:function:user-sync-trigger".to_owned());
    let pool = PoolSeen {
        user_pool_id: "eu-west-1_Abc123Def".to_owned(),
        region: "eu-west-1".to_owned(),
        missing,
        post_confirmation: arn(),
        post_authentication: arn(),
    };
    Event::Heartbeat { id: EventId::new(Timestamp::now()), pools: vec![pool] }.encode()
}

async fn drained(deployment: &Deployment) {
    let queue = deployment.queue();
    eventually("the queue is drained", LONG, async || queue.backlog().await == Ok(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_deployment_says_up_to_when_every_queued_sign_in_is_in_the_database() {
    let deployment = deployment().await;
    let worker = Worker::start(&deployment.environment());
    let url = format!("http://{}/metrics", worker.address().await);
    let console = Console::start(&deployment, &["--metrics-url", &url]).await;
    looked(&console, "nothing has arrived", |now| now["verdict"] == "Nothing has arrived yet.").await;
    console.get("/now").await.says("user-sync heartbeat --wait").says("user-sync reconcile --repair");

    let event = |user| login(user, Timestamp::now()).build().encode();
    send(&deployment, &[event(1), event(2), heartbeat(0)]).await;
    drained(&deployment).await;
    let now = looked(&console, "it is healthy", is_well).await;
    assert!(sentence(&now).starts_with("Every sign-in that was queued up to "), "{now}");
    let up_to = Timestamp::parse(now["up_to"].as_str().unwrap()).unwrap();
    assert!(up_to < Timestamp::now(), "nothing is claimed of what may still be on its way");
    assert_eq!(check(&now, "Triggers in place"), ("healthy", "2 of 2"));
    assert_eq!(check(&now, "Dead letters"), ("healthy", "0"));
    assert_eq!(check(&now, "Undelivered").0, "unknown", "nothing tells of it, and that is no zero");
    assert_eq!(check(&now, "Schema").0, "healthy", "{now}");
    let hour: u64 =
        now["hour"].as_array().unwrap().iter().filter_map(|minute| minute["applied"].as_u64()).sum();
    assert_eq!(hour, 3, "what the worker counted while the console looked: {now}");
    let page = console.get("/now").await;
    page.says("is in the database.").says("Oldest in the queue").never_says("style=");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_gone_is_not_known_and_the_rest_is_alive() {
    let deployment = deployment().await;
    let worker = Worker::start(&deployment.environment());
    let url = format!("http://{}/metrics", worker.address().await);
    send(&deployment, &[heartbeat(0)]).await;
    drained(&deployment).await;
    let console = Console::start(&deployment, &["--metrics-url", &url]).await;
    looked(&console, "it is healthy", is_well).await;
    drop(worker);
    let now = looked(&console, "the worker is gone", |now| now["status"] == "unknown").await;
    assert!(now["detail"].as_str().unwrap().contains("no worker answers there"), "{now}");
    assert_eq!(check(&now, "From sign-in to row, p99").0, "unknown");
    assert_eq!(check(&now, "Heartbeat").0, "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_and_missing_triggers_are_broken_and_say_what_to_do() {
    let database = TestDatabase::create().await;
    let deployment = &database.deployment;
    let letter = deployment.client().send_message().queue_url(&deployment.dlq_url).message_body("{");
    letter.send().await.unwrap();
    let console = Console::start(deployment, &[]).await;
    let now = looked(&console, "the dead letter is seen", |now| now["status"] == "broken").await;
    assert_eq!(now["verdict"], "1 event could not be applied.");
    assert_eq!(now["dead_letters"], 1);
    let page = console.get("/now").await;
    page.says("user-sync dlq list").says("/runbook#dead-letters--0");

    crate::support::apply_any(&database.applier, &[heartbeat(1)]).await;
    let now = looked(&console, "the triggers are missing", |now| {
        now["verdict"] == "1 of 2 triggers do not call us."
    })
    .await;
    assert_eq!(check(&now, "Triggers in place"), ("broken", "1 of 2"));
    console.get("/now").await.says("user-sync triggers show");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stops_leaves_a_page_that_answers_and_comes_back() {
    let stack = own_stack().await;
    let deployment = Deployment::create(&stack).await.unwrap();
    let worker = Worker::start(&deployment.environment());
    let url = format!("http://{}/metrics", worker.address().await);
    let console = Console::start(&deployment, &["--metrics-url", &url]).await;
    send(&deployment, &[heartbeat(0)]).await;
    drained(&deployment).await;
    looked(&console, "it is healthy", is_well).await;

    stack.postgres.stop_server().await.unwrap();
    let silent =
        |now: &Value| now["verdict"].as_str().unwrap().starts_with("The database does not answer since ");
    let now = looked(&console, "the database is silent", silent).await;
    assert_eq!(check(&now, "Dead letters").0, "healthy", "SQS is asked still");
    assert_eq!(check(&now, "Heartbeat").0, "unknown");
    assert!(check(&now, "Heartbeat").1.contains("arrived at "), "with its last value: {now}");
    console.get("/now").await.says("What still works here").says("asked ");

    stack.postgres.start_server().await.unwrap();
    looked(&console, "it is back", |now| !silent(now)).await;
    drop(console);
    stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_pages_at_once_ask_the_database_once() {
    let database = TestDatabase::create().await;
    let console = Console::start(&database.deployment, &[]).await;
    // The first ten find nothing yet, and all of them wait for one answer.
    let pages = futures::future::join_all((0..10).map(|_| json(&console))).await;
    let looked_at: BTreeSet<&str> =
        pages.iter().map(|now| now["checks"][0]["looked_at"].as_str().expect("it was asked")).collect();
    assert_eq!(looked_at.len(), 1, "{looked_at:?}");
}

/// The arguments for CloudWatch, and an environment in which it is the stub.
const SERVICES: [&str; 6] = [
    "--consumer-service",
    "sync-consumer",
    "--trigger-service",
    "sync-trigger",
    "--lifecycle-service",
    "sync-life",
];

async fn with_cloudwatch(deployment: &Deployment, stub: &CloudWatchStub) -> Console {
    let own = [("AWS_ENDPOINT_URL_CLOUDWATCH", stub.endpoint.as_str())];
    let console = Console::start_signed_out(&[&deployment.environment()[..], &own].concat(), &SERVICES).await;
    console.sign_in().await;
    console
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudwatch_is_asked_once_a_minute_for_ten_browsers() {
    let database = TestDatabase::create().await;
    crate::support::apply_any(&database.applier, &[heartbeat(0), login(1, at(1)).build().encode()]).await;
    let stub = CloudWatchStub::start().await;
    let minute = Timestamp::now().unix_millis() / 60_000;
    let points = |values: &[(u64, f64)]| values.iter().map(|(ago, value)| (minute - ago, *value)).collect();
    stub.says(
        "applied",
        points(&[(55, 3.0), (45, 2.0), (35, 2.0), (25, 2.0), (15, 4.0), (5, 2.0), (2, 7.0)]),
    );
    stub.says("p99", points(&[(55, 1.0), (2, 1.8)]));
    stub.says("waiting", points(&[(2, 8.0)]));
    stub.says("oldest", points(&[(2, 2.0)]));
    stub.says("published0", points(&[(2, 7.0)]));
    let console = with_cloudwatch(&database.deployment, &stub).await;
    let pages = futures::future::join_all((0..10).map(|_| console.get("/now"))).await;
    assert!(pages.iter().all(|page| page.status == 200));
    let now = looked(&console, "it is healthy", is_well).await;
    assert!(sentence(&now).starts_with("Every sign-in up to "), "{now}");
    assert_eq!(check(&now, "Undelivered"), ("healthy", "0 in 24 h"));
    assert_eq!(check(&now, "From sign-in to row, p99"), ("healthy", "1.8 s"));
    let hour = now["hour"].as_array().unwrap();
    let applied: u64 = hour.iter().filter_map(|minute| minute["applied"].as_u64()).sum();
    assert_eq!(applied, 22);
    assert!(hour.iter().any(|minute| minute["applied"] == 0), "between two counts nothing was applied");
    assert_eq!(hour.last().unwrap()["applied"], Value::Null, "and after the last nobody knows");
    assert_eq!(stub.calls().len(), 1, "one call for all of them");
    let call = &stub.calls()[0];
    for named in
        ["AWS/SQS", "ApproximateAgeOfOldestMessage", "sync-consumer", "sync-trigger", "triggers_missing"]
    {
        assert!(call.contains(named), "{named}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudwatch_that_throttles_or_answers_in_part_is_not_known() {
    let database = TestDatabase::create().await;
    crate::support::apply_any(&database.applier, &[heartbeat(0)]).await;
    let stub = CloudWatchStub::start().await;
    stub.fails(400, "ThrottlingException");
    let console = with_cloudwatch(&database.deployment, &stub).await;
    let now = looked(&console, "CloudWatch throttles", |now| {
        check(now, "Undelivered").1.contains("ThrottlingException")
    })
    .await;
    assert_eq!(now["status"], "unknown");
    assert_eq!(check(&now, "Heartbeat").0, "healthy", "the rest is alive");

    // A series that is not whole is no smaller number, and one that is missing is no zero.
    let stub = CloudWatchStub::start().await;
    let minute = Timestamp::now().unix_millis() / 60_000;
    stub.says("oldest", vec![(minute - 2, 2.0)]);
    stub.says("published0", vec![(minute - 2, 2.0)]);
    stub.says_in_part("undelivered0", vec![(minute - 2, 0.0)]);
    let console = with_cloudwatch(&database.deployment, &stub).await;
    let now = looked(&console, "an answer in part", |now| {
        check(now, "Undelivered").1.contains("CloudWatch answered in part")
    })
    .await;
    assert_eq!(now["status"], "unknown");
    assert_eq!(check(&now, "From sign-in to row, p99").0, "unknown");
    let hour = now["hour"].as_array().unwrap();
    assert!(hour.iter().all(|minute| minute["applied"].is_null()), "nobody counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_refuses_connections_is_not_known() {
    let deployment = deployment().await;
    let (_socket, nowhere) = refusing();
    let own = [("AWS_ENDPOINT_URL", nowhere.as_str())];
    let environment: Vec<_> =
        deployment.environment().into_iter().filter(|(name, _)| *name != "AWS_ENDPOINT_URL").collect();
    let console = Console::start_signed_out(&[&environment[..], &own].concat(), &[]).await;
    console.sign_in().await;
    let now = looked(&console, "SQS is silent", |now| check(now, "Dead letters").1.contains("SQS")).await;
    assert_eq!(check(&now, "Dead letters").0, "unknown");
    assert_eq!(now["dead_letters"], Value::Null, "and no zero");
}
