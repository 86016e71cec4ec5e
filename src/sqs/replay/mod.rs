//! Reads events from saved logs of the trigger: log lines, CloudWatch's exports, gzip, or events themselves; and finds
//! what may be others' records of sign-ins. Must not know where the events go, or what records say.
//!
//! We take an event from a whole line, a whole CSV field or a string of a valid JSON document, in the places where an
//! export puts a log's line, and from nowhere else: a user's own attribute is a text inside one of these, and must
//! never become an event. What looks like an event and cannot be read is reported.
//!
//! **Invariant:** we hold one line, record or string at a time, of at most [`TEXT_MAX_BYTES`], however long the input
//! is. The exceptions are an object under the key `undelivered` of a JSON document, and one of the list `Records`, which
//! are held whole.

mod document;
mod lines;
mod records;

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use cognito_user_sync_triggers::event::{DecodeError, Event};
use cognito_user_sync_triggers::undelivered;
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Most bytes of one line, record or text. A message has at most 1 MiB, and quoting may double it.
pub const TEXT_MAX_BYTES: usize = 2 * 1_048_576;

/// Bytes of an input's first line that we look at to tell its form.
const FIRST_LINE_MAX_BYTES: u64 = 65_536;

/// The first two bytes of gzip (RFC 1952). A file of an export may have several members.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A place in an input, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line; for a record or a printed object, its first line.
    Line(u64),
    /// A log message of a JSON document.
    Message(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Message(number) => write!(f, "log message {number}"),
        }
    }
}

/// What an input holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every one is an event")]
pub enum Item {
    /// An event.
    Event(Event<'static>),
    /// A JSON object that may be a record of a sign-in: of CloudTrail, or of threat protection's log.
    Record(String),
}

/// Why something that looks like an event is not one. Quotes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It cannot be decoded.
    #[error(transparent)]
    Event(#[from] DecodeError),
    /// A line or a record is longer than any event.
    #[error("longer than {TEXT_MAX_BYTES} bytes, so it was not read")]
    TooLong,
    /// The bytes are not UTF-8.
    #[error("not UTF-8: save the log again as UTF-8")]
    NotUtf8,
    /// It is in a place where no export puts a log's line.
    #[error(
        "an event in a place where no known export puts one: write one event or log line per line, as text"
    )]
    Elsewhere,
    /// A JSON document is damaged, and nothing after this place was read.
    #[error("not valid JSON, so nothing after this place was read: export the log again")]
    Document,
}

/// Reads a whole input. Calls `found` with every event, with what may be a record, and with everything that looks like an
/// event and is not. Returns how many lines, records or messages were skipped because they are neither.
///
/// # Errors
/// When reading the input fails; what was found before is valid.
pub fn read(input: impl Read, found: &mut dyn FnMut(Place, Result<Item, ReadError>)) -> io::Result<u64> {
    let mut input = BufReader::new(input);
    let mut first = Vec::new();
    (&mut input).take(2).read_to_end(&mut first)?;
    let is_gzip = first == GZIP;
    let input = BufReader::new(Cursor::new(first).chain(input));
    if is_gzip {
        return read_plain(BufReader::new(MultiGzDecoder::new(input)), found);
    }
    read_plain(input, found)
}

fn read_plain(
    mut input: impl BufRead,
    found: &mut dyn FnMut(Place, Result<Item, ReadError>),
) -> io::Result<u64> {
    let mut first = Vec::new();
    (&mut input).take(FIRST_LINE_MAX_BYTES).read_until(b'\n', &mut first)?;
    // A byte order mark. UTF-8's is not part of the text.
    if first.starts_with(&[0xff, 0xfe]) || first.starts_with(&[0xfe, 0xff]) {
        found(Place::Line(1), Err(ReadError::NotUtf8));
        return Ok(0);
    }
    if first.starts_with(&[0xef, 0xbb, 0xbf]) {
        first.drain(..3);
    }
    let form = Form::of(&String::from_utf8_lossy(&first));
    let input = BufReader::new(Cursor::new(first).chain(input));
    let mut finder = Finder { found, passed_over: 0 };
    match form {
        Form::Lines => lines::read(input, &mut finder)?,
        Form::Records { column } => records::read(input, column, &mut finder)?,
        Form::Document => document::read(input, &mut finder)?,
    }
    Ok(finder.passed_over)
}

/// The form of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A log: as it was written, as S3 exports and `aws logs tail` print it, or one JSON object a line.
    Lines,
    /// CSV with a header, as Logs Insights exports it.
    Records { column: usize },
    /// JSON over several lines, or an object with many log messages: the responses of `aws logs`, and what a
    /// subscription delivers.
    Document,
}

