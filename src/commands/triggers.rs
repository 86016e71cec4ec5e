//! `user-sync triggers`: the user pool's two triggers, and who holds them.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use cognito_user_sync::cognito::lifecycle::TRIGGER_VARIABLE;
use cognito_user_sync::cognito::triggers::{
    self, Before, Functions, Hook, Notes, PUT_BACK_AT_MOST, Parameter, ParameterError, REASON_MAX_CHARS,
    Triggers, Wanted,
};
use cognito_user_sync::cognito::user_pool::{self, UserPool};
use cognito_user_sync::config::Environment;
use cognito_user_sync_triggers::chain;
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use serde_json::json;

use crate::commands::output::{self, line};

/// How long a hold lasts unless it is told otherwise, in hours.
const HOLD_HOURS: u32 = 24;

/// Show, attach and detach the pool's two triggers, and hold them
///
/// For deployments without CloudFormation, and for a bad night: `hold` is the first command when the trigger itself does
/// harm. From then on nobody puts it back (USER_SYNC_KEEP_TRIGGERS), for 24 hours unless told otherwise.
///
/// A hold needs USER_SYNC_TRIGGERS_PARAMETER, AWS_REGION of that parameter, and ssm:GetParameter and ssm:PutParameter
/// on it. `show` needs cognito-idp:DescribeUserPool on the pool; attach and detach also UpdateUserPool, GetUserPoolMfaConfig and
/// SetUserPoolMfaConfig, and iam:PassRole where the pool sends SMS messages. Exits with 1 on an error, and then says what
/// was changed.
///
/// Example: user-sync triggers hold --reason "sign-ins fail since the deployment"
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(Show),
    Attach(Attach),
    Detach(Detach),
    Hold(Hold),
    Release(Release),
}

/// Which pool, and which function is ours.
#[derive(Debug, Args)]
struct Pool {
    /// The user pool.
    #[arg(long, env = user_pool::VARIABLE, value_name = "ID")]
    user_pool_id: UserPoolId,
    /// Our function, which the two triggers should call.
    #[arg(long, env = TRIGGER_VARIABLE, value_name = "ARN", value_parser = function)]
    trigger_arn: String,
}

/// One function: a list by pools, as the lifecycle function takes, would match no trigger.
fn function(text: &str) -> Result<String, &'static str> {
    match triggers::function_region(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("not the ARN of one Lambda function"),
    }
}

/// Show what the pool calls, who holds it, and when it did not call our function
///
/// Example: user-sync triggers show --json
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    pool: Pool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Make our function both triggers, and change nothing else of the pool
///
/// Refuses another function that is neither chained nor overwritten, unless its tags say that it is a trigger of this
/// service and of the same CloudFormation stack, or it does not exist any more (lambda:ListTags). Prints what was there before, and how to put it back.
///
/// Example: user-sync triggers attach --chain-post-confirmation arn:aws:lambda:eu-west-1:111122223333:function:welcome
#[derive(Debug, Args)]
struct Attach {
    #[command(flatten)]
    pool: Pool,
    /// The function that ours calls first for PostConfirmation: the trigger's own variable must say the same.
    #[arg(long, env = chain::POST_CONFIRMATION_VARIABLE, value_name = "ARN")]
    chain_post_confirmation: Option<String>,
    /// The same for PostAuthentication.
    #[arg(long, env = chain::POST_AUTHENTICATION_VARIABLE, value_name = "ARN")]
    chain_post_authentication: Option<String>,
    /// Replace another function that is not chained: it is no longer called.
    #[arg(long)]
    overwrite: bool,
}

/// Take our function out of the pool, and put back what was there
///
/// Holds first where USER_SYNC_TRIGGERS_PARAMETER is set: otherwise our function would be put back at once. Leaves another
/// function alone.
///
/// Example: user-sync triggers detach --put-back arn:aws:lambda:eu-west-1:111122223333:function:welcome,
#[derive(Debug, Args)]
struct Detach {
    #[command(flatten)]
    pool: Pool,
    /// The functions that become PostConfirmation and PostAuthentication: two ARNs, each of which may be empty, with a comma
    /// between them.
    #[arg(long, value_name = "ARN,ARN", default_value = ",")]
    put_back: Before,
    /// Do not hold, if the parameter cannot be written: a deployment that keeps its triggers puts ours back.
    #[arg(long)]
    no_hold: bool,
}

