//! One user's history, and where each value of the row comes from, as data. Personal data: for the operator's eyes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use cognito_user_sync_triggers::event::{ContextEvent, EventId, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::{Database, Purpose, Transaction};
use crate::store::maintenance::groups::differences_of_users;
use crate::store::maintenance::verify::{Difference, compare, expected};
use crate::store::maintenance::{contexts, origins};
use crate::store::model::claims::IdentifierKind;
use crate::store::model::identities;
use crate::store::model::state::{Delta, Register, UserState};
use crate::store::model::user::StoredUser;
use crate::store::tables::failure::StoreError;
use crate::store::tables::{context_history, groups, history, users};

/// What is known of one user.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What the ledgers and the baselines hold, in the order of the ids.
    pub history: Vec<Entry>,
    /// What that amounts to; `None` where there is no history.
    pub outcome: Option<Outcome>,
    /// The groups that the user is or was in, by name: of them a history may tell without a row.
    pub groups: Vec<Group>,
    /// Where these differ from the history.
    pub group_differences: Vec<Difference>,
    /// The contexts that are kept: of them a history may tell without a row, too.
    pub contexts: Vec<Recorded>,
    /// Where what is stored of them differs from the history.
    pub context_differences: Vec<Difference>,
}

/// A context that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Who recorded it.
    pub by: &'static str,
    /// Its id.
    pub id: EventId,
    /// Whether it is one of the last login, by its time and its client.
    pub is_of_last_login: bool,
}

/// What is known of a user in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group's name.
    pub name: String,
    /// When the user joined it, or left it.
    pub at: Timestamp,
    /// Whether the user left it.
    pub gone: bool,
    /// When the group was last deleted, if that is not before the user joined.
    pub deleted_at: Option<Timestamp>,
}

/// A part of the history.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Events of months that were folded and dropped.
    Baseline,
    /// An event of the ledger.
    Event {
        /// The event.
        event: Box<UserEvent<'static>>,
        /// When it was recorded.
        recorded_at: Timestamp,
    },
    /// An event of the ledger that tells of a group.
    Group {
        /// The event's id.
        id: EventId,
        /// Its type.
        r#type: String,
        /// The group's name, unless the user is erased.
        group: Option<String>,
        /// When it was recorded.
        recorded_at: Timestamp,
    },
    /// Contexts of months that were folded and dropped.
    ContextBaseline,
    /// A context of its ledger.
    Context {
        /// The context.
        event: Box<ContextEvent<'static>>,
        /// When it was recorded.
        recorded_at: Timestamp,
    },
}

/// What a history amounts to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Values, each with where it comes from.
    pub values: Vec<Value>,
    /// The addresses that the user holds.
    pub addresses: Vec<Address>,
    /// Where the row differs from the history.
    pub differences: Vec<Difference>,
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// A Cognito attribute, or a column.
    pub name: String,
    /// The value.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The newest event that reported it.
    Newest {
        /// The event.
        event: EventId,
        /// The verified flag that came with it.
        flag: Option<String>,
    },
    /// It is gone: the value is the last one.
    Gone {
        /// The newest event that reported it.
        event: EventId,
        /// The first snapshot of the whole user after that, which had it no more.
        snapshot: EventId,
    },
    /// The number of logins.
    Logins {
        /// Distinct `user.authenticated`.
        authentications: u64,
        /// Whether a federated confirmation counts as one more.
        federated: bool,
    },
    /// The login with the greatest id.
    LatestLogin(EventId),
    /// What others recorded of the last login: these contexts, of one reporter, say this and nothing else.
    Reported {
        /// Who recorded it.
        by: &'static str,
        /// The contexts.
        contexts: Vec<EventId>,
    },
    /// Who said the address of the last login; where nobody did, the device; else the place.
    WhoSaidIt,
    /// The confirmation with the smallest id.
    FirstConfirmation(EventId),
    /// The record of a sign-up with the smallest id, of those that have an address.
    FirstSignUpRecord(EventId),
    /// The newest snapshot that says whether the user is enabled.
    Snapshot(Timestamp),
    /// The first deletion: there was no restoration.
    FirstDeletion,
    /// The latest deletion, after the latest restoration.
    LatestDeletion,
    /// The latest restoration.
    LatestRestoration,
    /// The earliest event, or the `UserCreateDate` of a snapshot.
    Earliest,
    /// The latest event.
    Latest,
}

