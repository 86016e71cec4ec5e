//! Compares a user pool with its rows range by range of the subs, in as many calls as it takes. Reads only: must not know
//! the checkpoint or the queue.
//!
//! A range is complete in itself: the users whose sub begins with the same digits, and the rows whose id does. So nothing
//! but the counts outlives it. Where Cognito does not list by the first digits as we expect, that shows, and it is said.

use std::time::{Duration, Instant};

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cognito::reconcile::compare::Suspect;
use crate::cognito::reconcile::{Asked, Error, ROWS, Reconcile, Tally};
use crate::cognito::user_pool::{LookUp, Requests};

/// About how many users a range should have.
const RANGE_USERS: u64 = 100_000;

/// A sub has its first hyphen behind so many digits.
const MAX_DIGITS: usize = 8;

/// Of so many rows in a range, most should have a user who is listed; else the listing is not believed without a sample.
const FEW_ROWS: usize = 200;

/// How many of those who were not listed are asked for then.
const SAMPLE: usize = 20;

/// The subs that begin with the same hexadecimal digits. Written as these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    digits: usize,
    number: u32,
}

impl Range {
    /// The first one of as many as it takes for about so many users.
    fn first_of(users: u64) -> Self {
        let enough = |digits: &usize| users >> (4 * digits) <= RANGE_USERS;
        Self { digits: (1..MAX_DIGITS).find(enough).unwrap_or(MAX_DIGITS), number: 0 }
    }

    /// The one after it; none after the last one.
    fn next(self) -> Option<Self> {
        let number = self.number.checked_add(1)?;
        (u64::from(number) < 1 << (4 * self.digits)).then_some(Self { number, ..self })
    }

    /// The first part of it by one more digit.
    fn narrower(self) -> Option<Self> {
        let Self { digits, number } = self;
        (digits < MAX_DIGITS).then(|| Self { digits: digits + 1, number: number << 4 })
    }

    fn bits(self) -> u32 {
        u32::try_from(128 - 4 * self.digits).unwrap_or(0)
    }

    fn least(self) -> u128 {
        u128::from(self.number) << self.bits()
    }

    fn contains(self, sub: Uuid) -> bool {
        sub.as_u128() >> self.bits() == u128::from(self.number)
    }
}

impl From<Range> for String {
    fn from(Range { digits, number }: Range) -> Self {
        format!("{number:0digits$x}")
    }
}

impl TryFrom<String> for Range {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let number = u32::from_str_radix(&text, 16).ok().filter(|_| !text.starts_with('+'));
        let number = number.filter(|_| text.len() <= MAX_DIGITS);
        number.map(|number| Self { digits: text.len(), number }).ok_or("not one to eight hexadecimal digits")
    }
}

/// How far a comparison by ranges is. It is small, and all that the next call needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeWalk {
    /// When the first call began.
    pub started_at: Timestamp,
    /// The next range; none when all are compared.
    pub next: Option<Range>,
    /// What was found so far.
    pub tally: Tally,
    /// The requests of the calls before this one.
    pub requests: Requests,
    /// The run that the first call wrote down, if it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
}

