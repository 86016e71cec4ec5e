//! The checks of the Now page: state, what is now, what is healthy, and what to do where it is not. Pure.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::console::now::facts::{
    Facts, HEARTBEAT_WITHIN, OLDEST_WITHIN, OVER_ALL_EDGES, P99_WITHIN, Reading, Snapshot,
};
use crate::console::now::source::{Seen, since};
use crate::console::now::upkeep;
use crate::console::now::verdict::is_recent;
use crate::console::status::Status;
use crate::console::words::{ago, clock, count, lasting};

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::console::now) enum Group {
    SignIns,
    Upkeep,
    Deployment,
}

impl Group {
    pub(in crate::console::now) const ALL: [Self; 3] = [Self::SignIns, Self::Upkeep, Self::Deployment];

    pub(in crate::console::now) fn title(self) -> &'static str {
        match self {
            Self::SignIns => "Sign-ins",
            Self::Upkeep => "Upkeep",
            Self::Deployment => "Deployment",
        }
    }
}

/// A section of docs/runbook.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::now) struct Runbook {
    pub(in crate::console::now) title: &'static str,
    /// Its heading, as GitHub makes a fragment of it.
    pub(in crate::console::now) anchor: &'static str,
}

impl Runbook {
    /// Where the console shows it.
    pub(in crate::console::now) fn url(self) -> String {
        format!("/runbook#{}", self.anchor)
    }
}

const fn runbook(title: &'static str, anchor: &'static str) -> Runbook {
    Runbook { title, anchor }
}

pub(in crate::console::now) const HEARTBEAT: Runbook = runbook("heartbeat age", "heartbeat-age");
pub(in crate::console::now) const UNDELIVERED: Runbook = runbook("undelivered", "undelivered--0");
pub(in crate::console::now) const DEAD_LETTERS: Runbook = runbook("dead letters", "dead-letters--0");
pub(in crate::console::now) const MISCONFIGURED: Runbook =
    runbook("database misconfigured", "database-misconfigured");
pub(in crate::console::now) const BEHIND: Runbook =
    runbook("age of the oldest message", "age-of-the-oldest-message-freshness-p99");
pub(in crate::console::now) const HORIZON: Runbook = runbook("ledger horizon near", "ledger-horizon-near");
pub(in crate::console::now) const TRIGGERS: Runbook = runbook("triggers missing", "triggers-missing");
pub(in crate::console::now) const DRIFT: Runbook = runbook("drift", "drift");
pub(in crate::console::now) const UNACCOUNTED: Runbook =
    runbook("logins unaccounted for", "logins-unaccounted-for");

/// All sections that are named, for the test that each is there.
#[cfg(test)]
const RUNBOOKS: [Runbook; 9] =
    [HEARTBEAT, UNDELIVERED, DEAD_LETTERS, MISCONFIGURED, BEHIND, HORIZON, TRIGGERS, DRIFT, UNACCOUNTED];

/// What to do about a check that is not healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Note {
    /// What is, and what should be.
    pub(in crate::console::now) says: String,
    /// What it means, and what to do.
    pub(in crate::console::now) body: String,
    pub(in crate::console::now) command: Option<String>,
    /// How one knows that it is over.
    pub(in crate::console::now) over: &'static str,
    pub(in crate::console::now) runbook: Runbook,
    /// A page here that has more.
    pub(in crate::console::now) page: Option<(&'static str, &'static str)>,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Check {
    pub(in crate::console::now) group: Group,
    pub(in crate::console::now) name: &'static str,
    pub(in crate::console::now) status: Status,
    pub(in crate::console::now) now: String,
    pub(in crate::console::now) healthy: &'static str,
    /// Where the figure comes from.
    pub(in crate::console::now) source: &'static str,
    /// When the source said it.
    pub(in crate::console::now) at: Option<Timestamp>,
    pub(in crate::console::now) note: Option<Note>,
}

/// All checks, in their order.
pub(in crate::console::now) fn all(snapshot: &Snapshot, facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        heartbeat(snapshot, facts),
        p99(snapshot, facts),
        oldest(snapshot, facts),
        undelivered(snapshot, facts),
        dead_letters(snapshot, facts),
        triggers(snapshot, facts),
    ];
    checks.extend(upkeep::all(snapshot, facts));
    checks
}

