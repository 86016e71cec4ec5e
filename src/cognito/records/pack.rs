//! Makes messages of records: one of each context, and as many failures in one as there is room for. Pure.
//!
//! An attack on the pool is many failures. What is counted of each, its id, user, client, reason and network, is always
//! sent. Its details are sent of all where they are few, else of a sample, by the id: of the same failures the same ones.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cognito_user_sync_triggers::event::{
    Context, ContextEvent, Event, EventId, FAILURES_MAX, Failure, FailureGroup, Failures, FailuresEvent,
    MESSAGE_MAX_BYTES, Reporter,
};
use serde::Serialize;

use crate::cognito::records::record::{Origin, OriginOf, Record, What, record_id};

/// Most failures of one invocation that all have their details.
pub(super) const DETAILED_MAX: usize = 100;

/// Of more failures, one in so many has its details: a power of two.
pub(super) const SAMPLED_OF: u128 = 16;

/// More than what a message has around its groups.
const ENVELOPE_BYTES: usize = 1_024;

/// A record whose pool is known.
#[derive(Debug)]
pub(super) struct Known {
    /// Which of the items that were handed over it is of.
    pub(super) item: usize,
    pub(super) user_pool_id: String,
    /// Whether people's own devices use the app client.
    pub(super) is_device: bool,
    pub(super) record: Record,
}

/// A message, and the items of whose records it is made.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) body: String,
    pub(super) items: Vec<usize>,
    /// How many failures it holds; none is one context.
    pub(super) failures: u64,
}

