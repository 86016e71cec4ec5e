//! Advises what to do about an error of the database. Must not know which statement failed.

use std::error::Error;

/// What to do about an error that a database error is behind; `None` where nothing helps.
#[must_use]
pub fn advice_for(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match error.downcast_ref() {
        Some(database) => next_step(database),
        None => error.source().and_then(advice_for),
    }
}

/// Advises what to do about a database error; `None` where there is no useful advice.
#[must_use]
pub fn next_step(error: &sqlx::Error) -> Option<&'static str> {
    let Some(database) = error.as_database_error() else {
        let is_unavailable = matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed
        );
        return is_unavailable.then_some(
            "the database does not answer: `user-sync doctor` shows which host and port it connects to",
        );
    };
    // "PostgreSQL Error Codes", appendix A of PostgreSQL's manual.
    match database.code().as_deref() {
        Some("42501") => Some(
            "the role of DATABASE_URL may not do this: --help names the role that it has to be a member of",
        ),
        Some("28P01" | "28000") => Some(
            "check the user and the password of DATABASE_URL, or of its secret; for a token, that the role may \
             rds-db:connect as the user, and that the user is a member of rds_iam",
        ),
        Some("3D000") => Some("check the database's name in DATABASE_URL"),
        Some(code) if code.starts_with("42") || code.starts_with("3F") => {
            Some("the schema is not the one that this build needs: run `user-sync migrate`")
        }
        Some(_) | None => None,
    }
}

/// The same advice, as the end of a sentence.
pub(crate) fn hint_suffix(error: &sqlx::Error) -> String {
    next_step(error).map(|step| format!("; {step}")).unwrap_or_default()
}
