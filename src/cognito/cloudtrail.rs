//! Reads what EventBridge delivers of user pools: CloudTrail's record of a call, or a schedule's event. Pure: must not
//! know Cognito's answers, the queue or Lambda.
//!
//! CloudTrail says that a user changed, not how: names and attributes are hidden ("Amazon Cognito logging in AWS
//! CloudTrail", Cognito Developer Guide). It reports every pool of the account, and of a call that a user made not which
//! pool: whose a record is, it says by [`Whose`].

use cognito_user_sync_triggers::event::{GROUP_NAME_MAX_CHARS, GroupChange};
use cognito_user_sync_triggers::json::{Object, object, text};
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

/// The service that calls on a user pool are of.
pub(super) const EVENT_SOURCE: &str = "cognito-idp.amazonaws.com";

/// What CloudTrail writes in the place of a name that it does not show.
pub(super) const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// The longest id of an app client that Cognito makes ("ClientId", Amazon Cognito user pools API Reference), and more than
/// that of a pool.
pub(super) const ID_MAX_CHARS: usize = 128;

/// What a call did to a user, a group or the pool itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Changed,
    Deleted,
    Joined,
    Left,
    GroupDeleted,
    PoolChanged,
}

/// The operations that change what the pool knows of a user, or who is in a group (Amazon Cognito user pools API
/// Reference). Devices, sessions and MFA are not part of a row. A sign-in has its trigger. An import has no `sub` and is
/// left to reconcile, as is who joins the group of an identity provider by signing in. The last ones can take the pool's
/// triggers away, in this Region or in that of a replica.
const OPERATIONS: [(&str, Effect); 25] = [
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
    ("UpdateUserPool", Effect::PoolChanged),
    ("CreateUserPoolReplica", Effect::PoolChanged),
    ("UpdateUserPoolReplica", Effect::PoolChanged),
    ("DeleteUserPoolReplica", Effect::PoolChanged),
];

/// Whose a record is, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// That of this pool, which is one of ours.
    Pool(String),
    /// That of the pool which has this app client.
    Client(String),
    /// It names neither.
    Nobody,
}

/// What an event from EventBridge asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The user was created or changed.
    Changed {
        /// Whose user it is.
        whose: Whose,
        /// The user.
        sub: Uuid,
        /// When, to the second, if the event says so.
        at: Option<Timestamp>,
    },
    /// The user was deleted.
    Deleted {
        /// Whose user it was.
        whose: Whose,
        /// The user.
        sub: Uuid,
        /// When, to the second, if the event says so.
        at: Option<Timestamp>,
    },
    /// A user joined or left a group, or a group was deleted.
    Group {
        /// The pool, which is one of ours.
        user_pool_id: String,
        /// The group's name.
        group: String,
        /// What happened.
        change: GroupChange,
        /// When, to the second.
        at: Timestamp,
    },
    /// A pool's settings were updated, or a replica of a pool of ours.
    PoolChanged,
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
    /// The event names no user pool, and nothing else that says that it is about one of ours.
    UnknownClient,
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
            Self::UnknownClient => "unknown_client",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Reads an event from EventBridge; `is_ours` says whether we follow the pool of an id. Anything may be missing or null.
#[must_use]
pub fn read(payload: &str, is_ours: impl Fn(&str) -> bool) -> Notice {
    let Ok(envelope) = serde_json::from_str::<Object<'_>>(payload) else {
        return Notice::Ignored(Ignored::Unreadable);
    };
    if is_schedule(&envelope) {
        return Notice::Heartbeat;
    }
    record(&envelope, is_ours).unwrap_or_else(Notice::Ignored)
}

/// Whether it is the event of an EventBridge rule's schedule or of EventBridge Scheduler, or the input `heartbeat`.
fn is_schedule(envelope: &Object<'_>) -> bool {
    let is_asked = envelope.get("heartbeat").is_some_and(|value| value.get() == "true");
    let source = text(envelope, "source");
    let is_scheduler = matches!(source.as_deref(), Some("aws.events" | "aws.scheduler"));
    is_asked || is_scheduler && text(envelope, "detail-type").as_deref() == Some("Scheduled Event")
}

fn record(envelope: &Object<'_>, is_ours: impl Fn(&str) -> bool) -> Result<Notice, Ignored> {
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
    let whose = whose(&detail, is_ours)?;
    let additional = object(&detail, "additionalEventData");
    // SignUp returns the new user's `sub`.
    let sub = text(&additional, "sub").or_else(|| text(&object(&detail, "responseElements"), "userSub"));
    let sub = sub.and_then(|sub| Uuid::try_parse(&sub).ok()).ok_or(Ignored::NoSub);
    let at = text(&detail, "eventTime").or_else(|| text(envelope, "time"));
    let at = at.and_then(|at| Timestamp::parse(&at).ok());
    let change = match effect {
        Effect::Changed => return Ok(Notice::Changed { whose, sub: sub?, at }),
        Effect::Deleted => return Ok(Notice::Deleted { whose, sub: sub?, at }),
        Effect::PoolChanged => return Ok(Notice::PoolChanged),
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
    match (whose, group.filter(is_named), at) {
        (Whose::Pool(user_pool_id), Some(group), Some(at)) => {
            Ok(Notice::Group { user_pool_id, group, change, at })
        }
        _ => Err(Ignored::NoGroup),
    }
}

/// Whose a record is: a pool that it names decides, then an app client.
pub(super) fn whose(detail: &Object<'_>, is_ours: impl Fn(&str) -> bool) -> Result<Whose, Ignored> {
    let additional = object(detail, "additionalEventData");
    // The records of managed login have the parameters of a request there.
    let hosted = object(&additional, "requestParameters");
    let parameters = object(detail, "requestParameters");
    let places = [&parameters, &additional, &object(detail, "serviceEventDetails"), &hosted];
    match named(&places, &["userPoolId"]) {
        Some(pool) if is_ours(&pool) => Ok(Whose::Pool(pool)),
        Some(_) => Err(Ignored::OtherPool),
        None => Ok(named(&places, &["clientId", "client_id"]).map_or(Whose::Nobody, Whose::Client)),
    }
}

/// The id of one of these names, in the first place that has one. Of several in an array none is meant.
pub(super) fn named(places: &[&Object<'_>], names: &[&str]) -> Option<String> {
    let only = |values: Vec<String>| <[String; 1]>::try_from(values).ok().map(|[value]| value);
    let id = |place: &Object<'_>, name: &str| {
        let values = || place.get(name).and_then(|value| serde_json::from_str(value.get()).ok());
        let id = text(place, name).or_else(|| values().and_then(only));
        id.filter(|id| !id.is_empty() && id != HIDDEN && id.chars().count() <= ID_MAX_CHARS)
    };
    places.iter().find_map(|place| names.iter().find_map(|name| id(place, name)))
}

#[cfg(test)]
mod tests;
