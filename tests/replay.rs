//! `user-sync replay`: every form in which a log is saved, damaged ones too, and rows again from the ledger.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync::sqs::replay::Item;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{Event, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::undelivered;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sqlx::PgPool;

use crate::support::events::{at, confirmed, event, login, sub};
use crate::support::{TestDatabase, binaries, deployment};

/// Three logins whose texts are hard on every quoting.
fn events() -> Vec<Event<'static>> {
    let names = ["Ada, \"Countess\" of Lovelace", "日本語 🦀 \\ \u{2028} '' `{[", "x\ny\tz"];
    let names = names.iter().zip(1_u64..);
    names.map(|(name, n)| login(u128::from(n), at(n)).attributes(&[("name", name)]).build()).collect()
}

fn lines(events: &[Event<'static>]) -> Vec<String> {
    events.iter().map(|event| undelivered::line(event, "no answer from SQS in time")).collect()
}

/// Lines that stand beside the events in the trigger's log.
const OTHER: [&str; 3] = [
    "START RequestId: 8f5b1c3e-0000-4000-8000-000000000001 Version: $LATEST",
    r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"undelivered"}]}]},"undelivered":1}"#,
    "REPORT RequestId: 8f5b1c3e-0000-4000-8000-000000000001 Duration: 3.1 ms",
];

