//! A user pool of any size, and the table that goes with it: both are made up from numbers, so neither side holds
//! anything, and it counts what it is asked. It answers as Cognito's API does. Shared with the benchmark of reconcile.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use cognito_user_sync::store::maintenance::drift::Kind;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

/// The pool's id.
pub const ID: &str = "eu-west-1_Large0000";

/// 2025-01-01, when everybody was created.
const CREATED_AT: u64 = 1_735_689_600;

/// One in so many users is in the pool and has no row.
const MISSING: u64 = 1_000;
/// One in so many rows has no user in the pool.
const GONE: u64 = 1_500;
/// One in so many users has no sub.
const WITHOUT_SUB: u64 = 2_000;

/// What differs among so many users.
pub fn drift(users: u64) -> BTreeMap<Kind, u64> {
    let count = |is: fn(u64) -> bool| (0..users).filter(|number| is(*number)).count() as u64;
    let drift = [
        (Kind::Missing, count(is_missing)),
        (Kind::Gone, users / GONE),
        (Kind::WithoutSub, count(is_without_sub)),
    ];
    drift.into_iter().filter(|(_, users)| *users > 0).collect()
}

fn is_missing(number: u64) -> bool {
    number % MISSING == 7
}

fn is_without_sub(number: u64) -> bool {
    number % WITHOUT_SUB == 11
}

fn is_federated(number: u64) -> bool {
    number.is_multiple_of(5)
}

/// A sub tells its number, and their order is not that of the numbers; the statement below says the same.
fn sub(number: u64) -> Uuid {
    let hash = Sha256::digest(number.to_string());
    let high = u64::from_be_bytes(hash[..8].try_into().unwrap());
    Uuid::from_u64_pair(high, number)
}

fn username(number: u64) -> String {
    if is_federated(number) { format!("Google_{number}") } else { format!("user-{number}") }
}

fn user(number: u64) -> Value {
    let mut listed = vec![
        json!({ "Name": "email", "Value": format!("user{number}@example.com") }),
        json!({ "Name": "email_verified", "Value": "true" }),
        json!({ "Name": "name", "Value": format!("Given{} Family{}", number % 1_000, number % 5_000) }),
    ];
    if !is_without_sub(number) {
        listed.push(json!({ "Name": "sub", "Value": sub(number) }));
    }
    json!({
        "Username": username(number), "Enabled": true, "Attributes": listed,
        "UserStatus": if is_federated(number) { "EXTERNAL_PROVIDER" } else { "CONFIRMED" },
        "UserCreateDate": CREATED_AT, "UserLastModifiedDate": CREATED_AT,
    })
}

/// What it does about the filter of a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranges {
    Known,
    Ignored,
    /// Nobody is listed by it.
    Empty,
}

/// How it answers.
struct Shared {
    users: u64,
    ranges: Ranges,
    /// Everybody with a sub, in its order; made when it is first asked for.
    by_sub: OnceLock<Vec<(Uuid, u64)>>,
    /// How many requests there were, by operation.
    requests: Mutex<BTreeMap<String, u64>>,
}

/// The API, on a loopback port; it ends with the runtime.
pub struct LargePool {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
}

impl LargePool {
    pub async fn start(users: u64) -> Self {
        Self::start_with(users, Ranges::Known).await
    }

    /// One that may not know the filter of a beginning.
    pub async fn start_with(users: u64, ranges: Ranges) -> Self {
        let (by_sub, requests) = Default::default();
        let shared = Arc::new(Shared { users, ranges, by_sub, requests });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared }
    }

    /// How many requests there were of an operation.
    pub fn asked(&self, operation: &str) -> u64 {
        self.shared.requests.lock().unwrap().get(operation).copied().unwrap_or(0)
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Answer {
    let request: Value = serde_json::from_str(&body).unwrap();
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap_or_default();
    *shared.requests.lock().unwrap().entry(operation.to_owned()).or_default() += 1;
    let users = shared.users;
    let answer = match operation {
        "DescribeUserPool" => Ok(json!({ "UserPool": { "Id": ID, "EstimatedNumberOfUsers": users } })),
        "ListUsers" => match request["Filter"].as_str() {
            Some(filter) => find(&request, filter, &shared),
            None => list(&request, users, |number| number),
        },
        // Everybody is in one group.
        "ListGroups" => Ok(json!({ "Groups": [{ "GroupName": "everybody", "UserPoolId": ID }] })),
        "ListUsersInGroup" => list(&request, users, |number| number),
        _ => panic!("{target} is not asked"),
    };
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(code) => (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "as asked" })),
    };
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string())
}

