//! The columns of `users` that follow from a user's state: **one line a column**, in [`COLUMNS`]. What is written, compared
//! and read follows from that table. Pure, and computed from the final registers, never at arrival: a derived value that
//! was stored as it arrived would depend on the order.

use std::borrow::Cow;
use std::net::IpAddr;

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::store::model::claims::{Claim, Claims, IdentifierKind};
use crate::store::model::device::Device;
use crate::store::model::locale::Locale;
use crate::store::model::memo::Memo;
use crate::store::model::state::{
    Login, RESERVED, Registers, STATUS, SignUp, USER_POOL_ID, USERNAME, UserState, flag_of,
};
use crate::store::model::user::StoredUser;
use crate::store::model::{country, digest, identities, profile};

/// Shown for a user of whom no name is known. Not the e-mail's local part and not the user name
/// (`Google_123`): both would leak what the user did not choose to show.
pub(in crate::store) const NAMELESS: &str = "User";

pub(in crate::store) const DEFAULT_LANGUAGE: &str = "en";

/// The addresses that a user owns, as opposed to holds: what the unique columns show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Owned {
    pub(in crate::store) email: Option<String>,
    pub(in crate::store) phone_number: Option<String>,
}

impl Owned {
    pub(in crate::store) fn get(&self, kind: IdentifierKind) -> Option<&str> {
        match kind {
            IdentifierKind::Email => self.email.as_deref(),
            IdentifierKind::Phone => self.phone_number.as_deref(),
        }
    }

    pub(in crate::store) fn set(&mut self, kind: IdentifierKind, value: Option<String>) {
        match kind {
            IdentifierKind::Email => self.email = value,
            IdentifierKind::Phone => self.phone_number = value,
        }
    }
}

/// When a user showed the address that it holds now, of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Since {
    pub(in crate::store) email: Claim,
    pub(in crate::store) phone_number: Claim,
}

impl Since {
    /// The claims of the addresses that `state` holds.
    pub(in crate::store) fn of(state: &UserState, claims: &Claims) -> Self {
        let mut since = Self::default();
        for kind in IdentifierKind::ALL {
            let held = state.identifier(kind).and_then(|(identifier, _)| claims.get(&identifier).copied());
            since.set(kind, held.unwrap_or_default());
        }
        since
    }

    pub(in crate::store) fn get(&self, kind: IdentifierKind) -> Claim {
        match kind {
            IdentifierKind::Email => self.email,
            IdentifierKind::Phone => self.phone_number,
        }
    }

    pub(in crate::store) fn set(&mut self, kind: IdentifierKind, claim: Claim) {
        match kind {
            IdentifierKind::Email => self.email = claim,
            IdentifierKind::Phone => self.phone_number = claim,
        }
    }
}

/// A user, as far as the row follows from it.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct UserRow<'a> {
    pub(in crate::store) id: Uuid,
    pub(in crate::store) state: &'a UserState,
    pub(in crate::store) owned: &'a Owned,
    pub(in crate::store) since: Since,
    pub(in crate::store) referred_by: Option<Uuid>,
}

/// A column of `users` that the service writes.
#[derive(Clone, Copy)]
pub(in crate::store) struct Column {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) values: Values,
    /// The column's type, where its values travel as another one.
    pub(in crate::store) cast: Option<&'static str>,
    /// Whether the application can make it its own (migrations/0005_app_ownership.sql).
    pub(in crate::store) is_ownable: bool,
    /// Whether a user's state is read back from it.
    pub(in crate::store) is_state: bool,
    pub(in crate::store) compared: Compared,
}

/// How a text is derived of a row, from which it may borrow.
pub(in crate::store) type TextOf = for<'a> fn(&UserRow<'a>) -> Option<Cow<'a, str>>;

