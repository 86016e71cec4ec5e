//! What the server answers where it refuses a statement: the SQLSTATE and the names of things. Its message is repeated only
//! where it cannot quote a value of a row: a trigger of the application's may raise whatever it likes. Must not know a table.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use sqlx::error::{BoxDynError, DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;

/// The classes ("PostgreSQL Error Codes", appendix A of PostgreSQL's manual) whose messages name only what the server, the
/// schema and the session are. Those of the others may quote values, such as `invalid input syntax for type date: "…"`.
const CLASSES_WITHOUT_VALUES: [&str; 12] =
    ["08", "0A", "25", "26", "28", "3D", "3F", "40", "53", "55", "57", "58"];

/// Of class 42 an expression on a column may raise most, such as `syntax error in tsquery: "…"`: not these, of privileges,
/// columns and functions.
const STATES_WITHOUT_VALUES: [&str; 3] = ["42501", "42703", "42883"];

/// The routine that does not find a table that a statement names. A cast of a value to `regclass` says the same in another.
const FINDS_TABLES: &str = "parserOpenTable";

fn quotes_no_value(sqlstate: &str, routine: Option<&str>) -> bool {
    CLASSES_WITHOUT_VALUES.iter().any(|class| sqlstate.starts_with(class))
        || STATES_WITHOUT_VALUES.contains(&sqlstate)
        || sqlstate == "42P01" && routine == Some(FINDS_TABLES)
}

/// The functions of the migrations, and their blocks: what they raise quotes no value.
const OWN_FUNCTIONS: [&str; 6] = [
    "users_note_app_edit",
    "user_sync_note_edit",
    "user_sync_begin",
    "user_event_create_partitions",
    "user_sync_create_record_partitions",
    DO_BLOCK,
];

/// What a context calls the block of a `do`, which is no function's: only this service runs any here.
const DO_BLOCK: &str = "inline_code_block";

/// The routines by which functions in PL/pgSQL and PL/Python raise an error with a SQLSTATE of their choice.
const RAISES: [&str; 3] = ["exec_stmt_raise", "PLy_output", "PLy_elog_impl"];

/// In whose code an error arose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the statement itself.
    Statement,
    /// In a function of this service's.
    OwnFunction,
    /// In a function of somebody else's, such as a trigger's; its name where it is known.
    Foreign(Option<String>),
    /// Somewhere that the error does not name.
    Elsewhere,
}

/// An error that the server answered with, without what could be a value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerError {
    sqlstate: String,
    /// PostgreSQL's, or why it is not repeated.
    message: String,
    pub(crate) origin: Origin,
    /// Whether a function raised it, with a SQLSTATE of its choice.
    pub(crate) is_raised: bool,
    pub(crate) constraint: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) column: Option<String>,
    /// The server's own, in its source code.
    pub(crate) routine: Option<String>,
}

impl ServerError {
    /// What the server answered; `None` if an error is not its answer.
    pub(crate) fn of(error: &sqlx::Error) -> Option<Cow<'_, Self>> {
        let error = error.as_database_error()?;
        let known = error.try_downcast_ref::<Self>().map(Cow::Borrowed);
        known.or_else(|| error.try_downcast_ref::<PgDatabaseError>().map(|error| Cow::Owned(error.into())))
    }

    pub(crate) fn sqlstate(&self) -> &str {
        &self.sqlstate
    }
}

/// The same error without what could be a value of a row: all that leaves this wing.
pub(super) fn without_values(error: sqlx::Error) -> sqlx::Error {
    match ServerError::of(&error) {
        Some(Cow::Owned(safe)) => safe.into(),
        Some(Cow::Borrowed(_)) | None => error,
    }
}

