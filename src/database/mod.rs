//! How this project connects to PostgreSQL: TLS verified, statements bounded in time, with a password that may
//! change. Whoever uses a [`Database`] need not know where its password comes from.

mod session;

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{FromRow, PgPool, Postgres};
use tokio::sync::Mutex;

use self::session::{Kept, Session};
use crate::config::{DatabaseAuth, DatabaseConfig};
use crate::credentials::{CredentialsError, Login, Source};

/// How long a batch waits for a connection, and for a first answer on it, before it counts as a database that is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after a failure old credentials wait until they are fetched again: they are not refused yet.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);

/// Refused credentials are fetched again at most so often, by all who wait together.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// What must hold whatever the role or the database is set to. Limits, because a batch that hangs must not
/// hold its locks; and what correctness stands on.
const SESSION_SETTINGS: [(&str, &str); 6] = [
    // Our own edits are not the application's; see migrations/0005_app_ownership.sql.
    ("user_sync.service", "on"),
    ("statement_timeout", "60s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "60s"),
    // The locks are thought out for it: a snapshot older than a lock would miss what the lock waited for.
    ("default_transaction_isolation", "read committed"),
    // A message is deleted after commit, so a commit must be one.
    ("synchronous_commit", "on"),
];

/// The database cannot be connected to as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// `DATABASE_URL` cannot be read. Its text is not repeated: it holds a password.
    #[error(
        "DATABASE_URL is not of the form postgres://user:password@host:5432/database?sslrootcert=/path/to/bundle.pem"
    )]
    InvalidUrl,
    /// The connection would not be encrypted.
    #[error(
        "DATABASE_URL names another host and sslmode {sslmode}, which does not verify it: \
         use sslmode=verify-full with sslrootcert, or set USER_SYNC_ALLOW_PLAINTEXT_DATABASE=true"
    )]
    Plaintext {
        /// The `sslmode` asked for.
        sslmode: String,
    },
    /// There is nobody to sign a token for.
    #[error(
        "DATABASE_URL names no user: USER_SYNC_DATABASE_AUTH=iam takes postgres://user@host:5432/database"
    )]
    NoUser,
    /// The password was not to be had.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// The database as the programs use it: connections, and the credentials that new ones log in with.
///
/// Cheap to clone; clones share both. A connection that is open outlives the password it logged in with.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    /// Connections between two batches.
    kept: Kept,
    /// `None` where the password does not change.
    credentials: Option<Arc<Credentials>>,
}

