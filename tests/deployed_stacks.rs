//! A deployment in three stacks: the trigger, the pool, the rest. Its last step says whether it works, an operator's
//! commands run as the one-off task runs them, and what is left when all is taken away is what the documents name.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};

use aws_sdk_cognitoidentityprovider::types::AttributeType;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::deployed::{Aws, Outputs, REGION};
use crate::support::binaries;

/// Asks a service that is asked in one of AWS's two forms: a target and JSON, or a form and XML.
fn ask(aws: &Aws, service: &str, kind: &str, body: &str) -> String {
    let host = aws.emulator.endpoint().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n{kind}\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.lines().next().unwrap().contains(" 200"), "{service} {kind}: {answer}");
    body.to_owned()
}

fn ask_json(aws: &Aws, service: &str, target: &str, body: &Value) -> Value {
    let kind = format!("Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}");
    serde_json::from_str(&ask(aws, service, &kind, &body.to_string())).unwrap()
}

/// What the AWS CLI is told when the line is pasted into a shell.
fn typed(line: &str) -> Vec<String> {
    let script = format!("aws() {{ printf '%s\\0' \"$@\"; }}\n{line}");
    let ran = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(ran.status.success(), "{line}");
    let mut arguments: Vec<_> =
        String::from_utf8(ran.stdout).unwrap().split('\0').map(str::to_owned).collect();
    arguments.pop();
    arguments
}

/// Does what ECS does with a line of the outputs, but for the machine: the program of the image, with the container's
/// variables, and with the command that the line overrides.
fn run_task(aws: &Aws, outputs: &Outputs, name: &str) -> Output {
    let arguments = typed(outputs.made(&format!("Command{name}")));
    assert_eq!(arguments[..2], ["ecs", "run-task"]);
    let flag = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag);
        arguments[at.unwrap_or_else(|| panic!("no {flag} in {arguments:?}")) + 1].as_str()
    };
    assert_eq!(flag("--region"), REGION);
    assert!(flag("--network-configuration").contains("subnets=[subnet-00000001,subnet-00000002]"));
    let ecs = |action: &str, body: &Value| {
        ask_json(aws, "ecs", &format!("AmazonEC2ContainerServiceV20141113.{action}"), body)
    };
    let cluster = ecs("DescribeClusters", &json!({ "clusters": [flag("--cluster")] }));
    assert_eq!(cluster["clusters"][0]["status"], "ACTIVE", "{cluster}");
    let task = ecs("DescribeTaskDefinition", &json!({ "taskDefinition": flag("--task-definition") }));
    let container = &task["taskDefinition"]["containerDefinitions"][0];
    let overrides: Value = serde_json::from_str(flag("--overrides")).unwrap();
    let overridden = &overrides["containerOverrides"][0];
    assert_eq!(overridden["name"], container["name"]);
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned();
    let variables = container["environment"].as_array().unwrap();
    let command = overridden["command"].as_array().unwrap();
    Command::new(binaries::user_sync())
        .args(command.iter().map(text))
        .env_clear()
        .envs(variables.iter().map(|variable| (text(&variable["name"]), text(&variable["value"]))))
        // What Fargate gives a task beside: the Region, and its role.
        .envs(aws.environment.iter().filter(|(name, _)| name.starts_with("AWS_")).cloned())
        .output()
        .expect("the program runs")
}

