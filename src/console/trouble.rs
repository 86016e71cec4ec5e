//! What a page cannot show: what is wrong, what is safe, what to do. Must not quote what a row holds.

use std::error::Error as StdError;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::console::Shared;
use crate::console::access::{Right, Visitor};
use crate::console::page::{Frame, Look, Page, Section};
use crate::console::status::Status;
use crate::console::words;
use crate::logging;
use crate::store::StoreError;

type Cause = Box<dyn StdError + Send + Sync>;

/// Why there is no page. [`dress`] makes a page of it.
#[derive(Debug)]
pub(in crate::console) enum Trouble {
    /// 403: the visitor has not this right.
    Forbidden(Right),
    /// 404: what there is not, as "user", "plan".
    NotFound(&'static str),
    /// 400: a sentence of ours that says what is wrong with what was asked.
    Refused(String),
    /// 503: the database is silent, or says no.
    Database(Cause),
    /// 503: what was asked for could not be written down first, so it was not done.
    Unwritten(Cause),
    /// 503: the database answered, but not this within its limit.
    Slow(Cause),
    /// 401: nobody is signed in.
    SignIn,
    /// 504: it took too long.
    Late,
    /// 413: a form or a URL that no page of ours makes.
    TooLarge,
    /// 500: a mistake of ours.
    Broken(Cause),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::of_database(Box::new(error))
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::of_database(Box::new(error))
    }
}

