//! What others record of sign-ins: where one came from ([`ContextEvent`]), and those that failed ([`FailuresEvent`]). Must
//! not know who records what: a log, a trail or the application itself.
//!
//! Neither is a login: they come late, in any order, again or never, and no count of logins follows from them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::limits::check_chars;
use super::objects::objects;
use super::{DecodeError, EventId, TEXT_MAX_CHARS};
use crate::text::Text;

/// Most failures of one message. Each is some hundred bytes without its details, so that a message has room for them.
pub const FAILURES_MAX: usize = 10_000;

/// Most characters of an app client's id: Cognito's own limit (`ClientIdType`, Amazon Cognito user pools API Reference).
pub const CLIENT_ID_MAX_CHARS: usize = 128;

/// Where a sign-in, or a sign-up, came from, as somebody recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextEvent<'a> {
    /// Which record, and when what it records happened: [`EventId::of_record`], so that the same record is the same event.
    pub id: EventId,
    /// The user pool.
    pub user_pool_id: Text<'a>,
    /// The user, by its `sub`, where the record says it.
    pub sub: Option<Uuid>,
    /// What was recorded.
    pub data: Context<'a>,
}

/// Who recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reporter {
    /// The application that signed the user in, by its own request.
    Application,
    /// Cognito's threat protection (`userAuthEvents`, "Exporting user pool logs", Cognito Developer Guide).
    ThreatProtection,
    /// AWS CloudTrail's record of the API call.
    #[serde(rename = "cloudtrail")]
    CloudTrail,
}

impl Reporter {
    /// Every reporter, in the order in which they are believed.
    pub const ALL: [Self; 3] = [Self::Application, Self::ThreatProtection, Self::CloudTrail];

    /// The word for it in a message and in a column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::ThreatProtection => "threat_protection",
            Self::CloudTrail => "cloudtrail",
        }
    }

    /// The reporter of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reporter| reporter.as_str() == word)
    }
}

impl<'de> Deserialize<'de> for Reporter {
    /// As a text only: serde would read a unit variant from an object, too, and name that one's key in the error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Text::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| D::Error::custom("not a reporter"))
    }
}

/// What it was that came from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A successful sign-in.
    #[default]
    SignIn,
    /// A sign-up, or its confirmation.
    SignUp,
}

impl Occasion {
    /// The word for it in a message and in a column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::SignUp => "sign_up",
        }
    }

    fn is_sign_in(&self) -> bool {
        *self == Self::SignIn
    }
}

impl<'de> Deserialize<'de> for Occasion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Text::deserialize(deserializer)?;
        let occasion = [Self::SignIn, Self::SignUp].into_iter().find(|occasion| occasion.as_str() == &*word);
        occasion.ok_or_else(|| D::Error::custom("not an occasion"))
    }
}

/// What was recorded of a sign-in. Whatever is absent was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context<'a> {
    /// By whom.
    pub reported_by: Reporter,
    /// Of what.
    #[serde(default, skip_serializing_if = "Occasion::is_sign_in")]
    pub occasion: Occasion,
    /// Whether it only bears witness that there was a sign-in: the address is that of a backend.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub witness: bool,
    /// The app client.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Text<'a>>,
    /// The person's IP address.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Text<'a>>,
    /// The person's user agent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Text<'a>>,
    /// The person's device, as the recorder names it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Text<'a>>,
    /// The city, as the recorder names it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Text<'a>>,
    /// The country, as the recorder names it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Text<'a>>,
    /// By which flow or challenge the sign-in ended.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Text<'a>>,
    /// The recorder's word for its risk.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Text<'a>>,
}

/// Sign-ins that failed, many to a message: each counts by its own id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailuresEvent<'a> {
    /// Which message. Of the failures in it, so that the same ones are the same message.
    pub id: EventId,
    /// The user pool.
    pub user_pool_id: Text<'a>,
    /// What failed.
    pub data: Failures<'a>,
}

/// The failures of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures<'a> {
    /// Who recorded them.
    pub reported_by: Reporter,
    /// At most [`FAILURES_MAX`] failures, by what they have in common.
    #[serde(borrow, deserialize_with = "objects")]
    pub groups: Vec<FailureGroup<'a>>,
}

/// Failures that have these in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureGroup<'a> {
    /// The app client.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Text<'a>>,
    /// Why, by one of few words of ours, such as `wrong_password`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// The network that they came from: /24 of IPv4, /48 of IPv6.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Text<'a>>,
    /// The failures.
    #[serde(borrow, default, deserialize_with = "objects")]
    pub failures: Vec<Failure<'a>>,
}

/// One failed sign-in. Its details are a sample where there are many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure<'a> {
    /// Which record, and when it happened: [`EventId::of_record`].
    pub id: EventId,
    /// The user, where the record says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<Uuid>,
    /// The address.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Text<'a>>,
    /// The user agent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Text<'a>>,
    /// The city, as the recorder names it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Text<'a>>,
    /// The country, as the recorder names it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Text<'a>>,
}

