//! Sends back, or drops, the dead letters that somebody chose by SQS's ids of their messages, and nothing that came
//! since. Must not know the database.
//!
//! SQS's move task takes whatever is in the queue. So we receive the messages, send each, and then delete it: in this
//! order, so that none is lost. If the process dies in between, a message is in both queues, and counts once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use cognito_user_sync_triggers::event::Event;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::sqs::dead_letters::{DeadLetters, Error, Received, Rounds, SCAN_HIDES, SCAN_MAX_MESSAGES, Stop};
use crate::sqs::send::Sender;

/// The rates that are taken, in messages a second.
pub const RATES: std::ops::RangeInclusive<u32> = 1..=500;

/// Requests to receive that are under way at once: each may bring ten messages of 1 MiB.
const CONCURRENCY: usize = 4;

/// Messages that are sent or deleted in one step.
const STEP_MAX_MESSAGES: u32 = 40;

/// How long one step's messages may take to be sent.
const SEND_BUDGET: Duration = Duration::from_secs(10);

/// How often the messages that are not chosen are hidden again: they must not come between.
const RENEW: Duration = Duration::from_secs(100);

/// What to do with the messages.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Send them to a queue, and delete what it took.
    SendBack {
        /// The queue.
        to: Sender,
        /// At most so many messages a second, within [`RATES`].
        per_second: u32,
    },
    /// Delete them.
    Drop,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every message that could be received was dealt with.
    Completed,
    /// It was told to stop; the rest is visible again.
    Stopped,
    /// SQS refused, or is unavailable; the rest is visible again, or will be.
    Failed(Error),
}

/// What was done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dealt {
    /// Events sent to the queue; copies count once.
    pub sent: u64,
    /// Messages deleted from the dead-letter queue, copies included.
    pub deleted: u64,
    /// Messages left behind, since the consumer would certainly reject them again, by reason.
    pub kept: BTreeMap<&'static str, u64>,
    /// Messages that SQS did not take, or did not delete: they are dead letters still.
    pub failed: u64,
    /// Of these, messages that were sent as well: in both queues. They count once.
    pub in_both: u64,
    /// Chosen messages that have not been received: not yet, or they are gone, or somebody else has received them.
    pub missing: u64,
    /// Messages that could not be made visible at once; they become visible by themselves.
    pub hidden_for_now: u64,
}

/// The messages that it has received, and what is open.
struct Walk<'a> {
    letters: &'a DeadLetters,
    deed: &'a Deed,
    open: BTreeSet<String>,
    /// Received and not to be touched, without their bodies; hidden until the end.
    held: HashMap<String, Received>,
    /// Digests of the events that were sent.
    sent: HashSet<[u8; 32]>,
    dealt: Dealt,
    /// When the next step may begin.
    next_step: Instant,
    renew_at: Instant,
}

impl DeadLetters {
    /// Does this to the messages of these ids, and leaves every other one. Calls `report` after each step with what was
    /// done so far, and the messages that were dealt with in it: sent back and deleted, or dropped.
    ///
    /// While it goes on, the queue's other messages are hidden; at the end they are visible, however it ends. If the
    /// process dies, SQS makes them visible within [`SCAN_HIDES`]. Never cancel it but by `stop`.
    pub async fn deal(
        &self,
        chosen: BTreeSet<String>,
        deed: &Deed,
        stop: &Stop,
        mut report: impl FnMut(&Dealt, &[Received]),
    ) -> (Dealt, End) {
        let now = Instant::now();
        let mut walk = Walk {
            letters: self,
            deed,
            open: chosen,
            held: HashMap::new(),
            sent: HashSet::new(),
            dealt: Dealt::default(),
            next_step: now,
            renew_at: now + RENEW,
        };
        let end = walk.run(stop, &mut report).await;
        let held: Vec<Received> = walk.held.into_values().collect();
        walk.dealt.hidden_for_now = count(self.release(&held).await);
        (walk.dealt, end)
    }
}

