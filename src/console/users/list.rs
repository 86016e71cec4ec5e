//! The list of users: filters, a page, where it goes on. Shows which values a user has, and none of them.

use askama::Template;
use axum::extract::{Query, State};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::console::access::{Right, Visitor};
use crate::console::page::{Answer, Frame, Page, Section};
use crate::console::trouble::Trouble;
use crate::console::users::count::{self, Counted};
use crate::console::users::{short, standing};
use crate::console::words::filters;
use crate::console::{Shared, words};
use crate::store::directory::{self, COUNT_MAX, Filter, List, Listed, Order, Place, Seen, Standing, Total};

/// What the URL asks for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) status: String,
    pub(super) group: String,
    pub(super) pool: String,
    pub(super) seen: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) after: String,
}

/// The standings and times that the filters offer, with their words in the URL.
const STANDINGS: [(&str, Standing); 8] = [
    ("confirmed", Standing::Confirmed),
    ("external", Standing::External),
    ("unconfirmed", Standing::Unconfirmed),
    ("must-change-password", Standing::MustChangePassword),
    ("reset-required", Standing::ResetRequired),
    ("disabled", Standing::Disabled),
    ("deleted", Standing::Deleted),
    ("erased", Standing::Erased),
];
const TIMES: [(&str, &str, Seen); 5] = [
    ("24h", "In 24 hours", Seen::Day),
    ("7d", "In 7 days", Seen::Week),
    ("30d", "In 30 days", Seen::Month),
    ("over-90d", "Not for 90 days", Seen::Long),
    ("never", "Never", Seen::Never),
];

impl Asked {
    /// # Errors
    /// When it is nothing that this page writes into its links.
    pub(super) fn filter(&self) -> Result<Filter, Trouble> {
        let refused = |what: &str| Trouble::Refused(format!("There is no such {what} to filter by."));
        let standing = match self.status.as_str() {
            "" => None,
            word => Some(STANDINGS.iter().find(|(own, _)| *own == word).ok_or_else(|| refused("status"))?.1),
        };
        let seen = match self.seen.as_str() {
            "" => None,
            word => Some(TIMES.iter().find(|(own, _, _)| *own == word).ok_or_else(|| refused("time"))?.2),
        };
        let text = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        if self.group.contains('\0') || self.pool.contains('\0') {
            return Err(refused("group or pool"));
        }
        Ok(Filter { standing, group: text(&self.group), pool: text(&self.pool), seen })
    }

    /// The filters in words, each with its name.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let status = STANDINGS.iter().find(|(word, _)| *word == self.status);
        let seen = TIMES.iter().find(|(word, _, _)| *word == self.seen);
        let pairs = [
            ("Status", status.map_or("", |(_, own)| standing(Some(*own)))),
            ("Group", &self.group),
            ("Pool", &self.pool),
            ("Last sign-in", seen.map_or("", |(_, text, _)| text)),
        ];
        let facts: Vec<_> = pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if facts.is_empty() { vec![("Who".to_owned(), "everybody".to_owned())] } else { facts }
    }

    fn place(&self) -> Result<Option<Place>, Trouble> {
        if self.after.is_empty() {
            return Ok(None);
        }
        let refused =
            || Trouble::Refused("There is no such place in the list: begin at its first page.".to_owned());
        let (at, key) = match self.after.split_once('.') {
            Some((at, key)) => (Some(at), key),
            None => (None, self.after.as_str()),
        };
        let at = at.map(|at| {
            let micros: i128 = at.parse().map_err(|_| refused())?;
            let nanos = micros.checked_mul(1_000).ok_or_else(refused)?;
            OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| refused())
        });
        Ok(Some(Place { at: at.transpose()?, key: key.parse().map_err(|_| refused())? }))
    }

    /// The filters that are set, as a URL and a form have them.
    fn pairs(&self) -> Vec<(&'static str, &String)> {
        let pairs =
            [("status", &self.status), ("group", &self.group), ("pool", &self.pool), ("seen", &self.seen)];
        pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    fn url(&self, after: Option<Place>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let after = after.map(|Place { at, key }| match at {
            Some(at) => format!("{}.{key}", at.unix_timestamp_nanos() / 1_000),
            None => key.to_string(),
        });
        let after = after.unwrap_or_default();
        query.extend_pairs(self.pairs());
        if !after.is_empty() {
            query.append_pair("after", &after);
        }
        let query = query.finish();
        if query.is_empty() { "/users".to_owned() } else { format!("/users?{query}") }
    }
}

