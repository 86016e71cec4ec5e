//! Keeps on disk which groups the pool listed, when each was walked, and who was in them: 20 bytes a membership. Must
//! not know Cognito or the database.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cognito::reconcile::seen::{self, RUN_ENTRIES, SUB, Sorted};

/// Bytes of a membership: the sub, and the number of the group.
const MEMBERSHIP: usize = SUB + size_of::<u32>();

/// Bytes of the time of a walk.
const TIME: usize = size_of::<u64>();

const NAMES: &str = "groups";
const WALKS: &str = "walks";
const MEMBERS: &str = "members";
const SORTED: &str = "members-sorted";

/// Every file that is kept in the checkpoint's folder.
pub(super) const FILES: [&str; 4] = [NAMES, WALKS, MEMBERS, SORTED];

/// How far the comparison of the groups is; part of the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Walk {
    /// Before the first request for the groups was sent; none until all of them are known.
    pub(super) listed_at: Option<Timestamp>,
    /// The number of the group that is walked now.
    pub(super) group: u32,
    /// Before the first request for its members was sent.
    pub(super) began_at: Option<Timestamp>,
    /// The pagination token of its next page.
    pub(super) next: Option<String>,
    /// The length of the file of members.
    members_bytes: u64,
    /// The last membership that was compared.
    pub(super) after: (Uuid, String),
    /// Groups with members in the table that the pool does not have.
    pub(super) gone: BTreeSet<String>,
    /// Events as they are sent, saved with their counts before they are published.
    pub(super) plan: Vec<String>,
}

/// The files.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    /// The names of the listed groups, in the order of their numbers.
    pub(super) names: Vec<String>,
    members: File,
    walks: File,
}

impl Spool {
    /// Opens the files as they were when `walk` was saved.
    pub(super) fn open(folder: &Path, walk: &Walk) -> io::Result<Self> {
        let names = match walk.listed_at {
            Some(_) => serde_json::from_slice(&fs::read(folder.join(NAMES))?)?,
            None => Vec::new(),
        };
        let members = seen::open(&folder.join(MEMBERS), walk.members_bytes)?;
        let walks = seen::open(&folder.join(WALKS), u64::from(walk.group) * TIME as u64)?;
        Ok(Self { folder: folder.to_owned(), names, members, walks })
    }

    /// Writes down which groups there are.
    pub(super) fn list(&mut self, names: Vec<String>) -> io::Result<()> {
        fs::write(self.folder.join(NAMES), serde_json::to_vec(&names)?)?;
        File::open(self.folder.join(NAMES))?.sync_all()?;
        self.names = names;
        Ok(())
    }

    /// Writes down that these users are in the group that is walked now.
    pub(super) fn add(&mut self, walk: &mut Walk, subs: &[Uuid]) -> io::Result<()> {
        let group = walk.group.to_be_bytes();
        let membership = |sub: &Uuid| {
            let mut entry = [0; MEMBERSHIP];
            let (head, tail) = entry.split_at_mut(SUB);
            head.copy_from_slice(sub.as_bytes());
            tail.copy_from_slice(&group);
            entry
        };
        let entries: Vec<[u8; MEMBERSHIP]> = subs.iter().map(membership).collect();
        walk.members_bytes += seen::append(&mut self.members, &entries)?;
        Ok(())
    }

    /// Goes on to the next group. A group without a time was not walked to its end.
    pub(super) fn end_group(&mut self, walk: &mut Walk, began_at: Option<Timestamp>) -> io::Result<()> {
        let millis = began_at.map_or(0, Timestamp::unix_millis);
        seen::append(&mut self.walks, &[millis.to_be_bytes()])?;
        (walk.began_at, walk.next) = (None, None);
        walk.group += 1;
        Ok(())
    }

    /// Before the first request for the members of each group was sent, by its number; none if it was not walked to its
    /// end.
    pub(super) fn walks(&self) -> io::Result<Vec<Option<Timestamp>>> {
        let bytes = fs::read(self.folder.join(WALKS))?;
        let (times, _) = bytes.as_chunks::<TIME>();
        let time = |bytes: &[u8; TIME]| Some(u64::from_be_bytes(*bytes)).filter(|millis| *millis > 0);
        Ok(times.iter().map(|bytes| time(bytes).map(Timestamp::from_unix_millis)).collect())
    }

    /// Everybody who was listed.
    pub(super) fn members(&mut self) -> io::Result<Members> {
        let sorted = seen::sort(&mut self.members, &self.folder.join(SORTED), RUN_ENTRIES)?;
        Ok(Members { sorted, current: None })
    }
}

/// Who was listed in which group.
#[derive(Debug)]
pub(super) struct Members {
    sorted: Sorted<MEMBERSHIP>,
    /// The user who was asked for last, and the groups of that user.
    current: Option<(Uuid, BTreeSet<u32>)>,
}

impl Members {
    /// Whether `sub` was listed in the group of this number. Subs must come in ascending order, groups may come in any.
    pub(super) fn has(&mut self, sub: Uuid, group: u32) -> io::Result<bool> {
        if let Some((current, groups)) = &self.current
            && *current == sub
        {
            return Ok(groups.contains(&group));
        }
        let mut groups = BTreeSet::new();
        while let Some(entry) = self.sorted.peek() {
            let (head, tail) = entry.split_at(SUB);
            match head.cmp(sub.as_bytes()) {
                std::cmp::Ordering::Greater => break,
                std::cmp::Ordering::Equal => {
                    groups.extend(tail.first_chunk().map(|number| u32::from_be_bytes(*number)));
                }
                std::cmp::Ordering::Less => {}
            }
            self.sorted.skip()?;
        }
        let is_listed = groups.contains(&group);
        self.current = Some((sub, groups));
        Ok(is_listed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sub(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn memberships_are_found_by_user_and_group_and_what_was_not_saved_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (mut walk, at) = (Walk::default(), Timestamp::from_unix_millis(1_000));
        let mut spool = Spool::open(folder.path(), &walk).unwrap();
        spool.list(vec!["b".to_owned(), "a".to_owned(), "lost".to_owned()]).unwrap();
        walk.listed_at = Some(at);
        spool.add(&mut walk, &[sub(3), sub(1)]).unwrap();
        spool.add(&mut walk, &[sub(2)]).unwrap();
        spool.end_group(&mut walk, Some(at)).unwrap();
        spool.add(&mut walk, &[sub(3)]).unwrap();
        let saved = walk.clone();
        spool.add(&mut walk, &[sub(1)]).unwrap();
        spool.end_group(&mut walk, Some(at)).unwrap();
        drop(spool);

        let mut walk = saved;
        let mut spool = Spool::open(folder.path(), &walk).unwrap();
        assert_eq!((spool.names.len(), walk.group), (3, 1));
        spool.end_group(&mut walk, None).unwrap();
        assert_eq!(spool.walks().unwrap(), [Some(at), None]);
        let mut members = spool.members().unwrap();
        for (number, group, expected) in [
            (0, 0, false),
            (1, 1, false),
            (1, 0, true),
            (2, 0, true),
            (3, 1, true),
            (3, 0, true),
            (3, 2, false),
            (4, 0, false),
        ] {
            assert_eq!(members.has(sub(number), group).unwrap(), expected, "{number} in {group}");
        }
    }
}
