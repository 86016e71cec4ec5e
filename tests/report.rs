//! The reports: each view against a count of the same events, done here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output, Stdio};

use cognito_user_sync::dev::local;
use cognito_user_sync::postgres::{Database, Role};
use cognito_user_sync::store::report::{self, MAX_DAYS, MAX_WEEKS};
use cognito_user_sync_triggers::event::{Event, GroupChange, Kind};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::support::events::{confirmed, event, group, login, sub};
use crate::support::{TestDatabase, binaries};

const VIEWS: [&str; 10] = [
    "report_user_growth",
    "report_active_users",
    "report_login_activity",
    "report_devices",
    "report_logins_by_day",
    "report_retention",
    "report_groups",
    "report_failures",
    "report_failing_users",
    "report_audit",
];
const DEVICES: [Option<&str>; 4] = [Some("Mobile"), Some("Desktop"), None, Some("Tablet")];
const HALF_DAY: u64 = 43_200;

/// A user's story, from which the test counts.
struct Story {
    user: u128,
    created: Timestamp,
    /// In the order of time; for a federated user the first is the confirmation.
    logins: Vec<Timestamp>,
    federated: bool,
    deleted: bool,
}

impl Story {
    fn device(&self) -> Option<&'static str> {
        DEVICES[usize::try_from(self.user % 4).unwrap()]
    }

    fn events(&self) -> Vec<Event<'static>> {
        let device = self.device().map(Text::from);
        let confirmed = confirmed(self.user, self.created).with(|data| data.federated = self.federated);
        let mut events = vec![confirmed.with(|data| data.client.device = device.clone()).build()];
        let later = self.logins.iter().skip(usize::from(self.federated));
        events.extend(
            later.map(|at| login(self.user, *at).with(|data| data.client.device = device.clone()).build()),
        );
        if self.deleted {
            events.push(event(Kind::Deleted, self.user, ago(0)).build());
        }
        events
    }
}

/// Half a day and so many days ago: never near the edge of a window.
fn ago(days: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - (days * 2 + 1) * HALF_DAY * 1_000)
}

fn stories() -> Vec<Story> {
    let story = |user: u64| {
        let (days, federated) = (user * 7 % 60, user.is_multiple_of(5));
        let first = u64::from(!federated);
        let logins = (first..first + user % 6).map(|n| days.checked_sub(n * 3)).map_while(|days| days);
        let mut logins: Vec<Timestamp> = logins.map(ago).collect();
        let created = ago(days);
        if federated {
            logins = std::iter::once(created).chain(logins.into_iter().skip(1)).collect();
        }
        Story { user: user.into(), created, logins, federated, deleted: user % 11 == 3 }
    };
    (0..40).map(story).collect()
}

fn day(at: Timestamp) -> Date {
    OffsetDateTime::from(at).date()
}

fn monday(at: Timestamp) -> Date {
    day(at) - time::Duration::days(day(at).weekday().number_days_from_monday().into())
}

fn tally<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, i64> {
    let mut counts = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_insert(0) += 1);
    counts
}

/// The URL of a login that is a member of `role` and nothing else.
pub(crate) async fn login_url(database: &TestDatabase, role: Role) -> String {
    let role = database.deployment.prefix().role(role);
    let name = format!("t_{}", Uuid::now_v7().simple());
    let create = format!("create role {name} login password 'secret' in role {role}");
    sqlx::query(AssertSqlSafe(create)).execute(&database.owner).await.unwrap();
    let (_, rest) = database.deployment.consumer_url.rsplit_once('@').unwrap();
    format!("postgres://{name}:secret@{rest}")
}

