//! Records of sign-ins, from `tests/fixtures/records`, and how they come to the function that reads them.

use std::io::Write as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cognito_user_sync_triggers::timestamp::Timestamp;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use uuid::Uuid;

/// The record of a fixture, with an id of its own, about this user of this pool, as if it happened at `at` and by this app
/// client.
pub fn record(name: &str, user_pool_id: &str, client_id: &str, sub: Uuid, at: Timestamp) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/records");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    // CloudTrail's times are whole seconds.
    let second = format!("{}Z", &at.to_string()[..19]);
    text.replace("00000000-0000-4000-8000-000000000000", &sub.to_string())
        .replace("eu-west-1_Example00", user_pool_id)
        .replace("1example23456789", client_id)
        .replace("2026-01-01T00:00:00Z", &second)
        .replace("Thu Jan 01 00:00:00 UTC 2026", &second)
        .replace("5e7b27a0-6870-4226-adb4-000000000002", &Uuid::now_v7().to_string())
        .replace("bb0e5c07-0000-4000-8000-000000000004", &Uuid::now_v7().to_string())
}

/// A batch of SQS: messages by their ids.
pub fn batch<'a>(messages: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let message = |(id, body): (&str, &str)| {
        json!({
            "messageId": id, "receiptHandle": "handle", "body": body, "eventSource": "aws:sqs",
            "attributes": { "ApproximateReceiveCount": "1" }, "messageAttributes": {},
            "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:records", "awsRegion": "eu-west-1",
        })
    };
    json!({ "Records": messages.into_iter().map(message).collect::<Vec<_>>() }).to_string()
}

/// What a subscription of CloudWatch Logs delivers.
pub fn subscription<'a>(messages: impl IntoIterator<Item = &'a str>) -> String {
    let event = |(number, message): (usize, &str)| json!({ "id": format!("{number:056}"), "timestamp": 1_767_225_600_000_u64, "message": message });
    let data = json!({
        "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "/aws/vendedlogs/pool",
        "logStream": "stream", "subscriptionFilters": ["records"],
        "logEvents": messages.into_iter().enumerate().map(event).collect::<Vec<_>>(),
    });
    packed(&data)
}

/// What CloudWatch Logs sends to see whether somebody is there.
pub fn control_message() -> String {
    packed(&json!({
        "messageType": "CONTROL_MESSAGE", "owner": "CloudwatchLogs", "logGroup": "", "logStream": "",
        "subscriptionFilters": [],
        "logEvents": [{ "id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE: Checking health of destination." }],
    }))
}

fn packed(data: &Value) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data.to_string().as_bytes()).unwrap();
    json!({ "awslogs": { "data": STANDARD.encode(encoder.finish().unwrap()) } }).to_string()
}
