//! The consumer's parser: no text makes it panic, what it accepts it writes back the same, and an error names
//! no more than a field.

#![no_main]

use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::undelivered;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // SQS's messages are texts; what is none comes as the SDK would have it.
    let text = String::from_utf8_lossy(bytes);
    match Event::decode(&text) {
        Ok(event) => {
            let encoded = event.encode();
            assert_eq!(Event::decode(&encoded).as_ref(), Ok(&event));
            assert_eq!(undelivered::read(&undelivered::line(&event, "fuzz")), Some(Ok(event)));
        }
        Err(error) => assert!(error.field().chars().count() <= 300 && error.to_string().len() < 4_096),
    }
    let _ = undelivered::read(&text);
});
