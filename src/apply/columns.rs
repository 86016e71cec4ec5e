//! The columns of `users` that follow from a user's state. Pure, and computed from the final registers,
//! never at arrival: a derived value that was stored as it arrived would depend on the order.

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::{Date, Month, OffsetDateTime};
use uuid::Uuid;

use super::claims::IdentifierKind;
use super::device::Device;
use super::state::{RESERVED, Registers, STATUS, USER_POOL_ID, USERNAME, UserState, flag_of};
use super::{phone, profile};

/// Shown for a user of whom no name is known. Not the e-mail's local part and not the user name
/// (`Google_123`): both would leak what the user did not choose to show.
pub(super) const NAMELESS: &str = "User";

pub(super) const DEFAULT_LANGUAGE: &str = "en";

/// The addresses that a user owns, as opposed to holds: what the unique columns show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) email: Option<String>,
    pub(super) phone_number: Option<String>,
}

impl Owned {
    pub(super) fn get(&self, kind: IdentifierKind) -> Option<&str> {
        match kind {
            IdentifierKind::Email => self.email.as_deref(),
            IdentifierKind::Phone => self.phone_number.as_deref(),
        }
    }

    pub(super) fn set(&mut self, kind: IdentifierKind, value: Option<String>) {
        match kind {
            IdentifierKind::Email => self.email = value,
            IdentifierKind::Phone => self.phone_number = value,
        }
    }
}

/// Since when the address that a user holds now has been verified, of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) email: Option<Timestamp>,
    pub(super) phone_number: Option<Timestamp>,
}

impl Since {
    pub(super) fn get(&self, kind: IdentifierKind) -> Option<Timestamp> {
        match kind {
            IdentifierKind::Email => self.email,
            IdentifierKind::Phone => self.phone_number,
        }
    }

    pub(super) fn set(&mut self, kind: IdentifierKind, since: Option<Timestamp>) {
        match kind {
            IdentifierKind::Email => self.email = since,
            IdentifierKind::Phone => self.phone_number = since,
        }
    }
}

/// One row, as it is written. Fields are named for the columns.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) id: Uuid,
    pub(super) email: Option<String>,
    pub(super) email_verified: bool,
    pub(super) phone_number: Option<String>,
    pub(super) phone_number_verified: bool,
    pub(super) name: String,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) date_of_birth: Option<Date>,
    pub(super) gender: Option<String>,
    pub(super) profile_picture_url: Option<String>,
    pub(super) country_code: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) language: String,
    pub(super) is_active: bool,
    pub(super) is_verified: bool,
    pub(super) is_deleted: bool,
    pub(super) deleted_at: Option<OffsetDateTime>,
    pub(super) login_count: i64,
    pub(super) last_login_at: Option<OffsetDateTime>,
    pub(super) last_login_ip: Option<String>,
    pub(super) last_login_device: Option<&'static str>,
    pub(super) last_login_location: Option<String>,
    pub(super) created_at: OffsetDateTime,
    pub(super) confirmed_at: Option<OffsetDateTime>,
    pub(super) created_ip: Option<String>,
    pub(super) synced_at: OffsetDateTime,
    pub(super) referred_by: Option<Uuid>,
    pub(super) user_pool_id: Option<String>,
    pub(super) cognito_username: Option<String>,
    pub(super) cognito_status: Option<String>,
    pub(super) enabled: bool,
    pub(super) cognito_attributes: String,
    pub(super) attributes_version: Option<Uuid>,
    pub(super) attribute_versions: String,
    pub(super) enabled_at: Option<OffsetDateTime>,
    pub(super) federated_login: bool,
    pub(super) last_login_id: Option<Uuid>,
    pub(super) sign_up_id: Option<Uuid>,
    pub(super) sign_up_referral_code: Option<String>,
    pub(super) email_since: Option<OffsetDateTime>,
    pub(super) phone_since: Option<OffsetDateTime>,
    pub(super) profile_digest: Option<Uuid>,
    pub(super) profile_version: Option<Uuid>,
}

impl Columns {
    pub(super) fn of(
        id: Uuid,
        state: &UserState,
        owned: &Owned,
        since: Since,
        referred_by: Option<Uuid>,
    ) -> Self {
        let text = |name: &str| state.attribute(name).map(str::to_owned);
        let held = IdentifierKind::ALL.map(|kind| state.identifier(kind));
        let shows_verified = |kind: IdentifierKind| {
            owned.get(kind).is_some() && state.identifier(kind).is_some_and(|(_, verified)| verified)
        };
        let login = state.last_login.as_ref();
        let sign_up = state.sign_up.as_ref();
        let enabled = state.disabled.is_none_or(|(_, disabled)| !disabled);
        let versions = Versions::of(&state.registers);
        let at = OffsetDateTime::from;
        Self {
            id,
            email: owned.email.clone(),
            email_verified: shows_verified(IdentifierKind::Email),
            phone_number: owned.phone_number.clone(),
            phone_number_verified: shows_verified(IdentifierKind::Phone),
            name: name(state),
            first_name: text("given_name"),
            last_name: text("family_name"),
            date_of_birth: state.attribute("birthdate").and_then(date),
            gender: text("gender"),
            profile_picture_url: text("picture"),
            country_code: country(state),
            timezone: text("zoneinfo"),
            language: state
                .attribute("locale")
                .and_then(language)
                .unwrap_or_else(|| DEFAULT_LANGUAGE.to_owned()),
            is_active: enabled && state.deleted_at.is_none(),
            is_verified: held.iter().flatten().count() > 0
                && held.iter().flatten().all(|(_, verified)| *verified),
            is_deleted: state.deleted_at.is_some(),
            deleted_at: state.deleted_at.map(at),
            login_count: i64::try_from(state.login_count()).unwrap_or(i64::MAX),
            last_login_at: login.map(|login| at(login.id.time())),
            last_login_ip: login.and_then(|login| login.ip).map(|ip| ip.to_string()),
            last_login_device: login.and_then(|login| login.device).map(Device::as_str),
            last_login_location: login.and_then(|login| login.location.clone()),
            created_at: at(state.created_at),
            confirmed_at: sign_up.map(|sign_up| at(sign_up.id.time())),
            created_ip: sign_up.and_then(|sign_up| sign_up.ip).map(|ip| ip.to_string()),
            synced_at: at(state.synced_at),
            referred_by,
            user_pool_id: text(USER_POOL_ID),
            cognito_username: text(USERNAME),
            cognito_status: text(STATUS),
            enabled,
            cognito_attributes: attributes(&state.registers),
            attributes_version: versions.newest,
            attribute_versions: versions.exceptions,
            enabled_at: state.disabled.map(|(time, _)| at(time)),
            federated_login: state.federated_login,
            last_login_id: login.map(|login| login.id.uuid()),
            sign_up_id: sign_up.map(|sign_up| sign_up.id.uuid()),
            sign_up_referral_code: sign_up.and_then(|sign_up| sign_up.referral_code.clone()),
            email_since: since.email.map(at),
            phone_since: since.phone_number.map(at),
            profile_digest: profile::of_registers(&state.registers),
            profile_version: versions.newest,
        }
    }
}

