//! What slow, silent, greedy and crooked clients can do to the accept loop: raw sockets against a small app.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod caps;
mod ends;
mod heads;
mod slow;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Extension, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::TokioIo;
use priyo_core::transport::Connection;
use priyo_server::listen::{Acceptor, Connections, Listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(1);
/// Much more than the kernel keeps for a peer that does not read.
const LARGE: usize = 64 << 20;

struct Server {
    address: SocketAddr,
    connections: Connections,
    stop: CancellationToken,
    running: JoinHandle<()>,
    /// How many requests reached the app.
    asked: Arc<AtomicUsize>,
    /// Lets `/waits` answer.
    go: CancellationToken,
}

fn short() -> Listen {
    let mut settings = Listen::default();
    settings.header_timeout = Duration::from_millis(600);
    settings.body_timeout = Duration::from_millis(600);
    settings.stall_timeout = Duration::from_millis(600);
    settings.idle_timeout = Duration::from_millis(1500);
    settings
}

fn patient() -> Listen {
    let mut settings = Listen::default();
    for timeout in [
        &mut settings.header_timeout,
        &mut settings.body_timeout,
        &mut settings.stall_timeout,
        &mut settings.idle_timeout,
        &mut settings.user_timeout,
    ] {
        *timeout = Duration::from_secs(600);
    }
    settings
}

async fn serve(settings: Listen) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, asked) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let go = CancellationToken::new();
    let acceptor = Acceptor::new(settings);
    let connections = acceptor.connections();
    let stopped = stop.clone().cancelled_owned();
    let app = app(Arc::clone(&asked), go.clone());
    let running = tokio::spawn(acceptor.run(vec![listener], app, stopped, GRACE));
    Server { address, connections, stop, running, asked, go }
}

fn app(asked: Arc<AtomicUsize>, go: CancellationToken) -> Router {
    Router::new()
        .route("/", get(|| async { "here" }))
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>, _: Extension<Connection>| async move {
                peer.to_string()
            }),
        )
        .route(
            "/length",
            post(|body: Body| async {
                match axum::body::to_bytes(body, LARGE).await {
                    Ok(bytes) => bytes.len().to_string().into_response(),
                    Err(error) => (StatusCode::REQUEST_TIMEOUT, error.to_string()).into_response(),
                }
            }),
        )
        .route("/refuse", post(|| async { StatusCode::PAYLOAD_TOO_LARGE }))
        .route("/large", get(|| async { Bytes::from(vec![b'x'; LARGE]) }))
        .route(
            "/waits",
            get(|| async move {
                go.cancelled().await;
                "done"
            }),
        )
        .route("/never", get(std::future::pending::<&str>))
        .route("/flood", get(flood))
        .route("/give-up", get(give_up))
        .route("/talk", get(talk))
        .layer(axum::middleware::map_request(move |request: Request| {
            asked.fetch_add(1, Ordering::SeqCst);
            std::future::ready(request)
        }))
}

/// Becomes a connection on which the server only ever writes; `?hold` keeps it when writing has failed.
async fn flood(mut request: Request) -> Response {
    let hold = request.uri().query() == Some("hold");
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        let chunk = vec![b'x'; 64 << 10];
        while io.write_all(&chunk).await.is_ok() {}
        if hold {
            std::future::pending::<()>().await;
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "flood")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Becomes a connection on which the server writes until the peer reads no more, gives that write up, and then
/// answers each byte with an `!`.
async fn give_up(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        let chunk = vec![b'x'; 64 << 10];
        let patience = Duration::from_millis(100);
        while tokio::time::timeout(patience, io.write_all(&chunk)).await.is_ok() {}
        while io.read_u8().await.is_ok() {
            io.write_all(b"!").await.unwrap();
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "flood")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Becomes a connection on which the server says hello, listens to the end, and says goodbye.
async fn talk(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        io.write_all(b"hello").await.unwrap();
        io.read_to_end(&mut Vec::new()).await.unwrap();
        io.write_all(b"goodbye").await.unwrap();
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "talk")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A client that has sent this much.
async fn client(address: SocketAddr, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the server closes or resets the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _reset_is_an_end_too = end.expect("the connection stayed open");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn ask(address: SocketAddr, request: &str) -> String {
    rest(&mut client(address, request).await).await
}

/// Whether a new client gets an answer; one over a cap may be reset before it has sent its request.
async fn is_served(address: SocketAddr) -> bool {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    stream.write_all(request).await.is_ok() && rest(&mut stream).await.ends_with("here")
}

/// A client with a tiny window that has asked for `path` and got the first byte of the answer. It reads no more.
async fn stalled(address: SocketAddr, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: flood\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_u8().await.unwrap();
    stream
}

/// Asks for `path` and takes about 5 MB a second of the answer, until the connection breaks; how long that took.
async fn sip(address: SocketAddr, path: &str, limit: Duration) -> Option<Duration> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: flood\r\n\r\n");
    let mut stream = client(address, &request).await;
    let (start, mut chunk) = (Instant::now(), vec![0; 256 << 10]);
    while start.elapsed() < limit {
        if !matches!(stream.read(&mut chunk).await, Ok(1..)) {
            return Some(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

/// Sends a byte of a never ending `what` every 50 ms until the connection breaks; how long that took.
async fn dribble(mut stream: TcpStream, what: &'static [u8], limit: Duration) -> Option<Duration> {
    let start = Instant::now();
    let mut bytes = what.iter().cycle();
    while start.elapsed() < limit {
        if stream.write_all(&[*bytes.next().unwrap()]).await.is_err() {
            return Some(start.elapsed());
        }
        let mut answer = [0; 512];
        let read = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            return Some(start.elapsed());
        }
    }
    None
}

/// How long until the server has no connection left.
async fn until_gone(server: &Server) -> Duration {
    let start = Instant::now();
    tokio::time::timeout(PATIENCE, server.connections.all_gone()).await.expect("a connection stayed");
    start.elapsed()
}

/// Looks again and again, since what is waited for has no event that a test could see.
async fn wait_until(so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "it never came so far");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_request_knows_its_connection() {
    let server = serve(short()).await;
    let mut stream =
        client(server.address, "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let mine = stream.local_addr().unwrap().to_string();
    assert!(rest(&mut stream).await.ends_with(&mine));
}

#[tokio::test]
async fn a_kept_connection_serves_one_request_after_the_other() {
    let server = serve(short()).await;
    let mut stream = client(server.address, "").await;
    for _ in 0..3 {
        stream
            .write_all(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\r\n")
            .await
            .unwrap();
        let mut answer = [0; 512];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].ends_with(b"\r\n5"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
    // Two sent at once are answered as two.
    let both = "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(both.as_bytes()).await.unwrap();
    assert_eq!(rest(&mut stream).await.matches("here").count(), 2);
}
