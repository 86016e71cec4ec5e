//! One suite for both adapters, each as the process that is deployed.

use std::time::Duration;

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync_triggers::event::{ATTRIBUTE_VALUE_MAX_CHARS, Event, EventId};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::support::conformance::Adapter;
use crate::support::events::{at, confirmed, login, sub};
use crate::support::{DeadLetter, TestDatabase, dead_letters, deployment, eventually, own_stack, send};

/// Each case, on each adapter.
macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod lambda {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Adapter::Lambda).await;
            })*
        }
        mod worker {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Adapter::Worker).await;
            })*
        }
    };
}

conformance!(
    what_is_delivered_twice_counts_once,
    a_bad_message_goes_to_the_dead_letter_queue_and_holds_nothing_back,
    an_outage_of_the_database_loses_nothing_and_counts_nothing_twice,
    a_redriven_message_counts_once,
    another_pools_users_are_dead_letters_until_the_pool_is_accepted,
);

async fn drain(adapter: Adapter, deployment: &Deployment) {
    drain_with(adapter, deployment, &[]).await;
}

async fn drain_with(adapter: Adapter, deployment: &Deployment, env: &[(&str, &str)]) {
    let consumer = adapter.start(deployment, env).await;
    consumer.drained(deployment).await;
    consumer.end().await;
}

async fn what_is_delivered_twice_counts_once(adapter: Adapter) {
    let deployment = deployment().await;
    let batch: Vec<String> = (0..40_u64).map(|n| login(u128::from(n % 4), at(n)).build().encode()).collect();
    // One event twice inside one batch, then the whole batch again.
    send(&deployment, &[&batch[..], &batch[..5]].concat()).await;
    drain(adapter, &deployment).await;
    send(&deployment, &batch).await;
    drain(adapter, &deployment).await;
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.count("user_events").await, 40);
    for user in 0..4 {
        assert_eq!(database.column(sub(user), "login_count").await.as_deref(), Some("10"));
    }
    assert_eq!(dead_letters(&database.deployment).await, []);
}

async fn a_bad_message_goes_to_the_dead_letter_queue_and_holds_nothing_back(adapter: Adapter) {
    let deployment = deployment().await;
    let good: Vec<String> = (0..15_u64).map(|n| login(u128::from(n), at(n)).build().encode()).collect();
    let long = "x".repeat(ATTRIBUTE_VALUE_MAX_CHARS + 1);
    let oversized = login(90, at(1)).attributes(&[("custom:essay", &long)]).build().encode();
    let unknown = good[0].replace("\"schemaversion\":1", "\"schemaversion\":2");
    let malformed = "{\"specversion\":".to_owned();
    let old =
        login(91, cognito_user_sync_triggers::timestamp::Timestamp::from_unix_millis(1_000)).build().encode();
    let future = cognito_user_sync_triggers::timestamp::Timestamp::now().unix_millis() + 3_600_000;
    let future = login(92, cognito_user_sync_triggers::timestamp::Timestamp::from_unix_millis(future))
        .build()
        .encode();
    let bad = [
        (malformed, "malformed", "$"),
        (unknown, "unknown_version", "schemaversion"),
        (oversized, "oversized", "data.attributes.custom:essay"),
        (old, "too_old", "time"),
        (future, "future", "time"),
    ];
    let mixed: Vec<String> = good
        .chunks(3)
        .zip(&bad)
        .flat_map(|(good, (bad, ..))| [good, std::slice::from_ref(bad)].concat())
        .collect();
    send(&deployment, &mixed).await;
    drain(adapter, &deployment).await;
    let mut expected: Vec<_> = bad
        .map(|(body, reason, field)| DeadLetter { body, reason: reason.to_owned(), field: field.to_owned() })
        .to_vec();
    expected.sort();
    assert_eq!(dead_letters(&deployment).await, expected);
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.count("users where login_count = 1").await, 15);
    assert_eq!(database.count("users").await, 15);
}

