//! Transactions: the only way in which anything is asked of the tables. What a session must be is set and checked as a
//! transaction begins, so that no pooler in between can take it away. Must not know a table.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Either, Error, Execute, Executor, Postgres, RawSql, SqlStr};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::config::Schema;
use crate::postgres::server_error::without_values;
use crate::postgres::session::{Session, Sessions};
use crate::postgres::{Database, answer_in_time, no_answer};

/// What a transaction is for: its isolation and its settings follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Records logins that report nothing new: its plans read `users` by the key only.
    Logins,
    /// Applies other events.
    Events,
    /// An operator's command that changes rows.
    Command,
    /// Reads, each statement what is committed when it begins.
    Question,
    /// Reads for a page of the console: whoever waits for it asks again sooner than it would take longer.
    Page,
    /// Reads one moment.
    Snapshot,
    /// Reads what takes longer than a batch may.
    Report,
    /// Makes or changes the schema: `user_sync_begin` may not be there yet.
    Migration,
    /// Reads catalogs, whatever the schema holds.
    Inspection,
}

/// The mark of the service's own writes; see `migrations/0012_sessions.sql`.
const MARK: &str = "versioned";

/// How long a batch's transaction may take, from its begin to its commit: a little above the server's own limit for a
/// statement. Whoever waits longer waits for a connection that died unseen, which is silent for a quarter of an hour.
pub(crate) const BATCH_LIMIT: Duration = Duration::from_secs(25);

/// What a page's statement may take: it stands on an index, or is not asked.
const PAGE_LIMITS: &str = "; set local statement_timeout = '5s'; set local lock_timeout = '1s'";

impl Purpose {
    /// How long a transaction may take before it is given up, its commit included. What goes through all of the ledger, or
    /// waits for others' locks, has none: a person waits for it, or a function that has its own.
    fn limit(self) -> Option<Duration> {
        match self {
            Self::Logins | Self::Events => Some(BATCH_LIMIT),
            Self::Page => Some(Duration::from_secs(10)),
            Self::Question | Self::Inspection => Some(Duration::from_secs(65)),
            Self::Report => Some(Duration::from_secs(10 * 60 + 5)),
            Self::Command | Self::Snapshot | Self::Migration => None,
        }
    }

    /// The statements that begin a transaction, sent in one message.
    fn begin(self, schema: &Schema) -> String {
        let isolation = match self {
            // The locks depend on it: a snapshot older than a lock would miss what the lock waited for.
            Self::Logins | Self::Events | Self::Command | Self::Migration => "read committed",
            Self::Question | Self::Page | Self::Report => "read committed read only",
            Self::Snapshot | Self::Inspection => "repeatable read read only",
        };
        let name = match self {
            Self::Logins => "logins",
            Self::Events => "events",
            Self::Command => "command",
            // As a question, and shorter: the procedure of the schema need not know pages.
            Self::Question | Self::Page => "question",
            Self::Snapshot => "snapshot",
            Self::Report => "report",
            Self::Migration | Self::Inspection => return begin_without_function(isolation, schema),
        };
        let shorter = if self == Self::Page { PAGE_LIMITS } else { "" };
        format!(
            "begin isolation level {isolation}; call {}.user_sync_begin('{name}'){shorter}",
            schema.quoted()
        )
    }
}

fn begin_without_function(isolation: &str, schema: &Schema) -> String {
    format!(
        "begin isolation level {isolation}; set local search_path to {}; set local user_sync.service = '{MARK}';
        set local statement_timeout = '60s'; set local lock_timeout = '5s'; set local synchronous_commit = on;
        set local time zone 'UTC'; set local datestyle = 'ISO, MDY'",
        schema.search_path()
    )
}

/// A transaction. One that is dropped before its end loses its connection: it may be in the middle of a statement.
#[derive(Debug)]
pub struct Transaction {
    session: Session,
    sessions: Sessions,
    /// Whether its statements are prepared by name.
    is_named: bool,
    /// When it is given up, if it has not ended by then.
    deadline: Option<Instant>,
}

impl Database {
    /// Begins a transaction, on a connection that served before if there is one. If that has died unseen, or its server
    /// takes no writes any more, another one is opened at once.
    ///
    /// # Errors
    /// When there is no connection, when the schema is not this build's, and when the session is not what it must be.
    pub async fn begin(&self, purpose: Purpose) -> Result<Transaction, Error> {
        // After a failover, every connection that is open may lead to what is a standby now.
        let mut open = self.sessions.open();
        loop {
            // From here on, whoever stops waiting loses the connection.
            let mut session = self.acquire().await?;
            // The texts are our own, and the schema is quoted.
            let begun = session.execute(sqlx::raw_sql(AssertSqlSafe(purpose.begin(&self.schema))));
            let error = match answer_in_time(begun).await {
                Ok(_) => return Ok(Transaction::of(self, session, purpose)),
                Err(error) => without_values(error),
            };
            if is_read_only(&error) && open > 0 {
                open -= 1;
            } else {
                session.discard_or_fail(error)?;
            }
        }
    }

