//! The contract: the code, the JSON Schema and the wire say the same.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::client_metadata::ClientMetadataKeys;
use cognito_user_sync_triggers::cognito::user_event;
use cognito_user_sync_triggers::event::{
    ATTRIBUTE_NAME_MAX_CHARS, ATTRIBUTE_VALUE_MAX_CHARS, ATTRIBUTES_MAX, Client, Data, DecodeError, Event,
    EventId, GROUP_NAME_MAX_CHARS, GroupChange, GroupEvent, Kind, MESSAGE_MAX_BYTES, POOLS_SEEN_MAX,
    PoolSeen, SCHEMA_VERSION, TEXT_MAX_CHARS, UserEvent,
};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const AT: u64 = 1_790_000_000_123;

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/event.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn validator() -> Validator {
    jsonschema::options().should_validate_formats(true).build(&schema()).unwrap()
}

/// An id whose random part is fixed, so that snapshots stand.
fn fixed_id() -> EventId {
    let id = uuid::Builder::from_unix_timestamp_millis(AT, &[7; 10]).into_uuid();
    EventId::from_uuid(id).unwrap()
}

#[test]
fn the_schema_has_the_codes_limits_and_types() {
    let schema = schema();
    let at = |pointer: &str| schema.pointer(pointer).cloned().unwrap_or_else(|| panic!("no {pointer}"));
    assert_eq!(at("/properties/schemaversion/const"), json!(SCHEMA_VERSION));
    assert_eq!(at("/$defs/text/maxLength"), json!(TEXT_MAX_CHARS));
    let attributes = "/$defs/data/properties/attributes";
    assert_eq!(at(&format!("{attributes}/maxProperties")), json!(ATTRIBUTES_MAX));
    assert_eq!(at(&format!("{attributes}/propertyNames/maxLength")), json!(ATTRIBUTE_NAME_MAX_CHARS));
    assert_eq!(at(&format!("{attributes}/additionalProperties/maxLength")), json!(ATTRIBUTE_VALUE_MAX_CHARS));
    assert_eq!(at("/$defs/group/properties/group/maxLength"), json!(GROUP_NAME_MAX_CHARS));
    let of_users = Kind::ALL.iter().map(|kind| kind.as_str());
    let of_records = ["user.login_context", "user.sign_in_failed"];
    let types: Vec<_> = of_users.chain(GroupChange::TYPES).chain(of_records).chain(["heartbeat"]).collect();
    assert_eq!(at("/properties/type/enum"), json!(types));
}

fn group_event(id: EventId, group: &str, change: GroupChange) -> Event<'static> {
    let (user_pool_id, group) = ("eu-west-1_Abc123Def".into(), String::from(group).into());
    Event::Group(GroupEvent { id, user_pool_id, group, change })
}

#[test]
fn the_wire_is_what_it_was() {
    for name in [
        "post_confirmation_confirm_sign_up_email",
        "post_confirmation_confirm_sign_up_federated_google",
        "post_confirmation_confirm_forgot_password",
        "post_authentication_with_client_metadata",
    ] {
        let (_, payload) = crate::fixtures().into_iter().find(|(other, _)| other == name).unwrap();
        let event = user_event(&payload, &ClientMetadataKeys::default(), fixed_id()).unwrap();
        let wire: Value = serde_json::from_str(&Event::User(event).encode()).unwrap();
        insta::assert_json_snapshot!(name, wire);
    }
    let snapshot = UserEvent {
        kind: Kind::Snapshot,
        data: Data {
            user_name: Some("jo".into()),
            status: Some("CONFIRMED".into()),
            enabled: Some(false),
            created_at: Some(Timestamp::from_unix_millis(AT - 1)),
            attributes: BTreeMap::from([("email".into(), "jo@example.com".into())]),
            ..Data::default()
        },
        id: fixed_id(),
        user_pool_id: "eu-west-1_Abc123Def".into(),
        sub: Uuid::from_u128(7),
    };
    let deleted = UserEvent { kind: Kind::Deleted, data: Data::default(), ..snapshot.clone() };
    let group = |change| group_event(fixed_id(), "admins", change);
    for (name, event) in [
        ("group_joined", group(GroupChange::Joined(Uuid::from_u128(7)))),
        ("group_left", group(GroupChange::Left(Uuid::from_u128(7)))),
        ("group_deleted", group(GroupChange::Deleted)),
        ("snapshot", Event::User(snapshot)),
        ("deleted", Event::User(deleted)),
        ("heartbeat", Event::heartbeat(fixed_id())),
    ] {
        insta::assert_json_snapshot!(name, serde_json::from_str::<Value>(&event.encode()).unwrap());
    }
}

