//! The people of a made-up company: plausible names, addresses of example.com, numbers from the ranges for fiction. Pure.

use cognito_user_sync_triggers::event::{Data, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DAY, POOL};

const GIVEN: [&str; 24] = [
    "Ada",
    "Bruno",
    "Chidi",
    "Dalia",
    "Emre",
    "Freya",
    "Goran",
    "Hana",
    "Inês",
    "Jonas",
    "Kavya",
    "Luís",
    "Marta",
    "Noah",
    "Oluwaseun",
    "Priya",
    "Quentin",
    "Rosa",
    "Søren",
    "Tomoko",
    "Uma",
    "Valentina",
    "Wiktor",
    "Yara",
];
const FAMILY: [&str; 22] = [
    "Okafor",
    "Silva",
    "Novák",
    "Haddad",
    "Lindqvist",
    "Tanaka",
    "Moreau",
    "Fischer",
    "Rossi",
    "Kowalski",
    "Sharma",
    "Martin",
    "Costa",
    "Jensen",
    "Papadopoulos",
    "Murphy",
    "García",
    "Bianchi",
    "Nakamura",
    "Dubois",
    "Andersson",
    "Vogel",
];

/// A locale, its country, the hours that its working day is behind UTC, and how many of thirty people are there.
const PLACES: [(&str, &str, i64, u32); 9] = [
    ("de-DE", "DE", -1, 8),
    ("en-GB", "GB", 0, 6),
    ("fr-FR", "FR", -1, 4),
    ("pt-PT", "PT", 0, 3),
    ("pt-BR", "BR", 3, 3),
    ("en-US", "US", 5, 3),
    ("pl-PL", "PL", -1, 1),
    ("ja-JP", "JP", -9, 1),
    ("es-ES", "ES", -1, 1),
];

/// The app clients, and how many of ten sign-ins come through each.
pub(super) const CLIENTS: [(&str, u32); 4] = [
    ("5webappclient00demo", 5),
    ("3iosappclient000demo", 3),
    ("2androidclient0demo", 1),
    ("7partnerportal0demo", 1),
];

pub(super) const DEVICES: [(&str, &str, u32); 4] = [
    ("Desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", 5),
    (
        "Mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
        3,
    ),
    (
        "Mobile",
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36",
        2,
    ),
    ("Tablet", "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15", 1),
];

/// The groups, and one in how many people is in each.
pub(super) const GROUPS: [(&str, usize); 5] =
    [("customers", 1), ("partners", 7), ("support", 19), ("billing", 41), ("admins", 97)];

