//! The merge, its bounds, and what each note means.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;

fn at(minutes: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_800_000_000_000 + minutes * 60_000)
}

fn stamp(minutes: u64) -> Stamp {
    Stamp { at: at(minutes), by: 7 }
}

fn merged(one: &Notes, other: &Notes) -> Notes {
    let mut both = one.clone();
    both.merge(other.clone());
    both
}

fn times() -> impl Strategy<Value = Timestamp> {
    (0_u64..50).prop_map(at)
}

fn stamps() -> impl Strategy<Value = Stamp> {
    (times(), 0_u32..2).prop_map(|(at, by)| Stamp { at, by })
}

fn states() -> impl Strategy<Value = Attempt> {
    proptest::sample::select(vec![Attempt::Begun, Attempt::Ended, Attempt::GivenUp])
}

/// Few values, so that many are equal, and more than are kept.
fn any_notes() -> impl Strategy<Value = Notes> {
    let hold = (times(), proptest::option::of(times()), "[ab]?").prop_map(|(set_at, until, reason)| Hold {
        set_at,
        until,
        reason,
    });
    let gap = (times(), any::<bool>(), proptest::option::of(times()))
        .prop_map(|(from, by_record, until)| Gap { from, by_record, until });
    let attempts = proptest::collection::btree_map(stamps(), states(), 0..40);
    let gaps = proptest::collection::btree_map(stamps(), gap, 0..20);
    (proptest::option::of(hold), attempts, gaps).prop_map(|(hold, attempts, gaps)| {
        let mut notes = Notes { hold, attempts, gaps };
        notes.forget();
        notes
    })
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(a in any_notes(), b in any_notes(), c in any_notes()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a.clone());
        let both = merged(&a, &b);
        prop_assert_eq!(merged(&both, &a), both);
    }

    #[test]
    fn what_is_written_is_read_again_and_is_short(notes in any_notes(), reason in ".{0,300}") {
        let mut notes = notes;
        notes.hold(at(60), None, &reason);
        let text = serde_json::to_string(&notes).unwrap();
        prop_assert!(text.len() < 4_000 && !text.contains("{{"), "{}: {text}", text.len());
        prop_assert_eq!(serde_json::from_str::<Notes>(&text).unwrap(), notes);
    }

    #[test]
    fn an_attempt_that_is_forgotten_is_not_uncounted(attempts in proptest::collection::btree_map(stamps(), states(), 0..60)) {
        let now = at(50);
        let counted = attempts.values().filter(|state| **state != Attempt::GivenUp).count();
        let mut notes = Notes::default();
        for (attempt, state) in attempts {
            notes.note_attempt(attempt, state);
        }
        prop_assert!(counted < PUT_BACK_AT_MOST || notes.is_too_many(1, now));
    }
}

#[test]
fn the_longest_notes_fit_into_a_standard_parameter() {
    let mut notes = Notes::default();
    for minute in 0..60 {
        notes.note_attempt(stamp(minute), Attempt::GivenUp);
        notes.note_gap(stamp(minute), Gap { from: at(minute), by_record: false, until: None });
        notes.end_gaps(at(minute));
    }
    notes.hold(at(61), Some(at(70)), &"\"𝒳".repeat(200));
    let text = serde_json::to_string(&notes).unwrap();
    assert!((2_000..4_000).contains(&text.len()), "{}", text.len());
    let empty: Notes = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, Notes::default());
}

#[test]
fn the_hold_that_was_set_last_counts_and_ends() {
    let mut first = Notes::default();
    assert_eq!(first.held_at(at(0)), None);
    first.hold(at(10), Some(at(20)), "a bad {{trigger}}\n");
    let hold = first.held_at(at(19)).unwrap();
    assert_eq!(hold.to_string(), format!("held until {} (a bad trigger)", at(20)));
    assert_eq!(first.held_at(at(20)), None, "it has ended");
    // A clock that is behind: the release is later all the same.
    let mut released = first.clone();
    released.release(at(5));
    assert_eq!(merged(&first, &released).held_at(at(11)), None);
    let mut again = released.clone();
    again.hold(at(6), None, "");
    let all = merged(&merged(&again, &first), &released);
    assert_eq!(all.held_at(at(9_999)).unwrap().to_string(), "held until somebody releases them");
}