struct Credentials {
    source: Source,
    /// All but the login.
    options: PgConnectOptions,
    /// Counts the logins, so that who was refused knows whether there has been another one since.
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
/// weaker mode is refused unless it is asked for by name.
///
/// # Errors
/// When the URL cannot be read or would connect unverified, and when the credentials are not to be had.
pub async fn connect(config: &DatabaseConfig, connections: usize) -> Result<Database, DatabaseError> {
    let options = connect_options(config)?;
    let source = match &config.auth {
        DatabaseAuth::Url => return Ok(pool(options, connections).into()),
        DatabaseAuth::Iam => {
            if !names_a_user(config.url.expose_secret()) {
                return Err(DatabaseError::NoUser);
            }
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
    let options = connect_options(config)?;
    let login = source.fetch_first().await?;
    let pool = pool(with_login(&options, &login), connections);
    let now = SystemTime::now();
    let current = Mutex::new(Current { login, fetched_at: now, tried_at: now });
    let credentials = Credentials { source, options, generation: AtomicU64::new(0), current };
    Ok(Database { pool, kept: Kept::default(), credentials: Some(Arc::new(credentials)) })
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
    Ok(pool(with_login(&connect_options(config)?, &login), connections).into())
}

fn pool(options: PgConnectOptions, connections: usize) -> PgPool {
    let connections = u32::try_from(connections).unwrap_or(u32::MAX);
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
    pool.connect_lazy_with(options)
}

fn with_login(options: &PgConnectOptions, login: &Login) -> PgConnectOptions {
    options.clone().username(&login.user).password(login.password.expose_secret())
}

/// A token is signed for a user: the name of the process's own, which is the default, is never meant.
fn names_a_user(url: &str) -> bool {
    url.contains('@') || url.contains("user=")
}

impl From<PgPool> for Database {
    /// A database whose password does not change.
    fn from(pool: PgPool) -> Self {
        Self { pool, kept: Kept::default(), credentials: None }
    }
}

impl fmt::Debug for Database {
    /// Without the options, which hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Database {
    /// The connections. What is asked of it directly is not asked again after a refusal, see
    /// [`Database::acquire`].
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection. Where the server refuses the login, another one is fetched at once (at most one a second)
    /// and tried, since a password may have been rotated just now.
    ///
    /// # Errors
    /// When there is no connection to be had.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let generation = self.generation();
        match self.pool.acquire().await {
            Err(error) if is_refused(&error) && self.has_another(generation).await => {
                self.pool.acquire().await
            }
            acquired => acquired,
        }
    }

    /// A connection that served before, or else one of [`Database::acquire`]. What is done first on it may fail because
    /// it died meanwhile: see [`Session::give_up`].
    pub(crate) async fn session(&self) -> Result<Session, sqlx::Error> {
        match self.kept.take() {
            Some(session) => Ok(session),
            None => self.acquire().await.map(Session::new),
        }
    }

    /// Keeps a connection for the next batch. Nothing may be left undone on it. Where the pool has no other one to give,
    /// it goes back to the pool: somebody may wait there.
    pub(crate) fn keep(&self, session: Session) {
        if self.pool.size() < self.pool.options().get_max_connections() {
            self.kept.put(session);
        }
        // What is kept now, `close` would wait for.
        if self.pool.is_closed() {
            self.kept.clear();
        }
    }

    /// Closes all connections, and waits until they are: for those in use, until they are given back.
    pub async fn close(&self) {
        let closed = self.pool.close();
        self.kept.clear();
        closed.await;
    }

    /// Whether it answers, and as this build needs: with its schema.
    ///
    /// # Errors
    /// When it is away, refuses the login, or is not migrated.
    pub async fn answers(&self) -> Result<(), sqlx::Error> {
        self.read::<()>("select from sync_status").await.map(drop)
    }

    /// The rows of a query that changes nothing, on a connection between two batches.
    pub(crate) async fn read<T>(&self, query: &'static str) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        loop {
            let mut session = self.session().await?;
            match answer_in_time(sqlx::query_as(query).fetch_all(&mut *session)).await {
                Ok(rows) => {
                    self.keep(session);
                    return Ok(rows);
                }
                Err(error) => session.give_up(error)?,
            }
        }
    }

    /// Fetches the password if it is old; cheap if not. Before each batch where no timer runs between them, as in
    /// Lambda. A failure is logged: the password that is known may be good for a while.
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

    /// The same, at an interval of one's own.
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
            credentials.renew(&self.pool, &mut current).await;
        }
    }

    fn generation(&self) -> u64 {
        let generation = |credentials: &Arc<Credentials>| credentials.generation.load(Ordering::SeqCst);
        self.credentials.as_ref().map(generation).unwrap_or_default()
    }

    /// Whether there is another login than `refused`, which the server did not take: one that others have fetched
    /// meanwhile, or that is fetched now.
    async fn has_another(&self, refused: u64) -> bool {
        let Some(credentials) = &self.credentials else { return false };
        let mut current = credentials.current.lock().await;
        let is_first = credentials.generation.load(Ordering::SeqCst) == refused;
        if is_first && age(current.tried_at) >= REFUSAL_PAUSE {
            credentials.renew(&self.pool, &mut current).await;
        }
        credentials.generation.load(Ordering::SeqCst) != refused
    }
}

