//! Compares users of the pool with their rows, and confirms each difference with a second answer. Reads only: must not
//! know the checkpoint or the queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cognito_user_sync_triggers::event::UserEvent;
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use crate::cognito::reconcile::checkpoint::{Planned, Tally};
use crate::cognito::reconcile::{Asked, Error, Listed, Reconcile};
use crate::cognito::user_pool::{LookUp, PoolUser, deletion};
use crate::store::maintenance::drift::{Drift, Kind, Row};

/// Users who are looked up at once. [`UserPool`](crate::cognito::user_pool::UserPool) limits the requests; most of these
/// wait before they ask a third time.
const LOOK_UPS: usize = 64;

/// Whom the pool is asked for again.
pub(super) struct Question<'a> {
    pub(super) sub: Uuid,
    pub(super) username: Option<&'a str>,
    /// UserLastModifiedDate by the first answer. One that says an older one is of before that change.
    pub(super) modified_at: Option<Timestamp>,
}

/// A user who may differ from the row.
pub(super) struct Suspect {
    pub(super) sub: Uuid,
    pub(super) username: Option<String>,
    /// UserLastModifiedDate by the listing.
    pub(super) modified_at: Option<Timestamp>,
    /// What kind of drift it is if the pool does not have the user; `None` if the pool has listed the user.
    pub(super) if_absent: Option<Kind>,
}

impl Suspect {
    /// A user whom the pool did not list.
    pub(super) fn of(row: &Row, if_absent: Kind) -> Self {
        let (sub, username) = (row.sub, row.username.clone());
        Self { sub, username, modified_at: None, if_absent: Some(if_absent) }
    }

