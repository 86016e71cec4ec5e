//! A run that is under way, as whoever runs it writes it down. Softly: what cannot be written is said once in the log, and
//! nobody waits for it or fails by it. Must not know what is run.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::logging::causes;
use crate::postgres::Database;
use crate::store::runs::note::{self, LIMIT};
use crate::store::runs::{NotWritten, Note, Notes, What};

/// The shortest time between two notes of progress.
const PACE: Duration = Duration::from_secs(5);

/// The longest: a run without progress lives, too.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// What a run is at its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Its id: one that somebody waits for, or a new one.
    pub id: Uuid,
    /// What runs.
    pub what: What,
    /// For whom, where that is not who connects.
    pub started_by: Option<String>,
    /// Over what: a pool, a range, what it may do. An object of some hundred bytes, without a value of anybody's.
    pub scope: Value,
}

impl Begin {
    /// A run of nobody in particular.
    #[must_use]
    pub fn new(what: What, scope: Value) -> Self {
        Self { id: Uuid::now_v7(), what, started_by: None, scope }
    }
}

/// A run. Dropped without an end, it has none: whoever looks finds that it stopped.
pub struct Run {
    id: Uuid,
    what: What,
    /// None where its beginning could not be written.
    open: Option<Open>,
}

struct Open {
    notes: Notes,
    progress: watch::Sender<Progress>,
    stop: oneshot::Sender<()>,
    keeper: JoinHandle<()>,
}

type Progress = (u64, Option<u64>);

impl Run {
    /// Writes down that something begins. Takes 2 seconds at most, on a connection of its own.
    pub async fn begin(database: &Database, what: What, scope: Value) -> Self {
        Self::begin_by(note::by(database), Begin::new(what, scope)).await
    }

    /// The same, as somebody's run.
    pub async fn begin_as(database: &Database, begin: Begin) -> Self {
        Self::begin_by(note::by(database), begin).await
    }

    /// The same, by another way to the table.
    pub async fn begin_by(notes: Notes, begin: Begin) -> Self {
        let Begin { id, what, started_by, scope } = begin;
        let began = Note::Began { id, what, started_by, scope, total: None };
        match within(notes(began)).await {
            Ok(()) => Self::go_on_by(notes, id, what),
            Err(error) => {
                not_written(what, &error);
                Self::unwritten(what)
            }
        }
    }

    /// A run that began in another process.
    #[must_use]
    pub fn go_on(database: &Database, id: Uuid, what: What) -> Self {
        Self::go_on_by(note::by(database), id, what)
    }

    /// A run that is not written down.
    #[must_use]
    pub fn unwritten(what: What) -> Self {
        Self { id: Uuid::nil(), what, open: None }
    }

    /// A run that began in another process, by this way to the table.
    #[must_use]
    pub fn go_on_by(notes: Notes, id: Uuid, what: What) -> Self {
        Self::open(notes, id, what, PACE, SIGN_OF_LIFE)
    }

    fn open(notes: Notes, id: Uuid, what: What, pace: Duration, sign_of_life: Duration) -> Self {
        let (progress, receiver) = watch::channel((0, None));
        let (stop, stopped) = oneshot::channel();
        let keeper = tokio::spawn(keep(notes.clone(), (id, what), receiver, stopped, [pace, sign_of_life]));
        Self { id, what, open: Some(Open { notes, progress, stop, keeper }) }
    }

    /// Its id, where it is written down.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        self.open.as_ref().map(|_| self.id)
    }

    /// Says over how many it went, and of about how many. Costs nothing: it is written beside, every 5 seconds at most.
    pub fn progress(&self, done: u64, total: Option<u64>) {
        if let Some(open) = &self.open {
            open.progress.send_replace((done, total));
        }
    }

    /// Writes down what was found: an object with counts by kind (see [`Seen::found`](super::Seen::found)).
    pub async fn end(self, findings: Value) {
        let id = self.id;
        self.close(|(done, total)| Note::Ended { id, done, total, findings }).await;
    }

    /// Writes down that it ended early, by the class of the error. Never a text of others.
    pub async fn fail(self, class: &str) {
        let (id, error) = (self.id, class.to_owned());
        self.close(|_| Note::Failed { id, error }).await;
    }

    /// Leaves it to another process, which goes on.
    pub async fn leave(self) {
        let id = self.id;
        self.close(|(done, total)| Note::Progressed { id, done, total }).await;
    }

    async fn close(self, last: impl FnOnce(Progress) -> Note) {
        let Some(Open { notes, progress, stop, keeper }) = self.open else { return };
        // A note that is under way would be in the way of this one.
        drop(stop);
        drop(keeper.await);
        let last = last(*progress.borrow());
        if let Err(error) = within(notes(last)).await {
            not_written(self.what, &error);
        }
    }
}

