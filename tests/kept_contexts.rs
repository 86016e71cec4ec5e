//! What is kept of contexts, and their ledger: proved, mended, folded by months and erased, as rows and events are. Contexts are
//! written into their ledger by hand here, as the consumer does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database, RolePrefix};
use cognito_user_sync::store::maintenance::erase::{Erased, erase};
use cognito_user_sync::store::maintenance::explain::{Entry, Source, explain};
use cognito_user_sync::store::maintenance::partitions::{MaintainError, Maintained, detached_months};
use cognito_user_sync::store::maintenance::record_months::{maintain, maintain_within};
use cognito_user_sync::store::maintenance::repair::{Selection, rederive, repair};
use cognito_user_sync::store::maintenance::verify::{Difference, verify};
use cognito_user_sync::store::migrate;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{Context, ContextEvent, Event, EventId, Occasion, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::databases::{empty_database, open};
use crate::support::events::{at, login, sub};
use crate::support::geoip::cities;
use crate::support::{TestDatabase, sessions_wait};

const STATES: &str = "user_sync_context_states";
const DAY: u64 = 86_400_000;

async fn operator(database: &TestDatabase) -> Database {
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    postgres::connect(&config, 3).await.unwrap()
}

fn days_ago(days: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - days * DAY)
}

async fn run(database: &TestDatabase, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&database.owner).await.unwrap();
}

/// All differences of what is kept of contexts.
async fn differences(database: &Database, geoip: &GeoIp) -> Vec<Difference> {
    let mut found = Vec::new();
    verify(database, geoip, |difference| found.push(difference), |_| {}).await.unwrap();
    found.retain(|difference| difference.column == STATES);
    found
}

async fn all_differences(database: &Database) -> Vec<Difference> {
    let mut found = Vec::new();
    verify(database, &GeoIp::default(), |difference| found.push(difference), |_| {}).await.unwrap();
    found
}

fn by(reporter: Reporter, ip: &str) -> Context<'static> {
    Context { ip: Some(ip.to_owned().into()), ..Context::by(reporter) }
}

/// Writes a context into the ledger.
async fn record(
    database: &TestDatabase,
    user: Option<u128>,
    time: Timestamp,
    context: Context<'static>,
) -> EventId {
    let id = EventId::new(time);
    let mut data = serde_json::to_value(&context).unwrap();
    // What has a column of its own.
    let is_beside =
        |name: &String| !["reported_by", "occasion", "witness", "client_id"].contains(&name.as_str());
    data.as_object_mut().unwrap().retain(|name, _| is_beside(name));
    let insert = "insert into user_sync_contexts
            (id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness, occurred_at, data)
        values ($1, $2, 'eu-west-1_Test00000', $3, $4, $5, $6, $7, $8)";
    sqlx::query(insert)
        .bind(id.uuid())
        .bind(user.map(sub))
        .bind(context.client_id.as_deref())
        .bind(context.reported_by.as_str())
        .bind(context.occasion.as_str())
        .bind(context.witness)
        .bind(time::OffsetDateTime::from(time))
        .bind(data)
        .execute(database.applier.pool())
        .await
        .unwrap();
    id
}

async fn state(database: &TestDatabase, table: &str, user: u128) -> Option<Value> {
    let query = format!("select state from {table} where user_id = $1");
    let query = sqlx::query_scalar(AssertSqlSafe(query)).bind(sub(user));
    query.fetch_optional(&database.owner).await.unwrap()
}

