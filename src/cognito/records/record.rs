//! What a record says, whoever wrote it, and how its words are cleaned. Pure.

use std::net::IpAddr;

use cognito_user_sync_triggers::event::{EventId, Occasion, Reporter, TEXT_MAX_CHARS};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::cognito::cloudtrail::{HIDDEN, Whose};

/// A sign-in or a sign-up that was recorded, or a sign-in that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who recorded it.
    pub reporter: Reporter,
    /// Which record, and when what it records happened.
    pub id: EventId,
    /// Of which pool it is, as far as it says.
    pub whose: Whose,
    /// The app client.
    pub client_id: Option<String>,
    /// The user.
    pub sub: Option<Uuid>,
    /// What happened.
    pub what: What,
    /// Whose the origin is.
    pub origin_of: OriginOf,
    /// Where it came from.
    pub origin: Origin,
    /// The flow, the challenge or the operation.
    pub flow: Option<String>,
    /// Threat protection's words for its risk.
    pub risk: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Somebody signed in or up.
    Success(Occasion),
    /// A sign-in failed, for this reason: one of few words.
    Failure(&'static str),
}

/// Whose address and device a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginOf {
    /// The person's: who called Cognito has said so.
    Person,
    /// Those of whoever called Cognito: the person's own device, or a backend.
    Caller,
    /// A backend's.
    Backend,
}

/// Where something came from. Whatever is absent was not recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address.
    pub ip: Option<IpAddr>,
    /// The user agent.
    pub user_agent: Option<String>,
    /// The device, as it is named.
    pub device: Option<String>,
    /// The city, as it is named.
    pub city: Option<String>,
    /// The country, as it is named.
    pub country: Option<String>,
}

/// Why a record is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// It is not a JSON object.
    Unreadable,
    /// It is of another service, or of something else of Cognito's.
    NotCognito,
    /// An operation or an event that is no sign-in, or that this build does not know.
    UnknownName,
    /// An event of managed login's pages, which has no user and does not say whether it was a sign-in.
    ManagedLogin,
    /// New tokens for a user who had signed in before.
    Refresh,
    /// A challenge: the sign-in goes on.
    Challenge,
    /// It says neither that there are tokens nor that the call failed.
    NoResult,
    /// A sign-up that failed.
    FailedSignUp,
    /// A sign-up without a `sub`.
    NoSub,
    /// It has no id, so that nobody could know it again.
    NoId,
    /// It has no time that can be read.
    NoTime,
    /// It names another user pool.
    OtherPool,
    /// It names no user pool, and no app client of one of ours.
    UnknownClient,
    /// CloudWatch Logs asks whether we are there.
    ControlMessage,
    /// A payload that is larger, once unpacked, than any that CloudWatch Logs sends.
    TooLarge,
}

impl Ignored {
    /// A stable word: the label of a metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NotCognito => "not_cognito",
            Self::UnknownName => "unknown_name",
            Self::ManagedLogin => "managed_login",
            Self::Refresh => "refresh",
            Self::Challenge => "challenge",
            Self::NoResult => "no_result",
            Self::FailedSignUp => "failed_sign_up",
            Self::NoSub => "no_sub",
            Self::NoId => "no_id",
            Self::NoTime => "no_time",
            Self::OtherPool => "other_pool",
            Self::UnknownClient => "unknown_client",
            Self::ControlMessage => "control_message",
            Self::TooLarge => "too_large",
        }
    }

    /// Whether it may be a record that this build should have understood.
    #[must_use]
    pub fn is_odd(self) -> bool {
        match self {
            Self::Unreadable | Self::NoResult | Self::NoId | Self::NoTime | Self::TooLarge => true,
            Self::NotCognito
            | Self::UnknownName
            | Self::ManagedLogin
            | Self::Refresh
            | Self::Challenge
            | Self::FailedSignUp
            | Self::NoSub
            | Self::OtherPool
            | Self::UnknownClient
            | Self::ControlMessage => false,
        }
    }
}

/// The id of a record: of its time, with bits of the SHA-256 of who recorded it and by which name.
#[must_use]
pub(super) fn record_id(at: Timestamp, reporter: Reporter, record: &str) -> EventId {
    let digest = Sha256::digest(format!("{}:{record}", reporter.as_str()));
    let bits = digest.iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    EventId::of_record(at, bits)
}

/// A word, unless it is one of those that stand for none. One that is too long is cut where its head says enough.
pub(super) fn word(text: String) -> Option<String> {
    // The last two are no characters of XML, in which SQS has its messages.
    let text = text.replace(['\0', '\u{fffe}', '\u{ffff}'], "");
    let text = text.trim();
    let is_none =
        ["", "null", "none", "undefined", HIDDEN].iter().any(|none| text.eq_ignore_ascii_case(none));
    // "Other, Other" is a browser and a system that nobody knows.
    let is_other = || text.split(',').all(|part| part.trim().eq_ignore_ascii_case("other"));
    (!is_none && !is_other()).then(|| text.chars().take(TEXT_MAX_CHARS).collect())
}

/// A person's user agent: not the name of a service that called in its own right.
pub(super) fn user_agent(text: String) -> Option<String> {
    word(text).filter(|text| !text.ends_with(".amazonaws.com") && text != "AWS Internal")
}

/// An address. A service's name is none.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// A user. Whatever is no UUID is nobody.
pub(super) fn sub(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text.trim()).ok().filter(|sub| !sub.is_nil())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_record_is_the_same_event_for_ever() {
        let at = Timestamp::parse("2026-11-23T15:31:00Z").unwrap();
        let id = |reporter, record| record_id(at, reporter, record);
        let record = "5e7b27a0-6870-4226-adb4-000000000002";
        assert_eq!(id(Reporter::CloudTrail, record).to_string(), "01a20908-2b20-7fcc-93ef-acf80dcc4ad2");
        assert_eq!(id(Reporter::CloudTrail, record).time(), at);
        assert_ne!(id(Reporter::CloudTrail, record), id(Reporter::ThreatProtection, record));
        assert_ne!(id(Reporter::CloudTrail, record), id(Reporter::CloudTrail, "another"));
        assert_eq!(
            EventId::from_uuid(id(Reporter::CloudTrail, record).uuid()),
            Ok(id(Reporter::CloudTrail, record))
        );
    }

    #[test]
    fn a_word_that_stands_for_none_is_none() {
        for text in
            ["", " ", "null", "NULL", "None", "undefined", "Other, Other", "other,Other", "\0", HIDDEN]
        {
            assert_eq!(word(text.to_owned()), None, "{text}");
        }
        for (text, expected) in
            [(" Paris ", "Paris"), ("Chrome 126, Other", "Chrome 126, Other"), ("a\0b", "ab")]
        {
            assert_eq!(word(text.to_owned()).as_deref(), Some(expected));
        }
        assert_eq!(word("é".repeat(5_000)).unwrap().chars().count(), TEXT_MAX_CHARS);
    }

    #[test]
    fn a_service_is_neither_an_address_nor_a_user_agent() {
        for name in ["cognito-idp.amazonaws.com", "AWS Internal", "", "null"] {
            assert_eq!((address(name), user_agent(name.to_owned())), (None, None), "{name}");
        }
        for (text, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            (" 203.0.113.9 ", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:DB8::1", "2001:db8::1"),
        ] {
            assert_eq!(address(text).map(|ip| ip.to_string()).as_deref(), Some(expected));
        }
    }
}
