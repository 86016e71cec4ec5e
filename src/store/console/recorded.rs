//! Whether events are in the ledgers, by their keys: what became of what was sent back. Must not know a page.

use uuid::Uuid;

use crate::postgres::Database;

/// Ids in one question: each is a look into one index.
const IDS_A_QUESTION: usize = 1_000;

/// How many of these events the ledgers have, of users, groups and contexts. Heartbeats and failed sign-ins are in none by
/// their messages' ids.
///
/// # Errors
/// When the database cannot be asked.
pub async fn count(database: &Database, events: &[Uuid]) -> Result<u64, sqlx::Error> {
    let mut all = 0;
    for events in events.chunks(IDS_A_QUESTION) {
        let recorded: i64 =
            sqlx::query_scalar(include_str!("recorded.sql")).bind(events).fetch_one(database.pages()).await?;
        all += u64::try_from(recorded).unwrap_or(0);
    }
    Ok(all)
}
