//! What a set of one user's events amounts to. Pure: knows neither SQL nor the rows' derived columns.
//!
//! [`UserState::merge`] is commutative and associative, and idempotent but for the count of logins, which
//! the ledger keeps exact by letting each event through once. That is all that convergence stands on:
//! whatever the order and the batching, the same set of events merges to the same state.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cognito_user_sync_triggers::event::{EventId, Kind, UserEvent};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::geoip::{GeoIp, names_a_city};
use crate::store::model::claims::{Claim, Claims, Identifier, IdentifierKind, is_claimable};
use crate::store::model::deletions::Deletions;
use crate::store::model::device::Device;
use crate::store::model::{ip, profile, referral};

/// Register names for what is not a user attribute. Cognito reserves the prefix, so none can collide.
pub(in crate::store) const STATUS: &str = "cognito:user_status";
pub(in crate::store) const USERNAME: &str = "cognito:username";
pub(in crate::store) const USER_POOL_ID: &str = "cognito:user_pool_id";

pub(in crate::store) const RESERVED: [&str; 3] = [STATUS, USERNAME, USER_POOL_ID];

/// What Cognito puts before the names of what is its own. Beside the [`RESERVED`] ones it derives them from other attributes
/// and settings (`cognito:email_alias`, `cognito:mfa_enabled`): none is an attribute of the user.
const COGNITOS_OWN: &str = "cognito:";

const EMAIL_VERIFIED: &str = "email_verified";
const PHONE_NUMBER_VERIFIED: &str = "phone_number_verified";

/// Words of Cognito's for [`STATUS`] (`UserStatusType`).
pub(in crate::store) const CONFIRMED: &str = "CONFIRMED";
pub(in crate::store) const FORCE_CHANGE_PASSWORD: &str = "FORCE_CHANGE_PASSWORD";
const EXTERNAL_PROVIDER: &str = "EXTERNAL_PROVIDER";
const UNKNOWN: &str = "UNKNOWN";

/// A user of whom a trigger's event says so is confirmed by now.
const ENDED_BY_A_LOGIN: [&str; 6] =
    ["UNCONFIRMED", FORCE_CHANGE_PASSWORD, "RESET_REQUIRED", "ARCHIVED", "COMPROMISED", UNKNOWN];

/// The flag that belongs to an identifier's attribute: the two are one register.
pub(in crate::store) fn flag_of(attribute: &str) -> Option<&'static str> {
    match attribute {
        "email" => Some(EMAIL_VERIFIED),
        "phone_number" => Some(PHONE_NUMBER_VERIFIED),
        _ => None,
    }
}

fn is_flag(attribute: &str) -> bool {
    attribute == EMAIL_VERIFIED || attribute == PHONE_NUMBER_VERIFIED
}

/// A last-writer-wins register: the value that the event with the greatest (time, id) gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Register {
    pub(in crate::store) version: EventId,
    pub(in crate::store) value: String,
    /// The verified flag that came with the value; absent is unverified.
    pub(in crate::store) flag: Option<String>,
    /// Of an address that can be claimed: the greatest time of an event that said that it is another one, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) left: Option<Timestamp>,
}

impl Register {
    fn merge(&mut self, name: &str, mut older: Self) {
        if older.version > self.version {
            std::mem::swap(self, &mut older);
        }
        if flag_of(name).is_none() {
            return;
        }
        match self.value.eq_ignore_ascii_case(&older.value) {
            true => self.leave(older.left),
            // The latest event that said otherwise on that side is the one that its register is of.
            false => self.leave(Some(older.version.time())),
        }
    }

    /// Notes that an event at this time said that the address is another one, or none.
    fn leave(&mut self, time: Option<Timestamp>) {
        self.left = self.left.max(time).filter(|_| is_claimable(&self.value));
    }
}

/// One register an attribute, so that an absent attribute erases nothing.
pub(in crate::store) type Registers = BTreeMap<String, Register>;

/// Of a side that has read the whole user: an address that it has no register of is none since then.
fn leave_absent(registers: &mut Registers, whole: Option<EventId>, there: &Registers) {
    for name in IdentifierKind::ALL.map(IdentifierKind::attribute).into_iter().filter(|_| whole.is_some()) {
        if !there.contains_key(name) {
            registers.get_mut(name).into_iter().for_each(|own| own.leave(whole.map(|id| id.time())));
        }
    }
}

