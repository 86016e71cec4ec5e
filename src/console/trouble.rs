//! What a page cannot show: what is wrong, what is safe, what to do. Must not quote what a row holds.

use std::error::Error as StdError;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::console::Shared;
use crate::console::access::{Right, Visitor};
use crate::console::page::{Frame, Look, Page, Section};
use crate::logging;
use crate::store::StoreError;

type Cause = Box<dyn StdError + Send + Sync>;

/// Why there is no page. [`dress`] makes a page of it.
#[derive(Debug)]
pub(in crate::console) enum Trouble {
    /// 403: the visitor has not this right.
    Forbidden(Right),
    /// 403: by what they have not; a sentence of ours for people.
    Stopped(&'static str),
    /// 404: what there is not, as "user", "plan".
    NotFound(&'static str),
    /// 400: a sentence of ours that says what is wrong with what was asked.
    Refused(String),
    /// 503: the database is silent, or says no.
    Database(Cause),
    /// 503: what was asked for could not be written down first, so it was not done.
    Unwritten(Cause),
    /// 503: SQS is silent, or says no.
    Queue(Cause),
    /// 401: nobody is signed in.
    SignIn,
    /// 504: it took too long.
    Late,
    /// 500: a mistake of ours.
    Broken(Cause),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Database(Box::new(error))
    }
}

impl Trouble {
    /// What could not be written down was not done.
    pub(in crate::console) fn unwritten(error: sqlx::Error) -> Self {
        Self::Unwritten(Box::new(error))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Forbidden(_) | Self::Stopped(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::Database(_) | Self::Unwritten(_) | Self::Queue(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::SignIn => StatusCode::UNAUTHORIZED,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
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
            Self::Queue(error) => {
                tracing::warn!(error = logging::causes(error.as_ref()), "the queue did not answer a page");
            }
            Self::Broken(error) => {
                tracing::error!(error = logging::causes(error.as_ref()), "a page could not be made");
            }
            Self::Late => tracing::warn!("a page took too long"),
            Self::Forbidden(_) | Self::Stopped(_) | Self::NotFound(_) | Self::Refused(_) | Self::SignIn => {}
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
    let Some(trouble) = response.extensions_mut().remove::<Arc<Trouble>>() else { return response };
    trouble.log();
    let frame = match &visitor {
        Some(visitor) => Frame::of(&console, visitor, Section::None),
        None => Frame::outside(&console, look),
    };
    let status = trouble.status();
    (status, Page(TroublePage { frame, trouble })).into_response()
}
