//! `user-sync flows`: says which flows of a pool count, by trying them with one test user.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use cognito_user_sync::cognito::flows::trial::{self, Limits, Progress, Trial, Tried};
use cognito_user_sync::cognito::flows::{self, Flow, Plan, Target};
use cognito_user_sync::cognito::{lifecycle, user_pool};
use cognito_user_sync::store::maintenance::drift;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::commands::output;

/// The exit code if a flow is not as docs/flows.md expects.
const OTHERWISE: i32 = 2;
/// In characters.
const TABLE_WIDTH: u16 = 110;
/// How long a creation may go on that nobody answers.
const SETTLE: Duration = Duration::from_secs(15);

/// Try which ways to sign in fire the pool's triggers, with one test user
///
/// Without --yes it reads the pool, the app client and the trigger's configuration, and says what it would do. With --yes
/// it makes one user, signs it in by each flow that the client permits and that needs no person, waits for the logins in
/// the row, and deletes the user, on Ctrl-C and after errors too. That is one monthly active user; it fires the pool's
/// triggers, and leaves a row and its deletion. It changes nothing of the pool or the client. docs/flows.md says what each
/// flow should count, and which stay for a person.
///
/// Refuses a pool whose two triggers are not the function of --trigger-arn, a trigger that calls another function first,
/// other triggers of the pool without --with-other-triggers, and a pool that demands a second factor. Needs the IAM
/// actions that it prints, and with --yes DATABASE_URL of a member of user_sync_reader. Exits with 0 if every flow is as
/// docs/flows.md expects, with 2 if one is not, with 1 on an error or if the test user could not be deleted.
///
/// Example: user-sync flows --user-pool-id eu-west-1_Abc123Def --client-id 4k2m8r1s7t0v9w3x5y6z1a2b3c --yes
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The user pool.
    #[arg(long, env = user_pool::VARIABLE, value_name = "ID")]
    user_pool_id: UserPoolId,
    /// The app client through which the test user signs in.
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// The function that both triggers must be.
    #[arg(long, env = lifecycle::TRIGGER_VARIABLE, value_name = "ARN")]
    trigger_arn: String,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Accept that the test user fires other triggers of the pool, too.
    #[arg(long)]
    with_other_triggers: bool,
    /// How long to wait for a login that should arrive.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=3_600))]
    wait_seconds: u64,
    /// How long to watch for a login that should not.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3_600))]
    quiet_seconds: u64,
    /// Print one JSON object: without --yes what would be done; with it the user, the flows, and whether it was deleted.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    super::needs_cognito("flows")?;
    let (pool, client, arn) = (arguments.user_pool_id, arguments.client_id, arguments.trigger_arn);
    let target =
        Target { with_other_triggers: arguments.with_other_triggers, ..Target::new(pool, client, arn).await };
    let plan = flows::examine(&target).await?;
    if !arguments.yes {
        return show_plan(&plan, &target, arguments.json);
    }
    let database = super::database(1).await?;
    // Nobody's: a row that cannot be read is found out before there is a user.
    let readable = drift::logins(&database, Uuid::nil()).await;
    readable.context("cannot read users, so nothing was tried: connect as a member of user_sync_reader")?;
    let limits = Limits {
        wait: Duration::from_secs(arguments.wait_seconds),
        quiet: Duration::from_secs(arguments.quiet_seconds),
        settle: SETTLE,
    };
    // Waited for from now on: afterwards there is a user to delete.
    let asked = tokio::spawn(super::asked_to_end());
    tokio::task::yield_now().await;
    let tried = trial::run(&target, &plan, &database, limits, async { drop(asked.await) }, tell).await;
    let shown = show_trial(&tried, arguments.json);
    // What is left in the pool matters, wherever the answer goes.
    conclude(&tried, &target)?;
    shown
}

/// The outcome as the exit code, and what is left to do.
fn conclude(trial: &Trial, target: &Target) -> anyhow::Result<()> {
    let (user, pool) = (&trial.user, &*target.user_pool_id);
    if let Some(error) = &trial.not_deleted {
        trial.ended_early.as_ref().inspect(|why| output::say(&why.to_string()));
        bail!(
            "the test user {user} may still be in the pool: {error}; delete it with: aws cognito-idp admin-delete-user \
             --user-pool-id {pool} --username {user}"
        );
    }
    if let Some(error) = &trial.ended_early {
        bail!("{error}; the test user {user} is not in the pool");
    }
    if trial.tried.iter().all(Tried::is_as_expected) {
        return Ok(());
    }
    output::say("not every flow is as docs/flows.md expects: look up its line there");
    std::process::exit(OTHERWISE)
}

