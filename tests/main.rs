//! The integration tests: real PostgreSQL, a real SQS protocol server, the real Lambda Runtime API, the
//! real release binaries. One binary, so that one stack serves them all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

mod adopt;
mod applies;
mod bad_input;
mod chain;
mod chained;
mod commands;
mod conformance;
mod convergence;
mod crash;
mod credentials;
mod deployed;
mod dlq;
mod doctor;
mod echo;
mod erase;
mod faults;
mod grants;
mod lifecycle;
mod metrics;
mod model;
mod night;
mod operator;
mod outage;
mod pool_triggers;
mod proof;
mod reconcile;
mod replay;
mod report;
mod stack;
