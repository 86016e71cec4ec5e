//! `user-sync release`: lets the service write a column again that the application changed.

use std::io::Write as _;

use clap::Args;
use cognito_user_sync::store::maintenance::release;
use uuid::Uuid;

use crate::commands::output;

/// Let the service write a column again that the application changed
///
/// If the application changes a column, it owns the column: events no longer change it. This command gives it back to
/// the service, and sets it to what the user's events say. Needs DATABASE_URL of a member of user_sync_owner.
///
/// Example: user-sync release 1b4e28ba-2fa1-41d2-883f-0016d3cca427 name
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The user's sub.
    user: Uuid,
    /// The column, such as name or timezone.
    column: String,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let database = super::database(1).await?;
    let was_owned = release::release(&database, arguments.user, &arguments.column).await?;
    let said = if was_owned { "is the service's again" } else { "was the service's already" };
    writeln!(output::stdout(), "{} of {} {said}", arguments.column, arguments.user)?;
    Ok(())
}
