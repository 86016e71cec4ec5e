//! Saves the progress of a reconcile in a folder, so that a run that was killed at any moment can be resumed:
//! `progress.json`, replaced as a whole after each page, `seen`, the subs that were listed, `requests`, a letter for each
//! request that was sent, and the files of [`super::spool`]. Must not know Cognito or the database.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cognito::reconcile::compare::Question;
use crate::cognito::reconcile::groups::GroupTally;
use crate::cognito::reconcile::seen::{self, RUN_ENTRIES, SUB, Sorted};
use crate::cognito::reconcile::spool::{self, Spool, Walk};
use crate::cognito::reconcile::{Asked, Error, Mode};
use crate::cognito::user_pool::Requests;
use crate::store::maintenance::drift;

const PROGRESS: &str = "progress.json";
const NEW_PROGRESS: &str = "progress.json.new";
const SEEN: &str = "seen";
const SORTED: &str = "sorted";
const REQUESTS: &str = "requests";
const LOCK: &str = "lock";

/// What a reconcile has found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Users that the pool listed.
    pub users: u64,
    /// Rows that were compared with them.
    pub rows: u64,
    /// Users by what differs; a user counts once for each kind of drift.
    pub drift: BTreeMap<drift::Kind, u64>,
    /// Users whom an event would repair.
    pub to_repair: u64,
    /// Those of them who differ only in `created_at`.
    pub only_created_at: u64,
    /// Users who differ, and whom no event would repair.
    pub only_reported: u64,
    /// Users who differ and changed a moment ago: skipped, since their events are under way.
    pub settling: u64,
    /// `user.snapshot` events for the queue.
    pub snapshots: u64,
    /// `user.deleted` events for the queue.
    pub deletions: u64,
    /// What was found of the groups.
    #[serde(default)]
    pub groups: GroupTally,
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Lists the pool and compares its users with their rows.
    Users,
    /// Looks for each row's user among those that were listed.
    Rows,
    /// Lists the members of each group and compares them with the tables.
    Groups,
    /// Looks for each membership of the tables among those that were listed.
    Memberships,
}

/// A user whose event was planned, and may or may not have been sent when the process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Planned {
    pub(super) sub: Uuid,
    pub(super) username: Option<String>,
    /// UserLastModifiedDate of what was planned, if it was known.
    #[serde(default)]
    pub(super) modified_at: Option<Timestamp>,
    /// Whether a deletion was planned, rather than a snapshot.
    pub(super) is_deletion: bool,
}

impl Planned {
    pub(super) fn question(&self) -> Question<'_> {
        let Self { sub, modified_at, .. } = *self;
        Question { sub, username: self.username.as_deref(), modified_at }
    }
}

/// What `progress.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    user_pool_id: String,
    mode: Mode,
    /// Where the events go. A build of before did not write it down.
    #[serde(default)]
    queue_url: Option<String>,
    pub(super) started_at: Timestamp,
    pub(super) phase: Phase,
    /// Pages of the pool that are done.
    pub(super) pages: u64,
    /// The pagination token of the next page.
    pub(super) next: Option<String>,
    /// The last row that was compared.
    pub(super) after: Uuid,
    /// The length of `seen`.
    seen_bytes: u64,
    /// What was found so far, the plan included.
    pub(super) tally: Tally,
    /// Saved with its counts before it is published, so that each is counted once.
    pub(super) plan: Vec<Planned>,
    /// The page that has the users of the plan, if one has.
    #[serde(default)]
    pub(super) plan_page: Option<Asked>,
    /// How far the groups are compared.
    #[serde(default)]
    pub(super) walk: Walk,
}

/// The folder, locked by this process.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    seen: File,
    /// Locked until this is dropped.
    _lock: File,
    pub(super) progress: Progress,
    resumed: bool,
}

