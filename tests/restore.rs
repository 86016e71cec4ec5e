//! `user-sync restore` against an emulated pool: who is alive there comes back, and nobody else does.

use std::process::{Output, Stdio};
use std::time::Duration;

use cognito_user_sync::cognito::user_pool::deletion;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync_triggers::event::{Event, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::support::conformance::Adapter;
use crate::support::events::{at, event, sub};
use crate::support::pool::{TestPool, apply};
use crate::support::{TestDatabase, binaries, dead_letters};

/// A pool, a table with its users, and a program that restores.
struct Scene {
    database: TestDatabase,
    pool: TestPool,
}

fn ago(minutes: u64) -> Timestamp {
    let since = Duration::from_secs(minutes * 60);
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - u64::try_from(since.as_millis()).unwrap())
}

impl Scene {
    async fn with_users(names: &[&str]) -> (Self, Vec<Uuid>) {
        let database = TestDatabase::create().await;
        let pool = TestPool::create(&database.deployment.endpoint).await;
        for name in names {
            pool.add(name, &[("email", &format!("{name}@example.com")), ("email_verified", "true")]).await;
        }
        let users = pool.users().await;
        let snapshots: Vec<Event<'static>> =
            users.iter().map(|user| Event::User(user.snapshot(&pool.id, ago(120)))).collect();
        apply(&database.applier, &snapshots).await;
        let sub_of = |name: &&str| users.iter().find(|user| user.username == **name).unwrap().sub;
        let subs = names.iter().map(sub_of).collect();
        (Self { database, pool }, subs)
    }

    /// As somebody who may send to the queue can say it.
    async fn forge_deletion(&self, user: Uuid, at: Timestamp) {
        apply(&self.database.applier, &[Event::User(deletion(&self.pool.id, user, at))]).await;
    }

    async fn restore(&self, users: &[Uuid]) -> Output {
        let users: Vec<String> = users.iter().map(Uuid::to_string).collect();
        let mut command = tokio::process::Command::new(binaries::user_sync());
        command
            .arg("restore")
            .args(users)
            .env_clear()
            .envs(self.database.deployment.environment())
            .env("USER_SYNC_USER_POOL_ID", &self.pool.id)
            .stdin(Stdio::null());
        command.output().await.unwrap()
    }

    async fn drain(&self) {
        let worker = Adapter::Worker.start(&self.database.deployment, &[]).await;
        worker.drained(&self.database.deployment).await;
        worker.end().await;
        assert_eq!(dead_letters(&self.database.deployment).await, []);
    }

    async fn queued(&self) -> u64 {
        self.database.deployment.queue().backlog().await.unwrap()
    }

    async fn column(&self, user: Uuid, name: &str) -> Option<String> {
        self.database.column(user, name).await
    }

    async fn operator(&self) -> Database {
        let config = DatabaseConfig::with_url(&self.database.deployment.operator_url);
        postgres::connect(&config, 2).await.unwrap()
    }

    async fn differences(&self) -> u64 {
        let operator = self.operator().await;
        verify(&operator, &GeoIp::default(), |_| {}, |_| {}).await.unwrap().differences
    }
}