/// Let nobody put the triggers back for a while
///
/// Changes nothing of the pool. An update that is under way may still end: look with `show` some seconds later.
///
/// Example: user-sync triggers hold --hours 4 --reason "incident 7"
#[derive(Debug, Args)]
struct Hold {
    /// For how long, in hours.
    #[arg(long, default_value_t = HOLD_HOURS, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    hours: u32,
    /// Until `release`, however long that takes.
    #[arg(long, conflicts_with = "hours")]
    until_released: bool,
    /// Make the parameter if there is none: for a deployment that has none yet.
    #[arg(long)]
    make_parameter: bool,
    /// Why, for whoever finds the hold; at most 200 characters. No secrets: others read it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// End the hold: a deployment that keeps its triggers puts them back at its next look, within 5 minutes
///
/// Example: user-sync triggers release
#[derive(Debug, Args)]
struct Release {}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Who only holds or releases asks SSM.
    if !matches!(arguments.command, Command::Hold(_) | Command::Release(_)) {
        super::needs_cognito("triggers")?;
    }
    match arguments.command {
        Command::Show(show) => show.run().await,
        Command::Attach(attach) => attach.run().await,
        Command::Detach(detach) => detach.run().await,
        Command::Hold(hold) => hold.run().await,
        Command::Release(Release {}) => release().await,
    }
}

/// The deployment's parameter, if it has one.
async fn parameter() -> anyhow::Result<Option<Parameter>> {
    match Environment::process().optional(triggers::VARIABLE)? {
        Some(name) => Ok(Some(Parameter::new(name).await)),
        None => Ok(None),
    }
}

async fn required_parameter() -> anyhow::Result<Parameter> {
    let name = Environment::process().required(triggers::VARIABLE, "the parameter that holds the hold")?;
    Ok(Parameter::new(name).await)
}

/// When so many hours have passed.
fn hours_after(now: Timestamp, hours: u32) -> Timestamp {
    Timestamp::from_unix_millis(now.unix_millis() + u64::from(hours) * 3_600_000)
}

impl Pool {
    async fn client(&self) -> UserPool {
        UserPool::new(self.user_pool_id.clone()).await
    }

    /// Whose a trigger is.
    fn owner(&self, arn: Option<&str>) -> &'static str {
        match arn {
            None => "missing",
            Some(arn) if triggers::is_ours(arn, &self.trigger_arn) => "ours",
            Some(_) => "another",
        }
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let user_pool = self.pool.client().await;
        let now = triggers::current(user_pool.client(), &self.pool.user_pool_id).await?;
        let (noted, failed) = match parameter().await? {
            Some(parameter) => match parameter.read().await {
                Ok(notes) => (Some(notes), None),
                Err(error) => (None, Some(error)),
            },
            None => (None, None),
        };
        match self.json {
            true => self.print_json(&now, noted.as_ref(), failed.as_ref())?,
            false => self.print_text(&now, noted.as_ref(), failed.as_ref())?,
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn print_json(
        &self,
        triggers: &Triggers,
        notes: Option<&Notes>,
        failed: Option<&ParameterError>,
    ) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let each = Hook::ALL.map(|hook| {
            let arn = triggers.get(hook);
            (hook.as_str().to_owned(), json!({ "function": arn, "owner": self.pool.owner(arn) }))
        });
        let noted = notes.map(|notes| {
            json!({
                "hold": notes.held_at(now).map(|hold| json!({ "until": hold.until, "reason": hold.reason })),
                "attempts_within_the_hour": notes.attempts_within_the_hour(now),
                "attempts_at_most": PUT_BACK_AT_MOST,
                "gaps": notes.gaps(),
            })
        });
        let triggers: serde_json::Map<_, _> = each.into_iter().collect();
        let error = failed.map(ToString::to_string);
        writeln!(output::stdout(), "{}", json!({ "triggers": triggers, "noted": noted, "error": error }))?;
        Ok(())
    }

    fn print_text(
        &self,
        triggers: &Triggers,
        notes: Option<&Notes>,
        failed: Option<&ParameterError>,
    ) -> anyhow::Result<()> {
        let mut out = output::stdout();
        for hook in Hook::ALL {
            let arn = triggers.get(hook);
            let (name, owner) = (hook.as_str(), self.pool.owner(arn));
            writeln!(out, "{name:18}  {owner:7}  {}", line(arn.unwrap_or("no function")))?;
        }
        let Some(notes) = notes else {
            let unset = || format!("set {} if the deployment has a parameter", triggers::VARIABLE);
            let why = failed.map_or_else(unset, ToString::to_string);
            writeln!(out, "{:18}  not known: {}", "hold", line(&why))?;
            return Ok(());
        };
        let now = Timestamp::now();
        let hold = notes.held_at(now).map_or("nobody holds them".to_owned(), ToString::to_string);
        writeln!(out, "{:18}  {}", "hold", line(&hold))?;
        let attempts = notes.attempts_within_the_hour(now);
        writeln!(out, "{:18}  {attempts} within the hour, of at most {PUT_BACK_AT_MOST}", "put back")?;
        for gap in notes.gaps() {
            writeln!(out, "{:18}  sign-ins {gap} are not counted", "gap")?;
        }
        Ok(())
    }
}

