//! A server that speaks the SQS protocol: an emulator of AWS, run from its Python package.
//!
//! It creates no queues: the caller does, with the AWS SDK, as on AWS.

use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cache::{self, Package, Python};
use super::error::Error;
use super::progress::Progress;
use super::supervised::{Supervised, on_free_port};

const NAME: &str = "the SQS emulator";
const PACKAGE: Package = Package { requirement: "ministack==1.5.33", with_dependencies: true };

/// The environment that never reaches the emulator: real credentials, and settings of the user's
/// for another instance of it.
fn is_foreign(variable: &str) -> bool {
    const PREFIXES: [&str; 6] = ["AWS_", "MINISTACK_", "LOCALSTACK_", "LAMBDA_", "PYTHON", "IOT_"];
    const NAMES: [&str; 7] =
        ["AUTH", "DOCKER_NETWORK", "EDGE_PORT", "LOG_LEVEL", "PERSIST_STATE", "SERVICES", "USE_SSL"];
    PREFIXES.iter().any(|prefix| variable.starts_with(prefix)) || NAMES.contains(&variable)
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
    pub async fn start(progress: &Progress) -> Result<Self, Error> {
        let step = progress.step("SQS emulator: looking for it");
        let python = Python::find().await?;
        let name = format!("{}-py{}", PACKAGE.requirement.replace("==", "-"), python.version);
        let packages = cache::install(&python, &PACKAGE, &cache::user_cache()?, &name, &step).await?;
        step.say("starting the SQS emulator");
        let sqs = on_free_port(NAME, |port| Self::start_on(port, &python, &packages)).await?;
        step.done(format!("SQS emulator at {}", sqs.endpoint));
        Ok(sqs)
    }

    async fn start_on(port: u16, python: &Python, packages: &Path) -> Result<Self, Error> {
        let temp = std::env::temp_dir();
        let directory = tempfile::Builder::new()
            .prefix("user-sync-sqs-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&temp)
            .map_err(Error::file("create a folder in", &temp))?;
        let path = directory.path();
        let endpoint = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        let token = uuid::Uuid::now_v7().simple().to_string();
        let mut command = Supervised::command("TERM", path);
        for (variable, _) in std::env::vars_os().filter(|(name, _)| is_foreign(&name.to_string_lossy())) {
            command.env_remove(variable);
        }
        command
            .arg(&python.executable)
            .args(["-m", "ministack"])
            .env("PYTHONPATH", packages)
            .envs([("PYTHONNOUSERSITE", "1"), ("PYTHONUNBUFFERED", "1")])
            // It would listen on every address by default.
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("GATEWAY_PORT", port.to_string())
            .env("AWS_ENDPOINT_URL", &endpoint)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // Echoed by its health check, which so proves to be answered by this very instance.
            .env("MINISTACK_EDITION", &token)
            // No second listener for a protocol that nobody here speaks.
            .envs([("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0")])
            // At start it removes containers of other instances: it must not see a daemon.
            .env("DOCKER_HOST", format!("unix://{}", path.join("no-docker").display()))
            .env("TMPDIR", path)
            .env("STATE_DIR", path.join("state"))
            .env("S3_DATA_DIR", path.join("s3"));
        let server = Supervised::launch(NAME, directory, command)?;
        server.start()?;
        server.ready(port, || is_ready(port, &token)).await?;
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
async fn is_ready(port: u16, token: &str) -> bool {
    health(port).await.is_ok_and(|answer| answer.contains(token))
}

/// The answer of the health check, headers and all.
async fn health(port: u16) -> std::io::Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection
        .write_all(b"GET /_ministack/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    connection.take(1 << 20).read_to_string(&mut answer).await?;
    Ok(answer)
}
