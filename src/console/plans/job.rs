//! What the console does by itself, piece by piece: the contract between a task and whoever does the work. Must not know a
//! page, and not what is done.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::console::plans::kind::Kind;

/// What a started plan orders.
#[derive(Debug, Clone)]
pub(in crate::console) struct Order {
    /// The plan that was started.
    pub(in crate::console) plan: Uuid,
    /// Who started it.
    pub(in crate::console) by: String,
    /// What is to be done.
    pub(in crate::console) kind: Kind,
    /// What it is about, as whoever made the plan wrote it.
    pub(in crate::console) scope: Value,
    /// What it is bound to: nothing else may be touched.
    pub(in crate::console) ids: Vec<String>,
    /// At most so many a second.
    pub(in crate::console) rate: u32,
}

/// Who does the work of some kinds, within this process.
pub(in crate::console) trait Worker: Send + Sync + 'static {
    /// Does what is ordered, and says so piece by piece. When `cancel` is asked for, it stops before the next piece, leaves
    /// nothing half done, and answers [`Done::Cancelled`].
    fn run(self: Arc<Self>, order: Order, progress: Progress, cancel: Cancel) -> BoxFuture<'static, Done>;
}

/// How a task ended. Whatever was counted until then is in its [`Progress`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console) enum Done {
    /// Everything is done.
    All,
    /// It was cancelled; the rest is as it was.
    Cancelled,
    /// It ended early. A class of the failure, such as `queue_unavailable`: never a value, never a server's own words.
    Failed(&'static str),
}

/// How far a task is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::console) struct Figures {
    /// Pieces that are behind it, whatever became of them.
    pub(in crate::console) done: u64,
    /// All pieces, where that is known.
    pub(in crate::console) total: Option<u64>,
    /// What became of them, in the order in which the page shows it: `("Sent back", 612)`. At most eight.
    pub(in crate::console) counts: Vec<(String, u64)>,
}

/// Takes down how far a task is: cheap, so say it after each piece. It is written to the database every two seconds.
#[derive(Debug, Clone, Default)]
pub(in crate::console) struct Progress(Arc<Mutex<Figures>>);

impl Progress {
    /// The task is so far.
    pub(in crate::console) fn is(&self, figures: Figures) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// How far it is.
    pub(in crate::console) fn figures(&self) -> Figures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a task is to stop.
#[derive(Debug, Clone)]
pub(in crate::console) struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// One that is asked for by sending `true`.
    pub(in crate::console) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Completes when it is asked for, and never if it is not.
    pub(in crate::console) async fn asked_for(&mut self) {
        if self.0.wait_for(|is_asked_for| *is_asked_for).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
