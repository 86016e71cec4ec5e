//! Dead letters: read only when asked, shown masked, and redriven or dropped as they were seen, on a real queue.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync_triggers::event::Event;

use crate::dlq::{bodies, counts, dead, event, must_not_tell, of_version_2, reject};
use crate::support::console::{Answer, Console};
use crate::support::{TestDatabase, binaries, deployment, eventually, refusing};

const LIMIT: Duration = Duration::from_secs(90);

async fn acting(deployment: &Deployment) -> Console {
    Console::start(deployment, &["--allow", "act"]).await
}

/// Reads the queue, and shows what was seen.
async fn read(console: &Console) -> Answer {
    let asked = console.post("/dead-letters/read", &[]).await;
    assert_eq!((asked.status, asked.location()), (303, "/dead-letters"), "{asked:?}");
    eventually("the reading has ended", LIMIT, async || {
        !console.get("/dead-letters").await.body.contains("Reading since")
    })
    .await;
    console.get("/dead-letters").await
}

/// The value of the first hidden field of this name.
fn hidden<'a>(page: &'a Answer, name: &str) -> &'a str {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.body.split(&start).nth(1).unwrap_or_else(|| panic!("no {name} in {}", page.body));
    rest.split('"').next().unwrap()
}

/// What can be ticked on a page.
fn picks(page: &Answer) -> Vec<String> {
    let boxes = page.body.split("name=\"pick\" value=\"").skip(1);
    boxes.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// Presses a button of a page, and returns where the plan is.
async fn plan(console: &Console, page: &Answer, deed: &str, more: &[(&str, &str)]) -> String {
    let form =
        [&[("queue", "events"), ("reading", hidden(page, "reading")), ("deed", deed)][..], more].concat();
    let planned = console.post("/dead-letters/plan", &form).await;
    assert_eq!(planned.status, 303, "{planned:?}");
    assert!(planned.location().starts_with("/plans/"), "{planned:?}");
    planned.location().to_owned()
}

/// Starts a plan, and returns where the task is.
async fn start(console: &Console, plan: &str, rate: &str, count: &str) -> String {
    let typed = [("rate", rate), ("reason", "change 882"), ("count", count)];
    let started = console.post(plan, &typed).await;
    assert_eq!(started.status, 303, "{started:?}");
    assert!(started.location().starts_with("/tasks/"), "{started:?}");
    started.location().to_owned()
}

async fn ended(console: &Console, task: &str) -> Answer {
    eventually("the task has ended", LIMIT, async || !console.get(task).await.body.contains("mark-running"))
        .await;
    console.get(task).await
}

async fn refused(deployment: &Deployment, users: std::ops::Range<u128>) {
    for user in users {
        reject(deployment, &format!("m{user}"), &event(user).encode(), "refused_by_database", "$").await;
    }
}

fn worker(deployment: &Deployment) {
    let mut worker = Command::new(binaries::user_sync());
    worker.args(["worker", "--until-empty"]).env_clear().envs(deployment.environment());
    assert!(worker.output().unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_received_by_looking() {
    let deployment = deployment().await;
    refused(&deployment, 0..3).await;
    let console = acting(&deployment).await;
    for path in ["/dead-letters", "/dead-letters?reason=refused_by_database", "/dead-letters"] {
        let page = console.get(path).await;
        page.says("Nobody has read this queue").says("about 3 in the queue").never_says("1 message");
    }
    assert_eq!(console.get("/dead-letters/not-there").await.status, 404);
    let page = read(&console).await;
    page.says("Redrive 3").says("The table refuses the row").says("after what refuses it is undone");
    // Received once: by the reading.
    let of_reason = console.get("/dead-letters?queue=events&reason=refused_by_database").await;
    assert_eq!(
        of_reason.body.matches("data-label=\"Received\" class=\"num\">1</td>").count(),
        3,
        "{}",
        of_reason.body
    );
    assert_eq!(dead(&deployment).await, (3, 0));
    for _ in 0..3 {
        console.get("/dead-letters?reason=refused_by_database").await.says("1 to 3 of 3");
    }
    read(&console).await;
    let again = console.get("/dead-letters?reason=refused_by_database").await;
    again.says("data-label=\"Received\" class=\"num\">2</td>");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_shows_what_is_wrong_and_nothing_of_a_person() {
    let deployment = deployment().await;
    let twice = event(1);
    for source in ["m1", "m2"] {
        reject(&deployment, source, &twice.encode(), "refused_by_database", "$").await;
    }
    reject(&deployment, "m3", "{\"email\":\"Countess", "malformed", "$").await;
    reject(&deployment, "m4", &of_version_2(2), "unknown_version", "schemaversion").await;
    let request = deployment.client().send_message().queue_url(&deployment.dlq_url);
    request.message_body(event(3).encode()).send().await.unwrap();
    let console = acting(&deployment).await;
    let page = read(&console).await;
    for says in
        ["refused_by_database", "malformed", "unknown_version", "max_receives", "Drop 1", "never: comes back"]
    {
        page.says(says);
    }
    must_not_tell(&page.body);
    let of_reason = console.get("/dead-letters?reason=refused_by_database").await;
    of_reason
        .says("2 copies")
        .says("user.authenticated")
        .says("came in the minute before the queue was read");
    let Event::User(user) = &twice else { panic!("{twice:?}") };
    of_reason.says(&format!("href=\"/users/{}\"", user.sub));
    let id = twice.id().to_string();
    of_reason.says(&format!("href=\"/dead-letters/{}\"", id.replace('-', "%2D")));
    must_not_tell(&of_reason.body);
    let one = console.get(&format!("/dead-letters/{id}")).await;
    one.says("2 copies").says("&#34;email&#34;: &#34;•••&#34;").says("Redrive 1");
    must_not_tell(&one.body);
    let malformed = console.get("/dead-letters?reason=malformed").await;
    let not_json = console.get(&format!("/dead-letters/{}", picks(&malformed)[0])).await;
    not_json.says("bytes that are not JSON").says("A redrive leaves it").never_says("Redrive 1");
    must_not_tell(&not_json.body);
    must_not_tell(&console.stderr());
    assert_eq!(dead(&deployment).await, (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_look_gets_commands_and_changes_nothing() {
    let deployment = deployment().await;
    refused(&deployment, 0..2).await;
    let console = Console::start(&deployment, &[]).await;
    let page = console.get("/dead-letters").await;
    page.says("user-sync dlq list")
        .says("needs the right to act")
        .never_says("<button class=\"button\">Read");
    let read = console.post("/dead-letters/read", &[]).await;
    assert_eq!(read.status, 403, "{read:?}");
    let form =
        [("queue", "events"), ("reading", "x"), ("deed", "drop_all"), ("reason", "refused_by_database")];
    let planned = console.post("/dead-letters/plan", &form).await;
    assert_eq!(planned.status, 403, "{planned:?}");
    console.get("/dead-letters").await.says("Nobody has read this queue");
    assert_eq!(dead(&deployment).await, (2, 0));
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.count("user_sync_console_trail where did = 'refused'").await, 2);
    assert_eq!(database.count("user_sync_console_trail where did = 'read'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_reason_go_back_by_the_count_and_are_followed_into_the_ledger() {
    let deployment = deployment().await;
    refused(&deployment, 0..30).await;
    reject(&deployment, "bad", "oops", "malformed", "$").await;
    let console = acting(&deployment).await;
    let page = read(&console).await;
    // It came since: it is not in the plan.
    let later = event(40).encode();
    reject(&deployment, "later", &later, "refused_by_database", "$").await;
    let plan = plan(&console, &page, "redrive_all", &[("reason", "refused_by_database")]).await;
    let shown = console.get(&plan).await;
    shown.says("Redrive 30 messages?").says("Left where they are: not chosen").says("Five of them");
    must_not_tell(&shown.body);
    for wrong in ["", "29", "31", "all"] {
        let typed = [("rate", "100"), ("reason", "change 882"), ("count", wrong)];
        let answer = console.post(&plan, &typed).await;
        assert_ne!(answer.status, 303, "{answer:?}");
        answer.says("Nothing was done");
    }
    assert_eq!(
        (dead(&deployment).await, counts(&deployment, &deployment.queue_url).await),
        ((32, 0), (0, 0))
    );
    let task = start(&console, &plan, "500", "30").await;
    eventually("they are sent back", LIMIT, async || dead(&deployment).await == (2, 0)).await;
    worker(&deployment);
    let task = ended(&console, &task).await;
    task.says("Done").says("Sent back").says("Of these in the ledger");
    assert_eq!(counts(&deployment, &deployment.queue_url).await, (0, 0));
    assert_eq!(dead(&deployment).await, (2, 0));
    // What was dealt with is gone from what was seen, without another look.
    console.get("/dead-letters").await.never_says("Redrive").says("Drop 1").says("About 1 more");
    let left: BTreeMap<String, u32> = bodies(&deployment, &deployment.dlq_url).await;
    assert_eq!(left, BTreeMap::from([("oops".to_owned(), 1), (later, 1)]));
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.count("users where login_count = 1").await, 30);
    assert_eq!(database.count("user_sync_console_trail where did = 'read'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_go_back_and_the_others_stay() {
    let deployment = deployment().await;
    refused(&deployment, 0..30).await;
    let console = acting(&deployment).await;
    read(&console).await;
    let page = console.get("/dead-letters?reason=refused_by_database").await;
    let first = picks(&page);
    assert_eq!(first.len(), 25);
    let older = page.body.split("data-older").next().unwrap().rsplit("href=\"").next().unwrap();
    let older = older.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    let second = console.get(&older).await;
    second.says("26 to 30 of 30");
    assert!(picks(&second).iter().all(|pick| !first.contains(pick)), "{second:?}");
    let chosen =
        [("pick", first[0].as_str()), ("pick", first[3].as_str()), ("reason", "refused_by_database")];
    let plan = plan(&console, &page, "redrive", &chosen).await;
    console.get(&plan).await.says("Redrive 2 messages?");
    let task = start(&console, &plan, "100", "2").await;
    eventually("they are sent back", LIMIT, async || dead(&deployment).await == (28, 0)).await;
    worker(&deployment);
    ended(&console, &task).await.says("Done");
    let none = console
        .post("/dead-letters/plan", &[("queue", "events"), ("reading", "x"), ("deed", "redrive")])
        .await;
    assert_eq!(none.status, 400);
    none.says("No message is ticked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_leaves_the_rest_visible() {
    let deployment = deployment().await;
    refused(&deployment, 0..60).await;
    let console = acting(&deployment).await;
    let page = read(&console).await;
    let plan = plan(&console, &page, "redrive_all", &[("reason", "refused_by_database")]).await;
    let task = start(&console, &plan, "3", "60").await;
    eventually("some are sent", LIMIT, async || counts(&deployment, &deployment.queue_url).await.0 > 0).await;
    // Meanwhile nobody reads: they would hide messages from each other.
    read(&console).await.says("A task is at work on this queue");
    let cancelled = console.post(&format!("{task}/cancel"), &[]).await;
    assert_eq!(cancelled.status, 303, "{cancelled:?}");
    ended(&console, &task).await.says("Cancelled").says("Sent back");
    let (moved, left) = (counts(&deployment, &deployment.queue_url).await, dead(&deployment).await);
    assert_eq!((moved.0 + left.0, moved.1, left.1), (60, 0, 0));
    assert!(left.0 > 0 && moved.0 > 0, "{moved:?} {left:?}");
    let of_reason = console.get("/dead-letters?reason=refused_by_database").await;
    of_reason.says(&format!("of {}", left.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_ends_in_the_middle_leaves_nothing_hidden() {
    let deployment = deployment().await;
    refused(&deployment, 0..60).await;
    let console = acting(&deployment).await;
    let page = read(&console).await;
    let plan = plan(&console, &page, "redrive_all", &[("reason", "refused_by_database")]).await;
    start(&console, &plan, "3", "60").await;
    eventually("some are sent", LIMIT, async || counts(&deployment, &deployment.queue_url).await.0 > 0).await;
    console.ask_to_end();
    eventually("nothing is hidden", LIMIT, async || dead(&deployment).await.1 == 0).await;
    let (moved, left) = (counts(&deployment, &deployment.queue_url).await, dead(&deployment).await);
    assert_eq!(moved.0 + left.0, 60, "{moved:?} {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_asks_for_the_count_and_writes_down_what_it_dropped() {
    let deployment = deployment().await;
    reject(&deployment, "bad", "oops", "malformed", "$").await;
    let old = event(5);
    reject(&deployment, "m5", &old.encode(), "too_old", "time").await;
    refused(&deployment, 0..2).await;
    let console = acting(&deployment).await;
    let page = read(&console).await;
    let plan = plan(&console, &page, "drop_all", &[("reason", "too_old")]).await;
    console.get(&plan).await.says("Drop 1 message?").says("for good");
    for typed in [&[("reason", "old"), ("count", "")][..], &[("reason", ""), ("count", "1")]] {
        let answer = console.post(&plan, typed).await;
        assert_ne!(answer.status, 303, "{answer:?}");
    }
    assert_eq!(dead(&deployment).await, (4, 0));
    let task = start(&console, &plan, "100", "1").await;
    ended(&console, &task).await.says("Done").says("Dropped");
    assert_eq!(dead(&deployment).await, (3, 0));
    // A plan is done once.
    let again = console.post(&plan, &[("reason", "old"), ("count", "1")]).await;
    assert!(again.status != 303 || again.location() == task, "{again:?}");
    assert_eq!(dead(&deployment).await, (3, 0));
    let left = bodies(&deployment, &deployment.dlq_url).await;
    assert!(!left.contains_key(&old.encode()));
    let database = TestDatabase::of(deployment).await;
    let written = format!("user_sync_console_trail where result = 'dropped {}'", old.id());
    assert_eq!(database.count(&written).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_older_reading_plans_nothing() {
    let deployment = deployment().await;
    refused(&deployment, 0..2).await;
    let console = acting(&deployment).await;
    let mine = read(&console).await;
    refused(&deployment, 2..4).await;
    // Another browser reads; this one's page is what it was.
    read(&console).await.says("Redrive 4");
    let form = [
        ("queue", "events"),
        ("reading", hidden(&mine, "reading")),
        ("deed", "redrive_all"),
        ("reason", "refused_by_database"),
    ];
    let planned = console.post("/dead-letters/plan", &form).await;
    assert_eq!(planned.status, 400);
    planned.says("was read again since your page was made");
    assert_eq!(dead(&deployment).await, (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_after_a_redrive_is_said() {
    let deployment = deployment().await;
    let sent = event(1).encode();
    reject(&deployment, "m1", &sent, "refused_by_database", "$").await;
    let console = acting(&deployment).await;
    let page = read(&console).await;
    let plan = plan(&console, &page, "redrive_all", &[("reason", "refused_by_database")]).await;
    let task = start(&console, &plan, "100", "1").await;
    eventually("it is sent back", LIMIT, async || dead(&deployment).await == (0, 0)).await;
    let cancelled = console.post(&format!("{task}/cancel"), &[]).await;
    assert_eq!(cancelled.status, 303);
    ended(&console, &task).await;
    // As the consumer does while the cause is there.
    reject(&deployment, "m2", &sent, "refused_by_database", "$").await;
    read(&console).await;
    let page = console.get("/dead-letters?reason=refused_by_database").await;
    page.says("came back after a redrive");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_into_a_message_does_nothing_to_a_page() {
    let deployment = deployment().await;
    let attack = "<script>alert(1)</script>\u{202e}\"'&{{7*7}}";
    let json =
        serde_json::json!({ "type": attack, "id": attack, "subject": attack, "data": { attack: attack } });
    let shared = event(1);
    let large = format!("{{\"data\":\"{}\"}}", "<b>".repeat(80 * 1_024));
    reject(&deployment, attack, attack, "malformed", attack).await;
    reject(&deployment, attack, &json.to_string(), "malformed", "data").await;
    reject(&deployment, "m3", &large, "malformed", "$").await;
    reject(&deployment, "m4", &shared.encode(), "id_conflict", "id").await;
    reject(&deployment, "m5", &shared.encode().replace("ada_byron", "other"), "id_conflict", "id").await;
    let value = |text: &str| {
        let value = aws_sdk_sqs::types::MessageAttributeValue::builder().data_type("String");
        value.string_value(text).build().unwrap()
    };
    let request = deployment.client().send_message().queue_url(&deployment.dlq_url).message_body("x");
    let request =
        request.message_attributes("reason", value(attack)).message_attributes("field", value(attack));
    request.message_attributes("detail", value(attack)).send().await.unwrap();
    let console = acting(&deployment).await;
    let page = read(&console).await;
    page.says("unreadable").says("Not a reason of this build");
    for reason in ["malformed", "unreadable", "id_conflict"] {
        let of_reason = console.get(&format!("/dead-letters?reason={reason}")).await;
        of_reason.never_says("<script>alert").never_says("\u{202e}").never_says("<b>");
        for pick in picks(&of_reason) {
            let one = console.get(&format!("/dead-letters/{pick}")).await;
            assert_eq!(one.status, 200);
            one.never_says("<script>alert").never_says("\u{202e}").never_says("<b>");
        }
    }
    // Two events have this id: both are shown.
    let both = console.get(&format!("/dead-letters/{}", shared.id())).await;
    both.says("2 dead letters have this id");
    must_not_tell(&both.body);
    let odd = console.get("/dead-letters?reason=%3Cscript%3E&queue=%00&after=%E2%80%AE").await;
    assert_eq!(odd.status, 200);
    odd.never_says("<script>alert").says("There is none of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_silent_is_not_known_and_the_page_says_so() {
    let deployment = deployment().await;
    refused(&deployment, 0..1).await;
    let (_socket, endpoint) = refusing();
    let silent =
        Console::start_with(&deployment, &[("AWS_ENDPOINT_URL", &endpoint)], &["--allow", "act"]).await;
    let page = silent.get("/dead-letters").await;
    assert_eq!(page.status, 200);
    page.says("Not known: SQS does not answer").never_says("No message waits here");
    read(&silent).await.says("The queue could not be read").says("ReceiveMessage");
    let nowhere = format!("{}-not-there", deployment.dlq_url);
    let wrong =
        Console::start_with(&deployment, &[("USER_SYNC_DLQ_URL", &nowhere)], &["--allow", "act"]).await;
    read(&wrong).await.says("check USER_SYNC_DLQ_URL");
    let none = Console::start_with(&deployment, &[("USER_SYNC_DLQ_URL", "")], &["--allow", "act"]).await;
    none.get("/dead-letters").await.says("This console does not know the dead-letter queue");
    assert_eq!(dead(&deployment).await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_queue_is_read_with_the_events_and_its_letters_go_back_there() {
    let events = deployment().await;
    let records = deployment().await;
    refused(&events, 0..1).await;
    refused(&records, 1..3).await;
    let urls = [
        ("USER_SYNC_CONTEXT_QUEUE_URL", records.queue_url.as_str()),
        ("USER_SYNC_CONTEXT_DLQ_URL", &records.dlq_url),
    ];
    let console = Console::start_with(&events, &urls, &["--allow", "act"]).await;
    let page = read(&console).await;
    page.says("Records of sign-ins").says("Redrive 1").says("Redrive 2");
    let of_records = console.get("/dead-letters?queue=records&reason=refused_by_database").await;
    of_records.says("1 to 2 of 2");
    let form = [
        ("queue", "records"),
        (
            "reading",
            of_records.body.rsplit("name=\"reading\" value=\"").next().unwrap().split('"').next().unwrap(),
        ),
        ("deed", "redrive_all"),
        ("reason", "refused_by_database"),
    ];
    let planned = console.post("/dead-letters/plan", &form).await;
    assert_eq!(planned.status, 303, "{planned:?}");
    start(&console, planned.location(), "100", "2").await;
    eventually("they are sent back", LIMIT, async || counts(&records, &records.queue_url).await.0 == 2).await;
    // What was sent back is deleted after that.
    eventually("they are away", LIMIT, async || dead(&records).await == (0, 0)).await;
    assert_eq!((dead(&events).await, counts(&events, &events.queue_url).await), ((1, 0), (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_stand_in_their_users_timeline_once_somebody_has_read_them() {
    let deployment = deployment().await;
    let database = TestDatabase::of(deployment.clone()).await;
    let user = |event: &Event<'_>| match event {
        Event::User(user) => user.sub,
        other => panic!("{other:?}"),
    };
    // One between two that are applied, and one of a user of whom nothing else tells.
    let (first, late, alone) = (event(1), event(1), event(2));
    assert_eq!(user(&first), user(&late));
    database.apply(std::slice::from_ref(&first)).await;
    reject(&deployment, "late", &late.encode(), "refused_by_database", "$").await;
    reject(&deployment, "alone", &alone.encode(), "refused_by_database", "$").await;
    let console = acting(&deployment).await;
    let path = format!("/users/{}", user(&first));
    let page = console.get(&path).await;
    page.says("nobody has read the dead letters").never_says("Not applied");
    assert_eq!(console.get(&format!("/users/{}", user(&alone))).await.status, 404);
    assert_eq!(dead(&deployment).await, (2, 0), "nothing is received by looking");
    read(&console).await;
    let id = late.id().to_string().replace('-', "%2D");
    let page = console.get(&path).await;
    page.says("Not applied: a dead letter").says("refused_by_database").says("as they were read at");
    page.says(&format!("href=\"/dead-letters/{id}\"")).says("user.authenticated");
    must_not_tell(&page.body);
    console.get(&format!("{path}?show=trouble")).await.says("Not applied");
    console.get(&format!("{path}?show=sign-ins")).await.never_says("Not applied");
    let before = format!("{path}?before={}", first.id());
    console.get(&before).await.never_says("Not applied");
    let page = console.get(&format!("/users/{}", user(&alone))).await;
    page.says("There is no row of this user").says("Not applied");
    assert_eq!(dead(&deployment).await, (2, 0));
}
