//! What is done to the tables besides applying messages, each with the apply's own rules. Nothing of the write path knows it.

pub mod adopt;
mod attempts;
pub mod audit;
mod contexts;
pub mod drift;
pub mod erase;
pub mod explain;
mod groups;
pub mod heartbeat;
pub mod indexes;
mod origins;
pub mod partitions;
pub mod record_months;
pub mod release;
pub mod repair;
pub mod verify;
