//! Reads the ledgers and the baselines back, folded per user by the same folds that apply events and contexts.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::event::{Context, ContextEvent, Data, EventId, GroupChange, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::Transaction;
use crate::store::model::claims::{Claim, Claims, Identifier};
use crate::store::model::contexts::Contexts;
use crate::store::model::state::{Delta, UserState};
use crate::store::tables::refusal::all_written;
use crate::store::tables::users::corrupt;

/// Rows that one fetch takes from a cursor.
const FETCH_ROWS: usize = 5_000;

/// A claim as the baseline stores it.
#[derive(serde::Serialize, serde::Deserialize)]
struct StoredClaim {
    #[serde(flatten)]
    identifier: Identifier,
    since: Option<Timestamp>,
    /// An older release did not store it.
    #[serde(default)]
    shown: Option<Timestamp>,
}

/// What a history tells of a user.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Told {
    /// What the user's events amount to; `None` where there is none: then there is no row either.
    pub(in crate::store) delta: Option<Delta>,
    /// What the contexts amount to, but for the places of their addresses; `None` where there is none.
    pub(in crate::store) contexts: Option<Contexts>,
}

impl Told {
    fn of(delta: Delta) -> Self {
        Self { delta: Some(delta), contexts: None }
    }

    fn of_contexts(contexts: Contexts) -> Self {
        Self { delta: None, contexts: Some(contexts) }
    }

    fn merge(&mut self, other: Self) {
        match (&mut self.delta, other.delta) {
            (Some(own), Some(other)) => own.merge(other),
            (own, other) => *own = own.take().or(other),
        }
        match (&mut self.contexts, other.contexts) {
            (Some(own), Some(other)) => own.merge(other),
            (own, other) => *own = own.take().or(other),
        }
    }
}

/// A stream of users with what their history amounts to, in the order of the ids and in bounded memory.
///
/// The statement must yield `user_id, id, type, user_pool_id, data, state, claims`, ordered by `user_id`: a
/// row is an event or a context (`id` is not null), or a baseline of either.
pub(in crate::store) struct History {
    /// The user whose rows may go on in the next fetch.
    unfinished: Option<(Uuid, Told)>,
    exhausted: bool,
    /// Events read so far, those of groups among them; no contexts.
    pub(in crate::store) events: u64,
    /// Contexts read so far.
    pub(in crate::store) contexts: u64,
}

impl History {
    /// Opens the cursor; the transaction must last as long as this.
    pub(in crate::store) async fn open(
        tx: &mut Transaction,
        declare: sqlx::SqlStr,
    ) -> Result<Self, sqlx::Error> {
        // A sort of the whole ledger: it spills to disk, and larger runs make fewer of them.
        sqlx::query("set local work_mem = '64MB'").execute(&mut *tx).await?;
        sqlx::query("set local statement_timeout = 0").execute(&mut *tx).await?;
        sqlx::query(declare).execute(tx).await?;
        Ok(Self { unfinished: None, exhausted: false, events: 0, contexts: 0 })
    }

    /// The next users, each whole; empty at the end.
    pub(in crate::store) async fn next(
        &mut self,
        tx: &mut Transaction,
    ) -> Result<BTreeMap<Uuid, Told>, sqlx::Error> {
        let mut users = BTreeMap::new();
        while users.is_empty() && !self.exhausted {
            let rows = sqlx::query(sqlx::AssertSqlSafe(format!("fetch {FETCH_ROWS} from history")));
            let rows = rows.fetch_all(&mut *tx).await?;
            self.exhausted = rows.len() < FETCH_ROWS;
            for row in &rows {
                let is_one = u64::from(row.try_get::<Option<Uuid>, _>("id")?.is_some());
                match is_context(row)? {
                    true => self.contexts += is_one,
                    false => self.events += is_one,
                }
                let Some((user, told)) = told(row)? else { continue };
                match &mut self.unfinished {
                    Some((current, own)) if *current == user => own.merge(told),
                    unfinished => users.extend(unfinished.replace((user, told))),
                }
            }
            if self.exhausted {
                users.extend(self.unfinished.take());
                // A partition cannot be dropped while a cursor reads it.
                sqlx::query("close history").execute(&mut *tx).await?;
            }
        }
        Ok(users)
    }
}

