//! What happens in the user pool beside sign-ins reaches the rows: the release binary of `user-sync-lifecycle`
//! on CloudTrail's events, an emulated user pool, the queue and the tables.

use std::time::Duration;

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cognitoidentityprovider::types::{AttributeType, LambdaConfigType, MessageActionType};
use cognito_user_sync::aws;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{Data, Event, EventId, GroupChange, GroupEvent, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::conformance::Adapter;
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::stale_pool::StalePool;
use crate::support::{TestDatabase, binaries, cloudtrail, eventually, queued};

const LIMIT: Duration = Duration::from_secs(60);

/// Marks every value that no log may hold.
const PRIVATE: &str = "Zephyrine";

/// A user pool, the function that follows it, and what is behind the queue.
struct Followed {
    client: Client,
    pool: String,
    app_client: String,
    api: LambdaRuntimeApi,
    function: Function,
    database: TestDatabase,
}

impl Followed {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(env: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let deployment = &database.deployment;
        let config = aws_sdk_cognitoidentityprovider::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(&deployment.endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws::http_client())
            .build();
        let client = Client::from_conf(config);
        let created = client.create_user_pool().pool_name("followed").send().await.unwrap();
        let pool = created.user_pool.unwrap().id.unwrap();
        let created = client.create_user_pool_client().user_pool_id(&pool).client_name("app").send();
        let app_client = created.await.unwrap().user_pool_client.unwrap().client_id.unwrap();
        let api = LambdaRuntimeApi::start().await;
        let env = [&deployment.environment()[..], &[("USER_SYNC_USER_POOL_ID", pool.as_str())], env].concat();
        let function = Function::spawn(&binaries::lifecycle(), &api, &env);
        api.wait_until_ready(LIMIT).await;
        Self { client, pool, app_client, api, function, database }
    }

    /// Creates a user as an administrator does.
    async fn create(&self, username: &str) -> Uuid {
        let request = self.client.admin_create_user().user_pool_id(&self.pool).username(username);
        let request = request.message_action(MessageActionType::Suppress);
        let request = request.set_user_attributes(Some(attributes(&[
            ("email", &format!("{PRIVATE}@example.com")),
            ("email_verified", "true"),
            ("name", &format!("{PRIVATE} One")),
        ])));
        let user = request.send().await.unwrap().user.unwrap();
        let sub = user.attributes.unwrap().into_iter().find(|attribute| attribute.name == "sub").unwrap();
        sub.value.unwrap().parse().unwrap()
    }

    async fn delete(&self, username: &str) {
        self.client.admin_delete_user().user_pool_id(&self.pool).username(username).send().await.unwrap();
    }

    /// Hands a fixture's event over, as if the call was made now.
    async fn invoke(&self, fixture: &str, sub: Uuid) -> Invocation {
        self.invoke_at(fixture, sub, Timestamp::now()).await
    }

    async fn invoke_at(&self, fixture: &str, sub: Uuid, at: Timestamp) -> Invocation {
        self.api.invoke(cloudtrail::event(fixture, &self.pool, &self.app_client, sub, at), LIMIT).await
    }

    /// Hands an event over and applies what it published.
    async fn follow(&self, fixture: &str, sub: Uuid) {
        succeeded(&self.invoke(fixture, sub).await);
        assert_eq!(self.apply().await, [Outcome::Applied], "{fixture}");
    }

    /// Applies what is on the queue.
    async fn apply(&self) -> Vec<Outcome> {
        let queue = self.database.deployment.queue();
        let deliveries = queue.receive(100, Duration::ZERO).await.unwrap();
        let bodies: Vec<&str> = deliveries.iter().map(|delivery| delivery.body.as_str()).collect();
        let mut outcomes = self.database.applier.apply(&bodies).await;
        // What was sent twice, since an answer of SQS's was late.
        outcomes.retain(|outcome| *outcome != Outcome::Duplicate);
        queue.delete(&deliveries.iter().collect::<Vec<_>>()).await;
        outcomes
    }

    async fn has(&self, sub: Uuid, columns: &[(&str, Option<&str>)]) {
        for (column, expected) in columns {
            assert_eq!(self.database.column(sub, column).await.as_deref(), *expected, "{column}");
        }
    }

    /// Without which event was the newest, and what follows from it: CloudTrail's times are whole seconds, so of a deletion
    /// that was told twice, and of a snapshot of the same second, either may be.
    async fn rows_but_versions(&self) -> Vec<Value> {
        let mut rows = self.database.rows().await;
        let of_versions = ["attributes_version", "attribute_versions", "profile_version", "profile_digest"];
        for row in rows.iter_mut().filter_map(Value::as_object_mut) {
            row.retain(|column, _| !of_versions.contains(&column.as_str()));
        }
        rows
    }

    /// Nothing but copies of what was applied before: an answer of SQS's that is late makes one.
    async fn published_nothing(&self) {
        assert_eq!(self.apply().await, []);
    }

    /// Ends the function; its log must hold nothing of a user.
    fn log(mut self) -> Vec<String> {
        assert!(self.function.is_alive());
        self.function.kill();
        let log = [self.function.stdout_lines(), self.function.stderr_lines()].concat();
        for line in &log {
            let line = line.to_lowercase();
            assert!(!line.contains(&PRIVATE.to_lowercase()) && !line.contains('@'), "{line}");
        }
        log
    }
}

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - seconds * 1_000)
}

