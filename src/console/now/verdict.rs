//! One sentence: is every sign-in in the database? The first that holds of a fixed order. Pure.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::console::now::cloudwatch::Undelivered;
use crate::console::now::facts::{
    Facts, HEARTBEAT_WITHIN, OLDEST_WITHIN, P99_WITHIN, Triggers, UNDELIVERED_FOR,
};
use crate::console::now::source::{Failure, since};
use crate::console::status::Status;

/// What holds.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console::now) enum Verdict {
    /// The database does not answer.
    DatabaseSilent(Failure),
    /// The pool does not call the trigger.
    TriggersMissing(Triggers),
    /// The latest heartbeat that came through is so old.
    NoHeartbeat(Duration),
    /// The oldest event waits for so long.
    Stuck(Duration),
    /// Events are in the trigger's log only.
    Undelivered(Undelivered),
    /// Events could not be applied.
    DeadLetters(u64),
    /// 99 of 100 events take so many seconds, or more.
    Slow(f64),
    /// Nothing has ever arrived.
    NothingYet,
    /// Nobody knows, and why.
    NotKnown(Vec<String>),
    /// Something else should be looked at; and up to when every sign-in is in the database.
    Warning(String, Option<Timestamp>),
    /// Every sign-in up to then is in the database; or only each one that reached the queue.
    Complete { up_to: Timestamp, is_of_queue_only: bool },
}

impl Verdict {
    /// The first that holds. `warning` is what else should be looked at, and whether the sentence may be said beside it.
    pub(in crate::console::now) fn of(facts: &Facts, warning: Option<(&str, bool)>) -> Self {
        Self::broken(facts)
            .or_else(|| {
                let p99 = facts.p99.known().copied();
                p99.filter(|seconds| *seconds > P99_WITHIN.as_secs_f64()).map(Self::Slow)
            })
            .or_else(|| (facts.has_arrived == Some(false)).then_some(Self::NothingYet))
            .or_else(|| Self::not_known(facts))
            .or_else(|| {
                let (warning, is_apart) = warning?;
                Some(Self::Warning(warning.to_owned(), facts.complete.clone().ok().filter(|_| is_apart)))
            })
            .unwrap_or_else(|| match &facts.complete {
                Ok(up_to) => Self::Complete { up_to: *up_to, is_of_queue_only: facts.is_of_queue_only() },
                Err(why) => Self::NotKnown(vec![why.clone()]),
            })
    }

    fn broken(facts: &Facts) -> Option<Self> {
        let now = facts.now;
        let silent = facts.database_silent.clone().map(Self::DatabaseSilent);
        let missing = facts.triggers.known().filter(|found| found.in_place < found.of);
        let beat = facts.heartbeat.known().filter(|age| **age > HEARTBEAT_WITHIN);
        let oldest = facts.oldest.known().filter(|wait| **wait > OLDEST_WITHIN);
        let lost = facts.undelivered.known().filter(|lost| is_recent(lost, now));
        let letters = facts.dead_letters.known().filter(|letters| **letters > 0);
        silent
            .or_else(|| missing.map(|found| Self::TriggersMissing(*found)))
            .or_else(|| beat.map(|age| Self::NoHeartbeat(*age)))
            .or_else(|| oldest.map(|wait| Self::Stuck(*wait)))
            .or_else(|| lost.map(|lost| Self::Undelivered(*lost)))
            .or_else(|| letters.map(|letters| Self::DeadLetters(*letters)))
    }

    /// Whether a source is silent of what would be said first; or the sentence itself rests on what nobody knows.
    fn not_known(facts: &Facts) -> Option<Self> {
        let silences = [
            ("the heartbeat", facts.heartbeat.silence()),
            ("the triggers", facts.triggers.silence()),
            ("the oldest in the queue", facts.oldest.silence()),
            ("undelivered events", facts.undelivered.silence()),
            ("dead letters", facts.dead_letters.silence()),
            ("from sign-in to row", facts.p99.silence()),
        ];
        let mut whys: Vec<String> =
            silences.into_iter().filter_map(|(what, why)| Some(format!("{what}: {}", why?))).collect();
        if !facts.dead_letters.has_source() {
            whys.push("dead letters: USER_SYNC_DLQ_URL is not set".to_owned());
        }
        if let (true, Err(why)) = (whys.is_empty(), &facts.complete) {
            whys.push(why.clone());
        }
        (!whys.is_empty()).then_some(Self::NotKnown(whys))
    }

    /// Up to when every sign-in is in the database, where that is said.
    pub(in crate::console::now) fn up_to(&self) -> Option<Timestamp> {
        match self {
            Self::Complete { up_to, .. } => Some(*up_to),
            Self::Warning(_, up_to) => *up_to,
            Self::DatabaseSilent(_)
            | Self::TriggersMissing(_)
            | Self::NoHeartbeat(_)
            | Self::Stuck(_)
            | Self::Undelivered(_)
            | Self::DeadLetters(_)
            | Self::Slow(_)
            | Self::NothingYet
            | Self::NotKnown(_) => None,
        }
    }

    /// The shape, the word and the colour.
    pub(in crate::console::now) fn status(&self) -> Status {
        match self {
            Self::DatabaseSilent(_)
            | Self::TriggersMissing(_)
            | Self::NoHeartbeat(_)
            | Self::Stuck(_)
            | Self::Undelivered(_)
            | Self::DeadLetters(_) => Status::Broken,
            Self::Slow(_) | Self::Warning(..) => Status::Attention,
            Self::NothingYet | Self::NotKnown(_) => Status::Unknown,
            Self::Complete { .. } => Status::Healthy,
        }
    }
}

/// Whether events were lost to the log of late.
pub(in crate::console::now) fn is_recent(lost: &Undelivered, now: Timestamp) -> bool {
    lost.count > 0 && lost.span.is_none_or(|(_, last)| since(last, now) <= UNDELIVERED_FOR)
}