/// What failures of a message have in common, then of a group, in the order of messages.
type Place = (String, Reporter, Option<String>, &'static str, Option<String>, EventId);

/// Packs records. One that is there twice is sent once.
pub(super) fn pack(records: Vec<Known>) -> Vec<Message> {
    let mut contexts: BTreeMap<EventId, (Known, Vec<usize>)> = BTreeMap::new();
    let mut failures: BTreeMap<Place, (Failure<'static>, Vec<usize>)> = BTreeMap::new();
    for mut known in records {
        let item = known.item;
        let is_known = match known.record.origin_of {
            OriginOf::Person => true,
            OriginOf::Caller => known.is_device,
            OriginOf::Backend => false,
        };
        if !is_known {
            known.record.origin = Origin::default();
        }
        known.is_device = is_known;
        match known.record.what {
            What::Success(_) => {
                contexts.entry(known.record.id).or_insert_with(|| (known, Vec::new())).1.push(item);
            }
            What::Failure(reason) => {
                let Record { reporter, id, client_id, sub, origin, .. } = known.record;
                let place = (known.user_pool_id, reporter, client_id, reason, origin.ip.map(network), id);
                let failure = || {
                    let Origin { ip, user_agent, device: _, city, country } = origin;
                    let [user_agent, city, country] =
                        [user_agent, city, country].map(|text| text.map(Into::into));
                    Failure { id, sub, ip: ip.map(|ip| ip.to_string().into()), user_agent, city, country }
                };
                failures.entry(place).or_insert_with(|| (failure(), Vec::new())).1.push(item);
            }
        }
    }
    if failures.len() > DETAILED_MAX {
        for (failure, _) in failures.values_mut().filter(|(failure, _)| !is_sampled(failure.id)) {
            *failure = Failure { ip: None, user_agent: None, city: None, country: None, ..failure.clone() };
        }
    }
    let contexts = contexts.into_values().map(|(known, items)| context(known, items));
    contexts.chain(messages(failures)).collect()
}

/// Whether a failure is of the sample: its last bits are those of a hash.
fn is_sampled(id: EventId) -> bool {
    id.uuid().as_u128().is_multiple_of(SAMPLED_OF)
}

fn context(known: Known, items: Vec<usize>) -> Message {
    let Known { item: _, user_pool_id, is_device, record } = known;
    let Record { reporter, id, whose: _, client_id, sub, what, origin_of: _, origin, flow, risk } = record;
    let mut data = Context::by(reporter);
    if let What::Success(occasion) = what {
        data.occasion = occasion;
    }
    data.witness = !is_device;
    data.ip = origin.ip.map(|ip| ip.to_string().into());
    let [user_agent, device, city, country] =
        [origin.user_agent, origin.device, origin.city, origin.country].map(|text| text.map(Into::into));
    (data.user_agent, data.device, data.city, data.country) = (user_agent, device, city, country);
    (data.client_id, data.flow, data.risk) =
        (client_id.map(Into::into), flow.map(Into::into), risk.map(Into::into));
    data.bound();
    let event = ContextEvent { id, user_pool_id: user_pool_id.into(), sub, data };
    Message { body: Event::Context(event).encode(), items, failures: 0 }
}

/// The network of an address: neighbours of one customer or one office.
fn network(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{}/24", Ipv4Addr::from_bits(ip.to_bits() & u32::MAX << 8)),
        IpAddr::V6(ip) => format!("{}/48", Ipv6Addr::from_bits(ip.to_bits() & u128::MAX << 80)),
    }
}

/// A message of failures that has room for more.
#[derive(Debug)]
struct Filling {
    user_pool_id: String,
    data: Failures<'static>,
    ids: Vec<EventId>,
    items: Vec<usize>,
    bytes: usize,
}

fn messages(failures: BTreeMap<Place, (Failure<'static>, Vec<usize>)>) -> Vec<Message> {
    let (mut messages, mut filling) = (Vec::new(), None::<Filling>);
    for ((user_pool_id, reporter, client_id, reason, network, _), (failure, items)) in failures {
        let group = FailureGroup {
            client_id: client_id.map(Into::into),
            reason: Some(reason.into()),
            network: network.map(Into::into),
            failures: Vec::new(),
        };
        let is_of =
            |filling: &Filling| filling.user_pool_id == user_pool_id && filling.data.reported_by == reporter;
        // A group that has failures already costs its head no second time.
        let bytes = bytes(&failure) + bytes(&group);
        let mut current = match filling.take() {
            Some(filling) if is_of(&filling) && filling.has_room(bytes) => filling,
            full => {
                messages.extend(full.map(Filling::message));
                Filling {
                    user_pool_id,
                    data: Failures { reported_by: reporter, groups: Vec::new() },
                    ids: Vec::new(),
                    items: Vec::new(),
                    bytes: ENVELOPE_BYTES,
                }
            }
        };
        current.add(group, failure, items);
        filling = Some(current);
    }
    messages.extend(filling.map(Filling::message));
    messages
}

impl Filling {
    fn has_room(&self, bytes: usize) -> bool {
        self.ids.len() < FAILURES_MAX && self.bytes + bytes <= MESSAGE_MAX_BYTES
    }

    fn add(&mut self, group: FailureGroup<'static>, failure: Failure<'static>, items: Vec<usize>) {
        self.bytes += bytes(&failure);
        self.ids.push(failure.id);
        self.items.extend(items);
        let is_same = |other: &FailureGroup<'_>| {
            (&other.client_id, &other.reason, &other.network)
                == (&group.client_id, &group.reason, &group.network)
        };
        match self.data.groups.last_mut().filter(|last| is_same(last)) {
            Some(last) => last.failures.push(failure),
            None => {
                self.bytes += bytes(&group);
                self.data.groups.push(FailureGroup { failures: vec![failure], ..group });
            }
        }
    }

    /// The same failures are the same message, as of the latest of them.
    fn message(self) -> Message {
        let Self { user_pool_id, mut data, ids, items, bytes: _ } = self;
        data.bound();
        let at =
            ids.iter().max().map_or(cognito_user_sync_triggers::timestamp::Timestamp::MAX, |id| id.time());
        let all: String = ids.iter().map(EventId::to_string).collect();
        let id = record_id(at, data.reported_by, &all);
        let failures = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let event = FailuresEvent { id, user_pool_id: user_pool_id.into(), data };
        Message { body: Event::Failures(event).encode(), items, failures }
    }
}

/// The length of something in a list, as JSON.
fn bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len() + 1)
}

#[cfg(test)]
mod tests;
