//! Reads what workers serve at `/metrics`, leniently and bounded, and says what was counted between two readings. Must not
//! know where the text comes from.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::console::now::hour::{Buckets, Counts, Hour};

/// Most bytes of a worker's page; it has some ten thousand.
pub(in crate::console::now) const PAGE_MAX_BYTES: usize = 1_048_576;

/// Most edges of a histogram.
const EDGES_MAX: usize = 100;

/// What every name of a worker begins with.
const PREFIX: &str = "user_sync_";

/// What a worker has counted since it started.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::console::now) struct Totals {
    counts: Counts<u64>,
    /// Events by the edge within which they were there, each with all below it.
    took: BTreeMap<u64, u64>,
}

/// The page is none of a worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::now) struct NoWorker;

impl Totals {
    /// Reads a page. What a worker has not counted yet is not on it, and is zero.
    ///
    /// # Errors
    /// When there is something on the page and nothing of a worker.
    pub(in crate::console::now) fn read(page: &str) -> Result<Self, NoWorker> {
        let (mut totals, mut is_ours, mut is_empty) = (Self::default(), false, true);
        for line in page.lines().map(str::trim).filter(|line| !line.is_empty()) {
            is_empty = false;
            let said = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
            is_ours |= said.starts_with(PREFIX);
            if let Some(sample) = Sample::read(line) {
                totals.add(&sample);
            }
        }
        if is_ours || is_empty { Ok(totals) } else { Err(NoWorker) }
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let count = match sample.name {
            "applied_total" => &mut self.counts.applied,
            "duplicates_total" => &mut self.counts.duplicates,
            "rejected_total" => &mut self.counts.rejected,
            "retried_total" => &mut self.counts.retried,
            "freshness_seconds_bucket" => {
                let edge = sample.label("le").and_then(|edge| edge.parse::<f64>().ok());
                let Some(edge) = edge.filter(|edge| *edge >= 0.0).map(f64::to_bits) else { return };
                if self.took.len() >= EDGES_MAX && !self.took.contains_key(&edge) {
                    return;
                }
                self.took.entry(edge).or_default()
            }
            _ => return,
        };
        *count = count.saturating_add(sample.value);
    }

    /// What was counted since an earlier reading. A number that fell was set back by a restart: all of it is new, and what
    /// was counted until the end before it is lost.
    fn since(&self, earlier: &Self) -> Grown {
        let fell = self.counts.with(earlier.counts, |now, before| now < before);
        let has_restarted = [fell.applied, fell.duplicates, fell.rejected, fell.retried].contains(&true)
            || self.took.iter().any(|(edge, count)| earlier.took.get(edge) > Some(count));
        let before = if has_restarted { &Self::default() } else { earlier };
        let counts = self.counts.with(before.counts, u64::saturating_sub);
        let (mut took, mut below) = (Buckets::default(), 0);
        for (edge, count) in &self.took {
            let within = count.saturating_sub(before.took.get(edge).copied().unwrap_or(0));
            took.add(f64::from_bits(*edge), within.saturating_sub(below));
            below = below.max(within);
        }
        Grown { counts, took, has_restarted }
    }
}

/// What was counted between two readings.
struct Grown {
    counts: Counts<u64>,
    took: Buckets,
    has_restarted: bool,
}

/// A line: a name, labels, a value.
struct Sample<'a> {
    /// Without [`PREFIX`].
    name: &'a str,
    labels: &'a str,
    value: u64,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix(PREFIX)?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (name, rest) = rest.split_at_checked(end)?;
        // A label's value may hold a brace: the last one ends them.
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest),
        };
        let value = rest.split_ascii_whitespace().next()?;
        Some(Self { name, labels, value: whole(value)? })
    }

    fn label(&self, name: &str) -> Option<&'a str> {
        let mut labels = self.labels.split(',').filter_map(|label| label.trim().split_once('='));
        labels.find_map(|(label, value)| (label.trim() == name).then(|| value.trim().trim_matches('"')))
    }
}

/// A count. Some write whole numbers as others are written.
fn whole(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        format!("{number:.0}").parse().ok().filter(|_| number.is_finite() && number >= 0.0)
    })
}

/// What each worker had counted when it was last read.
#[derive(Debug, Default)]
pub(in crate::console::now) struct Workers(BTreeMap<String, (Timestamp, Totals)>);

