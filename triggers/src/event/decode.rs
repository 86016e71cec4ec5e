//! Reads a message's text as an event, or says what is wrong with it. Errors name fields and limits, never a value.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::objects::Object;
use super::{
    ATTRIBUTE_NAME_MAX_CHARS, CONTEXT, Context, ContextEvent, Data, Event, EventId, FAILURES, Failures,
    FailuresEvent, GROUP_DELETED, GROUP_JOINED, GROUP_LEFT, GroupChange, GroupEvent, HEARTBEAT, Kind,
    MESSAGE_MAX_BYTES, SCHEMA_VERSION, SOURCE_PREFIX, SPEC_VERSION, UserEvent, carried, heartbeat,
};
use crate::text::Text;
use crate::timestamp::Timestamp;
use crate::user_pool_id;

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

    /// The same of another field, where it is in `from` or within it.
    pub(super) fn within(mut self, from: &str, other: &str) -> Self {
        if let Self::Malformed { field, .. } | Self::Oversized { field, .. } = &mut self
            && let Some(rest) =
                field.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('.'))
        {
            *field = format!("{other}{rest}");
        }
        self
    }
}

/// Everything optional, so that an unknown version is recognised before its other fields are judged.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a, D: Deserialize<'de>"))]
pub(super) struct Read<'a, D> {
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
    #[serde(borrow, default)]
    pub(super) datacontenttype: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) data: Option<D>,
    #[serde(borrow, default)]
    pub(super) data_base64: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
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
        // its `data` need not be read: of a version or type that is not known here. A group's `data` is another, and so is a
        // record's, and a heartbeat's.
        match serde_json::from_str::<Object<Read<'_, Object<Data<'_>>>>>(text) {
            Ok(Object(read)) if read.is_plain() && read.shape() == Shape::User => {
                Self::of(read, |Object(data)| Ok(data))
            }
            Ok(_) | Err(_) => {
                let read: Read<'_, &RawValue> = parse(text, "")?;
                match read.shape() {
                    _ if !read.is_plain() => carried::decode(text, &read),
                    Shape::User => Self::of(read, |data| parse(data.get(), "data")),
                    Shape::Group => Self::of_group(read),
                    Shape::Context => Self::of_context(read),
                    Shape::Failures => Self::of_failures(read),
                    Shape::Heartbeat => Self::of_heartbeat(read),
                }
            }
        }
    }

    fn of<D>(
        mut read: Read<'a, D>,
        data: impl FnOnce(D) -> Result<Data<'a>, DecodeError>,
    ) -> Result<Self, DecodeError> {
        let id = read.identity()?;
        let r#type = required(read.r#type.take(), "type")?;
        let kind = Kind::parse(&r#type).ok_or(DecodeError::UnknownType)?;
        let (sub, user_pool_id) = (read.sub()?, read.user_pool_id()?);
        let is_empty = read.data.is_none();
        let mut data = read.data.map(data).transpose()?.unwrap_or_default();
        // Who read nothing has not read the whole user.
        data.partial |= is_empty && kind == Kind::Snapshot;
        data.strip_nul();
        data.check()?;
        Ok(Self::User(UserEvent { id, user_pool_id, sub, kind, data }))
    }

    fn of_group(mut read: Read<'a, &'a RawValue>) -> Result<Self, DecodeError> {
        let id = read.identity()?;
        let change = match read.r#type.as_deref() {
            Some(GROUP_JOINED) => GroupChange::Joined(read.sub()?),
            Some(GROUP_LEFT) => GroupChange::Left(read.sub()?),
            Some(GROUP_DELETED) => GroupChange::Deleted,
            Some(_) | None => return Err(DecodeError::UnknownType),
        };
        let user_pool_id = read.user_pool_id()?;
        let data = read.data.map(|data| parse(data.get(), "data")).transpose()?;
        let GroupData { group } = data.unwrap_or_default();
        let mut group = required(group, "data.group")?;
        group.remove('\0');
        let event = GroupEvent { id, user_pool_id, group, change };
        event.check()?;
        Ok(Self::Group(event))
    }
}

