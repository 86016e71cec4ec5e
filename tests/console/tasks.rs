//! What is started here comes to its end: each command through the console's own buttons, beside what the command line says;
//! and the count of all users.

use std::process::Output;
use std::time::Duration;

use cognito_user_sync::store::runs::{self, Seen, State};
use cognito_user_sync_triggers::event::{Context, ContextEvent, Event, EventId, Occasion, Reporter};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::conformance::Adapter;
use crate::support::console::{Answer, Console, environment};
use crate::support::events::{at, confirmed, login, sub};
use crate::support::pool::TestPool;
use crate::support::{TestDatabase, binaries, eventually};

const LIMIT: Duration = Duration::from_secs(90);

/// A console whose commands log in as the operator, and a pool.
struct Scene {
    database: TestDatabase,
    pool: TestPool,
    home: tempfile::TempDir,
    console: Console,
}

impl Scene {
    async fn of(database: TestDatabase) -> Self {
        let pool = TestPool::create(&database.deployment.endpoint).await;
        let home = tempfile::tempdir().unwrap();
        let console = Self::console(&database, &pool, &home).await;
        Self { database, pool, home, console }
    }

    async fn console(database: &TestDatabase, pool: &TestPool, home: &tempfile::TempDir) -> Console {
        let more = [
            ("USER_SYNC_COMMANDS_DATABASE_URL", database.deployment.operator_url.as_str()),
            ("USER_SYNC_USER_POOL_ID", &pool.id),
            ("HOME", home.path().to_str().unwrap()),
        ];
        Console::start_with(&database.deployment, &more, &["--allow", "act"]).await
    }

    /// The command line's own answer.
    async fn beside(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(binaries::user_sync());
        command.args(arguments).env_clear().envs(environment(&self.database.deployment));
        command.env("DATABASE_URL", &self.database.deployment.operator_url);
        command.env("USER_SYNC_USER_POOL_ID", &self.pool.id).env("HOME", self.home.path());
        command.output().await.unwrap()
    }

    /// Presses a button of the page of comparisons, and the plan's; returns the task.
    async fn start(&self, kind: &str) -> String {
        self.console.get("/drift").await.says(&format!("name=\"kind\" value=\"{kind}\""));
        let planned = self.console.post("/plans", &[("kind", kind)]).await;
        assert_eq!(planned.status, 303, "{planned:?}");
        self.press(planned.location(), &[]).await
    }

    async fn press(&self, plan: &str, typed: &[(&str, &str)]) -> String {
        let started = self.console.post(plan, typed).await;
        assert_eq!(started.status, 303, "{started:?}");
        assert!(started.location().starts_with("/tasks/"), "{started:?}");
        started.location().to_owned()
    }

    /// The page of a task that is done, and its run.
    async fn ends(&self, task: &str) -> (Answer, Seen) {
        eventually("the task has ended", LIMIT, async || {
            !self.console.get(task).await.body.contains("data-every")
        })
        .await;
        let page = self.console.get(task).await;
        let id: Uuid = task.rsplit('/').next().unwrap().parse().unwrap();
        let run = runs::one(self.database.applier.database(), id).await.unwrap();
        (page, run.expect("it has the task's id"))
    }

    async fn sql(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.database.owner).await.unwrap();
    }
}

