//! How much an event may hold: the limits, and how an event is brought within them or refused. Knows nothing of the
//! wire.

use std::collections::BTreeMap;

use super::{Client, Data, DecodeError, GroupEvent};
use crate::text::Text;

/// Most characters an attribute's value may have: eight times what Cognito stores in a standard or a
/// custom attribute (2,048: "Working with user attributes", Cognito Developer Guide), because `identities`
/// is a list.
pub const ATTRIBUTE_VALUE_MAX_CHARS: usize = 16_384;
/// Most characters an attribute's name may have. Cognito's own limit is 20 after `custom:`.
pub const ATTRIBUTE_NAME_MAX_CHARS: usize = 128;
/// Most attributes an event may carry. Cognito's own limit is 50 custom ones beside some 20 standard ones.
pub const ATTRIBUTES_MAX: usize = 256;
/// Most characters of every other text in an event. Cognito's longest, the user name, has at most 128.
pub const TEXT_MAX_CHARS: usize = 1_024;
/// Most characters of a group's name: Cognito's own limit (`GroupName`, "CreateGroup", Cognito API Reference).
pub const GROUP_NAME_MAX_CHARS: usize = 128;
/// Most bytes of one SQS message, its attributes included ("Amazon SQS message quotas").
pub const MESSAGE_MAX_BYTES: usize = 1_048_576;

impl<'a> Data<'a> {
    /// Drops what is over the contract's limits, so that [`super::Event::decode`] accepts the rest.
    ///
    /// Cognito cannot produce most of it; ClientMetadata can (131,072 characters a value). A user agent
    /// keeps its head, which is the part that says something; anything else that was cut would be wrong. An event that
    /// lost an attribute says that it is partial.
    pub fn bound(&mut self) {
        self.strip_nul();
        let known = self.attributes.len();
        let fits = |text: &Text<'_>| text.chars().count() <= TEXT_MAX_CHARS;
        let head = |text: Text<'a>| match fits(&text) {
            true => text,
            false => text.chars().take(TEXT_MAX_CHARS).collect::<String>().into(),
        };
        self.client.user_agent = self.client.user_agent.take().map(head);
        let Client { ip, user_agent: _, device, location, referral_code } = &mut self.client;
        for text in
            [&mut self.user_name, &mut self.client_id, &mut self.status, ip, device, location, referral_code]
        {
            *text = text.take().filter(fits);
        }
        self.attributes.retain(|name, value| {
            name.chars().count() <= ATTRIBUTE_NAME_MAX_CHARS
                && value.chars().count() <= ATTRIBUTE_VALUE_MAX_CHARS
        });
        while self.attributes.len() > ATTRIBUTES_MAX {
            self.attributes.pop_last();
        }
        self.partial |= self.attributes.len() < known;
    }

    pub(super) fn check(&self) -> Result<(), DecodeError> {
        let own = [
            ("data.user_name", &self.user_name),
            ("data.client_id", &self.client_id),
            ("data.status", &self.status),
        ];
        for (field, text) in own.into_iter().chain(self.client.texts()) {
            check_chars(field, text.as_deref().unwrap_or_default(), TEXT_MAX_CHARS)?;
        }
        let count = self.attributes.len();
        if count > ATTRIBUTES_MAX {
            return Err(DecodeError::Oversized {
                field: "data.attributes".into(),
                limit: ATTRIBUTES_MAX,
                actual: count,
            });
        }
        for (name, value) in &self.attributes {
            check_chars("data.attributes", name, ATTRIBUTE_NAME_MAX_CHARS)?;
            check_chars_of(|| format!("data.attributes.{name}"), value, ATTRIBUTE_VALUE_MAX_CHARS)?;
        }
        Ok(())
    }

    pub(super) fn strip_nul(&mut self) {
        let Client { ip, user_agent, device, location, referral_code } = &mut self.client;
        let own = [&mut self.user_name, &mut self.client_id, &mut self.status];
        let client = [ip, user_agent, device, location, referral_code];
        for text in own.into_iter().chain(client).flatten().chain(self.attributes.values_mut()) {
            text.remove('\0');
        }
        if self.attributes.keys().any(|name| name.contains('\0')) {
            let attributes = std::mem::take(&mut self.attributes).into_iter();
            let (odd, others): (BTreeMap<_, _>, _) = attributes.partition(|(name, _)| name.contains('\0'));
            self.attributes = others;
            for (mut name, value) in odd {
                name.remove('\0');
                // What has the name without it is what is meant by it.
                self.attributes.entry(name).or_insert(value);
            }
        }
    }
}

impl GroupEvent<'_> {
    /// Of a name nothing is judged but its length: Cognito may allow other characters some day.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        if self.group.is_empty() {
            return Err(DecodeError::malformed("data.group", "empty"));
        }
        check_chars("data.group", &self.group, GROUP_NAME_MAX_CHARS)
    }
}

pub(super) fn check_chars(field: &str, text: &str, limit: usize) -> Result<(), DecodeError> {
    check_chars_of(|| field.to_owned(), text, limit)
}

fn check_chars_of(field: impl FnOnce() -> String, text: &str, limit: usize) -> Result<(), DecodeError> {
    // A character is at least a byte: short texts, nearly all of them, are not walked.
    if text.len() <= limit {
        return Ok(());
    }
    match text.chars().count() {
        actual if actual > limit => Err(DecodeError::Oversized { field: field(), limit, actual }),
        _ => Ok(()),
    }
}
