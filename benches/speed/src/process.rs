//! What a running process has used, as Linux accounts it.

use std::time::Duration;

/// Processor time of all threads that live, which for the programs measured here are all there were.
pub(crate) fn cpu(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| -> u64 {
        let schedstat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        schedstat.split_whitespace().next().map_or(0, |time| time.parse().unwrap())
    };
    Duration::from_nanos(tasks.map(nanoseconds).sum())
}

/// The most memory it ever held, in megabytes of a million bytes.
pub(crate) fn peak_rss_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
}
