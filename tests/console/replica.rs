//! A replica: the pages read there, and what is written goes to the primary. If that is down, nothing is revealed or done, and
//! reading goes on.

use std::time::Duration;

use cognito_user_sync::dev::local::{self, Deployment};
use serde_json::Value;

use crate::support::console::{Console, environment};
use crate::support::events::{at, confirmed, sub};
use crate::support::standby::Standby;
use crate::support::{TestDatabase, eventually, own_stack};

const LIMIT: Duration = Duration::from_secs(90);

async fn lag(console: &Console) -> Option<(String, String)> {
    let answer = console.get("/now.json").await;
    let now: Value = serde_json::from_str(&answer.body).unwrap();
    let check =
        now["checks"].as_array()?.iter().find(|check| check["name"] == "Replica that is read")?.clone();
    Some((check["status"].as_str()?.to_owned(), check["now"].as_str()?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_read_and_without_the_primary_nothing_is_revealed_or_done() {
    let stack = own_stack().await;
    let deployment = Deployment::create(&stack).await.unwrap();
    let database = TestDatabase::of(deployment.clone()).await;
    database.apply(&[confirmed(1, at(0)).email("ada@example.com").build()]).await;
    let Some(standby) = Standby::of(stack.postgres.admin_url()).await else {
        eprintln!("skipped: this PostgreSQL has no pg_basebackup, so there is no standby");
        return;
    };
    let mut variables = environment(&deployment);
    let replica = standby.url(&deployment.console_url);
    variables.push(("USER_SYNC_REPLICA_URL", &replica));
    let console = Console::start_signed_out(&variables, &["--allow", "reveal,act"]).await;
    console.sign_in().await;
    let user = format!("/users/{}", sub(1));
    console.get(&user).await.says("The row is what its 1 event");
    eventually("it shows what the primary has", LIMIT, async || {
        lag(&console).await.is_some_and(|(status, _)| status == "healthy")
    })
    .await;
    let planned = console.post("/plans", &[("kind", "verify")]).await;
    let plan = planned.location().to_owned();
    assert_eq!(console.get(&plan).await.status, 200, "what was written a moment ago is read on the primary");

    // Behind: it says so, and shows what was.
    let at_standby = local::connect(&standby.url(stack.postgres.admin_url()), 1).await.unwrap();
    sqlx::raw_sql("select pg_wal_replay_pause()").execute(&at_standby).await.unwrap();
    database.apply(&[confirmed(2, at(0)).email("ben@example.com").build()]).await;
    assert_eq!(console.get(&format!("/users/{}", sub(2))).await.status, 404);
    eventually("it says how far it is behind", LIMIT, async || {
        lag(&console).await.is_some_and(|(_, now)| now.ends_with(" behind"))
    })
    .await;
    sqlx::raw_sql("select pg_wal_replay_resume()").execute(&at_standby).await.unwrap();
    eventually("it has what came", LIMIT, async || {
        console.get(&format!("/users/{}", sub(2))).await.status == 200
    })
    .await;

    let trail = database.count("user_sync_console_trail where did <> 'signed_in'").await;
    stack.postgres.stop_server().await.unwrap();
    for path in [user.as_str(), "/users", "/drift", "/audit", "/tasks", "/analytics", &plan] {
        assert_eq!(console.get(path).await.status, 200, "{path}");
    }
    let forms: [(&str, &[(&str, &str)]); 5] = [
        (&format!("{user}/reveal"), &[("reason", "ticket 882")]),
        ("/users/find", &[("text", "ada@example.com")]),
        ("/plans", &[("kind", "verify")]),
        (&plan, &[]),
        ("/dead-letters/read", &[]),
    ];
    for (path, form) in forms {
        let answer = console.post(path, form).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (503, None), "{path}: {answer:?}");
        answer.says("Nothing was done");
    }
    console.get(&user).await.says("Personal data is masked").never_says("ada@example.com");
    eventually("the lag is not known", LIMIT, async || {
        lag(&console).await.is_some_and(|(status, _)| status == "unknown")
    })
    .await;
    stack.postgres.start_server().await.unwrap();
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.count("user_sync_console_trail where did <> 'signed_in'").await, trail);
    assert_eq!(database.count("user_sync_console_tasks").await, 0);
    eventually("what is revealed is written down again", LIMIT, async || {
        console.post(&format!("{user}/reveal"), &[("reason", "ticket 882")]).await.status == 303
    })
    .await;
}
