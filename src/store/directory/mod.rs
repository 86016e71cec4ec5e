//! Finds users and lists them, for pages: each list by an index, a page at a time, over a bounded number of rows. A list says
//! which values a user has, and none of them. Must not know who may see what.

mod count;
mod find;
mod listed;

use time::OffsetDateTime;
use uuid::Uuid;

pub use self::count::{Count, Piece};
pub use self::find::{Found, How, find};
pub use self::listed::{Filter, List, Listed, Order, Place, Seen, list, those};
use crate::postgres::{Database, Purpose, Transaction};
use crate::store::maintenance::indexes;
use crate::store::tables::failure::StoreError;

/// Users of a page.
pub const PAGE: usize = 25;
/// Where counting stops.
pub const COUNT_MAX: u64 = 10_000;
/// Names of groups and pools that a filter offers.
const CHOICES_MAX: i64 = 200;

/// The standings of users that are rare, so that they have an index of their own.
const RARE: &str = "(erased_at is not null or is_deleted or not enabled
    or cognito_status not in ('CONFIRMED', 'EXTERNAL_PROVIDER'))";

/// How a user stands, as `users_standing_idx` has it.
const STANDING: &str = "(case when erased_at is not null then 'ERASED' when is_deleted then 'DELETED'
    when not enabled then 'DISABLED' else cognito_status end)";

/// How a user stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Signed up with a password, and confirmed.
    Confirmed,
    /// Comes from an identity provider.
    External,
    /// Signed up, and has not confirmed it.
    Unconfirmed,
    /// Was made by an administrator, and has a password for once.
    MustChangePassword,
    /// Has to reset the password.
    ResetRequired,
    /// May not sign in.
    Disabled,
    /// Was deleted from the pool.
    Deleted,
    /// Was erased here.
    Erased,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 8] = [
        Self::Confirmed,
        Self::External,
        Self::Unconfirmed,
        Self::MustChangePassword,
        Self::ResetRequired,
        Self::Disabled,
        Self::Deleted,
        Self::Erased,
    ];

    /// As [`STANDING`] says it: Cognito's word (`UserStatusType`), or ours.
    fn as_stored(self) -> &'static str {
        match self {
            Self::Confirmed => "CONFIRMED",
            Self::External => "EXTERNAL_PROVIDER",
            Self::Unconfirmed => "UNCONFIRMED",
            Self::MustChangePassword => "FORCE_CHANGE_PASSWORD",
            Self::ResetRequired => "RESET_REQUIRED",
            Self::Disabled => "DISABLED",
            Self::Deleted => "DELETED",
            Self::Erased => "ERASED",
        }
    }

    /// Whether few are so, by [`RARE`].
    fn is_rare(self) -> bool {
        !matches!(self, Self::Confirmed | Self::External)
    }

    /// The standing of a row; `None` for a word that Cognito may add.
    #[must_use]
    pub fn of(is_erased: bool, is_deleted: bool, enabled: bool, status: Option<&str>) -> Option<Self> {
        match () {
            () if is_erased => Some(Self::Erased),
            () if is_deleted => Some(Self::Deleted),
            () if !enabled => Some(Self::Disabled),
            () => Self::ALL.into_iter().find(|standing| status == Some(standing.as_stored())),
        }
    }
}

/// How many users there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// So many.
    Exactly(u64),
    /// More than [`COUNT_MAX`]; PostgreSQL's own estimate of the table, if it has one and all users are meant.
    More(Option<u64>),
}

/// Whether every index that the lists and the search need is there; else `user-sync maintain` builds it.
///
/// # Errors
/// When the database cannot be read.
pub async fn is_ready(database: &Database) -> Result<bool, StoreError> {
    let failed = StoreError::when("asking for the indexes of users");
    indexes::users_are_found(database).await.map_err(&failed)
}

/// How many users a filter shows, where an index can say it: of all, of a rare standing alone, of a group alone.
///
/// # Errors
/// When the database cannot be read.
pub async fn total(database: &Database, filter: &Filter) -> Result<Option<Total>, StoreError> {
    let failed = StoreError::when("counting users");
    let mut tx = database.begin(Purpose::Page).await.map_err(&failed)?;
    let total = total_in(&mut tx, filter).await.map_err(&failed)?;
    tx.rollback().await.map_err(&failed)?;
    Ok(total)
}

