//! The moments along the foot of a chart: each has a name, and a few are written. Must not know what happened then.

use time::{Date, Month, OffsetDateTime};

use super::Size;

/// What a point stands for: one each from the first on, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Axis {
    /// A minute each.
    Minutes(OffsetDateTime),
    /// A day each.
    Days(Date),
    /// A week each, by its Monday.
    Weeks(Date),
}

/// A moment that is written at the foot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) index: usize,
    pub(super) label: String,
    pub(super) anchor: &'static str,
}

/// The least distance of two marks, as a part of the whole.
const APART: f64 = 0.14;
/// More months than these are written a quarter each.
const MOST_MONTHS: usize = 7;

impl Axis {
    /// A point's name, whole: `27 Oct 2026`, `14:02`.
    pub(super) fn name(self, index: usize) -> String {
        match self {
            Self::Minutes(_) => self.short(index),
            Self::Days(_) => self.date(index).map(full_day).unwrap_or_default(),
            Self::Weeks(_) => {
                self.date(index).map(|day| format!("week of {}", full_day(day))).unwrap_or_default()
            }
        }
    }

    /// The name of a column of names.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Minutes(_) => "minute",
            Self::Days(_) => "day",
            Self::Weeks(_) => "week",
        }
    }

    /// In the plural.
    pub(super) fn steps(self) -> &'static str {
        match self {
            Self::Minutes(_) => "minutes",
            Self::Days(_) => "days",
            Self::Weeks(_) => "weeks",
        }
    }

    fn now(self) -> &'static str {
        match self {
            Self::Minutes(_) => "now",
            Self::Days(_) => "today",
            Self::Weeks(_) => "this week",
        }
    }

    fn date(self, index: usize) -> Option<Date> {
        let index = i64::try_from(index).ok()?;
        match self {
            Self::Minutes(_) => None,
            Self::Days(first) => first.checked_add(time::Duration::days(index)),
            Self::Weeks(first) => first.checked_add(time::Duration::days(index * 7)),
        }
    }

    fn short(self, index: usize) -> String {
        match self {
            Self::Minutes(first) => {
                let minutes = time::Duration::minutes(i64::try_from(index).unwrap_or(i64::MAX));
                first.checked_add(minutes).map(clock).unwrap_or_default()
            }
            Self::Days(_) | Self::Weeks(_) => self.date(index).map(day).unwrap_or_default(),
        }
    }

    /// Which of `count` points are written; the last one by a word if it is not over.
    pub(super) fn marks(self, count: usize, size: Size, is_running: bool) -> Vec<Mark> {
        let Some(last) = count.checked_sub(1) else { return Vec::new() };
        let end = match (self, is_running) {
            (Self::Days(_) | Self::Weeks(_), true) => self.now().to_owned(),
            (Self::Days(_) | Self::Weeks(_), false) | (Self::Minutes(_), _) => self.short(last),
        };
        let end = Mark { index: last, label: end, anchor: "end" };
        let within = match (self, size) {
            (Self::Days(_), Size::Normal) => self.months(count),
            (Self::Days(_), Size::Small) => vec![0],
            (Self::Minutes(_) | Self::Weeks(_), _) => vec![0, last / 2],
        };
        let within = if within.is_empty() { vec![0] } else { within };
        let part = |index: usize| index as f64 / count as f64;
        let mut marks: Vec<Mark> = Vec::new();
        for index in within {
            let is_apart = marks.last().is_none_or(|mark| part(index - mark.index) >= APART);
            if is_apart && part(last - index) >= APART {
                let anchor = if part(index) < 0.05 { "start" } else { "middle" };
                marks.push(Mark { index, label: self.short(index), anchor });
            }
        }
        marks.push(end);
        marks
    }

    /// The first days of months; of many, those of quarters.
    fn months(self, count: usize) -> Vec<usize> {
        let is_first = |index: &usize| self.date(*index).is_some_and(|day| day.day() == 1);
        let firsts: Vec<usize> = (0..count).filter(is_first).collect();
        let is_quarter = |index: &usize| {
            let month = self.date(*index).map_or(Month::January, Date::month);
            matches!(month, Month::January | Month::April | Month::July | Month::October)
        };
        if firsts.len() > MOST_MONTHS { firsts.into_iter().filter(is_quarter).collect() } else { firsts }
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `27 Oct`.
pub(in crate::console) fn day(date: Date) -> String {
    let month = MONTHS.get(usize::from(u8::from(date.month())) - 1).copied().unwrap_or_default();
    format!("{} {month}", date.day())
}

/// `27 Oct 2026`.
pub(in crate::console) fn full_day(date: Date) -> String {
    format!("{} {}", day(date), date.year())
}

fn clock(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}", at.hour(), at.minute())
}
