//! The workbench: a local deployment and the servers below it, for the demo, `user-sync dev` and the tests. Behind the
//! Cargo feature `dev`; no production program links it.

pub mod local;
pub mod stack;
pub mod traffic;
