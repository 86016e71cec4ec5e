//! The commands as a person runs them.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::events::{at, login};
use crate::support::{TestDatabase, binaries, deployment, send};

fn run(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    run_program(&binaries::user_sync(), arguments, env)
}

fn run_program(program: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(env.iter().copied()).stdin(Stdio::null());
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let program = binaries::user_sync_dev();
    let overview = run_program(&program, &["--help"], &[]);
    let overview = String::from_utf8_lossy(&overview.stdout).into_owned();
    let (_, listed) = overview.split_once("Commands:").unwrap();
    let listed = listed.lines().skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> =
        listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(commands.len() >= 14, "{overview}");
    for command in commands {
        let help = run_program(&program, &[command, "--help"], &[]);
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.status.success() && text.contains("Example: "), "{command}: {text}");
    }
}

#[test]
fn help_names_the_variable_of_an_option() {
    for (command, variable) in [("reconcile", "USER_SYNC_USER_POOL_ID"), ("worker", "USER_SYNC_METRICS_ADDR")]
    {
        let help = run(&[command, "--help"], &[]);
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.contains(&format!("[env: {variable}=]")), "{help}");
    }
}

#[test]
fn a_missing_variable_is_named() {
    for (arguments, variable) in [
        (&["worker"][..], "USER_SYNC_QUEUE_URL"),
        (&["migrate"], "DATABASE_URL"),
        (&["replay", "-"], "USER_SYNC_QUEUE_URL"),
    ] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&format!("{variable} is not set")), "{}", stderr(&output));
    }
}

