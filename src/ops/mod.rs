//! What is done for a deployment, and what says whether it is as it should be. May read everything; only the commands and
//! the programs know it.

pub mod deployment;
pub mod doctor;
