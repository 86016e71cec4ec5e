//! Where a user's last login came from, as others recorded it: which contexts are kept beside the row, and what the login
//! columns show by them. Pure, and a function of the set of events: it must not know what arrived first.
//!
//! A context names no login. So a reporter's word for a field is the *only* value among its contexts in a window around the
//! login; where there are several, that reporter is silent. The nearest one would be wrong ten times as often.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use cognito_user_sync_triggers::event::{ContextEvent, EventId, Occasion, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::geoip::{GeoIp, names_a_city};
use crate::store::model::device::Device;
use crate::store::model::state::{Login, SignUp};
use crate::store::model::{ip, profile};

/// Contexts that are kept of each reporter: the latest ones.
pub(in crate::store) const KEPT: usize = 4;

/// How far the time of a reporter's context may be from the time of its login, in milliseconds. Begun with, and confirmed by
/// nobody: CloudTrail's is the second in which the call ended, threat protection's may be that of the first challenge.
pub(in crate::store) const fn window(reporter: Reporter) -> RangeInclusive<i64> {
    match reporter {
        Reporter::CloudTrail => -2_000..=8_000,
        Reporter::Application => -2_000..=30_000,
        Reporter::ThreatProtection => -LARGEST_BACK_WINDOW_MILLIS..=8_000,
    }
}

/// No context that is older than its login by more than this says anything of it.
pub(in crate::store) const LARGEST_BACK_WINDOW_MILLIS: i64 = 15 * 60 * 1_000;

/// Where a sign-in came from, as one reporter says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) ip: Option<IpAddr>,
    /// A class that a later release knows is none here: a sign-in must not fail by it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_device")]
    pub(in crate::store) device: Option<Device>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) location: Option<String>,
}

/// The contexts that a user's row follows from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Contexts {
    /// The [`KEPT`] latest of each reporter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "known_reporters")]
    pub(in crate::store) sign_ins: BTreeMap<Reporter, BTreeMap<EventId, Kept>>,
    /// The least record of a sign-up that has an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) sign_up: Option<(EventId, IpAddr)>,
}

impl Contexts {
    /// What one event amounts to. A witness's address is a backend's: nothing of it is kept.
    pub(in crate::store) fn of(event: &ContextEvent<'_>, geoip: &GeoIp) -> Self {
        let mut contexts = Self::default();
        let data = &event.data;
        if data.witness {
            return contexts;
        }
        let address = data.ip.as_deref().and_then(ip::parse);
        if data.occasion == Occasion::SignUp {
            contexts.sign_up = address.map(|address| (event.id, address));
            return contexts;
        }
        let device =
            data.device.as_deref().and_then(|name| Device::parse(name).or_else(|| Device::of_name(name)));
        let kept = Kept {
            client_id: data.client_id.as_deref().filter(|id| !id.is_empty()).map(str::to_owned),
            ip: address,
            device: device.or_else(|| data.user_agent.as_deref().and_then(Device::of_user_agent)),
            location: place(data.city.as_deref(), data.country.as_deref())
                .or_else(|| address.and_then(|address| geoip.of(address))),
        };
        // What says nothing is only in the ledger.
        if kept.ip.is_some() || kept.device.is_some() || kept.location.is_some() {
            contexts.sign_ins.entry(data.reported_by).or_default().insert(event.id, kept);
        }
        contexts
    }

    /// What both sets of events together amount to.
    pub(in crate::store) fn merge(&mut self, other: Self) {
        for (reporter, others) in other.sign_ins {
            let own = self.sign_ins.entry(reporter).or_default();
            for (id, kept) in others {
                own.entry(id).or_insert(kept);
            }
            while own.len() > KEPT {
                own.pop_first();
            }
        }
        self.sign_up = match (self.sign_up, other.sign_up) {
            (Some(own), Some(others)) => Some(own.min(others)),
            (own, others) => own.or(others),
        };
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The time of the latest sign-in that is kept.
    pub(in crate::store) fn until(&self) -> Option<Timestamp> {
        self.sign_ins.values().filter_map(|kept| kept.keys().next_back()).max().map(|id| id.time())
    }

    /// A reporter's word for a field of a login: the only value among its contexts around it.
    fn word<'a, T: PartialEq>(
        &'a self,
        reporter: Reporter,
        login: &Login,
        field: impl Fn(&'a Kept) -> Option<&'a T>,
    ) -> Option<&'a T> {
        let is_around = |id: &EventId| window(reporter).contains(&apart(id.time(), login.id.time()));
        let is_of_client = |kept: &Kept| match (&kept.client_id, &login.client_id) {
            (Some(own), Some(logins)) => own == logins,
            (None, _) | (_, None) => true,
        };
        let around = self.sign_ins.get(&reporter)?.iter();
        let around = around.filter(|(id, kept)| is_around(id) && is_of_client(kept));
        let mut values = around.filter_map(|(_, kept)| field(kept));
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }
}

