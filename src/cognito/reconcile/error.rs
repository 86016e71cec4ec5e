//! Why a reconcile ended early, and what to do about it.

use std::io;
use std::path::PathBuf;

use cognito_user_sync_triggers::publish::{PublishError, QUEUE_URL_VARIABLE};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::cognito::reconcile::Mode;
use crate::cognito::rows::{RowsError, VARIABLE};
use crate::cognito::user_pool::PoolError;
use crate::sqs::queue::QueueError;

/// Why a reconcile ended early. Its checkpoint holds what it found and published until then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cognito knows no such pool.
    #[error(
        "there is no user pool {0:?} in this account and region: check --user-pool-id, AWS_REGION and the credentials"
    )]
    NoSuchPool(String),
    /// Cognito refused, or could not be reached.
    #[error("cannot read the user pool; run the same command again to continue from here")]
    Pool(#[source] PoolError),
    /// The pagination token is too old, or not Cognito's.
    #[error("Cognito no longer accepts the pagination token of the checkpoint: begin again with --restart")]
    TokenRefused,
    /// The table could not be read.
    #[error("cannot read the table; run the same command again to continue from here")]
    Database(#[from] sqlx::Error),
    /// The function that reaches the table has no answer.
    #[error("cannot read the table by the function of {VARIABLE}")]
    Rows(#[from] RowsError),
    /// The table belongs to another pool.
    #[error(
        "the table has users of the pool {found:?} and none of {asked:?}: check --user-pool-id and DATABASE_URL, \
         or give --add-pool if this table should hold both"
    )]
    OtherPool {
        /// A pool that the table has users of.
        found: String,
        /// The pool that was asked for.
        asked: String,
    },
    /// A repair would delete more users than is permitted. Nothing of the page was published.
    #[error(
        "more than {limit} users of the table are no longer in the pool, and deletions are taken back only user by user: \
         if this is intended, run the same command again with a higher --max-deletions"
    )]
    TooManyDeletions {
        /// The permitted number.
        limit: u64,
    },
    /// An event did not reach the queue.
    #[error("an event did not reach the queue; run the same command again to continue from here")]
    Publish(#[from] PublishError),
    /// Events did not reach the queue.
    #[error("events did not reach the queue; run the same command again to continue from here")]
    Queue(#[from] QueueError),
    /// The folder of the checkpoint cannot be read or written.
    #[error("cannot keep the checkpoint in {}", folder.display())]
    Checkpoint {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This build did not write the checkpoint.
    #[error("cannot read the checkpoint in {}: discard it with --restart", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process uses the checkpoint.
    #[error(
        "another reconcile uses {}: wait until it ends, or name another folder with --checkpoint",
        folder.display()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The checkpoint belongs to a run of another kind.
    #[error(
        "{} holds the checkpoint of {mode} of {user_pool_id}, begun at {started_at}: finish that one, discard it \
         with --restart, or name another folder with --checkpoint",
        folder.display()
    )]
    OtherRun {
        /// The folder.
        folder: PathBuf,
        /// The checkpoint's pool.
        user_pool_id: String,
        /// What its run does.
        mode: Mode,
        /// When its run began.
        started_at: Timestamp,
    },
    /// The checkpoint belongs to a run that published to another queue.
    #[error(
        "{} holds the checkpoint of {mode} to the queue {queue_url}, begun at {started_at}, and this run publishes to {asked}, \
         which would lack what was published before: finish that one with the former {QUEUE_URL_VARIABLE}, discard it with \
         --restart, or name another folder with --checkpoint",
        folder.display()
    )]
    OtherQueue {
        /// The folder.
        folder: PathBuf,
        /// What its run does.
        mode: Mode,
        /// The checkpoint's queue.
        queue_url: String,
        /// The queue of this run.
        asked: String,
        /// When its run began.
        started_at: Timestamp,
    },
}

impl Error {
    /// What a run keeps of it: its class. `None` where the table is the cause.
    #[must_use]
    pub fn class(&self) -> Option<String> {
        let class = match self {
            Self::NoSuchPool(_) => "no such pool",
            Self::Pool(error) => {
                return Some(format!("Cognito: {}", error.code().unwrap_or("not available")));
            }
            Self::TokenRefused => "pagination token refused",
            Self::Database(_) => return None,
            Self::Rows(_) => "the function of the rows",
            Self::OtherPool { .. } => "another pool's table",
            Self::TooManyDeletions { .. } => "too many deletions",
            Self::Publish(_) | Self::Queue(_) => "the queue",
            Self::Checkpoint { .. }
            | Self::Unreadable { .. }
            | Self::Locked { .. }
            | Self::OtherRun { .. }
            | Self::OtherQueue { .. } => "the checkpoint",
        };
        Some(class.to_owned())
    }

    /// What the pool's answer to a request means, which may have had a pagination token.
    pub(super) fn of_pool(error: PoolError, user_pool_id: &str, token: Option<&str>) -> Self {
        match error.code() {
            Some("ResourceNotFoundException") => Self::NoSuchPool(user_pool_id.to_owned()),
            Some("InvalidParameterException") if token.is_some() => Self::TokenRefused,
            _ => Self::Pool(error),
        }
    }
}
