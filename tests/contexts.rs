//! Where logins and sign-ups came from, as others recorded it: each rule by hand, at its edges, and whatever else goes on
//! beside it. What all of them amount to together is `convergence`'s.

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::outcome::{Outcome, RetryCause};
use cognito_user_sync_triggers::event::{Context, ContextEvent, Event, EventId, Occasion, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use crate::convergence::{empty, orders};
use crate::model::Tables;
use crate::support::events::{EventBuilder, at, confirmed, login, sub};
use crate::support::histories::{History, case_with_contexts};
use crate::support::{TestDatabase, apply_any, in_turn_for_rows, sessions_wait};

use Reporter::{Application, CloudTrail, ThreatProtection};

/// When the logins here happen, in seconds.
const LOGIN: u64 = 7_200;

/// So many milliseconds after the login.
fn after(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(at(LOGIN).unix_millis().checked_add_signed(millis).unwrap())
}

/// What somebody recorded.
fn context(
    reporter: Reporter,
    user: u128,
    time: Timestamp,
    with: impl FnOnce(&mut Context<'static>),
) -> Event<'static> {
    let mut data = Context::by(reporter);
    with(&mut data);
    let (id, user_pool_id) = (EventId::new(time), "eu-west-1_Test00000".into());
    Event::Context(ContextEvent { id, user_pool_id, sub: Some(sub(user)), data })
}

/// An address, as somebody recorded it.
fn address(reporter: Reporter, user: u128, millis: i64, ip: &'static str) -> Event<'static> {
    context(reporter, user, after(millis), |data| data.ip = Some(ip.into()))
}

/// The first record of a sign-up.
fn sign_up(user: u128, time: Timestamp, ip: &'static str) -> Event<'static> {
    context(CloudTrail, user, time, |data| {
        data.occasion = Occasion::SignUp;
        data.ip = Some(ip.into());
    })
}

/// The user is known, so that a login reports nothing new of it.
fn known(user: u128) -> Event<'static> {
    confirmed(user, at(1)).build()
}

fn plain(user: u128) -> EventBuilder {
    login(user, at(LOGIN))
}

/// A login that reports something new.
fn news(user: u128) -> Event<'static> {
    plain(user).attributes(&[("name", "Ada")]).build()
}

async fn apply(database: &TestDatabase, events: &[Event<'static>]) {
    for event in events {
        assert_eq!(database.deliver(std::slice::from_ref(event)).await, [Outcome::Applied], "{event:?}");
    }
}

async fn columns(database: &TestDatabase, user: u128, names: &[&str]) -> Vec<Option<String>> {
    let mut values = Vec::new();
    for name in names {
        values.push(database.column(sub(user), name).await);
    }
    values
}

/// The address, the device, the place and the source of a user's last login.
async fn shown(database: &TestDatabase, user: u128) -> [Option<String>; 4] {
    let names = ["last_login_ip", "last_login_device", "last_login_location", "last_login_source"];
    columns(database, user, &names).await.try_into().unwrap()
}

fn some<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
    texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
}

async fn version(database: &TestDatabase, user: u128) -> i64 {
    database.column(sub(user), "row_version").await.unwrap().parse().unwrap()
}

async fn operator(database: &TestDatabase) -> Database {
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    postgres::connect(&config, 3).await.unwrap()
}

/// Each edge of each window by a millisecond in and out, whichever comes first, and whichever way the login takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_something_of_a_login_within_its_window() {
    let database = TestDatabase::create().await;
    let mut user = 0;
    for (reporter, millis, is_within) in [
        (CloudTrail, -2_001, false),
        (CloudTrail, -2_000, true),
        (CloudTrail, 8_000, true),
        (CloudTrail, 8_001, false),
        (Application, -2_001, false),
        (Application, -2_000, true),
        (Application, 30_000, true),
        (Application, 30_001, false),
        (ThreatProtection, -900_001, false),
        (ThreatProtection, -900_000, true),
        (ThreatProtection, 8_000, true),
        (ThreatProtection, 8_001, false),
    ] {
        for way in 0..4 {
            user += 1;
            let record = address(reporter, user, millis, "192.0.2.1");
            let events = match way {
                0 => vec![known(user), plain(user).build(), record],
                1 => vec![known(user), record, plain(user).build()],
                2 => vec![news(user), record],
                // Before there is a row, which it does not make.
                _ => vec![record, news(user)],
            };
            apply(&database, &events).await;
            let expected = match is_within {
                true => some(["192.0.2.1", "", "", reporter.as_str()]),
                false => some(["", "", "", ""]),
            };
            assert_eq!(shown(&database, user).await, expected, "{reporter:?} {millis} {way}");
            assert_eq!(database.column(sub(user), "login_count").await.as_deref(), Some("1"));
            Tables::actual(database.rows().await).must_be(&Tables::expected(&events)).unwrap();
            empty(&database).await;
        }
    }
}

