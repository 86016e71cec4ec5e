//! Where the commands print: every byte goes through `text`, since names and messages of others are among what they print.
//! Must not know what a command prints. A test and a lint hold that no command prints elsewhere.

use std::io::{IsTerminal as _, StderrLock, StdoutLock, Write as _};

use cognito_user_sync::config::Environment;
pub(super) use cognito_user_sync::text::line;
use cognito_user_sync::text::{self, Escaped};
use serde::Serialize;

/// The answer's stream.
pub(super) type Stdout = Escaped<StdoutLock<'static>>;

/// Where the answer goes.
pub(super) fn stdout() -> Stdout {
    Escaped::new(std::io::stdout().lock())
}

/// Where what is not the answer goes.
pub(super) fn stderr() -> Escaped<StderrLock<'static>> {
    Escaped::new(std::io::stderr().lock())
}

/// Whether to print colours: on a terminal, unless NO_COLOR is set (<https://no-color.org>).
pub(super) fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && Environment::process().raw("NO_COLOR").is_none()
}

/// Says something beside the answer, on one line.
pub(super) fn say(what: &str) {
    // Nobody can be told that it cannot be said.
    drop(writeln!(stderr(), "{}", line(what)));
}

/// Says why a command failed, with the causes.
pub(crate) fn failed(error: &anyhow::Error) {
    drop(writeln!(stderr(), "Error: {error:?}"));
}

/// Says what is wrong with the arguments, or the help that they ask for, and ends.
pub(crate) fn refused(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    // A value may be of the environment.
    drop(write!(stderr(), "{}", error.render()));
    std::process::exit(error.exit_code())
}

/// Writes rows as CSV, each on one line, and no cell a formula. The header even if there are no rows, which the csv crate
/// does not.
pub(super) fn csv(out: &mut Stdout, header: &[&str], rows: &[impl Serialize]) -> anyhow::Result<()> {
    let mut plain = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for row in rows {
        plain.serialize(row)?;
    }
    let plain = plain.into_inner().map_err(csv::IntoInnerError::into_error)?;
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(header)?;
    for record in csv::ReaderBuilder::new().has_headers(false).from_reader(&plain[..]).into_records() {
        writer.write_record(record?.iter().map(|cell| text::cell(cell).into_owned()))?;
    }
    Ok(writer.flush()?)
}
