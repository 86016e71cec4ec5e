//! The pure parts of applying a batch: `make bench-functions`.
//!
//! Small functions say how many calls a sample has: divan would go by the first call, which loads what the others find.

#![allow(missing_docs)]

use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::store::bench::{self, Change};
use cognito_user_sync::store::referral_code;
use cognito_user_sync_triggers::event::{Data, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use divan::{Bencher, black_box};
use uuid::Uuid;

/// Events of a fold: a batch of the size that the worker asks for.
const BATCH: u64 = 1_000;

const USER_AGENT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
                          Gecko) Version/18.5 Mobile/15E148 Safari/604.1";

fn main() {
    divan::main();
}

/// Logins of so many users in turn, each a millisecond after the other.
fn logins(users: u64) -> Vec<UserEvent<'static>> {
    (0..BATCH).map(|number| login(number % users, 1_760_000_000_000 + number)).collect()
}

fn login(user: u64, time: u64) -> UserEvent<'static> {
    let sub = Uuid::from_u128(u128::from(user) << 64);
    let email = format!("user{user}@example.com");
    let mut data =
        Data { user_name: Some(sub.to_string().into()), status: Some("CONFIRMED".into()), ..Data::default() };
    data.attributes = [
        ("email", email.as_str()),
        ("email_verified", "true"),
        ("given_name", "Ada"),
        ("family_name", "Lovelace"),
        ("locale", "de-AT"),
    ]
    .map(|(name, value)| (name.into(), value.to_owned().into()))
    .into();
    data.client.ip = Some("192.0.2.17".into());
    data.client.user_agent = Some(USER_AGENT.into());
    let id = EventId::new(Timestamp::from_unix_millis(time));
    UserEvent { id, user_pool_id: "eu-west-1_Bench0000".into(), sub, kind: Kind::Authenticated, data }
}

fn fold(bencher: Bencher<'_, '_>, users: u64) {
    let events = logins(users);
    let geoip = GeoIp::default();
    bencher.bench(|| bench::fold_events(black_box(&events), &geoip));
}

#[divan::bench]
fn fold_of_1000_logins_of_1000_users(bencher: Bencher<'_, '_>) {
    fold(bencher, BATCH);
}

#[divan::bench]
fn fold_of_1000_logins_of_one_user(bencher: Bencher<'_, '_>) {
    fold(bencher, 1);
}

/// Both are ready: the copies are not timed.
#[divan::bench(sample_size = 100)]
fn merge_of_a_login_into_its_user(bencher: Bencher<'_, '_>) {
    let (stored, change) = (Change::of(&login(0, 1)), Change::of(&login(0, 2)));
    bencher
        .with_inputs(|| (stored.clone(), change.clone()))
        .bench_values(|(stored, change)| stored.merge(change));
}

#[divan::bench(sample_size = 100)]
fn columns_of_a_user(bencher: Bencher<'_, '_>) {
    bencher.bench(bench::derive_columns(&login(0, 1)));
}

/// With each attribute that a reader of its own reads.
#[divan::bench(sample_size = 100)]
fn columns_of_a_full_profile(bencher: Bencher<'_, '_>) {
    let mut login = login(0, 1_760_000_000_000);
    let profile = [
        ("locale", "en_NZ@rg=uszzzz"),
        ("birthdate", "1984-02-29"),
        ("zoneinfo", "Europe/Vienna"),
        ("gender", "female"),
        ("picture", r#"{"data":{"height":50,"url":"https://graph.example/p.jpg","width":50}}"#),
        (
            "identities",
            r#"[{"userId":"1023","providerName":"Google","providerType":"Google","issuer":null,"primary":true,"dateCreated":1700000000123}]"#,
        ),
    ];
    login.data.attributes.extend(profile.map(|(name, value)| (name.into(), value.into())));
    bencher.bench(bench::derive_columns(&login));
}

#[divan::bench(sample_size = 100)]
fn device_of_a_user_agent() -> Option<&'static str> {
    bench::device(black_box(USER_AGENT))
}

#[divan::bench(sample_size = 100)]
fn country_of_a_phone_number() -> Option<String> {
    bench::country(black_box("+12065550013"))
}

#[divan::bench(sample_size = 100)]
fn referral_code_of_a_sub() -> String {
    referral_code(black_box(Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0001)))
}