fn tell(progress: Progress<'_>) {
    match progress {
        Progress::Making(user) => output::say(&format!("making the test user {user}")),
        Progress::Trying(flow) => output::say(&format!("trying {flow}")),
        Progress::Tried(tried) => output::say(&format!("{}: {}", tried.flow, found(tried))),
    }
}

/// What a flow came to, in words.
fn found(tried: &Tried) -> String {
    if let Some(failed) = &tried.failed {
        return format!("failed: {failed}");
    }
    match (tried.after - tried.before, tried.flow.logins()) {
        (0, 0) => "nothing counted".to_owned(),
        (1, 1) => "counted once".to_owned(),
        (0, _) => "did not fire, or did not arrive in time".to_owned(),
        (times, _) => format!("counted {times} times"),
    }
}

fn expected(flow: Flow) -> &'static str {
    if flow.logins() == 1 { "login" } else { "nothing" }
}

fn show_plan(plan: &Plan, target: &Target, as_json: bool) -> anyhow::Result<()> {
    let (flows, calls, actions) = (names(&plan.flows), plan.calls(), plan.actions());
    let mut out = output::stdout();
    if as_json {
        let plan = json!({
            "flows": flows, "calls": calls, "actions": actions, "other_triggers": plan.other_triggers,
            "user_pool_id": &*target.user_pool_id, "client_id": target.client_id,
        });
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?);
    }
    let others = match plan.other_triggers.join(", ") {
        none if none.is_empty() => "no other".to_owned(),
        others => format!("also {others}"),
    };
    writeln!(
        out,
        "This would make one user in {pool}, sign it in through {client}, and delete it:\n\
         - it is one monthly active user, which AWS bills as such;\n\
         - it fires the pool's triggers: PostConfirmation, PostAuthentication, {others};\n\
         - it leaves a row in users, and its deletion;\n\
         - it changes nothing else in the pool, and nothing of the client.\n\n\
         flows  {flows}\n\
         calls  {calls}\n\
         IAM    {actions}\n\n\
         Nothing was changed. Add --yes to do it. Flows that are not named stay for a person: see docs/flows.md.",
        pool = &*target.user_pool_id,
        client = target.client_id,
        flows = flows.join(", "),
        calls = calls.join(", "),
        actions = actions.join(", "),
    )?;
    Ok(())
}

fn names(flows: &[Flow]) -> Vec<&'static str> {
    flows.iter().map(|flow| flow.as_str()).collect()
}

fn show_trial(trial: &Trial, is_json: bool) -> anyhow::Result<()> {
    let mut out = output::stdout();
    if is_json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&as_json(trial))?)?);
    }
    if trial.tried.is_empty() {
        return Ok(());
    }
    let row = |tried: &Tried| {
        let [before, after] = [tried.before, tried.after].map(|count| count.to_string());
        [tried.flow.to_string(), expected(tried.flow).to_owned(), before, after, found(tried)]
    };
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(TABLE_WIDTH)
        .set_header(["flow", "docs/flows.md", "logins before", "after", "found"])
        .add_rows(trial.tried.iter().map(row));
    writeln!(out, "{table}")?;
    if trial.not_deleted.is_none() {
        writeln!(
            out,
            "the test user {} is deleted; its row follows with the next deletion or reconcile --repair",
            trial.user
        )?;
    }
    Ok(writeln!(
        out,
        "for a person: managed login, providers, linked users, passkeys, codes, second factors, devices, SRP, custom \
         challenges, sign-ups, migrations; docs/flows.md says how"
    )?)
}

fn as_json(trial: &Trial) -> Value {
    let flow = |tried: &Tried| {
        json!({
            "flow": tried.flow.as_str(), "expected": expected(tried.flow), "before": tried.before,
            "after": tried.after, "as_expected": tried.is_as_expected(), "failed": tried.failed,
        })
    };
    json!({
        "user": trial.user,
        "flows": trial.tried.iter().map(flow).collect::<Vec<_>>(),
        "ended_early": trial.ended_early.as_ref().map(ToString::to_string),
        "deleted": trial.not_deleted.is_none(),
    })
}
