//! The trigger that notes what the application edits: whether it does so, and how it is made again. Must not know why anybody
//! asks.

use crate::postgres::Transaction;
use crate::store::migrate::{Error, files};

/// Whether the application's edits are noted as its own; `None` where there are no tables. A trigger that somebody made fire
/// always does so, too.
pub(crate) async fn edits_are_noted<'e>(
    questions: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
) -> Result<Option<bool>, sqlx::Error> {
    // 19: for each row, before, update.
    let query = "select exists (
            select from pg_trigger join pg_proc on pg_proc.oid = tgfoid
            where tgrelid = pg_class.oid and tgname = 'users_note_app_edit' and tgtype = 19
                and proname = 'user_sync_note_edit' and tgenabled in ('O', 'A'))
        from pg_class where oid = to_regclass('users')";
    sqlx::query_scalar(query).fetch_optional(questions).await
}

/// Makes the trigger again where somebody dropped or disabled it. Not where a newer build has brought the schema further.
pub(super) async fn note_edits(tx: &mut Transaction) -> Result<(), Error> {
    let newest = "select max(version) from _sqlx_migrations";
    let newest: Option<i64> = sqlx::query_scalar(newest).fetch_one(&mut *tx).await?;
    if newest > files::newest() || edits_are_noted(&mut *tx).await? != Some(false) {
        return Ok(());
    }
    sqlx::query(include_str!("note_edits.sql")).execute(tx).await?;
    tracing::warn!(
        "the trigger users_note_app_edit was missing or disabled, and is there again: what the application edited \
         meanwhile is not noted as its own"
    );
    Ok(())
}
