//! The rows are a function of the set of events: random histories in random orders, batches and numbers of
//! consumers, compared row for row.

use cognito_user_sync::apply::{Outcome, referral_code};
use cognito_user_sync_triggers::event::{Event, Kind};

use crate::support::events::{at, event, sub};
use crate::support::{TestDatabase, assert_same_rows};

/// Users who share few addresses, so that they meet.
const USERS: u128 = 6;
const HISTORIES: u64 = 60;
const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1";

fn history(random: &mut fastrand::Rng) -> Vec<Event> {
    (0..random.usize(8..40))
        .map(|_| {
            let kind = match random.u8(0..20) {
                0 => Kind::Deleted,
                1..=4 => Kind::Confirmed,
                5 => Kind::PasswordReset,
                6..=8 => Kind::Snapshot,
                _ => Kind::Authenticated,
            };
            // Few moments, so that ties are common.
            let mut event =
                event(kind, random.u128(0..USERS), at(random.u64(0..12))).random_part(random.u128(..));
            if kind != Kind::Deleted {
                for (name, flag) in [("email", "email_verified"), ("phone_number", "phone_number_verified")] {
                    if random.bool() {
                        event = event.attributes(&[(
                            name,
                            ["a@x.test", "A@x.test", "b@x.test", ""][random.usize(0..4)],
                        )]);
                    }
                    if random.bool() {
                        event = event.attributes(&[(flag, ["true", "false"][random.usize(0..2)])]);
                    }
                }
                for name in ["name", "given_name", "locale", "custom:x"] {
                    if random.u8(0..3) == 0 {
                        event = event.attributes(&[(name, ["Ada", "de-AT", "en", ""][random.usize(0..4)])]);
                    }
                }
            }
            let referrer = referral_code(sub(random.u128(0..USERS)));
            event
                .with(|data| {
                    data.federated = kind == Kind::Confirmed && random.bool();
                    data.enabled = (kind == Kind::Snapshot && random.bool()).then(|| random.bool());
                    data.status = ["CONFIRMED", "FORCE_CHANGE_PASSWORD", "EXTERNAL_PROVIDER"]
                        .get(random.usize(0..6))
                        .map(|s| (*s).into());
                    data.client.referral_code = random.bool().then_some(referrer);
                    data.client.ip = ["192.0.2.1", "2001:db8::1", "nonsense"]
                        .get(random.usize(0..6))
                        .map(|ip| (*ip).into());
                    data.client.user_agent =
                        [IPAD, "curl/8.4.0"].get(random.usize(0..4)).map(|s| (*s).into());
                    data.created_at = (kind == Kind::Snapshot && random.bool()).then(|| at(random.u64(0..4)));
                })
                .build()
        })
        .collect()
}

/// Applies the history in batches, shuffled and with duplicates, by up to four consumers at once.
async fn apply_somehow(database: &TestDatabase, history: &[Event], random: &mut fastrand::Rng) {
    let mut deliveries: Vec<Event> = history.to_vec();
    for _ in 0..random.usize(0..history.len()) {
        deliveries.push(random.choice(history).unwrap().clone());
    }
    random.shuffle(&mut deliveries);
    let consumers = random.usize(1..=4);
    let batches =
        deliveries.chunks(random.usize(1..=deliveries.len())).map(<[Event]>::to_vec).collect::<Vec<_>>();
    let next = std::sync::Mutex::new(batches.into_iter());
    let consume = || async {
        loop {
            let Some(batch) = next.lock().unwrap().next() else { return };
            for outcome in database.apply(&batch).await {
                assert!(matches!(outcome, Outcome::Applied | Outcome::Duplicate), "{outcome:?}");
            }
        }
    };
    futures::future::join_all((0..consumers).map(|_| consume())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_gives_the_same_rows() {
    let database = TestDatabase::create().await;
    for seed in 0..HISTORIES {
        let mut random = fastrand::Rng::with_seed(seed);
        let history = history(&mut random);
        let mut expected = None;
        for way in 0..4 {
            sqlx::query("truncate users, user_claims, user_events").execute(&database.owner).await.unwrap();
            match way {
                0 => drop(database.apply(&history).await),
                _ => apply_somehow(&database, &history, &mut random).await,
            }
            let rows = database.rows().await;
            let expected = expected.get_or_insert_with(|| rows.clone());
            assert_same_rows(&rows, expected, &format!("history {seed}, way {way}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_under_concurrent_redelivery() {
    let database = TestDatabase::create().await;
    let events: Vec<Event> =
        (0..400_u64).map(|n| event(Kind::Authenticated, u128::from(n % 7), at(n)).build()).collect();
    let bodies: Vec<String> = events.iter().map(Event::encode).collect();
    let applier = &database.applier;
    let consumer = |seed: u64| {
        let mut bodies = bodies.clone();
        async move {
            fastrand::Rng::with_seed(seed).shuffle(&mut bodies);
            let mut applied = 0;
            for batch in bodies.chunks(50) {
                applied +=
                    applier.apply(batch).await.iter().filter(|outcome| **outcome == Outcome::Applied).count();
            }
            applied
        }
    };
    let applied: usize = futures::future::join_all((0..4).map(consumer)).await.into_iter().sum();
    assert_eq!(applied, 400, "each event is applied by exactly one of four consumers");
    let total: i64 = sqlx::query_scalar("select sum(login_count)::bigint from users")
        .fetch_one(&database.owner)
        .await
        .unwrap();
    assert_eq!(total, 400);
}
