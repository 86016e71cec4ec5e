//! Waits for locks that others hold without making others wait: each attempt lasts a moment, since whoever asks behind a
//! waiting lock waits, too. Remembers who is in the way, and gives up after a time. Must not know what is locked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::Row as _;
use time::OffsetDateTime;

use crate::postgres::Transaction;

/// How long an attempt waits for a lock: so long does everybody behind it.
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// The same of each tenth attempt: beside large batches that follow each other, a moment may never come.
const LONGER_LOCK_TIMEOUT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_secs(1);

/// After which time somebody who is in the way all the while has to be ended: less than the migrator's timeout
/// (infra/lib/cognito-user-sync.ts), so that it can still say who that is.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Attempts, one after the other.
pub(super) struct Attempts {
    pub(super) patience: Duration,
    began: Instant,
    made: u32,
    /// Who was in the way at every attempt since then; a prepared transaction has no process.
    in_the_way: BTreeMap<Option<i32>, Timestamp>,
}

impl Attempts {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, began: Instant::now(), made: 0, in_the_way: BTreeMap::new() }
    }

    /// The statement that limits the next attempt, until its transaction or its savepoint ends.
    pub(super) fn limit(&self) -> String {
        let timeout = if self.made % 10 == 9 { LONGER_LOCK_TIMEOUT } else { LOCK_TIMEOUT };
        format!("set local lock_timeout = {}", timeout.as_millis())
    }

    /// Waits for the next attempt, after one that failed; false if there is none. `tables` are those that were to be
    /// locked; `beside` says whether whoever reads or writes them is not in the way.
    pub(super) async fn again(
        &mut self,
        tx: &mut Transaction,
        tables: &[&str],
        beside: bool,
    ) -> Result<bool, sqlx::Error> {
        let holders = sqlx::query_scalar(include_str!("lock_holders.sql")).bind(tables).bind(beside);
        let holders: Vec<Option<i32>> = holders.fetch_all(&mut *tx).await?;
        self.in_the_way.retain(|pid, _| holders.contains(pid));
        for pid in holders {
            self.in_the_way.entry(pid).or_insert_with(Timestamp::now);
        }
        if self.made == 0 {
            tracing::info!(ledger.waits_for = ?self.in_the_way.keys(), "others hold the ledger's tables; trying again");
        }
        if self.began.elapsed() >= self.patience {
            return Ok(false);
        }
        self.made += 1;
        tokio::time::sleep(PAUSE).await;
        Ok(true)
    }

    /// Who has been in the way for longest.
    pub(super) async fn holder(&self, tx: &mut Transaction) -> Result<Option<Holder>, sqlx::Error> {
        let Some((pid, seen)) = self.in_the_way.iter().min_by_key(|(_, seen)| **seen) else {
            return Ok(None);
        };
        // Not of this transaction's first moment.
        sqlx::raw_sql("select pg_stat_clear_snapshot()").execute(&mut *tx).await?;
        let session = "select application_name, xact_start from pg_stat_activity where pid = $1";
        let session = sqlx::query(session).bind(pid).fetch_optional(tx).await?;
        let mut holder = Holder { pid: *pid, application: String::new(), since: *seen, is_since_then: false };
        if let Some(session) = session {
            holder.application = session.try_get::<Option<String>, _>(0)?.unwrap_or_default();
            // Of another role's session only members of pg_read_all_stats see it.
            if let Some(began) = session.try_get::<Option<OffsetDateTime>, _>(1)? {
                (holder.since, holder.is_since_then) = (began.into(), true);
            }
        }
        Ok(Some(holder))
    }
}

/// A transaction that holds locks for long. Never what it asked: that may quote values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The server's process; `None` is a prepared transaction.
    pub pid: Option<i32>,
    /// What the client calls itself.
    pub application: String,
    /// When the transaction began, or when it was first seen.
    pub since: Timestamp,
    /// Whether that is when it began.
    pub is_since_then: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(pid) = self.pid else {
            return write!(f, "a prepared transaction (see pg_prepared_xacts) holds locks on it");
        };
        let application = if self.application.is_empty() { "without a name" } else { &self.application };
        let since = if self.is_since_then { "since" } else { "at least since" };
        write!(
            f,
            "the transaction of process {pid} (application {application}) holds locks on it {since} {}",
            self.since
        )
    }
}
