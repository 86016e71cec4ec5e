//! A double of the poolers and proxies that stand before PostgreSQL: RDS Proxy, and PgBouncer in two of its modes.
//!
//! At transactions it is harder on a program than they are: no transaction has the server connection that the same
//! client's last one had. It runs no reset query either, so what a client sets stays for the next one, as in
//! PgBouncer. Messages: "Frontend/Backend Protocol" (PostgreSQL's manual).

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// How many server connections stay idle, so that clients never meet the same one twice running.
const WARM: usize = 4;

/// The startup parameters that PgBouncer knows. It refuses all others, unless it is told to ignore them.
const TRACKED: [&str; 5] =
    ["client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "application_name"];

/// What RDS Proxy says to a client that sends `options`.
const NO_OPTIONS: &str = "Feature not supported: RDS Proxy currently doesn't support command-line options.";

/// How a pooler or a proxy behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RDS Proxy: refuses `options`, and each transaction has another server connection. What it does with other
    /// startup parameters is not documented: it lets them go by.
    RdsProxy,
    /// PgBouncer in session mode: refuses what it does not know, and a client keeps its server connection.
    Session,
    /// The same with `ignore_startup_parameters = extra_float_digits,options`: these are dropped silently.
    SessionIgnoring,
    /// PgBouncer in transaction mode: refuses what it does not know, and each transaction has another server connection.
    Transaction,
    /// The same with `ignore_startup_parameters = extra_float_digits,options`.
    TransactionIgnoring,
}

impl Kind {
    fn is_session(self) -> bool {
        matches!(self, Self::Session | Self::SessionIgnoring)
    }

    /// The SQLSTATE and the text with which it refuses a client that starts with the parameter.
    fn refusal(self, name: &str) -> Option<(&'static str, String)> {
        let ignored: &[&str] = match self {
            Self::RdsProxy => return (name == "options").then(|| ("0A000", NO_OPTIONS.to_owned())),
            Self::Session | Self::Transaction => &[],
            Self::SessionIgnoring | Self::TransactionIgnoring => &["extra_float_digits", "options"],
        };
        let mut known = ["user", "database"].iter().chain(&TRACKED).chain(ignored);
        let is_known = known.any(|known| known.eq_ignore_ascii_case(name));
        (!is_known).then(|| ("08P01", format!("unsupported startup parameter: {name}")))
    }
}

/// The pooler on a loopback port; it ends with the test's runtime.
pub struct Pooler {
    url: String,
    shared: Arc<Shared>,
}

impl Pooler {
    /// Stands before the server of `url` (`postgres://user:password@host:port/database`), and logs in there as `url`
    /// says, whoever its client is.
    pub async fn start(kind: Kind, url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::of(kind, url).expect("postgres://user:password@host:port/database"));
        let url = url.replace(&format!("@{}/", shared.upstream), &format!("@{address}/"));
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (serving, mut client) = (Arc::clone(&serving), Peer::of(client));
                tokio::spawn(async move {
                    if let Err(error) = serving.serve(&mut client).await {
                        // Its server connection could not be opened; a client that has gone does not hear it.
                        drop(client.writer.write_all(&fatal("08P01", &error.to_string())).await);
                    }
                });
            }
        });
        Self { url, shared }
    }

    /// The URL, leading through the pooler.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server connections that it opened so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How often a client got a server connection so far: for a transaction, or for what it sent outside one. In
    /// session mode, once a client.
    pub fn transactions(&self) -> usize {
        self.shared.transactions.load(Ordering::SeqCst)
    }
}

struct Shared {
    kind: Kind,
    upstream: String,
    user: String,
    password: String,
    database: String,
    /// The first client's parameters: at transactions every server connection has them. PgBouncer sets each client's
    /// own before its transaction.
    parameters: OnceLock<Vec<(String, String)>>,
    /// Server connections that no client has, the longest idle first.
    idle: Mutex<VecDeque<Server>>,
    connections: AtomicUsize,
    transactions: AtomicUsize,
}

