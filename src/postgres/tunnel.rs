//! Connects to a server by another address than its name has: `hostaddr`, as where a tunnel ends. Must not know what is
//! said: the driver encrypts it for the name, and what passes here is that.
//!
//! The driver verifies the host that its options name, also over a socket of this machine's own. So we dial the address
//! and hand the driver such a socket, in a folder of this user's alone, which is gone when the connection is open.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixListener};

/// How long the driver may take until it connects to the socket: it does so at once.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Host and port, and what is dialled in their place.
pub(super) fn describe(options: &PgConnectOptions, hostaddr: Option<SocketAddr>) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    match hostaddr {
        None => format!("{host}:{port}"),
        Some(address) => format!("{host}:{port} by way of {address}"),
    }
}

/// A connection to the server of `options` by way of `address`.
///
/// # Errors
/// The driver's; where nothing answers, or the certificate is not the host's, with both names.
pub(super) async fn connect(
    options: &PgConnectOptions,
    address: SocketAddr,
) -> Result<PgConnection, sqlx::Error> {
    let server = describe(options, Some(address));
    let opened = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (folder, listener) = listen(options.get_port()).map_err(|error| {
            let why = format!("no socket in the folder for temporary files (TMPDIR): {error}");
            io::Error::new(error.kind(), why)
        })?;
        tokio::spawn(pass_on(listener, stream));
        options.clone().socket(folder.path()).connect().await
    };
    opened.await.map_err(|error| named(error, &server))
}

/// A socket as the driver looks for it, in a folder that its owner alone may enter.
fn listen(port: u16) -> io::Result<(TempDir, UnixListener)> {
    let folder = tempfile::Builder::new().prefix("user-sync-").tempdir()?;
    let listener = UnixListener::bind(folder.path().join(format!(".s.PGSQL.{port}")))?;
    Ok((folder, listener))
}

/// An error of the way there, with where it was to lead.
fn named(error: sqlx::Error, server: &str) -> sqlx::Error {
    if let sqlx::Error::Io(cause) = &error {
        return io::Error::new(cause.kind(), format!("{server}: {cause}")).into();
    }
    if let sqlx::Error::Tls(cause) = &error {
        return sqlx::Error::Tls(format!("{server}: {cause}").into());
    }
    error
}

/// Passes on what the driver and the server say, until both have ended.
async fn pass_on(listener: UnixListener, mut server: TcpStream) {
    let accepted = tokio::time::timeout(ACCEPT_TIMEOUT, listener.accept()).await;
    let Ok(Ok((mut driver, _))) = accepted else { return };
    drop(listener);
    // A connection that is cut is cut for the driver, too, which says so.
    drop(tokio::io::copy_bidirectional(&mut driver, &mut server).await);
}
