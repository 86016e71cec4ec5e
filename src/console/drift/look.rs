//! How a run looks: its state, when it was, over how many, what it found. Pure.

use std::time::Duration;

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::console::drift::kinds::meaning;
use crate::console::words::{self, count};
use crate::store::runs::{Seen, State, What};

/// What a kind of run is called: what it compares, the command, and what starts it.
pub(super) struct Named {
    pub(super) title: &'static str,
    pub(super) command: &'static str,
    /// The word of `POST /plans`, and the button's.
    pub(super) start: Option<(&'static str, &'static str)>,
}

pub(super) const fn named(what: What) -> Named {
    let (title, command, start) = match what {
        What::Reconcile => ("The pool against the table", "reconcile", Some(("reconcile", "Compare now…"))),
        What::Drift => ("The same, by schedule", "drift check", None),
        What::Verify => ("The rows against the ledger", "verify", Some(("verify", "Verify now…"))),
        What::Audit => ("Logins against AWS’s own records", "audit", Some(("audit", "Audit now…"))),
        What::Maintain => ("The ledgers’ months", "maintain", Some(("maintain", "Maintain now…"))),
    };
    Named { title, command, start }
}

/// A state's shape, and its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) struct Mark {
    pub(in crate::console) class: &'static str,
    pub(in crate::console) word: &'static str,
}

pub(super) fn mark(run: Option<&Seen>) -> Mark {
    let Some(run) = run else { return Mark { class: "off", word: "Not known" } };
    let (class, word) = match (run.state, run.left()) {
        (State::Running, _) => ("running", "Running"),
        (State::Stopped, _) => ("warn", "Stopped"),
        (State::Failed, _) if run.error.as_deref() == Some("interrupted") => ("off", "Cancelled"),
        (State::Failed, _) => ("warn", "Failed"),
        (State::Ended, Some(0)) => ("ok", "Healthy"),
        (State::Ended, Some(_)) => ("warn", "Needs attention"),
        (State::Ended, None) if run.what == What::Maintain => ("ok", "Healthy"),
        (State::Ended, None) => ("off", "Not known"),
    };
    Mark { class, word }
}

/// When it was, in one line.
pub(super) fn when(run: &Seen, now: Timestamp) -> String {
    match run.state {
        State::Running => format!("started {}", words::ago(run.started_at, now)),
        State::Ended | State::Failed | State::Stopped => {
            words::ago(run.ended_at.unwrap_or(run.progressed_at), now)
        }
    }
}

/// How long it took, and over how many; or how far it is.
pub(super) fn over(run: &Seen) -> String {
    match (run.state, run.total) {
        (State::Running, Some(total)) if total > 0 => {
            let percent = run.done.min(total).saturating_mul(100) / total;
            format!("{percent} % · {} of {}", count(run.done), things(run.what, total))
        }
        (State::Running, _) => things(run.what, run.done),
        (State::Stopped, _) => format!("no sign of life since, at {}", things(run.what, run.done)),
        (State::Failed, _) => run.error.clone().unwrap_or_default(),
        (State::Ended, _) => {
            let mut parts = vec![lasted(run)];
            if run.what == What::Maintain {
                let number = |name| count(run.count(&[name]).unwrap_or(0));
                parts.push(format!(
                    "{} months made, {} folded",
                    number("months_made"),
                    number("months_folded")
                ));
            } else {
                parts.push(things(run.what, run.done));
            }
            parts.extend(requests(run).map(|sent| format!("{} requests", count(sent))));
            parts.join(", ")
        }
    }
}

/// How long it took until its last sign of life.
pub(super) fn lasted(run: &Seen) -> String {
    let until = run.ended_at.unwrap_or(run.progressed_at);
    words::lasting(Duration::from_millis(until.unix_millis().saturating_sub(run.started_at.unix_millis())))
}

