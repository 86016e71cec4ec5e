//! Everybody in the pool, published without a database: the first fill of a table that only the consumer reaches.

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::postgres;
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync_triggers::event::GroupChange;

use super::*;
use crate::support::send;

impl Scene {
    /// The program without a database, at full speed.
    fn publishing(&self, arguments: &[&str]) -> tokio::process::Command {
        let flags = ["--publish-all", "--max-requests-per-second=1000"];
        let mut command = self.command(&[&flags, arguments].concat());
        command.env_remove("DATABASE_URL");
        command
    }

    async fn publish_all(&self, arguments: &[&str]) -> (Found, String) {
        let output = self.publishing(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (Found::read(&output), stderr(&output))
    }

    /// Users of every status that an administrator can make: half of them confirmed, disabled or reset.
    async fn with_statuses(users: usize) -> Self {
        let scene = Self::create().await;
        scene.pool.add_many(users).await;
        for number in (0..users).step_by(2) {
            let name = format!("user-{number}");
            scene.pool.confirm(&name).await;
            match number % 6 {
                0 => {}
                2 => scene.pool.disable(&name).await,
                _ => {
                    let request = scene.pool.client.admin_reset_user_password();
                    request.user_pool_id(&scene.pool.id).username(name).send().await.unwrap();
                }
            }
        }
        scene
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_published_without_a_database_and_once_is_as_good_as_twice() {
    let scene = Scene::with_statuses(130).await;
    for group in ["large", "small", "empty"] {
        scene.pool.create_group(group).await;
    }
    for number in 0..130 {
        scene.pool.join(&format!("user-{number}"), "large").await;
    }
    scene.pool.join("user-7", "small").await;
    let (published, said) = scene.publish_all(&[]).await;
    assert_eq!((published.number("users"), published.number("without_sub")), (130, 0));
    assert_eq!(published.0["published"], serde_json::json!({ "snapshots": 130, "joined": 131 }));
    assert_eq!(published.0["requests"]["list_users"], 3, "{published:?}");
    assert_eq!(published.0["requests"]["admin_get_user"], 0);
    for words in [
        "about 130 users: 130 messages, and one for each membership of a group",
        "13 SendMessageBatch requests",
        "less than 0.01 USD at 0.40 USD a million (Amazon SQS pricing: a standard queue in us-east-1",
        "other Regions have other prices",
        "3 ListUsers requests, at most 1000 a second",
        "nobody becomes a monthly active user",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!scene.folder().exists(), "the checkpoint is removed at the end");
    assert_eq!(scene.database.deployment.queue().backlog().await.unwrap(), 261);
    scene.drain().await;
    assert_eq!(scene.dry_run().await.drift(), [].into());
    scene.must_be_mended(0).await;
    scene.must_agree(131).await;
    assert_eq!(scene.database.count("users where login_count = 0").await, 130);
    let statuses = "(select distinct cognito_status, enabled from users) as statuses";
    assert_eq!(scene.database.count(statuses).await, 4, "not all statuses are there");

    // All but which event has said it.
    let rows = async || {
        let mut rows = scene.database.rows().await;
        for row in rows.iter_mut().filter_map(Value::as_object_mut) {
            row.retain(|column, _| !column.ends_with("_version") && column != "whole_snapshot_id");
        }
        rows
    };
    let once = rows().await;
    scene.publish_all(&[]).await;
    scene.drain().await;
    let twice = rows().await;
    assert_eq!(once.iter().zip(&twice).find(|(once, twice)| once != twice), None);
    let snapshots = scene.database.count("user_events where type = 'user.snapshot'").await;
    assert_eq!((once.len(), snapshots), (twice.len(), 260));
    scene.must_be_mended(0).await;
    scene.must_agree(131).await;
}

/// What a user has signed in with or changed, and what has become of users and memberships, is newer than the answer of a
/// pool that may lag.
#[tokio::test(flavor = "multi_thread")]
async fn beside_sign_ins_nothing_that_the_table_knows_is_lost() {
    let scene = Scene::create().await;
    scene.pool.add_many(70).await;
    let users = scene.pool.users().await;
    let pool = &scene.pool;
    let event = |sub: Uuid, kind, attributes: &[(&'static str, &'static str)]| {
        let attributes = attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (id, user_pool_id) = (EventId::new(Timestamp::now()), pool.id.clone().into());
        let data = Data { user_name: Some("known".into()), attributes, ..Data::default() };
        Event::User(UserEvent { id, user_pool_id, sub, kind, data })
    };
    let [gone, erased, changed, kept] = [0, 1, 2, 3].map(|at: usize| users[at].sub);
    let snapshots: Vec<_> = users.iter().map(|user| Event::User(pool.snapshot(user))).collect();
    apply(&scene.database.applier, &snapshots).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    apply(&scene.database.applier, &[event(gone, Kind::Deleted, &[])]).await;
    apply(&scene.database.applier, &[event(changed, Kind::Authenticated, &[("given_name", "Newer")])]).await;
    let operator = DatabaseConfig::with_url(&scene.database.deployment.operator_url);
    erase(&postgres::connect(&operator, 2).await.unwrap(), erased, false).await.unwrap();
    let bio = "update users set bio = 'mine', row_version = row_version + 1 where id = $1";
    sqlx::query(bio).bind(kept).execute(&scene.database.owner).await.unwrap();
    // Who has left a group a moment ago is still listed in it.
    pool.create_group("left").await;
    pool.join(&users[3].username, "left").await;
    let left = super::groups::group_event(&pool.id, "left", GroupChange::Left(kept), Timestamp::now());
    apply(&scene.database.applier, &[left]).await;

    let worker = Adapter::Worker.start(&scene.database.deployment, &[]).await;
    let sign_ins = async {
        let mut sent = 0_u64;
        for round in 0..20 {
            let subs = users.iter().skip(4 + round % 3).step_by(2).map(|user| user.sub);
            let bodies: Vec<String> = subs.map(|sub| event(sub, Kind::Authenticated, &[]).encode()).collect();
            send(&scene.database.deployment, &bodies).await;
            sent += bodies.len() as u64;
        }
        sent
    };
    let fills = async {
        scene.publish_all(&["--settle-seconds=600"]).await;
        scene.publish_all(&["--settle-seconds=600"]).await;
    };
    let (sent, ()) = tokio::join!(sign_ins, fills);
    worker.drained(&scene.database.deployment).await;
    worker.end().await;
    assert_eq!(dead_letters(&scene.database.deployment).await, []);
    let counted = "select sum(login_count)::bigint from users";
    let counted: i64 = sqlx::query_scalar(counted).fetch_one(&scene.database.owner).await.unwrap();
    assert_eq!(u64::try_from(counted).unwrap(), sent + 1);
    let column = async |sub, column| scene.database.column(sub, column).await;
    assert_eq!(column(gone, "is_deleted").await.as_deref(), Some("true"));
    assert_eq!(column(erased, "email").await, None);
    assert_eq!(column(erased, "cognito_username").await, None);
    assert_eq!(column(changed, "first_name").await.as_deref(), Some("Newer"));
    assert_eq!(column(kept, "bio").await.as_deref(), Some("mine"));
    assert_eq!(scene.database.count("user_sync_user_groups").await, 0);
    assert_eq!(scene.database.count("users").await, 70);
    let mut differences = Vec::new();
    let database = scene.database.applier.database();
    verify(database, &GeoIp::default(), |difference| differences.push(difference), |_| {}).await.unwrap();
    assert_eq!(differences, []);
}

/// Before and after a request of ten messages is on the queue, among the users and among the members.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_killed_while_it_publishes_goes_on_and_counts_each_user_once() {
    let scene = Scene::create().await;
    scene.pool.add_many(300).await;
    scene.pool.create_group("all").await;
    for number in 0..300 {
        scene.pool.join(&format!("user-{number}"), "all").await;
    }
    // A page is six requests, so that the last one is among the members.
    scene.killed_at("--publish-all", &[(1, true), (9, false), (8, true), (25, false)]).await;
    let (published, said) = scene.publish_all(&[]).await;
    assert_eq!((&published.0["resumed"], published.number("users")), (&Value::Bool(true), 300));
    assert_eq!(published.0["published"], serde_json::json!({ "snapshots": 300, "joined": 300 }));
    assert!(said.contains("an earlier run has published 300 of them"), "{said}");
    scene.drain().await;
    scene.must_be_mended(0).await;
    scene.must_agree(300).await;
    assert_eq!(scene.dry_run().await.drift(), [].into());
    assert_eq!(scene.database.count("users where login_count = 0").await, 300);
}

/// Users of other identity providers, some who can have no row, and groups that the role may not list.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_said() {
    let scene = Scene::create().await;
    let stub = LargePool::start(1_230).await;
    let of_stub = |mut command: tokio::process::Command, flags: &[&str]| {
        command
            .args(["--user-pool-id", large_pool::ID])
            .args(flags)
            .env(StalePool::VARIABLE, stub.endpoint());
        command
    };
    let output = of_stub(scene.publishing(&[]), &[]).output().await.unwrap();
    let published = Found::read(&output);
    assert_eq!((published.number("users"), published.number("without_sub")), (1_230, 1), "{published:?}");
    assert_eq!(published.0["published"]["snapshots"], 1_229);
    scene.drain().await;
    let flags = ["--settle-seconds=0", "--max-requests-per-second=1000"];
    let found = Found::read(&of_stub(scene.command(&[]), &flags).output().await.unwrap());
    assert_eq!((found.drift(), found.groups()), ([(Drift::WithoutSub, 1)].into(), (0, 0, 0, 0)));

    let stub = StalePool::without_phone_since(Timestamp::now(), 0).await;
    stub.pool().denied = true;
    let mut command = scene.publishing(&[]);
    let output = command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
    let published = Found::read(&output);
    assert_eq!((&published.0["groups"]["left_out"], published.number("users")), (&"denied".into(), 1));
    assert_eq!(scene.publish_all(&["--without-groups"]).await.0.0["groups"]["left_out"], "not_asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_takes_is_said_before_and_a_dry_run_publishes_nothing() {
    let scene = Scene::create().await;
    let stub = LargePool::start(1_000_000).await;
    let mut command = scene.command(&["--publish-all", "--dry-run", "--user-pool-id", large_pool::ID]);
    command.env_remove("DATABASE_URL").env_remove("USER_SYNC_QUEUE_URL");
    let output = command.env(StalePool::VARIABLE, stub.endpoint()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let plan = &Found::read(&output).0["plan"];
    assert_eq!((&plan["messages"], &plan["send_requests"]), (&1_000_000.into(), &100_000.into()));
    for words in ["16667 ListUsers requests, at most 15 a second", "19 min or more", "about 0.12 USD"] {
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert_eq!((stub.asked("ListUsers"), stub.asked("DescribeUserPool")), (0, 1));
    assert_eq!(scene.database.deployment.queue().backlog().await.unwrap(), 0);

    let refused = async |command: &mut tokio::process::Command, code: i32, words: &str| {
        let output = command.output().await.unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    };
    let mut without_queue = scene.publishing(&[]);
    refused(without_queue.env_remove("USER_SYNC_QUEUE_URL"), 1, "USER_SYNC_QUEUE_URL is not set").await;
    refused(&mut scene.publishing(&["--repair"]), 2, "cannot be used with").await;
    refused(&mut scene.publishing(&["--user-pool-id=eu-west-1_Nowhere00"]), 1, "there is no user pool").await;
    let nowhere = format!("{}-nowhere", scene.database.deployment.queue_url);
    scene.pool.add("ada", &[]).await;
    let mut command = scene.publishing(&[]);
    refused(command.env("USER_SYNC_QUEUE_URL", nowhere), 1, "run the same command again").await;
    // What was published to another queue would be lacking in this one.
    refused(&mut scene.publishing(&[]), 1, "discard it with --restart").await;
    let (published, _) = scene.publish_all(&["--restart"]).await;
    assert_eq!((published.number("users"), &published.0["resumed"]), (1, &Value::Bool(false)));
    scene.was_interrupted(&scene.pool.id, "users", None);
    refused(&mut scene.publishing(&[]), 1, "holds the checkpoint of a repair").await;
}
