//! The path of failed sign-ins: into their ledger, each once by its own id, and onto no row of anybody's. Many to a message,
//! so that all failures of a batch are a few statements, however many there are.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Instant;

use cognito_user_sync_triggers::event::{EventId, Failure as Failed, FailureGroup, FailuresEvent};
use cognito_user_sync_triggers::text::Text;
use serde::Serialize;

use crate::postgres::Purpose;
use crate::store::apply::batch::Batch;
use crate::store::apply::{Applier, cause, outcomes_for};
use crate::store::outcome::{Outcome, Rejection, RetryCause};
use crate::store::tables::failure::{Failure, OF_A_BATCH, retry_conflicts};
use crate::store::tables::failures::{self, Network, Row};
use crate::store::tables::ledger;

/// Most rows of one transaction: well under a second of work, so that nobody waits for long who meets it.
const ROWS_MAX: usize = 10_000;

/// The longest networks that are kept, of IPv4 and of IPv6: what is longer would be an address.
const NETWORK_LENGTHS: (u8, u8) = (24, 48);

/// The failures of a batch.
#[derive(Default)]
struct Found<'a> {
    /// Each once, in the order of the ids.
    rows: Vec<Row<'a>>,
    /// What became of each row.
    outcomes: Vec<Outcome>,
    /// Every failure by its id, and in which message it is, of those that the ledger takes.
    taken: Vec<(EventId, usize)>,
    /// In which message one is that the ledger does not take, and why.
    refused: Vec<(usize, Rejection)>,
}

