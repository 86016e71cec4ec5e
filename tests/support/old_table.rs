//! The users table that an application kept itself, as its guide describes it, and rows of every kind in it.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::events::sub;

/// The documented table: 35 columns and ten indexes.
pub const CREATE: &str = "
    create table users (
        id varchar(255) not null constraint users_pkey primary key,
        phone_number varchar(20), phone_number_verified boolean not null, name varchar(100) not null,
        email varchar(255), email_verified boolean,
        first_name varchar(50), last_name varchar(50), date_of_birth timestamptz, gender varchar(20),
        country_code varchar(3), timezone varchar(50), language varchar(10) default 'en',
        is_active boolean not null, is_deleted boolean not null, is_verified boolean not null,
        is_premium boolean not null, cognito_username varchar(255), cognito_status varchar(50),
        profile_picture_url text, bio text, last_login_at timestamptz, last_login_ip varchar(45),
        last_login_device varchar(255), last_login_location varchar(255), login_count integer not null,
        created_at timestamptz not null default now(), created_ip varchar(45), updated_at timestamptz not null,
        deleted_at timestamptz, preferences json, settings json, metadata json,
        referral_code varchar(50), referred_by varchar(255)
    );
    create index ix_users_id on users (id);
    create unique index ix_users_phone_number on users (phone_number);
    create unique index ix_users_email on users (email);
    create unique index ix_users_referral_code on users (referral_code);
    create index ix_users_created_at on users (created_at);
    create index ix_users_last_login_at on users (last_login_at);
    create index ix_users_is_active on users (is_active);
    create index ix_users_is_deleted on users (is_deleted);
    create index ix_users_country_code on users (country_code)";

/// A user of the old table, as far as tests ask.
#[derive(Debug, Clone, Default)]
pub struct OldUser {
    pub number: u128,
    pub logins: u32,
    pub is_deleted: bool,
    pub referrer: Option<u128>,
    pub bio: Option<String>,
    pub code: Option<String>,
}

impl OldUser {
    pub fn sub(&self) -> Uuid {
        sub(self.number)
    }
}

/// An empty database of the test's own, with the old table in it.
pub async fn create(pool: &PgPool) {
    sqlx::raw_sql(CREATE).execute(pool).await.unwrap();
}

/// Fills the table with `rows` users, by a seed.
pub async fn fill(pool: &PgPool, rows: u32, seed: u64) -> Vec<OldUser> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut users = Vec::new();
    let mut insert = String::new();
    for number in 0..rows {
        let user = row(&mut insert, number, rows, &mut random);
        users.push(user);
        if number % 500 == 499 || number + 1 == rows {
            sqlx::raw_sql(AssertSqlSafe(format!("insert into users values {insert}")))
                .execute(pool)
                .await
                .unwrap();
            insert.clear();
        }
    }
    users
}

/// One of several texts, as a literal.
fn one(random: &mut fastrand::Rng, texts: &[&str]) -> String {
    let text = random.choice(texts).unwrap();
    if *text == "null" { "null".to_owned() } else { format!("'{text}'") }
}

