//! Reads the dead-letter queues when somebody asks for it, and keeps what it saw, masked, for all browsers. Must not know a
//! page.
//!
//! SQS cannot browse: to read is to receive, which hides messages from others. So nothing here receives by itself, and
//! whatever was received is visible again when a reading ends, also where it fails and when the console ends.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cognito_user_sync_triggers::timestamp::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::console::dead_letters::letter::{Folder, Letter};
use crate::sqs::dead_letters::{DeadLetters, Depth, Received, Stop};

/// The most messages that one reading receives: what is kept of them is a few kilobytes each.
pub(super) const READING_MAX_MESSAGES: usize = 10_000;

/// How long a request waits for its reading; longer ones go on while the page says how far they are.
const WAIT: Duration = Duration::from_secs(8);

/// How often SQS is asked for a queue's depth at most, for all browsers, and how long a page waits for the answer.
const DEPTH_EVERY: Duration = Duration::from_secs(10);
const DEPTH_WAIT: Duration = Duration::from_secs(3);

/// How many ids of events that were sent back are kept, to tell which came back.
const SENT_BACK_MAX: usize = 20_000;

/// How long the end of the console waits until nothing is hidden any more.
const END_WAIT: Duration = Duration::from_secs(20);

/// Which messages a queue carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Events.
    Events,
    /// Records of sign-ins: where from, and which failed.
    Records,
}

impl Queue {
    pub(super) const ALL: [Self; 2] = [Self::Events, Self::Records];

    /// As URLs and plans say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Records => "records",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.name() == name)
    }
}

/// The URLs of a queue and of its dead-letter queue.
#[derive(Debug, Clone, Default)]
pub struct QueueUrls {
    /// Where messages go back to; without it, nothing is sent back.
    pub queue: Option<String>,
    /// Where they are read; without it, there is nothing to see.
    pub dead_letters: Option<String>,
}

/// What one reading of a queue saw.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Plans are bound to it.
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
    pub(super) by: String,
    /// Latest first. What tasks dealt with since is gone.
    pub(super) letters: Vec<Letter>,
    /// Whether every visible message was received.
    pub(super) is_complete: bool,
    /// Messages that could not be made visible at once.
    pub(super) hidden_for_now: usize,
}

impl Found {
    /// Messages, copies included.
    pub(super) fn messages(&self) -> u64 {
        self.letters.iter().map(|letter| u64::try_from(letter.copies.len()).unwrap_or(0)).sum()
    }
}

/// Why the last reading of a queue saw nothing, for people.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) at: Timestamp,
    pub(super) says: String,
}

/// What SQS last told of a queue's depth.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// `None` is not known now.
    pub(super) now: Option<(Timestamp, Depth)>,
    /// The last one that was known.
    pub(super) last: Option<(Timestamp, Depth)>,
    pub(super) asked: Option<Instant>,
}

#[derive(Debug, Default)]
struct Kept {
    found: Option<Arc<Found>>,
    failure: Option<Failure>,
    /// Ids of events that tasks sent back, and when.
    sent_back: HashMap<String, Timestamp>,
}

/// A dead-letter queue, and what is known of it.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) queue: Queue,
    pub(super) letters: DeadLetters,
    /// The queue that its messages go back to.
    pub(super) goes_to: Option<String>,
    /// Whoever receives holds it: a reading and a task would hide messages from each other.
    pub(super) gate: tokio::sync::Mutex<()>,
    kept: Mutex<Kept>,
    told: tokio::sync::Mutex<Told>,
}

impl Mailbox {
    async fn open(queue: Queue, urls: QueueUrls) -> Option<Self> {
        let letters = DeadLetters::new(urls.dead_letters?).await;
        let gate = tokio::sync::Mutex::default();
        Some(Self {
            queue,
            letters,
            goes_to: urls.queue,
            gate,
            kept: Mutex::default(),
            told: tokio::sync::Mutex::default(),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last reading saw that saw something.
    pub(super) fn found(&self) -> Option<Arc<Found>> {
        self.kept().found.clone()
    }

    /// Why the last reading saw nothing, if it did not.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.kept().failure.clone()
    }

    /// How many messages there are now; receives nothing.
    pub(super) async fn told(&self) -> Told {
        let mut told = self.told.lock().await;
        if told.asked.is_some_and(|asked| asked.elapsed() < DEPTH_EVERY) {
            return *told;
        }
        let answer = tokio::time::timeout(DEPTH_WAIT, self.letters.depth()).await;
        told.asked = Some(Instant::now());
        told.now = match answer {
            Ok(Ok(depth)) => Some((Timestamp::now(), depth)),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the depth of a dead-letter queue is not known"
                );
                None
            }
            Err(_) => None,
        };
        told.last = told.now.or(told.last);
        *told
    }

    /// Takes out of what was seen what a task dealt with, and notes which events it sent back.
    pub(super) async fn dealt(&self, message_ids: &HashSet<String>, sent_back: Vec<String>) {
        self.told.lock().await.asked = None;
        let now = Timestamp::now();
        let mut kept = self.kept();
        if kept.sent_back.len() + sent_back.len() > SENT_BACK_MAX {
            kept.sent_back.clear();
        }
        kept.sent_back.extend(sent_back.into_iter().take(SENT_BACK_MAX).map(|id| (id, now)));
        if let Some(found) = &kept.found {
            let mut found = Found::clone(found);
            for letter in &mut found.letters {
                letter.copies.retain(|copy| !message_ids.contains(&copy.message_id));
            }
            found.letters.retain(|letter| !letter.copies.is_empty());
            kept.found = Some(Arc::new(found));
        }
    }

