//! Asks the database, by one question each, for the way of events and for the latest runs; and SQS for the depths of the two
//! queues. Receives nothing, and must not know what is judged by it.

use std::sync::Arc;

use aws_sdk_sqs::Client;
use cognito_user_sync_triggers::timestamp::Timestamp;
use tokio::sync::OnceCell;

use crate::aws::{self, Timeouts};
use crate::console::now::ran::Ran;
use crate::console::now::source::Refusal;
use crate::postgres::{self, Database, Standby};
use crate::sqs::depth::{Depth, depth};
use crate::store::maintenance::heartbeat::{Standing, standing};
use crate::store::runs;

const TIMEOUTS: Timeouts =
    Timeouts { connect: std::time::Duration::from_secs(2), attempt: std::time::Duration::from_secs(3) };

/// What the database says.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::console::now) struct Tables {
    pub(in crate::console::now) standing: Standing,
    /// How far this machine's clock is ahead of the server's, in milliseconds.
    pub(in crate::console::now) ahead_millis: i64,
    /// Whether what the pages read is a replica, and how far behind.
    pub(in crate::console::now) standby: Standby,
    /// The latest run of each kind; `None` where they cannot be read.
    pub(in crate::console::now) runs: Option<Vec<Ran>>,
}

/// Asks the database that the pages read, and how far that is behind the primary, if it is a replica.
pub(in crate::console::now) async fn ask(database: Database, primary: Database) -> Result<Tables, Refusal> {
    let asked = Timestamp::now();
    let standing = standing(&database).await.map_err(|error| refused(&error))?;
    let answered = Timestamp::now();
    let runs = match runs::latest(&database).await {
        Ok(runs) => Some(runs.iter().map(Ran::of).collect()),
        Err(error) => {
            tracing::warn!(why = refused(&error).why, "the latest runs cannot be read");
            None
        }
    };
    let standby = postgres::behind(&database, &primary).await.unwrap_or_else(|error| {
        tracing::warn!(why = refused(&error).why, "whether this is a replica is not known");
        Standby::Unknown(None)
    });
    Ok(Tables { ahead_millis: ahead(asked, answered, standing.at), standing, standby, runs })
}

/// How far this machine is ahead: nothing while the server's time lies within the question.
fn ahead(asked: Timestamp, answered: Timestamp, server: Timestamp) -> i64 {
    let millis = |at: Timestamp| i64::try_from(at.unix_millis()).unwrap_or(i64::MAX);
    let (asked, answered, server) = (millis(asked), millis(answered), millis(server));
    (asked - server).max(0) + (answered - server).min(0)
}

/// Why the database did not say: silence, or an answer that is none. Quotes nothing of it but its code.
fn refused(error: &sqlx::Error) -> Refusal {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // Connections, resources, an end by an operator: it is there, and does not serve.
        Some(code) if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => {
            Refusal::silent(format!("it does not serve ({code})"))
        }
        Some(code) => {
            let advice = postgres::advice_for(error).map(|advice| format!(": {advice}")).unwrap_or_default();
            Refusal::answered(format!("it refuses the question ({code}){advice}"))
        }
        None => Refusal::silent("no connection"),
    }
}

/// The depths of the queue and its dead-letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console::now) struct Depths {
    pub(in crate::console::now) queue: Depth,
    pub(in crate::console::now) dead_letters: Depth,
}

/// Asks SQS.
#[derive(Debug)]
pub(in crate::console::now) struct Queues {
    pub(in crate::console::now) queue_url: String,
    pub(in crate::console::now) dlq_url: String,
    clients: OnceCell<(Client, Client)>,
}

impl Queues {
    pub(in crate::console::now) fn new(queue_url: String, dlq_url: String) -> Self {
        Self { queue_url, dlq_url, clients: OnceCell::new() }
    }

    pub(in crate::console::now) async fn ask(self: Arc<Self>) -> Result<Depths, Refusal> {
        let clients = async || {
            let config = aws::sdk_config(TIMEOUTS).await;
            (aws::sqs(&config, &self.queue_url), aws::sqs(&config, &self.dlq_url))
        };
        let (queue, dlq) = self.clients.get_or_init(clients).await;
        let depths = tokio::join!(depth(queue, &self.queue_url), depth(dlq, &self.dlq_url));
        match depths {
            (Ok(queue), Ok(dead_letters)) => Ok(Depths { queue, dead_letters }),
            (Err(error), _) | (_, Err(error)) => Err(Refusal::silent(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_only_by_what_the_question_cannot_explain() {
        let at = Timestamp::from_unix_millis;
        assert_eq!(ahead(at(1_000), at(1_200), at(1_100)), 0);
        assert_eq!(ahead(at(1_000), at(1_200), at(400)), 600);
        assert_eq!(ahead(at(1_000), at(1_200), at(5_000)), -3_800);
    }

    #[test]
    fn a_server_that_refuses_is_not_silent() {
        assert!(refused(&sqlx::Error::PoolTimedOut).is_silent);
        assert!(refused(&sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into())).is_silent);
    }
}
