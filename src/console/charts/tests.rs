#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! What the charts say and how they say it: markup that a strict CSP permits, numbers that are right, names that do nothing.

use time::{Date, Month};

use super::retention::percent;
use super::scale::{grouped, ticks};
use super::*;

const SIGN_INS: Unit = Unit::Count("sign-ins");

fn on(year: i32, month: Month, day: u8) -> Date {
    Date::from_calendar_date(year, month, day).unwrap()
}

fn of_days(values: &[Option<f64>]) -> Bars {
    Bars {
        caption: Caption {
            title: Some("Sign-ins a day".to_owned()),
            measure: Some("a day each".to_owned()),
            ..Caption::default()
        },
        axis: Axis::Days(on(2026, Month::August, 27)),
        values: values.to_vec(),
        unit: SIGN_INS,
        tone: Tone::First,
        size: Size::Normal,
        is_running: false,
    }
}

fn line(name: &str, values: &[Option<f64>]) -> Line {
    Line { name: name.to_owned(), values: values.to_vec(), tone: Tone::First }
}

fn of_lines(lines: Vec<Line>) -> Lines {
    let axis = Axis::Days(on(2026, Month::August, 27));
    let caption = Caption { title: Some("Active".to_owned()), ..Caption::default() };
    Lines { caption, axis, lines, unit: Unit::Count("users"), size: Size::Normal, is_running: false }
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// What a strict CSP refuses and what a browser would do with the text of others.
fn is_clean(html: &str) {
    for refused in ["style=", "<script", "onload", "javascript:", "NaN", "inf"] {
        assert!(!html.contains(refused), "{refused} in {html}");
    }
    for name in ["svg", "figure", "table", "div", "details", "title", "text"] {
        let opened = count(html, &format!("<{name} ")) + count(html, &format!("<{name}>"));
        assert_eq!(opened, count(html, &format!("</{name}>")), "{name} in {html}");
    }
}

#[test]
fn ticks_are_round_and_two_or_three() {
    let of = |greatest| ticks(greatest, SIGN_INS, Size::Normal);
    assert_eq!(of(0.0), [0.0]);
    assert_eq!(of(f64::NAN), [0.0]);
    assert_eq!(of(1.0), [0.0, 2.0, 4.0], "nothing is a half of one");
    assert_eq!(of(7.0), [0.0, 4.0, 8.0]);
    assert_eq!(of(999.0), [0.0, 500.0, 1_000.0]);
    assert_eq!(of(1_000.0), [0.0, 500.0, 1_000.0]);
    assert_eq!(of(3_300.0), [0.0, 2_000.0, 4_000.0]);
    assert_eq!(of(1e9), [0.0, 5e8, 1e9]);
    assert_eq!(of(5.0), [0.0, 5.0], "no halves of things");
    assert_eq!(ticks(7.0, SIGN_INS, Size::Small), [0.0, 8.0]);
    assert_eq!(ticks(2.5, Unit::Seconds, Size::Small), [0.0, 3.0]);
    for greatest in (1..400).map(|step| 1.1_f64.powi(step)) {
        let ticks = of(greatest);
        assert!((2..=3).contains(&ticks.len()) && *ticks.last().unwrap() >= greatest * 0.999, "{greatest}");
    }
}

#[test]
fn numbers_are_written_as_people_read_them() {
    let ticks = [0.0, 4.0, 3_000.0, 20_000.0, 350_000.0, 1e6, 1.2e9].map(|value| SIGN_INS.tick(value));
    assert_eq!(ticks, ["0", "4", "3,000", "20 k", "350 k", "1 M", "1,200 M"]);
    assert_eq!([0.0, 1.5, 3.0].map(|value| Unit::Seconds.tick(value)), ["0 s", "1.5 s", "3 s"]);
    assert_eq!(SIGN_INS.long(1_048_312.0), "1,048,312 sign-ins");
    assert_eq!([1.84, 90.0].map(|value| Unit::Seconds.value(value)), ["1.8 s", "90 s"]);
    assert_eq!(["-1234", "999", "1000000.5"].map(grouped), ["-1,234", "999", "1,000,000.5"]);
}

#[test]
fn bars_stand_on_zero_and_the_greatest_is_below_the_top() {
    let chart = bars(&of_days(&[Some(10.0), Some(0.0), None, Some(40.0)]));
    let html = chart.to_string();
    is_clean(&html);
    assert_eq!(count(&html, "<rect class=\"bar"), 2, "neither nothing nor what is not known is a bar");
    assert!(html.contains("x=\"77.500%\" y=\"0.0\" width=\"20.000%\" height=\"150.0\""), "{html}");
    assert!(html.contains("<title>30 Aug 2026: 40 sign-ins</title>"), "{html}");
    assert!(html.contains(">As a table</summary>"));
    assert_eq!(chart.table.rows[2], ["29 Aug 2026", "not known"]);
    assert_eq!(
        chart.label,
        "Sign-ins a day. a day each. 4 days, 27 Aug 2026 to 30 Aug 2026: 50 sign-ins in all, most 40 (30 Aug 2026), \
         least 0 (28 Aug 2026). 1 days are not known."
    );
}

#[test]
fn nothing_is_a_base_line_without_a_top() {
    for values in [vec![Some(0.0); 3], vec![None; 3], Vec::new()] {
        let chart = bars(&of_days(&values));
        let html = chart.to_string();
        is_clean(&html);
        assert_eq!(
            (count(&html, "<rect"), count(&html, "class=\"base\""), count(&html, "class=\"grid\"")),
            (0, 1, 0)
        );
    }
    assert!(bars(&of_days(&[Some(0.0)])).label.ends_with("none."));
    assert!(bars(&of_days(&[None])).label.contains("nothing is known"));
    assert!(bars(&of_days(&[])).label.ends_with("Nothing is known."));
}

#[test]
fn one_point_is_a_bar_and_a_dot() {
    let html = bars(&of_days(&[Some(1.0)])).to_string();
    assert!(html.contains("x=\"10.000%\"") && html.contains("width=\"80.000%\""), "{html}");
    let html = lines(&of_lines(vec![line("1 day", &[Some(1.0)])])).to_string();
    is_clean(&html);
    assert!(html.contains("d=\"M500.0 112.5h0\""), "{html}");
}

#[test]
fn the_day_that_is_not_over_is_lighter_and_says_so() {
    let html = bars(&Bars { is_running: true, ..of_days(&[Some(1.0), Some(2.0)]) }).to_string();
    assert_eq!(count(&html, " running\""), 1);
    assert!(html.contains("28 Aug 2026: 2 sign-ins so far") && html.contains(">today<"), "{html}");
}

#[test]
fn months_are_written_at_their_first_day() {
    let labels = |axis: Axis, count, size| {
        let marks = axis.marks(count, size, false);
        marks.into_iter().map(|mark| (mark.index, mark.label)).collect::<Vec<_>>()
    };
    let named = |pairs: &[(usize, &str)]| {
        pairs.iter().map(|(index, label)| (*index, (*label).to_owned())).collect::<Vec<_>>()
    };
    let days = Axis::Days(on(2026, Month::August, 27));
    assert_eq!(
        labels(days, 90, Size::Normal),
        named(&[(5, "1 Sep"), (35, "1 Oct"), (66, "1 Nov"), (89, "24 Nov")])
    );
    assert_eq!(labels(days, 90, Size::Small), named(&[(0, "27 Aug"), (89, "24 Nov")]));
    assert_eq!(labels(days, 4, Size::Normal), named(&[(0, "27 Aug"), (3, "30 Aug")]));
    let year = labels(Axis::Days(on(2025, Month::November, 1)), 395, Size::Normal);
    assert_eq!(
        year.iter().map(|mark| &*mark.1).collect::<Vec<_>>(),
        ["1 Jan", "1 Apr", "1 Jul", "1 Oct", "30 Nov"]
    );
    let minutes = on(2026, Month::November, 24).with_hms(13, 32, 0).unwrap().assume_utc();
    let minutes = labels(Axis::Minutes(minutes), 61, Size::Small);
    assert_eq!(minutes, named(&[(0, "13:32"), (30, "14:02"), (60, "14:32")]));
    let weeks = Axis::Weeks(on(2026, Month::June, 1)).marks(26, Size::Small, true);
    let weeks: Vec<_> = weeks.iter().map(|mark| &*mark.label).collect();
    assert_eq!(weeks, ["1 Jun", "24 Aug", "this week"]);
}

#[test]
fn a_line_stops_where_nothing_is_known() {
    let values = [Some(0.0), Some(4.0), None, Some(2.0), None];
    let chart = lines(&of_lines(vec![line("7 days", &values), line("1 day", &[None; 5])]));
    let html = chart.to_string();
    is_clean(&html);
    assert!(html.contains("d=\"M100.0 150.0L300.0 0.0M700.0 75.0h0\""), "{html}");
    assert!(html.contains("non-scaling-stroke") && html.contains("preserveAspectRatio=\"none\""));
    assert_eq!(count(&html, "class=\"line-name"), 1, "what is not known has no end");
    assert!(html.contains("<title>29 Aug 2026: 7 days not known, 1 day not known</title>"), "{html}");
    assert_eq!(chart.table.head, ["day", "7 days", "1 day"]);
    assert!(chart.label.contains("7 days: from 0 to 2. 1 day: not known."), "{}", chart.label);
}

#[test]
fn at_most_three_lines_are_drawn_dashed_apart_with_names_that_do_not_meet() {
    let four = ["a", "b", "c", "d"].map(|name| line(name, &[Some(1.0), Some(0.0)]));
    let html = lines(&of_lines(four.to_vec())).to_string();
    assert_eq!(count(&html, "<path"), 3);
    for dash in ["dash-1", "dash-2", "dash-3"] {
        assert_eq!(count(&html, dash), 1);
    }
    let names = html.split("line-name").skip(1).map(|text| text.split("y=\"").nth(1).unwrap());
    let names: Vec<f64> = names.map(|text| text.split('"').next().unwrap().parse().unwrap()).collect();
    assert!(names.is_sorted_by(|above, below| below - above >= 16.0), "{names:?}");
    assert!(names.iter().all(|y| (0.0..=150.0).contains(y)), "{names:?}");
}

#[test]
fn hours_have_six_steps_with_numbers() {
    let mut values = [[Some(0.0); 24]; 7];
    values[0][8] = Some(9_400.0);
    values[6][3] = None;
    let caption = Caption { title: Some("Busy".to_owned()), ..Caption::default() };
    let chart = heat(&Heat { caption, values, things: "sign-ins an hour" });
    let html = chart.to_string();
    is_clean(&html);
    assert_eq!(count(&html, "<rect class=\"heat-"), 7 * 24 - 1 + 6);
    assert_eq!(count(&html, "heat-5"), 2, "the busiest hour and the key");
    assert!(html.contains("under 1,500") && html.contains("7,500 or more"), "{html}");
    assert!(html.contains("<title>Monday 08 to 09: 9,400 sign-ins an hour</title>"));
    assert!(chart.label.contains("most on Monday 08 UTC with 9,400"), "{}", chart.label);
    assert_eq!(chart.table.rows[6][4], "not known");
    for greatest in [0.0, 0.4, 1.0, 5.0, 6.0, 10.0, 12.0, 999.0, 1e9] {
        let steps = super::heat::steps(greatest);
        assert_eq!(steps.len(), 5, "{greatest}");
        assert!(steps.is_sorted_by(|less, more| less < more), "{greatest} {steps:?}");
        let step = super::heat::step_of(greatest, &steps);
        assert!(step == 5 || greatest < 5.0, "{greatest} {steps:?}");
    }
}

fn weeks() -> Retention {
    let cohort = |day, users, came: &[Option<u64>]| Cohort {
        week: on(2026, Month::November, day),
        users,
        came: came.to_vec(),
    };
    let cohorts = vec![
        cohort(2, 1_000, &[Some(930), Some(620), Some(500), Some(450)]),
        cohort(9, 3_000, &[Some(2_000), None, Some(1)]),
        cohort(16, 0, &[Some(0), Some(0)]),
    ];
    let caption = Caption::default();
    Retention { caption, cohorts, this_week: on(2026, Month::November, 23) }
}

#[test]
fn weeks_are_in_a_hundred_and_the_one_that_is_not_over_has_an_asterisk() {
    let chart = retention(&weeks());
    let html = chart.to_string();
    is_clean(&html);
    assert!(
        html.contains("<td class=\"cell heat-5\">93</td>")
            && html.contains("<td class=\"cell heat-3\">62</td>")
    );
    assert!(html.contains("45<span class=\"star\">*</span>"), "{html}");
    assert_eq!(count(&html, "not known"), 3, "one week, and nobody's shares");
    assert!(chart.label.contains("Week 0: 73 in a hundred. Week 1: 62 in a hundred."), "{}", chart.label);
    assert_eq!(chart.table.rows[0], ["2 Nov 2026", "1000", "930", "620", "500", "450"]);
    assert_eq!([percent(1, 3), percent(2, 3), percent(0, 0)], [Some(33), Some(67), None]);
}

fn rows(rows: &[(&str, u64, bool)]) -> Vec<Share> {
    let row = |(name, value, is_rest): &(&str, u64, bool)| Share {
        name: (*name).to_owned(),
        value: *value,
        is_rest: *is_rest,
    };
    rows.iter().map(row).collect()
}

#[test]
fn parts_are_in_a_hundred_or_counted() {
    let parts = rows(&[
        ("Mobile", 610, false),
        ("Desktop", 388, false),
        ("Tablet", 2, false),
        ("Not known", 0, true),
    ]);
    let of = |show| Shares {
        caption: Caption::default(),
        rows: parts.clone(),
        show,
        things: "users",
        whole: None,
    };
    let html = shares(&of(Show::Percent)).to_string();
    is_clean(&html);
    assert!(
        html.contains("width=\"61.00%\"") && html.contains(">61 %<") && html.contains("under 1 %"),
        "{html}"
    );
    assert!(html.contains("tone-0") && html.contains(">0 %<"));
    let html = shares(&of(Show::Count)).to_string();
    assert!(html.contains("width=\"100.00%\"") && html.contains(">610<"), "{html}");
    let nothing = Shares { rows: rows(&[("Mobile", 0, false)]), ..of(Show::Percent) };
    let chart = shares(&nothing);
    is_clean(&chart.to_string());
    assert!(chart.label.ends_with("None."), "{}", chart.label);
}

#[test]
fn names_of_others_do_nothing() {
    let evil = "<script>alert(1)</script>\"' onload=x \u{202e}exe";
    let long = "x".repeat(1_000);
    let rows = rows(&[(evil, 7, false), (&long, 3, false)]);
    let shares = shares(&Shares {
        caption: Caption::default(),
        rows,
        show: Show::Count,
        things: "users",
        whole: None,
    });
    let title = Some(evil.to_owned());
    let links = Links { csv: "/a.csv?x=1&y=\"".to_owned(), json: "/a.json".to_owned() };
    let caption = Caption { title, sum: title_of(evil), measure: title_of(evil), links: Some(links) };
    let bars = bars(&Bars { caption: caption.clone(), ..of_days(&[Some(1.0)]) });
    let lines = lines(&Lines { caption, ..of_lines(vec![line(evil, &[Some(1.0)])]) });
    for html in [shares.to_string(), bars.to_string(), lines.to_string()] {
        assert!(!html.contains("<script>") && !html.contains("\"' onload"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;"), "{html}");
    }
    assert!(shares.to_string().contains("U+202E") && !shares.to_string().contains('\u{202e}'));
    assert!(!shares.to_string().contains(&"x".repeat(201)));
    assert!(bars.to_string().contains("href=\"/a.csv?x=1&amp;y=&quot;\""));
}

fn title_of(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_chart_without_a_title_has_none_and_a_small_one_no_table() {
    let chart = bars(&Bars { caption: Caption::default(), size: Size::Small, ..of_days(&[Some(1.0)]) });
    let html = chart.to_string();
    assert!(!html.contains("figcaption") && !html.contains("<h3") && !html.contains("details"), "{html}");
    let caption = Caption { title: title_of("Applied"), sum: title_of("6,915"), ..Caption::default() };
    let html = bars(&Bars { caption, size: Size::Small, ..of_days(&[Some(1.0)]) }).to_string();
    assert!(
        html.contains("Applied <span class=\"chart-sum\">6,915</span>") && html.contains("height=\"56\"")
    );
}

#[test]
fn a_change_is_ten_per_cent_or_none() {
    assert_eq!(change(1_000.0, 1_110.0), title_of("+ 11 %"));
    assert_eq!(change(1_000.0, 750.0), title_of("− 25 %"));
    assert_eq!(change(1_000.0, 1_090.0), None);
    assert_eq!(change(3.0, 6.0), None, "of a few, nothing follows");
    assert_eq!(change(0.0, 1_000.0), None);
    let rising: Vec<_> = (0..9).map(|day| Some(if day < 3 { 100.0 } else { 126.0 })).collect();
    assert_eq!(trend("New users", &rising), title_of("New users rise by 26 %"));
    assert_eq!(trend("New users", &[Some(100.0); 9]), None);
    assert_eq!(trend("New users", &[None; 9]), None);
    assert_eq!(trend("New users", &[]), None);
}

#[test]
fn a_peak_stands_out_of_what_is_usual() {
    let first = on(2026, Month::October, 20);
    let mut values = vec![Some(100.0); 14];
    assert_eq!(stands_out(first, &values), None);
    values[7] = Some(330.0);
    assert_eq!(stands_out(first, &values), title_of("27 Oct stands out"));
    values[8] = Some(320.0);
    assert_eq!(stands_out(first, &values), None, "two peaks are no one's");
    assert_eq!(stands_out(first, &[Some(0.0); 14]), None);
}

#[test]
fn working_days_weekends_and_hours_have_a_rhythm() {
    let monday = on(2026, Month::October, 19);
    let week = |work, weekend| (0..14).map(move |day| Some(if day % 7 < 5 { work } else { weekend }));
    let said = |work, weekend| rhythm("Sign-ins", monday, &week(work, weekend).collect::<Vec<_>>());
    assert_eq!(said(100.0, 50.0), title_of("Sign-ins keep to working days"));
    assert_eq!(said(50.0, 100.0), title_of("Sign-ins keep to weekends"));
    assert_eq!(said(100.0, 90.0), None);
    let mut values = [[Some(10.0); 24]; 7];
    assert_eq!(busiest(&values), None);
    values[0][8] = Some(90.0);
    values[6][3] = Some(1.0);
    let found = busiest(&values);
    assert_eq!(found, title_of("Mondays at 08 UTC are busiest, Sundays at 03 UTC are quietest"));
    assert_eq!(busiest(&[[None; 24]; 7]), None);
}

#[test]
fn half_of_the_whole_has_a_name() {
    let said = |parts: &[(&str, u64, bool)]| leads(&rows(parts));
    assert_eq!(said(&[("Mobile", 610, false), ("Desktop", 390, false)]), title_of("Mobile makes 61 %"));
    let both = [("Portugal", 300, false), ("Spain", 220, false), ("Other", 480, true)];
    assert_eq!(said(&both), title_of("Portugal and Spain make 52 %"));
    assert_eq!(said(&[("a", 200, false), ("b", 200, false), ("c", 200, false), ("d", 400, true)]), None);
    assert_eq!(said(&[("Mobile", 6, false), ("Desktop", 4, false)]), None);
    assert_eq!(said(&[]), None);
    assert_eq!(comes_back(&weeks()), None, "the third week is not over");
    let this_week = on(2026, Month::November, 30);
    let said = comes_back(&Retention { this_week, ..weeks() });
    assert_eq!(said, title_of("After three weeks, 45 in a hundred keep coming"));
    assert_eq!(holds(620, 1_000), title_of("Of 100 users of a month, 62 came in the last week"));
    assert_eq!(holds(1, 2), None);
}
