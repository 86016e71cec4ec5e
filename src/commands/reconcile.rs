//! `user-sync reconcile`: compares the user pool with the table and publishes the repairs; also fills a new table (the
//! backfill). Must not write a row of anybody's: what it found goes to the queue, and to `commands::runs` how it went.

mod plan;
mod publish_all;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use cognito_user_sync::aws;
use cognito_user_sync::cognito::reconcile::{
    self, Checkpoint, GroupTally, LeftOut, Mode, Phase, Reconcile, Tally,
};
use cognito_user_sync::cognito::user_pool::{self, ADMIN_READ_SHARE, Requests, UserPool, WALK_SHARE};
use cognito_user_sync::config::Environment;
use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::maintenance::drift::Kind;
use cognito_user_sync::store::runs::{Run, What};
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::reconcile::plan::Plan;
use crate::commands::{output, runs};

/// The exit code of a dry run that found drift.
const DRIFT_FOUND: i32 = 2;

const TABLE_WIDTH: u16 = 120;

/// Compare the user pool with the table, and publish the events that repair the differences
///
/// Lists the whole pool, 60 users a request, compares each user with its row, and each row with the pool. A difference
/// counts only if a second answer shows it, too. By default it prints the drift by kind and changes nothing. With
/// --repair it publishes user.snapshot and user.deleted events to the queue; the consumer applies them. It writes nothing
/// to the database but that it ran, and what it found. On an empty table this is the backfill: 1,000,000 users take 16,667 requests, and 19 minutes at 15 a
/// second. Before it begins it says how many requests it will send. Nobody becomes a monthly active user by it. Then it
/// lists the members of each group, 60 a request, compares them with the memberships in the database, and publishes
/// user.group_joined, user.group_left and group.deleted.
///
/// With --publish-all it compares nothing, needs no database, and publishes a snapshot of everybody in the pool, and who is
/// in which group: the first fill of a table that only the consumer reaches, from anywhere that reaches Cognito and the
/// queue. Before it begins it says how many messages that makes, about what they cost, and how long it takes; with
/// --dry-run it says only that. A second run changes no value; counts, deletions and erasures stay. It does not
/// find who was deleted, or left a group: only the table knows them.
///
/// If a run ends early, for whatever reason, run the same command again: it continues from there.
///
/// Needs DATABASE_URL of a member of user_sync_reader, credentials that permit cognito-idp:ListUsers and
/// DescribeUserPool, for groups ListGroups and ListUsersInGroup, and with --repair or --publish-all USER_SYNC_QUEUE_URL. Where the role may not list groups, it says so, and the exit code is that of the rest. Exits
/// with 0 if there is nothing to repair or every repair was published, with 2 if a dry run found drift, with 1 on an
/// error. Users who differ only in created_at are reported but do not count as drift here: a trigger does not know the
/// creation date.
///
/// Example: user-sync reconcile --user-pool-id eu-west-1_Abc123Def --repair
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The user pool.
    #[arg(long, env = user_pool::VARIABLE, value_name = "ID")]
    user_pool_id: UserPoolId,
    /// Publish the events that repair the differences.
    #[arg(long, conflicts_with = "dry_run")]
    repair: bool,
    /// Only print the differences; the default. With --publish-all, only say what it takes.
    #[arg(long)]
    dry_run: bool,
    /// Publish everybody in the pool, without asking the database.
    #[arg(long, conflicts_with_all = ["repair", "ask_admin_get_user", "claim_rows_without_pool", "max_deletions", "add_pool"])]
    publish_all: bool,
    /// ListUsers and ListUsersInGroup requests a second. The quota is 30 for everybody in the account and Region, the
    /// application included; the default is half of it.
    #[arg(long, value_name = "N", default_value_t = WALK_SHARE, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    max_requests_per_second: u32,
    /// Ask AdminGetUser, too, where nothing else answers: for a user of whom ListUsers knows less than it should, and before a
    /// deletion. Each user that it finds becomes a monthly active user, whom AWS bills: 1,000,000 on Essentials are some
    /// 14,850 USD. Needs cognito-idp:AdminGetUser.
    #[arg(long)]
    ask_admin_get_user: bool,
    /// With --ask-admin-get-user: its requests a second. The account's quota is 120, shared with the application.
    #[arg(long, value_name = "N", default_value_t = ADMIN_READ_SHARE, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    max_confirmations_per_second: u32,
    /// Skip users and memberships that changed in the last N seconds: their events are under way. With --publish-all, date what
    /// the pool says N seconds before it was asked.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    settle_seconds: u64,
    /// The folder for the progress of the run [default: the user's state folder, user-sync/reconcile-ID].
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Discard the checkpoint and begin again.
    #[arg(long)]
    restart: bool,
    /// Count rows without a user_pool_id, as in an adopted table, as this pool's. With --repair, those that the pool
    /// does not have are deleted permanently. Do not use it while another pool's users may be among them.
    #[arg(long)]
    claim_rows_without_pool: bool,
    /// Stop with an error before publishing more deletions than this.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    max_deletions: u64,
    /// Permit a table that holds another pool's users and none of this one's.
    #[arg(long)]
    add_pool: bool,
    /// Leave the groups out: they take a ListUsersInGroup request for each 60 members.
    #[arg(long)]
    without_groups: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    super::needs_cognito("reconcile")?;
    let started = Instant::now();
    if arguments.publish_all {
        return publish_all::run(&arguments).await;
    }
    let database = super::database(1).await?;
    let run = runs::begin(&database, What::Reconcile, scope(&arguments)).await;
    let compare = async |run: &Run| compare(&arguments, database, run).await;
    let found = |done: &Compared| reconcile::findings(&done.tally, arguments.repair, done.requests);
    let Compared { plan, tally, requests, resumed } = runs::attend(run, compare, found).await?;

    let took = started.elapsed();
    let summary = Summary { arguments: &arguments, plan, tally: &tally, requests, resumed, took };
    let mut out = output::stdout();
    match arguments.json {
        true => writeln!(out, "{}", summary.json())?,
        false => summary.write(&mut out)?,
    }
    out.flush()?;
    if !arguments.repair && (tally.to_repair > tally.only_created_at || tally.groups.unexpected() > 0) {
        std::process::exit(DRIFT_FOUND);
    }
    Ok(())
}

