//! A digest of what an event reports of a user, and of what a row's newest event reported: where they are the same, the
//! event changes nothing but what depends on its time. Pure.

use cognito_user_sync_triggers::event::{EventId, UserEvent};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::store::model::profile;
use crate::store::model::state::{RESERVED, Registers, reported};

/// Of what an event reports.
pub(in crate::store) fn of_event(event: &UserEvent<'_>) -> Uuid {
    digest(reported(event), event.id)
}

/// Of what the newest event that reported anything reported. What is left from earlier ones has a version of its own,
/// which an event that does not report it leaves as it is.
pub(in crate::store) fn of_registers(registers: &Registers) -> Option<Uuid> {
    let newest = registers.values().map(|register| register.version).max()?;
    let attributes = registers.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    let own = RESERVED.iter().filter_map(|name| registers.get_key_value(*name));
    let of_newest = attributes.chain(own).filter(|(_, register)| register.version == newest);
    let of_newest =
        of_newest.map(|(name, register)| (name.as_str(), register.value.as_str(), register.flag.as_deref()));
    Some(digest(of_newest, newest))
}

/// 128 bits of SHA-256 over the texts, each with its length before it, so that none runs into the next. What else a column
/// depends on is one of them: a birthdate that was not yet there at the event's time says another thing later.
fn digest<'a>(reported: impl Iterator<Item = (&'a str, &'a str, Option<&'a str>)>, version: EventId) -> Uuid {
    let mut bytes = Vec::with_capacity(512);
    let mut text = |text: Option<&str>| {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
    };
    for (name, value, flag) in reported {
        text(Some(name));
        text(Some(value));
        text(flag);
        if name == "birthdate" && profile::is_yet_to_come(value, version.time()) {
            text(Some("yet to come"));
        }
    }
    let bits =
        Sha256::digest(&bytes).iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    Uuid::from_u128(bits)
}
