//! Why each value of a user's row is what it is, in words. Must not decide who sees a value, only which are personal.

use cognito_user_sync_triggers::event::EventId;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::console::users::short;
use crate::console::words;
use crate::store::directory::Row;
use crate::store::maintenance::explain::{Address, Explanation, Source, Value};

/// A value, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// There is one, which is not shown.
    Masked,
    /// Others chose it.
    Text(String),
    /// There is none.
    Empty,
}

impl Shown {
    /// `value`, unless it is personal and masked.
    pub(super) fn of(value: Option<&str>, is_personal: bool, is_revealed: bool) -> Self {
        match value {
            None | Some("") => Self::Empty,
            Some(_) if is_personal && !is_revealed => Self::Masked,
            Some(text) => Self::Text(text.to_owned()),
        }
    }
}

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Plain(String),
    Bold(&'static str),
    Code(String),
    /// What leads to an event of the timeline.
    Event {
        id: Uuid,
        at: String,
    },
    /// What leads to a user.
    User(Uuid),
}

/// A column, its value, and where that comes from.
pub(super) struct Reason {
    pub(super) column: &'static str,
    pub(super) value: Shown,
    pub(super) mark: &'static str,
    pub(super) because: Vec<Part>,
}

/// The columns that are explained: whether they are personal, whether one without a value is shown, and what of Cognito's they
/// are made of, the first that there is.
const COLUMNS: [(&str, bool, bool, &[&str]); 29] = [
    ("name", true, true, &["name", "given_name", "family_name", "preferred_username", "nickname"]),
    ("first_name", true, false, &["given_name"]),
    ("last_name", true, false, &["family_name"]),
    ("email", true, true, &["email"]),
    ("phone_number", true, true, &["phone_number"]),
    ("date_of_birth", true, false, &["birthdate"]),
    ("gender", true, false, &["gender"]),
    ("profile_picture_url", true, false, &["picture"]),
    ("timezone", true, false, &["zoneinfo"]),
    ("language", true, true, &["locale"]),
    ("country_code", true, true, &["locale", "phone_number"]),
    ("cognito_username", true, true, &["cognito:username"]),
    ("cognito_status", false, true, &["cognito:user_status"]),
    ("user_pool_id", false, true, &["cognito:user_pool_id"]),
    ("enabled", false, true, &["enabled"]),
    ("login_count", false, true, &["login_count"]),
    ("last_login_at", false, true, &["last_login_at"]),
    ("last_login_device", false, true, &["last_login_device"]),
    ("last_login_ip", true, true, &["last_login_ip"]),
    ("last_login_location", true, true, &["last_login_location"]),
    ("last_login_client_id", false, false, &[]),
    ("confirmed_at", false, true, &["confirmed_at"]),
    ("created_at", false, true, &["created_at"]),
    ("created_ip", true, false, &["created_ip"]),
    ("referral_code", true, false, &[]),
    ("referred_by", false, false, &[]),
    ("deleted_at", false, false, &["deleted_at"]),
    ("restored_at", false, false, &["restored_at"]),
    ("erased_at", false, false, &[]),
];

/// Each value of a row, and why.
pub(super) fn reasons(row: &Row, explanation: Option<&Explanation>, is_revealed: bool) -> Vec<Reason> {
    let known = explanation.and_then(|explanation| explanation.outcome.as_ref());
    let values = known.map(|outcome| outcome.values.as_slice()).unwrap_or_default();
    let addresses = known.map(|outcome| outcome.addresses.as_slice()).unwrap_or_default();
    let reason = |(column, is_personal, is_always, sources): &(&'static str, bool, bool, &[&str])| {
        let text = text(row.columns.get(*column));
        let address = addresses.iter().find(|address| *column == column_of(address));
        if text.is_none() && !is_always && address.is_none() {
            return None;
        }
        let mut because = match (address, is_owned_by_app(row, column)) {
            (_, true) => of_app(row),
            (Some(address), false) => of_address(address, row, sources, values),
            (None, false) => of_sources(column, text.is_some(), sources, values),
        };
        if *column == "referred_by" {
            let user = text.as_deref().and_then(|text| text.parse().ok());
            because = vec![Part::Plain("the code of ".to_owned())];
            because.extend(user.map(Part::User));
        }
        let shown = if *column == "referred_by" { text.as_deref().map(short) } else { text.as_deref() };
        let mark = match address {
            Some(address) if text.is_some() && address.verified => "verified",
            Some(_) if text.is_some() => "not verified",
            Some(_) | None => "",
        };
        Some(Reason { column, value: Shown::of(shown, *is_personal, is_revealed), mark, because })
    };
    COLUMNS.iter().filter_map(reason).collect()
}

fn column_of(address: &Address) -> &'static str {
    if address.kind == "email" { "email" } else { "phone_number" }
}

/// A value as text; times as pages have them.
pub(super) fn text(value: Option<&Json>) -> Option<String> {
    match value? {
        Json::Null => None,
        Json::Bool(is) => Some(if *is { "yes" } else { "no" }.to_owned()),
        Json::Number(number) => Some(number.as_u64().map_or_else(|| number.to_string(), words::count)),
        Json::String(text) => Some(time(text).map_or_else(|| text.clone(), words::utc)),
        other @ (Json::Array(_) | Json::Object(_)) => Some(other.to_string()),
    }
}

