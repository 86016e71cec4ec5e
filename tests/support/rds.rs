//! Stands where RDS stands with IAM authentication: asks for the token as it is, verifies it, and then logs in to
//! PostgreSQL with the password that the program does not have.
//!
//! The signature is computed here from hashes alone, and with nothing of the SDK's: "Create a signed AWS API
//! request" (IAM User Guide). Messages: "Frontend/Backend Protocol" (PostgreSQL's manual); the login is RFC 5802.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cognito_user_sync::dev::local::REGION;
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, PrimitiveDateTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificates::Certified;

/// The AWS credentials that a token must be signed with: those of `Deployment::environment`.
const ACCESS_KEY: (&str, &str) = ("test", "test");

/// What a token must be of.
#[derive(Debug, Clone)]
pub struct Signed {
    pub user: String,
    /// The session of the AWS credentials: Lambda's have one.
    pub session: Option<&'static str>,
}

/// A login that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub token: String,
    /// Why it was refused.
    pub refused: Option<String>,
}

/// The server; it ends with the test's runtime.
pub struct Rds {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    signed: Signed,
    password: String,
    /// What it says to a token that it does not take: RDS says 28000.
    refusal: &'static str,
    /// What it is called, as `host:port`, and its certificate; without, its address, and none.
    named: Option<(String, TlsAcceptor)>,
    attempts: Mutex<Vec<Attempt>>,
    expired: Mutex<HashSet<String>>,
}

impl Rds {
    /// In front of `upstream`, where the user has this password.
    pub async fn start(upstream: SocketAddr, signed: Signed, password: &str, refusal: &'static str) -> Self {
        Self::start_as(None, upstream, signed, password, refusal).await
    }

    /// The same, called `host:port` and certified.
    pub async fn start_as(
        named: Option<(String, &Certified)>,
        upstream: SocketAddr,
        signed: Signed,
        password: &str,
        refusal: &'static str,
    ) -> Self {
        let named = named.map(|(name, certified)| (name, TlsAcceptor::from(Arc::new(certified.config()))));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let password = password.to_owned();
        let (attempts, expired) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { upstream, signed, password, refusal, named, attempts, expired });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { drop(serving.serve(program, address).await) });
            }
        });
        Self { address, shared }
    }

    /// All logins so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.shared.attempts.lock().unwrap().clone()
    }

    /// The tokens that were tried so far.
    pub fn tokens(&self) -> HashSet<String> {
        self.attempts().into_iter().map(|attempt| attempt.token).collect()
    }

    /// From now on every token that was seen so far is too old.
    pub fn expire_all(&self) {
        self.shared.expired.lock().unwrap().extend(self.tokens());
    }
}

impl Shared {
    async fn serve(&self, mut program: TcpStream, address: SocketAddr) -> std::io::Result<()> {
        let mut start = startup(&mut program).await?;
        if start[4..8] == 80_877_103_i32.to_be_bytes() {
            if let Some((name, acceptor)) = &self.named {
                program.write_all(b"S").await?;
                let mut program = acceptor.accept(program).await?;
                let start = startup(&mut program).await?;
                return self.admit(program, start, name).await;
            }
            // Asked for TLS: there is none on this machine.
            program.write_all(b"N").await?;
            start = startup(&mut program).await?;
        }
        self.admit(program, start, &address.to_string()).await
    }

    async fn admit(
        &self,
        mut program: impl AsyncRead + AsyncWrite + Unpin,
        start: Vec<u8>,
        endpoint: &str,
    ) -> std::io::Result<()> {
        program.write_all(&message(b'R', &3_i32.to_be_bytes())).await?;
        let (_, password) = read(&mut program).await?;
        let token = String::from_utf8_lossy(password.strip_suffix(b"\0").unwrap()).into_owned();
        let refused = match self.expired.lock().unwrap().contains(&token) {
            true => Some("expired".to_owned()),
            false => verify(&token, endpoint, &self.signed).err(),
        };
        self.attempts.lock().unwrap().push(Attempt { token, refused: refused.clone() });
        if refused.is_some() {
            let fields =
                format!("SFATAL\0VFATAL\0C{}\0MPAM authentication failed for user\0\0", self.refusal);
            return program.write_all(&message(b'E', fields.as_bytes())).await;
        }
        let mut server = TcpStream::connect(self.upstream).await?;
        server.write_all(&start).await?;
        log_in(&mut server, &self.password).await?;
        program.write_all(&message(b'R', &0_i32.to_be_bytes())).await?;
        tokio::io::copy_bidirectional(&mut program, &mut server).await.map(drop)
    }
}

