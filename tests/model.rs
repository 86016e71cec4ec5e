//! The reference model: which rows a set of events must leave, told as plainly as the rules are.
//!
//! It has nothing of the product but the contract of the events and the referral code of a sub. It sees all
//! events at once and looks for each answer among them, every time anew: no merging, no stored state, no SQL.
//! Slow, and simple enough to be read against the design's tables line by line.

mod contexts;
mod readings;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use cognito_user_sync::store::maintenance::release::ownable_columns;
use cognito_user_sync::store::referral_code;
use cognito_user_sync_triggers::event::{ContextEvent, Event, EventId, GroupChange, Kind, UserEvent};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Map, Value, json};
use sha2::Digest as _;
use uuid::Uuid;

/// The two unique addresses: the kind of claim, the attribute, its flag, and what the other columns begin with.
const ADDRESSES: [Address; 2] = [
    Address { kind: "email", attribute: "email", flag: "email_verified" },
    Address { kind: "phone", attribute: "phone_number", flag: "phone_number_verified" },
];

/// The attribute and its flag name their columns as well.
struct Address {
    kind: &'static str,
    attribute: &'static str,
    flag: &'static str,
}

/// What an event says beside its attributes, under the names by which `attribute_versions` knows it.
const USER_POOL_ID: &str = "cognito:user_pool_id";
const USER_NAME: &str = "cognito:username";
const STATUS: &str = "cognito:user_status";

/// A longer address is no identifier: an index entry could not hold it.
const ADDRESS_MAX_BYTES: usize = 512;

/// Rows of `users` and `user_claims`, each under a name that says which it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tables(BTreeMap<String, Map<String, Value>>);

/// Who must be in which group once these events are applied. Times are compared by the second, as what tells of them knows
/// no more. A user who is both in and out in the last second that tells of it is out.
pub(crate) fn members(events: &[Event<'static>]) -> BTreeSet<(Uuid, String)> {
    let rows = Tables::expected(events);
    let is_deleted =
        |user: Uuid| rows.0.get(&format!("user {user}")).is_some_and(|row| row["is_deleted"] == true);
    let groups: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Group(event) = event { Some(event) } else { None })
        .collect();
    let pairs: BTreeSet<(Uuid, String)> =
        groups.iter().filter_map(|event| Some((event.change.user()?, event.group.to_string()))).collect();
    let is_member = |(user, name): &(Uuid, String)| {
        let second = |id: EventId| id.time().unix_millis() / 1_000;
        let words =
            groups.iter().filter(|event| event.change.user() == Some(*user) && *event.group == **name);
        let last = words.clone().map(|event| second(event.id)).max().unwrap();
        let words: Vec<_> = words.filter(|event| second(event.id) == last).collect();
        let pool = words.iter().map(|event| event.user_pool_id.to_string()).max().unwrap();
        let is_gone = words.iter().any(|event| event.change == GroupChange::Left(*user));
        let is_cleared = groups.iter().any(|event| {
            event.change == GroupChange::Deleted
                && *event.group == **name
                && *event.user_pool_id == *pool
                && second(event.id) >= last
        });
        !is_gone && !is_cleared && !is_deleted(*user)
    };
    pairs.into_iter().filter(is_member).collect()
}

