//! Who owns an address that several users show, above all where nobody has verified it: what an attacker can claim.

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres;
use cognito_user_sync::store::maintenance::partitions::maintain;
use cognito_user_sync::store::maintenance::repair::repair;
use cognito_user_sync::store::maintenance::verify::{Difference, verify};
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{Event, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::model::Tables;
use crate::support::TestDatabase;
use crate::support::events::{at, confirmed, event, login, sub};

const ADDRESS: &str = "victim@example.com";

/// A sign-up with an address that the provider says nothing about.
fn unverified(user: u128, time: Timestamp) -> Event<'static> {
    confirmed(user, time).attributes(&[("email", ADDRESS)]).build()
}

fn shows(user: u128, time: Timestamp, address: &str) -> Event<'static> {
    login(user, time).attributes(&[("email", address)]).build()
}

async fn apply(database: &TestDatabase, events: &[Event<'static>]) {
    let outcomes = database.apply(events).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
}

/// Whose the address is, by number.
async fn owner(database: &TestDatabase, users: impl IntoIterator<Item = u128>) -> Vec<u128> {
    let mut owners = Vec::new();
    for user in users {
        if database.column(sub(user), "email").await.as_deref() == Some(ADDRESS) {
            owners.push(user);
        }
    }
    owners
}

/// The attacker signs up with the victim's address again and again, so its subs lie on both sides of the victim's, and
/// does what a user without a verified address can: signs in, changes to another address and back, and has its messages
/// come early, late and beside the victim's.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_never_takes_an_unverified_address_whatever_its_sub() {
    const VICTIM: u128 = 100;
    let victim = [unverified(VICTIM, at(10)), shows(VICTIM, at(50), ADDRESS)];
    let attacker = |user: u128| {
        [
            unverified(user, at(11)),
            shows(user, at(20), ADDRESS),
            shows(user, at(30), "other@example.com"),
            shows(user, at(40), ADDRESS),
            event(Kind::Snapshot, user, at(60))
                .attributes(&[("email", ADDRESS), ("email_verified", "false")])
                // A pool's user who was there before the victim, and showed another address then.
                .with(|data| data.created_at = Some(at(1)))
                .build(),
        ]
    };
    let attackers: Vec<u128> = (101..125).collect();
    assert!(attackers.iter().any(|user| sub(*user) < sub(VICTIM)));
    assert!(attackers.iter().any(|user| sub(*user) > sub(VICTIM)));
    let attacks: Vec<Event<'static>> = attackers.iter().flat_map(|user| attacker(*user)).collect();
    let everybody = || std::iter::once(VICTIM).chain(attackers.iter().copied());

    // The victim first, the attackers first, all in one batch, and message by message.
    let reversed: Vec<Event<'static>> = victim.iter().chain(&attacks).rev().cloned().collect();
    let orders: [Vec<Vec<Event<'static>>>; 4] = [
        vec![victim.to_vec(), attacks.clone()],
        vec![attacks.clone(), victim.to_vec()],
        vec![reversed.clone()],
        reversed.into_iter().map(|event| vec![event]).collect(),
    ];
    for batches in orders {
        let database = TestDatabase::create().await;
        for batch in batches {
            apply(&database, &batch).await;
        }
        assert_eq!(owner(&database, everybody()).await, [VICTIM]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_an_address_and_comes_back_is_behind_who_stayed() {
    let database = TestDatabase::create().await;
    let mut events = vec![unverified(1, at(1)), unverified(2, at(2)), unverified(3, at(3))];
    apply(&database, &events).await;
    assert_eq!(owner(&database, 1..=3).await, [1]);
    for (next, expected) in [
        (shows(1, at(4), "other@example.com"), 2),
        (shows(1, at(5), ADDRESS), 2),
        // Empty is none.
        (shows(2, at(6), ""), 3),
        (shows(2, at(7), ADDRESS), 3),
        (event(Kind::Deleted, 3, at(8)).build(), 1),
        // Whoever verifies it comes first, as before.
        (login(2, at(9)).email(ADDRESS).build(), 2),
    ] {
        apply(&database, std::slice::from_ref(&next)).await;
        events.push(next);
        assert_eq!(owner(&database, 1..=3).await, [expected], "after {} events", events.len());
        Tables::actual(database.rows().await).must_be(&Tables::expected(&events)).unwrap();
    }
    // That somebody had left is known late: between two showings, so no register changes.
    let database = TestDatabase::create().await;
    apply(&database, &[unverified(1, at(1)), shows(1, at(9), ADDRESS), unverified(2, at(2))]).await;
    assert_eq!(owner(&database, 1..=2).await, [1]);
    apply(&database, &[shows(1, at(5), "")]).await;
    assert_eq!(owner(&database, 1..=2).await, [2]);
}

/// Such a login reports what is known, but of a time when the address had not been shown yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_login_that_showed_the_address_first_does_not_take_the_short_way() {
    let database = TestDatabase::create().await;
    let events = [confirmed(1, at(1)).build(), shows(1, at(10), ADDRESS), unverified(2, at(5))];
    apply(&database, &events).await;
    assert_eq!(owner(&database, 1..=2).await, [2]);
    let late = shows(1, at(3), ADDRESS);
    apply(&database, std::slice::from_ref(&late)).await;
    assert_eq!(owner(&database, 1..=2).await, [1]);
    let events = [&events[..], &[late]].concat();
    Tables::actual(database.rows().await).must_be(&Tables::expected(&events)).unwrap();
}

/// Rows from before the migration, and from an older release beside this one: nobody who comes now is before them, and a
/// repair gives every address its owner.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_older_release_keep_their_addresses_until_a_repair_says_who_was_first() {
    let database = TestDatabase::create().await;
    let operator = DatabaseConfig::with_url(&database.deployment.operator_url);
    let operator = postgres::connect(&operator, 3).await.unwrap();
    let (smallest, other) = if sub(1) < sub(2) { (1, 2) } else { (2, 1) };
    let mut events = vec![unverified(other, at(1)), unverified(smallest, at(2))];
    apply(&database, &events).await;
    // As it was: not known who was first, and the smallest sub has it.
    let older = format!(
        "set user_sync.service = 'on';
        update user_claims set shown = null;
        update users set email_shown = null, email = null;
        update users set email = '{ADDRESS}' where id = '{}';",
        sub(smallest)
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(older)).execute(&database.owner).await.unwrap();
    let newcomers = [unverified(3, at(3)), unverified(4, at(4))];
    apply(&database, &newcomers).await;
    events.extend(newcomers);
    // They sign in, and it is still not known.
    let logins = [shows(smallest, at(5), ADDRESS), shows(other, at(6), ADDRESS)];
    apply(&database, &logins).await;
    events.extend(logins);
    assert_eq!(owner(&database, 1..=4).await, [smallest]);

    let mut found = Vec::new();
    verify(&operator, &GeoIp::default(), |difference| found.push(difference), |_| {}).await.unwrap();
    repair(&operator, &GeoIp::default(), &found.iter().map(|difference| difference.user).collect())
        .await
        .unwrap();
    assert_eq!(owner(&database, 1..=4).await, [other]);
    Tables::actual(database.rows().await).must_be(&Tables::expected(&events)).unwrap();
    let verified = verify(&operator, &GeoIp::default(), |_| {}, |_| {}).await.unwrap();
    assert_eq!(verified.differences, 0);
}

/// A month that an older release folded does not say when an address was shown: at the earliest, when there was the user.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_releases_baseline_counts_from_the_users_creation() {
    let database = TestDatabase::create().await;
    let operator = DatabaseConfig::with_url(&database.deployment.operator_url);
    let operator = postgres::connect(&operator, 3).await.unwrap();
    let now = Timestamp::now();
    let days_ago = |days: u64| Timestamp::from_unix_millis(now.unix_millis() - days * 86_400_000);
    apply(&database, &[confirmed(1, days_ago(210)).build(), shows(1, days_ago(200), ADDRESS)]).await;
    let folded = maintain(&operator, 3, 90, now, |_, _| {}).await.unwrap().folded;
    assert_eq!(folded.iter().map(|(_, events)| events).sum::<u64>(), 2);
    let differing = async || {
        let mut columns = Vec::new();
        let found = |difference: Difference| columns.push(difference.column);
        verify(&operator, &GeoIp::default(), found, |_| {}).await.unwrap();
        columns
    };
    assert_eq!(differing().await, Vec::<String>::new());
    let older = "update user_baseline set claims = (select jsonb_agg(claim - 'shown') from jsonb_array_elements(claims) as claim)";
    sqlx::query(older).execute(&database.owner).await.unwrap();
    assert_eq!(differing().await, ["email_shown", "user_claims email"]);
    repair(&operator, &GeoIp::default(), &[sub(1)].into()).await.unwrap();
    assert_eq!(differing().await, Vec::<String>::new());
    let [shown, created] = ["email_shown", "created_at"].map(|column| database.column(sub(1), column));
    assert_eq!(shown.await, created.await);
}