fn json_of(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_is_started_here_and_finds_what_the_command_line_finds() {
    let database = TestDatabase::create().await;
    database.apply(&[confirmed(1, at(1)).email("ada@example.com").build(), login(2, at(2)).build()]).await;
    let scene = Scene::of(database).await;
    scene
        .sql(&format!(
            "begin; set local user_sync.service = 'versioned'; update users set login_count = 70,
            row_version = row_version + 1, email_verified = not email_verified where id = '{}'; commit",
            sub(1)
        ))
        .await;
    let expected = scene.beside(&["verify", "--json"]).await;
    assert_eq!(expected.status.code(), Some(1));
    let (page, run) = scene.ends(&scene.start("verify").await).await;
    // That there are differences is what was asked, and no failure.
    page.says("Done").never_says("Failed").never_says("exit code").says("It found 2 differences.");
    page.says("login_count").says("email_verified").says(&format!("/drift/{}", run.id)).says("2 events");
    page.never_says("ada@example.com").never_says(&sub(1).to_string());
    assert_eq!((run.state, run.found()), (State::Ended, json_of(&expected)["differences"].as_u64()));
    assert!(run.started_by.contains("(link 1)"), "{}", run.started_by);
    scene.console.get("/tasks").await.says("Done");
    scene.console.get(&format!("/drift/{}", run.id)).await.says("Started here: its task");
    // The repair that the page offers, by its count.
    let planned = scene.console.post(&format!("/drift/{}/repair", run.id), &[]).await;
    let task = scene.press(planned.location(), &[("reason", "change 882"), ("count", "2")]).await;
    let (page, run) = scene.ends(&task).await;
    page.says("Done").says("It found 2 differences, 2 repaired.");
    assert_eq!((run.found(), run.left()), (Some(2), Some(0)));
    assert!(scene.beside(&["verify"]).await.status.success());
    let (page, _) = scene.ends(&scene.start("verify").await).await;
    page.says("It found nothing that is not as it should be.");
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_is_started_here_and_finds_what_the_command_line_finds() {
    let database = TestDatabase::create().await;
    let client = |event: crate::support::events::EventBuilder| {
        event.with(|data| data.client_id = Some("app".into())).build()
    };
    let recorded = |user, seconds| {
        let data = Context {
            reported_by: Reporter::CloudTrail,
            occasion: Occasion::SignIn,
            witness: true,
            client_id: Some("app".into()),
            ip: None,
            user_agent: None,
            device: None,
            city: None,
            country: None,
            flow: None,
            risk: None,
        };
        let id = EventId::new(at(seconds));
        let user_pool_id = "eu-west-1_Test00000".into();
        Event::Context(ContextEvent { id, user_pool_id, sub: Some(sub(user)), data })
    };
    let events = [client(login(1, at(60))), recorded(1, 60), client(login(2, at(600))), recorded(3, 900)];
    database.apply(&events).await;
    let scene = Scene::of(database).await;
    let expected = scene.beside(&["audit", "--json"]).await;
    let unaccounted = json_of(&expected)["unaccounted"].as_u64();
    assert_eq!((expected.status.code(), unaccounted), (Some(1), Some(1)), "{expected:?}");
    let (page, run) = scene.ends(&scene.start("audit").await).await;
    page.says("Done").never_says("Failed").says("It found 1 lost sign-in.").says("lost").says("2 logins");
    assert_eq!((run.state, run.found(), run.done), (State::Ended, unaccounted, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn maintain_is_started_here_and_makes_the_months() {
    let scene = Scene::of(TestDatabase::create().await).await;
    let (page, run) = scene.ends(&scene.start("maintain").await).await;
    page.says("Done").says("It is done: ").says("months made");
    assert_eq!(run.state, State::Ended);
    let expected = scene.beside(&["maintain"]).await;
    assert!(expected.status.success(), "{expected:?}");
    let of_command_line = runs::latest(scene.database.applier.database()).await.unwrap();
    let of_command_line = of_command_line.iter().find(|latest| latest.what == run.what).unwrap();
    assert_ne!(of_command_line.id, run.id);
    assert_eq!(of_command_line.scope, run.scope, "the same months, by the same defaults");
    // By a login that may not: the task says what the command says of itself.
    let console = Console::start(&scene.database.deployment, &["--allow", "act"]).await;
    let plan = console.post("/plans", &[("kind", "maintain")]).await;
    let task = console.post(plan.location(), &[]).await.location().to_owned();
    eventually("it fails", LIMIT, async || console.get(&task).await.body.contains("It ended early")).await;
    console.get(&task).await.says("Failed").says("What was done until then stays so");
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_is_started_here_and_repairs_what_it_found() {
    let database = TestDatabase::create().await;
    let scene = Scene::of(database).await;
    for user in ["ada", "ben", "cy"] {
        scene.pool.add(user, &[("email", &format!("{user}@example.com"))]).await;
    }
    let users = scene.pool.users().await;
    scene.database.apply(&[Event::User(scene.pool.snapshot(&users[0]))]).await;
    // Who changed within a minute is left alone, by the button as by the command.
    tokio::time::sleep(Duration::from_secs(61)).await;
    let expected = scene.beside(&["reconcile", "--json"]).await;
    assert_eq!(expected.status.code(), Some(2), "{expected:?}");
    let (page, run) = scene.ends(&scene.start("reconcile").await).await;
    page.says("Done").says("It found 2 differences.").says("missing").says("sends 2 snapshots");
    page.never_says("ben@example.com");
    let of_command_line = json_of(&expected)["to_repair"].as_u64();
    assert_eq!((run.state, run.found(), run.done), (State::Ended, of_command_line, 3));

    scene.console.get("/drift").await.says("Repair 2…");
    let planned = scene.console.post(&format!("/drift/{}/repair", run.id), &[]).await;
    let plan = planned.location().to_owned();
    scene.console.get(&plan).await.says("Type 2 to go on").says("sends 2 snapshots");
    let wrong = scene.console.post(&plan, &[("reason", "change 882"), ("count", "3")]).await;
    assert_eq!(wrong.status, 422);
    let task = scene.press(&plan, &[("reason", "change 882"), ("count", "2")]).await;
    let (page, run) = scene.ends(&task).await;
    page.says("Done").says("2 repaired");
    assert_eq!(run.count(&["published", "snapshots"]), Some(2));
    // Through the queue: the consumer applies it.
    let worker = Adapter::Worker.start(&scene.database.deployment, &[]).await;
    worker.drained(&scene.database.deployment).await;
    worker.end().await;
    assert_eq!(scene.database.count("users where email like '%@example.com'").await, 3);
    let (page, _) = scene.ends(&scene.start("reconcile").await).await;
    page.says("It found nothing that is not as it should be.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_outlives_its_console_is_told_of_truthfully() {
    let database = TestDatabase::create().await;
    database.apply(&[login(1, at(1)).build()]).await;
    let mut scene = Scene::of(database).await;
    let mut holder = scene.database.owner.begin().await.unwrap();
    sqlx::raw_sql("lock table users in access exclusive mode").execute(&mut *holder).await.unwrap();
    let task = scene.start("verify").await;
    eventually("it has begun", LIMIT, async || scene.database.count("user_sync_runs").await == 1).await;
    // A run that goes on is looked after at its task.
    scene.console.get("/drift").await.says(&format!("href=\"{task}\">Progress"));
    scene.console.get(&task).await.says("Running").says("Cancel the rest");
    let pool = TestPool::create(&scene.database.deployment.endpoint).await;
    // Replaced: the one that started it is killed.
    scene.console = Scene::console(&scene.database, &pool, &scene.home).await;
    scene.sql("update user_sync_console_task_notes set at = at - interval '31 seconds'").await;
    scene
        .console
        .get(&task)
        .await
        .says("Stopped")
        .says("The command goes on without it")
        .never_says("Cancel the rest");
    holder.rollback().await.unwrap();
    eventually("it ends", LIMIT, async || scene.console.get(&task).await.body.contains("came to its end"))
        .await;
    scene.console.get(&task).await.says("It found nothing that is not as it should be.");
    for (change, says) in [
        ("set ended_at = null, findings = null, progressed_at = now() - interval '1 hour'", "and has no end"),
        ("set ended_at = now(), findings = null, error = 'database: 57P01'", "Why: database: 57P01"),
    ] {
        scene.sql(&format!("update user_sync_runs {change}")).await;
        scene.console.get(&task).await.says(says);
    }
    scene.sql("delete from user_sync_runs").await;
    scene.console.get(&task).await.says("has not written down that it began");
}

const CROWD: &str = "
    insert into users (id, name, referral_code, created_at, synced_at, updated_at, cognito_username, cognito_status, enabled,
        is_deleted, user_pool_id, login_count, last_login_at)
    select md5(n::text)::uuid, 'Name' || n, upper(substr(md5('code' || n), 1, 16)), now() - n * interval '10 minutes', now(),
        now(), 'login-' || n, case n % 20 when 1 then 'UNCONFIRMED' else 'CONFIRMED' end, true, false,
        case n % 3 when 0 then 'eu-west-1_Test00000' else 'eu-west-1_Test00001' end, 1,
        case when n % 10 <> 3 then now() - n % 120 * interval '1 day' end
    from generate_series(1, 12345) as n;
    insert into user_sync_memberships (user_id, name, user_pool_id, at, gone)
    select md5(n::text)::uuid, 'crowd', 'eu-west-1_Test00000', now(), n % 11 = 0 from generate_series(1, 12400) as n;
    analyze users";

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_counted_once_however_many_ask() {
    let scene = Scene::of(TestDatabase::create().await).await;
    scene.sql(CROWD).await;
    let count = async |query: &str| -> u64 {
        u64::try_from(scene.database.count(&format!("users where {query}")).await).unwrap()
    };
    let list = scene.console.get("/users").await;
    list.says("More than 10,000 users").says("about 12,000").says("Count them all…");
    // A member without a row is in no list, and does not fail it.
    assert_eq!(scene.console.get("/users?group=crowd").await.status, 200);
    let filters: [(&[(&str, &str)], &str); 5] = [
        (&[], "true"),
        (&[("status", "confirmed")], "cognito_status = 'CONFIRMED'"),
        (
            &[("pool", "eu-west-1_Test00001"), ("seen", "7d")],
            "user_pool_id = 'eu-west-1_Test00001' and last_login_at >= now() - interval '7 days'",
        ),
        (&[("seen", "never")], "last_login_at is null"),
        (
            &[("group", "crowd"), ("pool", "eu-west-1_Test00000")],
            "user_pool_id = 'eu-west-1_Test00000' and id in (select user_id from user_sync_memberships where not gone)",
        ),
    ];
    for (filter, condition) in filters {
        let planned = scene.console.post("/users/count", filter).await;
        assert!(planned.location().starts_with("/plans/"), "{filter:?}: {planned:?}");
        scene.console.get(planned.location()).await.says("Count the users?").says("Nothing is changed");
        let task = scene.press(planned.location(), &[]).await;
        let number = thousands(count(condition).await);
        eventually("it is counted", LIMIT, async || scene.console.get(&task).await.body.contains("Done"))
            .await;
        scene.console.get(&task).await.says(&format!("{number} users")).says("Counted between");
        // The list has the number of its filters, and of no others.
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(filter).finish();
        scene.console.get(&format!("/users?{query}")).await.says(&format!("{number}, counted at"));
    }
    scene.console.get("/users?status=external").await.never_says("counted at");
    for wrong in [("status", "x"), ("seen", "x")] {
        assert_eq!(scene.console.post("/users/count", &[wrong]).await.status, 400, "{wrong:?}");
    }
    // An hour later it is no longer known.
    scene.sql("delete from user_sync_console_task_notes; delete from user_sync_console_tasks").await;
    scene.console.get("/users").await.says("More than 10,000 users").never_says("counted at");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_number_that_is_being_counted_shares_it_and_anybody_cancels_it() {
    let scene = Scene::of(TestDatabase::create().await).await;
    scene.sql(CROWD).await;
    let other = Scene::console(&scene.database, &scene.pool, &scene.home).await;
    let plans = [
        scene.console.post("/users/count", &[]).await.location().to_owned(),
        other.post("/users/count", &[]).await.location().to_owned(),
    ];
    assert!(plans.iter().all(|plan| plan.starts_with("/plans/")) && plans[0] != plans[1]);
    let mut holder = scene.database.owner.begin().await.unwrap();
    sqlx::raw_sql("lock table users in access exclusive mode").execute(&mut *holder).await.unwrap();
    let task = scene.press(&plans[0], &[]).await;
    assert_eq!(other.post(&plans[1], &[]).await.location(), task, "a plan of before");
    assert_eq!(other.post("/users/count", &[]).await.location(), task, "and who comes now");
    let filtered = other.post("/users/count", &[("status", "confirmed")]).await;
    assert!(filtered.location().starts_with("/plans/"), "another number");
    scene.console.get(&task).await.says("Running");
    assert_eq!(other.post(&format!("{task}/cancel"), &[]).await.status, 303);
    eventually("it is cancelled", LIMIT, async || other.get(&task).await.body.contains("It was cancelled"))
        .await;
    holder.rollback().await.unwrap();
    scene.console.get("/users").await.says("Count them all…").never_says("counted at");
    let did = "user_sync_console_tasks";
    assert_eq!(scene.database.count(did).await, 1);
    let reader = Console::start(&scene.database.deployment, &[]).await;
    reader.get("/users").await.says("More than 10,000").never_says("Count them all…");
    assert_eq!(reader.post("/users/count", &[]).await.status, 403);
    assert_eq!(json!(scene.database.count("user_sync_console_trail where did = 'refused'").await), json!(1));
}

/// `12,345`.
fn thousands(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}
