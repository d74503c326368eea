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
    /// What the peer takes while it is behind.
    behind: Option<Behind>,
    /// Since when the peer knows that nothing more will come.
    closing_since: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watcher: Option<Waker>,
}

/// A peer for which more waits than the kernel keeps, from the first write that had to wait until all is written. One
/// that takes a little now and then never takes nothing for long: so its rate is looked at, too.
#[derive(Debug, Clone, Copy)]
struct Behind {
    /// Since when what it takes is counted.
    since: Instant,
    /// How many bytes it took since then.
    taken: u64,
}

impl Behind {
    fn new(since: Instant) -> Self {
        Self { since, taken: 0 }
    }
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
            behind: None,
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
        let wait = match (self.closing_since, self.blocked_since, self.heads.phase()) {
            (Some(since), _, _) => Some((since, settings.linger_timeout, Watched::Late)),
            (None, Some(since), _) => Some((since, settings.stall_timeout, Watched::Late)),
            (None, None, _) if self.upgraded => None,
            (None, None, Phase::New(since) | Phase::Head(since)) => {
                Some((since, settings.header_timeout, Watched::Late))
            }
            (None, None, Phase::Idle(since)) => Some((since, settings.idle_timeout, Watched::Idle)),
            (None, None, Phase::Busy) => None,
        };
        let behind = self.behind.filter(|_| self.closing_since.is_none());
        let behind = behind.map(|behind| (behind.since, settings.rate_window, Watched::Late));
        // A limit beyond all time is none.
        let ends = [wait, behind].into_iter().flatten();
        ends.filter_map(|(since, limit, end)| Some((since.checked_add(limit)?, end)))
            .min_by_key(|(at, _)| *at)
    }

    /// Whether a peer whose time to take something is up may have more of it.
    fn has_taken_enough(&mut self, settings: &Listen) -> bool {
        if self.closing_since.is_some() || (self.blocked_since.is_none() && self.behind.is_none()) {
            return false;
        }
        let now = Instant::now();
        if self.is_writable() {
            // Nobody waits to write any more. If somebody is just about to, it begins anew.
            (self.blocked_since, self.behind) = (None, None);
            return true;
        }
        let least = u64::from(settings.min_rate) * settings.rate_window.as_secs();
        let is_stalled = self.blocked_since.is_some_and(|since| now - since >= settings.stall_timeout);
        let is_on = |behind: &Behind| behind.taken >= least && now - behind.since >= settings.rate_window;
        let is_good = !is_stalled && self.behind.as_ref().is_some_and(is_on);
        if is_good {
            self.behind = Some(Behind::new(now));
        }
        is_good
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
            if deadline <= Instant::now() {
                if !state.has_taken_enough(self.settings) {
                    return Poll::Ready(end);
                }
                if state.blocked_since.is_none() {
                    self.shared.connection.write_progressed();
                }
                continue;
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
        match &wrote {
            Poll::Pending => {
                remember(&mut state.writer, cx);
                if state.blocked_since.is_none() {
                    let now = Instant::now();
                    state.blocked_since = Some(now);
                    state.behind.get_or_insert_with(|| Behind::new(now));
                    self.0.connection.write_blocked();
                    wake(&mut state.watcher);
                }
            }
            Poll::Ready(outcome) => {
                if let (Ok(bytes), Some(behind)) = (outcome, &mut state.behind) {
                    behind.taken += *bytes as u64;
                }
                if state.blocked_since.take().is_some() {
                    self.0.connection.write_progressed();
                }
            }
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
        // Nothing is kept between a write and the kernel. It is asked for when nothing more waits to be written.
        let mut state = self.0.state();
        state.behind = None;
        if state.stream.is_some() { Poll::Ready(Ok(())) } else { Poll::Ready(Err(ended())) }
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
