//! How long `user-sync verify` takes, and how much memory: `cargo bench --bench verify -- USERS EVENTS`; with `upgrade` after
//! them, `user-sync verify --repair` of rows of which each has values that an older release would have written.
//!
//! Fills a database of its own through the product's apply, then runs the program as an operator would.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Progress, Stack, StackOptions};
use cognito_user_sync::postgres;
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{Data, Event, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::StreamExt as _;
use uuid::Uuid;

const BATCH: u64 = 2_000;

/// The values of [`event`]'s attributes as an older release read them, by the service's mark: without it the columns would be
/// the application's from now on.
const AS_AN_OLDER_RELEASE_LEFT_THEM: &str = "
    begin;
    select set_config('user_sync.service', 'versioned', true);
    update users
    set language = 'en', country_code = null, timezone = cognito_attributes ->> 'zoneinfo',
        profile_picture_url = cognito_attributes ->> 'picture', cognito_identities = null,
        cognito_status = 'FORCE_CHANGE_PASSWORD', row_version = row_version + 1;
    commit";

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let (users, events) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(500_000));
    let postgres = PostgresOptions { source: PostgresSource::from_env(), durable: true };
    let stack = Stack::start(StackOptions { postgres, progress: Progress::Lines }).await.unwrap();
    let deployment = Deployment::create(&stack).await.unwrap();
    let config = DatabaseConfig::with_url(&deployment.consumer_url);
    let applier = Applier::new(postgres::connect(&config, 2).await.unwrap());

    let started = Instant::now();
    let batches = (0..events.div_ceil(BATCH)).map(|batch| {
        let bodies: Vec<String> = (batch * BATCH..events.min((batch + 1) * BATCH))
            .map(|number| event(number, users, events))
            .collect();
        let applier = &applier;
        async move {
            let outcomes = applier.apply(&bodies).await;
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{:?}", outcomes.first());
        }
    });
    futures::stream::iter(batches).buffer_unordered(2).collect::<Vec<()>>().await;
    let filled = started.elapsed();
    println!("filled: {users} users, {events} events in {filled:.1?}, {:.0} events/s", rate(events, filled));
    let pool = local::connect(&deployment.owner_url, 1).await.unwrap();
    sqlx::query("analyze").execute(&pool).await.unwrap();
    let version: String = sqlx::query_scalar("select version()").fetch_one(&pool).await.unwrap();

    println!("{}", version.split(" on ").next().unwrap_or_default());
    run(&["verify"], &deployment.consumer_url, events);
    if std::env::args().any(|argument| argument == "upgrade") {
        sqlx::raw_sql(AS_AN_OLDER_RELEASE_LEFT_THEM).execute(&pool).await.unwrap();
        run(&["verify", "--repair"], &deployment.owner_url, events);
        run(&["verify"], &deployment.consumer_url, events);
    }
    deployment.remove().await.unwrap();
    stack.stop().await.unwrap();
}

/// Runs the program; prints what it says at last, its time and its memory.
fn run(arguments: &[&str], url: &str, events: u64) {
    let started = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_user-sync"))
        .args(arguments)
        .env("DATABASE_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = program.stdout.take().unwrap();
    // Read meanwhile: a pipe that is full would stop it.
    let said = std::thread::spawn(move || std::io::read_to_string(&mut output).unwrap());
    let mut peak = String::new();
    let status = loop {
        if let Ok(process) = std::fs::read_to_string(format!("/proc/{}/status", program.id()))
            && let Some(line) = process.lines().find(|line| line.starts_with("VmHWM"))
        {
            peak = line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        }
        match program.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let (took, arguments) = (started.elapsed(), arguments.join(" "));
    println!("{arguments}: {}", said.join().unwrap().lines().last().unwrap_or_default());
    println!("{arguments}: {took:.1?}, {:.0} events/s, peak memory {peak}", rate(events, took));
    assert!(status.success());
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

/// The first event of each user is a confirmation, the others are logins, as they carry all attributes.
fn event(number: u64, users: u64, events: u64) -> String {
    let (user, nth) = (number % users, number / users);
    let week = 7 * 86_400_000;
    let time = Timestamp::now().unix_millis() - week + number * (week - 60_000) / events;
    let sub = uuid::Builder::from_random_bytes((u128::from(user) * 0x9e37_79b9_7f4a_7c15_f39c).to_be_bytes())
        .into_uuid();
    let attribute = |name: &str, value: String| (name.to_owned().into(), value.into());
    let data = Data {
        user_name: Some(Uuid::to_string(&sub).into()),
        status: Some("CONFIRMED".into()),
        attributes: [
            attribute("email", format!("user{user}@example.com")),
            attribute("email_verified", "true".to_owned()),
            attribute("given_name", format!("Given{}", user % 1_000)),
            attribute("family_name", format!("Family{}", user % 5_000)),
            attribute("locale", ["de_AT.UTF-8", "fr-CH, fr;q=0.9", "es_LA", "iw_IL"][nth_of(user, 4)].to_owned()),
            attribute("zoneinfo", ["Asia/Calcutta ", "Europe/Vienna"][nth_of(user, 2)].to_owned()),
            attribute("picture", format!(r#"{{"data":{{"url":"https://graph.example/{user}.jpg"}}}}"#)),
            attribute(
                "identities",
                format!(r#"[{{"userId":"{user}","providerName":"Google","providerType":"Google","primary":true,"dateCreated":1555657853668}}]"#),
            ),
        ]
        .into(),
        ..Data::default()
    };
    let id = EventId::new(Timestamp::from_unix_millis(time));
    let kind = if nth == 0 { Kind::Confirmed } else { Kind::Authenticated };
    Event::User(UserEvent { id, user_pool_id: "eu-west-1_Bench0000".into(), sub, kind, data }).encode()
}

fn nth_of(user: u64, length: u64) -> usize {
    usize::try_from(user % length).unwrap()
}
