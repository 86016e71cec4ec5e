//! The user pool against the table, by the program: what differs is found, confirmed and mended, exactly, however
//! often the program is killed.

mod groups;
mod publish_all;
mod reads;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use cognito_user_sync::cognito::user_pool::{LookUp, PoolUser};
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::store::maintenance::drift::{self, Kind as Drift};
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync_triggers::event::{Data, Event, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::conformance::Adapter;
use crate::support::large_pool::{self, LargePool};
use crate::support::pool::{TestPool, apply};
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::stale_pool::StalePool;
use crate::support::{TestDatabase, binaries, dead_letters, eventually, queued};

/// A pool, a table, and a login that may only read.
struct Scene {
    database: TestDatabase,
    pool: TestPool,
    reader_url: String,
    checkpoint: tempfile::TempDir,
    /// Where the program finds the pool, if not where everything else is.
    cognito: Option<String>,
}

impl Scene {
    /// Repairs again and again, and is killed at a message each time: the how manieth, and whether it goes on to the queue.
    async fn repair_killed_at(&self, messages: &[(u32, bool)]) {
        self.killed_at("--repair", messages).await;
    }

    /// The same of another mode.
    async fn killed_at(&self, mode: &str, messages: &[(u32, bool)]) {
        let endpoint = &self.database.deployment.endpoint;
        for &(nth, pass_on) in messages {
            let action = Action::Tell { pass_on };
            let words = "AmazonSQS.SendMessage";
            let trap = Trap { speaker: Speaker::Program, words, nth, repeats: false, action };
            let mut proxy = Proxy::in_front_of(endpoint, Some(trap)).await;
            let mut command = self.command(&[mode, "--settle-seconds=0", "--max-requests-per-second=100"]);
            command.env("AWS_ENDPOINT_URL", proxy.through(endpoint));
            let mut program = command.spawn().unwrap();
            let killed = tokio::select! {
                _ = program.wait() => None,
                sprung = proxy.sprung.recv() => sprung,
            };
            assert!(killed.is_some(), "it was done before it was killed at message {nth}");
            program.kill().await.unwrap();
        }
    }

    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let pool = TestPool::create(&database.deployment.endpoint).await;
        let name = format!("reader_{}", Uuid::now_v7().simple());
        let create = format!(
            "create role {name} login password '{name}' in role {}_reader",
            database.deployment.prefix()
        );
        sqlx::query(AssertSqlSafe(create)).execute(&database.owner).await.unwrap();
        let (_, server) = database.deployment.consumer_url.split_once('@').unwrap();
        let reader_url = format!("postgres://{name}:{name}@{server}");
        Self { database, pool, reader_url, checkpoint: tempfile::tempdir().unwrap(), cognito: None }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.checkpoint.path().join("reconcile")
    }

    /// The program, with everything at full speed and nobody left to settle, unless `arguments` say otherwise.
    fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(binaries::user_sync());
        command
            .args(["reconcile", "--json", "--checkpoint", self.folder().to_str().unwrap()])
            .args(arguments)
            .env_clear()
            .envs(self.database.deployment.environment())
            .env("DATABASE_URL", &self.reader_url)
            .env("USER_SYNC_USER_POOL_ID", &self.pool.id)
            .envs(self.cognito.iter().map(|endpoint| (StalePool::VARIABLE, endpoint)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// As if a repair had been killed there, with nobody listed.
    fn was_interrupted(&self, pool: &str, phase: &str, next: Option<&str>) {
        let progress = serde_json::json!({
            "user_pool_id": pool, "mode": { "repair": true, "claim_rows_without_pool": false },
            "started_at": Timestamp::now(), "phase": phase, "pages": 1, "next": next, "after": Uuid::nil(),
            "seen_bytes": 0, "plan": [], "tally": {
                "users": 0, "rows": 0, "drift": {}, "to_repair": 0, "only_created_at": 0, "only_reported": 0,
                "settling": 0, "snapshots": 0, "deletions": 0
            },
        });
        std::fs::create_dir(self.folder()).unwrap();
        std::fs::write(self.folder().join("progress.json"), progress.to_string()).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let fast = ["--max-requests-per-second=1000", "--max-confirmations-per-second=1000"];
        self.command(&[arguments, &fast, &["--settle-seconds=0"]].concat()).output().await.unwrap()
    }

    async fn dry_run(&self) -> Found {
        let output = self.run(&["--restart"]).await;
        let found = Found::read(&output);
        let (joined, left, deleted, _) = found.groups();
        let differ = found.number("to_repair") - found.number("only_created_at") + joined + left + deleted;
        let expected = if differ > 0 { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{}", stderr(&output));
        found
    }

    /// Applies what is on the queue, by the worker.
    async fn drain(&self) {
        let worker = Adapter::Worker.start(&self.database.deployment, &[]).await;
        worker.drained(&self.database.deployment).await;
        worker.end().await;
        assert_eq!(dead_letters(&self.database.deployment).await, []);
    }

    /// Every row is what the pool says, by a question of the test's own, and what the ledger says.
    async fn must_be_mended(&self, deleted: u64) {
        for user in self.pool.users().await {
            let query = "select cognito_username, cognito_status, enabled, cognito_attributes, user_pool_id, \
                         date_trunc('milliseconds', created_at) <= $2, is_deleted from users where id = $1";
            type Row = (String, String, bool, Value, String, bool, bool);
            let query = sqlx::query_as::<_, Row>(query).bind(user.sub);
            let created_at = time::OffsetDateTime::from(user.created_at.unwrap());
            let row = query.bind(created_at).fetch_one(&self.database.owner).await.unwrap();
            let PoolUser { username, status, enabled, attributes, .. } = user;
            let attributes = serde_json::to_value(attributes).unwrap();
            let (is_deleted, pool) = (row.6, self.pool.id.clone());
            if !is_deleted {
                assert_eq!(row, (username, status.unwrap(), enabled, attributes, pool, true, false));
            }
        }
        let deleted_rows = self.database.count("users where is_deleted").await;
        assert_eq!(u64::try_from(deleted_rows).unwrap(), deleted);
        let database = self.database.applier.database();
        let mut differences = Vec::new();
        verify(database, &GeoIp::default(), |difference| differences.push(difference), |_| {}).await.unwrap();
        assert_eq!(differences, []);
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the program printed.
#[derive(Debug, Clone, PartialEq)]
struct Found(Value);

impl Found {
    fn read(output: &Output) -> Self {
        let read = serde_json::from_slice(&output.stdout);
        Self(read.unwrap_or_else(|_| panic!("{}{}", output.status, stderr(output))))
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Who joined, who left, which groups were deleted, and what is settling.
    fn groups(&self) -> (u64, u64, u64, u64) {
        let number =
            |name: &str| self.0["groups"][name].as_u64().unwrap_or_else(|| panic!("{name}: {self:?}"));
        (number("joined"), number("left"), number("deleted"), number("settling"))
    }

    /// Users by kind, without the kinds that nobody shows.
    fn drift(&self) -> BTreeMap<Drift, u64> {
        let drift: BTreeMap<Drift, u64> = serde_json::from_value(self.0["drift"].clone()).unwrap();
        drift.into_iter().filter(|(_, users)| *users > 0).collect()
    }
}

fn only_reported(drift: &BTreeMap<Drift, u64>) -> BTreeMap<Drift, u64> {
    drift
        .iter()
        .filter(|(kind, _)| **kind == Drift::DeletedButPresent)
        .map(|(kind, users)| (*kind, *users))
        .collect()
}

/// Users whom a deletion stands for: those that were deleted before, and those that reconcile deletes.
fn deleted(drift: &BTreeMap<Drift, u64>) -> u64 {
    drift[&Drift::DeletedButPresent] + drift[&Drift::Gone]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_drift_is_found_exactly_and_mended_exactly() {
    let scene = Scene::create().await;
    let expected = scene.pool.drift(&scene.database.applier, 500, 5).await;
    let found = scene.dry_run().await;
    assert_eq!(found.drift(), expected);
    assert_eq!(found.number("users"), 500 - expected[&Drift::Gone]);
    assert_eq!(scene.database.deployment.queue().backlog().await.unwrap(), 0, "a dry run publishes nothing");
    assert_eq!(scene.dry_run().await.drift(), expected, "a dry run changes nothing");
    assert!(!scene.folder().exists(), "the checkpoint is removed at the end");

    let repaired = scene.run(&["--repair"]).await;
    assert_eq!(repaired.status.code(), Some(0), "{}", stderr(&repaired));
    let repaired = Found::read(&repaired);
    assert_eq!(repaired.drift(), expected);
    let stays: u64 = only_reported(&expected).values().sum();
    let published = scene.database.deployment.queue().backlog().await.unwrap();
    assert_eq!(repaired.number("to_repair"), expected.values().sum::<u64>() - stays);
    assert_eq!(repaired.number("only_reported"), stays);
    let (pages, gone) = (repaired.number("users").div_ceil(60), expected[&Drift::Gone]);
    let lists = repaired.0["requests"]["list_users"].as_u64().unwrap();
    assert!(lists <= 2 * pages + 3 * gone, "{lists} requests for {pages} pages and {gone} who are gone");
    assert_eq!(repaired.0["requests"]["admin_get_user"], 0);
    // One whose answer is late is sent twice.
    assert!(published >= repaired.number("to_repair"), "{published}");

    scene.drain().await;
    let found = scene.dry_run().await;
    assert_eq!((found.drift(), found.number("to_repair")), (only_reported(&expected), 0));
    scene.must_be_mended(deleted(&expected)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_is_filled_from_the_pool() {
    let scene = Scene::create().await;
    for number in 0..70 {
        scene.pool.add(&format!("user-{number}"), &[("email", &format!("{number}@example.com"))]).await;
    }
    let found = Found::read(&scene.run(&["--repair"]).await);
    assert_eq!(found.drift(), [(Drift::Missing, 70)].into());
    scene.drain().await;
    assert_eq!(scene.dry_run().await.drift(), [].into());
    scene.must_be_mended(0).await;
    assert_eq!(scene.database.count("users where login_count = 0").await, 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_killed_again_and_again_counts_each_user_once() {
    let scene = Scene::create().await;
    let expected = scene.pool.drift(&scene.database.applier, 300, 4).await;
    let slow = ["--repair", "--settle-seconds=0", "--max-requests-per-second=5"];
    for moment in ["a page", "half of the pages", "the rows"] {
        let mut program = scene.command(&slow).spawn().unwrap();
        let progress = scene.folder().join("progress.json");
        eventually(moment, Duration::from_secs(60), async || {
            assert_eq!(program.try_wait().unwrap(), None, "it ended before {moment}");
            let read = std::fs::read(&progress).ok();
            let progress: Value =
                read.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
            match moment {
                "a page" => progress["pages"].as_u64() >= Some(1),
                "half of the pages" => progress["pages"].as_u64() >= Some(3),
                _ => progress["phase"] == "rows",
            }
        })
        .await;
        program.kill().await.unwrap();
    }
    finish_and_check(&scene, &expected).await;
}

/// The moments that matter: before and after a message is on the queue, with its count written and its page not
/// yet done.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_killed_while_it_publishes_counts_each_user_once() {
    let scene = Scene::create().await;
    let expected = scene.pool.drift(&scene.database.applier, 200, 4).await;
    scene
        .repair_killed_at([(1, true), (2, false), (9, true), (14, false), (17, true), (20, false)].as_slice())
        .await;
    finish_and_check(&scene, &expected).await;
}

async fn finish_and_check(scene: &Scene, expected: &BTreeMap<Drift, u64>) {
    let output = scene.run(&["--repair"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let found = Found::read(&output);
    assert_eq!(found.0["resumed"], true);
    assert_eq!(found.drift(), *expected);
    assert_eq!(
        found.number("to_repair") + found.number("only_reported"),
        expected.values().sum::<u64>(),
        "each of these users differs in one way"
    );
    scene.drain().await;
    assert_eq!(scene.dry_run().await.drift(), only_reported(expected));
    scene.must_be_mended(deleted(expected)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_deleted_whom_the_pool_still_has() {
    let scene = Scene::create().await;
    let pool = &scene.pool;
    for name in ["local", "disabled", "Google_1122334455", "renamed-in-the-row"] {
        pool.add(name, &[("email", &format!("{name}@example.com"))]).await;
    }
    pool.disable("disabled").await;
    pool.add("taken-again", &[("email", "first@example.com")]).await;
    let users = pool.users().await;
    let first = users.iter().find(|user| user.username == "taken-again").unwrap().sub;
    let snapshots = users.iter().map(|user| {
        let mut snapshot = pool.snapshot(user);
        if user.username == "renamed-in-the-row" {
            snapshot.data.user_name = Some("taken-again".into());
        }
        Event::User(snapshot)
    });
    apply(&scene.database.applier, &snapshots.collect::<Vec<_>>()).await;
    pool.delete("taken-again").await;
    pool.add("taken-again", &[("email", "second@example.com")]).await;
    let users = pool.users().await;
    let second = users.iter().find(|user| user.username == "taken-again").unwrap().sub;

    // A listing that missed everybody: each row is under suspicion.
    scene.was_interrupted(&pool.id, "rows", None);
    let found = Found::read(&scene.run(&["--repair"]).await);
    assert_eq!(found.drift(), [(Drift::Gone, 1), (Drift::Identity, 1)].into());
    let found = Found::read(&scene.run(&["--repair"]).await);
    assert_eq!(found.drift(), [(Drift::Gone, 1), (Drift::Identity, 1), (Drift::Missing, 1)].into());
    scene.drain().await;
    assert_eq!(scene.dry_run().await.drift(), [].into());
    assert_eq!(scene.database.column(first, "is_deleted").await.as_deref(), Some("true"));
    assert_eq!(scene.database.column(second, "is_deleted").await.as_deref(), Some("false"));
    scene.must_be_mended(1).await;
    let LookUp::Absent(_) = pool.pool.look_up(first, Some("taken-again")).await.unwrap() else {
        panic!("the name is another user's");
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_names_no_pool_is_deleted_only_when_it_is_claimed() {
    let scene = Scene::create().await;
    for name in ["here", "gone"] {
        scene.pool.add(name, &[]).await;
    }
    let users = scene.pool.users().await;
    let snapshots: Vec<Event<'static>> =
        users.iter().map(|user| Event::User(scene.pool.snapshot(user))).collect();
    apply(&scene.database.applier, &snapshots).await;
    // As an adopted table has them.
    let adopted = "begin; set local user_sync.service = 'on'; update users set user_pool_id = null; commit";
    sqlx::raw_sql(adopted).execute(&scene.database.owner).await.unwrap();
    scene.pool.delete("gone").await;

    let found = scene.dry_run().await;
    assert_eq!(found.drift(), [(Drift::Identity, 1), (Drift::Unclaimed, 1)].into());
    assert_eq!(found.number("to_repair"), 1);
    let kept = Found::read(&scene.run(&["--repair"]).await);
    assert_eq!(kept.0["published"], serde_json::json!({ "snapshots": 1, "deletions": 0 }));
    let claim = ["--repair", "--claim-rows-without-pool", "--max-deletions=0"];
    let refused = scene.run(&claim).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("--max-deletions"), "{}", stderr(&refused));
    let published = scene.database.deployment.queue().backlog().await.unwrap();
    assert!(published >= 2, "a snapshot each time: {published}");
    let claimed = Found::read(&scene.run(&["--repair", "--claim-rows-without-pool"]).await);
    assert_eq!(claimed.0["published"]["deletions"], 1);
    scene.drain().await;
    assert_eq!(scene.dry_run().await.drift(), [].into());
    assert_eq!(scene.database.count("users where is_deleted").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changed_a_moment_ago_is_left_to_the_events_under_way() {
    let scene = Scene::create().await;
    for name in ["known", "new"] {
        scene.pool.add(name, &[]).await;
    }
    let users = scene.pool.users().await;
    let known = users.iter().find(|user| user.username == "known").unwrap();
    apply(&scene.database.applier, &[Event::User(scene.pool.snapshot(known))]).await;
    let output = scene.command(&["--repair", "--settle-seconds=3600"]).output().await.unwrap();
    let found = Found::read(&output);
    assert_eq!((found.drift(), found.number("settling"), output.status.code()), ([].into(), 1, Some(0)));
    assert_eq!(scene.dry_run().await.drift(), [(Drift::Missing, 1)].into());
}

/// A page knows of a change that the answer to the question about its user does not know yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_older_than_the_listing_is_asked_again_and_at_last_is_partial() {
    for (stale, flag, asked, admin_asked, partial) in [
        (0, None, 1, 0, false),
        (1, None, 2, 0, false),
        (u32::MAX, None, 5, 0, true),
        (u32::MAX, Some("--ask-admin-get-user"), 5, 1, false),
    ] {
        let scene = Scene::create().await;
        let stub = StalePool::without_phone_since(Timestamp::now(), stale).await;
        let before = UserEvent {
            id: EventId::new(Timestamp::from_unix_millis(Timestamp::now().unix_millis() - 3_600_000)),
            user_pool_id: scene.pool.id.clone().into(),
            sub: stub.pool().sub,
            kind: Kind::Snapshot,
            data: Data { attributes: [("name".into(), "Eve".into())].into(), ..Data::default() },
        };
        apply(&scene.database.applier, &[Event::User(before)]).await;
        let mut command = scene.command(&["--repair", "--settle-seconds=0"]);
        let output = command.args(flag).env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
        let found = Found::read(&output);
        assert_eq!(found.number("to_repair"), 1);
        let queued = queued(&scene.database.deployment).await;
        let message: Value = serde_json::from_str(queued.first().unwrap()).unwrap();
        assert_eq!(message["data"]["partial"].as_bool().unwrap_or(false), partial, "{message}");
        assert_eq!((stub.counted(), queued.len()), ((asked, admin_asked), 1));
        assert_eq!(found.0["requests"]["admin_get_user"], admin_asked);
    }
}

/// Of two users with one phone number, the pool's has it no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_attribute_is_found_and_removed_and_its_claim_passes_on() {
    const PHONE: &str = "+12025550123";
    let scene = Scene::create().await;
    let ago = |seconds: u64| Timestamp::from_unix_millis(Timestamp::now().unix_millis() - seconds * 1_000);
    let stub = StalePool::without_phone_since(ago(100), 0).await;
    let (sub, other) = (stub.pool().sub, Uuid::now_v7());
    let known = |sub: Uuid, pool: &str, verified: &'static str| {
        let data = Data {
            user_name: Some("only".into()),
            status: Some("CONFIRMED".into()),
            enabled: Some(true),
            created_at: Some(Timestamp::from_unix_millis(1_700_000_000_000)),
            attributes: [("name", "Ada"), ("phone_number", PHONE), ("phone_number_verified", verified)]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            ..Data::default()
        };
        let (id, user_pool_id) = (EventId::new(ago(200)), pool.to_owned().into());
        Event::User(UserEvent { id, user_pool_id, sub, kind: Kind::Snapshot, data })
    };
    let rows = [known(sub, &scene.pool.id, "true"), known(other, "eu-west-1_Another00", "false")];
    apply(&scene.database.applier, &rows).await;
    let phone = async |user| scene.database.column(user, "phone_number").await;
    assert_eq!((phone(sub).await.as_deref(), phone(other).await), (Some(PHONE), None));
    let run = async |arguments: &[&str]| {
        let mut command = scene.command(&[arguments, &["--settle-seconds=0"]].concat());
        Found::read(&command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap())
    };
    let found = run(&["--repair"]).await;
    assert_eq!((&found.0["drift"]["removed"], found.number("to_repair")), (&1.into(), 1), "{found:?}");
    scene.drain().await;
    assert_eq!((phone(sub).await, phone(other).await.as_deref()), (None, Some(PHONE)));
    assert_eq!(run(&[]).await.drift(), [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_right_is_refused_with_what_to_do() {
    let scene = Scene::create().await;
    scene.pool.add("ada", &[]).await;
    let refused = async |arguments: &[&str], words: &[&str]| {
        let output = scene.run(arguments).await;
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        let said = stderr(&output);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    refused(&["--user-pool-id=eu-west-1_Nowhere00"], &["there is no user pool", "AWS_REGION"]).await;

    let other = TestPool::create(&scene.database.deployment.endpoint).await;
    other.add("bob", &[]).await;
    let bob = Event::User(other.snapshot(&other.users().await[0]));
    apply(&scene.database.applier, &[bob]).await;
    refused(&[], &[&other.id, &scene.pool.id, "--add-pool"]).await;
    let added = Found::read(&scene.run(&["--add-pool"]).await);
    assert_eq!(added.drift(), [(Drift::Missing, 1)].into(), "another pool's rows are not looked for");

    std::fs::create_dir(scene.folder()).unwrap();
    let lock = std::fs::File::create(scene.folder().join("lock")).unwrap();
    lock.lock().unwrap();
    refused(&["--add-pool"], &["another reconcile uses", "--checkpoint"]).await;
    let queue_missing =
        scene.command(&["--repair"]).env_remove("USER_SYNC_QUEUE_URL").output().await.unwrap();
    assert!(stderr(&queue_missing).contains("USER_SYNC_QUEUE_URL is not set"), "{}", stderr(&queue_missing));
    let no_pool = scene.command(&["--user-pool-id=../x"]).output().await.unwrap();
    assert_eq!(no_pool.status.code(), Some(2), "a usage error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_refuses_ends_the_run_and_the_next_one_makes_up_for_it() {
    let scene = Scene::create().await;
    for name in ["ada", "bob"] {
        scene.pool.add(name, &[]).await;
    }
    let mut command = scene.command(&["--repair", "--settle-seconds=0"]);
    let nowhere = format!("{}-nowhere", scene.database.deployment.queue_url);
    let refused = command.env("USER_SYNC_QUEUE_URL", nowhere).output().await.unwrap();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    assert!(stderr(&refused).contains("run the same command again"), "{}", stderr(&refused));
    // What went to another queue would be lacking in this one.
    let other = scene.command(&["--repair", "--settle-seconds=0"]).output().await.unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("discard it with --restart"), "{}", stderr(&other));
    let found = Found::read(&scene.run(&["--repair", "--restart"]).await);
    assert_eq!((found.drift(), &found.0["resumed"]), ([(Drift::Missing, 2)].into(), &Value::Bool(false)));
    scene.drain().await;
    scene.must_be_mended(0).await;
    assert_eq!(scene.database.count("users").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cognito_no_longer_gives_is_said_to_need_a_restart() {
    let scene = Scene::create().await;
    let stub = LargePool::start(10).await;
    let run = async |arguments: &[&str]| {
        let mut command = scene.command(&["--user-pool-id", large_pool::ID]);
        command.args(arguments).env("AWS_ENDPOINT_URL", stub.endpoint()).output().await.unwrap()
    };
    scene.was_interrupted(large_pool::ID, "users", Some("an old token"));
    let refused = run(&["--repair"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("begin again with --restart"), "{}", stderr(&refused));
    let other = run(&["--dry-run"]).await;
    assert!(
        stderr(&other).contains("the checkpoint of a repair of eu-west-1_Large0000"),
        "{}",
        stderr(&other)
    );
    assert_eq!(Found::read(&run(&["--restart"]).await).number("users"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_for_people_says_what_it_means_and_what_to_do() {
    let scene = Scene::create().await;
    scene.pool.add("zephyrine", &[("email", "zephyrine@example.com")]).await;
    let mut command = tokio::process::Command::new(binaries::user_sync());
    command.args(["reconcile", "--settle-seconds=0", "--user-pool-id", &scene.pool.id]).env_clear();
    command.envs(scene.database.deployment.environment()).env("DATABASE_URL", &scene.reader_url);
    let output = command.env("XDG_STATE_HOME", scene.checkpoint.path()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    for words in ["1 users in the pool", "missing", "in the pool, without a row", "--repair publishes"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(said.contains("nobody became a monthly active user"), "{said}");
    assert!(stderr(&output).contains("about 1 users: 1 ListUsers requests"), "{}", stderr(&output));
    for text in [&said, &stderr(&output)] {
        assert!(!text.contains("zephyrine"), "no name and no address is shown");
    }
    assert!(is_empty(&scene.checkpoint.path().join("user-sync")), "the checkpoint is removed at the end");
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// A pool as large as the emulator cannot hold, with federated users, whom Cognito does not find by their sub, and
/// some without a sub.
#[tokio::test(flavor = "multi_thread")]
async fn ten_times_the_users_take_no_more_memory() {
    let mut peaks = Vec::new();
    for users in [6_000, 60_000] {
        let scene = Scene::create().await;
        let stub = LargePool::start(users).await;
        large_pool::fill(&scene.database.owner, users).await;
        let mut command = scene.command(&["--settle-seconds=0", "--max-requests-per-second=1000"]);
        command.args(["--user-pool-id", large_pool::ID, "--max-confirmations-per-second=1000"]);
        let program = command.env("AWS_ENDPOINT_URL", stub.endpoint()).spawn().unwrap();
        let (output, peak) = large_pool::measured(program).await;
        let found = Found::read(&output);
        assert_eq!(found.drift(), large_pool::drift(users));
        assert_eq!(found.number("users"), users);
        let (asked, gone) = (stub.asked("ListUsers"), large_pool::drift(users)[&Drift::Gone]);
        assert_eq!(asked, users.div_ceil(60) + 3 * gone);
        assert_eq!(found.0["requests"]["list_users"], asked);
        assert_eq!(found.0["requests"]["list_users_in_group"], stub.asked("ListUsersInGroup"));
        // Everybody is in one group, and the tables know of nobody there.
        let without_sub = large_pool::drift(users)[&Drift::WithoutSub];
        assert_eq!(found.0["groups"]["joined"], users - without_sub);
        peaks.push(peak);
    }
    eprintln!("peak memory, kB: {peaks:?}");
    // The users alone, as they are listed, would take more.
    assert!(peaks[1] < peaks[0] + 12_000, "{peaks:?} kB");
}

/// What a row has learnt since the pool was asked is no drift, in the table as in the rule.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_between_is_no_drift() {
    let scene = Scene::create().await;
    scene.pool.add("ada", &[("email", "old@example.com")]).await;
    let user = scene.pool.users().await.remove(0);
    let read = scene.pool.snapshot(&user);
    let later = Timestamp::from_unix_millis(read.id.time().unix_millis() + 1_000);
    let data = Data {
        status: Some("CONFIRMED".into()),
        attributes: [("email".into(), "new@example.com".into())].into(),
        ..Data::default()
    };
    let (sub, user_pool_id) = (user.sub, scene.pool.id.clone().into());
    let login = UserEvent { id: EventId::new(later), user_pool_id, sub, kind: Kind::Authenticated, data };
    apply(&scene.database.applier, &[Event::User(login)]).await;
    let database = scene.database.applier.database();
    let found = drift::compare(database, &[(&read, None)]).await.unwrap();
    let kinds: Vec<Drift> = found.into_iter().flat_map(|drift| drift.kinds).collect();
    assert_eq!(kinds, [Drift::Identity, Drift::CreatedAt], "neither the address nor the status");
    apply(&scene.database.applier, &[Event::User(read.clone())]).await;
    assert_eq!(drift::compare(database, &[(&read, None)]).await.unwrap(), []);
}
