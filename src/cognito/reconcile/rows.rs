//! The table as a reconcile sees it: the database, or a function inside the VPC that asks it. Both say the same.

use cognito_user_sync_triggers::event::UserEvent;
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::cognito::reconcile::Error;
use crate::cognito::rows::RowsFunction;
use crate::postgres::Database;
use crate::store::maintenance::drift::memberships::{self, Membership, Outside};
use crate::store::maintenance::drift::questions::{Question, Snapshot};
use crate::store::maintenance::drift::{self, Drift, Row};

/// Most bytes of the snapshots of one question: Lambda takes 6 MB ("Lambda quotas"). A user who differs costs the answer some
/// hundred bytes.
const SNAPSHOTS_MAX_BYTES: usize = 5_000_000;

/// Most snapshots of one question: the function holds all of these rows at once.
const SNAPSHOTS_MAX: usize = 250;

/// Where the rows are.
#[derive(Debug)]
pub enum Rows {
    /// A role that may only read is enough.
    Database(Database),
    /// The function that reaches the database.
    Function(RowsFunction),
}

impl From<Database> for Rows {
    fn from(database: Database) -> Self {
        Self::Database(database)
    }
}

impl Rows {
    /// See [`drift::another_pool`].
    pub(super) async fn another_pool(&self, user_pool_id: &str) -> Result<Option<String>, Error> {
        match self {
            Self::Database(database) => Ok(drift::another_pool(database, user_pool_id).await?),
            Self::Function(function) => {
                let user_pool_id = user_pool_id.into();
                Ok(function.ask(&Question::AnotherPool { user_pool_id }).await?)
            }
        }
    }

    /// See [`drift::estimated_rows`].
    pub(super) async fn estimate(&self) -> Result<u64, Error> {
        match self {
            Self::Database(database) => Ok(drift::estimated_rows(database).await?),
            Self::Function(function) => Ok(function.ask(&Question::EstimatedRows {}).await?),
        }
    }

    /// See [`drift::rows_after`]. The function leaves out the names of users of whom a comparison with this pool never asks.
    pub(super) async fn after(&self, user_pool_id: &str, after: Uuid, limit: i64) -> Result<Vec<Row>, Error> {
        match self {
            Self::Database(database) => Ok(drift::rows_after(database, after, limit).await?),
            Self::Function(function) => {
                let user_pool_id = user_pool_id.into();
                Ok(function.ask(&Question::RowsAfter { user_pool_id, after, limit }).await?)
            }
        }
    }

    /// See [`drift::compare`]. All snapshots are of one pool.
    pub(super) async fn compare(
        &self,
        snapshots: &[(&UserEvent<'_>, Option<Timestamp>)],
    ) -> Result<Vec<Drift>, Error> {
        let function = match self {
            Self::Database(database) => return Ok(drift::compare(database, snapshots).await?),
            Self::Function(function) => function,
        };
        let Some((first, _)) = snapshots.first() else { return Ok(Vec::new()) };
        let mut drifts = Vec::new();
        for part in parts(snapshots.iter().map(|(event, modified_at)| Snapshot::of(event, *modified_at))) {
            let user_pool_id = first.user_pool_id.as_str().into();
            let question = Question::Compare { user_pool_id, snapshots: part };
            drifts.append(&mut function.ask(&question).await?);
        }
        Ok(drifts)
    }

    /// See [`memberships::are_kept`].
    pub(super) async fn groups_are_kept(&self) -> Result<bool, Error> {
        match self {
            Self::Database(database) => Ok(memberships::are_kept(database).await?),
            Self::Function(function) => Ok(function.ask(&Question::GroupsAreKept {}).await?),
        }
    }

    /// See [`memberships::outside`].
    pub(super) async fn outside(
        &self,
        user_pool_id: &str,
        group: &str,
        listed: &[Uuid],
    ) -> Result<Vec<Outside>, Error> {
        match self {
            Self::Database(database) => {
                Ok(memberships::outside(database, user_pool_id, group, listed).await?)
            }
            Self::Function(function) => {
                let (user_pool_id, group, listed) = (user_pool_id.into(), group.into(), listed.into());
                Ok(function.ask(&Question::Outside { user_pool_id, group, listed }).await?)
            }
        }
    }

    /// See [`memberships::after`].
    pub(super) async fn memberships_after(
        &self,
        user_pool_id: &str,
        (sub, group): (Uuid, &str),
        limit: i64,
    ) -> Result<Vec<Membership>, Error> {
        match self {
            Self::Database(database) => {
                Ok(memberships::after(database, user_pool_id, (sub, group), limit).await?)
            }
            Self::Function(function) => {
                let (user_pool_id, group) = (user_pool_id.into(), group.into());
                Ok(function.ask(&Question::MembershipsAfter { user_pool_id, sub, group, limit }).await?)
            }
        }
    }
}

/// The snapshots in parts that fit into one question each. One alone always fits: Cognito's attributes have 2,048 characters,
/// and a user has some 70 of them at most.
fn parts<'a>(snapshots: impl Iterator<Item = Snapshot<'a>>) -> Vec<Vec<Snapshot<'a>>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for snapshot in snapshots {
        let own = serde_json::to_vec(&snapshot).map_or(SNAPSHOTS_MAX_BYTES, |json| json.len() + 1);
        if part.len() == SNAPSHOTS_MAX || (bytes + own > SNAPSHOTS_MAX_BYTES && !part.is_empty()) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += own;
        part.push(snapshot);
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cognito_user_sync_triggers::event::{Data, EventId, Kind};

    #[test]
    fn a_question_is_never_larger_than_lambda_takes_and_nobody_is_left_out() {
        // 50 attributes of 2,048 characters, each of which JSON writes as six bytes.
        let attributes = (0..50).map(|n| (format!("custom:{n}").into(), "\u{1}".repeat(2_048).into()));
        let data = Data { attributes: attributes.collect(), ..Data::default() };
        let at = Timestamp::from_unix_millis(1_700_000_000_000);
        let event = |sub: u128, data: &Data<'static>| UserEvent {
            id: EventId::new(at),
            user_pool_id: "eu-west-1_Test00000".into(),
            sub: Uuid::from_u128(sub),
            kind: Kind::Snapshot,
            data: data.clone(),
        };
        for (data, users, largest) in [(data, 60, 8), (Data::default(), 600, SNAPSHOTS_MAX)] {
            let events: Vec<_> = (0..users).map(|sub| event(sub, &data)).collect();
            let parts = parts(events.iter().map(|event| Snapshot::of(event, Some(at))));
            assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= largest));
            let sizes = parts.iter().map(|part| serde_json::to_vec(part).unwrap().len());
            assert!(sizes.max().unwrap() < 5_100_000);
            assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), usize::try_from(users).unwrap());
        }
    }
}
