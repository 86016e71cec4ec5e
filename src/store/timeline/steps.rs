//! What each event of a history changed, by the fold of those before it. Must not know what of it is shown to whom.

use cognito_user_sync_triggers::event::{GroupChange, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::model::state::{
    Delta, RESERVED, STATUS, USER_POOL_ID, USERNAME, UserState, flag_of, is_true, reported,
};
use crate::store::tables::history;
use crate::store::timeline::{Show, What};

/// How long after it happened an event counts as late: SQS and the records of AWS take minutes.
const LATE_MILLIS: u64 = 15 * 60 * 1_000;

/// A value that an event changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// A Cognito attribute, or `status`, `user_name`, `user_pool_id`, `enabled`, `deleted`.
    pub name: String,
    /// The value before; `None` is none.
    pub was: Option<String>,
    /// The value after; `None` is none.
    pub is: Option<String>,
}

/// Of which rows a step's details are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    History(usize),
    Failures(usize),
    /// The user's row.
    Row,
}

/// An entry, before its details are read.
pub(super) struct Step {
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
    pub(super) recorded_at: Option<Timestamp>,
    pub(super) source: Source,
    pub(super) changes: Vec<Change>,
    pub(super) is_overtaken: bool,
    pub(super) is_login: bool,
    /// Whether it is of a sign-in, a login or what others recorded of one.
    is_of_sign_in: bool,
    is_deletion: bool,
    pub(super) nth: Option<u64>,
}

/// What a history amounts to, step by step.
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// Whether there is a baseline, and the sign-ins that it stands for.
    pub(super) folded: Option<u64>,
}

impl Step {
    fn new(id: Uuid, source: Source) -> Self {
        let at = Timestamp::from_unix_millis(u64::try_from(id.as_u128() >> 80).unwrap_or(0));
        Self {
            id,
            at,
            recorded_at: None,
            source,
            changes: Vec::new(),
            is_overtaken: false,
            is_login: false,
            is_of_sign_in: false,
            is_deletion: false,
            nth: None,
        }
    }

    pub(super) fn of_failure(at: usize, row: &PgRow) -> Result<Self, sqlx::Error> {
        let step = Self::new(row.try_get("id")?, Source::Failures(at));
        Ok(Self { is_of_sign_in: true, ..step })
    }

    /// The application's latest edit, at its place among the ids.
    pub(super) fn of_edit(at: Timestamp) -> Self {
        Self::new(Uuid::from_u128(u128::from(at.unix_millis()) << 80), Source::Row)
    }

    /// Whether it was recorded long after it happened.
    pub(super) fn is_late(&self) -> bool {
        let after = |recorded_at: Timestamp| recorded_at.unix_millis().saturating_sub(self.at.unix_millis());
        self.recorded_at.is_some_and(|recorded_at| after(recorded_at) >= LATE_MILLIS)
    }

    pub(super) fn is_shown(&self, show: Show) -> bool {
        let is_failure = matches!(self.source, Source::Failures(_));
        match show {
            Show::All => true,
            Show::Changes => !self.changes.is_empty() || self.source == Source::Row,
            Show::SignIns => self.is_of_sign_in,
            Show::Trouble => is_failure || self.is_deletion || self.is_late(),
        }
    }
}

/// The steps of a history's rows, which are in the order of the ids, baselines first.
pub(super) fn steps(rows: &[PgRow], is_whole: bool) -> Result<Steps, sqlx::Error> {
    let mut state: Option<UserState> = None;
    let (mut steps, mut folded) = (Vec::with_capacity(rows.len()), None);
    for (at, row) in rows.iter().enumerate() {
        let is_context = history::is_context(row)?;
        let Some(id) = row.try_get::<Option<Uuid>, _>("id")? else {
            if !is_context {
                let (_, baseline) = history::read(row)?;
                folded = Some(baseline.state.login_count());
                state = Some(baseline.state);
            }
            continue;
        };
        let mut step = Step::new(id, Source::History(at));
        step.recorded_at = Some(row.try_get::<OffsetDateTime, _>("recorded_at")?.into());
        if is_context {
            step.is_of_sign_in = true;
        } else if !history::is_of_group(row)? {
            let event = history::event(row)?;
            step.changes = changes(state.as_ref(), &event, is_whole);
            step.is_deletion = matches!(event.kind, Kind::Deleted | Kind::Restored);
            step.is_login =
                event.kind == Kind::Authenticated || event.kind == Kind::Confirmed && event.data.federated;
            step.is_of_sign_in = step.is_login;
            let before = state.as_ref().map_or(0, UserState::login_count);
            let told = Delta::of(&event).state;
            match &mut state {
                Some(state) => state.merge(told),
                None => state = Some(told),
            }
            let count = state.as_ref().map_or(0, UserState::login_count);
            step.nth = (is_whole && count > before).then_some(count);
        }
        steps.push(step);
    }
    mark_overtaken(&mut steps);
    Ok(Steps { steps, folded })
}

