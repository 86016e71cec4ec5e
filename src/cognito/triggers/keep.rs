//! Looks whether the pool calls our function, and puts back what is missing. Must not know who asks for a look, nor when.
//!
//! What is missing is put back, and nothing else: where another function stands, a former or a chained one too, it is left
//! there. Nothing is put back against a person ([`Notes::held_at`]), nor more often than [`crate::cognito::triggers::PUT_BACK_AT_MOST`] times an hour, nor
//! where that cannot be known. An attempt is noted *before* the pool is changed. Of several looks at once, the first to note
//! one goes on: each write of the parameter sees all that were before it. The others wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_cognitoidentityprovider::Client;
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::cognito::triggers::api::UserPoolApi;
use crate::cognito::triggers::notes::{Attempt, Gap, Notes, Stamp};
use crate::cognito::triggers::parameter::{Parameter, ParameterError};
use crate::cognito::triggers::settings::{self, Settings};
use crate::cognito::triggers::update::{Manner, change};
use crate::cognito::triggers::{Error, Hook, Triggers, is_ours};

/// How often the pool is read anew while somebody else changes it: some 20 s.
const ROUNDS: u32 = 40;

/// How long an update is sent again that has no answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An update may take a moment to be live.
const LIVE_MS: u64 = 5_000;

/// How long we wait for another look that is under way before we look again.
const POLL: Duration = Duration::from_secs(3);

/// How much of the caller's time has to be left for an attempt: some 20 s for a pool that is being changed, and what the
/// requests take.
const ATTEMPT_TAKES: Duration = Duration::from_secs(45);

/// Keeps the triggers of one pool.
#[derive(Debug)]
pub struct Keeper<'a> {
    /// The client of Cognito.
    pub client: &'a Client,
    /// The pool.
    pub user_pool_id: &'a str,
    /// Our function.
    pub function_arn: &'a str,
    /// Where holds, attempts and gaps are noted. Without one, nothing is put back.
    pub parameter: Option<&'a Parameter>,
    /// Whether anything is put back.
    pub puts_back: bool,
}

/// What a look found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// How many of the two triggers did not call our function.
    pub missing: usize,
    /// Whether another function is one of them.
    pub is_foreign: bool,
    /// What came of it.
    pub kept: Kept,
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing is missing.
    Complete,
    /// Something is missing, and this deployment puts nothing back.
    OnlyLooked,
    /// What was missing is put back.
    PutBack,
    /// Something is missing still.
    NotPutBack(Reason),
}

/// Why something is missing still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A person holds the triggers.
    Held,
    /// They were put back so often that somebody else must be taking them away.
    Limit,
    /// Another function stands there.
    Foreign,
    /// Whether somebody holds them is not known.
    Parameter,
    /// Cognito refused, or another look has been at it for long.
    Failed,
}

impl Reason {
    fn of(error: &Error) -> Self {
        match error {
            Error::Held => Self::Held,
            Error::Parameter(_) => Self::Parameter,
            Error::Taken(_)
            | Error::TakenByAnother(_)
            | Error::NoFunction { .. }
            | Error::Chained { .. }
            | Error::Cognito(_)
            | Error::Denied { .. }
            | Error::NotEnabled { .. }
            | Error::NoPool
            | Error::Unreadable { .. }
            | Error::ConcurrentlyModified
            | Error::Changed { .. }
            | Error::NotRestored { .. }
            | Error::NotSeen
            | Error::TooLate
            | Error::GaveUp => Self::Failed,
        }
    }

    /// A stable word: the label of a metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Limit => "limit",
            Self::Foreign => "foreign",
            Self::Parameter => "parameter",
            Self::Failed => "failed",
        }
    }
}

/// The pool as a look finds it.
struct Seen {
    lacking: usize,
    foreign: usize,
    /// When the pool was last changed.
    modified_at: Timestamp,
}

impl Seen {
    fn of(described: &Settings, function_arn: &str) -> Self {
        let triggers = Triggers::of(described);
        let count = |is_so: fn(Option<&str>, &str) -> bool| {
            Hook::ALL.iter().filter(|hook| is_so(triggers.get(**hook), function_arn)).count()
        };
        Self {
            lacking: count(|arn, _| arn.is_none()),
            foreign: count(|arn, ours| arn.is_some_and(|arn| !is_ours(arn, ours))),
            modified_at: settings::modified_at(described).unwrap_or_else(Timestamp::now),
        }
    }

    /// A gap that this look finds. `record` is the time of the call that it follows.
    fn gap(&self, record: Option<Timestamp>) -> Gap {
        let from = record.unwrap_or(self.modified_at).min(Timestamp::now());
        Gap { from, by_record: record.is_some(), until: None }
    }
}

/// What an attempt found.
enum Put {
    Done,
    /// Nothing was missing any more. The next look notes it.
    NotNeeded,
}

/// How a look goes on.
enum Step {
    Done(Kept),
    /// Another look is at it.
    Wait,
}

