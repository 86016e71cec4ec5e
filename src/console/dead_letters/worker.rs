//! Does the plans of dead letters: sends back, or drops, the messages that a plan is bound to, piece by piece. Must not know a
//! page.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cognito_user_sync_triggers::event::Event;
use futures::future::{BoxFuture, FutureExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::console::dead_letters::reader::{Mailbox, Queue, Reader};
use crate::console::plans::Kind;
use crate::console::plans::job::{Cancel, Done, Figures, Order, Progress, Worker};
use crate::postgres::Database;
use crate::sqs::dead_letters::Received;
use crate::sqs::dead_letters::chosen::{Dealt, Deed, End};
use crate::sqs::send::Sender;
use crate::store::console::recorded;
use crate::store::console::trail::{self, Did};

/// How long a task waits for what it sent back to be applied, and how often it looks.
const APPLIED_WAIT: Duration = Duration::from_secs(60);
const APPLIED_EVERY: Duration = Duration::from_secs(2);

/// Ids in one entry of the trail, and how many are written there at most; the plan has all of them.
const IDS_AN_ENTRY: usize = 10;
const IDS_IN_THE_TRAIL: usize = 200;

/// Redrives and drops dead letters.
#[derive(Debug)]
pub(in crate::console) struct Dealer {
    reader: Arc<Reader>,
    primary: Database,
    reads: Database,
}

/// A message that was dealt with.
struct Gone {
    message_id: String,
    /// The event's, if it was one.
    event: Option<Uuid>,
}

impl Gone {
    fn of(message: &Received) -> Self {
        let event = Event::decode(&message.body).ok().map(|event| event.id().uuid());
        Self { message_id: message.message_id.clone(), event }
    }

    /// The event's id, or SQS's of the message.
    fn id(&self) -> String {
        self.event.map_or_else(|| self.message_id.clone(), |event| event.to_string())
    }
}

impl Worker for Dealer {
    fn run(self: Arc<Self>, order: Order, progress: Progress, cancel: Cancel) -> BoxFuture<'static, Done> {
        async move { self.deal(order, &progress, cancel).await }.boxed()
    }
}

impl Dealer {
    pub(in crate::console) fn new(reader: Arc<Reader>, primary: Database, reads: Database) -> Arc<Self> {
        Arc::new(Self { reader, primary, reads })
    }

