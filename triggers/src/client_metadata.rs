//! Which ClientMetadata keys mean what: the allow list. Nothing else of ClientMetadata is ever forwarded. And which
//! attribute has the referral code where no ClientMetadata reaches.

use std::collections::BTreeMap;

use crate::event::{ATTRIBUTE_NAME_MAX_CHARS, Client};
use crate::text::Text;

/// The name of the variable that sets the keys.
pub const VARIABLE: &str = "USER_SYNC_CLIENT_METADATA_KEYS";
/// The name of the variable that names the attribute.
pub const REFERRAL_CODE_ATTRIBUTE_VARIABLE: &str = "USER_SYNC_REFERRAL_CODE_ATTRIBUTE";

/// The application's names for the five things that ClientMetadata may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMetadataKeys {
    ip: String,
    user_agent: String,
    device: String,
    location: String,
    referral_code: String,
    referral_code_attribute: Option<String>,
}

impl Default for ClientMetadataKeys {
    fn default() -> Self {
        Self {
            ip: "ip".into(),
            user_agent: "user_agent".into(),
            device: "device".into(),
            location: "location".into(),
            referral_code: "referral_code".into(),
            referral_code_attribute: None,
        }
    }
}

impl ClientMetadataKeys {
    /// Reads `ip=clientIp,user_agent=ua`: a meaning that is not named keeps its own name as its key.
    ///
    /// # Errors
    /// Names the part that could not be read, and the meanings there are.
    pub fn parse(text: &str) -> Result<Self, InvalidClientMetadataKeys> {
        let mut keys = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let invalid = || InvalidClientMetadataKeys { part: part.to_owned() };
            let (meaning, key) = part.split_once('=').ok_or_else(invalid)?;
            let place = match meaning.trim() {
                "ip" => &mut keys.ip,
                "user_agent" => &mut keys.user_agent,
                "device" => &mut keys.device,
                "location" => &mut keys.location,
                "referral_code" => &mut keys.referral_code,
                _ => return Err(invalid()),
            };
            if key.trim().is_empty() {
                return Err(invalid());
            }
            key.trim().clone_into(place);
        }
        Ok(keys)
    }

    /// The same, and a referral code that ClientMetadata does not say is that of an attribute, such as
    /// `custom:referral_code`. A name that is blank names none.
    ///
    /// # Errors
    /// When no attribute can have the name.
    pub fn or_attribute(self, name: &str) -> Result<Self, InvalidAttribute> {
        let name = name.trim();
        let is_odd = |character: char| character.is_whitespace() || character.is_control();
        if name.contains(is_odd) || name.chars().count() > ATTRIBUTE_NAME_MAX_CHARS {
            return Err(InvalidAttribute { name: name.chars().take(ATTRIBUTE_NAME_MAX_CHARS).collect() });
        }
        Ok(Self { referral_code_attribute: Some(name.to_owned()).filter(|name| !name.is_empty()), ..self })
    }

    /// The referral code that the attributes say, where `client` says none.
    pub fn referral_code(
        &self,
        client: &Client<'_>,
        attributes: &BTreeMap<Text<'_>, Text<'_>>,
    ) -> Option<Text<'static>> {
        let name = self.referral_code_attribute.as_deref()?;
        if client.referral_code.as_deref().and_then(value).is_some() {
            return None;
        }
        value(attributes.get(name)?).map(|code| code.to_owned().into())
    }

    /// What `lookup` finds under the allow-listed keys; an empty or blank value is not a value.
    pub fn select(&self, lookup: impl Fn(&str) -> Option<String>) -> Client<'static> {
        let find =
            |key: &str| Some(Text::from(lookup(key)?.trim().to_owned())).filter(|value| !value.is_empty());
        Client {
            ip: find(&self.ip),
            user_agent: find(&self.user_agent),
            device: find(&self.device),
            location: find(&self.location),
            referral_code: find(&self.referral_code),
        }
    }
}

/// What a text says, without what cannot be seen around it; a word that programs write for nothing is no value.
fn value(text: &str) -> Option<&str> {
    let is_unseen = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    let text = text.trim_matches(is_unseen);
    let placeholders = ["undefined", "null", "(null)", "<null>", "NaN", "N/A", "[object Object]"];
    let is_placeholder = placeholders.iter().any(|word| text.eq_ignore_ascii_case(word));
    Some(text).filter(|text| !text.is_empty() && !is_placeholder)
}

/// The variable names what can be no attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{REFERRAL_CODE_ATTRIBUTE_VARIABLE}: {name:?} is no attribute's name, which has at most {ATTRIBUTE_NAME_MAX_CHARS} \
     characters and no white space, such as custom:referral_code"
)]
pub struct InvalidAttribute {
    name: String,
}

/// A part of the variable that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE}: {part:?} is not of the form meaning=key, with a meaning of ip, user_agent, device, location or referral_code"
)]
pub struct InvalidClientMetadataKeys {
    part: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_meaning_that_is_not_named_keeps_its_own_name() {
        let keys = ClientMetadataKeys::parse(" ip = clientIp , referral_code=ref,").unwrap();
        let client = keys.select(|key| Some(format!(" <{key}> ")));
        assert_eq!(client.ip.as_deref(), Some("<clientIp>"));
        assert_eq!(client.user_agent.as_deref(), Some("<user_agent>"));
        assert_eq!(client.referral_code.as_deref(), Some("<ref>"));
        assert_eq!(keys.select(|_| Some("  ".into())), Client::default());
    }

    #[test]
    fn the_attribute_counts_where_client_metadata_says_no_code() {
        let keys = ClientMetadataKeys::default().or_attribute(" custom:referral_code ").unwrap();
        let attributes =
            |code: &str| BTreeMap::from([("custom:referral_code".into(), code.to_owned().into())]);
        let check = |client: Option<&str>, attribute: &str, expected: Option<&str>| {
            let client = Client { referral_code: client.map(Into::into), ..Client::default() };
            assert_eq!(
                keys.referral_code(&client, &attributes(attribute)).as_deref(),
                expected,
                "{attribute:?}"
            );
        };
        check(None, "ABCD-EFGH-JKMN-PQRS", Some("ABCD-EFGH-JKMN-PQRS"));
        check(None, "\u{feff} friend \u{200b}\n", Some("friend"));
        check(None, "undefined-friend", Some("undefined-friend"));
        for nothing in ["", "  ", "\u{200b}", "undefined", "NULL", " null ", "(null)", "[object Object]"] {
            check(None, nothing, None);
            check(Some(nothing), "friend", Some("friend"));
        }
        check(Some("another"), "friend", None);
        let other = ClientMetadataKeys::default().or_attribute("custom:other").unwrap();
        for keys in
            [other, ClientMetadataKeys::default(), ClientMetadataKeys::default().or_attribute(" ").unwrap()]
        {
            assert_eq!(keys.referral_code(&Client::default(), &attributes("friend")), None);
        }
    }

    #[test]
    fn what_can_be_no_attribute_is_refused() {
        for name in ["custom: referral", "a\tb", "a\u{0}b", &"x".repeat(129)] {
            let message = ClientMetadataKeys::default().or_attribute(name).unwrap_err().to_string();
            assert!(
                message.starts_with(REFERRAL_CODE_ATTRIBUTE_VARIABLE) && message.len() < 400,
                "{message}"
            );
        }
    }

    #[test]
    fn an_unreadable_part_is_named() {
        for text in ["ip", "ip=", "password=pw", "ip=a,=b"] {
            let message = ClientMetadataKeys::parse(text).unwrap_err().to_string();
            assert!(message.starts_with(VARIABLE), "{message}");
        }
    }
}
