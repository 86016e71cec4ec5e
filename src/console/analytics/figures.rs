//! The page's figures and charts of the numbers of a range. Must not read a database.

use std::collections::BTreeMap;

use time::{Date, Duration};

use crate::console::analytics::numbers::{Numbers, Report};
use crate::console::charts::{
    Axis, Bars, Caption, Chart, Cohort, Heat, Line, Lines, Links, Retention, Share, Shares, Show, Size, Tone,
    Unit, bars, busiest, change, comes_back, full_day, heat, holds, leads, lines, retention, rhythm, shares,
    stands_out, trend,
};
use crate::console::words::{Foreign, count};
use crate::store::daily::Day;

/// Countries and clients that have a bar of their own.
const MOST_BARS: usize = 6;
/// Reasons of failures that have a chart.
const MOST_REASONS: usize = 6;
/// Weeks whose users the table of who comes back shows.
const MOST_WEEKS: usize = 12;

/// A number beneath the page's heading.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) figure: String,
    pub(super) note: String,
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn percent(part: i64, of: i64) -> Option<String> {
    (of > 0).then(|| format!("{} %", (part * 200 + of) / (of * 2)))
}

/// The four.
pub(super) fn figures(numbers: &Numbers) -> Vec<Figure> {
    let days = numbers.range.days();
    let figure = |name: String, figure: String, note: String| Figure { name, figure, note };
    let unknown = || "Not known".to_owned();
    let new: f64 = numbers.growth().iter().flatten().sum();
    let active = numbers.days.iter().rev().find_map(|(_, day)| day.as_ref()?.active_30);
    let logins = numbers.sum(|day| day.logins);
    let has_logins = numbers.days.iter().any(|(_, day)| day.as_ref().is_some_and(|day| day.logins.is_some()));
    let so_much =
        |before: i64| change(before as f64, logins as f64).unwrap_or_else(|| "about as many".to_owned());
    let before = numbers.logins_before().filter(|before| *before > 0);
    let note =
        before.map_or_else(String::new, |before| format!("{} as the {days} days before", so_much(before)));
    let note = note.replace("% as", "% on").replace("many as the", "many as in the");
    let created = numbers.sum(|day| day.first_week.map(|_| day.created));
    let signed_in = numbers.sum(|day| day.first_week);
    vec![
        figure(
            "Users".to_owned(),
            count(whole(numbers.users)),
            format!("+ {new_users} in {days} days", new_users = crate::console::charts::number(new)),
        ),
        figure(
            "Signed in within 30 days".to_owned(),
            active.map_or_else(unknown, |active| count(whole(active))),
            active
                .and_then(|active| percent(active, numbers.users))
                .map_or_else(String::new, |it| it + " of all"),
        ),
        figure(
            format!("Sign-ins in {days} days"),
            if has_logins { count(whole(logins)) } else { unknown() },
            note,
        ),
        figure(
            "Sign up, then sign in".to_owned(),
            percent(signed_in, created).unwrap_or_else(unknown),
            "within 7 days".to_owned(),
        ),
    ]
}

/// All charts of the page, by section.
#[derive(Debug)]
pub(super) struct Charts {
    pub(super) growth: Chart,
    pub(super) active: Chart,
    pub(super) logins: Chart,
    pub(super) hours: Chart,
    pub(super) retention: Chart,
    pub(super) first: Chart,
    pub(super) devices: Chart,
    pub(super) countries: Chart,
    pub(super) clients: Chart,
    pub(super) failures: Vec<Chart>,
    pub(super) failures_by: String,
    pub(super) failure_links: Links,
}

fn links(numbers: &Numbers, report: Report) -> Links {
    let (name, query) = (report.name(), numbers.range.query());
    Links { csv: format!("/analytics/{name}.csv?{query}"), json: format!("/analytics/{name}.json?{query}") }
}

fn caption(
    numbers: &Numbers,
    report: Report,
    finding: Option<String>,
    what: &str,
    measure: String,
) -> Caption {
    let title = Some(finding.unwrap_or_else(|| what.to_owned()));
    Caption { title, sum: None, measure: Some(measure), links: Some(links(numbers, report)) }
}

/// What a rule found, and what another one did.
fn both(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}

impl Charts {
    pub(super) fn of(numbers: &Numbers) -> Self {
        let (failures_by, failures) = failures(numbers);
        Self {
            growth: growth(numbers),
            active: active(numbers),
            logins: logins(numbers),
            hours: hours(numbers),
            retention: weeks(numbers),
            first: first(numbers),
            devices: devices(numbers),
            countries: countries(numbers),
            clients: clients(numbers),
            failures,
            failures_by,
            failure_links: links(numbers, Report::Failures),
        }
    }
}

/// The days that are over: what a finding may be about.
fn over<'a>(numbers: &Numbers, values: &'a [Option<f64>]) -> &'a [Option<f64>] {
    let days = values.len() - usize::from(numbers.range.is_running() && !values.is_empty());
    values.get(..days).unwrap_or_default()
}