fn attributes(attributes: &[(&str, &str)]) -> Vec<AttributeType> {
    let attribute = |(name, value): &(&str, &str)| AttributeType::builder().name(*name).value(*value).build();
    attributes.iter().map(attribute).collect::<Result<_, _>>().unwrap()
}

fn succeeded(invocation: &Invocation) {
    assert!(matches!(invocation, Invocation::Response { .. }), "{invocation:?}");
}

/// The message of an invocation that failed.
fn failure(invocation: Invocation) -> String {
    let Invocation::Error { body, .. } = invocation else { panic!("{invocation:?}") };
    String::from_utf8(body).unwrap()
}

/// How often a counter was written, by the log's metrics.
fn count(log: &[String], metric: &str, label: Option<&str>) -> usize {
    let metric = format!("\"{metric}\":1");
    let label = label.map(|reason| format!("\"reason\":\"{reason}\"")).unwrap_or_default();
    let is_it = |line: &&String| line.contains("_aws") && line.contains(&metric) && line.contains(&label);
    log.iter().filter(is_it).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_life_in_the_pool_becomes_the_row() {
    let followed = Followed::start().await;
    let (client, pool) = (&followed.client, &followed.pool);
    let sub = followed.create("life").await;
    followed.follow("admin_create_user", sub).await;
    let email = format!("{PRIVATE}@example.com").to_lowercase();
    let name = format!("{PRIVATE} One");
    followed
        .has(
            sub,
            &[
                ("email", Some(&email)),
                ("name", Some(&name)),
                ("cognito_username", Some("life")),
                ("cognito_status", Some("FORCE_CHANGE_PASSWORD")),
                ("user_pool_id", Some(pool)),
                ("is_active", Some("true")),
                ("login_count", Some("0")),
                ("confirmed_at", None),
            ],
        )
        .await;

    let renamed = attributes(&[("name", &format!("{PRIVATE} Two"))]);
    let request = client.admin_update_user_attributes().user_pool_id(pool).username("life");
    request.set_user_attributes(Some(renamed)).send().await.unwrap();
    followed.follow("admin_update_user_attributes", sub).await;
    followed.has(sub, &[("name", Some(&format!("{PRIVATE} Two"))), ("email", Some(&email))]).await;

    let request = client.admin_set_user_password().user_pool_id(pool).username("life");
    request.password("Correct-Horse-7").permanent(true).send().await.unwrap();
    followed.follow("admin_set_user_password", sub).await;
    followed.has(sub, &[("cognito_status", Some("CONFIRMED"))]).await;

    client.admin_disable_user().user_pool_id(pool).username("life").send().await.unwrap();
    followed.follow("admin_disable_user", sub).await;
    followed.has(sub, &[("is_active", Some("false")), ("is_deleted", Some("false"))]).await;

    client.admin_enable_user().user_pool_id(pool).username("life").send().await.unwrap();
    followed.follow("admin_enable_user", sub).await;
    followed.has(sub, &[("is_active", Some("true"))]).await;

    // An event that comes late says what the pool says now, not what it was about.
    followed.follow("admin_disable_user", sub).await;
    followed.has(sub, &[("is_active", Some("true"))]).await;

    followed.delete("life").await;
    let deleted_at = Timestamp::now();
    succeeded(&followed.invoke_at("admin_delete_user", sub, deleted_at).await);
    assert_eq!(followed.apply().await, [Outcome::Applied]);
    let second = deleted_at.to_string()[..19].to_owned();
    followed.has(sub, &[("is_deleted", Some("true")), ("is_active", Some("false")), ("email", None)]).await;
    assert!(followed.database.column(sub, "deleted_at").await.unwrap().starts_with(&second));

    // EventBridge delivers at least once: the same deletion changes nothing, and a late change neither.
    let rows = followed.rows_but_versions().await;
    succeeded(&followed.invoke_at("admin_delete_user", sub, deleted_at).await);
    assert_eq!(followed.apply().await, [Outcome::Applied]);
    assert_eq!(followed.rows_but_versions().await, rows);
    failure(followed.invoke("admin_update_user_attributes", sub).await);
    followed.published_nothing().await;
    assert_eq!(followed.rows_but_versions().await, rows);
    let log = followed.log();
    assert_eq!((count(&log, "published", None), count(&log, "failed", None)), (8, 1), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_own_calls_name_no_pool_and_are_followed() {
    let followed = Followed::start().await;
    let sub = followed.create("self").await;
    followed.follow("sign_up", sub).await;
    followed.follow("update_user_attributes_by_the_user", sub).await;
    // Without a client, the user is found by the sub.
    followed.follow("update_user_attributes_without_a_client", sub).await;
    followed.has(sub, &[("is_deleted", Some("false")), ("cognito_username", Some("self"))]).await;
    followed.delete("self").await;
    followed.follow("delete_user_by_the_user", sub).await;
    followed.has(sub, &[("is_deleted", Some("true"))]).await;
    followed.log();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_followed_is_counted_by_its_reason() {
    let followed = Followed::start().await;
    let sub = followed.create("ignored").await;
    let names = cloudtrail::names("ignored_");
    for name in &names {
        succeeded(&followed.invoke(name, sub).await);
    }
    succeeded(&followed.api.invoke("[]", LIMIT).await);
    followed.published_nothing().await;
    let log = followed.log();
    assert_eq!(count(&log, "ignored", None), names.len() + 1, "{log:?}");
    for (reason, times) in [
        ("failed_call", 1),
        ("no_sub", 1),
        ("no_group", 1),
        ("unknown_name", 2),
        ("other_pool", 2),
        ("unknown_client", 2),
        ("not_cognito", 1),
        ("unreadable", 1),
    ] {
        assert_eq!(count(&log, "ignored", Some(reason)), times, "{reason}: {log:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pool_does_not_confirm_is_an_error_and_is_not_published() {
    let followed = Followed::start().await;
    let sub = followed.create("doubted").await;
    let error = failure(followed.invoke("admin_delete_user", sub).await);
    assert!(error.contains("still found in the pool"), "{error}");
    followed.published_nothing().await;
    let error = failure(followed.invoke("admin_update_user_attributes", Uuid::from_u128(7)).await);
    assert!(error.contains("not taken for a deletion"), "{error}");
    followed.published_nothing().await;
    // Asked again when the pool has caught up.
    followed.delete("doubted").await;
    followed.follow("admin_delete_user", sub).await;
    followed.has(sub, &[("is_deleted", Some("true"))]).await;
    let log = followed.log();
    assert_eq!((count(&log, "failed", None), count(&log, "published", None)), (2, 1), "{log:?}");
}

/// A change of a group is published as CloudTrail says it, with its time: the pool is not asked.
#[tokio::test(flavor = "multi_thread")]
async fn who_joins_and_leaves_a_group_is_published_with_the_time_of_the_call() {
    let followed = Followed::start().await;
    let (sub, at) = (Uuid::now_v7(), Timestamp::now());
    let second = Timestamp::from_unix_millis(at.unix_millis() / 1_000 * 1_000);
    for (fixture, expected) in [
        ("admin_add_user_to_group", GroupChange::Joined(sub)),
        ("admin_remove_user_from_group", GroupChange::Left(sub)),
        ("admin_delete_group", GroupChange::Deleted),
    ] {
        succeeded(&followed.invoke_at(fixture, sub, at).await);
        let queued = queued(&followed.database.deployment).await;
        let Ok(Event::Group(event)) = Event::decode(queued.first().unwrap()) else { panic!("{queued:?}") };
        let GroupEvent { id, user_pool_id, group, change } = event;
        assert_eq!((&*user_pool_id, &*group, change), (&*followed.pool, "editors", expected));
        assert_eq!((id.time(), queued.len()), (second, 1));
    }
    let ahead = Timestamp::from_unix_millis(at.unix_millis() + 86_400_000);
    succeeded(&followed.invoke_at("admin_add_user_to_group", sub, ahead).await);
    let queued = queued(&followed.database.deployment).await;
    assert!(Event::decode(queued.first().unwrap()).unwrap().id().time() <= Timestamp::now());
    followed.log();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_in_the_pool_becomes_memberships() {
    let followed = Followed::start().await;
    let sub = followed.create("member").await;
    followed.follow("admin_create_user", sub).await;
    let is_member = async || {
        let query = "select count(*) from user_sync_user_groups where user_id = $1 and name = 'editors'";
        let count: i64 =
            sqlx::query_scalar(query).bind(sub).fetch_one(&followed.database.owner).await.unwrap();
        count == 1
    };
    let mut at = Timestamp::now().unix_millis() - 60_000;
    for (fixture, expected) in [
        ("admin_add_user_to_group", true),
        ("admin_remove_user_from_group", false),
        ("admin_add_user_to_group", true),
        ("admin_delete_group", false),
        ("admin_add_user_to_group", true),
    ] {
        at += 5_000;
        succeeded(&followed.invoke_at(fixture, sub, Timestamp::from_unix_millis(at)).await);
        // EventBridge delivers at least once.
        succeeded(&followed.invoke_at(fixture, sub, Timestamp::from_unix_millis(at)).await);
        assert_eq!(followed.apply().await, [Outcome::Applied, Outcome::Applied], "{fixture}");
        assert_eq!(is_member().await, expected, "{fixture}");
    }
    // What comes late decides nothing.
    succeeded(&followed.invoke_at("admin_delete_group", sub, Timestamp::from_unix_millis(at - 2_000)).await);
    followed.apply().await;
    assert!(is_member().await);
}

/// Of whose change nobody knows the time, or whose answers lag for good, may have attributes that the answer lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_lags_behind_the_change_is_asked_again_and_at_last_is_partial() {
    for (age, stale, modified, asked, partial) in [
        (0, 0, true, 1, false),
        (0, 2, true, 3, false),
        (0, u32::MAX, true, 5, true),
        (0, 0, false, 5, true),
        // By then no answer lags: not every call moves the date.
        (120, u32::MAX, true, 1, false),
        (120, 0, false, 1, true),
    ] {
        let changed_at = ago(age);
        let stub = StalePool::without_phone_since(changed_at, stale).await;
        if !modified {
            stub.pool().now.1 = None;
        }
        let followed = Followed::start_with(&[(StalePool::VARIABLE, &stub.endpoint)]).await;
        let sub = stub.pool().sub;
        succeeded(&followed.invoke_at("admin_update_user_attributes", sub, changed_at).await);
        let queued = queued(&followed.database.deployment).await;
        let message: Value = serde_json::from_str(queued.first().unwrap()).unwrap();
        assert_eq!(message["data"]["partial"].as_bool().unwrap_or(false), partial, "{message}");
        let phone = message["data"]["attributes"].get("phone_number");
        assert_eq!(phone.is_some(), stale == u32::MAX, "{message}");
        assert_eq!((stub.pool().asked, queued.len()), (asked, 1));
        followed.log();
    }
}

/// An answer that lags says what was before, and is published after what the table has learnt meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_lags_overwrites_nothing_that_a_login_said_since() {
    let (old, new, phone) = ("old@example.com", "new@example.com", "+12025550123");
    for (fixture, changed, stale, login, attributes, column, expected) in [
        // An address is changed, and the user signs in with it.
        ("admin_update_user_attributes", 5, u32::MAX, 3, ("email", new), "email", new),
        // A user is created, and signs in before the record comes, which is always late.
        ("admin_create_user", 181, u32::MAX, 1, ("email", new), "cognito_status", "CONFIRMED"),
        // The same of a whole user, who has added a number a moment ago.
        ("admin_update_user_attributes", 100, 0, 3, ("phone_number", phone), "phone_number", phone),
    ] {
        let stub = StalePool::without_phone_since(ago(changed), stale).await;
        stub.pool().before.0 = serde_json::json!({ "email": old });
        if fixture == "admin_create_user" {
            stub.pool().status = "FORCE_CHANGE_PASSWORD";
        }
        let followed = Followed::start_with(&[(StalePool::VARIABLE, &stub.endpoint)]).await;
        let sub = stub.pool().sub;
        let data = Data {
            status: Some("CONFIRMED".into()),
            attributes: [(attributes.0.into(), attributes.1.into())].into(),
            ..Data::default()
        };
        let (id, user_pool_id) = (EventId::new(ago(login)), followed.pool.clone().into());
        let login = Event::User(UserEvent { id, user_pool_id, sub, kind: Kind::Authenticated, data });
        followed.database.apply(&[login]).await;
        followed.has(sub, &[(column, Some(expected))]).await;
        succeeded(&followed.invoke_at(fixture, sub, ago(changed)).await);
        assert_eq!(followed.apply().await, [Outcome::Applied]);
        followed.has(sub, &[(column, Some(expected))]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_from_the_future_is_dated_now() {
    let followed = Followed::start().await;
    let sub = followed.create("future").await;
    followed.delete("future").await;
    let future = Timestamp::from_unix_millis(Timestamp::now().unix_millis() + 86_400_000);
    succeeded(&followed.invoke_at("admin_delete_user", sub, future).await);
    assert_eq!(followed.apply().await, [Outcome::Applied]);
    let deleted_at = followed.database.column(sub, "deleted_at").await.unwrap();
    assert!(deleted_at < Timestamp::now().to_string(), "{deleted_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_sends_a_heartbeat() {
    let followed = Followed::start().await;
    let mut last = None;
    for name in cloudtrail::names("heartbeat_") {
        succeeded(&followed.invoke(&name, Uuid::nil()).await);
        assert_eq!(followed.apply().await, [Outcome::Applied]);
        let arrived: Option<Uuid> = sqlx::query_scalar("select heartbeat_id from sync_status")
            .fetch_one(&followed.database.owner)
            .await
            .unwrap();
        assert!(arrived > last, "{name}");
        last = arrived;
    }
    assert_eq!(followed.database.count("users").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_somebody_took_away_is_missed_at_the_next_heartbeat() {
    let ours = "arn:aws:lambda:eu-west-1:000000000000:function:ours";
    let followed = Followed::start_with(&[("USER_SYNC_TRIGGER_ARN", ours)]).await;
    let set = async |confirmation: Option<&str>, authentication: Option<&str>| {
        let config = LambdaConfigType::builder()
            .set_post_confirmation(confirmation.map(str::to_owned))
            .set_post_authentication(authentication.map(str::to_owned));
        let update = followed.client.update_user_pool().user_pool_id(&followed.pool);
        update.lambda_config(config.build()).send().await.unwrap();
    };
    let name = cloudtrail::names("heartbeat_").remove(0);
    let alias = format!("{ours}:live");
    for (confirmation, authentication) in
        [(None, None), (Some(ours), None), (Some(ours), Some(alias.as_str()))]
    {
        set(confirmation, authentication).await;
        succeeded(&followed.invoke(&name, Uuid::nil()).await);
    }
    // A pool that cannot be asked fails no heartbeat.
    followed.client.delete_user_pool().user_pool_id(&followed.pool).send().await.unwrap();
    succeeded(&followed.invoke(&name, Uuid::nil()).await);
    let bodies = queued(&followed.database.deployment).await;
    // In the order of their ids, and so of their times.
    let told: Vec<Value> =
        bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap()["data"].clone()).collect();
    let seen = |confirmation: Option<&str>, authentication: Option<&str>, missing: u8| {
        let mut seen = json!({ "user_pool_id": followed.pool, "region": "eu-west-1", "missing": missing });
        confirmation.into_iter().for_each(|arn| seen["post_confirmation"] = arn.into());
        authentication.into_iter().for_each(|arn| seen["post_authentication"] = arn.into());
        json!({ "pools": [seen] })
    };
    let expected =
        [seen(None, None, 2), seen(Some(ours), None, 1), seen(Some(ours), Some(&alias), 0), Value::Null];
    assert_eq!(told, expected);
    let said: Vec<String> =
        followed.log().into_iter().filter(|line| line.contains("triggers_missing")).collect();
    let missing = ["[2.0]", "[1.0]", "[0.0]"].map(|values| format!("\"triggers_missing\":{values}"));
    assert_eq!(said.len(), missing.len(), "{said:?}");
    assert!(said.iter().zip(&missing).all(|(line, missing)| line.contains(missing)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_takes_nothing_fails_the_invocation() {
    let database = TestDatabase::create().await;
    let missing = format!("{}-missing", database.deployment.queue_url);
    let followed = Followed::start_with(&[("USER_SYNC_QUEUE_URL", &missing)]).await;
    let sub = followed.create("unsent").await;
    let error = failure(followed.invoke("admin_create_user", sub).await);
    assert!(error.contains("the event is not on the queue"), "{error}");
    let log = followed.log();
    assert_eq!((count(&log, "failed", None), count(&log, "published", None)), (1, 0), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_variable_is_named_at_start() {
    let api = LambdaRuntimeApi::start().await;
    let mut function =
        Function::spawn(&binaries::lifecycle(), &api, &[("USER_SYNC_QUEUE_URL", "http://localhost/q")]);
    eventually("the function ends", LIMIT, async || !function.is_alive()).await;
    function.kill();
    let log = function.stderr_lines().join("\n");
    assert!(log.contains("USER_SYNC_USER_POOL_ID"), "{log}");
}

fn heartbeat(database: &TestDatabase, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(binaries::user_sync());
    command.arg("heartbeat").args(arguments).env_clear().envs(database.deployment.environment());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_by_hand_is_seen_to_arrive_while_a_worker_drains() {
    let database = TestDatabase::create().await;
    let worker = Adapter::Worker.start(&database.deployment, &[]).await;
    let output = heartbeat(&database, &["--wait"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let arrived: Uuid =
        sqlx::query_scalar("select heartbeat_id from sync_status").fetch_one(&database.owner).await.unwrap();
    assert!(said.starts_with(&format!("heartbeat {arrived} arrived after ")), "{said}");
    let output = heartbeat(&database, &["--wait", "--json"]).output().await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["seconds"].is_f64() && answer["id"].as_str() > Some(&arrived.to_string()), "{answer}");
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_nobody_takes_names_the_next_step() {
    let database = TestDatabase::create().await;
    let output = heartbeat(&database, &["--wait", "--timeout-seconds=1"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("within 1 s") && error.contains("user-sync doctor"), "{error}");
    // It was sent all the same, and without --wait nothing but the queue is needed.
    let output = heartbeat(&database, &[]).env_remove("DATABASE_URL").output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(queued(&database.deployment).await.len(), 2);
    let output = heartbeat(&database, &["--wait"]).env_remove("DATABASE_URL").output().await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("DATABASE_URL is not set"));
    assert!(queued(&database.deployment).await.is_empty(), "nothing is sent that nobody could see arrive");
}
