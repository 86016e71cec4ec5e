//! `user-sync demo`: plays a morning of traffic, from Cognito's events to rows on the screen.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::consumer::liveness::{Liveness, STALLED_AFTER};
use cognito_user_sync::consumer::queues::Carries;
use cognito_user_sync::consumer::worker::{self, Options, Source};
use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Progress, Stack, StackOptions};
use cognito_user_sync::postgres;
use cognito_user_sync::sqs::dead_letters::{DeadLetter, DeadLetters};
use cognito_user_sync::store::Applier;
use cognito_user_sync_triggers::client_metadata::ClientMetadataKeys;
use cognito_user_sync_triggers::cognito;
use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::publish::PUBLISH_BUDGET;
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::trigger::{Outcome, Trigger};
use comfy_table::{ContentArrangement, Table, presets};
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;
use tokio::sync::watch;

use cognito_user_sync::dev::traffic::{self, Call};

use crate::commands::output;

/// Sign-ins that Cognito has under way at once.
const SIGN_INS_AT_ONCE: usize = 16;
const MORNING: Duration = Duration::from_secs(6 * 60 * 60);
const ROWS_SHOWN: i64 = 12;
const DEAD_LETTERS_SHOWN: usize = 10;
/// In characters; a narrower terminal wraps.
const TABLE_WIDTH: u16 = 120;
/// Sent straight to the queue, past the trigger, which cannot produce them.
const BAD_MESSAGES: [&str; 2] = [
    r#"{"specversion":"1.0","schemaversion":1,"#,
    r#"{"specversion":"1.0","schemaversion":99,"type":"user.authenticated"}"#,
];

/// Play a morning of sign-ups and logins through the trigger, SQS and PostgreSQL, on this machine
///
/// Needs no AWS account: it starts PostgreSQL and an SQS server of its own (USER_SYNC_DEV_DATABASE_URL or
/// PG_BIN choose another PostgreSQL) and removes everything when it ends.
///
/// Example: user-sync demo --users=5000
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// How many users sign up or in.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let postgres = PostgresOptions { source: PostgresSource::from_env(), durable: false };
    let stack = Stack::start(StackOptions { postgres, progress: Progress::visible() }).await?;
    let deployment = Deployment::create(&stack).await?;
    let shown = tokio::select! {
        shown = play_and_show(&deployment, usize::try_from(arguments.users)?) => shown,
        () = super::asked_to_end() => Err(anyhow::anyhow!("interrupted")),
    };
    deployment.remove().await?;
    stack.stop().await?;
    shown
}

async fn play_and_show(deployment: &Deployment, users: usize) -> anyhow::Result<()> {
    let played = play(deployment, users).await?;
    apply(deployment, played.messages).await?;
    let pool = local::connect(&deployment.owner_url, 1).await?;
    let mut out = output::stdout();
    show_users(&mut out, &pool).await?;
    show_dead_letters(&mut out, deployment).await?;
    let exact = show_proof(&mut out, &pool, &played).await?;
    pool.close().await;
    if !exact {
        bail!("the counts differ: this is a defect, please report it");
    }
    output::say("next: make console-demo opens the console over four months of a made-up company");
    Ok(())
}

/// What was sent.
#[derive(Debug, Default)]
struct Played {
    messages: u64,
    logins: u64,
    duplicates: u64,
}

/// Passes every call to the trigger's own code, several at once and in any order.
async fn play(deployment: &Deployment, users: usize) -> anyhow::Result<Played> {
    let to = Timestamp::now();
    let from =
        Timestamp::from_unix_millis(to.unix_millis().saturating_sub(u64::try_from(MORNING.as_millis())?));
    let calls = traffic::morning(users, from, to);
    let mut played = Played { messages: calls.len().try_into()?, ..Played::default() };
    played.logins = calls.iter().filter(|call| call.is_login).count().try_into()?;

    let trigger = Trigger::new(Some(deployment.publisher()), ClientMetadataKeys::default());
    let progress = bar("Cognito calls the trigger", played.messages)?;
    let call = |call: &Call| {
        let (trigger, payload, at) = (&trigger, call.payload.clone(), call.at);
        async move { trigger.record(&payload, at).await }
    };
    let mut outcomes = futures::stream::iter(calls.iter().map(call)).buffer_unordered(SIGN_INS_AT_ONCE);
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Outcome::Published => progress.inc(1),
            Outcome::Ignored(why) => bail!("the trigger ignored an event: {}", why.as_str()),
            Outcome::Undelivered(error) => bail!("the local queue did not accept an event: {error}"),
        }
    }
    drop(outcomes);

    // SQS delivers at least once, so send one more login twice. Not a federated confirmation: however many a user
    // has, they count as one login.
    let is_authentication = |call: &&Call| call.payload.contains("PostAuthentication_Authentication");
    if let Some(call) = calls.iter().find(is_authentication) {
        let event = cognito::user_event(
            &call.payload,
            &ClientMetadataKeys::default(),
            EventId::new(Timestamp::now()),
        );
        let event = Event::User(event.map_err(|why| anyhow::anyhow!("ignored: {}", why.as_str()))?);
        for _ in 0..2 {
            deployment.publisher().publish(&event, PUBLISH_BUDGET).await?;
        }
        (played.logins, played.duplicates, played.messages) = (played.logins + 1, 1, played.messages + 2);
    }
    for body in BAD_MESSAGES {
        let request = deployment.client().send_message().queue_url(&deployment.queue_url).message_body(body);
        request.send().await.context("cannot send the malformed message")?;
        played.messages += 1;
    }
    progress.finish();
    Ok(played)
}

