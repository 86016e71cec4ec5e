//! Weeks of users by the weeks since then, as a table whose cells have the colour of their share. Must not know what a user
//! did.

use time::Date;

use super::axis::{day, full_day};
use super::heat::step_of;
use super::markup::{put, text};
use super::scale::grouped;
use super::{Caption, Chart, Table};

/// Users by the week of their creation.
#[derive(Debug, Clone)]
pub(in crate::console) struct Retention {
    /// What stands around it.
    pub caption: Caption,
    /// The oldest first.
    pub cohorts: Vec<Cohort>,
    /// The Monday of the week that is not over: its cells have an asterisk.
    pub this_week: Date,
}

/// The users who were created in one week.
#[derive(Debug, Clone)]
pub(in crate::console) struct Cohort {
    /// Its Monday.
    pub week: Date,
    /// How many.
    pub users: u64,
    /// How many of them came back in that week (0) and in each after it; `None` where that is not known.
    pub came: Vec<Option<u64>>,
}

/// Where the steps of the colour begin, in per cent.
const STEPS: [f64; 5] = [20.0, 35.0, 50.0, 65.0, 80.0];

/// In a hundred, rounded; `None` of nobody.
pub(super) fn percent(part: u64, whole: u64) -> Option<u64> {
    (whole > 0).then(|| (part * 200 + whole) / (whole * 2))
}

/// Draws them.
pub(in crate::console) fn retention(retention: &Retention) -> Chart {
    let weeks = retention.cohorts.iter().map(|cohort| cohort.came.len()).max().unwrap_or(0);
    let label = story(retention);
    let mut body = String::new();
    put(
        &mut body,
        format_args!(
            "<div class=\"chart-scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\
         <table class=\"retention\"><thead><tr><th scope=\"col\">Week of</th>\
         <th scope=\"col\" class=\"num\">New</th>",
            text(&label)
        ),
    );
    for week in 0..weeks {
        put(&mut body, format_args!("<th scope=\"col\" class=\"cell\">{week}</th>"));
    }
    body.push_str("</tr></thead><tbody>");
    for cohort in &retention.cohorts {
        row(&mut body, cohort, weeks, retention.this_week);
    }
    body.push_str("</tbody></table></div>");
    let head = ["week of", "new"].into_iter().map(str::to_owned);
    let numbers = (0..weeks).map(|week| week.to_string());
    let cells = |cohort: &Cohort| {
        let said = |came: &Option<u64>| came.map_or_else(|| "not known".to_owned(), |came| came.to_string());
        let names = [full_day(cohort.week), cohort.users.to_string()];
        let mut cells: Vec<String> = names.into_iter().chain(cohort.came.iter().map(said)).collect();
        cells.resize(weeks + 2, String::new());
        cells
    };
    let table =
        Table { head: head.chain(numbers).collect(), rows: retention.cohorts.iter().map(cells).collect() };
    Chart { caption: retention.caption.clone(), body, label, table, has_details: false }
}

fn row(body: &mut String, cohort: &Cohort, weeks: usize, this_week: Date) {
    put(
        body,
        format_args!(
            "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td>",
            day(cohort.week),
            grouped(&cohort.users.to_string())
        ),
    );
    for number in 0..weeks {
        let Some(came) = cohort.came.get(number) else {
            body.push_str("<td></td>");
            continue;
        };
        let share = came.and_then(|came| percent(came, cohort.users));
        let Some(share) = share else {
            body.push_str("<td class=\"cell unknown\"><abbr title=\"not known\">?</abbr></td>");
            continue;
        };
        let days = i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(7);
        let week = cohort.week.checked_add(time::Duration::days(days));
        let star = if week == Some(this_week) { "<span class=\"star\">*</span>" } else { "" };
        let step = step_of(share as f64, &STEPS);
        put(body, format_args!("<td class=\"cell heat-{step}\">{share}{star}</td>"));
    }
    body.push_str("</tr>");
}

/// The share of the users of all weeks of whom it is known that came back in a week that is over.
pub(super) fn share_in_week(retention: &Retention, number: usize) -> Option<u64> {
    let days = time::Duration::days(i64::try_from(number).ok()? * 7);
    let is_over =
        |cohort: &&Cohort| cohort.week.checked_add(days).is_some_and(|week| week < retention.this_week);
    let known = retention.cohorts.iter().filter(is_over);
    let known = known.filter_map(|cohort| Some((cohort.users, (*cohort.came.get(number)?)?)));
    let (users, came) = known.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    percent(came, users)
}

/// What the table tells, in words.
fn story(retention: &Retention) -> String {
    let mut story = super::subject(&retention.caption, "users who came back");
    let weeks = retention.cohorts.len();
    put(&mut story, format_args!(" Users of {weeks} weeks, by the weeks since."));
    for number in [0, 1, 4] {
        if let Some(share) = share_in_week(retention, number) {
            put(&mut story, format_args!(" Week {number}: {share} in a hundred."));
        }
    }
    story
}
