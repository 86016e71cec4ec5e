//! Who is in which group, in the pool and in the tables.

use std::collections::BTreeSet;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::postgres;
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync_triggers::event::{GroupChange, GroupEvent};

use super::*;

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - seconds * 1_000)
}

pub(super) fn group_event(pool: &str, group: &str, change: GroupChange, at: Timestamp) -> Event<'static> {
    let (user_pool_id, group) = (pool.to_owned().into(), group.to_owned().into());
    Event::Group(GroupEvent { id: EventId::new(at), user_pool_id, group, change })
}

impl Scene {
    /// A pool and a table with the same users, `user-0` and so on.
    async fn with_users(users: usize) -> Self {
        let scene = Self::create().await;
        for number in 0..users {
            scene.pool.add(&format!("user-{number}"), &[]).await;
        }
        let users = scene.pool.users().await;
        let snapshots: Vec<_> = users.iter().map(|user| Event::User(scene.pool.snapshot(user))).collect();
        apply(&scene.database.applier, &snapshots).await;
        scene
    }

    async fn sub(&self, username: &str) -> Uuid {
        self.pool.users().await.into_iter().find(|user| user.username == username).unwrap().sub
    }

    async fn know(&self, group: &str, change: GroupChange, at: Timestamp) {
        apply(&self.database.applier, &[group_event(&self.pool.id, group, change, at)]).await;
    }

    /// Who is in which group by the application's view, and by the pool, by a question of the test's own.
    pub(super) async fn memberships(&self) -> [BTreeSet<(Uuid, String)>; 2] {
        let query = "select user_id, name from user_sync_user_groups";
        let shown: Vec<(Uuid, String)> = sqlx::query_as(query).fetch_all(&self.database.owner).await.unwrap();
        let mut listed = BTreeSet::new();
        for user in self.pool.users().await {
            let request = self.pool.client.admin_list_groups_for_user().user_pool_id(&self.pool.id);
            let groups = request.username(&user.username).send().await.unwrap().groups.unwrap_or_default();
            listed.extend(groups.into_iter().map(|group| (user.sub, group.group_name.unwrap())));
        }
        [shown.into_iter().collect(), listed]
    }