/// Whether it is an event of a group, which says nothing of a user's row.
pub(in crate::store) fn is_of_group(row: &PgRow) -> Result<bool, sqlx::Error> {
    let r#type = row.try_get::<Option<&str>, _>("type")?;
    Ok(r#type.is_some_and(|r#type| GroupChange::TYPES.contains(&r#type)))
}

/// What the type of a context's row is, and of that of its baseline.
const CONTEXT: &str = "user.login_context";

/// Whether it is a context, or the baseline of contexts.
pub(in crate::store) fn is_context(row: &PgRow) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<Option<&str>, _>("type")? == Some(CONTEXT))
}

/// What a row tells of a user; nothing where it is of a group.
pub(in crate::store) fn told(row: &PgRow) -> Result<Option<(Uuid, Told)>, sqlx::Error> {
    if is_of_group(row)? {
        return Ok(None);
    }
    if !is_context(row)? {
        return read(row).map(|(user, delta)| Some((user, Told::of(delta))));
    }
    let contexts = match row.try_get::<Option<Uuid>, _>("id")? {
        // Places are found last, by whoever has the operator's file.
        Some(_) => Contexts::of(&context(row)?, &GeoIp::default()),
        None => row.try_get::<Json<Contexts>, _>("state")?.0,
    };
    Ok(Some((row.try_get("user_id")?, Told::of_contexts(contexts))))
}

/// One context of the ledger.
pub(in crate::store) fn context(row: &PgRow) -> Result<ContextEvent<'static>, sqlx::Error> {
    let Json(data) = row.try_get::<Json<Context<'_>>, _>("data")?;
    Ok(ContextEvent {
        id: EventId::from_uuid(row.try_get("id")?).map_err(|_| corrupt("user_sync_contexts.id"))?,
        user_pool_id: row.try_get::<String, _>("user_pool_id")?.into(),
        sub: row.try_get("user_id")?,
        data: data.into_owned(),
    })
}

/// One event of the ledger.
pub(in crate::store) fn event(row: &PgRow) -> Result<UserEvent<'static>, sqlx::Error> {
    let kind: String = row.try_get("type")?;
    let Json(data) = row.try_get::<Json<Data<'_>>, _>("data")?;
    Ok(UserEvent {
        id: EventId::from_uuid(row.try_get("id")?).map_err(|_| corrupt("user_events.id"))?,
        user_pool_id: row.try_get::<String, _>("user_pool_id")?.into(),
        sub: row.try_get("user_id")?,
        kind: Kind::parse(&kind).ok_or_else(|| corrupt("user_events.type"))?,
        data: data.into_owned(),
    })
}

/// What a row, an event or a baseline of events, amounts to.
pub(in crate::store) fn read(row: &PgRow) -> Result<(Uuid, Delta), sqlx::Error> {
    let user = row.try_get("user_id")?;
    if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
        return Ok((user, Delta::of(&event(row)?)));
    }
    let Json(mut state) = row.try_get::<Json<UserState>, _>("state")?;
    state.drop_what_is_gone();
    let Json(claims) = row.try_get::<Json<Vec<StoredClaim>>, _>("claims")?;
    // Not known of an older release's baseline: at the earliest, when there was the user.
    let shown = |stored: &StoredClaim| Some(stored.shown.unwrap_or(state.created_at));
    let claim = |stored: StoredClaim| {
        let claim = Claim { since: stored.since, shown: shown(&stored) };
        (stored.identifier, claim)
    };
    let claims: Claims = claims.into_iter().map(claim).collect();
    Ok((user, Delta { state, claims }))
}

/// Merges deltas into the baseline.
pub(in crate::store) async fn merge_into_baseline(
    tx: &mut Transaction,
    mut deltas: BTreeMap<Uuid, Delta>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = deltas.keys().copied().collect();
    let baseline = "select user_id, null::uuid as id, state, claims from user_baseline where user_id = any($1) for update";
    for row in sqlx::query(baseline).bind(&ids).fetch_all(&mut *tx).await? {
        let (user, folded) = read(&row)?;
        if let Some(delta) = deltas.get_mut(&user) {
            delta.merge(folded);
        }
    }
    write_baseline(tx, &deltas).await
}

