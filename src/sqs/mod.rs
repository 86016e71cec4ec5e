//! The queue and the dead-letter queue. Of the store it knows only [`crate::store::outcome`]; must not know a database.

pub mod dead_letters;
pub mod depth;
pub mod queue;
pub mod replay;
pub mod send;
