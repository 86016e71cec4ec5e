//! How `user-sync console` is told who may enter, and where it prints one-time links.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use cognito_user_sync::config::Environment;
use cognito_user_sync::console::{Access, Asked, AskedOidc, Right};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::commands::output;

/// What sessions are signed with. No option: a secret in an argument is in every list of processes.
const KEY_VARIABLE: &str = "USER_SYNC_CONSOLE_KEY";

/// How long a one-time link is good, unless less is asked for.
const LINK_SECONDS: u64 = 15 * 60;

/// Who may enter, and what they may.
#[derive(Debug, Args)]
pub(super) struct AccessArguments {
    /// Where to listen; port 0 takes a free one. An address that is not this machine's own needs --behind-tls.
    #[arg(long, value_name = "ADDRESS", env = "USER_SYNC_CONSOLE_LISTEN", default_value = "127.0.0.1:8787")]
    pub(super) listen: SocketAddr,
    /// TLS stands in front of the console, under this name, such as console.example.com.
    #[arg(long, value_name = "HOST", env = "USER_SYNC_CONSOLE_BEHIND_TLS")]
    behind_tls: Option<String>,
    /// What anybody may at most besides reading: reveal one user's data, act; separated by commas.
    #[arg(long, value_name = "RIGHTS", env = "USER_SYNC_CONSOLE_ALLOW", value_delimiter = ',',
          value_parser = PossibleValuesParser::new(Right::ALL.map(Right::name)).map(right))]
    allow: Vec<Right>,
    /// How many seconds a one-time link is good.
    #[arg(long, value_name = "SECONDS", env = "USER_SYNC_CONSOLE_LINK_SECONDS", default_value_t = LINK_SECONDS,
          value_parser = clap::value_parser!(u64).range(1..=LINK_SECONDS))]
    pub(super) link_seconds: u64,
    /// The ARN of the load balancer that signs people in, in place of one-time links.
    #[arg(long, value_name = "ARN", env = "USER_SYNC_CONSOLE_OIDC_LOAD_BALANCER")]
    oidc_load_balancer: Option<String>,
    /// The issuer of its rule.
    #[arg(long, value_name = "URL", env = "USER_SYNC_CONSOLE_OIDC_ISSUER")]
    oidc_issuer: Option<String>,
    /// The id of its client at the issuer.
    #[arg(long, value_name = "ID", env = "USER_SYNC_CONSOLE_OIDC_CLIENT")]
    oidc_client: Option<String>,
    /// The claim whose values give rights.
    #[arg(long, value_name = "NAME", env = "USER_SYNC_CONSOLE_OIDC_CLAIM", default_value = "groups")]
    oidc_claim: String,
    /// The values of the claim that may read, separated by commas.
    #[arg(long, value_name = "VALUES", env = "USER_SYNC_CONSOLE_OIDC_READ", value_delimiter = ',')]
    oidc_read: Vec<String>,
    /// The values that may read and reveal, if --allow has reveal.
    #[arg(long, value_name = "VALUES", env = "USER_SYNC_CONSOLE_OIDC_REVEAL", value_delimiter = ',')]
    oidc_reveal: Vec<String>,
    /// The values that may read and act, if --allow has act.
    #[arg(long, value_name = "VALUES", env = "USER_SYNC_CONSOLE_OIDC_ACT", value_delimiter = ',')]
    oidc_act: Vec<String>,
    /// The claim that names people, in the pages and in the trail.
    #[arg(long, value_name = "NAME", env = "USER_SYNC_CONSOLE_OIDC_NAME", default_value = "email")]
    oidc_name: String,
    /// What to dial in place of the host of the load balancer's keys, whose certificate it must have.
    #[arg(long, value_name = "ADDRESS", env = "USER_SYNC_CONSOLE_OIDC_KEYS_ADDRESS")]
    oidc_keys_address: Option<SocketAddr>,
}

fn right(name: String) -> Right {
    // The parser before it lets no other name through.
    Right::named(&name).unwrap_or(Right::Read)
}

impl AccessArguments {
    /// Refuses what is not safe.
    pub(super) fn access(self) -> anyhow::Result<Access> {
        let environment = Environment::process();
        let user = ["USER", "LOGNAME"].into_iter().find_map(|name| environment.raw(name)?.into_string().ok());
        let key = environment.optional(KEY_VARIABLE)?.map(SecretString::from);
        let oidc = AskedOidc {
            load_balancer: self.oidc_load_balancer,
            issuer: self.oidc_issuer,
            client: self.oidc_client,
            claim: self.oidc_claim,
            read: self.oidc_read,
            reveal: self.oidc_reveal,
            act: self.oidc_act,
            name_claim: self.oidc_name,
            keys_address: self.oidc_keys_address,
        };
        let name = user.unwrap_or_else(|| "operator".to_owned());
        let (listen, behind_tls, allow) = (self.listen, self.behind_tls, self.allow);
        let access = Access::of(Asked { listen, behind_tls, allow, key, name, oidc })?;
        Ok(access.with_links_lasting(Duration::from_secs(self.link_seconds)))
    }
}

/// Prints a one-time link, and another one whenever it is asked for: by Enter at a terminal, or by SIGUSR1. Where a load
/// balancer signs people in, prints the URL once.
pub(super) async fn print_links(
    access: Arc<Access>,
    listening: SocketAddr,
    link_seconds: u64,
) -> anyhow::Result<()> {
    let mut asked = Asking::of();
    let is_terminal = std::io::stdin().is_terminal();
    loop {
        let Some(link) = access.link(listening)? else {
            writeln!(output::stdout(), "{}", access.url(listening))?;
            return std::future::pending().await;
        };
        writeln!(output::stdout(), "{link}")?;
        let lasts = match link_seconds % 60 {
            0 => format!("{} min", link_seconds / 60),
            _ => format!("{link_seconds} s"),
        };
        let another = if is_terminal { "press Enter for" } else { "SIGUSR1 prints" };
        output::say(&format!("good once, for {lasts}; {another} another one"));
        asked.next().await;
    }
}

/// Who asks for another link.
struct Asking {
    lines: mpsc::Receiver<()>,
    signals: Option<tokio::signal::unix::Signal>,
}

impl Asking {
    fn of() -> Self {
        let (said, lines) = mpsc::channel(1);
        if std::io::stdin().is_terminal() {
            // A thread that ends with the process: nothing ends a read of a terminal.
            std::thread::spawn(move || {
                for _ in std::io::stdin().lines().map_while(Result::ok) {
                    if said.blocking_send(()).is_err() {
                        return;
                    }
                }
            });
        }
        let signals = signal(SignalKind::user_defined1());
        let signals = signals.inspect_err(|error| tracing::warn!(%error, "cannot wait for SIGUSR1")).ok();
        Self { lines, signals }
    }

    async fn next(&mut self) {
        let signals = async {
            match &mut self.signals {
                Some(signals) => signals.recv().await,
                None => std::future::pending().await,
            }
        };
        let lines = async {
            match self.lines.recv().await {
                Some(()) => {}
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signals => {}
            () = lines => {}
        }
    }
}
