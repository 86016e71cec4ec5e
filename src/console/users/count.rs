//! Counts all the users that a page's filters show: as a task in pieces, which everybody who asks the same shares. Must not
//! know how a list is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Form, State};
use axum::response::Redirect;
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::future::{BoxFuture, FutureExt as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::console::access::Visitor;
use crate::console::plans::job::{Cancel, Done, Figures, Order, Progress, Worker};
use crate::console::plans::{self, Draft, Kind, Samples};
use crate::console::trouble::Trouble;
use crate::console::users::list::Asked;
use crate::console::{Console, Shared, words};
use crate::postgres::Database;
use crate::store::console::tasks::{self, Seen, State as Standing};
use crate::store::directory::{Count, Piece};

/// How long a count is shown on the list.
const SHOWN_FOR: Duration = Duration::from_secs(3_600);

/// The shortest rest between two pieces: reading takes at most half of the time.
const REST: Duration = Duration::from_millis(20);

/// How often a piece is tried that the database does not answer, and how long apart.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(2);

/// The longest name of a group or pool that a plan keeps, in bytes.
const NAME_MAX_BYTES: usize = 1_000;

/// What was counted of a list, or is being counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    /// How many, and when: of a count that ended within the hour.
    pub(super) number: Option<(u64, Timestamp)>,
    /// The task of one that goes on.
    pub(super) task: Option<String>,
}

/// What is known of a list's number. Where it cannot be asked for, nothing is.
pub(super) async fn counted(console: &Console, asked: &Asked) -> Counted {
    let latest = tasks::latest_of(&console.reads, Kind::CountUsers.as_str(), &scope(asked), SHOWN_FOR).await;
    let latest = latest.unwrap_or_else(|error| {
        tracing::warn!(error = crate::logging::causes(&error), "what was counted cannot be read");
        Vec::new()
    });
    let number = latest.iter().find(|seen| seen.state == Standing::Done).and_then(of_all);
    let running = latest.iter().find(|seen| seen.state == Standing::Running);
    Counted { number, task: running.map(|seen| format!("/tasks/{}", seen.id)) }
}

/// The number that a count came to.
fn of_all(seen: &Seen) -> Option<(u64, Timestamp)> {
    seen.note.counts.first().map(|(_, count)| (*count, seen.noted_at))
}

/// What a count is bound to: the filters, as the URL has them.
fn scope(asked: &Asked) -> Value {
    json!(Asked { after: String::new(), ..asked.clone() })
}

/// POST `/users/count`: leads to the count that goes on, or to the plan of one.
pub(super) async fn plan(
    State(console): State<Shared>,
    visitor: Visitor,
    Form(asked): Form<Asked>,
) -> Result<Redirect, Trouble> {
    asked.filter()?;
    if asked.group.len() > NAME_MAX_BYTES || asked.pool.len() > NAME_MAX_BYTES {
        return Err(Trouble::Refused("There is no group or pool with a name that long.".to_owned()));
    }
    let draft = Draft {
        kind: Kind::CountUsers,
        scope: scope(&asked),
        ids: Vec::new(),
        count: 0,
        facts: asked.facts(),
        samples: Samples::default(),
    };
    plans::must_act(&console, &visitor, &draft.kind.verb(0)).await?;
    match plans::under_way(&console, draft.kind, &draft.scope).await? {
        Some(task) => Ok(Redirect::to(&format!("/tasks/{task}"))),
        None => Ok(plans::to_plan(plans::make(&console, &visitor, draft).await?)),
    }
}

/// Counts.
#[derive(Debug)]
pub(in crate::console) struct Counter {
    reads: Database,
}

impl Worker for Counter {
    fn run(self: Arc<Self>, order: Order, progress: Progress, cancel: Cancel) -> BoxFuture<'static, Done> {
        async move { self.count(&order, &progress, cancel).await }.boxed()
    }
}

impl Counter {
    pub(in crate::console) fn new(reads: Database) -> Arc<Self> {
        Arc::new(Self { reads })
    }

    async fn count(&self, order: &Order, progress: &Progress, mut cancel: Cancel) -> Done {
        let asked = serde_json::from_value::<Asked>(order.scope.clone()).ok();
        let Some(filter) = asked.and_then(|asked| asked.filter().ok()) else {
            return Done::Failed("no such filter");
        };
        let mut count = Count::of(filter, Timestamp::now());
        // An estimate of the end; without one the task says how far it is.
        let about = count.about(&self.reads).await.ok().flatten();
        loop {
            let begun = Instant::now();
            let piece = tokio::select! {
                piece = self.piece(&mut count) => piece,
                () = cancel.asked_for() => return Done::Cancelled,
            };
            let Some(piece) = piece else { return Done::Failed("database unavailable") };
            progress.is(figures(piece, about));
            if piece.is_last {
                return Done::All;
            }
            tokio::select! {
                () = sleep(begun.elapsed().max(REST)) => {}
                () = cancel.asked_for() => return Done::Cancelled,
            }
        }
    }

    async fn piece(&self, count: &mut Count) -> Option<Piece> {
        for _ in 0..TRIES {
            match count.next(&self.reads).await {
                Ok(piece) => return Some(piece),
                Err(error) => {
                    tracing::warn!(error = crate::logging::causes(&error), "a piece of a count failed");
                    sleep(PAUSE).await;
                }
            }
        }
        None
    }
}

fn figures(piece: Piece, about: Option<u64>) -> Figures {
    let Piece { looked, matching, is_last } = piece;
    let total = if is_last { Some(looked) } else { about.map(|about| about.max(looked)) };
    Figures { done: looked, total, counts: vec![("Users".to_owned(), matching)] }
}

/// Beside the list's heading: `1,048,312, counted at 14:31:40`.
pub(super) fn words((number, at): (u64, Timestamp)) -> String {
    format!("{}, counted at {} UTC", words::count(number), words::clock(at))
}
