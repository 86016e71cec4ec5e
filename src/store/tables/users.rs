//! Reads and writes rows of `users` and `user_claims`. Knows the SQL; decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::event::EventId;
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Json;
use sqlx::{Postgres, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::{Database, Purpose, Transaction};
use crate::store::model::affected::AffectedKeys;
use crate::store::model::claims::{Claim, Claims, Identifier, IdentifierKind};
use crate::store::model::columns::{NAMELESS, Owned, Since, UserRow};
use crate::store::model::contexts::Contexts;
use crate::store::model::deletions::Deletions;
use crate::store::model::device::Device;
use crate::store::model::referral::referral_code;
use crate::store::model::state::{
    Delta, Login, Register, Registers, STATUS, SignUp, USER_POOL_ID, USERNAME, UserState, flag_of,
};
use crate::store::model::user::StoredUser;
use crate::store::tables::columns::statements;
use crate::store::tables::failure::Failure;
use crate::store::tables::refusal::all_written;

/// The users that exist among `ids`, unlocked.
pub(in crate::store) async fn read(
    tx: &mut Transaction,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, StoredUser>, sqlx::Error> {
    stored(&sqlx::query(statements().read.as_str()).bind(ids).fetch_all(tx).await?)
}

/// How many bytes the attributes of those users have who exist.
pub(in crate::store) async fn sizes(
    tx: &mut Transaction,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, usize>, sqlx::Error> {
    // Not `pg_column_size`: that is of what is compressed.
    let query = "select id, octet_length(cognito_attributes::text) + octet_length(attribute_versions::text)
        from users where id = any ($1)";
    let sizes: Vec<(Uuid, i32)> = sqlx::query_as(query).bind(ids).fetch_all(tx).await?;
    Ok(sizes.into_iter().map(|(id, size)| (id, usize::try_from(size).unwrap_or(usize::MAX))).collect())
}

/// The addresses that users show or hold, without anything else of them.
pub(in crate::store) async fn addresses(
    tx: &mut Transaction,
    ids: &BTreeSet<Uuid>,
) -> Result<BTreeSet<Identifier>, sqlx::Error> {
    let query = "select kind, value from users cross join lateral (values
            ('email', email), ('email', cognito_attributes ->> 'email'),
            ('phone', phone_number), ('phone', cognito_attributes ->> 'phone_number')) as of_user (kind, value)
        where users.id = any ($1) and value is not null";
    let ids: Vec<Uuid> = ids.iter().copied().collect();
    let rows: Vec<(String, String)> = sqlx::query_as(query).bind(ids).fetch_all(tx).await?;
    let identifier = |(kind, value): &(String, String)| Identifier::new(IdentifierKind::parse(kind)?, value);
    Ok(rows.iter().filter_map(identifier).collect())
}

/// The same, locked in the order of the ids.
///
/// # Errors
/// At once where somebody holds one of the rows: [`Failure::Blocked`].
pub(in crate::store) async fn lock(
    tx: &mut Transaction,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, StoredUser>, sqlx::Error> {
    stored(&sqlx::query(statements().lock.as_str()).bind(ids).fetch_all(tx).await?)
}

/// Those of the users who are erased.
pub(in crate::store) fn erased(users: &BTreeMap<Uuid, StoredUser>) -> BTreeSet<Uuid> {
    users.values().filter(|user| user.is_erased).map(|user| user.id).collect()
}

/// Fails where a user was erased since its events were scrubbed, or not: they would bring the person back.
pub(in crate::store) fn recheck_erased(
    locked: &BTreeMap<Uuid, StoredUser>,
    known: &BTreeSet<Uuid>,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<(), Failure> {
    let is_news = |id: Uuid| locked.get(&id).is_some_and(|user| user.is_erased) && !known.contains(&id);
    if ids.into_iter().any(is_news) { Err(Failure::recheck()) } else { Ok(()) }
}

/// Rows that were locked, and those that were not, because somebody holds them.
pub(in crate::store) struct Locked {
    pub(in crate::store) users: BTreeMap<Uuid, StoredUser>,
    pub(in crate::store) held: BTreeSet<Uuid>,
}

impl Locked {
    /// # Errors
    /// Where somebody holds one of the rows.
    pub(in crate::store) fn all(self) -> Result<BTreeMap<Uuid, StoredUser>, Failure> {
        if self.held.is_empty() { Ok(self.users) } else { Err(Failure::Held(self.held)) }
    }
}

/// Locks those rows that nobody holds, in the order of the ids; returns their versions.
pub(in crate::store) async fn lock_versions(
    tx: &mut Transaction,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, i64>, sqlx::Error> {
    let query =
        "select id, row_version from users where id = any ($1) order by id for no key update skip locked";
    Ok(sqlx::query_as(query).bind(ids).fetch_all(tx).await?.into_iter().collect())
}

/// Locks users who were read, and reads those again whom somebody has changed since.
///
/// Returns the users, and whether all of them are as they were read.
///
/// # Errors
/// Where somebody holds one of the rows.
pub(in crate::store) async fn lock_read(
    tx: &mut Transaction,
    mut users: BTreeMap<Uuid, StoredUser>,
) -> Result<(BTreeMap<Uuid, StoredUser>, bool), Failure> {
    let ids: Vec<Uuid> = users.keys().copied().collect();
    let locked = lock_versions(tx, &ids).await?;
    if locked.len() < ids.len() {
        return Err(Failure::Held(ids.into_iter().filter(|id| !locked.contains_key(id)).collect()));
    }
    users.retain(|id, user| locked.get(id) == Some(&user.row_version));
    if users.len() == ids.len() {
        return Ok((users, true));
    }
    let changed: Vec<Uuid> = locked.into_keys().filter(|id| !users.contains_key(id)).collect();
    users.extend(read(tx, &changed).await?);
    Ok((users, false))
}

/// Inserts the rows that are missing, in the order of the ids, with nothing in them but what cannot be null.
pub(in crate::store) async fn insert_skeletons(
    tx: &mut Transaction,
    new: &BTreeMap<Uuid, &Delta>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = new.keys().copied().collect();
    let at =
        |time: fn(&UserState) -> Timestamp| new.values().map(|delta| time(&delta.state).into()).collect();
    let created_at: Vec<OffsetDateTime> = at(|state| state.created_at);
    let synced_at: Vec<OffsetDateTime> = at(|state| state.synced_at);
    let codes: Vec<String> = ids.iter().map(|id| referral_code(*id)).collect();
    let query = sqlx::query(include_str!("insert_skeletons.sql"));
    let query = query.bind(&ids).bind(NAMELESS).bind(codes).bind(created_at).bind(synced_at);
    if query.execute(&mut *tx).await?.rows_affected() == u64::try_from(ids.len()).unwrap_or(u64::MAX) {
        return Ok(());
    }
    // Another transaction may have inserted some of them: they are there now.
    let present: i64 =
        sqlx::query_scalar("select count(*) from users where id = any ($1)").bind(&ids).fetch_one(tx).await?;
    all_written("users", ids.len(), u64::try_from(present).unwrap_or(0))
}

/// Whether row security applies to this service.
pub(in crate::store) async fn has_row_security(database: &Database) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select row_security_active('users')").fetch_one(database.questions()).await
}

/// Whether row security hides some users from being changed: they are there, and cannot be locked. Not those whom somebody
/// else has locked.
pub(in crate::store) async fn are_hidden(database: &Database, ids: &[Uuid]) -> Result<bool, sqlx::Error> {
    let mut tx = database.begin(Purpose::Events).await?;
    let seen = "select count(*) from users where id = any ($1) and row_security_active('users')";
    let seen: i64 = sqlx::query_scalar(seen).bind(ids).fetch_one(&mut tx).await?;
    if seen == 0 {
        return tx.rollback().await.map(|()| false);
    }
    let lock = "select id from users where id = any ($1) order by id for no key update nowait";
    let locked = sqlx::query(lock).bind(ids).fetch_all(&mut tx).await?;
    tx.rollback().await?;
    Ok(i64::try_from(locked.len()).is_ok_and(|locked| locked < seen))
}

/// Locks every row that a change of `keys` may touch besides `batch`, in the order of the ids: who owns an address now,
/// who would be next among those outside the batch. Of rows outside the batch it reads only what decides that.
pub(in crate::store) async fn lock_affected(
    tx: &mut Transaction,
    batch: &[Uuid],
    keys: &AffectedKeys,
) -> Result<Locked, sqlx::Error> {
    let (kinds, values) = keys.kinds_and_values();
    let query = sqlx::query(statements().lock_affected.as_str()).bind(batch).bind(kinds).bind(values);
    let mut locked = Locked { users: BTreeMap::new(), held: BTreeSet::new() };
    for row in query.fetch_all(tx).await? {
        let touched = row.try_get("touched_id")?;
        match row.try_get::<Option<Uuid>, _>("id")? {
            Some(id) => drop(locked.users.insert(id, StoredUser::from_row(&row)?)),
            None => drop(locked.held.insert(touched)),
        }
    }
    Ok(locked)
}

/// Records the addresses shown; returns the claim on each of them.
pub(in crate::store) async fn upsert_claims(
    tx: &mut Transaction,
    claims: &BTreeMap<Uuid, &Claims>,
) -> Result<BTreeMap<(Uuid, Identifier), Claim>, sqlx::Error> {
    let rows = ClaimRows::of(claims.iter().map(|(id, claims)| (*id, *claims)));
    if rows.ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked = rows.ids.len();
    let query = rows.bind(sqlx::query(include_str!("upsert_claims.sql")));
    let read = |row: &PgRow| {
        let kind: String = row.try_get("kind")?;
        let kind = IdentifierKind::parse(&kind).ok_or_else(|| corrupt("user_claims.kind"))?;
        let identifier = Identifier { kind, value: row.try_get("value")? };
        Ok(((row.try_get("user_id")?, identifier), claim(row, "since", "shown")?))
    };
    let rows = query.fetch_all(tx).await?;
    all_written("user_claims", asked, u64::try_from(rows.len()).unwrap_or(u64::MAX))?;
    rows.iter().map(read).collect()
}

/// Claims as rows of `user_claims`, in columns.
#[derive(Default)]
pub(in crate::store) struct ClaimRows<'a> {
    kinds: Vec<&'static str>,
    values: Vec<&'a str>,
    ids: Vec<Uuid>,
    since: Vec<Option<OffsetDateTime>>,
    shown: Vec<Option<OffsetDateTime>>,
}

impl<'a> ClaimRows<'a> {
    pub(in crate::store) fn of(claims: impl Iterator<Item = (Uuid, &'a Claims)>) -> Self {
        let mut rows = Self::default();
        for (id, (identifier, claim)) in claims.flat_map(|(id, claims)| claims.iter().map(move |it| (id, it)))
        {
            rows.kinds.push(identifier.kind.as_str());
            rows.values.push(identifier.value.as_str());
            rows.ids.push(id);
            rows.since.push(claim.since.map(OffsetDateTime::from));
            rows.shown.push(claim.shown.map(OffsetDateTime::from));
        }
        rows
    }

    /// Binds the columns to a statement's next parameters: kind, value, user, since, shown.
    pub(in crate::store) fn bind<'q>(
        self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        let Self { kinds, values, ids, since, shown } = self;
        query.bind(kinds).bind(values).bind(ids).bind(since).bind(shown)
    }
}

/// Takes the unique columns from those who lose them, so that others can take them in the next statement.
pub(in crate::store) async fn release(
    tx: &mut Transaction,
    losers: &BTreeMap<IdentifierKind, Vec<Uuid>>,
) -> Result<(), sqlx::Error> {
    let of = |kind| losers.get(&kind).map(Vec::as_slice).unwrap_or_default();
    let query = sqlx::query(include_str!("release_identifiers.sql"));
    let query = query.bind(of(IdentifierKind::Email)).bind(of(IdentifierKind::Phone));
    let users: BTreeSet<Uuid> = losers.values().flatten().copied().collect();
    all_written("users", users.len(), query.execute(tx).await?.rows_affected())
}

/// Gives the unique columns to winners outside the batch, whose rows are not written otherwise.
pub(in crate::store) async fn acquire(
    tx: &mut Transaction,
    winners: &[(Identifier, Uuid)],
) -> Result<(), sqlx::Error> {
    let kinds: Vec<&str> = winners.iter().map(|(identifier, _)| identifier.kind.as_str()).collect();
    let values: Vec<&str> = winners.iter().map(|(identifier, _)| identifier.value.as_str()).collect();
    let ids: Vec<Uuid> = winners.iter().map(|(_, id)| *id).collect();
    let users: BTreeSet<Uuid> = ids.iter().copied().collect();
    let query = sqlx::query(include_str!("acquire_identifiers.sql")).bind(kinds).bind(values).bind(ids);
    all_written("users", users.len(), query.execute(tx).await?.rows_affected())
}

/// Writes the service's columns of locked rows.
pub(in crate::store) async fn write(tx: &mut Transaction, rows: &[UserRow<'_>]) -> Result<(), sqlx::Error> {
    let statements = statements();
    let written = statements.bind(&statements.write, rows).execute(tx).await?;
    all_written("users", rows.len(), written.rows_affected())
}

/// Compares rows with those stored: a line a column that differs, as `id, name, stored, expected`.
pub(in crate::store) async fn compare(
    tx: &mut Transaction,
    rows: &[UserRow<'_>],
) -> Result<Vec<PgRow>, sqlx::Error> {
    let statements = statements();
    statements.bind(&statements.compare, rows).fetch_all(tx).await
}

/// The trigger of `users` that calls a function, of this name or qualified.
pub(in crate::store) async fn trigger_of(
    database: &Database,
    function: &str,
) -> Result<Option<String>, sqlx::Error> {
    let query = "select tgname::text from pg_trigger join pg_proc on pg_proc.oid = tgfoid
        where tgrelid = 'users'::regclass and not tgisinternal and proname = $1 order by tgname limit 1";
    let name = function.rsplit('.').next().unwrap_or(function);
    sqlx::query_scalar(query).bind(name).fetch_optional(database.questions()).await
}

fn stored(rows: &[PgRow]) -> Result<BTreeMap<Uuid, StoredUser>, sqlx::Error> {
    rows.iter().map(|row| StoredUser::from_row(row).map(|user| (user.id, user))).collect()
}

impl StoredUser {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |column: &str| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::from);
        let optional_time = |column| optional_time(row, column);
        let event_id = |column: &'static str| {
            let id = row.try_get::<Option<Uuid>, _>(column)?;
            id.map(|id| EventId::from_uuid(id).map_err(|_| corrupt(column))).transpose()
        };
        let ip = |column: &'static str| {
            let ip = row.try_get::<Option<String>, _>(column)?;
            ip.map(|ip| ip.parse().map_err(|_| corrupt(column))).transpose()
        };
        let last_login = match event_id("last_login_id")? {
            None => None,
            Some(id) => Some(Login {
                id,
                client_id: None,
                ip: ip("last_login_ip")?,
                device: row.try_get::<Option<&str>, _>("last_login_device")?.and_then(Device::parse),
                location: row.try_get("last_login_location")?,
                user_agent: None,
            }),
        };
        let sign_up = match event_id("sign_up_id")? {
            None => None,
            Some(id) => Some(SignUp {
                id,
                ip: ip("created_ip")?,
                referral_code: row.try_get("sign_up_referral_code")?,
            }),
        };
        let enabled: bool = row.try_get("enabled")?;
        let federated_login = row.try_get("federated_login")?;
        let login_count =
            u64::try_from(row.try_get::<i64, _>("login_count")?).map_err(|_| corrupt("login_count"))?;
        let mut state = UserState {
            registers: registers(row)?,
            whole: event_id("whole_snapshot_id")?,
            disabled: optional_time("enabled_at")?.map(|time| (time, !enabled)),
            deletions: deletions(row)?,
            authentications: login_count.saturating_sub(u64::from(federated_login)),
            federated_login,
            last_login,
            sign_up,
            created_at: time("created_at")?,
            synced_at: time("synced_at")?,
        };
        state.drop_what_is_gone();
        Ok(Self {
            id: row.try_get("id")?,
            row_version: row.try_get("row_version")?,
            state,
            owned: Owned { email: row.try_get("email")?, phone_number: row.try_get("phone_number")? },
            since: Since {
                email: claim(row, "email_since", "email_shown")?,
                phone_number: claim(row, "phone_since", "phone_shown")?,
            },
            referred_by: row.try_get("referred_by")?,
            is_erased: row.try_get("is_erased")?,
            contexts: Contexts::default(),
        })
    }
}

fn deletions(row: &PgRow) -> Result<Deletions, sqlx::Error> {
    let time = |column| optional_time(row, column);
    Ok(Deletions::stored(time("deleted_at")?, time("last_deleted_at")?, time("restored_at")?))
}

fn claim(row: &PgRow, since: &str, shown: &str) -> Result<Claim, sqlx::Error> {
    Ok(Claim { since: optional_time(row, since)?, shown: optional_time(row, shown)? })
}

fn optional_time(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    row.try_get::<Option<OffsetDateTime>, _>(column).map(|time| time.map(Timestamp::from))
}

fn registers(row: &PgRow) -> Result<Registers, sqlx::Error> {
    let version = |id: Uuid| EventId::from_uuid(id).map_err(|_| corrupt("attributes_version"));
    let Some(newest) = row.try_get::<Option<Uuid>, _>("attributes_version")?.map(version).transpose()? else {
        return Ok(Registers::new());
    };
    let Json(exceptions) = row.try_get::<Json<BTreeMap<String, Uuid>>, _>("attribute_versions")?;
    let Json(mut attributes) = row.try_get::<Json<BTreeMap<String, String>>, _>("cognito_attributes")?;
    let flags: BTreeMap<_, _> = IdentifierKind::ALL
        .into_iter()
        .filter_map(|kind| Some((kind.attribute(), attributes.remove(flag_of(kind.attribute())?)?)))
        .collect();
    for (name, column) in
        [(STATUS, "cognito_status"), (USERNAME, "cognito_username"), (USER_POOL_ID, "user_pool_id")]
    {
        if let Some(value) = row.try_get(column)? {
            attributes.insert(name.to_owned(), value);
        }
    }
    let register = |(name, value): (String, String)| {
        let version = exceptions.get(&name).copied().map(version).transpose()?.unwrap_or(newest);
        let flag = flags.get(name.as_str()).cloned();
        let left = match name.as_str() {
            "email" => optional_time(row, "email_left")?,
            "phone_number" => optional_time(row, "phone_left")?,
            _ => None,
        };
        Ok((name, Register { version, value, flag, left }))
    };
    attributes.into_iter().map(register).collect()
}

/// The service wrote the column, so somebody else changed it: nothing is guessed.
pub(in crate::store) fn corrupt(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("users.{column} holds what this service never writes").into())
}