    pub(super) fn question(&self) -> Question<'_> {
        let Self { sub, modified_at, .. } = *self;
        Question { sub, username: self.username.as_deref(), modified_at }
    }
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
    pub(super) fn add_all(&mut self, Findings { found, settling }: &Findings) {
        self.settling += settling;
        found.iter().for_each(|finding| self.add(finding));
    }

    fn add(&mut self, finding: &Finding) {
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
    /// after the listing began may not have been listed; nor one of the last moments before, since a listing may lag, and so
    /// may every answer to a question for that user.
    pub(super) fn if_absent(&self, row: &Row, started_at: Timestamp) -> Option<Kind> {
        let age = started_at.unix_millis().saturating_sub(row.created_at.unix_millis());
        let is_listed_if_there = row.created_at < started_at && u128::from(age) >= self.settle.as_millis();
        let kind = match row.user_pool_id.as_deref() {
            Some(pool) if pool == self.user_pool.id() => Kind::Gone,
            Some(_) => return None,
            None => Kind::Unclaimed,
        };
        (!row.is_deleted && is_listed_if_there).then_some(kind)
    }

    /// The users of a page who differ. The page itself says who has no row: nothing there can be overwritten, and a deletion
    /// always wins. Every other difference is confirmed.
    pub(super) async fn compare_page(&self, listed: &Listed) -> Result<Findings, Error> {
        let Listed { page, asked, asked_at } = listed;
        let snapshot = |user: &PoolUser| self.snapshot(user, *asked_at, None);
        let snapshots: Vec<UserEvent<'static>> = page.users.iter().map(snapshot).collect();
        let modified = page.users.iter().map(|user| user.modified_at);
        let read: Vec<_> = snapshots.iter().zip(modified).collect();
        let drifts = self.rows.compare(&read).await?;
        let users = page.users.iter().zip(&snapshots).map(|(user, snapshot)| (user.sub, (user, snapshot)));
        let mut users: HashMap<Uuid, _> = users.collect();
        let (mut found, mut suspects, mut settling) = (Vec::new(), Vec::new(), 0);
        for Drift { sub, kinds } in drifts {
            let Some((user, snapshot)) = users.remove(&sub) else { continue };
            let (username, modified_at) = (Some(user.username.clone()), user.modified_at);
            if self.is_settling(user) {
                settling += 1;
            } else if kinds.contains(&Kind::Missing) {
                found.push(Finding { sub, username, modified_at, kinds, event: Some(snapshot.clone()) });
            } else {
                suspects.push(Suspect { sub, username, modified_at, if_absent: None });
            }
        }
        let mut findings = self.confirm(suspects, Some(asked)).await?;
        findings.found.append(&mut found);
        findings.settling += settling;
        Ok(findings)
    }

    fn is_settling(&self, user: &PoolUser) -> bool {
        let since = |at: Timestamp| Timestamp::now().unix_millis().saturating_sub(at.unix_millis());
        user.modified_at.is_some_and(|at| u128::from(since(at)) < self.settle.as_millis())
    }

    /// What the pool says of each of them now, in their order: by their page again where it has several of them, else by
    /// looking each up.
    pub(super) async fn ask(
        &self,
        questions: Vec<Question<'_>>,
        page: Option<&Asked>,
    ) -> Result<Vec<LookUp>, Error> {
        let mut again = match page {
            Some(page) if questions.len() > 1 => self.list_again(page).await?,
            Some(_) | None => HashMap::new(),
        };
        let answers = questions.into_iter().map(|question| {
            let is_new = |(user, _): &(PoolUser, Timestamp)| {
                !question.modified_at.is_some_and(|change| user.lags_behind(change))
            };
            let listed = again.remove(&question.sub).filter(is_new);
            async move {
                match listed {
                    Some((user, asked_at)) => Ok(LookUp::Present(user, asked_at)),
                    None => self.look_up(&question).await,
                }
            }
        });
        let answers: Vec<_> = answers.collect();
        futures::stream::iter(answers).buffered(LOOK_UPS).try_collect().await
    }

    /// The users of a page by the same request again. Nobody, where Cognito takes a token only once.
    async fn list_again(&self, page: &Asked) -> Result<HashMap<Uuid, (PoolUser, Timestamp)>, Error> {
        match self.list(page.clone()).await {
            Ok(Listed { page, asked_at, .. }) => {
                Ok(page.users.into_iter().map(|user| (user.sub, (user, asked_at))).collect())
            }
            Err(Error::TokenRefused) => Ok(HashMap::new()),
            Err(error) => Err(error),
        }
    }

    /// Asks the pool about each suspect again, and compares its answer with the row again. `page` is the one that has them.
    /// Whom the pool has listed and denies when asked is left to the next run, whose list says which is true.
    pub(super) async fn confirm(
        &self,
        suspects: Vec<Suspect>,
        page: Option<&Asked>,
    ) -> Result<Findings, Error> {
        let answers = self.ask(suspects.iter().map(Suspect::question).collect(), page).await?;
        let (mut found, mut contradicted) = (Vec::new(), 0);
        let mut present = BTreeMap::new();
        for (suspect, answer) in suspects.into_iter().zip(answers) {
            match answer {
                LookUp::Present(mut user, asked_at) => {
                    let snapshot = self.snapshot(&user, asked_at, suspect.modified_at);
                    user.modified_at = user.modified_at.max(suspect.modified_at);
                    drop(present.insert(suspect.sub, (user, snapshot)));
                }
                LookUp::Absent(asked_at) => match self.absent(suspect, asked_at) {
                    Some(finding) => found.push(finding),
                    None => contradicted += 1,
                },
            }
        }
        let mut findings = self.compare_present(present).await?;
        found.append(&mut findings.found);
        Ok(Findings { found, settling: findings.settling + contradicted })
    }

    /// What a user is that the pool does not have; nothing if the pool has listed the user.
    fn absent(&self, suspect: Suspect, asked_at: Timestamp) -> Option<Finding> {
        let Suspect { sub, username, modified_at, if_absent } = suspect;
        let kind = if_absent?;
        let is_ours = kind != Kind::Unclaimed || self.claim_rows_without_pool;
        let event = is_ours.then(|| deletion(self.user_pool.id(), sub, asked_at));
        Some(Finding { sub, username, modified_at, kinds: [kind].into(), event })
    }

    /// What the pool returned of a user to a request that was sent at `asked_at`. It is not the whole user if the listing
    /// knew of a later change.
    pub(super) fn snapshot(
        &self,
        user: &PoolUser,
        asked_at: Timestamp,
        listed: Option<Timestamp>,
    ) -> UserEvent<'static> {
        let at = user.true_at(asked_at, self.settle, None);
        match listed {
            Some(change) => user.snapshot_after(change, self.user_pool.id(), at),
            None => user.snapshot(self.user_pool.id(), at),
        }
    }

    /// Who differs among users that the pool has.
    async fn compare_present(
        &self,
        present: BTreeMap<Uuid, (PoolUser, UserEvent<'static>)>,
    ) -> Result<Findings, Error> {
        let (users, snapshots): (Vec<PoolUser>, Vec<UserEvent<'static>>) = present.into_values().unzip();
        let read: Vec<_> = snapshots.iter().zip(users.iter().map(|user| user.modified_at)).collect();
        let drifts = self.rows.compare(&read).await?;
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
