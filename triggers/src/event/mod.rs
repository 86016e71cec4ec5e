//! The contract: what one queue message says, how it is written and how it is read.
//!
//! [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md), structured mode,
//! one event a message; `docs/event.schema.json` states the same for other languages. Knows neither where
//! an event came from (see [`crate::cognito`]) nor what becomes of it.

mod carried;
mod decode;
mod encode;
mod heartbeat;
mod limits;
mod objects;
mod records;

pub use self::decode::DecodeError;
pub use self::heartbeat::{POOLS_SEEN_MAX, PoolSeen};
pub use self::limits::{
    ATTRIBUTE_NAME_MAX_CHARS, ATTRIBUTE_VALUE_MAX_CHARS, ATTRIBUTES_MAX, GROUP_NAME_MAX_CHARS,
    MESSAGE_MAX_BYTES, TEXT_MAX_CHARS,
};
pub use self::records::{
    CLIENT_ID_MAX_CHARS, Context, ContextEvent, FAILURES_MAX, Failure, FailureGroup, Failures, FailuresEvent,
    Occasion, Reporter,
};

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::text::Text;
use crate::timestamp::Timestamp;

/// The version of [`Data`]'s shape that this build writes. Every version up to it can be read.
pub const SCHEMA_VERSION: u64 = 1;

const SPEC_VERSION: &str = "1.0";
const SOURCE_PREFIX: &str = "cognito/";
const HEARTBEAT: &str = "heartbeat";
const CONTEXT: &str = "user.login_context";
const FAILURES: &str = "user.sign_in_failed";

/// An event's identity and its time: a UUIDv7 ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.7)).
///
/// Made once, before the first send, so that every retry and every duplicate carries the same one. Its
/// first 48 bits are the event's time in milliseconds, so ordering by `EventId` is ordering by (time, id):
/// it is the version of every last-writer-wins register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Uuid", into = "Uuid")]
pub struct EventId(Uuid);

impl TryFrom<Uuid> for EventId {
    type Error = DecodeError;

    fn try_from(uuid: Uuid) -> Result<Self, DecodeError> {
        Self::from_uuid(uuid)
    }
}

impl From<EventId> for Uuid {
    fn from(id: EventId) -> Self {
        id.0
    }
}

