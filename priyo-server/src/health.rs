//! Asking a running server whether it answers, from the same machine or container.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::bind::hosts;
use crate::config::Config;

/// How long to wait for an answer. `/health` touches no database: a server that needs longer is in trouble.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// More than the head and the body of `/health` have together.
const MOST_BYTES: u64 = 16 * 1024;

/// Why a server does not count as healthy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// `PORT` is 0: only the server knows which port it got.
    #[error("PORT is 0, any free port: set it to the port of the server that is meant")]
    AnyPort,
    /// Nothing listens there, or the connection broke.
    #[error("no answer from {address}: {source}")]
    NoAnswer {
        /// Where it was asked.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("no answer from {address} within {} s", ANSWER_WITHIN.as_secs())]
    Late {
        /// Where it was asked.
        address: SocketAddr,
    },
    /// It answers, but not with 200.
    #[error("{address} does not answer /health with 200 OK")]
    Unhealthy {
        /// Where it was asked.
        address: SocketAddr,
    },
}

/// Asks the server that runs on this machine with the settings in `config` for `/health`, and returns the address
/// that answered. All its addresses together have 3 s.
///
/// # Errors
///
/// [`HealthError`] of the first address, when none answers as a healthy server does.
pub async fn check_health(config: &Config) -> Result<SocketAddr, HealthError> {
    if config.port == 0 {
        return Err(HealthError::AnyPort);
    }
    let deadline = Instant::now() + ANSWER_WITHIN;
    let mut first = None;
    for host in hosts(config) {
        let address = SocketAddr::new(from_here(*host), config.port);
        let found = match timeout_at(deadline, ask(address)).await {
            Ok(Ok(true)) => return Ok(address),
            Ok(Ok(false)) => HealthError::Unhealthy { address },
            Ok(Err(source)) => HealthError::NoAnswer { address, source },
            Err(_) => HealthError::Late { address },
        };
        first.get_or_insert(found);
    }
    // There is always at least one address.
    Err(first.unwrap_or(HealthError::AnyPort))
}

/// Whether `/health` is answered with 200.
async fn ask(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // To its end, so that the server is not left with an answer that nobody took.
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

/// Where to reach, on the same machine, a server that listens on `host`.
fn from_here(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_loopback() {
        for (host, asked) in
            [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.7", "10.0.0.7"), ("::1", "::1")]
        {
            assert_eq!(from_here(host.parse().unwrap()).to_string(), asked);
        }
    }
}