/// What the events amount to for each user of whom any is kept.
pub(in crate::store) fn fold<'a>(
    events: impl IntoIterator<Item = &'a ContextEvent<'a>>,
    geoip: &GeoIp,
) -> BTreeMap<Uuid, Contexts> {
    let mut users = BTreeMap::<Uuid, Contexts>::new();
    for (user, contexts) in
        events.into_iter().filter_map(|event| Some((event.sub?, Contexts::of(event, geoip))))
    {
        if !contexts.is_empty() {
            users.entry(user).or_default().merge(contexts);
        }
    }
    users
}

fn known_device<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Device>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name.and_then(|name| Device::parse(&name)))
}

fn known_reporters<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Reporter, BTreeMap<EventId, Kept>>, D::Error> {
    let all = BTreeMap::<String, BTreeMap<EventId, Kept>>::deserialize(deserializer)?;
    Ok(all.into_iter().filter_map(|(name, kept)| Some((Reporter::parse(&name)?, kept))).collect())
}

/// Most characters of a place that is kept: the longest there are have some 200.
const PLACE_MAX_CHARS: usize = 256;

/// `city, country` where the reporter names a city, as it writes it.
fn place(city: Option<&str>, country: Option<&str>) -> Option<String> {
    let city = city.and_then(profile::text).filter(|city| names_a_city(city))?;
    let place = match country.and_then(profile::text).filter(|country| names_a_city(country)) {
        Some(country) => format!("{city}, {country}"),
        None => city.to_owned(),
    };
    Some(place).filter(|place| place.chars().count() <= PLACE_MAX_CHARS)
}

/// How much later `a` is than `b`, in milliseconds.
fn apart(a: Timestamp, b: Timestamp) -> i64 {
    let millis = |time: Timestamp| i64::try_from(time.unix_millis()).unwrap_or(i64::MAX);
    millis(a).saturating_sub(millis(b))
}

/// Who said something of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Source {
    Reporter(Reporter),
    /// The login itself, by its ClientMetadata.
    Client,
}

/// Whose word counts before whose, for each field by itself.
const PRECEDENCE: [Source; 4] = [
    Source::Reporter(Reporter::Application),
    Source::Reporter(Reporter::ThreatProtection),
    Source::Client,
    Source::Reporter(Reporter::CloudTrail),
];

impl Source {
    /// The word for it in a column.
    pub(in crate::store) fn as_str(self) -> &'static str {
        match self {
            Self::Reporter(reporter) => reporter.as_str(),
            Self::Client => "client",
        }
    }
}

/// What the login columns show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Resolved<'a> {
    pub(in crate::store) ip: Option<IpAddr>,
    pub(in crate::store) device: Option<Device>,
    pub(in crate::store) location: Option<&'a str>,
    /// Who said the address; where nobody did, who said the device; else who said the place.
    pub(in crate::store) source: Option<Source>,
}

impl<'a> Resolved<'a> {
    /// What the columns show of a login by the contexts that are kept.
    pub(in crate::store) fn of(login: &'a Login, contexts: &'a Contexts) -> Self {
        let ip = first(contexts, login, login.ip.as_ref(), |kept| kept.ip.as_ref());
        let device = first(contexts, login, login.device.as_ref(), |kept| kept.device.as_ref());
        let location = first(contexts, login, login.location.as_ref(), |kept| kept.location.as_ref());
        let sources = [ip.map(|it| it.0), device.map(|it| it.0), location.map(|it| it.0)];
        Self {
            ip: ip.map(|(_, ip)| *ip),
            device: device.map(|(_, device)| *device),
            location: location.map(|(_, location)| location.as_str()),
            source: sources.into_iter().flatten().next(),
        }
    }

