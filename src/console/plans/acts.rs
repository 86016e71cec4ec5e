//! Does what was started: a task each, which says how far it is, can be cancelled, and ends in a note. What cannot be written
//! down does not go on. Must not know a page.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::console::plans::job::{Cancel, Done, Figures, Order, Progress, Worker};
use crate::console::plans::kind::Kind;
use crate::console::plans::runner::{EXIT_CODE_1, Runner};
use crate::console::words;
use crate::postgres::Database;
use crate::store::console::tasks::{self, End, Note, STOPPED_AFTER};
use crate::store::console::trail::{Deed, Did};
use crate::store::runs;

/// How often a task is looked after: whether it got on, and whether somebody cancelled it.
const EVERY: Duration = Duration::from_secs(2);

/// How often it is noted that a task goes on which does not get on.
const BEAT: Duration = Duration::from_secs(10);

/// How long a task goes on that nobody can note: by then it is said to have stopped.
const UNNOTED_MAX: Duration = Duration::from_secs(20);

/// How long the end of a task is tried to be noted.
const END_TRIED_FOR: Duration = Duration::from_secs(60);

/// How long a console that ends waits for its tasks.
const LAST_WAIT: Duration = Duration::from_secs(20);

/// Most tasks at once.
const MAX_TASKS: usize = 8;

/// Who does what, and what is being done.
#[derive(Clone)]
pub(in crate::console) struct Acts {
    primary: Database,
    runner: Arc<Runner>,
    workers: HashMap<Kind, Arc<dyn Worker>>,
    running: Arc<Mutex<HashMap<Uuid, watch::Sender<bool>>>>,
}

impl fmt::Debug for Acts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acts").field("runner", &self.runner).finish_non_exhaustive()
    }
}

impl Acts {
    /// Commands are the runner's; nobody does anything else yet.
    pub(in crate::console) fn new(primary: Database, runner: Runner) -> Self {
        Self { primary, runner: Arc::new(runner), workers: HashMap::new(), running: Arc::default() }
    }

    /// What is of this kind is this worker's.
    pub(in crate::console) fn with(mut self, kind: Kind, worker: Arc<dyn Worker>) -> Self {
        self.workers.insert(kind, worker);
        self
    }

    /// # Errors
    /// Why nobody can do it, for people.
    pub(in crate::console) fn can(&self, kind: Kind) -> Result<(), &'static str> {
        let is_anybodys = !kind.is_own() || self.workers.contains_key(&kind);
        if is_anybodys {
            Ok(())
        } else {
            Err("this console was started without what it takes: see its queue")
        }
    }

    /// Whether as many tasks run as may.
    pub(in crate::console) fn is_full(&self) -> bool {
        self.running().len() >= MAX_TASKS
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, watch::Sender<bool>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a task that was begun, in the background.
    pub(in crate::console) fn go(&self, task: Uuid, order: Order) {
        let (ask, cancel) = Cancel::new();
        self.running().insert(task, ask.clone());
        let acts = self.clone();
        tokio::spawn(async move {
            acts.attend(task, order, &ask, cancel).await;
            acts.running().remove(&task);
        });
    }

    /// Cancels a task if it is this console's; another one's learns of it from the table.
    pub(in crate::console) fn cancel(&self, task: Uuid) {
        if let Some(ask) = self.running().get(&task) {
            ask.send_replace(true);
        }
    }

    /// Cancels what runs, and waits for it.
    pub(in crate::console) async fn end(&self) {
        for ask in self.running().values() {
            ask.send_replace(true);
        }
        let all_ended = async {
            while !self.running().is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(LAST_WAIT, all_ended).await.is_err() {
            tracing::warn!("the console ends before its tasks have");
        }
    }

    async fn attend(&self, task: Uuid, order: Order, ask: &watch::Sender<bool>, cancel: Cancel) {
        let (kind, by, count) = (order.kind, order.by.clone(), order.ids.len());
        tracing::info!(task.id = %task, task.kind = kind.as_str(), task.pieces = count, "a task begins");
        let progress = Progress::default();
        let mut work = match self.workers.get(&kind) {
            Some(worker) => tokio::spawn(Arc::clone(worker).run(order, progress.clone(), cancel)),
            None => {
                let (runner, progress) = (Arc::clone(&self.runner), progress.clone());
                tokio::spawn(async move { runner.run(task, &order, &progress, cancel).await })
            }
        };
        let mut watched =
            Watched { primary: &self.primary, task, noted: Figures::default(), at: Instant::now() };
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_noted, mut unnoted_since) = (true, Instant::now());
        let done = loop {
            tokio::select! {
                done = &mut work => break done.unwrap_or(Done::Failed("a mistake of the console")),
                _ = ticks.tick() => {}
            }
            match watched.look(&progress.figures()).await {
                Ok(is_cancelled) => {
                    (is_noted, unnoted_since) = (true, Instant::now());
                    if is_cancelled {
                        ask.send_replace(true);
                    }
                }
                Err(error) => {
                    if is_noted {
                        tracing::warn!(task.id = %task, error = %crate::logging::causes(&error), "a task cannot be noted");
                    }
                    is_noted = false;
                    if unnoted_since.elapsed() > UNNOTED_MAX {
                        ask.send_replace(true);
                    }
                }
            }
        };
        let done = self.by_its_run(task, kind, done).await;
        let done =
            if !is_noted && done == Done::Cancelled { Done::Failed("database unavailable") } else { done };
        self.note_end(task, kind, &by, &done, &progress.figures()).await;
    }

    /// What a command's own run says of an exit code that is both a failure's and an answer's: that it found differences.
    async fn by_its_run(&self, task: Uuid, kind: Kind, done: Done) -> Done {
        if kind.is_own() || done != Done::Failed(EXIT_CODE_1) {
            return done;
        }
        match runs::one(&self.primary, task).await {
            Ok(Some(run)) if run.state == runs::State::Ended => Done::All,
            Ok(_) => done,
            Err(error) => {
                let error = crate::logging::causes(&error);
                tracing::warn!(task.id = %task, error, "what a command found is not known");
                done
            }
        }
    }

    async fn note_end(&self, task: Uuid, kind: Kind, by: &str, done: &Done, figures: &Figures) {
        let end = match done {
            Done::All => End::Done,
            Done::Cancelled => End::Cancelled,
            Done::Failed(class) => End::Failed(class),
        };
        let deed = Deed {
            who: by.to_owned(),
            did: Did::Finished,
            what: Some(format!("{}, task {task}", kind.word())),
            reason: None,
            result: Some(result_of(done, figures)),
        };
        let (note, since) = (note_of(figures), Instant::now());
        while let Err(error) = tasks::end(&self.primary, task, end, &note, &deed).await {
            if since.elapsed() > END_TRIED_FOR {
                let error = crate::logging::causes(&error);
                tracing::error!(task.id = %task, error = %error, "the end of a task was not noted: it counts as stopped");
                return;
            }
            tokio::time::sleep(EVERY).await;
        }
        tracing::info!(task.id = %task, task.kind = kind.as_str(), task.result = deed.result, "a task ended");
    }
}

