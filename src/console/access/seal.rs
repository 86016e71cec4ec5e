//! Values that a browser keeps for us and cannot change: signed, not secret. Pure: must not know what they say.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// The fewest bytes that a key of the operator's may have: as many as HMAC-SHA256 gives out (RFC 2104, section 3).
pub(super) const KEY_MIN_BYTES: usize = 32;

/// The longest value that is looked at; browsers keep no longer ones (RFC 6265, section 6.1).
const MAX_BYTES: usize = 4_096;

/// The system gives no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// 256 bits that nobody can guess.
pub(super) fn random() -> Result<[u8; 32], NoRandomness> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// HMAC-SHA256 under one key.
pub(super) struct Seal(hmac::Key);

impl fmt::Debug for Seal {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    pub(super) fn with(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// `value` with its signature. What is sealed for one purpose opens for no other.
    pub(super) fn seal(&self, purpose: &str, value: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &message(purpose, value));
        format!("{}.{}", URL_SAFE_NO_PAD.encode(value), URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// The value, if we sealed it for this purpose. Compares in constant time.
    pub(super) fn open(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let sealed = Some(sealed).filter(|sealed| sealed.len() <= MAX_BYTES)?;
        let (value, tag) = sealed.split_once('.')?;
        let decoded = |text| URL_SAFE_NO_PAD.decode(text).ok();
        let (value, tag) = (decoded(value)?, decoded(tag)?);
        hmac::verify(&self.0, &message(purpose, &value), &tag).ok()?;
        Some(value)
    }
}

/// What is signed: no purpose has a zero byte, so no two pairs are one message.
fn message(purpose: &str, value: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), &[0], value].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_was_sealed_for_this_purpose_by_this_key_opens() {
        let (ours, others) = (Seal::with(&[7; 32]), Seal::with(&[8; 32]));
        let sealed = ours.seal("session", b"ada");
        assert_eq!(ours.open("session", &sealed).unwrap(), b"ada");
        assert_eq!(others.open("session", &sealed), None);
        assert_eq!(ours.open("reveal", &sealed), None);
        assert_eq!(ours.open("", &ours.seal("a", b"")), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(ours.open("session", &changed), None, "{changed}");
            assert_eq!(ours.open("session", &sealed[..at]), None, "cut at {at}");
        }
        assert_eq!(ours.open("session", &format!("{sealed}=")), None);
        assert_eq!(ours.open("session", &"A".repeat(5_000)), None);
    }

    #[test]
    fn no_key_is_shown_and_no_two_randoms_are_one() {
        assert_eq!(format!("{:?}", Seal::with(b"secret")), "Seal(..)");
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