/// What an event reports of the user: for each register its value, and the flag that came with it. Attributes in the
/// order of their names, then those of [`RESERVED`].
pub(in crate::store) fn reported<'a>(
    event: &'a UserEvent<'_>,
) -> impl Iterator<Item = (&'a str, &'a str, Option<&'a str>)> {
    let data = &event.data;
    let attributes = data.attributes.iter().filter_map(|(name, value)| {
        let flag = || data.attributes.get(flag_of(name)?).map(Text::as_str);
        (!is_flag(name) && !name.starts_with(COGNITOS_OWN)).then(|| (name.as_str(), value.as_str(), flag()))
    });
    let own = [
        (STATUS, reported_status(event)),
        (USERNAME, data.user_name.as_deref()),
        (USER_POOL_ID, Some(event.user_pool_id.as_str())),
    ];
    // These have columns of their own, where nothing is null: an empty text would not survive storage.
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|text| !text.is_empty())?, None)));
    attributes.chain(own)
}

/// The status that an event proves or reads. Cognito's triggers carry the word from before the login or the reset that ends
/// it: who did either has a password, or an identity provider. Of a deletion or a restoration the status is no news.
fn reported_status<'a>(event: &'a UserEvent<'_>) -> Option<&'a str> {
    let word = event.data.status.as_deref().filter(|word| !word.is_empty());
    match event.kind {
        Kind::Authenticated | Kind::Confirmed | Kind::PasswordReset => match word {
            _ if event.data.federated => Some(EXTERNAL_PROVIDER),
            Some(word) if !ENDED_BY_A_LOGIN.contains(&word) => Some(word),
            None | Some(_) => Some(CONFIRMED),
        },
        Kind::Snapshot => word.filter(|word| *word != UNKNOWN),
        Kind::Deleted | Kind::Restored => None,
    }
}

/// The event, if it read the whole user: what it has not is not there.
fn whole(event: &UserEvent<'_>) -> Option<EventId> {
    (event.kind == Kind::Snapshot && !event.data.partial).then_some(event.id)
}

/// One login: what the last four columns of the login audit come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Login {
    pub(in crate::store) id: EventId,
    /// The app client; an older release did not store it.
    #[serde(default)]
    pub(in crate::store) client_id: Option<String>,
    pub(in crate::store) ip: Option<IpAddr>,
    pub(in crate::store) device: Option<Device>,
    pub(in crate::store) location: Option<String>,
    /// What [`fold`] has yet to make the device of. A login that was stored in `users` has none.
    pub(in crate::store) user_agent: Option<String>,
}

impl Login {
    /// What a login's own event says of it.
    pub(in crate::store) fn of(event: &UserEvent<'_>) -> Self {
        Self {
            user_agent: event.data.client.user_agent.clone().map(String::from),
            ..Self::from_client(event)
        }
    }

    /// The same, resolved, without a copy of the user agent.
    pub(in crate::store) fn resolved(event: &UserEvent<'_>, geoip: &GeoIp) -> Self {
        let mut login = Self::from_client(event);
        login.resolve_by(geoip, event.data.client.user_agent.as_deref());
        login
    }

    /// What the client says, without its user agent.
    fn from_client(event: &UserEvent<'_>) -> Self {
        let client = &event.data.client;
        Self {
            id: event.id,
            client_id: event.data.client_id.as_deref().filter(|id| !id.is_empty()).map(str::to_owned),
            ip: client.ip.as_deref().and_then(ip::parse),
            device: client.device.as_deref().and_then(Device::parse),
            location: client
                .location
                .as_deref()
                .and_then(profile::text)
                .filter(|place| names_a_city(place))
                .map(str::to_owned),
            user_agent: None,
        }
    }

    /// Derives what the client did not say: the device from its user agent, the place from its address.
    ///
    /// Both follow from this one event (with the parser and the file that all consumers share), not from the
    /// registers: so they may be stored with the login, and no order of events can change them.
    pub(in crate::store) fn resolve(&mut self, geoip: &GeoIp) {
        let user_agent = self.user_agent.take();
        self.resolve_by(geoip, user_agent.as_deref());
    }

