//! Counts what pairs and what only one side has, by day, client and reason. Pure: must not know where logins and records are
//! kept, and reads no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use cognito_user_sync_triggers::event::{EventId, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::store::maintenance::audit::pair::{Moment, Pairs, Sides};
use crate::store::maintenance::audit::{
    Audited, Away, Counts, INSTEAD_MAX, OfReporter, OneSided, Question, Reason,
};
use crate::store::model::contexts::{LARGEST_BACK_WINDOW_MILLIS, window};

/// What a flow of refreshed tokens begins with, as REFRESH_TOKEN_AUTH does ("InitiateAuth", `AuthFlow`).
const REFRESH: &str = "REFRESH";

/// What CloudTrail's names of managed login's endpoints end with, such as `login_POST` ("Logging Amazon Cognito API calls").
const ENDPOINTS: [&str; 2] = ["_POST", "_GET"];

/// A login, or a record of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) id: EventId,
    /// The client's number in [`Tally`].
    pub(super) client: Option<u32>,
    pub(super) seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Login { is_federated: bool },
    Success { reporter: Reporter, is_at_managed_login: bool },
    Refresh { reporter: Reporter },
}

impl Seen {
    /// What a record of this flow is.
    pub(super) fn success(reporter: Reporter, flow: Option<&str>) -> Self {
        let flow = flow.unwrap_or_default().to_ascii_uppercase();
        match flow.starts_with(REFRESH) {
            true => Self::Refresh { reporter },
            false => Self::Success {
                reporter,
                is_at_managed_login: ENDPOINTS.iter().any(|endpoint| flow.ends_with(endpoint)),
            },
        }
    }
}

impl Item {
    fn moment(&self) -> Moment {
        Moment { at: at(self.id.time()), client: self.client }
    }
}

fn at(time: Timestamp) -> i64 {
    i64::try_from(time.unix_millis()).unwrap_or(i64::MAX)
}

/// What one user's neighbours in time are: no two of them further apart than any window reaches, so that nothing outside has to
/// do with it.
pub(super) struct Run {
    user: Uuid,
    items: Vec<Item>,
}

impl Run {
    pub(super) fn of(user: Uuid) -> Self {
        Self { user, items: Vec::new() }
    }

    pub(super) fn goes_on(&self, user: Uuid, next: &Item) -> bool {
        let gap = |last: &Item| at(next.id.time()) - at(last.id.time());
        self.user == user && self.items.last().is_none_or(|last| gap(last) <= LARGEST_BACK_WINDOW_MILLIS)
    }

    pub(super) fn push(&mut self, item: Item) {
        self.items.push(item);
    }
}

/// App clients that are told apart: a pool has at most 1,000, unless its quota was raised ("Quotas in Amazon Cognito").
const MOST_CLIENTS: usize = 10_000;

