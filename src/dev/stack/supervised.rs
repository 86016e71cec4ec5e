//! Runs a server as a child process that cannot outlive this one: not after an error, not after kill -9. Must not know
//! which server it runs.
//!
//! The child is a watchdog, a small shell script that runs the server and blocks on a pipe that
//! only we hold open. It leads its own process group, so Ctrl-C in a terminal reaches us first.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;

use super::error::{Error, tail};

const WATCHDOG: &str = include_str!("watchdog.sh");
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// Longer than the watchdog takes when it has to kill the server.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Not started yet, or stopped on request.
    Stopped,
    Running,
    Stopping,
    /// Ended by itself, with this status.
    Died(String),
    /// The watchdog itself is gone, and the directory with it.
    Gone,
}

/// One server under its watchdog. Dropping it closes the pipe, which stops the server.
///
/// It holds no handle of an async runtime, so it may serve a runtime other than the one it was
/// started in: test functions each have their own.
pub(super) struct Supervised {
    name: &'static str,
    log: PathBuf,
    requests: Mutex<Option<ChildStdin>>,
    state: watch::Receiver<State>,
    change_state: watch::Sender<State>,
}

impl Supervised {
    /// The command that runs a server under a watchdog, to be completed with the server's program,
    /// its arguments, its environment and its user, and given to [`Supervised::launch`].
    ///
    /// `signal` asks the server to end, as `kill -s` names it.
    pub(super) fn command(signal: &str, directory: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHDOG, "watchdog", signal]).arg(directory);
        command
    }

    /// Launches the watchdog, which owns `directory` from now on; the server waits for
    /// [`Supervised::start`].
    pub(super) fn launch(
        name: &'static str,
        directory: TempDir,
        mut command: Command,
    ) -> Result<Self, Error> {
        let complaints = directory.path().join("watchdog.log");
        let stderr = std::fs::File::create(&complaints).map_err(Error::file("create", &complaints))?;
        // Rust opens pipes close-on-exec, so no other child of ours can keep this one open.
        let mut watchdog = command
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(Error::run("/bin/sh"))?;
        let (change_state, state) = watch::channel(State::Stopped);
        let requests = Mutex::new(watchdog.stdin.take());
        let reporter = change_state.clone();
        std::thread::Builder::new()
            .name(format!("{name} watchdog"))
            .spawn(move || report(watchdog, &reporter))
            .map_err(Error::run("a thread"))?;
        let log = directory.keep().join("server.log");
        Ok(Self { name, log, requests, state, change_state })
    }

    /// Starts the server; nothing happens if it runs.
    pub(super) fn start(&self) -> Result<(), Error> {
        let begun = self.change_state.send_if_modified(|state| match state {
            State::Stopped | State::Died(_) => {
                *state = State::Running;
                true
            }
            State::Running | State::Stopping | State::Gone => false,
        });
        if begun { self.request("start\n") } else { Ok(()) }
    }

    /// Waits until `answers` holds, the server dies, or a minute is over.
    pub(super) async fn ready<F: Future<Output = bool>>(
        &self,
        port: u16,
        answers: impl Fn() -> F,
    ) -> Result<(), Error> {
        let answered = async {
            while !answers().await {
                if let Some(error) = self.death() {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        tokio::time::timeout(START_TIMEOUT, answered).await.unwrap_or_else(|_| {
            let (server, seconds, log) = (self.name, START_TIMEOUT.as_secs(), self.log_tail());
            Err(Error::NotReady { server, port, seconds, log })
        })
    }

    /// Stops the server, keeps its directory, and waits for its end; nothing happens if it is
    /// stopped.
    pub(super) async fn pause(&self) -> Result<(), Error> {
        if self.expect_end() {
            self.request("stop\n")?;
        }
        self.wait_for(|state| !matches!(state, State::Running | State::Stopping)).await
    }

    /// Stops the server, removes its directory, and waits for the end of both.
    pub(super) async fn stop(self) -> Result<(), Error> {
        self.expect_end();
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.wait_for(|state| *state == State::Gone).await
    }

    /// Notes that the end of the server, if it runs, will be on purpose.
    fn expect_end(&self) -> bool {
        self.change_state.send_if_modified(|state| {
            let running = *state == State::Running;
            if running {
                *state = State::Stopping;
            }
            running
        })
    }

    /// Why the server no longer runs, if it has ended by itself.
    pub(super) fn death(&self) -> Option<Error> {
        let status = match &*self.state.borrow() {
            State::Died(status) => format!("status {status}"),
            State::Gone => "with its watchdog".to_owned(),
            State::Stopped | State::Running | State::Stopping => return None,
        };
        Some(Error::Died { server: self.name, status, log: self.log_tail() })
    }

    /// Resolves when the server has ended by itself.
    pub(super) async fn failure(&self) -> Error {
        let mut state = self.state.clone();
        loop {
            if let Some(error) = self.death() {
                return error;
            }
            if state.changed().await.is_err() {
                // Cannot be: we hold a sender.
                return std::future::pending().await;
            }
        }
    }

    /// The end of the server's log.
    pub(super) fn log_tail(&self) -> String {
        const BYTES: u64 = 16 * 1024;
        let read = || {
            let mut log = std::fs::File::open(&self.log)?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
            let mut end = Vec::new();
            log.take(BYTES).read_to_end(&mut end)?;
            Ok(end)
        };
        match read() {
            Ok(end) => tail(&end),
            Err(error) => {
                let error: std::io::Error = error;
                format!("(no log at {}: {error})", self.log.display())
            }
        }
    }

    fn request(&self, line: &str) -> Result<(), Error> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        match requests.as_mut().map(|pipe| pipe.write_all(line.as_bytes())) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(Error::Died {
                server: self.name,
                status: "with its watchdog".to_owned(),
                log: self.log_tail(),
            }),
        }
    }

    async fn wait_for(&self, done: impl FnMut(&State) -> bool) -> Result<(), Error> {
        match tokio::time::timeout(STOP_TIMEOUT, self.state.clone().wait_for(done)).await {
            Ok(Ok(_) | Err(_)) => Ok(()),
            Err(_) => Err(Error::NotStopped { server: self.name, seconds: STOP_TIMEOUT.as_secs() }),
        }
    }
}

