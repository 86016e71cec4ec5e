//! What was measured, when, and on what: each section keeps its own, since not all need be measured at once.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::sample::Spread;

pub(crate) fn describe() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|at| at.1);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).map(|line| {
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0);
        (kilobytes / 1_048_576.0).round()
    });
    json!({
        "processor": model.unwrap_or("unknown"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_gib": memory,
        "flush_ms": flush_ms(),
        "kernel": first_line("uname", &["-sr"]),
        "rust": first_line("rustc", &["--version"]),
        "python": first_line("python3", &["--version"]),
        "node": first_line("node", &["--version"]),
        "commit": first_line("git", &["describe", "--always", "--dirty"]),
        "date": first_line("date", &["-u", "+%Y-%m-%d"]),
    })
}

/// What a commit waits for: 8 KB written over and flushed, where PostgreSQL's files are; the median of many.
fn flush_ms() -> f64 {
    let (file, page) = (tempfile::tempfile().unwrap(), [1; 8192]);
    let flush = |file: &File| {
        let started = Instant::now();
        file.write_all_at(&page, 0).unwrap();
        file.sync_data().unwrap();
        started.elapsed().as_secs_f64() * 1e3
    };
    Spread::of(&(0..200).map(|_| flush(&file)).collect::<Vec<_>>()).median
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}
