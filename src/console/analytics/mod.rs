//! Analytics: what is kept by day, as figures, charts, CSV and JSON. Must not count, nor read a ledger or a user.

mod figures;
mod numbers;
mod range;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Map, Value};

use crate::console::Shared;
use crate::console::access::Visitor;
use crate::console::analytics::figures::{Charts, Figure, figures};
use crate::console::analytics::numbers::{Numbers, Report, Rows};
use crate::console::analytics::range::{Asked, Range};
use crate::console::page::{Answer, Frame, Page, Section};
use crate::console::trouble::Trouble;
use crate::console::words;

/// After so long, the page says that it is old: it is to be counted every hour.
const OLD_MS: u64 = 3 * 60 * 60 * 1_000;

pub(in crate::console) fn routes() -> Router<Shared> {
    Router::new().route("/analytics", get(show)).route("/analytics/{file}", get(file))
}

#[derive(Debug, Template)]
#[template(path = "analytics/page.html")]
struct Analytics {
    frame: Frame,
    range: Range,
    links: Vec<(String, &'static str, bool)>,
    /// `14:30 UTC`, with its day if that is not today; `None` if nothing was ever counted.
    counted: Option<String>,
    is_old: bool,
    figures: Vec<Figure>,
    charts: Charts,
}

async fn show(
    State(console): State<Shared>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Answer<Analytics> {
    let numbers = Numbers::read(&console, asked.range()?).await?;
    let now = Timestamp::now();
    let age_ms = numbers.counted_at.map(|at| now.unix_millis().saturating_sub(at.unix_millis()));
    Ok(Page(Analytics {
        frame: Frame::of(&console, &visitor, Section::Analytics),
        counted: numbers.counted_at.map(|at| until(at, now)),
        is_old: age_ms.is_some_and(|age| age > OLD_MS),
        figures: figures(&numbers),
        charts: Charts::of(&numbers),
        links: numbers.range.links(),
        range: numbers.range,
    }))
}

/// `14:30 UTC` of today; else with the day.
fn until(at: Timestamp, now: Timestamp) -> String {
    let clock: String = words::clock(at).chars().take(5).collect();
    if words::day(at) == words::day(now) {
        format!("{clock} UTC")
    } else {
        format!("{} {clock} UTC", words::day(at))
    }
}

/// A report as CSV or JSON: `/analytics/growth.csv?range=90d`.
async fn file(
    State(console): State<Shared>,
    _visitor: Visitor,
    Path(file): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Trouble> {
    let (name, form) = file.rsplit_once('.').unwrap_or((&file, ""));
    let report = Report::ALL.into_iter().find(|report| report.name() == name);
    let (Some(report), "csv" | "json") = (report, form) else { return Err(Trouble::NotFound("report")) };
    let numbers = Numbers::read(&console, asked.range()?).await?;
    if numbers.counted_at.is_none() {
        return Err(Trouble::NotFound("report yet: nothing was counted"));
    }
    let rows = report.rows(&numbers);
    if form == "json" {
        return Ok(([(CONTENT_TYPE, "application/json")], json(&rows).to_string()).into_response());
    }
    let (from, to) = (numbers.range.from, numbers.range.to);
    let disposition = format!("attachment; filename=\"{name}-{from}-{to}.csv\"");
    let headers = [(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, csv(&rows)?).into_response())
}

/// Objects by the names of columns.
fn json(rows: &Rows) -> Value {
    let object = |row: &Vec<Value>| {
        let pairs = rows.head.iter().zip(row).map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    Value::Array(rows.rows.iter().map(object).collect())
}

/// Cells that a spreadsheet would take for a formula begin with an apostrophe.
fn csv(rows: &Rows) -> Result<Vec<u8>, Trouble> {
    let broken = |error: csv::Error| Trouble::Broken(Box::new(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&rows.head).map_err(broken)?;
    for row in &rows.rows {
        let cell = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => crate::text::cell(text).into_owned(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        writer.write_record(row.iter().map(cell)).map_err(broken)?;
    }
    writer.into_inner().map_err(|error| Trouble::Broken(Box::new(error.into_error())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_others_are_no_formulas_and_what_is_not_known_is_empty() {
        let rows = Rows {
            head: vec!["client_id", "logins"],
            rows: vec![
                vec![json!("=cmd|'/c calc'!A0"), json!(7)],
                vec![json!("@a,\"b"), json!(-1)],
                vec![Value::Null, Value::Null],
            ],
        };
        let text = String::from_utf8(csv(&rows).unwrap()).unwrap();
        assert_eq!(text, "client_id,logins\n'=cmd|'/c calc'!A0,7\n\"'@a,\"\"b\",-1\n,\n");
        let first = &super::json(&rows)[0];
        assert_eq!(*first, json!({ "client_id": "=cmd|'/c calc'!A0", "logins": 7 }));
    }

    #[test]
    fn it_says_up_to_when_it_is_counted() {
        let at = |text| Timestamp::parse(text).unwrap();
        let now = at("2026-11-24T14:32:09Z");
        assert_eq!(until(at("2026-11-24T14:30:01Z"), now), "14:30 UTC");
        assert_eq!(until(at("2026-11-23T23:59:59Z"), now), "23 Nov 2026 23:59 UTC");
    }
}