fn find(request: &Value, filter: &str, shared: &Shared) -> Result<Value, &'static str> {
    let (question, value) = filter.trim_end_matches('"').split_once('"').unwrap();
    let found = match question {
        "sub = " => number_of(value.parse().unwrap(), shared.users),
        "username = " => number_named(value, shared.users),
        "sub ^= " if shared.ranges == Ranges::Ignored => return list(request, shared.users, |number| number),
        "sub ^= " if shared.ranges == Ranges::Empty => return list(request, 0, |number| number),
        "sub ^= " => {
            let by_sub = shared.by_sub.get_or_init(|| {
                let with_sub = (0..shared.users).filter(|number| !is_without_sub(*number));
                let mut by_sub: Vec<_> = with_sub.map(|number| (sub(number), number)).collect();
                by_sub.sort_unstable();
                by_sub
            });
            let digits = |sub: Uuid| sub.to_string()[..value.len()].to_owned();
            let start = by_sub.partition_point(|(sub, _)| digits(*sub).as_str() < value);
            let end = by_sub.partition_point(|(sub, _)| digits(*sub).as_str() <= value);
            let range = &by_sub[start..end];
            return list(request, range.len() as u64, |index| range[usize::try_from(index).unwrap()].1);
        }
        _ => return Err("InvalidParameterException"),
    };
    let found: Vec<Value> = found.map(user).into_iter().collect();
    Ok(json!({ "Users": found }))
}

/// A page of so many users.
fn list(request: &Value, users: u64, number: impl Fn(u64) -> u64) -> Result<Value, &'static str> {
    let token = request["PaginationToken"].as_str().or(request["NextToken"].as_str());
    let start = token.map_or(Ok(0), str::parse::<u64>);
    let start = start.map_err(|_| "InvalidParameterException")?;
    let end = users.min(start + request["Limit"].as_u64().unwrap());
    let page: Vec<Value> = (start..end).map(|index| user(number(index))).collect();
    let next = (end < users).then(|| end.to_string());
    Ok(json!({ "Users": page, "PaginationToken": next, "NextToken": next }))
}

fn number_of(sub: Uuid, users: u64) -> Option<u64> {
    let (_, number) = sub.as_u64_pair();
    (number < users && !is_without_sub(number) && self::sub(number) == sub).then_some(number)
}

fn number_named(name: &str, users: u64) -> Option<u64> {
    let number = name.split_once(['-', '_']).and_then(|(_, number)| number.parse::<u64>().ok());
    number.filter(|number| *number < users && username(*number) == name)
}

/// Makes the rows that the pool's users should have, but for those that differ, by one statement.
pub async fn fill(owner: &PgPool, users: u64) {
    let number = |number: u64| i64::try_from(number).unwrap();
    let mut tx = owner.begin().await.unwrap();
    sqlx::query("set local user_sync.service = 'on'").execute(&mut *tx).await.unwrap();
    sqlx::query(
        "insert into users (id, name, referral_code, created_at, synced_at, updated_at, user_pool_id, \
             cognito_username, cognito_status, cognito_attributes, attributes_version, enabled_at) \
         select (left(encode(sha256(n::text::bytea), 'hex'), 16) || lpad(to_hex(n), 16, '0'))::uuid, \
             format('Given%s Family%s', n % 1000, n % 5000), 'code' || n, to_timestamp($3), to_timestamp($3), \
             to_timestamp($3), $2, case when n % 5 = 0 then 'Google_' else 'user-' end || n, \
             case when n % 5 = 0 then 'EXTERNAL_PROVIDER' else 'CONFIRMED' end, \
             jsonb_build_object('email', format('user%s@example.com', n), 'email_verified', 'true', \
                 'name', format('Given%s Family%s', n % 1000, n % 5000)), \
             '01941f29-7c00-7000-8000-000000000000', to_timestamp($3) \
         from generate_series(0, $1 - 1 + $1 / $4) as n \
         where n >= $1 or (n % $5 <> 7 and n % $6 <> 11)",
    )
    .bind(number(users))
    .bind(ID)
    .bind(f64::from(u32::try_from(CREATED_AT).unwrap()))
    .bind(number(GONE))
    .bind(number(MISSING))
    .bind(number(WITHOUT_SUB))
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    sqlx::query("analyze users").execute(owner).await.unwrap();
}

/// What a program printed, and the most memory that it had, in kB.
pub async fn measured(mut program: tokio::process::Child) -> (Output, u64) {
    let status = format!("/proc/{}/status", program.id().unwrap());
    let mut peak = 0;
    while program.try_wait().unwrap().is_none() {
        peak = peak.max(self::peak(&status).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (program.wait_with_output().await.unwrap(), peak)
}

/// The most memory that a process had until now, in kB.
pub fn peak(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
