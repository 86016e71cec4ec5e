//! Compares users of the pool with their rows, and confirms each difference with AdminGetUser. Reads only: must not
//! know the checkpoint or the queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cognito_user_sync_triggers::event::UserEvent;
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use crate::cognito::reconcile::checkpoint::{Planned, Tally};
use crate::cognito::reconcile::{CONCURRENCY, Error, Reconcile};
use crate::cognito::user_pool::{LookUp, Page, PoolUser, deletion};
use crate::store::maintenance::drift::{self, Drift, Kind, Row};

/// A user who may differ from the row.
pub(super) struct Suspect {
    pub(super) sub: Uuid,
    pub(super) username: Option<String>,
    /// UserLastModifiedDate by ListUsers. An answer that says an older one is of before that change.
    pub(super) modified_at: Option<Timestamp>,
    /// What kind of drift it is if the pool does not have the user; `None` if there is no row.
    pub(super) if_absent: Option<Kind>,
}

/// A user who differs from the row.
pub(super) struct Finding {
    sub: Uuid,
    username: Option<String>,
    modified_at: Option<Timestamp>,
    kinds: BTreeSet<Kind>,
    /// The event that repairs it, if there is one.
    pub(super) event: Option<UserEvent<'static>>,
}

impl Finding {
    fn is_deletion(&self) -> bool {
        self.kinds.contains(&Kind::Gone) || self.kinds.contains(&Kind::Unclaimed)
    }

    /// How the checkpoint remembers it.
    pub(super) fn plan(&self) -> Planned {
        let Self { sub, modified_at, .. } = *self;
        Planned { sub, username: self.username.clone(), modified_at, is_deletion: self.is_deletion() }
    }
}

impl Tally {
    pub(super) fn add(&mut self, finding: &Finding) {
        for kind in &finding.kinds {
            *self.drift.entry(*kind).or_default() += 1;
        }
        self.only_created_at += u64::from(finding.kinds.iter().eq([&Kind::CreatedAt]));
        if finding.event.is_none() {
            self.only_reported += 1;
            return;
        }
        self.to_repair += 1;
        match finding.is_deletion() {
            true => self.deletions += 1,
            false => self.snapshots += 1,
        }
    }
}

/// The differences among some users.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) found: Vec<Finding>,
    pub(super) settling: u64,
}

impl Reconcile {
    /// What kind of drift a row is if the pool does not have its user; `None` if it is none. A user who was created
    /// after the listing began may not have been listed.
    pub(super) fn if_absent(&self, row: &Row, started_at: Timestamp) -> Option<Kind> {
        let kind = match row.user_pool_id.as_deref() {
            Some(pool) if pool == self.user_pool.id() => Kind::Gone,
            Some(_) => return None,
            None => Kind::Unclaimed,
        };
        (!row.is_deleted && row.created_at < started_at).then_some(kind)
    }

    /// The users of a page who differ.
    pub(super) async fn compare_page(&self, (page, asked_at): &(Page, Timestamp)) -> Result<Findings, Error> {
        let snapshot = |user: &PoolUser| user.snapshot(self.user_pool.id(), *asked_at);
        let snapshots: Vec<UserEvent<'static>> = page.users.iter().map(snapshot).collect();
        let modified = page.users.iter().map(|user| user.modified_at);
        let read: Vec<_> = snapshots.iter().zip(modified).collect();
        let drifts = drift::compare(&self.database, &read).await?;
        let users: HashMap<Uuid, &PoolUser> = page.users.iter().map(|user| (user.sub, user)).collect();
        let (mut suspects, mut settling) = (Vec::new(), 0);
        for Drift { sub, kinds } in drifts {
            let user = users.get(&sub);
            if user.is_some_and(|user| self.is_settling(user)) {
                settling += 1;
                continue;
            }
            let has_row = !kinds.contains(&Kind::Missing) && !kinds.contains(&Kind::DeletedButPresent);
            let username = user.map(|user| user.username.clone());
            let modified_at = user.and_then(|user| user.modified_at);
            suspects.push(Suspect { sub, username, modified_at, if_absent: has_row.then_some(Kind::Gone) });
        }
        let mut findings = self.confirm(suspects).await?;
        findings.settling += settling;
        Ok(findings)
    }

