//! The latest heartbeat, and what heartbeats said of the user pools' triggers, in `sync_status`.

use std::collections::BTreeMap;

use cognito_user_sync_triggers::event::{EventId, PoolSeen};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::postgres::Transaction;

/// Records the latest of the heartbeats, unless a later one is recorded, and of each pool what the latest said that told of it.
pub(in crate::store) async fn stamp(
    tx: &mut Transaction,
    heartbeats: &BTreeMap<EventId, &[PoolSeen]>,
) -> Result<(), sqlx::Error> {
    let Some((latest, _)) = heartbeats.last_key_value() else { return Ok(()) };
    let query = sqlx::query(include_str!("stamp_heartbeat.sql"));
    query.bind(latest.uuid()).bind(OffsetDateTime::from(latest.time())).execute(&mut *tx).await?;
    let pools = heartbeats.iter().flat_map(|(id, pools)| pools.iter().map(|pool| seen(*id, pool)));
    let pools: Vec<Value> = pools.collect();
    if pools.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(include_str!("note_pools.sql"));
    query.bind(Value::from(pools)).execute(tx).await.map(drop)
}

/// What `sync_status.pools` has of a pool.
fn seen(id: EventId, pool: &PoolSeen) -> Value {
    let PoolSeen { user_pool_id, region, missing, post_confirmation, post_authentication } = pool;
    json!({
        "user_pool_id": user_pool_id,
        "region": region,
        "at": id.time(),
        "missing": missing,
        "post_confirmation": post_confirmation,
        "post_authentication": post_authentication,
    })
}
