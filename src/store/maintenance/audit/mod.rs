//! The audit: the logins in the ledger beside the sign-ins that others recorded, as an independent witness of the ledger.
//! Reads one moment in bounded memory; changes nothing. Must not know who asks, nor where it is known when triggers were away.
//!
//! `pair` says which login goes with which success, `tally` counts what is left over on either side, by reason. Both see
//! one user's *run* at a time: logins and successes of which no two neighbours are further apart than any window reaches.
//!
//! **The edges of the range.** A login and its success can lie on either side of an edge. So more is read than is counted:
//! after the range as far as a window reaches, before it an hour, so that what was paired there is paired as ever. Only where
//! one user signs in without a pause for longer than that, an edge may name a neighbour.

mod pair;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cognito_user_sync_triggers::event::{EventId, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Map, Value, json};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::Date;
use uuid::Uuid;

use crate::postgres::{Database, Purpose, Transaction};
use crate::store::maintenance::audit::tally::{Item, Run, Seen, Tally};
use crate::store::model::contexts::LARGEST_BACK_WINDOW_MILLIS;
use crate::store::tables::failure::StoreError;
use crate::store::tables::users::corrupt;

/// Rows that one fetch takes from the cursor.
const FETCH_ROWS: usize = 5_000;

/// How far before the range it is read.
const READ_BEFORE: Duration = Duration::from_secs(3_600);

/// How far after the range it is read: a success may be so much earlier than its login, whose other successes come up to half
/// a minute later.
const READ_AFTER: Duration = Duration::from_secs(16 * 60);

/// What is younger than this is not settled: records come minutes late, and the logins after the range must be there.
pub const SETTLED_AFTER: Duration = Duration::from_secs(30 * 60);

/// The name of the variable that lists the app clients whose users sign in at managed login, with commas between them.
pub const MANAGED_LOGIN_CLIENTS: &str = "USER_SYNC_MANAGED_LOGIN_CLIENTS";

/// A time in which the pool's triggers are known to have been away; without an end, where it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// It began then.
    pub from: Timestamp,
    /// It ended then.
    pub until: Option<Timestamp>,
}

/// What is audited.
#[derive(Debug, Clone)]
pub struct Question {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment that is not part of it.
    pub to: Timestamp,
    /// When the triggers were away, as far as that was asked.
    pub away: Vec<Away>,
    /// The app clients of managed login, where no trigger may fire.
    pub managed_login_clients: BTreeSet<String>,
}

/// Why one side has what the other has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A success without a login, for which nothing is known that explains it.
    Lost,
    /// A success without a login, at managed login, as its record or the list of clients says.
    ManagedLogin,
    /// A success without a login, while the pool did not call the trigger.
    TriggersAway,
    /// A login without a success, of a federated user: whom no reporter sees.
    Federated,
    /// Any other login without a success: reporters miss some.
    NotRecorded,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Lost, Self::ManagedLogin, Self::TriggersAway, Self::Federated, Self::NotRecorded];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::ManagedLogin => "managed_login",
            Self::TriggersAway => "triggers_away",
            Self::Federated => "federated",
            Self::NotRecorded => "not_recorded",
        }
    }

    /// Whether it is a login that is left over, and not a success.
    #[must_use]
    pub fn is_of_login(self) -> bool {
        matches!(self, Self::Federated | Self::NotRecorded)
    }
}

/// A login or a success that only one side has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneSided {
    /// The user.
    pub user: Uuid,
    /// The login's event or the success's record; its time is the time of it.
    pub id: EventId,
    /// The app client.
    pub client_id: Option<String>,
    /// Who recorded the success, or did not record the login.
    pub reporter: Reporter,
    /// Why.
    pub reason: Reason,
    /// Others so close to it that one of them may be meant in its place; at most [`INSTEAD_MAX`] of them.
    pub instead: Vec<EventId>,
}

/// Most others that are named beside one.
pub const INSTEAD_MAX: usize = 16;

