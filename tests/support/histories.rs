//! Histories at random: what may happen to a few users who meet, and how the news may arrive.

use std::fmt;

use cognito_user_sync::store::referral_code;
use cognito_user_sync_triggers::event::{
    Context, ContextEvent, Data, Event, EventId, GroupChange, Kind, Occasion, Reporter,
};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::events::{at, event, group, sub};

/// Each history arrives in so many ways.
const WAYS: usize = 3;
/// Few users and few moments, so that addresses are shared and ties are common.
const USERS: u128 = 6;
const MOMENTS: u64 = 12;

/// A history, and ways in which it arrives.
#[derive(Debug, Clone)]
pub struct Case {
    pub history: History,
    pub ways: Vec<Way>,
}

/// Distinct events.
#[derive(Clone)]
pub struct History(pub Vec<Event<'static>>);

/// One way in which a history arrives.
#[derive(Clone)]
pub struct Way {
    /// Indices of the history's events, each of them at least once.
    pub deliveries: Vec<usize>,
    /// The sizes of the batches, over and over.
    pub batch_sizes: Vec<usize>,
    pub consumers: usize,
}

impl Way {
    /// The deliveries in their batches.
    pub fn batches(&self, History(events): &History) -> Vec<Vec<String>> {
        let mut bodies = self.deliveries.iter().map(|index| events[*index].encode());
        let batches = self.batch_sizes.iter().cycle().map(|size| bodies.by_ref().take(*size).collect());
        batches.take_while(|batch: &Vec<_>| !batch.is_empty()).collect()
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deliveries, batch_sizes, consumers } = self;
        write!(f, "{deliveries:?} in batches of {batch_sizes:?} by {consumers} consumers")
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "History")?;
        self.0.iter().enumerate().try_for_each(|(index, event)| writeln!(f, "  {index}: {}", event.encode()))
    }
}

/// Up to 40 events of every kind, but for what others record of sign-ins.
pub fn case() -> impl Strategy<Value = Case> {
    case_of(drawn(), 40)
}

/// Up to 60 events, half of them contexts of sign-ins and of sign-ups.
pub fn case_with_contexts() -> impl Strategy<Value = Case> {
    let context = || told_of_context().prop_map(|told| Drawn::Context(Box::new(told)));
    case_of(prop_oneof![1 => drawn(), 1 => context()], 60)
}

fn case_of(drawn: impl Strategy<Value = Drawn>, most: usize) -> impl Strategy<Value = Case> {
    // When an event arrives goes with the event, so that shrinking removes both. The keys only order.
    let arrivals = || prop_oneof![3 => vec(any::<u16>(), 1), 1 => vec(any::<u16>(), 2..=4)];
    let events = vec((drawn, vec(arrivals(), WAYS)), 1..most);
    // Small batches meet in the middle of each other more often.
    let sizes = prop_oneof![2 => vec(1..4_usize, 1..4), 1 => vec(1..40_usize, 1..4)];
    let settings = vec((sizes, 1..=4_usize), WAYS);
    (events, settings).prop_map(|(events, settings)| {
        let way = |(way, (batch_sizes, consumers)): (usize, (Vec<usize>, usize))| {
            let keys = |(index, (_, arrivals)): (usize, &(Drawn, Vec<Vec<u16>>))| {
                arrivals[way].iter().map(|key| (*key, index)).collect::<Vec<_>>()
            };
            let mut deliveries: Vec<(u16, usize)> = events.iter().enumerate().flat_map(keys).collect();
            deliveries.sort_unstable();
            Way {
                deliveries: deliveries.into_iter().map(|(_, index)| index).collect(),
                batch_sizes,
                consumers,
            }
        };
        let ways = settings.into_iter().enumerate().map(way).collect();
        let history = events.iter().enumerate().map(|(index, (told, _))| told.event(index)).collect();
        Case { history: History(history), ways }
    })
}

/// One event: of a user, of a group, or of what others record.
#[derive(Debug, Clone)]
enum Drawn {
    User(Box<Told>),
    Group(ToldOfGroup),
    Context(Box<ToldOfContext>),
}

