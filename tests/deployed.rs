//! A deployment as a team makes one: `cdk bootstrap`, `cdk deploy`, a sign-up and logins through the deployed
//! functions, the event source mapping and the queue into PostgreSQL, `cdk deploy` of other code, `cdk destroy`. AWS is
//! emulated, and runs the release programs as they are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::types::{
    LambdaConfigType, PasswordPolicyType, UserPoolMfaType, UserPoolPolicyType, UserPoolType,
    VerifiedAttributeType,
};
use aws_sdk_lambda::primitives::Blob;
use cognito_user_sync::aws;
use cognito_user_sync::dev::stack::{Emulator, Progress, Sqs};
use cognito_user_sync::store::migrate;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::OnceCell;

use crate::support::events::sub;
use crate::support::rds_server::{self, MASTER, MASTER_PASSWORD};
use crate::support::{binaries, eventually, secrets};

pub(crate) const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "000000000000";
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// What is deployed, instead of the app that `infra/cdk.json` names.
const APP: &str = "npx --no-install tsx test/emulated/app.ts";
const PROGRAMS: [&str; 4] =
    ["user-sync-trigger", "user-sync-consumer", "user-sync-lifecycle", "user-sync-operator"];

fn infra() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("infra")
}

/// Fetches what the construct is built with, where that is not there.
fn fetch_packages() {
    let made = Command::new("make")
        .args(["--silent", "infra-packages"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("make runs");
    assert!(made.success(), "the packages of infra cannot be fetched");
}

/// An AWS of the test's own, with a user pool and a database as a team has them.
pub(crate) struct Aws {
    pub(crate) emulator: Sqs,
    pub(crate) cognito: aws_sdk_cognitoidentityprovider::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) user_pool_id: String,
    pub(crate) database: PgPool,
    /// Another deployment's database, on the same server.
    neighbour: PgPool,
    pub(crate) dist: tempfile::TempDir,
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A deployment with the default schema and the default prefix of its roles, and no row: one on the server, for all tests.
async fn neighbour() -> PgPool {
    static NAME: OnceCell<String> = OnceCell::const_new();
    let name = NAME.get_or_init(migrated).await;
    rds_server::connect(name).await
}

async fn migrated() -> String {
    let postgres = rds_server::server().await;
    let name = rds_server::create_database(postgres.admin_url(), MASTER).await;
    let pool = rds_server::connect(&name).await;
    migrate::run(&pool.into(), None).await.unwrap();
    name
}

impl Aws {
    /// The roles' prefix is this deployment's own: all are on one server.
    pub(crate) async fn start(role_prefix: &str) -> Self {
        fetch_packages();
        // AWS's runtime for Node.js has the SDK; the emulator's has what it is pointed at.
        let modules = infra().join("node_modules");
        let environment: [(&str, &OsStr); 1] = [("NODE_PATH", modules.as_os_str())];
        let emulator = Sqs::start_with(Emulator::Ministack, &environment, &Progress::Lines).await.unwrap();
        let endpoint = emulator.endpoint();
        let config = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new(REGION))
            .endpoint_url(endpoint)
            .credentials_provider(aws_sdk_sqs::config::SharedCredentialsProvider::new(
                aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "test"),
            ))
            .http_client(aws::http_client())
            .build();
        let cognito = aws_sdk_cognitoidentityprovider::Client::new(&config);
        let password = PasswordPolicyType::builder().minimum_length(14).require_numbers(true).build();
        let pool = cognito
            .create_user_pool()
            .pool_name("theirs")
            .policies(UserPoolPolicyType::builder().password_policy(password).build())
            .auto_verified_attributes(VerifiedAttributeType::Email)
            .mfa_configuration(UserPoolMfaType::Optional)
            .email_verification_subject("Welcome")
            .user_pool_tags("team", "sign-in");
        let pool = pool.send().await.unwrap().user_pool.unwrap();

        let postgres = rds_server::server().await;
        let name = rds_server::create_database(postgres.admin_url(), MASTER).await;
        let database = rds_server::connect(&name).await;
        let schema = format!("alter database {name} set search_path = identity");
        sqlx::raw_sql(AssertSqlSafe(schema)).execute(&database).await.unwrap();
        database.close().await;
        let (database, neighbour) = (rds_server::connect(&name).await, neighbour().await);
        let admin_secret = secrets::create(&secrets::client(endpoint), MASTER, MASTER_PASSWORD).await;

        let dist = tempfile::tempdir().unwrap();
        let environment = vec![
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", endpoint.to_owned()),
            ("CDK_DISABLE_CLI_TELEMETRY", "true".to_owned()),
            ("CDK_OUTDIR", dist.path().join("cdk.out").display().to_string()),
            ("ACCOUNT", ACCOUNT.to_owned()),
            ("REGION", REGION.to_owned()),
            ("USER_POOL_ARN", pool.arn.unwrap()),
            ("DATABASE_HOST", postgres.host().to_owned()),
            ("DATABASE_PORT", postgres.port().to_string()),
            ("DATABASE_NAME", name),
            ("ADMIN_SECRET_ARN", admin_secret),
            ("ROLE_PREFIX", role_prefix.to_owned()),
            ("DIST", dist.path().display().to_string()),
        ];
        Self {
            lambda: aws_sdk_lambda::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            emulator,
            cognito,
            user_pool_id: pool.id.unwrap(),
            database,
            neighbour,
            dist,
            environment,
        }
    }

    /// As `make lambda` leaves the programs; `release` is what makes one build another.
    pub(crate) fn build(&self, release: &str) {
        self.build_of(&PROGRAMS, release);
    }

    /// Some of the programs are another build.
    pub(crate) fn build_of(&self, programs: &[&str], release: &str) {
        let built = [binaries::trigger(), binaries::consumer(), binaries::lifecycle(), binaries::operator()];
        for (program, binary) in PROGRAMS.iter().zip(built) {
            if !programs.contains(program) {
                continue;
            }
            let folder = self.dist.path().join("lambda").join(program);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(binary, folder.join("bootstrap")).unwrap();
            std::fs::write(folder.join("release"), release).unwrap();
        }
    }

    pub(crate) fn cdk(&self, arguments: &[&str]) {
        self.try_cdk(arguments).unwrap_or_else(|said| panic!("cdk {arguments:?}: {said}"));
    }

    /// Runs the CDK's program on what is deployed here, or says what it said.
    pub(crate) fn try_cdk(&self, arguments: &[&str]) -> Result<(), String> {
        let home = self.dist.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let ran = Command::new("node")
            .arg(infra().join("node_modules/aws-cdk/bin/cdk"))
            .args(arguments)
            .args(["--app", APP, "--ci", "--no-notices", "--no-version-reporting"])
            .current_dir(infra())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("node runs");
        if ran.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    }

    pub(crate) fn bootstrap(&self) {
        self.cdk(&["bootstrap", &format!("aws://{ACCOUNT}/{REGION}")]);
    }

    pub(crate) fn deploy(&self) -> Outputs {
        self.try_deploy().unwrap_or_else(|said| panic!("cdk deploy: {said}"))
    }

    /// Deploys each stack after those that it needs.
    pub(crate) fn try_deploy(&self) -> Result<Outputs, String> {
        let outputs = self.dist.path().join("outputs.json");
        let file = outputs.display().to_string();
        self.try_cdk(&["deploy", "--all", "--require-approval", "never", "--outputs-file", &file])?;
        let outputs = serde_json::from_slice(&std::fs::read(outputs).unwrap()).unwrap();
        Ok(Outputs(outputs))
    }

    pub(crate) fn destroy(&self) {
        self.cdk(&["destroy", "--all", "--force"]);
    }

    async fn pool(&self) -> UserPoolType {
        let described = self.cognito.describe_user_pool().user_pool_id(&self.user_pool_id).send().await;
        described.unwrap().user_pool.unwrap()
    }

    pub(crate) async fn triggers(&self) -> LambdaConfigType {
        self.pool().await.lambda_config.unwrap_or_else(|| LambdaConfigType::builder().build())
    }

    /// Everything of the pool but its triggers, and when it was last changed.
    pub(crate) async fn settings(&self) -> UserPoolType {
        let mut pool = self.pool().await;
        (pool.lambda_config, pool.last_modified_date) = (None, None);
        // "No longer in use": the password policy says it, and Cognito refuses both in one request.
        if let Some(config) = &mut pool.admin_create_user_config {
            config.unused_account_validity_days = 0;
        }
        pool
    }

    /// Calls a function and takes its answer; a function that failed fails the test.
    pub(crate) async fn invoke(&self, function: &str, payload: &Value) -> Value {
        let payload = Blob::new(payload.to_string());
        let answered = self.lambda.invoke().function_name(function).payload(payload).send().await.unwrap();
        let body = answered.payload.unwrap_or_else(|| Blob::new(Vec::new())).into_inner();
        assert_eq!(answered.function_error, None, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// As Cognito calls whatever function the pool names for this hook: it must get its event back.
    pub(crate) async fn fires(&self, source: &str, user: u128) {
        let config = self.triggers().await;
        let function = match source {
            "PostConfirmation_ConfirmSignUp" => config.post_confirmation,
            _ => config.post_authentication,
        };
        let event = json!({
            "version": "1", "region": REGION, "userPoolId": self.user_pool_id, "userName": format!("user{user}"),
            "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "client" },
            "triggerSource": source,
            "request": { "userAttributes": {
                "sub": sub(user), "email": format!("user{user}@example.com"), "email_verified": "true",
                "name": "Some One", "cognito:user_status": "CONFIRMED",
            } },
            "response": {},
        });
        assert_eq!(self.invoke(&function.expect("the pool has a trigger"), &event).await, event);
    }

    pub(crate) async fn login_count(&self, user: u128) -> Option<i64> {
        let asked = sqlx::query_scalar("select login_count from users where id = $1").bind(sub(user));
        asked.fetch_optional(&self.database).await.unwrap()
    }

    pub(crate) async fn counts(&self, user: u128, logins: i64) {
        let what = format!("user {user} has {logins} logins");
        eventually(&what, LIMIT, async || self.login_count(user).await == Some(logins)).await;
    }

    pub(crate) async fn code_of(&self, function: &str) -> String {
        let asked = self.lambda.get_function_configuration().function_name(function).send().await;
        asked.unwrap().code_sha256.unwrap()
    }
}

/// By stack and name.
pub(crate) struct Outputs(Value);

impl Outputs {
    pub(crate) fn get(&self, name: &str) -> &str {
        self.of("Emulated", name)
    }

    pub(crate) fn of(&self, stack: &str, name: &str) -> &str {
        self.0[stack][name].as_str().unwrap_or_else(|| panic!("no output {name} of {stack} in {}", self.0))
    }

    /// The output that a part of the construct made, whose name ends with a hash.
    pub(crate) fn made(&self, part: &str) -> &str {
        let outputs = self.0["Emulated"].as_object().unwrap();
        let mut found = outputs.iter().filter(|(name, _)| name.contains(part));
        found.next().unwrap_or_else(|| panic!("no output {part} in {}", self.0)).1.as_str().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_deploys_signs_in_deploys_again_and_takes_it_away() {
    let aws = Aws::start("shop").await;
    aws.build("first");
    aws.bootstrap();
    let settings = aws.settings().await;
    let outputs = aws.deploy();

    // The pool that was there has the two triggers now, and the database its tables and logins.
    let config = aws.triggers().await;
    assert_eq!(config.post_confirmation.as_deref(), Some(outputs.get("Trigger")));
    assert_eq!(config.post_authentication.as_deref(), Some(outputs.get("Trigger")));
    assert_eq!(aws.settings().await, settings, "nothing else of the pool changed");
    let members: i64 = sqlx::query_scalar(
        "select count(*) from pg_auth_members join pg_roles as groups on groups.oid = roleid
         join pg_roles as members on members.oid = member
         where groups.rolname in ('shop_consumer', 'shop_reader')
           and members.rolname in ('shop_consumer_login', 'shop_reader_login')",
    )
    .fetch_one(&aws.database)
    .await
    .unwrap();
    assert_eq!(members, 2);
    let may = "select has_any_column_privilege('shop_consumer_login', 'users', 'select, insert, update')
        or has_table_privilege('shop_consumer_login', 'user_events', 'select, insert')";
    let may: bool = sqlx::query_scalar(may).fetch_one(&aws.neighbour).await.unwrap();
    assert!(!may, "the consumer may write to the other deployment of the server");

    // A sign-up and two logins, through everything.
    aws.fires("PostConfirmation_ConfirmSignUp", 1).await;
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.counts(1, 2).await;
    // A message that can never be applied ends among the dead letters, with its reason, and holds nobody back.
    let (queue, dead) = (outputs.get("QueueUrl"), outputs.get("DeadLetterQueueUrl"));
    aws.sqs.send_message().queue_url(queue).message_body("{\"poison\":true}").send().await.unwrap();
    let mut reason = None;
    eventually("the poison is among the dead letters", LIMIT, async || {
        let request = aws.sqs.receive_message().queue_url(dead).message_attribute_names("All");
        let messages = request.send().await.unwrap().messages.unwrap_or_default();
        reason = messages.first().and_then(|message| {
            assert_eq!(message.body.as_deref(), Some("{\"poison\":true}"));
            message.message_attributes.as_ref()?.get("reason")?.string_value.clone()
        });
        reason.is_some()
    })
    .await;
    assert_eq!(reason.as_deref(), Some("malformed"));
    // What the schedules ask for.
    aws.invoke(outputs.get("Lifecycle"), &json!({ "heartbeat": true })).await;
    eventually("the heartbeat has come through", LIMIT, async || {
        let asked = sqlx::query_scalar("select heartbeat_at is not null from sync_status");
        asked.fetch_one(&aws.database).await.unwrap()
    })
    .await;
    let maintained = aws.invoke(outputs.get("Migrator"), &json!({ "maintain": { "monthsAhead": 4 } })).await;
    assert!(maintained["daysAhead"].as_f64().unwrap() > 100.0, "{maintained}");
    // Only the triggers of this test said that the pool has a user.
    let compared = aws.invoke(outputs.get("Drift"), &json!({ "drift": true })).await;
    assert_eq!((&compared["compared"], &compared["rows"]), (&json!(0), &json!(1)), "{compared}");

    // Other code: it is what runs, the same row goes on, and nothing of the pool changes.
    let before = aws.code_of(outputs.get("Consumer")).await;
    aws.build("second");
    let again = aws.deploy();
    assert_eq!(again.get("Trigger"), outputs.get("Trigger"));
    assert_ne!(aws.code_of(again.get("Consumer")).await, before);
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.fires("PostConfirmation_ConfirmSignUp", 2).await;
    aws.counts(1, 3).await;
    aws.counts(2, 0).await;

    // Taken away: the pool is as it was, and the rows are the team's.
    aws.destroy();
    let config = aws.triggers().await;
    assert_eq!((config.post_confirmation, config.post_authentication), (None, None));
    assert_eq!(aws.settings().await, settings);
    let gone = aws.lambda.get_function_configuration().function_name(outputs.get("Consumer")).send().await;
    assert!(gone.is_err(), "the functions are gone");
    assert_eq!(aws.login_count(1).await, Some(3));
    aws.emulator.stop().await.unwrap();
}
