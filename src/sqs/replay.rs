//! Events out of what was saved of the trigger's log: lines, CloudWatch's exports, gzip, or events themselves.
//! Pure but for the reading; must not know where the events go.
//!
//! An event is taken from a whole line, a whole CSV field or a string of a sound JSON document, in the places
//! where an export puts a log's line, and from nowhere else: a user's own attribute is a text inside of them,
//! and must never become an event of its own. What looks like an event and cannot be read is said.
//!
//! **Invariant:** one line, record or string is held at a time, of at most [`TEXT_MAX_BYTES`], however long an input
//! is; but an object under the key `undelivered` of a JSON document is held whole.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use cognito_user_sync_triggers::event::{DecodeError, Event};
use cognito_user_sync_triggers::undelivered;
use flate2::bufread::MultiGzDecoder;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Most bytes of one line, record or text. A message has at most 1 MiB, and quoting may double it.
pub const TEXT_MAX_BYTES: usize = 2 * 1_048_576;

/// Bytes of an input's first line that tell its form.
const FIRST_LINE_MAX_BYTES: u64 = 65_536;

/// The first two bytes of gzip (RFC 1952). A file of an export may have several members.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Where in an input something stands, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line; of a record or a printed object, the first one.
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

/// What looks like an event and is none. Quotes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It cannot be decoded.
    #[error(transparent)]
    Event(#[from] DecodeError),
    /// A line or a record is longer than any event.
    #[error("longer than {TEXT_MAX_BYTES} bytes, so it was not read")]
    TooLong,
    /// Bytes that are no text.
    #[error("not UTF-8: save the log again as UTF-8")]
    NotUtf8,
    /// It stands where no export puts a log's line.
    #[error("an event in a place where no known export has one: give one event or log line a line, as text")]
    Elsewhere,
    /// A JSON document is damaged, and nothing after this place was read.
    #[error("not sound JSON, so nothing from here on was read: export the log again")]
    Document,
}

/// Reads an input whole. `found` is told every event, and everything that looks like one and is none; returns how
/// many lines, records or messages were passed over because they are neither.
///
/// # Errors
/// When the input cannot be read on; what was found before stands.
pub fn read(
    input: impl Read,
    found: &mut dyn FnMut(Place, Result<Event<'static>, ReadError>),
) -> io::Result<u64> {
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
    found: &mut dyn FnMut(Place, Result<Event<'static>, ReadError>),
) -> io::Result<u64> {
    let mut first = Vec::new();
    (&mut input).take(FIRST_LINE_MAX_BYTES).read_until(b'\n', &mut first)?;
    // A byte order mark: UTF-8's is no part of the text.
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
        Form::Lines => lines(input, &mut finder)?,
        Form::Records { column } => records(input, column, &mut finder)?,
        Form::Document => document(input, &mut finder)?,
    }
    Ok(finder.passed_over)
}

/// How an input is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A log: as it was written, as S3 exports and `aws logs tail` have it, or one JSON object a line.
    Lines,
    /// CSV with a header, as Logs Insights exports it.
    Records { column: usize },
    /// JSON over several lines, or an object of many log messages: the answers of `aws logs`, and what a
    /// subscription delivers.
    Document,
}

impl Form {
    /// Told by the first line.
    fn of(line: &str) -> Self {
        let line = line.trim();
        let is_list = line.strip_prefix('[').is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.is_empty() || rest.starts_with(['{', '[', '"', ']'])
        });
        // The keys of FilterLogEvents and GetLogEvents, of GetQueryResults, of a subscription's data message.
        let is_envelope = line.starts_with('{')
            && !line.contains(r#""specversion""#)
            && [r#""events""#, r#""results""#, r#""logEvents""#].iter().any(|key| line.contains(key));
        if line == "{" || is_list || is_envelope {
            return Self::Document;
        }
        let is_message = |field: &str| matches!(field.trim().trim_matches('"'), "@message" | "message");
        line.split(',').position(is_message).map_or(Self::Lines, |column| Self::Records { column })
    }
}

struct Finder<'a> {
    found: &'a mut dyn FnMut(Place, Result<Event<'static>, ReadError>),
    passed_over: u64,
}

