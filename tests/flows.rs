//! `user-sync flows` on an emulated pool whose sign-ins fire: what it tries, what it says, what it refuses, and that its
//! user is gone at the end, however it ends.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::config::retry::RetryConfig;
use aws_sdk_cognitoidentityprovider::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cognitoidentityprovider::types::LambdaConfigType;
use cognito_user_sync::aws;
use cognito_user_sync::cognito::flows::trial::{self, Limits, NotDeleted, Trial};
use cognito_user_sync::cognito::flows::{self as pool_flows, Target};
use cognito_user_sync::postgres::Database;
use serde_json::Value;

use crate::support::sign_in_pool::{SignInPool, TRIGGER};
use crate::support::stale_pool::StalePool;
use crate::support::{TestDatabase, binaries, eventually, pool};

const ALL: [&str; 4] = [
    "ALLOW_ADMIN_USER_PASSWORD_AUTH",
    "ALLOW_USER_PASSWORD_AUTH",
    "ALLOW_USER_AUTH",
    "ALLOW_REFRESH_TOKEN_AUTH",
];
const READS: [&str; 3] = ["DescribeUserPool", "DescribeUserPoolClient", "GetFunctionConfiguration"];

/// The program on a pool, which waits for nothing longer than it must.
fn flows(database: &TestDatabase, pool: &SignInPool, arguments: &[&str]) -> tokio::process::Command {
    watching(database, pool, arguments, "0")
}

/// The same, which watches for so many seconds after each flow.
fn watching(
    database: &TestDatabase,
    pool: &SignInPool,
    arguments: &[&str],
    seconds: &str,
) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(binaries::user_sync());
    command
        .args(["flows", "--client-id", &pool.client_id, "--wait-seconds", "1"])
        .args(["--quiet-seconds", seconds])
        .args(arguments)
        .env_clear()
        .envs(database.deployment.environment())
        .env(StalePool::VARIABLE, &pool.endpoint)
        .env("AWS_ENDPOINT_URL_LAMBDA", &pool.endpoint)
        .env("USER_SYNC_USER_POOL_ID", &pool.pool.id)
        .env("USER_SYNC_TRIGGER_ARN", TRIGGER)
        .env("USER_SYNC_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn database() -> Arc<TestDatabase> {
    Arc::new(TestDatabase::create().await)
}

/// Nobody is left in the pool, and nothing that somebody could sign in with was shown.
async fn nothing_is_left(pool: &SignInPool, output: &Output) {
    assert_eq!(pool.pool.users().await.len(), 0, "{}", text(output));
    let front = pool.front();
    assert!(!front.calls.iter().any(|call| call == "AdminGetUser"), "{:?}", front.calls);
    for secret in &front.secrets {
        assert!(!text(output).contains(secret.as_str()), "a secret is shown: {}", text(output));
    }
}

/// Of each flow that was tried: its name, by how much the count rose, and whether that was expected.
fn tried(output: &Output) -> Vec<(String, i64, bool)> {
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)));
    let flow = |flow: &Value| {
        let rise = flow["after"].as_i64().unwrap() - flow["before"].as_i64().unwrap();
        (flow["flow"].as_str().unwrap().to_owned(), rise, flow["as_expected"].as_bool().unwrap())
    };
    said["flows"].as_array().unwrap().iter().map(flow).collect()
}

