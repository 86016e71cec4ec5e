//! Asks a worker whether it makes progress, for an orchestrator that can only run a program. Must not know what the worker
//! goes by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long the answer may take. Whoever runs the program waits for longer.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Most bytes of an answer that are read.
const ANSWER_MAX_BYTES: u64 = 4_096;

/// A worker is not well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// No worker answers there.
    #[error(
        "no worker answers on {address}: does it run, and serve there (--metrics-addr, USER_SYNC_METRICS_ADDR)?"
    )]
    Unreachable {
        /// Where it was asked.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("no answer from {address} within {} s", TIMEOUT.as_secs())]
    TimedOut {
        /// Where it was asked.
        address: SocketAddr,
    },
    /// It says that it is not well, and why.
    #[error("the worker is not well: {0}")]
    Unwell(String),
}

/// Asks `/healthz` of the worker that serves its metrics at `address`. An address of all interfaces is asked on this machine.
///
/// # Errors
/// When the worker does not answer in time, or answers anything but 200.
pub async fn ask(address: SocketAddr) -> Result<(), HealthError> {
    let this_machine: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let ip = if address.ip().is_unspecified() { this_machine } else { address.ip() };
    let address = SocketAddr::new(ip, address.port());
    let answer = tokio::time::timeout(TIMEOUT, exchange(address)).await;
    let answer = answer.map_err(|_| HealthError::TimedOut { address })?;
    let answer = answer.map_err(|source| HealthError::Unreachable { address, source })?;
    judge(&String::from_utf8_lossy(&answer))
}

async fn exchange(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Whether an answer is a worker's that is well.
fn judge(answer: &str) -> Result<(), HealthError> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split([' ', '\r']).next());
    let said: String = body.trim().chars().filter(|c| !c.is_control()).collect();
    match status {
        Some("200") => Ok(()),
        Some(status) => Err(HealthError::Unwell(format!("{status} {said}"))),
        None => {
            Err(HealthError::Unwell("the answer is not HTTP: is this another program's port?".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_200_is_well() {
        let unwell = |answer: &str| judge(answer).unwrap_err().to_string();
        assert!(judge("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").is_ok());
        assert!(judge("HTTP/1.1 200\r\n\r\n").is_ok());
        let stuck = "HTTP/1.1 503 Service Unavailable\r\n\r\nno progress\u{1b}[2J for 90 s\n";
        assert_eq!(unwell(stuck), "the worker is not well: 503 no progress[2J for 90 s");
        for answer in ["", "200", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1"] {
            assert!(unwell(answer).contains("not HTTP"), "{answer}");
        }
    }
}
