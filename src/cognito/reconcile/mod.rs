//! Compares the user pool with the table, and publishes the events that repair the differences. Must not write to the
//! database: the queue is the only way there.
//!
//! ListUsers and the table only raise a suspicion. AdminGetUser confirms it, and we publish its answer, with the time
//! before the request was sent.

mod checkpoint;
mod compare;
mod error;
mod groups;
mod seen;
mod spool;

use std::fmt;
use std::time::Duration;

use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::publish::Publisher;
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cognito::reconcile::checkpoint::Planned;
pub use crate::cognito::reconcile::checkpoint::{Checkpoint, Phase, Tally};
use crate::cognito::reconcile::compare::{Finding, Findings, Suspect};
pub use crate::cognito::reconcile::error::Error;
pub use crate::cognito::reconcile::groups::{GroupTally, LeftOut};
use crate::cognito::user_pool::{LookUp, Page, PoolError, UserPool, deletion};
use crate::postgres::Database;
use crate::store::maintenance::drift::{self, Kind};

/// How long publishing one event may take: longer than at a sign-in, since nobody waits here.
const PUBLISH_BUDGET: Duration = Duration::from_secs(30);

/// Requests of one kind under way at once. [`UserPool`] limits their rate.
const CONCURRENCY: usize = 8;

/// Rows that are read at once. A checkpoint is saved after each read.
const ROWS: i64 = 1_000;

/// What a reconcile does about the differences that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// Whether it publishes the events that repair them, rather than only counts them.
    pub repair: bool,
    /// Whether a row that names no pool counts as this pool's: if the pool does not have its user, it is deleted.
    pub claim_rows_without_pool: bool,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.repair { "a repair" } else { "a dry run" })?;
        f.write_str(if self.claim_rows_without_pool { " with --claim-rows-without-pool" } else { "" })
    }
}

/// One user pool and one table to compare.
#[derive(Debug)]
pub struct Reconcile {
    /// The user pool.
    pub user_pool: UserPool,
    /// The table's database; a role that may only read is enough.
    pub database: Database,
    /// Sends to the queue; `None` for a dry run.
    pub publisher: Option<Publisher>,
    /// Users that changed within this time are skipped: their events are still under way.
    pub settle: Duration,
    /// See [`Mode::claim_rows_without_pool`].
    pub claim_rows_without_pool: bool,
    /// Most deletions that a repair may publish, in all its runs together.
    pub max_deletions: u64,
    /// Whether the groups are compared, too, as far as the role may list them.
    pub groups: bool,
}

