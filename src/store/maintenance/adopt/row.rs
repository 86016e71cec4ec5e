//! What a row of the old table amounts to: a state as the fold makes it of events, and the application's own
//! values beside it. Pure. What finds no place in the new row is named, never dropped in silence.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cognito_user_sync_triggers::event::EventId;
use cognito_user_sync_triggers::timestamp::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::geoip::{GeoIp, names_a_city};
use crate::store::maintenance::adopt::{Options, Profile};
use crate::store::model::claims::{Claim, IdentifierKind};
use crate::store::model::columns::{DEFAULT_LANGUAGE, NAMELESS, Owned, Since, UserRow};
use crate::store::model::contexts::Contexts;
use crate::store::model::deletions::Deletions;
use crate::store::model::device::Device;
use crate::store::model::state::{
    Delta, Login, Register, Registers, STATUS, SignUp, USER_POOL_ID, USERNAME, UserState,
};
use crate::store::model::{ip, referral};

/// A row of the old table, as `declare_old_rows.sql` reads it: an empty text is none.
#[derive(Debug, Clone)]
pub(super) struct OldRow {
    pub(super) id: Uuid,
    pub(super) phone_number: Option<String>,
    pub(super) phone_number_verified: bool,
    pub(super) email: Option<String>,
    pub(super) email_verified: bool,
    pub(super) name: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) has_date_of_birth: bool,
    pub(super) date_of_birth: Option<String>,
    pub(super) gender: Option<String>,
    pub(super) country_code: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) language: Option<String>,
    pub(super) profile_picture_url: Option<String>,
    pub(super) is_active: bool,
    pub(super) is_deleted: bool,
    pub(super) is_verified: bool,
    pub(super) cognito_username: Option<String>,
    pub(super) cognito_status: Option<String>,
    pub(super) last_login_at: Option<Timestamp>,
    pub(super) last_login_ip: Option<String>,
    pub(super) last_login_device: Option<String>,
    pub(super) last_login_location: Option<String>,
    pub(super) login_count: u64,
    pub(super) created_at: Timestamp,
    pub(super) created_ip: Option<String>,
    pub(super) updated_at: Timestamp,
    pub(super) deleted_at: Option<Timestamp>,
    pub(super) referral_code: Option<String>,
    pub(super) is_referred: bool,
    pub(super) referrer_id: Option<Uuid>,
    pub(super) referrer_code: Option<String>,
    pub(super) bio: Option<String>,
    pub(super) is_premium: bool,
    pub(super) preferences: Option<String>,
    pub(super) settings: Option<String>,
    pub(super) metadata: Option<String>,
}

/// What a new row holds before the service writes its columns: the application's own, and what cannot be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApplicationColumns {
    pub(super) referral_code: String,
    pub(super) name: String,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) date_of_birth: Option<String>,
    pub(super) gender: Option<String>,
    pub(super) profile_picture_url: Option<String>,
    pub(super) country_code: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) language: String,
    /// Names of columns that the application owns, with commas between.
    pub(super) app_owned: String,
    pub(super) bio: Option<String>,
    pub(super) is_premium: bool,
    pub(super) preferences: String,
    pub(super) settings: String,
    pub(super) metadata: String,
}

/// One row, as it is adopted.
#[derive(Debug, Clone)]
pub(super) struct NewRow {
    pub(super) id: Uuid,
    pub(super) delta: Delta,
    pub(super) application: ApplicationColumns,
    /// Columns whose old value the new row does not show.
    pub(super) not_carried: BTreeSet<&'static str>,
}

impl NewRow {
    /// What `old` amounts to.
    pub(super) fn of(old: &OldRow, options: &Options, geoip: &GeoIp) -> Self {
        let mut not_carried = BTreeSet::new();
        let delta = delta(old, options, geoip, &mut not_carried);
        let application = application_columns(old, options.profile, &mut not_carried);
        note_what_is_derived(old, &delta.state, &application, &mut not_carried);
        Self { id: old.id, delta, application, not_carried }
    }
}

