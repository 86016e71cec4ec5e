//! A deployment as a team makes one that has neither CDK nor Terraform: the commands of infra/sam/README.md, a sign-up
//! and logins, other code, and all taken away. AWS is emulated, and runs the programs as they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::deployed::{Aws, LIMIT, REGION};
use crate::support::eventually;

const STACK: &str = "user-sync";
/// What the emulator's networks are called.
const VPC: &str = "vpc-00000001";
const SUBNETS: &str = "subnet-00000001,subnet-00000002";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// AWS's program for SAM, fetched where it is not there.
fn sam_cli() -> String {
    let said = Command::new("make").args(["--silent", "sam-cli"]).current_dir(repository()).output().unwrap();
    assert!(said.status.success(), "the SAM CLI cannot be fetched: {}", text(&said));
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn text(ran: &Output) -> String {
    [String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr)].concat()
}

/// The emulator has no alarms on a calculation: one on a metric stands in.
fn without_calculation(template: &str, alarm: &str) -> String {
    let (before, alarm_on) = template.split_once(&format!("  {alarm}:\n")).unwrap();
    let (head, rest) = alarm_on.split_once("      Metrics:\n").unwrap();
    let (_, tail) = rest.split_once("      OKActions:").unwrap();
    let metric =
        "MetricName: calculated\n      Namespace: UserSync\n      Period: 60\n      Statistic: Maximum\n";
    format!("{before}  {alarm}:\n{head}      {metric}      OKActions:{tail}")
}

struct Sam<'a> {
    aws: &'a Aws,
    program: String,
}

impl<'a> Sam<'a> {
    /// As a clone has it after `make lambda` and with the authorities in the folder of the layer.
    fn new(aws: &'a Aws) -> Self {
        let clone = aws.dist.path();
        let folder = clone.join("infra/sam");
        std::fs::create_dir_all(folder.join("layer")).unwrap();
        let template = std::fs::read_to_string(repository().join("infra/sam/template.yaml")).unwrap();
        // The emulator takes a parameter that is a number for a text, which its mapping cannot compare; CloudFormation
        // does not.
        let written = template.replace("MaximumConcurrency: !Ref MaxConcurrency", "MaximumConcurrency: 4");
        assert_ne!(written, template);
        let written = without_calculation(&written, "MonitoringDriftCheckFails");
        std::fs::write(folder.join("template.yaml"), written).unwrap();
        std::fs::write(folder.join("layer/rds-ca.pem"), "the emulated database has no certificate\n")
            .unwrap();
        // What `build` writes into this folder is in the clone's `dist`.
        std::os::unix::fs::symlink(".", clone.join("dist")).unwrap();
        Self { aws, program: sam_cli() }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let folder = self.aws.dist.path().join("infra/sam");
        Command::new(&self.program)
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.aws.dist.path())
            .env("SAM_CLI_TELEMETRY", "0")
            // It knows the Region by no other name.
            .env("AWS_DEFAULT_REGION", REGION)
            .envs(self.aws.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("the SAM CLI runs")
    }

    /// Packages and deploys with these parameters beside those of what is there, or says why not.
    fn try_deploy(&self, changes: &[(&str, &str)]) -> Result<(), String> {
        let environment: BTreeMap<&str, &str> =
            self.aws.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut parameters = BTreeMap::from([
            ("UserPoolId", self.aws.user_pool_id.as_str()),
            ("VpcId", VPC),
            ("SubnetIds", SUBNETS),
            ("DatabaseHost", environment["DATABASE_HOST"]),
            ("DatabasePort", environment["DATABASE_PORT"]),
            ("DatabaseName", environment["DATABASE_NAME"]),
            ("DatabaseAuth", "secret"),
            ("AdminSecretArn", environment["ADMIN_SECRET_ARN"]),
            ("Schema", "identity"),
            ("RolePrefix", environment["ROLE_PREFIX"]),
            ("MaxReceiveCount", "5"),
            // The emulator takes no more from a queue at once.
            ("BatchSize", "10"),
        ]);
        parameters.extend(changes.iter().copied());
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let arguments = [
            &["deploy", "--template", "template.yaml", "--stack-name", STACK, "--resolve-s3"][..],
            &["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--parameter-overrides"],
            &parameters.iter().map(String::as_str).collect::<Vec<_>>(),
        ];
        let ran = self.run(&arguments.concat());
        if ran.status.success() { Ok(()) } else { Err(text(&ran)) }
    }