/// An address that a user holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `email` or `phone`.
    pub kind: &'static str,
    /// The address, as it is compared.
    pub value: String,
    /// Whether it is verified now.
    pub verified: bool,
    /// Since when it has been verified, if it ever was.
    pub since: Option<Timestamp>,
    /// When it was first shown.
    pub shown: Option<Timestamp>,
    /// When the user last showed another one, or none.
    pub left: Option<Timestamp>,
    /// Whether the user owns it: else another user does, or this one is deleted.
    pub is_owned: bool,
}

/// Explains one user.
///
/// # Errors
/// When the database cannot be read.
pub async fn explain(database: &Database, geoip: &GeoIp, user: Uuid) -> Result<Explanation, StoreError> {
    let failed = StoreError::when("reading the user's history");
    let mut tx = database.begin(Purpose::Snapshot).await.map_err(&failed)?;
    let rows = history::rows_of_user(&mut tx, user).await.map_err(&failed)?;
    explain_rows(&mut tx, geoip, user, &rows).await.map_err(&failed)
}

/// Explains one user by the rows of its history, which were read in the same snapshot.
pub(in crate::store) async fn explain_rows(
    tx: &mut Transaction,
    geoip: &GeoIp,
    user: Uuid,
    rows: &[PgRow],
) -> Result<Explanation, sqlx::Error> {
    let history = rows.iter().map(entry).collect::<Result<_, _>>()?;
    let parts = rows.iter().map(of_the_user).filter_map(Result::transpose);
    let parts: Vec<(Uuid, Delta)> = parts.collect::<Result<_, _>>()?;
    let mut told = history::folded(rows)?;
    let mut differences = compare(tx, &mut told, geoip).await?;
    let kept = context_history::states(tx, &[user]).await?;
    differences.extend(contexts::surplus_of(user, told.get(&user), &kept));
    let (context_differences, differences) =
        differences.into_iter().partition(|difference| difference.column == contexts::STATES);
    let stored = users::read(tx, &[user]).await?;
    let expected = expected(&told, &stored, geoip).pop();
    let told = told.remove(&user).unwrap_or_default();
    let outcome = expected.as_ref().zip(told.delta.as_ref()).map(|(expected, delta)| Outcome {
        values: gone(&parts, &delta.state)
            .chain(values(&delta.state))
            .chain(origins::values(&expected.state, &expected.contexts))
            .collect(),
        addresses: addresses(delta, stored.get(&user)),
        differences,
    });
    let login = expected.as_ref().and_then(|user| user.state.last_login.as_ref());
    let contexts = origins::kept(login, &told.contexts.unwrap_or_default());
    let groups = groups::of_user(tx, user).await?.into_iter().map(group).collect();
    let group_differences = differences_of_users(tx, Some(&[user])).await?;
    Ok(Explanation { history, outcome, groups, group_differences, contexts, context_differences })
}

/// What a row of the history says of the user: nothing, where it is of a group or of contexts.
fn of_the_user(row: &PgRow) -> Result<Option<(Uuid, Delta)>, sqlx::Error> {
    let told = history::told(row)?;
    Ok(told.and_then(|(user, told)| Some((user, told.delta?))))
}

fn group(groups::Known { name, at, gone, cleared_at }: groups::Known) -> Group {
    Group { name, at, gone, deleted_at: cleared_at.filter(|cleared_at| *cleared_at >= at) }
}