impl Shared {
    fn of(kind: Kind, url: &str) -> Option<Self> {
        let (login, place) = url.strip_prefix("postgres://")?.rsplit_once('@')?;
        assert!(!login.contains('%'), "the double does not unquote a login");
        let (user, password) = login.split_once(':')?;
        let (upstream, database) = place.split_once('/')?;
        let database = database.split('?').next()?;
        let [user, password, upstream, database] = [user, password, upstream, database].map(str::to_owned);
        let (parameters, idle, connections, transactions) = Default::default();
        Some(Self { kind, upstream, user, password, database, parameters, idle, connections, transactions })
    }

    async fn serve(&self, client: &mut Peer) -> io::Result<()> {
        let Some(asked) = client.startup().await? else { return Ok(()) };
        if let Some((code, text)) = asked.iter().find_map(|(name, _)| self.kind.refusal(name)) {
            return client.writer.write_all(&fatal(code, &text)).await;
        }
        let is_tracked = |name: &str| TRACKED.iter().any(|tracked| tracked.eq_ignore_ascii_case(name));
        let tracked: Vec<_> = asked.into_iter().filter(|(name, _)| is_tracked(name)).collect();
        if self.kind.is_session() {
            let mut server = self.open(&tracked).await?;
            self.transactions.fetch_add(1, Ordering::SeqCst);
            client.welcome(&server).await?;
            relay(client, &mut server.peer, true).await;
            return Ok(());
        }
        self.parameters.get_or_init(|| tracked);
        let server = self.take(None).await?;
        client.welcome(&server).await?;
        self.idle.lock().unwrap().push_back(server);
        let mut last = None;
        // Terminate ends the client's conversation, and not the server connection.
        while client.incoming.begins().await?.kind != b'X' {
            let mut server = self.take(last).await?;
            self.transactions.fetch_add(1, Ordering::SeqCst);
            last = Some(server.number);
            if !relay(client, &mut server.peer, false).await {
                // Nobody knows what the server connection is in the middle of.
                break;
            }
            self.idle.lock().unwrap().push_back(server);
        }
        Ok(())
    }

    /// The server connection that is idle for the longest time, but for the client's last one; or another one.
    async fn take(&self, last: Option<usize>) -> io::Result<Server> {
        let idle = {
            let mut idle = self.idle.lock().unwrap();
            idle.retain_mut(Server::lives);
            let at = idle.iter().position(|server| Some(server.number) != last);
            at.filter(|_| idle.len() >= WARM).and_then(|at| idle.remove(at))
        };
        match idle {
            Some(server) => Ok(server),
            None => self.open(self.parameters.get().map_or(&[], Vec::as_slice)).await,
        }
    }

    /// Logs in to the server.
    async fn open(&self, parameters: &[(String, String)]) -> io::Result<Server> {
        let mut peer = Peer::of(TcpStream::connect(&self.upstream).await?);
        let login = [("user", self.user.as_str()), ("database", &self.database)];
        let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut says = BytesMut::new();
        frontend::startup_message(login.into_iter().chain(parameters), &mut says)?;
        let mut scram = ScramSha256::new(self.password.as_bytes(), ChannelBinding::unsupported());
        let mut greeting = Vec::new();
        loop {
            peer.writer.write_all(&says.split()).await?;
            let message = peer.incoming.message().await?;
            match Message::parse(&mut message.clone())?.expect("a whole message") {
                Message::AuthenticationOk | Message::NoticeResponse(_) => {}
                Message::AuthenticationMd5Password(asks) => {
                    let hash = md5_hash(self.user.as_bytes(), self.password.as_bytes(), asks.salt());
                    frontend::password_message(hash.as_bytes(), &mut says)?;
                }
                Message::AuthenticationSasl(_) => {
                    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut says)?;
                }
                Message::AuthenticationSaslContinue(asks) => {
                    scram.update(asks.data())?;
                    frontend::sasl_response(scram.message(), &mut says)?;
                }
                Message::AuthenticationSaslFinal(proof) => scram.finish(proof.data())?,
                Message::ParameterStatus(_) | Message::BackendKeyData(_) => greeting.extend(message),
                Message::ReadyForQuery(_) => break,
                Message::ErrorResponse(_) => {
                    let fields = String::from_utf8_lossy(&message[5..]).replace('\0', " ");
                    return Err(io::Error::other(format!("server login failed: {fields}")));
                }
                _ => panic!("the server says {:?} at the login", char::from(message[0])),
            }
        }
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        Ok(Server { number, peer, greeting })
    }
}