impl Form {
    /// Recognizes the form by the first line.
    fn of(line: &str) -> Self {
        let line = line.trim();
        let is_list = line.strip_prefix('[').is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.is_empty() || rest.starts_with(['{', '[', '"', ']'])
        });
        // The keys of FilterLogEvents and GetLogEvents, of GetQueryResults, of a subscription's data message; and how a file
        // of CloudTrail begins.
        let is_envelope = line.starts_with('{')
            && !line.contains(r#""specversion""#)
            && [r#""events""#, r#""results""#, r#""logEvents""#].iter().any(|key| line.contains(key));
        let is_envelope = is_envelope || line.starts_with(r#"{"Records""#);
        if line == "{" || is_list || is_envelope {
            return Self::Document;
        }
        let is_message = |field: &str| matches!(field.trim().trim_matches('"'), "@message" | "message");
        line.split(',').position(is_message).map_or(Self::Lines, |column| Self::Records { column })
    }
}

/// Decides whether a text is an event, and passes on what it is.
struct Finder<'a> {
    found: &'a mut dyn FnMut(Place, Result<Item, ReadError>),
    passed_over: u64,
}

impl Finder<'_> {
    /// Judges a text that may be an event or an `undelivered` line, or hold records.
    fn text(&mut self, place: Place, text: &str) {
        match event(text) {
            Some(read) => self.report(place, read.map(Item::Event).map_err(ReadError::from)),
            None => self.records(place, text),
        }
    }

    /// Judges an element of CloudTrail's list, where no export puts an event.
    fn record(&mut self, place: Place, element: &str) {
        match event(element) {
            Some(_) => self.report(place, Err(ReadError::Elsewhere)),
            None => self.records(place, element),
        }
    }

    fn records(&mut self, place: Place, text: &str) {
        let records = records_of(text);
        self.passed_over += u64::from(records.is_empty());
        for record in records {
            self.report(place, Ok(Item::Record(record.to_owned())));
        }
    }

    fn bytes(&mut self, place: Place, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(place, text),
            Err(_) if undelivered::is_one(&String::from_utf8_lossy(bytes)) => {
                self.report(place, Err(ReadError::NotUtf8));
            }
            Err(_) => self.passed_over += 1,
        }
    }

    fn report(&mut self, place: Place, read: Result<Item, ReadError>) {
        (self.found)(place, read);
    }
}

/// The event that a text is or holds as an `undelivered` line.
fn event(text: &str) -> Option<Result<Event<'static>, DecodeError>> {
    #[derive(Deserialize)]
    struct Bare<'a> {
        #[serde(borrow, default)]
        specversion: Option<&'a RawValue>,
    }
    let object = text.trim();
    if object.starts_with('{') && object.contains(r#""specversion""#) {
        match serde_json::from_str::<Bare<'_>>(object) {
            Ok(bare) if bare.specversion.is_some() => {
                return Some(Event::decode(object).map(Event::into_owned));
            }
            Ok(_) => {}
            Err(_) => {
                return undelivered::read(text)
                    .or_else(|| Some(Event::decode(object).map(Event::into_owned)));
            }
        }
    }
    undelivered::read(text)
}

/// The objects of a text that may be records of sign-ins: one, or one after the other as Firehose writes them. Before them
/// may stand what an export puts there: a time, and a stream.
fn records_of(text: &str) -> Vec<&str> {
    let start = text.find('{').unwrap_or(text.len());
    let (before, objects) = text.split_at(start);
    let is_exports = before.trim().is_empty() || before.starts_with(|first: char| first.is_ascii_digit());
    if !is_exports || before.split_whitespace().count() > 2 || !is_record(objects) {
        return Vec::new();
    }
    let objects = serde_json::Deserializer::from_str(objects).into_iter::<&RawValue>();
    objects.map_while(Result::ok).map(RawValue::get).filter(|object| is_record(object)).collect()
}