#[test]
fn every_fixtures_event_is_valid_and_comes_back() {
    let validator = validator();
    let mut published = 0;
    for (name, payload) in crate::fixtures() {
        let Ok(event) = user_event(&payload, &ClientMetadataKeys::default(), EventId::new(Timestamp::now()))
        else {
            continue;
        };
        let event = Event::User(event);
        let encoded = event.encode();
        let wire: Value = serde_json::from_str(&encoded).unwrap();
        let errors: Vec<_> = validator.iter_errors(&wire).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        assert_eq!(Event::decode(&encoded), Ok(event), "{name}");
        published += 1;
    }
    assert!(published > 30, "only {published} fixtures are published");
}

fn valid_message() -> Value {
    let id = fixed_id();
    json!({
        "specversion": "1.0", "id": id.uuid(), "source": "cognito/pool", "type": "user.authenticated",
        "subject": Uuid::from_u128(1), "time": id.time(), "datacontenttype": "application/json", "schemaversion": 1,
        "data": { "federated": false, "attributes": { "email": "a@example.com" }, "client": { "ip": "192.0.2.1" } },
    })
}

/// Sets the value at a JSON pointer's place, or removes it.
fn changed(pointer: &str, value: Option<Value>) -> Value {
    let mut message = valid_message();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = message.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    message
}

#[test]
fn what_the_code_rejects_it_names_and_the_schema_rejects_it_too() {
    let validator = validator();
    assert!(validator.is_valid(&valid_message()));
    assert!(Event::decode(&valid_message().to_string()).is_ok());
    let long = |length: usize| Some(Value::from("x".repeat(length)));
    let many: serde_json::Map<_, _> = (0..=ATTRIBUTES_MAX).map(|n| (n.to_string(), "x".into())).collect();
    let cases = [
        ("/specversion", None, "malformed", "specversion"),
        ("/specversion", Some(json!("2.0")), "unknown_version", "specversion"),
        ("/schemaversion", None, "malformed", "schemaversion"),
        ("/schemaversion", Some(json!(2)), "unknown_version", "schemaversion"),
        ("/schemaversion", Some(json!("1")), "malformed", "schemaversion"),
        ("/schemaversion", Some(json!(0)), "unknown_version", "schemaversion"),
        ("/id", None, "malformed", "id"),
        ("/id", Some(json!("7")), "malformed", "id"),
        ("/id", Some(json!("abda62a8-5732-41ef-8c00-31d8dc083c34")), "malformed", "id"),
        ("/source", None, "malformed", "source"),
        ("/source", Some(json!("elsewhere/pool")), "malformed", "source"),
        ("/source", Some(json!("cognito/")), "malformed", "source"),
        ("/type", None, "malformed", "type"),
        ("/type", Some(json!("user.promoted")), "unknown_type", "type"),
        ("/subject", None, "malformed", "subject"),
        ("/subject", Some(json!("somebody")), "malformed", "subject"),
        ("/time", None, "malformed", "time"),
        ("/time", Some(json!("yesterday")), "malformed", "time"),
        ("/data", Some(json!([])), "malformed", "data"),
        ("/data/federated", Some(json!("yes")), "malformed", "data.federated"),
        ("/data/attributes/email", Some(json!(7)), "malformed", "data.attributes.email"),
        ("/data/attributes/email", long(ATTRIBUTE_VALUE_MAX_CHARS + 1), "oversized", "data.attributes.email"),
        ("/data/attributes", Some(many.into()), "oversized", "data.attributes"),
        ("/data/client/ip", long(TEXT_MAX_CHARS + 1), "oversized", "data.client.ip"),
        ("/data/user_name", long(TEXT_MAX_CHARS + 1), "oversized", "data.user_name"),
        ("/data/created_at", Some(json!("1969-01-01")), "malformed", "data.created_at"),
    ];
    for (pointer, value, reason, field) in cases {
        let message = changed(pointer, value);
        let error = Event::decode(&message.to_string()).unwrap_err();
        assert_eq!((error.reason(), error.field()), (reason, field), "{pointer}: {error}");
        assert!(
            !validator.is_valid(&message),
            "{pointer}: the schema accepts what the code rejects: {error}"
        );
    }
}

