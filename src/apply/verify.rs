//! The proof: every derivable column recomputed from the baseline and the ledger, and compared with the rows.
//!
//! Reads one moment (REPEATABLE READ) in bounded memory: the history streams in the order of the users, and
//! each chunk of users is compared in one statement. Who owns an address depends on all users, so that is
//! compared last, over rows that were compared before.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::{PgConnection, PgPool, Row as _, SqlStr};
use time::OffsetDateTime;
use uuid::Uuid;

use super::claims::{Identifier, IdentifierKind};
use super::columns::{Columns, Since};
use super::erasure;
use super::failure::{Failure, again};
use super::history::{self, History};
use super::state::Delta;
use super::users::{self, Concerned, StoredUser};
use crate::places::Places;

/// A value that is not what the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The user.
    pub user: Uuid,
    /// The column of `users`; `id` for a row that is missing or too much; or `user_claims` with the kind.
    pub column: String,
    /// What the table holds. Personal data: for the operator's eyes.
    pub stored: Option<String>,
    /// What it should hold.
    pub expected: Option<String>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Users with a history.
    pub users: u64,
    /// Events of the ledger; those that the baseline stands for are not counted.
    pub events: u64,
    /// Differences found.
    pub differences: u64,
}

/// The comparison or the repair could not be done.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed: {failure}")]
pub struct VerifyError {
    doing: &'static str,
    failure: String,
}

impl VerifyError {
    fn of(doing: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |error| Self { doing, failure: Failure::from(error).to_string() }
    }
}

/// Compares everything; `found` is told each difference, `progress` the events read so far.
///
/// Reads only. Consumers go on meanwhile: what they do after the start is not seen.
///
/// # Errors
/// When the database cannot be read.
pub async fn verify(
    pool: &PgPool,
    places: &Places,
    mut found: impl FnMut(Difference),
    mut progress: impl FnMut(u64),
) -> Result<Verified, VerifyError> {
    let failed = VerifyError::of("reading the ledger and the rows");
    let mut tx = pool.begin_with("begin isolation level repeatable read read only").await.map_err(&failed)?;
    let mut history = History::open(&mut tx, SqlStr::from_static(history::ALL)).await.map_err(&failed)?;
    let mut verified = Verified::default();
    loop {
        let mut deltas = history.next(&mut tx).await.map_err(&failed)?;
        if deltas.is_empty() {
            break;
        }
        verified.users += u64::try_from(deltas.len()).unwrap_or(u64::MAX);
        for difference in compare(&mut tx, &mut deltas, places).await.map_err(&failed)? {
            verified.differences += 1;
            found(difference);
        }
        progress(history.events);
    }
    verified.events = history.events;
    for difference in whole(&mut tx).await.map_err(&failed)? {
        verified.differences += 1;
        found(difference.0);
    }
    Ok(verified)
}

const DIFFERENCES: &str = concat!(
    include_str!("verify_users.sql"),
    include_str!("rows_from_arrays.sql"),
    include_str!("verify_users_differences.sql"),
);

/// Compares the rows and claims of some users with what their history amounts to.
async fn compare(
    tx: &mut PgConnection,
    deltas: &mut BTreeMap<Uuid, Delta>,
    places: &Places,
) -> Result<Vec<Difference>, sqlx::Error> {
    let ids: Vec<Uuid> = deltas.keys().copied().collect();
    let stored = users::read(tx, &ids).await?;
    forget_erased(deltas, &stored);
    let expected: Vec<Columns> =
        deltas.iter().map(|(id, delta)| columns(*id, delta, stored.get(id), places)).collect();
    let query = users::bind_columns(sqlx::query(DIFFERENCES), &expected);
    let mut differences = read(&query.fetch_all(&mut *tx).await?)?;
    let (mut kinds, mut values, mut holders, mut since) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, delta) in &*deltas {
        for (identifier, shown) in &delta.claims {
            kinds.push(identifier.kind.as_str());
            values.push(identifier.value.as_str());
            holders.push(*id);
            since.push(shown.map(OffsetDateTime::from));
        }
    }
    let query = sqlx::query(include_str!("verify_claims.sql"));
    let query = query.bind(&ids).bind(kinds).bind(values).bind(holders).bind(since);
    differences.extend(read(&query.fetch_all(tx).await?)?);
    Ok(differences)
}

