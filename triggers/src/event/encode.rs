//! Writes an event as a message's text. Must not judge what it writes: [`super::Data::bound`] does that before.

use serde::Serialize;
use uuid::Uuid;

use super::{Context, Data, Event, Failures, PoolSeen, SCHEMA_VERSION, SOURCE_PREFIX, SPEC_VERSION};
use crate::timestamp::Timestamp;

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
    data: Option<WrittenData<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenData<'a> {
    User(&'a Data<'a>),
    Group { group: &'a str },
    Context(&'a Context<'a>),
    Failures(&'a Failures<'a>),
    Heartbeat { pools: &'a [PoolSeen] },
}

impl Event<'_> {
    /// The message's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let (subject, data) = match self {
            Self::User(event) => (Some(event.sub), Some(WrittenData::User(&event.data))),
            Self::Group(event) => (event.change.user(), Some(WrittenData::Group { group: &event.group })),
            Self::Context(event) => (event.sub, Some(WrittenData::Context(&event.data))),
            Self::Failures(event) => (None, Some(WrittenData::Failures(&event.data))),
            Self::Heartbeat { pools, .. } => {
                (None, (!pools.is_empty()).then_some(WrittenData::Heartbeat { pools }))
            }
        };
        let source = match self.user_pool_id() {
            Some(user_pool_id) => format!("{SOURCE_PREFIX}{user_pool_id}"),
            None => "user-sync".to_owned(),
        };
        let id = self.id();
        let written = Written {
            specversion: SPEC_VERSION,
            id: id.uuid(),
            source,
            r#type: self.r#type(),
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
}
