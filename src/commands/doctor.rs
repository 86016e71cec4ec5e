//! `user-sync doctor`.

use clap::Args;

/// To come
///
/// Example: user-sync doctor
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: Arguments) -> anyhow::Result<()> {
    anyhow::bail!("to come")
}