fn period(numbers: &Numbers) -> String {
    let running = if numbers.range.is_running() { "; today so far in a lighter bar" } else { "" };
    format!("{} to {}{running}", full_day(numbers.range.from), full_day(numbers.range.to))
}

fn day_bars(numbers: &Numbers, caption: Caption, values: Vec<Option<f64>>, unit: &'static str) -> Bars {
    Bars {
        caption,
        axis: Axis::Days(numbers.range.from),
        values,
        unit: Unit::Count(unit),
        tone: Tone::First,
        size: Size::Normal,
        is_running: numbers.range.is_running(),
    }
}

fn growth(numbers: &Numbers) -> Chart {
    let values = numbers.growth();
    let known = over(numbers, &values);
    let (rise, peak) = (trend("New users", known), stands_out(numbers.range.from, known));
    let measure = format!("New users a day, {}", period(numbers));
    let caption = caption(numbers, Report::Growth, both(rise, peak), "New users", measure);
    bars(&day_bars(numbers, caption, values, "users"))
}

fn logins(numbers: &Numbers) -> Chart {
    let values = numbers.by_day(|day| day.logins);
    let known = over(numbers, &values);
    let finding = rhythm("Sign-ins", numbers.range.from, known).or_else(|| trend("Sign-ins", known));
    let measure = format!("Sign-ins a day, {}", period(numbers));
    let caption = caption(numbers, Report::Logins, finding, "Sign-ins", measure);
    bars(&day_bars(numbers, caption, values, "sign-ins"))
}

fn active(numbers: &Numbers) -> Chart {
    let last = numbers
        .days
        .iter()
        .rev()
        .find_map(|(_, day)| Some((day.as_ref()?.active_7?, day.as_ref()?.active_30?)));
    let finding = last.and_then(|(week, month)| holds(whole(week), whole(month)));
    let measure = "Users who signed in within a day, 7 days, 30 days".to_owned();
    let line = |name: &str, tone, number: fn(&Day) -> Option<i64>| Line {
        name: name.to_owned(),
        values: numbers.by_day(number),
        tone,
    };
    lines(&Lines {
        caption: caption(numbers, Report::Active, finding, "Active users", measure),
        axis: Axis::Days(numbers.range.from),
        lines: vec![
            line("1 day", Tone::First, |day| day.active_1),
            line("7 days", Tone::Second, |day| day.active_7),
            line("30 days", Tone::Third, |day| day.active_30),
        ],
        unit: Unit::Count("users"),
        size: Size::Normal,
        is_running: numbers.range.is_running(),
    })
}

fn hours(numbers: &Numbers) -> Chart {
    let values = numbers.hours();
    let measure = format!("Sign-ins an hour by weekday, mean of {} days, UTC", numbers.range.days());
    let caption = caption(numbers, Report::Hours, busiest(&values), "When people sign in", measure);
    heat(&Heat { caption, values, things: "sign-ins an hour" })
}

fn weeks(numbers: &Numbers) -> Chart {
    let today = numbers.range.today;
    let back = Duration::days(today.weekday().number_days_from_monday().into());
    let skipped = numbers.cohorts.len().saturating_sub(MOST_WEEKS);
    let cohort = |cohort: &crate::store::daily::Cohort| Cohort {
        week: cohort.week,
        users: whole(cohort.users),
        came: cohort.weeks.iter().take(MOST_WEEKS).map(|week| week.signed_in.map(whole)).collect(),
    };
    let mut shown = Retention {
        caption: Caption::default(),
        cohorts: numbers.cohorts.iter().skip(skipped).map(cohort).collect(),
        this_week: today.checked_sub(back).unwrap_or(today),
    };
    let measure = "Of the users created in a week, how many in a hundred signed in in that week (0) and in each after \
                   it. * the week is not over";
    let finding = comes_back(&shown);
    shown.caption = caption(numbers, Report::Retention, finding, "Who comes back", measure.to_owned());
    retention(&shown)
}

fn first(numbers: &Numbers) -> Chart {
    let sum = |number: fn(&Day) -> Option<i64>| whole(numbers.sum(number));
    let created = sum(|day| day.first_week.map(|_| day.created));
    let week = sum(|day| day.first_week);
    let row = |name: &str, value, is_rest| Share { name: name.to_owned(), value, is_rest };
    let rows = vec![
        row("within a minute", sum(|day| day.first_minute), false),
        row("an hour", sum(|day| day.first_hour), false),
        row("a day", sum(|day| day.first_day), false),
        row("7 days", week, false),
        row("Later, or not yet", created.saturating_sub(week), true),
    ];
    let measure = format!("Sign-up to first sign-in, users of the last {} days", numbers.range.days());
    let soon =
        percent(i64::try_from(sum(|day| day.first_day)).unwrap_or(0), i64::try_from(created).unwrap_or(0));
    let finding = soon.filter(|_| created >= 100).map(|share| format!("{share} sign in within a day"));
    let caption = caption(numbers, Report::FirstLogin, finding, "First sign-in", measure);
    shares(&Shares { caption, rows, show: Show::Percent, things: "users", whole: Some(created) })
}