/// What it goes over, as many of them.
pub(super) fn things(what: What, number: u64) -> String {
    let (one, many) = match what {
        What::Reconcile | What::Drift => ("user", "users"),
        What::Verify | What::Maintain => ("event", "events"),
        What::Audit => ("login", "logins"),
    };
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// The requests that it made to Cognito.
pub(super) fn requests(run: &Seen) -> Option<u64> {
    const OPERATIONS: [&str; 5] =
        ["list_users", "list_users_in_group", "list_groups", "describe_user_pool", "admin_get_user"];
    let sent: Vec<u64> =
        OPERATIONS.iter().filter_map(|operation| run.count(&["requests", operation])).collect();
    (!sent.is_empty()).then(|| sent.iter().sum())
}

/// What it found, in words; with its number, if it compares and came to its end.
pub(super) fn found(run: &Seen) -> String {
    let differences = |number: u64| {
        let (one, many) = match run.what {
            What::Audit => ("lost sign-in", "lost sign-ins"),
            What::Reconcile | What::Drift | What::Verify | What::Maintain => ("difference", "differences"),
        };
        format!("{} {}", count(number), if number == 1 { one } else { many })
    };
    match (run.state, run.found(), run.left()) {
        (State::Ended, Some(found), Some(left)) if found > 0 && left < found => {
            format!("{}, {} repaired", differences(found), count(found - left))
        }
        (State::Ended, Some(found), _) => differences(found),
        (State::Ended, None, _) if run.what == What::Audit => "no record of anybody else’s".to_owned(),
        (State::Ended | State::Running | State::Failed | State::Stopped, ..) => String::new(),
    }
}

/// A kind of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console) struct Kind {
    pub(in crate::console) word: String,
    pub(in crate::console) number: u64,
    pub(in crate::console) meaning: &'static str,
    pub(in crate::console) repair: String,
}

/// What was found by kind, most first.
pub(super) fn kinds(run: &Seen) -> Vec<Kind> {
    let kind = |(word, number): (&str, u64)| {
        let (meaning, repair) = meaning(run.what, word);
        Kind { word: word.to_owned(), number, meaning, repair: repair.says(number) }
    };
    run.kinds().into_iter().map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn seen(what: What, state: State, findings: Option<Value>) -> Seen {
        let at = Timestamp::from_unix_millis(1_700_000_000_000);
        Seen {
            id: Uuid::nil(),
            what,
            state,
            started_by: String::new(),
            started_at: at,
            progressed_at: Timestamp::from_unix_millis(1_700_000_840_000),
            done: 1_048_312,
            total: Some(2_000_000),
            ended_at: None,
            scope: json!({}),
            findings,
            error: None,
        }
    }

    #[test]
    fn a_run_says_how_it_is_and_over_how_many() {
        let findings =
            json!({ "found": 37, "left": 37, "requests": { "list_users": 17_473, "list_groups": 1 } });
        let run = seen(What::Reconcile, State::Ended, Some(findings));
        assert_eq!(mark(Some(&run)).word, "Needs attention");
        assert_eq!(over(&run), "14 min, 1,048,312 users, 17,474 requests");
        assert_eq!(found(&run), "37 differences");
        let repaired = seen(What::Verify, State::Ended, Some(json!({ "found": 37, "left": 0 })));
        assert_eq!(
            (mark(Some(&repaired)).word, found(&repaired).as_str()),
            ("Healthy", "37 differences, 37 repaired")
        );
        let running = seen(What::Audit, State::Running, None);
        assert_eq!(
            (mark(Some(&running)).word, over(&running).as_str()),
            ("Running", "52 % · 1,048,312 of 2,000,000 logins")
        );
        let unknown = seen(What::Audit, State::Ended, Some(json!({ "found": null, "left": null })));
        assert_eq!(
            (mark(Some(&unknown)).word, found(&unknown).as_str()),
            ("Not known", "no record of anybody else’s")
        );
        assert_eq!(mark(None).word, "Not known");
    }
}
