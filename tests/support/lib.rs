//! What the tests share: one stack, a deployment each, the release binaries, events and questions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

pub mod binaries;
pub mod certificates;
pub mod cloudtrail;
pub mod cloudwatch_stub;
pub mod conformance;
pub mod console;
pub mod events;
pub mod far;
pub mod former_function;
pub mod geoip;
pub mod histories;
pub mod key_host;
pub mod lambda_runtime_api;
pub mod large_pool;
pub mod move_tasks;
pub mod old_table;
pub mod parameter_stub;
pub mod pgbouncer;
pub mod pool;
pub mod pooler;
pub mod proxy;
pub mod rds;
pub mod rds_server;
pub mod records;
pub mod secrets;
pub mod sign_in_pool;
pub mod sign_ins;
pub mod source;
pub mod sqs_stub;
pub mod stale_pool;
pub mod standby;
pub mod strict_pool;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Progress, Stack, StackOptions};
use cognito_user_sync::postgres;
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::outcome::{Outcome, RetryCause};
use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::FutureExt as _;
use sqlx::PgPool;
use tokio::sync::OnceCell;

static STACK: OnceCell<Stack> = OnceCell::const_new();

/// Starts servers of the test's own, to stop and start them.
pub async fn own_stack() -> Stack {
    start(match PostgresSource::from_env() {
        // A server of the caller's cannot be stopped.
        PostgresSource::Url(_) => PostgresSource::Search,
        source => source,
    })
    .await
}

/// The servers that all tests share; they end with this process.
pub async fn stack() -> &'static Stack {
    STACK.get_or_init(|| start(PostgresSource::from_env())).await
}

async fn start(source: PostgresSource) -> Stack {
    let postgres = PostgresOptions { source, durable: false };
    Stack::start(StackOptions { postgres, progress: Progress::Lines }).await.expect("the stack starts")
}

/// A database and queues of the test's own on the shared servers.
pub async fn deployment() -> Deployment {
    let stack = stack().await;
    not_across_midnight().await;
    Deployment::create(stack).await.expect("the deployment is made")
}

/// Waits for the next day (UTC) where a test would go on past midnight: the product counts days and months from now.
pub async fn not_across_midnight() {
    const DAY: u64 = 86_400_000;
    let left = DAY - Timestamp::now().unix_millis() % DAY;
    if left < 120_000 {
        tokio::time::sleep(Duration::from_millis(left + 50)).await;
    }
}

/// A database of the test's own, with the consumer's and the owner's way in.
pub struct TestDatabase {
    pub deployment: Deployment,
    /// As `user_sync_consumer`.
    pub applier: Arc<Applier>,
    /// As the owner, for questions.
    pub owner: PgPool,
}

impl TestDatabase {
    pub async fn create() -> Self {
        Self::of(deployment().await).await
    }

    pub async fn of(deployment: Deployment) -> Self {
        let owner = local::connect(&deployment.owner_url, 2).await.expect("the owner connects");
        let applier = Arc::new(applier(&deployment, 4).await);
        Self { deployment, applier, owner }
    }