impl Keeper<'_> {
    /// Looks, and puts back what is missing. `record` is when a call that CloudTrail reports changed the pool; without one,
    /// a schedule asks.
    ///
    /// # Errors
    /// When the pool cannot be read. Everything else is said in the log, and in the answer.
    pub async fn look(&self, record: Option<Timestamp>, deadline: Instant) -> Result<Looked, Error> {
        let user_pool = UserPoolApi::new(self.client, self.user_pool_id);
        let mut first: Option<Seen> = None;
        loop {
            let seen = Seen::of(&user_pool.describe().await?, self.function_arn);
            let step = match seen.lacking + seen.foreign {
                0 => {
                    self.note_complete(&seen, record).await;
                    Step::Done(Kept::Complete)
                }
                _ => self.mend(&user_pool, &seen, record).await,
            };
            // What this look found, whoever mended it.
            let found = first.get_or_insert(seen);
            let looked =
                |kept| Looked { missing: found.lacking + found.foreign, is_foreign: found.foreign > 0, kept };
            match step {
                Step::Done(kept) => return Ok(looked(kept)),
                Step::Wait if deadline.saturating_duration_since(Instant::now()) < ATTEMPT_TAKES => {
                    tracing::error!(
                        "triggers are missing, and another look has been putting them back for long"
                    );
                    return Ok(looked(Kept::NotPutBack(Reason::Failed)));
                }
                Step::Wait => tokio::time::sleep(POLL.mul_f64(0.5 + fastrand::f64())).await,
            }
        }
    }

    /// Notes the end of a gap, and that one began earlier.
    async fn note_complete(&self, seen: &Seen, record: Option<Timestamp>) {
        let Some(parameter) = self.parameter else { return };
        let notes = match parameter.read().await {
            Ok(notes) => notes,
            Err(error) => {
                return say_unknown(
                    &error,
                    "no trigger is missing, but if one were, it would not be put back",
                );
            }
        };
        let widened = record.is_some_and(|record| notes.widened(record).is_some());
        if notes.open_gap().is_none() && !widened {
            return;
        }
        let until = live(seen.modified_at);
        let noted = parameter.update(|notes| {
            record.into_iter().for_each(|record| notes.widen(record));
            notes.end_gaps(until);
        });
        match noted.await {
            Ok(notes) => notes.gaps().last().iter().for_each(|gap| say_ended(gap)),
            Err(error) => say_unknown(&error, "the end of a gap is not noted"),
        }
    }

    async fn mend(&self, user_pool: &UserPoolApi<'_>, seen: &Seen, record: Option<Timestamp>) -> Step {
        let mut gap = seen.gap(record);
        if seen.foreign > 0 {
            tracing::error!(
                "another function is a trigger of the user pool, and is left there: if it should be called, chain it, else \
                 take it away"
            );
        }
        let Some(parameter) = self.parameter else {
            say_missing(&gap, "this deployment puts nothing back: user-sync triggers attach does");
            return Step::Done(Kept::OnlyLooked);
        };
        let read = parameter.read().await;
        if let Ok(notes) = &read {
            gap = notes.begun(gap, seen.modified_at);
        }
        let (kept, why) = match read {
            Err(error) => {
                say_unknown(&error, "so nothing is put back");
                (Kept::NotPutBack(Reason::Parameter), "the parameter is not known")
            }
            Ok(notes) => match self.refusal(&notes, seen) {
                None if notes.is_another_under_way(None, Timestamp::now()) => return Step::Wait,
                None => return self.attempt(user_pool, parameter, seen, gap).await,
                Some((kept, why)) => {
                    self.note_gap(parameter, &notes, gap).await;
                    (kept, why)
                }
            },
        };
        say_missing(&gap, why);
        Step::Done(if self.puts_back { kept } else { Kept::OnlyLooked })
    }

    /// Why nothing is put back, before anything is tried.
    fn refusal(&self, notes: &Notes, seen: &Seen) -> Option<(Kept, &'static str)> {
        let now = Timestamp::now();
        let not = |reason, why| Some((Kept::NotPutBack(reason), why));
        match () {
            () if !self.puts_back => {
                Some((Kept::OnlyLooked, "this deployment puts nothing back: user-sync triggers attach does"))
            }
            () if seen.lacking == 0 => not(Reason::Foreign, "another function is there"),
            () if notes.held_at(now).is_some() => not(Reason::Held, HELD),
            // Of looks at once most give up, and then do not count.
            () if notes.is_another_under_way(None, now) => None,
            () if notes.is_too_many(1, now) => not(Reason::Limit, LIMIT),
            () => None,
        }
    }

    async fn note_gap(&self, parameter: &Parameter, notes: &Notes, gap: Gap) {
        let is_noted = notes.open_gap().is_some_and(|noted| !gap.by_record || noted.from <= gap.from);
        if is_noted {
            return;
        }
        if let Err(error) = parameter.update(|notes| notes.note_gap(stamp(), gap)).await {
            say_unknown(&error, "the gap is not noted");
        }
    }

    /// Puts back what is missing, unless the parameter says otherwise once the attempt is noted.
    async fn attempt(
        &self,
        user_pool: &UserPoolApi<'_>,
        parameter: &Parameter,
        seen: &Seen,
        gap: Gap,
    ) -> Step {
        let mine = stamp();
        let noted = parameter.update(|notes| {
            notes.note_gap(mine, gap);
            notes.note_attempt(mine, Attempt::Begun);
        });
        let notes = match noted.await {
            Ok(notes) => notes,
            Err(error) => {
                say_unknown(&error, "so nothing is put back");
                return Step::Done(Kept::NotPutBack(Reason::Parameter));
            }
        };
        let now = Timestamp::now();
        let wrote = AtomicBool::new(false);
        let written = match () {
            () if notes.held_at(now).is_some() => Err(Error::Held),
            () if notes.is_another_under_way(Some(mine), now) => {
                note_attempt(parameter, mine, Attempt::GivenUp).await;
                return Step::Wait;
            }
            () if notes.is_too_many(0, now) => {
                note_attempt(parameter, mine, Attempt::GivenUp).await;
                say_missing(&gap, LIMIT);
                return Step::Done(Kept::NotPutBack(Reason::Limit));
            }
            () => self.put_back(user_pool, parameter, &wrote).await,
        };
        // What was not sent, or was refused, does not count.
        let state = if wrote.load(Ordering::Relaxed) { Attempt::Ended } else { Attempt::GivenUp };
        match written {
            Ok(Put::Done) => {
                self.note_put_back(parameter, mine, &notes, seen, gap).await;
                Step::Done(Kept::PutBack)
            }
            Ok(Put::NotNeeded) => {
                note_attempt(parameter, mine, state).await;
                Step::Wait
            }
            Err(error) => {
                note_attempt(parameter, mine, state).await;
                say_missing(&gap, &error.to_string());
                Step::Done(Kept::NotPutBack(Reason::of(&error)))
            }
        }
    }

    async fn put_back(
        &self,
        user_pool: &UserPoolApi<'_>,
        parameter: &Parameter,
        wrote: &AtomicBool,
    ) -> Result<Put, Error> {
        let manner = Manner {
            rounds: ROUNDS,
            patience: PATIENCE,
            hold: Some(parameter),
            undoes: false,
            wrote,
            deadline: None,
        };
        let plan = |now: &Triggers| {
            let mut wanted = now.clone();
            // An alias of ours that is the other trigger was set on purpose.
            let mut there = Hook::ALL.into_iter().filter_map(|hook| now.get(hook));
            let ours = there.find(|arn| is_ours(arn, self.function_arn)).unwrap_or(self.function_arn);
            for hook in Hook::ALL.into_iter().filter(|hook| now.get(*hook).is_none()) {
                wanted.set(hook, Some(ours.to_owned()));
            }
            let put = if wanted == *now { Put::NotNeeded } else { Put::Done };
            Ok((wanted, put))
        };
        // Boxed: its future is large.
        Box::pin(change(user_pool, &manner, plan)).await
    }

    async fn note_put_back(&self, parameter: &Parameter, mine: Stamp, notes: &Notes, seen: &Seen, gap: Gap) {
        let until = live(Timestamp::now());
        let is_complete = seen.foreign == 0;
        match is_complete {
            true => say_ended(&Gap { until: Some(until), ..notes.open_gap().copied().unwrap_or(gap) }),
            false => say_missing(&gap, "one trigger is put back, and another function is the other one"),
        }
        let noted = parameter.update(|notes| {
            notes.note_attempt(mine, Attempt::Ended);
            if is_complete {
                notes.end_gaps(until);
            }
        });
        if let Err(error) = noted.await {
            say_unknown(&error, "it is not noted that the triggers are put back: a later look will");
        }
    }
}

