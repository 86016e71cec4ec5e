//! Reads a log: one event or log line a line, or one JSON object printed over several lines. Must not know CSV or JSON
//! documents.

use std::io::{self, BufRead, Read as _};

use crate::sqs::replay::{Finder, Place, ReadError, TEXT_MAX_BYTES};

/// Whether a line was read in full.
pub(super) enum Line {
    Whole,
    TooLong,
}

/// Reads the next line, its end included. The rest of a line that is too long is skipped.
pub(super) fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<Line>> {
    line.clear();
    let limit = u64::try_from(TEXT_MAX_BYTES).unwrap_or(u64::MAX);
    input.by_ref().take(limit).read_until(b'\n', line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() < TEXT_MAX_BYTES || line.ends_with(b"\n") {
        return Ok(Some(Line::Whole));
    }
    let mut rest = Vec::new();
    while !rest.ends_with(b"\n") {
        rest.clear();
        if input.by_ref().take(limit).read_until(b'\n', &mut rest)? == 0 {
            break;
        }
    }
    Ok(Some(Line::TooLong))
}

/// Reads lines. An object that is printed over several lines, as by `aws logs tail --format json`, counts as one line.
pub(super) fn read(mut input: impl BufRead, finder: &mut Finder<'_>) -> io::Result<()> {
    let (mut line, mut printed) = (Vec::new(), Printed::default());
    let mut number = 0;
    while let Some(read) = next_line(&mut input, &mut line)? {
        number += 1;
        if printed.takes(&line) {
            continue;
        }
        printed.end(finder);
        match read {
            Line::TooLong => finder.report(Place::Line(number), Err(ReadError::TooLong)),
            Line::Whole if printed.starts_with(number, &line) => {}
            Line::Whole => finder.bytes(Place::Line(number), &line),
        }
    }
    printed.end(finder);
    Ok(())
}

/// An object printed over several lines: a line that ends in `{`, indented ones, and a `}`.
#[derive(Default)]
struct Printed {
    number: u64,
    text: Vec<u8>,
    is_whole: bool,
}

impl Printed {
    fn starts_with(&mut self, number: u64, line: &[u8]) -> bool {
        if line.trim_ascii_end().ends_with(b"{") {
            *self = Self { number, text: line.to_owned(), is_whole: false };
        }
        !self.text.is_empty()
    }

    /// Adds a line if it belongs to the object.
    fn takes(&mut self, line: &[u8]) -> bool {
        let is_end = line.trim_ascii_end() == b"}";
        let is_part = is_end || line.starts_with(b" ") || line.starts_with(b"\t");
        let is_taken = !self.text.is_empty()
            && !self.is_whole
            && is_part
            && self.text.len() + line.len() <= TEXT_MAX_BYTES;
        if is_taken {
            self.text.extend_from_slice(line);
            self.is_whole = is_end;
        }
        is_taken
    }

    fn end(&mut self, finder: &mut Finder<'_>) {
        let Self { number, text, .. } = std::mem::take(self);
        if text.is_empty() {
            return;
        }
        // Skip what the log put before the object.
        let start = text.iter().position(|byte| *byte == b'{').unwrap_or_default();
        finder.bytes(Place::Line(number), text.get(start..).unwrap_or(&text));
    }
}
