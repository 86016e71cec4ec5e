//! Keeps what the pool listed on disk, some bytes for each user or membership: appends it as it comes and reads it back
//! in order. Must not know what it is compared with.
//!
//! So memory does not grow with the number of users, and the rows, which come in the order of their ids, are compared
//! with the entries in one pass. An entry begins with the sub.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use uuid::Uuid;

/// Bytes of an entry that is a sub.
pub(super) const SUB: usize = size_of::<Uuid>();

/// Entries that are sorted in memory at once: 8 MB of subs.
pub(super) const RUN_ENTRIES: usize = 500_000;

/// Entries that are read at once of each sorted run: 64 KiB of subs, so 5 MB for the 80 runs of 40,000,000 users.
const READ_ENTRIES: usize = 4_096;

/// Opens the file of entries and truncates it to the length of the last checkpoint.
pub(super) fn open(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_len(bytes)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// Appends entries, and returns the bytes written when they are on disk.
pub(super) fn append<const N: usize>(file: &mut File, entries: &[[u8; N]]) -> io::Result<u64> {
    let bytes = entries.as_flattened();
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(bytes.len() as u64)
}

/// Sorts the entries of `seen` in runs of `run_entries` into the file at `path`, and returns them in order.
pub(super) fn sort<const N: usize>(
    seen: &mut File,
    path: &Path,
    run_entries: usize,
) -> io::Result<Sorted<N>> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).clone();
    let mut sorted = BufWriter::new(options.open(path)?);
    let run_bytes = (run_entries * N) as u64;
    seen.seek(SeekFrom::Start(0))?;
    let mut runs = Vec::new();
    let mut start = 0;
    loop {
        let mut bytes = Vec::new();
        let length = (&mut *seen).take(run_bytes).read_to_end(&mut bytes)? as u64;
        if length == 0 {
            break;
        }
        let (entries, _) = bytes.as_chunks_mut::<N>();
        entries.sort_unstable();
        sorted.write_all(&bytes)?;
        runs.push(Run { next: start, end: start + length, buffer: Vec::new() });
        start += length;
    }
    Sorted::new(sorted.into_inner().map_err(io::IntoInnerError::into_error)?, runs)
}

/// A sorted part of the file.
#[derive(Debug)]
struct Run<const N: usize> {
    /// Where the bytes begin that are not read yet.
    next: u64,
    end: u64,
    /// The entries that were read, the next one last.
    buffer: Vec<[u8; N]>,
}

impl<const N: usize> Run<N> {
    fn pop(&mut self, file: &File) -> io::Result<Option<[u8; N]>> {
        if self.buffer.is_empty() && self.next < self.end {
            let length = (self.end - self.next).min((READ_ENTRIES * N) as u64);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(READ_ENTRIES * N)];
            file.read_exact_at(&mut bytes, self.next)?;
            self.next += length;
            self.buffer = bytes.as_chunks::<N>().0.to_vec();
            self.buffer.reverse();
        }
        Ok(self.buffer.pop())
    }
}

/// The listed entries in ascending order.
#[derive(Debug)]
pub(super) struct Sorted<const N: usize> {
    file: File,
    runs: Vec<Run<N>>,
    /// The next entry of each run, the least on top.
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Sorted<N> {
    fn new(file: File, mut runs: Vec<Run<N>>) -> io::Result<Self> {
        let mut heads = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(run.pop(&file)?.map(|sub| Reverse((sub, index))));
        }
        Ok(Self { file, runs, heads })
    }

    /// The next entry, which stays the next one.
    pub(super) fn peek(&self) -> Option<[u8; N]> {
        self.heads.peek().map(|Reverse((head, _))| *head)
    }

    /// Goes on to the entry after the next one.
    pub(super) fn skip(&mut self) -> io::Result<()> {
        let run = self.heads.pop().map(|Reverse((_, run))| run);
        if let Some((run, run_of_head)) = run.and_then(|run| Some((run, self.runs.get_mut(run)?))) {
            let next = run_of_head.pop(&self.file)?;
            self.heads.extend(next.map(|next| Reverse((next, run))));
        }
        Ok(())
    }
}

impl Sorted<SUB> {
    /// Whether `sub` was listed. Must be called in ascending order: it skips what comes before.
    pub(super) fn contains(&mut self, sub: Uuid) -> io::Result<bool> {
        while let Some(head) = self.peek() {
            match head.cmp(sub.as_bytes()) {
                std::cmp::Ordering::Greater => return Ok(false),
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => self.skip()?,
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    fn bytes(subs: &[Uuid]) -> Vec<[u8; SUB]> {
        subs.iter().map(|sub| *sub.as_bytes()).collect()
    }

    #[test]
    fn every_listed_sub_is_found_and_no_other() {
        let mut random = fastrand::Rng::with_seed(7);
        for (listed, run_entries) in [(0, 8), (1, 8), (8, 8), (9, 8), (30_000, 6_000), (30_000, 7)] {
            let folder = tempfile::tempdir().unwrap();
            let mut file = open(&folder.path().join("seen"), 0).unwrap();
            // Some are listed twice, and all are near each other, so that neighbours are asked for.
            let subs: Vec<Uuid> = (0..listed).map(|_| Uuid::from_u128(random.u128(0..60_000))).collect();
            for page in subs.chunks(60) {
                append(&mut file, &bytes(page)).unwrap();
            }
            let expected: BTreeSet<Uuid> = subs.into_iter().collect();
            let mut sorted = sort(&mut file, &folder.path().join("sorted"), run_entries).unwrap();
            for number in 0..60_000 {
                let sub = Uuid::from_u128(number);
                assert_eq!(sorted.contains(sub).unwrap(), expected.contains(&sub), "{sub}");
            }
        }
    }

    #[test]
    fn what_was_written_after_the_last_checkpoint_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen");
        let subs = [Uuid::from_u128(1), Uuid::from_u128(2)];
        append(&mut open(&path, 0).unwrap(), &bytes(&subs)).unwrap();
        let mut file = open(&path, SUB as u64).unwrap();
        append(&mut file, &bytes(&[Uuid::from_u128(3)])).unwrap();
        let mut sorted = sort(&mut file, &folder.path().join("sorted"), RUN_ENTRIES).unwrap();
        let found = (1..=3).map(|number| sorted.contains(Uuid::from_u128(number)).unwrap());
        assert_eq!(found.collect::<Vec<_>>(), [true, false, true]);
    }
}