/// The greatest, the others together, and what is not known.
fn top(parts: impl Iterator<Item = (String, i64)>, name: impl Fn(&str) -> String) -> Vec<Share> {
    let (unknown, mut known): (Vec<_>, Vec<_>) = parts.partition(|(part, _)| part.is_empty());
    known.sort_by_key(|(_, users)| std::cmp::Reverse(*users));
    let others = known.split_off(known.len().min(MOST_BARS));
    let row =
        |(part, users): &(String, i64)| Share { name: name(part), value: whole(*users), is_rest: false };
    let mut rows: Vec<Share> = known.iter().map(row).collect();
    for (name, rest) in [(format!("All other {}", others.len()), &others), ("Not known".to_owned(), &unknown)]
    {
        let value = whole(rest.iter().map(|(_, users)| users).sum());
        rows.extend((!rest.is_empty()).then_some(Share { name, value, is_rest: true }));
    }
    rows
}

fn devices(numbers: &Numbers) -> Chart {
    let parts = numbers.devices.iter().map(|share| (share.name.clone(), share.users));
    let rows = top(parts, str::to_owned);
    let measure = "Users by the device of their last sign-in".to_owned();
    let caption = caption(numbers, Report::Devices, leads(&rows), "Devices", measure);
    shares(&Shares { caption, rows, show: Show::Percent, things: "users", whole: None })
}

fn countries(numbers: &Numbers) -> Chart {
    let parts = numbers.countries.iter().map(|share| (share.name.clone(), share.users));
    let name = |code: &str| {
        match code {
            // The register has them with all their titles, which no column is wide enough for.
            "GB" => "United Kingdom".to_owned(),
            "US" => "United States".to_owned(),
            _ => rust_iso3166::from_alpha2(code)
                .map_or_else(|| code.to_owned(), |country| country.name.to_owned()),
        }
    };
    let rows = top(parts, name);
    let caption =
        caption(numbers, Report::Countries, leads(&rows), "Countries", "Users by country".to_owned());
    shares(&Shares { caption, rows, show: Show::Count, things: "users", whole: None })
}

fn clients(numbers: &Numbers) -> Chart {
    let rows = top(numbers.clients.iter().map(|row| (row.client_id.clone(), row.logins)), str::to_owned);
    let measure = format!("Sign-ins by app client, {} days", numbers.range.days());
    let caption = caption(numbers, Report::Clients, leads(&rows), "App clients", measure);
    shares(&Shares { caption, rows, show: Show::Count, things: "sign-ins", whole: None })
}

/// Why sign-ins failed: our words of it, spelled out, and others' as they are.
fn reason_in_words(reason: &str) -> String {
    let spelled = Foreign(reason).to_string().replace('_', " ");
    let mut letters = spelled.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => "No reason told".to_owned(),
    }
}

/// Who tells most of failures, and a chart a reason: two reporters may tell of the same one.
fn failures(numbers: &Numbers) -> (String, Vec<Chart>) {
    let mut sums: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for row in &numbers.failures {
        *sums.entry(&row.reported_by).or_default().entry(&row.reason).or_default() += row.failures;
    }
    let most = sums.into_iter().max_by_key(|(_, reasons)| reasons.values().sum::<i64>());
    let Some((reporter, reasons)) = most else { return (String::new(), Vec::new()) };
    let mut reasons: Vec<_> = reasons.into_iter().filter(|(_, failures)| *failures > 0).collect();
    reasons.sort_by_key(|(_, failures)| std::cmp::Reverse(*failures));
    let chart = |(reason, failures): &(&str, i64)| {
        let found =
            numbers.failures.iter().filter(|row| row.reported_by == reporter && row.reason == *reason);
        let found: BTreeMap<Date, i64> = found.map(|row| (row.day, row.failures)).collect();
        let value = |(date, day): &(Date, Option<Day>)| {
            day.as_ref().filter(|day| day.logins.is_some())?;
            Some(found.get(date).copied().unwrap_or(0) as f64)
        };
        let name = reason_in_words(reason);
        let caption = Caption { title: Some(name), sum: Some(count(whole(*failures))), ..Caption::default() };
        let values = numbers.days.iter().map(value).collect();
        bars(&Bars {
            tone: Tone::Second,
            size: Size::Small,
            ..day_bars(numbers, caption, values, "failures")
        })
    };
    let charts = reasons.iter().take(MOST_REASONS).map(chart).collect();
    let by = match reporter {
        "cloudtrail" => "CloudTrail".to_owned(),
        _ => Foreign(reporter).to_string().replace('_', " "),
    };
    (by, charts)
}
