//! The integration tests: real PostgreSQL, a real SQS protocol server, the real Lambda Runtime API, the
//! real release binaries. One binary, so that one stack serves them all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use user_sync_test_support as support;

mod addresses;
mod adopt;
mod audit;
mod bad_input;
mod browser;
mod chosen;
mod commands;
mod conformance;
mod console;
mod contexts;
mod convergence;
mod crash;
mod credentials;
mod daily;
mod databases;
mod deployed;
mod deployed_sam;
mod deployed_stacks;
mod deployment_check;
mod dlq;
mod doctor;
mod end_to_end;
mod erase;
mod faults;
mod fetches;
mod flows;
mod foreign;
mod former_trigger;
mod grants;
mod groups;
mod keeper;
mod kept_contexts;
mod lifecycle;
mod liveness;
mod login_context;
mod metrics;
mod model;
mod months;
mod operator;
mod outage;
mod output;
mod pool_triggers;
mod poolers;
mod pools;
mod production;
mod proof;
mod reconcile;
mod records;
mod records_queue;
mod regions;
mod replay;
mod report;
mod restore;
mod rows;
mod rules;
mod runbook;
mod runs;
mod snapshots;
mod stack;
mod statements;
mod style;
mod taken_names;
mod trigger_contract;
mod tunnel;
mod walls;
mod where_from;
