//! The report of what ran. Must not know how a run is written down.

use std::io::Write;

use cognito_user_sync::postgres::Database;
use cognito_user_sync::store::runs::{self, Seen, What};
use serde::Serialize;

use crate::commands::output::{Stdout, csv, line};
use crate::commands::report::write_table;

/// The latest run of each kind; with `days`, all of these days, newest first.
pub(super) async fn ask(database: &Database, days: Option<u32>) -> Result<Vec<Seen>, sqlx::Error> {
    let Some(days) = days else { return runs::latest(database).await };
    let mut all = Vec::new();
    for what in What::ALL {
        all.append(&mut runs::history(database, what, days).await?);
    }
    all.sort_by_key(|run| std::cmp::Reverse(run.started_at));
    Ok(all)
}

const HEADER: [&str; 11] = [
    "what",
    "state",
    "started_at",
    "ended_at",
    "started_by",
    "done",
    "total",
    "found",
    "left",
    "error",
    "id",
];

/// A line of CSV. What else was found is in the JSON.
#[derive(Serialize)]
struct Line<'a> {
    what: &'a str,
    state: &'a str,
    started_at: String,
    ended_at: Option<String>,
    started_by: &'a str,
    done: u64,
    total: Option<u64>,
    found: Option<u64>,
    left: Option<u64>,
    error: Option<&'a str>,
    id: String,
}

pub(super) fn write_csv(out: &mut Stdout, runs: &[Seen]) -> anyhow::Result<()> {
    fn line(run: &Seen) -> Line<'_> {
        Line {
            what: run.what.as_str(),
            state: run.state.as_str(),
            started_at: run.started_at.to_string(),
            ended_at: run.ended_at.map(|at| at.to_string()),
            started_by: &run.started_by,
            done: run.done,
            total: run.total,
            found: run.found(),
            left: run.left(),
            error: run.error.as_deref(),
            id: run.id.to_string(),
        }
    }
    csv(out, &HEADER, &runs.iter().map(line).collect::<Vec<_>>())
}

pub(super) fn write_text(out: &mut impl Write, runs: &[Seen], days: Option<u32>) -> anyhow::Result<()> {
    match days {
        None => writeln!(out, "runs: the latest of each kind")?,
        Some(days) => writeln!(out, "runs: {} in {days} days", runs.len())?,
    }
    let number = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let rows = runs.iter().map(|run| {
        let kinds = run.kinds();
        let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{} {count}", line(kind))).collect();
        let what = match (&run.error, kinds.is_empty()) {
            (Some(error), _) => line(error).into_owned(),
            (None, true) => "-".to_owned(),
            (None, false) => kinds.join(", "),
        };
        vec![
            run.what.as_str().to_owned(),
            run.state.as_str().to_owned(),
            run.started_at.to_string(),
            line(&run.started_by).into_owned(),
            what,
            run.done.to_string(),
            number(run.found()),
            number(run.left()),
        ]
    });
    write_table(
        out,
        &["what", "state", "started", "by", "by kind, or why not", "done", "found", "left"],
        5,
        rows,
    )
}
