//! Drift and audit: how the last runs went, what they found, and what anybody can start.

use cognito_user_sync::postgres::{self, Database, Role};
use cognito_user_sync::store::runs::{Begin, Run, What};
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::report::login_url;
use crate::support::TestDatabase;
use crate::support::console::Console;

async fn reader(database: &TestDatabase) -> Database {
    let url = login_url(database, Role::Reader).await;
    let config = cognito_user_sync::config::DatabaseConfig::with_url(&url);
    postgres::connect(&config, 1).await.unwrap()
}

async fn ran(database: &Database, begin: Begin, findings: serde_json::Value) -> Uuid {
    let run = Run::begin_as(database, begin).await;
    let id = run.id().unwrap();
    run.progress(1_048_312, Some(1_048_312));
    run.end(findings).await;
    id
}

fn of_pool() -> serde_json::Value {
    json!({
        "found": 37, "left": 37, "repairable": 36,
        "kinds": { "attributes": 29, "missing": 6, "gone": 1, "deleted_but_present": 1, "created_at": 0 },
        "requests": { "list_users": 17_473, "admin_get_user": 0 },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_ran_the_page_says_so_and_what_to_do() {
    let database = TestDatabase::create().await;
    let console = Console::start(&database.deployment, &[]).await;
    let page = console.get("/drift").await;
    assert_eq!(page.status, 200);
    page.says("Nothing was compared yet").says("Not known").says("none is written down");
    page.says("No difference is known")
        .says("user-sync verify")
        .never_says("<form method=\"post\" action=\"/plans\"");
    for absent in [Uuid::now_v7().to_string(), "x".to_owned(), "%27".to_owned()] {
        assert_eq!(console.get(&format!("/drift/{absent}")).await.status, 404, "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_runs_are_shown_with_what_they_found_and_what_repairs_it() {
    let database = TestDatabase::create().await;
    let reader = reader(&database).await;
    let scope = json!({ "user_pool_id": "eu-west-1_Test00000", "mode": "dry_run" });
    let pool = ran(&reader, Begin::new(What::Reconcile, scope), of_pool()).await;
    ran(&reader, Begin::new(What::Verify, json!({})), json!({ "found": 0, "left": 0, "kinds": {} })).await;
    let audit = Run::begin(&reader, What::Audit, json!({})).await;
    audit.progress(101_400, Some(166_204));
    let running = audit.id().unwrap();
    audit.leave().await;
    Run::begin(&reader, What::Maintain, json!({})).await.fail("somebody holds locks").await;

    let console = Console::start(&database.deployment, &[]).await;
    let page = console.get("/drift").await;
    assert_eq!(page.status, 200);
    page.says("37 differences are known and not repaired").says("1,048,312 users, 17,473 requests");
    page.says("Needs attention").says("Healthy").says("Running").says("61 % · 101,400 of 166,204 logins");
    page.says("Failed").says("somebody holds locks");
    page.says("What the pool says and the table does not")
        .says("sends 29 snapshots")
        .says("sends 1 deletion");
    page.says("user-sync restore takes a deletion back").never_says("created_at");
    // Who may not act sees the command.
    page.says("user-sync reconcile --repair").never_says("Repair 36…");
    page.says("One day in thirty had more than a handful");

    let run = console.get(&format!("/drift/{pool}?kind=missing")).await;
    run.says("in the pool, without a row").says("user pool id: eu-west-1_Test00000").says("Counts only");
    assert_eq!(console.get(&format!("/drift/{pool}?kind=%3Cscript%3E")).await.status, 200);
    let run = console.get(&format!("/drift/{running}")).await;
    run.says("value=\"101400\" max=\"166204\"").says("Running");
    let run = console.get("/drift").await;
    run.says(&format!("/drift/{running}"));

    // A later check by schedule knows better.
    ran(&reader, Begin::new(What::Drift, json!({})), json!({ "found": 0, "left": 0, "kinds": {} })).await;
    console.get("/drift").await.says("No difference is known").never_says("sends 29 snapshots");
}

/// The count of the run is what the plan wants typed; and whoever may not act is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_a_plan_of_what_the_run_found() {
    let database = TestDatabase::create().await;
    let reader = reader(&database).await;
    let pool = ran(&reader, Begin::new(What::Reconcile, json!({})), of_pool()).await;
    let audit = ran(&reader, Begin::new(What::Audit, json!({})), json!({ "found": 1, "left": 1 })).await;

    let only_reads = Console::start(&database.deployment, &[]).await;
    assert_eq!(only_reads.post(&format!("/drift/{pool}/repair"), &[]).await.status, 403);

    let console = Console::start(&database.deployment, &["--allow", "act"]).await;
    console
        .get("/drift")
        .await
        .says("Repair 36…")
        .says("Verify now…")
        .never_says("user-sync reconcile --repair");
    let planned = console.post(&format!("/drift/{pool}/repair"), &[]).await;
    assert_eq!(planned.status, 303, "{planned:?}");
    let plan = console.get(planned.location()).await;
    plan.says("36").says("sends 29 snapshots").says("none: user-sync restore").says("it compares again");
    assert_eq!(console.post(&format!("/drift/{audit}/repair"), &[]).await.status, 400);
    assert_eq!(console.post(&format!("/drift/{}/repair", Uuid::now_v7()), &[]).await.status, 404);
    let simple = console.post("/plans", &[("kind", "verify")]).await;
    assert!(simple.status == 303 && simple.location().starts_with("/plans/"), "{simple:?}");
}

/// What a login that may write runs has written there is another's, and does nothing in the page.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_says_of_itself_is_text() {
    let database = TestDatabase::create().await;
    let reader = reader(&database).await;
    let markup = "<script>alert(1)</script>\u{202e}\"'";
    let begin = Begin {
        started_by: Some(markup.to_owned()),
        ..Begin::new(What::Verify, json!({ "mode": markup, markup: "x" }))
    };
    let id = ran(&reader, begin, json!({ "found": 2, "left": 2, "kinds": { markup: 2 } })).await;
    let failing = Run::begin(&reader, What::Audit, json!({})).await;
    let failed = failing.id().unwrap();
    failing.fail(markup).await;
    let console = Console::start(&database.deployment, &[]).await;
    for path in ["/drift".to_owned(), format!("/drift/{id}"), format!("/drift/{failed}")] {
        let page = console.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        page.never_says("<script>alert").never_says("\u{202e}").says("U+202E");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_before_is_a_trouble_of_the_database_and_not_of_the_console() {
    let database = TestDatabase::create().await;
    let console = Console::start(&database.deployment, &[]).await;
    let drop = AssertSqlSafe("drop table user_sync_runs");
    sqlx::query(drop).execute(&database.owner).await.unwrap();
    assert_eq!(console.get("/drift").await.status, 503);
    assert_eq!(console.get("/help").await.status, 200);
}