/// Turns what the watchdog says into states until it ends.
fn report(mut watchdog: Child, state: &watch::Sender<State>) {
    if let Some(stdout) = watchdog.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(status) = line.strip_prefix("exited ") {
                state.send_modify(|state| {
                    *state = if *state == State::Stopping {
                        State::Stopped
                    } else {
                        State::Died(status.to_owned())
                    };
                });
            }
        }
    }
    if let Err(error) = watchdog.wait() {
        tracing::debug!(%error, "could not wait for a watchdog");
    }
    state.send_replace(State::Gone);
}

/// Starts a server on a port that is free now, and on another if someone was faster.
pub(super) async fn on_free_port<T, F: Future<Output = Result<T, Error>>>(
    server: &'static str,
    start: impl Fn(u16) -> F,
) -> Result<T, Error> {
    const ATTEMPTS: u32 = 5;
    for _ in 0..ATTEMPTS {
        match start(free_port()).await {
            Err(error) if error.port_was_taken() => tracing::debug!(%error, "another port is tried"),
            result => return result,
        }
    }
    Err(Error::NoPort { server, attempts: ATTEMPTS })
}

/// A port on 127.0.0.1 that is free now.
///
/// Below the range the system gives to outgoing connections (from 32768 on Linux), so that a
/// stopped server finds its port free when it is started again.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u128 = 12_000;
    for _ in 0..100 {
        let offset = u16::try_from(uuid::Uuid::now_v7().as_u128() % COUNT).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)).is_ok() {
            return FIRST + offset;
        }
    }
    // The server's own attempt to listen reports what is wrong.
    FIRST
}
