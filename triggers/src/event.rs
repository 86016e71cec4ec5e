//! The contract: what one queue message says, how it is written and how it is read.
//!
//! [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md), structured mode,
//! one event a message; `docs/event.schema.json` states the same for other languages. Knows neither where
//! an event came from (see [`crate::cognito`]) nor what becomes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::text::Text;
use crate::timestamp::Timestamp;

/// The version of [`Data`]'s shape that this build writes. Every version up to it can be read.
pub const SCHEMA_VERSION: u64 = 1;

/// Most characters an attribute's value may have: eight times what Cognito stores in a standard or a
/// custom attribute (2,048: "Working with user attributes", Cognito Developer Guide), because `identities`
/// is a list.
pub const ATTRIBUTE_VALUE_MAX_CHARS: usize = 16_384;
/// Most characters an attribute's name may have. Cognito's own limit is 20 after `custom:`.
pub const ATTRIBUTE_NAME_MAX_CHARS: usize = 128;
/// Most attributes an event may carry. Cognito's own limit is 50 custom ones beside some 20 standard ones.
pub const ATTRIBUTES_MAX: usize = 256;
/// Most characters of every other text in an event. Cognito's longest, the user name, has at most 128.
pub const TEXT_MAX_CHARS: usize = 1_024;
/// Most bytes of one SQS message, its attributes included ("Amazon SQS message quotas").
pub const MESSAGE_MAX_BYTES: usize = 1_048_576;

const SPEC_VERSION: &str = "1.0";
const SOURCE_PREFIX: &str = "cognito/";
const HEARTBEAT: &str = "heartbeat";

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
#[expect(clippy::large_enum_variant, reason = "nearly every event is the large one")]
pub enum Event<'a> {
    /// Something happened to a user.
    User(UserEvent<'a>),
    /// The scheduled canary that travels the same queue.
    Heartbeat {
        /// Which heartbeat, and when it was sent.
        id: EventId,
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
    /// Was read from the pool; the time is the moment that the read request was sent.
    Snapshot,
    /// Was deleted from the pool, for good.
    Deleted,
}

impl Kind {
    /// Every kind, in the contract's order.
    pub const ALL: [Self; 5] =
        [Self::Confirmed, Self::Authenticated, Self::PasswordReset, Self::Snapshot, Self::Deleted];

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
        }
    }
}

/// What was known of a user when the event occurred. Whatever was not known is absent, and erases nothing.
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

/// Why a message is not an event. Names fields and limits, never a value: it is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or a field is missing or of the wrong form.
    #[error("{field}: {problem}")]
    Malformed {
        /// Path of the field; `$` is the whole message.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A version of the contract that this build does not know.
    #[error(
        "{field}: this build reads CloudEvents 1.0 with schemaversion 1 to {SCHEMA_VERSION}; upgrade the consumer, then redrive"
    )]
    UnknownVersion {
        /// `specversion` or `schemaversion`.
        field: &'static str,
    },
    /// A `type` that this build does not know.
    #[error("type: not one this build knows; upgrade the consumer, then redrive")]
    UnknownType,
    /// A field longer than the contract allows.
    #[error("{field}: {actual} is over the limit of {limit}")]
    Oversized {
        /// Path of the field. An attribute's name is never part of it when it is too long itself.
        field: String,
        /// Characters, entries or bytes allowed.
        limit: usize,
        /// Characters, entries or bytes found.
        actual: usize,
    },
    /// The id's 48-bit time is not `time`.
    #[error("time: not the time in the id")]
    IdTimeMismatch,
}

impl DecodeError {
    /// A field that is missing or of the wrong form.
    pub fn malformed(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Malformed { field: field.into(), problem: problem.into() }
    }

