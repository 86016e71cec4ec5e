//! `user-sync doctor`: a healthy deployment, and then each fault by itself.

use std::collections::HashMap;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cognitoidentityprovider::types::LambdaConfigType;
use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync::dev::local;
use cognito_user_sync::ops::doctor::grants;
use cognito_user_sync_triggers::event::{Event, EventId, PoolSeen};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::events::login;
use crate::support::strict_pool::{self, StrictPool};
use crate::support::{TestDatabase, binaries};

const TRIGGER: &str = "arn:aws:lambda:eu-west-1:000000000000:function:user-sync-trigger";
const OTHER: &str = "arn:aws:lambda:eu-west-1:000000000000:function:another";

/// A deployment that is as it should be, and what doctor is told of it.
struct Patient {
    database: TestDatabase,
    environment: HashMap<String, String>,
    cognito: aws_sdk_cognitoidentityprovider::Client,
    pool: String,
}

/// What doctor said.
struct Answer {
    output: Output,
    checks: Vec<Value>,
}

impl Patient {
    async fn healthy() -> Self {
        // First: building it may take as long as a heartbeat stays fresh.
        binaries::user_sync();
        let database = TestDatabase::create().await;
        let deployment = &database.deployment;
        let now = Timestamp::now();
        database.apply(&[login(1, now).build(), Event::heartbeat(EventId::new(now))]).await;
        let attributes = [
            (QueueAttributeName::MessageRetentionPeriod, "1209600"),
            (QueueAttributeName::SqsManagedSseEnabled, "true"),
            (QueueAttributeName::VisibilityTimeout, "360"),
        ];
        let environment =
            deployment.environment().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = aws_sdk_cognitoidentityprovider::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(local::REGION))
            .endpoint_url(&deployment.endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(cognito_user_sync::aws::http_client())
            .build();
        let cognito = aws_sdk_cognitoidentityprovider::Client::from_conf(config);
        let pool = cognito.create_user_pool().pool_name("doctor").send().await.unwrap();
        let pool = pool.user_pool.unwrap().id.unwrap();
        let mut patient = Self { environment: environment.collect(), cognito, pool, database };
        patient.set("USER_SYNC_USER_POOL_ID", &patient.pool.clone());
        let (queue_url, dlq_url) =
            (patient.database.deployment.queue_url.clone(), patient.database.deployment.dlq_url.clone());
        for (name, value) in attributes {
            patient.set_attribute(&queue_url, name.clone(), value).await;
            patient.set_attribute(&dlq_url, name, value).await;
        }
        patient.wire(Some(TRIGGER), Some(TRIGGER)).await;
        patient
    }

    fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.to_owned(), value.to_owned());
    }

    async fn set_attribute(&self, url: &str, name: QueueAttributeName, value: &str) {
        let request = self.database.deployment.client().set_queue_attributes().queue_url(url);
        request.attributes(name, value).send().await.unwrap();
    }

    async fn wire(&self, confirmation: Option<&str>, authentication: Option<&str>) {
        let config = LambdaConfigType::builder()
            .set_post_confirmation(confirmation.map(str::to_owned))
            .set_post_authentication(authentication.map(str::to_owned));
        let request = self.cognito.update_user_pool().user_pool_id(&self.pool);
        request.lambda_config(config.build()).send().await.unwrap();
    }

    async fn execute(&self, statements: &str) {
        let statements = self.database.deployment.prefix().rename(statements);
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&self.database.owner).await.unwrap();
    }

    /// A login of a name of its own, member of nothing, and its URL.
    async fn stranger(&self) -> (String, String) {
        let name = format!("t_{}", Uuid::now_v7().simple());
        self.execute(&format!("create role {name} login password 'hunter2'")).await;
        let (_, rest) = self.database.deployment.consumer_url.rsplit_once('@').unwrap();
        (name.clone(), format!("postgres://{name}:hunter2@{rest}"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binaries::user_sync());
        command.arg("doctor").args(arguments).env_clear().envs(&self.environment).stdin(Stdio::null());
        command.output().unwrap()
    }

    fn examine(&self, arguments: &[&str]) -> Answer {
        let output = self.run(&[&["--json"], arguments].concat());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = answer["checks"].as_array().unwrap().clone();
        let counted = |status: &str| checks.iter().filter(|check| check["status"] == status).count();
        for status in ["ok", "warning", "failed", "skipped"] {
            assert_eq!(answer["summary"][status], counted(status), "{status}");
        }
        assert_eq!(output.status.code(), Some(i32::from(counted("failed") > 0)));
        Answer { output, checks }
    }

    /// Expects one failed line, of this name, whose finding and fix hold these words.
    fn fails_only(&self, arguments: &[&str], name: &str, found: &str, fix: &str) -> Answer {
        let answer = self.examine(arguments);
        let failed: Vec<&Value> = answer.with("failed");
        let [check] = failed[..] else { panic!("{name}: {failed:#?}") };
        let prefix = self.database.deployment.prefix();
        let (found, fix) = (prefix.rename(found), prefix.rename(fix));
        assert_eq!(check["name"], name, "{check}");
        assert!(check["found"].as_str().unwrap().contains(&found), "no {found:?} in {check}");
        assert!(check["fix"].as_str().unwrap().contains(&fix), "no {fix:?} in {check}");
        answer
    }
}

impl Answer {
    fn with(&self, status: &str) -> Vec<&Value> {
        self.checks.iter().filter(|check| check["status"] == status).collect()
    }

