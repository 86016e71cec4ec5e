//! Numbers, times and what others wrote, as pages say them. Must not know a page.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::OffsetDateTime;

/// How much of a foreign value is shown, in characters.
const FOREIGN_MAX: usize = 200;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A number by thousands: `10,000`.
pub(in crate::console) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + 6);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number that was counted up to a cap only: `10,000+`.
pub(in crate::console) fn at_least(number: u64, cap: u64) -> String {
    if number > cap { format!("{}+", count(cap)) } else { count(number) }
}

fn utc_time(at: Timestamp) -> OffsetDateTime {
    let millis = i128::from(at.unix_millis());
    OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A day: `24 Nov 2026`.
pub(in crate::console) fn day(at: Timestamp) -> String {
    let at = utc_time(at);
    let month = usize::from(u8::from(at.month())) - 1;
    format!("{} {} {}", at.day(), MONTHS.get(month).copied().unwrap_or_default(), at.year())
}

/// A time of day: `14:32:09`.
pub(in crate::console) fn clock(at: Timestamp) -> String {
    let at = utc_time(at);
    format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

/// A time, UTC: `24 Nov 2026 14:32:09`.
pub(in crate::console) fn utc(at: Timestamp) -> String {
    format!("{} {}", day(at), clock(at))
}

/// How long something took or lasts, by its largest units: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`, `3 days`.
pub(in crate::console) fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => {
            let tenths = duration.as_millis() / 100;
            if tenths == 0 && !duration.is_zero() {
                "under 0.1 s".to_owned()
            } else if tenths.is_multiple_of(10) {
                format!("{seconds} s")
            } else {
                format!("{}.{} s", tenths / 10, tenths % 10)
            }
        }
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => match seconds % 3600 / 60 {
            0 => format!("{} h", seconds / 3600),
            minutes => format!("{} h {minutes} min", seconds / 3600),
        },
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", count(seconds / 86_400)),
    }
}

/// How long ago something was; from a day on, when it was: `3 s ago`, `24 Nov 2026 14:32:09`.
pub(in crate::console) fn ago(at: Timestamp, now: Timestamp) -> String {
    let since = Duration::from_millis(now.unix_millis().saturating_sub(at.unix_millis()));
    if since >= Duration::from_secs(86_400) {
        return utc(at);
    }
    format!("{} ago", lasting(Duration::from_secs(since.as_secs())))
}

/// A value that others chose: cut at 200 characters, and what acts or is not seen is spelled, as `U+202E`. To stand in
/// `<bdi>`.
#[derive(Debug, Clone, Copy)]
pub(in crate::console) struct Foreign<'a>(pub(in crate::console) &'a str);

/// Whether a character does something else than to be seen.
fn is_spelled(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(FOREIGN_MAX) {
            match is_spelled(character) {
                true => write!(f, "U+{:04X}", u32::from(character))?,
                false => f.write_char(character)?,
            }
        }
        if characters.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

/// What templates write with; a template's module imports it by this name.
#[expect(unreachable_pub, reason = "the macro makes types that are public in this module only")]
pub(in crate::console) mod filters {
    use std::fmt::Display;

    use askama::Values;
    use cognito_user_sync_triggers::timestamp::Timestamp;

    /// A value that others chose, as [`Foreign`](super::Foreign): `<bdi>{{ value|foreign }}</bdi>`.
    #[askama::filter_fn]
    pub(in crate::console) fn foreign(value: impl Display, _: &dyn Values) -> askama::Result<String> {
        Ok(super::Foreign(&value.to_string()).to_string())
    }

    /// `10,000`.
    #[askama::filter_fn]
    pub(in crate::console) fn count(number: &u64, _: &dyn Values) -> askama::Result<String> {
        Ok(super::count(*number))
    }

    /// `24 Nov 2026 14:32:09`.
    #[askama::filter_fn]
    pub(in crate::console) fn utc(at: &Timestamp, _: &dyn Values) -> askama::Result<String> {
        Ok(super::utc(*at))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use cognito_user_sync_triggers::timestamp::Timestamp;

    use super::{Foreign, ago, at_least, clock, count, day, lasting, utc};

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let said = [0, 7, 999, 1000, 10_000, 1_048_312, u64::MAX].map(count);
        let expected = ["0", "7", "999", "1,000", "10,000", "1,048,312", "18,446,744,073,709,551,615"];
        assert_eq!(said, expected);
        assert_eq!([at_least(10_001, 10_000), at_least(10_000, 10_000)], ["10,000+", "10,000"]);
    }

    #[test]
    fn times_are_written_in_utc() {
        let at = Timestamp::parse("2026-11-24T14:32:09.123Z").unwrap();
        assert_eq!([day(at), clock(at), utc(at)], ["24 Nov 2026", "14:32:09", "24 Nov 2026 14:32:09"]);
        assert_eq!(day(Timestamp::from_unix_millis(0)), "1 Jan 1970");
        assert_eq!(utc(Timestamp::MAX), "31 Dec 9999 23:59:59");
    }

    #[test]
    fn a_time_is_ago_below_a_day() {
        let at = |seconds: u64| Timestamp::from_unix_millis(seconds * 1000);
        let now = at(1_000_000);
        let said = [0, 3, 59, 60, 3600, 5400, 86_399].map(|seconds| ago(at(1_000_000 - seconds), now));
        let expected =
            ["0 s ago", "3 s ago", "59 s ago", "1 min ago", "1 h ago", "1 h 30 min ago", "23 h 59 min ago"];
        assert_eq!(said, expected);
        assert_eq!(ago(at(1_000_000 - 86_400), now), utc(at(913_600)));
        assert_eq!(ago(at(1_000_001), now), "0 s ago", "another machine's clock may be ahead");
    }

    #[test]
    fn a_duration_is_said_by_its_largest_units() {
        let said =
            [0, 40, 400, 1100, 9_950, 12_340, 90_000, 86_400_000, 260_000_000].map(Duration::from_millis);
        let expected = ["0 s", "under 0.1 s", "0.4 s", "1.1 s", "9.9 s", "12 s", "1 min", "1 day", "3 days"];
        assert_eq!(said.map(lasting), expected);
    }

    /// Every character that turns text around, is not seen, or controls: each is spelled.
    #[test]
    fn what_acts_in_a_foreign_value_is_spelled() {
        assert_eq!(Foreign("a\u{202e}b").to_string(), "aU+202Eb");
        let acting = (0..0x20)
            .chain(0x7f..=0x9f)
            .chain([0xad, 0x61c, 0x180e, 0xfeff, 0xe0001, 0xe0041])
            .chain(0x200b..=0x200f)
            .chain(0x2028..=0x202e)
            .chain(0x2060..=0x206f);
        for character in acting.filter_map(char::from_u32) {
            let shown = Foreign(character.encode_utf8(&mut [0; 4])).to_string();
            assert_eq!(shown, format!("U+{:04X}", u32::from(character)));
        }
        for name in ["Ada Okafor", "José Ñandú", "山田 太郎", "مريم", "O'Brien <x>", "👩"] {
            assert_eq!(Foreign(name).to_string(), name);
        }
    }

    #[test]
    fn a_long_foreign_value_is_cut() {
        let long = "é".repeat(201);
        let shown = Foreign(&long).to_string();
        assert_eq!((shown.chars().count(), shown.ends_with('…')), (201, true));
        let whole = "é".repeat(200);
        assert_eq!(Foreign(&whole).to_string(), whole);
    }
}