impl Drawn {
    fn event(&self, number: usize) -> Event<'static> {
        match self {
            Self::User(told) => told.event(number),
            Self::Group(told) => told.event(number),
            Self::Context(told) => told.event(number),
        }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    prop_oneof![3 => told().prop_map(|told| Drawn::User(Box::new(told))), 2 => told_of_group().prop_map(Drawn::Group)]
}

/// One event of a group, but for an id that no other has.
#[derive(Debug, Clone)]
pub struct ToldOfGroup {
    name: &'static str,
    change: GroupChange,
    millis: u64,
    /// Orders events of one moment.
    order: u8,
    pool: &'static str,
}

impl ToldOfGroup {
    pub fn event(&self, number: usize) -> Event<'static> {
        let millis = at(0).unix_millis() + self.millis;
        let random = u128::from(self.order) << 112 | u128::try_from(number).unwrap() << 80;
        let bytes: [u8; 10] = std::array::from_fn(|index| random.to_be_bytes()[index]);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
        let mut event = group(self.name, self.change, Timestamp::from_unix_millis(millis));
        event.id = EventId::from_uuid(id).expect("a UUIDv7");
        event.user_pool_id = self.pool.into();
        Event::Group(event)
    }
}

/// What may be told of a few groups and users, one of whom has no row; several things within a second.
pub fn told_of_group() -> impl Strategy<Value = ToldOfGroup> {
    let name =
        prop_oneof![5 => Just("admins"), 2 => Just("Admins"), 1 => Just("ad\u{0}mins"), 1 => Just("é & ü")];
    let change = prop_oneof![
        4 => (0..=USERS).prop_map(|user| GroupChange::Joined(sub(user))),
        3 => (0..=USERS).prop_map(|user| GroupChange::Left(sub(user))),
        1 => Just(GroupChange::Deleted),
    ];
    let millis =
        (0..MOMENTS, select(vec![0, 1, 500, 999])).prop_map(|(second, millis)| second * 1_000 + millis);
    let pool = prop_oneof![9 => Just("eu-west-1_Test00000"), 1 => Just("eu-west-1_Other0000")];
    let told = (name, change, millis, any::<u8>(), pool);
    told.prop_map(|(name, change, millis, order, pool)| ToldOfGroup { name, change, millis, order, pool })
}

/// One record of a sign-in, but for an id that no other has.
#[derive(Debug, Clone)]
pub struct ToldOfContext {
    user: Option<u128>,
    millis: u64,
    /// Orders events of one moment.
    order: u8,
    data: Context<'static>,
}

impl ToldOfContext {
    /// The same, told of a moment that is later by so many seconds.
    pub fn later(self, seconds: u64) -> Self {
        Self { millis: self.millis + seconds * 1_000, ..self }
    }

    pub fn event(&self, number: usize) -> Event<'static> {
        let random = u128::from(self.order) << 112 | u128::try_from(number).unwrap() << 80;
        let bytes: [u8; 10] = std::array::from_fn(|index| random.to_be_bytes()[index]);
        let id = uuid::Builder::from_unix_timestamp_millis(self.millis, &bytes).into_uuid();
        Event::Context(ContextEvent {
            id: EventId::from_uuid(id).expect("a UUIDv7"),
            user_pool_id: "eu-west-1_Test00000".into(),
            sub: self.user.map(sub),
            data: self.data.clone(),
        })
    }
}

/// What others may record of a few users, at the edges of what may be a login's.
pub fn told_of_context() -> impl Strategy<Value = ToldOfContext> {
    told_of_context_of(USERS, MOMENTS)
}

