//! Compares the user pool with the table, and sends what would mend the difference to the queue.
//!
//! ListUsers and the table only raise a suspicion: AdminGetUser confirms it, and what is published is its answer,
//! dated before the question. Must not write to the database: the queue is the only way there.

mod checkpoint;
mod seen;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cognito_user_sync_triggers::event::{Event, UserEvent};
use cognito_user_sync_triggers::publish::{PublishError, Publisher};
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::cognito::reconcile::checkpoint::Planned;
pub use crate::cognito::reconcile::checkpoint::{Checkpoint, Phase, Tally};
use crate::cognito::user_pool::{LookUp, Page, PoolError, PoolUser, UserPool, deletion};
use crate::store::maintenance::drift::{self, Drift, Kind, Row};

/// How long one event may take to the queue; nobody waits for a sign-in here.
const PUBLISH_BUDGET: Duration = Duration::from_secs(30);

/// Requests under way at once, of a kind. Their rate is the pool's own.
const CONCURRENCY: usize = 8;

/// Rows that are read at once. A checkpoint follows each time.
const ROWS: i64 = 1_000;

/// What a reconcile does about what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// Whether what mends it is published, rather than counted only.
    pub repair: bool,
    /// Whether a row that names no pool counts as this pool's: without its user in the pool, it is deleted.
    pub claim_rows_without_pool: bool,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.repair { "a repair" } else { "a dry run" })?;
        f.write_str(if self.claim_rows_without_pool { " with --claim-rows-without-pool" } else { "" })
    }
}

