//! `user-sync console`: serves the pages that show whether every sign-in is in the database, and why a user looks so.

mod access;
mod sources;
mod tasks;

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use cognito_user_sync::config::{
    CONTEXT_DLQ_URL_VARIABLE, CONTEXT_QUEUE_URL_VARIABLE, DLQ_URL_VARIABLE, DatabaseConfig, Environment,
};
use cognito_user_sync::console::{self, Options, QueueUrls, READING_CONNECTIONS, WRITING_CONNECTIONS};
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use secrecy::SecretString;
use tokio::net::TcpListener;

/// Serve the console: is every sign-in in the database, why does a user look so, what needs repair
///
/// Prints a one-time link to open, and serves until SIGTERM or Ctrl-C. Who may enter, and how: docs/security.md. Needs
/// DATABASE_URL, of a member of user_sync_console. Reads by at most 4 connections with a limit of 5 s a statement, from the replica if one is given, and writes its own trail by 2.
///
/// Example: user-sync console --environment 'production · eu-west-1'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// What the deployment is called, at the top of each page.
    #[arg(long, value_name = "NAME", env = "USER_SYNC_CONSOLE_ENVIRONMENT", default_value = "local")]
    environment: String,
    /// A replica of the database to read from, as DATABASE_URL; the schema and how to log in are the same.
    #[arg(long, value_name = "URL", env = "USER_SYNC_REPLICA_URL", hide_env_values = true)]
    replica_url: Option<SecretString>,
    #[command(flatten)]
    access: access::AccessArguments,
    #[command(flatten)]
    tasks: tasks::Arguments,
    #[command(flatten)]
    sources: sources::SourceArguments,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (listen, link_seconds) = (arguments.access.listen, arguments.access.link_seconds);
    let access = Arc::new(arguments.access.access()?);
    let config = DatabaseConfig::from_env()?;
    let reads = DatabaseConfig { url: arguments.replica_url.unwrap_or(config.url.clone()), ..config.clone() };
    let options = Options {
        environment: arguments.environment,
        tasks: arguments.tasks.tasks(),
        access: Arc::clone(&access),
        primary: database(&config, WRITING_CONNECTIONS).await?,
        reads: database(&reads, READING_CONNECTIONS).await?,
        now: arguments.sources.options()?,
        events: queue(QUEUE_URL_VARIABLE, DLQ_URL_VARIABLE)?,
        records: queue(CONTEXT_QUEUE_URL_VARIABLE, CONTEXT_DLQ_URL_VARIABLE)?,
    };
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen} (--listen)"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    tracing::info!(console.addr = %address, "serving the console");
    tokio::select! {
        () = console::serve(listener, options, super::asked_to_end()) => Ok(()),
        failed = access::print_links(access, address, link_seconds) => failed.context("cannot print a one-time link"),
    }
}

/// A queue and its dead letters, as far as the environment names them.
fn queue(queue: &'static str, dead_letters: &'static str) -> anyhow::Result<QueueUrls> {
    let environment = Environment::process();
    Ok(QueueUrls { queue: environment.optional(queue)?, dead_letters: environment.optional(dead_letters)? })
}

/// Connects, and renews the credentials until the process ends.
async fn database(config: &DatabaseConfig, connections: usize) -> anyhow::Result<Database> {
    let database = postgres::connect(config, connections).await?;
    let renewed = database.clone();
    tokio::spawn(async move { renewed.keep_fresh().await });
    Ok(database)
}
