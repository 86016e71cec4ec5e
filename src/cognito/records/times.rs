//! Reads the times that records are written with. Pure.

use cognito_user_sync_triggers::timestamp::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// From here on a number is of milliseconds: as seconds it would be in the year 5138.
const FIRST_MILLIS: u64 = 100_000_000_000;

/// A time in UTC: RFC 3339, seconds or milliseconds since 1970, Java's `Wed Jul 17 17:25:55 UTC 2024`, HTTP's
/// `Wed, 17 Jul 2024 17:25:55 GMT`, or a date and a time with a space between them. Of another zone nothing is guessed.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let known = Timestamp::parse(text).ok().or_else(|| number(text)).or_else(|| in_words(text));
    known.or_else(|| {
        let (date, rest) = text.split_once(' ')?;
        let time = rest.strip_suffix(" UTC").or_else(|| rest.strip_suffix(" GMT")).unwrap_or(rest);
        let zone = if time.ends_with('Z') { "" } else { "Z" };
        Timestamp::parse(&format!("{date}T{time}{zone}")).ok()
    })
}

fn number(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole: u64 = whole.parse().ok().filter(|_| is_digits(fraction))?;
    if whole >= FIRST_MILLIS {
        return Some(Timestamp::from_unix_millis(whole));
    }
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(Timestamp::from_unix_millis(whole * 1_000 + fraction.parse::<u64>().ok()?))
}

fn in_words(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let (year, month, day, time) = match words[..] {
        [_, month, day, time, "UTC" | "GMT" | "Z", year] => (year, month, day, time),
        [_, day, month, year, time, "UTC" | "GMT" | "Z" | "+0000"] => (year, month, day, time),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day:0>2}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_the_same_time() {
        for text in [
            "Wed Jul 17 17:25:55 UTC 2024",
            "Wed Jul 17 17:25:55 GMT 2024",
            " wed jul 17 17:25:55 UTC 2024 ",
            "Wed, 17 Jul 2024 17:25:55 GMT",
            "2024-07-17T17:25:55Z",
            "2024-07-17T19:25:55+02:00",
            "2024-07-17 17:25:55",
            "2024-07-17 17:25:55.000",
            "2024-07-17 17:25:55Z",
            "2024-07-17 17:25:55 UTC",
            "1721237155",
            "1721237155.0",
            "1721237155000",
        ] {
            let read = parse(text).map(|at| at.to_string());
            assert_eq!(read.as_deref(), Some("2024-07-17T17:25:55.000Z"), "{text}");
        }
        let of_one_digit = parse("Mon Jul 1 00:00:00 UTC 2024").map(|at| at.to_string());
        assert_eq!(of_one_digit.as_deref(), Some("2024-07-01T00:00:00.000Z"));
        assert_eq!(parse("1721237155.25").map(Timestamp::unix_millis), Some(1_721_237_155_250));
    }

    #[test]
    fn what_is_no_time_or_of_a_zone_that_is_not_known_is_none() {
        for text in [
            "",
            "null",
            "yesterday",
            "Wed Jul 17 17:25:55 PDT 2024",
            "Wed Jul 32 17:25:55 UTC 2024",
            "Wed Foo 17 17:25:55 UTC 2024",
            "-1",
            "1.x",
            "17:25:55",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
