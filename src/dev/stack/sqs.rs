//! Runs a server of the SQS protocol: an emulator of AWS, from its Python package. Must not create a queue: the caller
//! does, with the AWS SDK, as on AWS.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cache::{self, Package, Python};
use super::error::Error;
use super::progress::Progress;
use super::supervised::{Supervised, on_free_port};

/// The environment that reaches an emulator. Nothing else does: neither real credentials nor settings of the
/// user's for another instance.
const KEPT: [&str; 5] = ["PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// Which server stands in for SQS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emulator {
    /// Small, and with more of AWS than SQS; it has no message move tasks.
    Ministack,
    /// SQS alone, message move tasks included: for the redrive of dead letters.
    LocalStack,
}

impl Emulator {
    fn name(self) -> &'static str {
        match self {
            Self::Ministack => "the SQS emulator",
            Self::LocalStack => "the SQS emulator with move tasks",
        }
    }

    fn package(self) -> Package {
        match self {
            Self::Ministack => {
                Package { name: "ministack", requirements: include_str!("requirements/ministack.txt") }
            }
            Self::LocalStack => {
                Package { name: "localstack-core", requirements: include_str!("requirements/localstack.txt") }
            }
        }
    }

    /// What asks it to end. It has nothing to save, and LocalStack lingers for minutes after a SIGTERM.
    fn end_signal(self) -> &'static str {
        match self {
            Self::Ministack => "TERM",
            Self::LocalStack => "KILL",
        }
    }

    fn health_path(self) -> &'static str {
        match self {
            Self::Ministack => "/_ministack/health",
            Self::LocalStack => "/_localstack/health",
        }
    }

    /// Adds the program and its settings. Its health check echoes `token`, and so proves to be answered by this
    /// very instance.
    fn configure(self, command: &mut Command, port: u16, folder: &Path, token: &str) -> Result<(), Error> {
        // At start they look for containers of other instances: they must not see a daemon.
        command.env("DOCKER_HOST", format!("unix://{}", folder.join("no-docker").display()));
        match self {
            Self::Ministack => {
                command
                    .args(["-m", "ministack"])
                    // It would listen on every address by default.
                    .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
                    .env("GATEWAY_PORT", port.to_string())
                    .env("MINISTACK_EDITION", token)
                    // No second listener for a protocol that nobody here speaks.
                    .envs([("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0")])
                    .env("STATE_DIR", folder.join("state"))
                    .env("S3_DATA_DIR", folder.join("s3"));
            }
            Self::LocalStack => {
                // It reads its edition from the name of a file.
                let libraries = folder.join("usr/lib/localstack");
                std::fs::create_dir_all(&libraries)
                    .and_then(|()| std::fs::write(libraries.join(format!(".{token}-version")), ""))
                    .map_err(Error::file("write to", &libraries))?;
                command
                    .args(["-m", "localstack.runtime.main"])
                    .env("GATEWAY_LISTEN", format!("{}:{port}", Ipv4Addr::LOCALHOST))
                    // Its default server ignores the address above; its DNS server would listen everywhere.
                    .envs([("GATEWAY_SERVER", "hypercorn"), ("DNS_ADDRESS", "0")])
                    .envs([("SERVICES", "sqs"), ("SQS_ENDPOINT_STRATEGY", "path")])
                    // It reports to nobody and fetches nothing.
                    .envs([("DISABLE_EVENTS", "1"), ("SKIP_SSL_CERT_DOWNLOAD", "1")])
                    // In a container it would take the whole file system for its own.
                    .env("OVERRIDE_IN_DOCKER", "0")
                    .env("FILESYSTEM_ROOT", folder)
                    .env("LOCALSTACK_VOLUME_DIR", folder);
            }
        }
        Ok(())
    }
}

/// A running emulator on 127.0.0.1. Dropping it asks the emulator to end.
pub struct Sqs {
    endpoint: String,
    server: Supervised,
}

impl Sqs {
    /// Installs the emulator, the first time, and starts it on a free port. Any credentials and
    /// any region will do for its clients.
    ///
    /// # Errors
    /// When there is no Python, the package cannot be installed, or the server does not come up.
    pub async fn start(emulator: Emulator, progress: &Progress) -> Result<Self, Error> {
        Self::start_with(emulator, &[], progress).await
    }

    /// The same, with further variables in the emulator's environment, such as the one by which the functions that
    /// it runs find modules.
    ///
    /// # Errors
    /// As [`Sqs::start`].
    pub async fn start_with(
        emulator: Emulator,
        environment: &[(&str, &OsStr)],
        progress: &Progress,
    ) -> Result<Self, Error> {
        let step = progress.step("SQS emulator: looking for it");
        let python = Python::find().await?;
        let package = emulator.package();
        let folder = format!("{}-py{}", package.folder(), python.version);
        let packages = cache::install(&python, &package, &cache::user_cache()?, &folder, &step).await?;
        step.say(format!("starting {}", emulator.name()));
        let sqs = on_free_port(emulator.name(), |port| {
            Self::start_on(port, emulator, environment, &python, &packages)
        })
        .await?;
        step.done(format!("SQS emulator at {}", sqs.endpoint));
        Ok(sqs)
    }

    async fn start_on(
        port: u16,
        emulator: Emulator,
        environment: &[(&str, &OsStr)],
        python: &Python,
        packages: &Path,
    ) -> Result<Self, Error> {
        let temp = std::env::temp_dir();
        let directory = tempfile::Builder::new()
            .prefix("user-sync-sqs-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&temp)
            .map_err(Error::file("create a folder in", &temp))?;
        let path = directory.path();
        let endpoint = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        let token = uuid::Uuid::now_v7().simple().to_string();
        let mut command = Supervised::command(emulator.end_signal(), path);
        command
            .arg(&python.executable)
            .env_clear()
            .envs(KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            .env("PYTHONPATH", packages)
            .envs([("PYTHONNOUSERSITE", "1"), ("PYTHONUNBUFFERED", "1")])
            .env("HOME", path)
            .env("TMPDIR", path)
            .env("AWS_ENDPOINT_URL", &endpoint)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(environment.iter().copied());
        emulator.configure(&mut command, port, path, &token)?;
        let server = Supervised::launch(emulator.name(), directory, command)?;
        server.start()?;
        server.ready(port, || is_ready(port, emulator.health_path(), &token)).await?;
        Ok(Self { endpoint, server })
    }

    /// The URL for an AWS client's `endpoint_url`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Resolves when the emulator has died by itself. Cancel-safe.
    pub async fn failure(&self) -> Error {
        self.server.failure().await
    }

    /// Stops the emulator, which forgets everything, and waits for its end.
    ///
    /// # Errors
    /// When it has not ended in time.
    pub async fn stop(self) -> Result<(), Error> {
        self.server.stop().await
    }
}

/// Whether the health check answers, and by this token.
async fn is_ready(port: u16, path: &str, token: &str) -> bool {
    health(port, path).await.is_ok_and(|answer| answer.contains(token))
}

/// The answer of the health check, headers and all.
async fn health(port: u16, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.take(1 << 20).read_to_string(&mut answer).await?;
    Ok(answer)
}