    fn line(&self, section: &str, name: &str) -> &Value {
        let is_it = |check: &&Value| check["section"] == section && check["name"] == name;
        self.checks.iter().find(is_it).unwrap_or_else(|| panic!("no {section} {name}"))
    }
}

/// Run it with `USER_SYNC_WRITE_GRANTS=1` after a migration that grants something, and read the difference.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_migration_makes_exactly_the_expected_grants() {
    let database = TestDatabase::create().await;
    let actual = grants::actual(&database.owner.clone().into(), &database.deployment.prefix()).await.unwrap();
    if std::env::var_os("USER_SYNC_WRITE_GRANTS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops/doctor/grants.txt");
        std::fs::write(file, actual.join("\n") + "\n").unwrap();
        return;
    }
    assert_eq!(actual, grants::expected().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_deployment_fails_nothing_and_needs_nothing() {
    let patient = Patient::healthy().await;
    let answer = patient.examine(&["--trigger-arn", TRIGGER]);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    assert_eq!(answer.with("skipped"), Vec::<&Value>::new());
    // Another test's login may be of two roles: roles belong to the server.
    let warned: Vec<&Value> =
        answer.with("warning").into_iter().filter(|check| check["name"] != "memberships").collect();
    assert_eq!(warned, Vec::<&Value>::new());
    for (section, name, found) in [
        ("database", "role", "may apply events; a write as "),
        ("database", "role", "which was undone, succeeds"),
        ("database", "migrations", "applied"),
        ("ledger", "months ahead", "3 months"),
        ("queue", "depth", "about 0 waiting"),
        ("queue", "oldest message", "ApproximateAgeOfOldestMessage"),
        ("pool", "triggers", TRIGGER),
        ("flow", "last event", "ago, applied"),
        ("flow", "heartbeat", "ago, arrived"),
    ] {
        let line = answer.line(section, name);
        assert!(line["found"].as_str().unwrap().contains(found), "no {found} in {line}");
        assert_eq!(line["fix"], Value::Null);
    }
    let help = String::from_utf8(patient.run(&["--help"]).stdout).unwrap();
    assert!(help.contains("Example: user-sync doctor"), "{help}");
    let text = String::from_utf8(patient.run(&[]).stdout).unwrap();
    assert!(text.contains("  ok    grants  ") && text.contains(" 0 failed, 0 skipped\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours without a terminal");
    assert!(text.lines().count() <= 40, "more than a screen: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_missing_or_too_much_is_named() {
    let patient = Patient::healthy().await;
    for (breaks, name, found, fix, mends) in [
        (
            "revoke update (email) on users from user_sync_consumer",
            "grants",
            "missing: user_sync_consumer update users.email",
            "grant update (email) on users to user_sync_consumer",
            "grant update (email) on users to user_sync_consumer",
        ),
        (
            "grant delete on users to user_sync_app",
            "grants",
            "excessive: user_sync_app delete users",
            "revoke delete on users from \"user_sync_app\"",
            "revoke delete on users from \"user_sync_app\"",
        ),
        (
            "grant select on user_claims to user_sync_reader with grant option",
            "grants",
            "user_sync_reader select+ user_claims",
            "revoke grant option for select on user_claims from \"user_sync_reader\"",
            "revoke grant option for select on user_claims from user_sync_reader",
        ),
        (
            "grant insert on user_events to public",
            "other grants",
            "public insert user_events",
            "revoke insert on user_events from public",
            "revoke insert on user_events from public",
        ),
        (
            "grant update (name) on users to public",
            "other grants",
            "public update users.name",
            "revoke update (name) on users from public",
            "revoke update (name) on users from public",
        ),
        (
            "alter table user_baseline owner to current_user",
            "ownership",
            "user_baseline is ",
            "alter table user_baseline owner to user_sync_owner",
            "alter table user_baseline owner to user_sync_owner",
        ),
    ] {
        patient.execute(breaks).await;
        patient.fails_only(&[], name, found, fix);
        patient.execute(mends).await;
    }
    let (stranger, _) = patient.stranger().await;
    patient.execute(&format!("grant delete on user_claims to {stranger}")).await;
    patient.fails_only(&[], "other grants", &stranger, "revoke delete on user_claims");
    patient.execute(&format!("revoke delete on user_claims from {stranger}")).await;
    assert_eq!(patient.examine(&[]).with("failed"), Vec::<&Value>::new(), "each fix mends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_the_wrong_roles_is_named() {
    let mut patient = Patient::healthy().await;
    let (stranger, url) = patient.stranger().await;
    patient.set("DATABASE_URL", &url);
    patient.fails_only(&[], "role", &stranger, "grant user_sync_consumer to");
    patient.execute(&format!("grant user_sync_app to {stranger}")).await;
    patient.fails_only(&[], "role", "user_sync_app only", "grant user_sync_consumer to");
    patient.execute(&format!("grant user_sync_consumer, user_sync_owner to {stranger}")).await;
    let answer = patient.examine(&[]);
    let line = answer.line("database", "memberships");
    assert!(line["status"] == "warning" && line["found"].as_str().unwrap().contains(&stranger), "{line}");
    let revoke = patient.database.deployment.prefix().rename("revoke user_sync_owner from");
    assert!(line["fix"].as_str().unwrap().contains(&revoke), "{line}");
    assert_eq!(answer.line("database", "role")["status"], "ok");
    patient.execute(&format!("drop role {stranger}")).await;
    let owner_url = patient.database.deployment.owner_url.clone();
    patient.set("DATABASE_URL", &owner_url);
    assert_eq!(patient.examine(&[]).line("database", "role")["status"], "warning", "a superuser");
}

/// All else is as it should be, and yet no event can be applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_does_not_succeed_is_named() {
    let mut patient = Patient::healthy().await;
    let function = |then: &str| {
        format!(
            "create or replace function check_row() returns trigger language plpgsql as $$ begin {then} end $$;
             create trigger check_row before insert or update on"
        )
    };
    let raises = function("raise exception 'bad address ada@example.com' using errcode = '53100';");
    for (add, found) in [
        (
            format!("{raises} users for each row execute function check_row()"),
            "53100, raised by the function check_row",
        ),
        (
            format!("{} users for each row execute function check_row()", function("return null;")),
            "of users were not written",
        ),
        (
            format!("{} user_events for each row execute function check_row()", function("return null;")),
            "of user_events were not written",
        ),
        (
            format!("{raises} user_claims for each row execute function check_row()"),
            "raised by the function check_row",
        ),
    ] {
        patient.execute(&add).await;
        let answer = patient.fails_only(&[], "role", found, "obstacles");
        let line = answer.line("database", "obstacles");
        assert!(line["found"].as_str().unwrap().contains("the trigger check_row"), "{line}");
        let said = [&answer.output.stdout[..], &answer.output.stderr].concat();
        assert!(!String::from_utf8(said).unwrap().contains("ada@example.com"));
        patient.execute("drop function check_row cascade").await;
    }
    // As a superuser, whom no policy holds back, it is tried as the consumer.
    let owner_url = patient.database.deployment.owner_url.clone();
    let consumer_url = patient.database.deployment.consumer_url.clone();
    patient.set("DATABASE_URL", &owner_url);
    let line = patient.examine(&[]).line("database", "role").clone();
    let consumer = patient
        .database
        .deployment
        .prefix()
        .rename("a write as user_sync_consumer, which was undone, succeeds");
    assert!(line["found"].as_str().unwrap().contains(&consumer), "{line}");
    for (table, found) in [("users", "row security"), ("user_events", "row security")] {
        patient.execute(&format!("alter table {table} enable row level security")).await;
        for url in [&owner_url, &consumer_url] {
            patient.set("DATABASE_URL", url);
            let answer = patient.examine(&[]);
            let line = answer.line("database", "obstacles");
            assert!(line["status"] == "failed" && line["found"].as_str().unwrap().contains(found), "{line}");
            let line = answer.line("database", "role");
            assert!(line["found"].as_str().unwrap().contains("due to the lines that fail"), "{line}");
        }
        patient.execute(&format!("alter table {table} disable row level security")).await;
    }
    assert_eq!(patient.database.count("users").await, 1, "nothing is left of what was tried");
    assert_eq!(patient.database.count("user_events").await, 1);
    assert_eq!(patient.examine(&[]).with("failed"), Vec::<&Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_does_not_note_edits_is_named_and_made_again() {
    let patient = Patient::healthy().await;
    let migrate = || {
        let mut command = Command::new(binaries::user_sync());
        command.arg("migrate").env_clear().envs(&patient.environment).stdin(Stdio::null());
        command.env("DATABASE_URL", &patient.database.deployment.owner_url).output().unwrap()
    };
    let other = "drop trigger users_note_app_edit on users;
        create trigger users_note_app_edit before update on users for each row execute function users_note_app_edit()";
    for breaks in [
        "drop trigger users_note_app_edit on users",
        "alter table users disable trigger users_note_app_edit",
        "alter table users disable trigger all",
        "alter table users enable replica trigger users_note_app_edit",
        other,
    ] {
        patient.execute(breaks).await;
        patient.fails_only(&[], "edits", "missing or disabled", "user-sync migrate");
        let migrated = migrate();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        patient.execute("alter table users enable trigger all").await;
        assert_eq!(patient.examine(&[]).line("database", "edits")["status"], "ok", "{breaks}");
    }
    patient.execute("update users set name = 'Ada'").await;
    assert_eq!(patient.database.count("users where app_owned = '{name}'").await, 1);
    let (stranger, _) = patient.stranger().await;
    patient.execute(&format!("alter role {stranger} set session_replication_role = replica")).await;
    let line = patient.examine(&[]).line("database", "edits").clone();
    assert!(line["status"] == "warning" && line["found"].as_str().unwrap().contains(&stranger), "{line}");
    patient.execute(&format!("drop role {stranger}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_its_own_dead_letter_queue_is_named_and_refused() {
    let mut patient = Patient::healthy().await;
    let queue = patient.database.deployment.queue_url.clone();
    patient.set("USER_SYNC_DLQ_URL", &queue);
    patient.fails_only(&[], "redrive policy", "the queue itself", "USER_SYNC_DLQ_URL");
    for (program, arguments) in [(binaries::user_sync(), &["worker"][..]), (binaries::consumer(), &[])] {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&patient.environment).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("another queue than USER_SYNC_QUEUE_URL"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_another_version_is_named() {
    let patient = Patient::healthy().await;
    let migrate = "user-sync migrate";
    patient.execute("create table kept as select * from _sqlx_migrations").await;
    for (breaks, found, fix) in [
        ("delete from _sqlx_migrations where version = 6", "not applied: 0006", migrate),
        (
            "insert into _sqlx_migrations select 9999, description, now(), true, checksum, 0 from kept where version = 6",
            "not known to this build: 9999",
            "a newer one",
        ),
        (
            "update _sqlx_migrations set checksum = '\\x00' where version = 2",
            "applied with another text: 0002",
            "user-sync",
        ),
        ("update _sqlx_migrations set success = false where version = 3", "not ended: 0003", migrate),
    ] {
        patient.execute(breaks).await;
        patient.fails_only(&[], "migrations", found, fix);
        patient.execute("truncate _sqlx_migrations; insert into _sqlx_migrations select * from kept").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_tables_is_told_to_migrate() {
    let mut patient = Patient::healthy().await;
    let empty = format!("empty_{}", Uuid::now_v7().simple());
    patient.execute(&format!("create database {empty}")).await;
    let url = patient.database.deployment.consumer_url.clone();
    let (server, _) = url.rsplit_once('/').unwrap();
    patient.set("DATABASE_URL", &format!("{server}/{empty}"));
    patient.set("USER_SYNC_ROLE_PREFIX", &patient.database.deployment.prefix().to_string());
    patient.fails_only(&[], "migrations", "not there", "user-sync migrate");
    assert_eq!(patient.examine(&[]).line("ledger", "months ahead")["status"], "skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn months_that_do_not_stand_ready_are_named() {
    let patient = Patient::healthy().await;
    let drop_last = "do $$
        declare last text;
        begin
            select name into last from user_event_partitions order by lower desc limit 1;
            execute format('drop table %I', last);
            delete from user_event_partitions where name = last;
        end $$";
    patient.execute(drop_last).await;
    assert_eq!(patient.examine(&[]).line("ledger", "months ahead")["status"], "ok");
    patient.execute(drop_last).await;
    let answer = patient.examine(&[]);
    assert_eq!(answer.line("ledger", "months ahead")["status"], "warning");
    assert!(answer.with("failed").is_empty());
    patient.execute(drop_last).await;
    patient.fails_only(&[], "months ahead", "no month stands ready", "user-sync maintain");
    patient.execute(drop_last).await;
    patient.fails_only(&[], "months ahead", "events are refused", "user-sync maintain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_stopped_fails_and_one_that_never_was_warns() {
    let patient = Patient::healthy().await;
    patient.execute("update sync_status set heartbeat_at = now() - interval '16 minutes'").await;
    patient.fails_only(&[], "heartbeat", "sent 16 min ago", "see that the consumer runs");
    let answer = patient.examine(&["--max-heartbeat-age-minutes", "20"]);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    patient
        .execute("update sync_status set heartbeat_id = null, heartbeat_at = null, heartbeat_seen = null")
        .await;
    let answer = patient.examine(&[]);
    let line = answer.line("flow", "heartbeat");
    assert!(
        line["status"] == "warning" && line["fix"].as_str().unwrap().contains("user-sync heartbeat"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attribute_of_the_queues_that_is_wrong_is_named() {
    let mut patient = Patient::healthy().await;
    let deployment = patient.database.deployment.clone();
    let (queue, dlq) = (deployment.queue_url.clone(), deployment.dlq_url.clone());

    patient.set_attribute(&queue, QueueAttributeName::VisibilityTimeout, "359").await;
    patient.fails_only(&[], "visibility", "359 s", "VisibilityTimeout to 360");
    let shorter = patient.examine(&["--consumer-timeout-seconds", "59"]);
    assert_eq!(shorter.with("failed"), Vec::<&Value>::new());
    patient.set_attribute(&queue, QueueAttributeName::VisibilityTimeout, "360").await;

    patient.set_attribute(&dlq, QueueAttributeName::MessageRetentionPeriod, "345600").await;
    patient.fails_only(&[], "DLQ retention", "4 days", "1209600");
    patient.set_attribute(&queue, QueueAttributeName::MessageRetentionPeriod, "345600").await;
    let answer = patient.examine(&[]);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    assert_eq!(answer.line("queue", "retention")["status"], "warning");
    patient.set_attribute(&queue, QueueAttributeName::MessageRetentionPeriod, "1209600").await;
    patient.set_attribute(&dlq, QueueAttributeName::MessageRetentionPeriod, "1209600").await;

    patient.set_attribute(&queue, QueueAttributeName::SqsManagedSseEnabled, "false").await;
    patient.fails_only(&[], "encryption", "the queue is not encrypted", "SqsManagedSseEnabled");
    patient.set_attribute(&queue, QueueAttributeName::SqsManagedSseEnabled, "true").await;

    let policy = |arn: &str, receives: u32| {
        serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": receives}).to_string()
    };
    let arn = patient.examine(&[]).line("queue", "DLQ reachable")["found"].as_str().unwrap().to_owned();
    patient.set_attribute(&queue, QueueAttributeName::RedrivePolicy, &policy(&arn, 5)).await;
    patient.fails_only(&[], "redrive policy", "after 5 receives", "\"maxReceiveCount\":100");
    patient.set_attribute(&queue, QueueAttributeName::RedrivePolicy, &policy(&arn, 50)).await;
    let answer = patient.examine(&[]);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    assert_eq!(answer.line("queue", "redrive policy")["status"], "warning");

    let name = format!("other-{}", Uuid::now_v7().simple());
    let other = deployment.client().create_queue().queue_name(&name);
    let other = other
        .attributes(QueueAttributeName::VisibilityTimeout, "360")
        .attributes(QueueAttributeName::MessageRetentionPeriod, "1209600")
        .attributes(QueueAttributeName::SqsManagedSseEnabled, "true");
    let other = other.send().await.unwrap().queue_url.unwrap();
    patient.set("USER_SYNC_DLQ_URL", &other);
    patient.fails_only(&[], "redrive policy", &arn, &name);
    patient.set("USER_SYNC_DLQ_URL", &dlq);
    patient.set("USER_SYNC_QUEUE_URL", &other);
    patient.fails_only(&[], "redrive policy", "there is none", &arn);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_fail_and_a_backlog_that_grows_old_warns() {
    let patient = Patient::healthy().await;
    let deployment = &patient.database.deployment;
    let send = |url: &str| deployment.client().send_message().queue_url(url).message_body("x").send();
    send(&deployment.queue_url).await.unwrap();
    let answer = patient.examine(&[]);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    assert!(answer.line("queue", "depth")["found"].as_str().unwrap().starts_with("about 1 waiting"));
    assert_eq!(answer.line("queue", "oldest message")["status"], "ok");
    // Nobody may have received it: that would have hidden it.
    assert_eq!(deployment.queue().receive(1, Duration::ZERO).await.unwrap()[0].receive_count, 1);

    patient.execute("update sync_status set heartbeat_at = now() - interval '3 hours'").await;
    patient.execute("update user_events set occurred_at = now() - interval '2 hours'").await;
    let answer = patient.examine(&["--max-heartbeat-age-minutes", "60"]);
    let line = answer.line("queue", "oldest message");
    assert!(line["status"] == "warning" && line["found"].as_str().unwrap().contains("2 h"), "{line}");
    patient.execute("update sync_status set heartbeat_at = now()").await;

    send(&deployment.dlq_url).await.unwrap();
    patient.fails_only(&[], "DLQ empty", "about 1 dead letters", "user-sync dlq list");
}

/// The queue of records is looked at as the other one, in the same lines.
#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_records_is_examined_on_the_same_screen() {
    let mut patient = Patient::healthy().await;
    let deployment = patient.database.deployment.clone();
    let name = format!("contexts-{}", Uuid::now_v7().simple());
    let create = async |name: &str, policy: Option<String>| {
        let request = deployment.client().create_queue().queue_name(name);
        let request = request
            .attributes(QueueAttributeName::VisibilityTimeout, "360")
            .attributes(QueueAttributeName::MessageRetentionPeriod, "1209600")
            .attributes(QueueAttributeName::SqsManagedSseEnabled, "true");
        let request = match policy {
            Some(policy) => request.attributes(QueueAttributeName::RedrivePolicy, policy),
            None => request,
        };
        request.send().await.unwrap().queue_url.unwrap()
    };
    let dlq = create(&format!("{name}-dlq"), None).await;
    let asked = deployment.client().get_queue_attributes().queue_url(&dlq);
    let asked = asked.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
    let arn = asked.attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 100 }).to_string();
    let queue = create(&name, Some(policy)).await;
    patient.set("USER_SYNC_CONTEXT_QUEUE_URL", &queue);
    let answer = patient.examine(&[]);
    let missing = answer.line("queue", "DLQ reachable");
    assert!(missing["fix"].as_str().unwrap().contains("set USER_SYNC_CONTEXT_DLQ_URL"), "{missing}");
    patient.set("USER_SYNC_CONTEXT_DLQ_URL", &dlq);
    let answer = patient.examine(&[]);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    assert_eq!(answer.with("skipped"), Vec::<&Value>::new());
    let reached = answer.line("queue", "reachable")["found"].as_str().unwrap().to_owned();
    assert!(reached.contains("; of contexts: ") && reached.ends_with(&name), "{reached}");
    let text = String::from_utf8(patient.run(&[]).stdout).unwrap();
    assert!(text.lines().count() <= 40, "more than a screen: {text}");

    patient.set_attribute(&queue, QueueAttributeName::VisibilityTimeout, "30").await;
    patient.fails_only(
        &[],
        "visibility",
        "of contexts: 30 s",
        "of contexts: set the queue's VisibilityTimeout",
    );
    patient.set_attribute(&queue, QueueAttributeName::VisibilityTimeout, "360").await;
    deployment.client().send_message().queue_url(&dlq).message_body("x").send().await.unwrap();
    patient.fails_only(
        &[],
        "DLQ empty",
        "of contexts: about 1 dead letters",
        "user-sync dlq list --contexts",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_does_not_call_the_trigger_is_named() {
    let mut patient = Patient::healthy().await;
    patient.wire(Some(OTHER), Some(OTHER)).await;
    patient.fails_only(&["--trigger-arn", TRIGGER], "triggers", OTHER, TRIGGER);
    assert_eq!(patient.examine(&[]).with("failed"), Vec::<&Value>::new(), "any one function will do");
    patient.wire(Some(TRIGGER), Some(OTHER)).await;
    patient.fails_only(&[], "triggers", OTHER, "set PostConfirmation and PostAuthentication");
    patient.wire(Some(TRIGGER), None).await;
    patient.fails_only(&[], "triggers", "not set: PostAuthentication", "set PostAuthentication");
    patient.wire(None, None).await;
    patient.fails_only(&[], "triggers", "PostConfirmation and PostAuthentication", "user-sync-trigger");
    patient.set("USER_SYNC_USER_POOL_ID", "eu-west-1_Nobody000");
    patient.fails_only(&[], "reachable", "ResourceNotFoundException", "USER_SYNC_USER_POOL_ID");
    patient.wire(Some(TRIGGER), Some(TRIGGER)).await;
    let both = format!("{}, eu-west-1_Nobody000", patient.pool);
    patient.set("USER_SYNC_USER_POOL_ID", &both);
    let answer = patient.fails_only(&[], "reachable", "eu-west-1_Nobody000: ", "USER_SYNC_USER_POOL_ID");
    assert_eq!(answer.line("pool", "reachable")["found"], patient.pool.as_str(), "each pool is examined");
}

/// Each Region has triggers of its own, and a secondary that has none counts nobody's logins.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_call_the_trigger_is_named_with_its_region() {
    const THERE: &str = "arn:aws:lambda:us-east-1:000000000000:function:user-sync-trigger";
    let mut patient = Patient::healthy().await;
    let strict = StrictPool::start().await;
    patient.set("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &strict.endpoint);
    patient.set("USER_SYNC_USER_POOL_ID", strict_pool::ID);
    for hook in ["PostConfirmation", "PostAuthentication"] {
        strict.set_trigger(hook, Some(TRIGGER));
    }
    let both = format!("{TRIGGER},{THERE}");
    let arguments = ["--trigger-arn", both.as_str()];
    let lines = |answer: &Answer| answer.checks.iter().filter(|check| check["section"] == "pool").count();
    let replica = |region: &str, role: &str, status: &str| json!({ "RegionName": region, "Role": role, "Status": status });
    let set = |status: &str, triggers: Value| {
        let mut pool = strict.pool();
        pool.replicas =
            vec![replica("eu-west-1", "PRIMARY", "ACTIVE"), replica("us-east-1", "SECONDARY", status)];
        pool.elsewhere.insert("us-east-1".to_owned(), triggers);
    };

    // Without a replica there is nothing to say.
    for replicas in [vec![], vec![replica("eu-west-1", "PRIMARY", "ACTIVE")]] {
        strict.pool().replicas = replicas;
        let answer = patient.examine(&arguments);
        assert_eq!((answer.with("failed").len(), lines(&answer)), (0, 2));
    }
    set("ACTIVE", json!({ "PostConfirmation": THERE, "PostAuthentication": THERE }));
    let answer = patient.examine(&arguments);
    assert_eq!((answer.with("failed").len(), lines(&answer)), (0, 3));
    let line = answer.line("pool", "replica's triggers");
    let found = format!("us-east-1 (SECONDARY, ACTIVE): both call {THERE}");
    assert!(line["status"] == "ok" && line["found"] == found.as_str(), "{line}");

    set("ACTIVE", json!({}));
    patient.fails_only(
        &arguments,
        "replica's triggers",
        "us-east-1 (SECONDARY, ACTIVE): not set",
        "in us-east-1: set PostConfirmation and PostAuthentication",
    );
    set("ACTIVE", json!({ "PostConfirmation": THERE, "PostAuthentication": OTHER }));
    patient.fails_only(&arguments, "replica's triggers", OTHER, THERE);
    patient.fails_only(&[], "replica's triggers", OTHER, "in us-east-1: ");
    set("ACTIVE", json!({ "PostConfirmation": OTHER, "PostAuthentication": OTHER }));
    patient.fails_only(&arguments, "replica's triggers", OTHER, THERE);
    // One that is named for another Region compares nothing.
    let elsewhere = THERE.replace("us-east-1", "us-west-2");
    for (named, line, region) in
        [(TRIGGER, "replica's triggers", "us-east-1"), (THERE, "triggers", "eu-west-1")]
    {
        set("ACTIVE", json!({ "PostConfirmation": THERE, "PostAuthentication": THERE }));
        let answer = patient.examine(&["--trigger-arn", &format!("{named},{elsewhere}")]);
        assert_eq!(answer.with("failed"), Vec::<&Value>::new());
        let line = answer.line("pool", line);
        let found = line["found"].as_str().unwrap();
        assert!(found.contains(&format!("no function was named for {region}: both call ")), "{line}");
        assert_eq!(line["status"], "warning");
    }
    // It answers nobody yet.
    set("INACTIVE", json!({}));
    let answer = patient.examine(&arguments);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    assert_eq!(answer.line("pool", "replica's triggers")["status"], "warning");
    set("DELETING", json!({}));
    assert_eq!(lines(&patient.examine(&arguments)), 2);

    // From the replica's side the primary is the other one.
    set("ACTIVE", json!({ "PostConfirmation": THERE, "PostAuthentication": THERE }));
    patient.set("AWS_REGION", "us-east-1");
    let answer = patient.examine(&arguments);
    assert_eq!(answer.line("pool", "triggers")["found"], format!("both call {THERE}"));
    let line = answer.line("pool", "replica's triggers");
    assert_eq!(line["found"], format!("eu-west-1 (PRIMARY, ACTIVE): both call {TRIGGER}"), "{line}");
    patient.set("AWS_REGION", "eu-west-1");

    strict.pool().faults.denied = vec![("ListUserPoolReplicas", "no")];
    let answer = patient.examine(&arguments);
    let line = answer.line("pool", "triggers");
    assert_eq!((answer.with("failed").len(), lines(&answer)), (0, 2));
    assert!(line["found"].as_str().unwrap().contains("cognito-idp:ListUserPoolReplicas"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_named_without_a_password_and_the_rest_is_looked_at() {
    let mut patient = Patient::healthy().await;
    let url = patient.database.deployment.consumer_url.clone();
    let (_, rest) = url.rsplit_once('@').unwrap();
    let name = url.split("//").nth(1).unwrap().split(':').next().unwrap();
    // A listener that never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("postgres://someone:hunter2@{}/x?sslmode=disable", silent.local_addr().unwrap());
    for (url, found) in [
        ("postgres://someone:hunter2@127.0.0.1:1/x".to_owned(), "refused"),
        (format!("postgres://{name}:hunter2@{rest}"), "password"),
        (silent_url, "no answer from the database in time"),
        ("postgres://someone:hunter2@db.example.com/x?sslmode=disable".to_owned(), "sslmode disable"),
        ("postgres://someone:hunter2@[/x".to_owned(), "not of the form"),
    ] {
        patient.set("DATABASE_URL", &url);
        let answer = patient.fails_only(&[], "reachable", found, "");
        assert_eq!(answer.line("database", "grants")["status"], "skipped");
        assert_eq!(answer.line("queue", "redrive policy")["status"], "ok");
        let said = [&answer.output.stdout[..], &answer.output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("hunter2") && !said.contains("postgres://someone"), "{said}");
    }
    patient.set("DATABASE_URL", &url);
    patient.set("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let answer = patient.examine(&[]);
    let failed: Vec<_> = answer.with("failed").iter().map(|check| check["section"].clone()).collect();
    assert_eq!(failed, ["queue", "queue", "pool"]);
    assert_eq!(answer.line("database", "grants")["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_holds_up_its_own_lines_only() {
    let patient = Patient::healthy().await;
    let mut tx = patient.database.owner.begin().await.unwrap();
    sqlx::query("lock table user_event_partitions in access exclusive mode").execute(&mut *tx).await.unwrap();
    let answer = patient.examine(&[]);
    let failed: Vec<_> = answer.with("failed").iter().map(|check| check["name"].clone()).collect();
    assert_eq!(failed, ["months ahead", "oldest month", "indexes"]);
    assert!(answer.line("ledger", "months ahead")["fix"].as_str().unwrap().contains("pg_stat_activity"));
    tx.rollback().await.unwrap();
    assert_eq!(patient.examine(&[]).with("failed"), Vec::<&Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_missing_variable_leaves_out_is_skipped() {
    let mut patient = Patient::healthy().await;
    patient.environment.remove("USER_SYNC_USER_POOL_ID");
    patient.environment.remove("USER_SYNC_DLQ_URL");
    let answer = patient.examine(&["--user-pool-id", &patient.pool]);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    let reached = answer.line("pool", "reachable");
    assert_eq!(reached["status"], "warning", "{reached}");
    assert!(
        reached["found"].as_str().unwrap().contains("accepts the events of every user pool"),
        "{reached}"
    );
    assert!(reached["fix"].as_str().unwrap().contains("set USER_SYNC_USER_POOL_ID"), "{reached}");
    assert_eq!(answer.line("pool", "triggers")["status"], "ok");
    let answer = patient.examine(&[]);
    assert_eq!(answer.with("failed"), Vec::<&Value>::new());
    assert_eq!(answer.line("pool", "reachable")["status"], "warning");
    let fix = |section, name| answer.line(section, name)["fix"].as_str().unwrap();
    assert!(fix("pool", "triggers").contains("USER_SYNC_USER_POOL_ID"));
    assert!(fix("queue", "DLQ empty").contains("USER_SYNC_DLQ_URL"));
    assert_eq!(answer.line("queue", "visibility")["status"], "ok");
    patient.environment.clear();
    let answer = patient.examine(&[]);
    assert_eq!(answer.with("skipped").len() + 1, answer.checks.len(), "but that every pool is accepted");
    assert!(
        answer.line("database", "reachable")["found"].as_str().unwrap().contains("DATABASE_URL is not set")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_detached_month_maintain_says_the_same() {
    let patient = Patient::healthy().await;
    let operator = patient.database.deployment.operator_url.clone();
    let maintain = || {
        let mut command = Command::new(binaries::user_sync());
        command.arg("maintain").env_clear().envs(&patient.environment).env("DATABASE_URL", &operator);
        command.stdin(Stdio::null()).output().unwrap()
    };
    // This month, an old one, and one that was dropped.
    let this_month = "(select name from user_event_partitions where lower <= user_event_bound(now()) order by lower desc limit 1)";
    let oldest = "(select name from user_event_partitions order by lower limit 1)";
    for (month, then) in [(this_month, ""), (oldest, ""), (oldest, "drop")] {
        let month: String = sqlx::query_scalar(AssertSqlSafe(format!("select {month}")))
            .fetch_one(&patient.database.owner)
            .await
            .unwrap();
        patient.execute(&format!("alter table user_events detach partition {month}")).await;
        if then == "drop" {
            patient.execute(&format!("create table {month}_kept as table {month}; drop table {month}")).await;
        }
        patient.fails_only(&[], "months ahead", &month, "attach it again");
        let answer = patient.examine(&[]);
        let line = answer.line("ledger", "months ahead");
        let maintained = maintain();
        let said = String::from_utf8_lossy(&maintained.stderr).into_owned();
        assert!(!maintained.status.success(), "{said}");
        for part in ["found", "fix"] {
            assert!(said.contains(line[part].as_str().unwrap()), "{said}\n{line}");
        }
        if then == "drop" {
            let restore = format!("create table {month} (like user_events including all)");
            patient.execute(&format!("{restore}; alter table {month} owner to user_sync_owner")).await;
        }
        let attach = line["fix"].as_str().unwrap().split('`').nth(1).unwrap().to_owned();
        patient.execute(&attach).await;
        assert_eq!(patient.examine(&[]).with("failed"), Vec::<&Value>::new());
        let maintained = maintain();
        assert!(maintained.status.success(), "{}", String::from_utf8_lossy(&maintained.stderr));
    }
}

/// What is recorded of the patient's pool: so many minutes ago, in this Region.
fn told(
    patient: &Patient,
    minutes: u64,
    region: &str,
    triggers: [Option<&str>; 2],
    missing: u8,
) -> Event<'static> {
    let at = Timestamp::from_unix_millis(Timestamp::now().unix_millis() - minutes * 60_000);
    let [post_confirmation, post_authentication] = triggers.map(|arn| arn.map(str::to_owned));
    let (user_pool_id, region) = (patient.pool.clone(), region.to_owned());
    let seen = PoolSeen { user_pool_id, region, missing, post_confirmation, post_authentication };
    Event::Heartbeat { id: EventId::new(at), pools: vec![seen] }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_cognito_is_not_asked_the_pools_lines_say_what_heartbeats_told() {
    let mut patient = Patient::healthy().await;
    let cognito = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    cognito.set_nonblocking(true).unwrap();
    let endpoint = format!("http://{}", cognito.local_addr().unwrap());
    patient.set("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &endpoint);
    patient.set("USER_SYNC_ASK_COGNITO", "false");
    let line = |answer: &Answer, status: &str, found: &str, fix: Option<&str>| {
        let line = answer.line("pool", "triggers");
        assert_eq!(line["status"], status, "{line}");
        assert!(line["found"].as_str().unwrap().contains(found), "no {found:?} in {line}");
        match fix {
            Some(fix) => assert!(line["fix"].as_str().unwrap().contains(fix), "no {fix:?} in {line}"),
            None => assert_eq!(line["fix"], Value::Null),
        }
    };
    line(
        &patient.examine(&[]),
        "warning",
        "not asked; no heartbeat has told of the triggers",
        Some("USER_SYNC_TRIGGER_ARN"),
    );

    let tell = async |event: Event<'static>| drop(patient.database.apply(&[event]).await);
    let both = [Some(TRIGGER), Some(TRIGGER)];
    tell(told(&patient, 20, "eu-west-1", both, 0)).await;
    let late = patient.examine(&[]);
    line(&late, "warning", "not asked; 20 min ago, both called ", Some("what user-sync-lifecycle logs"));
    line(&late, "warning", "should be within 15 min", Some("with each heartbeat"));
    line(&patient.examine(&["--max-heartbeat-age-minutes", "30"]), "ok", TRIGGER, None);

    tell(told(&patient, 3, "eu-west-1", both, 0)).await;
    for arguments in [&[][..], &["--trigger-arn", TRIGGER]] {
        let answer = patient.examine(arguments);
        line(&answer, "ok", "not asked; 3 min ago, both call", None);
        let reached = answer.line("pool", "reachable");
        let found = format!("{}: not asked, for USER_SYNC_ASK_COGNITO is false", patient.pool);
        assert_eq!(
            (&reached["status"], &reached["found"], &reached["fix"]),
            (&json!("skipped"), &json!(found), &Value::Null)
        );
    }
    let text = String::from_utf8(patient.run(&[]).stdout).unwrap();
    assert!(text.contains("  skip  reachable  ") && text.contains(" 0 failed, 1 skipped\n"), "{text}");
    assert!(text.lines().count() <= 40, "more than a screen: {text}");
    patient.fails_only(&["--trigger-arn", OTHER], "triggers", TRIGGER, OTHER);

    // The lifecycle function knows which function it should be.
    tell(told(&patient, 2, "eu-west-1", [Some(OTHER), Some(OTHER)], 2)).await;
    patient.fails_only(&[], "triggers", "2 of them should call another function", "USER_SYNC_TRIGGER_ARN");
    tell(told(&patient, 1, "eu-west-1", [Some(TRIGGER), None], 1)).await;
    patient.fails_only(&[], "triggers", " s ago, not set: PostAuthentication", "set PostAuthentication");

    // A replica has a line of its own, while anything is heard of it.
    tell(told(&patient, 0, "us-east-1", both, 0)).await;
    let answer = patient.fails_only(&[], "replica's triggers", "eu-west-1: ", "set PostAuthentication");
    line(&answer, "ok", "us-east-1: ", None);

    assert!(cognito.accept().is_err(), "nobody asked Cognito");
    patient.set("USER_SYNC_ASK_COGNITO", "no");
    let refused = String::from_utf8(patient.run(&[]).stderr).unwrap();
    assert!(refused.contains("USER_SYNC_ASK_COGNITO is \"no\": it must be true or false"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_cognito_refuses_at_once_where_it_may_not_be_asked() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binaries::user_sync());
        command.args(arguments).env_clear().stdin(Stdio::null());
        command.envs([("USER_SYNC_ASK_COGNITO", "false"), ("USER_SYNC_USER_POOL_ID", "eu-west-1_Abc123Def")]);
        command.env("USER_SYNC_TRIGGER_ARN", TRIGGER);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let sub = Uuid::nil().to_string();
    for arguments in [
        &["reconcile"][..],
        &["reconcile", "--repair"],
        &["restore", &sub],
        &["flows", "--client-id", "abc"],
        &["triggers", "show"],
        &["triggers", "attach"],
        &["triggers", "detach"],
    ] {
        let said = run(arguments);
        for part in
            [arguments[0], "USER_SYNC_ASK_COGNITO=false", "nothing was done", "reconcile --publish-all"]
        {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    }
    // On a bad night: that asks SSM.
    let said = run(&["triggers", "hold"]);
    assert!(said.contains("USER_SYNC_TRIGGERS_PARAMETER is not set"), "{said}");
}