fn row(insert: &mut String, number: u32, rows: u32, random: &mut fastrand::Rng) -> OldUser {
    let is_deleted = random.u8(0..20) == 0;
    let logins = if random.u8(0..4) == 0 { 0 } else { random.u32(1..500) };
    let referrer = (random.u8(0..3) == 0).then(|| u128::from(random.u32(0..rows)));
    let code = match random.u8(0..4) {
        0 => None,
        1 => Some(format!("friend-{number}")),
        2 => Some(format!("REF{number:05}")),
        _ => Some(format!("abcd-{number:05}-efg-hjkm")),
    };
    // A few addresses that only differ in case, some of them verified on neither or both.
    let address = match number % 100 {
        7 => format!("Shared.{}@Example.com", number / 100),
        8 => format!("shared.{}@example.com", number / 100),
        58 => format!("SHARED.{}@example.com", number / 100),
        9 => String::new(),
        _ => format!("user{number}@example.com"),
    };
    let email = if address.is_empty() { "null".into() } else { format!("'{address}'") };
    let phone = if random.bool() { format!("'+1206{:07}'", 5_000_000 + number) } else { "null".to_owned() };
    let bio = random.bool().then(|| format!("I am {number}"));
    let text = |value: &Option<String>| value.as_ref().map_or("null".into(), |value| format!("'{value}'"));
    // Ids as other systems spell them.
    let id = match number % 97 {
        3 => sub(number.into()).to_string().to_uppercase(),
        5 => sub(number.into()).simple().to_string(),
        _ => sub(number.into()).to_string(),
    };
    let created = format!("timestamptz '2021-01-01 00:00:00.123456Z' + interval '{number} minutes'");
    let last_login = match logins > 0 && random.u8(0..10) > 0 {
        true => format!("{created} + interval '{} hours'", random.u32(1..20_000)),
        false => "null".to_owned(),
    };
    let last_login_ip =
        one(random, &["192.0.2.7", "2001:db8::1", "null", "", "unknown", "203.0.113.9, 10.0.0.1"]);
    let device = one(
        random,
        &[
            "Mobile",
            "desktop",
            "Tablet",
            "null",
            "toaster",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
        ],
    );
    let place = one(random, &["Porto, PT", "null", "Unknown", "null, US"]);
    let values = [
        format!("'{id}'"),
        phone,
        one(random, &["true", "false"]),
        one(random, &["Ada", "Grace Hopper", "", "User"]),
        email,
        one(random, &["true", "false", "null"]),
        one(random, &["Ada", "null"]),
        one(random, &["Okafor", "null", ""]),
        one(random, &["1984-02-29 00:00:00Z", "1990-05-01 22:30:00+02", "null", "infinity"]),
        one(random, &["female", "null"]),
        one(random, &["PT", "de", "USA", "null"]),
        one(random, &["Europe/Lisbon", "null"]),
        one(random, &["en", "pt-BR", "fr", "null", "english"]),
        one(random, &["true", "true", "true", "false"]),
        format!("{is_deleted}"),
        one(random, &["true", "false"]),
        one(random, &["true", "false"]),
        one(random, &["null", "ada", "Google_123"]),
        one(random, &["CONFIRMED", "UNCONFIRMED", "FORCE_CHANGE_PASSWORD", "null", "EXTERNAL_PROVIDER"]),
        one(random, &["https://example.com/a.png", "null"]),
        text(&bio),
        last_login,
        last_login_ip,
        device,
        place,
        format!("{logins}"),
        created.clone(),
        one(random, &["198.51.100.4", "null", "localhost"]),
        format!("{created} + interval '{} days'", random.u32(0..900)),
        if is_deleted && random.bool() {
            format!("{created} + interval '950 days'")
        } else {
            "null".to_owned()
        },
        one(random, &[r#"{"theme": "dark"}"#, "null", r#"{"bad": "\u0000"}"#, r#"{"é": "\u00e9"}"#]),
        one(random, &["[1, 2]", "null", "{}"]),
        one(random, &[r#"{"plan": 12345678901234567890}"#, "null"]),
        text(&code),
        referrer.map_or("null".into(), |referrer| format!("'{}'", sub(referrer))),
    ];
    let comma = if insert.is_empty() { "" } else { ", " };
    write!(insert, "{comma}({})", values.join(", ")).unwrap();
    OldUser { number: number.into(), logins, is_deleted, referrer, bio, code }
}

/// Everything that the old table holds, and how it is built: equal before and after, if nothing was changed.
pub async fn fingerprint(pool: &PgPool, table: &str) -> String {
    let rows = format!("select md5(string_agg(old::text, E'\\n' order by old::text)) from {table} as old");
    let rows: Option<String> = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(pool).await.unwrap();
    let indexes = "select count(*) from pg_index where indrelid = to_regclass($1)";
    let indexes: i64 = sqlx::query_scalar(indexes).bind(table).fetch_one(pool).await.unwrap();
    let columns =
        "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
        from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped";
    let columns: String = sqlx::query_scalar(columns).bind(table).fetch_one(pool).await.unwrap();
    format!("{}; {indexes} indexes; {columns}", rows.unwrap_or_default())
}
