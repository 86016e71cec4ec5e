//! Lists of users: by which index each goes, and where a page ends.

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::postgres::{Database, Purpose, Transaction};
use crate::store::directory::{PAGE, RARE, STANDING, Standing, find_by_index};
use crate::store::tables::failure::StoreError;

/// Rows that one step of a list looks at.
const STEP: usize = 250;
/// Steps of one page: what it shows may be rare.
const STEPS: usize = 8;

/// Which users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// How they stand.
    pub standing: Option<Standing>,
    /// The group that they are in.
    pub group: Option<String>,
    /// Their user pool.
    pub pool: Option<String>,
    /// When they signed in last.
    pub seen: Option<Seen>,
}

/// When a user signed in last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// In the last 24 hours.
    Day,
    /// In the last 7 days.
    Week,
    /// In the last 30 days.
    Month,
    /// Not in the last 90 days.
    Long,
    /// Never.
    Never,
}

/// In which order a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Latest sign-in first: by the ledger, from its end.
    LatestSignIn,
    /// Newest first.
    Newest,
    /// By the sub.
    Sub,
}

/// A place in a list; says nothing of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// A time, where the list is by time.
    pub at: Option<OffsetDateTime>,
    /// An event's id, or a sub.
    pub key: Uuid,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct List {
    /// The users, at most [`PAGE`].
    pub users: Vec<Listed>,
    /// In which order.
    pub order: Order,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Place>,
    /// Rows that were looked at.
    pub looked: usize,
}

/// A user of a list: which values there are, none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The sub.
    pub id: Uuid,
    /// Whether a name is known.
    pub has_name: bool,
    /// Whether it owns an e-mail address, and that is verified.
    pub email: Option<bool>,
    /// The same of a phone number.
    pub phone: Option<bool>,
    /// How it stands; `None` where Cognito's word is not known here.
    pub standing: Option<Standing>,
    /// Up to ten groups.
    pub groups: Vec<String>,
    /// The providers of its identities.
    pub providers: Vec<String>,
    /// Whether it has a password, as far as its status tells.
    pub has_password: bool,
    /// How often it signed in.
    pub login_count: u64,
    /// When it did last.
    pub last_login_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Filter {
    /// The order that an index has, for this filter.
    #[must_use]
    pub fn order(&self) -> Order {
        match (self.standing, &self.group, self.seen) {
            (_, Some(_), _) => Order::Sub,
            (Some(standing), None, _) if standing.is_rare() => Order::Newest,
            (_, None, Some(Seen::Long | Seen::Never)) => Order::Newest,
            (_, None, _) => Order::LatestSignIn,
        }
    }

    /// The rows to look at: user, place, and whether each is in question. `$6` is the place's time, `$7` its key, `$8` how
    /// many, `$9` a group or the least event.
    fn looked(&self) -> String {
        match self.order() {
            // A user's latest sign-in only; of an earlier event the user is not in question here.
            Order::LatestSignIn => "select event.user_id, null::timestamptz as at, event.id as key,
                    exists (select from users as own where own.id = event.user_id and own.last_login_id = event.id) as is_in
                from (select id, user_id from user_events where id < $7 and id >= $9::uuid order by id desc limit $8) as event
                where $6::timestamptz is null"
                .to_owned(),
            Order::Newest if self.standing.is_some_and(Standing::is_rare) => format!(
                "select id as user_id, created_at as at, id as key, true as is_in from users
                where {STANDING} = $1 and {RARE} and (created_at, id) < ($6::timestamptz, $7) and $9::uuid is not null
                order by created_at desc, id desc limit $8"
            ),
            Order::Newest => "select id as user_id, created_at as at, id as key, true as is_in from users
                where (created_at, id) < ($6::timestamptz, $7) and $9::uuid is not null
                order by created_at desc, id desc limit $8"
                .to_owned(),
            Order::Sub => "select member.user_id, null::timestamptz as at, member.user_id as key,
                    not gone and exists (select from user_sync_user_groups as current
                        where current.user_id = member.user_id and current.name = member.name) as is_in
                from (select user_id, name, gone from user_sync_memberships
                    where name = $9 and user_id > $7 order by user_id limit $8) as member
                where $6::timestamptz is null"
                .to_owned(),
        }
    }

    fn first(&self) -> Place {
        match self.order() {
            Order::LatestSignIn => Place { at: None, key: Uuid::max() },
            // PostgreSQL's own last year is beyond that.
            Order::Newest => Place { at: Some(OffsetDateTime::from(Timestamp::MAX)), key: Uuid::max() },
            Order::Sub => Place { at: None, key: Uuid::nil() },
        }
    }

    /// Since when and until when the last sign-in is, and the least id of an event that can be one.
    pub(super) fn times(&self, now: Timestamp) -> (Option<OffsetDateTime>, Option<OffsetDateTime>, Uuid) {
        let now = OffsetDateTime::from(now);
        let since = |days: i64| now - Duration::days(days);
        let id = |at: OffsetDateTime| {
            let millis = u128::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
            Uuid::from_u128(millis << 80)
        };
        match self.seen {
            Some(Seen::Day) => (Some(since(1)), None, id(since(1))),
            Some(Seen::Week) => (Some(since(7)), None, id(since(7))),
            Some(Seen::Month) => (Some(since(30)), None, id(since(30))),
            Some(Seen::Long) => (None, Some(since(90)), Uuid::nil()),
            Some(Seen::Never) | None => (None, None, Uuid::nil()),
        }
    }
}