async fn total_in(tx: &mut Transaction, filter: &Filter) -> Result<Option<Total>, sqlx::Error> {
    let Filter { standing, group, pool, seen } = filter;
    let (rows, bound, is_all) = match (standing, group, pool, seen) {
        (None, None, None, None) => ("select from users order by id", None, true),
        (Some(standing), None, None, None) if standing.is_rare() => {
            ("select from users where {standing} = $1 and {rare}", Some(standing.as_stored()), false)
        }
        (None, Some(group), None, None) => {
            ("select from user_sync_memberships where name = $1 and not gone", Some(group.as_str()), false)
        }
        _ => return Ok(None),
    };
    find_by_index(tx).await?;
    let rows = rows.replace("{standing}", STANDING).replace("{rare}", RARE);
    let count = format!("select count(*) from ({rows} limit {}) as users", COUNT_MAX + 1);
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count));
    let count = match bound {
        Some(bound) => count.bind(bound),
        None => count,
    };
    let count: i64 = count.fetch_one(&mut *tx).await?;
    let count = u64::try_from(count).unwrap_or(0);
    if count <= COUNT_MAX {
        return Ok(Some(Total::Exactly(count)));
    }
    let estimate = "select reltuples::bigint from pg_class where oid = 'users'::regclass";
    let estimate: i64 = sqlx::query_scalar(estimate).fetch_one(tx).await?;
    Ok(Some(Total::More(u64::try_from(estimate).ok().filter(|estimate| is_all && *estimate > COUNT_MAX))))
}

/// No list reads a table to its end, whatever PostgreSQL thinks of its size. Nor is one compiled: a scan that is switched off
/// counts as dear, also of a table with a single row.
async fn find_by_index(tx: &mut Transaction) -> Result<(), sqlx::Error> {
    let settings =
        "set local enable_seqscan = off; set local plan_cache_mode = force_custom_plan; set local jit = off";
    sqlx::raw_sql(settings).execute(tx).await.map(drop)
}

/// What the filters offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Groups with members, by name.
    pub groups: Vec<String>,
    /// User pools that a heartbeat told of, or that one of the latest events is of.
    pub pools: Vec<String>,
}

/// What the filters offer; at most 200 of each.
///
/// # Errors
/// When the database cannot be read.
pub async fn choices(database: &Database) -> Result<Choices, StoreError> {
    let failed = StoreError::when("asking for groups and pools");
    let mut tx = database.begin(Purpose::Page).await.map_err(&failed)?;
    find_by_index(&mut tx).await.map_err(&failed)?;
    let groups = sqlx::query_scalar(include_str!("groups.sql")).bind(CHOICES_MAX);
    let groups = groups.fetch_all(&mut tx).await.map_err(&failed)?;
    let pools = "select distinct pool from (
            select pool ->> 'user_pool_id' as pool from sync_status
            cross join jsonb_array_elements(case when jsonb_typeof(pools) = 'array' then pools else '[]' end) as pool
            union all
            (select user_pool_id from user_events order by id desc limit 200)) as pools
        where pool is not null order by pool limit $1";
    let pools = sqlx::query_scalar(pools).bind(CHOICES_MAX).fetch_all(&mut tx).await.map_err(&failed)?;
    tx.rollback().await.map_err(&failed)?;
    Ok(Choices { groups, pools })
}

/// One user's row, as JSON by column, and what other rows say of it. Personal data.
#[derive(Debug, Clone)]
pub struct Row {
    /// The columns.
    pub columns: serde_json::Map<String, serde_json::Value>,
    /// Its addresses that another user owns: `email` or `phone`, and that user.
    pub contested: Vec<(String, Uuid)>,
    /// Its identities at providers: the provider's name, and when it was linked.
    pub identities: Vec<(String, Option<OffsetDateTime>)>,
    /// The groups that it is in now.
    pub groups: Vec<String>,
}

/// One user's row; `None` where there is none.
///
/// # Errors
/// When the database cannot be read.
pub async fn row(database: &Database, user: Uuid) -> Result<Option<Row>, StoreError> {
    let failed = StoreError::when("reading a user");
    let mut tx = database.begin(Purpose::Page).await.map_err(&failed)?;
    let row = row_in(&mut tx, user).await.map_err(&failed)?;
    tx.rollback().await.map_err(&failed)?;
    Ok(row)
}

async fn row_in(tx: &mut Transaction, user: Uuid) -> Result<Option<Row>, sqlx::Error> {
    find_by_index(tx).await?;
    let columns = "select to_jsonb(users) from users where id = $1";
    let columns: Option<serde_json::Value> =
        sqlx::query_scalar(columns).bind(user).fetch_optional(&mut *tx).await?;
    let Some(serde_json::Value::Object(columns)) = columns else { return Ok(None) };
    let contested = "select kind, owner_id from user_contested_identifiers where user_id = $1 order by kind";
    let contested = sqlx::query_as(contested).bind(user).fetch_all(&mut *tx).await?;
    let identities = "select provider_name, linked_at from user_sync_identities where user_id = $1
        and provider_name is not null order by linked_at nulls last, provider_name limit 20";
    let identities = sqlx::query_as(identities).bind(user).fetch_all(&mut *tx).await?;
    let groups = "select name from user_sync_user_groups where user_id = $1 order by name limit 100";
    let groups = sqlx::query_scalar(groups).bind(user).fetch_all(tx).await?;
    Ok(Some(Row { columns, contested, identities, groups }))
}