impl EventId {
    /// A new id for something that occurred at `time`; the other 74 bits are random.
    #[must_use]
    pub fn new(time: Timestamp) -> Self {
        let millis = time.unix_millis();
        let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1_000, nanos)))
    }

    /// The id of something that somebody else has recorded: of its time, with the last 74 of `bits` in place of random ones.
    /// So the same record is the same event, whoever reads it again.
    #[must_use]
    pub fn of_record(time: Timestamp, bits: u128) -> Self {
        let (time, bits) = (u128::from(time.unix_millis()) << 80, bits.to_be_bytes());
        let [.., a, b, c, d, e, f, g, h, i, j] = bits;
        let bytes = [0, 0, 0, 0, 0, 0, 0x70 | a & 0x0f, b, 0x80 | c & 0x3f, d, e, f, g, h, i, j];
        Self(Uuid::from_u128(time | u128::from_be_bytes(bytes)))
    }

    /// Takes a UUID as an event id.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not of version 7 or its time lies after 9999.
    pub fn from_uuid(uuid: Uuid) -> Result<Self, DecodeError> {
        let id = Self(uuid);
        if uuid.get_version_num() != 7 || uuid.get_variant() != uuid::Variant::RFC4122 {
            return Err(DecodeError::malformed("id", "not a UUID of version 7 (RFC 9562)"));
        }
        if id.raw_millis() > Timestamp::MAX.unix_millis() {
            return Err(DecodeError::malformed("id", "its time lies after the year 9999"));
        }
        Ok(id)
    }

    /// When the event occurred.
    #[must_use]
    pub fn time(self) -> Timestamp {
        Timestamp::from_unix_millis(self.raw_millis())
    }

    /// The id as a plain UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }

    fn raw_millis(self) -> u64 {
        u64::try_from(self.0.as_u128() >> 80).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Something happened to a user.
    User(UserEvent<'a>),
    /// Something happened to a group of a user pool.
    Group(GroupEvent<'a>),
    /// Somebody saw where a sign-in came from. On a queue of its own.
    Context(ContextEvent<'a>),
    /// Sign-ins failed. On the same queue.
    Failures(FailuresEvent<'a>),
    /// The scheduled canary that travels the same queue.
    Heartbeat {
        /// Which heartbeat, and when it was sent.
        id: EventId,
        /// What its sender saw of the user pools' triggers just before; none where it did not look.
        pools: Vec<PoolSeen>,
    },
}

/// Something that happened to one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEvent<'a> {
    /// Which event, and when it occurred.
    pub id: EventId,
    /// The user pool, such as `eu-west-1_Abc123Def`.
    pub user_pool_id: Text<'a>,
    /// The user: Cognito's `sub`, never reassigned.
    pub sub: Uuid,
    /// What happened.
    pub kind: Kind,
    /// What was known of the user at that moment.
    pub data: Data<'a>,
}

/// What happened to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Signed up and confirmed; for a federated user this is the first login as well.
    Confirmed,
    /// Signed in.
    Authenticated,
    /// Confirmed a forgotten password: neither a sign-up nor a login.
    PasswordReset,
    /// Was read from the pool; the time is the moment that the read request was sent. It is the whole user, unless it is
    /// [partial](Data::partial): an attribute that it has not is gone as of then.
    Snapshot,
    /// Was deleted from the pool.
    Deleted,
    /// Was found alive in the pool by somebody who asked: no deletion up to then was one. The time is the moment that
    /// the request was sent.
    Restored,
}

impl Kind {
    /// Every kind, in the contract's order.
    pub const ALL: [Self; 6] = [
        Self::Confirmed,
        Self::Authenticated,
        Self::PasswordReset,
        Self::Snapshot,
        Self::Deleted,
        Self::Restored,
    ];

    /// The kind of a CloudEvents `type`.
    #[must_use]
    pub fn parse(r#type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == r#type)
    }

    /// The CloudEvents `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "user.confirmed",
            Self::Authenticated => "user.authenticated",
            Self::PasswordReset => "user.password_reset",
            Self::Snapshot => "user.snapshot",
            Self::Deleted => "user.deleted",
            Self::Restored => "user.restored",
        }
    }
}

/// Something that happened to a group of a user pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEvent<'a> {
    /// Which event, and when it occurred. What somebody found by reading a group is dated before the question.
    pub id: EventId,
    /// The user pool that the group is of.
    pub user_pool_id: Text<'a>,
    /// The group's name: at most [`GROUP_NAME_MAX_CHARS`] characters.
    pub group: Text<'a>,
    /// What happened.
    pub change: GroupChange,
}

/// What happened to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupChange {
    /// A user, by its `sub`, is a member.
    Joined(Uuid),
    /// A user, by its `sub`, is no member. In the same second as [`Self::Joined`], this is what counts.
    Left(Uuid),
    /// The group was deleted, and with it every membership.
    Deleted,
}

const GROUP_JOINED: &str = "user.group_joined";
const GROUP_LEFT: &str = "user.group_left";
const GROUP_DELETED: &str = "group.deleted";

impl GroupChange {
    /// The CloudEvents `type` of every change, in the contract's order.
    pub const TYPES: [&'static str; 3] = [GROUP_JOINED, GROUP_LEFT, GROUP_DELETED];

    /// The CloudEvents `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joined(_) => GROUP_JOINED,
            Self::Left(_) => GROUP_LEFT,
            Self::Deleted => GROUP_DELETED,
        }
    }

    /// The user who joined or left.
    #[must_use]
    pub fn user(self) -> Option<Uuid> {
        match self {
            Self::Joined(sub) | Self::Left(sub) => Some(sub),
            Self::Deleted => None,
        }
    }
}

