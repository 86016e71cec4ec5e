//! Adopts the `users` table that an application kept itself: each row becomes what the service's own state
//! says, in the baseline and in the new table, so that the proof holds from the first moment on.
//!
//! The rows are written by the same code that applies events. Must not know about migrations: who calls this
//! has renamed the old table and made the new ones, in the same transaction.

mod row;
mod shape;

use std::collections::BTreeMap;

use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use crate::store::maintenance::adopt::shape::inspect;
pub use crate::store::maintenance::adopt::shape::{KEPT_AS, OldTable};

use crate::geoip::GeoIp;
use crate::postgres::Transaction;
use crate::store::maintenance::adopt::row::{ApplicationColumns, NewRow, OldRow};
use crate::store::merge;
use crate::store::model::affected::{AffectedKeys, sign_up_code};
use crate::store::model::state::Delta;
use crate::store::tables::failure::{Failure, StoreError};
use crate::store::tables::refusal::all_written;
use crate::store::tables::{history, users};
use crate::text;

/// Rows that are read, and written, at a time: what bounds the memory.
const CHUNK_ROWS: usize = 1_000;

/// Whose the profile columns are that the old table filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// The application's: nobody can tell which of them its own forms wrote. Events do not change them until
    /// `user-sync release`.
    #[default]
    Application,
    /// The service's: what Cognito says next wins.
    Cognito,
}

/// How rows are adopted.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose the profile columns are.
    pub profile: Profile,
    /// The user pool that all users of the old table are in; the table itself does not say.
    pub user_pool_id: Option<String>,
    /// No time of an old row counts as later than this.
    pub now: Timestamp,
}

/// What was adopted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Rows, each of them one of the old table's.
    pub rows: u64,
    /// Rows whose old value the new row does not show, by column. The kept table has them.
    pub not_carried: BTreeMap<&'static str, u64>,
    /// Users who hold an address that another user owns, by kind; not known of a survey.
    pub contested: BTreeMap<String, u64>,
}

/// The old table is not adopted. Ids are named; no other value of a row ever is.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// There is a `users` that is not the documented one, or somebody depends on it.
    #[error(
        "the table users is not one that can be adopted; nothing was changed\n{lines}\nset \
         USER_SYNC_DATABASE_SCHEMA to a schema of this service's own, where your table is in nobody's way, or mend \
         these: see docs/adopting.md",
        lines = lines(differences)
    )]
    AnotherTable {
        /// Where it differs, a line each.
        differences: Vec<String>,
    },
    /// Rows that cannot be adopted.
    #[error(
        "the table users has rows that cannot be adopted; nothing was changed\n{lines}\nmend or remove these \
         rows and migrate again: see docs/adopting.md",
        lines = lines(problems)
    )]
    Rows {
        /// What is wrong with how many, and the first ids; a line each.
        problems: Vec<String>,
    },
    /// Two codes that differ only in what a person may type differently.
    #[error(
        "two rows of users have referral codes that differ only in case, hyphens or look-alike letters; nothing \
         was changed: change one of them and migrate again"
    )]
    AlikeReferralCodes,
    /// The database did not do it.
    #[error("the table users was not adopted; nothing was changed")]
    Failed(#[source] StoreError),
    /// Somebody uses the old table.
    #[error("the table users is in use; nothing was changed: stop what uses it, and migrate again")]
    InUse(#[source] sqlx::Error),
    /// Somebody removed it while we waited for it.
    #[error("the table users is gone; nothing was changed: migrate again")]
    Gone,
}

/// A list in an error. Names of columns may be anything.
pub(in crate::store) fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {}", text::line(line))).collect::<Vec<_>>().join("\n")
}

impl From<sqlx::Error> for AdoptError {
    fn from(error: sqlx::Error) -> Self {
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        if constraint == Some("users_referral_code_key") {
            return Self::AlikeReferralCodes;
        }
        Failure::from(error).into()
    }
}

impl From<Failure> for AdoptError {
    fn from(failure: Failure) -> Self {
        Self::Failed(StoreError::when("adopting the old rows")(failure))
    }
}

