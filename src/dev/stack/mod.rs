//! Runs a real PostgreSQL and a real SQS server on this machine, without AWS and without Docker. Must not know
//! events, tables or queues: the caller migrates the database and creates the queues, as on AWS.
//!
//! `user-sync demo`, `user-sync dev` and the integration tests share it. It finds or fetches the servers, starts
//! each on a free loopback port, and makes sure that they end with this process, however it ends.

mod cache;
mod error;
mod postgres;
mod progress;
mod server_user;
mod sqs;
mod supervised;

pub use error::{Error, Unusable};
pub use postgres::{Postgres, PostgresOptions, PostgresSource};
pub use progress::Progress;
pub use sqs::{Emulator, Sqs};

/// How to start the stack.
#[derive(Clone, Default)]
pub struct StackOptions {
    /// Where PostgreSQL comes from, and how it runs.
    pub postgres: PostgresOptions,
    /// Where progress is shown.
    pub progress: Progress,
}

/// Both servers. Dropping it asks them to end; [`Stack::stop`] also waits until they have.
pub struct Stack {
    /// The database server.
    pub postgres: Postgres,
    /// The queue server.
    pub sqs: Sqs,
}

impl Stack {
    /// Starts both servers at once and returns when both answer.
    ///
    /// Cancel-safe: a server already started ends when the future is dropped.
    ///
    /// # Errors
    /// The first failure of either; the other server is then stopped.
    pub async fn start(options: StackOptions) -> Result<Self, Error> {
        let (postgres, sqs) = tokio::try_join!(
            Postgres::start(&options.postgres, &options.progress),
            Sqs::start(Emulator::Ministack, &options.progress),
        )?;
        Ok(Self { postgres, sqs })
    }

    /// Resolves when a server has died by itself, with the reason and the end of its log.
    ///
    /// A server stopped on purpose does not count. Cancel-safe: made for `tokio::select!`.
    pub async fn failure(&self) -> Error {
        tokio::select! {
            error = self.postgres.failure() => error,
            error = self.sqs.failure() => error,
        }
    }

    /// Stops both servers, removes their directories and waits for the end.
    ///
    /// # Errors
    /// When a server has not ended in time.
    pub async fn stop(self) -> Result<(), Error> {
        let (postgres, sqs) = tokio::join!(self.postgres.stop(), self.sqs.stop());
        postgres.and(sqs)
    }
}
