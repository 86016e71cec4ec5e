//! What the last readings know of one user. Receives nothing. Must not know a page.

use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::console::dead_letters::letter::Letter;
use crate::console::dead_letters::reader::Reader;
use crate::console::dead_letters::reasons::Reason;
use crate::console::dead_letters::view;

/// Most dead letters of one user that are known here; its others are on their own page.
const MAX: usize = 100;

/// The dead letters of a user, as far as somebody read them.
#[derive(Debug, Clone, Default)]
pub(in crate::console) struct OfUser {
    /// Whether this console has a dead-letter queue to read.
    pub(in crate::console) is_readable: bool,
    /// When the queues were read last; of several the earlier time. `None` where one was not.
    pub(in crate::console) read_at: Option<Timestamp>,
    /// Whether those readings received every message.
    pub(in crate::console) is_complete: bool,
    pub(in crate::console) letters: Vec<UserLetter>,
}

/// A dead letter of a user: nothing of it is personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console) struct UserLetter {
    /// When its event happened; when it was first sent, where it is no event.
    pub(in crate::console) at: Timestamp,
    pub(in crate::console) id: String,
    pub(in crate::console) url: String,
    pub(in crate::console) reason: String,
    pub(in crate::console) meaning: &'static str,
    pub(in crate::console) kind: String,
}

impl Reader {
    /// What the last readings know of this user.
    pub(in crate::console) fn of_user(&self, user: Uuid) -> OfUser {
        let readings: Vec<_> = self.mailboxes().iter().map(|mailbox| mailbox.found()).collect();
        let is_readable = !readings.is_empty();
        let is_complete = readings.iter().flatten().all(|found| found.is_complete);
        // Not known of one queue is not known.
        let read_at = readings.iter().map(|found| found.as_ref().map(|found| found.at));
        let read_at = read_at.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min());
        let letters = readings.iter().flatten().flat_map(|found| &found.letters);
        let letters = letters.filter(|letter| letter.user == Some(user)).take(MAX).map(UserLetter::of);
        OfUser { is_readable, read_at, is_complete, letters: letters.collect() }
    }
}

impl UserLetter {
    fn of(letter: &Letter) -> Self {
        Self {
            at: happened(letter).unwrap_or_else(|| Timestamp::from_unix_millis(0)),
            id: letter.key().to_owned(),
            url: view::url(&letter.id),
            reason: letter.reason.clone(),
            meaning: Reason::of(&letter.reason).map_or("", |reason| reason.meaning),
            kind: letter.kind.clone().unwrap_or_default(),
        }
    }
}

fn happened(letter: &Letter) -> Option<Timestamp> {
    let id = letter.id.parse::<Uuid>().ok().filter(|_| letter.is_event);
    // The first 48 bits of an event's id are its time.
    let of_event = id.and_then(|id| u64::try_from(id.as_u128() >> 80).ok());
    of_event.map(Timestamp::from_unix_millis).or_else(|| letter.first())
}
