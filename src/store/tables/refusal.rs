//! What refuses a row, and whether it is this service's own: a constraint, a trigger or a column that somebody else added
//! can be mended, and the row goes through then. Names things, never a value.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

use crate::store::model::columns::COLUMNS;

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

/// What the names of the other tables' constraints begin with.
const OWN_PREFIXES: [&str; 5] =
    ["user_claims_", "user_events_", "user_event_partitions_", "user_baseline_", "sync_status_"];

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
const OWN_INDEX: &str = "users_sign_up_referral_code_idx";

/// What others have added to `users` and that can refuse a row, and whether it certainly refuses every new user.
pub(crate) async fn obstacles<'e>(
    questions: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
) -> Result<Vec<(String, bool)>, sqlx::Error> {
    let ours: Vec<&str> = OWN_CONSTRAINTS.into_iter().chain([OWN_INDEX]).collect();
    let columns: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let query =
        sqlx::query_as(include_str!("obstacles.sql")).bind(ours).bind(OWN_NOT_NULL.as_slice()).bind(columns);
    query.fetch_all(questions).await
}

impl Refusal {
    /// Something of this service's own.
    pub(in crate::store) fn own(what: String) -> Self {
        Self { what, is_foreign: false, may_be_foreign: false, function: None }
    }

    fn foreign(sqlstate: &str, what: String) -> Self {
        Self { what: format!("{sqlstate}, {what}"), is_foreign: true, may_be_foreign: true, function: None }
    }

    /// What a constraint or a type of this service's refused.
    pub(super) fn by_us(error: &PgDatabaseError) -> Self {
        let sqlstate = error.code();
        let what = match (error.constraint(), error.column(), error.table()) {
            (Some(constraint), ..) => format!("{sqlstate}, constraint {constraint}"),
            (None, Some(column), _) => format!("{sqlstate}, column {column}"),
            (None, None, Some(table)) => format!("{sqlstate}, table {table}"),
            (None, None, None) => sqlstate.to_owned(),
        };
        let may_be_foreign = error.constraint().is_none() && error.column().is_none();
        Self { may_be_foreign, ..Self::own(what) }
    }

    /// What somebody else's constraint, column, policy or trigger refused; `None` if it is nobody else's.
    pub(super) fn by_others(error: &PgDatabaseError) -> Option<Self> {
        let sqlstate = error.code();
        if let Some(function) = error.r#where().and_then(function).filter(|name| !is_own_function(name)) {
            let refusal = Self::foreign(sqlstate, format!("raised by the function {function}"));
            return Some(Self { function: Some(function.to_owned()), ..refusal });
        }
        if sqlstate.starts_with("23")
            && let Some(constraint) = error.constraint()
        {
            let is_own = OWN_CONSTRAINTS.contains(&constraint)
                || OWN_PREFIXES.iter().any(|prefix| constraint.starts_with(prefix));
            return (!is_own).then(|| Self::foreign(sqlstate, format!("constraint {constraint}")));
        }
        match (sqlstate, error.column()) {
            ("23502", Some(column)) if error.table() == Some("users") && !OWN_NOT_NULL.contains(&column) => {
                Some(Self::foreign(sqlstate, format!("column {column}")))
            }
            // Not by its message, which is in the server's language.
            ("42501", _) if error.routine() == Some("ExecWithCheckOptions") => {
                Some(Self::foreign(sqlstate, "row security of the table".to_owned()))
            }
            // What `raise` says where it says nothing else.
            ("P0001", _) => Some(Self::foreign(sqlstate, "raised by a trigger".to_owned())),
            _ => None,
        }
    }
}

/// The function of a procedural language that a trigger called, in an error's context: only its name, since what stands around it may
/// quote values. A line is such as `PL/pgSQL function app.check_user() line 3 at RAISE`, in the server's language, and
/// `PL/Python function "check_user"`.
fn function(context: &str) -> Option<&str> {
    // The last one is the trigger's, and follows every statement that is quoted.
    let line = context.lines().rfind(|line| line.contains("PL/"))?;
    let (_, named) = line.split_once("PL/")?;
    let before = named.split_once('(').map_or(named, |(before, _)| before);
    let name = match before.split_once('"') {
        Some((_, quoted)) => quoted.split('"').next(),
        None if before.len() < named.len() => before.rsplit(char::is_whitespace).next(),
        None => None,
    };
    name.filter(|name| !name.is_empty())
}

fn is_own_function(name: &str) -> bool {
    let name = name.rsplit('.').next().unwrap_or(name);
    ["users_note_app_edit", "user_sync_note_edit", "user_sync_begin", "user_event_create_partitions"]
        .contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_names_the_function_in_any_language() {
        let of = |context| function(context).unwrap_or_default();
        assert_eq!(of("PL/pgSQL function check_user() line 3 at RAISE"), "check_user");
        assert_eq!(of("PL/pgSQL-Funktion app.check_user(integer) Zeile 3 bei RAISE"), "app.check_user");
        let nested = "SQL statement \"select f('a@example.com')\"\nfonction PL/pgSQL f(), ligne 1";
        assert_eq!(of(nested), "f");
        assert_eq!(of("PL/Python function \"check_user\""), "check_user");
        assert_eq!(of("PL/pgSQL function \"Check\"() line 3 at RAISE"), "Check");
        assert_eq!(function("SQL statement \"select 1\""), None);
        assert!(is_own_function("app.users_note_app_edit"));
    }
}
