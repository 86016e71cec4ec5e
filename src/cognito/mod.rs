//! The user pool: what it holds, what CloudTrail reports of it, and the triggers on it.
//!
//! Publishes events and reads rows through [`crate::store::maintenance::drift`]. Must never write a table.

pub mod lifecycle;
pub mod reconcile;
pub mod triggers;
pub mod user_pool;