impl<'a> Event<'a> {
    fn of_context(mut read: Read<'a, &'a RawValue>) -> Result<Self, DecodeError> {
        let id = read.identity()?;
        let sub = read.subject.take().map(|sub| parse_uuid(&sub, "subject")).transpose()?;
        let user_pool_id = read.user_pool_id()?;
        let data = read.data.ok_or_else(|| DecodeError::malformed("data", "missing"))?;
        let mut data: Context<'a> = parse(data.get(), "data")?;
        data.strip_nul();
        data.check()?;
        Ok(Self::Context(ContextEvent { id, user_pool_id, sub, data }))
    }

    /// Whatever it carries, it is one.
    fn of_heartbeat(mut read: Read<'a, &'a RawValue>) -> Result<Self, DecodeError> {
        Ok(Self::Heartbeat { id: read.identity()?, pools: heartbeat::read(read.data) })
    }

    fn of_failures(mut read: Read<'a, &'a RawValue>) -> Result<Self, DecodeError> {
        let id = read.identity()?;
        let user_pool_id = read.user_pool_id()?;
        let data = read.data.ok_or_else(|| DecodeError::malformed("data", "missing"))?;
        let mut data: Failures<'a> = parse(data.get(), "data")?;
        data.strip_nul();
        data.check()?;
        Ok(Self::Failures(FailuresEvent { id, user_pool_id, data }))
    }
}

/// Of which form a message's `data` is, by its type. One that is not known is read as a user's, and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    User,
    Group,
    Context,
    Failures,
    Heartbeat,
}

/// The `data` of what happened to a group.
#[derive(Default, Deserialize)]
struct GroupData<'a> {
    #[serde(borrow, default)]
    group: Option<Text<'a>>,
}

impl<'a, D> Read<'a, D> {
    fn shape(&self) -> Shape {
        match self.r#type.as_deref() {
            Some(CONTEXT) => Shape::Context,
            Some(FAILURES) => Shape::Failures,
            Some(HEARTBEAT) => Shape::Heartbeat,
            Some(r#type) if GroupChange::TYPES.contains(&r#type) => Shape::Group,
            Some(_) | None => Shape::User,
        }
    }

    /// The id, once it is known that this build can read the message.
    fn identity(&mut self) -> Result<EventId, DecodeError> {
        if self.specversion.as_deref().is_some_and(|version| version != SPEC_VERSION) {
            return Err(DecodeError::UnknownVersion { field: "specversion" });
        }
        required(self.specversion.take(), "specversion")?;
        match self.schemaversion {
            Some(1..=SCHEMA_VERSION) => {}
            Some(_) => return Err(DecodeError::UnknownVersion { field: "schemaversion" }),
            None => return Err(DecodeError::malformed("schemaversion", "missing")),
        }
        let id = EventId::from_uuid(parse_uuid(&required(self.id.take(), "id")?, "id")?)?;
        let time = Timestamp::parse(&required(self.time.take(), "time")?)
            .map_err(|error| DecodeError::malformed("time", error.to_string()))?;
        if time != id.time() {
            return Err(DecodeError::IdTimeMismatch);
        }
        Ok(id)
    }

    fn sub(&mut self) -> Result<Uuid, DecodeError> {
        parse_uuid(&required(self.subject.take(), "subject")?, "subject")
    }

    fn user_pool_id(&mut self) -> Result<Text<'a>, DecodeError> {
        let source = required(self.source.take(), "source")?;
        let id = source.after(SOURCE_PREFIX).filter(|id| user_pool_id::is_carried(id));
        id.ok_or_else(|| DecodeError::malformed("source", "not of the form cognito/<user pool id>"))
    }
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
