//! The host of a Region's load balancers' public keys, over TLS.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificates::Certified;

/// How the host answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// With the key, or by 404.
    #[default]
    Well,
    /// Never.
    Silent,
    /// With what is no key.
    Garbage,
    /// With more than anybody should read.
    Endless,
    /// By 500.
    Failing,
    /// By sending whoever asks elsewhere.
    Elsewhere,
}

/// What the host holds, for tests to see and to change.
#[derive(Default)]
pub struct Held {
    /// Keys by id, as PEM.
    pub keys: HashMap<String, String>,
    pub mood: Mood,
    /// The paths that were asked for.
    pub asked: Vec<String>,
}

/// The host; it ends with the test's runtime.
pub struct KeyHost {
    pub address: SocketAddr,
    authority: String,
    held: Arc<Mutex<Held>>,
}

impl KeyHost {
    /// With a certificate of this name.
    pub async fn start(name: &str) -> Self {
        let certified = Certified::of(name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(Mutex::new(Held::default()));
        let acceptor = TlsAcceptor::from(Arc::new(certified.config()));
        let shared = Arc::clone(&held);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, held) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move { answer(acceptor, stream, &held).await });
            }
        });
        Self { address, authority: certified.authority, held }
    }

    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Writes who vouches for the host, for `SSL_CERT_FILE`.
    pub fn bundle(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        std::fs::write(&path, &self.authority).unwrap();
        path
    }
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream, held: &Mutex<Held>) {
    // Whoever does not trust the certificate goes away.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let (mood, key) = {
        let mut held = held.lock().unwrap();
        held.asked.push(path.clone());
        (held.mood, held.keys.get(path.trim_start_matches('/')).cloned())
    };
    let (status, body) = match (mood, key) {
        (Mood::Silent, _) => return std::future::pending().await,
        (Mood::Garbage, _) => ("200 OK", "<html>-----BEGIN PUBLIC KEY-----".to_owned()),
        (Mood::Endless, _) => ("200 OK", "x".repeat(10 << 20)),
        (Mood::Failing, _) => ("500 Internal Server Error", String::new()),
        (Mood::Elsewhere, _) => ("302 Found\r\nlocation: https://evil.example/key", String::new()),
        (Mood::Well, Some(key)) => ("200 OK", key),
        (Mood::Well, None) => ("404 Not Found", String::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // Who reads no further goes away.
    drop(stream.write_all((head + &body).as_bytes()).await);
    drop(stream.shutdown().await);
}
