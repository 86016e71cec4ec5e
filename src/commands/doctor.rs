//! `user-sync doctor`: checks the deployment and prints what is wrong, on one screen.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use cognito_user_sync::cognito::{triggers, user_pool};
use cognito_user_sync::config::{
    CONTEXT_DLQ_URL_VARIABLE, CONTEXT_QUEUE_URL_VARIABLE, DLQ_URL_VARIABLE, DatabaseConfig, Environment,
    asks_cognito,
};
use cognito_user_sync::ops::doctor::{self, Check, Options, Section, Status};
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use serde_json::json;

use crate::commands::output::{self, Stdout, line};

/// Check the database, the ledger, the queues and the user pool, and say how to fix what is wrong
///
/// Changes nothing: it tries a write and undoes it, and receives no message. Each line says what was found and, if something is wrong, what to do. Uses the
/// consumer's own variables, so run it where the consumer runs: DATABASE_URL, USER_SYNC_QUEUE_URL,
/// USER_SYNC_DLQ_URL, and USER_SYNC_USER_POOL_ID for the triggers; where they are set, USER_SYNC_CONTEXT_QUEUE_URL and
/// USER_SYNC_CONTEXT_DLQ_URL, too. Checks whose variable is missing are
/// skipped, but without USER_SYNC_USER_POOL_ID the consumer accepts every pool's events, which is a warning. Needs a member of user_sync_consumer, sqs:GetQueueAttributes on both queues and
/// cognito-idp:DescribeUserPool; with USER_SYNC_TRIGGERS_PARAMETER also ssm:GetParameter on it. With
/// cognito-idp:ListUserPoolReplicas it checks the triggers of the pool's replicas in other Regions, too. Where there is no way to Cognito, set
/// USER_SYNC_ASK_COGNITO=false: the pool's lines then say what the last heartbeat told of the triggers. Exits with 0
/// if no check failed (warnings are allowed), and with 1 otherwise.
///
/// Example: user-sync doctor --user-pool-id eu-west-1_Abc123Def --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The user pool whose triggers are checked; several are separated by commas.
    #[arg(long, value_name = "ID", env = user_pool::VARIABLE)]
    user_pool_id: Option<String>,
    /// The function that both triggers must call, or one for each Region, separated by commas; without it, they must call
    /// the same one.
    #[arg(long, value_name = "ARN", requires = "user_pool_id")]
    trigger_arn: Option<String>,
    /// The timeout of the consumer's function in seconds, from which the right visibility timeout follows.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=900))]
    consumer_timeout_seconds: u32,
    /// The age in minutes from which the latest heartbeat is too old.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    max_heartbeat_age_minutes: u32,
    /// Print JSON: the checks, and how many have each status.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let environment = Environment::process();
    let checks = doctor::examine(&Options {
        database: DatabaseConfig::from_env(),
        queue_url: environment.optional(QUEUE_URL_VARIABLE)?,
        dlq_url: environment.optional(DLQ_URL_VARIABLE)?,
        context_queue_url: environment.optional(CONTEXT_QUEUE_URL_VARIABLE)?,
        context_dlq_url: environment.optional(CONTEXT_DLQ_URL_VARIABLE)?,
        user_pool_id: arguments.user_pool_id,
        accepts_every_pool: environment.raw(user_pool::VARIABLE).is_none(),
        asks_cognito: asks_cognito(environment)?,
        trigger_arn: arguments.trigger_arn,
        triggers_parameter: environment.optional(triggers::VARIABLE)?,
        consumer_timeout_seconds: arguments.consumer_timeout_seconds,
        max_heartbeat_age_minutes: arguments.max_heartbeat_age_minutes,
    })
    .await;
    let mut out = output::stdout();
    match arguments.json {
        true => write_json(&mut out, &checks)?,
        false => write_text(&mut out, &checks, output::is_coloured())?,
    }
    match count(&checks, Status::Failed) {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", checks.len()),
    }
}

fn count(checks: &[Check], status: Status) -> usize {
    checks.iter().filter(|check| check.status == status).count()
}

fn write_json(out: &mut impl Write, checks: &[Check]) -> anyhow::Result<()> {
    let summary = json!({
        "ok": count(checks, Status::Ok),
        "warning": count(checks, Status::Warning),
        "failed": count(checks, Status::Failed),
        "skipped": count(checks, Status::Skipped),
    });
    serde_json::to_writer_pretty(&mut *out, &json!({ "checks": checks, "summary": summary }))?;
    Ok(writeln!(out)?)
}

/// Whether both were skipped for the same reason, which is then printed once.
fn is_same_gap(check: &Check, next: &Check) -> bool {
    let is_alike = check.section == next.section && check.found == next.found && check.fix == next.fix;
    check.status == Status::Skipped && next.status == Status::Skipped && is_alike
}

fn write_text(out: &mut Stdout, checks: &[Check], coloured: bool) -> anyhow::Result<()> {
    let mut section: Option<Section> = None;
    for alike in checks.chunk_by(is_same_gap) {
        let [check, others @ ..] = alike else { continue };
        if section != Some(check.section) {
            section = Some(check.section);
            writeln!(out, "{}", check.section)?;
        }
        let (word, colour) = match check.status {
            Status::Ok => ("ok  ", 32),
            Status::Warning => ("warn", 33),
            Status::Failed => ("FAIL", 31),
            Status::Skipped => ("skip", 2),
        };
        let others: String = others.iter().map(|check| format!(", {}", check.name)).collect();
        write!(out, "  ")?;
        match coloured {
            true => out.coloured(colour, word)?,
            false => write!(out, "{word}")?,
        }
        writeln!(out, "  {:15}  {}", format!("{}{others}", check.name), line(&check.found))?;
        if let Some(fix) = &check.fix {
            writeln!(out, "{:25}→ {}", "", line(fix))?;
        }
    }
    writeln!(
        out,
        "{} ok, {} warned, {} failed, {} skipped",
        count(checks, Status::Ok),
        count(checks, Status::Warning),
        count(checks, Status::Failed),
        count(checks, Status::Skipped)
    )?;
    Ok(())
}