/// The registers' versions, the newest one stored once: a login carries nearly every attribute.
struct Versions {
    newest: Option<Uuid>,
    /// JSON object: register name → the version it has instead.
    exceptions: String,
}

impl Versions {
    fn of(registers: &Registers) -> Self {
        let newest = registers.values().map(|register| register.version).max();
        let exceptions = registers
            .iter()
            .filter(|(_, register)| Some(register.version) != newest)
            .map(|(name, register)| (name.clone(), register.version.to_string().into()))
            .collect::<serde_json::Map<_, _>>();
        Self {
            newest: newest.map(|id| id.uuid()),
            exceptions: serde_json::Value::from(exceptions).to_string(),
        }
    }
}

/// The merged map of user attributes, flags beside their values, as a JSON object.
fn attributes(registers: &Registers) -> String {
    let mut map = serde_json::Map::new();
    for (name, register) in registers {
        if RESERVED.contains(&name.as_str()) {
            continue;
        }
        map.insert(name.clone(), register.value.clone().into());
        if let (Some(flag_name), Some(flag)) = (flag_of(name), &register.flag) {
            map.insert(flag_name.to_owned(), flag.clone().into());
        }
    }
    serde_json::Value::from(map).to_string()
}

fn name(state: &UserState) -> String {
    let attribute = |name| state.attribute(name).map(str::trim).filter(|text| !text.is_empty());
    let full = || {
        let parts: Vec<_> =
            [attribute("given_name"), attribute("family_name")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    let other = |name| attribute(name).map(str::to_owned);
    let chosen =
        other("name").or_else(full).or_else(|| other("preferred_username")).or_else(|| other("nickname"));
    chosen.unwrap_or_else(|| NAMELESS.to_owned())
}

/// OpenID Connect's birthdate, `YYYY-MM-DD`; year 0000 means that it was left out.
fn date(birthdate: &str) -> Option<Date> {
    let (year, rest) = birthdate.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let digits =
        |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(year, 4) && digits(month, 2) && digits(day, 2)) || year == "0000" {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

/// The subtags of a BCP 47 language tag, written with `-` or `_`.
fn subtags(locale: &str) -> impl Iterator<Item = &str> {
    locale.trim().split(['-', '_'])
}

/// Where the user is at home, as far as the registers say: the locale's region, else the country of the phone
/// number that the user holds, whoever owns it.
fn country(state: &UserState) -> Option<String> {
    let of_locale = state.attribute("locale").and_then(region);
    of_locale.or_else(|| state.attribute("phone_number").and_then(phone::country))
}

/// The primary language subtag: two or three letters.
fn language(locale: &str) -> Option<String> {
    let language = subtags(locale).next()?;
    let valid = matches!(language.len(), 2 | 3) && language.bytes().all(|byte| byte.is_ascii_alphabetic());
    valid.then(|| language.to_ascii_lowercase())
}

/// The region subtag: two letters, before any extension (a subtag of one character).
fn region(locale: &str) -> Option<String> {
    language(locale)?;
    let mut rest = subtags(locale).skip(1).take_while(|subtag| subtag.len() > 1);
    let region =
        rest.find(|subtag| subtag.len() == 2 && subtag.bytes().all(|byte| byte.is_ascii_alphabetic()))?;
    Some(region.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birthdate_that_never_was_is_none() {
        assert_eq!(date("1984-02-29").map(|date| date.to_string()).as_deref(), Some("1984-02-29"));
        for text in [
            "",
            "1983-02-29",
            "1984-2-29",
            "29-02-1984",
            "0000-05-01",
            "1984-13-01",
            "+984-01-01",
            "1984-01-01T00",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn a_locale_gives_its_language_and_its_region() {
        let check = |locale: &str, expected: (Option<&str>, Option<&str>)| {
            let (language, region) = (language(locale), region(locale));
            assert_eq!((language.as_deref(), region.as_deref()), expected, "{locale}");
        };
        check("en-US", (Some("en"), Some("US")));
        check("pt_br", (Some("pt"), Some("BR")));
        check("zh-Hant-TW", (Some("zh"), Some("TW")));
        check("de", (Some("de"), None));
        check("en-u-ca-gregory", (Some("en"), None));
        check("es-419", (Some("es"), None));
        check("", (None, None));
        check("english", (None, None));
    }
}
