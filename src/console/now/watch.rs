//! One look at all sources for everybody who looks: each is asked at most so often, only while somebody looks, and nobody
//! waits for long. Must not know what is judged by it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;
use url::Url;

use crate::console::now::cloudwatch::{CloudWatch, Services, Told};
use crate::console::now::facts::{FRESH_FOR_MARKS, Facts, Snapshot};
use crate::console::now::hour::{Hour, Retries};
use crate::console::now::source::Source;
use crate::console::now::tables::{self, Depths, Queues, Tables};
use crate::console::now::verdict::Verdict;
use crate::console::now::workers::{Heard, Scraper};
use crate::console::now::{Marks, checks};
use crate::ops::doctor;
use crate::postgres::Database;

/// How often the page is made anew, and what is near is asked.
pub(in crate::console::now) const EVERY: Duration = Duration::from_secs(10);

/// How long a page waits for what is being asked; what comes later is on the next one.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// What the console is told of its sources.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The queue.
    pub queue_url: Option<String>,
    /// Its dead-letter queue.
    pub dlq_url: Option<String>,
    /// Where workers serve what they count: by [`metrics_url`](super::metrics_url).
    pub workers: Vec<Url>,
    /// What of CloudWatch is this deployment's; `None` where it is not asked. [`Services::check`] has passed.
    pub cloudwatch: Option<Services>,
    /// The timeout of the consumer's function in seconds, from which the right visibility timeout follows.
    pub consumer_timeout_seconds: u32,
}

/// What is asked, and what it last said.
#[derive(Debug)]
pub(in crate::console) struct Watch {
    options: Options,
    reads: Database,
    primary: Database,
    tables: Arc<Source<Tables>>,
    queues: Option<(Arc<Queues>, Arc<Source<Depths>>)>,
    workers: Option<(Arc<Scraper>, Arc<Source<Heard>>)>,
    cloudwatch: Option<(Arc<CloudWatch>, Arc<Source<Told>>)>,
    deployment: Arc<Source<Vec<doctor::Check>>>,
    hour: Arc<Mutex<Hour>>,
    /// Up to when the queue was seen to hold nothing.
    drained_at: Arc<Mutex<Option<Timestamp>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Asks nothing yet. `reads` may be a replica; how the deployment is set up, the primary is asked.
    pub(in crate::console) fn new(options: Options, reads: Database, primary: Database) -> Self {
        let seconds = Duration::from_secs;
        let queues = options.queue_url.clone().zip(options.dlq_url.clone()).map(|(queue, dlq)| {
            (Arc::new(Queues::new(queue, dlq)), Source::new("queues", EVERY, seconds(4)))
        });
        let workers = (!options.workers.is_empty()).then(|| {
            (Arc::new(Scraper::new(options.workers.clone())), Source::new("workers", EVERY, seconds(4)))
        });
        let cloudwatch = options.cloudwatch.clone().map(|services| {
            let cloudwatch = CloudWatch::new(services, options.queue_url.as_deref());
            (Arc::new(cloudwatch), Source::new("CloudWatch", seconds(60), seconds(10)))
        });
        Self {
            tables: Source::new("database", EVERY, seconds(4)),
            queues,
            workers,
            cloudwatch,
            deployment: Source::new("doctor", seconds(300), seconds(25)),
            hour: Arc::default(),
            drained_at: Arc::default(),
            options,
            reads,
            primary,
        }
    }

    /// Asks what it is time to ask, and does not wait.
    fn ask(&self) {
        self.tables.ask(|| tables::ask(self.reads.clone(), self.primary.clone()));
        if let Some((queues, source)) = &self.queues {
            let (queues, hour, drained_at) =
                (Arc::clone(queues), Arc::clone(&self.hour), Arc::clone(&self.drained_at));
            source.ask(|| async move {
                let at = Timestamp::now();
                let depths = queues.ask().await?;
                note(&depths, at, &mut lock(&hour), &mut lock(&drained_at));
                Ok(depths)
            });
        }
        if let Some((workers, source)) = &self.workers {
            source.ask(|| Arc::clone(workers).ask(Arc::clone(&self.hour)));
        }
        if let Some((cloudwatch, source)) = &self.cloudwatch {
            source.ask(|| Arc::clone(cloudwatch).ask(Arc::clone(&self.hour)));
        }
    }