/// Somebody.
#[derive(Debug, Clone)]
pub struct Person {
    /// Cognito's `sub`.
    pub sub: Uuid,
    pub(super) number: usize,
    /// When they sign up.
    pub(super) joins: Timestamp,
    pub(super) country: &'static str,
    /// By how many hours the day is behind UTC's.
    pub(super) behind: i64,
    /// Sign-ins a working day, about.
    pub(super) eagerness: f64,
    pub(super) is_federated: bool,
    pub(super) is_disabled: bool,
    /// Only the pool knows them: the events went missing.
    pub(super) is_missing: bool,
    user_name: String,
    attributes: Vec<(&'static str, String)>,
}

/// One of these, by its weight.
pub(super) fn weighted<T: Copy>(random: &mut Rng, of: &[(T, u32)]) -> Option<T> {
    let mut left = random.u32(0..of.iter().map(|(_, weight)| weight).sum::<u32>().max(1));
    of.iter()
        .find(|(_, weight)| match left.checked_sub(*weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
        .map(|(one, _)| *one)
}

impl Person {
    pub(super) fn new(number: usize, joins: Timestamp, random: &mut Rng) -> Self {
        let pick =
            |list: &[&'static str], index: usize| list.get(index % list.len()).copied().unwrap_or("Ada");
        let (given, family) = (pick(&GIVEN, random.usize(..)), pick(&FAMILY, random.usize(..)));
        let places = PLACES.map(|(locale, country, behind, weight)| ((locale, country, behind), weight));
        let (locale, country, behind) = weighted(random, &places).unwrap_or(("en-GB", "GB", 0));
        let sub = uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid();
        let is_federated = number % 6 == 2;
        let ascii = |name: &str| name.to_lowercase().chars().map(plain).collect::<String>();
        let (is_google, id) = (number % 12 == 2, 100_000_000 + number * 7_919);
        let name_in_letters = format!("{}.{}{number}", ascii(given), ascii(family));
        let user_name = match is_federated {
            true => format!("{}_{id}", if is_google { "Google" } else { "Okta" }),
            false => name_in_letters.clone(),
        };
        let mut attributes = vec![
            ("given_name", given.to_owned()),
            ("family_name", family.to_owned()),
            ("name", format!("{given} {family}")),
            ("locale", locale.to_owned()),
        ];
        attributes.extend(addresses(number, country, &name_in_letters));
        if is_federated {
            let (provider, r#type) = if is_google { ("Google", "Google") } else { ("Okta", "SAML") };
            let identity = json!([{ "userId": id.to_string(), "providerName": provider, "providerType": r#type,
                "issuer": null, "primary": true, "dateCreated": joins.unix_millis() }]);
            attributes.push(("identities", identity.to_string()));
        }
        if number == 77 {
            // Foreign text is shown as it is: markup is text, and what turns the direction of writing is spelled.
            attributes.push(("nickname", "<b>Ada</b> \u{202e}nimda".to_owned()));
        }
        let eagerness = [0.03, 0.08, 0.15, 0.25, 0.5, 0.9].get(random.usize(0..6)).copied().unwrap_or(0.3);
        let is_disabled = number % 83 == 40;
        let is_missing = number % 500 == 123;
        Self {
            sub,
            number,
            joins,
            country,
            behind,
            eagerness,
            is_federated,
            is_disabled,
            is_missing,
            user_name,
            attributes,
        }
    }

    fn status(&self) -> &'static str {
        match () {
            () if self.is_federated => "EXTERNAL_PROVIDER",
            () if self.number % 61 == 17 => "FORCE_CHANGE_PASSWORD",
            () => "CONFIRMED",
        }
    }

    /// Whether they ever came in.
    pub(super) fn comes_in(&self) -> bool {
        self.status() != "FORCE_CHANGE_PASSWORD"
    }

    /// Something that happened to them, as a trigger or a reader of the pool tells it.
    pub(super) fn event(&self, kind: Kind, at: Timestamp) -> UserEvent<'static> {
        let is_snapshot = kind == Kind::Snapshot;
        let data = Data {
            user_name: Some(self.user_name.clone().into()),
            status: Some(self.status().into()),
            federated: self.is_federated,
            enabled: is_snapshot.then_some(!self.is_disabled),
            created_at: is_snapshot.then_some(self.joins),
            attributes: self
                .attributes
                .iter()
                .map(|(name, value)| ((*name).into(), value.clone().into()))
                .collect(),
            ..Data::default()
        };
        UserEvent { id: EventId::new(at), user_pool_id: POOL.into(), sub: self.sub, kind, data }
    }

    /// The groups that they are in.
    pub(super) fn groups(&self) -> impl Iterator<Item = &'static str> {
        let number = self.number;
        GROUPS.into_iter().filter(move |(_, one_in)| number.is_multiple_of(*one_in)).map(|(name, _)| name)
    }

    /// As Cognito lists them.
    pub(super) fn listed(&self) -> Value {
        let sub = self.sub.to_string();
        let all =
            std::iter::once(("sub", &sub)).chain(self.attributes.iter().map(|(name, value)| (*name, value)));
        let attributes: Vec<Value> =
            all.map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
        // To the second; no later than the first event would be a difference.
        let created = self.joins.unix_millis() / 1_000 + 1;
        json!({ "Username": self.user_name, "Enabled": !self.is_disabled, "Attributes": attributes,
            "UserStatus": self.status(), "UserCreateDate": created, "UserLastModifiedDate": created })
    }

    /// Whether it is this user name.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.user_name == name
    }

    /// Whether the pool has them no more, while the row says that they are there.
    pub(super) fn is_gone(&self) -> bool {
        self.number % 500 == 251 || self.number % 137 == 20 || (self.number % 137 == 60 && self.number > 137)
    }

    /// Days from signing up to `at`.
    pub(super) fn days_until(&self, at: Timestamp) -> u64 {
        at.unix_millis().saturating_sub(self.joins.unix_millis()) / DAY
    }
}

/// A letter without its marks, as far as the names above have any.
fn plain(letter: char) -> char {
    match letter {
        'ê' | 'é' => 'e',
        'í' => 'i',
        'á' => 'a',
        'ø' => 'o',
        other => other,
    }
}

/// The addresses of somebody: some have only a number, and some share an inbox.
fn addresses(number: usize, country: &str, name: &str) -> Vec<(&'static str, String)> {
    let mut addresses = Vec::new();
    if number % 9 != 4 {
        let address = match number % 400 {
            33 => format!("shared.inbox{}@example.com", number / 800),
            _ => format!("{name}@example.com"),
        };
        addresses.push(("email", address));
        addresses.push(("email_verified", (!number.is_multiple_of(11)).to_string()));
    }
    if number % 9 == 4 || number.is_multiple_of(5) {
        addresses.push(("phone_number", fictional_number(country, number)));
        addresses.push(("phone_number_verified", (!number.is_multiple_of(3)).to_string()));
    }
    addresses
}

/// A number that its country keeps for fiction, or one of London's where it keeps none.
fn fictional_number(country: &str, number: usize) -> String {
    let last = number % 10_000;
    match country {
        "US" => format!("+1206555{last:04}"),
        "FR" => format!("+3319900{last:04}"),
        "DE" => format!("+493023125{:03}", number % 1_000),
        _ => format!("+442079460{:03}", number % 1_000),
    }
}
