//! Four months of a made-up company, for `user-sync console-demo`: who is there, and every event that tells of them. Must
//! not know where the events go.

pub mod arrival;
mod people;
pub mod pool;

use std::collections::HashSet;

use cognito_user_sync_triggers::event::{
    Context, ContextEvent, Event, EventId, Failure, FailureGroup, Failures, FailuresEvent, GroupChange,
    GroupEvent, Kind, Reporter,
};
use cognito_user_sync_triggers::timestamp::Timestamp;
use fastrand::Rng;
use uuid::Uuid;

pub use self::people::Person;
use self::people::{CLIENTS, DEVICES, weighted};

/// The user pool.
pub const POOL: &str = "eu-west-1_DemoPool1";
/// What its triggers call.
pub const TRIGGER: &str = "arn:aws:lambda:eu-west-1:111122223333:function:user-sync-trigger";
/// A day, in milliseconds.
const DAY: u64 = 86_400_000;
/// How long the history is, in days.
const DAYS: u64 = 120;
/// Of a hundred parts of a working day, how many sign-ins each hour has.
const HOURS: [u32; 24] = [1, 0, 0, 0, 0, 1, 2, 5, 10, 13, 10, 7, 6, 8, 8, 7, 5, 4, 3, 3, 3, 2, 1, 1];
/// What others recorded of sign-ins, in the last days.
const RECORDED_DAYS: u64 = 3;
/// Failures that a message has room for.
const FAILURES_A_MESSAGE: usize = 100;

/// Whether the day after so many since 1970, which began on a Thursday, is a Saturday or a Sunday.
fn is_weekend(day: u64) -> bool {
    matches!((day + 3) % 7, 5 | 6)
}

/// The company, and what happened.
#[derive(Debug, Default)]
pub struct Company {
    /// Everybody, in the order in which they came.
    pub people: Vec<Person>,
    /// What happened, in the order in which it arrives.
    pub events: Vec<Event<'static>>,
    /// What arrives long after it happened.
    pub late: HashSet<Uuid>,
    /// Who asked to be forgotten.
    pub forgotten: Vec<Uuid>,
}

impl Company {
    /// So many people, up to this moment.
    #[must_use]
    pub fn of(users: usize, now: Timestamp, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut company = Self::default();
        let begin = now.unix_millis().saturating_sub(DAYS * DAY);
        for number in 0..users {
            // More come the longer it goes on, and on working days rather.
            let mut joins = 0;
            for _ in 0..3 {
                let share = random.f64().max(0.02).sqrt();
                let millis = std::time::Duration::from_millis(DAYS * DAY).mul_f64(share).as_millis();
                joins = begin + u64::try_from(millis).unwrap_or(0);
                if !is_weekend(joins / DAY) {
                    break;
                }
            }
            let person = Person::new(number, Timestamp::from_unix_millis(joins), &mut random);
            company.lives(&person, now, &mut random);
            company.people.push(person);
        }
        company.fail(now, &mut random);
        company.events.sort_by_key(|event| event.id().uuid());
        // SQS delivers at least once: some twice, and some out of order.
        let twice: Vec<_> = company.events.iter().step_by(97).cloned().collect();
        company.events.extend(twice);
        company
    }

    fn lives(&mut self, person: &Person, now: Timestamp, random: &mut Rng) {
        if person.is_missing {
            return;
        }
        let after = |millis: u64| Timestamp::from_unix_millis(person.joins.unix_millis() + millis);
        let first = if person.comes_in() { Kind::Confirmed } else { Kind::Snapshot };
        self.events.push(Event::User(person.event(first, person.joins)));
        for group in person.groups() {
            self.join(person, group, GroupChange::Joined(person.sub), after(random.u64(1_000..90_000)));
        }
        for day in 0..=person.days_until(now) {
            self.day(person, day, now, random);
        }
        let end = |random: &mut Rng| {
            Timestamp::from_unix_millis(now.unix_millis() - random.u64(3_600_000..5 * DAY))
        };
        if person.is_disabled {
            self.events.push(Event::User(person.event(Kind::Snapshot, end(random))));
        }
        match person.number % 137 {
            20 => self.events.push(Event::User(person.event(Kind::Deleted, end(random)))),
            60 => self.forgotten.push(person.sub),
            90 => self.join(person, "customers", GroupChange::Left(person.sub), end(random)),
            100 => self.events.push(Event::User(person.event(Kind::PasswordReset, end(random)))),
            _ => {}
        }
    }

    fn join(&mut self, person: &Person, group: &'static str, change: GroupChange, at: Timestamp) {
        if at <= Timestamp::now() && at >= person.joins {
            let id = EventId::new(at);
            self.events.push(Event::Group(GroupEvent {
                id,
                user_pool_id: POOL.into(),
                group: group.into(),
                change,
            }));
        }
    }