/// The way of a login shows by what it does not write again.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_the_fast_path_where_no_context_that_is_kept_can_be_its_own() {
    let database = TestDatabase::create().await;
    let mark = "set user_sync.service = 'on'; update users set first_name = 'mark'; reset user_sync.service";
    let unmark = "set user_sync.service = 'on'; update users set first_name = null; reset user_sync.service";
    for (user, millis, login_after, is_fast) in [
        (1, -900_001, 0, true),
        (2, -900_000, 0, false),
        (3, 0, 0, false),
        // After the login that will be the last one.
        (4, 600_000, 0, false),
        // Of a login that is not the last one, it changes nothing.
        (5, 0, -3_600_000, true),
        (6, 0, 900_000, false),
        (7, 0, 900_001, true),
    ] {
        let record = address(Application, user, millis, "192.0.2.1");
        let mut events = vec![known(user), record];
        if login_after < 0 {
            events.push(login(user, after(1_000)).build());
        }
        apply(&database, &events).await;
        sqlx::raw_sql(mark).execute(&database.owner).await.unwrap();
        let last = login(user, after(login_after)).with(|data| data.client_id = Some("web".into())).build();
        apply(&database, std::slice::from_ref(&last)).await;
        events.push(last);
        let first_name = database.column(sub(user), "first_name").await;
        assert_eq!(first_name.as_deref() == Some("mark"), is_fast, "{user}");
        sqlx::raw_sql(unmark).execute(&database.owner).await.unwrap();
        Tables::actual(database.rows().await).must_be(&Tables::expected(&events)).unwrap();
        empty(&database).await;
    }
}

/// On both ways, each after the other: what is the former login's own must not stay.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_says_itself_is_kept_beside_what_others_say_of_it() {
    let database = TestDatabase::create().await;
    let own = |seconds, ip: &'static str| {
        login(1, at(seconds)).with(|data| {
            data.client.ip = Some(ip.into());
            data.client_id = Some("web".into());
        })
    };
    let names =
        ["last_login_ip", "last_login_source", "last_login_client_id", "last_login_own", "contexts_until"];
    let (known, first) = (known(1), own(LOGIN, "198.51.100.1").build());
    let Event::User(login_event) = &first else { panic!() };
    let own_words = format!(r#"{{"id": "{}", "ip": "198.51.100.1"}}"#, login_event.id);
    apply(&database, &[known.clone(), first.clone()]).await;
    assert_eq!(columns(&database, 1, &names).await, some(["198.51.100.1", "client", "web", "", ""]));

    let record = address(Application, 1, 5, "192.0.2.1");
    apply(&database, std::slice::from_ref(&record)).await;
    let shown = columns(&database, 1, &names).await;
    assert_eq!(shown[..4], some(["192.0.2.1", "application", "web", &own_words]));
    assert!(shown[4].is_some());

    // Another address of the same reporter silences it: the login's own word stands again.
    let other = address(Application, 1, 9, "192.0.2.2");
    apply(&database, std::slice::from_ref(&other)).await;
    assert_eq!(columns(&database, 1, &names).await[..4], some(["198.51.100.1", "client", "web", ""]));
    // The word of somebody else counts all the same.
    let third = address(ThreatProtection, 1, 9, "192.0.2.3");
    apply(&database, std::slice::from_ref(&third)).await;
    assert_eq!(
        columns(&database, 1, &names).await[..4],
        some(["192.0.2.3", "threat_protection", "web", &own_words])
    );
    let later = own(LOGIN + 3_600, "198.51.100.9").build();
    apply(&database, std::slice::from_ref(&later)).await;
    assert_eq!(columns(&database, 1, &names).await[..4], some(["198.51.100.9", "client", "web", ""]));
    let silent = login(1, at(LOGIN + 7_200)).build();
    apply(&database, std::slice::from_ref(&silent)).await;
    assert_eq!(columns(&database, 1, &names).await[..4], some(["", "", "", ""]));
    let events = [known, first, record, other, third, later, silent];
    Tables::actual(database.rows().await).must_be(&Tables::expected(&events)).unwrap();
}