impl Tables {
    /// What the two tables must hold once these events are applied: in whatever order, however often.
    pub(crate) fn expected(events: &[Event<'static>]) -> Self {
        let mut users = BTreeMap::<Uuid, User<'_>>::new();
        for event in events {
            match event {
                Event::User(event) => users.entry(event.sub).or_default().events.push(event),
                Event::Group(_) | Event::Context(_) | Event::Failures(_) | Event::Heartbeat { .. } => {}
            }
        }
        for event in events {
            // A context makes nobody known.
            if let Event::Context(event) = event
                && let Some(user) = event.sub.and_then(|sub| users.get_mut(&sub))
            {
                user.contexts.push(event);
            }
        }
        for user in users.values_mut() {
            user.events.sort_by_key(|event| (event.id.time(), event.id.uuid()));
            user.events.dedup_by_key(|event| event.id);
        }
        let owners = owners(&users);
        let codes: BTreeMap<String, Uuid> = users.keys().map(|sub| (referral_code(*sub), *sub)).collect();

        let mut rows = BTreeMap::new();
        for (sub, user) in &users {
            let owns = |address: &Address| {
                let held = user.address(address)?;
                (owners.get(&(address.kind, held.value.clone())) == Some(sub)).then_some(held)
            };
            rows.insert(format!("user {sub}"), user.row(*sub, owns, &codes));
            for (kind, value, since, shown) in user.claims() {
                let row =
                    json!({ "kind": kind, "value": value, "user_id": sub, "since": since, "shown": shown });
                rows.insert(format!("user {sub}, claim {kind} {value:?}"), columns(row));
            }
        }
        Self(rows)
    }

    /// The rows as `support::rows` reads them, their times and IP addresses in the model's way of writing.
    pub(crate) fn actual(rows: Vec<Value>) -> Self {
        let named = |row| {
            let mut row = columns(row);
            for (column, value) in &mut row {
                let Value::String(text) = value else { continue };
                if ["at", "since", "shown", "left", "until"].contains(&column.rsplit('_').next().unwrap()) {
                    *text = Timestamp::parse(text).unwrap().to_string();
                } else if column.ends_with("_ip") {
                    *text = text.parse::<IpAddr>().unwrap().to_string();
                }
            }
            let text = |column: &str| row.get(column).and_then(Value::as_str).map(str::to_owned);
            let name = match text("id") {
                Some(id) => format!("user {id}"),
                None => {
                    let [id, kind, value] = ["user_id", "kind", "value"].map(|column| text(column).unwrap());
                    format!("user {id}, claim {kind} {value:?}")
                }
            };
            (name, row)
        };
        Self(rows.into_iter().map(named).collect())
    }

    /// The application's edit of a column: from then on the column is the application's.
    pub(crate) fn edit(&mut self, sub: Uuid, column: &str, value: &str) {
        self.edit_own(sub, column, value);
        let row = self.0.get_mut(&format!("user {sub}")).unwrap();
        let owned = row["app_owned"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        let owned: BTreeSet<String> = owned.chain([column.to_owned()]).collect();
        let in_order: Vec<_> = ownable_columns().into_iter().filter(|name| owned.contains(*name)).collect();
        row.insert("app_owned".to_owned(), in_order.into());
    }

    /// The application's edit of a column that was its own all along.
    pub(crate) fn edit_own(&mut self, sub: Uuid, column: &str, value: &str) {
        self.0.get_mut(&format!("user {sub}")).unwrap().insert(column.to_owned(), value.into());
    }

    /// Leaves out when a row was edited: that is the clock's, and no event's.
    pub(crate) fn without_edit_times(mut self) -> Self {
        for row in self.0.values_mut() {
            row.remove("app_edited_at");
            row.remove("updated_at");
        }
        self
    }

    /// Where each user's last login and sign-up came from, but for one user.
    pub(crate) fn origins(&self, but: Uuid) -> BTreeMap<String, Vec<Option<Value>>> {
        let names = [
            "last_login_ip",
            "last_login_device",
            "last_login_location",
            "last_login_source",
            "last_login_client_id",
            "last_login_own",
            "contexts_until",
            "created_ip",
            "created_ip_for",
        ];
        let users =
            self.0.iter().filter(|(name, _)| !name.contains("claim") && **name != format!("user {but}"));
        users.map(|(name, row)| (name.clone(), names.map(|name| row.get(name).cloned()).to_vec())).collect()
    }

    /// Leaves out when a row was erased.
    pub(crate) fn without_erasure_times(mut self) -> Self {
        self.0.values_mut().for_each(|row| drop(row.remove("erased_at")));
        self
    }

    /// Fails with every difference: the user, the column, what it must be and what it is.
    pub(crate) fn must_be(&self, expected: &Self) -> Result<(), Differences> {
        let mut differences = Vec::new();
        for name in self.0.keys().chain(expected.0.keys()).collect::<BTreeSet<_>>() {
            match (expected.0.get(name), self.0.get(name)) {
                (Some(_), None) => differences.push(format!("{name}: expected a row, there is none")),
                (None, Some(row)) => differences.push(format!("{name}: expected no row, there is {row:?}")),
                (None, None) => {}
                (Some(expected), Some(actual)) => {
                    for column in expected.keys().chain(actual.keys()).collect::<BTreeSet<_>>() {
                        let (expected, actual) = (expected.get(column), actual.get(column));
                        if expected != actual {
                            let text = |value: Option<&Value>| {
                                value.map_or_else(|| "no such column".to_owned(), Value::to_string)
                            };
                            let (expected, actual) = (text(expected), text(actual));
                            differences.push(format!("{name}, {column}: expected {expected}, is {actual}"));
                        }
                    }
                }
            }
        }
        if differences.is_empty() { Ok(()) } else { Err(Differences(differences)) }
    }
}

/// Where the tables are not what they must be.
pub(crate) struct Differences(Vec<String>);

impl fmt::Debug for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A wrong rule shows on every row; the first ones say which.
        let shown = 40;
        writeln!(f, "{} differences from the model", self.0.len())?;
        self.0.iter().take(shown).try_for_each(|difference| writeln!(f, "  {difference}"))
    }
}