/// A user of a list, in words.
pub(super) struct Line {
    pub(super) sub: String,
    pub(super) short: String,
    pub(super) has: Vec<&'static str>,
    pub(super) standing: &'static str,
    pub(super) is_disabled: bool,
    pub(super) groups: String,
    pub(super) signs_in_with: String,
    pub(super) count: String,
    pub(super) last: String,
    pub(super) created: String,
}

impl Line {
    pub(super) fn of(user: Listed, now: Timestamp) -> Self {
        let sub = user.id.to_string();
        let address =
            |address: Option<bool>, verified, plain| address.map(|is| if is { verified } else { plain });
        let has = [
            user.has_name.then_some("name"),
            address(user.email, "e-mail ✓", "e-mail"),
            address(user.phone, "phone ✓", "phone"),
        ];
        let mut ways = user.providers;
        if user.has_password {
            ways.insert(0, "Password".to_owned());
        }
        Self {
            short: short(&sub).to_owned(),
            sub,
            has: has.into_iter().flatten().collect(),
            standing: standing(user.standing),
            is_disabled: user.standing == Some(Standing::Disabled),
            groups: user.groups.join(", "),
            signs_in_with: ways.join(", "),
            count: words::count(user.login_count),
            last: user.last_login_at.map_or_else(|| "never".to_owned(), |at| words::ago(at, now)),
            created: words::day(user.created_at),
        }
    }
}

type Options = Vec<(String, String, bool)>;

#[derive(Template)]
#[template(path = "users/list.html")]
pub(super) struct ListPage {
    frame: Frame,
    total: String,
    sentence: String,
    /// The filters, where there are too many to count on a page, and the visitor may have them counted.
    to_count: Option<Asked>,
    /// The task that counts them.
    counting: String,
    is_ready: bool,
    statuses: Options,
    groups: Options,
    pools: Options,
    times: Options,
    is_filtered: bool,
    lines: Vec<Line>,
    shown: String,
    first: String,
    next: String,
}

