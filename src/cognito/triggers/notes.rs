//! What a deployment notes of its pool's triggers: who holds them, when somebody set out to put them back, and when they
//! were missing. Pure: must not know where it is kept, and reads no clock.
//!
//! Several processes write it, and none can lock it. So whatever two of them wrote is merged, and it does not matter
//! which came first: `merge` is commutative, associative and idempotent.

use std::collections::BTreeMap;
use std::fmt;

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// How often in an hour the triggers are put back, over all processes. Two tools that fight over a pool end here.
pub const PUT_BACK_AT_MOST: usize = 4;

/// Attempts that are kept, given up or not. So many in an hour count as the limit: older ones may be forgotten then.
const ATTEMPTS_KEPT: usize = 24;

/// Gaps that are kept.
const GAPS_KEPT: usize = 10;

/// Most characters of a hold's reason: all together stays below the 4 KB of a standard parameter.
pub const REASON_MAX_CHARS: usize = 200;

const HOUR_MS: u64 = 3_600_000;

/// How long an attempt may be under way.
const UNDER_WAY_MS: u64 = 60_000;

/// How much later than the call CloudTrail's record may arrive, so that a gap began before it was found.
const LATE_RECORD_MS: u64 = 15 * 60_000;

/// A moment, and who it is of: two processes may mean the same millisecond. As text `2026-01-31T08:30:00.125Z/1a2b3c4d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) by: u32,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:08x}", self.at, self.by)
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.to_string()
    }
}

impl TryFrom<String> for Stamp {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "a time and eight hexadecimal digits, with a slash between them";
        let (at, by) = text.split_once('/').ok_or(EXPECTED)?;
        let (at, by) = (Timestamp::parse(at), u32::from_str_radix(by, 16));
        Ok(Self { at: at.map_err(|_| EXPECTED)?, by: by.map_err(|_| EXPECTED)? })
    }
}

/// A person's word that nothing is to be put back. A release is a hold that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    set_at: Timestamp,
    /// When it ends; `None` is when somebody releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why, in the words of who set it.
    #[serde(default)]
    pub reason: String,
}

impl Hold {
    /// The hold that was set last is the greatest.
    fn rank(&self) -> (Timestamp, Timestamp, &str) {
        (self.set_at, self.until.unwrap_or(Timestamp::MAX), &self.reason)
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(f, "held until {until}")?,
            None => f.write_str("held until somebody releases them")?,
        }
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(f, " ({reason})"),
        }
    }
}

/// A time in which the pool did not call our function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// It began then, or before: an earlier look may have failed, or an earlier record may be lost.
    pub from: Timestamp,
    /// Whether that is the time of CloudTrail's record. Otherwise it is when the pool was last changed.
    #[serde(default)]
    pub by_record: bool,
    /// When it had ended; `None` while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Gap {
    fn merge(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.by_record |= other.by_record;
        self.until = self.until.max(other.until);
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(f, "from {} or earlier to {until}", self.from),
            None => write!(f, "since {} or earlier", self.from),
        }
    }
}

/// How far somebody got who set out to put the triggers back. Each goes forward only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Attempt {
    Begun,
    /// It is over, and may have changed the pool.
    Ended,
    /// It has changed nothing, and does not count.
    GivenUp,
}

/// Everything that is noted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Hold>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attempts: BTreeMap<Stamp, Attempt>,
    /// By when they were found.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    gaps: BTreeMap<Stamp, Gap>,
}

impl Notes {
    /// Takes over what `other` has: the hold that was set last, and all attempts and gaps, as far as they are kept.
    pub fn merge(&mut self, other: Self) {
        if let Some(hold) = other.hold
            && self.hold.as_ref().is_none_or(|ours| ours.rank() < hold.rank())
        {
            self.hold = Some(hold);
        }
        for (attempt, state) in other.attempts {
            self.attempts.entry(attempt).and_modify(|ours| *ours = state.max(*ours)).or_insert(state);
        }
        for (found, gap) in other.gaps {
            self.gaps.entry(found).and_modify(|ours| ours.merge(gap)).or_insert(gap);
        }
        self.forget();
    }

    /// Forgets the oldest.
    fn forget(&mut self) {
        while self.attempts.len() > ATTEMPTS_KEPT {
            self.attempts.pop_first();
        }
        while self.gaps.len() > GAPS_KEPT {
            self.gaps.pop_first();
        }
    }

