//! Reads what EventBridge delivers of the user pool: CloudTrail's record of a call, or a schedule's event. Pure: must
//! not know Cognito's answers, the queue or Lambda.
//!
//! CloudTrail says that a user changed, not how: names and attributes are hidden ("Amazon Cognito logging in AWS
//! CloudTrail", Cognito Developer Guide).

use cognito_user_sync_triggers::event::{GROUP_NAME_MAX_CHARS, GroupChange};
use cognito_user_sync_triggers::json::{Object, object, text};
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

const EVENT_SOURCE: &str = "cognito-idp.amazonaws.com";

/// What CloudTrail writes in the place of a name that it does not show.
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// What a call did to a user or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Changed,
    Deleted,
    Joined,
    Left,
    GroupDeleted,
}

/// The operations that change what the pool knows of a user, or who is in a group (Amazon Cognito user pools API
/// Reference). Devices, sessions and MFA are not part of a row. A sign-in has its trigger. An import has no `sub` and is
/// left to reconcile, as is who joins the group of an identity provider by signing in.
const OPERATIONS: [(&str, Effect); 21] = [
    ("AdminCreateUser", Effect::Changed),
    ("SignUp", Effect::Changed),
    ("AdminConfirmSignUp", Effect::Changed),
    ("ConfirmSignUp", Effect::Changed),
    ("AdminUpdateUserAttributes", Effect::Changed),
    ("UpdateUserAttributes", Effect::Changed),
    ("AdminDeleteUserAttributes", Effect::Changed),
    ("DeleteUserAttributes", Effect::Changed),
    // The attribute's verified flag.
    ("VerifyUserAttribute", Effect::Changed),
    ("AdminDisableUser", Effect::Changed),
    ("AdminEnableUser", Effect::Changed),
    // These three change the status: FORCE_CHANGE_PASSWORD, RESET_REQUIRED, CONFIRMED.
    ("AdminSetUserPassword", Effect::Changed),
    ("AdminResetUserPassword", Effect::Changed),
    ("ConfirmForgotPassword", Effect::Changed),
    // The attribute `identities`.
    ("AdminLinkProviderForUser", Effect::Changed),
    ("AdminDisableProviderForUser", Effect::Changed),
    ("AdminDeleteUser", Effect::Deleted),
    ("DeleteUser", Effect::Deleted),
    ("AdminAddUserToGroup", Effect::Joined),
    ("AdminRemoveUserFromGroup", Effect::Left),
    ("DeleteGroup", Effect::GroupDeleted),
];

/// What an event from EventBridge asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The user was created or changed.
    Changed {
        /// The user.
        sub: Uuid,
        /// When, to the second, if the event says so.
        at: Option<Timestamp>,
    },
    /// The user was deleted.
    Deleted {
        /// The user.
        sub: Uuid,
        /// When, to the second, if the event says so.
        at: Option<Timestamp>,
    },
    /// A user joined or left a group, or a group was deleted.
    Group {
        /// The group's name.
        group: String,
        /// What happened.
        change: GroupChange,
        /// When, to the second.
        at: Timestamp,
    },
    /// The schedule asks for a heartbeat.
    Heartbeat,
    /// It asks for nothing.
    Ignored(Ignored),
}

/// Why an event is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// The call failed, so it changed nothing.
    FailedCall,
    /// The event has no `sub` that is a UUID.
    NoSub,
    /// A group's event does not say which group of which pool it is about, or when it happened.
    NoGroup,
    /// An operation that changes no user, or that this build does not know.
    UnknownName,
    /// The event comes neither from a Cognito user pool nor from the schedule.
    NotCognito,
    /// The event names another user pool.
    OtherPool,
    /// The payload is not a JSON object.
    Unreadable,
}

impl Ignored {
    /// A stable word: the label of a metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailedCall => "failed_call",
            Self::NoSub => "no_sub",
            Self::NoGroup => "no_group",
            Self::UnknownName => "unknown_name",
            Self::NotCognito => "not_cognito",
            Self::OtherPool => "other_pool",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Reads an event from EventBridge, for the pool `user_pool_id`. Anything may be missing or null.
///
/// A call with an access token (DeleteUser, UpdateUserAttributes) may name no pool: we assume it is ours.
#[must_use]
pub fn read(payload: &str, user_pool_id: &str) -> Notice {
    let Ok(envelope) = serde_json::from_str::<Object<'_>>(payload) else {
        return Notice::Ignored(Ignored::Unreadable);
    };
    if is_schedule(&envelope) {
        return Notice::Heartbeat;
    }
    user_notice(&envelope, user_pool_id).unwrap_or_else(Notice::Ignored)
}