    /// A stable word for the reason: the `reason` attribute of a dead letter, the label of a metric.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::UnknownType => "unknown_type",
            Self::Oversized { .. } => "oversized",
            Self::IdTimeMismatch => "id_time_mismatch",
        }
    }

    /// Path of the offending field; `$` is the whole message.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Malformed { field, .. } | Self::Oversized { field, .. } => field,
            Self::UnknownVersion { field } => field,
            Self::UnknownType => "type",
            Self::IdTimeMismatch => "time",
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    specversion: &'static str,
    id: Uuid,
    source: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Uuid>,
    time: Timestamp,
    datacontenttype: &'static str,
    schemaversion: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Data<'a>>,
}

/// Everything optional, so that an unknown version is recognised before its other fields are judged.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a, D: Deserialize<'de>"))]
struct Read<'a, D> {
    #[serde(borrow, default)]
    specversion: Option<Text<'a>>,
    #[serde(default)]
    schemaversion: Option<u64>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    source: Option<Text<'a>>,
    #[serde(borrow, default)]
    r#type: Option<Text<'a>>,
    #[serde(borrow, default)]
    subject: Option<Text<'a>>,
    #[serde(borrow, default)]
    time: Option<Text<'a>>,
    #[serde(default)]
    data: Option<D>,
}

