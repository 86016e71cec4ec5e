//! Charts as SVG and HTML that need no script and no `style`: numbers in, markup out. Must not know where the numbers come
//! from.
//!
//! The rules are those of the design: x in per cent and y in pixels without a viewBox, so that text stays 12 px and the chart
//! is as wide as its column; bars from 0; 2 or 3 round ticks; what is not known is a gap. `console.css`, section "Charts",
//! has the colours and the margins.

mod axis;
mod bars;
mod findings;
mod heat;
mod lines;
mod markup;
mod retention;
mod scale;
mod shares;

use std::fmt;

pub(in crate::console) use self::axis::{Axis, full_day};
pub(in crate::console) use self::bars::{Bars, bars};
pub(in crate::console) use self::findings::{
    busiest, change, comes_back, holds, leads, rhythm, stands_out, trend,
};
pub(in crate::console) use self::heat::{Heat, heat};
pub(in crate::console) use self::lines::{Line, Lines, lines};
pub(in crate::console) use self::retention::{Cohort, Retention, retention};
pub(in crate::console) use self::scale::{Unit, number};
pub(in crate::console) use self::shares::{Share, Shares, Show, shares};
use crate::console::charts::markup::text;

/// What stands above and beneath a chart.
#[derive(Debug, Clone, Default)]
pub(in crate::console) struct Caption {
    /// The finding, else the measure; none where a heading of the page says it.
    pub title: Option<String>,
    /// Behind the title, lighter: `6,915`, `none`.
    pub sum: Option<String>,
    /// Measure, unit, period.
    pub measure: Option<String>,
    /// Where the numbers are.
    pub links: Option<Links>,
}

/// The same numbers in other forms.
#[derive(Debug, Clone)]
pub(in crate::console) struct Links {
    /// A path of this console.
    pub csv: String,
    /// A path of this console.
    pub json: String,
}

/// How high a chart is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Size {
    /// 150 px, three ticks, "As a table".
    Normal,
    /// 56 px, two ticks: one of several beside each other.
    Small,
}

impl Size {
    fn height(self) -> f64 {
        match self {
            Self::Normal => 150.0,
            Self::Small => 56.0,
        }
    }
}

/// A colour of the design's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Tone {
    /// Blue.
    First,
    /// Orange.
    Second,
    /// Ink.
    Third,
    /// Grey: other, or of no meaning by itself.
    Other,
    /// Red: something is wrong.
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::First => "tone-1",
            Self::Second => "tone-2",
            Self::Third => "tone-3",
            Self::Other => "tone-0",
            Self::Bad => "tone-bad",
        }
    }
}

/// The numbers of a chart, as people read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::console) struct Table {
    /// The columns' names; the first is the row's own.
    pub head: Vec<String>,
    /// As many cells as there are names.
    pub rows: Vec<Vec<String>>,
}

/// A chart, ready to stand in a page: `{{ chart }}` writes the whole figure.
#[derive(Debug, Clone)]
pub(in crate::console) struct Chart {
    caption: Caption,
    /// Safe HTML.
    body: String,
    /// What the picture tells, in words; the body has it as its label.
    #[cfg_attr(not(test), expect(dead_code, reason = "the body has it already"))]
    label: String,
    /// The picture's numbers.
    pub table: Table,
    /// Whether the table is offered beneath the picture.
    has_details: bool,
}

/// Everything in it is escaped where it is made.
impl askama::filters::HtmlSafe for Chart {}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<figure class=\"chart\">")?;
        self.write_caption(f)?;
        f.write_str(&self.body)?;
        self.write_foot(f)?;
        f.write_str("</figure>")
    }
}

impl Chart {
    fn write_caption(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Caption { title, sum, measure, .. } = &self.caption;
        if title.is_none() && measure.is_none() {
            return Ok(());
        }
        f.write_str("<figcaption>")?;
        if let Some(title) = title {
            write!(f, "<h3 class=\"chart-title\">{}", text(title))?;
            if let Some(sum) = sum {
                write!(f, " <span class=\"chart-sum\">{}</span>", text(sum))?;
            }
            f.write_str("</h3>")?;
        }
        if let Some(measure) = measure {
            write!(f, "<p class=\"chart-measure\">{}</p>", text(measure))?;
        }
        f.write_str("</figcaption>")
    }

    fn write_foot(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.has_details && self.caption.links.is_none() {
            return Ok(());
        }
        f.write_str("<div class=\"chart-foot\">")?;
        if self.has_details {
            f.write_str("<details class=\"chart-table\"><summary>As a table</summary>")?;
            f.write_str("<div class=\"chart-scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\">")?;
            self.table.write(f)?;
            f.write_str("</div></details>")?;
        }
        if let Some(Links { csv, json }) = &self.caption.links {
            let of = self.caption.title.as_deref().unwrap_or("these numbers");
            for (name, path) in [("CSV", csv), ("JSON", json)] {
                write!(f, "<a href=\"{}\" aria-label=\"{name}: {}\">{name}</a>", text(path), text(of))?;
            }
        }
        f.write_str("</div>")
    }
}

/// What a label begins with: what is shown.
fn subject(caption: &Caption, unit: &str) -> String {
    let Caption { title, measure, .. } = caption;
    match (title, measure) {
        (Some(title), Some(measure)) => format!("{title}. {measure}."),
        (Some(words), None) | (None, Some(words)) => format!("{words}."),
        (None, None) => format!("{unit}."),
    }
}

impl Table {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<table><thead><tr>")?;
        self.head.iter().try_for_each(|name| write!(f, "<th scope=\"col\">{}</th>", text(name)))?;
        f.write_str("</tr></thead><tbody>")?;
        for row in &self.rows {
            f.write_str("<tr>")?;
            for (index, cell) in row.iter().enumerate() {
                match index {
                    0 => write!(f, "<th scope=\"row\"><bdi>{}</bdi></th>", text(cell))?,
                    _ => write!(f, "<td class=\"num\">{}</td>", text(cell))?,
                }
            }
            f.write_str("</tr>")?;
        }
        f.write_str("</tbody></table>")
    }
}

#[cfg(test)]
mod tests;
