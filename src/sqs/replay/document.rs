//! Reads JSON documents: the responses of `aws logs`, what a subscription delivers, and CloudTrail's files. Takes an event
//! from the places where such a document holds a log's line, and from nowhere else.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::undelivered;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::sqs::replay::{Finder, Item, Place, ReadError, TEXT_MAX_BYTES};

/// Reads documents, one after the other.
pub(super) fn read(input: impl BufRead, finder: &mut Finder<'_>) -> io::Result<()> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(ShortStrings::of(input)));
    let mut messages = 0;
    while json.end().is_err() {
        let walk = Walk { finder: &mut *finder, messages: &mut messages, expects: Expects::Anything };
        if let Err(error) = walk.deserialize(&mut json) {
            let line = u64::try_from(error.line()).unwrap_or(u64::MAX);
            if error.is_io() {
                return Err(error.into());
            }
            finder.report(Place::Line(line), Err(ReadError::Document));
            break;
        }
    }
    Ok(())
}

/// What a string is, by its place in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// A log's line.
    Message,
    /// Not a string: CloudTrail's list of records.
    Records,
    /// Anything else: an event in it is reported and not taken.
    Anything,
}

/// Walks through a JSON value and looks at each string in it.
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
            self.finder.report(Place::Message(*self.messages + 1), Err(ReadError::Elsewhere));
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
            Expects::Records | Expects::Anything => self.elsewhere(text),
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
        if self.expects == Expects::Records {
            while let Some(record) = list.next_element::<Box<RawValue>>()? {
                *self.messages += 1;
                self.finder.record(Place::Message(*self.messages), record.get());
            }
            return Ok(());
        }
        while list.next_element_seed(self.inner(Expects::Message))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        // A result of Logs Insights is a list of {"field": …, "value": …}.
        let (mut field, mut value) = (None::<String>, None::<String>);
        while let Some(key) = object.next_key::<Cow<'_, str>>()? {
            match key.as_ref() {
                "message" | "@message" | "CloudTrailEvent" => {
                    object.next_value_seed(self.inner(Expects::Message))?
                }
                "field" => field = text(&mut object)?,
                "value" => value = text(&mut object)?,
                // The event itself, as JSON and not as a string.
                "undelivered" => {
                    let event = object.next_value::<Box<RawValue>>()?;
                    if event.get().starts_with('{') {
                        *self.messages += 1;
                        let event = Event::decode(event.get()).map(Event::into_owned);
                        let event = event.map(Item::Event).map_err(ReadError::from);
                        self.finder.report(Place::Message(*self.messages), event);
                    }
                }
                // CloudTrail's file: the records themselves, as JSON.
                "Records" => object.next_value_seed(self.inner(Expects::Records))?,
                "specversion" => {
                    object.next_value::<IgnoredAny>()?;
                    self.finder.report(Place::Message(*self.messages + 1), Err(ReadError::Elsewhere));
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

/// Fails if a JSON string is too long, so that no input can fill the memory.
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
