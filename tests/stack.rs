//! The local stack ends with the process that started it, however that ends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::binaries;

fn processes() -> String {
    let listed = Command::new("ps").args(["-eo", "pid,args"]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(180), "not within three minutes: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_is_left_after_kill_9() {
    // A temporary folder of its own tells this stack's processes from other tests'.
    let directory = tempfile::Builder::new().prefix("us-kill-").tempdir_in("/tmp").unwrap();
    let mark = directory.path().file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let mut dev = Command::new(binaries::user_sync_dev())
        .arg("dev")
        .env("TMPDIR", directory.path())
        .env_remove("USER_SYNC_DEV_DATABASE_URL")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_up = || {
        let processes = processes();
        let mine = processes.lines().filter(|line| line.contains(&mark)).collect::<Vec<_>>();
        mine.iter().any(|line| line.contains("postgres -D"))
    };
    wait_for("the stack is up", is_up);
    let left = || std::fs::read_dir(directory.path()).unwrap().count();
    wait_for("its folders are there", || left() >= 2);
    dev.kill().unwrap();
    dev.wait().unwrap();
    wait_for("no process is left", || !processes().contains(&mark));
    wait_for("no folder is left", || left() == 0);
}
