//! A network between a program and a server that is far: every round trip takes its time, that of the TCP handshake
//! included, and connections may die without a word.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// A distance on a loopback port; it ends with the test's runtime.
pub struct Far {
    address: SocketAddr,
    state: watch::Sender<State>,
}

/// What became of the connections so far.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    accepted: u64,
    /// Connections up to this one pass nothing on, and nobody is told.
    dead: u64,
    /// Connections up to this one are closed.
    closed: u64,
}

impl Far {
    /// Leads to `upstream`, which is a round trip of this length away.
    pub async fn start(upstream: SocketAddr, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                // On loopback the program's connection stands at once; on a way of this length, after a round trip.
                let stands = Instant::now() + round_trip;
                shared.send_modify(|state| state.accepted += 1);
                let way = Way { number: shared.borrow().accepted, one_way: round_trip / 2, stands };
                let state = shared.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(upstream).await else { return };
                    drop((program.set_nodelay(true), server.set_nodelay(true)));
                    let (from_program, to_program) = program.into_split();
                    let (from_server, to_server) = server.into_split();
                    let mut changes = state.subscribe();
                    let is_closed = changes.wait_for(|state| state.closed >= way.number);
                    tokio::select! {
                        _ = is_closed => {}
                        () = carry(from_program, to_server, way, &state) => {}
                        () = carry(from_server, to_program, way, &state) => {}
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.state.borrow().accepted
    }

    /// The connections that stand are dead: what is said on them gets lost.
    pub fn lose(&self) {
        self.state.send_modify(|state| state.dead = state.accepted);
    }

    /// The connections that stand are closed.
    pub fn close(&self) {
        self.state.send_modify(|state| state.closed = state.accepted);
    }
}

#[derive(Clone, Copy)]
struct Way {
    number: u64,
    one_way: Duration,
    stands: Instant,
}

/// Passes on what is said, each part half a round trip later; ends when either side has hung up.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, state: &watch::Sender<State>) {
    let (send, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            let arrives = Instant::now().max(way.stands) + way.one_way;
            if send.send((arrives, chunk[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((arrives, said)) = under_way.recv().await {
            sleep_until(arrives).await;
            let is_dead = state.borrow().dead >= way.number;
            if !is_dead && to.write_all(&said).await.is_err() {
                return;
            }
        }
    };
    // The writer ends after the reader, when all has arrived.
    tokio::join!(read, write);
}
