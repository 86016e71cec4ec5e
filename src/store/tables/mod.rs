//! Reads and writes the tables, each with its statements. Decides nothing.

mod blame;
pub(in crate::store) mod columns;
pub(in crate::store) mod context_history;
pub(in crate::store) mod contexts;
pub(in crate::store) mod failure;
pub(in crate::store) mod failures;
pub(in crate::store) mod groups;
pub(in crate::store) mod heartbeat;
pub(in crate::store) mod history;
pub(in crate::store) mod ledger;
pub(in crate::store) mod referrals;
pub(in crate::store) mod refusal;
pub(in crate::store) mod users;