/// The same of so many users, within so many seconds.
pub fn told_of_context_of(users: u128, moments: u64) -> impl Strategy<Value = ToldOfContext> {
    // Mostly of few, so that there are more of one reporter than are kept. One has no row, and some are of nobody.
    let user = prop_oneof![
        8 => (0..2.min(users)).prop_map(Some),
        8 => (0..=users).prop_map(Some),
        1 => Just(None),
    ];
    let offset = prop_oneof![
        4 => select(vec![-2_001, -2_000, 0, 1, 8_000, 8_001, 30_000, 30_001]),
        2 => select(vec![-900_001, -900_000]),
        2 => -3_000..9_000_i64,
    ];
    let millis = (0..moments, offset)
        .prop_map(|(second, offset)| at(second).unix_millis().checked_add_signed(offset).unwrap());
    let told = (user, millis, any::<u8>(), context());
    told.prop_map(|(user, millis, order, data)| ToldOfContext { user, millis, order, data })
}

fn context() -> impl Strategy<Value = Context<'static>> {
    let often = |values: &'static [&'static str]| {
        option::weighted(0.6, select(values).prop_map(|text| Text::from(text.to_owned())))
    };
    let texts = (
        often(CLIENTS),
        // Few values, so that several records say the same.
        prop_oneof![3 => often(&IPS[..2]), 1 => often(IPS)],
        often(AGENTS),
        often(DEVICES),
        often(LOCATIONS),
        often(&["AT", "null", ""]),
    );
    let reporter = select(Reporter::ALL.to_vec());
    let occasion = prop_oneof![6 => Just(Occasion::SignIn), 1 => Just(Occasion::SignUp)];
    (reporter, occasion, proptest::bool::weighted(0.1), texts).prop_map(
        |(reporter, occasion, witness, texts)| {
            let (client_id, ip, user_agent, device, city, country) = texts;
            let flow = Some("USER_PASSWORD_AUTH".into());
            Context {
                occasion,
                witness,
                client_id,
                ip,
                user_agent,
                device,
                city,
                country,
                flow,
                ..Context::by(reporter)
            }
        },
    )
}

/// One event, but for an id that no other has.
#[derive(Debug, Clone)]
pub struct Told {
    kind: Kind,
    user: u128,
    second: u64,
    /// Orders events of one moment.
    order: u8,
    pool: &'static str,
    data: Data<'static>,
}

impl Told {
    /// The same, told of another moment.
    pub fn at_second(self, second: u64) -> Self {
        Self { second, ..self }
    }

    pub fn event(&self, number: usize) -> Event<'static> {
        let number = u128::try_from(number).unwrap();
        let random = u128::from(self.order) << 112 | number << 80;
        let event = event(self.kind, self.user, at(self.second)).random_part(random);
        event.pool(self.pool).with(|data| *data = self.data.clone()).build()
    }
}

/// What may be told of one of a few users, at one of a few moments.
pub fn told() -> impl Strategy<Value = Told> {
    told_of(USERS, MOMENTS)
}

/// The same of so many users, within so many seconds, with addresses for as many circles as it takes.
pub fn told_of(users: u128, moments: u64) -> impl Strategy<Value = Told> {
    let kind = prop_oneof![
        8 => Just(Kind::Authenticated),
        5 => Just(Kind::Confirmed),
        3 => Just(Kind::Snapshot),
        1 => Just(Kind::PasswordReset),
        1 => Just(Kind::Deleted),
        1 => Just(Kind::Restored),
    ];
    let pool = prop_oneof![9 => Just("eu-west-1_Test00000"), 1 => Just("eu-west-1_Other0000")];
    let circle = 0..users.div_ceil(USERS);
    (kind, 0..users, 0..moments, any::<u8>(), pool, data(users), circle).prop_map(
        |(kind, user, second, order, pool, mut data, circle)| {
            for (name, value) in &mut data.attributes {
                // Addresses of each circle's own.
                if circle > 0 && ["email", "phone_number"].contains(&name.as_str()) && !value.is_empty() {
                    *value = format!("{circle}{value}").into();
                }
            }
            Told { kind, user, second, order, pool, data }
        },
    )
}

