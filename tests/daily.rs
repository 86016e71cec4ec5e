//! What analytics show, by day: against a count of the same events, done here, however late these came.

use std::collections::{BTreeMap, BTreeSet};

use cognito_user_sync::dev::local;
use cognito_user_sync::postgres::{Database, Role};
use cognito_user_sync::store::daily::{self, Scope};
use cognito_user_sync_triggers::event::{Event, Kind};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use time::{Date, Duration, OffsetDateTime};

use crate::report::login_url;
use crate::support::TestDatabase;
use crate::support::events::{confirmed, event, login};

const DAY_MS: u64 = 86_400_000;

/// A sign-in, or what makes a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Login,
    Confirmed,
    Federated,
    Deleted,
}

/// Something that happened to one of few users, some minutes ago.
#[derive(Debug, Clone)]
struct Told {
    user: u128,
    what: What,
    minutes_ago: u64,
    client: usize,
}

const CLIENTS: [Option<&str>; 3] = [Some("web"), Some("ios"), None];

impl Told {
    fn at(&self) -> Timestamp {
        // Never in the future of a test that crosses a minute.
        Timestamp::from_unix_millis(
            Timestamp::now().unix_millis() / 60_000 * 60_000 - self.minutes_ago * 60_000,
        )
    }

    fn event(&self) -> Event<'static> {
        let client = CLIENTS[self.client].map(Text::from);
        match self.what {
            What::Login => login(self.user, self.at()).with(|data| data.client_id = client).build(),
            What::Confirmed => confirmed(self.user, self.at()).build(),
            What::Federated => confirmed(self.user, self.at())
                .with(|data| {
                    data.federated = true;
                    data.client_id = client;
                })
                .build(),
            What::Deleted => event(Kind::Deleted, self.user, self.at()).build(),
        }
    }
}

fn told() -> impl Strategy<Value = Told> {
    let what = prop_oneof![
        6 => Just(What::Login), 2 => Just(What::Confirmed), 2 => Just(What::Federated), 1 => Just(What::Deleted)
    ];
    (0..12_u128, what, 1..75 * 1440_u64, 0..3_usize).prop_map(|(user, what, minutes_ago, client)| Told {
        user,
        what,
        minutes_ago,
        client,
    })
}

/// A login as the test sees it in the ledger.
struct Seen {
    user: String,
    at: OffsetDateTime,
    client: String,
    /// Whether it counts as a login; a federated confirmation that is no sign-up only shows that somebody came back.
    counts: bool,
}

/// The ledger and the users, read whole and simply.
struct Ledger {
    seen: Vec<Seen>,
    /// Of each user: created when, deleted or not.
    users: BTreeMap<String, (OffsetDateTime, bool)>,
}

impl Ledger {
    async fn read(database: &TestDatabase) -> Self {
        let query = "select user_id::text, occurred_at, coalesce(data ->> 'client_id', ''),
                type = 'user.authenticated' or event.id = (select sign_up_id from users where id = event.user_id)
            from user_events as event
            where type = 'user.authenticated' or (type = 'user.confirmed' and data -> 'federated' = 'true')";
        let seen: Vec<(String, OffsetDateTime, String, bool)> =
            sqlx::query_as(query).fetch_all(&database.owner).await.unwrap();
        let seen = seen.into_iter().map(|(user, at, client, counts)| Seen { user, at, client, counts });
        let users: Vec<(String, OffsetDateTime, bool)> =
            sqlx::query_as("select id::text, created_at, is_deleted from users")
                .fetch_all(&database.owner)
                .await
                .unwrap();
        let users = users.into_iter().map(|(id, created, deleted)| (id, (created, deleted)));
        Self { seen: seen.collect(), users: users.collect() }
    }

    fn logins(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(|seen| seen.counts)
    }

    fn active(&self, day: Date, days: i64) -> i64 {
        let is_within = |seen: &&Seen| seen.at.date() <= day && seen.at.date() > day - Duration::days(days);
        let users: BTreeSet<_> = self.logins().filter(is_within).map(|seen| &seen.user).collect();
        i64::try_from(users.len()).unwrap()
    }

