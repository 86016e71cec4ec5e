//! Connects to PostgreSQL, directly or through a pooler: TLS is verified, each transaction sets what its session must be,
//! and the password may change. Must not know a table; whoever uses a [`Database`] need not know where its password comes
//! from.

mod advice;
pub mod credentials;
mod options;
mod server_error;
mod session;
mod standby;
mod statements;
mod transaction;
mod tunnel;

pub(crate) use self::advice::hint_suffix;
pub use self::advice::{advice_for, next_step};
pub use self::options::DatabaseError;
use self::options::{Target, as_login, is_local};
pub(crate) use self::server_error::{Origin, ServerError};
pub use self::session::Session;
pub use self::standby::{Standby, behind};
pub use self::statements::Between;
pub use self::transaction::{Purpose, Questions, Transaction};
pub use crate::config::{NAME_MAX_BYTES, Role, RolePrefix, Schema, quoted};

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection, PgPool};
use tokio::sync::Mutex;

use crate::config::{DatabaseAuth, DatabaseConfig, PreparedStatements};
use crate::postgres::credentials::{Login, Source};
use crate::postgres::server_error::without_values;
use crate::postgres::session::Sessions;
use crate::postgres::statements::Statements;

/// How long a batch waits for a connection, and for a first answer on it, before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after a failure to fetch credentials the next attempt waits: the old ones are still accepted.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);

/// The shortest interval between two fetches of credentials that the server refuses, for all tasks together.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// The database as the programs use it: connections, and the credentials that new ones log in with.
///
/// Cheap to clone; clones share both. A connection that is open outlives the password it logged in with.
#[derive(Clone)]
pub struct Database {
    /// For SQL that is not this crate's, and for the options that new connections are opened with.
    pool: PgPool,
    sessions: Sessions,
    schema: Arc<Schema>,
    statements: Arc<Statements>,
    /// Where to connect, without a probe.
    options: Arc<PgConnectOptions>,
    /// What is dialled in place of their host and port.
    hostaddr: Option<SocketAddr>,
    /// `None` where the password does not change.
    credentials: Option<Arc<Credentials>>,
}

struct Credentials {
    source: Source,
    /// Counts the logins, so that a task that was refused knows whether there has been another one since.
    generation: AtomicU64,
    /// Held while a login is fetched: one at a time, for all who wait.
    current: Mutex<Current>,
}

struct Current {
    login: Login,
    /// Times by the wall clock: a frozen function's other clocks may stand still.
    fetched_at: SystemTime,
    tried_at: SystemTime,
}

/// A database of at most `connections`, opened as they are needed.
///
/// Fetches the password, where `config` says that it is not in the URL, and does not connect yet. A host that is
/// not this machine is verified by its certificate (`sslmode=verify-full`) unless the URL says otherwise, and a
/// weaker mode is refused unless it is asked for by name. With `hostaddr` in the URL that address is dialled, and the host
/// stays what the certificate is verified against and a token is signed for.
///
/// # Errors
/// When the URL cannot be read or would connect unverified, and when there are no credentials.
pub async fn connect(config: &DatabaseConfig, connections: usize) -> Result<Database, DatabaseError> {
    let target = Target::of(config)?;
    let source = match &config.auth {
        DatabaseAuth::Url => return Ok(Database::of(config, target, connections)),
        DatabaseAuth::Iam => {
            if !names_a_user(config.url.expose_secret()) {
                return Err(DatabaseError::NoUser);
            }
            let options = &target.options;
            Source::iam(options.get_host(), options.get_port(), options.get_username()).await?
        }
        DatabaseAuth::Secret { arn } => Source::secret(arn).await,
    };
    connect_with(config, source, connections).await
}

/// The same, with logins of `source`, whatever `config` says of them.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(
    config: &DatabaseConfig,
    source: Source,
    connections: usize,
) -> Result<Database, DatabaseError> {
    let target = Target::of(config)?;
    let login = source.fetch_first().await?;
    let database = Database::of(config, target.with_login(&login), connections);
    let now = SystemTime::now();
    let current = Mutex::new(Current { login, fetched_at: now, tried_at: now });
    let credentials = Credentials { source, generation: AtomicU64::new(0), current };
    Ok(Database { credentials: Some(Arc::new(credentials)), ..database })
}

