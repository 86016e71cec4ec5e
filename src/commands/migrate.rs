//! `user-sync migrate`: migrates the schema to this build's version, and adopts an existing `users` table.

use std::io::Write;

use clap::{Args, ValueEnum};
use cognito_user_sync::cognito::user_pool;
use cognito_user_sync::config::RolePrefix;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::store::maintenance::adopt::{Adopted, KEPT_AS, Options, Profile};
use cognito_user_sync::store::migrate::{self, Migrated};
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::output;

/// Create or upgrade the tables, roles and grants
///
/// Does nothing if the schema is current. If the application already has the documented `users` table, adopts its
/// rows in one transaction: the old table stays unchanged as `users_before_user_sync`. Refuses any other `users`
/// table with a list of differences, and each name that it needs and something else has; then it changes nothing.
/// docs/adopting.md has the order of steps.
///
/// The tables are in the schema USER_SYNC_DATABASE_SCHEMA (public), which is made if it is missing: with one of its own,
/// this service is in nobody's way. The roles are the whole server's: USER_SYNC_ROLE_PREFIX (user_sync) is what their
/// names begin with. Two deployments on one server need two prefixes; another prefix than before gives everything to the
/// roles of that one.
///
/// Needs DATABASE_URL of a role that may create tables and roles (on RDS: the master user, or a member of
/// user_sync_owner once the roles exist), and that owns the old table. Set USER_SYNC_GEOIP_FILE if the
/// consumers have it. Exits with 0 if the schema is current, else with 1.
///
/// Example: DATABASE_URL=postgres://owner:…@db.example.com/app user-sync migrate
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Print what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Who owns the profile columns of an old table: the application (events do not change them until
    /// `user-sync release`) or Cognito (its next event changes them).
    #[arg(long, value_enum, default_value_t = Owner::Application)]
    profile: Owner,
    /// The user pool that the users of an old table are in.
    #[arg(long, env = user_pool::VARIABLE)]
    user_pool_id: Option<UserPoolId>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Owner {
    Application,
    Cognito,
}

impl From<Owner> for Profile {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Application => Self::Application,
            Owner::Cognito => Self::Cognito,
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let database = super::database(2).await?;
    let (geoip, prefix) = (GeoIp::from_env()?, RolePrefix::from_env()?);
    let (profile, user_pool_id) = (arguments.profile.into(), arguments.user_pool_id.map(String::from));
    let options = Options { profile, user_pool_id, now: Timestamp::now() };
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {per_sec}, {eta} left")?);
    let progress = |done, rows| {
        bar.set_length(rows);
        bar.set_position(done);
    };
    let migrated = match arguments.dry_run {
        true => migrate::survey(&database, prefix.as_ref(), &options, &geoip, progress).await,
        false => {
            Box::pin(migrate::run_and_adopt(&database, prefix.as_ref(), &options, &geoip, progress)).await
        }
    };
    bar.finish_and_clear();
    let migrated = migrated?;
    database.close().await;
    let mut out = output::stdout();
    match arguments.dry_run {
        true => write_plan(&mut out, &migrated)?,
        false => write_done(&mut out, &migrated)?,
    }
    Ok(())
}

fn write_plan(out: &mut impl Write, migrated: &Migrated) -> std::io::Result<()> {
    if migrated.ran.is_empty() {
        return writeln!(out, "the schema is current: nothing would be done");
    }
    writeln!(out, "would run: {}", names(migrated))?;
    if let Some(adopted) = &migrated.adopted {
        writeln!(out, "would adopt {} rows of the table users, and keep it as {KEPT_AS}", adopted.rows)?;
        write_not_carried(out, adopted)?;
    }
    writeln!(out, "nothing was changed")
}

fn write_done(out: &mut impl Write, migrated: &Migrated) -> std::io::Result<()> {
    if !migrated.ran.is_empty() {
        writeln!(out, "ran: {}", names(migrated))?;
    }
    if let Some(adopted) = &migrated.adopted {
        writeln!(
            out,
            "adopted {} rows of the table users; it is {KEPT_AS} now, untouched: your backup until you drop it",
            adopted.rows
        )?;
        write_not_carried(out, adopted)?;
        for (kind, users) in &adopted.contested {
            let view = "user_contested_identifiers lists them";
            writeln!(out, "{users} users hold an address ({kind}) that another user owns: {view}")?;
        }
        writeln!(
            out,
            "next: start the consumer, then `user-sync reconcile --dry-run`, `user-sync reconcile --repair`"
        )?;
        writeln!(out, "and `user-sync doctor`, in the order of docs/adopting.md")?;
    }
    writeln!(out, "the schema is current")
}

fn names(migrated: &Migrated) -> String {
    let names = migrated.ran.iter().map(|(version, description)| format!("{version} {description}"));
    names.collect::<Vec<_>>().join(", ")
}

fn write_not_carried(out: &mut impl Write, adopted: &Adopted) -> std::io::Result<()> {
    if adopted.not_carried.is_empty() {
        return writeln!(out, "every value is carried over");
    }
    writeln!(out, "values that the new rows do not show ({KEPT_AS} keeps them):")?;
    for (column, rows) in &adopted.not_carried {
        writeln!(out, "  {}: {rows} rows", output::line(column))?;
    }
    Ok(())
}
