//! The consumer and its tools: messages from the queue become rows in PostgreSQL.
//!
//! Data flows one way: trigger → queue → apply → tables. See ARCHITECTURE.md for the map.

pub mod aws;
pub mod cognito;
pub mod config;
pub mod consumer;
#[cfg(feature = "dev")]
pub mod dev;
pub mod geoip;
pub mod logging;
pub mod metrics;
pub mod ops;
pub mod postgres;
pub mod sqs;
pub mod store;
