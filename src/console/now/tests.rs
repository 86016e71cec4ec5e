//! Tests of the judgement: which sentence is said, and that it is never said of what nobody knows.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use cognito_user_sync_triggers::event::PoolSeen;
use cognito_user_sync_triggers::timestamp::Timestamp;

use super::cloudwatch::{Told, Undelivered};
use super::facts::{FRESH, Facts, Reading, Snapshot, Triggers};
use super::hour::{Counts, Freshness, Hour, minute_of};
use super::source::{Failure, Known, Refusal, Seen, before};
use super::tables::{Depths, Tables};
use super::verdict::Verdict;
use super::view::View;
use crate::console::status::Status;
use crate::postgres::Standby;
use crate::sqs::depth::Depth;
use crate::store::maintenance::heartbeat::{Passage, PoolTold, Standing};

/// 24 November 2026, 14:32:09 UTC.
const NOW: u64 = 1_795_530_729_000;

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(NOW - seconds * 1_000)
}

fn said<T>(value: T, at: Timestamp) -> Seen<T> {
    Seen { last: Some(Known { value, at }), failure: None }
}

fn silent() -> Failure {
    Failure { refusal: Refusal::silent("no answer within 2 s"), since: ago(100), tries: 3 }
}

fn pool(at: Timestamp, missing: u8) -> PoolTold {
    let arn = || Some("arn:aws:lambda:eu-west-1:1:function:trigger".to_owned());
    let seen = PoolSeen {
        user_pool_id: "eu-west-1_Abc123Def".to_owned(),
        region: "eu-west-1".to_owned(),
        missing,
        post_confirmation: arn(),
        post_authentication: arn(),
    };
    PoolTold { at, seen }
}

/// A deployment of which all is known, and well: SQS holds nothing, CloudWatch is a minute late.
fn healthy() -> Snapshot {
    let passage =
        |sent, took| Passage { sent, arrived: Timestamp::from_unix_millis(sent.unix_millis() + took) };
    let standing = Standing {
        at: ago(4),
        heartbeat: Some(passage(ago(120), 1_400)),
        pools: vec![pool(ago(120), 0)],
        newest: Some(passage(ago(9), 1_100)),
        days_ahead: Some(97.0),
    };
    let mut hour = Hour::default();
    hour.count(ago(3_600), ago(4), Counts::default());
    let minute = minute_of(ago(60));
    hour.minute(minute).freshness = Some(Freshness::Quantiles { p50: Some(1.0), p99: Some(1.8) });
    let told = Told {
        oldest: Some((Duration::from_secs(2), ago(60))),
        undelivered: Some(Undelivered { count: 0, span: None }),
        missing_at: None,
        is_whole: true,
    };
    let depth = Depth { retention_seconds: 1_209_600, ..Depth::default() };
    Snapshot {
        tables: said(Tables { standing, ahead_millis: 0, standby: Standby::Primary, runs: None }, ago(4)),
        queues: Some(said(Depths { queue: Depth { waiting: 8, ..depth }, dead_letters: depth }, ago(4))),
        cloudwatch: Some(said(told, ago(10))),
        has_consumer: true,
        has_triggers: true,
        hour,
        ..Snapshot::default()
    }
}

fn told(snapshot: &mut Snapshot) -> &mut Told {
    &mut snapshot.cloudwatch.as_mut().unwrap().last.as_mut().unwrap().value
}

fn standing(snapshot: &mut Snapshot) -> &mut Standing {
    &mut snapshot.tables.last.as_mut().unwrap().value.standing
}

fn facts(snapshot: &Snapshot) -> Facts {
    Facts::of(snapshot, ago(0), FRESH)
}

fn up_to(snapshot: &Snapshot) -> Timestamp {
    facts(snapshot).complete.unwrap()
}

type Condition = fn(&mut Facts);

/// What each condition of the order does to the facts, and the verdict that it makes, in their order.
const ORDER: [(Condition, &str); 9] = [
    (|facts| facts.database_silent = Some(silent()), "DatabaseSilent"),
    (|facts| facts.triggers = Reading::Known(Triggers { in_place: 1, of: 2 }, ago(100)), "TriggersMissing"),
    (|facts| facts.heartbeat = Reading::Known(Duration::from_secs(901), ago(4)), "NoHeartbeat"),
    (|facts| facts.oldest = Reading::Known(Duration::from_secs(901), ago(60)), "Stuck"),
    (
        |facts| {
            let span = Some((ago(600), ago(60)));
            facts.undelivered = Reading::Known(Undelivered { count: 3, span }, ago(60));
        },
        "Undelivered",
    ),
    (|facts| facts.dead_letters = Reading::Known(665, ago(64)), "DeadLetters"),
    (|facts| facts.p99 = Reading::Known(300.5, ago(60)), "Slow"),
    (|facts| facts.has_arrived = Some(false), "NothingYet"),
    (|facts| facts.complete = Err("nobody knows".to_owned()), "NotKnown"),
];

