//! Which days are asked: a number of days up to today, or from one to another. Must not know what is counted.

use serde::Deserialize;
use time::format_description::well_known::Iso8601;
use time::{Date, Duration, OffsetDateTime};

use crate::console::trouble::Trouble;

/// The longest range, in days: a month more than a year.
const MOST_DAYS: i64 = 400;
/// What there are links for: the URL's word, the link's, and days.
const RANGES: [(&str, &str, i64); 4] =
    [("7d", "7 days", 7), ("28d", "28 days", 28), ("90d", "90 days", 90), ("13m", "13 months", 396)];
const DEFAULT: &str = "90d";

/// What the URL says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// Days from one to another, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Date,
    pub(super) to: Date,
    pub(super) today: Date,
    /// The word of one of the links, if it is that.
    name: Option<&'static str>,
}

impl Asked {
    pub(super) fn range(&self) -> Result<Range, Trouble> {
        self.until(OffsetDateTime::now_utc().date())
    }

    fn until(&self, today: Date) -> Result<Range, Trouble> {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let (Some(from), Some(to)) = (some(&self.from), some(&self.to)) {
            let (from, to) = (date(&from)?, date(&to)?.min(today));
            if from > to || (to - from).whole_days() >= MOST_DAYS {
                let wrong = format!("A range ends after it begins, and has at most {MOST_DAYS} days.");
                return Err(Trouble::Refused(wrong));
            }
            return Ok(Range { from, to, today, name: None });
        }
        let asked = some(&self.range).unwrap_or_else(|| DEFAULT.to_owned());
        let Some((name, _, days)) = RANGES.into_iter().find(|(name, ..)| *name == asked) else {
            return Err(Trouble::Refused("A range is 7d, 28d, 90d or 13m, or has from and to.".to_owned()));
        };
        let from = today.checked_sub(Duration::days(days - 1)).unwrap_or(today);
        Ok(Range { from, to: today, today, name: Some(name) })
    }
}

fn date(text: &str) -> Result<Date, Trouble> {
    Date::parse(text, &Iso8601::DATE)
        .map_err(|_| Trouble::Refused("A day is written as 2026-11-24, in UTC.".to_owned()))
}

impl Range {
    pub(super) fn days(&self) -> i64 {
        (self.to - self.from).whole_days() + 1
    }

    /// Whether its last day is not over.
    pub(super) fn is_running(&self) -> bool {
        self.to == self.today
    }

    /// As a URL says it.
    pub(super) fn query(&self) -> String {
        match self.name {
            Some(name) => format!("range={name}"),
            None => format!("from={}&to={}", self.from, self.to),
        }
    }

    /// The first day of as many days before.
    pub(super) fn before(&self) -> Date {
        self.from.checked_sub(Duration::days(self.days())).unwrap_or(self.from)
    }

    /// The links: URL, words, whether it is this one.
    pub(super) fn links(&self) -> Vec<(String, &'static str, bool)> {
        let link = |(name, words, _)| (format!("/analytics?range={name}"), words, self.name == Some(name));
        RANGES.into_iter().map(link).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(range: &str, from: &str, to: &str) -> Result<Range, Trouble> {
        let some = |text: &str| Some(text.to_owned());
        let today = Date::from_calendar_date(2026, time::Month::November, 24).unwrap();
        Asked { range: some(range), from: some(from), to: some(to) }.until(today)
    }

    #[test]
    fn a_range_is_one_of_four_or_two_days() {
        let days = |range: Result<Range, Trouble>| range.unwrap().days();
        assert_eq!(
            ["", "7d", "28d", "90d", "13m"].map(|name| days(asked(name, "", ""))),
            [90, 7, 28, 90, 396]
        );
        let range = asked("7d", "2026-08-01", "2026-08-31").unwrap();
        assert_eq!(
            (range.days(), range.is_running(), range.query().as_str()),
            (31, false, "from=2026-08-01&to=2026-08-31")
        );
        assert_eq!(range.before().to_string(), "2026-07-01");
        assert_eq!(
            asked("", "2026-11-01", "2027-01-01").unwrap().to.to_string(),
            "2026-11-24",
            "not the future"
        );
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (range, from, to) in [
            ("1d", "", ""),
            ("", "2026-11-24", "2026-11-01"),
            ("", "2020-01-01", "2026-11-01"),
            ("", "x", "2026-11-01"),
            ("", "9999-12-31", "9999-12-31"),
            ("", "-9999-01-01", "2026-11-01"),
        ] {
            assert!(matches!(asked(range, from, to), Err(Trouble::Refused(_))), "{range} {from} {to}");
        }
    }
}