/// What one reporter's records of a day and a client amount to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfReporter {
    /// Successful sign-ins that it recorded of users.
    pub successes: u64,
    /// Logins of the day that have a success; at an edge, a success of the day before or after.
    pub paired: u64,
    /// What only one side has.
    pub one_sided: BTreeMap<Reason, u64>,
    /// Refreshed tokens: no sign-ins.
    pub refreshes: u64,
    /// Successes whose record names no user: nobody can say whether their logins are there.
    pub without_user: u64,
}

impl OfReporter {
    /// What is left over for this reason.
    #[must_use]
    pub fn left_over(&self, reason: Reason) -> u64 {
        self.one_sided.get(&reason).copied().unwrap_or(0)
    }

    fn add(&mut self, other: &Self) {
        self.successes += other.successes;
        self.paired += other.paired;
        self.refreshes += other.refreshes;
        self.without_user += other.without_user;
        for (reason, count) in &other.one_sided {
            *self.one_sided.entry(*reason).or_default() += count;
        }
    }
}

/// A day of a client, or all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Logins in the ledger.
    pub logins: u64,
    /// What the reporters that are on say.
    pub reporters: BTreeMap<Reporter, OfReporter>,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audited {
    /// Who recorded anything in the range. Who did not is off, and says nothing of a login.
    pub reporters: BTreeSet<Reporter>,
    /// By day, in UTC, and app client.
    pub days: BTreeMap<(Date, Option<String>), Counts>,
    /// All days and clients.
    pub total: Counts,
}

impl Audited {
    /// Successes without a login for which nothing is known that explains it; what two reporters recorded counts twice.
    #[must_use]
    pub fn unaccounted(&self) -> u64 {
        self.of_reason(Reason::Lost)
    }

    fn of_reason(&self, reason: Reason) -> u64 {
        self.total.reporters.values().map(|reporter| reporter.left_over(reason)).sum()
    }

    /// What a run keeps: counts. `found` is what is unaccounted for; none where nobody recorded anything, since nothing is
    /// known then.
    #[must_use]
    pub fn findings(&self) -> Value {
        let found = (!self.reporters.is_empty()).then(|| self.unaccounted());
        let kinds = Reason::ALL.map(|reason| (reason.as_str().to_owned(), self.of_reason(reason).into()));
        let successes: u64 = self.total.reporters.values().map(|reporter| reporter.successes).sum();
        json!({
            "found": found,
            "left": found,
            "kinds": Map::from_iter(kinds),
            "logins": self.total.logins,
            "successes": successes,
            "reporters": self.reporters.iter().map(|reporter| reporter.as_str()).collect::<Vec<_>>(),
        })
    }
}

/// The range could not be audited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Months of the range are gone, and with them one side.
    #[error(
        "{what} before {kept_from} are dropped, past their retention, and the other side would look left over: audit from \
         {earliest} on"
    )]
    Dropped {
        /// Which ledger's.
        what: &'static str,
        /// The first moment that is kept.
        kept_from: Timestamp,
        /// The first moment that can be audited.
        earliest: Timestamp,
    },
}

/// The latest end of a range that is settled.
#[must_use]
pub fn settled(now: Timestamp) -> Timestamp {
    before(now, SETTLED_AFTER)
}