/// An older release moves the last login and leaves what it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_a_former_login_are_nobodys() {
    let database = TestDatabase::create().await;
    let first = plain(1).with(|data| data.client.ip = Some("198.51.100.1".into())).build();
    apply(&database, &[first, address(Application, 1, 0, "192.0.2.1")]).await;
    let older = login(1, at(LOGIN + 60)).with(|data| data.client.ip = Some("198.51.100.2".into())).build();
    let Event::User(event) = &older else { panic!() };
    let moves = "update users set last_login_id = $1, last_login_at = $2, last_login_ip = '198.51.100.2'";
    let service = "set user_sync.service = 'on'";
    let mut connection = database.owner.acquire().await.unwrap();
    sqlx::query(service).execute(&mut *connection).await.unwrap();
    let time = time::OffsetDateTime::from(event.id.time());
    sqlx::query(moves).bind(event.id.uuid()).bind(time).execute(&mut *connection).await.unwrap();
    sqlx::query("reset user_sync.service").execute(&mut *connection).await.unwrap();
    // Whatever changes the row next reads it right.
    apply(&database, &[address(CloudTrail, 1, 60_000, "192.0.2.9")]).await;
    assert_eq!(shown(&database, 1).await, some(["198.51.100.2", "", "", "client"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_field_is_the_first_ones_word_who_has_one() {
    let database = TestDatabase::create().await;
    let full = |reporter, user, place: &'static str, device: &'static str, ip: &'static str| {
        context(reporter, user, after(1), |data| {
            (data.ip, data.device, data.city) = (Some(ip.into()), Some(device.into()), Some(place.into()));
        })
    };
    let own = |user, place: &'static str, device: &'static str, ip: &'static str| {
        plain(user)
            .with(|data| {
                let client = &mut data.client;
                (client.ip, client.device) = (Some(ip.into()), Some(device.into()));
                client.location = Some(place.into());
            })
            .build()
    };
    let application = full(Application, 1, "Aachen", "Mobile", "192.0.2.1");
    let threat_protection = full(ThreatProtection, 1, "Trier", "Tablet", "192.0.2.2");
    let client = own(1, "Celle", "Mobile", "192.0.2.3");
    let cloudtrail = full(CloudTrail, 1, "Worms", "Desktop", "192.0.2.4");
    let by_application = some(["192.0.2.1", "Mobile", "Aachen", "application"]);
    let by_threat_protection = some(["192.0.2.2", "Tablet", "Trier", "threat_protection"]);
    let by_client = some(["192.0.2.3", "Mobile", "Celle", "client"]);
    let by_cloudtrail = some(["192.0.2.4", "Desktop", "Worms", "cloudtrail"]);
    let silent = plain(1).build();
    for (events, expected) in [
        (vec![&cloudtrail, &client, &threat_protection, &application], &by_application),
        (vec![&cloudtrail, &client, &threat_protection], &by_threat_protection),
        (vec![&cloudtrail, &client], &by_client),
        (vec![&cloudtrail, &silent], &by_cloudtrail),
        (vec![&silent, &application, &cloudtrail], &by_application),
        (vec![&silent, &threat_protection, &cloudtrail], &by_threat_protection),
    ] {
        for order in orders(&(0..events.len()).collect::<Vec<_>>()) {
            let events: Vec<Event<'static>> = order.into_iter().map(|at| events[at].clone()).collect();
            apply(&database, &events).await;
            assert_eq!(shown(&database, 1).await, *expected, "{events:?}");
            empty(&database).await;
        }
    }
}

/// Each field by itself, and the source is that of the address, else of the device, else of the place.
#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_the_addresses_else_the_devices_else_the_places() {
    let database = TestDatabase::create().await;
    type Said<'a> = (Reporter, &'a str, &'a str, &'a str);
    let table: [(&[Said<'static>], [&str; 4]); 6] = [
        (
            &[(Application, "", "", "Graz"), (CloudTrail, "192.0.2.1", "", "")],
            ["192.0.2.1", "", "Graz", "cloudtrail"],
        ),
        (
            &[(Application, "", "", "Graz"), (CloudTrail, "", "Mobile", "")],
            ["", "Mobile", "Graz", "cloudtrail"],
        ),
        (&[(ThreatProtection, "", "", "Graz")], ["", "", "Graz", "threat_protection"]),
        (&[(ThreatProtection, "", "Tablet", "Graz")], ["", "Tablet", "Graz", "threat_protection"]),
        (
            &[(ThreatProtection, "192.0.2.1", "", ""), (Application, "", "Desktop", "Graz")],
            ["192.0.2.1", "Desktop", "Graz", "threat_protection"],
        ),
        // It says nothing.
        (&[(Application, "unknown", "toaster", "null")], ["", "", "", ""]),
    ];
    for (user, (records, expected)) in (1..).zip(table) {
        apply(&database, &[plain(user).build()]).await;
        for (reporter, ip, device, city) in records {
            let record = context(*reporter, user, after(0), |data| {
                (data.ip, data.device, data.city) =
                    (Some((*ip).into()), Some((*device).into()), Some((*city).into()));
                data.country = Some("null".into());
            });
            apply(&database, &[record]).await;
        }
        assert_eq!(shown(&database, user).await, some(expected), "{records:?}");
    }
    let agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.5 Mobile/15E148 Safari/604.1";
    let record = context(ThreatProtection, 9, after(0), |data| {
        data.user_agent = Some(agent.into());
        (data.city, data.country) = (Some("Graz".into()), Some("Austria".into()));
    });
    apply(&database, &[plain(9).build(), record]).await;
    assert_eq!(shown(&database, 9).await, some(["", "Mobile", "Graz, Austria", "threat_protection"]));
}

/// The nearest one would be a guess.
#[tokio::test(flavor = "multi_thread")]
async fn several_values_silence_who_recorded_them_and_the_next_one_is_asked() {
    let database = TestDatabase::create().await;
    for (user, records, expected) in [
        (1, vec![(Application, 0, "192.0.2.1"), (Application, 29_000, "192.0.2.2")], ["", ""]),
        (
            2,
            vec![(Application, 0, "192.0.2.1"), (Application, 29_000, "192.0.2.1")],
            ["192.0.2.1", "application"],
        ),
        // The other value is outside the window.
        (
            3,
            vec![(Application, 0, "192.0.2.1"), (Application, 31_000, "192.0.2.2")],
            ["192.0.2.1", "application"],
        ),
        (
            4,
            vec![
                (Application, 0, "192.0.2.1"),
                (Application, 1, "192.0.2.2"),
                (CloudTrail, 7_000, "192.0.2.3"),
            ],
            ["192.0.2.3", "cloudtrail"],
        ),
        (
            5,
            vec![
                (CloudTrail, 0, "192.0.2.1"),
                (CloudTrail, 1, "192.0.2.2"),
                (ThreatProtection, -60_000, "192.0.2.3"),
            ],
            ["192.0.2.3", "threat_protection"],
        ),
    ] {
        apply(&database, &[plain(user).build()]).await;
        let records = records.into_iter().map(|(reporter, millis, ip)| address(reporter, user, millis, ip));
        apply(&database, &records.collect::<Vec<_>>()).await;
        let names = ["last_login_ip", "last_login_source"];
        assert_eq!(columns(&database, user, &names).await, some(expected), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_client_is_of_another_login() {
    let database = TestDatabase::create().await;
    for (user, (logins, records, is_of_it)) in (1..).zip([
        ("web", "web", true),
        ("web", "app", false),
        ("", "app", true),
        ("web", "", true),
        ("", "", true),
    ]) {
        let client = |id: &'static str| Some(id.into());
        let record = context(Application, user, after(0), |data| {
            (data.ip, data.client_id) = (Some("192.0.2.1".into()), client(records));
        });
        let login = plain(user).with(|data| data.client_id = client(logins)).build();
        apply(&database, &[known(user), login, record]).await;
        let expected = if is_of_it { ["192.0.2.1", logins] } else { ["", logins] };
        assert_eq!(
            columns(&database, user, &["last_login_ip", "last_login_client_id"]).await,
            some(expected)
        );
    }
}

/// The backend's address is nobody's, and the record is in the ledger all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_and_a_record_of_nobody_are_in_the_ledger_alone() {
    let database = TestDatabase::create().await;
    apply(&database, &[plain(1).build()]).await;
    let rows = database.rows().await;
    let before = version(&database, 1).await;
    let witness = context(CloudTrail, 1, after(0), |data| {
        (data.witness, data.ip) = (true, Some("192.0.2.1".into()));
        data.client_id = Some("backend".into());
        data.flow = Some("ADMIN_USER_PASSWORD_AUTH".into());
    });
    let Event::Context(of_nobody) = address(CloudTrail, 1, 1, "192.0.2.1") else { panic!() };
    let of_nobody = Event::Context(ContextEvent { sub: None, ..of_nobody });
    let empty = context(Application, 1, after(2), |_| {});
    apply(&database, &[witness, of_nobody, empty]).await;
    assert_eq!((database.rows().await, version(&database, 1).await), (rows, before));
    assert_eq!(database.count("user_sync_context_states").await, 0);
    let ledger = "select concat_ws(' ', reported_by, occasion, is_witness, client_id, user_id is null, user_pool_id, data)
        from user_sync_contexts order by id";
    let ledger: Vec<String> = sqlx::query_scalar(ledger).fetch_all(&database.owner).await.unwrap();
    assert_eq!(
        ledger,
        [
            "cloudtrail sign_in t backend f eu-west-1_Test00000 {\"ip\": \"192.0.2.1\", \"flow\": \"ADMIN_USER_PASSWORD_AUTH\", \
         \"witness\": true, \"client_id\": \"backend\", \"reported_by\": \"cloudtrail\"}",
            "cloudtrail sign_in f t eu-west-1_Test00000 {\"ip\": \"192.0.2.1\", \"reported_by\": \"cloudtrail\"}",
            "application sign_in f f eu-west-1_Test00000 {\"reported_by\": \"application\"}",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_the_same_one_by_its_id_whatever_it_says() {
    let database = TestDatabase::create().await;
    let record = address(Application, 1, 0, "192.0.2.1");
    let Event::Context(event) = &record else { panic!() };
    let other = |user| {
        let data = Context { ip: Some("192.0.2.2".into()), ..event.data.clone() };
        Event::Context(ContextEvent { data, sub: Some(sub(user)), ..event.clone() })
    };
    apply(&database, &[plain(1).build(), plain(2).build(), record.clone()]).await;
    let before = version(&database, 1).await;
    for again in [record.clone(), other(1), other(2)] {
        assert_eq!(database.apply(&[again]).await, [Outcome::Duplicate]);
    }
    let new = address(Application, 2, 0, "192.0.2.3");
    assert_eq!(
        database.apply(&[record.clone(), new, record]).await,
        [Outcome::Duplicate, Outcome::Applied, Outcome::Duplicate]
    );
    assert_eq!(version(&database, 1).await, before);
    assert_eq!(shown(&database, 1).await, some(["192.0.2.1", "", "", "application"]));
    assert_eq!(shown(&database, 2).await, some(["192.0.2.3", "", "", "application"]));
}

/// What the state is bounded by, and what that costs.
#[tokio::test(flavor = "multi_thread")]
async fn four_later_records_of_one_reporter_take_its_word_for_an_earlier_login() {
    let database = TestDatabase::create().await;
    let first = address(Application, 1, 0, "192.0.2.1");
    let hour = 3_600_000;
    let later: Vec<Event<'static>> =
        (0..4).map(|number| address(Application, 1, hour + number, "192.0.2.9")).collect();
    let mut events = vec![plain(1).build(), first];
    events.extend(later[..3].to_vec());
    apply(&database, &events).await;
    assert_eq!(shown(&database, 1).await, some(["192.0.2.1", "", "", "application"]));
    apply(&database, &later[3..]).await;
    assert_eq!(shown(&database, 1).await, some(["", "", "", ""]));
    let before = version(&database, 1).await;
    // Too early to be kept: nothing of the user changes. Another reporter's are apart.
    apply(&database, &[address(Application, 1, 1, "192.0.2.1")]).await;
    assert_eq!((shown(&database, 1).await, version(&database, 1).await), (some(["", "", "", ""]), before));
    apply(&database, &[address(CloudTrail, 1, 1, "192.0.2.4")]).await;
    assert_eq!(shown(&database, 1).await, some(["192.0.2.4", "", "", "cloudtrail"]));
}

/// Who has read the row before must notice, whatever the columns show.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_what_is_kept_raises_the_rows_version_and_nothing_else_does() {
    let database = TestDatabase::create().await;
    apply(&database, &[plain(1).build()]).await;
    let times = ["created_at", "updated_at", "synced_at", "confirmed_at", "last_login_at", "login_count"];
    let unchanged = columns(&database, 1, &times).await;
    let mut before = version(&database, 1).await;
    for (record, raises) in [
        (address(Application, 1, 0, "192.0.2.1"), true),
        // It shows nothing else, and may of a later login.
        (address(CloudTrail, 1, 60_000, "192.0.2.2"), true),
        (sign_up(1, at(10), "192.0.2.3"), true),
        (sign_up(1, at(11), "192.0.2.4"), false),
        (sign_up(1, at(9), "192.0.2.3"), true),
        (context(Application, 1, after(1), |data| data.flow = Some("x".into())), false),
    ] {
        apply(&database, std::slice::from_ref(&record)).await;
        let is = version(&database, 1).await;
        assert_eq!(is - before, i64::from(raises), "{record:?}");
        before = is;
    }
    assert_eq!(columns(&database, 1, &times).await, unchanged);
}

/// A confirmation that says the same address as the record is told from one that says none: whatever comes later, in any order.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_sign_up_is_the_first_confirmations_else_the_first_records() {
    let database = TestDatabase::create().await;
    let confirmation = |seconds, ip: &'static str| {
        confirmed(1, at(seconds)).with(|data| data.client.ip = (!ip.is_empty()).then(|| ip.into())).build()
    };
    let witness = context(CloudTrail, 1, at(1), |data| {
        (data.occasion, data.witness, data.ip) = (Occasion::SignUp, true, Some("192.0.2.99".into()));
    });
    let events = [
        sign_up(1, at(5), "192.0.2.1"),
        confirmation(20, "192.0.2.1"),
        sign_up(1, at(3), "192.0.2.2"),
        confirmation(10, ""),
        login(1, at(2)).build(),
        witness,
    ];
    let last = confirmation(6, "192.0.2.7");
    for order in orders(&[0, 1, 2, 3, 4, 5]) {
        let mut so_far = Vec::new();
        for at in order {
            so_far.push(events[at].clone());
            apply(&database, &so_far[so_far.len() - 1..]).await;
            Tables::actual(database.rows().await).must_be(&Tables::expected(&so_far)).unwrap();
        }
        assert_eq!(database.column(sub(1), "created_ip").await.as_deref(), Some("192.0.2.2"));
        apply(&database, std::slice::from_ref(&last)).await;
        assert_eq!(columns(&database, 1, &["created_ip", "created_ip_for"]).await, some(["192.0.2.7", ""]));
        empty(&database).await;
    }
}

/// A slow login reads what is kept when it has the lock, and a record finds the row that was made meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_and_a_login_at_once_leave_the_same_row_whoever_is_first() {
    let database = TestDatabase::create().await;
    for is_known in [true, false] {
        for is_record_first in [true, false] {
            // By the slow path at once, with keys and without, after the fast path has left it, and by the fast path.
            let federated = confirmed(1, at(LOGIN)).with(|data| data.federated = true).build();
            let enabled = plain(1).with(|data| data.enabled = Some(true)).build();
            for login in [federated, enabled, news(1), plain(1).build()] {
                let record = [address(Application, 1, 0, "192.0.2.1")];
                let login = [login];
                let mut events = [&record[..], &login].concat();
                if is_known {
                    apply(&database, &[known(1)]).await;
                    events.push(known(1));
                }
                let (record, login) = (database.deliver(&record), database.deliver(&login));
                let (a, b) = match is_record_first {
                    true => Box::pin(in_turn_for_rows(&database, record, login)).await,
                    false => {
                        let (b, a) = Box::pin(in_turn_for_rows(&database, login, record)).await;
                        (a, b)
                    }
                };
                assert_eq!([a, b].concat(), [Outcome::Applied, Outcome::Applied]);
                let shown = shown(&database, 1).await;
                assert_eq!(shown, some(["192.0.2.1", "", "", "application"]), "{is_known} {is_record_first}");
                empty(&database).await;
            }
        }
    }
}

/// A login has read the row and waits for it, while a record's transaction commits.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_read_when_the_row_is_locked() {
    let database = TestDatabase::create().await;
    apply(&database, &[known(1), plain(2).build(), address(Application, 2, 0, "192.0.2.1")]).await;
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::query("lock table users in exclusive mode").execute(&mut *holder).await.unwrap();
    let commit = async {
        sessions_wait(&database, 1).await;
        let keep = "insert into user_sync_context_states select $1, state from user_sync_context_states where user_id = $2";
        sqlx::query(keep).bind(sub(1)).bind(sub(2)).execute(&mut *holder).await.unwrap();
        let change = "update users set row_version = row_version + 1 where id = $1";
        sqlx::query(change).bind(sub(1)).execute(&mut *holder).await.unwrap();
        holder.commit().await.unwrap();
    };
    let login = [plain(1).with(|data| data.enabled = Some(true)).build()];
    let (outcomes, ()) = tokio::join!(database.apply(&login), commit);
    assert_eq!(outcomes, [Outcome::Applied]);
    assert_eq!(shown(&database, 1).await, some(["192.0.2.1", "", "", "application"]));
}

/// Of a user without a row, too: each keeps what the other one has.
#[tokio::test(flavor = "multi_thread")]
async fn two_records_at_once_are_kept_both() {
    let database = TestDatabase::create().await;
    for is_known in [false, true] {
        if is_known {
            apply(&database, &[known(1)]).await;
        }
        let one = [address(CloudTrail, 1, 0, "192.0.2.1")];
        let other = [context(Application, 1, after(0), |data| data.device = Some("Mobile".into()))];
        let both = in_turn_for_rows(&database, database.deliver(&one), database.deliver(&other));
        let (one, other) = Box::pin(both).await;
        assert_eq!([one, other].concat(), [Outcome::Applied, Outcome::Applied]);
        apply(&database, &[news(1)]).await;
        assert_eq!(shown(&database, 1).await, some(["192.0.2.1", "Mobile", "", "cloudtrail"]), "{is_known}");
        empty(&database).await;
    }
}

/// What somebody else holds delays its own records.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_held_holds_back_its_own_records_alone() {
    let database = TestDatabase::create().await;
    apply(&database, &[plain(1).build(), plain(2).build()]).await;
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::query("select from users where id = $1 for update")
        .bind(sub(1))
        .execute(&mut *holder)
        .await
        .unwrap();
    let records = [1, 2, 3].map(|user| address(Application, user, 0, "192.0.2.1"));
    assert_eq!(
        database.apply(&records).await,
        [Outcome::Retry(RetryCause::Conflict), Outcome::Applied, Outcome::Applied]
    );
    holder.rollback().await.unwrap();
    assert_eq!(database.apply(&records[..1]).await, [Outcome::Applied]);
}

