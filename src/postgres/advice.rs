//! Advises what to do about an error of the database. Must not know which statement failed.

use std::error::Error;

use crate::postgres::{Origin, ServerError};

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
    let Some(answer) = ServerError::of(error) else {
        let is_unavailable = matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed
        );
        return is_unavailable.then_some(
            "the database does not answer: `user-sync doctor` shows which host and port it connects to",
        );
    };
    match answer.origin {
        Origin::Foreign(_) => Some(
            "a function that is not this service's failed, such as a trigger's: mend it, or drop what calls it",
        ),
        Origin::Statement | Origin::OwnFunction | Origin::Elsewhere => of_code(answer.sqlstate()),
    }
}

/// By SQLSTATE ("PostgreSQL Error Codes", appendix A of PostgreSQL's manual): each is an answer, so the server, or what
/// stands before it, can be reached.
fn of_code(code: &str) -> Option<&'static str> {
    match code {
        "42501" => Some(
            "the role of DATABASE_URL may not do this: --help names the role that it has to be a member of",
        ),
        "28P01" | "28000" => Some(
            "the server refuses the login: check the user and the password of DATABASE_URL, or of its secret; for a \
             token, that the role may rds-db:connect as the user, and that the user is a member of rds_iam; and that \
             pg_hba.conf (on RDS: rds.force_ssl) lets this connection in",
        ),
        "3D000" => {
            Some("the server has no such database: check the name at the end of DATABASE_URL, before the ?")
        }
        "08P01" => Some(
            "PgBouncer refuses the connection, and says why: a password, a user or a database that it does not know, no \
             connection left, or a startup parameter; if it is none of these, DATABASE_URL does not lead to PostgreSQL",
        ),
        "0A000" => Some(
            "the server or a proxy cannot do what it was asked: check that DATABASE_URL leads to PostgreSQL, or to RDS \
             Proxy in front of it, and set USER_SYNC_PREPARED_STATEMENTS=unnamed; or drop the rule that somebody made on \
             one of the tables, which `user-sync doctor` names",
        ),
        "26000" | "42P05" => Some(
            "a pooler hands each transaction to another server connection: set USER_SYNC_PREPARED_STATEMENTS=unnamed",
        ),
        "25006" => Some(
            "the server takes no writes: it is a standby or a read replica, or its storage is full; DATABASE_URL must \
             name the writer",
        ),
        "53300" => Some(
            "too many connections: the server, the pooler, or what one role or database may have, has none left; raise that limit, or \
             lower USER_SYNC_CONCURRENCY and the functions' concurrency",
        ),
        "53100" | "53200" => Some("the server has no disk or memory left"),
        "57P03" => Some("the server is starting, stopping or recovering: wait, or see its log"),
        "57P01" | "57P02" => {
            Some("the server ended the connection: it is restarting, or an operator ended it")
        }
        "55000" => Some(
            "the session is not what this service needs, so nothing was written: `user-sync doctor` compares its \
             settings",
        ),
        _ if code.starts_with("42") || code.starts_with("3F") => Some(
            "the schema is not the one that this build needs: run `user-sync migrate`, with the same \
             USER_SYNC_DATABASE_SCHEMA as here",
        ),
        _ => None,
    }
}

/// The same advice, as the end of a sentence.
pub(crate) fn hint_suffix(error: &sqlx::Error) -> String {
    next_step(error).map(|step| format!("; {step}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_answers_is_never_said_to_be_out_of_reach() {
        let answers = [
            "0A000", "08P01", "28000", "28P01", "3D000", "25006", "26000", "42501", "42P01", "53300",
            "55000", "57P01", "57P03",
        ];
        for code in answers {
            let advice = of_code(code).unwrap_or_default();
            assert!(!advice.is_empty() && !advice.contains("security group"), "{code}: {advice}");
        }
    }
}