/// A message without a type, as the first ones are, its length included.
async fn startup(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut message = vec![0; length as usize];
    message[..4].copy_from_slice(&length.to_be_bytes());
    stream.read_exact(&mut message[4..]).await?;
    Ok(message)
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await? as usize - 4;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// SCRAM-SHA-256, as the client.
async fn log_in(server: &mut TcpStream, password: &str) -> std::io::Result<()> {
    let first = format!("n=,r={}", uuid::Uuid::new_v7(uuid::Timestamp::now(uuid::NoContext)).simple());
    assert_eq!(read(server).await?.1[..4], 10_i32.to_be_bytes(), "PostgreSQL wants SCRAM");
    let data = format!("n,,{first}");
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let initial = [b"SCRAM-SHA-256\0", &length[..], data.as_bytes()].concat();
    server.write_all(&message(b'p', &initial)).await?;

    let answer = String::from_utf8(read(server).await?.1[4..].to_vec()).unwrap();
    let part = |name: &str| answer.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(part("s=")).unwrap();
    let salted = pbkdf2(password.as_bytes(), &salt, part("i=").parse().unwrap());
    let client_key = hmac(&salted, b"Client Key");
    let last = format!("c=biws,r={}", part("r="));
    let signature = hmac(&Sha256::digest(client_key), format!("{first},{answer},{last}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    let last = format!("{last},p={}", STANDARD.encode(proof));
    server.write_all(&message(b'p', last.as_bytes())).await?;

    let (kind, body) = read(server).await?;
    assert_eq!(kind, b'R', "{}", String::from_utf8_lossy(&body));
    assert_eq!(read(server).await?.1, 0_i32.to_be_bytes());
    Ok(())
}

fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut last = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = last;
    for _ in 1..iterations {
        last = hmac(password, &last);
        sum.iter_mut().zip(last).for_each(|(sum, last)| *sum ^= last);
    }
    sum
}

/// RFC 2104, on SHA-256, for keys of up to 64 bytes.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether RDS would take the token now, for this server.
fn verify(token: &str, endpoint: &str, signed: &Signed) -> Result<(), String> {
    let query = token.strip_prefix(&format!("{endpoint}/?")).ok_or("signed for another server")?;
    let mut parameters: BTreeMap<&str, &str> =
        query.split('&').map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
    let signature = parameters.remove("X-Amz-Signature").ok_or("not signed")?;
    let date = *parameters.get("X-Amz-Date").ok_or("not dated")?;
    let day = date.get(..8).ok_or("not dated")?;
    let expected = [
        ("Action", "connect".to_owned()),
        ("DBUser", signed.user.clone()),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("X-Amz-Credential", format!("{}%2F{day}%2F{REGION}%2Frds-db%2Faws4_request", ACCESS_KEY.0)),
        ("X-Amz-Date", date.to_owned()),
        ("X-Amz-Expires", "900".to_owned()),
        ("X-Amz-SignedHeaders", "host".to_owned()),
    ];
    let mut expected: BTreeMap<&str, &str> =
        expected.iter().map(|(name, value)| (*name, value.as_str())).collect();
    expected.extend(signed.session.map(|session| ("X-Amz-Security-Token", session)));
    if parameters != expected {
        return Err(format!("{parameters:?}, but not {expected:?}"));
    }
    let format =
        time::format_description::parse_borrowed::<2>("[year][month][day]T[hour][minute][second]Z").unwrap();
    let signed_at = PrimitiveDateTime::parse(date, &format).map_err(|error| error.to_string())?.assume_utc();
    let age = (OffsetDateTime::now_utc() - signed_at).whole_seconds();
    if !(0..900).contains(&age) {
        return Err(format!("{age} s old"));
    }
    let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let nothing = hex(&Sha256::digest(b""));
    let request = format!("GET\n/\n{}\nhost:{endpoint}\n\nhost\n{nothing}", query.join("&"));
    let scope = format!("{day}/{REGION}/rds-db/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(request)));
    let key = scope
        .split('/')
        .fold(format!("AWS4{}", ACCESS_KEY.1).into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
    match hex(&hmac(&key, text.as_bytes())) == signature {
        true => Ok(()),
        false => Err("signed wrong".to_owned()),
    }
}
