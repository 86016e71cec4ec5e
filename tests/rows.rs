//! The rows, as whoever does not reach the database learns of them: by the release program behind Lambda's Invoke, which
//! finds what a connection of one's own finds.

pub(crate) mod inside;

use std::collections::BTreeMap;
use std::time::Duration;

use cognito_user_sync::cognito::reconcile::{Checkpoint, Reconcile, Rows, Tally};
use cognito_user_sync::cognito::user_pool::UserPool;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::postgres;
use cognito_user_sync::store::maintenance::drift::Kind;
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::runs::{self, State, What};
use cognito_user_sync_triggers::event::{Event, EventId, GroupChange, GroupEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};

use self::inside::{CARRIES, Does, Inside, NAME};
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::large_pool::{self, LargePool, Ranges};
use crate::support::pool::{TestPool, apply};
use crate::support::stale_pool::StalePool;
use crate::support::{TestDatabase, binaries, deployment, refusing};

const LIMIT: Duration = Duration::from_secs(120);

/// A database, and the function that reaches it.
struct Scene {
    database: TestDatabase,
    inside: Inside,
    _socket: tokio::net::TcpSocket,
}

impl Scene {
    async fn create() -> Self {
        // First: building it may take longer than a test's users are to be new.
        binaries::operator();
        let database = TestDatabase::of(deployment().await).await;
        // Its subnets may have no way out: it asks nobody but the database.
        let (socket, nowhere) = refusing();
        let environment =
            [&database.deployment.environment()[..], &[("AWS_ENDPOINT_URL", &nowhere)]].concat();
        let inside = Inside::start(&environment).await;
        Self { database, inside, _socket: socket }
    }

    async fn by_database(&self) -> Rows {
        let config = DatabaseConfig::with_url(&self.database.deployment.consumer_url);
        postgres::connect(&config, 1).await.unwrap().into()
    }

    fn by_function(&self) -> Rows {
        Rows::Function(self.inside.client(Duration::from_secs(30)))
    }

    /// The look for drift as it runs outside: with no way into the database.
    async fn outside(&self, pool: &str, variables: &[(&str, &str)]) -> Outside {
        let own = [
            ("USER_SYNC_OPERATION", "drift"),
            ("USER_SYNC_USER_POOL_ID", pool),
            ("USER_SYNC_ROWS_FUNCTION", NAME),
            ("AWS_ENDPOINT_URL_LAMBDA", self.inside.endpoint.as_str()),
        ];
        let folder = tempfile::tempdir().unwrap();
        let home = [("TMPDIR", folder.path().to_str().unwrap())];
        let api = LambdaRuntimeApi::start().await;
        let environment = [&own, variables, &home].concat();
        let function = Function::spawn(&binaries::operator(), &api, &environment);
        api.wait_until_ready(LIMIT).await;
        Outside { api, function, _folder: folder }
    }
}

/// The function outside.
struct Outside {
    api: LambdaRuntimeApi,
    function: Function,
    _folder: tempfile::TempDir,
}

impl Outside {
    async fn ask(&self, payload: &Value, time: Duration) -> Result<Value, String> {
        answer(self.api.invoke(payload.to_string(), time).await)
    }
}

pub(crate) fn answer(invocation: Invocation) -> Result<Value, String> {
    match invocation {
        Invocation::Response { body, .. } => Ok(serde_json::from_slice(&body).unwrap()),
        Invocation::Error { body, .. } => {
            let error: Value = serde_json::from_slice(&body).unwrap();
            Err(error["errorMessage"].as_str().unwrap().to_owned())
        }
        Invocation::TimedOut => panic!("the operator did not answer"),
    }
}

/// What a dry run finds, by these rows, with nobody left to settle.
async fn found(pool: &TestPool, rows: Rows) -> Result<Tally, String> {
    let reconcile = Reconcile {
        user_pool: UserPool::with_client(pool.client.clone(), pool.id.parse().unwrap()).at_rate(100_000),
        rows,
        publisher: None,
        settle: Duration::ZERO,
        claim_rows_without_pool: false,
        max_deletions: u64::MAX,
        groups: true,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint =
        Checkpoint::open(&folder.path().join("x"), &pool.id, reconcile.mode(), None, true).unwrap();
    reconcile.check_table().await.unwrap();
    let ran = Box::pin(reconcile.run(&mut checkpoint, |_, _| {})).await;
    ran.map_err(|error| cognito_user_sync::logging::causes(&error))?;
    Ok(checkpoint.tally().clone())
}

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - seconds * 1_000)
}