/// Whether it is the event of an EventBridge rule's schedule or of EventBridge Scheduler, or the input `heartbeat`.
fn is_schedule(envelope: &Object<'_>) -> bool {
    let is_asked = envelope.get("heartbeat").is_some_and(|value| value.get() == "true");
    let source = text(envelope, "source");
    let is_scheduler = matches!(source.as_deref(), Some("aws.events" | "aws.scheduler"));
    is_asked || is_scheduler && text(envelope, "detail-type").as_deref() == Some("Scheduled Event")
}

fn user_notice(envelope: &Object<'_>, user_pool_id: &str) -> Result<Notice, Ignored> {
    let detail = object(envelope, "detail");
    if text(&detail, "eventSource").as_deref() != Some(EVENT_SOURCE) {
        return Err(Ignored::NotCognito);
    }
    let name = text(&detail, "eventName").unwrap_or_default();
    let effect = OPERATIONS.iter().find(|(operation, _)| *operation == name).map(|(_, effect)| *effect);
    let effect = effect.ok_or(Ignored::UnknownName)?;
    // A call that succeeded may carry an empty code: the guide's example of a hosted sign-up does.
    if text(&detail, "errorCode").is_some_and(|code| !code.is_empty()) {
        return Err(Ignored::FailedCall);
    }
    let additional = object(&detail, "additionalEventData");
    let candidates =
        [&object(&detail, "requestParameters"), &additional, &object(&detail, "serviceEventDetails")];
    let named = candidates.into_iter().find_map(|candidate| text(candidate, "userPoolId"));
    if named.as_deref().is_some_and(|named| named != user_pool_id) {
        return Err(Ignored::OtherPool);
    }
    // SignUp returns the new user's `sub`.
    let sub = text(&additional, "sub").or_else(|| text(&object(&detail, "responseElements"), "userSub"));
    let sub = sub.and_then(|sub| Uuid::try_parse(&sub).ok()).ok_or(Ignored::NoSub);
    let at = text(&detail, "eventTime").or_else(|| text(envelope, "time"));
    let at = at.and_then(|at| Timestamp::parse(&at).ok());
    let change = match effect {
        Effect::Changed => return Ok(Notice::Changed { sub: sub?, at }),
        Effect::Deleted => return Ok(Notice::Deleted { sub: sub?, at }),
        Effect::Joined => GroupChange::Joined(sub?),
        Effect::Left => GroupChange::Left(sub?),
        Effect::GroupDeleted => GroupChange::Deleted,
    };
    // Only an administrator's credentials change a group, and such a call names the pool. Nobody asks the pool about it,
    // so that nothing is assumed.
    let group = text(&object(&detail, "requestParameters"), "groupName");
    let is_named = |group: &String| {
        !group.is_empty() && group != HIDDEN && group.chars().count() <= GROUP_NAME_MAX_CHARS
    };
    match (named, group.filter(is_named), at) {
        (Some(_), Some(group), Some(at)) => Ok(Notice::Group { group, change, at }),
        _ => Err(Ignored::NoGroup),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const POOL: &str = "eu-west-1_Abc123Def";
    const SUB: Uuid = Uuid::from_u128(0xabda_62a8_5732_41ef_8c00_31d8_dc08_3c34);

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
        read(&event.to_string(), POOL)
    }

    /// A record of a change of the group `editors` that did this.
    fn grouped(change: GroupChange) -> Notice {
        let at = Timestamp::parse("2026-11-23T15:31:00Z").unwrap();
        Notice::Group { group: "editors".to_owned(), change, at }
    }

    fn deleted(at: &str) -> Notice {
        Notice::Deleted { sub: SUB, at: Timestamp::parse(at).ok() }
    }

    fn told_of(at: &str) -> Notice {
        Notice::Changed { sub: SUB, at: Timestamp::parse(at).ok() }
    }

    #[test]
    fn each_operation_means_what_its_table_says() {
        for (name, effect) in OPERATIONS {
            let expected = match effect {
                Effect::Changed => told_of("2026-11-23T15:31:00Z"),
                Effect::Deleted => deleted("2026-11-23T15:31:00Z"),
                Effect::Joined => grouped(GroupChange::Joined(SUB)),
                Effect::Left => grouped(GroupChange::Left(SUB)),
                Effect::GroupDeleted => grouped(GroupChange::Deleted),
            };
            assert_eq!(read(&call(name).to_string(), POOL), expected, "{name}");
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
            assert_eq!(read(&call(name).to_string(), POOL), Notice::Ignored(Ignored::UnknownName), "{name}");
        }
    }

    #[test]
    fn a_field_that_is_not_as_documented_is_told_apart() {
        let at = "2026-11-23T15:31:00Z";
        let other = || json!("eu-west-1_Other0000");
        for (path, value, expected) in [
            ("/detail/errorCode", json!("UserNotFoundException"), Notice::Ignored(Ignored::FailedCall)),
            ("/detail/errorCode", json!(""), deleted(at)),
            ("/detail/errorCode", Value::Null, deleted(at)),
            ("/detail/requestParameters", Value::Null, deleted(at)),
            ("/detail/requestParameters/userPoolId", Value::Null, deleted(at)),
            ("/detail/requestParameters/userPoolId", other(), Notice::Ignored(Ignored::OtherPool)),
            ("/detail/requestParameters", json!({ "accessToken": "HIDDEN" }), deleted(at)),
            ("/detail/additionalEventData", json!({ "sub": 7 }), Notice::Ignored(Ignored::NoSub)),
            ("/detail/additionalEventData", json!({ "sub": "HIDDEN" }), Notice::Ignored(Ignored::NoSub)),
            ("/detail/additionalEventData", Value::Null, Notice::Ignored(Ignored::NoSub)),
            ("/detail/eventName", Value::Null, Notice::Ignored(Ignored::UnknownName)),
            (
                "/detail/eventSource",
                json!("cognito-identity.amazonaws.com"),
                Notice::Ignored(Ignored::NotCognito),
            ),
            ("/detail", Value::Null, Notice::Ignored(Ignored::NotCognito)),
            ("/source", json!("aws.events"), deleted(at)),
            ("/detail/eventTime", Value::Null, deleted("2026-11-23T15:31:02Z")),
            ("/detail/eventTime", json!("yesterday"), Notice::Deleted { sub: SUB, at: None }),
        ] {
            assert_eq!(changed(path, value.clone()), expected, "{path}: {value}");
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
            assert_eq!(read(&event.to_string(), POOL), Notice::Ignored(Ignored::OtherPool), "{place}");
        }
    }

    #[test]
    fn a_sign_up_names_the_user_in_its_answer() {
        let mut event = call("SignUp");
        event["detail"]["additionalEventData"] = Value::Null;
        event["detail"]["responseElements"] = json!({ "userConfirmed": false, "userSub": SUB });
        assert_eq!(read(&event.to_string(), POOL), told_of("2026-11-23T15:31:00Z"));
    }

    #[test]
    fn a_schedule_asks_for_a_heartbeat() {
        for payload in [
            r#"{"heartbeat":true}"#,
            r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#,
            r#"{"source":"aws.scheduler","detail-type":"Scheduled Event"}"#,
        ] {
            assert_eq!(read(payload, POOL), Notice::Heartbeat, "{payload}");
        }
        for payload in [r#"{"heartbeat":false}"#, r#"{"source":"me","detail-type":"Scheduled Event"}"#, "{}"]
        {
            assert_eq!(read(payload, POOL), Notice::Ignored(Ignored::NotCognito), "{payload}");
        }
    }

    #[test]
    fn a_payload_that_is_not_an_object_is_unreadable() {
        for payload in ["", "null", "[]", "7", "\"text\"", "{", "{\"a\":}"] {
            assert_eq!(read(payload, POOL), Notice::Ignored(Ignored::Unreadable), "{payload}");
        }
    }

    #[test]
    fn a_field_that_we_do_not_read_cannot_fail() {
        let event = call("AdminDeleteUser").to_string();
        let odd = event.replacen(
            "\"version\":\"0\"",
            "\"version\":\"\\ud83d\",\"deep\":[[[[{}]]]],\"big\":1e999",
            1,
        );
        assert_ne!(odd, event);
        assert_eq!(read(&odd, POOL), deleted("2026-11-23T15:31:00Z"));
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
            Just(Value::from(EVENT_SOURCE)),
        ];
        const NAMES: [&str; 13] = [
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

    proptest! {
        #[test]
        fn no_json_panics_it(event in almost_an_event(), text in ".*") {
            let (read_event, read_text) = (read(&event.to_string(), POOL), read(&text, POOL));
            prop_assert_eq!(read_event == Notice::Ignored(Ignored::Unreadable), !event.is_object());
            prop_assert!(matches!(read_text, Notice::Ignored(_)));
        }
    }
}