#[test]
fn the_first_of_the_order_is_said_whatever_else_holds() {
    for holds in 0..1_usize << (ORDER.len() + 1) {
        let mut facts = facts(&healthy());
        let is_so = |at: usize| holds & (1 << at) != 0;
        for (at, (make_so, _)) in ORDER.iter().enumerate().filter(|(at, _)| is_so(*at)) {
            make_so(&mut facts);
            assert!(is_so(at));
        }
        let warning = is_so(ORDER.len()).then_some(("the ledger has months for 31 days", true));
        let first = ORDER.iter().enumerate().find(|(at, _)| is_so(*at)).map(|(_, (_, name))| *name);
        let expected = first.unwrap_or(if warning.is_some() { "Warning" } else { "Complete" });
        let verdict = Verdict::of(&facts, warning);
        assert!(format!("{verdict:?}").starts_with(expected), "{holds:b}: {verdict:?}, not {expected}");
        let status = match expected {
            "Complete" => Status::Healthy,
            "Slow" | "Warning" => Status::Attention,
            "NothingYet" | "NotKnown" => Status::Unknown,
            _ => Status::Broken,
        };
        assert_eq!(verdict.status(), status);
    }
}

#[test]
fn a_source_that_is_silent_is_not_known_before_any_warning_and_after_what_is_broken() {
    let silences: [fn(&mut Facts); 6] = [
        |facts| facts.heartbeat = Reading::Silent("away".to_owned()),
        |facts| facts.triggers = Reading::Silent("away".to_owned()),
        |facts| facts.oldest = Reading::Silent("away".to_owned()),
        |facts| facts.undelivered = Reading::Silent("away".to_owned()),
        |facts| facts.dead_letters = Reading::Silent("away".to_owned()),
        |facts| facts.p99 = Reading::Silent("away".to_owned()),
    ];
    for silence in silences {
        let mut facts = facts(&healthy());
        silence(&mut facts);
        assert!(
            matches!(Verdict::of(&facts, Some(("a warning", true))), Verdict::NotKnown(whys) if whys.len() == 1)
        );
        facts.database_silent = Some(silent());
        assert!(matches!(Verdict::of(&facts, None), Verdict::DatabaseSilent(_)));
    }
}

#[test]
fn the_sentence_reaches_no_further_than_any_figure_it_rests_on() {
    let snapshot = healthy();
    // CloudWatch says what was lost up to three minutes before it was asked; the way takes 1.8 s at most.
    assert_eq!(up_to(&snapshot), before(ago(10 + 180), Duration::from_millis(1_800)));
    let view = View::of(snapshot.clone(), ago(0));
    assert_eq!(view.sentence.headline, "Every sign-in up to 14:28:57 is in the database.");
    assert!(view.sentence.body.contains("Nothing is waiting longer than 2 s"), "{}", view.sentence.body);

    let mut older = healthy();
    standing(&mut older).pools = vec![pool(ago(600), 0)];
    assert_eq!(up_to(&older), before(ago(600), Duration::from_millis(1_800)), "the triggers were seen then");

    let mut waiting = healthy();
    told(&mut waiting).oldest = Some((Duration::from_secs(600), ago(60)));
    // Retries are known up to the begin of the last minute that counts, which is later than the age.
    assert_eq!(up_to(&waiting), before(ago(60 + 600), Duration::from_millis(1_800)));
}

#[test]
fn a_clock_that_is_ahead_claims_nothing_of_the_future() {
    let mut snapshot = healthy();
    snapshot.tables.last.as_mut().unwrap().value.ahead_millis = 600_000;
    let facts = facts(&snapshot);
    assert_eq!(facts.now, ago(600));
    // By the server's clock the heartbeat is not old, and by ours it is not yet due.
    assert_eq!(facts.heartbeat.known(), Some(&Duration::ZERO));
    snapshot.tables.last.as_mut().unwrap().value.ahead_millis = -600_000;
    let facts = super::tests::facts(&snapshot);
    assert_eq!(facts.now, ago(0), "the earlier of the two clocks");
    assert_eq!(facts.heartbeat.known(), Some(&Duration::from_secs(720)), "its age is the server's");
}

