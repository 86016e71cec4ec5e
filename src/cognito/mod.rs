//! The user pool: its users, what CloudTrail reports of them, and its triggers.
//!
//! Publishes events, and reads rows only through [`crate::store::maintenance::drift`]. Must never write a table.

pub mod cloudtrail;
pub mod flows;
pub mod lifecycle;
pub mod reconcile;
pub mod records;
pub mod restore;
pub mod rows;
pub mod triggers;
pub mod user_pool;
