//! Counts the requests that are sent to a user pool, and limits their rate. Must not know what they ask for.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What is asked, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ListUsers,
    ListUsersInGroup,
    ListGroups,
    DescribeUserPool,
    AdminGetUser,
}

impl Operation {
    const ALL: [Self; 5] = [
        Self::ListUsers,
        Self::ListUsersInGroup,
        Self::ListGroups,
        Self::DescribeUserPool,
        Self::AdminGetUser,
    ];

    /// How the journal writes it.
    fn letter(self) -> u8 {
        match self {
            Self::ListUsers => b'U',
            Self::ListUsersInGroup => b'M',
            Self::ListGroups => b'G',
            Self::DescribeUserPool => b'D',
            Self::AdminGetUser => b'A',
        }
    }
}

/// How many requests were sent, by operation. One that is sent again, because it was throttled or failed, counts again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// Pages of users, and questions for one user.
    pub list_users: u64,
    /// Pages of members.
    pub list_users_in_group: u64,
    /// Pages of groups.
    pub list_groups: u64,
    /// Questions for the pool's settings, or for how many users it has.
    pub describe_user_pool: u64,
    /// Each makes its user a monthly active one.
    pub admin_get_user: u64,
}

impl Requests {
    /// What a journal holds.
    #[must_use]
    pub fn read(journal: &[u8]) -> Self {
        let mut requests = Self::default();
        for operation in Operation::ALL {
            let sent = journal.iter().filter(|letter| **letter == operation.letter()).count();
            *requests.of(operation) = sent as u64;
        }
        requests
    }

    fn of(&mut self, operation: Operation) -> &mut u64 {
        match operation {
            Operation::ListUsers => &mut self.list_users,
            Operation::ListUsersInGroup => &mut self.list_users_in_group,
            Operation::ListGroups => &mut self.list_groups,
            Operation::DescribeUserPool => &mut self.describe_user_pool,
            Operation::AdminGetUser => &mut self.admin_get_user,
        }
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, mut other: Self) {
        for operation in Operation::ALL {
            *self.of(operation) += *other.of(operation);
        }
    }
}

/// Counts requests, and writes each into a journal before it is sent, so that the count outlives the process.
#[derive(Debug, Default)]
pub(super) struct Counter(Mutex<(Requests, Option<File>)>);

impl Counter {
    pub(super) fn count(&self, operation: Operation) {
        let mut counted = self.lock();
        *counted.0.of(operation) += 1;
        if let Some(journal) = &mut counted.1 {
            // A disk that takes nothing fails the next checkpoint.
            drop(journal.write_all(&[operation.letter()]));
        }
    }

    pub(super) fn counted(&self) -> Requests {
        self.lock().0
    }

    /// Keeps the count in this file from now on: what was counted until now, too.
    pub(super) fn keep_in(&self, mut journal: File) -> io::Result<()> {
        let mut counted = self.lock();
        for operation in Operation::ALL {
            for _ in 0..*counted.0.of(operation) {
                journal.write_all(&[operation.letter()])?;
            }
        }
        counted.1 = Some(journal);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (Requests, Option<File>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets requests through one after the other, at a limited rate.
#[derive(Debug)]
pub(super) struct RateLimiter {
    interval: Duration,
    next: tokio::sync::Mutex<Instant>,
}

impl RateLimiter {
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, next: tokio::sync::Mutex::new(Instant::now()) }
    }

    pub(super) async fn wait(&self) {
        let turn = {
            let mut next = self.next.lock().await;
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval;
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_counted_before_there_is_a_journal_and_after_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests");
        for run in 1..=2 {
            let counter = Counter::default();
            counter.count(Operation::DescribeUserPool);
            counter.keep_in(File::options().append(true).create(true).open(&path).unwrap()).unwrap();
            counter.count(Operation::ListUsers);
            counter.count(Operation::ListUsers);
            let once = Requests { list_users: 2, describe_user_pool: 1, ..Requests::default() };
            assert_eq!(counter.counted(), once);
            let mut expected = Requests::default();
            (0..run).for_each(|_| expected += once);
            assert_eq!(Requests::read(&std::fs::read(&path).unwrap()), expected);
        }
    }
}
