//! Parts of a whole as a table with bars. Must not know what they are parts of.

use super::markup::{foreign, put, text};
use super::retention::percent;
use super::scale::grouped;
use super::{Caption, Chart, Table};

/// Parts, the greatest first; what is other or not known last.
#[derive(Debug, Clone)]
pub(in crate::console) struct Shares {
    /// What stands around it.
    pub caption: Caption,
    /// In the order in which they are shown.
    pub rows: Vec<Share>,
    /// What stands at the end of a bar.
    pub show: Show,
    /// What a bar counts, in the plural.
    pub things: &'static str,
    /// What is the whole; `None` for the sum of the rows.
    pub whole: Option<u64>,
}

/// One part.
#[derive(Debug, Clone)]
pub(in crate::console) struct Share {
    /// Whoever chose it: it is cut and spelled here.
    pub name: String,
    /// How many.
    pub value: u64,
    /// Whether it is what is left over or not known: grey.
    pub is_rest: bool,
}

/// What is written at a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Show {
    /// `61 %`
    Percent,
    /// `311,400`
    Count,
}

/// Draws them.
pub(in crate::console) fn shares(shares: &Shares) -> Chart {
    let whole = shares.whole.unwrap_or_else(|| shares.rows.iter().map(|row| row.value).sum());
    let greatest = shares.rows.iter().map(|row| row.value).max().unwrap_or(0);
    let full = match shares.show {
        Show::Percent => whole.max(greatest),
        Show::Count => greatest,
    };
    let label = story(shares, whole);
    let mut body = String::new();
    put(
        &mut body,
        format_args!("<table class=\"shares\"><caption class=\"unseen\">{}</caption><tbody>", text(&label)),
    );
    for row in &shares.rows {
        let width = if full == 0 { 0.0 } else { row.value as f64 * 100.0 / full as f64 };
        let tone = if row.is_rest { "tone-0" } else { "tone-1" };
        put(
            &mut body,
            format_args!(
                "<tr><th scope=\"row\"><bdi>{}</bdi></th><td class=\"share-bar\">\
             <svg class=\"chart-svg\" width=\"100%\" height=\"10\" aria-hidden=\"true\">\
             <rect class=\"bar {tone}\" width=\"{width:.2}%\" height=\"10\"/></svg></td>\
             <td class=\"num\">{}</td></tr>",
                text(&foreign(&row.name)),
                said(row.value, whole, shares.show)
            ),
        );
    }
    body.push_str("</tbody></table>");
    let row = |row: &Share| {
        let share = percent(row.value, whole).map(|share| format!("{share} %")).unwrap_or_default();
        vec![foreign(&row.name), grouped(&row.value.to_string()), share]
    };
    let head = ["name", shares.things, "share"].map(str::to_owned).to_vec();
    let table = Table { head, rows: shares.rows.iter().map(row).collect() };
    Chart { caption: shares.caption.clone(), body, label, table, has_details: false }
}

fn said(value: u64, whole: u64, show: Show) -> String {
    match (show, percent(value, whole)) {
        (Show::Percent, Some(0)) if value > 0 => "under 1 %".to_owned(),
        (Show::Percent, Some(share)) => format!("{share} %"),
        (Show::Percent, None) => "–".to_owned(),
        (Show::Count, _) => grouped(&value.to_string()),
    }
}

/// What the bars tell, in words.
fn story(shares: &Shares, whole: u64) -> String {
    let mut story = super::subject(&shares.caption, shares.things);
    if shares.rows.iter().all(|row| row.value == 0) {
        return story + " None.";
    }
    let mut next = " ";
    for row in &shares.rows {
        put(&mut story, format_args!("{next}{} {}", foreign(&row.name), said(row.value, whole, shares.show)));
        next = ", ";
    }
    story + "."
}
