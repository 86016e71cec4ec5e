//! What single events do to a row.

use std::collections::BTreeSet;
use std::time::Duration;

use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync::store::referral_code;
use cognito_user_sync_triggers::event::{Data, Event, EventId, Kind, PoolSeen};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::model::Tables;
use crate::support::events::{at, confirmed, event, login, sub};
use crate::support::{TestDatabase, applier, deployment, eventually, geoip};

/// Applies events one by one and compares columns of the first user.
async fn check(events: Vec<Event<'static>>, expected: &[(&str, Option<&str>)]) {
    let database = TestDatabase::create().await;
    for event in events {
        assert_eq!(database.apply(&[event]).await, [Outcome::Applied]);
    }
    for (column, expected) in expected {
        assert_eq!(database.column(sub(1), column).await.as_deref(), *expected, "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_confirmation_is_no_login_and_a_federated_one_is() {
    let native = confirmed(1, at(1)).build();
    check(vec![native.clone()], &[("login_count", Some("0")), ("last_login_at", None)]).await;
    check(vec![native, login(1, at(2)).build()], &[("login_count", Some("1"))]).await;
    let federated = |seconds| confirmed(1, at(seconds)).with(|data| data.federated = true);
    let with_ip = federated(1).with(|data| data.client.ip = Some("192.0.2.1".into())).build();
    check(
        vec![with_ip, federated(2).build(), login(1, at(3)).build()],
        &[("login_count", Some("2")), ("created_ip", Some("192.0.2.1")), ("last_login_ip", None)],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_reset_is_neither_a_sign_up_nor_a_login() {
    let reset = event(Kind::PasswordReset, 1, at(5)).attributes(&[("name", "Jo")]).build();
    check(vec![reset], &[("login_count", Some("0")), ("confirmed_at", None), ("name", Some("Jo"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_created_user_appears_with_the_first_login_whose_status_is_stale() {
    let first = login(1, at(1)).with(|data| data.status = Some("FORCE_CHANGE_PASSWORD".into()));
    let columns = [("login_count", Some("1")), ("cognito_status", Some("CONFIRMED")), ("confirmed_at", None)];
    check(vec![first.clone().build()], &columns).await;
    let snapshot = event(Kind::Snapshot, 1, at(2)).with(|data| data.status = Some("CONFIRMED".into()));
    check(vec![snapshot.build(), first.build()], &[("cognito_status", Some("CONFIRMED"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_attribute_erases_nothing_and_each_is_its_own_register() {
    let early =
        login(1, at(1)).attributes(&[("name", "Old"), ("gender", "female"), ("locale", "de-CH")]).build();
    let late = login(1, at(9)).attributes(&[("name", "New"), ("zoneinfo", "Europe/Zurich")]).build();
    let columns = [
        ("name", Some("New")),
        ("gender", Some("female")),
        ("timezone", Some("Europe/Zurich")),
        ("language", Some("de")),
        ("country_code", Some("CH")),
    ];
    check(vec![early.clone(), late.clone()], &columns).await;
    check(vec![late, early], &columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_country_is_the_locales_else_the_phone_numbers() {
    let phone = |seconds, number| login(1, at(seconds)).attributes(&[("phone_number", number)]).build();
    let locale = |seconds, locale| login(1, at(seconds)).attributes(&[("locale", locale)]).build();
    check(vec![phone(1, "+41446681800")], &[("country_code", Some("CH"))]).await;
    check(vec![phone(1, "+41446681800"), locale(2, "de-AT")], &[("country_code", Some("AT"))]).await;
    let moved = [phone(2, "+442079460018"), locale(3, "fr"), phone(1, "+41446681800")];
    check(moved.to_vec(), &[("country_code", Some("GB")), ("language", Some("fr"))]).await;
    let unknown = [phone(1, "+41446681800"), phone(2, "0446681800")];
    check(unknown.to_vec(), &[("country_code", None), ("phone_number", Some("0446681800"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_read_as_providers_and_phones_write_them() {
    let database = TestDatabase::create().await;
    let facebook = login(1, at(1)).attributes(&[
        ("phone_number", "+525512345678"),
        ("locale", "es_LA"),
        ("picture", r#"{"data":{"height":50,"url":"https://graph.example/p.jpg","width":50}}"#),
        ("zoneinfo", "Pacific Standard Time"),
        ("given_name", " "),
        ("family_name", "  Example "),
        ("birthdate", "0001-01-01"),
    ]);
    let apple = login(2, at(1)).email("ada@relay.example").attributes(&[
        ("name", "Ada@relay.example"),
        ("nickname", "ada"),
        ("locale", r#"{"country":"ES","language":"es"}"#),
        ("zoneinfo", "Asia/Calcutta "),
        ("picture", "undefined"),
        ("birthdate", "2999-01-01"),
    ]);
    database.apply(&[facebook.build(), apple.build()]).await;
    for (user, column, expected) in [
        (1, "language", Some("es")),
        (1, "country_code", Some("MX")),
        (1, "profile_picture_url", Some("https://graph.example/p.jpg")),
        (1, "timezone", None),
        (1, "first_name", None),
        (1, "last_name", Some("Example")),
        (1, "name", Some("Example")),
        (1, "date_of_birth", None),
        (2, "name", Some("ada")),
        (2, "language", Some("es")),
        (2, "country_code", Some("ES")),
        (2, "timezone", Some("Asia/Calcutta")),
        (2, "profile_picture_url", None),
        (2, "date_of_birth", None),
    ] {
        assert_eq!(database.column(sub(user), column).await.as_deref(), expected, "{column} of {user}");
    }
    let raw = database.column(sub(1), "cognito_attributes").await.unwrap();
    assert!(
        raw.contains("es_LA") && raw.contains("Pacific Standard Time") && raw.contains("  Example "),
        "{raw}"
    );
    // What is shown as a zone, PostgreSQL computes with.
    let zones =
        "select count(*) from users where timezone is not null and now() at time zone timezone is not null";
    assert_eq!(sqlx::query_scalar::<_, i64>(zones).fetch_one(&database.owner).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_are_a_row_each_for_the_application() {
    let database = TestDatabase::create().await;
    let linked = r#"[{"userId":"1023","providerName":"Google","providerType":"Google","issuer":null,"primary":false,"dateCreated":1700000000123},
        {"userId":"x","providerName":"Okta","providerType":"OIDC","primary":"true","dateCreated":"1600000000000"}]"#;
    let events = [
        login(1, at(1)).attributes(&[("identities", linked)]).build(),
        login(2, at(1)).attributes(&[("identities", "[]")]).build(),
        login(3, at(1)).build(),
    ];
    database.apply(&events).await;
    assert_eq!(database.column(sub(2), "cognito_identities").await, None);
    let app = cognito_user_sync::dev::local::connect(&database.deployment.app_url, 1).await.unwrap();
    let query = "select user_id, provider_name, provider_type, provider_user_id, extract(epoch from linked_at)::bigint,
        is_primary from user_sync_identities order by provider_name";
    let rows: Vec<(uuid::Uuid, String, String, String, i64, bool)> =
        sqlx::query_as(query).fetch_all(&app).await.unwrap();
    let row = |name: &str, kind: &str, id: &str, at, is_primary| {
        (sub(1), name.to_owned(), kind.to_owned(), id.to_owned(), at, is_primary)
    };
    let expected = [
        row("Google", "Google", "1023", 1_700_000_000, false),
        row("Okta", "OIDC", "x", 1_600_000_000, true),
    ];
    assert_eq!(rows, expected);
    // The newest word is the whole: who is linked no more is there no more.
    database.apply(&[login(1, at(2)).attributes(&[("identities", "[]")]).build()]).await;
    let count = "select count(*) from user_sync_identities";
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&app).await.unwrap(), 0);
    // Whatever an owner writes there, the view can be read.
    sqlx::query("update users set cognito_identities = '{\"a\": 1}'").execute(&database.owner).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&app).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_belongs_to_its_value() {
    let verified = login(1, at(1)).email("jo@example.com").build();
    let moved = login(1, at(2)).attributes(&[("email", "jo@example.org")]).build();
    let flag_alone = login(1, at(3)).attributes(&[("email_verified", "true")]).build();
    let columns = [
        ("email", Some("jo@example.org")),
        ("email_verified", Some("false")),
        ("is_verified", Some("false")),
    ];
    check(vec![verified, moved, flag_alone], &columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_the_same_however_it_is_written_and_whichever_way_its_login_takes() {
    let written = [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:001", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("203.0.113.9:46532", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("unknown, 10.0.0.7, 198.51.100.2, 203.0.113.9", "198.51.100.2"),
        ("1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201"),
    ];
    let database = TestDatabase::create().await;
    // Of each user's logins the first takes the long way, and the others, which tell nothing new, the short one.
    for seconds in [1, 2, 3] {
        let said = written.iter().zip(1..).map(|((ip, _), user)| {
            login(user, at(seconds)).with(|data| data.client.ip = Some((*ip).into())).build()
        });
        let outcomes = database.apply(&said.collect::<Vec<_>>()).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
        for ((_, shown), user) in written.iter().zip(1..) {
            assert_eq!(database.column(sub(user), "last_login_ip").await.as_deref(), Some(*shown));
        }
    }
}

/// Logins that report the same, and by the later of them the birthdate has come: whichever path and order they take.
#[tokio::test(flavor = "multi_thread")]
async fn a_birthdate_that_is_yet_to_come_is_none_until_a_login_of_its_day_reports_it() {
    // The day after that of `at(0)` begins at 10:00 UTC, where it begins first.
    let tomorrow = at(86_400).to_string();
    let born = |seconds| login(1, at(seconds)).attributes(&[("birthdate", &tomorrow[..10])]).build();
    let events = [10, 20, 36_010, 36_020].map(born);
    let expected = Tables::expected(&events);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [0, 2, 1, 3], [1, 3, 0, 2]] {
        let database = TestDatabase::create().await;
        for event in order.map(|index| events[index].clone()) {
            assert_eq!(database.apply(&[event]).await, [Outcome::Applied]);
        }
        Tables::actual(database.rows().await).must_be(&expected).unwrap();
        assert_eq!(database.column(sub(1), "date_of_birth").await.as_deref(), Some(&tomorrow[..10]));
    }
    check(events[..2].to_vec(), &[("date_of_birth", None)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_audit_is_that_of_the_latest_login_whichever_came_last() {
    let client = |seconds: u64, ip: Option<&'static str>, device: Option<&'static str>| {
        let (ip, device) = (ip.map(Text::from), device.map(Text::from));
        login(1, at(seconds)).with(|data| (data.client.ip, data.client.device) = (ip, device)).build()
    };
    let columns =
        [("login_count", Some("3")), ("last_login_ip", Some("192.0.2.9")), ("last_login_device", None)];
    let events = [
        client(9, Some("192.0.2.9"), Some("toaster")),
        client(3, Some("192.0.2.3"), Some("Desktop")),
        client(5, Some("not an address"), None),
    ];
    check(events.to_vec(), &columns).await;
    let unknown = client(10, None, None);
    let columns = [("last_login_ip", None), ("last_login_device", None), ("last_login_location", None)];
    check([&events[..], &[unknown]].concat(), &columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_is_the_clients_word_else_its_user_agents_class() {
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    let client = |seconds: u64, device: Option<&'static str>, user_agent: &'static str| {
        let said = |data: &mut Data<'static>| {
            (data.client.device, data.client.user_agent) = (device.map(Text::from), Some(user_agent.into()));
        };
        login(1, at(seconds)).with(said).build()
    };
    let device = |device| [("last_login_device", device)];
    check(vec![client(1, Some("Tablet"), iphone)], &device(Some("Tablet"))).await;
    let (phone, unknown) = (client(1, Some("Toaster"), iphone), client(2, None, "curl/8.4.0"));
    // A stored login has its class and no user agent: an older one leaves it as it is.
    check(vec![phone.clone(), client(0, None, "curl/8.4.0")], &device(Some("Mobile"))).await;
    check(vec![phone.clone(), unknown.clone()], &device(None)).await;
    check(vec![unknown, phone], &device(None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_is_the_clients_word_else_the_addresses() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), geoip::cities()).unwrap();
    let deployment = deployment().await;
    let applier = applier(&deployment, 4).await.with_geoip(GeoIp::open(Some(file.path())).unwrap());
    let database = TestDatabase { applier: applier.into(), ..TestDatabase::of(deployment).await };
    let logins: [(&str, Option<&str>, Option<&str>); 9] = [
        ("192.0.2.7", None, Some("Porto, PT")),
        ("::ffff:192.0.2.7", None, Some("Porto, PT")),
        ("2001:db8::7", None, Some("Ghent, BE")),
        ("192.0.2.7", Some("Lyon, FR"), Some("Lyon, FR")),
        ("192.0.2.7", Some("null"), Some("Porto, PT")),
        ("198.51.100.7", None, None),
        ("203.0.113.7", None, None),
        ("10.0.0.1", Some("null, null"), None),
        ("nonsense", Some(""), None),
    ];
    let events = logins.iter().zip(1_u64..).map(|((ip, said, _), n)| {
        let (ip, said) = ((*ip).into(), said.map(Text::from));
        let client = |data: &mut Data<'static>| (data.client.ip, data.client.location) = (Some(ip), said);
        login(n.into(), at(n)).with(client).build()
    });
    let events: Vec<Event<'static>> = events.collect();
    assert!(database.apply(&events).await.iter().all(|outcome| *outcome == Outcome::Applied));
    for ((ip, said, expected), n) in logins.iter().zip(1..) {
        let place = database.column(sub(n), "last_login_location").await;
        assert_eq!(place.as_deref(), *expected, "{ip}, {said:?}");
    }
    // The place is the login's: a later one from nowhere has none, and whatever is no login changes nothing.
    database.apply(&[login(1, at(20)).build(), event(Kind::Snapshot, 2, at(20)).build()]).await;
    assert_eq!(database.column(sub(1), "last_login_location").await, None);
    assert_eq!(database.column(sub(2), "last_login_location").await.as_deref(), Some("Porto, PT"));
}

#[test]
fn a_geoip_file_that_cannot_serve_is_named_with_its_variable() {
    let directory = tempfile::tempdir().unwrap();
    let open = |content: Option<Vec<u8>>| {
        let path = directory.path().join("places.mmdb");
        content.iter().for_each(|content| std::fs::write(&path, content).unwrap());
        let error = GeoIp::open(Some(&path)).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("USER_SYNC_GEOIP_FILE is ") && message.contains("places.mmdb"),
            "{message}"
        );
        message
    };
    open(None);
    open(Some(b"not a database".to_vec()));
    let networks = geoip::mmdb("GeoLite2-ASN", &[("::192.0.2.0/120", serde_json::json!({}))]);
    assert!(open(Some(networks)).ends_with("its type is \"GeoLite2-ASN\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_stands_whatever_a_snapshot_says_and_counts_go_on() {
    let deletion = event(Kind::Deleted, 1, at(5)).build();
    let enabled = event(Kind::Snapshot, 1, at(8)).with(|data| data.enabled = Some(true)).build();
    let events = vec![deletion, login(1, at(9)).email("jo@example.com").build(), enabled];
    let columns = [
        ("is_deleted", Some("true")),
        ("is_active", Some("false")),
        ("login_count", Some("1")),
        ("email", None),
    ];
    check(events, &columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_is_a_register_and_wins_a_tie() {
    let snapshot = |seconds, enabled| {
        event(Kind::Snapshot, 1, at(seconds)).with(|data| data.enabled = Some(enabled)).build()
    };
    check(
        vec![snapshot(2, false), snapshot(1, true)],
        &[("enabled", Some("false")), ("is_active", Some("false"))],
    )
    .await;
    check(
        vec![snapshot(2, false), snapshot(3, true)],
        &[("enabled", Some("true")), ("is_active", Some("true"))],
    )
    .await;
    check(vec![snapshot(2, false), snapshot(2, true)], &[("enabled", Some("false"))]).await;
    check(vec![snapshot(2, true), snapshot(2, false)], &[("enabled", Some("false"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_falls_back_without_leaking_the_address() {
    let name = |attributes: &[(&str, &str)]| {
        vec![login(1, at(1)).attributes(attributes).email("secret@example.com").build()]
    };
    let full = [("given_name", "Jo"), ("family_name", "Doe"), ("nickname", "J")];
    check(name(&full), &[("name", Some("Jo Doe")), ("first_name", Some("Jo")), ("last_name", Some("Doe"))])
        .await;
    check(name(&[("family_name", "Doe")]), &[("name", Some("Doe"))]).await;
    check(name(&[("name", "  "), ("preferred_username", "jj")]), &[("name", Some("jj"))]).await;
    check(name(&[("nickname", "J")]), &[("name", Some("J"))]).await;
    check(name(&[]), &[("name", Some("User"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_stays_raw_and_rejects_no_login() {
    let long = "é".repeat(2_048);
    let attributes =
        [("birthdate", "1990-02-31"), ("locale", "klingon!"), ("name", &*long), ("custom:n", "a\u{0}b")];
    let event = login(1, at(1)).attributes(&attributes).email(&format!("{long}@example.com")).build();
    let columns = [
        ("date_of_birth", None),
        ("country_code", None),
        ("language", Some("en")),
        ("name", Some(&*long)),
        ("email", None),
        ("login_count", Some("1")),
    ];
    check(vec![event.clone()], &columns).await;
    let database = TestDatabase::create().await;
    database.apply(&[event]).await;
    let raw = database.column(sub(1), "cognito_attributes").await.unwrap();
    assert!(raw.contains("1990-02-31") && raw.contains("\"ab\""), "{raw:.200}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referral_resolves_whichever_of_the_two_comes_first() {
    let code = referral_code(sub(2)).to_lowercase();
    let referred = confirmed(1, at(5)).with(|data| data.client.referral_code = Some(code.into())).build();
    let referrer = login(2, at(9)).build();
    let expected = sub(2).to_string();
    for events in [[referred.clone(), referrer.clone()], [referrer, referred]] {
        check(events.to_vec(), &[("referred_by", Some(&expected))]).await;
    }
    let own = confirmed(1, at(1))
        .with(|data| data.client.referral_code = Some(referral_code(sub(1)).into()))
        .build();
    check(vec![own], &[("referred_by", None)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_goes_to_the_one_who_verified_it_last_and_comes_back() {
    let database = TestDatabase::create().await;
    let first = confirmed(1, at(1)).email("Shared@example.com").build();
    let second = confirmed(2, at(2)).email("shared@example.com").build();
    let unverified = confirmed(3, at(3)).attributes(&[("email", "shared@example.com")]).build();
    assert_eq!(database.apply(&[first, unverified]).await, [Outcome::Applied, Outcome::Applied]);
    assert_eq!(database.column(sub(1), "email").await.as_deref(), Some("shared@example.com"));
    assert_eq!(database.apply(&[second]).await, [Outcome::Applied]);
    assert_eq!(database.column(sub(1), "email").await, None);
    assert_eq!(database.column(sub(2), "email").await.as_deref(), Some("shared@example.com"));
    assert_eq!(
        database.column(sub(1), "is_verified").await.as_deref(),
        Some("true"),
        "another's sign-up un-verifies nobody"
    );
    let updated = database.column(sub(1), "updated_at").await;
    assert_eq!(database.apply(&[event(Kind::Deleted, 2, at(4)).build()]).await, [Outcome::Applied]);
    assert_eq!(
        database.column(sub(1), "email").await.as_deref(),
        Some("shared@example.com"),
        "the claim passes on"
    );
    assert_eq!(database.column(sub(1), "updated_at").await, updated, "winning does not move updated_at");
    assert_eq!(database.apply(&[event(Kind::Deleted, 1, at(5)).build()]).await, [Outcome::Applied]);
    assert_eq!(database.column(sub(3), "email").await.as_deref(), Some("shared@example.com"));
    assert_eq!(database.column(sub(3), "email_verified").await.as_deref(), Some("false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_swap_their_addresses_in_one_batch() {
    let database = TestDatabase::create().await;
    let start = [
        confirmed(1, at(1)).email("a@example.com").build(),
        confirmed(2, at(1)).email("b@example.com").build(),
    ];
    let swap =
        [login(1, at(2)).email("b@example.com").build(), login(2, at(2)).email("a@example.com").build()];
    database.apply(&start).await;
    assert_eq!(database.apply(&swap).await, [Outcome::Applied, Outcome::Applied]);
    assert_eq!(database.column(sub(1), "email").await.as_deref(), Some("b@example.com"));
    assert_eq!(database.column(sub(2), "email").await.as_deref(), Some("a@example.com"));
    let straight = database.rows().await;
    let reversed = TestDatabase::create().await;
    reversed.apply(&swap).await;
    reversed.apply(&start).await;
    assert_eq!(reversed.rows().await, straight);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_applied_once() {
    let database = TestDatabase::create().await;
    let event = login(1, at(1)).build();
    assert_eq!(database.apply(&[event.clone(), event.clone()]).await, [Outcome::Applied, Outcome::Duplicate]);
    assert_eq!(database.apply(&[event]).await, [Outcome::Duplicate]);
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_for_two_events_is_reported() {
    let database = TestDatabase::create().await;
    let event = login(1, at(1)).random_part(7).build();
    let other = login(2, at(1)).random_part(7).build();
    let reason = |outcomes: Vec<Outcome>| match &outcomes[..] {
        [.., Outcome::Rejected(rejection)] => rejection.reason,
        outcomes => panic!("{outcomes:?}"),
    };
    assert_eq!(reason(database.apply(&[event.clone(), other.clone()]).await), "id_conflict");
    assert_eq!(reason(database.apply(&[event.clone(), other]).await), "id_conflict");
    assert_eq!(database.apply(&[event]).await, [Outcome::Duplicate]);
    assert_eq!(database.count("users").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_holds_nobody_back() {
    let database = TestDatabase::create().await;
    // Somebody with the owner's rights put a value where the service never does.
    database.apply(&[login(1, at(1)).attributes(&[("name", "x")]).build()]).await;
    let broken = "update users set cognito_attributes = '{\"name\": 7}'";
    sqlx::query(broken).execute(&database.owner).await.unwrap();
    let beat = Event::heartbeat(EventId::new(at(9)));
    let batch: Vec<Event<'static>> = (1..8).map(|user| login(user, at(2)).build()).chain([beat]).collect();
    let outcomes = database.apply(&batch).await;
    assert!(
        matches!(&outcomes[0], Outcome::Rejected(rejection) if rejection.reason == "refused_by_database"),
        "{outcomes:?}"
    );
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    assert_eq!(database.count("sync_status where heartbeat_id is not null").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_locks_holds_back_its_own_events_alone() {
    let database = TestDatabase::create().await;
    database.apply(&[login(1, at(1)).build()]).await;
    let mut idle = database.owner.begin().await.unwrap();
    sqlx::query("update users set bio = 'x'").execute(&mut *idle).await.unwrap();
    let batch: Vec<Event<'static>> = (1..5).map(|user| login(user, at(2)).build()).collect();
    let outcomes = database.apply(&batch).await;
    assert_eq!(outcomes[0], Outcome::Retry(cognito_user_sync::store::outcome::RetryCause::Conflict));
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    idle.rollback().await.unwrap();
    assert_eq!(database.apply(&batch[..1]).await, [Outcome::Applied]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_event_leaves_out_or_empties_is_the_same_in_any_order() {
    let full = login(1, at(1)).email("jo@example.com").with(|data| {
        data.status = Some("CONFIRMED".into());
        data.user_name = Some("jo".into());
    });
    let empty =
        login(1, at(2)).attributes(&[("email", ""), ("cognito:username", ""), ("name", "")]).with(|data| {
            data.status = Some(Text::default());
            data.user_name = Some("\u{0}".into());
        });
    let columns =
        [("cognito_status", Some("CONFIRMED")), ("cognito_username", Some("jo")), ("email_since", None)];
    check(vec![full.clone().build(), empty.clone().build()], &columns).await;
    check(vec![empty.build(), full.build()], &columns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_stamps_its_arrival_and_an_older_one_does_not() {
    let database = TestDatabase::create().await;
    let beat = |seconds| Event::heartbeat(EventId::new(at(seconds)));
    assert_eq!(database.apply(&[beat(5)]).await, [Outcome::Applied]);
    assert_eq!(
        database.apply(&[beat(2), login(1, at(1)).build()]).await,
        [Outcome::Applied, Outcome::Applied]
    );
    let sent: time::OffsetDateTime =
        sqlx::query_scalar("select heartbeat_at from sync_status").fetch_one(&database.owner).await.unwrap();
    assert_eq!(Timestamp::from(sent), at(5));
    assert_eq!(database.count("user_events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_pool_and_region_the_latest_heartbeat_that_told_of_it_counts() {
    let database = TestDatabase::create().await;
    let seen = |pool: &str, region: &str, missing| PoolSeen {
        user_pool_id: pool.to_owned(),
        region: region.to_owned(),
        missing,
        ..PoolSeen::default()
    };
    let beat = |seconds, pools| Event::Heartbeat { id: EventId::new(at(seconds)), pools };
    let recorded = async || {
        let pools: Value =
            sqlx::query_scalar("select pools from sync_status").fetch_one(&database.owner).await.unwrap();
        let mut pools: Vec<_> = pools.as_array().unwrap().clone();
        pools.sort_by_key(|seen| seen["user_pool_id"].to_string() + &seen["region"].to_string());
        pools.iter().map(|seen| (seen["at"].clone(), seen["missing"].clone())).collect::<Vec<_>>()
    };
    let (a, b) = ("eu-west-1_A", "eu-west-1_B");
    let batch = [
        beat(7, vec![seen(a, "eu-west-1", 0)]),
        beat(5, vec![seen(a, "eu-west-1", 2), seen(b, "eu-west-1", 1)]),
        beat(6, vec![seen(a, "us-east-1", 1)]),
    ];
    for event in &batch {
        assert_eq!(database.apply(std::slice::from_ref(event)).await, [Outcome::Applied]);
    }
    let expected = [(7, 0), (6, 1), (5, 1)].map(|(seconds, missing)| (json!(at(seconds)), json!(missing)));
    assert_eq!(recorded().await, expected);
    // Together, in whichever order; and one that tells of nothing, as of a release before, takes nothing away.
    let other = TestDatabase::create().await;
    assert_eq!(other.apply(&batch).await, [Outcome::Applied, Outcome::Applied, Outcome::Applied]);
    let text = "select pools::text from sync_status";
    let pools = async |database: &TestDatabase| -> String {
        sqlx::query_scalar(text).fetch_one(&database.owner).await.unwrap()
    };
    assert_eq!(pools(&other).await, pools(&database).await);
    database.apply(&[Event::heartbeat(EventId::new(at(9)))]).await;
    assert_eq!(recorded().await, expected);

    // Nobody fills the row, and what an owner wrote there is no obstacle.
    for round in 0..4 {
        let many = (0..32).map(|number| seen(&format!("eu-west-1_{round}x{number}"), "eu-west-1", 0));
        assert_eq!(database.apply(&[beat(10 + round, many.collect())]).await, [Outcome::Applied]);
    }
    assert_eq!(recorded().await.len(), 64);
    assert!(recorded().await.iter().all(|(seen, _)| *seen == json!(at(12)) || *seen == json!(at(13))));
    sqlx::query("update sync_status set pools = '7'").execute(&database.owner).await.unwrap();
    database.apply(&[beat(20, vec![seen(a, "eu-west-1", 0)])]).await;
    assert_eq!(recorded().await, [(json!(at(20)), json!(0))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_changes_is_its_own_and_the_rest_follows_the_events() {
    let database = TestDatabase::create().await;
    let app = cognito_user_sync::dev::local::connect(&database.deployment.app_url, 1).await.unwrap();
    let edit = async |set: &str| {
        let statement = format!("update users set {set} where id = $1");
        sqlx::query(sqlx::AssertSqlSafe(statement)).bind(sub(1)).execute(&app).await.unwrap();
    };
    let named = |seconds, name| login(1, at(seconds)).attributes(&[("name", name), ("gender", name)]).build();
    database.apply(&[named(1, "Early")]).await;
    assert_eq!(database.column(sub(1), "updated_at").await, database.column(sub(1), "synced_at").await);
    edit("bio = 'hello', name = name").await;
    assert_eq!(
        database.column(sub(1), "app_owned").await.as_deref(),
        Some("[]"),
        "nothing was changed but its own"
    );
    let edited = database.column(sub(1), "updated_at").await;
    assert!(edited > database.column(sub(1), "synced_at").await);
    // Edits are told apart by the millisecond.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    edit("name = 'Chosen', timezone = 'Europe/Oslo'").await;
    database.apply(&[named(2, "Late")]).await;
    for (column, expected) in [
        ("name", Some("Chosen")),
        ("timezone", Some("Europe/Oslo")),
        ("gender", Some("Late")),
        ("bio", Some("hello")),
        ("login_count", Some("2")),
        ("app_owned", Some(r#"["name", "timezone"]"#)),
    ] {
        assert_eq!(database.column(sub(1), column).await.as_deref(), expected, "{column}");
    }
    assert!(database.column(sub(1), "updated_at").await > edited);
    assert!(
        database.column(sub(1), "cognito_attributes").await.unwrap().contains("Late"),
        "the register goes on"
    );
}

/// The way of a login shows by what it does not write again.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_tells_what_is_known_writes_nothing_but_the_login() {
    let database = TestDatabase::create().await;
    let named =
        |seconds, name| login(1, at(seconds)).email("a@example.com").attributes(&[("name", name)]).build();
    database
        .apply(&[confirmed(1, at(1)).email("a@example.com").attributes(&[("name", "Ada")]).build()])
        .await;
    let mark = async || {
        let mark = "update users set first_name = 'mark' where id = $1";
        let mut service = database.owner.acquire().await.unwrap();
        sqlx::query("set user_sync.service = 'on'").execute(&mut *service).await.unwrap();
        sqlx::query(mark).bind(sub(1)).execute(&mut *service).await.unwrap();
        sqlx::query("reset user_sync.service").execute(&mut *service).await.unwrap();
    };
    let check = async |message: Event<'static>, expected_count: &str, is_marked: bool| {
        assert_eq!(database.apply(&[message]).await, [Outcome::Applied]);
        assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some(expected_count));
        let first_name = database.column(sub(1), "first_name").await;
        assert_eq!(first_name.as_deref() == Some("mark"), is_marked, "{expected_count}");
    };
    mark().await;
    check(named(10, "Ada"), "1", true).await;
    check(named(8, "Ada"), "2", true).await;
    assert_eq!(database.column(sub(1), "last_login_at").await, database.column(sub(1), "synced_at").await);
    // Before the address was verified: since when it is changes.
    check(named(0, "Ada"), "3", false).await;
    mark().await;
    check(named(20, "Lovelace"), "4", false).await;
    mark().await;
    check(named(30, "Lovelace"), "5", true).await;
}

/// Else two batches that share users, or a batch and the application, would wait for each other in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_waits_for_a_row_holds_no_other() {
    let database = TestDatabase::create().await;
    let mut users: Vec<u128> = (1..=500).collect();
    users.sort_by_key(|user| std::cmp::Reverse(sub(*user)));
    for user in &users {
        database.apply(&[login(*user, at(1)).build()]).await;
    }
    let subs: Vec<uuid::Uuid> = users.iter().step_by(5).map(|user| sub(*user)).collect();
    let logins: Vec<Event<'static>> =
        users.iter().step_by(5).map(|user| login(*user, at(2)).build()).collect();
    let middle = subs[subs.len() / 2];
    let mut holder = database.owner.begin().await.unwrap();
    let lock = "select from users where id = $1 for update";
    sqlx::query(lock).bind(middle).execute(&mut *holder).await.unwrap();
    let look = async {
        let waiting = "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually("the login waits", Duration::from_secs(30), async || database.count(waiting).await == 1)
            .await;
        let free = "select id from users where id = any ($1) for update skip locked";
        let free: Vec<uuid::Uuid> =
            sqlx::query_scalar(free).bind(&subs).fetch_all(&database.owner).await.unwrap();
        holder.rollback().await.unwrap();
        free
    };
    let (outcomes, free) = tokio::join!(database.apply(&logins), look);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    let others: BTreeSet<uuid::Uuid> = subs.iter().copied().filter(|sub| *sub != middle).collect();
    assert!(BTreeSet::from_iter(free) == others, "a row beside {middle} is held");
}

/// What is counted before it is known to be a duplicate is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn logins_among_duplicates_count_once() {
    let database = TestDatabase::create().await;
    database.apply(&[confirmed(1, at(1)).build(), confirmed(2, at(1)).build()]).await;
    let logins: Vec<Event<'static>> =
        (0..6).map(|number| login(1 + u128::from(number % 2), at(10 + number)).build()).collect();
    assert_eq!(database.apply(&logins[..2]).await, [Outcome::Applied, Outcome::Applied]);
    let outcomes = database.apply(&logins).await;
    assert_eq!(outcomes[..2], [Outcome::Duplicate, Outcome::Duplicate]);
    assert!(outcomes[2..].iter().all(|outcome| *outcome == Outcome::Applied));
    assert!(database.apply(&logins).await.iter().all(|outcome| *outcome == Outcome::Duplicate));
    for user in [sub(1), sub(2)] {
        assert_eq!(database.column(user, "login_count").await.as_deref(), Some("3"));
    }
    assert_eq!(database.count("user_events").await, 8);
}

/// A release that does not know the digest may be at work beside this one, or after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_release_wrote_is_not_taken_for_known() {
    let database = TestDatabase::create().await;
    let named = |seconds, name| login(1, at(seconds)).attributes(&[("name", name)]).build();
    database.apply(&[named(1, "Ada")]).await;
    let older = "update users set name = 'Lovelace', attributes_version = overlay(attributes_version::text placing $2 from 1 for 13)::uuid,
        cognito_attributes = cognito_attributes || '{\"name\": \"Lovelace\"}' where id = $1";
    let mut service = database.owner.acquire().await.unwrap();
    sqlx::query("set user_sync.service = 'on'").execute(&mut *service).await.unwrap();
    let version = EventId::new(at(2)).to_string();
    sqlx::query(older).bind(sub(1)).bind(&version[..13]).execute(&mut *service).await.unwrap();
    sqlx::query("reset user_sync.service").execute(&mut *service).await.unwrap();
    database.apply(&[named(3, "Ada")]).await;
    assert_eq!(database.column(sub(1), "name").await.as_deref(), Some("Ada"));
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn contested_addresses_are_listed() {
    let database = TestDatabase::create().await;
    let shared = |user, seconds| confirmed(user, at(seconds)).email("Shared@example.com").build();
    database.apply(&[shared(1, 1), shared(2, 2), confirmed(3, at(3)).email("own@example.com").build()]).await;
    let contested: Vec<(String, String, uuid::Uuid, bool, uuid::Uuid)> =
        sqlx::query_as("select * from user_contested_identifiers").fetch_all(&database.owner).await.unwrap();
    assert_eq!(contested, [("email".to_owned(), "shared@example.com".to_owned(), sub(1), true, sub(2))]);
}
