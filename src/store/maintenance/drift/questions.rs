//! The questions of a comparison, as they travel to whoever reaches the database: snapshots go in, and what differs comes
//! out. Must not know how they travel.
//!
//! A snapshot is personal data. So nothing here can be printed.

use std::borrow::Cow;

use cognito_user_sync_triggers::event::{Data, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::logging::causes;
use crate::postgres::Database;
use crate::store::maintenance::drift::memberships::{self, Membership, Outside};
use crate::store::maintenance::drift::{self, Drift, Row};
use crate::store::maintenance::heartbeat::{self, Arrival};
use crate::store::runs::{self, Note};

/// Most rows of one answer, whatever is asked: some 700 kB.
const ROWS_MAX: i64 = 1_000;

/// A question about rows. What each means, the function of the same name says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question<'a> {
    /// Answered by `null`, or the pool's id.
    AnotherPool {
        /// The pool that is compared.
        #[serde(borrow)]
        user_pool_id: Cow<'a, str>,
    },
    /// Answered by a number.
    EstimatedRows {},
    /// Answered by [`Row`]s. They have a user name only where the pool may have to be asked for it.
    RowsAfter {
        /// The pool that is compared.
        #[serde(borrow)]
        user_pool_id: Cow<'a, str>,
        /// The last row that is known.
        after: Uuid,
        /// Most rows.
        limit: i64,
    },
    /// Answered by [`Drift`]s.
    Compare {
        /// The pool that all of them are of.
        #[serde(borrow)]
        user_pool_id: Cow<'a, str>,
        /// What the pool says.
        #[serde(borrow)]
        snapshots: Vec<Snapshot<'a>>,
    },
    /// Answered by `true` or `false`.
    GroupsAreKept {},
    /// Answered by [`Outside`]s.
    Outside {
        /// The pool that is compared.
        #[serde(borrow)]
        user_pool_id: Cow<'a, str>,
        /// The group's name.
        #[serde(borrow)]
        group: Cow<'a, str>,
        /// Whom the pool lists in it.
        listed: Cow<'a, [Uuid]>,
    },
    /// Answered by [`Membership`]s.
    MembershipsAfter {
        /// The pool that is compared.
        #[serde(borrow)]
        user_pool_id: Cow<'a, str>,
        /// The user of the last membership that is known.
        sub: Uuid,
        /// Its group.
        #[serde(borrow)]
        group: Cow<'a, str>,
        /// Most memberships.
        limit: i64,
    },
    /// Answered by an [`Arrival`].
    Heartbeat(EventId),
    /// Writes down how whoever asks goes on; answered by whether it is written. The release before does not know it.
    NoteRun(Note),
}

/// What the pool says of a user.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot<'a> {
    id: EventId,
    sub: Uuid,
    #[serde(borrow)]
    data: Data<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified_at: Option<Timestamp>,
}

impl<'a> Snapshot<'a> {
    /// The snapshot, and when the pool says that the user was last modified.
    #[must_use]
    pub fn of(event: &UserEvent<'a>, modified_at: Option<Timestamp>) -> Self {
        Self { id: event.id, sub: event.sub, data: event.data.clone(), modified_at }
    }
}

/// The answer to a question; as JSON, what is in it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Question::AnotherPool`].
    Pool(Option<String>),
    /// To [`Question::EstimatedRows`].
    Count(u64),
    /// To [`Question::RowsAfter`].
    Rows(Vec<Row>),
    /// To [`Question::Compare`].
    Drifts(Vec<Drift>),
    /// To [`Question::GroupsAreKept`] and [`Question::NoteRun`].
    Are(bool),
    /// To [`Question::Outside`].
    Outside(Vec<Outside>),
    /// To [`Question::MembershipsAfter`].
    Memberships(Vec<Membership>),
    /// To [`Question::Heartbeat`].
    Arrival(Arrival),
}

/// Answers a question by the database. Changes no row of anybody's.
///
/// # Errors
/// When the database cannot be read.
pub async fn answer(database: &Database, question: Question<'_>) -> Result<Answer, sqlx::Error> {
    let bounded = |limit: i64| limit.clamp(1, ROWS_MAX);
    Ok(match question {
        Question::AnotherPool { user_pool_id } => {
            Answer::Pool(drift::another_pool(database, &user_pool_id).await?)
        }
        Question::EstimatedRows {} => Answer::Count(drift::estimated_rows(database).await?),
        Question::RowsAfter { user_pool_id, after, limit } => {
            let mut rows = drift::rows_after(database, after, bounded(limit)).await?;
            for row in rows.iter_mut().filter(|row| !may_be_gone(row, &user_pool_id)) {
                row.username = None;
            }
            Answer::Rows(rows)
        }
        Question::Compare { user_pool_id, snapshots } => {
            let event = |Snapshot { id, sub, data, modified_at }| {
                let user_pool_id = user_pool_id.as_ref().to_owned().into();
                (UserEvent { id, user_pool_id, sub, kind: Kind::Snapshot, data }, modified_at)
            };
            let events: Vec<_> = snapshots.into_iter().map(event).collect();
            let read: Vec<_> = events.iter().map(|(event, modified_at)| (event, *modified_at)).collect();
            Answer::Drifts(drift::compare(database, &read).await?)
        }
        Question::GroupsAreKept {} => Answer::Are(memberships::are_kept(database).await?),
        Question::Outside { user_pool_id, group, listed } => {
            Answer::Outside(memberships::outside(database, &user_pool_id, &group, &listed).await?)
        }
        Question::MembershipsAfter { user_pool_id, sub, group, limit } => {
            let page = memberships::after(database, &user_pool_id, (sub, &group), bounded(limit)).await?;
            Answer::Memberships(page)
        }
        Question::Heartbeat(id) => Answer::Arrival(heartbeat::arrival(database, id).await?),
        Question::NoteRun(note) => Answer::Are(is_written(database, &note).await),
    })
}

/// Whoever runs goes on, whatever becomes of the note.
async fn is_written(database: &Database, note: &Note) -> bool {
    match runs::write(database, note).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error = causes(&error), "a run is not written down");
            false
        }
    }
}

/// Whether the pool may have to be asked for the row's user.
fn may_be_gone(row: &Row, user_pool_id: &str) -> bool {
    !row.is_deleted && row.user_pool_id.as_deref().is_none_or(|pool| pool == user_pool_id)
}