impl Checkpoint {
    /// Locks the folder and resumes an earlier run of the same kind, or begins a new one. With `restart` it discards
    /// an earlier run.
    ///
    /// # Errors
    /// When another process uses the folder, when it holds a run of another kind or for another queue, or when the disk fails.
    pub fn open(
        folder: &Path,
        user_pool_id: &str,
        mode: Mode,
        queue_url: Option<&str>,
        restart: bool,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Checkpoint { folder: folder.to_owned(), source };
        // The plan holds user names.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = folder.join(LOCK);
        let lock = File::options().write(true).create(true).truncate(false).open(lock).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { folder: folder.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let stored = if restart { None } else { read(folder)? };
        let resumed = stored.is_some();
        let mut progress = stored.unwrap_or_else(|| Progress {
            user_pool_id: user_pool_id.to_owned(),
            mode,
            queue_url: None,
            started_at: Timestamp::now(),
            phase: Phase::Users,
            pages: 0,
            next: None,
            after: Uuid::nil(),
            seen_bytes: 0,
            tally: Tally::default(),
            plan: Vec::new(),
            plan_page: None,
            walk: Walk::default(),
        });
        if (progress.user_pool_id.as_str(), progress.mode) != (user_pool_id, mode) {
            let Progress { user_pool_id, mode, started_at, .. } = progress;
            return Err(Error::OtherRun { folder: folder.to_owned(), user_pool_id, mode, started_at });
        }
        if let (Some(queue_url), Some(asked)) = (&progress.queue_url, queue_url)
            && queue_url != asked
        {
            let (folder, queue_url, asked) = (folder.to_owned(), queue_url.clone(), asked.to_owned());
            let Progress { mode, started_at, .. } = progress;
            return Err(Error::OtherQueue { folder, mode, queue_url, asked, started_at });
        }
        progress.queue_url = queue_url.map(str::to_owned).or(progress.queue_url);
        let seen = seen::open(&folder.join(SEEN), progress.seen_bytes).map_err(failed)?;
        if !resumed {
            remove(&folder.join(REQUESTS)).map_err(failed)?;
        }
        let checkpoint = Self { folder: folder.to_owned(), seen, _lock: lock, progress, resumed };
        checkpoint.save()?;
        Ok(checkpoint)
    }

    /// Whether it resumes an earlier run.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// When the first run of this checkpoint began.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.progress.started_at
    }

