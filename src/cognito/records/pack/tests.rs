//! Records as messages: whose address counts, what failures have in common, and how few messages many are.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::cognito::records::read;

const POOL: &str = "eu-west-1_Example00";
const CLIENT: &str = "1example23456789";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/fixtures/records/", $name, ".json"))
    };
}

fn record(fixture: &str) -> Record {
    read(fixture, &|pool| pool == POOL).unwrap()
}

/// A record of which the pool is known.
fn known(item: usize, record: Record, is_device: bool) -> Known {
    Known { item, user_pool_id: POOL.to_owned(), is_device, record }
}

/// A failure of this number.
fn failure(number: u32, client: &str, ip: &str) -> Record {
    let mut record = self::record(fixture!("cloudtrail_initiate_auth_failed"));
    record.id = record_id(record.id.time(), Reporter::CloudTrail, &number.to_string());
    record.client_id = Some(client.to_owned());
    record.origin.ip = ip.parse().ok();
    record
}

/// The ids of the failures of messages, and how many have an address.
fn ids(messages: &[Message]) -> (BTreeSet<EventId>, usize) {
    let (mut ids, mut detailed) = (BTreeSet::new(), 0);
    for message in messages {
        assert!(message.body.len() <= MESSAGE_MAX_BYTES, "{}", message.body.len());
        let Ok(Event::Failures(event)) = Event::decode(&message.body) else {
            panic!("{:.300}", message.body)
        };
        assert!(event.data.len() <= FAILURES_MAX);
        assert_eq!(u64::try_from(event.data.len()).unwrap(), message.failures);
        for (group, failure) in event.data.iter() {
            assert!(ids.insert(failure.id), "each is there once");
            detailed += usize::from(failure.ip.is_some());
            assert!(group.reason.is_some() && group.client_id.is_some());
        }
    }
    (ids, detailed)
}

#[test]
fn an_origin_counts_by_whose_it_is() {
    let data = |fixture: &str, is_device: bool| {
        let messages = pack(vec![known(0, record(fixture), is_device)]);
        serde_json::from_str::<Value>(&messages[0].body).unwrap()
    };
    let (call, admin) = (fixture!("cloudtrail_initiate_auth"), fixture!("cloudtrail_admin_initiate_auth"));
    let (person, caller) = (fixture!("auth_events_sign_in"), fixture!("auth_events_sign_in_without_context"));
    for (fixture, is_device, counts) in [
        (call, true, true),
        (call, false, false),
        (admin, true, false),
        (person, false, true),
        (caller, true, true),
        (caller, false, false),
    ] {
        let message = data(fixture, is_device);
        assert_eq!(message["data"]["ip"].is_string(), counts, "{message}");
        assert_eq!(message["data"]["witness"], if counts { Value::Null } else { json!(true) }, "{message}");
        assert_eq!(message["data"]["client_id"], CLIENT);
        assert_eq!(message["subject"], "00000000-0000-4000-8000-000000000000");
        assert_eq!(message["source"], format!("cognito/{POOL}"));
        assert!(Event::decode(&message.to_string()).is_ok());
    }
    assert!(data(call, false)["data"].get("user_agent").is_none());
    assert_eq!(data(call, true)["data"]["reported_by"], "cloudtrail");
    let threat = data(person, false);
    assert_eq!(threat["data"]["city"], "Dublin");
    assert_eq!(threat["data"]["risk"], "NoRisk Low");
    // Of a backend no network is counted.
    let failed = pack(vec![known(0, failure(1, CLIENT, "203.0.113.9"), false)]);
    assert!(!failed[0].body.contains("network") && !failed[0].body.contains("203.0.113"));
}

#[test]
fn failures_are_packed_by_what_they_have_in_common() {
    let of = |number: u32, client: &str, ip: &str| {
        known(usize::try_from(number).unwrap(), failure(number, client, ip), true)
    };
    let records = vec![
        of(1, "a", "203.0.113.9"),
        of(2, "a", "203.0.113.200"),
        of(3, "a", "203.0.114.1"),
        of(4, "b", "2001:db8:1:2::3"),
        of(5, "b", "2001:db8:1:9::3"),
        of(6, "b", "null"),
        // The same record a second time.
        known(9, failure(1, "a", "203.0.113.9"), true),
    ];
    let messages = pack(records);
    let message: Value = serde_json::from_str(&messages[0].body).unwrap();
    let groups = message["data"]["groups"].as_array().unwrap();
    let group = |group: &Value| {
        (
            group["client_id"].as_str().unwrap().to_owned(),
            group["network"].as_str().map(str::to_owned),
            group["failures"].as_array().unwrap().len(),
        )
    };
    let expected = [
        ("a", Some("203.0.113.0/24"), 2),
        ("a", Some("203.0.114.0/24"), 1),
        ("b", None, 1),
        ("b", Some("2001:db8:1::/48"), 2),
    ];
    let expected =
        expected.map(|(client, network, failures)| (client.to_owned(), network.map(str::to_owned), failures));
    assert_eq!(groups.iter().map(group).collect::<Vec<_>>(), expected);
    let mut items = messages[0].items.clone();
    items.sort_unstable();
    assert_eq!((messages.len(), items), (1, vec![1, 2, 3, 4, 5, 6, 9]));
    assert_eq!(ids(&messages).1, 5, "few have all their details");
}

#[test]
fn details_of_many_are_a_sample_of_the_same_ones() {
    let of = |number: u32| known(0, failure(number, CLIENT, "203.0.113.9"), true);
    let few: Vec<Known> = (0..).take(DETAILED_MAX).map(of).collect();
    assert_eq!(ids(&pack(few)).1, DETAILED_MAX);
    let detailed = |numbers: std::ops::Range<u32>| {
        let (all, detailed) = ids(&pack(numbers.clone().map(of).collect()));
        assert_eq!(all.len(), numbers.len());
        detailed
    };
    let (first, second, both) = (detailed(0..2_000), detailed(2_000..4_000), detailed(0..4_000));
    assert_eq!(first + second, both, "whatever comes beside them");
    assert!((150..350).contains(&both), "{both}");
}

#[test]
fn a_message_is_never_too_large_and_the_same_failures_are_the_same_message() {
    let address = |number: u32| std::net::Ipv4Addr::from(0xC600_0000 + (number << 8)).to_string();
    let attack =
        || (0..12_000).map(|number| known(0, failure(number, CLIENT, &address(number)), true)).collect();
    let (one, other) = (pack(attack()), pack(attack()));
    assert_eq!(ids(&one).0.len(), 12_000);
    let bodies =
        |messages: &[Message]| messages.iter().map(|message| message.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&one), bodies(&other));
    let from_one =
        pack((0..12_000).map(|number| known(0, failure(number, CLIENT, "203.0.113.9"), true)).collect());
    assert_eq!((ids(&from_one).0.len(), from_one.len()), (12_000, 2));
}
