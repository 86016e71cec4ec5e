//! Finds out whether the server may keep prepared statements: whether what this process sends reaches the server that it
//! speaks with, or a pooler that hands each transaction on to another one. Must not know a statement.
//!
//! Each connection carries a startup option of a made-up value. A server that nothing stands before has the value then.
//! PgBouncer and RDS Proxy refuse options, or are told to ignore them; after the first such answer, none is sent.

use std::sync::{Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::config::PreparedStatements;

const PROBE: &str = "user_sync.probe";

/// What stands between this process and the server, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Not known before the first connection.
    Unknown,
    /// Nothing that changes what a connection says: startup options reach the server.
    Nothing,
    /// A pooler or a proxy that refuses startup options.
    RefusesOptions,
    /// A pooler that ignores startup options.
    IgnoresOptions,
    /// Not asked: the configuration says that statements are kept.
    Named,
    /// Not asked: the configuration says that statements are not kept.
    Unnamed,
}

/// What is known so far.
#[derive(Debug)]
pub(super) struct Statements {
    between: Mutex<Between>,
    /// A value that nobody else has set on a server's connection.
    nonce: String,
}

impl From<PreparedStatements> for Statements {
    fn from(configured: PreparedStatements) -> Self {
        let between = match configured {
            PreparedStatements::Auto => Between::Unknown,
            PreparedStatements::Named => Between::Named,
            PreparedStatements::Unnamed => Between::Unnamed,
        };
        Self { between: between.into(), nonce: Uuid::now_v7().simple().to_string() }
    }
}

impl Statements {
    pub(super) fn between(&self) -> Between {
        *self.between.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an answer. That something stands in between stays known: a connection that was under way may say otherwise.
    fn know(&self, between: Between) {
        let mut known = self.between.lock().unwrap_or_else(PoisonError::into_inner);
        if between != Between::Nothing || *known == Between::Unknown {
            *known = between;
        }
    }

    pub(super) fn are_named(&self) -> bool {
        matches!(self.between(), Between::Nothing | Between::Named)
    }

    /// Whether connections carry the probe. A name may lead to a pooler later.
    pub(super) fn probes(&self) -> bool {
        matches!(self.between(), Between::Unknown | Between::Nothing)
    }

    /// The options with the probe, as long as it has something to find out.
    pub(super) fn probing(&self, options: PgConnectOptions) -> PgConnectOptions {
        if self.probes() { options.options([(PROBE, self.nonce.as_str())]) } else { options }
    }

    /// Asks a new connection whether the probe has reached the server.
    pub(super) async fn ask(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.probes() {
            return Ok(());
        }
        // One message: a pooler cannot divide it.
        let question = sqlx::raw_sql("select current_setting('user_sync.probe', true)");
        let answer: Option<String> = question.fetch_one(connection).await?.try_get(0)?;
        let has_arrived = answer.as_deref() == Some(self.nonce.as_str());
        self.know(if has_arrived { Between::Nothing } else { Between::IgnoresOptions });
        Ok(())
    }

    /// Whether a connection that carried the probe failed because options are refused; from then on none are sent.
    pub(super) fn are_refused_by(&self, error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|error| error.code());
        // PgBouncer: 08P01, as for everything that it refuses; RDS Proxy: 0A000.
        let is_refused = matches!(code.as_deref(), Some("08P01" | "0A000"));
        if is_refused {
            self.know(Between::RefusesOptions);
        }
        is_refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_kept_as_it_is() {
        for between in [Between::Nothing, Between::RefusesOptions, Between::IgnoresOptions] {
            let statements = Statements::from(PreparedStatements::Auto);
            assert_eq!(statements.between(), Between::Unknown);
            statements.know(between);
            assert_eq!(statements.between(), between);
            statements.know(Between::Nothing);
            assert_eq!(statements.between(), between, "a later answer takes it back");
        }
        for (configured, between) in
            [(PreparedStatements::Named, Between::Named), (PreparedStatements::Unnamed, Between::Unnamed)]
        {
            assert_eq!(Statements::from(configured).between(), between);
        }
    }
}
