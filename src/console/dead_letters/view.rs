//! What the pages of dead letters show, as words and numbers. Must not know SQS, nor an answer of HTTP.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::timestamp::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::console::dead_letters::letter::{Body, Letter, Place};
use crate::console::dead_letters::reader::{Failure, Found, Mailbox, Queue, READING_MAX_MESSAGES, Told};
use crate::console::dead_letters::reasons::Reason;
use crate::console::words;
use crate::sqs::dead_letters::Depth;

/// Letters on a page.
pub(super) const PAGE: usize = 25;

/// Reasons that are listed: whoever may send to the queue could make up thousands.
const REASONS_MAX: usize = 30;

/// How long before a reading a letter's arrival says that its cause goes on.
const GOES_ON_MILLIS: u64 = 60_000;

const DAY_MILLIS: u64 = 86_400_000;

/// A dead-letter queue, as the page shows it.
#[derive(Debug)]
pub(super) struct BoxView {
    pub(super) queue: &'static str,
    pub(super) title: &'static str,
    /// "about 679 in the queue, told 4 s ago".
    pub(super) depth: String,
    /// Whether SQS says that there is nothing; then there is nothing to read.
    pub(super) is_empty: bool,
    pub(super) failure: Option<String>,
    pub(super) reading: Option<ReadingView>,
    /// How a terminal lists them.
    pub(super) command: String,
}

/// What was read.
#[derive(Debug)]
pub(super) struct ReadingView {
    pub(super) id: String,
    pub(super) at: String,
    pub(super) by: String,
    pub(super) lead: String,
    pub(super) groups: Vec<Group>,
    /// What must be known of this reading: not all, more since, hidden.
    pub(super) remarks: Vec<String>,
}

/// The letters of one reason.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) reason: String,
    pub(super) meaning: &'static str,
    pub(super) count: u64,
    pub(super) first: String,
    pub(super) helps: &'static str,
    pub(super) url: String,
    /// How many a redrive would send back; 0 is none.
    pub(super) goes_back: u64,
}

/// One reason's letters, a page of them.
#[derive(Debug)]
pub(super) struct ReasonView {
    pub(super) queue: &'static str,
    pub(super) reading: String,
    pub(super) group: Group,
    pub(super) advice: &'static str,
    /// That the cause goes on, or that they came back.
    pub(super) warnings: Vec<String>,
    pub(super) rows: Vec<LetterView>,
    /// "26 to 50 of 665".
    pub(super) what: String,
    pub(super) older: String,
    pub(super) newest: String,
    pub(super) stays: u64,
}

/// One letter.
#[derive(Debug)]
pub(super) struct LetterView {
    pub(super) queue: &'static str,
    pub(super) reading: String,
    pub(super) key: String,
    pub(super) id: String,
    pub(super) short: String,
    pub(super) url: String,
    pub(super) reason: String,
    pub(super) meaning: &'static str,
    pub(super) helps: &'static str,
    pub(super) advice: &'static str,
    pub(super) kind: String,
    pub(super) field: String,
    pub(super) detail: String,
    pub(super) user: Option<String>,
    pub(super) first: String,
    pub(super) received: u32,
    pub(super) copies: Vec<(String, String, u32)>,
    pub(super) stays: Option<&'static str>,
    pub(super) came_back: Option<String>,
    pub(super) bytes: u64,
    pub(super) body: String,
    /// What is to be said of the body: that it is cut, or not kept.
    pub(super) body_note: &'static str,
    pub(super) commands: [String; 3],
}

/// How much of an id is shown, in characters.
const SHORT: usize = 8;

/// An id by its end: an event's begins with its time, which many have in common.
pub(super) fn short_id(id: &str) -> String {
    match id.chars().count().checked_sub(SHORT) {
        None | Some(0) => id.to_owned(),
        Some(before) => std::iter::once('…').chain(id.chars().skip(before)).collect(),
    }
}

impl LetterView {
    /// The first characters of the user's sub.
    pub(super) fn short_user(&self) -> &str {
        self.user.as_deref().and_then(|user| user.get(..8)).unwrap_or("-")
    }

    /// Whether a redrive would send it back.
    pub(super) fn goes_back(&self) -> bool {
        self.stays.is_none()
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// "1 message", "679 messages".
pub(super) fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{} messages", words::count(count)) }
}

/// A time: today's without its day.
fn short(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return "-".to_owned() };
    let is_today = at.unix_millis() / DAY_MILLIS == now.unix_millis() / DAY_MILLIS;
    if is_today { words::clock(at) } else { words::utc(at) }
}

fn title(queue: Queue) -> &'static str {
    match queue {
        Queue::Events => "Events",
        Queue::Records => "Records of sign-ins",
    }
}

fn flag(queue: Queue) -> &'static str {
    match queue {
        Queue::Events => "",
        Queue::Records => " --contexts",
    }
}