impl Applier {
    /// Records the failures of a batch's messages, each at its place, and says what became of each message. One that is not
    /// recorded whole is not acknowledged as if it were: what fits is recorded all the same, and counts once if it comes again.
    pub(super) async fn apply_failures(
        &self,
        messages: &[(usize, &FailuresEvent<'_>)],
        deadline: Instant,
    ) -> Vec<(usize, Outcome)> {
        if messages.is_empty() {
            return Vec::new();
        }
        let latest = ledger::latest();
        let failures = messages.iter().flat_map(|(_, event)| event.data.iter());
        let ids: Vec<EventId> = failures.map(|(_, failure)| failure.id).collect();
        let horizon = match self.record_horizon.covering(self.database(), &ids, latest).await {
            Ok(horizon) => horizon,
            Err(failure) => {
                let retry = outcomes_for(messages.iter().map(|(_, event)| event.id), &failure);
                return messages.iter().map(|(at, _)| *at).zip(retry.map(|(_, outcome)| outcome)).collect();
            }
        };
        let mut found = Found::of(messages, |id| horizon.check(id, latest));
        self.record_failures(&mut found, deadline).await;
        messages.iter().zip(found.by_message(messages)).map(|((at, _), outcome)| (*at, outcome)).collect()
    }

    /// Records rows, [`ROWS_MAX`] at a time. Of a part that fails because of a row, each half is tried by itself; anything else
    /// would fail all the rest, too.
    async fn record_failures(&self, found: &mut Found<'_>, deadline: Instant) {
        let starts = (0..found.rows.len()).step_by(ROWS_MAX);
        let mut waiting: Vec<Range<usize>> =
            starts.map(|start| start..found.rows.len().min(start + ROWS_MAX)).rev().collect();
        while let Some(part) = waiting.pop() {
            // Some are recorded whenever a batch comes, however long its contexts took.
            if Instant::now() >= deadline && part.start > 0 {
                return;
            }
            // A batch may be long: the other loops go on in between.
            tokio::task::yield_now().await;
            let rows = found.rows.get(part.clone()).unwrap_or_default();
            let outcome = match retry_conflicts(OF_A_BATCH, || self.try_record(rows)).await {
                Ok(outcomes) => {
                    found.set(part, outcomes);
                    continue;
                }
                Err(failure @ Failure::HorizonMoved) => {
                    self.record_horizon.forget();
                    Outcome::Retry(cause(&failure))
                }
                Err(failure) if is_of_one_row(&failure) || self.is_suspected(&failure).await => {
                    let middle = part.start + part.len() / 2;
                    if part.len() > 1 {
                        waiting.extend([middle..part.end, part.start..middle]);
                        continue;
                    }
                    // As a batch of one, as far as it is asked.
                    let heartbeats = rows.iter().map(|row| (row.id, &[][..])).collect();
                    self.disposition_of(&failure, &Batch { heartbeats, ..Batch::default() }).await
                }
                Err(failure) => {
                    drop(outcomes_for(std::iter::empty(), &failure));
                    let rest = part.start..found.rows.len();
                    return found.set(rest, std::iter::repeat(Outcome::Retry(cause(&failure))));
                }
            };
            found.set(part, std::iter::repeat(outcome));
        }
    }

    /// Commits rows, and says of each whether it is new.
    async fn try_record(&self, rows: &[Row<'_>]) -> Result<Vec<Outcome>, Failure> {
        let mut tx = self.database().begin(Purpose::Events).await.map_err(Failure::before_any_row)?;
        // Months that are being dropped: nobody waits for these, and the others go through.
        let held = ledger::held_records(&mut tx, rows.iter().map(|row| row.id)).await?;
        let open: Cow<'_, [Row<'_>]> = match held.is_empty() {
            true => Cow::Borrowed(rows),
            false => Cow::Owned(rows.iter().filter(|row| !held.contains(&row.id)).cloned().collect()),
        };
        let fresh = match failures::insert(&mut tx, &open).await.map_err(Failure::from) {
            Ok(fresh) => fresh,
            Err(failure) => {
                if is_of_one_row(&failure) || !matches!(failure, Failure::Unavailable(_)) {
                    tx.rollback().await?;
                }
                // Else it may be in the middle of something: without its end it loses the connection.
                return Err(failure);
            }
        };
        tx.commit().await?;
        let count = fresh.as_ref().map_or(open.len(), HashSet::len);
        ::metrics::counter!("failures_recorded").increment(u64::try_from(count).unwrap_or(u64::MAX));
        let is_new = |row: &Row<'_>| fresh.as_ref().is_none_or(|fresh| fresh.contains(&row.id.uuid()));
        let outcome = |row: &Row<'_>| match is_new(row) {
            _ if held.contains(&row.id) => Outcome::Retry(RetryCause::Conflict),
            true => Outcome::Applied,
            false => Outcome::Duplicate,
        };
        Ok(rows.iter().map(outcome).collect())
    }
}

/// Whether the others can go through without one row. Who meets others waits for them again, whatever the number of rows.
fn is_of_one_row(failure: &Failure) -> bool {
    failure.is_of_one_event() && !matches!(failure, Failure::Conflict { .. } | Failure::Blocked { .. })
}

impl<'a> Found<'a> {
    fn of(
        messages: &[(usize, &'a FailuresEvent<'a>)],
        check: impl Fn(EventId) -> Result<(), Rejection>,
    ) -> Self {
        let (mut refused, mut all) = (Vec::new(), Vec::new());
        for (message, (_, event)) in messages.iter().enumerate() {
            let reported_by = event.data.reported_by.as_str();
            for group in &event.data.groups {
                let network = group.network.as_deref().and_then(network);
                for failure in &group.failures {
                    match check(failure.id) {
                        Ok(()) => {
                            let row = row(&event.user_pool_id, group, failure, network, reported_by);
                            all.push((message, row));
                        }
                        Err(rejection) => refused.push((message, rejection)),
                    }
                }
            }
        }
        all.sort_unstable_by_key(|(message, row)| (row.id, *message));
        let taken = all.iter().map(|(message, row)| (row.id, *message)).collect();
        let mut rows: Vec<Row<'a>> = all.into_iter().map(|(_, row)| row).collect();
        rows.dedup_by_key(|row| row.id);
        // Until it is known, and for what there is no time for.
        let outcomes = vec![Outcome::Retry(RetryCause::Conflict); rows.len()];
        Self { rows, outcomes, taken, refused }
    }

    fn set(&mut self, rows: Range<usize>, outcomes: impl IntoIterator<Item = Outcome>) {
        let places = self.outcomes.get_mut(rows).unwrap_or_default();
        places.iter_mut().zip(outcomes).for_each(|(place, outcome)| *place = outcome);
    }

