//! All routes, and the layers around them: what every answer says to the browser, and what a request may be. Must not know
//! a page.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderValue;
use axum::http::header::{self, HeaderName};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::console::page::Look;
use crate::console::trouble::{Trouble, dress};
use crate::console::{
    Shared, access, analytics, assets, dead_letters, drift, help, now, plans, trail, users,
};

/// The most that a request may send; forms are small.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// The longest path and query; a page's own are far below. (hyper refuses what is beyond 64 KB by itself.)
const URI_MAX_BYTES: usize = 4096;

/// How long a request may take until its answer begins: above what a page's questions may.
const LIMIT: Duration = Duration::from_secs(30);

/// What every answer says. Nothing comes from elsewhere, nothing is framed, nothing is kept.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Everything that the console serves.
pub(in crate::console) fn router(shared: Shared) -> Router {
    let pages = Router::new()
        .route("/", get(|| async { Redirect::to("/now") }))
        .merge(now::routes())
        .merge(users::routes())
        .merge(analytics::routes())
        .merge(dead_letters::routes())
        .merge(plans::routes())
        .merge(drift::routes())
        .merge(trail::routes())
        .merge(help::routes())
        .fallback(|| async { Trouble::NotFound("page") })
        .layer(middleware::from_fn_with_state(shared.clone(), dress))
        .layer(middleware::from_fn_with_state(shared.clone(), access::guard));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .merge(assets::routes())
        .merge(access::routes())
        .merge(pages)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn(within_limits))
        .layer(middleware::from_fn_with_state(shared.clone(), dress))
        .layer(middleware::from_fn_with_state(shared.clone(), access::border))
        .layer(middleware::from_fn(with_headers))
        .layer(middleware::from_fn(logged))
        .with_state(shared)
}

async fn with_headers(request: Request, next: Next) -> Response {
    let refresh = Look::of(&request).refresh_seconds.map(HeaderValue::from);
    let mut response = next.run(request).await;
    // A browser without script asks again by itself.
    if let Some(seconds) = refresh {
        response.headers_mut().insert(header::REFRESH, seconds);
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn within_limits(request: Request, next: Next) -> Response {
    let uri = request.uri();
    if uri.path_and_query().is_some_and(|text| text.as_str().len() > URI_MAX_BYTES) {
        return Trouble::TooLarge.into_response();
    }
    let answer = tokio::time::timeout(LIMIT, next.run(request)).await;
    answer.unwrap_or_else(|_| Trouble::Late.into_response())
}

/// A path without what may be somebody's or secret: ids and tokens are long.
fn without_ids(path: &str) -> String {
    path.split('/').map(|part| if part.len() > 24 { "*" } else { part }).collect::<Vec<_>>().join("/")
}

/// A line a request, without its query.
async fn logged(request: Request, next: Next) -> Response {
    let (method, path, at) = (request.method().clone(), without_ids(request.uri().path()), Instant::now());
    let response = next.run(request).await;
    let (status, duration_ms) = (response.status().as_u16(), at.elapsed().as_millis());
    tracing::info!(
        http.method = %method,
        http.path = path,
        http.status = status,
        http.duration_ms = u64::try_from(duration_ms).unwrap_or(u64::MAX),
        "answered"
    );
    response
}
