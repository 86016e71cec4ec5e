//! Data that a message carries in another way than as `data`: read, or refused by name; never counted without it.

use aws_smithy_types::base64;
use cognito_user_sync_triggers::event::{Event, EventId, UserEvent};
use serde_json::{Value, json};
use uuid::Uuid;

fn message() -> Value {
    let id = uuid::Builder::from_unix_timestamp_millis(1_790_000_000_123, &[7; 10]).into_uuid();
    let id = EventId::from_uuid(id).unwrap();
    json!({
        "specversion": "1.0", "id": id.uuid(), "source": "cognito/pool", "type": "user.authenticated",
        "subject": Uuid::from_u128(1), "time": id.time(), "datacontenttype": "application/json", "schemaversion": 1,
        "data": data(),
    })
}

fn data() -> Value {
    json!({
        "user_name": "Łukasz", "federated": true, "status": "CONFIRMED",
        "attributes": { "email": "a@example.com", "name": "Ø \u{1f600} \u{0}" }, "client": { "ip": "203.0.113.9" },
    })
}

/// The same message, its data as base64.
fn encoded(data: impl AsRef<[u8]>) -> Value {
    let mut message = message();
    message.as_object_mut().unwrap().remove("data");
    message["data_base64"] = base64::encode(data).into();
    message
}

fn user(message: &Value) -> UserEvent<'static> {
    match Event::decode(&message.to_string()).map(Event::into_owned) {
        Ok(Event::User(event)) => event,
        other => panic!("{other:?}: {message}"),
    }
}

/// Reason and field of what is refused.
fn refused(message: &Value) -> (String, String) {
    let error = Event::decode(&message.to_string()).expect_err(&message.to_string());
    assert!(!error.to_string().contains("a@example.com"), "{error}");
    (error.reason().to_owned(), error.field().to_owned())
}

fn malformed(field: &str) -> (String, String) {
    ("malformed".to_owned(), field.to_owned())
}

#[test]
fn data_in_base64_is_read_as_data_is() {
    let mut message = message();
    let plain = user(&message);
    assert_eq!(plain.data.client.ip.as_deref(), Some("203.0.113.9"));
    let text = data().to_string();
    assert_eq!(user(&encoded(&text)), plain);
    assert_eq!(user(&encoded(serde_json::to_vec_pretty(&data()).unwrap())), plain);
    // Whatever stands first, and where the other one is null.
    let mut null = encoded(&text);
    null["data"] = Value::Null;
    assert_eq!(user(&null), plain);
    message["data_base64"] = Value::Null;
    assert_eq!(user(&message), plain);
    let mut without_type = encoded(&text);
    without_type.as_object_mut().unwrap().remove("datacontenttype");
    assert_eq!(user(&without_type), plain);
    // Nothing of it is tied to the message; and the event is written as one with `data`.
    assert_eq!(Event::decode(&Event::User(user(&encoded(&text))).encode()), Ok(Event::User(plain)));
}

