//! Compares who is in which group with what the tables know, and publishes what differs by user and group. Must not
//! write to the database.
//!
//! A reading of a group is no event. Who is listed was in the group when the page was asked for; who is listed on no
//! page was not in it when the first one was.

use std::collections::HashMap;
use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, EventId, GroupChange, GroupEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cognito::reconcile::spool::{Members, Spool};
use crate::cognito::reconcile::{Checkpoint, Error, Phase, ROWS, Reconcile, Tally};
use crate::cognito::user_pool;
use crate::store::maintenance::drift::memberships::{Membership, Outside};

/// What was found of the groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupTally {
    /// Why they were not compared, if they were not.
    pub left_out: Option<LeftOut>,
    /// Groups that the pool listed.
    pub groups: u64,
    /// Groups whose members were listed.
    pub walked: u64,
    /// Memberships that the pool listed.
    pub members: u64,
    /// Memberships of the tables that were compared with them.
    pub compared: u64,
    /// Memberships that the tables do not show.
    pub joined: u64,
    /// Those of them in a group `<pool>_<provider>`, which Cognito puts a federated user into and tells nobody.
    pub joined_by_provider: u64,
    /// Memberships that only the tables show.
    pub left: u64,
    /// Groups that only the tables have members of.
    pub deleted: u64,
    /// Memberships that differ and changed a moment ago, or whose group changed while it was read: skipped.
    pub settling: u64,
}

impl GroupTally {
    /// How many events repair what differs.
    #[must_use]
    pub fn to_repair(&self) -> u64 {
        self.joined + self.left + self.deleted
    }

    /// The same without what no event could have told: it is no sign of a fault.
    #[must_use]
    pub fn unexpected(&self) -> u64 {
        self.to_repair().saturating_sub(self.joined_by_provider)
    }
}

/// Why the groups are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// The caller wants it so.
    NotAsked,
    /// The role may not list them.
    Denied,
    /// The database has no tables for them.
    NoTables,
}

impl LeftOut {
    /// What a walk through the groups left out: all of them, where the role may not list them.
    pub(super) fn of(walked: Result<(), Error>) -> Result<Option<Self>, Error> {
        match walked {
            Err(Error::Pool(error)) if error.code() == Some("AccessDeniedException") => {
                Ok(Some(Self::Denied))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(None),
        }
    }

    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::Denied => "denied",
            Self::NoTables => "no_tables",
        }
    }

    /// What it means, and what to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::NotAsked => "the groups are not compared, as asked",
            Self::Denied => {
                "the groups are not compared: permit cognito-idp:ListGroups and cognito-idp:ListUsersInGroup on the user \
                 pool, or leave them out with --without-groups"
            }
            Self::NoTables => {
                "the groups are not compared: the database has no tables for them, run user-sync migrate"
            }
        }
    }
}

/// What differs among some memberships.
#[derive(Default)]
struct Changes {
    events: Vec<Event<'static>>,
    joined: u64,
    joined_by_provider: u64,
    left: u64,
    deleted: u64,
    settling: u64,
}

/// Whether an event would change what the tables know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// They know something newer.
    Known,
    /// What they know is so new that the pool's answer may be of before.
    Settling,
    Differs,
}

/// The groups, as they were listed, while the tables are compared with them.
struct Listed {
    numbers: HashMap<String, u32>,
    walks: Vec<Option<Timestamp>>,
    members: Members,
    listed_at: Timestamp,
    /// Groups that were not listed, and whether the pool says that it has no such group.
    unlisted: HashMap<String, bool>,
}

impl Reconcile {
    /// Compares the groups, after users who were compared without a checkpoint, with what was found of them.
    ///
    /// # Errors
    /// When the pool, the table or the disk fails.
    pub async fn run_groups(
        &self,
        checkpoint: &mut Checkpoint,
        users: Tally,
        mut report: impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        (checkpoint.progress.tally, checkpoint.progress.phase) = (users, Phase::Groups);
        self.compare_groups(checkpoint, &mut report).await
    }

    /// Compares the groups as far as the checkpoint does not have them yet, or says in the tally why not.
    pub(super) async fn compare_groups(
        &self,
        checkpoint: &mut Checkpoint,
        report: &mut impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        checkpoint.progress.plan.clear();
        report(Phase::Groups, &checkpoint.progress.tally);
        let left_out = match () {
            () if !self.groups => Some(LeftOut::NotAsked),
            () if !self.rows.groups_are_kept().await? => Some(LeftOut::NoTables),
            () => LeftOut::of(self.walk_and_compare(checkpoint, report).await)?,
        };
        checkpoint.progress.tally.groups.left_out = left_out;
        checkpoint.save()
    }

