//! The last step of a deployment, against one whose functions the emulated Lambda runs: green where a heartbeat gets through,
//! and else one message with the reason.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::str::FromStr as _;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, FunctionResponseType, Runtime};
use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync::aws;
use cognito_user_sync::dev::local;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use uuid::Uuid;

use crate::rows::answer;
use crate::support::lambda_runtime_api::{Function, LambdaRuntimeApi};
use crate::support::{TestDatabase, binaries, deployment, eventually, stack};

const LIMIT: Duration = Duration::from_secs(120);
/// What a check has that ends red: 15 s of it are for asking why.
const RED: Duration = Duration::from_secs(40);

/// A queue, a consumer and a function that reads the rows.
struct Deployed {
    database: TestDatabase,
    lambda: aws_sdk_lambda::Client,
    /// What the names of its functions end with.
    suffix: String,
    /// The login of the function that reads the rows.
    reader: String,
}

impl Deployed {
    async fn start() -> Self {
        let (consumer, operator) = (package(&binaries::consumer()), package(&binaries::operator()));
        let database = TestDatabase::of(deployment().await).await;
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(aws_sdk_lambda::config::BehaviorVersion::latest())
            .region(aws_sdk_lambda::config::Region::new(local::REGION))
            .endpoint_url(&database.deployment.endpoint)
            .credentials_provider(aws_sdk_lambda::config::Credentials::new(
                "test", "test", None, None, "test",
            ))
            .http_client(aws::http_client());
        let lambda = aws_sdk_lambda::Client::from_conf(config.build());
        let suffix = Uuid::now_v7().simple().to_string();
        let reader = format!("reader_{suffix}");
        let create = format!(
            "create role {reader} login password '{reader}' in role {}_reader",
            database.deployment.prefix()
        );
        sqlx::query(AssertSqlSafe(create)).execute(&database.owner).await.unwrap();
        let deployed = Self { database, lambda, suffix, reader };
        let (_, server) = deployed.database.deployment.consumer_url.split_once('@').unwrap();
        let url = format!("postgres://{0}:{0}@{server}", deployed.reader);
        let rows = [("DATABASE_URL", url.as_str()), ("USER_SYNC_OPERATION", "rows")];
        deployed.create("rows", operator, &rows).await;
        deployed.create("consumer", consumer, &[]).await;
        deployed.map().await;
        deployed
    }

    fn name(&self, function: &str) -> String {
        format!("{function}-{}", self.suffix)
    }

    async fn create(&self, function: &str, code: Vec<u8>, variables: &[(&str, &str)]) {
        let environment = self.database.deployment.environment();
        let variables: HashMap<String, String> = [&environment, variables]
            .concat()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let request = self.lambda.create_function().function_name(self.name(function));
        let request = request.runtime(Runtime::Providedal2023).handler("bootstrap").timeout(60);
        let request = request.role("arn:aws:iam::000000000000:role/any");
        let request = request.environment(Environment::builder().set_variables(Some(variables)).build());
        request.code(FunctionCode::builder().zip_file(Blob::new(code)).build()).send().await.unwrap();
    }

    /// The event source mapping.
    async fn map(&self) {
        let deployment = &self.database.deployment;
        let arn = QueueAttributeName::QueueArn;
        let asked = deployment.client().get_queue_attributes().queue_url(&deployment.queue_url);
        let answered = asked.attribute_names(arn.clone()).send().await.unwrap();
        let request = self.lambda.create_event_source_mapping().function_name(self.name("consumer"));
        let request = request.event_source_arn(&answered.attributes.unwrap()[&arn]).batch_size(10);
        let request = request.function_response_types(FunctionResponseType::ReportBatchItemFailures);
        request.send().await.unwrap();
    }

    async fn unmap(&self) {
        let mappings = self.lambda.list_event_source_mappings().function_name(self.name("consumer"));
        for mapping in mappings.send().await.unwrap().event_source_mappings.unwrap() {
            self.lambda.delete_event_source_mapping().uuid(mapping.uuid.unwrap()).send().await.unwrap();
        }
    }

