//! Logs: JSON, one line an event, on stdout where nobody watches and on stderr in plain text at a terminal.
//!
//! **Invariant:** no attribute, address, token or secret is ever logged; errors name fields and limits.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The name of the variable that sets what is logged.
pub const FILTER_VARIABLE: &str = "USER_SYNC_LOG";

/// Starts logging, at `default_level` unless `USER_SYNC_LOG` says otherwise; a second call does nothing. Notices of the SQL driver are not ours to repeat: they quote
/// values.
pub fn init(default_level: &str) {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| default_level.to_owned());
    let filter = format!("{filter},sqlx=off");
    let builder =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr);
    let initialised = match std::io::stderr().is_terminal() {
        true => builder.with_target(false).compact().try_init(),
        false => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    drop(initialised);
}
