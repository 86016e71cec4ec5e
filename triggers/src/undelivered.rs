//! The `undelivered` line: an event that could not be queued, whole, in the function's log.
//!
//! The one place where personal data enters a log, because the alternative is to lose it:
//! `user-sync replay` reads these lines and sends the events again verbatim, with the same id and time.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{DecodeError, Event};

#[derive(Serialize)]
struct Written<'a> {
    level: &'static str,
    message: &'static str,
    cause: &'a str,
    undelivered: &'a RawValue,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    undelivered: &'a RawValue,
}

/// The line for `event`, without a line end. `cause` must hold nothing of the event.
#[must_use]
pub fn line(event: &Event, cause: &str) -> String {
    let encoded = event.encode();
    let written = RawValue::from_string(encoded).and_then(|event| {
        serde_json::to_string(&Written { level: "ERROR", message: "undelivered", cause, undelivered: &event })
    });
    written.unwrap_or_default()
}

/// The event of an `undelivered` line, wherever in the line it starts; `None` for any other line.
///
/// Reads a log line as it was written, with whatever a log put before it, and as an export quotes it: as the
/// text of a JSON object's `message` or `@message`.
///
/// # Errors
/// When the line is an `undelivered` one, and its event cannot be read.
pub fn read(line: &str) -> Option<Result<Event, DecodeError>> {
    let damaged = || DecodeError::malformed("undelivered", "the line is cut or was changed");
    if let Some(start) = line.find(MARK) {
        let object = line.get(start..)?.trim_end();
        return Some(match serde_json::from_str::<Read<'_>>(object) {
            Ok(read) => Event::decode(read.undelivered.get()),
            Err(_) => Err(damaged()),
        });
    }
    if !line.contains(&MARK.replace('"', "\\\"")) {
        return None;
    }
    let quoting: Option<Quoting<'_>> =
        line.find('{').and_then(|start| serde_json::from_str(line.get(start..)?).ok());
    // Quoted but not by anything known: better a loud error than a lost event.
    Some(quoting.and_then(|quoting| read(&quoting.message)).unwrap_or_else(|| Err(damaged())))
}

const MARK: &str = r#"{"level":"ERROR","message":"undelivered""#;

/// A log event as CloudWatch Logs exports it.
#[derive(Deserialize)]
struct Quoting<'a> {
    #[serde(borrow, alias = "@message")]
    message: std::borrow::Cow<'a, str>,
}
