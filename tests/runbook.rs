//! A night on call, by the book: the commands are read from the runbook and run in its order. The database is away
//! for a while, a bad deploy fills the dead-letter queue, and in the morning everything is exact.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use cognito_user_sync::dev::local::Deployment;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::conformance::Adapter;
use crate::support::events::{at, login, sub};
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::{TestDatabase, binaries, eventually, move_tasks, own_stack, permit_receives, send};

const RUNBOOK: &str = include_str!("../docs/runbook.md");
const SECTION: &str = "## A night on call";
const LIMIT: Duration = Duration::from_secs(60);
const USERS: u128 = 12;

/// The mistake of that night's deploy: long names are refused.
const MISTAKE: &str =
    "alter table users add constraint users_name_is_short check (char_length(name) < 12) not valid";

/// The commands of the runbook's section, in order; what follows a `#` is for people.
fn commands() -> Vec<String> {
    let section = RUNBOOK.split(SECTION).nth(1).expect("the runbook has the section");
    let block = section.split("```").nth(1).expect("the section has a block").trim_start_matches("sh\n");
    let lines = block.lines().map(|line| line.split(" #").next().unwrap().trim().to_owned());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Splits a line as a shell does, as far as the runbook's lines need it: they quote by double quotes alone.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// The night: the commands left to run.
struct Night {
    commands: std::vec::IntoIter<String>,
    deployment: Deployment,
}

impl Night {
    /// The runbook's next line, which must be this one.
    fn next(&mut self, expected: &str) -> Vec<String> {
        let line = self.commands.next().unwrap_or_else(|| panic!("the runbook ends before {expected}"));
        assert!(line.starts_with(expected), "the runbook says {line:?}, not {expected:?}");
        words(&line)
    }

    /// Runs the runbook's next line, where ID stands for this one, and returns what it says.
    fn run(&mut self, expected: &str, id: &str) -> String {
        let words = self.next(expected);
        let arguments = words.iter().skip(1).map(|word| if word == "ID" { id } else { word });
        let output = Command::new(binaries::user_sync())
            .args(arguments)
            .env_clear()
            .envs(self.deployment.environment())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

/// Cognito's side: users who sign up and in, through the real trigger.
struct Pool {
    api: LambdaRuntimeApi,
    function: Function,
    logins: BTreeMap<Uuid, i64>,
}

impl Pool {
    async fn start(deployment: &Deployment) -> Self {
        let api = LambdaRuntimeApi::start().await;
        let function = Function::spawn(&binaries::trigger(), &api, &deployment.environment());
        api.wait_until_ready(LIMIT).await;
        Self { api, function, logins: BTreeMap::new() }
    }

    async fn call(&self, user: u128, source: &str) {
        let name = if user.is_multiple_of(2) { "Ada" } else { "Augusta Ada King" };
        let event = json!({
            "version": "1", "triggerSource": source, "region": "eu-west-1", "userPoolId": "eu-west-1_Abc123Def",
            "userName": sub(user), "callerContext": { "awsSdkVersion": "x", "clientId": "client" },
            "request": { "userAttributes": {
                "sub": sub(user), "cognito:user_status": "CONFIRMED", "name": name,
                "email": format!("{user}@example.com"), "email_verified": "true"
            } },
            "response": {}
        });
        let answer = self.api.invoke(event.to_string(), Duration::from_secs(5)).await;
        assert!(matches!(answer, Invocation::Response { .. }), "a sign-in failed");
    }

    async fn sign_up(&self) {
        for user in 0..USERS {
            self.call(user, "PostConfirmation_ConfirmSignUp").await;
        }
    }

    /// Everybody signs in, the later ones more often.
    async fn sign_in(&mut self) {
        for user in 0..USERS {
            for _ in 0..=user % 3 {
                self.call(user, "PostAuthentication_Authentication").await;
                *self.logins.entry(sub(user)).or_default() += 1;
            }
        }
        assert!(self.function.is_alive());
    }
}

/// The reasons that a listing gives, with their counts.
fn reasons(listing: &str) -> BTreeMap<String, u64> {
    let lines = listing.lines().skip(1).take_while(|line| !line.is_empty());
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| (words[1].to_owned(), words[0].parse().unwrap())).collect()
}

/// The id of a listing's first row of this reason.
fn id_of(listing: &str, reason: &str) -> String {
    let mut rows = listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find(|words| words.len() > 4 && words[1] == reason).expect("there is one")[0].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_on_call_by_the_runbook_ends_exact() {
    let stack = own_stack().await;
    let deployment = move_tasks::deployment_on(&stack).await;
    let mut night = Night { commands: commands().into_iter(), deployment: deployment.clone() };
    // Half of them are for whoever mends what refuses a row: not five hours of a test.
    permit_receives(&deployment, 4).await;
    let mut pool = Pool::start(&deployment).await;
    let worker = Adapter::Worker.start(&deployment, &[]).await;
    pool.sign_up().await;
    pool.sign_in().await;
    worker.drained(&deployment).await;

    // The database goes away; sign-ins go on.
    stack.postgres.stop_server().await.unwrap();
    pool.sign_in().await;
    let waiting = night.run("user-sync dlq list", "");
    assert!(waiting.starts_with("0 dead letters"), "{waiting}");
    assert!(deployment.queue().backlog().await.unwrap() > 0, "what came meanwhile waits");
    stack.postgres.start_server().await.unwrap();
    worker.drained(&deployment).await;
    let database = TestDatabase::of(deployment.clone()).await;
    assert_eq!(logins(&database).await, pool.logins);

    // A deploy changes what the table takes, and somebody's producer writes a version of its own.
    sqlx::raw_sql(MISTAKE).execute(&database.owner).await.unwrap();
    let applied = pool.logins.clone();
    pool.sign_in().await;
    let foreign = login(3, at(9)).build().encode().replace("\"schemaversion\":1", "\"schemaversion\":2");
    send(&deployment, &[foreign]).await;
    worker.drained(&deployment).await;
    let refused: i64 = (0..USERS)
        .filter(|user| user % 2 == 1)
        .map(|user| pool.logins[&sub(user)] - applied[&sub(user)])
        .sum();
    let listing = night.run("user-sync dlq list", "");
    let expected = [("refused_by_database", u64::try_from(refused).unwrap()), ("unknown_version", 1)];
    assert_eq!(reasons(&listing), expected.map(|(reason, count)| (reason.to_owned(), count)).into());
    let shown = night.run("user-sync dlq show ID", &id_of(&listing, "refused_by_database"));
    assert!(shown.contains("on redrive  moves") && shown.contains("23514"), "{shown}");
    assert!(!shown.contains("Augusta") && !shown.contains("example.com"), "{shown}");

    // The cause is mended, and what it kept out comes back.
    let fix = night.next("psql").last().unwrap().clone();
    sqlx::raw_sql(sqlx::AssertSqlSafe(fix)).execute(&database.owner).await.unwrap();
    let redriven = night.run("user-sync dlq redrive", "");
    assert!(redriven.starts_with(&format!("{refused} messages moved\n1 left behind")), "{redriven}");
    worker.drained(&deployment).await;

    // What stays behind is nobody's login: looked at, and dropped with a reason.
    let listing = night.run("user-sync dlq list", "");
    assert_eq!(reasons(&listing), [("unknown_version".to_owned(), 1)].into());
    let id = id_of(&listing, "unknown_version");
    let shown = night.run("user-sync dlq show ID", &id);
    assert!(shown.contains("\"schemaversion\": 2") && shown.contains("skipped"), "{shown}");
    let record: Value = serde_json::from_str(&night.run("user-sync dlq drop ID --reason", &id)).unwrap();
    assert_eq!((&record["id"], &record["rejected_as"]), (&json!(id), &json!("unknown_version")));
    assert!(night.run("user-sync dlq list", "").starts_with("0 dead letters"));

    // Whole again, and exact.
    let arrived = night.run("user-sync heartbeat --wait", "");
    assert!(arrived.contains("arrived"), "{arrived}");
    let verified = night.run("user-sync verify", "");
    assert!(verified.ends_with(": 0 differences\n"), "{verified}");
    assert_eq!(logins(&database).await, pool.logins);
    assert_eq!(night.commands.as_slice(), [""; 0], "the runbook goes on");
    worker.end().await;
    eventually("nothing is left in the queues", LIMIT, async || {
        deployment.queue().backlog().await.is_ok_and(|left| left == 0)
    })
    .await;
    drop(database);
    stack.stop().await.unwrap();
}

async fn logins(database: &TestDatabase) -> BTreeMap<Uuid, i64> {
    let query = "select id, login_count::bigint from users";
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(query).fetch_all(&database.owner).await.unwrap();
    rows.into_iter().collect()
}