impl Reconcile {
    /// What this reconcile does about the differences that it finds.
    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode { repair: self.publisher.is_some(), claim_rows_without_pool: self.claim_rows_without_pool }
    }

    /// Refuses a table that holds another pool's users and none of this one's.
    ///
    /// # Errors
    /// [`Error::OtherPool`], or when the table cannot be read.
    pub async fn check_table(&self) -> Result<(), Error> {
        let asked = self.user_pool.id();
        match drift::another_pool(&self.database, asked).await? {
            Some(found) => Err(Error::OtherPool { found, asked: asked.to_owned() }),
            None => Ok(()),
        }
    }

    /// About how many users there are to list, and how many rows to compare.
    ///
    /// # Errors
    /// When there is no such pool, or the table cannot be read.
    pub async fn estimate(&self) -> Result<(u64, u64), Error> {
        let rows = drift::estimated_rows(&self.database).await?;
        match self.user_pool.estimated_users().await {
            Ok(users) => Ok((users.unwrap_or(rows), rows)),
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                Err(self.pool_error(error, None))
            }
            // A role may list users without being allowed to describe the pool.
            Err(_) => Ok((rows, rows)),
        }
    }

    /// Compares everything that the checkpoint does not have yet, and publishes the events that repair the differences.
    /// Idempotent. The findings are in the checkpoint afterwards. Calls `report` with its progress.
    ///
    /// # Errors
    /// When the pool, the table, the queue or the disk fails. The checkpoint is good, and the next run resumes there.
    pub async fn run(
        &self,
        checkpoint: &mut Checkpoint,
        mut report: impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        report(checkpoint.progress.phase, &checkpoint.progress.tally);
        self.publish_again(&checkpoint.progress.plan).await?;
        self.publish_changes_again(checkpoint).await?;
        if checkpoint.progress.phase == Phase::Users {
            self.compare_users(checkpoint, &mut report).await?;
        }
        if checkpoint.progress.phase == Phase::Rows {
            self.compare_rows(checkpoint, &mut report).await?;
            checkpoint.progress.phase = Phase::Groups;
        }
        self.compare_groups(checkpoint, &mut report).await
    }

    /// Lists the pool. The next page is requested while this one is compared.
    async fn compare_users(
        &self,
        checkpoint: &mut Checkpoint,
        report: &mut impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        let token = checkpoint.progress.next.clone();
        let mut listed = self.list(token.as_deref()).await?;
        loop {
            let (page, _) = &listed;
            let ahead = async {
                match &page.next {
                    Some(token) => self.list(Some(token)).await.map(Some),
                    None => Ok(None),
                }
            };
            let (findings, ahead) = tokio::join!(self.compare_page(&listed), ahead);
            let findings = findings?;
            let subs: Vec<Uuid> = page.users.iter().map(|user| user.sub).collect();
            checkpoint.see(&subs)?;
            let progress = &mut checkpoint.progress;
            progress.pages += 1;
            progress.next.clone_from(&page.next);
            if page.next.is_none() {
                progress.phase = Phase::Rows;
            }
            progress.tally.users += subs.len() as u64 + page.without_sub;
            if page.without_sub > 0 {
                *progress.tally.drift.entry(Kind::WithoutSub).or_default() += page.without_sub;
                progress.tally.only_reported += page.without_sub;
            }
            self.commit(checkpoint, &findings).await?;
            report(Phase::Users, &checkpoint.progress.tally);
            match ahead? {
                Some(next) => listed = next,
                None => return Ok(()),
            }
        }
    }

    /// Looks for each row's user among those that were listed.
    async fn compare_rows(
        &self,
        checkpoint: &mut Checkpoint,
        report: &mut impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        let mut seen = checkpoint.sorted()?;
        loop {
            let rows = drift::rows_after(&self.database, checkpoint.progress.after, ROWS).await?;
            let Some(last) = rows.last().map(|row| row.sub) else { return Ok(()) };
            let mut suspects = Vec::new();
            for row in &rows {
                if let Some(kind) = self.if_absent(row, checkpoint.progress.started_at)
                    && !seen.contains(row.sub).map_err(|error| checkpoint.failed(error))?
                {
                    let (sub, username) = (row.sub, row.username.clone());
                    suspects.push(Suspect { sub, username, modified_at: None, if_absent: Some(kind) });
                }
            }
            let findings = self.confirm(suspects).await?;
            checkpoint.progress.after = last;
            checkpoint.progress.tally.rows += rows.len() as u64;
            self.commit(checkpoint, &findings).await?;
            report(Phase::Rows, &checkpoint.progress.tally);
        }
    }

    async fn list(&self, token: Option<&str>) -> Result<(Page, Timestamp), Error> {
        let asked_at = Timestamp::now();
        let listed = self.user_pool.list(token).await;
        Ok((listed.map_err(|error| self.pool_error(error, token))?, asked_at))
    }

    fn pool_error(&self, error: PoolError, token: Option<&str>) -> Error {
        match error.code() {
            Some("ResourceNotFoundException") => Error::NoSuchPool(self.user_pool.id().to_owned()),
            Some("InvalidParameterException") if token.is_some() => Error::TokenRefused,
            _ => Error::Pool(error),
        }
    }

    /// Asks the pool about a user, whom it listed as changed at `modified_at`.
    async fn look_up(
        &self,
        sub: Uuid,
        username: Option<&str>,
        modified_at: Option<Timestamp>,
    ) -> Result<LookUp, Error> {
        let answer = match modified_at {
            Some(change) => self.user_pool.look_up_after(change, sub, username).await,
            None => self.user_pool.look_up(sub, username).await,
        };
        answer.map_err(|error| self.pool_error(error, None))
    }

    /// Records the findings, and then publishes the events that repair them.
    async fn commit(&self, checkpoint: &mut Checkpoint, findings: &Findings) -> Result<(), Error> {
        let Findings { found, settling } = findings;
        let tally = &mut checkpoint.progress.tally;
        tally.settling += settling;
        found.iter().for_each(|finding| tally.add(finding));
        if self.publisher.is_some() && tally.deletions > self.max_deletions {
            return Err(Error::TooManyDeletions { limit: self.max_deletions });
        }
        let planned = found.iter().filter(|finding| finding.event.is_some() && self.publisher.is_some());
        checkpoint.progress.plan = planned.map(Finding::plan).collect();
        checkpoint.save()?;
        self.publish(found.iter().filter_map(|finding| finding.event.clone()).map(Event::User).collect())
            .await
    }

    /// Publishes what a run that was killed had planned, with the pool's answer of now. Its counts are already saved,
    /// and publishing again does not change them.
    async fn publish_again(&self, plan: &[Planned]) -> Result<(), Error> {
        let events = futures::stream::iter(plan).map(|planned| async {
            let Planned { sub, username, modified_at, is_deletion } = planned;
            let answer = self.look_up(*sub, username.as_deref(), *modified_at).await?;
            Ok::<_, Error>(match answer {
                LookUp::Present(user, asked_at) => Some(self.snapshot(&user, asked_at, *modified_at)),
                LookUp::Absent(asked_at) => {
                    is_deletion.then(|| deletion(self.user_pool.id(), *sub, asked_at))
                }
            })
        });
        let events: Vec<_> = events.buffered(CONCURRENCY).try_collect().await?;
        self.publish(events.into_iter().flatten().map(Event::User).collect()).await
    }

    async fn publish(&self, events: Vec<Event<'static>>) -> Result<(), Error> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let send = |event| async move { publisher.publish(&event, PUBLISH_BUDGET).await };
        futures::stream::iter(events).map(send).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
        Ok(())
    }
}
