//! The numbers of a range, read once, and each report's rows. Must not know how they are shown.

use serde_json::{Value, json};
use time::{Date, Duration};

use crate::console::Console;
use crate::console::analytics::range::Range;
use crate::console::trouble::Trouble;
use crate::store::daily::{self, Client, Cohort, Day, Failures, Share};
use cognito_user_sync_triggers::timestamp::Timestamp;

/// Clients and countries that are read; a pool has fewer.
const MOST: u32 = 2_000;

/// What is counted of a range.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) range: Range,
    pub(super) counted_at: Option<Timestamp>,
    /// A day each; `None` of which nothing is known.
    pub(super) days: Vec<(Date, Option<Day>)>,
    /// As many days before.
    pub(super) before: Vec<Day>,
    /// At the end of the range.
    pub(super) users: i64,
    pub(super) clients: Vec<Client>,
    pub(super) failures: Vec<Failures>,
    pub(super) devices: Vec<Share>,
    pub(super) countries: Vec<Share>,
    pub(super) cohorts: Vec<Cohort>,
}

impl Numbers {
    pub(super) async fn read(console: &Console, range: Range) -> Result<Self, Trouble> {
        let (reads, from, to) = (&console.reads, range.from, range.to);
        let counted_at = daily::counted_at(reads).await?;
        let (before, within): (Vec<Day>, Vec<Day>) =
            daily::days(reads, range.before(), to).await?.into_iter().partition(|day| day.day < from);
        let mut within = within.into_iter().peekable();
        let days = (0..range.days()).filter_map(|index| from.checked_add(Duration::days(index)));
        let days = days.map(|day| (day, within.next_if(|found| found.day == day))).collect();
        Ok(Self {
            counted_at,
            days,
            before,
            users: daily::users_until(reads, to).await?,
            clients: daily::clients(reads, from, to, MOST).await?,
            failures: daily::failures(reads, from, to).await?,
            devices: daily::shares(reads, "device", MOST).await?,
            countries: daily::shares(reads, "country", MOST).await?,
            cohorts: daily::retention(reads, from, to).await?,
            range,
        })
    }

    /// One number a day.
    pub(super) fn by_day(&self, number: impl Fn(&Day) -> Option<i64>) -> Vec<Option<f64>> {
        let of = |(_, day): &(Date, Option<Day>)| Some(number(day.as_ref()?)? as f64);
        self.days.iter().map(of).collect()
    }

    /// Users who were created, a day each: a day without a row has none.
    pub(super) fn growth(&self) -> Vec<Option<f64>> {
        self.days.iter().map(|(_, day)| Some(day.as_ref().map_or(0, |day| day.users) as f64)).collect()
    }

    /// The sum of what is known.
    pub(super) fn sum(&self, number: impl Fn(&Day) -> Option<i64>) -> i64 {
        self.days.iter().filter_map(|(_, day)| number(day.as_ref()?)).sum()
    }

    /// Logins of the same number of days before, if all are known.
    pub(super) fn logins_before(&self) -> Option<i64> {
        let known: Vec<i64> = self.before.iter().filter_map(|day| day.logins).collect();
        (i64::try_from(known.len()) == Ok(self.range.days())).then(|| known.iter().sum())
    }

    /// The mean of each hour by weekday, of days that are over.
    pub(super) fn hours(&self) -> [[Option<f64>; 24]; 7] {
        let mut sums = [[(0_i64, 0_u32); 24]; 7];
        for (date, day) in &self.days {
            let is_over = *date < self.range.today;
            let Some(hours) = day.as_ref().and_then(|day| day.hours.as_ref()).filter(|_| is_over) else {
                continue;
            };
            let weekday = usize::from(date.weekday().number_days_from_monday());
            for (sum, logins) in sums.iter_mut().skip(weekday).take(1).flatten().zip(hours) {
                *sum = (sum.0 + logins, sum.1 + 1);
            }
        }
        sums.map(|hours| hours.map(|(sum, days)| (days > 0).then(|| sum as f64 / f64::from(days))))
    }
}

/// What there are figures of, and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Growth,
    Active,
    Logins,
    Hours,
    Retention,
    FirstLogin,
    Devices,
    Countries,
    Clients,
    Failures,
}