fn before(time: Timestamp, duration: Duration) -> Timestamp {
    Timestamp::from_unix_millis(time.unix_millis().saturating_sub(millis(duration)))
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    Timestamp::from_unix_millis(time.unix_millis().saturating_add(millis(duration)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Compares both sides, and calls `found` with each login and success that only one side has, in the order of the users, and
/// `progress` again and again with how many logins were compared so far.
///
/// # Errors
/// When the database cannot be read, or no longer has what is asked for.
pub async fn audit(
    database: &Database,
    question: &Question,
    found: impl FnMut(OneSided),
    mut progress: impl FnMut(u64),
) -> Result<Audited, Error> {
    let failed = StoreError::when("reading the logins and the records of sign-ins");
    let mut tx = database.begin(Purpose::Snapshot).await.map_err(&failed)?;
    open(&mut tx, question).await.map_err(&failed)?;
    // Once the cursor has the tables, nobody drops them.
    check_kept(&mut tx, question).await?;
    let reporters = reporters(&mut tx, question).await.map_err(&failed)?;
    let mut tally = Tally::new(question, reporters, found);
    let mut run: Option<Run> = None;
    loop {
        let fetch = sqlx::query(sqlx::AssertSqlSafe(format!("fetch {FETCH_ROWS} from audited")));
        let rows = fetch.fetch_all(&mut tx).await.map_err(&failed)?;
        for row in &rows {
            let (user, item) = read(row, &mut tally).map_err(&failed)?;
            let Some(user) = user else {
                tally.of_nobody(&item);
                continue;
            };
            if !run.as_ref().is_some_and(|run| run.goes_on(user, &item)) {
                run.replace(Run::of(user)).iter().for_each(|run| tally.add(run));
            }
            run.iter_mut().for_each(|run| run.push(item));
        }
        progress(tally.logins());
        if rows.len() < FETCH_ROWS {
            break;
        }
    }
    run.iter().for_each(|run| tally.add(run));
    tx.rollback().await.map_err(&failed)?;
    Ok(tally.done())
}

/// Declares the cursor; the transaction must last as long as it.
async fn open(tx: &mut Transaction, question: &Question) -> Result<(), sqlx::Error> {
    // A sort of the whole range, as that of `verify`.
    sqlx::query("set local work_mem = '64MB'").execute(&mut *tx).await?;
    sqlx::query("set local statement_timeout = 0").execute(&mut *tx).await?;
    let declare = sqlx::query(include_str!("declare_audited.sql"));
    let (from, to) = (before(question.from, READ_BEFORE), after(question.to, READ_AFTER));
    declare.bind(moment(from)).bind(moment(to)).execute(tx).await?;
    Ok(())
}

fn moment(time: Timestamp) -> time::OffsetDateTime {
    time.into()
}

/// Refuses a range of which one ledger has dropped a part: everything of the other one would be left over.
async fn check_kept(tx: &mut Transaction, question: &Question) -> Result<(), Error> {
    let failed = StoreError::when("reading which months are kept");
    let least = sqlx::query_as(include_str!("first_moments.sql"));
    let (logins, records): (Option<Uuid>, Option<Uuid>) = least.fetch_one(tx).await.map_err(failed)?;
    for (what, least) in [("logins", logins), ("records of sign-ins", records)] {
        // The first 48 bits of an id are its time.
        let millis = least.map_or(0, |least| u64::try_from(least.as_u128() >> 80).unwrap_or(u64::MAX));
        let kept_from = Timestamp::from_unix_millis(millis);
        let earliest = after(kept_from, Duration::from_millis(LARGEST_BACK_WINDOW_MILLIS.unsigned_abs()));
        if question.from < earliest {
            return Err(Error::Dropped { what, kept_from, earliest });
        }
    }
    Ok(())
}

/// Who recorded anything in the range.
async fn reporters(tx: &mut Transaction, question: &Question) -> Result<BTreeSet<Reporter>, sqlx::Error> {
    let query = "select distinct reported_by from user_sync_contexts
        where id >= user_event_bound($1) and id < user_event_bound($2) and occasion = 'sign_in'";
    let query = sqlx::query_scalar(query).bind(moment(question.from)).bind(moment(question.to));
    let words: Vec<String> = query.fetch_all(tx).await?;
    Ok(words.iter().filter_map(|word| Reporter::parse(word)).collect())
}

/// A row of the cursor: whose it is, and what.
fn read<F: FnMut(OneSided)>(
    row: &PgRow,
    tally: &mut Tally<'_, F>,
) -> Result<(Option<Uuid>, Item), sqlx::Error> {
    let reporter: Option<&str> = row.try_get("reported_by")?;
    let client: Option<&str> = row.try_get("client_id")?;
    let seen = match reporter {
        None => Seen::Login { is_federated: row.try_get::<Option<bool>, _>("is_federated")? == Some(true) },
        Some(word) => {
            let reporter = Reporter::parse(word).ok_or_else(|| corrupt("user_sync_contexts.reported_by"))?;
            Seen::success(reporter, row.try_get("flow")?)
        }
    };
    let id = EventId::from_uuid(row.try_get("id")?).map_err(|_| corrupt("user_sync_contexts.id"))?;
    Ok((row.try_get("user_id")?, Item { id, client: tally.client(client), seen }))
}