#[test]
fn base64_that_holds_no_data_is_refused_by_its_field() {
    for data in ["", "null", "[]", "7", "\"text\"", "{", "{} {}", "a=b", "<user/>", "\u{feff}{}"] {
        assert_eq!(refused(&encoded(data)), malformed("data_base64"), "{data}");
    }
    assert_eq!(refused(&encoded(b"{\"user_name\":\"\xff\"}")), malformed("data_base64"));
    for text in [
        json!("no base64!"),
        json!("e30"),
        json!("e30=\n="),
        json!(7),
        json!({}),
        json!([123, 125]),
        json!(true),
    ] {
        let mut message = encoded("{}");
        message["data_base64"] = text;
        assert_eq!(refused(&message), malformed("data_base64"), "{message}");
    }
    // What is wrong within it is named within it.
    assert_eq!(refused(&encoded(r#"{"federated":"yes"}"#)), malformed("data_base64.federated"));
    assert_eq!(refused(&encoded(r#"{"attributes":{"email":7}}"#)), malformed("data_base64.attributes.email"));
    let long = json!({ "user_name": "x".repeat(1_025) }).to_string();
    assert_eq!(refused(&encoded(long)), ("oversized".to_owned(), "data_base64.user_name".to_owned()));
}

#[test]
fn data_beside_data_base64_is_refused() {
    for other in [data(), json!({}), json!("text"), json!([])] {
        let mut both = encoded("{}");
        both["data"] = other;
        assert_eq!(refused(&both), malformed("data_base64"), "{both}");
    }
    let mut both = encoded("{}");
    (both["data"], both["data_base64"]) = (json!({}), json!(""));
    assert_eq!(refused(&both), malformed("data_base64"));
}

#[test]
fn the_schema_says_the_same() {
    let schema = include_str!("../../docs/event.schema.json");
    let validator = jsonschema::options().build(&serde_json::from_str(schema).unwrap()).unwrap();
    assert!(validator.is_valid(&message()) && validator.is_valid(&encoded(data().to_string())));
    let mut both = message();
    both["data_base64"] = json!(base64::encode("{}"));
    let mut number = encoded("{}");
    number["data_base64"] = json!(7);
    let mut xml = message();
    xml["datacontenttype"] = json!("application/xml");
    for message in [both, number, xml] {
        assert!(!validator.is_valid(&message), "{message}");
        refused(&message);
    }
}

#[test]
fn what_is_wrong_before_the_data_is_named_first() {
    for (field, value, expected) in [
        ("specversion", json!("2.0"), "specversion"),
        ("schemaversion", json!(2), "schemaversion"),
        ("type", json!("user.promoted"), "type"),
        ("time", json!("2026-01-01T00:00:00.000Z"), "time"),
        ("subject", json!("somebody"), "subject"),
        ("source", json!("elsewhere"), "source"),
    ] {
        for data_base64 in [json!(base64::encode("{}")), json!("no base64!"), json!([])] {
            let mut message = encoded("{}");
            (message["data_base64"], message[field]) = (data_base64, value.clone());
            assert_eq!(refused(&message).1, expected, "{message}");
        }
    }
    // What a heartbeat carries does not matter.
    let mut heartbeat = encoded("oops");
    (heartbeat["type"], heartbeat["datacontenttype"]) = (json!("heartbeat"), json!("text/plain"));
    assert!(matches!(Event::decode(&heartbeat.to_string()), Ok(Event::Heartbeat { .. })));
}

#[test]
fn data_that_says_it_is_no_json_is_refused_by_its_type() {
    for r#type in [
        json!("application/xml"),
        json!("text/plain"),
        json!("text/plain; charset=json"),
        json!("application/jsonp"),
        json!("json"),
        json!(""),
        json!("application/octet-stream"),
        json!(7),
        json!({}),
        json!("application/avro+jsonx"),
    ] {
        let with = |mut message: Value| {
            message["datacontenttype"] = r#type.clone();
            message
        };
        assert_eq!(refused(&with(message())), malformed("datacontenttype"), "{}", r#type);
        assert_eq!(refused(&with(encoded("{}"))), malformed("datacontenttype"), "{}", r#type);
        let mut text = with(message());
        text["data"] = json!("<user>ada</user>");
        assert_eq!(refused(&text), malformed("datacontenttype"), "{}", r#type);
        // What has no data has none that could be lost.
        let mut none = with(message());
        none.as_object_mut().unwrap().remove("data");
        assert_eq!(user(&none).data, Default::default());
    }
}

#[test]
fn every_spelling_of_json_is_json() {
    let plain = user(&message());
    for r#type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "text/json",
        "application/cloudevents+json",
        "application/vnd.example.user+json ; v=1",
    ] {
        for mut message in [message(), encoded(data().to_string())] {
            message["datacontenttype"] = json!(r#type);
            assert_eq!(user(&message), plain, "{}", r#type);
        }
    }
    let mut message = message();
    message["datacontenttype"] = Value::Null;
    assert_eq!(user(&message), plain);
}

/// A body by another producer that no text can hold becomes a dead letter, whole; nothing of it is counted.
#[test]
fn half_a_surrogate_in_a_message_is_refused() {
    let whole = message().to_string();
    for (from, to) in
        [("a@example.com", r"a\ud83d"), ("\"email\"", r#""e\udc00""#), ("203.0.113.9", r"\ud83d\ud83d")]
    {
        let cut = whole.replace(from, to);
        assert_ne!(cut, whole);
        let error = Event::decode(&cut).unwrap_err();
        assert_eq!((error.reason(), error.field()), ("malformed", "data"), "{error}");
    }
    // `attributes` and `client` hold texts; an attribute that is null says nothing, and is named.
    let mut null = message();
    null["data"]["attributes"]["email"] = Value::Null;
    assert_eq!(refused(&null), malformed("data.attributes.email"));
}