fn stdout(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_the_pool_comes_back_with_all_that_the_row_held() {
    let (scene, users) = Scene::with_users(&["ada", "Google_1122334455"]).await;
    for user in &users {
        scene.forge_deletion(*user, ago(60)).await;
        assert_eq!(scene.column(*user, "email").await, None);
    }
    let restored = scene.restore(&users).await;
    assert_eq!(restored.status.code(), Some(0), "{}", stdout(&restored));
    assert!(stdout(&restored).contains("reconcile --repair"), "{}", stdout(&restored));
    assert_eq!(
        scene.column(users[0], "is_deleted").await.as_deref(),
        Some("true"),
        "the queue is the only way"
    );
    scene.drain().await;
    for (user, email) in users.iter().zip(["ada@example.com", "google_1122334455@example.com"]) {
        let column = async |name| scene.column(*user, name).await;
        assert_eq!(column("is_deleted").await.as_deref(), Some("false"));
        assert_eq!(column("is_active").await.as_deref(), Some("true"));
        assert_eq!(column("deleted_at").await, None);
        assert_eq!(column("email").await.as_deref(), Some(email));
        assert_eq!(column("login_count").await.as_deref(), Some("0"));
    }
    assert_eq!(scene.differences().await, 0);

    // A deletion of that time that comes late is void, and one that is later stands.
    scene.forge_deletion(users[0], ago(30)).await;
    assert_eq!(scene.column(users[0], "is_deleted").await.as_deref(), Some("false"));
    scene.forge_deletion(users[0], Timestamp::from_unix_millis(Timestamp::now().unix_millis() + 1)).await;
    assert_eq!(scene.column(users[0], "is_deleted").await.as_deref(), Some("true"));
    assert_eq!(scene.differences().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_restored_and_each_is_told_why() {
    let names = ["alive", "recent", "gone", "never-deleted", "erased", "again"];
    let (scene, users) = Scene::with_users(&names).await;
    let [alive, recent, gone, never_deleted, erased, again] = users[..] else { panic!("six users") };
    for user in [alive, gone, erased, again] {
        scene.forge_deletion(user, ago(60)).await;
    }
    scene.forge_deletion(recent, ago(5)).await;
    // The first deletion is old, but another one was just reported.
    scene.forge_deletion(again, ago(1)).await;
    scene.pool.delete("gone").await;
    // Whoever has the name now is another user.
    scene.pool.add("gone", &[("email", "gone@example.com")]).await;
    erase(&scene.operator().await, erased, false).await.unwrap();
    let other_pool = event(Kind::Deleted, 7, at(1)).build();
    apply(&scene.database.applier, &[other_pool]).await;

    for (user, why) in [
        (recent, "less than 15 minutes ago"),
        (again, "less than 15 minutes ago"),
        (gone, "is not in the user pool"),
        (never_deleted, "is not deleted"),
        (erased, "was erased"),
        (sub(7), "is a user of the pool \"eu-west-1_Test00000\""),
        (Uuid::nil(), "the table has no such user"),
    ] {
        let refused = scene.restore(&[user]).await;
        assert_eq!(refused.status.code(), Some(2), "{}", stdout(&refused));
        let said = stdout(&refused);
        assert!(said.starts_with(&format!("{user} is not restored: ")) && said.contains(why), "{said}");
    }
    assert_eq!(scene.queued().await, 0);

    // One who is refused holds nobody back.
    let mixed = scene.restore(&[recent, alive]).await;
    assert_eq!(mixed.status.code(), Some(2), "{}", stdout(&mixed));
    assert_eq!(scene.queued().await, 1);
    scene.drain().await;
    assert_eq!(scene.column(alive, "is_deleted").await.as_deref(), Some("false"));
    assert_eq!(scene.database.count("users where is_deleted").await, 5);
}

/// What an older deletion and a newer snapshot say, and a restoration between two deletions.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_restoration_restores_and_only_up_to_its_time() {
    let told = |kind, second| event(kind, 1, at(second)).build();
    for (history, expected) in [
        (vec![told(Kind::Deleted, 1), told(Kind::Snapshot, 2), told(Kind::Authenticated, 3)], Some(at(1))),
        (vec![told(Kind::Deleted, 1), told(Kind::Restored, 2)], None),
        (vec![told(Kind::Restored, 2), told(Kind::Deleted, 1)], None),
        (vec![told(Kind::Restored, 2), told(Kind::Deleted, 2)], None),
        (vec![told(Kind::Deleted, 1), told(Kind::Deleted, 3), told(Kind::Restored, 2)], Some(at(3))),
        (vec![told(Kind::Deleted, 4), told(Kind::Restored, 2), told(Kind::Deleted, 3)], Some(at(4))),
        (vec![told(Kind::Restored, 2), told(Kind::Restored, 5), told(Kind::Deleted, 4)], None),
    ] {
        let database = TestDatabase::create().await;
        for event in &history {
            apply(&database.applier, std::slice::from_ref(event)).await;
        }
        let deleted_at = database.column(sub(1), "deleted_at").await;
        let deleted_at = deleted_at.map(|text| Timestamp::parse(&text).unwrap());
        assert_eq!(deleted_at, expected, "{history:?}");
    }
}

/// Somebody else may have the address by now.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_gets_an_address_only_if_nobody_comes_before() {
    let database = TestDatabase::create().await;
    let shows =
        |user, second| event(Kind::Confirmed, user, at(second)).attributes(&[("email", "a@example.com")]);
    let events = [shows(1, 1).build(), event(Kind::Deleted, 1, at(2)).build(), shows(2, 3).build()];
    apply(&database.applier, &events).await;
    let email = async |user| database.column(sub(user), "email").await;
    assert_eq!((email(1).await, email(2).await.is_some()), (None, true));
    let restored = event(Kind::Restored, 1, at(4)).build();
    apply(&database.applier, std::slice::from_ref(&restored)).await;
    assert_eq!((email(1).await.is_some(), email(2).await), (true, None), "who showed it first has it again");
    let verified = event(Kind::Confirmed, 2, at(5)).email("a@example.com").build();
    let again = [event(Kind::Deleted, 1, at(6)).build(), verified, event(Kind::Restored, 1, at(7)).build()];
    apply(&database.applier, &again).await;
    assert_eq!((email(1).await, email(2).await.is_some()), (None, true), "who verified it keeps it");
}