    /// How the deployment is set up, which takes some questions: asked for the page only, and not waited for.
    fn ask_deployment(&self) {
        let Options { queue_url, dlq_url, consumer_timeout_seconds, .. } = self.options.clone();
        let primary = self.primary.clone();
        self.deployment.ask(|| async move {
            let (queue, dlq) = (queue_url.as_deref(), dlq_url.as_deref());
            Ok(doctor::examine_settings(&primary, queue, dlq, consumer_timeout_seconds).await)
        });
    }

    /// Looks: asks what it is time to ask, and waits for the answers, but not for long.
    pub(in crate::console::now) async fn look(&self) -> Snapshot {
        self.ask();
        self.ask_deployment();
        let answered = async {
            self.tables.answered().await;
            if let Some((_, source)) = &self.queues {
                source.answered().await;
            }
            if let Some((_, source)) = &self.workers {
                source.answered().await;
            }
            if let Some((_, source)) = &self.cloudwatch {
                source.answered().await;
            }
        };
        // What is late is on the next page.
        drop(tokio::time::timeout(PATIENCE, answered).await);
        self.snapshot()
    }

    /// What all sources last said.
    fn snapshot(&self) -> Snapshot {
        let services = self.options.cloudwatch.as_ref();
        Snapshot {
            tables: self.tables.seen(),
            queues: self.queues.as_ref().map(|(_, source)| source.seen()),
            workers: self.workers.as_ref().map(|(_, source)| source.seen()),
            cloudwatch: self.cloudwatch.as_ref().map(|(_, source)| source.seen()),
            has_consumer: services.is_some_and(|services| services.consumer.is_some()),
            has_triggers: services.is_some_and(|services| !services.triggers.is_empty()),
            deployment: Some(self.deployment.seen()),
            hour: lock(&self.hour).clone(),
            drained_at: *lock(&self.drained_at),
        }
    }

    /// What every page's rail shows, of what was last said; asks what it is time to ask, and never waits.
    pub(in crate::console) fn marks(&self) -> Marks {
        self.ask();
        let snapshot = self.snapshot();
        let facts = Facts::of(&snapshot, Timestamp::now(), FRESH_FOR_MARKS);
        let checks = checks::all(&snapshot, &facts);
        let verdict = Verdict::of(&facts, checks::warning(&checks));
        Marks { now: verdict.status(), dead_letters: facts.dead_letters.known().copied() }
    }
}

/// Writes down how many wait, and whether the queue holds nothing: what is hidden is on its way, unless something is tried
/// again.
fn note(depths: &Depths, at: Timestamp, hour: &mut Hour, drained_at: &mut Option<Timestamp>) {
    let queue = depths.queue;
    hour.waits(at, queue.waiting + queue.delayed);
    let drained = match (queue.waiting + queue.delayed, queue.hidden, hour.retries(at)) {
        (0, 0, _) => Some(at),
        (0, _, Retries::None(until)) => Some(at.min(until)),
        (_, _, Retries::None(_) | Retries::Since(..) | Retries::Unknown) => None,
    };
    *drained_at = (*drained_at).max(drained);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::now::hour::Counts;
    use crate::sqs::depth::Depth;

    #[test]
    fn a_queue_is_drained_once_nothing_is_left_or_what_is_left_was_not_tried_before() {
        let at = |minute: u64| Timestamp::from_unix_millis((29_000_000 + minute) * 60_000);
        let depths = |waiting, hidden| Depths {
            queue: Depth { waiting, hidden, ..Depth::default() },
            dead_letters: Depth::default(),
        };
        let (mut hour, mut drained) = (Hour::default(), None);
        note(&depths(3, 0), at(0), &mut hour, &mut drained);
        note(&depths(0, 2), at(1), &mut hour, &mut drained);
        assert_eq!(drained, None, "what is hidden may wait for another try");
        note(&depths(0, 0), at(2), &mut hour, &mut drained);
        assert_eq!(drained, Some(at(2)));
        hour.count(at(2), at(30), Counts::default());
        note(&depths(0, 2), at(30), &mut hour, &mut drained);
        assert_eq!(drained, Some(at(30)), "nothing was tried again for 20 minutes");
        note(&depths(9, 0), at(31), &mut hour, &mut drained);
        assert_eq!(drained, Some(at(30)));
    }
}
