//! What a browser keeps of a session, sealed: who it is, what it may, until when, and whose data it has revealed. Pure:
//! must not know how a session began.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::rights::Rights;
use super::seal::Seal;

/// How long a session lasts: a working day.
pub(super) const SESSION_LASTS: Duration = Duration::from_secs(12 * 3_600);

/// How long a user's data stay revealed.
pub(super) const REVEAL_LASTS: Duration = Duration::from_secs(600);

/// The longest name that a session keeps, in characters.
const NAME_MAX_CHARS: usize = 128;

const SESSION: &str = "session 1";
const REVEAL: &str = "reveal 1";

/// A time so much later.
pub(super) fn after(now: Timestamp, lasts: Duration) -> Timestamp {
    let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_millis(now.unix_millis().saturating_add(millis))
}

/// Who has come in by a one-time link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) rights: Rights,
    pub(super) until: Timestamp,
}

impl Session {
    pub(super) fn begin(name: &str, rights: Rights, now: Timestamp) -> Self {
        let name = name.chars().take(NAME_MAX_CHARS).collect();
        Self { id: Uuid::now_v7(), name, rights, until: after(now, SESSION_LASTS) }
    }

    pub(super) fn seal(&self, seal: &Seal) -> String {
        sealed(seal, SESSION, self)
    }

    /// The session, unless it is over or not of our making.
    pub(super) fn open(seal: &Seal, cookie: &str, now: Timestamp) -> Option<Self> {
        opened(seal, SESSION, cookie).filter(|session: &Self| session.until > now)
    }
}

/// That a session may see one user's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reveal {
    session: String,
    pub(super) user: Uuid,
    pub(super) until: Timestamp,
}

impl Reveal {
    pub(super) fn begin(session: &str, user: Uuid, now: Timestamp) -> Self {
        Self { session: session.to_owned(), user, until: after(now, REVEAL_LASTS) }
    }

    pub(super) fn seal(&self, seal: &Seal) -> String {
        sealed(seal, REVEAL, self)
    }

    /// What this session has revealed, unless that is over.
    pub(super) fn open(seal: &Seal, session: &str, cookie: &str, now: Timestamp) -> Option<Self> {
        opened(seal, REVEAL, cookie).filter(|reveal: &Self| reveal.session == session && reveal.until > now)
    }
}

fn sealed(seal: &Seal, purpose: &str, value: &impl Serialize) -> String {
    // Texts, flags and times have a form in JSON.
    seal.seal(purpose, &serde_json::to_vec(value).unwrap_or_default())
}

fn opened<T: DeserializeOwned>(seal: &Seal, purpose: &str, cookie: &str) -> Option<T> {
    serde_json::from_slice(&seal.open(purpose, cookie)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::console::access::rights::Right;

    #[test]
    fn a_session_is_what_was_sealed_until_it_is_over() {
        let (seal, now) = (Seal::with(&[7; 32]), Timestamp::from_unix_millis(1_000));
        let session = Session::begin("ada", Rights::of(&[Right::Reveal]), now);
        let cookie = session.seal(&seal);
        assert_eq!(Session::open(&seal, &cookie, now).as_ref(), Some(&session));
        let last = Timestamp::from_unix_millis(session.until.unix_millis() - 1);
        assert_eq!(Session::open(&seal, &cookie, last), Some(session.clone()));
        assert_eq!(Session::open(&seal, &cookie, session.until), None);
        assert_eq!(Session::open(&Seal::with(&[8; 32]), &cookie, now), None);
        assert_eq!(session.until.unix_millis() - now.unix_millis(), 12 * 3_600_000);
        assert_eq!(Session::begin(&"x".repeat(9_000), Rights::default(), now).name.len(), 128);
    }

    #[test]
    fn what_is_revealed_is_one_users_to_one_session_for_ten_minutes() {
        let (seal, now) = (Seal::with(&[7; 32]), Timestamp::from_unix_millis(1_000));
        let user = Uuid::now_v7();
        let reveal = Reveal::begin("one", user, now);
        let cookie = reveal.seal(&seal);
        assert_eq!(Reveal::open(&seal, "one", &cookie, now), Some(reveal.clone()));
        assert_eq!(Reveal::open(&seal, "other", &cookie, now), None);
        assert_eq!(Reveal::open(&seal, "one", &cookie, reveal.until), None);
        assert_eq!(reveal.until.unix_millis() - now.unix_millis(), 600_000);
        let session = Session::begin("ada", Rights::default(), now).seal(&seal);
        assert_eq!(Reveal::open(&seal, "one", &session, now), None, "a session reveals nobody");
    }
}