impl Credentials {
    async fn renew(&self, pool: &PgPool, current: &mut Current) {
        current.tried_at = SystemTime::now();
        match self.source.fetch().await {
            Ok(login) => {
                current.fetched_at = current.tried_at;
                if login != current.login {
                    pool.set_connect_options(with_login(&self.options, &login));
                    self.generation.fetch_add(1, Ordering::SeqCst);
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

/// What a server has to answer at once, or is away: a connection that died unseen says nothing for a quarter of an hour.
///
/// # Errors
/// The future's own; when there is no answer within [`ACQUIRE_TIMEOUT`], that.
pub(crate) async fn answer_in_time<T>(
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer from the database in time");
    tokio::time::timeout(ACQUIRE_TIMEOUT, asked).await.unwrap_or_else(|_| Err(late().into()))
}

/// A clock that was set back makes everything old.
fn age(time: SystemTime) -> Duration {
    time.elapsed().unwrap_or(Duration::MAX)
}

/// Whether the server did not take the login: 28P01 for a password, 28000 for a token of RDS ("PostgreSQL Error
/// Codes", appendix A of PostgreSQL's manual).
fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("28P01" | "28000"))
}

fn connect_options(config: &DatabaseConfig) -> Result<PgConnectOptions, DatabaseError> {
    let url = config.url.expose_secret();
    let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::InvalidUrl)?;
    let options = options.application_name("user-sync").options(SESSION_SETTINGS);
    let is_local = options.get_socket().is_some() || is_loopback(options.get_host());
    if is_local {
        return Ok(options);
    }
    let is_default = !url.contains("sslmode=") && !url.contains("ssl-mode=");
    let options = if is_default { options.ssl_mode(PgSslMode::VerifyFull) } else { options };
    match options.get_ssl_mode() {
        PgSslMode::VerifyFull | PgSslMode::VerifyCa => Ok(options),
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require
            if config.allow_plaintext =>
        {
            Ok(options)
        }
        weak @ (PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require) => {
            Err(DatabaseError::Plaintext { sslmode: format!("{weak:?}").to_lowercase() })
        }
    }
}

/// What to do about a database error; `None` where it says nothing that helps.
#[must_use]
pub fn next_step(error: &sqlx::Error) -> Option<&'static str> {
    let Some(database) = error.as_database_error() else {
        let is_away = matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed
        );
        return is_away
            .then_some("the database does not answer: `user-sync doctor` says where it is looked for");
    };
    // "PostgreSQL Error Codes", appendix A of PostgreSQL's manual.
    match database.code().as_deref() {
        Some("42501") => {
            Some("the role of DATABASE_URL may not do this: --help says whose member it has to be")
        }
        Some("28P01" | "28000") => Some(
            "check the user and the password of DATABASE_URL, or of its secret; for a token, that the role may \
             rds-db:connect as the user, and that the user is a member of rds_iam",
        ),
        Some("3D000") => Some("check the database's name in DATABASE_URL"),
        Some(code) if code.starts_with("42") || code.starts_with("3F") => {
            Some("the schema is not this build's: run `user-sync migrate`")
        }
        Some(_) | None => None,
    }
}

/// The same, as the rest of a sentence.
pub(crate) fn then(error: &sqlx::Error) -> String {
    next_step(error).map(|step| format!("; {step}")).unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.starts_with('/')
        || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mode(url: &str, allow_plaintext: bool) -> Result<PgSslMode, DatabaseError> {
        let config = DatabaseConfig { allow_plaintext, ..DatabaseConfig::with_url(url) };
        connect_options(&config).map(|options| options.get_ssl_mode())
    }

    #[test]
    fn another_host_is_verified_unless_asked_otherwise_by_name() {
        assert!(matches!(mode("postgres://u:p@db.example.com/x", false), Ok(PgSslMode::VerifyFull)));
        assert!(matches!(
            mode("postgres://u:p@db.example.com/x?sslmode=disable", true),
            Ok(PgSslMode::Disable)
        ));
        for sslmode in ["disable", "allow", "prefer", "require"] {
            let url = format!("postgres://u:p@10.0.0.1/x?sslmode={sslmode}");
            let message = mode(&url, false).unwrap_err().to_string();
            assert!(message.contains(sslmode), "{message}");
        }
    }

    #[test]
    fn this_machine_needs_no_certificate() {
        for url in ["postgres://u:p@localhost/x", "postgres://u:p@127.0.0.1:5433/x"] {
            assert!(matches!(mode(url, false), Ok(PgSslMode::Prefer)), "{url}");
        }
    }

    #[test]
    fn an_unreadable_url_is_not_repeated() {
        let message = mode("postgres://u:hunter2@[/x", false).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}