/// A text's field and the text.
type Named<'a, 'b> = (&'static str, &'b mut Option<Text<'a>>);

impl<'a> Context<'a> {
    /// One that says nothing yet.
    #[must_use]
    pub fn by(reported_by: Reporter) -> Self {
        Self {
            reported_by,
            occasion: Occasion::default(),
            witness: false,
            client_id: None,
            ip: None,
            user_agent: None,
            device: None,
            city: None,
            country: None,
            flow: None,
            risk: None,
        }
    }

    /// Drops what is over the contract's limits, so that [`super::Event::decode`] accepts the rest. A user agent keeps its
    /// head, which is the part that says something.
    pub fn bound(&mut self) {
        self.strip_nul();
        self.texts().into_iter().for_each(bound);
    }

    pub(super) fn strip_nul(&mut self) {
        self.texts().into_iter().for_each(strip);
    }

    pub(super) fn check(&mut self) -> Result<(), DecodeError> {
        self.texts().into_iter().try_for_each(check)
    }

    fn texts(&mut self) -> [Named<'a, '_>; 8] {
        [
            ("data.client_id", &mut self.client_id),
            ("data.ip", &mut self.ip),
            ("data.user_agent", &mut self.user_agent),
            ("data.device", &mut self.device),
            ("data.city", &mut self.city),
            ("data.country", &mut self.country),
            ("data.flow", &mut self.flow),
            ("data.risk", &mut self.risk),
        ]
    }

    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Context<'static> {
        let Self {
            reported_by,
            occasion,
            witness,
            client_id,
            ip,
            user_agent,
            device,
            city,
            country,
            flow,
            risk,
        } = self;
        Context {
            reported_by,
            occasion,
            witness,
            client_id: owned(client_id),
            ip: owned(ip),
            user_agent: owned(user_agent),
            device: owned(device),
            city: owned(city),
            country: owned(country),
            flow: owned(flow),
            risk: owned(risk),
        }
    }
}

impl ContextEvent<'_> {
    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> ContextEvent<'static> {
        let Self { id, user_pool_id, sub, data } = self;
        ContextEvent { id, user_pool_id: user_pool_id.into_owned(), sub, data: data.into_owned() }
    }
}

impl FailuresEvent<'_> {
    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> FailuresEvent<'static> {
        let Self { id, user_pool_id, data } = self;
        FailuresEvent { id, user_pool_id: user_pool_id.into_owned(), data: data.into_owned() }
    }
}

impl<'a> Failures<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.failures.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each failure, with what it has in common with others.
    pub fn iter(&self) -> impl Iterator<Item = (&FailureGroup<'a>, &Failure<'a>)> {
        self.groups.iter().flat_map(|group| group.failures.iter().map(move |failure| (group, failure)))
    }

    /// Drops what is over the contract's limits, and groups without a failure, so that [`super::Event::decode`] accepts the
    /// rest, but for the number of failures.
    pub fn bound(&mut self) {
        self.groups.retain(|group| !group.failures.is_empty());
        self.strip_nul();
        self.each_text(|text| {
            bound(text);
            Ok(())
        })
        .unwrap_or_default();
    }

    pub(super) fn strip_nul(&mut self) {
        self.each_text(|text| {
            strip(text);
            Ok(())
        })
        .unwrap_or_default();
    }

    pub(super) fn check(&mut self) -> Result<(), DecodeError> {
        let actual = self.len().max(self.groups.len());
        if actual > FAILURES_MAX {
            return Err(DecodeError::Oversized { field: "data.groups".into(), limit: FAILURES_MAX, actual });
        }
        if self.is_empty() || self.groups.iter().any(|group| group.failures.is_empty()) {
            return Err(DecodeError::malformed("data.groups", "no failures"));
        }
        self.each_text(check)
    }

    fn each_text(
        &mut self,
        mut each: impl FnMut(Named<'a, '_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        for group in &mut self.groups {
            each(("data.groups.client_id", &mut group.client_id))?;
            each(("data.groups.reason", &mut group.reason))?;
            each(("data.groups.network", &mut group.network))?;
            for failure in &mut group.failures {
                each(("data.groups.failures.ip", &mut failure.ip))?;
                each(("data.groups.failures.user_agent", &mut failure.user_agent))?;
                each(("data.groups.failures.city", &mut failure.city))?;
                each(("data.groups.failures.country", &mut failure.country))?;
            }
        }
        Ok(())
    }

    /// The same, and no longer tied to the message that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Failures<'static> {
        let failure = |failure: Failure<'_>| {
            let Failure { id, sub, ip, user_agent, city, country } = failure;
            Failure {
                id,
                sub,
                ip: owned(ip),
                user_agent: owned(user_agent),
                city: owned(city),
                country: owned(country),
            }
        };
        let group = |group: FailureGroup<'_>| {
            let FailureGroup { client_id, reason, network, failures } = group;
            FailureGroup {
                client_id: owned(client_id),
                reason: owned(reason),
                network: owned(network),
                failures: failures.into_iter().map(failure).collect(),
            }
        };
        let Self { reported_by, groups } = self;
        Failures { reported_by, groups: groups.into_iter().map(group).collect() }
    }
}

fn owned(text: Option<Text<'_>>) -> Option<Text<'static>> {
    text.map(Text::into_owned)
}

fn strip((_, text): Named<'_, '_>) {
    text.iter_mut().for_each(|text| text.remove('\0'));
}

fn check((field, text): Named<'_, '_>) -> Result<(), DecodeError> {
    check_chars(field, text.as_deref().unwrap_or_default(), most(field))
}

fn bound((field, text): Named<'_, '_>) {
    let is_over = text.as_deref().is_some_and(|text| text.chars().count() > most(field));
    if !is_over {
        return;
    }
    let head = |text: Text<'_>| text.chars().take(TEXT_MAX_CHARS).collect::<String>().into();
    *text = text.take().filter(|_| field.ends_with("user_agent")).map(head);
}

fn most(field: &str) -> usize {
    if field.ends_with("client_id") { CLIENT_ID_MAX_CHARS } else { TEXT_MAX_CHARS }
}
