//! The producer's tests beyond its units: the contract, the fixtures, what it links.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod carried;
mod contract;
mod dependencies;
mod fixtures;
mod lenient;
mod records;
mod undelivered;

use std::path::PathBuf;

/// Every fixture: its name without the ending, and its text.
fn fixtures() -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut fixtures: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    fixtures.sort();
    assert!(fixtures.len() > 80, "the fixtures are missing");
    fixtures
}
