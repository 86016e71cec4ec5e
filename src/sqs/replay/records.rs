//! Reads CSV, one column of which holds the log's lines, as Logs Insights exports it.

use std::io::{self, BufRead};

use cognito_user_sync_triggers::undelivered;

use crate::sqs::replay::lines::{Line, next_line};
use crate::sqs::replay::{Finder, Place, ReadError, TEXT_MAX_BYTES};

/// Reads records. A record may span several lines.
pub(super) fn read(mut input: impl BufRead, column: usize, finder: &mut Finder<'_>) -> io::Result<()> {
    let (mut line, mut record) = (Vec::new(), Vec::new());
    let (mut number, mut first, mut quotes) = (0, 1, 0);
    while let Some(read) = next_line(&mut input, &mut line)? {
        number += 1;
        if record.is_empty() {
            (first, quotes) = (number, 0);
        }
        record.extend_from_slice(&line);
        quotes += line.iter().filter(|byte| **byte == b'"').count();
        if matches!(read, Line::TooLong) || record.len() > TEXT_MAX_BYTES {
            finder.report(Place::Line(first), Err(ReadError::TooLong));
            record.clear();
        }
        // A field that contains a line break is quoted, and a quote inside it is doubled.
        if quotes % 2 == 0 {
            field(&record, column, Place::Line(first), finder);
            record.clear();
        }
    }
    field(&record, column, Place::Line(first), finder);
    Ok(())
}

fn field(record: &[u8], column: usize, place: Place, finder: &mut Finder<'_>) {
    if record.is_empty() {
        return;
    }
    // Most records are other lines; to parse them would cost too much.
    let text = String::from_utf8_lossy(record);
    let words = ["specversion", "eventSource", "eventResponse"];
    if !undelivered::is_one(&text) && !words.iter().any(|word| text.contains(word)) {
        finder.passed_over += 1;
        return;
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record);
    let parsed = reader.byte_records().next().and_then(Result::ok).unwrap_or_default();
    let in_column = parsed.get(column).unwrap_or_default();
    let elsewhere = parsed.iter().enumerate().filter(|(index, _)| *index != column).map(|(_, field)| field);
    for other in elsewhere {
        if undelivered::is_one(&String::from_utf8_lossy(other)) {
            finder.report(place, Err(ReadError::Elsewhere));
        }
    }
    finder.bytes(place, in_column);
}
