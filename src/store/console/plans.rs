//! What somebody is about to do, bound to what they saw. Nothing is done by it. Must not know what a kind means.

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::Database;
use crate::store::console::trail::{self, Deed, Did};
use crate::store::console::{begin, in_time};

/// Most ids that a plan may be bound to.
pub const MAX_IDS: usize = 100_000;

/// After how many minutes a plan is too old to be started: what it was made from has changed by then.
pub const TOO_OLD_MINUTES: i32 = 60;

/// A plan that is to be written.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who makes it.
    pub who: String,
    /// What is to be done: a word.
    pub kind: String,
    /// What it is about. No personal data; at most 4 kB.
    pub scope: Value,
    /// All that may be touched; at most [`MAX_IDS`], 8 MB together.
    pub ids: Vec<String>,
    /// How many it is about.
    pub count: u64,
    /// What the page says of it besides; at most 4 kB.
    pub facts: Value,
    /// Some of them, masked; at most 8 kB.
    pub samples: Value,
}

/// A plan as it is in the table.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its id.
    pub id: Uuid,
    /// When it was made, by the database's clock.
    pub at: Timestamp,
    /// Whether it is too old to be started.
    pub is_old: bool,
    /// The task, if it was started.
    pub task: Option<Uuid>,
    /// What was planned, without its ids.
    pub plan: Plan,
}

/// Writes a plan down, and that somebody made it: `what`, in words.
///
/// # Errors
/// When it is not known to be written.
pub async fn make(primary: &Database, plan: &Plan, what: &str) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    let deed = Deed {
        who: plan.who.clone(),
        did: Did::Planned,
        what: Some(format!("{what}, plan {id}")),
        reason: None,
        result: None,
    };
    in_time(async {
        let mut tx = begin(primary).await?;
        let query = "insert into user_sync_console_plans (id, who, kind, scope, ids, count, facts, samples)
            values ($1, $2, $3, $4, $5, $6, $7, $8)";
        sqlx::query(query)
            .bind(id)
            .bind(trail::name(&plan.who))
            .bind(&plan.kind)
            .bind(Json(&plan.scope))
            .bind(&plan.ids)
            .bind(i64::try_from(plan.count).unwrap_or(i64::MAX))
            .bind(Json(&plan.facts))
            .bind(Json(&plan.samples))
            .execute(&mut tx)
            .await?;
        trail::add(&mut tx, &deed).await?;
        tx.commit().await
    })
    .await?;
    Ok(id)
}

type Row = (OffsetDateTime, bool, Option<Uuid>, String, String, Json<Value>, i64, Json<Value>, Json<Value>);

/// A plan, without its ids; `None` where there is none.
///
/// # Errors
/// When the database cannot be asked.
pub async fn one(database: &Database, id: Uuid) -> Result<Option<Seen>, sqlx::Error> {
    let query = "select plan.at, plan.at < clock_timestamp() - make_interval(mins => $2), task.id, plan.who, kind, scope,
            count, facts, samples
        from user_sync_console_plans as plan
        left join user_sync_console_tasks as task on task.plan = plan.id
        where plan.id = $1";
    let query = sqlx::query_as(query).bind(id).bind(TOO_OLD_MINUTES);
    let row: Option<Row> = query.fetch_optional(database.pages()).await?;
    Ok(row.map(|(at, is_old, task, who, kind, Json(scope), count, Json(facts), Json(samples))| {
        let count = u64::try_from(count).unwrap_or(0);
        let plan = Plan { who, kind, scope, ids: Vec::new(), count, facts, samples };
        Seen { id, at: Timestamp::from(at), is_old, task, plan }
    }))
}

/// What a plan is bound to.
///
/// # Errors
/// When the database cannot be asked.
pub async fn ids(database: &Database, id: Uuid) -> Result<Vec<String>, sqlx::Error> {
    let query = sqlx::query_scalar("select ids from user_sync_console_plans where id = $1").bind(id);
    Ok(query.fetch_optional(database.pages()).await?.unwrap_or_default())
}