/// What a run keeps of what it is asked for.
fn scope(arguments: &Arguments) -> serde_json::Value {
    serde_json::json!({
        "user_pool_id": arguments.user_pool_id.as_str(),
        "mode": if arguments.repair { "repair" } else { "dry_run" },
        "groups": !arguments.without_groups,
        "asks_admin_get_user": arguments.ask_admin_get_user,
        "claims_rows_without_pool": arguments.claim_rows_without_pool,
    })
}

/// A complete comparison.
struct Compared {
    plan: Plan,
    tally: Tally,
    requests: Requests,
    resumed: bool,
}

async fn compare(arguments: &Arguments, database: Database, run: &Run) -> anyhow::Result<Compared> {
    let reconcile = prepare(arguments, database).await?;
    let (users, rows) = reconcile.estimate().await?;
    if !arguments.add_pool {
        reconcile.check_table().await?;
    }
    let queue_url = if arguments.repair { Some(queue_url()?) } else { None };
    let mut checkpoint = open_checkpoint(arguments, reconcile.mode(), queue_url.as_deref())?;
    let resumed = checkpoint.is_resumed();
    let plan = Plan::of(arguments, users);
    plan.write(arguments, checkpoint.tally().users, &mut output::stderr())?;
    let mut progress = Progress::new(users, rows)?;
    let report = |phase, tally: &Tally| {
        run.progress(tally.users, Some(users.max(tally.users)));
        progress.report(phase, tally);
    };
    // Boxed: its future is large, since it holds many requests under way.
    let done = Box::pin(reconcile.run(&mut checkpoint, report)).await;
    progress.bar.finish_and_clear();
    done?;
    let (tally, requests) = (checkpoint.tally().clone(), checkpoint.requests()?);
    checkpoint.remove()?;
    Ok(Compared { plan, tally, requests, resumed })
}

