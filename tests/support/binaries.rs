//! The programs as they are deployed: optimised builds, made once for all tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The build of the trigger, in its own profile. Built by itself, as it is for Lambda: a build of the whole
/// workspace would unite the features of what it shares with the consumer.
pub fn trigger() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("cognito-user-sync-triggers", "trigger")).join("user-sync-trigger")
}

/// The release build of the consumer.
pub fn consumer() -> PathBuf {
    root().join("user-sync-consumer")
}

/// The release build of the command-line tool.
pub fn user_sync() -> PathBuf {
    root().join("user-sync")
}

/// The command-line tool with the feature `dev`, as cargo built it for the test that runs.
pub fn user_sync_dev() -> PathBuf {
    dev_copy().expect("cargo runs the test, and names the program")
}

/// A link of its own: where the tests run in the profile of the programs, the build without the feature replaces
/// the one with it.
fn dev_copy() -> Option<PathBuf> {
    static COPIED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let copy = || {
        let built = std::env::var_os("CARGO_BIN_EXE_user-sync")?;
        let folder = Path::new(&built).with_file_name("with-dev");
        std::fs::create_dir_all(&folder).expect("the folder can be written");
        let copied = folder.join("user-sync");
        // What an earlier run left.
        drop(std::fs::remove_file(&copied));
        std::fs::hard_link(&built, &copied).expect("a program can be linked");
        Some(copied)
    };
    COPIED.get_or_init(copy).clone()
}

fn root() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build_root = || {
        dev_copy();
        build("cognito-user-sync", "release")
    };
    BUILT.get_or_init(build_root).clone()
}

/// The release build of the Lambda for lifecycle events.
pub fn lifecycle() -> PathBuf {
    root().join("user-sync-lifecycle")
}

/// The release build of the Lambda for custom resources and schedules.
pub fn operator() -> PathBuf {
    root().join("user-sync-operator")
}

/// Builds a package's binaries in the profile of their deployment and returns the folder that holds them.
fn build(package: &str, profile: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo told this program of its own package: build scripts ask for variables of these names, and with others'
    // values they and all that stands on them are built again.
    let is_told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_told)) {
        cargo.env_remove(name);
    }
    let built = cargo
        .args(["build", "--locked", "--bins", "--message-format", "json-render-diagnostics"])
        // `dev` while you work: a release build takes minutes.
        .args(["--profile", &std::env::var("USER_SYNC_TEST_PROFILE").unwrap_or_else(|_| profile.to_owned())])
        .args(["--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "the build of {package} failed");
    let messages = String::from_utf8(built.stdout).expect("cargo writes UTF-8");
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    };
    let binary = messages.lines().find_map(executable).expect("cargo names the binaries");
    binary.parent().expect("a binary is in a folder").to_owned()
}