fn users(differences: &[Difference]) -> BTreeSet<uuid::Uuid> {
    differences.iter().map(|difference| difference.user).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_contexts_is_proved_and_mended() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let geoip = GeoIp::default();
    database.apply(&[login(1, at(100)).build(), login(4, at(100)).build()]).await;
    // Five of one reporter, of which the latest four are kept; one of another; a sign-up; and what is not kept.
    let mut protection = Vec::new();
    for n in 0..5_u64 {
        let said = by(Reporter::ThreatProtection, &format!("192.0.2.{n}"));
        protection.push(record(&database, Some(1), at(90 + n), said).await);
    }
    let trail = Context {
        client_id: Some("app".into()),
        user_agent: Some("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)".into()),
        ..by(Reporter::CloudTrail, "198.51.100.7")
    };
    let trail = record(&database, Some(1), at(102), trail).await;
    let signed_up = Context { occasion: Occasion::SignUp, ..by(Reporter::CloudTrail, "198.51.100.9") };
    let signed_up = record(&database, Some(1), at(1), signed_up).await;
    let witness = Context { witness: true, ..by(Reporter::CloudTrail, "203.0.113.1") };
    record(&database, Some(1), at(103), witness.clone()).await;
    record(&database, None, at(104), by(Reporter::Application, "203.0.113.2")).await;
    // Of somebody without a row; and of somebody of whom nothing is kept.
    let stranger = record(&database, Some(2), at(100), by(Reporter::Application, "2001:db8::1")).await;
    record(&database, Some(4), at(100), witness).await;

    let found = differences(&operator, &geoip).await;
    assert_eq!(users(&found), BTreeSet::from([sub(1), sub(2)]), "{found:?}");
    assert!(found.iter().all(|wrong| wrong.stored.is_none() && wrong.expected.is_some()), "{found:?}");
    repair(&operator, &geoip, &users(&all_differences(&operator).await)).await.unwrap();
    assert_eq!(all_differences(&operator).await, []);

    let ip = |ip: &str| json!({ "ip": ip });
    let kept = json!({
        "sign_ins": {
            "threat_protection": {
                protection[1].to_string(): ip("192.0.2.1"), protection[2].to_string(): ip("192.0.2.2"),
                protection[3].to_string(): ip("192.0.2.3"), protection[4].to_string(): ip("192.0.2.4"),
            },
            "cloudtrail": { trail.to_string(): { "client_id": "app", "ip": "198.51.100.7", "device": "Mobile" } },
        },
        "sign_up": [signed_up.to_string(), "198.51.100.9"],
    });
    assert_eq!(state(&database, STATES, 1).await, Some(kept));
    let of_stranger = json!({ "sign_ins": { "application": { stranger.to_string(): ip("2001:db8::1") } } });
    assert_eq!(state(&database, STATES, 2).await, Some(of_stranger));
    assert_eq!(database.count(STATES).await, 2);

    let (one, three, four) = (sub(1), sub(3), sub(4));
    let some =
        r#"{"sign_ins": {"application": {"01890a5d-ac96-774b-bcce-b302099a8057": {"ip": "192.0.2.9"}}}}"#;
    for (change, user, is_stored, is_expected) in [
        // Missing, and different.
        (format!("delete from {STATES} where user_id = '{one}'"), 1, false, true),
        (format!("update {STATES} set state = '{some}' where user_id = '{one}'"), 1, true, true),
        (
            format!("update {STATES} set state = state #- '{{sign_up}}' where user_id = '{one}'"),
            1,
            true,
            true,
        ),
        (format!("update {STATES} set state = '\"rubbish\"' where user_id = '{one}'"), 1, true, true),
        (format!("update {STATES} set state = '{{}}' where user_id = '{}'", sub(2)), 2, true, true),
        // Surplus: of nobody, of whom nothing is kept, and of a user without contexts.
        (format!("insert into {STATES} values ('{three}', '{some}')"), 3, true, false),
        (format!("insert into {STATES} values ('{four}', '{some}')"), 4, true, false),
    ] {
        run(&database, &change).await;
        let found = differences(&operator, &geoip).await;
        let [Difference { user: found, stored, expected, .. }] = &found[..] else {
            panic!("{change}: {found:?}")
        };
        assert_eq!(
            (*found, stored.is_some(), expected.is_some()),
            (sub(user), is_stored, is_expected),
            "{change}"
        );
        repair(&operator, &geoip, &BTreeSet::from([sub(user)])).await.unwrap();
        assert_eq!(all_differences(&operator).await, [], "{change}");
    }
    // A pass over everybody finds what belongs to nobody, too.
    run(&database, &format!("insert into {STATES} values ('{three}', '{some}'); delete from {STATES} where user_id <> '{three}'")).await;
    rederive(&operator, &geoip, Selection::default(), |_| {}).await.unwrap();
    // Who has no row is left to `verify --repair`.
    let left = users(&all_differences(&operator).await);
    assert_eq!(left, BTreeSet::from([sub(2)]));
    repair(&operator, &geoip, &left).await.unwrap();
    assert_eq!(all_differences(&operator).await, []);
    assert_eq!(database.count(STATES).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_mended_in_one_pass() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let geoip = GeoIp::default();
    let logins: Vec<_> = (0..1_500).map(|user| login(user, at(100)).build()).collect();
    database.apply(&logins).await;
    let all = "insert into user_sync_contexts
            (id, user_id, user_pool_id, reported_by, occasion, is_witness, occurred_at, data)
        select id, user_id, user_pool_id, 'application', 'sign_in', false, occurred_at, '{\"ip\": \"192.0.2.1\"}'
        from user_events";
    run(&database, all).await;
    let found = differences(&operator, &geoip).await;
    assert_eq!(found.len(), 1_500);
    // Somebody without a row, among the many.
    record(&database, Some(9_000), at(50), by(Reporter::CloudTrail, "192.0.2.1")).await;
    let wrong = users(&all_differences(&operator).await);
    assert_eq!(wrong.len(), 1_501);
    repair(&operator, &geoip, &wrong).await.unwrap();
    assert_eq!(all_differences(&operator).await, []);
    assert_eq!(database.count(STATES).await, 1_501);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_found_by_an_address_is_proved_without_the_file() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cities.mmdb");
    std::fs::write(&file, cities()).unwrap();
    let geoip = GeoIp::open(Some(&file)).unwrap();
    record(&database, Some(1), at(1), by(Reporter::CloudTrail, "192.0.2.7")).await;
    let named = Context { city: Some("Linz".into()), ..by(Reporter::ThreatProtection, "192.0.2.7") };
    record(&database, Some(1), at(1), named).await;
    repair(&operator, &geoip, &BTreeSet::from([sub(1)])).await.unwrap();
    let kept = state(&database, STATES, 1).await.unwrap().to_string();
    assert!(kept.contains("Porto, PT") && kept.contains("\"Linz\""), "{kept}");
    for geoip in [&geoip, &GeoIp::default()] {
        assert_eq!(differences(&operator, geoip).await, []);
        repair(&operator, geoip, &BTreeSet::from([sub(1)])).await.unwrap();
        assert_eq!(state(&database, STATES, 1).await.unwrap().to_string(), kept);
    }
    // What the reporter says itself is in the ledger.
    run(&database, &format!("update {STATES} set state = replace(state::text, 'Linz', 'Graz')::jsonb")).await;
    assert_eq!(differences(&operator, &GeoIp::default()).await.len(), 1);
}

/// Only after the contexts are merged into the rows' columns.
#[tokio::test(flavor = "multi_thread")]
async fn the_columns_of_the_last_login_are_proved_by_the_contexts() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let geoip = GeoIp::default();
    database.apply(&[login(1, at(100)).build()]).await;
    let trail = record(&database, Some(1), at(103), by(Reporter::CloudTrail, "198.51.100.7")).await;
    let found = all_differences(&operator).await;
    for column in [STATES, "last_login_ip", "last_login_source", "contexts_until"] {
        assert!(
            found.iter().any(|wrong| wrong.column == column && wrong.stored.is_none()),
            "{column}: {found:?}"
        );
    }
    repair(&operator, &geoip, &users(&found)).await.unwrap();
    assert_eq!(all_differences(&operator).await, []);
    let column = async |name: &str| database.column(sub(1), name).await;
    assert_eq!(column("last_login_ip").await.as_deref(), Some("198.51.100.7"));
    assert_eq!(column("last_login_source").await.as_deref(), Some("cloudtrail"));
    assert_eq!(column("login_count").await.as_deref(), Some("1"));
    for (name, value) in
        [("last_login_ip", "'192.0.2.1'"), ("last_login_source", "'client'"), ("contexts_until", "null")]
    {
        run(&database, &format!("update users set {name} = {value}, row_version = row_version + 1")).await;
        let found = all_differences(&operator).await;
        assert!(found.iter().any(|wrong| wrong.column == name), "{name}: {found:?}");
        repair(&operator, &geoip, &users(&found)).await.unwrap();
        assert_eq!(all_differences(&operator).await, [], "{name}");
    }
    let outcome = explain(&operator, &geoip, sub(1)).await.unwrap().outcome.unwrap();
    assert_eq!(outcome.differences, []);
    let ip = outcome.values.iter().find(|value| value.name == "last_login_ip").unwrap();
    assert_eq!(ip.source, Source::Reported { by: "cloudtrail", contexts: vec![trail] });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_logins_columns_are_explained() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let own = |data: &mut cognito_user_sync_triggers::event::Data<'static>| {
        data.client.device = Some("Tablet".into());
        data.client.location = Some("Linz".into());
    };
    let event = login(1, at(100)).with(own).build();
    database.apply(std::slice::from_ref(&event)).await;
    let trail = record(&database, Some(1), at(103), by(Reporter::CloudTrail, "198.51.100.7")).await;
    let earlier = record(&database, Some(1), at(10), by(Reporter::CloudTrail, "198.51.100.8")).await;
    // Two words for one field: it is silent.
    for ip in ["192.0.2.1", "192.0.2.2"] {
        let said = Context { device: Some("Mobile".into()), ..by(Reporter::Application, ip) };
        record(&database, Some(1), at(101), said).await;
    }
    let signed_up = Context { occasion: Occasion::SignUp, ..by(Reporter::CloudTrail, "198.51.100.9") };
    let signed_up = record(&database, Some(1), at(1), signed_up).await;
    let explained = explain(&operator, &GeoIp::default(), sub(1)).await.unwrap();
    assert_eq!(explained.context_differences.len(), 1, "nothing is kept yet");
    assert_eq!(explained.history.iter().filter(|entry| matches!(entry, Entry::Context { .. })).count(), 5);
    let is_of_it =
        |id| explained.contexts.iter().find(|kept| kept.id == id).map(|kept| kept.is_of_last_login);
    assert_eq!((explained.contexts.len(), is_of_it(trail), is_of_it(earlier)), (4, Some(true), Some(false)));
    let values = explained.outcome.unwrap().values;
    let value = |name: &str| {
        let value =
            values.iter().find(|value| value.name == name).unwrap_or_else(|| panic!("{name}: {values:?}"));
        (value.value.as_str(), value.source.clone())
    };
    assert_eq!(
        value("last_login_ip"),
        ("198.51.100.7", Source::Reported { by: "cloudtrail", contexts: vec![trail] })
    );
    let (device, said) = value("last_login_device");
    assert!(
        device == "Mobile"
            && matches!(&said, Source::Reported { by: "application", contexts } if contexts.len() == 2),
        "{said:?}"
    );
    assert_eq!(value("last_login_location"), ("Linz", Source::LatestLogin(event.id())));
    assert_eq!(value("last_login_source"), ("cloudtrail", Source::WhoSaidIt));
    assert_eq!(value("created_ip"), ("198.51.100.9", Source::FirstSignUpRecord(signed_up)));
    // Of whom only contexts tell.
    record(&database, Some(2), at(1), by(Reporter::CloudTrail, "198.51.100.7")).await;
    let explained = explain(&operator, &GeoIp::default(), sub(2)).await.unwrap();
    assert!(explained.outcome.is_none() && explained.contexts.len() == 1, "{explained:?}");
    run(&database, &format!("insert into {STATES} values ('{}', '{{}}')", sub(3))).await;
    assert_eq!(explain(&operator, &GeoIp::default(), sub(3)).await.unwrap().context_differences.len(), 1);
}

