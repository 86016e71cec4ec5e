//! Compares the user pool with the table, and publishes the events that repair the differences. Must not write to the
//! database: the queue is the only way there.
//!
//! A page of users is compared with their rows. Who has no row is published from it, and who differs is confirmed by a second
//! answer. ListUsers may lag: an answer is dated so that it overrules nothing that the table has learnt in the last moments.

mod checkpoint;
mod compare;
mod error;
mod findings;
mod groups;
mod publish_all;
mod ranges;
mod rows;
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
use crate::cognito::reconcile::compare::{Finding, Findings, Question, Suspect};
pub use crate::cognito::reconcile::error::Error;
pub use crate::cognito::reconcile::findings::findings;
pub use crate::cognito::reconcile::groups::{GroupTally, LeftOut};
pub use crate::cognito::reconcile::publish_all::PublishAll;
pub use crate::cognito::reconcile::ranges::{Range, RangeWalk, Walked};
pub use crate::cognito::reconcile::rows::Rows;
use crate::cognito::user_pool::{LookUp, Page, PoolError, UserPool, deletion};
use crate::store::maintenance::drift::Kind;

/// How long publishing one event may take: longer than at a sign-in, since nobody waits here.
const PUBLISH_BUDGET: Duration = Duration::from_secs(30);

/// Messages on their way to the queue at once.
const CONCURRENCY: usize = 8;

/// Rows that are read at once.
const ROWS: i64 = 1_000;

/// Rows after which a checkpoint is saved, and users after whom: to ask for them takes a pause, once for all of them.
const ROWS_AT_ONCE: u64 = 100_000;
const SUSPECTS_AT_ONCE: usize = 1_000;

/// What a reconcile does about the differences that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// Whether it publishes the events that repair them, rather than only counts them.
    pub repair: bool,
    /// Whether a row that names no pool counts as this pool's: if the pool does not have its user, it is deleted.
    pub claim_rows_without_pool: bool,
    /// Whether it compares nothing and publishes every user: [`PublishAll`].
    #[serde(default)]
    pub publish_all: bool,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.publish_all {
            return f.write_str("--publish-all");
        }
        f.write_str(if self.repair { "a repair" } else { "a dry run" })?;
        f.write_str(if self.claim_rows_without_pool { " with --claim-rows-without-pool" } else { "" })
    }
}

/// One user pool and one table to compare.
#[derive(Debug)]
pub struct Reconcile {
    /// The user pool.
    pub user_pool: UserPool,
    /// The table.
    pub rows: Rows,
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

/// A request for a page of users, which can be sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The digits that the users' subs begin with; none for all users.
    range: Option<String>,
    /// The pagination token; none for the first page.
    token: Option<String>,
}

/// A page of users, and the request for it.
#[derive(Debug)]
struct Listed {
    page: Page,
    asked: Asked,
    /// Before the request was sent.
    asked_at: Timestamp,
}

impl Listed {
    /// The request for the next page; none after the last one.
    fn next(&self) -> Option<Asked> {
        let token = self.page.next.clone()?;
        Some(Asked { range: self.asked.range.clone(), token: Some(token) })
    }
}

impl Reconcile {
    /// What this reconcile does about the differences that it finds.
    #[must_use]
    pub fn mode(&self) -> Mode {
        let claim_rows_without_pool = self.claim_rows_without_pool;
        Mode { repair: self.publisher.is_some(), claim_rows_without_pool, publish_all: false }
    }

    /// Refuses a table that holds another pool's users and none of this one's.
    ///
    /// # Errors
    /// [`Error::OtherPool`], or when the table cannot be read.
    pub async fn check_table(&self) -> Result<(), Error> {
        let asked = self.user_pool.id();
        match self.rows.another_pool(asked).await? {
            Some(found) => Err(Error::OtherPool { found, asked: asked.to_owned() }),
            None => Ok(()),
        }
    }

