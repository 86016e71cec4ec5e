//! Which of our pools an app client belongs to. Lists the clients of our own pools only, and remembers: must not know
//! whose user a record is about, or what is published.
//!
//! A client never moves to another pool, and its id is not made again: so what was learned of one stays true, also after
//! it was deleted, and a client that a whole listing does not have, which was begun after the client was used, is of
//! somebody else's pool.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::cognito::lifecycle::LifecycleError;
use crate::cognito::user_pool::{Pace, PoolError, SCHEDULE, UserPool};

/// ListUserPoolClients requests per second, of all pools together: less than a third of the account's quota of 15, and
/// below a pool's own of 5 ("Quotas in Amazon Cognito", category UserPoolClientRead).
pub(in crate::cognito) const CLIENT_LISTS_PER_SECOND: u32 = 4;

/// How long a listing of all pools may take. A pool has at most 1,000 clients, which are 17 pages, unless its quota was
/// raised.
const LISTING_BUDGET: Duration = Duration::from_secs(12);

/// How long a page is asked for again while Cognito throttles or is unavailable.
const PAGE_BUDGET: Duration = Duration::from_secs(5);

/// After which time a new client is in every listing. Listings may lag, so what a younger one lacks is asked for again.
const SETTLES_AFTER: Duration = Duration::from_secs(60);

/// How long nobody lists again after a listing that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Clients of others that are remembered: each costs one listing, and again when it has been forgotten.
const MOST_STRANGERS: usize = 10_000;

/// Whose an app client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cognito) enum Owner {
    /// That of our pool with this id.
    Ours(String),
    /// That of none of our pools.
    Stranger,
    /// It may be new, or it is not known since a listing failed.
    Unknown,
}

/// The app clients of our pools.
#[derive(Debug)]
pub(in crate::cognito) struct Clients {
    lists: Pace,
    /// Locked while a listing runs, so that who comes meanwhile needs none.
    known: tokio::sync::Mutex<Known>,
}

impl Clients {
    pub(in crate::cognito) fn at_rate(lists_per_second: u32) -> Self {
        Self { lists: Pace::new(lists_per_second), known: tokio::sync::Mutex::default() }
    }

    /// Whose the client is that was used at `at`; lists the clients of `pools` if that is not known.
    ///
    /// # Errors
    /// While Cognito is unavailable. A refusal is no error: it does not pass by itself.
    pub(in crate::cognito) async fn owner(
        &self,
        client: &str,
        at: Option<Timestamp>,
        pools: impl Iterator<Item = &UserPool>,
    ) -> Result<Owner, LifecycleError> {
        let mut known = self.known.lock().await;
        if let Some(owner) = known.owner(client, at, Timestamp::now())? {
            return Ok(owner);
        }
        let mut round = known.round.take().unwrap_or_else(Round::begin);
        match self.list(&mut known, &mut round, pools).await {
            Ok(()) => known.listed_at = Some(round.begun_at),
            Err(error) => {
                // The next listing goes on where this one was late.
                known.round = error.is_none().then_some(round);
                known.failed(error, Timestamp::now());
            }
        }
        Ok(known.owner(client, at, Timestamp::now())?.unwrap_or(Owner::Unknown))
    }

    /// Learns the clients of each pool that the round has not listed yet. One that cannot be listed keeps no other from it.
    async fn list(
        &self,
        known: &mut Known,
        round: &mut Round,
        pools: impl Iterator<Item = &UserPool>,
    ) -> Result<(), Option<PoolError>> {
        let all = async {
            for pool in pools.skip(round.pools) {
                if let Err(error) = self.list_pool(known, pool, &mut round.token).await {
                    metrics::counter!("clients_not_listed").increment(1);
                    tracing::warn!(
                        user_pool = pool.id(),
                        error = &error as &dyn std::error::Error,
                        "the app clients of a pool cannot be listed: records that name no pool wait, and deletions for reconcile"
                    );
                    // What passes by itself makes Lambda ask again, so it is not forgotten for what does not.
                    if !round.failure.as_ref().is_some_and(PoolError::is_transient) {
                        round.failure = Some(error);
                    }
                }
                round.pools += 1;
                round.token = None;
            }
        };
        let is_late = tokio::time::timeout(LISTING_BUDGET, all).await.is_err();
        if is_late {
            metrics::counter!("clients_not_listed").increment(1);
            tracing::warn!(
                "listing the app clients takes long: the next record that needs it goes on with it"
            );
            return Err(None);
        }
        round.failure.take().map_or(Ok(()), |error| Err(Some(error)))
    }

