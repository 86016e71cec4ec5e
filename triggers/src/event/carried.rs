//! Reads a message that does not carry its data as `data` in JSON: as `data_base64`, or by a `datacontenttype` of another
//! format, which is refused by name. Knows nothing of what the data says.
//!
//! No producer of this project writes either; CloudEvents permits both ("JSON Event Format for CloudEvents", version 1.0.2).

use aws_smithy_types::base64;
use serde_json::value::RawValue;

use super::Event;
use super::decode::{DecodeError, Read};
use crate::json::Object;

const DATA_BASE64: &str = "data_base64";
const CONTENT_TYPE: &str = "datacontenttype";

impl<D> Read<'_, D> {
    /// Whether the data, if there is any, is what `data` holds.
    pub(super) fn is_plain(&self) -> bool {
        self.data_base64.is_none() && (self.data.is_none() || self.is_json())
    }

    /// Whether the data is said to be JSON, in one of the spellings that CloudEvents' format names, or nothing is said.
    fn is_json(&self) -> bool {
        let Some(value) = self.datacontenttype else { return true };
        if value.get() == r#""application/json""# {
            return true;
        }
        let text: Option<String> = serde_json::from_str(value.get()).ok();
        text.is_some_and(|text| {
            let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let subtype = media_type.split_once('/').map_or("", |(_, subtype)| subtype);
            subtype == "json" || subtype.ends_with("+json")
        })
    }

    /// The JSON text that `data_base64` holds.
    fn text(&self) -> Result<String, DecodeError> {
        if !self.is_json() {
            return Err(DecodeError::malformed(CONTENT_TYPE, "not JSON, which the data must be"));
        }
        if self.data.is_some() {
            return Err(DecodeError::malformed(DATA_BASE64, "there is `data` as well"));
        }
        let value = self.data_base64.map_or("null", RawValue::get);
        let text: Option<String> = serde_json::from_str(value).ok();
        let bytes = text.and_then(|text| base64::decode(text).ok());
        let bytes = bytes.ok_or_else(|| DecodeError::malformed(DATA_BASE64, "not base64"))?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| DecodeError::malformed(DATA_BASE64, "not JSON in UTF-8"))?;
        if !matches!(serde_json::from_str::<&RawValue>(&text), Ok(data) if data.get().starts_with('{')) {
            return Err(DecodeError::malformed(DATA_BASE64, "not a JSON object"));
        }
        Ok(text)
    }
}

/// Reads a message that is not [plain](Read::is_plain), of which `read` is the envelope.
pub(super) fn decode<D>(message: &str, read: &Read<'_, D>) -> Result<Event<'static>, DecodeError> {
    let with = |data| with_data(message, data);
    let refused = match read.text() {
        Ok(data) => {
            let decoded = Event::decode(&with(Some(&data))?).map(Event::into_owned);
            return decoded.map_err(|error| error.within("data", DATA_BASE64));
        }
        Err(refused) => refused,
    };
    // What is wrong with the rest is named first; and a heartbeat is one whatever it carries.
    match Event::decode(&with(None)?) {
        Ok(Event::Heartbeat { id, .. }) => Ok(Event::heartbeat(id)),
        Err(error) if !error.field().starts_with("data") => Err(error),
        Ok(_) | Err(_) => Err(refused),
    }
}

/// The same message, with this as its `data`.
fn with_data(message: &str, data: Option<&str>) -> Result<String, DecodeError> {
    let members: Object<'_> =
        serde_json::from_str(message).map_err(|_| DecodeError::malformed("$", "not a JSON object"))?;
    let envelope =
        members.into_members().filter(|(name, _)| !["data", DATA_BASE64, CONTENT_TYPE].contains(&&**name));
    let members: Vec<String> = envelope
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(&*name), value.get()))
        .chain(data.map(|data| format!("\"data\":{data}")))
        .collect();
    Ok(format!("{{{}}}", members.join(",")))
}
