//! What was measured, when, and on what: each section keeps its own, since not all need be measured at once.

use std::process::Command;

use serde_json::{Value, json};

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
        "kernel": first_line("uname", &["-sr"]),
        "rust": first_line("rustc", &["--version"]),
        "python": first_line("python3", &["--version"]),
        "node": first_line("node", &["--version"]),
        "commit": first_line("git", &["describe", "--always", "--dirty"]),
        "date": first_line("date", &["-u", "+%Y-%m-%d"]),
    })
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}