/// 57014: the statement's own limit ended it ("PostgreSQL Error Codes", appendix A of PostgreSQL's manual).
fn is_slow(cause: &(dyn StdError + 'static)) -> bool {
    let causes = std::iter::successors(Some(cause), |cause: &&(dyn StdError + 'static)| (*cause).source());
    let is_limit = |error: &sqlx::Error| {
        error.as_database_error().and_then(|error| error.code()).as_deref() == Some("57014")
    };
    causes.filter_map(|cause| cause.downcast_ref::<sqlx::Error>()).any(is_limit)
}

impl Trouble {
    fn of_database(cause: Cause) -> Self {
        if is_slow(cause.as_ref()) { Self::Slow(cause) } else { Self::Database(cause) }
    }

    /// What could not be written down was not done.
    pub(in crate::console) fn unwritten(error: sqlx::Error) -> Self {
        Self::Unwritten(Box::new(error))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::Database(_) | Self::Unwritten(_) | Self::Slow(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::SignIn => StatusCode::UNAUTHORIZED,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Says once in the log what an operator must know.
    fn log(&self) {
        match self {
            Self::Database(error) => {
                tracing::warn!(error = logging::causes(error.as_ref()), "the database did not answer a page");
            }
            Self::Unwritten(error) => {
                let error = logging::causes(error.as_ref());
                tracing::warn!(error, "what was asked for could not be written down, and was not done");
            }
            Self::Slow(error) => {
                tracing::warn!(error = logging::causes(error.as_ref()), "a page's question took too long");
            }
            Self::Broken(error) => {
                tracing::error!(error = logging::causes(error.as_ref()), "a page could not be made");
            }
            Self::Late => tracing::warn!("a page took too long"),
            Self::Forbidden(_) | Self::NotFound(_) | Self::Refused(_) | Self::SignIn | Self::TooLarge => {}
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "You may not do this",
            Self::NotFound(_) => "There is nothing here",
            Self::Refused(_) => "This cannot be done as it was asked",
            Self::Database(_) => "The database does not answer.",
            Self::Unwritten(_) => "Nothing was done: it could not be written down",
            Self::Slow(_) => "This takes longer than a page may ask",
            Self::SignIn => "Sign in",
            Self::Late => "This took too long",
            Self::TooLarge => "This is too large",
            Self::Broken(_) => "This page could not be made",
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[derive(Debug, Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    frame: Frame,
    trouble: Arc<Trouble>,
    title: &'static str,
    /// Now, as the page says it.
    at: String,
}

/// What the framework says of a form that no page of ours makes, by a line of text.
fn refused_form(response: &Response) -> Option<Trouble> {
    let media_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if media_type.is_some_and(|media_type| !media_type.starts_with(b"text/plain")) {
        return None;
    }
    match response.status().as_u16() {
        400 | 415 | 422 => {
            Some(Trouble::Refused("This is not what a page of this console asks for.".to_owned()))
        }
        405 => {
            Some(Trouble::Refused("This address takes what a page sends to it, and is no page.".to_owned()))
        }
        413 => Some(Trouble::TooLarge),
        _ => None,
    }
}

/// Makes a page of a [`Trouble`]: within [`access`](crate::console::access) with the visitor's name and rights, outside
/// of it without.
pub(in crate::console) async fn dress(
    State(console): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let (look, visitor) = (Look::of(&request), request.extensions().get::<Visitor>().cloned());
    let mut response = next.run(request).await;
    let trouble = response.extensions_mut().remove::<Arc<Trouble>>();
    let Some(trouble) = trouble.or_else(|| refused_form(&response).map(Arc::new)) else { return response };
    trouble.log();
    let frame = match &visitor {
        Some(visitor) => Frame::of(&console, visitor, Section::None),
        None => Frame::outside(&console, look),
    };
    let status = trouble.status();
    let (title, at) = (trouble.title(), words::utc(Timestamp::now()));
    let mut dressed = (status, Page(TroublePage { frame, trouble, title, at })).into_response();
    // What the answer said besides stays, as a cookie that ends a session.
    for (name, value) in response.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
            dressed.headers_mut().append(name, value.clone());
        }
    }
    dressed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use askama::Template as _;
    use axum::http::StatusCode;

    use super::{Trouble, TroublePage};
    use crate::console::access::{Right, Rights};
    use crate::console::now::Marks;
    use crate::console::page::{Frame, Look, Section};

    fn page(trouble: Trouble) -> (StatusCode, String) {
        let frame = Frame {
            environment: "test".to_owned(),
            section: Section::None,
            marks: Marks::default(),
            visitor: Some(("mara".to_owned(), Rights { read: true, ..Rights::default() })),
            look: Look { path: "/users".to_owned(), ..Look::default() },
        };
        let (status, title, at) = (trouble.status(), trouble.title(), "24 Nov 2026 14:32:09".to_owned());
        (status, TroublePage { frame, trouble: Arc::new(trouble), title, at }.render().unwrap())
    }

    fn secret() -> Box<sqlx::Error> {
        Box::new(sqlx::Error::Protocol("canary".to_owned()))
    }

    #[test]
    fn each_trouble_says_what_is_safe_and_none_repeats_its_cause() {
        let troubles = [
            (Trouble::Forbidden(Right::Act), 403, "Nothing was changed"),
            (Trouble::NotFound("user"), 404, "no such user"),
            (Trouble::Refused("The <count> is wrong.".to_owned()), 400, "The &#60;count&#62; is wrong."),
            (Trouble::Database(secret()), 503, "Nothing is lost while you look"),
            (Trouble::Unwritten(secret()), 503, "nothing was revealed"),
            (Trouble::Slow(secret()), 503, "Nothing was changed"),
            (Trouble::SignIn, 401, "Nothing was done"),
            (Trouble::Late, 504, "what was done here"),
            (Trouble::TooLarge, 413, "Nothing was changed"),
            (Trouble::Broken(secret()), 500, "says nothing of sign-ins"),
        ];
        for (trouble, status, said) in troubles {
            let (answered, page) = page(trouble);
            assert_eq!(answered.as_u16(), status, "{said}");
            assert!(page.contains(said), "{said}: {page}");
            assert!(!page.contains("canary"), "{page}");
            assert_eq!(page.matches("<h1").count(), 1, "{said}");
        }
    }

    #[test]
    fn who_lacks_a_right_learns_which_and_how_to_get_it() {
        let (_, page) = page(Trouble::Forbidden(Right::Reveal));
        for said in ["<strong>reveal</strong>", "You may read.", "--allow reveal"] {
            assert!(page.contains(said), "{said}: {page}");
        }
    }

    #[test]
    fn a_statement_that_its_limit_ended_is_slow_and_others_are_the_database() {
        assert!(matches!(Trouble::from(sqlx::Error::PoolTimedOut), Trouble::Database(_)));
    }
}