/// A connection to the server, logged in.
struct Server {
    number: usize,
    peer: Peer,
    /// ParameterStatus and BackendKeyData, as the server said them.
    greeting: Vec<u8>,
}

impl Server {
    /// Whether an idle connection can be used: an error that nobody asked for is the server's last word.
    fn lives(&mut self) -> bool {
        let Incoming { reader, buffer, .. } = &mut self.peer.incoming;
        let read = reader.try_read_buf(buffer).map(|length| length > 0);
        let is_open = read.unwrap_or_else(|error| error.kind() == io::ErrorKind::WouldBlock);
        is_open && head(buffer).is_none_or(|head| head.kind != b'E')
    }
}

/// One end of a conversation: a client, or the server.
struct Peer {
    incoming: Incoming,
    writer: OwnedWriteHalf,
}

impl Peer {
    fn of(stream: TcpStream) -> Self {
        drop(stream.set_nodelay(true));
        let (reader, writer) = stream.into_split();
        Self { incoming: Incoming { reader, buffer: BytesMut::new(), left: 0 }, writer }
    }

    /// The parameters that a client starts with; none, where it does not want a session.
    async fn startup(&mut self) -> io::Result<Option<Vec<(String, String)>>> {
        loop {
            let length = self.incoming.reader.read_u32().await? as usize;
            assert!((8..=10_000).contains(&length), "a first message of {length} bytes");
            let code = self.incoming.reader.read_u32().await?;
            let mut body = vec![0; length - 8];
            self.incoming.reader.read_exact(&mut body).await?;
            match code {
                // SSLRequest and GSSENCRequest: there is neither.
                80_877_103 | 80_877_104 => self.writer.write_all(b"N").await?,
                // CancelRequest.
                80_877_102 => return Ok(None),
                // Version 3.0: names and values in turn, and an empty name.
                196_608 => {
                    let words: Vec<&str> = std::str::from_utf8(&body).unwrap().split('\0').collect();
                    let pairs = words.chunks_exact(2).take_while(|pair| !pair[0].is_empty());
                    return Ok(Some(pairs.map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()));
                }
                code => panic!("a client wants version {code}"),
            }
        }
    }

    /// Lets any client in, and asks for no password.
    async fn welcome(&mut self, server: &Server) -> io::Result<()> {
        let says = [&message(b'R', &[0; 4])[..], &server.greeting, &message(b'Z', b"I")].concat();
        self.writer.write_all(&says).await
    }
}

/// What a peer says.
struct Incoming {
    reader: OwnedReadHalf,
    /// What was read, and has not passed.
    buffer: BytesMut,
    /// How much is still to pass of a message that has begun to.
    left: usize,
}

impl Incoming {
    /// Reads more; the end is an error.
    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(64 * 1024);
        match self.reader.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits until a message begins.
    async fn begins(&mut self) -> io::Result<Head> {
        loop {
            if let Some(head) = head(&self.buffer) {
                return Ok(head);
            }
            self.fill().await?;
        }
    }