/// Rows that name no pool, somebody who was erased, and groups that differ in each way.
async fn differ_in_other_ways(database: &TestDatabase, pool: &TestPool) {
    for name in ["adopted-1", "adopted-2", "erased"] {
        pool.add(name, &[("email", &format!("{name}@example.com"))]).await;
    }
    let users = pool.users().await;
    let added = users.iter().filter(|user| ["adopted-1", "adopted-2", "erased"].contains(&&*user.username));
    let added: Vec<_> = added.collect();
    apply(&database.applier, &added.iter().map(|user| Event::User(pool.snapshot(user))).collect::<Vec<_>>())
        .await;
    let adopted = "begin; set local user_sync.service = 'on';
        update users set user_pool_id = null where cognito_username like 'adopted-%'; commit";
    sqlx::raw_sql(adopted).execute(&database.owner).await.unwrap();
    pool.delete("adopted-1").await;
    let erased = added.iter().find(|user| user.username == "erased").unwrap().sub;
    let operator = DatabaseConfig::with_url(&database.deployment.operator_url);
    erase(&postgres::connect(&operator, 2).await.unwrap(), erased, false).await.unwrap();

    let users = pool.users().await;
    for group in ["large", "empty"] {
        pool.create_group(group).await;
    }
    for user in users.iter().take(70) {
        pool.join(&user.username, "large").await;
    }
    let know = |group: &str, change| {
        let (user_pool_id, group) = (pool.id.clone().into(), group.to_owned().into());
        Event::Group(GroupEvent { id: EventId::new(ago(300)), user_pool_id, group, change })
    };
    let known = [
        know("large", GroupChange::Joined(users[0].sub)),
        know("large", GroupChange::Joined(users[100].sub)),
        know("empty", GroupChange::Joined(users[1].sub)),
        know("ghost", GroupChange::Joined(users[2].sub)),
        know("ghost", GroupChange::Joined(users[3].sub)),
    ];
    apply(&database.applier, &known).await;
    // Times count by the second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_drift_is_found_by_the_function_as_by_the_database() {
    let scene = Scene::create().await;
    let pool = TestPool::create(&scene.database.deployment.endpoint).await;
    let mut expected = pool.drift(&scene.database.applier, 300, 3).await;
    differ_in_other_ways(&scene.database, &pool).await;
    // Who has no pool in the row, and is in the pool; who is not; and who was erased.
    *expected.entry(Kind::Identity).or_default() += 1;
    expected.extend([(Kind::Unclaimed, 1), (Kind::ErasedButPresent, 1)]);
    let before = scene.database.rows().await;

    let by_database = found(&pool, scene.by_database().await).await.unwrap();
    assert_eq!(by_database.drift, expected);
    let groups = &by_database.groups;
    assert_eq!((groups.left_out, groups.joined, groups.left, groups.deleted), (None, 69, 2, 1), "{groups:?}");
    let by_function = found(&pool, scene.by_function()).await.unwrap();
    assert_eq!(by_function, by_database);

    let asked: BTreeMap<String, usize> =
        scene.inside.asked().into_iter().fold(BTreeMap::new(), |mut asked, (question, ..)| {
            *asked.entry(question).or_default() += 1;
            asked
        });
    let questions =
        ["another_pool", "compare", "groups_are_kept", "memberships_after", "outside", "rows_after"];
    assert_eq!(asked.keys().collect::<Vec<_>>(), questions, "{asked:?}");
    assert_eq!(scene.database.rows().await, before, "nothing was changed");
    let log = scene.inside.log();
    assert!(!log.contains("@example.com") && !log.contains("user-1"), "{log}");
}

/// What is asked of a table that is mostly deleted, or another pool's, has no names.
#[tokio::test(flavor = "multi_thread")]
async fn only_names_that_the_pool_may_have_to_be_asked_for_leave() {
    let scene = Scene::create().await;
    let pool = TestPool::create(&scene.database.deployment.endpoint).await;
    pool.drift(&scene.database.applier, 100, 1).await;
    let rows = |pool: &str| {
        let question =
            json!({ "rows_after": { "user_pool_id": pool, "after": uuid::Uuid::nil(), "limit": 5_000 } });
        let question = serde_json::to_string(&question).unwrap();
        let client = scene.inside.client(Duration::from_secs(30));
        async move {
            let question = serde_json::from_str(&question).ok().unwrap();
            client.ask::<Vec<cognito_user_sync::store::maintenance::drift::Row>>(&question).await.unwrap()
        }
    };
    let own = rows(&pool.id).await;
    let named = own.iter().filter(|row| row.username.is_some()).count();
    let deleted = own.iter().filter(|row| row.is_deleted).count();
    assert!(deleted > 0 && named > 0, "{own:?}");
    assert_eq!(named + deleted, own.len());
    assert!(rows("eu-west-1_Another00").await.iter().all(|row| row.username.is_none()));
}

