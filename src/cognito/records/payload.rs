//! Reads what Lambda hands to the function: a batch of SQS, a subscription of CloudWatch Logs, or one event of EventBridge.
//! Pure. Must not know what a record says.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cognito_user_sync_triggers::json::{Object, object, text};
use flate2::read::MultiGzDecoder;

use crate::cognito::cloudtrail::EVENT_SOURCE;
use crate::cognito::records::record::Ignored;
use crate::cognito::records::sign_in_calls;

/// Most bytes of a subscription's payload once it is unpacked. Lambda takes 6 MB of base64 ("Lambda quotas"), and records
/// become a twelfth: what is larger is none of CloudWatch Logs'.
const UNPACKED_MAX_BYTES: u64 = 64 * 1_048_576;

/// What Lambda handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// Messages of a queue, each with an event of EventBridge, and the id by which Lambda knows it.
    Batch(Vec<Message>),
    /// The messages of a log.
    Log(Vec<String>),
    /// One event of EventBridge that is about a sign-in; `is_change` says that it changes a user, too.
    Event {
        /// Whether the user changed.
        is_change: bool,
    },
    /// It holds no record.
    Nothing(Ignored),
    /// It is not for us.
    Other,
}

/// A message of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) body: String,
}

/// Reads a payload.
pub(super) fn read(payload: &str) -> Payload {
    let Ok(members) = serde_json::from_str::<Object<'_>>(payload) else { return Payload::Other };
    if members.get("awslogs").is_some() {
        let data = text(&object(&members, "awslogs"), "data").unwrap_or_default();
        return match unpacked(&data) {
            Ok(unpacked) => log(&unpacked),
            Err(why) => Payload::Nothing(why),
        };
    }
    if let Some(records) = members.get("Records") {
        let messages: Vec<Object<'_>> = serde_json::from_str(records.get()).unwrap_or_default();
        let message = |message: &Object<'_>| Message {
            id: text(message, "messageId").unwrap_or_default(),
            body: text(message, "body").unwrap_or_default(),
        };
        return Payload::Batch(messages.iter().map(message).collect());
    }
    let detail = object(&members, "detail");
    if text(&detail, "eventSource").as_deref() != Some(EVENT_SOURCE) {
        return Payload::Other;
    }
    let operation = text(&detail, "eventName").unwrap_or_default();
    match operation.as_str() {
        "SignUp" | "ConfirmSignUp" => Payload::Event { is_change: true },
        "GetTokensFromRefreshToken" => Payload::Event { is_change: false },
        _ if sign_in_calls::is_known(&operation) => Payload::Event { is_change: false },
        _ => Payload::Other,
    }
}

/// What base64 and gzip hold, up to a limit.
fn unpacked(data: &str) -> Result<Vec<u8>, Ignored> {
    let packed = STANDARD.decode(data.trim()).map_err(|_| Ignored::Unreadable)?;
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(packed.as_slice()).take(UNPACKED_MAX_BYTES + 1);
    reader.read_to_end(&mut unpacked).map_err(|_| Ignored::Unreadable)?;
    match u64::try_from(unpacked.len()) {
        Ok(bytes) if bytes <= UNPACKED_MAX_BYTES => Ok(unpacked),
        Ok(_) | Err(_) => Err(Ignored::TooLarge),
    }
}

/// The messages of a data message ("Real-time processing of log data with subscriptions", CloudWatch Logs User Guide).
fn log(unpacked: &[u8]) -> Payload {
    let text_of = std::str::from_utf8(unpacked).unwrap_or_default();
    let Ok(members) = serde_json::from_str::<Object<'_>>(text_of) else {
        return Payload::Nothing(Ignored::Unreadable);
    };
    if text(&members, "messageType").as_deref() == Some("CONTROL_MESSAGE") {
        return Payload::Nothing(Ignored::ControlMessage);
    }
    let events = members.get("logEvents").map_or(Ok(Vec::new()), |events| serde_json::from_str(events.get()));
    let Ok::<Vec<Object<'_>>, _>(events) = events else { return Payload::Nothing(Ignored::Unreadable) };
    Payload::Log(events.iter().map(|event| text(event, "message").unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    fn packed(bytes: &[u8]) -> String {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        json!({ "awslogs": { "data": STANDARD.encode(encoder.finish().unwrap()) } }).to_string()
    }

    #[test]
    fn a_subscription_is_unpacked() {
        let data = json!({
            "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "g", "logStream": "s",
            "subscriptionFilters": ["f"],
            "logEvents": [{ "id": "1", "timestamp": 1, "message": "a" }, { "id": "2" }, { "message": "\"b\"" }],
        });
        let read_of = |data: &serde_json::Value| read(&packed(data.to_string().as_bytes()));
        assert_eq!(read_of(&data), Payload::Log(["a", "", "\"b\""].map(str::to_owned).into()));
        let mut control = data;
        control["messageType"] = "CONTROL_MESSAGE".into();
        assert_eq!(read_of(&control), Payload::Nothing(Ignored::ControlMessage));
        assert_eq!(read_of(&json!({})), Payload::Log(Vec::new()));
    }

    #[test]
    fn what_cannot_be_unpacked_is_named_and_bounded() {
        for payload in [
            r#"{"awslogs":null}"#.to_owned(),
            r#"{"awslogs":{"data":"%%%"}}"#.to_owned(),
            json!({ "awslogs": { "data": STANDARD.encode("no gzip") } }).to_string(),
            packed(b"no JSON"),
            packed(b"{\"logEvents\":[1]}"),
            packed(b"\xff\xfe"),
        ] {
            assert_eq!(read(&payload), Payload::Nothing(Ignored::Unreadable), "{payload}");
        }
        // 1 GiB of zeros is 1 MB of gzip; not more than the limit is ever unpacked.
        let bomb = packed(&vec![0; usize::try_from(UNPACKED_MAX_BYTES).unwrap() + 1]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert_eq!(read(&bomb), Payload::Nothing(Ignored::TooLarge));
    }

    #[test]
    fn a_batch_and_an_event_are_told_apart_from_what_is_not_for_us() {
        let batch =
            json!({ "Records": [{ "messageId": "m", "body": "b" }, {}, { "messageId": 1, "body": null }] });
        let message = |id: &str, body: &str| Message { id: id.to_owned(), body: body.to_owned() };
        assert_eq!(
            read(&batch.to_string()),
            Payload::Batch(vec![message("m", "b"), message("", ""), message("", "")])
        );
        for (name, expected) in [
            ("InitiateAuth", Payload::Event { is_change: false }),
            ("AdminRespondToAuthChallenge", Payload::Event { is_change: false }),
            ("GetTokensFromRefreshToken", Payload::Event { is_change: false }),
            ("SignUp", Payload::Event { is_change: true }),
            ("ConfirmSignUp", Payload::Event { is_change: true }),
            ("AdminDeleteUser", Payload::Other),
        ] {
            let event = json!({ "detail": { "eventSource": EVENT_SOURCE, "eventName": name } });
            assert_eq!(read(&event.to_string()), expected, "{name}");
        }
        for payload in
            ["", "[]", "null", r#"{"heartbeat":true}"#, r#"{"detail":{"eventName":"InitiateAuth"}}"#]
        {
            assert_eq!(read(payload), Payload::Other, "{payload}");
        }
    }
}