/// What must be an object: serde would read an array as a struct's fields in their order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl<'a> Event<'a> {
    /// Which event this is, and when it occurred.
    #[must_use]
    pub fn id(&self) -> EventId {
        match self {
            Self::User(event) => event.id,
            Self::Heartbeat { id } => *id,
        }
    }

    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::User(event) => Event::User(event.into_owned()),
            Self::Heartbeat { id } => Event::Heartbeat { id },
        }
    }

    /// The message's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let (source, subject, r#type, data) = match self {
            Self::User(event) => {
                let source = format!("{SOURCE_PREFIX}{}", event.user_pool_id);
                (source, Some(event.sub), event.kind.as_str(), Some(&event.data))
            }
            Self::Heartbeat { .. } => ("user-sync".to_owned(), None, HEARTBEAT, None),
        };
        let id = self.id();
        let written = Written {
            specversion: SPEC_VERSION,
            id: id.uuid(),
            source,
            r#type,
            subject,
            time: id.time(),
            datacontenttype: "application/json",
            schemaversion: SCHEMA_VERSION,
            data,
        };
        // Strings, numbers and maps with string keys only: serde_json has nothing here to refuse.
        let text = serde_json::to_string(&written).unwrap_or_default();
        // SQS takes every character that XML 1.0 does, and these two are none ("SendMessage", Amazon SQS API
        // Reference). They stand inside strings only, where JSON can escape them.
        if text.contains(['\u{fffe}', '\u{ffff}']) {
            return text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
        }
        text
    }

    /// Reads a message's text.
    ///
    /// U+0000 is stripped from every text in `data`, because PostgreSQL cannot store it. Fields that this
    /// build does not know are ignored.
    ///
    /// # Errors
    /// Says what is wrong and in which field. A message that fails once fails always.
    pub fn decode(text: &'a str) -> Result<Self, DecodeError> {
        if text.len() > MESSAGE_MAX_BYTES {
            return Err(DecodeError::Oversized {
                field: "$".into(),
                limit: MESSAGE_MAX_BYTES,
                actual: text.len(),
            });
        }
        // At once, as nearly every message can be read. Of one that cannot, what is wrong is found step by step, or that
        // its `data` need not be read: a heartbeat's, or of a version or type that is not known here.
        match serde_json::from_str(text) {
            Ok(Object(read)) => Self::of(read, |Object(data)| Ok(data)),
            Err(_) => Self::of(parse(text, "")?, |data: &RawValue| parse(data.get(), "data")),
        }
    }

    fn of<D>(
        read: Read<'a, D>,
        data: impl FnOnce(D) -> Result<Data<'a>, DecodeError>,
    ) -> Result<Self, DecodeError> {
        if read.specversion.as_deref().is_some_and(|version| version != SPEC_VERSION) {
            return Err(DecodeError::UnknownVersion { field: "specversion" });
        }
        required(read.specversion, "specversion")?;
        match read.schemaversion {
            Some(1..=SCHEMA_VERSION) => {}
            Some(_) => return Err(DecodeError::UnknownVersion { field: "schemaversion" }),
            None => return Err(DecodeError::malformed("schemaversion", "missing")),
        }
        let id = EventId::from_uuid(parse_uuid(&required(read.id, "id")?, "id")?)?;
        let time = Timestamp::parse(&required(read.time, "time")?)
            .map_err(|error| DecodeError::malformed("time", error.to_string()))?;
        if time != id.time() {
            return Err(DecodeError::IdTimeMismatch);
        }
        let r#type = required(read.r#type, "type")?;
        if r#type == HEARTBEAT {
            return Ok(Self::Heartbeat { id });
        }
        let kind = Kind::parse(&r#type).ok_or(DecodeError::UnknownType)?;
        let sub = parse_uuid(&required(read.subject, "subject")?, "subject")?;
        let source = required(read.source, "source")?;
        let user_pool_id = source
            .after(SOURCE_PREFIX)
            .filter(|pool| is_user_pool_id(pool))
            .ok_or_else(|| DecodeError::malformed("source", "not of the form cognito/<user pool id>"))?;
        let mut data = read.data.map(data).transpose()?.unwrap_or_default();
        data.strip_nul();
        data.check()?;
        Ok(Self::User(UserEvent { id, user_pool_id, sub, kind, data }))
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

impl<'a> Data<'a> {
    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Data<'static> {
        let owned = |text: Option<Text<'_>>| text.map(Text::into_owned);
        let Self { user_name, client_id, status, federated, enabled, created_at, attributes, client } = self;
        let Client { ip, user_agent, device, location, referral_code } = client;
        Data {
            user_name: owned(user_name),
            client_id: owned(client_id),
            status: owned(status),
            federated,
            enabled,
            created_at,
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

    /// Drops what is over the contract's limits, so that [`Event::decode`] accepts the rest.
    ///
    /// Cognito cannot produce most of it; ClientMetadata can (131,072 characters a value). A user agent
    /// keeps its head, which is the part that says something; anything else that was cut would be wrong.
    pub fn bound(&mut self) {
        self.strip_nul();
        let fits = |text: &Text<'_>| text.chars().count() <= TEXT_MAX_CHARS;
        let head = |text: Text<'a>| match fits(&text) {
            true => text,
            false => text.chars().take(TEXT_MAX_CHARS).collect::<String>().into(),
        };
        self.client.user_agent = self.client.user_agent.take().map(head);
        let Client { ip, user_agent: _, device, location, referral_code } = &mut self.client;
        for text in
            [&mut self.user_name, &mut self.client_id, &mut self.status, ip, device, location, referral_code]
        {
            *text = text.take().filter(fits);
        }
        self.attributes.retain(|name, value| {
            name.chars().count() <= ATTRIBUTE_NAME_MAX_CHARS
                && value.chars().count() <= ATTRIBUTE_VALUE_MAX_CHARS
        });
        while self.attributes.len() > ATTRIBUTES_MAX {
            self.attributes.pop_last();
        }
    }

    fn check(&self) -> Result<(), DecodeError> {
        let own = [
            ("data.user_name", &self.user_name),
            ("data.client_id", &self.client_id),
            ("data.status", &self.status),
        ];
        for (field, text) in own.into_iter().chain(self.client.texts()) {
            check_chars(field, text.as_deref().unwrap_or_default(), TEXT_MAX_CHARS)?;
        }
        let count = self.attributes.len();
        if count > ATTRIBUTES_MAX {
            return Err(DecodeError::Oversized {
                field: "data.attributes".into(),
                limit: ATTRIBUTES_MAX,
                actual: count,
            });
        }
        for (name, value) in &self.attributes {
            check_chars("data.attributes", name, ATTRIBUTE_NAME_MAX_CHARS)?;
            check_chars_of(|| format!("data.attributes.{name}"), value, ATTRIBUTE_VALUE_MAX_CHARS)?;
        }
        Ok(())
    }

    fn strip_nul(&mut self) {
        let Client { ip, user_agent, device, location, referral_code } = &mut self.client;
        let own = [&mut self.user_name, &mut self.client_id, &mut self.status];
        let client = [ip, user_agent, device, location, referral_code];
        for text in own.into_iter().chain(client).flatten().chain(self.attributes.values_mut()) {
            text.remove('\0');
        }
        if self.attributes.keys().any(|name| name.contains('\0')) {
            let attributes = std::mem::take(&mut self.attributes);
            let stripped = |(mut name, value): (Text<'a>, _)| {
                name.remove('\0');
                (name, value)
            };
            self.attributes = attributes.into_iter().map(stripped).collect();
        }
    }
}

/// Whether a text can be a user pool's id: Cognito's have at most 55 characters ("UserPoolType", Cognito API
/// Reference).
pub(crate) fn is_user_pool_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_MAX_CHARS && !text.contains('\0')
}

