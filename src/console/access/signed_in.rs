//! Writes down who signed in, once for each sign-in. Must not know how it was proved.
//!
//! Reading goes on where the primary is down, so this keeps nobody out: what is not written is in the log, by the session's id.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;

use super::rights::{Right, Rights};
use super::session::{SESSION_LASTS, after};
use crate::console::Console;
use crate::store::console::trail::{self, Deed, Did};

/// How long who was not seen must be away for the next request to be a sign-in. The load balancer says of none when it began.
const AWAY: Duration = Duration::from_secs(3_600);

/// How many people are remembered. Who is forgotten is written down once more.
const PEOPLE_MAX: usize = 1_000;

/// How long a sign-in waits to be written down.
const WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
struct Seen {
    noted: Timestamp,
    last: Timestamp,
}

/// Whom the load balancer has signed in, by their sessions.
#[derive(Debug, Default)]
pub(super) struct SignIns(Mutex<HashMap<String, Seen>>);

impl SignIns {
    /// Whether a request is somebody's first: after an hour without one, or after a session's length.
    pub(super) fn is_new(&self, session: &str, now: Timestamp) -> bool {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = people.get_mut(session) {
            let goes_on = now < after(seen.last, AWAY) && now < after(seen.noted, SESSION_LASTS);
            seen.last = seen.last.max(now);
            if !goes_on {
                seen.noted = now;
            }
            return !goes_on;
        }
        if people.len() >= PEOPLE_MAX {
            let oldest = people.iter().min_by_key(|(_, seen)| seen.last).map(|(session, _)| session.clone());
            oldest.map(|session| people.remove(&session));
        }
        people.insert(session.to_owned(), Seen { noted: now, last: now });
        true
    }
}

/// Writes down that somebody signed in. Waits for it a while; the writing itself goes on.
pub(super) async fn write(console: &Console, name: &str, session: &str, rights: Rights) {
    let rights: Vec<&str> = rights.all().into_iter().map(Right::name).collect();
    let result = Some(format!("may {}", rights.join(", ")));
    let deed = Deed { who: name.to_owned(), did: Did::SignedIn, what: None, reason: None, result };
    let (primary, session) = (console.primary.clone(), session.to_owned());
    let writing = tokio::spawn(async move {
        if let Err(error) = trail::write(&primary, &deed).await {
            let error = crate::logging::causes(&error);
            tracing::warn!(error, console.session = session, "a sign-in was not written down");
        }
    });
    drop(tokio::time::timeout(WAIT, writing).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_unix_millis(minutes * 60_000)
    }

    #[test]
    fn a_sign_in_is_new_once_until_somebody_was_away() {
        let sign_ins = SignIns::default();
        assert!(sign_ins.is_new("ada", at(0)));
        // A page that is open asks again and again.
        assert!((1..720).all(|minute| !sign_ins.is_new("ada", at(minute))));
        assert!(sign_ins.is_new("ada", at(720)), "a working day is over");
        assert!(!sign_ins.is_new("ada", at(721)));
        assert!(sign_ins.is_new("ada", at(721 + 60)), "an hour away");
        assert!(sign_ins.is_new("bob", at(722)));
    }

    #[test]
    fn no_more_people_are_remembered_than_there_is_room_for() {
        let sign_ins = SignIns::default();
        for person in 0..=PEOPLE_MAX {
            assert!(sign_ins.is_new(&person.to_string(), at(0)));
        }
        assert_eq!(sign_ins.0.lock().unwrap_or_else(PoisonError::into_inner).len(), PEOPLE_MAX);
    }
}