/// A reconcile ended early. What was found and published until then is in its checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cognito knows no such pool.
    #[error(
        "there is no user pool {0:?} in this account and region: check --user-pool-id, AWS_REGION and the credentials"
    )]
    NoSuchPool(String),
    /// Cognito refused, or could not be reached.
    #[error("{0}; run the same command again to go on from here")]
    Pool(PoolError),
    /// The pagination token is too old, or not Cognito's.
    #[error("Cognito no longer takes the pagination token of the checkpoint: begin again with --restart")]
    TokenRefused,
    /// The table could not be read.
    #[error("cannot read the table; run the same command again to go on from here")]
    Database(#[from] sqlx::Error),
    /// The table is of another pool.
    #[error(
        "the table has users of the pool {found:?} and none of {asked:?}: check --user-pool-id and DATABASE_URL, \
         or say --add-pool if this table is to hold both"
    )]
    OtherPool {
        /// A pool that the table has users of.
        found: String,
        /// The pool that was asked for.
        asked: String,
    },
    /// A repair would delete more users than was permitted. Nothing of the page was published.
    #[error(
        "more than {limit} users of the table are no longer in the pool, and a deletion is final: if that is meant, \
         run the same command again with a higher --max-deletions"
    )]
    TooManyDeletions {
        /// The most that were permitted.
        limit: u64,
    },
    /// An event did not reach the queue.
    #[error("an event did not reach the queue: {0}; run the same command again to go on from here")]
    Publish(#[from] PublishError),
    /// The checkpoint's folder could not be read or written.
    #[error("cannot keep the checkpoint in {}", folder.display())]
    Checkpoint {
        /// The folder.
        folder: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The checkpoint is not one that this build wrote.
    #[error("cannot read the checkpoint in {}: discard it with --restart", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process works with the checkpoint.
    #[error(
        "another reconcile works with {}: wait for it, or name another folder with --checkpoint",
        folder.display()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The checkpoint is of a run that does something else.
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
}

/// One user pool and one table, to be compared.
#[derive(Debug)]
pub struct Reconcile {
    /// The user pool.
    pub user_pool: UserPool,
    /// The table; reading is enough.
    pub database: PgPool,
    /// The way to the queue; none for a dry run.
    pub publisher: Option<Publisher>,
    /// Users that changed so short a time ago are left to the events that are under way.
    pub settle: Duration,
    /// See [`Mode::claim_rows_without_pool`].
    pub claim_rows_without_pool: bool,
    /// Most deletions of a repair, of all its runs together.
    pub max_deletions: u64,
}

/// A user who may differ.
struct Suspect {
    sub: Uuid,
    username: Option<String>,
    /// What it is if the pool does not have the user: nothing, if there is no row.
    if_absent: Option<Kind>,
}

/// A user who does differ.
struct Finding {
    sub: Uuid,
    username: Option<String>,
    kinds: BTreeSet<Kind>,
    /// What mends it, where anything does.
    event: Option<UserEvent<'static>>,
}

/// What was found among some users.
#[derive(Default)]
struct Findings {
    found: Vec<Finding>,
    settling: u64,
}

impl Reconcile {
    /// What this does about what it finds.
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

    /// About how many users there are to list, and rows to look at.
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

    /// Compares everything that the checkpoint has not yet, and publishes what mends it. Idempotent; what it
    /// found is in the checkpoint afterwards. `report` is told how far it is.
    ///
    /// # Errors
    /// When the pool, the table, the queue or the disk fails. The checkpoint can be gone on from.
    pub async fn run(
        &self,
        checkpoint: &mut Checkpoint,
        mut report: impl FnMut(Phase, &Tally),
    ) -> Result<(), Error> {
        report(checkpoint.progress.phase, &checkpoint.progress.tally);
        self.publish_again(&checkpoint.progress.plan).await?;
        if checkpoint.progress.phase == Phase::Users {
            self.compare_users(checkpoint, &mut report).await?;
        }
        self.compare_rows(checkpoint, &mut report).await
    }

    /// Walks the pool. The next page is asked for while this one is compared.
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
            let (findings, ahead) = tokio::join!(self.of_page(&listed), ahead);
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

    /// Looks for every row among the users that were listed.
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
                    suspects.push(Suspect { sub, username, if_absent: Some(kind) });
                }
            }
            let findings = self.confirm(suspects).await?;
            checkpoint.progress.after = last;
            checkpoint.progress.tally.rows += rows.len() as u64;
            self.commit(checkpoint, &findings).await?;
            report(Phase::Rows, &checkpoint.progress.tally);
        }
    }

    /// What a row is if the pool does not have its user. Who came after the walk began may not have been listed.
    fn if_absent(&self, row: &Row, started_at: Timestamp) -> Option<Kind> {
        let kind = match row.user_pool_id.as_deref() {
            Some(pool) if pool == self.user_pool.id() => Kind::Gone,
            Some(_) => return None,
            None => Kind::Unclaimed,
        };
        (!row.is_deleted && row.created_at < started_at).then_some(kind)
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

    /// Who differs among the users of a page.
    async fn of_page(&self, (page, asked_at): &(Page, Timestamp)) -> Result<Findings, Error> {
        let snapshot = |user: &PoolUser| user.snapshot(self.user_pool.id(), *asked_at);
        let snapshots: Vec<UserEvent<'static>> = page.users.iter().map(snapshot).collect();
        let drifts = drift::compare(&self.database, &snapshots).await?;
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
            suspects.push(Suspect { sub, username, if_absent: has_row.then_some(Kind::Gone) });
        }
        let mut findings = self.confirm(suspects).await?;
        findings.settling += settling;
        Ok(findings)
    }

    fn is_settling(&self, user: &PoolUser) -> bool {
        let since = |at: Timestamp| Timestamp::now().unix_millis().saturating_sub(at.unix_millis());
        user.modified_at.is_some_and(|at| u128::from(since(at)) < self.settle.as_millis())
    }

    /// Asks the pool about each suspect, and compares what it says with the row again.
    async fn confirm(&self, suspects: Vec<Suspect>) -> Result<Findings, Error> {
        let looked_up: Vec<(Suspect, LookUp)> = futures::stream::iter(suspects)
            .map(|suspect| async {
                let answer = self.look_up(suspect.sub, suspect.username.as_deref()).await?;
                Ok::<_, Error>((suspect, answer))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let mut findings = Findings::default();
        let mut present = BTreeMap::new();
        for (Suspect { sub, username, if_absent }, answer) in looked_up {
            match (answer, if_absent) {
                (LookUp::Present(user, asked_at), _) => drop(present.insert(sub, (user, asked_at))),
                (LookUp::Absent(asked_at), Some(kind)) => {
                    let is_ours = kind != Kind::Unclaimed || self.claim_rows_without_pool;
                    let event = is_ours.then(|| deletion(self.user_pool.id(), sub, asked_at));
                    findings.found.push(Finding { sub, username, kinds: [kind].into(), event });
                }
                // Deleted since it was listed, and there is no row that would have to know.
                (LookUp::Absent(_), None) => {}
            }
        }
        let snapshot =
            |(user, asked_at): &(PoolUser, Timestamp)| user.snapshot(self.user_pool.id(), *asked_at);
        let snapshots: Vec<UserEvent<'static>> = present.values().map(snapshot).collect();
        let mut kinds: HashMap<Uuid, BTreeSet<Kind>> = drift::compare(&self.database, &snapshots)
            .await?
            .into_iter()
            .map(|Drift { sub, kinds }| (sub, kinds))
            .collect();
        for (snapshot, (user, _)) in snapshots.into_iter().zip(present.into_values()) {
            let Some(kinds) = kinds.remove(&snapshot.sub) else { continue };
            if self.is_settling(&user) {
                findings.settling += 1;
                continue;
            }
            let event = (!kinds.iter().any(|kind| kind.is_final())).then_some(snapshot);
            findings.found.push(Finding { sub: user.sub, username: Some(user.username), kinds, event });
        }
        Ok(findings)
    }

    async fn look_up(&self, sub: Uuid, username: Option<&str>) -> Result<LookUp, Error> {
        self.user_pool.look_up(sub, username).await.map_err(|error| self.pool_error(error, None))
    }

    /// Records what was found, and then publishes what mends it.
    async fn commit(&self, checkpoint: &mut Checkpoint, findings: &Findings) -> Result<(), Error> {
        let Findings { found, settling } = findings;
        let tally = &mut checkpoint.progress.tally;
        tally.settling += settling;
        for Finding { kinds, event, .. } in found {
            for kind in kinds {
                *tally.drift.entry(*kind).or_default() += 1;
            }
            let deletes = is_deletion(kinds);
            tally.to_repair += u64::from(event.is_some());
            tally.only_created_at += u64::from(kinds.iter().eq([&Kind::CreatedAt]));
            tally.only_reported += u64::from(event.is_none());
            tally.snapshots += u64::from(event.is_some() && !deletes);
            tally.deletions += u64::from(event.is_some() && deletes);
        }
        if self.publisher.is_some() && tally.deletions > self.max_deletions {
            return Err(Error::TooManyDeletions { limit: self.max_deletions });
        }
        let planned = found.iter().filter(|finding| finding.event.is_some() && self.publisher.is_some());
        let plan = planned.map(|Finding { sub, username, kinds, .. }| Planned {
            sub: *sub,
            username: username.clone(),
            is_deletion: is_deletion(kinds),
        });
        checkpoint.progress.plan = plan.collect();
        checkpoint.save()?;
        self.publish(found.iter().filter_map(|finding| finding.event.clone()).collect()).await
    }

    /// Publishes what a run that was killed had decided on, as the pool says it now. Its counts are written
    /// already, and an event more has no effect on them.
    async fn publish_again(&self, plan: &[Planned]) -> Result<(), Error> {
        let events = futures::stream::iter(plan).map(|planned| async {
            let answer = self.look_up(planned.sub, planned.username.as_deref()).await?;
            Ok::<_, Error>(match answer {
                LookUp::Present(user, asked_at) => Some(user.snapshot(self.user_pool.id(), asked_at)),
                LookUp::Absent(asked_at) => {
                    planned.is_deletion.then(|| deletion(self.user_pool.id(), planned.sub, asked_at))
                }
            })
        });
        let events: Vec<Option<UserEvent<'static>>> = events.buffered(CONCURRENCY).try_collect().await?;
        self.publish(events.into_iter().flatten().collect()).await
    }

    async fn publish(&self, events: Vec<UserEvent<'static>>) -> Result<(), Error> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let send = |event| async move { publisher.publish(&Event::User(event), PUBLISH_BUDGET).await };
        futures::stream::iter(events).map(send).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
        Ok(())
    }
}

fn is_deletion(kinds: &BTreeSet<Kind>) -> bool {
    kinds.contains(&Kind::Gone) || kinds.contains(&Kind::Unclaimed)
}