    fn first(&self, day: Date, within: Duration) -> i64 {
        let created = self.users.iter().filter(|(_, (created, _))| created.date() == day);
        let is_soon = |(user, (created, _)): &(&String, &(OffsetDateTime, bool))| {
            let first = self.logins().filter(|seen| seen.user == **user && seen.at.date() >= day);
            first.map(|seen| seen.at).min().is_some_and(|at| at <= *created + within)
        };
        i64::try_from(created.filter(is_soon).count()).unwrap()
    }

    async fn is_what_is_kept(&self, kept: &Database) {
        let today = OffsetDateTime::now_utc().date();
        let from = today - Duration::days(80);
        let days = daily::days(kept, from, today).await.unwrap();
        let first_event: Option<Date> = self.seen.iter().map(|seen| seen.at.date()).min();
        for day in days.iter().filter(|day| first_event.is_some_and(|first| day.day >= first)) {
            let on = day.day;
            let count = |number: usize| Some(i64::try_from(number).unwrap());
            let logins: Vec<_> = self.logins().filter(|seen| seen.at.date() == on).collect();
            assert_eq!(day.logins, count(logins.len()), "logins of {on}");
            let hours = (0..24).map(|hour| logins.iter().filter(|seen| seen.at.hour() == hour).count());
            let hours: Vec<i64> = hours.map(|number| i64::try_from(number).unwrap()).collect();
            assert_eq!(day.hours.as_deref(), Some(hours.as_slice()), "hours of {on}");
            let active = [1, 7, 30].map(|days| Some(self.active(on, days)));
            assert_eq!([day.active_1, day.active_7, day.active_30], active, "active on {on}");
            let within = [Duration::minutes(1), Duration::hours(1), Duration::days(1), Duration::days(7)];
            let first = [day.first_minute, day.first_hour, day.first_day, day.first_week];
            assert_eq!(first, within.map(|within| Some(self.first(on, within))), "first of {on}");
        }
        let kept_days: BTreeSet<Date> =
            days.iter().filter(|day| day.logins.is_some()).map(|day| day.day).collect();
        let of_ledger: BTreeSet<Date> = self.logins().map(|seen| seen.at.date()).collect();
        assert!(of_ledger.is_subset(&kept_days), "{of_ledger:?} in {kept_days:?}");
        for day in &days {
            let created = self.users.values().filter(|(created, _)| created.date() == day.day);
            let users = created.clone().filter(|(_, is_deleted)| !is_deleted).count();
            let numbers = (usize::try_from(day.created).unwrap(), usize::try_from(day.users).unwrap());
            assert_eq!(numbers, (created.count(), users), "users of {}", day.day);
        }
        let mut clients: BTreeMap<&str, i64> = BTreeMap::new();
        self.logins().for_each(|seen| *clients.entry(&seen.client).or_default() += 1);
        let found = daily::clients(kept, from, today, 100).await.unwrap();
        assert_eq!(
            found.iter().map(|row| (row.client_id.as_str(), row.logins)).collect::<BTreeMap<_, _>>(),
            clients
        );
        self.are_the_weeks(kept, from, today).await;
    }

    async fn are_the_weeks(&self, kept: &Database, from: Date, today: Date) {
        let monday = |day: Date| day - Duration::days(day.weekday().number_days_from_monday().into());
        for cohort in daily::retention(kept, from, today).await.unwrap() {
            let of = |user: &String| self.users.get(user).map(|(created, _)| monday(created.date()));
            let users = self.users.keys().filter(|user| of(user) == Some(cohort.week)).count();
            assert_eq!(usize::try_from(cohort.users).unwrap(), users, "created in {}", cohort.week);
            for week in &cohort.weeks {
                let seen = self.seen.iter();
                let seen = seen.filter(|seen| {
                    monday(seen.at.date()) == week.week && of(&seen.user) == Some(cohort.week)
                });
                let users: BTreeSet<_> = seen.map(|seen| &seen.user).collect();
                let signed_in = week.signed_in.unwrap_or(0);
                assert_eq!(
                    usize::try_from(signed_in).unwrap(),
                    users.len(),
                    "{} of {}",
                    week.week,
                    cohort.week
                );
            }
        }
    }
}

async fn kept(database: &TestDatabase) -> Database {
    local::connect(&login_url(database, Role::Consumer).await, 1).await.unwrap().into()
}

