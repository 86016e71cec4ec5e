//! Which ClientMetadata keys mean what: the allow list. Nothing else of ClientMetadata is ever forwarded.

use crate::event::Client;
use crate::text::Text;

/// The name of the variable that sets the keys.
pub const VARIABLE: &str = "USER_SYNC_CLIENT_METADATA_KEYS";

/// The application's names for the five things that ClientMetadata may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMetadataKeys {
    ip: String,
    user_agent: String,
    device: String,
    location: String,
    referral_code: String,
}

impl Default for ClientMetadataKeys {
    fn default() -> Self {
        Self {
            ip: "ip".into(),
            user_agent: "user_agent".into(),
            device: "device".into(),
            location: "location".into(),
            referral_code: "referral_code".into(),
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
    fn an_unreadable_part_is_named() {
        for text in ["ip", "ip=", "password=pw", "ip=a,=b"] {
            let message = ClientMetadataKeys::parse(text).unwrap_err().to_string();
            assert!(message.starts_with(VARIABLE), "{message}");
        }
    }
}
