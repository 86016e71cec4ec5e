//! Gives sign-ups their referrers in `users`. Knows the SQL; decides nothing.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::postgres::Transaction;
use crate::store::model::affected::AffectedKeys;
use crate::store::model::referral::referral_code;
use crate::store::tables::failure::Failure;
use crate::store::tables::refusal::all_written;

/// Sign-ups that one statement gives their referrer.
const REFERRALS: i64 = 10_000;

/// How long one transaction gives sign-ups their referrers: some hundreds of thousands.
const REFERRALS_LIMIT: Duration = Duration::from_secs(10);

/// Resolves the referral codes affected, whichever of the two users came first.
///
/// # Errors
/// Where somebody holds the row of one who waits: then for those of the batch whose codes it waits for.
pub(in crate::store) async fn resolve(
    tx: &mut Transaction,
    batch: &[Uuid],
    keys: &AffectedKeys,
) -> Result<(), Failure> {
    if keys.sign_up_codes.is_empty() && keys.new_codes.is_empty() {
        return Ok(());
    }
    let new_codes: Vec<&str> = keys.new_codes.iter().map(String::as_str).collect();
    let (began, mut is_all_locked) = (Instant::now(), false);
    loop {
        let query = sqlx::query_as(include_str!("resolve_referrals.sql"));
        let query = query.bind(batch).bind(&new_codes).bind(REFERRALS);
        let (due, resolved, held): (i64, i64, Option<Vec<String>>) = query.fetch_one(&mut *tx).await?;
        all_written("users", usize::try_from(due).unwrap_or(0), u64::try_from(resolved).unwrap_or(0))?;
        waits_for_nobody(batch, held)?;
        if due < REFERRALS {
            return Ok(());
        }
        if began.elapsed() > REFERRALS_LIMIT {
            // As when the server gives up: it costs the one whose code it is.
            return Err(Failure::Blocked { sqlstate: "57014".into() });
        }
        // There are many more: before they are written, whether somebody holds one of them. Once they are locked they stay
        // so, and nobody else comes to wait for a code whose value lock is held.
        if !is_all_locked {
            let lock = sqlx::query_scalar(include_str!("lock_waiting.sql")).bind(&new_codes);
            waits_for_nobody(batch, lock.fetch_one(&mut *tx).await?)?;
            is_all_locked = true;
        }
    }
}

/// # Errors
/// For those of the batch whose codes are waited for by users whose rows somebody holds.
fn waits_for_nobody(batch: &[Uuid], held: Option<Vec<String>>) -> Result<(), Failure> {
    let Some(codes) = held else { return Ok(()) };
    let waited_for = |id: &Uuid| codes.contains(&referral_code(*id));
    Err(Failure::Held(batch.iter().copied().filter(waited_for).collect()))
}
