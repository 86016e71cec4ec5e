//! What a deployment has done for it: the release binary of `user-sync-operator` as a master user like RDS's, who is
//! no superuser, on the newest PostgreSQL there is; an emulated Secrets Manager and user pool.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local;
use cognito_user_sync::postgres::{self, Role};
use cognito_user_sync::store::maintenance::drift::Kind;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::report::login_url;
use crate::support::events::{at, confirmed, login};
use crate::support::lambda_runtime_api::{FUNCTION_NAME, Function, Invocation, LambdaRuntimeApi};
use crate::support::large_pool::{self, LargePool, Ranges};
use crate::support::pool::TestPool;
use crate::support::rds_server::{self, MASTER, MASTER_PASSWORD};
use crate::support::{TestDatabase, binaries, deployment, eventually, not_across_midnight, secrets, stack};

const LIMIT: Duration = Duration::from_secs(120);
/// The operator's function for the schema of a new database.
struct Schema {
    /// As the master.
    master: PgPool,
    /// `DATABASE_URL`: no user, no password.
    url: String,
    secrets: aws_sdk_secretsmanager::Client,
    /// The function as it was deployed, with the logins of its environment; the last one is the one that is asked.
    functions: Mutex<Vec<(Value, Arc<LambdaRuntimeApi>, Function)>>,
    environment: Vec<(&'static str, String)>,
    /// The database's name, and what the names of its roles begin with.
    name: String,
}

impl Schema {
    async fn start() -> Self {
        let server = rds_server::server().await;
        Self::start_on(server.host(), server.port(), MASTER, MASTER_PASSWORD, server.admin_url()).await
    }

    async fn start_on(host: &str, port: u16, owner: &str, password: &str, admin_url: &str) -> Self {
        let endpoint = stack().await.sqs.endpoint();
        not_across_midnight().await;
        let name = rds_server::create_database(admin_url, owner).await;
        let master = format!("postgres://{owner}:{password}@{host}:{port}/{name}");
        let secrets = secrets::client(endpoint);
        let owner_secret = secrets::create(&secrets, owner, password).await;
        let url = format!("postgres://{host}:{port}/{name}");
        let environment = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("DATABASE_URL", url.as_str()),
            ("USER_SYNC_DATABASE_AUTH", "secret"),
            ("USER_SYNC_DATABASE_SECRET_ARN", owner_secret.as_str()),
            ("USER_SYNC_OPERATION", "schema"),
            ("USER_SYNC_ROLE_PREFIX", name.as_str()),
        ];
        let environment = environment.map(|(variable, value)| (variable, value.to_owned())).to_vec();
        let master = local::connect(&master, 2).await.unwrap();
        Self { master, url, secrets, functions: Mutex::default(), environment, name }
    }

    /// Deploys the function with these logins in its environment, unless it has them.
    async fn deploy(&self, logins: &Value) {
        if self.functions.lock().unwrap().last().is_some_and(|(deployed, ..)| deployed == logins) {
            return;
        }
        let api = Arc::new(LambdaRuntimeApi::start().await);
        let text = |name: &str| logins[name].as_str().unwrap_or_default();
        let pinned = [
            ("USER_SYNC_LOGINS_AUTH", text("Auth")),
            ("USER_SYNC_CONSUMER_LOGIN", text("ConsumerUser")),
            ("USER_SYNC_CONSUMER_SECRET_ARN", text("ConsumerSecretArn")),
            ("USER_SYNC_READER_LOGIN", text("ReaderUser")),
            ("USER_SYNC_READER_SECRET_ARN", text("ReaderSecretArn")),
            ("USER_SYNC_CONSOLE_LOGIN", text("ConsoleUser")),
            ("USER_SYNC_CONSOLE_SECRET_ARN", text("ConsoleSecretArn")),
        ];
        let environment = self.environment.iter().map(|(variable, value)| (*variable, value.as_str()));
        let environment: Vec<_> = environment.chain(pinned).collect();
        let function = Function::spawn(&binaries::operator(), &api, &environment);
        self.functions.lock().unwrap().push((logins.clone(), api, function));
    }

