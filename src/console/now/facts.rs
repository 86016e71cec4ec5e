//! What is known now of the way from a sign-in to its row, each with the time for which it is true; and up to when every
//! sign-in is in the database. Pure. Unknown is never zero: a figure is known, or its source is silent, or it has none.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::console::now::cloudwatch::{self, Told, Undelivered};
use crate::console::now::hour::{Hour, Retries};
use crate::console::now::source::{Failure, Known, Seen, before, since};
use crate::console::now::tables::{Depths, Tables};
use crate::console::now::workers::Heard;
use crate::ops::doctor;

/// How old the latest heartbeat may be: three of them.
pub(in crate::console::now) const HEARTBEAT_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long an event may wait in the queue.
pub(in crate::console::now) const OLDEST_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long 99 of 100 events may take to their row.
pub(in crate::console::now) const P99_WITHIN: Duration = Duration::from_secs(5 * 60);
/// After so long without another one, undelivered events are no emergency: somebody may have replayed them, or should.
pub(in crate::console::now) const UNDELIVERED_FOR: Duration = Duration::from_secs(60 * 60);
/// A Region that has not told of its pool for so long has no replica any more, as `user-sync doctor` has it.
const REPLICA_GONE_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// How old the answer of a source may be that is asked every 10 seconds; and for a mark on another page.
pub(in crate::console::now) const FRESH: Duration = Duration::from_secs(30);
pub(in crate::console::now) const FRESH_FOR_MARKS: Duration = Duration::from_secs(5 * 60);

/// SQS counts messages with a delay of about a minute ("ApproximateNumberOfMessages"); a trigger sends within 2 seconds.
const COUNTED_LATE: Duration = Duration::from_secs(60);
/// What took longer than the last edge of the histogram, in seconds.
pub(in crate::console::now) const OVER_ALL_EDGES: f64 = 3_600.0;
/// What is true up to an hour ago says nothing of now.
const TELLING_WITHIN: Duration = Duration::from_secs(30 * 60);

/// All that was asked. `None` is a source that there is not.
#[derive(Debug, Clone, Default)]
pub(in crate::console::now) struct Snapshot {
    pub(in crate::console::now) tables: Seen<Tables>,
    pub(in crate::console::now) queues: Option<Seen<Depths>>,
    pub(in crate::console::now) workers: Option<Seen<Heard>>,
    pub(in crate::console::now) cloudwatch: Option<Seen<Told>>,
    /// Whether CloudWatch is asked for the consumer's figures, and whether for the triggers'.
    pub(in crate::console::now) has_consumer: bool,
    pub(in crate::console::now) has_triggers: bool,
    /// The parts of a deployment that do not change by themselves.
    pub(in crate::console::now) deployment: Option<Seen<Vec<doctor::Check>>>,
    pub(in crate::console::now) hour: Hour,
    /// Up to when the queue was seen to hold nothing.
    pub(in crate::console::now) drained_at: Option<Timestamp>,
}

/// A figure that the verdict rests on.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console::now) enum Reading<T> {
    /// Known, for this time.
    Known(T, Timestamp),
    /// Its source does not say it now, and why.
    Silent(String),
    /// There is no source of it, and what would be one.
    NoSource(&'static str),
}

impl<T> Reading<T> {
    pub(in crate::console::now) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value, _) => Some(value),
            Self::Silent(_) | Self::NoSource(_) => None,
        }
    }

    pub(in crate::console::now) fn as_of(&self) -> Option<Timestamp> {
        match self {
            Self::Known(_, at) => Some(*at),
            Self::Silent(_) | Self::NoSource(_) => None,
        }
    }

    pub(in crate::console::now) fn has_source(&self) -> bool {
        !matches!(self, Self::NoSource(_))
    }

    pub(in crate::console::now) fn silence(&self) -> Option<&str> {
        match self {
            Self::Silent(why) => Some(why),
            Self::Known(..) | Self::NoSource(_) => None,
        }
    }
}

/// The two triggers of each pool and Region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::now) struct Triggers {
    pub(in crate::console::now) in_place: u64,
    pub(in crate::console::now) of: u64,
}

/// What the verdict is made of.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console::now) struct Facts {
    /// By the earlier of this machine's clock and the database's.
    pub(in crate::console::now) now: Timestamp,
    /// Since when the database does not answer.
    pub(in crate::console::now) database_silent: Option<Failure>,
    /// How old the latest heartbeat is.
    pub(in crate::console::now) heartbeat: Reading<Duration>,
    pub(in crate::console::now) triggers: Reading<Triggers>,
    /// How long the oldest message waits.
    pub(in crate::console::now) oldest: Reading<Duration>,
    pub(in crate::console::now) undelivered: Reading<Undelivered>,
    pub(in crate::console::now) dead_letters: Reading<u64>,
    /// Within how many seconds 99 of 100 events were in their row.
    pub(in crate::console::now) p99: Reading<f64>,
    /// Whether anything has ever arrived.
    pub(in crate::console::now) has_arrived: Option<bool>,
    /// Up to when every sign-in that reached the queue is in the database, or why nobody knows.
    pub(in crate::console::now) complete: Result<Timestamp, String>,
}

