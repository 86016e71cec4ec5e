//! The programs that are deployed hold nothing of the workbench: neither its commands nor what it starts.

use std::path::Path;
use std::process::Command;

use crate::support::binaries;

/// Strings that only `src/dev` and its commands have: servers and packages of the local stack.
const TRACES: [&str; 4] = ["pixeltable", "ministack", "initdb", "user-sync demo"];

/// The traces that a program holds.
fn traces(program: &Path) -> Vec<&'static str> {
    let bytes = std::fs::read(program).unwrap();
    let holds = |trace: &&str| bytes.windows(trace.len()).any(|window| window == trace.as_bytes());
    TRACES.into_iter().filter(holds).collect()
}

#[test]
fn production_has_neither_demo_nor_dev() {
    for command in ["demo", "console-demo", "dev"] {
        let output = Command::new(binaries::user_sync()).arg(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("unrecognized subcommand"), "{command}: {said}");
    }
}

#[test]
fn production_holds_no_trace_of_the_workbench() {
    assert_eq!(traces(&binaries::user_sync_dev()), TRACES, "what is looked for exists");
    let programs = [
        binaries::user_sync(),
        binaries::consumer(),
        binaries::lifecycle(),
        binaries::operator(),
        binaries::trigger(),
    ];
    for program in programs {
        assert!(traces(&program).is_empty(), "{}: {:?}", program.display(), traces(&program));
    }
}