async fn told() -> (TestDatabase, Vec<Story>) {
    let (database, stories) = (TestDatabase::create().await, stories());
    database.apply(&stories.iter().flat_map(Story::events).collect::<Vec<_>>()).await;
    (database, stories)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_view_says_what_the_events_amount_to() {
    let (database, stories) = told().await;
    let url = login_url(&database, Role::Reader).await;
    let pool: Database = local::connect(&url, 1).await.unwrap().into();
    let kept = || stories.iter().filter(|story| !story.deleted);
    assert!(stories.iter().any(|story| story.deleted) && stories.iter().any(|story| story.federated));

    let growth = report::growth(&pool, MAX_DAYS).await.unwrap();
    assert!(growth.is_sorted_by(|left, right| left.day > right.day));
    let growth: BTreeMap<_, _> = growth.into_iter().map(|row| (row.day, row.users)).collect();
    assert_eq!(growth, tally(kept().map(|story| day(story.created))));

    let active = report::active(&pool).await.unwrap();
    let within = |days: u64| {
        let is_within = |story: &&Story| story.logins.last().is_some_and(|at| *at > ago(days));
        i64::try_from(kept().filter(is_within).count()).unwrap()
    };
    assert_eq!(active.active_users, i64::try_from(kept().count()).unwrap());
    assert_eq!(active.signed_in_7_days, within(7));
    assert_eq!(active.signed_in_30_days, within(30));
    assert_eq!(active.signed_in_1_day, within(1));
    assert!(active.signed_in_7_days > 0 && active.signed_in_7_days < active.signed_in_30_days);

    let logins = report::logins(&pool, MAX_DAYS, 1_000).await.unwrap();
    let expected = kept().filter(|story| !story.logins.is_empty()).map(|story| {
        let count = i64::try_from(story.logins.len()).unwrap();
        (sub(story.user), count, *story.logins.last().unwrap(), story.device().map(str::to_owned))
    });
    let found = logins.iter().cloned();
    let found = found.map(|row| (row.user_id, row.login_count, row.last_login_at, row.last_login_device));
    assert_eq!(found.collect::<BTreeSet<_>>(), expected.collect::<BTreeSet<_>>());
    assert!(logins.is_sorted_by(|left, right| left.last_login_at >= right.last_login_at));
    assert_eq!(report::logins(&pool, MAX_DAYS, 3).await.unwrap(), logins[..3]);
    assert_eq!(
        report::logins(&pool, 7, 1_000).await.unwrap().len(),
        logins.iter().filter(|row| row.days_since_login < 7).count()
    );

    let devices = report::devices(&pool).await.unwrap();
    let devices: BTreeMap<_, _> = devices.into_iter().map(|row| (row.device, row.users)).collect();
    let signed_in = kept().filter(|story| !story.logins.is_empty());
    assert_eq!(devices, tally(signed_in.filter_map(|story| story.device().map(str::to_owned))));
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_by_day_and_retention_count_the_ledger_deleted_users_included() {
    let (database, stories) = told().await;
    let pool = &Database::from(database.owner.clone());
    let daily = report::daily(pool, MAX_DAYS).await.unwrap();
    assert_eq!(daily.len(), usize::try_from(MAX_DAYS).unwrap(), "days without a login are there");
    let found = daily.iter().filter(|row| row.logins > 0).map(|row| (row.day, (row.logins, row.users)));
    let logins = || stories.iter().flat_map(|story| story.logins.iter().map(|at| (story.user, *at)));
    let users = tally(
        logins().map(|(user, at)| (day(at), user)).collect::<BTreeSet<_>>().into_iter().map(|(day, _)| day),
    );
    let expected =
        tally(logins().map(|(_, at)| day(at))).into_iter().map(|(day, logins)| (day, (logins, users[&day])));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected.collect());
    let counted: i64 = sqlx::query_scalar("select sum(login_count)::bigint from users")
        .fetch_one(pool.questions())
        .await
        .unwrap();
    assert_eq!(daily.iter().map(|row| row.logins).sum::<i64>(), counted, "as many as login_count");

    // A second federated confirmation is no login; nor is that of another sign-up the same day.
    let again = confirmed(0, ago(0)).with(|data| data.federated = true).build();
    database.apply(&[again]).await;
    assert_eq!(report::daily(pool, MAX_DAYS).await.unwrap(), daily);

    let retention = report::retention(pool, MAX_WEEKS).await.unwrap();
    let cohorts = tally(stories.iter().map(|story| monday(story.created)));
    let weeks = stories.iter().flat_map(|story| {
        // The one applied again above did sign in then, whatever it counts as.
        let again = (story.user == 0).then(|| ago(0));
        let weeks = story.logins.iter().copied().chain(again).map(monday).collect::<BTreeSet<_>>();
        weeks.into_iter().map(|week| (monday(story.created), (week - monday(story.created)).whole_weeks()))
    });
    let signed_in = tally(weeks);
    for row in &retention {
        assert_eq!(row.cohort_users, cohorts[&row.cohort_week]);
        let key = (row.cohort_week, i64::from(row.week_number));
        assert_eq!(row.signed_in_users, Some(signed_in.get(&key).copied().unwrap_or(0)), "{key:?}");
    }
    let keys: BTreeSet<_> =
        retention.iter().map(|row| (row.cohort_week, i64::from(row.week_number))).collect();
    assert!(signed_in.keys().all(|key| keys.contains(key)) && keys.len() > signed_in.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_does_not_call_a_week_before_the_ledger_empty() {
    let database = TestDatabase::create().await;
    let found_in_pool = event(Kind::Snapshot, 1, ago(0)).with(|data| data.created_at = Some(ago(70))).build();
    database.apply(&[found_in_pool, login(1, ago(0)).build()]).await;
    let retention = report::retention(&database.owner.clone().into(), MAX_WEEKS).await.unwrap();
    let this_week = (monday(ago(0)) - monday(ago(70))).whole_weeks();
    for row in &retention {
        let expected = (i64::from(row.week_number) >= this_week)
            .then(|| i64::from(i64::from(row.week_number) == this_week));
        assert_eq!(row.signed_in_users, expected, "week {}", row.week_number);
    }
    assert!(i64::try_from(retention.len()).unwrap() > this_week);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_read_every_report_and_the_application_none() {
    let database = TestDatabase::create().await;
    let url = login_url(&database, Role::Reader).await;
    let (reader, app) = (
        local::connect(&url, 1).await.unwrap(),
        local::connect(&database.deployment.app_url, 1).await.unwrap(),
    );
    for view in VIEWS {
        let query = || sqlx::raw_sql(AssertSqlSafe(format!("select * from {view}")));
        assert!(query().execute(&reader).await.is_ok(), "{view}");
        assert!(query().execute(database.applier.pool()).await.is_ok(), "{view}");
        let refused = query().execute(&app).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"), "{view}");
    }
}

/// Failures and contexts of three days, made by SQL: user 1 fails 1,000 times from two networks, user 2 200 times, half of them
/// two days before; nobody knows who the third was.
async fn recorded(owner: &sqlx::PgPool) {
    for statement in [
        "insert into user_sync_failures (id, user_id, user_pool_id, client_id, reason, network, reported_by, occurred_at)
        select (substr(user_event_bound(at)::text, 1, 13) || '-7' || substr(md5(n::text), 1, 3) || '-8'
                || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid,
            case when n < 1000 then $1 when n < 1200 then $2 end, 'eu-west-1_Test00000', 'app',
            case when n < 1000 then 'wrong_password' else 'wrong_code' end,
            case when n % 2 = 0 then '203.0.113.0/24' else '2001:db8:1::/48' end::cidr, 'cloudtrail', at
        from generate_series(0, 1200) as n,
            lateral (select now() - interval '12 hours' - case when n > 1000 and n % 2 = 0 then interval '2 days'
                else interval '0' end) as moments (at)
        where n <> 1000",
        "insert into user_sync_contexts (id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness,
            occurred_at, data)
        select (substr(user_event_bound(at)::text, 1, 13) || '-7' || substr(md5(n::text), 1, 3) || '-8'
                || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid,
            case when n % 2 = 0 then $1 else $2 end, 'eu-west-1_Test00000', 'app',
            (array['cloudtrail', 'threat_protection', 'application', 'cloudtrail'])[1 + n % 4],
            case when n < 40 then 'sign_in' else 'sign_up' end, false, at,
            case when n % 4 = 3 then '{\"flow\":\"REFRESH_TOKEN_AUTH\"}' else '{}' end::jsonb
        from generate_series(0, 49) as n, lateral (select now() - interval '12 hours') as moments (at)",
    ] {
        sqlx::query(statement).bind(sub(1)).bind(sub(2)).execute(owner).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_records_are_counted_by_day() {
    let database = TestDatabase::create().await;
    recorded(&database.owner).await;
    let logins = [login(1, ago(0)), login(2, ago(0))];
    let logins = logins.map(|login| login.with(|data| data.client_id = Some("app".into())).build());
    let federated = confirmed(3, ago(1)).with(|data| data.federated = true).build();
    database.apply(&[logins.to_vec(), vec![federated, confirmed(4, ago(1)).build()]].concat()).await;
    let pool = &Database::from(database.owner.clone());

    let failures = report::failures(pool, MAX_DAYS).await.unwrap();
    let found = failures.iter().map(|row| {
        let (reason, network) = (row.reason.as_deref().unwrap(), row.network.as_deref().unwrap());
        (row.day, reason, network, row.failures, row.users)
    });
    let (last, before) = (day(ago(0)), day(ago(2)));
    let expected = [
        (last, "wrong_password", "2001:db8:1::/48", 500, 1),
        (last, "wrong_password", "203.0.113.0/24", 500, 1),
        (last, "wrong_code", "2001:db8:1::/48", 100, 1),
        (before, "wrong_code", "203.0.113.0/24", 100, 1),
    ];
    assert_eq!(found.collect::<BTreeSet<_>>(), expected.into());
    assert!(failures.is_sorted_by(|left, right| (left.day, left.failures) >= (right.day, right.failures)));
    assert_eq!(report::failures(pool, 2).await.unwrap(), failures[..3]);

    let users = report::failing_users(pool, 7, 10).await.unwrap();
    let found: Vec<_> = users.iter().map(|user| (user.user_id, user.failures, user.networks)).collect();
    assert_eq!(found, [(sub(1), 1_000, 2), (sub(2), 199, 2)]);
    assert!(users[1].first_at < users[1].last_at && users[0].first_at == users[0].last_at);
    assert_eq!(report::failing_users(pool, 7, 1).await.unwrap(), users[..1]);

    let audit = report::recorded(pool, MAX_DAYS).await.unwrap();
    let found = audit.iter().map(|row| {
        let records = [row.cloudtrail, row.threat_protection, row.application];
        (row.day, row.client_id.as_deref(), row.logins, records)
    });
    // Refreshed tokens and sign-ups are no sign-ins.
    let expected = [(last, Some("app"), 2, [10, 10, 10]), (day(ago(1)), None, 1, [0, 0, 0])];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let since = OffsetDateTime::now_utc().date() - time::Duration::days(2);
    let recent = audit.iter().filter(|row| row.day > since).count();
    assert_eq!(report::recorded(pool, 2).await.unwrap(), audit[..recent]);
}

/// The months that a condition on the day leaves to be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_few_days_of_logins_read_a_few_days_of_the_ledger() {
    let (database, _) = told().await;
    let explain = "explain (analyze, format json) select * from report_logins_by_day
        where day > (now() at time zone 'utc')::date - 3";
    let plan: Value = sqlx::query_scalar(explain).fetch_one(&database.owner).await.unwrap();
    let text = plan.to_string();
    assert!(text.contains("\"Index Scan\"") || text.contains("Bitmap"), "{text}");
    let read: Vec<&Value> = nodes(&plan[0]["Plan"])
        .into_iter()
        .filter(|node| node["Relation Name"].as_str().is_some_and(|name| name.starts_with("user_events_")))
        .filter(|node| node["Actual Loops"].as_f64() > Some(0.0))
        .collect();
    assert!(!read.is_empty() && read.len() <= 2, "{} months were read", read.len());
}

fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

fn run(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::user_sync());
    command.arg("report").args(arguments).env_clear().env("DATABASE_URL", url).stdin(Stdio::null());
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

const REPORTS: [&str; 10] = [
    "growth",
    "active",
    "logins",
    "daily",
    "devices",
    "retention",
    "groups",
    "failures",
    "failing_users",
    "audit",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_tables_json_and_csv() {
    let (database, stories) = told().await;
    let name = login(2, ago(0)).attributes(&[("name", "Ada \u{1b}[31m, \"Okafor\"")]).build();
    let joined = Event::Group(group("Ada \u{1b}[31m, \"friends\"", GroupChange::Joined(sub(2)), ago(0)));
    database.apply(&[name, joined]).await;
    recorded(&database.owner).await;
    let url = login_url(&database, Role::Reader).await;

    assert!(stdout(&run(&url, &["--help"])).contains("Example: user-sync report"));
    let text = stdout(&run(&url, &[]));
    for expected in [
        "growth: ",
        "active users: ",
        "logins: ",
        "daily: ",
        "devices: ",
        "retention: ",
        "groups: ",
        "failures: 1200 records of failed sign-ins",
        "failing users: ",
        "audit: ",
        "203.0.113.0/24",
        "█",
        "%",
        "Mobile",
    ] {
        assert!(text.contains(expected), "no {expected} in {text}");
    }
    assert!(
        text.contains("Ada \\u001b[31m") && !text.contains('\u{1b}'),
        "a name steers the terminal: {text}"
    );

    let all: Value = serde_json::from_str(&stdout(&run(&url, &["all", "--json"]))).unwrap();
    for report in REPORTS {
        let argument = report.replace('_', "-");
        let one: Value = serde_json::from_str(&stdout(&run(&url, &[&argument, "--json"]))).unwrap();
        assert_eq!(all[report], one, "{report}");
        let csv = stdout(&run(&url, &[&argument, "--csv"]));
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let header = reader.headers().unwrap().clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let objects = one.as_array().cloned().unwrap_or_else(|| vec![one]);
        assert!(!objects.is_empty() && rows.len() == objects.len(), "{report}");
        for (row, object) in rows.iter().zip(&objects) {
            assert_eq!(header.len(), object.as_object().unwrap().len());
            for (column, value) in header.iter().zip(row) {
                let expected = match &object[column] {
                    Value::Null => String::new(),
                    Value::String(text) => text.replace('\u{1b}', "\\u001b"),
                    other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                        other.to_string()
                    }
                };
                assert_eq!(value, expected, "{report} {column}");
            }
        }
    }
    let days = all["daily"].as_array().unwrap().len();
    assert_eq!(days, 30);
    let recent: Value =
        serde_json::from_str(&stdout(&run(&url, &["growth", "--days", "3", "--json"]))).unwrap();
    let created: i64 = recent.as_array().unwrap().iter().map(|row| row["users"].as_i64().unwrap()).sum();
    let today = OffsetDateTime::now_utc().date();
    let is_recent = |story: &&Story| !story.deleted && day(story.created) > today - time::Duration::days(3);
    assert_eq!(created, i64::try_from(stories.iter().filter(is_recent).count()).unwrap());

    let refused = run(&url, &["all", "--csv"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("name it"));
    let refused = run(&database.deployment.app_url, &["active"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a member of user_sync_reader"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_has_empty_reports() {
    let database = TestDatabase::create().await;
    let url = &database.deployment.consumer_url;
    let text = stdout(&run(url, &[]));
    assert!(
        text.contains("growth: 0 users created in 30 days") && text.contains("active users: 0"),
        "{text}"
    );
    assert_eq!(text.matches("none\n").count(), 10, "{text}");
    let all: Value = serde_json::from_str(&stdout(&run(url, &["--json"]))).unwrap();
    assert_eq!(all["growth"], serde_json::json!([]));
    assert_eq!(all["active"]["active_users"], 0);
    assert_eq!(stdout(&run(url, &["devices", "--csv"])), "device,users\n");
    assert_eq!(all["retention"], serde_json::json!([]));
}