/// Runs the worker until the queue is empty.
async fn apply(deployment: &Deployment, messages: u64) -> anyhow::Result<()> {
    let config = DatabaseConfig::with_url(&deployment.consumer_url);
    let applier = Applier::new(postgres::connect(&config, 4).await?);
    let queue = deployment.queue();
    let options = Options { batch_size: 500, concurrency: 2, until_empty: true };
    let sources = [Source { queue: &queue, carries: Carries::Events, options }];
    let liveness = Liveness::of(options.concurrency, STALLED_AFTER);
    let progress = bar("the consumer applies", messages)?;
    let worker = worker::run(&applier, &sources, &liveness, std::future::pending());
    let mut worker = std::pin::pin!(worker);
    loop {
        tokio::select! {
            ended = &mut worker => {
                ended.context("the local queue cannot be read")?;
                break;
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                progress.set_position(messages.min(queue.backlog().await.map_or(0, |left| messages.saturating_sub(left))));
            }
        }
    }
    progress.finish();
    applier.database().close().await;
    Ok(())
}

async fn show_users(out: &mut impl std::io::Write, pool: &PgPool) -> anyhow::Result<()> {
    let (count,): (i64,) = sqlx::query_as("select count(*) from users").fetch_one(pool).await?;
    let rows: Vec<Vec<String>> = sqlx::query_as(include_str!("show_users.sql"))
        .bind(ROWS_SHOWN)
        .fetch_all(pool)
        .await?
        .into_iter()
        .map(|(cells,): (Vec<String>,)| cells)
        .collect();
    let header =
        ["name", "email or phone", "verified", "logins", "last login", "from", "device", "referred by"];
    writeln!(out, "\nusers: {} of {count} rows\n{}", rows.len(), table(&header, rows))?;
    Ok(())
}

async fn show_dead_letters(out: &mut impl std::io::Write, deployment: &Deployment) -> anyhow::Result<()> {
    let dead_letters = DeadLetters::with_client(deployment.client().clone(), deployment.dlq_url.clone());
    let (_until_the_end, stop) = watch::channel(false);
    // The messages stay hidden: the queue is removed with the demo.
    let scan = dead_letters.scan(DEAD_LETTERS_SHOWN, &stop, |_| ()).await?;
    let letters = DeadLetter::fold(scan.received);
    let rows = letters.iter().map(|letter| [letter.reason(), letter.field(), letter.detail()]);
    let rows = rows.map(|cells| cells.map(str::to_owned).to_vec()).collect();
    writeln!(out, "\ndead letters: {}\n{}", letters.len(), table(&["reason", "field", "detail"], rows))?;
    Ok(())
}

/// Compares what was played with the ledger and the rows.
async fn show_proof(out: &mut impl std::io::Write, pool: &PgPool, played: &Played) -> anyhow::Result<bool> {
    let (in_ledger, in_rows, different): (i64, i64, i64) =
        sqlx::query_as(include_str!("show_proof.sql")).fetch_one(pool).await?;
    let exact = in_ledger == i64::try_from(played.logins)? && in_rows == in_ledger && different == 0;
    let rows = [
        ("distinct logins played", played.logins.to_string()),
        ("distinct logins in the ledger", in_ledger.to_string()),
        ("sum of users.login_count", in_rows.to_string()),
        ("users whose login_count differs from the ledger", different.to_string()),
        ("messages delivered twice", played.duplicates.to_string()),
        ("login_count equals distinct logins", if exact { "yes" } else { "NO" }.to_owned()),
    ];
    let rows = rows.map(|(what, value)| vec![what.to_owned(), value]).to_vec();
    writeln!(out, "\nproof\n{}", table(&["", "count"], rows))?;
    Ok(exact)
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(TABLE_WIDTH)
        .set_header(header)
        .add_rows(rows);
    table
}

fn bar(what: &'static str, length: u64) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:26} {bar:40} {pos}/{len} {per_sec:>12} {elapsed}")?;
    Ok(ProgressBar::new(length).with_style(style).with_message(what))
}