    fn deploy(&self, changes: &[(&str, &str)]) -> Value {
        self.try_deploy(changes).unwrap_or_else(|said| panic!("sam deploy: {said}"));
        let listed = self.run(&["list", "stack-outputs", "--stack-name", STACK, "--output", "json"]);
        assert!(listed.status.success(), "sam list: {}", text(&listed));
        let outputs: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        let named =
            |output: &Value| Some((output["OutputKey"].as_str()?.to_owned(), output["OutputValue"].clone()));
        Value::Object(outputs.iter().filter_map(named).collect())
    }

    /// The name of the function that a part of the template became.
    async fn function(&self, logical_id: &str) -> String {
        let listed = self.aws.lambda.list_functions().send().await.unwrap().functions.unwrap_or_default();
        let names = listed.into_iter().filter_map(|function| function.function_name);
        let begins = format!("{STACK}-{logical_id}");
        let mut found = names.filter(|name| name.starts_with(&begins));
        found.next().unwrap_or_else(|| panic!("no function begins with {begins}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_without_cdk_deploys_signs_in_deploys_again_and_takes_it_away() {
    let aws = Aws::start("sam").await;
    aws.build("first");
    let settings = aws.settings().await;
    let sam = Sam::new(&aws);
    let outputs = sam.deploy(&[]);
    let output =
        |name: &str| outputs[name].as_str().unwrap_or_else(|| panic!("no output {name} in {outputs}"));

    // The pool that was there has the two triggers now, and nothing else of it changed.
    let config = aws.triggers().await;
    assert_eq!(config.post_confirmation.as_deref(), Some(output("TriggerArn")));
    assert_eq!(config.post_authentication.as_deref(), Some(output("TriggerArn")));
    assert_eq!(aws.settings().await, settings);

    // A sign-up and two logins, through everything.
    aws.fires("PostConfirmation_ConfirmSignUp", 1).await;
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.counts(1, 2).await;
    aws.invoke(&sam.function("LifecycleFunction").await, &json!({ "heartbeat": true })).await;
    eventually("the heartbeat has come through", LIMIT, async || {
        let asked = sqlx::query_scalar("select heartbeat_at is not null from sync_status");
        asked.fetch_one(&aws.database).await.unwrap()
    })
    .await;
    let migrator = sam.function("SchemaFunction").await;
    let maintained = aws.invoke(&migrator, &json!({ "maintain": { "monthsAhead": 4 } })).await;
    assert!(maintained["daysAhead"].as_f64().unwrap() > 100.0, "{maintained}");

    // Other code: it is what runs, and since it is another build, the schema was asked for again.
    let consumer = sam.function("ConsumerFunction").await;
    let before = aws.code_of(&consumer).await;
    aws.build("second");
    sqlx::query("alter role sam_consumer_login nologin").execute(&aws.database).await.unwrap();
    sam.deploy(&[]);
    assert_ne!(aws.code_of(&consumer).await, before);
    let may_log_in: bool =
        sqlx::query_scalar("select rolcanlogin from pg_roles where rolname = 'sam_consumer_login'")
            .fetch_one(&aws.database)
            .await
            .unwrap();
    assert!(may_log_in, "the migrator ran again");
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.counts(1, 3).await;

    // An error of the function that a custom resource asks is what CloudFormation says, and the stack is as it was.
    let refused =
        sam.try_deploy(&[("RolePrefix", "user_sync")]).expect_err("the prefix is another deployment's");
    assert!(refused.contains("user_sync"), "{refused}");
    aws.fires("PostAuthentication_Authentication", 1).await;
    aws.counts(1, 4).await;

    // Taken away: the pool is as it was, the rows are the team's, and the queue stays, since it may hold events.
    let gone = sam.run(&["delete", "--stack-name", STACK, "--no-prompts"]);
    assert!(gone.status.success(), "sam delete: {}", text(&gone));
    let config = aws.triggers().await;
    assert_eq!((config.post_confirmation, config.post_authentication), (None, None));
    assert_eq!(aws.settings().await, settings);
    let left = aws.lambda.list_functions().send().await.unwrap().functions.unwrap_or_default();
    assert_eq!(left.len(), 0, "functions are left: {left:?}");
    for kept in ["QueueUrl", "DeadLetterQueueUrl"] {
        aws.sqs.get_queue_attributes().queue_url(output(kept)).send().await.unwrap();
    }
    assert_eq!(aws.login_count(1).await, Some(4));
    aws.emulator.stop().await.unwrap();
}
