//! Analytics: from what is kept by day, and from nothing else.

use std::process::{Command, Stdio};

use cognito_user_sync::postgres::Role;
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::report::login_url;
use crate::support::console::Console;
use crate::support::events::{confirmed, login};
use crate::support::{TestDatabase, binaries};

const DAY_MS: u64 = 86_400_000;
const REPORTS: [&str; 10] = [
    "growth",
    "active-users",
    "logins",
    "hours",
    "retention",
    "first-login",
    "devices",
    "countries",
    "clients",
    "failures",
];

fn ago(days: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - days * DAY_MS - 60_000)
}

/// Counts by the program, as the consumer's role.
async fn refresh(database: &TestDatabase) -> String {
    let url = login_url(database, Role::Consumer).await;
    let output = Command::new(binaries::user_sync())
        .args(["report", "refresh"])
        .env_clear()
        .env("DATABASE_URL", url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn told() -> TestDatabase {
    let database = TestDatabase::create().await;
    let mut events = Vec::new();
    for user in 0..20_u128 {
        let days = u64::try_from(user).unwrap();
        let client = Some(Text::from(if user % 2 == 0 { "=1+1<script>" } else { "web" }));
        events.push(confirmed(user, ago(days + 1)).build());
        events.push(login(user, ago(days)).with(|data| data.client_id = client.clone()).build());
    }
    database.apply(&events).await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn before_anything_is_counted_the_page_says_how_to() {
    let database = told().await;
    let console = Console::start(&database.deployment, &[]).await;
    let page = console.get("/analytics").await;
    assert_eq!(page.status, 200);
    page.says("Nothing is counted yet")
        .says("user-sync report refresh")
        .never_says("<svg class=\"chart-svg\"");
    assert_eq!(console.get("/analytics/growth.csv").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_by_day_is_shown_and_neither_a_ledger_nor_a_user_is_read() {
    let database = told().await;
    assert!(refresh(&database).await.starts_with("counted the logins of "));
    // Whatever reads one of these fails from here on.
    let roles = [Role::Consumer, Role::Reader].map(|role| database.deployment.prefix().role(role));
    let tables =
        "users, user_events, user_event_partitions, user_sync_contexts, user_sync_failures, user_baseline";
    let revoke = format!("revoke select on {tables} from {}, {}", roles[0], roles[1]);
    sqlx::query(AssertSqlSafe(revoke)).execute(&database.owner).await.unwrap();
    let console = Console::start(&database.deployment, &[]).await;
    let page = console.get("/analytics?range=28d").await;
    assert_eq!(page.status, 200, "{}", page.body);
    page.says("counted up to ").says("Sign-ins in 28 days").says("<dd class=\"figure\">20</dd>");
    page.says("role=\"img\"")
        .never_says("<script>")
        .never_says("=1+1<")
        .never_says("style=")
        .says("&lt;script&gt;");
    for report in REPORTS {
        let csv = console.get(&format!("/analytics/{report}.csv?range=28d")).await;
        assert_eq!(
            (csv.status, csv.header("content-type")),
            (200, Some("text/csv; charset=utf-8")),
            "{report}"
        );
        assert!(csv.header("content-disposition").unwrap().starts_with("attachment; "), "{report}");
        let json = console.get(&format!("/analytics/{report}.json?range=28d")).await;
        let rows: Value = serde_json::from_str(&json.body).unwrap();
        assert_eq!(rows.as_array().unwrap().len() + 1, csv.body.lines().count(), "{report}");
    }
    let clients = console.get("/analytics/clients.csv").await;
    assert_eq!(clients.body, "client_id,logins\n'=1+1<script>,10\nweb,10\n");
    let logins = console.get("/analytics/logins.json").await;
    let logins: Value = serde_json::from_str(&logins.body).unwrap();
    let sum: i64 = logins.as_array().unwrap().iter().filter_map(|row| row["logins"].as_i64()).sum();
    assert_eq!(sum, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_none_and_a_report_that_is_none_are_refused() {
    let database = told().await;
    let console = Console::start(&database.deployment, &[]).await;
    for query in
        ["range=1y", "from=2026-02-30&to=2026-03-01", "from=2026-03-01&to=2026-02-01", "from=%27&to=%3B"]
    {
        assert_eq!(console.get(&format!("/analytics?{query}")).await.status, 400, "{query}");
    }
    for path in
        ["/analytics/users.csv", "/analytics/growth.xls", "/analytics/growth", "/analytics/..%2fnow.csv"]
    {
        assert_eq!(console.get(path).await.status, 404, "{path}");
    }
}