#[test]
fn what_was_tried_again_bounds_the_sentence_for_sqs_forgets_its_age() {
    let mut snapshot = healthy();
    let first_try = minute_of(ago(600));
    snapshot.hour.minute(first_try).counts.retried = Some(2);
    let bound = before(super::hour::start_of(first_try), Duration::from_secs(2));
    assert_eq!(up_to(&snapshot), before(bound, Duration::from_millis(1_800)));
    // A queue that was seen empty since then has nothing of it.
    snapshot.drained_at = Some(ago(4));
    assert_eq!(up_to(&snapshot), before(ago(190), Duration::from_millis(1_800)));
    snapshot.drained_at = None;
    snapshot.hour.minute(minute_of(ago(300))).counts.retried = None;
    assert!(facts(&snapshot).complete.is_err(), "a minute that nobody counted may have had one");
}

#[test]
fn without_an_age_only_a_queue_that_was_seen_empty_says_anything() {
    let mut snapshot = healthy();
    (snapshot.cloudwatch, snapshot.has_consumer, snapshot.has_triggers) = (None, false, false);
    assert!(matches!(Verdict::of(&facts(&snapshot), None), Verdict::NotKnown(_)));
    snapshot.drained_at = Some(ago(14));
    let view = View::of(snapshot.clone(), ago(0));
    // SQS counts a minute late; the triggers were seen two minutes ago.
    assert_eq!(view.facts.complete, Ok(ago(120)));
    assert_eq!(view.sentence.headline, "Every sign-in that was queued up to 14:30:09 is in the database.");
    assert!(view.sentence.body.contains("Whether the trigger could queue each one is not known"));
    snapshot.drained_at = Some(ago(3_600));
    assert!(matches!(Verdict::of(&facts(&snapshot), None), Verdict::NotKnown(_)), "an hour ago is not now");
}

#[test]
fn an_answer_that_is_old_or_failed_is_not_known_and_keeps_its_last_value() {
    let mut snapshot = healthy();
    snapshot.queues.as_mut().unwrap().failure = Some(silent());
    let view = View::of(snapshot, ago(0));
    assert_eq!(view.status(), Status::Unknown);
    let letters = view.checks.iter().find(|check| check.name == "Dead letters").unwrap();
    assert_eq!(
        (letters.status, letters.now.as_str()),
        (Status::Unknown, "last: 0 at 14:32:05; no answer within 2 s")
    );

    let mut snapshot = healthy();
    snapshot.tables.last.as_mut().unwrap().at = ago(31);
    assert!(facts(&snapshot).heartbeat.silence().is_some());
}

#[test]
fn cloudwatchs_gaps_are_not_known_and_no_zeros() {
    let mut snapshot = healthy();
    told(&mut snapshot).undelivered = None;
    assert!(!facts(&snapshot).undelivered.has_source(), "no trigger has told anything within a day");
    told(&mut snapshot).is_whole = false;
    assert!(facts(&snapshot).undelivered.silence().is_some(), "the answer was broken off");
    told(&mut snapshot).oldest = Some((Duration::ZERO, ago(600)));
    assert!(facts(&snapshot).oldest.silence().is_some(), "an age of ten minutes ago says nothing");
}

#[test]
fn triggers_that_were_missing_when_last_seen_are_believed_and_those_in_place_only_of_late() {
    let mut snapshot = healthy();
    standing(&mut snapshot).pools = vec![pool(ago(1_200), 1)];
    assert!(matches!(
        Verdict::of(&facts(&snapshot), None),
        Verdict::TriggersMissing(Triggers { in_place: 1, of: 2 })
    ));
    standing(&mut snapshot).pools = vec![pool(ago(1_200), 0)];
    assert!(facts(&snapshot).triggers.silence().is_some());
    standing(&mut snapshot).pools = vec![pool(ago(60), 0), pool(ago(8 * 86_400), 2)];
    assert_eq!(
        facts(&snapshot).triggers.known(),
        Some(&Triggers { in_place: 2, of: 2 }),
        "a Region that is gone"
    );
}

