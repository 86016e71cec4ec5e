//! The real PgBouncer in front of a server, where there is one to run: what our own pooler only plays.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

/// Names the program; the tests do not look for one, so that a run does not depend on what happens to be installed.
const VARIABLE: &str = "USER_SYNC_TEST_PGBOUNCER";

/// Runs the program until the pipe on its stdin closes, however the test ends, and removes the folder.
const WATCHDOG: &str = r#""$@" & read -r _; kill -s KILL "$!"; wait; rm -rf "$0""#;

/// Server connections in transaction mode: few, so that many clients share them.
const SHARED_CONNECTIONS: u32 = 4;

/// How long a client keeps its server connection.
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// Until it disconnects.
    Session,
    /// For a transaction; the next one may get another.
    Transaction,
}

/// The real PgBouncer, where `USER_SYNC_TEST_PGBOUNCER` names it. It ends when this is dropped, or with the test.
pub struct PgBouncer {
    url: String,
    watchdog: Child,
}

impl PgBouncer {
    /// The program, if the tests are to use it.
    pub fn program() -> Option<PathBuf> {
        std::env::var_os(VARIABLE).filter(|program| !program.is_empty()).map(PathBuf::from)
    }

    /// Starts it before the server of `url` (`postgres://user:password@host:port/database`), and lets only that user
    /// in. `ignoring` makes it drop the startup parameters `extra_float_digits` and `options`; else it refuses who sends
    /// them.
    pub async fn start(program: &Path, mode: Mode, ignoring: bool, url: &str) -> Self {
        let server = Server::parse(url).expect("postgres://user:password@host:port/database");
        let port = free_port();
        let nobody = nobody();
        let directory = tempfile::Builder::new()
            .prefix("user-sync-pgbouncer-")
            // Where we are root, the folder of temporary files may be root's alone.
            .tempdir_in(if nobody.is_some() { PathBuf::from("/tmp") } else { std::env::temp_dir() })
            .expect("a folder");
        let [settings, users, log] =
            ["pgbouncer.ini", "userlist.txt", "pgbouncer.log"].map(|name| directory.path().join(name));
        std::fs::write(&settings, server.settings(mode, ignoring, port, &users)).expect("settings");
        std::fs::write(&users, format!("\"{}\" \"{}\"\n", server.user, server.password)).expect("users");
        let output = File::create(&log).expect("a log");

        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHDOG]).arg(directory.path()).arg(program).arg(&settings);
        command.stdin(Stdio::piped()).stdout(output.try_clone().expect("a handle")).stderr(output);
        // Ctrl-C is for us: the pipe tells the watchdog.
        command.current_dir("/").process_group(0);
        if let Some((uid, gid)) = nobody {
            for path in [directory.path(), &settings, &users] {
                chown(path, Some(uid), Some(gid)).expect("nobody may have it");
            }
            command.uid(uid).gid(gid);
        }
        let watchdog = command.spawn().expect("a shell");
        // From here on the watchdog removes it.
        drop(directory.keep());
        let started = Self { url: server.through(port), watchdog };
        started.accepts(port, &log).await;
        started
    }

    /// The URL, leading through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn accepts(&self, port: u16, log: &Path) {
        const LIMIT: Duration = Duration::from_secs(20);
        let accepts = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(LIMIT, accepts).await.is_err() {
            panic!("PgBouncer does not listen: {}", std::fs::read_to_string(log).unwrap_or_default());
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        drop(self.watchdog.wait());
    }
}

/// The parts of a server's URL.
struct Server<'a> {
    user: &'a str,
    password: &'a str,
    host: &'a str,
    port: &'a str,
    /// The database, and what may follow it.
    rest: &'a str,
}

impl<'a> Server<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        let (login, place) = url.strip_prefix("postgres://")?.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (address, rest) = place.split_once('/')?;
        let (host, port) = address.rsplit_once(':')?;
        Some(Self { user, password, host, port, rest })
    }

    fn through(&self, port: u16) -> String {
        let Self { user, password, rest, .. } = self;
        format!("postgres://{user}:{password}@{}:{port}/{rest}", Ipv4Addr::LOCALHOST)
    }

    /// The whole of pgbouncer.ini ("Configuration", PgBouncer's documentation).
    fn settings(&self, mode: Mode, ignoring: bool, port: u16, users: &Path) -> String {
        let mode = match mode {
            Mode::Session => "pool_mode = session".to_owned(),
            // In turn, so that a client's next transaction has another connection. While there is a client, the pool
            // fills by one each third of a second; clients at the same time fill it at once.
            Mode::Transaction => format!(
                "pool_mode = transaction\n\
                 default_pool_size = {SHARED_CONNECTIONS}\n\
                 min_pool_size = {SHARED_CONNECTIONS}\n\
                 server_round_robin = 1"
            ),
        };
        let ignored = if ignoring { "ignore_startup_parameters = extra_float_digits,options" } else { "" };
        format!(
            "[databases]\n\
             * = host={} port={}\n\
             [pgbouncer]\n\
             listen_addr = {}\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = scram-sha-256\n\
             auth_file = {}\n\
             {mode}\n\
             {ignored}\n",
            self.host,
            self.port,
            Ipv4Addr::LOCALHOST,
            users.display(),
        )
    }
}

/// Whom it runs as where we are root, which it refuses to be.
fn nobody() -> Option<(u32, u32)> {
    let is_root = id(["-u"]) == 0;
    is_root.then(|| (id(["-u", "nobody"]), id(["-g", "nobody"])))
}

fn id<const N: usize>(arguments: [&str; N]) -> u32 {
    let answer = Command::new("id").args(arguments).output().expect("id runs");
    String::from_utf8_lossy(&answer.stdout).trim().parse().expect("a user")
}

/// A port of 127.0.0.1 below those of outgoing connections, and of the other servers.
fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..20_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
