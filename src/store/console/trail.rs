//! What was done with the console, and what was refused: who, when, what, why, and what came of it. Only ever added to.

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::{Database, Transaction};
use crate::store::console::{WHO_MAX, begin, bounded, bounded_if_any, in_time};

/// Most names that [`people`] answers.
const MAX_PEOPLE: i64 = 50;

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// Signed in.
    SignedIn,
    /// Searched for a user; not by what.
    Searched,
    /// Saw the personal data of one user.
    Revealed,
    /// Masked it again.
    Masked,
    /// Received dead letters, which hides them from others for a while.
    Read,
    /// Made a plan; nothing is done yet.
    Planned,
    /// Started it.
    Started,
    /// Cancelled a task.
    Cancelled,
    /// A task of theirs ended.
    Finished,
    /// Wanted to do what they may not.
    Refused,
}

impl Did {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 10] = [
        Self::SignedIn,
        Self::Searched,
        Self::Revealed,
        Self::Masked,
        Self::Read,
        Self::Planned,
        Self::Started,
        Self::Cancelled,
        Self::Finished,
        Self::Refused,
    ];

    /// The word in the table and in URLs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedIn => "signed_in",
            Self::Searched => "searched",
            Self::Revealed => "revealed",
            Self::Masked => "masked",
            Self::Read => "read",
            Self::Planned => "planned",
            Self::Started => "started",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
            Self::Refused => "refused",
        }
    }

    /// What the word means, if it means anything.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|did| did.as_str() == word)
    }
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Who did it, as their session calls them.
    pub who: String,
    /// What they did.
    pub did: Did,
    /// To what: a sub, a plan, a scope. No personal data.
    pub what: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// What came of it.
    pub result: Option<String>,
}

/// Writes it down. Whoever gets an error must not do it: what is not written down is not done.
///
/// # Errors
/// When it is not known to be written.
pub async fn write(primary: &Database, deed: &Deed) -> Result<(), sqlx::Error> {
    in_time(async {
        let mut tx = begin(primary).await?;
        add(&mut tx, deed).await?;
        tx.commit().await
    })
    .await
}

/// The same, as a part of what is done.
pub(super) async fn add(tx: &mut Transaction, deed: &Deed) -> Result<(), sqlx::Error> {
    let Deed { who, did, what, reason, result } = deed;
    let query = "insert into user_sync_console_trail (id, who, did, what, reason, result) values ($1, $2, $3, $4, $5, $6)";
    sqlx::query(query)
        .bind(Uuid::now_v7())
        .bind(name(who))
        .bind(did.as_str())
        .bind(bounded_if_any(what.as_deref()))
        .bind(bounded_if_any(reason.as_deref()))
        .bind(bounded_if_any(result.as_deref()))
        .execute(tx)
        .await
        .map(drop)
}

/// A name as the tables take it, which is never empty.
pub(super) fn name(who: &str) -> String {
    let name = bounded(who.trim(), WHO_MAX);
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Which entries are wanted, latest first.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Of this person only.
    pub who: Option<String>,
    /// What was done, only.
    pub did: Option<Did>,
    /// Older than this entry.
    pub before: Option<Uuid>,
    /// At most so many.
    pub limit: i64,
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id: entries are ordered by it.
    pub id: Uuid,
    /// When, by the database's clock.
    pub at: Timestamp,
    /// Who did it.
    pub who: String,
    /// What they did; a newer console's word may be none of [`Did`].
    pub did: String,
    /// To what.
    pub what: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What came of it.
    pub result: Option<String>,
}

type Row = (Uuid, OffsetDateTime, String, String, Option<String>, Option<String>, Option<String>);

/// The entries, by one index whatever is asked.
///
/// # Errors
/// When the database cannot be asked.
pub async fn read(database: &Database, asked: &Asked) -> Result<Vec<Entry>, sqlx::Error> {
    let Asked { who, did, before, limit } = asked;
    // A condition that may be null would let a plan that fits all read more than it shows.
    let conditions = match (who, did) {
        (None, None) => "$2::text is null and $3::text is null",
        (Some(_), None) => "who = $2 and $3::text is null",
        (None, Some(_)) => "$2::text is null and did = $3",
        (Some(_), Some(_)) => "who = $2 and did = $3",
    };
    let query = format!(
        "select id, at, who, did, what, reason, result from user_sync_console_trail
        where id < $1 and {conditions} order by id desc limit $4"
    );
    let query = sqlx::query_as(AssertSqlSafe(query)).bind(before.unwrap_or(Uuid::max()));
    let query = query.bind(who.as_deref()).bind(did.map(Did::as_str)).bind(*limit);
    let rows: Vec<Row> = query.fetch_all(database.pages()).await?;
    let entry = |(id, at, who, did, what, reason, result): Row| {
        let at = Timestamp::from(at);
        Entry { id, at, who, did, what, reason, result }
    };
    Ok(rows.into_iter().map(entry).collect())
}

/// Who ever did something here, in the order of their names; at most fifty. One look into the index for each.
///
/// # Errors
/// When the database cannot be asked.
pub async fn people(database: &Database) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(include_str!("people.sql")).bind(MAX_PEOPLE).fetch_all(database.pages()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_what_it_was_written_for() {
        for did in Did::ALL {
            assert_eq!(Did::parse(did.as_str()), Some(did));
        }
        assert_eq!(Did::parse("deleted"), None);
        assert_eq!(name(" \0"), "unknown");
    }
}
