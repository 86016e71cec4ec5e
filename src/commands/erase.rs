//! `user-sync erase`: erases a user's personal data (the right to be forgotten).

use std::io::Write as _;

use clap::Args;
use cognito_user_sync::store::maintenance::erase::{self, Erased};
use uuid::Uuid;

use crate::commands::output;

/// Erase all personal data of one user permanently
///
/// Removes from users, user_claims, memberships, the ledgers and the baselines: attributes, addresses, user
/// name, groups, IP addresses, devices, locations, referral, and what the application kept in bio, preferences,
/// settings and metadata. Keeps, under the sub: how many logins there were and when, the status, and that the user was erased, so
/// that a late message cannot restore the data. Counts and verify stay exact.
///
/// It does not reach Cognito (delete the user there first), the dead-letter queue (user-sync dlq), `undelivered` log
/// lines, backups, or users_before_user_sync where migrate adopted a table. Reads the whole ledgers. Needs
/// DATABASE_URL of a member of user_sync_owner.
///
/// Example: user-sync erase 1b4e28ba-2fa1-41d2-883f-0016d3cca427
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The user's sub.
    user: Uuid,
    /// Record the erasure also if the sub has no row: its messages may be under way.
    #[arg(long)]
    even_unknown: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let database = super::database(1).await?;
    let Arguments { user, even_unknown } = arguments;
    let erased = erase::erase(&database, user, even_unknown).await?;
    let mut out = output::stdout();
    let again = if erased.before { "had been erased before, and is erased again" } else { "is erased" };
    let Erased { events, records, claims, before: _ } = erased;
    writeln!(out, "{user} {again}: {events} events, {records} records of sign-ins, {claims} addresses")?;
    writeln!(
        out,
        "not reached: Cognito, the dead-letter queue, undelivered log lines, backups, users_before_user_sync"
    )?;
    Ok(())
}