impl Workers {
    /// Adds to the hour what the workers have counted since they were last read, all together; a worker's first reading
    /// only says from where on. `is_whole` is whether all of them answered.
    pub(in crate::console::now) fn note(
        &mut self,
        at: Timestamp,
        read: Vec<(String, Totals)>,
        is_whole: bool,
        hour: &mut Hour,
    ) {
        let (mut from, mut counted, mut took) = (None, Counts::default(), Buckets::default());
        let mut is_partial = !is_whole;
        for (worker, totals) in read {
            if let Some((then, earlier)) = self.0.get(&worker) {
                let grown = totals.since(earlier);
                from = Some(from.map_or(*then, |from: Timestamp| from.min(*then)));
                counted = counted.with(grown.counts, u64::saturating_add);
                took.merge(&grown.took);
                is_partial |= grown.has_restarted;
            }
            self.0.insert(worker, (at, totals));
        }
        let Some(from) = from else { return };
        hour.count(from, at, counted);
        hour.took(at, &took);
        if is_partial {
            hour.lacks(from, at);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PAGE: &str = r#"# HELP user_sync_applied_total messages whose effect was committed now
# TYPE user_sync_applied_total counter
user_sync_applied_total 12

user_sync_rejected_total{reason="malformed"} 2
user_sync_rejected_total{reason="too}old"} 3 1732458729000
user_sync_retried_total{cause="conflict"} 1.4e1
# TYPE user_sync_freshness_seconds histogram
user_sync_freshness_seconds_bucket{le="0.5"} 10
user_sync_freshness_seconds_bucket{le="2.5"} 11
user_sync_freshness_seconds_bucket{le="+Inf"} 12
user_sync_freshness_seconds_sum 9.25
user_sync_freshness_seconds_count 12
go_goroutines 9
user_sync_applied_total NaN
user_sync_broken{ 3
"#;

    #[test]
    fn a_page_is_summed_over_its_labels_and_what_cannot_be_read_is_left() {
        let totals = Totals::read(PAGE).unwrap();
        assert_eq!(totals.counts, Counts { applied: 12, duplicates: 0, rejected: 5, retried: 14 });
        let took = totals.since(&Totals::default()).took;
        assert_eq!(
            (took.quantile(0.5), took.quantile(0.9), took.quantile(0.99)),
            (Some(0.5), Some(2.5), Some(f64::INFINITY))
        );
    }

    #[test]
    fn another_programs_page_is_refused_and_an_idle_workers_is_not() {
        assert_eq!(Totals::read("go_goroutines 9\n"), Err(NoWorker));
        assert_eq!(Totals::read("<html>user_sync_applied_total 3</html>"), Err(NoWorker));
        assert_eq!(Totals::read("\n"), Ok(Totals::default()));
        assert_eq!(Totals::read("# TYPE user_sync_applied_total counter\n"), Ok(Totals::default()));
    }

    #[test]
    fn many_edges_and_odd_ones_take_no_memory() {
        let page: String =
            (0..10_000).map(|n| format!("user_sync_freshness_seconds_bucket{{le=\"{n}\"}} 1\n")).collect();
        assert_eq!(Totals::read(&page).unwrap().took.len(), EDGES_MAX);
        let odd = "user_sync_freshness_seconds_bucket{le=\"-1\"} 1\nuser_sync_freshness_seconds_bucket{le=\"x\"} 1\n\
                   user_sync_freshness_seconds_bucket 1\n";
        assert!(Totals::read(odd).unwrap().took.is_empty());
    }

    #[test]
    fn a_restart_counts_from_zero() {
        let read = |applied: u64, below: u64, all: u64| {
            Totals::read(&format!(
                "user_sync_applied_total {applied}\nuser_sync_freshness_seconds_bucket{{le=\"1\"}} {below}\n\
                 user_sync_freshness_seconds_bucket{{le=\"+Inf\"}} {all}\n"
            ))
            .unwrap()
        };
        let grown = read(15, 14, 15).since(&read(10, 10, 10));
        assert_eq!((grown.counts.applied, grown.has_restarted), (5, false));
        assert_eq!((grown.took.quantile(0.8), grown.took.quantile(0.99)), (Some(1.0), Some(f64::INFINITY)));
        let grown = read(3, 3, 3).since(&read(10, 2, 10));
        assert_eq!(
            (grown.counts.applied, grown.took.quantile(0.99), grown.has_restarted),
            (3, Some(1.0), true)
        );
        assert_eq!(read(10, 9, 10).since(&read(10, 9, 10)).took, Buckets::default());
    }

    #[test]
    fn several_workers_are_summed_and_the_first_reading_counts_nothing() {
        let at = |second: u64| Timestamp::from_unix_millis(1_740_000_000_000 + second * 1_000);
        let read = |worker: &str, applied: u64| {
            (worker.to_owned(), Totals::read(&format!("user_sync_applied_total {applied}\n")).unwrap())
        };
        let (mut workers, mut hour) = (Workers::default(), Hour::default());
        let sum = |hour: &Hour, second| hour.sum(at(second), |counts| counts.applied);
        workers.note(at(0), vec![read("a", 1_000), read("b", 7)], true, &mut hour);
        assert_eq!(sum(&hour, 0), (0, 0));
        workers.note(at(10), vec![read("a", 1_003), read("b", 11)], true, &mut hour);
        assert_eq!(sum(&hour, 10), (7, 1));
        // One is away, and comes back as another process.
        workers.note(at(20), vec![read("a", 1_004)], false, &mut hour);
        assert!(hour.shown(at(20)).any(|(_, minute)| minute.is_some_and(|minute| minute.is_partial)));
        workers.note(at(30), vec![read("a", 1_004), read("b", 2)], true, &mut hour);
        assert_eq!(sum(&hour, 30), (10, 1));
    }

    #[test]
    fn what_one_worker_counted_while_nobody_looked_is_not_hidden_by_anothers_zero() {
        let at = |minute: u64| Timestamp::from_unix_millis(1_740_000_000_000 + minute * 60_000);
        let read = |worker: &str, retried: u64| {
            (worker.to_owned(), Totals::read(&format!("user_sync_retried_total {retried}\n")).unwrap())
        };
        let (mut workers, mut hour) = (Workers::default(), Hour::default());
        workers.note(at(0), vec![read("a", 0), read("b", 0)], true, &mut hour);
        workers.note(at(30), vec![read("a", 2), read("b", 0)], true, &mut hour);
        assert_eq!(hour.sum(at(30), |counts| counts.retried), (0, 0), "nobody knows when");
        assert_eq!(hour.sum(at(30), |counts| counts.applied), (0, 31), "and nothing was applied in any");
    }
}