/// Reads the old table, still under its own name, and counts what adopting it would not carry over. Changes
/// nothing.
///
/// # Errors
/// When the database fails.
pub(crate) async fn survey(
    tx: &mut Transaction,
    table: &OldTable,
    options: &Options,
    geoip: &GeoIp,
    mut progress: impl FnMut(u64),
) -> Result<Adopted, AdoptError> {
    let mut adopted = Adopted::default();
    open(tx, "users", table).await?;
    loop {
        let rows = next(tx, options, geoip).await?;
        if rows.is_empty() {
            return Ok(adopted);
        }
        adopted.count(&rows);
        progress(adopted.rows);
    }
}

/// Adopts every row of the old table, which is [`KEPT_AS`] by now, into the new and empty ones.
///
/// Memory is bounded by a chunk of rows. All or nothing: the caller's transaction decides.
///
/// # Errors
/// When the database fails; the transaction must be rolled back then.
pub(crate) async fn adopt(
    tx: &mut Transaction,
    table: &OldTable,
    options: &Options,
    geoip: &GeoIp,
    mut progress: impl FnMut(u64),
) -> Result<Adopted, AdoptError> {
    let mut adopted = Adopted::default();
    let mut analyze_at = 1;
    open(tx, KEPT_AS, table).await?;
    loop {
        let rows = next(tx, options, geoip).await?;
        if rows.is_empty() {
            break;
        }
        adopted.count(&rows);
        insert(tx, &rows).await?;
        merge(tx, rows).await?;
        // Plans are kept, and what was planned for a small table would not do for a large one.
        if adopted.rows >= analyze_at {
            sqlx::query("analyze users, user_claims, user_baseline").execute(&mut *tx).await?;
            analyze_at = adopted.rows * 2;
        }
        progress(adopted.rows);
    }
    sqlx::query(include_str!("resolve_all_referrals.sql")).execute(&mut *tx).await?;
    let contested = sqlx::query_as::<_, (String, i64)>(include_str!("count_contested.sql"));
    for (kind, users) in contested.fetch_all(&mut *tx).await? {
        adopted.contested.insert(kind, u64::try_from(users).unwrap_or(0));
    }
    Ok(adopted)
}

impl Adopted {
    fn count(&mut self, rows: &[NewRow]) {
        self.rows += u64::try_from(rows.len()).unwrap_or(0);
        for column in rows.iter().flat_map(|row| &row.not_carried) {
            *self.not_carried.entry(column).or_default() += 1;
        }
    }
}

/// Opens the cursor; both names are our own.
async fn open(tx: &mut Transaction, name: &str, table: &OldTable) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "set local statement_timeout = 0; set local work_mem = '64MB'; set local cursor_tuple_fraction = 1;
        set local time zone 'UTC'; set local datestyle = 'ISO'",
    )
    .execute(&mut *tx)
    .await?;
    let declare = include_str!("declare_old_rows.sql")
        .replace("from old_users", &format!("from {name}"))
        .replace("join old_users", &format!("join {name}"))
        .replace("old.old_metadata", &format!("old.{}", table.metadata_column));
    sqlx::query(AssertSqlSafe(declare)).execute(tx).await.map(drop)
}

/// The next rows; none at the end.
async fn next(tx: &mut Transaction, options: &Options, geoip: &GeoIp) -> Result<Vec<NewRow>, sqlx::Error> {
    let fetch = sqlx::query(AssertSqlSafe(format!("fetch {CHUNK_ROWS} from old_rows")));
    let rows = fetch.fetch_all(tx).await?;
    rows.iter().map(|row| Ok(NewRow::of(&read(row)?, options, geoip))).collect()
}