    async fn read(&self, by: &str, stop: &Stop, seen: &AtomicUsize) {
        let read = self.try_read(by, stop, seen).await;
        let mut kept = self.kept();
        match read {
            Ok(Some(mut found)) => {
                let came_back = |letter: &Letter| {
                    let sent_back = kept.sent_back.get(&letter.id).filter(|_| letter.is_event)?;
                    letter.latest().is_some_and(|latest| latest > *sent_back).then_some(*sent_back)
                };
                found.letters.iter_mut().for_each(|letter| letter.came_back = came_back(letter));
                (kept.found, kept.failure) = (Some(Arc::new(found)), None);
            }
            Ok(None) => {}
            Err(says) => kept.failure = Some(Failure { at: Timestamp::now(), says }),
        }
    }

    /// `None` if it was told to stop.
    async fn try_read(&self, by: &str, stop: &Stop, seen: &AtomicUsize) -> Result<Option<Found>, String> {
        let Ok(_gate) = self.gate.try_lock() else {
            return Err("A task is at work on this queue: read it when the task has ended.".to_owned());
        };
        let mut folder = Folder::default();
        let mut before = 0;
        let count = |so_far: usize| {
            seen.fetch_add(so_far - before, Ordering::Relaxed);
            before = so_far;
        };
        let scan = self
            .letters
            .scan_each(READING_MAX_MESSAGES, stop, |message: &mut Received| folder.add(message), count)
            .await;
        let scan = scan.map_err(|error| error.to_string())?;
        let hidden_for_now = self.letters.release(&scan.received).await;
        if scan.is_stopped {
            return Ok(None);
        }
        Ok(Some(Found {
            id: Uuid::now_v7(),
            at: Timestamp::now(),
            by: by.to_owned(),
            letters: folder.finish(),
            is_complete: scan.is_complete,
            hidden_for_now,
        }))
    }
}

/// A reading that is under way.
#[derive(Debug, Clone)]
pub(super) struct Underway {
    pub(super) at: Timestamp,
    pub(super) by: String,
    seen: Arc<AtomicUsize>,
}

impl Underway {
    /// Messages received so far.
    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }
}

/// The dead-letter queues, and who reads them.
#[derive(Debug)]
pub(in crate::console) struct Reader {
    mailboxes: Vec<Arc<Mailbox>>,
    underway: watch::Sender<Option<Underway>>,
    stop: watch::Sender<bool>,
}

/// Ends a reading, however it ends.
struct Ending(Arc<Reader>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.underway.send_replace(None);
    }
}

impl Reader {
    /// Of the events' queue, and of the records'. Asks SQS nothing.
    pub(in crate::console) async fn new(events: QueueUrls, records: QueueUrls) -> Arc<Self> {
        let opened =
            [Mailbox::open(Queue::Events, events).await, Mailbox::open(Queue::Records, records).await];
        let (underway, stop) = (watch::Sender::new(None), watch::Sender::new(false));
        Arc::new(Self { mailboxes: opened.into_iter().flatten().map(Arc::new).collect(), underway, stop })
    }

    pub(super) fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.mailboxes
    }

    pub(super) fn mailbox(&self, queue: Queue) -> Option<&Arc<Mailbox>> {
        self.mailboxes.iter().find(|mailbox| mailbox.queue == queue)
    }

    /// The reading that goes on, if one does.
    pub(super) fn underway(&self) -> Option<Underway> {
        self.underway.borrow().clone()
    }

    /// What tells a reading and a task to end, in order.
    pub(super) fn stop(&self) -> Stop {
        self.stop.subscribe()
    }

    /// Reads all queues, unless somebody does already; waits for that a while.
    pub(super) async fn read(self: &Arc<Self>, by: &str) {
        let begun = Underway { at: Timestamp::now(), by: by.to_owned(), seen: Arc::default() };
        let begins = self.underway.send_if_modified(|underway| {
            let begins = underway.is_none();
            if begins {
                *underway = Some(begun.clone());
            }
            begins
        });
        if begins {
            let ending = Ending(Arc::clone(self));
            // Of its own: a browser that goes away must not leave messages hidden.
            tokio::spawn(async move {
                let mut reads = JoinSet::new();
                for mailbox in &ending.0.mailboxes {
                    let (mailbox, begun, stop) = (Arc::clone(mailbox), begun.clone(), ending.0.stop());
                    reads.spawn(async move { mailbox.read(&begun.by, &stop, &begun.seen).await });
                }
                reads.join_all().await;
            });
        }
        let mut underway = self.underway.subscribe();
        // The page says how far it is.
        drop(tokio::time::timeout(WAIT, underway.wait_for(Option::is_none)).await);
    }

    /// Ends what is under way, and waits until nothing is hidden, but not for ever.
    pub(in crate::console) async fn end(&self) {
        self.stop.send_replace(true);
        let gates = self.mailboxes.iter().map(|mailbox| mailbox.gate.lock());
        if tokio::time::timeout(END_WAIT, futures::future::join_all(gates)).await.is_err() {
            tracing::warn!("dead letters that were received will be visible again within 5 minutes");
        }
    }
}