/// A page of users with as much in their attributes as Cognito permits is more than Lambda carries.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_larger_than_lambda_carries_is_asked_in_parts() {
    const USERS: usize = 60;
    let scene = Scene::create().await;
    let pool = TestPool::create(&scene.database.deployment.endpoint).await;
    let names: Vec<String> = (0..50).map(|number| format!("custom:attribute{number}")).collect();
    let value = "\u{1}x".repeat(1_024);
    let attributes: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    for user in 0..USERS {
        pool.add(&format!("user-{user}"), &attributes).await;
    }
    let users = pool.users().await;
    assert!(users.iter().all(|user| user.attributes.len() == 50), "the emulator keeps them");
    let older = |(number, user): (usize, &_)| {
        let mut snapshot = pool.snapshot(user);
        if number % 2 == 0 {
            snapshot.data.attributes.insert("custom:attribute7".into(), "another".into());
        }
        Event::User(snapshot)
    };
    apply(&scene.database.applier, &users.iter().enumerate().map(older).collect::<Vec<_>>()).await;

    let by_database = found(&pool, scene.by_database().await).await.unwrap();
    assert_eq!(by_database.drift, [(Kind::Attributes, 30)].into());
    assert_eq!(found(&pool, scene.by_function()).await.unwrap(), by_database);
    let sizes: Vec<usize> = scene
        .inside
        .asked()
        .into_iter()
        .filter(|(question, ..)| question == "compare")
        .map(|(_, size, _)| size)
        .collect();
    assert!(sizes.iter().sum::<usize>() > 3 * CARRIES, "the page has more than Lambda carries: {sizes:?}");
    assert!(sizes.iter().all(|size| *size < CARRIES), "{sizes:?}");
    assert!(sizes.iter().any(|size| *size > CARRIES / 2), "{sizes:?}");
}