async fn prepare(arguments: &Arguments, database: Database) -> anyhow::Result<Reconcile> {
    let publisher = match arguments.repair {
        true => Some(aws::publisher(queue_url()?).await),
        false => None,
    };
    let user_pool = UserPool::new(arguments.user_pool_id.clone()).await;
    let mut user_pool = user_pool.at_rate(arguments.max_requests_per_second);
    if arguments.ask_admin_get_user {
        user_pool = user_pool.asking_admin_get_user(arguments.max_confirmations_per_second);
    }
    Ok(Reconcile {
        user_pool,
        rows: database.into(),
        publisher,
        settle: Duration::from_secs(arguments.settle_seconds),
        claim_rows_without_pool: arguments.claim_rows_without_pool,
        max_deletions: arguments.max_deletions,
        groups: !arguments.without_groups,
    })
}

fn queue_url() -> anyhow::Result<String> {
    Ok(Environment::process().required(QUEUE_URL_VARIABLE, "the queue to publish to")?)
}

fn open_checkpoint(arguments: &Arguments, mode: Mode, queue_url: Option<&str>) -> anyhow::Result<Checkpoint> {
    let folder = arguments.checkpoint.clone().unwrap_or_else(|| default_folder(&arguments.user_pool_id));
    let checkpoint = Checkpoint::open(&folder, &arguments.user_pool_id, mode, queue_url, arguments.restart)?;
    if checkpoint.is_resumed() {
        tracing::info!(
            begun_at = %checkpoint.started_at(),
            users = checkpoint.tally().users,
            checkpoint = %folder.display(),
            "resuming an earlier run"
        );
    }
    Ok(checkpoint)
}

/// The progress bar: over the pool's users, the rows, the groups and the memberships.
struct Progress {
    bar: ProgressBar,
    styles: [ProgressStyle; 4],
    phase: Phase,
    users: u64,
    rows: u64,
}

impl Progress {
    /// `users` and `rows` are estimates.
    fn new(users: u64, rows: u64) -> anyhow::Result<Self> {
        let styles = [style("users")?, style("rows")?, style("groups")?, style("memberships")?];
        let bar = ProgressBar::new(users).with_style(styles[0].clone());
        Ok(Self { bar, styles, phase: Phase::Users, users, rows })
    }

    fn report(&mut self, phase: Phase, tally: &Tally) {
        let [users, rows, groups, memberships] = &self.styles;
        let (style, position, total) = match phase {
            Phase::Users => (users, tally.users, self.users),
            Phase::Rows => (rows, tally.rows, self.rows),
            Phase::Groups => (groups, tally.groups.walked, tally.groups.groups),
            Phase::Memberships => (memberships, tally.groups.compared, tally.groups.members),
        };
        if phase != self.phase {
            self.phase = phase;
            self.bar.set_style(style.clone());
            self.bar.reset();
        }
        self.bar.set_length(total.max(position));
        self.bar.set_position(position);
    }
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

/// What a complete run found and did.
struct Summary<'a> {
    arguments: &'a Arguments,
    plan: Plan,
    tally: &'a Tally,
    requests: Requests,
    resumed: bool,
    took: Duration,
}

