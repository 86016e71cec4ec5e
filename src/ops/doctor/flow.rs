//! Checks that events arrive: the last event that was applied and the last heartbeat. A stalled sync is silent. Must not
//! read who an event is about.

use crate::ops::doctor::{Check, Finding, Section, UNREACHED, bounded, human_duration};
use crate::postgres::Database;

/// What has arrived. All ages are in seconds, by the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Arrived {
    event: Option<Arrival>,
    heartbeat: Option<Arrival>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrival {
    /// Since it occurred or was sent.
    age: i64,
    /// From then until it was applied.
    took: i64,
}

impl Arrived {
    pub(super) async fn read(database: Option<&Database>) -> Result<Self, Finding> {
        let Some(database) = database else {
            return Err(Finding::skipped("the database was not reached", UNREACHED));
        };
        // By the primary key, from the newest month on.
        let event = "select extract(epoch from now() - occurred_at)::bigint,
                extract(epoch from recorded_at - occurred_at)::bigint
            from user_events order by id desc limit 1";
        let event: Option<(i64, i64)> =
            bounded(sqlx::query_as(event).fetch_optional(database.inspection())).await?;
        let heartbeat = "select extract(epoch from now() - heartbeat_at)::bigint,
                extract(epoch from heartbeat_seen - heartbeat_at)::bigint
            from sync_status where heartbeat_at is not null";
        let heartbeat: Option<(i64, i64)> =
            bounded(sqlx::query_as(heartbeat).fetch_optional(database.inspection())).await?;
        let arrival = |(age, took)| Arrival { age, took };
        Ok(Self { event: event.map(arrival), heartbeat: heartbeat.map(arrival) })
    }

    /// Seconds since the newest of all that has arrived was sent.
    pub(super) fn newest_age(&self) -> Option<i64> {
        self.event.into_iter().chain(self.heartbeat).map(|arrival| arrival.age).min()
    }
}

pub(super) fn examine(arrived: &Result<Arrived, Finding>, max_heartbeat_age_minutes: u32) -> Vec<Check> {
    let (event, beat) = match arrived {
        Ok(arrived) => (event(arrived.event), heartbeat(arrived.heartbeat, max_heartbeat_age_minutes)),
        Err(unanswered) => (unanswered.clone(), unanswered.clone()),
    };
    vec![event.named(Section::Flow, "last event"), beat.named(Section::Flow, "heartbeat")]
}

fn event(event: Option<Arrival>) -> Finding {
    match event {
        Some(Arrival { age, took }) => Finding::ok(format!(
            "occurred {} ago, applied {} later",
            human_duration(age),
            human_duration(took)
        )),
        None => Finding::warning(
            "no event was ever applied",
            "sign in once; then look at the trigger's log, the queue and the consumer's log, in this order",
        ),
    }
}

fn heartbeat(heartbeat: Option<Arrival>, max_age_minutes: u32) -> Finding {
    match heartbeat {
        None => Finding::warning(
            "none ever arrived",
            "run `user-sync heartbeat` every few minutes: without it a stalled sync is silent",
        ),
        Some(Arrival { age, took }) => {
            let found = format!("sent {} ago, arrived {} later", human_duration(age), human_duration(took));
            match age > i64::from(max_age_minutes) * 60 {
                true => Finding::failed(
                    format!("{found}; should be within {max_age_minutes} min"),
                    "see that the consumer runs and what its log says, and that heartbeats are still sent",
                ),
                false => Finding::ok(found),
            }
        }
    }
}
