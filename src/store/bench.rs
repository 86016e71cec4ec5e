//! The pure parts of applying a batch, for `make bench-functions`. Behind the feature `dev`: nothing else may call them.

use std::hint::black_box;

use cognito_user_sync_triggers::event::UserEvent;

use crate::geoip::GeoIp;
use crate::store::model::columns::{COLUMNS, Owned, Since, UserRow, Values};
use crate::store::model::contexts::Contexts;
use crate::store::model::state::{Delta, UserState, fold};
use crate::store::model::{country, device};

/// What an event amounts to.
#[derive(Debug, Clone)]
pub struct Change(Delta);

impl Change {
    /// What one event amounts to.
    #[must_use]
    pub fn of(event: &UserEvent<'_>) -> Self {
        Self(Delta::of(event))
    }

    /// What both amount to.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.0.merge(other.0);
        self
    }
}

/// Folds events; returns how many users they are of.
#[must_use]
pub fn fold_events(events: &[UserEvent<'_>], geoip: &GeoIp) -> usize {
    black_box(fold(events, geoip)).len()
}

/// Returns a function that derives every column of an event's user.
pub fn derive_columns(event: &UserEvent<'_>) -> impl Fn() {
    let (state, sub) = (UserState::of(event), event.sub);
    let owned = Owned { email: Some("user0@example.com".to_owned()), ..Owned::default() };
    let contexts = Contexts::default();
    move || {
        let since = Since::default();
        let row =
            UserRow { id: sub, state: &state, owned: &owned, since, referred_by: None, contexts: &contexts };
        for column in COLUMNS {
            match column.values {
                Values::Text(value) => drop(black_box(value(black_box(&row)))),
                Values::Bool(value) => drop(black_box(value(black_box(&row)))),
                Values::BigInt(value) => drop(black_box(value(black_box(&row)))),
                Values::Date(value) => drop(black_box(value(black_box(&row)))),
                Values::Time(value) => drop(black_box(value(black_box(&row)))),
                Values::Uuid(value) => drop(black_box(value(black_box(&row)))),
            }
        }
    }
}

/// The class of a user agent's device.
#[must_use]
pub fn device(user_agent: &str) -> Option<&'static str> {
    device::Device::of_user_agent(user_agent).map(device::Device::as_str)
}

/// The country of a phone number.
#[must_use]
pub fn country(phone_number: &str) -> Option<String> {
    country::of_phone_number(phone_number)
}
