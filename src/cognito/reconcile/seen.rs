//! Keeps the subs that the pool listed on disk, 16 bytes each: appends them as they come and reads them back in order.
//! Must not know what they are compared with.
//!
//! So memory does not grow with the number of users, and the rows, which come in the order of their ids, are compared
//! with the subs in one pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use uuid::Uuid;

/// Bytes of one sub.
const SUB: usize = size_of::<Uuid>();

/// Subs that are sorted in memory at once: 8 MB.
pub(super) const RUN_SUBS: usize = 500_000;

/// Subs that are read at once of each sorted run: 64 KiB, so 5 MB for the 80 runs of 40,000,000 users.
const READ_SUBS: usize = 4_096;

/// Opens the file of subs and truncates it to the length of the last checkpoint.
pub(super) fn open(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_len(bytes)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// Appends subs, and returns the bytes written when they are on disk.
pub(super) fn append(file: &mut File, subs: &[Uuid]) -> io::Result<u64> {
    let bytes: Vec<u8> = subs.iter().flat_map(|sub| *sub.as_bytes()).collect();
    file.write_all(&bytes)?;
    file.sync_data()?;
    Ok(bytes.len() as u64)
}

/// Sorts the subs of `seen` in runs of `run_subs` into the file at `path`, and returns them in order.
pub(super) fn sort(seen: &mut File, path: &Path, run_subs: usize) -> io::Result<Sorted> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).clone();
    let mut sorted = BufWriter::new(options.open(path)?);
    let run_bytes = (run_subs * SUB) as u64;
    seen.seek(SeekFrom::Start(0))?;
    let mut runs = Vec::new();
    let mut start = 0;
    loop {
        let mut bytes = Vec::new();
        let length = (&mut *seen).take(run_bytes).read_to_end(&mut bytes)? as u64;
        if length == 0 {
            break;
        }
        let (subs, _) = bytes.as_chunks_mut::<SUB>();
        subs.sort_unstable();
        sorted.write_all(&bytes)?;
        runs.push(Run { next: start, end: start + length, buffer: Vec::new() });
        start += length;
    }
    Sorted::new(sorted.into_inner().map_err(io::IntoInnerError::into_error)?, runs)
}

/// A sorted part of the file.
#[derive(Debug)]
struct Run {
    /// Where the bytes begin that are not read yet.
    next: u64,
    end: u64,
    /// The subs that were read, the next one last.
    buffer: Vec<[u8; SUB]>,
}

impl Run {
    fn pop(&mut self, file: &File) -> io::Result<Option<[u8; SUB]>> {
        if self.buffer.is_empty() && self.next < self.end {
            let length = (self.end - self.next).min((READ_SUBS * SUB) as u64);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(READ_SUBS * SUB)];
            file.read_exact_at(&mut bytes, self.next)?;
            self.next += length;
            self.buffer = bytes.as_chunks::<SUB>().0.to_vec();
            self.buffer.reverse();
        }
        Ok(self.buffer.pop())
    }
}

/// The listed subs in ascending order.
#[derive(Debug)]
pub(super) struct Sorted {
    file: File,
    runs: Vec<Run>,
    /// The next sub of each run, the least on top.
    heads: BinaryHeap<Reverse<([u8; SUB], usize)>>,
}

impl Sorted {
    fn new(file: File, mut runs: Vec<Run>) -> io::Result<Self> {
        let mut heads = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(run.pop(&file)?.map(|sub| Reverse((sub, index))));
        }
        Ok(Self { file, runs, heads })
    }

    /// Whether `sub` was listed. Must be called in ascending order: it skips what comes before.
    pub(super) fn contains(&mut self, sub: Uuid) -> io::Result<bool> {
        while let Some(Reverse((head, run))) = self.heads.peek().copied() {
            match head.cmp(sub.as_bytes()) {
                std::cmp::Ordering::Greater => return Ok(false),
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => {}
            }
            self.heads.pop();
            if let Some(run_of_head) = self.runs.get_mut(run) {
                let next = run_of_head.pop(&self.file)?;
                self.heads.extend(next.map(|next| Reverse((next, run))));
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

    #[test]
    fn every_listed_sub_is_found_and_no_other() {
        let mut random = fastrand::Rng::with_seed(7);
        for (listed, run_subs) in [(0, 8), (1, 8), (8, 8), (9, 8), (30_000, 6_000), (30_000, 7)] {
            let folder = tempfile::tempdir().unwrap();
            let mut file = open(&folder.path().join("seen"), 0).unwrap();
            // Some are listed twice, and all are near each other, so that neighbours are asked for.
            let subs: Vec<Uuid> = (0..listed).map(|_| Uuid::from_u128(random.u128(0..60_000))).collect();
            for page in subs.chunks(60) {
                append(&mut file, page).unwrap();
            }
            let expected: BTreeSet<Uuid> = subs.into_iter().collect();
            let mut sorted = sort(&mut file, &folder.path().join("sorted"), run_subs).unwrap();
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
        append(&mut open(&path, 0).unwrap(), &subs).unwrap();
        let mut file = open(&path, SUB as u64).unwrap();
        append(&mut file, &[Uuid::from_u128(3)]).unwrap();
        let mut sorted = sort(&mut file, &folder.path().join("sorted"), RUN_SUBS).unwrap();
        let found = (1..=3).map(|number| sorted.contains(Uuid::from_u128(number)).unwrap());
        assert_eq!(found.collect::<Vec<_>>(), [true, false, true]);
    }
}
