//! The socket under a connection, held so that it can be watched and closed from outside.
//!
//! hyper owns the [`Io`], and after an upgrade whoever asked for that does. Neither can be told to let go while a
//! write waits for a peer that reads nothing. So the socket itself is in [`Shared`], where the task that watches
//! the connection can take it away.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use priyo_core::transport::Connection;
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::Listen;
use super::heads::{Ambiguous, Heads, Phase};

/// What the holder of the connection and the task that watches it have in common.
pub(super) struct Shared {
    connection: Connection,
    state: Mutex<State>,
}

struct State {
    /// Gone once the connection was ended.
    stream: Option<TcpStream>,
    /// Whether there still is an `Io` that somebody reads and writes.
    held: bool,
    heads: Heads,
    upgraded: bool,
    /// Whether what is read is at its end, whatever the peer still sends.
    hung_up: bool,
    /// Since when a write waits for the peer.
    blocked_since: Option<Instant>,
    /// Since when the peer knows that nothing more will come.
    closing_since: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watcher: Option<Waker>,
}

/// Why the watching of a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// Nobody holds the connection any more.
    Gone,
    /// No request came for a long time.
    Idle,
    /// The peer took too long.
    Late,
}

impl Shared {
    /// Takes a new connection's socket; the one `Io` is for reading and writing it.
    pub(super) fn new(stream: TcpStream, connection: Connection) -> (Arc<Self>, Io) {
        let state = State {
            stream: Some(stream),
            held: true,
            heads: Heads::new(Instant::now()),
            upgraded: false,
            hung_up: false,
            blocked_since: None,
            closing_since: None,
            reader: None,
            writer: None,
            watcher: None,
        };
        let shared = Arc::new(Self { connection, state: Mutex::new(state) });
        (Arc::clone(&shared), Io(shared))
    }

    /// A request was parsed. See [`Heads::begin`].
    pub(super) fn begin(&self, body: Option<u64>) -> Result<(), Ambiguous> {
        self.state().heads.begin(body)
    }

    /// The answer to it is complete.
    pub(super) fn answered(&self) {
        self.state().heads.finish(Instant::now());
    }

    /// No more requests will be taken from this connection.
    pub(super) fn last_request(&self) {
        self.state().heads.over();
    }

    /// The connection is about to become something else than HTTP.
    pub(super) fn upgrade(&self) {
        let mut state = self.state();
        state.upgraded = true;
        state.heads.over();
    }

    /// Whether somebody still holds the `Io`.
    pub(super) fn is_held(&self) -> bool {
        self.state().held
    }

    /// An idle connection was told to close: it has the time of a head to do so.
    pub(super) fn hurry(&self) {
        self.state().heads.hurry(Instant::now());
    }

    /// Lets the holder read no further, as if the peer had hung up.
    pub(super) fn hang_up(&self) {
        let mut state = self.state();
        state.hung_up = true;
        wake(&mut state.reader);
    }