    async fn secret(&self, group: &str) -> Secret {
        let user = format!("{group}_{}", Uuid::now_v7().simple());
        let password = format!("first-{}", Uuid::now_v7().simple());
        let arn = secrets::create(&self.secrets, &user, &password).await;
        Secret { user, password, arn }
    }

    async fn asked(&self, payload: Value) -> Result<Value, String> {
        let api = Arc::clone(&self.functions.lock().unwrap().last().expect("it is deployed").1);
        answer(api.invoke(payload.to_string(), LIMIT).await)
    }

    /// As CloudFormation asks, once it has deployed the function.
    async fn request(&self, request_type: &str, properties: Value) -> Result<Value, String> {
        self.deploy(&properties).await;
        self.requested(request_type, properties).await
    }

    /// As anybody asks who may invoke the function.
    async fn requested(&self, request_type: &str, properties: Value) -> Result<Value, String> {
        self.asked(json!({
            "RequestType": request_type,
            "ResponseURL": "https://cloudformation.example.com",
            "ResourceProperties": properties,
        }))
        .await
    }

    async fn connect(&self, secret: &Secret) -> Result<PgPool, sqlx::Error> {
        let config = DatabaseConfig::with_url(&self.url);
        let password = secret.password.clone().into();
        let pool = postgres::connect_as(&config, &secret.user, &password, 2).unwrap().pool().clone();
        pool.acquire().await.map(drop)?;
        Ok(pool)
    }

    fn said(&self) -> String {
        let functions = self.functions.lock().unwrap();
        let lines = functions
            .iter()
            .flat_map(|(_, _, function)| [function.stdout_lines(), function.stderr_lines()].concat());
        lines.collect::<Vec<_>>().join("\n")
    }
}

struct Secret {
    user: String,
    password: String,
    arn: String,
}

fn answer(invocation: Invocation) -> Result<Value, String> {
    match invocation {
        Invocation::Response { body, .. } => Ok(serde_json::from_slice(&body).unwrap()),
        Invocation::Error { body, .. } => {
            let error: Value = serde_json::from_slice(&body).unwrap();
            Err(error["errorMessage"].as_str().unwrap().to_owned())
        }
        Invocation::TimedOut => panic!("the operator did not answer"),
    }
}

