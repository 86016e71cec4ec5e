//! Finds users by what somebody typed: a whole sub, address or user name, or the beginning of a name.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::postgres::{Database, Purpose, Transaction};
use crate::store::directory::{PAGE, find_by_index};
use crate::store::tables::failure::StoreError;
use crate::store::tables::history;

/// The shortest beginning of a name that is looked for, in characters.
const NAME_MIN_CHARS: usize = 2;

/// By what a text was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The sub.
    Sub,
    /// E-mail addresses, those of now and those that a user ever showed.
    Email,
    /// Phone numbers, in the same way.
    Phone,
    /// User names.
    UserName,
    /// The beginning of names.
    Name,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// By what the text was compared.
    pub compared: Vec<How>,
    /// Who was found, each once, with the first way in which it was; at most [`PAGE`].
    pub users: Vec<(Uuid, How)>,
    /// Whether there are more.
    pub has_more: bool,
}

/// Finds users by what somebody typed.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(database: &Database, text: &str) -> Result<Found, StoreError> {
    let failed = StoreError::when("finding users");
    let mut tx = database.begin(Purpose::Page).await.map_err(&failed)?;
    let found = find_in(&mut tx, text.trim()).await.map_err(&failed)?;
    tx.rollback().await.map_err(&failed)?;
    Ok(found)
}

/// What a text may be. A NUL cannot be in any of PostgreSQL's.
fn ways(text: &str) -> Vec<(How, String)> {
    if text.is_empty() || text.contains('\0') {
        return Vec::new();
    }
    let mut ways = Vec::new();
    if let Ok(sub) = Uuid::try_parse(text) {
        ways.push((How::Sub, sub.to_string()));
    }
    if text.contains('@') {
        ways.push((How::Email, text.to_ascii_lowercase()));
    }
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/')).collect();
    if digits
        .strip_prefix('+')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    {
        ways.push((How::Phone, digits));
    }
    ways.push((How::UserName, text.to_owned()));
    if text.chars().count() >= NAME_MIN_CHARS {
        ways.push((How::Name, text.to_owned()));
    }
    ways
}

/// The statement of each way; `$1` is the text, and it yields subs, one more than a page.
fn statement(how: How) -> &'static str {
    match how {
        How::Sub => "select id from users where id = $1::uuid",
        How::Email => "select user_id from user_claims where kind = 'email' and value = $1 order by user_id",
        How::Phone => "select user_id from user_claims where kind = 'phone' and value = $1 order by user_id",
        How::UserName => {
            // Apart: for a list in the order of ids the planner would read the key of all users to its end.
            "with named as materialized (
                select id from users where lower(cognito_username) = lower($1) and cognito_username <> id::text)
            select id from named order by id"
        }
        // Every text that begins with another one is between that and the same with the last character behind it.
        How::Name => {
            "select id from users where name <> 'User'
                and lower(name) ~>=~ lower($1) and lower(name) ~<~ (lower($1) || chr(1114111))
            order by lower(name) using ~<~, id"
        }
    }
}

async fn find_in(tx: &mut Transaction, text: &str) -> Result<Found, sqlx::Error> {
    find_by_index(tx).await?;
    let mut found = Found::default();
    for (how, text) in ways(text) {
        found.compared.push(how);
        let statement = format!("select found.* from ({}) as found limit {}", statement(how), PAGE + 1);
        let ids: Vec<Uuid> =
            sqlx::query_scalar(AssertSqlSafe(statement)).bind(&text).fetch_all(&mut *tx).await?;
        for id in ids {
            if !found.users.iter().any(|(known, _)| *known == id) {
                found.users.push((id, how));
            }
        }
    }
    // Of whom only events tell, there is a page, too.
    if let (true, Ok(sub)) = (found.users.is_empty(), Uuid::try_parse(text))
        && has_history(tx, sub).await?
    {
        found.users.push((sub, How::Sub));
    }
    found.has_more = found.users.len() > PAGE;
    found.users.truncate(PAGE);
    Ok(found)
}

/// Whether anything tells of a sub.
async fn has_history(tx: &mut Transaction, sub: Uuid) -> Result<bool, sqlx::Error> {
    history::find_by_user(tx).await?;
    let query = "select exists (select from user_events where user_id = $1)
        or exists (select from user_baseline where user_id = $1)
        or exists (select from user_sync_memberships where user_id = $1)
        or exists (select from user_sync_contexts where user_id = $1)";
    sqlx::query_scalar(query).bind(sub).fetch_one(tx).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_compared_with_all_that_it_may_be() {
        let ways_of = |text: &str| ways(text).into_iter().map(|(how, _)| how).collect::<Vec<_>>();
        assert_eq!(ways_of("Ada"), [How::UserName, How::Name]);
        assert_eq!(ways_of("a"), [How::UserName]);
        assert_eq!(ways_of("Ada@Example.com"), [How::Email, How::UserName, How::Name]);
        assert_eq!(ways("+44 20 7946-0000").first(), Some(&(How::Phone, "+442079460000".to_owned())));
        assert_eq!(ways_of("7f3c91d2-4b0e-4f7a-a41c-92d05e8b6f13"), [How::Sub, How::UserName, How::Name]);
        assert_eq!(ways_of("a\0b"), []);
        assert_eq!(ways_of(""), []);
    }
}