/// Why a source's word does not count now.
fn silence<T>(seen: &Seen<T>) -> String {
    match (&seen.failure, &seen.last) {
        (Some(failure), _) => failure.refusal.why.clone(),
        (None, Some(_)) => "its last answer is old, and it is being asked".to_owned(),
        (None, None) => "it is being asked".to_owned(),
    }
}

/// What a source says, if it says so now.
fn said<'s, T, U>(
    seen: &'s Option<Seen<T>>,
    now: Timestamp,
    fresh: Duration,
    none: &'static str,
    read: impl FnOnce(&'s Known<T>) -> Reading<U>,
) -> Reading<U> {
    match seen {
        None => Reading::NoSource(none),
        Some(seen) => match seen.current(now, fresh) {
            Some(known) => read(known),
            None => Reading::Silent(silence(seen)),
        },
    }
}

impl Facts {
    /// Of what was asked, at this time of this machine's. `fresh` is how old an answer may be.
    pub(in crate::console::now) fn of(snapshot: &Snapshot, own: Timestamp, fresh: Duration) -> Self {
        let tables = snapshot.tables.current(own, fresh);
        let ahead = snapshot.tables.last.as_ref().map_or(0, |known| known.value.ahead_millis);
        let now = before(own, Duration::from_millis(u64::try_from(ahead).unwrap_or(0)));
        let server = server_now(own, ahead);
        let failure = snapshot.tables.failure.clone();
        let mut facts = Self {
            now,
            database_silent: failure.filter(|failure| failure.refusal.is_silent),
            heartbeat: heartbeat(snapshot, tables, server),
            triggers: triggers(snapshot, tables, server),
            oldest: oldest(snapshot, own, fresh),
            undelivered: undelivered(snapshot, own, fresh),
            dead_letters: dead_letters(snapshot, own, fresh),
            p99: p99(snapshot, own, fresh),
            has_arrived: tables.map(|tables| {
                let standing = &tables.value.standing;
                standing.heartbeat.is_some() || standing.newest.is_some()
            }),
            complete: Err(String::new()),
        };
        facts.complete = facts.complete(snapshot);
        facts
    }

    /// Whether nothing says if the trigger could queue each event, or is called at all: then only the way from the queue
    /// on is known.
    pub(in crate::console::now) fn is_of_queue_only(&self) -> bool {
        !self.undelivered.has_source() || !self.triggers.has_source()
    }

    /// Up to when every sign-in is in the database. It is now less the longest wait, the way to the row and the age of the
    /// figures; never later than what any figure is true for.
    fn complete(&self, snapshot: &Snapshot) -> Result<Timestamp, String> {
        let waits = self.waits(snapshot)?;
        let figures = [self.triggers.as_of(), self.undelivered.as_of(), self.dead_letters.as_of()];
        let up_to = figures.into_iter().flatten().fold(waits, Timestamp::min);
        let way = self.p99.known().map_or(0.0, |seconds| seconds.clamp(0.0, OVER_ALL_EDGES));
        let up_to = before(up_to, Duration::try_from_secs_f64(way).unwrap_or(Duration::MAX));
        if since(up_to, self.now) > TELLING_WITHIN {
            return Err(
                "how long events wait in the queue is not known: it has held some since the console looks"
                    .to_owned(),
            );
        }
        Ok(up_to)
    }

    /// Up to when nothing is left in the queue, by whichever of three ways says most.
    fn waits(&self, snapshot: &Snapshot) -> Result<Timestamp, String> {
        // Everything was taken out of it once it was seen to be empty.
        let drained = snapshot.drained_at.map(|at| before(at, COUNTED_LATE));
        let of_age = match (&self.oldest, snapshot.hour.retries(self.now)) {
            (Reading::Known(wait, at), Retries::None(until)) => Some(before(until.min(*at), *wait)),
            // What was received three times is not in the age any more: it came before the first retry, and had waited.
            (Reading::Known(wait, at), Retries::Since(first, until)) => {
                let longest = snapshot.hour.longest_wait().unwrap_or(*wait).max(*wait);
                Some(before(first.min(until).min(*at), longest))
            }
            (Reading::Known(..) | Reading::Silent(_) | Reading::NoSource(_), _) => None,
        };
        drained.max(of_age).ok_or_else(|| match &self.oldest {
            Reading::Silent(why) => format!("how long events wait in the queue is not known: {why}"),
            Reading::NoSource(why) => format!("how long events wait in the queue is not known: {why}"),
            Reading::Known(..) => {
                "whether events are being tried again is not known: nothing has been counted for 20 minutes yet".to_owned()
            }
        })
    }
}