/// Marks what was recorded after something later, going back from the latest.
fn mark_overtaken(steps: &mut [Step]) {
    let mut earliest: Option<Timestamp> = None;
    for step in steps.iter_mut().rev().filter(|step| step.recorded_at.is_some()) {
        step.is_overtaken = earliest < step.recorded_at && earliest.is_some();
        earliest = crate::store::model::state::least(earliest, step.recorded_at);
    }
}

/// What an event says that what came before it does not. Of a history that is not read whole, what is not known is no news:
/// nearly every event tells everything again.
fn changes(state: Option<&UserState>, event: &UserEvent<'_>, is_whole: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |name: &str, was: Option<String>, is: Option<&str>| {
        if was.as_deref() != is && (was.is_some() || is_whole) {
            changes.push(Change { name: name.to_owned(), was, is: is.map(str::to_owned) });
        }
    };
    let mut named = Vec::new();
    for (name, value, flag) in reported(event) {
        named.push(name);
        let register = state.and_then(|state| state.registers.get(name));
        note(shown(name), register.map(|own| own.value.clone()), Some(value));
        if let Some(name) = flag_of(name) {
            let was = register.map(|own| is_true(own.flag.as_deref()).to_string());
            note(name, was, Some(&is_true(flag).to_string()));
        }
    }
    if event.kind == Kind::Snapshot && !event.data.partial {
        let gone = state.iter().flat_map(|state| &state.registers);
        let is_gone = |name: &str| !RESERVED.contains(&name) && !named.contains(&name);
        gone.filter(|(name, _)| is_gone(name))
            .for_each(|(name, own)| note(name, Some(own.value.clone()), None));
    }
    if let Some(enabled) = event.data.enabled {
        let was = state.and_then(|state| state.disabled).map(|(_, disabled)| !disabled);
        // Who was never read counts as enabled.
        let was = was.or(is_whole.then_some(true)).map(|was| was.to_string());
        note("enabled", was, Some(&enabled.to_string()));
    }
    let was_deleted = state.is_some_and(|state| state.deleted_at().is_some()).to_string();
    match event.kind {
        Kind::Deleted => note("deleted", Some(was_deleted), Some("true")),
        Kind::Restored => note("deleted", Some(was_deleted), Some("false")),
        Kind::Confirmed | Kind::Authenticated | Kind::PasswordReset | Kind::Snapshot => {}
    }
    changes
}

/// A register's name for people.
fn shown(name: &str) -> &str {
    match name {
        STATUS => "status",
        USERNAME => "user_name",
        USER_POOL_ID => "user_pool_id",
        attribute => attribute,
    }
}

pub(super) fn of_event(event: &UserEvent<'_>) -> What {
    match event.kind {
        Kind::Confirmed => What::Confirmed { federated: event.data.federated },
        Kind::Authenticated => What::SignedIn,
        Kind::PasswordReset => What::PasswordReset,
        Kind::Snapshot => What::ReadBack { partial: event.data.partial },
        Kind::Deleted => What::Deleted,
        Kind::Restored => What::Restored,
    }
}

pub(super) fn of_group(row: &PgRow) -> Result<What, sqlx::Error> {
    let data: Json<std::collections::BTreeMap<String, String>> = row.try_get("data")?;
    let group = data.0.get("group").cloned();
    let r#type: &str = row.try_get("type")?;
    let joined = GroupChange::Joined(Uuid::nil()).as_str();
    Ok(if r#type == joined { What::Joined(group) } else { What::Left(group) })
}
