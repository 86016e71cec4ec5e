//! The last hour by minute, in memory: what was counted, what waited, how long it took. What nobody looked at is not known,
//! and no zero. Must not know where a number comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;

/// How many minutes are shown, the one that goes on among them.
pub(in crate::console::now) const SHOWN: u64 = 60;

/// A message that is tried again is hidden for at most 15 minutes; after so many without a retry none is left that was.
pub(in crate::console::now) const QUIET_AFTER: u64 = 20;

/// A deployment counts something at least with each heartbeat; a count that is older says nothing of now.
const LATEST_WITHIN: u64 = 8;

/// What became of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::console::now) struct Counts<T> {
    pub(in crate::console::now) applied: T,
    pub(in crate::console::now) duplicates: T,
    pub(in crate::console::now) rejected: T,
    pub(in crate::console::now) retried: T,
}

impl<T: Copy> Counts<T> {
    pub(in crate::console::now) fn with<U: Copy, V>(
        self,
        other: Counts<U>,
        f: impl Fn(T, U) -> V,
    ) -> Counts<V> {
        Counts {
            applied: f(self.applied, other.applied),
            duplicates: f(self.duplicates, other.duplicates),
            rejected: f(self.rejected, other.rejected),
            retried: f(self.retried, other.retried),
        }
    }
}

/// How many events took how long: by the upper edge in seconds, as the bits of a positive number, which are in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::console::now) struct Buckets(BTreeMap<u64, u64>);

impl Buckets {
    /// Counts events that took at most `edge` seconds, and longer than the edge before.
    pub(in crate::console::now) fn add(&mut self, edge: f64, count: u64) {
        if edge >= 0.0 && count > 0 {
            *self.0.entry(edge.to_bits()).or_default() += count;
        }
    }

    pub(in crate::console::now) fn merge(&mut self, other: &Self) {
        for (edge, count) in &other.0 {
            *self.0.entry(*edge).or_default() += count;
        }
    }

    /// The seconds within which this part of the events was there: an upper edge, so never too little. `None` of none.
    pub(in crate::console::now) fn quantile(&self, part: f64) -> Option<f64> {
        let total: u64 = self.0.values().sum();
        let mut reached = 0;
        self.0.iter().find_map(|(edge, count)| {
            reached += count;
            // Both are far below what a double holds exactly.
            (as_double(reached) >= part * as_double(total)).then(|| f64::from_bits(*edge))
        })
    }
}

/// A count as a double, for a share or a chart.
pub(in crate::console::now) fn as_double(count: u64) -> f64 {
    let (high, low) = ((count >> 32) & u64::from(u32::MAX), count & u64::from(u32::MAX));
    let part = |part: u64| f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    part(high) * 4_294_967_296.0 + part(low)
}

/// From sign-in to row, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console::now) enum Freshness {
    /// As workers count.
    Buckets(Buckets),
    /// As CloudWatch says: of a hundred and of two.
    Quantiles { p50: Option<f64>, p99: Option<f64> },
}

impl Freshness {
    pub(in crate::console::now) fn p50(&self) -> Option<f64> {
        match self {
            Self::Buckets(buckets) => buckets.quantile(0.5),
            Self::Quantiles { p50, .. } => *p50,
        }
    }

    pub(in crate::console::now) fn p99(&self) -> Option<f64> {
        match self {
            Self::Buckets(buckets) => buckets.quantile(0.99),
            Self::Quantiles { p99, .. } => *p99,
        }
    }
}

/// A minute. `None` is not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::console::now) struct Minute {
    pub(in crate::console::now) counts: Counts<Option<u64>>,
    /// The most that waited in the queue.
    pub(in crate::console::now) waiting: Option<u64>,
    /// The longest that a message had waited, in seconds.
    pub(in crate::console::now) oldest: Option<u64>,
    pub(in crate::console::now) freshness: Option<Freshness>,
    /// Whether somebody who counts was not heard.
    pub(in crate::console::now) is_partial: bool,
}