/// The counts so far.
pub(super) struct Tally<'a, F> {
    question: &'a Question,
    found: F,
    reporters: BTreeSet<Reporter>,
    days: BTreeMap<(Date, Option<u32>), Counts>,
    clients: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl<'a, F: FnMut(OneSided)> Tally<'a, F> {
    pub(super) fn new(question: &'a Question, reporters: BTreeSet<Reporter>, found: F) -> Self {
        let (days, clients, numbers) = (BTreeMap::new(), Vec::new(), HashMap::new());
        Self { question, found, reporters, days, clients, numbers }
    }

    /// A client's number.
    pub(super) fn client(&mut self, name: Option<&str>) -> Option<u32> {
        let name = name?;
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        // Whoever may send contexts may name any.
        if self.clients.len() >= MOST_CLIENTS {
            return u32::try_from(MOST_CLIENTS - 1).ok();
        }
        let is_last = self.clients.len() == MOST_CLIENTS - 1;
        let number = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        self.clients.push(if is_last { "(others)".to_owned() } else { name.to_owned() });
        if is_last {
            return Some(number);
        }
        self.numbers.insert(name.to_owned(), number);
        Some(number)
    }

    fn name(&self, client: Option<u32>) -> Option<&String> {
        client.and_then(|number| self.clients.get(usize::try_from(number).ok()?))
    }

    fn is_asked(&self, item: &Item) -> bool {
        (self.question.from..self.question.to).contains(&item.id.time())
    }

    fn counts(&mut self, item: &Item) -> &mut Counts {
        let day = OffsetDateTime::from(item.id.time()).date();
        self.days.entry((day, item.client)).or_default()
    }

    fn of(&mut self, reporter: Reporter, item: &Item) -> &mut OfReporter {
        self.counts(item).reporters.entry(reporter).or_default()
    }

    /// Counts what names no user.
    pub(super) fn of_nobody(&mut self, item: &Item) {
        if !self.is_asked(item) {
            return;
        }
        match item.seen {
            // A login always names its user.
            Seen::Login { .. } => {}
            Seen::Success { reporter, .. } => self.of(reporter, item).without_user += 1,
            Seen::Refresh { reporter } => self.of(reporter, item).refreshes += 1,
        }
    }

    /// Pairs and counts what one user's run has, each reporter by itself.
    pub(super) fn add(&mut self, run: &Run) {
        let mut logins = Vec::new();
        let mut successes: BTreeMap<Reporter, Vec<&Item>> = BTreeMap::new();
        for item in &run.items {
            let is_asked = self.is_asked(item);
            match item.seen {
                Seen::Login { .. } => {
                    logins.push(item);
                    if is_asked {
                        self.counts(item).logins += 1;
                    }
                }
                Seen::Success { reporter, .. } => {
                    successes.entry(reporter).or_default().push(item);
                    if is_asked {
                        self.of(reporter, item).successes += 1;
                    }
                }
                Seen::Refresh { reporter } if is_asked => self.of(reporter, item).refreshes += 1,
                Seen::Refresh { .. } => {}
            }
        }
        for reporter in self.reporters.clone() {
            let successes = successes.remove(&reporter).unwrap_or_default();
            self.compare(run.user, reporter, &logins, &successes);
        }
    }

    fn compare(&mut self, user: Uuid, reporter: Reporter, logins: &[&Item], successes: &[&Item]) {
        let window = window(reporter);
        let moments = |items: &[&Item]| items.iter().map(|item| item.moment()).collect::<Vec<_>>();
        let (login_moments, success_moments) = (moments(logins), moments(successes));
        let sides = Sides { window: &window, logins: &login_moments, successes: &success_moments };
        let pairs = Pairs::of(sides);
        let ids = |items: &[&Item], places: Vec<usize>| {
            places.into_iter().filter_map(|place| Some(items.get(place)?.id)).collect::<Vec<_>>()
        };
        for (place, (login, success)) in logins.iter().zip(&pairs.of_logins).enumerate() {
            match success {
                _ if !self.is_asked(login) => {}
                Some(_) => self.of(reporter, login).paired += 1,
                None => {
                    let instead = pairs.instead_of_login(sides, place, INSTEAD_MAX);
                    self.left_over(user, reporter, login, reason_of_login(login), ids(logins, instead));
                }
            }
        }
        for (place, (success, login)) in successes.iter().zip(&pairs.of_successes).enumerate() {
            if login.is_none() && self.is_asked(success) {
                let instead = pairs.instead_of_success(sides, place, INSTEAD_MAX);
                let reason = self.reason_of_success(success, &window);
                self.left_over(user, reporter, success, reason, ids(successes, instead));
            }
        }
    }

    fn left_over(
        &mut self,
        user: Uuid,
        reporter: Reporter,
        item: &Item,
        reason: Reason,
        instead: Vec<EventId>,
    ) {
        *self.of(reporter, item).one_sided.entry(reason).or_default() += 1;
        let client_id = self.name(item.client).cloned();
        (self.found)(OneSided { user, id: item.id, client_id, reporter, reason, instead });
    }

    fn reason_of_success(&self, success: &Item, window: &RangeInclusive<i64>) -> Reason {
        let says_so = matches!(success.seen, Seen::Success { is_at_managed_login: true, .. });
        let is_client_of = |name: &String| self.question.managed_login_clients.contains(name);
        let time = at(success.id.time());
        // A call that ends a moment after the triggers are back began before.
        let is_within = |away: &Away| {
            at(away.from) <= time && away.until.is_none_or(|until| time <= at(until) + window.end())
        };
        match () {
            () if says_so || self.name(success.client).is_some_and(is_client_of) => Reason::ManagedLogin,
            () if self.question.away.iter().any(is_within) => Reason::TriggersAway,
            () => Reason::Lost,
        }
    }

    /// Logins that were compared so far.
    pub(super) fn logins(&self) -> u64 {
        self.days.values().map(|counts| counts.logins).sum()
    }

    pub(super) fn done(self) -> Audited {
        let mut audited = Audited { reporters: self.reporters, ..Audited::default() };
        for ((day, client), counts) in self.days {
            audited.total.logins += counts.logins;
            for (reporter, own) in &counts.reporters {
                audited.total.reporters.entry(*reporter).or_default().add(own);
            }
            let client = client.and_then(|number| self.clients.get(usize::try_from(number).ok()?).cloned());
            audited.days.insert((day, client), counts);
        }
        audited
    }
}

fn reason_of_login(login: &Item) -> Reason {
    match login.seen {
        Seen::Login { is_federated: true } => Reason::Federated,
        Seen::Login { is_federated: false } | Seen::Success { .. } | Seen::Refresh { .. } => {
            Reason::NotRecorded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_says_what_a_record_is() {
        let of = |flow| Seen::success(Reporter::CloudTrail, flow);
        let success =
            |is_at_managed_login| Seen::Success { reporter: Reporter::CloudTrail, is_at_managed_login };
        for (flow, seen) in [
            (None, success(false)),
            (Some("USER_PASSWORD_AUTH"), success(false)),
            (Some("SMS_MFA"), success(false)),
            (Some("login_POST"), success(true)),
            (Some("Token_POST"), success(true)),
            (Some("REFRESH_TOKEN_AUTH"), Seen::Refresh { reporter: Reporter::CloudTrail }),
            (Some("REFRESH_TOKEN"), Seen::Refresh { reporter: Reporter::CloudTrail }),
            (Some("refresh_token_auth"), Seen::Refresh { reporter: Reporter::CloudTrail }),
        ] {
            assert_eq!(of(flow), seen, "{flow:?}");
        }
    }
}