const HELD: &str = "somebody holds them: user-sync triggers release ends that";
const LIMIT: &str = "they were put back as often as they are in an hour, so somebody else takes them away again and again: \
                     find out who (CloudTrail has each UpdateUserPool), and have them send the triggers";

fn stamp() -> Stamp {
    Stamp { at: Timestamp::now(), by: fastrand::u32(..) }
}

/// When an update of this moment is surely live.
fn live(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(at.unix_millis() + LIVE_MS)
}

async fn note_attempt(parameter: &Parameter, attempt: Stamp, state: Attempt) {
    if let Err(error) = parameter.update(|notes| notes.note_attempt(attempt, state)).await {
        say_unknown(&error, "what came of an attempt is not noted, so it counts");
    }
}

fn say_missing(gap: &Gap, why: &str) {
    tracing::error!(
        gap.from = %gap.from,
        gap.by_record = gap.by_record,
        why,
        "the user pool does not call the trigger: sign-ins {gap} are not counted"
    );
}

/// Says what was lost.
fn say_ended(gap: &Gap) {
    tracing::error!(
        gap.from = %gap.from,
        gap.by_record = gap.by_record,
        gap.until = gap.until.map(|until| until.to_string()),
        "the user pool calls the trigger again: sign-ins {gap} are not counted; run user-sync reconcile --repair for the \
         users, and find out by CloudTrail (UpdateUserPool) who changed the pool"
    );
}

fn say_unknown(error: &ParameterError, what: &str) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "{what}: what is noted of the triggers is not known"
    );
}
