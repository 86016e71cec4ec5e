//! The Now page's content, of what is known: verdict, road, notes, hour, checks. Pure; must not know how it is sent.

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::console::now::checks::{self, BEHIND, Check, Group, Note, Runbook};
use crate::console::now::facts::{FRESH, Facts, OVER_ALL_EDGES, Reading, Snapshot};
use crate::console::now::hour::Freshness;
use crate::console::now::sentence::{Sentence, full};
use crate::console::now::source::since;
use crate::console::now::verdict::Verdict;
use crate::console::status::Status;
use crate::console::words::{ago, count, lasting};

/// A step of the road from a sign-in to its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Step {
    pub(in crate::console::now) name: &'static str,
    pub(in crate::console::now) status: Status,
    pub(in crate::console::now) figure: String,
    pub(in crate::console::now) note: String,
    /// Whether something gets to the next one.
    pub(in crate::console::now) passes: bool,
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Advice {
    pub(in crate::console::now) status: Status,
    pub(in crate::console::now) title: String,
    pub(in crate::console::now) note: Note,
}

/// A row of the checks' table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Row {
    pub(in crate::console::now) check: Check,
    pub(in crate::console::now) looked_at: String,
}

/// The page.
#[derive(Debug, Clone)]
pub(in crate::console::now) struct View {
    pub(in crate::console::now) snapshot: Snapshot,
    pub(in crate::console::now) facts: Facts,
    pub(in crate::console::now) verdict: Verdict,
    pub(in crate::console::now) sentence: Sentence,
    pub(in crate::console::now) checks: Vec<Check>,
    /// This machine's clock.
    pub(in crate::console::now) at: Timestamp,
}

impl View {
    pub(in crate::console::now) fn of(snapshot: Snapshot, at: Timestamp) -> Self {
        let facts = Facts::of(&snapshot, at, FRESH);
        let checks = checks::all(&snapshot, &facts);
        let verdict = Verdict::of(&facts, checks::warning(&checks));
        let sentence = verdict.sentence(&snapshot, &facts, &checks);
        Self { snapshot, facts, verdict, sentence, checks, at }
    }

    pub(in crate::console::now) fn status(&self) -> Status {
        self.verdict.status()
    }

    pub(in crate::console::now) fn time(&self) -> String {
        full(self.at)
    }

