//! The workbench: a local deployment and its servers, for the demos, `user-sync dev` and the tests. It is behind the Cargo
//! feature `dev`, so that no production program links it.

pub mod company;
pub mod local;
pub mod stack;
pub mod traffic;