    fn resolve_by(&mut self, geoip: &GeoIp, user_agent: Option<&str>) {
        self.device = self.device.or_else(|| Device::of_user_agent(user_agent?));
        self.location = self.location.take().or_else(|| self.ip.and_then(|ip| geoip.of(ip)));
    }
}

/// The confirmation with the smallest (time, id).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct SignUp {
    pub(in crate::store) id: EventId,
    pub(in crate::store) ip: Option<IpAddr>,
    pub(in crate::store) referral_code: Option<String>,
}

/// What a set of one user's events amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct UserState {
    pub(in crate::store) registers: Registers,
    /// The latest event that read the whole user: no attribute is older. One id, in place of one for each attribute that is
    /// gone. An older release did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) whole: Option<EventId>,
    /// (time, disabled): on a tie disabled wins.
    pub(in crate::store) disabled: Option<(Timestamp, bool)>,
    #[serde(flatten)]
    pub(in crate::store) deletions: Deletions,
    /// Distinct `user.authenticated`.
    pub(in crate::store) authentications: u64,
    /// Whether there is any federated confirmation, which is a login of its own.
    pub(in crate::store) federated_login: bool,
    pub(in crate::store) last_login: Option<Login>,
    pub(in crate::store) sign_up: Option<SignUp>,
    pub(in crate::store) created_at: Timestamp,
    pub(in crate::store) synced_at: Timestamp,
}

impl UserState {
    /// What one event amounts to.
    pub(in crate::store) fn of(event: &UserEvent<'_>) -> Self {
        let (id, data) = (event.id, &event.data);
        let time = id.time();
        let register = |(name, value, flag): (&str, &str, Option<&str>)| {
            let (value, flag) = (value.to_owned(), flag.map(str::to_owned));
            (name.to_owned(), Register { version: id, value, flag, left: None })
        };
        let federated_login = event.kind == Kind::Confirmed && data.federated;
        let is_login = event.kind == Kind::Authenticated || federated_login;
        Self {
            registers: reported(event).map(register).collect(),
            whole: whole(event),
            disabled: data.enabled.map(|enabled| (time, !enabled)),
            deletions: Deletions::of(event),
            authentications: u64::from(event.kind == Kind::Authenticated),
            federated_login,
            last_login: is_login.then(|| Login::of(event)),
            sign_up: (event.kind == Kind::Confirmed).then(|| SignUp {
                id,
                ip: data.client.ip.as_deref().and_then(ip::parse),
                referral_code: data.client.referral_code.as_deref().and_then(referral::parse),
            }),
            created_at: data.created_at.map_or(time, |created_at| created_at.min(time)),
            synced_at: time,
        }
    }

    /// What both sets of events together amount to.
    pub(in crate::store) fn merge(&mut self, other: Self) {
        self.merge_registers(other.registers, other.whole);
        self.disabled = self.disabled.max(other.disabled);
        self.deletions.merge(other.deletions);
        self.authentications = self.authentications.saturating_add(other.authentications);
        self.federated_login |= other.federated_login;
        if let Some(login) = other.last_login
            && self.last_login.as_ref().is_none_or(|own| login.id > own.id)
        {
            self.last_login = Some(login);
        }
        if let Some(sign_up) = other.sign_up
            && self.sign_up.as_ref().is_none_or(|own| sign_up.id < own.id)
        {
            self.sign_up = Some(sign_up);
        }
        self.created_at = self.created_at.min(other.created_at);
        self.synced_at = self.synced_at.max(other.synced_at);
    }

    fn merge_registers(&mut self, mut others: Registers, others_whole: Option<EventId>) {
        leave_absent(&mut self.registers, others_whole, &others);
        leave_absent(&mut others, self.whole, &self.registers);
        for (name, register) in others {
            match self.registers.get_mut(&name) {
                Some(own) => own.merge(&name, register),
                None => drop(self.registers.insert(name, register)),
            }
        }
        self.whole = self.whole.max(others_whole);
        // Both sides have dropped what each of them knows to be gone.
        if self.whole.is_some() {
            self.drop_what_is_gone();
        }
    }

