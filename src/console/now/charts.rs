//! The last hour as six small charts on one axis. Pure.

use crate::console::charts::{Axis, Bars, Caption, Chart, Line, Lines, Size, Tone, Unit, bars, lines};
use crate::console::now::checks::seconds;
use crate::console::now::facts::OVER_ALL_EDGES;
use crate::console::now::hour::{Counts, Freshness, Minute, as_double};
use crate::console::now::view::View;
use crate::console::words::count;

impl View {
    /// The six charts.
    pub(in crate::console::now) fn hour(&self) -> Vec<Chart> {
        vec![
            self.counted("Applied", "", Tone::First, |counts| counts.applied),
            self.counted("Duplicates", ", counted once", Tone::Other, |counts| counts.duplicates),
            self.counted("Rejected", "", Tone::Bad, |counts| counts.rejected),
            self.counted("Retried", "", Tone::Second, |counts| counts.retried),
            self.waiting(),
            self.freshness(),
        ]
    }

    fn axis(&self) -> Axis {
        let first = self.snapshot.hour.shown(self.at).next().map_or(self.at, |(first, _)| first);
        Axis::Minutes(first.into())
    }

    fn values(&self, of: impl Fn(&Minute) -> Option<f64>) -> Vec<Option<f64>> {
        self.snapshot.hour.shown(self.at).map(|(_, minute)| minute.and_then(&of)).collect()
    }

    fn bars(
        &self,
        title: &str,
        sum: String,
        unit: &'static str,
        tone: Tone,
        values: Vec<Option<f64>>,
    ) -> Chart {
        let caption = Caption { title: Some(title.to_owned()), sum: Some(sum), ..Caption::default() };
        let (axis, unit) = (self.axis(), Unit::Count(unit));
        bars(&Bars { caption, axis, values, unit, tone, size: Size::Small, is_running: true })
    }

    fn counted(
        &self,
        title: &'static str,
        behind: &str,
        tone: Tone,
        of: impl Fn(&Counts<Option<u64>>) -> Option<u64>,
    ) -> Chart {
        let (sum, minutes) = self.snapshot.hour.sum(self.at, &of);
        let sum = match (minutes, sum) {
            (0, _) => "not known".to_owned(),
            (_, 0) => "none".to_owned(),
            (_, sum) => format!("{}{behind}", count(sum)),
        };
        self.bars(title, sum, "messages", tone, self.values(|minute| of(&minute.counts).map(as_double)))
    }

    fn waiting(&self) -> Chart {
        let shown = self.snapshot.hour.shown(self.at).filter_map(|(_, minute)| minute?.waiting);
        let sum = shown.last().map_or_else(|| "not known".to_owned(), |now| format!("{} now", count(now)));
        let values = self.values(|minute| minute.waiting.map(as_double));
        self.bars("Waiting in the queue", sum, "messages", Tone::Other, values)
    }

    fn freshness(&self) -> Chart {
        let line = |name: &str, tone, read: fn(&Freshness) -> Option<f64>| {
            let seconds = |minute: &Minute| Some(read(minute.freshness.as_ref()?)?.min(OVER_ALL_EDGES));
            Line { name: name.to_owned(), values: self.values(seconds), tone }
        };
        let sum =
            self.p99().map_or_else(|| "not known".to_owned(), |p99| format!("99 % within {}", seconds(p99)));
        let caption =
            Caption { title: Some("From sign-in to row".to_owned()), sum: Some(sum), ..Caption::default() };
        let each = vec![line("p99", Tone::First, Freshness::p99), line("p50", Tone::Other, Freshness::p50)];
        lines(&Lines {
            caption,
            axis: self.axis(),
            lines: each,
            unit: Unit::Seconds,
            size: Size::Small,
            is_running: true,
        })
    }
}
