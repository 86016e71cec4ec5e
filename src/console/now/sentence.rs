//! What a verdict says: one sentence first, then what is safe. Pure.

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::console::now::checks::{Check, seconds};
use crate::console::now::facts::{Facts, Snapshot};
use crate::console::now::source::since;
use crate::console::now::verdict::Verdict;
use crate::console::status::Status;
use crate::console::words::{clock, count, lasting, utc};

/// The sentence, and what stands beneath it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Sentence {
    pub(in crate::console::now) headline: String,
    pub(in crate::console::now) body: String,
}

const SAFE: &str = "Sign-ins go on, and nothing is lost while you look.";

impl Verdict {
    pub(in crate::console::now) fn sentence(
        &self,
        snapshot: &Snapshot,
        facts: &Facts,
        checks: &[Check],
    ) -> Sentence {
        let (headline, body) = match self {
            Self::DatabaseSilent(failure) => {
                (format!("The database does not answer since {}.", clock(failure.since)), waits(snapshot))
            }
            Self::TriggersMissing(found) => (
                format!(
                    "{} of {} triggers do not call us.",
                    found.of.saturating_sub(found.in_place),
                    found.of
                ),
                "Users sign in, but their logins are not counted: nothing brings those of this time back."
                    .to_owned(),
            ),
            Self::NoHeartbeat(age) => (
                format!("Nothing has come through for {}.", lasting(*age)),
                format!("The latest heartbeat that arrived is so old. {SAFE}"),
            ),
            Self::Stuck(wait) => (
                format!("Events wait in the queue for {}.", lasting(*wait)),
                format!("The consumer or the database is behind. {SAFE}"),
            ),
            Self::Undelivered(lost) => (
                format!(
                    "{} in the trigger’s log only{}.",
                    events(lost.count, "is", "are"),
                    lost.span.map(|(first, _)| format!(", since {}", clock(first))).unwrap_or_default()
                ),
                "The sign-ins succeeded. Replay the log before its retention ends; doing it twice is safe."
                    .to_owned(),
            ),
            Self::DeadLetters(letters) => (
                format!(
                    "{} could not be applied{}.",
                    events(*letters, "", "").trim_end(),
                    snapshot
                        .hour
                        .rejected_since(facts.now)
                        .map(|at| format!(" since {}", short(at)))
                        .unwrap_or_default()
                ),
                format!(
                    "{} kept in the dead-letter queue{}; sign-ins go on, and all other events are applied.",
                    if *letters == 1 { "It is" } else { "They are" },
                    kept(snapshot, true)
                ),
            ),
            Self::Slow(_)
            | Self::NothingYet
            | Self::NotKnown(_)
            | Self::Warning(..)
            | Self::Complete { .. } => self.unbroken(snapshot, facts, checks),
        };
        Sentence { headline, body }
    }

    /// Where nothing is broken.
    fn unbroken(&self, snapshot: &Snapshot, facts: &Facts, checks: &[Check]) -> (String, String) {
        match self {
            Self::Slow(p99) => (
                format!("One event in a hundred takes {} to its row.", seconds(*p99)),
                format!("Rows are behind. After an outage this is normal, and passes. {SAFE}"),
            ),
            Self::NothingYet => (
                "Nothing has arrived yet.".to_owned(),
                "The database answers, and has neither an event nor a heartbeat. Begin with one of these."
                    .to_owned(),
            ),
            Self::NotKnown(whys) => (
                "Whether every sign-in is in the database is not known.".to_owned(),
                format!("{}. {SAFE}", whys.join("; ")),
            ),
            Self::Warning(warning, up_to) => (
                format!("{}.", upper(warning)),
                up_to.map_or_else(|| SAFE.to_owned(), |up_to| complete(up_to, facts)),
            ),
            Self::Complete { up_to, .. } => (complete(*up_to, facts), well(facts, snapshot, checks)),
            Self::DatabaseSilent(_)
            | Self::TriggersMissing(_)
            | Self::NoHeartbeat(_)
            | Self::Stuck(_)
            | Self::Undelivered(_)
            | Self::DeadLetters(_) => (String::new(), String::new()),
        }
    }
}