/// A page of the users that a filter shows, after a place.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    database: &Database,
    filter: &Filter,
    after: Option<Place>,
    now: Timestamp,
) -> Result<List, StoreError> {
    let failed = StoreError::when("listing users");
    let mut tx = database.begin(Purpose::Page).await.map_err(&failed)?;
    let list = list_in(&mut tx, filter, after, now).await.map_err(&failed)?;
    tx.rollback().await.map_err(&failed)?;
    Ok(list)
}

async fn list_in(
    tx: &mut Transaction,
    filter: &Filter,
    after: Option<Place>,
    now: Timestamp,
) -> Result<List, sqlx::Error> {
    find_by_index(tx).await?;
    let order = filter.order();
    let statement = statement(filter);
    let mut list = List { users: Vec::new(), order, next: after, looked: 0 };
    let mut place = after.unwrap_or_else(|| filter.first());
    for _ in 0..STEPS {
        let rows = step(tx, filter, &statement, place, now).await?;
        for row in &rows {
            if list.users.len() == PAGE {
                list.next = Some(place);
                return Ok(list);
            }
            place = Place { at: row.try_get("at")?, key: row.try_get("key")? };
            list.looked += 1;
            if row.try_get("is_match")? {
                list.users.push(listed(row)?);
            }
        }
        if rows.len() < STEP {
            list.next = None;
            return Ok(list);
        }
    }
    list.next = Some(place);
    Ok(list)
}

/// The statement of a filter's list.
fn statement(filter: &Filter) -> String {
    let direction = if filter.order() == Order::Sub { "asc" } else { "desc" };
    include_str!("listed.sql").replace("{looked}", &filter.looked()).replace("{direction}", direction)
}

async fn step(
    tx: &mut Transaction,
    filter: &Filter,
    statement: &str,
    place: Place,
    now: Timestamp,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let (since, until, least) = filter.times(now);
    let query = sqlx::query(AssertSqlSafe(statement.to_owned()));
    let query = query.bind(filter.standing.map(Standing::as_stored)).bind(filter.pool.as_deref());
    let query = query.bind(since).bind(until).bind(filter.seen == Some(Seen::Never));
    let query = query.bind(place.at).bind(place.key).bind(i64::try_from(STEP).unwrap_or(i64::MAX));
    match &filter.group {
        Some(group) => query.bind(group).fetch_all(tx).await,
        None => query.bind(least).fetch_all(tx).await,
    }
}

fn listed(row: &PgRow) -> Result<Listed, sqlx::Error> {
    let status: Option<&str> = row.try_get("cognito_status")?;
    let verified = |has: &str, verified: &str| -> Result<Option<bool>, sqlx::Error> {
        Ok(if row.try_get(has)? { Some(row.try_get(verified)?) } else { None })
    };
    let login_count: i64 = row.try_get("login_count")?;
    Ok(Listed {
        id: row.try_get("id")?,
        has_name: row.try_get("has_name")?,
        email: verified("has_email", "email_verified")?,
        phone: verified("has_phone", "phone_verified")?,
        standing: Standing::of(
            row.try_get("is_erased")?,
            row.try_get("is_deleted")?,
            row.try_get("enabled")?,
            status,
        ),
        groups: row.try_get("groups")?,
        providers: row.try_get("providers")?,
        has_password: status.is_some_and(|status| status != Standing::External.as_stored()),
        login_count: u64::try_from(login_count).unwrap_or(0),
        last_login_at: row.try_get::<Option<OffsetDateTime>, _>("last_login_at")?.map(Timestamp::from),
        created_at: row.try_get::<OffsetDateTime, _>("created_at")?.into(),
    })
}

/// These users as a list has them, in this order; who has no row is not among them.
///
/// # Errors
/// When the database cannot be read.
pub async fn those(database: &Database, ids: &[Uuid]) -> Result<Vec<Listed>, StoreError> {
    let failed = StoreError::when("reading users");
    let mut tx = database.begin(Purpose::Page).await.map_err(&failed)?;
    find_by_index(&mut tx).await.map_err(&failed)?;
    let looked = "select id as user_id, null::timestamptz as at, id as key, true as is_in from users
        where id = any ($9::uuid[]) and $6::timestamptz is null and $7::uuid is null and $8::bigint is null";
    let statement = include_str!("listed.sql").replace("{looked}", looked).replace("{direction}", "asc");
    let query = sqlx::query(AssertSqlSafe(statement)).bind(None::<&str>).bind(None::<&str>);
    let query = query.bind(None::<OffsetDateTime>).bind(None::<OffsetDateTime>).bind(false);
    let query = query.bind(None::<OffsetDateTime>).bind(None::<Uuid>).bind(None::<i64>).bind(ids);
    let rows = query.fetch_all(&mut tx).await.map_err(&failed)?;
    tx.rollback().await.map_err(&failed)?;
    let mut users: Vec<Listed> = rows.iter().map(listed).collect::<Result<_, _>>().map_err(&failed)?;
    users.sort_by_key(|user| ids.iter().position(|id| *id == user.id));
    Ok(users)
}
