//! Records as CloudTrail writes them, and as it does not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const POOL: &str = "eu-west-1_Abc123Def";
const SUB: Uuid = Uuid::from_u128(0xabda_62a8_5732_41ef_8c00_31d8_dc08_3c34);

fn read_ours(payload: &str) -> Notice {
    read(payload, |pool| pool == POOL)
}

fn ours() -> Whose {
    Whose::Pool(POOL.to_owned())
}

fn client() -> Whose {
    Whose::Client("1example23456789".to_owned())
}

fn call(name: &str) -> Value {
    json!({
        "version": "0", "detail-type": "AWS API Call via CloudTrail", "source": "aws.cognito-idp",
        "time": "2026-11-23T15:31:02Z",
        "detail": {
            "eventSource": EVENT_SOURCE, "eventName": name, "eventTime": "2026-11-23T15:31:00Z",
            "requestParameters": { "userPoolId": POOL, "username": HIDDEN, "groupName": "editors" },
            "responseElements": null,
            "additionalEventData": { "sub": SUB },
        }
    })
}

/// The deletion's event after a change at a path.
fn changed(path: &str, value: Value) -> Notice {
    changed_call("AdminDeleteUser", path, value)
}

fn changed_call(name: &str, path: &str, value: Value) -> Notice {
    let mut event = call(name);
    let (parent, name) = path.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[name] = value;
    read_ours(&event.to_string())
}

/// A record of a change of the group `editors` that did this.
fn grouped(change: GroupChange) -> Notice {
    let at = Timestamp::parse("2026-11-23T15:31:00Z").unwrap();
    Notice::Group { user_pool_id: POOL.to_owned(), group: "editors".to_owned(), change, at }
}

const AT: &str = "2026-11-23T15:31:00Z";

fn deleted(whose: Whose, at: &str) -> Notice {
    Notice::Deleted { whose, sub: SUB, at: Timestamp::parse(at).ok() }
}

fn told_of(whose: Whose) -> Notice {
    Notice::Changed { whose, sub: SUB, at: Timestamp::parse(AT).ok() }
}

#[test]
fn each_operation_means_what_its_table_says() {
    for (name, effect) in OPERATIONS {
        let expected = match effect {
            Effect::Changed => told_of(ours()),
            Effect::Deleted => deleted(ours(), AT),
            Effect::PoolChanged => Notice::PoolChanged,
            Effect::Joined => grouped(GroupChange::Joined(SUB)),
            Effect::Left => grouped(GroupChange::Left(SUB)),
            Effect::GroupDeleted => grouped(GroupChange::Deleted),
        };
        assert_eq!(read_ours(&call(name).to_string()), expected, "{name}");
    }
    for name in [
        "ListUsers",
        "AdminGetUser",
        "InitiateAuth",
        "CreateGroup",
        "AdminListGroupsForUser",
        "Confirm_POST",
        "admindeleteuser",
    ] {
        assert_eq!(read_ours(&call(name).to_string()), Notice::Ignored(Ignored::UnknownName), "{name}");
    }
}

#[test]
fn a_field_that_is_not_as_documented_is_told_apart() {
    let (ours, nobody) = (|| deleted(ours(), AT), || deleted(Whose::Nobody, AT));
    let no = Notice::Ignored;
    for (path, value, expected) in [
        ("/detail/errorCode", json!("UserNotFoundException"), no(Ignored::FailedCall)),
        ("/detail/errorCode", json!(""), ours()),
        ("/detail/errorCode", Value::Null, ours()),
        ("/detail/requestParameters", Value::Null, nobody()),
        ("/detail/requestParameters/userPoolId", Value::Null, nobody()),
        ("/detail/requestParameters/userPoolId", json!(HIDDEN), nobody()),
        ("/detail/requestParameters/userPoolId", json!(""), nobody()),
        ("/detail/requestParameters/userPoolId", json!([POOL]), ours()),
        ("/detail/requestParameters/userPoolId", json!("eu-west-1_Other0000"), no(Ignored::OtherPool)),
        ("/detail/requestParameters", json!({ "accessToken": "HIDDEN" }), nobody()),
        ("/detail/additionalEventData", json!({ "sub": 7 }), no(Ignored::NoSub)),
        ("/detail/additionalEventData", json!({ "sub": "HIDDEN" }), no(Ignored::NoSub)),
        ("/detail/additionalEventData", Value::Null, no(Ignored::NoSub)),
        ("/detail/eventName", Value::Null, no(Ignored::UnknownName)),
        ("/detail/eventSource", json!("cognito-identity.amazonaws.com"), no(Ignored::NotCognito)),
        ("/detail", Value::Null, no(Ignored::NotCognito)),
        ("/source", json!("aws.events"), ours()),
        ("/detail/eventTime", Value::Null, deleted(Whose::Pool(POOL.to_owned()), "2026-11-23T15:31:02Z")),
        ("/detail/eventTime", json!("yesterday"), deleted(Whose::Pool(POOL.to_owned()), "never")),
    ] {
        assert_eq!(changed(path, value.clone()), expected, "{path}: {value}");
    }
}