/// What should be looked at first, though nothing is broken; and whether the sentence may be said beside it: not beside what
/// says that a sign-in may be missing.
pub(in crate::console::now) fn warning(checks: &[Check]) -> Option<(&str, bool)> {
    let attention = || checks.iter().filter(|check| check.status == Status::Attention);
    let is_apart = |check: &Check| check.group == Group::Deployment || check.name == "Months ahead";
    let first = attention().next()?;
    let says = first.note.as_ref().map_or(first.now.as_str(), |note| note.says.as_str());
    Some((says, attention().all(is_apart)))
}

/// What a figure is called while it is not known: why, and what it was.
pub(in crate::console::now) fn unknown<T>(reading: &Reading<T>, last: Option<String>) -> (Status, String) {
    let why = match reading {
        Reading::Known(..) => String::new(),
        Reading::Silent(why) => why.clone(),
        Reading::NoSource(why) => (*why).to_owned(),
    };
    let last = last.map(|last| format!("last: {last}; ")).unwrap_or_default();
    (Status::Unknown, format!("{last}{why}"))
}

fn at<T>(seen: &Seen<T>) -> Option<Timestamp> {
    seen.last.as_ref().map(|known| known.at)
}

pub(in crate::console::now) fn seconds(seconds: f64) -> String {
    if seconds > OVER_ALL_EDGES {
        return "more than 1 h".to_owned();
    }
    lasting(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn heartbeat(snapshot: &Snapshot, facts: &Facts) -> Check {
    let beat = snapshot.tables.last.as_ref().and_then(|known| known.value.standing.heartbeat);
    let took = |beat: crate::store::maintenance::heartbeat::Passage| lasting(since(beat.sent, beat.arrived));
    let (status, now) = match (&facts.heartbeat, beat) {
        (Reading::Known(age, _), Some(beat)) => {
            let found = format!("sent {}, arrived in {}", ago(beat.sent, facts.now), took(beat));
            (if *age > HEARTBEAT_WITHIN { Status::Broken } else { Status::Healthy }, found)
        }
        (Reading::NoSource(why), _) if facts.has_arrived == Some(true) => {
            (Status::Attention, (*why).to_owned())
        }
        (reading @ (Reading::Known(..) | Reading::Silent(_) | Reading::NoSource(_)), beat) => {
            unknown(reading, beat.map(|beat| format!("arrived at {}", clock(beat.arrived))))
        }
    };
    let note = match status {
        Status::Broken => Some(Note {
            says: format!("the last heartbeat was {now}; should be within 15 min"),
            body: "Nothing gets through, or nobody sends heartbeats. Sign-ins go on, and their events wait. The first \
                   command says which part, the second whether a new one comes through."
                .to_owned(),
            command: Some("user-sync doctor\nuser-sync heartbeat --wait".to_owned()),
            over: "a heartbeat that is sent now arrives",
            runbook: HEARTBEAT,
            page: None,
        }),
        Status::Attention => Some(Note {
            says: "no heartbeat has ever arrived".to_owned(),
            body: "Without one every few minutes, a way that has stopped is silent.".to_owned(),
            command: Some("user-sync heartbeat --wait".to_owned()),
            over: "heartbeats arrive by themselves",
            runbook: HEARTBEAT,
            page: None,
        }),
        Status::Healthy | Status::Unknown => None,
    };
    Check {
        group: Group::SignIns,
        name: "Heartbeat",
        status,
        now,
        healthy: "within 15 min",
        source: "database",
        at: at(&snapshot.tables),
        note,
    }
}

fn p99(snapshot: &Snapshot, facts: &Facts) -> Check {
    let (status, now) = match &facts.p99 {
        Reading::Known(p99, _) if *p99 > P99_WITHIN.as_secs_f64() => (Status::Attention, seconds(*p99)),
        Reading::Known(p99, _) => (Status::Healthy, seconds(*p99)),
        reading @ (Reading::Silent(_) | Reading::NoSource(_)) => unknown(
            reading,
            snapshot.hour.p99(facts.now).map(|(p99, at)| format!("{} at {}", seconds(p99), clock(at))),
        ),
    };
    let note = (status == Status::Attention).then(|| Note {
        says: format!("one event in a hundred takes {now} to its row; should be up to 5 min"),
        body: "Rows are behind. After an outage this is normal and passes.".to_owned(),
        command: Some("user-sync doctor".to_owned()),
        over: "it falls below 5 min, and the queue is empty",
        runbook: BEHIND,
        page: None,
    });
    let (source, at) = match (&snapshot.workers, &snapshot.cloudwatch) {
        (Some(workers), _) => ("workers", at(workers)),
        (None, Some(cloudwatch)) if snapshot.has_consumer => ("CloudWatch", at(cloudwatch)),
        (None, Some(_) | None) => ("none", None),
    };
    let (group, name) = (Group::SignIns, "From sign-in to row, p99");
    Check { group, name, status, now, healthy: "up to 5 min", source, at, note }
}

fn oldest(snapshot: &Snapshot, facts: &Facts) -> Check {
    let depth = snapshot.queues.as_ref().and_then(|queues| Some(queues.last.as_ref()?.value.queue));
    let waiting = depth.map(|depth| format!("{} waiting", count(depth.waiting + depth.delayed)));
    let (status, now) = match &facts.oldest {
        Reading::Known(wait, _) => {
            let found = [Some(lasting(*wait)), waiting].into_iter().flatten().collect::<Vec<_>>().join(", ");
            (if *wait > OLDEST_WITHIN { Status::Broken } else { Status::Healthy }, found)
        }
        // What holds nothing has no oldest.
        Reading::NoSource(_)
            if depth.is_some_and(|depth| depth.total() == 0) && is_current(snapshot, facts) =>
        {
            (Status::Healthy, "the queue is empty".to_owned())
        }
        reading @ (Reading::Silent(_) | Reading::NoSource(_)) => unknown(reading, waiting),
    };
    let note = (status == Status::Broken).then(|| Note {
        says: format!("{now}; should be up to 15 min"),
        body: "The consumer or the database is behind, or does not run. Sign-ins go on, and nothing is lost."
            .to_owned(),
        command: Some("user-sync doctor".to_owned()),
        over: "the age falls steadily, and stays below 15 min",
        runbook: BEHIND,
        page: None,
    });
    let source = if facts.oldest.has_source() { "CloudWatch" } else { "SQS" };
    let at = match (&snapshot.cloudwatch, &snapshot.queues) {
        (Some(cloudwatch), _) => at(cloudwatch),
        (None, queues) => queues.as_ref().and_then(at),
    };
    let (group, name) = (Group::SignIns, "Oldest in the queue");
    Check { group, name, status, now, healthy: "up to 15 min", source, at, note }
}

fn is_current(snapshot: &Snapshot, facts: &Facts) -> bool {
    facts.dead_letters.known().is_some() && snapshot.queues.is_some()
}

fn undelivered(snapshot: &Snapshot, facts: &Facts) -> Check {
    let last = snapshot.cloudwatch.as_ref().and_then(|seen| {
        let told = seen.last.as_ref()?;
        Some(format!("{} at {}", count(told.value.undelivered?.count), clock(told.at)))
    });
    let (status, now) = match &facts.undelivered {
        Reading::Known(lost, _) if lost.count == 0 => (Status::Healthy, "0 in 24 h".to_owned()),
        Reading::Known(lost, _) => {
            let last =
                lost.span.map(|(_, last)| format!(", the last {}", ago(last, facts.now))).unwrap_or_default();
            let status = if is_recent(lost, facts.now) { Status::Broken } else { Status::Attention };
            (status, format!("{} in 24 h{last}", count(lost.count)))
        }
        reading @ (Reading::Silent(_) | Reading::NoSource(_)) => unknown(reading, last),
    };
    let lost = facts.undelivered.known().filter(|lost| lost.count > 0);
    let note = lost.map(|lost| Note {
        says: format!("{} events are in the trigger's log only; should be none", count(lost.count)),
        body: "The sign-ins succeeded. Remove the cause, then send what the log kept, from before the first one on: an \
               earlier start does no harm. Whether somebody has done so, CloudWatch does not say."
            .to_owned(),
        command: Some(
            "aws logs filter-log-events --log-group-name \"$TRIGGER_LOG\" --filter-pattern undelivered \\\n  \
             --start-time \"$(date -d '25 hours ago' +%s000)\" > trigger.json\nuser-sync replay trigger.json"
                .to_owned(),
        ),
        over: "replay says 0 failed, and no other one comes for 15 min; it stands here for a day",
        runbook: UNDELIVERED,
        page: None,
    });
    Check {
        group: Group::SignIns,
        name: "Undelivered",
        status,
        now,
        healthy: "none",
        source: if facts.undelivered.has_source() { "CloudWatch" } else { "none" },
        at: snapshot.cloudwatch.as_ref().and_then(at),
        note,
    }
}

fn dead_letters(snapshot: &Snapshot, facts: &Facts) -> Check {
    let last = snapshot.queues.as_ref().and_then(|seen| {
        let known = seen.last.as_ref()?;
        Some(format!("{} at {}", count(known.value.dead_letters.total()), clock(known.at)))
    });
    let (status, now) = match &facts.dead_letters {
        Reading::Known(0, _) => (Status::Healthy, "0".to_owned()),
        Reading::Known(letters, _) => (Status::Broken, count(*letters)),
        reading @ (Reading::Silent(_) | Reading::NoSource(_)) => unknown(reading, last),
    };
    let note = (status == Status::Broken).then(|| {
        let more = snapshot.hour.shown(facts.now).filter_map(|(_, minute)| minute?.counts.rejected).last();
        let more = more.filter(|more| *more > 0).map(|more| format!(", {} more a minute", count(more)));
        Note {
            says: format!("{now} dead letters{}; should be none", more.unwrap_or_default()),
            body: "Each was set aside with its reason, and is kept. Mend what the reason says, then send them back."
                .to_owned(),
            command: Some("user-sync dlq list".to_owned()),
            over: "dlq list says 0 dead letters, and verify says 0 differences",
            runbook: DEAD_LETTERS,
            page: Some(("Look at the dead letters", "/dead-letters")),
        }
    });
    Check {
        group: Group::SignIns,
        name: "Dead letters",
        status,
        now,
        healthy: "none",
        source: "SQS",
        at: snapshot.queues.as_ref().and_then(at),
        note,
    }
}

fn triggers(snapshot: &Snapshot, facts: &Facts) -> Check {
    let told = snapshot.cloudwatch.as_ref().and_then(|seen| seen.last.as_ref()?.value.missing_at);
    let (status, now) = match &facts.triggers {
        Reading::Known(found, _) if found.in_place < found.of => {
            (Status::Broken, format!("{} of {}", found.in_place, found.of))
        }
        Reading::Known(found, _) => match told {
            Some(at) => {
                (Status::Attention, format!("{} of {}; missing at {}", found.in_place, found.of, clock(at)))
            }
            None => (Status::Healthy, format!("{} of {}", found.in_place, found.of)),
        },
        reading @ (Reading::Silent(_) | Reading::NoSource(_)) => unknown(reading, None),
    };
    let note = match status {
        Status::Broken => Some(Note {
            says: format!("{now} triggers call us; should be all"),
            body: "Users sign in, and their logins are not counted: nothing brings those of this time back. See who took \
                   the triggers, and attach them; then reconcile --repair brings the users."
                .to_owned(),
            command: Some("user-sync triggers show".to_owned()),
            over: "triggers show says ours twice, and the next heartbeat tells so",
            runbook: TRIGGERS,
            page: None,
        }),
        Status::Attention => Some(Note {
            says: "triggers were missing within the last day".to_owned(),
            body: "They are back. Sign-ins of that time were not counted; this brings the users.".to_owned(),
            command: Some("user-sync reconcile --repair".to_owned()),
            over: "a day has passed since",
            runbook: TRIGGERS,
            page: None,
        }),
        Status::Healthy | Status::Unknown => None,
    };
    Check {
        group: Group::SignIns,
        name: "Triggers in place",
        status,
        now,
        healthy: "all",
        source: "heartbeats",
        at: facts.triggers.as_of(),
        note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_the_runbook_that_is_named_is_there() {
        let text = include_str!("../../../docs/runbook.md");
        let anchors: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("##").map(|rest| rest.trim_start_matches('#').trim()))
            .map(|heading| {
                let kept = heading.to_lowercase();
                let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            })
            .collect();
        for Runbook { title, anchor } in RUNBOOKS {
            assert!(anchors.iter().any(|own| own == anchor), "{title}: {anchor} in {anchors:?}");
        }
    }
}
