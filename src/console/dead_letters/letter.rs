//! A dead letter as the console keeps it: masked, and without its body. Pure: must not know SQS's requests.
//!
//! What is kept holds no personal data, so nothing has to be hidden where it is shown. Whoever may send to the dead-letter
//! queue chooses its attributes: what has not the form of a name or a reason is masked, too.

use std::collections::HashMap;

use cognito_user_sync_triggers::event::{DecodeError, Event};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::console::dead_letters::reasons::{self, Reason};
use crate::sqs::dead_letters::chosen;
use crate::sqs::dead_letters::mask::{self, MASK, masked};
use crate::sqs::dead_letters::{MAX_RECEIVES, Received, rejected_for_good};

/// How much of one masked body is kept, in bytes.
const BODY_MAX_BYTES: usize = 8 * 1_024;

/// How much of all of them. Later ones are not kept, and say so.
const BODIES_MAX_BYTES: usize = 24 * 1_024 * 1_024;

/// How much of a detail is kept, in characters.
const DETAIL_MAX_CHARS: usize = 300;

/// A dead letter: one event, or one message that is not an event, in one or more copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    /// The event's id; SQS's id of the first copy if the body is not an event. Two letters may have the same.
    pub(super) id: String,
    /// Whether `id` is an event's.
    pub(super) is_event: bool,
    /// The copies, oldest first; at least one.
    pub(super) copies: Vec<Copy>,
    /// A stable word.
    pub(super) reason: String,
    /// Path of the offending field.
    pub(super) field: String,
    /// What was wrong, for people.
    pub(super) detail: String,
    /// The CloudEvents type, where it has the form of one.
    pub(super) kind: Option<String>,
    pub(super) user: Option<Uuid>,
    /// Why the consumer would certainly reject it again, if it would.
    pub(super) stays: Option<&'static str>,
    /// When a task of this console sent the same event back, if it did so before this one arrived.
    pub(super) came_back: Option<Timestamp>,
    /// The body's length.
    pub(super) bytes: usize,
    /// The body, masked and cut.
    pub(super) body: Body,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    /// SQS's id of it.
    pub(super) message_id: String,
    pub(super) sent_at: Option<Timestamp>,
    pub(super) receive_count: u32,
}

/// What is kept of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Whole(String),
    /// Its first lines.
    Cut(String),
    /// There was no room.
    NotKept,
}

impl Letter {
    /// When the oldest copy was first sent.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.copies.iter().filter_map(|copy| copy.sent_at).min()
    }

    /// When the newest copy was sent.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.copies.iter().filter_map(|copy| copy.sent_at).max()
    }

    /// The highest receive count of any copy.
    pub(super) fn receive_count(&self) -> u32 {
        self.copies.iter().map(|copy| copy.receive_count).max().unwrap_or(0)
    }

    /// SQS's id of the first copy: no other letter of the queue has it.
    pub(super) fn key(&self) -> &str {
        self.copies.first().map_or("", |copy| &copy.message_id)
    }

    /// Whether `id` names this one: it is the event's id, or SQS's id of a copy.
    pub(super) fn answers_to(&self, id: &str) -> bool {
        (self.is_event && self.id.eq_ignore_ascii_case(id))
            || self.copies.iter().any(|copy| copy.message_id == id)
    }

    /// Where it stands in the list: latest first.
    pub(super) fn place(&self) -> Place<'_> {
        (std::cmp::Reverse(self.latest().map_or(0, Timestamp::unix_millis)), self.key())
    }
}

/// The order of a list, and what a cursor says.
pub(super) type Place<'a> = (std::cmp::Reverse<u64>, &'a str);

/// What the newest copy that says why says.
struct Said {
    of: (Option<Timestamp>, String),
    reason: String,
    field: String,
    detail: String,
}

/// Makes letters of messages as they are received, so that no body is kept.
#[derive(Default)]
pub(super) struct Folder {
    letters: HashMap<[u8; 32], (Letter, Option<Said>)>,
    bodies_bytes: usize,
}

