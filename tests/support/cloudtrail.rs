//! What EventBridge hands over when CloudTrail saw a call, from `tests/fixtures/cloudtrail`.

use std::path::PathBuf;

use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

/// The event of a fixture, about this user of this pool, as if the call was made at `at`, and by this app client if it was
/// a user's own.
pub fn event(name: &str, user_pool_id: &str, client_id: &str, sub: Uuid, at: Timestamp) -> String {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    // CloudTrail's times are whole seconds.
    let at = format!("{}Z", &at.to_string()[..19]);
    text.replace("00000000-0000-4000-8000-000000000000", &sub.to_string())
        .replace("eu-west-1_Example00", user_pool_id)
        .replace("1example23456789", client_id)
        .replace("2026-01-01T00:00:00Z", &at)
}

/// The names of the fixtures that start so, in order.
pub fn names(start: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let names = json.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(start)).collect();
    names.sort();
    assert!(!names.is_empty(), "no fixture starts with {start}");
    names
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/cloudtrail")
}