/// What a column holds, by the type of the array in which the values of many rows travel.
#[derive(Clone, Copy)]
pub(in crate::store) enum Values {
    Text(TextOf),
    Bool(fn(&UserRow<'_>) -> bool),
    BigInt(fn(&UserRow<'_>) -> i64),
    Date(fn(&UserRow<'_>) -> Option<Date>),
    Time(fn(&UserRow<'_>) -> Option<OffsetDateTime>),
    Uuid(fn(&UserRow<'_>) -> Option<Uuid>),
}

/// Whether `verify` compares a column with the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Compared {
    Always,
    /// Where this holds of the stored row (`users`), in SQL.
    Where(&'static str),
    Never,
}

/// Every column of `users` that the service writes, but for the key and `updated_at`, which `write_users.sql` makes.
/// CONTRIBUTING.md says how to add one.
#[rustfmt::skip]
pub(in crate::store) static COLUMNS: &[Column] = &[
    Column::text("email", |user| borrowed(user.owned.get(IdentifierKind::Email))).state(),
    Column::bool("email_verified", |user| user.shows_verified(IdentifierKind::Email)),
    Column::text("phone_number", |user| borrowed(user.owned.get(IdentifierKind::Phone))).state(),
    Column::bool("phone_number_verified", |user| user.shows_verified(IdentifierKind::Phone)),
    Column::text("name", |user| Some(name(user.state))).ownable(),
    Column::text("first_name", |user| borrowed(profile::name_of(user.state, "given_name"))).ownable(),
    Column::text("last_name", |user| borrowed(profile::name_of(user.state, "family_name"))).ownable(),
    Column::date("date_of_birth", |user| birthdate(user.state)).ownable(),
    Column::text("gender", |user| user.state.attribute("gender").and_then(profile::text).map(Cow::Borrowed)).ownable(),
    Column::text("profile_picture_url", |user| user.state.attribute("picture").and_then(profile::picture)).ownable(),
    Column::text("country_code", |user| country_of(user.state)).ownable(),
    Column::text("timezone", |user| user.state.attribute("zoneinfo").and_then(profile::zone).map(Cow::Borrowed)).ownable(),
    Column::text("language", |user| Some(locale_of(user.state).language.unwrap_or(DEFAULT_LANGUAGE).into())).ownable(),
    Column::bool("is_active", |user| user.is_active()),
    Column::bool("is_verified", |user| user.is_verified()),
    Column::bool("is_deleted", |user| user.state.deleted_at().is_some()),
    Column::time("deleted_at", |user| user.state.deleted_at().map(at)).state(),
    Column::time("last_deleted_at", |user| user.state.deletions.last_deleted_at().map(at)).state(),
    Column::time("restored_at", |user| user.state.deletions.restored_at().map(at)).state(),
    Column::big_int("login_count", |user| i64::try_from(user.state.login_count()).unwrap_or(i64::MAX)).state(),
    Column::time("last_login_at", |user| user.login().map(|login| at(login.id.time()))),
    Column::text("last_login_ip", |user| user.login()?.ip.map(address)).cast("inet").state(),
    Column::text("last_login_device", |user| borrowed(user.login()?.device.map(Device::as_str))).state(),
    Column::text("last_login_location", |user| borrowed(user.login()?.location.as_deref())).state(),
    Column::time("created_at", |user| Some(at(user.state.created_at))).state(),
    Column::time("confirmed_at", |user| user.sign_up().map(|sign_up| at(sign_up.id.time()))),
    Column::text("created_ip", |user| user.sign_up()?.ip.map(address)).cast("inet").state(),
    Column::time("synced_at", |user| Some(at(user.state.synced_at))).state(),
    Column::uuid("referred_by", |user| user.referred_by).state(),
    Column::text("user_pool_id", |user| user.attribute(USER_POOL_ID)).state(),
    Column::text("cognito_username", |user| user.attribute(USERNAME)).state(),
    Column::text("cognito_status", |user| user.attribute(STATUS)).state(),
    Column::bool("enabled", |user| user.is_enabled()).state(),
    Column::text("cognito_attributes", |user| Some(attributes(&user.state.registers).into())).cast("jsonb").state(),
    Column::text("cognito_identities", |user| user.state.attribute("identities").and_then(identities::normalized).map(Cow::Owned)).cast("jsonb"),
    Column::uuid("attributes_version", |user| newest_version(&user.state.registers)).state(),
    Column::text("attribute_versions", |user| Some(older_versions(&user.state.registers).into())).cast("jsonb").state(),
    Column::uuid("whole_snapshot_id", |user| user.state.whole.map(|id| id.uuid())).state(),
    Column::time("enabled_at", |user| user.state.disabled.map(|(time, _)| at(time))).state(),
    Column::bool("federated_login", |user| user.state.federated_login).state(),
    Column::uuid("last_login_id", |user| user.login().map(|login| login.id.uuid())).state(),
    Column::uuid("sign_up_id", |user| user.sign_up().map(|sign_up| sign_up.id.uuid())).state(),
    Column::text("sign_up_referral_code", |user| borrowed(user.sign_up()?.referral_code.as_deref())).state(),
    Column::time("email_since", |user| user.since.email.since.map(at)).state(),
    Column::time("phone_since", |user| user.since.phone_number.since.map(at)).state(),
    Column::time("email_shown", |user| user.since.email.shown.map(at)).state(),
    Column::time("phone_shown", |user| user.since.phone_number.shown.map(at)).state(),
    Column::time("email_left", |user| user.state.left(IdentifierKind::Email).map(at)).state(),
    Column::time("phone_left", |user| user.state.left(IdentifierKind::Phone).map(at)).state(),
    // It holds only where it is of this version: an older release moves `attributes_version` alone.
    Column::uuid("profile_digest", |user| digest::of_registers(&user.state.registers)).compared(Compared::Where("users.profile_version = users.attributes_version")),
    Column::uuid("profile_version", |user| newest_version(&user.state.registers)).compared(Compared::Never),
];

impl Column {
    const fn new(name: &'static str, values: Values) -> Self {
        Self { name, values, cast: None, is_ownable: false, is_state: false, compared: Compared::Always }
    }

    pub(in crate::store) const fn text(name: &'static str, value: TextOf) -> Self {
        Self::new(name, Values::Text(value))
    }

    const fn bool(name: &'static str, value: fn(&UserRow<'_>) -> bool) -> Self {
        Self::new(name, Values::Bool(value))
    }

    const fn big_int(name: &'static str, value: fn(&UserRow<'_>) -> i64) -> Self {
        Self::new(name, Values::BigInt(value))
    }

    const fn date(name: &'static str, value: fn(&UserRow<'_>) -> Option<Date>) -> Self {
        Self::new(name, Values::Date(value))
    }

    const fn time(name: &'static str, value: fn(&UserRow<'_>) -> Option<OffsetDateTime>) -> Self {
        Self::new(name, Values::Time(value))
    }

    const fn uuid(name: &'static str, value: fn(&UserRow<'_>) -> Option<Uuid>) -> Self {
        Self::new(name, Values::Uuid(value))
    }

    /// Its values travel as text.
    const fn cast(self, sql_type: &'static str) -> Self {
        Self { cast: Some(sql_type), ..self }
    }

    const fn ownable(self) -> Self {
        Self { is_ownable: true, ..self }
    }

    const fn state(self) -> Self {
        Self { is_state: true, ..self }
    }

    const fn compared(self, compared: Compared) -> Self {
        Self { compared, ..self }
    }
}

impl<'a> UserRow<'a> {
    /// The row of a user as it is stored, or is to be.
    pub(in crate::store) fn of(user: &'a StoredUser) -> Self {
        let StoredUser { id, state, owned, since, referred_by, row_version: _, is_erased: _, contexts: _ } =
            user;
        Self { id: *id, state, owned, since: *since, referred_by: *referred_by }
    }

    /// The value of a column as text; `None` is null.
    pub(in crate::store) fn shown(&self, column: &str) -> Option<String> {
        match COLUMNS.iter().find(|known| known.name == column)?.values {
            Values::Text(value) => value(self).map(Cow::into_owned),
            Values::Bool(value) => Some(value(self).to_string()),
            Values::BigInt(value) => Some(value(self).to_string()),
            Values::Date(value) => value(self).map(|date| date.to_string()),
            Values::Time(value) => value(self).map(|time| time.to_string()),
            Values::Uuid(value) => value(self).map(|id| id.to_string()),
        }
    }

    pub(in crate::store) fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        borrowed(self.state.attribute(name))
    }

    fn login(&self) -> Option<&'a Login> {
        self.state.last_login.as_ref()
    }

    fn sign_up(&self) -> Option<&'a SignUp> {
        self.state.sign_up.as_ref()
    }

    fn is_enabled(&self) -> bool {
        self.state.disabled.is_none_or(|(_, disabled)| !disabled)
    }

    pub(in crate::store) fn is_active(&self) -> bool {
        self.is_enabled() && self.state.deleted_at().is_none()
    }

    /// Whether the user owns such an address, and it is verified.
    fn shows_verified(&self, kind: IdentifierKind) -> bool {
        self.owned.get(kind).is_some() && self.state.identifier(kind).is_some_and(|(_, verified)| verified)
    }

    /// Whether the user holds an address, and all that it holds are verified.
    pub(in crate::store) fn is_verified(&self) -> bool {
        let mut held =
            IdentifierKind::ALL.into_iter().filter_map(|kind| self.state.identifier(kind)).peekable();
        held.peek().is_some() && held.all(|(_, verified)| verified)
    }
}

fn borrowed(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(Cow::Borrowed)
}

/// Canonical also where an older release stored it otherwise, in the baseline.
fn address(ip: IpAddr) -> Cow<'static, str> {
    ip.to_canonical().to_string().into()
}

fn at(time: Timestamp) -> OffsetDateTime {
    time.into()
}

/// The version of most registers, stored once: a login carries nearly every attribute.
fn newest_version(registers: &Registers) -> Option<Uuid> {
    registers.values().map(|register| register.version).max().map(|id| id.uuid())
}

/// The versions of the other registers, as a JSON object by their names.
fn older_versions(registers: &Registers) -> String {
    let newest = newest_version(registers);
    let older = registers
        .iter()
        .filter(|(_, register)| Some(register.version.uuid()) != newest)
        .map(|(name, register)| (name.clone(), register.version.to_string().into()))
        .collect::<serde_json::Map<_, _>>();
    serde_json::Value::from(older).to_string()
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

fn name(state: &UserState) -> Cow<'_, str> {
    let attribute = |name| profile::name_of(state, name);
    let full = || {
        let parts: Vec<_> =
            [attribute("given_name"), attribute("family_name")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| Cow::Owned(parts.join(" ")))
    };
    let other = |name| attribute(name).map(Cow::Borrowed);
    let chosen =
        other("name").or_else(full).or_else(|| other("preferred_username")).or_else(|| other("nickname"));
    chosen.unwrap_or(Cow::Borrowed(NAMELESS))
}

fn birthdate(state: &UserState) -> Option<Date> {
    let register = state.registers.get("birthdate")?;
    profile::birthdate(&register.value, register.version.time())
}

fn locale_of(state: &UserState) -> Locale {
    state.attribute("locale").map(Locale::of).unwrap_or_default()
}

/// Where the user is at home, as far as the registers say: the locale's region, else the country of the phone
/// number that the user holds, whoever owns it.
fn country_of(state: &UserState) -> Option<Cow<'_, str>> {
    static COUNTRIES: Memo<Option<String>> = Memo::new(country::of_phone_number);
    let of_phone = || state.attribute("phone_number").and_then(|number| COUNTRIES.of(number)).map(Cow::Owned);
    locale_of(state).region.map(Cow::Borrowed).or_else(of_phone)
}
