//! The queue and the dead-letter queue. Of the store it knows [`crate::store::outcome`], and nothing of a database.

pub mod dead_letters;
pub mod queue;
pub mod replay;