/// Who read nothing has not read the whole user.
#[test]
fn a_snapshot_without_data_is_partial() {
    let partial = |data: Option<Value>, r#type: &str| {
        let mut message = changed("/data", data);
        message["type"] = json!(r#type);
        let message = message.to_string();
        let Event::User(event) = Event::decode(&message).unwrap() else { panic!("{message}") };
        event.data.partial
    };
    for data in [None, Some(Value::Null)] {
        assert!(partial(data.clone(), "user.snapshot"));
        assert!(!partial(data, "user.authenticated"));
    }
    assert!(!partial(Some(json!({ "enabled": true })), "user.snapshot"));
    assert!(partial(Some(json!({ "partial": true })), "user.snapshot"));
}

#[test]
fn what_is_wrong_with_a_group_is_named_and_the_schema_rejects_it_too() {
    let validator = validator();
    let of = |r#type: &str, data: Option<Value>| {
        let mut message = changed("/type", Some(json!(r#type)));
        let message_of = message.as_object_mut().unwrap();
        match data {
            Some(data) => message_of.insert("data".into(), data),
            None => message_of.remove("data"),
        };
        message
    };
    let group = |name: String| Some(json!({ "group": name }));
    let cases = [
        (None, "malformed", "data.group"),
        (Some(json!({})), "malformed", "data.group"),
        (Some(json!({ "group": null })), "malformed", "data.group"),
        (Some(json!({ "group": 7 })), "malformed", "data.group"),
        (Some(json!({ "group": ["admins"] })), "malformed", "data.group"),
        (Some(json!("admins")), "malformed", "data"),
        (Some(json!(["admins"])), "malformed", "data"),
        (group(String::new()), "malformed", "data.group"),
        (group("\0\0".into()), "malformed", "data.group"),
        (group("é".repeat(GROUP_NAME_MAX_CHARS + 1)), "oversized", "data.group"),
    ];
    for r#type in GroupChange::TYPES {
        for (data, reason, field) in cases.clone() {
            let message = of(r#type, data);
            let error = Event::decode(&message.to_string()).unwrap_err();
            assert_eq!((error.reason(), error.field()), (reason, field), "{message}: {error}");
            assert!(!validator.is_valid(&message), "{message}: the schema accepts what the code rejects");
        }
        // What `data` says besides is ignored, whatever it is; so is the subject where nobody is meant.
        let name = "é".repeat(GROUP_NAME_MAX_CHARS);
        let mut message = of(r#type, Some(json!({ "group": format!("\0{name}"), "federated": "no" })));
        let Ok(Event::Group(event)) = Event::decode(&message.to_string()).map(Event::into_owned) else {
            panic!("not read: {message}")
        };
        assert_eq!((&*event.group, event.change.as_str()), (name.as_str(), r#type));
        message["data"]["group"] = json!(name);
        assert!(validator.is_valid(&message), "{message}");
        for missing in ["subject", "source"] {
            let mut message = message.clone();
            message.as_object_mut().unwrap().remove(missing);
            let needs = missing == "source" || event.change.user().is_some();
            let error = Event::decode(&message.to_string()).err();
            assert_eq!(error.as_ref().map(DecodeError::field), needs.then_some(missing), "{message}");
            assert_eq!(validator.is_valid(&message), !needs, "{message}");
        }
        let later = Event::decode(&changed_version(&message)).unwrap_err();
        assert_eq!(later.reason(), "unknown_version");
    }
}

/// The message, of a version that is not known yet, whose `data` may be anything.
fn changed_version(message: &Value) -> String {
    let mut message = message.clone();
    (message["schemaversion"], message["data"]) = (json!(2), json!([]));
    message.to_string()
}

#[test]
fn data_that_is_not_read_may_be_anything() {
    for data in [json!([]), json!("text"), json!({ "federated": "yes" })] {
        let read = |pointer, value| {
            let mut message = changed(pointer, Some(value));
            message["data"] = data.clone();
            Event::decode(&message.to_string()).map(Event::into_owned)
        };
        assert_eq!(read("/type", json!("heartbeat")), Ok(Event::heartbeat(fixed_id())), "{data}");
        assert_eq!(read("/type", json!("user.promoted")), Err(DecodeError::UnknownType), "{data}");
        let later = read("/schemaversion", json!(2)).unwrap_err();
        assert_eq!(later.reason(), "unknown_version", "{data}");
    }
}

#[test]
fn what_no_schema_can_say_is_rejected_all_the_same() {
    let later = changed("/time", Some(json!(Timestamp::from_unix_millis(AT + 1))));
    assert_eq!(Event::decode(&later.to_string()), Err(DecodeError::IdTimeMismatch));
    let name = "n".repeat(ATTRIBUTE_NAME_MAX_CHARS + 1);
    let named = changed("/data/attributes", Some(json!({ name.clone(): "x" })));
    let error = Event::decode(&named.to_string()).unwrap_err();
    assert_eq!((error.reason(), error.field()), ("oversized", "data.attributes"));
    let padded = format!("{}{}", valid_message(), " ".repeat(MESSAGE_MAX_BYTES));
    assert_eq!(Event::decode(&padded).unwrap_err().reason(), "oversized");
    for text in ["", "{", "oops", "[]", "{} {}", "\u{0}", &"[".repeat(100_000)] {
        let error = Event::decode(text).unwrap_err();
        assert_eq!(error.reason(), "malformed", "{error}");
    }
}

#[test]
fn an_error_never_quotes_a_value() {
    let secret = "jo@example.com";
    for pointer in
        ["/id", "/source", "/type", "/subject", "/time", "/specversion", "/data/federated", "/data/enabled"]
    {
        let error = Event::decode(&changed(pointer, Some(json!(secret))).to_string()).unwrap_err();
        assert!(!error.to_string().contains(secret), "{pointer}: {error}");
        assert!(!error.field().contains(secret), "{pointer}: {error}");
    }
    let error = Event::decode(&format!("{secret}{}", valid_message())).unwrap_err();
    assert!(!error.to_string().contains(secret), "{error}");
}

#[test]
fn every_character_of_a_message_is_one_that_sqs_takes() {
    let odd: String =
        ('\u{0}'..='\u{20}').chain(['\u{7f}', '\u{fffd}', '\u{fffe}', '\u{ffff}', '\u{10ffff}']).collect();
    let data = Data {
        user_name: Some(odd.clone().into()),
        attributes: BTreeMap::from([(odd.clone().into(), odd.clone().into())]),
        ..Data::default()
    };
    let event =
        UserEvent { id: fixed_id(), user_pool_id: "p".into(), sub: Uuid::nil(), kind: Kind::Snapshot, data };
    let encoded = Event::User(event).encode();
    // "SendMessage", Amazon SQS API Reference: #x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF.
    let taken = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(encoded.chars().all(taken), "{encoded:?}");
    let Ok(Event::User(decoded)) = Event::decode(&encoded) else { panic!("not read back") };
    assert_eq!(decoded.data.user_name.unwrap(), *odd.replace('\0', ""));
}

#[test]
fn fields_of_a_later_build_are_ignored() {
    let mut message = changed("/data/new_field", Some(json!({ "deep": [1, null] })));
    message["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(validator().is_valid(&message));
    assert!(Event::decode(&message.to_string()).is_ok());
}

prop_compose! {
    fn any_client()(texts in proptest::array::uniform5(proptest::option::of(".{0,40}"))) -> Client<'static> {
        let [ip, user_agent, device, location, referral_code] = texts.map(|text| text.map(Text::from));
        Client { ip, user_agent, device, location, referral_code }
    }
}

prop_compose! {
    fn any_event()(
        millis in 0..=Timestamp::MAX.unix_millis(),
        kind in proptest::sample::select(Kind::ALL.to_vec()),
        sub: u128,
        pool in "[!-~]{1,60}",
        texts in proptest::array::uniform3(proptest::option::of(".{0,60}")),
        (federated, enabled, partial) in any::<(bool, Option<bool>, bool)>(),
        created_at in proptest::option::of(0..=Timestamp::MAX.unix_millis()),
        attributes in proptest::collection::btree_map(".{0,30}", ".{0,200}", 0..12),
        client in any_client(),
    ) -> UserEvent<'static> {
        let [user_name, client_id, status] = texts.map(|text| text.map(Text::from));
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let created_at = created_at.map(Timestamp::from_unix_millis);
        let mut data =
            Data { user_name, client_id, status, federated, enabled, created_at, partial, attributes, client };
        data.bound();
        let id = EventId::new(Timestamp::from_unix_millis(millis));
        UserEvent { id, user_pool_id: pool.into(), sub: Uuid::from_u128(sub), kind, data }
    }
}

prop_compose! {
    fn any_group_event()(
        millis in 0..=Timestamp::MAX.unix_millis(),
        change in (0..3, any::<u128>()),
        pool in "[!-~]{1,60}",
        group in "[^\0]{1,128}",
    ) -> GroupEvent<'static> {
        let id = EventId::new(Timestamp::from_unix_millis(millis));
        let change = match (change.0, Uuid::from_u128(change.1)) {
            (0, sub) => GroupChange::Joined(sub),
            (1, sub) => GroupChange::Left(sub),
            (_, _) => GroupChange::Deleted,
        };
        GroupEvent { id, user_pool_id: pool.into(), group: group.into(), change }
    }
}

proptest! {
    #[test]
    fn every_event_is_valid_and_comes_back(
        event in prop_oneof![any_event().prop_map(Event::User), any_group_event().prop_map(Event::Group)],
    ) {
        thread_local!(static VALIDATOR: Validator = validator());
        let encoded = event.encode();
        let wire: Value = serde_json::from_str(&encoded).unwrap();
        let errors: Vec<_> = VALIDATOR.with(|validator| validator.iter_errors(&wire).map(|e| e.to_string()).collect());
        prop_assert!(errors.is_empty(), "{:?}", errors);
        prop_assert_eq!(Event::decode(&encoded), Ok(event));
    }

    #[test]
    fn no_text_makes_the_decoder_panic(text in "\\PC{0,300}") {
        prop_assert!(Event::decode(&text).is_err());
    }

    #[test]
    fn ids_order_as_their_times_do(a in 0..=Timestamp::MAX.unix_millis(), b in 0..=Timestamp::MAX.unix_millis()) {
        let (a, b) = (Timestamp::from_unix_millis(a), Timestamp::from_unix_millis(b));
        prop_assert_eq!(EventId::new(a).time(), a);
        if a != b {
            prop_assert_eq!(EventId::new(a) < EventId::new(b), a < b);
        }
    }
}

fn seen(pool: &str) -> PoolSeen {
    PoolSeen {
        user_pool_id: pool.to_owned(),
        region: "eu-west-1".to_owned(),
        missing: 1,
        post_confirmation: Some("arn:aws:lambda:eu-west-1:111122223333:function:ours:live".to_owned()),
        post_authentication: None,
    }
}

#[test]
fn a_heartbeat_tells_what_was_seen_of_the_triggers_and_comes_back() {
    let pools: Vec<_> = (0..POOLS_SEEN_MAX).map(|number| seen(&format!("eu-west-1_Pool{number}"))).collect();
    let event = Event::Heartbeat { id: fixed_id(), pools };
    let wire: Value = serde_json::from_str(&event.encode()).unwrap();
    let expected = json!({
        "user_pool_id": "eu-west-1_Pool0", "region": "eu-west-1", "missing": 1,
        "post_confirmation": "arn:aws:lambda:eu-west-1:111122223333:function:ours:live"
    });
    assert_eq!(wire["data"]["pools"][0], expected);
    assert!(validator().is_valid(&wire));
    assert_eq!(Event::decode(&event.encode()), Ok(event.clone()));
    // As base64, too.
    let mut carried = wire;
    let data = carried.as_object_mut().unwrap().remove("data").unwrap();
    carried["data_base64"] = aws_smithy_types::base64::encode(data.to_string()).into();
    assert_eq!(Event::decode(&carried.to_string()).map(Event::into_owned), Ok(event));
}

#[test]
fn a_heartbeat_is_one_whatever_it_carries_and_tells_only_what_is_plausible() {
    let good = serde_json::to_value(seen("eu-west-1_Good")).unwrap();
    let decode = |data: &str| {
        let mut message = changed("/type", Some(json!("heartbeat")));
        message["data"] = json!("DATA");
        match Event::decode(&message.to_string().replace("\"DATA\"", data)).map(Event::into_owned) {
            Ok(Event::Heartbeat { id, pools }) if id == fixed_id() => pools,
            other => panic!("{data}: {other:?}"),
        }
    };
    let deep = format!("{{\"pools\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    for data in
        ["null", "7", "[]", "{}", "{\"pools\":7}", "{\"pools\":null}", "{\"pools\":[],\"pools\":[]}", &deep]
    {
        assert_eq!(decode(data), [], "{data}");
    }
    for (field, value) in [
        ("user_pool_id", json!("eu-west-1_\u{0}")),
        ("user_pool_id", json!("x".repeat(2_000))),
        ("user_pool_id", json!(7)),
        ("region", json!("eu west")),
        ("region", json!("r".repeat(33))),
        ("missing", json!(3)),
        ("missing", json!(-1)),
        ("post_confirmation", json!("jo@example.com")),
        ("post_confirmation", json!("arn:\u{0}")),
        ("post_authentication", json!(format!("arn:{}", "x".repeat(509)))),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        // One that cannot be read hides no other.
        let data = json!({ "pools": [bad, {}, 7, good] }).to_string();
        assert_eq!(decode(&data), [seen("eu-west-1_Good")], "{data}");
    }
    let many = json!({ "pools": vec![good; POOLS_SEEN_MAX + 1] }).to_string();
    assert_eq!(decode(&many).len(), POOLS_SEEN_MAX);
}