    /// The function of the check, with these variables in place of its own.
    async fn check(&self, variables: &[(&str, &str)]) -> (LambdaRuntimeApi, Function) {
        let deployment = &self.database.deployment;
        let (rows, log) = (self.name("rows"), format!("/aws/lambda/{}", self.name("consumer")));
        let own = [
            ("AWS_ENDPOINT_URL", deployment.endpoint.as_str()),
            ("USER_SYNC_OPERATION", "deployment-check"),
            ("USER_SYNC_QUEUE_URL", deployment.queue_url.as_str()),
            ("USER_SYNC_DLQ_URL", deployment.dlq_url.as_str()),
            ("USER_SYNC_ROWS_FUNCTION", rows.as_str()),
            ("USER_SYNC_CONSUMER_LOG_GROUP", log.as_str()),
        ];
        let api = LambdaRuntimeApi::start().await;
        let function = Function::spawn(&binaries::operator(), &api, &[&own, variables].concat());
        api.wait_until_ready(LIMIT).await;
        (api, function)
    }

    /// Takes the password of a login away, and ends its sessions.
    async fn shut_out(&self, login: &str) {
        let admin = PgConnectOptions::from_str(stack().await.postgres.admin_url()).unwrap();
        let mut admin = admin.connect().await.unwrap();
        let change = format!("alter role {login} password 'another-9f2e'");
        sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut admin).await.unwrap();
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1";
        sqlx::query(end).bind(login).execute(&mut admin).await.unwrap();
    }

    async fn heartbeats(&self) -> i64 {
        self.database.count("sync_status where heartbeat_id is not null").await
    }
}

