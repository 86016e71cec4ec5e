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
pub fn line(event: &Event<'_>, cause: &str) -> String {
    let encoded = event.encode();
    let written = RawValue::from_string(encoded).and_then(|event| {
        serde_json::to_string(&Written { level: "ERROR", message: "undelivered", cause, undelivered: &event })
    });
    written.unwrap_or_default()
}

/// The event of an `undelivered` line, wherever in the line it starts; `None` for any other line.
///
/// Reads a log line as it was written, with whatever a log put before it, printed afresh (spaces, the keys in
/// another order), and as an export quotes it: as the text of a JSON object's `message` or `@message`.
///
/// # Errors
/// When the line is an `undelivered` one, and its event cannot be read.
pub fn read(line: &str) -> Option<Result<Event<'static>, DecodeError>> {
    if !is_one(line) {
        return None;
    }
    let start = line.find(MARK).or_else(|| line.find('{')).unwrap_or_default();
    let object = line.get(start..).unwrap_or_default().trim_end();
    if let Ok(read) = serde_json::from_str::<Read<'_>>(object) {
        return Some(Event::decode(read.undelivered.get()).map(Event::into_owned));
    }
    let quoting: Option<Quoting<'_>> = serde_json::from_str(object).ok();
    // Cut, changed, or quoted by nothing known: better a loud error than a lost event.
    let damaged = || Err(DecodeError::malformed("undelivered", "the line is cut or was changed"));
    Some(quoting.and_then(|quoting| read(&quoting.message)).unwrap_or_else(damaged))
}

/// Whether a line is, or quotes in any way, an `undelivered` one: whole, cut or changed.
#[must_use]
pub fn is_one(line: &str) -> bool {
    const QUOTES: [char; 2] = ['"', '\\'];
    line.match_indices("undelivered").any(|(start, _)| {
        let before = line.get(..start).unwrap_or_default();
        let unquoted = before.trim_end_matches(QUOTES);
        let key = unquoted.trim_end().strip_suffix(':').map(str::trim_end).unwrap_or_default();
        unquoted.len() < before.len()
            && key.ends_with(QUOTES)
            && key.trim_end_matches(QUOTES).ends_with("message")
    })
}

const MARK: &str = r#"{"level":"ERROR","message":"undelivered""#;

/// A log event as CloudWatch Logs exports it.
#[derive(Deserialize)]
struct Quoting<'a> {
    #[serde(borrow, alias = "@message")]
    message: std::borrow::Cow<'a, str>,
}