    /// What was found so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.progress.tally
    }

    /// The requests of all runs of this checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn requests(&self) -> Result<Requests, Error> {
        match fs::read(self.folder.join(REQUESTS)) {
            Ok(journal) => Ok(Requests::read(&journal)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Requests::default()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Where each request is written down before it is sent.
    pub(super) fn journal(&self) -> Result<File, Error> {
        let options = OpenOptions::new().append(true).create(true).mode(0o600).clone();
        options.open(self.folder.join(REQUESTS)).map_err(|error| self.failed(error))
    }

    /// Records that the pool listed these users.
    pub(super) fn see(&mut self, subs: &[Uuid]) -> Result<(), Error> {
        let subs: Vec<[u8; SUB]> = subs.iter().map(|sub| *sub.as_bytes()).collect();
        self.progress.seen_bytes +=
            seen::append(&mut self.seen, &subs).map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// The listed subs, in order.
    pub(super) fn sorted(&mut self) -> Result<Sorted<SUB>, Error> {
        let path = self.folder.join(SORTED);
        seen::sort(&mut self.seen, &path, RUN_ENTRIES).map_err(|error| self.failed(error))
    }

    /// What was listed of the groups.
    pub(super) fn spool(&self) -> Result<Spool, Error> {
        Spool::open(&self.folder, &self.progress.walk).map_err(|error| self.failed(error))
    }

    /// Saves the progress. Whenever the process ends, either the old or the new progress is on disk.
    pub(super) fn save(&self) -> Result<(), Error> {
        let write = || {
            let new = self.folder.join(NEW_PROGRESS);
            let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
            let mut file = options.open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(&self.progress)?)?;
            file.sync_all()?;
            fs::rename(new, self.folder.join(PROGRESS))
        };
        write().map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, source: io::Error) -> Error {
        Error::Checkpoint { folder: self.folder.clone(), source }
    }

    pub(super) fn unreadable(&self) -> Error {
        Error::Unreadable { folder: self.folder.clone() }
    }

    /// Removes the folder when the run is complete. Files that are not ours stay.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove(self) -> Result<(), Error> {
        for name in [PROGRESS, NEW_PROGRESS, SEEN, SORTED, REQUESTS, LOCK].into_iter().chain(spool::FILES) {
            remove(&self.folder.join(name)).map_err(|error| self.failed(error))?;
        }
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(self.failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Removes a file, if there is one.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read(folder: &Path) -> Result<Option<Progress>, Error> {
    let text = match fs::read(folder.join(PROGRESS)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Checkpoint { folder: folder.to_owned(), source }),
    };
    let progress = serde_json::from_slice(&text);
    progress.map(Some).map_err(|_| Error::Unreadable { folder: folder.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REPAIR: Mode = Mode { repair: true, claim_rows_without_pool: false, publish_all: false };

    const DRY_RUN: Mode = Mode { repair: false, ..REPAIR };

    const PUBLISH_ALL: Mode = Mode { publish_all: true, ..DRY_RUN };

    fn open(folder: &Path, pool: &str, mode: Mode, restart: bool) -> Result<Checkpoint, String> {
        Checkpoint::open(folder, pool, mode, None, restart).map_err(|error| error.to_string())
    }

    #[test]
    fn a_run_goes_on_for_its_own_queue_only() {
        let folder = tempfile::tempdir().unwrap();
        let open = |queue: &str, restart| {
            let opened = Checkpoint::open(folder.path(), "eu-west-1_A", PUBLISH_ALL, Some(queue), restart);
            opened.map_err(|error| error.to_string())
        };
        drop(open("https://one", false).unwrap());
        let refused = open("https://other", false).unwrap_err();
        for part in ["https://one", "https://other", "--restart", "USER_SYNC_QUEUE_URL", "--checkpoint"] {
            assert!(refused.contains(part), "{refused}");
        }
        assert!(open("https://one", false).unwrap().is_resumed());
        assert!(!open("https://other", true).unwrap().is_resumed());
        // One of a build of before goes on, and knows its queue from then on.
        let path = folder.path().join(PROGRESS);
        let mut saved: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        saved.as_object_mut().unwrap().remove("queue_url").unwrap();
        fs::write(&path, saved.to_string()).unwrap();
        assert!(open("https://one", false).unwrap().is_resumed());
        assert!(open("https://other", false).is_err());
    }

    #[test]
    fn a_run_goes_on_where_it_ended_and_nowhere_else() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let mut first = open(&folder, "eu-west-1_A", REPAIR, false).unwrap();
        assert!(!first.is_resumed());
        first.see(&[Uuid::from_u128(1), Uuid::from_u128(2)]).unwrap();
        first.progress.pages = 1;
        first.save().unwrap();
        first.see(&[Uuid::from_u128(3)]).unwrap();
        let (started_at, progress) = (first.started_at(), first.progress.clone());
        let busy = open(&folder, "eu-west-1_A", REPAIR, true).unwrap_err();
        assert!(busy.contains("another reconcile"), "{busy}");
        drop(first);

        for (pool, mode) in [("eu-west-1_B", REPAIR), ("eu-west-1_A", DRY_RUN), ("eu-west-1_A", PUBLISH_ALL)]
        {
            let refused = open(&folder, pool, mode, false).unwrap_err();
            assert!(
                refused.contains("a repair of eu-west-1_A") && refused.contains("--restart"),
                "{refused}"
            );
        }
        let mut second = open(&folder, "eu-west-1_A", REPAIR, false).unwrap();
        assert!(second.is_resumed());
        assert_eq!((second.started_at(), second.progress.pages), (started_at, 1));
        assert_eq!(second.progress.seen_bytes + 16, progress.seen_bytes, "the third was not recorded");
        assert!(!second.sorted().unwrap().contains(Uuid::from_u128(3)).unwrap());
        drop(second);

        let restarted = open(&folder, "eu-west-1_B", DRY_RUN, true).unwrap();
        assert_eq!((restarted.is_resumed(), restarted.progress.seen_bytes), (false, 0));
        fs::write(folder.join("mine"), "x").unwrap();
        restarted.remove().unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "what is not ours stays");
    }

    #[test]
    fn a_damaged_checkpoint_says_how_to_discard_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(PROGRESS), "{").unwrap();
        let refused = open(folder.path(), "eu-west-1_A", REPAIR, false).unwrap_err();
        assert!(refused.contains("--restart"), "{refused}");
    }
}
