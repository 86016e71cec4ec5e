//! `user-sync dev`: the local stack with a worker, kept running, to try things on.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::consumer::liveness;
use cognito_user_sync::consumer::queues::Carries;
use cognito_user_sync::consumer::worker::{self, Options, Source};
use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Progress, Stack, StackOptions};
use cognito_user_sync::postgres;
use cognito_user_sync::store::Applier;
use cognito_user_sync_triggers::client_metadata::ClientMetadataKeys;
use cognito_user_sync_triggers::cognito;
use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::commands::output;

const SAMPLE: &str = include_str!("../../triggers/fixtures/post_authentication_with_client_metadata.json");

/// Keep PostgreSQL, an SQS server and a worker running on this machine, to try things on
///
/// Prints the endpoints and commands to paste into another terminal. Everything is removed on Ctrl-C.
///
/// Example: user-sync dev
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: Arguments) -> anyhow::Result<()> {
    let postgres = PostgresOptions { source: PostgresSource::from_env(), durable: false };
    let stack = Stack::start(StackOptions { postgres, progress: Progress::visible() }).await?;
    let deployment = Deployment::create(&stack).await?;
    let config = DatabaseConfig::with_url(&deployment.consumer_url);
    let applier = Applier::new(postgres::connect(&config, 3).await?);
    let queue = deployment.queue();
    let options = Options { batch_size: 1_000, concurrency: 2, until_empty: false };
    let sources = [Source { queue: &queue, carries: Carries::Events, options }];
    let liveness = liveness::Liveness::of(options.concurrency, liveness::STALLED_AFTER);
    explain(&deployment).context("cannot print")?;
    let failed = tokio::select! {
        ended = worker::run(&applier, &sources, &liveness, super::asked_to_end()) => ended.err().map(anyhow::Error::from),
        error = stack.failure() => Some(error.into()),
    };
    applier.database().close().await;
    // After a server died, removing may fail; report the first error, not this one.
    let removed = deployment.remove().await;
    stack.stop().await?;
    match failed {
        Some(error) => Err(error),
        None => Ok(removed?),
    }
}

fn explain(deployment: &Deployment) -> anyhow::Result<()> {
    let sample = cognito::user_event(SAMPLE, &ClientMetadataKeys::default(), EventId::new(Timestamp::now()));
    let sample = sample.map(|event| Event::User(event).encode()).unwrap_or_default();
    let program =
        std::env::current_exe().map_or_else(|_| "user-sync".to_owned(), |path| path.display().to_string());
    let mut out = output::stdout();
    writeln!(out, "\nThe stack is up, and a worker drains the queue. In another terminal:\n")?;
    writeln!(out, "# the programs' environment")?;
    for (name, value) in deployment.environment() {
        writeln!(out, "export {name}='{value}'")?;
    }
    writeln!(out, "\n# a login; sent twice it counts once")?;
    writeln!(out, "echo '{}' | {program} replay -", sample.replace('\'', r"'\''"))?;
    writeln!(out, "\n# the rows, and the ledger")?;
    writeln!(out, "psql '{}' -xc 'table users'", deployment.owner_url)?;
    writeln!(
        out,
        "psql '{}' -c 'select id, type, occurred_at, recorded_at from user_events'",
        deployment.owner_url
    )?;
    writeln!(out, "\n# what the application may do: edit a profile, and nothing else")?;
    writeln!(out, "psql '{}' -c \"update users set bio = 'hello'\"", deployment.app_url)?;
    writeln!(
        out,
        "\n# is it healthy? (a worker is quicker than a function, so its visibility timeout is shorter)"
    )?;
    writeln!(out, "{program} doctor --consumer-timeout-seconds 5")?;
    writeln!(out, "\n# a message that can never be applied, and why it is in the dead-letter queue")?;
    let send = "aws sqs send-message --queue-url \"$USER_SYNC_QUEUE_URL\" --message-body oops";
    writeln!(out, "{send}\n{program} dlq list\n\nCtrl-C ends the stack and removes everything.")?;
    Ok(())
}
