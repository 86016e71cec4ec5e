//! The checks of what keeps the table right, and of the deployment. Pure.

use std::time::Duration;

use crate::console::now::checks::{
    BEHIND, Check, DRIFT, Group, HORIZON, MISCONFIGURED, Note, Runbook, UNACCOUNTED,
};
use crate::console::now::facts::{FRESH_FOR_MARKS, Facts, Snapshot};
use crate::console::now::ran::{Ended, Ran, What};
use crate::console::now::source::since;
use crate::console::status::Status;
use crate::console::words::{ago, count, lasting};
use crate::ops::doctor::{self, Section};
use crate::postgres::Standby;
use crate::text;

/// How far a replica may be behind.
const REPLICA_WITHIN: Duration = Duration::from_secs(60);

/// From how many days on the ledgers' months are enough, as the alarm has it.
const DAYS_AHEAD: f64 = 35.0;

pub(in crate::console::now) fn all(snapshot: &Snapshot, facts: &Facts) -> Vec<Check> {
    let mut checks = vec![months(snapshot, facts)];
    checks.extend(RUNS.iter().map(|run| run.check(snapshot, facts)));
    checks.extend(SETTINGS.iter().map(|setting| setting.check(snapshot)));
    checks.extend(replica(snapshot));
    checks
}

fn months(snapshot: &Snapshot, facts: &Facts) -> Check {
    let last = snapshot.tables.last.as_ref();
    // Days are true for longer than the answer is new.
    let known = last
        .filter(|known| snapshot.tables.failure.is_none() || since(known.at, facts.now) < FRESH_FOR_MARKS);
    let (status, now) = match (known, last) {
        (Some(known), _) => match known.value.standing.days_ahead {
            Some(days) => {
                let status = if days < DAYS_AHEAD { Status::Attention } else { Status::Healthy };
                (status, format!("{:.0} days", days.floor().max(0.0)))
            }
            None => (Status::Attention, "a ledger has no month".to_owned()),
        },
        (None, Some(known)) => {
            let days = known.value.standing.days_ahead.unwrap_or(0.0);
            (Status::Unknown, format!("last: {:.0} days, {}", days.floor(), ago(known.at, facts.now)))
        }
        (None, None) => (Status::Unknown, "the database has not said".to_owned()),
    };
    let maintained = ran(snapshot, What::Maintain)
        .map(|ran| format!("maintain was last seen {}. ", ago(ran.at, facts.now)));
    let note = (status == Status::Attention).then(|| Note {
        says: format!("the ledger has months for {now}; should be 35 or more"),
        body: format!(
            "{}Events of a month that is missing become dead letters. Give your own retention: older months are folded.",
            maintained.unwrap_or_default()
        ),
        command: Some("user-sync maintain --retention-days 400".to_owned()),
        over: "it says which months it created, or nothing to do",
        runbook: HORIZON,
        page: None,
    });
    let (group, name, source) = (Group::Upkeep, "Months ahead", "database");
    Check {
        group,
        name,
        status,
        now,
        healthy: "35 days or more",
        source,
        at: last.map(|known| known.at),
        note,
    }
}

/// How far the replica is behind that the pages read; nothing where they read the primary.
fn replica(snapshot: &Snapshot) -> Option<Check> {
    let known = snapshot.tables.last.as_ref()?;
    let (status, now) = match known.value.standby {
        Standby::Primary => return None,
        Standby::Behind(behind) if behind < Duration::from_secs(1) => {
            (Status::Healthy, "shows what the primary has".to_owned())
        }
        Standby::Behind(behind) if behind <= REPLICA_WITHIN => {
            (Status::Healthy, format!("{} behind", lasting(behind)))
        }
        Standby::Behind(behind) => (Status::Attention, format!("{} behind", lasting(behind))),
        Standby::Unknown(Some(shown)) => (
            Status::Unknown,
            format!("the primary does not say; the last transaction here is {} old", lasting(shown)),
        ),
        Standby::Unknown(None) => (Status::Unknown, "the servers do not say".to_owned()),
    };
    let note = (status == Status::Attention).then(|| Note {
        says: format!("the replica is {now}; should be within 1 min"),
        body: "Every page shows what the primary had then. Nothing is lost, and what is done here goes to the primary. See \
               whether the replica is busy, or cut off."
            .to_owned(),
        command: Some("psql \"$USER_SYNC_REPLICA_URL\" -c 'select * from pg_stat_wal_receiver'".to_owned()),
        over: "it shows what the primary has",
        runbook: BEHIND,
        page: None,
    });
    let (group, name, source) = (Group::Deployment, "Replica that is read", "both databases");
    Some(Check { group, name, status, now, healthy: "within 1 min", source, at: Some(known.at), note })
}

fn ran(snapshot: &Snapshot, what: What) -> Option<&Ran> {
    let runs = snapshot.tables.last.as_ref()?.value.runs.as_ref()?;
    runs.iter().filter(|ran| ran.what == what).max_by_key(|ran| ran.at)
}

/// A check of the latest run of a kind.
struct Run {
    what: What,
    name: &'static str,
    /// What it finds, and over what it goes.
    words: (&'static str, &'static str),
    healthy: &'static str,
    command: &'static str,
    over: &'static str,
    runbook: Runbook,
}