/// What the server's clock says now, by which heartbeats are old.
fn server_now(own: Timestamp, ahead_millis: i64) -> Timestamp {
    let own = i64::try_from(own.unix_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(u64::try_from(own.saturating_sub(ahead_millis)).unwrap_or(0))
}

fn heartbeat(snapshot: &Snapshot, tables: Option<&Known<Tables>>, now: Timestamp) -> Reading<Duration> {
    match tables {
        None => Reading::Silent(silence(&snapshot.tables)),
        Some(tables) => match tables.value.standing.heartbeat {
            Some(beat) => Reading::Known(since(beat.sent, now), tables.at),
            None => Reading::NoSource("none has ever arrived"),
        },
    }
}

/// As the heartbeats last told. What is missing is believed however old it is; that nothing is, only of late.
fn triggers(snapshot: &Snapshot, tables: Option<&Known<Tables>>, now: Timestamp) -> Reading<Triggers> {
    let Some(tables) = tables else { return Reading::Silent(silence(&snapshot.tables)) };
    let pools = &tables.value.standing.pools;
    let pools: Vec<_> = pools.iter().filter(|told| since(told.at, now) < REPLICA_GONE_AFTER).collect();
    let Some(oldest) = pools.iter().map(|told| told.at).min() else {
        return Reading::NoSource("no heartbeat has told of them: user-sync-lifecycle does");
    };
    let in_place = |told: &&crate::store::maintenance::heartbeat::PoolTold| {
        let called = [&told.seen.post_confirmation, &told.seen.post_authentication];
        let called = called.into_iter().flatten().count();
        u64::try_from(called).unwrap_or(0).min(2_u64.saturating_sub(told.seen.missing.into()))
    };
    let found = Triggers {
        in_place: pools.iter().map(in_place).sum(),
        of: 2 * u64::try_from(pools.len()).unwrap_or(0),
    };
    if since(oldest, now) > HEARTBEAT_WITHIN && found.in_place == found.of {
        return Reading::Silent("no heartbeat has told of them for more than 15 min".to_owned());
    }
    Reading::Known(found, oldest)
}

fn oldest(snapshot: &Snapshot, now: Timestamp, fresh: Duration) -> Reading<Duration> {
    let fresh = fresh.max(cloudwatch::LATE);
    said(&snapshot.cloudwatch, now, fresh, "SQS tells no age, CloudWatch does", |told| {
        match told.value.oldest {
            // The metric itself is a minute late, or two.
            Some((wait, at)) if since(at, told.at) <= 2 * cloudwatch::LATE => Reading::Known(wait, at),
            Some(_) | None => Reading::Silent("CloudWatch has no age of late".to_owned()),
        }
    })
}

fn undelivered(snapshot: &Snapshot, now: Timestamp, fresh: Duration) -> Reading<Undelivered> {
    const NONE: &str = "the trigger counts it in CloudWatch";
    if !snapshot.has_triggers {
        return Reading::NoSource(NONE);
    }
    let fresh = fresh.max(cloudwatch::LATE);
    said(&snapshot.cloudwatch, now, fresh, NONE, |told| match told.value.undelivered {
        Some(undelivered) => Reading::Known(undelivered, before(told.at, cloudwatch::LATE)),
        None if told.value.is_whole => {
            Reading::NoSource("no trigger has counted anything in CloudWatch within a day")
        }
        None => Reading::Silent("CloudWatch answered in part".to_owned()),
    })
}

fn dead_letters(snapshot: &Snapshot, now: Timestamp, fresh: Duration) -> Reading<u64> {
    said(&snapshot.queues, now, fresh, "USER_SYNC_DLQ_URL is not set", |depths| {
        Reading::Known(depths.value.dead_letters.total(), before(depths.at, COUNTED_LATE))
    })
}

fn p99(snapshot: &Snapshot, now: Timestamp, fresh: Duration) -> Reading<f64> {
    let none = "workers count it (--metrics-url), or CloudWatch has it";
    let heard = match (&snapshot.workers, &snapshot.cloudwatch) {
        (Some(_), _) => said(&snapshot.workers, now, fresh, none, |heard| match heard.value.failed.first() {
            None => Reading::Known((), heard.at),
            Some((url, why)) => Reading::Silent(format!(
                "{} of {} workers do not answer: {url}: {why}",
                heard.value.failed.len(),
                heard.value.of
            )),
        }),
        (None, Some(_)) if snapshot.has_consumer => {
            said(&snapshot.cloudwatch, now, fresh.max(cloudwatch::LATE), none, |told| {
                Reading::Known((), told.at)
            })
        }
        (None, Some(_) | None) => Reading::NoSource(none),
    };
    match heard {
        Reading::Known((), at) => match snapshot.hour.p99(now) {
            Some((seconds, _)) => Reading::Known(seconds, at),
            None => Reading::NoSource("no event has been committed since the console looks"),
        },
        Reading::Silent(why) => Reading::Silent(why),
        Reading::NoSource(why) => Reading::NoSource(why),
    }
}