    async fn deal(&self, order: Order, progress: &Progress, mut cancel: Cancel) -> Done {
        let queue = order.scope.get("queue").and_then(|queue| queue.as_str()).and_then(Queue::named);
        let Some(mailbox) = queue.and_then(|queue| self.reader.mailbox(queue)) else {
            return Done::Failed("queue not known");
        };
        let deed = match (order.kind, &mailbox.goes_to) {
            (Kind::RedriveLetters, Some(url)) => {
                Deed::SendBack { to: Sender::new(url.clone()).await, per_second: order.rate }
            }
            (Kind::DropLetters, _) => Deed::Drop,
            (_, _) => return Done::Failed("queue not known"),
        };
        progress.is(figures(&Dealt::default(), &deed, order.ids.len(), None));
        let gate = tokio::select! {
            gate = mailbox.gate.lock() => gate,
            () = cancel.asked_for() => return Done::Cancelled,
        };
        let stop = watch::Sender::new(false);
        let dealing = Box::pin(self.deal_with(&order, mailbox, &deed, progress, &stop));
        let (dealt, end, gone) = until(dealing, &stop, &mut cancel, self.reader.stop()).await;
        let ids: HashSet<String> = gone.iter().map(|gone| gone.message_id.clone()).collect();
        let events: Vec<Uuid> = match deed {
            Deed::SendBack { .. } => gone.iter().filter_map(|gone| gone.event).collect(),
            Deed::Drop => Vec::new(),
        };
        mailbox.dealt(&ids, events.iter().map(Uuid::to_string).collect()).await;
        // Nothing is hidden any more.
        drop(gate);
        let done = match end {
            End::Completed if dealt.failed > 0 => Done::Failed("some were not taken"),
            End::Completed => Done::All,
            End::Stopped => Done::Cancelled,
            End::Failed(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "dead letters could not be dealt with"
                );
                Done::Failed("queue unavailable")
            }
        };
        if done == Done::All && !events.is_empty() {
            self.follow(&events, progress, &mut cancel).await;
        }
        done
    }

    /// Deals with the messages, says so piece by piece, and writes down what was dropped. What cannot be written down ends it.
    async fn deal_with(
        &self,
        order: &Order,
        mailbox: &Mailbox,
        deed: &Deed,
        progress: &Progress,
        stop: &watch::Sender<bool>,
    ) -> (Dealt, End, Vec<Gone>) {
        let (total, chosen) = (order.ids.len(), order.ids.iter().cloned().collect());
        let (tell, told) = mpsc::unbounded_channel();
        let mut all = Vec::new();
        let receiver = stop.subscribe();
        let dealing = async {
            let report = |dealt: &Dealt, done: &[Received]| {
                progress.is(figures(dealt, deed, total, None));
                let gone: Vec<Gone> = done.iter().map(Gone::of).collect();
                if !gone.is_empty() {
                    // The writer ends after this.
                    drop(tell.send(gone.iter().map(Gone::id).collect::<Vec<_>>()));
                }
                all.extend(gone);
            };
            let dealt = mailbox.letters.deal(chosen, deed, &receiver, report).await;
            drop(tell);
            dealt
        };
        let writing = async {
            let is_written = matches!(deed, Deed::Drop);
            if !self.write_down(order, told, is_written).await {
                stop.send_replace(true);
            }
        };
        let ((dealt, end), ()) = tokio::join!(dealing, writing);
        progress.is(figures(&dealt, deed, total, None));
        (dealt, end, all)
    }

    /// Writes the ids of what was dropped to the trail; false if it could not.
    async fn write_down(
        &self,
        order: &Order,
        mut told: mpsc::UnboundedReceiver<Vec<String>>,
        is_written: bool,
    ) -> bool {
        let mut room = IDS_IN_THE_TRAIL;
        while let Some(ids) = told.recv().await {
            for ids in ids.chunks(IDS_AN_ENTRY).filter(|_| is_written) {
                if room == 0 {
                    break;
                }
                room = room.saturating_sub(ids.len());
                let deed = trail::Deed {
                    who: order.by.clone(),
                    did: Did::Finished,
                    what: Some(format!("Drop, plan {}", order.plan)),
                    reason: None,
                    result: Some(format!("dropped {}", ids.join(" "))),
                };
                if let Err(error) = trail::write(&self.primary, &deed).await {
                    let error = crate::logging::causes(&error);
                    tracing::warn!(error = %error, "what was dropped cannot be written down: the rest is left");
                    return false;
                }
            }
        }
        true
    }

    /// Waits a while until the ledger has what was sent back, and says how many it has.
    async fn follow(&self, events: &[Uuid], progress: &Progress, cancel: &mut Cancel) {
        let until = Instant::now() + APPLIED_WAIT;
        let all: HashSet<&Uuid> = events.iter().collect();
        let before = progress.figures();
        while Instant::now() < until {
            let Ok(recorded) = recorded::count(&self.reads, events).await else { return };
            let mut figures = before.clone();
            figures.counts.push(("Of these in the ledger".to_owned(), recorded));
            progress.is(figures);
            if usize::try_from(recorded).is_ok_and(|recorded| recorded >= all.len()) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(APPLIED_EVERY) => {}
                () = cancel.asked_for() => return,
            }
        }
    }
}

/// Awaits what goes on, and tells it to stop when the task is cancelled or the console ends.
async fn until<T>(
    goes_on: impl Future<Output = T>,
    stop: &watch::Sender<bool>,
    cancel: &mut Cancel,
    mut ends: watch::Receiver<bool>,
) -> T {
    tokio::pin!(goes_on);
    tokio::select! {
        done = &mut goes_on => return done,
        () = cancel.asked_for() => {}
        _ = ends.wait_for(|ends| *ends) => {}
    }
    stop.send_replace(true);
    goes_on.await
}

/// How far it is, in messages.
fn figures(dealt: &Dealt, deed: &Deed, total: usize, recorded: Option<u64>) -> Figures {
    let Dealt { sent, deleted, kept, failed, in_both, missing, hidden_for_now } = dealt;
    let kept: u64 = kept.values().sum();
    let of_all = [
        ("Would come back, left", kept),
        ("Not taken by SQS, left", failed - in_both),
        ("In both queues, counted once", *in_both),
        ("Not there, or hidden by somebody", *missing),
        ("Hidden for up to 5 minutes", *hidden_for_now),
    ];
    let first = match deed {
        Deed::SendBack { .. } => ("Sent back", *sent),
        Deed::Drop => ("Dropped", *deleted),
    };
    let last = recorded.map(|recorded| ("Of these in the ledger", recorded));
    let others = of_all.into_iter().filter(|(_, count)| *count > 0).chain(last);
    let counts = std::iter::once(first).chain(others).map(|(name, count)| (name.to_owned(), count)).collect();
    Figures { done: deleted + kept + failed, total: u64::try_from(total).ok(), counts }
}