/// A ledger that `erase` has not been through yet must not bring the person back.
fn forget_erased(deltas: &mut BTreeMap<Uuid, Delta>, stored: &BTreeMap<Uuid, StoredUser>) {
    let erased = deltas.iter_mut().filter(|(id, _)| stored.get(id).is_some_and(|user| user.is_erased));
    erased.for_each(|(_, delta)| erasure::forget(delta));
}

/// The row that a history amounts to. What depends on other users is taken from the stored row.
///
/// The place of a login by its address is the operator's file's word, not the ledger's: without the file it is
/// taken from the stored row as well.
fn columns(id: Uuid, delta: &Delta, stored: Option<&StoredUser>, places: &Places) -> Columns {
    let mut state = delta.state.clone();
    if let Some(login) = &mut state.last_login {
        login.settle(places);
        let stored =
            stored.and_then(|user| user.state.last_login.as_ref()).filter(|stored| stored.id == login.id);
        if let Some(stored) = stored.filter(|_| places.is_empty() && login.location.is_none()) {
            login.location.clone_from(&stored.location);
        }
    }
    let mut since = Since::default();
    for kind in IdentifierKind::ALL {
        let held = state.identifier(kind).map(|(identifier, _)| identifier);
        since.set(kind, held.and_then(|identifier| delta.claims.get(&identifier).copied().flatten()));
    }
    let owned = stored.map(|user| user.owned.clone()).unwrap_or_default();
    Columns::of(id, &state, &owned, since, stored.and_then(|user| user.referred_by))
}

/// What no single user's history says: rows without any, who owns which address, who referred whom. With the
/// addresses that a difference is about.
async fn whole(tx: &mut PgConnection) -> Result<Vec<(Difference, Vec<Identifier>)>, sqlx::Error> {
    // `not exists`, which is a join; `not in` would look through the ledger for each user.
    // Nor is one that `erase` made to remember a `sub`.
    let ghosts = "select id, 'id' as name, id::text as stored, null as expected from users
        where erased_at is null and not exists (select from user_events where user_events.user_id = users.id)
          and not exists (select from user_baseline where user_baseline.user_id = users.id)";
    let ghosts = read(&sqlx::query(ghosts).fetch_all(&mut *tx).await?)?;
    let rows = sqlx::query(include_str!("verify_owners.sql")).fetch_all(tx).await?;
    let identifiers = |row: &sqlx::postgres::PgRow| -> Result<Vec<Identifier>, sqlx::Error> {
        let (kind, values): (String, Vec<String>) = (row.try_get("kind")?, row.try_get("identifiers")?);
        let kind = IdentifierKind::parse(&kind);
        Ok(values.iter().filter_map(|value| Identifier::new(kind?, value)).collect())
    };
    let identifiers = rows.iter().map(identifiers).collect::<Result<Vec<_>, _>>()?;
    let owners = read(&rows)?.into_iter().zip(identifiers);
    Ok(ghosts.into_iter().map(|ghost| (ghost, Vec::new())).chain(owners).collect())
}

fn read(rows: &[sqlx::postgres::PgRow]) -> Result<Vec<Difference>, sqlx::Error> {
    let difference = |row: &sqlx::postgres::PgRow| {
        Ok(Difference {
            user: row.try_get("id")?,
            column: row.try_get("name")?,
            stored: row.try_get("stored")?,
            expected: row.try_get("expected")?,
        })
    };
    rows.iter().map(difference).collect()
}

/// Users that one transaction of a repair takes.
const REPAIR_USERS: usize = 1_000;

