//! What the trigger computes for one event, and what the consumer reads first: `make bench-functions`.
//!
//! Small functions say how many calls a sample has: divan would go by the first call, which loads what the others find.

#![allow(clippy::unwrap_used, missing_docs)]

use cognito_user_sync_triggers::client_metadata::ClientMetadataKeys;
use cognito_user_sync_triggers::cognito::user_event;
use cognito_user_sync_triggers::event::{Event, EventId};
use cognito_user_sync_triggers::timestamp::Timestamp;
use divan::{Bencher, black_box};

const LOGIN: &str = include_str!("../fixtures/post_authentication_with_client_metadata.json");
const SIGN_UP: &str = include_str!("../fixtures/post_confirmation_confirm_sign_up_all_attributes.json");

fn main() {
    divan::main();
}

fn event(payload: &str, keys: &ClientMetadataKeys, id: EventId) -> Event<'static> {
    Event::User(user_event(payload, keys, id).unwrap())
}

/// From Cognito's JSON to the text that is sent.
fn encode(bencher: Bencher<'_, '_>, payload: &str) {
    let keys = ClientMetadataKeys::default();
    let id = EventId::new(Timestamp::now());
    bencher.bench(|| event(black_box(payload), &keys, id).encode());
}

/// From the text that was received to the event.
fn decode(bencher: Bencher<'_, '_>, payload: &str) {
    let message = event(payload, &ClientMetadataKeys::default(), EventId::new(Timestamp::now())).encode();
    bencher.bench(|| Event::decode(black_box(&message)).unwrap());
}

#[divan::bench(sample_size = 100)]
fn message_of_a_login(bencher: Bencher<'_, '_>) {
    encode(bencher, LOGIN);
}

#[divan::bench(sample_size = 100)]
fn message_of_a_sign_up(bencher: Bencher<'_, '_>) {
    encode(bencher, SIGN_UP);
}

#[divan::bench(sample_size = 100)]
fn login_read_from_its_message(bencher: Bencher<'_, '_>) {
    decode(bencher, LOGIN);
}

#[divan::bench(sample_size = 100)]
fn sign_up_read_from_its_message(bencher: Bencher<'_, '_>) {
    decode(bencher, SIGN_UP);
}
