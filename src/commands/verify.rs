//! `user-sync verify`: proves that the rows are what the ledger says, or says where they are not.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use anyhow::bail;
use clap::Args;
use cognito_user_sync::apply::verify::{self, Difference};
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::database;
use cognito_user_sync::places::{self, Places};
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

/// Differences that are printed; all are counted and mended.
const DIFFERENCES_SHOWN: usize = 100;

/// Recompute every derivable column from the ledger and compare it with the rows
///
/// Reads one moment of the database, in bounded memory, while consumers go on. Prints the differences and
/// exits with 1 if there is any. Values are personal data: mind where the output goes. Needs DATABASE_URL of
/// a member of user_sync_consumer, or of user_sync_owner with --repair.
///
/// Example: user-sync verify --repair
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Mend what differs, and say what was mended; exits with 0 when nothing differs afterwards.
    #[arg(long)]
    repair: bool,
    /// Show one user's history, and where each value comes from, instead.
    #[arg(long, value_name = "SUB", conflicts_with = "repair")]
    user: Option<Uuid>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let pool = database::pool(&DatabaseConfig::from_env()?, 2)?;
    let places = Places::open(std::env::var_os(places::VARIABLE).as_deref().map(Path::new))?;
    let mut out = std::io::stdout().lock();
    if let Some(user) = arguments.user {
        for line in verify::explain(&pool, &places, user).await? {
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    let (verified, users) = compare(&pool, &places, &mut out).await?;
    if verified.differences == 0 {
        return Ok(());
    }
    if !arguments.repair {
        bail!("{} values differ, of {} users; --repair mends them", verified.differences, users.len());
    }
    verify::repair(&pool, &places, &users).await?;
    writeln!(out, "mended the rows of {} users; comparing again", users.len())?;
    let (verified, _) = compare(&pool, &places, &mut out).await?;
    match verified.differences {
        0 => Ok(()),
        left => bail!("{left} values still differ: rows without any history are not mended"),
    }
}

async fn compare(
    pool: &sqlx::PgPool,
    places: &Places,
    out: &mut impl std::io::Write,
) -> anyhow::Result<(verify::Verified, BTreeSet<Uuid>)> {
    let (events,): (i64,) = sqlx::query_as("select count(*) from user_events").fetch_one(pool).await?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left")?;
    let bar = ProgressBar::new(u64::try_from(events)?).with_style(style);
    let mut users = BTreeSet::new();
    let mut shown = Vec::new();
    let found = |difference: Difference| {
        users.insert(difference.user);
        if shown.len() < DIFFERENCES_SHOWN {
            shown.push(difference);
        }
    };
    let verified = verify::verify(pool, places, found, |events| bar.set_position(events)).await;
    bar.finish_and_clear();
    let verified = verified?;
    for Difference { user, column, stored, expected } in &shown {
        let text = |value: &Option<String>| {
            value.as_ref().map_or_else(|| "null".to_owned(), |value| format!("{value:?}"))
        };
        writeln!(out, "{user} {column}: is {}, should be {}", text(stored), text(expected))?;
    }
    if verified.differences > u64::try_from(shown.len())? {
        writeln!(out, "… and {} more", verified.differences - u64::try_from(shown.len())?)?;
    }
    writeln!(
        out,
        "{} users, {} events: {} differences",
        verified.users, verified.events, verified.differences
    )?;
    Ok((verified, users))
}
