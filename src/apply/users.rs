//! Reads and writes rows of `users` and `user_claims`. Knows the SQL; decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync_triggers::event::EventId;
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::claims::{Claims, Identifier, IdentifierKind, Shards};
use super::columns::{Columns, NAMELESS, Owned, Since};
use super::device::Device;
use super::referral;
use super::state::{
    Delta, Login, Register, Registers, STATUS, SignUp, USER_POOL_ID, USERNAME, UserState, flag_of,
};

/// The class of our advisory locks, so that they do not meet another program's: "user" in ASCII.
const LOCK_CLASS: i32 = 0x7573_6572;

/// A statement with its parameters.
pub(super) type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// A row as it stands in the table.
#[derive(Debug, Clone)]
pub(super) struct StoredUser {
    pub(super) id: Uuid,
    /// The row's `xmin`, the transaction that wrote this version of it: to be compared, since it has no order.
    pub(super) written_by: i64,
    pub(super) state: UserState,
    pub(super) owned: Owned,
    pub(super) since: Since,
    pub(super) referred_by: Option<Uuid>,
    /// Nothing of the person is stored any more, and nothing may be.
    pub(super) is_erased: bool,
}

/// Every transaction locks rows in the order of their ids, so that none waits in a circle; here the lock comes after
/// the sort.
macro_rules! in_lock_order {
    () => {
        " order by id for update"
    };
}

/// The users that exist among `ids`, unlocked.
pub(super) async fn read(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, StoredUser>, sqlx::Error> {
    let rows = sqlx::query(concat!(include_str!("state_of_users.sql"), "where id = any ($1)"))
        .bind(ids)
        .fetch_all(tx)
        .await?;
    stored(&rows)
}

/// The same, locked in the order of the ids.
pub(super) async fn lock(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, StoredUser>, sqlx::Error> {
    let rows =
        sqlx::query(concat!(include_str!("state_of_users.sql"), "where id = any ($1)", in_lock_order!()))
            .bind(ids)
            .fetch_all(tx)
            .await?;
    stored(&rows)
}

/// Locks users who were read, in the order of the ids, and reads those again whom somebody has changed since: one whose
/// `xmin` is the same is the same version. So this transaction must not have written them itself, since all that it
/// writes has one `xmin`.
///
/// Returns the users, and whether all of them are as they were read.
pub(super) async fn lock_read(
    tx: &mut PgConnection,
    mut users: BTreeMap<Uuid, StoredUser>,
) -> Result<(BTreeMap<Uuid, StoredUser>, bool), sqlx::Error> {
    let ids: Vec<Uuid> = users.keys().copied().collect();
    let lock = sqlx::query_as(concat!(
        "select id, xmin::text::bigint from users where id = any ($1)",
        in_lock_order!()
    ));
    let locked: BTreeMap<Uuid, i64> = lock.bind(&ids).fetch_all(&mut *tx).await?.into_iter().collect();
    users.retain(|id, user| locked.get(id) == Some(&user.written_by));
    if users.len() == ids.len() {
        return Ok((users, true));
    }
    let changed: Vec<Uuid> = locked.into_keys().filter(|id| !users.contains_key(id)).collect();
    users.extend(read(tx, &changed).await?);
    Ok((users, false))
}

/// What a change of addresses or referral codes is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Concerned {
    /// Addresses that are shown, left or taken.
    pub(super) identifiers: BTreeSet<Identifier>,
    /// Codes that sign-ups came with.
    pub(super) sign_up_codes: BTreeSet<String>,
    /// Codes of users who are new: earlier sign-ups may have been waiting for them.
    pub(super) new_codes: BTreeSet<String>,
}

impl Concerned {
    pub(super) fn is_empty(&self) -> bool {
        self.identifiers.is_empty() && self.sign_up_codes.is_empty() && self.new_codes.is_empty()
    }

    /// Whether `other` concerns nothing but what this does. New users' codes are left out: who was new before
    /// the locks has a row under them.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.identifiers.is_superset(&other.identifiers)
            && self.sign_up_codes.is_superset(&other.sign_up_codes)
    }

    /// The locks that whoever changes these must hold.
    pub(super) fn shards(&self) -> Shards {
        let mut shards = Shards::default();
        self.identifiers.iter().for_each(|identifier| shards.add_identifier(identifier));
        self.sign_up_codes.union(&self.new_codes).for_each(|code| shards.add_referral_code(code));
        shards
    }

    fn kinds_and_values(&self) -> (Vec<&'static str>, Vec<&str>) {
        self.identifiers
            .iter()
            .map(|identifier| (identifier.kind.as_str(), identifier.value.as_str()))
            .unzip()
    }
}