/// A report's rows: names, and as many values a row.
pub(super) struct Rows {
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Report {
    pub(super) const ALL: [Self; 10] = [
        Self::Growth,
        Self::Active,
        Self::Logins,
        Self::Hours,
        Self::Retention,
        Self::FirstLogin,
        Self::Devices,
        Self::Countries,
        Self::Clients,
        Self::Failures,
    ];

    /// As URLs and files name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Growth => "growth",
            Self::Active => "active-users",
            Self::Logins => "logins",
            Self::Hours => "hours",
            Self::Retention => "retention",
            Self::FirstLogin => "first-login",
            Self::Devices => "devices",
            Self::Countries => "countries",
            Self::Clients => "clients",
            Self::Failures => "failures",
        }
    }

    pub(super) fn rows(self, numbers: &Numbers) -> Rows {
        let (head, rows): (&[&'static str], Vec<Vec<Value>>) = match self {
            Self::Growth => {
                let row = |(day, found): &(Date, Option<Day>)| {
                    vec![text(*day), found.as_ref().map_or(0, |day| day.users).into()]
                };
                (&["day", "users"], numbers.days.iter().map(row).collect())
            }
            Self::Active => (
                &["day", "signed_in_1_day", "signed_in_7_days", "signed_in_30_days"],
                of_days(numbers, |day| vec![day.active_1.into(), day.active_7.into(), day.active_30.into()]),
            ),
            Self::Logins => (&["day", "logins"], of_days(numbers, |day| vec![day.logins.into()])),
            Self::Hours => (&["weekday", "hour", "mean_logins"], hours(numbers)),
            Self::Retention => {
                (&["cohort_week", "week_number", "cohort_users", "signed_in_users"], cohorts(numbers))
            }
            Self::FirstLogin => (
                &["day", "created", "within_a_minute", "within_an_hour", "within_a_day", "within_7_days"],
                of_days(numbers, |day| {
                    let first = [day.first_minute, day.first_hour, day.first_day, day.first_week];
                    std::iter::once(day.created.into()).chain(first.map(Value::from)).collect()
                }),
            ),
            Self::Devices => (&["device", "users"], of_shares(&numbers.devices)),
            Self::Countries => (&["country", "users"], of_shares(&numbers.countries)),
            Self::Clients => {
                let row = |client: &Client| vec![known(&client.client_id), client.logins.into()];
                (&["client_id", "logins"], numbers.clients.iter().map(row).collect())
            }
            Self::Failures => {
                let row = |row: &Failures| {
                    vec![text(row.day), known(&row.reported_by), known(&row.reason), row.failures.into()]
                };
                (&["day", "reported_by", "reason", "failures"], numbers.failures.iter().map(row).collect())
            }
        };
        Rows { head: head.to_vec(), rows }
    }
}

fn text(day: Date) -> Value {
    Value::String(day.to_string())
}

/// Null where it is not known.
fn known(name: &str) -> Value {
    if name.is_empty() { Value::Null } else { name.into() }
}

/// Days of which nothing is known are left out.
fn of_days(numbers: &Numbers, values: impl Fn(&Day) -> Vec<Value>) -> Vec<Vec<Value>> {
    let found = numbers.days.iter().filter_map(|(_, day)| day.as_ref());
    let found = found.filter(|day| day.logins.is_some());
    found.map(|day| std::iter::once(text(day.day)).chain(values(day)).collect()).collect()
}

fn of_shares(shares: &[Share]) -> Vec<Vec<Value>> {
    shares.iter().map(|share| vec![known(&share.name), share.users.into()]).collect()
}

fn hours(numbers: &Numbers) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for (weekday, hours) in (1..).zip(numbers.hours()) {
        for (hour, mean) in hours.into_iter().enumerate() {
            // ISO's weekdays: Monday is 1.
            rows.push(vec![json!(weekday), json!(hour), json!(mean)]);
        }
    }
    rows
}

fn cohorts(numbers: &Numbers) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for cohort in &numbers.cohorts {
        for (number, week) in cohort.weeks.iter().enumerate() {
            rows.push(vec![text(cohort.week), json!(number), cohort.users.into(), week.signed_in.into()]);
        }
    }
    rows
}