impl Walk<'_> {
    async fn run(&mut self, stop: &Stop, report: &mut impl FnMut(&Dealt, &[Received])) -> End {
        let mut rounds = Rounds::new(CONCURRENCY);
        while !self.open.is_empty() && !rounds.is_over() && self.held.len() < SCAN_MAX_MESSAGES {
            if *stop.borrow() {
                return End::Stopped;
            }
            self.renew().await;
            let (received, failure) = rounds.receive(self.letters, SCAN_MAX_MESSAGES).await;
            let fresh: Vec<Received> =
                received.into_iter().filter_map(|message| self.fresh(message)).collect();
            rounds.note(fresh.len());
            let mut chosen = self.choose(fresh).into_iter();
            if let Some(error) = failure {
                chosen.for_each(|message| self.hold(message));
                return End::Failed(error);
            }
            loop {
                let step: Vec<Received> = chosen.by_ref().take(self.step_messages()).collect();
                if step.is_empty() {
                    break;
                }
                if !self.may_begin(stop).await {
                    step.into_iter().chain(chosen).for_each(|message| self.hold(message));
                    return End::Stopped;
                }
                let done = self.step(step).await;
                report(&self.dealt, &done);
            }
            self.dealt.missing = count(self.open.len());
            report(&self.dealt, &[]);
        }
        End::Completed
    }

    fn step_messages(&self) -> usize {
        let messages = match self.deed {
            Deed::SendBack { per_second, .. } => (*per_second).clamp(1, STEP_MAX_MESSAGES),
            Deed::Drop => STEP_MAX_MESSAGES,
        };
        usize::try_from(messages).unwrap_or(1)
    }

    /// Hides what is held for longer, from time to time.
    async fn renew(&mut self) {
        if Instant::now() < self.renew_at {
            return;
        }
        self.renew_at = Instant::now() + RENEW;
        let held: Vec<Received> = self.held.values().cloned().collect();
        let visible = self.letters.hide(&held, SCAN_HIDES).await;
        if visible > 0 {
            tracing::debug!(visible, "messages that are held will be received again");
        }
    }

    /// The message, unless it was received before: then its receipt handle is noted.
    fn fresh(&mut self, message: Received) -> Option<Received> {
        match self.held.get_mut(&message.message_id) {
            Some(held) => {
                held.receipt_handle = message.receipt_handle;
                None
            }
            None => Some(message),
        }
    }

    /// Of these, what is to be dealt with; holds the others.
    fn choose(&mut self, messages: Vec<Received>) -> Vec<Received> {
        let mut chosen = Vec::new();
        for message in messages {
            let is_chosen = self.open.remove(&message.message_id);
            let stays = match self.deed {
                Deed::SendBack { .. } => message.rejected_for_good(),
                Deed::Drop => None,
            };
            match (is_chosen, stays) {
                (true, None) => chosen.push(message),
                (true, Some(reason)) => {
                    *self.dealt.kept.entry(reason).or_default() += 1;
                    self.hold(message);
                }
                (false, _) => self.hold(message),
            }
        }
        chosen
    }

    fn hold(&mut self, mut message: Received) {
        // There may be many.
        (message.body, message.attributes) = (String::new(), BTreeMap::new());
        self.held.insert(message.message_id.clone(), message);
    }

    /// Waits until the rate permits the next step; not if told to stop.
    async fn may_begin(&self, stop: &Stop) -> bool {
        let mut stop = stop.clone();
        tokio::select! {
            biased;
            Ok(_) = stop.wait_for(|stop| *stop) => false,
            () = tokio::time::sleep_until(self.next_step) => true,
        }
    }

    /// Sends and deletes, or deletes, these messages. Returns those of which all was done.
    async fn step(&mut self, messages: Vec<Received>) -> Vec<Received> {
        let deed = self.deed;
        let (ready, failed) = match deed {
            Deed::SendBack { to, per_second } => {
                self.next_step = self.next_step.max(Instant::now()) + pause(messages.len(), *per_second);
                self.send(messages, to).await
            }
            Deed::Drop => (messages, Vec::new()),
        };
        self.dealt.failed += count(failed.len());
        failed.into_iter().for_each(|message| self.hold(message));
        let undeleted: HashSet<usize> = self.letters.undeleted(&ready).await.into_iter().collect();
        let (mut done, mut left) = (Vec::new(), Vec::new());
        for (place, message) in ready.into_iter().enumerate() {
            if undeleted.contains(&place) { left.push(message) } else { done.push(message) }
        }
        self.dealt.deleted += count(done.len());
        self.dealt.failed += count(left.len());
        if matches!(deed, Deed::SendBack { .. }) {
            self.dealt.in_both += count(left.len());
        }
        left.into_iter().for_each(|message| self.hold(message));
        done
    }

    /// Sends each event that has not been sent yet. Returns the messages whose event the queue has, and the others.
    async fn send(&mut self, messages: Vec<Received>, to: &Sender) -> (Vec<Received>, Vec<Received>) {
        let keys: Vec<Option<[u8; 32]>> = messages.iter().map(|message| key(&message.body)).collect();
        let mut begun = HashSet::new();
        let first: Vec<(usize, [u8; 32])> = keys
            .iter()
            .enumerate()
            .filter_map(|(place, key)| Some((place, (*key)?)))
            .filter(|(_, key)| !self.sent.contains(key) && begun.insert(*key))
            .collect();
        let bodies: Vec<&str> = first
            .iter()
            .filter_map(|(place, _)| messages.get(*place))
            .map(|message| message.body.as_str())
            .collect();
        let taken = to.send(&bodies, SEND_BUDGET).await;
        for ((_, key), taken) in first.iter().zip(taken) {
            match taken {
                Ok(()) => {
                    self.sent.insert(*key);
                    self.dealt.sent += 1;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a dead letter was not sent back"
                    );
                }
            }
        }
        let (mut ready, mut failed) = (Vec::new(), Vec::new());
        for (message, key) in messages.into_iter().zip(keys) {
            if key.is_some_and(|key| self.sent.contains(&key)) {
                ready.push(message)
            } else {
                failed.push(message)
            }
        }
        (ready, failed)
    }
}

/// Tells one event from another: copies of one have the same.
#[must_use]
pub fn key(body: &str) -> Option<[u8; 32]> {
    Event::decode(body).ok().map(|event| Sha256::digest(event.encode()).into())
}

/// How long so many messages may take at this rate.
fn pause(messages: usize, per_second: u32) -> Duration {
    Duration::from_secs(count(messages)) / per_second.max(1)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
