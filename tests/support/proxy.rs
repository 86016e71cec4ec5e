//! Stands between a program and a server, and springs a trap at a chosen moment of their conversation.
//!
//! Faults are forced from outside, so the program under test is the one that is deployed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Program,
    Server,
}

/// What happens when the trap springs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The test is told, and the connection waits until it has done what it wants; what was said is passed on
    /// before, or never.
    Tell { pass_on: bool },
    /// The connection is cut, and what was said is passed on before, or never.
    Cut { pass_on: bool },
    /// The program gets this answer instead of the server's.
    Answer(&'static str),
}

/// A moment: the speaker says the words for the n-th time, or every n-th time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    pub speaker: Speaker,
    pub words: &'static str,
    pub nth: u32,
    pub repeats: bool,
    pub action: Action,
}

/// A proxy on a loopback port; it ends with the test's runtime.
pub struct Proxy {
    address: SocketAddr,
    upstream: SocketAddr,
    /// A message each time the trap tells; the connection goes on when the sender is dropped or used.
    pub sprung: mpsc::Receiver<oneshot::Sender<()>>,
    pub count: Arc<AtomicU32>,
}

impl Proxy {
    /// Passes on to `upstream`, with one trap for all connections together.
    pub async fn start(upstream: SocketAddr, trap: Option<Trap>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tell, sprung) = mpsc::channel(64);
        let count = Arc::new(AtomicU32::new(0));
        let heard = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                let (heard, tell) = (Arc::clone(&heard), tell.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(upstream).await else { return };
                    drop((program.set_nodelay(true), server.set_nodelay(true)));
                    converse(program, server, trap, heard, tell).await;
                });
            }
        });
        Self { address, upstream, sprung, count }
    }

    /// Passes on to the HTTP server at `endpoint`.
    pub async fn in_front_of(endpoint: &str, trap: Option<Trap>) -> Self {
        let upstream = endpoint.trim_start_matches("http://").parse().expect("an address and a port");
        Self::start(upstream, trap).await
    }

    /// A URL of the server that leads through the proxy.
    pub fn through(&self, url: &str) -> String {
        let through = url.replace(&self.upstream.to_string(), &self.address.to_string());
        assert_ne!(through, url, "the URL names the server");
        through
    }
}

async fn converse(
    program: TcpStream,
    server: TcpStream,
    trap: Option<Trap>,
    heard: Arc<AtomicU32>,
    tell: mpsc::Sender<oneshot::Sender<()>>,
) {
    let (from_program, to_program) = program.into_split();
    let (from_server, to_server) = server.into_split();
    let to_program = Arc::new(tokio::sync::Mutex::new(to_program));
    let to_server = Arc::new(tokio::sync::Mutex::new(to_server));
    let one = pump(Speaker::Program, from_program, &to_server, &to_program, trap, &heard, &tell);
    let other = pump(Speaker::Server, from_server, &to_program, &to_program, trap, &heard, &tell);
    // Whoever ends, or springs the trap, ends the conversation: both sockets are closed.
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}

async fn pump(
    speaker: Speaker,
    mut from: OwnedReadHalf,
    to: &tokio::sync::Mutex<OwnedWriteHalf>,
    to_program: &tokio::sync::Mutex<OwnedWriteHalf>,
    trap: Option<Trap>,
    heard: &AtomicU32,
    tell: &mpsc::Sender<oneshot::Sender<()>>,
) {
    let mut chunk = vec![0; 256 * 1024];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let said = &chunk[..length];
        let springs = trap.filter(|trap| {
            let is_said = trap.speaker == speaker
                && said.windows(trap.words.len()).any(|part| part == trap.words.as_bytes());
            let times = if is_said { heard.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            is_said && if trap.repeats { times % trap.nth == 0 } else { times == trap.nth }
        });
        let pass_on = match springs.map(|trap| trap.action) {
            None => true,
            Some(Action::Tell { pass_on } | Action::Cut { pass_on }) => pass_on,
            Some(Action::Answer(_)) => false,
        };
        if pass_on && to.lock().await.write_all(said).await.is_err() {
            return;
        }
        match springs.map(|trap| trap.action) {
            None => {}
            Some(Action::Cut { .. }) => return,
            Some(Action::Answer(answer)) => {
                drop(to_program.lock().await.write_all(answer.as_bytes()).await);
                return;
            }
            Some(Action::Tell { .. }) => {
                let (done, is_done) = oneshot::channel();
                if tell.send(done).await.is_ok() {
                    drop(is_done.await);
                }
                return;
            }
        }
    }
}
