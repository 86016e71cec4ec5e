//! The user that PostgreSQL runs as, which is never root. Must not know how the server is started.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use super::error::Error;

/// Whether every user can enter this folder, or could once it is created.
pub(super) fn open_to_all(folder: impl AsRef<Path>) -> bool {
    folder
        .as_ref()
        .ancestors()
        .filter_map(|part| part.metadata().ok())
        .all(|part| part.permissions().mode() & 0o001 != 0)
}

/// Whether every user can create and remove a folder of their own in this one.
fn writable_to_all(folder: impl AsRef<Path>) -> bool {
    folder.as_ref().metadata().is_ok_and(|folder| folder.permissions().mode() & 0o002 != 0)
}

/// Whom the server runs as: PostgreSQL refuses to run as root.
pub(super) enum ServerUser {
    /// Us.
    Same,
    /// We are root, and this is someone else.
    Other { name: &'static str, uid: u32, gid: u32 },
}

impl ServerUser {
    pub(super) async fn find() -> Result<Self, Error> {
        if id(["-u"]).await? != Some(0) {
            return Ok(Self::Same);
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id(["-u", name]).await?, id(["-g", name]).await?) {
                return Ok(Self::Other { name, uid, gid });
            }
        }
        Err(Error::NoOrdinaryUser)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Same => "this user",
            Self::Other { name, .. } => name,
        }
    }

    /// A new directory that only this user can enter.
    pub(super) fn private_directory(&self) -> Result<TempDir, Error> {
        let temp = match self {
            // The watchdog, which runs as that user, has to remove the directory as well.
            Self::Other { .. }
                if !open_to_all(std::env::temp_dir()) || !writable_to_all(std::env::temp_dir()) =>
            {
                PathBuf::from("/tmp")
            }
            Self::Same | Self::Other { .. } => std::env::temp_dir(),
        };
        let directory = tempfile::Builder::new()
            .prefix("user-sync-postgres-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&temp)
            .map_err(Error::file("create a folder in", &temp))?;
        self.own(directory.path()).map_err(Error::file("hand over", directory.path()))?;
        Ok(directory)
    }

    /// Gives this user a file that nobody else may read.
    pub(super) fn own(&self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Same => Ok(()),
            Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)),
        }
    }

    /// Makes a command run as this user, and free of the environment, whose `PG…` variables change
    /// what the programs do.
    pub(super) fn confine(&self, command: &mut std::process::Command) {
        const KEPT: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];
        command.env_clear().env("LC_ALL", "C").current_dir("/");
        command.envs(KEPT.iter().filter_map(|name| Some((OsStr::new(*name), std::env::var_os(name)?))));
        match self {
            Self::Same => {}
            Self::Other { uid, gid, .. } => {
                command.uid(*uid).gid(*gid);
            }
        }
    }
}

/// What `id` answers, or nothing for an unknown user.
async fn id<const N: usize>(arguments: [&str; N]) -> Result<Option<u32>, Error> {
    let mut command = std::process::Command::new("id");
    command.args(arguments);
    let answer = output(command).await.map_err(Error::run("id"))?;
    Ok(String::from_utf8_lossy(&answer.stdout).trim().parse().ok())
}

/// Runs a short program, out of reach of the terminal's Ctrl-C.
pub(super) async fn output(command: std::process::Command) -> std::io::Result<std::process::Output> {
    Command::from(command).stdin(Stdio::null()).process_group(0).kill_on_drop(true).output().await
}