/// Applies some, counts, applies others, which are late, counts what changed, and compares.
async fn are_counted(early: &[Told], late: &[Told]) {
    crate::support::not_across_midnight().await;
    let database = TestDatabase::create().await;
    let kept = kept(&database).await;
    for events in [early, late] {
        database.deliver(&events.iter().map(Told::event).collect::<Vec<_>>()).await;
        // PostgreSQL's own count of rows is late by seconds: the months that it knows are asked anyway.
        sqlx::query("update user_sync_daily_months set inserted = -1")
            .execute(&database.owner)
            .await
            .unwrap();
        daily::refresh(&kept, Scope::Changed).await.unwrap();
        Ledger::read(&database).await.is_what_is_kept(&kept).await;
    }
    let again = daily::refresh(&kept, Scope::Changed).await.unwrap();
    assert_eq!(again, daily::Refreshed::default(), "what did not change is not counted again");
    daily::refresh(&kept, Scope::All).await.unwrap();
    Ledger::read(&database).await.is_what_is_kept(&kept).await;
}

#[test]
fn random_histories_are_counted_exactly_with_events_that_come_late() {
    let events = || proptest::collection::vec(told(), 1..60);
    let mut runner = TestRunner::new(Config { cases: 6, failure_persistence: None, ..Config::default() });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let counted = runner.run(&(events(), events()), |(early, late)| {
        runtime.block_on(are_counted(&early, &late));
        Ok(())
    });
    counted.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sign_up_takes_the_login_of_the_one_that_came_first() {
    let told = |what, minutes_ago| Told { user: 1, what, minutes_ago, client: 0 };
    // The later confirmation is there first, and counts until the earlier one comes.
    are_counted(&[told(What::Federated, 1440)], &[told(What::Federated, 40 * 1440)]).await;
    are_counted(&[told(What::Federated, 1440)], &[told(What::Confirmed, 40 * 1440)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_a_month_that_is_dropped_keep_their_numbers() {
    let database = TestDatabase::create().await;
    let kept = kept(&database).await;
    let old = Timestamp::from_unix_millis(Timestamp::now().unix_millis() - 150 * DAY_MS);
    let now = Timestamp::now();
    database.apply(&[login(1, old).build(), login(1, now).build(), login(2, now).build()]).await;
    daily::refresh(&kept, Scope::Changed).await.unwrap();
    let day = OffsetDateTime::from(old).date();
    let before = daily::days(&kept, day, day).await.unwrap();
    assert_eq!((before[0].logins, before[0].active_30), (Some(1), Some(1)));
    let owner: Database = database.owner.clone().into();
    let dropped = cognito_user_sync::store::maintenance::partitions::maintain(&owner, 3, 60, now, |_, _| {});
    assert!(!Box::pin(dropped).await.unwrap().folded.is_empty());
    for scope in [Scope::Changed, Scope::All] {
        daily::refresh(&kept, scope).await.unwrap();
        assert_eq!(daily::days(&kept, day, day).await.unwrap(), before);
    }
    let today = OffsetDateTime::from(now).date();
    assert_eq!(daily::days(&kept, today, today).await.unwrap()[0].logins, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_no_reader_and_only_one_refresh_runs() {
    let database = TestDatabase::create().await;
    let kept = kept(&database).await;
    database.apply(&[login(1, Timestamp::now()).build()]).await;
    // A reader that stays open, as a dump: the count goes on beside it.
    let mut other = database.owner.begin().await.unwrap();
    sqlx::query("select count(*) from user_events").execute(&mut *other).await.unwrap();
    daily::refresh(&kept, Scope::Changed).await.unwrap();
    assert!(daily::counted_at(&kept).await.unwrap().is_some());
    // Another refresh, as `src/store/locks.rs` has its lock.
    let lock = "select pg_advisory_xact_lock(x'75736572'::int, 265026)";
    sqlx::query(lock).execute(&mut *other).await.unwrap();
    let refused = daily::refresh(&kept, Scope::Changed).await;
    assert!(matches!(refused, Err(daily::Error::Busy)), "{refused:?}");
    other.rollback().await.unwrap();
    daily::refresh(&kept, Scope::Changed).await.unwrap();
}