/// A time as PostgreSQL writes it in JSON; nothing else that a row holds looks like it.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let is_time = text.len() >= 19 && text.as_bytes().get(10) == Some(&b'T');
    is_time
        .then(|| time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok())
        .flatten()
        .map(Timestamp::from)
}

fn is_owned_by_app(row: &Row, column: &str) -> bool {
    let owned = row.columns.get("app_owned").and_then(Json::as_array);
    owned.is_some_and(|owned| owned.iter().any(|name| name.as_str() == Some(column)))
}

fn of_app(row: &Row) -> Vec<Part> {
    let at = row.columns.get("app_edited_at").and_then(Json::as_str).and_then(time);
    let at = at.map(|at| format!(", at the latest {}", words::utc(at))).unwrap_or_default();
    vec![
        Part::Plain(format!("your application wrote it{at}; events no longer change it. ")),
        Part::Code("user-sync release".to_owned()),
        Part::Plain(" gives it back".to_owned()),
    ]
}

fn of_address(address: &Address, row: &Row, sources: &[&str], values: &[Value]) -> Vec<Part> {
    let verified = if address.verified { "verified" } else { "not verified" };
    let mut parts = of_sources("", true, sources, values);
    if address.is_owned {
        let since = match (address.since, address.shown) {
            (Some(since), _) => format!("verified first, on {}", words::day(since)),
            (None, Some(shown)) => format!("shown first, on {}", words::day(shown)),
            (None, None) => "shown first, earlier than is known".to_owned(),
        };
        parts.push(Part::Plain(format!(". This user owns it: {since}")));
        return parts;
    }
    let owner = row.contested.iter().find(|(kind, _)| kind == address.kind).map(|(_, owner)| *owner);
    let Some(owner) = owner else {
        parts.push(Part::Plain(". It is shown on nobody: this user is deleted".to_owned()));
        return parts;
    };
    let mut contest = vec![
        Part::Bold("Contested."),
        Part::Plain(format!(" The pool gives this user one, {verified}; ")),
        Part::User(owner),
        Part::Plain(" owns the same. It comes back when that user leaves. From ".to_owned()),
    ];
    contest.append(&mut parts);
    contest
}

fn of_sources(column: &str, has_value: bool, sources: &[&str], values: &[Value]) -> Vec<Part> {
    let found = sources.iter().find_map(|name| values.iter().find(|value| value.name == *name));
    match found {
        Some(value) => {
            let mut parts = of_source(&value.source);
            if !value.name.starts_with("cognito:") && value.name != column && !column.is_empty() {
                parts.push(Part::Plain(", attribute ".to_owned()));
                parts.push(Part::Code(value.name.clone()));
            }
            parts
        }
        None => vec![Part::Plain(without_source(column, has_value).to_owned())],
    }
}

fn without_source(column: &str, has_value: bool) -> &'static str {
    match (column, has_value) {
        ("last_login_ip" | "last_login_device" | "last_login_location", false) => {
            "no source told it: a plain InitiateAuth carries no address"
        }
        ("name" | "language", _) => "no event told it: this is the default",
        ("enabled", _) => "no snapshot told it: this is the default",
        ("referral_code", _) => "made of the sub",
        ("erased_at", _) => "the person was erased: nothing of it is stored",
        ("last_login_client_id", _) => "the app client of the last sign-in",
        (_, true) => "not known: no event of the ledger tells it",
        (_, false) => "no event told it",
    }
}

fn of_source(source: &Source) -> Vec<Part> {
    let plain = |text: &str| vec![Part::Plain(text.to_owned())];
    let event = |before: &str, id: EventId, after: &str| {
        let part = Part::Event { id: id.uuid(), at: words::utc(id.time()) };
        vec![Part::Plain(before.to_owned()), part, Part::Plain(after.to_owned())]
    };
    match source {
        Source::Newest { event: id, .. } => event("told latest ", *id, ""),
        Source::Gone { event: id, snapshot } => {
            let mut parts = event("told ", *id, ", and gone since the pool was read ");
            parts.extend(event("", *snapshot, ""));
            parts
        }
        Source::Logins { authentications, federated } => {
            let federated = if *federated { ", and 1 for the federated confirmation" } else { "" };
            plain(&format!("{} distinct sign-ins{federated}", words::count(*authentications)))
        }
        Source::LatestLogin(id) => event("", *id, ", the latest sign-in by time"),
        Source::Reported { by, contexts } => {
            let first = contexts.first().map(|id| event(": ", *id, "")).unwrap_or_default();
            let mut parts = plain(&format!("{} recorded it of that sign-in", reporter(by)));
            parts.extend(first);
            parts
        }
        Source::WhoSaidIt => plain("who said the address, else the device, else the place"),
        Source::FirstConfirmation(id) => event("", *id, ", the first confirmation"),
        Source::FirstSignUpRecord(id) => event("", *id, ", the first record of the sign-up"),
        Source::Snapshot(time) => plain(&format!("the pool, read {}", words::utc(*time))),
        Source::FirstDeletion => plain("the first deletion"),
        Source::LatestDeletion => plain("the latest deletion, after the latest restoration"),
        Source::LatestRestoration => plain("the latest restoration: no deletion up to it counts"),
        Source::Earliest => plain("the earliest event, or UserCreateDate as the pool told it"),
        Source::Latest => plain("the latest event"),
    }
}

/// Who recorded something, for people.
pub(super) fn reporter(by: &str) -> &str {
    match by {
        "cloudtrail" => "CloudTrail",
        "threat_protection" => "threat protection",
        "application" => "your application",
        other => other,
    }
}
