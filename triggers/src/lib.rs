//! The producer's library: what a Cognito trigger says, as one queue message.
//!
//! Owns the event contract ([`event`]), which the consumer depends on; the dependency never points the
//! other way. Must not know that a database exists: no SQL driver is linked here, and a test says so.

pub mod aws;
pub mod chain;
pub mod client_metadata;
pub mod cognito;
pub mod environment;
pub mod event;
pub mod http;
pub mod json;
pub mod metrics;
pub mod publish;
pub mod queue_url;
pub mod request_error;
pub mod retry;
pub mod text;
pub mod timestamp;
pub mod trigger;
pub mod undelivered;
pub mod user_pool_id;