/// What is known of messages that were tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::now) enum Retries {
    /// None is left that was; known up to then.
    None(Timestamp),
    /// Some may wait that were tried first then, or later; known up to the second.
    Since(Timestamp, Timestamp),
    /// Nobody has counted for long enough.
    Unknown,
}

/// The minutes, by their number since 1970.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::console::now) struct Hour(BTreeMap<u64, Minute>);

/// The number of a time's minute.
pub(in crate::console::now) fn minute_of(at: Timestamp) -> u64 {
    at.unix_millis() / 60_000
}

/// When a minute begins.
pub(in crate::console::now) fn start_of(minute: u64) -> Timestamp {
    Timestamp::from_unix_millis(minute.saturating_mul(60_000))
}

impl Hour {
    /// A minute, to write into. Forgets what is older than the hour before it.
    pub(in crate::console::now) fn minute(&mut self, minute: u64) -> &mut Minute {
        let newest = self.0.last_key_value().map_or(minute, |(newest, _)| (*newest).max(minute));
        self.0 = self.0.split_off(&(newest.saturating_sub(SHOWN)));
        self.0.entry(minute).or_default()
    }

    /// The minutes that are shown, the oldest first, with what is known of each.
    pub(in crate::console::now) fn shown(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Option<&Minute>)> {
        let last = minute_of(now);
        (last.saturating_sub(SHOWN - 1)..=last).map(|minute| (start_of(minute), self.0.get(&minute)))
    }

    /// Adds what was counted between two looks. What is not zero belongs to the latter's minute where they are close;
    /// else nobody knows which minute it is of.
    pub(in crate::console::now) fn count(&mut self, from: Timestamp, to: Timestamp, counted: Counts<u64>) {
        let (first, last) = (minute_of(from), minute_of(to));
        let first = first.max(last.saturating_sub(SHOWN));
        let is_close = last.saturating_sub(first) <= 1;
        for minute in first..=last {
            let place = self.minute(minute);
            place.counts = place.counts.with(counted, |known, more| match more {
                0 => Some(known.unwrap_or(0)),
                _ if minute == last && is_close => Some(known.unwrap_or(0) + more),
                _ if is_close => Some(known.unwrap_or(0)),
                _ => None,
            });
        }
    }

    /// Notes that somebody who counts was not heard between two looks, or not of all.
    pub(in crate::console::now) fn lacks(&mut self, from: Timestamp, to: Timestamp) {
        let last = minute_of(to);
        let first = minute_of(from).max(last.saturating_sub(SHOWN));
        (first..=last).for_each(|minute| self.minute(minute).is_partial = true);
    }

    /// Adds how long events took.
    pub(in crate::console::now) fn took(&mut self, at: Timestamp, took: &Buckets) {
        if took.0.is_empty() {
            return;
        }
        let place = self.minute(minute_of(at));
        match &mut place.freshness {
            Some(Freshness::Buckets(buckets)) => buckets.merge(took),
            Some(Freshness::Quantiles { .. }) | None => {
                place.freshness = Some(Freshness::Buckets(took.clone()))
            }
        }
    }

    /// Notes how many wait, of which the most of a minute is kept.
    pub(in crate::console::now) fn waits(&mut self, at: Timestamp, waiting: u64) {
        let place = self.minute(minute_of(at));
        place.waiting = place.waiting.max(Some(waiting));
    }

    /// How long 99 of 100 events of the last five minutes took at most, or of the latest minute that had any, and when
    /// that minute began.
    pub(in crate::console::now) fn p99(&self, now: Timestamp) -> Option<(f64, Timestamp)> {
        let last = minute_of(now);
        let known = |minute: &u64| Some((self.0.get(minute)?.freshness.as_ref()?.p99()?, *minute));
        let latest = (last.saturating_sub(SHOWN - 1)..=last).rev().find_map(|minute| known(&minute))?;
        let worst = (latest.1.saturating_sub(4)..=latest.1).filter_map(|minute| known(&minute));
        let worst = worst.map(|(seconds, _)| seconds).fold(latest.0, f64::max);
        Some((worst, start_of(latest.1)))
    }