fn read(row: &PgRow) -> Result<OldRow, sqlx::Error> {
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let time = |column: &str| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::from);
    let optional_time =
        |column: &str| row.try_get::<Option<OffsetDateTime>, _>(column).map(|at| at.map(Timestamp::from));
    Ok(OldRow {
        id: row.try_get("id")?,
        phone_number: text("phone_number")?,
        phone_number_verified: row.try_get("phone_number_verified")?,
        email: text("email")?,
        email_verified: row.try_get("email_verified")?,
        name: text("name")?,
        first_name: text("first_name")?,
        last_name: text("last_name")?,
        has_date_of_birth: row.try_get("has_date_of_birth")?,
        date_of_birth: text("date_of_birth")?,
        gender: text("gender")?,
        country_code: text("country_code")?,
        timezone: text("timezone")?,
        language: text("language")?,
        profile_picture_url: text("profile_picture_url")?,
        is_active: row.try_get("is_active")?,
        is_deleted: row.try_get("is_deleted")?,
        is_verified: row.try_get("is_verified")?,
        cognito_username: text("cognito_username")?,
        cognito_status: text("cognito_status")?,
        last_login_at: optional_time("last_login_at")?,
        last_login_ip: text("last_login_ip")?,
        last_login_device: text("last_login_device")?,
        last_login_location: text("last_login_location")?,
        login_count: u64::try_from(row.try_get::<i64, _>("login_count")?).unwrap_or(0),
        created_at: time("created_at")?,
        created_ip: text("created_ip")?,
        updated_at: time("updated_at")?,
        deleted_at: optional_time("deleted_at")?,
        referral_code: text("referral_code")?,
        is_referred: row.try_get("is_referred")?,
        referrer_id: row.try_get("referrer_id")?,
        referrer_code: text("referrer_code")?,
        bio: text("bio")?,
        is_premium: row.try_get("is_premium")?,
        preferences: text("preferences")?,
        settings: text("settings")?,
        metadata: text("metadata")?,
    })
}

/// Inserts the rows with the application's columns; one version of each row less than by a skeleton of an event.
async fn insert(tx: &mut Transaction, rows: &[NewRow]) -> Result<(), sqlx::Error> {
    let at = |time: fn(&Delta) -> Timestamp| {
        rows.iter().map(|row| OffsetDateTime::from(time(&row.delta))).collect::<Vec<_>>()
    };
    let mut query = sqlx::query(include_str!("insert_adopted.sql"))
        .bind(rows.iter().map(|row| row.id).collect::<Vec<Uuid>>())
        .bind(rows.iter().map(|row| row.application.referral_code.clone()).collect::<Vec<_>>())
        .bind(at(|delta| delta.state.created_at))
        .bind(at(|delta| delta.state.synced_at));
    macro_rules! bind {
        ($($column:ident),* $(,)?) => {
            $(query = query.bind(rows.iter().map(|NewRow { application, .. }: &NewRow| {
                let ApplicationColumns { $column, .. } = application;
                $column.clone()
            }).collect::<Vec<_>>());)*
        };
    }
    bind!(
        name,
        first_name,
        last_name,
        date_of_birth,
        gender,
        profile_picture_url,
        country_code,
        timezone,
        language,
        app_owned,
        bio,
        is_premium,
        preferences,
        settings,
        metadata,
    );
    all_written("users", rows.len(), query.execute(tx).await?.rows_affected())
}

/// Writes the service's columns, the claims and the baseline: as for new users' events, by the same code.
async fn merge(tx: &mut Transaction, rows: Vec<NewRow>) -> Result<(), AdoptError> {
    let deltas: BTreeMap<Uuid, Delta> = rows.into_iter().map(|row| (row.id, row.delta)).collect();
    let ids: Vec<Uuid> = deltas.keys().copied().collect();
    let keys = AffectedKeys {
        identifiers: deltas.values().flat_map(|delta| delta.claims.keys().cloned()).collect(),
        sign_up_codes: deltas.values().filter_map(|delta| sign_up_code(&delta.state)).collect(),
        // Who waits for one of these referrers is resolved at the end: a popular one has many, and each would
        // be read for it here.
        ..AffectedKeys::default()
    };
    // No value locks: nobody else sees these tables before the transaction commits.
    let stored = users::lock_affected(tx, &ids, &keys).await?.all()?;
    merge::merge_users_and_keys(tx, stored, &deltas, &keys).await?;
    Ok(history::merge_into_baseline(tx, deltas).await?)
}