/// Mends the rows and claims of `users` from their history, then gives every address and referral its due.
///
/// Needs the rights of `user_sync_owner`. Consumers go on meanwhile: rows are locked while they are mended,
/// and events that are being applied come on top. A row without any history is left: it is not ours.
///
/// # Errors
/// When a transaction failed; what was mended before stays so.
pub async fn repair(pool: &PgPool, places: &Places, users: &BTreeSet<Uuid>) -> Result<(), VerifyError> {
    let failed = |failure: Failure| VerifyError { doing: "mending rows", failure: failure.to_string() };
    let users: Vec<Uuid> = users.iter().copied().collect();
    for chunk in users.chunks(REPAIR_USERS) {
        again(|| mend(pool, places, chunk)).await.map_err(failed)?;
    }
    // Who owns what may have been wrong all along, or be wrong because rows were mended.
    let mut connection = pool.acquire().await.map_err(VerifyError::of("mending addresses"))?;
    let owners = whole(&mut connection).await.map_err(VerifyError::of("mending addresses"))?;
    drop(connection);
    for chunk in owners.chunks(REPAIR_USERS) {
        again(|| reassign(pool, chunk)).await.map_err(failed)?;
    }
    Ok(())
}

async fn mend(pool: &PgPool, places: &Places, ids: &[Uuid]) -> Result<(), Failure> {
    let mut tx = pool.begin().await?;
    sqlx::query("set local statement_timeout = 0").execute(&mut *tx).await?;
    // Locked before the history is read, so that nothing is applied in between.
    let present = users::lock(&mut tx, ids).await?;
    let mut deltas = history::of_users(&mut tx, ids).await?;
    forget_erased(&mut deltas, &present);
    let missing = deltas.iter().filter(|(id, _)| !present.contains_key(id)).map(|(id, delta)| (*id, delta));
    users::insert_skeletons(&mut tx, &missing.collect()).await?;
    let stored = users::lock(&mut tx, ids).await?;
    // Who had no row a moment ago may have been erased in between.
    erasure::recheck(&stored, &erasure::erased(&present), ids.iter().copied())?;
    let rows: Vec<Columns> =
        deltas.iter().map(|(id, delta)| columns(*id, delta, stored.get(id), places)).collect();
    users::write(&mut tx, &rows).await?;
    let query = sqlx::query("delete from user_claims where user_id = any($1)");
    query.bind(deltas.keys().copied().collect::<Vec<_>>()).execute(&mut *tx).await?;
    users::upsert_claims(&mut tx, &deltas.iter().map(|(id, delta)| (*id, &delta.claims)).collect()).await?;
    Ok(tx.commit().await?)
}