fn delta(old: &OldRow, options: &Options, geoip: &GeoIp, not_carried: &mut BTreeSet<&'static str>) -> Delta {
    let (created_at, updated_at) = (old.created_at.min(options.now), old.updated_at.min(options.now));
    let deleted_at = old.is_deleted.then(|| old.deleted_at.unwrap_or(updated_at).min(options.now));
    let last_login = last_login(old, options.now, geoip, not_carried);
    let seen = [Some(updated_at), deleted_at, last_login.as_ref().map(|login| login.id.time())];
    let state = UserState {
        registers: registers(old, event_id(old.id, "profile", updated_at), options),
        whole: None,
        // Deleted says it already; that an account was disabled as well is not known.
        disabled: (!old.is_active && !old.is_deleted).then_some((updated_at, true)),
        deletions: Deletions::at(deleted_at),
        authentications: old.login_count,
        federated_login: false,
        last_login,
        sign_up: sign_up(old, created_at, not_carried),
        created_at,
        synced_at: seen.into_iter().flatten().fold(created_at, Timestamp::max),
    };
    let shown = IdentifierKind::ALL.into_iter().filter_map(|kind| state.identifier(kind));
    // The old table does not say since when: at the earliest, when there was the user.
    let claim =
        |verified: bool| Claim { since: verified.then_some(updated_at), shown: Some(state.created_at) };
    let claims = shown.map(|(identifier, verified)| (identifier, claim(verified))).collect();
    Delta { state, claims }
}

/// One id a row and purpose, so that adopting the same table twice gives the same rows.
fn event_id(sub: Uuid, purpose: &str, time: Timestamp) -> EventId {
    let digest =
        Sha256::new().chain_update(purpose).chain_update([0]).chain_update(sub.as_bytes()).finalize();
    let mut bits = [0; 10];
    bits.iter_mut().zip(digest.iter()).for_each(|(bit, from)| *bit = *from);
    let id = uuid::Builder::from_unix_timestamp_millis(time.unix_millis(), &bits).into_uuid();
    EventId::from_uuid(id).unwrap_or_else(|_| EventId::new(time))
}

fn registers(old: &OldRow, version: EventId, options: &Options) -> Registers {
    let flag = |verified: bool| Some(if verified { "true" } else { "false" }.to_owned());
    let texts = [
        ("email", &old.email, flag(old.email_verified)),
        ("phone_number", &old.phone_number, flag(old.phone_number_verified)),
        ("name", &old.name, None),
        ("given_name", &old.first_name, None),
        ("family_name", &old.last_name, None),
        ("birthdate", &old.date_of_birth, None),
        ("gender", &old.gender, None),
        ("zoneinfo", &old.timezone, None),
        ("locale", &old.language, None),
        ("picture", &old.profile_picture_url, None),
        (STATUS, &old.cognito_status, None),
        (USERNAME, &old.cognito_username, None),
        (USER_POOL_ID, &options.user_pool_id, None),
    ];
    let register = |(name, value, flag): (&str, &Option<String>, Option<String>)| {
        Some((name.to_owned(), Register { version, value: value.clone()?, flag, left: None }))
    };
    texts.into_iter().filter_map(register).collect()
}

fn last_login(
    old: &OldRow,
    now: Timestamp,
    geoip: &GeoIp,
    not_carried: &mut BTreeSet<&'static str>,
) -> Option<Login> {
    let at = old.last_login_at.map(|at| at.min(now));
    // Without a time there is no login that the others could be of.
    let of_login = |text: &Option<String>| text.clone().filter(|_| at.is_some());
    let ip = of_login(&old.last_login_ip).as_deref().and_then(ip);
    let device = of_login(&old.last_login_device)
        .and_then(|text| Device::parse(&text).or_else(|| Device::of_user_agent(&text)));
    let location = of_login(&old.last_login_location).filter(|place| names_a_city(place));
    for (column, was_known, is_known) in [
        ("last_login_ip", old.last_login_ip.is_some(), ip.is_some()),
        ("last_login_device", old.last_login_device.is_some(), device.is_some()),
        ("last_login_location", old.last_login_location.is_some(), location.is_some()),
    ] {
        if was_known && !is_known {
            not_carried.insert(column);
        }
    }
    let id = event_id(old.id, "login", at?);
    let mut login = Login { id, client_id: None, ip, device, location, user_agent: None };
    login.resolve(geoip);
    Some(login)
}