    /// Whether messages may be left that were tried again.
    pub(in crate::console::now) fn retries(&self, now: Timestamp) -> Retries {
        let retried = |minute: u64| {
            self.0.get(&minute).filter(|minute| !minute.is_partial).and_then(|minute| minute.counts.retried)
        };
        let newest = minute_of(now);
        let Some(last) =
            (newest.saturating_sub(LATEST_WITHIN)..=newest).rev().find(|minute| retried(*minute).is_some())
        else {
            return Retries::Unknown;
        };
        let (mut quiet, mut first_try) = (0, None);
        for minute in (last.saturating_sub(SHOWN)..=last).rev() {
            match retried(minute) {
                None => return Retries::Unknown,
                Some(0) => quiet += 1,
                Some(_) => (quiet, first_try) = (0, Some(minute)),
            }
            if quiet == QUIET_AFTER {
                let until = start_of(last);
                return first_try
                    .map_or(Retries::None(until), |first| Retries::Since(start_of(first), until));
            }
        }
        Retries::Unknown
    }

    /// The longest that a message had waited in the hour.
    pub(in crate::console::now) fn longest_wait(&self) -> Option<Duration> {
        self.0.values().filter_map(|minute| minute.oldest).max().map(Duration::from_secs)
    }

    /// A sum of the hour, and how many of its minutes are known.
    pub(in crate::console::now) fn sum(
        &self,
        now: Timestamp,
        of: impl Fn(&Counts<Option<u64>>) -> Option<u64>,
    ) -> (u64, usize) {
        let known = self.shown(now).filter_map(|(_, minute)| of(&minute?.counts));
        known.fold((0, 0), |(sum, minutes), count| (sum + count, minutes + 1))
    }

