//! Titles that say what a chart shows, where a rule can tell: a change of 10 %, a share, a peak. Where none can, the title is
//! the measure. Must not know whose numbers they are.

use time::{Date, Weekday};

use super::axis::day;
use super::heat::{WEEKDAYS, extremes};
use super::retention::{Retention, percent, share_in_week};
use super::shares::Share;

/// Fewer things than these tell nothing.
const LEAST: f64 = 100.0;
/// Below this, in per cent, nothing changed.
const LEAST_CHANGE: f64 = 10.0;

/// By how much `now` is more than `before`, in per cent, where that is 10 % or more: `+ 11 %`, `− 25 %`.
pub(in crate::console) fn change(before: f64, now: f64) -> Option<String> {
    let percent = change_percent(before, now)?;
    let sign = if percent > 0.0 { '+' } else { '−' };
    Some(format!("{sign} {:.0} %", percent.abs()))
}

fn change_percent(before: f64, now: f64) -> Option<f64> {
    if before < LEAST && now < LEAST || before <= 0.0 {
        return None;
    }
    let percent = (now - before) * 100.0 / before;
    (percent.abs() >= LEAST_CHANGE).then_some(percent)
}

/// `New users rise by 26 %`: the last third of whole days beside the first.
pub(in crate::console) fn trend(what: &str, values: &[Option<f64>]) -> Option<String> {
    let third = values.len() / 3;
    if third < 2 {
        return None;
    }
    let before = mean(values.get(..third)?)?;
    let now = mean(values.get(values.len() - third..)?)?;
    let days = third as f64;
    let percent = change_percent(before * days, now * days)?;
    let verb = if percent > 0.0 { "rise" } else { "fall" };
    Some(format!("{what} {verb} by {:.0} %", percent.abs()))
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    (known.len() * 2 > values.len()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// `27 Oct stands out`: one day that has half as much again as any other, and twice the middle.
pub(in crate::console) fn stands_out(first: Date, values: &[Option<f64>]) -> Option<String> {
    let mut known: Vec<(usize, f64)> =
        values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?))).collect();
    known.sort_by(|left, right| right.1.total_cmp(&left.1));
    let (index, peak) = *known.first()?;
    let (_, next) = *known.get(1)?;
    let (_, middle) = *known.get(known.len() / 2)?;
    let stands_out = known.len() >= 7 && peak >= LEAST / 2.0 && peak >= next * 1.5 && peak >= middle * 2.0;
    let date = first.checked_add(time::Duration::days(i64::try_from(index).ok()?))?;
    stands_out.then(|| format!("{} stands out", day(date)))
}

/// `Sign-ins keep to working days`, or to weekends: the mean of one is three quarters of the other's or less.
pub(in crate::console) fn rhythm(what: &str, first: Date, values: &[Option<f64>]) -> Option<String> {
    let of = |is_weekend: bool| {
        let days = values.iter().enumerate().filter(|(index, _)| {
            let date =
                i64::try_from(*index).ok().and_then(|days| first.checked_add(time::Duration::days(days)));
            let weekday = date.map(Date::weekday);
            matches!(weekday, Some(Weekday::Saturday | Weekday::Sunday)) == is_weekend
        });
        days.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let (work, weekend) = (of(false), of(true));
    if weekend.len() < 4 || work.iter().flatten().sum::<f64>() < LEAST {
        return None;
    }
    let (work, weekend) = (mean(&work)?, mean(&weekend)?);
    if weekend <= work * 0.75 {
        Some(format!("{what} keep to working days"))
    } else if work <= weekend * 0.75 {
        Some(format!("{what} keep to weekends"))
    } else {
        None
    }
}

/// `Mondays at 08 UTC are busiest, Sundays at 03 UTC are quietest`.
pub(in crate::console) fn busiest(values: &[[Option<f64>; 24]; 7]) -> Option<String> {
    let [most, least] = extremes(values)?;
    let sum: f64 = values.iter().flatten().flatten().sum();
    // Where the busiest hour is like any other, it is chance.
    if sum < LEAST || most.2 < sum / 168.0 * 1.5 {
        return None;
    }
    let name = |day: usize| WEEKDAYS.get(day).copied().unwrap_or_default();
    Some(format!(
        "{}s at {:02} UTC are busiest, {}s at {:02} UTC are quietest",
        name(most.0),
        most.1,
        name(least.0),
        least.1
    ))
}

/// `Mobile makes 61 %`, or `Portugal and Spain make 52 %`: what alone or together is half of the whole.
pub(in crate::console) fn leads(rows: &[Share]) -> Option<String> {
    let whole: u64 = rows.iter().map(|row| row.value).sum();
    let mut named: Vec<&Share> = rows.iter().filter(|row| !row.is_rest).collect();
    named.sort_by_key(|row| std::cmp::Reverse(row.value));
    if (whole as f64) < LEAST || named.len() < 2 {
        return None;
    }
    let [first, second] = [named.first()?, named.get(1)?];
    let name = |share: &Share| super::markup::foreign(&share.name);
    match (percent(first.value, whole)?, percent(first.value + second.value, whole)?) {
        (alone, _) if alone >= 50 => Some(format!("{} makes {alone} %", name(first))),
        (_, both) if both >= 50 => Some(format!("{} and {} make {both} %", name(first), name(second))),
        _ => None,
    }
}

/// `Of 100 monthly users, 62 come every week`: a part of what is counted over a longer time.
pub(in crate::console) fn holds(part: u64, whole: u64) -> Option<String> {
    let share = percent(part, whole).filter(|_| whole as f64 >= LEAST)?;
    Some(format!("Of 100 users of a month, {share} came in the last week"))
}

/// `After three weeks, 45 in a hundred keep coming`.
pub(in crate::console) fn comes_back(retention: &Retention) -> Option<String> {
    let users: u64 = retention.cohorts.iter().map(|cohort| cohort.users).sum();
    let share = share_in_week(retention, 3).filter(|_| users as f64 >= LEAST)?;
    Some(format!("After three weeks, {share} in a hundred keep coming"))
}
