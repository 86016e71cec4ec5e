//! The store: message bodies in, committed rows out. The only wing that writes a table.
//!
//! | part | what it is for |
//! |---|---|
//! | [`outcome`] | what became of a message |
//! | [`apply`] | the write path: a batch of messages becomes one transaction |
//! | `merge` | writes changed users, and settles who owns an address |
//! | `model` | what events amount to; pure |
//! | `tables` | reads and writes each table; decides nothing |
//! | [`maintenance`] | the proof, repair, erasure, the ledger's months, the adoption of an old table |
//! | [`migrate`], [`report`], [`daily`] | the schema; what operators ask most often; what is kept by day of it |
//! | [`console`] | what the console writes |
//! | [`runs`] | what ran, and what it found |
//! | [`directory`], [`timeline`] | users and one user's history, for pages |
//!
//! Must not know where messages come from: neither SQS nor Lambda nor Cognito.

pub mod apply;
#[cfg(feature = "dev")]
pub mod bench;
pub mod console;
pub mod daily;
pub mod directory;
mod locks;
pub mod maintenance;
mod merge;
pub mod migrate;
mod model;
pub mod outcome;
pub mod report;
pub mod runs;
mod tables;
#[cfg(all(test, feature = "dev"))]
mod tests;
pub mod timeline;

pub use self::apply::Applier;
pub(crate) use self::apply::rehearse;
pub use self::model::referral::referral_code;
pub use self::tables::failure::StoreError;
pub(crate) use self::tables::refusal::obstacles;

/// The statements that are made at run time, for the test that prepares every one.
#[cfg(feature = "dev")]
#[must_use]
pub fn statements() -> Vec<String> {
    let made = tables::columns::statements();
    [&made.write, &made.compare, &made.read, &made.lock, &made.lock_affected].map(Clone::clone).to_vec()
}
