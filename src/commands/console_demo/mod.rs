//! `user-sync console-demo`: the console over four months of a made-up company, on this machine.

mod fill;
mod goes_on;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Context as _;
use clap::Args;
use cognito_user_sync::console::COMMANDS_DATABASE_URL_VARIABLE;
use cognito_user_sync::dev::company::{POOL, pool};
use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Progress, Stack, StackOptions};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::commands::output;

/// What to try, a line each.
const TRY: [&str; 7] = [
    "Now            sign-ins go on while you look; stop and go on by Pause, or by the key p",
    "Users          find novak, or open anybody: every value says why it is what it is; then reveal, with a reason",
    "Analytics      growth, sign-ins by hour, retention; take a chart's figures as CSV",
    "Dead letters   read them, send back those that the database refused, and watch the task; then drop the malformed ones",
    "Drift          what reconcile found; repair it, or start verify; its progress is on the page of the task",
    "Audit          what was done here, and by whom: your own deeds are at the top",
    "/help          the keys; the theme is at the foot of the rail",
];

/// Open the console over four months of a made-up company, on this machine
///
/// Needs no AWS account: it starts PostgreSQL and an SQS server of its own (USER_SYNC_DEV_DATABASE_URL or PG_BIN choose
/// another PostgreSQL), fills them, and goes on signing people in. Verify, reconcile, audit and maintain run once. Prints a
/// one-time link at the end. Everything is allowed, and everything is removed on Ctrl-C.
///
/// Example: user-sync console-demo --users=3000
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// How many users the company has.
    #[arg(long, default_value_t = 1_200, value_parser = clap::value_parser!(u32).range(100..=50_000))]
    users: u32,
    /// Where the console listens; another port is taken where this one is in use.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let postgres = PostgresOptions { source: PostgresSource::from_env(), durable: false };
    let stack = Stack::start(StackOptions { postgres, progress: Progress::visible() }).await?;
    let deployment = Deployment::create(&stack).await?;
    let shown = tokio::select! {
        shown = show(&deployment, &arguments) => shown,
        error = stack.failure() => Err(error.into()),
        () = super::asked_to_end() => Ok(()),
    };
    // After a server died, removing may fail; the first error is reported.
    let removed = deployment.remove().await;
    stack.stop().await?;
    shown?;
    Ok(removed?)
}

async fn show(deployment: &Deployment, arguments: &Arguments) -> anyhow::Result<()> {
    output::say("making up a company…");
    let company = fill::company(deployment, usize::try_from(arguments.users)?).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free")?;
    let asked = Asked { deployment, cognito: format!("http://{}", listener.local_addr()?) };
    let answers = pool::serve(listener, company.people.clone());
    let goes_on = async {
        output::say("running report refresh, maintain, reconcile, audit and verify…");
        asked.runs().await?;
        let (metrics, goes_on) = goes_on::start(deployment, &company.people).await?;
        let mut console = asked.console(metrics, listen(arguments.listen).await)?;
        tokio::select! {
            failed = goes_on => failed,
            ended = console.wait() => {
                anyhow::ensure!(ended?.success(), "the console ended");
                Ok(())
            }
        }
    };
    tokio::select! {
        ended = Box::pin(goes_on) => ended,
        failed = answers => Ok(failed?),
    }
}

/// This address, or one whose port is free.
async fn listen(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted).await {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

/// How the commands are called.
struct Asked<'a> {
    deployment: &'a Deployment,
    /// Where the pool answers.
    cognito: String,
}

impl Asked<'_> {
    /// A command of this program, as whom the URL says.
    fn command(&self, url: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("this program is not found")?);
        command.args(arguments).envs(self.deployment.environment()).kill_on_drop(true);
        command.env("DATABASE_URL", url).env("USER_SYNC_LOG", "error");
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &self.cognito);
        command.env("USER_SYNC_USER_POOL_ID", POOL);
        Ok(command)
    }

    /// What runs by schedules elsewhere, once each.
    async fn runs(&self) -> anyhow::Result<()> {
        let (consumer, operator) = (&self.deployment.consumer_url, &self.deployment.operator_url);
        let quick = ["reconcile", "--max-requests-per-second", "1000"];
        for (url, arguments) in [
            (consumer, &["report", "refresh"][..]),
            (operator, &["maintain"]),
            (consumer, &quick),
            (consumer, &["audit"]),
            (consumer, &["verify"]),
        ] {
            let mut command = self.command(url, arguments)?;
            let ended = command.stdin(Stdio::null()).output().await?;
            // Reconcile says by 2 that something differs, audit by 1 that something is lost.
            let is_found = matches!(
                (arguments.first(), ended.status.code()),
                (Some(&"reconcile"), Some(2)) | (Some(&"audit"), Some(1))
            );
            anyhow::ensure!(
                ended.status.success() || is_found,
                "user-sync {} failed: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&ended.stderr)
            );
        }
        Ok(())
    }

    /// The console, whose link is what is printed last.
    fn console(&self, metrics: SocketAddr, listen: SocketAddr) -> anyhow::Result<Child> {
        let mut out = output::stdout();
        writeln!(out, "\nThe console is open, over a made-up company. What to try:\n")?;
        TRY.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        writeln!(out, "\nCtrl-C ends everything and removes it. Open this:\n")?;
        let (metrics, listen) = (format!("http://{metrics}/metrics"), listen.to_string());
        let arguments = ["console", "--environment", "demo · made-up company", "--allow", "reveal,act"];
        let mut command = self.command(&self.deployment.console_url, &arguments)?;
        command.args(["--metrics-url", &metrics, "--listen", &listen].map(OsString::from));
        // A worker's visibility timeout is shorter than a function's.
        command.args(["--consumer-timeout-seconds", "5"]);
        command.env(COMMANDS_DATABASE_URL_VARIABLE, &self.deployment.operator_url);
        command.spawn().context("the console cannot be started")
    }
}
