//! `user-sync maintain`: creates the ledger's partitions, and folds and drops old ones.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;
use cognito_user_sync::config::RECORD_RETENTION_VARIABLE;
use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::console;
use cognito_user_sync::store::maintenance::indexes;
use cognito_user_sync::store::maintenance::partitions::{
    self, DEFAULT_MONTHS_AHEAD, DEFAULT_RETENTION_DAYS, MIN_RETENTION_DAYS, Maintained,
};
use cognito_user_sync::store::maintenance::record_months;
use cognito_user_sync::store::runs::{Run, What, forget_old};
use cognito_user_sync_triggers::timestamp::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::commands::{output, runs};

/// Create the ledgers' coming months, fold and drop those past the retention, and build indexes that are lacking
///
/// Run it daily. It is safe to run several at once, and under load. user_baseline keeps the sums of a dropped month's
/// events, and user_sync_context_baseline the contexts that rows follow from, so verify stays exact. Of what ran
/// (user-sync report runs) 400 days are kept. Needs
/// DATABASE_URL of a member of user_sync_owner.
///
/// Example: user-sync maintain --retention-days 400
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Months to create after this one.
    #[arg(long, default_value_t = DEFAULT_MONTHS_AHEAD, value_parser = clap::value_parser!(u32).range(1..=24))]
    months_ahead: u32,
    /// Days that a month is kept after its end.
    #[arg(long, default_value_t = DEFAULT_RETENTION_DAYS, value_parser = clap::value_parser!(u32).range(i64::from(MIN_RETENTION_DAYS)..=36_500))]
    retention_days: u32,
    /// The same of records of sign-ins: contexts, and failures.
    #[arg(long, env = RECORD_RETENTION_VARIABLE, default_value_t = DEFAULT_RETENTION_DAYS, value_parser = clap::value_parser!(u32).range(i64::from(MIN_RETENTION_DAYS)..=36_500))]
    record_retention_days: u32,
    /// Delete what was done with the console more than N days ago, its plans and tasks too [default: nothing of it].
    #[arg(long, value_name = "N", env = "USER_SYNC_TRAIL_RETENTION_DAYS", value_parser = clap::value_parser!(u32).range(i64::from(MIN_RETENTION_DAYS)..=36_500))]
    trail_retention_days: Option<u32>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let database = super::database(1).await?;
    if let Some(days) = arguments.trail_retention_days {
        let entries =
            console::forget(&database, days).await.context("the console's trail was not shortened")?;
        writeln!(output::stdout(), "deleted {entries} entries of the console's trail")?;
    }
    let Arguments { months_ahead, retention_days, record_retention_days, .. } = arguments;
    let scope = json!({
        "months_ahead": months_ahead,
        "retention_days": retention_days,
        "record_retention_days": record_retention_days,
    });
    let run = runs::begin(&database, What::Maintain, scope).await;
    let maintain = async |run: &Run| {
        let (done, forgotten) = (maintain(&arguments, &database, run).await, forget_old(&database).await);
        done.map(|(events, records, has_built)| (events, records, has_built, forgotten))
    };
    let found = |(events, records, _, forgotten): &_| partitions::findings(events, records, *forgotten);
    let (events, records, has_built, _) = runs::attend(run, maintain, found).await?;
    if events == Maintained::default() && records == Maintained::default() && !has_built {
        writeln!(output::stdout(), "nothing to do")?;
    }
    Ok(())
}

/// What was done to the ledgers of events and of records, and whether an index was built, which it prints.
async fn maintain(
    arguments: &Arguments,
    database: &Database,
    run: &Run,
) -> anyhow::Result<(Maintained, Maintained, bool)> {
    let style = ProgressStyle::with_template("{spinner} folding {msg}: {pos} events, {per_sec}, {elapsed}")?;
    let bar = ProgressBar::new_spinner().with_style(style);
    let progress = |name: &str, events: u64| {
        run.progress(events, None);
        bar.set_message(output::line(name).into_owned());
        bar.set_position(events);
    };
    let Arguments { months_ahead, retention_days, record_retention_days, .. } = *arguments;
    let now = Timestamp::now();
    let maintained = partitions::maintain(database, months_ahead, retention_days, now, progress).await;
    // Neither waits for the other's trouble to end.
    let records = record_months::maintain(database, months_ahead, record_retention_days, now, progress).await;
    let building = |name: &str| bar.set_message(output::line(name).into_owned());
    let indexes = indexes::build(database, building).await;
    bar.finish_and_clear();
    let undone = "what was not done is unchanged; fix the cause and run it again";
    let mut out = output::stdout();
    if let Ok(Maintained { created, folded }) = &maintained {
        for name in created {
            writeln!(out, "made {name}")?;
        }
        for (name, events) in folded {
            writeln!(out, "folded {name} into the baseline and dropped it: {events} events")?;
        }
    }
    if let Ok(Maintained { created, folded }) = &records {
        for month in created {
            writeln!(out, "made user_sync_contexts_{month} and user_sync_failures_{month}")?;
        }
        for (month, contexts) in folded {
            writeln!(
                out,
                "folded user_sync_contexts_{month} into the baseline and dropped it with user_sync_failures_{month}: \
                 {contexts} contexts"
            )?;
        }
    }
    for name in indexes.iter().flatten() {
        writeln!(out, "built the index {}", output::line(name))?;
    }
    out.flush()?;
    let has_built = !indexes.context(undone)?.is_empty();
    Ok((maintained.context(undone)?, records.context(undone)?, has_built))
}