    /// Takes a whole message; those of a login are small.
    async fn message(&mut self) -> io::Result<BytesMut> {
        let length = self.begins().await?.length;
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length))
    }

    /// How much of the buffer can pass now: up to a message that may not, or of which too little is known.
    fn ready(&mut self, mut may_pass: impl FnMut(&Head) -> bool) -> usize {
        let mut ready = 0;
        loop {
            let known = self.left.min(self.buffer.len() - ready);
            self.left -= known;
            ready += known;
            match head(&self.buffer[ready..]).filter(&mut may_pass) {
                Some(head) => self.left = head.length,
                None => return ready,
            }
        }
    }
}

/// How a message begins: its type, the length of the whole, and the first byte of its body or 0.
struct Head {
    kind: u8,
    length: usize,
    first: u8,
}

fn head(bytes: &[u8]) -> Option<Head> {
    let &[kind, a, b, c, d, ref body @ ..] = bytes else { return None };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    assert!(length >= 4, "a message {:?} of length {length}", char::from(kind));
    let first = if length == 4 { 0 } else { *body.first()? };
    Some(Head { kind, length: length + 1, first })
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn fatal(code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes())
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

/// What is under way between a client and a server connection.
#[derive(Default)]
struct Exchange {
    /// Ends only with one of the two.
    is_session: bool,
    /// How often the server is still to say ReadyForQuery.
    owed: usize,
    /// The client has begun what it ends with a Sync.
    is_open: bool,
    in_transaction: bool,
    has_left: bool,
    /// Which side's words are only partly passed on.
    passing: [bool; 2],
}

impl Exchange {
    fn is_over(&self) -> bool {
        let is_under_way = self.owed > 0 || self.is_open || self.in_transaction;
        !self.is_session && !is_under_way && self.passing == [false; 2]
    }

    /// Notes a message; whether it may pass.
    fn note(&mut self, side: Side, head: &Head) -> bool {
        match (side, head.kind) {
            // Terminate.
            (Side::Client, b'X') => self.has_left = true,
            // Query and FunctionCall.
            (Side::Client, b'Q' | b'F') => self.owed += 1,
            // Sync. The server ignores the first one of a COPY that was not a Query: its client keeps the connection.
            (Side::Client, b'S') => (self.owed, self.is_open) = (self.owed + 1, false),
            // CopyData, CopyDone and CopyFail belong to a Query.
            (Side::Client, b'd' | b'c' | b'f') => {}
            (Side::Client, _) => self.is_open = true,
            // ReadyForQuery.
            (Side::Server, b'Z') => {
                self.owed = self.owed.checked_sub(1).expect("an answer to something");
                self.in_transaction = head.first != b'I';
            }
            (Side::Server, _) => {}
        }
        !self.has_left
    }
}

/// Passes on what both say, until the client needs the server connection no longer (true), or one of the two has gone.
async fn relay(client: &mut Peer, server: &mut Peer, is_session: bool) -> bool {
    let exchange = Mutex::new(Exchange { is_session, ..Exchange::default() });
    // Whoever is over finds the other one waiting for words, and not in the middle of any.
    tokio::select! {
        is_over = pass(Side::Client, &mut client.incoming, &mut server.writer, &exchange) => is_over,
        is_over = pass(Side::Server, &mut server.incoming, &mut client.writer, &exchange) => is_over,
    }
}

async fn pass(side: Side, from: &mut Incoming, to: &mut OwnedWriteHalf, exchange: &Mutex<Exchange>) -> bool {
    loop {
        let (ready, has_left) = {
            let mut exchange = exchange.lock().unwrap();
            let ready = from.ready(|head| exchange.note(side, head));
            exchange.passing[side as usize] |= ready > 0;
            (ready, exchange.has_left)
        };
        if ready > 0 {
            if to.write_all(&from.buffer.split_to(ready)).await.is_err() {
                if let Side::Client = side {
                    // The server may have said why: the other direction passes that on, and ends.
                    std::future::pending::<()>().await;
                }
                return false;
            }
            let mut exchange = exchange.lock().unwrap();
            exchange.passing[side as usize] = from.left > 0;
            if exchange.is_over() {
                return true;
            }
        }
        if has_left || from.fill().await.is_err() {
            return false;
        }
    }
}