pub(super) async fn show(
    State(console): State<Shared>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Answer<ListPage> {
    let (filter, place, now) = (asked.filter()?, asked.place()?, Timestamp::now());
    let frame = Frame::of(&console, &visitor, Section::Users);
    let is_ready = directory::is_ready(&console.reads).await?;
    let choices = directory::choices(&console.reads).await?;
    let (list, total) = match is_ready {
        true => {
            let total = directory::total(&console.reads, &filter).await?;
            (directory::list(&console.reads, &filter, place, now).await?, total)
        }
        // Without its index a list would read the table to its end.
        false => (List { users: Vec::new(), order: filter.order(), next: None, looked: 0 }, None),
    };
    let is_filtered = filter != Filter::default();
    // What an index counts at once is no task's.
    let is_many = is_ready && !matches!(total, Some(Total::Exactly(_)));
    let counted = if is_many { count::counted(&console, &asked).await } else { Counted::default() };
    let may_count = is_many && visitor.may(Right::Act);
    Ok(Page(ListPage {
        frame,
        total: counted.number.map_or_else(|| about(total), count::words),
        sentence: sentence(
            counted.number.map(|(number, _)| Total::Exactly(number)).or(total),
            &list,
            &filter,
        ),
        to_count: Some(asked.clone()).filter(|_| may_count && counted.task.is_none()),
        counting: counted.task.unwrap_or_default(),
        is_ready,
        statuses: statuses(&asked),
        groups: texts(choices.groups, &asked.group),
        pools: texts(choices.pools, &asked.pool),
        times: times(&asked),
        is_filtered,
        shown: shown(&list, place.is_some()),
        first: if place.is_some() { asked.url(None) } else { String::new() },
        next: list.next.map(|place| asked.url(Some(place))).unwrap_or_default(),
        lines: list.users.into_iter().map(|user| Line::of(user, now)).collect(),
    }))
}

/// Beside the heading.
fn about(total: Option<Total>) -> String {
    match total {
        Some(Total::Exactly(count)) => words::count(count),
        Some(Total::More(Some(estimate))) => format!("about {}", words::count(rounded(estimate))),
        Some(Total::More(None)) => words::at_least(COUNT_MAX + 1, COUNT_MAX),
        None => String::new(),
    }
}

/// Of an estimate no more than it knows.
fn rounded(estimate: u64) -> u64 {
    estimate / 1_000 * 1_000
}

fn sentence(total: Option<Total>, list: &List, filter: &Filter) -> String {
    let count = match total {
        Some(Total::Exactly(1)) => "1 user. ".to_owned(),
        Some(Total::Exactly(count)) => format!("{} users. ", words::count(count)),
        Some(Total::More(_)) => format!("More than {} users. ", words::count(COUNT_MAX)),
        None => String::new(),
    };
    let order = match list.order {
        Order::LatestSignIn => "Latest sign-in first.",
        Order::Newest => "Newest first.",
        Order::Sub => "By sub.",
    };
    // Who has not signed in for as long as the ledger goes back is in none of its months.
    let beyond = match (list.order, list.next, filter.seen) {
        (Order::LatestSignIn, None, None) => {
            " Who signed in before the ledger's oldest month, or never, is under Not for 90 days and Never."
        }
        (Order::LatestSignIn | Order::Newest | Order::Sub, _, _) => "",
    };
    format!("{count}{order}{beyond}")
}

/// Beneath the list: what was looked at, where that is not all of what is shown.
fn shown(list: &List, goes_on: bool) -> String {
    let count = list.users.len();
    let looked = words::count(u64::try_from(list.looked).unwrap_or(u64::MAX));
    match (count, list.next, goes_on) {
        (0, Some(_), _) => format!("None of the {looked} looked at. The list goes on"),
        (directory::PAGE, _, false) | (_, None, false) => format!("1 to {count}"),
        (_, Some(_), _) if count < directory::PAGE => {
            format!("{count} of the {looked} looked at. The list goes on")
        }
        (_, _, _) => format!("{count} more"),
    }
}

fn statuses(asked: &Asked) -> Options {
    let any = [(String::new(), "Any".to_owned(), asked.status.is_empty())];
    let all = STANDINGS.iter();
    let own =
        all.map(|(word, own)| ((*word).to_owned(), standing(Some(*own)).to_owned(), asked.status == *word));
    any.into_iter().chain(own).collect()
}

fn times(asked: &Asked) -> Options {
    let any = [(String::new(), "Any time".to_owned(), asked.seen.is_empty())];
    let all = TIMES.iter();
    any.into_iter()
        .chain(all.map(|(word, text, _)| ((*word).to_owned(), (*text).to_owned(), asked.seen == *word)))
        .collect()
}

/// What others chose, and what is asked for though nobody knows it.
fn texts(values: Vec<String>, chosen: &str) -> Options {
    let mut options = vec![(String::new(), "Any".to_owned(), chosen.is_empty())];
    if !chosen.is_empty() && !values.iter().any(|value| value == chosen) {
        options.push((chosen.to_owned(), words::Foreign(chosen).to_string(), true));
    }
    options.extend(values.into_iter().map(|value| {
        let (shown, is_chosen) = (words::Foreign(&value).to_string(), value == chosen);
        (value, shown, is_chosen)
    }));
    options
}
