//! Several runs of one thing: the median, and how far they lie apart.

use serde::Serialize;

/// Figures of several runs.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
    pub(crate) runs: usize,
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let median = percentile(&sorted, 0.5);
        Self { min: sorted[0], median, max: sorted[sorted.len() - 1], runs: sorted.len() }
    }
}

/// The figure that so much of `sorted` is not above; between two of them, where it falls there.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}