/// Writes the progress, no more often than is worth it, until it is told to stop.
async fn keep(
    notes: Notes,
    (id, what): (Uuid, What),
    mut progress: watch::Receiver<Progress>,
    mut stopped: oneshot::Receiver<()>,
    [pace, sign_of_life]: [Duration; 2],
) {
    let mut is_said = false;
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            changed = progress.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(sign_of_life) => {}
        }
        let (done, total) = *progress.borrow_and_update();
        if let Err(error) = within(notes(Note::Progressed { id, done, total })).await
            && !std::mem::replace(&mut is_said, true)
        {
            not_written(what, &error);
        }
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(pace) => {}
        }
    }
}

async fn within(written: impl Future<Output = Result<(), NotWritten>>) -> Result<(), NotWritten> {
    let late = |_| Err(NotWritten("no answer in time".to_owned()));
    tokio::time::timeout(LIMIT, written).await.unwrap_or_else(late)
}

fn not_written(what: What, error: &NotWritten) {
    tracing::warn!(
        run.what = what.as_str(),
        error = %error,
        "the run goes on, and is not written down: the schema is older (run user-sync migrate), the login may not write to \
         user_sync_runs, or the database takes no writes"
    );
}

/// Forgets runs of long ago, where it may; returns how many.
pub async fn forget_old(database: &Database) -> u64 {
    match note::forget(database).await {
        Ok(forgotten) => forgotten,
        Err(error) => {
            tracing::warn!(error = causes(&error), "runs of long ago are not forgotten");
            0
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::{Arc, Mutex};

    use futures::FutureExt as _;
    use serde_json::json;

    type Written = Arc<Mutex<Vec<Note>>>;

    /// Notes that are kept here; each takes this long, and fails where it should.
    fn kept(takes: Duration, fails: bool) -> (Written, Notes) {
        let written = Written::default();
        let keep = Arc::clone(&written);
        let notes = move |note| {
            let keep = Arc::clone(&keep);
            async move {
                tokio::time::sleep(takes).await;
                keep.lock().unwrap().push(note);
                if fails { Err(NotWritten("refused".to_owned())) } else { Ok(()) }
            }
            .boxed()
        };
        (written, Arc::new(notes))
    }

    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn progress_is_written_no_more_often_than_is_worth_it() {
        let (written, notes) = kept(Duration::ZERO, false);
        let id = Uuid::now_v7();
        let run = Run::open(notes, id, What::Verify, LONG, LONG);
        for done in 1..=1_000 {
            run.progress(done, Some(1_000));
            tokio::task::yield_now().await;
        }
        run.end(json!({ "found": 3 })).await;
        let written = written.lock().unwrap();
        assert!(written.len() <= 2, "{written:?}");
        let ended = Note::Ended { id, done: 1_000, total: Some(1_000), findings: json!({ "found": 3 }) };
        assert_eq!(written.last(), Some(&ended));
    }

    #[tokio::test]
    async fn a_run_without_progress_gives_signs_of_life_and_one_that_was_left_none() {
        let (written, notes) = kept(Duration::ZERO, false);
        let run = Run::open(notes, Uuid::now_v7(), What::Verify, Duration::ZERO, Duration::from_millis(1));
        while written.lock().unwrap().len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(run);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let after = written.lock().unwrap().len();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(written.lock().unwrap().len(), after);
        assert!(written.lock().unwrap().iter().all(|note| matches!(note, Note::Progressed { done: 0, .. })));
    }

    #[tokio::test]
    async fn what_cannot_begin_is_never_asked_again() {
        let (written, notes) = kept(Duration::ZERO, true);
        let run = Run::begin_by(notes, Begin::new(What::Audit, json!({}))).await;
        assert_eq!(run.id(), None);
        run.progress(1, None);
        run.fail("cognito: AccessDenied").await;
        assert_eq!(written.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_does_not_answer_is_given_up() {
        let (written, notes) = kept(LONG, false);
        let run = Run::begin_by(notes.clone(), Begin::new(What::Audit, json!({}))).await;
        assert_eq!(run.id(), None);
        let run = Run::go_on_by(notes, Uuid::now_v7(), What::Drift);
        run.progress(1, None);
        run.end(json!({})).await;
        assert_eq!(written.lock().unwrap().len(), 0);
    }
}
