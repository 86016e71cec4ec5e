//! Publishes everybody in the pool, and who is in which group, where the table cannot be asked: the first fill. Must not
//! know the database.
//!
//! An answer of the pool may lag, so each event is dated before its question, and overrules nothing that the table has
//! learnt since: neither what a sign-in said, nor that somebody left a group. A deletion and an erasure always win.

use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, EventId, GroupChange, GroupEvent, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::cognito::reconcile::spool::Spool;
use crate::cognito::reconcile::{Checkpoint, Error, LeftOut, Mode, PUBLISH_BUDGET, Phase, Tally};
use crate::cognito::user_pool::{Members, Page, UserPool};
use crate::sqs::send::Sender;
use crate::store::maintenance::drift::Kind;

/// One user pool, and the queue.
#[derive(Debug)]
pub struct PublishAll {
    /// The user pool.
    pub user_pool: UserPool,
    /// Sends to the queue.
    pub sender: Sender,
    /// How long before a question its answer is dated: what the pool knows is surely of then.
    pub settle: Duration,
    /// Whether the memberships are published, too, as far as the role may list them.
    pub groups: bool,
}

/// A page of users, and when it was asked for.
struct Listed {
    page: Page,
    asked_at: Timestamp,
}

impl PublishAll {
    /// How its checkpoint is told from others.
    pub const MODE: Mode = Mode { repair: false, claim_rows_without_pool: false, publish_all: true };

    /// About how many users the pool has; `None` where Cognito does not say.
    ///
    /// # Errors
    /// When there is no such pool.
    pub async fn estimate(user_pool: &UserPool) -> Result<Option<u64>, Error> {
        match user_pool.estimated_users().await {
            Ok(users) => Ok(users),
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                Err(Error::of_pool(error, user_pool.id(), None))
            }
            // A role may list users without being allowed to describe the pool.
            Err(_) => Ok(None),
        }
    }

    /// Publishes what the checkpoint does not have yet. A page counts when all of it is on the queue; who is published
    /// again, by a run that was killed in between, is as if once. Calls `report` with its progress.
    ///
    /// # Errors
    /// When the pool, the queue or the disk fails. The checkpoint is good, and the next run resumes there.
    pub async fn run(
        &self,
        checkpoint: &mut Checkpoint,
        mut report: impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        let kept = self.user_pool.keep_requests_in(checkpoint.journal()?);
        kept.map_err(|error| checkpoint.failed(error))?;
        report(checkpoint.progress.phase, &checkpoint.progress.tally);
        if checkpoint.progress.phase == Phase::Users {
            self.publish_users(checkpoint, &mut report).await?;
        }
        let left_out = match self.groups {
            false => Some(LeftOut::NotAsked),
            true => LeftOut::of(self.publish_groups(checkpoint, &mut report).await)?,
        };
        checkpoint.progress.tally.groups.left_out = left_out;
        checkpoint.save()
    }

    /// Lists the pool. The next page is requested while this one is sent.
    async fn publish_users(
        &self,
        checkpoint: &mut Checkpoint,
        report: &mut impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        let mut listed = self.list(checkpoint.progress.next.as_deref()).await?;
        loop {
            let Listed { page, asked_at } = &listed;
            let snapshots = page.users.iter().map(|user| -> UserEvent<'static> {
                let at = user.true_at(*asked_at, self.settle, None);
                user.snapshot(self.user_pool.id(), at)
            });
            let snapshots: Vec<Event<'static>> = snapshots.map(Event::User).collect();
            let ahead = async {
                match &page.next {
                    Some(token) => self.list(Some(token)).await.map(Some),
                    None => Ok(None),
                }
            };
            let (sent, ahead) = tokio::join!(self.publish(&snapshots), ahead);
            sent?;
            let progress = &mut checkpoint.progress;
            progress.pages += 1;
            progress.next.clone_from(&page.next);
            progress.tally.users += page.users.len() as u64 + page.without_sub;
            progress.tally.snapshots += page.users.len() as u64;
            if page.without_sub > 0 {
                *progress.tally.drift.entry(Kind::WithoutSub).or_default() += page.without_sub;
            }
            if page.next.is_none() {
                progress.phase = Phase::Groups;
            }
            checkpoint.save()?;
            report(Phase::Users, &checkpoint.progress.tally);
            match ahead? {
                Some(next) => listed = next,
                None => return Ok(()),
            }
        }
    }

    async fn list(&self, token: Option<&str>) -> Result<Listed, Error> {
        let asked_at = Timestamp::now();
        let listed = self.user_pool.list(token).await;
        let page = listed.map_err(|error| Error::of_pool(error, self.user_pool.id(), token))?;
        Ok(Listed { page, asked_at })
    }

    async fn publish_groups(
        &self,
        checkpoint: &mut Checkpoint,
        report: &mut impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        let mut spool = checkpoint.spool()?;
        if checkpoint.progress.walk.listed_at.is_none() {
            let asked_at = Timestamp::now();
            let listed = self.user_pool.all_groups().await;
            let names = listed.map_err(|error| Error::of_pool(error, self.user_pool.id(), None))?;
            checkpoint.progress.tally.groups.groups = names.len() as u64;
            spool.list(names).map_err(|error| checkpoint.failed(error))?;
            checkpoint.progress.walk.listed_at = Some(asked_at);
            checkpoint.save()?;
        }
        while let Some(group) = spool.names.get(checkpoint.progress.walk.group as usize).cloned() {
            self.publish_members(checkpoint, &mut spool, &group).await?;
            report(Phase::Groups, &checkpoint.progress.tally);
        }
        Ok(())
    }

    /// The next page of a group's members.
    async fn publish_members(
        &self,
        checkpoint: &mut Checkpoint,
        spool: &mut Spool,
        group: &str,
    ) -> Result<(), Error> {
        let token = checkpoint.progress.walk.next.clone();
        let listed = self.user_pool.members(group, token.as_deref()).await;
        let listed = listed.map_err(|error| Error::of_pool(error, self.user_pool.id(), token.as_deref()))?;
        // Deleted since it was listed, if there is none.
        let members = listed.unwrap_or(Members { subs: Vec::new(), next: None, asked_at: Timestamp::now() });
        let Members { subs, next, asked_at } = members;
        let settle = u64::try_from(self.settle.as_millis()).unwrap_or(u64::MAX);
        let at = Timestamp::from_unix_millis(asked_at.unix_millis().saturating_sub(settle));
        let joined = subs.iter().map(|sub| {
            let (user_pool_id, group) = (self.user_pool.id().to_owned().into(), group.to_owned().into());
            let change = GroupChange::Joined(*sub);
            Event::Group(GroupEvent { id: EventId::new(at), user_pool_id, group, change })
        });
        self.publish(&joined.collect::<Vec<_>>()).await?;
        let progress = &mut checkpoint.progress;
        progress.tally.groups.members += subs.len() as u64;
        progress.tally.groups.joined += subs.len() as u64;
        match next {
            Some(token) => progress.walk.next = Some(token),
            None => {
                progress.tally.groups.walked += 1;
                let ended = spool.end_group(&mut progress.walk, Some(asked_at));
                ended.map_err(|error| checkpoint.failed(error))?;
            }
        }
        checkpoint.save()
    }

    async fn publish(&self, events: &[Event<'static>]) -> Result<(), Error> {
        let bodies: Vec<String> = events.iter().map(Event::encode).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let sent = self.sender.send(&bodies, PUBLISH_BUDGET).await;
        Ok(sent.into_iter().collect::<Result<(), _>>()?)
    }
}