    /// Applies events as one batch.
    pub async fn apply(&self, events: &[Event<'static>]) -> Vec<Outcome> {
        let bodies: Vec<String> = events.iter().map(Event::encode).collect();
        // As a trait object: the future is so deep that the compiler would give up on whoever holds it.
        apply_any(&self.applier, &bodies).boxed().await
    }

    /// The same, again and again while somebody holds rows.
    pub async fn deliver(&self, events: &[Event<'static>]) -> Vec<Outcome> {
        redelivered(&self.applier, &events.iter().map(Event::encode).collect::<Vec<_>>()).await
    }

    /// Every row of `users` as JSON, in the order of the ids, and the claims.
    pub async fn rows(&self) -> Vec<serde_json::Value> {
        rows(&self.owner).await
    }

    /// One column of one user as text; `None` is null.
    pub async fn column(&self, sub: uuid::Uuid, column: &str) -> Option<String> {
        let query = format!("select to_jsonb(users) ->> '{column}' from users where id = $1");
        let value =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(sub).fetch_optional(&self.owner).await;
        value.unwrap().unwrap_or_else(|| panic!("no user {sub}"))
    }

    /// Who is in which group, as the application reads it.
    pub async fn members(&self) -> BTreeSet<(uuid::Uuid, String)> {
        let query = "select user_id, name from user_groups";
        let members: Vec<(uuid::Uuid, String)> = sqlx::query_as(query).fetch_all(&self.owner).await.unwrap();
        members.into_iter().collect()
    }

    pub async fn count(&self, table: &str) -> i64 {
        let query = format!("select count(*) from {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&self.owner).await.unwrap()
    }
}

pub async fn applier(deployment: &Deployment, connections: usize) -> Applier {
    let config = DatabaseConfig::with_url(&deployment.consumer_url);
    Applier::new(postgres::connect(&config, connections).await.unwrap())
}

/// Everything the service derives: rows of `users` and `user_claims`, as JSON.
pub async fn rows(pool: &PgPool) -> Vec<serde_json::Value> {
    // The version of a row counts its changes, and these depend on how events came.
    let query = "select to_jsonb(users) - 'row_version' from users union all select to_jsonb(user_claims) from user_claims";
    let query = format!(
        "select row from ({query}) as rows (row) order by row ->> 'id', row ->> 'user_id', row ->> 'kind', row ->> 'value'"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(pool).await.unwrap()
}

/// Applies bodies as the consumers of their queues do: what is recorded of sign-ins has one of its own.
pub async fn apply_any<B: AsRef<str>>(applier: &Applier, bodies: &[B]) -> Vec<Outcome> {
    let is_record = |body: &str| Event::decode(body).is_ok_and(|event| matches!(event, Event::Context(_)));
    let (records, others): (Vec<usize>, Vec<usize>) =
        (0..bodies.len()).partition(|at| is_record(bodies[*at].as_ref()));
    let of = |places: &[usize]| places.iter().map(|at| bodies[*at].as_ref()).collect::<Vec<&str>>();
    let mut outcomes = vec![Outcome::Duplicate; bodies.len()];
    let applied = applier.apply(&of(&others)).boxed().await;
    let recorded = applier.apply_records(&of(&records)).boxed().await;
    for (at, outcome) in others.into_iter().zip(applied).chain(records.into_iter().zip(recorded)) {
        outcomes[at] = outcome;
    }
    outcomes
}

/// Applies bodies until none is refused because somebody holds a row, as the queue delivers them; returns what became of
/// each.
pub async fn redelivered(applier: &Applier, bodies: &[String]) -> Vec<Outcome> {
    let conflict = Outcome::Retry(RetryCause::Conflict);
    let mut outcomes = vec![conflict.clone(); bodies.len()];
    while outcomes.contains(&conflict) {
        let open: Vec<usize> = (0..bodies.len()).filter(|at| outcomes[*at] == conflict).collect();
        let again: Vec<&String> = open.iter().map(|at| &bodies[*at]).collect();
        for (at, outcome) in open.iter().zip(apply_any(applier, &again).await) {
            outcomes[*at] = outcome;
        }
    }
    outcomes
}

/// Waits until so many sessions wait for a lock in the test's database.
pub async fn sessions_wait(database: &TestDatabase, sessions: i64) {
    let waiting = "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually(&format!("{sessions} wait"), Duration::from_secs(30), async || {
        database.count(waiting).await == sessions
    })
    .await;
}

/// Does both while every row of `users` can be read and not be locked, and lets go when both wait, `first` before `second`.
pub async fn in_turn_for_rows<A, B>(
    database: &TestDatabase,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> (A, B) {
    let mut holder = database.owner.begin().await.unwrap();
    sqlx::query("lock table users in exclusive mode").execute(&mut *holder).await.unwrap();
    let second = async {
        sessions_wait(database, 1).await;
        let end = async {
            sessions_wait(database, 2).await;
            holder.rollback().await.unwrap();
        };
        tokio::join!(second, end).0
    };
    tokio::join!(first, second)
}

/// An endpoint that refuses every connection as long as the socket is kept: it is bound, and does not listen.
pub fn refusing() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    (socket, endpoint)
}

/// Asks until the answer is yes; fails after `limit` with what was waited for.
pub async fn eventually(what: &str, limit: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A dead letter: its body, reason and field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetter {
    pub body: String,
    pub reason: String,
    pub field: String,
}

/// Takes everything from the dead-letter queue.
pub async fn dead_letters(deployment: &Deployment) -> Vec<DeadLetter> {
    let received = take(deployment, &deployment.dlq_url).await;
    let mut letters: Vec<DeadLetter> = received
        .into_iter()
        .map(|message| {
            let attributes = message.message_attributes.unwrap_or_default();
            let attribute = |name: &str| attributes.get(name).and_then(|value| value.string_value.clone());
            DeadLetter {
                body: message.body.unwrap_or_default(),
                reason: attribute("reason").unwrap_or_default(),
                field: attribute("field").unwrap_or_default(),
            }
        })
        .collect();
    letters.sort();
    letters
}

/// Sets after how many receives SQS itself moves a message to the dead-letter queue.
pub async fn permit_receives(deployment: &Deployment, receives: u32) {
    let arn = QueueAttributeName::QueueArn;
    let asked = deployment.client().get_queue_attributes().queue_url(&deployment.dlq_url);
    let answer = asked.attribute_names(arn.clone()).send().await.unwrap();
    let target = answer.attributes.unwrap()[&arn].clone();
    let policy = serde_json::json!({ "deadLetterTargetArn": target, "maxReceiveCount": receives });
    let request = deployment.client().set_queue_attributes().queue_url(&deployment.queue_url);
    let request = request.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
    request.send().await.unwrap();
}

/// Takes the queue's distinct messages: where an answer of SQS's is late, a sender sends its message twice.
pub async fn queued(deployment: &Deployment) -> BTreeSet<String> {
    take(deployment, &deployment.queue_url).await.into_iter().filter_map(|message| message.body).collect()
}

/// Takes everything that is visible: it stays hidden until a test has ended.
pub async fn take(deployment: &Deployment, url: &str) -> Vec<aws_sdk_sqs::types::Message> {
    let mut messages = Vec::new();
    loop {
        let request = deployment.client().receive_message().queue_url(url).max_number_of_messages(10);
        let request = request.message_attribute_names("All").visibility_timeout(600);
        let received = request.send().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            return messages;
        }
        messages.extend(received);
    }
}

/// Sends bodies to the queue as they are.
pub async fn send(deployment: &Deployment, bodies: &[String]) {
    for chunk in bodies.chunks(10) {
        let entries = chunk.iter().enumerate().map(|(index, body)| {
            let entry = aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder();
            entry.id(index.to_string()).message_body(body).build().unwrap()
        });
        let request = deployment.client().send_message_batch().queue_url(&deployment.queue_url);
        let sent = request.set_entries(Some(entries.collect())).send().await.unwrap();
        assert!(sent.failed.is_empty(), "{:?}", sent.failed);
    }
}
