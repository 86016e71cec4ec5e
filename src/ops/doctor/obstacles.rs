//! Checks what others have added to the tables that can refuse this service's rows. Must not read a row.

use crate::ops::doctor::{Finding, bounded};
use crate::postgres::Database;
use crate::store::obstacles;

/// Names what can refuse a row.
pub(super) async fn examine(database: &Database) -> Result<Finding, Finding> {
    let obstacles = bounded(obstacles(database.inspection())).await?;
    if obstacles.is_empty() {
        return Ok(Finding::ok("nothing that others added to the tables can refuse a row"));
    }
    let names: Vec<&str> = obstacles.iter().map(|(obstacle, _)| obstacle.as_str()).collect();
    let found = format!("can refuse rows: {}", names.join("; "));
    let fix = "give each column a default, and let every constraint, trigger and policy accept a user of whom only the sub \
               is known; rows that are refused are tried again until it is mended (docs/adopting.md)";
    Ok(match obstacles.iter().any(|(_, is_certain)| *is_certain) {
        true => Finding::failed(found, fix),
        false => Finding::warning(found, fix),
    })
}
