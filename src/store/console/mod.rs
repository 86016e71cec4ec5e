//! What the console writes: what was done with it, what is about to be done, and what became of that. Only ever added to,
//! on the database that takes writes; within [`LIMIT`], or it was not done. Must not know a page.
//!
//! | part | what it is for |
//! |---|---|
//! | [`trail`] | what was done, refusals too |
//! | [`plans`] | what somebody is about to do, bound to what they saw |
//! | [`recorded`] | whether the ledgers have what was sent back; reads |
//! | [`tasks`] | plans that were started, and how far they are |

pub mod plans;
pub mod recorded;
pub mod tasks;
pub mod trail;

use std::time::Duration;

use crate::postgres::{Database, Purpose, Transaction};

/// How long a write may take, its commit included. Who waits longer is told that it was not done.
pub const LIMIT: Duration = Duration::from_secs(10);

/// The longest name of whoever does something, in characters.
pub const WHO_MAX: usize = 320;

/// The longest text about what was done, in characters.
pub const TEXT_MAX: usize = 400;

/// How many rows [`forget`] deletes in one transaction.
const BATCH: i64 = 10_000;

/// Ends a write that takes too long. Its transaction is dropped then, and its connection with it.
async fn in_time<T>(written: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late =
        || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the write took too long"));
    tokio::time::timeout(LIMIT, written).await.unwrap_or_else(|_| Err(late()))
}

async fn begin(primary: &Database) -> Result<Transaction, sqlx::Error> {
    primary.begin(Purpose::Command).await
}

/// A text as the tables take it: cut, and without NUL, which no text of PostgreSQL's has.
fn bounded(text: &str, max: usize) -> String {
    text.chars().filter(|character| *character != '\0').take(max).collect()
}

/// The same of a text that need not be there; one that is empty is not.
fn bounded_if_any(text: Option<&str>) -> Option<String> {
    text.map(|text| bounded(text.trim(), TEXT_MAX)).filter(|text| !text.is_empty())
}

/// Deletes what is older than `days` days: the trail, and plans with their tasks. For the owner of the tables: the console
/// may not. Returns how many entries of the trail it deleted.
///
/// # Errors
/// When the database fails; what was deleted until then stays so.
pub async fn forget(database: &Database, days: u32) -> Result<u64, sqlx::Error> {
    let mut entries = 0;
    for (statement, is_trail) in [
        (include_str!("forget_notes.sql"), false),
        (include_str!("forget_tasks.sql"), false),
        (include_str!("forget_plans.sql"), false),
        (include_str!("forget_trail.sql"), true),
    ] {
        loop {
            let mut tx = begin(database).await?;
            let query = sqlx::query(statement).bind(i32::try_from(days).unwrap_or(i32::MAX)).bind(BATCH);
            let deleted = query.execute(&mut tx).await?.rows_affected();
            tx.commit().await?;
            entries += if is_trail { deleted } else { 0 };
            if deleted == 0 {
                break;
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_and_has_nothing_that_a_table_refuses() {
        assert_eq!(bounded("a\0b", 10), "ab");
        assert_eq!(bounded(&"ä".repeat(500), TEXT_MAX).chars().count(), TEXT_MAX);
        assert_eq!(bounded_if_any(Some(" \0 ")), None);
        assert_eq!(bounded_if_any(Some(" change 882 ")).as_deref(), Some("change 882"));
    }
}
