//! Up to three lines on one scale, each with its name at its end. Must not know what they measure.

use super::bars::{foot, frame, open};
use super::markup::{put, text};
use super::scale::Scale;
use super::{Axis, Caption, Chart, Size, Table, Tone, Unit};

/// Series of moments that follow each other.
#[derive(Debug, Clone)]
pub(in crate::console) struct Lines {
    /// What stands around it.
    pub caption: Caption,
    /// When.
    pub axis: Axis,
    /// At most three; more are left out.
    pub lines: Vec<Line>,
    /// Of what.
    pub unit: Unit,
    /// How high.
    pub size: Size,
    /// Whether the last moment is not over.
    pub is_running: bool,
}

/// One of them.
#[derive(Debug, Clone)]
pub(in crate::console) struct Line {
    /// A word or two: it stands at the line's end.
    pub name: String,
    /// One a moment; `None` where it is not known.
    pub values: Vec<Option<f64>>,
    /// In which colour.
    pub tone: Tone,
}

const MOST_LINES: usize = 3;
/// The least distance of two names, in pixels.
const APART: f64 = 16.0;

/// Draws them.
pub(in crate::console) fn lines(lines: &Lines) -> Chart {
    let shown = || lines.lines.iter().take(MOST_LINES);
    let count = shown().map(|line| line.values.len()).max().unwrap_or(0);
    let greatest = shown().flat_map(|line| line.values.iter().flatten()).copied().fold(0.0, f64::max);
    let scale = Scale::new(greatest, lines.unit, lines.size);
    let label = story(lines, count);
    let mut body = String::new();
    open(&mut body, &label, lines.size, "plot plot-named");
    frame(&mut body, &scale, lines.unit, lines.size);
    let height = lines.size.height();
    put(
        &mut body,
        format_args!(
            "<svg class=\"chart-svg\" width=\"100%\" height=\"{height}\" viewBox=\"0 0 1000 {height}\" \
         preserveAspectRatio=\"none\">"
        ),
    );
    for (index, line) in shown().enumerate() {
        put(
            &mut body,
            format_args!(
                "<path class=\"line {} dash-{}\" vector-effect=\"non-scaling-stroke\" d=\"{}\"/>",
                line.tone.class(),
                index + 1,
                path(&line.values, count, &scale)
            ),
        );
    }
    body.push_str("</svg>");
    names(&mut body, lines, &scale);
    points(&mut body, lines, count);
    foot(&mut body, lines.axis, count, lines.size, lines.is_running);
    body.push_str("</svg></div>");
    let head = std::iter::once(lines.axis.column().to_owned());
    let cell = |line: &Line, index: usize| shown_value(lines.unit, line.values.get(index).copied().flatten());
    let row = |index| {
        std::iter::once(lines.axis.name(index)).chain(shown().map(|line| cell(line, index))).collect()
    };
    let table = Table {
        head: head.chain(shown().map(|line| line.name.clone())).collect(),
        rows: (0..count).map(row).collect(),
    };
    let has_details = lines.size == Size::Normal;
    Chart { caption: lines.caption.clone(), body, label, table, has_details }
}

fn shown_value(unit: Unit, value: Option<f64>) -> String {
    value.map_or_else(|| "not known".to_owned(), |value| unit.value(value))
}

/// A point's middle, in thousandths of the width.
fn x(index: usize, count: usize) -> f64 {
    (index as f64 + 0.5) * 1000.0 / count.max(1) as f64
}

/// A line that stops where nothing is known; a point between two gaps is a dot.
fn path(values: &[Option<f64>], count: usize, scale: &Scale) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let command = if is_drawing { 'L' } else { 'M' };
        let (x, y) = (x(index, count), scale.y(*value));
        put(&mut path, format_args!("{command}{x:.1} {y:.1}"));
        let is_alone = !is_drawing && values.get(index + 1).is_none_or(Option::is_none);
        if is_alone {
            path.push_str("h0");
        }
        is_drawing = true;
    }
    path
}

/// The lines' names at their ends, from above, apart from each other.
fn names(body: &mut String, lines: &Lines, scale: &Scale) {
    let end = |line: &Line| line.values.iter().rev().flatten().next().map(|value| scale.y(*value));
    let mut ends: Vec<(f64, &Line)> =
        lines.lines.iter().take(MOST_LINES).filter_map(|line| Some((end(line)?, line))).collect();
    ends.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut above = f64::NEG_INFINITY;
    for (end, _) in &mut ends {
        *end = end.max(above + APART);
        above = *end;
    }
    // What was pushed out at the foot goes up again, and takes with it what is in its way.
    let mut below = lines.size.height() + APART - 4.0;
    for (end, _) in ends.iter_mut().rev() {
        *end = end.min(below - APART);
        below = *end;
    }
    for (y, line) in ends {
        put(
            body,
            format_args!(
                "<text class=\"line-name {}\" x=\"100%\" dx=\"8\" y=\"{y:.1}\" dy=\"4\">{}</text>",
                line.tone.class(),
                text(&line.name)
            ),
        );
    }
}

/// What each moment says, where the pointer is.
fn points(body: &mut String, lines: &Lines, count: usize) {
    let step = 100.0 / count.max(1) as f64;
    for index in 0..count {
        let said = lines.lines.iter().take(MOST_LINES).map(|line| {
            let value = line.values.get(index).copied().flatten();
            format!("{} {}", line.name, shown_value(lines.unit, value))
        });
        let said = said.collect::<Vec<_>>().join(", ");
        put(
            body,
            format_args!(
                "<rect class=\"hit\" x=\"{:.3}%\" y=\"0\" width=\"{step:.3}%\" height=\"{}\"><title>{}: {}</title></rect>",
                index as f64 * step,
                lines.size.height(),
                text(&lines.axis.name(index)),
                text(&said)
            ),
        );
    }
}

/// What the lines tell, in words.
fn story(lines: &Lines, count: usize) -> String {
    let mut story = super::subject(&lines.caption, lines.unit.column());
    let Some(last) = count.checked_sub(1) else { return story + " Nothing is known." };
    let Lines { axis, unit, .. } = lines;
    put(&mut story, format_args!(" {count} {}, {} to {}.", axis.steps(), axis.name(0), axis.name(last)));
    for line in lines.lines.iter().take(MOST_LINES) {
        let mut known = line.values.iter().flatten();
        let (first, last) = (known.next(), line.values.iter().rev().flatten().next());
        match (first, last) {
            (Some(first), Some(last)) => {
                let (first, last) = (unit.value(*first), unit.value(*last));
                put(&mut story, format_args!(" {}: from {first} to {last}.", line.name));
            }
            (None, _) | (_, None) => put(&mut story, format_args!(" {}: not known.", line.name)),
        }
    }
    story
}
