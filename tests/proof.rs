//! The ledger's months, the baseline and `verify`: exact before and after a month is folded, and blunt about
//! every value that was changed behind the service's back.

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database, Purpose};
use cognito_user_sync::store::maintenance::explain::{Entry, explain};
use cognito_user_sync::store::maintenance::partitions::{Maintained, maintain};
use cognito_user_sync::store::maintenance::release::release;
use cognito_user_sync::store::maintenance::repair::repair;
use cognito_user_sync::store::maintenance::verify::{Difference, verify};
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync::store::referral_code;
use cognito_user_sync_triggers::event::{Event, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::model::Tables;
use crate::support::TestDatabase;
use crate::support::events::{at, confirmed, event, login, sub};

/// A member of user_sync_owner, through the product's own way in: its sessions say that they are the service's.
async fn operator(database: &TestDatabase) -> Database {
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    postgres::connect(&config, 3).await.unwrap()
}

/// Changes rows as the service would, so that nothing becomes the application's.
async fn as_service(database: &Database, change: &str) {
    let mut tx = database.begin(Purpose::Command).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(change.to_owned())).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn differences(database: &Database) -> Vec<Difference> {
    let mut found = Vec::new();
    let verified =
        verify(database, &GeoIp::default(), |difference| found.push(difference), |_| {}).await.unwrap();
    assert_eq!(verified.differences, u64::try_from(found.len()).unwrap());
    found
}

/// A year of a few users who share addresses and refer each other.
fn year(random: &mut fastrand::Rng, from: Timestamp) -> Vec<Event<'static>> {
    let mut event_at = |days: u64| {
        let time = Timestamp::from_unix_millis(from.unix_millis() + days * 86_400_000 + random.u64(0..1_000));
        let kind = *random.choice(&Kind::ALL).unwrap();
        let address = format!("{}@example.com", random.u8(0..4));
        let code = referral_code(sub(random.u128(0..6)));
        event(kind, random.u128(0..6), time)
            .attributes(&[("email", &address), ("email_verified", ["true", "false"][random.usize(0..2)])])
            .attributes(&[("name", "Ada"), ("custom:x", "1")])
            .with(|data| {
                data.attributes.retain(|_, _| random.u8(0..4) > 0);
                data.partial = random.bool();
                data.federated = random.bool();
                data.client.referral_code = random.bool().then_some(code.into());
                data.enabled = (kind == Kind::Snapshot).then(|| random.bool());
            })
            .build()
    };
    (0..300).map(|n| event_at(n * 360 / 300)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folded_month_changes_no_row_and_no_proof() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let now = Timestamp::now();
    let day = 86_400_000;
    let start = Timestamp::from_unix_millis(now.unix_millis() - 370 * day);
    let events = year(&mut fastrand::Rng::with_seed(1), start);
    let (later, earlier): (Vec<Event<'static>>, Vec<Event<'static>>) =
        events.into_iter().partition(|event| event.id().time().unix_millis() > now.unix_millis() - 60 * day);
    assert!(database.apply(&earlier).await.iter().all(|outcome| *outcome == Outcome::Applied));
    assert_eq!(differences(&operator).await, []);
    let events_before = database.count("user_events").await;

    // From several places at once, while a consumer works.
    let fold = || maintain(&operator, 3, 90, now, |_, _| {});
    let (first, second, applied) = tokio::join!(fold(), fold(), database.apply(&later));
    assert!(applied.iter().all(|outcome| *outcome == Outcome::Applied), "{applied:?}");
    let folded: Vec<_> = [first.unwrap(), second.unwrap()].into_iter().flat_map(|done| done.folded).collect();
    let folded_events: u64 = folded.iter().map(|(_, events)| events).sum();
    assert!(folded.len() >= 8 && folded_events > 100, "{folded:?}");
    let left = database.count("user_events").await;
    assert_eq!(
        u64::try_from(events_before + i64::try_from(later.len()).unwrap() - left).unwrap(),
        folded_events
    );
    assert_eq!(differences(&operator).await, []);
    assert_eq!(maintain(&operator, 3, 90, now, |_, _| {}).await.unwrap(), Maintained::default());

    // The rows are those of all events, folded or not.
    Tables::actual(database.rows().await)
        .must_be(&Tables::expected(&[&earlier[..], &later].concat()))
        .unwrap();

    // An event of a folded month is refused with its reason: it may be in the baseline.
    let outcomes = database.apply(&earlier[..1]).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Rejected(rejection)] if rejection.reason == "too_old"),
        "{outcomes:?}"
    );
    let explained = explain(&operator, &GeoIp::default(), sub(0)).await.unwrap();
    assert!(explained.history.contains(&Entry::Baseline), "{explained:?}");
    assert_eq!(explained.outcome.unwrap().differences, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_are_explained_and_proved() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let linked = r#"[{"userId":"1","providerName":"Google","primary":"true","dateCreated":"1700000000000"}]"#;
    database.apply(&[login(1, at(1)).attributes(&[("identities", linked)]).build()]).await;
    let explained = async || explain(&operator, &GeoIp::default(), sub(1)).await.unwrap().outcome.unwrap();
    let outcome = explained().await;
    assert_eq!(outcome.differences, []);
    let value = outcome.values.iter().find(|value| value.name == "cognito_identities").unwrap();
    assert!(value.value.contains(r#""linked_at":"2023-11-14T22:13:20.000Z""#), "{value:?}");
    let forged = "update users set cognito_identities = '[]'";
    sqlx::query(forged).execute(&database.owner).await.unwrap();
    let differences = explained().await.differences;
    assert_eq!(
        differences.iter().map(|difference| &*difference.column).collect::<Vec<_>>(),
        ["cognito_identities"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_made_ahead_without_a_gap() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    assert_eq!(maintain(&operator, 5, 400, Timestamp::now(), |_, _| {}).await.unwrap().created.len(), 2);
    // As if `maintain` had not run for long: the months in between are made as well.
    sqlx::query("delete from user_event_partitions where name > to_char(now() - interval '3 months', '\"user_events_\"YYYY_MM')")
        .execute(operator.pool())
        .await
        .unwrap();
    let names: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relispartition and relkind = 'r' and relname > to_char(now() - interval '3 months', '\"user_events_\"YYYY_MM')",
    )
    .fetch_all(operator.pool())
    .await
    .unwrap();
    for name in names {
        sqlx::query(sqlx::AssertSqlSafe(format!("drop table {name}")))
            .execute(operator.pool())
            .await
            .unwrap();
    }
    let created = maintain(&operator, 1, 400, Timestamp::now(), |_, _| {}).await.unwrap().created;
    assert!(created.len() >= 4, "{created:?}");
    let gaps = "select count(*) from user_event_partitions p
        where lower > (select lower from user_event_partitions order by lower limit 1)
          and not exists (select from user_event_partitions q where q.upper = p.lower)";
    let gap: i64 = sqlx::query_scalar(gaps).fetch_one(operator.pool()).await.unwrap();
    assert_eq!(gap, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_that_was_changed_is_found_and_mended() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let shared = |user, seconds| confirmed(user, at(seconds)).email("shared@example.com");
    let code = referral_code(sub(1));
    let events = [
        shared(1, 1).attributes(&[("name", "Ada"), ("locale", "de-AT")]).build(),
        shared(2, 2).with(|data| data.client.referral_code = Some(code.into())).build(),
        login(1, at(3)).with(|data| data.client.ip = Some("192.0.2.1".into())).build(),
        login(3, at(4)).build(),
        event(Kind::Deleted, 4, at(5)).build(),
    ];
    database.apply(&events).await;
    assert_eq!(differences(&operator).await, []);
    let good = Tables::expected(&events);
    let user = format!("'{}'", sub(1));
    for (column, change) in [
        ("login_count", format!("update users set login_count = login_count + 1 where id = {user}")),
        ("name", format!("update users set name = 'Eve' where id = {user}")),
        ("language", format!("update users set language = 'fr' where id = {user}")),
        ("last_login_ip", format!("update users set last_login_ip = null where id = {user}")),
        ("is_verified", format!("update users set is_verified = false where id = {user}")),
        ("cognito_attributes", format!("update users set cognito_attributes = '{{}}' where id = {user}")),
        ("attributes_version", format!("update users set attributes_version = sign_up_id where id = {user}")),
        ("updated_at", format!("update users set updated_at = now() where id = {user}")),
        ("created_at", format!("update users set created_at = now() where id = {user}")),
        ("deleted_at", format!("update users set deleted_at = now(), is_deleted = true where id = {user}")),
        ("user_claims email", "update user_claims set since = now()".to_owned()),
        ("user_claims email", "delete from user_claims".to_owned()),
        ("email", "update users set email = null".to_owned()),
        (
            "email",
            format!(
                "update users set email = null; update users set email = 'shared@example.com' where id = {user}"
            ),
        ),
        ("referred_by", "update users set referred_by = null".to_owned()),
        ("referred_by", format!("update users set referred_by = '{}' where id = {user}", sub(3))),
        (
            "id",
            format!("delete from user_claims where user_id = {user}; delete from users where id = {user}"),
        ),
    ] {
        as_service(&operator, &change).await;
        let found = differences(&operator).await;
        assert!(found.iter().any(|difference| difference.column == column), "{change}: {found:?}");
        repair(&operator, &GeoIp::default(), &found.iter().map(|difference| difference.user).collect())
            .await
            .unwrap();
        assert_eq!(differences(&operator).await, [], "{change}");
        Tables::actual(database.rows().await).must_be(&good).unwrap();
    }
    let ghost = "insert into users (id, name, referral_code, created_at, synced_at, updated_at)
        values (gen_random_uuid(), 'x', 'x', now(), now(), now())";
    sqlx::query(ghost).execute(operator.pool()).await.unwrap();
    let found = differences(&operator).await;
    assert!(
        found.iter().any(|difference| difference.column == "id" && difference.expected.is_none()),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_owns_is_no_difference_and_can_be_given_back() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let app = cognito_user_sync::dev::local::connect(&database.deployment.app_url, 1).await.unwrap();
    database.apply(&[login(1, at(1)).attributes(&[("name", "Ada")]).build()]).await;
    sqlx::query("update users set name = 'Chosen', bio = 'x'").execute(&app).await.unwrap();
    assert_eq!(differences(&operator).await, []);
    assert!(release(&operator, sub(1), "name").await.unwrap());
    assert!(!release(&operator, sub(1), "name").await.unwrap(), "idempotent");
    assert_eq!(database.column(sub(1), "name").await.as_deref(), Some("Ada"));
    assert_eq!(database.column(sub(1), "app_owned").await.as_deref(), Some("[]"));
    assert_eq!(database.column(sub(1), "bio").await.as_deref(), Some("x"));
    assert_eq!(differences(&operator).await, []);
    assert!(release(&operator, sub(9), "name").await.unwrap_err().to_string().contains("there is no user"));
    assert!(release(&operator, sub(1), "email").await.unwrap_err().to_string().contains("first_name"));
}

/// More users than one transaction of a repair takes are repaired by one pass over the ledger; who signs in meanwhile, or
/// whose row somebody holds, by another.
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_repaired_while_their_users_sign_in() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let known = |user: u128| {
        login(user, at(1)).email(&format!("{}@x.test", user / 2)).attributes(&[("name", "Ada")]).build()
    };
    let users = 2_500_u128;
    for from in (0..users).step_by(500) {
        database.apply(&(from..from + 500).map(known).collect::<Vec<_>>()).await;
    }
    let change =
        "update users set name = 'Eve', login_count = login_count + 1, row_version = row_version + 1";
    as_service(&operator, change).await;
    let wrong = differences(&operator).await.into_iter().map(|difference| difference.user).collect();
    let sign_ins = async {
        for second in 2..12 {
            let again =
                |user: u128| login(user * 7, at(second)).email(&format!("{}@x.test", user * 7 / 2)).build();
            assert!(
                database.deliver(&(0..100).map(again).collect::<Vec<_>>()).await.contains(&Outcome::Applied)
            );
        }
    };
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::query("select from users where id = $1 for update")
        .bind(sub(3))
        .execute(&mut *holder)
        .await
        .unwrap();
    let release = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        holder.rollback().await.unwrap();
    };
    let geoip = GeoIp::default();
    let (repaired, (), ()) = tokio::join!(repair(&operator, &geoip, &wrong), sign_ins, release);
    repaired.unwrap();
    assert_eq!(differences(&operator).await, []);
    assert_eq!(database.count("users where name = 'Ada'").await, i64::try_from(users).unwrap());
}