    async fn walk_and_compare(
        &self,
        checkpoint: &mut Checkpoint,
        report: &mut impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        let mut spool = checkpoint.spool()?;
        if checkpoint.progress.walk.listed_at.is_none() {
            self.list_groups(checkpoint, &mut spool).await?;
        }
        while let Some(group) = spool.names.get(checkpoint.progress.walk.group as usize).cloned() {
            self.walk_page(checkpoint, &mut spool, &group).await?;
            report(Phase::Groups, &checkpoint.progress.tally);
        }
        checkpoint.progress.phase = Phase::Memberships;
        checkpoint.save()?;
        self.compare_memberships(checkpoint, spool, report).await
    }

    async fn list_groups(&self, checkpoint: &mut Checkpoint, spool: &mut Spool) -> Result<(), Error> {
        let asked_at = Timestamp::now();
        let names = self.user_pool.all_groups().await.map_err(|error| self.pool_error(error, None))?;
        checkpoint.progress.tally.groups.groups = names.len() as u64;
        spool.list(names).map_err(|error| checkpoint.failed(error))?;
        checkpoint.progress.walk.listed_at = Some(asked_at);
        checkpoint.save()
    }

    /// Compares the next page of a group's members.
    async fn walk_page(
        &self,
        checkpoint: &mut Checkpoint,
        spool: &mut Spool,
        group: &str,
    ) -> Result<(), Error> {
        let token = checkpoint.progress.walk.next.clone();
        let listed = self.user_pool.members(group, token.as_deref()).await;
        let listed = listed.map_err(|error| self.pool_error(error, token.as_deref()))?;
        let Some(user_pool::Members { subs, next, asked_at }) = listed else {
            // Deleted since it was listed: its members in the tables are left to the event that says so.
            let ended = spool.end_group(&mut checkpoint.progress.walk, None);
            ended.map_err(|error| checkpoint.failed(error))?;
            checkpoint.progress.tally.groups.walked += 1;
            return checkpoint.save();
        };
        let changes = self.joined(group, &subs, asked_at).await?;
        let walk = &mut checkpoint.progress.walk;
        let began_at = *walk.began_at.get_or_insert(asked_at);
        let mut written = spool.add(walk, &subs);
        let is_last = next.is_none();
        walk.next = next;
        if is_last {
            written = written.and_then(|()| spool.end_group(walk, Some(began_at)));
        }
        written.map_err(|error| checkpoint.failed(error))?;
        checkpoint.progress.tally.groups.members += subs.len() as u64;
        checkpoint.progress.tally.groups.walked += u64::from(is_last);
        self.commit_changes(checkpoint, changes).await
    }

    /// Who of a group's page is not in it by the tables.
    async fn joined(&self, group: &str, listed: &[Uuid], asked_at: Timestamp) -> Result<Changes, Error> {
        let outside = self.rows.outside(self.user_pool.id(), group, listed).await?;
        let is_providers = group.strip_prefix(self.user_pool.id()).is_some_and(|rest| rest.starts_with('_'));
        let mut changes = Changes::default();
        for Outside { sub, known_at } in outside {
            match self.verdict(known_at, asked_at) {
                Verdict::Known => {}
                Verdict::Settling => changes.settling += 1,
                Verdict::Differs => {
                    changes.joined += 1;
                    changes.joined_by_provider += u64::from(is_providers);
                    changes.events.push(self.event(group, GroupChange::Joined(sub), asked_at));
                }
            }
        }
        Ok(changes)
    }

