//! The user pool of the made-up company: answers what `reconcile` asks of Cognito. Must not know the database.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::people::GROUPS;
use super::{POOL, Person, TRIGGER};

/// Answers at this listener until it is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, people: Vec<Person>) -> std::io::Result<()> {
    axum::serve(listener, Router::new().route("/", post(answer)).with_state(Arc::new(people))).await
}

async fn answer(State(people): State<Arc<Vec<Person>>>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let there = || people.iter().filter(|person| !person.is_gone());
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let answer = match target.rsplit('.').next().unwrap_or_default() {
        "DescribeUserPool" => Some(json!({ "UserPool": {
            "Id": POOL,
            "EstimatedNumberOfUsers": there().count(),
            "LambdaConfig": { "PostConfirmation": TRIGGER, "PostAuthentication": TRIGGER },
        } })),
        "ListUsers" => found(text("Filter"), &people).map_or_else(
            || Some(page(&request, there())),
            |found| Some(json!({ "Users": found.map(Person::listed).into_iter().collect::<Vec<_>>() })),
        ),
        "ListGroups" => {
            let groups = GROUPS.map(|(name, _)| json!({ "GroupName": name, "UserPoolId": POOL }));
            Some(json!({ "Groups": groups }))
        }
        "ListUsersInGroup" => {
            let group = text("GroupName").unwrap_or_default();
            Some(page(&request, there().filter(|person| person.groups().any(|own| own == group))))
        }
        _ => None,
    };
    let (status, body) = match answer {
        Some(body) => (StatusCode::OK, body),
        None => (
            StatusCode::BAD_REQUEST,
            json!({ "__type": "InvalidParameterException", "message": "not asked here" }),
        ),
    };
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}

/// Who a filter asks for, if it asks for one user.
fn found<'a>(filter: Option<&str>, people: &'a [Person]) -> Option<Option<&'a Person>> {
    let (question, value) = filter?.trim_end_matches('"').split_once('"')?;
    let by = |is: &dyn Fn(&Person) -> bool| people.iter().find(|person| !person.is_gone() && is(person));
    match question {
        "sub = " => Some(by(&|person| person.sub.to_string() == value)),
        "username = " => Some(by(&|person| person.is_named(value))),
        _ => None,
    }
}

/// A page of these.
fn page<'a>(request: &Value, people: impl Iterator<Item = &'a Person>) -> Value {
    let token = ["PaginationToken", "NextToken"].into_iter().find_map(|name| request.get(name)?.as_str());
    let start = token.and_then(|token| token.parse::<usize>().ok()).unwrap_or(0);
    let limit = request
        .get("Limit")
        .and_then(Value::as_u64)
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(60);
    let mut users: Vec<Value> = people.skip(start).take(limit + 1).map(Person::listed).collect();
    let next = (users.len() > limit).then(|| (start + limit).to_string());
    users.truncate(limit);
    json!({ "Users": users, "PaginationToken": next, "NextToken": next })
}
