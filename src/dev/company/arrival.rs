//! When the made-up events arrived. Must not know what they say.

use std::collections::HashSet;

use sqlx::PgPool;
use uuid::Uuid;

/// The ledgers say that all of it arrived now. It did when it happened, or minutes later for what others recorded; all but
/// what was late. As the tables' owner: nobody else may change a ledger.
///
/// # Errors
/// When the database refuses.
pub async fn date(owner: &PgPool, late: &HashSet<Uuid>) -> Result<(), sqlx::Error> {
    let late: Vec<Uuid> = late.iter().copied().collect();
    sqlx::query(
        "update user_events set recorded_at = occurred_at + (90 + abs(hashtext(id::text)) % 1400) * interval '1 ms'
         where id <> all ($1)",
    )
    .bind(&late)
    .execute(owner)
    .await?;
    sqlx::query(
        "update user_sync_contexts
         set recorded_at = occurred_at + (200 + abs(hashtext(id::text)) % 240) * interval '1 s'",
    )
    .execute(owner)
    .await?;
    sqlx::raw_sql("vacuum analyze").execute(owner).await?;
    Ok(())
}