    /// Whether the columns show what the login itself said, so that it need not be kept beside them.
    pub(in crate::store) fn is_own(&self, login: &Login) -> bool {
        self.ip == login.ip && self.device == login.device && self.location == login.location.as_deref()
    }
}

/// What a login itself said, where the columns show something else: by this it is resolved again when more contexts come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct OwnWords {
    /// The login. An older release may have moved the last login, and left this.
    pub(in crate::store) id: EventId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) device: Option<Device>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) location: Option<String>,
}

/// Where a user came from: what the columns that follow from contexts, too, are made of.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Origins<'a> {
    pub(in crate::store) last_login: Option<&'a Login>,
    pub(in crate::store) sign_up: Option<&'a SignUp>,
    pub(in crate::store) contexts: &'a Contexts,
}

impl<'a> Origins<'a> {
    /// What is shown of the last login.
    pub(in crate::store) fn shown(&self) -> Resolved<'a> {
        self.last_login.map(|login| Resolved::of(login, self.contexts)).unwrap_or_default()
    }

    /// What the last login said, where something else is shown.
    pub(in crate::store) fn own_words(&self) -> Option<OwnWords> {
        let login = self.last_login.filter(|login| !self.shown().is_own(login))?;
        let Login { id, client_id: _, ip, device, location, user_agent: _ } = login;
        Some(OwnWords { id: *id, ip: *ip, device: *device, location: location.clone() })
    }

    /// The first confirmation's own address, else that of the least record of a sign-up.
    pub(in crate::store) fn created_ip(&self) -> Option<IpAddr> {
        self.own_created_ip().or_else(|| self.contexts.sign_up.map(|(_, ip)| ip))
    }

    /// The first confirmation, where the address that is shown is not its own.
    pub(in crate::store) fn created_ip_for(&self) -> Option<EventId> {
        let is_recorded = self.own_created_ip().is_none() && self.contexts.sign_up.is_some();
        self.sign_up.filter(|_| is_recorded).map(|sign_up| sign_up.id)
    }

    fn own_created_ip(&self) -> Option<IpAddr> {
        self.sign_up.and_then(|sign_up| sign_up.ip)
    }
}

/// The word that counts for a field, and whose it is.
fn first<'a, T: PartialEq>(
    contexts: &'a Contexts,
    login: &'a Login,
    own: Option<&'a T>,
    field: impl Fn(&'a Kept) -> Option<&'a T> + Copy,
) -> Option<(Source, &'a T)> {
    PRECEDENCE.into_iter().find_map(|source| {
        let word = match source {
            Source::Client => own,
            Source::Reporter(reporter) => contexts.word(reporter, login, field),
        };
        word.map(|word| (source, word))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A consumer of this release beside one of the next must apply the user's sign-ins.
    #[test]
    fn what_a_later_release_keeps_is_read_as_far_as_it_is_known() {
        let state = r#"{"sign_ins":{"cloudtrail":{"019ad000-0000-7000-8000-000000000001":{"ip":"192.0.2.1","device":"Watch"}},
            "network_firewall":{"019ad000-0000-7000-8000-000000000002":{"ip":"192.0.2.2"}}},"later":1}"#;
        let contexts: Contexts = serde_json::from_str(state).unwrap();
        let kept: Vec<_> = contexts.sign_ins.values().flat_map(BTreeMap::values).collect();
        assert_eq!(contexts.sign_ins.keys().collect::<Vec<_>>(), [&Reporter::CloudTrail]);
        let expected = Kept { ip: Some("192.0.2.1".parse().unwrap()), ..Kept::default() };
        assert_eq!(kept, [&expected]);
    }

    #[test]
    fn a_place_is_no_longer_than_places_are() {
        assert_eq!(place(Some("Graz"), Some("Austria")).as_deref(), Some("Graz, Austria"));
        assert_eq!(place(Some("Graz"), Some("null")).as_deref(), Some("Graz"));
        assert_eq!(
            place(Some(&"G".repeat(PLACE_MAX_CHARS)), None).map(|place| place.len()),
            Some(PLACE_MAX_CHARS)
        );
        assert_eq!(place(Some(&"G".repeat(PLACE_MAX_CHARS)), Some("Austria")), None);
    }
}