/// Contexts of a year, of a few users; one has no row, and one has few.
async fn a_year(database: &TestDatabase) -> usize {
    database.apply(&[login(1, days_ago(1)).build(), login(2, days_ago(1)).build()]).await;
    let mut recorded = 0;
    for n in 1..24_u64 {
        for user in 1..4_u128 {
            let reporter = Reporter::ALL[usize::try_from(n % 3).unwrap()];
            record(database, Some(user), days_ago(15 * n), by(reporter, &format!("192.0.2.{n}"))).await;
            recorded += 1;
        }
    }
    // All that there is of the fourth is of a month that is folded.
    record(database, Some(4), days_ago(300), by(Reporter::CloudTrail, "192.0.2.200")).await;
    let signed_up = Context { occasion: Occasion::SignUp, ..by(Reporter::CloudTrail, "192.0.2.201") };
    record(database, Some(1), days_ago(340), signed_up).await;
    record(database, None, days_ago(340), by(Reporter::CloudTrail, "192.0.2.202")).await;
    let failures = "insert into user_sync_failures (id, user_pool_id, reported_by, occurred_at)
        select user_event_bound(now() - days * interval '1 day'), 'eu-west-1_Test00000', 'cloudtrail',
            now() - days * interval '1 day'
        from generate_series(1, 350, 7) as days";
    run(database, failures).await;
    recorded + 2
}