/// What was known of a user when the event occurred. Whatever was not known is absent, and erases nothing; of a whole
/// snapshot, an absent attribute is one that the user has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data<'a> {
    /// Cognito's user name.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<Text<'a>>,
    /// The app client that the user came through.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Text<'a>>,
    /// Cognito's user status, such as `CONFIRMED` or `EXTERNAL_PROVIDER`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Text<'a>>,
    /// Whether the user comes from an external identity provider (status `EXTERNAL_PROVIDER`).
    #[serde(default)]
    pub federated: bool,
    /// Whether the user may sign in; only a snapshot knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// When the user was created in the pool (`UserCreateDate`); only a snapshot knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Whether some of what was known is left out, so that a snapshot is not the whole user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The user's attributes, without `sub` and `cognito:user_status`, which have places of their own.
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<Text<'a>, Text<'a>>,
    /// What the client said of itself.
    #[serde(borrow, default, skip_serializing_if = "Client::is_empty")]
    pub client: Client<'a>,
}

/// The allow-listed part of ClientMetadata: supplied by the client, so unverified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client<'a> {
    /// The client's IP address, as text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Text<'a>>,
    /// The client's user agent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Text<'a>>,
    /// The kind of device: `Mobile`, `Tablet` or `Desktop`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Text<'a>>,
    /// Where the client says it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Text<'a>>,
    /// The referral code that a sign-up came with.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub referral_code: Option<Text<'a>>,
}

impl<'a> Client<'a> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn texts(&self) -> [(&'static str, &Option<Text<'a>>); 5] {
        [
            ("data.client.ip", &self.ip),
            ("data.client.user_agent", &self.user_agent),
            ("data.client.device", &self.device),
            ("data.client.location", &self.location),
            ("data.client.referral_code", &self.referral_code),
        ]
    }
}

impl<'a> Event<'a> {
    /// Which event this is, and when it occurred.
    #[must_use]
    pub fn id(&self) -> EventId {
        match self {
            Self::User(event) => event.id,
            Self::Group(event) => event.id,
            Self::Context(event) => event.id,
            Self::Failures(event) => event.id,
            Self::Heartbeat { id, .. } => *id,
        }
    }

    /// The CloudEvents `type`.
    #[must_use]
    pub fn r#type(&self) -> &'static str {
        match self {
            Self::User(event) => event.kind.as_str(),
            Self::Group(event) => event.change.as_str(),
            Self::Context(_) => CONTEXT,
            Self::Failures(_) => FAILURES,
            Self::Heartbeat { .. } => HEARTBEAT,
        }
    }

    /// The user pool that it is of; a heartbeat is of none.
    #[must_use]
    pub fn user_pool_id(&self) -> Option<&str> {
        match self {
            Self::User(event) => Some(&event.user_pool_id),
            Self::Group(event) => Some(&event.user_pool_id),
            Self::Context(event) => Some(&event.user_pool_id),
            Self::Failures(event) => Some(&event.user_pool_id),
            Self::Heartbeat { .. } => None,
        }
    }

    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::User(event) => Event::User(event.into_owned()),
            Self::Group(event) => Event::Group(event.into_owned()),
            Self::Context(event) => Event::Context(event.into_owned()),
            Self::Failures(event) => Event::Failures(event.into_owned()),
            Self::Heartbeat { id, pools } => Event::Heartbeat { id, pools },
        }
    }
}

impl UserEvent<'_> {
    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> UserEvent<'static> {
        let Self { id, user_pool_id, sub, kind, data } = self;
        UserEvent { id, user_pool_id: user_pool_id.into_owned(), sub, kind, data: data.into_owned() }
    }
}

impl GroupEvent<'_> {
    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> GroupEvent<'static> {
        let Self { id, user_pool_id, group, change } = self;
        GroupEvent { id, user_pool_id: user_pool_id.into_owned(), group: group.into_owned(), change }
    }
}

impl<'a> Data<'a> {
    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Data<'static> {
        let owned = |text: Option<Text<'_>>| text.map(Text::into_owned);
        let Self {
            user_name,
            client_id,
            status,
            federated,
            enabled,
            created_at,
            partial,
            attributes,
            client,
        } = self;
        let Client { ip, user_agent, device, location, referral_code } = client;
        Data {
            user_name: owned(user_name),
            client_id: owned(client_id),
            status: owned(status),
            federated,
            enabled,
            created_at,
            partial,
            attributes: attributes
                .into_iter()
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
            client: Client {
                ip: owned(ip),
                user_agent: owned(user_agent),
                device: owned(device),
                location: owned(location),
                referral_code: owned(referral_code),
            },
        }
    }
}
