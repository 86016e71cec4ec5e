//! Faults that come from outside: connections cut during COMMIT, a pool with nothing left, SQS that throttles
//! and fails, batches that outlive their visibility timeout.

use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::postgres;
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::outcome::{Outcome, RetryCause};
use cognito_user_sync_triggers::event::Event;

use crate::model::Tables;
use crate::support::conformance::Adapter;
use crate::support::events::{at, confirmed, login, sub};
use crate::support::proxy::{Action, Proxy, Speaker, Trap};
use crate::support::{TestDatabase, dead_letters, deployment, eventually, send, stack};

async fn postgres() -> SocketAddr {
    let stack = stack().await;
    format!("{}:{}", stack.postgres.host(), stack.postgres.port()).parse().unwrap()
}

/// Applies until nothing is to be retried, as the queue would redeliver.
async fn apply_all(applier: &Applier, events: &[Event<'static>]) -> u32 {
    let mut bodies: Vec<String> = events.iter().map(Event::encode).collect();
    let mut deliveries = 0;
    while !bodies.is_empty() {
        deliveries += 1;
        assert!(deliveries < 200, "{} messages are never applied", bodies.len());
        let mut again = Vec::new();
        for chunk in bodies.chunks(15) {
            for (body, outcome) in chunk.iter().zip(applier.apply(chunk).await) {
                match outcome {
                    Outcome::Applied | Outcome::Duplicate => {}
                    Outcome::Retry(_) => again.push(body.clone()),
                    Outcome::Rejected(rejection) | Outcome::Obstructed(rejection) => panic!("{rejection:?}"),
                }
            }
        }
        bodies = again;
    }
    deliveries
}

fn history() -> Vec<Event<'static>> {
    (0..150_u64)
        .map(|n| match n % 5 {
            0 => confirmed(u128::from(n % 11), at(n)).email(&format!("{}@example.com", n % 7)).build(),
            _ => login(u128::from(n % 11), at(n)).build(),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_during_commit_leaves_the_counts_exact() {
    let postgres = postgres().await;
    let history = history();
    let expected = Tables::expected(&history);
    // Cut before PostgreSQL hears of the commit, and cut before we hear that it was done: the outcome is unknown.
    for (speaker, pass_on) in [(Speaker::Program, false), (Speaker::Program, true), (Speaker::Server, false)]
    {
        let database = TestDatabase::create().await;
        let trap = Trap { speaker, words: "COMMIT", nth: 2, repeats: true, action: Action::Cut { pass_on } };
        let proxy = Proxy::start(postgres, Some(trap)).await;
        let url = proxy.through(&database.deployment.consumer_url);
        let config = DatabaseConfig::with_url(url);
        let applier = Applier::new(postgres::connect(&config, 2).await.unwrap());
        let deliveries = apply_all(&applier, &history).await;
        assert!(deliveries > 1, "nothing was cut");
        assert_eq!(database.count("user_events").await, 150);
        Tables::actual(database.rows().await).must_be(&expected).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_anywhere_leave_the_counts_exact() {
    let postgres = postgres().await;
    let history = history();
    let expected = Tables::expected(&history);
    for words in ["user_events", "for update", "users", "begin "] {
        let database = TestDatabase::create().await;
        let trap = Trap {
            speaker: Speaker::Program,
            words,
            nth: 11,
            repeats: true,
            action: Action::Cut { pass_on: true },
        };
        let proxy = Proxy::start(postgres, Some(trap)).await;
        let url = proxy.through(&database.deployment.consumer_url);
        let config = DatabaseConfig::with_url(url);
        apply_all(&Applier::new(postgres::connect(&config, 2).await.unwrap()), &history).await;
        Tables::actual(database.rows().await).must_be(&expected).unwrap();
    }
}

/// A failover, a proxy's limit, a frozen function: the batch that comes next goes through at its first delivery.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ended_between_two_batches_costs_none() {
    let database = TestDatabase::create().await;
    let applier = crate::support::applier(&database.deployment, 2).await;
    let user = database.deployment.consumer_url.split(['/', ':']).nth(3).unwrap();
    let connections = format!("pg_stat_activity where usename = '{user}'");
    for number in 1..7 {
        let event = login(number, at(1)).build().encode();
        assert_eq!(applier.apply(&[&event]).await, [Outcome::Applied]);
        eventually("one is left, for everything", Duration::from_secs(10), async || {
            database.count(&connections).await == 1
        })
        .await;
        let end = sqlx::AssertSqlSafe(format!("select pg_terminate_backend(pid) from {connections}"));
        sqlx::query(end).execute(&database.owner).await.unwrap();
        if number > 3 {
            applier.database().ping().await.unwrap();
        }
    }
    assert_eq!(database.count("user_events").await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_any_more_costs_no_batch() {
    let postgres = postgres().await;
    let database = TestDatabase::create().await;
    // Of the second batch's first statement the server hears nothing, and nobody closes the connection.
    let words = "user_sync_begin('logins')";
    let action = Action::Tell { pass_on: false };
    let trap = Trap { speaker: Speaker::Program, words, nth: 2, repeats: false, action };
    let proxy = Proxy::start(postgres, Some(trap)).await;
    let url = proxy.through(&database.deployment.consumer_url);
    let applier = Applier::new(postgres::connect(&DatabaseConfig::with_url(url), 2).await.unwrap());
    for number in 1..4 {
        let event = login(1, at(number)).build().encode();
        assert_eq!(applier.apply(&[&event]).await, [Outcome::Applied]);
    }
    assert!(proxy.count.load(std::sync::atomic::Ordering::SeqCst) > 3, "the connection never fell silent");
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_ends_while_everything_is_closed_leaves_no_connection_open() {
    let database = TestDatabase::create().await;
    let applier = crate::support::applier(&database.deployment, 2).await;
    let body = |seconds| login(1, at(seconds)).build().encode();
    assert_eq!(applier.apply(&[&body(1)]).await, [Outcome::Applied]);
    let mut holder = database.owner.begin().await.unwrap();
    let lock = "select from users where id = $1 for update";
    sqlx::query(lock).bind(sub(1)).execute(&mut *holder).await.unwrap();
    let bodies = [body(2)];
    let close = async {
        let waiting = "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually("the batch waits", Duration::from_secs(30), async || database.count(waiting).await == 1)
            .await;
        let closed = applier.database().close();
        let release = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            holder.rollback().await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(closed, release) }).await
    };
    let (outcomes, closed) = tokio::join!(applier.apply(&bodies), close);
    assert_eq!(outcomes, [Outcome::Applied]);
    closed.expect("everything is closed in the end");
    let event = login(3, at(3)).build().encode();
    assert_eq!(applier.apply(&[event]).await, [Outcome::Retry(RetryCause::DatabaseUnavailable)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_with_nothing_left_sends_the_batch_back() {
    let database = TestDatabase::create().await;
    let applier = crate::support::applier(&database.deployment, 1).await;
    let held = applier.database().acquire().await.unwrap();
    let event = login(1, at(1)).build().encode();
    assert_eq!(applier.apply(&[&event]).await, [Outcome::Retry(RetryCause::DatabaseUnavailable)]);
    drop(held);
    assert_eq!(applier.apply(&[&event]).await, [Outcome::Applied]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sqs_that_throttles_and_fails_loses_nothing() {
    for answer in [
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 33\r\nconnection: close\r\n\r\n{\"__type\":\"ThrottlingException\"}\r\n",
    ] {
        let deployment = deployment().await;
        let events: Vec<String> =
            (0..120_u64).map(|n| login(u128::from(n % 3), at(n)).build().encode()).collect();
        send(&deployment, &[&events[..], &["oops".to_owned()]].concat()).await;
        let trap = Trap {
            speaker: Speaker::Program,
            words: "x-amz-target",
            nth: 3,
            repeats: true,
            action: Action::Answer(answer),
        };
        let proxy = Proxy::in_front_of(&deployment.endpoint, Some(trap)).await;
        let endpoint = proxy.through(&deployment.endpoint);
        let worker = Adapter::Worker
            .start(&deployment, &[("AWS_ENDPOINT_URL", &endpoint), ("USER_SYNC_BATCH_SIZE", "20")])
            .await;
        worker.drained(&deployment).await;
        worker.end().await;
        assert!(proxy.count.load(std::sync::atomic::Ordering::SeqCst) > 6, "SQS never failed");
        let reasons: std::collections::BTreeSet<_> =
            dead_letters(&deployment).await.into_iter().map(|letter| letter.reason).collect();
        assert_eq!(reasons, ["malformed".to_owned()].into());
        let database = TestDatabase::of(deployment).await;
        assert_eq!(database.count("users where login_count = 40").await, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_outlives_its_visibility_timeout_counts_once() {
    let deployment = deployment().await;
    let request = deployment.client().set_queue_attributes().queue_url(&deployment.queue_url);
    request.attributes(QueueAttributeName::VisibilityTimeout, "1").send().await.unwrap();
    let database = TestDatabase::of(deployment.clone()).await;
    database.apply(&[login(1, at(1)).build()]).await;
    // Somebody holds the row for three timeouts; the same messages are received again and again meanwhile.
    let mut slow = database.owner.begin().await.unwrap();
    sqlx::query("select from users for update").execute(&mut *slow).await.unwrap();
    let events: Vec<String> = (2..40_u64).map(|n| login(1, at(n)).build().encode()).collect();
    send(&deployment, &events).await;
    let workers =
        [Adapter::Worker.start(&deployment, &[]).await, Adapter::Worker.start(&deployment, &[]).await];
    tokio::time::sleep(Duration::from_secs(3)).await;
    slow.rollback().await.unwrap();
    for worker in workers {
        worker.drained(&deployment).await;
        worker.end().await;
    }
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("39"));
}

/// The pool tries again for as long as the server says so, and would call it a timeout.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_said_as_what_they_are() {
    let database = TestDatabase::create().await;
    let url = url::Url::parse(&database.deployment.consumer_url).unwrap();
    let limit = format!("alter role \"{}\" connection limit 0", url.username());
    sqlx::query(sqlx::AssertSqlSafe(limit)).execute(&database.owner).await.unwrap();
    let config = DatabaseConfig::with_url(url.as_str());
    let refused = postgres::connect(&config, 2).await.unwrap();
    let error = refused.ping().await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("53300"), "{error}");
    let advice = postgres::advice_for(&error).unwrap();
    assert!(advice.starts_with("too many connections") && !advice.contains("security group"), "{advice}");
    let outcomes = Applier::new(refused).apply(&[login(1, at(1)).build().encode()]).await;
    assert_eq!(outcomes, [Outcome::Retry(RetryCause::DatabaseUnavailable)]);
}