impl Summary<'_> {
    fn json(&self) -> serde_json::Value {
        let Self { arguments, plan, tally, requests, resumed, took } = self;
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
            "groups": {
                "left_out": tally.groups.left_out.map(LeftOut::as_str),
                "groups": tally.groups.groups,
                "members": tally.groups.members,
                "joined": tally.groups.joined,
                "left": tally.groups.left,
                "deleted": tally.groups.deleted,
                "settling": tally.groups.settling,
            },
            "requests": requests,
            "plan": plan.json(),
            "seconds": took.as_secs_f64(),
        })
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Tally { users, rows, drift, .. } = self.tally;
        let (id, seconds) = (&self.arguments.user_pool_id, self.took.as_secs_f64());
        writeln!(out, "{id}: {users} users in the pool, {rows} rows, {seconds:.0} s")?;
        if !drift.is_empty() {
            writeln!(out, "{}", drift_table(self.tally))?;
        }
        self.write_repair(out)?;
        self.write_not_repaired(out)?;
        self.write_groups(out)?;
        writeln!(out, "{}", plan::sent(self.requests))
    }

    fn write_groups(&self, out: &mut impl Write) -> std::io::Result<()> {
        let GroupTally { left_out, groups, members, joined, left, deleted, settling, .. } =
            &self.tally.groups;
        if let Some(left_out) = left_out {
            return writeln!(out, "{}", left_out.advice());
        }
        writeln!(out, "groups: {groups} with {members} members in the pool")?;
        if self.tally.groups.to_repair() > 0 {
            let what = if self.arguments.repair {
                "their events are on the queue"
            } else {
                "--repair publishes the events"
            };
            writeln!(
                out,
                "groups differ: {joined} users joined and {left} left, {deleted} groups were deleted: {what}"
            )?;
        }
        if *settling > 0 {
            writeln!(out, "{settling} memberships differ and changed a moment ago: run again later")?;
        }
        Ok(())
    }

    /// What was repaired, or would be.
    fn write_repair(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Tally { to_repair, only_created_at, snapshots, deletions, .. } = self.tally;
        match (self.arguments.repair, to_repair) {
            (_, 0) => writeln!(out, "nothing to repair")?,
            (false, users) => {
                writeln!(out, "{users} users differ: --repair publishes the events that repair them")?
            }
            (true, users) => writeln!(
                out,
                "{users} users differed: {snapshots} snapshots and {deletions} deletions are on the queue\n\
                 when the consumer has drained it (user-sync doctor shows the backlog), a dry run should find nothing"
            )?,
        }
        if *only_created_at > 0 && !self.arguments.repair {
            writeln!(
                out,
                "{only_created_at} of them differ only in created_at: expected for users whom only a trigger has \
                 reported"
            )?;
        }
        Ok(())
    }

    fn write_not_repaired(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Tally { only_reported, settling, .. } = self.tally;
        if *only_reported > 0 {
            writeln!(out, "{only_reported} users differ in a way that no event repairs; see the table")?;
        }
        if *settling > 0 {
            writeln!(
                out,
                "{settling} users differ and changed in the last {} s: their events are under way; run again later",
                self.arguments.settle_seconds
            )?;
        }
        Ok(())
    }
}

fn drift_table(tally: &Tally) -> Table {
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
    table
}

fn count(tally: &Tally, kind: Kind) -> u64 {
    tally.drift.get(&kind).copied().unwrap_or(0)
}

fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "in the pool, without a row",
        Kind::Attributes => "an attribute or its verified flag is not the pool's",
        Kind::Removed => "the row has an attribute that the user no longer has",
        Kind::Status => "cognito_status is not the pool's",
        Kind::Enabled => "enabled is not the pool's",
        Kind::Identity => "the user name or the pool of the row is not the pool's",
        Kind::CreatedAt => "created_at is later than the pool's creation date",
        Kind::Gone => "deleted from the pool, not in the table",
        Kind::Unclaimed => {
            "names no pool, and its user is not in this one; deleted only with --claim-rows-without-pool"
        }
        Kind::DeletedButPresent => {
            "deleted in the table, still in the pool; user-sync restore SUB takes the deletion back"
        }
        Kind::ErasedButPresent => "erased from the table, still in the pool; delete the user there as well",
        Kind::WithoutSub => "in the pool without a sub that is a UUID; can have no row",
    }
}
