//! The right to be forgotten: nothing personal is left anywhere, counts and proof stay exact, and no message
//! brings the person back, whatever came before the erasure and what after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::maintenance::erase::{Erased, erase};
use cognito_user_sync::store::maintenance::partitions::maintain;
use cognito_user_sync::store::maintenance::repair::repair;
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{Client, Data, Event, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use crate::model::Tables;
use crate::support::events::{at, confirmed, event, login, sub};
use crate::support::histories::{History, case};
use crate::support::{TestDatabase, in_turn_for_rows, redelivered};

async fn operator(database: &TestDatabase) -> Database {
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    postgres::connect(&config, 3).await.unwrap()
}

async fn differences(database: &Database) -> u64 {
    verify(database, &GeoIp::default(), |_| {}, |_| {}).await.unwrap().differences
}

/// What is left of an event of somebody who was erased, told a second time.
fn scrubbed(event: &Event<'static>) -> Event<'static> {
    let Event::User(event) = event else { return event.clone() };
    let data = Data {
        user_name: None,
        attributes: Default::default(),
        client: Client::default(),
        ..event.data.clone()
    };
    Event::User(UserEvent { data, ..event.clone() })
}

fn person(user: u128) -> Vec<Event<'static>> {
    let told = |event: crate::support::events::EventBuilder| {
        event
            .email("ada@example.com")
            .attributes(&[
                ("name", "Ada Lovelace"),
                ("phone_number", "+15550001"),
                ("custom:vip", "Countess"),
                ("identities", r#"[{"userId":"ada-lovelace","providerName":"Ockham","primary":true}]"#),
            ])
            .with(|data| {
                data.user_name = Some("ada-lovelace".into());
                data.client.ip = Some("198.51.100.7".into());
                data.client.device = Some("Mobile".into());
                data.client.location = Some("Ockham".into());
                data.client.user_agent = Some("AdaBrowser/1".into());
            })
            .build()
    };
    vec![told(confirmed(user, at(1))), told(login(user, at(2))), told(login(user, at(3)))]
}

/// Every text in every table.
async fn everything(database: &TestDatabase) -> String {
    let query = "select coalesce(string_agg(t, ' '), '') from (
        select users::text from users union all select user_claims::text from user_claims
        union all select user_events::text from user_events union all select user_baseline::text from user_baseline
    ) as all_rows (t)";
    sqlx::query_scalar(query).fetch_one(&database.owner).await.unwrap()
}

fn assert_impersonal(text: &str) {
    // None of them can be part of a UUID.
    let traces = [
        "ada@",
        "ada-lovelace",
        "Lovelace",
        "+1555",
        "Countess",
        "198.51.100.7",
        "Ockham",
        "my secret",
        "Mobile",
    ];
    for trace in traces {
        let around = text.find(trace).map(|at| text.get(at.saturating_sub(80)..at + 80).unwrap_or_default());
        assert!(around.is_none(), "{trace} is left: {around:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_is_left_and_counts_stay() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    database.apply(&person(1)).await;
    let app = cognito_user_sync::dev::local::connect(&database.deployment.app_url, 1).await.unwrap();
    let edit = "update users set name = 'my secret', bio = 'my secret', metadata = '{\"k\": \"my secret\"}'";
    sqlx::query(edit).execute(&app).await.unwrap();
    let identities = database.column(sub(1), "cognito_identities").await.unwrap();
    assert!(identities.contains("ada-lovelace"), "{identities}");

    let erased = erase(&operator, sub(1), false).await.unwrap();
    assert_eq!(erased, Erased { events: 3, records: 0, claims: 2, before: false });
    assert_impersonal(&everything(&database).await);
    let column = async |name: &str| database.column(sub(1), name).await;
    assert_eq!(column("login_count").await.as_deref(), Some("2"));
    assert_eq!(column("name").await.as_deref(), Some("User"));
    assert_eq!(column("cognito_identities").await, None);
    assert_eq!(column("app_owned").await.as_deref(), Some("[]"));
    assert!(column("last_login_at").await.is_some());
    assert_eq!(differences(&operator).await, 0);

    // A duplicate is one, and whatever comes late counts and says nothing.
    let mut late = person(1);
    late.push(
        login(1, at(9))
            .email("ada@example.com")
            .with(|data| data.user_name = Some("ada-lovelace".into()))
            .build(),
    );
    let outcomes = database.apply(&[&late[..1], &late[3..]].concat()).await;
    assert!(matches!(outcomes[..], [_, Outcome::Applied]), "{outcomes:?}");
    assert_impersonal(&everything(&database).await);
    assert_eq!(column("login_count").await.as_deref(), Some("3"));
    assert_eq!(differences(&operator).await, 0);
    repair(&operator, &GeoIp::default(), &BTreeSet::from([sub(1)])).await.unwrap();
    assert_impersonal(&everything(&database).await);
    assert!(erase(&operator, sub(1), false).await.unwrap().before, "idempotent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_of_an_erased_event_is_no_conflict() {
    let database = TestDatabase::create().await;
    let events = person(1);
    database.apply(&events).await;
    erase(&operator(&database).await, sub(1), false).await.unwrap();
    let outcomes = database.apply(&events).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Duplicate), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_users_event_with_anothers_id_is_a_conflict_all_the_same() {
    let database = TestDatabase::create().await;
    database.apply(&[login(2, at(5)).random_part(7).build()]).await;
    database.apply(&person(1)).await;
    erase(&operator(&database).await, sub(1), false).await.unwrap();
    let outcomes = database.apply(&[login(1, at(5)).random_part(7).build()]).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Rejected(rejection)] if rejection.reason == "id_conflict"),
        "{outcomes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_goes_to_the_next_who_holds_it() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let shared = |user, second| confirmed(user, at(second)).email("shared@example.com").build();
    database.apply(&[shared(1, 2), shared(2, 1)]).await;
    assert_eq!(database.column(sub(1), "email").await.as_deref(), Some("shared@example.com"));
    erase(&operator, sub(1), false).await.unwrap();
    assert_eq!(database.column(sub(1), "email").await, None);
    assert_eq!(database.column(sub(2), "email").await.as_deref(), Some("shared@example.com"));
    assert_eq!(differences(&operator).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_is_erased_too() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let now = Timestamp::now();
    let long_ago = Timestamp::from_unix_millis(now.unix_millis() - 200 * 86_400_000);
    let old = login(1, long_ago).email("ada@example.com").attributes(&[("name", "Ada Lovelace")]).build();
    database.apply(&[old]).await;
    database.apply(&person(1)).await;
    assert!(!maintain(&operator, 3, 90, now, |_, _| {}).await.unwrap().folded.is_empty());
    erase(&operator, sub(1), false).await.unwrap();
    assert_impersonal(&everything(&database).await);
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("3"));
    assert_eq!(differences(&operator).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_without_a_row_can_be_remembered() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let refused = erase(&operator, sub(1), false).await.unwrap_err().to_string();
    assert!(refused.contains("--even-unknown"), "{refused}");
    erase(&operator, sub(1), true).await.unwrap();
    assert_eq!(differences(&operator).await, 0);
    database.apply(&person(1)).await;
    assert_impersonal(&everything(&database).await);
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("2"));
    assert_eq!(differences(&operator).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referrer_who_is_erased_before_it_is_known_is_one_all_the_same() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let code = cognito_user_sync::store::referral_code(sub(1));
    let referred = confirmed(2, at(1)).with(|data| data.client.referral_code = Some(code.into())).build();
    database.apply(&[referred]).await;
    erase(&operator, sub(1), true).await.unwrap();
    assert_eq!(database.column(sub(2), "referred_by").await, Some(sub(1).to_string()));
    database.apply(&person(1)).await;
    assert_eq!(differences(&operator).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_matter_when_somebody_is_erased() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..25 {
        let case = case().new_tree(&mut runner).unwrap().current();
        let database = TestDatabase::create().await;
        let operator = operator(&database).await;
        let History(events) = &case.history;
        let decoded: Vec<Event<'static>> =
            events.iter().map(|event| Event::decode(&event.encode()).unwrap().into_owned()).collect();
        let batches = case.ways[0].batches(&case.history);
        let middle = fastrand::usize(0..=batches.len());
        for (index, batch) in batches.iter().enumerate() {
            if index == middle {
                erase(&operator, sub(0), true).await.unwrap();
            }
            for outcome in database.applier.apply(batch).await {
                assert!(matches!(outcome, Outcome::Applied | Outcome::Duplicate), "{outcome:?}");
            }
        }
        if middle == batches.len() {
            erase(&operator, sub(0), true).await.unwrap();
        }
        let is_erased = |event: &Event<'static>| matches!(event, Event::User(event) if event.sub == sub(0));
        // Who had no event has a row all the same, which the model does not know of.
        if decoded.iter().any(is_erased) {
            let left: Vec<Event<'static>> = decoded
                .iter()
                .map(|event| if is_erased(event) { scrubbed(event) } else { event.clone() })
                .collect();
            Tables::actual(database.rows().await)
                .without_erasure_times()
                .must_be(&Tables::expected(&left).without_erasure_times())
                .unwrap_or_else(|differences| {
                    panic!("erased before batch {middle}: {differences:?}\n{case:?}")
                });
        }
        assert_eq!(differences(&operator).await, 0);
    }
}

/// It was read before the erasure, of a user whose address it does not change.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_while_its_user_is_erased_brings_nobody_back() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    database.apply(&person(1)).await;
    let late = [login(1, at(9))
        .email("ada@example.com")
        .attributes(&[("name", "Ada, Countess of Lovelace"), ("phone_number", "+15550001")])
        .build()];
    let erasure = erase(&operator, sub(1), false);
    let (erased, applied) = Box::pin(in_turn_for_rows(&database, erasure, database.deliver(&late))).await;
    erased.unwrap();
    assert_eq!(applied, [Outcome::Applied]);
    assert_impersonal(&everything(&database).await);
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("3"));
    assert_eq!(differences(&operator).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_brought_back_by_consumers_that_race_the_erasure() {
    let database = Arc::new(TestDatabase::create().await);
    let operator = operator(&database).await;
    for round in 0..10_u128 {
        let consume = |consumer: u64| {
            let database = Arc::clone(&database);
            tokio::spawn(async move {
                for n in 0..15 {
                    let time = at(consumer * 100 + n);
                    let kind = [Kind::Confirmed, Kind::Authenticated, Kind::Snapshot]
                        [usize::try_from(n % 3).unwrap()];
                    let told = event(kind, round, time)
                        .email(&format!("ada{n}@example.com"))
                        .attributes(&[("name", "Ada Lovelace")]);
                    let body = told.build().encode();
                    let applied = redelivered(&database.applier, &[body.clone(), body]).await;
                    let is_done =
                        |outcome: &Outcome| matches!(outcome, Outcome::Applied | Outcome::Duplicate);
                    assert!(applied.iter().all(is_done), "{applied:?}");
                }
            })
        };
        let consumers: Vec<_> = (0..3).map(consume).collect();
        tokio::time::sleep(std::time::Duration::from_millis(u64::try_from(round).unwrap() * 7)).await;
        erase(&operator, sub(round), true).await.unwrap();
        for consumer in consumers {
            consumer.await.unwrap();
        }
        assert_eq!(database.column(sub(round), "login_count").await.as_deref(), Some("15"));
    }
    assert_impersonal(&everything(&database).await);
    assert_eq!(differences(&operator).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_is_folded_and_a_repair_at_the_same_moment_bring_nobody_back() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let now = Timestamp::now();
    let day = 86_400_000;
    let mut events = Vec::new();
    for user in 0..6_u128 {
        for days in [350, 300, 250, 200, 150, 1] {
            let time = Timestamp::from_unix_millis(now.unix_millis() - days * day);
            let told = login(user, time).email(&format!("ada@{user}.example.com"));
            events.push(told.attributes(&[("name", "Ada Lovelace")]).build());
        }
    }
    database.apply(&events).await;
    let everybody: BTreeSet<_> = (0..6).map(sub).collect();
    let erase_all = async {
        for user in 0..6 {
            erase(&operator, sub(user), false).await.unwrap();
        }
    };
    let repair_often = async {
        for _ in 0..3 {
            repair(&operator, &GeoIp::default(), &everybody).await.unwrap();
        }
    };
    let ((), (), folded) = tokio::join!(erase_all, repair_often, maintain(&operator, 3, 90, now, |_, _| {}));
    assert!(folded.unwrap().folded.len() > 3);
    assert_impersonal(&everything(&database).await);
    for user in 0..6 {
        assert_eq!(database.column(sub(user), "login_count").await.as_deref(), Some("6"));
    }
    assert_eq!(differences(&operator).await, 0);
}
