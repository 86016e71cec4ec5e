//! A user of the pool, and the events that say what was read of one. Pure: must not know how the pool is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use cognito_user_sync_triggers::event::{Data, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

/// How much older than a change the pool's UserLastModifiedDate may be, and the answer is still of after it: CloudTrail's
/// times are whole seconds, and of when the call ended.
const AS_NEW_AS: Duration = Duration::from_secs(1);

/// A user as Cognito knows it. Its attributes are personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolUser {
    /// The user's id, which Cognito never reassigns.
    pub sub: Uuid,
    /// The user name.
    pub username: String,
    /// Such as `CONFIRMED` or `EXTERNAL_PROVIDER`.
    pub status: Option<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// `UserCreateDate`.
    pub created_at: Option<Timestamp>,
    /// `UserLastModifiedDate`.
    pub modified_at: Option<Timestamp>,
    /// The attributes without the `sub`.
    pub attributes: BTreeMap<String, String>,
}

impl PoolUser {
    /// Whether it may have been read from before a change that was made at `at`. An answer without
    /// UserLastModifiedDate may be of any time.
    #[must_use]
    pub fn lags_behind(&self, at: Timestamp) -> bool {
        let since = |modified: Timestamp| at.unix_millis().saturating_sub(modified.unix_millis());
        self.modified_at.is_none_or(|modified| u128::from(since(modified)) > AS_NEW_AS.as_millis())
    }

    /// When an answer to a request of `asked_at` is surely true, which is the time of its event. ListUsers may lag, so what
    /// it says may be of before what the table has learnt in the last moments: dated `settle` before the question, it changes
    /// nothing of that. It is no older than it says itself, and than the change that it was asked for, if there was one.
    #[must_use]
    pub fn true_at(&self, asked_at: Timestamp, settle: Duration, change: Option<Timestamp>) -> Timestamp {
        let settle = u64::try_from(settle.as_millis()).unwrap_or(u64::MAX);
        let settled = Timestamp::from_unix_millis(asked_at.unix_millis().saturating_sub(settle));
        Some(settled).max(self.modified_at).max(change).unwrap_or(settled).min(asked_at)
    }

    /// As [`Self::snapshot`], of a user who changed at `change`: if the answer may be of before that, what it lacks may
    /// only have been added since, and the event says that it is partial.
    #[must_use]
    pub fn snapshot_after(&self, change: Timestamp, user_pool_id: &str, at: Timestamp) -> UserEvent<'static> {
        let mut event = self.snapshot(user_pool_id, at);
        event.data.partial |= self.lags_behind(change);
        event
    }

    /// The event with what the pool returned, dated `at` (see [`Self::true_at`]): the whole user, if the answer says of when
    /// it is and all of it fits.
    #[must_use]
    pub fn snapshot(&self, user_pool_id: &str, at: Timestamp) -> UserEvent<'static> {
        let mut data = Data {
            user_name: Some(self.username.clone().into()),
            federated: self.status.as_deref() == Some("EXTERNAL_PROVIDER"),
            status: self.status.clone().map(Text::from),
            enabled: Some(self.enabled),
            created_at: self.created_at,
            partial: self.modified_at.is_none(),
            attributes: (self.attributes.clone().into_iter())
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            ..Data::default()
        };
        data.bound();
        let id = EventId::new(at);
        UserEvent {
            id,
            user_pool_id: user_pool_id.to_owned().into(),
            sub: self.sub,
            kind: Kind::Snapshot,
            data,
        }
    }
}

/// The event of a user's deletion from the pool, at `at` or before.
#[must_use]
pub fn deletion(user_pool_id: &str, sub: Uuid, at: Timestamp) -> UserEvent<'static> {
    let (id, user_pool_id) = (EventId::new(at), user_pool_id.to_owned().into());
    UserEvent { id, user_pool_id, sub, kind: Kind::Deleted, data: Data::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cognito_user_sync_triggers::event::ATTRIBUTE_VALUE_MAX_CHARS;

    const CHANGED_AT: u64 = 1_700_000_000_000;

    fn read(modified_at: Option<u64>) -> PoolUser {
        PoolUser {
            sub: Uuid::from_u128(7),
            username: "ada".to_owned(),
            status: Some("CONFIRMED".to_owned()),
            enabled: true,
            created_at: None,
            modified_at: modified_at.map(Timestamp::from_unix_millis),
            attributes: [("name".to_owned(), "Ada".to_owned())].into(),
        }
    }

    fn is_partial(user: &PoolUser) -> bool {
        let (change, asked_at) = (Timestamp::from_unix_millis(CHANGED_AT), Timestamp::now());
        user.snapshot_after(change, "eu-west-1_Test00000", asked_at).data.partial
    }

    #[test]
    fn an_answer_is_the_whole_user_unless_it_may_be_of_before_the_change() {
        for (modified_at, partial) in [
            (Some(CHANGED_AT), false),
            (Some(CHANGED_AT + 5_000), false),
            (Some(CHANGED_AT - 1_000), false),
            (Some(CHANGED_AT - 1_001), true),
            (Some(0), true),
            (None, true),
        ] {
            assert_eq!(is_partial(&read(modified_at)), partial, "{modified_at:?}");
        }
    }

    #[test]
    fn an_answer_is_dated_before_the_question_but_not_before_what_it_knows() {
        let settle = Duration::from_secs(60);
        for (modified_at, change, expected) in [
            (None, None, -60),
            (Some(-100), Some(-90), -60),
            (Some(-20), None, -20),
            (Some(-20), Some(-25), -20),
            (Some(-100), Some(-5), -5),
            (Some(5), None, 0),
            (Some(-100), Some(5), 0),
        ] {
            let at = |seconds: i64| CHANGED_AT.checked_add_signed(seconds * 1_000).unwrap();
            let user = read(modified_at.map(at));
            let change = change.map(at).map(Timestamp::from_unix_millis);
            let true_at = user.true_at(Timestamp::from_unix_millis(CHANGED_AT), settle, change);
            assert_eq!(true_at.unix_millis(), at(expected), "{modified_at:?} {change:?}");
        }
    }

    #[test]
    fn what_does_not_fit_into_the_contract_makes_it_partial() {
        let mut user = read(Some(CHANGED_AT));
        user.attributes.insert("custom:long".to_owned(), "x".repeat(ATTRIBUTE_VALUE_MAX_CHARS + 1));
        assert!(is_partial(&user));
        assert!(user.snapshot("eu-west-1_Test00000", Timestamp::now()).data.attributes.contains_key("name"));
    }

    #[test]
    fn who_changed_when_nobody_knows_is_read_whole_only_if_the_answer_says_of_when_it_is() {
        let whole = |user: &PoolUser| !user.snapshot("eu-west-1_Test00000", Timestamp::now()).data.partial;
        assert!(whole(&read(Some(0))) && !whole(&read(None)));
    }
}