async fn states(database: &TestDatabase) -> Vec<Value> {
    let query = format!("select jsonb_build_array(user_id, state) from {STATES} order by user_id");
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&database.owner).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folded_month_of_records_changes_no_row_and_no_proof() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let geoip = GeoIp::default();
    let recorded = a_year(&database).await;
    repair(&operator, &geoip, &(1..5).map(sub).collect()).await.unwrap();
    assert_eq!(all_differences(&operator).await, []);
    let (rows, kept) = (database.rows().await, states(&database).await);
    assert_eq!(kept.len(), 4);

    // From two places at once. What ended less than a month ago stays whatever is asked.
    let now = Timestamp::now();
    let fold = || maintain(&operator, 3, 90, now, |_, _| {});
    let (first, second) = tokio::join!(fold(), fold());
    let folded: Vec<_> = [first.unwrap(), second.unwrap()].into_iter().flat_map(|done| done.folded).collect();
    let contexts: u64 = folded.iter().map(|(_, contexts)| contexts).sum();
    assert!(folded.len() >= 8 && contexts > 40, "{folded:?}");
    let left = database.count("user_sync_contexts where user_id is not null").await;
    assert_eq!(contexts, u64::try_from(recorded).unwrap() - u64::try_from(left).unwrap());
    let oldest =
        format!("user_sync_failures where id < user_event_bound(now() - interval '{} days')", 90 + 32);
    assert_eq!(database.count(&oldest).await, 0);
    assert!(database.count("user_sync_failures").await > 10);
    for ledger in ["user_sync_contexts", "user_sync_failures"] {
        let tables = format!("pg_inherits where inhparent = '{ledger}'::regclass");
        assert_eq!(database.count(&tables).await, database.count("user_sync_record_partitions").await);
    }
    assert_eq!(maintain(&operator, 3, 90, now, |_, _| {}).await.unwrap(), Maintained::default());

    // Neither a row nor what is kept has changed, and both are proved.
    assert_eq!(all_differences(&operator).await, []);
    assert_eq!((database.rows().await, states(&database).await), (rows, kept));
    assert_eq!(database.count("user_sync_context_baseline").await, 4);
    let explained = explain(&operator, &geoip, sub(1)).await.unwrap();
    assert!(explained.history.contains(&Entry::ContextBaseline), "{explained:?}");

    // The baseline counts: without the states, a repair finds everybody again.
    let kept = states(&database).await;
    run(&database, &format!("delete from {STATES}")).await;
    assert_eq!(differences(&operator, &geoip).await.len(), 4);
    rederive(&operator, &geoip, Selection::default(), |_| {}).await.unwrap();
    // Of those with a row; the others are left to `verify --repair`.
    repair(&operator, &geoip, &users(&all_differences(&operator).await)).await.unwrap();
    assert_eq!((all_differences(&operator).await, states(&database).await), (Vec::new(), kept));

    // A context that comes late, of a month that is there, is told beside those of months that are not; it is folded in its
    // turn, as is one of the same user that is earlier than what is kept.
    record(&database, Some(4), days_ago(60), by(Reporter::CloudTrail, "192.0.2.210")).await;
    let wrong = differences(&operator, &geoip).await;
    let [wrong] = &wrong[..] else { panic!("{wrong:?}") };
    assert!(wrong.expected.as_ref().unwrap().contains("192.0.2.200"), "{wrong:?}");
    repair(&operator, &geoip, &BTreeSet::from([sub(4)])).await.unwrap();
    let kept = states(&database).await;
    assert!(!maintain(&operator, 3, 31, now, |_, _| {}).await.unwrap().folded.is_empty());
    assert_eq!((all_differences(&operator).await, states(&database).await), (Vec::new(), kept));
    // Months are kept for 31 days at least.
    assert!(maintain(&operator, 3, 0, now, |_, _| {}).await.unwrap().folded.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn months_of_records_are_made_ahead_without_a_gap() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let created = maintain(&operator, 5, 400, Timestamp::now(), |_, _| {}).await.unwrap().created;
    assert_eq!(created.len(), 2);
    let ahead = "user_sync_record_partitions where lower > user_event_bound(now())";
    assert_eq!(database.count(ahead).await, 5);
    let gaps = "user_sync_record_partitions p
        where lower > (select lower from user_sync_record_partitions order by lower limit 1)
          and not exists (select from user_sync_record_partitions q where q.upper = p.lower)";
    assert_eq!(database.count(gaps).await, 0);
    // Both ledgers take the last of them.
    for ledger in ["user_sync_contexts", "user_sync_failures"] {
        let last = format!("pg_inherits where inhrelid = to_regclass('{ledger}_{}')", created[1]);
        assert_eq!(database.count(&last).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn months_of_records_are_made_in_any_schema_and_are_the_owners() {
    let (url, name) = empty_database("").await;
    let schema = "Staff \"2\"";
    let prefix = RolePrefix::new(&name).unwrap();
    let owner = open(&url, schema).await;
    migrate::run(&owner, Some(&prefix)).await.unwrap();
    let made = maintain(&owner, 5, 400, Timestamp::now(), |_, _| {}).await.unwrap();
    assert_eq!(made.created.len(), 2);
    let query = "select distinct relnamespace::regnamespace::text, pg_get_userbyid(relowner)::text
        from pg_class where relname like 'user_sync_contexts_%' or relname like 'user_sync_failures_%'";
    let found: Vec<(String, String)> = sqlx::query_as(query).fetch_all(owner.questions()).await.unwrap();
    assert_eq!(found, [("\"Staff \"\"2\"\"\"".to_owned(), format!("{name}_owner"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_being_applied_is_folded_with_its_month() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    a_year(&database).await;
    // As whoever applies a record: the month is tried shared, and then written to.
    let mut applying = database.applier.pool().begin().await.unwrap();
    let oldest = "select lower from user_sync_record_partitions order by lower limit 1";
    let oldest: uuid::Uuid = sqlx::query_scalar(oldest).fetch_one(&database.owner).await.unwrap();
    let began = time::OffsetDateTime::from_unix_timestamp_nanos(
        i128::try_from(oldest.as_u128() >> 80).unwrap() * 1_000_000,
    )
    .unwrap();
    let month = began.year() * 12 + i32::from(u8::from(began.month())) - 1;
    let shared = "select pg_try_advisory_xact_lock_shared(x'75736572'::int, 1024 + 2 + 132000 + $1)";
    assert!(sqlx::query_scalar::<_, bool>(shared).bind(month).fetch_one(&mut *applying).await.unwrap());
    let patience = Duration::from_secs(1);
    let folding = || maintain_within(&operator, patience, 3, 90, Timestamp::now(), |_, _| {});
    let refused = folding().await.unwrap_err();
    assert!(matches!(refused, MaintainError::Starved { .. }), "{refused}");
    let months = database.count("user_sync_record_partitions").await;
    applying.rollback().await.unwrap();
    assert!(folding().await.unwrap().folded.len() >= 8);
    assert!(database.count("user_sync_record_partitions").await < months);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_reader_of_records_nothing_is_dropped() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    a_year(&database).await;
    let months = database.count("user_sync_record_partitions").await;
    let mut reader = database.owner.begin().await.unwrap();
    sqlx::raw_sql("set application_name = 'nightly dump'; select 1 from user_sync_failures limit 1")
        .execute(&mut *reader)
        .await
        .unwrap();
    let patience = Duration::from_secs(2);
    let refused = maintain_within(&operator, patience, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap_err();
    assert!(refused.to_string().contains("application nightly dump"), "{refused}");
    reader.rollback().await.unwrap();
    assert_eq!(database.count("user_sync_record_partitions").await, months);
    assert_eq!(database.count("user_sync_context_baseline").await, 0);
    assert!(maintain(&operator, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap().folded.len() >= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_records_that_somebody_detached_is_neither_folded_nor_passed_over() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    a_year(&database).await;
    for ledger in ["user_sync_contexts", "user_sync_failures"] {
        let names = "select name from user_sync_record_partitions order by lower offset 5 limit 1";
        let month: String = sqlx::query_scalar(names).fetch_one(&database.owner).await.unwrap();
        run(&database, &format!("alter table {ledger} detach partition {ledger}_{month}")).await;
        let months = database.count("user_sync_record_partitions").await;
        let refused = maintain(&operator, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap_err();
        let name = format!("{ledger}_{month}");
        assert!(
            matches!(&refused, MaintainError::Detached(detached) if detached.to_string().contains(&name)),
            "{refused}"
        );
        assert_eq!(database.count("user_sync_record_partitions").await, months);
        // What it says is what mends it.
        let detached = detached_months(operator.inspection()).await.unwrap();
        let [detached] = &detached[..] else { panic!("{detached:?}") };
        run(&database, detached.fix().split('`').nth(1).unwrap()).await;
        assert_eq!(detached_months(operator.inspection()).await.unwrap(), []);
    }
    assert!(maintain(&operator, 3, 90, Timestamp::now(), |_, _| {}).await.unwrap().folded.len() >= 8);
}

/// Every text in every table of the schema.
async fn everything(database: &TestDatabase) -> String {
    let tables = "select oid::regclass::text from pg_class
        where relnamespace = (select oid from pg_namespace where nspname = current_schema())
            and relkind = 'r'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&database.owner).await.unwrap();
    let mut all = String::new();
    for table in tables {
        let texts = format!("select coalesce(string_agg(row::text, ' '), '') from {table} as row");
        all.push_str(
            &sqlx::query_scalar::<_, String>(AssertSqlSafe(texts)).fetch_one(&database.owner).await.unwrap(),
        );
    }
    all
}

/// Nothing of these is in an id.
const TRACES: [&str; 6] = ["198.51.100.", "AdaBrowser", "Ockham", "Mobile", "HighRisk", "England"];

async fn is_left(database: &TestDatabase) -> Vec<&'static str> {
    let all = everything(database).await;
    TRACES.into_iter().filter(|trace| all.contains(trace)).collect()
}

fn personal(reporter: Reporter) -> Context<'static> {
    Context {
        client_id: Some("app".into()),
        user_agent: Some("AdaBrowser/1".into()),
        device: Some("Mobile".into()),
        city: Some("Ockham".into()),
        country: Some("England".into()),
        flow: Some("USER_SRP_AUTH".into()),
        risk: Some("HighRisk".into()),
        ..by(reporter, "198.51.100.7")
    }
}

const FAILURE: &str = "insert into user_sync_failures
        (id, user_id, user_pool_id, client_id, reason, network, reported_by, occurred_at, data)
    values ($1, $2, 'eu-west-1_Test00000', 'app', 'wrong_password', '198.51.100.0/24', 'cloudtrail', $3,
        '{\"ip\": \"198.51.100.7\", \"user_agent\": \"AdaBrowser/1\"}')";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_of_records_is_left_after_an_erasure() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let geoip = GeoIp::default();
    database.apply(&[login(1, at(100)).build(), login(2, at(100)).build()]).await;
    for user in [1, 3] {
        record(&database, Some(user), days_ago(300), personal(Reporter::ThreatProtection)).await;
        record(&database, Some(user), at(101), personal(Reporter::CloudTrail)).await;
        let signed_up = Context { occasion: Occasion::SignUp, ..personal(Reporter::CloudTrail) };
        record(&database, Some(user), at(1), signed_up).await;
        for time in [at(50), days_ago(100)] {
            let failure = sqlx::query(FAILURE).bind(EventId::new(time).uuid()).bind(sub(user));
            failure.bind(time::OffsetDateTime::from(time)).execute(&database.owner).await.unwrap();
        }
    }
    // Somebody else stays.
    record(&database, Some(2), at(101), by(Reporter::CloudTrail, "203.0.113.77")).await;
    repair(&operator, &geoip, &(1..4).map(sub).collect()).await.unwrap();
    assert!(!maintain(&operator, 3, 200, Timestamp::now(), |_, _| {}).await.unwrap().folded.is_empty());
    assert_eq!((database.count(STATES).await, database.count("user_sync_context_baseline").await), (3, 2));
    assert_eq!(is_left(&database).await, TRACES);

    assert_eq!(
        erase(&operator, sub(1), false).await.unwrap(),
        Erased { events: 1, records: 4, claims: 0, before: false }
    );
    assert_eq!(is_left(&database).await, TRACES, "of the other one");
    // Who has contexts and no row is remembered.
    erase(&operator, sub(3), false).await.unwrap_err();
    erase(&operator, sub(3), true).await.unwrap();
    assert_eq!(is_left(&database).await, Vec::<&str>::new());
    assert_eq!((database.count(STATES).await, database.count("user_sync_context_baseline").await), (1, 0));
    assert!(everything(&database).await.contains("203.0.113.77"));

    // What counts is left.
    let kept = format!(
        "user_sync_contexts where user_id = '{}' and client_id = 'app' and reported_by = 'cloudtrail'
            and data = '{{\"flow\": \"USER_SRP_AUTH\"}}'",
        sub(1)
    );
    assert_eq!(database.count(&kept).await, 2);
    let kept = format!(
        "user_sync_failures where user_id = '{}' and client_id = 'app' and reason = 'wrong_password'
            and network is null and data is null",
        sub(1)
    );
    assert_eq!(database.count(&kept).await, 2);
    assert_eq!(all_differences(&operator).await, []);
    // A ledger that the erasure has not been through yet says nothing of the person.
    record(&database, Some(1), at(110), personal(Reporter::CloudTrail)).await;
    assert_eq!(all_differences(&operator).await, []);
    repair(&operator, &geoip, &(1..4).map(sub).collect()).await.unwrap();
    assert_eq!(database.count(STATES).await, 1);
    assert!(erase(&operator, sub(1), false).await.unwrap().before);
    assert_eq!(is_left(&database).await, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_is_being_inserted_does_not_outlast_the_erasure() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    database.apply(&[login(1, at(100)).build()]).await;
    let mut inserting = database.owner.begin().await.unwrap();
    let failure = sqlx::query(FAILURE).bind(EventId::new(at(50)).uuid()).bind(sub(1));
    failure.bind(time::OffsetDateTime::from(at(50))).execute(&mut *inserting).await.unwrap();
    let commit = async {
        sessions_wait(&database, 1).await;
        inserting.commit().await.unwrap();
    };
    let (erased, ()) = tokio::join!(erase(&operator, sub(1), false), commit);
    assert_eq!(erased.unwrap().records, 1);
    assert_eq!(is_left(&database).await, Vec::<&str>::new());
}

/// Only with the path that applies contexts.
#[tokio::test(flavor = "multi_thread")]
async fn contexts_are_applied_beside_repairs_a_fold_and_erasures() {
    let database = Arc::new(TestDatabase::create().await);
    let operator = operator(&database).await;
    let geoip = GeoIp::default();
    // Two of them are erased: one with a row, one without. Half of the others has none, or gets one meanwhile.
    const ERASED: [u128; 2] = [0, 16];
    let context = |user: u128, time: Timestamp, n: u64| {
        let reporter = Reporter::ALL[usize::try_from(n % 3).unwrap()];
        let data = match ERASED.contains(&user) {
            true => personal(reporter),
            false => by(reporter, &format!("203.0.113.{n}")),
        };
        let (id, user_pool_id) = (EventId::new(time), "eu-west-1_Test00000".into());
        Event::Context(ContextEvent { id, user_pool_id, sub: Some(sub(user)), data })
    };
    database.deliver(&(0..10).map(|user| login(user, at(1)).build()).collect::<Vec<_>>()).await;
    let old: Vec<_> =
        (0..20).map(|user| context(user, days_ago(100 + 10 * u64::try_from(user).unwrap()), 1)).collect();
    assert!(database.deliver(&old).await.iter().all(|outcome| *outcome == Outcome::Applied));
    let consume = |consumer: u64| {
        let database = Arc::clone(&database);
        tokio::spawn(async move {
            for n in 0..25 {
                let time = at(100 + 7 * n + consumer);
                let mut events: Vec<_> = (0..20).map(|user| context(user, time, n)).collect();
                events.push(login(u128::from(n % 16), time).build());
                assert!(database.deliver(&events).await.iter().all(|outcome| *outcome == Outcome::Applied));
            }
        })
    };
    let consumers = futures::future::try_join_all((0..3).map(consume));
    let everybody: BTreeSet<_> = (0..20).map(sub).collect();
    let repairs = async {
        for _ in 0..4 {
            run(
                &database,
                &format!(
                    "delete from {STATES} where user_id in (select user_id from {STATES} order by 1 limit 7)"
                ),
            )
            .await;
            repair(&operator, &geoip, &everybody).await.unwrap();
        }
    };
    let erasures = async {
        for user in ERASED {
            tokio::time::sleep(Duration::from_millis(200)).await;
            erase(&operator, sub(user), true).await.unwrap();
        }
    };
    let fold = maintain(&operator, 3, 90, Timestamp::now(), |_, _| {});
    let (consumed, (), (), folded) = tokio::join!(consumers, repairs, erasures, fold);
    consumed.unwrap();
    assert!(folded.unwrap().folded.len() >= 5);
    assert_eq!(all_differences(&operator).await, []);
    assert_eq!(is_left(&database).await, Vec::<&str>::new());
    assert_eq!(database.count(STATES).await, 18);
}