    /// Drops what no register may be of: attributes from before the user was read whole, and those that Cognito derives. An
    /// older release stored both.
    pub(in crate::store) fn drop_what_is_gone(&mut self) {
        let whole = self.whole;
        self.registers.retain(|name, register| match name.starts_with(COGNITOS_OWN) {
            true => RESERVED.contains(&name.as_str()),
            false => whole.is_none_or(|whole| register.version >= whole),
        });
    }

    /// When the user was deleted, if it is.
    pub(in crate::store) fn deleted_at(&self) -> Option<Timestamp> {
        self.deletions.deleted_at()
    }

    /// `login_count`: distinct authentications, and one for the federated confirmation if there is any.
    pub(in crate::store) fn login_count(&self) -> u64 {
        self.authentications.saturating_add(u64::from(self.federated_login))
    }

    /// The attribute's value; empty is none.
    pub(in crate::store) fn attribute(&self, name: &str) -> Option<&str> {
        self.registers.get(name).map(|register| register.value.as_str()).filter(|value| !value.is_empty())
    }

    /// The identifier that the user's own register holds now, and whether it is verified.
    pub(in crate::store) fn identifier(&self, kind: IdentifierKind) -> Option<(Identifier, bool)> {
        let register = self.registers.get(kind.attribute())?;
        Some((Identifier::new(kind, &register.value)?, is_true(register.flag.as_deref())))
    }

    /// When the user last said that its address is another one than it is now, or none.
    pub(in crate::store) fn left(&self, kind: IdentifierKind) -> Option<Timestamp> {
        self.registers.get(kind.attribute())?.left
    }

    /// The address that this user's register holds, if a user who is not deleted may hold it as its own.
    pub(in crate::store) fn claimable(&self, kind: IdentifierKind) -> Option<(Identifier, bool)> {
        self.deleted_at().is_none().then(|| self.identifier(kind)).flatten()
    }
}

/// What a batch's fresh events amount to for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Delta {
    pub(in crate::store) state: UserState,
    /// Every address that any of the events showed, not only the one that stands at the end.
    pub(in crate::store) claims: Claims,
}

impl Delta {
    pub(in crate::store) fn of(event: &UserEvent<'_>) -> Self {
        let state = UserState::of(event);
        let time = event.id.time();
        let shown = IdentifierKind::ALL.into_iter().filter_map(|kind| state.identifier(kind));
        let claim = |verified: bool| Claim { since: verified.then_some(time), shown: Some(time) };
        let claims = shown.map(|(identifier, verified)| (identifier, claim(verified))).collect();
        Self { state, claims }
    }

    pub(in crate::store) fn merge(&mut self, other: Self) {
        self.state.merge(other.state);
        for (identifier, claim) in other.claims {
            self.claims.entry(identifier).or_insert(claim).merge(claim);
        }
    }
}

/// Folds distinct events per user, in the order of the users' ids.
pub(in crate::store) fn fold<'a>(
    events: impl IntoIterator<Item = &'a UserEvent<'a>>,
    geoip: &GeoIp,
) -> BTreeMap<Uuid, Delta> {
    let mut deltas = BTreeMap::<Uuid, Delta>::new();
    for event in events {
        add(&mut deltas, event.sub, Delta::of(event));
    }
    // Only now: of a user's logins one remains, and reading the others' user agents would be for nothing.
    for login in deltas.values_mut().filter_map(|delta| delta.state.last_login.as_mut()) {
        login.resolve(geoip);
    }
    deltas
}

/// Merges a delta into its user's.
pub(in crate::store) fn add(deltas: &mut BTreeMap<Uuid, Delta>, user: Uuid, delta: Delta) {
    match deltas.get_mut(&user) {
        Some(own) => own.merge(delta),
        None => drop(deltas.insert(user, delta)),
    }
}

/// Cognito writes `"true"`; AWS's own sample shows a boolean, which the trigger writes as text.
pub(in crate::store) fn is_true(flag: Option<&str>) -> bool {
    flag.is_some_and(|flag| flag.eq_ignore_ascii_case("true"))
}

/// The lesser of what is there.
pub(in crate::store) fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