async fn an_outage_of_the_database_loses_nothing_and_counts_nothing_twice(adapter: Adapter) {
    let stack = own_stack().await;
    let deployment = Deployment::create(&stack).await.unwrap();
    let events: Vec<String> = (0..600_u64)
        .map(|n| match n % 10 {
            0 => confirmed(u128::from(n / 10), at(n)).email(&format!("user{n}@example.com")).build().encode(),
            _ => login(u128::from(n / 10), at(n)).build().encode(),
        })
        .collect();
    send(&deployment, &events[..300]).await;
    let consumer = adapter.start(&deployment, &[("USER_SYNC_BATCH_SIZE", "20")]).await;
    {
        let database = TestDatabase::of(deployment.clone()).await;
        eventually("the drain is under way", Duration::from_secs(20), async || {
            database.count("user_events").await > 0
        })
        .await;
        database.owner.close().await;
    }
    stack.postgres.stop_server().await.unwrap();
    send(&deployment, &events[300..]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stack.postgres.start_server().await.unwrap();
    consumer.drained(&deployment).await;
    consumer.end().await;

    assert_eq!(dead_letters(&deployment).await, []);
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.count("user_events").await, 600);
    assert_eq!(database.count("users").await, 60);
    assert_eq!(database.count("users where login_count = 9").await, 60);
    stack.stop().await.unwrap();
}

async fn a_redriven_message_counts_once(adapter: Adapter) {
    // Moved by hand as a redrive does: a new message, with a new id and the same body.
    let deployment = deployment().await;
    let event = login(1, at(1)).build();
    send(&deployment, &[event.encode()]).await;
    drain(adapter, &deployment).await;
    let request =
        deployment.client().send_message().queue_url(&deployment.dlq_url).message_body(event.encode());
    request.send().await.unwrap();
    let redriven: Vec<String> =
        dead_letters(&deployment).await.into_iter().map(|letter| letter.body).collect();
    assert_eq!(redriven.iter().map(|body| Event::decode(body).unwrap()).collect::<Vec<_>>(), [event]);
    send(&deployment, &redriven).await;
    drain(adapter, &deployment).await;
    let database = TestDatabase::of(deployment).await;
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("1"));
}

async fn another_pools_users_are_dead_letters_until_the_pool_is_accepted(adapter: Adapter) {
    const POOL: &str = "eu-west-1_Ours00000";
    const OTHER: &str = "eu-west-1_Other0000";
    let database = TestDatabase::of(deployment().await).await;
    let deployment = &database.deployment;
    let ours = login(1, at(1)).pool(POOL).build().encode();
    let theirs = login(2, at(1)).pool(OTHER).build().encode();
    // One of the contract that is no id of a pool, as only somebody else would send it.
    let nobodys = login(3, at(1)).pool("*").build().encode();
    let heartbeat = Event::heartbeat(EventId::new(Timestamp::now())).encode();
    send(deployment, &[ours, theirs.clone(), nobodys.clone(), heartbeat]).await;
    drain_with(adapter, deployment, &[("USER_SYNC_USER_POOL_ID", POOL)]).await;
    assert_eq!(database.count("users where login_count = 1").await, 1);
    assert_eq!((database.count("users").await, database.count("user_events").await), (1, 1));
    assert_eq!(database.count("sync_status where heartbeat_at is not null").await, 1, "it is of no pool");
    let refused = |body: &String| DeadLetter {
        body: body.clone(),
        reason: "another_pool".to_owned(),
        field: "source".to_owned(),
    };
    let mut expected = [refused(&theirs), refused(&nobodys)];
    expected.sort();
    assert_eq!(dead_letters(deployment).await, expected);

    // Redriven once the pool is accepted, it is applied.
    send(deployment, &[theirs]).await;
    let both = format!("{POOL},{OTHER}");
    drain_with(adapter, deployment, &[("USER_SYNC_USER_POOL_ID", &both)]).await;
    assert_eq!(database.column(sub(2), "login_count").await.as_deref(), Some("1"));
    // Unset accepts all, and so does an empty value.
    send(deployment, &[nobodys]).await;
    drain_with(adapter, deployment, &[("USER_SYNC_USER_POOL_ID", "")]).await;
    assert_eq!(database.column(sub(3), "login_count").await.as_deref(), Some("1"));
    assert_eq!(dead_letters(deployment).await, []);
}