    pub(super) async fn must_agree(&self, members: usize) {
        let [shown, listed] = self.memberships().await;
        assert_eq!((shown.len(), &shown), (members, &listed));
        let found = self.dry_run().await;
        assert_eq!(found.groups(), (0, 0, 0, 0));
        let database = self.database.applier.database();
        let mut differences = Vec::new();
        verify(database, &GeoIp::default(), |difference| differences.push(difference), |_| {}).await.unwrap();
        assert_eq!(differences, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_which_group_is_found_and_mended_exactly() {
    let scene = Scene::with_users(130).await;
    let pool = &scene.pool;
    for group in ["large", "small", "empty"] {
        pool.create_group(group).await;
    }
    for number in 0..130 {
        pool.join(&format!("user-{number}"), "large").await;
    }
    pool.join("user-7", "small").await;
    let found = scene.dry_run().await;
    assert_eq!((found.groups(), found.drift()), ((131, 0, 0, 0), [].into()));
    assert_eq!((&found.0["groups"]["groups"], &found.0["groups"]["members"]), (&3.into(), &131.into()));
    assert_eq!(scene.database.deployment.queue().backlog().await.unwrap(), 0, "a dry run publishes nothing");
    let repaired = scene.run(&["--repair"]).await;
    assert_eq!((Found::read(&repaired).groups(), repaired.status.code()), ((131, 0, 0, 0), Some(0)));
    scene.drain().await;
    scene.must_agree(131).await;

    // Times count by the second: what is asked in the second of what is known is left alone.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // What no event has told: two leave, one comes, a group is deleted, and another is made again.
    pool.leave("user-0", "large").await;
    pool.leave("user-129", "large").await;
    pool.join("user-0", "empty").await;
    pool.delete_group("small").await;
    // Known of groups that the pool never had, and of another pool's, of which nothing is known here.
    scene.know("ghost", GroupChange::Joined(scene.sub("user-1").await), ago(300)).await;
    scene.know("ghost", GroupChange::Joined(scene.sub("user-2").await), ago(200)).await;
    scene.know("large", GroupChange::Joined(Uuid::from_u128(7)), ago(200)).await;
    let stranger =
        group_event("eu-west-1_Another00", "their", GroupChange::Joined(Uuid::from_u128(8)), ago(200));
    apply(&scene.database.applier, &[stranger]).await;
    assert_eq!(scene.dry_run().await.groups(), (1, 3, 2, 0));
    let repaired = Found::read(&scene.run(&["--repair"]).await);
    assert_eq!(repaired.groups(), (1, 3, 2, 0));
    scene.drain().await;
    let [mut shown, listed] = scene.memberships().await;
    shown.retain(|(_, group)| group != "their");
    assert_eq!((shown.len(), &shown), (129, &listed));
    assert_eq!(scene.dry_run().await.groups(), (0, 0, 0, 0));
}

/// Reads may lag behind what an event has told a moment ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_membership_that_changed_a_moment_ago_is_left_to_the_events_under_way() {
    let scene = Scene::with_users(3).await;
    scene.pool.create_group("editors").await;
    for (user, changed, at) in [("user-0", true, 30), ("user-1", false, 30), ("user-2", true, 3_000)] {
        let sub = scene.sub(user).await;
        let change = if changed { GroupChange::Joined(sub) } else { GroupChange::Left(sub) };
        scene.know("editors", change, ago(at)).await;
        if !changed {
            scene.pool.join(user, "editors").await;
        }
    }
    let output = scene.command(&["--repair", "--settle-seconds=600"]).output().await.unwrap();
    assert_eq!(Found::read(&output).groups(), (0, 1, 0, 2), "{}", stderr(&output));
    let erased = scene.sub("user-1").await;
    let operator = DatabaseConfig::with_url(&scene.database.deployment.operator_url);
    erase(&postgres::connect(&operator, 2).await.unwrap(), erased, false).await.unwrap();
    assert_eq!(scene.dry_run().await.groups(), (0, 2, 0, 0), "who was erased joins nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_of_groups_killed_while_it_publishes_counts_each_membership_once() {
    let scene = Scene::with_users(70).await;
    scene.pool.create_group("all").await;
    for number in 0..70 {
        scene.pool.join(&format!("user-{number}"), "all").await;
    }
    for number in 0..20 {
        scene.know("gone", GroupChange::Joined(scene.sub(&format!("user-{number}")).await), ago(200)).await;
        scene.pool.leave(&format!("user-{number}"), "all").await;
        scene.know("all", GroupChange::Joined(scene.sub(&format!("user-{number}")).await), ago(200)).await;
    }
    let expected = (50, 20, 1, 0);
    assert_eq!(scene.dry_run().await.groups(), expected);
    scene.repair_killed_at([(1, true), (20, false), (55, true), (10, false)].as_slice()).await;
    let output = scene.run(&["--repair"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let found = Found::read(&output);
    assert_eq!((found.groups(), &found.0["resumed"]), (expected, &Value::Bool(true)));
    scene.drain().await;
    scene.must_agree(50).await;
}

/// A group that was not listed is gone only if the pool says so when it is asked for its members, too; one that was
/// listed and is gone now is left to its event.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_deleted_only_when_the_pool_denies_it_twice() {
    let scene = Scene::create().await;
    let stub = StalePool::without_phone_since(ago(86_400), 0).await;
    let sub = stub.pool().sub;
    stub.pool().groups = [("unlisted", (false, true)), ("lost", (true, false))].into();
    for group in ["unlisted", "lost", "gone"] {
        let joined = [sub, Uuid::from_u128(9)].map(GroupChange::Joined);
        for change in joined {
            scene.know(group, change, ago(200)).await;
        }
    }
    let began_at = Timestamp::now();
    let mut command = scene.command(&["--repair", "--settle-seconds=0"]);
    let output = command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
    assert_eq!(Found::read(&output).groups(), (0, 0, 1, 4), "{}", stderr(&output));
    let queued = queued(&scene.database.deployment).await;
    let groups: Vec<(String, GroupChange, Timestamp)> = queued
        .iter()
        .filter_map(|body| match Event::decode(body).unwrap() {
            Event::Group(event) => Some((event.group.to_string(), event.change, event.id.time())),
            _ => None,
        })
        .collect();
    let [(group, GroupChange::Deleted, at)] = groups.as_slice() else { panic!("{groups:?}") };
    assert!(group == "gone" && *at >= began_at, "{groups:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_cannot_be_compared_are_left_out_and_said_to_be() {
    let scene = Scene::create().await;
    let stub = StalePool::without_phone_since(ago(86_400), 0).await;
    stub.pool().denied = true;
    let left_out = async |arguments: &[&str], reason: &str, words: &str| {
        let mut command = scene.command(&[arguments, &["--settle-seconds=0"]].concat());
        let output = command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
        let found = Found::read(&output);
        assert_eq!((&found.0["groups"]["left_out"], found.number("users")), (&reason.into(), 1));
        assert_eq!(
            output.status.code(),
            Some(2),
            "the user without a row, and nothing else: {}",
            stderr(&output)
        );
        let mut command = tokio::process::Command::new(binaries::user_sync());
        command.args(["reconcile", "--settle-seconds=0", "--user-pool-id", &scene.pool.id]).args(arguments);
        command.env_clear().envs(scene.database.deployment.environment());
        command.env("XDG_STATE_HOME", scene.checkpoint.path()).env(StalePool::VARIABLE, &stub.endpoint);
        let said = command.output().await.unwrap().stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains(words), "{said}");
    };
    left_out(&[], "denied", "permit cognito-idp:ListGroups and cognito-idp:ListUsersInGroup").await;
    left_out(&["--without-groups"], "not_asked", "as asked").await;
    let drop = "drop table user_sync_memberships cascade";
    sqlx::query(drop).execute(&scene.database.owner).await.unwrap();
    left_out(&[], "no_tables", "run user-sync migrate").await;
}
