//! Counts users to the last one, a piece at a time: each is a statement of its own, by a key, and short. Whoever counts
//! decides how long it rests between two.

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::Row as _;
use uuid::Uuid;

use crate::postgres::{Database, Purpose, Transaction};
use crate::store::directory::{Filter, Seen, Standing, find_by_index};
use crate::store::tables::failure::StoreError;

/// Rows of a piece: some milliseconds.
const PIECE: i64 = 2_000;

/// A count that goes on. Who comes or goes meanwhile may be in it or not.
#[derive(Debug, Clone)]
pub struct Count {
    filter: Filter,
    /// What "in the last 24 hours" is meant from.
    now: Timestamp,
    after: Uuid,
    looked: u64,
    matching: u64,
}

/// How far a count is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Rows that were looked at.
    pub looked: u64,
    /// How many of them the filter shows.
    pub matching: u64,
    /// Whether these are all.
    pub is_last: bool,
}

impl Count {
    /// Of whom this filter shows, at this time.
    #[must_use]
    pub fn of(filter: Filter, now: Timestamp) -> Self {
        Self { filter, now, after: Uuid::nil(), looked: 0, matching: 0 }
    }

    /// Counts the next piece. After an error it may be asked for again.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn next(&mut self, database: &Database) -> Result<Piece, StoreError> {
        let failed = StoreError::when("counting users");
        let mut tx = database.begin(Purpose::Page).await.map_err(&failed)?;
        let piece = self.next_in(&mut tx).await.map_err(&failed)?;
        tx.rollback().await.map_err(&failed)?;
        Ok(piece)
    }

    async fn next_in(&mut self, tx: &mut Transaction) -> Result<Piece, sqlx::Error> {
        find_by_index(tx).await?;
        let statement = match self.filter.group {
            Some(_) => include_str!("count_members.sql"),
            None => include_str!("count_users.sql"),
        };
        let (since, until, _) = self.filter.times(self.now);
        let query = sqlx::query(statement).bind(self.filter.standing.map(Standing::as_stored));
        let query = query.bind(self.filter.pool.as_deref()).bind(since).bind(until);
        let query = query.bind(self.filter.seen == Some(Seen::Never)).bind(self.after).bind(PIECE);
        let query = match &self.filter.group {
            Some(group) => query.bind(group),
            None => query,
        };
        let row = query.fetch_one(tx).await?;
        let looked: i64 = row.try_get("looked")?;
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        self.looked += number(looked);
        self.matching += number(row.try_get("matching")?);
        self.after = row.try_get::<Option<Uuid>, _>("last")?.unwrap_or(self.after);
        Ok(Piece { looked: self.looked, matching: self.matching, is_last: looked < PIECE })
    }

    /// How many rows there are to look at, about; `None` where nobody knows.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn about(&self, database: &Database) -> Result<Option<u64>, StoreError> {
        if self.filter.group.is_some() {
            return Ok(None);
        }
        let failed = StoreError::when("asking how many users there are, about");
        let estimate = "select reltuples::bigint from pg_class where oid = 'users'::regclass";
        let estimate: i64 =
            sqlx::query_scalar(estimate).fetch_one(database.pages()).await.map_err(&failed)?;
        Ok(u64::try_from(estimate).ok().filter(|estimate| *estimate > 0))
    }
}
