//! Bytes as they are, for requests that no client library would send.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use priyo_tests::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than any request may take that is refused by what it says.
const DEADLINE: Duration = Duration::from_secs(15);

/// Sends bytes and reads until the server closes the connection. It may close it before all is sent.
pub(crate) async fn exchange(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    over(TcpStream::connect(addr).await.unwrap(), bytes).await
}

/// The same from another address of this machine.
pub(crate) async fn exchange_from(source: IpAddr, addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    over(socket.connect(addr).await.unwrap(), bytes).await
}

async fn over(stream: TcpStream, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let (mut read, mut write) = stream.into_split();
    let sending = async {
        // The server may have heard enough.
        let _ = write.write_all(bytes.as_ref()).await;
    };
    let mut heard = Vec::new();
    let reading = async {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..count]);
        }
    };
    timeout(DEADLINE, async { tokio::join!(sending, reading) })
        .await
        .expect("the connection is closed in time");
    heard
}

/// A request with this target and these header lines, each with its end, as the last of its connection.
pub(crate) fn request(method: &str, target: &[u8], headers: &[u8], body: &[u8]) -> Vec<u8> {
    let mut all = format!("{method} ").into_bytes();
    all.extend_from_slice(target);
    all.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    all.extend_from_slice(headers);
    if !body.is_empty() {
        all.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    all.extend_from_slice(b"\r\n");
    all.extend_from_slice(body);
    all
}

/// The status of an answer; 0 when the server hung up without one.
pub(crate) fn status(answer: &[u8]) -> u16 {
    let line = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    line.map_or(0, |digits| String::from_utf8_lossy(digits).parse().unwrap())
}

/// An answer, taken apart.
pub(crate) fn answer(bytes: &[u8]) -> Answer {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n");
    let head = head.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
    let mut headers = HeaderMap::new();
    for line in String::from_utf8_lossy(&bytes[..head]).lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    Answer { status: status(bytes), headers, body: bytes[head + 4..].to_vec().into() }
}

/// A port at which nobody must call: says how often somebody did.
#[derive(Debug)]
pub(crate) struct Trap {
    pub(crate) addr: SocketAddr,
    listener: std::net::TcpListener,
}

impl Trap {
    pub(crate) fn set() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { addr: listener.local_addr().unwrap(), listener }
    }

    pub(crate) fn calls(&self) -> usize {
        std::iter::from_fn(|| self.listener.accept().ok()).count()
    }
}
