//! Writes the two triggers of a user pool and proves that nothing else changed. Knows how one pool is updated; must
//! not know which functions the triggers should call: the caller's plan says that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::cognito::triggers::api::{self, UserPoolApi, Written};
use crate::cognito::triggers::parameter::Parameter;
use crate::cognito::triggers::settings::{self, Settings};
use crate::cognito::triggers::{Error, Hook, Triggers};
use crate::cognito::user_pool::{RETRY_BUDGET, SCHEDULE};

/// How long we wait before we read a pool again that somebody else is changing.
const REST: Duration = Duration::from_millis(500);

/// When we read a written pool: a description that lags behind the update is no difference.
const READ_AGAIN: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(2)];

/// How long writing the pool and verifying it takes at most, where Cognito answers.
const WRITING_TAKES: Duration = Duration::from_secs(30);

/// What is kept for putting back what was there: its retries, the last one's answer, and our own answer.
const PUTTING_BACK_TAKES: Duration = Duration::from_secs(75);

/// What is kept of that for our own answer.
const ANSWERING_TAKES: Duration = Duration::from_secs(5);

/// How an update goes about it.
pub(super) struct Manner<'a> {
    /// How often we read and write the pool anew when somebody else changes it at the same time.
    pub(super) rounds: u32,
    /// How long we send an update again that has no answer.
    pub(super) patience: Duration,
    /// Where a person may say no, until the last moment.
    pub(super) hold: Option<&'a Parameter>,
    /// Whether the former settings are sent back where more than the triggers differs afterwards. Not for the keeper:
    /// nobody deletes the function then, and what differs may be another's change, which would be lost.
    pub(super) undoes: bool,
    /// Becomes true once the pool may have been written.
    pub(super) wrote: &'a AtomicBool,
    /// When whoever asks is ended: nothing is begun that could not be put back until then.
    pub(super) deadline: Option<Instant>,
}

impl<'a> Manner<'a> {
    /// Of a person or a deployment.
    pub(super) fn asked(wrote: &'a AtomicBool) -> Self {
        Self { rounds: 4, patience: RETRY_BUDGET, hold: None, undoes: true, wrote, deadline: None }
    }

    /// The future's output, unless it takes until `reserve` before the deadline.
    async fn within<T>(&self, reserve: Duration, work: impl Future<Output = T>) -> Option<T> {
        match self.deadline {
            None => Some(work.await),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(reserve);
                tokio::time::timeout(left, work).await.ok()
            }
        }
    }

    fn is_too_late(&self) -> bool {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        left.is_some_and(|left| left < WRITING_TAKES + PUTTING_BACK_TAKES)
    }
}

/// The pool before the update: what we compare with, and what we send back if the update went wrong.
struct Original {
    settings: Settings,
    triggers: Triggers,
    /// `None` where we may not read it: then it is not compared.
    mfa: Option<Settings>,
}

/// Reads the pool, asks `plan` what its triggers should be, and writes them. Writes nothing where they are so already.
pub(super) async fn change<T>(
    user_pool: &UserPoolApi<'_>,
    manner: &Manner<'_>,
    plan: impl Fn(&Triggers) -> Result<(Triggers, T), Error>,
) -> Result<T, Error> {
    let mut written_over = None;
    match rounds(user_pool, manner, plan, &mut written_over).await {
        // An update of an earlier round had no answer, and may still be done.
        Err(error) if !matches!(error, Error::NotRestored { .. }) => Err(match written_over {
            Some(before) => Error::NotRestored { because: Box::new(error), before },
            None => error,
        }),
        changed => changed,
    }
}

