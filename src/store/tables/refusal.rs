//! What refuses a row, and whether it is this service's own: a constraint, a trigger or a column that somebody else added
//! can be mended, and the row goes through then. Names things, never a value.

use std::fmt;

use crate::postgres::{Origin, ServerError};
use crate::store::model::columns::COLUMNS;
use crate::store::tables::blame::is_of_a_policy;

/// What refused a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Refusal {
    /// The SQLSTATE, and what PostgreSQL names.
    what: String,
    /// Whether it is not this service's.
    pub(in crate::store) is_foreign: bool,
    /// Whether something else may be what refused it, that the error does not name: an expression of an index, of a
    /// generated column or of a constraint raises its own error.
    pub(in crate::store) may_be_foreign: bool,
    /// The function that raised it, as a trigger's: the error does not name the trigger.
    pub(in crate::store) function: Option<String>,
    /// The table whose rows it left as they were, without an error.
    pub(in crate::store) unwritten: Option<&'static str>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The constraints of `users` that the migrations make.
const OWN_CONSTRAINTS: [&str; 7] = [
    "users_pkey",
    "users_email_key",
    "users_phone_number_key",
    "users_country_code_check",
    "users_login_count_check",
    "users_last_login_device_check",
    "users_referral_code_key",
];

/// Those of the other tables. PostgreSQL makes such names, too, for constraints of others that have none.
const OWN_CONSTRAINTS_BESIDE: [&str; 21] = [
    "user_claims_kind_check",
    "user_claims_pkey",
    "user_claims_user_id_fkey",
    "user_events_pkey",
    "user_event_partitions_pkey",
    "user_event_partitions_lower_key",
    "user_event_partitions_upper_key",
    "user_baseline_pkey",
    "sync_status_singleton_check",
    "user_sync_memberships_pkey",
    "user_sync_membership_baseline_pkey",
    "user_sync_groups_pkey",
    "user_sync_group_baseline_pkey",
    "user_sync_contexts_pkey",
    "user_sync_failures_pkey",
    "user_sync_record_partitions_pkey",
    "user_sync_record_partitions_lower_key",
    "user_sync_record_partitions_upper_key",
    "user_sync_record_partitions_order_check",
    "user_sync_context_states_pkey",
    "user_sync_context_baseline_pkey",
];

/// The columns of `users` that may not be null and that the service gives a value, or leaves their default.
const OWN_NOT_NULL: [&str; 23] = [
    "id",
    "email_verified",
    "phone_number_verified",
    "name",
    "language",
    "is_active",
    "is_verified",
    "is_premium",
    "is_deleted",
    "login_count",
    "created_at",
    "synced_at",
    "updated_at",
    "preferences",
    "settings",
    "metadata",
    "referral_code",
    "enabled",
    "cognito_attributes",
    "app_owned",
    "attribute_versions",
    "federated_login",
    "row_version",
];

/// Indexes of `users` that the migrations make, and that are no constraint's.
const OWN_INDEXES: [&str; 4] =
    ["users_sign_up_referral_code_idx", "users_name_prefix_idx", "users_user_name_idx", "users_standing_idx"];

/// The classes of a row's errors that a statement of this service's may raise by itself.
const OWN_CLASSES: [&str; 4] = ["21", "22", "23", "54"];

/// The tables that the service writes, besides `users`.
const OTHER_TABLES: [&str; 12] = [
    "sync_status",
    "user_baseline",
    "user_claims",
    "user_events",
    "user_sync_context_baseline",
    "user_sync_context_states",
    "user_sync_contexts",
    "user_sync_failures",
    "user_sync_group_baseline",
    "user_sync_groups",
    "user_sync_membership_baseline",
    "user_sync_memberships",
];

/// What others have added to a table and that runs when a row is written: the table, the name, whether it certainly refuses
/// every row, and whether it can keep a row from being written without an error.
type Other = (String, String, bool, bool);

async fn others_on<'e>(
    questions: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
    tables: &[&str],
) -> Result<Vec<Other>, sqlx::Error> {
    sqlx::query_as(include_str!("others_on_tables.sql")).bind(tables).fetch_all(questions).await
}

/// What others have added to `users` and that can refuse a row, and whether it certainly refuses every new user; and what
/// they have added to the other tables.
pub(crate) async fn obstacles<'e>(
    questions: impl sqlx::Executor<'e, Database = sqlx::Postgres> + Copy,
) -> Result<Vec<(String, bool)>, sqlx::Error> {
    let ours: Vec<&str> = OWN_CONSTRAINTS.into_iter().chain(OWN_INDEXES).collect();
    let columns: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let query =
        sqlx::query_as(include_str!("obstacles.sql")).bind(ours).bind(OWN_NOT_NULL.as_slice()).bind(columns);
    let mut obstacles: Vec<(String, bool)> = query.fetch_all(questions).await?;
    let others = others_on(questions, &OTHER_TABLES).await?;
    let named = |(table, name, is_certain, _): Other| (format!("{name} of {table}"), is_certain);
    obstacles.extend(others.into_iter().map(named));
    Ok(obstacles)
}

