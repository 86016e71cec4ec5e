//! `user-sync migrate`: brings the schema to this build's version.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::{database, migrate};

/// Create or upgrade the tables, roles and grants
///
/// Needs DATABASE_URL of a role that may create tables and roles (on RDS: the master user, or a member of
/// user_sync_owner once the roles are there). Does nothing when the schema is current.
///
/// Example: DATABASE_URL=postgres://owner:…@db.example.com/app user-sync migrate
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: Arguments) -> anyhow::Result<()> {
    let pool = database::pool(&DatabaseConfig::from_env()?, 2)?;
    migrate::run(&pool)
        .await
        .context("the migrations did not run through; nothing of the failed one is kept")?;
    pool.close().await;
    writeln!(std::io::stdout(), "the schema is current")?;
    Ok(())
}
