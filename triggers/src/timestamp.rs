//! A point in time as the contract knows it: UTC, whole milliseconds, 1970 to 9999.
//!
//! Must not read the clock anywhere but in [`Timestamp::now`].

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339's four-digit year can write.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The wall clock, now.
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    /// From milliseconds since 1970; what lies after [`Timestamp::MAX`] becomes it.
    #[must_use]
    pub fn from_unix_millis(millis: u64) -> Self {
        Self(millis.min(Self::MAX.0))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn unix_millis(self) -> u64 {
        self.0
    }

    /// Reads RFC 3339, any offset; digits below the millisecond are cut.
    ///
    /// # Errors
    /// When the text is no RFC 3339 time, or lies before 1970 or after 9999.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp)?;
        let millis = parsed.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(millis).ok().filter(|millis| *millis <= Self::MAX.0).map(Self).ok_or(InvalidTimestamp)
    }
}

/// The text was no RFC 3339 time between 1970 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time between 1970 and 9999, such as 2026-01-31T08:30:00.125Z")]
pub struct InvalidTimestamp;

impl From<Timestamp> for OffsetDateTime {
    fn from(timestamp: Timestamp) -> Self {
        // In range by construction: MAX is below OffsetDateTime's own limit.
        Self::from_unix_timestamp_nanos(i128::from(timestamp.0) * 1_000_000).unwrap_or(Self::UNIX_EPOCH)
    }
}

impl From<OffsetDateTime> for Timestamp {
    /// Cuts digits below the millisecond; what lies outside 1970 to 9999 becomes the nearer end.
    fn from(at: OffsetDateTime) -> Self {
        let millis = at.unix_timestamp_nanos().div_euclid(1_000_000).max(0);
        Self::from_unix_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// RFC 3339 with exactly three digits of fraction, in UTC: `2026-01-31T08:30:00.125Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from(*self);
        let (date, clock) = (at.date(), at.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second(),
            clock.millisecond()
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_any_offset_and_cuts_below_the_millisecond() {
        let expected = Timestamp::from_unix_millis(1_769_848_200_125);
        for text in
            ["2026-01-31T08:30:00.125Z", "2026-01-31T09:30:00.1259+01:00", "2026-01-31t08:30:00.125000z"]
        {
            assert_eq!(Timestamp::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(expected.to_string(), "2026-01-31T08:30:00.125Z");
    }

    #[test]
    fn refuses_what_it_cannot_write_back() {
        for text in [
            "",
            "yesterday",
            "1969-12-31T23:59:59Z",
            "2026-02-30T00:00:00Z",
            "2026-01-31 08:30",
            "99999-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), Err(InvalidTimestamp), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_timestamp_survives_its_own_text(millis in 0..=Timestamp::MAX.0) {
            let timestamp = Timestamp::from_unix_millis(millis);
            prop_assert_eq!(Timestamp::parse(&timestamp.to_string()).unwrap(), timestamp);
            prop_assert_eq!(Timestamp::from(OffsetDateTime::from(timestamp)), timestamp);
        }
    }
}