/// What a command printed; one that failed fails the test.
fn said(aws: &Aws, outputs: &Outputs, name: &str) -> String {
    let ran = run_task(aws, outputs, name);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

/// The names after a kind of thing that the emulator has.
fn listed(kind: &str, answer: &Value, list: &str, name: &str) -> Vec<String> {
    let things = answer[list].as_array().unwrap_or_else(|| panic!("no {list} in {answer}"));
    things.iter().map(|thing| format!("{kind} {}", thing.get(name).unwrap_or(thing))).collect()
}

/// Everything that the emulator has of what a deployment makes.
async fn everything(aws: &Aws) -> BTreeSet<String> {
    let mut all = Vec::new();
    for (kind, service, target, list, name) in [
        ("log group", "logs", "Logs_20140328.DescribeLogGroups", "logGroups", "logGroupName"),
        ("parameter", "ssm", "AmazonSSM.DescribeParameters", "Parameters", "Name"),
        ("secret", "secretsmanager", "secretsmanager.ListSecrets", "SecretList", "Name"),
        ("rule", "events", "AWSEvents.ListRules", "Rules", "Name"),
        ("cluster", "ecs", "AmazonEC2ContainerServiceV20141113.ListClusters", "clusterArns", ""),
        ("task", "ecs", "AmazonEC2ContainerServiceV20141113.ListTaskDefinitions", "taskDefinitionArns", ""),
        ("queue", "sqs", "AmazonSQS.ListQueues", "QueueUrls", ""),
    ] {
        let answer = ask_json(aws, service, target, &json!({}));
        // SQS says nothing where there is no queue.
        if service != "sqs" || answer.get(list).is_some() {
            all.extend(listed(kind, &answer, list, name));
        }
    }
    let form = "Content-Type: application/x-www-form-urlencoded";
    for (kind, service, body, tag) in [
        ("role", "iam", "Action=ListRoles&Version=2010-05-08", "RoleName"),
        ("alarm", "monitoring", "Action=DescribeAlarms&Version=2010-08-01", "AlarmName"),
        ("security group", "ec2", "Action=DescribeSecurityGroups&Version=2016-11-15", "groupId"),
    ] {
        let answer = ask(aws, service, form, body);
        let begins = format!("<{tag}>");
        let names = answer.split(&begins).skip(1).filter_map(|rest| rest.split('<').next());
        all.extend(names.map(|name| format!("{kind} {name}")));
    }
    let functions = aws.lambda.list_functions().send().await.unwrap().functions.unwrap_or_default();
    all.extend(functions.into_iter().map(|function| format!("function {}", function.function_name.unwrap())));
    let pools = aws.cognito.list_user_pools().max_results(60).send().await.unwrap();
    let pools = pools.user_pools.unwrap_or_default();
    all.extend(pools.into_iter().map(|pool| format!("pool {}", pool.id.unwrap())));
    all.into_iter().collect()
}

impl Aws {
    async fn consumers_connections(&self, limit: i32) {
        let alter = format!("alter role stacks_consumer_login connection limit {limit}");
        sqlx::raw_sql(AssertSqlSafe(alter)).execute(&self.database).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_stacks_are_green_when_they_work_and_leave_what_is_documented() {
    let mut aws = Aws::start("stacks").await;
    for asked in ["THREE_STACKS", "DEPLOYMENT_CHECK"] {
        aws.environment.push((asked, "true".to_owned()));
    }
    aws.build("first");
    aws.bootstrap();
    let before = everything(&aws).await;
    let outputs = aws.deploy();
    // Green: a heartbeat is in the database.
    let asked = sqlx::query_scalar("select heartbeat_at is not null from sync_status");
    let arrived: bool = asked.fetch_one(&aws.database).await.unwrap();
    assert!(arrived);
    aws.user_pool_id = outputs.of("EmulatedPool", "UserPoolId").to_owned();
    let config = aws.triggers().await;
    assert_eq!(config.post_confirmation.as_deref(), Some(outputs.get("Trigger")));
    assert_eq!(config.post_authentication.as_deref(), Some(outputs.get("Trigger")));

    // The commands, as they are pasted. Somebody is in the pool from before.
    let email = AttributeType::builder().name("email").value("before@example.com").build().unwrap();
    let user = aws.cognito.admin_create_user().user_pool_id(&aws.user_pool_id).username("before");
    user.user_attributes(email).send().await.unwrap();
    let reconciled = said(&aws, &outputs, "Reconcile");
    let examined = said(&aws, &outputs, "Doctor");
    let verified = said(&aws, &outputs, "Verify");
    let dead = said(&aws, &outputs, "Dlq");
    assert!(reconciled.contains("1 users in the pool"), "{reconciled}");
    assert!(examined.contains(" 0 failed"), "{examined}");
    assert!(verified.contains("0 differences"), "{verified}");
    assert!(dead.contains("0 dead letters"), "{dead}");

    aws.fires("PostConfirmation_ConfirmSignUp", 1).await;
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.counts(1, 1).await;

    // The database does not let the consumer in: red, with the server's words.
    // The migrator is the same, and is not asked: it would say so before the last step.
    aws.build_of(&["user-sync-consumer"], "second");
    aws.consumers_connections(0).await;
    let red = aws.try_deploy().err().expect("nothing gets into the database");
    for words in
        ["the deployment does not work yet", "The consumer: it logged last: ", "too many connections"]
    {
        assert!(red.contains(words), "{words}: {red}");
    }
    // The rollback asks nobody whether it works, so it is not stuck while the database is as it is.
    let form = "Content-Type: application/x-www-form-urlencoded";
    let described = "Action=DescribeStacks&Version=2010-05-15&StackName=Emulated";
    let stack = ask(&aws, "cloudformation", form, described);
    assert!(stack.contains("<StackStatus>UPDATE_ROLLBACK_COMPLETE</StackStatus>"), "{stack}");
    // Mended: the same deployment is green, and what waited is counted.
    aws.consumers_connections(-1).await;
    aws.deploy();
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.counts(1, 2).await;

    // Taken away: both queues and the trigger's log may hold events, and stay.
    aws.destroy();
    let left: Vec<_> = everything(&aws).await.difference(&before).cloned().collect();
    // The emulator says its own name in two ways: the queues' names are one.
    let name = |output| outputs.get(output).rsplit('/').next().unwrap();
    let kept = [name("QueueUrl"), name("DeadLetterQueueUrl"), "/EmulatedTrigger/TriggerLog"];
    assert!(kept.iter().all(|kept| left.iter().any(|left| left.contains(kept))), "{left:?}");
    assert_eq!(left.len(), kept.len(), "{left:?}");
    assert_eq!(aws.login_count(1).await, Some(2));
    aws.emulator.stop().await.unwrap();
}