    /// Runs one statement that cannot be in a transaction, as `create index concurrently`: sent whole, in one message, so that
    /// no pooler can come in between. It names its schema itself.
    ///
    /// # Errors
    /// When there is no connection, and when the statement fails; it may have left something half done.
    pub async fn run_alone(&self, statement: String) -> Result<(), Error> {
        let mut session = self.acquire().await?;
        session.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await.map_err(without_values)?;
        self.sessions.keep(session);
        Ok(())
    }

    /// Asks questions, each in a transaction of its own.
    #[must_use]
    pub fn questions(&self) -> Questions<'_> {
        Questions { database: self, purpose: Purpose::Question }
    }

    /// Asks a page's questions.
    #[must_use]
    pub fn pages(&self) -> Questions<'_> {
        Questions { database: self, purpose: Purpose::Page }
    }

    /// Asks questions that take longer than a batch may.
    #[must_use]
    pub fn reports(&self) -> Questions<'_> {
        Questions { database: self, purpose: Purpose::Report }
    }

    /// Asks questions of the catalogs, whether or not the schema is there.
    #[must_use]
    pub fn inspection(&self) -> Questions<'_> {
        Questions { database: self, purpose: Purpose::Inspection }
    }
}

/// 25006, `read_only_sql_transaction` ("PostgreSQL Error Codes", appendix A of PostgreSQL's manual).
fn is_read_only(error: &Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("25006")
}

impl Transaction {
    fn of(database: &Database, session: Session, purpose: Purpose) -> Self {
        Self {
            session,
            sessions: database.sessions.clone(),
            is_named: database.statements.are_named(),
            deadline: purpose.limit().map(|limit| Instant::now() + limit),
        }
    }

    /// Commits, and keeps the connection for the next transaction.
    ///
    /// # Errors
    /// When it is not known to be committed; the connection is gone then.
    pub async fn commit(self) -> Result<(), Error> {
        self.end(sqlx::raw_sql("COMMIT")).await
    }

    /// Undoes everything, and keeps the connection for the next transaction.
    ///
    /// # Errors
    /// When the server does not answer. Nothing is committed then, and the connection is gone.
    pub async fn rollback(self) -> Result<(), Error> {
        self.end(sqlx::raw_sql("ROLLBACK")).await
    }

    async fn end(mut self, statement: RawSql) -> Result<(), Error> {
        let ended = self.session.execute(statement);
        within(self.deadline, ended).await.map_err(without_values)?;
        self.sessions.keep(self.session);
        Ok(())
    }
}

/// Waits for an answer until the deadline, if there is one.
async fn within<T>(
    deadline: Option<Instant>,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match deadline {
        Some(deadline) => timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(no_answer())),
        None => answer.await,
    }
}

/// Ends an answer with an error if the server is silent until the deadline.
fn until(deadline: Option<Instant>, mut answer: Answer<'_>) -> Answer<'_> {
    let Some(deadline) = deadline else { return answer };
    let mut late = Box::pin(sleep_until(deadline));
    let next = move |context: &mut Context<'_>| match answer.poll_next_unpin(context) {
        Poll::Pending => late.as_mut().poll(context).map(|()| Some(Err(no_answer()))),
        next => next,
    };
    stream::poll_fn(next).boxed()
}

/// A query whose statement the server does not keep.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

type Answer<'e> = BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>;

impl<'t> Executor<'t> for &'t mut Transaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Answer<'e>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answer = match self.is_named {
            true => self.session.fetch_many(query),
            false => self.session.fetch_many(Unnamed(query)),
        };
        until(self.deadline, answer).map_err(without_values).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let deadline = self.deadline;
        let row = match self.is_named {
            true => self.session.fetch_optional(query),
            false => self.session.fetch_optional(Unnamed(query)),
        };
        within(deadline, row).map_err(without_values).boxed()
    }

    fn prepare_with<'e>(self, _: SqlStr, _: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        't: 'e,
    {
        not_prepared_apart()
    }
}

/// A statement that is prepared apart from its use may be prepared on another connection of a pooler's.
fn not_prepared_apart<'e>() -> BoxFuture<'e, Result<PgStatement, Error>> {
    let error = Error::Protocol("statements are prepared as they are executed, not apart".to_owned());
    std::future::ready(Err(error)).boxed()
}

/// Asks each question in a transaction of its own: outside of one, a pooler could answer with another client's statement.
#[derive(Debug, Clone, Copy)]
pub struct Questions<'d> {
    database: &'d Database,
    purpose: Purpose,
}

impl Questions<'_> {
    async fn answer<'q, E>(self, question: E) -> Result<Vec<Either<PgQueryResult, PgRow>>, Error>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let mut tx = self.database.begin(self.purpose).await?;
        let answer = tx.fetch_many(question).try_collect().await;
        // There is nothing to undo; what matters is that the transaction ends.
        let ended = tx.rollback().await;
        answer.and_then(|answer| ended.map(|()| answer))
    }
}

impl<'d> Executor<'d> for Questions<'d> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Answer<'e>
    where
        'd: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answer = self.answer(query).map_ok(|answer: Vec<_>| stream::iter(answer.into_iter().map(Ok)));
        answer.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'd: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let row = |answer: Vec<_>| answer.into_iter().find_map(Either::right);
        self.answer(query).map_ok(row).boxed()
    }

    fn prepare_with<'e>(self, _: SqlStr, _: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'd: 'e,
    {
        not_prepared_apart()
    }
}