impl From<&PgDatabaseError> for ServerError {
    fn from(error: &PgDatabaseError) -> Self {
        let origin = origin(error.r#where());
        let is_raised = error.routine().is_some_and(|routine| RAISES.contains(&routine));
        let sqlstate = error.code();
        let is_ours = match &origin {
            Origin::Statement => !is_raised,
            Origin::OwnFunction => true,
            Origin::Foreign(_) | Origin::Elsewhere => false,
        };
        let message = match &origin {
            _ if is_ours && quotes_no_value(sqlstate, error.routine()) => error.message().to_owned(),
            Origin::Foreign(Some(function)) => format!("SQLSTATE {sqlstate}, in the function {function}"),
            Origin::Foreign(None) => format!("SQLSTATE {sqlstate}, in a function of somebody else's"),
            Origin::Statement | Origin::OwnFunction | Origin::Elsewhere => {
                format!("SQLSTATE {sqlstate}; the server's log has the message, which may quote values")
            }
        };
        // Who raises an error names what it likes.
        let name = |name: Option<&str>| {
            let may_be_a_value = is_raised || matches!(origin, Origin::Foreign(_));
            name.filter(|_| !may_be_a_value).map(str::to_owned)
        };
        Self {
            sqlstate: sqlstate.to_owned(),
            message,
            constraint: name(error.constraint()),
            table: name(error.table()),
            column: name(error.column()),
            routine: error.routine().map(str::to_owned),
            is_raised,
            origin,
        }
    }
}

/// Whose functions an error's context names. Only names are taken from it, since what stands around them may quote values.
fn origin(context: Option<&str>) -> Origin {
    let Some(context) = context else { return Origin::Statement };
    let functions: Vec<_> = context.lines().filter(|line| line.contains("PL/")).map(function).collect();
    if functions.is_empty() {
        return Origin::Elsewhere;
    }
    // The last one was called first, as a trigger's. What it quotes stands before it and may say anything, but this service's
    // own functions quote no line such as these.
    let foreign = functions.into_iter().rev().find(|name| !name.is_some_and(is_own_function));
    foreign.map_or(Origin::OwnFunction, |name| Origin::Foreign(name.map(str::to_owned)))
}

/// The function that a line of a context names, such as `PL/pgSQL function app.check_user() line 3 at RAISE`, in the server's
/// language, and `PL/Python function "check_user"`.
fn function(line: &str) -> Option<&str> {
    let (_, named) = line.split_once("PL/")?;
    let before = named.split_once('(').map_or(named, |(before, _)| before);
    let name = match before.split_once('"') {
        Some((_, quoted)) => quoted.split('"').next(),
        None if before.len() < named.len() => before.rsplit(char::is_whitespace).next(),
        None => named.split_whitespace().find(|word| *word == DO_BLOCK),
    };
    let is_of_a_name = |character: char| character.is_alphanumeric() || "_.$".contains(character);
    name.filter(|name| !name.is_empty() && name.chars().all(is_of_a_name))
}

fn is_own_function(name: &str) -> bool {
    OWN_FUNCTIONS.contains(&name.rsplit('.').next().unwrap_or(name))
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for ServerError {}

impl DatabaseError for ServerError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.sqlstate))
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> BoxDynError {
        self
    }

    fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    fn kind(&self) -> ErrorKind {
        match self.sqlstate.as_str() {
            "23505" => ErrorKind::UniqueViolation,
            "23503" => ErrorKind::ForeignKeyViolation,
            "23502" => ErrorKind::NotNullViolation,
            "23514" => ErrorKind::CheckViolation,
            "23P01" => ErrorKind::ExclusionViolation,
            _ => ErrorKind::Other,
        }
    }
}

#[cfg(test)]
impl ServerError {
    /// An error that a statement's own execution ends with.
    pub(crate) fn example(sqlstate: &str, origin: Origin, is_raised: bool) -> Self {
        Self {
            sqlstate: sqlstate.to_owned(),
            message: "an example".to_owned(),
            origin,
            is_raised,
            constraint: None,
            table: None,
            column: None,
            routine: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_names_the_function_in_any_language() {
        let foreign = |name: &str| Origin::Foreign(Some(name.to_owned()));
        let of = |context| origin(Some(context));
        assert_eq!(of("PL/pgSQL function check_user() line 3 at RAISE"), foreign("check_user"));
        let german = "PL/pgSQL-Funktion app.check_user(integer) Zeile 3 bei RAISE";
        assert_eq!(of(german), foreign("app.check_user"));
        let nested = "SQL statement \"select f('a@example.com')\"\nfonction PL/pgSQL f(), ligne 1";
        assert_eq!(of(nested), foreign("f"));
        assert_eq!(of("PL/Python function \"check_user\""), foreign("check_user"));
        assert_eq!(of("PL/pgSQL function \"Check\"() line 3 at RAISE"), foreign("Check"));
        assert_eq!(of("SQL statement \"select 1\""), Origin::Elsewhere);
        assert_eq!(origin(None), Origin::Statement);
        assert_eq!(of("PL/pgSQL function app.user_sync_begin(text) line 9 at RAISE"), Origin::OwnFunction);
        let block = "PL/pgSQL function inline_code_block line 9 at SQL statement";
        assert_eq!(of(block), Origin::OwnFunction);
        let called = format!(
            "PL/pgSQL function check_schema() line 2 at RAISE\nSQL statement \"create role a\"\n{block}"
        );
        assert_eq!(of(&called), foreign("check_schema"));
    }

    #[test]
    fn what_a_statement_quotes_is_not_taken_for_a_name() {
        let quoted = "SQL statement \"select '\nPL/pgSQL function ada@example.com() line 1 at RAISE'\"\n";
        let called = |by| format!("{quoted}PL/pgSQL function {by}() line 2 at EXECUTE");
        assert_eq!(origin(Some(&called("check_user"))), Origin::Foreign(Some("check_user".to_owned())));
        assert_eq!(origin(Some(&called("user_sync_begin"))), Origin::Foreign(None));
        assert_eq!(origin(Some(quoted)), Origin::Foreign(None));
    }
}