    /// What became of each message: what is worst of its failures, but that one that is new makes it new. Of several messages
    /// with one failure, the first has it new.
    fn by_message(&self, messages: &[(usize, &FailuresEvent<'_>)]) -> Vec<Outcome> {
        let mut by_message = vec![Outcome::Duplicate; messages.len()];
        let mut put = |message: usize, outcome: Outcome| {
            let place = by_message.get_mut(message).filter(|place| weight(place) < weight(&outcome));
            place.into_iter().for_each(|place| *place = outcome.clone());
        };
        let occurrences = self.taken.chunk_by(|(id, _), (other, _)| id == other);
        for (outcome, messages) in self.outcomes.iter().zip(occurrences) {
            for (nth, (_, message)) in messages.iter().enumerate() {
                let is_repeat = nth > 0 && *outcome == Outcome::Applied;
                put(*message, if is_repeat { Outcome::Duplicate } else { outcome.clone() });
            }
        }
        for refused in self.refused.chunk_by(|(message, _), (other, _)| message == other) {
            // What may be taken later counts before what never can.
            let later = refused.iter().find(|(_, rejection)| rejection.reason != "too_old");
            let Some((message, rejection)) = later.or(refused.first()) else { continue };
            let whole = messages.get(*message).map_or(0, |(_, event)| event.data.len());
            let others = if refused.len() < whole { "; the others are recorded" } else { "" };
            let detail = format!("{} ({} of {whole} failures{others})", rejection.detail, refused.len());
            let field = "data.groups.failures.id".to_owned();
            put(*message, Outcome::Rejected(Rejection { reason: rejection.reason, field, detail }));
        }
        by_message
    }
}

/// Which of two outcomes of one message's failures is the message's.
fn weight(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Duplicate => 0,
        Outcome::Applied => 1,
        Outcome::Rejected(_) => 2,
        Outcome::Obstructed(_) => 3,
        // Nothing of it may be acknowledged.
        Outcome::Retry(_) => 4,
    }
}

fn row<'a>(
    user_pool_id: &'a str,
    group: &'a FailureGroup<'a>,
    failure: &'a Failed<'a>,
    network: Option<Network>,
    reported_by: &'static str,
) -> Row<'a> {
    Row {
        id: failure.id,
        user: failure.sub,
        user_pool_id,
        client_id: group.client_id.as_deref(),
        reason: group.reason.as_deref(),
        network,
        reported_by,
        data: details(failure),
    }
}

/// What is kept of a failure that nothing is counted by.
#[derive(Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<&'a Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<&'a Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a Text<'a>>,
}

fn details(failure: &Failed<'_>) -> Option<String> {
    let Failed { ip, user_agent, city, country, .. } = failure;
    let is_any = [ip, user_agent, city, country].into_iter().any(Option::is_some);
    let details = Details {
        ip: ip.as_ref(),
        user_agent: user_agent.as_ref(),
        city: city.as_ref(),
        country: country.as_ref(),
    };
    // Texts are always JSON.
    is_any.then(|| serde_json::to_string(&details).ok()).flatten()
}

/// The network of a text, as PostgreSQL takes it, and no longer than [`NETWORK_LENGTHS`]: whoever sends more sends an address.
fn network(text: &str) -> Option<Network> {
    let text = text.trim();
    let (address, length) = text.split_once('/').map_or((text, None), |(ip, length)| (ip, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let (longest, all) = match address {
        IpAddr::V4(_) => (NETWORK_LENGTHS.0, 32),
        IpAddr::V6(_) => (NETWORK_LENGTHS.1, 128),
    };
    let length = length.map_or(Some(all), |length| length.parse::<u8>().ok().filter(|length| *length <= all));
    Some(Network::of(address, length?.min(longest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_postgresql_takes_and_no_address() {
        for (text, expected) in [
            ("203.0.113.0/24", Some("203.0.113.0/24")),
            (" 203.0.113.9/24", Some("203.0.113.0/24")),
            ("203.0.113.9", Some("203.0.113.0/24")),
            ("203.0.113.9/32", Some("203.0.113.0/24")),
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("2001:db8:1:2::3/64", Some("2001:db8:1::/48")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("203.0.113/24", None),
            ("203.0.113.0/33", None),
            ("203.0.113.0/", None),
            ("2001:db8::/129", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