/// An address that a user holds now.
struct Held {
    value: String,
    is_verified: bool,
    /// The earliest event that showed this user with this value verified.
    since: Option<Timestamp>,
    /// The earliest event that showed this user with this value.
    shown: Option<Timestamp>,
    /// The latest event that said that the user's address is another one, or none.
    left: Option<Timestamp>,
}

/// Every event of one user, in the order of (time, id).
#[derive(Default)]
struct User<'a> {
    events: Vec<&'a UserEvent<'static>>,
    /// What others recorded, in any order.
    contexts: Vec<&'a ContextEvent<'static>>,
}

impl<'a> User<'a> {
    /// The latest event that carries something, and what it carries.
    fn latest<T>(
        &self,
        carried: impl Fn(&'a UserEvent<'static>) -> Option<T>,
    ) -> Option<(&'a UserEvent<'static>, T)> {
        self.events.iter().rev().find_map(|event| Some((*event, carried(event)?)))
    }

    /// Each attribute is what the latest event that carries it says. Who leaves it out erases nothing, but for a snapshot of
    /// the whole user: what that has not is not there.
    fn attribute(&self, name: &str) -> Option<(&'a UserEvent<'static>, &'a str)> {
        let (event, value) = self.latest(|event| {
            let value = event.data.attributes.get(name).map(Text::as_str);
            (value.is_some() || is_whole(event)).then_some(value)
        })?;
        Some((event, value?))
    }