impl Finder<'_> {
    /// Judges a text that may be an event or an `undelivered` line.
    fn text(&mut self, place: Place, text: &str) {
        match event(text) {
            Some(read) => self.tell(place, read.map_err(ReadError::from)),
            None => self.passed_over += 1,
        }
    }

    fn bytes(&mut self, place: Place, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(place, text),
            Err(_) if undelivered::is_one(&String::from_utf8_lossy(bytes)) => {
                self.tell(place, Err(ReadError::NotUtf8));
            }
            Err(_) => self.passed_over += 1,
        }
    }

    fn tell(&mut self, place: Place, read: Result<Event<'static>, ReadError>) {
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

/// The next line, its end included, as far as it is not too long.
enum Line {
    Whole,
    TooLong,
}

fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<Line>> {
    line.clear();
    let limit = u64::try_from(TEXT_MAX_BYTES).unwrap_or(u64::MAX);
    input.by_ref().take(limit).read_until(b'\n', line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() < TEXT_MAX_BYTES || line.ends_with(b"\n") {
        return Ok(Some(Line::Whole));
    }
    let mut rest = Vec::new();
    while !rest.ends_with(b"\n") {
        rest.clear();
        if input.by_ref().take(limit).read_until(b'\n', &mut rest)? == 0 {
            break;
        }
    }
    Ok(Some(Line::TooLong))
}

/// A log's lines. An object that is printed over several lines, as `aws logs tail --format json` does, is one.
fn lines(mut input: impl BufRead, finder: &mut Finder<'_>) -> io::Result<()> {
    let (mut line, mut printed) = (Vec::new(), Printed::default());
    let mut number = 0;
    while let Some(read) = next_line(&mut input, &mut line)? {
        number += 1;
        if printed.takes(&line) {
            continue;
        }
        printed.end(finder);
        match read {
            Line::TooLong => finder.tell(Place::Line(number), Err(ReadError::TooLong)),
            Line::Whole if printed.starts_with(number, &line) => {}
            Line::Whole => finder.bytes(Place::Line(number), &line),
        }
    }
    printed.end(finder);
    Ok(())
}

/// An object printed over several lines: a line that ends in `{`, indented ones, and a `}`.
#[derive(Default)]
struct Printed {
    number: u64,
    text: Vec<u8>,
    is_whole: bool,
}

impl Printed {
    fn starts_with(&mut self, number: u64, line: &[u8]) -> bool {
        if line.trim_ascii_end().ends_with(b"{") {
            *self = Self { number, text: line.to_owned(), is_whole: false };
        }
        !self.text.is_empty()
    }

    /// Whether a line belongs to the object.
    fn takes(&mut self, line: &[u8]) -> bool {
        let is_end = line.trim_ascii_end() == b"}";
        let is_part = is_end || line.starts_with(b" ") || line.starts_with(b"\t");
        let is_taken = !self.text.is_empty()
            && !self.is_whole
            && is_part
            && self.text.len() + line.len() <= TEXT_MAX_BYTES;
        if is_taken {
            self.text.extend_from_slice(line);
            self.is_whole = is_end;
        }
        is_taken
    }

    fn end(&mut self, finder: &mut Finder<'_>) {
        let Self { number, text, .. } = std::mem::take(self);
        if text.is_empty() {
            return;
        }
        // What a log put before the object, as far as it is no event itself.
        let start = text.iter().position(|byte| *byte == b'{').unwrap_or_default();
        finder.bytes(Place::Line(number), text.get(start..).unwrap_or(&text));
    }
}

/// CSV, one column of which is the log's lines.
fn records(mut input: impl BufRead, column: usize, finder: &mut Finder<'_>) -> io::Result<()> {
    let (mut line, mut record) = (Vec::new(), Vec::new());
    let (mut number, mut first, mut quotes) = (0, 1, 0);
    while let Some(read) = next_line(&mut input, &mut line)? {
        number += 1;
        if record.is_empty() {
            (first, quotes) = (number, 0);
        }
        record.extend_from_slice(&line);
        quotes += line.iter().filter(|byte| **byte == b'"').count();
        if matches!(read, Line::TooLong) || record.len() > TEXT_MAX_BYTES {
            finder.tell(Place::Line(first), Err(ReadError::TooLong));
            record.clear();
        }
        // A field that holds a line end is quoted, and a quote within it is doubled.
        if quotes % 2 == 0 {
            field(&record, column, Place::Line(first), finder);
            record.clear();
        }
    }
    field(&record, column, Place::Line(first), finder);
    Ok(())
}

fn field(record: &[u8], column: usize, place: Place, finder: &mut Finder<'_>) {
    if record.is_empty() {
        return;
    }
    // A parser costs more than most records, which are other lines.
    let text = String::from_utf8_lossy(record);
    if !undelivered::is_one(&text) && !text.contains("specversion") {
        finder.passed_over += 1;
        return;
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record);
    let parsed = reader.byte_records().next().and_then(Result::ok).unwrap_or_default();
    let in_column = parsed.get(column).unwrap_or_default();
    let elsewhere = parsed.iter().enumerate().filter(|(index, _)| *index != column).map(|(_, field)| field);
    for other in elsewhere {
        if undelivered::is_one(&String::from_utf8_lossy(other)) {
            finder.tell(place, Err(ReadError::Elsewhere));
        }
    }
    finder.bytes(place, in_column);
}

/// JSON documents, one after the other.
fn document(input: impl BufRead, finder: &mut Finder<'_>) -> io::Result<()> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(ShortStrings::of(input)));
    let mut messages = 0;
    while json.end().is_err() {
        let walk = Walk { finder: &mut *finder, messages: &mut messages, expects: Expects::Anything };
        if let Err(error) = walk.deserialize(&mut json) {
            let line = u64::try_from(error.line()).unwrap_or(u64::MAX);
            if error.is_io() {
                return Err(error.into());
            }
            finder.tell(Place::Line(line), Err(ReadError::Document));
            break;
        }
    }
    Ok(())
}

/// What a value is, by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// A log's line, if it is a string.
    Message,
    /// Nothing of a log, if it is a string.
    Anything,
}

/// Goes through a JSON value and judges each string of it.
struct Walk<'a, 'b> {
    finder: &'a mut Finder<'b>,
    messages: &'a mut u64,
    expects: Expects,
}

impl<'b> Walk<'_, 'b> {
    fn inner(&mut self, expects: Expects) -> Walk<'_, 'b> {
        Walk { finder: self.finder, messages: self.messages, expects }
    }

    fn message(&mut self, text: &str) {
        *self.messages += 1;
        self.finder.text(Place::Message(*self.messages), text);
    }

    fn elsewhere(&mut self, text: &str) {
        if undelivered::is_one(text) {
            self.finder.tell(Place::Message(*self.messages + 1), Err(ReadError::Elsewhere));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        match self.expects {
            Expects::Message => self.message(text),
            Expects::Anything => self.elsewhere(text),
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    /// `aws logs … --query 'events[].message'` gives a list of lines.
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self.inner(Expects::Message))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        // A result of Logs Insights is a list of {"field": …, "value": …}.
        let (mut field, mut value) = (None::<String>, None::<String>);
        while let Some(key) = object.next_key::<Cow<'_, str>>()? {
            match key.as_ref() {
                "message" | "@message" => object.next_value_seed(self.inner(Expects::Message))?,
                "field" => field = text(&mut object)?,
                "value" => value = text(&mut object)?,
                // The whole line, as JSON and not as a text.
                "undelivered" => {
                    let event = object.next_value::<Box<RawValue>>()?;
                    if event.get().starts_with('{') {
                        *self.messages += 1;
                        let event =
                            Event::decode(event.get()).map(Event::into_owned).map_err(ReadError::from);
                        self.finder.tell(Place::Message(*self.messages), event);
                    }
                }
                "specversion" => {
                    object.next_value::<IgnoredAny>()?;
                    self.finder.tell(Place::Message(*self.messages + 1), Err(ReadError::Elsewhere));
                }
                _ => object.next_value_seed(self.inner(Expects::Anything))?,
            }
        }
        match (field.as_deref(), value) {
            (Some("@message" | "message"), Some(value)) => self.message(&value),
            (_, Some(value)) => self.elsewhere(&value),
            (_, None) => {}
        }
        Ok(())
    }
}

