//! Bars from 0, one a moment. Must not know what they count.

use super::markup::{put, text};
use super::scale::Scale;
use super::{Axis, Caption, Chart, Size, Table, Tone, Unit};

/// Numbers of moments that follow each other.
#[derive(Debug, Clone)]
pub(in crate::console) struct Bars {
    /// What stands around it.
    pub caption: Caption,
    /// When.
    pub axis: Axis,
    /// How many; `None` where that is not known.
    pub values: Vec<Option<f64>>,
    /// Of what.
    pub unit: Unit,
    /// In which colour.
    pub tone: Tone,
    /// How high.
    pub size: Size,
    /// Whether the last one is not over: it is lighter.
    pub is_running: bool,
}

/// Draws them.
pub(in crate::console) fn bars(bars: &Bars) -> Chart {
    let known = bars.values.iter().flatten().copied();
    let scale = Scale::new(known.fold(0.0, f64::max), bars.unit, bars.size);
    let label = story(bars);
    let mut body = String::new();
    open(&mut body, &label, bars.size, "plot");
    frame(&mut body, &scale, bars.unit, bars.size);
    rectangles(&mut body, bars, &scale);
    foot(&mut body, bars.axis, bars.values.len(), bars.size, bars.is_running);
    body.push_str("</svg></div>");
    let value = |value: &Option<f64>| value.map_or_else(|| "not known".to_owned(), |it| bars.unit.value(it));
    let rows = bars.values.iter().enumerate();
    let table = Table {
        head: vec![bars.axis.column().to_owned(), bars.unit.column().to_owned()],
        rows: rows.map(|(index, it)| vec![bars.axis.name(index), value(it)]).collect(),
    };
    let has_details = bars.size == Size::Normal;
    Chart { caption: bars.caption.clone(), body, label, table, has_details }
}

/// The picture's begin. Text and lines may stand outside of it: the margins are the plot's.
pub(super) fn open(body: &mut String, label: &str, size: Size, class: &str) {
    let height = size.height();
    put(
        body,
        format_args!(
            "<div class=\"{class}\"><svg class=\"chart-svg\" width=\"100%\" height=\"{height}\" role=\"img\" \
         aria-label=\"{}\">",
            text(label)
        ),
    );
}

/// The lines at round numbers, and these.
pub(super) fn frame(body: &mut String, scale: &Scale, unit: Unit, size: Size) {
    for tick in &scale.ticks {
        // The least one is the base, which belongs to the bars.
        let y = if *tick == 0.0 { size.height() } else { scale.y(*tick) };
        let class = if *tick == 0.0 { "base" } else { "grid" };
        put(
            body,
            format_args!(
                "<line class=\"{class}\" x1=\"0\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"axis\" x=\"0\" dx=\"-8\" y=\"{y:.1}\" dy=\"4\" text-anchor=\"end\">{}</text>",
                text(&unit.tick(*tick))
            ),
        );
    }
}

/// The moments at the foot.
pub(super) fn foot(body: &mut String, axis: Axis, count: usize, size: Size, is_running: bool) {
    let y = size.height() + 17.0;
    for mark in axis.marks(count, size, is_running) {
        let place = match mark.anchor {
            "end" => 1.0,
            "start" => mark.index as f64 / count as f64,
            _ => (mark.index as f64 + 0.5) / count as f64,
        };
        put(
            body,
            format_args!(
                "<text class=\"axis\" x=\"{:.2}%\" y=\"{y}\" text-anchor=\"{}\">{}</text>",
                place * 100.0,
                mark.anchor,
                text(&mark.label)
            ),
        );
    }
}

fn rectangles(body: &mut String, bars: &Bars, scale: &Scale) {
    let step = 100.0 / bars.values.len().max(1) as f64;
    let last = bars.values.len().saturating_sub(1);
    for (index, value) in bars.values.iter().enumerate() {
        let Some(value) = value.filter(|value| *value > 0.0) else { continue };
        // What is there is seen.
        let height = (bars.size.height() - scale.y(value)).max(1.0);
        let is_running = bars.is_running && index == last;
        let now = if is_running { " running" } else { "" };
        let so_far = if is_running { " so far" } else { "" };
        put(
            body,
            format_args!(
                "<rect class=\"bar {}{now}\" x=\"{:.3}%\" y=\"{:.1}\" width=\"{:.3}%\" height=\"{height:.1}\">\
             <title>{}: {}{so_far}</title></rect>",
                bars.tone.class(),
                (index as f64 + 0.1) * step,
                bars.size.height() - height,
                step * 0.8,
                text(&bars.axis.name(index)),
                text(&bars.unit.long(value)),
            ),
        );
    }
}

/// What the bars tell, in words.
fn story(bars: &Bars) -> String {
    let Bars { axis, values, unit, .. } = bars;
    let mut story = super::subject(&bars.caption, unit.column());
    let Some(last) = values.len().checked_sub(1) else { return story + " Nothing is known." };
    put(
        &mut story,
        format_args!(" {} {}, {} to {}:", values.len(), axis.steps(), axis.name(0), axis.name(last)),
    );
    let known = || values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?)));
    let Some(most) = known().reduce(|most, next| if next.1 > most.1 { next } else { most }) else {
        return story + " nothing is known.";
    };
    let least = known().reduce(|least, next| if next.1 < least.1 { next } else { least }).unwrap_or(most);
    if most.1 <= 0.0 {
        story.push_str(" none.");
    } else {
        if let Unit::Count(_) = unit {
            put(&mut story, format_args!(" {} in all,", unit.long(known().map(|(_, value)| value).sum())));
        }
        let (high, low) = (unit.value(most.1), unit.value(least.1));
        put(
            &mut story,
            format_args!(" most {high} ({}), least {low} ({}).", axis.name(most.0), axis.name(least.0)),
        );
    }
    let unknown = values.len() - known().count();
    if unknown > 0 {
        put(&mut story, format_args!(" {unknown} {} are not known.", axis.steps()));
    }
    story
}