/// The months of records are their own: those of events hold none of them back.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_month_that_is_being_folded_comes_again_later() {
    const CLASS: i32 = 0x7573_6572;
    const MONTHS: i32 = 1_024 + 2;
    const RECORD_MONTHS: i32 = MONTHS + 12 * 11_000;
    let database = TestDatabase::create().await;
    let days_ago =
        |days: u64| Timestamp::from_unix_millis(Timestamp::now().unix_millis() - days * 86_400_000);
    let old = context(Application, 1, days_ago(62), |data| data.ip = Some("192.0.2.1".into()));
    let young = address(Application, 2, 0, "192.0.2.1");
    let time = time::OffsetDateTime::from(days_ago(62));
    let month = time.year() * 12 + i32::from(u8::from(time.month())) - 1;
    for (months, outcome) in
        [(RECORD_MONTHS, Outcome::Retry(RetryCause::Conflict)), (MONTHS, Outcome::Applied)]
    {
        let mut holder = database.owner.begin().await.unwrap();
        let lock = sqlx::query("select pg_advisory_xact_lock($1, $2)").bind(CLASS).bind(months + month);
        lock.execute(&mut *holder).await.unwrap();
        let outcomes = database.apply(&[old.clone(), young.clone()]).await;
        assert_eq!(outcomes[0], outcome);
        holder.rollback().await.unwrap();
    }
    assert_eq!(database.count("user_sync_contexts").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_erased_person_is_kept_of_what_others_record_later() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    apply(&database, &[plain(1).build()]).await;
    erase(&operator, sub(1), false).await.unwrap();
    let rows = database.rows().await;
    let record = context(ThreatProtection, 1, after(0), |data| {
        data.client_id = Some("web".into());
        data.flow = Some("SignIn".into());
        data.ip = Some("192.0.2.1".into());
        data.user_agent = Some("Ada's browser".into());
        data.device = Some("Mobile".into());
        (data.city, data.country) = (Some("Graz".into()), Some("Austria".into()));
        data.risk = Some("High".into());
    });
    apply(&database, &[record, sign_up(1, at(3), "192.0.2.1")]).await;
    assert_eq!(database.rows().await, rows);
    assert_eq!(database.count("user_sync_context_states").await, 0);
    let ledger = "select data::text from user_sync_contexts where user_id = $1 order by id";
    let ledger: Vec<String> =
        sqlx::query_scalar(ledger).bind(sub(1)).fetch_all(&database.owner).await.unwrap();
    assert_eq!(
        ledger,
        [
            r#"{"occasion": "sign_up", "reported_by": "cloudtrail"}"#,
            r#"{"flow": "SignIn", "client_id": "web", "reported_by": "threat_protection"}"#,
        ]
    );
}

