//! What is printed is data: whatever others call themselves, a terminal is not steered by it, no line is forged, and no cell
//! is a formula.

use std::collections::HashMap;
use std::process::{Command, Output, Stdio};

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::support::events::{at, login, sub};
use crate::support::{TestDatabase, binaries};

/// A colour (ESC), a control sequence of C1, an override of the direction, the end of a line, and DEL.
const HOSTILE: &str = "=1+1\u{1b}[31m\u{9b}2J\u{202e}txt\nfaked\u{2028}\u{7f}.";
/// How it is shown.
const SHOWN: &str = r"=1+1\u001b[31m\u009b2J\u202etxt\u000afaked\u2028\u007f.";
/// The same, as far as a message of SQS's and a variable may hold it.
const OF_A_MESSAGE: &str = "=1+1\u{9b}2J\u{202e}txt\u{2028}";

/// Whether a character would steer a terminal: of the list that `text` states, made again.
fn steers(character: char) -> bool {
    let code = u32::from(character);
    (code < 0x20 && code != 0x0a)
        || (0x7f..0xa0).contains(&code)
        || [0x61c, 0x200e, 0x200f].contains(&code)
        || (0x2028..=0x202e).contains(&code)
        || (0x2066..=0x2069).contains(&code)
}

struct Operator {
    environment: HashMap<String, String>,
}

impl Operator {
    fn of(database: &TestDatabase) -> Self {
        let environment = database.deployment.environment().into_iter();
        Self { environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }

    fn output(&self, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(binaries::user_sync());
        command.args(arguments).env_clear().envs(&self.environment).envs(more.iter().copied());
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// What a command prints, on both streams, after a look at each character.
    fn says(&self, arguments: &[&str], more: &[(&str, &str)]) -> (String, String) {
        let Output { stdout, stderr, .. } = self.output(arguments, more);
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        for stream in [&stdout, &stderr] {
            let steering: Vec<char> = stream.chars().filter(|character| steers(*character)).collect();
            assert!(steering.is_empty(), "{arguments:?} prints {steering:?}: {stream}");
        }
        (stdout, stderr)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_does_not_steer_the_terminal_of_whoever_reads_it() {
    let database = TestDatabase::create().await;
    let operator = Operator::of(&database);
    database.apply(&[login(1, at(1)).attributes(&[("name", HOSTILE)]).build()]).await;
    assert_eq!(database.column(sub(1), "name").await.as_deref(), Some(HOSTILE));

    let (table, _) = operator.says(&["report", "logins"], &[]);
    let unwrapped: String = table.chars().filter(|character| !character.is_whitespace()).collect();
    assert!(unwrapped.contains("=1+1") && !table.lines().any(|line| line.starts_with("faked")), "{table}");
    let (csv, _) = operator.says(&["report", "logins", "--csv"], &[]);
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(&rows.records().next().unwrap().unwrap()[1], format!("'{SHOWN}"));
    let (json, _) = operator.says(&["report", "logins", "--json"], &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["name"], HOSTILE, "JSON keeps its value");

    let user = sub(1).to_string();
    let (history, _) = operator.says(&["verify", "--user", &user], &[]);
    assert!(history.contains("faked") && !history.lines().any(|line| line.starts_with("faked")), "{history}");
    sqlx::raw_sql(
        "set user_sync.service = 'versioned'; update users set name = name || E'\\u009b' , row_version = 9",
    )
    .execute(&database.owner)
    .await
    .unwrap();
    let (differences, _) = operator.says(&["verify"], &[]);
    assert!(differences.contains("name: is"), "{differences}");
    let (json, _) = operator.says(&["verify", "--json"], &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["shown"].to_string().contains('\u{9b}'), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_does_not_steer_it_either() {
    let database = TestDatabase::create().await;
    let operator = Operator::of(&database);
    let event = login(1, at(1)).attributes(&[("name", HOSTILE)]).build().encode();
    let forged = format!("{OF_A_MESSAGE}\nreason      none");
    for body in [event, forged] {
        let text = MessageAttributeValue::builder().data_type("String").string_value(OF_A_MESSAGE);
        let send = database.deployment.client().send_message().queue_url(&database.deployment.dlq_url);
        let text = text.build().unwrap();
        let send = send.message_attributes("reason", text.clone()).message_attributes("detail", text);
        send.message_body(body).send().await.unwrap();
    }
    let (list, _) = operator.says(&["dlq", "list"], &[]);
    assert!(list.contains(r"=1+1\u009b2J\u202etxt\u2028"), "{list}");
    let (json, _) = operator.says(&["dlq", "list", "--json"], &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let letters = json["dead_letters"].as_array().unwrap();
    assert_eq!((letters.len(), &letters[0]["reason"]), (2, &Value::from(OF_A_MESSAGE)));
    for letter in letters {
        let id = letter["id"].as_str().unwrap();
        operator.says(&["dlq", "show", id], &[]);
        let (shown, _) = operator.says(&["dlq", "show", id, "--reveal"], &[]);
        assert_eq!(shown.lines().filter(|line| line.starts_with("reason ")).count(), 1, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_repeats_what_others_say_does_not_steer_it_either() {
    let database = TestDatabase::create().await;
    let operator = Operator::of(&database);
    let owner = database.deployment.owner_url.as_str();
    // Something of the application's that refuses rows: doctor names it.
    let constrain =
        format!("alter table users add constraint \"{HOSTILE}\" check (length(name) < 99) not valid");
    sqlx::raw_sql(AssertSqlSafe(constrain)).execute(&database.owner).await.unwrap();
    let (said, _) = operator.says(&["doctor"], &[]);
    assert!(said.contains(SHOWN), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("\u{1b}[31m\u{202e}.log");
    let (_, said) = operator.says(&["replay", "--dry-run", file.to_str().unwrap()], &[]);
    assert!(said.contains(r"\u001b[31m\u202e.log"), "{said}");
    let queue = format!("http://127.0.0.1:1/{HOSTILE}");
    let urls: [(&[&str], &str, &str); 7] = [
        (&["heartbeat"], "USER_SYNC_QUEUE_URL", &queue),
        (&["dlq", "list"], "USER_SYNC_DLQ_URL", &queue),
        (&["verify"], "DATABASE_URL", "postgres://a@\u{9b}\u{202e}:1/b"),
        (&["verify"], "USER_SYNC_DATABASE_SCHEMA", HOSTILE),
        (&["doctor"], "USER_SYNC_QUEUE_URL", &queue),
        (&["reconcile"], "USER_SYNC_USER_POOL_ID", HOSTILE),
        (&["worker"], "USER_SYNC_METRICS_ADDR", HOSTILE),
    ];
    for (arguments, variable, value) in urls {
        let (_, said) = operator.says(arguments, &[(variable, value)]);
        assert!(!said.is_empty(), "{arguments:?}");
    }

    // A table that is to be adopted.
    let other = format!("adopted_{}", uuid::Uuid::now_v7().simple());
    sqlx::raw_sql(AssertSqlSafe(format!("create database {other}"))).execute(&database.owner).await.unwrap();
    let (server, _) = owner.rsplit_once('/').unwrap();
    let url = format!("{server}/{other}");
    let pool = cognito_user_sync::dev::local::connect(&url, 1).await.unwrap();
    let old = format!("create table users (id uuid primary key, \"{HOSTILE}\" text not null)");
    sqlx::raw_sql(AssertSqlSafe(old)).execute(&pool).await.unwrap();
    let (said, error) = operator.says(&["migrate", "--dry-run"], &[("DATABASE_URL", &url)]);
    assert!([said.as_str(), &error].concat().contains(SHOWN), "{said}{error}");
}