#[test]
fn an_app_client_says_whose_a_record_is_where_no_pool_does() {
    let id = "1example23456789";
    let longest = "x".repeat(ID_MAX_CHARS + 1);
    for (place, members, expected) in [
        ("requestParameters", json!({ "clientId": id }), client()),
        ("requestParameters", json!({ "client_id": id }), client()),
        ("requestParameters", json!({ "clientId": [id] }), client()),
        ("additionalEventData", json!({ "sub": SUB, "clientId": id }), client()),
        ("additionalEventData", json!({ "sub": SUB, "requestParameters": { "client_id": [id] } }), client()),
        ("serviceEventDetails", json!({ "clientId": id }), client()),
        ("requestParameters", json!({ "clientId": HIDDEN, "client_id": id }), client()),
        ("requestParameters", json!({ "clientId": HIDDEN }), Whose::Nobody),
        ("requestParameters", json!({ "clientId": "" }), Whose::Nobody),
        ("requestParameters", json!({ "clientId": longest }), Whose::Nobody),
        ("requestParameters", json!({ "clientId": 7 }), Whose::Nobody),
        ("requestParameters", json!({ "clientId": ["one", "two"] }), Whose::Nobody),
        ("requestParameters", json!({ "clientId": [] }), Whose::Nobody),
        ("requestParameters", json!({ "clientId": [7] }), Whose::Nobody),
        ("requestParameters", json!({ "clientId": id, "userPoolId": POOL }), ours()),
        ("serviceEventDetails", json!({ "userPoolId": POOL }), ours()),
    ] {
        let mut event = call("DeleteUser");
        event["detail"]["requestParameters"] = json!({ "accessToken": HIDDEN });
        event["detail"][place] = members.clone();
        assert_eq!(read_ours(&event.to_string()), deleted(expected.clone(), AT), "{place}: {members}");
        event["detail"]["eventName"] = json!("UpdateUserAttributes");
        assert_eq!(read_ours(&event.to_string()), told_of(expected), "{place}: {members}");
    }
}

/// Also what could not be followed: nobody is warned of another pool's records.
#[test]
fn a_record_of_another_pool_is_nothing_else() {
    for (name, _) in OPERATIONS {
        for path in ["/detail/version", "/detail/additionalEventData", "/detail/requestParameters/groupName"]
        {
            let mut event = call(name);
            event["detail"]["requestParameters"]["userPoolId"] = json!("eu-west-1_Other0000");
            event["detail"]["requestParameters"]["clientId"] = json!("1example23456789");
            let (parent, member) = path.rsplit_once('/').unwrap();
            event.pointer_mut(parent).unwrap()[member] = Value::Null;
            assert_eq!(read_ours(&event.to_string()), Notice::Ignored(Ignored::OtherPool), "{name}: {path}");
        }
    }
}

/// Nobody asks the pool about a group, so what the record does not say is not guessed.
#[test]
fn of_a_groups_change_everything_must_be_known() {
    let parameters = |name: &str| format!("/detail/requestParameters/{name}");
    let joined = || grouped(GroupChange::Joined(SUB));
    let no = Notice::Ignored;
    let longest = "x".repeat(GROUP_NAME_MAX_CHARS + 1);
    for (path, value, of_user, of_group) in [
        ("/detail/userAgent".into(), json!("x"), joined(), grouped(GroupChange::Deleted)),
        (parameters("groupName"), Value::Null, no(Ignored::NoGroup), no(Ignored::NoGroup)),
        (parameters("groupName"), json!(""), no(Ignored::NoGroup), no(Ignored::NoGroup)),
        (parameters("groupName"), json!(HIDDEN), no(Ignored::NoGroup), no(Ignored::NoGroup)),
        (parameters("groupName"), json!(longest), no(Ignored::NoGroup), no(Ignored::NoGroup)),
        (parameters("userPoolId"), Value::Null, no(Ignored::NoGroup), no(Ignored::NoGroup)),
        (
            parameters("userPoolId"),
            json!("eu-west-1_Other0000"),
            no(Ignored::OtherPool),
            no(Ignored::OtherPool),
        ),
        ("/detail/eventTime".into(), json!("yesterday"), no(Ignored::NoGroup), no(Ignored::NoGroup)),
        ("/detail/errorCode".into(), json!("Denied"), no(Ignored::FailedCall), no(Ignored::FailedCall)),
        (
            "/detail/additionalEventData".into(),
            Value::Null,
            no(Ignored::NoSub),
            grouped(GroupChange::Deleted),
        ),
    ] {
        assert_eq!(changed_call("AdminAddUserToGroup", &path, value.clone()), of_user, "{path}");
        assert_eq!(changed_call("DeleteGroup", &path, value), of_group, "{path}");
    }
}