/// Whatever came before, and whatever comes after.
#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_matter_when_somebody_is_erased() {
    let mut runner = TestRunner::default();
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    for _ in 0..40 {
        empty(&database).await;
        let case = case_with_contexts().new_tree(&mut runner).unwrap().current();
        let History(events) = &case.history;
        let is_theirs = |event: &Event<'_>| match event {
            Event::User(event) => event.sub == sub(0),
            Event::Context(event) => event.sub == Some(sub(0)),
            Event::Group(_) | Event::Failures(_) | Event::Heartbeat { .. } => false,
        };
        let batches = case.ways[0].batches(&case.history);
        let middle = fastrand::usize(0..=batches.len());
        for (index, batch) in batches.iter().chain([&Vec::new()]).enumerate() {
            if index == middle {
                erase(&operator, sub(0), true).await.unwrap();
            }
            for outcome in apply_any(&database.applier, batch).await {
                assert!(matches!(outcome, Outcome::Applied | Outcome::Duplicate), "{outcome:?}");
            }
        }
        let row = "select concat(last_login_ip, last_login_device, last_login_location, last_login_source, last_login_own,
                contexts_until, created_ip, created_ip_for) from users where id = $1";
        let row: String = sqlx::query_scalar(row).bind(sub(0)).fetch_one(&database.owner).await.unwrap();
        assert_eq!(row, "", "erased before batch {middle}: {case:?}");
        // The others' are as if nothing had happened, but for the addresses that became free.
        let others: Vec<Event<'static>> = events.iter().filter(|event| !is_theirs(event)).cloned().collect();
        assert_eq!(
            Tables::actual(database.rows().await).origins(sub(0)),
            Tables::expected(&others).origins(sub(0))
        );
    }
}
