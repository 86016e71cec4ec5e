//! The errors of the local stack, and what its user can do about each. Must not know how it is started.

use std::io;
use std::path::PathBuf;

/// Why the local stack, or one of its servers, could not be started, stopped or kept running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No PostgreSQL is installed, and the packaged one could not be fetched either.
    #[error(
        "no PostgreSQL server found: looked for initdb and postgres (14 or newer) in PATH, \
         /usr/lib/postgresql and Homebrew, then failed to fetch one; install postgresql, or set \
         PG_BIN to its bin folder, or USER_SYNC_DEV_DATABASE_URL to a running server"
    )]
    NoPostgres(#[source] Box<Error>),
    /// A folder, of `PG_BIN` or of the package, holds no server that can be run.
    #[error(
        "PostgreSQL in {path} cannot be used: {source}; set PG_BIN to a folder with initdb and \
         postgres, 14 or newer"
    )]
    PostgresFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Unusable,
    },
    /// The server named by `USER_SYNC_DEV_DATABASE_URL` does not answer.
    #[error(
        "PostgreSQL at {address} (USER_SYNC_DEV_DATABASE_URL) does not answer; start it, or unset the variable \
         to have one started here"
    )]
    DatabaseUrl {
        /// Host and port, without the credentials.
        address: String,
        /// The error of the connection attempt.
        #[source]
        source: io::Error,
    },
    /// The caller asked to stop or start a PostgreSQL that was not started here.
    #[error(
        "the PostgreSQL of USER_SYNC_DEV_DATABASE_URL was not started here, so it is not stopped here; unset the variable"
    )]
    NotOurs,
    /// No Python can be run.
    #[error("python3 of PATH cannot be run; install Python 3.10 or newer with pip")]
    PythonNotRun(#[source] io::Error),
    /// No Python that can run or fetch the servers.
    #[error("no usable python3 in PATH: {reason}; install Python 3.10 or newer with pip")]
    NoPython {
        /// What was found instead.
        reason: String,
    },
    /// PostgreSQL refuses to run as root and there is nobody else to run it as.
    #[error(
        "PostgreSQL does not run as root, and this system has neither a user `postgres` nor \
         `nobody`; create one, or run this as an ordinary user"
    )]
    NoOrdinaryUser,
    /// A package could not be installed into the cache.
    #[error(
        "could not install {package} into {path}; check that this machine reaches its Python \
         package index and that `python3 -m pip` works\n{output}"
    )]
    Install {
        /// Name and version.
        package: &'static str,
        /// The folder it was meant for.
        path: PathBuf,
        /// The end of pip's output.
        output: String,
    },
    /// The cache folder belongs to someone else, or others can write to it.
    #[error(
        "the cache folder {path} is not trusted, because another user owns it or can write to \
         it; remove it, or set XDG_CACHE_HOME to a folder of your own"
    )]
    UntrustedCache {
        /// The folder.
        path: PathBuf,
    },
    /// There is no place for a cache.
    #[error("no place for a cache, because HOME is not set; set XDG_CACHE_HOME to a folder of your own")]
    NoCache,
    /// A file or folder could not be used.
    #[error("could not {action} {path}; check its permissions and the free space")]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A program could not be run.
    #[error("could not run {program}; check that it is installed and that this user may run it")]
    Run {
        /// The program.
        program: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// `initdb` failed.
    #[error(
        "{program} could not create a database; if its folder is broken, set PG_BIN to another\n{output}"
    )]
    Initdb {
        /// The program.
        program: PathBuf,
        /// The end of its output.
        output: String,
    },
    /// No port could be had.
    #[error(
        "no free port on 127.0.0.1 for {server} after {attempts} attempts; end programs that listen there"
    )]
    NoPort {
        /// Which server.
        server: &'static str,
        /// How many ports were tried.
        attempts: u32,
    },
    /// A server ended by itself.
    #[error("{server} ended by itself ({status}); the end of its log says why\n{log}")]
    Died {
        /// Which server.
        server: &'static str,
        /// Its exit status, as a shell counts it.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// A server runs but does not answer.
    #[error(
        "{server} did not answer on 127.0.0.1:{port} within {seconds} s; the end of its log may say why\n{log}"
    )]
    NotReady {
        /// Which server.
        server: &'static str,
        /// The port it was given.
        port: u16,
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A server was asked to end and did not.
    #[error("{server} did not end within {seconds} s; look for it with ps and end it by hand")]
    NotStopped {
        /// Which server.
        server: &'static str,
        /// How long was waited.
        seconds: u64,
    },
}

/// Why a folder holds no PostgreSQL that can be run.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Its path cannot be made absolute.
    #[error("its path cannot be made absolute: {0}")]
    NoPath(#[source] io::Error),
    /// A program is missing.
    #[error("it has no {0}")]
    NoProgram(&'static str),
    /// The server cannot be run.
    #[error("{user} cannot run postgres: {source}")]
    NotRun {
        /// Who was to run it.
        user: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The server is too old.
    #[error("it is version {0}")]
    TooOld(u32),
    /// The server does not tell its version.
    #[error("postgres --version failed: {0}")]
    NoVersion(String),
}

impl Error {
    /// For `map_err`: the action (a verb) on this path failed.
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err`: this program could not be run.
    pub(super) fn run(program: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let program = program.into();
        move |source| Self::Run { program, source }
    }

    /// Whether the cause is that someone else took the port, so that another port may do.
    pub(super) fn port_was_taken(&self) -> bool {
        let Self::Died { log, .. } = self else {
            return false;
        };
        let log = log.to_lowercase();
        log.contains("address already in use") || log.contains("is already in use")
    }
}

/// The last lines of a program's output, enough to explain a failure.
pub(super) fn tail(output: &[u8]) -> String {
    const LINES: usize = 15;
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).copied().collect::<Vec<_>>().join("\n")
}