/// What a task's entry in the trail says: `done: Sent back 651, Came back 14`.
fn result_of(done: &Done, figures: &Figures) -> String {
    let how = match done {
        Done::All => "done".to_owned(),
        Done::Cancelled => match figures.total {
            Some(total) => format!("cancelled at {} of {}", words::count(figures.done), words::count(total)),
            None => "cancelled".to_owned(),
        },
        Done::Failed(class) => format!("failed: {class}"),
    };
    let counts: Vec<_> =
        figures.counts.iter().map(|(what, count)| format!("{what} {}", words::count(*count))).collect();
    if counts.is_empty() { how } else { format!("{how}: {}", counts.join(", ")) }
}

fn note_of(figures: &Figures) -> Note {
    Note {
        done: figures.done,
        total: figures.total,
        counts: figures.counts.iter().take(8).cloned().collect(),
    }
}

/// A task that is looked after.
struct Watched<'a> {
    primary: &'a Database,
    task: Uuid,
    noted: Figures,
    at: Instant,
}

impl Watched<'_> {
    /// Notes how far the task is, if it got on or was not noted for long. Says whether somebody cancelled it.
    async fn look(&mut self, figures: &Figures) -> Result<bool, sqlx::Error> {
        if *figures == self.noted && self.at.elapsed() < BEAT {
            return tasks::asked_to_cancel(self.primary, self.task).await;
        }
        let is_cancelled = tasks::note(self.primary, self.task, &note_of(figures)).await?;
        (self.noted, self.at) = (figures.clone(), Instant::now());
        Ok(is_cancelled)
    }
}

// A task that is noted as rarely as this must not count as stopped.
const _: () =
    assert!(BEAT.as_secs() * 2 < STOPPED_AFTER.as_secs() && UNNOTED_MAX.as_secs() < STOPPED_AFTER.as_secs());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_task_is_one_line() {
        let figures =
            Figures { done: 1_200, total: Some(6_650), counts: vec![("Sent back".to_owned(), 1_200)] };
        assert_eq!(result_of(&Done::All, &figures), "done: Sent back 1,200");
        assert_eq!(result_of(&Done::Cancelled, &figures), "cancelled at 1,200 of 6,650: Sent back 1,200");
        assert_eq!(
            result_of(&Done::Failed("queue unavailable"), &Figures::default()),
            "failed: queue unavailable"
        );
    }
}