    /// About how many users there are to list, and how many rows to compare.
    ///
    /// # Errors
    /// When there is no such pool, or the table cannot be read.
    pub async fn estimate(&self) -> Result<(u64, u64), Error> {
        let rows = self.rows.estimate().await?;
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
        let kept = self.user_pool.keep_requests_in(checkpoint.journal()?);
        kept.map_err(|error| checkpoint.failed(error))?;
        self.publish_again(&checkpoint.progress.plan, checkpoint.progress.plan_page.as_ref()).await?;
        self.publish_changes_again(checkpoint).await?;
        if checkpoint.progress.phase == Phase::Users {
            // Boxed: two pages are under way.
            Box::pin(self.compare_users(checkpoint, &mut report)).await?;
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
        let mut listed = self.list(Asked { token, ..Asked::default() }).await?;
        loop {
            let (findings, ahead) = tokio::join!(self.compare_page(&listed), self.list_next(&listed));
            let page = &listed.page;
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
            self.commit(checkpoint, &findings, Some(&listed.asked)).await?;
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
        let (mut suspects, mut after, mut read) = (Vec::new(), checkpoint.progress.after, 0);
        loop {
            let rows = self.rows.after(self.user_pool.id(), after, ROWS).await?;
            for row in &rows {
                if let Some(kind) = self.if_absent(row, checkpoint.progress.started_at)
                    && !seen.contains(row.sub).map_err(|error| checkpoint.failed(error))?
                {
                    suspects.push(Suspect::of(row, kind));
                }
            }
            after = rows.last().map_or(after, |row| row.sub);
            read += rows.len() as u64;
            if rows.is_empty() || read >= ROWS_AT_ONCE || suspects.len() >= SUSPECTS_AT_ONCE {
                let findings = self.confirm(std::mem::take(&mut suspects), None).await?;
                checkpoint.progress.after = after;
                checkpoint.progress.tally.rows += std::mem::take(&mut read);
                self.commit(checkpoint, &findings, None).await?;
                report(Phase::Rows, &checkpoint.progress.tally);
            }
            if rows.is_empty() {
                return Ok(());
            }
        }
    }

    async fn list(&self, asked: Asked) -> Result<Listed, Error> {
        let asked_at = Timestamp::now();
        let token = asked.token.as_deref();
        let listed = match &asked.range {
            Some(digits) => self.user_pool.list_range(digits, token).await,
            None => self.user_pool.list(token).await,
        };
        let page = listed.map_err(|error| self.pool_error(error, token))?;
        Ok(Listed { page, asked, asked_at })
    }

    /// The page after this one, if there is one.
    async fn list_next(&self, listed: &Listed) -> Result<Option<Listed>, Error> {
        match listed.next() {
            Some(asked) => self.list(asked).await.map(Some),
            None => Ok(None),
        }
    }

    fn pool_error(&self, error: PoolError, token: Option<&str>) -> Error {
        Error::of_pool(error, self.user_pool.id(), token)
    }

    async fn look_up(&self, question: &Question<'_>) -> Result<LookUp, Error> {
        let Question { sub, username, modified_at } = *question;
        let answer = match modified_at {
            Some(change) => self.user_pool.look_up_after(change, sub, username).await,
            None => self.user_pool.look_up(sub, username).await,
        };
        answer.map_err(|error| self.pool_error(error, None))
    }

    /// Records the findings, and then publishes the events that repair them. `page` is the one that has them, if one has.
    async fn commit(
        &self,
        checkpoint: &mut Checkpoint,
        findings: &Findings,
        page: Option<&Asked>,
    ) -> Result<(), Error> {
        let tally = &mut checkpoint.progress.tally;
        tally.add_all(findings);
        if self.publisher.is_some() && tally.deletions > self.max_deletions {
            return Err(Error::TooManyDeletions { limit: self.max_deletions });
        }
        let found = &findings.found;
        let planned = found.iter().filter(|finding| finding.event.is_some() && self.publisher.is_some());
        checkpoint.progress.plan = planned.map(Finding::plan).collect();
        checkpoint.progress.plan_page = page.cloned();
        checkpoint.save()?;
        self.publish(found.iter().filter_map(|finding| finding.event.clone()).map(Event::User).collect())
            .await
    }

    /// Publishes what a run that was killed had planned, with the pool's answer of now. Its counts are already saved,
    /// and publishing again does not change them.
    async fn publish_again(&self, plan: &[Planned], page: Option<&Asked>) -> Result<(), Error> {
        let answers = self.ask(plan.iter().map(Planned::question).collect(), page).await?;
        let event = |(planned, answer): (&Planned, LookUp)| match answer {
            LookUp::Present(user, asked_at) => Some(self.snapshot(&user, asked_at, planned.modified_at)),
            LookUp::Absent(asked_at) => {
                planned.is_deletion.then(|| deletion(self.user_pool.id(), planned.sub, asked_at))
            }
        };
        let events: Vec<_> = plan.iter().zip(answers).filter_map(event).map(Event::User).collect();
        self.publish(events).await
    }

    async fn publish(&self, events: Vec<Event<'static>>) -> Result<(), Error> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let send = |event| async move { publisher.publish(&event, PUBLISH_BUDGET).await };
        futures::stream::iter(events).map(send).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
        Ok(())
    }
}