async fn rounds<T>(
    user_pool: &UserPoolApi<'_>,
    manner: &Manner<'_>,
    plan: impl Fn(&Triggers) -> Result<(Triggers, T), Error>,
    written_over: &mut Option<Triggers>,
) -> Result<T, Error> {
    for _ in 0..manner.rounds {
        let settings = user_pool.describe().await?;
        let triggers = Triggers::of(&settings);
        let (wanted, outcome) = plan(&triggers)?;
        if wanted == triggers {
            return Ok(outcome);
        }
        let mfa = user_pool.describe_mfa().await?;
        let original = Original { settings, triggers, mfa };
        // Boxed: its future is large.
        match Box::pin(update(user_pool, manner, &original, &wanted)).await? {
            Written::Done => return Ok(outcome),
            Written::Concurrently => {
                if manner.undoes && manner.wrote.load(Ordering::Relaxed) {
                    written_over.get_or_insert(original.triggers);
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
    Err(Error::ConcurrentlyModified)
}

/// Writes the triggers, and sends the original settings back if the result is not as wanted.
async fn update(
    user_pool: &UserPoolApi<'_>,
    manner: &Manner<'_>,
    original: &Original,
    wanted: &Triggers,
) -> Result<Written, Error> {
    let write_and_verify = async {
        let written = write(user_pool, manner, original, wanted).await?;
        if matches!(written, Written::Done) {
            verify(user_pool, manner, original, wanted).await?;
        }
        Ok(written)
    };
    // Boxed: two requests are under way in it.
    let verified = Box::pin(manner.within(PUTTING_BACK_TAKES, write_and_verify)).await;
    let wrote = || manner.wrote.load(Ordering::Relaxed);
    match verified.unwrap_or_else(|| Err(if wrote() { Error::GaveUp } else { Error::TooLate })) {
        Ok(written) => Ok(written),
        Err(Error::Changed { changed, .. }) if !manner.undoes => seen(&changed),
        Err(error) if !manner.undoes || !wrote() => Err(error),
        Err(error) => {
            let failed = manner.within(ANSWERING_TAKES, put_back(user_pool, original, error.clone())).await;
            Err(failed.unwrap_or_else(|| not_restored(original, error)))
        }
    }
}

/// Sends the update, and again where it has no answer: each time only if the pool is still the one that we read, or else we
/// would write over what others have changed since.
async fn write(
    user_pool: &UserPoolApi<'_>,
    manner: &Manner<'_>,
    original: &Original,
    wanted: &Triggers,
) -> Result<Written, Error> {
    let started = Instant::now();
    let mut sent = 0;
    loop {
        // Cognito writes unconditionally: a change that somebody else makes between our reading and our update is lost.
        // So we read once more, and leave a pool alone that is being changed. The hold is read at the same time, not after
        // it.
        let (again, mfa, permitted) =
            tokio::join!(user_pool.describe(), mfa(user_pool, original), permitted(manner.hold));
        let again = again?;
        if sent > 0 && Triggers::of(&again) == *wanted {
            return Ok(Written::Done);
        }
        permitted?;
        if !is_same(&original.settings, &again) || !mfa?.is_empty() {
            return Ok(Written::Concurrently);
        }
        if sent == 0 && manner.is_too_late() {
            return Err(Error::TooLate);
        }
        // Before the answer: this may be given up while it is under way.
        let had_written = manner.wrote.swap(true, Ordering::Relaxed);
        let written = user_pool.update(settings::merged(&original.settings, wanted)).await;
        let is_unknown = written.as_ref().is_err_and(api::is_transient);
        if !is_unknown && !matches!(written, Ok(Written::Done)) {
            manner.wrote.store(had_written, Ordering::Relaxed);
        }
        sent += 1;
        match written {
            Err(_) if is_unknown && started.elapsed() < manner.patience => {
                tokio::time::sleep(SCHEDULE.delay(sent)).await;
            }
            written => return written,
        }
    }
}

/// The names of MFA's settings that differ from the original.
async fn mfa(user_pool: &UserPoolApi<'_>, original: &Original) -> Result<Vec<String>, Error> {
    let Some(before) = &original.mfa else { return Ok(Vec::new()) };
    let after = user_pool.describe_mfa().await?;
    Ok(after.map(|after| settings::mfa_differences(before, &after)).unwrap_or_default())
}

/// Refuses while somebody holds the triggers.
async fn permitted(hold: Option<&Parameter>) -> Result<(), Error> {
    let Some(parameter) = hold else { return Ok(()) };
    match parameter.read().await?.held_at(Timestamp::now()) {
        Some(_) => Err(Error::Held),
        None => Ok(()),
    }
}

/// Whether the pool shows the triggers; what else differs is said.
fn seen(changed: &[String]) -> Result<Written, Error> {
    let is_trigger = |name: &&String| {
        Hook::ALL.iter().any(|hook| name.strip_prefix("LambdaConfig.") == Some(hook.as_str()))
    };
    if changed.iter().any(|name| is_trigger(&name)) {
        return Err(Error::NotSeen);
    }
    tracing::warn!(
        settings = changed.join(", "),
        "these settings of the user pool differ from before the triggers were put back: somebody else changed them at \
         the same time, or else the update did; compare them"
    );
    Ok(Written::Done)
}

fn is_same(one: &Settings, other: &Settings) -> bool {
    one.get("LastModifiedDate") == other.get("LastModifiedDate")
        && Triggers::of(one) == Triggers::of(other)
        && settings::differences(one, other).is_empty()
}

/// Compares the pool with the original: nothing but the triggers may differ.
async fn verify(
    user_pool: &UserPoolApi<'_>,
    manner: &Manner<'_>,
    original: &Original,
    wanted: &Triggers,
) -> Result<(), Error> {
    if manner.undoes
        && let Some(before) = &original.mfa
        && !mfa(user_pool, original).await?.is_empty()
    {
        // The update does not turn a factor off where the same `MfaConfiguration` is sent along (measured by go-to-k/cdkd,
        // us-east-1, August 2026), but AWS does not promise it.
        user_pool.set_mfa(before).await?;
    }
    let changed = changes(user_pool, original, wanted).await?;
    match changed.is_empty() {
        true => Ok(()),
        false => Err(Error::Changed { changed, remaining: Vec::new() }),
    }
}

/// Sends the original settings back: a deployment that failed rolls back, and deletes the function that is the
/// trigger.
async fn put_back(user_pool: &UserPoolApi<'_>, original: &Original, mut because: Error) -> Error {
    let before = &original.triggers;
    let send = |settings: &Settings| {
        let request = settings::merged(settings, before);
        SCHEDULE.retry(RETRY_BUDGET, api::is_transient, move || user_pool.update(request.clone()))
    };
    let mut sent = send(&original.settings).await;
    if !matches!(sent, Ok(Written::Done))
        && let Ok(now) = user_pool.describe().await
    {
        // A secondary replica takes no other settings than the primary has now: at least the triggers.
        sent = send(&now).await;
    }
    let Ok(Written::Done) = sent else {
        return not_restored(original, because);
    };
    if let Error::Changed { remaining, .. } = &mut because {
        *remaining = changes(user_pool, original, before).await.unwrap_or_default();
    }
    because
}

fn not_restored(original: &Original, because: Error) -> Error {
    Error::NotRestored { because: Box::new(because), before: original.triggers.clone() }
}

/// The names of the settings that differ from the original, and of the triggers that are not as `wanted`.
async fn changes(
    user_pool: &UserPoolApi<'_>,
    original: &Original,
    wanted: &Triggers,
) -> Result<Vec<String>, Error> {
    let mut changes = Vec::new();
    for delay in READ_AGAIN {
        tokio::time::sleep(delay).await;
        let after = user_pool.describe().await?;
        let triggers = Triggers::of(&after);
        let other = Hook::ALL.into_iter().filter(|hook| triggers.get(*hook) != wanted.get(*hook));
        changes = other.map(|hook| format!("LambdaConfig.{}", hook.as_str())).collect();
        changes.extend(settings::differences(&original.settings, &after));
        changes.extend(mfa(user_pool, original).await?);
        if changes.is_empty() {
            break;
        }
    }
    Ok(changes)
}