    /// The first minute of the hour in which messages were rejected, if it is known that there were none just before.
    pub(in crate::console::now) fn rejected_since(&self, now: Timestamp) -> Option<Timestamp> {
        let rejected = |minute: u64| self.0.get(&minute)?.counts.rejected;
        let last = minute_of(now);
        let first = (last.saturating_sub(SHOWN - 1)..=last).find(|minute| rejected(*minute) > Some(0))?;
        (rejected(first.saturating_sub(1)) == Some(0)).then(|| start_of(first))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A time in the hour of the tests: minutes and seconds after a round one.
    fn at(minute: u64, second: u64) -> Timestamp {
        Timestamp::from_unix_millis((29_000_000 + minute) * 60_000 + second * 1_000)
    }

    fn counted(applied: u64, retried: u64) -> Counts<u64> {
        Counts { applied, retried, ..Counts::default() }
    }

    fn applied(hour: &Hour, minute: u64) -> Option<u64> {
        hour.0.get(&(29_000_000 + minute)).and_then(|minute| minute.counts.applied)
    }

    #[test]
    fn looks_that_are_close_count_into_their_minute() {
        let mut hour = Hour::default();
        hour.count(at(0, 10), at(0, 20), counted(3, 0));
        hour.count(at(0, 20), at(0, 30), counted(4, 0));
        hour.count(at(0, 55), at(1, 5), counted(5, 0));
        assert_eq!((applied(&hour, 0), applied(&hour, 1), applied(&hour, 2)), (Some(7), Some(5), None));
        assert_eq!(hour.sum(at(1, 5), |counts| counts.applied), (12, 2));
    }

    #[test]
    fn what_was_counted_while_nobody_looked_is_of_no_minute_but_none_is_of_all() {
        let mut hour = Hour::default();
        hour.count(at(0, 0), at(9, 30), counted(50, 0));
        assert_eq!((0..10).map(|minute| applied(&hour, minute)).collect::<Vec<_>>(), [None; 10]);
        let retried = hour.0.get(&29_000_004).and_then(|minute| minute.counts.retried);
        assert_eq!(retried, Some(0), "nothing was tried again in any of them");
    }

    #[test]
    fn it_forgets_what_is_older_than_an_hour() {
        let mut hour = Hour::default();
        (0..200).for_each(|minute| hour.count(at(minute, 0), at(minute, 10), counted(1, 0)));
        assert_eq!(hour.0.len(), usize::try_from(SHOWN).unwrap() + 1);
        assert_eq!(hour.sum(at(199, 30), |counts| counts.applied), (60, 60));
        assert_eq!(hour.sum(at(229, 0), |counts| counts.applied), (30, 30), "and shows none of it");
    }

    #[test]
    fn nothing_is_tried_again_once_no_minute_of_twenty_had_a_retry() {
        let mut hour = Hour::default();
        assert_eq!(hour.retries(at(0, 0)), Retries::Unknown);
        hour.count(at(0, 0), at(18, 30), counted(9, 0));
        assert_eq!(hour.retries(at(18, 30)), Retries::Unknown, "nineteen minutes are not enough");
        hour.count(at(18, 30), at(19, 5), counted(1, 0));
        assert_eq!(hour.retries(at(19, 5)), Retries::None(at(19, 0)));
        hour.count(at(19, 5), at(20, 5), counted(1, 2));
        assert_eq!(hour.retries(at(21, 0)), Retries::Since(at(20, 0), at(20, 0)));
        hour.count(at(20, 5), at(30, 0), counted(0, 0));
        assert_eq!(hour.retries(at(30, 10)), Retries::Since(at(20, 0), at(30, 0)));
        hour.count(at(30, 0), at(40, 0), counted(0, 0));
        assert_eq!(hour.retries(at(40, 10)), Retries::None(at(40, 0)));
        assert_eq!(hour.retries(at(49, 0)), Retries::Unknown, "nobody counts any more");
        hour.minute(29_000_035).is_partial = true;
        assert_eq!(hour.retries(at(40, 10)), Retries::Unknown, "one who counts was not heard");
    }

    #[test]
    fn a_quantile_is_an_upper_edge_and_never_too_little() {
        let mut buckets = Buckets::default();
        assert_eq!(buckets.quantile(0.99), None);
        buckets.add(0.5, 98);
        buckets.add(2.5, 1);
        assert_eq!((buckets.quantile(0.5), buckets.quantile(0.99)), (Some(0.5), Some(2.5)));
        buckets.add(f64::INFINITY, 100);
        assert_eq!((buckets.quantile(0.4), buckets.quantile(0.99)), (Some(0.5), Some(f64::INFINITY)));
    }

    #[test]
    fn p99_is_the_worst_of_five_minutes_and_of_the_latest_that_had_events() {
        let mut hour = Hour::default();
        let mut took = |minute, edge| {
            let mut buckets = Buckets::default();
            buckets.add(edge, 10);
            hour.took(at(minute, 0), &buckets);
        };
        took(0, 60.0);
        took(3, 5.0);
        took(7, 1.0);
        assert_eq!(hour.p99(at(9, 0)), Some((5.0, at(7, 0))), "minute 0 is out, minute 3 is not");
        assert_eq!(hour.p99(at(80, 0)), None);
    }

    #[test]
    fn rejections_have_a_begin_only_where_it_was_seen() {
        let mut hour = Hour::default();
        let rejected = |rejected| Counts { rejected, ..Counts::default() };
        hour.count(at(5, 0), at(5, 10), rejected(2));
        assert_eq!(hour.rejected_since(at(6, 0)), None, "nobody looked before");
        let mut hour = Hour::default();
        hour.count(at(4, 0), at(4, 10), rejected(0));
        hour.count(at(5, 0), at(5, 10), rejected(2));
        hour.count(at(6, 0), at(6, 10), rejected(2));
        assert_eq!(hour.rejected_since(at(6, 30)), Some(at(5, 0)));
    }

    #[test]
    fn a_count_is_the_same_as_a_double() {
        for count in [0, 1, 4_294_967_296, 9_007_199_254_740_991] {
            assert_eq!(format!("{:.0}", as_double(count)), count.to_string());
        }
    }
}
