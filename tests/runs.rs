//! What ran is written down with what it found, by whoever may, and nobody fails or waits by it.

use std::process::{Output, Stdio};
use std::time::Duration;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::postgres::{self, Database, Role};
use cognito_user_sync::store::runs::{self, Begin, KEPT_DAYS, Run, STOPPED_AFTER_MINUTES, Seen, State, What};
use cognito_user_sync_triggers::event::Event;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::report::login_url;
use crate::support::events::{at, confirmed, login, sub};
use crate::support::pool::TestPool;
use crate::support::{TestDatabase, binaries, eventually};

const LIMIT: Duration = Duration::from_secs(60);

async fn open(url: &str) -> Database {
    postgres::connect(&DatabaseConfig::with_url(url), 1).await.unwrap()
}

/// The latest run of a kind, which there must be.
async fn latest(database: &TestDatabase, what: What) -> Seen {
    let seen = runs::latest(database.applier.database()).await.unwrap();
    seen.into_iter().find(|run| run.what == what).unwrap_or_else(|| panic!("no {what:?}"))
}

fn command(url: &str, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(binaries::user_sync());
    command.args(arguments).env_clear().env("DATABASE_URL", url).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(url: &str, arguments: &[&str]) -> Output {
    command(url, arguments).output().await.unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn sql(database: &TestDatabase, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&database.owner).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_a_beginning_an_end_and_what_it_found() {
    let database = TestDatabase::create().await;
    let url = login_url(&database, Role::Reader).await;
    let reader = open(&url).await;
    assert_eq!(runs::latest(&reader).await.unwrap(), []);

    let scope = json!({ "user_pool_id": "eu-west-1_Test00000", "mode": "dry_run" });
    let run = Run::begin(&reader, What::Reconcile, scope.clone()).await;
    let id = run.id().unwrap();
    let seen = runs::one(&reader, id).await.unwrap().unwrap();
    assert_eq!((seen.what, seen.state, &seen.scope), (What::Reconcile, State::Running, &scope));
    assert_eq!((seen.done, seen.total, seen.found(), seen.ended_at), (0, None, None, None));
    assert!(url.contains(&seen.started_by), "the login is known: {}", seen.started_by);
    run.progress(7, Some(10));
    run.end(json!({ "found": 3, "left": 1, "kinds": { "gone": 1, "missing": 2, "status": 0 } })).await;
    let seen = runs::one(&reader, id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.done, seen.total), (State::Ended, 7, Some(10)));
    assert_eq!((seen.found(), seen.left()), (Some(3), Some(1)));
    assert_eq!(seen.kinds(), [("missing", 2), ("gone", 1)]);
    assert!(seen.ended_at.is_some_and(|ended| ended >= seen.started_at));

    // A later one of another kind, for somebody, that fails.
    let begin =
        Begin { started_by: Some("ada@ops.example".to_owned()), ..Begin::new(What::Verify, json!({})) };
    let (id, failing) = (begin.id, Run::begin_as(&reader, begin).await);
    failing.fail("database: 57P01").await;
    let latest = runs::latest(&reader).await.unwrap();
    assert_eq!(latest.iter().map(|run| run.what).collect::<Vec<_>>(), [What::Reconcile, What::Verify]);
    let failed = &latest[1];
    assert_eq!(
        (failed.id, failed.state, failed.error.as_deref()),
        (id, State::Failed, Some("database: 57P01"))
    );
    assert_eq!(failed.started_by, "ada@ops.example");

    // One that began in another process goes on, and one that has an end keeps it.
    let one = Run::begin(&reader, What::Drift, json!({})).await;
    let id = one.id().unwrap();
    one.leave().await;
    Run::go_on(&reader, id, What::Drift).end(json!({ "found": 0 })).await;
    Run::go_on(&reader, id, What::Drift).fail("other").await;
    assert_eq!(runs::one(&reader, id).await.unwrap().unwrap().state, State::Ended);

    Run::begin(&reader, What::Reconcile, json!({})).await.end(json!({})).await;
    sql(&database, "update user_sync_runs set started_at = now() - interval '31 days' where scope <> '{}'")
        .await;
    assert_eq!(runs::history(&reader, What::Reconcile, 30).await.unwrap().len(), 1);
    assert_eq!(runs::history(&reader, What::Reconcile, 32).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_owner_changes_a_beginning_or_takes_a_run_away() {
    let database = TestDatabase::create().await;
    let reader = login_url(&database, Role::Reader).await;
    for url in [&reader, &database.deployment.consumer_url] {
        let run = Run::begin(&open(url).await, What::Audit, json!({})).await;
        assert!(run.id().is_some(), "{url}");
        let pool = cognito_user_sync::dev::local::connect(url, 1).await.unwrap();
        for statement in [
            "delete from user_sync_runs",
            "truncate user_sync_runs",
            "update user_sync_runs set started_at = now()",
            "update user_sync_runs set what = 'verify'",
            "update user_sync_runs set scope = '{}'",
            "update user_sync_runs set started_by = 'x'",
            "insert into user_sync_runs (id, what, scope, login) values (gen_random_uuid(), 'audit', '{}', 'x')",
            "insert into user_sync_runs (id, what, scope, ended_at) values (gen_random_uuid(), 'audit', '{}', now())",
            "insert into users (id) values (gen_random_uuid())",
        ] {
            let refused = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&pool).await;
            if url == &reader || !statement.contains("into users") {
                let code = refused
                    .unwrap_err()
                    .as_database_error()
                    .and_then(|error| error.code())
                    .unwrap()
                    .into_owned();
                assert_eq!(code, "42501", "{url}: {statement}");
            }
        }
        // What is written is bounded.
        for statement in [
            "insert into user_sync_runs (id, what, scope) values (gen_random_uuid(), 'other', '{}')",
            "insert into user_sync_runs (id, what, scope) values (gen_random_uuid(), 'audit', '[]')",
            "insert into user_sync_runs (id, what, scope)
                values (gen_random_uuid(), 'audit', jsonb_build_object('x', repeat('x', 5000)))",
            "update user_sync_runs set error = repeat('x', 201), ended_at = now()",
            "update user_sync_runs set error = 'x', findings = '{}', ended_at = now()",
            "update user_sync_runs set ended_at = now()",
        ] {
            let refused = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&pool).await;
            let code =
                refused.unwrap_err().as_database_error().and_then(|error| error.code()).unwrap().into_owned();
            assert_eq!(code, "23514", "{statement}");
        }
    }
    let app = open(&database.deployment.app_url).await;
    assert_eq!(Run::begin(&app, What::Audit, json!({})).await.id(), None);
    assert!(runs::latest(&app).await.is_err());
}

/// Two users, one of whom has a row that the ledger does not say.
async fn with_a_difference() -> TestDatabase {
    let database = TestDatabase::create().await;
    database.apply(&[confirmed(1, at(1)).email("ada@example.com").build(), login(2, at(2)).build()]).await;
    let change = "begin; set local user_sync.service = 'versioned';
        update users set login_count = 70, row_version = row_version + 1, email_verified = not email_verified where id = '";
    sql(&database, &format!("{change}{}'; commit", sub(1))).await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_audit_and_maintain_say_what_they_found_and_no_value() {
    let database = with_a_difference().await;
    let url = login_url(&database, Role::Reader).await;
    let output = run(&url, &["verify", "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!stderr(&output).contains("not written down"), "{}", stderr(&output));
    let seen = latest(&database, What::Verify).await;
    assert_eq!((seen.state, seen.found(), seen.left()), (State::Ended, Some(2), Some(2)));
    assert_eq!(seen.kinds(), [("email_verified", 1), ("login_count", 1)]);
    assert_eq!((seen.count(&["users_who_differ"]), seen.count(&["users"]), seen.done), (Some(1), Some(2), 2));
    let written = format!("{:?}", seen);
    assert!(!written.contains("example.com") && !written.contains(&sub(1).to_string()), "{written}");

    let output = run(&database.deployment.operator_url, &["verify", "--repair"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let seen = latest(&database, What::Verify).await;
    assert_eq!((seen.found(), seen.left(), &seen.scope["mode"]), (Some(2), Some(0), &json!("repair")));

    let output = run(&url, &["audit"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let seen = latest(&database, What::Audit).await;
    assert_eq!((seen.state, seen.found()), (State::Ended, None), "without a witness nothing is known");
    assert!(seen.scope["from"].is_string() && seen.scope["to"].is_string(), "{seen:?}");
    let output = run(&url, &["audit", "--from", "2001-01-01"]).await;
    assert_eq!(output.status.code(), Some(1));
    let seen = latest(&database, What::Audit).await;
    assert_eq!((seen.state, seen.error.as_deref()), (State::Failed, Some("other")));

    // What is older than is worth remembering goes, and nothing else.
    sql(
        &database,
        &format!(
            "insert into user_sync_runs (id, what, scope, started_at) values
            (gen_random_uuid(), 'drift', '{{}}', now() - interval '{} days'),
            (gen_random_uuid(), 'drift', '{{}}', now() - interval '{} days')",
            KEPT_DAYS - 1,
            KEPT_DAYS + 1
        ),
    )
    .await;
    let output = run(&database.deployment.operator_url, &["maintain", "--months-ahead", "5"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let seen = latest(&database, What::Maintain).await;
    assert_eq!((seen.state, &seen.scope["months_ahead"]), (State::Ended, &json!(5)));
    assert_eq!((seen.count(&["months_made"]), seen.count(&["runs_forgotten"])), (Some(4), Some(1)));
    assert_eq!(database.count("user_sync_runs where what = 'drift'").await, 1);

    // For whom, and as which run, whoever starts it says.
    let id = Uuid::now_v7();
    let mut started = command(&url, &["verify"]);
    started.env("USER_SYNC_RUN_ID", id.to_string()).env("USER_SYNC_STARTED_BY", "ada@ops.example\n");
    assert!(started.output().await.unwrap().status.success());
    let seen = runs::one(database.applier.database(), id).await.unwrap().unwrap();
    assert_eq!((seen.started_by.as_str(), seen.state), ("ada@ops.example", State::Ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_writes_down_what_it_found_and_what_it_published() {
    let database = TestDatabase::create().await;
    let deployment = &database.deployment;
    let pool = TestPool::create(&deployment.endpoint).await;
    for user in ["ada", "ben", "cy"] {
        pool.add(user, &[("email", &format!("{user}@example.com"))]).await;
    }
    let users = pool.users().await;
    database.apply(&[Event::User(pool.snapshot(&users[0]))]).await;
    let url = login_url(&database, Role::Reader).await;
    let folder = tempfile::tempdir().unwrap();
    let reconcile = async |mode: &str| {
        let fast = ["--settle-seconds=0", "--max-requests-per-second=1000", "--json", "--checkpoint"];
        let at = folder.path().join("x");
        let mut command = command(&url, &[&["reconcile", mode][..], &fast, &[at.to_str().unwrap()]].concat());
        command
            .envs(deployment.environment())
            .env("DATABASE_URL", &url)
            .env("USER_SYNC_USER_POOL_ID", &pool.id);
        command.output().await.unwrap()
    };
    let rows = database.rows().await;
    for (mode, code, left, snapshots) in [("--dry-run", 2, 2, 0), ("--repair", 0, 0, 2)] {
        let output = reconcile(mode).await;
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let seen = latest(&database, What::Reconcile).await;
        assert_eq!((seen.state, seen.done, seen.scope["mode"] == said["mode"]), (State::Ended, 3, true));
        assert_eq!((seen.found(), seen.left(), seen.kinds()), (Some(2), Some(left), vec![("missing", 2)]));
        assert_eq!(seen.count(&["published", "snapshots"]), Some(snapshots));
        assert_eq!(seen.findings.unwrap()["requests"], said["requests"]);
    }
    assert_eq!(database.rows().await, rows, "it writes no row of anybody's");

    let mut wrong = command(&url, &["reconcile", "--user-pool-id", "eu-west-1_Absent000", "--restart"]);
    wrong.envs(deployment.environment()).env("DATABASE_URL", &url).env("HOME", folder.path());
    assert_eq!(wrong.output().await.unwrap().status.code(), Some(1));
    let seen = latest(&database, What::Reconcile).await;
    assert_eq!((seen.state, seen.error.as_deref()), (State::Failed, Some("no such pool")));
}

/// No right, a server that takes no writes, a table that somebody holds, a schema of before.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_down_changes_nothing_of_a_command() {
    let database = with_a_difference().await;
    let url = login_url(&database, Role::Reader).await;
    let login = url.split("//").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let reader = database.deployment.prefix().role(Role::Reader);
    let expected = run(&url, &["verify", "--json"]).await;
    assert_eq!(latest(&database, What::Verify).await.state, State::Ended);
    let written = database.count("user_sync_runs").await;
    let must_be_the_same = async |why: &str| {
        let output = run(&url, &["verify", "--json"]).await;
        assert_eq!(
            (output.status.code(), &output.stdout),
            (Some(1), &expected.stdout),
            "{why}: {}",
            stderr(&output)
        );
        let said = stderr(&output);
        assert_eq!(said.matches("is not written down").count(), 1, "{why}: {said}");
        assert!(!said.contains("example.com"), "{why}: {said}");
    };
    let revoke = |from_or_to: &str| format!("{from_or_to} {reader}");
    sql(&database, &revoke("revoke insert (id, what, started_by, scope, total) on user_sync_runs from"))
        .await;
    must_be_the_same("no right").await;
    sql(&database, &revoke("grant insert (id, what, started_by, scope, total) on user_sync_runs to")).await;

    sql(&database, &format!("alter role {login} set default_transaction_read_only = on")).await;
    must_be_the_same("a replica, as it looks from here").await;
    sql(&database, &format!("alter role {login} reset default_transaction_read_only")).await;

    let mut holder = database.owner.begin().await.unwrap();
    sqlx::raw_sql("lock table user_sync_runs in access exclusive mode").execute(&mut *holder).await.unwrap();
    must_be_the_same("somebody holds the table").await;
    holder.rollback().await.unwrap();
    assert_eq!(database.count("user_sync_runs").await, written);

    sql(&database, "drop table user_sync_runs").await;
    must_be_the_same("a schema of before").await;
    let output = run(&database.deployment.operator_url, &["maintain"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("runs of long ago are not forgotten"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_killed_in_the_middle_has_stopped() {
    let database = with_a_difference().await;
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::raw_sql("lock table users in access exclusive mode").execute(&mut *holder).await.unwrap();
    let mut killed = command(&database.deployment.consumer_url, &["verify"]).spawn().unwrap();
    eventually("it has begun", LIMIT, async || database.count("user_sync_runs").await == 1).await;
    killed.kill().await.unwrap();
    holder.rollback().await.unwrap();
    let seen = latest(&database, What::Verify).await;
    assert_eq!((seen.state, seen.ended_at), (State::Running, None), "nobody knows yet");
    let silent = format!(
        "update user_sync_runs set progressed_at = now() - interval '{STOPPED_AFTER_MINUTES} minutes 1 second'"
    );
    sql(&database, &silent).await;
    let seen = latest(&database, What::Verify).await;
    assert_eq!((seen.state, seen.ended_at, seen.findings), (State::Stopped, None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_what_ran_last_and_in_the_last_days() {
    let database = TestDatabase::create().await;
    let url = login_url(&database, Role::Reader).await;
    let reader = open(&url).await;
    let text = async |arguments: &[&str]| {
        let output = run(&url, &[&["report", "runs"], arguments].concat()).await;
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(text(&[]).await.contains("runs: the latest of each kind\nnone\n"));
    for found in [2, 0] {
        let kinds = json!({ "login_count": found });
        Run::begin(&reader, What::Verify, json!({}))
            .await
            .end(json!({ "found": found, "kinds": kinds }))
            .await;
    }
    let begin = Begin { started_by: Some("=cmd()".to_owned()), ..Begin::new(What::Audit, json!({})) };
    Run::begin_as(&reader, begin).await.fail("database: 57P01").await;

    let (last, days) = (text(&[]).await, text(&["--days", "7"]).await);
    assert!(last.contains("database: 57P01") && !last.contains("login_count 2"), "{last}");
    assert!(days.contains("runs: 3 in 7 days") && days.contains("login_count 2"), "{days}");
    let last: Value = serde_json::from_str(&text(&["--json"]).await).unwrap();
    let days: Value = serde_json::from_str(&text(&["--days", "7", "--json"]).await).unwrap();
    assert_eq!((last.as_array().unwrap().len(), days.as_array().unwrap().len()), (2, 3));
    assert_eq!((&last[0]["what"], &last[0]["state"]), (&json!("verify"), &json!("ended")));
    assert_eq!(last[0]["findings"], json!({ "found": 0, "kinds": { "login_count": 0 } }));
    let csv = text(&["--csv"]).await;
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let place = csv.headers().unwrap().iter().position(|name| name == "started_by").unwrap();
    let lines: Vec<_> = csv.records().map(Result::unwrap).collect();
    assert_eq!((lines.len(), lines[1].get(place)), (2, Some("'=cmd()")));
}

/// As the console cancels it, and as ECS ends a task.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_interrupted_says_so() {
    let database = with_a_difference().await;
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::raw_sql("lock table users in access exclusive mode").execute(&mut *holder).await.unwrap();
    for (signal, written) in [("INT", 1), ("TERM", 2)] {
        let mut ended = command(&database.deployment.consumer_url, &["verify"]).spawn().unwrap();
        eventually("it has begun", LIMIT, async || database.count("user_sync_runs").await == written).await;
        let id = ended.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        assert_eq!(ended.wait().await.unwrap().code(), Some(130), "{signal}");
        let seen = latest(&database, What::Verify).await;
        assert_eq!((seen.state, seen.error.as_deref()), (State::Failed, Some("interrupted")), "{signal}");
    }
    holder.rollback().await.unwrap();
}

/// What the console asks of it again and again stands on the index.
#[tokio::test(flavor = "multi_thread")]
async fn the_latest_of_each_kind_is_read_by_the_index() {
    let database = TestDatabase::create().await;
    sql(&database, "insert into user_sync_runs (id, what, scope, started_at)
        select gen_random_uuid(), (array['reconcile', 'verify', 'audit', 'maintain', 'drift'])[1 + n % 5], '{}',
            now() - make_interval(mins => n)
        from generate_series(1, 20000) as n; analyze user_sync_runs").await;
    for file in [include_str!("../src/store/runs/latest.sql"), include_str!("../src/store/runs/history.sql")]
    {
        let what = if file.contains("unnest($1::text[])") { "array['verify', 'audit']" } else { "'verify'" };
        let sql = file.replace("$1", what).replace("$2", "5").replace("$3", "30").replace("$4", "1000");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("explain {sql}")))
            .fetch_all(&database.owner)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains("user_sync_runs_latest_idx") && !plan.contains("Seq Scan"), "{plan}");
    }
}