/// Any of the data with any kind of event: the contract does not say which kind carries what.
fn data(users: u128) -> impl Strategy<Value = Data<'static>> {
    let attributes = (
        address("email", "email_verified", EMAILS),
        address("phone_number", "phone_number_verified", PHONES),
        profile(),
    );
    let attributes = attributes.prop_map(|(email, phone, profile)| {
        let pairs = email.into_iter().chain(phone).chain(profile);
        pairs.map(|(name, value)| (name.into(), value.into())).collect()
    });
    let text = |values: &'static [&'static str]| option::of(select(values).prop_map(str::to_owned));
    let own = (
        text(USER_NAMES),
        text(STATUSES),
        any::<bool>(),
        option::weighted(0.2, any::<bool>()),
        option::weighted(0.2, 0..4_u64),
        // Of a snapshot: whether what it has not is there all the same.
        proptest::bool::weighted(0.3),
        text(CLIENTS),
    );
    let client = (text(IPS), text(DEVICES), text(LOCATIONS), option::of(code(users)));
    (attributes, own, client).prop_map(
        |(
            attributes,
            (user_name, status, federated, enabled, created, partial, client_id),
            (ip, device, location, referral_code),
        )| {
            let [user_name, status, ip, device, location, referral_code] =
                [user_name, status, ip, device, location, referral_code].map(|text| text.map(Text::from));
            let mut data =
                Data { user_name, status, federated, enabled, partial, attributes, ..Data::default() };
            data.created_at = created.map(at);
            data.client_id = client_id.map(Text::from);
            data.client.user_agent = device.clone();
            (data.client.ip, data.client.device) = (ip, device);
            (data.client.location, data.client.referral_code) = (location, referral_code);
            data
        },
    )
}

const EMAILS: &[&str] = &["a@x.test", "A@X.test", "b@x.test", "É@x.test", "é@x.test", ""];
const PHONES: &[&str] = &["+431", "+432", "a@x.test", ""];
const FLAGS: &[&str] = &["true", "True", "false", "", "yes"];
const USER_NAMES: &[&str] = &["jo", "Google_123", "", "\u{0}"];
const STATUSES: &[&str] = &[
    "CONFIRMED",
    "FORCE_CHANGE_PASSWORD",
    "EXTERNAL_PROVIDER",
    "UNCONFIRMED",
    "RESET_REQUIRED",
    "ARCHIVED",
    "COMPROMISED",
    "UNKNOWN",
    "SOME_WORD_OF_TOMORROW",
    "confirmed",
    "",
];
const IPS: &[&str] = &[
    "192.0.2.1",
    "2001:DB8::1",
    "::ffff:192.0.2.7",
    "nonsense",
    "192.0.2.1/24",
    "",
    "203.0.113.9:46532",
    "[2001:db8::2]:443",
    "unknown, 10.0.0.1, 198.51.100.7, 203.0.113.1",
    "192.168.1.4",
];
const CLIENTS: &[&str] = &["web", "web", "app", ""];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "aws-sdk-js/3.600.0",
    "",
];
const DEVICES: &[&str] = &["Mobile", "tablet", "DESKTOP", "toaster", ""];
const LOCATIONS: &[&str] = &["Vienna", " Graz, AT\u{200b}", "undefined", "null, AT", " ", "\u{0}", ""];