impl Folder {
    /// Adds a message, and takes its body and its attributes out of it.
    pub(super) fn add(&mut self, message: &mut Received) {
        let (body, copy) = (std::mem::take(&mut message.body), copy(message));
        let stays = stays(&body, message);
        let said = said(message);
        message.attributes.clear();
        let key = chosen::key(&body).unwrap_or_else(|| {
            let source =
                said.as_ref().and_then(|(_, source)| source.as_deref()).unwrap_or(&message.message_id);
            Sha256::digest(source).into()
        });
        let said = said.map(|(said, _)| said);
        let bodies_bytes = &mut self.bodies_bytes;
        let (letter, latest) =
            self.letters.entry(key).or_insert_with(|| (unsaid(&body, message, bodies_bytes), None));
        letter.copies.push(copy);
        letter.stays = letter.stays.or(stays);
        let is_newer = |said: &Said| latest.as_ref().is_none_or(|latest| latest.of < said.of);
        if let Some(said) = said.filter(is_newer) {
            *latest = Some(said);
        }
    }

    /// The letters, latest first.
    pub(super) fn finish(self) -> Vec<Letter> {
        let mut letters: Vec<Letter> =
            self.letters.into_values().map(|(letter, said)| finished(letter, said)).collect();
        letters.sort_by(|left, right| left.place().cmp(&right.place()));
        letters
    }
}

fn copy(message: &Received) -> Copy {
    let Received { message_id, sent_at, receive_count, .. } = message;
    Copy { message_id: message_id.clone(), sent_at: *sent_at, receive_count: *receive_count }
}

/// Why the consumer would reject it again; asked while the body is out of the message.
fn stays(body: &str, message: &Received) -> Option<&'static str> {
    rejected_for_good(body, message.attribute("reason"))
}

/// What the message's attributes say, and which message of the queue it was.
fn said(message: &Received) -> Option<(Said, Option<String>)> {
    let reason = reasons::word(message.attribute("reason")?);
    let (field, detail) =
        (message.attribute("field").unwrap_or("-"), message.attribute("detail").unwrap_or("-"));
    // A field may be a member that others named, and the detail names the field.
    let (field, detail) = match Reason::of(&reason).is_some() && (field == "-" || mask::is_path(field)) {
        true => (field.to_owned(), detail.chars().take(DETAIL_MAX_CHARS).collect()),
        false => (MASK.to_owned(), MASK.to_owned()),
    };
    let of = (message.sent_at, message.message_id.clone());
    Some((Said { of, reason, field, detail }, message.attribute("source_message_id").map(ToOwned::to_owned)))
}

