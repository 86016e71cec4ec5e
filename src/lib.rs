//! The consumer and its tools: messages from the queue become rows in PostgreSQL.
//!
//! Data flows one way: trigger → queue → apply → tables. See ARCHITECTURE.md for the map.

pub mod adapters;
pub mod apply;
pub mod config;
pub mod database;
pub mod dead_letters;
pub mod disposition;
pub mod local;
pub mod logging;
pub mod migrate;
pub mod places;
pub mod pool;
pub mod queue;
pub mod stack;
