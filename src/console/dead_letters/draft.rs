//! Makes a plan of what somebody chose: bound to the messages that were read, and to nothing that comes later. Must not know
//! how a plan is kept or run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use url::form_urlencoded;

use crate::console::dead_letters::letter::Letter;
use crate::console::dead_letters::reader::{Found, Queue, Reader, Told};
use crate::console::dead_letters::view;
use crate::console::plans::{Draft, Kind, Samples};
use crate::console::trouble::Trouble;
use crate::console::words::{self, Foreign};

/// How many of the messages a plan shows.
const SAMPLES: usize = 5;

/// What a form asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    queue: Queue,
    /// The reading that the page showed.
    reading: String,
    is_drop: bool,
    chosen: Chosen,
}

#[derive(Debug, PartialEq, Eq)]
enum Chosen {
    /// All of a reason.
    Reason(String),
    /// Letters by SQS's ids of their first copies.
    Keys(BTreeSet<String>),
}

impl Asked {
    /// Reads a form. The button that was pressed is `deed`: `redrive` and `drop` are of what is ticked (`pick`), `redrive_all`
    /// and `drop_all` of a reason.
    ///
    /// # Errors
    /// When it is no such form, or nothing is ticked.
    pub(super) fn parse(form: &[u8]) -> Result<Self, Trouble> {
        let fields: Vec<(String, String)> = form_urlencoded::parse(form).into_owned().collect();
        let field = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let refused = || Trouble::Refused("This is not a choice of dead letters.".to_owned());
        let (is_drop, is_all) = match field("deed") {
            Some("redrive") => (false, false),
            Some("drop") => (true, false),
            Some("redrive_all") => (false, true),
            Some("drop_all") => (true, true),
            Some(_) | None => return Err(refused()),
        };
        let chosen = match is_all {
            true => Chosen::Reason(field("reason").ok_or_else(refused)?.to_owned()),
            false => {
                let picks = fields.iter().filter(|(name, _)| name == "pick");
                Chosen::Keys(picks.map(|(_, key)| key.clone()).collect())
            }
        };
        if chosen == Chosen::Keys(BTreeSet::new()) {
            return Err(Trouble::Refused(
                "No message is ticked. Tick those that you mean, or take all.".to_owned(),
            ));
        }
        let queue = field("queue").and_then(Queue::named).ok_or_else(refused)?;
        Ok(Self { queue, reading: field("reading").ok_or_else(refused)?.to_owned(), is_drop, chosen })
    }

    /// The plan of it.
    ///
    /// # Errors
    /// When the queue was read again since the page was made, or nothing of what was chosen can be done.
    pub(super) async fn draft(&self, reader: &Reader) -> Result<Draft, Trouble> {
        let mailbox = reader.mailbox(self.queue).ok_or(Trouble::NotFound("such queue"))?;
        if !self.is_drop && mailbox.goes_to.is_none() {
            let says = "This console does not know the queue that they would go back to: its URL is not set.";
            return Err(Trouble::Refused(says.to_owned()));
        }
        let found = mailbox.found().filter(|found| found.id.to_string() == self.reading);
        let found = found.ok_or_else(|| {
            let says = "The queue was read again since your page was made, so a plan would not be of what you saw. \
                        Nothing was planned: look at the dead letters again.";
            Trouble::Refused(says.to_owned())
        })?;
        self.of(&found, &mailbox.told().await)
    }

    fn of(&self, found: &Found, told: &Told) -> Result<Draft, Trouble> {
        let chosen: Vec<&Letter> = found.letters.iter().filter(|letter| self.is_chosen(letter)).collect();
        let (goes, stays): (Vec<&Letter>, Vec<&Letter>) =
            chosen.iter().copied().partition(|letter| self.is_drop || letter.stays.is_none());
        if goes.is_empty() {
            let says = match stays.is_empty() {
                true => "None of what you chose is there any more: look at the dead letters again.",
                false => {
                    "This build would reject each of them again, for good: they would come back. Drop them, or upgrade \
                     the consumer and this console first."
                }
            };
            return Err(Trouble::Refused(says.to_owned()));
        }
        let scope = match &self.chosen {
            Chosen::Reason(reason) => json!({ "queue": self.queue.name(), "reason": reason }),
            Chosen::Keys(_) => json!({ "queue": self.queue.name(), "reason": only_reason(&goes) }),
        };
        let copies = goes.iter().flat_map(|letter| &letter.copies);
        Ok(Draft {
            kind: if self.is_drop { Kind::DropLetters } else { Kind::RedriveLetters },
            scope,
            ids: copies.map(|copy| copy.message_id.clone()).collect(),
            count: count(goes.len()),
            facts: facts(&goes, &stays, found, told),
            samples: samples(&goes),
        })
    }

    fn is_chosen(&self, letter: &Letter) -> bool {
        match &self.chosen {
            Chosen::Reason(reason) => letter.reason == *reason,
            Chosen::Keys(keys) => keys.contains(letter.key()),
        }
    }
}

/// Their reason, if they have one in common.
fn only_reason<'a>(letters: &[&'a Letter]) -> Option<&'a str> {
    let reasons: BTreeSet<&str> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    if reasons.len() == 1 { reasons.into_iter().next() } else { None }
}

