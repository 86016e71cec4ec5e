//! Runs a command: as a process beside the console, or as a one-off task of ECS. Must not know what a command does, and keeps
//! nothing of what it prints.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use uuid::Uuid;

use crate::console::plans::ecs::Ecs;
use crate::console::plans::job::{Cancel, Done, Order, Progress};
use crate::console::plans::kind::Kind;

/// The run of a command that the console starts has this id, so that its task finds it.
pub const RUN_ID_VARIABLE: &str = "USER_SYNC_RUN_ID";

/// Whom such a run is for.
pub const STARTED_BY_VARIABLE: &str = "USER_SYNC_STARTED_BY";

/// What a process beside the console logs in by, in place of the console's own DATABASE_URL.
pub const COMMANDS_DATABASE_URL_VARIABLE: &str = "USER_SYNC_COMMANDS_DATABASE_URL";

/// What is the console's alone, and no command's.
const OWN_VARIABLES: [&str; 2] = [COMMANDS_DATABASE_URL_VARIABLE, "USER_SYNC_REPLICA_URL"];

/// How a command ends that failed, or that compared and found something.
pub(super) const EXIT_CODE_1: &str = "exit code 1";

/// How long a process that was interrupted may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Where commands run.
#[derive(Debug)]
pub(in crate::console) enum Runner {
    /// As a process of this program, with its environment.
    Beside {
        /// What it connects by, if not by the console's own login.
        database_url: Option<SecretString>,
    },
    /// As a one-off task.
    Ecs(Box<Ecs>),
}

impl Runner {
    /// Runs the command of a task to its end.
    pub(in crate::console) async fn run(
        &self,
        task: Uuid,
        order: &Order,
        progress: &Progress,
        cancel: Cancel,
    ) -> Done {
        let Some(command) = order.kind.command() else { return Done::Failed("no command") };
        let _ = progress;
        match self {
            Self::Beside { database_url } => {
                beside(task, order, command, database_url.as_ref(), cancel).await
            }
            Self::Ecs(ecs) => ecs.run(task, order, command, cancel).await,
        }
    }
}

/// What a name may be in an environment: of one line.
pub(super) fn started_by(order: &Order) -> String {
    order.by.chars().filter(|character| !character.is_control()).take(200).collect()
}

async fn beside(
    task: Uuid,
    order: &Order,
    arguments: &[&str],
    database_url: Option<&SecretString>,
    mut cancel: Cancel,
) -> Done {
    let Ok(program) = std::env::current_exe() else { return Done::Failed("no program to run") };
    let mut command = process(program.into(), arguments, database_url);
    command.env(RUN_ID_VARIABLE, task.to_string()).env(STARTED_BY_VARIABLE, started_by(order));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(task.id = %task, %error, "a command cannot be started");
            return Done::Failed("the command cannot be started");
        }
    };
    let ended = tokio::select! {
        ended = child.wait() => ended,
        () = cancel.asked_for() => {
            end(&mut child, END_WITHIN).await;
            return Done::Cancelled;
        }
    };
    match ended.map(|status| how_it_ended(order.kind, status)) {
        Ok(done) => done,
        Err(_) => Done::Failed("the command was lost"),
    }
}

/// The command, without a terminal. What it prints may be personal data; what it logs is not, and goes to the console's log.
fn process(program: OsString, arguments: &[&str], database_url: Option<&SecretString>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    for variable in OWN_VARIABLES {
        command.env_remove(variable);
    }
    if let Some(url) = database_url {
        command.env("DATABASE_URL", url.expose_secret());
    }
    command
}

fn how_it_ended(kind: Kind, status: ExitStatus) -> Done {
    match status.code() {
        Some(code) if kind.is_done_by(code) => Done::All,
        Some(1) => Done::Failed(EXIT_CODE_1),
        Some(2) => Done::Failed("exit code 2"),
        Some(_) => Done::Failed("another exit code"),
        None => Done::Failed("killed by a signal"),
    }
}

/// Asks a process to end, as Ctrl-C does, so that it leaves nothing half done; kills it if it does not.
async fn end(child: &mut Child, within: Duration) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // It may have ended by itself.
        if let Err(error) = rustix::process::kill_process(id, rustix::process::Signal::INT) {
            tracing::debug!(%error, "a command cannot be interrupted");
        }
    }
    if timeout(within, child.wait()).await.is_err() {
        drop(child.kill().await);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_process_that_does_not_heed_an_interruption_ends_all_the_same() {
        let mut child = process("sh".into(), &["-c", "trap '' INT; exec sleep 600"], None).spawn().unwrap();
        end(&mut child, Duration::from_millis(50)).await;
        assert!(child.try_wait().unwrap().is_some());
    }

    #[test]
    fn a_comparison_that_found_something_came_to_its_end() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |kind, code: i32| how_it_ended(kind, ExitStatus::from_raw(code << 8));
        assert_eq!(ended(Kind::Reconcile { repair: false }, 2), Done::All);
        assert_eq!(ended(Kind::Reconcile { repair: true }, 2), Done::Failed("exit code 2"));
        assert_eq!(ended(Kind::Maintain, 0), Done::All);
        assert_eq!(how_it_ended(Kind::Maintain, ExitStatus::from_raw(9)), Done::Failed("killed by a signal"));
    }
}