/// The same database as another login, whose password does not change: the same TLS rules and settings.
///
/// # Errors
/// When the URL cannot be read or would connect unverified. Does not connect yet.
pub fn connect_as(
    config: &DatabaseConfig,
    user: &str,
    password: &SecretString,
    connections: usize,
) -> Result<Database, DatabaseError> {
    let login = Login { user: user.to_owned(), password: password.clone() };
    Ok(Database::of(config, Target::of(config)?.with_login(&login), connections))
}

/// A token is signed for a user: the name of the process's own, which is the default, is never meant.
fn names_a_user(url: &str) -> bool {
    url.contains('@') || url.contains("user=")
}

impl From<PgPool> for Database {
    /// A database whose password does not change, with its tables in the schema `public` and nothing in between.
    fn from(pool: PgPool) -> Self {
        Self {
            sessions: Sessions::new(limit(&pool)),
            schema: Arc::default(),
            statements: Arc::new(PreparedStatements::Named.into()),
            options: pool.connect_options(),
            hostaddr: None,
            credentials: None,
            pool,
        }
    }
}

impl fmt::Debug for Database {
    /// Without the options, which hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Database {
    fn of(config: &DatabaseConfig, target: Target, connections: usize) -> Self {
        let Target { options, hostaddr } = target;
        let statements = Arc::new(Statements::from(config.statements));
        let pool = PgPoolOptions::new()
            .max_connections(u32::try_from(connections).unwrap_or(u32::MAX))
            .acquire_timeout(ACQUIRE_TIMEOUT);
        Self {
            pool: pool.connect_lazy_with(statements.probing(options.clone())),
            sessions: Sessions::new(connections),
            schema: Arc::new(config.schema.clone()),
            statements,
            options: Arc::new(options),
            hostaddr,
            credentials: None,
        }
    }

    /// Connections for SQL that is not this crate's, apart from its own: they say nothing of their sessions, and the tables
    /// are for [`Database::begin`]. They dial the host itself, whatever `hostaddr` says.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The same database, with connections apart from these: whoever uses them waits for none of these, nor takes one away.
    #[must_use]
    pub fn with_own_connections(&self, connections: usize) -> Self {
        Self { sessions: Sessions::new(connections), ..self.clone() }
    }

    /// Where it connects, for people: host and port, and what is dialled in their place.
    #[must_use]
    pub fn server(&self) -> String {
        tunnel::describe(&self.options, self.hostaddr)
    }