/// The letter of a body, before it is known what its copies say.
fn unsaid(body: &str, message: &Received, bodies_bytes: &mut usize) -> Letter {
    let event = Event::decode(body);
    let envelope = event.is_err().then(|| serde_json::from_str::<Value>(body).ok()).flatten();
    let (kind, user) = match (&event, &envelope) {
        (Ok(event), _) => (Some(event.r#type().to_owned()), user(event)),
        (Err(_), Some(envelope)) => (mask::kind(envelope).map(ToOwned::to_owned), subject(envelope)),
        (Err(_), None) => (None, None),
    };
    let kept = kept(body, *bodies_bytes);
    *bodies_bytes += match &kept {
        Body::Whole(text) | Body::Cut(text) => text.len(),
        Body::NotKept => 0,
    };
    Letter {
        id: event.as_ref().map_or_else(|_| message.message_id.clone(), |event| event.id().to_string()),
        is_event: event.is_ok(),
        copies: Vec::new(),
        reason: MAX_RECEIVES.to_owned(),
        field: "-".to_owned(),
        detail: undecoded(event.err()),
        kind,
        user,
        stays: None,
        came_back: None,
        bytes: body.len(),
        body: kept,
    }
}

/// The detail of a message that SQS itself moved, which carries none.
fn undecoded(error: Option<DecodeError>) -> String {
    match error {
        None => "received maxReceiveCount times without being applied".to_owned(),
        Some(_) => "received maxReceiveCount times, and not one of our events".to_owned(),
    }
}

fn kept(body: &str, so_far: usize) -> Body {
    if so_far >= BODIES_MAX_BYTES {
        return Body::NotKept;
    }
    let text = masked(body);
    if text.len() <= BODY_MAX_BYTES {
        return Body::Whole(text);
    }
    let mut cut = String::new();
    for line in text.lines() {
        if cut.len() + line.len() > BODY_MAX_BYTES {
            break;
        }
        cut.push_str(line);
        cut.push('\n');
    }
    Body::Cut(cut)
}

fn user(event: &Event<'_>) -> Option<Uuid> {
    match event {
        Event::User(event) => Some(event.sub),
        Event::Group(event) => event.change.user(),
        Event::Context(event) => event.sub,
        Event::Failures(_) | Event::Heartbeat { .. } => None,
    }
}

/// Whom a message is about that this build cannot decode, where it says so as our events do.
fn subject(envelope: &Value) -> Option<Uuid> {
    envelope.get("subject")?.as_str().and_then(|text| Uuid::try_parse(text).ok())
}

fn finished(mut letter: Letter, said: Option<Said>) -> Letter {
    letter
        .copies
        .sort_by(|left, right| (left.sent_at, &left.message_id).cmp(&(right.sent_at, &right.message_id)));
    if !letter.is_event {
        letter.id = letter.key().to_owned();
    }
    if let Some(Said { reason, field, detail, .. }) = said {
        (letter.reason, letter.field, letter.detail) = (reason, field, detail);
    }
    letter
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use std::collections::BTreeMap;

    use super::*;

    fn message(id: &str, at: u64, body: &str, attributes: &[(&str, &str)]) -> Received {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sent_at = Some(Timestamp::from_unix_millis(at));
        Received::example(id, body, attributes.collect::<BTreeMap<_, _>>(), sent_at)
    }

    fn fold(messages: Vec<Received>) -> Vec<Letter> {
        let mut folder = Folder::default();
        for mut message in messages {
            folder.add(&mut message);
            assert!(message.body.is_empty() && message.attributes.is_empty(), "{message:?}");
        }
        folder.finish()
    }

    #[test]
    fn copies_are_one_letter_and_the_newest_says_why() {
        let body = r#"{"type":"user.confirmed","subject":"0190a5c8-0000-4000-8000-000000000003"}"#;
        let of =
            |reason| [("reason", reason), ("field", "data"), ("detail", "x"), ("source_message_id", "m")];
        let letters = fold(vec![
            message("b", 2_000, body, &of("malformed")),
            message("a", 1_000, body, &of("unknown_version")),
            message("c", 3_000, "other", &[]),
        ]);
        assert_eq!(letters.len(), 2);
        let (newest, twice) = (&letters[0], &letters[1]);
        assert_eq!((newest.key(), newest.reason.as_str()), ("c", MAX_RECEIVES));
        assert_eq!((twice.id.as_str(), twice.reason.as_str(), twice.copies.len()), ("a", "malformed", 2));
        assert_eq!(twice.kind.as_deref(), Some("user.confirmed"));
        assert!(twice.user.is_some() && twice.stays == Some("malformed") && twice.answers_to("b"));
        assert_eq!(twice.first().map(Timestamp::unix_millis), Some(1_000));
    }

    #[test]
    fn what_somebody_else_wrote_into_attributes_is_not_kept() {
        let letters = fold(vec![
            message("a", 1, "x", &[("reason", "ada@example.com"), ("field", "Ada"), ("detail", "Ada")]),
            message(
                "b",
                1,
                "x",
                &[("reason", "malformed"), ("field", "data.ada@example.com"), ("detail", "Ada")],
            ),
            message("c", 1, r#"{"type":"user.Ada","subject":"Ada"}"#, &[]),
        ]);
        assert_eq!(letters.len(), 3);
        let kept = format!("{letters:?}");
        assert!(!kept.contains("Ada") && !kept.contains("example.com"), "{kept}");
    }

    #[test]
    fn of_a_large_body_and_of_very_many_the_first_lines_are_kept() {
        let members: Vec<String> = (0..9_000).map(|n| format!("\"n{n}\":\"Ada\"")).collect();
        let body = format!("{{{}}}", members.join(","));
        let letters = fold(vec![message("a", 1, &body, &[])]);
        let Body::Cut(text) = &letters[0].body else { panic!("{letters:?}") };
        assert!(text.len() <= BODY_MAX_BYTES + 1_000 && !text.contains("Ada"));
        assert_eq!(letters[0].bytes, body.len());
        assert_eq!(kept(&body, BODIES_MAX_BYTES), Body::NotKept);
    }
}