    fn is_settling(&self, user: &PoolUser) -> bool {
        let since = |at: Timestamp| Timestamp::now().unix_millis().saturating_sub(at.unix_millis());
        user.modified_at.is_some_and(|at| u128::from(since(at)) < self.settle.as_millis())
    }

    /// Asks the pool about each suspect, and compares its answer with the row again.
    pub(super) async fn confirm(&self, suspects: Vec<Suspect>) -> Result<Findings, Error> {
        let answers: Vec<(Suspect, LookUp)> = futures::stream::iter(suspects)
            .map(|suspect| async {
                let Suspect { sub, modified_at, .. } = suspect;
                let answer = self.look_up(sub, suspect.username.as_deref(), modified_at).await?;
                Ok::<_, Error>((suspect, answer))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let mut found = Vec::new();
        let mut present = BTreeMap::new();
        for (suspect, answer) in answers {
            match answer {
                LookUp::Present(mut user, asked_at) => {
                    let snapshot = self.snapshot(&user, asked_at, suspect.modified_at);
                    user.modified_at = user.modified_at.max(suspect.modified_at);
                    drop(present.insert(suspect.sub, (user, snapshot)));
                }
                LookUp::Absent(asked_at) => found.extend(self.absent(suspect, asked_at)),
            }
        }
        let mut findings = self.compare_present(present).await?;
        found.append(&mut findings.found);
        Ok(Findings { found, ..findings })
    }

    /// What a user is that the pool does not have; nothing if there is no row to update.
    fn absent(&self, suspect: Suspect, asked_at: Timestamp) -> Option<Finding> {
        let Suspect { sub, username, modified_at, if_absent } = suspect;
        let kind = if_absent?;
        let is_ours = kind != Kind::Unclaimed || self.claim_rows_without_pool;
        let event = is_ours.then(|| deletion(self.user_pool.id(), sub, asked_at));
        Some(Finding { sub, username, modified_at, kinds: [kind].into(), event })
    }

    /// What AdminGetUser returned of a user to a request that was sent at `asked_at`. It is not the whole user if
    /// ListUsers knew of a later change.
    pub(super) fn snapshot(
        &self,
        user: &PoolUser,
        asked_at: Timestamp,
        listed: Option<Timestamp>,
    ) -> UserEvent<'static> {
        match listed {
            Some(change) => user.snapshot_after(change, self.user_pool.id(), asked_at),
            None => user.snapshot(self.user_pool.id(), asked_at),
        }
    }

    /// Who differs among users that the pool has.
    async fn compare_present(
        &self,
        present: BTreeMap<Uuid, (PoolUser, UserEvent<'static>)>,
    ) -> Result<Findings, Error> {
        let (users, snapshots): (Vec<PoolUser>, Vec<UserEvent<'static>>) = present.into_values().unzip();
        let read: Vec<_> = snapshots.iter().zip(users.iter().map(|user| user.modified_at)).collect();
        let drifts = drift::compare(&self.database, &read).await?;
        let mut kinds: HashMap<Uuid, BTreeSet<Kind>> =
            drifts.into_iter().map(|Drift { sub, kinds }| (sub, kinds)).collect();
        let mut findings = Findings::default();
        for (snapshot, user) in snapshots.into_iter().zip(users) {
            let Some(kinds) = kinds.remove(&snapshot.sub) else { continue };
            if self.is_settling(&user) {
                findings.settling += 1;
                continue;
            }
            let event = (!kinds.iter().any(|kind| kind.is_final())).then_some(snapshot);
            let PoolUser { sub, username, modified_at, .. } = user;
            findings.found.push(Finding { sub, username: Some(username), modified_at, kinds, event });
        }
        Ok(findings)
    }
}
