//! A hot standby of a server of the test's own, by `pg_basebackup`.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cognito_user_sync::dev::local;

use crate::eventually;

/// It streams from its primary; ends when dropped.
pub struct Standby {
    process: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Standby {
    /// Of the server at this URL of a superuser; `None` where its installation has no `pg_basebackup`.
    pub async fn of(admin_url: &str) -> Option<Self> {
        let admin = local::connect(admin_url, 1).await.unwrap();
        let ask = async |query: &'static str| -> String {
            sqlx::query_scalar(query).fetch_one(&admin).await.unwrap()
        };
        let data: PathBuf = ask("select current_setting('data_directory')").await.into();
        let programs: PathBuf = ask("select setting from pg_config where name = 'BINDIR'").await.into();
        if !programs.join("pg_basebackup").is_file() {
            return None;
        }
        // PostgreSQL does not run as root: as whom the primary runs.
        let owner = std::fs::metadata(&data).unwrap();
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        chown(folder.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.uid(owner.uid()).gid(owner.gid()).env_clear().current_dir("/");
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let copy = folder.path().join("data");
        let mut backup = command("pg_basebackup");
        backup.arg("--dbname").arg(admin_url).arg("--pgdata").arg(&copy);
        backup.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]);
        assert!(backup.status().unwrap().success());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = command("postgres");
        server.arg("-D").arg(&copy).stderr(Stdio::null());
        let settings = [format!("port={port}"), "listen_addresses=127.0.0.1".to_owned()];
        let settings = settings.into_iter().chain(
            ["unix_socket_directories=", "max_connections=500", "fsync=off", "timezone=UTC"]
                .map(str::to_owned),
        );
        for setting in settings {
            server.arg("-c").arg(setting);
        }
        let standby = Self { process: server.spawn().unwrap(), port, _folder: folder };
        let url = standby.url(admin_url);
        eventually("the standby answers", Duration::from_secs(60), async || {
            local::connect(&url, 1).await.is_ok()
        })
        .await;
        Some(standby)
    }

    /// The same login at the standby.
    pub fn url(&self, of_primary: &str) -> String {
        let mut url = url::Url::parse(of_primary).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.to_string()
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        // A fast shutdown: its processes end with it.
        drop(Command::new("kill").args(["-s", "INT", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
}