#[test]
fn triggers_that_were_missing_today_and_events_that_were_lost_today_are_warnings() {
    let mut snapshot = healthy();
    told(&mut snapshot).missing_at = Some(ago(20_000));
    assert!(matches!(View::of(snapshot, ago(0)).verdict, Verdict::Warning(_, None)));
    let mut snapshot = healthy();
    told(&mut snapshot).undelivered = Some(Undelivered { count: 3, span: Some((ago(9_000), ago(7_200))) });
    let view = View::of(snapshot.clone(), ago(0));
    assert!(matches!(view.verdict, Verdict::Warning(_, None)), "{:?}", view.verdict);
    assert!(!view.sentence.body.contains("is in the database"), "these are not: {}", view.sentence.body);
    told(&mut snapshot).undelivered = Some(Undelivered { count: 3, span: Some((ago(9_000), ago(3_000))) });
    assert!(matches!(View::of(snapshot, ago(0)).verdict, Verdict::Undelivered(_)));
}

#[test]
fn a_warning_that_is_of_no_sign_in_leaves_the_sentence_to_be_said() {
    let mut snapshot = healthy();
    standing(&mut snapshot).days_ahead = Some(31.4);
    let view = View::of(snapshot, ago(0));
    assert_eq!(view.sentence.headline, "The ledger has months for 31 days; should be 35 or more.");
    assert_eq!(view.sentence.body, "Every sign-in up to 14:28:57 is in the database.");
}

#[test]
fn a_silent_database_leaves_the_rest_alive() {
    let mut snapshot = healthy();
    snapshot.tables.failure = Some(silent());
    let view = View::of(snapshot, ago(0));
    assert_eq!(view.sentence.headline, "The database does not answer since 14:30:29.");
    assert_eq!(
        view.sentence.body,
        "Sign-ins go on. 8 events wait in the queue, which keeps them for 14 days, and are applied by themselves when the \
         database is back. Nothing is lost while you look."
    );
    let road = view.road();
    let marks: Vec<_> = road.iter().map(|step| (step.name, step.status, step.passes)).collect();
    assert_eq!(
        marks.get(2..),
        Some(
            &[
                ("Queue", Status::Attention, true),
                ("Consumer", Status::Attention, false),
                ("Database", Status::Broken, true),
            ][..]
        )
    );
    assert_eq!(road.last().unwrap().note, "no answer within 2 s, asked 3 times");
    assert_eq!(view.advice().len(), 1);
}

#[test]
fn a_database_that_refuses_is_not_silent() {
    let mut snapshot = healthy();
    let refusal = Refusal::answered("it refuses the question (42P01)");
    snapshot.tables.failure = Some(Failure { refusal, since: ago(9), tries: 1 });
    let view = View::of(snapshot, ago(0));
    assert!(matches!(view.verdict, Verdict::NotKnown(_)));
    assert!(view.sentence.body.contains("42P01"), "{}", view.sentence.body);
}

#[test]
fn nothing_that_ever_arrived_says_where_to_begin() {
    let mut snapshot = healthy();
    let standing = standing(&mut snapshot);
    (standing.heartbeat, standing.newest, standing.pools) = (None, None, Vec::new());
    let view = View::of(snapshot, ago(0));
    assert!(view.is_begin());
    assert_eq!(view.status(), Status::Unknown);
}

#[test]
fn every_note_says_what_is_healthy_what_to_do_and_when_it_is_over() {
    let mut snapshot = healthy();
    let all: [fn(&mut Snapshot); 5] = [
        |snapshot| standing(snapshot).heartbeat = Some(Passage { sent: ago(2_000), arrived: ago(1_999) }),
        |snapshot| standing(snapshot).pools = vec![pool(ago(120), 2)],
        |snapshot| standing(snapshot).days_ahead = Some(31.4),
        |snapshot| told(snapshot).oldest = Some((Duration::from_secs(1_000), ago(60))),
        |snapshot| {
            told(snapshot).undelivered = Some(Undelivered { count: 1, span: Some((ago(60), ago(60))) })
        },
    ];
    all.into_iter().for_each(|make_so| make_so(&mut snapshot));
    snapshot.queues.as_mut().unwrap().last.as_mut().unwrap().value.dead_letters.waiting = 665;
    let view = View::of(snapshot, ago(0));
    let advice = view.advice();
    assert_eq!(advice.len(), 6);
    for advice in &advice {
        assert!(advice.note.says.contains("should be"), "{advice:?}");
        assert!(advice.note.command.is_some() && !advice.note.over.is_empty(), "{advice:?}");
    }
    let is_last = advice.last().map(|advice| advice.note.says.contains("31 days"));
    assert_eq!(is_last, Some(true), "what is broken comes first");
}