/// The operation as it is deployed: no variable of the database, and no way to it.
#[tokio::test(flavor = "multi_thread")]
async fn the_look_for_drift_outside_answers_as_the_one_that_reaches_the_database() {
    const USERS: u64 = 2_000;
    let scene = Scene::create().await;
    large_pool::fill(&scene.database.owner, USERS).await;
    for (ranges, time) in [(Ranges::Known, LIMIT), (Ranges::Known, Duration::from_secs(16))] {
        let stub = LargePool::start_with(USERS, ranges).await;
        let endpoint = stub.endpoint();
        let direct =
            [&scene.database.deployment.environment()[..], &[("AWS_ENDPOINT_URL", endpoint.as_str())]]
                .concat();
        let (api, folder) = (LambdaRuntimeApi::start().await, tempfile::tempdir().unwrap());
        let own = [
            ("USER_SYNC_OPERATION", "drift"),
            ("USER_SYNC_USER_POOL_ID", large_pool::ID),
            ("TMPDIR", folder.path().to_str().unwrap()),
        ];
        let _direct = Function::spawn(&binaries::operator(), &api, &[&direct, &own[..]].concat());
        let expected = answer(api.invoke(r#"{"drift":true}"#, LIMIT).await).unwrap();

        let outside = scene.outside(large_pool::ID, &[(StalePool::VARIABLE, &endpoint)]).await;
        let (mut payload, mut calls) = (json!({ "drift": true }), 0);
        let found = loop {
            calls += 1;
            assert!(calls < 20, "{payload}");
            let is_last = payload["drift"].get("next") == Some(&Value::Null);
            let answered = outside.ask(&payload, if is_last { LIMIT } else { time }).await.unwrap();
            match answered.get("unfinished") {
                Some(unfinished) => payload = json!({ "drift": unfinished }),
                None => break answered,
            }
        };
        assert_eq!(calls > 1, time < LIMIT, "{calls}");
        assert_eq!((&found["toRepair"], &found["rows"]), (&expected["toRepair"], &expected["rows"]));
        let drift = large_pool::drift(USERS);
        // Everybody is in a group that the table does not know.
        assert!(found["toRepair"].as_u64().unwrap() > drift[&Kind::Missing] + drift[&Kind::Gone], "{found}");
        assert!(!outside.function.stderr_lines().join("\n").contains("example.com"));
        // However many calls it took, it is one run.
        let written = runs::history(scene.database.applier.database(), What::Drift, 1).await.unwrap();
        assert_eq!((written.len(), written[0].state), (if calls > 1 { 4 } else { 2 }, State::Ended));
        // Users without a sub are in no range.
        let without_sub = if calls > 1 { 0 } else { drift[&Kind::WithoutSub] };
        let done = USERS - drift[&Kind::WithoutSub] + without_sub;
        let differ = found["toRepair"].as_u64().unwrap() + without_sub;
        assert_eq!((written[0].done, written[0].found()), (done, Some(differ)));
    }
    let questions: Vec<_> = scene.inside.asked();
    assert!(questions.iter().any(|(question, ..)| question == "estimated_rows"));
}

/// Outside there is no way to the table: the function inside writes down how the check goes.
#[tokio::test(flavor = "multi_thread")]
async fn the_look_for_drift_is_written_down_by_the_function_and_goes_on_where_that_is_older() {
    let scene = Scene::create().await;
    let pool = TestPool::create(&scene.database.deployment.endpoint).await;
    pool.add("ada", &[("email", "ada@example.com")]).await;
    let gone = crate::support::events::login(7, crate::support::events::at(1)).pool(&pool.id).build();
    apply(&scene.database.applier, &[gone]).await;
    let cognito = scene.database.deployment.endpoint.clone();
    let outside = scene.outside(&pool.id, &[("AWS_ENDPOINT_URL", &cognito)]).await;
    let begin = json!({ "drift": true });
    let answered = outside.ask(&begin, LIMIT).await.unwrap();
    let seen = async || {
        let seen = runs::latest(scene.database.applier.database()).await.unwrap();
        seen.into_iter().find(|run| run.what == What::Drift).unwrap()
    };
    let written = seen().await;
    assert_eq!((written.state, written.done), (State::Ended, 1), "{written:?}");
    assert_eq!((written.found(), written.kinds()), (answered["toRepair"].as_u64(), vec![("gone", 1)]));
    assert_eq!(written.scope, json!({ "user_pool_id": pool.id, "mode": "dry_run", "groups": true }));
    assert_eq!(written.findings.as_ref().unwrap()["requests"], answered["requests"]);

    // A function of the release before: said once, and the check answers the same.
    scene.inside.now(Does::HasNoAnswer("note_run"));
    assert_eq!(outside.ask(&begin, LIMIT).await.unwrap()["toRepair"], answered["toRepair"]);
    let log = outside.function.stderr_lines().join("\n");
    assert_eq!(log.matches("is not written down").count(), 1, "{log}");
    assert_eq!(seen().await, written);
    // A database of before.
    scene.inside.now(Does::Calls);
    sqlx::query("drop table user_sync_runs").execute(&scene.database.owner).await.unwrap();
    assert_eq!(outside.ask(&begin, LIMIT).await.unwrap()["toRepair"], answered["toRepair"]);
    let log = outside.function.stderr_lines().join("\n") + &scene.inside.log();
    assert!(!log.contains("example.com"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_function_cannot_do_is_said_with_a_remedy_and_a_throttle_is_waited_for() {
    let scene = Scene::create().await;
    let pool = TestPool::create(&scene.database.deployment.endpoint).await;
    pool.add("ada", &[("email", "ada@example.com")]).await;
    let cognito = scene.database.deployment.endpoint.clone();
    let outside = scene.outside(&pool.id, &[("AWS_ENDPOINT_URL", &cognito)]).await;
    let begin = json!({ "drift": true });
    // Before each question's answer, so to say.
    scene.inside.now(Does::Throttles(3));
    let answered = outside.ask(&begin, LIMIT).await.unwrap();
    assert_eq!(answered["compared"], 1, "{answered}");
    for (does, words) in [
        (Does::Refuses(403, "AccessDeniedException"), "permit lambda:InvokeFunction on it"),
        (Does::Refuses(404, "ResourceNotFoundException"), "check USER_SYNC_ROWS_FUNCTION"),
        (
            Does::Fails(
                r#"{"errorType":"Sandbox.Timedout","errorMessage":"1 Task timed out after 60.00 seconds"}"#,
            ),
            "see that its subnets and security group reach the database",
        ),
        (
            Does::Fails(r#"{"errorType":"KeyError","errorMessage":"ada@example.com"}"#),
            "USER_SYNC_ROWS_FUNCTION names it",
        ),
    ] {
        scene.inside.now(does.clone());
        let refused = outside.ask(&begin, LIMIT).await.unwrap_err();
        assert!(
            refused.contains(words) && refused.contains("USER_SYNC_ROWS_FUNCTION"),
            "{does:?}: {refused}"
        );
        assert!(!refused.contains("ada@"), "{refused}");
    }
    // One that never answers, and one that is always throttled, by somebody with less patience.
    for (does, words) in [
        (Does::IsSilent, "no answer in time"),
        (Does::Throttles(u32::MAX), "TooManyRequestsException): as many functions run"),
    ] {
        scene.inside.now(does);
        let rows = Rows::Function(scene.inside.client(Duration::from_millis(600)));
        let refused = found_first(&pool, rows).await;
        assert!(refused.contains(words), "{refused}");
    }
}

/// What a comparison says whose first question fails.
async fn found_first(pool: &TestPool, rows: Rows) -> String {
    let reconcile = Reconcile {
        user_pool: UserPool::with_client(pool.client.clone(), pool.id.parse().unwrap()),
        rows,
        publisher: None,
        settle: Duration::ZERO,
        claim_rows_without_pool: false,
        max_deletions: u64::MAX,
        groups: true,
    };
    cognito_user_sync::logging::causes(&reconcile.check_table().await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_is_told_outside() {
    let scene = Scene::create().await;
    let url = scene.database.deployment.consumer_url.clone();
    let (login, server) = url.split_once('@').unwrap();
    let user = login.split_once("://").unwrap().1.split_once(':').unwrap().0;
    let refused = format!("postgres://{user}:wrong-5a1c@{server}");
    let (_socket, nowhere) = refusing();
    let nowhere = nowhere.replace("http://", &format!("postgres://{user}:wrong-5a1c@")) + "/nothing";
    for (url, words) in [(refused, "the server refuses the login"), (nowhere, "the database does not answer")]
    {
        let inside = Inside::start(&[("DATABASE_URL", &url)]).await;
        let said = inside.client(LIMIT).ask::<Value>(&heartbeat()).await.unwrap_err().to_string();
        let at = url.split('@').nth(1).unwrap().split('/').next().unwrap();
        assert!(said.contains(words) && said.contains(at), "{said}");
        assert!(said.contains("the function user-sync-rows failed"), "{said}");
        assert!(!said.contains("wrong-5a1c") && !inside.log().contains("wrong-5a1c"), "{said}");
    }
    // Nothing else is answered, and what was asked is not repeated.
    let api = LambdaRuntimeApi::start().await;
    let environment =
        [&scene.database.deployment.environment()[..], &[("USER_SYNC_OPERATION", "rows")]].concat();
    let function = Function::spawn(&binaries::operator(), &api, &environment);
    for payload in [json!({ "drift": true }), json!({ "rows": { "repair": { "email": "ada@example.com" } } })]
    {
        let said = answer(api.invoke(payload.to_string(), LIMIT).await).unwrap_err();
        assert!(said.contains("no question about rows that this build knows"), "{said}");
    }
    assert!(!function.stderr_lines().join("\n").contains("ada@"));
    // A heartbeat that is not there, and one that is.
    let asked = json!({ "rows": { "heartbeat": EventId::new(ago(10)) } });
    let said = answer(api.invoke(asked.to_string(), LIMIT).await).unwrap();
    assert_eq!(said, json!({ "arrived": false, "latest": null }));
    let id = EventId::new(Timestamp::from_unix_millis(1_700_000_000_000));
    scene.database.apply(&[Event::heartbeat(EventId::new(ago(5)))]).await;
    let asked = json!({ "rows": { "heartbeat": id } });
    let said = answer(api.invoke(asked.to_string(), LIMIT).await).unwrap();
    assert_eq!(said["arrived"], true, "{said}");
    assert!(said["latest"].is_string(), "{said}");
}

fn heartbeat() -> cognito_user_sync::store::maintenance::drift::questions::Question<'static> {
    cognito_user_sync::store::maintenance::drift::questions::Question::Heartbeat(EventId::new(ago(1)))
}