/// Takes the value locks, in ascending order, until the transaction ends.
pub(super) async fn lock_shards(tx: &mut PgConnection, shards: &Shards) -> Result<(), sqlx::Error> {
    let query = sqlx::query("select pg_advisory_xact_lock($1, shard) from unnest($2::int[]) as shard");
    query.bind(LOCK_CLASS).bind(shards.sorted()).execute(tx).await.map(drop)
}

/// Inserts the rows that are missing, in the order of the ids, with nothing in them but what cannot be null.
pub(super) async fn insert_skeletons(
    tx: &mut PgConnection,
    new: &BTreeMap<Uuid, &Delta>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = new.keys().copied().collect();
    let at =
        |time: fn(&UserState) -> Timestamp| new.values().map(|delta| time(&delta.state).into()).collect();
    let created_at: Vec<OffsetDateTime> = at(|state| state.created_at);
    let synced_at: Vec<OffsetDateTime> = at(|state| state.synced_at);
    let codes: Vec<String> = ids.iter().map(|id| referral::code(*id)).collect();
    let query = sqlx::query(include_str!("insert_skeletons.sql"));
    query.bind(ids).bind(NAMELESS).bind(codes).bind(created_at).bind(synced_at).execute(tx).await.map(drop)
}

/// Locks every row that a change of `concerned` may touch beside `batch`, in the order of the ids: who owns
/// an address now, who would be next among those outside the batch, who waits for a referrer.
pub(super) async fn lock_concerned(
    tx: &mut PgConnection,
    batch: &[Uuid],
    concerned: &Concerned,
) -> Result<BTreeMap<Uuid, StoredUser>, sqlx::Error> {
    let (kinds, values) = concerned.kinds_and_values();
    let codes: Vec<&str> = concerned.new_codes.iter().map(String::as_str).collect();
    let query = sqlx::query(concat!(
        include_str!("touched_users.sql"),
        include_str!("state_of_users.sql"),
        "where id in (select id from touched)",
        in_lock_order!(),
    ))
    .bind(batch)
    .bind(kinds)
    .bind(values)
    .bind(codes);
    stored(&query.fetch_all(tx).await?)
}

/// Records the addresses shown; returns since when each of them is verified.
pub(super) async fn upsert_claims(
    tx: &mut PgConnection,
    claims: &BTreeMap<Uuid, &Claims>,
) -> Result<BTreeMap<(Uuid, Identifier), Option<Timestamp>>, sqlx::Error> {
    let rows = claims
        .iter()
        .flat_map(|(id, claims)| claims.iter().map(move |(identifier, since)| (*id, identifier, *since)));
    let (mut ids, mut kinds, mut values, mut since) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, identifier, shown_verified) in rows {
        ids.push(id);
        kinds.push(identifier.kind.as_str());
        values.push(identifier.value.as_str());
        since.push(shown_verified.map(OffsetDateTime::from));
    }
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let query = sqlx::query(include_str!("upsert_claims.sql")).bind(kinds).bind(values).bind(ids).bind(since);
    let read = |row: &PgRow| {
        let kind: String = row.try_get("kind")?;
        let kind = IdentifierKind::parse(&kind).ok_or_else(|| corrupt("user_claims.kind"))?;
        let identifier = Identifier { kind, value: row.try_get("value")? };
        let since = row.try_get::<Option<OffsetDateTime>, _>("since")?.map(Timestamp::from);
        Ok(((row.try_get("user_id")?, identifier), since))
    };
    query.fetch_all(tx).await?.iter().map(read).collect()
}

/// Takes the unique columns from those who lose them, so that others can take them in the next statement.
pub(super) async fn release(
    tx: &mut PgConnection,
    losers: &BTreeMap<IdentifierKind, Vec<Uuid>>,
) -> Result<(), sqlx::Error> {
    let of = |kind| losers.get(&kind).map(Vec::as_slice).unwrap_or_default();
    let query = sqlx::query(include_str!("release_identifiers.sql"));
    query.bind(of(IdentifierKind::Email)).bind(of(IdentifierKind::Phone)).execute(tx).await.map(drop)
}

