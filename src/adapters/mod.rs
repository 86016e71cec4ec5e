//! The two ways that deliveries reach the heart. Both acknowledge what [`crate::disposition`] says, and
//! nothing else; one conformance suite runs against both.

pub mod lambda;
pub mod worker;
