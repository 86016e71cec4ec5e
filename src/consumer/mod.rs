//! The consumer: takes deliveries from the queue, has the store apply them, and settles each by its outcome. The
//! only place that joins `sqs` to `store`; must not know a table.
//!
//! Two adapters, [`lambda`] and [`worker`], acknowledge exactly what [`settle`] reports. One conformance suite runs
//! against both.

pub mod health;
pub mod lambda;
pub mod liveness;
pub mod monitoring;
pub mod queues;
pub mod settle;
pub mod worker;
