//! The network connection under a request, as far as a transport may know it and end it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// A network connection: who is at the other end, whether they still read, and a way to end it at once.
///
/// The accept loop that owns the connection makes one and puts it into the extensions of every request that comes
/// on it. A Socket.IO layer alone cannot end a client that has stopped reading; whoever holds this can.
#[derive(Clone)]
pub struct Connection(Arc<State>);

struct State {
    peer: SocketAddr,
    opened: Instant,
    close: CancellationToken,
    end: CancellationToken,
    /// Since when a write waits for the peer, in milliseconds after `opened`, plus one; 0 when none does.
    blocked_since: AtomicU64,
}

impl Connection {
    /// A connection that has just been accepted from `peer`.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        let (close, end) = (CancellationToken::new(), CancellationToken::new());
        Self(Arc::new(State { peer, opened: Instant::now(), close, end, blocked_since: AtomicU64::new(0) }))
    }

    /// Whether both are the same connection.
    #[cfg(feature = "socketio")]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The address at the other end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Closes the connection in an orderly way, so that a peer which reads sees it end and not break. Idempotent. It
    /// may take as long as the peer likes: [`end`](Self::end) it some time later.
    pub fn close(&self) {
        self.0.close.cancel();
    }

    /// Waits until [`close`](Self::close) is called. For the accept loop, which then lets whoever reads the connection
    /// see the end of it, as if the peer had hung up, and so leaves the rest to them.
    pub async fn closed(&self) {
        self.0.close.cancelled().await;
    }

    /// Ends the connection at once, without a word, also when the peer reads nothing. Idempotent.
    pub fn end(&self) {
        self.0.end.cancel();
    }

    /// Whether [`end`](Self::end) was called.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.0.end.is_cancelled()
    }

    /// Waits until [`end`](Self::end) is called. For the accept loop, which then drops the connection.
    pub async fn ended(&self) {
        self.0.end.cancelled().await;
    }

    /// Notes that a write waits for the peer to read. For the accept loop.
    pub fn write_blocked(&self) {
        let since = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        // Only the first one counts: the wait goes on until there is progress.
        let _ = self.0.blocked_since.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes that the peer took some bytes. For the accept loop.
    pub fn write_progressed(&self) {
        self.0.blocked_since.store(0, Ordering::Relaxed);
    }

    /// How long the peer has been taking nothing of what waits to be written; zero when nothing waits.
    #[must_use]
    pub fn write_blocked_for(&self) -> Duration {
        match self.0.blocked_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.0.opened.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No address: debug output ends up in logs.
        f.debug_struct("Connection").field("ended", &self.is_ended()).finish_non_exhaustive()
    }
}
