//! `make bench`: the programs as they are deployed, beside what they are compared to, in one run.
//!
//! Each section writes what it measured into one JSON file; `benches/render.py` makes `docs/performance.md` of it.
//! Every comparison takes turns (A B C A B C), so that a machine that slows down slows all of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs
)]

#[allow(dead_code)]
#[path = "../../../tests/support/binaries.rs"]
mod binaries;
#[allow(dead_code)]
#[path = "../../../tests/support/lambda_runtime_api.rs"]
mod lambda_runtime_api;
mod machine;
mod process;
mod sample;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde_json::{Map, Value};

#[derive(Parser)]
struct Options {
    /// Sections to run; the others' figures stay as they are in the file.
    #[arg(long, value_delimiter = ',', default_values_t = [Section::Trigger])]
    only: Vec<Section>,
    /// Less of everything: to see that it works, not to be quoted.
    #[arg(long)]
    quick: bool,
    /// Where the figures go.
    #[arg(long, default_value = "docs/performance/results.json")]
    out: PathBuf,
    /// The folder with the peers' packages, which `make bench` fills: `python/bin/python` and `node/node_modules`.
    #[arg(long, env = "USER_SYNC_BENCH_PEERS")]
    peers: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Trigger,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().expect("no section is hidden").get_name())
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let mut results: Map<String, Value> = std::fs::read(&options.out)
        .ok()
        .and_then(|file| serde_json::from_slice(&file).ok())
        .unwrap_or_default();
    for section in &options.only {
        println!("== {section}");
        let measured = match section {
            Section::Trigger => Value::Null,
        };
        results.insert(section.to_string(), measured);
        results.insert("machine".to_owned(), machine::describe());
        std::fs::create_dir_all(options.out.parent().unwrap()).unwrap();
        std::fs::write(&options.out, serde_json::to_string_pretty(&results).unwrap() + "\n").unwrap();
    }
}