/// Gives the unique columns to winners outside the batch, whose rows are not written otherwise.
pub(super) async fn acquire(
    tx: &mut PgConnection,
    winners: &[(Identifier, Uuid)],
) -> Result<(), sqlx::Error> {
    let kinds: Vec<&str> = winners.iter().map(|(identifier, _)| identifier.kind.as_str()).collect();
    let values: Vec<&str> = winners.iter().map(|(identifier, _)| identifier.value.as_str()).collect();
    let ids: Vec<Uuid> = winners.iter().map(|(_, id)| *id).collect();
    let query = sqlx::query(include_str!("acquire_identifiers.sql"));
    query.bind(kinds).bind(values).bind(ids).execute(tx).await.map(drop)
}

/// Resolves the referral codes concerned, whichever of the two users came first.
pub(super) async fn resolve_referrals(
    tx: &mut PgConnection,
    batch: &[Uuid],
    concerned: &Concerned,
) -> Result<(), sqlx::Error> {
    if concerned.sign_up_codes.is_empty() && concerned.new_codes.is_empty() {
        return Ok(());
    }
    let new_codes: Vec<&str> = concerned.new_codes.iter().map(String::as_str).collect();
    let query = sqlx::query(include_str!("resolve_referrals.sql"));
    query.bind(batch).bind(new_codes).execute(tx).await.map(drop)
}

/// Writes the service's columns of locked rows.
pub(super) async fn write(tx: &mut PgConnection, rows: &[Columns]) -> Result<(), sqlx::Error> {
    bind_columns(
        sqlx::query(concat!(
            include_str!("write_users.sql"),
            include_str!("rows_from_arrays.sql"),
            "where users.id = new.id",
        )),
        rows,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Binds rows as arrays, a column each, in the order of the statements' parameters.
pub(super) fn bind_columns<'q>(mut query: Query<'q>, rows: &'q [Columns]) -> Query<'q> {
    macro_rules! bind {
        ($($column:ident),* $(,)?) => {
            $(query = query.bind(rows.iter().map(|row| &row.$column).collect::<Vec<_>>());)*
        };
    }
    bind!(
        id,
        email,
        email_verified,
        phone_number,
        phone_number_verified,
        name,
        first_name,
        last_name,
        date_of_birth,
        gender,
        profile_picture_url,
        country_code,
        timezone,
        language,
        is_active,
        is_verified,
        is_deleted,
        deleted_at,
        login_count,
        last_login_at,
        last_login_ip,
        last_login_device,
        last_login_location,
        created_at,
        confirmed_at,
        created_ip,
        synced_at,
        referred_by,
        user_pool_id,
        cognito_username,
        cognito_status,
        enabled,
        cognito_attributes,
        attributes_version,
        attribute_versions,
        enabled_at,
        federated_login,
        last_login_id,
        sign_up_id,
        sign_up_referral_code,
        email_since,
        phone_since,
        profile_digest,
        profile_version,
    );
    query
}

fn stored(rows: &[PgRow]) -> Result<BTreeMap<Uuid, StoredUser>, sqlx::Error> {
    rows.iter().map(|row| StoredUser::from_row(row).map(|user| (user.id, user))).collect()
}

impl StoredUser {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |column: &str| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::from);
        let optional_time =
            |column: &str| row.try_get::<Option<OffsetDateTime>, _>(column).map(|at| at.map(Timestamp::from));
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
        let state = UserState {
            registers: registers(row)?,
            disabled: optional_time("enabled_at")?.map(|time| (time, !enabled)),
            deleted_at: optional_time("deleted_at")?,
            authentications: login_count.saturating_sub(u64::from(federated_login)),
            federated_login,
            last_login,
            sign_up,
            created_at: time("created_at")?,
            synced_at: time("synced_at")?,
        };
        Ok(Self {
            id: row.try_get("id")?,
            written_by: row.try_get("written_by")?,
            state,
            owned: Owned { email: row.try_get("email")?, phone_number: row.try_get("phone_number")? },
            since: Since {
                email: optional_time("email_since")?,
                phone_number: optional_time("phone_since")?,
            },
            referred_by: row.try_get("referred_by")?,
            is_erased: row.try_get("is_erased")?,
        })
    }
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
        Ok((name, Register { version, value, flag }))
    };
    attributes.into_iter().map(register).collect()
}

/// The service wrote the column, so somebody else changed it: nothing is guessed.
pub(super) fn corrupt(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("users.{column} holds what this service never writes").into())
}
