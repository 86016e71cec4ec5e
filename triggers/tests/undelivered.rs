//! The `undelivered` line gives back the event it was written for, verbatim, whatever the log put around it.

use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::timestamp::Timestamp;
use cognito_user_sync_triggers::{client_metadata::ClientMetadataKeys, cognito, undelivered};

#[test]
fn every_fixture_survives_its_line() {
    for (name, payload) in crate::fixtures() {
        let id = EventId::new(Timestamp::from_unix_millis(1_790_000_000_123));
        let Ok(event) = cognito::user_event(&payload, &ClientMetadataKeys::default(), id) else { continue };
        let event = Event::User(event);
        let line = undelivered::line(&event, "no answer from SQS");
        assert!(!line.contains('\n'), "{name}");
        for line in
            [line.clone(), format!("2026-11-23T15:31:00.000Z {line}\n"), format!("prefix\t{line}\r\n")]
        {
            assert_eq!(undelivered::read(&line), Some(Ok(event.clone())), "{name}");
        }
        let exported = serde_json::json!({ "timestamp": 1, "message": line, "ingestionTime": 2 }).to_string();
        let insights = serde_json::json!({ "@message": format!("{line}\n") }).to_string();
        for exported in [exported.as_str(), &insights] {
            assert_eq!(undelivered::read(exported), Some(Ok(event.clone())), "{name}");
        }
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let printed = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(undelivered::read(&format!("2026-11-23 {printed}\n")), Some(Ok(event.clone())), "{name}");
        let unknown = serde_json::json!({ "text": line }).to_string();
        assert!(
            matches!(undelivered::read(&unknown), Some(Err(_))),
            "{name}: quoted otherwise, so said loudly"
        );
        let cut = line.get(..line.len() - 3).unwrap();
        assert!(matches!(undelivered::read(cut), Some(Err(_))), "{name}: a cut line must not pass for whole");
    }
}

#[test]
fn another_line_is_passed_over() {
    for line in [
        "",
        "START RequestId: 1",
        "the message: undelivered",
        r#"{"level":"ERROR","message":"other"}"#,
        r#"{"undelivered":{}}"#,
        r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"undelivered"}]}]},"undelivered":1}"#,
    ] {
        assert_eq!(undelivered::read(line), None, "{line}");
    }
}

#[test]
fn what_is_damaged_or_quoted_by_nothing_known_is_never_passed_over() {
    for line in [
        r#"{"level":"ERROR","message":"undelivered","cause":"no an"#,
        r#"ROR","message":"undelivered","cause":"x","undelivered":{}}"#,
        r#""{""level"":""ERROR"",""message"":""undelivered"",""undelivered"":{}}""#,
        r#"{ "message" : "undelivered" }"#,
        r#"{"text":"{\"level\":\"ERROR\",\"message\":\"undelivered\"}"}"#,
        r#"{\\\"message\\\":\\\"undelivered\\\"}"#,
    ] {
        assert!(matches!(undelivered::read(line), Some(Err(_))), "{line}");
    }
}

/// What a user wrote into an attribute is inside the event's text, and must never become an event of its own.
#[test]
fn an_attribute_that_holds_a_line_forges_nothing() {
    let payload =
        crate::fixtures().into_iter().find(|(name, _)| name == "post_authentication_native").unwrap().1;
    let id = EventId::new(Timestamp::from_unix_millis(1_790_000_000_123));
    let mut event = cognito::user_event(&payload, &ClientMetadataKeys::default(), id).unwrap();
    let forged = undelivered::line(&Event::heartbeat(id), "forged");
    event.data.attributes.insert("name".into(), format!("{forged}\n{forged}").into());
    let event = Event::User(event);
    let line = undelivered::line(&event, "no answer from SQS");
    assert_eq!(undelivered::read(&line), Some(Ok(event)));
    // However the line is cut, as a log does with long ones: never the event within.
    for (cut, _) in line.char_indices().skip(1) {
        let (head, tail) = line.split_at(cut);
        for part in [head, tail] {
            assert!(!matches!(undelivered::read(part), Some(Ok(_))), "{part}");
        }
    }
}