/// A program as Lambda takes it.
fn package(program: &Path) -> Vec<u8> {
    const ZIP: &str = "import sys, zipfile
with zipfile.ZipFile(sys.argv[2], 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as file:
    file.write(sys.argv[1], 'bootstrap')";
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("code.zip");
    let made = Command::new("python3").args(["-c", ZIP]).arg(program).arg(&zip).status().unwrap();
    assert!(made.success());
    std::fs::read(zip).unwrap()
}

fn request(request_type: &str, name: Option<&str>) -> Value {
    json!({
        "RequestType": request_type, "PhysicalResourceId": name, "ResponseURL": "https://cloudformation.example.com",
        "ResourceProperties": { "ServiceToken": "arn", "Deployment": "1" },
    })
}

/// From one deployment to another.
fn update(name: &str, from: &str, to: &str) -> Value {
    let mut update = request("Update", Some(name));
    update["ResourceProperties"]["Deployment"] = to.into();
    update["OldResourceProperties"] = json!({ "ServiceToken": "arn", "Deployment": from });
    update
}

/// What the resource is called then.
fn named(answered: &Value) -> String {
    answered["PhysicalResourceId"].as_str().unwrap().to_owned()
}

async fn asked(api: &LambdaRuntimeApi, payload: &Value, time: Duration) -> Result<Value, String> {
    answer(api.invoke(payload.to_string(), time).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_green_when_a_heartbeat_gets_through_and_else_says_why_not() {
    let deployed = Deployed::start().await;
    let (api, function) = deployed.check(&[]).await;

    // What is deleted is not asked whether it works.
    assert_eq!(
        asked(&api, &request("Delete", Some("former")), RED).await.unwrap()["PhysicalResourceId"],
        "former"
    );
    assert_eq!(deployed.heartbeats().await, 0);
    assert_eq!(deployed.database.deployment.queue().backlog().await.unwrap(), 0, "nothing is sent");

    let first = named(&asked(&api, &request("Create", None), LIMIT).await.unwrap());
    assert_eq!(deployed.heartbeats().await, 1);
    // A name of a release before says nothing, and the next one says what is green.
    let former = update("user-sync-deployment-check", "0", "1");
    let first_after_former = named(&asked(&api, &former, LIMIT).await.unwrap());
    assert!(first_after_former.starts_with(&format!("{first}/")), "{first_after_former}");
    let second = named(&asked(&api, &update(&first, "1", "2"), LIMIT).await.unwrap());
    assert_ne!(first, second);
    let by_hand = asked(&api, &json!({ "deploymentCheck": true }), LIMIT).await.unwrap();
    assert_eq!(by_hand, json!({ "PhysicalResourceId": "user-sync-deployment-check" }));
    for other in [json!({}), json!({ "heartbeat": true }), json!({ "deploymentCheck": false })] {
        let refused = asked(&api, &other, RED).await.unwrap_err();
        assert!(refused.contains("neither CloudFormation's request"), "{refused}");
    }

    // The consumer's password is no longer its own; whoever reads the rows gets in.
    let url = &deployed.database.deployment.consumer_url;
    let consumer = url.split("://").nth(1).unwrap().split(':').next().unwrap();
    deployed.shut_out(consumer).await;
    let red = asked(&api, &request("Update", None), RED).await.unwrap_err();
    for words in [
        "the deployment does not work yet",
        "The consumer: it logged last: events return to the queue: ",
        "the server refuses the login",
        "The rows: they can be read, and the latest heartbeat is of 20",
        "0 messages waiting, 1 with the consumer or hidden until it tries again, 0 dead letters",
    ] {
        assert!(red.contains(words), "{words}: {red}");
    }
    // What that rolls back is not asked: neither where this update failed, nor where another resource's did.
    let red_again = asked(&api, &update(&first, "1", "2"), RED).await.unwrap_err();
    assert!(red_again.contains("the deployment does not work yet"), "{red_again}");
    for name in [&first, &second] {
        // Less than a check reserves for asking why.
        let back = asked(&api, &update(name, "2", "1"), Duration::from_secs(10)).await.unwrap();
        assert_eq!(named(&back), first);
        let deleted = asked(&api, &request("Delete", Some(name)), Duration::from_secs(10)).await.unwrap();
        assert_eq!(named(&deleted), *name);
    }
    let log = function.stderr_lines().join("\n");
    assert_eq!(log.matches("an update is rolled back").count(), 2, "{log}");

    // Nor does that one.
    deployed.shut_out(&deployed.reader).await;
    let red = asked(&api, &request("Update", None), RED).await.unwrap_err();
    let rows = format!("The rows: the function {} failed: the database at ", deployed.name("rows"));
    for words in [rows.as_str(), "the server refuses the login", "The consumer: it logged last: "] {
        assert!(red.contains(words), "{words}: {red}");
    }
    assert!(red.chars().count() < 3_000, "CloudFormation takes 4 kB: {red}");
    let log = function.stderr_lines().join("\n");
    for secret in ["another-9f2e", deployed.reader.as_str()] {
        assert!(!red.contains(&format!("{secret}@")) && !log.contains(&format!("{secret}@")), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_check_cannot_see_is_named() {
    let deployed = Deployed::start().await;
    // Nothing runs the consumer.
    deployed.unmap().await;
    let (api, _function) = deployed.check(&[("USER_SYNC_ROWS_FUNCTION", "nobody")]).await;
    let red = asked(&api, &request("Create", None), RED).await.unwrap_err();
    for words in [
        "it has never logged, so nothing has ever run it",
        "the function nobody cannot be invoked (ResourceNotFoundException): check USER_SYNC_ROWS_FUNCTION",
        "1 messages waiting",
    ] {
        assert!(red.contains(words), "{words}: {red}");
    }
    let queue = deployed.database.deployment.queue();
    eventually("the heartbeat waits", LIMIT, async || queue.backlog().await.unwrap() == 1).await;
    // A queue that is not there, and a variable that is not set.
    let nowhere = deployed.database.deployment.queue_url.clone() + "-nowhere";
    let (api, _function) = deployed.check(&[("USER_SYNC_QUEUE_URL", &nowhere)]).await;
    let red = asked(&api, &request("Create", None), RED).await.unwrap_err();
    assert!(red.contains("no heartbeat can be sent to the queue"), "{red}");
    let (api, _function) = deployed.check(&[("USER_SYNC_CONSUMER_LOG_GROUP", "")]).await;
    let red = asked(&api, &request("Create", None), RED).await.unwrap_err();
    assert!(red.contains("USER_SYNC_CONSUMER_LOG_GROUP is not set"), "{red}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_a_consumer_took_along_is_sent_again() {
    let deployed = Deployed::start().await;
    deployed.unmap().await;
    let (api, _function) = deployed.check(&[]).await;
    let replaced = async {
        // A consumer received it, and was replaced.
        let deployment = &deployed.database.deployment;
        let receive = deployment.client().receive_message().queue_url(&deployment.queue_url);
        let received = receive.visibility_timeout(600).wait_time_seconds(20).send().await.unwrap();
        assert_eq!(received.messages.unwrap_or_default().len(), 1);
        deployed.map().await;
    };
    let created = request("Create", None);
    let (answered, ()) = tokio::join!(asked(&api, &created, LIMIT), replaced);
    named(&answered.unwrap());
    assert_eq!(deployed.heartbeats().await, 1);
}