    /// Looks for each membership of the tables among those that were listed.
    async fn compare_memberships(
        &self,
        checkpoint: &mut Checkpoint,
        mut spool: Spool,
        report: &mut impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        let read = spool.walks().and_then(|walks| Ok((walks, spool.members()?)));
        let (walks, members) = read.map_err(|error| checkpoint.failed(error))?;
        let walk = &checkpoint.progress.walk;
        let mut listed = Listed {
            numbers: spool.names.into_iter().zip(0..).collect(),
            walks,
            members,
            listed_at: walk.listed_at.unwrap_or(checkpoint.progress.started_at),
            unlisted: walk.gone.iter().map(|group| (group.clone(), true)).collect(),
        };
        loop {
            let (sub, group) = &checkpoint.progress.walk.after;
            let page = self.rows.memberships_after(self.user_pool.id(), (*sub, group), ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            let last = (last.sub, last.group.clone());
            let mut changes = Changes::default();
            for membership in page.iter().filter(|membership| membership.is_shown) {
                self.compare_membership(checkpoint, &mut listed, membership, &mut changes).await?;
            }
            checkpoint.progress.walk.after = last;
            checkpoint.progress.tally.groups.compared += page.len() as u64;
            self.commit_changes(checkpoint, changes).await?;
            report(Phase::Memberships, &checkpoint.progress.tally);
        }
    }

    async fn compare_membership(
        &self,
        checkpoint: &mut Checkpoint,
        listed: &mut Listed,
        Membership { sub, group, at, .. }: &Membership,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let number = listed.numbers.get(group).copied();
        let asked_at = match number {
            Some(number) if listed.members.has(*sub, number).map_err(|error| checkpoint.failed(error))? => {
                return Ok(());
            }
            Some(number) => listed.walks.get(number as usize).copied().flatten(),
            None => Some(listed.listed_at),
        };
        let verdict = asked_at.map_or(Verdict::Settling, |asked_at| self.verdict(Some(*at), asked_at));
        match (verdict, number, asked_at) {
            (Verdict::Known, ..) => {}
            (Verdict::Differs, Some(_), Some(asked_at)) => {
                changes.left += 1;
                changes.events.push(self.event(group, GroupChange::Left(*sub), asked_at));
            }
            (Verdict::Differs, None, Some(asked_at)) => {
                self.compare_unlisted(checkpoint, listed, group, asked_at, changes).await?;
            }
            (Verdict::Settling | Verdict::Differs, ..) => changes.settling += 1,
        }
        Ok(())
    }

    /// A group that the tables have members of, and that was not listed: it is gone if the pool says so when it is asked
    /// for its members, too.
    async fn compare_unlisted(
        &self,
        checkpoint: &mut Checkpoint,
        listed: &mut Listed,
        group: &str,
        asked_at: Timestamp,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let is_gone = match listed.unlisted.get(group) {
            Some(is_gone) => *is_gone,
            None => {
                let found = self.user_pool.members(group, None).await;
                let is_gone = found.map_err(|error| self.pool_error(error, None))?.is_none();
                if is_gone {
                    checkpoint.progress.walk.gone.insert(group.to_owned());
                    changes.deleted += 1;
                    changes.events.push(self.event(group, GroupChange::Deleted, asked_at));
                }
                listed.unlisted.insert(group.to_owned(), is_gone);
                is_gone
            }
        };
        changes.settling += u64::from(!is_gone);
        Ok(())
    }

    fn verdict(&self, known_at: Option<Timestamp>, asked_at: Timestamp) -> Verdict {
        verdict(known_at, asked_at, self.settle)
    }

    fn event(&self, group: &str, change: GroupChange, at: Timestamp) -> Event<'static> {
        let (user_pool_id, group) = (self.user_pool.id().to_owned().into(), group.to_owned().into());
        Event::Group(GroupEvent { id: EventId::new(at), user_pool_id, group, change })
    }

    /// Records what differs, and then publishes it.
    async fn commit_changes(&self, checkpoint: &mut Checkpoint, changes: Changes) -> Result<(), Error> {
        let Changes { events, joined, joined_by_provider, left, deleted, settling } = changes;
        let tally = &mut checkpoint.progress.tally.groups;
        tally.joined += joined;
        tally.joined_by_provider += joined_by_provider;
        tally.left += left;
        tally.deleted += deleted;
        tally.settling += settling;
        let planned = events.iter().filter(|_| self.publisher.is_some()).map(Event::encode);
        checkpoint.progress.walk.plan = planned.collect();
        checkpoint.save()?;
        self.publish(events).await
    }

    /// Publishes what a run that was killed had planned, the same events again.
    pub(super) async fn publish_changes_again(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let decode = |body: &String| Event::decode(body).map(Event::into_owned);
        let events: Result<Vec<_>, _> = checkpoint.progress.walk.plan.iter().map(decode).collect();
        self.publish(events.map_err(|_| checkpoint.unreadable())?).await
    }
}

/// Times count by the second, as the tables keep them. In the second of what they know, an answer may be of before it.
fn verdict(known_at: Option<Timestamp>, asked_at: Timestamp, settle: Duration) -> Verdict {
    let Some(known_at) = known_at else { return Verdict::Differs };
    let seconds = |at: Timestamp| at.unix_millis() / 1_000;
    match seconds(asked_at).checked_sub(seconds(known_at)) {
        None => Verdict::Known,
        Some(age) if age == 0 || age < settle.as_secs() => Verdict::Settling,
        Some(_) => Verdict::Differs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tables_learnt_a_moment_ago_or_since_is_left_alone() {
        let at = Timestamp::from_unix_millis;
        let minute = Duration::from_secs(60);
        for (known_at, asked_at, settle, expected) in [
            (None, 5_000, minute, Verdict::Differs),
            (Some(5_000), 65_000, minute, Verdict::Differs),
            (Some(5_000), 64_999, minute, Verdict::Settling),
            (Some(5_000), 5_999, Duration::ZERO, Verdict::Settling),
            (Some(5_000), 6_000, Duration::ZERO, Verdict::Differs),
            (Some(6_000), 5_999, minute, Verdict::Known),
        ] {
            let found = verdict(known_at.map(at), at(asked_at), settle);
            assert_eq!(found, expected, "{known_at:?} {asked_at} {settle:?}");
        }
    }
}
