//! Says of the user pools what heartbeats last told of them, where Cognito is not asked. Must not ask Cognito.

use aws_sdk_cognitoidentityprovider::types::LambdaConfigType;
use cognito_user_sync_triggers::event::PoolSeen;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use serde_json::Value;

use crate::config::ASK_COGNITO_VARIABLE;
use crate::ops::doctor::triggers::{accepting_all, unnamed, wiring};
use crate::ops::doctor::{
    Check, Finding, Options, Section, Status, UNREACHED, bounded, human_duration, replicas,
};
use crate::postgres::Database;

/// A Region of which no heartbeat has told for so long has no replica any more.
const REPLICA_GONE_AFTER: i64 = 7 * 86_400;

/// What a heartbeat last told of a pool in a Region.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    seen: PoolSeen,
    /// Seconds since that heartbeat was sent, by the server's clock.
    age: i64,
}

/// All that is recorded, the newest first.
pub(super) async fn read(database: Option<&Database>) -> Result<Vec<Recorded>, Finding> {
    let Some(database) = database else {
        return Err(Finding::skipped("the database was not reached", UNREACHED));
    };
    let query = "select seen, extract(epoch from now() - (seen ->> 'at')::timestamptz)::bigint
        from sync_status
        cross join jsonb_array_elements(case when jsonb_typeof(pools) = 'array' then pools else '[]' end) as each (seen)
        order by 2";
    let rows: Vec<(Value, Option<i64>)> =
        bounded(sqlx::query_as(query).fetch_all(database.inspection())).await?;
    let recorded = |(seen, age): (Value, Option<i64>)| {
        Some(Recorded { seen: serde_json::from_value(seen).ok()?, age: age? })
    };
    Ok(rows.into_iter().filter_map(recorded).collect())
}

/// The lines of each pool.
pub(super) fn examine(options: &Options, recorded: &Result<Vec<Recorded>, Finding>) -> Vec<Check> {
    let ids = options.user_pool_id.as_deref();
    let ids = ids.map_or(vec![None], |ids| ids.split(',').map(|id| Some(id.trim())).collect());
    let mut checks = Vec::new();
    for id in ids {
        let (reached, wired) = match id.map(|id| (id, id.parse::<UserPoolId>())) {
            None => (unnamed(), vec![unnamed()]),
            Some((id, Err(error))) => {
                let finding = Finding::failed(format!("{id}: {error}"), "set the pool's id");
                (finding.clone(), vec![Finding { status: Status::Skipped, ..finding }])
            }
            Some((id, Ok(_))) => {
                let found = format!("{id}: not asked, for {ASK_COGNITO_VARIABLE} is false");
                (Finding { status: Status::Skipped, found, fix: None }, of_pool(options, id, recorded))
            }
        };
        let reached = if options.accepts_every_pool { accepting_all(reached) } else { reached };
        checks.push(reached.named(Section::Pool, "reachable"));
        let names = std::iter::once("triggers").chain(std::iter::repeat("replica's triggers"));
        checks.extend(wired.into_iter().zip(names).map(|(wired, name)| wired.named(Section::Pool, name)));
    }
    checks
}

/// What is recorded of a pool: a finding a Region, of the one that was seen last first.
fn of_pool(options: &Options, id: &str, recorded: &Result<Vec<Recorded>, Finding>) -> Vec<Finding> {
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(unanswered) => {
            let found = format!("not asked; {}", unanswered.found);
            return vec![Finding { found, ..unanswered.clone() }];
        }
    };
    let of_pool: Vec<&Recorded> =
        recorded.iter().filter(|recorded| recorded.seen.user_pool_id == id).collect();
    let Some((newest, others)) = of_pool.split_first() else {
        return vec![Finding::warning(
            "not asked; no heartbeat has told of the triggers",
            "see that user-sync-lifecycle sends heartbeats, has USER_SYNC_TRIGGER_ARN and may ask \
             cognito-idp:DescribeUserPool; or run it where there is a way to Cognito",
        )];
    };
    let others = others.iter().filter(|other| other.age < REPLICA_GONE_AFTER);
    let regions: Vec<&Recorded> = std::iter::once(newest).chain(others).copied().collect();
    let is_one = regions.len() == 1;
    regions.into_iter().map(|recorded| recorded.finding(options, is_one)).collect()
}

impl Recorded {
    fn finding(&self, options: &Options, is_one: bool) -> Finding {
        let Self { seen, age } = self;
        let arns = options.trigger_arn.as_deref();
        let config = LambdaConfigType::builder()
            .set_post_confirmation(seen.post_confirmation.clone())
            .set_post_authentication(seen.post_authentication.clone())
            .build();
        let wired = match is_one && !arns.is_some_and(|arns| arns.contains(',')) {
            // The only one is this Region's, whatever it is.
            true => wiring(&config, arns),
            false => replicas::wiring_in(&seen.region, &config, arns),
        };
        let wired = self.counted(wired, arns);
        let region = if is_one { String::new() } else { format!("{}: ", seen.region) };
        let found = format!("not asked; {region}{} ago, {}", human_duration(*age), wired.found);
        let most = options.max_heartbeat_age_minutes;
        if *age <= i64::from(most) * 60 {
            return Finding { found, ..wired };
        }
        let late = "see what user-sync-lifecycle logs: it tells with each heartbeat, unless the pool does not answer it";
        Finding {
            status: wired.status.max(Status::Warning),
            found: format!("{found}; should be within {most} min"),
            fix: Some(wired.fix.map_or(late.to_owned(), |first| format!("{first}; {late}"))),
        }
    }

    /// The finding, with what the lifecycle function knows, which knows the function that should be called.
    fn counted(&self, wired: Finding, arns: Option<&str>) -> Finding {
        let missing = self.seen.missing;
        match wired.status {
            Status::Ok if missing > 0 => Finding::failed(
                format!("{}, and {missing} of them should call another function", wired.found),
                "set PostConfirmation and PostAuthentication of the user pool to the function of user-sync-trigger, or \
                 USER_SYNC_TRIGGER_ARN of user-sync-lifecycle to the one that is called",
            ),
            // It was compared there.
            Status::Ok if arns.is_none() => {
                let called = self.seen.post_confirmation.as_deref().unwrap_or_default();
                Finding::ok(format!("both called {called}"))
            }
            Status::Ok | Status::Warning | Status::Failed | Status::Skipped => wired,
        }
    }
}
