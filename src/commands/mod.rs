//! The commands of `user-sync`, one file each: parses arguments, calls the library, prints the answer on stdout. Must
//! not decide what the library can decide.

pub(crate) mod audit;
pub(crate) mod console;
#[cfg(feature = "dev")]
pub(crate) mod console_demo;
#[cfg(feature = "dev")]
pub(crate) mod demo;
#[cfg(feature = "dev")]
pub(crate) mod dev;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod flows;
pub(crate) mod health;
pub(crate) mod heartbeat;
pub(crate) mod maintain;
pub(crate) mod migrate;
pub(crate) mod output;
pub(crate) mod reconcile;
pub(crate) mod release;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod restore;
mod runs;
pub(crate) mod triggers;
pub(crate) mod verify;
pub(crate) mod worker;

use cognito_user_sync::config::{ASK_COGNITO_VARIABLE, DatabaseConfig, Environment, asks_cognito};
use cognito_user_sync::postgres::{self, Database};

/// Connects to the database of DATABASE_URL, and renews its credentials until the process ends.
async fn database(connections: usize) -> anyhow::Result<Database> {
    let database = postgres::connect(&DatabaseConfig::from_env()?, connections).await?;
    let renewed = database.clone();
    tokio::spawn(async move { renewed.keep_fresh().await });
    Ok(database)
}

/// Refuses at once what needs Cognito's answers, where there is no way to Cognito.
fn needs_cognito(command: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        asks_cognito(Environment::process())?,
        "user-sync {command} asks Cognito, which {ASK_COGNITO_VARIABLE}=false forbids; nothing was done: run it where there is a \
         way to Cognito, without that variable; for a first fill of the table, user-sync reconcile --publish-all needs no \
         database, only Cognito and the queue"
    );
    Ok(())
}

/// Completes when the process should end: on SIGTERM, which ECS sends, or on Ctrl-C.
async fn asked_to_end() {
    let interrupted = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot wait for SIGTERM, only for Ctrl-C");
            drop(interrupted.await);
        }
    }
}
