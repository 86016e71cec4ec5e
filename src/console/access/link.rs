//! One-time links: who sees what the command prints comes in, once. Pure but for their memory: must not know HTTP.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cognito_user_sync_triggers::timestamp::Timestamp;
use ring::digest;

use super::seal::{NoRandomness, random};
use super::session::after;

/// How long a link is good at most.
pub(super) const LINK_LASTS: Duration = Duration::from_secs(15 * 60);

/// How many links are remembered, used and expired ones too: the oldest is forgotten, and good for nothing.
const LINKS_MAX: usize = 16;

/// Why a link lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoEntry {
    /// Somebody came in by it, at this time.
    Used(Timestamp),
    /// Nobody came in by it in time.
    Expired,
    /// It was never made, or forgotten, or made before the console was started again.
    Unknown,
}

#[derive(Debug)]
struct Link {
    number: u64,
    /// Of the token: what is in memory lets nobody in.
    hash: Vec<u8>,
    until: Timestamp,
    used: Option<Timestamp>,
}

/// The links that were made.
#[derive(Debug)]
pub(super) struct Links {
    /// How long each is good.
    lasts: Duration,
    made: Mutex<(u64, Vec<Link>)>,
}

impl Default for Links {
    fn default() -> Self {
        Self::lasting(LINK_LASTS)
    }
}

impl Links {
    /// Each is good for so long, and no longer than [`LINK_LASTS`].
    pub(super) fn lasting(lasts: Duration) -> Self {
        Self { lasts: lasts.min(LINK_LASTS), made: Mutex::default() }
    }

    /// Makes one, and returns its token.
    pub(super) fn make(&self, now: Timestamp) -> Result<String, NoRandomness> {
        let token = URL_SAFE_NO_PAD.encode(random()?);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, links) = &mut *made;
        *number += 1;
        if links.len() >= LINKS_MAX {
            links.remove(0);
        }
        links.push(Link { number: *number, hash: hash(&token), until: after(now, self.lasts), used: None });
        Ok(token)
    }

    /// Uses a link up, and returns its number.
    ///
    /// Two who come at the same moment are one after the other: one of them comes in.
    pub(super) fn take(&self, token: &str, now: Timestamp) -> Result<u64, NoEntry> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = hash(token);
        // By the hash: how long a comparison takes tells nothing of a token.
        let link = made.1.iter_mut().find(|link| link.hash == hash).ok_or(NoEntry::Unknown)?;
        match link.used {
            Some(at) => Err(NoEntry::Used(at)),
            None if link.until <= now => Err(NoEntry::Expired),
            None => {
                link.used = Some(now);
                Ok(link.number)
            }
        }
    }
}

fn hash(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec()
}

/// The token in what somebody pasted: the whole link, or the token alone.
pub(super) fn token_in(pasted: &str) -> &str {
    let pasted = pasted.trim();
    pasted.rsplit_once("token=").map_or(pasted, |(_, token)| token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    #[test]
    fn a_link_is_good_once_and_says_when_it_was_used() {
        let links = Links::default();
        let (one, two) = (links.make(at(0)).unwrap(), links.make(at(0)).unwrap());
        assert_eq!((one.len(), one == two), (43, false), "256 bits each");
        assert_eq!(links.take(&two, at(5)), Ok(2));
        assert_eq!(links.take(&two, at(6)), Err(NoEntry::Used(at(5))));
        assert_eq!(links.take(&one, at(7)), Ok(1), "one link for a colleague does not end another one");
        for unknown in ["", "x", &one[1..], &format!("{one}x")] {
            assert_eq!(links.take(unknown, at(7)), Err(NoEntry::Unknown));
        }
    }

    #[test]
    fn a_link_is_good_for_a_quarter_of_an_hour_and_the_oldest_are_forgotten() {
        let links = Links::default();
        let (early, late) = (links.make(at(0)).unwrap(), links.make(at(0)).unwrap());
        assert_eq!(links.take(&early, at(900_000 - 1)), Ok(1));
        assert_eq!(links.take(&late, at(900_000)), Err(NoEntry::Expired));
        for _ in 0..LINKS_MAX {
            links.make(at(0)).unwrap();
        }
        assert_eq!(links.take(&late, at(1)), Err(NoEntry::Unknown));
    }

    #[test]
    fn a_pasted_link_is_its_token() {
        for pasted in ["abc_-", " abc_-\n", "http://127.0.0.1:8787/enter?token=abc_-"] {
            assert_eq!(token_in(pasted), "abc_-");
        }
    }
}
