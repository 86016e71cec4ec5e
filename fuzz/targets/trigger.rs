//! The trigger's parser: no payload makes it panic, and whatever it makes of one, the consumer can read.

#![no_main]

use cognito_user_sync_triggers::client_metadata::ClientMetadataKeys;
use cognito_user_sync_triggers::cognito::user_event;
use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::timestamp::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let payload = String::from_utf8_lossy(bytes);
    let id = EventId::new(Timestamp::from_unix_millis(1_790_000_000_123));
    if let Ok(event) = user_event(&payload, &ClientMetadataKeys::default(), id) {
        let event = Event::User(event);
        assert_eq!(Event::decode(&event.encode()), Ok(event));
    }
});
