//! Takes back the deletions of users whom the pool has after all. Reads the pool and the rows, and publishes; must not
//! write to the database.
//!
//! The pool is asked as before a deletion is published. Its answer may lag, so the event is dated [`SETTLES_WITHIN`] before
//! the question that found the user: Cognito never reassigns a `sub`, so no deletion up to then was one.

use std::time::Duration;

use cognito_user_sync_triggers::event::{Data, Event, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::publish::{PublishError, Publisher};
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::cognito::user_pool::{LookUp, PoolError, UserPool};
use crate::postgres::Database;
use crate::store::maintenance::drift;

/// How old a deletion must be. Reads of the pool may lag behind it, and would find the user still there.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(15 * 60);

/// How long publishing one event may take: longer than at a sign-in, since nobody waits here.
const PUBLISH_BUDGET: Duration = Duration::from_secs(30);

/// Why a user's deletion is not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The table does not know the `sub`.
    #[error("the table has no such user: check the sub and DATABASE_URL")]
    NoRow,
    /// There is nothing to take back.
    #[error("is not deleted in the table: there is nothing to restore")]
    NotDeleted,
    /// Nothing of the person may be stored again.
    #[error("was erased, and nothing of the person is stored again: delete the user in the pool as well")]
    Erased,
    /// The row names another pool.
    #[error("is a user of the pool {0:?}: name that one with --user-pool-id")]
    OtherPool(String),
    /// The pool may not know of the deletion yet.
    #[error(
        "was deleted at {0}, less than {minutes} minutes ago, and Cognito's reads may lag behind: try again later",
        minutes = SETTLES_WITHIN.as_secs() / 60
    )]
    TooRecent(Timestamp),
    /// The pool does not have the user, by every way there is to ask.
    #[error("is not in the user pool: the deletion is right, and who signs up again is another user")]
    NotInPool,
}

/// The pool, the table or the queue failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cognito refused, or could not be reached.
    #[error("cannot read the user pool; run the same command again")]
    Pool(#[from] PoolError),
    /// The table could not be read.
    #[error("cannot read the table; run the same command again")]
    Database(#[from] sqlx::Error),
    /// The event did not reach the queue.
    #[error("the event is not on the queue; run the same command again")]
    Publish(#[from] PublishError),
}

/// One pool, the table, and the queue.
#[derive(Debug)]
pub struct Restore {
    /// The user pool.
    pub user_pool: UserPool,
    /// The table's database; a role that may only read is enough.
    pub database: Database,
    /// Sends to the queue.
    pub publisher: Publisher,
}

impl Restore {
    /// Publishes that a user is alive, if the table has it as deleted and the pool has it. Returns the event's time, or
    /// why it is not published. Idempotent.
    ///
    /// # Errors
    /// When the pool, the table or the queue fails.
    pub async fn restore(&self, sub: Uuid) -> Result<Result<Timestamp, Refusal>, Error> {
        let row = match deleted_row(drift::deletion(&self.database, sub).await?, self.user_pool.id()) {
            Ok(row) => row,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let LookUp::Present(_, asked_at) = self.user_pool.look_up(sub, row.username.as_deref()).await? else {
            return Ok(Err(Refusal::NotInPool));
        };
        let settles = u64::try_from(SETTLES_WITHIN.as_millis()).unwrap_or(u64::MAX);
        let alive_at = Timestamp::from_unix_millis(asked_at.unix_millis().saturating_sub(settles));
        let event = Event::User(restoration(self.user_pool.id(), sub, alive_at));
        self.publisher.publish(&event, PUBLISH_BUDGET).await?;
        Ok(Ok(alive_at))
    }
}

/// The row, if its deletion may be taken back as far as the table knows.
fn deleted_row(row: Option<drift::Deletion>, user_pool_id: &str) -> Result<drift::Deletion, Refusal> {
    let row = row.ok_or(Refusal::NoRow)?;
    if row.is_erased {
        return Err(Refusal::Erased);
    }
    if !row.is_deleted {
        return Err(Refusal::NotDeleted);
    }
    if let Some(other) = row.user_pool_id.as_deref().filter(|pool| *pool != user_pool_id) {
        return Err(Refusal::OtherPool(other.to_owned()));
    }
    let age = |at: Timestamp| Timestamp::now().unix_millis().saturating_sub(at.unix_millis());
    match row.last_deleted_at.filter(|at| u128::from(age(*at)) < SETTLES_WITHIN.as_millis()) {
        Some(at) => Err(Refusal::TooRecent(at)),
        None => Ok(row),
    }
}

/// The event of a user who was in the pool at `alive_at`.
fn restoration(user_pool_id: &str, sub: Uuid, alive_at: Timestamp) -> UserEvent<'static> {
    let (id, user_pool_id) = (EventId::new(alive_at), user_pool_id.to_owned().into());
    UserEvent { id, user_pool_id, sub, kind: Kind::Restored, data: Data::default() }
}
