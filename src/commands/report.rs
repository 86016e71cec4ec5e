//! `user-sync report`.

use clap::Args;

/// To come
///
/// Example: user-sync report
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: Arguments) -> anyhow::Result<()> {
    anyhow::bail!("to come")
}