/// Changes a user's baseline, if it has one.
pub(in crate::store) async fn rewrite_baseline(
    tx: &mut Transaction,
    user: Uuid,
    change: impl FnOnce(&mut Delta),
) -> Result<(), sqlx::Error> {
    let baseline =
        "select user_id, null::uuid as id, state, claims from user_baseline where user_id = $1 for update";
    let Some(row) = sqlx::query(baseline).bind(user).fetch_optional(&mut *tx).await? else { return Ok(()) };
    let (_, mut delta) = read(&row)?;
    change(&mut delta);
    write_baseline(tx, &BTreeMap::from([(user, delta)])).await
}

async fn write_baseline(tx: &mut Transaction, deltas: &BTreeMap<Uuid, Delta>) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = deltas.keys().copied().collect();
    let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
    let states: Result<Vec<_>, _> =
        deltas.values().map(|delta| serde_json::to_string(&delta.state)).collect();
    let claims = |delta: &Delta| {
        let stored = |(identifier, claim): (&Identifier, &Claim)| StoredClaim {
            identifier: identifier.clone(),
            since: claim.since,
            shown: claim.shown,
        };
        serde_json::to_string(&delta.claims.iter().map(stored).collect::<Vec<_>>())
    };
    let claims: Result<Vec<_>, _> = deltas.values().map(claims).collect();
    let query = sqlx::query(include_str!("write_baseline.sql"));
    let query = query.bind(ids).bind(states.map_err(encode)?).bind(claims.map_err(encode)?);
    all_written("user_baseline", deltas.len(), query.execute(tx).await?.rows_affected())
}

/// Everything that a moment's ledgers and baselines say, for `declare history cursor for …`.
pub(in crate::store) const ALL: &str = "declare history no scroll cursor for
    select user_id, null::uuid as id, null as type, null as user_pool_id, null::jsonb as data, state, claims
    from user_baseline
    union all
    select user_id, id, type, user_pool_id, data, null::jsonb, null::jsonb
    from user_events
    union all
    select user_id, null::uuid, 'user.login_context', null, null::jsonb, state, null::jsonb
    from user_sync_context_baseline
    union all
    select user_id, id, 'user.login_context', user_pool_id,
        data || jsonb_build_object(
            'reported_by', reported_by, 'occasion', occasion, 'witness', is_witness, 'client_id', client_id),
        null::jsonb, null::jsonb
    from user_sync_contexts
    where user_id is not null
    order by user_id";

/// So many users are looked up one by one; for more, PostgreSQL decides whether it reads the ledgers instead.
const FEW: usize = 20;

/// From here on in this transaction, PostgreSQL uses the indexes that find a user's events. It takes a summary of users for one
/// that rules nothing out, since users are strewn over a month, and would rather read the month to its end: so it may not. Nor
/// may it go through a month by the order of ids, or plan for any user what it runs for one. What is switched off counts as dear,
/// and would have half a second's work compiled for a statement of milliseconds.
pub(in crate::store) async fn find_by_user(tx: &mut Transaction) -> Result<(), sqlx::Error> {
    let settings = "set local enable_seqscan = off; set local enable_indexscan = off;
        set local plan_cache_mode = force_custom_plan; set local jit = off";
    sqlx::raw_sql(settings).execute(tx).await.map(drop)
}

/// The history of some users.
pub(in crate::store) async fn of_users(
    tx: &mut Transaction,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, Told>, sqlx::Error> {
    if ids.len() <= FEW {
        find_by_user(tx).await?;
    }
    folded(&sqlx::query(include_str!("read_history.sql")).bind(ids).fetch_all(tx).await?)
}

/// What rows of histories amount to, by user.
pub(in crate::store) fn folded(rows: &[PgRow]) -> Result<BTreeMap<Uuid, Told>, sqlx::Error> {
    let mut users = BTreeMap::<Uuid, Told>::new();
    for row in rows {
        if let Some((user, told)) = told(row)? {
            users.entry(user).or_default().merge(told);
        }
    }
    Ok(users)
}

/// One user's events, contexts and baselines, each a row, for [`event`] and [`context`]; a baseline has no `id`.
pub(in crate::store) async fn rows_of_user(
    tx: &mut Transaction,
    user: Uuid,
) -> Result<Vec<PgRow>, sqlx::Error> {
    find_by_user(tx).await?;
    sqlx::query(include_str!("read_history.sql")).bind([user].as_slice()).fetch_all(tx).await
}