impl RangeWalk {
    /// The beginning, of about so many users.
    #[must_use]
    pub fn of(users: u64) -> Self {
        let (tally, requests) = Default::default();
        Self { started_at: Timestamp::now(), next: Some(Range::first_of(users)), tally, requests, run: None }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked {
    /// Every range is compared.
    Done,
    /// There is more to compare.
    Unfinished,
    /// The time is not enough for the smallest range there is.
    TooLittleTime,
    /// The pool does not list the users of a range, or not most of those who have a row.
    NotByRange,
}

impl Reconcile {
    /// Compares range after range, as long as there is time for the next. Publishes nothing.
    ///
    /// # Errors
    /// When the pool or the table fails. What `walk` holds is true, and the next call goes on from there.
    pub async fn walk_ranges(&self, walk: &mut RangeWalk, until: Instant) -> Result<Walked, Error> {
        let (mut longest, mut is_first) = (Duration::ZERO, true);
        while let Some(range) = walk.next {
            let began_at = Instant::now();
            let left = until.saturating_duration_since(began_at);
            if is_first && left.is_zero() {
                return Ok(Walked::TooLittleTime);
            }
            if !is_first && left < longest + longest / 2 {
                return Ok(Walked::Unfinished);
            }
            // Boxed: what is under way at once makes it large.
            match tokio::time::timeout(left, Box::pin(self.compare_range(range))).await {
                Ok(compared) => match compared? {
                    Some(tally) => walk.tally.add_part(tally),
                    None => return Ok(Walked::NotByRange),
                },
                // It had all the time there is.
                Err(_) if is_first => match range.narrower() {
                    Some(narrower) => {
                        walk.next = Some(narrower);
                        return Ok(Walked::Unfinished);
                    }
                    None => return Ok(Walked::TooLittleTime),
                },
                Err(_) => return Ok(Walked::Unfinished),
            }
            walk.next = range.next();
            longest = longest.max(began_at.elapsed());
            is_first = false;
        }
        Ok(Walked::Done)
    }

    /// What differs in a range; none where the pool does not list by ranges. Users without a sub are in none.
    async fn compare_range(&self, range: Range) -> Result<Option<Tally>, Error> {
        let (began_at, mut tally, mut seen) = (Timestamp::now(), Tally::default(), Vec::new());
        let asked = Asked { range: Some(range.into()), token: None };
        let mut listed = match self.list(asked).await {
            Err(Error::Pool(error)) if error.code() == Some("InvalidParameterException") => return Ok(None),
            listed => listed?,
        };
        loop {
            if listed.page.users.iter().any(|user| !range.contains(user.sub)) {
                return Ok(None);
            }
            let (findings, ahead) = tokio::join!(self.compare_page(&listed), self.list_next(&listed));
            tally.add_all(&findings?);
            seen.extend(listed.page.users.iter().map(|user| user.sub));
            match ahead? {
                Some(next) => listed = next,
                None => break,
            }
        }
        tally.users = seen.len() as u64;
        seen.sort_unstable();
        let (suspects, rows) = self.unlisted_rows(range, &seen, began_at).await?;
        let are_many = suspects.len() > FEW_ROWS && suspects.len() as u64 > rows / 2;
        if are_many && self.has_most_of(&suspects).await? {
            return Ok(None);
        }
        tally.rows = rows;
        tally.add_all(&self.confirm(suspects, None).await?);
        Ok(Some(tally))
    }

    /// Whether the pool has most of them when it is asked, by a sample: else they were deleted.
    async fn has_most_of(&self, suspects: &[Suspect]) -> Result<bool, Error> {
        let step = (suspects.len() / SAMPLE).max(1);
        let sample: Vec<_> = suspects.iter().step_by(step).take(SAMPLE).map(Suspect::question).collect();
        let answers = self.ask(sample, None).await?;
        let present = answers.iter().filter(|answer| matches!(answer, LookUp::Present(..))).count();
        Ok(present > answers.len() / 2)
    }

    /// The rows of a range whose users were not listed, and how many rows it has.
    async fn unlisted_rows(
        &self,
        range: Range,
        seen: &[Uuid],
        began_at: Timestamp,
    ) -> Result<(Vec<Suspect>, u64), Error> {
        let mut after = Uuid::from_u128(range.least().saturating_sub(1));
        let (mut suspects, mut count) = (Vec::new(), 0);
        loop {
            let rows = self.rows.after(self.user_pool.id(), after, ROWS).await?;
            let is_last = rows.last().is_none_or(|row| !range.contains(row.sub));
            for row in rows.iter().take_while(|row| range.contains(row.sub)) {
                after = row.sub;
                count += 1;
                if let Some(kind) = self.if_absent(row, began_at)
                    && seen.binary_search(&row.sub).is_err()
                {
                    suspects.push(Suspect::of(row, kind));
                }
            }
            if is_last {
                return Ok((suspects, count));
            }
        }
    }
}

impl Tally {
    /// Adds what was found among other users.
    fn add_part(&mut self, part: Self) {
        let Self { users, rows, drift, to_repair, only_created_at, .. } = part;
        self.users += users;
        self.rows += rows;
        self.to_repair += to_repair;
        self.only_created_at += only_created_at;
        self.only_reported += part.only_reported;
        self.settling += part.settling;
        self.snapshots += part.snapshots;
        self.deletions += part.deletions;
        for (kind, users) in drift {
            *self.drift.entry(kind).or_default() += users;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_have_some_100_000_users_and_follow_each_other_without_a_gap() {
        for (users, digits) in
            [(0, 1), (1_600_000, 1), (1_700_000, 2), (5_000_000, 2), (40_000_000, 3), (u64::MAX, 8)]
        {
            assert_eq!(Range::first_of(users).digits, digits, "{users}");
        }
        let mut range = Some(Range::first_of(0));
        let mut least = 0;
        for digit in "0123456789abcdef".chars() {
            let this = range.unwrap();
            assert_eq!((String::from(this), this.least()), (digit.to_string(), least));
            least = least.wrapping_add(1 << 124);
            assert!(this.contains(Uuid::from_u128(this.least())));
            assert!(this.contains(Uuid::from_u128(least.wrapping_sub(1))));
            assert!(!this.contains(Uuid::from_u128(least)));
            assert_eq!(String::from(this.narrower().unwrap()), format!("{digit}0"));
            range = this.next();
        }
        assert_eq!(range, None);
        let last = Range::try_from("ffffffff".to_owned()).unwrap();
        assert_eq!((last.next(), last.narrower()), (None, None));
    }

    #[test]
    fn a_range_is_written_as_its_digits_and_nothing_else_is_one() {
        for text in ["0", "3f", "00000000", "abc"] {
            let range: Range = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(range).unwrap(), text);
        }
        for text in ["", "g", "000000000", "+1", "-1", "1 "] {
            assert!(serde_json::from_value::<Range>(text.into()).is_err(), "{text}");
        }
    }
}