#[test]
fn an_empty_variable_is_unset_for_every_command() {
    let empty = [
        ("USER_SYNC_METRICS_ADDR", ""),
        ("USER_SYNC_EMF_SERVICE", ""),
        ("USER_SYNC_USER_POOL_ID", ""),
        ("USER_SYNC_GEOIP_FILE", ""),
        ("USER_SYNC_LOG", ""),
        ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/x"),
        ("USER_SYNC_DLQ_URL", ""),
    ];
    let sub = "01890a5d-ac96-774b-bcce-b302099a8057";
    for (arguments, code, reason) in [
        // An option's variable: clap would take the empty text for its value.
        (&["worker"][..], 1, "USER_SYNC_QUEUE_URL is not set"),
        (&["reconcile"], 2, "--user-pool-id <ID>"),
        (&["dlq", "list"], 1, "USER_SYNC_DLQ_URL is not set"),
        // These get as far as the database, past the file of cities.
        (&["migrate"], 1, "the database does not answer"),
        (&["verify"], 1, "the database does not answer"),
        (&["replay", "--from-ledger", "--user", sub], 1, "the database does not answer"),
    ] {
        let output = run(arguments, &empty);
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_variable_that_is_not_utf8_is_named() {
    let url = std::ffi::OsStr::from_bytes(b"secret\xff");
    let mut command = Command::new(binaries::user_sync());
    command.args(["replay", "-"]).env_clear().env("USER_SYNC_QUEUE_URL", url).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = stderr(&output);
    assert!(stderr.contains("USER_SYNC_QUEUE_URL is not valid UTF-8"), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_drains_and_exits() {
    let deployment = deployment().await;
    let events: Vec<String> =
        (0..120_u64).map(|n| login(u128::from(n % 3), at(n)).build().encode()).collect();
    send(&deployment, &events).await;
    let output = run(&["worker", "--until-empty"], &deployment.environment());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(deployment.queue().backlog().await.unwrap(), 0);
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.count("users where login_count = 40").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_does_nothing_the_second_time() {
    let deployment = deployment().await;
    for _ in 0..2 {
        let output = run(&["migrate"], &[("DATABASE_URL", &deployment.owner_url)]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let output = run(&["migrate"], &[("DATABASE_URL", &deployment.operator_url)]);
    assert!(output.status.success(), "any member of user_sync_owner may: {}", stderr(&output));
    // With nothing left to do, nobody needs a right; with something, the consumer may not do it.
    let output = run(&["migrate"], &[("DATABASE_URL", &deployment.consumer_url)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let database = TestDatabase::of(deployment).await;
    sqlx::query("delete from _sqlx_migrations where version = 15").execute(&database.owner).await.unwrap();
    let output = run(&["migrate"], &[("DATABASE_URL", &database.deployment.consumer_url)]);
    assert!(!output.status.success(), "the consumer may not migrate");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_names_the_line_it_cannot_read_and_sends_the_rest() {
    let deployment = deployment().await;
    let event = login(1, at(1)).build();
    let line = cognito_user_sync_triggers::undelivered::line(&event, "no answer");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log");
    let text = format!("START RequestId: 7\n{}\n{}\n", line.get(..line.len() - 9).unwrap(), event.encode());
    std::fs::write(&file, text).unwrap();
    let output = run(&["replay", file.to_str().unwrap()], &deployment.environment());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 2: "), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 sent, 1 other lines skipped, 1 failed\n");
    assert_eq!(deployment.queue().backlog().await.unwrap(), 1);
}

#[test]
fn the_demo_shows_rows_dead_letters_and_the_proof() {
    let path = std::env::var("PATH").unwrap();
    let home = std::env::var("HOME").unwrap_or_default();
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
    let env = [("PATH", path.as_str()), ("HOME", &home), ("XDG_CACHE_HOME", &cache)];
    let output = run_program(&binaries::user_sync_dev(), &["demo", "--users=18"], &env);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", stderr(&output));
    for expected in
        ["users: 12 of 18 rows", "@example.com", "+1206555", "malformed", "unknown_version", "Ada Okafor"]
    {
        assert!(text.contains(expected), "no {expected} in {text}");
    }
    let proof = text.lines().find(|line| line.contains("login_count equals distinct logins")).unwrap();
    assert!(proof.contains("yes"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_where_the_rows_differ_and_mends_them() {
    let deployment = deployment().await;
    let database = TestDatabase::of(deployment.clone()).await;
    database.apply(&[login(1, at(1)).attributes(&[("name", "Ada")]).build(), login(2, at(2)).build()]).await;
    let as_consumer = [("DATABASE_URL", deployment.consumer_url.as_str())];
    let as_operator = [("DATABASE_URL", deployment.operator_url.as_str())];
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let clean = run(&["verify"], &as_consumer);
    assert!(
        clean.status.success() && said(&clean) == "2 users, 2 events: 0 differences\n",
        "{}",
        said(&clean)
    );

    let wrong = "begin; set local user_sync.service = 'on'; update users set login_count = 9 where name = 'Ada'; commit";
    sqlx::raw_sql(wrong).execute(&database.owner).await.unwrap();
    let found = run(&["verify"], &as_consumer);
    assert_eq!(found.status.code(), Some(1));
    assert!(said(&found).contains(r#"login_count: is "9", should be "1""#), "{}", said(&found));
    let as_json: serde_json::Value =
        serde_json::from_slice(&run(&["verify", "--json"], &as_consumer).stdout).unwrap();
    assert_eq!((&as_json["differences"], &as_json["shown"][0]["column"]), (&1.into(), &"login_count".into()));
    let mended = run(&["verify", "--repair"], &as_operator);
    assert!(
        mended.status.success() && said(&mended).contains("repaired the rows of 1 users"),
        "{}",
        stderr(&mended)
    );
    assert!(run(&["verify"], &as_consumer).status.success());

    let user = crate::support::events::sub(1).to_string();
    let explained = said(&run(&["verify", "--user", &user], &as_consumer));
    assert!(
        explained.contains("user.authenticated") && explained.contains(r#"name = "Ada", from event"#),
        "{explained}"
    );
    let maintained = run(&["maintain"], &as_operator);
    assert_eq!(said(&maintained), "nothing to do\n", "{}", stderr(&maintained));
    let released = run(&["release", &user, "name"], &as_operator);
    assert!(said(&released).contains("was the service's already"), "{}", stderr(&released));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_role_and_a_database_that_is_away_are_named_with_the_next_step() {
    let deployment = deployment().await;
    let as_consumer = [("DATABASE_URL", deployment.consumer_url.as_str())];
    let sub = crate::support::events::sub(1).to_string();
    TestDatabase::of(deployment.clone()).await.apply(&[login(1, at(1)).build()]).await;
    for arguments in
        [&["erase", &sub][..], &["release", &sub, "name"], &["maintain"], &["verify", "--repair"]]
    {
        let output = run(arguments, &as_consumer);
        let is_clean = arguments[0] == "verify";
        assert_eq!(output.status.success(), is_clean, "{arguments:?}: {}", stderr(&output));
        assert!(
            is_clean || stderr(&output).contains("the role of DATABASE_URL may not do this"),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
    let nowhere = [("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:9/x")];
    for arguments in [&["verify"][..], &["report"], &["erase", &sub], &["maintain"]] {
        let said = stderr(&run(arguments, &nowhere));
        assert!(said.contains("user-sync doctor") && !said.contains("hunter2"), "{arguments:?}: {said}");
    }
}