fn of_secrets(consumer: &Secret, reader: &Secret) -> Value {
    json!({ "Auth": "secret", "ConsumerSecretArn": consumer.arn, "ReaderSecretArn": reader.arn, "Code": "1" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_who_is_no_superuser_migrates_and_makes_the_logins() {
    let schema = Schema::start().await;
    let (consumer, reader) = (schema.secret("consumer").await, schema.secret("reader").await);
    let answered = schema.request("Create", of_secrets(&consumer, &reader)).await.unwrap();
    let name = answered["PhysicalResourceId"].as_str().unwrap();
    assert!(name.starts_with("user-sync-schema/"), "{name}");

    // The consumer's login applies, and may do no more than its group.
    let pool = schema.connect(&consumer).await.unwrap();
    let applier = cognito_user_sync::store::Applier::new(pool.clone());
    let bodies = [confirmed(1, at(1)).build().encode(), login(1, at(2)).build().encode()];
    let outcomes = applier.apply(&bodies).await;
    assert!(
        outcomes.iter().all(|outcome| *outcome == cognito_user_sync::store::outcome::Outcome::Applied),
        "{outcomes:?}"
    );
    assert!(sqlx::query("update users set bio = 'x'").execute(&pool).await.is_err());
    assert!(sqlx::query("create table mine (x int)").execute(&pool).await.is_err());
    // The reader's reads.
    let pool = schema.connect(&reader).await.unwrap();
    let counts: Vec<i64> =
        sqlx::query_scalar("select login_count from users").fetch_all(&pool).await.unwrap();
    assert_eq!(counts, [1]);
    assert!(sqlx::query("update users set name = 'x'").execute(&pool).await.is_err());

    // Again, as on every deployment: nothing to do, and nobody's password is touched.
    let verifiers = || async {
        let admin = local::connect(rds_server::server().await.admin_url(), 1).await.unwrap();
        let asked =
            sqlx::query_scalar("select rolpassword from pg_authid where rolname = any($1) order by 1");
        asked.bind(vec![&consumer.user, &reader.user]).fetch_all(&admin).await.unwrap()
    };
    let before: Vec<String> = verifiers().await;
    assert!(before.iter().all(|verifier| verifier.starts_with("SCRAM-SHA-256$")));
    schema.request("Update", of_secrets(&consumer, &reader)).await.unwrap();
    assert_eq!(verifiers().await, before);
    // A password that lets nobody in is set.
    let other = Secret { password: "second-3c1a".to_owned(), ..consumer };
    secrets::put(&schema.secrets, &other.arn, &other.user, &other.password).await;
    assert!(schema.connect(&other).await.is_err());
    schema.request("Update", of_secrets(&other, &reader)).await.unwrap();
    schema.connect(&other).await.unwrap();
    // The rows outlive the deployment.
    schema.request("Delete", of_secrets(&other, &reader)).await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&schema.master).await.unwrap();
    assert_eq!(rows, 1);

    let said = schema.said();
    for secret in [MASTER_PASSWORD, "first-", "second-3c1a", "SCRAM-SHA-256"] {
        assert!(!said.contains(secret), "{secret} in the log: {said}");
    }
    let doctor = std::process::Command::new(binaries::user_sync())
        .args(["doctor", "--json"])
        .env_clear()
        .env("DATABASE_URL", schema.url.replace("://", &format!("://{MASTER}:{MASTER_PASSWORD}@")))
        .output()
        .unwrap();
    let checks: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let failed: Vec<&Value> =
        checks["checks"].as_array().unwrap().iter().filter(|check| check["status"] == "fail").collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// A rollback that fails leaves a stack that only a person can mend. And a migration that is needed is not skipped.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_green_whatever_the_database_says_and_an_update_is_not() {
    let schema = Schema::start().await;
    let (consumer, reader) = (schema.secret("consumer").await, schema.secret("reader").await);
    let of = |code: &str| {
        let mut properties = of_secrets(&consumer, &reader);
        properties["Code"] = code.into();
        properties
    };
    schema.deploy(&of("1")).await;
    let update = |name: &str, from: &str, to: &str| {
        json!({
            "RequestType": "Update", "PhysicalResourceId": name, "ResponseURL": "https://cloudformation.example.com",
            "ResourceProperties": of(to), "OldResourceProperties": of(from),
        })
    };
    let named = |answered: Value| answered["PhysicalResourceId"].as_str().unwrap().to_owned();
    let first = named(schema.requested("Create", of("1")).await.unwrap());
    let second = named(schema.asked(update(&first, "1", "2")).await.unwrap());
    assert_ne!(first, second);
    // A rollback tries, and mends what it finds.
    let drop_role = async || {
        let drop = format!("drop role {}", consumer.user);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&schema.master).await.unwrap();
    };
    drop_role().await;
    assert_eq!(named(schema.asked(update(&second, "2", "1")).await.unwrap()), first);
    schema.connect(&consumer).await.unwrap().close().await;

    // The deletion of a former name does nothing, also with properties that nobody knows any more.
    for properties in [of("1"), json!({ "ServiceToken": "arn" })] {
        let deletion = json!({
            "RequestType": "Delete", "PhysicalResourceId": first, "ResponseURL": "https://cloudformation.example.com",
            "ResourceProperties": properties,
        });
        assert_eq!(named(schema.asked(deletion).await.unwrap()), first);
    }
    schema.connect(&consumer).await.unwrap().close().await;

    // The owner's secret lets nobody in: an update is red, and its rollback green, and what it rolls back to may be tried again.
    let owner =
        &schema.environment.iter().find(|(name, _)| *name == "USER_SYNC_DATABASE_SECRET_ARN").unwrap().1;
    secrets::put(&schema.secrets, owner, MASTER, "wrong-5d20").await;
    schema.functions.lock().unwrap().clear();
    schema.deploy(&of("1")).await;
    schema.asked(update(&first, "1", "2")).await.unwrap_err();
    for name in [&first, &second] {
        assert_eq!(named(schema.asked(update(name, "2", "1")).await.unwrap()), first);
    }
    schema.asked(update(&first, "1", "2")).await.unwrap_err();
    let said = schema.said();
    assert_eq!(said.matches("an update is rolled back").count(), 2, "{said}");
    assert!(!said.contains("wrong-5d20"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_by_iam_are_members_of_rds_iam_and_a_secret_takes_them_out() {
    let schema = Schema::start().await;
    let suffix = Uuid::now_v7().simple().to_string();
    let (consumer, reader) = (format!("sync_{suffix}"), format!("look_{suffix}"));
    let by_iam = json!({ "Auth": "iam", "ConsumerUser": consumer, "ReaderUser": reader });
    schema.request("Create", by_iam.clone()).await.unwrap();
    let group = format!("{}_consumer", schema.name);
    let groups = || async {
        let asked = "select groups.rolname::text from pg_auth_members
            join pg_roles as groups on groups.oid = roleid join pg_roles as members on members.oid = member
            where members.rolname = $1 order by 1";
        let asked = sqlx::query_scalar::<_, String>(asked).bind(&consumer);
        asked.fetch_all(&schema.master).await.unwrap()
    };
    assert_eq!(groups().await, [group.as_str(), "rds_iam"]);
    schema.request("Update", by_iam).await.unwrap();
    assert_eq!(groups().await, [group.as_str(), "rds_iam"]);
    let password = "third-77aa".to_owned();
    let arn = secrets::create(&schema.secrets, &consumer, &password).await;
    schema.request("Update", json!({ "Auth": "secret", "ConsumerSecretArn": arn })).await.unwrap();
    assert_eq!(groups().await, [group]);
    schema.connect(&Secret { user: consumer.clone(), password, arn }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_has_a_login_only_if_it_is_asked_for() {
    let schema = Schema::start().await;
    let (consumer, reader) = (schema.secret("consumer").await, schema.secret("reader").await);
    let console = schema.secret("console").await;
    schema.request("Create", of_secrets(&consumer, &reader)).await.unwrap();
    assert!(schema.connect(&console).await.is_err());
    let mut asked = of_secrets(&consumer, &reader);
    asked["ConsoleSecretArn"] = console.arn.clone().into();
    schema.request("Update", asked).await.unwrap();
    let pool = schema.connect(&console).await.unwrap();
    let users: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&pool).await.unwrap();
    assert_eq!(users, 0);
    let write =
        "insert into user_sync_console_trail (id, who, did) values (gen_random_uuid(), 'ada', 'signed_in')";
    sqlx::raw_sql(write).execute(&pool).await.unwrap();
    for refused in ["delete from user_sync_console_trail", "update users set name = 'x'"] {
        assert!(sqlx::raw_sql(refused).execute(&pool).await.is_err(), "{refused}");
    }
    // By RDS's tokens, the same.
    let (by_iam, user) = (Schema::start().await, format!("see_{}", Uuid::now_v7().simple()));
    let mut logins = json!({ "Auth": "iam", "ConsumerUser": format!("sync_{user}"), "ReaderUser": format!("look_{user}") });
    by_iam.request("Create", logins.clone()).await.unwrap();
    let is_there = async || {
        let query = sqlx::query_scalar("select to_regrole($1) is not null").bind(&user);
        query.fetch_one(&by_iam.master).await.unwrap()
    };
    assert!(!is_there().await);
    logins["ConsoleUser"] = user.clone().into();
    by_iam.request("Update", logins).await.unwrap();
    assert!(is_there().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_that_the_environment_does_not_say_are_not_made() {
    let schema = Schema::start().await;
    let (consumer, reader) = (schema.secret("consumer").await, schema.secret("reader").await);
    let stranger = schema.secret("stranger").await;
    let pinned = of_secrets(&consumer, &reader);
    schema.deploy(&pinned).await;
    let asked = [
        ("Auth", "iam"),
        ("ConsumerUser", stranger.user.as_str()),
        ("ConsumerSecretArn", &stranger.arn),
        ("ReaderUser", &stranger.user),
        ("ReaderSecretArn", &stranger.arn),
    ];
    for (property, value) in asked {
        let mut asked = pinned.clone();
        asked[property] = value.into();
        let refused = schema.requested("Update", asked).await.unwrap_err();
        assert!(refused.contains(&format!("differ in {property}, and nothing was changed")), "{refused}");
    }
    let made = "select to_regclass('users') is not null or exists
        (select from pg_roles where rolname = any($1))";
    let made = sqlx::query_scalar::<_, bool>(made).bind(vec![&stranger.user, &consumer.user]);
    assert!(!made.fetch_one(&schema.master).await.unwrap(), "something was changed");
    schema.requested("Create", pinned).await.unwrap();
    schema.connect(&consumer).await.unwrap();
}

/// Two deployments of one server that were given one login: its password is not changed back and forth.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_another_deployment_is_refused() {
    let (one, other) = (Schema::start().await, Schema::start().await);
    let (consumer, reader) = (one.secret("consumer").await, one.secret("reader").await);
    one.request("Create", of_secrets(&consumer, &reader)).await.unwrap();
    let theirs = Secret { password: "another".to_owned(), ..other.secret("consumer").await };
    secrets::put(&other.secrets, &theirs.arn, &consumer.user, &theirs.password).await;
    let refused = other.request("Create", of_secrets(&theirs, &reader)).await.unwrap_err();
    assert!(refused.contains("belongs to another deployment"), "{refused}");
    assert!(refused.contains(&format!("schema public of database {}", one.name)), "{refused}");
    one.connect(&consumer).await.unwrap();
    let comment = "select shobj_description(oid, 'pg_authid') from pg_roles where rolname = $1";
    let comment: String =
        sqlx::query_scalar(comment).bind(&consumer.user).fetch_one(&one.master).await.unwrap();
    assert!(comment.contains(&format!("a login of {}_consumer; deployment ", one.name)), "{comment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_names_the_next_step() {
    let schema = Schema::start().await;
    let reader = schema.secret("reader").await;
    // The master's own secret, given to the consumer.
    let arn = secrets::create(&schema.secrets, MASTER, MASTER_PASSWORD).await;
    let master = Secret { user: MASTER.to_owned(), password: MASTER_PASSWORD.to_owned(), arn };
    let refused = schema.request("Create", of_secrets(&master, &reader)).await.unwrap_err();
    assert!(refused.contains("may do more than a function of this service should"), "{refused}");
    assert!(refused.contains("a login of its own"), "{refused}");
    // The application's login, whose password this would change.
    let app = schema.secret("app").await;
    let create = format!("create role {} login password 'the-application-has-it'", app.user);
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&schema.master).await.unwrap();
    for properties in [of_secrets(&app, &reader), json!({ "Auth": "iam", "ConsumerUser": app.user })] {
        let refused = schema.request("Create", properties).await.unwrap_err();
        assert!(refused.contains(&format!("is no member of {}_consumer", schema.name)), "{refused}");
    }
    let its_own = Secret { password: "the-application-has-it".to_owned(), ..app };
    schema.connect(&its_own).await.unwrap();
    // A secret that is not there.
    let missing =
        json!({ "Auth": "secret", "ConsumerSecretArn": "arn:aws:secretsmanager:eu-west-1:1:secret:x" });
    let refused = schema.request("Create", missing).await.unwrap_err();
    assert!(refused.contains("secretsmanager:GetSecretValue"), "{refused}");
    let refused = schema.request("Create", json!({ "Auth": "iam" })).await.unwrap_err();
    assert!(refused.contains("USER_SYNC_CONSUMER_LOGIN is not set"), "{refused}");
    let refused = schema.asked(json!({ "hello": "world" })).await.unwrap_err();
    assert!(refused.contains("the payload cannot be read"), "{refused}");

    // A server without IAM authentication.
    let postgres = &stack().await.postgres;
    let admin = PgConnectOptions::from_str(postgres.admin_url()).unwrap();
    let owner = admin.get_username().to_owned();
    let password = postgres.admin_url().split_once("://").unwrap().1.split('@').next().unwrap();
    let password = password.split_once(':').unwrap().1.to_owned();
    let elsewhere =
        Schema::start_on(postgres.host(), postgres.port(), &owner, &password, postgres.admin_url()).await;
    let user = format!("sync_{}", Uuid::now_v7().simple());
    let by_iam = json!({ "Auth": "iam", "ConsumerUser": user, "ReaderUser": user });
    let refused = elsewhere.request("Create", by_iam).await.unwrap_err();
    assert!(refused.contains("DatabaseAuth.secret()"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_table_is_refused_and_a_newer_schema_is_left_alone() {
    let schema = Schema::start().await;
    let (consumer, reader) = (schema.secret("consumer").await, schema.secret("reader").await);
    let run = |sql: &'static str| sqlx::raw_sql(sql).execute(&schema.master);
    run("create table users (id uuid primary key, email text)").await.unwrap();
    let refused = schema.request("Create", of_secrets(&consumer, &reader)).await.unwrap_err();
    assert!(
        refused.contains("there is a table users in the schema public already")
            && refused.contains("docs/adopting.md"),
        "{refused}"
    );
    let migrated: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&schema.master)
        .await
        .unwrap();
    assert!(!migrated, "nothing was changed");
    run("drop table users").await.unwrap();
    schema.request("Create", of_secrets(&consumer, &reader)).await.unwrap();
    // A later release was here and was rolled back.
    run("insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'later', true, '', 0)")
    .await
    .unwrap();
    schema.request("Update", of_secrets(&consumer, &reader)).await.unwrap();
    schema.connect(&consumer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_keeps_the_months_and_says_how_far_they_reach() {
    let schema = Schema::start().await;
    let (consumer, reader) = (schema.secret("consumer").await, schema.secret("reader").await);
    schema.request("Create", of_secrets(&consumer, &reader)).await.unwrap();
    let answered =
        schema.asked(json!({ "maintain": { "retentionDays": 400, "monthsAhead": 5 } })).await.unwrap();
    assert_eq!(answered["created"].as_array().unwrap().len(), 2, "{answered}");
    let records = &answered["records"];
    assert_eq!(
        (records["created"].as_array().unwrap().len(), &records["folded"]),
        (2, &json!(0)),
        "{answered}"
    );
    let days = answered["daysAhead"].as_f64().unwrap();
    assert!((150.0..185.0).contains(&days), "{days}");
    let ran: Vec<(String, Value)> =
        sqlx::query_as("select what, findings from user_sync_runs").fetch_all(&schema.master).await.unwrap();
    let found = json!({
        "months_made": 4, "months_folded": 0, "events_folded": 0, "contexts_folded": 0, "runs_forgotten": 0,
    });
    assert_eq!(ran, [("maintain".to_owned(), found)]);
    let answered = schema.asked(json!({ "maintain": {} })).await.unwrap();
    assert_eq!(answered["created"], json!([]), "idempotent, with the defaults");
    let said = || -> Vec<Value> {
        let said = schema.said();
        let documents = said.lines().filter_map(|line| serde_json::from_str(line).ok());
        documents.filter(|document: &Value| document.get("ledger_days_ahead").is_some()).collect()
    };
    // What it writes gets here a moment after its answer.
    eventually("it is said at the deployment and at each maintenance", LIMIT, async || said().len() == 3)
        .await;
    assert_eq!(said()[0]["service"], FUNCTION_NAME);
    // A month that cannot be made is an error, and how long the ledger lasts is said all the same.
    sqlx::raw_sql("alter function user_event_create_partitions(integer, integer) rename to elsewhere")
        .execute(&schema.master)
        .await
        .unwrap();
    schema.asked(json!({ "maintain": {} })).await.unwrap_err();
    eventually("it is said a fourth time", LIMIT, async || said().len() == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_days_are_counted_on_a_schedule_and_what_is_not_counted_is_the_next_runs() {
    let program = binaries::operator();
    not_across_midnight().await;
    let database = TestDatabase::create().await;
    let url = login_url(&database, Role::Consumer).await;
    let env = [
        &database.deployment.environment()[..],
        &[("DATABASE_URL", url.as_str()), ("USER_SYNC_OPERATION", "daily")],
    ]
    .concat();
    let api = LambdaRuntimeApi::start().await;
    let function = Function::spawn(&program, &api, &env);
    api.wait_until_ready(LIMIT).await;
    let asked = async |limit| answer(api.invoke(r#"{"daily":true}"#, limit).await);
    let today = Timestamp::now();
    database.apply(&[login(1, today).build(), login(2, today).build()]).await;
    let counted = async || -> Option<i64> {
        let query = "select sum(logins)::bigint from user_sync_daily";
        sqlx::query_scalar(query).fetch_one(&database.owner).await.unwrap()
    };
    // Too little time: neither a failure, which nobody could mend, nor taken for all.
    assert_eq!(asked(Duration::from_secs(5)).await.unwrap(), json!({ "finished": false }));
    assert_eq!(counted().await, None);
    // Another refresh is running, as `src/store/locks.rs` has its lock.
    let mut other = database.owner.begin().await.unwrap();
    let lock = "select pg_advisory_xact_lock(x'75736572'::int, 265026)";
    sqlx::query(lock).execute(&mut *other).await.unwrap();
    assert_eq!(asked(LIMIT).await.unwrap(), json!({ "finished": false }));
    other.rollback().await.unwrap();

    let first = asked(LIMIT).await.unwrap();
    assert_eq!((&first["finished"], &first["days"]), (&json!(true), &json!(1)), "{first}");
    assert_eq!(counted().await, Some(2));
    let again = asked(LIMIT).await.unwrap();
    assert_eq!(again, json!({ "finished": true, "days": 0, "windows": 0, "weeks": 0 }), "nothing changed");
    database.apply(&[login(3, today).build()]).await;
    assert_eq!(asked(LIMIT).await.unwrap()["days"], 1);
    assert_eq!(counted().await, Some(3));
    // Who may only read counts nothing, and says so.
    let url = login_url(&database, Role::Reader).await;
    let env = [&env[..], &[("DATABASE_URL", url.as_str())]].concat();
    let reader = LambdaRuntimeApi::start().await;
    let _reads = Function::spawn(&program, &reader, &env);
    reader.wait_until_ready(LIMIT).await;
    let refused = answer(reader.invoke(r#"{"daily":true}"#, LIMIT).await).unwrap_err();
    assert!(refused.starts_with("what analytics show is not counted"), "{refused}");
    let said = function.stderr_lines().concat() + &function.stdout_lines().concat();
    assert!(said.contains("the next run goes on"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_look_for_drift_counts_what_a_repair_would_mend() {
    // First: building it may take longer than users are left to the events under way.
    let program = binaries::operator();
    let database = TestDatabase::of(deployment().await).await;
    let deployment = &database.deployment;
    let pool = TestPool::create(&deployment.endpoint).await;
    for user in ["ada", "ben", "cy"] {
        pool.add(user, &[("email", &format!("{user}@example.com"))]).await;
    }
    let env = [
        &deployment.environment()[..],
        &[("USER_SYNC_USER_POOL_ID", pool.id.as_str()), ("USER_SYNC_OPERATION", "drift")],
    ]
    .concat();
    let api = LambdaRuntimeApi::start().await;
    let function = Function::spawn(&program, &api, &env);
    api.wait_until_ready(LIMIT).await;
    // Too little time: said, rather than taken for no drift.
    let hurried = answer(api.invoke("{}", Duration::from_secs(5)).await).unwrap_err();
    assert!(hurried.contains("`user-sync reconcile --dry-run` as a task of its own"), "{hurried}");
    let snapshots: Vec<_> = pool.users().await.iter().map(|user| pool.snapshot(user)).collect();
    let events: Vec<_> = snapshots.into_iter().map(cognito_user_sync_triggers::event::Event::User).collect();
    database.apply(&events[..2]).await;
    // They changed a moment ago, and are left to the events under way.
    let answered = answer(api.invoke("{}", LIMIT).await).unwrap();
    assert_eq!(answered["compared"], 3, "{answered}");
    assert_eq!(answered["toRepair"], 0, "{answered}");
    let is_said = |metric: &str| function.stdout_lines().join("\n").contains(metric);
    for metric in ["\"drift\":[0.0]", "\"drift_compared\":[3.0]"] {
        eventually(metric, LIMIT, async || is_said(metric)).await;
    }
    // A row whose user the pool does not have.
    let gone = login(7, at(1)).pool(&pool.id).email("gone@example.com").build();
    database.apply(&[gone]).await;
    let answered = answer(api.invoke("{}", LIMIT).await).unwrap();
    assert_eq!(answered["toRepair"], 1, "{answered}");
    eventually("the drift is said", LIMIT, async || is_said("\"drift\":[1.0]")).await;
    assert!(!function.stderr_lines().join("\n").contains("@example.com"));
    assert_eq!(database.count("users where is_deleted").await, 0, "nothing was changed");
}

/// A pool that no call has the time for: each goes on where the one before stopped, and only the last one counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_look_for_drift_goes_on_where_it_stopped() {
    const USERS: u64 = 2_000;
    let program = binaries::operator();
    let database = TestDatabase::of(deployment().await).await;
    large_pool::fill(&database.owner, USERS).await;
    let whole = {
        let stub = LargePool::start(USERS).await;
        let (api, _function, _folder) = look_for_drift(&program, &database, &stub).await;
        answer(api.invoke(r#"{"drift":true}"#, LIMIT).await).unwrap()
    };
    assert_eq!((&whole["compared"], whole.get("unfinished")), (&USERS.into(), None), "{whole}");

    let stub = LargePool::start(USERS).await;
    let (api, function, _folder) = look_for_drift(&program, &database, &stub).await;
    let (mut payload, mut calls) = (json!({ "drift": true }), 0);
    let found = loop {
        calls += 1;
        assert!(calls < 20, "{payload}");
        // The groups are the last call's.
        let is_last = payload["drift"].get("next") == Some(&Value::Null);
        let time = if is_last { LIMIT } else { Duration::from_secs(15) };
        let answered = answer(api.invoke(payload.to_string(), time).await).unwrap();
        match answered.get("unfinished") {
            Some(unfinished) => payload = json!({ "drift": unfinished }),
            None => break answered,
        }
        assert!(!function.stdout_lines().join("\n").contains("\"drift\":["), "only the last call counts");
    };
    let without_sub = large_pool::drift(USERS)[&Kind::WithoutSub];
    assert!(calls > 2, "{calls}");
    assert_eq!(found["compared"], USERS - without_sub);
    assert_eq!((&found["toRepair"], &found["rows"]), (&whole["toRepair"], &whole["rows"]), "{found} {whole}");
    assert_eq!(found["requests"]["list_users"], stub.asked("ListUsers"));
    assert_eq!(stub.asked("AdminGetUser"), 0);
    let counted = format!("\"drift\":[{}.0]", found["toRepair"]);
    eventually("the drift is said", LIMIT, async || function.stdout_lines().join("\n").contains(&counted))
        .await;

    let refused = answer(api.invoke(r#"{"drift":{"next":"g"}}"#, LIMIT).await).unwrap_err();
    assert!(refused.contains("begin again with {\"drift\":true}"), "{refused}");
}

/// Where the filter is ignored, the whole pool is walked, by as many calls in one sandbox as it takes.
#[tokio::test(flavor = "multi_thread")]
async fn the_look_for_drift_walks_the_whole_pool_where_ranges_are_not_known() {
    const USERS: u64 = 2_400;
    let program = binaries::operator();
    let database = TestDatabase::of(deployment().await).await;
    large_pool::fill(&database.owner, USERS).await;
    let stub = LargePool::start_with(USERS, Ranges::Ignored).await;
    let (api, function, _folder) = look_for_drift(&program, &database, &stub).await;
    let mut calls = 0;
    let found = loop {
        calls += 1;
        match answer(api.invoke(r#"{"drift":true}"#, Duration::from_secs(15)).await) {
            Ok(found) => break found,
            Err(error) => assert!(calls < 10 && error.contains("as a task of its own"), "{error}"),
        }
    };
    assert_eq!((&found["compared"], found.get("unfinished")), (&USERS.into(), None), "{found}");
    assert!(function.stderr_lines().join("\n").contains("the whole pool is walked"));
}

async fn look_for_drift(
    program: &std::path::Path,
    database: &TestDatabase,
    stub: &LargePool,
) -> (LambdaRuntimeApi, Function, tempfile::TempDir) {
    let (endpoint, folder) = (stub.endpoint(), tempfile::tempdir().unwrap());
    let variables = [
        ("USER_SYNC_USER_POOL_ID", large_pool::ID),
        ("USER_SYNC_OPERATION", "drift"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        // Where the checkpoint is.
        ("TMPDIR", folder.path().to_str().unwrap()),
    ];
    let env = [&database.deployment.environment()[..], &variables].concat();
    let api = LambdaRuntimeApi::start().await;
    let function = Function::spawn(program, &api, &env);
    api.wait_until_ready(LIMIT).await;
    (api, function, folder)
}