#[test]
fn so_many_attempts_an_hour_and_those_given_up_do_not_count() {
    let mut notes = Notes::default();
    for minute in 0..4 {
        assert!(!notes.is_too_many(1, at(minute)), "{minute}");
        notes.note_attempt(stamp(minute), Attempt::Begun);
    }
    assert!(notes.is_too_many(1, at(4)) && !notes.is_too_many(0, at(4)));
    notes.note_attempt(stamp(2), Attempt::GivenUp);
    assert!(!notes.is_too_many(1, at(4)));
    notes.note_attempt(stamp(2), Attempt::Begun);
    assert!(!notes.is_too_many(1, at(4)), "it does not come back");
    notes.note_attempt(stamp(5), Attempt::Ended);
    assert!(notes.is_too_many(1, at(59)) && !notes.is_too_many(1, at(60)), "an hour after the first");
}

#[test]
fn an_attempt_is_under_way_until_it_ends_or_has_died() {
    let mut notes = Notes::default();
    let second = |second: u64| Timestamp::from_unix_millis(at(2).unix_millis() + second * 1_000);
    notes.note_attempt(stamp(2), Attempt::Begun);
    assert!(notes.is_another_under_way(None, second(30)));
    assert!(!notes.is_another_under_way(Some(stamp(2)), second(30)), "it is mine");
    assert!(!notes.is_another_under_way(None, second(60)), "it died");
    notes.note_attempt(stamp(2), Attempt::Ended);
    assert!(!notes.is_another_under_way(None, second(30)), "it is done");
}

#[test]
fn a_gap_is_noted_once_and_begins_with_the_record_that_came_late() {
    let mut notes = Notes::default();
    let latest = Gap { from: at(30), by_record: false, until: None };
    notes.note_gap(stamp(31), latest);
    notes.note_gap(stamp(32), Gap { from: at(31), ..latest });
    assert_eq!(notes.open_gap(), Some(&latest));
    assert_eq!(latest.to_string(), format!("since {} or earlier", at(30)));
    notes.note_gap(stamp(33), Gap { from: at(28), by_record: true, until: None });
    notes.end_gaps(at(34));
    assert_eq!(notes.gaps()[0].to_string(), format!("from {} or earlier to {}", at(28), at(34)));
    // Long before, and later: no.
    for record in [at(10), at(29)] {
        assert_eq!(notes.widened(record), None);
    }
    // Of before the end of the gap before: it was our own update.
    notes.note_gap(stamp(40), Gap { from: at(39), by_record: true, until: None });
    assert_eq!((notes.widened(at(34)), notes.widened(at(36)).is_some()), (None, true));
    // Two looks at once noted one gap twice.
    let mut other = Notes::default();
    other.note_gap(Stamp { by: 8, ..stamp(40) }, Gap { from: at(38), by_record: false, until: None });
    other.end_gaps(at(41));
    notes.end_gaps(at(42));
    notes.merge(other);
    let gaps: Vec<String> = notes.gaps().iter().map(Gap::to_string).collect();
    assert_eq!(
        gaps,
        [
            format!("from {} or earlier to {}", at(28), at(34)),
            format!("from {} or earlier to {}", at(38), at(42))
        ]
    );
}

#[test]
fn a_record_of_before_the_last_gaps_end_begins_no_gap() {
    let mut notes = Notes::default();
    let gap = Gap { from: at(10), by_record: true, until: None };
    assert_eq!(notes.begun(gap, at(9)), gap, "there is none before");
    notes.note_gap(stamp(10), gap);
    notes.end_gaps(at(12));
    // The record of our own update comes after somebody has taken the triggers away again.
    let late = Gap { from: at(11), ..gap };
    let begun = notes.begun(late, at(20));
    assert_eq!(begun, Gap { from: at(20), by_record: false, until: None });
    notes.note_gap(stamp(21), begun);
    notes.end_gaps(at(22));
    assert_eq!(notes.gaps().len(), 2, "they are not one");
    assert_eq!(notes.begun(Gap { from: at(30), ..gap }, at(29)).from, at(30));
}
