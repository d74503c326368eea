//! An accept loop that no client can hold up.
//!
//! A stock loop waits as long as the client likes: for the end of a request's head, for its body, for the client to
//! read the answer. [`Acceptor`] puts a time on each, caps how many connections there are, and can end any of
//! them at once, also after an upgrade to WebSocket. A host program that mounts the engine's router may use it in
//! place of `axum::serve`:
//!
//! ```no_run
//! # async fn example(app: axum::Router) -> std::io::Result<()> {
//! use priyo_server::listen::{Acceptor, Listen};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! let stop = async { let _ = tokio::signal::ctrl_c().await; };
//! let grace = std::time::Duration::from_secs(8);
//! Acceptor::new(Listen::default()).run(vec![listener], app, stop, grace).await;
//! # Ok(())
//! # }
//! ```
//!
//! Each request carries a [`Connection`](priyo_core::transport::Connection), an
//! [`axum::extract::ConnectInfo<SocketAddr>`] and, where it is known, the
//! [`ClientAddress`](priyo_core::model::ClientAddress) in its extensions.

mod address;
mod body;
mod connections;
mod drive;
mod heads;
mod io;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use self::body::BodyTimeout;
pub use self::connections::Connections;
use self::io::SocketExt;

/// How long to stay away from `accept` after it failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// After this long without a byte the kernel asks the peer whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How often it asks again.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// What a connection may take, in time and number. `Default` is what the server ships with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Listen {
    /// How long the head of a request may take from its first byte, and the first byte of a new connection.
    /// 10 s.
    pub header_timeout: Duration,
    /// How long a whole request body may take, from the end of the head. Reading it then fails with
    /// [`BodyTimeout`]. 30 s.
    pub body_timeout: Duration,
    /// How long the peer may take nothing of what waits to be written, also after an upgrade. 10 s.
    pub stall_timeout: Duration,
    /// How many bytes a second the peer must take, of what waits to be written, as long as it never takes all of it;
    /// also after an upgrade. 0 is no bound. 1,024.
    pub min_rate: u32,
    /// Over how long that is looked at; whole seconds count. 20 s.
    pub rate_window: Duration,
    /// How long a connection is kept open between two requests. Longer than the minute for which common reverse
    /// proxies keep theirs, so that it is they who close. 75 s.
    pub idle_timeout: Duration,
    /// How long to wait for a peer that has been told that the connection is over to close its side too, so
    /// that it can still read the last answer. 2 s.
    pub linger_timeout: Duration,
    /// How long sent bytes may stay unacknowledged (`TCP_USER_TIMEOUT`): a peer that is gone without a word. 20 s.
    pub user_timeout: Duration,
    /// Most bytes in the head of a request; more is answered 431. 64 KiB.
    pub header_bytes: usize,
    /// Most header lines; more is answered 431. 100.
    pub headers: usize,
    /// Longest path with query, in bytes; more is answered 414. 8 KiB.
    pub url_bytes: usize,
    /// Most connections from one address at once, where an IPv6 /64 counts as one address; `None` is no cap.
    /// More are closed as they come. 200. Not held where a proxy is trusted: then all connections are its.
    pub per_address: Option<usize>,
    /// Most connections at once; `None` is no cap. 10,000, or as many as the process may open files, less a
    /// reserve for the database and other files.
    pub total: Option<usize>,
    /// How many reverse proxies in front add the address that they are asked from to `X-Forwarded-For`: the
    /// client's is so many places from its end. 0: the header means nothing.
    pub trusted_proxies: u8,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(10),
            min_rate: 1_024,
            rate_window: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(75),
            linger_timeout: Duration::from_secs(2),
            user_timeout: Duration::from_secs(20),
            header_bytes: 64 * 1024,
            headers: 100,
            url_bytes: 8 * 1024,
            per_address: Some(200),
            total: Some(affordable_connections()),
            trusted_proxies: 0,
        }
    }
}

/// 10,000, or what the limit on open files leaves.
fn affordable_connections() -> usize {
    const WANTED: u64 = 10_000;
    const RESERVE: u64 = 128;
    let open_files =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let left = open_files - RESERVE.min(open_files / 2);
    usize::try_from(left.min(WANTED)).unwrap_or(usize::MAX)
}

/// Accepts connections and serves HTTP/1.1 on them.
#[derive(Debug)]
pub struct Acceptor {
    settings: Arc<Listen>,
    connections: Connections,
}

impl Acceptor {
    /// An acceptor with these settings.
    #[must_use]
    pub fn new(settings: Listen) -> Self {
        let per_address = settings.per_address.filter(|_| settings.trusted_proxies == 0);
        let connections = Connections::new(per_address, settings.total);
        Self { settings: Arc::new(settings), connections }
    }

    /// The connections that are open, to watch and to end them while [`run`](Self::run) goes on.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// Serves `app` on all `listeners` until `shutdown` is ready and every connection is gone.
    ///
    /// Once `shutdown` is ready nothing more is accepted, idle connections are closed, and requests in flight may
    /// go on for `grace`. What is left then, upgraded connections too, is ended. Upgraded connections are not told
    /// to stop before: whoever has them should do that when `shutdown` is ready.
    ///
    /// Dropping the future stops accepting and ends every connection at once.
    pub async fn run<S>(
        self,
        listeners: Vec<TcpListener>,
        app: S,
        shutdown: impl Future<Output = ()>,
        grace: Duration,
    ) where
        S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        let _ends = EndAll(self.connections.clone());
        let mut loops = JoinSet::new();
        for listener in listeners {
            let (settings, connections) = (Arc::clone(&self.settings), self.connections.clone());
            loops.spawn(accept(listener, app.clone(), settings, connections, stop.clone()));
        }

        shutdown.await;
        stop.cancel();
        while loops.join_next().await.is_some() {}
        if tokio::time::timeout(grace, self.connections.all_gone()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "ending connections that are still open");
            self.connections.end_all();
            self.connections.all_gone().await;
        }
    }
}

/// Ends all connections when the future that serves them is dropped.
struct EndAll(Connections);

impl Drop for EndAll {
    fn drop(&mut self) {
        self.0.end_all();
    }
}

async fn accept<S>(
    listener: TcpListener,
    app: S,
    settings: Arc<Listen>,
    connections: Connections,
    stop: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(seat) = connections.admit(peer) else {
                    // A reset and not an orderly close: a flood must not leave sockets in TIME_WAIT.
                    stream.drop_at_once();
                    continue;
                };
                if let Err(error) = tune(&stream, &settings) {
                    // It fails for a peer that is gone again already.
                    tracing::debug!(%error, "a connection was lost at once");
                    continue;
                }
                tokio::spawn(drive::drive(stream, seat, app.clone(), Arc::clone(&settings), stop.clone()));
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections, trying again");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

fn tune(stream: &TcpStream, settings: &Listen) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(settings.user_timeout))?;
    Ok(())
}

/// `accept` also reports what went wrong with the connection it would have returned.
fn concerns_one_connection(error: &std::io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A connection that was let in: its place is free again when this is dropped.
#[derive(Debug)]
struct Seat {
    connection: priyo_core::transport::Connection,
    connections: Connections,
    id: u64,
    peer: SocketAddr,
}
