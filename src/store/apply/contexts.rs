//! The path of contexts: into their ledger.

use std::collections::HashSet;

use cognito_user_sync_triggers::event::ContextEvent;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::Purpose;
use crate::store::apply::{Applier, Outcomes, outcomes_for};
use crate::store::outcome::Outcome;
use crate::store::tables::failure::Failure;

impl Applier {
    /// Records contexts, each id once, and says what became of each.
    pub(super) async fn apply_contexts(&self, events: &[&ContextEvent<'_>]) -> Outcomes {
        match self.insert_contexts(events).await {
            Ok(fresh) => {
                let outcome = |id: Uuid| match fresh.contains(&id) {
                    true => Outcome::Applied,
                    false => Outcome::Duplicate,
                };
                events.iter().map(|event| (event.id, outcome(event.id.uuid()))).collect()
            }
            Err(failure) => outcomes_for(events.iter().map(|event| event.id), &failure).collect(),
        }
    }

    async fn insert_contexts(&self, events: &[&ContextEvent<'_>]) -> Result<HashSet<Uuid>, Failure> {
        let mut tx = self.database().begin(Purpose::Events).await.map_err(Failure::before_any_row)?;
        let data = events.iter().map(|event| serde_json::to_string(&event.data).unwrap_or_default());
        let fresh: Vec<Uuid> = sqlx::query_scalar(
            "insert into user_sync_contexts
                (id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness, occurred_at, data)
            select id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness, occurred_at, data::jsonb
            from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bool[],
                $8::timestamptz[], $9::text[])
                as c (id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness, occurred_at, data)
            order by id on conflict (id) do nothing returning id",
        )
        .bind(events.iter().map(|event| event.id.uuid()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.sub).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.user_pool_id.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.data.client_id.as_deref()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.data.reported_by.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.data.occasion.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.data.witness).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.id.time().into()).collect::<Vec<OffsetDateTime>>())
        .bind(data.collect::<Vec<_>>())
        .fetch_all(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(fresh.into_iter().collect())
    }
}