    /// Learns the clients of a pool, from the page of `token`, which is then the next page's.
    async fn list_pool(
        &self,
        known: &mut Known,
        pool: &UserPool,
        token: &mut Option<String>,
    ) -> Result<(), PoolError> {
        loop {
            let list = || async {
                self.lists.wait().await;
                pool.clients(token.as_deref()).await
            };
            let page = SCHEDULE.retry(PAGE_BUDGET, PoolError::is_transient, list).await?;
            known.ours.extend(page.ids.into_iter().map(|client| (client, pool.id().to_owned())));
            match page.next {
                Some(next) => *token = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// A listing of all pools, which may take several records.
#[derive(Debug)]
struct Round {
    begun_at: Timestamp,
    /// How many pools are listed.
    pools: usize,
    /// The next page of the pool after them.
    token: Option<String>,
    /// Why one of them is not.
    failure: Option<PoolError>,
}

impl Round {
    fn begin() -> Self {
        Self { begun_at: Timestamp::now(), pools: 0, token: None, failure: None }
    }
}

/// What has been learned, for as long as the process lives.
#[derive(Debug, Default)]
struct Known {
    /// The pool of each client of ours.
    ours: HashMap<String, String>,
    strangers: Strangers,
    /// When the last listing of all pools was begun that succeeded.
    listed_at: Option<Timestamp>,
    /// A listing that was late.
    round: Option<Round>,
    failure: Option<Failure>,
}

/// Why the last listing failed, and until when nobody tries again. Without an error it took too long.
#[derive(Debug)]
struct Failure {
    error: Option<PoolError>,
    until: Timestamp,
}

impl Known {
    /// Whose a client is that was used at `at`; `None` if that takes a listing.
    fn owner(
        &mut self,
        client: &str,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Owner>, LifecycleError> {
        if let Some(pool) = self.ours.get(client) {
            return Ok(Some(Owner::Ours(pool.clone())));
        }
        // CloudTrail's times are whole seconds.
        let used_by = at.map_or(now, |at| after(at, Duration::from_secs(1)).min(now));
        let first_used = self.strangers.note(client, used_by);
        let settled = after(first_used, SETTLES_AFTER);
        match self.listed_at {
            Some(listed_at) if listed_at >= settled => return Ok(Some(Owner::Stranger)),
            // Another listing says more only when the client has settled.
            Some(listed_at) if listed_at >= first_used && now < settled => return Ok(Some(Owner::Unknown)),
            _ => {}
        }
        match &self.failure {
            Some(Failure { error: None, until }) if now < *until => Err(LifecycleError::ClientsNotListed),
            Some(Failure { error: Some(error), until }) if now < *until && error.is_transient() => {
                Err(error.clone().into())
            }
            Some(failure) if now < failure.until => Ok(Some(Owner::Unknown)),
            _ => Ok(None),
        }
    }

    fn failed(&mut self, error: Option<PoolError>, now: Timestamp) {
        self.failure = Some(Failure { error, until: after(now, AFTER_FAILURE) });
    }
}

/// Clients that were in no listing, each with the earliest time at which it was used. The oldest make room for others.
#[derive(Debug, Default)]
struct Strangers {
    first_used: HashMap<String, Timestamp>,
    order: VecDeque<String>,
}

impl Strangers {
    /// Notes that it was used at `at`, and says when it was first.
    fn note(&mut self, client: &str, at: Timestamp) -> Timestamp {
        if let Some(first) = self.first_used.get_mut(client) {
            *first = at.min(*first);
            return *first;
        }
        if self.order.len() >= MOST_STRANGERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.first_used.remove(&oldest);
        }
        self.first_used.insert(client.to_owned(), at);
        self.order.push_back(client.to_owned());
        at
    }
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_millis(time.unix_millis().saturating_add(wait))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const NOON: u64 = 1_700_000_000_000;

    /// So many seconds after noon.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(NOON.checked_add_signed(seconds * 1_000).unwrap())
    }

    /// Whose a client is that was used then, asked now.
    fn owner(known: &mut Known, client: &str, used: i64, now: i64) -> Option<Owner> {
        known.owner(client, Some(at(used)), at(now)).unwrap()
    }

    fn listed(known: &mut Known, begun: i64, clients: &[&str]) {
        known.ours.extend(clients.iter().map(|client| ((*client).to_owned(), "pool".to_owned())));
        known.listed_at = Some(at(begun));
    }

    #[test]
    fn a_client_that_was_seen_is_ours_for_good() {
        let mut known = Known::default();
        assert_eq!(owner(&mut known, "web", -300, 0), None, "nothing is known before the first listing");
        listed(&mut known, 0, &["web"]);
        listed(&mut known, 1_000, &[]);
        assert_eq!(owner(&mut known, "web", 900, 2_000), Some(Owner::Ours("pool".to_owned())));
    }

    #[test]
    fn a_listing_that_was_begun_after_a_client_was_used_decides() {
        let mut known = Known::default();
        listed(&mut known, 0, &["web"]);
        assert_eq!(owner(&mut known, "other", -300, 10), Some(Owner::Stranger), "that listing would have it");
        assert_eq!(owner(&mut known, "other", 500, 501), Some(Owner::Stranger), "for ever");
        assert_eq!(owner(&mut known, "new", 100, 200), None, "it is younger than the listing");
        listed(&mut known, 200, &["new"]);
        assert_eq!(owner(&mut known, "new", 100, 200), Some(Owner::Ours("pool".to_owned())));
    }

    #[test]
    fn a_listing_that_may_lag_is_repeated_once() {
        let mut known = Known::default();
        listed(&mut known, 10, &[]);
        assert_eq!(owner(&mut known, "new", 5, 12), Some(Owner::Unknown), "it was used 5 s before");
        assert_eq!(
            owner(&mut known, "new", 20, 30),
            Some(Owner::Unknown),
            "and again: one listing is enough"
        );
        assert_eq!(owner(&mut known, "new", 80, 80), None, "it has settled");
        listed(&mut known, 80, &[]);
        assert_eq!(owner(&mut known, "new", 81, 81), Some(Owner::Stranger));
        // In the second of the listing, nobody knows what was first.
        let mut known = Known::default();
        listed(&mut known, 10, &[]);
        assert_eq!(owner(&mut known, "now", 10, 12), None);
        // Without a time it was used by now; ahead of the clock, too.
        assert_eq!(known.owner("timeless", None, at(12)).unwrap(), None);
        assert_eq!(owner(&mut known, "ahead", 1_000, 12), None);
        listed(&mut known, 80, &[]);
        assert_eq!(owner(&mut known, "ahead", 1_000, 81), Some(Owner::Stranger));
    }

    #[test]
    fn strangers_are_bounded_and_the_oldest_is_forgotten() {
        let mut strangers = Strangers::default();
        for number in 0..=MOST_STRANGERS {
            strangers.note(&number.to_string(), at(0));
        }
        assert_eq!((strangers.first_used.len(), strangers.order.len()), (MOST_STRANGERS, MOST_STRANGERS));
        assert!(!strangers.first_used.contains_key("0"));
        assert_eq!(strangers.note("1", at(-5)), at(-5));
        assert_eq!(strangers.note("1", at(5)), at(-5), "the earliest time counts");
        assert_eq!(strangers.note("0", at(5)), at(5));
    }

    #[test]
    fn after_a_listing_that_failed_nobody_lists_for_a_while() {
        let mut known = Known::default();
        known.failed(None, at(0));
        // It was only late: Lambda asks again.
        let late = known.owner("web", Some(at(-300)), at(1)).unwrap_err();
        assert_eq!(late, LifecycleError::ClientsNotListed);
        assert_eq!(owner(&mut known, "web", -300, 30), None);
        listed(&mut known, 30, &["web"]);
        assert_eq!(owner(&mut known, "web", -300, 30), Some(Owner::Ours("pool".to_owned())));
    }

    proptest! {
        /// The first three clients are ours; listings lag, and records come in any order.
        #[test]
        fn no_client_of_ours_is_a_stranger_and_none_costs_more_than_two_listings(
            lag in 0..60_i64,
            records in prop::collection::vec((0..6_u8, 0..90_i64, 0..400_i64), 1..40),
        ) {
            let mut now = 0;
            let arrived = records.into_iter().map(|(client, later, late)| {
                now += later;
                (client, now - late, now)
            });
            let records: Vec<(u8, i64, i64)> = arrived.collect();
            let is_listed = |client: u8, now: i64| {
                records.iter().any(|(other, used, _)| *other == client && *used <= now - lag)
            };
            let (mut known, mut listings) = (Known::default(), 0);
            for &(client, used, now) in &records {
                let name = client.to_string();
                let mut found = owner(&mut known, &name, used, now);
                if found.is_none() {
                    listings += 1;
                    let ours = (0..3_u8).filter(|ours| is_listed(*ours, now)).map(|ours| ours.to_string());
                    let ours: Vec<String> = ours.collect();
                    listed(&mut known, now, &ours.iter().map(String::as_str).collect::<Vec<_>>());
                    found = owner(&mut known, &name, used, now);
                }
                let is_wrong = match found.unwrap() {
                    Owner::Ours(_) => client >= 3,
                    Owner::Stranger => client < 3,
                    Owner::Unknown => false,
                };
                prop_assert!(!is_wrong, "{client} used at {used}, asked at {now}");
            }
            let clients: BTreeSet<u8> = records.iter().map(|(client, ..)| *client).collect();
            prop_assert!(listings <= 2 * clients.len());
        }
    }
}
