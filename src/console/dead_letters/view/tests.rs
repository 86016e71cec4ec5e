//! What pages say of letters.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::console::dead_letters::letter::Copy;

const NOON: u64 = 1_795_521_600_000;

fn letter(number: u64, at: u64) -> Letter {
    let sent_at = Some(Timestamp::from_unix_millis(at));
    Letter {
        id: format!("e{number}"),
        is_event: true,
        copies: vec![Copy { message_id: format!("m{number}"), sent_at, receive_count: 1 }],
        reason: "future".to_owned(),
        field: "$".to_owned(),
        detail: "-".to_owned(),
        kind: None,
        user: None,
        stays: None,
        came_back: None,
        bytes: 1,
        body: Body::NotKept,
    }
}

fn found(mut letters: Vec<Letter>) -> Found {
    letters.sort_by(|left, right| left.place().cmp(&right.place()));
    let (id, at) = (Uuid::nil(), Timestamp::from_unix_millis(NOON));
    Found { id, at, by: String::new(), letters, is_complete: true, hidden_for_now: 0 }
}

fn page(found: &Found, after: Option<&str>) -> ReasonView {
    let now = Timestamp::from_unix_millis(NOON + 1);
    ReasonView::of(Queue::Events, found, "future", after, now).unwrap()
}

#[test]
fn pages_go_on_after_a_letter_that_is_gone() {
    let mut found = found((0..60).map(|number| letter(number, NOON - 1_000_000 - number)).collect());
    let first = page(&found, None);
    assert_eq!((first.what.as_str(), first.newest.as_str()), ("1 to 25 of 60", ""));
    let after = first.older.rsplit("after=").next().unwrap().replace("%2E", ".");
    // The page's last one is dealt with meanwhile.
    found.letters.remove(24);
    let second = page(&found, Some(&after));
    assert_eq!(second.what, "25 to 49 of 59");
    assert_eq!(second.rows.first().map(|row| row.id.as_str()), Some("e25"));
    assert!(page(&found, Some("nonsense")).what.starts_with("1 to 25"));
    assert_eq!(page(&found, Some("0.")).rows.len(), 0);
}

#[test]
fn a_cause_that_goes_on_is_said() {
    let old = found(vec![letter(1, NOON - 3_600_000)]);
    assert!(page(&old, None).warnings.is_empty());
    let mut fresh = found(vec![letter(1, NOON - 5_000), letter(2, NOON - 3_600_000)]);
    assert!(page(&fresh, None).warnings[0].starts_with("1 message came in the minute before"));
    fresh.letters[1].came_back = Some(Timestamp::from_unix_millis(NOON - 7_200_000));
    assert_eq!(
        page(&fresh, None).warnings[0],
        "1 message came back after a redrive that ended at 10:00:00 UTC."
    );
}

#[test]
fn what_is_not_known_is_never_zero() {
    let found = found(vec![letter(1, NOON - 3_600_000)]);
    let now = Timestamp::from_unix_millis(NOON);
    let of = |visible, hidden| {
        let depth = Depth { visible, hidden, kept_for: Some(Duration::from_secs(14 * 86_400)) };
        Told { now: Some((now, depth)), last: Some((now, depth)), ..Told::default() }
    };
    assert_eq!((since(&found, &of(3, 1)), since(&found, &of(0, 0))), (Some(3), Some(0)));
    assert_eq!(since(&found, &Told::default()), None);
    assert_eq!(depth(&of(665, 14), now), "about 679 in the queue, 14 of them hidden, told 0 s ago");
    let silent = Told { now: None, ..of(679, 0) };
    assert_eq!(depth(&silent, now), "Not known: SQS does not answer. About 679, 0 s ago");
    assert!(lead(&found, &silent, now).starts_with("Messages that could not be applied, kept for 14 days."));
}
