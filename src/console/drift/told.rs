//! A run as its task shows it: how far it is, what it found, why it ended early. Pure.

use uuid::Uuid;

use crate::console::drift::look::{self, Kind, Mark};
use crate::console::words;
use crate::store::runs::{Seen, State, What};

/// A command's run, for the page of the task that started it.
#[derive(Debug)]
pub(in crate::console) struct Told {
    /// Of the run's own page.
    pub(in crate::console) id: Uuid,
    pub(in crate::console) mark: Mark,
    /// `61 % · 101,400 of 166,204 logins`, or how long it took.
    pub(in crate::console) over: String,
    pub(in crate::console) done: u64,
    pub(in crate::console) total: u64,
    pub(in crate::console) state: State,
    /// When it last gave a sign of life.
    pub(in crate::console) noted: String,
    /// The answer, as a sentence; empty where there is none yet.
    pub(in crate::console) found: String,
    pub(in crate::console) kinds: Vec<Kind>,
    /// The class of what ended it early.
    pub(in crate::console) error: Option<String>,
}

impl Told {
    pub(in crate::console) fn of(run: &Seen) -> Self {
        Self {
            id: run.id,
            mark: look::mark(Some(run)),
            over: look::over(run),
            done: run.done,
            total: run.total.unwrap_or(0),
            state: run.state,
            noted: words::utc(run.progressed_at),
            found: found(run),
            kinds: look::kinds(run),
            error: run.error.clone(),
        }
    }
}

fn found(run: &Seen) -> String {
    match (run.what, run.found()) {
        (_, _) if run.state != State::Ended => String::new(),
        (What::Reconcile | What::Drift | What::Verify | What::Audit, Some(0)) => {
            "It found nothing that is not as it should be.".to_owned()
        }
        (What::Maintain, None | Some(_)) => format!("It is done: {}.", look::over(run)),
        (What::Reconcile | What::Drift | What::Verify | What::Audit, _) => {
            format!("It found {}.", look::found(run))
        }
    }
}