    pub(in crate::console::now) fn interval(&self) -> &'static str {
        if self.is_database_silent() { "tries again every 10 s" } else { "updates every 10 s" }
    }

    pub(in crate::console::now) fn is_database_silent(&self) -> bool {
        matches!(self.verdict, Verdict::DatabaseSilent(_))
    }

    pub(in crate::console::now) fn is_begin(&self) -> bool {
        self.verdict == Verdict::NothingYet
    }

    fn check(&self, name: &str) -> Status {
        self.checks.iter().find(|check| check.name == name).map_or(Status::Unknown, |check| check.status)
    }

    /// The road from a sign-in to its row.
    pub(in crate::console::now) fn road(&self) -> Vec<Step> {
        vec![self.pool(), self.trigger(), self.queue(), self.consumer(), self.database()]
    }

    fn pool(&self) -> Step {
        let status = self.check("Triggers in place");
        let found = self.facts.triggers.known();
        Step {
            name: "User pool",
            status,
            figure: figure(found.map(|found| format!("{} of {}", found.in_place, found.of))),
            note: "triggers call us".to_owned(),
            passes: status != Status::Broken,
        }
    }

    fn trigger(&self) -> Step {
        Step {
            name: "Trigger",
            status: self.check("Undelivered"),
            figure: figure(self.facts.undelivered.known().map(|lost| count(lost.count))),
            note: "undelivered in 24 h".to_owned(),
            passes: true,
        }
    }

    fn queue(&self) -> Step {
        let depths = self.snapshot.queues.as_ref().and_then(|seen| seen.current(self.at, FRESH));
        let waiting = depths.map(|known| known.value.queue.waiting + known.value.queue.delayed);
        let oldest = self.facts.oldest.known().map(|wait| format!(", oldest {}", lasting(*wait)));
        let of_age = self.check("Oldest in the queue");
        let status = match (self.is_database_silent(), waiting) {
            (true, Some(1..)) if of_age != Status::Broken => Status::Attention,
            // How many wait is known, though not for how long.
            (_, Some(0)) if of_age == Status::Unknown => Status::Healthy,
            _ => of_age,
        };
        Step {
            name: "Queue",
            status,
            figure: figure(waiting.map(count)),
            note: format!("waiting{}", oldest.unwrap_or_default()),
            passes: !matches!(self.verdict, Verdict::NoHeartbeat(_) | Verdict::Stuck(_)),
        }
    }

    fn consumer(&self) -> Step {
        let (status, letters) = (self.check("Dead letters"), self.facts.dead_letters.known());
        if self.is_database_silent() && status != Status::Broken {
            let step = ("0 / min".to_owned(), "waits for the database".to_owned());
            return Step {
                name: "Consumer",
                status: Status::Attention,
                figure: step.0,
                note: step.1,
                passes: false,
            };
        }
        Step {
            name: "Consumer",
            status,
            figure: figure(letters.map(|letters| count(*letters))),
            note: if letters.is_some_and(|letters| *letters > 0) {
                "set aside as dead letters"
            } else {
                "dead letters"
            }
            .to_owned(),
            passes: !self.is_database_silent(),
        }
    }

    fn database(&self) -> Step {
        let last = self.snapshot.tables.current(self.at, FRESH);
        let (status, figure, note) = match (&self.facts.database_silent, last) {
            (Some(failure), _) => {
                let times =
                    if failure.tries == 1 { "once".to_owned() } else { format!("{} times", failure.tries) };
                (Status::Broken, "no answer".to_owned(), format!("{}, asked {times}", failure.refusal.why))
            }
            (None, None) => (Status::Unknown, "?".to_owned(), "not known".to_owned()),
            (None, Some(known)) => {
                let took =
                    known.value.standing.newest.map(|newest| lasting(since(newest.sent, newest.arrived)));
                match took {
                    Some(took) => (Status::Healthy, took, "from sign-in to row, the newest".to_owned()),
                    None => (Status::Healthy, "0".to_owned(), "events yet".to_owned()),
                }
            }
        };
        Step { name: "Database", status, figure, note, passes: true }
    }

    /// What to look at first: a note a check, worst first. While the database is away, that alone.
    pub(in crate::console::now) fn advice(&self) -> Vec<Advice> {
        if self.is_database_silent() {
            return vec![away()];
        }
        let mut advice: Vec<Advice> = (self.checks.iter())
            .filter_map(|check| {
                let note = check.note.clone()?;
                let title = format!("{}: {}", check.status.word(), note.says);
                Some(Advice { status: check.status, title, note })
            })
            .collect();
        advice.sort_by_key(|advice| advice.status != Status::Broken);
        advice
    }

    /// The checks of each group.
    pub(in crate::console::now) fn groups(&self) -> Vec<(&'static str, Vec<Row>)> {
        let row = |check: &Check| Row {
            looked_at: check.at.map_or_else(|| "never".to_owned(), |at| ago(at, self.at)),
            check: check.clone(),
        };
        let of = |group: Group| self.checks.iter().filter(|check| check.group == group).map(row).collect();
        Group::ALL.into_iter().map(|group| (group.title(), of(group))).collect()
    }

    /// The same as data.
    pub(in crate::console::now) fn json(&self) -> Value {
        let up_to = self.verdict.up_to().map(|up_to| up_to.to_string());
        let check = |check: &Check| {
            json!({
                "group": check.group, "name": check.name, "status": check.status, "now": check.now,
                "healthy": check.healthy, "source": check.source, "looked_at": check.at.map(|at| at.to_string()),
            })
        };
        let seconds = |freshness: Option<&Freshness>, read: fn(&Freshness) -> Option<f64>| {
            freshness.and_then(read).map(|seconds| seconds.min(OVER_ALL_EDGES))
        };
        let minutes = self.snapshot.hour.shown(self.at).map(|(at, minute)| {
            let counts = minute.map(|minute| minute.counts).unwrap_or_default();
            let freshness = minute.and_then(|minute| minute.freshness.as_ref());
            json!({
                "at": at.to_string(),
                "applied": counts.applied, "duplicates": counts.duplicates,
                "rejected": counts.rejected, "retried": counts.retried,
                "waiting": minute.and_then(|minute| minute.waiting),
                "p50_seconds": seconds(freshness, Freshness::p50), "p99_seconds": seconds(freshness, Freshness::p99),
            })
        });
        json!({
            "at": self.at.to_string(),
            "status": self.status(),
            "verdict": self.sentence.headline,
            "detail": self.sentence.body,
            "up_to": up_to,
            "up_to_is_of": if self.facts.is_of_queue_only() { "what was queued" } else { "every sign-in" },
            "dead_letters": self.facts.dead_letters.known(),
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "hour": minutes.collect::<Vec<_>>(),
        })
    }

    /// What is known of the hour: how many of its minutes somebody counted.
    pub(in crate::console::now) fn known_minutes(&self) -> usize {
        self.snapshot.hour.sum(self.at, |counts| counts.applied).1
    }

    /// Whether anybody counts.
    pub(in crate::console::now) fn has_counts(&self) -> bool {
        self.snapshot.workers.is_some() || self.snapshot.has_consumer
    }

    /// What 99 of 100 events took.
    pub(in crate::console::now) fn p99(&self) -> Option<f64> {
        match self.facts.p99 {
            Reading::Known(seconds, _) => Some(seconds),
            Reading::Silent(_) | Reading::NoSource(_) => None,
        }
    }
}

fn figure(known: Option<String>) -> String {
    known.unwrap_or_else(|| "?".to_owned())
}

fn away() -> Advice {
    let runbook: Runbook = BEHIND;
    Advice {
        status: Status::Broken,
        title: "What to do".to_owned(),
        note: Note {
            says: "the database does not answer".to_owned(),
            body: "See whether the server runs and takes connections. The consumer resumes by itself."
                .to_owned(),
            command: Some("user-sync doctor".to_owned()),
            over: "the queue’s age falls and stays below 15 min",
            runbook,
            page: None,
        },
    }
}