/// Parses JSON and says where it went wrong, without quoting what stood there.
fn parse<'a, T: Deserialize<'a>>(text: &'a str, root: &str) -> Result<T, DecodeError> {
    // serde would read an array as a struct's fields in their order.
    if text.trim_start().starts_with('[') {
        return Err(DecodeError::malformed(
            if root.is_empty() { "$" } else { root },
            "an array, not an object",
        ));
    }
    // Keeping track of the path costs as much as parsing does, and only what cannot be read needs it.
    if let Ok(parsed) = serde_json::from_str(text) {
        return Ok(parsed);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = match (root, path.as_str()) {
            ("", "." | "?" | "") => "$".to_owned(),
            ("", path) => path.to_owned(),
            (root, "." | "?" | "") => root.to_owned(),
            (root, path) => format!("{root}.{path}"),
        };
        // Text that is no JSON has no fields.
        let field = match error.inner().classify() {
            serde_json::error::Category::Data => field,
            serde_json::error::Category::Eof
            | serde_json::error::Category::Io
            | serde_json::error::Category::Syntax => if root.is_empty() { "$" } else { root }.to_owned(),
        };
        // A path holds attribute names, which are the message's own text: bound it.
        let field =
            field.chars().take(2 * ATTRIBUTE_NAME_MAX_CHARS).filter(|c| !c.is_control()).collect::<String>();
        DecodeError::malformed(field, category(error.inner()))
    })?;
    deserializer.end().map_err(|_| DecodeError::malformed("$", "text after the JSON value"))?;
    Ok(parsed)
}

fn category(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => {
            format!("missing or of the wrong type at line {line} column {column}")
        }
        serde_json::error::Category::Eof => format!("JSON ends too early at line {line} column {column}"),
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => {
            format!("not JSON at line {line} column {column}")
        }
    }
}

fn required<'a>(value: Option<Text<'a>>, field: &str) -> Result<Text<'a>, DecodeError> {
    value.ok_or_else(|| DecodeError::malformed(field, "missing"))
}

fn parse_uuid(text: &str, field: &str) -> Result<Uuid, DecodeError> {
    Uuid::try_parse(text).map_err(|_| DecodeError::malformed(field, "not a UUID"))
}

fn check_chars(field: &str, text: &str, limit: usize) -> Result<(), DecodeError> {
    check_chars_of(|| field.to_owned(), text, limit)
}

fn check_chars_of(field: impl FnOnce() -> String, text: &str, limit: usize) -> Result<(), DecodeError> {
    // A character is at least a byte: short texts, nearly all of them, are not walked.
    if text.len() <= limit {
        return Ok(());
    }
    match text.chars().count() {
        actual if actual > limit => Err(DecodeError::Oversized { field: field(), limit, actual }),
        _ => Ok(()),
    }
}