    /// Closes the socket now, with a reset, and fails every read and write of it.
    pub(super) fn kill(&self) {
        let mut state = self.state();
        let stream = state.stream.take();
        let waiting = [state.reader.take(), state.writer.take()];
        drop(state);
        if let Some(stream) = stream {
            stream.drop_at_once();
        }
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the peer's patience with us, or ours with it, ends.
    fn deadline(&self, settings: &Listen) -> Option<(Instant, Watched)> {
        let (since, limit, end) = match (self.closing_since, self.blocked_since, self.heads.phase()) {
            (Some(since), _, _) => (since, settings.linger_timeout, Watched::Late),
            (None, Some(since), _) => (since, settings.stall_timeout, Watched::Late),
            (None, None, _) if self.upgraded => return None,
            (None, None, Phase::New(since) | Phase::Head(since)) => {
                (since, settings.header_timeout, Watched::Late)
            }
            (None, None, Phase::Idle(since)) => (since, settings.idle_timeout, Watched::Idle),
            (None, None, Phase::Busy) => return None,
        };
        // A limit beyond all time is none.
        Some((since.checked_add(limit)?, end))
    }

    /// Whether the socket would take bytes now. A write that waited may have been given up by its owner, and
    /// then nobody notices that the peer reads again.
    fn is_writable(&self) -> bool {
        let Some(stream) = &self.stream else { return false };
        let mut ask = [PollFd::new(stream, PollFlags::OUT)];
        let answer = rustix::event::poll(&mut ask, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        answer.is_ok() && ask[0].revents() == PollFlags::OUT
    }
}

/// Watches a connection until nobody holds it or its time is up.
pub(super) struct Watch<'a> {
    shared: &'a Shared,
    settings: &'a Listen,
    sleep: Pin<Box<Sleep>>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(shared: &'a Shared, settings: &'a Listen) -> Self {
        Self { shared, settings, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }
}

impl Future for Watch<'_> {
    type Output = Watched;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Watched> {
        loop {
            let mut state = self.shared.state();
            remember(&mut state.watcher, cx);
            if !state.held {
                return Poll::Ready(Watched::Gone);
            }
            let Some((deadline, end)) = state.deadline(self.settings) else { return Poll::Pending };
            let blocked = state.closing_since.is_none() && state.blocked_since.is_some();
            if deadline <= Instant::now() {
                if blocked && state.is_writable() {
                    state.blocked_since = None;
                    self.shared.connection.write_progressed();
                    continue;
                }
                return Poll::Ready(end);
            }
            drop(state);
            if self.sleep.deadline() != deadline {
                self.sleep.as_mut().reset(deadline);
            }
            ready!(self.sleep.as_mut().poll(cx));
        }
    }
}

/// The connection as its holder reads and writes it.
pub(super) struct Io(Arc<Shared>);

impl Io {
    fn write(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        let Some(stream) = &mut state.stream else { return Poll::Ready(Err(ended())) };
        let wrote = write(Pin::new(stream), cx);
        if wrote.is_pending() {
            remember(&mut state.writer, cx);
            if state.blocked_since.is_none() {
                state.blocked_since = Some(Instant::now());
                self.0.connection.write_blocked();
                wake(&mut state.watcher);
            }
        } else if state.blocked_since.take().is_some() {
            self.0.connection.write_progressed();
        }
        wrote
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.state();
        let Some(stream) = &mut state.stream else { return Poll::Ready(Err(ended())) };
        if state.hung_up {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(stream).poll_read(cx, buf);
        match &read {
            Poll::Ready(_) => state.heads.read(&buf.filled()[before..], Instant::now()),
            Poll::Pending => remember(&mut state.reader, cx),
        }
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept between a write and the kernel.
        if self.0.state().stream.is_some() { Poll::Ready(Ok(())) } else { Poll::Ready(Err(ended())) }
    }

    /// Says goodbye, and while this is still HTTP waits a moment for the peer to do the same: closing a socket
    /// while the peer is still sending resets it, and then the peer cannot read the answer that told it to stop.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.0.state();
        let Some(stream) = &mut state.stream else { return Poll::Ready(Err(ended())) };
        let mut stream = Pin::new(stream);
        if state.closing_since.is_none() {
            ready!(stream.as_mut().poll_shutdown(cx))?;
            if state.upgraded {
                return Poll::Ready(Ok(()));
            }
            state.closing_since = Some(Instant::now());
            wake(&mut state.watcher);
        }
        let mut ignored = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut ignored);
            match stream.as_mut().poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    remember(&mut state.reader, cx);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.held = false;
        let stream = state.stream.take();
        let watcher = state.watcher.take();
        drop(state);
        drop(stream);
        watcher.into_iter().for_each(Waker::wake);
    }
}

/// What a socket can do that is to be gone at once.
pub(super) trait SocketExt {
    /// Closes the socket with a reset: nothing that waits in it is sent, and nothing of it stays.
    fn drop_at_once(self);
}

impl SocketExt for TcpStream {
    fn drop_at_once(self) {
        // Should this fail, the socket is closed all the same and the kernel keeps what was not sent for a while.
        let _ = SockRef::from(&self).set_linger(Some(Duration::ZERO));
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was ended")
}

fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