    /// The attribute's value where it says something.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.attribute(name).and_then(|(_, value)| non_empty(value))
    }

    /// Attributes that any event carries. A flag is none: it belongs to its value.
    fn attribute_names(&self) -> BTreeSet<&'a str> {
        let names = self.events.iter().flat_map(|event| event.data.attributes.keys());
        // Cognito derives what it names so.
        let is_attribute = |name: &&str| {
            !name.starts_with("cognito:") && ADDRESSES.iter().all(|address| address.flag != *name)
        };
        names.map(Text::as_str).filter(is_attribute).collect()
    }

    fn user_pool_id(&self) -> Option<(&'a UserEvent<'static>, &'a str)> {
        self.latest(|event| Some(event.user_pool_id.as_str()))
    }

    fn user_name(&self) -> Option<(&'a UserEvent<'static>, &'a str)> {
        self.latest(|event| non_empty(event.data.user_name.as_deref()?))
    }

    fn status(&self) -> Option<(&'a UserEvent<'static>, &'a str)> {
        self.latest(|event| {
            let word = event.data.status.as_deref().and_then(non_empty);
            match event.kind {
                // Who signs in, is confirmed or has chosen another password has one, or an identity provider's word.
                Kind::Authenticated | Kind::Confirmed | Kind::PasswordReset => match word {
                    Some("EXTERNAL_PROVIDER") => word,
                    _ if event.data.federated => Some("EXTERNAL_PROVIDER"),
                    None | Some("CONFIRMED" | "UNCONFIRMED" | "FORCE_CHANGE_PASSWORD" | "RESET_REQUIRED") => {
                        Some("CONFIRMED")
                    }
                    Some("ARCHIVED" | "COMPROMISED" | "UNKNOWN") => Some("CONFIRMED"),
                    Some(_) => word,
                },
                Kind::Snapshot => word.filter(|word| *word != "UNKNOWN"),
                Kind::Deleted | Kind::Restored => None,
            }
        })
    }

    /// The latest snapshot of the whole user.
    fn whole(&self) -> Option<&'a UserEvent<'static>> {
        self.events.iter().rev().copied().find(|event| is_whole(event))
    }

    /// The moment of the latest word on whether the user may sign in, and the word: of several at one moment,
    /// the one that disables.
    fn enabled(&self) -> Option<(Timestamp, bool)> {
        let words = || self.events.iter().filter_map(|event| Some((event.id.time(), event.data.enabled?)));
        let latest = words().map(|(time, _)| time).max()?;
        Some((latest, words().all(|(time, enabled)| time != latest || enabled)))
    }

    fn times_of(&self, kind: Kind) -> impl Iterator<Item = Timestamp> {
        self.events.iter().filter(move |event| event.kind == kind).map(|event| event.id.time())
    }

    /// The first deletion. Who was found alive afterwards was not deleted until then: only the last deletion counts, if
    /// it is later.
    fn deleted_at(&self) -> Option<Timestamp> {
        let deletions = || self.times_of(Kind::Deleted);
        match self.restored_at() {
            None => deletions().min(),
            Some(restored) => deletions().max().filter(|last| *last > restored),
        }
    }

    fn restored_at(&self) -> Option<Timestamp> {
        self.times_of(Kind::Restored).max()
    }

    /// The last deletion, where the row does not say it already.
    fn last_deleted_at(&self) -> Option<Timestamp> {
        self.times_of(Kind::Deleted).max().filter(|last| self.deleted_at() != Some(*last))
    }

    fn has_federated_confirmation(&self) -> bool {
        self.events.iter().any(|event| event.kind == Kind::Confirmed && event.data.federated)
    }

    fn login_count(&self) -> usize {
        let logins = self.events.iter().filter(|event| event.kind == Kind::Authenticated).count();
        logins + usize::from(self.has_federated_confirmation())
    }

    fn last_login(&self) -> Option<&'a UserEvent<'static>> {
        let is_login = |event: &UserEvent<'static>| match event.kind {
            Kind::Authenticated => true,
            Kind::Confirmed => event.data.federated,
            Kind::PasswordReset | Kind::Snapshot | Kind::Deleted | Kind::Restored => false,
        };
        self.events.iter().rev().copied().find(|event| is_login(event))
    }

    /// The first confirmation: the sign-up.
    fn sign_up(&self) -> Option<&'a UserEvent<'static>> {
        self.events.iter().copied().find(|event| event.kind == Kind::Confirmed)
    }

    fn address(&self, address: &Address) -> Option<Held> {
        let (event, _) = self.attribute(address.attribute)?;
        let (value, is_verified) = shown(event, address)?;
        let since = self.verified_since(address, &value);
        let shown = self.shown_since(address, &value);
        let left = self.left(address, &value);
        Some(Held { value, is_verified, since, shown, left })
    }

    fn shown_since(&self, address: &Address, value: &str) -> Option<Timestamp> {
        let is_shown =
            |event: &&&UserEvent<'static>| shown(event, address).is_some_and(|(shown, _)| shown == value);
        self.events.iter().filter(is_shown).map(|event| event.id.time()).min()
    }

    fn left(&self, address: &Address, value: &str) -> Option<Timestamp> {
        let says_otherwise = |event: &&&UserEvent<'static>| {
            let says = event.data.attributes.contains_key(address.attribute) || is_whole(event);
            says && shown(event, address).is_none_or(|(shown, _)| shown != value)
        };
        self.events.iter().filter(says_otherwise).map(|event| event.id.time()).max()
    }

    fn verified_since(&self, address: &Address, value: &str) -> Option<Timestamp> {
        let is_shown = |event: &&&UserEvent<'static>| shown(event, address) == Some((value.to_owned(), true));
        self.events.iter().filter(is_shown).map(|event| event.id.time()).min()
    }

    /// Every address that this user was ever shown with: kind, value, since when it is verified, since when shown.
    fn claims(&self) -> Vec<(&'static str, String, Option<Timestamp>, Option<Timestamp>)> {
        let claims = ADDRESSES.iter().flat_map(|address| {
            let values: BTreeSet<String> =
                self.events.iter().filter_map(|event| Some(shown(event, address)?.0)).collect();
            values.into_iter().map(move |value| {
                let since = self.verified_since(address, &value);
                let shown = self.shown_since(address, &value);
                (address.kind, value, since, shown)
            })
        });
        claims.collect()
    }

    /// Every register: its name, the event that last wrote it.
    fn versions(&self) -> BTreeMap<&'a str, Uuid> {
        let attributes = self
            .attribute_names()
            .into_iter()
            .filter_map(|name| Some((name, self.attribute(name)?.0.id.uuid())));
        let own =
            [(USER_POOL_ID, self.user_pool_id()), (USER_NAME, self.user_name()), (STATUS, self.status())];
        let own = own.into_iter().filter_map(|(name, written)| Some((name, written?.0.id.uuid())));
        attributes.chain(own).collect()
    }

    /// The row of `users`: `owns` says which addresses are this user's own, `codes` whose code is whose.
    fn row(
        &self,
        sub: Uuid,
        owns: impl Fn(&Address) -> Option<Held>,
        codes: &BTreeMap<String, Uuid>,
    ) -> Map<String, Value> {
        let mut row = Map::new();
        let mut add = |part: Value| row.extend(columns(part));

        let [email, phone_number] = &ADDRESSES;
        let held = [self.address(email), self.address(phone_number)];
        for (address, held) in ADDRESSES.iter().zip(&held) {
            let owned = owns(address);
            add(json!({
                address.attribute: owned.as_ref().map(|owned| &owned.value),
                address.flag: owned.is_some_and(|owned| owned.is_verified),
                format!("{}_since", address.kind): held.as_ref().and_then(|held| held.since),
                format!("{}_shown", address.kind): held.as_ref().and_then(|held| held.shown),
                format!("{}_left", address.kind): held.as_ref().and_then(|held| held.left),
            }));
        }
        let held: Vec<&Held> = held.iter().flatten().collect();

        let (language, country) = readings::locale(self.text("locale").unwrap_or_default());
        add(json!({
            "id": sub,
            "name": self.name(),
            "first_name": self.name_in("given_name"),
            "last_name": self.name_in("family_name"),
            "date_of_birth": self.birthdate(),
            "gender": self.text("gender").and_then(readings::text),
            "profile_picture_url": self.text("picture").and_then(readings::picture),
            "timezone": self.text("zoneinfo").and_then(readings::zone),
            "language": language.unwrap_or_else(|| "en".to_owned()),
            // The country of a phone number is a library's word, not a rule to tell again: histories that are
            // compared with the model have numbers of no country.
            "country_code": country,
            "cognito_identities": self.text("identities").map(readings::identities),
        }));

        let (enabled_at, is_enabled) = self.enabled().unzip();
        let is_enabled = is_enabled.unwrap_or(true);
        let is_deleted = self.deleted_at().is_some();
        add(json!({
            "is_verified": !held.is_empty() && held.iter().all(|held| held.is_verified),
            "enabled": is_enabled,
            "enabled_at": enabled_at,
            "is_deleted": is_deleted,
            "deleted_at": self.deleted_at(),
            "last_deleted_at": self.last_deleted_at(),
            "restored_at": self.restored_at(),
            "is_active": is_enabled && !is_deleted,
        }));

        let login = self.last_login();
        let shown = self.origin(login);
        add(json!({
            "login_count": self.login_count(),
            "federated_login": self.has_federated_confirmation(),
            "last_login_id": login.map(|login| login.id.uuid()),
            "last_login_at": login.map(|login| login.id.time()),
            "last_login_client_id": login.and_then(|login| non_empty(login.data.client_id.as_deref()?)),
            "last_login_ip": shown.ip,
            "last_login_device": shown.device,
            "last_login_location": shown.place,
            "last_login_source": shown.source,
            "last_login_own": shown.own,
            "contexts_until": self.latest_context(),
        }));

        let times = || self.events.iter().map(|event| event.id.time());
        let sign_up = self.sign_up();
        let client = sign_up.map(|sign_up| &sign_up.data.client);
        let own_ip = client.and_then(|client| readings::ip(client.ip.as_deref()?));
        let recorded_ip = self.recorded_sign_up();
        let sign_up_code = client.and_then(|client| typed_code(client.referral_code.as_deref()?));
        let referrer = sign_up_code.as_ref().and_then(|code| codes.get(code));
        add(json!({
            "created_at": times().chain(self.events.iter().filter_map(|event| event.data.created_at)).min(),
            "confirmed_at": sign_up.map(|sign_up| sign_up.id.time()),
            "created_ip": own_ip.or(recorded_ip),
            "created_ip_for": sign_up.filter(|_| own_ip.is_none() && recorded_ip.is_some()).map(|event| event.id.uuid()),
            "synced_at": times().max(),
            "updated_at": times().max(),
            "sign_up_id": sign_up.map(|sign_up| sign_up.id.uuid()),
            "sign_up_referral_code": sign_up_code,
            "referral_code": referral_code(sub),
            "referred_by": referrer.filter(|referrer| **referrer != sub),
        }));

        let versions = self.versions();
        let newest = versions.values().max();
        let others = versions.iter().filter(|(_, version)| Some(*version) != newest);
        add(json!({
            "user_pool_id": self.user_pool_id().map(|(_, pool)| pool),
            "cognito_username": self.user_name().map(|(_, user_name)| user_name),
            "cognito_status": self.status().map(|(_, status)| status),
            "cognito_attributes": self.cognito_attributes(),
            "attributes_version": newest,
            "attribute_versions": others.collect::<BTreeMap<_, _>>(),
            "profile_version": newest,
            "profile_digest": newest.map(|newest| self.digest(*newest, &versions)),
            "whole_snapshot_id": self.whole().map(|event| event.id.uuid()),
        }));

        // The application's: nothing that happens in Cognito touches them.
        add(json!({
            "bio": null,
            "is_premium": false,
            "preferences": {},
            "settings": {},
            "metadata": {},
            "app_owned": [],
            "app_edited_at": null,
            "erased_at": null,
        }));
        row
    }

    /// Of what the newest event wrote: each text after its length in eight bytes, ones for a flag that there is not.
    fn digest(&self, newest: Uuid, versions: &BTreeMap<&str, Uuid>) -> Uuid {
        let mut bytes = Vec::new();
        let mut write = |text: Option<&str>| {
            bytes.extend(text.map_or([255; 8], |text| (text.len() as u64).to_be_bytes()));
            bytes.extend(text.unwrap_or_default().bytes());
        };
        let map = self.cognito_attributes();
        let of_newest = |name: &&str| versions.get(name) == Some(&newest);
        for name in self.attribute_names().into_iter().filter(of_newest) {
            write(Some(name));
            write(map.get(name).copied());
            let address = ADDRESSES.iter().find(|address| address.attribute == name);
            write(address.and_then(|address| map.get(address.flag).copied()));
            if name == "birthdate" && self.is_born_later() {
                write(Some("yet to come"));
            }
        }
        let own =
            [(STATUS, self.status()), (USER_NAME, self.user_name()), (USER_POOL_ID, self.user_pool_id())];
        for (name, written) in own.into_iter().filter(|(name, _)| of_newest(name)) {
            write(Some(name));
            write(written.map(|(_, value)| value));
            write(None);
        }
        Uuid::from_slice(&sha2::Sha256::digest(bytes)[..16]).unwrap()
    }

    /// The merged map: each attribute's latest value, and beside an address the flag that came with it.
    fn cognito_attributes(&self) -> BTreeMap<&'a str, &'a str> {
        let mut map = BTreeMap::new();
        for name in self.attribute_names() {
            let Some((event, value)) = self.attribute(name) else { continue };
            map.insert(name, value);
            for address in ADDRESSES.iter().filter(|address| address.attribute == name) {
                if let Some(flag) = event.data.attributes.get(address.flag) {
                    map.insert(address.flag, flag);
                }
            }
        }
        map
    }

    /// A name that the attribute has: no address is one.
    fn name_in(&self, attribute: &str) -> Option<&'a str> {
        readings::name(self.text(attribute)?, self.text("email"), self.text("phone_number"))
    }

    /// Whether the birthdate was none yet when it was said, and would be one if it was said again.
    fn is_born_later(&self) -> bool {
        let some_day = Timestamp::parse("9999-12-30T00:00:00Z").unwrap();
        self.birthdate().is_none()
            && self
                .attribute("birthdate")
                .is_some_and(|(_, date)| readings::birthdate(date, some_day).is_some())
    }

    fn birthdate(&self) -> Option<String> {
        let (event, birthdate) = self.attribute("birthdate")?;
        readings::birthdate(birthdate, event.id.time()).map(|date| date.to_string())
    }

    fn name(&self) -> String {
        let text = |name| self.name_in(name).map(str::to_owned);
        let full = match (text("given_name"), text("family_name")) {
            (Some(given), Some(family)) => Some(format!("{given} {family}")),
            (given, family) => given.or(family),
        };
        [text("name"), full, text("preferred_username"), text("nickname")]
            .into_iter()
            .flatten()
            .next()
            .unwrap_or_else(|| "User".to_owned())
    }
}

