//! The consumer and its tools: messages from the queue become rows in PostgreSQL.
//!
//! Data flows one way: trigger → queue → apply → tables. See ARCHITECTURE.md for the map.

pub mod adapters;
pub mod apply;
pub mod aws;
pub mod config;
pub mod credentials;
pub mod database;
pub mod dead_letters;
pub mod disposition;
pub mod doctor;
pub mod lifecycle;
pub mod local;
pub mod logging;
pub mod metrics;
pub mod migrate;
pub mod monitoring;
pub mod operator;
pub mod places;
pub mod pool;
pub mod pool_triggers;
pub mod queue;
pub mod reconcile;
pub mod replay;
pub mod report;
pub mod stack;
