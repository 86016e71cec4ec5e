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

mod contexts;
mod drain;
mod freshness;
mod growth;
mod limit;
mod machine;
mod process;
mod queue;
mod sample;
mod server;
mod trigger;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde_json::{Map, Value};

#[derive(Parser)]
struct Options {
    /// Sections to run; the others' figures stay as they are in the file.
    #[arg(long, value_delimiter = ',', default_values_t = Section::value_variants().iter().copied())]
    only: Vec<Section>,
    /// Less of everything: to see that it works. What it measures is not to be quoted, and is not kept unless --out
    /// says where.
    #[arg(long)]
    quick: bool,
    /// Users in the table of the comparison.
    #[arg(long, default_value_t = 1_000_000)]
    users: u64,
    /// Sizes of the batches to compare.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000, 10_000])]
    batches: Vec<usize>,
    /// Numbers of processes to compare.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4])]
    processes: Vec<usize>,
    /// Sizes of the table to grow through.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 10_000_000, 20_000_000])]
    growth: Vec<u64>,
    /// Rows of the ledger beside the largest table.
    #[arg(long, default_value_t = 50_000_000)]
    ledger: u64,
    /// Events a second offered to the worker.
    #[arg(long, value_delimiter = ',', default_values_t = [500, 1_000, 5_000])]
    rates: Vec<u64>,
    /// Seconds of the steady rate with contexts.
    #[arg(long, default_value_t = 600)]
    steady: u64,
    /// Only this program and the limit.
    #[arg(long)]
    without_peers: bool,
    /// Where the figures go, beside those that are there: docs/performance/results.json.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The folder with the peers' packages, which `make bench` fills: `python/bin/python` and `node/node_modules`.
    #[arg(long, env = "USER_SYNC_BENCH_PEERS")]
    peers: PathBuf,
}

impl Options {
    fn drain_plan(&self) -> drain::Plan {
        use drain::Contestant;
        let contestants = match self.without_peers {
            true => vec![Contestant::UserSync, Contestant::Limit],
            false => Contestant::ALL.to_vec(),
        };
        let (runs, seconds) = if self.quick { (1, 2.0) } else { (3, 3.0) };
        let (users, batches, processes) = (self.users, self.batches.clone(), self.processes.clone());
        drain::Plan { users, batches, processes, contestants, renames: false, runs, seconds }
    }

    /// `pgbench` has no part in it: what the slow path sends depends on what it reads.
    fn renames_plan(&self) -> drain::Plan {
        let plan = self.drain_plan();
        let contestants =
            plan.contestants.into_iter().filter(|contestant| *contestant != drain::Contestant::Limit);
        let (contestants, batches, processes) = (contestants.collect(), vec![1_000], vec![4]);
        drain::Plan { contestants, batches, processes, renames: true, ..plan }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Trigger,
    Drain,
    Renames,
    Growth,
    Freshness,
    /// Records of sign-ins: what they cost, how old they are, and an attack.
    Contexts,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().expect("no section is hidden").get_name())
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    // Before anything is written: what is measured is what was committed.
    let machine = machine::describe();
    let out =
        options.out.clone().or((!options.quick).then(|| PathBuf::from("docs/performance/results.json")));
    let read = |out: &PathBuf| serde_json::from_slice(&std::fs::read(out).ok()?).ok();
    let mut results: Map<String, Value> = out.as_ref().and_then(read).unwrap_or_default();
    for section in &options.only {
        println!("== {section}");
        let mut measured = match section {
            Section::Trigger => trigger::run(options.quick, &options.peers),
            Section::Drain => drain::run(&options.drain_plan(), &options.peers).await,
            Section::Renames => drain::run(&options.renames_plan(), &options.peers).await,
            Section::Growth => growth::run(&options.growth, options.ledger, options.quick).await,
            Section::Freshness => freshness::run(options.users, &options.rates, options.quick).await,
            Section::Contexts => contexts::run(options.users, options.steady, options.quick).await,
        };
        measured["machine"] = machine.clone();
        results.insert(section.to_string(), measured);
        if let Some(out) = &out {
            std::fs::create_dir_all(out.parent().unwrap()).unwrap();
            std::fs::write(out, serde_json::to_string_pretty(&results).unwrap() + "\n").unwrap();
        }
    }
}
