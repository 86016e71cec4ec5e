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
    for line in ["", "START RequestId: 1", r#"{"level":"ERROR","message":"other"}"#, r#"{"undelivered":{}}"#]
    {
        assert_eq!(undelivered::read(line), None, "{line}");
    }
}
