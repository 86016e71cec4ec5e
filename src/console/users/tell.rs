//! The entries of a timeline in words: by day, what happened, what it changed, from where. Must not read anything.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::OffsetDateTime;

use crate::console::dead_letters::UserLetter;
use crate::console::users::why::{Shown, reporter};
use crate::console::words;
use crate::store::timeline::{Change, Entry, What};

/// From which time on something counts as late: SQS and the records of AWS take minutes.
const LATE: Duration = Duration::from_secs(15 * 60);

/// What is applied sooner is applied at once, to people.
const AT_ONCE: Duration = Duration::from_millis(100);

/// What changes of these is nobody's.
const IMPERSONAL: [&str; 6] =
    ["status", "user_pool_id", "enabled", "deleted", "email_verified", "phone_number_verified"];

/// The entries of a day.
pub(super) struct Day {
    pub(super) name: String,
    pub(super) lines: Vec<Line>,
}

/// An entry.
pub(super) struct Line {
    pub(super) id: String,
    pub(super) clock: String,
    pub(super) shape: &'static str,
    pub(super) what: &'static str,
    /// What others chose, behind it: a group, a reason.
    pub(super) of: String,
    /// How late it came, if it did.
    pub(super) late: String,
    pub(super) changes: Vec<Changed>,
    /// Facts, with points between them; others chose some of them.
    pub(super) facts: String,
    /// Where more of it is, if it is no entry of the ledger.
    pub(super) url: String,
}

/// A value that changed.
pub(super) struct Changed {
    pub(super) name: String,
    pub(super) was: Shown,
    pub(super) is: Shown,
}

/// The entries by day, which they are in order of, and dead letters among them at their times.
pub(super) fn days(entries: Vec<Entry>, letters: Vec<UserLetter>, is_revealed: bool) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    let mut lines: Vec<(Timestamp, Line)> =
        entries.into_iter().map(|entry| (entry.at, line(entry, is_revealed))).collect();
    for letter in letters {
        let place = lines.iter().position(|(at, _)| *at <= letter.at).unwrap_or(lines.len());
        lines.insert(place, (letter.at, of_letter(letter)));
    }
    for (at, line) in lines {
        let name = day(at);
        match days.last_mut().filter(|day| day.name == name) {
            Some(day) => day.lines.push(line),
            None => days.push(Day { name, lines: vec![line] }),
        }
    }
    days
}

/// `Tuesday 24 November 2026`.
fn day(at: Timestamp) -> String {
    let at = OffsetDateTime::from(at);
    format!("{} {} {} {}", at.weekday(), at.day(), at.month(), at.year())
}

fn line(entry: Entry, is_revealed: bool) -> Line {
    let after = entry.recorded_at.map(|recorded_at| {
        Duration::from_millis(recorded_at.unix_millis().saturating_sub(entry.at.unix_millis()))
    });
    let late = after.filter(|after| *after >= LATE).map(|after| format!("{} late", words::lasting(after)));
    let facts = facts(&entry, after.filter(|_| late.is_none()), is_revealed);
    let (shape, what, of) = said(&entry.what);
    let changes = entry.changes.iter().map(|change| changed(change, is_revealed)).collect();
    let (id, clock, late) = (entry.id.to_string(), words::clock(entry.at), late.unwrap_or_default());
    Line { id, clock, shape, what, of, late, changes, facts, url: String::new() }
}

/// An event that is not in the ledger: it could not be applied.
fn of_letter(letter: UserLetter) -> Line {
    let UserLetter { at, id, url, reason, meaning, kind } = letter;
    let facts = [kind.as_str(), meaning].into_iter().filter(|fact| !fact.is_empty());
    Line {
        id,
        clock: words::clock(at),
        shape: "bad",
        what: "Not applied: a dead letter",
        of: reason,
        late: String::new(),
        changes: Vec::new(),
        facts: facts.collect::<Vec<_>>().join(" · "),
        url,
    }
}