async fn reassign(pool: &PgPool, owners: &[(Difference, Vec<Identifier>)]) -> Result<(), Failure> {
    let mut concerned = Concerned::default();
    concerned.identifiers.extend(owners.iter().flat_map(|(_, identifiers)| identifiers.iter().cloned()));
    let mut tx = pool.begin().await?;
    super::reassign(&mut tx, &concerned).await?;
    for (difference, _) in owners.iter().filter(|(difference, _)| difference.column == "referred_by") {
        let expected: Option<Uuid> = difference.expected.as_deref().and_then(|id| id.parse().ok());
        let query = sqlx::query("update users set referred_by = $2 where id = $1");
        query.bind(difference.user).bind(expected).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// One user's history as lines for an operator, and where each value comes from. Personal data.
///
/// # Errors
/// When the database cannot be read.
pub async fn explain(pool: &PgPool, places: &Places, user: Uuid) -> Result<Vec<String>, VerifyError> {
    let failed = VerifyError::of("reading the user's history");
    let mut tx = pool.begin_with("begin isolation level repeatable read read only").await.map_err(&failed)?;
    let rows =
        sqlx::query(include_str!("read_history.sql")).bind([user].as_slice()).fetch_all(&mut *tx).await;
    let mut lines = Vec::new();
    for row in rows.map_err(&failed)? {
        lines.push(history::describe(&row).map_err(&failed)?);
    }
    let mut deltas = history::of_users(&mut tx, &[user]).await.map_err(&failed)?;
    let differences = compare(&mut tx, &mut deltas, places).await.map_err(&failed)?;
    let Some(delta) = deltas.get(&user) else {
        lines.push(format!("{user} has no history"));
        return Ok(lines);
    };
    let state = &delta.state;
    lines.push(String::new());
    let mut value =
        |name: &str, value: &str, from: String| lines.push(format!("{name} = {value:?}, from {from}"));
    for (name, register) in &state.registers {
        let flag = register.flag.as_deref().map(|flag| format!(" (verified: {flag})")).unwrap_or_default();
        value(
            name,
            &register.value,
            format!("event {} at {}{flag}", register.version, register.version.time()),
        );
    }
    let authentications = format!("{} distinct user.authenticated", state.authentications);
    let federated = if state.federated_login { " and one for the federated confirmation" } else { "" };
    value("login_count", &state.login_count().to_string(), format!("{authentications}{federated}"));
    if let Some(login) = &state.last_login {
        value("last_login_at", &login.id.time().to_string(), format!("event {}, the latest login", login.id));
    }
    if let Some(sign_up) = &state.sign_up {
        value(
            "confirmed_at",
            &sign_up.id.time().to_string(),
            format!("event {}, the first confirmation", sign_up.id),
        );
    }
    if let Some((time, disabled)) = state.disabled {
        value("enabled", &(!disabled).to_string(), format!("the snapshot at {time}"));
    }
    if let Some(deleted_at) = state.deleted_at {
        value("deleted_at", &deleted_at.to_string(), "the first deletion; deleted is final".to_owned());
    }
    value("created_at", &state.created_at.to_string(), "the earliest event or UserCreateDate".to_owned());
    value("synced_at", &state.synced_at.to_string(), "the latest event".to_owned());
    let stored = users::read(&mut tx, &[user]).await.map_err(&failed)?;
    for kind in IdentifierKind::ALL {
        if let Some((identifier, verified)) = state.identifier(kind) {
            let since = delta.claims.get(&identifier).copied().flatten();
            let owner = match stored.get(&user).and_then(|user| user.owned.get(kind)) {
                Some(_) => "this user owns it",
                None => "another user owns it, or this one is deleted: see user_contested_identifiers",
            };
            let since =
                since.map_or_else(|| "never verified".to_owned(), |since| format!("verified since {since}"));
            lines.push(format!(
                "{} {:?}: held, verified {verified}, {since}; {owner}",
                kind.as_str(),
                identifier.value
            ));
        }
    }
    lines.push(match differences.len() {
        0 => "the row is what the history says".to_owned(),
        count => format!("{count} values of the row differ from the history: run user-sync verify"),
    });
    Ok(lines)
}

/// Whose rows [`rederive`] writes again: everybody, but for what is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// This user only.
    pub user: Option<Uuid>,
    /// Users with an event at this time or later.
    pub since: Option<Timestamp>,
    /// Users with an event before this time.
    pub until: Option<Timestamp>,
}

/// Writes the rows and claims of the selected users again from their history, as [`repair`] does, whether they
/// differ or not; returns how many users that were, and tells `progress` so meanwhile. In bounded memory.
///
/// Needs two connections, and the rights of `user_sync_owner`.
///
/// # Errors
/// When a transaction failed; what was written before stays so.
pub async fn rederive(
    pool: &PgPool,
    places: &Places,
    selection: Selection,
    mut progress: impl FnMut(u64),
) -> Result<u64, VerifyError> {
    let failed = VerifyError::of("reading the ledger");
    let mut tx = pool.begin().await.map_err(&failed)?;
    // The cursor waits while rows are written.
    for setting in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        let setting = format!("set local {setting} = 0");
        sqlx::query(sqlx::AssertSqlSafe(setting)).execute(&mut *tx).await.map_err(&failed)?;
    }
    let declare = sqlx::query(include_str!("declare_rederived.sql")).bind(selection.user);
    let [since, until] = [selection.since, selection.until].map(|time| time.map(OffsetDateTime::from));
    declare.bind(since).bind(until).execute(&mut *tx).await.map_err(&failed)?;
    let mut users = 0;
    loop {
        let fetch = format!("fetch {REPAIR_USERS} from rederived");
        let fetch = sqlx::query_scalar(sqlx::AssertSqlSafe(fetch));
        let ids: Vec<Uuid> = fetch.fetch_all(&mut *tx).await.map_err(&failed)?;
        if ids.is_empty() {
            break;
        }
        let mended = again(|| mend(pool, places, &ids)).await;
        mended.map_err(|failure| VerifyError { doing: "writing rows", failure: failure.to_string() })?;
        users += u64::try_from(ids.len()).unwrap_or(u64::MAX);
        progress(users);
    }
    tx.commit().await.map_err(&failed)?;
    // What remains is who owns which address.
    repair(pool, places, &BTreeSet::new()).await?;
    Ok(users)
}