/// A number of events, with its verb.
fn events(number: u64, one: &str, many: &str) -> String {
    let (things, verb) = if number == 1 { ("event", one) } else { ("events", many) };
    format!("{} {things} {verb}", count(number))
}

/// The sentence of a healthy deployment. Where nothing tells whether the trigger is called, and could queue each event, it
/// claims no more than the way from the queue on.
fn complete(up_to: Timestamp, facts: &Facts) -> String {
    let which = if facts.is_of_queue_only() { "Every sign-in that was queued" } else { "Every sign-in" };
    format!("{which} up to {} is in the database.", clock(up_to))
}

fn well(facts: &Facts, snapshot: &Snapshot, checks: &[Check]) -> String {
    let newest = snapshot.tables.last.as_ref().and_then(|known| known.value.standing.newest);
    let took = newest.map(|newest| {
        format!("The last one took {} from Cognito to its row. ", lasting(since(newest.sent, newest.arrived)))
    });
    let wait =
        facts.oldest.known().map(|wait| format!("Nothing is waiting longer than {}, ", lasting(*wait)));
    let lost = if facts.undelivered.has_source() {
        "nothing was given up in 24 h"
    } else {
        "nothing is a dead letter"
    };
    let healthy = checks.iter().filter(|check| check.status == Status::Healthy).count();
    let all = match checks.len() == healthy {
        true => format!("all {healthy} checks are healthy"),
        false => format!("{healthy} of {} checks are healthy, and none needs attention", checks.len()),
    };
    let unknown = match (facts.undelivered.has_source(), facts.triggers.has_source()) {
        (true, true) => "",
        (false, true) => " Whether the trigger could queue each one is not known: CloudWatch would tell.",
        (true, false) => {
            " Whether the pool calls the trigger is not known: heartbeats of user-sync-lifecycle would tell."
        }
        (false, false) => {
            " Whether the pool calls the trigger, and whether that could queue each one, is not known: heartbeats of \
             user-sync-lifecycle and CloudWatch would tell."
        }
    };
    let wait = wait.unwrap_or_default();
    let lost = if wait.is_empty() { upper(lost) } else { lost.to_owned() };
    format!("{}{wait}{lost}, and {all}.{unknown}", took.unwrap_or_default())
}

/// What the queue holds while the database is away.
fn waits(snapshot: &Snapshot) -> String {
    let queue =
        snapshot.queues.as_ref().filter(|seen| seen.failure.is_none()).and_then(|seen| seen.last.as_ref());
    let waiting = match queue {
        Some(known) => format!(
            "{} in the queue, which keeps them{}, and are applied by themselves when the database is back.",
            events(known.value.queue.total(), "waits", "wait"),
            kept(snapshot, false)
        ),
        None => {
            "Events wait in the queue, and are applied by themselves when the database is back.".to_owned()
        }
    };
    format!("Sign-ins go on. {waiting} Nothing is lost while you look.")
}

/// For how long a queue keeps a message, if it said so.
fn kept(snapshot: &Snapshot, is_of_letters: bool) -> String {
    let depths = snapshot.queues.as_ref().and_then(|seen| seen.last.as_ref()).map(|known| known.value);
    let seconds = depths.map_or(0, |depths| {
        if is_of_letters { depths.dead_letters.retention_seconds } else { depths.queue.retention_seconds }
    });
    match seconds {
        0 => String::new(),
        seconds => format!(" for {}", lasting(std::time::Duration::from_secs(seconds))),
    }
}

fn short(at: Timestamp) -> String {
    clock(at).chars().take(5).collect()
}

fn upper(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A time with its weekday: `Tue 24 Nov 2026 14:32:09`.
pub(in crate::console::now) fn full(at: Timestamp) -> String {
    let day = time::OffsetDateTime::from(at).weekday().number_days_from_monday();
    format!("{} {}", DAYS.get(usize::from(day)).copied().unwrap_or_default(), utc(at))
}