fn changed(change: &Change, is_revealed: bool) -> Changed {
    let is_personal = !IMPERSONAL.contains(&change.name.as_str());
    let shown = |value: &Option<String>| Shown::of(value.as_deref(), is_personal, is_revealed);
    Changed { name: change.name.clone(), was: shown(&change.was), is: shown(&change.is) }
}

/// The shape, the words, and what others chose.
fn said(what: &What) -> (&'static str, &'static str, String) {
    let group = |group: &Option<String>| group.clone().unwrap_or_default();
    match what {
        What::Confirmed { federated: true } => ("new", "Signed up and in, by a provider", String::new()),
        What::Confirmed { federated: false } => ("new", "Signed up and confirmed", String::new()),
        What::SignedIn => ("in", "Signed in", String::new()),
        What::PasswordReset => ("edit", "Reset the password", String::new()),
        What::ReadBack { partial: false } => ("read", "Read back from the pool", String::new()),
        What::ReadBack { partial: true } => ("read", "Read back from the pool, in part", String::new()),
        What::Deleted => ("gone", "Deleted from the pool", String::new()),
        What::Restored => ("new", "Found alive in the pool", String::new()),
        What::Joined(name) => ("group", "Joined the group", group(name)),
        What::Left(name) => ("group", "Left the group", group(name)),
        What::Seen { occasion: "sign_up", .. } => ("read", "A sign-up was recorded", String::new()),
        What::Seen { .. } => ("read", "A sign-in was recorded", String::new()),
        What::Failed { reason: None, .. } => ("bad", "A sign-in failed", String::new()),
        What::Failed { reason: Some(reason), .. } => ("bad", "A sign-in failed:", reason.replace('_', " ")),
        What::Edited => ("code", "Edited by your application", String::new()),
    }
}

/// What is known beside it. Of an address and a place only where they are revealed.
fn facts(entry: &Entry, after: Option<Duration>, is_revealed: bool) -> String {
    let origin = &entry.origin;
    let mut facts: Vec<String> = Vec::new();
    match &entry.what {
        What::Seen { by, .. } => facts.push(format!("by {}", reporter(by))),
        What::Failed { by, .. } => facts.push(format!("by {}", reporter(by))),
        What::Edited => {
            facts.push("for the last time; what it changed is the application's from then on".to_owned());
        }
        What::Confirmed { .. }
        | What::SignedIn
        | What::PasswordReset
        | What::ReadBack { .. }
        | What::Deleted
        | What::Restored
        | What::Joined(_)
        | What::Left(_) => {}
    }
    facts.extend(origin.device.map(str::to_owned));
    facts.extend(origin.client_id.as_deref().map(|id| format!("client {}", shortened(id))));
    if is_revealed {
        facts.extend(origin.ip.clone());
        facts.extend(origin.location.clone());
    }
    facts.extend(after.map(|after| match after < AT_ONCE {
        true => "applied at once".to_owned(),
        false => format!("applied {} later", words::lasting(after)),
    }));
    facts.extend(entry.nth.map(|nth| format!("sign-in {}", words::count(nth))));
    // Records come minutes later than the events, so of them it says nothing.
    if entry.is_overtaken && !matches!(entry.what, What::Seen { .. } | What::Failed { .. }) {
        let rest =
            if entry.changes.is_empty() && entry.nth.is_some() { ", so only the count changed" } else { "" };
        facts.push(format!("a later event had been applied already{rest}"));
    }
    facts.join(" · ")
}

/// An app client by its first and its last letters.
fn shortened(id: &str) -> String {
    let letters: Vec<char> = id.chars().collect();
    match letters.as_slice() {
        [a, b, c, d, .., y, z] if letters.len() > 10 => [*a, *b, *c, *d, '…', *y, *z].iter().collect(),
        _ => id.to_owned(),
    }
}
