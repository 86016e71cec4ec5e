//! `user-sync reconcile`: compares the user pool with the table; also the first fill of a table, the backfill.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use cognito_user_sync::aws;
use cognito_user_sync::cognito::reconcile::{Checkpoint, Phase, Reconcile, Tally};
use cognito_user_sync::cognito::user_pool::{
    self, DEFAULT_LISTS_PER_SECOND, DEFAULT_READS_PER_SECOND, UserPool,
};
use cognito_user_sync::config::Environment;
use cognito_user_sync::store::maintenance::drift::Kind;
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

/// The exit code of a dry run that found what a repair would mend.
const DRIFT_FOUND: i32 = 2;

const TABLE_WIDTH: u16 = 120;

/// Compare the user pool with the table, and send what would mend the difference to the queue
///
/// Lists the whole pool, compares each user with its row, and each row with the pool. A difference counts only
/// when AdminGetUser confirms it. By default it prints the drift by kind and changes nothing. With --repair it
/// publishes user.snapshot and user.deleted events to the queue; the consumer applies them. It never writes to
/// the database. On an empty table that is the backfill: each user is confirmed once, so 1,000,000 users at 60
/// confirmations a second take 4.6 hours.
///
/// A run that ended early, however it ended, goes on where it was when the same command is run again.
///
/// Needs DATABASE_URL of a member of user_sync_reader, credentials that permit cognito-idp:ListUsers,
/// AdminGetUser and DescribeUserPool, and with --repair USER_SYNC_QUEUE_URL. Exits with 0 when nothing is to be
/// repaired or all of it was published, with 2 when a dry run found drift, with 1 on an error. That users differ in
/// nothing but created_at is reported and is no drift in this sense: a trigger does not know the creation date.
///
/// Example: user-sync reconcile --user-pool-id eu-west-1_Abc123Def --repair
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The user pool.
    #[arg(long, env = user_pool::VARIABLE, value_name = "ID")]
    user_pool_id: UserPoolId,
    /// Publish what mends the differences.
    #[arg(long, conflicts_with = "dry_run")]
    repair: bool,
    /// Only print the differences; the default.
    #[arg(long)]
    dry_run: bool,
    /// ListUsers requests a second. The account has 30 for everybody.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LISTS_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    max_requests_per_second: u32,
    /// AdminGetUser requests a second. The account has 120 for everybody.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_READS_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    max_confirmations_per_second: u32,
    /// Leave users alone who changed in the last so many seconds: their events are under way.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    settle_seconds: u64,
    /// The folder that holds how far it is [default: the user's state folder, user-sync/reconcile-ID].
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Discard the checkpoint and begin again.
    #[arg(long)]
    restart: bool,
    /// Count rows without a user_pool_id, as an adopted table has them, as this pool's: with --repair, those
    /// that the pool does not have are deleted, for good. Not while another pool's users may be among them.
    #[arg(long)]
    claim_rows_without_pool: bool,
    /// End with an error rather than publish more deletions than this.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    max_deletions: u64,
    /// Permit a table that holds another pool's users and none of this one's.
    #[arg(long)]
    add_pool: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let publisher = match arguments.repair {
        true => {
            let queue_url = Environment::process().required(QUEUE_URL_VARIABLE, "the queue to publish to")?;
            Some(aws::publisher(queue_url).await)
        }
        false => None,
    };
    let user_pool = UserPool::new(arguments.user_pool_id.clone())
        .await
        .at_rates(arguments.max_requests_per_second, arguments.max_confirmations_per_second);
    let reconcile = Reconcile {
        user_pool,
        database: super::database(1).await?,
        publisher,
        settle: Duration::from_secs(arguments.settle_seconds),
        claim_rows_without_pool: arguments.claim_rows_without_pool,
        max_deletions: arguments.max_deletions,
    };
    let (users, rows) = reconcile.estimate().await?;
    if !arguments.add_pool {
        reconcile.check_table().await?;
    }
    let folder = arguments.checkpoint.clone().unwrap_or_else(|| default_folder(&arguments.user_pool_id));
    let mut checkpoint =
        Checkpoint::open(&folder, &arguments.user_pool_id, reconcile.mode(), arguments.restart)?;
    let resumed = checkpoint.is_resumed();
    if resumed {
        tracing::info!(
            begun_at = %checkpoint.started_at(),
            users = checkpoint.tally().users,
            checkpoint = %folder.display(),
            "going on where an earlier run ended"
        );
    }
    let bar = ProgressBar::new(users);
    bar.set_style(style("users")?);
    let (row_style, mut phase) = (style("rows")?, Phase::Users);
    let report = |now: Phase, tally: &Tally| {
        if now != phase {
            phase = now;
            bar.set_style(row_style.clone());
            bar.set_length(rows);
            bar.reset();
        }
        let (position, total) = match now {
            Phase::Users => (tally.users, users),
            Phase::Rows => (tally.rows, rows),
        };
        // Both are estimates.
        bar.set_length(total.max(position));
        bar.set_position(position);
    };
    // Boxed: what is under way at once makes it large.
    let done = Box::pin(reconcile.run(&mut checkpoint, report)).await;
    bar.finish_and_clear();
    done?;
    let tally = checkpoint.tally().clone();
    checkpoint.remove()?;

    let mut out = std::io::stdout().lock();
    match arguments.json {
        true => writeln!(out, "{}", json(&arguments, &tally, resumed, started.elapsed()))?,
        false => print(&mut out, &arguments, &tally, started.elapsed())?,
    }
    out.flush()?;
    if !arguments.repair && tally.to_repair > tally.only_created_at {
        std::process::exit(DRIFT_FOUND);
    }
    Ok(())
}