fn facts(goes: &[&Letter], stays: &[&Letter], found: &Found, told: &Told) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    let copies: usize = goes.iter().map(|letter| letter.copies.len() - 1).sum();
    if copies > 0 {
        fact("Second copies of these, deleted with them", words::count(count(copies)));
    }
    let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
    stays
        .iter()
        .filter_map(|letter| letter.stays)
        .for_each(|reason| *by_reason.entry(reason).or_default() += 1);
    for (reason, stay) in by_reason {
        fact(&format!("Left where they are: would come back as {reason}"), words::count(stay));
    }
    let others = found.letters.len() - goes.len() - stays.len();
    fact("Left where they are: not chosen", words::count(count(others)));
    let since = view::since(found, told).map(|since| format!("about {}", words::count(since)));
    fact("Arrived since the queue was read, left too", since.unwrap_or_else(|| "not known".to_owned()));
    fact("Hidden from others while it runs", "the whole queue".to_owned());
    facts
}

/// The first, the last, and three between.
fn samples(letters: &[&Letter]) -> Samples {
    let places: BTreeSet<usize> = match letters.len() {
        0 => BTreeSet::new(),
        all => (0..SAMPLES).map(|n| n * (all - 1) / (SAMPLES - 1)).collect(),
    };
    let row = |letter: &&Letter| {
        let short = |text: &str| text.chars().take(8).collect::<String>();
        vec![
            view::short_id(&letter.id),
            Foreign(letter.kind.as_deref().unwrap_or("not an event")).to_string(),
            letter.user.map_or("-".to_owned(), |user| short(&user.to_string())),
            letter.first().map_or("-".to_owned(), words::utc),
        ]
    };
    Samples {
        head: ["Event", "Kind", "User", "First"].map(ToOwned::to_owned).to_vec(),
        rows: places.into_iter().filter_map(|place| letters.get(place)).map(row).collect(),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cognito_user_sync_triggers::timestamp::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::console::dead_letters::letter::{Body, Copy};

    fn letter(key: &str, reason: &str, stays: Option<&'static str>, copies: usize) -> Letter {
        let copy = |n: usize| Copy { message_id: format!("{key}{n}"), sent_at: None, receive_count: 1 };
        Letter {
            id: key.to_owned(),
            is_event: true,
            copies: (0..copies).map(copy).collect(),
            reason: reason.to_owned(),
            field: "$".to_owned(),
            detail: "-".to_owned(),
            kind: None,
            user: None,
            stays,
            came_back: None,
            bytes: 0,
            body: Body::NotKept,
        }
    }

    fn found() -> Found {
        let letters = vec![
            letter("a", "future", None, 2),
            letter("b", "future", Some("too_old"), 1),
            letter("c", "max_receives", None, 1),
            letter("d", "future", None, 1),
        ];
        let (id, at) = (Uuid::now_v7(), Timestamp::now());
        Found { id, at, by: String::new(), letters, is_complete: true, hidden_for_now: 0 }
    }

    fn draft(form: &str) -> Result<Draft, Trouble> {
        Asked::parse(form.as_bytes())?.of(&found(), &Told::default())
    }

    #[test]
    fn a_plan_is_of_the_messages_that_were_read_and_of_what_would_not_come_back() {
        let all = draft("queue=events&reading=x&reason=future&deed=redrive_all&pick=c0").unwrap();
        assert_eq!((all.count, all.ids), (2, ["a0", "a1", "d0"].map(ToOwned::to_owned).to_vec()));
        assert_eq!(all.scope, json!({ "queue": "events", "reason": "future" }));
        let fact = |facts: &[(String, String)], name: &str| {
            facts.iter().find(|(own, _)| own.starts_with(name)).map(|(_, value)| value.clone())
        };
        assert_eq!(fact(&all.facts, "Second copies").as_deref(), Some("1"));
        assert_eq!(fact(&all.facts, "Left where they are: would come back as too_old").as_deref(), Some("1"));
        assert_eq!(fact(&all.facts, "Left where they are: not chosen").as_deref(), Some("1"));
        assert_eq!(fact(&all.facts, "Arrived since").as_deref(), Some("not known"));
        let drop = draft("queue=events&reading=x&deed=drop&pick=b0&pick=c0&pick=nobody").unwrap();
        assert_eq!((drop.kind, drop.count), (Kind::DropLetters, 2));
        assert_eq!(drop.scope, json!({ "queue": "events", "reason": null }));
    }

    #[test]
    fn what_cannot_be_planned_says_why() {
        let says = |form: &str| match draft(form) {
            Err(Trouble::Refused(says)) => says,
            other => panic!("{other:?}"),
        };
        assert!(says("queue=events&reading=x&deed=redrive").starts_with("No message is ticked"));
        assert!(says("queue=events&reading=x&deed=redrive&pick=b0").contains("reject each of them again"));
        assert!(
            says("queue=events&reading=x&deed=drop&pick=z").starts_with("None of what you chose is there")
        );
        for form in
            ["", "deed=purge", "deed=drop_all&queue=events&reading=x", "deed=drop&queue=q&reading=x&pick=a"]
        {
            assert!(says(form).starts_with("This is not a choice"), "{form}");
        }
    }

    #[test]
    fn five_samples_are_the_first_the_last_and_three_between() {
        let letters: Vec<Letter> = (0..665).map(|n| letter(&n.to_string(), "future", None, 1)).collect();
        let of = |count: usize| {
            let rows = samples(&letters.iter().take(count).collect::<Vec<_>>()).rows;
            rows.into_iter().filter_map(|row| row.into_iter().next()).collect::<Vec<_>>()
        };
        assert_eq!(of(665), ["0", "166", "332", "498", "664"]);
        assert_eq!(
            (of(0), of(1), of(3)),
            (vec![], vec!["0".to_owned()], ["0", "1", "2"].map(str::to_owned).to_vec())
        );
    }
}