/// A member's value, if it is a string.
fn text<'de, A: MapAccess<'de>>(object: &mut A) -> Result<Option<String>, A::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        String(String),
        Other(IgnoredAny),
    }
    Ok(match object.next_value()? {
        Text::String(text) => Some(text),
        Text::Other(_) => None,
    })
}

/// Fails when a JSON string grows too long, so that no input can fill the memory.
struct ShortStrings<R> {
    input: R,
    in_string: bool,
    is_escaped: bool,
    bytes: usize,
}

impl<R> ShortStrings<R> {
    fn of(input: R) -> Self {
        Self { input, in_string: false, is_escaped: false, bytes: 0 }
    }
}

impl<R: Read> Read for ShortStrings<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        for byte in buffer.iter().take(length) {
            match byte {
                b'"' if !self.is_escaped => (self.in_string, self.bytes) = (!self.in_string, 0),
                _ => self.bytes += usize::from(self.in_string),
            }
            self.is_escaped = self.in_string && *byte == b'\\' && !self.is_escaped;
            if self.bytes > TEXT_MAX_BYTES {
                return Err(io::Error::other(ReadError::TooLong));
            }
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cognito_user_sync_triggers::event::EventId;
    use cognito_user_sync_triggers::timestamp::Timestamp;
    use proptest::prelude::*;

    fn heartbeat(millis: u64) -> Event<'static> {
        Event::Heartbeat { id: EventId::new(Timestamp::from_unix_millis(millis)) }
    }

    /// Gives one byte at a time, as a slow pipe may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(buffer.get_mut(..length).unwrap())
        }
    }

    type Found = (Place, Result<Event<'static>, ReadError>);

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
        assert_eq!((read, ended), (vec![(Place::Line(1), Ok(event))], Some(0)));
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
        ] {
            assert_eq!(Form::of(line), form, "{line}");
        }
    }

    proptest! {
        /// Pieces of logs and exports in any order: nothing panics, nothing is invented, and a line that stands
        /// by itself in a log is found.
        #[test]
        fn whatever_stands_around_it_only_a_written_event_is_found(
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
                prop_assert!(read.is_err() || *read == Ok(event.clone()));
            }
            let log = format!("START\n{text}\n{line}\n");
            let whole = |(_, read): &Found| *read == Ok(event.clone());
            let is_lines = !text.contains('{');
            prop_assert!(!is_lines || found(log.as_bytes()).0.iter().any(whole), "{}", log);
        }
    }
}
