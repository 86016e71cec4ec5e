//! Events to apply, made by hand.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cognito_user_sync_triggers::event::{Data, Event, EventId, GroupChange, GroupEvent, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

/// A moment of today: `seconds` after a fixed one that every ledger takes.
pub fn at(seconds: u64) -> Timestamp {
    /// The same for all of a run, which may go on past midnight.
    static YESTERDAY: LazyLock<u64> = LazyLock::new(|| {
        let day = 86_400_000;
        Timestamp::now().unix_millis() / day * day - day
    });
    Timestamp::from_unix_millis(*YESTERDAY + seconds * 1_000)
}

/// A user by number.
pub fn sub(number: u128) -> Uuid {
    uuid::Builder::from_random_bytes((number * 0x1234_5678_9abc_def1).to_be_bytes()).into_uuid()
}

/// An event to be completed.
pub fn event(kind: Kind, user: u128, time: Timestamp) -> EventBuilder {
    EventBuilder(UserEvent {
        id: EventId::new(time),
        user_pool_id: "eu-west-1_Test00000".into(),
        sub: sub(user),
        kind,
        data: Data::default(),
    })
}

pub fn login(user: u128, time: Timestamp) -> EventBuilder {
    event(Kind::Authenticated, user, time)
}

pub fn confirmed(user: u128, time: Timestamp) -> EventBuilder {
    event(Kind::Confirmed, user, time)
}

/// Something that happened to a group of the user pool that the other events are of.
pub fn group(name: &str, change: GroupChange, time: Timestamp) -> GroupEvent<'static> {
    let (user_pool_id, group) = ("eu-west-1_Test00000".into(), name.to_owned().into());
    GroupEvent { id: EventId::new(time), user_pool_id, group, change }
}

/// Builds one event.
#[derive(Debug, Clone)]
pub struct EventBuilder(UserEvent<'static>);

impl EventBuilder {
    pub fn with(mut self, change: impl FnOnce(&mut Data<'static>)) -> Self {
        change(&mut self.0.data);
        self
    }

    pub fn attributes(self, attributes: &[(&str, &str)]) -> Self {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into()));
        self.with(|data| data.attributes.extend(attributes.collect::<BTreeMap<_, _>>()))
    }

    /// An id whose random part is the test's own, so that a seed tells the whole history.
    pub fn random_part(mut self, random: u128) -> Self {
        let bytes: [u8; 10] = std::array::from_fn(|index| random.to_be_bytes()[index]);
        let id =
            uuid::Builder::from_unix_timestamp_millis(self.0.id.time().unix_millis(), &bytes).into_uuid();
        self.0.id = EventId::from_uuid(id).expect("a UUIDv7");
        self
    }

    /// In another user pool.
    pub fn pool(mut self, user_pool_id: &str) -> Self {
        self.0.user_pool_id = user_pool_id.to_owned().into();
        self
    }

    /// A verified e-mail address.
    pub fn email(self, address: &str) -> Self {
        self.attributes(&[("email", address), ("email_verified", "true")])
    }

    pub fn build(self) -> Event<'static> {
        Event::User(self.0)
    }
}

/// So many sign-ups and logins, in any order of time, of users below `users` who report `addresses` addresses.
pub fn random_events(
    random: &mut fastrand::Rng,
    events: u64,
    users: u64,
    addresses: u8,
) -> Vec<Event<'static>> {
    let mut event = || {
        let (user, time) = (u128::from(random.u64(0..users)), at(random.u64(0..80_000)));
        let address = format!("{}@example.com", random.u8(0..addresses));
        match random.u8(0..4) {
            0 => confirmed(user, time).email(&address),
            1 => login(user, time).email(&address),
            _ => login(user, time),
        }
        .random_part(random.u128(..))
        .build()
    };
    (0..events).map(|_| event()).collect()
}