/// Whether an object has a member that both kinds of records have, or that the message of one of them has.
fn is_record(object: &str) -> bool {
    [r#""eventSource""#, r#""eventResponse""#].iter().any(|name| object.contains(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cognito_user_sync_triggers::event::EventId;
    use cognito_user_sync_triggers::timestamp::Timestamp;
    use proptest::prelude::*;

    fn heartbeat(millis: u64) -> Event<'static> {
        Event::heartbeat(EventId::new(Timestamp::from_unix_millis(millis)))
    }

    /// Gives one byte at a time, as a slow pipe may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(buffer.get_mut(..length).unwrap())
        }
    }

    type Found = (Place, Result<Item, ReadError>);

    fn found(input: impl Read) -> (Vec<Found>, Option<u64>) {
        let mut found = Vec::new();
        let ended = read(input, &mut |place, read| found.push((place, read)));
        (found, ended.ok())
    }

    #[test]
    fn gzip_is_known_however_slowly_it_comes() {
        let event = heartbeat(1_790_000_000_123);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, undelivered::line(&event, "x").as_bytes()).unwrap();
        let (read, ended) = found(Slow(&encoder.finish().unwrap()));
        assert_eq!((read, ended), (vec![(Place::Line(1), Ok(Item::Event(event)))], Some(0)));
        assert_eq!(found(Slow(&[0x1f])), (vec![], Some(1)));
    }

    #[test]
    fn the_first_line_tells_the_form() {
        let document = Form::Document;
        for (line, form) in [
            ("{", document),
            ("[", document),
            ("[{\"timestamp\":1}]", document),
            ("{\"events\": [{\"message\":", document),
            ("[INFO] starting", Form::Lines),
            (
                "{\"level\":\"ERROR\",\"message\":\"undelivered\",\"undelivered\":{\"specversion\"",
                Form::Lines,
            ),
            ("START RequestId: 1", Form::Lines),
            ("", Form::Lines),
            ("@timestamp,@message", Form::Records { column: 1 }),
            ("\"timestamp\",\"message\"", Form::Records { column: 1 }),
            ("message", Form::Records { column: 0 }),
            ("{\"Records\":[{\"eventVersion\"", document),
            ("{\"eventTimestamp\":\"1\",\"eventSource\":\"USER_ACTIVITY\"", Form::Lines),
        ] {
            assert_eq!(Form::of(line), form, "{line}");
        }
    }

    #[test]
    fn records_are_found_where_exports_put_them_and_nowhere_else() {
        let call = r#"{"eventSource":"cognito-idp.amazonaws.com","eventName":"InitiateAuth"}"#;
        let message = r#"{"eventSource":"USER_ACTIVITY","message":{"eventResponse":"Pass"}}"#;
        let bare = r#"{"eventId":"1","eventResponse":"Pass"}"#;
        let quoted = serde_json::to_string(message).unwrap();
        let text = |call: &str| serde_json::to_string(call).unwrap();
        for (input, expected) in [
            (format!("{message}\n{bare}\n\nSTART\n"), (vec![message, bare], 2)),
            (format!("2026-11-23T15:31:00.000Z {message}\n"), (vec![message], 0)),
            (format!("2026-11-23T15:31:00+00:00 stream {message}\n"), (vec![message], 0)),
            (format!("{message}{bare}{message}"), (vec![message, bare, message], 0)),
            (format!("{message} and so on"), (vec![message], 0)),
            (format!("{{\"Records\":[{call},{{}},{call}]}}"), (vec![call, call], 1)),
            (
                format!("{{\n\"Events\":[{{\"EventName\":\"x\",\"CloudTrailEvent\":{}}}]}}", text(call)),
                (vec![call], 0),
            ),
            (format!("{{\"events\":[{{\"timestamp\":1,\"message\":{quoted}}}]}}"), (vec![message], 0)),
            (format!("{{\"logEvents\":[{{\"message\":{quoted}}}]}}"), (vec![message], 0)),
            (format!("@message\n\"{}\"\n", message.replace('"', "\"\"")), (vec![message], 1)),
            (format!("[INFO] somebody says {message}\n"), (vec![], 1)),
            (format!("1 2 3 {message}\n"), (vec![], 1)),
            (format!("{{\"said\":{quoted}}}\n"), (vec![], 1)),
            (format!("{{\"Records\":{quoted}}}"), (vec![], 0)),
            (message.get(..40).unwrap().to_owned(), (vec![], 1)),
        ] {
            let (read, ended) = found(input.as_bytes());
            let record = |(_, read): Found| match read {
                Ok(Item::Record(record)) => record,
                other => panic!("{input}: {other:?}"),
            };
            let records: Vec<String> = read.into_iter().map(record).collect();
            assert_eq!((records.iter().map(String::as_str).collect(), ended.unwrap()), expected, "{input}");
        }
    }

    proptest! {
        /// Pieces of logs and exports in any order: nothing panics, nothing is invented, and a line that stands
        /// by itself in a log is found.
        #[test]
        fn whatever_is_around_it_only_a_written_event_is_found(
            pieces in prop::collection::vec(0..14_usize, 0..12),
        ) {
            let event = heartbeat(1_790_000_000_123);
            let line = undelivered::line(&event, "x");
            let quoted = serde_json::to_string(&line).unwrap();
            let encoded = event.encode();
            let vocabulary = [
                line.as_str(), &quoted, &encoded, line.get(..60).unwrap(), "\n", "\r\n", "{", "}", "[", ",", "\"",
                "\"message\":", "@message\n", "\u{1f}\u{8b}",
            ];
            let text: String = pieces.iter().map(|piece| *vocabulary.get(*piece).unwrap()).collect();
            let (read, ended) = found(text.as_bytes());
            prop_assert_eq!(&(read.clone(), ended), &found(Slow(text.as_bytes())));
            for (_, read) in &read {
                prop_assert!(read.is_err() || *read == Ok(Item::Event(event.clone())));
            }
            let log = format!("START\n{text}\n{line}\n");
            let whole = |(_, read): &Found| *read == Ok(Item::Event(event.clone()));
            let is_lines = !text.contains('{');
            prop_assert!(!is_lines || found(log.as_bytes()).0.iter().any(whole), "{}", log);
        }
    }
}
