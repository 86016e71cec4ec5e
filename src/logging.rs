//! Writes logs to stderr: plain text at a terminal, else JSON, one line an event. Must not know what is logged.
//!
//! **Invariant:** no attribute, address, token or secret is ever logged; errors name fields and limits.

use std::io::{IsTerminal as _, stderr};

use cognito_user_sync_triggers::environment::Environment;
use tracing_subscriber::EnvFilter;

use crate::text::Escaped;

/// An error with its causes, on one line: a log line and CloudFormation show no more. Without what a row holds.
#[must_use]
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut shown = Vec::<String>::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let (cause, behind) = match quotes_a_row(error) {
            true => ("a row holds what this build cannot read".to_owned(), None),
            false => (error.to_string(), error.source()),
        };
        // Some errors state their cause themselves.
        if !shown.iter().any(|before| before.contains(&cause)) {
            shown.push(cause);
        }
        next = behind;
    }
    shown.join(": ")
}

/// Whether an error's text may quote what a row holds: one of the database driver's, of a column that it cannot decode.
#[must_use]
pub fn quotes_a_row(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }))
}

/// The name of the variable that sets what is logged.
pub const FILTER_VARIABLE: &str = "USER_SYNC_LOG";

/// Libraries that would log messages, requests or values, limited whatever level is configured.
const QUIET: [&str; 7] = [
    "sqlx=off",
    // It logs what it signs: all of a database's token but the signature.
    "aws_sigv4=info",
    "aws_smithy_runtime=info",
    "aws_smithy_http_client=info",
    "lambda_runtime=info",
    "hyper=info",
    "hyper_util=info",
];

/// Starts logging, at `default_level` unless `USER_SYNC_LOG` says otherwise; a second call does nothing.
pub fn init(default_level: &str) {
    let configured = Environment::process().optional(FILTER_VARIABLE);
    let filter = configured.as_ref().ok().cloned().flatten().unwrap_or_else(|| default_level.to_owned());
    let filter = QUIET.iter().fold(filter, |filter, module| format!("{filter},{module}"));
    // What others say, such as the database, is in some lines.
    let writer = || Escaped::new(stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(writer);
    let initialised = match stderr().is_terminal() {
        true => builder.with_target(false).with_ansi(false).compact().try_init(),
        false => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
    drop(initialised);
    if let Err(error) = configured {
        tracing::error!(error = &error as &dyn std::error::Error, "logging at the default level");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decoded_is_not_quoted() {
        #[derive(Debug, thiserror::Error)]
        #[error("the table cannot be read")]
        struct Unread(#[source] sqlx::Error);

        let source = "invalid type: string \"ada@example.com\", expected u64".into();
        let shown = causes(&Unread(sqlx::Error::ColumnDecode { index: "\"state\"".to_owned(), source }));
        assert_eq!(shown, "the table cannot be read: a row holds what this build cannot read");
    }
}
