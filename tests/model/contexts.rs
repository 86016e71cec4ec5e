//! Where a login and a sign-up came from, as the rules are told: by all records of them at once.

use std::net::IpAddr;

use cognito_user_sync_triggers::event::{Context, ContextEvent, Occasion, Reporter, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Map, Value, json};

use super::{User, device, non_empty, place, readings};

/// So many of the latest records of each reporter count.
const LATEST: usize = 4;

/// Before and after the login, in milliseconds: both ends count.
fn window(reporter: Reporter) -> (u64, u64) {
    match reporter {
        Reporter::Application => (2_000, 30_000),
        Reporter::ThreatProtection => (15 * 60_000, 8_000),
        Reporter::CloudTrail => (2_000, 8_000),
    }
}

/// What a row shows of its last login.
#[derive(Default)]
pub(super) struct Origin {
    pub(super) ip: Option<IpAddr>,
    pub(super) device: Option<&'static str>,
    pub(super) place: Option<String>,
    pub(super) source: Option<&'static str>,
    pub(super) own: Option<Value>,
}

impl User<'_> {
    /// Of each field the first word that there is, in this order: the application's, threat protection's, the login's own,
    /// CloudTrail's.
    pub(super) fn origin(&self, login: Option<&UserEvent<'static>>) -> Origin {
        let Some(login) = login else { return Origin::default() };
        let client = &login.data.client;
        let own_ip = client.ip.as_deref().and_then(readings::ip);
        let own_device = client.device.as_deref().and_then(device);
        let own_place = client.location.as_deref().and_then(place).map(str::to_owned);
        let ip = self.first(login, own_ip, ip_of);
        let device = self.first(login, own_device, device_of);
        let place = self.first(login, own_place.clone(), place_of);
        let source = ip.as_ref().map(|it| it.0).or(device.map(|it| it.0)).or(place.as_ref().map(|it| it.0));
        let (ip, device, place) = (ip.map(|it| it.1), device.map(|it| it.1), place.map(|it| it.1));
        let is_own = ip == own_ip && device == own_device && place == own_place;
        let own = json!({ "id": login.id.uuid(), "ip": own_ip, "device": own_device, "location": own_place });
        let own: Map<String, Value> =
            own.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
        Origin { ip, device, place, source, own: (!is_own).then(|| own.into()) }
    }

    fn first<T: PartialEq>(
        &self,
        login: &UserEvent<'_>,
        own: Option<T>,
        of: fn(&Context<'_>) -> Option<T>,
    ) -> Option<(&'static str, T)> {
        let word = |reporter, name| Some((name, self.only(login, reporter, of)?));
        word(Reporter::Application, "application")
            .or_else(|| word(Reporter::ThreatProtection, "threat_protection"))
            .or_else(|| Some(("client", own?)))
            .or_else(|| word(Reporter::CloudTrail, "cloudtrail"))
    }

    /// The only value that a reporter has around a login, of the same client, where both are known.
    fn only<T: PartialEq>(
        &self,
        login: &UserEvent<'_>,
        reporter: Reporter,
        of: fn(&Context<'_>) -> Option<T>,
    ) -> Option<T> {
        let (before, after) = window(reporter);
        let login_at = login.id.time().unix_millis();
        let around = |event: &&&ContextEvent<'_>| {
            (login_at - before..=login_at + after).contains(&event.id.time().unix_millis())
        };
        let client = login.data.client_id.as_deref().and_then(non_empty);
        let of_client = |event: &&&ContextEvent<'_>| {
            let other = event.data.client_id.as_deref().and_then(non_empty);
            client.is_none() || other.is_none() || client == other
        };
        let latest = self.latest_of(reporter);
        let mut values: Vec<T> =
            latest.iter().filter(around).filter(of_client).filter_map(|event| of(&event.data)).collect();
        values.dedup();
        if values.len() == 1 { values.pop() } else { None }
    }

    /// The latest of a reporter's sign-ins that say something.
    fn latest_of(&self, reporter: Reporter) -> Vec<&ContextEvent<'static>> {
        let says_something = |data: &Context<'_>| {
            ip_of(data).is_some() || device_of(data).is_some() || place_of(data).is_some()
        };
        let mut latest: Vec<_> = self
            .contexts
            .iter()
            .copied()
            .filter(|event| event.data.reported_by == reporter)
            .filter(|event| event.data.occasion == Occasion::SignIn)
            .filter(|event| !event.data.witness && says_something(&event.data))
            .collect();
        latest.sort_by_key(|event| (event.id.time(), event.id.uuid()));
        latest.split_off(latest.len().saturating_sub(LATEST))
    }

    /// When the latest sign-in was that anybody recorded and that says something.
    pub(super) fn latest_context(&self) -> Option<Timestamp> {
        let latest = Reporter::ALL.into_iter().flat_map(|reporter| self.latest_of(reporter));
        latest.map(|event| event.id.time()).max()
    }

    /// The address of the first recorded sign-up that has one.
    pub(super) fn recorded_sign_up(&self) -> Option<IpAddr> {
        let sign_ups = self.contexts.iter().filter(|event| event.data.occasion == Occasion::SignUp);
        let sign_ups = sign_ups.filter(|event| !event.data.witness && ip_of(&event.data).is_some());
        ip_of(&sign_ups.min_by_key(|event| event.id.uuid())?.data)
    }
}

fn ip_of(data: &Context<'_>) -> Option<IpAddr> {
    data.ip.as_deref().and_then(readings::ip)
}

/// The device that is named, else that of a user agent. Which that is, is a table's word and not a rule to tell again: there
/// are two in the histories.
fn device_of(data: &Context<'_>) -> Option<&'static str> {
    let of_agent = |agent: &str| match agent {
        _ if agent.contains("(iPhone;") => Some("Mobile"),
        _ if agent.contains("(Windows NT") => Some("Desktop"),
        _ => None,
    };
    let named = data.device.as_deref().and_then(device);
    named.or_else(|| data.user_agent.as_deref().and_then(of_agent))
}

/// A place is named by its city, with the country where that is known.
fn place_of(data: &Context<'_>) -> Option<String> {
    let city = data.city.as_deref().and_then(place)?;
    let country = data.country.as_deref().and_then(place);
    Some(country.map_or_else(|| city.to_owned(), |country| format!("{city}, {country}")))
}
