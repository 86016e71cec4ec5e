//! Adds to the line of the triggers who holds them, and since when they are missing. Must not change the parameter.

use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::cognito::triggers::{Notes, Parameter};
use crate::ops::doctor::{Finding, Status, TIMEOUT};

/// The finding, with what the parameter of this name says. Where all is well it stays as it is.
pub(super) async fn noted(wired: Finding, parameter: Option<&str>) -> Finding {
    let Some(name) = parameter else { return wired };
    let read = async { Parameter::new(name.to_owned()).await.read().await };
    match tokio::time::timeout(TIMEOUT, read).await {
        Ok(Ok(notes)) => with(wired, &notes, Timestamp::now()),
        Ok(Err(error)) => also(
            wired,
            error.to_string(),
            "until it can be read and written, no trigger that is missing is put back".to_owned(),
        ),
        Err(_) => also(
            wired,
            format!("the parameter {name}: no answer within {} s", TIMEOUT.as_secs()),
            "see that SSM can be reached from here".to_owned(),
        ),
    }
}

fn with(wired: Finding, notes: &Notes, now: Timestamp) -> Finding {
    let wired = match notes.open_gap() {
        Some(gap) => also(
            wired,
            format!("sign-ins {gap} are not counted"),
            "see that the keeper runs, and afterwards run user-sync reconcile --repair".to_owned(),
        ),
        None => wired,
    };
    match notes.held_at(now) {
        Some(hold) => also(
            wired,
            hold.to_string(),
            "end the hold when the incident is over: user-sync triggers release".to_owned(),
        ),
        None => wired,
    }
}

/// The same finding, at least a warning, which says one thing more.
fn also(wired: Finding, found: String, fix: String) -> Finding {
    let status = if wired.status == Status::Ok { Status::Warning } else { wired.status };
    let fix = wired.fix.map_or(fix.clone(), |first| format!("{first}; {fix}"));
    Finding { status, found: format!("{}; {found}", wired.found), fix: Some(fix) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hold_and_a_gap_are_named_beside_what_was_found() {
        let (now, mut notes) = (Timestamp::from_unix_millis(1_800_000_000_000), Notes::default());
        let fine = Finding::ok("both call arn:ours");
        assert_eq!(with(fine.clone(), &notes, now), fine);
        notes.hold(now, None, "a bad night");
        let held = with(fine, &notes, now);
        assert_eq!(held.status, Status::Warning);
        assert_eq!(held.found, "both call arn:ours; held until somebody releases them (a bad night)");
        let failed = with(Finding::failed("not set: both", "set them"), &notes, now);
        assert_eq!(failed.status, Status::Failed);
        assert!(failed.fix.unwrap().starts_with("set them; end the hold"));
        notes = serde_json::from_value(serde_json::json!({
            "gaps": { "2026-01-31T08:30:00.000Z/00000001": { "from": "2026-01-31T08:29:00Z", "by_record": true } }
        }))
        .unwrap();
        let missing = with(Finding::ok("both"), &notes, now);
        assert_eq!(missing.found, "both; sign-ins since 2026-01-31T08:29:00.000Z or earlier are not counted");
    }
}
