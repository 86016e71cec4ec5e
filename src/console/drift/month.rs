//! Differences found a day, over the last days. Pure.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::timestamp::Timestamp;
use time::{Date, Duration, OffsetDateTime};

use crate::console::charts::{Axis, Bars, Caption, Chart, Size, Tone, Unit, bars};
use crate::console::drift::DAYS;
use crate::store::runs::Seen;

/// More than these on a day is worth a title.
const HANDFUL: u64 = 5;

/// The days of a month as bars; none where nothing was compared.
pub(super) fn chart(runs: &[Seen], now: Timestamp) -> Option<Chart> {
    let today = OffsetDateTime::from(now).date();
    let first = today.checked_sub(Duration::days(i64::from(DAYS) - 1))?;
    let found = by_day(runs);
    if found.is_empty() {
        return None;
    }
    let days = (0..DAYS).map(|day| first.checked_add(Duration::days(i64::from(day))));
    let values: Vec<Option<u64>> = days.map(|day| found.get(&day?).copied()).collect();
    Some(bars(&Bars {
        caption: Caption {
            title: Some(title(&values)),
            measure: Some("Differences found a day; a gap: none was looked for".to_owned()),
            ..Caption::default()
        },
        axis: Axis::Days(first),
        values: values.into_iter().map(|value| value.map(as_float)).collect(),
        unit: Unit::Count("differences"),
        tone: Tone::Second,
        size: Size::Normal,
        is_running: false,
    }))
}

/// The most that a run of a day found.
fn by_day(runs: &[Seen]) -> BTreeMap<Date, u64> {
    let mut found = BTreeMap::new();
    for run in runs {
        if let Some(number) = run.found() {
            let most: &mut u64 = found.entry(OffsetDateTime::from(run.started_at).date()).or_default();
            *most = number.max(*most);
        }
    }
    found
}

/// The finding.
fn title(values: &[Option<u64>]) -> String {
    const WORDS: [&str; 9] = [
        "One day",
        "Two days",
        "Three days",
        "Four days",
        "Five days",
        "Six days",
        "Seven days",
        "Eight days",
        "Nine days",
    ];
    let many = values.iter().flatten().filter(|number| **number > HANDFUL).count();
    match many.checked_sub(1) {
        None => "No day in thirty had more than a handful".to_owned(),
        Some(index) => {
            let days = WORDS.get(index).map_or_else(|| format!("{many} days"), |days| (*days).to_owned());
            format!("{days} in thirty had more than a handful")
        }
    }
}

/// A picture needs no more than a float has.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_what_was_found() {
        assert_eq!(title(&[Some(0), None, Some(5)]), "No day in thirty had more than a handful");
        assert_eq!(title(&[Some(6), None, Some(50)]), "Two days in thirty had more than a handful");
        assert_eq!(title(&[Some(6); 12]), "12 days in thirty had more than a handful");
    }
}
