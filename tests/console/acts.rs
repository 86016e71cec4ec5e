//! What is started from a page: plans, tasks, and the trail of both, by a login that may only add to it.

use std::time::Duration;

use cognito_user_sync::console::Right;
use cognito_user_sync::dev::local;
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::console::{Answer, Console, environment};
use crate::support::{TestDatabase, eventually};

const A_WHILE: Duration = Duration::from_secs(60);

/// A console on a database of its own.
struct Acts {
    database: TestDatabase,
    console: Console,
}

impl Acts {
    async fn start(arguments: &[&str]) -> Self {
        let database = TestDatabase::create().await;
        let console = Console::start(&database.deployment, arguments).await;
        Self { database, console }
    }

    /// Makes a plan of a command, and returns where it is.
    async fn planned(&self, kind: &str) -> String {
        let answer = self.console.post("/plans", &[("kind", kind)]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.location().to_owned()
    }

    /// Writes a plan as a page would: for this count.
    async fn written(&self, kind: &str, count: i64) -> String {
        let id = Uuid::now_v7();
        let query = "insert into user_sync_console_plans (id, who, kind, scope, ids, count, facts, samples)
            values ($1, 'ada', $2, '{}', '{}', $3, $4, $5)";
        let facts = json!([["Left where they are: other reasons", "14"]]);
        let samples =
            json!({ "head": ["Event", "User"], "rows": [["b2f0764c", "2826ebb4"], ["<i>x", "\u{202e}y"]] });
        let query = sqlx::query(query).bind(id).bind(kind).bind(count).bind(facts).bind(samples);
        query.execute(&self.database.owner).await.unwrap();
        format!("/plans/{id}")
    }

    async fn started(&self, plan: &str) -> String {
        let answer = self.console.post(plan, &[("reason", "change 882")]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        assert!(answer.location().starts_with("/tasks/"), "{answer:?}");
        answer.location().to_owned()
    }

    async fn ends(&self, task: &str, word: &str) -> Answer {
        eventually(&format!("the task is {word}"), A_WHILE, async || {
            self.console.get(task).await.body.contains(word)
        })
        .await;
        self.console.get(task).await
    }

    /// Who did what, to what and with which result, the oldest first.
    async fn trail(&self) -> Vec<(String, String)> {
        let query = "select did, concat_ws(' | ', what, reason, result) from user_sync_console_trail
            where did <> 'signed_in' order by id";
        sqlx::query_as(query).fetch_all(&self.database.owner).await.unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let query = format!("select count(*) from user_sync_console_{table}");
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.database.owner).await.unwrap()
    }

    async fn run(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.database.owner).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_planned_started_and_done_and_all_of_it_is_written_down() {
    let acts = Acts::start(&["--allow", Right::Act.name()]).await;
    let plan = acts.planned("verify").await;
    acts.console.get(&plan).await.says("Verify the rows?").says("Nothing is changed").never_says("Type ");
    let task = acts.started(&plan).await;
    acts.ends(&task, "Done").await.says("change 882").never_says("Cancel the rest");
    let trail = acts.trail().await;
    let did: Vec<&str> = trail.iter().map(|(did, _)| did.as_str()).collect();
    assert_eq!(did, ["planned", "started", "finished"], "{trail:?}");
    assert!(trail[1].1.contains("change 882") && trail[2].1.ends_with("| done"), "{trail:?}");
    // The page of all tasks, and of what was done.
    acts.console.get("/tasks").await.says(&task).says("Verify the rows");
    acts.console.get("/audit").await.says("Planned").says("Started").says("Finished").says("change 882");
    acts.console.get("/audit?did=started").await.says("change 882").never_says("| done");
    acts.console.get("/audit?who=nobody").await.says("Nothing like that was done");
    assert_eq!(acts.console.get("/audit?did=deleted").await.status, 400);
    let csv = acts.console.get("/audit.csv?did=started").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(csv.body.lines().count(), 2, "{}", csv.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_count_starts_nothing_and_is_said_on_top_and_at_its_field() {
    let acts = Acts::start(&["--allow", "act"]).await;
    let plan = acts.written("verify_repair", 1_665).await;
    acts.console
        .get(&plan)
        .await
        .says("Repair 1,665 differences?")
        .says("Type 1,665 to go on")
        .says("Left where they are: other reasons")
        .says("&#60;i&#62;x")
        .says("U+202Ey");
    for wrong in ["", "1664", "all"] {
        let answer = acts.console.post(&plan, &[("reason", "change 882"), ("count", wrong)]).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        answer.says("href=\"#count\"").says("aria-invalid=\"true\"").says("value=\"change 882\"");
    }
    let answer = acts.console.post(&plan, &[("count", "1,665")]).await;
    assert_eq!(answer.status, 422);
    answer.says("href=\"#reason\"");
    assert_eq!((acts.count("tasks").await, acts.trail().await), (0, vec![]));
    let answer = acts.console.post(&plan, &[("reason", "change 882"), ("count", "1,665")]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    // The console's login may not repair a row; the command says so, and the task with it.
    acts.console.get(answer.location()).await.says("Repair 1,665 differences");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_two_start_has_one_task_and_an_old_one_has_none() {
    let acts = Acts::start(&["--allow", "act"]).await;
    let plan = acts.planned("verify").await;
    let [first, second] = [(); 2].map(|()| acts.console.post(&plan, &[]));
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(first.location(), second.location(), "both are led to the one task");
    acts.ends(first.location(), "Done").await;
    assert_eq!(acts.console.post(&plan, &[]).await.location(), first.location());
    assert_eq!(acts.count("tasks").await, 1);
    acts.console
        .get(&plan)
        .await
        .says("This plan was started")
        .never_says("<form method=\"post\" action=\"/plans");

    let old = acts.written("verify", 0).await;
    acts.run("update user_sync_console_plans set at = at - interval '61 minutes' where who = 'ada'").await;
    acts.console.get(&old).await.says("too old");
    let answer = acts.console.post(&old, &[]).await;
    assert_eq!(answer.status, 422);
    answer.says("too old");
    assert_eq!(acts.count("tasks").await, 1);
    for nowhere in ["/plans/1", &format!("/plans/{}", Uuid::now_v7()), "/tasks/x"] {
        assert_eq!(acts.console.get(nowhere).await.status, 404, "{nowhere}");
    }
    for kind in ["verify_repair", "redrive_letters", "erase"] {
        assert_eq!(acts.console.post("/plans", &[("kind", kind)]).await.status, 400, "{kind} has no count");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_acts_is_refused_and_the_refusal_is_written_down() {
    let acts = Acts::start(&[]).await;
    assert_eq!(acts.console.post("/plans", &[("kind", "maintain")]).await.status, 403);
    let plan = acts.written("drop_letters", 3).await;
    acts.console.get(&plan).await.says("user-sync dlq drop").never_says("<button class=\"button danger\"");
    let form = [("reason", "because"), ("count", "3")];
    assert_eq!(acts.console.post(&plan, &form).await.status, 403);
    let trail = acts.trail().await;
    assert_eq!(trail.len(), 2, "{trail:?}");
    assert!(
        trail.iter().all(|(did, what)| did == "refused" && what.contains("the right act is missing")),
        "{trail:?}"
    );
    assert_eq!((acts.count("plans").await, acts.count("tasks").await), (1, 0));
    acts.console.get("/audit?did=refused").await.says("Refused").says("Drop 3 messages");
}

/// Answers nobody: whoever asks it waits.
async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_shows_that_it_goes_on_and_is_cancelled_by_another_console() {
    let database = TestDatabase::create().await;
    let (_silent, endpoint) = silent().await;
    let mut variables = environment(&database.deployment);
    variables.push(("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &endpoint));
    variables.push(("USER_SYNC_USER_POOL_ID", "eu-west-1_Abc123Def"));
    let console = Console::start_signed_out(&variables, &["--allow", "act"]).await;
    console.sign_in().await;
    let acts = Acts { database, console };
    let task = acts.started(&acts.planned("reconcile").await).await;
    let page = acts.console.get(&task).await;
    page.says("Running").says("Cancel the rest").says("data-every=\"2\"");
    // Another one, which knows of it by the tables only.
    let other = Console::start(&acts.database.deployment, &["--allow", "act"]).await;
    other.get(&task).await.says("Running");
    let cancelled = other.post(&format!("{task}/cancel"), &[]).await;
    assert_eq!((cancelled.status, cancelled.location()), (303, task.as_str()));
    acts.ends(&task, "It was cancelled").await.says("Cancelled by").never_says("Cancel the rest");
    // Again: nothing happens, and nothing is written down.
    assert_eq!(other.post(&format!("{task}/cancel"), &[]).await.status, 303);
    let did: Vec<String> = acts.trail().await.into_iter().map(|(did, _)| did).collect();
    assert_eq!(did, ["planned", "started", "cancelled", "finished"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_dies_leaves_a_task_that_says_so() {
    let acts = Acts::start(&["--allow", "act"]).await;
    let task = acts.started(&acts.planned("verify").await).await;
    acts.ends(&task, "Done").await;
    // As it is left by a console that is killed in the middle: without an end, and its latest note is old.
    acts.run(
        "delete from user_sync_console_task_notes where state = 'done';
        update user_sync_console_task_notes set at = at - interval '31 seconds'",
    )
    .await;
    acts.console
        .get(&task)
        .await
        .says("Stopped: the console that ran it ended")
        .never_says("Cancel the rest")
        .never_says("data-every");
    acts.console.get("/tasks").await.says("Stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_takes_no_writes_lets_nothing_be_done() {
    let database = TestDatabase::create().await;
    let deployment = database.deployment.clone();
    let mut variables = environment(&deployment);
    variables.push(("USER_SYNC_REPLICA_URL", &deployment.console_url));
    let console = Console::start_signed_out(&variables, &["--allow", "act"]).await;
    console.sign_in().await;
    let acts = Acts { database, console };
    let plan = acts.planned("verify").await;
    let (role, name) = (deployment.console_url.split(['/', ':']).nth(3).unwrap(), "user_sync_console_tasks");
    // Whoever writes waits, and then hears that nothing was done.
    let mut held = acts.database.owner.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("lock table {name} in share row exclusive mode")))
        .execute(&mut *held)
        .await
        .unwrap();
    let answer = acts.console.post(&plan, &[]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    held.rollback().await.unwrap();
    assert_eq!(acts.count("tasks").await, 0);
    // The same of a server that takes no writes, as a primary that has become a standby.
    acts.run(&format!("alter role {role} set default_transaction_read_only = on")).await;
    let terminate =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'");
    acts.run(&terminate).await;
    let answer = acts.console.post("/plans", &[("kind", "verify")]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(acts.count("plans").await, 1);
    // Reading goes on.
    acts.console.get("/audit?did=planned").await.says("Verify the rows").never_says("Nothing like that");
    acts.console.get("/audit?did=started").await.says("Nothing like that was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consoles_login_adds_to_what_was_done_and_changes_nothing() {
    let acts = Acts::start(&["--allow", "act"]).await;
    let task = acts.started(&acts.planned("verify").await).await;
    acts.ends(&task, "Done").await;
    let login = local::connect(&acts.database.deployment.console_url, 1).await.unwrap();
    let may = async |statement: &str| match sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&login)
        .await
    {
        Ok(_) => true,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
            assert_eq!(code, "42501", "{statement}: {error}");
            false
        }
    };
    for table in ["trail", "plans", "tasks", "task_notes"] {
        let table = format!("user_sync_console_{table}");
        assert!(may(&format!("select * from {table}")).await, "{table}");
        for statement in ["update {} set at = now()", "delete from {}", "truncate {}", "drop table {}"] {
            let statement = statement.replace("{}", &table);
            assert!(!may(&statement).await, "{statement}");
        }
    }
    for statement in [
        "insert into user_sync_console_trail (id, at, who, did) values (gen_random_uuid(), now(), 'x', 'revealed')",
        "update users set name = 'x'",
        "delete from users",
        "insert into users (id) values (gen_random_uuid())",
        "delete from user_events",
        "update sync_status set heartbeat_at = now()",
        "create table mine (x int)",
    ] {
        // From 15 on, nobody may create in `public` unless told so; before, everybody may.
        acts.run("revoke create on schema public from public").await;
        assert!(!may(statement).await, "the console may: {statement}");
    }
    assert!(may("select * from users").await && may("select * from report_user_growth").await);
    assert!(
        may("insert into user_sync_console_trail (id, who, did) values (gen_random_uuid(), 'x', 'revealed')")
            .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_owner_wants_is_forgotten_and_nothing_by_itself() {
    let acts = Acts::start(&["--allow", "act"]).await;
    let task = acts.started(&acts.planned("verify").await).await;
    acts.ends(&task, "Done").await;
    let tables = ["trail", "plans", "tasks", "task_notes"];
    for table in tables {
        acts.run(&format!("update user_sync_console_{table} set at = at - interval '200 days'")).await;
    }
    let maintain = async |arguments: &'static [&'static str]| {
        let mut command = std::process::Command::new(crate::support::binaries::user_sync());
        command.arg("maintain").args(arguments).env_clear();
        command.env("DATABASE_URL", &acts.database.deployment.operator_url);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    maintain(&[]).await;
    maintain(&["--trail-retention-days", "201"]).await;
    assert!(acts.count("trail").await > 0 && acts.count("task_notes").await > 0);
    maintain(&["--trail-retention-days", "199"]).await;
    for table in tables {
        assert_eq!(acts.count(table).await, 0, "{table}");
    }
}
