//! Where sign-ins came from, and those that failed: reads what CloudTrail and threat protection record of them, and
//! publishes it to a queue of its own. Must not know the tables, nor a login as the trigger reports it.
//!
//! [`read`] and what it calls are pure. A record's event has its time and an id that follows from the record, so that the
//! same record is the same event, however often and by whichever way it comes.

mod auth_events;
mod devices;
mod function;
mod pack;
mod payload;
mod record;
mod sign_in_calls;
mod times;

pub use self::devices::CLIENTS_VARIABLE;
pub use self::function::{Handled, Published, Records, RecordsError, SEND_BUDGET};
pub use self::record::{Ignored, Record, What};

use cognito_user_sync_triggers::json::{Object, object, text};

use crate::cognito::cloudtrail::EVENT_SOURCE;

/// A log's line may hold a record as text, whose message may be text again.
const DEPTH_MAX: usize = 3;

/// Reads one record: of CloudTrail, or EventBridge's event of it; or a message of threat protection's log, with its
/// envelope or without. `is_ours` says whether we follow the pool of an id.
///
/// # Errors
/// Why it is neither where a sign-in came from nor one that failed.
pub fn read(record: &str, is_ours: &dyn Fn(&str) -> bool) -> Result<Record, Ignored> {
    let record: Object<'_> = serde_json::from_str(record).map_err(|_| Ignored::Unreadable)?;
    read_object(&record, is_ours, DEPTH_MAX)
}

fn read_object(record: &Object<'_>, is_ours: &dyn Fn(&str) -> bool, depth: usize) -> Result<Record, Ignored> {
    let detail = object(record, "detail");
    for record in [&detail, record] {
        if text(record, "eventSource").as_deref() == Some(EVENT_SOURCE) {
            return sign_in_calls::read(record, is_ours);
        }
    }
    if auth_events::is_message(record) {
        return auth_events::read(&Object::default(), record, is_ours);
    }
    let message = object(record, "message");
    if auth_events::is_message(&message) {
        return auth_events::read(record, &message, is_ours);
    }
    let message = text(record, "message").filter(|_| depth > 0).unwrap_or_default();
    let message: Object<'_> = serde_json::from_str(&message).map_err(|_| Ignored::NotCognito)?;
    match auth_events::is_message(&message) {
        true => auth_events::read(record, &message, is_ours),
        false => read_object(&message, is_ours, depth - 1),
    }
}

#[cfg(test)]
mod tests;
