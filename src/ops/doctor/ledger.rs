//! Checks the ledgers' months: what is of a missing month is refused. Must not read an event.

use crate::ops::doctor::{Check, Finding, Section, Status, UNREACHED, bounded};
use crate::postgres::Database;
use crate::store::maintenance::indexes::lacking;
use crate::store::maintenance::partitions::detached_months;

/// Months after this one that should exist: `maintain` may then fail for a month unnoticed.
const MONTHS_AHEAD: i64 = 2;

/// Days after its end in which a month may lack its index: `maintain` runs daily.
const DAYS_OVER: u32 = 3;

const MAINTAIN: &str = "run `user-sync maintain` as a member of user_sync_owner, now and daily";

pub(super) async fn examine(database: Option<&Database>) -> Vec<Check> {
    let unreached = || Finding::skipped("the database was not reached", UNREACHED);
    let (ahead, oldest, indexes) = match database {
        Some(database) => (
            months_ahead(database).await.unwrap_or_else(|unanswered| unanswered),
            oldest_month(database).await.unwrap_or_else(|unanswered| unanswered),
            indexes(database).await.unwrap_or_else(|unanswered| unanswered),
        ),
        None => (unreached(), unreached(), unreached()),
    };
    let mut checks =
        vec![ahead.named(Section::Ledger, "months ahead"), oldest.named(Section::Ledger, "oldest month")];
    // A healthy deployment fits a screen: of indexes there is a line only where there is something to say.
    if indexes.status != Status::Ok {
        checks.push(indexes.named(Section::Ledger, "indexes"));
    }
    checks
}

async fn months_ahead(database: &Database) -> Result<Finding, Finding> {
    // As `maintain` says it: one that was taken out is no month that is missing, and is not made again.
    if let Some(detached) = bounded(detached_months(database.inspection())).await?.first() {
        return Ok(Finding::failed(detached.to_string(), detached.fix()));
    }
    let query = "select count(*) filter (where lower > user_event_bound(now())),
            count(*) filter (where lower <= user_event_bound(now()) and upper > user_event_bound(now()))
        from user_event_partitions
        union all
        select count(*) filter (where lower > user_event_bound(now())),
            count(*) filter (where lower <= user_event_bound(now()) and upper > user_event_bound(now()))
        from user_sync_record_partitions";
    let ledgers: Vec<(i64, i64)> = bounded(sqlx::query_as(query).fetch_all(database.inspection())).await?;
    let [(ahead, current), (records_ahead, of_records)] = ledgers[..] else {
        return Ok(Finding::failed("the ledgers have no months", MAINTAIN));
    };
    Ok(match (current.min(of_records), ahead.min(records_ahead)) {
        (0, _) if current == 0 => {
            Finding::failed("this month has no partition: events are refused", MAINTAIN)
        }
        (0, _) => Finding::failed("this month has no partition of records of sign-ins", MAINTAIN),
        (_, 0) => Finding::failed("no month stands ready after this one", MAINTAIN),
        (_, ahead) if ahead < MONTHS_AHEAD => {
            Finding::warning(format!("{ahead} month stands ready after this one"), MAINTAIN)
        }
        (_, ahead) => Finding::ok(format!("{ahead} months stand ready after this one")),
    })
}

/// Older events are refused: they were folded into the baseline, or never kept.
async fn oldest_month(database: &Database) -> Result<Finding, Finding> {
    let query = "select to_char(to_date(name, '\"user_events_\"YYYY_MM'), 'YYYY-MM')
        from user_event_partitions order by lower limit 1";
    let month: Option<String> =
        bounded(sqlx::query_scalar(query).fetch_optional(database.inspection())).await?;
    Ok(match month {
        Some(month) => Finding::ok(format!("{month}; older events are refused")),
        None => Finding::failed("the ledger has no month", MAINTAIN),
    })
}

/// Without one, what asks for a user reads a table to its end.
async fn indexes(database: &Database) -> Result<Finding, Finding> {
    let lacking = bounded(lacking(database.inspection(), DAYS_OVER)).await?;
    Ok(match lacking.first() {
        None => Finding::ok("a user and its events are found by indexes".to_owned()),
        Some(first) => Finding::warning(
            format!(
                "{} are to be built, {} first: users and their events are found slowly",
                lacking.len(),
                first.name
            ),
            "run `user-sync maintain` as a member of user_sync_owner: it builds them beside whoever writes",
        ),
    })
}
