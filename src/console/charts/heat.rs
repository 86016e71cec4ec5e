//! Hours by weekdays in six steps of one colour, whose numbers stand beneath. Must not know what they count.

use super::markup::{put, text};
use super::scale::grouped;
use super::{Caption, Chart, Table};

/// Numbers by weekday and hour, in UTC.
#[derive(Debug, Clone)]
pub(in crate::console) struct Heat {
    /// What stands around it.
    pub caption: Caption,
    /// From Monday 00 to Sunday 23; `None` where it is not known.
    pub values: [[Option<f64>; 24]; 7],
    /// In the plural: `sign-ins`.
    pub things: &'static str,
}

pub(super) const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// In pixels: a row and what is between two.
const ROW: f64 = 21.0;
const STEPS: usize = 6;

/// Draws them.
pub(in crate::console) fn heat(heat: &Heat) -> Chart {
    let steps = steps(heat.values.iter().flatten().flatten().copied().fold(0.0, f64::max));
    let label = story(heat);
    let mut body = String::new();
    put(
        &mut body,
        format_args!(
            "<div class=\"plot plot-heat\"><svg class=\"chart-svg\" width=\"100%\" height=\"{}\" role=\"img\" \
         aria-label=\"{}\">",
            ROW * 7.0,
            text(&label)
        ),
    );
    for (row, (weekday, hours)) in WEEKDAYS.iter().zip(&heat.values).enumerate() {
        cells(&mut body, row, weekday, hours, &steps, heat.things);
    }
    for hour in (0..24).step_by(3) {
        let x = (f64::from(hour) + 0.5) / 0.24;
        put(
            &mut body,
            format_args!(
                "<text class=\"axis\" x=\"{x:.2}%\" y=\"{}\" text-anchor=\"middle\">{hour:02}</text>",
                ROW * 7.0 + 15.0
            ),
        );
    }
    body.push_str("</svg></div>");
    key(&mut body, &steps, heat.things);
    let head = std::iter::once("weekday".to_owned()).chain((0..24).map(|hour| format!("{hour:02}")));
    let row = |(weekday, hours): (&&str, &[Option<f64>; 24])| {
        std::iter::once((*weekday).to_owned()).chain(hours.iter().map(|value| said(*value))).collect()
    };
    let table = Table { head: head.collect(), rows: WEEKDAYS.iter().zip(&heat.values).map(row).collect() };
    Chart { caption: heat.caption.clone(), body, label, table, has_details: true }
}

fn said(value: Option<f64>) -> String {
    value.map_or_else(|| "not known".to_owned(), number)
}

/// Means have a fraction, which says something only where they are small.
fn number(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 { format!("{value:.1}") } else { grouped(&format!("{value:.0}")) }
}

fn cells(
    body: &mut String,
    row: usize,
    weekday: &str,
    hours: &[Option<f64>; 24],
    steps: &[f64],
    things: &str,
) {
    let y = row as f64 * ROW;
    put(
        body,
        format_args!(
            "<text class=\"axis\" x=\"0\" dx=\"-8\" y=\"{:.1}\" dy=\"4\" text-anchor=\"end\">{}</text>",
            y + ROW / 2.0,
            weekday.get(..3).unwrap_or(weekday)
        ),
    );
    for (hour, value) in hours.iter().enumerate() {
        let Some(value) = value else { continue };
        put(
            body,
            format_args!(
                "<rect class=\"heat-{}\" x=\"{:.3}%\" y=\"{y:.1}\" width=\"3.95%\" height=\"{:.1}\">\
             <title>{weekday} {hour:02} to {:02}: {} {}</title></rect>",
                step_of(*value, steps),
                hour as f64 / 0.24,
                ROW - 1.0,
                hour + 1,
                number(*value),
                text(things)
            ),
        );
    }
}

/// Where each step but the least begins: whole and round, and the greatest is in the last one where there are five or more.
pub(super) fn steps(greatest: f64) -> Vec<f64> {
    const ROUND: [f64; 9] = [8.0, 6.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.0];
    let width = (greatest / 5.0).max(1.0);
    let power = 10_f64.powf(width.log10().floor());
    let round = |factor: f64| if power < 10.0 { (factor * power).floor() } else { factor * power };
    let width = ROUND.into_iter().map(round).find(|round| *round <= width).unwrap_or(power);
    (1..STEPS).map(|step| step as f64 * width).collect()
}

pub(super) fn step_of(value: f64, steps: &[f64]) -> usize {
    steps.iter().filter(|least| value >= **least).count()
}

fn key(body: &mut String, steps: &[f64], things: &str) {
    put(body, format_args!("<ul class=\"heat-key\"><li>{}:</li>", text(things)));
    for step in 0..STEPS {
        let least = step.checked_sub(1).and_then(|index| steps.get(index)).copied().unwrap_or_default();
        let words = match step {
            0 => format!("under {}", number(steps.first().copied().unwrap_or(1.0))),
            5 => format!("{} or more", number(least)),
            _ => number(least),
        };
        put(
            body,
            format_args!(
                "<li><svg class=\"swatch\" width=\"12\" height=\"12\" aria-hidden=\"true\">\
             <rect class=\"heat-{step}\" width=\"12\" height=\"12\"/></svg> {words}</li>"
            ),
        );
    }
    body.push_str("</ul>");
}

/// The hour with the most and the one with the least: weekday, hour, number.
pub(super) fn extremes(values: &[[Option<f64>; 24]; 7]) -> Option<[(usize, usize, f64); 2]> {
    let known = || {
        let of_day = |(day, hours): (usize, &[Option<f64>; 24])| {
            let known = hours.iter().enumerate().filter_map(|(hour, value)| Some((hour, (*value)?)));
            known.map(|(hour, value)| (day, hour, value)).collect::<Vec<_>>()
        };
        values.iter().enumerate().flat_map(of_day)
    };
    let most = known().reduce(|most, next| if next.2 > most.2 { next } else { most })?;
    let least = known().reduce(|least, next| if next.2 < least.2 { next } else { least })?;
    Some([most, least])
}

/// What the cells tell, in words.
fn story(heat: &Heat) -> String {
    let subject = super::subject(&heat.caption, heat.things);
    let name = |(day, hour, value): (usize, usize, f64)| {
        let weekday = WEEKDAYS.get(day).copied().unwrap_or_default();
        format!("{weekday} {hour:02} UTC with {}", number(value))
    };
    match extremes(&heat.values) {
        None => subject + " Nothing is known.",
        Some([most, _]) if most.2 <= 0.0 => subject + " None at any hour.",
        Some([most, least]) => {
            format!("{subject} By weekday and hour: most on {}, least on {}.", name(most), name(least))
        }
    }
}
