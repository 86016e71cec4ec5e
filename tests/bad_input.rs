//! Input that nobody should send: each piece ends applied or refused with its reason, never retried for ever,
//! and never in the way of a good one beside it.

use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{ATTRIBUTES_MAX, Event, EventId, MESSAGE_MAX_BYTES, TEXT_MAX_CHARS};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::events::{at, login, sub};

/// A good message, as JSON to be spoiled.
fn message(user: u128) -> Value {
    serde_json::from_str(&login(user, at(1)).attributes(&[("name", "Ada")]).build().encode()).unwrap()
}

fn with(pointer: &str, value: Value) -> String {
    let mut message = message(1);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    message.pointer_mut(parent).unwrap()[name] = value;
    message.to_string()
}

fn dated(time: &str) -> String {
    let time = Timestamp::parse(time).unwrap();
    login(1, time).build().encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_message_has_an_end_and_holds_nobody_back() {
    let database = TestDatabase::create().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let refused: Vec<(&str, String)> = vec![
        ("malformed", String::new()),
        ("malformed", "\u{0}".to_owned()),
        ("malformed", "\u{fffd}\u{fffd}".to_owned()),
        ("malformed", "null".to_owned()),
        ("malformed", deep.clone()),
        ("malformed", format!("{{\"data\":{deep}}}")),
        ("malformed", message(1).to_string().replace("\"specversion\"", "\"spec\\u0000version\"")),
        ("malformed", format!("{}{}", message(1), message(2))),
        ("malformed", with("/data/attributes", json!({ "name": { "first": "Ada" } }))),
        ("malformed", with("/data/attributes", json!(deep.len()))),
        ("malformed", with("/subject", json!("1 or 1=1"))),
        ("malformed", with("/time", json!("0000-00-00T00:00:00Z"))),
        ("malformed", with("/time", json!(1e308))),
        ("malformed", with("/id", json!("ffffffff-ffff-7fff-bfff-ffffffffffff"))),
        ("malformed", with("/source", json!("cognito/\u{0}"))),
        ("id_time_mismatch", with("/time", json!("1970-01-01T00:00:00Z"))),
        ("too_old", dated("1970-01-01T00:00:00Z")),
        ("future", dated("2100-01-01T00:00:00Z")),
        ("future", dated("9999-12-31T23:59:59.999Z")),
        ("oversized", " ".repeat(MESSAGE_MAX_BYTES + 1)),
        ("oversized", with("/data/user_name", json!("x".repeat(TEXT_MAX_CHARS + 1)))),
        (
            "oversized",
            with("/data/attributes", (0..=ATTRIBUTES_MAX).map(|n| (n.to_string(), json!("x"))).collect()),
        ),
        ("unknown_type", with("/type", json!("user.promoted"))),
        ("unknown_version", with("/schemaversion", json!(u64::MAX))),
    ];
    for (reason, body) in &refused {
        let good = login(7, at(2)).build().encode();
        let outcomes = database.applier.apply(&[body, &good]).await;
        let Outcome::Rejected(rejection) = &outcomes[0] else { panic!("{body:.80}: {outcomes:?}") };
        assert_eq!(rejection.reason, *reason, "{body:.80}: {rejection:?}");
        assert_eq!(outcomes[1], Outcome::Applied, "{body:.80}");
    }
    assert_eq!(database.column(sub(7), "login_count").await, Some(refused.len().to_string()));
    assert_eq!(database.count("users").await, 1, "nothing of a refused message is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_odd_value_is_applied_and_changes_no_column_that_it_does_not_fit() {
    let database = TestDatabase::create().await;
    let names =
        ["name", "given_name", "family_name", "email", "phone_number", "birthdate", "gender", "zoneinfo"];
    let names =
        names.into_iter().chain(["locale", "picture", "preferred_username", "custom:x", "", "\"", "sub"]);
    let names: Vec<&str> = names.collect();
    let long = "é".repeat(2_048);
    let values = [
        "",
        " ",
        "\u{0}",
        "\u{feff}",
        "\u{fffe}\u{ffff}",
        "null",
        "'; drop table users; --",
        "{}",
        "\\u0000",
        "9999999999",
        "1990-02-30",
        "0000-00-00",
        "-1-01-01",
        "99999-01-01",
        "+",
        "+1",
        "999.999.999.999",
        "::ffff:1.2.3.4",
        "fe80::1%eth0",
        "2001:db8::/32",
        "en-US-x-private",
        "--------",
        "\u{202e}abc",
        "👩‍👩‍👧‍👦",
        &long,
    ];
    let mut events = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (*name, *value)).collect();
        let event = login(1, at(index as u64)).attributes(&pairs).with(|data| {
            let text = Some(Text::from((*value).chars().take(TEXT_MAX_CHARS).collect::<String>()));
            data.client.ip.clone_from(&text);
            data.client.user_agent.clone_from(&text);
            data.client.device.clone_from(&text);
            data.client.location.clone_from(&text);
            data.client.referral_code.clone_from(&text);
            (data.status, data.user_name) = (text.clone(), text);
        });
        events.push(event.build());
    }
    for event in &events {
        assert_eq!(
            database.apply(std::slice::from_ref(event)).await,
            [Outcome::Applied],
            "{}",
            event.encode()
        );
    }
    assert_eq!(database.column(sub(1), "login_count").await, Some(values.len().to_string()));
    // All at once, the other way round: the same rows.
    let other = TestDatabase::create().await;
    let reversed: Vec<Event<'static>> = events.iter().rev().cloned().collect();
    assert!(other.apply(&reversed).await.iter().all(|outcome| *outcome == Outcome::Applied));
    assert_eq!(other.rows().await, database.rows().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_there_can_be_is_applied() {
    let database = TestDatabase::create().await;
    let mut event = login(1, at(1));
    let value = "ü".repeat(8_000);
    for n in 0..60 {
        event = event.attributes(&[(&format!("custom:{n}"), &value)]);
    }
    let body = event.build().encode();
    assert!(body.len() > 900_000 && body.len() <= MESSAGE_MAX_BYTES, "{}", body.len());
    assert_eq!(database.applier.apply(&[&body]).await, [Outcome::Applied]);
    assert_eq!(database.applier.apply(&[&body]).await, [Outcome::Duplicate]);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_far_away_in_time_are_refused_too() {
    let database = TestDatabase::create().await;
    for (time, reason) in [("1970-01-01T00:00:00Z", "too_old"), ("2100-01-01T00:00:00Z", "future")] {
        let beat = Event::heartbeat(EventId::new(Timestamp::parse(time).unwrap()));
        let outcomes = database.apply(&[beat]).await;
        assert!(
            matches!(&outcomes[..], [Outcome::Rejected(rejection)] if rejection.reason == reason),
            "{outcomes:?}"
        );
    }
    assert_eq!(database.count("sync_status where heartbeat_id is null").await, 1);
}