fn expected(flows: &[(&str, i64)]) -> Vec<(String, i64, bool)> {
    flows.iter().map(|(flow, rise)| ((*flow).to_owned(), *rise, true)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_yes_it_reads_and_says_what_it_would_do() {
    let database = database().await;
    let pool = SignInPool::start(&database, &ALL, false).await;
    // Nor is there a database to ask.
    let output = flows(&database, &pool, &[]).env_remove("DATABASE_URL").output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(pool.front().calls, READS);
    for said in [
        "one monthly active user",
        "leaves a row in users, and its deletion",
        "PostConfirmation, PostAuthentication, no other",
        "admin-create, new-password, admin-password, user-password, user-auth-password, refresh, rotated-refresh, \
         set-password, sign-out",
        "AdminCreateUser, AdminInitiateAuth, AdminRespondToAuthChallenge, InitiateAuth",
        "cognito-idp:AdminDeleteUser",
        "lambda:GetFunctionConfiguration",
        "Nothing was changed. Add --yes",
    ] {
        assert!(text(&output).contains(said), "{said}: {}", text(&output));
    }
    nothing_is_left(&pool, &output).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flow_counts_as_the_page_says_and_the_user_is_deleted() {
    let database = database().await;
    let pool = SignInPool::start(&database, &ALL, true).await;
    let output = flows(&database, &pool, &["--yes", "--json"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let flows = [
        ("admin-create", 0),
        ("new-password", 1),
        ("admin-password", 1),
        ("user-password", 1),
        ("user-auth-password", 1),
        ("refresh", 0),
        ("rotated-refresh", 0),
        ("set-password", 0),
        ("sign-out", 0),
    ];
    assert_eq!(tried(&output), expected(&flows));
    let sub = pool.front().sub.clone().unwrap().parse().unwrap();
    assert_eq!(database.column(sub, "login_count").await.as_deref(), Some("4"));
    assert!(pool.front().secrets.len() > 10, "nothing was there to hide");
    assert_eq!(pool.front().calls.last().map(String::as_str), Some("AdminDeleteUser"));
    nothing_is_left(&pool, &output).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fires_nothing_and_a_call_that_fails_are_said_and_the_user_is_deleted() {
    let database = database().await;
    let pool = SignInPool::start(&database, &["ALLOW_USER_PASSWORD_AUTH", "ALLOW_USER_AUTH"], false).await;
    pool.front().silent.insert("USER_AUTH");
    pool.front().refused.insert("AdminSetUserPassword");
    let output = flows(&database, &pool, &["--yes"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let said = text(&output);
    for line in [
        "user-password: counted once",
        "user-auth-password: did not fire, or did not arrive in time",
        "set-password: failed: Cognito: AdminSetUserPassword failed: AccessDeniedException",
        "not every flow is as docs/flows.md expects",
        "for a person: managed login",
        "is deleted; its row follows",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    nothing_is_left(&pool, &output).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sign_in_that_fails_ends_the_trial_and_the_user_is_deleted() {
    let database = database().await;
    let pool = SignInPool::start(&database, &ALL, false).await;
    pool.front().refused.insert("AdminRespondToAuthChallenge");
    let output = flows(&database, &pool, &["--yes", "--json"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let failed = ("new-password".to_owned(), 0, false);
    assert_eq!(tried(&output), [&expected(&[("admin-create", 0)])[..], &[failed]].concat());
    nothing_is_left(&pool, &output).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_is_not_made_needs_no_deletion() {
    let database = database().await;
    let pool = SignInPool::start(&database, &ALL, false).await;
    pool.front().refused.insert("AdminCreateUser");
    let output = flows(&database, &pool, &["--yes"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("AdminCreateUser failed: AccessDeniedException"), "{}", text(&output));
    assert_eq!(pool.front().calls, [&READS[..], &["AdminCreateUser"]].concat());
    nothing_is_left(&pool, &output).await;
}

/// Tries on a pool whose AdminCreateUser is answered by an error, and makes the user so much later, if at all.
async fn unanswered(creates_after: Duration) -> (SignInPool, Trial) {
    let database = database().await;
    let pool = SignInPool::start(&database, &ALL, false).await;
    pool.front().creates_after = Some(creates_after);
    let cognito = pool::client(&pool.endpoint).config().to_builder().retry_config(RetryConfig::disabled());
    let lambda = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(&pool.endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "local"))
        .http_client(aws::http_client());
    let target = Target {
        cognito: aws_sdk_cognitoidentityprovider::Client::from_conf(cognito.build()),
        lambda: aws_sdk_lambda::Client::from_conf(lambda.build()),
        user_pool_id: pool.pool.id.parse().unwrap(),
        client_id: pool.client_id.clone(),
        trigger_arn: TRIGGER.to_owned(),
        with_other_triggers: false,
    };
    let plan = pool_flows::examine(&target).await.unwrap();
    let limits = Limits { wait: Duration::ZERO, quiet: Duration::ZERO, settle: Duration::from_secs(2) };
    let owner = Database::from(database.owner.clone());
    let trial = trial::run(&target, &plan, &owner, limits, std::future::pending(), |_| ()).await;
    let said = trial.ended_early.as_ref().unwrap().to_string();
    assert!(said.contains("AdminCreateUser"), "{said}");
    (pool, trial)
}

/// A deletion finds nobody while the creation goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_creation_nobody_answered_is_waited_for_and_deleted() {
    for late in [Duration::from_millis(500), Duration::from_millis(2_800)] {
        let (pool, trial) = unanswered(late).await;
        assert!(trial.not_deleted.is_none(), "{late:?}: {trial:?}");
        assert_eq!(pool.pool.users().await.len(), 0, "{late:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_was_never_seen_is_not_said_to_be_deleted() {
    let (pool, trial) = unanswered(Duration::MAX).await;
    assert!(matches!(trial.not_deleted, Some(NotDeleted::NotSeen)), "{trial:?}");
    let deletions = pool.front().calls.iter().filter(|call| *call == "AdminDeleteUser").count();
    assert_eq!(deletions, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_found_out_before_anybody_is_made() {
    let database = database().await;
    let pool = SignInPool::start(&database, &ALL, false).await;
    let hidden = "alter table users rename to hidden";
    sqlx::query(hidden).execute(&database.owner).await.unwrap();
    let output = flows(&database, &pool, &["--yes"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("a member of user_sync_reader"), "{}", text(&output));
    assert_eq!(pool.front().calls, READS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_cannot_be_deleted_is_named_with_the_command_that_does_it() {
    let database = database().await;
    let pool = SignInPool::start(&database, &["ALLOW_USER_PASSWORD_AUTH"], false).await;
    pool.front().refused.insert("AdminDeleteUser");
    let mut child = flows(&database, &pool, &["--yes"]).spawn().unwrap();
    // Nobody reads the answer; what is left to do is said all the same.
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let users = pool.pool.users().await;
    let name = &users[0].username;
    assert!(name.starts_with("user-sync-test-"), "{name}");
    let command =
        format!("aws cognito-idp admin-delete-user --user-pool-id {} --username {name}", pool.pool.id);
    assert!(text(&output).contains(&command), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_is_deleted_on_ctrl_c() {
    let database = database().await;
    let pool = SignInPool::start(&database, &ALL, false).await;
    let child = watching(&database, &pool, &["--yes"], "600").spawn().unwrap();
    let is_made = async || pool.front().calls.iter().any(|call| call == "AdminCreateUser");
    eventually("the test user is made", Duration::from_secs(30), is_made).await;
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let output =
        tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("interrupted; the test user user-sync-test-"), "{}", text(&output));
    nothing_is_left(&pool, &output).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_not_ours_alone_is_refused_before_anybody_is_made() {
    let database = database().await;
    let refused = async |pool: &SignInPool, arguments: &[&str], said: &str| {
        let output = flows(&database, pool, &[&["--yes"], arguments].concat()).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(said), "{said}: {}", text(&output));
        let front = pool.front();
        assert!(front.calls.iter().all(|call| READS.contains(&call.as_str())), "{:?}", front.calls);
    };
    let wired = || LambdaConfigType::builder().post_confirmation(TRIGGER);
    let theirs = wired().post_authentication("arn:aws:lambda:eu-west-1:111122223333:function:theirs").build();
    let theirs = SignInPool::wired(&database, &ALL, false, theirs).await;
    refused(&theirs, &[], "the pool's PostAuthentication trigger does not call").await;

    let busy = wired().post_authentication(TRIGGER).pre_sign_up(TRIGGER).custom_message(TRIGGER).build();
    let busy = SignInPool::wired(&database, &ALL, false, busy).await;
    refused(&busy, &[], "other triggers that the test user would fire: PreSignUp, CustomMessage").await;
    let accepted = flows(&database, &busy, &["--with-other-triggers"]).output().await.unwrap();
    assert!(text(&accepted).contains("also PreSignUp, CustomMessage"), "{}", text(&accepted));

    let ours = SignInPool::start(&database, &ALL, false).await;
    let queue = ours.front().variables.clone();
    let chained =
        [("USER_SYNC_CHAIN_POST_AUTHENTICATION", "arn:aws:lambda:eu-west-1:111122223333:function:former")];
    ours.front().variables.as_mut().unwrap().extend(chained);
    refused(&ours, &[], "USER_SYNC_CHAIN_POST_AUTHENTICATION is set").await;
    ours.front().variables = Some([("OTHER", "function")].into());
    refused(&ours, &[], "has no USER_SYNC_QUEUE_URL").await;
    ours.front().variables = None;
    refused(&ours, &[], "its configuration cannot be read").await;
    ours.front().variables = queue;

    let no_password =
        SignInPool::start(&database, &["ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH"], false).await;
    refused(&no_password, &[], "the app client permits neither").await;
}