    /// The hold, if there is one that has not ended.
    #[must_use]
    pub fn held_at(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.until.is_none_or(|until| now < until))
    }

    /// Sets a hold in the place of the one that there is. Of the reason we keep what a parameter may hold.
    pub fn hold(&mut self, now: Timestamp, until: Option<Timestamp>, reason: &str) {
        // SSM reads two braces as a reference to a parameter.
        let kept = reason.chars().filter(|character| !character.is_control() && !"{}".contains(*character));
        self.set(now, until, kept.take(REASON_MAX_CHARS).collect());
    }

    /// Ends the hold.
    pub fn release(&mut self, now: Timestamp) {
        self.set(now, Some(now), String::new());
    }

    /// Later than the one before, whatever this machine's clock says.
    fn set(&mut self, now: Timestamp, until: Option<Timestamp>, reason: String) {
        let next = self.hold.as_ref().map(|hold| Timestamp::from_unix_millis(hold.set_at.unix_millis() + 1));
        self.hold = Some(Hold { set_at: next.map_or(now, |next| next.max(now)), until, reason });
    }

    /// The attempts of the last hour that count.
    #[must_use]
    pub fn attempts_within_the_hour(&self, now: Timestamp) -> usize {
        self.within_the_hour(now).filter(|state| **state != Attempt::GivenUp).count()
    }

    fn within_the_hour(&self, now: Timestamp) -> impl Iterator<Item = &Attempt> {
        let since = now.unix_millis().saturating_sub(HOUR_MS);
        self.attempts
            .iter()
            .filter(move |(attempt, _)| attempt.at.unix_millis() > since)
            .map(|(_, state)| state)
    }

    /// Whether `more` attempts are too many.
    pub(crate) fn is_too_many(&self, more: usize, now: Timestamp) -> bool {
        let all = self.within_the_hour(now).count() + more;
        self.attempts_within_the_hour(now) + more > PUT_BACK_AT_MOST || all >= ATTEMPTS_KEPT
    }

    /// Whether another attempt than `mine` may be under way.
    pub(crate) fn is_another_under_way(&self, mine: Option<Stamp>, now: Timestamp) -> bool {
        let since = now.unix_millis().saturating_sub(UNDER_WAY_MS);
        self.attempts.iter().any(|(attempt, state)| {
            *state == Attempt::Begun && Some(*attempt) != mine && attempt.at.unix_millis() > since
        })
    }

    /// Notes how far somebody got who set out to put the triggers back.
    pub(crate) fn note_attempt(&mut self, attempt: Stamp, state: Attempt) {
        self.merge(Self { attempts: [(attempt, state)].into(), ..Self::default() });
    }

    /// The gaps, the oldest first. Two looks at once may have noted one gap twice: what overlaps is one.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let mut noted: Vec<Gap> = self.gaps.values().copied().collect();
        noted.sort_by_key(|gap| gap.from);
        noted.dedup_by(|next, gap| {
            let is_within = gap.until.is_none_or(|until| next.from <= until);
            if is_within {
                let lasts = gap.until.is_none() || next.until.is_none();
                gap.until = gap.until.max(next.until).filter(|_| !lasts);
            }
            is_within
        });
        noted
    }

    /// The gap that lasts.
    #[must_use]
    pub fn open_gap(&self) -> Option<&Gap> {
        self.gaps.values().find(|gap| gap.until.is_none())
    }

    /// The gap with its beginning after the end of those before: a record of then, such as that of our own update, has begun
    /// nothing, and what has is the pool's last change at the latest.
    pub(crate) fn begun(&self, gap: Gap, modified_at: Timestamp) -> Gap {
        match self.gaps.values().filter_map(|gap| gap.until).max() {
            Some(until) if gap.from <= until && self.open_gap().is_none() => {
                Gap { from: modified_at.max(until), by_record: false, ..gap }
            }
            Some(_) | None => gap,
        }
    }

    /// Notes that triggers are missing, unless that is noted already.
    pub(crate) fn note_gap(&mut self, found: Stamp, gap: Gap) {
        if self.open_gap().is_none() {
            self.gaps.insert(found, gap);
            self.forget();
        } else if gap.by_record {
            self.widen(gap.from);
        }
    }

    /// The newest gap as it is if it began with the call of a record that arrived late. A record of before another gap's
    /// end, such as that of our own update, has begun nothing.
    pub(crate) fn widened(&self, record: Timestamp) -> Option<(Stamp, Gap)> {
        let (found, gap) = self.gaps.last_key_value()?;
        let is_near = found.at.unix_millis().saturating_sub(record.unix_millis()) < LATE_RECORD_MS;
        let others = self.gaps.iter().filter(|(other, _)| *other != found);
        let has_ended = others.filter_map(|(_, gap)| gap.until).any(|until| until >= record);
        let widened = Gap { from: record, by_record: true, ..*gap };
        (record < gap.from && is_near && !has_ended).then_some((*found, widened))
    }

    /// Notes that, if it is so.
    pub(crate) fn widen(&mut self, record: Timestamp) {
        if let Some((found, gap)) = self.widened(record) {
            self.gaps.insert(found, gap);
        }
    }

    /// Notes that no trigger is missing any more.
    pub(crate) fn end_gaps(&mut self, until: Timestamp) {
        for gap in self.gaps.values_mut().filter(|gap| gap.until.is_none()) {
            gap.until = Some(until.max(gap.from));
        }
    }
}

#[cfg(test)]
mod tests;