const LOCALES: &[&str] = &[
    "de-AT",
    "pt_br",
    "zh-Hant-TW",
    "en-u-ca-gregory",
    "es-419",
    "klingon!",
    "e-US",
    "x",
    "",
    "es_LA",
    "en_NZ@rg=uszzzz",
    "iw_IL",
    "fr-CH, fr;q=0.9",
    "da;q=0.1,nb-NO",
    "{\"country\":\"ES\",\"language\":\"es\"}",
    "en-UK",
    "en_EN",
    "sv_SV",
    "fr_FR.UTF-8",
    "ger_DE@euro",
    "xx-DE",
    "undefined",
];
const PICTURES: &[&str] = &[
    "https://x.test/a.png",
    " http://x.test/b.png\u{200b}",
    "{\"data\":{\"height\":50,\"url\":\"https://x.test/c.jpg\"}}",
    "[{\"url\":\"https:\\/\\/x.test/d.jpg\"}]",
    "{\"data\":{}}",
    "javascript:alert(1)",
    "/a.png",
    "undefined",
];
const BIRTHDATES: &[&str] = &[
    "1984-02-29",
    " 1984/02/29",
    "1984-02-29T00:00:00Z",
    "1990-02-30",
    "1984-W50-7",
    "10.12.1984",
    "0001-01-01",
    "0000-05-01",
    "1899-12-31",
    "1900-01-01",
    "2999-01-01",
    "",
];
const IDENTITIES: &[&str] = &[
    r#"[{"userId":"1023","providerName":"Google","providerType":"Google","issuer":null,"primary":true,"dateCreated":1700000000123}]"#,
    r#"[{"userId":"1023","providerName":"Google","providerType":"Google","issuer":null,"primary":"true","dateCreated":"1700000000123"}]"#,
    r#"[{"userId":"b","providerName":"Apple","primary":false},{"userId":"a","providerName":"Apple"},{"userId":"a","providerName":"Apple"}]"#,
    "[]",
    "undefined",
    "",
];

type Attribute = (&'static str, String);

/// An address with or without its flag, or its flag alone.
fn address(
    name: &'static str,
    flag: &'static str,
    values: &'static [&'static str],
) -> impl Strategy<Value = Vec<Attribute>> {
    let long = select(vec!["x".repeat(512), "x".repeat(513)]);
    let value = prop_oneof![20 => select(values).prop_map(str::to_owned), 1 => long];
    let told = (option::of(value), option::weighted(0.7, select(FLAGS)));
    told.prop_map(move |(value, told)| {
        let value = value.map(|value| (name, value));
        value.into_iter().chain(told.map(|told| (flag, told.to_owned()))).collect()
    })
}

/// Some of the other attributes, good values and bad.
fn profile() -> impl Strategy<Value = Vec<Attribute>> {
    let values: &'static [(&str, &[&str])] = &[
        ("name", &["Ada Lovelace", "  ", "", "Jo", "a@x.test", "undefined", "\u{200b}Jo\u{feff}"]),
        ("given_name", &["Ada", " Ada ", "", "null", "A@X.test"]),
        ("family_name", &["Lovelace", "", "Null", "+43 660 1234567"]),
        ("preferred_username", &["ada", "", "b@x.test"]),
        ("nickname", &["countess", "\u{0}", "\u{3164}", "undefined undefined"]),
        ("birthdate", BIRTHDATES),
        ("gender", &["female", "", " N/A", "other "]),
        ("picture", PICTURES),
        (
            "zoneinfo",
            &["Europe/Vienna", "", "Asia/Calcutta ", "europe/berlin", "-8", "Pacific Standard Time", "null"],
        ),
        ("locale", LOCALES),
        ("identities", IDENTITIES),
        ("custom:x", &["1", "2", "\u{0}", "{\"a\": 'b'}"]),
        ("cognito:username", &["not a register"]),
        ("cognito:user_status", &["CONFIRMED"]),
        ("cognito:email_alias", &["a@x.test", "b@x.test"]),
        ("cognito:mfa_enabled", &["true", ""]),
        ("", &["nameless"]),
    ];
    let attribute =
        select(values).prop_flat_map(|(name, values)| (Just(name), select(values).prop_map(str::to_owned)));
    vec(attribute, 0..5)
}

/// A code as somebody types it: a user's, nobody's, or nonsense.
fn code(users: u128) -> impl Strategy<Value = String> {
    // One more than there are users: whose code it is may never come.
    (0..=users, 0..5_u8).prop_map(|(user, way)| {
        let code = referral_code(sub(user));
        match way {
            0 => String::new(),
            1 => "FRIEND2024".to_owned(),
            2 => format!(" {}", code.to_lowercase().replace('1', "l").replace('0', "o")),
            3 => format!("{}-{}", &code[..8], &code[8..]),
            _ => code,
        }
    })
}
