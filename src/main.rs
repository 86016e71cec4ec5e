//! `user-sync`: the worker and the operator's commands, one file each. A command calls the library, and prints its
//! answer on stdout and its progress on stderr.

// What is printed goes through `commands::output`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod commands;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use cognito_user_sync::store::migrate;
use cognito_user_sync::{logging, postgres};

/// Every Amazon Cognito user as a row in your own PostgreSQL.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Worker(commands::worker::Arguments),
    Migrate(commands::migrate::Arguments),
    Reconcile(commands::reconcile::Arguments),
    Replay(commands::replay::Arguments),
    Dlq(commands::dlq::Arguments),
    Doctor(commands::doctor::Arguments),
    Report(commands::report::Arguments),
    Verify(commands::verify::Arguments),
    Audit(commands::audit::Arguments),
    Maintain(commands::maintain::Arguments),
    Health(commands::health::Arguments),
    Heartbeat(commands::heartbeat::Arguments),
    Release(commands::release::Arguments),
    Erase(commands::erase::Arguments),
    Restore(commands::restore::Arguments),
    Flows(commands::flows::Arguments),
    Triggers(commands::triggers::Arguments),
    Console(Box<commands::console::Arguments>),
    #[cfg(feature = "dev")]
    ConsoleDemo(commands::console_demo::Arguments),
    #[cfg(feature = "dev")]
    Demo(commands::demo::Arguments),
    #[cfg(feature = "dev")]
    Dev(commands::dev::Arguments),
}

impl Command {
    /// The log filter if `USER_SYNC_LOG` is not set.
    fn log_filter(&self) -> &'static str {
        match self {
            // A log line per batch would break the progress bar.
            #[cfg(feature = "dev")]
            Self::Demo(_) | Self::ConsoleDemo(_) => "error",
            _ => "info",
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    // An adoption that fails is not repaired by migrating.
    let is_adoption = matches!(error.downcast_ref(), Some(migrate::Error::Adopt(_)));
    commands::output::failed(&match postgres::advice_for(error.as_ref()).filter(|_| !is_adoption) {
        _ if error.chain().any(logging::quotes_a_row) => anyhow::Error::msg(logging::causes(error.as_ref())),
        Some(advice) => error.context(advice),
        None => error,
    });
    ExitCode::FAILURE
}

/// An option's variable that is empty is unset, as everywhere; clap would take it for a value.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty =
        |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(None::<&'static str>) } else { arg })
        .mut_subcommands(without_empty_variables)
}

async fn run() -> anyhow::Result<()> {
    let matches = without_empty_variables(Cli::command()).try_get_matches();
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let command = cli.unwrap_or_else(|error| commands::output::refused(&error)).command;
    logging::init(command.log_filter());
    match command {
        Command::Worker(arguments) => commands::worker::run(arguments).await,
        Command::Migrate(arguments) => commands::migrate::run(arguments).await,
        Command::Reconcile(arguments) => commands::reconcile::run(arguments).await,
        Command::Replay(arguments) => commands::replay::run(arguments).await,
        Command::Dlq(arguments) => commands::dlq::run(arguments).await,
        Command::Doctor(arguments) => commands::doctor::run(arguments).await,
        Command::Report(arguments) => commands::report::run(arguments).await,
        Command::Verify(arguments) => commands::verify::run(arguments).await,
        Command::Audit(arguments) => commands::audit::run(arguments).await,
        Command::Maintain(arguments) => commands::maintain::run(arguments).await,
        Command::Health(arguments) => commands::health::run(arguments).await,
        Command::Heartbeat(arguments) => commands::heartbeat::run(arguments).await,
        Command::Release(arguments) => commands::release::run(arguments).await,
        Command::Erase(arguments) => commands::erase::run(arguments).await,
        Command::Restore(arguments) => commands::restore::run(arguments).await,
        Command::Flows(arguments) => commands::flows::run(arguments).await,
        Command::Triggers(arguments) => commands::triggers::run(arguments).await,
        Command::Console(arguments) => Box::pin(commands::console::run(*arguments)).await,
        #[cfg(feature = "dev")]
        Command::ConsoleDemo(arguments) => commands::console_demo::run(arguments).await,
        #[cfg(feature = "dev")]
        Command::Demo(arguments) => commands::demo::run(arguments).await,
        #[cfg(feature = "dev")]
        Command::Dev(arguments) => commands::dev::run(arguments).await,
    }
}
