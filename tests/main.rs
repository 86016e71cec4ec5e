//! The integration tests: real PostgreSQL, a real SQS protocol server, the real Lambda Runtime API, the
//! real release binaries. One binary, so that one stack serves them all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

mod applies;
mod bad_input;
mod chain;
mod commands;
mod conformance;
mod convergence;
mod crash;
mod echo;
mod faults;
mod grants;
mod model;
mod outage;
mod proof;
mod stack;