/// Every form that can be saved: its name, its bytes, and how many other lines are passed over.
fn forms(events: &[Event<'static>]) -> Vec<(&'static str, Vec<u8>, usize)> {
    let lines = lines(events);
    let log: Vec<&str> = OTHER.into_iter().chain(lines.iter().map(String::as_str)).collect();
    let each = |form: &dyn Fn(&str) -> String| log.iter().map(|line| form(line)).collect::<String>();
    let messages = |key: &str| -> Vec<_> {
        log.iter()
            .map(|line| json!({ "timestamp": 1, key: format!("{line}\n"), "ingestionTime": 2 }))
            .collect()
    };
    let answer = json!({ "events": messages("message"), "searchedLogStreams": [] });
    let delivered =
        json!({ "messageType": "DATA_MESSAGE", "owner": "111122223333", "logEvents": messages("message") });
    let results: Vec<_> = log
        .iter()
        .map(|line| json!([{ "field": "@timestamp", "value": "1" }, { "field": "@message", "value": line }]))
        .collect();
    let results =
        json!({ "results": results, "statistics": { "recordsMatched": 6.0 }, "status": "Complete" });
    let printed = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap();
    let afresh = |line: &str| match serde_json::from_str::<serde_json::Value>(line) {
        Ok(value) => format!("2026-11-23T15:31:00.000000+00:00 stream\n{}\n", printed(&value)),
        Err(_) => format!("2026-11-23T15:31:00.000000+00:00 stream\n{line}\n"),
    };
    let csv = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let insights = each(&|line| format!("2026-11-23 15:31:00.000,{}\n", csv(&format!("{line}\n"))));
    let bare: String = events.iter().map(|event| format!("{}\n", event.encode())).collect();
    let mut forms = vec![
        ("the log's own lines", each(&|line| format!("{line}\n")), 3),
        ("lines of another system", each(&|line| format!("{line}\r\n")), 3),
        ("an export to S3", each(&|line| format!("2026-11-23T15:31:00.000Z {line}\n")), 3),
        (
            "aws logs tail",
            each(&|line| format!("2026-11-23T15:31:00+00:00 2026/11/23/[$LATEST]0a1b {line}\n")),
            3,
        ),
        ("aws logs tail --format json", each(&afresh), 9),
        ("filter-log-events", printed(&answer), 3),
        ("filter-log-events on one line", answer.to_string(), 3),
        ("one message a line", messages("message").iter().map(|message| format!("{message}\n")).collect(), 3),
        ("a list of texts", printed(&json!(log)), 3),
        ("a list of lists", json!([log]).to_string(), 3),
        ("a subscription", format!("{delivered}{delivered}\n"), 6),
        ("get-query-results", printed(&results), 3),
        ("Insights' JSON", printed(&json!(messages("@message"))), 3),
        ("Insights' CSV", format!("@timestamp,@message\n{insights}"), 4),
        (
            "Insights' CSV of one column",
            format!("@message\n{}", each(&|line| format!("{}\r\n", csv(line)))),
            4,
        ),
        ("events", bare, 0),
        ("a byte order mark", each(&|line| format!("{}{line}\n", '\u{feff}')), 3),
    ];
    // The mark is the file's, not each line's.
    if let Some((_, text, _)) = forms.last_mut() {
        *text = format!("\u{feff}{}", text.replace('\u{feff}', ""));
    }
    forms.into_iter().map(|(name, text, others)| (name, text.into_bytes(), others)).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn replay(deployment: &Deployment, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(binaries::user_sync());
    command.arg("replay").args(arguments).env_clear().envs(deployment.environment());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end, with an error, before it has read everything.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The bodies on the queue, in order; the queue is empty afterwards.
async fn queued(deployment: &Deployment) -> Vec<String> {
    let queue = deployment.queue();
    let deliveries = queue.receive(1_000, std::time::Duration::ZERO).await.unwrap();
    queue.delete(&deliveries.iter().collect::<Vec<_>>()).await;
    let mut bodies: Vec<String> = deliveries.into_iter().map(|delivery| delivery.body.into()).collect();
    bodies.sort();
    bodies
}

fn encoded(events: &[Event<'static>]) -> Vec<String> {
    let mut bodies: Vec<String> = events.iter().map(Event::encode).collect();
    bodies.sort();
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_gives_the_same_events_back() {
    let deployment = deployment().await;
    let events = events();
    for (name, bytes, others) in forms(&events) {
        let times = if name == "a subscription" { 2 } else { 1 };
        let expected = events.iter().flat_map(|event| vec![event.clone(); times]).collect::<Vec<_>>();
        // A subscription's and an export's files may consist of several members.
        let half = bytes.len() / 2;
        let members = [gzip(&bytes[..half]), gzip(&bytes[half..])].concat();
        for (compression, input) in [("plain", &bytes), ("gzip", &gzip(&bytes)), ("two members", &members)] {
            let output = replay(&deployment, &["-"], input);
            assert!(output.status.success(), "{name}, {compression}: {}", errors(&output));
            let summary = format!("{} sent, {others} other lines skipped, 0 failed\n", expected.len());
            assert_eq!(said(&output), summary, "{name}, {compression}");
            assert_eq!(queued(&deployment).await, encoded(&expected), "{name}, {compression}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_read_in_the_order_of_its_names_and_counted_first() {
    let deployment = deployment().await;
    let folder = tempfile::tempdir().unwrap();
    let events = events();
    // As an export to S3 lays them out.
    let export = folder.path().join("exportedlogs/8a1c");
    std::fs::create_dir_all(export.join("2026-11-23-[$LATEST]b")).unwrap();
    std::fs::create_dir_all(export.join("2026-11-23-[$LATEST]a")).unwrap();
    std::fs::write(folder.path().join("exportedlogs/aws-logs-write-test"), "Permission Check Successful")
        .unwrap();
    for ((event, stream), file) in
        events.iter().zip(["a", "b", "b"]).zip(["000000.gz", "000000.gz", "000001.gz"])
    {
        let line = format!("2026-11-23T15:31:00.000Z {}\n", undelivered::line(event, "x"));
        std::fs::write(
            export.join(format!("2026-11-23-[$LATEST]{stream}")).join(file),
            gzip(line.as_bytes()),
        )
        .unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let output = replay(&deployment, &["--dry-run", path], b"");
    let times = format!("from {} to {}", at(1), at(3));
    let expected =
        format!("3 would be sent (3 user.authenticated) {times}, 1 other lines skipped, 0 failed\n");
    assert_eq!(said(&output), expected, "{}", errors(&output));
    assert_eq!(queued(&deployment).await, Vec::<String>::new());
    // Several arguments, one of which is not there: the rest is sent.
    let output = replay(&deployment, &["/nowhere/000000.gz", path], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("/nowhere/000000.gz: cannot read further"), "{}", errors(&output));
    assert_eq!(queued(&deployment).await, encoded(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_no_queue() {
    let mixed = [confirmed(1, at(7)).build(), login(1, at(9)).build(), login(2, at(8)).build()];
    let mut command = Command::new(binaries::user_sync());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    std::fs::write(&file, lines(&mixed).join("\n")).unwrap();
    let output = command.args(["replay", "--dry-run"]).arg(&file).env_clear().output().unwrap();
    let times = format!("from {} to {}", at(7), at(9));
    let expected = format!(
        "3 would be sent (2 user.authenticated, 1 user.confirmed) {times}, 0 other lines skipped, 0 failed\n"
    );
    assert_eq!(said(&output), expected, "{}", errors(&output));
    let mut command = Command::new(binaries::user_sync());
    let output = command.args(["replay", "--dry-run", "--json"]).arg(&file).env_clear().output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let by_type = json!({ "user.authenticated": 2, "user.confirmed": 1 });
    let expected = json!({
        "sent": 0, "events": 3, "by_type": by_type, "from": at(7), "to": at(9), "passed_over": 0, "ignored": {}, "failed": 0
    });
    assert_eq!(answer, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_named_and_the_rest_is_sent() {
    let deployment = deployment().await;
    let events = events();
    let lines = lines(&events);
    let [first, second, third] = &lines[..] else { unreachable!() };
    let cut = &first[..first.len() - 3];
    let long = "x".repeat(3 * 1_048_576);
    let csv = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let messages = |lines: &[&str]| {
        serde_json::to_string_pretty(
            &json!({ "events": lines.iter().map(|line| json!({ "message": line })).collect::<Vec<_>>() }),
        )
        .unwrap()
    };
    let whole = messages(&[second, third]);
    let damaged_event = events[0].encode().replace("\"specversion\":\"1.0\"", "\"specversion\":\"9.9\"");
    let latin1 =
        first.replace("Ada", "\u{1}").bytes().map(|byte| if byte == 1 { 0xe9 } else { byte }).collect();
    let text = |text: String| text.into_bytes();
    for (what, input, named) in [
        ("a cut line", text(format!("{second}\n{cut}\n{third}\n")), "line 2: undelivered: "),
        ("a cut line at the end", text(format!("{second}\n{third}\n{cut}")), "line 3: undelivered: "),
        (
            "a line too long",
            text(format!("{second}\n{long}\n{third}\n")),
            "line 2: longer than 2097152 bytes",
        ),
        (
            "an event of another version",
            text(format!("{second}\n{third}\n{damaged_event}\n")),
            "line 3: specversion",
        ),
        ("a cut event", text(format!("{second}\n{third}\n{}\n", &damaged_event[..99])), "line 3: $: "),
        ("no UTF-8", [text(format!("{second}\n{third}\n")), latin1].concat(), "line 3: not UTF-8"),
        (
            "a printed line that is cut",
            text(format!("{second}\nx {{\n  \"message\": \"undelivered\"\n{third}\n")),
            "line 2: undelivered: ",
        ),
        (
            "CSV without its header",
            text(format!("{second}\n{third}\n1,{}\n", csv(first))),
            "line 3: undelivered: ",
        ),
        (
            "another column",
            text(format!("@message,x\n{},y\n{},z\ny,{}\n", csv(second), csv(third), csv(first))),
            "line 4: an event in a place",
        ),
        (
            "a cut record",
            text(format!("@message\n{}\n{}\n{}", csv(second), csv(third), &csv(first)[..50])),
            "line 4: undelivered: ",
        ),
        (
            "another key",
            text(messages(&[second, third]).replacen(
                "\"events\"",
                &format!("\"other\": {},\"events\"", json!(first)),
                1,
            )),
            "log message 1: an event in a place",
        ),
        ("a document's cut message", text(messages(&[second, cut, third])), "log message 2: undelivered: "),
        ("a document that is cut", text(whole[..whole.len() - 4].to_owned()), "not valid JSON"),
        (
            "a document of events",
            text(format!("[{},\n{},{}]", json!(second), json!(third), events[0].encode())),
            "log message 3: an event in a place",
        ),
        (
            "gzip that is cut",
            gzip(format!("{second}\n{third}\n{long}").as_bytes()).split_last_chunk::<9>().unwrap().0.to_vec(),
            "stdin: cannot read further",
        ),
    ] {
        let output = replay(&deployment, &["-"], &input);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
        assert!(errors(&output).contains(named), "{what}: {}", errors(&output));
        assert!(!errors(&output).contains("Lovelace"), "{what}: {}", errors(&output));
        assert!(
            said(&output).starts_with("2 sent, ") && said(&output).ends_with(" 1 failed\n"),
            "{what}: {}",
            said(&output)
        );
        assert_eq!(queued(&deployment).await, encoded(&events[1..]), "{what}");
    }
    for (what, input, named) in [
        (
            "UTF-16",
            [&[0xff, 0xfe][..], &first.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()]
                .concat(),
            "line 1: not UTF-8",
        ),
        ("a string without an end", text(format!("[\"{long}")), "longer than 2097152 bytes"),
        ("a document too deep", text("[".repeat(100_000)), "not valid JSON"),
    ] {
        let output = replay(&deployment, &["-"], &input);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
        assert!(errors(&output).contains(named), "{what}: {}", errors(&output));
    }
    assert_eq!(queued(&deployment).await, Vec::<String>::new());
}

/// What a user wrote into an attribute never becomes an event: not whole, not quoted, not where a line is cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_users_own_text_is_never_an_event() {
    let deployment = deployment().await;
    let forged = event(Kind::Deleted, 9, at(9)).build();
    let forged = format!("\",{}\n{}\n", forged.encode(), undelivered::line(&forged, "forged"));
    let own = login(1, at(1)).attributes(&[("name", &forged), ("custom:message", &forged)]).build();
    for (name, bytes, _) in forms(std::slice::from_ref(&own)) {
        let output = replay(&deployment, &["-"], &bytes);
        assert!(output.status.success(), "{name}: {}", errors(&output));
        let mut bodies = queued(&deployment).await;
        bodies.dedup();
        assert_eq!(bodies, encoded(std::slice::from_ref(&own)), "{name}");
    }
    let line = undelivered::line(&own, "x");
    for cut in (1..line.len()).step_by(7) {
        let Some((head, tail)) = line.split_at_checked(cut) else { continue };
        for quoted in [format!("{head}\n{tail}\n"), json!([head, tail]).to_string()] {
            let mut found = Vec::new();
            cognito_user_sync::sqs::replay::read(quoted.as_bytes(), &mut |_, read| found.push(read)).unwrap();
            // A line end between two tokens leaves the line whole.
            let is_own =
                |read: &Result<Item, _>| read.as_ref().map_or(true, |item| *item == Item::Event(own.clone()));
            assert!(!found.is_empty() && found.iter().all(is_own), "{cut}: {found:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_run_twice_counts_once() {
    let database = TestDatabase::create().await;
    let events = events();
    let input = lines(&events).join("\n");
    for expected in [Outcome::Applied, Outcome::Duplicate] {
        let output = replay(&database.deployment, &["-"], input.as_bytes());
        assert!(output.status.success(), "{}", errors(&output));
        let outcomes = database.applier.apply(&queued(&database.deployment).await).await;
        assert_eq!(outcomes, vec![expected; 3]);
    }
    assert_eq!(database.count("users where login_count = 1").await, 3);
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar("select id from user_events order by id")
        .fetch_all(&database.owner)
        .await
        .unwrap();
    assert_eq!(ids, events.iter().map(|event| event.id().uuid()).collect::<Vec<_>>());
}

/// Changes rows behind the service's back.
async fn damage(owner: &PgPool) {
    let wrong = "begin; set local user_sync.service = 'on';
        update users set login_count = 99, name = 'wrong', email = null; delete from user_claims; commit";
    sqlx::raw_sql(wrong).execute(owner).await.unwrap();
}

fn from_ledger(database: &TestDatabase, arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::user_sync());
    command.args(["replay", "--from-ledger"]).args(arguments).env_clear();
    command.env("DATABASE_URL", &database.deployment.operator_url).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_derived_again_for_a_user_and_for_a_range_of_time() {
    let database = TestDatabase::create().await;
    let day = 86_400;
    let user = |number: u128, time| login(number, time).attributes(&[("name", "Ada")]);
    let events: Vec<Event<'static>> = (1..=3_u128)
        .map(|n| user(n, at(u64::try_from(n).unwrap())).email(&format!("{n}@example.com")).build())
        .chain([user(4, at(day + 1)).email("4@example.com").build()])
        .collect();
    assert_eq!(database.apply(&events).await, vec![Outcome::Applied; 4]);
    let rows = database.rows().await;
    let right = async |number| {
        database.column(sub(number), "login_count").await.as_deref() == Some("1")
            && database.column(sub(number), "email").await == Some(format!("{number}@example.com"))
    };

    damage(&database.owner).await;
    let output = from_ledger(&database, &["--user", &sub(2).to_string()]);
    assert_eq!(said(&output), "the rows of 1 users are re-derived\n", "{}", errors(&output));
    for number in 1..=4 {
        assert_eq!(right(number).await, number == 2, "{number}");
    }

    damage(&database.owner).await;
    let (since, until) = (at(2).to_string(), at(day).to_string());
    let output = from_ledger(&database, &["--since", &since, "--until", &until]);
    assert_eq!(said(&output), "the rows of 2 users are re-derived\n", "{}", errors(&output));
    for number in 1..=4 {
        assert_eq!(right(number).await, number == 2 || number == 3, "{number}");
    }

    // A date is its midnight; a user outside of the range is not touched.
    damage(&database.owner).await;
    let date = at(day).to_string()[..10].to_owned();
    let output = from_ledger(&database, &["--since", &date]);
    assert_eq!(said(&output), "the rows of 1 users are re-derived\n", "{}", errors(&output));
    assert!(right(4).await && !right(3).await);
    let output = from_ledger(&database, &["--since", &date, "--user", &sub(1).to_string()]);
    assert_eq!(output.status.code(), Some(1));

    let output = from_ledger(&database, &["--until", "2999-01-01", "--json"]);
    assert_eq!(said(&output), "{\"rederived_users\":4}\n", "{}", errors(&output));
    assert_eq!(database.rows().await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_reaches_into_folded_months_takes_the_baseline_too() {
    let database = TestDatabase::create().await;
    let old = Timestamp::from_unix_millis(Timestamp::now().unix_millis() - 200 * 86_400_000);
    assert_eq!(
        database.apply(&[login(1, old).build(), login(2, at(1)).build()]).await,
        vec![Outcome::Applied; 2]
    );
    let mut command = Command::new(binaries::user_sync());
    command.args(["maintain", "--retention-days=90"]).env_clear();
    let output = command.env("DATABASE_URL", &database.deployment.operator_url).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(database.count("user_baseline").await, 1);
    let rows = database.rows().await;
    for (since, users) in [(old.to_string(), 2), (at(0).to_string(), 1)] {
        damage(&database.owner).await;
        let output = from_ledger(&database, &["--since", &since]);
        assert_eq!(
            said(&output),
            format!("the rows of {users} users are re-derived\n"),
            "{}",
            errors(&output)
        );
    }
    let output = from_ledger(&database, &["--user", &sub(1).to_string()]);
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(database.rows().await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_the_ledger_does_not_know_is_said() {
    let database = TestDatabase::create().await;
    let output = from_ledger(&database, &["--user", &sub(8).to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains(&format!("no event of {} is in the ledger", sub(8))),
        "{}",
        errors(&output)
    );
    for arguments in
        [&[][..], &["--since", "yesterday"], &["--user", "somebody"], &["--until=2026-01-01", "file"]]
    {
        let output = from_ledger(&database, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", errors(&output));
    }
}