impl Attach {
    async fn run(self) -> anyhow::Result<()> {
        let wanted = Wanted {
            user_pool_id: self.pool.user_pool_id.clone(),
            function_arn: self.pool.trigger_arn.clone(),
            chain_post_confirmation: self.chain_post_confirmation,
            chain_post_authentication: self.chain_post_authentication,
            overwrite: self.overwrite,
            keep_foreign: false,
            known: triggers::Known::default(),
        };
        let functions = Functions::beside(&wanted.function_arn).await;
        functions.refuse_chained(&wanted.chained()).await?;
        let user_pool = self.pool.client().await;
        let now = triggers::current(user_pool.client(), &wanted.user_pool_id).await?;
        let wanted = Wanted { known: functions.known(&now, &wanted, None).await, ..wanted };
        let before = triggers::attach(user_pool.client(), &wanted, None, None).await?;
        let mut out = output::stdout();
        let is_ours = |arn: &str| triggers::is_ours(arn, &wanted.function_arn);
        if Hook::ALL.iter().all(|hook| now.get(*hook).is_some_and(is_ours)) {
            writeln!(out, "both triggers were ours already: nothing was changed")?;
            return Ok(());
        }
        for hook in Hook::ALL {
            let former = now.get(hook).unwrap_or("no function");
            writeln!(out, "{:18}  was {}, and is ours now", hook.as_str(), line(former))?;
        }
        writeln!(
            out,
            "to take it back: user-sync triggers detach --put-back '{}'",
            line(&before.to_string())
        )?;
        Ok(())
    }
}

impl Detach {
    async fn run(self) -> anyhow::Result<()> {
        match parameter().await? {
            Some(parameter) if !self.no_hold => {
                let now = Timestamp::now();
                let until = hours_after(now, HOLD_HOURS);
                let noted = parameter.update(|notes| {
                    // A hold that lasts longer stays.
                    let lasts =
                        notes.held_at(now).is_some_and(|hold| hold.until.is_none_or(|end| end >= until));
                    if !lasts {
                        notes.hold(now, Some(until), "user-sync triggers detach");
                    }
                });
                let notes = noted.await.context(
                    "nothing was changed, because the triggers could not be held: detach --no-hold goes without",
                )?;
                say_hold(&parameter, &notes, now)?;
            }
            Some(_) | None => {
                output::say("no hold is set: a deployment that keeps its triggers puts ours back")
            }
        }
        let user_pool = self.pool.client().await;
        let id = &self.pool.user_pool_id;
        let ours = &self.pool.trigger_arn;
        let before = triggers::detach(user_pool.client(), id, ours, &self.put_back).await?;
        let is_ours = |hook: &Hook| before.get(*hook).is_some_and(|arn| triggers::is_ours(arn, ours));
        anyhow::ensure!(
            Hook::ALL.iter().any(is_ours),
            "nothing was taken out: no trigger was {ours}; PostConfirmation is {}, and PostAuthentication is {}",
            before.get(Hook::PostConfirmation).unwrap_or("no function"),
            before.get(Hook::PostAuthentication).unwrap_or("no function")
        );
        let now = triggers::current(user_pool.client(), id).await?;
        for hook in Hook::ALL {
            let function = line(now.get(hook).unwrap_or("no function")).into_owned();
            writeln!(output::stdout(), "{:18}  is {function} now", hook.as_str())?;
        }
        Ok(())
    }
}

impl Hold {
    async fn run(self) -> anyhow::Result<()> {
        let length = self.reason.chars().count();
        anyhow::ensure!(
            length <= REASON_MAX_CHARS,
            "the reason has {length} characters: at most {REASON_MAX_CHARS} fit"
        );
        let now = Timestamp::now();
        let until = (!self.until_released).then(|| hours_after(now, self.hours));
        let parameter = required_parameter().await?;
        let hold = |notes: &mut Notes| notes.hold(now, until, &self.reason);
        let notes = match self.make_parameter {
            true => parameter.update_or_make(hold).await?,
            false => parameter.update(hold).await?,
        };
        say_hold(&parameter, &notes, now)?;
        output::say(
            "an update that is under way may still end: look with user-sync triggers show in some seconds",
        );
        Ok(())
    }
}

async fn release() -> anyhow::Result<()> {
    let now = Timestamp::now();
    let parameter = required_parameter().await?;
    let notes = parameter.update(|notes| notes.release(now)).await?;
    say_hold(&parameter, &notes, now)
}

/// Says the hold as it is, and where: another one may have been set at the same time.
fn say_hold(parameter: &Parameter, notes: &Notes, now: Timestamp) -> anyhow::Result<()> {
    let text = match notes.held_at(now) {
        Some(hold) => format!("the triggers are {hold}: nobody puts them back"),
        None => "nobody holds the triggers".to_owned(),
    };
    writeln!(output::stdout(), "{}", line(&format!("{text} (noted in {parameter})")))?;
    Ok(())
}