    /// Whether the server is on this machine, so that the connection needs no certificate.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_local(&self.options, self.hostaddr)
    }

    /// The schema that holds the tables.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What stands between this process and the server, as far as it is known.
    #[must_use]
    pub fn between(&self) -> Between {
        self.statements.between()
    }

    /// A connection: one that served before, or a new one. It is gone when it is dropped.
    ///
    /// # Errors
    /// As [`Database::connect_once`], and when all connections are in use for 5 seconds.
    pub async fn acquire(&self) -> Result<Session, sqlx::Error> {
        // Boxed: it is rare, and large.
        self.sessions.take(async || Box::pin(self.connect_once()).await).await
    }

    /// A new connection, which is not counted among those that are permitted. If the server refuses the login, another one
    /// is fetched at once (at most one a second) and tried, since the password may have been rotated. If a pooler refuses
    /// startup options, none are sent.
    ///
    /// # Errors
    /// When there is no connection within 5 seconds.
    pub async fn connect_once(&self) -> Result<PgConnection, sqlx::Error> {
        let (generation, probed) = (self.generation(), self.statements.probes());
        let opened = match answer_in_time(self.open()).await {
            Err(error) if self.has_another_way(&error, generation, probed).await => {
                answer_in_time(self.open()).await
            }
            opened => opened,
        };
        opened.map_err(without_values)
    }

    async fn open(&self) -> Result<PgConnection, sqlx::Error> {
        let options = self.pool.connect_options();
        let mut connection = match self.hostaddr {
            None => options.connect().await?,
            // Boxed: it is rare, and large.
            Some(address) => Box::pin(tunnel::connect(&options, address)).await?,
        };
        self.statements.ask(&mut connection).await.map(|()| connection)
    }

    /// Whether a connection that failed, with the probe or without it, may succeed now: without it, or with another login.
    async fn has_another_way(&self, error: &sqlx::Error, generation: u64, probed: bool) -> bool {
        if !probed || !self.statements.are_refused_by(error) {
            return is_refused(error) && self.has_another(generation).await;
        }
        match &self.credentials {
            Some(credentials) => {
                let current = credentials.current.lock().await;
                self.pool.set_connect_options(as_login(&self.options, &current.login));
            }
            None => self.pool.set_connect_options(self.options.as_ref().clone()),
        }
        true
    }

    /// Closes all connections: those in use when they are given back, for which it waits 5 seconds at most.
    pub async fn close(&self) {
        self.sessions.close().await;
    }

    /// Whether the database answers and has this build's schema.
    ///
    /// # Errors
    /// When the database is unavailable, refuses the login, or is not migrated.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        // As a batch begins: a server that takes no writes is not ready.
        let mut tx = self.begin(Purpose::Events).await?;
        sqlx::query("select from sync_status").fetch_optional(&mut tx).await?;
        tx.rollback().await
    }

    /// Fetches the password if it is old; cheap if not. Called before each batch where no timer runs between batches, as in
    /// Lambda. A failure is logged: the old password may still be accepted.
    pub async fn refresh_if_old(&self) {
        if let Some(credentials) = &self.credentials {
            self.refresh_if_older(credentials.source.max_age()).await;
        }
    }

    /// Keeps the password fresh for as long as the future is polled; it never completes.
    pub async fn keep_fresh(&self) -> Infallible {
        match &self.credentials {
            Some(credentials) => self.refresh_every(credentials.source.max_age()).await,
            None => std::future::pending().await,
        }
    }

    /// The same, at the given interval.
    pub async fn refresh_every(&self, interval: Duration) -> Infallible {
        loop {
            tokio::time::sleep(interval.min(FAILURE_PAUSE)).await;
            self.refresh_if_older(interval).await;
        }
    }

    async fn refresh_if_older(&self, max_age: Duration) {
        let Some(credentials) = &self.credentials else { return };
        let mut current = credentials.current.lock().await;
        let has_failed = current.tried_at != current.fetched_at;
        let may_try = !has_failed || age(current.tried_at) >= FAILURE_PAUSE;
        if age(current.fetched_at) >= max_age && may_try {
            self.renew(credentials, &mut current).await;
        }
    }

    fn generation(&self) -> u64 {
        let generation = |credentials: &Arc<Credentials>| credentials.generation.load(Ordering::SeqCst);
        self.credentials.as_ref().map(generation).unwrap_or_default()
    }

    /// Whether there is another login than `refused`, which the server refused: one that another task has fetched
    /// meanwhile, or one that is fetched now.
    async fn has_another(&self, refused: u64) -> bool {
        let Some(credentials) = &self.credentials else { return false };
        let mut current = credentials.current.lock().await;
        let is_first = credentials.generation.load(Ordering::SeqCst) == refused;
        if is_first && age(current.tried_at) >= REFUSAL_PAUSE {
            self.renew(credentials, &mut current).await;
        }
        credentials.generation.load(Ordering::SeqCst) != refused
    }

    async fn renew(&self, credentials: &Credentials, current: &mut Current) {
        current.tried_at = SystemTime::now();
        match credentials.source.fetch().await {
            Ok(login) => {
                current.fetched_at = current.tried_at;
                if login != current.login {
                    let options = self.statements.probing(as_login(&self.options, &login));
                    self.pool.set_connect_options(options);
                    credentials.generation.fetch_add(1, Ordering::SeqCst);
                    tracing::info!(database.user = login.user, "the database's credentials are new");
                    current.login = login;
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "the database's credentials could not be fetched again");
            }
        }
    }
}

/// Waits for an answer that an available server gives at once: a connection that died unseen is silent for a quarter of an
/// hour.
///
/// # Errors
/// The future's own; when there is no answer within [`ACQUIRE_TIMEOUT`], that.
pub(crate) async fn answer_in_time<T>(
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(ACQUIRE_TIMEOUT, asked).await.unwrap_or_else(|_| Err(no_answer()))
}

fn no_answer() -> sqlx::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer from the database in time").into()
}

/// How many connections a pool permits.
fn limit(pool: &PgPool) -> usize {
    usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX)
}

/// A clock that was set back makes everything old.
fn age(time: SystemTime) -> Duration {
    time.elapsed().unwrap_or(Duration::MAX)
}

/// Whether the server refused the login: 28P01 for a password, 28000 for a token of RDS ("PostgreSQL Error
/// Codes", appendix A of PostgreSQL's manual), 08P01 for whatever PgBouncer refuses.
fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("28P01" | "28000" | "08P01"))
}