fn entry(row: &PgRow) -> Result<Entry, sqlx::Error> {
    let is_context = history::is_context(row)?;
    if row.try_get::<Option<Uuid>, _>("id")?.is_none() {
        return Ok(if is_context { Entry::ContextBaseline } else { Entry::Baseline });
    }
    let recorded_at = Timestamp::from(row.try_get::<OffsetDateTime, _>("recorded_at")?);
    if is_context {
        return Ok(Entry::Context { event: Box::new(history::context(row)?), recorded_at });
    }
    if history::is_of_group(row)? {
        let id = EventId::from_uuid(row.try_get("id")?).map_err(|_| users::corrupt("user_events.id"))?;
        let data: sqlx::types::Json<std::collections::BTreeMap<String, String>> = row.try_get("data")?;
        let (r#type, group) = (row.try_get("type")?, data.get("group").cloned());
        return Ok(Entry::Group { id, r#type, group, recorded_at });
    }
    Ok(Entry::Event { event: Box::new(history::event(row)?), recorded_at })
}

/// Attributes that a history told of and that the user has no more: the last value of each.
fn gone<'a>(parts: &'a [(Uuid, Delta)], state: &'a UserState) -> impl Iterator<Item = Value> + 'a {
    let mut last = BTreeMap::<&str, &Register>::new();
    for (name, register) in parts.iter().flat_map(|(_, part)| &part.state.registers) {
        let known = last.entry(name).or_insert(register);
        if known.version < register.version {
            *known = register;
        }
    }
    let snapshots: BTreeSet<EventId> = parts.iter().filter_map(|(_, part)| part.state.whole).collect();
    let is_gone = |name: &str| !state.registers.contains_key(name);
    last.into_iter().filter(move |(name, _)| is_gone(name)).filter_map(move |(name, last)| {
        let event = last.version;
        let snapshot = *snapshots.range((Bound::Excluded(event), Bound::Unbounded)).next()?;
        let source = Source::Gone { event, snapshot };
        Some(Value { name: name.to_owned(), value: last.value.clone(), source })
    })
}

fn values(state: &UserState) -> Vec<Value> {
    let value = |name: &str, value: String, source| Value { name: name.to_owned(), value, source };
    let registers = state.registers.iter().map(|(name, register)| {
        let source = Source::Newest { event: register.version, flag: register.flag.clone() };
        value(name, register.value.clone(), source)
    });
    let logins = Source::Logins { authentications: state.authentications, federated: state.federated_login };
    let login = state.last_login.as_ref().map(|login| login.id);
    let sign_up = state.sign_up.as_ref().map(|sign_up| sign_up.id);
    let restored_at = state.deletions.restored_at();
    let deletion = if restored_at.is_some() { Source::LatestDeletion } else { Source::FirstDeletion };
    let of_event = |name, id: Option<EventId>, source: fn(EventId) -> Source| {
        id.map(|id| value(name, id.time().to_string(), source(id)))
    };
    let identities = state.registers.get("identities").and_then(|register| {
        let source = Source::Newest { event: register.version, flag: None };
        Some(value("cognito_identities", identities::normalized(&register.value)?, source))
    });
    registers
        .chain(identities)
        .chain([value("login_count", state.login_count().to_string(), logins)])
        .chain(of_event("last_login_at", login, Source::LatestLogin))
        .chain(of_event("confirmed_at", sign_up, Source::FirstConfirmation))
        .chain(
            state
                .disabled
                .map(|(time, disabled)| value("enabled", (!disabled).to_string(), Source::Snapshot(time))),
        )
        .chain(state.deleted_at().map(|time| value("deleted_at", time.to_string(), deletion)))
        .chain(restored_at.map(|time| value("restored_at", time.to_string(), Source::LatestRestoration)))
        .chain([value("created_at", state.created_at.to_string(), Source::Earliest)])
        .chain([value("synced_at", state.synced_at.to_string(), Source::Latest)])
        .collect()
}

fn addresses(delta: &Delta, stored: Option<&StoredUser>) -> Vec<Address> {
    let address = |kind: IdentifierKind| {
        let (identifier, verified) = delta.state.identifier(kind)?;
        let claim = delta.claims.get(&identifier);
        Some(Address {
            kind: kind.as_str(),
            since: claim.and_then(|claim| claim.since),
            shown: claim.and_then(|claim| claim.shown),
            left: delta.state.left(kind),
            value: identifier.value,
            verified,
            is_owned: stored.and_then(|user| user.owned.get(kind)).is_some(),
        })
    };
    IdentifierKind::ALL.into_iter().filter_map(address).collect()
}
