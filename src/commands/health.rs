//! `user-sync health`: asks the worker beside it whether it makes progress.

use std::io::Write as _;
use std::net::SocketAddr;

use clap::Args;
use cognito_user_sync::consumer::health;

use crate::commands::output;

/// Ask the worker on this machine whether it makes progress
///
/// For a container's health check, which then needs no curl. Asks /healthz where the worker serves it, and waits for 2 s at
/// most. Prints ok and exits with 0 if the worker is well; else says why not, and exits with 1.
///
/// Example: user-sync health --metrics-addr 127.0.0.1:9464
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The worker's own --metrics-addr; 0.0.0.0 is asked as 127.0.0.1.
    #[arg(long, value_name = "ADDRESS", env = "USER_SYNC_METRICS_ADDR")]
    metrics_addr: SocketAddr,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    health::ask(arguments.metrics_addr).await?;
    writeln!(output::stdout(), "ok")?;
    Ok(())
}