fn depth(told: &Told, now: Timestamp) -> String {
    let all = |depth: Depth| words::count(depth.visible + depth.hidden);
    match (told.now, told.last) {
        (Some((at, depth)), _) => {
            let hidden = match depth.hidden {
                0 => String::new(),
                hidden => format!(", {} of them hidden", words::count(hidden)),
            };
            format!("about {} in the queue{hidden}, told {}", all(depth), words::ago(at, now))
        }
        (None, Some((at, depth))) => {
            format!("Not known: SQS does not answer. About {}, {}", all(depth), words::ago(at, now))
        }
        (None, None) => "Not known: SQS does not answer".to_owned(),
    }
}

impl BoxView {
    pub(super) fn of(mailbox: &Mailbox, told: &Told, now: Timestamp) -> Self {
        let found = mailbox.found();
        let failure = mailbox.failure().map(|Failure { at, says }| {
            format!("It could not be read at {} UTC, and nothing is hidden by that. {says}", words::clock(at))
        });
        Self {
            queue: mailbox.queue.name(),
            title: title(mailbox.queue),
            depth: depth(told, now),
            is_empty: told.now.is_some_and(|(_, depth)| depth.visible + depth.hidden == 0),
            failure,
            reading: found.map(|found| ReadingView::of(mailbox.queue, &found, told, now)),
            command: format!("user-sync dlq list{}", flag(mailbox.queue)),
        }
    }
}

impl ReadingView {
    fn of(queue: Queue, found: &Found, told: &Told, now: Timestamp) -> Self {
        let mut groups = groups(queue, found, now);
        let others = groups.split_off(groups.len().min(REASONS_MAX));
        let mut remarks = Vec::new();
        if !others.is_empty() {
            let count: u64 = others.iter().map(|group| group.count).sum();
            remarks.push(format!("{} of {} other reasons are not listed.", messages(count), others.len()));
        }
        if !found.is_complete {
            let max = words::count(number(READING_MAX_MESSAGES));
            remarks.push(format!(
                "The queue holds more: SQS gave the first {max}, and the counts are of these."
            ));
        }
        match since(found, told) {
            Some(0) => {}
            Some(more) => remarks.push(format!("About {} more have come since.", words::count(more))),
            None => {}
        }
        if found.hidden_for_now > 0 {
            let count = messages(number(found.hidden_for_now));
            remarks
                .push(format!("{count} could not be made visible at once: they will be within 5 minutes."));
        }
        let (id, by) = (found.id.to_string(), found.by.clone());
        Self { id, at: short(Some(found.at), now), by, lead: lead(found, told, now), groups, remarks }
    }
}

/// How many messages have come since a reading of everything, as SQS counts; `None` is not known.
pub(super) fn since(found: &Found, told: &Told) -> Option<u64> {
    let (_, depth) = told.now.filter(|_| found.is_complete)?;
    Some((depth.visible + depth.hidden).saturating_sub(found.messages()))
}

fn lead(found: &Found, told: &Told, now: Timestamp) -> String {
    let kept_for = told.last.and_then(|(_, depth)| depth.kept_for);
    let oldest = found.letters.iter().filter_map(Letter::first).min();
    match (kept_for, oldest) {
        (Some(kept_for), Some(oldest)) => {
            let leaves =
                oldest.unix_millis().saturating_add(u64::try_from(kept_for.as_millis()).unwrap_or(0));
            let leaves = short(Some(Timestamp::from_unix_millis(leaves)), now);
            let lasting = words::lasting(kept_for);
            format!(
                "Messages that could not be applied, kept for {lasting}. The oldest leaves at {leaves} UTC."
            )
        }
        (_, None) => "No message was there when the queue was read.".to_owned(),
        (None, Some(_)) => "Messages that could not be applied.".to_owned(),
    }
}

fn groups(queue: Queue, found: &Found, now: Timestamp) -> Vec<Group> {
    let mut by_reason: BTreeMap<&str, Vec<&Letter>> = BTreeMap::new();
    for letter in &found.letters {
        by_reason.entry(&letter.reason).or_default().push(letter);
    }
    let mut groups: Vec<Group> =
        by_reason.into_iter().map(|(reason, letters)| group(queue, reason, &letters, now)).collect();
    groups.sort_by(|left, right| (right.count, &left.reason).cmp(&(left.count, &right.reason)));
    groups
}

fn group(queue: Queue, reason: &str, letters: &[&Letter], now: Timestamp) -> Group {
    let known = Reason::of(reason);
    Group {
        reason: reason.to_owned(),
        meaning: known.map_or("Not a reason of this build's", |reason| reason.meaning),
        count: number(letters.len()),
        first: short(letters.iter().filter_map(|letter| letter.first()).min(), now),
        helps: known.map_or("not known", Reason::helps),
        url: format!("/dead-letters?queue={}&reason={}", queue.name(), encoded(reason)),
        goes_back: number(letters.iter().filter(|letter| letter.stays.is_none()).count()),
    }
}

