//! A socket that has said who it is: its caller, its connection, and how it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use socketioxide::TransportType;
use socketioxide::extract::SocketRef;

use super::Inner;
use super::inbox::Inbox;
use crate::auth::Caller;
use crate::engine::{ChatEngine, WeakEngine};
use crate::error::Error;
use crate::events::Revocation;
use crate::model::{ConnectionId, SessionId, UserId};
use crate::transport::connection::Connection;

/// A socket that has said who it is. Counts as a connection of its user until it is dropped.
pub(super) struct Session {
    transport: Arc<Inner>,
    engine: WeakEngine,
    /// Who it said it is; with another token after it was renewed.
    caller: Mutex<Caller>,
    user_id: UserId,
    session_id: Option<SessionId>,
    connection_id: ConnectionId,
    connection: Mutex<Option<Connection>>,
    ended: AtomicBool,
    /// The rate that it was turned out for, and when it may be tried again.
    flooded: OnceLock<(u32, Duration)>,
    pub(super) inbox: Inbox,
}

/// How long a socket that is turned out may take to read why.
const FAREWELL: Duration = Duration::from_millis(250);

/// How long an orderly end of a connection may take.
const CLOSING: Duration = Duration::from_secs(2);

impl Session {
    pub(super) fn new(
        transport: Arc<Inner>,
        engine: WeakEngine,
        caller: Caller,
        connection: Option<Connection>,
    ) -> Self {
        let inbox_max = engine.upgrade().map_or(0, |engine| engine.limits().socket_inbox);
        Self {
            transport,
            engine,
            // There always is one: this caller comes from `ChatEngine::connected`.
            connection_id: caller.connection_id.unwrap_or_else(ConnectionId::new),
            user_id: caller.user_id,
            session_id: caller.session_id,
            caller: Mutex::new(caller),
            connection: Mutex::new(connection),
            ended: AtomicBool::new(false),
            flooded: OnceLock::new(),
            inbox: Inbox::new(inbox_max),
        }
    }

    pub(super) fn user_id(&self) -> UserId {
        self.user_id
    }

    pub(super) fn session_id(&self) -> Option<SessionId> {
        self.session_id
    }

    pub(super) fn connection_id(&self) -> ConnectionId {
        self.connection_id
    }

    /// The engine, for a socket that may still speak.
    pub(super) fn engine(&self) -> Option<ChatEngine> {
        self.engine.upgrade().filter(|_| !self.is_ended())
    }

    /// Notes that it is turned out for what it sends.
    pub(super) fn note_flood(&self, limit: u32, retry_after: Duration) {
        // The first reason stays.
        let _ = self.flooded.set((limit, retry_after));
    }

    /// Why nothing more is done for a socket that has ended.
    pub(super) fn end_reason(&self) -> Error {
        self.flooded.get().map_or(Error::InvalidToken, |(limit, retry_after)| Error::RateLimited {
            limit: *limit,
            retry_after: *retry_after,
        })
    }

    pub(super) fn caller(&self) -> Caller {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client has shown another token.
    pub(super) fn renewed(&self, caller: Caller) {
        *self.caller.lock().unwrap_or_else(PoisonError::into_inner) = caller;
    }

    pub(super) fn hub(&self) -> &super::Hub {
        &self.transport.hub
    }

    /// The client is about to be told that it is connected: what its user is told from now on is for it, too.
    pub(super) fn arrive(&self) {
        if let Some(engine) = self.engine.upgrade() {
            self.hub().arrive(self, engine.limits().socket_outbox);
        }
    }

    /// The client has been told that it is connected: its events may be handled.
    pub(super) async fn open(self: &Arc<Self>, socket: SocketRef) {
        let Some(engine) = self.engine.upgrade() else { return };
        let caller = self.caller();
        self.hub().enter(self, &socket);
        // Before the first event, which may bring another token.
        engine.watch_token(&caller);
        self.open_inbox();
        // Its access may have ended between the handshake's check and its coming in, where nobody would find it.
        match engine.recheck(&caller).await {
            Err(Error::InvalidToken | Error::UnknownUser) => {
                self.hub().remove(self.connection_id());
                self.end_soon(&socket);
                let _ = socket.disconnect();
            }
            // Or it is somebody else by now, as far as what they may do goes: they come back as that.
            Ok(now) if now.role != caller.role => {
                self.hub().revoke(&Revocation::Expired(self.connection_id()));
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// The client goes on over another connection; gives the one before.
    pub(super) fn moved_to(&self, connection: Connection) -> Option<Connection> {
        if self.is_ended() {
            connection.end();
        }
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).replace(connection)
    }

    /// The client does not go on over this connection, but over the one before.
    pub(super) fn stayed_on(&self, before: Option<Connection>, refused: &Connection) {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.as_ref().is_some_and(|one| one.is(refused)) {
            *connection = before;
        }
    }

    /// The socket is gone.
    pub(super) fn ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.hub().remove(self.connection_id());
        self.offline();
    }

    fn offline(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.disconnected(&self.caller());
        }
    }

    /// Whether the socket is gone or turned out.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Ends the transport at once.
    pub(super) fn end(self: &Arc<Self>, socket: &SocketRef) {
        self.end_after(socket, Duration::ZERO);
    }

    /// Ends the transport once the client could read why; at once when it is not reading.
    pub(super) fn end_soon(self: &Arc<Self>, socket: &SocketRef) {
        self.end_after(socket, if self.is_stalled(Duration::ZERO) { Duration::ZERO } else { FAREWELL });
    }

    /// Closes the transport in a way after which the client comes back by itself; ends it when that takes too long, or
    /// cannot be seen by a client that is not reading.
    pub(super) fn close(self: &Arc<Self>, socket: &SocketRef) {
        match self.connection().filter(|_| !self.is_stalled(Duration::ZERO)) {
            Some(connection) => {
                connection.close();
                self.end_after(socket, CLOSING);
            }
            None => self.end(socket),
        }
    }

    /// In a task of its own: the hub is locked while it ends sockets, and what follows from their end leads back
    /// there.
    fn end_after(self: &Arc<Self>, socket: &SocketRef, grace: Duration) {
        self.ended.store(true, Ordering::Relaxed);
        let (session, socket) = (self.clone(), socket.clone());
        tokio::spawn(async move {
            // Nobody must wait for the transport's end to see it gone: there may be none that can be ended.
            session.offline();
            if !grace.is_zero() {
                tokio::time::sleep(grace).await;
            }
            if let Some(connection) = session.connection() {
                connection.end();
            }
            if polls(&socket) {
                session.transport.end_polling(socket.id).await;
            }
        });
    }

    /// Whether the transport can be ended: a WebSocket only where the accept loop gave its connection.
    pub(super) fn can_end(&self, socket: &SocketRef) -> bool {
        polls(socket) || self.connection().is_some()
    }

    /// Whether the client has taken nothing for longer than `limit` of what waits for it.
    pub(super) fn is_stalled(&self, limit: Duration) -> bool {
        self.connection().is_some_and(|connection| connection.write_blocked_for() > limit)
    }

    fn connection(&self) -> Option<Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // For a client that went before it was told that it is connected: nothing else notices that one.
        self.hub().give_up(self);
        self.offline();
    }
}

/// Whether a socket goes over polling, at least until its upgrade is done.
fn polls(socket: &SocketRef) -> bool {
    socket.transport_type() == TransportType::Polling
}