/// What can keep rows of a table from being written, or from being there, without an error: triggers of others that run before,
/// rules, row security.
pub(in crate::store) async fn silencers<'e>(
    questions: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let others = others_on(questions, &[table]).await?;
    Ok(others.into_iter().filter_map(|(_, name, _, is_silent)| is_silent.then_some(name)).collect())
}

impl Refusal {
    /// Something of this service's own.
    pub(in crate::store) fn own(what: String) -> Self {
        Self { what, is_foreign: false, may_be_foreign: false, function: None, unwritten: None }
    }

    /// Row security, which hides a row of `users` from being changed.
    pub(in crate::store) fn hidden() -> Self {
        Self { unwritten: Some("users"), ..Self::foreign("a row of users that cannot be changed".to_owned()) }
    }

    /// What may be an expression of others' on a column, of which the error says nothing.
    pub(in crate::store) fn suspected(error: &sqlx::Error) -> Self {
        let sqlstate = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        Self { may_be_foreign: true, ..Self::own(sqlstate.into_owned()) }
    }

    fn foreign(what: String) -> Self {
        Self { is_foreign: true, may_be_foreign: true, ..Self::own(what) }
    }

    /// What left rows as they were, if that is what an error says.
    pub(super) fn of_unwritten(error: &sqlx::Error) -> Option<Self> {
        let sqlx::Error::AnyDriverError(error) = error else { return None };
        let unwritten: &Unwritten = error.downcast_ref()?;
        Some(Self { unwritten: Some(unwritten.table), ..Self::foreign(unwritten.to_string()) })
    }

    /// What a row was refused by.
    pub(super) fn of(error: &ServerError) -> Self {
        let sqlstate = error.sqlstate();
        let foreign = |what: &str| Self::foreign(format!("{sqlstate}, {what}"));
        if let Origin::Foreign(function) = &error.origin {
            return match function {
                Some(name) => {
                    let refusal = foreign(&format!("raised by the function {name}"));
                    Self { function: Some(name.clone()), ..refusal }
                }
                None => foreign("raised by a function"),
            };
        }
        if is_of_a_policy(error) {
            return foreign("row security of the table");
        }
        match (&error.constraint, &error.column, &error.table) {
            (Some(constraint), ..) => {
                let is_own = !sqlstate.starts_with("23")
                    || OWN_CONSTRAINTS.contains(&constraint.as_str())
                    || OWN_CONSTRAINTS_BESIDE.contains(&constraint.as_str())
                    || is_a_months(constraint);
                match is_own {
                    true => Self::own(format!("{sqlstate}, constraint {constraint}")),
                    false => foreign(&format!("constraint {constraint}")),
                }
            }
            (None, Some(column), table) => {
                let is_anothers = sqlstate == "23502"
                    && table.as_deref() == Some("users")
                    && !OWN_NOT_NULL.contains(&column.as_str());
                match is_anothers {
                    true => foreign(&format!("column {column}")),
                    false => Self::own(format!("{sqlstate}, column {column}")),
                }
            }
            // Statements of this service's raise nothing of the other classes.
            (None, None, _) if !OWN_CLASSES.iter().any(|class| sqlstate.starts_with(class)) => {
                foreign("raised by a trigger")
            }
            (None, None, table) => {
                let table = table.as_ref().map(|table| format!(", table {table}")).unwrap_or_default();
                Self { may_be_foreign: true, ..Self::own(format!("{sqlstate}{table}")) }
            }
        }
    }
}

/// Rows that a statement left as they were, though it says that it succeeded: a trigger may return null, a rule may do
/// something else instead, and row security may hide a row.
#[derive(Debug, thiserror::Error)]
#[error("{left} of {asked} rows of {table} were not written")]
struct Unwritten {
    table: &'static str,
    left: u64,
    asked: u64,
}

/// Whether it is the primary key of a month's table, such as `user_events_2026_11_pkey`.
fn is_a_months(constraint: &str) -> bool {
    let starts = ["user_events_", "user_sync_contexts_", "user_sync_failures_"];
    let month = starts.into_iter().find_map(|start| constraint.strip_prefix(start)?.strip_suffix("_pkey"));
    month.is_some_and(|month| month.chars().all(|character| character.is_ascii_digit() || character == '_'))
}

/// Fails where fewer rows of a table were written than were to be.
pub(in crate::store) fn all_written(
    table: &'static str,
    asked: usize,
    written: u64,
) -> Result<(), sqlx::Error> {
    let asked = u64::try_from(asked).unwrap_or(u64::MAX);
    match asked.saturating_sub(written) {
        0 => Ok(()),
        left => Err(sqlx::Error::AnyDriverError(Box::new(Unwritten { table, left, asked }))),
    }
}
