//! From numbers to heights, with round numbers at the side; and how numbers are written. Must not know what is drawn.

use super::Size;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Unit {
    /// Things, in the plural: `sign-ins`.
    Count(&'static str),
    /// Time.
    Seconds,
}

impl Unit {
    /// At the side of a chart: `4 k`, `3 s`.
    pub(super) fn tick(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{} s", shortest(value)),
            Self::Count(_) if value >= 1e6 => format!("{} M", grouped(&shortest(value / 1e6))),
            Self::Count(_) if value >= 1e4 => format!("{} k", shortest(value / 1e3)),
            Self::Count(_) => grouped(&shortest(value)),
        }
    }

    /// By itself: `3,300`, `1.8 s`.
    pub(super) fn value(self, value: f64) -> String {
        match self {
            Self::Count(_) => grouped(&format!("{value:.0}")),
            Self::Seconds if value < 10.0 => format!("{value:.1} s"),
            Self::Seconds => format!("{} s", grouped(&format!("{value:.0}"))),
        }
    }

    /// With its unit: `3,300 sign-ins`.
    pub(super) fn long(self, value: f64) -> String {
        match self {
            Self::Count(things) => format!("{} {things}", self.value(value)),
            Self::Seconds => self.value(value),
        }
    }

    /// The unit as the name of a column.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Count(things) => things,
            Self::Seconds => "seconds",
        }
    }
}

fn shortest(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number of things: `3,300`.
pub(in crate::console) fn number(value: f64) -> String {
    grouped(&format!("{value:.0}"))
}

/// With a comma between thousands; what stands behind the point stays.
pub(super) fn grouped(number: &str) -> String {
    let (whole, rest) = number.find('.').map_or((number, ""), |point| number.split_at(point));
    let mut out = String::with_capacity(number.len() + 4);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// Heights of values between 0 and a round number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    top: f64,
    /// In pixels.
    height: f64,
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// A scale that has room for `greatest`.
    pub(super) fn new(greatest: f64, unit: Unit, size: Size) -> Self {
        let ticks = ticks(greatest, unit, size);
        let top = ticks.last().copied().filter(|top| *top > 0.0).unwrap_or(1.0);
        Self { top, height: size.height(), ticks }
    }

    /// From above, in pixels: SVG's zero is the upper edge.
    pub(super) fn y(&self, value: f64) -> f64 {
        self.height - (value.max(0.0) / self.top).min(1.0) * self.height
    }
}

/// Round numbers from 0 up to at least `greatest`: two or three, and 0 alone if there is nothing.
pub(super) fn ticks(greatest: f64, unit: Unit, size: Size) -> Vec<f64> {
    const ROUND: [f64; 11] = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    if greatest.is_nan() || greatest <= 0.0 {
        return vec![0.0];
    }
    // Nothing is a half of one.
    let least = match unit {
        Unit::Count(_) => 4.0,
        Unit::Seconds => 0.1,
    };
    let greatest = greatest.max(least);
    let power = 10_f64.powf(greatest.log10().floor());
    let fits = |factor: &f64| factor * power >= greatest * (1.0 - 1e-9);
    let top = ROUND.into_iter().find(fits).unwrap_or(10.0) * power;
    let half = top / 2.0;
    let has_half = match unit {
        Unit::Count(_) => half.fract() == 0.0,
        Unit::Seconds => true,
    };
    match size {
        Size::Normal if has_half => vec![0.0, half, top],
        Size::Normal | Size::Small => vec![0.0, top],
    }
}
