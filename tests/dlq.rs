//! `user-sync dlq` on an SQS server whose move tasks are not ours. Whatever it does, no message is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync::dev::stack::{Emulator, Progress, Sqs};
use cognito_user_sync::sqs::queue::Delivery;
use cognito_user_sync::store::outcome::Rejection;
use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::text::Text;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::events::{at, login};
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::{TestDatabase, binaries, eventually, move_tasks, take};

const LIMIT: Duration = Duration::from_secs(60);

fn command(arguments: &[&str], deployment: &Deployment) -> Command {
    let mut command = Command::new(binaries::user_sync());
    command.arg("dlq").args(arguments).env_clear().envs(deployment.environment()).stdin(Stdio::null());
    command
}

fn dlq(arguments: &[&str], deployment: &Deployment) -> Output {
    command(arguments, deployment).output().unwrap()
}

fn start(arguments: &[&str], deployment: &Deployment) -> Child {
    spawn(&mut command(arguments, deployment))
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A proxy in front of SQS, and its endpoint.
async fn in_front(deployment: &Deployment, trap: Trap) -> (Proxy, String) {
    let proxy = Proxy::in_front_of(&deployment.endpoint, Some(trap)).await;
    let endpoint = proxy.through(&deployment.endpoint);
    (proxy, endpoint)
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn listed(deployment: &Deployment) -> Value {
    let output = dlq(&["list", "--json"], deployment);
    assert!(output.status.success(), "{}", err(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A dead letter as the consumer sends it.
pub(crate) async fn reject(
    deployment: &Deployment,
    source: &str,
    body: &str,
    reason: &'static str,
    field: &str,
) {
    let delivery = Delivery {
        message_id: source.into(),
        receipt_handle: Text::default(),
        body: body.into(),
        receive_count: 1,
    };
    let rejection = Rejection { reason, field: field.to_owned(), detail: format!("{field}: of no use") };
    let deadline = Instant::now() + LIMIT;
    deployment.queue().dead_letter(&delivery, &rejection, deadline).await.unwrap();
}

/// Messages that are visible, and hidden, in a queue.
pub(crate) async fn counts(deployment: &Deployment, url: &str) -> (u64, u64) {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let request = deployment.client().get_queue_attributes().queue_url(url);
    let answer = request.set_attribute_names(Some(names.to_vec())).send().await.unwrap();
    let attributes = answer.attributes.unwrap();
    let [visible, hidden] = names.map(|name| attributes[&name].parse().unwrap());
    (visible, hidden)
}

pub(crate) async fn dead(deployment: &Deployment) -> (u64, u64) {
    counts(deployment, &deployment.dlq_url).await
}

/// How often each body is in a queue; takes them all.
pub(crate) async fn bodies(deployment: &Deployment, url: &str) -> BTreeMap<String, u32> {
    let mut bodies = BTreeMap::new();
    for message in take(deployment, url).await {
        *bodies.entry(message.body.unwrap()).or_default() += 1;
    }
    bodies
}

pub(crate) fn event(user: u128) -> Event<'static> {
    login(user, at(u64::try_from(user).unwrap()))
        .email("ada@example.com")
        .with(|data| {
            data.user_name = Some("ada_byron".into());
            data.client.ip = Some("192.0.2.7".into());
            data.client.user_agent = Some("Mozilla/5.0 (Analytical)".into());
            data.client.location = Some("Porto, PT".into());
            data.client.referral_code = Some("FRIEND42".into());
        })
        .build()
}

const PERSONAL: [&str; 7] =
    ["example.com", "ada_byron", "192.0.2.7", "Analytical", "Porto", "FRIEND42", "Countess"];

/// Valid in all but its version, which no build of ours writes.
pub(crate) fn of_version_2(user: u128) -> String {
    event(user).encode().replace("\"schemaversion\":1", "\"schemaversion\":2")
}

pub(crate) fn must_not_tell(text: &str) {
    for personal in PERSONAL {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_folds_copies_counts_reasons_and_leaves_everything_visible() {
    let deployment = move_tasks::deployment().await;
    let refused = event(1);
    reject(&deployment, "m1", &refused.encode(), "refused_by_database", "$").await;
    reject(&deployment, "m2", &refused.encode(), "refused_by_database", "$").await;
    reject(&deployment, "m3", "{\"email\":\"Countess", "malformed", "$").await;
    reject(&deployment, "m3", "{\"email\":\"Countess", "malformed", "$").await;
    reject(&deployment, "m4", &of_version_2(2), "unknown_version", "schemaversion").await;
    let request = deployment.client().send_message().queue_url(&deployment.dlq_url);
    request.message_body(event(3).encode()).send().await.unwrap();

    for round in 1..=2_u64 {
        let listed = listed(&deployment);
        assert_eq!(listed["messages"], 6);
        assert_eq!(listed["complete"], true);
        let reasons =
            json!({ "malformed": 1, "max_receives": 1, "refused_by_database": 1, "unknown_version": 1 });
        assert_eq!(listed["by_reason"], reasons);
        let letters = listed["dead_letters"].as_array().unwrap();
        let find = |reason: &str| letters.iter().find(|letter| letter["reason"] == reason).unwrap();
        let twice = find("refused_by_database");
        assert_eq!(twice["id"], refused.id().to_string());
        assert_eq!((&twice["copies"], &twice["type"]), (&json!(2), &json!("user.authenticated")));
        assert_eq!((&twice["receive_count"], &twice["stays_behind"]), (&json!(round), &Value::Null));
        assert!(twice["first_seen"].as_str().unwrap().ends_with('Z'));
        assert_eq!(find("malformed")["copies"], 2);
        assert_eq!(find("unknown_version")["field"], "schemaversion");
        assert_eq!(find("unknown_version")["stays_behind"], "unknown_version");
        assert_eq!(find("max_receives")["detail"], "received maxReceiveCount times without being applied");
        must_not_tell(&listed.to_string());
        assert_eq!(dead(&deployment).await, (6, 0));
    }
    let table = dlq(&["list", "--reason", "unknown_version"], &deployment);
    assert!(
        out(&table).starts_with("1 dead letters in 6 messages\n       1 unknown_version\n"),
        "{}",
        out(&table)
    );
    must_not_tell(&out(&table));
    let request =
        deployment.client().receive_message().queue_url(&deployment.dlq_url).visibility_timeout(600);
    let taken = request.send().await.unwrap().messages.unwrap().remove(0);
    let without = dlq(&["list"], &deployment);
    assert!(out(&without).contains("in 5 messages") && out(&without).contains("about 1 more are hidden"));
    let request = deployment.client().change_message_visibility().queue_url(&deployment.dlq_url);
    request.receipt_handle(taken.receipt_handle.unwrap()).visibility_timeout(0).send().await.unwrap();
    let few = dlq(&["list", "--limit", "2"], &deployment);
    assert!(out(&few).contains("there may be more: raise --limit"), "{}", out(&few));
    assert_eq!(dead(&deployment).await, (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn show_masks_what_is_personal_unless_told_to_reveal() {
    let deployment = move_tasks::deployment().await;
    let refused = event(1);
    reject(&deployment, "m1", &refused.encode(), "refused_by_database", "$").await;
    let malformed = r#"{"subject":"Countess","data":{"attributes":{"email":["ada@example.com"]}}}"#;
    reject(&deployment, "m2", malformed, "malformed", "$").await;
    let id = refused.id().to_string();

    let shown = out(&dlq(&["show", &id], &deployment));
    must_not_tell(&shown);
    for expected in
        ["reason: refused_by_database", "\"email\": \"•••\"", "user.authenticated", "on redrive  moves:", &id]
    {
        assert!(shown.contains(expected), "no {expected} in {shown}");
    }
    let revealed = out(&dlq(&["show", &id, "--reveal"], &deployment));
    for personal in PERSONAL.iter().take(6) {
        assert!(revealed.contains(personal), "no {personal} in {revealed}");
    }
    let listed = listed(&deployment);
    let letters = listed["dead_letters"].as_array().unwrap();
    let message_id =
        letters.iter().find(|letter| letter["reason"] == "malformed").unwrap()["id"].as_str().unwrap();
    let shown = out(&dlq(&["show", message_id], &deployment));
    must_not_tell(&shown);
    assert!(
        shown.contains("skipped: this build cannot decode it") && shown.contains("\"email\": ["),
        "{shown}"
    );
    assert!(out(&dlq(&["show", message_id, "--reveal"], &deployment)).contains(malformed));

    let unknown = dlq(&["show", "0199f3a1-7c1e-7d20-9b61-2f6f3c1b0a55"], &deployment);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(err(&unknown).contains("look for it with dlq list"), "{}", err(&unknown));
    assert_eq!(dead(&deployment).await, (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn drop_deletes_one_event_with_its_copies_and_leaves_a_record() {
    let deployment = move_tasks::deployment().await;
    let gone = event(1);
    for source in ["m1", "m2"] {
        reject(&deployment, source, &gone.encode(), "refused_by_database", "$").await;
    }
    // Another event under the same id is another letter.
    let other = gone.encode().replace("ada_byron", "somebody_else");
    reject(&deployment, "m3", &other, "id_conflict", "id").await;
    reject(&deployment, "m4", &event(2).encode(), "refused_by_database", "$").await;
    let id = gone.id().to_string();

    for arguments in [&["drop", &id][..], &["drop", &id, "--reason", ""], &["drop", &id, "--reason", " "]] {
        assert!(!dlq(arguments, &deployment).status.success());
    }
    let ambiguous = dlq(&["drop", &id, "--reason", "x"], &deployment);
    assert_eq!(ambiguous.status.code(), Some(1));
    assert!(err(&ambiguous).contains("give a message id instead"), "{}", err(&ambiguous));
    let unknown = dlq(&["drop", "nobody", "--reason", "x"], &deployment);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(dead(&deployment).await, (4, 0));

    let listed = listed(&deployment);
    let letters = listed["dead_letters"].as_array().unwrap();
    let twice = letters.iter().find(|letter| letter["copies"] == 2).unwrap();
    let message_id = twice["message_ids"][1].as_str().unwrap();
    let dropped = dlq(&["drop", message_id, "--reason", "a load test"], &deployment);
    assert!(dropped.status.success(), "{}", err(&dropped));
    let record: Value = serde_json::from_slice(&dropped.stdout).unwrap();
    assert_eq!(
        (&record["id"], &record["reason"], &record["who"]),
        (&json!(id), &json!("a load test"), &Value::Null)
    );
    assert_eq!(
        (&record["type"], &record["rejected_as"]),
        (&json!("user.authenticated"), &json!("refused_by_database"))
    );
    assert_eq!(record["message_ids"], twice["message_ids"]);
    must_not_tell(&err(&dropped));
    assert!(err(&dropped).contains("copy 2 of 2"));
    assert_eq!(dead(&deployment).await, (2, 0));
    let left = bodies(&deployment, &deployment.dlq_url).await;
    assert_eq!(left, BTreeMap::from([(other, 1), (event_body(&left, "ada_byron"), 1)]));
}

/// The one body that holds these words.
fn event_body(bodies: &BTreeMap<String, u32>, words: &str) -> String {
    bodies.keys().find(|body| body.contains(words)).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn redrive_moves_what_can_be_applied_and_leaves_the_rest_behind() {
    let deployment = move_tasks::deployment().await;
    let events: Vec<Event<'static>> = (0..30).map(event).collect();
    for (number, event) in events.iter().enumerate() {
        // Each can be applied once its cause is removed.
        let (reason, field) = [("refused_by_database", "$"), ("another_pool", "source")][number % 2];
        reject(&deployment, &format!("m{number}"), &event.encode(), reason, field).await;
    }
    let old = event(99).encode();
    let for_good = ["oops".to_owned(), of_version_2(40), of_version_2(41), old.clone()];
    for (number, body) in for_good.iter().enumerate() {
        let reason = if *body == old { "too_old" } else { "malformed" };
        reject(&deployment, &format!("bad{number}"), body, reason, "$").await;
    }
    let output = dlq(&["redrive", "--json"], &deployment);
    assert!(output.status.success(), "{}", err(&output));
    let redriven: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        redriven,
        json!({
            "end": "completed", "moved": 30, "left_behind": { "malformed": 1, "too_old": 1, "unknown_version": 2 },
            "not_held": 0, "hidden_for_now": 0, "has_unseen": false, "hidden": 0,
        })
    );
    assert_eq!(dead(&deployment).await, (4, 0));
    let queue = counts(&deployment, &deployment.queue_url).await;
    assert_eq!(queue, (30, 0));
    let nothing = dlq(&["redrive"], &deployment);
    assert!(nothing.status.success(), "{}", err(&nothing));
    assert!(out(&nothing).starts_with("0 messages moved\n4 left behind"), "{}", out(&nothing));

    let mut worker = Command::new(binaries::user_sync());
    worker.args(["worker", "--until-empty"]).env_clear().envs(deployment.environment());
    assert!(worker.output().unwrap().status.success());
    let database = TestDatabase::of(deployment.clone()).await;
    assert_eq!(database.count("users where login_count = 1").await, 30);

    let everything = dlq(&["redrive", "--all"], &deployment);
    assert!(out(&everything).starts_with("4 messages moved\n"), "{}{}", out(&everything), err(&everything));
    assert_eq!(dead(&deployment).await, (0, 0));
    let moved: BTreeSet<String> = bodies(&deployment, &deployment.queue_url).await.into_keys().collect();
    assert_eq!(moved, for_good.into_iter().collect());
}

/// Dead letters enough for a task that lasts, and one that stays behind.
async fn many(deployment: &Deployment) -> BTreeMap<String, u32> {
    let mut sent = BTreeMap::from([("oops".to_owned(), 1)]);
    reject(deployment, "bad", "oops", "malformed", "$").await;
    for user in 0..120 {
        let body = event(user).encode();
        reject(deployment, &format!("m{user}"), &body, "refused_by_database", "$").await;
        sent.insert(body, 1);
    }
    sent
}

async fn is_moving(deployment: &Deployment) {
    eventually("messages are moved", LIMIT, async || counts(deployment, &deployment.queue_url).await.0 > 5)
        .await;
}

/// Everything that was sent is in one of the two queues, once; some in each; what stays behind has stayed.
async fn nothing_is_lost(deployment: &Deployment, sent: BTreeMap<String, u32>) {
    eventually("nothing is hidden", LIMIT, async || dead(deployment).await.1 == 0).await;
    let mut found = bodies(deployment, &deployment.dlq_url).await;
    assert_eq!(found.get("oops"), Some(&1));
    let moved = bodies(deployment, &deployment.queue_url).await;
    assert!(found.len() > 1 && moved.len() > 5, "{} left, {} moved", found.len(), moved.len());
    for (body, count) in moved {
        *found.entry(body).or_default() += count;
    }
    assert_eq!(found, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_is_interrupted_cancels_its_task_and_loses_nothing() {
    let deployment = move_tasks::deployment().await;
    let sent = many(&deployment).await;
    let redrive = start(&["redrive", "--max-per-second", "10"], &deployment);
    is_moving(&deployment).await;
    let second = dlq(&["redrive"], &deployment);
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains("a task is active already"), "{}", err(&second));
    interrupt(&redrive);
    let output = redrive.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("cancelled after"), "{}", err(&output));
    assert!(out(&output).contains("1 left behind"), "{}", out(&output));
    nothing_is_lost(&deployment, sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_can_be_cancelled_from_elsewhere() {
    let deployment = move_tasks::deployment().await;
    let sent = many(&deployment).await;
    let redrive = start(&["redrive", "--max-per-second", "10"], &deployment);
    is_moving(&deployment).await;
    let cancelled = dlq(&["redrive", "--cancel"], &deployment);
    assert!(
        cancelled.status.success() && out(&cancelled).contains(" messages moved to arn:"),
        "{}",
        out(&cancelled)
    );
    let output = redrive.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("CANCELLED"), "{}", err(&output));
    assert_eq!(out(&dlq(&["redrive", "--cancel"], &deployment)), "no task is active\n");
    nothing_is_lost(&deployment, sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_whose_messages_come_back_gives_up() {
    let deployment = move_tasks::deployment().await;
    for user in 0..30 {
        reject(&deployment, &format!("m{user}"), &event(user).encode(), "refused_by_database", "$").await;
    }
    let redrive = start(&["redrive", "--max-per-second", "5"], &deployment);
    let ended = tokio::task::spawn_blocking(move || redrive.wait_with_output().unwrap());
    let queue = deployment.queue();
    // A consumer that rejects everything again, faster than the task moves it, also on a busy machine: a task that
    // finds nothing is done.
    let rejects_again = async || -> Infallible {
        loop {
            for delivery in queue.receive(10, Duration::ZERO).await.unwrap() {
                reject(&deployment, "again", &delivery.body, "refused_by_database", "$").await;
                queue.delete(&[&delivery]).await;
            }
        }
    };
    let output = tokio::select! {
        output = ended => output.unwrap(),
        _ = join_all((0..4).map(|_| rejects_again())) => unreachable!(),
    };
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("fix the cause first"), "{}", err(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_is_killed_loses_nothing() {
    let deployment = move_tasks::deployment().await;
    let sent = many(&deployment).await;
    let mut redrive = start(&["redrive", "--max-per-second", "10"], &deployment);
    is_moving(&deployment).await;
    redrive.kill().unwrap();
    redrive.wait().unwrap();
    // The task is SQS's and goes on; what was held stays hidden from it.
    let all_but_one = async || {
        counts(&deployment, &deployment.queue_url).await.0 == 120 && dead(&deployment).await == (0, 1)
    };
    eventually("the task has ended", LIMIT, all_but_one).await;
    let mut found = bodies(&deployment, &deployment.queue_url).await;
    found.insert("oops".to_owned(), 1);
    assert_eq!(found, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_and_nothing_stays_hidden() {
    let deployment = move_tasks::deployment().await;
    reject(&deployment, "m1", &event(1).encode(), "refused_by_database", "$").await;
    reject(&deployment, "m2", "oops", "malformed", "$").await;
    let trap = Trap {
        speaker: Speaker::Program,
        words: "AmazonSQS.StartMessageMoveTask",
        nth: 1,
        repeats: true,
        action: Action::Answer(
            "HTTP/1.1 403 Forbidden\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 34\r\nconnection: close\r\n\r\n{\"__type\":\"AccessDeniedException\"}",
        ),
    };
    let (_proxy, endpoint) = in_front(&deployment, trap).await;
    let redrive = command(&["redrive"], &deployment).env("AWS_ENDPOINT_URL", endpoint).output();
    let output = redrive.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = err(&output);
    assert!(said.contains("AccessDeniedException; the role needs sqs:StartMessageMoveTask, "), "{said}");
    assert_eq!(dead(&deployment).await, (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_interrupted_leaves_everything_visible() {
    let deployment = move_tasks::deployment().await;
    for user in 0..20 {
        reject(&deployment, &format!("m{user}"), &event(user).encode(), "refused_by_database", "$").await;
    }
    // After the first receive, which hides some.
    let action = Action::Tell { pass_on: false };
    let words = "AmazonSQS.ReceiveMessage";
    let trap = Trap { speaker: Speaker::Program, words, nth: 2, repeats: false, action };
    let (mut proxy, endpoint) = in_front(&deployment, trap).await;
    let list = spawn(command(&["list"], &deployment).env("AWS_ENDPOINT_URL", endpoint));
    let held = tokio::time::timeout(LIMIT, proxy.sprung.recv()).await.unwrap().unwrap();
    assert_ne!(dead(&deployment).await.1, 0, "messages are hidden");
    interrupt(&list);
    drop(held);
    let output = list.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("interrupted"), "{}", err(&output));
    assert_eq!(dead(&deployment).await, (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_is_named_with_the_next_step() {
    let deployment = move_tasks::deployment().await;
    let wrong = format!("{}-not-there", deployment.dlq_url);
    let output = command(&["list"], &deployment).env("USER_SYNC_DLQ_URL", wrong).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("check USER_SYNC_DLQ_URL"), "{}", err(&output));
    let output = command(&["list"], &deployment).env_remove("USER_SYNC_DLQ_URL").output().unwrap();
    assert!(err(&output).contains("USER_SYNC_DLQ_URL is not set"), "{}", err(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_with_move_tasks_ends_with_its_owner() {
    let sqs = Sqs::start(Emulator::LocalStack, &Progress::Lines).await.unwrap();
    let address = sqs.endpoint().trim_start_matches("http://").to_owned();
    assert!(address.starts_with("127.0.0.1:"));
    assert!(tokio::net::TcpStream::connect(&address).await.is_ok());
    // As when the process ends, however it does: the watchdog's pipe closes.
    drop(sqs);
    let is_gone = async || tokio::net::TcpStream::connect(&address).await.is_err();
    eventually("it does not listen any more", LIMIT, is_gone).await;
}