/// Who owns each address that anybody holds: of those who are not deleted and hold it now, those who have it
/// verified before the others; of those, who verified it last; of those, who never showed another one since the first
/// time; of those, who showed it first; of those, the smallest sub.
fn owners(users: &BTreeMap<Uuid, User<'_>>) -> BTreeMap<(&'static str, String), Uuid> {
    let mut claimants = BTreeMap::<(&'static str, String), Vec<(Held, Uuid)>>::new();
    for (sub, user) in users.iter().filter(|(_, user)| user.deleted_at().is_none()) {
        for address in &ADDRESSES {
            if let Some(held) = user.address(address) {
                claimants.entry((address.kind, held.value.clone())).or_default().push((held, *sub));
            }
        }
    }
    let first = |claimants: Vec<(Held, Uuid)>| {
        let order = |(held, sub): &(Held, Uuid)| {
            let has_left = held.left > held.shown;
            (Reverse(held.is_verified), Reverse(held.since), has_left, held.shown, *sub)
        };
        claimants.iter().min_by_key(|claimant| order(claimant)).map(|(_, sub)| *sub)
    };
    claimants.into_iter().filter_map(|(address, claimants)| Some((address, first(claimants)?))).collect()
}

/// Whether the event is everything that the pool has of the user.
fn is_whole(event: &UserEvent<'_>) -> bool {
    event.kind == Kind::Snapshot && !event.data.partial
}

/// The address that one event shows, ASCII-lowercased, and whether it is verified: a flag is only good
/// together with its value.
fn shown(event: &UserEvent<'_>, address: &Address) -> Option<(String, bool)> {
    let value = non_empty(event.data.attributes.get(address.attribute)?)?;
    let flag = event.data.attributes.get(address.flag);
    let is_verified = flag.is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    (value.len() <= ADDRESS_MAX_BYTES).then(|| (value.to_ascii_lowercase(), is_verified))
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn columns(row: Value) -> Map<String, Value> {
    let Value::Object(columns) = row else { panic!("no row: {row}") };
    columns
}

/// A place is named by its city. Threat protection's export, which some clients pass on, says `null` for none, and JavaScript `undefined`.
fn place(text: &str) -> Option<&str> {
    let text = readings::text(text)?;
    let city = text.split(',').next()?.trim();
    (!["", "null", "undefined"].contains(&city.to_ascii_lowercase().as_str())).then_some(text)
}

fn device(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "mobile" => Some("Mobile"),
        "tablet" => Some("Tablet"),
        "desktop" => Some("Desktop"),
        _ => None,
    }
}

/// A referral code as people type it: in any case, with hyphens and spaces, and with the letters that look
/// like the digits 0 and 1. Any other text may be a code that an old table handed out, and stands as it is: up
/// to 64 characters on one line, without what surrounds it.
fn typed_code(text: &str) -> Option<String> {
    let text = readings::text(text)?;
    own_code(text).or_else(|| {
        let length = text.chars().count();
        (length > 0 && length <= 64 && text.chars().all(|character| !character.is_control()))
            .then(|| text.to_owned())
    })
}

fn own_code(text: &str) -> Option<String> {
    let mut code = String::new();
    for character in text.chars() {
        match character.to_ascii_uppercase() {
            '-' | ' ' => {}
            'O' => code.push('0'),
            'I' | 'L' => code.push('1'),
            'U' => return None,
            other if other.is_ascii_alphanumeric() => code.push(other),
            _ => return None,
        }
    }
    (code.len() == 16).then_some(code)
}