#[test]
fn a_call_without_a_pool_in_its_parameters_may_name_it_elsewhere() {
    for place in ["additionalEventData", "serviceEventDetails"] {
        let mut event = call("DeleteUser");
        event["detail"]["requestParameters"] = Value::Null;
        event["detail"][place]["userPoolId"] = json!("eu-west-1_Other0000");
        assert_eq!(read_ours(&event.to_string()), Notice::Ignored(Ignored::OtherPool), "{place}");
    }
}

#[test]
fn a_sign_up_names_the_user_in_its_answer() {
    let mut event = call("SignUp");
    event["detail"]["additionalEventData"] = Value::Null;
    event["detail"]["responseElements"] = json!({ "userConfirmed": false, "userSub": SUB });
    assert_eq!(read_ours(&event.to_string()), told_of(ours()));
}

#[test]
fn a_schedule_asks_for_a_heartbeat() {
    for payload in [
        r#"{"heartbeat":true}"#,
        r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#,
        r#"{"source":"aws.scheduler","detail-type":"Scheduled Event"}"#,
    ] {
        assert_eq!(read_ours(payload), Notice::Heartbeat, "{payload}");
    }
    for payload in [r#"{"heartbeat":false}"#, r#"{"source":"me","detail-type":"Scheduled Event"}"#, "{}"] {
        assert_eq!(read_ours(payload), Notice::Ignored(Ignored::NotCognito), "{payload}");
    }
}

#[test]
fn a_payload_that_is_not_an_object_is_unreadable() {
    for payload in ["", "null", "[]", "7", "\"text\"", "{", "{\"a\":}"] {
        assert_eq!(read_ours(payload), Notice::Ignored(Ignored::Unreadable), "{payload}");
    }
}

#[test]
fn a_field_that_we_do_not_read_cannot_fail() {
    let event = call("AdminDeleteUser").to_string();
    let odd =
        event.replacen("\"version\":\"0\"", "\"version\":\"\\ud83d\",\"deep\":[[[[{}]]]],\"big\":1e999", 1);
    assert_ne!(odd, event);
    assert_eq!(read_ours(&odd), deleted(ours(), AT));
}

/// JSON that is like an event, with any values.
fn almost_an_event() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        Just(Value::from(SUB.to_string())),
        Just(Value::from("AdminDeleteUser")),
        Just(Value::from(POOL)),
        Just(Value::from(EVENT_SOURCE)),
    ];
    const NAMES: [&str; 16] = [
        "source",
        "detail",
        "detail-type",
        "time",
        "eventSource",
        "eventName",
        "errorCode",
        "eventTime",
        "requestParameters",
        "additionalEventData",
        "sub",
        "userPoolId",
        "clientId",
        "client_id",
        "serviceEventDetails",
        "heartbeat",
    ];
    leaf.prop_recursive(4, 40, 10, |inner| {
        let name = proptest::sample::select(&NAMES[..]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.prop_map(str::to_owned), inner, 0..10)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn place() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["requestParameters", "additionalEventData", "serviceEventDetails"][..])
}

proptest! {
    #[test]
    fn no_json_panics_it(event in almost_an_event(), text in ".*") {
        let (read_event, read_text) = (read_ours(&event.to_string()), read_ours(&text));
        prop_assert_eq!(read_event == Notice::Ignored(Ignored::Unreadable), !event.is_object());
        prop_assert!(matches!(read_text, Notice::Ignored(_)));
    }

    /// Whatever else a record has: it is of the pool that it names first, and else of the client.
    #[test]
    fn whose_a_record_is_follows_from_what_it_names(
        pool in proptest::option::of(prop_oneof![Just(POOL), Just("eu-west-1_Other0000")]),
        client in proptest::option::of("[a-z0-9]{1,128}"),
        pool_place in place(),
        client_place in place(),
        name in prop_oneof![Just("client_id"), Just("clientId")],
        in_array in any::<bool>(),
    ) {
        let mut event = call("UpdateUserAttributes");
        event["detail"]["requestParameters"] = json!({});
        if let Some(pool) = pool {
            event["detail"][pool_place]["userPoolId"] = json!(pool);
        }
        if let Some(client) = &client {
            event["detail"][client_place][name] = if in_array { json!([client]) } else { json!(client) };
        }
        let expected = match (pool, client) {
            (Some(POOL), _) => told_of(ours()),
            (Some(_), _) => Notice::Ignored(Ignored::OtherPool),
            (None, Some(client)) => told_of(Whose::Client(client)),
            (None, None) => told_of(Whose::Nobody),
        };
        prop_assert_eq!(read_ours(&event.to_string()), expected);
    }
}