fn default_folder(user_pool_id: &str) -> PathBuf {
    let environment = Environment::process();
    let state = environment
        .path("XDG_STATE_HOME")
        .or_else(|| environment.path("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir);
    state.join("user-sync").join(format!("reconcile-{user_pool_id}"))
}

fn style(what: &str) -> anyhow::Result<ProgressStyle> {
    let template = format!("{{bar:40}} {{human_pos}}/{{human_len}} {what}, {{per_sec}}, {{eta}} left");
    Ok(ProgressStyle::with_template(&template)?)
}

fn json(arguments: &Arguments, tally: &Tally, resumed: bool, took: Duration) -> serde_json::Value {
    let drift: BTreeMap<&str, u64> =
        Kind::ALL.into_iter().map(|kind| (kind.as_str(), count(tally, kind))).collect();
    let published = |events: u64| if arguments.repair { events } else { 0 };
    serde_json::json!({
        "user_pool_id": arguments.user_pool_id.as_str(),
        "mode": if arguments.repair { "repair" } else { "dry_run" },
        "resumed": resumed,
        "users": tally.users,
        "rows": tally.rows,
        "drift": drift,
        "to_repair": tally.to_repair,
        "only_created_at": tally.only_created_at,
        "only_reported": tally.only_reported,
        "settling": tally.settling,
        "published": { "snapshots": published(tally.snapshots), "deletions": published(tally.deletions) },
        "seconds": took.as_secs_f64(),
    })
}

fn print(
    out: &mut impl std::io::Write,
    arguments: &Arguments,
    tally: &Tally,
    took: Duration,
) -> std::io::Result<()> {
    let Tally {
        users,
        rows,
        to_repair,
        only_created_at,
        only_reported,
        settling,
        snapshots,
        deletions,
        drift,
    } = tally;
    let id = &arguments.user_pool_id;
    writeln!(out, "{id}: {users} users in the pool, {rows} rows, {:.0} s", took.as_secs_f64())?;
    if !drift.is_empty() {
        let found = Kind::ALL.into_iter().filter(|kind| count(tally, *kind) > 0);
        let row =
            |kind: Kind| [kind.as_str().to_owned(), count(tally, kind).to_string(), meaning(kind).to_owned()];
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(TABLE_WIDTH)
            .set_header(["drift", "users", "what it means"])
            .add_rows(found.map(row));
        writeln!(out, "{table}")?;
    }
    match (arguments.repair, to_repair) {
        (_, 0) => writeln!(out, "nothing to repair")?,
        (false, users) => writeln!(out, "{users} users differ: --repair publishes what mends them")?,
        (true, users) => writeln!(
            out,
            "{users} users differed: {snapshots} snapshots and {deletions} deletions are on the queue\n\
             when the consumer has drained it (user-sync doctor shows the backlog), a dry run should find nothing"
        )?,
    }
    if *only_created_at > 0 && !arguments.repair {
        writeln!(
            out,
            "{only_created_at} of them in nothing but created_at, as every user whom only a trigger has told of: \
             no reason for an alarm"
        )?;
    }
    if *only_reported > 0 {
        writeln!(out, "{only_reported} users differ in a way that no event mends; see the table")?;
    }
    if *settling > 0 {
        writeln!(
            out,
            "{settling} users differ and changed in the last {} s: left to the events under way; run again later",
            arguments.settle_seconds
        )?;
    }
    Ok(())
}

fn count(tally: &Tally, kind: Kind) -> u64 {
    tally.drift.get(&kind).copied().unwrap_or(0)
}

fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "in the pool, without a row",
        Kind::Attributes => "an attribute or its verified flag is not the pool's",
        Kind::Status => "cognito_status is not the pool's",
        Kind::Enabled => "enabled is not the pool's",
        Kind::Identity => "the user name or the pool of the row is not the pool's",
        Kind::CreatedAt => "created_at is later than the pool's creation date",
        Kind::Gone => "deleted from the pool, not in the table",
        Kind::Unclaimed => {
            "a row that names no pool, whose user is not in this one; deleted only with --claim-rows-without-pool"
        }
        Kind::DeletedButPresent => "deleted in the table, still in the pool; a deletion is final",
        Kind::ErasedButPresent => "erased from the table, still in the pool; delete the user there as well",
        Kind::WithoutSub => "in the pool without a sub that is a UUID; can have no row",
    }
}
