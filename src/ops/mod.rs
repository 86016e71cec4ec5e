//! Sets a deployment up and examines it. May read everything; only the commands and the programs may import it.

pub mod deployment;
pub mod doctor;