    /// The sign-ins of the day after so many others.
    fn day(&mut self, person: &Person, day: u64, now: Timestamp, random: &mut Rng) {
        let midnight = (person.joins.unix_millis() / DAY + day) * DAY;
        let eagerness = person.eagerness * if is_weekend(midnight / DAY) { 0.25 } else { 1.0 };
        // Whoever signs up comes in at once, and some never come again.
        let lasts = day < 4 || !person.number.is_multiple_of(5);
        let mut times = Vec::new();
        if day == 0 && person.comes_in() && !person.number.is_multiple_of(13) {
            times.push(person.joins.unix_millis() + random.u64(4_000..600_000));
        }
        for _ in 0..2 {
            if lasts && person.comes_in() && random.f64() < eagerness / 2.0 {
                let hours: [(usize, u32); 24] =
                    std::array::from_fn(|hour| (hour, HOURS.get(hour).copied().unwrap_or(0)));
                let hour = weighted(random, &hours).and_then(|hour| i64::try_from(hour).ok()).unwrap_or(9);
                let hour = u64::try_from((hour + person.behind).rem_euclid(24)).unwrap_or(9);
                times.push(midnight + hour * 3_600_000 + random.u64(0..3_600_000));
            }
        }
        times.retain(|at| *at > person.joins.unix_millis() && *at < now.unix_millis());
        for at in times {
            let at = Timestamp::from_unix_millis(at);
            let event = person.signs_in(at, random);
            self.record(&event, person, now, random);
            if random.u32(0..400) == 0 {
                self.late.insert(event.id().uuid());
            }
            self.events.push(event);
        }
    }

    /// What others recorded of a sign-in: in the last days, and not of everybody.
    fn record(&mut self, login: &Event<'static>, person: &Person, now: Timestamp, random: &mut Rng) {
        let at = login.id().time();
        let Event::User(login) = login else { return };
        if now.unix_millis() - at.unix_millis() > RECORDED_DAYS * DAY || person.is_federated {
            return;
        }
        let time = Timestamp::from_unix_millis(at.unix_millis() / 1_000 * 1_000);
        let data = Context {
            client_id: login.data.client_id.clone(),
            ip: login.data.client.ip.clone(),
            user_agent: login.data.client.user_agent.clone(),
            country: Some(person.country.into()),
            flow: Some("USER_SRP_AUTH".into()),
            ..Context::by(Reporter::CloudTrail)
        };
        let id = EventId::of_record(time, random.u128(..));
        self.events.push(Event::Context(ContextEvent {
            id,
            user_pool_id: POOL.into(),
            sub: Some(person.sub),
            data,
        }));
    }

    /// Failed sign-ins: some a day, and an attack one evening.
    fn fail(&mut self, now: Timestamp, random: &mut Rng) {
        const REASONS: [(&str, u32); 4] =
            [("wrong_password", 12), ("no_such_user", 3), ("wrong_code", 2), ("not_confirmed", 1)];
        let begin = now.unix_millis().saturating_sub(30 * DAY);
        let attack = now.unix_millis().saturating_sub(3 * DAY) / DAY * DAY + 20 * 3_600_000;
        let mut groups = Vec::new();
        for number in 0..900_u32 {
            let is_attack = number < 260;
            let at = if is_attack {
                attack + random.u64(0..3_600_000)
            } else {
                random.u64(begin..now.unix_millis())
            };
            let network =
                if is_attack { "192.0.2".to_owned() } else { format!("203.0.{}", random.u8(100..130)) };
            let whom = random.usize(0..self.people.len().max(1));
            let sub = self
                .people
                .get(whom)
                .filter(|person| person.joins.unix_millis() < at)
                .map(|person| person.sub);
            let failure = Failure {
                id: EventId::of_record(Timestamp::from_unix_millis(at), random.u128(..)),
                sub,
                ip: Some(format!("{network}.{}", random.u8(1..255)).into()),
                user_agent: None,
                city: None,
                country: None,
            };
            groups.push(FailureGroup {
                client_id: weighted(random, &CLIENTS).map(Into::into),
                reason: weighted(random, &REASONS).map(Into::into),
                network: Some(format!("{network}.0/24").into()),
                failures: vec![failure],
            });
        }
        for groups in groups.chunks(FAILURES_A_MESSAGE) {
            let latest =
                groups.iter().flat_map(|group| &group.failures).map(|failure| failure.id.time()).max();
            let id = EventId::of_record(latest.unwrap_or(now), random.u128(..));
            let data = Failures { reported_by: Reporter::CloudTrail, groups: groups.to_vec() };
            self.events.push(Event::Failures(FailuresEvent { id, user_pool_id: POOL.into(), data }));
        }
    }
}

impl Person {
    /// A sign-in of theirs.
    #[must_use]
    pub fn signs_in(&self, at: Timestamp, random: &mut Rng) -> Event<'static> {
        let mut event = self.event(Kind::Authenticated, at);
        let devices = DEVICES.map(|(device, agent, weight)| ((device, agent), weight));
        let (device, agent) = weighted(random, &devices).unwrap_or(("Desktop", ""));
        event.data.client_id = weighted(random, &CLIENTS).map(Into::into);
        // Not every client says where it is.
        if !random.u32(..).is_multiple_of(5) {
            event.data.client.ip = Some(format!("198.51.100.{}", 1 + self.number % 250).into());
            event.data.client.user_agent = Some(agent.into());
            event.data.client.device = Some(device.into());
            event.data.client.location = Some(self.country.into());
        }
        Event::User(event)
    }

    /// Whether they may come in now.
    #[must_use]
    pub fn may_sign_in(&self) -> bool {
        let leaves = [20, 60].contains(&(self.number % 137));
        self.comes_in() && !(self.is_disabled || self.is_missing || self.is_gone() || leaves)
    }
}