/// The page of the letters of this id.
pub(super) fn url(id: &str) -> String {
    format!("/dead-letters/{}", encoded(id))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Where a page begins, as its URL says it: `1795953120000.MESSAGE`.
fn cursor(letter: &Letter) -> String {
    let (std::cmp::Reverse(millis), key) = letter.place();
    format!("{millis}.{key}")
}

fn place(cursor: &str) -> Option<Place<'_>> {
    let (millis, key) = cursor.split_once('.')?;
    Some((std::cmp::Reverse(millis.parse().ok()?), key))
}

impl ReasonView {
    /// The letters of a reason after a cursor; `None` if there are none of it.
    pub(super) fn of(
        queue: Queue,
        found: &Found,
        reason: &str,
        after: Option<&str>,
        now: Timestamp,
    ) -> Option<Self> {
        let all: Vec<&Letter> = found.letters.iter().filter(|letter| letter.reason == reason).collect();
        let group = (!all.is_empty()).then(|| group(queue, reason, &all, now))?;
        let after = after.and_then(place);
        let before = all
            .iter()
            .take_while(|letter| after.as_ref().is_some_and(|after| letter.place() <= *after))
            .count();
        let page: Vec<&Letter> = all.iter().copied().skip(before).take(PAGE).collect();
        let last = page.last().filter(|_| before + page.len() < all.len());
        let older =
            last.map(|last| format!("{}&after={}", group.url, encoded(&cursor(last)))).unwrap_or_default();
        let (first, end, of) = (before + 1, before + page.len(), words::count(group.count));
        Some(Self {
            queue: queue.name(),
            reading: found.id.to_string(),
            advice: Reason::of(reason).map_or("", |reason| reason.advice),
            warnings: warnings(&all, found, now),
            rows: page.into_iter().map(|letter| LetterView::of(queue, found, letter, now)).collect(),
            what: format!("{} to {} of {of}", words::count(number(first)), words::count(number(end))),
            older,
            newest: if before > 0 { group.url.clone() } else { String::new() },
            stays: group.count - group.goes_back,
            group,
        })
    }
}

fn warnings(letters: &[&Letter], found: &Found, now: Timestamp) -> Vec<String> {
    let begins = found.at.unix_millis().saturating_sub(GOES_ON_MILLIS);
    let fresh =
        letters.iter().filter(|letter| letter.latest().is_some_and(|latest| latest.unix_millis() >= begins));
    let came_back: Vec<Timestamp> = letters.iter().filter_map(|letter| letter.came_back).collect();
    let mut warnings = Vec::new();
    if let Some(sent_back) = came_back.iter().max() {
        let at = short(Some(*sent_back), now);
        warnings.push(format!(
            "{} came back after a redrive that ended at {at} UTC.",
            messages(number(came_back.len()))
        ));
    }
    match number(fresh.count()) {
        0 => {}
        fresh => warnings.push(format!(
            "{} came in the minute before the queue was read. Redriven while the cause is there, they come back.",
            messages(fresh)
        )),
    }
    warnings
}

impl LetterView {
    pub(super) fn of(queue: Queue, found: &Found, letter: &Letter, now: Timestamp) -> Self {
        let known = Reason::of(&letter.reason);
        let is_alone = found.letters.iter().filter(|other| other.id == letter.id).take(2).count() < 2;
        let id = if letter.is_event && is_alone { &letter.id } else { letter.key() };
        let (body, body_note) = match &letter.body {
            Body::Whole(text) => (text.clone(), ""),
            Body::Cut(text) => (text.clone(), "Only the first lines are kept here."),
            Body::NotKept => (String::new(), "Not kept here: there was no room."),
        };
        let copies = letter.copies.iter();
        Self {
            queue: queue.name(),
            reading: found.id.to_string(),
            key: letter.key().to_owned(),
            id: letter.id.clone(),
            short: short_id(&letter.id),
            url: url(id),
            reason: letter.reason.clone(),
            meaning: known.map_or("Not a reason of this build's", |reason| reason.meaning),
            helps: known.map_or("not known", Reason::helps),
            advice: known.map_or("", |reason| reason.advice),
            kind: letter.kind.clone().unwrap_or_else(|| "not an event".to_owned()),
            field: letter.field.clone(),
            detail: letter.detail.clone(),
            user: letter.user.map(|user| user.to_string()),
            first: short(letter.first(), now),
            received: letter.receive_count(),
            copies: copies
                .map(|copy| (copy.message_id.clone(), short(copy.sent_at, now), copy.receive_count))
                .collect(),
            stays: letter.stays,
            came_back: letter.came_back.map(|at| short(Some(at), now)),
            bytes: number(letter.bytes),
            body,
            body_note,
            commands: commands(queue, id),
        }
    }
}

/// How a terminal shows, redrives and drops it. The id is others' words: what has not the form of one is not put into a
/// command.
fn commands(queue: Queue, id: &str) -> [String; 3] {
    let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let (id, flag) = (if is_id { id } else { "ID" }, flag(queue));
    [
        format!("user-sync dlq show {id}{flag}"),
        format!("user-sync dlq redrive --max-per-second 100{flag}"),
        format!("user-sync dlq drop {id} --reason \"why\"{flag}"),
    ]
}

#[cfg(test)]
mod tests;