const RUNS: [Run; 3] = [
    Run {
        what: What::Reconcile,
        name: "Pool against table",
        words: ("differences", "users"),
        healthy: "none, every 2 days",
        command: "user-sync reconcile --repair",
        over: "reconcile finds nothing, some minutes after the repair",
        runbook: DRIFT,
    },
    Run {
        what: What::Verify,
        name: "Rows against ledger",
        words: ("differences", "users"),
        healthy: "none, every 8 days",
        command: "user-sync verify",
        over: "verify says 0 differences",
        runbook: DRIFT,
    },
    Run {
        what: What::Audit,
        name: "Logins that AWS saw",
        words: ("unaccounted for", "logins"),
        healthy: "none, daily",
        command: "user-sync audit --list",
        over: "an audit finds none",
        runbook: UNACCOUNTED,
    },
];

impl Run {
    fn check(&self, snapshot: &Snapshot, facts: &Facts) -> Check {
        let Self { what, name, words: (found_what, over_what), healthy, command, over, runbook } = *self;
        let ran = ran(snapshot, what);
        let (status, now) = match ran {
            None if snapshot.tables.last.as_ref().is_some_and(|known| known.value.runs.is_none()) => {
                (Status::Unknown, "the database does not say".to_owned())
            }
            None => (Status::Unknown, format!("no run is recorded: {command}")),
            Some(ran) => {
                let is_late = since(ran.at, facts.now) > what.within();
                let late = if is_late {
                    format!(", {} ago", lasting(since(ran.at, facts.now)))
                } else {
                    String::new()
                };
                let of = if ran.done > 0 {
                    format!(" among {} {over_what}", count(ran.done))
                } else {
                    String::new()
                };
                match ran.ended {
                    Ended::Found(0) if !is_late => (Status::Healthy, format!("0 {found_what}{of}")),
                    Ended::Well if !is_late => (Status::Healthy, "it came to its end".to_owned()),
                    Ended::Found(found) => {
                        (Status::Attention, format!("{} {found_what}{of}{late}", count(found)))
                    }
                    Ended::Well => (Status::Attention, format!("it came to its end{late}")),
                    Ended::Failed => (Status::Attention, format!("it failed{late}")),
                    Ended::Stopped => (Status::Attention, format!("it stopped without an end{late}")),
                    Ended::Running => {
                        (Status::Unknown, format!("running, {} {over_what} so far", count(ran.done)))
                    }
                }
            }
        };
        let note = (status == Status::Attention).then(|| Note {
            says: format!("{}: {now}; should be {healthy}", name.to_lowercase()),
            body: "Its page has what was found, and what a repair does.".to_owned(),
            command: Some(command.to_owned()),
            over,
            runbook,
            page: Some(("Look at the last runs", "/drift")),
        });
        Check {
            group: Group::Upkeep,
            name,
            status,
            now,
            healthy,
            source: "runs",
            at: ran.map(|ran| ran.at),
            note,
        }
    }
}

/// A check of what does not change by itself, of several of `user-sync doctor`.
struct Setting {
    name: &'static str,
    section: Section,
    of: &'static [&'static str],
    well: &'static str,
    healthy: &'static str,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        name: "Schema",
        section: Section::Database,
        of: &["migrations", "obstacles", "edits", "deployment"],
        well: "as this build",
        healthy: "current",
    },
    Setting {
        name: "Grants and logins",
        section: Section::Database,
        of: &["roles", "logins", "grants", "other grants", "ownership", "memberships"],
        well: "as documented",
        healthy: "exactly those",
    },
    Setting {
        name: "Queues",
        section: Section::Queue,
        of: &["kind", "redrive policy", "retention", "DLQ retention", "encryption"],
        well: "encrypted, retention and redrive as they should be",
        healthy: "as documented",
    },
];

impl Setting {
    fn check(&self, snapshot: &Snapshot) -> Check {
        let seen = snapshot.deployment.as_ref().and_then(|seen| seen.last.as_ref());
        let checks = seen.map(|seen| seen.value.as_slice()).unwrap_or_default();
        let ours: Vec<&doctor::Check> = checks
            .iter()
            .filter(|check| check.section == self.section && self.of.contains(&check.name))
            .collect();
        let wrong = |status: doctor::Status| ours.iter().find(|check| check.status == status).copied();
        let worst = wrong(doctor::Status::Failed).or_else(|| wrong(doctor::Status::Warning));
        let (status, now) = match (worst, wrong(doctor::Status::Skipped)) {
            (Some(check), _) => (Status::Attention, format!("{}: {}", check.name, check.found)),
            (None, Some(check)) => (Status::Unknown, format!("{}: {}", check.name, check.found)),
            (None, None) if ours.is_empty() => (Status::Unknown, "being looked at".to_owned()),
            (None, None) => (Status::Healthy, self.well.to_owned()),
        };
        // Names in the catalogs are others' own.
        let note = worst.map(|check| Note {
            says: text::line(&format!("{}: {}", check.name, check.found)).into_owned(),
            body: text::line(check.fix.as_deref().unwrap_or_default()).into_owned(),
            command: Some("user-sync doctor".to_owned()),
            over: "doctor finds nothing on this line",
            runbook: MISCONFIGURED,
            page: None,
        });
        let Self { name, healthy, .. } = *self;
        Check {
            group: Group::Deployment,
            name,
            status,
            now,
            healthy,
            source: "doctor",
            at: seen.map(|seen| seen.at),
            note,
        }
    }
}