/// The old table has no time of confirmation: what is known of the sign-up is dated by the row's creation.
fn sign_up(old: &OldRow, created_at: Timestamp, not_carried: &mut BTreeSet<&'static str>) -> Option<SignUp> {
    let ip = old.created_ip.as_deref().and_then(ip);
    if old.created_ip.is_some() && ip.is_none() {
        not_carried.insert("created_ip");
    }
    let referrer = old.referrer_id.filter(|referrer| *referrer != old.id);
    let referral_code = referrer.map(|referrer| code(referrer, old.referrer_code.as_deref()));
    if old.is_referred && referral_code.is_none() {
        not_carried.insert("referred_by");
    }
    let has_status = matches!(old.cognito_status.as_deref(), Some("CONFIRMED" | "EXTERNAL_PROVIDER"));
    let has_verified =
        old.email.is_some() && old.email_verified || old.phone_number.is_some() && old.phone_number_verified;
    let is_known = has_status || has_verified || ip.is_some() || referral_code.is_some();
    is_known.then(|| SignUp { id: event_id(old.id, "sign-up", created_at), ip, referral_code })
}

/// A user's code: the one that the old table handed out, else the product's own.
fn code(user: Uuid, old: Option<&str>) -> String {
    old.and_then(referral::parse).unwrap_or_else(|| referral::referral_code(user))
}

/// The address as the application wrote it; PostgreSQL writes an `inet` with its mask.
fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let host = text.strip_suffix("/32").or_else(|| text.strip_suffix("/128")).unwrap_or(text);
    ip::parse(host)
}

fn application_columns(
    old: &OldRow,
    profile: Profile,
    not_carried: &mut BTreeSet<&'static str>,
) -> ApplicationColumns {
    let own = |value: &Option<String>| match profile {
        Profile::Application => value.clone(),
        Profile::Cognito => None,
    };
    let name = own(&old.name).filter(|name| !name.trim().is_empty());
    let language = own(&old.language).filter(|language| language != DEFAULT_LANGUAGE);
    let country =
        own(&old.country_code).filter(|code| is_country(code)).map(|code| code.to_ascii_uppercase());
    let first_name = own(&old.first_name);
    let last_name = own(&old.last_name);
    let date_of_birth = own(&old.date_of_birth);
    let gender = own(&old.gender);
    let profile_picture_url = own(&old.profile_picture_url);
    let timezone = own(&old.timezone);
    let owned = [
        ("name", name.is_some()),
        ("first_name", first_name.is_some()),
        ("last_name", last_name.is_some()),
        ("date_of_birth", date_of_birth.is_some()),
        ("gender", gender.is_some()),
        ("profile_picture_url", profile_picture_url.is_some()),
        ("country_code", country.is_some()),
        ("timezone", timezone.is_some()),
        ("language", language.is_some()),
    ];
    let app_owned = owned.into_iter().filter_map(|(column, is_owned)| is_owned.then_some(column));
    let app_owned = app_owned.collect::<Vec<_>>().join(",");
    if old.referral_code.is_some() && old.referral_code.as_deref().and_then(referral::parse).is_none() {
        not_carried.insert("referral_code");
    }
    let mut json = |column, value| json_or_empty(column, value, not_carried);
    ApplicationColumns {
        referral_code: code(old.id, old.referral_code.as_deref()),
        preferences: json("preferences", &old.preferences),
        settings: json("settings", &old.settings),
        metadata: json("metadata", &old.metadata),
        name: name.unwrap_or_else(|| NAMELESS.to_owned()),
        language: language.unwrap_or_else(|| DEFAULT_LANGUAGE.to_owned()),
        country_code: country,
        first_name,
        last_name,
        date_of_birth,
        gender,
        profile_picture_url,
        timezone,
        app_owned,
        bio: old.bio.clone(),
        is_premium: old.is_premium,
    }
}

/// The application's JSON; an empty object where there is none, or none that `jsonb` takes.
fn json_or_empty(
    column: &'static str,
    value: &Option<String>,
    not_carried: &mut BTreeSet<&'static str>,
) -> String {
    let kept = value.as_deref().filter(|text| text.trim() != "null").map_or(Ok("{}"), storable);
    kept.map(str::to_owned).unwrap_or_else(|NotStorable| {
        not_carried.insert(column);
        "{}".to_owned()
    })
}

fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic())
}

struct NotStorable;

/// What `json` takes and `jsonb` refuses: U+0000, and half of a surrogate pair. Only escapes can say either.
fn storable(json: &str) -> Result<&str, NotStorable> {
    if !json.contains("\\u") {
        return Ok(json);
    }
    let value: serde_json::Value = serde_json::from_str(json).map_err(|_| NotStorable)?;
    if has_nul(&value) { Err(NotStorable) } else { Ok(json) }
}

fn has_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(values) => values.iter().any(has_nul),
        serde_json::Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => false,
    }
}

/// Compares the new row with the old one where the service derives what the old table stored.
fn note_what_is_derived(
    old: &OldRow,
    state: &UserState,
    application: &ApplicationColumns,
    not_carried: &mut BTreeSet<&'static str>,
) {
    let owned = Owned::default();
    let (since, contexts) = (Since::default(), Contexts::default());
    let derived = UserRow { id: old.id, state, owned: &owned, since, referred_by: None, contexts: &contexts };
    let is_owned: BTreeSet<&str> = application.app_owned.split(',').collect();
    let was_lost = |(column, was): (&'static str, Option<&str>)| {
        let is_lost = |was: &str| !was.is_empty() && derived.shown(column).as_deref() != Some(was);
        (!is_owned.contains(column) && was.is_some_and(is_lost)).then_some(column)
    };
    let texts = [
        ("name", old.name.as_deref().map(str::trim)),
        ("first_name", old.first_name.as_deref()),
        ("last_name", old.last_name.as_deref()),
        ("date_of_birth", old.date_of_birth.as_deref()),
        ("gender", old.gender.as_deref()),
        ("profile_picture_url", old.profile_picture_url.as_deref()),
        ("country_code", old.country_code.as_deref()),
        ("timezone", old.timezone.as_deref()),
        ("language", old.language.as_deref()),
    ];
    not_carried.extend(texts.into_iter().filter_map(was_lost));
    for (column, is_lost) in [
        ("date_of_birth", old.has_date_of_birth && old.date_of_birth.is_none()),
        ("is_verified", old.is_verified != derived.is_verified()),
        ("is_active", old.is_active != derived.is_active()),
        ("deleted_at", old.deleted_at.is_some() && !old.is_deleted),
        ("email_verified", old.email_verified && old.email.is_none()),
        ("phone_number_verified", old.phone_number_verified && old.phone_number.is_none()),
    ] {
        if is_lost {
            not_carried.insert(column);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_jsonb_refuses_is_told_from_json_that_only_looks_so() {
        let check = |json: &str, expected: bool| assert_eq!(storable(json).is_ok(), expected, "{json}");
        check(r#"{"a": [1, "\u00e9", "\ud83d\ude00"]}"#, true);
        check(r#"{"a": "\\u0000"}"#, true);
        check(r#"{"a": 123456789012345678901234567890}"#, true);
        check(r#"{"a": ["\u0000"]}"#, false);
        check(r#"{"\u0000": 1}"#, false);
        check(r#"{"a": "\ud83d"}"#, false);
    }

    #[test]
    fn an_address_is_read_as_text_and_as_inet_writes_it_and_never_guessed() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(ip(text).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
        };
        check(" 192.0.2.7 ", Some("192.0.2.7"));
        check("192.0.2.7/32", Some("192.0.2.7"));
        check("2001:DB8::1/128", Some("2001:db8::1"));
        check("::ffff:192.0.2.7/128", Some("192.0.2.7"));
        check("192.0.2.7:443", Some("192.0.2.7"));
        check("203.0.113.9, 10.0.0.1", Some("203.0.113.9"));
        for text in ["", "unknown", "10.0.0.0/8"] {
            check(text, None);
        }
    }

    #[test]
    fn an_id_is_of_its_row_its_purpose_and_its_time() {
        let (sub, time) = (Uuid::from_u128(7), Timestamp::from_unix_millis(1_700_000_000_123));
        let id = event_id(sub, "login", time);
        assert_eq!((id, id.time()), (event_id(sub, "login", time), time));
        assert_ne!(id, event_id(sub, "profile", time));
        assert_ne!(id, event_id(Uuid::from_u128(8), "login", time));
    }
}
